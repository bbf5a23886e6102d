//! Holds the bank client against the sandbox bank, over HTTP: what it understands, and above all what it concludes
//! when the answer is an error, late or lost.

use std::io::{BufRead, BufReader, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use payment3_activities::activity::reverse_charge::{Reversal, give_back};
use payment3_activities::bank::{Bank, BankError, CardSaved, Gateway, NewCharge, SecretSource};
use payment3_activities::domain::charge::{Charge, TransactionState};
use payment3_activities::domain::ids::{
    CardToken, ChargeId, CustomerId, MerchantId, OrderId, OwnerId, ReferenceOrder,
};
use payment3_activities::domain::money::Satang;
use payment3_activities::domain::payment::{Origin, Payment, Purpose};
use payment3_bank::{Bank as Sandbox, BankConfig, SECRET_KEY};
use serde_json::{Value, json};
use tokio::net::TcpListener;

const THREE_DS: &str = "4417706600005830";
const NO_THREE_DS: &str = "4024007134786226";
const NO_THREE_DS_DECLINED: &str = "4877300371267473";

/// The sandbox bank on a port of its own, and a client that talks to it.
struct Setup {
    url: String,
    bank: Bank,
    http: reqwest::Client,
    secret_fetches: Arc<AtomicUsize>,
}

impl Setup {
    async fn new() -> Self {
        Self::with_key(SECRET_KEY).await
    }

    async fn with_key(key: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(Sandbox::new(BankConfig::default()).serve(listener, std::future::pending()));
        let secret = json!({"url": url, "b2c": format!("pkey_test_x:{key}")}).to_string();
        let secret_fetches = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&secret_fetches);
        let gateway = Gateway::new(SecretSource::new(move || {
            counted.fetch_add(1, Ordering::SeqCst);
            let secret = secret.clone();
            async move { Ok(secret.into()) }
        }));
        Self {
            bank: Bank::new(gateway, Duration::from_secs(5)).unwrap(),
            http: payment3_activities::http_client::http_client(Duration::from_secs(5)).unwrap(),
            url,
            secret_fetches,
        }
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        let response = self
            .http
            .post(format!("{}{path}", self.url))
            .json(&body)
            .send()
            .await
            .unwrap();
        assert!(response.status().is_success(), "{path}: {response:?}");
        response.json().await.unwrap()
    }

    async fn token(&self, card: &str) -> CardToken {
        let answer = self
            .post("/sandbox/tokens", json!({"cardNumber": card}))
            .await;
        CardToken::new(answer["token"].as_str().unwrap()).unwrap()
    }

    async fn fault(&self, operation: &str, kind: &str) {
        self.post(
            "/sandbox/faults",
            json!({"operation": operation, "kind": kind, "times": 1, "delayMs": 3000}),
        )
        .await;
    }

    async fn charge(
        &self,
        token: &CardToken,
        reference: &ReferenceOrder,
    ) -> Result<Charge, BankError> {
        self.bank
            .create_charge(&NewCharge {
                amount: Satang::new(150_050).unwrap(),
                token,
                reference_order: reference,
                order_id: &OrderId::new("482500007436").unwrap(),
                mid: &MerchantId::new("401012234152001").unwrap(),
            })
            .await
    }

    async fn charges(&self) -> usize {
        let list: Value = self
            .http
            .get(format!("{}/sandbox/charges", self.url))
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        list.as_array().unwrap().len()
    }
}

fn reference() -> ReferenceOrder {
    ReferenceOrder::random().unwrap()
}

#[tokio::test]
async fn a_charge_with_three_d_secure_is_created_and_found_by_id_and_by_reference() {
    let setup = Setup::new().await;
    let token = setup.token(THREE_DS).await;
    let reference = reference();
    let charge = setup.charge(&token, &reference).await.unwrap();
    assert_eq!(charge.state, TransactionState::PreAuthorized);
    assert_eq!(charge.amount.satang(), 150_050);
    assert_eq!(charge.reference_order.as_deref(), Some(reference.as_str()));
    assert!(charge.redirect_url.is_some());
    assert_eq!(setup.bank.inquire(&charge.id).await.unwrap(), charge);
    let found = setup.bank.find_by_reference(&reference).await.unwrap();
    assert_eq!(found, Some(charge));
}

