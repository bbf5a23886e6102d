//! The bank's dialects: different forms of the same answer, as they have been seen.
//!
//! No two public samples of the gateway agree. A payment's dialect is chosen with its card token. Everything that the
//! bank says about the payment is in this dialect. The ledger and the sandbox's own controls are plain.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::money::Satang;
use crate::transaction_state::TransactionState;

/// Declares the dialects, each with its name and its difference.
macro_rules! dialects {
    ($($(#[$default:meta])? $dialect:ident = $name:literal: $meaning:literal;)*) => {
        /// A form of what the bank says about a payment.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
        pub enum Dialect {
            $(
                #[doc = $meaning]
                $(#[$default])?
                #[serde(rename = $name)]
                $dialect,
            )*
        }

        impl Dialect {
            /// Every dialect.
            pub const ALL: &[Self] = &[$(Self::$dialect,)*];

            /// Its name, in kebab-case.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$dialect => $name,)*
                }
            }

            /// What is different in it, in one line.
            pub fn meaning(self) -> &'static str {
                match self {
                    $(Self::$dialect => $meaning,)*
                }
            }
        }
    };
}

dialects! {
    #[default] Usual = "usual": "Amounts are short numbers, blank fields are null";
    AmountsWithTwoDecimals = "amounts-with-two-decimals": "Amounts read 1500.00";
    AmountsWithFourDecimals = "amounts-with-four-decimals": "Amounts read 1500.0000";
    AmountsWithExponent = "amounts-with-exponent": "Amounts read 1.50000e3";
    AmountsAsText = "amounts-as-text": "Amounts read \"1500.00\"";
    AmountsAsLongText = "amounts-as-long-text": "Amounts read \"1500.0000\"";
    LivemodeAsText = "livemode-as-text": "livemode reads \"false\"";
    LivemodeAbsent = "livemode-absent": "There is no livemode";
    BlanksAsText = "blanks-as-text": "Blank fields are \"\"";
    BlanksAbsent = "blanks-absent": "Blank fields are left out";
    BlanksAsObjects = "blanks-as-objects": "Blank fields are {}";
    BlanksAsLists = "blanks-as-lists": "Blank fields are []";
    SourceWithLastFour = "source-with-last-four": "The card shows last4 instead of card_masking";
    SourceAbsent = "source-absent": "The card is not shown";
    StatesInCapitals = "states-in-capitals": "States read AUTHORIZED";
    StatesInSmallLetters = "states-in-small-letters": "States read authorized";
    StatesWithBlank = "states-with-blank": "States end in a blank";
    MisspeltAuthorized = "misspelt-authorized": "Authorized reads Auhtorized";
    UnknownState = "unknown-state": "Authorized and Settled read Completed, which nobody knows";
    FailWithAuthorized = "fail-with-authorized": "The status beside Authorized and Settled is fail";
    FailWithPreAuthorized = "fail-with-pre-authorized":
        "The status beside Pre-Authorized is fail, and a decline reads so, too";
    FailWithInitialized = "fail-with-initialized":
        "Pre-Authorized and Declined read Initialized, beside the status fail";
    ReversalsRefused = "reversals-refused": "The first void or refund is refused with 400, then they work";
    ReversalsFail = "reversals-fail": "The first void or refund is refused as a charge with fail and 200, then they work";
    ReversalsAnswerEmpty = "reversals-answer-empty": "A void or a refund works and answers {}";
    ReversalsEmpty = "reversals-empty": "The first void or refund answers {} and does nothing, then they work";
    ReversalsNotified = "reversals-notified": "A void or a refund that the shop asks for is notified, too";
    InfoAsObjects = "info-as-objects": "settlement_info and refund_info are objects: the settlement, the latest refund";
    InfoAsLists = "info-as-lists": "settlement_info and refund_info are lists: the settlement, every refund";
    NoInquiryByReference = "no-inquiry-by-reference": "An inquiry by reference_order is always answered 404";
    InquiryLags = "inquiry-lags": "The first two inquiries are answered 404, as by a copy that lags behind";
    NotificationFirst = "notification-first": "A notification comes before the answer to a new charge";
    NotifiedTwice = "notified-twice": "Every notification is sent again after some seconds";
    DeclinesNotNotified = "declines-not-notified": "No notification tells of a decline";
    FormerKey = "former-key": "Notifications are signed with the key from before a rotation";
    BlankLineFirst = "blank-line-first": "A blank line comes before every answer and notification";
    PageInOutage = "page-in-outage": "The first inquiry, void and refund are answered with a page and 200";
}

