//! `cargo local executions --watch`.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Result, bail};
use jiff::Timestamp;
use payment3_harness::overview::Overview;
use serde::Serialize;
use tokio::time::sleep;

use super::path;
use crate::cli;

/// The time between two polls.
const POLL: Duration = Duration::from_millis(500);

/// Prints a line for every change: of one execution until it ends, or of all until the process is stopped.
///
/// # Errors
/// Step Functions does not answer, or the one execution did not succeed.
pub(super) async fn run(overview: &Overview, arguments: &cli::Executions) -> Result<()> {
    match &arguments.name {
        Some(name) => one(overview, name, arguments.json).await,
        None => all(overview, arguments).await,
    }
}

/// A change in the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Change {
    at: Timestamp,
    name: String,
    status: String,
    state: Option<String>,
}

impl Change {
    fn line(&self) -> String {
        format!(
            "{}  {:9}  {}  {}",
            self.at.strftime("%H:%M:%SZ"),
            self.status,
            self.name,
            self.state.as_deref().unwrap_or("(no state yet)"),
        )
    }
}

async fn all(overview: &Overview, arguments: &cli::Executions) -> Result<()> {
    // Executions that had ended before are not shown, and their last state is not requested.
    let mut known: HashMap<String, (String, Option<String>)> = HashMap::new();
    let mut first = true;
    loop {
        let mut listed = overview.list(arguments.limit).await?;
        listed.reverse();
        for summary in listed {
            let before = known.get(&summary.arn);
            if summary.stopped.is_some()
                && (first || before.is_some_and(|(status, _)| *status == summary.status))
            {
                known.insert(summary.arn, (summary.status, None));
                continue;
            }
            let state = overview.last_state(&summary.arn).await?;
            let now = (summary.status.clone(), state.clone());
            if before != Some(&now) {
                known.insert(summary.arn, now);
                print(
                    &Change {
                        at: Timestamp::now(),
                        name: summary.name,
                        status: summary.status,
                        state,
                    },
                    arguments.json,
                )?;
            }
        }
        first = false;
        sleep(POLL).await;
    }
}

fn print(change: &Change, json: bool) -> Result<()> {
    if json {
        println!("{}", serde_json::to_string(change)?);
    } else {
        println!("{}", change.line());
    }
    Ok(())
}

async fn one(overview: &Overview, name: &str, json: bool) -> Result<()> {
    let mut shown = 0;
    loop {
        let Some(report) = overview.find(name).await? else {
            sleep(POLL).await;
            continue;
        };
        let over = report.is_over();
        // The last state can still change, unless the execution has left it.
        let certain = report
            .path
            .iter()
            .take_while(|visit| over || visit.left.is_some())
            .count();
        if certain > shown {
            if json {
                for visit in &report.path[shown..certain] {
                    println!("{}", serde_json::to_string(visit)?);
                }
            } else {
                let lines = path::lines_of(&report, &report.path[shown..certain]);
                println!("{}", lines.join("\n"));
            }
            shown = certain;
        }
        if over {
            if !json {
                println!("{name} {}", report.status);
            }
            if report.has_succeeded() {
                return Ok(());
            }
            bail!("the execution {name} ended {}", report.status);
        }
        sleep(POLL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_printed_as_a_line() {
        let change = Change {
            at: Timestamp::UNIX_EPOCH,
            name: "chrg_test_1".into(),
            status: "RUNNING".into(),
            state: Some("PayOrder".into()),
        };
        assert_eq!(change.line(), "00:00:00Z  RUNNING    chrg_test_1  PayOrder");
    }
}
