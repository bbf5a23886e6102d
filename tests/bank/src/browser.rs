//! What browsers may do with the bank. It listens on this machine only, but any page in a browser on this machine could
//! send requests to it.

use axum::extract::{Request, State as Shared};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, HOST,
    HeaderValue, ORIGIN, VARY,
};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use url::Url;

use crate::app::App;
use crate::error::GatewayError;

/// The one route that the shop's pages call, as a checkout page calls the bank for a token.
const TOKENS: &str = "/sandbox/tokens";

/// Lets changes through that come from the bank's own pages or from a program. The shop's pages may get tokens.
pub(crate) async fn only_own_pages(
    Shared(app): Shared<App>,
    request: Request,
    next: Next,
) -> Response {
    let shop = shop_origin(&app);
    if is_allowed(
        request.method(),
        request.uri().path(),
        request.headers(),
        shop,
    ) {
        return next.run(request).await;
    }
    GatewayError::with(
        StatusCode::FORBIDDEN,
        "cross_origin",
        "a page of another site may change nothing at the bank",
    )
    .into_response()
}

fn is_allowed(method: &Method, path: &str, headers: &HeaderMap, shop: Option<String>) -> bool {
    let text = |name| {
        headers
            .get(name)
            .map(|value: &HeaderValue| value.to_str().unwrap_or("?"))
    };
    let Some(origin) = text(ORIGIN) else {
        return true;
    };
    if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) {
        return true;
    }
    text(HOST).is_some_and(|host| origin == format!("http://{host}"))
        || (path == TOKENS && shop.as_deref() == Some(origin))
}

/// Allows the shop's pages to read an answer.
pub(crate) fn allow_shop_origin(app: &App, mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = shop_origin(app)
        && let Ok(origin) = HeaderValue::from_str(&origin)
    {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(
            ACCESS_CONTROL_ALLOW_METHODS,
            HeaderValue::from_static("POST"),
        );
        headers.insert(
            ACCESS_CONTROL_ALLOW_HEADERS,
            HeaderValue::from_static("content-type"),
        );
    }
    response
}

fn shop_origin(app: &App) -> Option<String> {
    let shop = app.lock().ledger.merchant.shop_url.clone()?;
    Some(Url::parse(&shop).ok()?.origin().ascii_serialization())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(method: Method, path: &str, origin: Option<&str>) -> bool {
        let mut headers =
            HeaderMap::from_iter([(HOST, HeaderValue::from_static("127.0.0.1:4600"))]);
        if let Some(origin) = origin {
            headers.insert(ORIGIN, origin.parse().unwrap());
        }
        let shop = Some("http://127.0.0.1:4601".to_owned());
        is_allowed(&method, path, &headers, shop)
    }

    #[test]
    fn a_change_comes_from_the_banks_own_pages_or_from_a_program() {
        let settle = "/sandbox/charges/chrg_test_x/settle";
        assert!(verdict(Method::POST, settle, None));
        assert!(verdict(Method::POST, settle, Some("http://127.0.0.1:4600")));
        for origin in ["http://127.0.0.1:4601", "http://shop.example", "null"] {
            assert!(!verdict(Method::POST, settle, Some(origin)), "{origin}");
            assert!(verdict(Method::GET, settle, Some(origin)), "{origin}");
        }
    }

    #[test]
    fn only_the_shops_pages_get_tokens_from_another_origin() {
        assert!(verdict(Method::POST, TOKENS, Some("http://127.0.0.1:4601")));
        assert!(!verdict(Method::POST, TOKENS, Some("http://shop.example")));
    }
}
