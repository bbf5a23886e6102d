//! Where every payment must be in the end, by what happened to it: not merely in order, but as good as it could be. An
//! order that could have been paid is paid; nothing goes back that need not; and what a person must decide stands where
//! a person finds it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use payment3_harness::invariants::{self, KnownRefunds, OrderSeen, PaymentSeen, Seen, Subject};
use payment3_harness::ledger::{ELSEWHERE, EntryState, Ledger};
use serde_json::Value;

use crate::items;
use crate::logs::Line;
use crate::world::Change;

/// What is known of one shopper in the end: what the shopper and the shop did, and what everybody has written down.
pub(crate) struct Account {
    /// The shopper's name.
    pub(crate) name: String,
    /// The shop's customer.
    pub(crate) owner: String,
    /// The orders, with what the shop did to each, and when.
    pub(crate) orders: BTreeMap<String, Vec<(Timestamp, Change)>>,
    /// The payments, in the order of their tokens.
    pub(crate) payments: Vec<PaymentSeen>,
    /// What is stored about the orders.
    pub(crate) seen: BTreeMap<String, OrderSeen>,
    /// The mapping of the owner to the bank's customer.
    pub(crate) mapping: Option<Value>,
}

/// What the whole run says about everybody.
pub(crate) struct Circumstances {
    /// From when until when it was played, in seconds since 1970.
    pub(crate) played: (i64, i64),
    /// Lines that alarms count.
    pub(crate) alarms: Vec<Line>,
    /// Charges whose portal somebody worked in.
    pub(crate) by_hand: BTreeSet<String>,
    /// Since when the bank has answered inquiries by reference about every charge that the deployment asks for: what
    /// another key charged it does not know. `None` where it answers none, or the deployment does not know it.
    pub(crate) finds_by_reference: Option<Timestamp>,
    /// The charges that the former system made.
    pub(crate) former: BTreeSet<String>,
    /// Whether the deployment saves no cards, or not all of them.
    pub(crate) cards_not_saved: bool,
    /// How many customers may have been created at the bank without an answer.
    pub(crate) orphans_allowed: usize,
}

/// What became of a shopper's payments, in numbers.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Payments.
    pub(crate) payments: usize,
    /// Paid orders.
    pub(crate) paid: usize,
    /// Authorised charges whose money went back.
    pub(crate) reversed: usize,
    /// Payments that stand for a person.
    pub(crate) standing: usize,
}

impl Tally {
    /// Both together.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            payments: self.payments + other.payments,
            paid: self.paid + other.paid,
            reversed: self.reversed + other.reversed,
            standing: self.standing + other.standing,
        }
    }
}

/// The bank's charge of a payment.
struct Charge<'a> {
    id: &'a str,
    order: &'a str,
    state: &'a str,
    authorised_once: bool,
    /// When its state changed last.
    changed_at: Option<Timestamp>,
}

impl<'a> Charge<'a> {
    fn of(payment: &'a PaymentSeen) -> Option<Self> {
        let charge = payment.at_bank.charges.first()?;
        let text = |field: &str| charge[field].as_str().unwrap_or_default();
        let mut history = charge["history"].as_array().into_iter().flatten();
        let last = history.clone().next_back();
        let at = last.and_then(|event| event["at"].as_str());
        Some(Self {
            changed_at: at.and_then(|at| at.parse().ok()),
            id: text("id"),
            order: text("ref_1"),
            state: text("transaction_state"),
            authorised_once: history.any(|event| {
                let state = event["transaction_state"]
                    .as_str()
                    .or_else(|| event["transactionState"].as_str());
                matches!(state, Some("Authorized" | "Settled"))
            }),
        })
    }

    fn holds_money(&self) -> bool {
        matches!(self.state, "Authorized" | "Settled")
    }

    fn went_back(&self) -> bool {
        matches!(self.state, "Voided" | "Refund Sent")
    }
}

/// Judges a shopper's payments. Adds what is wrong to `findings`.
pub(crate) fn judge(
    account: &Account,
    circumstances: &Circumstances,
    findings: &mut Vec<String>,
) -> Tally {
    let mut tally = Tally::default();
    let mut standing = BTreeSet::new();
    for payment in &account.payments {
        tally.payments += 1;
        if is_formers(payment, circumstances) {
            standing.insert(payment.token.clone());
            continue;
        }
        let mut find = |what: String| findings.push(format!("{}: {what}", account.name));
        let charge = Charge::of(payment);
        let is_open = payment
            .record
            .as_ref()
            .is_some_and(|record| record.get("closedAt").is_none());
        if is_open {
            standing.insert(payment.token.clone());
            tally.standing += 1;
            if let Some(problem) = wrongly_open(account, payment, charge.as_ref(), circumstances) {
                find(problem);
            }
            continue;
        }
        let Some(charge) = charge else { continue };
        let pays = pays(account, &charge);
        tally.paid += usize::from(pays);
        if !charge.authorised_once || charge.order == "ADDCARD" || pays {
            continue;
        }
        if charge.holds_money() {
            find(format!(
                "charge {} holds money that has paid nothing, and its record is closed",
                charge.id
            ));
            continue;
        }
        tally.reversed += 1;
        if let Some(problem) = needlessly_reversed(account, &charge, circumstances) {
            find(problem);
        }
    }
    check_invariants(account, circumstances, &standing, findings);
    tally
}

