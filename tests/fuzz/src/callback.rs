//! The bodies that anyone can post to `/callback`, up to the execution that they start.

use std::collections::HashMap;

use arbitrary::{Result, Unstructured};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use payment3_activities::activity::parse_callback;
use payment3_activities::domain::browser_return::{BrowserReturn, ReportedStatus};
use payment3_activities::domain::fields::{FieldError, Fields, MAX_BODY};
use payment3_activities::executions::{ExecutionInput, Source};
use payment3_activities::http_api::{ApiError, Body, Request, Response, body};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::generate::rest;
use crate::secrets::{assert_none_debugged, assert_none_in, contains_secret};

const SHOP: &str = "https://shop.example";
/// The fields that are read, and some others that the bank sends.
const NAMES: [&str; 8] = [
    "objectId", "id", "status", "token", "message", "saveCard", "callback", "orderId",
];

/// Checks one body. The first byte says how API Gateway passes it: `0` as text, `1` as base64, `2` as declared base64
/// that may be invalid.
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
                assert_eq!(body, bytes, "the body differs from what the client sent");
            }
            read(&body);
        }
        Err(error) => {
            assert_eq!(how, 2, "valid base64 cannot be decoded");
            refused(error);
        }
    }
    if let Ok(Value::Object(input)) = serde_json::from_slice(bytes) {
        typed(&input);
    }
    Ok(())
}

/// The body means the same to other readers of forms and JSON.
fn read(body: &[u8]) {
    match BrowserReturn::read("", body) {
        Ok(back) => {
            assert!(body.len() <= MAX_BODY);
            check_execution(&back);
            for id in others_ids(body) {
                assert_eq!(id, back.charge_id.as_str(), "two different charges");
            }
        }
        Err(error) => {
            // The library reads every text without line breaks as a form.
            if error.field != "body"
                && !body.trim_ascii().iter().any(|byte| b"\r\n{".contains(byte))
            {
                let mut ids = others_ids(body);
                ids.dedup();
                assert_ne!(ids.len(), 1, "other readers find exactly one charge");
            }
            refused(error);
        }
    }
    if let Ok(fields) = Fields::parse(body) {
        names_only(&fields, &String::from_utf8_lossy(body));
    }
    no_unread_field_changes_a_return(body);
}

/// The charges that other libraries read from the body.
fn others_ids(body: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(body.trim_ascii());
    let pairs: Vec<(String, String)> =
        match serde_json::from_str::<HashMap<String, Box<RawValue>>>(&text) {
            Ok(values) => values
                .into_iter()
                .filter_map(|(name, value)| match serde_json::from_str(value.get()) {
                    Ok(Value::String(text)) => Some((name, text)),
                    Ok(Value::Null | Value::Array(_) | Value::Object(_)) | Err(_) => None,
                    // With the same digits as in a form.
                    Ok(_) => Some((name, value.get().to_owned())),
                })
                .collect(),
            Err(_) => url::form_urlencoded::parse(body.trim_ascii())
                .into_owned()
                .collect(),
        };
    let mut ids: Vec<_> = pairs
        .into_iter()
        .filter(|(name, _)| name == "objectId" || name == "id")
        .map(|(_, id)| id.trim().to_owned())
        .filter(|id| {
            (1..=100).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())
        })
        // Such an id would change the path of a URL.
        .filter(|id| id != "." && id != "..")
        .collect();
    ids.sort();
    ids
}

/// Fields that a return does not read must not change it.
fn no_unread_field_changes_a_return(junk: &[u8]) {
    let known = [
        ("objectId", "chrg_1"),
        ("status", "true"),
        ("token", "tokn_1"),
    ];
    for body in with_unread(&known, &["objectId", "id", "status", "token"], junk) {
        let shown = String::from_utf8_lossy(&body);
        let back =
            BrowserReturn::read("", &body).unwrap_or_else(|error| panic!("{error}: {shown}"));
        assert_eq!(back.charge_id.as_str(), "chrg_1", "{shown}");
        assert_eq!(back.status, ReportedStatus::Success, "{shown}");
        assert_eq!(back.token.expect("a token").expose(), "tokn_1", "{shown}");
    }
}

