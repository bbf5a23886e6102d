//! A service goes away in the middle of payments, and comes back: nobody does anything, and every payment comes to the end
//! that it would have come to. In the end all of AWS goes away.
//!
//! Time is made to pass: for every virtual minute all open payments grow a minute older, and reconciliation runs once, as its
//! schedule does. The state machine's own waits are a second each.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use aws_sdk_sfn::types::ExecutionStatus;
use payment3_activities::activity::ACTIVITIES;
use payment3_harness::away::How;
use payment3_harness::aws::Aws;
use payment3_harness::call::Service;
use payment3_harness::executions::{Executions, Summary};
use payment3_harness::fault_plan::FaultPlans;
use payment3_harness::flow::Flow;
use payment3_harness::operator::Operator;
use payment3_harness::outputs::Outputs;
use payment3_harness::player::{Begun, Player, Start};
use payment3_harness::shopper::ReturnForm;
use payment3_harness::workspace;
use payment3_harness::{logs, peer_process};
use payment3_model::functions_on;
use payment3_stack::environment::Environment;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::matrix::use_fast_retries;

/// How many payments are on their way.
const PAYMENTS: usize = 20;
/// How many executions must be running when the outage comes.
const RUNNING: usize = 4;
/// How long to wait for so many.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between the returns of two shoppers, so that the outage meets them at different states.
const APART: Duration = Duration::from_millis(80);
/// More executions than there are.
const ALL: usize = 10_000;
/// How long a service stays away, in virtual minutes.
const MINUTES_AWAY: i64 = 10;
/// How many virtual minutes everything may take to be over, after the service is back.
const MINUTES_TO_HEAL: i64 = 30;
/// What a virtual minute takes: the state machine tries a few times.
const A_MINUTE: Duration = Duration::from_millis(1_200);
/// The longest pause that is no answer to trouble: a checkout is looked at for the first time after five minutes.
const FIRST_LOOK: i64 = 300;

/// What goes away, and how.
const OUTAGES: [(Service, How); 5] = [
    (Service::DynamoDb, How::Throttled),
    (Service::Lambda, How::Throttled),
    (Service::SecretsManager, How::Closed),
    (Service::Bank, How::Closed),
    (Service::Shop, How::Closed),
];

/// The flows of the payments, and the end of each.
const FLOWS: [(Flow, &str); 10] = [
    (Flow::WithoutThreeDs, "orderPaid"),
    (Flow::NewUser, "orderPaid"),
    (Flow::Notified, "orderPaid"),
    (Flow::KnownUser, "orderPaid"),
    (Flow::Declined, "declined"),
    (Flow::Verification, "reversed"),
    (Flow::OrderGone, "reversed"),
    (Flow::OrderGoneSettled, "reversed"),
    (Flow::NothingCalledBack, "orderPaid"),
    (Flow::EarlyCallback, "orderPaid"),
];

/// What is decided on the ways of some flows: every activity is called on one of them.
const WAYS: [(Flow, &[&str]); 3] = [
    (Flow::NewUser, payment3_model::NEW_USER),
    (Flow::KnownUser, payment3_model::KNOWN_USER),
    (Flow::OrderGone, &["paid", "OrderNotFound"]),
];

/// The log lines for which somebody is called, by the name of their error.
const FOR_A_PERSON: [&str; 8] = [
    "PaymentStands",
    "ChargeMismatch",
    "OutcomeConflict",
    "OrphanCheckout",
    "OrphanCharge",
    "RefusalNeedsPerson",
    "OrderUnreadable",
    "UnknownState",
];

/// Takes one service after the other away, then throttles the tables for one state after the other, puts a wrong key, and
/// stops all of AWS.
///
/// # Errors
/// A payment does not come to its end by itself, a pause is too long, somebody would have been called; or the environment does
/// not come back. The environment is lost then.
pub async fn run(environment: Environment) -> Result<Environment> {
    let begun = Instant::now();
    let scene = Scene::of(&environment)?;
    use_fast_retries(&scene.outputs).await?;
    for (service, how) in OUTAGES {
        scene.without(service, how).await?;
    }
    scene.with_a_wrong_key().await?;
    scene.with_throttled_states().await?;
    let environment = scene.without_aws(environment).await?;
    scene.nobody_was_called().await?;
    println!(
        "every outage healed by itself, in {:.0} s",
        begun.elapsed().as_secs_f64()
    );
    Ok(environment)
}

