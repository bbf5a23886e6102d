//! The functions, and how they start.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use payment3_activities::lambda::INVALID_INPUT;
use serde_json::Value;

use super::super::aws::{Answer, Refusal};
use super::super::stack::{Resource, text};
use super::super::table::Line;
use super::{PUT_BACK, differences, refused};

/// A function's configuration.
pub(crate) fn function(resource: &Resource, answer: &Answer) -> Line {
    let what = format!("function {}", resource.name());
    let found = match answer {
        Ok(found) => found,
        Err(refusal) => return refused(what, refusal),
    };
    let fields = [
        (
            "Architectures",
            "Architectures",
            serde_json::json!(["x86_64"]),
        ),
        ("Timeout", "Timeout", 3.into()),
        ("MemorySize", "MemorySize", 128.into()),
        ("Runtime", "Runtime", Value::Null),
        ("Handler", "Handler", Value::Null),
    ];
    let wrong = differences(&resource.properties, found, &fields);
    if !wrong.is_empty() {
        return Line::fails(what, wrong.join("; "), PUT_BACK);
    }
    for (field, good) in [("State", "Active"), ("LastUpdateStatus", "Successful")] {
        let state = text(found, field).unwrap_or_default();
        if state != good {
            let reason = text(found, &format!("{field}Reason")).unwrap_or_default();
            let says = format!("{field} is {state}, not {good}. {reason}");
            return Line::fails(
                what,
                says.trim_end(),
                "wait a minute and check again; then deploy again: docs/deploy.md#each-branch",
            );
        }
    }
    Line::ok(
        what,
        format!(
            "active, {}, {} s",
            found["Architectures"][0].as_str().unwrap_or_default(),
            found["Timeout"]
        ),
    )
}

/// What the call of an activity with an event that it must refuse showed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Call {
    /// The error's name.
    pub(crate) error: Option<String>,
    /// Milliseconds that its start took, if this call started it.
    pub(crate) start: Option<f64>,
    /// Milliseconds that the call took.
    pub(crate) took: Option<f64>,
}

impl Call {
    /// Reads what AWS Lambda answers: its own answer with the end of the log, and what the function answered.
    pub(crate) fn of(answer: &Value, payload: &Value) -> Self {
        let log = text(answer, "LogResult").and_then(|log| STANDARD.decode(log).ok());
        let log = String::from_utf8_lossy(&log.unwrap_or_default()).into_owned();
        // The last line that AWS Lambda writes for a call, in its JSON format.
        let report = log.lines().rev().find_map(|line| {
            let line: Value = serde_json::from_str(line).ok()?;
            (line["type"] == "platform.report").then(|| line["record"]["metrics"].clone())
        });
        let number = |field: &str| report.as_ref().and_then(|report| report[field].as_f64());
        Self {
            error: text(payload, "errorType"),
            start: number("initDurationMs"),
            took: number("durationMs"),
        }
    }
}

/// Adds to the line of an activity how it started. `calls` are its calls, one after the other.
pub(crate) fn started(line: Line, calls: &[Result<Call, Refusal>]) -> Line {
    if line.failed() {
        return line;
    }
    let says = |more: &str| Line::ok(&line.what, format!("{}; {more}", line.says));
    let mut times = Vec::new();
    for call in calls {
        match call {
            Err(Refusal::Denied) => return says("not started: these credentials may not call it"),
            Err(refusal) => return refused(&line.what, refusal),
            Ok(call) if call.error.as_deref() != Some(INVALID_INPUT) => {
                let error = call.error.as_deref().unwrap_or("no error at all");
                let says = format!("called with an event that it must refuse, it answers {error}");
                return Line::fails(
                    &line.what,
                    says,
                    "its log says why: docs/runbook.md#activity-crashes",
                );
            }
            Ok(Call { start, took, .. }) => {
                times.extend(start.map(|ms| format!("started in {ms:.0} ms")));
                times.extend(match (start, took) {
                    (None, Some(ms)) => Some(format!("warm {ms:.0} ms")),
                    _ => None,
                });
            }
        }
    }
    match times.is_empty() {
        true => says("starts; this AWS does not say how fast"),
        false => says(&times.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::super::stack::tests::stack as small_stack;
    use super::super::super::table::Verdict;
    use super::super::tests::{changed, fails_with, resource};
    use super::*;

    #[test]
    fn a_function_is_what_the_template_says() {
        let pay = &small_stack().resources["Pay"];
        let good = json!({"Architectures": ["arm64"], "Timeout": 12, "MemorySize": 256, "Runtime": "provided.al2023",
            "State": "Active", "LastUpdateStatus": "Successful"});
        assert_eq!(
            function(pay, &Ok(good.clone())),
            Line::ok("function payment3-pay-x", "active, arm64, 12 s")
        );
        for (field, to, words) in [
            (
                "/Architectures",
                json!(["x86_64"]),
                r#"Architectures is ["x86_64"], the template says ["arm64"]"#,
            ),
            ("/Timeout", json!(3), "Timeout is 3, the template says 12"),
            ("/State", json!("Failed"), "State is Failed"),
            (
                "/LastUpdateStatus",
                json!("InProgress"),
                "LastUpdateStatus is InProgress",
            ),
        ] {
            fails_with(&function(pay, &changed(&good, field, to)), words);
        }
        // What the template does not say is AWS's default.
        let plain = resource("AWS::Lambda::Function", "f", json!({}));
        fails_with(
            &function(&plain, &Ok(good)),
            r#"the template says ["x86_64"]"#,
        );
    }

    /// What AWS Lambda answers, with this line at the end of the log.
    fn called(report: &str, error: &str) -> Call {
        let log = STANDARD.encode(format!("{{\"level\":\"ERROR\"}}\n{report}\n"));
        Call::of(&json!({"LogResult": log}), &json!({"errorType": error}))
    }

    #[test]
    fn the_times_of_a_start_are_those_of_the_report() {
        let cold = called(
            r#"{"type":"platform.report","record":{"metrics":{"durationMs":2.4,"initDurationMs":31.6}}}"#,
            "InvalidInput",
        );
        let warm = called(
            r#"{"type":"platform.report","record":{"metrics":{"durationMs":1.2}}}"#,
            "InvalidInput",
        );
        let line = || Line::ok("function f", "active");
        let both = started(line(), &[Ok(cold), Ok(warm.clone())]);
        assert_eq!(both.says, "active; started in 32 ms, warm 1 ms");
        let silent = called("no report", "InvalidInput");
        let unknown = started(line(), &[Ok(silent)]);
        assert!(
            unknown.says.ends_with("does not say how fast"),
            "{unknown:?}"
        );
        let denied = started(line(), &[Err(Refusal::Denied)]);
        assert_eq!(denied.verdict, Verdict::Ok);
        assert!(denied.says.contains("may not call it"), "{denied:?}");
        // It does not start, or it did something.
        for error in ["Runtime.ExitError", ""] {
            assert!(
                started(line(), &[Ok(called("", error))]).failed(),
                "{error}"
            );
        }
        let throttled = Refusal::Broken("TooManyRequestsException".into());
        assert!(started(line(), &[Ok(warm), Err(throttled)]).failed());
        // What was wrong before is told first.
        let wrong = Line::fails("function f", "another architecture", PUT_BACK);
        assert_eq!(started(wrong.clone(), &[Err(Refusal::Denied)]), wrong);
    }
}
