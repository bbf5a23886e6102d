//! The bank's own pages, its controls by hand, and the cards that make trouble.

#[allow(dead_code, reason = "shared with the tests of the gateway")]
mod support;

use std::time::Duration;

use payment3_bank::{CARDS, Manner, OTP, SECRET_KEY};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
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

async fn record(bank: &TestBank, charge: &str) -> Value {
    bank.get(&format!("/sandbox/charges/{charge}")).await.ok()
}

/// The ways by which the entries of a list were asked for.
fn ways(record: &Value, list: &str) -> Vec<Value> {
    let entries = record[list].as_array().unwrap();
    entries.iter().map(|entry| entry["by"].clone()).collect()
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
    assert_eq!(nothing_left.error().1, "refund_exceeds_charge");
}

#[tokio::test]
async fn a_part_goes_back_by_hand_and_the_books_say_by_whom() {
    let bank = TestBank::start().await;
    let (_, id) = bank.pay(APPROVED).await;
    assert_eq!(record(&bank, &id).await["left"], json!(1250));
    by_hand(&bank, &id, "settle", json!({})).await.ok();
    let part = json!({"amount": "100.25"});
    let first = by_hand(&bank, &id, "refund", part.clone()).await.ok();
    let second = by_hand(&bank, &id, "refund", part).await.ok();
    assert_ne!(first["refund_id"], second["refund_id"]);
    bank.post(
        &format!("/card/v2/charge/{id}/refund"),
        json!({"amount": 1}),
    )
    .await
    .ok();
    for (amount, code) in [
        (json!("1048.51"), "refund_exceeds_charge"),
        (json!("0.00"), "invalid_request"),
        (json!("1,000.00"), "invalid_request"),
        (json!(-1), "invalid_request"),
    ] {
        let refused = by_hand(&bank, &id, "refund", json!({ "amount": amount })).await;
        assert_eq!(refused.error(), (400, code.to_owned()), "{amount}");
    }
    let book = record(&bank, &id).await;
    assert_eq!(book["left"], json!(1048.5));
    assert_eq!(ways(&book, "refunds"), ["portal", "portal", "api"]);
    let none = Value::Null;
    assert_eq!(
        ways(&book, "history"),
        [
            none.clone(),
            none,
            json!("portal"),
            json!("portal"),
            json!("api")
        ]
    );
    by_hand(&bank, &id, "refund", json!({})).await.ok();
    assert_eq!(record(&bank, &id).await["left"], json!(0));

    let (_, voided) = bank.pay(APPROVED).await;
    for what in ["void", "settle"] {
        let refused = by_hand(&bank, &voided, what, json!({"amount": "1.00"})).await;
        assert_eq!(refused.error().1, "invalid_request", "only all of it");
    }
    by_hand(&bank, &voided, "void", json!({})).await.ok();
    let book = record(&bank, &voided).await;
    assert_eq!(book["left"], json!(0));
    assert_eq!(book["history"][1]["by"], "portal");
}

/// Whether the notification bears the bank's signature.
fn is_signed(notification: &Value) -> bool {
    let text = |field: &str| notification[field].as_str().unwrap().to_owned();
    let (id, status, state) = (text("id"), text("status"), text("transaction_state"));
    let checksum = Sha256::digest(format!("{id}1250.0000THB{status}{state}{SECRET_KEY}"));
    notification["checksum"] == hex::encode(checksum)
}

#[tokio::test]
async fn what_is_done_by_hand_is_notified_unless_that_is_not_wanted() {
    let merchant = Merchant::start(200).await;
    let bank = TestBank::start().await;
    let (_, voided) = bank.pay(APPROVED).await;
    let (_, settled) = bank.pay(APPROVED).await;
    let (_, silent) = bank.pay(APPROVED).await;
    bank.merchant(None, Some(&merchant.url)).await;
    by_hand(&bank, &voided, "void", json!({})).await.ok();
    bank.notifications(&voided, 1).await;
    by_hand(&bank, &settled, "settle", json!({"notify": false}))
        .await
        .ok();
    let silently = json!({"amount": 1, "notify": false});
    by_hand(&bank, &settled, "refund", silently).await.ok();
    by_hand(&bank, &settled, "refund", json!({"amount": 1}))
        .await
        .ok();
    bank.notifications(&settled, 1).await;
    by_hand(&bank, &silent, "void", json!({"notify": false}))
        .await
        .ok();
    // A wish that is misspelt is not taken for none.
    let misspelt = by_hand(&bank, &settled, "refund", json!({"notifiy": false})).await;
    assert_eq!(misspelt.error().1, "invalid_request");

    assert_eq!(record(&bank, &silent).await["notifications"], json!([]));
    let received = merchant.received();
    let told: Vec<_> = received
        .iter()
        .map(|told| (told["id"].as_str().unwrap(), &told["transaction_state"]))
        .collect();
    assert_eq!(
        told,
        [
            (voided.as_str(), &json!("Voided")),
            (settled.as_str(), &json!("Refund Sent")),
        ]
    );
    assert!(received.iter().all(is_signed), "{received:?}");
}

