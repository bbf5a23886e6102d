//! What every test needs: the running environment, fresh orders, and the steps of a payment.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use payment3_activities::clock::Clock;
use payment3_activities::tables::Database;
use payment3_bank::Dialect;
use payment3_harness::aws::Aws;
use payment3_harness::counterparties::Counterparties;
use payment3_harness::executions::{ExecutionReport, Executions};
use payment3_harness::http::client;
use payment3_harness::inspect::Inspector;
use payment3_harness::invariants::Subject;
use payment3_harness::operator::Operator;
use payment3_harness::outputs::{FILE_VARIABLE, Outputs};
use payment3_harness::shop_api::{NewOrder, Order, ReceivedEvent, TOTAL};
use payment3_harness::shopper::{self, Answer, CARD_APPROVED, ReturnForm};
use payment3_harness::{items, json_api, random};
use serde_json::{Value, json};
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use tokio::time::{Instant, sleep};
use url::Url;

/// How long an execution may take. It should take far less, but the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(90);
/// How long to wait between two reads of a record.
const READ_EVERY: Duration = Duration::from_millis(300);
/// More executions than the tests make.
const ALL: usize = 10_000;

/// Who reconciles shares it; who must not be disturbed by that has it alone. The tests are threads of one process.
static RECONCILIATION: RwLock<()> = RwLock::const_new(());

/// The fields of a form.
pub(crate) type Form = BTreeMap<String, String>;

/// The tables' database, as functions know it.
pub(crate) fn database(aws: &Aws) -> Database {
    Database {
        client: aws.dynamodb.clone(),
        clock: Clock::system(),
    }
}

/// The path of a first payment.
pub(crate) fn new_user_path() -> Vec<&'static str> {
    payment3_model::path(payment3_model::Machine::Payment, payment3_model::NEW_USER)
}

/// The payment system under test.
pub(crate) struct TestApp {
    pub(crate) outputs: Outputs,
    pub(crate) inspector: Inspector,
    pub(crate) aws: Aws,
    executions: Executions,
    operator: Operator,
    counterparties: Counterparties,
}

/// As long as this lives, no test beside this one reconciles. A run looks at every payment that is due, whoever's it
/// is: it may take up what another test has just made due, and write into its record.
pub(crate) struct Undisturbed<'a> {
    app: &'a TestApp,
    _alone: RwLockWriteGuard<'static, ()>,
}

impl Undisturbed<'_> {
    /// As [`TestApp::reconcile`], which would wait for this to end.
    pub(crate) async fn reconcile(&self) -> Value {
        self.app.run_reconciliation().await
    }
}

/// A shopper back from the bank: the order, and the form that the bank's page makes the browser post.
pub(crate) struct Authenticated {
    pub(crate) order: Order,
    pub(crate) form: ReturnForm,
}

/// A shopper on the bank's page, who has not passed 3-D Secure: the bank has decided nothing.
pub(crate) struct AtTheBank {
    pub(crate) order: Order,
    pub(crate) page: Url,
    pub(crate) charge: String,
    /// The key of the payment's record.
    pub(crate) key: String,
}

/// The charge that a 3DS page of the bank is about.
pub(crate) fn charge_on(page: &Url) -> String {
    shopper::charge_of(page).expect("the bank's page names the charge")
}

impl Authenticated {
    pub(crate) fn charge_id(&self) -> &str {
        self.form.charge_id().expect("the form names the charge")
    }

    pub(crate) fn token(&self) -> &str {
        self.form.field("token").expect("the form has the token")
    }
}

impl TestApp {
    /// Connects to the environment that `cargo local test e2e` started.
    pub(crate) async fn connect() -> Self {
        assert!(
            std::env::var_os(FILE_VARIABLE).is_some(),
            "{FILE_VARIABLE} is not set: run these tests by `cargo local test e2e`"
        );
        let outputs = Outputs::of_running(&Outputs::file())
            .await
            .expect("the environment runs");
        let aws = Aws::at(&outputs.aws_endpoint);
        Self {
            inspector: Inspector::new(&aws, &outputs),
            executions: Executions::of(&aws, &outputs.state_machine_arn),
            operator: Operator::of(&aws, &outputs),
            counterparties: Counterparties::of(&aws, &outputs),
            aws,
            outputs,
        }
    }