/// The activities that use tables, as the CDK app's snapshot says, each with a flow that calls it.
fn using_tables() -> Result<Vec<(String, Flow)>> {
    let snapshot = fs::read_to_string(workspace::cdk_dir().join("test/snapshot.txt"))
        .context("cannot read cdk/test/snapshot.txt")?;
    let granted = |program: &str| -> Result<bool> {
        let (_, rest) = snapshot
            .split_once(&format!("{program} may\n"))
            .with_context(|| {
                format!("cdk/test/snapshot.txt has no {program}: run `cargo local renew`")
            })?;
        let mut grants = rest.lines().take_while(|line| line.starts_with("  "));
        Ok(grants.any(|grant| grant.contains("dynamodb:")))
    };
    let mut found = Vec::new();
    for activity in ACTIVITIES {
        if !granted(activity.program)? {
            continue;
        }
        let called = |way: &[&str]| {
            let functions = functions_on(way);
            functions
                .iter()
                .any(|function| function == activity.program)
        };
        let (flow, _) = WAYS
            .into_iter()
            .find(|(_, way)| called(way))
            .with_context(|| {
                format!("no flow in WAYS of {} calls {}", file!(), activity.program)
            })?;
        found.push((activity.program.to_owned(), flow));
    }
    // A decline is recorded by another way than a payment.
    found.push(("record-outcome".to_owned(), Flow::Declined));
    Ok(found)
}

/// Payments on their way, each with its return from the bank where it has one.
type OnTheirWay = Vec<(Arc<Begun>, Option<ReturnForm>)>;

struct Scene {
    outputs: Outputs,
    aws: Aws,
    player: Player,
    operator: Operator,
    executions: Executions,
    fault_plans: FaultPlans,
}

impl Scene {
    fn of(environment: &Environment) -> Result<Self> {
        let outputs = environment.outputs().clone();
        let fault_plans = environment.fault_plans()?.clone();
        let aws = Aws::at(&outputs.aws_endpoint);
        Ok(Self {
            player: Player::new(&outputs, &fault_plans),
            operator: Operator::of(&aws, &outputs),
            executions: Executions::of(&aws, &outputs.state_machine_arn),
            aws,
            outputs,
            fault_plans,
        })
    }

    /// A service goes away for ten minutes.
    async fn without(&self, service: Service, how: How) -> Result<()> {
        let payments = self.begin().await?;
        let paying = self.come_back(&payments);
        self.until_some_run().await?;
        self.fault_plans.away().take(service, how)?;
        if service == Service::SecretsManager {
            // Whoever runs has the keys already.
            self.restart_functions()?;
        }
        let what = format!("{service:?} {how:?}").to_lowercase();
        println!("{PAYMENTS} payments on their way: {what} for {MINUTES_AWAY} minutes");
        for minute in 1..=MINUTES_AWAY {
            sleep(A_MINUTE).await;
            self.operator.pass(60).await?;
            // Reconciliation is a function, too.
            if service != Service::Lambda {
                self.reconcile(minute).await?;
            }
        }
        paying.await?;
        self.fault_plans.away().bring_back()?;
        self.heal(&payments, MINUTES_AWAY).await
    }

    /// Somebody puts a key that the bank refuses, and the right one ten minutes later.
    async fn with_a_wrong_key(&self) -> Result<()> {
        let right = self.gateway_secret().await?;
        let mut wrong: Value = serde_json::from_str(&right).context("the secret is JSON")?;
        wrong["b2c"] = json!("pkey_test_wrong:skey_test_wrong");
        let payments = self.begin().await?;
        let paying = self.come_back(&payments);
        self.until_some_run().await?;
        self.put_gateway_secret(&wrong.to_string()).await?;
        self.restart_functions()?;
        println!("{PAYMENTS} payments on their way: a wrong key for {MINUTES_AWAY} minutes");
        for minute in 1..=MINUTES_AWAY {
            sleep(A_MINUTE).await;
            self.operator.pass(60).await?;
            self.reconcile(minute).await?;
        }
        paying.await?;
        self.put_gateway_secret(&right).await?;
        self.heal(&payments, MINUTES_AWAY).await
    }

    /// The tables are throttled for one function of each payment, until its execution has given up.
    async fn with_throttled_states(&self) -> Result<()> {
        let states = using_tables()?;
        let begun = self
            .begin_flows(states.iter().map(|(_, flow)| *flow))
            .await?;
        let mut payments = OnTheirWay::new();
        let mut throttled = Vec::new();
        for (payment, (function, _)) in begun.into_iter().zip(&states) {
            let form = self.player.go_to_the_bank(&payment).await?;
            let scope = self.player.watch(&payment, Start::Warm);
            scope.throttle_tables_of(Some(function));
            throttled.push((scope, function));
            payments.push((Arc::new(payment), form));
        }
        println!(
            "{} payments, each throttled at the tables in one state",
            payments.len()
        );
        self.come_back(&payments).await?;
        self.until_none_runs().await?;
        for ((scope, function), (payment, _)) in throttled.iter().zip(&payments) {
            let told = self.tell(payment).await?;
            // What only saves a card fails nobody's payment.
            let for_the_card = ["ensure-kbank-user", "add-card"].contains(&function.as_str());
            ensure!(
                told.contains("FAILED") != for_the_card,
                "throttled at {function}: {told}"
            );
            println!("  {function}: {told}");
            scope.throttle_tables_of(None);
        }
        self.heal(&payments, 0).await
    }

