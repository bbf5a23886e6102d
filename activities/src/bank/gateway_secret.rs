//! The gateway secret's value: where the gateway is, and the key to it.

use std::fmt;

use http::header::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use url::Url;

use crate::domain::callback_base::is_https_or_loopback;
use crate::domain::notification::Notification;

/// What is hashed before a key, so that its fingerprint is of no use anywhere else.
const FINGERPRINT_OF: &str = "payment3 key of the bank:";
const FINGERPRINT_DIGITS: usize = 16;

/// The secret's value: where the gateway is, and the key to it.
#[derive(Clone)]
pub struct GatewaySecret {
    base: Url,
    key: SecretString,
}

/// Why a secret's value cannot be used. Never holds any of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the gateway secret {0}; expected JSON {{\"url\": \"https://…\", \"b2c\": \"<public key>:<secret key>\"}}"
)]
pub struct InvalidGatewaySecret(&'static str);

impl GatewaySecret {
    /// Reads the secret's JSON. Further keys in it are left alone.
    ///
    /// # Errors
    /// [`InvalidGatewaySecret`] says what is missing.
    pub fn parse(json: &str) -> Result<Self, InvalidGatewaySecret> {
        #[derive(Deserialize)]
        struct Layout {
            url: String,
            b2c: String,
        }
        let layout: Layout = serde_json::from_str(json)
            .map_err(|_| InvalidGatewaySecret("is not JSON with the strings `url` and `b2c`"))?;
        let mut base =
            Url::parse(&layout.url).map_err(|_| InvalidGatewaySecret("holds no URL in `url`"))?;
        if !is_https_or_loopback(&base) {
            return Err(InvalidGatewaySecret("must have an https `url`"));
        }
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        let key = layout
            .b2c
            .split_once(':')
            .map(|(_, secret)| secret.trim())
            .filter(|key| !key.is_empty())
            .ok_or(InvalidGatewaySecret("holds no secret key in `b2c`"))?;
        HeaderValue::from_str(key)
            .map_err(|_| InvalidGatewaySecret("holds a key with impossible characters"))?;
        Ok(Self {
            base,
            key: key.to_owned().into(),
        })
    }

    /// Whether the key moves real money: the bank's keys read `skey_prod_…` and `skey_test_…`.
    #[must_use]
    pub fn livemode(&self) -> bool {
        !self.key.expose_secret().starts_with("skey_test_")
    }

    /// Which key this is, without telling it: the first 16 hex digits of a hash of it. Another key of the same account
    /// has another one.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let mut hash = Sha256::new_with_prefix(FINGERPRINT_OF);
        hash.update(self.key.expose_secret());
        hex::encode(hash.finalize())[..FINGERPRINT_DIGITS].to_owned()
    }

    /// Whether the bank signed this notification: lower-case hex SHA-256 of the signed text and the key, or of the
    /// signed text, the failure code and the key (integrations differ on declines). Compared in constant time.
    #[must_use]
    pub fn signed(&self, notification: &Notification) -> bool {
        let key = self.key.expose_secret();
        let said = notification.checksum.as_bytes();
        ["", notification.failure_code.as_str()]
            .iter()
            .map(|failure_code| {
                let text = format!("{}{failure_code}{key}", notification.signed);
                hex::encode(Sha256::digest(text)).as_bytes().ct_eq(said)
            })
            .fold(subtle::Choice::from(0), |any, same| any | same)
            .into()
    }

    pub(super) fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("{}card/v2/{path}", self.base.path()));
        url
    }

    pub(super) fn api_key(&self) -> HeaderValue {
        // `parse` saw that it is a header value.
        let mut value = HeaderValue::from_str(self.key.expose_secret())
            .unwrap_or_else(|_| HeaderValue::from_static(""));
        value.set_sensitive(true);
        value
    }
}

impl PartialEq for GatewaySecret {
    fn eq(&self, other: &Self) -> bool {
        self.base == other.base && self.key.expose_secret() == other.key.expose_secret()
    }
}

impl fmt::Debug for GatewaySecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GatewaySecret(redacted)")
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    #[test]
    fn the_secret_layout_of_the_running_system_is_read() {
        let secret = GatewaySecret::parse(
            r#"{"url":"https://gateway.example","b2c":"pkey_test_x:skey_test_x","more":1}"#,
        )
        .unwrap();
        assert_eq!(
            secret.url("charge").as_str(),
            "https://gateway.example/card/v2/charge"
        );
        assert!(!secret.livemode());
        assert!(!format!("{secret:?}").contains("skey"));
    }

    #[test]
    fn a_broken_secret_says_what_is_missing_and_nothing_of_itself() {
        for json in [
            "skey_test_plain",
            r#"{"url":"https://gateway.example"}"#,
            r#"{"url":"http://gateway.example","b2c":"p:skey_test_x"}"#,
            r#"{"url":"https://gateway.example","b2c":"skey_test_x"}"#,
            r#"{"url":"https://gateway.example","b2c":"p:"}"#,
            r#"{"url":"gateway","b2c":"p:skey_test_x"}"#,
        ] {
            let error = GatewaySecret::parse(json).unwrap_err().to_string();
            assert!(!error.contains("skey_test"), "{error}");
        }
    }

    #[test]
    fn a_keys_fingerprint_is_its_own_and_does_not_tell_it() {
        let of = |key: &str| {
            let json = format!(r#"{{"url":"https://g.example","b2c":"p:{key}"}}"#);
            GatewaySecret::parse(&json).unwrap().fingerprint()
        };
        // Stored in records: it must stay what it is.
        assert_eq!(of("skey_test_x"), "cbb2e048911f11f0");
        assert_eq!(of(" skey_test_x "), of("skey_test_x"));
        assert_ne!(of("skey_test_y"), of("skey_test_x"));
        assert_ne!(
            of("skey_test_x"),
            hex::encode(Sha256::digest("skey_test_x"))[..FINGERPRINT_DIGITS]
        );
    }

    /// A notification with this failure code and checksum.
    pub(crate) fn notification(failure_code: &str, checksum: &str) -> Notification {
        let body = format!(
            r#"{{"id":"chrg_test_x","amount":1250,"currency":"THB","status":"success",
                "transaction_state":"Authorized","failure_code":"{failure_code}","checksum":"{checksum}"}}"#
        );
        Notification::parse(body.as_bytes()).unwrap()
    }

    #[test]
    fn the_checksum_is_the_banks_by_either_known_formula() {
        let secret =
            GatewaySecret::parse(r#"{"url":"https://g.example","b2c":"p:skey_test_x"}"#).unwrap();
        // The arithmetic example that integrations agree on.
        let example = "9df71f5c4c71f710777b03314ba51a69cf60e4eddac72f9d9b2614aeb49b24d6";
        assert!(secret.signed(&notification("", example)));
        let with_code = hex::encode(Sha256::digest(
            "chrg_test_x1250.0000THBsuccessAuthorized05skey_test_x",
        ));
        assert!(secret.signed(&notification("05", &with_code)));
        assert!(!secret.signed(&notification("", &with_code)));
        for forged in [
            &example[..63],
            &example.to_uppercase(),
            &format!("{example}0"),
            "x",
        ] {
            assert!(!secret.signed(&notification("", forged)), "{forged}");
        }
    }
}
