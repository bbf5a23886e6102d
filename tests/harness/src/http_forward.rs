//! Requests that a proxy reads completely and forwards to a server.

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONNECTION, CONTENT_LENGTH, DATE, HeaderMap, TRANSFER_ENCODING};
use hyper::{Method, Request, Response, StatusCode};

/// A complete request.
#[derive(Debug, Clone)]
pub struct WholeRequest {
    /// The method.
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// The headers, without those that belong to one connection.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl WholeRequest {
    /// Reads a request to its end.
    ///
    /// # Errors
    /// The sender closed the connection.
    pub async fn read(request: Request<Incoming>) -> Result<Self, hyper::Error> {
        let (parts, body) = request.into_parts();
        let mut headers = parts.headers;
        // The HTTP client adds its own. The host stays: the signature of a call of AWS is for the host that was called.
        for hop in [CONNECTION, TRANSFER_ENCODING, CONTENT_LENGTH] {
            headers.remove(hop);
        }
        Ok(Self {
            method: parts.method,
            path: parts
                .uri
                .path_and_query()
                .map_or_else(|| "/".to_owned(), ToString::to_string),
            headers,
            body: body.collect().await?.to_bytes(),
        })
    }

    /// Forwards it to the server at `base`.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn pass_on(
        &self,
        http: &reqwest::Client,
        base: &str,
    ) -> Result<WholeAnswer, reqwest::Error> {
        let answer = http
            .request(self.method.clone(), format!("{base}{}", self.path))
            .headers(self.headers.clone())
            .body(self.body.clone())
            .send()
            .await?;
        let status = answer.status();
        let mut headers = answer.headers().clone();
        // The proxy's server adds its own. A repeated answer must not have an old date.
        for hop in [CONNECTION, TRANSFER_ENCODING, CONTENT_LENGTH, DATE] {
            headers.remove(hop);
        }
        Ok(WholeAnswer {
            status,
            headers,
            body: answer.bytes().await?,
        })
    }
}

/// A complete answer.
#[derive(Debug, Clone)]
pub struct WholeAnswer {
    /// The status.
    pub status: StatusCode,
    /// The headers, without those that belong to one connection.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl WholeAnswer {
    /// An answer with a status only.
    #[must_use]
    pub fn of(status: StatusCode) -> Self {
        Self {
            status,
            headers: HeaderMap::new(),
            body: Bytes::new(),
        }
    }
}

impl From<WholeAnswer> for Response<Full<Bytes>> {
    fn from(answer: WholeAnswer) -> Self {
        let mut response = Self::new(Full::new(answer.body));
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers;
        response
    }
}
