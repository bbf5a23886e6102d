//! Holds the bank client against the sandbox bank, over HTTP: what it understands, and above all what it concludes
//! when the answer is an error, late or lost.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http::Method;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use payment3_activities::activity::reverse_charge::{
    Proof, RefundNotes, ReverseError, Reversed, give_back, give_back_within,
};
use payment3_activities::bank::{
    Bank, BankError, CardSaved, Credentials, NewCharge, Refunded, SecretSource,
};
use payment3_activities::clock::Clock;
use payment3_activities::domain::charge::{Charge, Outcome, TransactionState, Verdict};
use payment3_activities::domain::ids::{
    CardToken, ChargeId, CustomerId, MerchantId, OrderId, OwnerId, ReferenceOrder,
};
use payment3_activities::domain::money::Satang;
use payment3_activities::domain::payment::{Origin, Payment, Purpose};
use payment3_activities::domain::refund::Way;
use payment3_activities::http_client::{Request, Sender};
use payment3_activities::random::Random;
use payment3_activities::tables::TableError;
use payment3_bank::{Bank as Sandbox, BankConfig, Dialect, SECRET_KEY};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// What the bank is told beside a void or a refund.
const REASON: &str = "2 items missing";
const THREE_DS: &str = "4417706600005830";
const NO_THREE_DS: &str = "4024007134786226";
const NO_THREE_DS_DECLINED: &str = "4877300371267473";

/// How long a call may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The sandbox bank on a port of its own, and a client that talks to it.
struct Setup {
    url: String,
    bank: Bank,
    sender: Sender,
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
        let credentials = Credentials::new(
            SecretSource::new(move || {
                counted.fetch_add(1, Ordering::SeqCst);
                let secret = secret.clone();
                async move { Ok(secret.into()) }
            }),
            Clock::system(),
        );
        let sender = sender();
        Self {
            bank: Bank::new(credentials, sender.clone(), TIMEOUT),
            sender,
            url,
            secret_fetches,
        }
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        self.call(Method::POST, path, body.to_string()).await
    }

    async fn get(&self, path: &str) -> Value {
        self.call(Method::GET, path, String::new()).await
    }

    async fn call(&self, method: Method, path: &str, body: String) -> Value {
        let json = HeaderValue::from_static("application/json");
        let request = Request {
            method,
            url: format!("{}{path}", self.url).parse().unwrap(),
            headers: HeaderMap::from_iter([(CONTENT_TYPE, json)]),
            body: body.into_bytes(),
            timeout: TIMEOUT,
            answer_limit: 1024 * 1024,
        };
        let answer = self.sender.send(request).await.unwrap();
        assert!(answer.status().is_success(), "{path}: {answer:?}");
        serde_json::from_slice(answer.body()).unwrap()
    }

    async fn token(&self, card: &str) -> CardToken {
        self.token_in(card, Dialect::Usual).await
    }

    /// A token of whose charge the bank speaks in this dialect.
    async fn token_in(&self, card: &str, dialect: Dialect) -> CardToken {
        let wish = json!({"cardNumber": card, "dialect": dialect.name()});
        let answer = self.post("/sandbox/tokens", wish).await;
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
        let list = self.get("/sandbox/charges").await;
        list.as_array().unwrap().len()
    }
}

fn sender() -> Sender {
    Sender::keeping_connections(TIMEOUT).unwrap()
}

fn reference() -> ReferenceOrder {
    ReferenceOrder::random(&Random::system()).unwrap()
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
    let credentials = Credentials::new(
        SecretSource::new(|| async { Err("down".to_owned()) }),
        Clock::system(),
    );
    let bank = Bank::new(credentials, sender(), Duration::from_secs(2));
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
    let bank = client_by(Sender::on_new_connections(TIMEOUT).unwrap(), &url);
    for _ in 0..2 {
        let error = charge_somebody(&bank).await.unwrap_err();
        assert!(matches!(error, BankError::NotTaken(_)), "{error:?}");
    }
    assert_eq!(connections.load(Ordering::SeqCst), 2);
}

/// A client of whatever is at this address.
fn client_of(url: &str) -> Bank {
    client_by(sender(), url)
}

