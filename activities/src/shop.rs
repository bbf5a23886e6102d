//! The shop's webhook endpoint: events signed after the Standard Webhooks specification, so that a receiver can verify
//! them with any of its libraries and drop repeats by their id.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use secrecy::{ExposeSecret, SecretSlice};
use serde::Deserialize;
use sha2::Sha256;
use url::Url;

use crate::clock::Clock;
use crate::http_client::{Request, SendError, Sender};
use crate::secret::SecretSource;

const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// The key that signs events.
pub struct SigningKey(SecretSlice<u8>);

/// The secret holds no signing key. Never holds any of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the shop webhook secret is not JSON {{\"signingKey\": \"<base64 of at least 24 bytes>\"}}"
)]
pub struct InvalidSigningKey;

impl SigningKey {
    /// Reads the secret's JSON, `{"signingKey": "…"}`: base64, with or without the `whsec_` prefix that Standard
    /// Webhooks libraries show.
    ///
    /// # Errors
    /// [`InvalidSigningKey`], also for keys shorter than the specification's 24 bytes.
    pub fn parse(json: &str) -> Result<Self, InvalidSigningKey> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Layout {
            signing_key: String,
        }
        let layout: Layout = serde_json::from_str(json).map_err(|_| InvalidSigningKey)?;
        let base64 = layout
            .signing_key
            .strip_prefix("whsec_")
            .unwrap_or(&layout.signing_key);
        let key = STANDARD.decode(base64).map_err(|_| InvalidSigningKey)?;
        if key.len() < 24 {
            return Err(InvalidSigningKey);
        }
        Ok(Self(key.into()))
    }

    /// This key's signature of a message: `v1,` and the base64 HMAC-SHA256 of `id.timestamp.body`.
    #[must_use]
    pub fn sign(&self, id: &str, timestamp: i64, body: &str) -> String {
        // HMAC takes a key of any length.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(self.0.expose_secret()) else {
            unreachable!("HMAC takes a key of any length")
        };
        mac.update(format!("{id}.{timestamp}.{body}").as_bytes());
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

/// The keys that sign an event: the current one and, for a day after a rotation, the one before it. Whichever of the
/// two the shop verifies with, it finds its signature.
pub struct SigningKeys {
    current: SigningKey,
    former: Option<SigningKey>,
}

impl SigningKeys {
    /// Fetches them from their secret, as they count at `now` (seconds since 1970). A former one that cannot be read is
    /// left out: nobody verifies with it.
    ///
    /// # Errors
    /// A reason without any of the keys.
    pub async fn fetch(source: &SecretSource, now: i64) -> Result<Self, String> {
        let version = source.current().await?;
        let current = SigningKey::parse(version.expose()).map_err(|error| error.to_string())?;
        let former = source
            .former(&version, now)
            .await?
            .and_then(|former| SigningKey::parse(former.text.expose_secret()).ok());
        Ok(Self { current, former })
    }

    /// The `webhook-signature` header for a message: a signature by each key, separated by spaces.
    #[must_use]
    pub fn sign(&self, id: &str, timestamp: i64, body: &str) -> String {
        let signatures: Vec<_> = std::iter::once(&self.current)
            .chain(&self.former)
            .map(|key| key.sign(id, timestamp, body))
            .collect();
        signatures.join(" ")
    }
}

/// Why the shop did not take an event.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    /// The endpoint is gone for good (410): the one answer by which it asks for no more of this.
    #[error("the shop's endpoint answered 410 Gone")]
    Gone,
    /// No connection, no answer in time, or any other answer but 2xx. A wrong key, a wrong path and a broken deployment
    /// of the shop answer with a 4xx, too, and all of them pass.
    #[error("the shop's endpoint did not take the event: {0}")]
    Failed(String),
}

/// The endpoint and how to reach it.
pub struct WebhookEndpoint {
    url: Url,
    sender: Sender,
    timeout: Duration,
    clock: Clock,
}

impl WebhookEndpoint {
    /// An endpoint at `url`, to which `sender` leads; `timeout` bounds each delivery.
    #[must_use]
    pub fn new(url: Url, sender: Sender, timeout: Duration, clock: Clock) -> Self {
        Self {
            url,
            sender,
            timeout,
            clock,
        }
    }

    /// The clock by which deliveries are dated.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Delivers one event. `id` is the same at every repeat, so that the receiver can drop repeats; the timestamp and
    /// signature are this attempt's.
    ///
    /// # Errors
    /// [`DeliveryError`].
    pub async fn deliver(
        &self,
        keys: &SigningKeys,
        id: &str,
        body: String,
    ) -> Result<(), DeliveryError> {
        let timestamp = self.clock.seconds();
        let signature = keys.sign(id, timestamp, &body);
        let value = |text: &str| {
            HeaderValue::from_str(text).map_err(|error| DeliveryError::Failed(error.to_string()))
        };
        let request = Request {
            method: Method::POST,
            url: self.url.clone(),
            headers: HeaderMap::from_iter([
                (CONTENT_TYPE, HeaderValue::from_static("application/json")),
                (ID, value(id)?),
                (TIMESTAMP, timestamp.into()),
                (SIGNATURE, value(&signature)?),
            ]),
            body: body.into_bytes(),
            timeout: self.timeout,
            // The status says all.
            answer_limit: 0,
        };
        let response = self.sender.send(request).await.map_err(|error| {
            let what = match error {
                SendError::TimedOut => "no answer in time",
                SendError::NotConnected | SendError::TooLong | SendError::Broken(_) => {
                    "no connection"
                }
            };
            DeliveryError::Failed(what.into())
        })?;
        match response.status() {
            status if status.is_success() => Ok(()),
            StatusCode::GONE => Err(DeliveryError::Gone),
            status => Err(DeliveryError::Failed(format!("it answered {status}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_those_of_the_standard_webhooks_specification() {
        // The specification's own example.
        let key = SigningKey::parse(r#"{"signingKey":"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}"#)
            .unwrap();
        let signature = key.sign(
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            r#"{"test": 2432232314}"#,
        );
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_key_that_is_absent_short_or_not_base64_is_refused() {
        for json in [
            "{}",
            r#"{"signingKey":"c2hvcnQ="}"#,
            r#"{"signingKey":"***"}"#,
        ] {
            assert!(SigningKey::parse(json).is_err(), "{json}");
        }
    }
}
