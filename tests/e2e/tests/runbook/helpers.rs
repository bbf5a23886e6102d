//! What happens around a payment that stands, and how tests look at it.

use aws_sdk_dynamodb::types::AttributeValue;
use payment3_harness::executions::ExecutionReport;
use payment3_harness::fast_retries::shorten;
use payment3_harness::http::client;
use payment3_harness::random;
use payment3_harness::shop_api::{Order, TOTAL};
use payment3_harness::shopper::CARD_APPROVED;
use reqwest::Method;
use serde_json::{Value, json};

use crate::api::{call, lambda};
use crate::shell::Shell;
use crate::support::{Authenticated, TestApp, assert_closed};

/// JSON without the spaces that one implementation writes and another does not.
pub(crate) fn compact(printed: &str) -> String {
    printed.replace(' ', "")
}

impl TestApp {
    /// A terminal.
    pub(crate) fn shell(&self) -> Shell {
        Shell::open(&self.outputs)
    }

    /// A terminal in which the runbook's `CHARGE` is this one.
    pub(crate) fn shell_for(&self, charge: &str) -> Shell {
        self.shell().with("CHARGE", charge)
    }

    /// A shopper back from 3-D Secure, before the return is posted.
    pub(crate) async fn paying(&self) -> Authenticated {
        self.authenticated(&random::id("usr_"), CARD_APPROVED).await
    }

    /// Does something to a charge in the bank's portal.
    pub(crate) async fn in_the_portal(&self, charge: &str, what: &str, body: Value) {
        let url = format!("{}/card/v2/charge/{charge}/{what}", self.outputs.bank_url);
        let request = client()
            .post(url)
            .header("x-api-key", payment3_bank::SECRET_KEY)
            .json(&body);
        let response = request.send().await.expect("the bank answers");
        assert!(response.status().is_success(), "{response:?}");
    }

    /// Decides what the shop answers to the next events.
    pub(crate) async fn shop_answers(&self, status: u16, times: u32) {
        let url = format!("{}/webhooks/payment3/answer", self.outputs.shop_url);
        let answer = json!({"status": status, "times": times});
        let response = client()
            .put(url)
            .json(&answer)
            .send()
            .await
            .expect("the shop");
        assert!(response.status().is_success(), "{response:?}");
    }

    /// Waits for the execution that a restart printed, which succeeds.
    pub(crate) async fn restarted(&self, printed: &str) -> Vec<String> {
        let execution = self.started(printed).await;
        assert_eq!(execution.status, "SUCCEEDED", "{execution:?}");
        execution.states().into_iter().map(str::to_owned).collect()
    }

    /// Waits for the execution that a restart printed, however it ends.
    pub(crate) async fn started(&self, printed: &str) -> ExecutionReport {
        self.execution(&started_by(printed)).await
    }

    /// What apps are shown for an order.
    pub(crate) async fn shown(&self, order: &Order) -> Value {
        let row = self.inspector.check_status(&order.order_id).await;
        row.expect("the table").expect("the row")["status"].clone()
    }

    /// A payment that the former system began: its order, its token and its charge.
    pub(crate) async fn old_payment(&self) -> (Order, String, String) {
        let order = self.order().await;
        let token = self.card_token(CARD_APPROVED).await;
        let form = self.charge_at_the_bank(&token, &random::digits(12)).await;
        let charge = form.charge_id().expect("charge").to_owned();
        // As the former system wrote it.
        self.put_record(&json!({
            "tokenId": token, "chargeId": charge, "orderId": order.order_id, "ownerId": order.owner_id,
            "amount": TOTAL, "status": false,
        }))
        .await;
        (order, token, charge)
    }
}

/// The name of the execution that a command printed as started.
pub(crate) fn started_by(printed: &str) -> String {
    let name = printed
        .lines()
        .find_map(|line| line.trim().strip_prefix("\"executionArn\": \""))
        .and_then(|rest| rest.split('"').next())
        .and_then(|arn| arn.rsplit(':').next());
    name.unwrap_or_else(|| panic!("nothing was started: {printed}"))
        .to_owned()
}

