//! Verifies signed events with the reference implementation of Standard Webhooks.

use std::sync::Arc;

use axum::http::HeaderMap;
use standardwebhooks::{
    HEADER_WEBHOOK_ID, HEADER_WEBHOOK_SIGNATURE, HEADER_WEBHOOK_TIMESTAMP, Webhook, WebhookError,
};

/// The headers that an event is verified by.
pub(super) const HEADERS: [&str; 3] = [
    HEADER_WEBHOOK_ID,
    HEADER_WEBHOOK_TIMESTAMP,
    HEADER_WEBHOOK_SIGNATURE,
];

/// The key that the payment system and the shop share.
#[derive(Clone)]
pub struct SigningKey(Arc<Webhook>);

impl SigningKey {
    /// The key as its secret holds it, in base64.
    ///
    /// # Errors
    /// The text is not base64.
    pub fn from_base64(text: &str) -> Result<Self, WebhookError> {
        Webhook::new(text).map(|verifier| Self(Arc::new(verifier)))
    }

    /// Checks an event's headers against its body. The event's time must be within five minutes of now.
    pub(super) fn verify(&self, headers: &HeaderMap, body: &[u8]) -> Result<(), WebhookError> {
        self.0.verify(body, headers)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use jiff::Timestamp;
    use payment3_activities::shop;

    use super::*;

    /// The key that tests sign with.
    pub(crate) const KEY: &str = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    const ID: &str = "msg_1";
    const BODY: &str = r#"{"type":"payment.succeeded"}"#;
    /// The farthest an event's time may be from ours, in seconds.
    const TOLERANCE: i64 = 5 * 60;

    /// The headers of an event that the functions sign.
    pub(crate) fn signed(id: &str, time: i64, body: &str) -> HeaderMap {
        let secret = format!(r#"{{"signingKey":"{KEY}"}}"#);
        let key = shop::SigningKey::parse(&secret).expect("a key");
        let signature = key.sign(id, time, body);
        HEADERS
            .into_iter()
            .zip([id, &time.to_string(), &signature])
            .map(|(name, value)| (name.parse().expect("name"), value.parse().expect("value")))
            .collect()
    }

    fn now() -> i64 {
        Timestamp::now().as_second()
    }

    fn verifies(headers: &HeaderMap, body: &str) -> bool {
        let key = SigningKey::from_base64(KEY).expect("base64");
        key.verify(headers, body.as_bytes()).is_ok()
    }

    #[test]
    fn the_reference_verifies_what_the_functions_sign() {
        let mut headers = signed(ID, now(), BODY);
        assert!(verifies(&headers, BODY));
        // While a key is replaced, the header holds one signature for each key.
        let ours = headers[HEADER_WEBHOOK_SIGNATURE].to_str().expect("text");
        let several = format!("v1,AAAA v2,xyz {ours}").parse().expect("value");
        headers.insert(HEADER_WEBHOOK_SIGNATURE, several);
        assert!(verifies(&headers, BODY));
    }

    #[test]
    fn an_event_with_any_changed_part_is_refused() {
        let headers = signed(ID, now(), BODY);
        assert!(!verifies(&headers, "{}"));
        for (name, value) in [
            (HEADER_WEBHOOK_ID, "msg_2".to_owned()),
            (HEADER_WEBHOOK_TIMESTAMP, (now() + 1).to_string()),
            (HEADER_WEBHOOK_TIMESTAMP, String::new()),
            (HEADER_WEBHOOK_SIGNATURE, "v1,".to_owned()),
        ] {
            let mut changed = headers.clone();
            changed.insert(name, value.parse().expect("value"));
            assert!(!verifies(&changed, BODY), "{name}: {value:?}");
        }
    }

    #[test]
    fn an_event_without_one_of_its_headers_is_refused() {
        for name in HEADERS {
            let mut headers = signed(ID, now(), BODY);
            headers.remove(name);
            assert!(!verifies(&headers, BODY), "{name}");
        }
    }

    #[test]
    fn an_old_event_and_one_from_the_future_are_refused() {
        let some_time = TOLERANCE / 2;
        for (age, verified) in [
            (some_time, true),
            (-some_time, true),
            (TOLERANCE + 1, false),
            (-TOLERANCE - some_time, false),
        ] {
            let headers = signed(ID, now() - age, BODY);
            assert_eq!(verifies(&headers, BODY), verified, "{age} s old");
        }
    }

    #[test]
    fn a_key_of_44_random_characters_is_base64() {
        assert!(SigningKey::from_base64(&"aZ09".repeat(11)).is_ok());
    }
}
