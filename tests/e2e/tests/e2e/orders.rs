//! Orders as shops really write them: totals with rounding noise, ids that are numbers, orders that cannot be read or
//! are cancelled, and orders that change between reading and paying.

use jiff::Timestamp;
use payment3_activities::domain::ids::{ChargeId, OrderId};
use payment3_activities::domain::money::Satang;
use payment3_activities::tables::orders::Orders;
use payment3_activities::tables::{NotWritten, transact};
use payment3_harness::http::{FORM, client};
use payment3_harness::invariants::assert_invariants;
use payment3_harness::random;
use payment3_harness::shop_api::Order;
use payment3_harness::shopper::{self, CARD_APPROVED};
use serde_json::{Value, json};

use crate::support::{Authenticated, TestApp, database, subject};

impl TestApp {
    /// An order whose payment is this, as the shop stored it.
    async fn order_with_payment(&self, payment: &Value) -> Order {
        let order = self.order().await;
        self.change_order(&order.order_id, "payment", payment).await;
        order
    }

    /// Pays an order with this text as `grandTotal`.
    async fn pays_the_form_with(&self, order: &Order, grand_total: &str) -> Authenticated {
        let mut form = self.checkout_form(order, CARD_APPROVED).await;
        form.insert("grandTotal".into(), grand_total.into());
        Authenticated {
            order: order.clone(),
            form: self.pass_three_ds_with(&form).await,
        }
    }

    /// The answer to a program that checks this order out.
    async fn checked_out(&self, order: &Order) -> (u16, Value) {
        let form = self.checkout_form(order, CARD_APPROVED).await;
        let answer = shopper::post_checkout(&self.outputs, &form).await;
        let answer = answer.expect("an answer");
        let body = serde_json::from_str(&answer.body).expect("JSON");
        (answer.status, body)
    }