fn client_by(sender: Sender, url: &str) -> Bank {
    let secret = json!({"url": url, "b2c": format!("pkey_test_x:{SECRET_KEY}")}).to_string();
    let credentials = Credentials::new(
        SecretSource::new(move || {
            let secret = secret.clone();
            async move { Ok(secret.into()) }
        }),
        Clock::system(),
    );
    Bank::new(credentials, sender, TIMEOUT)
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
    let held = setup.get(&format!("/sandbox/customers/{customer}")).await;
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
            sender: self.sender.clone(),
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
        assert!(
            bank.void(&id, REASON).await.is_err_and(unavailable),
            "{body}"
        );
        assert!(
            bank.refund(&id, amount, REASON)
                .await
                .is_err_and(unavailable),
            "{body}"
        );
        assert!(
            bank.add_card(&customer, &token)
                .await
                .is_err_and(unavailable),
            "{body}"
        );
    }
    // An empty object, another charge's answer, and one that is neither voided nor refunded.
    for body in [
        "{}",
        r#"{"id":"chrg_test_2","object":"charge","amount":1,"currency":"THB","transaction_state":"Voided"}"#,
        r#"{"id":"chrg_test_2","object":"charge","amount":1,"currency":"THB","transaction_state":"Refund Sent"}"#,
        r#"{"id":"chrg_test_1","object":"charge","amount":1,"currency":"THB","transaction_state":"Authorized"}"#,
    ] {
        let bank = answered_with(body);
        assert!(!bank.void(&id, REASON).await.unwrap(), "{body}");
        let refunded = bank.refund(&id, amount, REASON).await.unwrap();
        assert!(!matches!(refunded, Refunded::Accepted(_)), "{body}");
    }
    // A refusal in the form of an ordinary object.
    let body =
        r#"{"id":"chrg_test_1","object":"charge","transaction_state":"Settled","status":"fail"}"#;
    let bank = answered_with(body);
    let refused = |error| matches!(error, BankError::Refused { status: 200, .. });
    assert!(bank.void(&id, REASON).await.is_err_and(refused));
    assert!(bank.refund(&id, amount, REASON).await.is_err_and(refused));
}

/// The notes of the requests for a refund, as the record keeps them.
#[derive(Default)]
struct Notes(Mutex<BTreeSet<String>>);

impl Notes {
    fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    fn with(mark: &str) -> Self {
        Self(Mutex::new(BTreeSet::from([mark.to_owned()])))
    }

    fn marks(&self) -> Vec<String> {
        self.0.lock().unwrap().iter().cloned().collect()
    }
}

impl RefundNotes for Notes {
    async fn note(&self, _: &Payment, mark: &str) -> Result<bool, TableError> {
        Ok(self.0.lock().unwrap().insert(mark.to_owned()))
    }

    async fn forget(&self, _: &Payment, mark: &str) -> Result<(), TableError> {
        self.0.lock().unwrap().remove(mark);
        Ok(())
    }
}

/// A bank whose charge says `Settled` whenever it is asked for, and which answers every other request as told; `None`
/// is no answer. How many of those there were.
fn settled_for_good(answer: Option<(u16, &'static str)>) -> (Bank, Arc<AtomicUsize>) {
    const CHARGE: &str = r#"{"id":"chrg_test_1","object":"charge","amount":1500.50,"currency":"THB",
        "transaction_state":"Settled","status":"success"}"#;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let requests = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&requests);
    std::thread::spawn(move || {
        let mut silent = Vec::new();
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let mut method = [0; 4];
            connection.read_exact(&mut method).unwrap();
            read_request(&connection);
            let is_question = &method == b"GET ";
            counted.fetch_add(usize::from(!is_question), Ordering::SeqCst);
            let answer = if is_question {
                Some((200, CHARGE))
            } else {
                answer
            };
            let Some((status, body)) = answer else {
                silent.push(connection);
                continue;
            };
            let length = body.len();
            write!(
                connection,
                "HTTP/1.1 {status} Told\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
            )
            .unwrap();
        }
    });
    (client_of(&url), requests)
}

const REFUSED: &str = r#"{"object":"error","code":"refund_in_progress","message":"text"}"#;
const EARLIER: &str = "2026-11-29T04:00:00.000000000Z";

/// The payment of that charge.
fn settled_payment() -> Payment {
    let token = CardToken::new("tokn_test_obviously_fake").unwrap();
    Payment {
        record_key: token.record_key(),
        charge_id: ChargeId::new("chrg_test_1").unwrap(),
        order_id: OrderId::new("482500007436").unwrap(),
        owner_id: OwnerId::new("usr_123").unwrap(),
        amount_satang: Satang::new(150_050).unwrap(),
        currency: "THB".into(),
        reference_order: None,
        purpose: Purpose::Order,
        origin: Origin::Own,
        save_card: false,
        attempt: 0,
        look_again_at: 0,
        open_since: 0,
        unknown_since: None,
    }
}

