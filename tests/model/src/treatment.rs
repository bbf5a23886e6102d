//! The errors of each task, how the definition treats them, and how it must treat them.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Context, Result};
use payment3_activities::activity::ACTIVITIES;
use payment3_activities::failure::{Name, Treatment as Kind};
use payment3_activities::lambda::INVALID_INPUT;

use crate::definition::{Catcher, Definition, KNOWN_USER, Machine, NEW_USER, Task};

/// The name of the records table in the definition.
pub(crate) const RECORDS: &str = "CardPaymentRecordTable";
/// The error of the state machine's DynamoDB integration when a condition does not hold.
pub(crate) const CONDITION_FAILED: &str = "DynamoDB.ConditionalCheckFailedException";

/// The errors that every task that calls a function may get: it died, hung, was throttled or unavailable, or answered
/// too much.
const OF_LAMBDA: [&str; 10] = [
    "Runtime.ExitError",
    "Sandbox.Timedout",
    "Lambda.Unknown",
    "Lambda.ServiceException",
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
    "Lambda.TooManyRequestsException",
    "Lambda.ClientExecutionTimeoutException",
    "States.Permissions",
    "States.Timeout",
];
const OF_DYNAMODB: [&str; 8] = [
    "DynamoDB.InternalServerErrorException",
    "DynamoDB.ProvisionedThroughputExceededException",
    "DynamoDB.RequestLimitExceededException",
    "DynamoDB.ThrottlingException",
    "DynamoDB.TransactionConflictException",
    "DynamoDB.SdkClientException",
    "States.Permissions",
    "States.Timeout",
];
/// The errors that no wildcard matches, so nothing can retry them.
pub(crate) const UNSTOPPABLE: [&str; 2] = ["States.DataLimitExceeded", "States.Runtime"];

/// How an error is treated at a state.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Treatment {
    /// Whether it is retried.
    pub retried: bool,
    /// The state that catches it. Without one, the execution fails in place.
    pub caught_to: Option<String>,
}

impl fmt::Display for Treatment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.retried { "retried" } else { "at once" })?;
        match &self.caught_to {
            Some(state) => write!(f, " | to {state}"),
            None => f.write_str(" | fails in place"),
        }
    }
}

/// Whether an error is definite: a retry would give the same. It is an answer to the call, or the definition is wrong.
pub(crate) fn is_definite(callee: &str, error: &str) -> bool {
    let mut all = errors(callee).into_iter().flatten();
    UNSTOPPABLE.contains(&error) || all.any(|known| known.name == error && known.definite)
}

/// An error that a task may get.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Error {
    pub(crate) name: &'static str,
    /// Whether it is an answer, so the call had no effect. Any other error may come before or after the effect.
    pub(crate) definite: bool,
}

/// The own errors of a function or a table; `None` if it is unknown.
#[must_use]
pub fn own_errors(callee: &str) -> Option<&'static [Name]> {
    if callee == RECORDS {
        return Some(&[(CONDITION_FAILED, Kind::Definite)]);
    }
    let mut all = ACTIVITIES.iter();
    let activity = all.find(|activity| activity.program == callee);
    activity.map(|activity| activity.errors)
}

/// All errors that a task may get: the function's own or DynamoDB's, invalid input, and errors of the platform.
pub(crate) fn errors(callee: &str) -> Option<Vec<Error>> {
    let own = own_errors(callee)?;
    let own = own.iter().map(|(name, kind)| Error {
        name,
        definite: *kind == Kind::Definite,
    });
    let is_table = callee == RECORDS;
    let input = (!is_table).then_some(Error {
        name: INVALID_INPUT,
        definite: true,
    });
    let platform = if is_table {
        &OF_DYNAMODB[..]
    } else {
        &OF_LAMBDA
    };
    let platform = platform.iter().chain(&UNSTOPPABLE).map(|name| Error {
        name,
        definite: false,
    });
    Some(own.chain(input).chain(platform).collect())
}

