//! The bodies that strangers post to `/callback`, as far as the execution that they start.

use std::collections::HashMap;

use arbitrary::{Result, Unstructured};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use payment3_activities::activity::parse_callback;
use payment3_activities::domain::claim::{Claim, ClaimedStatus};
use payment3_activities::domain::fields::{FieldError, Fields, MAX_BODY};
use payment3_activities::executions::{ExecutionInput, Source};
use payment3_activities::http_api::{ApiError, Body, Request, Response, body};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::generate::rest;
use crate::secrets::{assert_none_debugged, assert_none_in, stand_in};

/// The fields that are read, and some that the bank sends besides.
const NAMES: [&str; 8] = [
    "objectId", "id", "status", "token", "message", "saveCard", "callback", "orderId",
];

/// Checks one body. The first byte says how API Gateway hands it over: `0` as text, `1` as base64, `2` as what is said
/// to be base64 and may not be.
pub fn check(u: &mut Unstructured<'_>) -> Result<()> {
    let how = u.arbitrary::<u8>()? % 3;
    let bytes = rest(u)?;
    let mut request = Request::default();
    match how {
        0 => {
            let Ok(text) = std::str::from_utf8(bytes) else {
                return Err(arbitrary::Error::IncorrectFormat);
            };
            request.body = Some(text.to_owned());
        }
        1 => {
            request.body = Some(STANDARD.encode(bytes));
            request.is_base64_encoded = true;
        }
        _ => {
            request.body = Some(String::from_utf8_lossy(bytes).into_owned());
            request.is_base64_encoded = true;
        }
    }
    match body(&request) {
        Ok(body) => {
            if how < 2 {
                assert_eq!(body, bytes, "the body is what the client sent");
            }
            read(&body);
        }
        Err(error) => {
            assert_eq!(how, 2, "what API Gateway encoded can be decoded");
            refused(error);
        }
    }
    if let Ok(Value::Object(input)) = serde_json::from_slice(bytes) {
        typed(&input);
    }
    Ok(())
}

/// The body's fields are those that other readers of forms and JSON see, and a claim is made of them or refused.
fn read(body: &[u8]) {
    let fields = match Fields::parse(body) {
        Ok(fields) => fields,
        Err(error) => return refused(error),
    };
    assert!(body.len() <= MAX_BODY);
    let text = std::str::from_utf8(body)
        .expect("only UTF-8 has fields")
        .trim();
    let other = others_reading(text);
    for name in NAMES {
        let expected = other.get(name).map(String::as_str);
        let expected = expected.filter(|value| !value.trim().is_empty());
        assert_eq!(fields.get(name), expected, "{name}");
    }
    names_only(&fields, text);
    match Claim::from_fields(&fields) {
        Ok(claim) => claimed(&claim, &fields),
        Err(error) => refused(error),
    }
}

/// What the libraries make of the body: each name once, or the fields would have been refused.
fn others_reading(text: &str) -> HashMap<String, String> {
    match serde_json::from_str::<HashMap<String, Box<RawValue>>>(text) {
        Ok(values) => values
            .into_iter()
            .map(|(name, value)| {
                let written = value.get();
                let text = match serde_json::from_str(written) {
                    Ok(Value::String(text)) => text,
                    Ok(Value::Null) => String::new(),
                    // To the digit, as a form would bring it.
                    _ => written.to_owned(),
                };
                (name, text)
            })
            .collect(),
        Err(_) => url::form_urlencoded::parse(text.as_bytes())
            .into_owned()
            .collect(),
    }
}

/// `Debug` shows which fields there are, and nothing that they hold.
fn names_only(fields: &Fields, body: &str) {
    assert_none_debugged("a request's fields", fields);
    let debugged = format!("{fields:?}");
    for name in NAMES {
        let stands = debugged.contains(&format!("{name:?}"));
        assert!(stands || fields.get(name).is_none(), "{name} of {body:?}");
    }
}

/// A claim's ids are ids, its status is one of the four words, and its token goes nowhere but into the record's key.
fn claimed(claim: &Claim, fields: &Fields) {
    let id = claim.charge_id.as_str();
    assert!((1..=100).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic()));
    for name in ["objectId", "id"] {
        assert!(fields.get(name).is_none_or(|other| other == id), "{name}");
    }
    let word = fields
        .get("status")
        .unwrap_or_default()
        .trim()
        .to_lowercase();
    match claim.status {
        ClaimedStatus::Success => assert!(word == "true" || word == "success"),
        ClaimedStatus::Failure => assert!(word == "false" || word == "failure"),
    }
    assert_eq!(
        fields.get("token"),
        claim.token.as_ref().map(|token| token.expose())
    );
    let record_key = claim.token.as_ref().map(|token| token.record_key());
    for source in [Source::Callback, Source::Notify] {
        let input = ExecutionInput {
            source,
            charge_id: &claim.charge_id,
            status: Some(claim.status),
            record_key: record_key.as_ref(),
            request_id: Some("r-1"),
        };
        let json = serde_json::to_value(&input).expect("an execution's input is JSON");
        if !stand_in(id) {
            assert_none_in("an execution's input", &json.to_string());
            assert_none_debugged("a claim", claim);
            assert_none_debugged("an execution's input", &input);
        }
        let parsed = parse_callback::parse(json.as_object().expect("an object"))
            .expect("what the callback writes, the state machine reads");
        assert_eq!(parsed.charge_id, claim.charge_id);
        assert_eq!(parsed.claimed_status, Some(claim.status));
        assert_eq!(parsed.source, source);
        assert_eq!(parsed.record_key, record_key);
    }
}

/// What a person may type as an execution's input.
fn typed(input: &serde_json::Map<String, Value>) {
    match parse_callback::parse(input) {
        Ok(parsed) => {
            let id = parsed.charge_id.as_str();
            assert!(
                (1..=100).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())
            );
            assert!(parsed.source != Source::Callback || parsed.claimed_status.is_some());
        }
        Err(error) => assert_none_in("a refused execution's input", &error.to_string()),
    }
}

/// A refusal names a field, shows nothing of the request but that name, and cannot bring a script into a page.
pub(crate) fn refused(error: FieldError) {
    assert!((1..=40).contains(&error.field.len()), "{}", error.field);
    assert!(error.field.bytes().all(|byte| byte.is_ascii_graphic()));
    let answer = ApiError::from(error);
    assert_eq!(answer.status, 400);
    assert!(matches!(answer.code, "INVALID_INPUT" | "MISSING_FIELD"));
    assert_none_debugged("a refusal", &answer);
    assert_none_in("an answer", &text_of(answer.to_json()));
    let page = text_of(answer.to_page());
    assert_none_in("a page", &page);
    let plain = text_of(ApiError::new(400, "INVALID_INPUT", "").to_page());
    let tags = |text: &str| text.matches('<').count();
    assert_eq!(
        tags(&page),
        tags(&plain),
        "a field's name brings a tag into the page"
    );
}

fn text_of(answer: Response) -> String {
    assert_eq!(answer.status_code, 400);
    match answer.body {
        Some(Body::Text(text)) => text,
        other => panic!("an answer without text: {other:?}"),
    }
}