async fn given_back(bank: &Bank, notes: &Notes) -> Result<(Reversed, Proof), ReverseError> {
    let enough = Duration::from_secs(30);
    give_back_within(enough, bank, notes, &settled_payment()).await
}

#[tokio::test]
async fn a_refused_refund_takes_back_its_own_note_and_leaves_that_of_a_request_on_its_way() {
    let (bank, requests) = settled_for_good(Some((400, REFUSED)));
    let notes = Notes::with(EARLIER);
    let refused = given_back(&bank, &notes).await.unwrap_err();
    assert!(
        matches!(refused, ReverseError::NotReversibleYet(_)),
        "{refused}"
    );
    assert_eq!(requests.load(Ordering::SeqCst), 2);
    assert_eq!(notes.marks(), [EARLIER]);
}

#[tokio::test]
async fn after_an_answer_that_proves_nothing_no_second_refund_is_requested_at_once() {
    let (bank, requests) = settled_for_good(Some((200, "{}")));
    let notes = Notes::default();
    let unproven = given_back(&bank, &notes).await.unwrap_err();
    assert!(
        matches!(unproven, ReverseError::BankUnavailable(_)),
        "{unproven}"
    );
    assert_eq!(requests.load(Ordering::SeqCst), 1);
    assert_eq!(notes.count(), 1);
}

#[tokio::test]
async fn a_refund_that_the_bank_did_not_take_leaves_no_note_of_its_own() {
    for status in [401, 403, 429] {
        let (bank, requests) = settled_for_good(Some((status, "{}")));
        let notes = Notes::with(EARLIER);
        let not_taken = given_back(&bank, &notes).await.unwrap_err();
        assert!(
            matches!(not_taken, ReverseError::BankUnavailable(_)),
            "{not_taken}"
        );
        assert_eq!(requests.load(Ordering::SeqCst), 1, "{status}");
        assert_eq!(notes.marks(), [EARLIER], "{status}");
    }
}

#[tokio::test]
async fn a_bank_that_is_too_slow_ends_the_reversal_in_time_and_keeps_the_note() {
    let (bank, _) = settled_for_good(None);
    let notes = Notes::default();
    let limit = Duration::from_millis(500);
    let begun = Instant::now();
    let slow = give_back_within(limit, &bank, &notes, &settled_payment()).await;
    // The call itself might take five seconds.
    assert!(begun.elapsed() < Duration::from_secs(4), "{slow:?}");
    assert!(
        matches!(slow, Err(ReverseError::BankUnavailable(_))),
        "{slow:?}"
    );
    assert_eq!(notes.count(), 1);
}

/// A payment of a card that is approved at once, and its charge.
async fn authorised(setup: &Setup, token: CardToken) -> (Payment, Charge) {
    let (payment, seen) = charged(setup, token).await;
    assert_eq!(seen.state, TransactionState::Authorized);
    (payment, seen)
}

/// A payment and its charge.
async fn charged(setup: &Setup, token: CardToken) -> (Payment, Charge) {
    let reference = reference();
    let seen = setup.charge(&token, &reference).await.unwrap();
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
        unknown_since: None,
    };
    (payment, seen)
}

async fn settled(setup: &Setup, seen: &Charge) -> Charge {
    let settle = format!("/sandbox/charges/{}/settle", seen.id);
    setup.post(&settle, json!({})).await;
    Charge {
        state: TransactionState::Settled,
        ..seen.clone()
    }
}

#[tokio::test]
async fn a_reversal_goes_on_with_what_the_charge_has_become_meanwhile() {
    let setup = Setup::new().await;
    let token = setup.token(NO_THREE_DS).await;
    let (payment, seen) = authorised(&setup, token).await;
    let settled = settled(&setup, &seen).await;
    let notes = Notes::default();

    // The void is refused, and the refund is not.
    let (refunded, proof) = give_back(&setup.bank, &notes, &payment, &seen)
        .await
        .unwrap();
    assert_eq!((refunded.reversal, proof), (Way::Refunded, Proof::Answer));
    assert!(refunded.refund_id.is_some());
    assert_eq!(notes.count(), 1);
    // Whoever saw it settled before finds the money returned, and returns it no second time: its own request is
    // refused, and the note of the first one stands.
    for before in [&seen, &settled] {
        let (again, proof) = give_back(&setup.bank, &notes, &payment, before)
            .await
            .unwrap();
        assert_eq!((again.reversal, proof), (Way::Refunded, Proof::Inquiry));
        assert_eq!(again.refund_id, None);
        assert_eq!(notes.count(), 1);
    }
}

