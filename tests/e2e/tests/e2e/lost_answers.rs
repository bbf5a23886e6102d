//! Checkouts whose answer from the bank is lost: what the shopper sees, what apps and other cards are told, what ends the
//! wait, and that the shopper pays once.

use std::sync::Arc;
use std::time::Duration;

use payment3_activities::activity::cardtoken;
use payment3_activities::bank::{Bank, Credentials, SecretSource};
use payment3_activities::domain::callback_base::CallbackBases;
use payment3_activities::domain::ids::{ChargeId, MerchantId, OrderId, RecordKey, ReferenceOrder};
use payment3_activities::domain::money::Satang;
use payment3_activities::executions::Executions;
use payment3_activities::http_api::Request;
use payment3_activities::tables::check_status::{Asked, CheckStatus};
use payment3_activities::tables::checkouts::Checkouts;
use payment3_activities::tables::hints::{self, Hinted};
use payment3_activities::tables::orders::Orders;
use payment3_activities::tables::records::{Hint, NOT_CHARGED, Records};
use payment3_activities::tables::{NotWritten, transact};
use payment3_harness::aws::Aws;
use payment3_harness::http::{FORM, client, form};
use payment3_harness::invariants::{self, Subject};
use payment3_harness::random;
use payment3_harness::shop_api::Order;
use payment3_harness::shopper::{
    self, Answer, CARD_APPROVED, CARD_WITHOUT_3DS, OTHER_CARD_APPROVED,
};
use serde_json::{Value, json};
use tokio::sync::Barrier;

use crate::lossy::loses_the_first_answer;
use crate::support::{TestApp, assert_closed};

const MINUTE: i64 = 60;
const HALF_AN_HOUR: i64 = 30 * MINUTE;
const DAY: i64 = 24 * 60 * MINUTE;

/// A card for an order, not sent yet.
struct Card {
    order: Order,
    token: String,
    key: String,
}

/// What a checkout was answered, as a program reads it.
struct Told {
    status: u16,
    code: String,
    again_in: Option<i64>,
}

impl TestApp {
    async fn card_for(&self, order: &Order, number: &str) -> Card {
        let token = self.card_token(number).await;
        Card {
            order: order.clone(),
            key: self.inspector.key_of_token(&token).expect("a token"),
            token,
        }
    }

    /// The bank does something wrong with one charge.
    async fn bank_fails(&self, operation: &str, kind: &str, card: &Card) {
        let fault = json!({
            "operation": operation, "kind": kind, "token": card.token, "times": 1, "delayMs": 200,
        });
        self.plan_bank_fault(&fault).await;
    }

    /// The form is sent: the bank charges, and neither its answer nor that to the inquiry arrives.
    async fn loses_its_answer(&self, card: &Card) -> Told {
        self.bank_fails("create_charge", "lost_answer", card).await;
        self.bank_fails("inquire", "error", card).await;
        self.pays_with(card).await
    }

    async fn post(&self, card: &Card) -> Answer {
        let form = shopper::checkout_form(&self.outputs, &card.order, &card.token);
        shopper::post_checkout(&self.outputs, &form)
            .await
            .expect("an answer")
    }

    async fn pays_with(&self, card: &Card) -> Told {
        let answer = self.post(card).await;
        let body: Value = serde_json::from_str(&answer.body).unwrap_or_default();
        Told {
            status: answer.status,
            code: body["code"].as_str().unwrap_or_default().to_owned(),
            again_in: body["details"]["retryAfterSeconds"].as_i64(),
        }
    }

    /// The form is sent by a browser, with its answer's status and page.
    async fn pays_in_a_browser_with(&self, card: &Card) -> (u16, String) {
        let fields = shopper::checkout_form(&self.outputs, &card.order, &card.token);
        let fields = fields.iter().map(|(name, value)| (&**name, &**value));
        let answer = client()
            .post(format!("{}/cardpayment", self.outputs.api_url))
            .header("content-type", FORM)
            .header("accept", "text/html,application/xhtml+xml")
            .body(form(fields))
            .send()
            .await
            .expect("an answer");
        let status = answer.status().as_u16();
        (status, answer.text().await.expect("a page"))
    }

    /// What apps are told of an order.
    async fn status_of(&self, order: &Order) -> String {
        let url = format!("{}/checkstatus/{}", self.outputs.api_url, order.order_id);
        let answer: Value = client()
            .get(url)
            .send()
            .await
            .expect("an answer")
            .json()
            .await
            .expect("JSON");
        let word = answer["status"].as_str().or(answer["code"].as_str());
        word.expect("a status or a code").to_owned()
    }

