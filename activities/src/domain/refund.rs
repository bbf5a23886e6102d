//! A refund of a paid order, and the ledger of refunds on the payment's record.
//!
//! An entry of the ledger goes one way: `reserved`, then `asked` just before the bank is asked for the money, then
//! `sent`. A definite refusal leads back to `reserved`, and giving up to `failed`. An entry of which nobody can tell
//! whether the bank did what it was asked for becomes `uncertain`, until a person says which.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::charge::TransactionState;
use super::money::Satang;

/// The key under which the ledger keeps what was given back by hand at the bank: no refund of ours.
pub const ELSEWHERE: &str = "elsewhere";

/// The longest id of a refund: with a suffix it still is a name of an execution, which has 80 characters at most.
pub const MAX_REFUND_ID: usize = 64;

/// The shop's own id of a refund. It makes the refund idempotent: the key of its entry in the ledger, and by custom the
/// name of its execution.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RefundId(String);

/// Why a text is not the id of a refund.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be 1 to {MAX_REFUND_ID} letters, digits, `-` and `_`, and must not begin with `{ELSEWHERE}`"
)]
pub struct InvalidRefundId;

impl RefundId {
    /// Checks and wraps a refund's id as the shop gives it.
    ///
    /// # Errors
    /// [`InvalidRefundId`].
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidRefundId> {
        let text = text.into();
        if text.starts_with(ELSEWHERE) {
            return Err(InvalidRefundId);
        }
        Self::try_from(text)
    }

    /// The key of what was given back by hand.
    #[must_use]
    pub fn elsewhere() -> Self {
        Self(ELSEWHERE.to_owned())
    }

    /// The id's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RefundId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for RefundId {
    type Error = InvalidRefundId;

    fn try_from(text: String) -> Result<Self, InvalidRefundId> {
        let usable = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if text.is_empty() || text.len() > MAX_REFUND_ID || !text.bytes().all(usable) {
            return Err(InvalidRefundId);
        }
        Ok(Self(text))
    }
}

impl From<RefundId> for String {
    fn from(id: RefundId) -> Self {
        id.0
    }
}

/// A refund as its saga carries it from state to state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Refund {
    /// Its id, and its key in the ledger.
    pub refund_id: RefundId,
    /// How much goes back, in satang. For money that was given back elsewhere: what a person states; 0 where nobody
    /// does.
    pub amount_satang: Satang,
    /// Whether it is all that was paid: then it may be a void.
    pub whole: bool,
    /// Whether it is about money that was given back by hand at the bank.
    pub elsewhere: bool,
    /// Why, in the shop's words: for the bank's portal and the ledger.
    pub reason: Option<String>,
    /// Since when the amount is reserved, in seconds since 1970.
    pub reserved_at: i64,
}

/// By which of the bank's two ways money goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Way {
    /// Cancelled before settlement: the shopper never sees it on a statement.
    Voided,
    /// Refunded after settlement: an evening batch of the bank pays it.
    Refunded,
}

impl Way {
    /// The word used in tables and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Voided => "voided",
            Self::Refunded => "refunded",
        }
    }

    /// Reads the ledger's word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Voided, Self::Refunded]
            .into_iter()
            .find(|way| way.as_str() == word)
    }

    /// The way that a charge's state shows; `None` where no money went back.
    #[must_use]
    pub fn shown_by(state: &TransactionState) -> Option<Self> {
        match state {
            TransactionState::Voided => Some(Self::Voided),
            TransactionState::RefundSent => Some(Self::Refunded),
            _ => None,
        }
    }
}

/// Where an entry of the ledger stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum EntryState {
    /// Its amount is kept for it. The bank was not asked, or surely did nothing.
    Reserved,
    /// The bank is being asked, or was and the answer is not known.
    Asked,
    /// The bank has accepted it.
    Sent,
    /// Given up for good: its amount is free again.
    Failed,
    /// Nobody can tell whether the bank did it. For a person to find out.
    Uncertain,
}

