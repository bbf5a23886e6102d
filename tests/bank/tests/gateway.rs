//! The bank over HTTP, property by property.

mod support;

use std::time::{Duration, Instant};

use payment3_bank::{Bank, BankConfig, OTP, PUBLIC_KEY, SECRET_KEY};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use support::{
    APPROVED, Answer, DECLINED, Merchant, THREE_DS_APPROVED, THREE_DS_DECLINED, TestBank, order,
};

fn refusal(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

/// `order` with one field replaced, or removed where `value` is null.
fn order_with(token: &str, field: &str, value: Value) -> Value {
    let mut order = order(token);
    if value.is_null() {
        order.as_object_mut().unwrap().remove(field);
    } else {
        order[field] = value;
    }
    order
}

// Keys and shapes

#[tokio::test]
async fn every_gateway_call_needs_the_secret_key() {
    let bank = TestBank::start().await;
    let (token, id) = bank.pay(APPROVED).await;
    let calls = [
        (Method::POST, "/card/v2/charge".to_owned()),
        (Method::GET, format!("/card/v2/charge/{id}")),
        (Method::POST, format!("/card/v2/charge/{id}/void")),
        (Method::POST, format!("/card/v2/charge/{id}/refund")),
        (Method::POST, "/card/v2/customer".to_owned()),
        (
            Method::POST,
            "/card/v2/customer/cust_test_x/card".to_owned(),
        ),
    ];
    for (method, path) in calls {
        for key in [None, Some(PUBLIC_KEY), Some("skey_test_other")] {
            let headers: Vec<_> = key.iter().map(|key| ("x-api-key", *key)).collect();
            let body = (method == Method::POST).then(|| order(&token).to_string());
            let answer = bank
                .send(method.clone(), &path, &headers, body)
                .await
                .unwrap();
            assert_eq!(
                answer.error(),
                refusal(401, "unauthorized"),
                "{method} {path} {key:?}"
            );
        }
    }
    assert_eq!(bank.state(&id).await, "Authorized");
}

#[tokio::test]
async fn a_charge_answers_the_charge_object() {
    let bank = TestBank::start().await;
    let (_, charge) = bank.charge(THREE_DS_APPROVED).await;
    let id = charge["id"].as_str().unwrap();
    assert!(id.starts_with("chrg_test_") && id.len() <= 64, "{id}");
    let card = charge["source"]["id"].as_str().unwrap();
    assert!(card.starts_with("card_test_"), "{card}");
    let expected = json!({
        "id": id, "object": "charge", "amount": 1250, "currency": "THB", "transaction_state": "Pre-Authorized",
        "status": "success", "created": "20261122185959042", "redirect_url": format!("{}/3ds/{id}", bank.url),
        "source": {"id": card, "object": "card", "brand": "VISA", "card_masking": "441770XXXXXX5830",
                   "issuer_bank": "KASIKORNBANK"},
        "approval_code": null, "failure_code": null, "failure_message": null, "livemode": false,
        "mpi": null, "settlement_info": null, "refund_info": null, "metadata": null,
        "reference_order": "482500007436-1", "description": "Order 482500007436", "ref_1": "482500007436",
        "ref_2": "usr_123", "ref_3": null,
    });
    assert_eq!(charge, expected);
    assert_eq!(
        bank.get(&format!("/card/v2/charge/{id}")).await.ok(),
        expected
    );
}

#[tokio::test]
async fn amounts_are_kept_to_the_satang_as_numbers_and_as_strings() {
    let bank = TestBank::start().await;
    for (sent, answered) in [
        ("1.00", "1"),
        ("200.5", "200.5"),
        ("200.50", "200.5"),
        ("\"200.55\"", "200.55"),
        ("9999999999.99", "9999999999.99"),
    ] {
        let body = order(&bank.token(APPROVED).await).to_string();
        let body = body.replace("\"amount\":1250,", &format!("\"amount\":{sent},"));
        let headers = [
            ("x-api-key", SECRET_KEY),
            ("content-type", "application/json"),
        ];
        let answer = bank
            .send(Method::POST, "/card/v2/charge", &headers, Some(body))
            .await
            .unwrap();
        answer.ok();
        assert!(
            answer.text.contains(&format!("\"amount\":{answered},")),
            "{sent}: {}",
            answer.text
        );
    }
}

#[tokio::test]
async fn a_malformed_charge_is_refused_and_leaves_the_token_unused() {
    let bank = TestBank::start().await;
    let token = bank.token(APPROVED).await;
    for (field, value) in [
        ("amount", json!("12.5")),
        ("amount", json!("0.99")),
        ("amount", json!(-5)),
        ("amount", json!(0)),
        ("amount", Value::Null),
        ("currency", json!("USD")),
        ("source_type", json!("qr")),
        ("mode", json!("customer")),
        ("token", Value::Null),
        ("token", json!(7)),
        ("description", json!("ก".repeat(256))),
        ("reference_order", json!("")),
        ("reference_order", json!("123456789012345678901")),
        ("reference_order", json!("with space")),
        ("reference_order", Value::Null),
        ("additional_data", json!({"mid": "40100000000000"})),
        ("additional_data", json!({"mid": "40100000000000x"})),
    ] {
        let answer = bank
            .post("/card/v2/charge", order_with(&token, field, value.clone()))
            .await;
        assert_eq!(
            answer.error(),
            refusal(400, "invalid_request"),
            "{field}: {value}"
        );
    }
    for body in ["", "{", "[]", "amount=1250"] {
        let headers = [
            ("x-api-key", SECRET_KEY),
            ("content-type", "application/json"),
        ];
        let answer = bank
            .send(
                Method::POST,
                "/card/v2/charge",
                &headers,
                Some(body.to_owned()),
            )
            .await
            .unwrap();
        assert_eq!(answer.error(), refusal(400, "invalid_request"), "{body}");
    }
    let plain = [("x-api-key", SECRET_KEY), ("content-type", "text/plain")];
    let body = Some(order(&token).to_string());
    let answer = bank
        .send(Method::POST, "/card/v2/charge", &plain, body)
        .await
        .unwrap();
    assert_eq!(answer.error(), refusal(400, "invalid_request"));

    bank.post("/card/v2/charge", order(&token)).await.ok();
}

#[tokio::test]
async fn the_longest_allowed_fields_are_accepted_and_unknown_ones_dropped() {
    let bank = TestBank::start().await;
    let mut request = order(&bank.token(APPROVED).await);
    request["description"] = json!("ก".repeat(255));
    request["reference_order"] = json!("12345678901234567_-Z");
    request["ref1"] = json!("a misspelt field");
    request["additional_data"] = Value::Null;
    let charge = bank.post("/card/v2/charge", request).await.ok();
    assert_eq!(charge["reference_order"], "12345678901234567_-Z");
    assert_eq!(charge.get("ref1"), None);
}

#[tokio::test]
async fn what_does_not_exist_is_answered_with_404() {
    let bank = TestBank::start().await;
    for path in [
        "/card/v2/charge/chrg_test_x",
        "/sandbox/charges/chrg_test_x",
    ] {
        assert_eq!(
            bank.get(path).await.error(),
            refusal(404, "charge_not_found"),
            "{path}"
        );
    }
    for path in [
        "/card/v2/charge/chrg_test_x/void",
        "/card/v2/charge/chrg_test_x/refund",
    ] {
        let answer = bank.post(path, json!({"amount": 1})).await;
        assert_eq!(answer.error(), refusal(404, "charge_not_found"), "{path}");
    }
    let answer = bank
        .post(
            "/card/v2/customer/cust_test_x/card",
            json!({"mode": "token", "token": "x"}),
        )
        .await;
    assert_eq!(answer.error(), refusal(404, "customer_not_found"));
    assert_eq!(
        bank.get("/card/v2/nothing").await.error(),
        refusal(404, "not_found")
    );
}

// Tokens

#[tokio::test]
async fn a_token_charges_once() {
    let bank = TestBank::start().await;
    for card in [THREE_DS_APPROVED, APPROVED, DECLINED] {
        let (token, _) = bank.charge(card).await;
        let again = bank.post("/card/v2/charge", order(&token)).await;
        assert_eq!(again.error(), refusal(400, "token_used"), "{card}");
    }
    assert_eq!(
        bank.get("/sandbox/charges")
            .await
            .ok()
            .as_array()
            .unwrap()
            .len(),
        3
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_concurrent_charges_with_one_token_one_is_made() {
    let bank = std::sync::Arc::new(TestBank::start().await);
    let token = bank.token(APPROVED).await;
    let attempts: Vec<_> = (0..16)
        .map(|_| {
            let (bank, token) = (bank.clone(), token.clone());
            tokio::spawn(async move { bank.post("/card/v2/charge", order(&token)).await.status })
        })
        .collect();
    let mut made = 0;
    for attempt in attempts {
        made += usize::from(attempt.await.unwrap() == 200);
    }
    assert_eq!(made, 1);
    assert_eq!(
        bank.get("/sandbox/charges")
            .await
            .ok()
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test]
async fn a_token_lives_ten_minutes() {
    let bank = TestBank::start().await;
    let (early, late) = (bank.token(APPROVED).await, bank.token(APPROVED).await);
    bank.pass(Duration::from_millis(599_999));
    bank.post("/card/v2/charge", order(&early)).await.ok();
    bank.pass(Duration::from_millis(1));
    let answer = bank.post("/card/v2/charge", order(&late)).await;
    assert_eq!(answer.error(), refusal(400, "token_expired"));
}

#[tokio::test]
async fn an_unknown_token_is_refused() {
    let bank = TestBank::start().await;
    let answer = bank.post("/card/v2/charge", order("tokn_test_x")).await;
    assert_eq!(answer.error(), refusal(400, "invalid_token"));
}

#[tokio::test]
async fn only_sandbox_cards_get_a_token() {
    let bank = TestBank::start().await;
    let answer = bank
        .sandbox(
            Method::POST,
            "/tokens",
            json!({"cardNumber": "4111111111111111"}),
        )
        .await;
    assert_eq!(answer.error(), refusal(400, "unknown_card"));
    assert!(answer.text.contains(THREE_DS_APPROVED), "{}", answer.text);
}

// Charges

#[tokio::test]
async fn a_pre_authorized_charge_says_success_but_is_not_paid() {
    let bank = TestBank::start().await;
    let (token, charge) = bank.charge(THREE_DS_APPROVED).await;
    assert_eq!(
        (&charge["status"], &charge["transaction_state"]),
        (&json!("success"), &json!("Pre-Authorized"))
    );
    assert_eq!(charge["approval_code"], Value::Null);
    let path = format!("/card/v2/charge/{}", charge["id"].as_str().unwrap());
    for (action, body) in [("void", json!({})), ("refund", json!({"amount": 1}))] {
        let answer = bank.post(&format!("{path}/{action}"), body).await;
        assert_eq!(answer.error(), (400, format!("charge_not_{action}able")));
    }
    let answer = bank
        .post(
            "/card/v2/customer",
            json!({"mode": "token", "token": token}),
        )
        .await;
    assert_eq!(answer.error(), refusal(400, "charge_not_approved"));
}

#[tokio::test]
async fn without_three_ds_the_issuer_decides_at_once() {
    let bank = TestBank::start().await;
    let (_, paid) = bank.charge(APPROVED).await;
    assert_eq!(
        (&paid["status"], &paid["transaction_state"]),
        (&json!("success"), &json!("Authorized"))
    );
    assert_eq!(paid["redirect_url"], Value::Null);
    let approval = paid["approval_code"].as_str().unwrap();
    assert!(
        approval.len() == 6 && approval.bytes().all(|b| b.is_ascii_digit()),
        "{approval}"
    );

    let (_, declined) = bank.charge(DECLINED).await;
    assert_eq!(
        (&declined["status"], &declined["transaction_state"]),
        (&json!("fail"), &json!("Declined"))
    );
    assert_eq!(
        (&declined["object"], &declined["failure_code"]),
        (&json!("charge"), &json!("05"))
    );
    assert_eq!(declined["approval_code"], Value::Null);
}

#[tokio::test]
async fn a_charge_is_found_by_its_reference_the_latest_one_first() {
    let bank = TestBank::start().await;
    let (_, first) = bank.charge(DECLINED).await;
    assert_eq!(
        bank.get("/card/v2/charge/482500007436-1").await.ok()["id"],
        first["id"]
    );
    let (_, second) = bank.charge(APPROVED).await;
    assert_eq!(
        bank.get("/card/v2/charge/482500007436-1").await.ok()["id"],
        second["id"]
    );
    let answer = bank
        .post("/card/v2/charge/482500007436-1/void", json!({}))
        .await;
    assert_eq!(
        answer.error(),
        refusal(404, "charge_not_found"),
        "only an inquiry takes a reference"
    );
}

#[tokio::test]
async fn a_charge_is_voided_only_while_authorized() {
    let bank = TestBank::start().await;
    let (_, id) = bank.pay(THREE_DS_APPROVED).await;
    let void = format!("/card/v2/charge/{id}/void");
    let voided = bank.try_api(Method::POST, &void, None).await.unwrap().ok();
    assert_eq!(
        (&voided["transaction_state"], &voided["status"]),
        (&json!("Voided"), &json!("success"))
    );
    let again = bank.post(&void, json!({"reason": "once more"})).await;
    assert_eq!(again.error(), refusal(400, "charge_not_voidable"));

    let (_, settled) = bank.pay(APPROVED).await;
    bank.sandbox(
        Method::POST,
        &format!("/charges/{settled}/settle"),
        json!({}),
    )
    .await
    .ok();
    let answer = bank
        .post(&format!("/card/v2/charge/{settled}/void"), json!({}))
        .await;
    assert_eq!(answer.error(), refusal(400, "charge_not_voidable"));
    assert_eq!(bank.state(&settled).await, "Settled");
}

#[tokio::test]
async fn a_settled_charge_is_refunded_in_parts_up_to_its_amount() {
    let bank = TestBank::start().await;
    let (_, id) = bank.pay(APPROVED).await;
    let refund = format!("/card/v2/charge/{id}/refund");
    let early = bank.post(&refund, json!({"amount": 1250})).await;
    assert_eq!(early.error(), refusal(400, "charge_not_refundable"));

    bank.sandbox(Method::POST, &format!("/charges/{id}/settle"), json!({}))
        .await
        .ok();
    let first = bank
        .post(&refund, json!({"amount": "1000.00", "reason": "a part"}))
        .await
        .ok();
    assert_eq!(first["transaction_state"], "Refund Sent");
    let too_much = bank.post(&refund, json!({"amount": "250.01"})).await;
    assert_eq!(too_much.error(), refusal(400, "refund_exceeds_charge"));
    let second = bank.post(&refund, json!({"amount": 250})).await.ok();
    assert_ne!(first["refund_id"], second["refund_id"]);
    assert!(
        second["refund_id"]
            .as_str()
            .is_some_and(|id| !id.is_empty())
    );
    let answer = bank.post(&refund, json!({"amount": "0.01"})).await;
    assert_eq!(answer.error(), refusal(400, "refund_exceeds_charge"));

    let record = bank.get(&format!("/sandbox/charges/{id}")).await.ok();
    let amounts: Vec<_> = record["refunds"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| &r["amount"])
        .collect();
    assert_eq!(amounts, [&json!(1000), &json!(250)]);
}

#[tokio::test]
async fn the_same_part_again_is_another_refund_and_says_its_own_reason() {
    let bank = TestBank::start().await;
    let (_, id) = bank.pay(APPROVED).await;
    bank.sandbox(Method::POST, &format!("/charges/{id}/settle"), json!({}))
        .await
        .ok();
    let refund = format!("/card/v2/charge/{id}/refund");
    let long = json!({"amount": "120.50", "reason": "ข".repeat(256)});
    let answer = bank.post(&refund, long).await;
    assert_eq!(answer.error(), refusal(400, "invalid_request"));
    let mut ids = Vec::new();
    for reason in ["2 items missing".to_owned(), "ข".repeat(255)] {
        let body = json!({"amount": "120.50", "reason": reason});
        let answer = bank.post(&refund, body).await.ok();
        ids.push((answer["refund_id"].clone(), json!(reason)));
    }
    let record = bank.get(&format!("/sandbox/charges/{id}")).await.ok();
    let refunds = record["refunds"].as_array().unwrap();
    let noted: Vec<_> = refunds
        .iter()
        .map(|refund| {
            assert_eq!(
                (&refund["amount"], &refund["by"]),
                (&json!(120.5), &json!("api"))
            );
            (refund["refund_id"].clone(), refund["reason"].clone())
        })
        .collect();
    assert_eq!(noted, ids);
    assert_ne!(ids[0].0, ids[1].0);
    assert_eq!(record["left"], json!(1009));
}

// 3-D Secure

#[tokio::test]
async fn the_right_password_pays_and_the_browser_brings_the_result_to_the_callback() {
    let bank = TestBank::start().await;
    bank.merchant(Some("http://shop.example/callback?a=1&b=2"), None)
        .await;
    let (token, charge) = bank.charge(THREE_DS_APPROVED).await;
    let id = charge["id"].as_str().unwrap();
    let back = bank.shopper(id, "approve", OTP).await.ok();
    let fields = json!({"objectId": id, "token": token, "status": "true", "message": "Success", "saveCard": "false"});
    assert_eq!(
        back,
        json!({"action": "http://shop.example/callback?a=1&b=2", "fields": fields})
    );
    let paid = bank.get(&format!("/card/v2/charge/{id}")).await.ok();
    assert_eq!(paid["transaction_state"], "Authorized");
    assert_eq!(paid["redirect_url"], Value::Null);
    assert_eq!(
        bank.get(&format!("/sandbox/charges/{id}/return"))
            .await
            .ok(),
        fields
    );
}

#[tokio::test]
async fn the_decline_cards_issuer_refuses_despite_the_right_password() {
    let bank = TestBank::start().await;
    let (_, charge) = bank.charge(THREE_DS_DECLINED).await;
    assert_eq!(charge["transaction_state"], "Pre-Authorized");
    let id = charge["id"].as_str().unwrap();
    let back = bank.shopper(id, "approve", OTP).await.ok();
    assert_eq!(back["fields"]["status"], "false");
    let declined = bank.get(&format!("/card/v2/charge/{id}")).await.ok();
    assert_eq!(
        (&declined["status"], &declined["failure_code"]),
        (&json!("fail"), &json!("05"))
    );
}

#[tokio::test]
async fn the_third_wrong_password_declines_the_charge() {
    let bank = TestBank::start().await;
    let (_, charge) = bank.charge(THREE_DS_APPROVED).await;
    let id = charge["id"].as_str().unwrap();
    for left in ["2 tries", "1 try"] {
        let answer = bank.shopper(id, "approve", "000000").await;
        assert_eq!(answer.error(), refusal(422, "wrong_otp"));
        assert!(answer.text.contains(left), "{}", answer.text);
        assert_eq!(bank.state(id).await, "Pre-Authorized");
    }
    let back = bank.shopper(id, "approve", "000000").await.ok();
    assert_eq!(back["fields"]["status"], "false");
    assert_eq!(bank.state(id).await, "Declined");
}

#[tokio::test]
async fn a_post_after_the_decision_answers_the_same_return_and_changes_nothing() {
    let bank = TestBank::start().await;
    let (_, charge) = bank.charge(THREE_DS_APPROVED).await;
    let id = charge["id"].as_str().unwrap();
    let first = bank.shopper(id, "approve", OTP).await.ok();
    let record = bank.get(&format!("/sandbox/charges/{id}")).await.ok();
    for (action, otp) in [("fail", ""), ("approve", "000000"), ("approve", OTP)] {
        assert_eq!(
            bank.shopper(id, action, otp).await.ok(),
            first,
            "{action} {otp}"
        );
    }
    assert_eq!(
        bank.get(&format!("/sandbox/charges/{id}")).await.ok(),
        record
    );
}

#[tokio::test]
async fn a_shopper_may_fail_the_authentication_or_leave_it_undecided() {
    let bank = TestBank::start().await;
    let (_, charge) = bank.charge(THREE_DS_APPROVED).await;
    let id = charge["id"].as_str().unwrap();
    assert_eq!(
        bank.shopper(id, "leave", "").await.ok(),
        json!({"left": true})
    );
    assert_eq!(bank.state(id).await, "Pre-Authorized");
    assert_eq!(
        bank.shopper(id, "dance", "").await.error(),
        refusal(400, "invalid_request")
    );
    assert_eq!(bank.state(id).await, "Pre-Authorized");
    assert_eq!(
        bank.shopper(id, "fail", "").await.ok()["fields"]["status"],
        "false"
    );
    let declined = bank.get(&format!("/card/v2/charge/{id}")).await.ok();
    assert_eq!(
        (&declined["transaction_state"], &declined["failure_code"]),
        (&json!("Declined"), &json!("63"))
    );
}

/// A browser's request to the 3-D Secure page.
async fn browse(bank: &TestBank, method: Method, path: &str, form: Option<&str>) -> Answer {
    let headers = [
        (
            "accept",
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
        ),
        ("content-type", "application/x-www-form-urlencoded"),
    ];
    bank.send(method, path, &headers, form.map(str::to_owned))
        .await
        .unwrap()
}

#[tokio::test]
async fn a_browser_gets_a_form_then_a_page_that_posts_itself_to_the_callback() {
    let bank = TestBank::start().await;
    bank.merchant(Some("http://shop.example/callback?a=1&b=2"), None)
        .await;
    let (token, charge) = bank.charge(THREE_DS_APPROVED).await;
    let redirect = charge["redirect_url"].as_str().unwrap();
    let path = redirect.strip_prefix(bank.url.as_str()).unwrap();

    let page = browse(&bank, Method::GET, path, None).await;
    assert_eq!(page.status, 200);
    for part in [
        "1250.00 THB",
        "441770XXXXXX5830",
        "<label for=\"otp\">",
        "width=device-width",
        "light dark",
    ] {
        assert!(page.text.contains(part), "{part}");
    }
    assert!(
        !page.text.contains("http://") && !page.text.contains("https://"),
        "the page stands alone"
    );

    let wrong = browse(&bank, Method::POST, path, Some("otp=1&action=approve")).await;
    assert_eq!(wrong.status, 422);
    assert!(
        wrong
            .text
            .contains("role=\"alert\">The password is wrong. 2 tries are left."),
        "{}",
        wrong.text
    );
    let left = browse(&bank, Method::POST, path, Some("otp=&action=leave")).await;
    assert!(
        left.status == 200 && !left.text.contains("<form"),
        "{}",
        left.text
    );

    let back = browse(
        &bank,
        Method::POST,
        path,
        Some("otp=+123456+&action=approve"),
    )
    .await;
    assert_eq!(back.status, 200);
    for part in [
        "<form method=\"post\" action=\"http://shop.example/callback?a=1&amp;b=2\">".to_owned(),
        format!("name=\"token\" value=\"{token}\""),
        "name=\"status\" value=\"true\"".to_owned(),
        ".submit()".to_owned(),
    ] {
        assert!(back.text.contains(&part), "{part}: {}", back.text);
    }
    let later = browse(&bank, Method::GET, path, None).await;
    assert!(
        later.text.contains("<form") && !later.text.contains(".submit()"),
        "{}",
        later.text
    );
}

#[tokio::test]
async fn without_a_callback_url_the_charge_is_decided_and_the_page_says_what_is_missing() {
    let bank = TestBank::start().await;
    let (_, charge) = bank.charge(THREE_DS_APPROVED).await;
    let id = charge["id"].as_str().unwrap();
    let page = browse(
        &bank,
        Method::POST,
        &format!("/3ds/{id}"),
        Some("otp=123456&action=approve"),
    )
    .await;
    assert!(page.text.contains("PUT /sandbox/merchant"), "{}", page.text);
    assert_eq!(bank.state(id).await, "Authorized");
    assert_eq!(
        bank.shopper(id, "approve", OTP).await.ok()["action"],
        Value::Null
    );
}

#[tokio::test]
async fn a_charge_without_three_ds_has_no_page() {
    let bank = TestBank::start().await;
    let (_, id) = bank.pay(APPROVED).await;
    assert_eq!(
        bank.shopper(&id, "fail", "").await.error(),
        refusal(404, "no_three_ds")
    );
    assert_eq!(
        browse(&bank, Method::GET, &format!("/3ds/{id}"), None)
            .await
            .status,
        404
    );
    assert_eq!(
        browse(&bank, Method::GET, "/3ds/chrg_test_x", None)
            .await
            .status,
        404
    );
}

#[tokio::test]
async fn the_page_is_at_the_configured_address() {
    let bank = TestBank::at("https://bank.example/").await;
    let (_, charge) = bank.charge(THREE_DS_APPROVED).await;
    let id = charge["id"].as_str().unwrap();
    assert_eq!(
        charge["redirect_url"],
        format!("https://bank.example/3ds/{id}")
    );
}

// Customers

#[tokio::test]
async fn the_card_of_an_approved_charge_can_be_saved_even_after_the_money_went_back() {
    let bank = TestBank::start().await;
    let (voided, id) = bank.pay(THREE_DS_APPROVED).await;
    bank.post(&format!("/card/v2/charge/{id}/void"), json!({}))
        .await
        .ok();
    bank.pass(Duration::from_secs(3600));
    let body = json!({"mode": "token", "token": voided, "email": "somchai@example.com"});
    let customer = bank.post("/card/v2/customer", body).await.ok();
    let id = customer["id"].as_str().unwrap();
    assert!(id.starts_with("cust_test_"), "{id}");
    assert_eq!(
        (&customer["object"], &customer["email"]),
        (&json!("customer"), &json!("somchai@example.com"))
    );
    assert_eq!(customer["cards"][0]["card_masking"], "441770XXXXXX5830");

    let (other, charge) = bank.pay(APPROVED).await;
    bank.sandbox(
        Method::POST,
        &format!("/charges/{charge}/settle"),
        json!({}),
    )
    .await
    .ok();
    bank.post(
        &format!("/card/v2/charge/{charge}/refund"),
        json!({"amount": 1250}),
    )
    .await
    .ok();
    let path = format!("/card/v2/customer/{id}/card");
    let grown = bank
        .post(&path, json!({"mode": "token", "token": other}))
        .await
        .ok();
    let cards: Vec<_> = grown["cards"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| &c["card_masking"])
        .collect();
    assert_eq!(cards, ["441770XXXXXX5830", "402400XXXXXX6226"]);
    assert_eq!(
        bank.get(&format!("/sandbox/customers/{id}")).await.ok(),
        grown
    );
}

#[tokio::test]
async fn the_token_of_a_declined_charge_cannot_be_saved() {
    let bank = TestBank::start().await;
    let (good, _) = bank.pay(APPROVED).await;
    let customer = bank
        .post("/card/v2/customer", json!({"mode": "token", "token": good}))
        .await
        .ok();
    let path = format!(
        "/card/v2/customer/{}/card",
        customer["id"].as_str().unwrap()
    );

    let (pending, _) = bank.charge(THREE_DS_APPROVED).await;
    let declined = bank.pay(DECLINED).await.0;
    let declined_3ds = bank.pay(THREE_DS_DECLINED).await.0;
    let uncharged = bank.token(APPROVED).await;
    for token in [declined, declined_3ds, pending, uncharged] {
        for path in ["/card/v2/customer", &path] {
            let answer = bank
                .post(path, json!({"mode": "token", "token": token}))
                .await;
            assert_eq!(answer.error(), refusal(400, "charge_not_approved"));
        }
    }
    for body in [
        json!({"mode": "token", "token": "tokn_test_x"}),
        json!({"mode": "card", "token": good}),
        json!({}),
    ] {
        assert_eq!(
            bank.post("/card/v2/customer", body.clone()).await.status,
            400,
            "{body}"
        );
        assert_eq!(bank.post(&path, body.clone()).await.status, 400, "{body}");
    }
    assert_eq!(bank.get("/sandbox/customers").await.ok(), json!([customer]));
}

#[tokio::test]
async fn a_card_added_twice_is_there_once() {
    let bank = TestBank::start().await;
    let (token, _) = bank.pay(APPROVED).await;
    let body = json!({"mode": "token", "token": token});
    let customer = bank.post("/card/v2/customer", body.clone()).await.ok();
    let path = format!(
        "/card/v2/customer/{}/card",
        customer["id"].as_str().unwrap()
    );
    for _ in 0..2 {
        assert_eq!(bank.post(&path, body.clone()).await.ok(), customer);
    }
}

#[tokio::test]
async fn creating_a_customer_again_makes_another_one() {
    let bank = TestBank::start().await;
    let (token, _) = bank.pay(APPROVED).await;
    let body = json!({"mode": "token", "token": token});
    let first = bank.post("/card/v2/customer", body.clone()).await.ok();
    let second = bank.post("/card/v2/customer", body).await.ok();
    assert_ne!(first["id"], second["id"]);
    assert_eq!(
        bank.get("/sandbox/customers").await.ok(),
        json!([first, second])
    );
}

#[tokio::test]
async fn the_gateway_does_not_show_customers() {
    let bank = TestBank::start().await;
    let (token, _) = bank.pay(APPROVED).await;
    let customer = bank
        .post(
            "/card/v2/customer",
            json!({"mode": "token", "token": token}),
        )
        .await
        .ok();
    let path = format!("/card/v2/customer/{}", customer["id"].as_str().unwrap());
    assert_eq!(bank.get(&path).await.error(), refusal(404, "not_found"));
}

// Notifications

fn checksum(notification: &Value, amount: &str) -> String {
    let text = |field: &str| notification[field].as_str().unwrap().to_owned();
    hex::encode(Sha256::digest(format!(
        "{}{amount}{}{}{}{SECRET_KEY}",
        text("id"),
        text("currency"),
        text("status"),
        text("transaction_state"),
    )))
}

#[tokio::test]
async fn every_decision_and_the_settlement_are_notified_with_a_checksum() {
    let merchant = Merchant::start(200).await;
    let bank = TestBank::start().await;
    bank.merchant(None, Some(&merchant.url)).await;

    let (_, paid) = bank.pay(THREE_DS_APPROVED).await;
    bank.notifications(&paid, 1).await;
    bank.sandbox(Method::POST, &format!("/charges/{paid}/settle"), json!({}))
        .await
        .ok();
    let sent = bank.notifications(&paid, 2).await;
    assert!(
        sent.iter()
            .all(|n| n["answer"] == 200 && n["error"].is_null()),
        "{sent:?}"
    );
    let (_, declined) = bank.pay(DECLINED).await;
    bank.notifications(&declined, 1).await;
    let (_, at_once) = bank.pay(APPROVED).await;
    bank.notifications(&at_once, 1).await;
    // A void is the merchant's own doing, and a pending charge has no decision.
    bank.post(&format!("/card/v2/charge/{at_once}/void"), json!({}))
        .await
        .ok();
    bank.charge(THREE_DS_APPROVED).await;

    let received = merchant.received();
    let told: Vec<_> = received
        .iter()
        .map(|n| {
            (
                n["id"].as_str().unwrap(),
                n["transaction_state"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            (paid.as_str(), "Authorized"),
            (paid.as_str(), "Settled"),
            (declined.as_str(), "Declined"),
            (at_once.as_str(), "Authorized"),
        ]
    );
    for notification in &received {
        assert_eq!(
            notification["checksum"],
            checksum(notification, "1250.0000")
        );
        assert_eq!(
            (&notification["object"], &notification["amount"]),
            (&json!("charge"), &json!(1250))
        );
    }
}

#[tokio::test]
async fn what_the_merchant_answered_is_recorded() {
    let merchant = Merchant::start(503).await;
    let bank = TestBank::start().await;
    bank.merchant(None, Some(&merchant.url)).await;
    let (_, refused) = bank.pay(APPROVED).await;
    assert_eq!(bank.notifications(&refused, 1).await[0]["answer"], 503);

    bank.merchant(None, Some("http://127.0.0.1:1/notify")).await;
    let (_, lost) = bank.pay(APPROVED).await;
    let sent = bank.notifications(&lost, 1).await;
    assert_eq!(sent[0]["answer"], Value::Null);
    assert_eq!(sent[0]["error"], "the merchant's server cannot be reached");
}

#[tokio::test]
async fn a_decision_whose_answer_was_lost_is_notified() {
    let merchant = Merchant::start(200).await;
    let bank = TestBank::start().await;
    bank.merchant(None, Some(&merchant.url)).await;
    bank.fault("create_charge", "lost_answer", 0).await;
    let body = order(&bank.token(APPROVED).await);
    bank.try_api(Method::POST, "/card/v2/charge", Some(body))
        .await
        .unwrap_err();
    let found = bank.get("/card/v2/charge/482500007436-1").await.ok();
    bank.notifications(found["id"].as_str().unwrap(), 1).await;
    assert_eq!(merchant.received()[0]["id"], found["id"]);
}

#[tokio::test]
async fn a_notification_can_be_sent_again_on_demand() {
    let merchant = Merchant::start(200).await;
    let bank = TestBank::start().await;
    let (_, id) = bank.pay(APPROVED).await;
    let again = format!("/charges/{id}/notify");
    let answer = bank.sandbox(Method::POST, &again, json!({})).await;
    assert_eq!(answer.error(), refusal(400, "no_notify_url"));
    bank.merchant(None, Some(&merchant.url)).await;
    for _ in 0..2 {
        let sent = bank.sandbox(Method::POST, &again, json!({})).await.ok();
        assert_eq!(
            (&sent["answer"], &sent["transaction_state"]),
            (&json!(200), &json!("Authorized"))
        );
    }
    let received = merchant.received();
    assert_eq!(received.len(), 2);
    assert_eq!(received[0], received[1]);
}

#[tokio::test]
async fn notifications_on_demand_are_sent_when_asked_for_only() {
    let merchant = Merchant::start(200).await;
    let bank = TestBank::start().await;
    let urls = json!({"callbackUrl": null, "notifyUrl": merchant.url, "notifyOnDemand": true});
    bank.sandbox(Method::PUT, "/merchant", urls).await.ok();
    let (_, id) = bank.pay(APPROVED).await;
    let again = format!("/charges/{id}/notify");
    bank.sandbox(Method::POST, &again, json!({})).await.ok();
    // The only one: that of the decision would have been made before this one.
    assert_eq!(bank.notifications(&id, 1).await.len(), 1);
    assert_eq!(merchant.received().len(), 1);
}

#[tokio::test]
async fn notifications_can_be_late_repeated_or_missing() {
    let merchant = Merchant::start(200).await;
    let bank = TestBank::start().await;
    bank.merchant(None, Some(&merchant.url)).await;
    bank.fault("notification", "late", 800).await;
    bank.fault("notification", "repeated", 0).await;
    bank.fault("notification", "never", 0).await;

    let (_, late) = bank.pay(APPROVED).await;
    let (_, twice) = bank.pay(APPROVED).await;
    let (_, never) = bank.pay(APPROVED).await;
    bank.notifications(&twice, 2).await;
    assert_eq!(
        bank.notifications(&never, 1).await[0]["error"],
        "withheld by a fault"
    );
    assert_eq!(
        merchant.received().len(),
        2,
        "the late one is still to come"
    );
    // What it says is what was true when it was made.
    bank.post(&format!("/card/v2/charge/{late}/void"), json!({}))
        .await
        .ok();
    bank.notifications(&late, 1).await;
    let last = merchant.received().pop().unwrap();
    assert_eq!(
        (&last["id"], &last["transaction_state"]),
        (&json!(late), &json!("Authorized"))
    );
}

#[tokio::test]
async fn the_merchants_urls_must_be_urls() {
    let bank = TestBank::start().await;
    for urls in [
        json!({"callbackUrl": "shop.example/callback"}),
        json!({"callbackUrl": "javascript:alert(1)"}),
        json!({"notifyUrl": "/notify"}),
        json!({"notifyURL": "http://shop.example/notify"}),
    ] {
        let answer = bank.sandbox(Method::PUT, "/merchant", urls.clone()).await;
        assert_eq!(answer.error(), refusal(400, "invalid_request"), "{urls}");
    }
}

// Faults

#[tokio::test]
async fn an_error_has_no_effect_and_strikes_as_often_as_asked() {
    let bank = TestBank::start().await;
    let token = bank.token(APPROVED).await;
    let fault = json!({"operation": "create_charge", "kind": "error", "times": 2});
    bank.sandbox(Method::POST, "/faults", fault).await.ok();
    for _ in 0..2 {
        let answer = bank.post("/card/v2/charge", order(&token)).await;
        assert_eq!(answer.error(), refusal(500, "internal_error"));
    }
    assert_eq!(bank.get("/sandbox/charges").await.ok(), json!([]));
    bank.post("/card/v2/charge", order(&token)).await.ok();
}

#[tokio::test]
async fn a_timeout_has_no_effect_and_no_answer() {
    let bank = TestBank::start().await;
    let (_, id) = bank.pay(APPROVED).await;
    bank.fault("void", "timeout", 100).await;
    let started = Instant::now();
    let void = format!("/card/v2/charge/{id}/void");
    let failed = bank
        .try_api(Method::POST, &void, Some(json!({})))
        .await
        .unwrap_err();
    assert!(
        failed.is_request() && failed.status().is_none(),
        "{failed:?}"
    );
    assert!(started.elapsed() >= Duration::from_millis(100));
    assert_eq!(bank.state(&id).await, "Authorized");
    bank.post(&void, json!({})).await.ok();
}

#[tokio::test]
async fn a_lost_answer_has_its_effect_but_no_answer() {
    let bank = TestBank::start().await;
    let token = bank.token(THREE_DS_APPROVED).await;
    bank.fault("create_charge", "lost_answer", 50).await;
    let body = Some(order(&token));
    let failed = bank
        .try_api(Method::POST, "/card/v2/charge", body)
        .await
        .unwrap_err();
    assert!(
        failed.is_request() && failed.status().is_none(),
        "{failed:?}"
    );
    let found = bank.get("/card/v2/charge/482500007436-1").await.ok();
    assert_eq!(found["transaction_state"], "Pre-Authorized");
    let again = bank.post("/card/v2/charge", order(&token)).await;
    assert_eq!(again.error(), refusal(400, "token_used"));
}

#[tokio::test]
async fn a_refund_can_be_lost_on_the_way_there_or_back() {
    let bank = TestBank::start().await;
    let (_, id) = bank.pay(APPROVED).await;
    bank.sandbox(Method::POST, &format!("/charges/{id}/settle"), json!({}))
        .await
        .ok();
    let refund = format!("/card/v2/charge/{id}/refund");
    for (kind, refunds) in [("timeout", 0), ("lost_answer", 1)] {
        bank.fault("refund", kind, 0).await;
        let body = Some(json!({"amount": 100}));
        let failed = bank.try_api(Method::POST, &refund, body).await;
        assert!(failed.is_err(), "{kind}: {failed:?}");
        let record = bank.get(&format!("/sandbox/charges/{id}")).await.ok();
        let made = record["refunds"].as_array().map(Vec::len);
        assert_eq!(made, Some(refunds), "{kind}");
    }
}

#[tokio::test]
async fn a_late_request_has_its_effect_though_its_caller_is_gone() {
    let bank = TestBank::start().await;
    let (_, id) = bank.pay(APPROVED).await;
    bank.sandbox(Method::POST, &format!("/charges/{id}/settle"), json!({}))
        .await
        .ok();
    bank.fault("refund", "late", 4000).await;
    let refund = bank
        .client
        .post(format!("{}/card/v2/charge/{id}/refund", bank.url))
        .header("x-api-key", SECRET_KEY)
        .timeout(Duration::from_secs(1))
        .json(&json!({"amount": 100}));
    assert!(refund.send().await.unwrap_err().is_timeout());
    // Whoever asks now is told that nothing went back.
    assert_eq!(bank.state(&id).await, "Settled");
    for _ in 0..3000 {
        if bank.state(&id).await == "Refund Sent" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let record = bank.get(&format!("/sandbox/charges/{id}")).await.ok();
    assert_eq!(record["refunds"][0]["amount"], 100, "{record}");
    let requests = bank.get("/sandbox/requests").await.ok();
    let noted = requests.as_array().unwrap().iter();
    let late: Vec<_> = noted.filter(|noted| noted["fault"] == "late").collect();
    assert_eq!(late.len(), 1);
    assert_eq!(
        (&late[0]["operation"], &late[0]["status"]),
        (&json!("refund"), &json!(200))
    );

    // Who waits is answered.
    bank.fault("refund", "late", 100).await;
    let started = Instant::now();
    let answer = bank
        .post(
            &format!("/card/v2/charge/{id}/refund"),
            json!({"amount": 100}),
        )
        .await
        .ok();
    assert!(answer["refund_id"].is_string(), "{answer}");
    assert!(started.elapsed() >= Duration::from_millis(100));
}

#[tokio::test]
async fn a_customer_whose_answer_was_lost_becomes_an_orphan() {
    let bank = TestBank::start().await;
    let (token, _) = bank.pay(APPROVED).await;
    let body = json!({"mode": "token", "token": token});
    bank.fault("create_customer", "lost_answer", 0).await;
    bank.try_api(Method::POST, "/card/v2/customer", Some(body.clone()))
        .await
        .unwrap_err();
    bank.post("/card/v2/customer", body).await.ok();
    assert_eq!(
        bank.get("/sandbox/customers")
            .await
            .ok()
            .as_array()
            .unwrap()
            .len(),
        2
    );
}

#[tokio::test]
async fn a_hanging_request_keeps_silent_and_holds_up_nobody() {
    let mut bank = TestBank::start().await;
    let (_, id) = bank.pay(APPROVED).await;
    let fault = json!({"operation": "inquire", "kind": "timeout"});
    bank.sandbox(Method::POST, "/faults", fault).await.ok();
    let path = format!("{}/card/v2/charge/{id}", bank.url);
    let call = bank
        .client
        .get(path)
        .header("x-api-key", SECRET_KEY)
        .timeout(Duration::from_millis(200));
    assert!(call.send().await.unwrap_err().is_timeout());
    assert_eq!(bank.state(&id).await, "Authorized");
    let stopping = Instant::now();
    bank.stop().await;
    assert!(stopping.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn faults_that_were_cleared_do_not_strike() {
    let bank = TestBank::start().await;
    bank.fault("create_charge", "error", 0).await;
    let cleared = bank.sandbox(Method::DELETE, "/faults", json!({})).await;
    assert_eq!(cleared.status, 204);
    bank.charge(APPROVED).await;
}

#[tokio::test]
async fn a_wrong_key_does_not_use_a_fault_up() {
    let bank = TestBank::start().await;
    bank.fault("inquire", "error", 0).await;
    let (_, id) = bank.pay(APPROVED).await;
    let path = format!("/card/v2/charge/{id}");
    assert_eq!(
        bank.send(Method::GET, &path, &[], None)
            .await
            .unwrap()
            .status,
        401
    );
    assert_eq!(bank.get(&path).await.status, 500);
}

#[tokio::test]
async fn requests_are_listed_without_secrets() {
    let bank = TestBank::start().await;
    let (token, id) = bank.pay(APPROVED).await;
    bank.fault("inquire", "timeout", 0).await;
    let path = format!("/card/v2/charge/{id}");
    bank.try_api(Method::GET, &path, None).await.unwrap_err();
    bank.get(&path).await.ok();
    bank.send(Method::POST, "/card/v2/customer", &[], None)
        .await
        .unwrap();
    let answer = bank.get("/sandbox/requests").await;
    assert_eq!(
        answer.ok(),
        json!([
            {"operation": "create_charge", "path": "/card/v2/charge", "status": 200, "fault": null},
            {"operation": "inquire", "path": path, "status": null, "fault": "timeout"},
            {"operation": "inquire", "path": path, "status": 200, "fault": null},
            {"operation": "create_customer", "path": "/card/v2/customer", "status": 401, "fault": null},
        ])
    );
    assert!(!answer.text.contains(&token) && !answer.text.contains(SECRET_KEY));
}

// The state file

/// A folder of its own for a test's state file.
fn folder(test: &str) -> std::path::PathBuf {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("{test}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    folder
}

#[tokio::test]
async fn a_reopened_bank_continues_where_it_stopped() {
    let folder = folder("reopened");
    let file = folder.join("deeper/bank.json");
    let mut bank = TestBank::open(&file).await;
    bank.merchant(Some("http://shop.example/callback"), None)
        .await;
    let unused = bank.token(APPROVED).await;
    let (_, pending) = bank.charge(THREE_DS_APPROVED).await;
    let id = pending["id"].as_str().unwrap();
    bank.shopper(id, "approve", "000000").await;
    let (token, paid) = bank.pay(APPROVED).await;
    bank.sandbox(Method::POST, &format!("/charges/{paid}/settle"), json!({}))
        .await
        .ok();
    bank.post(
        &format!("/card/v2/charge/{paid}/refund"),
        json!({"amount": "1249.99"}),
    )
    .await
    .ok();
    bank.post(
        "/card/v2/customer",
        json!({"mode": "token", "token": token}),
    )
    .await
    .ok();
    let record = bank.get(&format!("/sandbox/charges/{paid}")).await.ok();
    let customers = bank.get("/sandbox/customers").await.ok();
    let of_token = bank.get(&format!("/sandbox/tokens/{token}")).await.ok();
    let rotation = json!({"secretKey": "skey_test_new", "acceptFormer": true});
    let rotated = bank.sandbox(Method::PUT, "/key", rotation).await;
    assert_eq!(rotated.status, 204, "{}", rotated.text);
    bank.stop().await;

    let bank = TestBank::open(&file).await;
    assert_eq!(
        bank.get(&format!("/sandbox/charges/{paid}")).await.ok(),
        record
    );
    assert_eq!(bank.get("/sandbox/customers").await.ok(), customers);
    assert_eq!(
        bank.get(&format!("/sandbox/tokens/{token}")).await.ok(),
        of_token
    );
    assert_eq!(of_token["customers"], customers);
    let latest = bank.get("/card/v2/charge/482500007436-1").await.ok();
    assert_eq!(latest["id"], paid);
    let new_key = [("x-api-key", "skey_test_new")];
    let path = format!("/card/v2/charge/{paid}");
    let answer = bank.send(Method::GET, &path, &new_key, None).await.unwrap();
    answer.ok();
    let answer = bank
        .post(
            &format!("/card/v2/charge/{paid}/refund"),
            json!({"amount": "0.02"}),
        )
        .await;
    assert_eq!(answer.error(), refusal(400, "refund_exceeds_charge"));
    assert_eq!(
        bank.post("/card/v2/charge", order(&token)).await.error(),
        refusal(400, "token_used")
    );
    bank.post("/card/v2/charge", order(&unused)).await.ok();
    // The page moved with the bank, and the wrong password still counts.
    let again = bank.get(&format!("/card/v2/charge/{id}")).await.ok();
    assert_eq!(again["redirect_url"], format!("{}/3ds/{id}", bank.url));
    assert!(
        bank.shopper(id, "approve", "000000")
            .await
            .text
            .contains("1 try")
    );
    let back = bank.shopper(id, "approve", OTP).await.ok();
    assert_eq!(back["action"], "http://shop.example/callback");
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn a_state_from_before_refunds_had_reasons_is_read() {
    let folder = folder("older");
    let file = folder.join("bank.json");
    let mut bank = TestBank::open(&file).await;
    let (_, id) = bank.pay(APPROVED).await;
    bank.sandbox(Method::POST, &format!("/charges/{id}/settle"), json!({}))
        .await
        .ok();
    let refund = format!("/card/v2/charge/{id}/refund");
    let body = json!({"amount": 100, "reason": "broken"});
    bank.post(&refund, body).await.ok();
    bank.stop().await;
    let mut state: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let charge = &mut state["ledger"]["charges"][&id];
    let known = [charge["refusing"].take(), charge["refunds"][0]["by"].take()];
    assert_eq!(known, [Value::Null, json!("api")]);
    let newer = ["refusing", "issuer_delay_ms"];
    charge
        .as_object_mut()
        .unwrap()
        .retain(|name, _| !newer.contains(&name.as_str()));
    let refund = charge["refunds"][0].as_object_mut().unwrap();
    refund.retain(|name, _| !matches!(name.as_str(), "by" | "reason"));
    for event in charge["history"].as_array_mut().unwrap() {
        event.as_object_mut().unwrap().remove("by");
    }
    std::fs::write(&file, state.to_string()).unwrap();

    let bank = TestBank::open(&file).await;
    let record = bank.get(&format!("/sandbox/charges/{id}")).await.ok();
    let refund = &record["refunds"][0];
    assert_eq!(
        (&refund["amount"], &refund["by"], &refund["reason"]),
        (&json!(100), &json!("api"), &Value::Null)
    );
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn what_cannot_be_saved_does_not_happen() {
    let folder = folder("unsaved");
    let file = folder.join("bank.json");
    let bank = TestBank::open(&file).await;
    let token = bank.token(APPROVED).await;
    let kept = std::fs::read(&file).unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    let answer = bank.post("/card/v2/charge", order(&token)).await;
    assert_eq!(answer.error(), refusal(500, "state_not_saved"));
    assert_eq!(bank.get("/sandbox/charges").await.ok(), json!([]));
    std::fs::create_dir_all(&folder).unwrap();
    bank.post("/card/v2/charge", order(&token)).await.ok();
    assert_ne!(std::fs::read(&file).unwrap(), kept);
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_file_that_is_no_state_is_refused_and_left_alone() {
    let folder = folder("garbage");
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("bank.json");
    std::fs::write(&file, "{\"layout\": 1}").unwrap();
    let error = Bank::open(BankConfig::default(), &file)
        .err()
        .expect("refused")
        .to_string();
    assert!(
        error.contains("delete it to start with an empty bank"),
        "{error}"
    );
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "{\"layout\": 1}");
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn the_secret_key_is_not_printed() {
    assert!(!format!("{:?}", BankConfig::default()).contains(SECRET_KEY));
}