/// What a charge object tells of what happened to its money.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum Info<T> {
    /// The latest.
    Latest(T),
    /// Each.
    All(Vec<T>),
}

/// How the bank answers one void or refund.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ReversalAnswer {
    /// It is done, and the answer shows it.
    Right,
    /// It is refused with an error object.
    ErrorObject,
    /// It is refused with the charge as it was, and the status `fail`.
    FailObject,
    /// It is done, and the answer does not show it.
    DoneAndEmpty,
    /// Nothing is done, and the answer shows nothing.
    NothingAndEmpty,
    /// Nothing is done, and the answer is the page of an outage.
    Page,
}

impl Dialect {
    /// A state and the status beside it, as this dialect writes them.
    pub(crate) fn state(self, state: TransactionState) -> (Cow<'static, str>, &'static str) {
        use TransactionState::{Authorized, Declined, PreAuthorized, Settled};
        let (word, status) = (state.as_str(), state.status());
        match (self, state) {
            (Self::StatesInCapitals, _) => (word.to_uppercase().into(), status),
            (Self::StatesInSmallLetters, _) => (word.to_lowercase().into(), status),
            (Self::StatesWithBlank, _) => (format!("{word} ").into(), status),
            (Self::MisspeltAuthorized, Authorized) => ("Auhtorized".into(), status),
            (Self::UnknownState, Authorized | Settled) => ("Completed".into(), status),
            (Self::FailWithAuthorized, Authorized | Settled) => (word.into(), "fail"),
            (Self::FailWithPreAuthorized, PreAuthorized | Declined) => {
                ("Pre-Authorized".into(), "fail")
            }
            (Self::FailWithInitialized, PreAuthorized | Declined) => ("Initialized".into(), "fail"),
            _ => (word.into(), status),
        }
    }

    /// How the bank answers a void or a refund. `first` says whether it is the first of its charge.
    pub(crate) fn reversal(self, first: bool) -> ReversalAnswer {
        match (self, first) {
            (Self::ReversalsRefused, true) => ReversalAnswer::ErrorObject,
            (Self::ReversalsFail, true) => ReversalAnswer::FailObject,
            (Self::ReversalsEmpty, true) => ReversalAnswer::NothingAndEmpty,
            (Self::PageInOutage, true) => ReversalAnswer::Page,
            (Self::ReversalsAnswerEmpty, _) => ReversalAnswer::DoneAndEmpty,
            _ => ReversalAnswer::Right,
        }
    }

    /// What a charge object tells of its settlement or of its refunds. `all` are these, the oldest first.
    pub(crate) fn info<T>(self, mut all: Vec<T>) -> Option<Info<T>> {
        match self {
            Self::InfoAsObjects => all.pop().map(Info::Latest),
            Self::InfoAsLists => Some(Info::All(all)),
            _ => None,
        }
    }

    /// An object as this dialect writes it. `object` is a charge, plain.
    pub(crate) fn write(self, object: &impl Serialize, amount: Satang) -> String {
        let plain = serde_json::to_string(object).expect("a charge object is JSON");
        match self {
            Self::BlankLineFirst => format!("\r\n{plain}"),
            _ => self.rewritten(&plain, amount).unwrap_or(plain),
        }
    }

