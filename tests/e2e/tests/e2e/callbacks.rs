//! The callback as clients post it: as a form or as JSON, with the status in any case, and many times at once.

use payment3_harness::http::FORM;
use payment3_harness::random;
use payment3_harness::shopper::{self, CARD_APPROVED};

use crate::support::{TestApp, charge_on, new_user_path};

/// How often the same callback is posted at once.
const AT_ONCE: usize = 10;

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn a_return_as_json_pays_like_a_form() {
    let app = TestApp::connect().await;
    let paid = app.authenticated(&random::id("usr_"), CARD_APPROVED).await;
    let answer = shopper::return_as_json(&paid.form)
        .await
        .expect("an answer");
    assert_eq!(answer.status, 303, "{answer:?}");
    assert_eq!(answer.location, Some(app.landing(&paid.order, "success")));
    let execution = app.execution(paid.charge_id()).await;
    assert_eq!(execution.states(), new_user_path());
    app.assert_paid(&paid).await;
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn a_return_may_name_its_charge_as_id() {
    let app = TestApp::connect().await;
    let paid = app.authenticated(&random::id("usr_"), CARD_APPROVED).await;
    let body = serde_json::json!({"id": paid.charge_id(), "status": true}).to_string();
    let answer = app.post_callback("application/json", body).await;
    assert_eq!(answer.location, Some(app.landing(&paid.order, "success")));
    app.execution(paid.charge_id()).await;
    app.assert_paid(&paid).await;
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn the_status_is_read_in_any_case() {
    let app = TestApp::connect().await;
    let order = app.order().await;
    // The bank has decided nothing, so the page shows what the return claims.
    let charge = charge_on(&app.check_out(&order, CARD_APPROVED).await);
    for (claim, status) in [
        ("TRUE", "success"),
        ("Success", "success"),
        ("False", "failure"),
        ("FAILURE", "failure"),
        ("cancel", "failure"),
    ] {
        let form = format!("objectId={charge}&status={claim}");
        let answer = app.post_callback(FORM, form).await;
        let landing = app.landing(&order, status);
        assert_eq!(answer.location, Some(landing), "{claim}");
    }
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn an_order_that_is_paid_is_shown_as_paid_whatever_the_return_claims() {
    let app = TestApp::connect().await;
    let paid = app.authenticated(&random::id("usr_"), CARD_APPROVED).await;
    app.return_with(&paid.form).await;
    app.execution(paid.charge_id()).await;
    let flipped = paid.form.clone().with("status", "false");
    let answer = app.return_with(&flipped).await;
    assert_eq!(answer.location, Some(app.landing(&paid.order, "success")));
    app.assert_paid(&paid).await;
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn the_same_callback_ten_times_at_once_is_one_payment() {
    let app = TestApp::connect().await;
    let owner = random::id("usr_");
    let paid = app.authenticated(&owner, CARD_APPROVED).await;
    let posts: Vec<_> = (0..AT_ONCE)
        .map(|number| {
            let form = paid.form.clone();
            tokio::spawn(async move {
                if number % 2 == 0 {
                    shopper::return_to_shop(&form).await
                } else {
                    shopper::return_as_json(&form).await
                }
            })
        })
        .collect();
    for post in posts {
        let answer = post.await.expect("no panic").expect("an answer");
        assert_eq!(answer.status, 303, "{answer:?}");
        assert_eq!(answer.location, Some(app.landing(&paid.order, "success")));
    }
    let execution = app.execution(paid.charge_id()).await;
    assert_eq!(execution.states(), new_user_path());
    assert_once(&app, &paid, &owner).await;

    // Once more, after the payment is done.
    let answer = app.return_with(&paid.form).await;
    assert_eq!(answer.location, Some(app.landing(&paid.order, "success")));
    assert_once(&app, &paid, &owner).await;
}

async fn assert_once(app: &TestApp, paid: &crate::support::Authenticated, owner: &str) {
    assert_eq!(
        app.executions_of(paid.charge_id()).await,
        [paid.charge_id()]
    );
    app.assert_paid(paid).await;
    assert_eq!(app.saved_cards(owner).await, Some(1));
}
