//! credit-card-notify: the log of what the bank decided, one row per charge and outcome.

use aws_sdk_dynamodb::types::{TransactWriteItem, Update};

use super::Database;
use super::item::{n, s};
use super::write::transact_update;
use crate::clock::Clock;
use crate::domain::charge::Outcome;
use crate::domain::payment::Payment;

/// The table.
#[derive(Clone)]
pub struct Outcomes {
    clock: Clock,
    table: String,
}

impl Outcomes {
    /// The table by its name.
    #[must_use]
    pub fn new(database: Database, table: String) -> Self {
        Self {
            clock: database.clock,
            table,
        }
    }

    /// For a transaction: the row of an outcome. Written again, it stays as it was first.
    #[must_use]
    pub fn row(&self, payment: &Payment, outcome: Outcome, bank_state: &str) -> TransactWriteItem {
        transact_update(
            Update::builder()
                .table_name(&self.table)
                .key("chargeId", s(payment.charge_id.as_str()))
                .key("outcome", s(outcome.as_str()))
                .update_expression(
                    "SET orderId = :order, amountSatang = :amount, transactionState = :state, \
                     recordedAt = if_not_exists(recordedAt, :now)",
                )
                .expression_attribute_values(":order", s(payment.order_id.as_str()))
                .expression_attribute_values(":amount", n(payment.amount_satang.satang()))
                .expression_attribute_values(":state", s(bank_state))
                .expression_attribute_values(":now", s(self.clock.text())),
        )
    }
}
