//! What the bank decided, in one direction only.

use aws_sdk_dynamodb::types::{AttributeValue, TransactWriteItem};

use super::super::TableError;
use super::super::item::{n, s};
use super::super::write::transact_update;
use super::Records;
use crate::domain::charge::{Outcome, TransactionState};
use crate::domain::decision::Asked;
use crate::domain::ids::RecordKey;
use crate::domain::payment::Payment;

impl Records {
    /// For a transaction: the bank's decision. Holds only as the one direction allows: pending becomes anything, a
    /// decline may turn into a late authorisation, money that was ours may go back, and paid never becomes declined. Nor
    /// does what the bank has signed as authorised, unless the bank was asked after that and still says no. A refund may
    /// be a partial one, made by hand at the bank: it counts as the money's return only where we asked for it.
    #[must_use]
    pub fn outcome_update(
        &self,
        payment: &Payment,
        outcome: Outcome,
        state: &TransactionState,
        asked: Asked,
    ) -> TransactWriteItem {
        let refunded = *state == TransactionState::RefundSent;
        let before = match outcome {
            // Money that is ours is never recorded where nobody looks any more: see `open_for_payment`.
            Outcome::Paid => {
                "(outcome IN (:pending, :outcome) OR (outcome = :declined AND attribute_exists(openShard)))"
            }
            Outcome::Declined => {
                "outcome IN (:pending, :outcome) AND (attribute_not_exists(paidNotifiedAt) OR paidNotifiedAt < :overtaken)"
            }
            Outcome::Returned if refunded => {
                "outcome IN (:pending, :paid, :outcome) \
                 AND (resolution = :reversed OR (resolution = :reversing AND attribute_exists(refundAskedAt)))"
            }
            Outcome::Returned => {
                "outcome IN (:pending, :paid, :outcome) AND (attribute_not_exists(resolution) OR resolution <> :orderPaid)"
            }
        };
        let mut update = self.update(&payment.record_key)
            .update_expression(
                "SET outcome = :outcome, #status = :isPaid, decidedAt = if_not_exists(decidedAt, :now) \
                 REMOVE unknownSince",
            )
            .condition_expression(format!("chargeId = :charge AND {before}"))
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":charge", s(payment.charge_id.as_str()))
            .expression_attribute_values(":outcome", s(outcome.as_str()))
            .expression_attribute_values(":pending", s("pending"))
            .expression_attribute_values(
                ":isPaid",
                AttributeValue::Bool(outcome == Outcome::Paid),
            )
            .expression_attribute_values(":now", s(self.clock.text()));
        update = match outcome {
            Outcome::Paid => update.expression_attribute_values(":declined", s("declined")),
            Outcome::Declined => {
                update.expression_attribute_values(":overtaken", n(asked.overtaken_from()))
            }
            Outcome::Returned if refunded => update
                .expression_attribute_values(":paid", s("paid"))
                .expression_attribute_values(":reversing", s("reversing"))
                .expression_attribute_values(":reversed", s("reversed")),
            Outcome::Returned => update
                .expression_attribute_values(":paid", s("paid"))
                .expression_attribute_values(":orderPaid", s("orderPaid")),
        };
        transact_update(update)
    }

    /// Closes the copy of a record that another stack has claimed first.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn close_handled_elsewhere(&self, key: &RecordKey) -> Result<(), TableError> {
        self.update_if(
            "close the copy of the payment record",
            key,
            "SET closedAt = :now, closedAs = :elsewhere REMOVE openShard, lookAgainAt, #token",
            "attribute_exists(openShard) AND outcome = :pending",
            [
                (":now", Some(s(self.clock.text()))),
                (":elsewhere", Some(s("handledElsewhere"))),
                (":pending", Some(s("pending"))),
            ],
        )
        .await
        .map(|_| ())
    }
}
