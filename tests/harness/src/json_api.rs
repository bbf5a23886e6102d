//! Calls of the local AWS for which the tool needs no SDK, or more than an SDK shows.

use anyhow::{Context, Result};
use reqwest::header::AUTHORIZATION;
use serde_json::Value;

use crate::aws::{ACCESS_KEY, REGION};
use crate::http::client;

/// A call of the local AWS, by somebody who may do everything. `service` is its name in signatures, such as `lambda`.
pub fn as_administrator(
    request: reqwest::RequestBuilder,
    service: &str,
) -> reqwest::RequestBuilder {
    // The local AWS does not check the signature of the administrator's key.
    let scope = format!("{ACCESS_KEY}/20260101/{REGION}/{service}/aws4_request");
    let signed = format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0");
    request.header(AUTHORIZATION, signed)
}

/// One call of an API that speaks JSON, such as `Logs_20140328.FilterLogEvents`.
///
/// # Errors
/// The local AWS does not answer, or refuses: with its answer.
pub async fn call(endpoint: &str, target: &str, body: &Value) -> Result<Value> {
    let request = client()
        .post(endpoint)
        .header("x-amz-target", target)
        .header("content-type", "application/x-amz-json-1.0")
        .body(body.to_string());
    // The target names the service.
    let request = as_administrator(request, "any");
    let response = request
        .send()
        .await
        .with_context(|| format!("{target}: the local AWS does not answer"))?;
    let status = response.status();
    let text = response.text().await.context("the local AWS breaks off")?;
    anyhow::ensure!(status.is_success(), "{target} {body}: {status} {text}");
    // Some calls have nothing to say.
    Ok(serde_json::from_str(&text).unwrap_or(Value::Null))
}
