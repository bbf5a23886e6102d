//! A charge as the bank tells it, and what may be concluded from it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::ids::{ChargeId, ReferenceOrder};
use super::money::Satang;

/// The bank's `transaction_state` of a charge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransactionState {
    /// `Initialize` or `Initialized`: created, nothing happened yet.
    Initialized,
    /// The shopper must pass 3-D Secure. Comes with `status: "success"`, and is not paid.
    PreAuthorized,
    /// Captured at the acquirer; can be voided.
    Authorized,
    /// In settlement; can be refunded.
    Settled,
    /// The issuer refused.
    Declined,
    /// Failed by the system (a time-out reversal).
    Reversed,
    /// Cancelled before settlement.
    Voided,
    /// A refund was accepted.
    RefundSent,
    /// A word that we do not know, such as the misspelt `Auhtorized` of one bank sample: never paid, looked at again.
    Unknown(String),
}

impl TransactionState {
    /// Reads the bank's word. Blanks around it and capitals do not matter; the spelling does.
    #[must_use]
    pub fn parse(word: &str) -> Self {
        match word.trim().to_ascii_lowercase().as_str() {
            "initialize" | "initialized" => Self::Initialized,
            "pre-authorized" => Self::PreAuthorized,
            "authorized" => Self::Authorized,
            "settled" => Self::Settled,
            "declined" => Self::Declined,
            "reversed" => Self::Reversed,
            "voided" => Self::Voided,
            "refund sent" => Self::RefundSent,
            _ => Self::Unknown(word.to_owned()),
        }
    }

    /// The bank's word.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Initialized => "Initialized",
            Self::PreAuthorized => "Pre-Authorized",
            Self::Authorized => "Authorized",
            Self::Settled => "Settled",
            Self::Declined => "Declined",
            Self::Reversed => "Reversed",
            Self::Voided => "Voided",
            Self::RefundSent => "Refund Sent",
            Self::Unknown(word) => word,
        }
    }
}

/// The bank's charge object, read and typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charge {
    /// The charge's id.
    pub id: ChargeId,
    /// The charged amount.
    pub amount: Satang,
    /// `THB`.
    pub currency: String,
    /// How far the charge went.
    pub state: TransactionState,
    /// Whether the bank's `status` is `success`. Alone it never means paid.
    pub success: bool,
    /// The 3-D Secure page, where the shopper must go.
    pub redirect_url: Option<String>,
    /// The reference that we gave at creation.
    pub reference_order: Option<String>,
    /// Whether the charge moved real money.
    pub livemode: Option<bool>,
    /// ISO 8583 code of a failure.
    pub failure_code: Option<String>,
}

/// What the charge of one payment must look like: stored at checkout, before the bank was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected<'a> {
    /// The charge's id.
    pub id: &'a ChargeId,
    /// The order's amount.
    pub amount: Satang,
    /// The currency charged.
    pub currency: &'a str,
    /// The reference given at creation, where one was.
    pub reference_order: Option<&'a ReferenceOrder>,
    /// Whether the configured key moves real money.
    pub livemode: bool,
}

/// What the bank's answer means for a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// Authorised or settled: the money is ours.
    Paid,
    /// Refused by the issuer, or failed at the bank.
    Declined,
    /// Was ours and went back: voided or refunded.
    Returned,
}

impl Outcome {
    /// The word used in tables and executions.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Paid => "paid",
            Self::Declined => "declined",
            Self::Returned => "returned",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A verdict on a charge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The bank has decided.
    Decided(Outcome),
    /// The bank has not decided yet: no money is held.
    Pending,
    /// The bank says something that we do not know: a state of another name, or an authorisation beside a `status` that
    /// is not `success`. Money may be held. Nothing is decided; a person must learn of it.
    Unknown,
}

/// In which field the bank's charge is not the one that was stored. Values stay out of the text: it goes to logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the bank's charge differs from the record in `{field}`")]
pub struct Mismatch {
    /// The field's name in the bank's charge object.
    pub field: &'static str,
}

impl Mismatch {
    /// Whether only the mode differs (`livemode`): that says more about the configured key than about the charge. The
    /// right key mends it.
    #[must_use]
    pub fn is_of_the_mode(&self) -> bool {
        self.field == LIVEMODE
    }

    /// The name under which log lines of it are counted.
    #[must_use]
    pub fn name(&self) -> &'static str {
        if self.is_of_the_mode() {
            "ChargeStillUnknown"
        } else {
            "ChargeMismatch"
        }
    }
}

/// What the bank's word on a payment's charge asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// An execution: the bank has decided, or its charge is not the payment's, which a person has to see.
    Act,
    /// Nothing yet: 3-D Secure is not done.
    Undecided,
    /// A person: the bank says something that is not known here, and money may have moved.
    UnknownState,
    /// The right key: the bank does not know the charge, or only in its other mode.
    UnknownCharge,
}

impl Word {
    /// What a judged charge asks for.
    #[must_use]
    pub fn of(judged: Result<Verdict, Mismatch>) -> Self {
        match judged {
            Ok(Verdict::Decided(_)) => Self::Act,
            Ok(Verdict::Pending) => Self::Undecided,
            Ok(Verdict::Unknown) => Self::UnknownState,
            Err(mismatch) if mismatch.is_of_the_mode() => Self::UnknownCharge,
            Err(_) => Self::Act,
        }
    }
}

/// The field that tells real money from a test's.
const LIVEMODE: &str = "livemode";