/// Whether an error belongs to one function or table. All others may occur in every task.
#[must_use]
pub fn is_own(error: &str) -> bool {
    !OF_LAMBDA.contains(&error)
        && !OF_DYNAMODB.contains(&error)
        && !UNSTOPPABLE.contains(&error)
        && error != INVALID_INPUT
}

/// How a task treats an error, and the catcher for it. Only the first rule that matches counts.
pub(crate) fn treatment<'t>(task: &'t Task, error: &str) -> (Treatment, Option<&'t Catcher>) {
    let mut retriers = task.retry.iter();
    let mut catchers = task.catch.iter();
    let retrier = retriers.find(|rule| takes(&rule.error_equals, error));
    let catcher = catchers.find(|rule| takes(&rule.error_equals, error));
    let treatment = Treatment {
        retried: retrier.is_some_and(|rule| rule.max_attempts > 0),
        caught_to: catcher.map(|rule| rule.next.clone()),
    };
    (treatment, catcher)
}

/// What the line of a way begins with.
const WAY: &str = "way ";
/// The ways of the payments' flows: what is decided on each.
const PAYMENT_WAYS: &[&[&str]] = &[
    NEW_USER,
    KNOWN_USER,
    &["declined", "the policy says yes", "CardNotSaved"],
    &["paid or returned, ADDCARD", "ADDCARD"],
    &["paid", "OrderNotPayable"],
];
/// The ways of the refunds' flows.
const REFUND_WAYS: &[&[&str]] = &[
    &["whole, Authorized"],
    &["Settled"],
    &["part, Authorized", "Settled"],
    &["whole, Authorized", "RefundRefused", "Settled"],
    &["Settled", "RefundRefused", "refused for three days"],
    &["Settled", "States.ALL", "answer lost", "it took effect"],
    &["Settled", "States.ALL", "answer lost", "nobody can tell"],
    &["elsewhere", "by hand"],
];

impl Machine {
    fn ways(self) -> &'static [&'static [&'static str]] {
        match self {
            Self::Payment => PAYMENT_WAYS,
            Self::Refund => REFUND_WAYS,
        }
    }
}

/// What `tests/model/snapshot.txt` holds of both machines: how each task's own errors are treated, a line each
/// (`PayOrder | OrderNotFound | at once | to ReverseCharge`), and the states on the ways of the flows. The part of a
/// machine begins with its name.
///
/// # Errors
/// A definition cannot be read, or does not have a way.
pub fn snapshot() -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for machine in Machine::ALL {
        let definition = Definition::of_the_repository(machine)?;
        lines.push(head(machine));
        lines.extend(error_table(&definition));
        for way in machine.ways() {
            let path = definition.path(way)?;
            lines.push(format!("{WAY}{}: {}", way.join(" / "), path.join(" ")));
        }
    }
    Ok(lines)
}

/// The line of the snapshot before the part of a machine.
fn head(machine: Machine) -> String {
    format!("[{machine}]")
}

fn error_table(definition: &Definition) -> Vec<String> {
    let tasks = definition.tasks();
    let lines = tasks.flat_map(|(name, task)| {
        let own = own_errors(&task.callee()).unwrap_or_default();
        own.iter().map(move |(error, _)| {
            let (treatment, _) = treatment(task, error);
            format!("{name} | {error} | {treatment}")
        })
    });
    lines.collect()
}

/// Whether a list of error names, as in `ErrorEquals`, matches an error.
#[must_use]
pub fn takes(error_equals: &[String], error: &str) -> bool {
    error_equals.iter().any(|name| match name.as_str() {
        "States.ALL" => !UNSTOPPABLE.contains(&error),
        "States.TaskFailed" => error != "States.Timeout" && !UNSTOPPABLE.contains(&error),
        name => name == error,
    })
}

/// How errors must be treated: a table for the activities' own errors, and rules for the others.
pub(crate) struct Agreed {
    machine: Machine,
    table: BTreeMap<(String, String), String>,
}

