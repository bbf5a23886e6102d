//! How requests leave the system, to the bank and to the shop alike.

use std::time::Duration;

/// An HTTP client with a time-out on every call, rustls with ring, and no redirects: neither the bank nor the shop's
/// endpoint may send a signed or keyed request elsewhere.
///
/// # Errors
/// Fails when the TLS stack cannot be set up (no root certificates on the system).
pub fn http_client(timeout: Duration) -> Result<reqwest::Client, reqwest::Error> {
    // A second call finds the provider installed already, which is all that is wanted.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .timeout(timeout)
        .connect_timeout(timeout.min(Duration::from_secs(3)))
        .redirect(reqwest::redirect::Policy::none())
        .build()
}