#[tokio::test]
async fn the_nightly_batch_settles_what_is_authorised_and_nothing_else() {
    let merchant = Merchant::start(200).await;
    let bank = TestBank::start().await;
    let (_, first) = bank.pay(APPROVED).await;
    let (_, second) = bank.pay(THREE_DS_APPROVED).await;
    let (_, voided) = bank.pay(APPROVED).await;
    by_hand(&bank, &voided, "void", json!({})).await.ok();
    let (_, pending) = bank.charge(THREE_DS_APPROVED).await;
    let pending = pending["id"].as_str().unwrap();
    bank.merchant(None, Some(&merchant.url)).await;
    let batch = async || bank.sandbox(Method::POST, "/settle", json!({})).await.ok();
    assert_eq!(batch().await, json!({"settled": [first, second]}));
    for id in [&first, &second] {
        assert_eq!(bank.state(id).await, "Settled");
        bank.notifications(id, 1).await;
    }
    assert_eq!(bank.state(&voided).await, "Voided");
    assert_eq!(bank.state(pending).await, "Pre-Authorized");
    assert_eq!(batch().await, json!({"settled": []}));
    let received = merchant.received();
    assert_eq!(received.len(), 2);
    assert!(received.iter().all(is_signed), "{received:?}");

    let (_, third) = bank.pay(APPROVED).await;
    bank.notifications(&third, 1).await;
    let silently = json!({"notify": false});
    bank.sandbox(Method::POST, "/settle", silently).await.ok();
    assert_eq!(bank.state(&third).await, "Settled");
    assert_eq!(bank.notifications(&third, 1).await.len(), 1);
}

#[tokio::test]
async fn a_charge_whose_reversals_are_refused_can_be_reversed_by_hand_only() {
    let bank = TestBank::start().await;
    let refuse = async |id: &str, how: Value| {
        let path = format!("/charges/{id}/reversals");
        let book = bank
            .sandbox(Method::PUT, &path, json!({ "refuse": how }))
            .await
            .ok();
        assert_eq!(book["refusing"], how);
    };
    let (_, void) = bank.pay(APPROVED).await;
    let (_, refund) = bank.pay(APPROVED).await;
    by_hand(&bank, &refund, "settle", json!({})).await.ok();
    for (id, what, before, after) in [
        (&void, "void", "Authorized", "Voided"),
        (&refund, "refund", "Settled", "Refund Sent"),
    ] {
        let path = format!("/card/v2/charge/{id}/{what}");
        let part = json!({"amount": 1, "reason": "a part"});
        for _ in 0..2 {
            refuse(id, json!("error")).await;
            let error = bank.post(&path, part.clone()).await.error();
            assert_eq!(error, (400, "operation_declined".to_owned()));
            refuse(id, json!("fail")).await;
            let failed = bank.post(&path, part.clone()).await.ok();
            assert_eq!(
                (
                    &failed["object"],
                    &failed["transaction_state"],
                    &failed["status"]
                ),
                (&json!("charge"), &json!(before), &json!("fail"))
            );
        }
        assert_eq!(record(&bank, id).await["refunds"], json!([]));
        refuse(id, Value::Null).await;
        let done = bank.post(&path, part).await.ok();
        assert_eq!(done["transaction_state"], after);
    }
    refuse(&refund, json!("error")).await;
    by_hand(&bank, &refund, "refund", json!({})).await.ok();
    let book = record(&bank, &refund).await;
    assert_eq!(ways(&book, "refunds"), ["api", "portal"]);
    let path = format!("/charges/{refund}/reversals");
    for wish in [json!({"refuse": "klingon"}), json!({"refuses": "error"})] {
        let answer = bank.sandbox(Method::PUT, &path, wish).await;
        assert_eq!(answer.error().1, "invalid_request");
    }
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
