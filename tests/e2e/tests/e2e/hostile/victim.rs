//! The payments that are attacked, at the stage that each attack needs, and a snapshot of everything that an attack
//! could change.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use payment3_harness::http::client;
use payment3_harness::invariants::{self, Subject};
use payment3_harness::random;
use payment3_harness::shop_api::{NewOrder, Order, TOTAL};
use payment3_harness::shopper::{self, CARD_APPROVED, CARD_DECLINED, CARD_WITHOUT_3DS, ReturnForm};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use url::Url;

use crate::support::TestApp;

/// How often reconciliation runs for a payment that stays open.
const RUNS: usize = 12;
/// How long to wait for a payment between two runs.
const BETWEEN_RUNS: Duration = Duration::from_secs(10);

/// How many executions strangers may start within minutes while the bank has decided nothing.
const EXECUTIONS_AT_MOST: usize = 3;

/// How far a victim's payment has come when it is attacked.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// Ordered, with a card without 3-D Secure, and not checked out.
    Ordered,
    /// As [`Stage::Ordered`], by an order id that is markup.
    OrderedAsMarkup,
    /// On the bank's page: the bank has decided nothing.
    AtTheBank,
    /// The bank has authorised the charge, and nobody has said so.
    Authorized,
    /// The bank has declined the charge, and nobody has said so.
    Refused,
    /// Paid and closed.
    Paid,
    /// Declined and closed.
    Declined,
    /// The order was not payable any more: voided and closed.
    Voided,
    /// The same after settlement: refunded and closed.
    Refunded,
    /// A card verification on the bank's page.
    Verifying,
    /// A card verification that is done.
    Verified,
}

impl Stage {
    pub(super) fn in_words(self) -> &'static str {
        match self {
            Self::Ordered | Self::OrderedAsMarkup => "ordered",
            Self::AtTheBank => "at bank",
            Self::Authorized => "authorized",
            Self::Refused => "refused",
            Self::Paid => "paid",
            Self::Declined => "declined",
            Self::Voided => "voided",
            Self::Refunded => "refunded",
            Self::Verifying => "verifying",
            Self::Verified => "verified",
        }
    }

    fn card(self) -> &'static str {
        match self {
            Self::Ordered | Self::OrderedAsMarkup => CARD_WITHOUT_3DS,
            Self::Refused | Self::Declined => CARD_DECLINED,
            _ => CARD_APPROVED,
        }
    }
}

/// A payment that is attacked.
pub(super) struct Victim {
    stage: Stage,
    pub(super) order: Order,
    pub(super) token: String,
    /// The record's key.
    pub(super) key: String,
    /// Empty before the checkout.
    pub(super) charge: String,
    /// Empty before the checkout.
    reference: String,
    page: Option<Url>,
    form: Option<ReturnForm>,
}

impl Victim {
    /// A new payment of a new customer, brought to a stage.
    pub(super) async fn brought_to(app: &TestApp, stage: Stage) -> Self {
        let order = match stage {
            Stage::Verifying | Stage::Verified => Order::verification(&random::id("usr_")),
            Stage::OrderedAsMarkup => markup_order(app).await,
            _ => app.order().await,
        };
        let token = app.card_token(stage.card()).await;
        let mut victim = Self {
            stage,
            key: app.inspector.key_of_token(&token).expect("a token"),
            order,
            token,
            charge: String::new(),
            reference: String::new(),
            page: None,
            form: None,
        };
        if !matches!(stage, Stage::Ordered | Stage::OrderedAsMarkup) {
            victim.check_out(app).await;
        }
        if !matches!(
            stage,
            Stage::Ordered | Stage::OrderedAsMarkup | Stage::AtTheBank | Stage::Verifying
        ) {
            victim.authenticate().await;
        }
        match stage {
            Stage::Paid | Stage::Declined | Stage::Verified => victim.returns(app).await,
            Stage::Voided | Stage::Refunded => {
                let id = &victim.order.order_id;
                app.change_order(id, "isDrafting", &json!(true)).await;
                if stage == Stage::Refunded {
                    app.settle(&victim.charge).await;
                }
                victim.returns(app).await;
            }
            _ => {}
        }
        victim
    }

    async fn check_out(&mut self, app: &TestApp) {
        let page = app.check_out_with(&self.order, self.token.clone()).await;
        self.find_charge(app).await;
        self.page = Some(page);
    }

    async fn authenticate(&mut self) {
        let page = self.page.as_ref().expect("checked out");
        let form = shopper::authenticate(page).await.expect("the bank's page");
        self.form = Some(form);
    }

    /// The browser returns, and the payment comes to its end.
    async fn returns(&self, app: &TestApp) {
        let form = self.form.as_ref().expect("authenticated");
        let answer = app.return_with(form).await;
        assert_eq!(answer.status, 303, "the genuine return is answered");
        self.until_closed(app).await;
    }

