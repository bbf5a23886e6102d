//! Reads the definition strictly: a field that this reader does not know is an error. So the model check misses
//! nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::Value;

/// A state machine of this repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Machine {
    /// One attempt at a payment.
    Payment,
    /// One refund of a paid order.
    Refund,
}

impl Machine {
    /// Both machines.
    pub const ALL: [Self; 2] = [Self::Payment, Self::Refund];
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Payment => "payment",
            Self::Refund => "refund",
        })
    }
}

/// Which cards are saved: the value of `${SaveCardPolicy}` in a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Policy {
    /// Cards of every order, including declined ones.
    #[default]
    EveryOrder,
    /// Cards of paid orders.
    PaidOnly,
    /// Cards of paid orders, if the shopper ticked the box.
    Consented,
}

impl Policy {
    /// All policies.
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
    /// What it is for.
    pub comment: String,
    query_language: String,
    /// The policy that was filled in.
    #[serde(skip)]
    pub policy: Policy,
    /// Its text, with the placeholders filled in.
    #[serde(skip)]
    pub source: Value,
    /// The state where every execution begins.
    pub start_at: String,
    /// How long an execution may take.
    pub timeout_seconds: u64,
    /// The states by name.
    pub states: BTreeMap<String, State>,
}

/// A state.
#[derive(Debug, Deserialize)]
#[serde(tag = "Type")]
pub enum State {
    /// Calls a function, or DynamoDB.
    Task(Box<Task>),
    /// Takes one of several branches.
    Choice(Choice),
    /// Waits.
    Wait(Wait),
    /// Ends the execution successfully.
    Succeed(Succeed),
    /// Ends the execution with an error.
    Fail(Fail),
}

/// A state that does something.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Task {
    /// What it is for.
    pub comment: String,
    /// The resource that is called.
    pub resource: String,
    /// How long each try may take.
    pub timeout_seconds: u64,
    /// The arguments of the call.
    pub arguments: Value,
    /// The variables that are set from its result.
    #[serde(default)]
    pub assign: Value,
    /// Which errors are retried. The first rule that matches counts.
    #[serde(default)]
    pub retry: Vec<Retrier>,
    /// Which errors are caught. The first rule that matches counts.
    #[serde(default)]
    pub catch: Vec<Catcher>,
    /// The input of the next state. By default it is the result.
    pub output: Option<Value>,
    /// The next state.
    pub next: Option<String>,
    /// Whether the execution ends here.
    #[serde(default)]
    pub end: bool,
}

impl Task {
    /// The program of the function that is called: `record-outcome` for `RecordOutcomeFunction`. `None` if the task
    /// calls no function.
    #[must_use]
    pub fn function(&self) -> Option<String> {
        if self.resource != "arn:aws:states:::lambda:invoke" {
            return None;
        }
        let name = self.arguments["FunctionName"].as_str()?;
        Some(kebab(name.strip_suffix("Function")?))
    }

    /// The function or the table that is called. Empty if it is neither.
    #[must_use]
    pub fn callee(&self) -> String {
        self.function().unwrap_or_else(|| {
            let table = self.arguments["TableName"].as_str();
            table.unwrap_or_default().to_owned()
        })
    }
}

/// A retry rule.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Retrier {
    /// The errors that it matches.
    pub error_equals: Vec<String>,
    /// The number of retries; 0 means none.
    #[serde(default = "Retrier::three")]
    pub max_attempts: u32,
    /// The wait before the first retry.
    pub interval_seconds: Option<f64>,
    /// The factor from each wait to the next.
    pub backoff_rate: Option<f64>,
    /// The longest wait.
    pub max_delay_seconds: Option<f64>,
    /// `FULL` if each wait is random, up to its full length.
    pub jitter_strategy: Option<String>,
}

impl Retrier {
    fn three() -> u32 {
        3
    }
}

/// A catch rule.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Catcher {
    /// The errors that it matches.
    pub error_equals: Vec<String>,
    /// The variables that are set.
    #[serde(default)]
    pub assign: Value,
    /// The input of the next state. By default it is the error.
    pub output: Option<Value>,
    /// The next state.
    pub next: String,
}

/// A state that chooses a branch by conditions.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Choice {
    /// What it is for.
    pub comment: String,
    /// The branches. The first one whose condition holds is taken.
    pub choices: Vec<Rule>,
    /// The next state if no condition holds.
    pub default: String,
}

