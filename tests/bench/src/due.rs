//! Many due payments at once: how many of them reconciliation looks at in a second, and how long one waits among them that the
//! bank has decided, and whose execution is to be started: until it is, or, where the bank does not answer, until it was looked
//! at. With a bank that takes its time, and with one that does not answer at all.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use payment3_harness::away::{Away, How};
use payment3_harness::aws::Aws;
use payment3_harness::call::Service;
use payment3_harness::executions::Executions;
use payment3_harness::http::client;
use payment3_harness::inspect::Inspector;
use payment3_harness::outputs::Outputs;
use payment3_harness::shopper::{self, CARD_APPROVED, OTHER_CARD_APPROVED};
use payment3_harness::{json_api, random, workspace};
use payment3_stack::environment::{Between, Environment, Options};
use payment3_stack::interrupt::Interrupt;
use payment3_stack::progress;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::testbed::options;

/// How many payments are due.
const DUE: usize = 2_000;
/// How many the bank has charged at once while they are made.
const AT_ONCE: usize = 16;
/// How many items one call writes.
const BATCH: usize = 25;
/// How long reconciliation has for all of them: as many runs as it needs.
const PATIENCE: Duration = Duration::from_secs(600);
/// Between two runs of one shard.
const EVERY: Duration = Duration::from_secs(60);
/// How many shards the open index has.
const SHARDS: usize = 16;
/// How old the payments are, in seconds: a shopper may still be at the bank's page.
const AGE: i64 = 10 * 60;

/// What the bank does.
const BANKS: [(&str, How); 2] = [
    (
        "a bank that takes 300 ms",
        How::Slow(Duration::from_millis(300)),
    ),
    ("a bank that does not answer", How::Silent),
];

/// Measures with the functions in a directory; those of this checkout where none is given. One invocation for each shard, side
/// by side; or one for everything, as `alone` says of functions that were built before there was one for each.
///
/// # Errors
/// The environment cannot be started, or what is due is not looked at in time.
pub async fn run(functions: Option<PathBuf>, alone: bool, interrupt: &mut Interrupt) -> Result<()> {
    let options = Options {
        directory: workspace::local_dir().join("bench-due"),
        branch: "due".to_owned(),
        between: Between::FaultProxy,
        functions: functions.unwrap_or_else(workspace::functions_dir),
        ..options()
    };
    let mut environment = Environment::start(options, interrupt).await?;
    let outputs = environment.outputs().clone();
    let away = environment.fault_plans()?.away().clone();
    let work = async {
        for (name, how) in BANKS {
            Measured {
                outputs: &outputs,
                alone,
            }
            .with(name, how, &away)
            .await?;
        }
        Ok(())
    };
    let result = tokio::select! {
        result = interrupt.or(work) => result,
        error = environment.broken() => Err(error),
    };
    let stopped = progress::step("Stopping", environment.stop()).await;
    result.and(stopped)
}

struct Measured<'a> {
    outputs: &'a Outputs,
    alone: bool,
}

impl Measured<'_> {
    async fn with(&self, name: &str, how: How, away: &Away) -> Result<()> {
        let keys = self.make_due().await?;
        let one = self.make_one_to_go_on_with().await?;
        away.take(Service::Bank, how)?;
        let begun = Instant::now();
        let waiting = tokio::spawn(delay_of(self.outputs.clone(), one, begun));
        let (mut seen, mut runs, mut working) = (0, 0, Duration::ZERO);
        loop {
            let run = Instant::now();
            seen += self.reconcile().await?;
            working += run.elapsed();
            runs += 1;
            let left = self.due().await?;
            if left == 0 {
                break;
            }
            ensure!(begun.elapsed() < PATIENCE, "{left} payments are still due");
            sleep(EVERY.saturating_sub(run.elapsed())).await;
        }
        let delay = waiting.await.context("nobody waits any more")??;
        println!(
            "{name}: {seen} looks at {} due payments in {runs} runs, {:.1} s of work: {:.1} looks a second; the one to go on with \
             waited {:.1} s",
            keys + 1,
            working.as_secs_f64(),
            rate(seen, working),
            delay.as_secs_f64()
        );
        away.bring_back()?;
        Ok(())
    }

    /// Charges at the bank that nobody has finished, and their records, all of them due.
    async fn make_due(&self) -> Result<usize> {
        let mut items = Vec::new();
        while items.len() < DUE {
            let mut tasks = JoinSet::new();
            for _ in 0..AT_ONCE.min(DUE - items.len()) {
                let outputs = self.outputs.clone();
                tasks.spawn(async move { pending(&outputs).await });
            }
            while let Some(item) = tasks.join_next().await {
                items.push(item.context("a charge broke")??);
            }
        }
        for batch in items.chunks(BATCH) {
            let puts: Vec<_> = batch
                .iter()
                .map(|item| json!({"PutRequest": {"Item": typed(item)}}))
                .collect();
            let table = self.outputs.table("card-payment-record")?;
            let request = json!({"RequestItems": {table: puts}});
            json_api::call(
                &self.outputs.aws_endpoint,
                "DynamoDB_20120810.BatchWriteItem",
                &request,
            )
            .await?;
        }
        Ok(items.len())
    }

    /// A payment that the bank had decided before, and whose execution is to be started: due after all others.
    async fn make_one_to_go_on_with(&self) -> Result<Value> {
        let mut item = pending(self.outputs).await?;
        item["outcome"] = json!("paid");
        item["lookAgainAt"] = json!(jiff::Timestamp::now().as_second() - 1);
        let table = self.outputs.table("card-payment-record")?;
        let request = json!({"TableName": table, "Item": typed(&item)});
        let endpoint = &self.outputs.aws_endpoint;
        json_api::call(endpoint, "DynamoDB_20120810.PutItem", &request).await?;
        Ok(item)
    }

    /// One round of reconciliation, as the schedule runs it; how many looks it took.
    async fn reconcile(&self) -> Result<usize> {
        let inputs: Vec<Value> = if self.alone {
            vec![json!({})]
        } else {
            (0..SHARDS).map(|shard| json!({"shard": shard})).collect()
        };
        let mut runs = JoinSet::new();
        for input in inputs {
            let url = format!(
                "{}/2015-03-31/functions/payment3-reconcile-{}/invocations",
                self.outputs.aws_endpoint, self.outputs.branch
            );
            runs.spawn(async move {
                let request = client().post(url).json(&input);
                let answer = request.timeout(Duration::from_secs(300)).send().await?;
                let report: Value = answer.json().await?;
                anyhow::Ok(report)
            });
        }
        let mut seen = 0;
        while let Some(report) = runs.join_next().await {
            let report = report.context("a run broke")??;
            let looks = report["seen"]
                .as_u64()
                .with_context(|| report.to_string())?;
            seen += usize::try_from(looks)?;
        }
        Ok(seen)
    }

    /// How many records are due now.
    async fn due(&self) -> Result<usize> {
        let aws = Aws::at(&self.outputs.aws_endpoint);
        let open = payment3_harness::operator::Operator::of(&aws, self.outputs);
        let now = jiff::Timestamp::now().as_second();
        let open = open.open().await?;
        // What was put off for a minute counts as looked at.
        Ok(open.iter().filter(|(_, due)| *due < now - AGE / 2).count())
    }
}