    /// The charge that the bank made of a card.
    async fn charge_of(&self, card: &Card) -> String {
        let token = self
            .inspector
            .bank_token(&card.token)
            .await
            .expect("the bank");
        assert_eq!(token.charges.len(), 1, "{:?}", token.charges);
        token.charges[0]["id"].as_str().expect("an id").to_owned()
    }

    /// The bank answers no inquiry about the charge of a card token, however often it is asked.
    async fn bank_never_answers_about(&self, token: &str) {
        let fault = json!({"operation": "inquire", "kind": "error", "token": token, "times": 99});
        self.plan_bank_fault(&fault).await;
    }

    /// A checkout whose process died when it had asked the bank, which never got the request.
    async fn dies_at_the_bank(&self, card: &Card) {
        self.bank_fails("create_charge", "timeout", card).await;
        let told = self.pays_with(card).await;
        assert!(told.is_being_checked(), "{} {}", told.status, told.code);
    }

    fn checkouts(&self) -> Checkouts {
        self.checkouts_at(&self.aws)
    }

    pub(crate) fn checkouts_at(&self, aws: &Aws) -> Checkouts {
        Checkouts {
            records: Records::new(aws.dynamodb.clone(), self.table("card-payment-record")),
            check_status: CheckStatus::new(aws.dynamodb.clone(), self.table("check-status")),
        }
    }

    /// The bank, as the functions call it.
    pub(crate) fn bank(&self) -> Bank {
        let key = format!("pkey_test_x:{}", payment3_bank::SECRET_KEY);
        let secret = json!({"url": self.outputs.bank_url, "b2c": key}).to_string();
        let source = SecretSource::new(move || {
            let secret = secret.clone();
            async move { Ok(secret.into()) }
        });
        Bank::new(Credentials::new(source), Duration::from_secs(5)).expect("a client")
    }

    /// Checkout itself, with the AWS of one's choice.
    fn cardtoken_at(&self, aws: &Aws) -> cardtoken::Parts {
        let origin = url::Url::parse(&self.outputs.bank_url).expect("a URL");
        cardtoken::Parts {
            orders: Orders::new(aws.dynamodb.clone(), self.table("order")),
            checkouts: self.checkouts_at(aws),
            bank: self.bank(),
            executions: Executions::new(aws.sfn.clone(), self.outputs.state_machine_arn.clone()),
            merchants: vec![MerchantId::new(shopper::MERCHANT_ID).expect("an id")],
            bases: CallbackBases::new(&[], &self.outputs.shop_url).expect("a base"),
            bank_origins: vec![origin.origin()],
        }
    }

    async fn close_as_not_charged(&self, card: &Card, reference: &str) -> bool {
        let reference = ReferenceOrder::stored(reference.to_owned());
        let (key, order) = (card.record_key(), card.order_id());
        let checkouts = self.checkouts();
        let closed = checkouts.close(&key, &reference, &order, NOT_CHARGED).await;
        closed.expect("the tables")
    }

    /// Somebody names a charge for a checkout that has none stored.
    async fn is_named(&self, charge: &str, card: &Card, hint: Hint) {
        let charge = ChargeId::new(charge).expect("an id");
        let records = self.checkouts().records;
        let noted = records.note_hint(&card.record_key(), &charge, hint).await;
        assert_eq!(noted, Ok(true));
    }

    /// So that no reconciliation of another test looks at it meanwhile.
    async fn is_not_due(&self, card: &Card) {
        let far = [(":far", json!(i64::from(u32::MAX)))];
        self.change_record(&card.key, "SET lookAgainAt = :far", &far)
            .await;
    }

    /// How often the bank was asked for this id or reference.
    pub(crate) async fn inquiries_of(&self, id_or_reference: &str) -> usize {
        let url = format!("{}/sandbox/requests", self.outputs.bank_url);
        let answer = client().get(url).send().await.expect("the bank answers");
        let requests: Vec<Value> = answer.json().await.expect("JSON");
        let path = format!("/card/v2/charge/{id_or_reference}");
        let asked = requests
            .iter()
            .filter(|request| request["path"] == path.as_str());
        asked.count()
    }

    async fn charges_of(&self, card: &Card) -> usize {
        let token = self
            .inspector
            .bank_token(&card.token)
            .await
            .expect("the bank");
        token.charges.len()
    }

