//! Plays payments to their end: the shopper, the bank and the schedule, each as patient as in production. None of them
//! knows which call gets a fault, and no person restarts anything.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use payment3_activities::domain::ids::ChargeId;
use payment3_activities::executions::execution_name;
use url::Url;

use crate::audit::Used;
use crate::aws::Aws;
use crate::counterparties::Counterparties;
use crate::fault_plan::{FaultPlan, FaultPlans};
use crate::flow::Flow;
use crate::inspect::Inspector;
use crate::invariants::{self, Findings, Subject};
use crate::operator::Operator;
use crate::outputs::Outputs;
use crate::shop_api::{NewOrder, Order, Recipient};
use crate::shopper::{self, CARD_APPROVED, Next, OTHER_CARD_APPROVED, ReturnForm};
use crate::{logs, random};

pub mod refunds;

pub use refunds::{Played as PlayedRefund, RefundsEnded};

/// How long an execution may take. A late call to the bank takes 15 s, and so does each retry of it.
const PATIENCE: Duration = Duration::from_secs(240);
/// How often a shopper sends a form before giving up.
pub const FORM_TRIES: usize = 3;
/// How often a browser or the bank tries a call that fails.
pub const CALL_TRIES: usize = 3;

const MINUTE: i64 = 60;
const DAY: i64 = 24 * 60 * MINUTE;
/// The age of the payment at each round of reconciliation, in seconds. At the last age the payment must be closed.
pub const AGES: [i64; 6] = [
    6 * MINUTE,
    31 * MINUTE,
    DAY + MINUTE,
    DAY + 10 * MINUTE,
    8 * DAY,
    9 * DAY,
];

/// Whether the functions' processes have run before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// They have handled earlier payments, and hold the secrets.
    Warm,
    /// They are new, and fetch the secrets first. Only one payment at a time can be watched then.
    Cold,
}

/// Plays flows in one environment.
#[derive(Debug, Clone)]
pub struct Player {
    aws: Aws,
    outputs: Outputs,
    inspector: Inspector,
    operator: Operator,
    counterparties: Counterparties,
    fault_plans: FaultPlans,
    used: Arc<Mutex<Used>>,
}

/// A flow that is ready for its payment.
pub struct Begun {
    flow: Flow,
    payment: Payment,
    /// A known user's first payment.
    earlier: Option<Payment>,
    /// A second card for the same order, whose shopper is back from the bank.
    rival: Option<(Payment, ReturnForm)>,
    /// The charge that has paid the order, in the flows of refunds.
    paid_by: Option<String>,
    refunds: Vec<PlayedRefund>,
    subject: Subject,
    /// Whether a customer at the bank without a mapping is reported only with the owner's next payment.
    orphan_is_found_later: bool,
}

/// One payment.
struct Payment {
    order: Order,
    token: String,
    key: String,
}

impl Player {
    /// A player for the environment with these outputs, behind the proxy with these fault plans.
    pub fn new(outputs: &Outputs, fault_plans: &FaultPlans) -> Self {
        let aws = Aws::at(&outputs.aws_endpoint);
        Self {
            inspector: Inspector::new(&aws, outputs),
            operator: Operator::of(&aws, outputs),
            counterparties: Counterparties::of(&aws, outputs),
            aws,
            outputs: outputs.clone(),
            fault_plans: fault_plans.clone(),
            used: Arc::default(),
        }
    }

    /// The environment it plays in.
    pub fn outputs(&self) -> &Outputs {
        &self.outputs
    }

    /// The orders, tokens and personal data of all payments so far. They are removed from the player.
    pub fn take_used(&self) -> Used {
        std::mem::take(&mut self.used())
    }

    /// Notes refunds that ended with a person.
    pub fn note_uncertain(&self, ids: Vec<String>) {
        self.used().uncertain_refunds(ids);
    }

    fn used(&self) -> MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Prepares a payment: the order, the card, a known user's first payment.
    ///
    /// # Errors
    /// The environment does not answer.
    pub async fn begin(&self, flow: Flow) -> Result<Begun> {
        let owner = random::id("usr_");
        let mut subject = Subject::default();
        let mut earlier = None;
        if flow == Flow::KnownUser {
            let first = Begun {
                flow: Flow::NewUser,
                payment: self.payment(&owner, CARD_APPROVED, Flow::NewUser).await?,
                earlier: None,
                rival: None,
                paid_by: None,
                refunds: Vec::new(),
                subject: Subject::default(),
                orphan_is_found_later: false,
            };
            subject.add(&first.payment.order, &first.payment.token);
            self.pay(&first).await?;
            self.finish(&first).await?;
            earlier = Some(first.payment);
        }
        let payment = self.payment(&owner, flow.card(), flow).await?;
        subject.add(&payment.order, &payment.token);
        let rival = match flow {
            Flow::TwoCards => Some(self.rival(&payment, &mut subject).await?),
            _ => None,
        };
        let mut begun = Begun {
            flow,
            payment,
            earlier,
            rival,
            paid_by: None,
            refunds: refunds::of(flow, &random::id("rf_")),
            subject,
            orphan_is_found_later: false,
        };
        if flow.is_refund() {
            begun.paid_by = Some(self.prepare_refunds(&begun).await?);
        }
        Ok(begun)
    }