#[tokio::test]
async fn a_charge_without_three_d_secure_is_decided_at_once() {
    let setup = Setup::new().await;
    for (card, state) in [
        (NO_THREE_DS, TransactionState::Authorized),
        (NO_THREE_DS_DECLINED, TransactionState::Declined),
    ] {
        let token = setup.token(card).await;
        let charge = setup.charge(&token, &reference()).await.unwrap();
        assert_eq!(charge.state, state);
        assert_eq!(charge.redirect_url, None);
    }
}

#[tokio::test]
async fn a_used_token_is_a_definite_refusal_and_makes_no_charge() {
    let setup = Setup::new().await;
    let token = setup.token(THREE_DS).await;
    setup.charge(&token, &reference()).await.unwrap();
    let error = setup.charge(&token, &reference()).await.unwrap_err();
    assert!(
        matches!(&error, BankError::Refused { code, .. } if code == "token_used"),
        "{error:?}"
    );
    assert_eq!(setup.charges().await, 1);
}

#[tokio::test]
async fn a_lost_answer_is_no_refusal_and_the_charge_is_found_by_its_reference() {
    let setup = Setup::new().await;
    setup.fault("create_charge", "lost_answer").await;
    let token = setup.token(THREE_DS).await;
    let reference = reference();
    let error = setup
        .charge_within(Duration::from_millis(500), &token, &reference)
        .await;
    assert!(matches!(error, Err(BankError::Unavailable(_))), "{error:?}");
    let found = setup.bank.find_by_reference(&reference).await.unwrap();
    assert_eq!(found.unwrap().state, TransactionState::PreAuthorized);
    assert_eq!(setup.charges().await, 1);
}

#[tokio::test]
async fn an_error_of_the_bank_leaves_open_whether_it_charged() {
    let setup = Setup::new().await;
    setup.fault("create_charge", "error").await;
    let token = setup.token(THREE_DS).await;
    let reference = reference();
    let error = setup.charge(&token, &reference).await.unwrap_err();
    assert!(matches!(error, BankError::Unavailable(_)), "{error:?}");
    assert_eq!(
        setup.bank.find_by_reference(&reference).await.unwrap(),
        None
    );
}