impl EntryState {
    /// The word used in the ledger.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reserved => "reserved",
            Self::Asked => "asked",
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::Uncertain => "uncertain",
        }
    }

    /// Reads the ledger's word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [
            Self::Reserved,
            Self::Asked,
            Self::Sent,
            Self::Failed,
            Self::Uncertain,
        ]
        .into_iter()
        .find(|state| state.as_str() == word)
    }
}

/// An entry of the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it stands.
    pub state: EntryState,
    /// Its amount. Of an unknown one, given back by hand: all that was paid.
    pub amount: Satang,
    /// Why, in the shop's words.
    pub reason: Option<String>,
    /// Since when its amount is reserved, in seconds since 1970.
    pub reserved_at: i64,
    /// Which request of an execution it is `asked` by.
    pub mark: Option<String>,
    /// Which run of a function sent that request.
    pub asked_by: Option<String>,
    /// When, in seconds since 1970.
    pub asked_at: i64,
    /// By which way its money went back, once that is known.
    pub way: Option<Way>,
    /// The bank's id of the refund, where its answer held one.
    pub bank_refund_id: Option<String>,
    /// When the order and the check status were told, in RFC 3339.
    pub recorded_at: Option<String>,
    /// Whether its amount is not known: given back by hand.
    pub amount_unknown: bool,
}

/// All refunds of one payment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Whether the record has one yet.
    pub is_open: bool,
    /// The entries by their ids.
    pub entries: BTreeMap<RefundId, Entry>,
    /// The sum of all that are not `failed`, in satang. With an unknown amount it may be over what was paid.
    pub reserved: i64,
    /// The known sum of those that are `sent` and told to the order and the check status, in satang.
    pub sent: i64,
    /// The one refund that is `asked` now.
    pub asking: Option<RefundId>,
}

impl Ledger {
    /// What can still be given back of a payment.
    #[must_use]
    pub fn left_of(&self, paid: Satang) -> Satang {
        Satang::new(paid.satang() - self.reserved).unwrap_or(Satang::ZERO)
    }

    /// The entry of what was given back by hand.
    #[must_use]
    pub fn elsewhere(&self) -> Option<&Entry> {
        self.entries.get(&RefundId::elsewhere())
    }

    /// The sums `reserved` and `sent` as they are once the amount given back by hand is this one, in satang. An unknown one
    /// counts as all that was paid.
    #[must_use]
    pub fn sums_with_elsewhere(&self, amount: Option<Satang>, paid: Satang) -> (i64, i64) {
        let before = self.elsewhere();
        let known = |unknown: bool, satang| if unknown { 0 } else { satang };
        let counted = before.map_or(0, |entry| entry.amount.satang());
        let told = before.map_or(0, |entry| known(entry.amount_unknown, counted));
        (
            self.reserved - counted + amount.unwrap_or(paid).satang(),
            self.sent - told + amount.map_or(0, Satang::satang),
        )
    }

    /// The most that can have been given back by hand, beside what other refunds are for.
    #[must_use]
    pub fn most_elsewhere(&self, paid: Satang) -> Satang {
        let (others, _) = self.sums_with_elsewhere(Some(Satang::ZERO), paid);
        Satang::new(paid.satang() - others).unwrap_or(Satang::ZERO)
    }

