//! What the bank writes in each of its dialects.

#[allow(dead_code, reason = "shared with the tests of the gateway")]
mod support;

use std::time::Duration;

use payment3_bank::{Dialect, FORMER_SECRET_KEY, SECRET_KEY};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use support::{APPROVED, DECLINED, Merchant, THREE_DS_APPROVED, TestBank, order};

/// A charge made in a dialect: its id, and the text of the answer to it.
async fn made(bank: &TestBank, card: &str, dialect: &str) -> (String, String) {
    let token = bank.token_in(card, dialect).await;
    let answer = bank.post("/card/v2/charge", order(&token)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let id = answer.json()["id"].as_str().unwrap().to_owned();
    (id, answer.text)
}

async fn record(bank: &TestBank, id: &str) -> Value {
    bank.get(&format!("/sandbox/charges/{id}")).await.ok()
}

#[tokio::test]
async fn each_dialect_writes_a_new_charge_in_its_own_way() {
    let bank = TestBank::start().await;
    for (dialect, card, says, never) in [
        ("usual", APPROVED, r#""amount":1250,"#, "no such text"),
        (
            "usual",
            APPROVED,
            r#""settlement_info":null,"refund_info":null"#,
            "no such text",
        ),
        (
            "amounts-with-two-decimals",
            APPROVED,
            r#""amount":1250.00,"#,
            "no such text",
        ),
        (
            "amounts-with-four-decimals",
            APPROVED,
            r#""amount":1250.0000,"#,
            "no such text",
        ),
        (
            "amounts-with-exponent",
            APPROVED,
            r#""amount":1.25000e3,"#,
            "no such text",
        ),
        (
            "amounts-as-text",
            APPROVED,
            r#""amount":"1250.00","#,
            "no such text",
        ),
        (
            "amounts-as-long-text",
            APPROVED,
            r#""amount":"1250.0000","#,
            "no such text",
        ),
        (
            "livemode-as-text",
            APPROVED,
            r#""livemode":"false""#,
            "no such text",
        ),
        (
            "livemode-absent",
            APPROVED,
            r#""object":"charge""#,
            "livemode",
        ),
        ("blanks-as-text", APPROVED, r#""redirect_url":"""#, "null"),
        ("blanks-as-text", APPROVED, r#""refund_info":"""#, "null"),
        (
            "blanks-absent",
            APPROVED,
            r#""object":"charge""#,
            "redirect_url",
        ),
        ("blanks-absent", APPROVED, r#""object":"charge""#, "_info"),
        ("blanks-as-objects", APPROVED, r#""refund_info":{}"#, "null"),
        ("blanks-as-lists", APPROVED, r#""refund_info":[]"#, "null"),
        (
            "blanks-as-objects",
            APPROVED,
            r#""redirect_url":{}"#,
            "null",
        ),
        ("blanks-as-lists", APPROVED, r#""failure_code":[]"#, "null"),
        (
            "source-with-last-four",
            APPROVED,
            r#""last4":"6226""#,
            "card_masking",
        ),
        ("source-absent", APPROVED, r#""object":"charge""#, "source"),
        (
            "states-in-capitals",
            APPROVED,
            r#""transaction_state":"AUTHORIZED""#,
            "no such text",
        ),
        (
            "states-in-small-letters",
            APPROVED,
            r#""transaction_state":"authorized""#,
            "no such text",
        ),
        (
            "states-with-blank",
            APPROVED,
            r#""transaction_state":"Authorized ""#,
            "no such text",
        ),
        (
            "misspelt-authorized",
            APPROVED,
            r#""transaction_state":"Auhtorized","status":"success""#,
            "no such text",
        ),
        (
            "unknown-state",
            APPROVED,
            r#""transaction_state":"Completed","status":"success""#,
            "no such text",
        ),
        (
            "fail-with-authorized",
            APPROVED,
            r#""transaction_state":"Authorized","status":"fail""#,
            "no such text",
        ),
        (
            "fail-with-pre-authorized",
            THREE_DS_APPROVED,
            r#""transaction_state":"Pre-Authorized","status":"fail""#,
            "no such text",
        ),
        (
            "fail-with-pre-authorized",
            DECLINED,
            r#""transaction_state":"Pre-Authorized","status":"fail""#,
            "/3ds/",
        ),
        (
            "fail-with-initialized",
            THREE_DS_APPROVED,
            r#""transaction_state":"Initialized","status":"fail""#,
            "no such text",
        ),
        (
            "fail-with-initialized",
            DECLINED,
            r#""transaction_state":"Initialized","status":"fail""#,
            "/3ds/",
        ),
        ("blank-line-first", APPROVED, "\r\n{", "no such text"),
    ] {
        let (_, text) = made(&bank, card, dialect).await;
        assert!(text.contains(says), "{dialect}: {text}");
        assert!(!text.contains(never), "{dialect}: {text}");
    }
}

#[tokio::test]
async fn in_every_dialect_the_books_are_plain_and_say_which_it_is() {
    let bank = TestBank::start().await;
    for dialect in Dialect::ALL {
        let (id, _) = made(&bank, APPROVED, dialect.name()).await;
        let book = record(&bank, &id).await;
        assert_eq!(book["dialect"], dialect.name());
        assert_eq!(
            (&book["transaction_state"], &book["status"], &book["amount"]),
            (&json!("Authorized"), &json!("success"), &json!(1250)),
            "{dialect}"
        );
    }
}

#[tokio::test]
async fn a_dialect_that_the_bank_does_not_speak_is_refused_with_all_that_it_speaks() {
    let bank = TestBank::start().await;
    let wish = json!({"cardNumber": APPROVED, "dialect": "klingon"});
    let answer = bank.sandbox(Method::POST, "/tokens", wish).await;
    assert_eq!(answer.error(), (400, "unknown_dialect".to_owned()));
    for dialect in Dialect::ALL {
        assert!(answer.text.contains(dialect.name()), "{dialect}");
    }
}

#[tokio::test]
async fn the_bank_can_speak_otherwise_of_a_charge_from_now_on() {
    let bank = TestBank::start().await;
    let (id, _) = made(&bank, APPROVED, "misspelt-authorized").await;
    assert_eq!(bank.state(&id).await, "Auhtorized");
    let path = format!("/charges/{id}/dialect");
    let other = json!({"dialect": "states-in-capitals"});
    bank.sandbox(Method::PUT, &path, other).await.ok();
    assert_eq!(bank.state(&id).await, "AUTHORIZED");
    let none = json!({"dialect": "klingon"});
    let answer = bank.sandbox(Method::PUT, &path, none).await;
    assert_eq!(answer.error(), (400, "unknown_dialect".to_owned()));
}

/// What a dialect answers to a void asked for three times, and whether the charge was voided after each.
async fn voids(bank: &TestBank, dialect: &str) -> Vec<(u16, String, bool)> {
    let (id, _) = made(bank, APPROVED, dialect).await;
    let mut seen = Vec::new();
    for _ in 0..2 {
        let answer = bank
            .post(&format!("/card/v2/charge/{id}/void"), json!({}))
            .await;
        let voided = record(bank, &id).await["transaction_state"] == "Voided";
        let said = match serde_json::from_str::<Value>(&answer.text) {
            Ok(object) if object["object"] == "error" => "error".to_owned(),
            Ok(object) if object == json!({}) => "{}".to_owned(),
            Ok(object) => format!("{} {}", object["transaction_state"], object["status"]),
            Err(_) => "a page".to_owned(),
        };
        seen.push((answer.status.as_u16(), said.replace('"', ""), voided));
    }
    seen
}

#[tokio::test]
async fn a_void_is_answered_in_every_way_and_each_dialect_comes_to_do_it() {
    let bank = TestBank::start().await;
    let done = (200, "Voided success".to_owned(), true);
    let refused = (400, "error".to_owned(), true);
    for (dialect, first, second) in [
        ("usual", done.clone(), refused.clone()),
        (
            "reversals-refused",
            (400, "error".to_owned(), false),
            done.clone(),
        ),
        (
            "reversals-fail",
            (200, "Authorized fail".to_owned(), false),
            done.clone(),
        ),
        (
            "reversals-answer-empty",
            (200, "{}".to_owned(), true),
            refused,
        ),
        (
            "reversals-empty",
            (200, "{}".to_owned(), false),
            done.clone(),
        ),
        ("page-in-outage", (200, "a page".to_owned(), false), done),
    ] {
        assert_eq!(voids(&bank, dialect).await, [first, second], "{dialect}");
    }
}

#[tokio::test]
async fn a_refund_is_answered_in_the_same_ways() {
    let bank = TestBank::start().await;
    for (dialect, proven, refunds) in [
        ("usual", true, 1),
        ("reversals-fail", false, 0),
        ("reversals-answer-empty", false, 1),
        ("reversals-empty", false, 0),
    ] {
        let (id, _) = made(&bank, APPROVED, dialect).await;
        bank.sandbox(Method::POST, &format!("/charges/{id}/settle"), json!({}))
            .await
            .ok();
        let path = format!("/card/v2/charge/{id}/refund");
        let answer = bank.post(&path, json!({"amount": 1250})).await.ok();
        assert_eq!(
            answer["transaction_state"] == "Refund Sent" && answer["refund_id"].is_string(),
            proven,
            "{dialect}: {answer}"
        );
        let made = record(&bank, &id).await["refunds"].as_array().map(Vec::len);
        assert_eq!(made, Some(refunds), "{dialect}");
    }
}

#[tokio::test]
async fn two_dialects_tell_what_was_settled_and_given_back() {
    let bank = TestBank::start().await;
    let settled = json!({"amount": 1250, "created": "20261122185959042"});
    let nothing = [Value::Null, Value::Null];
    for (dialect, before, after_all) in [
        ("usual", nothing.clone(), None),
        ("info-as-objects", nothing, Some(settled.clone())),
        (
            "info-as-lists",
            [json!([]), json!([])],
            Some(json!([settled])),
        ),
    ] {
        let (id, text) = made(&bank, APPROVED, dialect).await;
        let infos = |text: &str| {
            let object: Value = serde_json::from_str(text).unwrap();
            [&object["settlement_info"], &object["refund_info"]].map(Value::clone)
        };
        assert_eq!(infos(&text), before, "{dialect}");
        bank.sandbox(Method::POST, &format!("/charges/{id}/settle"), json!({}))
            .await
            .ok();
        let path = format!("/card/v2/charge/{id}/refund");
        let mut refunds = Vec::new();
        for amount in ["100.50", "1.00"] {
            let answer = bank.post(&path, json!({ "amount": amount })).await.ok();
            let number: Value = serde_json::from_str(amount.trim_end_matches(['0', '.'])).unwrap();
            refunds.push(json!({
                "refund_id": answer["refund_id"], "amount": number, "created": "20261122185959042",
            }));
        }
        let given_back = match dialect {
            "info-as-objects" => refunds[1].clone(),
            "info-as-lists" => json!(refunds),
            _ => Value::Null,
        };
        let told = bank.get(&format!("/card/v2/charge/{id}")).await.text;
        let expected = [after_all.unwrap_or_default(), given_back];
        assert_eq!(infos(&told), expected, "{dialect}");
    }
}

#[tokio::test]
async fn one_dialect_notifies_what_the_shop_itself_has_reversed() {
    let merchant = Merchant::start(200).await;
    let bank = TestBank::start().await;
    let urls = json!({"callbackUrl": null, "notifyUrl": merchant.url, "notifyOnDemand": true});
    bank.sandbox(Method::PUT, "/merchant", urls).await.ok();
    let (voided, _) = made(&bank, APPROVED, "reversals-notified").await;
    let (refunded, _) = made(&bank, APPROVED, "reversals-notified").await;
    let (usual, _) = made(&bank, APPROVED, "usual").await;
    bank.sandbox(
        Method::POST,
        &format!("/charges/{refunded}/settle"),
        json!({}),
    )
    .await
    .ok();
    for (id, what) in [(&voided, "void"), (&refunded, "refund"), (&usual, "void")] {
        let path = format!("/card/v2/charge/{id}/{what}");
        bank.post(&path, json!({"amount": 1})).await.ok();
    }
    // What is refused is no reversal.
    let again = bank
        .post(&format!("/card/v2/charge/{voided}/void"), json!({}))
        .await;
    assert_eq!(again.status, 400);
    for (id, state) in [(&voided, "Voided"), (&refunded, "Refund Sent")] {
        let sent = bank.notifications(id, 1).await;
        assert_eq!(sent.len(), 1);
        let received = merchant.received();
        let told = received
            .iter()
            .find(|told| told["id"] == json!(id))
            .unwrap();
        assert_eq!(told["transaction_state"], state);
        assert!(signed_with(told, SECRET_KEY), "{told}");
    }
    assert_eq!(record(&bank, &usual).await["notifications"], json!([]));
}

#[tokio::test]
async fn some_dialects_answer_inquiries_late_or_not_at_all() {
    let bank = TestBank::start().await;
    for (dialect, by_id, by_reference) in [
        ("usual", ["200", "200", "200"], 200),
        ("no-inquiry-by-reference", ["200", "200", "200"], 404),
        ("inquiry-lags", ["404", "404", "200"], 200),
        ("page-in-outage", ["a page", "200", "200"], 200),
    ] {
        let token = bank.token_in(APPROVED, dialect).await;
        let mut wanted = order(&token);
        wanted["reference_order"] = dialect[..dialect.len().min(20)].into();
        let charge = bank.post("/card/v2/charge", wanted.clone()).await.ok();
        let path = format!("/card/v2/charge/{}", charge["id"].as_str().unwrap());
        for expected in by_id {
            let answer = bank.get(&path).await;
            let said = match answer.text.starts_with('<') {
                true => "a page".to_owned(),
                false => answer.status.as_u16().to_string(),
            };
            assert_eq!(said, expected, "{dialect}");
        }
        let reference = wanted["reference_order"].as_str().unwrap();
        let answer = bank.get(&format!("/card/v2/charge/{reference}")).await;
        assert_eq!(answer.status.as_u16(), by_reference, "{dialect}");
    }
}

fn signed_with(notification: &Value, key: &str) -> bool {
    let text = |field: &str| notification[field].as_str().unwrap().to_owned();
    let (id, status, state) = (text("id"), text("status"), text("transaction_state"));
    let checksum = Sha256::digest(format!("{id}1250.0000THB{status}{state}{key}"));
    notification["checksum"] == hex::encode(checksum)
}

#[tokio::test]
async fn a_notification_is_written_and_signed_in_its_dialect() {
    let merchant = Merchant::start(200).await;
    let bank = TestBank::start().await;
    bank.merchant(None, Some(&merchant.url)).await;
    for (dialect, state, status, key) in [
        ("usual", "Authorized", "success", SECRET_KEY),
        ("amounts-with-exponent", "Authorized", "success", SECRET_KEY),
        ("states-with-blank", "Authorized ", "success", SECRET_KEY),
        ("misspelt-authorized", "Auhtorized", "success", SECRET_KEY),
        ("fail-with-authorized", "Authorized", "fail", SECRET_KEY),
        ("former-key", "Authorized", "success", FORMER_SECRET_KEY),
        ("blank-line-first", "Authorized", "success", SECRET_KEY),
    ] {
        let (id, _) = made(&bank, APPROVED, dialect).await;
        bank.notifications(&id, 1).await;
        let received = merchant.received();
        let told = received.last().unwrap();
        assert_eq!(
            (&told["id"], &told["transaction_state"], &told["status"]),
            (&json!(id), &json!(state), &json!(status)),
            "{dialect}"
        );
        assert!(signed_with(told, key), "{dialect}: {told}");
    }
    assert!(merchant.bodies().last().unwrap().starts_with("\r\n{"));
}

#[tokio::test]
async fn some_dialects_notify_before_twice_or_not_at_all() {
    let merchant = Merchant::start(200).await;
    let bank = TestBank::start().await;
    bank.merchant(None, Some(&merchant.url)).await;
    // By the time of the answer, the merchant has the notification.
    let (first, _) = made(&bank, THREE_DS_APPROVED, "notification-first").await;
    let told = record(&bank, &first).await;
    assert_eq!(told["notifications"][0]["answer"], 200, "{told}");
    assert_eq!(
        merchant.received()[0]["transaction_state"],
        "Pre-Authorized"
    );

    let (silent, _) = made(&bank, DECLINED, "declines-not-notified").await;
    let kept = bank.notifications(&silent, 1).await;
    assert_eq!(kept[0]["answer"], Value::Null, "{kept:?}");
    let (approved, _) = made(&bank, APPROVED, "declines-not-notified").await;
    assert_eq!(bank.notifications(&approved, 1).await[0]["answer"], 200);

    let (twice, _) = made(&bank, APPROVED, "notified-twice").await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    let sent = bank.notifications(&twice, 2).await;
    assert!(sent.iter().all(|sent| sent["answer"] == 200), "{sent:?}");
}
