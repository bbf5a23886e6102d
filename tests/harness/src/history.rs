//! Reads an execution's path from its history.

use std::collections::HashMap;

use aws_sdk_sfn::primitives::DateTime;
use aws_sdk_sfn::types::HistoryEvent;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::redact;

/// An error: its name and its cause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// The name, which the state machine matches.
    pub error: String,
    /// The explanation.
    pub cause: String,
}

impl Failure {
    /// The message of its cause. The cause of a function's error is JSON that contains the message.
    #[must_use]
    pub fn message(&self) -> String {
        serde_json::from_str::<Value>(&self.cause)
            .ok()
            .and_then(|cause| Some(cause.get("errorMessage")?.as_str()?.to_owned()))
            .unwrap_or_else(|| self.cause.clone())
    }
}

/// One visit of a state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Visit {
    /// The state's name.
    pub state: String,
    /// When it was entered.
    pub entered: Timestamp,
    /// When it was left. None while it runs, or if the execution ended in it.
    pub left: Option<Timestamp>,
    /// How often its task was retried.
    pub retries: usize,
    /// Every error of its task, retried or not.
    pub errors: Vec<Failure>,
    /// Its input.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<Value>,
    /// Its task's result.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
    /// Its output.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
}

/// How a visit of a state went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Course {
    /// Its task runs, or waits for a retry.
    Running,
    /// It succeeded at the first try.
    Done,
    /// It succeeded after retries.
    Retried,
    /// It ended with an error that the definition catches.
    Caught,
    /// The execution ended in it.
    Failed,
}

impl Visit {
    /// How the visit went.
    pub fn course(&self, execution_is_over: bool) -> Course {
        match self.left {
            None if execution_is_over => Course::Failed,
            None => Course::Running,
            // Every start of the task failed, including the last.
            Some(_) if self.errors.len() > self.retries => Course::Caught,
            Some(_) if self.errors.is_empty() => Course::Done,
            Some(_) => Course::Retried,
        }
    }
}

/// An event of a history, reduced to what is needed here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    id: i64,
    previous: i64,
    at: Timestamp,
    kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Entered(String, Option<Value>),
    Left(Option<Value>),
    TaskStarted,
    TaskSucceeded(Option<Value>),
    TaskFailed(Failure),
    Other,
}

impl From<HistoryEvent> for Event {
    fn from(event: HistoryEvent) -> Self {
        let name = event.r#type().as_str();
        let kind = if let Some(details) = event.state_entered_event_details() {
            Kind::Entered(details.name().to_owned(), data(details.input()))
        } else if let Some(details) = event.state_exited_event_details() {
            Kind::Left(data(details.output()))
        } else if let Some(details) = event.task_succeeded_event_details() {
            Kind::TaskSucceeded(data(details.output()).map(answered))
        } else if matches!(
            name,
            "TaskScheduled" | "LambdaFunctionScheduled" | "ActivityScheduled"
        ) {
            Kind::TaskStarted
        } else {
            failure_of(&event).map_or(Kind::Other, Kind::TaskFailed)
        };
        Self {
            id: event.id(),
            previous: event.previous_event_id(),
            at: timestamp(event.timestamp()),
            kind,
        }
    }
}

/// A state's input or output, without tokens, so that it can be shown.
fn data(text: Option<&str>) -> Option<Value> {
    let value = serde_json::from_str(text?).ok()?;
    Some(redact::value(value))
}

/// A function's answer, without Step Functions' wrapper.
fn answered(mut result: Value) -> Value {
    match result.get_mut("Payload") {
        Some(payload) => payload.take(),
        None => result,
    }
}