    /// A new order of a new customer.
    pub(crate) async fn order(&self) -> Order {
        self.order_of(&random::id("usr_")).await
    }

    /// A new order of this customer.
    pub(crate) async fn order_of(&self, owner_id: &str) -> Order {
        shopper::order(&self.outputs, &NewOrder::of(owner_id))
            .await
            .expect("the shop takes the order")
    }

    /// Checks out with a 3DS card, up to the bank's page.
    pub(crate) async fn check_out(&self, order: &Order, card: &str) -> Url {
        let token = self.card_token(card).await;
        self.check_out_with(order, token).await
    }

    /// A new order of a new customer, checked out up to the bank's page.
    pub(crate) async fn at_the_bank(&self) -> AtTheBank {
        let order = self.order().await;
        let page = self.check_out(&order, CARD_APPROVED).await;
        let charge = charge_on(&page);
        let key = self.key_of(&charge).await;
        AtTheBank {
            order,
            page,
            charge,
            key,
        }
    }

    /// The bank's token for a card.
    pub(crate) async fn card_token(&self, card: &str) -> String {
        shopper::card_token(&self.outputs, card)
            .await
            .expect("the bank takes the card")
    }

    /// The checkout form of an order, with a new token for this card.
    pub(crate) async fn checkout_form(&self, order: &Order, card: &str) -> Form {
        shopper::checkout_form(&self.outputs, order, &self.card_token(card).await)
    }

    /// Posts a checkout form that must be accepted, and passes 3-D Secure, up to the return.
    pub(crate) async fn pass_three_ds_with(&self, form: &Form) -> ReturnForm {
        shopper::pass_three_ds_with(&self.outputs, form)
            .await
            .expect("3-D Secure")
    }

    /// As [`TestApp::check_out`], with a bank that uses this dialect for the payment.
    pub(crate) async fn check_out_in(&self, dialect: Dialect, order: &Order, card: &str) -> Url {
        let token = shopper::card_token_in(&self.outputs, card, dialect)
            .await
            .expect("the bank takes the card");
        self.check_out_with(order, token).await
    }

    /// As [`TestApp::check_out`], with a token at hand.
    pub(crate) async fn check_out_with(&self, order: &Order, token: String) -> Url {
        let checkout = shopper::checkout_with(&self.outputs, order, token)
            .await
            .expect("the checkout is accepted");
        checkout.next.three_ds().expect("3-D Secure")
    }

    /// Checks out and passes 3DS, up to the return, for a new order of this customer.
    pub(crate) async fn authenticated(&self, owner_id: &str, card: &str) -> Authenticated {
        let order = self.order_of(owner_id).await;
        self.authenticated_for(&order, card).await
    }

    /// Checks out and passes 3DS, up to the return, for an order.
    pub(crate) async fn authenticated_for(&self, order: &Order, card: &str) -> Authenticated {
        let token = self.card_token(card).await;
        let form = shopper::pass_three_ds(&self.outputs, order, &token)
            .await
            .expect("3-D Secure");
        Authenticated {
            order: order.clone(),
            form,
        }
    }

    /// Charges a card at the bank without our checkout, and passes 3-D Secure.
    pub(crate) async fn charge_at_the_bank(&self, token: &str, reference: &str) -> ReturnForm {
        let charge: Value = client()
            .post(format!("{}/card/v2/charge", self.outputs.bank_url))
            .header("x-api-key", payment3_bank::SECRET_KEY)
            .json(&json!({
                "amount": TOTAL, "currency": "THB", "description": "past our checkout", "source_type": "card", "mode": "token",
                "token": token, "reference_order": reference,
            }))
            .send()
            .await
            .expect("the bank answers")
            .json()
            .await
            .expect("JSON");
        let page = Url::parse(charge["redirect_url"].as_str().expect("3-D Secure")).expect("a URL");
        shopper::authenticate(&page).await.expect("the bank's page")
    }

