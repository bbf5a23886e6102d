//! Executions of a state machine, and the path each took.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use aws_sdk_sfn::error::SdkError;
use aws_sdk_sfn::types::ExecutionStatus;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::aws::Aws;
use crate::history::{Event, Failure, Visit, fold, timestamp};
use crate::redact;

/// How long to wait between two polls of a running execution.
const POLL: Duration = Duration::from_millis(150);

/// One execution, as far as it has got.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExecutionReport {
    /// Its name: for a payment the charge id, with `-<attempt>` from the second attempt on; for a refund its id.
    pub name: String,
    /// Its ARN.
    pub arn: String,
    /// `RUNNING`, `SUCCEEDED`, `FAILED`, `TIMED_OUT` or `ABORTED`.
    pub status: String,
    /// When it started.
    pub started: Timestamp,
    /// When it ended.
    pub stopped: Option<Timestamp>,
    /// Its input.
    pub input: Option<Value>,
    /// The states it went through, in order.
    pub path: Vec<Visit>,
    /// Its output.
    pub output: Option<Value>,
    /// The error that it failed with.
    pub failure: Option<Failure>,
}

impl ExecutionReport {
    /// The names of the states it went through, in order.
    pub fn states(&self) -> Vec<&str> {
        self.path.iter().map(|visit| visit.state.as_str()).collect()
    }

    /// What the task of this state answered, where it did.
    pub(crate) fn result_of(&self, state: &str) -> Option<&Value> {
        let mut visits = self.path.iter().filter(|visit| visit.state == state);
        visits.find_map(|visit| visit.result.as_ref())
    }

    /// Whether its status is `SUCCEEDED`.
    pub fn has_succeeded(&self) -> bool {
        self.status == ExecutionStatus::Succeeded.as_str()
    }

    /// Whether it is over.
    pub fn is_over(&self) -> bool {
        self.status != ExecutionStatus::Running.as_str()
    }
}

/// One line of the list of executions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Its name.
    pub name: String,
    /// Its ARN.
    pub arn: String,
    /// Its status.
    pub status: String,
    /// When it started.
    pub started: Timestamp,
    /// When it ended.
    pub stopped: Option<Timestamp>,
}

/// The executions of one state machine.
#[derive(Debug, Clone)]
pub struct Executions {
    sfn: aws_sdk_sfn::Client,
    state_machine_arn: String,
}

impl Executions {
    /// The executions of the state machine with this ARN.
    pub fn of(aws: &Aws, state_machine_arn: &str) -> Self {
        Self::seen_by(aws.sfn.clone(), state_machine_arn)
    }

    /// The same, looked at with this client's credentials.
    pub(crate) fn seen_by(sfn: aws_sdk_sfn::Client, state_machine_arn: &str) -> Self {
        Self {
            sfn,
            state_machine_arn: state_machine_arn.to_owned(),
        }
    }

    /// Whether the execution with this ARN is one of them.
    pub(crate) fn include(&self, arn: &str) -> bool {
        arn.starts_with(&execution_arn(&self.state_machine_arn, ""))
    }

    /// The newest executions, at most `limit`. Only those with `status`, if it is given.
    ///
    /// # Errors
    /// Step Functions does not answer.
    pub async fn list(
        &self,
        status: Option<ExecutionStatus>,
        limit: usize,
    ) -> Result<Vec<Summary>> {
        let mut pages = self
            .sfn
            .list_executions()
            .state_machine_arn(&self.state_machine_arn)
            .set_status_filter(status)
            .into_paginator()
            .items()
            .send();
        let mut found = Vec::new();
        while found.len() < limit {
            let Some(item) = pages.next().await else {
                break;
            };
            let item = item.context("cannot list the executions")?;
            found.push(Summary {
                status: item.status().as_str().to_owned(),
                started: timestamp(item.start_date()),
                stopped: item.stop_date().map(timestamp),
                name: item.name,
                arn: item.execution_arn,
            });
        }
        Ok(found)
    }