    /// Runs reconciliation until a payment is closed.
    ///
    /// # Errors
    /// The environment does not answer, or an execution does not end.
    pub async fn finish(&self, begun: &Begun) -> Result<()> {
        self.finish_payment(&begun.payment, || {}).await
    }

    /// Pays, and runs reconciliation until the payment is closed. Calls `at_rest` whenever nothing runs. If the order
    /// has another card, that card pays at the same time. In a flow of refunds the order is paid already: they are played
    /// to their end, and `at_rest` is called while they run, because they wait in place.
    ///
    /// # Errors
    /// As [`Player::finish`].
    pub async fn pay_to_the_end(&self, begun: &Begun, at_rest: impl Fn()) -> Result<Shopper> {
        if begun.flow.is_refund() {
            self.refund_to_the_end(begun, at_rest).await?;
            return Ok(Shopper::Paid);
        }
        let rival_pays = async {
            match &begun.rival {
                Some((payment, form)) => {
                    self.call_back(form).await;
                    self.finish_payment(payment, || {}).await
                }
                None => Ok(()),
            }
        };
        let pays = async {
            let shopper = self.pay(begun).await?;
            self.finish_payment(&begun.payment, at_rest).await?;
            Ok(shopper)
        };
        let (shopper, ()) = tokio::try_join!(pays, rival_pays)?;
        Ok(shopper)
    }

    /// Whether a payment is closed.
    ///
    /// # Errors
    /// The environment does not answer.
    pub async fn is_over(&self, begun: &Begun) -> Result<bool> {
        self.is_closed(&begun.payment).await
    }

    /// How a payment ended, in its record's words: `orderPaid`, `reversed` or its `closedAs`.
    ///
    /// # Errors
    /// The environment does not answer.
    pub async fn end_of(&self, begun: &Begun) -> Result<String> {
        let record = self.inspector.record_by_token(&begun.payment.token).await?;
        let word = |field: &str| record.as_ref()?[field].as_str().map(str::to_owned);
        let end = word("resolution").or_else(|| word("closedAs"));
        Ok(end.unwrap_or_else(|| "no end".to_owned()))
    }

    /// Checks the invariants for a payment.
    ///
    /// # Errors
    /// The environment does not answer.
    pub async fn examine(&self, begun: &Begun) -> Result<Findings> {
        let mut findings = invariants::examine(&self.inspector, &begun.subject).await?;
        if findings.orphans > 0
            && !begun.orphan_is_found_later
            && !self.orphan_is_logged(&begun.payment).await?
        {
            findings.note("a customer at the bank without a mapping, and no log line names it");
        }
        Ok(findings)
    }

    async fn orphan_is_logged(&self, payment: &Payment) -> Result<bool> {
        let record = self.inspector.record_by_token(&payment.token).await?;
        let charge = record
            .as_ref()
            .and_then(|record| record["chargeId"].as_str());
        let Some(charge) = charge else {
            return Ok(false);
        };
        let named = |lines: &[String]| lines.iter().any(|line| line.contains(charge));
        let (function, text) = ("ensure-kbank-user", "orphan customer");
        let lines = logs::wait_for_lines(&self.outputs, function, text, named).await?;
        Ok(named(&lines))
    }

    /// The bank's charge of a payment, once its record has it.
    ///
    /// # Errors
    /// The environment does not answer.
    pub async fn charge_of(&self, begun: &Begun) -> Result<Option<String>> {
        let record = self.inspector.record_by_token(&begun.payment.token).await?;
        let charge = record
            .as_ref()
            .and_then(|record| record["chargeId"].as_str());
        Ok(charge.map(str::to_owned))
    }