    /// Posts the return form as the browser does.
    pub(crate) async fn return_with(&self, form: &ReturnForm) -> Answer {
        shopper::return_to_shop(form)
            .await
            .expect("the callback answers")
    }

    /// Posts anything to the callback.
    pub(crate) async fn post_callback(
        &self,
        content_type: &str,
        body: impl Into<reqwest::Body>,
    ) -> Answer {
        let url = format!("{}/callback", self.outputs.api_url);
        shopper::post_callback(&url, content_type, body)
            .await
            .expect("the callback answers")
    }

    /// Posts a notification; the answer's status.
    pub(crate) async fn post_notification(&self, body: String) -> u16 {
        let url = format!("{}/notify", self.outputs.api_url);
        let answer = shopper::post_callback(&url, "application/json", body)
            .await
            .expect("an answer");
        answer.status
    }

    /// Where the callback must send the browser.
    pub(crate) fn landing(&self, order: &Order, status: &str) -> String {
        format!(
            "{}/thankyou?orderId={}&status={status}&amount={TOTAL}",
            self.outputs.shop_url, order.order_id
        )
    }

    /// Waits for the execution of a charge to end.
    pub(crate) async fn execution(&self, charge_id: &str) -> ExecutionReport {
        self.executions
            .wait_for(charge_id, PATIENCE)
            .await
            .expect("an execution that ends")
    }

    /// One execution by its name, as far as it came.
    pub(crate) async fn find_execution(&self, name: &str) -> Option<ExecutionReport> {
        self.executions
            .find(name)
            .await
            .expect("Step Functions answers")
    }

    /// Waits until the record of this key is closed. False where it stays open for so long.
    pub(crate) async fn until_closed(&self, key: &str, patience: Duration) -> bool {
        let give_up = Instant::now() + patience;
        while self.read_record(key).await.get("closedAt").is_none() {
            if Instant::now() > give_up {
                return false;
            }
            sleep(READ_EVERY).await;
        }
        true
    }

    /// Starts a charge's saga by hand, next to its other executions, and waits for the end.
    pub(crate) async fn start_by_hand(&self, charge_id: &str) -> ExecutionReport {
        let name = self.operator.restart(charge_id).await.expect("started");
        self.execution(&name).await
    }

    /// Runs reconciliation once, as its schedule does, and returns its report.
    pub(crate) async fn reconcile(&self) -> Value {
        let _shared = RECONCILIATION.read().await;
        self.run_reconciliation().await
    }