#[tokio::test]
async fn an_unknown_charge_is_a_refusal_with_404() {
    let setup = Setup::new().await;
    let id = ChargeId::new("chrg_test_nobody/../../x?y#z").unwrap();
    let error = setup.bank.inquire(&id).await.unwrap_err();
    assert!(
        matches!(error, BankError::Refused { status: 404, .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_refused_key_charges_nobody_and_does_not_flood_the_secret_store() {
    let setup = Setup::with_key("skey_test_wrong").await;
    let token = setup.token(NO_THREE_DS).await;
    for _ in 0..20 {
        let error = setup.charge(&token, &reference()).await.unwrap_err();
        assert!(matches!(error, BankError::NotTaken(_)), "{error:?}");
    }
    // Once to begin with, and each of the first five refusals looks for a new key.
    assert_eq!(setup.secret_fetches.load(Ordering::SeqCst), 6);
    assert_eq!(setup.charges().await, 0);
}

#[tokio::test]
async fn a_key_that_cannot_be_fetched_charges_nobody() {
    let gateway = Gateway::new(SecretSource::new(|| async { Err("down".to_owned()) }));
    let bank = Bank::new(gateway, Duration::from_secs(2)).unwrap();
    let error = charge_somebody(&bank).await.unwrap_err();
    assert!(matches!(error, BankError::NotTaken(_)), "{error:?}");
}

#[tokio::test]
async fn a_bank_that_cannot_be_connected_to_charges_nobody() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = charge_somebody(&client_of(&url)).await.unwrap_err();
    assert!(matches!(error, BankError::NotTaken(_)), "{error:?}");
    assert!(error.to_string().contains("no connection"), "{error}");
    assert!(!error.to_string().contains("127.0.0.1"), "{error}");
}

#[tokio::test]
async fn a_bank_that_speaks_no_tls_charges_nobody() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let _ = connection
                .unwrap()
                .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    let error = charge_somebody(&client_of(&url)).await.unwrap_err();
    assert!(matches!(error, BankError::NotTaken(_)), "{error:?}");
}

#[tokio::test]
async fn a_bank_that_never_takes_the_connection_charges_nobody() {
    // A full backlog: the kernel answers no further connection.
    let listener = tokio::net::TcpSocket::new_v4().unwrap();
    listener.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = listener.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut waiting = Vec::new();
    while let Ok(Ok(stream)) = tokio::time::timeout(
        Duration::from_millis(300),
        tokio::net::TcpStream::connect(address),
    )
    .await
    {
        waiting.push(stream);
    }
    let error = charge_somebody(&client_of(&format!("http://{address}")))
        .await
        .unwrap_err();
    assert!(matches!(error, BankError::NotTaken(_)), "{error:?}");
}

#[tokio::test]
async fn a_kept_connection_that_breaks_after_the_request_leaves_open_whether_it_charged() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let requests = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&requests);
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            // The first request of a connection is answered; at the second it breaks.
            read_request(&connection);
            counted.fetch_add(1, Ordering::SeqCst);
            connection
                .write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\n{}")
                .unwrap();
            read_request(&connection);
            counted.fetch_add(1, Ordering::SeqCst);
        }
    });
    let bank = client_of(&url);
    let first = bank.inquire(&ChargeId::new("c").unwrap()).await;
    assert!(matches!(first, Err(BankError::Unavailable(_))), "{first:?}");
    let error = charge_somebody(&bank).await.unwrap_err();
    assert!(matches!(error, BankError::Unavailable(_)), "{error:?}");
    // And nobody sent it once more.
    assert_eq!(requests.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_client_on_new_connections_leaves_no_charge_to_a_connection_that_was_kept() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    std::thread::spawn(move || {
        // Each answers one request, and then takes the next without a word.
        for connection in listener.incoming() {
            counted.fetch_add(1, Ordering::SeqCst);
            std::thread::spawn(move || {
                let mut connection = connection.unwrap();
                read_request(&connection);
                connection
                    .write_all(b"HTTP/1.1 429 Too Many Requests\r\ncontent-length: 2\r\n\r\n{}")
                    .unwrap();
                let _ = connection.read(&mut [0; 1]);
            });
        }
    });
    let bank = client_of(&url).on_new_connections().unwrap();
    for _ in 0..2 {
        let error = charge_somebody(&bank).await.unwrap_err();
        assert!(matches!(error, BankError::NotTaken(_)), "{error:?}");
    }
    assert_eq!(connections.load(Ordering::SeqCst), 2);
}

/// A client of whatever is at this address.
fn client_of(url: &str) -> Bank {
    let secret = json!({"url": url, "b2c": format!("pkey_test_x:{SECRET_KEY}")}).to_string();
    let gateway = Gateway::new(SecretSource::new(move || {
        let secret = secret.clone();
        async move { Ok(secret.into()) }
    }));
    Bank::new(gateway, Duration::from_secs(5)).unwrap()
}

/// Has a made-up token charged.
async fn charge_somebody(bank: &Bank) -> Result<Charge, BankError> {
    bank.create_charge(&NewCharge {
        amount: Satang::new(150_050).unwrap(),
        token: &CardToken::new("tokn_test_obviously_fake").unwrap(),
        reference_order: &reference(),
        order_id: &OrderId::new("482500007436").unwrap(),
        mid: &MerchantId::new("401012234152001").unwrap(),
    })
    .await
}

