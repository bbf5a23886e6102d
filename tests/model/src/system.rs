//! The state of the system that a payment's execution may change: money, card, shop and record.

use serde_json::{Map, Value, json};

/// The time in the model, in seconds since 1970: 2100-01-01.
pub(crate) const NOW: i64 = 4_102_444_800;
/// The same time as text.
pub(crate) const NOW_TEXT: &str = "2100-01-01T00:00:00.000Z";

/// The attributes of a record, each in DynamoDB's JSON: `{"S": "paid"}`.
pub(crate) type Item = Map<String, Value>;

/// What the bank answered about the charge in this execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) enum Bank {
    /// Nothing yet.
    #[default]
    Undecided,
    /// It approved the charge, and holds the money for us.
    Held,
    /// It declined the charge.
    Refused,
    /// The money was given back earlier.
    Back,
}

/// Whether the card is saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) enum Card {
    /// Nobody asked the bank to save it.
    #[default]
    NotSaved,
    /// The bank has saved it.
    Saved,
    /// The bank refused to save it.
    Refused,
    /// It could not be saved in time.
    Failed,
}

impl Card {
    /// The word in the execution's output.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::NotSaved => "notSaved",
            Self::Saved => "saved",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// The state of everything outside the execution that matters for the properties.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct SystemState {
    /// The bank's answer about the charge, as this execution knows it.
    pub(crate) bank: Bank,
    /// Whether the order is paid with the charge.
    pub(crate) paid: bool,
    /// Whether we gave the money back.
    pub(crate) reversed: bool,
    /// The card, according to the bank's answers.
    pub(crate) card: Card,
    /// Whether the shop has confirmed this execution's event about the payment or the verified card.
    pub(crate) notified: bool,
    /// The payment's record.
    pub(crate) record: Item,
}

impl SystemState {
    /// A text attribute of the record.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.record.get(name)?["S"].as_str()
    }

    /// A number attribute of the record.
    pub(crate) fn number(&self, name: &str) -> Option<i64> {
        self.record.get(name)?["N"].as_str()?.parse().ok()
    }

    /// Whether the record has an attribute.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.record.contains_key(name)
    }

    /// Whether the record is in the index of open records, where reconciliation and the runbook's query find it.
    pub(crate) fn is_listed(&self) -> bool {
        self.has("openShard") && self.has("lookAgainAt")
    }

    /// Whether the bank holds money that has neither paid the order nor been given back.
    pub(crate) fn owes(&self) -> bool {
        self.bank == Bank::Held && !self.paid && !self.reversed
    }

    /// All changes that others may make to the record while the execution runs. The conditions are those of the
    /// functions that make them: only a pending record is woken, only a declined one is opened again.
    pub(crate) fn meanwhile(&self) -> Vec<(&'static str, Self)> {
        let mut all = vec![("", self.clone())];
        let open = self.has("openShard");
        let with = |change: &dyn Fn(&mut Item)| {
            let mut changed = self.clone();
            change(&mut changed.record);
            changed
        };
        let woken = |record: &mut Item| {
            record.insert("lookAgainAt".into(), n(NOW));
        };
        let signed = |record: &mut Item| {
            record.insert("paidNotifiedAt".into(), n(NOW));
        };
        match self.text("outcome") {
            Some("pending") if open => {
                all.push((", a callback woke the record", with(&woken)));
                all.push((
                    ", the bank has signed meanwhile",
                    with(&|record| {
                        woken(record);
                        signed(record);
                    }),
                ));
                all.push((", the payment was given up", with(&|record| close(record))));
            }
            Some("declined") => all.push((
                ", the bank has signed, and the record was opened again",
                with(&|record| {
                    let next = self.number("attempt").unwrap_or(0) + 1;
                    woken(record);
                    signed(record);
                    record.insert("attempt".into(), n(next));
                    record.insert("outcome".into(), s("pending"));
                    record.insert("openShard".into(), n(0));
                    record.remove("closedAt");
                    record.remove("closedAs");
                }),
            )),
            _ => {}
        }
        let settled = matches!(self.text("resolution"), Some("orderPaid" | "reversed"))
            || matches!(self.text("outcome"), Some("declined" | "returned"));
        if open && settled {
            all.push((
                ", another execution has closed the record",
                with(&|record| close(record)),
            ));
        }
        all
    }
}

fn close(record: &mut Item) {
    record.insert("closedAt".into(), s(NOW_TEXT));
    record.insert("closedAs".into(), s("the model's"));
    for name in ["openShard", "lookAgainAt", "token"] {
        record.remove(name);
    }
}

/// A text in DynamoDB's JSON.
pub(crate) fn s(text: &str) -> Value {
    json!({ "S": text })
}

/// A number in DynamoDB's JSON.
pub(crate) fn n(number: i64) -> Value {
    json!({ "N": number.to_string() })
}