/// A branch of a [`Choice`].
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Rule {
    /// The label of the branch in the README's diagram.
    pub comment: String,
    /// The condition under which it is taken.
    pub condition: Value,
    /// The input of the next state. By default it is the input of this one.
    pub output: Option<Value>,
    /// The next state.
    pub next: String,
}

/// A state that waits.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Wait {
    /// What it is for.
    pub comment: String,
    /// For how long, in seconds: a number or an expression.
    pub seconds: Value,
    /// The input of the next state. By default it is the input of this one.
    pub output: Option<Value>,
    /// The next state.
    pub next: String,
}

/// A state that ends an execution successfully. Its input becomes the output.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Succeed {
    /// What it is for.
    pub comment: String,
}

/// A state that ends an execution with an error.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Fail {
    /// What it is for.
    pub comment: String,
    /// The name of the error.
    pub error: String,
    /// What a person reads about it.
    pub cause: String,
}

/// Converts `RecordOutcome` to `record-outcome`.
fn kebab(name: &str) -> String {
    let mut kebab = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !kebab.is_empty() {
            kebab.push('-');
        }
        kebab.extend(letter.to_lowercase());
    }
    kebab
}

/// The file of a machine's definition.
#[must_use]
pub fn file(machine: Machine) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../statemachine/{machine}.asl.json"))
}

impl Definition {
    /// Reads the repository's definition of a machine, with the default policy.
    ///
    /// # Errors
    /// As [`Definition::read`], or there is no file.
    pub fn of_the_repository(machine: Machine) -> Result<Self> {
        let file = file(machine);
        let text = std::fs::read_to_string(&file)
            .with_context(|| format!("statemachine/{machine}.asl.json"))?;
        Self::read(&text, Policy::default())
            .with_context(|| format!("statemachine/{machine}.asl.json"))
    }

    /// The task states, by name.
    pub fn tasks(&self) -> impl Iterator<Item = (&str, &Task)> {
        self.states.iter().filter_map(|(name, state)| match state {
            State::Task(task) => Some((name.as_str(), &**task)),
            _ => None,
        })
    }

    /// The variables that are only copied to an output, so their values decide nothing. Every expression with such a
    /// variable is the complete value of a member of an end's output, and that member is not in `read`.
    pub(crate) fn carried(&self, read: &[&str]) -> BTreeSet<String> {
        let mut assigned = BTreeSet::new();
        let mut templates = Vec::new();
        for state in self.states.values() {
            match state {
                State::Task(task) => {
                    templates.extend([task.arguments.clone(), task.assign.clone()]);
                    let mut output = task.output.clone().unwrap_or_default();
                    if let (true, Some(members)) = (task.end, output.as_object_mut()) {
                        let copied = |value: &Value| {
                            let text = value.as_str().and_then(|text| text.strip_prefix("{% $"));
                            let name = text.and_then(|text| text.strip_suffix(" %}"));
                            name.is_some_and(|name| name.chars().all(char::is_alphanumeric))
                        };
                        members.retain(|name, value| read.contains(&&**name) || !copied(value));
                    }
                    templates.push(output);
                    for catcher in &task.catch {
                        templates.extend(
                            [Some(catcher.assign.clone()), catcher.output.clone()]
                                .into_iter()
                                .flatten(),
                        );
                    }
                    let catchers = task.catch.iter().map(|catcher| &catcher.assign);
                    let all = catchers.chain([&task.assign]).filter_map(Value::as_object);
                    assigned.extend(all.flat_map(|names| names.keys().cloned()));
                }
                State::Choice(choice) => {
                    for rule in &choice.choices {
                        templates.extend(
                            [Some(rule.condition.clone()), rule.output.clone()]
                                .into_iter()
                                .flatten(),
                        );
                    }
                }
                State::Wait(wait) => {
                    templates.push(wait.seconds.clone());
                    templates.extend(wait.output.clone());
                }
                State::Succeed(_) | State::Fail(_) => {}
            }
        }
        let text = Value::Array(templates).to_string();
        assigned.retain(|name: &String| {
            let variable = format!("${name}");
            let mut rests = text.split(&variable).skip(1);
            rests.all(|rest| rest.starts_with(char::is_alphanumeric))
        });
        assigned
    }

