//! What runs beside a payment without the shopper: the schedule of reconciliation, the clock, and the person on call.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_sfn::error::SdkError;
use aws_sdk_sfn::types::ExecutionStatus;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::aws::Aws;
use crate::http::client;
use crate::inspect::Inspector;
use crate::outputs::Outputs;
use crate::{json_api, random};

/// How long to wait between two looks at a running execution.
const POLL: Duration = Duration::from_millis(250);

/// How old a payment is made for reconciliation to look at it, in seconds: more than the five minutes that it waits.
const OLD_ENOUGH: i64 = 6 * 60;

/// Works on a running environment as its operators do.
#[derive(Debug, Clone)]
pub struct Operator {
    aws: Aws,
    outputs: Outputs,
}

/// How an execution stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// There is none of this name.
    Absent,
    /// It came to an end of the definition.
    Succeeded,
    /// It failed in place, timed out or was stopped: somebody has to look at it.
    Failed,
}

impl Operator {
    /// Works on the environment with these outputs.
    pub fn of(aws: &Aws, outputs: &Outputs) -> Self {
        Self {
            aws: aws.clone(),
            outputs: outputs.clone(),
        }
    }

    /// Runs reconciliation once, as its schedule does. `Err` carries the function's error, for a run that died.
    ///
    /// # Errors
    /// The local AWS does not answer.
    pub async fn reconcile(&self) -> Result<Result<Value, Value>> {
        let function = format!("payment3-reconcile-{}", self.outputs.branch);
        let url = format!(
            "{}/2015-03-31/functions/{function}/invocations",
            self.outputs.aws_endpoint
        );
        let response = json_api::as_administrator(client().post(url), "lambda")
            // One run takes as long as its function may.
            .timeout(Duration::from_secs(300))
            .json(&json!({}))
            .send()
            .await
            .context("reconcile could not be invoked")?;
        let failed = response.headers().contains_key("x-amz-function-error");
        let report = response.json().await.context("reconcile answers JSON")?;
        Ok(if failed { Err(report) } else { Ok(report) })
    }

    /// Makes a record due, as if its checkout were this many seconds ago. One that is closed stays as it is.
    ///
    /// # Errors
    /// The table cannot be written.
    pub async fn make_older(&self, key: &str, seconds: i64) -> Result<()> {
        let since = jiff::Timestamp::now() - jiff::SignedDuration::from_secs(seconds);
        let update = self
            .aws
            .dynamodb
            .update_item()
            .table_name(self.outputs.table("card-payment-record")?)
            .key("tokenId", AttributeValue::S(key.to_owned()))
            .update_expression("SET lookAgainAt = :due, openSince = :since")
            .condition_expression("attribute_exists(openShard)")
            .expression_attribute_values(":due", AttributeValue::N("1".into()))
            .expression_attribute_values(":since", AttributeValue::S(since.to_string()))
            .send()
            .await;
        match update {
            Err(SdkError::ServiceError(error))
                if error.err().is_conditional_check_failed_exception() =>
            {
                Ok(())
            }
            update => update.map(drop).context("a record cannot be made older"),
        }
    }

    /// Lets time pass for every open payment: each is as if it were so many seconds later, in all that it notes of
    /// time.
    ///
    /// # Errors
    /// The table cannot be read or written.
    pub async fn pass(&self, seconds: i64) -> Result<()> {
        for (key, due) in self.open().await? {
            self.pass_for(&key, due, seconds).await?;
        }
        Ok(())
    }

    /// The keys of all open records, and when each is looked at again, in seconds since 1970.
    ///
    /// # Errors
    /// The table cannot be read.
    pub async fn open(&self) -> Result<Vec<(String, i64)>> {
        let mut items = self
            .aws
            .dynamodb
            .scan()
            .table_name(self.outputs.table("card-payment-record")?)
            .index_name("open_index")
            .projection_expression("tokenId, lookAgainAt")
            .into_paginator()
            .items()
            .send();
        let mut open = Vec::new();
        while let Some(item) = items.next().await {
            let item = item.context("the open records cannot be read")?;
            let key = item.get("tokenId").and_then(|key| key.as_s().ok());
            let due = item.get("lookAgainAt").and_then(|due| due.as_n().ok());
            let (key, due) = key.zip(due).context("an index has its keys")?;
            open.push((key.clone(), due.parse().context("a time in seconds")?));
        }
        Ok(open)
    }

