//! Records that this stack's checkout did not make: those of the former system, in every type it wrote, and those of
//! master.

use std::sync::Arc;

use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection,
    ProjectionType, ScalarAttributeType,
};
use payment3_harness::http::FORM;
use payment3_harness::shop_api::{Order, TOTAL};
use payment3_harness::shopper::{self, CARD_APPROVED, ReturnForm};
use payment3_harness::{logs, random};
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use tokio::task::JoinSet;

use crate::authorisations::signed;
use crate::lossy::starts_nothing;
use crate::support::{TestApp, new_user_path};

/// The table of the branch whose records other branches may claim. Its stack is not deployed here; the test makes the
/// table as that stack does.
const MASTER: &str = "payment3-card-payment-record-master";

/// A charge that the former system made, and its shopper back from the bank.
struct OldPayment {
    order: Order,
    token: String,
    form: ReturnForm,
}

impl OldPayment {
    fn charge(&self) -> &str {
        self.form.charge_id().expect("charge")
    }

    /// The record as the former system wrote it.
    fn item(&self, extra: Value) -> Value {
        let mut item = json!({
            "tokenId": self.token,
            "chargeId": self.charge(),
            "orderId": self.order.order_id,
            "status": false,
        });
        let fields = item.as_object_mut().expect("an object");
        fields.extend(extra.as_object().expect("an object").clone());
        fields.retain(|_, value| !value.is_null());
        item
    }
}

impl TestApp {
    /// Charges a card at the bank as the former system did: no table holds the charge's `reference_order`.
    async fn old_payment(&self) -> OldPayment {
        let order = self.order().await;
        let token = self.card_token(CARD_APPROVED).await;
        let form = self.charge_at_the_bank(&token, &random::digits(12)).await;
        OldPayment { order, token, form }
    }

    /// The lines of a function's log about this payment that count as this error.
    /// The lines of this error about a payment: as many as this.
    async fn logged(
        &self,
        old: &OldPayment,
        function: &str,
        error: &str,
        times: usize,
    ) -> Vec<Value> {
        let of_error = |lines: &[String]| -> Vec<Value> {
            let lines = lines
                .iter()
                .filter_map(|line| serde_json::from_str(line).ok());
            lines
                .filter(|line: &Value| line["error"] == error)
                .collect()
        };
        let enough = |lines: &[String]| of_error(lines).len() >= times;
        let lines = logs::wait_for_lines(&self.outputs, function, old.charge(), enough).await;
        let found = of_error(&lines.expect("the log"));
        assert_eq!(found.len(), times, "{found:?}");
        found
    }

    async fn copy_of(&self, old: &OldPayment) -> Value {
        let copy = self.inspector.record_by_token(&old.token).await;
        copy.expect("table").expect("the copy")
    }