    /// The states on the path from the start to an end. `decisions` selects the path: each decision is the comment of
    /// a choice's branch, or an error that a task catches, in the order of the path. Without a decision, a choice
    /// takes its default, and a task succeeds.
    ///
    /// # Errors
    /// A decision does not occur on the path, or the path reaches a state again without a decision in between, so it
    /// has no end.
    pub fn path(&self, decisions: &[&str]) -> Result<Vec<&str>> {
        let mut decisions = decisions;
        let mut path = Vec::new();
        let mut reached = BTreeSet::new();
        let mut state = Some(self.start_at.as_str());
        while let Some(name) = state {
            if !reached.insert((name, decisions.len())) {
                bail!("the path reaches {name} again and again");
            }
            path.push(name);
            let (decided, rest) = match decisions.split_first() {
                Some((first, rest)) => (Some(*first), rest),
                None => (None, decisions),
            };
            let (turn, ahead) = match self.states.get(name) {
                Some(State::Task(task)) => {
                    let mut catchers = task.catch.iter();
                    let taken = catchers.find(|catcher| {
                        let mut errors = catcher.error_equals.iter();
                        errors.any(|error| Some(error.as_str()) == decided)
                    });
                    (
                        taken.map(|catcher| catcher.next.as_str()),
                        task.next.as_deref(),
                    )
                }
                Some(State::Choice(choice)) => {
                    let mut rules = choice.choices.iter();
                    let taken = rules.find(|rule| Some(rule.comment.as_str()) == decided);
                    (
                        taken.map(|rule| rule.next.as_str()),
                        Some(choice.default.as_str()),
                    )
                }
                Some(State::Wait(wait)) => (None, Some(wait.next.as_str())),
                Some(State::Succeed(_) | State::Fail(_)) | None => (None, None),
            };
            if turn.is_some() {
                decisions = rest;
            }
            state = turn.or(ahead);
        }
        if let Some(decision) = decisions.first() {
            bail!("`{decision}` does not occur on the path {path:?}");
        }
        Ok(path)
    }

    /// Reads the text of a definition, with its placeholders filled in. A function or a table is replaced by its
    /// placeholder's name: `${PayOrderFunction}` becomes `PayOrderFunction`.
    ///
    /// # Errors
    /// The text is no definition, or has an unknown field.
    pub fn read(text: &str, policy: Policy) -> Result<Self> {
        let mut text = text.replace("${SaveCardPolicy}", &policy.to_string());
        while let Some((before, rest)) = text.split_once("${") {
            let (name, after) = rest.split_once('}').context("a placeholder has no end")?;
            text = format!("{before}{name}{after}");
        }
        let mut definition: Self = serde_json::from_str(&text).context("the definition")?;
        definition.policy = policy;
        definition.source = serde_json::from_str(&text)?;
        if definition.query_language != "JSONata" {
            bail!("the definition is not in JSONata");
        }
        for (name, state) in &definition.states {
            for next in state.leads_to() {
                if !definition.states.contains_key(next) {
                    bail!("{name} leads to `{next}`, which does not exist");
                }
            }
        }
        Ok(definition)
    }
}

/// For [`path`]: a new user pays, and the card is saved.
pub const NEW_USER: &[&str] = &["paid", "the policy says yes"];
/// For [`path`]: a known user pays with a new card.
pub const KNOWN_USER: &[&str] = &["paid", "the policy says yes", "existed, not declined"];

/// The repository's definitions, each read once.
fn of(machine: Machine) -> &'static Definition {
    static PAYMENT: LazyLock<Definition> = LazyLock::new(|| read(Machine::Payment));
    static REFUND: LazyLock<Definition> = LazyLock::new(|| read(Machine::Refund));
    fn read(machine: Machine) -> Definition {
        Definition::of_the_repository(machine).unwrap_or_else(|error| panic!("{error:#}"))
    }
    match machine {
        Machine::Payment => &PAYMENT,
        Machine::Refund => &REFUND,
    }
}

/// As [`Definition::path`], for the repository's definition of a machine.
///
/// # Panics
/// There is no such path, or no definition.
#[must_use]
pub fn path(machine: Machine, decisions: &[&str]) -> Vec<&'static str> {
    let path = of(machine).path(decisions);
    path.unwrap_or_else(|error| panic!("statemachine/{machine}.asl.json: {error:#}"))
}

/// The functions that are called on a path, in order.
///
/// # Panics
/// As [`path`].
#[must_use]
pub fn functions_on(machine: Machine, decisions: &[&str]) -> Vec<String> {
    let path = path(machine, decisions).into_iter();
    let tasks = path.filter_map(|name| match of(machine).states.get(name)? {
        State::Task(task) => task.function(),
        _ => None,
    });
    tasks.collect()
}