    /// Waits until the record is closed. A return that came while an execution stopped waiting needs a run of
    /// reconciliation.
    async fn until_closed(&self, app: &TestApp) {
        for _ in 0..RUNS {
            if app.until_closed(&self.key, BETWEEN_RUNS).await {
                return;
            }
            app.reconcile().await;
        }
    }

    /// Takes the charge from the record, once there is one.
    pub(super) async fn find_charge(&mut self, app: &TestApp) {
        if self.charge.is_empty() {
            let record = app.read_record(&self.key).await;
            let text = |name: &str| record[name].as_str().unwrap_or_default().to_owned();
            self.charge = text("chargeId");
            self.reference = text("referenceOrder");
        }
    }

    /// The bank's return form for this payment, with the status that the bank would put in.
    pub(super) fn return_fields(&self) -> BTreeMap<String, String> {
        let declined = matches!(self.stage, Stage::Refused | Stage::Declined);
        [
            ("objectId", self.charge.as_str()),
            ("token", &self.token),
            ("status", if declined { "false" } else { "true" }),
            ("message", "Success"),
            ("saveCard", "false"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
    }

    /// The bank's notification that this charge is in a state, signed as the bank signs.
    pub(super) fn notice(&self, state: &str) -> Value {
        let status = if state == "Declined" {
            "fail"
        } else {
            "success"
        };
        let mut notice = json!({
            "object": "charge", "id": self.charge, "amount": 1500, "currency": "THB", "status": status,
            "transaction_state": state, "livemode": false, "failure_code": null, "failure_message": null,
            "source": {"object": "card", "brand": "VISA", "card_masking": "441770XXXXXX5830"},
            "reference_order": self.reference, "ref_1": self.order.order_id, "created": "20260101120000000",
        });
        if self.order.grand_total != TOTAL {
            notice["amount"] = json!(1);
        }
        sign(&mut notice, payment3_bank::SECRET_KEY);
        notice
    }

    fn subject(&self) -> Subject {
        Subject::of([(&self.order, &*self.token)])
    }

    /// Everything that is stored about this payment.
    pub(super) async fn snapshot(&self, app: &TestApp) -> Snapshot {
        let inspector = &app.inspector;
        let mut seen = BTreeMap::new();
        let order_id = &self.order.order_id;
        let order = inspector.order(order_id).await.expect("table");
        note(&mut seen, "order", &json!(order));
        note(&mut seen, "record", &app.read_record(&self.key).await);
        let status = inspector.check_status(order_id).await.expect("table");
        note(&mut seen, "check status", &json!(status));
        let mapping = inspector
            .mapping(&self.order.owner_id)
            .await
            .expect("table");
        note(&mut seen, "mapping", &json!(mapping));
        let mut at_bank = inspector.bank_token(&self.token).await.expect("the bank");
        for charge in &mut at_bank.charges {
            // A notification that the bank sent is no change of the charge.
            charge
                .as_object_mut()
                .expect("a charge")
                .remove("notifications");
        }
        note(&mut seen, "charges", &json!(at_bank.charges));
        note(&mut seen, "customers", &json!(at_bank.customers));
        if !self.charge.is_empty() {
            let outcomes = inspector.outcomes(&self.charge).await.expect("table");
            note(&mut seen, "outcomes", &json!(outcomes));
            let told = inspector
                .shop_events_of_charge(&self.charge)
                .await
                .expect("shop");
            note(&mut seen, "events to the shop", &json!(told.len()));
            let mut executions = app.executions_of(&self.charge).await;
            executions.sort();
            note(&mut seen, "executions", &json!(executions));
        }
        Snapshot(seen)
    }

    /// Waits until no execution of this payment runs, nor any of those named.
    pub(super) async fn settled(&self, app: &TestApp, started: &[String]) {
        let mut names = started.to_vec();
        if !self.charge.is_empty() {
            names.extend(app.executions_of(&self.charge).await);
        }
        for name in names {
            app.execution(&name).await;
        }
    }

    /// What changed apart from an inquiry that found nothing decided. Empty where nothing did.
    pub(super) async fn more_than_asked(&self, app: &TestApp, before: &Snapshot) -> Vec<String> {
        let after = self.snapshot(app).await;
        let expected = [
            "record.attempt",
            "record.lookAgainAt",
            "record.unknownSince",
            // These bound the executions that returns start.
            "record.returnAskedAt",
            "record.returnStarts[0]",
            "record.returnStarts[1]",
        ];
        let mut found: Vec<_> = before
            .changes(&after)
            .into_iter()
            .filter(|what| !expected.contains(&what.as_str()) && !what.starts_with("executions"))
            .collect();
        // The bank knows the charge, whatever a stranger says.
        let unknown_since = after.0.get("record.unknownSince");
        if unknown_since.is_some_and(|since| *since != 0) {
            found.push("the bank is said not to know the charge".to_owned());
        }
        let due =
            |snapshot: &Snapshot| snapshot.0.get("record.lookAgainAt").and_then(Value::as_i64);
        match (due(before), due(&after)) {
            (Some(before), Some(after)) if after > before => {
                let later = after - before;
                found.push(format!("the payment is due {later} s later than before"));
            }
            (_, Some(_)) => {}
            (_, None) => found.push("the payment is never due".to_owned()),
        }
        let executions = app.executions_of(&self.charge).await;
        if executions.len() > EXECUTIONS_AT_MOST {
            found.push(format!("{} executions", executions.len()));
        }
        for name in executions {
            let execution = app.execution(&name).await;
            let asked = |state: &&str| {
                matches!(
                    *state,
                    "ParseCallback" | "LookupRecord" | "InquireCharge" | "AwaitBank" | "HandedOver"
                )
            };
            if execution.status != "SUCCEEDED" || !execution.states().iter().all(asked) {
                found.push(format!(
                    "execution {name} {}: {}",
                    execution.status,
                    execution.states().join(" → ")
                ));
            }
        }
        found
    }

    /// Waits for the end of the payment, and returns what is wrong with it.
    pub(super) async fn violations(&self, app: &TestApp) -> Vec<String> {
        self.until_closed(app).await;
        self.settled(app, &[]).await;
        let mut found = Vec::new();
        let findings = invariants::examine(&app.inspector, &self.subject())
            .await
            .expect("the invariants can be checked");
        if !findings.is_empty() {
            found.push(findings.to_string());
        }
        let record = app.read_record(&self.key).await;
        let (outcome, resolution) = match self.stage {
            Stage::Refused | Stage::Declined => ("declined", None),
            Stage::Voided | Stage::Refunded | Stage::Verifying | Stage::Verified => {
                ("paid", Some("reversed"))
            }
            _ => ("paid", Some("orderPaid")),
        };
        if record["outcome"] != outcome || record["resolution"].as_str() != resolution {
            found.push(format!(
                "the record says {} and {}, not {outcome} and {resolution:?}",
                record["outcome"], record["resolution"]
            ));
        }
        found
    }

    /// The shopper goes on as if nothing had happened. Returns what is wrong in the end.
    pub(super) async fn comes_to_its_end(&mut self, app: &TestApp) -> Vec<String> {
        if matches!(self.stage, Stage::AtTheBank | Stage::Verifying) {
            self.authenticate().await;
        }
        if matches!(
            self.stage,
            Stage::AtTheBank | Stage::Verifying | Stage::Authorized | Stage::Refused
        ) {
            self.returns(app).await;
        }
        self.violations(app).await
    }
}

/// An order whose id would be markup, were it not escaped wherever it is shown.
async fn markup_order(app: &TestApp) -> Order {
    let new = NewOrder {
        order_id: Some(format!("\"><script>alert({})</script>", random::digits(12))),
        ..NewOrder::of(random::id("usr_"))
    };
    let response = client()
        .post(format!("{}/orders", app.outputs.shop_url))
        .json(&new)
        .send()
        .await
        .expect("the shop answers");
    response.json().await.expect("an order")
}

/// Puts the checksum into a notification, made with `key`.
pub(crate) fn sign(notice: &mut Value, key: &str) {
    let text = |name: &str| notice[name].as_str().unwrap_or_default().to_owned();
    let amount = notice["amount"].as_f64().expect("a number");
    let signed = format!(
        "{}{amount:.4}{}{}{}{key}",
        text("id"),
        text("currency"),
        text("status"),
        text("transaction_state")
    );
    notice["checksum"] = json!(hex::encode(Sha256::digest(signed)));
}

/// Everything that is stored about a payment, by its place.
pub(super) struct Snapshot(BTreeMap<String, Value>);

impl Snapshot {
    /// The places that differ from a later snapshot. Only places, because values may be card tokens.
    pub(super) fn changes(&self, later: &Self) -> Vec<String> {
        let places: BTreeSet<_> = self.0.keys().chain(later.0.keys()).collect();
        places
            .into_iter()
            .filter(|place| self.0.get(*place) != later.0.get(*place))
            .cloned()
            .collect()
    }
}

/// Takes a value apart, so that each part has a place of its own.
fn note(seen: &mut BTreeMap<String, Value>, place: &str, value: &Value) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                note(seen, &format!("{place}.{name}"), field);
            }
        }
        Value::Array(items) => {
            for (number, item) in items.iter().enumerate() {
                note(seen, &format!("{place}[{number}]"), item);
            }
        }
        other => {
            seen.insert(place.to_owned(), other.clone());
        }
    }
}
