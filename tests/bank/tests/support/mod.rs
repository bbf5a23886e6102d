//! A bank on a loopback port, a clock to turn, and a merchant's server that collects notifications.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use payment3_bank::{Bank, BankConfig, OTP, SECRET_KEY};
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Sandbox cards, by what they do.
pub(crate) const THREE_DS_APPROVED: &str = "4417706600005830";
pub(crate) const THREE_DS_DECLINED: &str = "5149504001969007";
pub(crate) const APPROVED: &str = "4024007134786226";
pub(crate) const DECLINED: &str = "4877300371267473";

/// The bank's clock starts here: 2026-11-22 11:59:59.042 UTC.
const START: Duration = Duration::from_millis(1_795_348_799_042);

/// A running bank.
pub(crate) struct TestBank {
    pub(crate) url: String,
    pub(crate) client: Client,
    clock: Arc<AtomicU64>,
    stop: Option<oneshot::Sender<()>>,
    server: Option<JoinHandle<std::io::Result<()>>>,
}

/// An answer: its status and its text, and the text as JSON.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {}", self.text))
    }

    /// The object of a request that must have succeeded.
    pub(crate) fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.text);
        self.json()
    }

    /// The code of an error object.
    pub(crate) fn error(&self) -> (u16, String) {
        let object = self.json();
        assert_eq!(object["object"], "error", "{}", self.text);
        assert!(
            object["message"].as_str().is_some_and(|m| !m.is_empty()),
            "{}",
            self.text
        );
        (
            self.status.as_u16(),
            object["code"].as_str().unwrap().to_owned(),
        )
    }
}

impl TestBank {
    pub(crate) async fn start() -> Self {
        Self::run(Bank::new, None).await
    }

    pub(crate) async fn open(file: &PathBuf) -> Self {
        Self::run(|config| Bank::open(config, file).unwrap(), None).await
    }

    /// A bank whose `redirect_url` starts with `base_url`.
    pub(crate) async fn at(base_url: &str) -> Self {
        Self::run(Bank::new, Some(base_url.to_owned())).await
    }

    async fn run(make: impl FnOnce(BankConfig) -> Bank, base_url: Option<String>) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let clock = Arc::new(AtomicU64::new(0));
        let offset = clock.clone();
        let config = BankConfig {
            base_url,
            clock: Arc::new(move || {
                SystemTime::UNIX_EPOCH
                    + START
                    + Duration::from_millis(offset.load(Ordering::SeqCst))
            }),
            notification_timeout: Duration::from_secs(5),
            ..BankConfig::default()
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel();
        let server = tokio::spawn(make(config).serve(listener, async {
            let _ = stopped.await;
        }));
        Self {
            url,
            // Everything is on the loopback, without TLS: reading the root certificates would only take time.
            client: Client::builder()
                .no_proxy()
                .tls_certs_only([])
                .build()
                .unwrap(),
            clock,
            stop: Some(stop),
            server: Some(server),
        }
    }

    /// Stops the bank and waits until it has.
    pub(crate) async fn stop(&mut self) {
        let _ = self.stop.take().unwrap().send(());
        self.server.take().unwrap().await.unwrap().unwrap();
    }

    pub(crate) fn pass(&self, time: Duration) {
        self.clock
            .fetch_add(time.as_millis() as u64, Ordering::SeqCst);
    }

