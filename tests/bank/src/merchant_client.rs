//! How the bank calls the merchant's server.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::http::{HeaderName, Request, Response};
use reqwest::redirect::Policy;
use url::Url;

use crate::CallMerchant;

/// What calls the merchant's server, and for how long it waits.
pub(crate) struct MerchantClient {
    timeout: Duration,
    call: CallMerchant,
}

impl MerchantClient {
    /// A client that waits this long for an answer.
    pub(crate) fn new(call: CallMerchant, timeout: Duration) -> Self {
        Self { timeout, call }
    }

    /// POSTs a body to the merchant's server. An error says in one sentence why there is no answer.
    pub(crate) async fn post<const N: usize>(
        &self,
        url: &str,
        headers: [(HeaderName, &str); N],
        body: String,
    ) -> Result<Response<()>, String> {
        // An HTTP URI is stricter than a URL: what has to be escaped in it is.
        let url = Url::parse(url).map_err(|e| format!("{url} is no URL: {e}"))?;
        let mut request = Request::post(url.as_str());
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let request = request
            .body(body.into_bytes())
            .map_err(|e| format!("{url} cannot be called: {e}"))?;
        tokio::time::timeout(self.timeout, (self.call)(request))
            .await
            .unwrap_or_else(|_| Err(format!("no answer within {:?}", self.timeout)))
    }
}

/// Calls over HTTP, with a client that is made when it is first needed. It uses no proxy and follows no redirects.
pub(crate) fn over_http() -> CallMerchant {
    let client = OnceLock::new();
    Arc::new(move |request| {
        let client = client.get_or_init(build).clone();
        Box::pin(async move { send(client?, request).await })
    })
}

fn build() -> Result<reqwest::Client, String> {
    // An error says that the process has a TLS provider already, which does as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .no_proxy()
        .redirect(Policy::none())
        .build()
        .map_err(|e| format!("the bank's HTTP client cannot start: {e}"))
}

async fn send(client: reqwest::Client, request: Request<Vec<u8>>) -> Result<Response<()>, String> {
    let request = request.try_into().map_err(explained)?;
    let answer = client.execute(request).await.map_err(explained)?;
    let mut head = Response::new(());
    *head.status_mut() = answer.status();
    *head.headers_mut() = answer.headers().clone();
    Ok(head)
}

fn explained(e: reqwest::Error) -> String {
    if e.is_connect() {
        "the merchant's server cannot be reached".to_owned()
    } else {
        e.without_url().to_string()
    }
}
