//! The gateway's address and key, from Secrets Manager. They are cached, and fetched again when the bank refuses the
//! key or a checksum does not fit, so that a rotated key needs no deployment.

use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::gateway_secret::{GatewaySecret, InvalidGatewaySecret};
use crate::clock::Clock;
use crate::domain::notification::Notification;
use crate::secret::{Former, SecretSource, Version};

/// How long a fetched secret is used without asking again.
const CACHED_FOR: Duration = Duration::from_secs(5 * 60);
/// How often refused keys and checksums that do not fit may have the secret fetched anew, before it is too old: so many
/// times at once, and then once in so long. A rotated key is there at once, and a flood of refusals is no flood of
/// fetches.
const REFRESHES_AT_ONCE: u32 = 5;
const REFRESH_EVERY: Duration = Duration::from_secs(10);

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

/// The bank's address and keys as they count now: the gateway secret, cached.
#[derive(Clone)]
pub struct Credentials {
    source: SecretSource,
    clock: Clock,
    state: Arc<Mutex<State>>,
}

struct State {
    cached: Option<Cached>,
    refreshes: RateLimit,
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
    fn signed(&self, notification: &Notification, now: i64) -> bool {
        let former = self.former.as_ref().filter(|(_, until)| now < *until);
        self.secret.signed(notification)
            || former.is_some_and(|(secret, _)| secret.signed(notification))
    }
}

impl Credentials {
    /// A cache over `source`; nothing is fetched yet.
    #[must_use]
    pub fn new(source: SecretSource, clock: Clock) -> Self {
        Self {
            source,
            clock,
            state: Arc::new(Mutex::new(State {
                cached: None,
                refreshes: RateLimit::unused(Instant::now()),
            })),
        }
    }

    /// The clock by which former keys end.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.clock
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
    /// checksum that fits neither has both fetched anew: the key may have been rotated this very moment. A flood of
    /// forged ones does not become a flood of fetches.
    ///
    /// # Errors
    /// [`SecretUnavailable`].
    pub async fn signed(&self, notification: &Notification) -> Result<bool, SecretUnavailable> {
        let mut state = self.state.lock().await;
        if self
            .cached(&mut state)
            .await?
            .signed(notification, self.clock.seconds())
        {
            return Ok(true);
        }
        if !state.refreshes.take(Instant::now()) {
            return Ok(false);
        }
        let cached = self.fetch(&mut state).await?;
        cached.former = self.former(&cached.version).await?;
        Ok(cached.signed(notification, self.clock.seconds()))
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
            .former(current, self.clock.seconds())
            .await
            .map_err(SecretUnavailable::Fetch)?;
        Ok(former.and_then(|Former { text, until }| {
            let secret = GatewaySecret::parse(text.expose_secret()).ok()?;
            Some((secret, until))
        }))
    }
}

/// How many fetches are left: so many at once, and one more after each [`REFRESH_EVERY`]. Kept as the moment at which
/// all are there again.
struct RateLimit {
    full_at: Instant,
}

impl RateLimit {
    fn unused(now: Instant) -> Self {
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
    use jiff::Timestamp;
    use sha2::{Digest, Sha256};

    use super::super::gateway_secret::tests::notification;
    use super::*;
    use crate::secret::Stage;

    /// A secret of Secrets Manager that the test rotates.
    #[derive(Clone, Default)]
    struct Rotated(Arc<std::sync::Mutex<Put>>);

    #[derive(Default)]
    struct Put {
        /// What the clock shows, in seconds since 1970.
        now: i64,
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
            let mut put = self.0.lock().unwrap();
            let put_at = put.now - ago;
            put.versions.push((text.to_owned(), put_at));
        }

        fn wait(&self, seconds: i64) {
            self.0.lock().unwrap().now += seconds;
        }

        /// The clock by which keys were put.
        fn clock(&self) -> Clock {
            let secret = self.clone();
            Clock::new(move || Timestamp::from_second(secret.0.lock().unwrap().now).unwrap())
        }

        fn fetches(&self) -> u32 {
            self.0.lock().unwrap().fetches
        }

        fn credentials(&self) -> Credentials {
            let secret = self.clone();
            let source = SecretSource::versions(move |stage| {
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
            });
            Credentials::new(source, self.clock())
        }
    }

    fn signed_with(key: &str) -> Notification {
        let checksum = hex::encode(Sha256::digest(format!(
            "chrg_test_x1250.0000THBsuccessAuthorized{key}"
        )));
        notification("", &checksum)
    }

    /// Whether a notification that this key signed is believed.
    async fn believes(credentials: &Credentials, key: &str) -> bool {
        credentials.signed(&signed_with(key)).await.unwrap()
    }

    const DAY: i64 = 24 * 60 * 60;

    #[tokio::test]
    async fn a_notification_that_was_signed_before_a_rotation_is_believed_for_a_day() {
        let secret = Rotated::default();
        secret.put("skey_test_former", 100 * DAY);
        secret.put("skey_test_new", DAY - 60);
        let credentials = secret.credentials();
        for key in ["skey_test_former", "skey_test_new", "skey_test_former"] {
            assert!(believes(&credentials, key).await, "{key}");
        }
        assert!(!believes(&credentials, "skey_test_x").await);
        // Requests to the bank go with the new key alone.
        let current = credentials.current().await.unwrap();
        assert_eq!(current.api_key(), "skey_test_new");
    }

