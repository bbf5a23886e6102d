//! `InquireCharge`: asks the bank what became of the charge. The only place where a payment is decided.

use serde::{Deserialize, Serialize};

use crate::bank::{Bank, BankError};
use crate::domain::charge::{Mismatch, Outcome, Verdict};
use crate::domain::payment::Payment;
use crate::failure::failure;

/// How long a bank that does not know a charge is asked again, in seconds since it was first seen not to know it. Its
/// copies may lag behind by seconds, and a wrong or rotated key may stand for hours; after a day it is a person's
/// matter. The age of the payment does not count: else a wrong key would fail every old payment that is looked at
/// meanwhile.
pub(super) const MAY_BE_UNKNOWN_FOR: i64 = 24 * 60 * 60;
/// From this age of the payment on, in seconds, an unknown charge is told: no copy lags behind for so long.
pub(super) const UNKNOWN_IS_TOLD_AFTER: i64 = 10 * 60;

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
    /// When the bank was asked, in seconds since 1970: taken before, so that the decision is never taken for younger
    /// than it is.
    pub asked_at: i64,
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
    /// The bank does not know the charge, or only in the other mode. Right after checkout it may not know it yet; later
    /// on the gateway secret is probably another account's.
    #[error("{0}: if it stays so, the gateway secret may be of another account or mode")]
    ChargeUnknown(String),
    /// The bank's charge is not the one that checkout stored, or the bank has not known it for a day. For a person to
    /// look at.
    #[error("{0}: compare the record with the bank's portal before anything else")]
    ChargeMismatch(String),
}

failure!(InquiryError {
    ChargePending: Transient,
    BankUnavailable: Transient,
    ChargeUnknown: Transient,
    ChargeMismatch: Definite,
});

impl From<Mismatch> for InquiryError {
    fn from(mismatch: Mismatch) -> Self {
        if mismatch.is_of_the_mode() {
            return Self::ChargeUnknown(mismatch.to_string());
        }
        Self::ChargeMismatch(mismatch.to_string())
    }
}

impl From<BankError> for InquiryError {
    fn from(error: BankError) -> Self {
        if error.says_unknown() {
            return Self::ChargeUnknown("the bank knows no charge with this id".into());
        }
        // Any other refusal of a mere question says nothing about the charge.
        Self::BankUnavailable(error.to_string())
    }
}

impl InquiryError {
    /// The same, said of a charge that the bank has not known for so many seconds: what it has not known for a day,
    /// asking again does not mend. `None` is the first time.
    fn unknown_for(self, seconds: Option<i64>) -> Self {
        match self {
            Self::ChargeUnknown(reason)
                if seconds.is_some_and(|seconds| seconds >= MAY_BE_UNKNOWN_FOR) =>
            {
                Self::ChargeMismatch(format!("{reason}, for a day"))
            }
            other => other,
        }
    }
}

/// Asks the bank.
///
/// # Errors
/// [`InquiryError`].
pub async fn inquire(bank: &Bank, input: &Input) -> Result<Decision, InquiryError> {
    let now = bank.clock().seconds();
    let age = now - input.payment.open_since;
    let decision = decide(bank, &input.payment, now).await;
    if matches!(decision, Err(InquiryError::ChargeUnknown(_))) && age >= UNKNOWN_IS_TOLD_AFTER {
        log_unknown_charge();
    }
    let unknown_for = input.payment.unknown_since.map(|since| now - since);
    decision.map_err(|error| error.unknown_for(unknown_for))
}

/// Tells of a charge that the bank does not know, and that no lagging copy explains.
pub(super) fn log_unknown_charge() {
    tracing::error!(
        error = "ChargeStillUnknown",
        "the bank does not know this charge: compare the gateway secret with the account that made it"
    );
}

async fn decide(bank: &Bank, payment: &Payment, asked_at: i64) -> Result<Decision, InquiryError> {
    let (charge, judged) = bank.judge(payment).await?;
    match judged? {
        Verdict::Decided(outcome) => {
            tracing::info!(%outcome, state = charge.state.as_str(), "the bank decided");
            Ok(Decision {
                outcome,
                transaction_state: charge.state.as_str().into(),
                failure_code: charge.failure_code,
                asked_at,
            })
        }
        Verdict::Pending | Verdict::Unknown => {
            Err(InquiryError::ChargePending(charge.state.as_str().into()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Failure;

    fn unknown() -> InquiryError {
        let error = BankError::Refused {
            status: 404,
            code: "charge_not_found".into(),
        };
        error.into()
    }

    #[test]
    fn a_charge_that_the_bank_does_not_know_is_asked_for_again_for_a_day() {
        for (seconds, name) in [
            (None, "ChargeUnknown"),
            (Some(0), "ChargeUnknown"),
            (Some(MAY_BE_UNKNOWN_FOR - 1), "ChargeUnknown"),
            (Some(MAY_BE_UNKNOWN_FOR), "ChargeMismatch"),
        ] {
            assert_eq!(unknown().unknown_for(seconds).name(), name, "{seconds:?}");
        }
    }

    #[test]
    fn only_the_mode_of_a_charge_is_mended_by_another_key() {
        for (field, name) in [
            ("livemode", "ChargeUnknown"),
            ("id", "ChargeMismatch"),
            ("amount", "ChargeMismatch"),
            ("currency", "ChargeMismatch"),
            ("reference_order", "ChargeMismatch"),
        ] {
            let error = InquiryError::from(Mismatch { field });
            assert_eq!(error.name(), name, "{field}");
        }
    }

    #[test]
    fn another_refusal_of_the_question_is_an_outage() {
        for status in [200, 400, 409, 422] {
            let error = InquiryError::from(BankError::Refused {
                status,
                code: "none".into(),
            });
            assert_eq!(error.name(), "BankUnavailable", "{status}");
        }
    }
}