/// The error of a task in an event. The execution's own failure does not count.
fn failure_of(event: &HistoryEvent) -> Option<Failure> {
    macro_rules! first_of {
        ($($details:ident),*) => {
            $(if let Some(details) = event.$details() {
                return Some(failure(details.error(), details.cause()));
            })*
        };
    }
    first_of!(
        task_failed_event_details,
        task_timed_out_event_details,
        task_start_failed_event_details,
        task_submit_failed_event_details,
        lambda_function_failed_event_details,
        lambda_function_timed_out_event_details,
        lambda_function_start_failed_event_details,
        lambda_function_schedule_failed_event_details,
        evaluation_failed_event_details
    );
    None
}

fn failure(error: Option<&str>, cause: Option<&str>) -> Failure {
    Failure {
        error: error.unwrap_or("(unnamed)").to_owned(),
        cause: redact::text(cause.unwrap_or_default()),
    }
}

/// Makes the path from a history. An event belongs to the state of its `previous` event, so that parallel branches do
/// not mix. The local AWS gives no `previous`. Then the event before it is used.
pub(crate) fn fold(events: Vec<Event>) -> Vec<Visit> {
    let mut path: Vec<Visit> = Vec::new();
    let mut starts: Vec<usize> = Vec::new();
    let mut visit_of: HashMap<i64, usize> = HashMap::new();
    let mut before = 0;
    for event in events {
        let previous = if event.previous == 0 {
            before
        } else {
            event.previous
        };
        before = event.id;
        let inherited = visit_of.get(&previous).copied();
        let index = match event.kind {
            Kind::Entered(state, input) => {
                path.push(Visit {
                    state,
                    input,
                    result: None,
                    output: None,
                    entered: event.at,
                    left: None,
                    retries: 0,
                    errors: Vec::new(),
                });
                starts.push(0);
                Some(path.len() - 1)
            }
            kind => {
                if let Some(index) = inherited {
                    note(&mut path[index], &mut starts[index], kind, event.at);
                }
                inherited
            }
        };
        if let Some(index) = index {
            visit_of.insert(event.id, index);
        }
    }
    path
}

fn note(visit: &mut Visit, starts: &mut usize, kind: Kind, at: Timestamp) {
    match kind {
        Kind::Left(output) => {
            visit.left = Some(at);
            visit.output = output;
        }
        Kind::TaskSucceeded(result) => visit.result = result,
        Kind::TaskStarted => {
            visit.retries = *starts;
            *starts += 1;
        }
        Kind::TaskFailed(failure) => visit.errors.push(failure),
        Kind::Entered(..) | Kind::Other => {}
    }
}