/// Asserts that an execution failed with this error.
pub(crate) fn assert_failed(execution: &ExecutionReport, error: &str) {
    assert_eq!(execution.status, "FAILED", "{execution:?}");
    assert_eq!(
        execution
            .failure
            .as_ref()
            .map(|failure| failure.error.as_str()),
        Some(error),
        "{execution:?}"
    );
}

impl TestApp {
    /// The shop does not accept an event, and somebody aborts the execution. The order is paid, and the record is open.
    pub(crate) async fn fails_to_be_told(&self, paid: &Authenticated) {
        let charge = paid.charge_id();
        self.shop_answers(503, 1000).await;
        self.return_with(&paid.form).await;
        while self.record(charge).await["resolution"] != "orderPaid" {
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
        let arn = self.outputs.execution_arn(charge);
        let stopped = self.aws.sfn.stop_execution().execution_arn(arn);
        stopped.send().await.expect("aborted");
        assert_eq!(self.execution(charge).await.status, "ABORTED");
        self.shop_answers(204, 0).await;
    }
}

impl TestApp {
    /// As [`TestApp::assert_paid`], where the shop may have received the event before.
    pub(crate) async fn assert_paid_and_told(&self, paid: &Authenticated) {
        assert_eq!(
            self.payment_of(&paid.order).await["paymentId"],
            paid.charge_id()
        );
        assert_closed(&self.record(paid.charge_id()).await);
    }
}

/// The record of a checkout that died two days ago, before it stored a charge. The bank is still being asked about it.
/// It is due at `due`, in seconds since 1970.
pub(crate) async fn dead_checkout(app: &TestApp, order: &Order, due: i64) -> (String, String) {
    let token = app.card_token(CARD_APPROVED).await;
    let reference = random::digits(20);
    let key = app.inspector.key_of_token(&token).expect("a token");
    let since = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(48);
    app.put_record(&json!({
        "tokenId": key, "token": token,
        "orderId": order.order_id, "ownerId": order.owner_id, "amountSatang": 150_000, "currency": "THB",
        "referenceOrder": reference, "saveCard": true, "outcome": "pending", "status": false, "attempt": 0,
        "openShard": 3, "lookAgainAt": due, "openSince": since.to_string(),
    }))
    .await;
    let asked = json!({
        "orderId": order.order_id, "askedFor": key, "askedAt": jiff::Timestamp::now().as_second(),
        "askedAmountSatang": 150_000,
    });
    app.put(app.outputs.table("check-status").expect("a table"), &asked)
        .await;
    (token, reference)
}

/// The kinds of the events that the runbook's "Send an event again" sends for a charge.
pub(crate) async fn sent_again(app: &TestApp, shell: &Shell, charge: &str) -> Vec<String> {
    let before = app.event_kinds_of(charge).await.len();
    shell.run("Send an event again", "resend");
    app.event_kinds_of(charge).await.split_off(before)
}

impl TestApp {
    /// What a secret holds.
    pub(crate) async fn secret(&self, arn: &str) -> String {
        let get = self.aws.secrets.get_secret_value().secret_id(arn);
        let secret = get.send().await.expect("the secret");
        secret.secret_string().expect("text").to_owned()
    }

    /// Puts another value into a secret.
    pub(crate) async fn put_secret(&self, arn: &str, text: &str) {
        let put = self.aws.secrets.put_secret_value().secret_id(arn);
        put.secret_string(text).send().await.expect("put");
    }
}

/// A function whose settings a test breaks. A test that fails before it restores them makes the following tests fail.
pub(crate) struct Function<'a> {
    app: &'a TestApp,
    path: String,
    environment: Value,
}

impl<'a> Function<'a> {
    /// The function as it is deployed.
    pub(crate) async fn of(app: &'a TestApp, kebab: &str) -> Self {
        let path = format!("payment3-{kebab}-{}/configuration", app.outputs.branch);
        let deployed = lambda(&app.outputs, Method::GET, &path, None).await;
        let environment = deployed["Environment"].clone();
        Self {
            app,
            path,
            environment,
        }
    }

    /// Sets a variable of its environment.
    pub(crate) async fn set(&self, variable: &str, value: &str) {
        let mut environment = self.environment.clone();
        environment["Variables"][variable] = json!(value);
        self.configure(&environment).await;
    }

