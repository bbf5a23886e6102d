//! What the shop's endpoint receives, over HTTP: signed with each key that counts, and repeated after every answer but
//! one.

use std::io::{BufRead, BufReader, Read, Write};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use payment3_activities::activity::notify::{Delivered, Input, NotifyError, Shop, notify};
use payment3_activities::clock::Clock;
use payment3_activities::http_client::Sender;
use payment3_activities::secret::{SecretSource, Stage, Version};
use payment3_activities::shop::{SigningKey, WebhookEndpoint};
use serde_json::json;

const CURRENT: &str = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const FORMER: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";
const DAY: i64 = 24 * 60 * 60;

/// A request as the shop received it: its headers, and its body.
struct Received {
    head: String,
    body: String,
}

impl Received {
    fn header(&self, name: &str) -> &str {
        let found = self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        });
        found.unwrap_or_default()
    }

    /// Which of these keys, base64, signed it.
    fn signed_by<'a>(&self, keys: &[&'a str]) -> Vec<&'a str> {
        let id = self.header("webhook-id");
        let timestamp = self.header("webhook-timestamp").parse().unwrap();
        let signatures: Vec<_> = self.header("webhook-signature").split(' ').collect();
        let signed = |key: &&&str| {
            let key = SigningKey::parse(&secret_text(key)).unwrap();
            signatures.contains(&key.sign(id, timestamp, &self.body).as_str())
        };
        keys.iter().filter(signed).copied().collect()
    }
}

/// A shop that answers every request with `answer`: a status line, and headers if need be.
fn shop_that_answers(answer: String) -> (String, Receiver<Received>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/events", listener.local_addr().unwrap());
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let mut reader = BufReader::new(&connection);
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                reader.read_line(&mut head).unwrap();
            }
            let received = Received {
                head,
                body: String::new(),
            };
            let mut body = vec![0; received.header("content-length").parse().unwrap()];
            reader.read_exact(&mut body).unwrap();
            let body = String::from_utf8(body).unwrap();
            write!(
                connection,
                "HTTP/1.1 {answer}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            )
            .unwrap();
            // A test that has its answer may be over.
            let _ = sender.send(Received { body, ..received });
        }
    });
    (url, receiver)
}

fn secret_text(key: &str) -> String {
    json!({"signingKey": key}).to_string()
}

/// A shop whose key was put so many seconds ago, after another one.
fn rotated(url: &str, ago: i64) -> Shop {
    let versions = SecretSource::versions(move |stage| async move {
        let (key, ago) = match stage {
            Stage::Current => (CURRENT, ago),
            Stage::Previous => (FORMER, 100 * DAY),
        };
        Ok(Some(Version {
            text: secret_text(key).into(),
            id: None,
            put_at: Some(Clock::system().seconds() - ago),
        }))
    });
    with_key(url, versions)
}

fn with_key(url: &str, signing_key: SecretSource) -> Shop {
    let timeout = Duration::from_secs(5);
    let sender = Sender::keeping_connections(timeout).unwrap();
    Shop {
        endpoint: WebhookEndpoint::new(url.parse().unwrap(), sender, timeout, Clock::system()),
        signing_key,
    }
}

fn event() -> Input {
    serde_json::from_value(json!({
        "event": "payment.succeeded", "occurredAt": "2026-11-29T05:10:00.000Z",
        "payment": {
            "chargeId": "chrg_test_1", "orderId": "482500007436", "ownerId": "usr_123",
            "amountSatang": 150_000, "currency": "THB",
        },
    }))
    .unwrap()
}

#[tokio::test]
async fn an_event_is_signed_with_both_keys_for_a_day_after_a_rotation_and_then_with_the_new_one() {
    for (ago, expected) in [
        (0, &[CURRENT, FORMER][..]),
        (DAY - 60, &[CURRENT, FORMER]),
        (DAY, &[CURRENT]),
        (100 * DAY, &[CURRENT]),
    ] {
        let (url, received) = shop_that_answers("204 No Content".into());
        notify(&rotated(&url, ago), &event()).await.unwrap();
        let received = received.recv().unwrap();
        assert_eq!(received.signed_by(&[CURRENT, FORMER]), expected, "{ago}");
        let signatures = received.header("webhook-signature").split(' ').count();
        assert_eq!(signatures, expected.len());
    }
}

