//! Outages: a service becomes unavailable in the middle of payments, and comes back. Every payment must then end as
//! it would have without the outage, and nobody has to do anything. The last outage stops all of AWS.
//!
//! Time is simulated. In every virtual minute, all open payments become a minute older, and reconciliation runs once,
//! as its schedule does. The waits of the state machine are shortened to a second each.

use std::collections::{BTreeMap, BTreeSet};
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
use payment3_harness::expected::refunds;
use payment3_harness::fault_plan::FaultPlans;
use payment3_harness::flow::Flow;
use payment3_harness::operator::Operator;
use payment3_harness::outputs::Outputs;
use payment3_harness::player::{Begun, Player, Start};
use payment3_harness::refund_machine::RefundMachine;
use payment3_harness::shopper::ReturnForm;
use payment3_harness::workspace;
use payment3_harness::{logs, peer_process, random};
use payment3_model::{Definition, Machine, State, functions_on};
use payment3_stack::environment::Environment;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::matrix::use_fast_retries;
use crate::missing_right::RIGHTS;

/// How many payments are in progress during an outage.
const PAYMENTS: usize = 20;
/// How many executions must be running when the outage begins.
const RUNNING: usize = 4;
/// How long to wait until this many are running.
const PATIENCE: Duration = Duration::from_secs(60);
/// The pause between the returns of two shoppers. It makes the outage hit executions in different states.
const APART: Duration = Duration::from_millis(80);
/// A limit for lists that is higher than the number of executions.
const ALL: usize = 10_000;
/// How long an outage lasts, in virtual minutes.
const MINUTES_AWAY: i64 = 10;
/// How many virtual minutes all payments may take to end, after the service is back.
const MINUTES_TO_HEAL: i64 = 30;
/// The real duration of a virtual minute. It is enough for a few retries of the state machine.
const A_MINUTE: Duration = Duration::from_millis(1_200);
/// The longest pause before the next check that has nothing to do with the outage, in seconds: the first check of a new
/// checkout.
const FIRST_LOOK: i64 = 300;

/// The outages: which service, and how it fails.
const OUTAGES: [(Service, How); 5] = [
    (Service::DynamoDb, How::Throttled),
    (Service::Lambda, How::Throttled),
    (Service::SecretsManager, How::Closed),
    (Service::Bank, How::Closed),
    (Service::Shop, How::Closed),
];

/// The flows of the payments, and how each must end.
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

/// The decisions on the paths of some flows. Every activity is called on at least one of these paths.
const WAYS: [(Flow, &[&str]); 3] = [
    (Flow::NewUser, payment3_model::NEW_USER),
    (Flow::KnownUser, payment3_model::KNOWN_USER),
    (Flow::OrderGone, &["paid", "OrderNotFound"]),
];

/// The same for refunds.
const REFUND_WAYS: [(Flow, &[&str]); 4] = [
    (Flow::RefundVoided, &["whole, Authorized"]),
    (Flow::RefundAll, &["Settled"]),
    (Flow::RefundAnswerLost, &["answer lost", "it took effect"]),
    (Flow::GivenBackByHand, &["elsewhere", "by hand"]),
];
/// The refunds that are in progress during an outage. A part may need a person after one, so these are of all that was
/// paid.
const REFUNDS: [Flow; 2] = [Flow::RefundVoided, Flow::RefundAll];
/// The virtual minute in which the orders that are paid by then are refunded, while the shop's webhook is away.
const REFUNDED_IN: i64 = 3;
/// How long the tables are throttled for one state of a refund: longer than its function itself tries.
const THROTTLED: Duration = Duration::from_secs(8);
/// How long a refund may take after an outage.
const REFUND_PATIENCE: Duration = Duration::from_secs(180);

/// The errors in log lines that alert a person.
const ALERTS_A_PERSON: [&str; 10] = [
    "PaymentStands",
    "ChargeMismatch",
    "OutcomeConflict",
    "OrphanCheckout",
    "OrphanCharge",
    "RefusalNeedsPerson",
    "OrderUnreadable",
    "UnknownState",
    "RefundUncertain",
    "RefundStuck",
];

/// Takes one right after the other away from whom a payment needs it. The payment's execution must show which one is
/// missing, and go on by itself when it is back.
///
/// # Errors
/// A call was not denied, or a payment does not recover by itself.
pub fn missing_rights(
    environment: &Environment,
) -> Result<impl Future<Output = Result<()>> + use<>> {
    let scene = Scene::of(environment)?;
    Ok(async move { scene.with_missing_rights().await })
}

