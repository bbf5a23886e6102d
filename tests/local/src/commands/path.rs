//! Prints an execution's path.

use payment3_harness::executions::{ExecutionReport, seconds};
use payment3_harness::history::Visit;

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
                failure.message()
            ));
        }
    }
    lines
}
