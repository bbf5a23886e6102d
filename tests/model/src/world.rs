//! What a payment's execution may change, as far as money, card and shop are concerned.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// The time that the model's clock shows, in seconds since 1970: 2100-01-01.
pub(crate) const NOW: i64 = 4_102_444_800;
/// The same for people.
pub(crate) const NOW_TEXT: &str = "2100-01-01T00:00:00.000Z";

/// A record's attributes, each as DynamoDB writes it in JSON: `{"S": "paid"}`.
pub(crate) type Item = BTreeMap<String, Value>;

/// What the bank said of the charge in this execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) enum Bank {
    /// Nothing yet.
    #[default]
    Undecided,
    /// It holds the money for us.
    Held,
    /// It declined.
    Refused,
    /// The money went back before.
    Back,
}

/// What became of the card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) enum Card {
    /// Nobody asked the bank to keep it.
    #[default]
    NotSaved,
    /// The bank keeps it.
    Saved,
    /// The bank will not keep it.
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

/// All that matters of the world outside the execution.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct World {
    /// The charge, as this execution was told.
    pub(crate) bank: Bank,
    /// The order is paid with the charge.
    pub(crate) paid: bool,
    /// We gave the money back.
    pub(crate) reversed: bool,
    /// As the bank's answers say.
    pub(crate) card: Card,
    /// The shop's answer says that it has this execution's event about the payment, or the verified card.
    pub(crate) told: bool,
    /// The payment's record.
    pub(crate) record: Item,
}

impl World {
    /// A text of the record.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.record.get(name)?["S"].as_str()
    }

    /// A number of the record.
    pub(crate) fn number(&self, name: &str) -> Option<i64> {
        self.record.get(name)?["N"].as_str()?.parse().ok()
    }

    /// Whether the record has an attribute.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.record.contains_key(name)
    }

    /// The record stands in the index of open records, where reconciliation and the runbook's search find it.
    pub(crate) fn is_listed(&self) -> bool {
        self.has("openShard") && self.has("lookAgainAt")
    }

    /// The bank holds money that has neither paid the order nor gone back.
    pub(crate) fn owes(&self) -> bool {
        self.bank == Bank::Held && !self.paid && !self.reversed
    }

    /// Everything that others may do to the record while the execution runs. The functions that do so have the same
    /// conditions: only what is pending is woken, only what is declined is opened again.
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

/// A text as DynamoDB writes it.
pub(crate) fn s(text: &str) -> Value {
    json!({ "S": text })
}

/// A number as DynamoDB writes it.
pub(crate) fn n(number: i64) -> Value {
    json!({ "N": number.to_string() })
}
