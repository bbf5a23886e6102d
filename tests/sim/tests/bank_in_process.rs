//! The sandbox bank within a process: without a socket, with the caller's time, random bytes and merchant.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Request, Response, StatusCode};
use payment3_bank::{Bank, BankConfig, InProcess, SECRET_KEY};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

/// A card that is approved at once, one that waits for 3-D Secure, and one whose issuer is slow.
const APPROVED: &str = "4024007134786226";
const THREE_DS: &str = "4417706600005830";
const SLOW: &str = "4000000000005100";

/// What the merchant's server got, and when.
type Received = Arc<Mutex<Vec<(Instant, Request<Vec<u8>>)>>>;

/// A bank whose merchant answers after this time.
fn bank_of(merchant_takes: Duration) -> (InProcess, Received) {
    let received = Received::default();
    let log = received.clone();
    let config = BankConfig {
        random: Some(Arc::new(|name, bytes| {
            let name = name.bytes().fold(0_u8, u8::wrapping_add);
            bytes.fill(name);
        })),
        merchant: Some(Arc::new(move |request| {
            log.lock().unwrap().push((Instant::now(), request));
            Box::pin(async move {
                sleep(merchant_takes).await;
                Response::builder()
                    .status(StatusCode::ACCEPTED)
                    .body(())
                    .map_err(|e| e.to_string())
            })
        })),
        notification_timeout: Duration::from_secs(10),
        ..BankConfig::default()
    };
    (
        Bank::new(config).in_process("https://bank.example/"),
        received,
    )
}

async fn call(bank: &InProcess, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let request = Request::builder()
        .method(method)
        .uri(format!("https://bank.example{path}"))
        .header("x-api-key", SECRET_KEY)
        .header("content-type", "application/json")
        .body(body.to_string().into_bytes())
        .unwrap();
    let answer = bank.call(request).await.unwrap();
    let object = serde_json::from_slice(answer.body()).unwrap_or_default();
    (answer.status().as_u16(), object)
}

async fn set_up(bank: &InProcess) {
    let urls = json!({"callbackUrl": "https://shop.example/callback", "notifyUrl": "https://shop.example/notify?a=[b]"});
    assert_eq!(call(bank, "PUT", "/sandbox/merchant", &urls).await.0, 200);
}

async fn charge(bank: &InProcess, wish: Value) -> Value {
    let (status, token) = call(bank, "POST", "/sandbox/tokens", &wish).await;
    assert_eq!(status, 200, "{token}");
    let order = json!({
        "amount": 1250, "currency": "THB", "description": "Order", "source_type": "card", "mode": "token",
        "token": token["token"], "reference_order": "482500007436-1",
    });
    let (status, charge) = call(bank, "POST", "/card/v2/charge", &order).await;
    assert_eq!(status, 200, "{charge}");
    charge
}

#[tokio::test(start_paused = true)]
async fn a_charge_is_made_and_notified_without_a_socket() {
    let (bank, received) = bank_of(Duration::from_secs(1));
    set_up(&bank).await;
    let made = charge(
        &bank,
        json!({"cardNumber": THREE_DS, "token": "tokn_test_a"}),
    )
    .await;
    let id = made["id"].as_str().unwrap();
    assert_eq!(
        made["redirect_url"],
        format!("https://bank.example/3ds/{id}")
    );
    let form = Request::post(format!("https://bank.example/3ds/{id}"))
        .body(b"action=approve&otp=123456".to_vec())
        .unwrap();
    assert_eq!(bank.call(form).await.unwrap().status(), 200);
    sleep(Duration::from_secs(2)).await;
    let received = received.lock().unwrap();
    let (_, request) = &received[0];
    assert_eq!(request.uri(), "https://shop.example/notify?a=[b]");
    let told: Value = serde_json::from_slice(request.body()).unwrap();
    assert_eq!(told["transaction_state"], "Authorized");
    let record = bank.charge(id).unwrap();
    assert_eq!(record["notifications"][0]["answer"], 202);
    assert_eq!(bank.charge_of_token("tokn_test_a"), Some(record.clone()));
    assert_eq!(bank.charge_id("482500007436-1").as_deref(), Some(id));
    assert_eq!(bank.charges(), [record]);
}

