//! Draws the state machine for the README from its definition: a Mermaid diagram, and a table of what its tasks do.

use std::fmt::Write as _;

use anyhow::{Context, Result};
use payment3_harness::graph::{DONE, Edge, Graph};
use payment3_model::Definition;

/// The line of the README before the diagram.
const BEGIN: &str = "<!-- drawn from statemachine/payment.asl.json by `cargo local renew` -->";
/// The line of the README after the table.
const END: &str = "<!-- end of the drawing -->";

/// The definition as a Mermaid flowchart: the happy path with solid lines, caught errors with dotted lines and their
/// names.
fn mermaid(graph: &Graph) -> Result<String> {
    let mut chart = String::from("flowchart TD\n");
    writeln!(chart, "  start((start)) --> {}", graph.start)?;
    for state in &graph.states {
        writeln!(chart, "  {}", node(&state.name, &state.kind))?;
        for edge in graph.edges_of(&state.name) {
            writeln!(chart, "  {} {}", state.name, drawn(edge))?;
        }
    }
    writeln!(chart, "  {DONE}((done))")?;
    Ok(chart)
}

/// What each task does, as a Markdown table: the first sentence of its comment, and its function.
fn table(graph: &Graph, definition: &Definition) -> String {
    let mut table = String::from("| state | does | function |\n|---|---|---|\n");
    for state in &graph.states {
        let Some((_, task)) = definition.tasks().find(|(name, _)| *name == state.name) else {
            continue;
        };
        let does = task.comment.split_inclusive(". ").next();
        let does = does.unwrap_or_default().trim();
        let function = task.function().map_or_else(
            || "none: the state machine updates the record itself".to_owned(),
            |name| {
                let file = name.replace('-', "_");
                format!("[`{name}`](activities/src/activity/{file}.rs)")
            },
        );
        table.push_str(&format!("| {} | {does} | {function} |\n", state.name));
    }
    table
}

/// The text of a README with an updated diagram and table.
///
/// # Errors
/// The README lacks the line before or after them.
pub fn redraw(readme: &str, definition: &Definition) -> Result<String> {
    let (before, rest) = readme
        .split_once(BEGIN)
        .with_context(|| format!("README.md has no line `{BEGIN}`"))?;
    let (_, after) = rest
        .split_once(END)
        .with_context(|| format!("README.md has no line `{END}` after `{BEGIN}`"))?;
    let graph = Graph::read(&definition.source)?;
    let (chart, table) = (mermaid(&graph)?, table(&graph, definition));
    Ok(format!(
        "{before}{BEGIN}\n```mermaid\n{chart}```\n\n{table}{END}{after}"
    ))
}

fn drawn(edge: &Edge) -> String {
    let line = if edge.caught { "-.->" } else { "-->" };
    if edge.label.is_empty() {
        format!("{line} {}", edge.to)
    } else {
        format!("{line}|{}| {}", edge.label, edge.to)
    }
}

fn node(name: &str, kind: &str) -> String {
    match kind {
        "Choice" => format!("{name}{{{name}}}"),
        "Pass" | "Succeed" => format!("{name}([{name}])"),
        "Fail" => format!("{name}[/{name}/]"),
        _ => format!("{name}[{name}]"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_transition_is_drawn() {
        let definition = json!({"StartAt": "Ask", "States": {
            "Ask": {"Type": "Task", "Next": "Answer",
                "Catch": [{"ErrorEquals": ["DynamoDB.Busy", "Late"], "Next": "Stop"}]},
            "Answer": {"Type": "Choice", "Default": "Stop",
                "Choices": [{"Condition": "{% $yes %}", "Comment": "yes", "Next": "Ask"}]},
            "Stop": {"Type": "Pass", "End": true},
        }});
        let chart = mermaid(&Graph::read(&definition).unwrap()).unwrap();
        for line in [
            "start((start)) --> Ask",
            "Ask[Ask]",
            "Ask --> Answer",
            "Ask -.->|Busy, Late| Stop",
            "Answer{Answer}",
            "Answer -->|yes| Ask",
            "Answer -->|else| Stop",
            "Stop --> done",
        ] {
            assert!(chart.contains(&format!("  {line}\n")), "{line}\n{chart}");
        }
    }

    #[test]
    fn the_readme_shows_the_current_state_machine() {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
        let readme = std::fs::read_to_string(format!("{root}/README.md")).unwrap();
        let definition = payment3_model::Definition::of_the_repository().unwrap();
        assert!(
            redraw(&readme, &definition).unwrap() == readme,
            "README.md has a stale diagram or table of the state machine: run `cargo local renew`"
        );
    }
}
