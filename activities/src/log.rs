//! What a function writes to its log: one JSON object a line, and on each of them which payment it is about.
//!
//! ```json
//! {"timestamp": "…", "level": "INFO", "message": "the order is paid", "event": "orderPaid",
//!  "span": {"requestId": "…", "execution": "chrg_…", "state": "PayOrder", "chargeId": "chrg_…", "orderId": "…"}}
//! ```
//!
//! Lines are for people, and are counted: the metric filters of the CDK app read `error` (the name of a failure) and `event`
//! (the name of something that happened), never the message. Free text about a failure stands in `reason`. No line holds a
//! token, a key or personal data.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use tracing::Span;
use tracing::field::Empty;
use tracing_subscriber::filter::LevelFilter;

use crate::domain::ids::{ChargeId, OrderId};

/// Sets up logging: JSON lines of the level in `RUST_LOG` and above, of `info` where it names none. Never more than
/// `info`: below that the libraries print what they send and receive, card tokens included.
pub fn init() {
    let level = std::env::var("RUST_LOG")
        .ok()
        .filter(|level| !level.is_empty())
        .and_then(|level| level.parse().ok())
        .unwrap_or(LevelFilter::INFO)
        .min(LevelFilter::INFO);
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(true)
        .with_span_list(false)
        .with_target(false)
        .with_max_level(level)
        .init();
}

/// Where in the saga an activity runs. The state machine puts it beside the activity's own input, as `trace`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Trace {
    /// The execution's name.
    execution: String,
    /// The state's name.
    state: String,
    /// When the execution began, in RFC 3339.
    started_at: Option<String>,
}

impl Trace {
    /// Takes the trace out of a function's input, and puts the start of the execution there, as `startedAt` in seconds
    /// since 1970. `None` where the input has no trace, as when a person calls the function.
    pub fn take_from(input: &mut Value) -> Option<Self> {
        let input = input.as_object_mut()?;
        let trace: Self = serde_json::from_value(input.remove("trace")?).ok()?;
        if let Some(start) = trace.start() {
            input.insert("startedAt".to_owned(), start.as_second().into());
        }
        Some(trace)
    }

    fn start(&self) -> Option<Timestamp> {
        self.started_at.as_deref()?.parse().ok()
    }

    /// Milliseconds since the execution began.
    #[must_use]
    pub fn since_start(&self, now: Timestamp) -> Option<i64> {
        Some(now.as_millisecond() - self.start()?.as_millisecond())
    }
}

/// The span of one call of a function; its fields stand on every line that is logged inside.
#[must_use]
pub fn span(request_id: &str, trace: Option<&Trace>) -> Span {
    let span = tracing::info_span!(
        "call",
        requestId = request_id,
        execution = Empty,
        state = Empty,
        chargeId = Empty,
        orderId = Empty
    );
    if let Some(trace) = trace {
        span.record("execution", trace.execution.as_str());
        span.record("state", trace.state.as_str());
    }
    span
}

/// The span of one payment among the many that a call looks at.
#[must_use]
pub fn payment_span(charge: Option<&ChargeId>, order: Option<&OrderId>) -> Span {
    let span = tracing::info_span!("payment", chargeId = Empty, orderId = Empty);
    if let Some(charge) = charge {
        span.record("chargeId", charge.as_str());
    }
    if let Some(order) = order {
        span.record("orderId", order.as_str());
    }
    span
}

/// From here on, the lines of this call are about this charge.
pub fn charge(id: &ChargeId) {
    Span::current().record("chargeId", id.as_str());
}

/// From here on, the lines of this call are about this order.
pub fn order(id: &OrderId) {
    Span::current().record("orderId", id.as_str());
}

