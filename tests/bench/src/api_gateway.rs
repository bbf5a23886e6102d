//! The HTTP API in front of the baseline's functions. It turns requests into events as API Gateway does (payload format
//! 2.0).

use std::net::Ipv4Addr;

use anyhow::{Context, Result};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::lambda::Lambda;

#[derive(Clone)]
struct Api {
    lambda: Lambda,
    /// The function that serves a path.
    function: fn(&str) -> Option<String>,
}

/// Serves an API: `function` names the function that serves a path. Returns its address.
///
/// # Errors
/// There is no free port.
pub async fn serve(lambda: &Lambda, function: fn(&str) -> Option<String>) -> Result<String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .context("no free port for an API")?;
    let address = listener.local_addr().context("a listener has an address")?;
    let lambda = lambda.clone();
    let routes = Router::new()
        .fallback(answer)
        .with_state(Api { lambda, function });
    tokio::spawn(axum::serve(listener, routes).into_future());
    Ok(format!("http://{address}"))
}

async fn answer(
    State(api): State<Api>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: String,
) -> Response {
    let Some(function) = (api.function)(uri.path()) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let event = event(&method, &uri, &headers, &body);
    let output = match api.lambda.invoke(&function, event).await {
        Ok(outcome) => outcome.output(),
        Err(error) => Err(error),
    };
    match output.map(|output| response(&output)) {
        Ok(Some(response)) => response,
        Ok(None) => (
            StatusCode::BAD_GATEWAY,
            "the function's output is not an HTTP answer",
        )
            .into_response(),
        Err(error) => (StatusCode::BAD_GATEWAY, format!("{error:#}")).into_response(),
    }
}

fn event(method: &Method, uri: &Uri, headers: &HeaderMap, body: &str) -> Bytes {
    let now = Timestamp::now();
    let headers: serde_json::Map<String, Value> = headers
        .iter()
        .filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.into())))
        .collect();
    let route = format!("{method} {}", uri.path());
    let event = json!({
        "version": "2.0",
        "routeKey": route,
        "rawPath": uri.path(),
        "rawQueryString": uri.query().unwrap_or_default(),
        "headers": headers,
        "requestContext": {
            "accountId": "000000000000",
            "apiId": "local",
            "domainName": "localhost",
            "http": {
                "method": method.as_str(),
                "path": uri.path(),
                "protocol": "HTTP/1.1",
                "sourceIp": "127.0.0.1",
                "userAgent": "shopper",
            },
            "requestId": payment3_harness::random::digits(16),
            "routeKey": route,
            "stage": "$default",
            "time": now.to_string(),
            "timeEpoch": now.as_millisecond(),
        },
        "body": body,
        "isBase64Encoded": false,
    });
    Bytes::from(event.to_string())
}

fn response(output: &Value) -> Option<Response> {
    let status = output["statusCode"].as_u64()?;
    let mut response = Response::builder().status(u16::try_from(status).ok()?);
    for (name, value) in output["headers"].as_object().into_iter().flatten() {
        response = response.header(name, value.as_str()?);
    }
    let body = output["body"].as_str().unwrap_or_default().to_owned();
    response.body(Body::from(body)).ok()
}
