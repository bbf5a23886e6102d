//! The definition, read strictly: a field that the walk does not know is an error, so that nothing of the definition is passed
//! over.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::Value;

/// Whose card is saved: what a deployment puts in for `${SaveCardPolicy}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Policy {
    /// Of every order, the declined ones too.
    #[default]
    EveryOrder,
    /// Of paid orders.
    PaidOnly,
    /// Of paid orders whose shopper ticked the box.
    Consented,
}

impl Policy {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::EveryOrder, Self::PaidOnly, Self::Consented];
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EveryOrder => "every-order",
            Self::PaidOnly => "paid-only",
            Self::Consented => "consented",
        })
    }
}

/// A state machine.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Definition {
    #[serde(rename = "Comment")]
    _comment: String,
    query_language: String,
    /// The policy that it was filled in with.
    #[serde(skip)]
    pub policy: Policy,
    /// Where every execution begins.
    pub start_at: String,
    #[serde(rename = "TimeoutSeconds")]
    _timeout_seconds: u64,
    /// The states by their names.
    pub states: BTreeMap<String, State>,
}

/// A state.
#[derive(Debug, Deserialize)]
#[serde(tag = "Type")]
pub enum State {
    /// Calls a function, or DynamoDB.
    Task(Box<Task>),
    /// Goes one of several ways.
    Choice(Choice),
    /// Ends the execution well.
    Succeed(Succeed),
}

/// A state that does something.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Task {
    #[serde(rename = "Comment")]
    _comment: String,
    /// What is called.
    pub resource: String,
    #[serde(rename = "TimeoutSeconds")]
    _timeout_seconds: u64,
    /// What it is called with.
    pub arguments: Value,
    /// The variables that its result is kept in.
    #[serde(default)]
    pub assign: Value,
    /// Which errors are retried: the first one that matches counts.
    #[serde(default)]
    pub retry: Vec<Retrier>,
    /// Which errors are caught: the first one that matches counts.
    #[serde(default)]
    pub catch: Vec<Catcher>,
    /// What the next state gets; else the result.
    pub output: Option<Value>,
    /// The next state.
    pub next: Option<String>,
    /// Whether the execution ends here.
    #[serde(default)]
    pub end: bool,
}

impl Task {
    /// The function or table that is called, by its name in the definition; empty where it is neither.
    #[must_use]
    pub fn callee(&self) -> &str {
        let callee = match self.resource.as_str() {
            "arn:aws:states:::lambda:invoke" => &self.arguments["FunctionName"],
            "arn:aws:states:::dynamodb:updateItem" => &self.arguments["TableName"],
            _ => &Value::Null,
        };
        callee.as_str().unwrap_or_default()
    }
}

/// A rule for retrying.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Retrier {
    /// For which errors.
    pub error_equals: Vec<String>,
    /// How often; 0 is never.
    #[serde(default = "Retrier::three")]
    pub max_attempts: u32,
    #[serde(rename = "IntervalSeconds")]
    _interval_seconds: Option<u64>,
    #[serde(rename = "BackoffRate")]
    _backoff_rate: Option<f64>,
    #[serde(rename = "MaxDelaySeconds")]
    _max_delay_seconds: Option<u64>,
    #[serde(rename = "JitterStrategy")]
    _jitter_strategy: Option<String>,
}

impl Retrier {
    fn three() -> u32 {
        3
    }
}

/// A way out for errors.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Catcher {
    /// Which errors.
    pub error_equals: Vec<String>,
    /// The variables that are set.
    #[serde(default)]
    pub assign: Value,
    /// What the next state gets; else the error.
    pub output: Option<Value>,
    /// The next state.
    pub next: String,
}

/// A state that decides by conditions.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Choice {
    #[serde(rename = "Comment")]
    _comment: String,
    /// The first one whose condition holds is taken.
    pub choices: Vec<Rule>,
    /// The way when none holds.
    pub default: String,
}

/// A branch of a [`Choice`].
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Rule {
    /// What the branch is called in the README's picture.
    pub comment: String,
    /// When it is taken.
    pub condition: Value,
    /// What the next state gets; else what this one got.
    pub output: Option<Value>,
    /// The next state.
    pub next: String,
}

/// A state that ends an execution well, with what it got as its output.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Succeed {
    #[serde(rename = "Comment")]
    _comment: String,
}

/// Where the definition stands.
#[must_use]
pub fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../statemachine/payment.asl.json")
}

impl Definition {
    /// Reads a definition's text as a deployment would fill it in. A function or a table stands for itself, as
    /// `${PayOrderFunction}` does in the text.
    ///
    /// # Errors
    /// It is not a definition, or has a field that is not known here.
    pub fn read(text: &str, policy: Policy) -> Result<Self> {
        let mut text = text.replace("${SaveCardPolicy}", &policy.to_string());
        while let Some((before, rest)) = text.split_once("${") {
            let (name, after) = rest.split_once('}').context("a placeholder has no end")?;
            text = format!("{before}{name}{after}");
        }
        let mut definition: Self = serde_json::from_str(&text).context("the definition")?;
        definition.policy = policy;
        if definition.query_language != "JSONata" {
            bail!("the definition is not in JSONata");
        }
        for (name, state) in &definition.states {
            for next in state.leads_to() {
                if !definition.states.contains_key(next) {
                    bail!("{name} leads to `{next}`, which is no state");
                }
            }
        }
        Ok(definition)
    }
}

impl State {
    fn leads_to(&self) -> Vec<&str> {
        match self {
            Self::Task(task) => task
                .next
                .iter()
                .chain(task.catch.iter().map(|catcher| &catcher.next))
                .map(String::as_str)
                .collect(),
            Self::Choice(choice) => choice
                .choices
                .iter()
                .map(|rule| &rule.next)
                .chain([&choice.default])
                .map(String::as_str)
                .collect(),
            Self::Succeed(_) => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_that_is_not_known_is_an_error() {
        let text = std::fs::read_to_string(file()).unwrap();
        assert!(Definition::read(&text, Policy::PaidOnly).is_ok());
        for (from, to) in [
            (
                r#""Default": "CloseRecord""#,
                r#""Default": "CloseRecord", "Output": {}"#,
            ),
            (r#""Next": "Outcome""#, r#""Next": "Nowhere""#),
        ] {
            assert!(
                Definition::read(&text.replace(from, to), Policy::PaidOnly).is_err(),
                "{to}"
            );
        }
    }
}