/// Runs all outages: each service in turn, then a wrong key for the bank, then throttled tables for each state in
/// turn, then all of AWS.
///
/// # Errors
/// A payment does not recover by itself, a pause is too long, a person would have been alerted, or the environment
/// does not restart. After an error the environment cannot be used.
pub async fn run(environment: Environment) -> Result<Environment> {
    let begun = Instant::now();
    let scene = Scene::of(&environment)?;
    use_fast_retries(&scene.outputs).await?;
    for (service, how) in OUTAGES {
        scene.without(service, how).await?;
    }
    scene.with_a_wrong_key().await?;
    scene.with_throttled_states().await?;
    scene.refunds_with_throttled_states().await?;
    let environment = scene.without_aws(environment).await?;
    scene.nobody_was_alerted().await?;
    println!(
        "all payments recovered from every outage, in {:.0} s",
        begun.elapsed().as_secs_f64()
    );
    Ok(environment)
}

/// The activities of a machine that may use tables, according to the CDK app's snapshot, each with a flow that calls it.
fn using_tables(machine: Machine, ways: &[(Flow, &[&str])]) -> Result<Vec<(String, Flow)>> {
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
    let definition = Definition::of_the_repository(machine)?;
    let mut found = Vec::new();
    for activity in ACTIVITIES {
        let calls = |state: &State| match state {
            State::Task(task) => task.function().as_deref() == Some(activity.program),
            _ => false,
        };
        if !definition.states.values().any(calls) || !granted(activity.program)? {
            continue;
        }
        let called = |way: &[&str]| {
            let functions = functions_on(machine, way);
            functions
                .iter()
                .any(|function| function == activity.program)
        };
        let (flow, _) = ways
            .iter()
            .find(|(_, way)| called(way))
            .with_context(|| format!("no flow in {} calls {}", file!(), activity.program))?;
        found.push((activity.program.to_owned(), *flow));
    }
    if machine == Machine::Payment {
        // A decline is recorded by another way than a payment.
        found.push(("record-outcome".to_owned(), Flow::Declined));
    }
    Ok(found)
}