    /// The whole of AWS stops, and starts again with what it had stored.
    async fn without_aws(&self, environment: Environment) -> Result<Environment> {
        let payments = self.begin().await?;
        let paying = self.come_back(&payments);
        let before = self.failed().await?;
        self.until_some_run().await?;
        println!("{PAYMENTS} payments on their way: the local AWS is stopped");
        let environment = environment.restart_aws().await?;
        ensure!(
            self.failed().await? > before,
            "no execution was cut off by the outage"
        );
        paying.await?;
        self.heal(&payments, 0).await?;
        Ok(environment)
    }

    /// Payments of all flows, each at the point where the bank is about to send its shopper back.
    async fn begin(&self) -> Result<OnTheirWay> {
        let flows = FLOWS.iter().map(|(flow, _)| *flow).cycle().take(PAYMENTS);
        let mut begun = self.begin_flows(flows).await?;
        // Those that the bank decides at once run from their checkout on: they come last.
        begun.sort_by_key(|payment| payment.flow() == Flow::WithoutThreeDs);
        let mut tasks = JoinSet::new();
        for (place, payment) in begun.into_iter().enumerate() {
            let player = self.player.clone();
            tasks.spawn(async move {
                let form = player.go_to_the_bank(&payment).await?;
                anyhow::Ok((place, (Arc::new(payment), form)))
            });
        }
        let mut ready = BTreeMap::new();
        while let Some(payment) = tasks.join_next().await {
            let (place, payment) = payment.context("a payment broke")??;
            ready.insert(place, payment);
        }
        Ok(ready.into_values().collect())
    }

    async fn begin_flows(&self, flows: impl Iterator<Item = Flow>) -> Result<Vec<Begun>> {
        let mut tasks = JoinSet::new();
        for (place, flow) in flows.enumerate() {
            let player = self.player.clone();
            tasks.spawn(async move { anyhow::Ok((place, player.begin(flow).await?)) });
        }
        let mut begun = BTreeMap::new();
        while let Some(payment) = tasks.join_next().await {
            let (place, payment) = payment.context("a payment broke")??;
            begun.insert(place, payment);
        }
        Ok(begun.into_values().collect())
    }

    /// The shoppers come back one after the other, whatever they get for an answer.
    fn come_back(&self, payments: &OnTheirWay) -> impl Future<Output = Result<()>> + use<> {
        let mut tasks = JoinSet::new();
        for (place, (payment, form)) in payments.iter().enumerate() {
            let (player, payment) = (self.player.clone(), payment.clone());
            let Some(form) = form.clone() else { continue };
            tasks.spawn(async move {
                sleep(APART * u32::try_from(place).unwrap_or(u32::MAX)).await;
                let _ = player.come_back(&payment, &form).await;
            });
        }
        async move {
            while let Some(payment) = tasks.join_next().await {
                payment.context("a payment broke")?;
            }
            Ok(())
        }
    }

    async fn running(&self) -> Result<Vec<Summary>> {
        self.executions
            .list(Some(ExecutionStatus::Running), ALL)
            .await
    }

    async fn failed(&self) -> Result<usize> {
        let failed = self
            .executions
            .list(Some(ExecutionStatus::Failed), ALL)
            .await?;
        Ok(failed.len())
    }

