//! The bank: the sandbox bank's own program, called without a socket, and what people do with it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use futures_util::future::BoxFuture;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{Method, Request, Response};
use jiff::Timestamp;
use payment3_bank::{Bank, BankConfig, CARDS, Dialect, InProcess, Manner, OTP};
use payment3_harness::http::FORM;
use payment3_harness::shopper::ReturnForm;
use serde_json::{Value, json};

use crate::random::Random;
use crate::time::Time;

/// What carries a request of the bank to the merchant's API. An error says why there is no answer.
pub(crate) type Merchant = Arc<
    dyn Fn(Request<Vec<u8>>) -> BoxFuture<'static, Result<Response<Vec<u8>>, String>> + Send + Sync,
>;

/// The addresses that bank and merchant have agreed on.
#[derive(Debug, Clone)]
pub(crate) struct Addresses {
    /// The bank's own, for browsers and the gateway API.
    pub(crate) bank: String,
    /// Where the browser returns to after 3-D Secure.
    pub(crate) callback: String,
    /// Where notifications go.
    pub(crate) notify: String,
}

/// The bank.
#[derive(Clone)]
pub(crate) struct SimBank {
    bank: InProcess,
    base: String,
    callback: String,
    time: Time,
    log: Arc<Mutex<Log>>,
}

/// Every request to the gateway API.
#[derive(Default)]
struct Log {
    requests: Vec<GatewayRequest>,
    /// Their places, by charge.
    of_charge: BTreeMap<String, Vec<usize>>,
}

/// A request to the gateway API. It had its effect, whether or not its answer arrived.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct GatewayRequest {
    /// When it came.
    pub(crate) at: Timestamp,
    pub(crate) operation: Operation,
    /// Its body; null if it has none or no JSON.
    pub(crate) body: Value,
    /// The status that the bank answered.
    pub(crate) status: u16,
    /// The charge that it made or named, by its id, its reference or its token.
    pub(crate) charge: Option<String>,
}

/// An operation of the gateway API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Operation {
    Charge,
    Inquire,
    Void,
    Refund,
    CreateCustomer,
    AddCard,
    /// Nothing that the bank serves.
    Unknown,
}

/// A card as a shopper types it in.
#[derive(Debug, Clone)]
pub(crate) struct NewToken<'a> {
    /// The token's id: `tokn_test_` and letters, digits, `_` and `-`. All other ids of the payment follow from it, so
    /// that they stay the same when another shopper is left out.
    pub(crate) id: &'a str,
    /// The number of a sandbox card; [`cards`] lists them.
    pub(crate) card: &'a str,
    /// How the bank speaks of the payment.
    pub(crate) dialect: Dialect,
    /// How long the issuer of a slow card takes; five seconds when absent.
    pub(crate) issuer_takes: Option<Duration>,
}

/// The numbers of the sandbox cards that behave like this.
pub(crate) fn cards(manner: Manner) -> Vec<&'static str> {
    let alike = CARDS.iter().filter(|card| card.manner == manner);
    alike.map(|card| card.number).collect()
}

/// What a shopper does at the bank's 3-D Secure page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Opens it, or loads it again.
    Open,
    /// Enters the right password; the card decides whether the issuer approves.
    Confirm,
    /// Enters a wrong password. The third one declines.
    Mistype,
    /// Cancels.
    Cancel,
    /// Leaves by the page's own button. Nothing is decided.
    Leave,
}

/// What the shopper's browser shows then.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Page {
    /// The form that asks for the password, for the first time or once more.
    Challenge,
    /// The form that the browser posts to the shop by itself.
    Returning(ReturnForm),
    /// The charge was decided before; the shopper may post this form to the shop.
    Decided(ReturnForm),
    /// The way back to the shop is lost.
    Lost,
    /// The shopper has left.
    Left,
    /// There is no such page.
    Refused(u16),
}

/// How the bank turns down what its API is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// With an error object and 400.
    Error,
    /// With the charge as it is, `fail` and 200.
    Fail,
}

/// The bank does not do what a person asks for: the charge is in another state, for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) status: u16,
    /// The code of the error object.
    pub(crate) code: String,
}