/// Bodies with the `known` fields and an additional one made of `junk`: as a form and as JSON, in every position.
/// There are none if the junk happens to be the name of a field in `read`.
pub(crate) fn with_unread(known: &[(&str, &str)], read: &[&str], junk: &[u8]) -> Vec<Vec<u8>> {
    let one: Vec<u8> = junk
        .iter()
        .map(|byte| if b"&\r\n".contains(byte) { b'+' } else { *byte })
        .collect();
    let lossy = String::from_utf8_lossy(junk).into_owned();
    let names_a_read_field =
        url::form_urlencoded::parse(&one).any(|(name, _)| read.contains(&&*name));
    if names_a_read_field || read.contains(&lossy.as_str()) || junk.len() > MAX_BODY / 4 {
        return Vec::new();
    }
    let form: Vec<Vec<u8>> = known
        .iter()
        .map(|(name, value)| format!("{name}={value}").into_bytes())
        .collect();
    let json: Vec<Vec<u8>> = known
        .iter()
        .map(|(name, value)| format!("{}:{}", Value::from(*name), Value::from(*value)).into_bytes())
        .collect();
    let text = Value::from(lossy.clone()).to_string();
    let mut unread = vec![
        (&form, [b"x=".to_vec(), one.clone()].concat()),
        (&form, [b"x[]%ff=", &*one].concat()),
        (&form, one),
        (&json, format!("{text}:1").into_bytes()),
        (&json, format!("\"x\":{text}").into_bytes()),
        (
            &json,
            format!("\"x\":[{text},{{{text}:{{}}}}]").into_bytes(),
        ),
        (&json, br#""\ud800":"\ud800""#.to_vec()),
    ];
    if serde_json::from_str::<Box<RawValue>>(&lossy).is_ok() {
        unread.push((&json, [b"\"x\":", junk].concat()));
    }
    let mut bodies = Vec::new();
    for (known, unread) in unread {
        for at in 0..=known.len() {
            let mut pairs = known.clone();
            pairs.insert(at, unread.clone());
            bodies.push(if std::ptr::eq(known, &form) {
                // Begins with a normal field, so that the body still looks like a form.
                [b"a=b&".to_vec(), pairs.join(&b'&')].concat()
            } else {
                [b"{".to_vec(), pairs.join(&b','), b"}".to_vec()].concat()
            });
        }
    }
    bodies.retain(|body| body.len() <= MAX_BODY);
    bodies
}

/// `Debug` shows the names of the fields, but no values.
fn names_only(fields: &Fields, body: &str) {
    assert_none_debugged("a request's fields", fields);
    let debugged = format!("{fields:?}");
    for name in NAMES {
        let stands = debugged.contains(&format!("{name:?}"));
        assert!(stands || !fields.is_given(name), "{name} of {body:?}");
    }
}

/// The id of a return is valid, and its token is only used for the record's key.
fn check_execution(back: &BrowserReturn) {
    let id = back.charge_id.as_str();
    assert!((1..=100).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic()));
    let record_key = back.token.as_ref().map(|token| token.record_key());
    for source in [Source::Callback, Source::Notify] {
        let input = ExecutionInput {
            source,
            charge_id: &back.charge_id,
            status: Some(back.status),
            record_key: record_key.as_ref(),
            request_id: Some("r-1"),
        };
        let json = serde_json::to_value(&input).expect("an execution's input is JSON");
        if !contains_secret(id) {
            assert_none_in("an execution's input", &json.to_string());
            assert_none_debugged("a return", back);
            assert_none_debugged("an execution's input", &input);
        }
        let parsed = parse_callback::parse(json.as_object().expect("an object"))
            .expect("the state machine reads the input from the callback");
        assert_eq!(parsed.charge_id, back.charge_id);
        assert_eq!(parsed.reported_status, Some(back.status));
        assert_eq!(parsed.source, source);
        assert_eq!(parsed.record_key, record_key);
    }
}

/// An execution's input that a person typed.
fn typed(input: &serde_json::Map<String, Value>) {
    match parse_callback::parse(input) {
        Ok(parsed) => {
            let id = parsed.charge_id.as_str();
            assert!(
                (1..=100).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())
            );
        }
        Err(error) => assert_none_in("a refused execution's input", &error.to_string()),
    }
}

/// A refusal shows only the name of a field from the request, and cannot bring a script into a page.
pub(crate) fn refused(error: FieldError) {
    assert!((1..=40).contains(&error.field.len()), "{}", error.field);
    assert!(error.field.bytes().all(|byte| byte.is_ascii_graphic()));
    let answer = ApiError::from(error);
    assert_eq!(answer.status, 400);
    assert!(matches!(answer.code, "INVALID_INPUT" | "MISSING_FIELD"));
    assert_none_debugged("a refusal", &answer);
    assert_none_in("an answer", &text_of(answer.to_json()));
    let page = text_of(answer.to_page(SHOP));
    assert_none_in("a page", &page);
    let plain = ApiError::new(400, "INVALID_INPUT", "").to_page(SHOP);
    let plain = text_of(plain);
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
