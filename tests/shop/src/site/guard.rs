//! Who may use the site, and what a page may load.
//!
//! The site listens on the loopback interface only. But any page in a browser on this machine could send requests to
//! it. So a request that changes something must come from the site's own pages, or from a program. And a foreign host
//! name that points at the loopback address (DNS rebinding) gets no answer.

use axum::extract::{Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, HeaderName, HeaderValue, ORIGIN, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use payment3_harness::outputs::Outputs;
use url::{Host, Url};

/// Says which site a request comes from. Current browsers send it.
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Lets only requests through that this machine's user meant.
pub(super) async fn only_from_here(request: Request, next: Next) -> Response {
    match refusal(request.method(), request.headers()) {
        Some(reason) => (StatusCode::FORBIDDEN, reason).into_response(),
        None => next.run(request).await,
    }
}

fn refusal(method: &Method, headers: &HeaderMap) -> Option<&'static str> {
    let text = |name: &HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let host = text(&HOST).unwrap_or_default();
    if !is_loopback(host) {
        return Some("this site answers to 127.0.0.1 and localhost only\n");
    }
    if matches!(*method, Method::GET | Method::HEAD) {
        return None;
    }
    let from_here = match text(&ORIGIN) {
        Some(origin) => origin == format!("http://{host}"),
        // A program, or an old browser. A page cannot set this header itself.
        None => matches!(text(&FETCH_SITE), None | Some("same-origin" | "none")),
    };
    if from_here {
        return None;
    }
    Some("a page of another site may change nothing here\n")
}

fn is_loopback(host: &str) -> bool {
    let Ok(url) = Url::parse(&format!("http://{host}/")) else {
        return false;
    };
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// What the pages may load, and where they may send data: anything to the site itself, cards to the bank, and the
/// checkout form to the API.
pub(super) fn policy(outputs: &Outputs) -> HeaderValue {
    let origin = |url: &str| {
        Url::parse(url).map_or_else(|_| String::new(), |url| url.origin().ascii_serialization())
    };
    let policy = format!(
        "default-src 'self'; connect-src 'self' {bank}; form-action 'self' {api}; object-src 'none'; base-uri 'none'; \
         frame-ancestors 'none'",
        bank = origin(&outputs.bank_url),
        api = origin(&outputs.api_url),
    );
    HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
}

/// Adds the policy and the usual security headers to every answer.
pub(super) async fn answer_headers(
    State(policy): State<HeaderValue>,
    request: Request,
    next: Next,
) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, policy);
    for (name, value) in [
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "same-origin"),
        (CACHE_CONTROL, "no-store"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(method: Method, pairs: &[(HeaderName, &str)]) -> bool {
        let headers = pairs
            .iter()
            .map(|(name, value)| (name.clone(), value.parse().expect("a header value")))
            .collect();
        refusal(&method, &headers).is_none()
    }

    const HERE: (HeaderName, &str) = (HOST, "127.0.0.1:4601");

    #[test]
    fn a_change_must_come_from_the_sites_own_pages_or_from_a_program() {
        let change = |pairs: &[_]| verdict(Method::POST, &[&[HERE], pairs].concat());
        assert!(change(&[]));
        assert!(change(&[(ORIGIN, "http://127.0.0.1:4601")]));
        assert!(change(&[(FETCH_SITE, "same-origin")]));
        for origin in [
            "http://127.0.0.1:4600",
            "https://127.0.0.1:4601",
            "http://shop.example",
            "http://localhost:4601",
            "null",
            "",
        ] {
            assert!(!change(&[(ORIGIN, origin)]), "{origin}");
        }
        assert!(!change(&[(FETCH_SITE, "cross-site")]));
        assert!(!change(&[(FETCH_SITE, "same-site")]));
        assert!(!verdict(
            Method::PUT,
            &[HERE, (ORIGIN, "http://shop.example")]
        ));
    }

    #[test]
    fn a_foreign_host_name_gets_no_answer() {
        for (host, answered) in [
            ("127.0.0.1:4601", true),
            ("localhost:4601", true),
            ("localhost", true),
            ("[::1]:4601", true),
            ("rebound.example:4601", false),
            ("localhost.example", false),
            ("192.0.2.1:4601", false),
            ("", false),
        ] {
            assert_eq!(verdict(Method::GET, &[(HOST, host)]), answered, "{host}");
        }
        assert!(!verdict(Method::GET, &[]));
    }

    #[test]
    fn a_page_of_another_site_may_send_requests_that_change_nothing() {
        assert!(verdict(
            Method::GET,
            &[HERE, (ORIGIN, "http://shop.example")]
        ));
    }
}
