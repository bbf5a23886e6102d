//! What the state machine did: the list of executions, one of them step by step, and the machine as a graph.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use axum::Json;
use axum::extract::{Path, Query, State};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Parts;
use super::answer::Wrong;
use crate::aws::Aws;
use crate::executions::{ExecutionReport, Executions, Summary};
use crate::graph::Graph;
use crate::history::{Course, Visit};
use crate::inspect::Inspector;
use crate::outputs::Outputs;

/// How many are listed where nobody says.
const LISTED: usize = 50;
/// How many are listed at most.
const MOST: usize = 500;

/// Reads executions. What an execution that is over did does not change, so it is read once.
#[derive(Clone)]
pub(super) struct Watch {
    sfn: aws_sdk_sfn::Client,
    state_machine_arn: String,
    executions: Executions,
    look: Inspector,
    over: Arc<Mutex<HashMap<String, Line>>>,
}

/// A line of the list.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Line {
    name: String,
    status: String,
    /// How the payment stands by it: [`outcome`].
    outcome: String,
    charge_id: Option<String>,
    order_id: Option<String>,
    /// In decimal baht.
    amount: Option<String>,
    started: Timestamp,
    stopped: Option<Timestamp>,
    last_state: Option<String>,
}

/// One execution.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Shown {
    #[serde(flatten)]
    line: Line,
    input: Option<Value>,
    output: Option<Value>,
    failure: Option<crate::history::Failure>,
    steps: Vec<Step>,
}

/// A stay in a state.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Step {
    #[serde(flatten)]
    visit: Visit,
    course: Course,
    /// None while it runs.
    milliseconds: Option<i64>,
}

impl Watch {
    /// Watches the state machine of these outputs.
    pub(super) fn of(aws: &Aws, outputs: &Outputs, look: Inspector) -> Self {
        Self {
            sfn: aws.sfn.clone(),
            state_machine_arn: outputs.state_machine_arn.clone(),
            executions: Executions::of(aws, &outputs.state_machine_arn),
            look,
            over: Arc::default(),
        }
    }

    /// The names of a charge's executions, the oldest first.
    pub(super) async fn names_of(&self, charge_id: &str) -> Result<Vec<String>> {
        let mut names: Vec<_> = self
            .executions
            .list(None, MOST)
            .await?
            .into_iter()
            .map(|summary| summary.name)
            .filter(|name| charge_of_name(name) == charge_id)
            .collect();
        names.reverse();
        Ok(names)
    }

    async fn graph(&self) -> Result<Graph> {
        let described = self
            .sfn
            .describe_state_machine()
            .state_machine_arn(&self.state_machine_arn)
            .send()
            .await
            .context("cannot look at the state machine")?;
        let definition = serde_json::from_str(described.definition())
            .context("the deployed definition is not JSON")?;
        Graph::read(&definition)
    }

    async fn lines(&self, limit: usize) -> Result<Vec<Line>> {
        let mut lines = Vec::new();
        for summary in self.executions.list(None, limit).await? {
            let known = self.known(&summary);
            lines.push(match known {
                Some(line) => line,
                None => match self.executions.find(&summary.name).await? {
                    Some(report) => self.line(&report).await?,
                    None => continue,
                },
            });
        }
        Ok(lines)
    }

    fn known(&self, summary: &Summary) -> Option<Line> {
        let over = self.over.lock().unwrap_or_else(PoisonError::into_inner);
        let line = over.get(&summary.arn)?;
        // An execution that was redriven runs again under the same name.
        (line.status == summary.status && line.stopped == summary.stopped).then(|| line.clone())
    }

    async fn line(&self, report: &ExecutionReport) -> Result<Line> {
        let charge_id = charge_of(report);
        let payment = report
            .path
            .iter()
            .find(|visit| visit.state == "LookupRecord")
            .and_then(|visit| visit.result.as_ref());
        // One that ended before it found the record knows only the charge.
        let record = match (&charge_id, payment) {
            (Some(id), None) => self.look.record_by_charge(id).await?,
            _ => None,
        };
        let source = payment.or(record.as_ref()).unwrap_or(&Value::Null);
        let line = Line {
            outcome: outcome(report).to_owned(),
            order_id: source["orderId"].as_str().map(str::to_owned),
            amount: source["amountSatang"]
                .as_u64()
                .map(crate::items::satang_as_baht),
            charge_id,
            name: report.name.clone(),
            status: report.status.clone(),
            started: report.started,
            stopped: report.stopped,
            last_state: report.path.last().map(|visit| visit.state.clone()),
        };
        if report.is_over() {
            let mut over = self.over.lock().unwrap_or_else(PoisonError::into_inner);
            over.insert(report.arn.clone(), line.clone());
        }
        Ok(line)
    }
}

