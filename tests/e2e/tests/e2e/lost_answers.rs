//! Checkouts that get no answer from the bank. The tests show what the shopper sees, what apps and other cards get as
//! an answer, what ends the wait, and that the shopper pays once.

use std::sync::Arc;
use std::time::Duration;

use payment3_activities::activity::cardtoken;
use payment3_activities::bank::{Bank, Credentials, SecretSource};
use payment3_activities::clock::Clock;
use payment3_activities::domain::callback_base::CallbackBases;
use payment3_activities::domain::ids::{ChargeId, MerchantId, OrderId, RecordKey, ReferenceOrder};
use payment3_activities::domain::money::Satang;
use payment3_activities::executions::Executions;
use payment3_activities::http_api::Request;
use payment3_activities::http_client::Sender;
use payment3_activities::random::Random;
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
use crate::support::{TestApp, assert_closed, database};

const MINUTE: i64 = 60;
const HALF_AN_HOUR: i64 = 30 * MINUTE;
const DAY: i64 = 24 * 60 * MINUTE;

/// A card for an order, before the checkout form is sent.
struct Card {
    order: Order,
    token: String,
    key: String,
}

/// The answer to a checkout, as a program reads it.
#[derive(Debug)]
struct CheckoutAnswer {
    status: u16,
    code: String,
    /// In how many seconds to try again.
    retry_after: Option<i64>,
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

    /// Plans one fault of the bank for this card's charge.
    async fn bank_fails(&self, operation: &str, kind: &str, card: &Card) {
        let fault = json!({
            "operation": operation, "kind": kind, "token": card.token, "times": 1, "delayMs": 200,
        });
        self.plan_bank_fault(&fault).await;
    }

    /// The bank will charge the card, and neither its answer nor the answer to the inquiry will arrive.
    async fn plan_lost_answers(&self, card: &Card) {
        self.bank_fails("create_charge", "lost_answer", card).await;
        self.bank_fails("inquire", "error", card).await;
    }

    /// Sends the form: the bank charges the card, and no answer of the bank arrives.
    async fn lose_the_answer(&self, card: &Card) {
        self.plan_lost_answers(card).await;
        self.assert_being_checked(card).await;
    }

    /// Sends the form: the bank says that it is too busy to charge the card.
    async fn be_turned_away_by_the_bank(&self, card: &Card) {
        self.bank_fails("create_charge", "busy", card).await;
        let answer = self.pay_with(card).await;
        assert!(answer.is_not_charged(), "{answer:?}");
    }

    /// Pays the order with a new card, which the bank approves at once.
    async fn pay_with_another_card(&self, order: &Order) -> Card {
        let other = self.card_for(order, CARD_WITHOUT_3DS).await;
        assert_eq!(self.post(&other).await.status, 200);
        self.assert_paid_by(&other).await;
        other
    }

    /// Sends the form, and asserts that the shopper is asked to wait while the payment is being checked.
    async fn assert_being_checked(&self, card: &Card) {
        let answer = self.pay_with(card).await;
        assert!(answer.is_being_checked(), "{answer:?}");
    }

    async fn post(&self, card: &Card) -> Answer {
        let form = shopper::checkout_form(&self.outputs, &card.order, &card.token);
        shopper::post_checkout(&self.outputs, &form)
            .await
            .expect("an answer")
    }

    async fn pay_with(&self, card: &Card) -> CheckoutAnswer {
        let answer = self.post(card).await;
        let body: Value = serde_json::from_str(&answer.body).unwrap_or_default();
        CheckoutAnswer {
            status: answer.status,
            code: body["code"].as_str().unwrap_or_default().to_owned(),
            retry_after: body["details"]["retryAfterSeconds"].as_i64(),
        }
    }