    async fn until_some_run(&self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while self.running().await?.len() < RUNNING {
            ensure!(
                Instant::now() < deadline,
                "the payments are too quick: never {RUNNING} executions at once"
            );
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    async fn until_none_runs(&self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !self.running().await?.is_empty() && Instant::now() < deadline {
            sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    /// Reconciliation runs, after so many minutes of trouble: no pause is longer than those.
    async fn reconcile(&self, minutes: i64) -> Result<()> {
        let before = jiff::Timestamp::now().as_second();
        // A run that dies in the outage is followed by the next.
        let _ = self.operator.reconcile().await?;
        for (key, due) in self.operator.open().await? {
            let pause = due - before;
            ensure!(
                pause <= FIRST_LOOK.max(60 * minutes) + 5,
                "after {minutes} minutes of trouble, {key} is looked at again in {pause} s only"
            );
        }
        Ok(())
    }

    /// Time passes and reconciliation runs, nothing else, until everything is at the end that it should come to.
    async fn heal(&self, payments: &OnTheirWay, minutes_away: i64) -> Result<()> {
        let mut open: Vec<_> = payments.iter().map(|(payment, _)| payment).collect();
        let mut minutes = 0;
        loop {
            let mut still_open = Vec::new();
            for payment in open {
                if !self.player.is_over(payment).await? {
                    still_open.push(payment);
                }
            }
            open = still_open;
            if open.is_empty() {
                break;
            }
            if minutes == MINUTES_TO_HEAL {
                let mut stuck = Vec::new();
                for payment in open {
                    stuck.push(self.tell(payment).await?);
                }
                anyhow::bail!(
                    "not over {minutes} minutes after the outage:\n{}",
                    stuck.join("\n")
                );
            }
            minutes += 1;
            self.operator.pass(60).await?;
            self.reconcile(minutes_away + minutes).await?;
            sleep(A_MINUTE).await;
        }
        let mut again = Vec::new();
        for (payment, _) in payments {
            let flow = payment.flow();
            let end = self.player.end_of(payment).await?;
            let expected = FLOWS
                .iter()
                .find(|(of, _)| *of == flow)
                .map(|(_, end)| *end);
            ensure!(
                Some(end.as_str()) == expected,
                "{flow} ended as {end}: {}",
                self.tell(payment).await?
            );
            let findings = self.player.examine(payment).await?;
            ensure!(findings.is_empty(), "{flow}: {findings}");
            let told = self.tell(payment).await?;
            if told.contains("FAILED") {
                again.push(told);
            }
        }
        println!(
            "  all {} at their ends {minutes} minutes later; {} had an attempt that failed{}",
            payments.len(),
            again.len(),
            again
                .first()
                .map_or(String::new(), |one| format!(", such as {one}"))
        );
        Ok(())
    }

    /// A payment and its attempts, in one line.
    async fn tell(&self, payment: &Begun) -> Result<String> {
        let flow = payment.flow();
        let Some(charge) = self.player.charge_of(payment).await? else {
            return Ok(format!("{flow}: no charge"));
        };
        let all = self.executions.list(None, ALL).await?;
        let mut attempts = Vec::new();
        for attempt in all.iter().filter(|one| one.name.starts_with(&charge)).rev() {
            let found = self.executions.find(&attempt.name).await?;
            let failure = found.as_ref().and_then(|found| found.failure.as_ref());
            let at = found.as_ref().and_then(|found| found.path.last());
            attempts.push(format!(
                "{} {}{}",
                attempt.name,
                attempt.status,
                failure.map_or(String::new(), |failure| format!(
                    " at {} with {}",
                    at.map_or("no state", |visit| visit.state.as_str()),
                    failure.error
                ))
            ));
        }
        Ok(format!("{flow}: {}", attempts.join(" → ")))
    }

    /// No log has a line for which somebody is called.
    async fn nobody_was_called(&self) -> Result<()> {
        for group in logs::groups(&self.outputs).await? {
            for line in logs::lines(&self.outputs, &group).await? {
                let error = serde_json::from_str::<Value>(&line)
                    .ok()
                    .and_then(|line| line["error"].as_str().map(str::to_owned));
                ensure!(
                    !error.is_some_and(|error| FOR_A_PERSON.contains(&error.as_str())),
                    "somebody would have been called: {line}"
                );
            }
        }
        Ok(())
    }

    /// Every function starts anew at its next call, and holds no key.
    fn restart_functions(&self) -> Result<()> {
        for function in peer_process::running(&self.outputs.branch) {
            function.kill()?;
        }
        Ok(())
    }

    async fn gateway_secret(&self) -> Result<String> {
        let secret = self.aws.secrets.get_secret_value();
        let secret = secret.secret_id(&self.outputs.gateway_secret_arn).send();
        let secret = secret.await.context("the gateway secret cannot be read")?;
        secret.secret_string.context("the gateway secret is text")
    }

    async fn put_gateway_secret(&self, text: &str) -> Result<()> {
        let put = self.aws.secrets.put_secret_value();
        let put = put
            .secret_id(&self.outputs.gateway_secret_arn)
            .secret_string(text);
        put.send()
            .await
            .map(drop)
            .context("the gateway secret cannot be put")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_activity_that_uses_tables_is_called_by_a_flow() {
        let found = using_tables().expect("flows");
        assert!(found.contains(&("reverse-charge".to_owned(), Flow::OrderGone)));
        assert!(!found.iter().any(|(function, _)| function == "notify"));
    }
}
