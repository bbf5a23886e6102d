//! The shop's webhook endpoint: events signed after the Standard Webhooks specification, so that a receiver can verify
//! them with any of its libraries and drop repeats by their id.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::StatusCode;
use secrecy::{ExposeSecret, SecretSlice};
use serde::Deserialize;
use sha2::Sha256;
use url::Url;

use crate::http_client::http_client;
use crate::settings::SettingError;

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

    /// The `webhook-signature` header for a message: `v1,` and the base64 HMAC-SHA256 of `id.timestamp.body`.
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

/// Why the shop did not take an event.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    /// The endpoint said no for good: a 4xx other than 408, 425 and 429.
    #[error("the shop's endpoint refused the event with {0}")]
    Refused(u16),
    /// No connection, no answer in time, a redirect, 408, 425, 429 or 5xx.
    #[error("the shop's endpoint did not take the event: {0}")]
    Failed(String),
}

/// The endpoint and how to reach it.
pub struct WebhookEndpoint {
    http: reqwest::Client,
    url: Url,
}

impl WebhookEndpoint {
    /// An endpoint at `url`; `timeout` bounds each delivery.
    ///
    /// # Errors
    /// [`SettingError`] when no HTTP client can be built.
    pub fn new(url: Url, timeout: Duration) -> Result<Self, SettingError> {
        Ok(Self {
            http: http_client(timeout)?,
            url,
        })
    }

    /// Delivers one event. `id` is the same at every repeat, so that the receiver can drop repeats; the timestamp and
    /// signature are this attempt's.
    ///
    /// # Errors
    /// [`DeliveryError`].
    pub async fn deliver(
        &self,
        key: &SigningKey,
        id: &str,
        body: String,
    ) -> Result<(), DeliveryError> {
        let timestamp = crate::clock::now_seconds();
        let signature = key.sign(id, timestamp, &body);
        let response = self
            .http
            .post(self.url.clone())
            .header("content-type", "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", timestamp.to_string())
            .header("webhook-signature", signature)
            .body(body)
            .send()
            .await
            .map_err(|error| {
                let what = if error.is_timeout() {
                    "no answer in time"
                } else {
                    "no connection"
                };
                DeliveryError::Failed(what.into())
            })?;
        match response.status() {
            status if status.is_success() => Ok(()),
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => {
                Err(DeliveryError::Failed(format!(
                    "it answered {}",
                    response.status()
                )))
            }
            status if status.is_client_error() => Err(DeliveryError::Refused(status.as_u16())),
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
