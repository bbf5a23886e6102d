//! Checkouts that are refused. Each gets its code and a message, and the bank charges nothing.

use payment3_harness::http::client;
use payment3_harness::random;
use payment3_harness::shop_api::Order;
use payment3_harness::shopper::{self, CARD_APPROVED, Next};
use serde_json::{Value, json};

use crate::support::{Form, TestApp};

impl TestApp {
    /// How many charges the bank has for an order.
    pub(crate) async fn charges_for(&self, order: &Order) -> usize {
        let url = format!("{}/sandbox/charges", self.outputs.bank_url);
        let response = client().get(url).send().await.expect("the bank answers");
        let charges: Vec<Value> = response.json().await.expect("JSON");
        charges
            .iter()
            .filter(|charge| charge["ref_1"] == order.order_id.as_str())
            .count()
    }

    async fn assert_refused(&self, form: &Form, status: u16, code: &str, field: Option<&str>) {
        let answer = shopper::post_checkout(&self.outputs, form)
            .await
            .expect("an answer");
        assert_eq!(answer.status, status, "{form:?}: {answer:?}");
        let body: Value = serde_json::from_str(&answer.body).expect("JSON");
        assert_eq!(body["code"], code, "{form:?}: {body}");
        assert_eq!(body["details"]["field"].as_str(), field, "{form:?}: {body}");
        assert!(
            body["error"].as_str().is_some_and(|text| text.len() > 10),
            "{body}"
        );
        if let Some(token) = form.get("token").filter(|token| !token.is_empty()) {
            assert!(!answer.body.contains(token), "the answer shows the token");
        }
    }
}

