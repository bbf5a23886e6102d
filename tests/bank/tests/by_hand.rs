//! The bank's own pages, its controls by hand, and the cards that make trouble.

#[allow(dead_code, reason = "shared with the tests of the gateway")]
mod support;

use std::time::Duration;

use payment3_bank::{CARDS, Manner, OTP};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use support::{APPROVED, Answer, Merchant, THREE_DS_APPROVED, TestBank};

fn card(manner: Manner) -> &'static str {
    let found = CARDS.iter().find(|card| card.manner == manner);
    found.expect("the sandbox has one").number
}

async fn by_hand(bank: &TestBank, charge: &str, what: &str, body: Value) -> Answer {
    let path = format!("/charges/{charge}/{what}");
    bank.sandbox(Method::POST, &path, body).await
}

/// Waits until the charge has this state.
async fn until(bank: &TestBank, charge: &str, state: &str) {
    for _ in 0..3000 {
        if bank.state(charge).await == state {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the charge never is {state}");
}

#[tokio::test]
async fn a_charge_is_voided_or_settled_and_refunded_by_hand() {
    let bank = TestBank::start().await;
    let (_, voided) = bank.pay(APPROVED).await;
    by_hand(&bank, &voided, "void", json!({})).await.ok();
    assert_eq!(bank.state(&voided).await, "Voided");

    let (_, settled) = bank.pay(APPROVED).await;
    let early = by_hand(&bank, &settled, "refund", json!({})).await;
    assert_eq!(early.error().1, "charge_not_refundable");
    by_hand(&bank, &settled, "settle", json!({})).await.ok();
    let late = by_hand(&bank, &settled, "void", json!({})).await;
    assert_eq!(late.error().1, "charge_not_voidable");
    // A part was given back by the gateway: by hand goes the rest.
    bank.post(
        &format!("/card/v2/charge/{settled}/refund"),
        json!({"amount": "250.50"}),
    )
    .await
    .ok();
    by_hand(&bank, &settled, "refund", json!({})).await.ok();
    let record = bank.get(&format!("/sandbox/charges/{settled}")).await.ok();
    assert_eq!(record["refunds"][1]["amount"], json!(999.5));
    let nothing_left = by_hand(&bank, &settled, "refund", json!({})).await;
    assert_eq!(nothing_left.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn the_return_is_sent_in_the_browsers_place_as_often_as_asked() {
    let shop = Merchant::start(303).await;
    let bank = TestBank::start().await;
    let (token, id) = bank.pay(THREE_DS_APPROVED).await;
    let missing = by_hand(&bank, &id, "callback", json!({})).await;
    assert_eq!(missing.error().1, "no_callback_url");
    bank.merchant(Some(&shop.url), None).await;
    let answers = by_hand(&bank, &id, "callback", json!({"times": 2, "delayMs": 1}))
        .await
        .ok();
    assert_eq!(answers[0]["status"], 303);
    assert_eq!(answers.as_array().map(Vec::len), Some(2));
    let form = format!("objectId={id}&token={token}&status=true&message=Success&saveCard=false");
    assert_eq!(shop.bodies(), [form.clone(), form]);
    for wish in [
        json!({"times": 0}),
        json!({"times": 6}),
        json!({"delayMs": 120_001}),
    ] {
        let refused = by_hand(&bank, &id, "callback", wish).await;
        assert_eq!(refused.error().1, "invalid_request");
    }
    assert_eq!(shop.bodies().len(), 2);
}

#[tokio::test]
async fn a_slow_issuer_decides_after_the_shopper_is_back() {
    let merchant = Merchant::start(200).await;
    let bank = TestBank::start().await;
    bank.merchant(None, Some(&merchant.url)).await;
    let (_, charge) = bank.charge(card(Manner::Slow)).await;
    let id = charge["id"].as_str().unwrap();
    let back = bank.shopper(id, "approve", OTP).await.ok();
    assert_eq!(back["fields"]["status"], "false");
    assert_eq!(back["fields"]["message"], "Pending");
    assert_eq!(bank.state(id).await, "Pre-Authorized");
    // Whoever asks for the page again is not asked for the password again.
    let page = bank.get(&format!("/3ds/{id}")).await;
    assert!(!page.text.contains("name=\"otp\""), "{}", page.text);
    until(&bank, id, "Authorized").await;
    bank.notifications(id, 1).await;
    assert_eq!(merchant.received().len(), 1);
}

#[tokio::test]
async fn a_slow_issuer_decides_though_the_bank_was_stopped_meanwhile() {
    let folder = std::env::temp_dir().join(format!("payment3-bank-slow-{}", std::process::id()));
    let file = folder.join("bank.json");
    let _ = std::fs::remove_dir_all(&folder);
    let mut bank = TestBank::open(&file).await;
    let (_, charge) = bank.charge(card(Manner::Slow)).await;
    let id = charge["id"].as_str().unwrap();
    bank.shopper(id, "approve", OTP).await.ok();
    bank.stop().await;
    let bank = TestBank::open(&file).await;
    until(&bank, id, "Authorized").await;
    std::fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test]
async fn nobody_tells_the_shop_of_the_card_that_loses_its_callback() {
    let merchant = Merchant::start(200).await;
    let bank = TestBank::start().await;
    let urls = json!({"callbackUrl": "http://shop.example/callback", "notifyUrl": merchant.url,
        "shopUrl": "http://shop.example"});
    bank.sandbox(Method::PUT, "/merchant", urls).await.ok();
    let (_, charge) = bank.charge(card(Manner::CallbackLost)).await;
    let id = charge["id"].as_str().unwrap();
    let headers = [
        ("accept", "text/html"),
        ("content-type", "application/x-www-form-urlencoded"),
    ];
    let form = Some(format!("otp={OTP}&action=approve"));
    let page = bank
        .send(Method::POST, &format!("/3ds/{id}"), &headers, form)
        .await
        .unwrap();
    assert!(page.text.contains("The way back is lost"), "{}", page.text);
    assert!(page.text.contains("href=\"http://shop.example/orders\""));
    assert!(!page.text.contains("<form"), "{}", page.text);
    assert_eq!(bank.state(id).await, "Authorized");
    let noted = bank.notifications(id, 1).await;
    assert_eq!(noted[0]["error"], "lost, as this card wants it");
    // By hand it is sent all the same.
    by_hand(&bank, id, "notify", json!({})).await.ok();
    assert_eq!(merchant.received().len(), 1);
}

#[tokio::test]
async fn the_banks_pages_need_nothing_from_elsewhere() {
    let bank = TestBank::start().await;
    for path in [
        "/",
        "/customers",
        "/charges/chrg_test_x",
        "/charges/%3Cscript%3Ealert(1)",
    ] {
        let response = bank
            .client
            .get(format!("{}{path}", bank.url))
            .send()
            .await
            .unwrap();
        let policy = response.headers()["content-security-policy"]
            .to_str()
            .unwrap()
            .to_owned();
        assert!(policy.starts_with("default-src 'self'"), "{policy}");
        let html = response.text().await.unwrap();
        assert!(!html.contains("{{") && !html.contains("<script>"), "{html}");
        assert!(!html.contains("://"), "{html}");
        for file in html.split("src=\"").chain(html.split("href=\"")).skip(1) {
            let file = file.split('"').next().unwrap();
            if file.starts_with("/ui/") {
                assert_eq!(bank.get(file).await.status, 200, "{file}");
            }
        }
    }
    let urls = json!({"shopUrl": "http://shop.example/?a=\"1\""});
    bank.sandbox(Method::PUT, "/merchant", urls).await.ok();
    let linked = bank.get("/").await.text;
    assert!(
        linked.contains("<a href=\"http://shop.example/?a=&quot;1&quot;\">"),
        "{linked}"
    );
}

#[tokio::test]
async fn only_the_shops_pages_may_read_a_token_from_elsewhere() {
    let bank = TestBank::start().await;
    let urls = json!({"shopUrl": "http://shop.example:8080/path"});
    bank.sandbox(Method::PUT, "/merchant", urls).await.ok();
    let ask = |origin: &'static str| {
        bank.client
            .post(format!("{}/sandbox/tokens", bank.url))
            .header("origin", origin)
            .body(json!({"cardNumber": APPROVED}).to_string())
            .send()
    };
    let shops = ask("http://shop.example:8080").await.unwrap();
    assert_eq!(shops.status(), 200);
    assert_eq!(
        shops.headers()["access-control-allow-origin"],
        "http://shop.example:8080"
    );
    assert_eq!(ask("http://other.example").await.unwrap().status(), 403);
    let preflight = bank
        .client
        .request(Method::OPTIONS, format!("{}/sandbox/tokens", bank.url))
        .header("origin", "http://shop.example:8080")
        .send()
        .await
        .unwrap();
    assert_eq!(
        preflight.headers()["access-control-allow-headers"],
        "content-type"
    );
}
