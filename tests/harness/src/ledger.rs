//! The ledger of refunds on a payment's record, as it is stored.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::Value;

/// The key of the entry for money that was given back by hand.
pub const ELSEWHERE: &str = "elsewhere";

/// All refunds of one payment. Amounts are in satang.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ledger {
    /// The refunds by their id.
    #[serde(default, rename = "refunds")]
    pub entries: BTreeMap<String, Entry>,
    /// The counter of all that is reserved or gone.
    #[serde(default)]
    pub refunded_satang: i64,
    /// The counter of all that is gone and recorded.
    #[serde(default)]
    pub sent_satang: i64,
    /// The refund that the bank is being asked for.
    #[serde(default, rename = "refundAsking")]
    pub asking: Option<String>,
}

/// One refund.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Where it stands.
    pub state: EntryState,
    /// Its amount.
    pub satang: i64,
    /// How the money went back: `voided` or `refunded`.
    #[serde(default)]
    pub way: Option<String>,
    /// The bank's id of it.
    #[serde(default)]
    pub bank_refund_id: Option<String>,
    /// When order and check status were told.
    #[serde(default)]
    pub recorded_at: Option<Value>,
    /// Whether its amount is not known, so that it counts as everything.
    #[serde(default, rename = "amountUnknown")]
    pub unknown: bool,
}

/// Where an entry stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum EntryState {
    /// Its amount is taken; the bank was not asked, or said no.
    Reserved,
    /// The bank is being asked, or was and the answer is lost.
    Asked,
    /// The bank has accepted it.
    Sent,
    /// It was given up.
    Failed,
    /// Nobody knows whether the bank has accepted it.
    Uncertain,
}

impl Ledger {
    /// The ledger on a payment's record; an empty one where nothing was given back.
    ///
    /// # Errors
    /// It is malformed.
    pub fn of(record: &Value) -> Result<Self> {
        serde_json::from_value(record.clone()).context("the ledger on the record is malformed")
    }

    /// The entries in one of these states, with their ids.
    pub fn in_state(&self, states: &[EntryState]) -> impl Iterator<Item = (&str, &Entry)> {
        self.entries
            .iter()
            .filter(|(_, entry)| states.contains(&entry.state))
            .map(|(id, entry)| (id.as_str(), entry))
    }

    /// The sum of the entries in one of these states. One of unknown amount counts nothing.
    pub fn sum(&self, states: &[EntryState]) -> i64 {
        let known = self.in_state(states).filter(|(_, entry)| !entry.unknown);
        known.map(|(_, entry)| entry.satang).sum()
    }

    /// Whether money of an unknown amount was given back by hand.
    pub fn has_unknown(&self) -> bool {
        self.entries.values().any(|entry| entry.unknown)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_ledger_is_read_from_a_record() {
        let record = json!({
            "tokenId": "k", "refundedSatang": 15_000, "sentSatang": 5_000, "refundAsking": "rf_2",
            "refunds": {
                "rf_1": {"state": "sent", "satang": 5_000, "way": "refunded", "bankRefundId": "rfnd_1", "recordedAt": "…"},
                "rf_2": {"state": "asked", "satang": 10_000, "reservedAt": 1, "mark": "m"},
                "rf_3": {"state": "failed", "satang": 9_000},
                "elsewhere": {"state": "sent", "satang": 150_000, "amountUnknown": true},
            },
        });
        let ledger = Ledger::of(&record).expect("a ledger");
        assert_eq!(
            ledger.sum(&[EntryState::Sent, EntryState::Asked]),
            5_000 + 10_000
        );
        assert_eq!(ledger.asking.as_deref(), Some("rf_2"));
        assert!(ledger.has_unknown());
        let none = Ledger::of(&json!({"tokenId": "k"})).expect("a ledger");
        assert_eq!(none, Ledger::default());
    }
}
