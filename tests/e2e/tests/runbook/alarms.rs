//! Every alarm: its condition provoked, seen and repaired with the runbook's own commands.

use std::collections::BTreeMap;

use payment3_harness::http::client;
use payment3_harness::shop_api::TOTAL;
use payment3_harness::shopper::{self, CARD_APPROVED, CARD_DECLINED};
use payment3_harness::{json_api, random, workspace};
use serde_json::{Value, json};

use crate::api::call;
use crate::conditions::{Alarm, deployed_alarms};
use crate::document::promised;
use crate::helpers::{Function, assert_failed, check_status, compact, sent_again, write_line};
use crate::support::{TestApp, assert_closed};

#[tokio::test]
#[ignore = "needs the local environment: cargo local test runbook"]
async fn charge_mismatch() {
    promised(&[
        "Nothing is paid with it.",
        "Then restart, and the payment goes on.",
    ]);
    let app = TestApp::connect().await;
    let alarm = Alarm::watch(&app.outputs, "charge-mismatch").await;
    let paid = app.paying().await;
    let charge = paid.charge_id();
    let key = app.key_of(charge).await;
    app.change_record(&key, "SET amountSatang = :other", &[(":other", json!(100))])
        .await;
    app.return_with(&paid.form).await;
    assert_failed(&app.execution(charge).await, "ChargeMismatch");
    alarm.assert_met_in_the_logs().await;
    assert_eq!(app.payment_of(&paid.order).await["isPaid"], false);

    let shell = app.shell_for(charge);
    let seen = shell.run("charge-mismatch", "see");
    assert!(seen.contains(charge) && seen.contains("`amount`"), "{seen}");
    app.change_record(
        &key,
        "SET amountSatang = :right",
        &[(":right", json!(150_000))],
    )
    .await;
    app.restarted(&shell.run("Restart under a new name", "restart"))
        .await;
    assert!(
        shell
            .run("See whether it is repaired", "check")
            .starts_with("paid\torderPaid\t2")
    );
    app.assert_paid(&paid).await;
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test runbook"]
async fn a_charge_that_is_really_another_one_is_given_back_and_its_record_closed() {
    let app = TestApp::connect().await;
    for (card, outcome, shown, event) in [
        (CARD_APPROVED, "returned", "reversed", "payment.reversed"),
        (CARD_DECLINED, "declined", "declined", "payment.failed"),
    ] {
        let payment = app.authenticated(&random::id("usr_"), card).await;
        let charge = payment.charge_id();
        let key = app.key_of(charge).await;
        app.change_record(&key, "SET amountSatang = :other", &[(":other", json!(100))])
            .await;
        app.return_with(&payment.form).await;
        assert_failed(&app.execution(charge).await, "ChargeMismatch");
        if outcome == "returned" {
            let body = json!({"reason": "another amount"});
            app.in_the_portal(charge, "void", body).await;
        }

        let shell = app.shell_for(charge).with("MONEY", outcome);
        shell.run("Close by hand", "close");
        let checked = shell.run("See whether it is repaired", "check");
        assert!(
            checked.starts_with(&format!("{outcome}\tNone\t2")),
            "{checked}"
        );
        assert_closed(&app.record(charge).await);
        assert_eq!(app.shown(&payment.order).await, shown);
        assert_eq!(sent_again(&app, &shell, charge).await, [event]);
        assert_eq!(app.payment_of(&payment.order).await["isPaid"], false);
    }
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test runbook"]
async fn outcome_conflict() {
    promised(&["The execution finds the money returned, tells the shop and closes the record."]);
    let app = TestApp::connect().await;
    let alarm = Alarm::watch(&app.outputs, "outcome-conflict").await;
    let paid = app.paying().await;
    let charge = paid.charge_id();
    app.settle(charge).await;
    app.in_the_portal(
        charge,
        "refund",
        json!({"amount": TOTAL, "reason": "by hand"}),
    )
    .await;
    app.return_with(&paid.form).await;
    assert_failed(&app.execution(charge).await, "OutcomeConflict");
    alarm.assert_met_in_the_logs().await;

    let shell = app.shell_for(charge);
    assert!(shell.run("outcome-conflict", "see").contains(charge));
    let states = app
        .restarted(&shell.run("outcome-conflict", "repair"))
        .await;
    assert!(states.contains(&"NotifyReversal".to_owned()), "{states:?}");
    let record = shell.run("Look at a payment", "payment");
    assert!(
        record.contains("refundAskedAt") && record.contains("by hand, "),
        "{record}"
    );
    assert!(
        shell
            .run("See whether it is repaired", "check")
            .starts_with("returned\treversing\t2")
    );
    assert_eq!(app.payment_of(&paid.order).await["isPaid"], false);
    assert_eq!(app.event_kinds_for(&paid.order).await, ["payment.reversed"]);
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test runbook"]
async fn an_outcome_conflict_is_repaired_in_the_copy_of_an_old_record() {
    promised(&["The other one is its copy, and the copy counts."]);
    let app = TestApp::connect().await;
    let (order, token, charge) = app.old_payment().await;
    app.settle(&charge).await;
    let refund = json!({"amount": TOTAL, "reason": "by hand"});
    app.in_the_portal(&charge, "refund", refund).await;
    let form = shopper::bare_return(&charge);
    app.post_callback(payment3_harness::http::FORM, form).await;
    assert_failed(&app.execution(&charge).await, "OutcomeConflict");

    let shell = app.shell_for(&charge);
    let printed = shell.run("outcome-conflict", "repair");
    let states = app.restarted(&printed).await;
    assert!(states.contains(&"NotifyReversal".to_owned()), "{states:?}");
    let old = app.read_record(&token).await;
    assert!(old.get("resolution").is_none(), "{old}");
    assert_eq!(
        sent_again(&app, &shell, &charge).await,
        ["payment.reversed"]
    );
    assert_eq!(app.payment_of(&order).await["isPaid"], false);
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test runbook"]
async fn order_unreadable() {
    promised(&[
        "Nothing was charged.",
        "The shopper saw the order's number and that the shop has been told;",
    ]);
    let app = TestApp::connect().await;
    let (odd, cheap) = (app.order().await, app.order().await);
    for (order, total) in [(&odd, json!("much")), (&cheap, json!(0.5))] {
        let alarm = Alarm::watch(&app.outputs, "order-unreadable").await;
        let payment = json!({"isPaid": false, "grandTotal": total});
        app.change_order(&order.order_id, "payment", &payment).await;
        let refused = shopper::checkout(&app.outputs, order, CARD_APPROVED).await;
        let refused = format!("{:#}", refused.expect_err("nobody can pay it"));
        assert!(
            refused.contains(&order.order_id) && refused.contains("the shop has been told"),
            "{refused}"
        );
        alarm.assert_met_in_the_logs().await;
    }
    let seen = app.shell().run("order-unreadable", "see");
    for part in [
        odd.order_id.as_str(),
        "`data.payment.grandTotal`",
        &cheap.order_id,
        "less than 1.00 baht",
    ] {
        assert!(seen.contains(part), "{part} is not in {seen}");
    }

    let shell = app
        .shell()
        .with("ORDER", &odd.order_id)
        .with("TOTAL", TOTAL);
    shell.run("order-unreadable", "repair");
    let checked = shell.run("order-unreadable", "check");
    assert!(checked.to_lowercase().contains("false"), "{checked}");
    let quiet = Alarm::watch(&app.outputs, "order-unreadable").await;
    let paid = app.authenticated_for(&odd, CARD_APPROVED).await;
    app.return_with(&paid.form).await;
    assert_eq!(app.execution(paid.charge_id()).await.status, "SUCCEEDED");
    app.assert_paid(&paid).await;
    assert!(quiet.value_in_the_logs().await < 1.0, "it rings again");
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test runbook"]
async fn a_payment_that_cannot_be_read_when_its_shopper_is_back_rings_too() {
    promised(&["The shopper's next return pays;"]);
    let app = TestApp::connect().await;
    let alarm = Alarm::watch(&app.outputs, "order-unreadable").await;
    let paid = app.paying().await;
    let charge = paid.charge_id();
    let key = app.key_of(charge).await;
    let outcome = |word: &str| [(":outcome", json!(word))];
    app.change_record(&key, "SET outcome = :outcome", &outcome("perhaps"))
        .await;
    assert_eq!(app.return_with(&paid.form).await.status, 503);
    alarm.assert_met_in_the_logs().await;
    let seen = app.shell().run("order-unreadable", "see");
    assert!(
        seen.contains(charge) && seen.contains("`outcome`"),
        "{seen}"
    );

    app.change_record(&key, "SET outcome = :outcome", &outcome("pending"))
        .await;
    app.return_with(&paid.form).await;
    assert_eq!(app.execution(charge).await.status, "SUCCEEDED");
    app.assert_paid(&paid).await;
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test runbook"]
async fn orphan_charge() {
    promised(&["The notification was answered 404, so the bank may send it again."]);
    let app = TestApp::connect().await;
    let alarm = Alarm::watch(&app.outputs, "orphan-charge").await;
    let token = app.card_token(CARD_APPROVED).await;
    let form = app.charge_at_the_bank(&token, &random::digits(20)).await;
    let charge = form.charge_id().expect("charge").to_owned();
    let answer = app.notify(&charge).await;
    assert!(answer.to_string().contains("404"), "{answer}");
    alarm.assert_met_in_the_logs().await;
    let shell = app.shell_for(&charge);
    assert!(shell.run("orphan-charge", "see").contains(&charge));
    // The charge belongs to no payment, so a person gives it back in the portal.
    app.in_the_portal(&charge, "void", json!({"reason": "nobody's"}))
        .await;
    assert_eq!(shell.run("See whether it is repaired", "check").trim(), "");
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test runbook"]
async fn notifications_refused() {
    promised(&[
        "The payment itself went on and is right;",
        "The shop has it when the answer holds an `eventId`.",
        "The event has the same id as before: a shop that has it drops it.",
    ]);
    let app = TestApp::connect().await;
    let alarm = Alarm::watch(&app.outputs, "notifications-refused").await;
    let paid = app.paying().await;
    let charge = paid.charge_id();
    app.shop_answers(410, 1).await;
    app.return_with(&paid.form).await;
    let execution = app.execution(charge).await;
    assert_eq!(execution.status, "SUCCEEDED", "{execution:?}");
    assert_eq!(execution.output.expect("output")["notified"], false);
    alarm.assert_met_in_the_logs().await;

    let shell = app.shell_for(charge);
    let seen = shell.run("notifications-refused", "see");
    assert!(
        seen.contains(charge) && seen.contains("\"state\":\"NotifySuccess\""),
        "{seen}"
    );
    let delivered = shell.run("Send an event again", "resend");
    assert!(
        compact(&delivered).contains(&format!("\"eventId\":\"{charge}:payment.succeeded\"")),
        "{delivered}"
    );
    let events = app
        .inspector
        .shop_events(&paid.order.order_id)
        .await
        .expect("the shop");
    let answers: Vec<_> = events
        .iter()
        .map(|event| (event.kind(), event.answered))
        .collect();
    assert_eq!(
        answers,
        [("payment.succeeded", 410), ("payment.succeeded", 204)]
    );
    assert_eq!(events[0].id, events[1].id);
    assert_eq!(events[0].body["data"], events[1].body["data"]);
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test runbook"]
async fn a_wrong_key_of_the_shop_delays_its_event_and_loses_none() {
    promised(&["Any other wrong answer is repeated, and rings no alarm here."]);
    let app = TestApp::connect().await;
    let quiet = Alarm::watch(&app.outputs, "notifications-refused").await;
    let paid = app.paying().await;
    app.shop_answers(401, 2).await;
    app.return_with(&paid.form).await;
    let execution = app.execution(paid.charge_id()).await;
    assert_eq!(execution.output.expect("output")["notified"], true);
    let events = app.inspector.shop_events(&paid.order.order_id).await;
    let answers: Vec<_> = events
        .expect("the shop")
        .iter()
        .map(|event| event.answered)
        .collect();
    assert_eq!(answers, [401, 401, 204]);
    assert!(quiet.value_in_the_logs().await < 1.0, "it rings");
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test runbook"]
async fn function_errors() {
    promised(&[
        "Repaired when each of these answers with 400 or 404 (reconciliation: when it counts):",
    ]);
    let app = TestApp::connect().await;
    let alarm = Alarm::watch(&app.outputs, "function-errors-check-status").await;
    let function = Function::of(&app, "check-status").await;
    function.set("AWS_TIMEOUT_MS", "soon").await;
    let status = check_status(&app, "482500007436").await;
    assert!(status >= 500, "{status}");
    // The local API calls the function without counting the call.
    let path = "/2015-03-31/functions/payment3-check-status";
    let url = format!(
        "{}{path}-{}/invocations",
        app.outputs.aws_endpoint, app.outputs.branch
    );
    json_api::as_administrator(client().post(url), "lambda")
        .json(&json!({}))
        .send()
        .await
        .expect("an answer");
    let shell = app.shell().with("FUNCTION", "check-status");
    alarm.assert_met_in_the_metric().await;
    shell.run("function-errors", "see");
    // Deployed again.
    function.restore().await;
    let checked = shell.run("function-errors", "check");
    assert_eq!(
        checked,
        "400 POST cardpayment\n400 POST callback\n404 GET checkstatus/0\n"
    );
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test runbook"]
async fn function_throttles() {
    let app = TestApp::connect().await;
    let alarm = Alarm::watch(&app.outputs, "function-throttles-check-status").await;
    app.starve("check-status").await;
    let paid = app.paying().await;
    check_status(&app, &paid.order.order_id).await;
    alarm.assert_met_in_the_metric().await;
    let shell = app.shell().with("FUNCTION", "check-status");
    shell.run("function-throttles", "see");
    shell
        .with("CONCURRENCY", "5")
        .run("function-throttles", "repair");
    assert_eq!(check_status(&app, &paid.order.order_id).await, 200);
    app.feed("check-status").await;
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test runbook"]
async fn activity_throttles() {
    promised(&[
        "Executions retry for minutes, then fail, and go on by themselves when the activity is let through again.",
    ]);
    let app = TestApp::connect().await;
    let alarm = Alarm::watch(&app.outputs, "activity-throttles-record-outcome").await;
    let definition = app.with_short_waits().await;
    app.starve("record-outcome").await;
    let paid = app.paying().await;
    let charge = paid.charge_id();
    app.return_with(&paid.form).await;
    let failed = app.execution(charge).await;
    assert_eq!(failed.status, "FAILED", "{failed:?}");
    alarm.assert_met_in_the_metric().await;
    let shell = app.shell().with("FUNCTION", "record-outcome");
    shell.run("function-throttles", "see");
    shell
        .with("CONCURRENCY", "5")
        .run("function-throttles", "repair");
    app.make_due(charge).await;
    app.reconcile().await;
    let next = app.execution(&format!("{charge}-1")).await;
    assert_eq!(next.status, "SUCCEEDED", "{next:?}");
    app.assert_paid(&paid).await;
    app.feed("record-outcome").await;
    app.define(definition).await;
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test runbook"]
async fn executions_throttled() {
    let app = TestApp::connect().await;
    // The local AWS has no quota: what the alarm watches is AWS's own. The command is right all the same.
    Alarm::watch(&app.outputs, "executions-throttled").await;
    app.shell().run("executions-throttled", "see");
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test runbook"]
async fn activity_crashes() {
    let app = TestApp::connect().await;
    let alarm = Alarm::watch(&app.outputs, "activity-crashes").await;
    app.shell().run("activity-crashes", "see");
    // The local AWS writes no platform events; these are what AWS Lambda's documentation shows.
    let group = format!("/aws/lambda/payment3-notify-{}", app.outputs.branch);
    for line in [
        json!({"time": "2026-11-22T05:10:00Z", "type": "platform.report", "record": {"requestId": "r", "status": "timeout"}}),
        json!({"time": "2026-11-22T05:10:00Z", "type": "platform.report", "record": {"requestId": "r", "status": "error", "errorType": "Runtime.ExitError"}}),
    ] {
        write_line(&app, &group, &line).await;
    }
    // An error that the function answers itself is no crash.
    write_line(
        &app,
        &group,
        &json!({"type": "platform.report", "record": {"requestId": "r", "status": "error", "errorType": "NotificationFailed"}}),
    ).await;
    assert!((alarm.value_in_the_logs().await - 2.0).abs() < f64::EPSILON);
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test runbook"]
async fn a_payment_whose_activity_crashed_goes_on_when_it_works_again() {
    promised(&[
        "Their executions retry, then fail, and go on by themselves when the activity works again.",
    ]);
    let app = TestApp::connect().await;
    let definition = app.with_short_waits().await;
    let function = Function::of(&app, "pay-order").await;
    function.set("AWS_TIMEOUT_MS", "soon").await;
    let paid = app.paying().await;
    let charge = paid.charge_id();
    app.return_with(&paid.form).await;
    let failed = app.execution(charge).await;
    assert_eq!(failed.status, "FAILED", "{failed:?}");
    function.restore().await;
    app.make_due(charge).await;
    app.reconcile().await;
    let next = app.execution(&format!("{charge}-1")).await;
    assert_eq!(next.status, "SUCCEEDED", "{next:?}");
    app.assert_paid(&paid).await;
    app.define(definition).await;
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test runbook"]
async fn api_errors_and_api_throttled() {
    promised(&[
        "The line `the bank did not take the request` says why.",
        "A payment whose callback was turned away is paid by reconciliation.",
    ]);
    let app = TestApp::connect().await;
    // The local API writes no access log and limits nothing: these are its lines, in the format that the stack gives
    // them.
    let errors = Alarm::watch(&app.outputs, "api-errors").await;
    let alarm = Alarm::watch(&app.outputs, "api-throttled").await;
    let group = format!("/aws/vendedlogs/apis/payment3-{}", app.outputs.branch);
    let line = |route: &str, status: &str| json!({"requestId": "r", "sourceIp": "192.0.2.1", "routeKey": route, "status": status, "refusal": "THROTTLED"});
    const CHECKOUT: &str = "POST /cardpayment";
    write_line(&app, &group, &line(CHECKOUT, "200")).await;
    for _ in 0..20 {
        write_line(&app, &group, &line(CHECKOUT, "429")).await;
    }
    alarm.assert_met_in_the_logs().await;
    // A notification that comes before its checkout has stored the charge is no failure.
    for _ in 0..5 {
        write_line(&app, &group, &line("POST /notify", "503")).await;
    }
    assert!(errors.value_in_the_logs().await < 1.0);
    for status in ["500", "502", "503", "503"] {
        write_line(&app, &group, &line(CHECKOUT, status)).await;
    }
    write_line(&app, &group, &line("POST /notify", "500")).await;
    errors.assert_met_in_the_logs().await;
    assert!(
        app.shell()
            .run("api-throttled", "see")
            .contains("192.0.2.1")
    );

    for kind in ["busy", "error"] {
        let order = app.order().await;
        let token = app.card_token(CARD_APPROVED).await;
        let fault = json!({"operation": "create_charge", "kind": kind, "token": token});
        app.plan_bank_fault(&fault).await;
        let form = shopper::checkout_form(&app.outputs, &order, &token);
        let refused = shopper::post_checkout(&app.outputs, &form).await;
        assert_eq!(refused.expect("an answer").status, 503, "{kind}");
    }
    let seen = app.shell().run("api-errors", "see");
    for words in [
        "BANK_UNAVAILABLE",
        "the bank did not take the request: it answered 429",
        "PAYMENT_BEING_CHECKED",
    ] {
        assert!(seen.contains(words), "{words}: {seen}");
    }
    let paid = app.paying().await;
    let shell = app.shell().with("ORDER", &paid.order.order_id);
    assert_eq!(shell.run("api-errors", "check").trim(), "200");
    // The shopper does not return from the bank.
    app.make_due(paid.charge_id()).await;
    app.reconcile().await;
    assert_eq!(app.execution(paid.charge_id()).await.status, "SUCCEEDED");
    app.assert_paid(&paid).await;
}

/// What a metric's value makes an alarm do: it rings at the topic, with its link into the runbook, and says when it is
/// over.
#[tokio::test]
#[ignore = "needs the local environment: cargo local test runbook"]
async fn every_alarm_tells_the_topic_with_its_link() {
    let app = TestApp::connect().await;
    let queue = listening_queue(&app).await;
    let alarms = deployed_alarms(&app.outputs).await;
    let snapshot = workspace::cdk_dir().join("test/snapshot.txt");
    let snapshot = std::fs::read_to_string(snapshot).expect("the snapshot");
    let declared = snapshot.lines().filter(|line| line.starts_with("alarm "));
    assert_eq!(alarms.len(), declared.count());
    for alarm in &alarms {
        // The alarm is silent first: one that rings already would not ring again.
        let silence = alarm["TreatMissingData"] == "breaching";
        for rings in if silence { &[true][..] } else { &[false, true] } {
            let threshold = alarm["Threshold"].as_f64().expect("threshold");
            let value = if *rings == silence {
                0.0
            } else {
                threshold * 1000.0
            };
            let datum = json!({"MetricName": alarm["MetricName"], "Dimensions": alarm["Dimensions"], "Value": value});
            let body = json!({"Namespace": alarm["Namespace"], "MetricData": [datum]});
            call(
                &app.outputs,
                "GraniteServiceVersion20100801.PutMetricData",
                &body,
            )
            .await;
        }
    }
    let told = told(&app, &queue).await;
    for alarm in &alarms {
        let name = alarm["AlarmName"].as_str().expect("name");
        let text = told
            .get(name)
            .unwrap_or_else(|| panic!("{name} told nobody"));
        assert!(text.contains("docs/runbook.md#"), "{name}: {text}");
    }
}

/// A queue that hears the alarms' topic. Returns its URL.
async fn listening_queue(app: &TestApp) -> String {
    let name = json!({"QueueName": format!("alarms-{}", random::digits(8))});
    let queue = call(&app.outputs, "AmazonSQS.CreateQueue", &name).await;
    let url = queue["QueueUrl"].as_str().expect("URL").to_owned();
    let asked = json!({"QueueUrl": url, "AttributeNames": ["QueueArn"]});
    let attributes = call(&app.outputs, "AmazonSQS.GetQueueAttributes", &asked).await;
    let queue_arn = attributes["Attributes"]["QueueArn"]
        .as_str()
        .expect("ARN")
        .to_owned();
    let topic = app
        .outputs
        .state_machine_arn
        .replace(":states:", ":sns:")
        .replace(":stateMachine:payment3-payment-", ":payment3-alarms-");
    // The topic may send to it.
    let policy = json!({"Statement": [{
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": queue_arn,
        "Condition": {"ArnEquals": {"aws:SourceArn": topic}},
    }]});
    let open = json!({"QueueUrl": url, "Attributes": {"Policy": policy.to_string()}});
    call(&app.outputs, "AmazonSQS.SetQueueAttributes", &open).await;
    let form = [
        ("Action", "Subscribe"),
        ("Version", "2010-03-31"),
        ("TopicArn", topic.as_str()),
        ("Protocol", "sqs"),
        ("Endpoint", queue_arn.as_str()),
    ];
    let body: String = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(form)
        .finish();
    let request = client()
        .post(&app.outputs.aws_endpoint)
        .header("content-type", payment3_harness::http::FORM)
        .body(body);
    let request = json_api::as_administrator(request, "sns");
    let response = request.send().await.expect("the local AWS");
    assert!(response.status().is_success(), "{response:?}");
    url
}

/// What the alarms that ring have told the queue: their descriptions, by name.
async fn told(app: &TestApp, queue: &str) -> BTreeMap<String, String> {
    let mut told = BTreeMap::new();
    loop {
        let asked = json!({"QueueUrl": queue, "MaxNumberOfMessages": 10});
        let answer = call(&app.outputs, "AmazonSQS.ReceiveMessage", &asked).await;
        let messages = answer["Messages"].as_array().cloned().unwrap_or_default();
        if messages.is_empty() {
            return told;
        }
        for message in messages {
            let parse = |text: &Value| -> Value {
                serde_json::from_str(text.as_str().expect("text")).expect("JSON")
            };
            let alarm = parse(&parse(&message["Body"])["Message"]);
            if alarm["NewStateValue"] == "ALARM" {
                let text = |field: &str| alarm[field].as_str().expect("text").to_owned();
                told.insert(text("AlarmName"), text("AlarmDescription"));
            }
            let read = json!({"QueueUrl": queue, "ReceiptHandle": message["ReceiptHandle"]});
            call(&app.outputs, "AmazonSQS.DeleteMessage", &read).await;
        }
    }
}
