//! The money invariants. Every charge that the bank authorised has paid its order or went back, and never both. Orders,
//! records, cards and events agree with that.
//!
//! Every test that breaks something uses this one check. It reads the bank, the tables and the events that the shop
//! received, and trusts none of them alone.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use serde_json::Value;

use crate::inspect::{BankToken, Inspector};
use crate::ledger::Ledger;
use crate::shop_api::{self, ReceivedEvent, VERIFICATION};

mod refunds;

pub use refunds::KnownRefunds;
use refunds::{AtBank, Refunds, Returned, baht_to_satang, is_about_refund};

/// The event of a card that could not be saved.
const CARD_FAILED: &str = "card.failed";

/// The payments of one customer of the shop. They are checked together, because they share orders and the bank's
/// customer.
#[derive(Debug, Clone, Default)]
pub struct Subject {
    /// The shop's customer.
    pub owner_id: String,
    /// Every order that was to be paid.
    pub order_ids: Vec<String>,
    /// Every card token that was sent to checkout.
    pub tokens: Vec<String>,
    /// How many customers at the bank may have no mapping: one for every lost answer to the creation of a customer,
    /// because the bank cannot be asked about it.
    pub orphans_allowed: usize,
    /// The orders that the shop removed, or whose payment it changed, after they were paid.
    pub changed_orders: BTreeSet<String>,
    /// Whether the deployment saves no cards, or not all of them.
    pub cards_not_saved: bool,
    /// What is known of refunds.
    pub refunds: KnownRefunds,
}

impl Subject {
    /// The payments of one customer, each with its order and its card token.
    pub fn of<'a>(payments: impl IntoIterator<Item = (&'a shop_api::Order, &'a str)>) -> Self {
        let mut subject = Self::default();
        for (order, token) in payments {
            subject.add(order, token);
        }
        subject
    }

    /// Adds a payment. A verification has no order.
    pub fn add(&mut self, order: &shop_api::Order, token: &str) {
        self.owner_id.clone_from(&order.owner_id);
        if !order.is_verification() && !self.order_ids.contains(&order.order_id) {
            self.order_ids.push(order.order_id.clone());
        }
        self.tokens.push(token.to_owned());
    }
}

/// How a payment ended, by the bank's charge and the order. Everything else must agree with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// Its charge paid the order.
    Paid,
    /// The bank had authorised it for an order, and the money went back.
    Reversed,
    /// The bank declined it.
    Declined,
    /// It verified a card, and the baht went back.
    Verified,
    /// The shopper never finished it at the bank: it was given up.
    Abandoned,
    /// The bank made no charge.
    NotCharged,
}

impl End {
    /// What the record of such a payment may be closed as.
    fn words(self) -> &'static [&'static str] {
        match self {
            Self::Paid => &["paid"],
            // The second where the bank was found to have given the money back already.
            Self::Reversed => &["reversed", "returned"],
            Self::Declined => &["declined"],
            Self::Verified => &["verified"],
            Self::Abandoned => &["abandoned"],
            Self::NotCharged => &["never-charged", "not-charged", "refused"],
        }
    }
}

/// How one payment ended, and what shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Its card token.
    pub token: String,
    /// Its end. None for an authorised charge that neither paid nor went back.
    pub end: Option<End>,
    /// Whether the owner's customer at the bank holds its card.
    pub card_saved: bool,
    /// Whether the shop was told that its card is not saved.
    pub card_failed: bool,
    /// Its charge, if the bank made one.
    pub charge: Option<String>,
    /// What its record was closed as.
    pub closed_as: Option<String>,
    /// The number of the attempt that its record counts.
    pub attempt: u32,
}

/// The invariants that do not hold, and what was seen of the payments.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    problems: Vec<String>,
    /// The customers at the bank that no mapping names.
    pub orphans: usize,
    /// How each payment ended, in the order of the subject's tokens.
    pub ended: Vec<Ended>,
}

impl Findings {
    /// Whether every invariant holds.
    pub fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }

    /// Adds a finding of another check.
    pub fn note(&mut self, finding: impl Into<String>) {
        self.problems.push(finding.into());
    }

    /// Adds this one unless it holds.
    pub fn check(&mut self, holds: bool, finding: impl FnOnce() -> String) {
        if !holds {
            self.note(finding());
        }
    }
}