    /// Makes one record older in all that it notes of time; not if it was changed meanwhile: then time passes for it
    /// later.
    async fn pass_for(&self, key: &str, due: i64, seconds: i64) -> Result<()> {
        let table = self.outputs.table("card-payment-record")?;
        let key = AttributeValue::S(key.to_owned());
        let record = self.aws.dynamodb.get_item().table_name(table);
        let record = record.key("tokenId", key.clone()).consistent_read(true);
        let record = record.send().await.context("a record cannot be read")?;
        let record = record.item.unwrap_or_default();
        let mut change = vec!["lookAgainAt = :lookAgainAt".to_owned()];
        let number = |value: i64| AttributeValue::N(value.to_string());
        let mut values = vec![(":lookAgainAt".to_owned(), number(due - seconds))];
        for name in [
            "troubleSince",
            "unknownSince",
            "openSince",
            "decidedAt",
            "reversingSince",
        ] {
            let older = match record.get(name) {
                Some(AttributeValue::N(at)) => {
                    let at: i64 = at.parse().context("a time in seconds")?;
                    number(at - seconds)
                }
                Some(AttributeValue::S(at)) => {
                    let at: jiff::Timestamp = at.parse().context("a time")?;
                    let older = at - jiff::SignedDuration::from_secs(seconds);
                    AttributeValue::S(format!("{older:.3}"))
                }
                _ => continue,
            };
            change.push(format!("{name} = :{name}"));
            values.push((format!(":{name}"), older));
        }
        let update = self.aws.dynamodb.update_item().table_name(table);
        let mut update = update
            .key("tokenId", key)
            .update_expression(format!("SET {}", change.join(", ")))
            .condition_expression("lookAgainAt = :asRead")
            .expression_attribute_values(":asRead", number(due));
        for (name, value) in values {
            update = update.expression_attribute_values(name, value);
        }
        match update.send().await {
            Err(SdkError::ServiceError(error))
                if error.err().is_conditional_check_failed_exception() =>
            {
                Ok(())
            }
            update => update.map(drop).context("a record cannot be made older"),
        }
    }

    /// Has reconciliation come back to a charge's payment now, as it would by itself once nobody has called back for
    /// five minutes. Returns its report.
    ///
    /// # Errors
    /// No payment has this charge, or the run died.
    pub async fn come_back_to(&self, charge_id: &str) -> Result<Value> {
        let inspector = Inspector::new(&self.aws, &self.outputs);
        let record = inspector
            .record_by_charge(charge_id)
            .await?
            .with_context(|| format!("no payment has the charge {charge_id}"))?;
        let key = record["tokenId"].as_str().unwrap_or_default();
        self.make_older(key, OLD_ENOUGH).await?;
        self.reconcile().await?.map_err(|error| {
            let message = error["errorMessage"].as_str();
            anyhow!(
                "reconciliation failed: {}",
                message.unwrap_or("without a message")
            )
        })
    }

    /// Starts a charge's saga under a new name, beside whatever ran for it. Returns the name.
    ///
    /// # Errors
    /// The local AWS refuses.
    pub async fn restart(&self, charge_id: &str) -> Result<String> {
        let name = format!("by-hand-{}", random::digits(12));
        self.aws
            .sfn
            .start_execution()
            .state_machine_arn(&self.outputs.state_machine_arn)
            .name(&name)
            .input(json!({"source": "operator", "chargeId": charge_id}).to_string())
            .send()
            .await
            .context("the execution cannot be started again")?;
        Ok(name)
    }

    /// Waits until the execution of this name is over, and says how it ended.
    ///
    /// # Errors
    /// It runs for longer than `patience`, or the local AWS does not answer.
    pub async fn end_of(&self, name: &str, patience: Duration) -> Result<Standing> {
        let arn = self.outputs.execution_arn(name);
        let deadline = Instant::now() + patience;
        loop {
            let described = self.aws.sfn.describe_execution().execution_arn(&arn);
            match described.send().await {
                Ok(execution) => match execution.status() {
                    ExecutionStatus::Running | ExecutionStatus::PendingRedrive => {}
                    ExecutionStatus::Succeeded => return Ok(Standing::Succeeded),
                    _ => return Ok(Standing::Failed),
                },
                Err(SdkError::ServiceError(error)) if error.err().is_execution_does_not_exist() => {
                    return Ok(Standing::Absent);
                }
                Err(error) => {
                    return Err(anyhow::Error::new(error)
                        .context(format!("cannot look at the execution {name}")));
                }
            }
            if Instant::now() > deadline {
                bail!("the execution {name} runs after {} s", patience.as_secs());
            }
            sleep(POLL).await;
        }
    }
}
