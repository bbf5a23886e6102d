//! An attack: what is sent, and what came of it in words.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use payment3_bank::SECRET_KEY;
use payment3_harness::http::{FORM, client, form};
use payment3_harness::{random, shopper};
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderMap, LOCATION};
use serde_json::Value;
use tokio::task::JoinSet;

use super::victim::Victim;
use crate::support::TestApp;

pub(super) const JSON: &str = "application/json";
/// Stands in every address and every header that an attack would have us use.
pub(super) const EVIL: &str = "evil.example";
/// Markup that must never come back as markup.
pub(super) const MARKUP: &str = "<script>alert(1)</script>";
/// The base that browsers are sent to where a payment's own is not allowed.
const DEFAULT_BASE: &str = "https://shop.villamarket.com";
/// Longer than any answer may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Who is attacked, and whose true words may be used for it.
pub(super) struct Scene<'a> {
    pub(super) app: &'a TestApp,
    pub(super) victim: &'a Victim,
    /// Another customer, whose payment is done.
    pub(super) other: &'a Victim,
}

/// Makes the request of one item.
pub(super) type Forge = Box<dyn Fn(&Scene<'_>) -> Forgery + Send + Sync>;

/// How an item is carried out.
pub(super) enum Attack {
    /// One request.
    Once(Forge),
    /// Waves of the same request at once, each after the executions of the one before have ended.
    Flood {
        waves: usize,
        at_once: usize,
        forge: Forge,
    },
    /// An execution started by hand, with this input.
    Execution(Box<dyn Fn(&Scene<'_>) -> Value + Send + Sync>),
}

/// What came of an attack.
#[derive(Default)]
pub(super) struct Outcome {
    /// Every different answer, in words.
    pub(super) answer: String,
    /// What an answer gave away, or did for the attacker.
    pub(super) betrayed: Vec<String>,
    /// Executions that it started under names of its own.
    pub(super) executions: Vec<String>,
}

impl Attack {
    pub(super) fn once(forge: impl Fn(&Scene<'_>) -> Forgery + Send + Sync + 'static) -> Self {
        Self::Once(Box::new(forge))
    }

    pub(super) async fn carry_out(&self, scene: &Scene<'_>) -> Outcome {
        match self {
            Self::Once(forge) => scene.outcome(vec![forge(scene).send(scene.app).await]),
            Self::Flood {
                waves,
                at_once,
                forge,
            } => {
                let mut answers = Vec::new();
                for _ in 0..*waves {
                    let mut wave = JoinSet::new();
                    for _ in 0..*at_once {
                        let request = forge(scene).request(scene.app);
                        wave.spawn(Received::of(request));
                    }
                    answers.extend(wave.join_all().await);
                    scene.victim.settled(scene.app, &[]).await;
                }
                scene.outcome(answers)
            }
            Self::Execution(input) => {
                let name = format!("by-hand-{}", random::digits(12));
                scene.app.start_by_hand_as(&name, &input(scene)).await;
                let execution = scene.app.execution(&name).await;
                let failure = execution
                    .failure
                    .as_ref()
                    .map(|failure| failure.error.as_str());
                let end = failure.or_else(|| execution.states().last().copied());
                let end = end.unwrap_or_default();
                Outcome {
                    answer: format!("{} {end}", execution.status),
                    executions: vec![name],
                    ..Outcome::default()
                }
            }
        }
    }
}

impl Scene<'_> {
    fn outcome(&self, answers: Vec<Received>) -> Outcome {
        let different: BTreeSet<_> = answers.iter().map(|answer| self.in_words(answer)).collect();
        let betrayed: BTreeSet<_> = answers
            .iter()
            .flat_map(|answer| self.betrayed_by(answer))
            .collect();
        Outcome {
            answer: Vec::from_iter(different).join(", "),
            betrayed: betrayed.into_iter().collect(),
            executions: Vec::new(),
        }
    }

    /// An answer in few words: the status, and what a client would make of the rest.
    fn in_words(&self, answer: &Received) -> String {
        let status = answer.status;
        if let Some(location) = answer.header(LOCATION.as_str()) {
            return format!("{status} {}", self.place(location));
        }
        if let Some(target) = shopper::refresh_target(&answer.body) {
            return format!("{status} {}", self.place(&target));
        }
        let body: Value = serde_json::from_str(&answer.body).unwrap_or_default();
        if let Some(code) = body["code"].as_str() {
            let field = body["details"]["field"].as_str().unwrap_or_default();
            return format!("{status} {code} {field}").trim_end().to_owned();
        }
        if let Some(shown) = body["status"].as_str() {
            return format!("{status} {shown}");
        }
        if answer.is_html() {
            return format!("{status} page");
        }
        status.to_string()
    }

    /// Where a browser is sent.
    fn place(&self, location: &str) -> String {
        let shop = &self.app.outputs.shop_url;
        for (whose, victim) in [("", self.victim), ("the other's ", self.other)] {
            for status in ["success", "failure"] {
                let order = &victim.order;
                let rest = form([
                    ("orderId", order.order_id.as_str()),
                    ("status", status),
                    ("amount", order.grand_total.as_str()),
                ]);
                if location == format!("{shop}/thankyou?{rest}") {
                    return format!("to {whose}thanks, {status}");
                }
                if location == format!("{DEFAULT_BASE}/thankyou?{rest}") {
                    return format!("to {whose}thanks at the default, {status}");
                }
            }
        }
        if location.starts_with(&format!("{}/3ds/", self.app.outputs.bank_url)) {
            return "to the bank".to_owned();
        }
        "to somewhere else".to_owned()
    }

    /// What an answer gives away, or does for the attacker.
    fn betrayed_by(&self, answer: &Received) -> Vec<String> {
        let headers: String = answer
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes())))
            .collect();
        let all = format!("{headers}\n{}", answer.body);
        let page = answer.is_html();
        [
            ("shows a card token", all.contains(&self.victim.token)),
            ("shows another's token", all.contains(&self.other.token)),
            ("shows the bank's key", all.contains(SECRET_KEY)),
            ("has a header of the attacker's", headers.contains("x-evil")),
            ("sends the browser away", all.contains(EVIL)),
            (
                "has the attacker's script",
                page && all.contains("<script>alert"),
            ),
            (
                "names the charge to a stranger",
                answer.path.starts_with("/checkstatus") && all.contains(&self.victim.charge),
            ),
        ]
        .into_iter()
        .filter(|(_, betrays)| *betrays)
        .map(|(what, _)| format!("the answer {what}"))
        .collect()
    }
}

