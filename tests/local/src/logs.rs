//! What the functions logged, as CloudWatch Logs has it.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::http::client;
use crate::outputs::Outputs;

/// The lines of a function's log that contain this text, oldest first.
///
/// # Errors
/// The local AWS does not answer, or the function has no log.
pub async fn lines_with(outputs: &Outputs, function: &str, text: &str) -> Result<Vec<String>> {
    let group = format!("/aws/lambda/payment3-{function}-{}", outputs.branch);
    let mut lines = Vec::new();
    let mut page = Value::Null;
    loop {
        // Quoted: the text as it stands.
        let mut request = json!({
            "logGroupName": group,
            "filterPattern": format!("\"{text}\""),
        });
        if page.is_string() {
            request["nextToken"] = page;
        }
        let answer = client()
            .post(&outputs.aws_endpoint)
            .header("x-amz-target", "Logs_20140328.FilterLogEvents")
            .header("content-type", "application/x-amz-json-1.1")
            .header("authorization", authorization(outputs))
            .body(request.to_string())
            .send()
            .await
            .context("CloudWatch Logs does not answer")?
            .error_for_status()
            .with_context(|| format!("the log {group} cannot be read"))?;
        let answer: Value = answer
            .json()
            .await
            .context("CloudWatch Logs answers JSON")?;
        lines.extend(
            answer["events"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|event| event["message"].as_str().map(str::to_owned)),
        );
        page = answer["nextToken"].clone();
        if !page.is_string() {
            return Ok(lines);
        }
    }
}

/// The local AWS checks no signature; it reads from it which service is meant.
fn authorization(outputs: &Outputs) -> String {
    format!(
        "AWS4-HMAC-SHA256 Credential={}/20260101/{}/logs/aws4_request, SignedHeaders=host, Signature=none",
        crate::aws::ACCESS_KEY,
        outputs.region
    )
}
