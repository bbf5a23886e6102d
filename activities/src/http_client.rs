//! How requests leave the system, to AWS, the bank and the shop alike: one TLS stack, which trusts one set of roots.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustls::client::Resumption;
use rustls::{ClientConfig, RootCertStore};

use crate::settings::{SettingError, invalid, text};

/// Servers whose TLS sessions are kept for a shorter handshake: three of AWS, the bank and the shop; and for each of
/// them rustls keeps eight tickets.
const SESSIONS: usize = 5 * 8;

/// An HTTP client with a time-out on every call.
///
/// # Errors
/// [`SettingError`] when the trusted roots cannot be read.
pub fn http_client(timeout: Duration) -> Result<reqwest::Client, SettingError> {
    build(with_timeouts(timeout)?)
}

/// As [`http_client`], but every request has a connection of its own. One that was kept may be dead after a freeze, and
/// a request that is written to it leaves open whether it arrived.
///
/// # Errors
/// As [`http_client`].
pub fn http_client_without_reuse(timeout: Duration) -> Result<reqwest::Client, SettingError> {
    build(with_timeouts(timeout)?.pool_max_idle_per_host(0))
}

fn with_timeouts(timeout: Duration) -> Result<reqwest::ClientBuilder, SettingError> {
    Ok(client()?
        .timeout(timeout)
        .connect_timeout(timeout.min(Duration::from_secs(3))))
}

/// What all HTTP clients have in common: rustls with ring, HTTP/1.1, and no redirects, for nobody that we call may send
/// a signed or keyed request elsewhere.
pub(crate) fn client() -> Result<reqwest::ClientBuilder, SettingError> {
    Ok(reqwest::Client::builder()
        .tls_backend_preconfigured(tls()?)
        .http1_only()
        .redirect(reqwest::redirect::Policy::none()))
}

/// The client that a builder describes.
pub(crate) fn build(builder: reqwest::ClientBuilder) -> Result<reqwest::Client, SettingError> {
    builder
        .build()
        .map_err(|error| SettingError::NoHttpClient(error.to_string()))
}

/// The process's TLS settings: built once, since trust is the same for everybody who is called.
fn tls() -> Result<ClientConfig, SettingError> {
    static TLS: OnceLock<ClientConfig> = OnceLock::new();
    if let Some(tls) = TLS.get() {
        return Ok(tls.clone());
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| SettingError::NoHttpClient(error.to_string()))?
        .with_root_certificates(roots()?)
        .with_no_client_auth();
    tls.resumption = Resumption::in_memory_sessions(SESSIONS);
    Ok(TLS.get_or_init(|| tls).clone())
}

/// The roots that are compiled in (Mozilla's); or, where `SSL_CERT_FILE` or `SSL_CERT_DIR` is set as OpenSSL knows
/// them, those certificates instead.
fn roots() -> Result<RootCertStore, SettingError> {
    let Some(name) = ["SSL_CERT_FILE", "SSL_CERT_DIR"]
        .into_iter()
        .find(|name| text(name).is_ok())
    else {
        return Ok(webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect());
    };
    let found = rustls_native_certs::load_native_certs();
    if let Some(error) = found.errors.first() {
        return Err(invalid(
            name,
            format!("leads to no usable certificates: {error}"),
        ));
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        return Err(invalid(name, "names a place without any certificate"));
    }
    Ok(roots)
}
