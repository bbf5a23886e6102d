//! The HTTP client of the tool.

use std::borrow::Borrow;
use std::sync::OnceLock;
use std::time::Duration;

/// More than any function's or the bank's own time-out.
const TIMEOUT: Duration = Duration::from_secs(40);

/// A client to be: follows no redirects, as every hop of a payment is looked at, and uses no proxy, as everything it
/// talks to is on this machine.
pub fn builder() -> reqwest::ClientBuilder {
    outside().no_proxy()
}

/// The same for what is not on this machine: it takes the proxy of the environment.
pub fn outside() -> reqwest::ClientBuilder {
    // Fails only when a provider is installed already, which then serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().redirect(reqwest::redirect::Policy::none())
}

/// One client for all.
pub fn client() -> &'static reqwest::Client {
    static CLIENT: OnceLock<reqwest::Client> = OnceLock::new();
    CLIENT.get_or_init(|| {
        builder()
            .timeout(TIMEOUT)
            // Every test has a runtime of its own, and a kept connection dies with the runtime that opened it.
            .pool_max_idle_per_host(0)
            .build()
            .expect("a client without certificates of its own can always be built")
    })
}

/// A form's body, `application/x-www-form-urlencoded`.
pub fn form<K: AsRef<str>, V: AsRef<str>>(
    fields: impl IntoIterator<Item: Borrow<(K, V)>>,
) -> String {
    url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(fields)
        .finish()
}

/// The media type of [`form`].
pub const FORM: &str = "application/x-www-form-urlencoded";
