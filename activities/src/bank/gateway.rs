//! The gateway's address and key, from Secrets Manager: cached, and fetched again when the bank refuses the key, so
//! that a rotated key needs no deployment.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio::sync::Mutex;
use url::Url;

use crate::domain::callback_base::is_https_or_loopback;
use crate::domain::notification::Notification;

/// How long a fetched secret is used without asking again.
const CACHED_FOR: Duration = Duration::from_secs(5 * 60);
/// How soon after a fetch a refused key may cause another: a flood of refusals must not become a flood of fetches.
const REFRESH_AFTER: Duration = Duration::from_secs(60);

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

/// The secret could not be fetched or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretUnavailable {
    /// Secrets Manager did not answer, or refused.
    #[error("the gateway secret cannot be fetched: {0}")]
    Fetch(String),
    /// It answered with something else than a gateway secret.
    #[error(transparent)]
    Invalid(#[from] InvalidGatewaySecret),
}

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

impl fmt::Debug for GatewaySecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GatewaySecret(redacted)")
    }
}

type Fetch = Pin<Box<dyn Future<Output = Result<SecretString, String>> + Send>>;

/// Where the secret's JSON comes from.
#[derive(Clone)]
pub struct SecretSource(Arc<dyn Fn() -> Fetch + Send + Sync>);

impl SecretSource {
    /// A source that calls `fetch` each time the secret is needed afresh.
    pub fn new<F, T>(fetch: F) -> Self
    where
        F: Fn() -> T + Send + Sync + 'static,
        T: Future<Output = Result<SecretString, String>> + Send + 'static,
    {
        Self(Arc::new(move || Box::pin(fetch())))
    }

    /// A secret in Secrets Manager, by name or ARN.
    #[must_use]
    pub fn secrets_manager(client: aws_sdk_secretsmanager::Client, id: String) -> Self {
        Self::new(move || {
            let request = client.get_secret_value().secret_id(&id);
            async move {
                use aws_sdk_secretsmanager::error::ProvideErrorMetadata;
                let output = request
                    .send()
                    .await
                    .map_err(|error| error.code().unwrap_or("no answer").to_owned())?;
                output
                    .secret_string
                    .map(SecretString::from)
                    .ok_or_else(|| "it has no string value".to_owned())
            }
        })
    }

    /// Fetches the secret's text.
    ///
    /// # Errors
    /// A reason without any of the secret.
    pub async fn fetch(&self) -> Result<SecretString, String> {
        (self.0)().await
    }
}

/// The gateway secret, cached.
#[derive(Clone)]
pub struct Gateway {
    source: SecretSource,
    cached: Arc<Mutex<Option<Cached>>>,
}

struct Cached {
    secret: GatewaySecret,
    at: Instant,
}

impl Gateway {
    /// A cache over `source`; nothing is fetched yet.
    #[must_use]
    pub fn new(source: SecretSource) -> Self {
        Self {
            source,
            cached: Arc::default(),
        }
    }

    /// The secret, at most five minutes old.
    ///
    /// # Errors
    /// [`SecretUnavailable`].
    pub async fn current(&self) -> Result<GatewaySecret, SecretUnavailable> {
        let mut cached = self.cached.lock().await;
        match &*cached {
            Some(hit) if hit.at.elapsed() < CACHED_FOR => Ok(hit.secret.clone()),
            _ => self.fetch_into(&mut cached).await,
        }
    }

    /// The secret fetched anew because the bank refused the cached key; `None` when it was fetched less than a minute
    /// ago.
    ///
    /// # Errors
    /// [`SecretUnavailable`].
    pub async fn refreshed(&self) -> Result<Option<GatewaySecret>, SecretUnavailable> {
        let mut cached = self.cached.lock().await;
        match &*cached {
            Some(hit) if hit.at.elapsed() < REFRESH_AFTER => Ok(None),
            _ => self.fetch_into(&mut cached).await.map(Some),
        }
    }

    /// Whether the bank signed this notification. A checksum that does not fit has the secret fetched anew, at most once
    /// a minute: the key may have been rotated.
    ///
    /// # Errors
    /// [`SecretUnavailable`].
    pub async fn signed(&self, notification: &Notification) -> Result<bool, SecretUnavailable> {
        if self.current().await?.signed(notification) {
            return Ok(true);
        }
        let fresh = self.refreshed().await?;
        Ok(fresh.is_some_and(|secret| secret.signed(notification)))
    }

    async fn fetch_into(
        &self,
        cached: &mut Option<Cached>,
    ) -> Result<GatewaySecret, SecretUnavailable> {
        let text = self
            .source
            .fetch()
            .await
            .map_err(SecretUnavailable::Fetch)?;
        let secret = GatewaySecret::parse(text.expose_secret())?;
        *cached = Some(Cached {
            secret: secret.clone(),
            at: Instant::now(),
        });
        Ok(secret)
    }
}

#[cfg(test)]
mod tests {
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

    fn notification(failure_code: &str, checksum: &str) -> Notification {
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

    #[tokio::test]
    async fn a_refused_key_is_fetched_again_at_most_once_a_minute() {
        let fetches = Arc::new(std::sync::atomic::AtomicU32::new(0));
        let counted = Arc::clone(&fetches);
        let gateway = Gateway::new(SecretSource::new(move || {
            counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            async {
                Ok(r#"{"url":"https://g.example","b2c":"p:skey_test_x"}"#
                    .to_owned()
                    .into())
            }
        }));
        gateway.current().await.unwrap();
        gateway.current().await.unwrap();
        assert!(gateway.refreshed().await.unwrap().is_none());
        assert_eq!(fetches.load(std::sync::atomic::Ordering::SeqCst), 1);
    }
}