impl Agreed {
    /// Reads the errors of a machine's part of `snapshot.txt`: lines such as
    /// `PayOrder | OrderNotFound | at once | to ReverseCharge`.
    pub(crate) fn read(machine: Machine) -> Result<Self> {
        let head = head(machine);
        let lines = include_str!("../snapshot.txt").lines();
        let lines = lines.skip_while(|line| *line != head).skip(1);
        let lines = lines.take_while(|line| !line.starts_with('['));
        let lines = lines.filter(|line| !line.starts_with(WAY));
        let lines = lines.map(|line| {
            let (state, rest) = line.split_once(" | ")?;
            let (error, treatment) = rest.split_once(" | ")?;
            Some(((state.to_owned(), error.to_owned()), treatment.to_owned()))
        });
        let agreed: Option<_> = lines.collect();
        let table = agreed.context("a line of snapshot.txt does not have four cells")?;
        Ok(Self { machine, table })
    }

    /// The agreed treatment, as [`Treatment`] prints it. An error that no rule can retry fails in place at once.
    ///
    /// Of payments: an error of the platform may be temporary: it is retried, and then fails in place. An invalid input
    /// fails in place at once. An error with a card does not stop the payment.
    ///
    /// Of refunds: an error of the platform is retried, and then told to a person, and so is an invalid input at once.
    /// But a request for money is never repeated: what became of it is found out. An invalid input of the execution
    /// itself fails in place.
    pub(crate) fn on(&self, state: &str, error: &str) -> &str {
        let key = (state.to_owned(), error.to_owned());
        let is_card = matches!(state, "EnsureKBankUser" | "AddCard");
        match self.table.get(&key) {
            Some(treatment) => treatment,
            None if UNSTOPPABLE.contains(&error) => "at once | fails in place",
            None if self.machine == Machine::Refund => match (state, error) {
                ("VoidCharge" | "RefundCharge", _) => "at once | to AwaitAnswer",
                ("ReportStuck", _) => "retried | to RefundStuck",
                ("CheckRefund", INVALID_INPUT) => "at once | fails in place",
                (_, INVALID_INPUT) => "at once | to ReportStuck",
                _ => "retried | to ReportStuck",
            },
            None if is_card && error == INVALID_INPUT => "at once | to CardHandled",
            None if is_card => "retried | to CardHandled",
            None if error == INVALID_INPUT => "at once | fails in place",
            None => "retried | fails in place",
        }
    }

    /// The states and errors of the table.
    pub(crate) fn listed(&self) -> impl Iterator<Item = &(String, String)> {
        self.table.keys()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_names_match_as_step_functions_matches_them() {
        let takes = |name: &str, error| takes(&[name.to_owned()], error);
        assert!(takes("B", "B") && !takes("B", "b"));
        assert!(takes("States.ALL", "Runtime.ExitError"));
        assert!(!takes("States.ALL", "States.DataLimitExceeded"));
        assert!(takes("States.TaskFailed", "A"));
        assert!(!takes("States.TaskFailed", "States.Timeout"));
    }

    #[test]
    fn the_table_and_the_rule_are_read() {
        let agreed = Agreed::read(Machine::Payment).unwrap();
        for (error, treatment) in [
            ("OrderNotFound", "at once | to ReverseCharge"),
            ("Runtime.ExitError", "retried | fails in place"),
            ("States.Runtime", "at once | fails in place"),
            (INVALID_INPUT, "at once | fails in place"),
        ] {
            assert_eq!(agreed.on("PayOrder", error), treatment);
        }
        for (error, treatment) in [
            ("Runtime.ExitError", "retried | to CardHandled"),
            ("States.Runtime", "at once | fails in place"),
            (INVALID_INPUT, "at once | to CardHandled"),
        ] {
            assert_eq!(agreed.on("AddCard", error), treatment);
        }
    }
}
