//! A record whose bank may hold money after all: it stays open, or is opened again.

use super::super::TableError;
use super::super::item::{n, s};
use super::{ABANDONED, Record, Records};
use crate::clock;
use crate::domain::ids::RecordKey;
use crate::domain::payment::Payment;
impl Records {
    /// Notes that the bank has signed that the charge of an open, pending record is authorised, and has reconciliation look at
    /// it at its next run: from then on no decline closes the record. `false` when the record is not open or not pending.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn note_authorised(&self, key: &RecordKey) -> Result<bool, TableError> {
        self.update_if(
            "note the signed authorisation in the payment record",
            key.as_str(),
            "SET lookAgainAt = :now, paidNotifiedAt = :now",
            "attribute_exists(openShard) AND outcome = :pending",
            [
                (":now", Some(n(clock::now_seconds()))),
                (":pending", Some(s("pending"))),
            ],
        )
        .await
    }

    /// Opens a declined record again, closed or not, because the bank has authorised its charge after all: it is pending, as
    /// for any other callback, and an attempt is counted, so that there is a name for another execution. What is decided next
    /// is dated anew. `None` when the record is not what was read: somebody else was first, or the bank's yes is recorded by
    /// now.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn reopen_declined(&self, record: &Record) -> Result<Option<u32>, TableError> {
        let next = record.attempt + 1;
        let now = clock::now_seconds();
        let opened = self
            .update_if(
                "open the declined payment record again",
                record.key.as_str(),
                "SET outcome = :pending, attempt = :next, openShard = :shard, lookAgainAt = :now, paidNotifiedAt = :now REMOVE closedAt, closedAs, decidedAt",
                "outcome = :declined AND attempt = :read AND attribute_exists(chargeId)",
                [
                    (":next", Some(n(next))),
                    (":read", Some(n(record.attempt))),
                    (":shard", Some(n(record.key.open_shard()))),
                    (":now", Some(n(now))),
                    (":declined", Some(s("declined"))),
                    (":pending", Some(s("pending"))),
                ],
            )
            .await?;
        Ok(opened.then_some(next))
    }

    /// Opens a record again that was given up, since the bank may have decided after all: it is pending, due, and in the
    /// index of open ones, and an attempt is counted, so that there is a name for another execution. `None` when the record
    /// is not what was read.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn reopen_abandoned(&self, record: &Record) -> Result<Option<u32>, TableError> {
        let next = record.attempt + 1;
        let opened = self
            .update_if(
                "open the abandoned payment record again",
                record.key.as_str(),
                "SET outcome = :pending, attempt = :next, openShard = :shard, lookAgainAt = :now REMOVE closedAt, closedAs, decidedAt",
                "closedAs = :abandoned AND attempt = :read",
                [
                    (":pending", Some(s("pending"))),
                    (":abandoned", Some(s(ABANDONED))),
                    (":next", Some(n(next))),
                    (":read", Some(n(record.attempt))),
                    (":shard", Some(n(record.key.open_shard()))),
                    (":now", Some(n(clock::now_seconds()))),
                ],
            )
            .await?;
        Ok(opened.then_some(next))
    }

    /// Opens a record again that was closed as declined, or given up, while an execution was about to record that the bank has
    /// authorised its charge. The attempt stays: that execution goes on. `false` when it is not closed so.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn open_for_payment(&self, payment: &Payment) -> Result<bool, TableError> {
        self.update_if(
            "open the payment record again for the bank's decision",
            payment.record_key.as_str(),
            "SET outcome = :pending, openShard = :shard, lookAgainAt = :now REMOVE closedAt, closedAs, decidedAt",
            "chargeId = :charge AND outcome = :declined AND attribute_not_exists(openShard)",
            [
                (":pending", Some(s("pending"))),
                (":declined", Some(s("declined"))),
                (":charge", Some(s(payment.charge_id.as_str()))),
                (":shard", Some(n(payment.record_key.open_shard()))),
                (":now", Some(n(clock::now_seconds()))),
            ],
        )
        .await
    }
}
