//! The gateway's address and key, from Secrets Manager: cached, and fetched again when the bank refuses the key or a
//! checksum does not fit, so that a rotated key needs no deployment.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio::sync::Mutex;
use url::Url;

use crate::clock;
use crate::domain::callback_base::is_https_or_loopback;
use crate::domain::notification::Notification;
use crate::secret::{Former, SecretSource, Version};

/// How long a fetched secret is used without asking again.
const CACHED_FOR: Duration = Duration::from_secs(5 * 60);
/// How often refused keys and checksums that do not fit may have the secret fetched anew, before it is too old: so many times at
/// once, and then once in so long. A rotated key is there at once, and a flood of refusals is no flood of fetches.
const REFRESHES_AT_ONCE: u32 = 5;
const REFRESH_EVERY: Duration = Duration::from_secs(10);

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

    /// Which key this is, without telling it: the first 16 hex digits of a hash of it. Another key of the same account has
    /// another one.
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

/// The gateway secret, cached.
#[derive(Clone)]
pub struct Gateway {
    source: SecretSource,
    state: Arc<Mutex<State>>,
}

struct State {
    cached: Option<Cached>,
    refreshes: Allowance,
}

/// What Secrets Manager said last.
struct Cached {
    secret: GatewaySecret,
    at: Instant,
    /// The version whose text `secret` is.
    version: Version,
    /// The secret before the last rotation, once somebody needed it, and until when it counts.
    former: Option<(GatewaySecret, i64)>,
}

impl Cached {
    /// Whether the bank signed this notification: with its key, or for a day after a rotation with the one before.
    fn signed(&self, notification: &Notification) -> bool {
        let former = self
            .former
            .as_ref()
            .filter(|(_, until)| clock::now_seconds() < *until);
        self.secret.signed(notification)
            || former.is_some_and(|(secret, _)| secret.signed(notification))
    }
}

impl Gateway {
    /// A cache over `source`; nothing is fetched yet.
    #[must_use]
    pub fn new(source: SecretSource) -> Self {
        Self {
            source,
            state: Arc::new(Mutex::new(State {
                cached: None,
                refreshes: Allowance::full(Instant::now()),
            })),
        }
    }

    /// The secret, at most five minutes old.
    ///
    /// # Errors
    /// [`SecretUnavailable`].
    pub async fn current(&self) -> Result<GatewaySecret, SecretUnavailable> {
        let mut state = self.state.lock().await;
        Ok(self.cached(&mut state).await?.secret.clone())
    }

    /// Which key the bank is called with now ([`GatewaySecret::fingerprint`]).
    ///
    /// # Errors
    /// [`SecretUnavailable`].
    pub async fn fingerprint(&self) -> Result<String, SecretUnavailable> {
        Ok(self.current().await?.fingerprint())
    }

    /// The secret to use instead of `refused`, which the bank does not take any more: fetched anew, unless that has
    /// happened already. `None` when there is no other, or when too much was fetched lately.
    ///
    /// # Errors
    /// [`SecretUnavailable`].
    pub async fn instead_of(
        &self,
        refused: &GatewaySecret,
    ) -> Result<Option<GatewaySecret>, SecretUnavailable> {
        let mut state = self.state.lock().await;
        if self.cached(&mut state).await?.secret == *refused && state.refreshes.take(Instant::now())
        {
            self.fetch(&mut state).await?;
        }
        let secret = &self.cached(&mut state).await?.secret;
        Ok((secret != refused).then(|| secret.clone()))
    }

    /// Whether the bank signed this notification, with its key or, for a day after a rotation, with the one before. A
    /// checksum that fits neither has both fetched anew: the key may have been rotated this very moment. A flood of forged
    /// ones does not become a flood of fetches.
    ///
    /// # Errors
    /// [`SecretUnavailable`].
    pub async fn signed(&self, notification: &Notification) -> Result<bool, SecretUnavailable> {
        let mut state = self.state.lock().await;
        if self.cached(&mut state).await?.signed(notification) {
            return Ok(true);
        }
        if !state.refreshes.take(Instant::now()) {
            return Ok(false);
        }
        let cached = self.fetch(&mut state).await?;
        cached.former = self.former(&cached.version).await?;
        Ok(cached.signed(notification))
    }

