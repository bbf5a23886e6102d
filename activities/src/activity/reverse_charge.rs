//! `ReverseCharge`, `ReverseVerification`: the money goes back, all of it and once.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::bank::{Bank, BankError, Refunded};
use crate::domain::charge::{Charge, Mismatch, TransactionState};
use crate::domain::payment::{Payment, Purpose};
use crate::domain::refund::Way;
use crate::failure::failure;
use crate::tables::check_status::CheckStatus;
use crate::tables::records::Records;
use crate::tables::{NotWritten, TableError, transact_shown};

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
    pub reversal: Way,
    /// The bank's id of the refund, where it was one and its answer was not lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refund_id: Option<String>,
}

/// Why the money is not on its way back.
#[derive(Debug, thiserror::Error)]
pub enum ReverseError {
    /// Neither voidable nor refundable at this moment, as between authorisation and settlement: tried for days.
    #[error("the charge cannot be reversed yet: it is `{0}`")]
    NotReversibleYet(String),
    /// The bank did not answer, or not usefully, or its answer is of the other mode.
    #[error("{0}")]
    BankUnavailable(String),
    /// The bank's charge is not the one that checkout stored, or there is nothing to give back.
    #[error("{0}: compare the record with the bank's portal before anything else")]
    ChargeMismatch(String),
    /// The order is paid by this very charge, or the bank never said yes: the money must stay where it is. Or the bank
    /// shows a refund that was not asked for here: it may be a part, given back by hand.
    #[error(
        "the payment record does not allow a reversal: look at its `outcome`, `resolution` and `refundAskedAt`"
    )]
    OutcomeConflict,
    /// Another transaction was at the same record: the next try may succeed.
    #[error("another transaction was at the same record")]
    TransactionConflict,
    /// A table could not be used.
    #[error(transparent)]
    Table(#[from] TableError),
}

failure!(ReverseError {
    NotReversibleYet: Transient,
    BankUnavailable: Transient,
    ChargeMismatch: Definite,
    OutcomeConflict: Definite,
    TransactionConflict: Transient,
} or Table(TableError));

impl From<Mismatch> for ReverseError {
    fn from(mismatch: Mismatch) -> Self {
        if mismatch.is_of_the_mode() {
            return Self::BankUnavailable(mismatch.to_string());
        }
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
    let (reversed, proof) =
        give_back_within(AT_THE_BANK, &parts.bank, &parts.records, payment).await?;
    let written = parts.records.reversed_update(
        payment,
        reversed.reversal.as_str(),
        reversed.refund_id.as_deref(),
        reversed.reversal == Way::Refunded && proof == Proof::Inquiry,
    );
    // The status of an order that another charge paid stays `paid`.
    let shown = (payment.purpose == Purpose::Order).then(|| parts.check_status.reversed(payment));
    let client = parts.records.client();
    match transact_shown(client, "record the reversal", vec![written], shown).await {
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
    let (charge, judged) = bank.judge(payment).await?;
    judged?;
    Ok(charge)
}

/// What proves that the money went back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// The bank's answer to our own request.
    Answer,
    /// The bank's word when it was asked what the charge is.
    Inquiry,
}

/// Where requests for a refund are noted. A refund that is seen at the bank may be a part, given back by hand: it
/// counts as ours only while a note stands. So the note is written before the request, and taken back only when this
/// very request surely took no effect. Any other note stays: its request may still be on its way.
pub trait RefundNotes {
    /// Notes a request under a mark of its own. `false` when the reversal is not in progress.
    fn note(
        &self,
        payment: &Payment,
        mark: &str,
    ) -> impl Future<Output = Result<bool, TableError>> + Send;
    /// Takes back this note alone: the bank refused the request, or did not take it.
    fn forget(
        &self,
        payment: &Payment,
        mark: &str,
    ) -> impl Future<Output = Result<(), TableError>> + Send;
}

impl RefundNotes for Records {
    async fn note(&self, payment: &Payment, mark: &str) -> Result<bool, TableError> {
        self.note_refund(payment, mark).await
    }

