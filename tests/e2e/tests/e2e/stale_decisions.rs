//! Decisions of the bank that are over an hour old. An execution that wakes up late, or is redriven, has such a
//! decision.

use payment3_harness::executions::ExecutionReport;
use payment3_harness::random;
use payment3_harness::shopper::CARD_APPROVED;
use serde_json::{Value, json};

use crate::support::{Authenticated, TestApp, Undisturbed, new_user_path};

/// The `askedAt` that the state gets: the bank was asked over an hour ago.
const AN_HOUR_AGO: &str = "{% $askedAt - 3601 %}";

/// A payment whose execution has ended.
struct Ran<'a> {
    paid: Authenticated,
    execution: ExecutionReport,
    undisturbed: Undisturbed<'a>,
}

impl TestApp {
    /// Runs a payment on the definition with another payload for one state. It is due afterwards, and nobody has taken
    /// it up.
    async fn run_with(&self, state: &str, change: impl FnOnce(&mut Value)) -> Ran<'_> {
        let paid = self.authenticated(&random::id("usr_"), CARD_APPROVED).await;
        let mut definition = self.definition("every-order");
        change(&mut definition["States"][state]["Arguments"]["Payload"]);
        let name = format!("stale-{}", random::digits(12));
        let machine = self.deploy_machine(&name, &definition).await;
        let undisturbed = self.undisturbed().await;
        let execution = self.run_on(&machine, paid.charge_id()).await;
        Ran {
            paid,
            execution,
            undisturbed,
        }
    }

    /// Asserts that the old decision changed at most the outcome, and that the next attempt asks the bank again and
    /// pays.
    async fn assert_asks_again(&self, ran: Ran<'_>, outcome: &str) {
        let Ran {
            paid,
            execution,
            undisturbed,
        } = ran;
        assert_eq!(execution.status, "SUCCEEDED", "{execution:?}");
        let output = execution.output.expect("an output");
        assert_eq!(output["result"], "awaitingBank", "{output}");
        assert_eq!(output["waitingFor"], "StaleDecision", "{output}");
        let charge = paid.charge_id();
        let record = self.record(charge).await;
        assert_eq!(record["outcome"], outcome, "{record}");
        assert_eq!(record["attempt"], 1, "{record}");
        assert!(record.get("resolution").is_none(), "{record}");
        let due = record["lookAgainAt"].as_i64().expect("open");
        assert!(due <= jiff::Timestamp::now().as_second(), "{record}");
        assert_eq!(self.payment_of(&paid.order).await["isPaid"], false);
        assert_eq!(self.event_kinds_for(&paid.order).await, [""; 0]);

        undisturbed.reconcile().await;
        drop(undisturbed);
        let next = self.execution(&format!("{charge}-1")).await;
        assert_eq!(next.states(), new_user_path(), "{next:?}");
        self.assert_paid(&paid).await;
    }
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn an_old_decision_is_neither_recorded_nor_paid_on_and_the_next_attempt_pays() {
    let app = TestApp::connect().await;
    for (state, outcome) in [("RecordOutcome", "pending"), ("PayOrder", "paid")] {
        let ran = app
            .run_with(state, |payload| payload["askedAt"] = json!(AN_HOUR_AGO))
            .await;
        app.assert_asks_again(ran, outcome).await;
    }
}

/// Makes the payload one of an execution that began at this time.
fn began(payload: &mut Value, at: &str) {
    payload
        .as_object_mut()
        .expect("a payload")
        .remove("askedAt");
    let trace = payload["trace"].as_str().expect("an expression");
    let start = "$states.context.Execution.StartTime";
    assert!(trace.contains(start), "{trace}");
    payload["trace"] = json!(trace.replace(start, at));
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn a_definition_that_does_not_say_when_it_asked_is_judged_by_its_executions_start() {
    let app = TestApp::connect().await;
    let over_an_hour_ago = jiff::Timestamp::now() - jiff::SignedDuration::from_secs(3700);
    for (state, outcome) in [("RecordOutcome", "pending"), ("PayOrder", "paid")] {
        let ran = app
            .run_with(state, |payload| {
                began(payload, &format!("'{over_an_hour_ago}'"));
            })
            .await;
        app.assert_asks_again(ran, outcome).await;

        let ran = app
            .run_with(state, |payload| {
                began(payload, "$states.context.Execution.StartTime");
            })
            .await;
        let execution = &ran.execution;
        assert_eq!(execution.states(), new_user_path(), "{execution:?}");
        app.assert_paid(&ran.paid).await;
    }
}
