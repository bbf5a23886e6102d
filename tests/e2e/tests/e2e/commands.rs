//! `cargo local pay`, `cargo local refund` and `cargo local executions`. The AWS command line must show the same executions.

use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};

use payment3_harness::aws::{ACCESS_KEY, REGION};
use payment3_harness::random;
use payment3_harness::shopper::CARD_APPROVED;
use serde_json::Value;

use crate::support::{TestApp, new_user_path};

/// The program behind `cargo local`.
fn program() -> Command {
    let program = std::env::var_os("PAYMENT3_LOCAL");
    Command::new(program.expect("PAYMENT3_LOCAL: run this with `cargo local test e2e`"))
}

fn cargo_local(arguments: &[&str]) -> Output {
    program()
        .args(arguments)
        .output()
        .expect("the program runs")
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

fn json(output: &Output) -> Value {
    serde_json::from_str(&text(output)).expect("JSON")
}

fn states(path: &Value) -> Vec<&str> {
    path.as_array()
        .expect("a path")
        .iter()
        .map(|visit| visit["state"].as_str().expect("a state's name"))
        .collect()
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn pay_shows_the_path_and_what_came_of_it() {
    let output = text(&cargo_local(&["pay", "--amount", "249.50"]));
    let mut rest = output.as_str();
    for state in new_user_path() {
        let at = rest
            .find(state)
            .unwrap_or_else(|| panic!("no {state} in order in:\n{output}"));
        rest = &rest[at + state.len()..];
    }
    for line in [
        "paid by chrg_",
        "1 saved card",
        "payment.succeeded (verified",
    ] {
        assert!(rest.contains(line), "{output}");
    }
}

/// What a scenario prints, in this order.
fn pays(arguments: &[&str], expected: &[&str]) {
    prints(&[&["pay"], arguments].concat(), expected);
}

/// What a command that succeeds prints, in this order.
fn prints(arguments: &[&str], expected: &[&str]) {
    let output = text(&cargo_local(arguments));
    let mut rest = output.as_str();
    for part in expected {
        let at = rest
            .find(part)
            .unwrap_or_else(|| panic!("{arguments:?}: no `{part}` in order in:\n{output}"));
        rest = &rest[at + part.len()..];
    }
}

/// The error of a command that fails.
fn fails(arguments: &[&str]) -> String {
    let output = cargo_local(arguments);
    assert!(!output.status.success(), "{output:?}");
    String::from_utf8(output.stderr).expect("UTF-8")
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn pay_plays_what_the_bank_may_do() {
    const PAID: &str = "order          paid by chrg_";
    const UNPAID: &str = "order          not paid";
    const TOLD: &str = "was told payment.failed (verified";
    pays(&["--card", "declined"], &["status=false", UNPAID, TOLD]);
    pays(&["--card", "approved-at-once"], &["(no 3DS)", PAID]);
    pays(&["--card", "declined-at-once"], &["(no 3DS)", UNPAID, TOLD]);
    pays(
        &["--card", "slow"],
        &["InquireCharge", "retries", "ChargePending", PAID],
    );
    pays(
        &["--card", "callback-lost"],
        &["the callback is lost", "SUCCEEDED", PAID],
    );
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn pay_plays_what_the_shopper_may_do() {
    const PAID: &str = "order          paid by chrg_";
    pays(
        &["--add-card", "--no-save-card"],
        &[
            "order ADDCARD of usr_",
            "1.00 THB",
            "a card was verified",
            "was told card.saved",
        ],
    );
    pays(
        &["--three-ds", "fail"],
        &["status=false", "order          not paid"],
    );
    pays(&["--three-ds", "leave"], &["left: the payment waits"]);
    pays(&["--callbacks", "3"], &["→ 303", "→ 303", "→ 303", PAID]);
    pays(&["--callbacks", "0"], &["the callback is lost", PAID]);
    pays(&["--late", "1"], &["late by 1 s", "→ 303", PAID]);
    pays(&["--spoil", "total"], &["refused: 400", "grandTotal"]);
    pays(&["--spoil", "user"], &["refused: 404", "orderId"]);
    pays(&["--spoil", "merchant"], &["refused: 400", "mid"]);
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn refund_gives_back_a_part_and_then_the_rest() {
    let app = TestApp::connect().await;
    let paid = app.authenticated(&random::id("usr_"), CARD_APPROVED).await;
    app.return_with(&paid.form).await;
    app.execution(paid.charge_id()).await;
    let order = paid.order.order_id.as_str();
    let (part, rest) = (random::id("rf_"), random::id("rf_"));

    // A part waits for settlement; the command does not.
    let wish = [
        "refund", order, "--amount", "120.50", "--id", &part, "--reason", "missing",
    ];
    let waits = "It waits until the charge is settled";
    let page = format!("{}/charges/{}", app.outputs.bank_url, paid.charge_id());
    let reserved = format!("{part}: 120.50 THB reserved");
    prints(
        &wish,
        &[
            "AwaitSettlement",
            waits,
            &reserved,
            "check status   paid, 0.00 of 1500.00",
            &page,
            "--again",
        ],
    );
    // The same again is the same refund, and another amount is none.
    prints(&wish, &["started before", waits]);
    let other = fails(&["refund", order, "--amount", "1", "--id", &part]);
    assert!(other.contains("another refund's"), "{other}");

    app.settle(paid.charge_id()).await;
    let again = ["refund", order, "--id", &part, "--again"];
    let told = format!("was told refund.succeeded of {part} (verified");
    let sent = format!("{part}: 120.50 THB sent");
    let expected = [
        "RefundCharge",
        "120.50 THB goes back",
        &sent,
        "“missing”",
        "order          partially refunded",
        "check status   paid, 120.50 of 1500.00 THB went back",
        &told,
    ];
    prints(&again, &expected);
    let report = json(&cargo_local(&["refund", order, "--id", &rest, "--json"]));
    assert_eq!(report["standing"]["isWell"], true, "{report}");
    assert_eq!(report["account"]["left"], "0.00");
    assert_eq!(report["account"]["shown"]["status"], "refunded");
    // No personal data of the order.
    assert_eq!(report["account"]["order"], Value::Null);

    // Both machines' executions are listed and shown.
    let listed = json(&cargo_local(&["executions", "--find", order, "--json"]));
    let kinds: Vec<_> = listed
        .as_array()
        .expect("a list")
        .iter()
        .map(|line| &line["kind"])
        .collect();
    assert_eq!(kinds, ["refund", "refund", "refund", "payment"], "{listed}");
    let others = [
        "RefundDone",
        "Other executions of the charge",
        paid.charge_id(),
        &part,
    ];
    prints(&["executions", &rest], &others);
    let path = text(&cargo_local(&["executions", &rest, "--watch"]));
    assert!(
        path.contains("RecordRefund") && path.ends_with("SUCCEEDED\n"),
        "{path}"
    );
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn refund_gives_back_what_was_paid_for_an_order_that_is_gone() {
    let app = TestApp::connect().await;
    let paid = app.authenticated(&random::id("usr_"), CARD_APPROVED).await;
    app.return_with(&paid.form).await;
    app.execution(paid.charge_id()).await;
    let order = paid.order.order_id.as_str();
    app.remove_order(order).await;
    let expected = [
        "1500.00 THB paid by chrg_",
        "VoidCharge",
        "1500.00 THB goes back",
        "order          gone",
        "check status   refunded",
    ];
    prints(&["refund", order], &expected);
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn a_refund_that_is_not_possible_says_why() {
    let app = TestApp::connect().await;
    let error = fails(&["refund", "000000000000"]);
    assert!(error.contains("there is no order 000000000000"), "{error}");
    let order = app.order().await.order_id;
    let output = cargo_local(&["refund", &order]);
    assert!(!output.status.success());
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(
        shown.contains("not paid") && shown.contains("OrderNotPaid: "),
        "{output:?}"
    );
    let error = fails(&["refund", &order, "--id", "elsewhere-1"]);
    assert!(error.contains("must not begin with"), "{error}");
    let error = fails(&["refund", &order, "--id", "rf_nobody", "--again"]);
    assert!(error.contains("has no refund rf_nobody"), "{error}");
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn executions_are_watched_as_they_change() {
    let app = TestApp::connect().await;
    let mut watch = program()
        .args(["executions", "--watch", "--json", "--limit", "1000"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program runs");
    let paid = app.authenticated(&random::id("usr_"), CARD_APPROVED).await;
    app.return_with(&paid.form).await;
    let lines = BufReader::new(watch.stdout.take().expect("piped"));
    let end = lines
        .lines()
        .map(|line| serde_json::from_str::<Value>(&line.expect("a line")).expect("JSON"))
        .find(|change| change["name"] == paid.charge_id() && change["status"] == "SUCCEEDED");
    watch.kill().expect("it still watches");
    watch.wait().expect("it ends");
    assert_eq!(end.expect("told")["state"], "CloseRecord");

    let path = text(&cargo_local(&["executions", paid.charge_id(), "--watch"]));
    let states: Vec<_> = path
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .filter(|word| *word != paid.charge_id())
        .collect();
    assert_eq!(states, new_user_path());
    assert!(path.ends_with("SUCCEEDED\n"), "{path}");
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn executions_and_the_aws_command_line_tell_the_same_path() {
    let app = TestApp::connect().await;
    let paid = app.authenticated(&random::id("usr_"), CARD_APPROVED).await;
    app.return_with(&paid.form).await;
    let execution = app.execution(paid.charge_id()).await;

    let ours = json(&cargo_local(&["executions", paid.charge_id(), "--json"]));
    assert_eq!(states(&ours["path"]), new_user_path());

    let history = Command::new(&app.outputs.aws_cli)
        .args([
            "--endpoint-url",
            &app.outputs.aws_endpoint,
            "--region",
            REGION,
        ])
        .args(["stepfunctions", "get-execution-history", "--output", "json"])
        .args(["--execution-arn", &execution.arn])
        .env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
        .env("AWS_SECRET_ACCESS_KEY", ACCESS_KEY)
        .output()
        .expect("the AWS command line runs");
    let theirs = json(&history);
    let entered: Vec<&str> = theirs["events"]
        .as_array()
        .expect("events")
        .iter()
        .filter_map(|event| event["stateEnteredEventDetails"]["name"].as_str())
        .collect();
    assert_eq!(entered, new_user_path());

    // The history does not contain the card token.
    let token = paid.form.field("token").expect("token");
    assert!(!text(&history).contains(token));

    // It is found by its order, also after other executions.
    let find = [
        "--find",
        &paid.order.order_id,
        "--outcome",
        "paid",
        "--json",
    ];
    let listed = json(&cargo_local(&[&["executions"], &find[..]].concat()));
    let lines = listed.as_array().expect("a list");
    assert_eq!(lines.len(), 1, "{listed}");
    assert_eq!(lines[0]["name"], paid.charge_id());
    assert_eq!(lines[0]["status"], "SUCCEEDED");
    assert_eq!(lines[0]["lastState"], "CloseRecord");
}
