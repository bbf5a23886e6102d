//! `ReverseCharge`, `ReverseVerification`: the money goes back, all of it and once.

use serde::{Deserialize, Serialize};

use crate::bank::{Bank, BankError};
use crate::domain::charge::{Charge, Mismatch, TransactionState};
use crate::domain::payment::{Payment, Purpose};
use crate::failure::{Failure, Treatment};
use crate::tables::check_status::CheckStatus;
use crate::tables::records::Records;
use crate::tables::{NotWritten, TableError, transact_without};

/// Which payment goes back.
#[derive(Debug, Deserialize)]
pub struct Input {
    /// The payment; the bank has authorised it.
    pub payment: Payment,
}

/// How the money went back.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Reversed {
    /// By which way.
    pub reversal: Reversal,
    /// The bank's id of the refund, where it was one and its answer was not lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refund_id: Option<String>,
}

/// The bank's two ways back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Reversal {
    /// Cancelled before settlement: the shopper never sees it on a statement.
    Voided,
    /// Refunded after settlement: an evening batch of the bank pays it.
    Refunded,
}

impl Reversal {
    fn as_str(self) -> &'static str {
        match self {
            Self::Voided => "voided",
            Self::Refunded => "refunded",
        }
    }
}

/// Why the money is not on its way back.
#[derive(Debug, thiserror::Error)]
pub enum ReverseError {
    /// Neither voidable nor refundable at this moment, as between authorisation and settlement: tried for days.
    #[error("the charge cannot be reversed yet: it is `{0}`")]
    NotReversibleYet(String),
    /// The bank did not answer, or not usefully.
    #[error("{0}")]
    BankUnavailable(String),
    /// The bank's charge is not the one that checkout stored, or there is nothing to give back.
    #[error("{0}: compare the record with the bank's portal before anything else")]
    ChargeMismatch(String),
    /// The order is paid by this very charge, or the bank never said yes: the money must stay where it is.
    #[error("the payment record does not allow a reversal: look at its `outcome` and `resolution`")]
    OutcomeConflict,
    /// Another transaction was at the same record: the next try may succeed.
    #[error("another transaction was at the same record")]
    TransactionConflict,
    /// A table could not be used.
    #[error(transparent)]
    Table(#[from] TableError),
}

impl Failure for ReverseError {
    const NAMES: &'static [(&'static str, Treatment)] = &[
        ("NotReversibleYet", Treatment::Transient),
        ("BankUnavailable", Treatment::Transient),
        ("ChargeMismatch", Treatment::Definite),
        ("OutcomeConflict", Treatment::Definite),
        ("TransactionConflict", Treatment::Transient),
        TableError::NAMES[0],
        TableError::NAMES[1],
    ];

    fn name(&self) -> &'static str {
        match self {
            Self::NotReversibleYet(_) => "NotReversibleYet",
            Self::BankUnavailable(_) => "BankUnavailable",
            Self::ChargeMismatch(_) => "ChargeMismatch",
            Self::OutcomeConflict => "OutcomeConflict",
            Self::TransactionConflict => "TransactionConflict",
            Self::Table(error) => error.name(),
        }
    }
}

impl From<Mismatch> for ReverseError {
    fn from(mismatch: Mismatch) -> Self {
        Self::ChargeMismatch(mismatch.to_string())
    }
}

impl From<BankError> for ReverseError {
    fn from(error: BankError) -> Self {
        Self::BankUnavailable(error.to_string())
    }
}

/// What a reversal touches.
pub struct Parts {
    /// The bank.
    pub bank: Bank,
    /// The payment's record.
    pub records: Records,
    /// What apps show.
    pub check_status: CheckStatus,
}