/// The same for an activity, by what its input or output says: a payment, or the ids themselves.
pub(crate) fn payment_in(value: &Value) {
    for field in ["chargeId", "orderId"] {
        let id = value
            .pointer(&format!("/payment/{field}"))
            .or(value.get(field));
        if let Some(Value::String(id)) = id {
            Span::current().record(field, id.as_str());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use serde_json::json;

    use super::*;

    /// What is logged inside `work`, line by line.
    fn logged(work: impl FnOnce()) -> Vec<Value> {
        #[derive(Clone, Default)]
        struct Lines(Arc<Mutex<Vec<u8>>>);
        impl io::Write for Lines {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.lock().unwrap().extend_from_slice(bytes);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let lines = Lines::default();
        let writer = lines.clone();
        let collector = tracing_subscriber::fmt()
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .with_target(false)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(collector, work);
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes)
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// The arguments of each call of a logging macro in a source file.
    fn logging_calls(source: &str) -> Vec<Vec<String>> {
        let macros = ["error", "warn", "info", "debug", "trace"];
        let starts = macros.map(|level| format!("tracing::{level}!("));
        let begun = starts.iter().flat_map(|start| source.split(start).skip(1));
        begun.map(arguments).collect()
    }

    /// The arguments up to the bracket that closes the call.
    fn arguments(rest: &str) -> Vec<String> {
        let (mut found, mut depth, mut in_text, mut escaped) =
            (vec![String::new()], 0, false, false);
        for c in rest.chars() {
            match c {
                '"' if !escaped => in_text = !in_text,
                '(' | '[' | '{' if !in_text => depth += 1,
                ')' if !in_text && depth == 0 => break,
                ')' | ']' | '}' if !in_text => depth -= 1,
                ',' if !in_text && depth == 0 => {
                    found.push(String::new());
                    continue;
                }
                _ => {}
            }
            escaped = c == '\\' && !escaped;
            if let Some(last) = found.last_mut() {
                last.push(c);
            }
        }
        found
            .iter()
            .map(|argument| argument.trim().to_owned())
            .collect()
    }

    /// Why an argument is no good as the field `error`, if it is one.
    fn wrong_error(argument: &str) -> Option<String> {
        let (field, value) = argument.split_once('=').unwrap_or((argument, ""));
        if field.trim().trim_start_matches(['%', '?']) != "error" {
            return None;
        }
        let value = value.trim();
        let quoted = value
            .strip_prefix('"')
            .and_then(|text| text.strip_suffix('"'));
        let is_name = quoted.is_some_and(|name| {
            name.starts_with(|c: char| c.is_ascii_uppercase())
                && name.chars().all(|c| c.is_ascii_alphanumeric())
        });
        let is_constant = value == "INVALID_INPUT" || value.ends_with(".name()");
        (!is_name && !is_constant).then(|| {
            format!("`{argument}`: `error` holds a counted name; free text stands in `reason`")
        })
    }

    #[test]
    fn the_field_error_holds_a_counted_name_and_never_free_text() {
        let mut folders = vec![std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src")];
        let mut calls = 0;
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let source = std::fs::read_to_string(&path).unwrap();
                for arguments in logging_calls(&source) {
                    calls += 1;
                    let wrong = arguments.iter().find_map(|argument| wrong_error(argument));
                    assert_eq!(wrong, None, "{}", path.display());
                }
            }
        }
        assert!(calls > 40, "{calls} calls are found");
    }

    #[test]
    fn every_line_says_which_payment_execution_and_state_it_is_about() {
        let mut input = json!({
            "payment": {"chargeId": "chrg_1", "orderId": "482500007436"},
            "trace": {"execution": "chrg_1-2", "state": "PayOrder", "startedAt": "2026-11-22T05:10:00.000Z"},
        });
        let trace = Trace::take_from(&mut input);
        assert!(input.get("trace").is_none(), "{input}");
        assert_eq!(input["startedAt"], 1_795_324_200);
        let lines = logged(|| {
            span("r-1", trace.as_ref()).in_scope(|| {
                payment_in(&input);
                tracing::info!(event = "done", "done");
            });
        });
        assert_eq!(lines[0]["event"], "done");
        assert_eq!(
            lines[0]["span"],
            json!({"name": "call", "requestId": "r-1", "execution": "chrg_1-2", "state": "PayOrder", "chargeId": "chrg_1", "orderId": "482500007436"})
        );
    }

    #[test]
    fn ids_that_are_learnt_later_stand_on_the_lines_from_then_on() {
        let lines = logged(|| {
            span("r-1", None).in_scope(|| {
                tracing::info!("first");
                charge(&ChargeId::new("chrg_1").unwrap());
                order(&OrderId::new("482500007436").unwrap());
                tracing::info!("second");
            });
        });
        assert_eq!(
            lines[0]["span"],
            json!({"name": "call", "requestId": "r-1"})
        );
        assert_eq!(lines[1]["span"]["chargeId"], "chrg_1");
        assert_eq!(lines[1]["span"]["orderId"], "482500007436");
    }

    #[test]
    fn an_input_without_a_trace_or_with_a_strange_one_is_read_all_the_same() {
        for mut input in [
            json!({"a": 1}),
            json!({"trace": 7}),
            json!("text"),
            json!(null),
        ] {
            assert_eq!(Trace::take_from(&mut input), None);
        }
    }

    #[test]
    fn the_time_since_the_start_is_known_where_the_start_is() {
        let trace = |started_at: Option<&str>| Trace {
            execution: "e".into(),
            state: "s".into(),
            started_at: started_at.map(Into::into),
        };
        let now: Timestamp = "2026-11-22T05:10:01.5Z".parse().unwrap();
        assert_eq!(
            trace(Some("2026-11-22T05:10:00.250Z")).since_start(now),
            Some(1250)
        );
        assert_eq!(trace(Some("yesterday")).since_start(now), None);
        assert_eq!(trace(None).since_start(now), None);
    }
}
