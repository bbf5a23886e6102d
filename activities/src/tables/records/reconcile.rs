//! What reconciliation reads and writes: which records are due, when each is looked at next, and those that are given
//! up.

use aws_sdk_dynamodb::types::TransactWriteItem;

use super::super::TableError;
use super::super::item::{Item, integer, n, s, string};
use super::super::write::transact_update;
use super::{ABANDONED, Record, Records, unreadable};
use crate::domain::ids::{OrderId, RecordKey};
use crate::domain::payment::Payment;

const OPEN_INDEX: &str = "open_index";

/// What a look at an open record has shown of what keeps the payment from going on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Noted {
    /// Nothing new.
    Nothing,
    /// The bank has answered: whatever was in the way is over.
    Answered,
    /// Something technical is in the way.
    Trouble,
    /// The bank does not know the charge.
    Unknown,
}

/// An open record that cannot be read.
#[derive(Debug)]
pub struct Unreadable {
    /// Its key.
    pub key: RecordKey,
    /// When it was due, in seconds since 1970.
    pub look_again_at: i64,
    /// Its order, as far as it says.
    pub order_id: Option<OrderId>,
    /// What is wrong with it.
    pub error: TableError,
}

impl Unreadable {
    /// A record that lacks what it cannot be looked after without.
    #[must_use]
    pub fn lacking(record: &Record, attribute: &'static str) -> Self {
        Self {
            key: record.key.clone(),
            look_again_at: record.look_again_at,
            order_id: Some(record.order_id.clone()),
            error: unreadable(attribute),
        }
    }
}

/// A page of the index of open records.
#[derive(Debug)]
pub struct Due {
    /// The records; an item that cannot be read does not hide the others.
    pub records: Vec<Result<Record, Unreadable>>,
    /// Where the next page begins, if there is one.
    pub next: Option<Item>,
}

impl Records {
    /// A page of a shard's open records whose `lookAgainAt` is past, longest due first.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn due(&self, shard: u8, now: i64, page: Option<Item>) -> Result<Due, TableError> {
        let output = self
            .client
            .query()
            .table_name(&self.table)
            .index_name(OPEN_INDEX)
            .key_condition_expression("openShard = :shard AND lookAgainAt <= :now")
            .expression_attribute_values(":shard", n(shard))
            .expression_attribute_values(":now", n(now))
            .set_exclusive_start_key(page)
            .send()
            .await
            .map_err(TableError::unavailable("read the open payment records"))?;
        let read = |item: &Item| {
            Record::read(item).map_err(|error| Unreadable {
                // The index holds both keys of every item.
                key: RecordKey::stored(string(item, "tokenId").unwrap_or_default().to_owned()),
                look_again_at: integer(item, "lookAgainAt").unwrap_or(0),
                order_id: string(item, "orderId").and_then(|id| OrderId::new(id).ok()),
                error,
            })
        };
        Ok(Due {
            records: output.items().iter().map(read).collect(),
            next: output.last_evaluated_key,
        })
    }

    /// Puts an open record off that cannot be read, unless somebody woke it up meanwhile.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn put_off_unreadable(&self, record: &Unreadable, at: i64) -> Result<(), TableError> {
        let read = record.look_again_at;
        self.put_off_as_read(&record.key, read, "SET lookAgainAt = :at", at, None)
            .await
    }

    /// Puts an open record off, and notes what was seen, unless somebody woke it up since it was read.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn put_off(
        &self,
        record: &Record,
        at: i64,
        now: i64,
        noted: Noted,
    ) -> Result<(), TableError> {
        let (update, since) = match noted {
            Noted::Nothing => ("SET lookAgainAt = :at", None),
            Noted::Answered => (
                "SET lookAgainAt = :at REMOVE troubleSince, unknownSince",
                None,
            ),
            Noted::Trouble => (
                "SET lookAgainAt = :at, troubleSince = :since",
                Some(record.trouble_since),
            ),
            Noted::Unknown => (
                "SET lookAgainAt = :at, unknownSince = :since REMOVE troubleSince",
                Some(record.unknown_since),
            ),
        };
        let since = since.map(|since| since.unwrap_or(now));
        self.put_off_as_read(&record.key, record.look_again_at, update, at, since)
            .await
    }

    async fn put_off_as_read(
        &self,
        key: &RecordKey,
        read: i64,
        update: &str,
        at: i64,
        since: Option<i64>,
    ) -> Result<(), TableError> {
        self.update_if(
            "put the payment record off",
            key,
            update,
            "attribute_exists(openShard) AND lookAgainAt = :read",
            [
                (":at", Some(n(at))),
                (":read", Some(n(read))),
                (":since", since.map(n)),
            ],
        )
        .await
        .map(|_| ())
    }

    /// Counts an attempt that ended without settling the payment, so that there is a name for another execution. It is
    /// looked at again `at` that moment, in seconds since 1970; `trouble_since` is kept as the begin of the trouble.
    /// `None` when the record is not what was read: another attempt is counted, or nothing is left to do.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn count_attempt(
        &self,
        record: &Record,
        trouble_since: i64,
        at: i64,
    ) -> Result<Option<u32>, TableError> {
        let next = record.attempt + 1;
        let counted = self
            .update_if(
                "count the attempt in the payment record",
                &record.key,
                "SET attempt = :next, lookAgainAt = :at, troubleSince = :since",
                "attempt = :this AND attribute_exists(openShard)",
                [
                    (":next", Some(n(next))),
                    (":this", Some(n(record.attempt))),
                    (":at", Some(n(at))),
                    (":since", Some(n(trouble_since))),
                ],
            )
            .await?;
        Ok(counted.then_some(next))
    }

    /// For a transaction: the shopper never finished. Holds only while the record is as it was read and pending, and
    /// the bank has signed nothing else.
    #[must_use]
    pub fn abandoned_update(&self, payment: &Payment) -> TransactWriteItem {
        transact_update(
            self.closed_as(&payment.record_key, ABANDONED)
                .condition_expression(
                    "outcome = :pending AND attempt = :attempt AND attribute_not_exists(paidNotifiedAt)",
                )
                .expression_attribute_values(":pending", s("pending"))
                .expression_attribute_values(":attempt", n(payment.attempt)),
        )
    }
}