impl std::fmt::Display for Findings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.problems.as_slice() {
            [] => f.write_str("every invariant holds"),
            findings => f.write_str(&findings.join("; ")),
        }
    }
}

/// Checks the invariants.
///
/// # Panics
/// An invariant does not hold, or the environment does not answer.
pub async fn assert_invariants(inspector: &Inspector, subject: &Subject) {
    let findings = examine(inspector, subject)
        .await
        .unwrap_or_else(|error| panic!("the invariants cannot be checked: {error:#}"));
    assert!(
        findings.is_empty(),
        "an invariant does not hold: {findings}"
    );
}

/// Checks the invariants for the payments of a subject. Every payment must have ended: an open record is a finding.
///
/// # Errors
/// The environment does not answer.
pub async fn examine(inspector: &Inspector, subject: &Subject) -> Result<Findings> {
    judge(subject, gather(inspector, subject).await?)
}

/// As [`examine`], by what was read already.
///
/// # Errors
/// A ledger of refunds cannot be read.
pub fn judge(subject: &Subject, seen: Seen) -> Result<Findings> {
    let evidence = Evidence::of(subject, seen)?;
    let mut findings = Findings::default();
    for order_id in &subject.order_ids {
        evidence.check_order(order_id, &mut findings);
        evidence.check_shown(order_id, &mut findings);
    }
    for payment in &evidence.payments {
        evidence.check_payment(payment, &mut findings);
    }
    evidence.check_refunds(&subject.refunds, &mut findings);
    evidence.check_customer(subject, &mut findings);
    findings.ended = evidence.ended();
    Ok(findings)
}

/// Everything that is stored about a subject.
#[derive(Debug, Clone)]
pub struct Seen {
    /// From when until when its payments were played, in seconds since 1970.
    pub played: (i64, i64),
    /// The subject's orders, by their ids.
    pub orders: BTreeMap<String, OrderSeen>,
    /// The subject's payments, in the order of its tokens.
    pub payments: Vec<PaymentSeen>,
    /// The mapping of the owner to the bank's customer.
    pub mapping: Option<Value>,
}

/// What is stored about an order.
#[derive(Debug, Clone, Default)]
pub struct OrderSeen {
    /// Its item.
    pub item: Option<Value>,
    /// The row of the table check-status.
    pub check_status: Option<Value>,
    /// What `/checkstatus` answers.
    pub shown: Option<Value>,
}

/// What is stored about a payment.
#[derive(Debug, Clone)]
pub struct PaymentSeen {
    /// Its card token.
    pub token: String,
    /// Its record.
    pub record: Option<Value>,
    /// What the bank did with the token.
    pub at_bank: BankToken,
    /// Every delivery of an event about its charge, oldest first.
    pub events: Vec<ReceivedEvent>,
    /// The rows of its charge in the table of outcomes.
    pub outcomes: Vec<Value>,
}

/// Reads everything that is stored about a subject.
async fn gather(inspector: &Inspector, subject: &Subject) -> Result<Seen> {
    let mut orders = BTreeMap::new();
    for id in &subject.order_ids {
        let order = OrderSeen {
            item: inspector.order(id).await?,
            check_status: inspector.check_status(id).await?,
            shown: inspector.shown_status(id).await?,
        };
        orders.insert(id.clone(), order);
    }
    let mut payments = Vec::new();
    for token in &subject.tokens {
        let at_bank = inspector.bank_token(token).await?;
        let charge = at_bank.charges.first().map(Charge::read);
        let (events, outcomes) = match &charge {
            Some(charge) => (
                inspector.shop_events_of_charge(&charge.id).await?,
                inspector.outcomes(&charge.id).await?,
            ),
            None => Default::default(),
        };
        payments.push(PaymentSeen {
            token: token.clone(),
            record: inspector.record_by_token(token).await?,
            at_bank,
            events,
            outcomes,
        });
    }
    let now = jiff::Timestamp::now().as_second();
    Ok(Seen {
        played: (now - 86_400, now),
        orders,
        payments,
        mapping: inspector.mapping(&subject.owner_id).await?,
    })
}

/// What was seen, as the invariants need it.
struct Evidence {
    played: (i64, i64),
    orders: BTreeMap<String, OrderSeen>,
    /// The orders of which only the records can tell whether they are paid.
    changed_orders: BTreeSet<String>,
    cards_not_saved: bool,
    payments: Vec<Payment>,
    mapping: Option<Value>,
    /// The bank's customers that hold any of the subject's cards, by their id.
    customers: BTreeMap<String, Value>,
}