    /// Takes a variable out of its environment.
    pub(crate) async fn unset(&self, variable: &str) {
        let mut environment = self.environment.clone();
        if let Some(variables) = environment["Variables"].as_object_mut() {
            variables.remove(variable);
        }
        self.configure(&environment).await;
    }

    /// Deploys it again.
    pub(crate) async fn restore(&self) {
        self.configure(&self.environment).await;
    }

    async fn configure(&self, environment: &Value) {
        let body = json!({"Environment": environment});
        lambda(&self.app.outputs, Method::PUT, &self.path, Some(&body)).await;
    }
}

/// How the API answers to an app that asks about an order.
pub(crate) async fn check_status(app: &TestApp, order_id: &str) -> u16 {
    let url = format!("{}/checkstatus/{order_id}", app.outputs.api_url);
    client()
        .get(url)
        .send()
        .await
        .expect("an answer")
        .status()
        .as_u16()
}

/// Writes a log line that AWS would write and the local AWS does not.
pub(crate) async fn write_line(app: &TestApp, group: &str, line: &Value) {
    let stream =
        json!({"logGroupName": group, "logStreamName": format!("test-{}", random::digits(8))});
    call(&app.outputs, "Logs_20140328.CreateLogStream", &stream).await;
    let now = jiff::Timestamp::now().as_millisecond();
    let mut events = stream;
    events["logEvents"] = json!([{"timestamp": now, "message": line.to_string()}]);
    call(&app.outputs, "Logs_20140328.PutLogEvents", &events).await;
}

impl TestApp {
    /// Makes a charge's payment due now. A closed one stays closed.
    pub(crate) async fn make_due(&self, charge: &str) {
        let key = self.key_of(charge).await;
        let update = self.aws.dynamodb.update_item();
        let update = update
            .table_name(self.table("card-payment-record"))
            .key("tokenId", AttributeValue::S(key))
            .update_expression("SET lookAgainAt = :past")
            .condition_expression("attribute_exists(openShard)")
            .expression_attribute_values(":past", AttributeValue::N("1".into()));
        match update.send().await {
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(|error| error.is_conditional_check_failed_exception()) => {}
            update => drop(update.expect("changed")),
        }
    }

    /// In how many seconds a charge's payment is due.
    pub(crate) async fn looked_at_in(&self, charge: &str) -> i64 {
        let record = self.record(charge).await;
        let at = record["lookAgainAt"].as_i64();
        at.unwrap_or_else(|| panic!("it is closed: {record}")) - jiff::Timestamp::now().as_second()
    }

    /// Turns every call of a function away, as AWS Lambda does when the account's concurrency is used up.
    pub(crate) async fn starve(&self, kebab: &str) {
        let none = json!({"ReservedConcurrentExecutions": 0});
        let path = self.concurrency(kebab);
        lambda(&self.outputs, Method::PUT, &path, Some(&none)).await;
    }

    /// Lets the calls of a function through again.
    pub(crate) async fn feed(&self, kebab: &str) {
        let path = self.concurrency(kebab);
        lambda(&self.outputs, Method::DELETE, &path, None).await;
    }

    fn concurrency(&self, kebab: &str) -> String {
        format!("payment3-{kebab}-{}/concurrency", self.outputs.branch)
    }

    /// Deploys the definition of payments with waits of a second, so that retries end soon. Returns the former one, to
    /// restore it.
    pub(crate) async fn with_short_waits(&self) -> String {
        let machine = self.aws.sfn.describe_state_machine();
        let machine = machine.state_machine_arn(&self.outputs.state_machine_arn);
        let deployed = machine.send().await.expect("the definition");
        let deployed = deployed.definition().to_owned();
        let definition = serde_json::from_str(&deployed).expect("JSON");
        self.define(shorten(&definition).to_string()).await;
        deployed
    }

    /// Deploys a definition.
    pub(crate) async fn define(&self, definition: String) {
        let update = self.aws.sfn.update_state_machine();
        let update = update.state_machine_arn(&self.outputs.state_machine_arn);
        update
            .definition(definition)
            .send()
            .await
            .expect("deployed");
    }
}
