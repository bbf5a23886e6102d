//! Asks each route of the API for something of which no payment can come, twice: the first answer may have had to start
//! the function.

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use payment3_harness::http;
use reqwest::header::{CONNECTION, CONTENT_TYPE};
use reqwest::{Method, Url};
use serde_json::Value;

use super::stack::{Stack, text};
use super::table::Line;

/// More than the 30 seconds that API Gateway gives a function.
const PATIENCE: Duration = Duration::from_secs(35);
/// How long an address that does nothing may take, even where it starts its function.
const AT_ONCE: Duration = Duration::from_secs(5);

/// A request of which no payment can come, and the refusal that is right.
struct Probe {
    /// The route's key in the template.
    route: &'static str,
    method: Method,
    path: &'static str,
    body: &'static str,
    /// Status, code and field of the right answers. An answer without a field says `""`.
    right: &'static [(u16, &'static str, &'static str)],
}

/// A form with no field that anybody reads.
const NO_FIELDS: &str = "payment3=check";
/// A notification that the bank has not signed, of a charge that nobody made. Before its checksum is verified nothing is
/// looked up, let alone written.
const UNSIGNED: &str = r#"{"id":"chrg_payment3_check","amount":1,"currency":"THB","status":"failure",
    "transaction_state":"Declined","checksum":"payment3-check"}"#;

/// One for each route. A route that has none is told.
const PROBES: [Probe; 7] = [
    // A checkout without fields: refused before a table or the bank is asked.
    Probe {
        route: "POST /cardpayment",
        method: Method::POST,
        path: "/cardpayment",
        body: NO_FIELDS,
        right: &[(400, "MISSING_FIELD", "token")],
    },
    Probe {
        route: "POST /cardtoken",
        method: Method::POST,
        path: "/cardtoken",
        body: NO_FIELDS,
        right: &[(400, "MISSING_FIELD", "token")],
    },
    // A return that names no charge.
    Probe {
        route: "POST /callback",
        method: Method::POST,
        path: "/callback",
        body: NO_FIELDS,
        right: &[(400, "MISSING_FIELD", "objectId")],
    },
    Probe {
        route: "GET /callback",
        method: Method::GET,
        path: "/callback?payment3=check",
        body: "",
        right: &[(400, "MISSING_FIELD", "objectId")],
    },
    // Without the bank's keys it cannot verify, and refuses as well: the secret's line tells.
    Probe {
        route: "POST /notify",
        method: Method::POST,
        path: "/notify",
        body: UNSIGNED,
        right: &[(401, "INVALID_CHECKSUM", "checksum"), CANNOT_VERIFY],
    },
    // No order has this id. The default route would not name the field.
    Probe {
        route: "GET /checkstatus/{orderId}",
        method: Method::GET,
        path: "/checkstatus/payment3-check",
        body: "",
        right: &[(404, "NOT_FOUND", "orderId")],
    },
    Probe {
        route: "$default",
        method: Method::GET,
        path: "/",
        body: "",
        right: &[(404, "NOT_FOUND", "")],
    },
];

const NOTIFY: &str = "POST /notify";
const CANNOT_VERIFY: (u16, &str, &str) = (503, "UNAVAILABLE", "");

/// What an unsigned notification shows of the bank's keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verification {
    /// The function has the keys, and saw that they did not sign it.
    Works,
    /// The function cannot get or read the keys.
    Cannot,
    /// It answers something else.
    Unknown,
}

/// An answer of the API.
#[derive(Debug, Clone)]
struct Answer {
    status: u16,
    body: Value,
    took: Duration,
    /// Whether the connection stays open for a next request.
    kept: bool,
}

impl Answer {
    /// Status, code and field, as a probe names them.
    fn refusal(&self) -> (u16, String, String) {
        let code = text(&self.body, "code").unwrap_or_default();
        let field = text(&self.body["details"], "field").unwrap_or_default();
        (self.status, code, field)
    }
}

