//! What was done about the bank's yes: the order is paid, or the money goes back. Each excludes the other, by
//! condition.

use aws_sdk_dynamodb::types::{AttributeValue, TransactWriteItem};

use super::super::TableError;
use super::super::item::s;
use super::super::write::transact_update;
use super::Records;
use crate::domain::payment::Payment;

/// What was done about the bank's yes. Decided once: neither turns into the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolution {
    /// The order is paid.
    OrderPaid,
    /// The money is on its way back.
    Reversing,
    /// The money went back.
    Reversed,
}

impl Records {
    /// For a transaction: the order is paid by this charge. Holds only while the bank's decision is `paid` and nobody
    /// has decided to give the money back, before the order was paid or after it.
    #[must_use]
    pub fn order_paid_update(&self, payment: &Payment) -> TransactWriteItem {
        transact_update(
            self.update(&payment.record_key)
                .update_expression(
                    "SET resolution = :orderPaid, orderPaidAt = if_not_exists(orderPaidAt, :now)",
                )
                .condition_expression(
                    "chargeId = :charge AND outcome = :paid \
                     AND (attribute_not_exists(resolution) OR (resolution = :orderPaid AND attribute_not_exists(refunds)))",
                )
                .expression_attribute_values(":charge", s(payment.charge_id.as_str()))
                .expression_attribute_values(":paid", s("paid"))
                .expression_attribute_values(":orderPaid", s("orderPaid"))
                .expression_attribute_values(":now", s(self.clock.text())),
        )
    }

    /// Decides that the money goes back. `false` when the order is paid, or the bank never said yes.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn begin_reversal(&self, payment: &Payment) -> Result<bool, TableError> {
        self.update_if(
            "begin the reversal in the payment record",
            &payment.record_key,
            "SET resolution = if_not_exists(resolution, :reversing), reversingSince = if_not_exists(reversingSince, :now)",
            "chargeId = :charge AND outcome IN (:paid, :returned) \
             AND (attribute_not_exists(resolution) OR resolution IN (:reversing, :reversed))",
            [
                (":charge", Some(s(payment.charge_id.as_str()))),
                (":reversing", Some(s("reversing"))),
                (":reversed", Some(s("reversed"))),
                (":paid", Some(s("paid"))),
                (":returned", Some(s("returned"))),
                (":now", Some(s(self.clock.text()))),
            ],
        )
        .await
    }

    /// Notes that the bank is about to be asked for a refund, as `mark`: one of its own for each request. `false` when
    /// the reversal is not in progress.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn note_refund(&self, payment: &Payment, mark: &str) -> Result<bool, TableError> {
        self.update_if(
            "note the request for a refund in the payment record",
            &payment.record_key,
            "ADD refundAskedAt :mark",
            "chargeId = :charge AND resolution IN (:reversing, :reversed)",
            [
                (":charge", Some(s(payment.charge_id.as_str()))),
                (":reversing", Some(s("reversing"))),
                (":reversed", Some(s("reversed"))),
                (":mark", Some(AttributeValue::Ss(vec![mark.to_owned()]))),
            ],
        )
        .await
    }

    /// Takes back the note of a request that surely took no effect. The notes of others stay.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn forget_refund(&self, payment: &Payment, mark: &str) -> Result<(), TableError> {
        self.update_if(
            "take back the note of a refund that was not requested",
            &payment.record_key,
            "DELETE refundAskedAt :mark",
            "chargeId = :charge",
            [
                (":charge", Some(s(payment.charge_id.as_str()))),
                (":mark", Some(AttributeValue::Ss(vec![mark.to_owned()]))),
            ],
        )
        .await
        .map(|_| ())
    }

    /// For a transaction: the reversal is done. Holds only where it was begun; a refund that was only seen at the bank
    /// (`found_refunded`), and not answered to a request of ours, only where one was asked for.
    #[must_use]
    pub fn reversed_update(
        &self,
        payment: &Payment,
        how: &str,
        refund_id: Option<&str>,
        found_refunded: bool,
    ) -> TransactWriteItem {
        let begun = if found_refunded {
            "chargeId = :charge \
             AND (resolution = :reversed OR (resolution = :reversing AND attribute_exists(refundAskedAt)))"
        } else {
            "chargeId = :charge AND resolution IN (:reversing, :reversed)"
        };
        let mut set =
            "SET resolution = :reversed, reversedAt = if_not_exists(reversedAt, :now), reversal = :how"
                .to_owned();
        if refund_id.is_some() {
            set.push_str(", refundId = :refund");
        }
        let mut update = self
            .update(&payment.record_key)
            .update_expression(set)
            .condition_expression(begun)
            .expression_attribute_values(":charge", s(payment.charge_id.as_str()))
            .expression_attribute_values(":reversing", s("reversing"))
            .expression_attribute_values(":reversed", s("reversed"))
            .expression_attribute_values(":how", s(how))
            .expression_attribute_values(":now", s(self.clock.text()));
        if let Some(id) = refund_id {
            update = update.expression_attribute_values(":refund", s(id));
        }
        transact_update(update)
    }
}