    /// Whether an entry explains that the bank shows the charge in this state: a void only by a refund of all that was
    /// paid, a refund by any for which the bank was asked. An entry that was given up explains nothing. A state in which
    /// no money went back needs no explanation.
    #[must_use]
    pub fn explains(&self, state: &TransactionState, paid: Satang) -> bool {
        let mut entries = self.entries.values();
        match Way::shown_by(state) {
            None => true,
            Some(Way::Voided) => {
                entries.any(|entry| entry.state != EntryState::Failed && entry.amount == paid)
            }
            Some(Way::Refunded) => entries
                .any(|entry| !matches!(entry.state, EntryState::Failed | EntryState::Reserved)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAID: Satang = match Satang::new(150_000) {
        Ok(amount) => amount,
        Err(_) => panic!("1500 baht is an amount"),
    };

    #[test]
    fn the_ledgers_words_are_read_as_they_are_written() {
        use EntryState::{Asked, Failed, Reserved, Sent, Uncertain};
        for way in [Way::Voided, Way::Refunded] {
            assert_eq!(Way::parse(way.as_str()), Some(way));
        }
        for state in [Reserved, Asked, Sent, Failed, Uncertain] {
            assert_eq!(EntryState::parse(state.as_str()), Some(state));
        }
        assert_eq!(
            (Way::parse("sent"), EntryState::parse("voided")),
            (None, None)
        );
    }

    fn ledger(entries: &[(&str, EntryState, i64)]) -> Ledger {
        Ledger {
            is_open: true,
            entries: entries
                .iter()
                .map(|(id, state, satang)| {
                    let entry = Entry {
                        state: *state,
                        amount: Satang::new(*satang).unwrap(),
                        reason: None,
                        reserved_at: 0,
                        mark: None,
                        asked_by: None,
                        asked_at: 0,
                        way: None,
                        bank_refund_id: None,
                        recorded_at: None,
                        amount_unknown: false,
                    };
                    (RefundId::try_from((*id).to_owned()).unwrap(), entry)
                })
                .collect(),
            ..Ledger::default()
        }
    }

    #[test]
    fn an_id_is_a_name_of_an_execution_with_room_for_a_suffix_and_is_not_what_was_done_by_hand() {
        for id in ["rf_20261129_0001", "1", &"r".repeat(64)] {
            assert_eq!(RefundId::new(id).unwrap().as_str(), id);
        }
        for id in [
            "",
            "a b",
            "rf.1",
            "rf/1",
            "คืน",
            "elsewhere",
            "elsewhere-chrg_1",
            &"r".repeat(65),
        ] {
            assert_eq!(RefundId::new(id), Err(InvalidRefundId), "{id}");
        }
        assert_eq!(RefundId::elsewhere().as_str(), "elsewhere");
    }

    #[test]
    fn every_word_of_the_ledger_is_read_as_it_is_written() {
        use EntryState::*;
        for state in [Reserved, Asked, Sent, Failed, Uncertain] {
            assert_eq!(EntryState::parse(state.as_str()), Some(state));
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
        }
        assert_eq!(EntryState::parse("SENT"), None);
    }

    #[test]
    fn what_the_bank_shows_is_explained_by_an_entry_that_was_not_given_up() {
        use EntryState::*;
        use TransactionState::{Authorized, RefundSent, Settled, Voided};
        let empty = ledger(&[]);
        for (state, explained) in [
            (Authorized, true),
            (Settled, true),
            (Voided, false),
            (RefundSent, false),
        ] {
            assert_eq!(empty.explains(&state, PAID), explained, "{state:?}");
        }
        for state in [Reserved, Asked, Sent, Uncertain] {
            let part = ledger(&[("rf_1", state, 12_050)]);
            assert_eq!(
                part.explains(&RefundSent, PAID),
                state != Reserved,
                "{state:?}"
            );
            assert!(!part.explains(&Voided, PAID), "{state:?}");
            let whole = ledger(&[("rf_1", state, 150_000)]);
            assert!(whole.explains(&Voided, PAID), "{state:?}");
        }
        let failed = ledger(&[("rf_1", Failed, 150_000)]);
        assert!(!failed.explains(&RefundSent, PAID));
        assert!(!failed.explains(&Voided, PAID));
    }

    #[test]
    fn what_is_left_is_never_less_than_nothing() {
        let left = |reserved| {
            Ledger {
                reserved,
                ..Ledger::default()
            }
            .left_of(PAID)
            .satang()
        };
        assert_eq!(left(0), 150_000);
        assert_eq!(left(12_050), 137_950);
        assert_eq!(left(150_000), 0);
        assert_eq!(left(162_050), 0);
    }
}
