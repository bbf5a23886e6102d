//! `LookupRecord`: finds the payment's record, from which everything else in the saga is taken.

use serde::Deserialize;

use crate::domain::ids::{ChargeId, RecordKey};
use crate::domain::payment::Payment;
use crate::failure::failure;
use crate::log;
use crate::tables::TableError;
use crate::tables::orders::Orders;
use crate::tables::records::Record;
use crate::tables::sources::{Found, Sources, TakeOverError};

/// Which record to find.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    /// The charge.
    pub charge_id: ChargeId,
    /// Where the caller found the record, if it did.
    pub record_key: Option<RecordKey>,
}

/// Where to look.
pub struct Parts {
    /// The records, wherever they were made.
    pub sources: Sources,
    /// For what old records lack.
    pub orders: Orders,
}

/// Why the saga cannot go on with the record.
#[derive(Debug, thiserror::Error)]
pub enum LookupError {
    /// No record has this charge. The index may lag behind a checkout of the last moments, so it is looked for again
    /// briefly.
    #[error(
        "no payment record has this charge: check the charge id, or whether another branch's stack created it"
    )]
    RecordNotFound,
    /// The payment is done.
    #[error("the payment record is closed as `{0}`: nothing is left to do")]
    RecordClosed(String),
    /// Another stack works on the payment.
    #[error("another stack handles this payment: see `handledBy` in the record")]
    HandledElsewhere,
    /// The payment was made elsewhere with a card token that made another charge here. For a person to look at.
    #[error(
        "this stack has another charge for the same card token: compare both with the bank's portal"
    )]
    TokenReused,
    /// A table could not be used.
    #[error(transparent)]
    Table(#[from] TableError),
}

failure!(LookupError {
    RecordNotFound: Transient,
    RecordClosed: Definite,
    HandledElsewhere: Definite,
    TokenReused: Definite,
} or Table(TableError));

impl From<TakeOverError> for LookupError {
    fn from(error: TakeOverError) -> Self {
        match error {
            TakeOverError::HandledElsewhere => Self::HandledElsewhere,
            TakeOverError::TokenReused => Self::TokenReused,
            TakeOverError::Table(error) => Self::Table(error),
        }
    }
}

/// How often a record is read again that others keep changing.
const TRIES: usize = 3;

/// Finds the record, takes it over if it is not ours yet, and refuses one that is done. One that was given up is opened
/// again: whoever started this execution may know that the bank has decided, and nobody else would ask any more.
///
/// # Errors
/// [`LookupError`].
pub async fn lookup(parts: &Parts, input: &Input) -> Result<Payment, LookupError> {
    let mut record = find(parts, input).await?;
    log::order(&record.order_id);
    refuse_done(&record)?;
    parts.sources.claim_own(&record).await?;
    let own = parts.sources.own();
    for _ in 0..TRIES {
        if !record.is_abandoned() {
            break;
        }
        if let Some(attempt) = own.reopen_abandoned(&record).await? {
            tracing::warn!(attempt, "a payment that was given up is opened again");
        }
        record = read(parts, &record.key, &input.charge_id).await?;
        refuse_done(&record)?;
    }
    if record.is_abandoned() {
        return Err(TableError::busy("open the abandoned payment record again").into());
    }
    // Whoever starts an execution sets the next look, except a person who starts one by hand, and a process that died.
    own.look_after_a_start(&record, own.clock().seconds())
        .await?;
    record.payment().ok_or(LookupError::RecordNotFound)
}

fn refuse_done(record: &Record) -> Result<(), LookupError> {
    match &record.closed_as {
        Some(closed_as) if !record.is_abandoned() => {
            Err(LookupError::RecordClosed(closed_as.clone()))
        }
        _ => Ok(()),
    }
}

/// By the caller's key where it has one: a strongly consistent read. It counts only if the record there has this very
/// charge, since an execution's input may have been typed by hand.
async fn find(parts: &Parts, input: &Input) -> Result<Record, LookupError> {
    let own = parts.sources.own();
    if let Some(key) = &input.record_key
        && let Some(record) = own.get(key).await?
        && record.charge_id.as_ref() == Some(&input.charge_id)
    {
        return Ok(record);
    }
    match parts.sources.find(&input.charge_id).await? {
        None => Err(LookupError::RecordNotFound),
        Some(Found::Own(record)) => read(parts, &record.key, &input.charge_id).await,
        Some(Found::Foreign(foreign)) if foreign.is_done() => Err(LookupError::RecordClosed(
            "done by the system that made it".into(),
        )),
        Some(Found::Foreign(foreign)) => {
            let copied = parts.sources.take_over(&foreign, &parts.orders).await;
            if let Err(error) = &copied {
                error.log_if_it_stands(None);
            }
            Ok(copied?)
        }
    }
}

/// An index may be behind: whether the record is closed must be read from the record itself.
async fn read(parts: &Parts, key: &RecordKey, charge: &ChargeId) -> Result<Record, LookupError> {
    let record = parts.sources.own().get(key).await?;
    record
        .filter(|record| record.charge_id.as_ref() == Some(charge))
        .ok_or(LookupError::RecordNotFound)
}
