//! Reads the functions' logs from CloudWatch Logs.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::json_api;
use crate::outputs::Outputs;

const FILTER: &str = "Logs_20140328.FilterLogEvents";
const GROUPS: &str = "Logs_20140328.DescribeLogGroups";
/// How long a line may take to appear.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at a log.
const PAUSE: Duration = Duration::from_millis(200);

/// The lines of a function's log that contain this text, oldest first.
///
/// # Errors
/// The local AWS does not answer, or the function has no log.
pub async fn lines_with(outputs: &Outputs, function: &str, text: &str) -> Result<Vec<String>> {
    let group = format!("/aws/lambda/payment3-{function}-{}", outputs.branch);
    // Quoted, so that the text is matched literally.
    let request = json!({"logGroupName": group, "filterPattern": format!("\"{text}\"")});
    let found = json_api::call(&outputs.aws_endpoint, FILTER, &request).await?;
    Ok(texts(&found["events"], "message"))
}

/// The same, once they are enough: a line appears a moment after it was written. Fewer, if that takes too long.
///
/// # Errors
/// As [`lines_with`].
pub async fn wait_for_lines(
    outputs: &Outputs,
    function: &str,
    text: &str,
    enough: impl Fn(&[String]) -> bool,
) -> Result<Vec<String>> {
    let give_up = Instant::now() + PATIENCE;
    loop {
        let lines = lines_with(outputs, function, text).await?;
        if enough(&lines) || Instant::now() > give_up {
            return Ok(lines);
        }
        sleep(PAUSE).await;
    }
}

/// The names of a branch's log groups: of its functions, its API and its state machine.
///
/// # Errors
/// The local AWS does not answer.
pub async fn groups(outputs: &Outputs) -> Result<Vec<String>> {
    let (mut names, mut request) = (Vec::new(), json!({}));
    loop {
        let page = json_api::call(&outputs.aws_endpoint, GROUPS, &request).await?;
        names.extend(texts(&page["logGroups"], "logGroupName"));
        match &page["nextToken"] {
            Value::String(next) => request["nextToken"] = json!(next),
            _ => break,
        }
    }
    names.retain(|name| {
        name.contains("payment3-") && name.ends_with(&format!("-{}", outputs.branch))
    });
    Ok(names)
}

/// Every line of a log, oldest first.
///
/// # Errors
/// The local AWS does not answer, or there is no such log.
pub async fn lines(outputs: &Outputs, group: &str) -> Result<Vec<String>> {
    let (mut lines, mut seen, mut from) = (Vec::new(), BTreeSet::new(), 0);
    loop {
        // The local AWS returns ten thousand lines at most, without a token for the next page. So the next request
        // starts at the time of the last line. Reading each stream would need a call for every run of a function.
        let request = json!({"logGroupName": group, "startTime": from});
        let page = json_api::call(&outputs.aws_endpoint, FILTER, &request).await?;
        let before = lines.len();
        for event in page["events"].as_array().into_iter().flatten() {
            from = from.max(event["timestamp"].as_i64().unwrap_or(0));
            if seen.insert(event.to_string()) {
                lines.extend(event["message"].as_str().map(str::to_owned));
            }
        }
        if lines.len() == before {
            return Ok(lines);
        }
    }
}

/// A field of every entry in a list.
fn texts(list: &Value, field: &str) -> Vec<String> {
    let entries = list.as_array().into_iter().flatten();
    entries
        .filter_map(|entry| entry[field].as_str().map(str::to_owned))
        .collect()
}