/// A card token and what became of it.
struct Payment {
    token: String,
    record: Option<Value>,
    ledger: Ledger,
    charge: Option<Charge>,
    /// How many charges were made with the token. The bank excludes more than one.
    charges: usize,
    /// Without those about refunds.
    events: Vec<ReceivedEvent>,
    refund_events: Vec<ReceivedEvent>,
    outcomes: Vec<Value>,
    holders: Vec<String>,
}

#[derive(Debug, Clone)]
struct Charge {
    id: String,
    state: String,
    amount: String,
    order_id: String,
    /// When it came into its state.
    since: Option<jiff::Timestamp>,
    /// Whether the issuer declined it, and approved it after all.
    declined_before: bool,
    /// Whether the bank's dialect shows a decline as if the shopper were still at 3-D Secure.
    hides_declines: bool,
    returned: Returned,
}

impl Charge {
    fn read(charge: &Value) -> Self {
        let text = |field: &str| charge[field].as_str().unwrap_or_default().to_owned();
        let mut history = charge["history"].as_array().into_iter().flatten();
        let declined = history.any(|event| event["transaction_state"] == "Declined");
        let refunds = charge["refunds"].as_array().into_iter().flatten();
        let refunds = refunds.map(|refund| AtBank {
            id: refund["refund_id"].as_str().unwrap_or_default().to_owned(),
            satang: baht_to_satang(&baht(&refund["amount"])),
            by_hand: refund["by"] == "portal",
        });
        Self {
            returned: Returned {
                voided: text("transaction_state") == "Voided",
                refunds: refunds.collect(),
            },
            id: text("id"),
            state: text("transaction_state"),
            since: charge["history"]
                .as_array()
                .and_then(|history| history.last()?["at"].as_str()?.parse().ok()),
            declined_before: declined && text("transaction_state") != "Declined",
            hides_declines: matches!(
                text("dialect").as_str(),
                "fail-with-pre-authorized" | "fail-with-initialized"
            ),
            // A number or a string, as the bank likes.
            amount: baht(&charge["amount"]),
            order_id: text("ref_1"),
        }
    }

    /// The bank holds the shopper's money for us.
    fn is_authorised(&self) -> bool {
        matches!(self.state.as_str(), "Authorized" | "Settled")
    }

    fn is_returned(&self) -> bool {
        matches!(self.state.as_str(), "Voided" | "Refund Sent")
    }

    /// The shopper has not been through 3-D Secure.
    fn is_waiting(&self) -> bool {
        self.state == "Pre-Authorized"
    }

    fn is_verification(&self) -> bool {
        self.order_id == VERIFICATION
    }
}

impl Evidence {
    fn of(subject: &Subject, seen: Seen) -> Result<Self> {
        let mut customers = BTreeMap::new();
        for customer in seen
            .payments
            .iter()
            .flat_map(|payment| &payment.at_bank.customers)
        {
            let id = customer["id"].as_str().unwrap_or_default();
            customers.insert(id.to_owned(), customer.clone());
        }
        let payments = seen.payments.into_iter().map(Payment::of);
        Ok(Self {
            played: seen.played,
            orders: seen.orders,
            changed_orders: subject.changed_orders.clone(),
            cards_not_saved: subject.cards_not_saved,
            payments: payments.collect::<Result<_>>()?,
            mapping: seen.mapping,
            customers,
        })
    }

    /// An order is paid once, by an authorised charge of the same amount.
    fn check_order(&self, order_id: &str, findings: &mut Findings) {
        let order = &self.orders[order_id];
        if self.changed_orders.contains(order_id) {
            return;
        }
        let Some(payment) = order.item.as_ref().map(|item| &item["data"]["payment"]) else {
            return;
        };
        if payment["isPaid"] != true {
            return;
        }
        let by = payment["paymentId"].as_str().unwrap_or_default();
        let Some(charge) = self.charge(by) else {
            // A charge of somebody else paid it. Then none of the subject's charges may have.
            return;
        };
        // What went back of it is a matter of the ledger.
        findings.check(charge.is_authorised() || charge.is_returned(), || {
            format!("order paid by charge {by}, which is {}", charge.state)
        });
        findings.check(charge.order_id == order_id, || {
            format!("order paid by charge {by} of another order")
        });
        check_shape(order_id, payment, self.played, findings);
        let total = baht(&payment["grandTotal"]);
        findings.check(charge.amount == total, || {
            format!(
                "order over {total} paid by charge {by} over {}",
                charge.amount
            )
        });
        let log = payment["paymentLog"].as_array().into_iter().flatten();
        let paid = log.filter(|line| {
            let line = line.as_str().unwrap_or_default();
            let line: Value = serde_json::from_str(line).unwrap_or_default();
            line["event"] == "paid"
        });
        let paid = paid.count();
        findings.check(paid == 1, || {
            format!("the order's payment log says {paid} times that it is paid")
        });
    }