    /// Watches a payment, so that a fault can be planned for it.
    pub fn watch(&self, begun: &Begun, start: Start) -> FaultPlan {
        let payment = &begun.payment;
        let mut ids = vec![payment.token.clone(), payment.key.clone()];
        ids.extend(begun.paid_by.clone());
        // Two payments of one order share the order's ids. Only their tokens, keys and charges differ.
        if begun.rival.is_none() {
            ids.push(payment.order.owner_id.clone());
            if !payment.order.is_verification() {
                ids.push(payment.order.order_id.clone());
            }
        }
        if start == Start::Cold {
            ids.push(self.outputs.gateway_secret_arn.clone());
            ids.push(self.outputs.shop_webhook_secret_arn.clone());
        }
        self.fault_plans.watch(ids)
    }

    async fn payment(&self, owner: &str, card: &str, flow: Flow) -> Result<Payment> {
        let order = match flow {
            Flow::Verification => Order::verification(owner),
            _ => self.order(owner).await?,
        };
        self.payment_of(order, card).await
    }

    async fn payment_of(&self, order: Order, card: &str) -> Result<Payment> {
        let token = shopper::card_token(&self.outputs, card).await?;
        self.used().payment(&order.order_id, &token);
        Ok(Payment {
            order,
            key: self.inspector.key_of_token(&token)?,
            token,
        })
    }

    async fn order(&self, owner: &str) -> Result<Order> {
        let recipient = recipient();
        let email = format!("{}@shopper.example", random::id("somebody-"));
        self.used().person(&email, &recipient);
        let new = NewOrder {
            email: Some(email),
            recipient: Some(recipient),
            ..NewOrder::of(owner)
        };
        shopper::order(&self.outputs, &new).await
    }

    /// Plays another card for the same order, up to the return from the bank.
    async fn rival(
        &self,
        payment: &Payment,
        subject: &mut Subject,
    ) -> Result<(Payment, ReturnForm)> {
        let rival = self
            .payment_of(payment.order.clone(), OTHER_CARD_APPROVED)
            .await?;
        subject.add(&rival.order, &rival.token);
        let next = self.check_out(&rival).await?;
        let next = next.context("the other card's checkout is refused")?;
        let form = shopper::authenticate(&next.three_ds()?).await?;
        Ok((rival, form))
    }

    /// Plays the shopper, and the bank's return or notification.
    ///
    /// # Errors
    /// The bank does not answer.
    pub async fn pay(&self, begun: &Begun) -> Result<Shopper> {
        match self.check_out(&begun.payment).await? {
            None => return Ok(Shopper::Left),
            Some(Next::ThreeDs(page)) => {
                let form = self.pass_the_bank(begun, &page).await?;
                self.come_back(begun, &form).await?;
            }
            // Decided without 3-D Secure: the browser is back in the shop.
            Some(Next::Shop(_)) => {}
        }
        Ok(Shopper::Paid)
    }

    /// Plays the shopper until the bank sends the browser back. `None` if there was no 3-D Secure, or if the shopper
    /// saw only errors and left.
    ///
    /// # Errors
    /// The bank does not answer.
    pub async fn go_to_the_bank(&self, begun: &Begun) -> Result<Option<ReturnForm>> {
        match self.check_out(&begun.payment).await? {
            Some(Next::ThreeDs(page)) => self.pass_the_bank(begun, &page).await.map(Some),
            _ => Ok(None),
        }
    }

    /// Passes 3-D Secure, and does to the order and the charge what the flow wants meanwhile.
    async fn pass_the_bank(&self, begun: &Begun, page: &Url) -> Result<ReturnForm> {
        let Begun { payment, flow, .. } = begun;
        if *flow == Flow::EarlyCallback {
            self.call_back_early(page).await?;
        }
        let form = shopper::authenticate(page).await?;
        match flow {
            Flow::OrderGone => {
                self.counterparties
                    .delete_order(&payment.order.order_id)
                    .await?
            }
            Flow::OrderGoneSettled => {
                self.counterparties
                    .delete_order(&payment.order.order_id)
                    .await?;
                self.counterparties.settle(form.charge_id()?).await?;
            }
            _ => {}
        }
        Ok(form)
    }

    /// The bank sends the browser back, or notifies. Never both, because the calls would depend on which one is first.
    ///
    /// # Errors
    /// The bank does not answer.
    pub async fn come_back(&self, begun: &Begun, form: &ReturnForm) -> Result<()> {
        match begun.flow {
            Flow::NothingCalledBack => {}
            Flow::Notified => self.notify(form.charge_id()?).await?,
            _ => self.call_back(form).await,
        }
        Ok(())
    }