/// The lines of the API's address and of its routes, and what the notification showed.
///
/// # Errors
/// The stack's output is no URL.
pub(super) async fn check(stack: &Stack) -> Result<(Vec<Line>, Verification)> {
    let output = stack.outputs.get("ApiUrl");
    let output =
        output.with_context(|| format!("the stack {} has no output ApiUrl", stack.name))?;
    let base = Url::parse(output).with_context(|| format!("the output ApiUrl is `{output}`"))?;
    let http = client(&base)?;
    let mut routes: Vec<_> = stack
        .all("AWS::ApiGatewayV2::Route")
        .filter_map(|route| text(&route.properties, "RouteKey"))
        .collect();
    routes.sort_by_key(|route| PROBES.iter().position(|probe| probe.route == route));
    let mut lines = Vec::new();
    let mut verification = Verification::Unknown;
    let mut reached = Err("no route was asked".to_owned());
    for route in &routes {
        let Some(probe) = PROBES.iter().find(|probe| probe.route == route) else {
            let says = "no request to it is known of which nothing can come";
            lines.push(Line::unseen(route, says));
            continue;
        };
        let first = ask(&http, &base, probe).await;
        // What answers 5xx is not asked twice: checks would add up to the alarm of the API.
        let second = match &first {
            Ok(answer) if answer.status < 500 => ask(&http, &base, probe).await,
            _ => first.clone(),
        };
        if route == NOTIFY {
            verification = verified(&second);
        }
        reached = match (&second, reached) {
            (Ok(_), _) | (_, Ok(())) => Ok(()),
            (Err(words), _) => Err(words.clone()),
        };
        lines.push(line(probe, &first, &second));
    }
    lines.insert(0, address(&base, &reached));
    Ok((lines, verification))
}

