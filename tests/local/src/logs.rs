//! What the functions logged, as CloudWatch Logs has it.

use anyhow::Result;
use serde_json::{Value, json};

use crate::json_api;
use crate::outputs::Outputs;

/// The lines of a function's log that contain this text, oldest first.
///
/// # Errors
/// The local AWS does not answer, or the function has no log.
pub async fn lines_with(outputs: &Outputs, function: &str, text: &str) -> Result<Vec<String>> {
    let group = format!("/aws/lambda/payment3-{function}-{}", outputs.branch);
    // Quoted: the text as it stands.
    let request = json!({"logGroupName": group, "filterPattern": format!("\"{text}\"")});
    let pages = pages(outputs, "FilterLogEvents", "nextToken", request).await?;
    Ok(messages(&pages))
}

/// The logs of a branch: of its functions, its API and its state machine.
///
/// # Errors
/// The local AWS does not answer.
pub async fn groups(outputs: &Outputs) -> Result<Vec<String>> {
    let pages = pages(outputs, "DescribeLogGroups", "nextToken", json!({})).await?;
    let mut names = names(&pages, "logGroups", "logGroupName");
    names.retain(|name| {
        name.contains("payment3-") && name.ends_with(&format!("-{}", outputs.branch))
    });
    Ok(names)
}

/// Every line of a log.
///
/// # Errors
/// The local AWS does not answer, or there is no such log.
pub async fn lines(outputs: &Outputs, group: &str) -> Result<Vec<String>> {
    let request = json!({"logGroupName": group});
    let streams = pages(outputs, "DescribeLogStreams", "nextToken", request).await?;
    let mut lines = Vec::new();
    for stream in names(&streams, "logStreams", "logStreamName") {
        let request =
            json!({"logGroupName": group, "logStreamName": stream, "startFromHead": true});
        let events = pages(outputs, "GetLogEvents", "nextForwardToken", request).await?;
        lines.extend(messages(&events));
    }
    Ok(lines)
}

/// All pages of an answer. `token` is what the answer calls the way to the next one; after the last page it is missing, or
/// the same again.
async fn pages(
    outputs: &Outputs,
    call: &str,
    token: &str,
    mut request: Value,
) -> Result<Vec<Value>> {
    let target = format!("Logs_20140328.{call}");
    let mut pages = Vec::new();
    loop {
        let page = json_api::call(&outputs.aws_endpoint, &target, &request).await?;
        let next = page[token].clone();
        pages.push(page);
        if !next.is_string() || next == request["nextToken"] {
            return Ok(pages);
        }
        request["nextToken"] = next;
    }
}

fn messages(pages: &[Value]) -> Vec<String> {
    names(pages, "events", "message")
}

fn names(pages: &[Value], list: &str, field: &str) -> Vec<String> {
    pages
        .iter()
        .flat_map(|page| page[list].as_array().into_iter().flatten())
        .filter_map(|entry| entry[field].as_str().map(str::to_owned))
        .collect()
}
