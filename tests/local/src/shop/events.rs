//! The payment events that the shop received.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Shop;
use super::webhook;

/// One delivery of an event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReceivedEvent {
    /// The event's id, the same in every delivery of it.
    pub id: String,
    /// When it arrived.
    pub received_at: Timestamp,
    /// Whether signature and time were right.
    pub verified: bool,
    /// Why it was not believed.
    pub refusal: Option<String>,
    /// Whether this event had been delivered and accepted before.
    pub repeated: bool,
    /// The status the shop answered.
    pub answered: u16,
    /// The event itself: `type`, `timestamp`, `data`. Null when it is not JSON.
    pub body: Value,
    /// What came over the wire, for whoever verifies it again.
    pub delivery: Delivery,
}

/// An event as it came over the wire.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Delivery {
    /// The headers of Standard Webhooks, as far as they were there and are text.
    pub headers: BTreeMap<String, String>,
    /// The body; what is no UTF-8 is replaced, and no longer what was signed.
    pub body: String,
}

impl Delivery {
    fn of(headers: &HeaderMap, body: &[u8]) -> Self {
        let text = |name: &str| {
            let value = headers.get(name)?.to_str().ok()?;
            Some((name.to_owned(), value.to_owned()))
        };
        Self {
            headers: webhook::HEADERS.into_iter().filter_map(text).collect(),
            body: String::from_utf8_lossy(body).into_owned(),
        }
    }
}

impl ReceivedEvent {
    /// The event's type, such as `payment.succeeded`.
    pub fn kind(&self) -> &str {
        self.body["type"].as_str().unwrap_or_default()
    }

    /// The order it is about.
    pub fn order_id(&self) -> Option<&str> {
        self.body["data"]["orderId"].as_str()
    }
}

/// What the shop answers to the next events instead of accepting them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// To how many events.
    pub times: u32,
}

#[derive(Default)]
pub(super) struct EventLog(Mutex<Log>);

#[derive(Default)]
struct Log {
    received: Vec<ReceivedEvent>,
    accepted: HashSet<String>,
    answer: Option<Answer>,
}

impl EventLog {
    fn log(&self) -> MutexGuard<'_, Log> {
        // The log is whole after every statement under the lock, so a panic elsewhere leaves it usable.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `POST /webhooks/payment3`: 204 for a verified event, 401 for any other, or the answer that was asked for.
pub(super) async fn receive(
    State(shop): State<Shop>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let now = Timestamp::now();
    let refusal = webhook::verify(&shop.key, &headers, &body, now.as_second()).err();
    let id = headers
        .get("webhook-id")
        .and_then(|id| id.to_str().ok())
        .unwrap_or_default()
        .to_owned();
    let mut log = shop.events.log();
    let status = match refusal {
        Some(_) => StatusCode::UNAUTHORIZED,
        None => log.next_answer(),
    };
    let repeated = log.accepted.contains(&id);
    if status.is_success() {
        log.accepted.insert(id.clone());
    }
    log.received.push(ReceivedEvent {
        id,
        received_at: now,
        verified: refusal.is_none(),
        refusal: refusal.map(|refusal| refusal.to_string()),
        repeated,
        answered: status.as_u16(),
        body: serde_json::from_slice(&body).unwrap_or_default(),
        delivery: Delivery::of(&headers, &body),
    });
    status
}

impl Log {
    fn next_answer(&mut self) -> StatusCode {
        match &mut self.answer {
            Some(Answer { status, times }) if *times > 0 => {
                *times -= 1;
                StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
            }
            _ => StatusCode::NO_CONTENT,
        }
    }
}

/// Which deliveries to list; all without a filter.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Filter {
    charge_id: Option<String>,
    order_id: Option<String>,
}

impl Filter {
    fn lets_pass(&self, event: &ReceivedEvent) -> bool {
        let is = |field: &str, wanted: &Option<String>| {
            wanted
                .as_ref()
                .is_none_or(|wanted| event.body["data"][field] == wanted.as_str())
        };
        is("chargeId", &self.charge_id) && is("orderId", &self.order_id)
    }
}

/// `GET /webhooks/payment3`: every delivery, oldest first; `?chargeId=` and `?orderId=` choose among them.
pub(super) async fn list(
    State(shop): State<Shop>,
    Query(filter): Query<Filter>,
) -> Json<Vec<ReceivedEvent>> {
    let log = shop.events.log();
    let chosen = log.received.iter().filter(|event| filter.lets_pass(event));
    Json(chosen.cloned().collect())
}

/// `PUT /webhooks/payment3/answer`: what to answer to the next verified events.
pub(super) async fn set_answer(
    State(shop): State<Shop>,
    Json(answer): Json<Answer>,
) -> Result<StatusCode, (StatusCode, &'static str)> {
    if !(200..=599).contains(&answer.status) {
        return Err((StatusCode::BAD_REQUEST, "status: from 200 to 599"));
    }
    shop.events.log().answer = Some(answer);
    Ok(StatusCode::NO_CONTENT)
}
