//! Writes that hold only under a condition: updates of one item, and transactions of several.

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::TransactWriteItem;
use aws_sdk_dynamodb::types::builders::{ConditionCheckBuilder, UpdateBuilder};

use super::TableError;

/// Wraps an update for a transaction. The builder only fails without key, table or expression, which stand in the
/// callers' code.
pub(super) fn transact_update(update: UpdateBuilder) -> TransactWriteItem {
    match update.build() {
        Ok(update) => TransactWriteItem::builder().update(update).build(),
        Err(error) => unreachable!("an update without key, table or expression: {error}"),
    }
}

/// Wraps a condition for a transaction that writes nothing to its item. The builder only fails as an update's does.
pub(super) fn transact_check(check: ConditionCheckBuilder) -> TransactWriteItem {
    match check.build() {
        Ok(check) => TransactWriteItem::builder().condition_check(check).build(),
        Err(error) => unreachable!("a condition without key, table or expression: {error}"),
    }
}

/// Whether a write's condition held.
///
/// # Errors
/// [`TableError`] where the write failed otherwise.
pub(super) fn condition_held<T, E: ProvideErrorMetadata, R>(
    written: Result<T, SdkError<E, R>>,
    operation: &'static str,
) -> Result<bool, TableError> {
    match written {
        Ok(_) => Ok(true),
        Err(error) if error.code() == Some("ConditionalCheckFailedException") => Ok(false),
        Err(error) => Err(TableError::unavailable(operation)(error)),
    }
}

/// Why a transaction wrote nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotWritten {
    /// The conditions of these items (by their position) did not hold.
    Refused(Vec<usize>),
    /// Another transaction held one of the items, or the order's row of check-status kept changing hands: the same write
    /// may succeed in a moment.
    Conflict,
    /// DynamoDB did not answer, was busy, or refused us.
    Unavailable(TableError),
}

/// Writes all of the items or none.
///
/// # Errors
/// [`NotWritten`].
pub async fn transact(
    client: &aws_sdk_dynamodb::Client,
    operation: &'static str,
    items: Vec<TransactWriteItem>,
) -> Result<(), NotWritten> {
    let result = client
        .transact_write_items()
        .set_transact_items(Some(items))
        .send()
        .await;
    let Err(error) = result else { return Ok(()) };
    if let Some(TransactWriteItemsError::TransactionCanceledException(canceled)) =
        error.as_service_error()
    {
        let codes: Vec<_> = canceled
            .cancellation_reasons()
            .iter()
            .map(|reason| reason.code().unwrap_or_default())
            .collect();
        // A failed condition is final whatever else happened to the transaction.
        let refused: Vec<_> = (0..codes.len())
            .filter(|i| codes[*i] == "ConditionalCheckFailed")
            .collect();
        if !refused.is_empty() {
            return Err(NotWritten::Refused(refused));
        }
        if codes.contains(&"TransactionConflict") {
            return Err(NotWritten::Conflict);
        }
    }
    Err(NotWritten::Unavailable(TableError::unavailable(operation)(
        error,
    )))
}

/// What a transaction shows apps of a payment, in the order's row of check-status.
#[derive(Debug, Clone)]
pub struct Shown {
    /// Writes it. Its condition holds where the row is this payment's to write.
    pub set: TransactWriteItem,
    /// Holds where that condition does not, and writes nothing: the row shows another payment, and goes on doing so.
    pub anothers: TransactWriteItem,
}

/// [`transact`], and apps are shown what became of the payment. Where the order's row shows another payment, the rest
/// is written alone, but only as long as the row does: without that, another write could show this payment as pending
/// in between, and nobody would correct it any more.
///
/// # Errors
/// [`NotWritten`].
pub async fn transact_shown(
    client: &aws_sdk_dynamodb::Client,
    operation: &'static str,
    needed: Vec<TransactWriteItem>,
    shown: Option<Shown>,
) -> Result<(), NotWritten> {
    let Some(Shown { set, anothers }) = shown else {
        return transact(client, operation, needed).await;
    };
    let row = [needed.len()];
    // Once more where the row changed hands between the two.
    for item in [&set, &anothers, &set, &anothers] {
        let items = needed.iter().chain([item]).cloned().collect();
        match transact(client, operation, items).await {
            Err(NotWritten::Refused(refused)) if refused == row => {}
            written => return written,
        }
    }
    Err(NotWritten::Conflict)
}
