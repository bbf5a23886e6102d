//! The requests that provoke the documented answers.

use std::collections::BTreeMap;
use std::time::Duration;

use payment3_bank::SECRET_KEY;
use payment3_harness::aws::Aws;
use payment3_harness::counterparties::Counterparties;
use payment3_harness::executions::Executions;
use payment3_harness::http::{FORM, client, form};
use payment3_harness::outputs::Outputs;
use payment3_harness::random;
use payment3_harness::shop_api::{NewOrder, Order, TOTAL};
use payment3_harness::shopper::{self, CARD_APPROVED, CARD_DECLINED, ReturnForm};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::document::Documented;

/// The operation that tells an order's status.
pub(crate) const CHECK_STATUS: &str = "GET /checkstatus/{orderId}";

/// How long a payment may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

type Form = BTreeMap<String, String>;

/// Makes requests to the API of an environment, and prepares what they need.
pub(crate) struct Requests {
    outputs: Outputs,
    aws: Aws,
    executions: Executions,
    refunds: Executions,
    counterparties: Counterparties,
}

impl Requests {
    pub(crate) fn new(outputs: &Outputs) -> Self {
        let aws = Aws::at(&outputs.aws_endpoint);
        Self {
            executions: Executions::of(&aws, &outputs.state_machine_arn),
            refunds: Executions::of(&aws, &outputs.refund_state_machine_arn),
            counterparties: Counterparties::of(&aws, outputs),
            outputs: outputs.clone(),
            aws,
        }
    }

    /// A request that the API must answer in this way. A newly documented answer gets its request here.
    pub(crate) async fn provoking(&self, answer: &Documented<'_>) -> Option<RequestBuilder> {
        let (status, code) = (answer.status, answer.code.as_deref());
        match answer.operation.as_str() {
            "POST /cardpayment" => self.checkout("/cardpayment", status, code).await,
            "POST /cardtoken" => self.checkout("/cardtoken", status, code).await,
            "POST /callback" => self.callback(Method::POST, status, code).await,
            "GET /callback" => self.callback(Method::GET, status, code).await,
            "POST /notify" => self.notify(status, code).await,
            CHECK_STATUS => self.check_status(status, code).await,
            _ => None,
        }
    }

    async fn checkout(
        &self,
        path: &str,
        status: u16,
        code: Option<&str>,
    ) -> Option<RequestBuilder> {
        let fields = match (status, code) {
            (200, None) | (503, Some("UNAVAILABLE")) => self.form().await,
            (400, Some("MISSING_FIELD")) => with(self.form().await, "token", ""),
            (400, Some("INVALID_INPUT")) => with(self.form().await, "grandTotal", "1500.01"),
            (402, Some("DECLINED")) => {
                let unknown = random::id("tokn_test_");
                with(self.form().await, "token", &unknown)
            }
            (404, Some("NOT_FOUND")) => with(self.form().await, "userId", "usr_somebody_else"),
            (409, Some("ORDER_NOT_PAYABLE")) => self.form_for(&self.paid().await.0).await,
            (409, Some("TOKEN_USED")) => {
                let used = self.form().await;
                self.submit(&used).await;
                with(self.form().await, "token", &used["token"])
            }
            (409, Some("PAYMENT_BEING_CHECKED")) => {
                let order = self.order().await;
                let lost = self.form_for(&order).await;
                self.have_bank_fail(&lost, "error").await;
                let answer = shopper::post_checkout(&self.outputs, &lost).await;
                assert_eq!(answer.expect("an answer").status, 503);
                self.form_for(&order).await
            }
            (503, Some("BANK_UNAVAILABLE")) => {
                let form = self.form().await;
                self.have_bank_fail(&form, "busy").await;
                form
            }
            (503, Some("PAYMENT_BEING_CHECKED")) => {
                let form = self.form().await;
                self.have_bank_fail(&form, "error").await;
                form
            }
            _ => return None,
        };
        Some(self.post(path, FORM, encoded(&fields)))
    }

