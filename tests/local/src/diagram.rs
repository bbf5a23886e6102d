//! Draws the state machine from its definition, as the Mermaid chart that the README shows.

use std::fmt::Write as _;

use anyhow::{Context, Result};
use payment3_harness::graph::{DONE, Edge, Graph};
use serde_json::Value;

/// The line of the README under which the chart stands.
const BEGIN: &str = "<!-- drawn from statemachine/payment.asl.json by `cargo local diagram` -->";
/// The line that ends it.
const END: &str = "<!-- end of the drawing -->";

/// The definition as a Mermaid flowchart: the happy path in solid lines, caught errors dotted with their names.
///
/// # Errors
/// When the definition names a state that it does not have.
pub fn mermaid(definition: &Value) -> Result<String> {
    let graph = Graph::read(definition)?;
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

/// A README with its chart drawn anew.
///
/// # Errors
/// When the README lacks the two lines between which the chart stands.
pub fn redraw(readme: &str, definition: &Value) -> Result<String> {
    let (before, rest) = readme
        .split_once(BEGIN)
        .with_context(|| format!("README.md has no line `{BEGIN}`"))?;
    let (_, after) = rest
        .split_once(END)
        .with_context(|| format!("README.md has no line `{END}` after `{BEGIN}`"))?;
    let chart = mermaid(definition)?;
    Ok(format!(
        "{before}{BEGIN}\n```mermaid\n{chart}```\n{END}{after}"
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
    fn every_way_out_of_a_state_is_drawn() {
        let definition = json!({"StartAt": "Ask", "States": {
            "Ask": {"Type": "Task", "Next": "Answer",
                "Catch": [{"ErrorEquals": ["DynamoDB.Busy", "Late"], "Next": "Stop"}]},
            "Answer": {"Type": "Choice", "Default": "Stop",
                "Choices": [{"Condition": "{% $yes %}", "Comment": "yes", "Next": "Ask"}]},
            "Stop": {"Type": "Pass", "End": true},
        }});
        let chart = mermaid(&definition).unwrap();
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
    fn the_readme_shows_the_state_machine_as_it_is() {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
        let readme = std::fs::read_to_string(format!("{root}/README.md")).unwrap();
        let definition = std::fs::read_to_string(format!("{root}/statemachine/payment.asl.json"));
        let definition = serde_json::from_str(&definition.unwrap()).unwrap();
        assert!(
            redraw(&readme, &definition).unwrap() == readme,
            "README.md shows another state machine: run `cargo local diagram`"
        );
    }
}