/// How a payment stands by what its execution did: `running`, `failed`, or the result that the definition puts out, such as
/// `paid`, `declined`, `reversed`, `returned`, `awaitingBank`, `alreadyProcessed`; a verification's is `verified`.
fn outcome(report: &ExecutionReport) -> &str {
    if !report.is_over() {
        return "running";
    }
    let Some(output) = &report.output else {
        return "failed";
    };
    match output["result"].as_str() {
        Some("paid") if output["orderId"] == "ADDCARD" => "verified",
        Some(result) => result,
        None => "failed",
    }
}

fn charge_of(report: &ExecutionReport) -> Option<String> {
    report
        .input
        .as_ref()
        .and_then(|input| input["chargeId"].as_str())
        .map(str::to_owned)
}

/// The charge that an execution's name names: later attempts add `-2` and so on.
fn charge_of_name(name: &str) -> &str {
    match name.rsplit_once('-') {
        Some((charge, attempt)) if attempt.parse::<u32>().is_ok() => charge,
        _ => name,
    }
}

#[derive(Deserialize)]
pub(super) struct Limit {
    limit: Option<usize>,
}

/// `GET /api/executions`: the newest first; `?limit=` says how many.
pub(super) async fn list(
    State(parts): State<Parts>,
    Query(limit): Query<Limit>,
) -> Result<Json<Vec<Line>>, Wrong> {
    let limit = limit.limit.unwrap_or(LISTED).min(MOST);
    Ok(Json(parts.watch.lines(limit).await?))
}

/// `GET /api/executions/{name}`.
pub(super) async fn read(
    State(parts): State<Parts>,
    Path(name): Path<String>,
) -> Result<Json<Shown>, Wrong> {
    let report = parts
        .watch
        .executions
        .find(&name)
        .await?
        .ok_or_else(|| Wrong::not_found(format!(
                "there is no execution {name} yet: one starts when the shopper's browser, the bank's notification or \
                 reconciliation comes back to the payment"
            )))?;
    let line = parts.watch.line(&report).await?;
    let over = report.is_over();
    let steps = report
        .path
        .into_iter()
        .map(|visit| Step {
            course: visit.course(over),
            milliseconds: visit
                .left
                .or(report.stopped)
                .map(|end| end.as_millisecond() - visit.entered.as_millisecond()),
            visit,
        })
        .collect();
    Ok(Json(Shown {
        line,
        input: report.input,
        output: report.output,
        failure: report.failure,
        steps,
    }))
}

/// `GET /api/state-machine`: the deployed definition as a graph.
pub(super) async fn graph(State(parts): State<Parts>) -> Result<Json<Graph>, Wrong> {
    Ok(Json(parts.watch.graph().await?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn report(status: &str, output: Option<Value>) -> ExecutionReport {
        ExecutionReport {
            name: "chrg_test_1".into(),
            arn: "arn".into(),
            status: status.into(),
            started: Timestamp::UNIX_EPOCH,
            stopped: None,
            input: None,
            path: Vec::new(),
            output,
            failure: None,
        }
    }

    #[test]
    fn the_outcome_is_the_payments_and_not_only_the_executions() {
        for (status, output, expected) in [
            ("RUNNING", None, "running"),
            ("FAILED", None, "failed"),
            ("TIMED_OUT", None, "failed"),
            (
                "SUCCEEDED",
                Some(json!({"result": "declined", "orderId": "1"})),
                "declined",
            ),
            (
                "SUCCEEDED",
                Some(json!({"result": "paid", "orderId": "1"})),
                "paid",
            ),
            (
                "SUCCEEDED",
                Some(json!({"result": "paid", "orderId": "ADDCARD"})),
                "verified",
            ),
            (
                "SUCCEEDED",
                Some(json!({"result": "awaitingBank"})),
                "awaitingBank",
            ),
        ] {
            assert_eq!(outcome(&report(status, output)), expected, "{status}");
        }
    }

    #[test]
    fn later_attempts_are_the_same_charges() {
        assert_eq!(charge_of_name("chrg_test_1"), "chrg_test_1");
        assert_eq!(charge_of_name("chrg_test_1-2"), "chrg_test_1");
        assert_eq!(charge_of_name("chrg-a-b"), "chrg-a-b");
    }
}