fn pays(account: &Account, charge: &Charge<'_>) -> bool {
    let item = account
        .seen
        .get(charge.order)
        .and_then(|order| order.item.as_ref());
    let by_order = item.is_some_and(|item| {
        let payment = &item["data"]["payment"];
        payment["isPaid"] == true && payment["paymentId"] == charge.id
    });
    by_order
        || account.payments.iter().any(|payment| {
            let record = payment.record.as_ref();
            record.is_some_and(|record| {
                record["chargeId"] == charge.id && record["resolution"] == "orderPaid"
            })
        })
}

/// Why an open record is wrong: what is open in the end must wait for a person who has been told.
fn wrongly_open(
    account: &Account,
    payment: &PaymentSeen,
    charge: Option<&Charge<'_>>,
    circumstances: &Circumstances,
) -> Option<String> {
    let record = payment.record.as_ref()?;
    let of = |line: &Line| {
        let about = |field: &str, value: &Value| {
            line.get(field)
                .is_some_and(|text| Some(text.as_str()) == value.as_str())
        };
        about("chargeId", &record["chargeId"]) || about("recordKey", &record["tokenId"])
    };
    let told: Vec<_> = circumstances
        .alarms
        .iter()
        .filter(|line| of(line))
        .collect();
    let because = |name: &str| {
        told.iter()
            .any(|line| line.values().any(|text| text == name))
    };
    let short = record["tokenId"].as_str().unwrap_or_default();
    let short = short.get(..8).unwrap_or(short);
    if record.get("chargeId").is_none() {
        // Nobody can tell whether it was charged, unless the bank finds by reference.
        if !because("OrphanCheckout") {
            return Some(format!(
                "record {short} has no charge, is open, and nobody was told"
            ));
        }
        let begun = record["createdAt"].as_str();
        let begun = begun.and_then(|at| at.parse::<Timestamp>().ok());
        let since = circumstances.finds_by_reference;
        let found = since.is_some_and(|since| begun > Some(since));
        return found.then(|| {
            let charge = charge.map_or("none", |charge| charge.id);
            format!("record {short} stands, though this bank finds by reference: it has {charge}")
        });
    }
    let id = charge.map_or("of the bank", |charge| charge.id);
    if !because("definite") {
        return Some(format!(
            "charge {id}: its record is open and nobody was told: outcome {}, resolution {}, attempt {}",
            record["outcome"], record["resolution"], record["attempt"]
        ));
    }
    // Of another system's money a person decides: whether it may go back, and what it was for where the shop has changed
    // the order since.
    let former = circumstances.former.contains(id);
    let of_former = |charge: &Charge<'_>| {
        // Started by hand once the token is free, it is told of by the name under which it failed first.
        ((because("RefusalNeedsPerson") || because("TokenReused")) && was_refused(account, charge))
            || (because("ChargeMismatch") && was_changed(account, charge))
    };
    let excused = circumstances.by_hand.contains(id) || (former && charge.is_some_and(of_former));
    (!excused)
        .then(|| format!("charge {id} stands for a person, and nothing happened that needs one"))
}

/// Whether it is the former system's own affair: nobody has told this one of its charge, or a person was told that its
/// record cannot be copied.
fn is_formers(payment: &PaymentSeen, circumstances: &Circumstances) -> bool {
    let charge = payment.at_bank.charges.first();
    let id = charge.and_then(|charge| charge["id"].as_str());
    let told = |line: &Line| {
        let has = |text: &str| line.values().any(|value| value == text);
        (has("TokenReused") || has("ItemUnreadable")) && id.is_some_and(has)
    };
    let is_copied = |record: &Value| id.is_some_and(|id| record["chargeId"] == id);
    id.is_some_and(|id| circumstances.former.contains(id))
        && !payment.record.as_ref().is_some_and(is_copied)
        && (!was_told(payment) || circumstances.alarms.iter().any(told))
}

/// Whether the bank has told of the charge, and was answered that it is taken.
fn was_told(payment: &PaymentSeen) -> bool {
    let charges = payment.at_bank.charges.iter();
    let mut told =
        charges.flat_map(|charge| charge["notifications"].as_array().into_iter().flatten());
    told.any(|notification| notification["answer"] == 200)
}

/// Whether the shop has changed the order.
fn was_changed(account: &Account, charge: &Charge<'_>) -> bool {
    let changes = account.orders.get(charge.order);
    changes.is_some_and(|changes| changes.iter().any(|(_, change)| *change != Change::Track))
}

