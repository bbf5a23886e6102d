//! `InquireCharge`: asks the bank what became of the charge. The only place where a payment is decided.

use serde::{Deserialize, Serialize};

use crate::bank::{Bank, BankError};
use crate::domain::charge::{Mismatch, Outcome, TransactionState, Verdict};
use crate::domain::payment::Payment;
use crate::failure::{Failure, Treatment};

/// Which charge to ask for.
#[derive(Debug, Deserialize)]
pub struct Input {
    /// The payment whose charge it is.
    pub payment: Payment,
}

/// The bank's decision.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// What it means.
    pub outcome: Outcome,
    /// The bank's own word for the charge's state.
    pub transaction_state: String,
    /// ISO 8583 code of a decline, where the bank gives one.
    pub failure_code: Option<String>,
}

/// Why there is no decision.
#[derive(Debug, thiserror::Error)]
pub enum InquiryError {
    /// The bank has not decided: 3-D Secure is not done, or the state is one we do not know.
    #[error("the bank has not decided yet: the charge is `{0}`")]
    ChargePending(String),
    /// The bank did not answer, or not usefully.
    #[error("{0}")]
    BankUnavailable(String),
    /// The bank's charge is not the one that checkout stored. For a person to look at.
    #[error("{0}: compare the record with the bank's portal before anything else")]
    ChargeMismatch(String),
}

impl Failure for InquiryError {
    const NAMES: &'static [(&'static str, Treatment)] = &[
        ("ChargePending", Treatment::Transient),
        ("BankUnavailable", Treatment::Transient),
        ("ChargeMismatch", Treatment::Definite),
    ];

    fn name(&self) -> &'static str {
        match self {
            Self::ChargePending(_) => "ChargePending",
            Self::BankUnavailable(_) => "BankUnavailable",
            Self::ChargeMismatch(_) => "ChargeMismatch",
        }
    }
}

impl From<Mismatch> for InquiryError {
    fn from(mismatch: Mismatch) -> Self {
        Self::ChargeMismatch(mismatch.to_string())
    }
}

impl From<BankError> for InquiryError {
    fn from(error: BankError) -> Self {
        match error {
            BankError::Refused { status: 404, .. } => {
                Self::ChargeMismatch("the bank knows no charge with this id".into())
            }
            // Any other refusal of a mere question says nothing about the charge.
            error => Self::BankUnavailable(error.to_string()),
        }
    }
}

/// Asks the bank.
///
/// # Errors
/// [`InquiryError`].
pub async fn inquire(bank: &Bank, input: &Input) -> Result<Decision, InquiryError> {
    let livemode = bank.livemode().await?;
    let charge = bank.inquire(&input.payment.charge_id).await?;
    match charge.judge(&input.payment.expected(livemode))? {
        Verdict::Pending => {
            if let TransactionState::Unknown(word) = &charge.state {
                // It may mean that the money is ours. Told at once, not only when the payment is about to be given up.
                tracing::error!(
                    error = "UnknownState",
                    state = word,
                    "the bank says something of this charge that is not known here: look at it in the bank's portal"
                );
            }
            Err(InquiryError::ChargePending(charge.state.as_str().into()))
        }
        Verdict::Decided(outcome) => {
            tracing::info!(%outcome, state = charge.state.as_str(), "the bank decided");
            Ok(Decision {
                outcome,
                transaction_state: charge.state.as_str().into(),
                failure_code: charge.failure_code,
            })
        }
    }
}