    /// One execution by its name, if there is one.
    ///
    /// # Errors
    /// Step Functions does not answer.
    pub async fn find(&self, name: &str) -> Result<Option<ExecutionReport>> {
        let Some(mut report) = self.describe(name).await? else {
            return Ok(None);
        };
        report.path = self.path(&report.arn).await?;
        Ok(Some(report))
    }

    /// One execution by its name, if there is one. Without its path, which saves a request.
    pub(crate) async fn describe(&self, name: &str) -> Result<Option<ExecutionReport>> {
        let arn = execution_arn(&self.state_machine_arn, name);
        let described = match self
            .sfn
            .describe_execution()
            .execution_arn(&arn)
            .send()
            .await
        {
            Ok(described) => described,
            Err(SdkError::ServiceError(error)) if error.err().is_execution_does_not_exist() => {
                return Ok(None);
            }
            Err(error) => {
                return Err(anyhow::Error::new(error)
                    .context(format!("cannot look at the execution {name}")));
            }
        };
        let failure = described.error().map(|error| Failure {
            error: error.to_owned(),
            cause: redact::text(described.cause().unwrap_or_default()),
        });
        Ok(Some(ExecutionReport {
            path: Vec::new(),
            name: name.to_owned(),
            arn,
            status: described.status().as_str().to_owned(),
            started: timestamp(described.start_date()),
            stopped: described.stop_date().map(timestamp),
            input: described.input().and_then(json),
            output: described.output().and_then(json),
            failure,
        }))
    }

    /// Waits until the execution with this name exists and is over.
    ///
    /// # Errors
    /// It does not exist or is not over within `patience`.
    pub async fn wait_for(&self, name: &str, patience: Duration) -> Result<ExecutionReport> {
        let deadline = Instant::now() + patience;
        loop {
            let seen = self.find(name).await?;
            match seen {
                Some(report) if report.is_over() => return Ok(report),
                Some(report) if Instant::now() > deadline => bail!(
                    "the execution {name} still runs after {} s, in {}",
                    patience.as_secs(),
                    report.states().last().unwrap_or(&"no state")
                ),
                None if Instant::now() > deadline => bail!(
                    "no execution {name} was started within {} s",
                    patience.as_secs()
                ),
                _ => sleep(POLL).await,
            }
        }
    }

    /// The state that an execution entered last.
    ///
    /// # Errors
    /// Step Functions does not answer.
    pub async fn last_state(&self, arn: &str) -> Result<Option<String>> {
        let mut events = self
            .sfn
            .get_execution_history()
            .execution_arn(arn)
            .reverse_order(true)
            .into_paginator()
            .items()
            .send();
        while let Some(event) = events.next().await {
            let event = event.context("cannot read the execution's history")?;
            if let Some(details) = event.state_entered_event_details() {
                return Ok(Some(details.name().to_owned()));
            }
        }
        Ok(None)
    }

    /// The states that an execution went through, in order.
    pub(crate) async fn path(&self, arn: &str) -> Result<Vec<Visit>> {
        let mut events = self
            .sfn
            .get_execution_history()
            .execution_arn(arn)
            .into_paginator()
            .items()
            .send();
        let mut found = Vec::new();
        while let Some(event) = events.next().await {
            found.push(Event::from(
                event.context("cannot read the execution's history")?,
            ));
        }
        Ok(fold(found))
    }
}

/// The ARN of a state machine's execution by its name.
pub(crate) fn execution_arn(state_machine_arn: &str, name: &str) -> String {
    let executions = state_machine_arn.replacen(":stateMachine:", ":execution:", 1);
    format!("{executions}:{name}")
}

/// JSON without tokens, so that it can be shown.
fn json(text: &str) -> Option<Value> {
    serde_json::from_str(text).ok().map(redact::value)
}

/// The time between two timestamps, as text: `0.123 s`.
pub fn seconds(from: Timestamp, to: Timestamp) -> String {
    let duration: SignedDuration = to.duration_since(from);
    format!("{:.3} s", duration.as_secs_f64())
}