/// A request that no honest client sends.
pub(super) struct Forgery {
    method: Method,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Forgery {
    pub(super) fn new(method: Method, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    pub(super) fn post(path: &str, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self::new(Method::POST, path)
            .header("content-type", content_type)
            .body(body)
    }

    /// A form with these fields.
    pub(super) fn form(path: &str, fields: &BTreeMap<String, String>) -> Self {
        let fields = fields
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        Self::post(path, FORM, form(fields))
    }

    pub(super) fn json(path: &str, body: &Value) -> Self {
        Self::post(path, JSON, body.to_string())
    }

    pub(super) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    pub(super) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    fn request(self, app: &TestApp) -> (String, reqwest::RequestBuilder) {
        let url = format!("{}{}", app.outputs.api_url, self.path);
        let mut request = client().request(self.method, url).timeout(PATIENCE);
        for (name, value) in self.headers {
            request = request.header(name, value);
        }
        (self.path, request.body(self.body))
    }

    async fn send(self, app: &TestApp) -> Received {
        Received::of(self.request(app)).await
    }
}

/// An answer, whole.
struct Received {
    path: String,
    status: u16,
    headers: HeaderMap,
    body: String,
}

impl Received {
    async fn of((path, request): (String, reqwest::RequestBuilder)) -> Self {
        let response = request.send().await.expect("an answer");
        Self {
            path,
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: response.text().await.expect("text"),
        }
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    fn is_html(&self) -> bool {
        self.header(CONTENT_TYPE.as_str())
            .is_some_and(|media_type| media_type.contains("html"))
    }
}
