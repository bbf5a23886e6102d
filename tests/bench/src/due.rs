//! Many due payments at once. Measures how many of them reconciliation looks at in a second, and how long one payment
//! waits among them whose outcome the bank has decided. It waits until its execution is started or, if the bank does
//! not answer, until it is put off.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use payment3_harness::away::{Away, How};
use payment3_harness::aws::Aws;
use payment3_harness::call::Service;
use payment3_harness::executions::Executions;
use payment3_harness::http::client;
use payment3_harness::inspect::Inspector;
use payment3_harness::operator::Operator;
use payment3_harness::outputs::Outputs;
use payment3_harness::shopper::{self, CARD_APPROVED};
use payment3_harness::{items, json_api, random, workspace};
use payment3_stack::environment::{Between, Environment, Options};
use payment3_stack::interrupt::Interrupt;
use payment3_stack::progress;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::testbed::options;

/// How many payments are due.
const DUE: usize = 2_000;
/// How many of them are made at once.
const AT_ONCE: usize = 16;
/// How long reconciliation has for all of them, in as many runs as it needs.
const PATIENCE: Duration = Duration::from_secs(600);
/// The time between two runs of one shard.
const EVERY: Duration = Duration::from_secs(60);
/// How many shards the open index has.
const SHARDS: usize = 16;
/// How old the payments are, in seconds. A shopper may still be at the bank's page.
const AGE: i64 = 10 * 60;

/// What the bank does.
const BANKS: [(&str, How); 2] = [
    (
        "a bank that takes 300 ms",
        How::Slow(Duration::from_millis(300)),
    ),
    ("a bank that does not answer", How::Silent),
];