impl State {
    /// What it is for.
    #[must_use]
    pub fn comment(&self) -> &str {
        match self {
            Self::Task(task) => &task.comment,
            Self::Choice(choice) => &choice.comment,
            Self::Wait(wait) => &wait.comment,
            Self::Succeed(succeed) => &succeed.comment,
            Self::Fail(fail) => &fail.comment,
        }
    }

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
            Self::Wait(wait) => vec![&wait.next],
            Self::Succeed(_) | Self::Fail(_) => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decisions_select_the_path() {
        let definition = Definition::of_the_repository(Machine::Payment).unwrap();
        let refused = ["paid", "OrderNotFound", "NotificationRefused"];
        let path = definition.path(&refused).unwrap();
        assert_eq!(path.first(), Some(&"ParseCallback"));
        assert!(path.ends_with(&["ReverseCharge", "NotifyReversal", "CloseRecord"]));
        let plain = definition.path(&["paid", "the policy says yes"]).unwrap();
        assert!(plain.contains(&"EnsureKBankUser") && !plain.contains(&"AddCard"));
        for never in [&["paid", "declined"][..], &["OrderNotFound"]] {
            assert!(definition.path(never).is_err(), "{never:?}");
        }
    }

    #[test]
    fn a_path_may_reach_a_state_again_after_a_decision() {
        let definition = Definition::of_the_repository(Machine::Refund).unwrap();
        let waited = ["part, Authorized", "part, Authorized", "Settled"];
        let path = definition.path(&waited).unwrap();
        let waits = path.iter().filter(|name| **name == "AwaitSettlement");
        assert_eq!(waits.count(), 2, "{path:?}");
        assert!(path.ends_with(&["RefundCharge", "RecordRefund", "NotifyRefund", "RefundDone"]));

        let text = std::fs::read_to_string(file(Machine::Refund)).unwrap();
        let from = r#""Default": "ReportStuck""#;
        assert!(text.contains(from));
        let endless = text.replace(from, r#""Default": "AwaitSettlement""#);
        let endless = Definition::read(&endless, Policy::default()).unwrap();
        let error = endless.path(&[]).unwrap_err().to_string();
        assert!(error.contains("again and again"), "{error}");
    }

    #[test]
    fn a_variable_that_is_only_in_outputs_decides_nothing() {
        let text = std::fs::read_to_string(file(Machine::Payment)).unwrap();
        let carried = |text: &str| {
            let definition = Definition::read(text, Policy::default()).unwrap();
            definition.carried(&["result", "notified", "card", "waitingFor"])
        };
        let before = carried(&text);
        let assigned = text.replace(
            r#""notified": false,"#,
            r#""notified": false, "risk": "known","#,
        );
        let put_out = assigned.replace(
            r#""orderId": "{% $payment.orderId %}","#,
            r#""orderId": "{% $payment.orderId %}", "risk": "{% $risk %}","#,
        );
        let mut with_risk = before.clone();
        with_risk.insert("risk".to_owned());
        assert_eq!(carried(&put_out), with_risk);
        let decides = put_out.replace("$outcome = 'declined'", "$risk = 'new'");
        assert_eq!(carried(&decides), before);
    }

    #[test]
    fn an_unknown_field_is_an_error() {
        for (machine, from, to) in [
            (
                Machine::Payment,
                r#""Default": "CloseRecord""#,
                r#""Default": "CloseRecord", "Output": {}"#,
            ),
            (
                Machine::Payment,
                r#""Next": "Outcome""#,
                r#""Next": "Nowhere""#,
            ),
            (
                Machine::Refund,
                r#""Seconds": 3600"#,
                r#""Seconds": 3600, "Timestamp": "{% $now() %}""#,
            ),
            (
                Machine::Refund,
                r#""Error": "RefundStuck""#,
                r#""Error": "RefundStuck", "CausePath": "$""#,
            ),
        ] {
            let text = std::fs::read_to_string(file(machine)).unwrap();
            assert!(Definition::read(&text, Policy::PaidOnly).is_ok());
            assert!(text.contains(from), "{from}");
            assert!(
                Definition::read(&text.replace(from, to), Policy::PaidOnly).is_err(),
                "{to}"
            );
        }
    }
}