    /// What went back of each paid order.
    fn check_refunds(&self, known: &KnownRefunds, findings: &mut Findings) {
        for payment in &self.payments {
            let paid = payment.charge.as_ref().filter(|charge| self.pays(charge));
            if let Some(charge) = paid {
                self.refunds(payment, charge, known).check(findings);
            } else {
                let none = payment.ledger == Ledger::default() && payment.refund_events.is_empty();
                findings.check(none, || "a refund of a payment that paid no order".into());
            }
        }
    }

    fn refunds<'a>(
        &'a self,
        payment: &'a Payment,
        charge: &'a Charge,
        known: &'a KnownRefunds,
    ) -> Refunds<'a> {
        let order = self.orders.get(&charge.order_id);
        let item = order.and_then(|order| order.item.as_ref());
        let changed = self.changed_orders.contains(&charge.order_id);
        Refunds {
            charge: &charge.id,
            paid: baht_to_satang(&charge.amount),
            ledger: &payment.ledger,
            returned: &charge.returned,
            payment: item
                .filter(|_| !changed)
                .map(|item| &item["data"]["payment"]),
            row: order.and_then(|order| order.check_status.as_ref()),
            has_address: !charge.order_id.contains('/'),
            shown: order.and_then(|order| order.shown.as_ref()),
            events: payment.refund_events.iter().collect(),
            known,
        }
    }

    /// What apps are shown for a charge that paid.
    fn paid_as(&self, charge: &Charge) -> &'static str {
        let known = KnownRefunds::default();
        let of = |payment: &&Payment| {
            let its = payment.charge.as_ref();
            its.is_some_and(|its| its.id == charge.id)
        };
        let payment = self.payments.iter().find(of);
        payment.map_or("paid", |payment| {
            self.refunds(payment, charge, &known).status()
        })
    }

    /// Apps are shown that the order is paid, or how one of its payments failed.
    fn check_shown(&self, order_id: &str, findings: &mut Findings) {
        let order = &self.orders[order_id];
        if self.is_paid_by_another(order) {
            return;
        }
        let charges = || {
            self.payments
                .iter()
                .filter_map(|payment| payment.charge.as_ref())
                .filter(|charge| charge.order_id == order_id)
        };
        let named = order
            .check_status
            .as_ref()
            .and_then(|row| row["chargeId"].as_str());
        let paid = charges().find(|charge| self.pays(charge));
        let right = match (paid, named) {
            (Some(charge), _) => Some((charge, self.paid_as(charge))),
            (None, Some(id)) => charges()
                .find(|charge| charge.id == id)
                .zip(self.charge(id).and_then(|charge| self.failed_as(charge))),
            (None, None) => None,
        };
        let told = order.shown.as_ref().map(|shown| {
            let text = |field: &str| shown[field].as_str().unwrap_or_default().to_owned();
            (text("status"), text("amount"))
        });
        let must = right.map(|(charge, status)| (status.to_owned(), charge.amount.clone()));
        let none_was_made = charges().next().is_none();
        // The API has no address for an id with a slash. Only strangers send such an id.
        let as_told = told == must || order_id.contains('/');
        findings.check(as_told && (must.is_some() || none_was_made), || {
            format!("apps are told {told:?} of order {order_id}, and not {must:?}")
        });
        findings.check(right.is_none_or(|(charge, _)| named == Some(&charge.id)), || {
            format!("the check status of order {order_id} names charge {named:?}, not the one that paid")
        });
    }

    /// What apps are shown for a charge that did not pay.
    fn failed_as(&self, charge: &Charge) -> Option<&'static str> {
        match self.end_of(charge)? {
            End::Reversed | End::Verified => Some("reversed"),
            End::Declined | End::Abandoned => Some("declined"),
            End::Paid | End::NotCharged => None,
        }
    }

    /// How each payment ended.
    fn ended(&self) -> Vec<Ended> {
        let ended = |payment: &Payment| {
            let text = |field: &str| payment.record.as_ref()?[field].as_str().map(str::to_owned);
            let attempt = payment
                .record
                .as_ref()
                .and_then(|record| record["attempt"].as_u64());
            let charge = payment.charge.as_ref();
            Ended {
                token: payment.token.clone(),
                end: charge.map_or(Some(End::NotCharged), |charge| self.end_of(charge)),
                card_saved: self.holds_card(payment),
                card_failed: payment.has_event(CARD_FAILED),
                charge: charge.map(|charge| charge.id.clone()),
                closed_as: text("closedAs"),
                attempt: attempt
                    .and_then(|attempt| attempt.try_into().ok())
                    .unwrap_or(0),
            }
        };
        self.payments.iter().map(ended).collect()
    }

    fn end_of(&self, charge: &Charge) -> Option<End> {
        if self.pays(charge) {
            return Some(End::Paid);
        }
        match (
            charge.is_returned(),
            charge.is_authorised(),
            charge.is_verification(),
        ) {
            (true, _, true) => Some(End::Verified),
            (true, _, false) => Some(End::Reversed),
            (false, true, _) => None,
            (false, false, _) if charge.is_waiting() => Some(End::Abandoned),
            (false, false, _) => Some(End::Declined),
        }
    }

    /// Whether the customer whom the owner's mapping names holds the payment's card.
    fn holds_card(&self, payment: &Payment) -> bool {
        let mapped = self.mapped();
        payment.holders.iter().any(|id| Some(id.as_str()) == mapped)
    }

    fn mapped(&self) -> Option<&str> {
        self.mapping.as_ref()?["kbank_id"].as_str()
    }

    fn check_payment(&self, payment: &Payment, findings: &mut Findings) {
        findings.check(payment.charges <= 1, || {
            format!("{} charges with one token", payment.charges)
        });
        match &payment.charge {
            Some(charge) => self.check_charge(payment, charge, findings),
            None => check_uncharged(payment, findings),
        }
    }

    fn check_charge(&self, payment: &Payment, charge: &Charge, findings: &mut Findings) {
        let id = &charge.id;
        let pays = self.pays(charge);
        if charge.is_authorised() {
            findings.check(pays, || {
                format!(
                    "charge {id} is {} and neither paid nor went back",
                    charge.state
                )
            });
        }
        let Some(record) = &payment.record else {
            findings.note(format!("charge {id} has no record"));
            return;
        };
        check_closed(record, findings);
        if let (Some(end), Some(closed_as)) = (self.end_of(charge), record["closedAs"].as_str()) {
            let closed_at = record["closedAt"].as_str().and_then(|at| at.parse().ok());
            // A shopper may end at the bank what was given up a week after the checkout.
            let late = charge.since > closed_at || charge.hides_declines;
            let given_up = closed_as == "abandoned" && end == End::Declined && late;
            findings.check(end.words().contains(&closed_as) || given_up, || {
                format!("charge {id} ended as {end:?}, and its record is closed as {closed_as}")
            });
        }
        findings.check(record["chargeId"] == id.as_str(), || {
            format!("the record of charge {id} names {}", record["chargeId"])
        });
        let resolution = record["resolution"].as_str();
        findings.check((resolution == Some("orderPaid")) == pays, || {
            format!("charge {id}: the record says {resolution:?}, the order says paid = {pays}")
        });
        let outcome = record["outcome"].as_str().unwrap_or_default();
        // The resolution may be missing where a later attempt learned of the reversal from the bank.
        let went_back = resolution == Some("reversed") || outcome == "returned";
        // What went back of a paid order is in its ledger.
        let must = charge.is_returned() && !pays;
        findings.check(went_back == must, || {
            format!(
                "charge {id}: the record says {outcome} and {resolution:?}, the bank {}",
                charge.state
            )
        });
        let fits = match outcome {
            "paid" => charge.is_authorised() || charge.is_returned(),
            "returned" => charge.is_returned(),
            "declined" => !charge.is_authorised() && !charge.is_returned(),
            _ => false,
        };
        findings.check(fits, || {
            format!(
                "charge {id}: the record says {outcome}, the bank {}",
                charge.state
            )
        });
        let abandoned = record["closedAs"] == "abandoned";
        let noted = payment.outcomes.iter().any(|row| row["outcome"] == outcome);
        findings.check(noted || abandoned, || {
            format!("charge {id}: no row for its outcome {outcome}")
        });
        let card_failed = payment.has_event(CARD_FAILED);
        let mut expected = BTreeSet::from([match (outcome, charge.is_verification()) {
            ("paid" | "returned", true) if !card_failed => "card.saved",
            (_, true) => CARD_FAILED,
            ("paid", false) if pays => "payment.succeeded",
            ("paid" | "returned", false) => "payment.reversed",
            (_, false) => "payment.failed",
        }]);
        if abandoned {
            expected.clear();
        }
        // What was true when it was told.
        if charge.declined_before && payment.has_event("payment.failed") {
            expected.insert("payment.failed");
        }
        // A second event says that this order's card could not be saved.
        if card_failed {
            expected.insert(CARD_FAILED);
            // A later attempt may save a card that an earlier one could not, if the shop had not taken that event.
            let last = payment.events.last().map(ReceivedEvent::kind);
            // What a decline made true may be told last: events say when they happened.
            let last_but_decline = last == Some("card.saved")
                || charge.declined_before && payment.has_event("card.saved");
            let saved_later = charge.is_verification() && last_but_decline;
            if saved_later && self.holds_card(payment) {
                expected.insert("card.saved");
            }
        }
        check_events(id, &payment.events, &expected, findings);
        let settled = pays || (charge.is_verification() && charge.is_returned());
        // The bank keeps no card of a declined charge, nor the record its token.
        let no_card = !settled || self.cards_not_saved && pays || charge.declined_before;
        findings.check(no_card || card_failed || self.holds_card(payment), || {
            format!("the card of charge {id} is not with the owner's customer, and nobody was told")
        });
    }

    /// The bank has one customer of the owner. The mapping names it, and it holds no card twice.
    fn check_customer(&self, subject: &Subject, findings: &mut Findings) {
        let mapped = self.mapped();
        let orphans = self
            .customers
            .keys()
            .filter(|id| Some(id.as_str()) != mapped)
            .count();
        findings.orphans = orphans;
        findings.check(orphans <= subject.orphans_allowed, || {
            format!("{orphans} customers at the bank that no mapping names")
        });
        for customer in self.customers.values() {
            let cards: Vec<_> = customer["cards"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|card| card["id"].as_str().unwrap_or_default())
                .collect();
            let different: BTreeSet<_> = cards.iter().collect();
            findings.check(different.len() == cards.len(), || {
                "a card is saved twice with one customer".into()
            });
        }
    }

    /// Whether a charge of somebody else has paid an order.
    fn is_paid_by_another(&self, order: &OrderSeen) -> bool {
        let payment = order.item.as_ref().map(|item| &item["data"]["payment"]);
        payment.is_some_and(|payment| {
            let by = payment["paymentId"].as_str().unwrap_or_default();
            payment["isPaid"] == true && self.charge(by).is_none()
        })
    }

    fn pays(&self, charge: &Charge) -> bool {
        if self.changed_orders.contains(&charge.order_id) {
            let record = self.payments.iter().find_map(|payment| {
                let its = payment.charge.as_ref()?;
                (its.id == charge.id).then_some(payment.record.as_ref()?)
            });
            return record.is_some_and(|record| record["resolution"] == "orderPaid");
        }
        self.orders.get(&charge.order_id).is_some_and(|order| {
            order.item.as_ref().is_some_and(|item| {
                let payment = &item["data"]["payment"];
                payment["isPaid"] == true && payment["paymentId"] == charge.id.as_str()
            })
        })
    }

    fn charge(&self, id: &str) -> Option<&Charge> {
        self.payments
            .iter()
            .filter_map(|payment| payment.charge.as_ref())
            .find(|charge| charge.id == id)
    }
}

