//! The payment events that the shop received. An environment that keeps its state keeps them in a file, one line per
//! event.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use payment3_harness::shop_api::{Delivery, ReceivedEvent};
use payment3_harness::workspace;
use serde::{Deserialize, Serialize};

use crate::{Shop, webhook};

/// The answer to the next events, instead of accepting them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// How many events get it.
    pub times: u32,
}

#[derive(Default)]
pub(super) struct EventLog(Mutex<Log>);

#[derive(Default)]
struct Log {
    received: Vec<ReceivedEvent>,
    accepted: HashSet<String>,
    answer: Option<Answer>,
    file: Option<File>,
}

impl EventLog {
    /// The log in this file. The file is created if it does not exist.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let cannot = || format!("the shop cannot use {}", workspace::shown(path));
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .open(path)
            .with_context(cannot)?;
        let mut text = std::fs::read_to_string(path).with_context(cannot)?;
        // A process that was killed while it wrote a line did not answer. That event is sent again.
        let complete = text.rfind('\n').map_or(0, |end| end + 1);
        text.truncate(complete);
        file.set_len(text.len() as u64).with_context(cannot)?;
        let mut log = Log {
            file: Some(file),
            ..Log::default()
        };
        for (at, line) in text.lines().enumerate() {
            let event: ReceivedEvent = serde_json::from_str(line).with_context(|| {
                format!(
                    "line {} of {} is no notification; delete the file to start without any",
                    at + 1,
                    workspace::shown(path)
                )
            })?;
            log.add(event);
        }
        Ok(Self(Mutex::new(log)))
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        // The log is consistent after every statement under the lock, so it is usable after a panic of another thread.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `POST /webhooks/payment3`: 204 for a verified event and 401 for any other, or the answer that a test has set. 500 if
/// the event cannot be written to its file.
pub(super) async fn receive(
    State(shop): State<Shop>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let refusal = shop.key.verify(&headers, &body).err();
    let id = headers
        .get("webhook-id")
        .and_then(|id| id.to_str().ok())
        .unwrap_or_default()
        .to_owned();
    let mut log = shop.events.log();
    let status = match &refusal {
        Some(_) => StatusCode::UNAUTHORIZED,
        None => log.next_answer(),
    };
    let repeated = log.accepted.contains(&id);
    let event = ReceivedEvent {
        number: log.received.len() + 1,
        id,
        received_at: Timestamp::now(),
        verified: refusal.is_none(),
        refusal: refusal.map(|refusal| refusal.to_string()),
        repeated,
        answered: status.as_u16(),
        body: serde_json::from_slice(&body).unwrap_or_default(),
        delivery: delivery(&headers, &body),
    };
    if let Err(error) = log.write(&event) {
        eprintln!("a notification could not be kept: {error}");
        return StatusCode::INTERNAL_SERVER_ERROR;
    }
    log.add(event);
    status
}

impl Log {
    fn write(&mut self, event: &ReceivedEvent) -> std::io::Result<()> {
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        let mut line = serde_json::to_vec(event)?;
        line.push(b'\n');
        file.write_all(&line)
    }

