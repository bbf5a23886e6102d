//! Callbacks that no honest client sends: refused with the field named, and without a trace.

use payment3_local::http::FORM;
use payment3_local::random;
use payment3_local::shopper::CARD_APPROVED;
use serde_json::Value;

use crate::support::TestApp;

const JSON: &str = "application/json";
/// More than a callback's body may have.
const TOO_LONG: usize = 8 * 1024;

/// Content type, body, and the field that the answer must name.
type Case = (&'static str, Vec<u8>, &'static str);

fn cases(charge: &str, token: &str) -> Vec<Case> {
    let json = |text: String| (JSON, text.into_bytes());
    let form = |text: String| (FORM, text.into_bytes());
    let mut not_utf8 = format!("objectId={charge}&status=true&message=").into_bytes();
    not_utf8.extend([0xff, 0xfe]);
    [
        // Neither JSON nor a form.
        (form(String::new()), "body"),
        (json(String::new()), "body"),
        (form("   \r\n".to_owned()), "body"),
        (form("hello".to_owned()), "body"),
        (
            json(format!(r#"{{"objectId":"{charge}","status":"true""#)),
            "body",
        ),
        (json(format!(r#"["{charge}","true"]"#)), "body"),
        (json(format!("\"{charge}\"")), "body"),
        (json("null".to_owned()), "body"),
        // No id.
        (form(format!("token={token}&status=true")), "objectId"),
        (
            form(format!("objectId=&token={token}&status=true")),
            "objectId",
        ),
        (
            json(format!(r#"{{"token":"{token}","status":"true"}}"#)),
            "objectId",
        ),
        (
            json(r#"{"objectId":null,"status":"true"}"#.to_owned()),
            "objectId",
        ),
        (
            json(format!(r#"{{"objectId":["{charge}"],"status":"true"}}"#)),
            "objectId",
        ),
        // No status, or none that is known.
        (form(format!("objectId={charge}&token={token}")), "status"),
        (form(format!("objectId={charge}&status=")), "status"),
        (form(format!("objectId={charge}&status=maybe")), "status"),
        (form(format!("objectId={charge}&status=1")), "status"),
        (json(format!(r#"{{"objectId":"{charge}"}}"#)), "status"),
        (
            json(format!(r#"{{"objectId":"{charge}","status":"paid"}}"#)),
            "status",
        ),
        (
            json(format!(r#"{{"objectId":"{charge}","status":{{}}}}"#)),
            "status",
        ),
        // Repeated keys.
        (
            form(format!("objectId={charge}&objectId={charge}&status=true")),
            "objectId",
        ),
        (
            form(format!("objectId={charge}&object%49d={charge}&status=true")),
            "objectId",
        ),
        (
            form(format!("objectId={charge}&status=true&status=false")),
            "status",
        ),
        (
            json(format!(
                r#"{{"objectId":"{charge}","status":"true","status":"false"}}"#
            )),
            "status",
        ),
        // Over 8 KB.
        (
            form(format!(
                "objectId={charge}&status=true&message={}",
                "a".repeat(TOO_LONG)
            )),
            "body",
        ),
        (
            json(format!(
                r#"{{"objectId":"{charge}","status":"true","message":"{}"}}"#,
                "a".repeat(TOO_LONG)
            )),
            "body",
        ),
        // Not UTF-8.
        ((FORM, not_utf8), "body"),
        (form("objectId=%ff%fe&status=true".to_owned()), "objectId"),
    ]
    .into_iter()
    .map(|((content_type, body), field)| (content_type, body, field))
    .collect()
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn a_malformed_callback_is_refused_by_field_and_changes_nothing() {
    let app = TestApp::connect().await;
    let pending = app.authenticated(&random::id("usr_"), CARD_APPROVED).await;
    let charge = pending.charge_id().to_owned();
    let before = app.record(&charge).await;
    let token = pending.form.field("token").expect("token");

    for (content_type, body, field) in cases(&charge, token) {
        let start: String = String::from_utf8_lossy(&body).chars().take(80).collect();
        let answer = app.post_callback(content_type, body).await;
        let shown = format!("{start:?}: {answer:?}");
        assert_eq!(answer.status, 400, "{shown}");
        let error: Value = serde_json::from_str(&answer.body).expect(&shown);
        let code = error["code"].as_str().expect(&shown);
        assert!(
            ["INVALID_INPUT", "MISSING_FIELD"].contains(&code),
            "{shown}"
        );
        assert_eq!(error["details"]["field"], field, "{shown}");
        assert!(
            error["error"].as_str().expect(&shown).contains(field),
            "{shown}"
        );
        assert!(!answer.body.contains(token), "{shown}");
    }

    assert_eq!(app.record(&charge).await, before);
    app.assert_untouched(&pending).await;

    // The payment itself is fine.
    app.return_with(&pending.form).await;
    app.execution(&charge).await;
    app.assert_paid(&pending).await;
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn a_callback_for_an_unknown_charge_is_not_found_and_starts_nothing() {
    let app = TestApp::connect().await;
    let pending = app.authenticated(&random::id("usr_"), CARD_APPROVED).await;
    let unknown = random::id("chrg_test_");
    // Even with the token of another charge's record.
    for form in [
        format!("objectId={unknown}&status=true"),
        format!(
            "objectId={unknown}&status=true&token={}",
            pending.form.field("token").expect("token")
        ),
    ] {
        let answer = app.post_callback(FORM, form).await;
        assert_eq!(answer.status, 404, "{answer:?}");
        let error: Value = serde_json::from_str(&answer.body).expect("JSON");
        assert_eq!(error["code"], "NOT_FOUND", "{error}");
    }
    assert_eq!(app.executions_of(&unknown).await, [""; 0]);
    app.assert_untouched(&pending).await;
}