impl Payment {
    fn of(seen: PaymentSeen) -> Result<Self> {
        let (refund_events, events) = seen.events.into_iter().partition(is_about_refund);
        let ledger = seen.record.as_ref().map(Ledger::of).transpose()?;
        let holders = seen.at_bank.customers.iter();
        let holders = holders.filter_map(|customer| customer["id"].as_str().map(str::to_owned));
        Ok(Self {
            token: seen.token,
            ledger: ledger.unwrap_or_default(),
            record: seen.record,
            refund_events,
            charges: seen.at_bank.charges.len(),
            charge: seen.at_bank.charges.first().map(Charge::read),
            events,
            outcomes: seen.outcomes,
            holders: holders.collect(),
        })
    }
}

impl Payment {
    fn has_event(&self, kind: &str) -> bool {
        self.events.iter().any(|event| event.kind() == kind)
    }
}

/// The payment of a paid order has only fields of the merchant's published schema, each of its type, and says what was
/// paid and when.
fn check_shape(order_id: &str, payment: &Value, played: (i64, i64), findings: &mut Findings) {
    for (field, value) in payment.as_object().into_iter().flatten() {
        let fits = match field.as_str() {
            "isPaid" => value.is_boolean(),
            "status" | "remark" | "gbpReferenceNo" => value.is_string(),
            "paymentId" | "paymentMethod" => value.is_string() || value.is_null(),
            "paymentDate" => value.is_number() || value.is_null(),
            "paymentLog" => value
                .as_array()
                .is_some_and(|log| log.iter().all(Value::is_string)),
            "timestamp" | "subTotal" | "shippingAmount" | "expressFeeAmount" | "discountAmount"
            | "grandTotal" | "totalPaid" => value.is_number(),
            _ => false,
        };
        findings.check(fits, || {
            format!("order {order_id}: the shop's schema does not allow {field} = {value}")
        });
    }
    let total = baht(&payment["grandTotal"]);
    let paid = baht(&payment["totalPaid"]);
    findings.check(paid == total, || {
        format!("order {order_id} over {total} says that {paid} was paid")
    });
    for time in ["paymentDate", "timestamp"] {
        let seconds = payment[time].as_i64().unwrap_or_default();
        let while_played = played.0 - 60..=played.1 + 60;
        findings.check(while_played.contains(&seconds), || {
            format!("order {order_id} has {time} = {}", payment[time])
        });
    }
}