    /// What is cached, fetched anew where it is too old.
    async fn cached<'a>(&self, state: &'a mut State) -> Result<&'a mut Cached, SecretUnavailable> {
        match state.cached.take() {
            Some(hit) if hit.at.elapsed() < CACHED_FOR => Ok(state.cached.insert(hit)),
            stale => {
                state.cached = stale;
                self.fetch(state).await
            }
        }
    }

    /// Fetches the current secret. The one before it, if it is known, is kept as long as nothing new was put.
    async fn fetch<'a>(&self, state: &'a mut State) -> Result<&'a mut Cached, SecretUnavailable> {
        let version = self
            .source
            .current()
            .await
            .map_err(SecretUnavailable::Fetch)?;
        let secret = GatewaySecret::parse(version.expose())?;
        let former = state
            .cached
            .take()
            .filter(|cached| cached.version.id == version.id)
            .and_then(|cached| cached.former);
        Ok(state.cached.insert(Cached {
            secret,
            at: Instant::now(),
            version,
            former,
        }))
    }

    /// The secret before the last rotation, while it counts. One that cannot be read signed nothing.
    async fn former(
        &self,
        current: &Version,
    ) -> Result<Option<(GatewaySecret, i64)>, SecretUnavailable> {
        let former = self
            .source
            .former(current)
            .await
            .map_err(SecretUnavailable::Fetch)?;
        Ok(former.and_then(|Former { text, until }| {
            let secret = GatewaySecret::parse(text.expose_secret()).ok()?;
            Some((secret, until))
        }))
    }
}

/// A bucket of fetches, kept as the moment at which it will be full again.
struct Allowance {
    full_at: Instant,
}

impl Allowance {
    fn full(now: Instant) -> Self {
        Self { full_at: now }
    }

