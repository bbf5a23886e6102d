//! `LookupRecord`: finds the payment's record, from which everything else in the saga is taken.

use serde::Deserialize;

use crate::domain::checkout::VERIFICATION_AMOUNT;
use crate::domain::ids::{ChargeId, OwnerId, RecordKey};
use crate::domain::money::Satang;
use crate::domain::payment::{Payment, Purpose};
use crate::failure::{Failure, Treatment};
use crate::log;
use crate::tables::TableError;
use crate::tables::orders::Orders;
use crate::tables::records::Record;
use crate::tables::sources::{Foreign, Found, Sources, TakeOverError};

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

impl Failure for LookupError {
    const NAMES: &'static [(&'static str, Treatment)] = &[
        ("RecordNotFound", Treatment::Transient),
        ("RecordClosed", Treatment::Definite),
        ("HandledElsewhere", Treatment::Definite),
        ("TokenReused", Treatment::Definite),
        TableError::NAMES[0],
        TableError::NAMES[1],
    ];

    fn name(&self) -> &'static str {
        match self {
            Self::RecordNotFound => "RecordNotFound",
            Self::RecordClosed(_) => "RecordClosed",
            Self::HandledElsewhere => "HandledElsewhere",
            Self::TokenReused => "TokenReused",
            Self::Table(error) => error.name(),
        }
    }
}

impl From<TakeOverError> for LookupError {
    fn from(error: TakeOverError) -> Self {
        match error {
            TakeOverError::HandledElsewhere => Self::HandledElsewhere,
            TakeOverError::TokenReused => Self::TokenReused,
            TakeOverError::Table(error) => Self::Table(error),
        }
    }
}

/// Finds the record, takes it over if it is not ours yet, and refuses one that is done.
///
/// # Errors
/// [`LookupError`].
pub async fn lookup(parts: &Parts, input: &Input) -> Result<Payment, LookupError> {
    let record = find(parts, input).await?;
    log::order(&record.order_id);
    match &record.closed_as {
        // Given up between the start of this execution and now, or before: whoever started it may know that the bank has
        // decided, and nobody else would ask any more.
        Some(_) if record.is_abandoned() => {}
        Some(closed_as) => return Err(LookupError::RecordClosed(closed_as.clone())),
        None => {}
    }
    parts.sources.claim_own(&record).await?;
    record.payment().ok_or(LookupError::RecordNotFound)
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
    let key = match parts.sources.find(&input.charge_id).await? {
        None => return Err(LookupError::RecordNotFound),
        Some(Found::Own(record)) => record.key,
        Some(Found::Foreign(foreign)) => take_over(parts, &foreign).await?,
    };
    // An index may be behind: whether the record is closed must be read from the record itself.
    own.get(&key)
        .await?
        .filter(|record| record.charge_id.as_ref() == Some(&input.charge_id))
        .ok_or(LookupError::RecordNotFound)
}

async fn take_over(parts: &Parts, foreign: &Foreign) -> Result<RecordKey, LookupError> {
    if foreign.is_done() {
        return Err(LookupError::RecordClosed(
            "done by the system that made it".into(),
        ));
    }
    let (owner, amount) = completed(parts, foreign).await?;
    Ok(parts.sources.take_over(foreign, &owner, amount).await?)
}

/// What an old record lacks is taken from its order.
async fn completed(parts: &Parts, foreign: &Foreign) -> Result<(OwnerId, Satang), TableError> {
    let (mut owner, mut amount) = (foreign.owner_id.clone(), foreign.amount);
    match Purpose::of(&foreign.order_id) {
        Purpose::Verification => amount = amount.or(Some(VERIFICATION_AMOUNT)),
        Purpose::Order if owner.is_none() || amount.is_none() => {
            if let Some(stored) = parts.orders.get(&foreign.order_id).await? {
                owner.get_or_insert(stored.order.owner_id);
                amount.get_or_insert(stored.order.grand_total);
            }
        }
        Purpose::Order => {}
    }
    let missing = |attribute| TableError::Unreadable {
        table: "card-payment-record",
        attribute,
    };
    Ok((
        owner.ok_or_else(|| missing("ownerId"))?,
        amount.ok_or_else(|| missing("amount"))?,
    ))
}
