//! The list of executions, one execution step by step, and its state machine as a graph.

use anyhow::{Context, Result};
use axum::Json;
use axum::extract::{Path, Query, State};
use payment3_harness::aws::Aws;
use payment3_harness::executions::ExecutionReport;
use payment3_harness::graph::Graph;
use payment3_harness::history::{Course, Failure, Visit};
use payment3_harness::outputs::Outputs;
use payment3_harness::overview::{Line, Overview, Page, Wish};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Parts;
use super::answer::Wrong;

/// How many lines a page has.
const LINES: usize = 50;

/// Reads executions and their definitions.
#[derive(Clone)]
pub(super) struct Watch {
    sfn: aws_sdk_sfn::Client,
    overview: Overview,
}

/// One execution.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Shown {
    #[serde(flatten)]
    line: Line,
    input: Option<Value>,
    output: Option<Value>,
    failure: Option<Failure>,
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
    /// Watches the state machines of these outputs.
    pub(super) fn of(aws: &Aws, outputs: &Outputs) -> Self {
        Self {
            sfn: aws.sfn.clone(),
            overview: Overview::of(aws, outputs),
        }
    }

    /// A charge's executions, the oldest first: its payment's attempts, and its refunds.
    pub(super) async fn of_charge(&self, charge_id: &str) -> Result<Vec<Line>> {
        self.overview.of_charge(charge_id).await
    }

    /// The definition that an execution runs, as a graph.
    async fn graph(&self, arn: &str) -> Result<Graph> {
        let described = self
            .sfn
            .describe_state_machine_for_execution()
            .execution_arn(arn)
            .send()
            .await
            .context("cannot look at the execution's state machine")?;
        let definition = serde_json::from_str(described.definition())
            .context("the execution's definition is not JSON")?;
        Graph::read(&definition)
    }

    async fn one(&self, name: &str) -> Result<(Line, ExecutionReport), Wrong> {
        let found = self.overview.one(name).await?;
        found.ok_or_else(|| {
            Wrong::not_found(format!(
                "there is no execution {name} yet: one starts when the shopper's browser or the bank's notification comes \
                 back to the payment, when reconciliation finds that the bank has decided, or when money is given back"
            ))
        })
    }
}

/// Which executions to list. A blank field counts as absent.
#[derive(Deserialize)]
pub(super) struct Asked {
    find: Option<String>,
    outcome: Option<String>,
    after: Option<String>,
}

/// `GET /api/executions`: executions, newest first. `?find=` filters by order, charge or refund, `?outcome=` by outcome.
/// `?after=` names the execution after which the page starts.
pub(super) async fn list(
    State(parts): State<Parts>,
    Query(asked): Query<Asked>,
) -> Result<Json<Page>, Wrong> {
    let given = |text: Option<String>| {
        text.map(|text| text.trim().to_owned())
            .filter(|text| !text.is_empty())
    };
    let wish = Wish {
        text: given(asked.find),
        outcome: given(asked.outcome),
    };
    let after = given(asked.after);
    let page = parts
        .watch
        .overview
        .page(&wish, after.as_deref(), LINES)
        .await?;
    page.map(Json).ok_or_else(|| {
        let name = after.unwrap_or_default();
        Wrong::not_found(format!(
            "there is no execution {name} to go on below: begin with the newest"
        ))
    })
}

/// `GET /api/executions/{name}`.
pub(super) async fn read(
    State(parts): State<Parts>,
    Path(name): Path<String>,
) -> Result<Json<Shown>, Wrong> {
    let (line, report) = parts.watch.one(&name).await?;
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

/// `GET /api/executions/{name}/graph`: the definition that it runs, as a graph.
pub(super) async fn graph(
    State(parts): State<Parts>,
    Path(name): Path<String>,
) -> Result<Json<Graph>, Wrong> {
    let (line, _) = parts.watch.one(&name).await?;
    Ok(Json(parts.watch.graph(&line.arn).await?))
}