#[tokio::test]
async fn a_part_that_was_given_back_by_hand_is_no_refund_of_ours() {
    let setup = Setup::new().await;
    let token = setup.token(NO_THREE_DS).await;
    let (payment, seen) = authorised(&setup, token).await;
    let settled = settled(&setup, &seen).await;
    // Between our look and our request.
    let by_hand = setup
        .bank
        .refund(&seen.id, Satang::new(100).unwrap(), REASON)
        .await;
    assert!(matches!(by_hand, Ok(Refunded::Accepted(_))));
    let notes = Notes::default();
    let (found, proof) = give_back(&setup.bank, &notes, &payment, &settled)
        .await
        .unwrap();
    assert_eq!((found.reversal, proof), (Way::Refunded, Proof::Inquiry));
    // So it is recorded only where somebody asked for it, and nobody did.
    assert_eq!(notes.count(), 0);
}

#[tokio::test]
async fn the_note_of_a_refund_whose_answer_was_lost_stands() {
    let setup = Setup::new().await;
    let token = setup.token(NO_THREE_DS).await;
    let (payment, seen) = authorised(&setup, token).await;
    let settled = settled(&setup, &seen).await;
    setup.fault("refund", "lost_answer").await;
    let notes = Notes::default();
    let hasty = setup.bank.within(Duration::from_millis(500));
    let lost = give_back(&hasty, &notes, &payment, &settled).await;
    assert!(lost.is_err(), "{lost:?}");
    assert_eq!(notes.count(), 1);
    let now = setup.bank.inquire(&seen.id).await.unwrap();
    let (found, proof) = give_back(&setup.bank, &notes, &payment, &now)
        .await
        .unwrap();
    assert_eq!((found.reversal, proof), (Way::Refunded, Proof::Inquiry));
    assert_eq!(notes.count(), 1);
}

/// Keeps what is logged on this thread as long as the guard lives.
fn logged() -> (Arc<Mutex<Vec<u8>>>, tracing::subscriber::DefaultGuard) {
    #[derive(Clone)]
    struct Lines(Arc<Mutex<Vec<u8>>>);
    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let lines = Arc::new(Mutex::new(Vec::new()));
    let writer = Lines(Arc::clone(&lines));
    let collector = tracing_subscriber::fmt()
        .json()
        .with_writer(move || writer.clone())
        .finish();
    (lines, tracing::subscriber::set_default(collector))
}