impl SimBank {
    /// A bank without charges. Everything random in it is drawn from `random`, and what it tells the merchant is handed
    /// to `merchant`.
    pub(crate) async fn new(
        time: Time,
        random: Random,
        addresses: &Addresses,
        merchant: Merchant,
    ) -> Self {
        let base = addresses.bank.trim_end_matches('/').to_owned();
        let clock = time.clone();
        let config = BankConfig {
            clock: Arc::new(move || SystemTime::from(clock.now())),
            random: Some(by_name(random)),
            merchant: Some(Arc::new(move |request| {
                let answer = merchant(request);
                Box::pin(async move { Ok(answer.await?.map(drop)) })
            })),
            ..BankConfig::default()
        };
        let bank = Self {
            bank: Bank::new(config).in_process(&base),
            base,
            callback: addresses.callback.clone(),
            time,
            log: Arc::default(),
        };
        bank.agree(addresses, false).await;
        bank
    }

    /// Bank and merchant agree on these addresses, and on whether notifications are sent by themselves or only where
    /// [`SimBank::notify`] sends one.
    pub(crate) async fn agree(&self, addresses: &Addresses, notifies_on_demand: bool) {
        let agreed = json!({
            "callbackUrl": addresses.callback,
            "notifyUrl": addresses.notify,
            "notifyOnDemand": notifies_on_demand,
        });
        self.control(Method::PUT, "merchant", &agreed)
            .await
            .expect("the addresses are URLs");
    }

    /// Serves one request: of the gateway API, of a browser, or of a control. One whose answer a planned fault
    /// withholds never returns.
    pub(crate) async fn call(&self, request: Request<Vec<u8>>) -> Response<Vec<u8>> {
        match self.answer(request).await {
            Some(answer) => answer,
            None => std::future::pending().await,
        }
    }

    /// As [`SimBank::call`]; `None` where a planned fault closes the connection without an answer.
    pub(crate) async fn answer(&self, request: Request<Vec<u8>>) -> Option<Response<Vec<u8>>> {
        let noted = Noted::of(&request);
        let at = self.time.now();
        let answer = self.bank.call(request).await.ok()?;
        if let Some(noted) = noted {
            self.note(at, noted, answer.status().as_u16());
        }
        Some(answer)
    }