    /// The order's row of check-status.
    async fn row_of(&self, order: &Order) -> Value {
        let row = self.inspector.check_status(&order.order_id).await;
        row.expect("the table").unwrap_or_default()
    }

    /// Half an hour passes for whoever waits for this order.
    async fn half_an_hour_passes(&self, order: &Order) {
        let ago = jiff::Timestamp::now().as_second() - HALF_AN_HOUR;
        self.change_row(order, "SET askedAt = :ago", &[(":ago", json!(ago))])
            .await;
    }

    async fn change_row(&self, order: &Order, update: &str, values: &[(&str, Value)]) {
        self.change_item("check-status", ("orderId", &order.order_id), update, values)
            .await;
    }

    /// Reconciliation comes back to a checkout, as if it were this old.
    async fn is_looked_at_after(&self, card: &Card, seconds: i64) {
        self.make_older(&card.key, seconds).await;
        self.reconcile().await;
    }

    async fn assert_paid_by(&self, card: &Card) {
        assert!(self.until_closed(&card.key, Duration::from_secs(60)).await);
        let charge = self.charge_of(card).await;
        let payment = self.payment_of(&card.order).await;
        assert_eq!(payment["paymentId"], charge.as_str(), "{payment}");
        assert_eq!(self.status_of(&card.order).await, "paid");
    }

    /// Every charge paid or went back, and the order was paid once.
    async fn assert_whole(&self, cards: &[&Card]) {
        let subject = Subject::of(cards.iter().map(|card| (&card.order, &*card.token)));
        invariants::assert_invariants(&self.inspector, &subject).await;
    }
}

/// Asserts that nobody is asked about any more for an order.
fn assert_not_asked(row: &Value) {
    for attribute in ["askedFor", "askedAt", "askedAmountSatang"] {
        assert!(row.get(attribute).is_none(), "{row}");
    }
}

impl Card {
    fn record_key(&self) -> RecordKey {
        RecordKey::stored(self.key.clone())
    }

    fn order_id(&self) -> OrderId {
        OrderId::new(self.order.order_id.clone()).expect("an id")
    }
}

impl Told {
    fn is_being_checked(&self) -> bool {
        (self.status, self.code.as_str()) == (503, "PAYMENT_BEING_CHECKED")
    }

    fn is_turned_away(&self) -> bool {
        (self.status, self.code.as_str()) == (409, "PAYMENT_BEING_CHECKED")
    }