    /// Sends the form, and retries while the answer is an error. `None` if every answer is one.
    async fn check_out(&self, payment: &Payment) -> Result<Option<Next>> {
        let form = shopper::checkout_form(&self.outputs, &payment.order, &payment.token);
        for _ in 0..FORM_TRIES {
            if let Ok(next) = shopper::submit_checkout(&self.outputs, &form).await {
                return Ok(Some(next));
            }
        }
        Ok(None)
    }

    /// The browser posts the return. After an error the shopper reloads.
    async fn call_back(&self, form: &ReturnForm) {
        for _ in 0..CALL_TRIES {
            if let Ok(answer) = shopper::return_to_shop(form).await
                && answer.status < 500
            {
                break;
            }
        }
    }

    async fn call_back_early(&self, page: &Url) -> Result<()> {
        let charge = shopper::charge_of(page)?;
        let form = ReturnForm {
            action: format!("{}/callback", self.outputs.api_url),
            fields: [("objectId", charge.as_str()), ("status", "true")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
        };
        // The second one arrives while the execution of the first keeps asking the bank.
        self.call_back(&form).await;
        self.call_back(&form).await;
        self.operator.end_of(&charge, PATIENCE).await.map(drop)
    }

    /// The bank notifies, and retries until it gets a 200.
    async fn notify(&self, charge_id: &str) -> Result<()> {
        for _ in 0..CALL_TRIES {
            let sent = self.counterparties.notify(charge_id).await?;
            if sent["answer"] == 200 {
                break;
            }
        }
        Ok(())
    }

    /// Runs reconciliation until the record is closed or the payment is at its last age. Calls `at_rest` whenever
    /// nothing runs.
    async fn finish_payment(&self, payment: &Payment, at_rest: impl Fn()) -> Result<()> {
        for age in AGES {
            self.wait_for_executions(payment).await?;
            if self.is_closed(payment).await? {
                return Ok(());
            }
            at_rest();
            self.operator.make_older(&payment.key, age).await?;
            // After a run that died, the record stays due, so the next run handles it.
            self.operator.reconcile().await?.ok();
        }
        self.wait_for_executions(payment).await
    }

    /// Waits until no execution of the payment runs.
    async fn wait_for_executions(&self, payment: &Payment) -> Result<()> {
        let Some(record) = self.inspector.record_by_token(&payment.token).await? else {
            return Ok(());
        };
        let Some(charge) = record["chargeId"].as_str() else {
            return Ok(());
        };
        let id = ChargeId::new(charge).context("the record's charge id is invalid")?;
        let attempts = record["attempt"]
            .as_u64()
            .and_then(|attempt| attempt.try_into().ok());
        // An execution counts its attempt at its end, so one more may have started since.
        for attempt in 0..=attempts.unwrap_or(0) + 1 {
            let name = execution_name(&id, attempt);
            self.operator.end_of(&name, PATIENCE).await?;
        }
        Ok(())
    }

    /// Whether the record is closed, or there is none.
    async fn is_closed(&self, payment: &Payment) -> Result<bool> {
        let record = self.inspector.record_by_token(&payment.token).await?;
        Ok(record.is_none_or(|record| record["closedAt"].is_string()))
    }
}

/// How the shopper's visit ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shopper {
    /// Paid. The browser is back in the shop, or on the way there.
    Paid,
    /// Got only errors at checkout, and left.
    Left,
}

impl Begun {
    /// The flow.
    pub fn flow(&self) -> Flow {
        self.flow
    }

    /// The order that is paid.
    pub fn order_id(&self) -> &str {
        &self.payment.order.order_id
    }

    /// The refunds that are played.
    pub fn refunds(&self) -> &[PlayedRefund] {
        &self.refunds
    }

    /// The token of a known user's first payment.
    pub fn earlier_token(&self) -> Option<&str> {
        self.earlier.as_ref().map(|payment| payment.token.as_str())
    }

    /// The token of the other card for the same order.
    pub fn rival_token(&self) -> Option<&str> {
        self.rival
            .as_ref()
            .map(|(payment, _)| payment.token.as_str())
    }

    /// Allows the payment to leave one customer at the bank without a mapping. `found_later`: no log line names the
    /// customer until the owner pays again.
    pub fn allow_orphan(&mut self, found_later: bool) {
        self.subject.orphans_allowed = 1;
        self.orphan_is_found_later = found_later;
    }
}

/// A made-up person, different each time.
fn recipient() -> Recipient {
    let number = random::digits(9);
    Recipient {
        name: format!("Somsri Madeup-{number}"),
        phone: format!("+66-00-{number}"),
        address: format!("99/{number} Soi Nowhere, Watthana, Bangkok"),
        postcode: "10110".to_owned(),
    }
}