    /// The page that a person sees who checks this order out.
    async fn page_for(&self, order: &Order) -> String {
        let form = self.checkout_form(order, CARD_APPROVED).await;
        let body = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(&form)
            .finish();
        let answer = client()
            .post(format!("{}/cardpayment", self.outputs.api_url))
            .header("accept", "text/html")
            .header("content-type", FORM)
            .body(body)
            .send()
            .await
            .expect("an answer");
        answer.text().await.expect("text")
    }
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn an_order_whose_total_has_rounding_noise_is_paid_in_both_spellings() {
    let app = TestApp::connect().await;
    for grand_total in ["59.699999999999996", "59.70"] {
        let stored = json!({"isPaid": false, "grandTotal": 59.699_999_999_999_996});
        let order = app.order_with_payment(&stored).await;
        let paid = app.pays_the_form_with(&order, grand_total).await;
        let charge = paid.charge_id();

        let landing = app.return_with(&paid.form).await.location;
        let thank_you = format!(
            "{}/thankyou?orderId={}&status=success&amount=59.70",
            app.outputs.shop_url, order.order_id
        );
        assert_eq!(landing, Some(thank_you), "{grand_total}");
        let execution = app.execution(charge).await;
        assert_eq!(execution.status, "SUCCEEDED", "{execution:?}");

        let at_bank = app.inspector.bank_charge(charge).await.expect("the bank");
        assert_eq!(at_bank["amount"], 59.7, "{grand_total}: {at_bank}");
        let record = app.record(charge).await;
        assert_eq!(record["amountSatang"], 5970, "{grand_total}: {record}");
        let payment = app.payment_of(&order).await;
        assert_eq!(payment["isPaid"], true, "{grand_total}: {payment}");
        assert_eq!(payment["totalPaid"], 59.7, "{grand_total}: {payment}");
        // The order keeps what the shop wrote.
        let total = 59.699_999_999_999_996;
        assert_eq!(payment["grandTotal"], total, "{grand_total}: {payment}");
        assert_invariants(&app.inspector, &subject(&[&paid])).await;
    }
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn a_total_that_rounding_noise_cannot_explain_is_refused() {
    let app = TestApp::connect().await;
    let stored = json!({"isPaid": false, "grandTotal": 59.699_999_999_999_996});
    let order = app.order_with_payment(&stored).await;
    for total in ["59.69", "59.71", "59.6999", "59.7001"] {
        let mut form = app.checkout_form(&order, CARD_APPROVED).await;
        form.insert("grandTotal".into(), total.into());
        let answer = shopper::post_checkout(&app.outputs, &form).await;
        let answer = answer.expect("an answer");
        assert_eq!(answer.status, 400, "{total}: {answer:?}");
        assert!(answer.body.contains("grandTotal"), "{total}: {answer:?}");
    }
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn an_order_with_a_number_for_its_owner_and_objects_in_its_log_is_paid_and_valid() {
    let app = TestApp::connect().await;
    let order = app.order_of(&format!("1{}", random::digits(8))).await;
    let id = &order.order_id;
    let number: u64 = order.owner_id.parse().expect("a number");
    app.change_order(id, "ownerId", &json!(number)).await;
    let email = format!("{}@example.com", random::id("somebody-"));
    let shipping = json!({"shippingEmail": email});
    app.change_order(id, "shipping", &shipping).await;
    let before = json!({"isPaid": false, "grandTotal": 1500, "remark": "ring twice",
        "paymentLog": [{"event": "begun"}, "seen"]});
    app.change_order(id, "payment", &before).await;

    let paid = app.authenticated_for(&order, CARD_APPROVED).await;
    app.return_with(&paid.form).await;
    let execution = app.execution(paid.charge_id()).await;
    assert_eq!(execution.status, "SUCCEEDED", "{execution:?}");

    let payment = app.payment_of(&order).await;
    assert_eq!(payment["isPaid"], true, "{payment}");
    assert_eq!(payment["remark"], "ring twice", "{payment}");
    assert_eq!(payment["paymentMethod"], "Credit/Debit Card", "{payment}");
    assert!(payment["paymentDate"].is_i64(), "{payment}");
    let log = payment["paymentLog"].as_array().expect("a list");
    assert_eq!(
        (&log[0], &log[1]),
        (&json!(r#"{"event":"begun"}"#), &json!("seen"))
    );
    let entry: Value = serde_json::from_str(log[2].as_str().expect("a text")).expect("JSON");
    assert_eq!(entry["chargeId"], paid.charge_id(), "{entry}");
    let mapping = app
        .inspector
        .mapping(&order.owner_id)
        .await
        .expect("the table");
    let customer = mapping.expect("a mapping")["kbank_id"].clone();
    let customer = app
        .inspector
        .bank_customer(customer.as_str().expect("an id"))
        .await
        .expect("the bank knows its customer");
    assert_eq!(customer["email"], email, "{customer}");
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn an_order_that_nobody_can_pay_is_refused_with_its_reason_and_nothing_is_charged() {
    let app = TestApp::connect().await;
    for (field, value, told) in [
        (
            "payment",
            json!({"isPaid": false, "grandTotal": "much"}),
            "mistake",
        ),
        (
            "payment",
            json!({"isPaid": false, "grandTotal": 1500.001}),
            "mistake",
        ),
        (
            "payment",
            json!({"isPaid": "perhaps", "grandTotal": 1500}),
            "mistake",
        ),
        (
            "payment",
            json!({"isPaid": false, "grandTotal": 0.99}),
            "less than 1.00 baht",
        ),
        (
            "payment",
            json!({"isPaid": false, "grandTotal": 0}),
            "less than 1.00 baht",
        ),
        ("ownerId", json!(["usr_1"]), "mistake"),
        ("isCancelled", json!(true), "cancelled"),
        ("status", json!("Canceled"), "cancelled"),
        ("isDrafting", json!(true), "draft"),
    ] {
        let order = app.order().await;
        app.change_order(&order.order_id, field, &value).await;
        let (status, body) = app.checked_out(&order).await;
        assert_eq!(status, 409, "{field} = {value}: {body}");
        assert_eq!(
            body["code"], "ORDER_NOT_PAYABLE",
            "{field} = {value}: {body}"
        );
        let page = app.page_for(&order).await;
        for answer in [&body.to_string(), &page] {
            assert!(answer.contains(told), "{field} = {value}: {answer}");
            assert!(
                answer.contains(&order.order_id),
                "{field} = {value}: {answer}"
            );
            assert!(!answer.contains("try again"), "{field} = {value}: {answer}");
        }
        assert_eq!(app.charges_for(&order).await, 0, "{field} = {value}");
    }
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn somebody_elses_unreadable_order_looks_like_no_order() {
    let app = TestApp::connect().await;
    let odd = json!({"isPaid": false, "grandTotal": "much"});
    let order = app.order_with_payment(&odd).await;
    let (status, body) = app
        .checked_out(&Order {
            owner_id: random::id("usr_"),
            ..order
        })
        .await;
    assert_eq!(
        (status, &body["code"]),
        (404, &json!("NOT_FOUND")),
        "{body}"
    );
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn a_form_whose_record_cannot_be_read_is_not_to_be_sent_again() {
    let app = TestApp::connect().await;
    let order = app.order().await;
    let form = app.checkout_form(&order, CARD_APPROVED).await;
    let first = shopper::submit_checkout(&app.outputs, &form).await;
    first.expect("accepted");
    let key = app.inspector.key_of_token(&form["token"]).expect("a token");
    let odd = [(":odd", json!(["odd"]))];
    app.change_record(&key, "SET amountSatang = :odd", &odd)
        .await;
    let answer = shopper::post_checkout(&app.outputs, &form).await;
    let answer = answer.expect("an answer");
    assert_eq!(answer.status, 409, "{answer:?}");
    assert!(answer.body.contains("TOKEN_USED"), "{answer:?}");
    assert!(!answer.body.contains("try again"), "{answer:?}");
    assert_eq!(app.charges_for(&order).await, 1);
}

/// Reads an order as PayOrder does, changes a field, and then writes as PayOrder does. False where the write is
/// refused.
async fn paid_after(app: &TestApp, field: &str, value: &Value) -> bool {
    let order = app.order().await;
    let orders = Orders::new(database(&app.aws), app.table("order"));
    let id = OrderId::new(&*order.order_id).expect("an id");
    let stored = orders.get(&id).await.expect("the table").expect("an order");
    app.change_order(&order.order_id, field, value).await;

    let charge = ChargeId::new(random::id("chrg_test_")).expect("an id");
    let total = Satang::new(150_000).expect("an amount");
    let write = orders.paid_by(&stored, &charge, total, Timestamp::now());
    let written = transact(&app.aws.dynamodb, "pay the order", vec![write]).await;
    let paid = app.payment_of(&order).await["paymentId"] == charge.as_str();
    match written {
        Ok(()) => assert!(paid, "{field}"),
        Err(NotWritten::Refused(refused)) => {
            assert_eq!((refused, paid), (vec![0], false), "{field}")
        }
        other => panic!("{field}: {other:?}"),
    }
    paid
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn an_order_is_not_paid_if_what_paying_reads_of_it_changes_before_the_write() {
    let app = TestApp::connect().await;
    for (field, value) in [
        ("payment", json!({"isPaid": false, "grandTotal": 1500.01})),
        (
            "payment",
            json!({"isPaid": true, "paymentId": "chrg_other", "grandTotal": 1500}),
        ),
        (
            "payment",
            json!({"isPaid": false, "status": "cancelled", "grandTotal": 1500}),
        ),
        ("status", json!("cancelled")),
        ("isCancelled", json!(true)),
        ("isDrafting", json!(true)),
        ("ownerId", json!("usr_somebody_else")),
        ("grandTotal", json!(1500.01)),
    ] {
        assert!(!paid_after(&app, field, &value).await, "{field} = {value}");
    }
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn an_order_is_paid_if_only_what_paying_does_not_read_changes_before_the_write() {
    let app = TestApp::connect().await;
    for (field, value) in [
        ("tracking", json!([{"event": "click", "timestamp": 1}])),
        ("specialComment", json!("no bag")),
        ("shipping", json!({"shippingEmail": null})),
    ] {
        assert!(paid_after(&app, field, &value).await, "{field} = {value}");
    }
}