#[tokio::test]
async fn the_first_card_makes_the_customer_and_the_second_joins_it_once() {
    let setup = Setup::new().await;
    let first = setup.token(NO_THREE_DS).await;
    setup.charge(&first, &reference()).await.unwrap();
    let customer = setup
        .bank
        .create_customer(&first, Some("shopper@example.com"))
        .await
        .unwrap();
    let second = setup.token(NO_THREE_DS).await;
    setup.charge(&second, &reference()).await.unwrap();
    for _ in 0..2 {
        let saved = setup.bank.add_card(&customer, &second).await.unwrap();
        assert!(matches!(saved, CardSaved::Added | CardSaved::AlreadyThere));
    }
    let held: Value = setup
        .http
        .get(format!("{}/sandbox/customers/{customer}", setup.url))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(held["cards"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn the_card_of_a_declined_charge_is_refused_for_good() {
    let setup = Setup::new().await;
    let token = setup.token(NO_THREE_DS_DECLINED).await;
    setup.charge(&token, &reference()).await.unwrap();
    let error = setup.bank.create_customer(&token, None).await.unwrap_err();
    assert!(matches!(error, BankError::Refused { .. }), "{error:?}");
}

impl Setup {
    async fn charge_within(
        &self,
        timeout: Duration,
        token: &CardToken,
        reference: &ReferenceOrder,
    ) -> Result<Charge, BankError> {
        let hasty = Setup {
            url: self.url.clone(),
            bank: self.bank.within(timeout),
            http: self.http.clone(),
            secret_fetches: Arc::clone(&self.secret_fetches),
        };
        hasty.charge(token, reference).await
    }
}

/// A client of something on the way to the bank that answers every request with 200 and this body.
fn answered_with(body: &'static str) -> Bank {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            read_request(&connection);
            let length = body.len();
            write!(
                connection,
                "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
            )
            .unwrap();
        }
    });
    client_of(&url)
}

fn read_request(connection: &std::net::TcpStream) {
    let mut reader = BufReader::new(connection);
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    reader.read_exact(&mut vec![0; length]).unwrap();
}

#[tokio::test]
async fn a_reversal_is_believed_only_when_the_bank_says_so() {
    let id = ChargeId::new("chrg_test_1").unwrap();
    let amount = Satang::new(150_050).unwrap();
    let token = CardToken::new("tokn_test_obviously_fake").unwrap();
    let customer = CustomerId::new("cust_test_1").unwrap();
    // A login page, a broken answer, an answer that says nothing.
    for body in ["<html>please log in</html>", r#"{"object":"error","#, ""] {
        let bank = answered_with(body);
        let unavailable = |error| matches!(error, BankError::Unavailable(_));
        assert!(bank.void(&id).await.is_err_and(unavailable), "{body}");
        assert!(
            bank.refund(&id, amount).await.is_err_and(unavailable),
            "{body}"
        );
        assert!(
            bank.add_card(&customer, &token)
                .await
                .is_err_and(unavailable),
            "{body}"
        );
    }
    // Another charge's answer, and one that is not voided.
    for body in [
        r#"{"id":"chrg_test_2","object":"charge","amount":1,"currency":"THB","transaction_state":"Voided"}"#,
        r#"{"id":"chrg_test_1","object":"charge","amount":1,"currency":"THB","transaction_state":"Authorized"}"#,
    ] {
        let error = answered_with(body).void(&id).await.unwrap_err();
        assert!(matches!(error, BankError::Unavailable(_)), "{body}");
    }
}

#[tokio::test]
async fn a_reversal_goes_on_with_what_the_charge_has_become_meanwhile() {
    let setup = Setup::new().await;
    let token = setup.token(NO_THREE_DS).await;
    let reference = reference();
    let seen = setup.charge(&token, &reference).await.unwrap();
    assert_eq!(seen.state, TransactionState::Authorized);
    let payment = Payment {
        record_key: token.record_key(),
        charge_id: seen.id.clone(),
        order_id: OrderId::new("482500007436").unwrap(),
        owner_id: OwnerId::new("usr_123").unwrap(),
        amount_satang: seen.amount,
        currency: "THB".into(),
        reference_order: Some(reference),
        purpose: Purpose::Order,
        origin: Origin::Own,
        save_card: false,
        attempt: 0,
        look_again_at: 0,
        open_since: 0,
    };
    let settle = format!("/sandbox/charges/{}/settle", seen.id);
    setup.post(&settle, json!({})).await;

    // The void is refused, and the refund is not.
    let refunded = give_back(&setup.bank, &payment, &seen).await.unwrap();
    assert_eq!(refunded.reversal, Reversal::Refunded);
    assert!(refunded.refund_id.is_some());
    // Whoever saw it settled before finds the money returned, and returns it no second time.
    let settled = Charge {
        state: TransactionState::Settled,
        ..seen.clone()
    };
    for before in [&seen, &settled] {
        let again = give_back(&setup.bank, &payment, before).await.unwrap();
        assert_eq!(again.reversal, Reversal::Refunded);
        assert_eq!(again.refund_id, None);
    }
}