/// Whether the order could not be paid by this charge: another had paid it, or the shop had changed it.
fn was_refused(account: &Account, charge: &Charge<'_>) -> bool {
    let paid_by_another = account.payments.iter().any(|payment| {
        Charge::of(payment).is_some_and(|other| {
            other.id != charge.id && other.order == charge.order && pays(account, &other)
        })
    });
    // What the shop did later has refused nothing.
    let refused = |(at, change): &(Timestamp, Change)| {
        *change != Change::Track && charge.changed_at.is_none_or(|changed_at| *at <= changed_at)
    };
    let changes = account.orders.get(charge.order);
    let refused = changes.is_some_and(|changes| changes.iter().any(refused));
    paid_by_another || refused
}

/// Why a reversal was needless.
fn needlessly_reversed(
    account: &Account,
    charge: &Charge<'_>,
    circumstances: &Circumstances,
) -> Option<String> {
    let excused = was_refused(account, charge) || circumstances.by_hand.contains(charge.id);
    (charge.went_back() && !excused).then(|| {
        format!(
            "charge {} was reversed, and could have paid order {}",
            charge.id, charge.order
        )
    })
}

/// The invariants that hold in every world, of all payments that have ended and all orders without one that stands.
fn check_invariants(
    account: &Account,
    circumstances: &Circumstances,
    standing: &BTreeSet<String>,
    findings: &mut Vec<String>,
) {
    let (stands, ended): (Vec<_>, Vec<_>) = account
        .payments
        .iter()
        .cloned()
        .partition(|payment| standing.contains(&payment.token));
    let order_of = |payment: &PaymentSeen| {
        let order = payment.record.as_ref()?["orderId"].as_str()?;
        Some(order.to_owned())
    };
    let held: BTreeSet<_> = stands.iter().filter_map(order_of).collect();
    let changed: BTreeSet<String> = account
        .orders
        .iter()
        .filter(|(_, changes)| changes.iter().any(|(_, change)| *change != Change::Track))
        .map(|(order, _)| order.clone())
        .collect();
    let subject = Subject {
        owner_id: account.owner.clone(),
        order_ids: account
            .orders
            .keys()
            .filter(|order| !held.contains(*order))
            .cloned()
            .collect(),
        tokens: ended.iter().map(|payment| payment.token.clone()).collect(),
        orphans_allowed: circumstances.orphans_allowed,
        changed_orders: changed,
        cards_not_saved: circumstances.cards_not_saved,
        refunds: known_refunds(account, circumstances),
    };
    let seen = Seen {
        played: circumstances.played,
        orders: account.seen.clone(),
        payments: ended,
        mapping: account.mapping.clone(),
    };
    match invariants::judge(&subject, seen) {
        Ok(found) if found.is_empty() => {}
        Ok(found) => findings.push(format!("{}: {found}", account.name)),
        Err(error) => findings.push(format!("{}: {error:#}", account.name)),
    }
}

/// What went back by hand and is explained by no entry, and what a person must still look at.
fn known_refunds(account: &Account, circumstances: &Circumstances) -> KnownRefunds {
    let mut known = KnownRefunds::default();
    for payment in &account.payments {
        let Some(charge) = payment.at_bank.charges.first() else {
            continue;
        };
        let id = charge["id"].as_str().unwrap_or_default();
        let ledger = payment
            .record
            .as_ref()
            .and_then(|record| Ledger::of(record).ok());
        let ledger = ledger.unwrap_or_default();
        if !circumstances.by_hand.contains(id) {
            continue;
        }
        let refunds: Vec<_> = charge["refunds"].as_array().into_iter().flatten().collect();
        let sum = |of: &dyn Fn(&Value) -> bool| -> i64 {
            let some = refunds.iter().filter(|refund| of(refund));
            some.map(|refund| items::satang(&refund["amount"])).sum()
        };
        // The bank has less left than this refund is over, and refuses it until a person ends it.
        let left = items::satang(&charge["amount"]) - sum(&|_| true);
        let too_large = ledger.in_state(&[EntryState::Reserved]);
        let too_large = too_large.filter(|(_, entry)| entry.satang > left);
        known
            .unfinished
            .extend(too_large.map(|(refund, _)| refund.to_owned()));
        if ledger.has_unknown() {
            continue;
        }
        let by_hand = sum(&|refund| refund["by"] == "portal");
        let told = ledger
            .entries
            .get(ELSEWHERE)
            .map_or(0, |entry| entry.satang);
        let sent = ledger.sum(&[EntryState::Sent]);
        let unexplained = match charge["transaction_state"] == "Voided" {
            true => items::satang(&charge["amount"]) - sent,
            false => {
                // What looks as ours would, while ours is late, counts as ours.
                let own = sum(&|refund| refund["by"] != "portal");
                let taken = (sent - told - own).clamp(0, by_hand - told);
                known.taken_for_ours.insert(id.to_owned(), taken);
                by_hand - told - taken
            }
        };
        let hidden = unexplained.max(0);
        known.hidden_by_hand.insert(id.to_owned(), hidden);
    }
    known
}