/// A client for the API. Names below `localhost` are this machine, which not every resolver knows (RFC 6761, 6.3).
fn client(base: &Url) -> Result<reqwest::Client> {
    let mut builder = match is_local(base) {
        true => http::builder(),
        false => http::outside(),
    };
    if let (true, Some(host)) = (is_local(base), base.host_str()) {
        let port = base.port_or_known_default().unwrap_or_default();
        builder = builder.resolve(host, SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    }
    builder
        .timeout(PATIENCE)
        .build()
        .context("no HTTP client can be built")
}

fn is_local(base: &Url) -> bool {
    let host = base.host_str().unwrap_or_default();
    host == "127.0.0.1" || host == "localhost" || host.ends_with(".localhost")
}

async fn ask(http: &reqwest::Client, base: &Url, probe: &Probe) -> Result<Answer, String> {
    let url = format!("{}{}", base.as_str().trim_end_matches('/'), probe.path);
    let begun = Instant::now();
    let mut request = http.request(probe.method.clone(), url);
    if probe.method == Method::POST {
        let kind = match probe.body {
            NO_FIELDS => http::FORM,
            _ => "application/json",
        };
        request = request.header(CONTENT_TYPE, kind).body(probe.body);
    }
    let response = request.send().await.map_err(|error| words(&error))?;
    let status = response.status().as_u16();
    let closes = response.headers().get(CONNECTION);
    let kept = closes.is_none_or(|value| !value.as_bytes().eq_ignore_ascii_case(b"close"));
    let body = response.bytes().await.map_err(|error| words(&error))?;
    Ok(Answer {
        status,
        body: serde_json::from_slice(&body).unwrap_or_default(),
        took: begun.elapsed(),
        kept,
    })
}

/// Why there is no answer: the innermost cause says most.
fn words(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return format!("no complete answer within {} s", PATIENCE.as_secs());
    }
    let mut innermost: &dyn Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

fn verified(answer: &Result<Answer, String>) -> Verification {
    let Ok(answer) = answer else {
        return Verification::Unknown;
    };
    let (status, code, field) = answer.refusal();
    match (status, code.as_str(), field.as_str()) {
        (401, "INVALID_CHECKSUM", _) => Verification::Works,
        cannot if cannot == CANNOT_VERIFY => Verification::Cannot,
        _ => Verification::Unknown,
    }
}

/// Whether the API is reached, and by TLS: with a certificate that this machine trusts.
fn address(base: &Url, reached: &Result<(), String>) -> Line {
    let what = "address of the API";
    match (reached, base.scheme()) {
        (Err(words), _) => Line::fails(
            what,
            format!("{base} is not reached: {words}"),
            "with a name of your own, see its certificate and DNS record: docs/deploy.md#a-name-of-your-own",
        ),
        (Ok(()), "https") => Line::ok(what, format!("{base} by TLS, the certificate is valid")),
        (Ok(()), _) if is_local(base) => Line::unseen(
            what,
            format!("{base}, on this machine: there is no TLS to see"),
        ),
        (Ok(()), _) => Line::fails(
            what,
            format!("{base} is reached without TLS"),
            "deploy again: docs/deploy.md#each-branch",
        ),
    }
}

/// The line of a route.
fn line(probe: &Probe, first: &Result<Answer, String>, second: &Result<Answer, String>) -> Line {
    let what = format!("route {}", probe.route);
    let mend = "docs/runbook.md#api-errors; deploy again if the route or its right to call the function is gone";
    let (first, second) = match (first, second) {
        (Ok(first), Ok(second)) => (first, second),
        (Err(words), _) | (_, Err(words)) => return Line::fails(what, words, mend),
    };
    for answer in [first, second] {
        let (status, code, field) = answer.refusal();
        if status == 429 {
            return Line::fails(
                what,
                "API Gateway answers 429: too many requests",
                "docs/runbook.md#api-throttled",
            );
        }
        if !probe
            .right
            .contains(&(status, code.as_str(), field.as_str()))
        {
            let (right, named, _) = probe.right[0];
            let says = format!(
                "`{} {}` answers {status} {code}, not {right} {named}",
                probe.method, probe.path
            );
            return Line::fails(what, says, mend);
        }
    }
    let does_nothing = probe.path == "/";
    if does_nothing && first.took.max(second.took) > AT_ONCE {
        let says = format!(
            "`GET /` takes {} ms: it must answer at once",
            first.took.max(second.took).as_millis()
        );
        return Line::fails(what, says, mend);
    }
    let (first_ms, second_ms) = (first.took.as_millis(), second.took.as_millis());
    let mut says = format!("{} in {first_ms} ms, then in {second_ms} ms", second.status);
    if does_nothing {
        says.push_str(match second.kept {
            true => "; the connection stays open for the next request",
            false => "; the connection is closed",
        });
    }
    Line::ok(what, says)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::table::Verdict;
    use super::*;

    fn probe(route: &str) -> &'static Probe {
        static ALL: [Probe; 7] = PROBES;
        ALL.iter().find(|probe| probe.route == route).expect(route)
    }

    fn answer(status: u16, code: &str, field: &str, millis: u64) -> Result<Answer, String> {
        let mut body = json!({"error": "no", "code": code, "details": {}});
        if !field.is_empty() {
            body["details"]["field"] = field.into();
        }
        Ok(Answer {
            status,
            body,
            took: Duration::from_millis(millis),
            kept: true,
        })
    }

    #[test]
    fn the_right_refusal_is_ok_with_both_times() {
        let first = answer(400, "MISSING_FIELD", "token", 310);
        let second = answer(400, "MISSING_FIELD", "token", 12);
        let line = line(probe("POST /cardpayment"), &first, &second);
        assert_eq!(
            line,
            Line::ok("route POST /cardpayment", "400 in 310 ms, then in 12 ms")
        );
    }

    #[test]
    fn every_other_answer_fails() {
        let right = answer(404, "NOT_FOUND", "orderId", 5);
        for wrong in [
            answer(200, "", "", 5),
            answer(500, "", "", 5),
            answer(429, "", "", 5),
            // The default route's: this route is gone.
            answer(404, "NOT_FOUND", "", 5),
            Err("connection refused".to_owned()),
        ] {
            let probe = probe("GET /checkstatus/{orderId}");
            assert!(line(probe, &wrong, &right).failed(), "{wrong:?}");
            assert!(line(probe, &right, &wrong).failed(), "{wrong:?}");
        }
    }

    #[test]
    fn the_top_address_answers_at_once() {
        let quick = answer(404, "NOT_FOUND", "", 5);
        let ok = line(probe("$default"), &quick, &quick);
        assert!(
            ok.says
                .ends_with("the connection stays open for the next request"),
            "{ok:?}"
        );
        let slow = answer(404, "NOT_FOUND", "", 6000);
        let slow = line(probe("$default"), &slow, &quick);
        assert!(slow.failed() && slow.says.contains("6000 ms"), "{slow:?}");
    }

    #[test]
    fn a_notification_shows_whether_the_function_has_the_banks_keys() {
        let forged = answer(401, "INVALID_CHECKSUM", "checksum", 5);
        let keyless = answer(503, "UNAVAILABLE", "", 5);
        assert_eq!(verified(&forged), Verification::Works);
        assert_eq!(verified(&keyless), Verification::Cannot);
        assert_eq!(verified(&answer(200, "", "", 5)), Verification::Unknown);
        // Both are refusals: the secret has its own line.
        for answer in [&forged, &keyless] {
            assert!(!line(probe(NOTIFY), answer, answer).failed());
        }
        // The worst: it was believed.
        let believed = answer(200, "", "", 5);
        assert!(line(probe(NOTIFY), &believed, &believed).failed());
    }

    #[test]
    fn without_tls_only_this_machine_is_reached() {
        let url = |text: &str| Url::parse(text).expect("a URL");
        let verdict = |text: &str| address(&url(text), &Ok(())).verdict;
        assert_eq!(verdict("https://api.example"), Verdict::Ok);
        assert_eq!(
            verdict("http://abc.execute-api.localhost:4566"),
            Verdict::Unseen
        );
        assert!(matches!(verdict("http://api.example"), Verdict::Fails(_)));
        let line = address(
            &url("https://api.example"),
            &Err("certificate expired".into()),
        );
        assert!(
            line.failed() && line.says.contains("certificate expired"),
            "{line:?}"
        );
    }
}
