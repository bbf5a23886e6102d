//! Verifies signed events as the Standard Webhooks specification says.

use axum::http::HeaderMap;
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// How far an event's time may be from ours, in seconds.
const TOLERANCE: i64 = 5 * 60;
/// The headers that an event is verified by.
pub(super) const HEADERS: [&str; 3] = ["webhook-id", "webhook-timestamp", "webhook-signature"];
/// The version of the only signature scheme that is understood: HMAC-SHA256.
const SCHEME: &str = "v1";

// A key of 44 random characters carries no padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The key that both sides share.
#[derive(Clone)]
pub struct SigningKey(Vec<u8>);

impl SigningKey {
    /// The key as the secret carries it, base64.
    ///
    /// # Errors
    /// It is not base64.
    pub fn from_base64(text: &str) -> Result<Self, base64::DecodeError> {
        BASE64.decode(text).map(Self)
    }
}

/// Why an event is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    MissingHeader(&'static str),
    MalformedTimestamp,
    TooOldOrNew,
    WrongSignature,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::MissingHeader(name) => write!(f, "the header {name} is missing"),
            Self::MalformedTimestamp => f.write_str("webhook-timestamp is not a number of seconds"),
            Self::TooOldOrNew => f.write_str("webhook-timestamp is more than 5 minutes from now"),
            Self::WrongSignature => f.write_str("no v1 signature in webhook-signature fits"),
        }
    }
}

/// Checks an event's headers against its body. `now` is in seconds since 1970.
pub(super) fn verify(
    key: &SigningKey,
    headers: &HeaderMap,
    body: &[u8],
    now: i64,
) -> Result<(), Refusal> {
    let header = |name: &'static str| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .ok_or(Refusal::MissingHeader(name))
    };
    let id = header("webhook-id")?;
    let timestamp = header("webhook-timestamp")?;
    let signatures = header("webhook-signature")?;
    let time: i64 = timestamp.parse().map_err(|_| Refusal::MalformedTimestamp)?;
    if now.abs_diff(time) > TOLERANCE.unsigned_abs() {
        return Err(Refusal::TooOldOrNew);
    }
    // The header may carry several signatures, while a key is being replaced.
    let fits = signatures
        .split(' ')
        .filter_map(|signature| signature.split_once(','))
        .filter(|(scheme, _)| *scheme == SCHEME)
        .filter_map(|(_, signature)| BASE64.decode(signature).ok())
        .any(|signature| {
            signed(key, id, timestamp, body)
                .verify_slice(&signature)
                .is_ok()
        });
    if fits {
        Ok(())
    } else {
        Err(Refusal::WrongSignature)
    }
}

/// The MAC over an event; its comparison takes the same time for every wrong signature.
fn signed(key: &SigningKey, id: &str, timestamp: &str, body: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(&key.0).expect("HMAC takes keys of any length");
    for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
        mac.update(part);
    }
    mac
}

/// What `webhook-signature` says of an event.
#[cfg(test)]
pub(super) fn signature(key: &SigningKey, id: &str, timestamp: &str, body: &[u8]) -> String {
    let mac = signed(key, id, timestamp, body).finalize().into_bytes();
    format!("{SCHEME},{}", BASE64.encode(mac))
}

#[cfg(test)]
mod tests {
    use super::*;

    // The example of the Standard Webhooks specification's reference libraries.
    const KEY: &str = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const TIME: &str = "1614265330";
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    const NOW: i64 = 1_614_265_330;

    fn headers(id: &str, time: &str, signature: &str) -> HeaderMap {
        [
            ("webhook-id", id),
            ("webhook-timestamp", time),
            ("webhook-signature", signature),
        ]
        .into_iter()
        .map(|(name, value)| (name.parse().expect("name"), value.parse().expect("value")))
        .collect()
    }

    fn verdict(headers: &HeaderMap, body: &[u8], now: i64) -> Result<(), Refusal> {
        verify(
            &SigningKey::from_base64(KEY).expect("base64"),
            headers,
            body,
            now,
        )
    }

    #[test]
    fn the_specifications_example_is_believed() {
        let signed = headers(ID, TIME, SIGNATURE);
        assert_eq!(verdict(&signed, BODY, NOW), Ok(()));
        let among_others = headers(ID, TIME, &format!("v1,AAAA v2,xyz {SIGNATURE}"));
        assert_eq!(verdict(&among_others, BODY, NOW), Ok(()));
    }

    #[test]
    fn any_changed_part_is_refused() {
        let wrong = Err(Refusal::WrongSignature);
        assert_eq!(verdict(&headers(ID, TIME, SIGNATURE), b"{}", NOW), wrong);
        assert_eq!(
            verdict(&headers("msg_x", TIME, SIGNATURE), BODY, NOW),
            wrong
        );
        assert_eq!(
            verdict(&headers(ID, "1614265331", SIGNATURE), BODY, NOW),
            wrong
        );
        assert_eq!(verdict(&headers(ID, TIME, "v1,"), BODY, NOW), wrong);
        let other_scheme = SIGNATURE.replace("v1,", "v2,");
        assert_eq!(verdict(&headers(ID, TIME, &other_scheme), BODY, NOW), wrong);
    }

    #[test]
    fn an_old_event_and_one_from_the_future_are_refused() {
        let signed = headers(ID, TIME, SIGNATURE);
        assert_eq!(verdict(&signed, BODY, NOW + TOLERANCE), Ok(()));
        assert_eq!(
            verdict(&signed, BODY, NOW + TOLERANCE + 1),
            Err(Refusal::TooOldOrNew)
        );
        assert_eq!(
            verdict(&signed, BODY, NOW - TOLERANCE - 1),
            Err(Refusal::TooOldOrNew)
        );
    }

    #[test]
    fn every_header_must_be_there() {
        for name in HEADERS {
            let mut headers = headers(ID, TIME, SIGNATURE);
            headers.remove(name);
            assert_eq!(
                verdict(&headers, BODY, NOW),
                Err(Refusal::MissingHeader(name))
            );
        }
        let blank = headers(ID, "", SIGNATURE);
        assert_eq!(verdict(&blank, BODY, NOW), Err(Refusal::MalformedTimestamp));
    }

    #[test]
    fn a_key_of_44_random_characters_is_base64() {
        assert!(SigningKey::from_base64(&"aZ09".repeat(11)).is_ok());
    }
}