/// Payments in progress, each with its return from the bank, if it has one.
type InProgress = Vec<(Arc<Begun>, Option<ReturnForm>)>;

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

    async fn with_missing_rights(&self) -> Result<()> {
        println!("{} payments, each without a right", RIGHTS.len());
        let mut payments = InProgress::new();
        for right in &RIGHTS {
            let payment = self.player.begin(Flow::NewUser).await?;
            let form = self.player.go_to_the_bank(&payment).await?;
            let form = form.context("the bank sends the shopper back")?;
            let taken = right.take(&self.outputs).await?;
            // Running processes have fetched the keys already.
            self.restart_functions()?;
            self.player.come_back(&payment, &form).await?;
            let missed = right
                .is_missed_in(&self.executions, form.charge_id()?)
                .await?;
            println!("  {}: {missed}", right.state);
            taken.give_back().await?;
            payments.push((Arc::new(payment), Some(form)));
        }
        self.heal(&payments, 0).await
    }

    /// Makes a service unavailable for ten minutes.
    async fn without(&self, service: Service, how: How) -> Result<()> {
        let payments = self.begin().await?;
        let mut refunds = self.begin_refunds().await?;
        let paying = self.come_back(&payments);
        self.until_some_run().await?;
        self.fault_plans.away().take(service, how)?;
        if service == Service::SecretsManager {
            // Running processes have fetched the keys already.
            self.restart_functions()?;
        }
        let what = format!("{service:?} {how:?}").to_lowercase();
        println!("{PAYMENTS} payments in progress: {what} for {MINUTES_AWAY} minutes");
        let mut refunded = Vec::new();
        for minute in 1..=MINUTES_AWAY {
            sleep(A_MINUTE).await;
            self.operator.pass(60).await?;
            // Reconciliation is a function too, so it cannot run without Lambda.
            if service != Service::Lambda {
                self.reconcile(minute).await?;
            }
            if service == Service::Shop && minute == REFUNDED_IN {
                refunded = self.refund_what_is_paid(&payments).await?;
            }
        }
        paying.await?;
        self.fault_plans.away().bring_back()?;
        if !refunded.is_empty() {
            self.until_refunded(&refunded).await?;
        }
        self.heal(&payments, MINUTES_AWAY).await?;
        while let Some(refund) = refunds.join_next().await {
            let refund = refund.context("a refund panicked")??;
            self.examine_refund(&refund).await?;
        }
        Ok(())
    }

    /// Stores a key that the bank refuses, and the right one ten minutes later.
    async fn with_a_wrong_key(&self) -> Result<()> {
        let right = self.gateway_secret().await?;
        let mut wrong: Value = serde_json::from_str(&right).context("the secret is JSON")?;
        wrong["b2c"] = json!("pkey_test_wrong:skey_test_wrong");
        let payments = self.begin().await?;
        let paying = self.come_back(&payments);
        self.until_some_run().await?;
        self.put_gateway_secret(&wrong.to_string()).await?;
        self.restart_functions()?;
        println!("{PAYMENTS} payments in progress: a wrong key for {MINUTES_AWAY} minutes");
        for minute in 1..=MINUTES_AWAY {
            sleep(A_MINUTE).await;
            self.operator.pass(60).await?;
            self.reconcile(minute).await?;
        }
        paying.await?;
        self.put_gateway_secret(&right).await?;
        self.heal(&payments, MINUTES_AWAY).await
    }

    /// Throttles the tables for one function of each payment, until its execution has given up.
    async fn with_throttled_states(&self) -> Result<()> {
        let states = using_tables(Machine::Payment, &WAYS)?;
        let begun = self
            .begin_flows(states.iter().map(|(_, flow)| *flow))
            .await?;
        let mut payments = InProgress::new();
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
            let description = self.describe(payment).await?;
            // A card that cannot be saved does not make the payment fail.
            let for_the_card = ["ensure-kbank-user", "add-card"].contains(&function.as_str());
            ensure!(
                description.contains("FAILED") != for_the_card,
                "throttled at {function}: {description}"
            );
            println!("  {function}: {description}");
            scope.throttle_tables_of(None);
        }
        self.heal(&payments, 0).await
    }

    /// Throttles the tables for one function of each refund. Its execution waits in place.
    async fn refunds_with_throttled_states(&self) -> Result<()> {
        let states = using_tables(Machine::Refund, &REFUND_WAYS)?;
        let begun = self
            .begin_flows(states.iter().map(|(_, flow)| *flow))
            .await?;
        let mut tasks = JoinSet::new();
        for (refund, (function, _)) in begun.into_iter().zip(states.clone()) {
            let scope = self.player.watch(&refund, Start::Warm);
            scope.throttle_tables_of(Some(&function));
            let (player, begun) = (self.player.clone(), Instant::now());
            tasks.spawn(async move {
                let waiting = || {
                    if begun.elapsed() > THROTTLED {
                        scope.throttle_tables_of(None);
                    }
                };
                player.pay_to_the_end(&refund, waiting).await?;
                anyhow::Ok(refund)
            });
        }
        while let Some(refund) = tasks.join_next().await {
            let refund = refund.context("a refund panicked")??;
            self.examine_refund(&refund).await?;
        }
        println!(
            "{} refunds, each throttled at the tables in one state: all ended",
            states.len()
        );
        Ok(())
    }

    /// Begins refunds that are played beside an outage.
    async fn begin_refunds(&self) -> Result<JoinSet<Result<Begun>>> {
        let mut tasks = JoinSet::new();
        for refund in self.begin_flows(REFUNDS.into_iter()).await? {
            let player = self.player.clone();
            tasks.spawn(async move {
                player.pay_to_the_end(&refund, || {}).await?;
                Ok(refund)
            });
        }
        Ok(tasks)
    }

    async fn examine_refund(&self, refund: &Begun) -> Result<()> {
        let mut findings = self.player.examine(refund).await?;
        let ended = self.player.refunds_ended(refund).await?;
        refunds::judge(refund.flow(), refund.refunds(), &ended, None, &mut findings);
        ensure!(findings.is_empty(), "{}: {findings}", refund.flow());
        Ok(())
    }

    /// Gives back every order that is paid by now, although its payment still runs. Returns the names of the executions.
    async fn refund_what_is_paid(&self, payments: &InProgress) -> Result<Vec<String>> {
        let machine = self.refund_machine();
        let mut names = Vec::new();
        let mut orders = BTreeSet::new();
        for (payment, _) in payments {
            let paid = self.player.end_of(payment).await? == "orderPaid";
            if paid && orders.insert(payment.order_id()) {
                let id = random::id("rf_");
                let input = json!({"refundId": id, "orderId": payment.order_id()});
                machine.start(&id, &input).await?;
                names.push(id);
            }
        }
        ensure!(!names.is_empty(), "no order was paid during the outage");
        Ok(names)
    }

    async fn until_refunded(&self, names: &[String]) -> Result<()> {
        for name in names {
            let execution = self.refund_machine().end_of(name, REFUND_PATIENCE).await?;
            let output = execution.output.as_ref();
            let refunded = output.is_some_and(|output| output["result"] == "refunded");
            ensure!(refunded, "the refund {name}: {execution:?}");
        }
        println!("  {} of the orders were given back meanwhile", names.len());
        Ok(())
    }

    fn refund_machine(&self) -> RefundMachine {
        RefundMachine::at(&self.aws, &self.outputs.refund_state_machine_arn)
    }

    /// Stops all of AWS, and starts it again with its stored state.
    async fn without_aws(&self, environment: Environment) -> Result<Environment> {
        let payments = self.begin().await?;
        let paying = self.come_back(&payments);
        let before = self.failed().await?;
        self.until_some_run().await?;
        println!("{PAYMENTS} payments in progress: the local AWS is stopped");
        let environment = environment.restart_aws().await?;
        ensure!(
            self.failed().await? > before,
            "the outage interrupted no execution"
        );
        paying.await?;
        self.heal(&payments, 0).await?;
        Ok(environment)
    }

    /// Begins payments of all flows, up to the point where the bank sends the shopper back.
    async fn begin(&self) -> Result<InProgress> {
        let flows = FLOWS.iter().map(|(flow, _)| *flow).cycle().take(PAYMENTS);
        let mut begun = self.begin_flows(flows).await?;
        // If the bank decides at checkout, the execution starts there. These payments begin last.
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
            let (place, payment) = payment.context("a payment panicked")??;
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
            let (place, payment) = payment.context("a payment panicked")??;
            begun.insert(place, payment);
        }
        Ok(begun.into_values().collect())
    }

    /// Lets the shoppers return one after the other. Their answers may be errors.
    fn come_back(&self, payments: &InProgress) -> impl Future<Output = Result<()>> + use<> {
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
                payment.context("a payment panicked")?;
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
                "the payments are too quick: there were never {RUNNING} executions at the same time"
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

    /// Runs reconciliation after this many minutes of trouble. No pause may be longer than that.
    async fn reconcile(&self, minutes: i64) -> Result<()> {
        let before = jiff::Timestamp::now().as_second();
        // A run may fail during the outage. The next one follows a minute later.
        let _ = self.operator.reconcile().await?;
        for (key, due) in self.operator.open().await? {
            let pause = due - before;
            ensure!(
                pause <= FIRST_LOOK.max(60 * minutes) + 5,
                "after {minutes} minutes of trouble, {key} is only checked again in {pause} s"
            );
        }
        Ok(())
    }

    /// Lets time pass and reconciliation run, nothing else, until all payments have ended as they should.
    async fn heal(&self, payments: &InProgress, minutes_away: i64) -> Result<()> {
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
                    stuck.push(self.describe(payment).await?);
                }
                anyhow::bail!(
                    "not ended {minutes} minutes after the outage:\n{}",
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
                self.describe(payment).await?
            );
            let findings = self.player.examine(payment).await?;
            ensure!(findings.is_empty(), "{flow}: {findings}");
            let description = self.describe(payment).await?;
            if description.contains("FAILED") {
                again.push(description);
            }
        }
        println!(
            "  all {} ended within {minutes} minutes; {} had a failed attempt{}",
            payments.len(),
            again.len(),
            again
                .first()
                .map_or(String::new(), |one| format!(", such as {one}"))
        );
        Ok(())
    }

    /// A payment and its attempts, in one line.
    async fn describe(&self, payment: &Begun) -> Result<String> {
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

    /// Checks that no log has a line that alerts a person.
    async fn nobody_was_alerted(&self) -> Result<()> {
        for group in logs::groups(&self.outputs).await? {
            for line in logs::lines(&self.outputs, &group).await? {
                let error = serde_json::from_str::<Value>(&line)
                    .ok()
                    .and_then(|line| line["error"].as_str().map(str::to_owned));
                ensure!(
                    !error.is_some_and(|error| ALERTS_A_PERSON.contains(&error.as_str())),
                    "a person would have been alerted: {line}"
                );
            }
        }
        Ok(())
    }

    /// Makes every function start a new process at its next call, without cached keys.
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
        let found = using_tables(Machine::Payment, &WAYS).expect("flows");
        assert!(found.contains(&("reverse-charge".to_owned(), Flow::OrderGone)));
        assert!(!found.iter().any(|(function, _)| function == "notify"));
        let found = using_tables(Machine::Refund, &REFUND_WAYS).expect("flows");
        assert!(found.contains(&("refund-charge".to_owned(), Flow::RefundAll)));
        assert!(found.contains(&("find-refund".to_owned(), Flow::RefundAnswerLost)));
    }
}