    async fn master_table(&self) {
        static MADE: OnceCell<()> = OnceCell::const_new();
        let attribute = |name: &str| {
            AttributeDefinition::builder()
                .attribute_name(name)
                .attribute_type(ScalarAttributeType::S)
                .build()
                .expect("complete")
        };
        let hash = |name: &str| {
            KeySchemaElement::builder()
                .attribute_name(name)
                .key_type(KeyType::Hash)
                .build()
                .expect("complete")
        };
        MADE.get_or_init(async || {
            let index = GlobalSecondaryIndex::builder()
                .index_name("chargeId_index")
                .key_schema(hash("chargeId"))
                .projection(
                    Projection::builder()
                        .projection_type(ProjectionType::All)
                        .build(),
                )
                .build()
                .expect("complete");
            self.aws
                .dynamodb
                .create_table()
                .table_name(MASTER)
                .billing_mode(BillingMode::PayPerRequest)
                .attribute_definitions(attribute("tokenId"))
                .attribute_definitions(attribute("chargeId"))
                .key_schema(hash("tokenId"))
                .global_secondary_indexes(index)
                .send()
                .await
                .expect("made");
        })
        .await;
    }
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn old_records_of_every_attribute_type_are_processed() {
    let app = TestApp::connect().await;
    let table = app.table("card-payment-record");
    for extra in [
        json!({"status": false, "amount": 1500}),
        json!({"status": "false", "amount": "1500"}),
        json!({"status": 0, "amount": "1500.00"}),
        json!({"status": "False", "amount": "1,500.00"}),
        json!({"status": "nobody knows", "amount": "a lot"}),
        json!({"status": null}),
        json!({"promotion": {"code": "songkran"}, "ownerId": null, "callback": "yourapp://payments"}),
    ] {
        let old = app.old_payment().await;
        app.put(&table, &old.item(extra.clone())).await;
        let answer = app.return_with(&old.form).await;
        let base = extra["callback"]
            .as_str()
            .unwrap_or("https://shop.villamarket.com");
        let landing = format!(
            "{base}/thankyou?orderId={}&status=success&amount={TOTAL}",
            old.order.order_id
        );
        assert_eq!(answer.location, Some(landing), "{extra}");

        let execution = app.execution(old.charge()).await;
        assert_eq!(
            execution.states(),
            new_user_path(),
            "{extra}: {execution:?}"
        );
        assert_eq!(
            app.payment_of(&old.order).await["paymentId"],
            old.charge(),
            "{extra}"
        );
        let copy = app.copy_of(&old).await;
        assert_eq!(copy["origin"], "old", "{copy}");
        assert!(copy["closedAt"].is_string(), "{copy}");
        assert_eq!(copy.get("promotion"), extra.get("promotion"), "{copy}");
        // The old record shows the outcome in the former system's fields, and nothing else in it changes.
        let record = app.read(&table, &old.token).await;
        let mut expected = old.item(extra.clone());
        expected["status"] = json!(true);
        expected["handledBy"] = json!(app.outputs.branch);
        assert_eq!(record, expected, "{extra}");
        assert_eq!(
            app.event_kinds_for(&old.order).await,
            ["payment.succeeded"],
            "{extra}"
        );

        // The same return again finds the copy closed.
        app.return_with(&old.form).await;
        assert_eq!(app.executions_of(old.charge()).await.len(), 1, "{extra}");
    }
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn old_records_that_the_former_system_finished_are_left_alone() {
    let app = TestApp::connect().await;
    let table = app.table("card-payment-record");
    for status in [json!(true), json!("true"), json!("True"), json!(1)] {
        let old = app.old_payment().await;
        let item = old.item(json!({"status": status, "amount": TOTAL}));
        app.put(&table, &item).await;
        let answer = app.return_with(&old.form).await;
        assert_eq!(answer.status, 303, "{status}: {answer:?}");
        // An execution that a person starts does nothing either.
        let execution = app.start_by_hand(old.charge()).await;
        assert_eq!(
            execution.states(),
            payment3_model::path(payment3_model::Machine::Payment, &["RecordClosed"]),
            "{status}"
        );
        assert_eq!(app.read(&table, &old.token).await, item, "{status}");
        assert_eq!(
            app.payment_of(&old.order).await["isPaid"],
            false,
            "{status}"
        );
    }
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn an_old_record_is_copied_before_its_execution_is_started_and_found_by_reconciliation() {
    let app = TestApp::connect().await;
    let table = app.table("card-payment-record");
    let fails = starts_nothing(&app.outputs.aws_endpoint);
    // Fields that the record lacks come from its order.
    let old = app.old_payment().await;
    let item = old.item(json!({}));
    app.put(&table, &item).await;
    let returned = shopper::bare_return(old.charge());
    let answer = app.post_at(&fails, "POST /callback", returned).await;
    assert_eq!(answer.status_code, 303, "{answer:?}");
    assert_eq!(app.executions_of(old.charge()).await, [""; 0]);
    let copy = app.copy_of(&old).await;
    assert!(copy["openShard"].is_number(), "{copy}");
    assert_eq!(copy["outcome"], "pending", "{copy}");
    assert_eq!(copy["amountSatang"], 150_000, "{copy}");
    // No stack has claimed it.
    assert_eq!(app.read(&table, &old.token).await, item);

    let key = copy["tokenId"].as_str().expect("key");
    app.make_older(key, 6 * 60).await;
    app.reconcile().await;
    let execution = app.execution(old.charge()).await;
    assert_eq!(execution.states(), new_user_path(), "{execution:?}");
    let input = execution.input.as_ref().expect("an input");
    assert_eq!(input["recordKey"], key, "{input}");
    assert_eq!(app.payment_of(&old.order).await["paymentId"], old.charge());
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn a_record_of_masters_is_claimed_and_processed_and_the_rest_of_it_is_untouched() {
    let app = TestApp::connect().await;
    app.master_table().await;
    let old = app.old_payment().await;
    let item = old.item(json!({"amount": "1500.00", "note": "kept"}));
    app.put(MASTER, &item).await;
    let answer = app.return_with(&old.form).await;
    assert_eq!(answer.status, 303, "{answer:?}");
    let execution = app.execution(old.charge()).await;
    assert_eq!(execution.states(), new_user_path(), "{execution:?}");
    assert_eq!(app.payment_of(&old.order).await["paymentId"], old.charge());
    assert_eq!(app.copy_of(&old).await["origin"], "borrowed");
    let mut expected = item;
    expected["status"] = json!(true);
    expected["handledBy"] = json!(app.outputs.branch);
    assert_eq!(app.read(MASTER, &old.token).await, expected);
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn a_record_that_another_stack_has_claimed_is_not_touched() {
    let app = TestApp::connect().await;
    app.master_table().await;
    let old = app.old_payment().await;
    let item = old.item(json!({"amount": "1500.00", "handledBy": "another-branch"}));
    app.put(MASTER, &item).await;
    app.return_with(&old.form).await;
    let execution = app.execution(old.charge()).await;
    assert_eq!(
        execution.states(),
        payment3_model::path(payment3_model::Machine::Payment, &["RecordClosed"])
    );
    assert_eq!(app.read(MASTER, &old.token).await, item);
    assert_eq!(
        app.inspector
            .record_by_token(&old.token)
            .await
            .expect("table"),
        None
    );
    assert_eq!(app.payment_of(&old.order).await["isPaid"], false);
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn a_refused_payment_of_a_foreign_record_fails_in_place_and_reverses_nothing() {
    let app = TestApp::connect().await;
    app.master_table().await;
    for table in [MASTER.to_owned(), app.table("card-payment-record")] {
        let old = app.old_payment().await;
        app.put(
            &table,
            &old.item(json!({"amount": TOTAL, "ownerId": old.order.owner_id})),
        )
        .await;
        app.remove_order(&old.order.order_id).await;
        app.return_with(&old.form).await;
        let execution = app.execution(old.charge()).await;
        assert_eq!(execution.status, "FAILED", "{table}: {execution:?}");
        assert_eq!(execution.states().last(), Some(&"PayOrder"), "{table}");
        let failure = execution.failure.as_ref().expect("a failure");
        assert_eq!(failure.error, "RefusalNeedsPerson", "{table}");
        let bank = app
            .inspector
            .bank_charge(old.charge())
            .await
            .expect("charge");
        assert_eq!(bank["transaction_state"], "Authorized", "{table}");
        let copy = app.copy_of(&old).await;
        assert!(copy.get("closedAt").is_none(), "{copy}");
        assert!(copy.get("resolution").is_none(), "{copy}");
    }
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn an_old_charge_is_not_lost_when_its_shopper_checks_out_here_with_the_same_token() {
    let app = TestApp::connect().await;
    let table = app.table("card-payment-record");
    let old = app.old_payment().await;
    app.put(&table, &old.item(json!({"amount": TOTAL}))).await;
    // The bank refuses the used token, and the checkout's record is closed under the token's key.
    let form = shopper::checkout_form(&app.outputs, &old.order, &old.token);
    let refused = shopper::post_checkout(&app.outputs, &form)
        .await
        .expect("an answer");
    assert_eq!(refused.status, 402, "{refused:?}");

    app.return_with(&old.form).await;
    let execution = app.execution(old.charge()).await;
    assert_eq!(execution.states(), new_user_path(), "{execution:?}");
    assert_eq!(app.payment_of(&old.order).await["paymentId"], old.charge());
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn an_old_charge_whose_token_made_another_charge_here_fails_in_place() {
    let app = TestApp::connect().await;
    let table = app.table("card-payment-record");
    let other = app.authenticated(&random::id("usr_"), CARD_APPROVED).await;
    let old = app.old_payment().await;
    let item =
        old.item(json!({"amount": TOTAL, "tokenId": other.form.field("token").expect("token")}));
    app.put(&table, &item).await;
    app.return_with(&old.form).await;
    let execution = app.execution(old.charge()).await;
    assert_eq!(execution.status, "FAILED", "{execution:?}");
    let failure = execution.failure.as_ref().expect("a failure");
    assert_eq!(failure.error, "TokenReused");
    app.assert_untouched(&other).await;
    // A person is called once, however often somebody returns.
    app.return_with(&old.form).await;
    let told = app.logged(&old, "callback", "PaymentStands", 1).await;
    assert_eq!(
        (&told[0]["kind"], &told[0]["because"], &told[0]["name"]),
        (
            &json!("definite"),
            &json!("TokenReused"),
            &json!(old.charge())
        ),
        "{told:?}"
    );
    let told = app.logged(&old, "lookup-record", "PaymentStands", 1).await;
    assert_eq!(told[0]["kind"], "definite", "{told:?}");
    // A person is called for each notification that the bank has signed, also after a call for an unsigned return.
    for times in [2, 3] {
        assert_eq!(app.post_notification(signed(old.charge())).await, 200);
        app.logged(&old, "callback", "PaymentStands", times).await;
    }
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn an_authorisation_of_what_another_stack_handles_is_answered_when_that_stack_knows() {
    let app = TestApp::connect().await;
    app.master_table().await;
    for done in [
        json!({"amount": TOTAL, "handledBy": "another-branch"}),
        json!({
            "outcome": "declined", "closedAs": "abandoned", "closedAt": "2026-11-01T00:00:00Z", "ownerId": "usr_1",
            "amountSatang": 150_000,
        }),
    ] {
        let old = app.old_payment().await;
        let mut item = old.item(done);
        app.put(MASTER, &item).await;
        assert_eq!(app.post_notification(signed(old.charge())).await, 503);
        app.logged(&old, "callback", "OrphanCharge", 1).await;
        assert_eq!(app.read(MASTER, &old.token).await, item);

        if item.get("outcome").is_some() {
            item["outcome"] = json!("paid");
        } else {
            item["status"] = json!(true);
        }
        app.put(MASTER, &item).await;
        assert_eq!(app.post_notification(signed(old.charge())).await, 200);
        app.logged(&old, "callback", "OrphanCharge", 1).await;
        let copy = app.inspector.record_by_token(&old.token).await;
        assert_eq!(copy.expect("table"), None);
    }
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn an_old_record_that_is_copied_by_many_at_once_is_one_payment() {
    let app = Arc::new(TestApp::connect().await);
    let table = app.table("card-payment-record");
    let old = app.old_payment().await;
    app.put(&table, &old.item(json!({}))).await;
    let returned = shopper::bare_return(old.charge());
    let mut posts = JoinSet::new();
    for number in 0..10 {
        let (app, returned, signed) = (app.clone(), returned.clone(), signed(old.charge()));
        posts.spawn(async move {
            if number % 2 == 0 {
                app.post_callback(FORM, returned).await.status
            } else {
                app.post_notification(signed).await
            }
        });
    }
    // The bank repeats a notification that kept meeting other writes.
    for status in posts.join_all().await {
        assert!([303, 200, 503].contains(&status), "{status}");
    }
    let execution = app.execution(old.charge()).await;
    assert_eq!(execution.states(), new_user_path(), "{execution:?}");
    assert_eq!(app.executions_of(old.charge()).await, [old.charge()]);
    assert_eq!(app.payment_of(&old.order).await["paymentId"], old.charge());
    assert_eq!(app.event_kinds_for(&old.order).await, ["payment.succeeded"]);
    assert_eq!(app.read(&table, &old.token).await["status"], true);
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn the_copy_of_an_old_record_that_is_opened_again_still_claims_the_original() {
    let app = TestApp::connect().await;
    let table = app.table("card-payment-record");
    let fails = starts_nothing(&app.outputs.aws_endpoint);
    for (closed_as, by) in [
        ("abandoned", "POST /callback"),
        ("abandoned", "POST /notify"),
        ("declined", "POST /notify"),
    ] {
        let old = app.old_payment().await;
        let item = old.item(json!({"amount": TOTAL}));
        app.put(&table, &item).await;
        let returned = shopper::bare_return(old.charge());
        app.post_at(&fails, "POST /callback", returned.clone())
            .await;
        let key = app.copy_of(&old).await["tokenId"].clone();
        let key = key.as_str().expect("key");
        let update = "SET outcome = :declined, closedAs = :as, closedAt = :as, decidedAt = :long_ago REMOVE openShard, lookAgainAt, #token";
        let words = [
            (":declined", json!("declined")),
            (":as", json!(closed_as)),
            (":long_ago", json!("2026-11-01T00:00:00Z")),
        ];
        app.change_record(key, update, &words).await;

        if by == "POST /callback" {
            assert_eq!(app.return_with(&old.form).await.status, 303);
        } else {
            assert_eq!(app.post_notification(signed(old.charge())).await, 200);
        }
        let execution = app.execution(&format!("{}-1", old.charge())).await;
        assert!(
            execution.has_succeeded(),
            "{closed_as}, {by}: {execution:?}"
        );
        let payment = app.payment_of(&old.order).await;
        assert_eq!(payment["paymentId"], old.charge(), "{closed_as}, {by}");
        let copy = app.copy_of(&old).await;
        assert!(copy["decidedAt"].as_str() > Some("2026-11-02"), "{copy}");
        let mut expected = item;
        expected["status"] = json!(true);
        expected["handledBy"] = json!(app.outputs.branch);
        assert_eq!(
            app.read(&table, &old.token).await,
            expected,
            "{closed_as}, {by}"
        );
    }
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn a_branch_whose_bank_does_not_know_the_charge_claims_nothing_of_masters() {
    let app = TestApp::connect().await;
    app.master_table().await;
    let old = app.old_payment().await;
    let mut item = old.item(json!({"amount": TOTAL, "ownerId": old.order.owner_id}));
    let charge = random::id("chrg_test_");
    item["chargeId"] = json!(charge);
    app.put(MASTER, &item).await;
    let form = old.form.clone().with("objectId", &charge);
    app.return_with(&form).await;
    let execution = app.execution(&charge).await;
    // The bank may know it later, or by another key, so it is asked again.
    assert_eq!(
        execution.states().last(),
        Some(&"AwaitBank"),
        "{execution:?}"
    );
    assert_eq!(
        execution.output.as_ref().expect("an output")["waitingFor"],
        "ChargeUnknown"
    );
    assert_eq!(app.read(MASTER, &old.token).await, item);
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn an_old_record_that_is_deleted_after_it_was_taken_over_does_not_stop_the_payment() {
    let app = TestApp::connect().await;
    let table = app.table("card-payment-record");
    let old = app.old_payment().await;
    app.put(
        &table,
        &old.item(json!({"amount": TOTAL, "ownerId": old.order.owner_id})),
    )
    .await;
    // The record is taken over. Then the order cannot be read for a moment, so the execution fails at PayOrder.
    let order = app
        .inspector
        .order(&old.order.order_id)
        .await
        .expect("table")
        .expect("order");
    app.remove_order(&old.order.order_id).await;
    app.return_with(&old.form).await;
    let execution = app.execution(old.charge()).await;
    assert_eq!(execution.status, "FAILED", "{execution:?}");

    let name = app.table("order");
    app.put(&name, &order).await;
    app.delete(&table, &old.token).await;
    let execution = app.start_by_hand(old.charge()).await;
    assert_eq!(execution.states(), new_user_path(), "{execution:?}");
    assert_eq!(app.payment_of(&old.order).await["paymentId"], old.charge());
}
