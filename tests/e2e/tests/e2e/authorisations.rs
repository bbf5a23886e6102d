//! An authorisation that the bank has signed is stored in the record before the answer, whatever fails in between.

use payment3_activities::activity::callback;
use payment3_activities::domain::callback_base::CallbackBases;
use payment3_activities::executions::Executions;
use payment3_activities::http_api::{Request, Response};
use payment3_activities::tables::orders::Orders;
use payment3_activities::tables::records::Records;
use payment3_activities::tables::sources::Sources;
use payment3_harness::aws::Aws;
use payment3_harness::random;
use payment3_harness::shopper::CARD_APPROVED;
use serde_json::{Value, json};

use crate::hostile::sign;
use crate::lossy::{refuses, starts_nothing};
use crate::support::{TestApp, assert_closed, database};

/// More calls than a test makes.
const EVERY: usize = 1000;

/// How far a payment has come when the bank signs that its charge is authorised.
const STAGES: [(&str, &str); 4] = [
    ("open", ""),
    ("declined, not closed", "SET outcome = :declined"),
    (
        "declined and closed",
        "SET outcome = :declined, closedAs = :declined, closedAt = :declined REMOVE openShard, lookAgainAt",
    ),
    (
        "given up",
        "SET outcome = :declined, closedAs = :abandoned, closedAt = :declined REMOVE openShard, lookAgainAt",
    ),
];

impl TestApp {
    /// The parts of the callback function, with these clients of AWS.
    fn callback_at(&self, aws: &Aws) -> callback::Parts {
        let records = Records::new(database(aws), self.table("card-payment-record"));
        callback::Parts {
            sources: Sources::new(records, None, false, self.outputs.branch.clone()),
            checkouts: self.checkouts_at(aws),
            orders: Orders::new(database(aws), self.table("order")),
            bank: self.bank(),
            executions: Executions::new(aws.sfn.clone(), self.outputs.state_machine_arn.clone()),
            refunds: Executions::new(
                aws.sfn.clone(),
                self.outputs.refund_state_machine_arn.clone(),
            ),
            bases: CallbackBases::new(&[], &self.outputs.shop_url).expect("a base"),
        }
    }

    /// Posts to the callback function, with these clients of AWS.
    pub(crate) async fn post_at(&self, aws: &Aws, route: &str, body: String) -> Response {
        let mut request = Request::default();
        request.route_key = Some(route.to_owned());
        request.request_context.request_id = Some(random::id("r-"));
        request.body = Some(body);
        callback::answer(&self.callback_at(aws), &request).await
    }

    /// A payment in this stage, whose charge the bank has authorised: its charge and its record's key.
    async fn authorised(&self, stage: &str) -> (String, String) {
        let paid = self.authenticated(&random::id("usr_"), CARD_APPROVED).await;
        let charge = paid.charge_id().to_owned();
        let key = self.key_of(&charge).await;
        if !stage.is_empty() {
            let words: Vec<_> = [("declined", ":declined"), ("abandoned", ":abandoned")]
                .into_iter()
                .filter(|(_, name)| stage.contains(name))
                .map(|(word, name)| (name, json!(word)))
                .collect();
            self.change_record(&key, stage, &words).await;
        }
        (charge, key)
    }
}

/// The bank's notification that a charge is authorised.
pub(crate) fn signed(charge: &str) -> String {
    let mut notice = json!({
        "object": "charge", "id": charge, "amount": 1500, "currency": "THB", "status": "success",
        "transaction_state": "Authorized",
    });
    sign(&mut notice, payment3_bank::SECRET_KEY);
    notice.to_string()
}

fn assert_durable(record: &Value, how: &str) {
    assert!(record["paidNotifiedAt"].is_number(), "{how}: {record}");
    assert!(record["openShard"].is_number(), "{how}: {record}");
    assert_eq!(record["outcome"], "pending", "{how}: {record}");
    let due = record["lookAgainAt"].as_i64().expect("open");
    assert!(due <= jiff::Timestamp::now().as_second(), "{how}: {record}");
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn an_authorisation_whose_execution_could_not_be_started_is_kept_and_pays() {
    let app = TestApp::connect().await;
    let aws = starts_nothing(&app.outputs.aws_endpoint);
    let undisturbed = app.undisturbed().await;
    let mut kept = Vec::new();
    for (how, stage) in STAGES {
        let (charge, key) = app.authorised(stage).await;
        let answer = app.post_at(&aws, "POST /notify", signed(&charge)).await;
        assert_eq!(answer.status_code, 200, "{how}: {answer:?}");
        assert_durable(&app.read_record(&key).await, how);
        assert_eq!(app.executions_of(&charge).await, [""; 0], "{how}");
        kept.push((how, charge, key));
    }
    undisturbed.reconcile().await;
    drop(undisturbed);
    for (how, charge, key) in kept {
        assert!(
            app.until_closed(&key, std::time::Duration::from_secs(60))
                .await,
            "{how}"
        );
        let record = app.read_record(&key).await;
        assert_closed(&record);
        assert_eq!(record["resolution"], "orderPaid", "{how}: {record}");
        assert_eq!(
            app.event_kinds_of(&charge).await,
            ["payment.succeeded"],
            "{how}"
        );
    }
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn a_record_that_others_change_at_the_same_moment_is_read_and_written_again() {
    let app = TestApp::connect().await;
    for error in [
        "TransactionConflictException",
        "ConditionalCheckFailedException",
    ] {
        for (how, stage) in STAGES {
            let how = format!("{error}, {how}");
            let (charge, key) = app.authorised(stage).await;
            let before = app.read_record(&key).await;
            // While it lasts, the bank must send the notification again.
            let busy = refuses(&app.outputs.aws_endpoint, "UpdateItem", EVERY, error);
            let answer = app.post_at(&busy, "POST /notify", signed(&charge)).await;
            assert_eq!(answer.status_code, 503, "{how}: {answer:?}");
            assert_eq!(app.read_record(&key).await, before, "{how}");
            assert_eq!(app.executions_of(&charge).await, [""; 0], "{how}");

            let briefly = refuses(&app.outputs.aws_endpoint, "UpdateItem", 3, error);
            let answer = app.post_at(&briefly, "POST /notify", signed(&charge)).await;
            assert_eq!(answer.status_code, 200, "{how}: {answer:?}");
            let record = app.read_record(&key).await;
            assert!(record["paidNotifiedAt"].is_number(), "{how}: {record}");
            let attempt = if stage.is_empty() { "" } else { "-1" };
            let execution = app.execution(&format!("{charge}{attempt}")).await;
            assert!(execution.has_succeeded(), "{how}: {execution:?}");
        }
    }
}