    async fn forget(&self, payment: &Payment, mark: &str) -> Result<(), TableError> {
        self.forget_refund(payment, mark).await
    }
}

/// How long one invocation may spend with the bank: three calls at their time limits. The function's own limit leaves
/// room for the tables as well.
const AT_THE_BANK: Duration = Duration::from_secs(45);

/// Asks for the charge and gives its money back, as [`give_back`], in a limited time. A request that the end of the
/// time cuts off counts as one whose answer was lost: its note stays.
///
/// # Errors
/// [`ReverseError`]; `BankUnavailable` at the end of the time.
pub async fn give_back_within(
    limit: Duration,
    bank: &Bank,
    notes: &impl RefundNotes,
    payment: &Payment,
) -> Result<(Reversed, Proof), ReverseError> {
    let work = async {
        let charge = ask(bank, payment).await?;
        give_back(bank, notes, payment, &charge).await
    };
    match tokio::time::timeout(limit, work).await {
        Ok(done) => done,
        Err(_) => Err(ReverseError::BankUnavailable(
            "the bank is too slow for its answers to be waited for".into(),
        )),
    }
}

/// What the bank's portal shows beside a reversal.
const REASON: &str = "reversed by the payment saga";

/// How often the bank is asked for a reversal, before the state machine waits.
const REQUESTS: usize = 2;

/// Gives the money of a charge back that looked like this a moment ago. A refusal says that it is something else by
/// now, as when the bank has settled it or another execution has given it back: the bank is asked what the charge is
/// now, and for the reversal once more. An answer that does not prove the reversal says nothing: the bank is asked what
/// the charge is, and no second request is sent beside one that may still be on its way.
///
/// # Errors
/// [`ReverseError`].
pub async fn give_back(
    bank: &Bank,
    notes: &impl RefundNotes,
    payment: &Payment,
    seen: &Charge,
) -> Result<(Reversed, Proof), ReverseError> {
    let mut charge = seen.clone();
    for _ in 0..REQUESTS {
        if let Some(found) = found(&charge) {
            return Ok(found);
        }
        let answer = request(bank, notes, payment, &charge).await?;
        if let Answer::Done(reversed) = answer {
            return Ok((reversed, Proof::Answer));
        }
        charge = ask(bank, payment).await?;
        if let Answer::Unproven = answer {
            return found(&charge).ok_or_else(unproven);
        }
    }
    found(&charge).ok_or_else(|| ReverseError::NotReversibleYet(charge.state.as_str().into()))
}

/// What the bank answers to one request for a reversal.
enum Answer {
    Done(Reversed),
    Refused,
    /// It does not say that it was done.
    Unproven,
}

async fn request(
    bank: &Bank,
    notes: &impl RefundNotes,
    payment: &Payment,
    charge: &Charge,
) -> Result<Answer, ReverseError> {
    match charge.state {
        TransactionState::Authorized => {
            let voided = bank.void(&charge.id, REASON).await;
            answer(voided.map(|proven| proven.then(|| by(Way::Voided))))
        }
        TransactionState::Settled => refund(bank, notes, payment).await,
        TransactionState::Initialized
        | TransactionState::PreAuthorized
        | TransactionState::Unknown(_) => {
            Err(ReverseError::NotReversibleYet(charge.state.as_str().into()))
        }
        TransactionState::Declined
        | TransactionState::Reversed
        | TransactionState::Voided
        | TransactionState::RefundSent => Err(ReverseError::ChargeMismatch(format!(
            "the bank holds no money of this charge: it is `{}`",
            charge.state.as_str()
        ))),
    }
}

/// Asks for the refund, noted before: whoever finds it at the bank later must know that it is ours.
async fn refund(
    bank: &Bank,
    notes: &impl RefundNotes,
    payment: &Payment,
) -> Result<Answer, ReverseError> {
    let mark = bank.clock().mark();
    if !notes.note(payment, &mark).await? {
        return Err(ReverseError::OutcomeConflict);
    }
    let refund = bank
        .refund(&payment.charge_id, payment.amount_satang, REASON)
        .await;
    if let Err(BankError::Refused { .. } | BankError::NotTaken(_)) = refund {
        notes.forget(payment, &mark).await?;
    }
    answer(refund.map(|refunded| match refunded {
        Refunded::Accepted(refund_id) => Some(Reversed {
            refund_id,
            ..by(Way::Refunded)
        }),
        Refunded::Unclear | Refunded::Unproven => None,
    }))
}

/// The reversal that the charge shows, if it shows one.
fn found(charge: &Charge) -> Option<(Reversed, Proof)> {
    Some((by(Way::shown_by(&charge.state)?), Proof::Inquiry))
}

/// As after a lost answer: the state machine comes again and asks first.
fn unproven() -> ReverseError {
    ReverseError::BankUnavailable("the bank's answer does not say that the money went back".into())
}

fn by(reversal: Way) -> Reversed {
    Reversed {
        reversal,
        refund_id: None,
    }
}

fn answer(answer: Result<Option<Reversed>, BankError>) -> Result<Answer, ReverseError> {
    match answer {
        Ok(Some(reversed)) => Ok(Answer::Done(reversed)),
        Ok(None) => Ok(Answer::Unproven),
        Err(BankError::Refused { .. }) => Ok(Answer::Refused),
        Err(error @ (BankError::NotTaken(_) | BankError::Unavailable(_))) => Err(error.into()),
    }
}