    async fn callback(
        &self,
        method: Method,
        status: u16,
        code: Option<&str>,
    ) -> Option<RequestBuilder> {
        let genuine = self.returned().await;
        let fields = match (status, code) {
            (303, None) | (503, Some("UNAVAILABLE")) | (425, Some("TOO_EARLY")) => genuine,
            (400, Some("MISSING_FIELD")) => genuine.with("objectId", ""),
            (400, Some("INVALID_INPUT")) => genuine.with("id", "chrg_test_of_somebody_else"),
            (404, Some("NOT_FOUND")) => genuine.with("objectId", &random::id("chrg_test_")),
            _ => return None,
        }
        .fields;
        let request = if method == Method::GET {
            let address = format!("{}/callback?{}", self.outputs.api_url, encoded(&fields));
            client().get(address)
        } else {
            self.post("/callback", FORM, encoded(&fields))
        };
        Some(match status {
            425 => request.header("sec-purpose", "prefetch"),
            _ => request,
        })
    }

    async fn notify(&self, status: u16, code: Option<&str>) -> Option<RequestBuilder> {
        let returned = self.returned().await;
        let charge = returned.charge_id().expect("the form names the charge");
        let body = match (status, code) {
            (200, None) | (503, Some("UNAVAILABLE")) => notification(charge, SECRET_KEY),
            (400, Some("MISSING_FIELD")) => json!({"id": charge}),
            (400, Some("INVALID_INPUT")) => json!([charge]),
            (401, Some("INVALID_CHECKSUM")) => notification(charge, "skey_test_of_somebody_else"),
            (404, Some("NOT_FOUND")) => notification(&random::id("chrg_test_"), SECRET_KEY),
            _ => return None,
        };
        Some(self.post("/notify", "application/json", body.to_string()))
    }

    async fn check_status(&self, status: u16, code: Option<&str>) -> Option<RequestBuilder> {
        let order = match (status, code) {
            (200, None) | (503, Some("UNAVAILABLE")) => {
                let form = self.form().await;
                self.submit(&form).await;
                form["orderId"].clone()
            }
            (404, Some("NOT_FOUND")) => random::digits(12),
            _ => return None,
        };
        Some(self.ask(&order))
    }

    /// An app's question for the status of an order.
    pub(crate) fn ask(&self, order: &str) -> RequestBuilder {
        client().get(format!("{}/checkstatus/{order}", self.outputs.api_url))
    }

    /// The id of an order whose status says this; without one, of a paid order of which somebody gave a part back in
    /// the bank's portal. A newly documented status gets its payment here.
    pub(crate) async fn order_that_is(&self, status: Option<&str>) -> Option<String> {
        let order = match status {
            Some("pending") => {
                let order = self.order().await;
                self.submit(&self.form_for(&order).await).await;
                order
            }
            Some("paid") => self.paid().await.0,
            Some("declined") => self.came_back(self.order().await, CARD_DECLINED).await.0,
            Some("reversed") => {
                let order = self.order().await;
                let form = self.return_of(&order, CARD_APPROVED).await;
                let deleted = self.counterparties.delete_order(&order.order_id).await;
                deleted.expect("the shop deletes it");
                self.call_back(&form).await;
                order
            }
            Some("refunded") => {
                let (order, _) = self.paid().await;
                self.give_back(&order).await;
                order
            }
            None => {
                let (order, charge) = self.paid().await;
                self.give_back_in_the_portal(&charge).await;
                order
            }
            _ => return None,
        };
        Some(order.order_id)
    }

    /// The back office gives all of a paid order back.
    async fn give_back(&self, order: &Order) {
        let name = random::id("rf_");
        let input = json!({"refundId": name, "orderId": order.order_id});
        let start = self.aws.sfn.start_execution();
        let start = start.state_machine_arn(&self.outputs.refund_state_machine_arn);
        let started = start.name(&name).input(input.to_string()).send().await;
        started.expect("started");
        let execution = self.refunds.wait_for(&name, PATIENCE).await;
        assert!(execution.expect("it ends").has_succeeded());
    }