/// Gives the money back. The decision is written down first, so that from here on nobody can pay the order with it; and
/// the bank is asked before it is told, so that a repeat after a lost answer finds the money returned.
///
/// # Errors
/// [`ReverseError`].
pub async fn reverse(parts: &Parts, input: &Input) -> Result<Reversed, ReverseError> {
    let payment = &input.payment;
    let (begun, ()) = tokio::join!(parts.records.begin_reversal(payment), parts.bank.prepare());
    if !begun? {
        return Err(ReverseError::OutcomeConflict);
    }
    let charge = ask(&parts.bank, payment).await?;
    let reversed = give_back(&parts.bank, payment, &charge).await?;
    let mut items = vec![parts.records.reversed_update(
        payment,
        reversed.reversal.as_str(),
        reversed.refund_id.as_deref(),
    )];
    if payment.purpose == Purpose::Order {
        items.push(parts.check_status.reversed(payment));
    }
    // The status of an order that another charge paid stays `paid`.
    match transact_without(parts.records.client(), "record the reversal", items, 1).await {
        Ok(()) => {
            tracing::info!(
                event = "reversal",
                purpose = payment.purpose.as_str(),
                reversal = reversed.reversal.as_str(),
                "the charge is reversed"
            );
            Ok(reversed)
        }
        Err(NotWritten::Refused(_)) => Err(ReverseError::OutcomeConflict),
        Err(NotWritten::Conflict) => Err(ReverseError::TransactionConflict),
        Err(NotWritten::Unavailable(error)) => Err(error.into()),
    }
}

/// The payment's own charge, as it is now.
async fn ask(bank: &Bank, payment: &Payment) -> Result<Charge, ReverseError> {
    let livemode = bank.livemode().await?;
    let charge = bank.inquire(&payment.charge_id).await?;
    charge.judge(&payment.expected(livemode))?;
    Ok(charge)
}

/// Gives the money of a charge back that looked like this a moment ago. A refusal says that it is something else by now,
/// as when the bank has settled it or another execution has given it back: it is asked for and tried once more.
///
/// # Errors
/// [`ReverseError`].
pub async fn give_back(
    bank: &Bank,
    payment: &Payment,
    seen: &Charge,
) -> Result<Reversed, ReverseError> {
    if let Some(reversed) = tried(bank, payment, seen).await? {
        return Ok(reversed);
    }
    let now = ask(bank, payment).await?;
    tried(bank, payment, &now)
        .await?
        .ok_or_else(|| ReverseError::NotReversibleYet(now.state.as_str().into()))
}

/// `None` where the bank refuses.
async fn tried(
    bank: &Bank,
    payment: &Payment,
    charge: &Charge,
) -> Result<Option<Reversed>, ReverseError> {
    match charge.state {
        TransactionState::Voided => Ok(Some(by(Reversal::Voided))),
        TransactionState::RefundSent => Ok(Some(by(Reversal::Refunded))),
        TransactionState::Authorized => {
            let voided = unless_refused(bank.void(&charge.id).await)?;
            Ok(voided.map(|()| by(Reversal::Voided)))
        }
        TransactionState::Settled => {
            let refund = bank.refund(&charge.id, payment.amount_satang).await;
            Ok(unless_refused(refund)?.map(|refund| Reversed {
                refund_id: refund.id,
                ..by(Reversal::Refunded)
            }))
        }
        TransactionState::Declined | TransactionState::Reversed => {
            Err(ReverseError::ChargeMismatch(format!(
                "the bank holds no money of this charge: it is `{}`",
                charge.state.as_str()
            )))
        }
        TransactionState::Initialized
        | TransactionState::PreAuthorized
        | TransactionState::Unknown(_) => {
            Err(ReverseError::NotReversibleYet(charge.state.as_str().into()))
        }
    }
}

fn by(reversal: Reversal) -> Reversed {
    Reversed {
        reversal,
        refund_id: None,
    }
}

fn unless_refused<T>(answer: Result<T, BankError>) -> Result<Option<T>, ReverseError> {
    match answer {
        Ok(done) => Ok(Some(done)),
        Err(BankError::Refused { .. }) => Ok(None),
        Err(error @ (BankError::NotTaken(_) | BankError::Unavailable(_))) => Err(error.into()),
    }
}