    /// Takes one, if there is one.
    fn take(&mut self, now: Instant) -> bool {
        let full_at = self.full_at.max(now) + REFRESH_EVERY;
        let granted = full_at <= now + REFRESH_EVERY * REFRESHES_AT_ONCE;
        if granted {
            self.full_at = full_at;
        }
        granted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Stage;

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

    /// A secret of Secrets Manager that the test rotates.
    #[derive(Clone, Default)]
    struct Rotated(Arc<std::sync::Mutex<Put>>);

    #[derive(Default)]
    struct Put {
        /// Text and time of each version, newest last.
        versions: Vec<(String, i64)>,
        /// How often one was fetched.
        fetches: u32,
    }

    impl Rotated {
        /// Puts a key, `ago` seconds ago.
        fn put(&self, key: &str, ago: i64) {
            let json = format!(r#"{{"url":"https://g.example","b2c":"p:{key}"}}"#);
            self.put_text(&json, ago);
        }

        fn put_text(&self, text: &str, ago: i64) {
            let put_at = clock::now_seconds() - ago;
            let mut put = self.0.lock().unwrap();
            put.versions.push((text.to_owned(), put_at));
        }

        fn fetches(&self) -> u32 {
            self.0.lock().unwrap().fetches
        }

        fn gateway(&self) -> Gateway {
            let secret = self.clone();
            Gateway::new(SecretSource::versions(move |stage| {
                let mut secret = secret.0.lock().unwrap();
                secret.fetches += 1;
                let back = if stage == Stage::Current { 1 } else { 2 };
                let version = secret.versions.iter().enumerate().nth_back(back - 1).map(
                    |(at, (text, put_at))| Version {
                        text: text.clone().into(),
                        id: Some(at.to_string()),
                        put_at: Some(*put_at),
                    },
                );
                async { Ok(version) }
            }))
        }
    }

    fn signed_with(key: &str) -> Notification {
        let checksum = hex::encode(Sha256::digest(format!(
            "chrg_test_x1250.0000THBsuccessAuthorized{key}"
        )));
        notification("", &checksum)
    }

    const DAY: i64 = 24 * 60 * 60;

    #[tokio::test]
    async fn a_notification_that_was_signed_before_a_rotation_is_believed_for_a_day() {
        let secret = Rotated::default();
        secret.put("skey_test_former", 100 * DAY);
        secret.put("skey_test_new", DAY - 60);
        let gateway = secret.gateway();
        for key in ["skey_test_former", "skey_test_new", "skey_test_former"] {
            assert!(gateway.signed(&signed_with(key)).await.unwrap(), "{key}");
        }
        assert!(!gateway.signed(&signed_with("skey_test_x")).await.unwrap());
        // Requests to the bank go with the new key alone.
        let current = gateway.current().await.unwrap();
        assert_eq!(current.api_key(), "skey_test_new");
    }

    #[tokio::test]
    async fn a_former_key_is_refused_once_the_rotation_is_a_day_old_and_is_not_even_fetched() {
        let secret = Rotated::default();
        secret.put("skey_test_former", 100 * DAY);
        secret.put("skey_test_new", DAY);
        let gateway = secret.gateway();
        assert!(
            !gateway
                .signed(&signed_with("skey_test_former"))
                .await
                .unwrap()
        );
        assert!(gateway.signed(&signed_with("skey_test_new")).await.unwrap());
        assert_eq!(secret.fetches(), 2, "the current one, twice");
    }

    #[tokio::test]
    async fn a_former_key_that_a_process_knows_ends_with_its_day() {
        let secret = Rotated::default();
        secret.put("skey_test_former", 100 * DAY);
        secret.put("skey_test_new", DAY - 3);
        let gateway = secret.gateway();
        let signed = signed_with("skey_test_former");
        assert!(gateway.signed(&signed).await.unwrap());
        tokio::time::sleep(Duration::from_secs(4)).await;
        assert!(!gateway.signed(&signed).await.unwrap());
    }

    #[tokio::test]
    async fn a_key_that_is_rotated_between_two_deliveries_is_known_at_once() {
        let secret = Rotated::default();
        secret.put("skey_test_1", 100 * DAY);
        let gateway = secret.gateway();
        assert!(gateway.signed(&signed_with("skey_test_1")).await.unwrap());
        secret.put("skey_test_2", 0);
        assert!(gateway.signed(&signed_with("skey_test_2")).await.unwrap());
        assert!(gateway.signed(&signed_with("skey_test_1")).await.unwrap());
        // A second rotation in the same minute is known at once, too, and only one former key counts.
        secret.put("skey_test_3", -1);
        assert!(gateway.signed(&signed_with("skey_test_3")).await.unwrap());
        assert!(gateway.signed(&signed_with("skey_test_2")).await.unwrap());
        assert!(!gateway.signed(&signed_with("skey_test_1")).await.unwrap());
    }

    #[tokio::test]
    async fn a_stolen_key_is_dropped_at_once_by_putting_the_new_one_twice() {
        let secret = Rotated::default();
        secret.put("skey_test_stolen", 100 * DAY);
        let gateway = secret.gateway();
        // Within one second.
        let just_now = 60;
        secret.put("skey_test_new", just_now);
        assert!(
            gateway
                .signed(&signed_with("skey_test_stolen"))
                .await
                .unwrap()
        );
        secret.put("skey_test_new", just_now);
        // A process that is warm reads the secret again within five minutes, one that starts at once.
        let mut state = gateway.state.lock().await;
        gateway.fetch(&mut state).await.unwrap();
        drop(state);
        for gateway in [gateway, secret.gateway()] {
            assert!(
                !gateway
                    .signed(&signed_with("skey_test_stolen"))
                    .await
                    .unwrap()
            );
            assert!(gateway.signed(&signed_with("skey_test_new")).await.unwrap());
        }
    }

    #[tokio::test]
    async fn a_flood_of_forged_notifications_is_no_flood_of_fetches() {
        for rotated_ago in [60, 100 * DAY] {
            let secret = Rotated::default();
            secret.put("skey_test_former", 200 * DAY);
            secret.put("skey_test_new", rotated_ago);
            let gateway = secret.gateway();
            for _ in 0..1000 {
                assert!(!gateway.signed(&signed_with("skey_test_x")).await.unwrap());
            }
            assert!(secret.fetches() <= 1 + 2 * REFRESHES_AT_ONCE);
            // And the genuine ones are believed in the middle of it.
            assert!(gateway.signed(&signed_with("skey_test_new")).await.unwrap());
            let former = gateway.signed(&signed_with("skey_test_former")).await;
            assert_eq!(former.unwrap(), rotated_ago < DAY);
        }
    }

    #[test]
    fn fetches_are_granted_five_at_once_and_then_one_in_ten_seconds() {
        let start = Instant::now();
        let mut allowance = Allowance::full(start);
        let granted = |allowance: &mut Allowance, after| {
            (0..100)
                .filter(|_| allowance.take(start + Duration::from_secs(after)))
                .count()
        };
        assert_eq!(granted(&mut allowance, 0), 5);
        assert_eq!(granted(&mut allowance, 9), 0);
        assert_eq!(granted(&mut allowance, 10), 1);
        assert_eq!(granted(&mut allowance, 29), 1);
        assert_eq!(granted(&mut allowance, 30), 1);
        assert_eq!(granted(&mut allowance, 3600), 5);
    }

    #[tokio::test]
    async fn a_former_version_that_is_no_secret_or_absent_changes_nothing() {
        let secret = Rotated::default();
        secret.put("skey_test_new", 0);
        let gateway = secret.gateway();
        assert!(!gateway.signed(&signed_with("skey_test_x")).await.unwrap());
        let secret = Rotated::default();
        secret.put_text("to be filled in", 10);
        secret.put("skey_test_new", 0);
        let gateway = secret.gateway();
        assert!(!gateway.signed(&signed_with("skey_test_x")).await.unwrap());
        assert!(gateway.signed(&signed_with("skey_test_new")).await.unwrap());
    }

    #[tokio::test]
    async fn a_refused_key_is_replaced_at_once_and_only_by_another() {
        let secret = Rotated::default();
        secret.put("skey_test_1", 100 * DAY);
        let gateway = secret.gateway();
        let first = gateway.current().await.unwrap();
        assert!(gateway.instead_of(&first).await.unwrap().is_none());
        secret.put("skey_test_2", 0);
        let second = gateway.instead_of(&first).await.unwrap().unwrap();
        assert_eq!(second.api_key(), "skey_test_2");
        // Somebody else who was refused with the first one gets it without a fetch.
        let fetches = secret.fetches();
        assert!(gateway.instead_of(&first).await.unwrap() == Some(second));
        assert_eq!(secret.fetches(), fetches);
    }
}
