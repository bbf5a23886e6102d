//! Where the checkout sends the browser, and the forms that it takes.

use payment3_harness::http::{FORM, form};
use payment3_harness::random;
use payment3_harness::shop_api::TOTAL;
use payment3_harness::shopper::{self, CARD_APPROVED, Next};
use reqwest::Method;
use serde_json::Value;

use crate::support::TestApp;

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn the_browser_lands_only_where_the_deployment_allows() {
    let app = TestApp::connect().await;
    for (asked, base) in [
        (Some("yourapp://payments/"), "yourapp://payments"),
        (Some("https://evil.example"), "https://shop.villamarket.com"),
        (None, "https://shop.villamarket.com"),
    ] {
        let order = app.order().await;
        let mut form = app.checkout_form(&order, CARD_APPROVED).await;
        match asked {
            Some(asked) => form.insert("callback".to_owned(), asked.to_owned()),
            None => form.remove("callback"),
        };
        let back = app.pass_three_ds_with(&form).await;
        let answer = app.return_with(&back).await;
        let expected = format!(
            "{base}/thankyou?orderId={}&status=success&amount={TOTAL}",
            order.order_id
        );
        assert_eq!(answer.location, Some(expected), "{asked:?}");
    }
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn a_card_without_3ds_is_paid_at_once() {
    let app = TestApp::connect().await;
    let order = app.order_of(&random::id("usr_")).await;
    let checkout = shopper::checkout(&app.outputs, &order, shopper::CARD_WITHOUT_3DS)
        .await
        .expect("accepted");
    assert_eq!(checkout.next, Next::Shop(app.landing(&order, "success")));
    let record = app
        .inspector
        .record_by_token(&checkout.token)
        .await
        .expect("table")
        .expect("record");
    let charge = record["chargeId"].as_str().expect("charge id").to_owned();
    let execution = app.execution(&charge).await;
    assert_eq!(execution.status, "SUCCEEDED", "{execution:?}");
    let payment = app.payment_of(&order).await;
    assert_eq!(payment["paymentId"], charge.as_str(), "{payment}");
    assert_eq!(app.event_kinds_for(&order).await, ["payment.succeeded"]);
}

/// A checkout form for a new order, as pairs: a name may stand more than once.
async fn pairs(app: &TestApp) -> Vec<(String, String)> {
    let order = app.order().await;
    let token = app.card_token(CARD_APPROVED).await;
    shopper::checkout_form(&app.outputs, &order, &token)
        .into_iter()
        .collect()
}

fn encoded(pairs: &[(String, String)]) -> String {
    form(
        pairs
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str())),
    )
}

fn value<'a>(pairs: &'a [(String, String)], name: &str) -> &'a str {
    let pair = pairs.iter().find(|(other, _)| other == name);
    &pair.expect("a field").1
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn what_the_banks_script_adds_to_the_form_again_is_one_checkout() {
    let app = TestApp::connect().await;
    let url = format!("{}/cardpayment", app.outputs.api_url);
    let pairs = pairs(&app).await;
    let token = value(&pairs, "token").to_owned();
    // The back button restored the page: the form has the earlier token too, and some fields twice.
    let mut restored = vec![("token".to_owned(), random::id("tokn_test_"))];
    restored.extend(pairs.clone());
    for name in ["mid", "paymentMethods"] {
        restored.push((name.to_owned(), value(&pairs, name).to_owned()));
    }
    let answer = shopper::request(&Method::POST, &url, FORM, encoded(&restored)).await;
    let answer = answer.expect("an answer");
    assert_eq!(answer.status, 200, "{answer:?}");
    let record = app
        .inspector
        .record_by_token(&token)
        .await
        .expect("the table");
    let record = record.expect("the last token was charged");
    assert!(record["chargeId"].is_string(), "{record}");
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn instalments_are_refused_before_anything_is_charged() {
    let app = TestApp::connect().await;
    let url = format!("{}/cardpayment", app.outputs.api_url);
    let mut pairs = pairs(&app).await;
    let token = value(&pairs, "token").to_owned();
    pairs.push(("smartpayId".to_owned(), "0001".to_owned()));
    pairs.push(("term".to_owned(), "10".to_owned()));
    let page = shopper::navigate(&Method::POST, &url, encoded(&pairs)).await;
    let page = page.expect("an answer");
    assert_eq!(page.status, 400, "{page:?}");
    assert!(page.body.contains("choose to pay in full"), "{page:?}");
    let record = app
        .inspector
        .record_by_token(&token)
        .await
        .expect("the table");
    assert!(record.is_none(), "{record:?}");
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn the_address_that_older_pages_know_is_the_same_checkout() {
    let app = TestApp::connect().await;
    let url = format!("{}/cardtoken", app.outputs.api_url);
    let pairs = pairs(&app).await;
    let answer = shopper::request(&Method::POST, &url, FORM, encoded(&pairs)).await;
    let answer = answer.expect("an answer");
    assert_eq!(answer.status, 200, "{answer:?}");
    let page = shopper::refresh_target(&answer.body).expect("a redirect");
    assert!(page.starts_with(&app.outputs.bank_url), "{page}");

    // The same form at the other address is the same checkout.
    let again = format!("{}/cardpayment", app.outputs.api_url);
    let answer = shopper::request(&Method::POST, &again, FORM, encoded(&pairs)).await;
    let answer = answer.expect("an answer");
    assert_eq!(shopper::refresh_target(&answer.body), Some(page));
    let card = r#"{"cardNumber": "4417706600005830", "userId": "usr_1"}"#;
    let answer = shopper::request(&Method::POST, &url, "application/json", card).await;
    let answer = answer.expect("an answer");
    let error: Value = serde_json::from_str(&answer.body).expect("JSON");
    assert_eq!(error["code"], "MISSING_FIELD", "{error}");
    assert_eq!(error["details"]["field"], "token", "{error}");
}