fn with(form: &Form, field: &str, value: &str) -> Form {
    let mut form = form.clone();
    form.insert(field.into(), value.into());
    form
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn a_form_that_is_wrong_is_refused_by_its_field() {
    let app = TestApp::connect().await;
    let order = app.order().await;
    let form = app.checkout_form(&order, CARD_APPROVED).await;
    for field in ["token", "userId", "orderId", "grandTotal", "mid"] {
        let mut without = form.clone();
        without.remove(field);
        app.assert_refused(&without, 400, "MISSING_FIELD", Some(field))
            .await;
        app.assert_refused(&with(&form, field, ""), 400, "MISSING_FIELD", Some(field))
            .await;
    }
    for total in [
        "1e",
        "-1",
        "1500.001",
        "1500.0001",
        "１５００",
        "1,50.00",
        "1500.",
        "NaN",
        "1e999999999999",
    ] {
        let form = with(&form, "grandTotal", total);
        app.assert_refused(&form, 400, "INVALID_INPUT", Some("grandTotal"))
            .await;
    }
    for total in ["1499.99", "1500.01", "0", "150000"] {
        let form = with(&form, "grandTotal", total);
        app.assert_refused(&form, 400, "INVALID_INPUT", Some("grandTotal"))
            .await;
    }
    let unknown_mid = with(&form, "mid", "401099999999999");
    app.assert_refused(&unknown_mid, 400, "INVALID_INPUT", Some("mid"))
        .await;
    assert_eq!(app.charges_for(&order).await, 0);
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn an_order_that_cannot_be_paid_by_this_user_is_refused() {
    let app = TestApp::connect().await;

    let order = app.order().await;
    let form = app.checkout_form(&order, CARD_APPROVED).await;
    let unknown = with(&form, "orderId", &random::digits(12));
    app.assert_refused(&unknown, 404, "NOT_FOUND", Some("orderId"))
        .await;
    let somebody_elses = with(&form, "userId", "usr_somebody_else");
    app.assert_refused(&somebody_elses, 404, "NOT_FOUND", Some("orderId"))
        .await;

    app.change_order(&order.order_id, "isDrafting", &json!(true))
        .await;
    app.assert_refused(&form, 409, "ORDER_NOT_PAYABLE", None)
        .await;
    app.change_order(&order.order_id, "isDrafting", &json!(false))
        .await;

    let paid = json!({"isPaid": true, "paymentId": "chrg_other", "grandTotal": 1500});
    app.change_order(&order.order_id, "payment", &paid).await;
    app.assert_refused(&form, 409, "ORDER_NOT_PAYABLE", None)
        .await;
    assert_eq!(app.charges_for(&order).await, 0);
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn the_token_of_another_form_is_refused() {
    let app = TestApp::connect().await;
    let (order, other) = (app.order().await, app.order().await);
    let form = app.checkout_form(&order, CARD_APPROVED).await;
    shopper::submit_checkout(&app.outputs, &form)
        .await
        .expect("accepted");
    let stolen = shopper::checkout_form(&app.outputs, &other, &form["token"]);
    app.assert_refused(&stolen, 409, "TOKEN_USED", Some("token"))
        .await;
    assert_eq!(app.charges_for(&order).await, 1);
    assert_eq!(app.charges_for(&other).await, 0);
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn a_token_that_the_bank_refuses_is_declined_and_its_record_closed() {
    let app = TestApp::connect().await;
    let order = app.order().await;
    let token = random::id("tokn_test_");
    let form = shopper::checkout_form(&app.outputs, &order, &token);
    app.assert_refused(&form, 402, "DECLINED", None).await;
    // The same form gets the same answer, and the bank is not asked again.
    app.assert_refused(&form, 402, "DECLINED", None).await;
    // A made-up charge with this token belongs to no payment.
    let made_up = format!("objectId=chrg_test_made_up&status=true&token={token}");
    let answer = app
        .post_callback(payment3_harness::http::FORM, made_up)
        .await;
    assert_eq!(answer.status, 404, "{answer:?}");
    let record = app
        .inspector
        .record_by_token(&token)
        .await
        .expect("table")
        .expect("record");
    assert_eq!(record["closedAs"], "refused", "{record}");
    assert!(record.get("token").is_none(), "{record}");
    assert_eq!(app.charges_for(&order).await, 0);
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn a_double_click_a_second_tab_and_a_retry_are_one_charge_and_one_answer() {
    let app = TestApp::connect().await;
    let order = app.order().await;
    let form = app.checkout_form(&order, CARD_APPROVED).await;
    let post = || async {
        shopper::post_checkout(&app.outputs, &form)
            .await
            .expect("an answer")
    };
    let (first, second, third) = tokio::join!(post(), post(), post());
    assert_eq!(first.status, 200, "{first:?}");
    assert!(
        first.body.contains("http-equiv=\"refresh\""),
        "{}",
        first.body
    );
    assert!(
        first.body.contains("window.location.href=\""),
        "{}",
        first.body
    );
    assert_eq!((&first.body, &first.body), (&second.body, &third.body));
    assert_eq!(post().await.body, first.body);
    assert_eq!(app.charges_for(&order).await, 1);

    // Once the order is paid, the same form leads to the thank-you page.
    let back = app.pass_three_ds_with(&form).await;
    app.return_with(&back).await;
    app.execution(back.charge_id().expect("charge")).await;
    let again = shopper::submit_checkout(&app.outputs, &form)
        .await
        .expect("accepted");
    assert_eq!(again, Next::Shop(app.landing(&order, "success")));
    assert_eq!(app.charges_for(&order).await, 1);
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn an_open_redirect_ends_at_the_default_base() {
    let app = TestApp::connect().await;
    for callback in [
        "https://evil.example",
        "//evil.example",
        "javascript:alert(1)",
        "https://shop.villamarket.com@evil.example",
        "https://shop.villamarket.com.evil.example",
        "https://shop.villamarket.com\r\nLocation: https://evil.example",
        "https://shop.villamarket.com\\@evil.example",
        "data:text/html,x",
    ] {
        let order = app.order().await;
        let form = with(
            &app.checkout_form(&order, CARD_APPROVED).await,
            "callback",
            callback,
        );
        let back = app.pass_three_ds_with(&form).await;
        let landing = app.return_with(&back).await.location.expect("a redirect");
        let default = format!(
            "https://shop.villamarket.com/thankyou?orderId={}&status=success&amount=1500.00",
            order.order_id
        );
        assert_eq!(landing, default, "{callback:?}");
    }
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn apps_poll_the_status_from_pending_to_paid() {
    let app = TestApp::connect().await;
    let status = async |id: &str| {
        let url = format!("{}/checkstatus/{id}", app.outputs.api_url);
        let response = client().get(url).send().await.expect("an answer");
        let code = response.status().as_u16();
        (code, response.json::<Value>().await.expect("JSON"))
    };
    let order = app.order().await;
    let (code, body) = status(&order.order_id).await;
    assert_eq!((code, &body["code"]), (404, &json!("NOT_FOUND")), "{body}");

    let page = app.check_out(&order, CARD_APPROVED).await;
    let (code, body) = status(&order.order_id).await;
    assert_eq!((code, &body["status"]), (200, &json!("pending")), "{body}");
    let back = shopper::authenticate(&page).await.expect("the bank's page");
    app.return_with(&back).await;
    app.execution(back.charge_id().expect("charge")).await;
    let (code, body) = status(&order.order_id).await;
    assert_eq!(code, 200, "{body}");
    assert_eq!(body["status"], "paid", "{body}");
    assert_eq!(body["amount"], "1500.00", "{body}");

    let (code, body) = status("no such order").await;
    assert_eq!((code, &body["code"]), (404, &json!("NOT_FOUND")), "{body}");
}