    /// The object with some fields written otherwise. `None` if this dialect writes them as usual.
    fn rewritten(self, plain: &str, amount: Satang) -> Option<String> {
        let mut fields: BTreeMap<String, Box<RawValue>> =
            serde_json::from_str(plain).expect("it was just written");
        let amounts = match self {
            Self::AmountsWithTwoDecimals => Some(amount.two_decimals()),
            Self::AmountsWithFourDecimals => Some(amount.four_decimals()),
            Self::AmountsWithExponent => Some(amount.with_exponent()),
            Self::AmountsAsText => Some(format!("\"{}\"", amount.two_decimals())),
            Self::AmountsAsLongText => Some(format!("\"{}\"", amount.four_decimals())),
            _ => None,
        };
        if let Some(text) = amounts {
            fields.insert("amount".to_owned(), raw(text));
            return written(&fields);
        }
        let blank = match self {
            Self::BlanksAsText => Some(Some("\"\"")),
            Self::BlanksAsObjects => Some(Some("{}")),
            Self::BlanksAsLists => Some(Some("[]")),
            Self::BlanksAbsent => Some(None),
            _ => None,
        };
        match (self, blank) {
            (_, Some(Some(text))) => {
                for value in fields.values_mut().filter(|value| value.get() == "null") {
                    *value = raw(text.to_owned());
                }
            }
            (_, Some(None)) => fields.retain(|_, value| value.get() != "null"),
            (Self::LivemodeAsText, _) => {
                fields.insert("livemode".to_owned(), raw("\"false\"".to_owned()));
            }
            (Self::LivemodeAbsent, _) => {
                fields.remove("livemode");
            }
            (Self::SourceAbsent, _) => {
                fields.remove("source");
            }
            (Self::SourceWithLastFour, _) => {
                let source = fields.remove("source")?;
                fields.insert("source".to_owned(), with_last_four(&source));
            }
            _ => return None,
        }
        written(&fields)
    }

    /// Every dialect with its meaning, a line each.
    pub fn list() -> String {
        let width = Self::ALL.iter().map(|dialect| dialect.name().len()).max();
        Self::ALL
            .iter()
            .map(|dialect| {
                format!(
                    "{:width$}  {}",
                    dialect.name(),
                    dialect.meaning(),
                    width = width.unwrap_or_default()
                )
            })
            .collect::<Vec<_>>()
            .join("\n")
    }
}

fn written(fields: &BTreeMap<String, Box<RawValue>>) -> Option<String> {
    Some(serde_json::to_string(fields).expect("fields of JSON are JSON"))
}

fn raw(json: String) -> Box<RawValue> {
    RawValue::from_string(json).expect("what a dialect writes is JSON")
}

/// A card that shows only its last four digits.
fn with_last_four(source: &RawValue) -> Box<RawValue> {
    let mut card: BTreeMap<String, String> =
        serde_json::from_str(source.get()).expect("a card is fields of text");
    let masking = card.remove("card_masking").unwrap_or_default();
    let last = masking.get(masking.len().saturating_sub(4)..);
    card.insert("last4".to_owned(), last.unwrap_or_default().to_owned());
    raw(serde_json::to_string(&card).expect("fields of text are JSON"))
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The bank speaks no dialect of this name.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the bank speaks no such dialect; it speaks:\n{}", Dialect::list())]
pub struct UnknownDialect;

impl FromStr for Dialect {
    type Err = UnknownDialect;

    fn from_str(name: &str) -> Result<Self, UnknownDialect> {
        Self::ALL
            .iter()
            .copied()
            .find(|dialect| dialect.name() == name)
            .ok_or(UnknownDialect)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_dialect_is_found_by_its_name_and_says_what_it_is() {
        for &dialect in Dialect::ALL {
            assert_eq!(dialect.name().parse(), Ok(dialect));
            assert!(dialect.meaning().len() > 10, "{dialect}");
            let stored = serde_json::to_value(dialect).unwrap();
            assert_eq!(stored, dialect.name());
            let kebab = |c: char| c.is_ascii_lowercase() || c == '-';
            assert!(dialect.name().chars().all(kebab), "{dialect}");
        }
        assert_eq!(Dialect::default(), Dialect::Usual);
    }

    #[test]
    fn an_unknown_name_is_answered_with_every_name() {
        let error = "klingon".parse::<Dialect>().unwrap_err().to_string();
        for dialect in Dialect::ALL {
            assert!(error.contains(dialect.name()), "{dialect}");
        }
    }
}