impl Charge {
    /// Applies the rule of payment: a charge is paid when its status is `success`, its state `Authorized` or
    /// `Settled`, **and** its id, amount, currency, reference and mode are the stored ones. Beside any other state,
    /// `status` says nothing that the state does not say.
    ///
    /// # Errors
    /// [`Mismatch`] when it is not the charge that checkout created, whatever its state.
    pub fn judge(&self, expected: &Expected<'_>) -> Result<Verdict, Mismatch> {
        let checks = [
            ("id", self.id == *expected.id),
            ("amount", self.amount == expected.amount),
            ("currency", self.currency == expected.currency),
            (
                "reference_order",
                expected.reference_order.is_none_or(|reference| {
                    self.reference_order.as_deref() == Some(reference.as_str())
                }),
            ),
            (
                LIVEMODE,
                self.livemode
                    .is_none_or(|livemode| livemode == expected.livemode),
            ),
        ];
        if let Some((field, _)) = checks.iter().find(|(_, same)| !same) {
            return Err(Mismatch { field });
        }
        Ok(match (&self.state, self.success) {
            (TransactionState::Authorized | TransactionState::Settled, true) => {
                Verdict::Decided(Outcome::Paid)
            }
            (TransactionState::Authorized | TransactionState::Settled, false) => Verdict::Unknown,
            (TransactionState::Declined | TransactionState::Reversed, _) => {
                Verdict::Decided(Outcome::Declined)
            }
            (TransactionState::Voided | TransactionState::RefundSent, _) => {
                Verdict::Decided(Outcome::Returned)
            }
            (TransactionState::Initialized | TransactionState::PreAuthorized, _) => {
                Verdict::Pending
            }
            (TransactionState::Unknown(_), _) => Verdict::Unknown,
        })
    }

    /// Tells whoever looks after this system that the bank's word is not known here ([`Verdict::Unknown`]). It may mean
    /// that the money is ours, so it is told at the first sight of it.
    pub fn log_unknown_state(&self) {
        tracing::error!(
            error = "UnknownState",
            state = self.state.as_str(),
            success = self.success,
            "the bank says something of this charge that is not known here: look at it in the bank's portal"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn charge(state: &str, success: bool) -> Charge {
        Charge {
            id: ChargeId::new("chrg_test_1").unwrap(),
            amount: Satang::new(150_000).unwrap(),
            currency: "THB".into(),
            state: TransactionState::parse(state),
            success,
            redirect_url: None,
            reference_order: Some("ref-1".into()),
            livemode: Some(false),
            failure_code: None,
        }
    }

    fn judge(charge: &Charge) -> Result<Verdict, Mismatch> {
        charge.judge(&Expected {
            id: &ChargeId::new("chrg_test_1").unwrap(),
            amount: Satang::new(150_000).unwrap(),
            currency: "THB",
            reference_order: Some(&ReferenceOrder::stored("ref-1".into())),
            livemode: false,
        })
    }

    #[test]
    fn every_state_of_the_bank_has_its_verdict() {
        use Outcome::*;
        use Verdict::*;
        for (state, success, verdict) in [
            ("Initialize", true, Pending),
            ("Initialized", true, Pending),
            ("Pre-Authorized", true, Pending),
            ("Authorized", true, Decided(Paid)),
            ("Settled", true, Decided(Paid)),
            ("Initialized", false, Pending),
            ("Pre-Authorized", false, Pending),
            ("Authorized", false, Unknown),
            ("Settled", false, Unknown),
            ("Declined", false, Decided(Declined)),
            ("Declined", true, Decided(Declined)),
            ("Reversed", false, Decided(Declined)),
            ("Voided", true, Decided(Returned)),
            ("Refund Sent", true, Decided(Returned)),
            ("Voided", false, Decided(Returned)),
            ("Refund Sent", false, Decided(Returned)),
            ("AUTHORIZED", true, Decided(Paid)),
            ("settled ", true, Decided(Paid)),
            (" declined", false, Decided(Declined)),
            ("REFUND SENT", true, Decided(Returned)),
            ("Auhtorized", true, Unknown),
            ("Auth orized", true, Unknown),
            ("On Hold", true, Unknown),
            ("", true, Unknown),
        ] {
            assert_eq!(
                judge(&charge(state, success)),
                Ok(verdict),
                "{state} {success}"
            );
        }
    }

    #[test]
    fn a_charge_that_differs_in_any_stored_field_is_never_judged() {
        type Change = fn(&mut Charge);
        let changes: [(&str, Change); 6] = [
            ("id", |c| c.id = ChargeId::new("chrg_test_2").unwrap()),
            ("amount", |c| c.amount = Satang::new(150_001).unwrap()),
            ("currency", |c| c.currency = "USD".into()),
            ("reference_order", |c| {
                c.reference_order = Some("ref-2".into());
            }),
            ("reference_order", |c| c.reference_order = None),
            ("livemode", |c| c.livemode = Some(true)),
        ];
        for (field, change) in changes {
            let mut other = charge("Authorized", true);
            change(&mut other);
            assert_eq!(judge(&other), Err(Mismatch { field }));
            assert_eq!(Mismatch { field }.is_of_the_mode(), field == "livemode");
        }
    }

    #[test]
    fn a_charge_that_differs_in_more_than_the_mode_is_not_taken_for_one_of_the_other_mode() {
        let mut other = charge("Authorized", true);
        other.livemode = Some(true);
        other.amount = Satang::new(150_001).unwrap();
        assert!(!judge(&other).unwrap_err().is_of_the_mode());
    }
}
