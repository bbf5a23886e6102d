//! A record whose bank may hold money after all: it stays open, or is opened again.

use aws_sdk_dynamodb::types::AttributeValue;

use super::super::TableError;
use super::super::item::{n, s};
use super::{ABANDONED, Record, Records};
use crate::domain::ids::RecordKey;
use crate::domain::payment::Payment;

impl Records {
    /// Notes that the bank has signed that the charge of an open, pending record is authorised, and has reconciliation
    /// look at it at its next run: from then on no decline closes the record. `false` when the record is not open or
    /// not pending.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn note_authorised(&self, key: &RecordKey) -> Result<bool, TableError> {
        self.update_if(
            "note the signed authorisation in the payment record",
            key,
            "SET lookAgainAt = :now, paidNotifiedAt = if_not_exists(paidNotifiedAt, :now)",
            "attribute_exists(openShard) AND outcome = :pending",
            [
                (":now", Some(n(self.clock.seconds()))),
                (":pending", Some(s("pending"))),
            ],
        )
        .await
    }

    /// Opens a declined record again, closed or not, because the bank has authorised its charge after all. It is
    /// pending, as for any other callback, and an attempt is counted, so that there is a name for another execution.
    /// `None` when the record is not what was read: somebody else was first, or the bank's yes is recorded by now.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn reopen_declined(&self, record: &Record) -> Result<Option<u32>, TableError> {
        self.reopen_counted(
            "open the declined payment record again",
            record,
            ", paidNotifiedAt = :now",
            "outcome = :was AND attribute_exists(chargeId)",
            "declined",
        )
        .await
    }

    /// Opens a record again that was given up, since the bank may have decided after all. An attempt is counted, so
    /// that there is a name for another execution. `None` when the record is not what was read.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn reopen_abandoned(&self, record: &Record) -> Result<Option<u32>, TableError> {
        self.reopen_counted(
            "open the abandoned payment record again",
            record,
            "",
            "closedAs = :was",
            ABANDONED,
        )
        .await
    }

    /// Opens a record again that was closed as declined, or given up, while an execution was about to record that the
    /// bank has authorised its charge. The attempt stays: that execution goes on. `false` when it is not closed so.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn open_for_payment(&self, payment: &Payment) -> Result<bool, TableError> {
        self.reopen(
            "open the payment record again for the bank's decision",
            &payment.record_key,
            "",
            "chargeId = :charge AND outcome = :declined AND attribute_not_exists(openShard)",
            [
                (":declined", Some(s("declined"))),
                (":charge", Some(s(payment.charge_id.as_str()))),
            ],
        )
        .await
    }

    /// Opens a record again for the next attempt: its number, where the record still is what was read and `condition`
    /// holds. There, `:was` is `was`.
    async fn reopen_counted(
        &self,
        operation: &'static str,
        record: &Record,
        and_set: &str,
        condition: &str,
        was: &str,
    ) -> Result<Option<u32>, TableError> {
        let next = record.attempt + 1;
        let opened = self
            .reopen(
                operation,
                &record.key,
                &format!(", attempt = :next{and_set}"),
                &format!("{condition} AND attempt = :read"),
                [
                    (":next", Some(n(next))),
                    (":read", Some(n(record.attempt))),
                    (":was", Some(s(was))),
                ],
            )
            .await?;
        Ok(opened.then_some(next))
    }

    /// Opens a record again where `condition` holds: pending, due, and in the index of open ones. What is decided next is
    /// dated anew, and so is its trouble.
    async fn reopen<const N: usize>(
        &self,
        operation: &'static str,
        key: &RecordKey,
        and_set: &str,
        condition: &str,
        values: [(&'static str, Option<AttributeValue>); N],
    ) -> Result<bool, TableError> {
        let update = format!(
            "SET outcome = :pending, openShard = :shard, lookAgainAt = :now{and_set} \
             REMOVE closedAt, closedAs, decidedAt, troubleSince, unknownSince"
        );
        let opened = [
            (":pending", Some(s("pending"))),
            (":shard", Some(n(key.open_shard()))),
            (":now", Some(n(self.clock.seconds()))),
        ];
        let values = opened.into_iter().chain(values);
        self.update_if(operation, key, &update, condition, values)
            .await
    }
}
