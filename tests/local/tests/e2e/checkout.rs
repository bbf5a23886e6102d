//! The checkout, as far as it decides where the browser ends up.

use payment3_local::random;
use payment3_local::shopper::{self, CARD_APPROVED, Next};

use crate::support::{TOTAL, TestApp};

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
        let token = shopper::card_token(&app.outputs, CARD_APPROVED)
            .await
            .expect("token");
        let mut form = shopper::checkout_form(&app.outputs, &order, &token);
        match asked {
            Some(asked) => form.insert("callback".to_owned(), asked.to_owned()),
            None => form.remove("callback"),
        };
        let checkout = shopper::submit_checkout(&app.outputs, &form)
            .await
            .expect("accepted");
        let Next::ThreeDs(page) = checkout else {
            panic!("{checkout:?}")
        };
        let back = shopper::authenticate(&page).await.expect("the bank's page");
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
        .look
        .record_by_token(&checkout.token)
        .await
        .expect("table")
        .expect("record");
    let charge = record["chargeId"].as_str().expect("charge id").to_owned();
    let execution = app.execution(&charge).await;
    assert_eq!(execution.status, "SUCCEEDED", "{execution:?}");
    let payment = app.payment_of(&order).await;
    assert_eq!(payment["paymentId"], charge.as_str(), "{payment}");
    assert_eq!(app.told(&order).await, ["payment.succeeded"]);
}
