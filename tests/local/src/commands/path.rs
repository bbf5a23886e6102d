//! Prints an execution's path.

use payment3_harness::executions::{ExecutionReport, seconds};
use payment3_harness::history::Visit;
use serde_json::Value;

/// The path as a table: state, time of entry, duration, and errors.
pub(super) fn lines(report: &ExecutionReport) -> Vec<String> {
    lines_of(report, &report.path)
}

/// As [`lines`], for a part of the path.
pub(super) fn lines_of(report: &ExecutionReport, visits: &[Visit]) -> Vec<String> {
    let width = report
        .path
        .iter()
        .map(|visit| visit.state.len())
        .max()
        .unwrap_or_default();
    let mut lines = Vec::new();
    for visit in visits {
        let duration = match visit.left.or(report.stopped) {
            Some(left) => seconds(visit.entered, left),
            None => "(now)".to_owned(),
        };
        let mut line = format!(
            "{:width$}  {}  {duration:>9}",
            visit.state,
            visit.entered.strftime("%H:%M:%S.%3f"),
        );
        if visit.retries > 0 {
            line.push_str(&format!("  {} retries", visit.retries));
        }
        lines.push(line);
        for failure in &visit.errors {
            lines.push(format!(
                "{:width$}    {}: {}",
                "",
                failure.error,
                explained(&failure.cause)
            ));
        }
    }
    lines
}

/// The message of a cause. The cause of a function's error is JSON that contains the message.
pub(super) fn explained(cause: &str) -> String {
    serde_json::from_str::<Value>(cause)
        .ok()
        .and_then(|cause| Some(cause.get("errorMessage")?.as_str()?.to_owned()))
        .unwrap_or_else(|| cause.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_of_a_function_is_taken_from_its_json() {
        assert_eq!(
            explained(r#"{"errorType":"A","errorMessage":"no order"}"#),
            "no order"
        );
        assert_eq!(explained("plain"), "plain");
        assert_eq!(explained("{}"), "{}");
    }
}