    fn add(&mut self, event: ReceivedEvent) {
        if (200..300).contains(&event.answered) {
            self.accepted.insert(event.id.clone());
        }
        self.received.push(event);
    }

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
    /// Only those with a smaller number.
    before: Option<usize>,
    /// At most so many, the newest.
    limit: Option<usize>,
}

impl Filter {
    fn lets_pass(&self, event: &ReceivedEvent) -> bool {
        let is = |field: &str, wanted: &Option<String>| {
            wanted
                .as_ref()
                .is_none_or(|wanted| event.body["data"][field] == wanted.as_str())
        };
        is("chargeId", &self.charge_id)
            && is("orderId", &self.order_id)
            && self.before.is_none_or(|before| event.number < before)
    }
}

/// `GET /webhooks/payment3`: every delivery, oldest first. `?chargeId=` and `?orderId=` filter them. `?before=` and
/// `?limit=` take the newest ones.
pub(super) async fn list(
    State(shop): State<Shop>,
    Query(filter): Query<Filter>,
) -> Json<Vec<ReceivedEvent>> {
    let log = shop.events.log();
    let newest = log.received.iter().rev();
    let mut chosen: Vec<_> = newest
        .filter(|event| filter.lets_pass(event))
        .take(filter.limit.unwrap_or(usize::MAX))
        .cloned()
        .collect();
    chosen.reverse();
    Json(chosen)
}

/// `PUT /webhooks/payment3/answer`: sets the answer to the next verified events.
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

/// The request as it came over the wire.
fn delivery(headers: &HeaderMap, body: &[u8]) -> Delivery {
    let text = |name: &str| {
        let value = headers.get(name)?.to_str().ok()?;
        Some((name.to_owned(), value.to_owned()))
    };
    Delivery {
        headers: webhook::HEADERS.into_iter().filter_map(text).collect(),
        body: String::from_utf8_lossy(body).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::{OrderBook, SigningKey};
    use payment3_harness::aws::Aws;
    use payment3_harness::random;

    /// A file that is deleted at the end of the test.
    struct Kept(PathBuf);

    impl Kept {
        fn new() -> Self {
            Self(std::env::temp_dir().join(random::id("payment3-notifications-")))
        }

        /// A shop that starts, with what it kept.
        fn shop(&self) -> Shop {
            let orders = OrderBook::new(Aws::at("http://127.0.0.1:1").dynamodb, "orders");
            Shop::open(
                orders,
                SigningKey::from_base64(webhook::tests::KEY).expect("a key"),
                &self.0,
            )
            .expect("it opens")
        }
    }

    impl Drop for Kept {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    async fn send(shop: &Shop, id: &str, order: &str) -> StatusCode {
        let body = serde_json::json!({"type": "payment.succeeded", "data": {"orderId": order}});
        let body = body.to_string();
        let headers = webhook::tests::signed(id, Timestamp::now().as_second(), &body);
        receive(State(shop.clone()), headers, body.into()).await
    }

    async fn listed(shop: &Shop, filter: Filter) -> Vec<ReceivedEvent> {
        list(State(shop.clone()), Query(filter)).await.0
    }

    async fn numbers(shop: &Shop, filter: Filter) -> Vec<usize> {
        let listed = listed(shop, filter).await;
        listed.into_iter().map(|event| event.number).collect()
    }

    #[tokio::test]
    async fn a_shop_that_starts_again_has_its_notifications() {
        let kept = Kept::new();
        let first = kept.shop();
        assert_eq!(send(&first, "msg_1", "1").await, StatusCode::NO_CONTENT);
        first.events.log().answer = Some(Answer {
            status: 503,
            times: 1,
        });
        assert_eq!(
            send(&first, "msg_2", "2").await,
            StatusCode::SERVICE_UNAVAILABLE
        );
        let before = listed(&first, Filter::default()).await;
        drop(first);

        let again = kept.shop();
        assert_eq!(listed(&again, Filter::default()).await, before);
        // It still knows which events it accepted.
        send(&again, "msg_1", "1").await;
        send(&again, "msg_2", "2").await;
        let all = listed(&again, Filter::default()).await;
        let seen: Vec<_> = all
            .iter()
            .map(|event| (event.number, event.id.as_str(), event.repeated))
            .collect();
        assert_eq!(
            seen,
            [
                (1, "msg_1", false),
                (2, "msg_2", false),
                (3, "msg_1", true),
                (4, "msg_2", false)
            ]
        );
        assert_eq!(listed(&kept.shop(), Filter::default()).await, all);
    }

    #[tokio::test]
    async fn only_a_line_that_was_cut_off_is_forgotten() {
        let kept = Kept::new();
        send(&kept.shop(), "msg_1", "1").await;
        let mut text = std::fs::read_to_string(&kept.0).expect("a file");
        text.push_str(r#"{"number":2,"id":"msg_"#);
        std::fs::write(&kept.0, text).expect("written");
        let shop = kept.shop();
        assert_eq!(numbers(&shop, Filter::default()).await, [1]);
        send(&shop, "msg_2", "2").await;
        assert_eq!(numbers(&kept.shop(), Filter::default()).await, [1, 2]);
    }

    #[tokio::test]
    async fn a_file_with_other_content_is_refused() {
        let kept = Kept::new();
        std::fs::write(&kept.0, "something else\n").expect("written");
        let error = EventLog::open(&kept.0).err().expect("refused").to_string();
        assert!(error.starts_with("line 1 of "), "{error}");
    }

    #[tokio::test]
    async fn the_newest_are_listed_page_by_page() {
        let kept = Kept::new();
        let shop = kept.shop();
        for at in 1..=5 {
            send(&shop, &format!("msg_{at}"), &(at % 2).to_string()).await;
        }
        let page = |before, limit, order_id: Option<&str>| Filter {
            before,
            limit,
            order_id: order_id.map(str::to_owned),
            charge_id: None,
        };
        assert_eq!(numbers(&shop, page(None, Some(2), None)).await, [4, 5]);
        assert_eq!(numbers(&shop, page(Some(4), Some(2), None)).await, [2, 3]);
        assert_eq!(numbers(&shop, page(Some(2), Some(2), None)).await, [1]);
        let odd = numbers(&shop, page(Some(5), Some(2), Some("1"))).await;
        assert_eq!(odd, [1, 3]);
    }
}