    fn is_not_charged(&self) -> bool {
        (self.status, self.code.as_str()) == (503, "BANK_UNAVAILABLE")
    }
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn a_lost_answer_keeps_other_cards_away_until_the_charge_is_found_and_pays() {
    let app = TestApp::connect().await;
    let order = app.order().await;
    let first = app.card_for(&order, CARD_WITHOUT_3DS).await;
    let told = app.loses_its_answer(&first).await;
    assert!(told.is_being_checked(), "{} {}", told.status, told.code);
    assert_eq!(app.charges_of(&first).await, 1);
    assert_eq!(app.status_of(&order).await, "pending");
    let row = app.row_of(&order).await;
    assert_eq!(row["askedFor"], first.key.as_str(), "{row}");
    // Which key made the charge is stored before the bank is asked.
    let record = app.read_record(&first.key).await;
    let bank_key = app.bank().fingerprint().await.expect("the key");
    assert_eq!(record["bankKey"], bank_key.as_str(), "{record}");

    let second = app.card_for(&order, OTHER_CARD_APPROVED).await;
    let told = app.pays_with(&second).await;
    assert!(told.is_turned_away(), "{} {}", told.status, told.code);
    assert!(
        told.again_in
            .is_some_and(|seconds| (1..=30).contains(&seconds)),
        "{:?}",
        told.again_in
    );
    assert_eq!(app.charges_of(&second).await, 0);

    app.is_looked_at_after(&first, 6 * MINUTE).await;
    app.assert_paid_by(&first).await;
    assert_not_asked(&app.row_of(&order).await);
    app.assert_whole(&[&first, &second]).await;
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn a_person_is_told_that_the_payment_is_being_checked_and_need_not_be_made_again() {
    let app = TestApp::connect().await;
    let order = app.order().await;
    let first = app.card_for(&order, CARD_WITHOUT_3DS).await;
    app.bank_fails("create_charge", "lost_answer", &first).await;
    app.bank_fails("inquire", "error", &first).await;
    let (status, page) = app.pays_in_a_browser_with(&first).await;
    assert_eq!(status, 503, "{page}");
    assert!(page.contains("being checked"), "{page}");
    assert!(page.contains("do not need to pay again"), "{page}");

    let second = app.card_for(&order, OTHER_CARD_APPROVED).await;
    let ago = jiff::Timestamp::now().as_second() - 5 * MINUTE;
    app.change_row(&order, "SET askedAt = :ago", &[(":ago", json!(ago))])
        .await;
    let (status, page) = app.pays_in_a_browser_with(&second).await;
    assert_eq!(status, 409, "{page}");
    assert!(page.contains("this card was not charged"), "{page}");
    assert!(page.contains("25 minutes"), "{page}");
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn the_same_form_again_finds_the_charge_and_goes_on() {
    let app = TestApp::connect().await;
    let order = app.order().await;
    let card = app.card_for(&order, CARD_APPROVED).await;
    let told = app.loses_its_answer(&card).await;
    assert!(told.is_being_checked(), "{} {}", told.status, told.code);
    let form = shopper::checkout_form(&app.outputs, &order, &card.token);
    let back = app.pass_three_ds_with(&form).await;
    assert_not_asked(&app.row_of(&order).await);
    app.return_with(&back).await;
    app.assert_paid_by(&card).await;
    app.assert_whole(&[&card]).await;
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn a_charge_that_never_came_to_the_bank_keeps_nobody_away() {
    let app = TestApp::connect().await;
    let order = app.order().await;
    let first = app.card_for(&order, CARD_APPROVED).await;
    app.bank_fails("create_charge", "busy", &first).await;
    let told = app.pays_with(&first).await;
    assert!(told.is_not_charged(), "{} {}", told.status, told.code);
    let record = app.read_record(&first.key).await;
    assert_closed(&record);
    assert_eq!(record["closedAs"], "not-charged", "{record}");
    assert_not_asked(&app.row_of(&order).await);
    assert_eq!(app.status_of(&order).await, "NOT_FOUND");

    // Another card at once, and the same form again as well.
    let second = app.card_for(&order, CARD_WITHOUT_3DS).await;
    app.bank_fails("create_charge", "busy", &second).await;
    assert!(app.pays_with(&second).await.is_not_charged());
    let again = app.post(&second).await;
    assert_eq!(again.status, 200, "{again:?}");
    app.assert_paid_by(&second).await;
    app.assert_whole(&[&first, &second]).await;
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn a_card_that_the_bank_refuses_keeps_nobody_away() {
    let app = TestApp::connect().await;
    let order = app.order().await;
    let token = random::id("tokn_test_");
    let refused = Card {
        order: order.clone(),
        key: app.inspector.key_of_token(&token).expect("a token"),
        token,
    };
    assert_eq!(app.pays_with(&refused).await.code, "DECLINED");
    assert_not_asked(&app.row_of(&order).await);
    let other = app.card_for(&order, CARD_WITHOUT_3DS).await;
    assert_eq!(app.post(&other).await.status, 200);
    app.assert_paid_by(&other).await;
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn after_half_an_hour_another_card_pays_and_a_charge_found_later_goes_back() {
    let app = TestApp::connect().await;
    let order = app.order().await;
    let first = app.card_for(&order, CARD_WITHOUT_3DS).await;
    app.loses_its_answer(&first).await;
    app.half_an_hour_passes(&order).await;
    assert_eq!(app.status_of(&order).await, "NOT_FOUND");

    let second = app.card_for(&order, CARD_WITHOUT_3DS).await;
    assert_eq!(app.post(&second).await.status, 200);
    app.assert_paid_by(&second).await;

    app.is_looked_at_after(&first, 31 * MINUTE).await;
    assert!(app.until_closed(&first.key, Duration::from_secs(60)).await);
    let record = app.read_record(&first.key).await;
    assert_eq!(record["resolution"], "reversed", "{record}");
    app.assert_paid_by(&second).await;
    app.assert_whole(&[&first, &second]).await;
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn the_charge_of_a_signed_notification_is_found_without_an_inquiry_by_reference() {
    let app = TestApp::connect().await;
    let order = app.order().await;
    let card = app.card_for(&order, CARD_WITHOUT_3DS).await;
    app.loses_its_answer(&card).await;
    let charge = app.charge_of(&card).await;
    let undisturbed = app.undisturbed().await;
    let sent = app.notify(&charge).await;
    assert_eq!(sent["answer"], 503, "{sent}");
    let record = app.read_record(&card.key).await;
    assert_eq!(record["notifiedCharges"], json!([charge]), "{record}");

    let reference = record["referenceOrder"].as_str().expect("a reference");
    let before = app.inquiries_of(reference).await;
    undisturbed.reconcile().await;
    drop(undisturbed);
    app.assert_paid_by(&card).await;
    assert_eq!(app.inquiries_of(reference).await, before);
    assert_not_asked(&app.row_of(&order).await);
    // And the bank's next one is answered as any.
    let sent = app.notify(&charge).await;
    assert_eq!(sent["answer"], 200, "{sent}");
    app.assert_whole(&[&card]).await;
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn a_signed_notification_after_another_card_paid_still_finds_its_checkout() {
    let app = TestApp::connect().await;
    let order = app.order().await;
    let first = app.card_for(&order, CARD_WITHOUT_3DS).await;
    app.loses_its_answer(&first).await;
    app.half_an_hour_passes(&order).await;
    let second = app.card_for(&order, CARD_WITHOUT_3DS).await;
    assert_eq!(app.post(&second).await.status, 200);
    app.assert_paid_by(&second).await;

    let charge = app.charge_of(&first).await;
    let sent = app.notify(&charge).await;
    assert_eq!(sent["answer"], 503, "{sent}");
    app.reconcile().await;
    assert!(app.until_closed(&first.key, Duration::from_secs(60)).await);
    app.assert_whole(&[&first, &second]).await;
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn a_notification_before_checkout_has_stored_the_charge_is_kept_and_the_checkout_goes_on() {
    let app = TestApp::connect().await;
    let order = app.order().await;
    let card = app.card_for(&order, CARD_WITHOUT_3DS).await;
    // Charged, and its answer takes a while.
    app.bank_fails("create_charge", "lost_answer", &card).await;
    app.bank_fails("inquire", "timeout", &card).await;
    let (_, answer) = tokio::join!(app.post(&card), async {
        while app.charges_of(&card).await == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        app.notify(&app.charge_of(&card).await).await
    });
    assert_eq!(answer["answer"], 503, "{answer}");
    assert_eq!(app.post(&card).await.status, 200);
    app.assert_paid_by(&card).await;
    app.assert_whole(&[&card]).await;
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn a_return_with_the_token_is_a_hint_that_made_up_ones_do_not_push_out() {
    let app = TestApp::connect().await;
    let order = app.order().await;
    let card = app.card_for(&order, CARD_APPROVED).await;
    app.loses_its_answer(&card).await;
    let charge = app.charge_of(&card).await;
    // So that no reconciliation of another test finds it meanwhile.
    let other = [(":other", json!(random::digits(20)))];
    app.change_record(&card.key, "SET referenceOrder = :other", &other)
        .await;
    let post = async |id: &str| {
        let body = format!("objectId={id}&status=true&token={}", card.token);
        let answer = app.post_callback(FORM, body).await;
        assert_eq!(answer.status, 303, "{answer:?}");
    };
    post(&charge).await;
    for _ in 0..9 {
        post(&random::id("chrg_test_")).await;
    }
    let record = app.read_record(&card.key).await;
    let hints = record["returnedCharges"].as_array().expect("hints");
    assert_eq!(hints.len(), 3, "{record}");
    assert!(hints.contains(&json!(charge)), "{record}");
    assert_eq!(app.executions_of(&charge).await, [""; 0]);

    // A signed one has its own place, however many strangers were first.
    let sent = app.notify(&charge).await;
    assert_eq!(sent["answer"], 503, "{sent}");
    let record = app.read_record(&card.key).await;
    assert_eq!(record["notifiedCharges"], json!([charge]), "{record}");
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn a_charge_of_another_checkout_is_no_ones_because_somebody_named_it() {
    let app = TestApp::connect().await;
    let order = app.order().await;
    let lost = app.card_for(&order, CARD_APPROVED).await;
    app.bank_fails("create_charge", "timeout", &lost).await;
    assert!(app.pays_with(&lost).await.is_being_checked());
    // Of the same amount, authorised, and with another reference.
    let foreign = app.card_token(CARD_APPROVED).await;
    let foreign = app
        .charge_at_the_bank(&foreign, &random::digits(20))
        .await
        .charge_id()
        .expect("charge")
        .to_owned();
    let body = format!("objectId={foreign}&status=true&token={}", lost.token);
    assert_eq!(app.post_callback(FORM, body).await.status, 303);
    app.is_looked_at_after(&lost, 6 * MINUTE).await;
    let record = app.read_record(&lost.key).await;
    assert_eq!(record["returnedCharges"], json!([foreign]), "{record}");
    assert!(record.get("chargeId").is_none(), "{record}");
    assert_eq!(app.payment_of(&order).await["isPaid"], false);
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn a_checkout_that_died_before_it_asked_the_bank_ends_by_itself() {
    let app = TestApp::connect().await;
    let order = app.order().await;
    let dead = app.card_for(&order, CARD_APPROVED).await;
    app.bank_fails("create_charge", "timeout", &dead).await;
    assert!(app.pays_with(&dead).await.is_being_checked());
    assert_eq!(app.charges_of(&dead).await, 0);
    assert_eq!(app.status_of(&order).await, "pending");

    app.half_an_hour_passes(&order).await;
    let other = app.card_for(&order, CARD_WITHOUT_3DS).await;
    assert_eq!(app.post(&other).await.status, 200);
    app.assert_paid_by(&other).await;

    app.is_looked_at_after(&dead, DAY + MINUTE).await;
    let record = app.read_record(&dead.key).await;
    assert_eq!(record["closedAs"], "never-charged", "{record}");
    app.assert_whole(&[&dead, &other]).await;
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn closing_the_record_ends_the_wait() {
    let app = TestApp::connect().await;
    let order = app.order().await;
    let dead = app.card_for(&order, CARD_APPROVED).await;
    app.bank_fails("create_charge", "timeout", &dead).await;
    assert!(app.pays_with(&dead).await.is_being_checked());
    app.is_looked_at_after(&dead, DAY + MINUTE).await;
    assert_not_asked(&app.row_of(&order).await);
    assert_eq!(app.status_of(&order).await, "NOT_FOUND");
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn a_question_that_its_owner_did_not_take_back_keeps_nobody_away() {
    let app = TestApp::connect().await;
    for how in [
        "its record has a charge",
        "its record is closed",
        "it has no record",
    ] {
        let order = app.order().await;
        let first = app.card_for(&order, CARD_APPROVED).await;
        match how {
            "its record has a charge" => {
                assert_eq!(app.post(&first).await.status, 200);
            }
            "its record is closed" => {
                app.bank_fails("create_charge", "busy", &first).await;
                assert!(app.pays_with(&first).await.is_not_charged());
            }
            _ => {}
        }
        // As if only its removal had failed.
        let now = jiff::Timestamp::now().as_second();
        app.change_row(
            &order,
            "SET askedFor = :key, askedAt = :now, askedAmountSatang = :amount",
            &[
                (":key", json!(first.key)),
                (":now", json!(now)),
                (":amount", json!(150_000)),
            ],
        )
        .await;
        let second = app.card_for(&order, CARD_WITHOUT_3DS).await;
        let answer = app.post(&second).await;
        assert_eq!(answer.status, 200, "{how}: {answer:?}");
        app.assert_paid_by(&second).await;
        assert_not_asked(&app.row_of(&order).await);
    }
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn of_two_cards_at_once_one_is_charged_before_the_other() {
    let app = Arc::new(TestApp::connect().await);
    let order = app.order().await;
    let cards = [
        app.card_for(&order, CARD_APPROVED).await,
        app.card_for(&order, OTHER_CARD_APPROVED).await,
    ];
    // Whoever is first gets no answer from the bank.
    for card in &cards {
        app.bank_fails("create_charge", "lost_answer", card).await;
        app.bank_fails("inquire", "error", card).await;
    }
    let barrier = Barrier::new(2);
    let send = async |card| {
        barrier.wait().await;
        app.pays_with(card).await
    };
    let (one, two) = tokio::join!(send(&cards[0]), send(&cards[1]));
    let being_checked = [&one, &two]
        .iter()
        .filter(|told| told.is_being_checked())
        .count();
    let turned_away = [&one, &two]
        .iter()
        .filter(|told| told.is_turned_away())
        .count();
    assert_eq!(
        (being_checked, turned_away),
        (1, 1),
        "{} {}",
        one.code,
        two.code
    );
    let charges = app.charges_of(&cards[0]).await + app.charges_of(&cards[1]).await;
    assert_eq!(charges, 1);
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn a_card_verification_keeps_no_other_one_away() {
    let app = TestApp::connect().await;
    let owner = random::id("usr_");
    let verification = Order::verification(&owner);
    let first = app.card_for(&verification, CARD_APPROVED).await;
    assert!(app.loses_its_answer(&first).await.is_being_checked());
    let second = app.card_for(&verification, OTHER_CARD_APPROVED).await;
    assert_eq!(app.post(&second).await.status, 200);
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn a_close_that_comes_late_closes_no_other_try_of_the_form() {
    let app = TestApp::connect().await;
    let order = app.order().await;
    let card = app.card_for(&order, CARD_APPROVED).await;
    app.bank_fails("create_charge", "busy", &card).await;
    app.bank_fails("create_charge", "timeout", &card).await;
    assert!(app.pays_with(&card).await.is_not_charged());
    let first = app.read_record(&card.key).await["referenceOrder"].clone();
    assert!(app.pays_with(&card).await.is_being_checked());

    let first = first.as_str().expect("a reference");
    assert!(!app.close_as_not_charged(&card, first).await);
    let record = app.read_record(&card.key).await;
    assert_ne!(record["referenceOrder"], first, "{record}");
    assert!(record.get("closedAt").is_none(), "{record}");
    let row = app.row_of(&order).await;
    assert_eq!(row["askedFor"], card.key.as_str(), "{row}");
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn a_charge_that_is_named_while_the_bank_is_asked_keeps_its_checkout_open() {
    let app = TestApp::connect().await;
    for named in [None, Some(Hint::Notified), Some(Hint::Returned)] {
        let order = app.order().await;
        let dead = app.card_for(&order, CARD_APPROVED).await;
        app.dies_at_the_bank(&dead).await;
        app.is_not_due(&dead).await;
        let checkouts = app.checkouts();
        let read = async || {
            let record = checkouts.records.get(&dead.record_key()).await;
            record.expect("the table").expect("a record")
        };
        let before = read().await;
        let reference = before.reference_order.clone().expect("a reference");
        if let Some(hint) = named {
            // Even if it is due at the same moment as before.
            app.is_named("chrg_test_named", &dead, hint).await;
            app.is_not_due(&dead).await;
            let closed = checkouts.close_never_charged(&before, &reference).await;
            assert_eq!(closed, Ok(false), "{hint:?}");
        }
        // Read with what was named, and asked for it, reconciliation may close it.
        let after = read().await;
        let closed = checkouts.close_never_charged(&after, &reference).await;
        assert_eq!(closed, Ok(true), "{named:?}");
        let again = checkouts.close_never_charged(&before, &reference).await;
        assert_eq!(again, Ok(false), "{named:?}");
    }
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn another_cards_charge_makes_no_orphan_of_a_dead_checkout_of_its_order() {
    let app = TestApp::connect().await;
    let order = app.order().await;
    let dead = app.card_for(&order, CARD_APPROVED).await;
    app.dies_at_the_bank(&dead).await;
    app.half_an_hour_passes(&order).await;
    let other = app.card_for(&order, CARD_WITHOUT_3DS).await;
    assert_eq!(app.post(&other).await.status, 200);
    app.assert_paid_by(&other).await;
    // Its notification came before its own checkout had stored it.
    let charge = app.charge_of(&other).await;
    app.is_named(&charge, &dead, Hint::Notified).await;

    app.is_looked_at_after(&dead, DAY + MINUTE).await;
    let record = app.read_record(&dead.key).await;
    assert_eq!(record["closedAs"], "never-charged", "{record}");
    app.assert_whole(&[&dead, &other]).await;
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn a_named_charge_of_which_the_bank_says_nothing_steps_back_and_comes_to_a_person() {
    let app = TestApp::connect().await;
    let order = app.order().await;
    let dead = app.card_for(&order, CARD_APPROVED).await;
    app.dies_at_the_bank(&dead).await;
    let foreign = app.card_token(CARD_APPROVED).await;
    let made = app.charge_at_the_bank(&foreign, &random::digits(20)).await;
    app.bank_never_answers_about(&foreign).await;
    app.is_named(made.charge_id().expect("charge"), &dead, Hint::Returned)
        .await;
    // The age of the checkout, how long the bank has given no answer, and when it is asked again: never later than after as
    // long as the trouble has lasted, and daily once that is a person's matter.
    for (age, trouble, again_in) in [
        (21 * MINUTE, 0, MINUTE),
        (DAY + MINUTE, 20 * MINUTE, 20 * MINUTE),
        (2 * DAY, DAY, DAY),
    ] {
        let since = jiff::Timestamp::now().as_second() - trouble;
        app.change_record(
            &dead.key,
            "SET troubleSince = :since",
            &[(":since", json!(since))],
        )
        .await;
        app.is_looked_at_after(&dead, age).await;
        let record = app.read_record(&dead.key).await;
        assert!(record.get("closedAt").is_none(), "{record}");
        let again = record["lookAgainAt"].as_i64().expect("open");
        let wait = again - jiff::Timestamp::now().as_second();
        assert!(
            (again_in - MINUTE / 2..=again_in + MINUTE / 2).contains(&wait),
            "{age}: {wait} {record}"
        );
    }
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn a_second_card_waits_a_moment_for_what_becomes_of_the_first() {
    let app = TestApp::connect().await;
    let order = app.order().await;
    let first = app.card_for(&order, CARD_APPROVED).await;
    app.dies_at_the_bank(&first).await;
    let record = app.read_record(&first.key).await;
    let reference = record["referenceOrder"].as_str().expect("a reference");
    let second = app.card_for(&order, CARD_WITHOUT_3DS).await;
    let (answer, ()) = tokio::join!(app.post(&second), async {
        tokio::time::sleep(Duration::from_millis(1500)).await;
        assert_eq!(app.charges_of(&second).await, 0);
        assert!(app.close_as_not_charged(&first, reference).await);
    });
    assert_eq!(answer.status, 200, "{answer:?}");
    app.assert_paid_by(&second).await;
    app.assert_whole(&[&first, &second]).await;
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn a_question_that_was_over_is_not_taken_for_a_later_one_of_the_same_card() {
    let app = TestApp::connect().await;
    let order = app.order().await;
    let card = app.card_for(&order, CARD_APPROVED).await;
    app.dies_at_the_bank(&card).await;
    let at = app.row_of(&order).await["askedAt"].as_i64().expect("asked");
    let amount = Satang::new(150_000).expect("an amount");
    let other = RecordKey::stored(random::id("other-"));
    let takes_over_from = async |at| {
        let void = Asked {
            key: card.record_key(),
            at,
            amount,
        };
        let status = app.checkouts().check_status;
        let asked = status.asked(&card.order_id(), &other, amount, at, 0, Some(&void));
        transact(&app.aws.dynamodb, "ask for another card", vec![asked]).await
    };
    assert_eq!(
        takes_over_from(at - 1).await,
        Err(NotWritten::Refused(vec![0]))
    );
    assert_eq!(takes_over_from(at).await, Ok(()));
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn a_charge_that_the_row_alone_has_named_for_long_is_unknown() {
    let app = TestApp::connect().await;
    let charge = ChargeId::new(random::id("chrg_test_")).expect("an id");
    for (minutes, kept) in [(1, true), (6, false)] {
        let order = OrderId::new(random::digits(12)).expect("an id");
        let at = jiff::Timestamp::now() - jiff::SignedDuration::from_mins(minutes);
        let row = json!({
            "orderId": order, "chargeId": charge, "status": "pending", "amountSatang": 150_000,
            "updatedAt": at.to_string(),
        });
        app.put(&app.table("check-status"), &row).await;
        let found = hints::of_notification(&app.checkouts(), &charge, Some(&order)).await;
        let found = found.expect("the tables");
        assert_eq!(matches!(found, Hinted::Kept), kept, "{minutes}: {found:?}");
    }
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn a_checkout_whose_storing_got_no_answer_keeps_nobody_away() {
    let app = TestApp::connect().await;
    let order = app.order().await;
    let first = app.card_for(&order, CARD_APPROVED).await;
    let aws = loses_the_first_answer(&app.outputs.aws_endpoint, "TransactWriteItems");
    let fields = shopper::checkout_form(&app.outputs, &order, &first.token);
    let mut request = Request::default();
    request.body = Some(form(fields.iter().map(|(name, value)| (&**name, &**value))));
    let answer = cardtoken::answer(&app.cardtoken_at(&aws), &request).await;
    assert_eq!(answer.status_code, 503, "{answer:?}");

    // It was stored all the same, and the bank was not asked.
    let record = app.read_record(&first.key).await;
    assert_closed(&record);
    assert_eq!(record["closedAs"], "not-charged", "{record}");
    assert_eq!(app.charges_of(&first).await, 0);
    assert_not_asked(&app.row_of(&order).await);
    let second = app.card_for(&order, CARD_WITHOUT_3DS).await;
    assert_eq!(app.post(&second).await.status, 200);
    app.assert_paid_by(&second).await;
    app.assert_whole(&[&first, &second]).await;
}