    /// Somebody gives one baht of a charge back in the bank's portal, and the bank notifies us.
    async fn give_back_in_the_portal(&self, charge: &str) {
        let settled = self.counterparties.settle(charge).await;
        settled.expect("the bank settles");
        let refund = client()
            .post(format!(
                "{}/card/v2/charge/{charge}/refund",
                self.outputs.bank_url
            ))
            .header("x-api-key", SECRET_KEY)
            .json(&json!({"amount": "1.00", "reason": "by hand"}));
        let answer = refund.send().await.expect("the bank answers");
        assert!(answer.status().is_success(), "{answer:?}");
        let notified = self.counterparties.notify(charge).await;
        assert_eq!(notified.expect("notified")["answer"], 200);
        let name = format!("elsewhere-{charge}");
        let execution = self.refunds.wait_for(&name, PATIENCE).await;
        assert!(execution.expect("it ends").has_succeeded());
    }

    fn post(&self, path: &str, content_type: &str, body: String) -> RequestBuilder {
        client()
            .post(format!("{}{path}", self.outputs.api_url))
            .header("content-type", content_type)
            .body(body)
    }

    async fn order(&self) -> Order {
        shopper::order(&self.outputs, &NewOrder::of(random::id("usr_")))
            .await
            .expect("the shop takes the order")
    }

    /// The checkout form of a new order.
    async fn form(&self) -> Form {
        self.form_for(&self.order().await).await
    }

    async fn form_for(&self, order: &Order) -> Form {
        let token = self.token(CARD_APPROVED).await;
        shopper::checkout_form(&self.outputs, order, &token)
    }

    async fn token(&self, card: &str) -> String {
        shopper::card_token(&self.outputs, card)
            .await
            .expect("the bank gives a token")
    }

    async fn submit(&self, form: &Form) {
        shopper::submit_checkout(&self.outputs, form)
            .await
            .expect("the checkout is accepted");
    }

    /// The form that the browser brings back from 3-D Secure, for a new order.
    async fn returned(&self) -> ReturnForm {
        self.return_of(&self.order().await, CARD_APPROVED).await
    }

    async fn return_of(&self, order: &Order, card: &str) -> ReturnForm {
        let token = self.token(card).await;
        shopper::pass_three_ds(&self.outputs, order, &token)
            .await
            .expect("3-D Secure")
    }

    /// An order that is paid, and the charge that paid it.
    async fn paid(&self) -> (Order, String) {
        self.came_back(self.order().await, CARD_APPROVED).await
    }

    /// An order whose shopper is back, once the payment is done; and its charge.
    async fn came_back(&self, order: Order, card: &str) -> (Order, String) {
        let form = self.return_of(&order, card).await;
        let charge = self.call_back(&form).await;
        (order, charge)
    }

    /// The shopper comes back, and the payment is done. Returns its charge.
    async fn call_back(&self, form: &ReturnForm) -> String {
        shopper::return_to_shop(form)
            .await
            .expect("the callback answers");
        let charge = form.charge_id().expect("the form names the charge");
        let execution = self.executions.wait_for(charge, PATIENCE).await;
        assert!(execution.expect("it ends").has_succeeded());
        charge.to_owned()
    }

    /// The bank fails to charge the card of this form.
    async fn have_bank_fail(&self, form: &Form, kind: &str) {
        let fault = json!({"operation": "create_charge", "kind": kind, "token": form["token"]});
        let planned = self.counterparties.plan_fault(&fault).await;
        planned.expect("the bank plans the fault");
    }
}

fn with(mut form: Form, field: &str, value: &str) -> Form {
    form.insert(field.to_owned(), value.to_owned());
    form
}

fn encoded(fields: &Form) -> String {
    form(
        fields
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str())),
    )
}

/// The notification of an authorised charge, signed with `key`.
fn notification(charge: &str, key: &str) -> Value {
    let signed = format!("{charge}{TOTAL}00THBsuccessAuthorized{key}");
    json!({
        "id": charge,
        "object": "charge",
        "amount": 1500.0,
        "currency": "THB",
        "status": "success",
        "transaction_state": "Authorized",
        "failure_code": null,
        "checksum": hex::encode(Sha256::digest(signed)),
    })
}