#[tokio::test(start_paused = true)]
async fn the_bank_waits_for_the_merchant_no_longer_than_it_should() {
    let (bank, _) = bank_of(Duration::from_secs(3600));
    set_up(&bank).await;
    let before = Instant::now();
    let made = charge(&bank, json!({"cardNumber": APPROVED})).await;
    let id = made["id"].as_str().unwrap();
    let (status, sent) = call(
        &bank,
        "POST",
        &format!("/sandbox/charges/{id}/notify"),
        &json!({}),
    )
    .await;
    assert_eq!(
        (status, &sent["error"]),
        (200, &json!("no answer within 10s"))
    );
    assert_eq!(before.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn an_issuer_takes_as_long_as_the_token_says() {
    let (bank, received) = bank_of(Duration::ZERO);
    set_up(&bank).await;
    for (token, delay, seconds) in [
        ("tokn_test_a", json!(null), 5),
        ("tokn_test_b", json!(86_400_000), 86_400),
    ] {
        received.lock().unwrap().clear();
        let wish = json!({"cardNumber": SLOW, "token": token, "issuerDelayMs": delay});
        let made = charge(&bank, wish).await;
        let form = Request::post(format!(
            "https://bank.example/3ds/{}",
            made["id"].as_str().unwrap()
        ))
        .body(b"action=approve&otp=123456".to_vec())
        .unwrap();
        let asked = Instant::now();
        bank.call(form).await.unwrap();
        sleep(Duration::from_secs(100_000)).await;
        let (at, _) = received.lock().unwrap()[0].clone();
        assert_eq!(at.duration_since(asked).as_secs(), seconds);
    }
}

#[tokio::test(start_paused = true)]
async fn ids_are_made_of_the_bytes_that_are_handed_in() {
    let (bank, _) = bank_of(Duration::ZERO);
    let made = charge(
        &bank,
        json!({"cardNumber": APPROVED, "token": "tokn_test_a"}),
    )
    .await;
    let byte = "chrg_test_tokn_test_a".bytes().fold(0_u8, u8::wrapping_add);
    assert_eq!(
        made["id"],
        format!("chrg_test_{}", format!("{byte:02x}").repeat(12))
    );
}

#[tokio::test(start_paused = true)]
async fn a_token_is_named_once_and_like_a_token() {
    let (bank, _) = bank_of(Duration::ZERO);
    for (token, status, code) in [
        ("tokn_test_a-1_B", 200, json!(null)),
        ("tokn_test_a-1_B", 400, json!("token_taken")),
        ("tokn_test_", 400, json!("invalid_request")),
        ("a", 400, json!("invalid_request")),
        ("tokn_test_a b", 400, json!("invalid_request")),
    ] {
        let wish = json!({"cardNumber": APPROVED, "token": token});
        let (answered, object) = call(&bank, "POST", "/sandbox/tokens", &wish).await;
        assert_eq!((answered, &object["code"]), (status, &code), "{token}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_planned_fault_closes_the_connection() {
    let (bank, _) = bank_of(Duration::ZERO);
    let fault = json!({"operation": "inquire", "kind": "timeout", "delayMs": 60_000});
    assert_eq!(call(&bank, "POST", "/sandbox/faults", &fault).await.0, 200);
    let request = Request::get("https://bank.example/card/v2/charge/x")
        .header("x-api-key", SECRET_KEY)
        .body(Vec::new())
        .unwrap();
    let before = Instant::now();
    assert!(bank.call(request).await.is_err());
    assert_eq!(before.elapsed().as_secs(), 60);
}

#[tokio::test(start_paused = true)]
async fn a_rotated_key_signs_from_then_on_and_the_former_one_where_the_dialect_says_so() {
    let (bank, received) = bank_of(Duration::ZERO);
    set_up(&bank).await;
    let made = charge(&bank, json!({"cardNumber": APPROVED})).await;
    let id = made["id"].as_str().unwrap();
    let rotation = json!({"secretKey": "skey_test_new", "acceptFormer": true});
    assert_eq!(call(&bank, "PUT", "/sandbox/key", &rotation).await.0, 204);
    for (dialect, key) in [("usual", "skey_test_new"), ("former-key", SECRET_KEY)] {
        let path = format!("/sandbox/charges/{id}");
        let wish = json!({ "dialect": dialect });
        assert_eq!(
            call(&bank, "PUT", &format!("{path}/dialect"), &wish)
                .await
                .0,
            200
        );
        assert_eq!(
            call(&bank, "POST", &format!("{path}/notify"), &json!({}))
                .await
                .0,
            200
        );
        let (_, request) = received.lock().unwrap().pop().unwrap();
        let told: Value = serde_json::from_slice(request.body()).unwrap();
        let signed = format!("{id}1250.0000THBsuccessAuthorized{key}");
        assert_eq!(told["checksum"], sha256(&signed));
    }
    // The former key is still accepted: `call` uses it.
    assert_eq!(
        call(&bank, "GET", &format!("/card/v2/charge/{id}"), &json!({}))
            .await
            .0,
        200
    );
    let rotation = json!({"secretKey": "skey_test_newer"});
    assert_eq!(call(&bank, "PUT", "/sandbox/key", &rotation).await.0, 204);
    assert_eq!(
        call(&bank, "GET", &format!("/card/v2/charge/{id}"), &json!({}))
            .await
            .0,
        401
    );
    assert_eq!(call(&bank, "PUT", "/sandbox/key", &rotation).await.0, 400);
}

fn sha256(text: &str) -> String {
    use sha2::Digest;
    hex::encode(sha2::Sha256::digest(text))
}
