//! Checks that a payment is visible in Step Functions. Each of its attempts must be there under its name, and ended.
//! The last one must have the result with which the record was closed.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use aws_sdk_sfn::error::SdkError;
use payment3_activities::domain::ids::ChargeId;
use payment3_harness::aws::Aws;
use payment3_harness::executions::Executions;
use payment3_harness::expected::executions::{Seen, attempts, wrong};
use payment3_harness::invariants::{Ended, Findings};
use payment3_harness::logs;
use payment3_harness::outputs::Outputs;
use serde_json::Value;

/// The errors in log lines about payments that only a person can resolve.
const ALERTS_A_PERSON: [&str; 2] = ["PaymentStands", "OrphanCheckout"];

/// Checks the executions of a payment that has ended, adds a finding for everything that is wrong, and returns them.
///
/// # Errors
/// Step Functions does not answer.
pub async fn check(
    aws: &Aws,
    outputs: &Outputs,
    ended: &Ended,
    findings: &mut Findings,
) -> Result<Vec<Seen>> {
    let Some(charge) = &ended.charge else {
        return Ok(Vec::new());
    };
    let id = ChargeId::new(charge).context("the bank's charge has no id")?;
    let mut seen = Vec::new();
    for (attempt, name) in attempts(&id, ended.attempt) {
        let execution = find(aws, outputs, &name).await?;
        if let Some(finding) = wrong(ended, attempt, execution.as_ref()) {
            findings.note(format!("execution {name}: {finding}"));
        }
        seen.extend(execution);
    }
    Ok(seen)
}

async fn find(aws: &Aws, outputs: &Outputs, name: &str) -> Result<Option<Seen>> {
    let arn = outputs.execution_arn(name);
    let described = aws.sfn.describe_execution().execution_arn(arn).send().await;
    let execution = match described {
        Ok(execution) => execution,
        Err(SdkError::ServiceError(error)) if error.err().is_execution_does_not_exist() => {
            return Ok(None);
        }
        Err(error) => {
            return Err(
                anyhow::Error::new(error).context(format!("cannot describe the execution {name}"))
            );
        }
    };
    let output: Option<Value> = execution
        .output()
        .and_then(|output| serde_json::from_str(output).ok());
    Ok(Some(Seen {
        name: name.to_owned(),
        status: execution.status().clone(),
        result: output.and_then(|output| output["result"].as_str().map(str::to_owned)),
        error: execution.error().map(str::to_owned),
    }))
}

/// Returns what is wrong in the list of all executions, which must show the status of each of these, and the log
/// lines that alert a person although nobody is needed.
///
/// # Errors
/// The local AWS does not answer.
pub async fn check_all(aws: &Aws, outputs: &Outputs, seen: &[Seen]) -> Result<Vec<String>> {
    let listed = Executions::of(aws, &outputs.state_machine_arn)
        .list(None, usize::MAX)
        .await?;
    let listed: BTreeMap<_, _> = listed
        .into_iter()
        .map(|summary| (summary.name, summary.status))
        .collect();
    let mut findings = not_listed(&listed, seen);
    for name in ALERTS_A_PERSON {
        let lines = logs::lines_with(outputs, "reconcile", name).await?;
        findings.extend(
            lines
                .into_iter()
                .map(|line| format!("a person is alerted: {line}")),
        );
    }
    Ok(findings)
}

/// Returns what is wrong with the log lines that alert a person of refunds. There must be one for each of these, which
/// nobody can tell, and none for any other.
///
/// # Errors
/// The local AWS does not answer.
pub async fn check_refunds(outputs: &Outputs, uncertain: &BTreeSet<String>) -> Result<Vec<String>> {
    let mut findings = Vec::new();
    for (function, alert) in [
        ("report-stuck", "RefundStuck"),
        ("find-refund", "RefundUncertain"),
    ] {
        let group = format!("/aws/lambda/payment3-{function}-{}", outputs.branch);
        // A function that never ran has no log.
        let lines = if logs::groups(outputs).await?.contains(&group) {
            logs::lines_with(outputs, function, alert).await?
        } else {
            Vec::new()
        };
        let expected = |line: &&String| {
            alert == "RefundUncertain" && uncertain.iter().any(|id| line.contains(id.as_str()))
        };
        let unexpected = lines.iter().filter(|line| !expected(line));
        findings.extend(unexpected.map(|line| format!("a person is alerted: {line}")));
        if alert == "RefundUncertain" {
            let told = |id: &str| lines.iter().any(|line| line.contains(id));
            let untold = uncertain.iter().filter(|id| !told(id));
            findings.extend(untold.map(|id| format!("nobody is told of the refund {id}")));
        }
    }
    Ok(findings)
}

fn not_listed(listed: &BTreeMap<String, String>, seen: &[Seen]) -> Vec<String> {
    seen.iter()
        .filter(|execution| {
            listed.get(&execution.name).map(String::as_str) != Some(execution.status.as_str())
        })
        .map(|execution| {
            format!(
                "the list of executions shows {} as {:?}, but it is {}",
                execution.name,
                listed.get(&execution.name),
                execution.status
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use aws_sdk_sfn::types::ExecutionStatus;

    use super::*;

    fn execution(status: ExecutionStatus, result: Option<&str>) -> Seen {
        Seen {
            name: "chrg_test_1".to_owned(),
            status,
            result: result.map(str::to_owned),
            error: None,
        }
    }

    #[test]
    fn a_wrong_status_in_the_list_is_found() {
        let listed = BTreeMap::from([("chrg_test_1".to_owned(), "SUCCEEDED".to_owned())]);
        let paid = execution(ExecutionStatus::Succeeded, Some("paid"));
        let failed = execution(ExecutionStatus::Failed, None);
        assert_eq!(not_listed(&listed, std::slice::from_ref(&paid)), [""; 0]);
        assert_eq!(not_listed(&listed, &[failed]).len(), 1);
        assert_eq!(not_listed(&BTreeMap::new(), &[paid]).len(), 1);
    }
}
