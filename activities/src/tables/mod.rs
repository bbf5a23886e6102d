//! The DynamoDB tables behind typed functions. Only what decides is here: keys, conditions, transactions.

pub mod check_status;
pub mod checkouts;
pub mod hints;
pub mod item;
pub mod mapping;
pub mod orders;
pub mod outcomes;
pub mod records;
pub mod refunds;
pub mod sources;
mod write;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};

use crate::aws::reason;
use crate::clock::Clock;
use crate::failure::{Failure, Name, Treatment};

pub use write::{NotWritten, Shown, transact, transact_shown};

/// What every table is made of: the client, and the clock by which items are dated.
#[derive(Clone)]
pub struct Database {
    /// DynamoDB.
    pub client: Client,
    /// The time of day.
    pub clock: Clock,
}

/// A table could not be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// DynamoDB did not answer, was busy, or refused us.
    #[error("{operation} failed: {reason}")]
    Unavailable {
        /// What was attempted, such as `read the order`.
        operation: &'static str,
        /// DynamoDB's error code, or `no answer`. For a denied call also the right that is missing.
        reason: String,
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
    const NAMES: &'static [Name] = &[
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
            reason: "TransactionConflict".to_owned(),
        }
    }

    /// Whether another transaction held the item: the same write may succeed in a moment.
    pub(crate) fn is_conflict(&self) -> bool {
        matches!(self, Self::Unavailable { reason, .. } if reason.starts_with("TransactionConflict"))
    }

    /// Logs why a shopper or the bank gets no answer, under a name that the metrics count. Returns whether the cause is
    /// definite: what cannot be read now cannot be read tomorrow either, and an alarm tells the shop.
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

    /// Wraps an SDK error.
    pub(crate) fn unavailable<E: ProvideErrorMetadata, R>(
        operation: &'static str,
    ) -> impl Fn(SdkError<E, R>) -> Self {
        move |error| Self::Unavailable {
            operation,
            reason: reason(&error),
        }
    }
}
