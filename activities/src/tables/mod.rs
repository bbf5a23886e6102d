//! The DynamoDB tables behind typed functions. Only what decides is here: keys, conditions, transactions.

pub mod check_status;
pub mod checkouts;
pub mod hints;
pub mod item;
pub mod mapping;
pub mod orders;
pub mod outcomes;
pub mod records;
pub mod sources;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::TransactWriteItem;

use crate::failure::{Failure, Treatment};

/// A table could not be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// DynamoDB did not answer, was busy, or refused us.
    #[error("{operation} failed: {code}")]
    Unavailable {
        /// What was attempted, such as `read the order`.
        operation: &'static str,
        /// DynamoDB's error code, or `no answer`.
        code: String,
    },
    /// An item lacks an attribute that a payment cannot do without, or it has a type that cannot be read.
    #[error("{table} has an item whose attribute `{attribute}` cannot be read")]
    Unreadable {
        /// Which table.
        table: &'static str,
        /// Which attribute.
        attribute: &'static str,
    },
}

impl Failure for TableError {
    const NAMES: &'static [(&'static str, Treatment)] = &[
        ("TableUnavailable", Treatment::Transient),
        ("ItemUnreadable", Treatment::Definite),
    ];

    fn name(&self) -> &'static str {
        match self {
            Self::Unavailable { .. } => "TableUnavailable",
            Self::Unreadable { .. } => "ItemUnreadable",
        }
    }
}

impl TableError {
    /// Others kept changing the same items.
    pub(crate) fn busy(operation: &'static str) -> Self {
        Self::Unavailable {
            operation,
            code: "TransactionConflict".to_owned(),
        }
    }

    /// Whether another transaction held the item: the same write may succeed in a moment.
    pub(crate) fn is_conflict(&self) -> bool {
        matches!(self, Self::Unavailable { code, .. } if code.starts_with("TransactionConflict"))
    }

    /// Logs what kept an answer from a shopper or the bank, under a name that the metrics count. Whether it is definite: what
    /// cannot be read will be the same tomorrow, and an alarm tells the shop.
    pub(crate) fn log_is_definite(&self) -> bool {
        let reason = self.to_string();
        match self {
            Self::Unavailable { .. } => {
                tracing::error!(
                    error = "TableUnavailable",
                    reason,
                    "a table could not be used"
                );
                false
            }
            Self::Unreadable { .. } => {
                tracing::error!(
                    error = "OrderUnreadable",
                    reason,
                    "what is stored of a payment cannot be read"
                );
                true
            }
        }
    }

    /// Wraps an SDK error: its code only, since DynamoDB's messages may quote keys.
    pub(crate) fn unavailable<E: ProvideErrorMetadata, R>(
        operation: &'static str,
    ) -> impl Fn(SdkError<E, R>) -> Self {
        move |error| Self::Unavailable {
            operation,
            code: error.code().unwrap_or("no answer").to_owned(),
        }
    }
}

/// Why a transaction wrote nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotWritten {
    /// The conditions of these items (by their position) did not hold.
    Refused(Vec<usize>),
    /// Another transaction held one of the items: the same write may succeed in a moment.
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

/// [`transact`]; and if only items after the first `needed` stood in the way, once more without those. They show
/// something of another payment then, and shall go on to.
///
/// # Errors
/// [`NotWritten`].
pub async fn transact_without(
    client: &aws_sdk_dynamodb::Client,
    operation: &'static str,
    mut items: Vec<TransactWriteItem>,
    needed: usize,
) -> Result<(), NotWritten> {
    match transact(client, operation, items.clone()).await {
        Err(NotWritten::Refused(refused)) if refused.iter().all(|item| *item >= needed) => {
            items.truncate(needed);
            transact(client, operation, items).await
        }
        written => written,
    }
}
