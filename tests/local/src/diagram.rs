//! Draws the state machine from its definition, as the Mermaid chart that the README shows.

use std::collections::{BTreeSet, VecDeque};
use std::fmt::Write as _;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// The line of the README under which the chart stands.
const BEGIN: &str = "<!-- drawn from statemachine/payment.asl.json by `cargo local diagram` -->";
/// Where the chart ends; no state of the definition.
const DONE: &str = "done";
/// The line that ends it.
const END: &str = "<!-- end of the drawing -->";

/// The definition as a Mermaid flowchart: the happy path in solid lines, caught errors dotted with their names.
///
/// # Errors
/// When the definition names a state that it does not have.
pub fn mermaid(definition: &Value) -> Result<String> {
    let start = text(definition, "StartAt")?;
    let mut chart = String::from("flowchart TD\n");
    let mut seen = BTreeSet::from([start]);
    let mut queue = VecDeque::from([start]);
    writeln!(chart, "  start((start)) --> {start}")?;
    while let Some(name) = queue.pop_front() {
        let state = &definition["States"][name];
        if state.is_null() {
            bail!("the definition has no state `{name}`");
        }
        let kind = text(state, "Type")?;
        writeln!(chart, "  {}", node(name, kind))?;
        for edge in edges(state, kind)? {
            writeln!(chart, "  {name} {}", edge.drawn())?;
            if edge.to != DONE && seen.insert(edge.to) {
                queue.push_back(edge.to);
            }
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

struct Edge<'a> {
    to: &'a str,
    label: String,
    caught: bool,
}

impl Edge<'_> {
    fn drawn(&self) -> String {
        let line = if self.caught { "-.->" } else { "-->" };
        if self.label.is_empty() {
            format!("{line} {}", self.to)
        } else {
            format!("{line}|{}| {}", self.label, self.to)
        }
    }
}

fn edges<'a>(state: &'a Value, kind: &str) -> Result<Vec<Edge<'a>>> {
    let mut edges = Vec::new();
    for rule in list(state, "Choices") {
        edges.push(Edge {
            to: text(rule, "Next")?,
            label: text(rule, "Comment")?.into(),
            caught: false,
        });
    }
    for (field, label) in [("Default", "else"), ("Next", "")] {
        if let Some(to) = state[field].as_str() {
            edges.push(Edge {
                to,
                label: label.into(),
                caught: false,
            });
        }
    }
    if state["End"] == true || kind == "Succeed" {
        edges.push(Edge {
            to: DONE,
            label: String::new(),
            caught: false,
        });
    }
    for catcher in list(state, "Catch") {
        let errors: Vec<_> = list(catcher, "ErrorEquals")
            .iter()
            .filter_map(Value::as_str)
            // The prefix says only whose error it is.
            .map(|name| name.rsplit('.').next().unwrap_or(name))
            .collect();
        edges.push(Edge {
            to: text(catcher, "Next")?,
            label: errors.join(", "),
            caught: true,
        });
    }
    Ok(edges)
}

fn node(name: &str, kind: &str) -> String {
    match kind {
        "Choice" => format!("{name}{{{name}}}"),
        "Pass" | "Succeed" => format!("{name}([{name}])"),
        "Fail" => format!("{name}[/{name}/]"),
        _ => format!("{name}[{name}]"),
    }
}

fn list<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value[field].as_array().map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, field: &str) -> Result<&'a str> {
    value[field]
        .as_str()
        .with_context(|| format!("`{field}` is missing in {value}"))
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
