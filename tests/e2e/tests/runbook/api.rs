//! Calls of the local AWS that the tests themselves make. Not by the command line, which takes a second to start.

use payment3_harness::http::client;
use payment3_harness::json_api;
use payment3_harness::outputs::Outputs;
use serde_json::Value;

/// One call of an API that speaks JSON, such as `Logs_20140328.FilterLogEvents`.
pub(crate) async fn call(outputs: &Outputs, target: &str, body: &Value) -> Value {
    let answer = json_api::call(&outputs.aws_endpoint, target, body).await;
    answer.unwrap_or_else(|error| panic!("{error:#}"))
}

/// One call of AWS Lambda's API, below `/2015-03-31/functions/`.
pub(crate) async fn lambda(
    outputs: &Outputs,
    method: reqwest::Method,
    path: &str,
    body: Option<&Value>,
) -> Value {
    // The later versions of the API moved concurrency, and nothing else that is used here.
    let version = if path.ends_with("/concurrency") {
        "2017-10-31"
    } else {
        "2015-03-31"
    };
    let url = format!("{}/{version}/functions/{path}", outputs.aws_endpoint);
    let mut request = json_api::as_administrator(client().request(method, url), "lambda");
    if let Some(body) = body {
        request = request.json(body);
    }
    let response = request.send().await.expect("the local AWS answers");
    let status = response.status();
    let text = response.text().await.expect("an answer");
    assert!(status.is_success(), "{path}: {status} {text}");
    serde_json::from_str(&text).unwrap_or(Value::Null)
}
