//! Checks that a payment is visible in Step Functions. Each of its attempts must be there under its name, and ended.
//! The last one must have the result with which the record was closed.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use aws_sdk_sfn::error::SdkError;
use aws_sdk_sfn::types::ExecutionStatus;
use payment3_activities::domain::ids::ChargeId;
use payment3_activities::executions::execution_name;
use payment3_harness::aws::Aws;
use payment3_harness::executions::Executions;
use payment3_harness::invariants::{End, Ended, Findings};
use payment3_harness::logs;
use payment3_harness::outputs::Outputs;
use serde_json::Value;

/// The results of an attempt that leaves the payment to the next attempt.
const CONTINUES: [&str; 3] = ["awaitingBank", "handedOver", "alreadyProcessed"];
/// The errors in log lines about payments that only a person can resolve.
const ALERTS_A_PERSON: [&str; 2] = ["PaymentStands", "OrphanCheckout"];

/// An execution and its status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its name.
    pub name: String,
    /// Its status.
    pub status: ExecutionStatus,
    /// The `result` in its output.
    result: Option<String>,
    /// The error with which it failed.
    error: Option<String>,
}

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
    for attempt in 0..=ended.attempt + 1 {
        let name = execution_name(&id, attempt);
        let execution = find(aws, outputs, &name).await?;
        if let Some(finding) = wrong(ended, attempt, execution.as_ref()) {
            findings.note(format!("execution {name}: {finding}"));
        }
        seen.extend(execution);
    }
    Ok(seen)
}

/// What is wrong with the execution of an attempt.
fn wrong(ended: &Ended, attempt: u32, execution: Option<&Seen>) -> Option<String> {
    let given_up = ended.end == Some(End::Abandoned);
    let Some(execution) = execution else {
        // Reconciliation can abandon a payment without an execution.
        let needed = attempt <= ended.attempt && !given_up;
        return needed.then(|| "it does not exist".to_owned());
    };
    if attempt > ended.attempt {
        return Some("it is not counted in the record".to_owned());
    }
    let is_last = attempt == ended.attempt && !given_up;
    match (&execution.status, execution.result.as_deref()) {
        (ExecutionStatus::Succeeded, result) if is_last => (result != ended.closed_as.as_deref())
            .then(|| {
                format!(
                    "its result is {result:?}, the record has {:?}",
                    ended.closed_as
                )
            }),
        (ExecutionStatus::Succeeded, Some(result)) if CONTINUES.contains(&result) => None,
        (ExecutionStatus::Failed | ExecutionStatus::TimedOut, _) if !is_last => None,
        (status, result) => Some(format!(
            "its status is {status}, its error {:?}",
            result.or(execution.error.as_deref())
        )),
    }
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
    use super::*;

    fn ended(end: End, closed_as: &str, attempt: u32) -> Ended {
        Ended {
            token: "obviously-fake".to_owned(),
            end: Some(end),
            card_saved: false,
            card_failed: false,
            charge: Some("chrg_test_1".to_owned()),
            closed_as: Some(closed_as.to_owned()),
            attempt,
        }
    }

    fn execution(status: ExecutionStatus, result: Option<&str>) -> Seen {
        Seen {
            name: "chrg_test_1".to_owned(),
            status,
            result: result.map(str::to_owned),
            error: None,
        }
    }

    #[test]
    fn the_last_attempt_must_have_the_result_of_the_record() {
        let paid = ended(End::Paid, "paid", 1);
        let says = |result| execution(ExecutionStatus::Succeeded, Some(result));
        assert_eq!(wrong(&paid, 1, Some(&says("paid"))), None);
        assert!(wrong(&paid, 1, Some(&says("reversed"))).is_some());
        assert!(wrong(&paid, 1, Some(&says("awaitingBank"))).is_some());
        assert!(wrong(&paid, 1, None).is_some());
        for status in [ExecutionStatus::Failed, ExecutionStatus::Running] {
            assert!(wrong(&paid, 1, Some(&execution(status, None))).is_some());
        }
    }

    #[test]
    fn earlier_attempts_leave_the_payment_to_the_next_and_none_follows_the_last() {
        let paid = ended(End::Paid, "paid", 1);
        let waited = execution(ExecutionStatus::Succeeded, Some("awaitingBank"));
        let failed = execution(ExecutionStatus::Failed, None);
        let running = execution(ExecutionStatus::Running, None);
        assert_eq!(wrong(&paid, 0, Some(&waited)), None);
        assert_eq!(wrong(&paid, 0, Some(&failed)), None);
        assert!(wrong(&paid, 0, Some(&running)).is_some());
        assert!(wrong(&paid, 0, None).is_some());
        assert!(wrong(&paid, 2, Some(&waited)).is_some());
        assert_eq!(wrong(&paid, 2, None), None);
    }

    #[test]
    fn an_abandoned_payment_needs_no_execution() {
        let abandoned = ended(End::Abandoned, "abandoned", 0);
        assert_eq!(wrong(&abandoned, 0, None), None);
        let paid = execution(ExecutionStatus::Succeeded, Some("paid"));
        assert!(wrong(&abandoned, 0, Some(&paid)).is_some());
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
