//! Returns that name no charge, or two: they are refused with the name of the field, and change nothing. Returns with
//! any other fields next to the charge's id are accepted.

use payment3_bank::SECRET_KEY;
use payment3_harness::http::FORM;
use payment3_harness::random;
use payment3_harness::shopper::{self, CARD_APPROVED};
use reqwest::Method;
use serde_json::{Value, json};

use crate::hostile::sign;
use crate::support::TestApp;

const JSON: &str = "application/json";
/// More than a callback's body may have.
const TOO_LONG: usize = 8 * 1024;

/// Content type, body, and the field that the answer must name.
type Case = (&'static str, Vec<u8>, &'static str);

fn cases(charge: &str, token: &str) -> Vec<Case> {
    let json = |text: String| (JSON, text.into_bytes());
    let form = |text: String| (FORM, text.into_bytes());
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
        // No id that can be read.
        (
            json(format!(r#"{{"objectId":["{charge}"],"status":"true"}}"#)),
            "objectId",
        ),
        (form("objectId=%ff%fe&status=true".to_owned()), "objectId"),
        // Two ids.
        (
            form(format!("objectId={charge}&objectId={charge}0")),
            "objectId",
        ),
        (form(format!("objectId={charge}&id={charge}0")), "objectId"),
        (
            json(format!(
                r#"{{"objectId":"{charge}","object\u0049d":"{charge}0"}}"#
            )),
            "objectId",
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
    ]
    .into_iter()
    .map(|((content_type, body), field)| (content_type, body, field))
    .collect()
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn a_return_without_one_charge_is_refused_by_field_and_changes_nothing() {
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

    // The payment itself still goes through.
    app.return_with(&pending.form).await;
    app.execution(&charge).await;
    app.assert_paid(&pending).await;
}

/// Other fields of a return, with the status that the shopper is shown.
fn hints(charge: &str) -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let success = |content_type, text: String| (content_type, text.into_bytes(), "success");
    let failure = |content_type, text: String| (content_type, text.into_bytes(), "failure");
    let thai = [
        format!("objectId={charge}&status=true&message=").as_bytes(),
        b"\xba\xd1\xb5\xc3",
    ]
    .concat();
    vec![
        (FORM, thai, "success"),
        success(
            FORM,
            format!("objectId={charge}&status=true&message=%BA%D1%B5%C3"),
        ),
        success(FORM, format!("status=true&objectId={charge}&a=1&a=2&a[]=3")),
        success(
            "text/plain",
            format!("objectId={charge}\r\nstatus=true\r\n"),
        ),
        success(
            JSON,
            format!(
                r#"{{"objectId":"{charge}","status":"true","source":{{"brand":"VISA"}},"metadata":{{}}}}"#
            ),
        ),
        failure(FORM, format!("objectId={charge}&status=fail")),
        failure(FORM, format!("objectId={charge}&status=cancel")),
        failure(FORM, format!("objectId={charge}&status=")),
        failure(FORM, format!("objectId={charge}")),
        failure(FORM, format!("objectId={charge}&token=a%20b&status=%BA%D1")),
    ]
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn a_return_is_accepted_whatever_other_fields_it_has() {
    let app = TestApp::connect().await;
    let owner = random::id("usr_");
    // Each kind gets a payment of its own.
    for number in 0..hints("").len() {
        let pending = app.authenticated(&owner, CARD_APPROVED).await;
        let (content_type, body, shown) = hints(pending.charge_id()).remove(number);
        let text = String::from_utf8_lossy(&body).into_owned();
        let answer = app.post_callback(content_type, body).await;
        let landing = app.landing(&pending.order, shown);
        assert_eq!(answer.location, Some(landing), "{text}: {answer:?}");
        app.execution(pending.charge_id()).await;
        app.assert_paid(&pending).await;
    }
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn a_return_may_come_by_get_and_with_a_slash_at_the_end_of_the_address() {
    let app = TestApp::connect().await;
    let owner = random::id("usr_");
    for (method, slash, in_query) in [
        (Method::GET, "", true),
        (Method::GET, "/", true),
        (Method::POST, "", true),
        (Method::POST, "/", false),
    ] {
        let pending = app.authenticated(&owner, CARD_APPROVED).await;
        let fields = shopper::bare_return(pending.charge_id());
        let (query, body) = if in_query {
            (format!("?{fields}"), String::new())
        } else {
            (String::new(), fields)
        };
        let address = format!("{}/callback{slash}{query}", app.outputs.api_url);
        let answer = shopper::request(&method, &address, FORM, body)
            .await
            .expect("an answer");
        let landing = app.landing(&pending.order, "success");
        assert_eq!(answer.location, Some(landing), "{method} {slash}");
        app.execution(pending.charge_id()).await;
        app.assert_paid(&pending).await;
    }
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn a_notification_with_a_slash_at_the_end_of_the_address_is_no_return() {
    let app = TestApp::connect().await;
    let pending = app.authenticated(&random::id("usr_"), CARD_APPROVED).await;
    let url = format!("{}/notify/", app.outputs.api_url);
    let unsigned = format!(r#"{{"objectId":"{0}","id":"{0}"}}"#, pending.charge_id());
    let answer = shopper::post_callback(&url, JSON, unsigned).await;
    assert_eq!(answer.expect("an answer").status, 400);
    app.assert_untouched(&pending).await;
    let mut signed = json!({
        "object": "charge", "id": pending.charge_id(), "amount": 1500, "currency": "THB",
        "status": "success", "transaction_state": "Authorized",
    });
    sign(&mut signed, SECRET_KEY);
    let answer = shopper::post_callback(&url, JSON, signed.to_string()).await;
    assert_eq!(answer.expect("an answer").status, 200);
    app.execution(pending.charge_id()).await;
    app.assert_paid(&pending).await;
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn a_person_in_a_browser_gets_a_page_for_every_refusal() {
    let app = TestApp::connect().await;
    let unknown = random::id("chrg_test_");
    for (method, path, body, status) in [
        (
            Method::POST,
            "/callback",
            format!("objectId={unknown}"),
            404,
        ),
        (Method::POST, "/callback", "status=true".to_owned(), 400),
        (Method::GET, "/callback", String::new(), 400),
        (Method::POST, "/notify", String::new(), 400),
        (Method::GET, "/checkstatus/1", String::new(), 404),
        (Method::POST, "/cardpayment", String::new(), 400),
        (Method::POST, "/cardtoken", "x=1".to_owned(), 400),
        (Method::GET, "/", String::new(), 404),
    ] {
        let address = format!("{}{path}", app.outputs.api_url);
        let program = shopper::request(&method, &address, FORM, body.clone());
        let program = program.await.expect("an answer");
        assert_eq!(program.status, status, "{path}: {program:?}");
        serde_json::from_str::<Value>(&program.body).expect("JSON for a program");

        let page = shopper::navigate(&method, &address, body).await;
        let page = page.expect("an answer");
        assert_eq!(page.status, status, "{path}: {page:?}");
        let back = r#"<a href="https://shop.villamarket.com">Back to the shop</a>"#;
        assert!(page.body.contains(back), "{path}: {}", page.body);
        let checked = page.body.contains("You do not need to pay again");
        assert_eq!(checked, !path.starts_with("/card"), "{path}: {}", page.body);
    }
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn a_callback_for_an_unknown_charge_is_not_found_and_starts_nothing() {
    let app = TestApp::connect().await;
    let pending = app.authenticated(&random::id("usr_"), CARD_APPROVED).await;
    let unknown = random::id("chrg_test_");
    // Not even the token of another charge's record helps.
    for form in [
        shopper::bare_return(&unknown),
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
