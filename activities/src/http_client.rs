//! How requests leave the system, to AWS, the bank and the shop alike: one TLS stack, which trusts one set of roots.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::{HeaderMap, Method, Response};
use rustls::client::Resumption;
use rustls::{ClientConfig, RootCertStore};
use url::Url;

use crate::settings::{SettingError, invalid, text};

/// Servers whose TLS sessions are kept for a shorter handshake: three of AWS, the bank and the shop; and for each of
/// them rustls keeps eight tickets.
const SESSIONS: usize = 5 * 8;

/// A request to the bank or the shop.
pub struct Request {
    /// The method.
    pub method: Method,
    /// Where it goes.
    pub url: Url,
    /// What stands above the body.
    pub headers: HeaderMap,
    /// The body; nothing is sent where it is empty.
    pub body: Vec<u8>,
    /// How long the call may take, from connecting to the end of the answer.
    pub timeout: Duration,
    /// The longest body of an answer that is taken. With 0 none is waited for: status and headers are the answer.
    pub answer_limit: usize,
}

/// Why there is no answer. Never holds the address: its path may name a charge or a customer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// No connection came about, in time or at all: surely nothing was sent.
    #[error("no connection")]
    NotConnected,
    /// The time was over before the answer was complete.
    #[error("no answer in time")]
    TimedOut,
    /// The answer is longer than was wanted.
    #[error("its answer is too long")]
    TooLong,
    /// The connection broke, maybe after the request was sent; with the transport's own words. A kept connection that
    /// turns out to be dead is one, too.
    #[error("the connection broke before the answer was complete")]
    Broken(String),
}

/// Only a failure to connect says that nothing was sent; its own time-out is one, so it is asked for first.
impl From<reqwest::Error> for SendError {
    fn from(error: reqwest::Error) -> Self {
        if error.is_connect() {
            Self::NotConnected
        } else if error.is_timeout() {
            Self::TimedOut
        } else {
            Self::Broken(error.without_url().to_string())
        }
    }
}

type Exchange = Pin<Box<dyn Future<Output = Result<Response<Vec<u8>>, SendError>> + Send>>;

/// The way out to the bank and the shop. It is handed in, so that a simulation has a network of its own.
#[derive(Clone)]
pub struct Sender(Arc<dyn Fn(Request) -> Exchange + Send + Sync>);

impl Sender {
    /// Sends over the network, and keeps connections for the next request. `timeout` is the longest that a call may
    /// take.
    ///
    /// # Errors
    /// [`SettingError`] when the trusted roots cannot be read.
    pub fn keeping_connections(timeout: Duration) -> Result<Self, SettingError> {
        build(with_timeouts(timeout)?).map(Self::over)
    }

    /// As [`Sender::keeping_connections`], but every request has a connection of its own. One that was kept may be dead
    /// after a freeze, and a request that is written to it leaves open whether it arrived.
    ///
    /// # Errors
    /// As [`Sender::keeping_connections`].
    pub fn on_new_connections(timeout: Duration) -> Result<Self, SettingError> {
        build(with_timeouts(timeout)?.pool_max_idle_per_host(0)).map(Self::over)
    }

    fn over(client: reqwest::Client) -> Self {
        Self::new(move |request| exchange(client.clone(), request))
    }

    /// Sends by calling `send`, which keeps the request's time-out and limit.
    pub fn new<F, T>(send: F) -> Self
    where
        F: Fn(Request) -> T + Send + Sync + 'static,
        T: Future<Output = Result<Response<Vec<u8>>, SendError>> + Send + 'static,
    {
        Self(Arc::new(move |request| Box::pin(send(request))))
    }

    /// Sends one request, once. Redirects are not followed.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn send(&self, request: Request) -> Result<Response<Vec<u8>>, SendError> {
        (self.0)(request).await
    }
}

async fn exchange(
    client: reqwest::Client,
    request: Request,
) -> Result<Response<Vec<u8>>, SendError> {
    let mut sent = client
        .request(request.method, request.url)
        .headers(request.headers)
        .timeout(request.timeout);
    if !request.body.is_empty() {
        sent = sent.body(request.body);
    }
    let mut response = sent.send().await?;
    let mut body = Vec::new();
    if request.answer_limit > 0 {
        while let Some(chunk) = response.chunk().await? {
            if body.len() + chunk.len() > request.answer_limit {
                return Err(SendError::TooLong);
            }
            body.extend_from_slice(&chunk);
        }
    }
    let mut answer = Response::new(body);
    *answer.status_mut() = response.status();
    *answer.headers_mut() = std::mem::take(response.headers_mut());
    Ok(answer)
}

fn with_timeouts(timeout: Duration) -> Result<reqwest::ClientBuilder, SettingError> {
    Ok(client()?.connect_timeout(timeout.min(Duration::from_secs(3))))
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
