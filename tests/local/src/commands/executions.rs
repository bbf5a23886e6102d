//! `cargo local executions`.

use anyhow::{Result, anyhow, bail};
use aws_sdk_sfn::types::ExecutionStatus;
use serde::Serialize;

use super::{path, watch};
use crate::aws::Aws;
use crate::cli;
use crate::executions::{ExecutionReport, Executions, Summary, seconds};
use crate::outputs::Outputs;

/// Lists the executions, or shows one.
///
/// # Errors
/// Nothing runs here, or there is no such execution or status.
pub async fn run(arguments: cli::Executions) -> Result<()> {
    let outputs = Outputs::of_running(&Outputs::file()).await?;
    let executions = Executions::of(&Aws::at(&outputs.aws_endpoint), &outputs.state_machine_arn);
    match &arguments.name {
        _ if arguments.watch => watch::run(&executions, &arguments).await,
        Some(name) => show(&executions, name, arguments.json).await,
        None => list(&executions, &arguments).await,
    }
}

async fn show(executions: &Executions, name: &str, json: bool) -> Result<()> {
    let report = executions.find(name).await?.ok_or_else(|| {
        anyhow!("there is no execution {name}: `cargo local executions` lists those there are")
    })?;
    if json {
        return print_json(&report);
    }
    print(&report)
}

fn print(report: &ExecutionReport) -> Result<()> {
    let duration = match report.stopped {
        Some(stopped) => format!(" after {}", seconds(report.started, stopped)),
        None => String::new(),
    };
    println!(
        "{}  {}{duration}, started {}\n",
        report.name,
        report.status,
        report.started.strftime("%F %TZ")
    );
    for line in path::lines(report) {
        println!("  {line}");
    }
    if let Some(failure) = &report.failure {
        println!(
            "\nfailed with {}: {}",
            failure.error,
            path::explained(&failure.cause)
        );
    }
    if let Some(output) = &report.output {
        println!("\noutput: {}", serde_json::to_string_pretty(output)?);
    }
    Ok(())
}

/// One line of the list.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    #[serde(flatten)]
    summary: Summary,
    last_state: Option<String>,
}

async fn list(executions: &Executions, arguments: &cli::Executions) -> Result<()> {
    let status = arguments.status.as_deref().map(parse_status).transpose()?;
    let mut listed = Vec::new();
    for summary in executions.list(status, arguments.limit).await? {
        let last_state = executions.last_state(&summary.arn).await?;
        listed.push(Listed {
            summary,
            last_state,
        });
    }
    if arguments.json {
        return print_json(&listed);
    }
    if listed.is_empty() {
        match &arguments.status {
            Some(status) => println!("No executions with the status {status}."),
            None => println!("No executions. `cargo local pay` makes one."),
        }
        return Ok(());
    }
    let width = listed
        .iter()
        .map(|line| line.summary.name.len())
        .max()
        .unwrap_or_default();
    println!(
        "{:width$}  {:9}  {:20}  {:>10}  last state",
        "name", "status", "started", "duration"
    );
    for Listed {
        summary,
        last_state,
    } in &listed
    {
        let duration = summary
            .stopped
            .map(|stopped| seconds(summary.started, stopped))
            .unwrap_or_default();
        println!(
            "{:width$}  {:9}  {:20}  {duration:>10}  {}",
            summary.name,
            summary.status,
            summary.started.strftime("%F %TZ"),
            last_state.as_deref().unwrap_or_default(),
        );
    }
    Ok(())
}

pub(super) fn parse_status(text: &str) -> Result<ExecutionStatus> {
    let upper = text.to_uppercase().replace('-', "_");
    let known = ExecutionStatus::values();
    if !known.contains(&upper.as_str()) {
        bail!(
            "there is no status {text}: give one of {}",
            known.join(", ").to_lowercase()
        );
    }
    Ok(ExecutionStatus::from(upper.as_str()))
}

fn print_json(value: &impl Serialize) -> Result<()> {
    println!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_taken_in_any_case() {
        assert_eq!(
            parse_status("failed").expect("known"),
            ExecutionStatus::Failed
        );
        assert_eq!(
            parse_status("TIMED-OUT").expect("known"),
            ExecutionStatus::TimedOut
        );
        assert!(
            parse_status("broken")
                .expect_err("unknown")
                .to_string()
                .contains("succeeded")
        );
    }
}