    /// Any request with a JSON text and headers.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<String>,
    ) -> reqwest::Result<Answer> {
        let mut request = self.client.request(method, format!("{}{path}", self.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.body(body);
        }
        let response = request.send().await?;
        Ok(Answer {
            status: response.status(),
            text: response.text().await?,
        })
    }

    /// A call of the gateway API, as a merchant's server makes it; an error is a call without an answer.
    pub(crate) async fn try_api(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> reqwest::Result<Answer> {
        let headers = [
            ("x-api-key", SECRET_KEY),
            ("content-type", "application/json"),
        ];
        self.send(method, path, &headers, body.map(|b| b.to_string()))
            .await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.try_api(Method::POST, path, Some(body)).await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.try_api(Method::GET, path, None).await.unwrap()
    }

    pub(crate) async fn sandbox(&self, method: Method, path: &str, body: Value) -> Answer {
        let path = format!("/sandbox{path}");
        self.send(method, &path, &[], Some(body.to_string()))
            .await
            .unwrap()
    }

    pub(crate) async fn token(&self, card: &str) -> String {
        self.token_in(card, "usual").await
    }

    /// A token of whose charge the bank speaks in this dialect.
    pub(crate) async fn token_in(&self, card: &str, dialect: &str) -> String {
        let wish = json!({"cardNumber": card, "dialect": dialect});
        let answer = self.sandbox(Method::POST, "/tokens", wish).await;
        answer.ok()["token"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn merchant(&self, callback: Option<&str>, notify: Option<&str>) {
        let urls = json!({"callbackUrl": callback, "notifyUrl": notify});
        self.sandbox(Method::PUT, "/merchant", urls).await.ok();
    }

    pub(crate) async fn fault(&self, operation: &str, kind: &str, delay_ms: u64) {
        let fault = json!({"operation": operation, "kind": kind, "delayMs": delay_ms});
        self.sandbox(Method::POST, "/faults", fault).await.ok();
    }

    /// Charges a new token of `card`: the token and the charge.
    pub(crate) async fn charge(&self, card: &str) -> (String, Value) {
        let token = self.token(card).await;
        let charge = self.post("/card/v2/charge", order(&token)).await.ok();
        (token, charge)
    }

    /// Charges `card` and confirms with the right password where there is 3-D Secure: the token and the charge's id.
    pub(crate) async fn pay(&self, card: &str) -> (String, String) {
        let (token, charge) = self.charge(card).await;
        let id = charge["id"].as_str().unwrap().to_owned();
        if charge["transaction_state"] == "Pre-Authorized" {
            self.shopper(&id, "approve", OTP).await.ok();
        }
        (token, id)
    }

    /// Sends the 3-D Secure form as a program does.
    pub(crate) async fn shopper(&self, charge: &str, action: &str, otp: &str) -> Answer {
        let headers = [
            ("accept", "application/json"),
            ("content-type", "application/x-www-form-urlencoded"),
        ];
        let form = format!("otp={otp}&action={action}");
        let path = format!("/3ds/{charge}");
        self.send(Method::POST, &path, &headers, Some(form))
            .await
            .unwrap()
    }

    pub(crate) async fn state(&self, charge: &str) -> String {
        let charge = self.get(&format!("/card/v2/charge/{charge}")).await.ok();
        charge["transaction_state"].as_str().unwrap().to_owned()
    }

    /// The notifications of a charge, once there are `count` of them with an answer or an error.
    pub(crate) async fn notifications(&self, charge: &str, count: usize) -> Vec<Value> {
        for _ in 0..500 {
            let record = self.get(&format!("/sandbox/charges/{charge}")).await.ok();
            let sent = record["notifications"].as_array().unwrap().clone();
            let done = |n: &&Value| !n["answer"].is_null() || !n["error"].is_null();
            if sent.iter().filter(done).count() >= count {
                return sent;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the charge has no {count} notifications");
    }
}

/// The request of a charge that is in order.
pub(crate) fn order(token: &str) -> Value {
    json!({
        "amount": 1250, "currency": "THB", "description": "Order 482500007436", "source_type": "card",
        "mode": "token", "token": token, "reference_order": "482500007436-1", "ref_1": "482500007436",
        "ref_2": "usr_123", "additional_data": {"mid": "401000000000001"}
    })
}

/// A merchant's server, which answers every notification with one status.
pub(crate) struct Merchant {
    pub(crate) url: String,
    received: Arc<Mutex<Vec<String>>>,
}

impl Merchant {
    pub(crate) async fn start(status: u16) -> Self {
        let received = Arc::new(Mutex::new(Vec::new()));
        let app = Router::new()
            .route(
                "/notify",
                post(move |State(received): State<Arc<Mutex<Vec<String>>>>, body: String| async move {
                    received.lock().unwrap().push(body);
                    axum::http::StatusCode::from_u16(status).unwrap()
                }),
            )
            .with_state(received.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/notify", listener.local_addr().unwrap());
        tokio::spawn(async { axum::serve(listener, app).await });
        Self { url, received }
    }

    /// What arrived, as it came.
    #[allow(
        dead_code,
        reason = "not every test file sends something else than JSON"
    )]
    pub(crate) fn bodies(&self) -> Vec<String> {
        self.received.lock().unwrap().clone()
    }

    pub(crate) fn received(&self) -> Vec<Value> {
        let bodies = self.received.lock().unwrap();
        bodies
            .iter()
            .map(|body| serde_json::from_str(body).unwrap())
            .collect()
    }
}
