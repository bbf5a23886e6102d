//! One request for money to go back, as `VoidCharge` and `RefundCharge` send it. The ledger says `asked` before the bank
//! is asked. So whoever comes later knows that a request may have taken effect, and never sends another one blindly.
//!
//! What the bank answers is written into the ledger and into the execution: where one of the two fails, the other has
//! it. A refusal is not written here but by the state machine (`TakeBack`), which has it in its history and can try for
//! days.

use serde::{Deserialize, Serialize};

use crate::bank::{Bank, BankError, Refunded};
use crate::domain::payment::Payment;
use crate::domain::refund::{EntryState, Refund, Way};
use crate::failure::failure;
use crate::tables::TableError;
use crate::tables::records::{Found, Records};

/// What the bank's portal shows beside a refund without a reason.
const NO_REASON: &str = "refunded by the shop";

/// Which refund the bank is asked for.
#[derive(Debug, Deserialize)]
pub struct Input {
    /// The payment of which money goes back.
    pub payment: Payment,
    /// The refund.
    pub refund: Refund,
    /// Which request this is: another one each time that the bank is asked.
    pub mark: String,
}

/// The bank has accepted the refund.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Accepted {
    /// The bank's id of the refund, where it was one and its answer holds one.
    pub bank_refund_id: Option<String>,
}

/// Why it is not known that the bank has accepted the refund. But for a refund that waits for another one, nothing is
/// tried again in place: each name leads to a state of its own.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// Another refund of the charge is being asked for.
    #[error("another refund of the charge is being asked for: this one waits for it")]
    RefundBusy,
    /// The bank said no.
    #[error("{0}")]
    RefundRefused(String),
    /// The bank surely was not asked.
    #[error("the bank was not asked: {0}")]
    RefundNotSent(String),
    /// The bank was asked before, by this execution or another one.
    #[error("the bank was asked for this refund before: whether it did it is found out first")]
    RefundAsked,
    /// Nobody knows what the bank did.
    #[error("{0}: whether the refund took effect is found out first")]
    AnswerLost(String),
    /// The entry was given up, or is for a person to decide.
    #[error("the refund's entry in the ledger is not reserved: look at it")]
    RefundNotReserved,
}

failure!(RequestError {
    RefundBusy: Transient,
    RefundRefused: Definite,
    RefundNotSent: Definite,
    RefundAsked: Definite,
    AnswerLost: Definite,
    RefundNotReserved: Definite,
});

impl From<BankError> for RequestError {
    fn from(error: BankError) -> Self {
        match error {
            BankError::Refused { .. } => Self::RefundRefused(error.to_string()),
            BankError::NotTaken(_) => Self::RefundNotSent(error.to_string()),
            BankError::Unavailable(_) => Self::AnswerLost(error.to_string()),
        }
    }
}

/// Before the request, a table that fails leaves the bank unasked.
fn not_sent(error: TableError) -> RequestError {
    RequestError::RefundNotSent(error.to_string())
}

/// What a request touches.
pub struct Parts {
    /// The bank.
    pub bank: Bank,
    /// The payment's record, with its ledger.
    pub records: Records,
}

/// Sends one request, unless one was sent before.
pub(super) async fn send(parts: &Parts, input: &Input, way: Way) -> Result<Accepted, RequestError> {
    let Input {
        payment,
        refund,
        mark,
    } = input;
    // The key is fetched meanwhile.
    let run = parts.records.clock().mark();
    let (noted, ()) = tokio::join!(
        parts
            .records
            .ask_refund(payment, &refund.refund_id, mark, &run),
        parts.bank.prepare()
    );
    if !noted.map_err(not_sent)?
        && let Noted::Accepted(accepted) = noted_before(parts, input, &run).await?
    {
        return Ok(accepted);
    }
    let reason = refund.reason.as_deref().unwrap_or(NO_REASON);
    let charge = &payment.charge_id;
    let answer = match way {
        Way::Voided if parts.bank.void(charge, reason).await? => Refunded::Accepted(None),
        Way::Voided => Refunded::Unproven,
        Way::Refunded => {
            let amount = refund.amount_satang;
            parts.bank.refund(charge, amount, reason).await?
        }
    };
    let (found, bank_refund_id) = match answer {
        Refunded::Accepted(id) => (Found::TookEffect(way), id),
        // It may have been accepted, and contradicts what is known of the bank: nothing that it says later is sure.
        Refunded::Unclear => (Found::Unclear, None),
        Refunded::Unproven => return Err(unproven()),
    };
    let (records, id) = (&parts.records, &refund.refund_id);
    let written = records
        .answer_refund(payment, id, mark, found, bank_refund_id.as_deref())
        .await;
    if let Err(error) = written {
        tracing::warn!(reason = %error, found = ?found, "the bank's answer could not be written into the ledger");
    }
    if found == Found::Unclear {
        return Err(unproven());
    }
    // Where it is not in the ledger, RecordRefund writes it.
    Ok(Accepted { bank_refund_id })
}

fn unproven() -> RequestError {
    RequestError::AnswerLost("the bank's answer does not say that the money goes back".into())
}

/// What stands in the ledger where this request could not be noted.
enum Noted {
    /// The bank has accepted the refund before.
    Accepted(Accepted),
    /// This very run's request: it is noted after all, and only the answer to that was lost. It was not sent yet.
    ByThisRun,
}

/// Why the entry is not to be asked for, or not now.
async fn noted_before(parts: &Parts, input: &Input, run: &str) -> Result<Noted, RequestError> {
    let key = &input.payment.record_key;
    let read = parts.records.get_with_ledger(key).await;
    // Whatever stands there: it is found out first.
    let read = read.map_err(|_| RequestError::RefundAsked)?;
    let ledger = read.map(|(_, ledger)| ledger).unwrap_or_default();
    let Some(entry) = ledger.entries.get(&input.refund.refund_id) else {
        return Err(RequestError::RefundNotReserved);
    };
    match entry.state {
        EntryState::Sent => Ok(Noted::Accepted(Accepted {
            bank_refund_id: entry.bank_refund_id.clone(),
        })),
        EntryState::Reserved => Err(RequestError::RefundBusy),
        EntryState::Asked if entry.asked_by.as_deref() == Some(run) => Ok(Noted::ByThisRun),
        EntryState::Asked => Err(RequestError::RefundAsked),
        EntryState::Failed | EntryState::Uncertain => Err(RequestError::RefundNotReserved),
    }
}
