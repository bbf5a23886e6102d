//! API Gateway: an HTTP request becomes an event of the function behind its route, and the function's answer an HTTP
//! response.

use std::time::Duration;

use http::{Request, Response};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::fault::Party;
use crate::functions::Functions;
use crate::network::{CALLER, Network, Unanswered};

/// How long it waits for a function.
const WAITS: Duration = Duration::from_secs(30);

/// The API of the deployment.
#[derive(Clone)]
pub(crate) struct Api {
    network: Network,
    functions: Functions,
    /// The functions by their routes' keys.
    routes: Vec<(String, String)>,
}

impl Api {
    /// An API with these routes: the key, such as `POST /callback`, and the function.
    pub(crate) fn new(
        network: &Network,
        functions: &Functions,
        routes: Vec<(String, String)>,
    ) -> Self {
        Self {
            network: network.clone(),
            functions: functions.clone(),
            routes,
        }
    }

    /// Makes a request as somebody outside. `subject` names whom it is about, for the trace.
    ///
    /// # Errors
    /// There is no answer, in words.
    pub(crate) async fn request(
        &self,
        subject: &str,
        request: Request<Vec<u8>>,
    ) -> Result<Response<Vec<u8>>, String> {
        let what = format!("{} {}", request.method(), request.uri().path());
        let caller = self.network.caller(&format!("{subject} {what}"));
        let api = self.clone();
        let of = subject.to_owned();
        let effect = async move { api.answer(&of, request).await };
        let carried = self.network.carry(Party::Api, &what, effect);
        // A browser, an app and the bank give up at some time.
        match CALLER.scope(caller, timeout(2 * WAITS, carried)).await {
            Err(_) => Err("no answer in time".to_owned()),
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(Unanswered::Throttled)) => Ok(plain(429, "Too Many Requests")),
            Ok(Err(Unanswered::Error)) => Ok(plain(503, "Service Unavailable")),
            Ok(Err(Unanswered::NotConnected | Unanswered::Broken)) => {
                Err("the connection failed".to_owned())
            }
        }
    }

    async fn answer(&self, subject: &str, request: Request<Vec<u8>>) -> Response<Vec<u8>> {
        let Some((key, function, parameters)) = self.route(&request) else {
            return plain(404, "Not Found");
        };
        let event = event(&request, key, &parameters);
        let call = self.functions.call(function, subject, event);
        match timeout(WAITS, call).await {
            Ok(Ok(answer)) => response(&answer),
            Ok(Err(failed)) if failed.error == "Lambda.TooManyRequestsException" => {
                plain(503, "Service Unavailable")
            }
            Ok(Err(_)) => plain(500, "Internal Server Error"),
            Err(_) => plain(503, "Service Unavailable"),
        }
    }

    fn route(&self, request: &Request<Vec<u8>>) -> Option<(&str, &str, Value)> {
        let path = request.uri().path();
        let mut default = None;
        for (key, function) in &self.routes {
            let Some((method, pattern)) = key.split_once(' ') else {
                default = Some((key.as_str(), function.as_str(), json!({})));
                continue;
            };
            if method != request.method().as_str() {
                continue;
            }
            if pattern == path {
                return Some((key, function, json!({})));
            }
            if let Some((before, name)) = pattern
                .strip_suffix('}')
                .and_then(|pattern| pattern.split_once('{'))
                && let Some(value) = path.strip_prefix(before)
                && !value.is_empty()
                && !value.contains('/')
            {
                return Some((key, function, json!({ name: value })));
            }
        }
        default
    }
}

/// An event in payload format 2.0.
fn event(request: &Request<Vec<u8>>, key: &str, parameters: &Value) -> Value {
    let headers: serde_json::Map<String, Value> = request
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap_or_default().into()))
        .collect();
    let path = request.uri().path();
    let query = request.uri().query().unwrap_or_default();
    json!({
        "version": "2.0",
        "routeKey": key,
        "rawPath": path,
        "rawQueryString": query,
        "headers": headers,
        "pathParameters": parameters,
        "requestContext": {
            "http": {"method": request.method().as_str(), "path": path, "protocol": "HTTP/1.1"},
            "requestId": "simulated",
            "routeKey": key,
            "stage": "$default",
        },
        "body": String::from_utf8_lossy(request.body()),
        "isBase64Encoded": false,
    })
}

fn response(answer: &Value) -> Response<Vec<u8>> {
    let status = answer["statusCode"].as_u64().unwrap_or(500);
    let mut response = Response::builder().status(u16::try_from(status).unwrap_or(500));
    for part in ["headers", "multiValueHeaders"] {
        for (name, value) in answer[part].as_object().into_iter().flatten() {
            let value = value.as_str().or_else(|| value[0].as_str());
            response = response.header(name, value.unwrap_or_default());
        }
    }
    let body = answer["body"].as_str().unwrap_or_default();
    response
        .body(body.as_bytes().to_vec())
        .unwrap_or_else(|_| plain(500, "Internal Server Error"))
}

fn plain(status: u16, message: &str) -> Response<Vec<u8>> {
    let mut response = Response::new(json!({ "message": message }).to_string().into_bytes());
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
    response
}