    #[tokio::test]
    async fn a_former_key_is_refused_once_the_rotation_is_a_day_old_and_is_not_even_fetched() {
        let secret = Rotated::default();
        secret.put("skey_test_former", 100 * DAY);
        secret.put("skey_test_new", DAY);
        let credentials = secret.credentials();
        assert!(!believes(&credentials, "skey_test_former").await);
        assert!(believes(&credentials, "skey_test_new").await);
        assert_eq!(secret.fetches(), 2, "the current one, twice");
    }

    #[tokio::test]
    async fn a_former_key_that_a_process_knows_ends_with_its_day() {
        let secret = Rotated::default();
        secret.put("skey_test_former", 100 * DAY);
        secret.put("skey_test_new", DAY - 3);
        let credentials = secret.credentials();
        let signed = signed_with("skey_test_former");
        assert!(credentials.signed(&signed).await.unwrap());
        secret.wait(2);
        assert!(credentials.signed(&signed).await.unwrap());
        secret.wait(1);
        assert!(!credentials.signed(&signed).await.unwrap());
    }

    #[tokio::test]
    async fn a_key_that_is_rotated_between_two_deliveries_is_known_at_once() {
        let secret = Rotated::default();
        secret.put("skey_test_1", 100 * DAY);
        let credentials = secret.credentials();
        assert!(believes(&credentials, "skey_test_1").await);
        secret.put("skey_test_2", 0);
        assert!(believes(&credentials, "skey_test_2").await);
        assert!(believes(&credentials, "skey_test_1").await);
        // A second rotation in the same minute is known at once, too, and only one former key counts.
        secret.put("skey_test_3", -1);
        assert!(believes(&credentials, "skey_test_3").await);
        assert!(believes(&credentials, "skey_test_2").await);
        assert!(!believes(&credentials, "skey_test_1").await);
    }

    #[tokio::test]
    async fn a_stolen_key_is_dropped_at_once_by_putting_the_new_one_twice() {
        let secret = Rotated::default();
        secret.put("skey_test_stolen", 100 * DAY);
        let credentials = secret.credentials();
        // Within one second.
        let just_now = 60;
        secret.put("skey_test_new", just_now);
        assert!(believes(&credentials, "skey_test_stolen").await);
        secret.put("skey_test_new", just_now);
        // A process that is warm reads the secret again within five minutes, one that starts at once.
        let mut state = credentials.state.lock().await;
        credentials.fetch(&mut state).await.unwrap();
        drop(state);
        for credentials in [credentials, secret.credentials()] {
            assert!(!believes(&credentials, "skey_test_stolen").await);
            assert!(believes(&credentials, "skey_test_new").await);
        }
    }

    #[tokio::test]
    async fn a_flood_of_forged_notifications_is_no_flood_of_fetches() {
        for rotated_ago in [60, 100 * DAY] {
            let secret = Rotated::default();
            secret.put("skey_test_former", 200 * DAY);
            secret.put("skey_test_new", rotated_ago);
            let credentials = secret.credentials();
            for _ in 0..1000 {
                assert!(!believes(&credentials, "skey_test_x").await);
            }
            assert!(secret.fetches() <= 1 + 2 * REFRESHES_AT_ONCE);
            // And the genuine ones are believed in the middle of it.
            assert!(believes(&credentials, "skey_test_new").await);
            let former = believes(&credentials, "skey_test_former").await;
            assert_eq!(former, rotated_ago < DAY);
        }
    }

    #[test]
    fn fetches_are_granted_five_at_once_and_then_one_in_ten_seconds() {
        let start = Instant::now();
        let mut limit = RateLimit::unused(start);
        let granted = |limit: &mut RateLimit, after| {
            (0..100)
                .filter(|_| limit.take(start + Duration::from_secs(after)))
                .count()
        };
        assert_eq!(granted(&mut limit, 0), 5);
        assert_eq!(granted(&mut limit, 9), 0);
        assert_eq!(granted(&mut limit, 10), 1);
        assert_eq!(granted(&mut limit, 29), 1);
        assert_eq!(granted(&mut limit, 30), 1);
        assert_eq!(granted(&mut limit, 3600), 5);
    }

    #[tokio::test]
    async fn a_former_version_that_is_no_secret_or_absent_changes_nothing() {
        let secret = Rotated::default();
        secret.put("skey_test_new", 0);
        let credentials = secret.credentials();
        assert!(!believes(&credentials, "skey_test_x").await);
        let secret = Rotated::default();
        secret.put_text("to be filled in", 10);
        secret.put("skey_test_new", 0);
        let credentials = secret.credentials();
        assert!(!believes(&credentials, "skey_test_x").await);
        assert!(believes(&credentials, "skey_test_new").await);
    }

    #[tokio::test]
    async fn a_refused_key_is_replaced_at_once_and_only_by_another() {
        let secret = Rotated::default();
        secret.put("skey_test_1", 100 * DAY);
        let credentials = secret.credentials();
        let first = credentials.current().await.unwrap();
        assert!(credentials.instead_of(&first).await.unwrap().is_none());
        secret.put("skey_test_2", 0);
        let second = credentials.instead_of(&first).await.unwrap().unwrap();
        assert_eq!(second.api_key(), "skey_test_2");
        // Somebody else who was refused with the first one gets it without a fetch.
        let fetches = secret.fetches();
        assert!(credentials.instead_of(&first).await.unwrap() == Some(second));
        assert_eq!(secret.fetches(), fetches);
    }
}