    /// As long as this lives, no test is [`Undisturbed`]. Rounds of one race hold it together, and reconcile only after
    /// it.
    pub(crate) async fn before_reconciliation(&self) -> RwLockReadGuard<'static, ()> {
        RECONCILIATION.read().await
    }

    /// Keeps the tests beside this one from reconciling.
    pub(crate) async fn undisturbed(&self) -> Undisturbed<'_> {
        Undisturbed {
            app: self,
            _alone: RECONCILIATION.write().await,
        }
    }

    async fn run_reconciliation(&self) -> Value {
        let run = self.operator.reconcile().await.expect("invoked");
        run.unwrap_or_else(|error| panic!("reconcile died: {error}"))
    }

    /// Makes a record due: its checkout was this many seconds ago.
    pub(crate) async fn make_older(&self, key: &str, seconds: i64) {
        let made = self.operator.make_older(key, seconds).await;
        made.expect("changed");
    }

    /// Starts an execution with any name and any input.
    pub(crate) async fn start_by_hand_as(&self, name: &str, input: &Value) {
        self.aws
            .sfn
            .start_execution()
            .state_machine_arn(&self.outputs.state_machine_arn)
            .name(name)
            .input(input.to_string())
            .send()
            .await
            .expect("started");
    }

    /// Calls a function by its kebab name, as Step Functions does; `Err` is the name of the error that it fails with.
    pub(crate) async fn call(&self, function: &str, input: &Value) -> Result<Value, String> {
        let url = format!(
            "{}/2015-03-31/functions/payment3-{function}-{}/invocations",
            self.outputs.aws_endpoint, self.outputs.branch
        );
        let request = json_api::as_administrator(client().post(url), "lambda");
        let answer = request.json(input).send().await.expect("called");
        let failed = answer.headers().contains_key("x-amz-function-error");
        let output: Value = answer.json().await.expect("JSON");
        if failed {
            return Err(output["errorType"].as_str().expect("a name").to_owned());
        }
        Ok(output)
    }

    /// The names of all executions of a charge.
    pub(crate) async fn executions_of(&self, charge_id: &str) -> Vec<String> {
        self.executions
            .list(None, ALL)
            .await
            .expect("the list of executions")
            .into_iter()
            .map(|summary| summary.name)
            .filter(|name| name.starts_with(charge_id))
            .collect()
    }

    /// The `payment` of an order, as stored.
    pub(crate) async fn payment_of(&self, order: &Order) -> Value {
        let item = self
            .inspector
            .order(&order.order_id)
            .await
            .expect("the order table answers")
            .expect("the order is there");
        item["data"]["payment"].clone()
    }

    /// The record of a charge.
    pub(crate) async fn record(&self, charge_id: &str) -> Value {
        self.inspector
            .record_by_charge(charge_id)
            .await
            .expect("the record table answers")
            .expect("the record is there")
    }

    /// The key of a charge's record.
    pub(crate) async fn key_of(&self, charge_id: &str) -> String {
        let record = self.record(charge_id).await;
        record["tokenId"].as_str().expect("key").to_owned()
    }

    /// How many cards the bank's customer of this owner holds; none without a customer.
    pub(crate) async fn saved_cards(&self, owner_id: &str) -> Option<usize> {
        let mapping = self
            .inspector
            .mapping(owner_id)
            .await
            .expect("the mapping table answers")?;
        let customer_id = mapping["kbank_id"].as_str()?;
        let customer = self
            .inspector
            .bank_customer(customer_id)
            .await
            .expect("the bank knows its customer");
        Some(customer["cards"].as_array().expect("cards").len())
    }

    /// The kinds of the events that the shop received about an order. Each must be verified and accepted.
    pub(crate) async fn event_kinds_for(&self, order: &Order) -> Vec<String> {
        let events = self
            .inspector
            .shop_events(&order.order_id)
            .await
            .expect("the shop answers");
        events.iter().for_each(assert_accepted);
        events.iter().map(|event| event.kind().to_owned()).collect()
    }

    /// The kinds of the events that the shop received about a charge. Each must be verified and accepted.
    pub(crate) async fn event_kinds_of(&self, charge_id: &str) -> Vec<String> {
        let events = self
            .inspector
            .shop_events_of_charge(charge_id)
            .await
            .expect("the shop answers");
        events.iter().for_each(assert_accepted);
        events.iter().map(|event| event.kind().to_owned()).collect()
    }

    /// Has the bank settle a charge, as its nightly batch does.
    pub(crate) async fn settle(&self, charge_id: &str) {
        self.counterparties
            .settle(charge_id)
            .await
            .expect("settled");
    }

    /// Has the bank send the notification of what a charge is now, and waits for our answer.
    pub(crate) async fn notify(&self, charge_id: &str) -> Value {
        self.counterparties.notify(charge_id).await.expect("sent")
    }

    /// Has the bank send the notification of a charge, and asserts the status that it gets.
    pub(crate) async fn assert_notification_answered(&self, charge_id: &str, status: u16) {
        let sent = self.notify(charge_id).await;
        assert_eq!(sent["answer"], status, "{sent}");
    }

    /// A person cancels a charge in the bank's portal. The bank sends no notification by itself.
    pub(crate) async fn void_by_hand(&self, charge_id: &str) {
        let voided = self.counterparties.void_by_hand(charge_id).await;
        voided.expect("voided");
    }

    /// A person gives back so much of a charge in the bank's portal. The bank sends no notification by itself.
    pub(crate) async fn refund_by_hand(&self, charge_id: &str, amount: &str) {
        let refunded = self.counterparties.refund_by_hand(charge_id, amount).await;
        refunded.expect("given back");
    }

    /// Has the bank refuse each void and refund of a charge, or accept them again.
    pub(crate) async fn refuse_reversals(&self, charge_id: &str, refuse: bool) {
        let told = self
            .counterparties
            .refuse_reversals(charge_id, refuse)
            .await;
        told.expect("the bank does so");
    }

    /// Plans a fault of the bank.
    pub(crate) async fn plan_bank_fault(&self, fault: &Value) {
        let planned = self.counterparties.plan_fault(fault).await;
        planned.expect("the bank plans the fault");
    }

    /// Has the bank use this dialect for a charge from now on.
    pub(crate) async fn speak(&self, charge_id: &str, dialect: Dialect) {
        let spoken = self.counterparties.speak(charge_id, dialect).await;
        spoken.expect("the bank changes its dialect");
    }

    /// Deletes an order, as the shop may.
    pub(crate) async fn remove_order(&self, order_id: &str) {
        let deleted = self.counterparties.delete_order(order_id).await;
        deleted.expect("deleted");
    }

    /// Changes one field of an order's `data`, as the shop may.
    pub(crate) async fn change_order(&self, order_id: &str, field: &str, value: &Value) {
        self.aws
            .dynamodb
            .update_item()
            .table_name(self.table("order"))
            .key("orderId", AttributeValue::S(order_id.to_owned()))
            .update_expression("SET #data.#field = :value")
            .expression_attribute_names("#data", "data")
            .expression_attribute_names("#field", field)
            .expression_attribute_values(":value", items::from_json(value))
            .send()
            .await
            .expect("changed");
    }

    /// Changes a payment's record directly in its table.
    pub(crate) async fn change_record(&self, key: &str, update: &str, values: &[(&str, Value)]) {
        self.change_item("card-payment-record", ("tokenId", key), update, values)
            .await;
    }

    /// Hides an open record from reconciliation, which other tests run at the same time: moves it to a shard that
    /// nobody reads.
    pub(crate) async fn hide_from_reconciliation(&self, key: &str) {
        let nowhere = [(":nowhere", json!(99))];
        self.change_record(key, "SET openShard = :nowhere", &nowhere)
            .await;
    }

    /// Changes an item of a table (by its kebab name) directly.
    pub(crate) async fn change_item(
        &self,
        table: &str,
        (key, of): (&str, &str),
        update: &str,
        values: &[(&str, Value)],
    ) {
        let values = values
            .iter()
            .map(|(name, value)| ((*name).to_owned(), items::from_json(value)))
            .collect();
        self.aws
            .dynamodb
            .update_item()
            .table_name(self.table(table))
            .key(key, AttributeValue::S(of.to_owned()))
            .update_expression(update)
            .set_expression_attribute_names(
                // One of DynamoDB's reserved words.
                update
                    .contains("#token")
                    .then(|| HashMap::from([("#token".to_owned(), "token".to_owned())])),
            )
            .set_expression_attribute_values(
                Some(values).filter(|values: &HashMap<_, _>| !values.is_empty()),
            )
            .send()
            .await
            .expect("changed");
    }

    /// Writes an item into a table.
    pub(crate) async fn put(&self, table: &str, item: &Value) {
        self.aws
            .dynamodb
            .put_item()
            .table_name(table)
            .set_item(Some(items::item_from_json(item.as_object().expect("item"))))
            .send()
            .await
            .expect("written");
    }

    /// Reads an item by its `tokenId`; null when there is none.
    pub(crate) async fn read(&self, table: &str, key: &str) -> Value {
        let output = self
            .aws
            .dynamodb
            .get_item()
            .table_name(table)
            .key("tokenId", AttributeValue::S(key.to_owned()))
            .consistent_read(true)
            .send()
            .await
            .expect("read");
        output.item().map_or(Value::Null, items::to_json)
    }

    /// Deletes an item by its `tokenId`.
    pub(crate) async fn delete(&self, table: &str, key: &str) {
        self.aws
            .dynamodb
            .delete_item()
            .table_name(table)
            .key("tokenId", AttributeValue::S(key.to_owned()))
            .send()
            .await
            .expect("deleted");
    }

    /// Writes a record as it is.
    pub(crate) async fn put_record(&self, record: &Value) {
        self.put(&self.table("card-payment-record"), record).await;
    }

    /// Reads a record by its key.
    pub(crate) async fn read_record(&self, key: &str) -> Value {
        self.read(&self.table("card-payment-record"), key).await
    }

    /// The full name of a table.
    pub(crate) fn table(&self, kebab: &str) -> String {
        self.outputs.table(kebab).expect("a table").to_owned()
    }

    /// Asserts that a charge paid its order, once, and that everything is closed.
    pub(crate) async fn assert_paid(&self, paid: &Authenticated) {
        let charge_id = paid.charge_id();
        let payment = self.payment_of(&paid.order).await;
        assert_eq!(payment["isPaid"], true, "{payment}");
        assert_eq!(payment["paymentId"], charge_id, "{payment}");
        let log = payment["paymentLog"].as_array().map(Vec::len);
        assert_eq!(log, Some(1), "{payment}");

        let record = self.record(charge_id).await;
        assert_eq!(record["outcome"], "paid", "{record}");
        assert_eq!(record["resolution"], "orderPaid", "{record}");
        assert_closed(&record);

        let outcomes = self.inspector.outcomes(charge_id).await.expect("outcomes");
        assert_eq!(outcomes.len(), 1, "{outcomes:?}");
        assert_eq!(outcomes[0]["outcome"], "paid");
        assert_eq!(
            self.event_kinds_for(&paid.order).await,
            ["payment.succeeded"]
        );
    }

    /// Asserts that nothing happened to a payment after its checkout.
    pub(crate) async fn assert_untouched(&self, pending: &Authenticated) {
        let charge_id = pending.charge_id();
        assert_eq!(self.executions_of(charge_id).await, [""; 0]);
        assert_eq!(self.payment_of(&pending.order).await["isPaid"], false);
        let outcomes = self.inspector.outcomes(charge_id).await.expect("outcomes");
        assert!(outcomes.is_empty(), "{outcomes:?}");
        assert_eq!(self.event_kinds_for(&pending.order).await, [""; 0]);
        assert_eq!(self.saved_cards(&pending.order.owner_id).await, None);
    }
}

/// Asserts what an execution puts out in these fields. [`crate::flows`] has all of them for every flow.
pub(crate) fn assert_output(execution: &ExecutionReport, expected: &Value) {
    let output = execution.output.as_ref().expect("an output");
    for (field, value) in expected.as_object().expect("fields") {
        assert_eq!(output[field], *value, "{field}: {output}");
    }
}

/// Asserts that a record is closed and left the index of open ones.
pub(crate) fn assert_closed(record: &Value) {
    assert!(record["closedAt"].is_string(), "{record}");
    for open in ["openShard", "lookAgainAt"] {
        assert!(record.get(open).is_none(), "{record}");
    }
}

fn assert_accepted(event: &ReceivedEvent) {
    assert!(event.verified, "{event:?}");
    assert_eq!(event.answered, 204, "{event:?}");
}

/// The payments of one customer, for a check of the invariants.
pub(crate) fn subject(payments: &[&Authenticated]) -> Subject {
    Subject::of(payments.iter().map(|paid| (&paid.order, paid.token())))
}
