//! A state machine's definition as a graph: what the README's chart and the browser's picture are drawn from.

use std::collections::{BTreeSet, VecDeque};

use anyhow::{Context, Result, bail};
use serde::Serialize;
use serde_json::Value;

/// Where an execution ends well; no state of the definition.
pub const DONE: &str = "done";

/// The states in the order in which they are reached, breadth first, and the ways between them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Graph {
    /// The first state's name.
    pub start: String,
    /// The states that can be reached.
    pub states: Vec<State>,
    /// The ways out of each, in its own order.
    pub edges: Vec<Edge>,
}

/// A state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct State {
    /// Its name.
    pub name: String,
    /// Its `Type`: `Task`, `Choice` and so on.
    pub kind: String,
    /// What the definition says about it.
    pub comment: String,
}

/// A way from one state to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Edge {
    /// The state it leads out of.
    pub from: String,
    /// The state it leads to, or [`DONE`].
    pub to: String,
    /// A choice's comment, or the names of the caught errors; else empty.
    pub label: String,
    /// Whether it is taken for an error.
    pub caught: bool,
}

impl Graph {
    /// Reads a definition in the Amazon States Language.
    ///
    /// # Errors
    /// When the definition names a state that it does not have, or a state lacks what makes it one.
    pub fn read(definition: &Value) -> Result<Self> {
        let start = text(definition, "StartAt")?;
        let mut graph = Self {
            start: start.to_owned(),
            states: Vec::new(),
            edges: Vec::new(),
        };
        let mut seen = BTreeSet::from([start.to_owned()]);
        let mut queue = VecDeque::from([start.to_owned()]);
        while let Some(name) = queue.pop_front() {
            let state = &definition["States"][&name];
            if state.is_null() {
                bail!("the definition has no state `{name}`");
            }
            let kind = text(state, "Type")?;
            for edge in edges(&name, state, kind)? {
                if edge.to != DONE && seen.insert(edge.to.clone()) {
                    queue.push_back(edge.to.clone());
                }
                graph.edges.push(edge);
            }
            graph.states.push(State {
                kind: kind.to_owned(),
                comment: state["Comment"].as_str().unwrap_or_default().to_owned(),
                name,
            });
        }
        Ok(graph)
    }

    /// The ways out of a state.
    pub fn edges_of<'a>(&'a self, state: &'a str) -> impl Iterator<Item = &'a Edge> {
        self.edges.iter().filter(move |edge| edge.from == state)
    }
}

fn edges(from: &str, state: &Value, kind: &str) -> Result<Vec<Edge>> {
    let edge = |to: &str, label: String, caught: bool| Edge {
        from: from.to_owned(),
        to: to.to_owned(),
        label,
        caught,
    };
    let mut edges = Vec::new();
    for rule in list(state, "Choices") {
        let label = text(rule, "Comment")?;
        edges.push(edge(text(rule, "Next")?, label.into(), false));
    }
    for (field, label) in [("Default", "else"), ("Next", "")] {
        if let Some(to) = state[field].as_str() {
            edges.push(edge(to, label.into(), false));
        }
    }
    if state["End"] == true || kind == "Succeed" {
        edges.push(edge(DONE, String::new(), false));
    }
    for catcher in list(state, "Catch") {
        let mut errors: Vec<_> = list(catcher, "ErrorEquals")
            .iter()
            .filter_map(Value::as_str)
            .map(|name| match name.split_once('.') {
                Some(("States", "ALL")) => "any other error",
                Some(("Lambda" | "Runtime" | "Sandbox" | "States", _)) => "an error of AWS",
                // The prefix says only whose error it is.
                Some((_, name)) => name,
                None => name,
            })
            .collect();
        errors.dedup();
        edges.push(edge(text(catcher, "Next")?, errors.join(", "), true));
    }
    Ok(edges)
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
    fn every_reachable_state_and_every_way_out_is_in_the_graph() {
        let graph = Graph::read(&json!({"StartAt": "Ask", "States": {
            "Ask": {"Type": "Task", "Comment": "asks", "Next": "Answer",
                "Catch": [{"ErrorEquals": ["DynamoDB.Busy", "Late", "States.Timeout", "Lambda.Unknown"], "Next": "Stop"},
                    {"ErrorEquals": ["States.ALL"], "Next": "Answer"}]},
            "Answer": {"Type": "Choice", "Default": "Stop",
                "Choices": [{"Condition": "{% $yes %}", "Comment": "yes", "Next": "Ask"}]},
            "Stop": {"Type": "Pass", "End": true},
            "Unreachable": {"Type": "Pass", "End": true},
        }}))
        .unwrap();
        let names: Vec<_> = graph.states.iter().map(|state| &*state.name).collect();
        assert_eq!(names, ["Ask", "Answer", "Stop"]);
        assert_eq!(graph.states[0].comment, "asks");
        let edges: Vec<_> = graph
            .edges
            .iter()
            .map(|edge| (&*edge.from, &*edge.to, &*edge.label, edge.caught))
            .collect();
        assert_eq!(
            edges,
            [
                ("Ask", "Answer", "", false),
                ("Ask", "Stop", "Busy, Late, an error of AWS", true),
                ("Ask", "Answer", "any other error", true),
                ("Answer", "Ask", "yes", false),
                ("Answer", "Stop", "else", false),
                ("Stop", DONE, "", false),
            ]
        );
    }

    #[test]
    fn a_way_to_a_state_that_is_not_there_is_an_error() {
        let error = Graph::read(&json!({"StartAt": "A", "States": {
            "A": {"Type": "Pass", "Next": "B"},
        }}))
        .unwrap_err();
        assert!(error.to_string().contains("`B`"), "{error}");
    }
}