/// A time of the AWS SDK.
pub(crate) fn timestamp(time: &DateTime) -> Timestamp {
    time.to_millis()
        .ok()
        .and_then(|millis| Timestamp::from_millisecond(millis).ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(id: i64, previous: i64, kind: Kind) -> Event {
        Event {
            id,
            previous,
            at: Timestamp::from_second(id).expect("a time"),
            kind,
        }
    }

    fn entered(id: i64, previous: i64, state: &str) -> Event {
        event(id, previous, Kind::Entered(state.to_owned(), None))
    }

    fn failed(id: i64, previous: i64, error: &str) -> Event {
        event(
            id,
            previous,
            Kind::TaskFailed(failure(Some(error), Some("why"))),
        )
    }

    #[test]
    fn a_path_has_times_retries_and_errors() {
        let path = fold(vec![
            event(1, 0, Kind::Other),
            entered(2, 1, "PayOrder"),
            event(3, 2, Kind::TaskStarted),
            failed(4, 3, "BankUnavailable"),
            event(5, 4, Kind::TaskStarted),
            event(6, 5, Kind::Other),
            event(7, 6, Kind::Left(None)),
            entered(8, 7, "CloseRecord"),
            event(9, 8, Kind::TaskStarted),
        ]);
        let states: Vec<&str> = path.iter().map(|visit| visit.state.as_str()).collect();
        assert_eq!(states, ["PayOrder", "CloseRecord"]);
        assert_eq!(path[0].retries, 1);
        assert_eq!(
            path[0].errors,
            [failure(Some("BankUnavailable"), Some("why"))]
        );
        assert_eq!(path[0].left.expect("left").as_second(), 7);
        assert_eq!(path[1].retries, 0);
        assert_eq!(path[1].left, None);
    }

    #[test]
    fn a_visit_knows_how_it_went() {
        let path = fold(vec![
            entered(1, 0, "Caught"),
            event(2, 0, Kind::TaskStarted),
            failed(3, 0, "A"),
            event(4, 0, Kind::TaskStarted),
            failed(5, 0, "A"),
            event(6, 0, Kind::Left(None)),
            entered(7, 0, "Retried"),
            event(8, 0, Kind::TaskStarted),
            failed(9, 0, "A"),
            event(10, 0, Kind::TaskStarted),
            event(11, 0, Kind::TaskSucceeded(Some(Value::from(1)))),
            event(12, 0, Kind::Left(Some(Value::from(2)))),
            entered(13, 0, "Done"),
            event(14, 0, Kind::Left(None)),
            entered(15, 0, "Last"),
            event(16, 0, Kind::TaskStarted),
        ]);
        let courses = |over| {
            path.iter()
                .map(|visit| visit.course(over))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            courses(true),
            [
                Course::Caught,
                Course::Retried,
                Course::Done,
                Course::Failed
            ]
        );
        assert_eq!(courses(false).last(), Some(&Course::Running));
        assert_eq!(path[1].result, Some(Value::from(1)));
        assert_eq!(path[1].output, Some(Value::from(2)));
    }

    #[test]
    fn the_message_of_a_function_is_taken_from_its_json() {
        let message = |cause: &str| failure(Some("A"), Some(cause)).message();
        assert_eq!(
            message(r#"{"errorType":"A","errorMessage":"no order"}"#),
            "no order"
        );
        assert_eq!(message("plain"), "plain");
        assert_eq!(message("{}"), "{}");
    }

    #[test]
    fn data_has_no_tokens_and_only_the_functions_own_answer() {
        let result = data(Some(
            r#"{"StatusCode":200,"Payload":{"token":"tokn_test_1","chargeId":"chrg_test_1"}}"#,
        ));
        assert_eq!(
            result.map(answered),
            Some(serde_json::json!({"token": redact::HIDDEN, "chargeId": "chrg_test_1"}))
        );
    }

    #[test]
    fn a_failed_execution_keeps_the_error_in_its_last_state() {
        let path = fold(vec![
            event(1, 0, Kind::Other),
            entered(2, 1, "LookupRecord"),
            event(3, 2, Kind::TaskStarted),
            failed(4, 3, "RecordNotFound"),
            event(5, 4, Kind::Other),
        ]);
        assert_eq!(path.len(), 1);
        assert_eq!(path[0].errors.len(), 1);
        assert_eq!(path[0].left, None);
    }

    #[test]
    fn a_history_without_links_is_read_in_order() {
        let path = fold(vec![
            event(1, 0, Kind::Other),
            entered(2, 0, "ParseCallback"),
            event(3, 0, Kind::TaskStarted),
            event(4, 0, Kind::Left(None)),
            entered(5, 0, "LookupRecord"),
            event(6, 0, Kind::Left(None)),
        ]);
        let left: Vec<i64> = path
            .iter()
            .filter_map(|visit| visit.left.map(Timestamp::as_second))
            .collect();
        assert_eq!(left, [4, 6]);
    }

    #[test]
    fn parallel_branches_do_not_mix() {
        let path = fold(vec![
            event(1, 0, Kind::Other),
            entered(2, 1, "A"),
            entered(3, 1, "B"),
            failed(4, 2, "OfA"),
            event(5, 3, Kind::Left(None)),
        ]);
        assert_eq!(path[0].errors.len(), 1);
        assert_eq!(path[0].left, None);
        assert!(path[1].errors.is_empty());
        assert!(path[1].left.is_some());
    }
}