/// A checkout without a charge is closed as one.
fn check_uncharged(payment: &Payment, findings: &mut Findings) {
    let Some(record) = &payment.record else {
        return;
    };
    check_closed(record, findings);
    let closed_as = record["closedAs"].as_str().unwrap_or_default();
    findings.check(End::NotCharged.words().contains(&closed_as), || {
        format!("the bank made no charge, and the record is closed as {closed_as:?}")
    });
}

fn check_closed(record: &Value, findings: &mut Findings) {
    let key = record["tokenId"].as_str().unwrap_or_default();
    let key = key.get(..8).unwrap_or(key);
    findings.check(record["closedAt"].is_string(), || {
        format!(
            "record {key}… is open: outcome {}, resolution {}, attempt {}",
            record["outcome"], record["resolution"], record["attempt"]
        )
    });
    for open in ["openShard", "lookAgainAt", "token"] {
        let closed = record["closedAt"].is_string();
        findings.check(!closed || record.get(open).is_none(), || {
            format!("record {key}… is closed and still has {open}")
        });
    }
}

/// The shop received exactly the expected kinds of events. Each kind has one id, however often it was sent.
fn check_events(
    id: &str,
    events: &[ReceivedEvent],
    expected: &BTreeSet<&str>,
    findings: &mut Findings,
) {
    findings.check(events.iter().all(|event| event.verified), || {
        format!("charge {id}: an event that does not verify")
    });
    let kinds: BTreeSet<&str> = events.iter().map(ReceivedEvent::kind).collect();
    let ids: BTreeSet<&str> = events.iter().map(|event| event.id.as_str()).collect();
    findings.check(kinds == *expected, || {
        format!("charge {id}: the shop was told {kinds:?}, not {expected:?}")
    });
    findings.check(ids.len() == kinds.len(), || {
        format!("charge {id}: {} ids for {} events", ids.len(), kinds.len())
    });
    let accepted = events.iter().any(|event| event.answered == 204);
    findings.check(accepted || expected.is_empty(), || {
        format!("charge {id}: no event was accepted")
    });
}

/// An amount with two decimals, whether it came as a number or as text.
fn baht(amount: &Value) -> String {
    let text = match amount {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    payment3_activities::domain::money::Satang::parse_shop(&text)
        .map_or(text, |satang| satang.to_string())
}
