//! The HTTP client of everything that the bank sends to the merchant's server.

use std::sync::OnceLock;
use std::time::Duration;

use axum::http::HeaderName;
use reqwest::redirect::Policy;

/// A client that is made when it is first needed. It uses no proxy and follows no redirects.
pub(crate) struct MerchantClient {
    timeout: Duration,
    client: OnceLock<Result<reqwest::Client, String>>,
}

impl MerchantClient {
    /// A client that waits this long for an answer.
    pub(crate) fn new(timeout: Duration) -> Self {
        Self {
            timeout,
            client: OnceLock::new(),
        }
    }

    /// POSTs a body to the merchant's server. An error says in one sentence why there is no answer.
    pub(crate) async fn post<const N: usize>(
        &self,
        url: &str,
        headers: [(HeaderName, &str); N],
        body: String,
    ) -> Result<reqwest::Response, String> {
        let client = self.client.get_or_init(|| self.build());
        let mut request = client.as_ref().map_err(Clone::clone)?.post(url).body(body);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        request.send().await.map_err(|e| self.explained(e))
    }

    fn build(&self) -> Result<reqwest::Client, String> {
        // An error says that the process has a TLS provider already, which does as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        reqwest::Client::builder()
            .no_proxy()
            .redirect(Policy::none())
            .timeout(self.timeout)
            .build()
            .map_err(|e| format!("the bank's HTTP client cannot start: {e}"))
    }

    fn explained(&self, e: reqwest::Error) -> String {
        if e.is_timeout() {
            format!("no answer within {:?}", self.timeout)
        } else if e.is_connect() {
            "the merchant's server cannot be reached".to_owned()
        } else {
            e.without_url().to_string()
        }
    }
}