    fn note(&self, at: Timestamp, noted: Noted, status: u16) {
        let by_token = || self.bank.charge_id_of_token(noted.body["token"].as_str()?);
        let charge = match &noted.charge {
            Some(id_or_reference) => self.bank.charge_id(id_or_reference),
            None => by_token(),
        };
        let mut log = self.log();
        let place = log.requests.len();
        if let Some(id) = &charge {
            log.of_charge.entry(id.clone()).or_default().push(place);
        }
        log.requests.push(GatewayRequest {
            at,
            operation: noted.operation,
            body: noted.body,
            status,
            charge,
        });
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A shopper types in a card. Returns the token, which is the one that was asked for.
    pub(crate) async fn token(&self, new: &NewToken<'_>) -> Result<String, Refused> {
        let millis = new
            .issuer_takes
            .map(|delay| u64::try_from(delay.as_millis()).unwrap_or(u64::MAX));
        let wish = json!({
            "token": new.id,
            "cardNumber": new.card,
            "dialect": new.dialect,
            "issuerDelayMs": millis,
        });
        self.control(Method::POST, "tokens", &wish).await?;
        Ok(new.id.to_owned())
    }

    /// The address of a charge's 3-D Secure page.
    pub(crate) fn page_of(&self, charge: &str) -> String {
        format!("{}/3ds/{charge}", self.base)
    }

    /// A shopper's browser does a step at the 3-D Secure page with this address.
    pub(crate) async fn three_ds(&self, page: &str, step: Step) -> Page {
        let answer = self.call(step.request(page)).await;
        Page::read(step, &answer)
    }

    /// The nightly batch settles every authorised charge. Returns their ids.
    pub(crate) async fn settle_all(&self, notify: bool) -> Vec<String> {
        let settled = self
            .control(Method::POST, "settle", &json!({ "notify": notify }))
            .await;
        let settled = settled.unwrap_or_default();
        let ids = settled["settled"].as_array().into_iter().flatten();
        ids.filter_map(|id| id.as_str().map(str::to_owned))
            .collect()
    }

    /// The issuer approves a declined charge after all.
    pub(crate) async fn approve(&self, charge: &str) -> Result<(), Refused> {
        self.by_hand(charge, "approve", &json!({ "notify": false }))
            .await
    }

    /// The bank settles one charge.
    pub(crate) async fn settle(&self, charge: &str, notify: bool) -> Result<(), Refused> {
        self.by_hand(charge, "settle", &json!({ "notify": notify }))
            .await
    }

    /// A person cancels a charge in the merchant's portal.
    pub(crate) async fn void(&self, charge: &str, notify: bool) -> Result<(), Refused> {
        self.by_hand(charge, "void", &json!({ "notify": notify }))
            .await
    }

    /// A person gives back a part of a charge in the merchant's portal, in decimal baht, or all that is left.
    pub(crate) async fn refund(
        &self,
        charge: &str,
        amount: Option<&str>,
        notify: bool,
    ) -> Result<(), Refused> {
        let wish = json!({"amount": amount, "notify": notify});
        self.by_hand(charge, "refund", &wish).await
    }

    /// The API refuses every void and refund of a charge from now on, or accepts them again.
    pub(crate) async fn refuse_reversals(
        &self,
        charge: &str,
        refuse: Option<Refusal>,
    ) -> Result<(), Refused> {
        let how = refuse.map(|refusal| match refusal {
            Refusal::Error => "error",
            Refusal::Fail => "fail",
        });
        let path = format!("charges/{charge}/reversals");
        self.control(Method::PUT, &path, &json!({ "refuse": how }))
            .await
            .map(drop)
    }

    /// The bank speaks of a charge like this from now on.
    pub(crate) async fn speak(&self, charge: &str, dialect: Dialect) -> Result<(), Refused> {
        let path = format!("charges/{charge}/dialect");
        self.control(Method::PUT, &path, &json!({ "dialect": dialect }))
            .await
            .map(drop)
    }

    /// Plans a fault of the bank for the next calls of an operation, as `/sandbox/faults` takes it.
    pub(crate) async fn plan_fault(&self, fault: &Value) -> Result<(), Refused> {
        self.control(Method::POST, "faults", fault).await.map(drop)
    }

    /// The bank sends a notification of what a charge is now, and waits for the answer. Returns its status.
    pub(crate) async fn notify(&self, charge: &str) -> Result<Option<u16>, Refused> {
        let path = format!("charges/{charge}/notify");
        let sent = self.control(Method::POST, &path, &Value::Null).await?;
        Ok(sent["answer"]
            .as_u64()
            .and_then(|status| u16::try_from(status).ok()))
    }

    /// The form that a browser posts to the shop for a charge as it stands, whoever sends it.
    pub(crate) async fn return_form(&self, charge: &str) -> Result<ReturnForm, Refused> {
        let path = format!("charges/{charge}/return");
        let fields = self.control(Method::GET, &path, &Value::Null).await?;
        Ok(ReturnForm {
            action: self.callback.clone(),
            fields: serde_json::from_value(fields).expect("a form is fields of text"),
        })
    }

    /// The bank replaces its secret key. `accept_former` says whether its API still takes the key until now. That one
    /// signs the notifications of charges in the dialect of a former key.
    pub(crate) async fn rotate_key(&self, new: &str, accept_former: bool) -> Result<(), Refused> {
        let wish = json!({"secretKey": new, "acceptFormer": accept_former});
        self.control(Method::PUT, "key", &wish).await.map(drop)
    }

    /// A charge and all that happened to it.
    pub(crate) fn charge(&self, id: &str) -> Option<Value> {
        self.bank.charge(id)
    }

    /// The charge that was made with a token.
    pub(crate) fn charge_of_token(&self, token: &str) -> Option<Value> {
        self.bank.charge_of_token(token)
    }

    /// All charges, the oldest first.
    #[cfg(test)]
    pub(crate) fn charges(&self) -> Vec<Value> {
        self.bank.charges()
    }

    /// The customers that hold the card behind a token, the oldest first.
    pub(crate) fn customers_of_token(&self, token: &str) -> Vec<Value> {
        self.bank.customers_of_token(token)
    }

    /// All customers, the oldest first.
    #[cfg(test)]
    pub(crate) fn customers(&self) -> Vec<Value> {
        self.bank.customers()
    }

    /// Every request to the gateway API, the oldest first.
    #[cfg(test)]
    pub(crate) fn requests(&self) -> Vec<GatewayRequest> {
        self.log().requests.clone()
    }

    /// The requests to the gateway API that made or named a charge, the oldest first.
    pub(crate) fn requests_of(&self, charge: &str) -> Vec<GatewayRequest> {
        let log = self.log();
        let places = log.of_charge.get(charge).into_iter().flatten();
        places.map(|place| log.requests[*place].clone()).collect()
    }

    async fn by_hand(&self, charge: &str, what: &str, wish: &Value) -> Result<(), Refused> {
        let path = format!("charges/{charge}/{what}");
        self.control(Method::POST, &path, wish).await.map(drop)
    }

    /// Uses one of the sandbox's controls.
    async fn control(&self, method: Method, path: &str, body: &Value) -> Result<Value, Refused> {
        let body = if body.is_null() {
            Vec::new()
        } else {
            body.to_string().into_bytes()
        };
        let request = Request::builder()
            .method(method)
            .uri(format!("{}/sandbox/{path}", self.base))
            .body(body)
            .expect("a control has a plain address");
        let answer = self.call(request).await;
        let object: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
        if answer.status().is_success() {
            return Ok(object);
        }
        Err(Refused {
            status: answer.status().as_u16(),
            code: object["code"].as_str().unwrap_or_default().to_owned(),
        })
    }
}

/// Random bytes for the bank's ids: each follows from the seed, its name, and how many of this name there were.
fn by_name(random: Random) -> payment3_bank::Random {
    let counts = Mutex::new(BTreeMap::<String, u64>::new());
    Arc::new(move |name, bytes| {
        let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(name.to_owned()).or_default();
        *count += 1;
        random.of(&format!("{name} {count}")).fill(bytes);
    })
}

/// What is known of a request to the gateway API before it is answered.
struct Noted {
    operation: Operation,
    /// The id or the reference in its path.
    charge: Option<String>,
    body: Value,
}

impl Noted {
    /// None for a request to anything else.
    fn of(request: &Request<Vec<u8>>) -> Option<Self> {
        let path = request.uri().path().strip_prefix("/card/v2/")?;
        let parts: Vec<_> = path.split('/').collect();
        let (operation, charge) = match (request.method().as_str(), parts.as_slice()) {
            ("POST", ["charge"]) => (Operation::Charge, None),
            ("GET", ["charge", id]) => (Operation::Inquire, Some(*id)),
            ("POST", ["charge", id, "void"]) => (Operation::Void, Some(*id)),
            ("POST", ["charge", id, "refund"]) => (Operation::Refund, Some(*id)),
            ("POST", ["customer"]) => (Operation::CreateCustomer, None),
            ("POST", ["customer", _, "card"]) => (Operation::AddCard, None),
            _ => (Operation::Unknown, None),
        };
        Some(Self {
            operation,
            charge: charge.map(str::to_owned),
            body: serde_json::from_slice(request.body()).unwrap_or_default(),
        })
    }
}

impl Step {
    fn request(self, page: &str) -> Request<Vec<u8>> {
        let form = match self {
            Self::Open => None,
            Self::Confirm => Some(format!("otp={OTP}&action=approve")),
            Self::Mistype => Some("otp=000000&action=approve".to_owned()),
            Self::Cancel => Some("action=fail".to_owned()),
            Self::Leave => Some("action=leave".to_owned()),
        };
        let request = Request::builder().uri(page).header(ACCEPT, "text/html");
        let request = match form {
            None => request.body(Vec::new()),
            Some(form) => request
                .method(Method::POST)
                .header(CONTENT_TYPE, FORM)
                .body(form.into_bytes()),
        };
        request.expect("a page of the bank has a plain address")
    }
}

impl Page {
    /// Reads what a browser shows, as its user does.
    fn read(step: Step, answer: &Response<Vec<u8>>) -> Self {
        let html = String::from_utf8_lossy(answer.body());
        let by_itself = html.contains(".submit()");
        match return_form(&html) {
            Some(form) if by_itself => Self::Returning(form),
            Some(form) => Self::Decided(form),
            None if html.contains("name=\"otp\"") => Self::Challenge,
            None if !answer.status().is_success() => Self::Refused(answer.status().as_u16()),
            None if step == Step::Leave => Self::Left,
            None => Self::Lost,
        }
    }
}

/// The form of a page that leads to the shop.
fn return_form(html: &str) -> Option<ReturnForm> {
    let (_, form) = html.split_once("<form method=\"post\" action=\"")?;
    let attribute = |text: &str| unescaped(text.split('"').next().unwrap_or_default());
    let fields = form.split("<input type=\"hidden\" name=\"").skip(1);
    Some(ReturnForm {
        action: attribute(form),
        fields: fields
            .filter_map(|input| {
                let (_, value) = input.split_once(" value=\"")?;
                Some((attribute(input), attribute(value)))
            })
            .collect(),
    })
}

fn unescaped(text: &str) -> String {
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&#39;", "'")
        .replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use payment3_bank::SECRET_KEY;

    use super::*;

    /// A bank, and what it told the merchant.
    struct Bench {
        bank: SimBank,
        time: Time,
        told: Arc<Mutex<Vec<(Timestamp, Value)>>>,
    }

    impl Bench {
        async fn new(seed: u64) -> Self {
            let time = Time::new("2026-11-29T10:00:00Z".parse().expect("a time"));
            let told = Arc::new(Mutex::new(Vec::new()));
            let addresses = Addresses {
                bank: "https://bank.example".to_owned(),
                callback: "https://api.example/callback".to_owned(),
                notify: "https://api.example/notify".to_owned(),
            };
            let (clock, log) = (time.clone(), told.clone());
            let merchant: Merchant = Arc::new(move |request| {
                assert_eq!(request.uri(), "https://api.example/notify");
                let body = serde_json::from_slice(request.body()).expect("JSON");
                log.lock().expect("no panic").push((clock.now(), body));
                Box::pin(async {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    Ok(Response::new(Vec::new()))
                })
            });
            let bank = SimBank::new(time.clone(), Random::new(seed), &addresses, merchant).await;
            Self { bank, time, told }
        }

        fn told(&self) -> Vec<(i64, String)> {
            let told = self.told.lock().expect("no panic");
            let start = told.first().map_or(0, |(at, _)| at.as_second());
            told.iter()
                .map(|(at, body)| {
                    let state = body["transaction_state"].as_str().expect("a state");
                    (at.as_second() - start, state.to_owned())
                })
                .collect()
        }

        async fn api(&self, method: &str, path: &str, key: &str, body: Value) -> (u16, Value) {
            let request = Request::builder()
                .method(method)
                .uri(format!("https://bank.example/card/v2/{path}"))
                .header("x-api-key", key)
                .header(CONTENT_TYPE, "application/json")
                .body(if body.is_null() {
                    Vec::new()
                } else {
                    body.to_string().into()
                })
                .expect("a request");
            let answer = self.bank.call(request).await;
            let object = serde_json::from_slice(answer.body()).expect("JSON");
            (answer.status().as_u16(), object)
        }

        /// A charge over 1,250 baht.
        async fn charge(&self, token: &str, card: Manner) -> String {
            self.charge_late(token, card, None).await
        }

        async fn charge_late(
            &self,
            token: &str,
            card: Manner,
            issuer_takes: Option<Duration>,
        ) -> String {
            let new = NewToken {
                id: token,
                card: cards(card)[0],
                dialect: Dialect::Usual,
                issuer_takes,
            };
            assert_eq!(self.bank.token(&new).await.as_deref(), Ok(token));
            let order = json!({
                "amount": 1250, "currency": "THB", "description": "Order", "source_type": "card", "mode": "token",
                "token": token, "reference_order": format!("ref-{}", &token[10..]),
            });
            let (status, charge) = self.api("POST", "charge", SECRET_KEY, order).await;
            assert_eq!(status, 200, "{charge}");
            charge["id"].as_str().expect("an id").to_owned()
        }

        fn state(&self, charge: &str) -> String {
            let record = self.bank.charge(charge).expect("a charge");
            record["transaction_state"]
                .as_str()
                .expect("a state")
                .to_owned()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_shopper_passes_three_ds_and_returns() {
        let bench = Bench::new(1).await;
        let id = bench.charge("tokn_test_a", Manner::Approved).await;
        let page = bench.bank.page_of(&id);
        assert_eq!(
            bench.bank.three_ds(&page, Step::Open).await,
            Page::Challenge
        );
        assert_eq!(
            bench.bank.three_ds(&page, Step::Mistype).await,
            Page::Challenge
        );
        assert_eq!(bench.bank.three_ds(&page, Step::Leave).await, Page::Left);
        let Page::Returning(form) = bench.bank.three_ds(&page, Step::Confirm).await else {
            panic!("the shopper does not return");
        };
        assert_eq!(form.action, "https://api.example/callback");
        assert_eq!(form.charge_id().expect("a charge"), id);
        assert_eq!(form.field("status").expect("a status"), "true");
        assert_eq!(bench.bank.return_form(&id).await, Ok(form.clone()));
        assert_eq!(
            bench.bank.three_ds(&page, Step::Open).await,
            Page::Decided(form)
        );
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(bench.told(), [(0, "Authorized".to_owned())]);
        let record = bench.bank.charge_of_token("tokn_test_a").expect("a charge");
        assert_eq!(record["notifications"][0]["answer"], 200);
        let missing = bench.bank.page_of("chrg_test_x");
        assert_eq!(
            bench.bank.three_ds(&missing, Step::Open).await,
            Page::Refused(404)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_shopper_fails_three_ds_or_never_comes_back() {
        let bench = Bench::new(1).await;
        for (token, manner, step, state) in [
            ("tokn_test_a", Manner::Approved, Step::Cancel, "Declined"),
            ("tokn_test_b", Manner::Declined, Step::Confirm, "Declined"),
        ] {
            let id = bench.charge(token, manner).await;
            let shown = bench.bank.three_ds(&bench.bank.page_of(&id), step).await;
            assert!(matches!(shown, Page::Returning(_)), "{shown:?}");
            assert_eq!(bench.state(&id), state);
        }
        let id = bench.charge("tokn_test_c", Manner::CallbackLost).await;
        let page = bench.bank.page_of(&id);
        assert_eq!(bench.bank.three_ds(&page, Step::Confirm).await, Page::Lost);
        assert_eq!(bench.state(&id), "Authorized");
    }

    #[tokio::test(start_paused = true)]
    async fn an_issuer_decides_days_later() {
        let bench = Bench::new(1).await;
        let three_days = Duration::from_secs(3 * 24 * 3600);
        let id = bench
            .charge_late("tokn_test_a", Manner::Slow, Some(three_days))
            .await;
        bench
            .bank
            .three_ds(&bench.bank.page_of(&id), Step::Confirm)
            .await;
        let before = bench.time.now();
        tokio::time::sleep(three_days - Duration::from_secs(1)).await;
        assert_eq!(bench.state(&id), "Pre-Authorized");
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(bench.state(&id), "Authorized");
        let (at, _) = bench.told.lock().expect("no panic")[0].clone();
        assert_eq!(at.duration_since(before).as_secs(), 3 * 24 * 3600);
    }

    #[tokio::test(start_paused = true)]
    async fn the_batch_settles_and_people_give_money_back() {
        let bench = Bench::new(1).await;
        let bank = &bench.bank;
        let voided = bench.charge("tokn_test_a", Manner::ApprovedAtOnce).await;
        let settled = bench.charge("tokn_test_b", Manner::ApprovedAtOnce).await;
        bench.charge("tokn_test_c", Manner::Approved).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        bench.told.lock().expect("no panic").clear();
        bank.void(&voided, false).await.expect("voided");
        assert_eq!(bank.settle_all(false).await, [settled.as_str()]);
        bank.refund(&settled, Some("100.50"), true)
            .await
            .expect("refunded");
        bank.refund(&settled, None, false).await.expect("refunded");
        let refused = bank.void(&settled, true).await.expect_err("refused");
        assert_eq!(
            (refused.status, refused.code.as_str()),
            (400, "charge_not_voidable")
        );
        assert!(bank.settle(&settled, false).await.is_err());
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(bench.told(), [(0, "Refund Sent".to_owned())]);
        assert_eq!(bank.notify(&settled).await, Ok(Some(200)));
        assert_eq!(bank.charges().len(), 3);
        assert_eq!(bank.charge(&settled).expect("a charge")["left"], 0);
    }

    #[tokio::test(start_paused = true)]
    async fn the_bank_rotates_its_key() {
        let bench = Bench::new(1).await;
        let id = bench.charge("tokn_test_a", Manner::ApprovedAtOnce).await;
        let path = format!("charge/{id}");
        let status = async |key| bench.api("GET", &path, key, Value::Null).await.0;
        bench
            .bank
            .rotate_key("skey_test_new", true)
            .await
            .expect("rotated");
        assert_eq!(
            (status(SECRET_KEY).await, status("skey_test_new").await),
            (200, 200)
        );
        bench
            .bank
            .rotate_key("skey_test_newer", false)
            .await
            .expect("rotated");
        assert_eq!(
            (
                status("skey_test_new").await,
                status("skey_test_newer").await
            ),
            (401, 200)
        );
        assert!(
            bench
                .bank
                .rotate_key("skey_test_newer", false)
                .await
                .is_err()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn every_request_is_found_by_its_charge() {
        let bench = Bench::new(1).await;
        let id = bench.charge("tokn_test_a", Manner::ApprovedAtOnce).await;
        bench.charge("tokn_test_b", Manner::ApprovedAtOnce).await;
        bench
            .bank
            .refuse_reversals(&id, Some(Refusal::Fail))
            .await
            .expect("told");
        let (status, object) = bench
            .api(
                "POST",
                &format!("charge/{id}/void"),
                SECRET_KEY,
                Value::Null,
            )
            .await;
        assert_eq!((status, &object["status"]), (200, &json!("fail")));
        bench.bank.refuse_reversals(&id, None).await.expect("told");
        bench
            .bank
            .speak(&id, Dialect::StatesInCapitals)
            .await
            .expect("told");
        let (_, object) = bench
            .api("GET", "charge/ref-a", SECRET_KEY, Value::Null)
            .await;
        assert_eq!(object["transaction_state"], "AUTHORIZED");
        let token = json!({"mode": "token", "token": "tokn_test_a"});
        let (_, customer) = bench
            .api("POST", "customer", SECRET_KEY, token.clone())
            .await;
        let path = format!("customer/{}/card", customer["id"].as_str().expect("an id"));
        bench.api("POST", &path, SECRET_KEY, token).await;
        let seen: Vec<_> = bench
            .bank
            .requests_of(&id)
            .into_iter()
            .map(|request| request.operation)
            .collect();
        use Operation::{AddCard, Charge, CreateCustomer, Inquire, Void};
        assert_eq!(seen, [Charge, Void, Inquire, CreateCustomer, AddCard]);
        assert_eq!(bench.bank.requests().len(), 6);
        assert_eq!(
            bench.bank.customers_of_token("tokn_test_a"),
            bench.bank.customers()
        );
        assert_eq!(
            bench.bank.customers_of_token("tokn_test_b"),
            [Value::Null; 0]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn ids_depend_on_the_seed_and_the_token_alone() {
        let (one, other) = (Bench::new(1).await, Bench::new(1).await);
        one.charge("tokn_test_left_out", Manner::ApprovedAtOnce)
            .await;
        let id = one.charge("tokn_test_a", Manner::ApprovedAtOnce).await;
        assert_eq!(
            other.charge("tokn_test_a", Manner::ApprovedAtOnce).await,
            id
        );
        let third = Bench::new(2).await;
        assert_ne!(
            third.charge("tokn_test_a", Manner::ApprovedAtOnce).await,
            id
        );
        let again = NewToken {
            id: "tokn_test_a",
            card: cards(Manner::Approved)[0],
            dialect: Dialect::Usual,
            issuer_takes: None,
        };
        assert_eq!(
            third.bank.token(&again).await.expect_err("taken").code,
            "token_taken"
        );
    }
}
