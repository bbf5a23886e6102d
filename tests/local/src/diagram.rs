//! Draws the state machines for the README from their definitions: a Mermaid diagram, and a table of what the states
//! do.

use std::fmt::Write as _;

use anyhow::{Context, Result};
use payment3_harness::graph::{DONE, Edge, Graph};
use payment3_model::{Definition, Machine, State};

/// The line of the README before a machine's diagram.
fn begin(machine: Machine) -> String {
    format!("<!-- drawn from statemachine/{machine}.asl.json by `cargo local renew` -->")
}

/// The line of the README after a machine's table.
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

/// What each state does that does more than choose or end, as a Markdown table: the first sentence of its comment, and
/// its function.
fn table(graph: &Graph, definition: &Definition) -> String {
    let mut table = String::from("| state | does | function |\n|---|---|---|\n");
    for state in &graph.states {
        let function = match definition.states.get(&state.name) {
            Some(State::Task(task)) => task.function().map_or_else(
                || "none: the state machine updates the record itself".to_owned(),
                |name| {
                    let file = name.replace('-', "_");
                    format!("[`{name}`](activities/src/activity/{file}.rs)")
                },
            ),
            Some(State::Wait(_)) => "none: the state machine waits".to_owned(),
            _ => continue,
        };
        let does = state.comment.split_inclusive(". ").next();
        let does = does.unwrap_or_default().trim();
        table.push_str(&format!("| {} | {does} | {function} |\n", state.name));
    }
    table
}

/// The text of a README with an updated diagram and table of each machine.
///
/// # Errors
/// A definition cannot be read, or the README lacks the line before or after a machine's drawing.
pub fn redraw(readme: &str) -> Result<String> {
    let mut drawn = readme.to_owned();
    for machine in Machine::ALL {
        let definition = Definition::of_the_repository(machine)?;
        let begin = begin(machine);
        let (before, rest) = drawn
            .split_once(&begin)
            .with_context(|| format!("README.md has no line `{begin}`"))?;
        let (_, after) = rest
            .split_once(END)
            .with_context(|| format!("README.md has no line `{END}` after `{begin}`"))?;
        let graph = Graph::read(&definition.source)?;
        let (chart, table) = (mermaid(&graph)?, table(&graph, &definition));
        drawn = format!("{before}{begin}\n```mermaid\n{chart}```\n\n{table}{END}{after}");
    }
    Ok(drawn)
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
        "Wait" => format!("{name}{{{{{name}}}}}"),
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
                "Catch": [{"ErrorEquals": ["DynamoDB.Busy", "Late"], "Next": "Stop"},
                    {"ErrorEquals": ["States.ALL"], "Next": "Fails"}]},
            "Answer": {"Type": "Choice", "Default": "Stop",
                "Choices": [{"Condition": "{% $yes %}", "Comment": "yes", "Next": "Waits"}]},
            "Waits": {"Type": "Wait", "Seconds": 60, "Next": "Ask"},
            "Fails": {"Type": "Fail", "Error": "Fails"},
            "Stop": {"Type": "Pass", "End": true},
        }});
        let chart = mermaid(&Graph::read(&definition).unwrap()).unwrap();
        for line in [
            "start((start)) --> Ask",
            "Ask[Ask]",
            "Ask --> Answer",
            "Ask -.->|Busy, Late| Stop",
            "Answer{Answer}",
            "Ask -.->|any other error| Fails",
            "Fails[/Fails/]",
            "Answer -->|yes| Waits",
            "Waits{{Waits}}",
            "Waits --> Ask",
            "Answer -->|else| Stop",
            "Stop --> done",
        ] {
            assert!(chart.contains(&format!("  {line}\n")), "{line}\n{chart}");
        }
    }

    #[test]
    fn the_readme_shows_the_current_state_machines() {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
        let readme = std::fs::read_to_string(format!("{root}/README.md")).unwrap();
        assert!(
            redraw(&readme).unwrap() == readme,
            "README.md has a stale diagram or table of a state machine: run `cargo local renew`"
        );
    }
}
