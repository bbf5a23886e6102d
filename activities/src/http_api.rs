//! HTTP in and out of the functions behind API Gateway (payload format 2.0).

use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use aws_lambda_events::http::header::{HeaderName, HeaderValue};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::domain::fields::FieldError;

/// The body of an answer.
pub use aws_lambda_events::encodings::Body;
/// The method of a request.
pub use aws_lambda_events::http::Method;

/// A request of the API.
pub type Request = ApiGatewayV2httpRequest;
/// An answer of the API.
pub type Response = ApiGatewayV2httpResponse;

/// The request's body as the client sent it.
///
/// # Errors
/// [`FieldError`] when API Gateway marked it as base64 and it is not.
pub fn body(request: &Request) -> Result<Vec<u8>, FieldError> {
    let text = request.body.as_deref().unwrap_or_default();
    if request.is_base64_encoded {
        STANDARD
            .decode(text)
            .map_err(|_| FieldError::invalid("body", "cannot be decoded"))
    } else {
        Ok(text.as_bytes().to_vec())
    }
}

/// Whether the client asked for a web page before anything else: a browser does. A program that takes pages, too, names
/// JSON first, as the merchant's SDK does (`application/json, text/html, */*`).
#[must_use]
pub fn wants_html(request: &Request) -> bool {
    let accept = request
        .headers
        .get("accept")
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    match (accept.find("text/html"), accept.find("application/json")) {
        (Some(page), Some(json)) => page < json,
        (page, _) => page.is_some(),
    }
}

/// An error that clients parse: `{error, code, details}`.
#[derive(Debug, Clone, PartialEq)]
pub struct ApiError {
    /// The HTTP status.
    pub status: u16,
    /// The stable name that clients decide by, such as `NOT_FOUND`.
    pub code: &'static str,
    /// What is wrong and what to do, for a person.
    pub message: String,
    /// More for a program; `{"field": …}` where one field is to blame.
    pub details: Value,
    /// What a page tells a person besides.
    pub advice: Advice,
}

impl ApiError {
    /// An error without details, of a request that has started no payment.
    pub fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            details: json!({}),
            advice: Advice::NotStarted,
        }
    }

    /// The same error with the field that is to blame.
    #[must_use]
    pub fn about(self, field: &str) -> Self {
        Self {
            details: json!({"field": field}),
            ..self
        }
    }

    /// The same error for somebody whose payment may be under way.
    #[must_use]
    pub fn being_checked(self) -> Self {
        Self {
            advice: Advice::BeingChecked,
            ..self
        }
    }

    /// The answer for a program.
    #[must_use]
    pub fn to_json(&self) -> Response {
        json_response(
            self.status,
            &json!({"error": self.message, "code": self.code, "details": self.details}),
        )
    }

    /// The answer for a person in front of a browser, who may just have paid. `shop` is the way back.
    #[must_use]
    pub fn to_page(&self, shop: &str) -> Response {
        let (heading, advice) = self.advice.words();
        let page = format!(
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width\"><title>{heading}</title></head>\
             <body style=\"overflow-wrap:anywhere\"><main><h1>{heading}</h1><p>{}</p><p>{advice}</p>\
             <p><a href=\"{}\">Back to the shop</a></p></main></body></html>",
            escape_html(&self.message),
            escape_html(shop)
        );
        html_response(self.status, page)
    }

    /// The answer as the client can read it: a page for a browser, JSON for a program.
    #[must_use]
    pub fn answer(&self, request: &Request, shop: &str) -> Response {
        if wants_html(request) {
            self.to_page(shop)
        } else {
            self.to_json()
        }
    }
}

/// What a refusal's page tells somebody who may just have paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advice {
    /// A checkout was refused before the bank was asked, or by the bank.
    NotStarted,
    /// A payment may be under way.
    BeingChecked,
}

impl Advice {
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::NotStarted => (
                "The payment was not started",
                "This attempt has not charged your card. Go back to the shop to see your order.",
            ),
            Self::BeingChecked => (
                "Your payment is being checked",
                "If you have just paid, we ask your bank about it. You do not need to pay again: \
                 your order in the shop shows what became of it.",
            ),
        }
    }
}

impl From<FieldError> for ApiError {
    fn from(error: FieldError) -> Self {
        let code = if error.missing {
            "MISSING_FIELD"
        } else {
            "INVALID_INPUT"
        };
        Self::new(400, code, error.to_string()).about(&error.field)
    }
}

/// A JSON answer.
#[must_use]
pub fn json_response(status: u16, body: &Value) -> Response {
    response(status, "application/json; charset=utf-8", body.to_string())
}

/// A page. Never cached, since it may carry a way into somebody's payment; never framed.
#[must_use]
pub fn html_response(status: u16, page: String) -> Response {
    response(status, "text/html; charset=utf-8", page)
}

/// Sends the browser on with a GET, whatever method brought it here.
#[must_use]
pub fn see_other(location: &str) -> Response {
    let mut response = response(303, "text/plain; charset=utf-8", String::new());
    if let Ok(value) = HeaderValue::from_str(location) {
        response
            .headers
            .insert(HeaderName::from_static("location"), value);
    }
    response
}

fn response(status: u16, content_type: &'static str, body: String) -> Response {
    let mut response = Response::default();
    response.status_code = i64::from(status);
    for (name, value) in [
        ("content-type", content_type),
        ("cache-control", "no-store"),
        ("referrer-policy", "no-referrer"),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
    ] {
        response.headers.insert(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
    response.body = Some(Body::Text(body));
    response
}

/// Text as HTML shows it, also inside a quoted attribute.
#[must_use]
pub fn escape_html(text: &str) -> String {
    text.chars().fold(String::new(), |mut out, c| {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_wants_a_page_and_the_merchants_sdk_wants_json() {
        for (accept, html) in [
            (
                "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
                true,
            ),
            ("text/html", true),
            ("text/html, application/json", true),
            ("application/json, text/html, */*", false),
            ("application/json", false),
            ("*/*", false),
            ("", false),
        ] {
            let mut request = Request::default();
            let value = HeaderValue::from_str(accept).unwrap();
            request.headers.insert("accept", value);
            assert_eq!(wants_html(&request), html, "{accept}");
        }
        assert!(!wants_html(&Request::default()));
    }
}