    /// Sends the form as a browser does; the status and the page that it gets.
    async fn pay_in_a_browser_with(&self, card: &Card) -> (u16, String) {
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

    /// The status that apps are shown of an order, or the code of the error.
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

    /// The one charge that the bank made with a card.
    async fn charge_of(&self, card: &Card) -> String {
        let token = self
            .inspector
            .bank_token(&card.token)
            .await
            .expect("the bank");
        assert_eq!(token.charges.len(), 1, "{:?}", token.charges);
        token.charges[0]["id"].as_str().expect("an id").to_owned()
    }

    /// The bank fails every inquiry about the charge of a card token.
    async fn bank_never_answers_about(&self, token: &str) {
        let fault = json!({"operation": "inquire", "kind": "error", "token": token, "times": 99});
        self.plan_bank_fault(&fault).await;
    }

    /// Sends the form: the process dies on its way to the bank, which never gets the request.
    async fn die_at_the_bank(&self, card: &Card) {
        self.bank_fails("create_charge", "timeout", card).await;
        self.assert_being_checked(card).await;
    }

    fn checkouts(&self) -> Checkouts {
        self.checkouts_at(&self.aws)
    }

    pub(crate) fn checkouts_at(&self, aws: &Aws) -> Checkouts {
        Checkouts {
            records: Records::new(database(aws), self.table("card-payment-record")),
            check_status: CheckStatus::new(database(aws), self.table("check-status")),
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
        let timeout = Duration::from_secs(5);
        let sender = Sender::keeping_connections(timeout).expect("a client");
        Bank::new(Credentials::new(source, Clock::system()), sender, timeout)
    }

    /// The parts of the checkout function, with these clients of AWS.
    fn cardtoken_at(&self, aws: &Aws) -> cardtoken::Parts {
        let origin = url::Url::parse(&self.outputs.bank_url).expect("a URL");
        cardtoken::Parts {
            orders: Orders::new(database(aws), self.table("order")),
            checkouts: self.checkouts_at(aws),
            bank: self.bank(),
            executions: Executions::new(aws.sfn.clone(), self.outputs.state_machine_arn.clone()),
            merchants: vec![MerchantId::new(shopper::MERCHANT_ID).expect("an id")],
            bases: CallbackBases::new(&[], &self.outputs.shop_url).expect("a base"),
            bank_origins: vec![origin.origin()],
            random: Random::system(),
        }
    }

    async fn close_as_not_charged(&self, card: &Card, reference: &str) -> bool {
        let reference = ReferenceOrder::stored(reference.to_owned());
        let (key, order) = (card.record_key(), card.order_id());
        let checkouts = self.checkouts();
        let closed = checkouts.close(&key, &reference, &order, NOT_CHARGED).await;
        closed.expect("the tables")
    }

    /// Names a charge for a checkout that has stored none.
    async fn name_a_charge(&self, charge: &str, card: &Card, hint: Hint) {
        let charge = ChargeId::new(charge).expect("an id");
        let records = self.checkouts().records;
        let noted = records.note_hint(&card.record_key(), &charge, hint).await;
        assert_eq!(noted, Ok(true));
    }

    /// Makes the record due in the far future, so that reconciliation in another test leaves it alone.
    async fn put_off(&self, card: &Card) {
        let far = [(":far", json!(i64::from(u32::MAX)))];
        self.change_record(&card.key, "SET lookAgainAt = :far", &far)
            .await;
    }

    /// How often the bank was asked about this id or reference.
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

    /// The order's row in the table check-status.
    async fn check_status_row(&self, order: &Order) -> Value {
        let row = self.inspector.check_status(&order.order_id).await;
        row.expect("the table").unwrap_or_default()
    }

    /// Makes the wait for the bank half an hour older.
    async fn let_half_an_hour_pass(&self, order: &Order) {
        let ago = jiff::Timestamp::now().as_second() - HALF_AN_HOUR;
        self.change_row(order, "SET askedAt = :ago", &[(":ago", json!(ago))])
            .await;
    }

    async fn change_row(&self, order: &Order, update: &str, values: &[(&str, Value)]) {
        self.change_item("check-status", ("orderId", &order.order_id), update, values)
            .await;
    }

    /// Runs reconciliation on a checkout as if it were this many seconds old.
    async fn reconcile_at_age(&self, card: &Card, seconds: i64) {
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

    async fn assert_closed_as(&self, card: &Card, closed_as: &str) {
        let record = self.read_record(&card.key).await;
        assert_closed(&record);
        assert_eq!(record["closedAs"], closed_as, "{record}");
    }

    /// Every charge paid the order or went back, and the order was paid once.
    async fn assert_invariants(&self, cards: &[&Card]) {
        let subject = Subject::of(cards.iter().map(|card| (&card.order, &*card.token)));
        invariants::assert_invariants(&self.inspector, &subject).await;
    }
}

/// Asserts that no card of the order waits for the bank any more.
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

impl CheckoutAnswer {
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
async fn a_lost_answer_keeps_other_cards_away_until_its_charge_is_found_and_pays() {
    let app = TestApp::connect().await;
    let order = app.order().await;
    let first = app.card_for(&order, CARD_WITHOUT_3DS).await;
    app.lose_the_answer(&first).await;
    assert_eq!(app.charges_of(&first).await, 1);
    assert_eq!(app.status_of(&order).await, "pending");
    let row = app.check_status_row(&order).await;
    assert_eq!(row["askedFor"], first.key.as_str(), "{row}");
    // Which key made the charge is stored before the bank is asked.
    let record = app.read_record(&first.key).await;
    let bank_key = app.bank().fingerprint().await.expect("the key");
    assert_eq!(record["bankKey"], bank_key.as_str(), "{record}");

    let second = app.card_for(&order, OTHER_CARD_APPROVED).await;
    let answer = app.pay_with(&second).await;
    assert!(answer.is_turned_away(), "{answer:?}");
    let retry_after = answer.retry_after.expect("when to try again");
    assert!((1..=30).contains(&retry_after), "{retry_after} s");
    assert_eq!(app.charges_of(&second).await, 0);

    app.reconcile_at_age(&first, 6 * MINUTE).await;
    app.assert_paid_by(&first).await;
    assert_not_asked(&app.check_status_row(&order).await);
    app.assert_invariants(&[&first, &second]).await;
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn a_person_reads_that_the_payment_is_being_checked_and_need_not_be_made_again() {
    let app = TestApp::connect().await;
    let order = app.order().await;
    let first = app.card_for(&order, CARD_WITHOUT_3DS).await;
    app.plan_lost_answers(&first).await;
    let (status, page) = app.pay_in_a_browser_with(&first).await;
    assert_eq!(status, 503, "{page}");
    assert!(page.contains("being checked"), "{page}");
    assert!(page.contains("do not need to pay again"), "{page}");

    let second = app.card_for(&order, OTHER_CARD_APPROVED).await;
    let ago = jiff::Timestamp::now().as_second() - 5 * MINUTE;
    app.change_row(&order, "SET askedAt = :ago", &[(":ago", json!(ago))])
        .await;
    let (status, page) = app.pay_in_a_browser_with(&second).await;
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
    app.lose_the_answer(&card).await;
    let form = shopper::checkout_form(&app.outputs, &order, &card.token);
    let back = app.pass_three_ds_with(&form).await;
    assert_not_asked(&app.check_status_row(&order).await);
    app.return_with(&back).await;
    app.assert_paid_by(&card).await;
    app.assert_invariants(&[&card]).await;
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn a_charge_that_never_reached_the_bank_keeps_no_card_away() {
    let app = TestApp::connect().await;
    let order = app.order().await;
    let first = app.card_for(&order, CARD_APPROVED).await;
    app.be_turned_away_by_the_bank(&first).await;
    app.assert_closed_as(&first, "not-charged").await;
    assert_not_asked(&app.check_status_row(&order).await);
    assert_eq!(app.status_of(&order).await, "NOT_FOUND");

    // Another card is accepted at once, and so is the same form again.
    let second = app.card_for(&order, CARD_WITHOUT_3DS).await;
    app.be_turned_away_by_the_bank(&second).await;
    let again = app.post(&second).await;
    assert_eq!(again.status, 200, "{again:?}");
    app.assert_paid_by(&second).await;
    app.assert_invariants(&[&first, &second]).await;
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn a_card_that_the_bank_refuses_keeps_no_other_card_away() {
    let app = TestApp::connect().await;
    let order = app.order().await;
    let token = random::id("tokn_test_");
    let refused = Card {
        order: order.clone(),
        key: app.inspector.key_of_token(&token).expect("a token"),
        token,
    };
    assert_eq!(app.pay_with(&refused).await.code, "DECLINED");
    assert_not_asked(&app.check_status_row(&order).await);
    app.pay_with_another_card(&order).await;
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn after_half_an_hour_another_card_pays_and_a_charge_found_later_goes_back() {
    let app = TestApp::connect().await;
    let order = app.order().await;
    let first = app.card_for(&order, CARD_WITHOUT_3DS).await;
    app.lose_the_answer(&first).await;
    app.let_half_an_hour_pass(&order).await;
    assert_eq!(app.status_of(&order).await, "NOT_FOUND");

    let second = app.pay_with_another_card(&order).await;

    app.reconcile_at_age(&first, 31 * MINUTE).await;
    assert!(app.until_closed(&first.key, Duration::from_secs(60)).await);
    let record = app.read_record(&first.key).await;
    assert_eq!(record["resolution"], "reversed", "{record}");
    app.assert_paid_by(&second).await;
    app.assert_invariants(&[&first, &second]).await;
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn the_charge_of_a_signed_notification_is_found_without_an_inquiry_by_reference() {
    let app = TestApp::connect().await;
    let order = app.order().await;
    let card = app.card_for(&order, CARD_WITHOUT_3DS).await;
    app.lose_the_answer(&card).await;
    let charge = app.charge_of(&card).await;
    let undisturbed = app.undisturbed().await;
    app.assert_notification_answered(&charge, 503).await;
    let record = app.read_record(&card.key).await;
    assert_eq!(record["notifiedCharges"], json!([charge]), "{record}");

    let reference = record["referenceOrder"].as_str().expect("a reference");
    let before = app.inquiries_of(reference).await;
    undisturbed.reconcile().await;
    drop(undisturbed);
    app.assert_paid_by(&card).await;
    assert_eq!(app.inquiries_of(reference).await, before);
    assert_not_asked(&app.check_status_row(&order).await);
    // The bank's next notification gets the usual answer.
    app.assert_notification_answered(&charge, 200).await;
    app.assert_invariants(&[&card]).await;
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn a_signed_notification_after_another_card_paid_still_finds_its_checkout() {
    let app = TestApp::connect().await;
    let order = app.order().await;
    let first = app.card_for(&order, CARD_WITHOUT_3DS).await;
    app.lose_the_answer(&first).await;
    app.let_half_an_hour_pass(&order).await;
    let second = app.pay_with_another_card(&order).await;

    let charge = app.charge_of(&first).await;
    app.assert_notification_answered(&charge, 503).await;
    app.reconcile().await;
    assert!(app.until_closed(&first.key, Duration::from_secs(60)).await);
    app.assert_invariants(&[&first, &second]).await;
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
    app.assert_invariants(&[&card]).await;
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn a_return_with_the_token_names_a_charge_and_made_up_charges_do_not_push_it_out() {
    let app = TestApp::connect().await;
    let order = app.order().await;
    let card = app.card_for(&order, CARD_APPROVED).await;
    app.lose_the_answer(&card).await;
    let charge = app.charge_of(&card).await;
    // With another reference, reconciliation in another test does not find the charge.
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

    // A signed charge has a place of its own: made-up ones do not push it out.
    app.assert_notification_answered(&charge, 503).await;
    let record = app.read_record(&card.key).await;
    assert_eq!(record["notifiedCharges"], json!([charge]), "{record}");
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn a_charge_of_another_checkout_is_not_adopted_because_somebody_named_it() {
    let app = TestApp::connect().await;
    let order = app.order().await;
    let lost = app.card_for(&order, CARD_APPROVED).await;
    app.die_at_the_bank(&lost).await;
    // It is authorised and has the same amount, but another reference.
    let foreign = app.card_token(CARD_APPROVED).await;
    let foreign = app
        .charge_at_the_bank(&foreign, &random::digits(20))
        .await
        .charge_id()
        .expect("charge")
        .to_owned();
    let body = format!("objectId={foreign}&status=true&token={}", lost.token);
    assert_eq!(app.post_callback(FORM, body).await.status, 303);
    app.reconcile_at_age(&lost, 6 * MINUTE).await;
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
    app.die_at_the_bank(&dead).await;
    assert_eq!(app.charges_of(&dead).await, 0);
    assert_eq!(app.status_of(&order).await, "pending");

    app.let_half_an_hour_pass(&order).await;
    let other = app.pay_with_another_card(&order).await;

    app.reconcile_at_age(&dead, DAY + MINUTE).await;
    app.assert_closed_as(&dead, "never-charged").await;
    app.assert_invariants(&[&dead, &other]).await;
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn closing_the_record_ends_the_wait() {
    let app = TestApp::connect().await;
    let order = app.order().await;
    let dead = app.card_for(&order, CARD_APPROVED).await;
    app.die_at_the_bank(&dead).await;
    app.reconcile_at_age(&dead, DAY + MINUTE).await;
    assert_not_asked(&app.check_status_row(&order).await);
    assert_eq!(app.status_of(&order).await, "NOT_FOUND");
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn a_question_to_the_bank_that_was_left_behind_keeps_no_card_away() {
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
                app.be_turned_away_by_the_bank(&first).await;
            }
            _ => {}
        }
        // The record is settled; only the removal of the question failed.
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
        assert_not_asked(&app.check_status_row(&order).await);
    }
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn of_two_cards_at_once_one_is_charged_and_the_other_is_turned_away() {
    let app = Arc::new(TestApp::connect().await);
    let order = app.order().await;
    let cards = [
        app.card_for(&order, CARD_APPROVED).await,
        app.card_for(&order, OTHER_CARD_APPROVED).await,
    ];
    // The card that comes first gets no answer from the bank.
    for card in &cards {
        app.plan_lost_answers(card).await;
    }
    let barrier = Barrier::new(2);
    let send = async |card| {
        barrier.wait().await;
        app.pay_with(card).await
    };
    let (one, two) = tokio::join!(send(&cards[0]), send(&cards[1]));
    let answers = [one, two];
    let count = |is: fn(&CheckoutAnswer) -> bool| answers.iter().filter(|one| is(one)).count();
    let being_checked = count(CheckoutAnswer::is_being_checked);
    let turned_away = count(CheckoutAnswer::is_turned_away);
    assert_eq!((being_checked, turned_away), (1, 1), "{answers:?}");
    let charges = app.charges_of(&cards[0]).await + app.charges_of(&cards[1]).await;
    assert_eq!(charges, 1);
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn a_card_verification_keeps_no_other_verification_away() {
    let app = TestApp::connect().await;
    let owner = random::id("usr_");
    let verification = Order::verification(&owner);
    let first = app.card_for(&verification, CARD_APPROVED).await;
    app.lose_the_answer(&first).await;
    let second = app.card_for(&verification, OTHER_CARD_APPROVED).await;
    assert_eq!(app.post(&second).await.status, 200);
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn a_late_close_does_not_close_the_next_try_of_the_same_form() {
    let app = TestApp::connect().await;
    let order = app.order().await;
    let card = app.card_for(&order, CARD_APPROVED).await;
    app.bank_fails("create_charge", "busy", &card).await;
    app.bank_fails("create_charge", "timeout", &card).await;
    assert!(app.pay_with(&card).await.is_not_charged());
    let first = app.read_record(&card.key).await["referenceOrder"].clone();
    assert!(app.pay_with(&card).await.is_being_checked());

    let first = first.as_str().expect("a reference");
    assert!(!app.close_as_not_charged(&card, first).await);
    let record = app.read_record(&card.key).await;
    assert_ne!(record["referenceOrder"], first, "{record}");
    assert!(record.get("closedAt").is_none(), "{record}");
    let row = app.check_status_row(&order).await;
    assert_eq!(row["askedFor"], card.key.as_str(), "{row}");
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn a_charge_that_is_named_while_the_bank_is_asked_keeps_its_checkout_open() {
    let app = TestApp::connect().await;
    for named in [None, Some(Hint::Notified), Some(Hint::Returned)] {
        let order = app.order().await;
        let dead = app.card_for(&order, CARD_APPROVED).await;
        app.die_at_the_bank(&dead).await;
        app.put_off(&dead).await;
        let checkouts = app.checkouts();
        let read = async || {
            let record = checkouts.records.get(&dead.record_key()).await;
            record.expect("the table").expect("a record")
        };
        let before = read().await;
        let reference = before.reference_order.clone().expect("a reference");
        if let Some(hint) = named {
            // The record is due at the same moment as before; the named charge alone keeps it open.
            app.name_a_charge("chrg_test_named", &dead, hint).await;
            app.put_off(&dead).await;
            let closed = checkouts.close_never_charged(&before, &reference).await;
            assert_eq!(closed, Ok(false), "{hint:?}");
        }
        // Reconciliation that has read the named charge, and asked the bank about it, may close the record.
        let after = read().await;
        let closed = checkouts.close_never_charged(&after, &reference).await;
        assert_eq!(closed, Ok(true), "{named:?}");
        let again = checkouts.close_never_charged(&before, &reference).await;
        assert_eq!(again, Ok(false), "{named:?}");
    }
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn another_cards_charge_does_not_keep_a_dead_checkout_of_the_same_order_open() {
    let app = TestApp::connect().await;
    let order = app.order().await;
    let dead = app.card_for(&order, CARD_APPROVED).await;
    app.die_at_the_bank(&dead).await;
    app.let_half_an_hour_pass(&order).await;
    let other = app.pay_with_another_card(&order).await;
    // Its notification came before its own checkout had stored the charge.
    let charge = app.charge_of(&other).await;
    app.name_a_charge(&charge, &dead, Hint::Notified).await;

    app.reconcile_at_age(&dead, DAY + MINUTE).await;
    app.assert_closed_as(&dead, "never-charged").await;
    app.assert_invariants(&[&dead, &other]).await;
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn a_named_charge_of_which_the_bank_says_nothing_is_asked_for_at_growing_pauses() {
    let app = TestApp::connect().await;
    let order = app.order().await;
    let dead = app.card_for(&order, CARD_APPROVED).await;
    app.die_at_the_bank(&dead).await;
    let foreign = app.card_token(CARD_APPROVED).await;
    let made = app.charge_at_the_bank(&foreign, &random::digits(20)).await;
    app.bank_never_answers_about(&foreign).await;
    app.name_a_charge(made.charge_id().expect("charge"), &dead, Hint::Returned)
        .await;
    // The age of the checkout, how long the bank has given no answer, and in how many seconds it is asked again. The
    // pause is never longer than the trouble has lasted. Once a person is called, it is a day.
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
        app.reconcile_at_age(&dead, age).await;
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
async fn a_second_card_waits_a_moment_for_the_outcome_of_the_first() {
    let app = TestApp::connect().await;
    let order = app.order().await;
    let first = app.card_for(&order, CARD_APPROVED).await;
    app.die_at_the_bank(&first).await;
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
    app.assert_invariants(&[&first, &second]).await;
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn an_earlier_question_is_not_taken_for_a_later_one_of_the_same_card() {
    let app = TestApp::connect().await;
    let order = app.order().await;
    let card = app.card_for(&order, CARD_APPROVED).await;
    app.die_at_the_bank(&card).await;
    let at = app.check_status_row(&order).await["askedAt"]
        .as_i64()
        .expect("asked");
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
async fn a_charge_that_only_the_check_status_row_names_is_unknown_after_a_while() {
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
async fn a_checkout_that_got_no_answer_from_the_table_keeps_no_card_away() {
    let app = TestApp::connect().await;
    let order = app.order().await;
    let first = app.card_for(&order, CARD_APPROVED).await;
    let aws = loses_the_first_answer(&app.outputs.aws_endpoint, "TransactWriteItems");
    let fields = shopper::checkout_form(&app.outputs, &order, &first.token);
    let mut request = Request::default();
    request.body = Some(form(fields.iter().map(|(name, value)| (&**name, &**value))));
    let answer = cardtoken::answer(&app.cardtoken_at(&aws), &request).await;
    assert_eq!(answer.status_code, 503, "{answer:?}");

    // It was stored, and the bank was not asked.
    app.assert_closed_as(&first, "not-charged").await;
    assert_eq!(app.charges_of(&first).await, 0);
    assert_not_asked(&app.check_status_row(&order).await);
    let second = app.pay_with_another_card(&order).await;
    app.assert_invariants(&[&first, &second]).await;
}