/// Measures reconciliation, which is invoked for each shard at the same time.
///
/// # Errors
/// The environment cannot be started, or a due payment is not looked at in time.
pub async fn run(interrupt: &mut Interrupt) -> Result<()> {
    let options = Options {
        directory: workspace::local_dir().join("bench-due"),
        branch: "due".to_owned(),
        between: Between::FaultProxy,
        functions: workspace::functions_dir(),
        ..options()
    };
    let mut environment = Environment::start(options, interrupt).await?;
    let away = environment.fault_plans()?.away().clone();
    let backlog = Backlog::of(environment.outputs());
    let work = async {
        for (name, how) in BANKS {
            backlog.measure(name, how, &away).await?;
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

/// The due payments of an environment.
#[derive(Clone)]
struct Backlog {
    outputs: Outputs,
    aws: Aws,
    inspector: Inspector,
}

impl Backlog {
    fn of(outputs: &Outputs) -> Self {
        let aws = Aws::at(&outputs.aws_endpoint);
        Self {
            inspector: Inspector::new(&aws, outputs),
            outputs: outputs.clone(),
            aws,
        }
    }

    async fn measure(&self, name: &str, how: How, away: &Away) -> Result<()> {
        self.make_due().await?;
        let decided = self.make_decided().await?;
        away.take(Service::Bank, how)?;
        let begun = Instant::now();
        let backlog = self.clone();
        let waiting = tokio::spawn(async move { backlog.delay_of(&decided, begun).await });
        let (mut seen, mut runs, mut working) = (0, 0, Duration::ZERO);
        loop {
            let run = Instant::now();
            seen += self.reconcile().await?;
            working += run.elapsed();
            runs += 1;
            let left = self.count_due().await?;
            if left == 0 {
                break;
            }
            ensure!(begun.elapsed() < PATIENCE, "{left} payments are still due");
            sleep(EVERY.saturating_sub(run.elapsed())).await;
        }
        let delay = waiting.await.context("the wait for a payment panicked")??;
        println!(
            "{name}: {seen} looks at {} due payments in {runs} runs, {:.1} s of work: {:.1} looks a second. \
             The decided payment waited {:.1} s.",
            DUE + 1,
            working.as_secs_f64(),
            rate(seen, working),
            delay.as_secs_f64()
        );
        away.bring_back()?;
        Ok(())
    }

    /// Makes charges that wait at the bank, and their records, all of them due.
    async fn make_due(&self) -> Result<()> {
        let mut made = 0;
        while made < DUE {
            let mut tasks = JoinSet::new();
            for _ in 0..AT_ONCE.min(DUE - made) {
                let backlog = self.clone();
                tasks.spawn(async move { backlog.put(&backlog.pending().await?).await });
            }
            while let Some(put) = tasks.join_next().await {
                put.context("making a due payment panicked")??;
                made += 1;
            }
        }
        Ok(())
    }

    /// Makes a payment that the bank had decided before, and whose execution is to be started. It is due after all
    /// others.
    async fn make_decided(&self) -> Result<Value> {
        let mut record = self.pending().await?;
        record["outcome"] = json!("paid");
        record["lookAgainAt"] = json!(jiff::Timestamp::now().as_second() - 1);
        self.put(&record).await?;
        Ok(record)
    }

    /// Charges a card at the bank, which then waits for 3-D Secure. Returns the charge's record, not written yet.
    async fn pending(&self) -> Result<Value> {
        let token = shopper::card_token(&self.outputs, CARD_APPROVED).await?;
        let (key, order) = (self.inspector.key_of_token(&token)?, random::digits(12));
        let reference = random::digits(20);
        let charge: Value = client()
            .post(format!("{}/card/v2/charge", self.outputs.bank_url))
            .header("x-api-key", payment3_bank::SECRET_KEY)
            .json(&json!({
                "amount": "1500.00", "currency": "THB", "description": "due", "source_type": "card", "mode": "token",
                "token": token, "reference_order": reference, "ref_1": order,
            }))
            .send()
            .await?
            .json()
            .await?;
        let since = jiff::Timestamp::now() - jiff::SignedDuration::from_secs(AGE);
        // The last digit of the key is the shard.
        let shard = key.chars().last().and_then(|digit| digit.to_digit(16));
        Ok(json!({
            "tokenId": key, "token": token, "orderId": order, "ownerId": random::id("usr_"), "amountSatang": 150_000,
            "currency": "THB", "referenceOrder": reference, "saveCard": false, "outcome": "pending", "status": false,
            "attempt": 0,
            "openShard": shard.context("a key in hexadecimal digits")?, "lookAgainAt": since.as_second(),
            "openSince": format!("{since:.3}"), "chargeId": charge["id"].as_str().context("a charge has an id")?,
        }))
    }

    async fn put(&self, record: &Value) -> Result<()> {
        let fields = record.as_object().context("a record is an object")?;
        let put = self.aws.dynamodb.put_item();
        put.table_name(self.outputs.table("card-payment-record")?)
            .set_item(Some(items::item_from_json(fields)))
            .send()
            .await
            .map(drop)
            .context("a record cannot be written")
    }

    /// Runs reconciliation once, as the schedule does. Returns how many looks it took.
    async fn reconcile(&self) -> Result<usize> {
        let url = format!(
            "{}/2015-03-31/functions/payment3-reconcile-{}/invocations",
            self.outputs.aws_endpoint, self.outputs.branch
        );
        let mut runs = JoinSet::new();
        for shard in 0..SHARDS {
            let request = json_api::as_administrator(client().post(&url), "lambda");
            let request = request.json(&json!({"shard": shard}));
            runs.spawn(async move {
                let answer = request.timeout(Duration::from_secs(300)).send().await?;
                let report: Value = answer.json().await?;
                anyhow::Ok(report)
            });
        }
        let mut seen = 0;
        while let Some(report) = runs.join_next().await {
            let report = report.context("a run panicked")??;
            let looks = report["seen"].as_u64();
            seen += usize::try_from(looks.with_context(|| report.to_string())?)?;
        }
        Ok(seen)
    }

    /// How many records are due now. A record that was put off for a minute is not.
    async fn count_due(&self) -> Result<usize> {
        let now = jiff::Timestamp::now().as_second();
        let open = Operator::of(&self.aws, &self.outputs).open().await?;
        Ok(open.iter().filter(|(_, due)| *due < now - AGE / 2).count())
    }

    /// How long it takes until a payment's execution is started, or the payment is put off.
    async fn delay_of(&self, payment: &Value, begun: Instant) -> Result<Duration> {
        let executions = Executions::of(&self.aws, &self.outputs.state_machine_arn);
        let charge = payment["chargeId"].as_str().context("a charge")?;
        loop {
            let record = self.inspector.record_by_charge(charge).await?;
            let was_put_off = record.unwrap_or_default()["lookAgainAt"] != payment["lookAgainAt"];
            if executions.find(charge).await?.is_some() || was_put_off {
                return Ok(begun.elapsed());
            }
            ensure!(begun.elapsed() < PATIENCE, "{charge} was never looked at");
            sleep(Duration::from_millis(50)).await;
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "a count of payments")]
fn rate(count: usize, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}