#[tokio::test]
async fn a_former_key_that_is_none_leaves_the_current_one() {
    for former in [None, Some(String::new()), Some(secret_text("c2hvcnQ="))] {
        let (url, received) = shop_that_answers("200 OK".into());
        let source = SecretSource::versions(move |stage| {
            let text = match stage {
                Stage::Current => Some(secret_text(CURRENT)),
                Stage::Previous => former.clone(),
            };
            let version = text.map(|text| Version {
                text: text.into(),
                id: None,
                put_at: Some(Clock::system().seconds()),
            });
            async { Ok(version) }
        });
        notify(&with_key(&url, source), &event()).await.unwrap();
        let received = received.recv().unwrap();
        assert_eq!(received.signed_by(&[CURRENT]), [CURRENT]);
    }
}

#[tokio::test]
async fn an_event_waits_where_its_keys_cannot_be_fetched() {
    for broken in [Stage::Current, Stage::Previous] {
        let (url, received) = shop_that_answers("204 No Content".into());
        let source = SecretSource::versions(move |stage| async move {
            if stage == broken {
                return Err("no answer".to_owned());
            }
            Ok(Some(Version {
                text: secret_text(CURRENT).into(),
                id: None,
                put_at: Some(Clock::system().seconds()),
            }))
        });
        let error = notify(&with_key(&url, source), &event()).await.unwrap_err();
        assert!(
            matches!(error, NotifyError::SigningKeyUnavailable(_)),
            "{error:?}"
        );
        assert!(received.try_recv().is_err(), "it went without a signature");
    }
}

#[tokio::test]
async fn every_answer_but_2xx_and_410_is_an_outage() {
    for answer in [
        "300 Multiple Choices",
        "304 Not Modified",
        "400 Bad Request",
        "401 Unauthorized",
        "403 Forbidden",
        "404 Not Found",
        "405 Method Not Allowed",
        "408 Request Timeout",
        "409 Conflict",
        "413 Content Too Large",
        "422 Unprocessable Content",
        "425 Too Early",
        "429 Too Many Requests",
        "500 Internal Server Error",
        "502 Bad Gateway",
        "503 Service Unavailable",
        "504 Gateway Timeout",
    ] {
        let (url, _received) = shop_that_answers(answer.into());
        let error = notify(&rotated(&url, DAY), &event()).await.unwrap_err();
        assert!(
            matches!(error, NotifyError::NotificationFailed(_)),
            "{answer}: {error:?}"
        );
        // The log says what to look for.
        assert!(error.to_string().contains(&answer[..3]), "{error}");
    }
}

#[tokio::test]
async fn a_redirect_is_an_outage_and_nothing_signed_follows_it() {
    for status in [301, 302, 303, 307, 308] {
        let (elsewhere, reached) = shop_that_answers("204 No Content".into());
        let (url, _received) =
            shop_that_answers(format!("{status} Moved\r\nlocation: {elsewhere}"));
        let error = notify(&rotated(&url, DAY), &event()).await.unwrap_err();
        assert!(
            matches!(error, NotifyError::NotificationFailed(_)),
            "{error:?}"
        );
        assert!(reached.try_recv().is_err(), "{status} was followed");
    }
}

#[tokio::test]
async fn only_410_gives_an_event_up() {
    let (url, _received) = shop_that_answers("410 Gone".into());
    let error = notify(&rotated(&url, DAY), &event()).await.unwrap_err();
    assert!(
        matches!(error, NotifyError::NotificationRefused(_)),
        "{error:?}"
    );
}

#[tokio::test]
async fn an_event_that_is_sent_again_has_the_same_id_and_the_same_body() {
    let (url, received) = shop_that_answers("204 No Content".into());
    let shop = rotated(&url, DAY);
    let event_id = "chrg_test_1:payment.succeeded".to_owned();
    for _ in 0..2 {
        let delivered = notify(&shop, &event()).await.unwrap();
        assert_eq!(
            delivered,
            Delivered {
                event_id: event_id.clone()
            }
        );
    }
    let (first, second) = (received.recv().unwrap(), received.recv().unwrap());
    for received in [&first, &second] {
        assert_eq!(received.header("webhook-id"), event_id);
        assert_eq!(received.signed_by(&[CURRENT]), [CURRENT]);
    }
    assert_eq!(first.body, second.body);
}
