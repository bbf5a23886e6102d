//! Prints an execution's path.

use payment3_harness::executions::{ExecutionReport, seconds};
use payment3_harness::history::Visit;
use serde_json::Value;

/// The path as a table: state, time of entry, duration, and what went wrong.
pub(super) fn lines(report: &ExecutionReport) -> Vec<String> {
    lines_of(report, &report.path)
}

/// The same of a part of the path.
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

/// What a cause says: a function's error comes as JSON around its message.
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
    fn a_functions_message_is_taken_out_of_its_json() {
        assert_eq!(
            explained(r#"{"errorType":"A","errorMessage":"no order"}"#),
            "no order"
        );
        assert_eq!(explained("plain"), "plain");
        assert_eq!(explained("{}"), "{}");
    }
}
