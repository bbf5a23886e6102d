//! Refunds of paid orders: all of it, a part, several parts, by the system and by hand.

mod bad_input;
mod beside;
mod flows;
mod updates;

use std::time::Duration;

use payment3_harness::executions::ExecutionReport;
use payment3_harness::fast_retries::shorten;
use payment3_harness::ledger::Ledger;
use payment3_harness::refund_machine::{RefundMachine, Started};
use payment3_harness::shopper::CARD_APPROVED;
use payment3_harness::{invariants, random};
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use tokio::time::{Instant, sleep};

use crate::support::{Authenticated, TestApp, subject};

/// How long a refund may take that has nothing to wait for. It should take far less, but the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(150);
/// How long to wait between two looks at an execution.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// The limits in the definition, in milliseconds: how long the bank may refuse, how long technical trouble may last, and
/// how long the bank may not say what it has notified.
const LIMITS: [&str; 3] = ["259200000", "1209600000", "3600000"];
/// The same of an impatient machine: the first refusal is the last one, and so on.
const IMPATIENT_LIMIT: &str = "1";

/// The times of a refund machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Times {
    /// As it is deployed.
    Deployed,
    /// Its Wait states and the pauses between retries are short.
    Fast,
    /// As `Fast`, and it gives up after the first request that fails.
    Impatient,
}

impl TestApp {
    /// The refund machine of these times. It has the deployed definition, but for its times.
    pub(crate) async fn refund_machine(&self, times: Times) -> RefundMachine {
        static FAST: OnceCell<String> = OnceCell::const_new();
        static IMPATIENT: OnceCell<String> = OnceCell::const_new();
        let deployed = &self.outputs.refund_state_machine_arn;
        let machine = match times {
            Times::Deployed => deployed,
            Times::Fast => FAST.get_or_init(|| self.machine("fast", &[])).await,
            Times::Impatient => {
                let made = IMPATIENT.get_or_init(|| self.machine("impatient", &LIMITS));
                made.await
            }
        };
        RefundMachine::at(&self.aws, machine)
    }

    /// Makes a copy of the deployed refund machine with short waits, and with these limits short.
    async fn machine(&self, name: &str, limits: &[&str]) -> String {
        let deployed = &self.outputs.refund_state_machine_arn;
        let machine = self.aws.sfn.describe_state_machine();
        let machine = machine.state_machine_arn(deployed).send().await;
        let machine = machine.expect("the deployed machine");
        let definition: Value = serde_json::from_str(machine.definition()).expect("JSON");
        let mut definition = shorten(&definition).to_string();
        for limit in limits {
            assert!(definition.contains(limit), "{limit}");
            definition = definition.replace(limit, IMPATIENT_LIMIT);
        }
        // Another process of these tests may have made one in the same environment.
        let name = format!("refund-{name}-{}", random::digits(9));
        let definition: Value = serde_json::from_str(&definition).expect("JSON");
        self.deploy_machine_like(deployed, &name, &definition).await
    }

    /// A new customer's order, paid; its execution is over.
    pub(crate) async fn paid(&self) -> Authenticated {
        let paid = self.authenticated(&random::id("usr_"), CARD_APPROVED).await;
        self.return_with(&paid.form).await;
        let execution = self.execution(paid.charge_id()).await;
        assert_eq!(execution.status, "SUCCEEDED", "{execution:?}");
        paid
    }

    /// Starts a refund under this name, and waits for its end.
    pub(crate) async fn refund_as(
        &self,
        times: Times,
        name: &str,
        input: &Value,
    ) -> ExecutionReport {
        let office = self.refund_machine(times).await;
        let started = office.start(name, input).await.expect("started");
        assert_eq!(started, Started::Now, "{name}");
        office.end_of(name, PATIENCE).await.expect("an end")
    }

    /// Waits until a refund's execution is in this state.
    pub(crate) async fn until_in(&self, office: &RefundMachine, name: &str, state: &str) {
        let give_up = Instant::now() + PATIENCE;
        loop {
            let seen = office.find(name).await.expect("Step Functions answers");
            let seen = seen.expect("an execution");
            if seen.states().last() == Some(&state) {
                return;
            }
            assert!(!seen.is_over(), "it never is in {state}: {seen:?}");
            assert!(Instant::now() < give_up, "it is not in {state}: {seen:?}");
            sleep(LOOK_EVERY).await;
        }
    }

    /// The ledger of a charge's payment.
    pub(crate) async fn ledger(&self, charge_id: &str) -> Ledger {
        self.inspector.ledger(charge_id).await.expect("a ledger")
    }

    /// How often the bank's API was asked for a void or a refund of a charge.
    pub(crate) async fn reversals_asked(&self, charge_id: &str) -> usize {
        let asked = self.inspector.reversals_asked(charge_id).await;
        asked.expect("the bank answers").len()
    }

    /// Asserts the invariants for one payment, of which this is known.
    async fn assert_invariants_of(&self, paid: &Authenticated, known: Known) {
        let mut subject = subject(&[paid]);
        if known.order_changed {
            subject.changed_orders.insert(paid.order.order_id.clone());
        }
        subject.refunds = known.refunds;
        invariants::assert_invariants(&self.inspector, &subject).await;
    }
}

/// What a test did that the system cannot know.
#[derive(Debug, Default)]
struct Known {
    order_changed: bool,
    refunds: invariants::KnownRefunds,
}

/// A new id of a refund.
pub(crate) fn refund_id() -> String {
    random::id("rf_")
}

/// The input of a refund of an order; without an amount of all that is left.
pub(crate) fn input(refund_id: &str, paid: &Authenticated, amount: Option<&str>) -> Value {
    let mut input =
        json!({"refundId": refund_id, "orderId": paid.order.order_id, "reason": "2 items missing"});
    if let Some(amount) = amount {
        input["amount"] = json!(amount);
    }
    input
}

/// A path without immediate repeats: a loop that is run several times is shown once.
fn without_repeats<'a>(states: &[&'a str]) -> Vec<&'a str> {
    let mut path = states.to_vec();
    let repeat = |path: &[&str]| {
        (1..=path.len() / 2).find_map(|length| {
            let starts = 0..=path.len() - 2 * length;
            let mut starts =
                starts.filter(|&at| path[at..at + length] == path[at + length..at + 2 * length]);
            starts.next().map(|at| at + length..at + 2 * length)
        })
    };
    while let Some(again) = repeat(&path) {
        path.drain(again);
    }
    path
}

#[test]
fn a_loop_is_shown_once() {
    let shown = |path: &str| without_repeats(&path.split(' ').collect::<Vec<_>>()).join(" ");
    assert_eq!(shown("A B C B C B C D"), "A B C D");
    assert_eq!(shown("A B C B D"), "A B C B D");
    assert_eq!(shown("A A"), "A");
    assert_eq!(shown("A"), "A");
}