/// How long it takes until a payment's execution is started, or the payment is put off.
async fn delay_of(outputs: Outputs, one: Value, begun: Instant) -> Result<Duration> {
    let aws = Aws::at(&outputs.aws_endpoint);
    let executions = Executions::of(&aws, &outputs.state_machine_arn);
    let inspector = Inspector::new(&aws, &outputs);
    let charge = one["chargeId"].as_str().context("a charge")?;
    loop {
        let record = inspector
            .record_by_charge(charge)
            .await?
            .unwrap_or_default();
        if executions.find(charge).await?.is_some() || record["lookAgainAt"] != one["lookAgainAt"] {
            return Ok(begun.elapsed());
        }
        ensure!(begun.elapsed() < PATIENCE, "{charge} was never looked at");
        sleep(Duration::from_millis(50)).await;
    }
}

/// A charge at the bank that waits for 3-D Secure, and its record.
async fn pending(outputs: &Outputs) -> Result<Value> {
    let other = random::digits(1).starts_with(['1', '3', '5', '7', '9']);
    let card = if other {
        OTHER_CARD_APPROVED
    } else {
        CARD_APPROVED
    };
    let token = shopper::card_token(outputs, card).await?;
    let inspector = Inspector::new(&Aws::at(&outputs.aws_endpoint), outputs);
    let (key, order) = (inspector.key_of_token(&token)?, random::digits(12));
    let reference = random::digits(20);
    let charge: Value = client()
        .post(format!("{}/card/v2/charge", outputs.bank_url))
        .header("x-api-key", payment3_bank::SECRET_KEY)
        .json(&json!({
            "amount": "1500.00", "currency": "THB", "description": "due", "source_type": "card", "mode": "token",
            "token": token, "reference_order": reference, "ref_1": order,
        }))
        .send()
        .await?
        .json()
        .await?;
    let now = jiff::Timestamp::now();
    let since = now - jiff::SignedDuration::from_secs(AGE);
    // The last digit of the key says the shard.
    let shard = key.chars().last().and_then(|digit| digit.to_digit(16));
    Ok(json!({
        "tokenId": key, "token": token, "orderId": order, "ownerId": random::id("usr_"), "amountSatang": 150_000,
        "currency": "THB", "referenceOrder": reference, "saveCard": false, "outcome": "pending", "status": false, "attempt": 0,
        "openShard": shard.context("a key in hexadecimal digits")?, "lookAgainAt": since.as_second(),
        "openSince": format!("{since:.3}"), "chargeId": charge["id"].as_str().context("a charge has an id")?,
    }))
}

/// An item as DynamoDB's own API writes it.
fn typed(item: &Value) -> Value {
    let fields = item.as_object().into_iter().flatten();
    let typed = fields.map(|(name, value)| {
        let value = match value {
            Value::Bool(flag) => json!({"BOOL": flag}),
            Value::Number(number) => json!({"N": number.to_string()}),
            value => json!({"S": value.as_str().unwrap_or_default()}),
        };
        (name.clone(), value)
    });
    Value::Object(typed.collect())
}

#[allow(clippy::cast_precision_loss, reason = "a count of payments")]
fn rate(count: usize, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}