#[tokio::test]
async fn a_state_that_nobody_knows_is_told_while_the_money_goes_back_too() {
    let setup = Setup::new().await;
    for (dialect, told) in [
        (Dialect::UnknownState, true),
        (Dialect::FailWithAuthorized, true),
        (Dialect::Usual, false),
    ] {
        let token = setup.token_in(NO_THREE_DS, dialect).await;
        let (payment, _) = charged(&setup, token).await;
        let (lines, guard) = logged();
        let limit = Duration::from_secs(30);
        let back = give_back_within(limit, &setup.bank, &Notes::default(), &payment).await;
        drop(guard);
        assert_eq!(back.is_err(), dialect == Dialect::UnknownState, "{back:?}");
        let lines = String::from_utf8(lines.lock().unwrap().clone()).unwrap();
        assert_eq!(lines.contains(r#""error":"UnknownState""#), told, "{lines}");
    }
}

/// What the bank says of a charge, asked as often as the state machine asks: copies lag behind, and outages pass.
async fn inquired(setup: &Setup, payment: &Payment) -> Charge {
    for _ in 0..4 {
        if let Ok(charge) = setup.bank.inquire(&payment.charge_id).await {
            return charge;
        }
    }
    panic!("the bank does not come back");
}

#[tokio::test]
async fn in_every_dialect_a_charge_is_judged_as_it_is_or_not_at_all() {
    use Outcome::{Declined, Paid};
    use Verdict::{Decided, Pending, Unknown};
    let setup = Setup::new().await;
    for &dialect in Dialect::ALL {
        let approved = match dialect {
            Dialect::MisspeltAuthorized | Dialect::UnknownState | Dialect::FailWithAuthorized => {
                Unknown
            }
            _ => Decided(Paid),
        };
        let declined = match dialect {
            Dialect::FailWithPreAuthorized | Dialect::FailWithInitialized => Pending,
            _ => Decided(Declined),
        };
        for (card, verdict, needs_page) in [
            (NO_THREE_DS, approved, false),
            (NO_THREE_DS_DECLINED, declined, false),
            (THREE_DS, Pending, true),
        ] {
            let token = setup.token_in(card, dialect).await;
            let (payment, created) = charged(&setup, token).await;
            let later = inquired(&setup, &payment).await;
            for charge in [&created, &later] {
                let judged = charge.judge(&payment.expected(false));
                assert_eq!(judged, Ok(verdict), "{dialect} {card}");
                assert_eq!(charge.redirect_url.is_some(), needs_page, "{dialect}");
            }
        }
    }
}

#[tokio::test]
async fn in_every_dialect_the_money_goes_back_once_or_waits_for_a_person() {
    let setup = Setup::new().await;
    for &dialect in Dialect::ALL {
        for settles in [false, true] {
            let token = setup.token_in(NO_THREE_DS, dialect).await;
            let (payment, _) = charged(&setup, token).await;
            if settles {
                let settle = format!("/sandbox/charges/{}/settle", payment.charge_id);
                setup.post(&settle, json!({})).await;
            }
            let notes = Notes::default();
            let mut back = None;
            // A page in an outage has the state machine try again.
            for _ in 0..3 {
                let seen = inquired(&setup, &payment).await;
                let given = give_back(&setup.bank, &notes, &payment, &seen).await;
                back = given.ok().map(|(reversed, _)| reversed.reversal);
                if back.is_some() {
                    break;
                }
            }
            let (expected, state, refunds) = match (dialect, settles) {
                (Dialect::UnknownState, true) => (None, "Settled", 0),
                (Dialect::UnknownState | Dialect::MisspeltAuthorized, false) => {
                    (None, "Authorized", 0)
                }
                (_, false) => (Some(Way::Voided), "Voided", 0),
                (_, true) => (Some(Way::Refunded), "Refund Sent", 1),
            };
            assert_eq!(back, expected, "{dialect}");
            let book = format!("/sandbox/charges/{}", payment.charge_id);
            let book = setup.get(&book).await;
            assert_eq!(book["transaction_state"], state, "{dialect}");
            assert_eq!(
                book["refunds"].as_array().unwrap().len(),
                refunds,
                "{dialect}"
            );
            // Whoever finds the refund later knows that it is ours.
            assert_eq!(notes.count() > 0, refunds > 0, "{dialect}");
        }
    }
}

#[tokio::test]
async fn a_refused_key_and_the_fresh_one_share_the_time_of_one_call() {
    // How long the refusal takes, how many requests are sent, and what comes of the charge.
    for (refused_after, sent, lost) in [(800, 2, true), (1500, 1, false)] {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&requests);
        std::thread::spawn(move || {
            let mut open = Vec::new();
            for connection in listener.incoming() {
                let mut connection = connection.unwrap();
                read_request(&connection);
                // The first key is refused; whoever comes with the second one waits.
                if counted.fetch_add(1, Ordering::SeqCst) == 0 {
                    std::thread::sleep(Duration::from_millis(refused_after));
                    let refusal = "HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
                    connection.write_all(refusal.as_bytes()).unwrap();
                }
                open.push(connection);
            }
        });
        let fetches = AtomicUsize::new(0);
        let credentials = Credentials::new(
            SecretSource::new(move || {
                let key = fetches.fetch_add(1, Ordering::SeqCst);
                let secret = json!({"url": url, "b2c": format!("pkey_test_x:skey_test_{key}")});
                async move { Ok(secret.to_string().into()) }
            }),
            Clock::system(),
        );
        let timeout = Duration::from_secs(2);
        let sender = Sender::keeping_connections(timeout).unwrap();
        let bank = Bank::new(credentials, sender, timeout);
        let begun = std::time::Instant::now();
        let asked = bank.inquire(&ChargeId::new("chrg_test_1").unwrap()).await;
        let took = begun.elapsed();
        let error = asked.unwrap_err();
        assert_eq!(requests.load(Ordering::SeqCst), sent, "{error:?}");
        assert_eq!(
            matches!(error, BankError::Unavailable(_)),
            lost,
            "{error:?}"
        );
        // A second call with a time of its own would end no sooner than this.
        let two_times = Duration::from_millis(refused_after) + timeout;
        assert!(took < two_times, "{took:?}");
    }
}
