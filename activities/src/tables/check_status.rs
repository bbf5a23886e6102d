//! check-status: what an app may show for an order now. One row per order; `paid` is final.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{TransactWriteItem, Update};

use super::TableError;
use super::item::{integer, n, s, string};
use super::records::transact_update;
use crate::clock;
use crate::domain::ids::{ChargeId, OrderId};
use crate::domain::money::Satang;
use crate::domain::payment::Payment;

const SET: &str =
    "SET chargeId = :charge, #status = :status, amountSatang = :amount, updatedAt = :now";

/// The table.
#[derive(Clone)]
pub struct CheckStatus {
    client: Client,
    table: String,
}

/// What an app may show for an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// `pending`, `paid`, `declined` or `reversed`.
    pub status: String,
    /// The charged amount.
    pub amount: Satang,
    /// Since when, in RFC 3339.
    pub updated_at: String,
}

impl CheckStatus {
    /// The table by its name.
    #[must_use]
    pub fn new(client: Client, table: String) -> Self {
        Self { client, table }
    }

    /// Reads an order's status, strongly consistent; `None` when no payment was started for it.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn get(&self, order: &OrderId) -> Result<Option<Status>, TableError> {
        let output = self
            .client
            .get_item()
            .table_name(&self.table)
            .key("orderId", s(order.as_str()))
            .consistent_read(true)
            .send()
            .await
            .map_err(TableError::unavailable("read the check status"))?;
        // A row of the former system holds the charge only: nothing that an app could show.
        Ok(output.item.as_ref().and_then(|item| {
            Some(Status {
                status: string(item, "status")?.to_owned(),
                amount: integer(item, "amountSatang").and_then(|n| Satang::new(n).ok())?,
                updated_at: string(item, "updatedAt")?.to_owned(),
            })
        }))
    }

    /// A new charge was made for the order: it is pending, unless the order is paid.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn pending(
        &self,
        order: &OrderId,
        charge: &ChargeId,
        amount: Satang,
    ) -> Result<(), TableError> {
        let result = self
            .client
            .update_item()
            .table_name(&self.table)
            .key("orderId", s(order.as_str()))
            .update_expression(SET)
            // A repeat must not put a decided charge back to pending.
            .condition_expression(
                "attribute_not_exists(orderId) OR (#status <> :paid AND chargeId <> :charge)",
            )
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":charge", s(charge.as_str()))
            .expression_attribute_values(":status", s("pending"))
            .expression_attribute_values(":paid", s("paid"))
            .expression_attribute_values(":amount", n(amount.satang()))
            .expression_attribute_values(":now", s(clock::now()))
            .send()
            .await;
        match result {
            Ok(_) => Ok(()),
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(_)) => Ok(()),
                _ => Err(TableError::unavailable("write the check status")(error)),
            },
        }
    }

    /// For a transaction with the order: it is paid by this charge. Only one charge can pay an order, so the order's
    /// own condition guards this row too.
    #[must_use]
    pub fn paid(&self, payment: &Payment) -> TransactWriteItem {
        transact_update(self.update(payment, "paid"))
    }

    /// For a transaction with the outcome: the bank declined. Holds only while the row speaks of this charge or of
    /// another that failed, so that a second tab's pending or paid charge is not hidden.
    #[must_use]
    pub fn declined(&self, payment: &Payment) -> TransactWriteItem {
        self.failed(payment, "declined")
    }

    /// For a transaction with the record: the money went back. Holds as [`CheckStatus::declined`] does.
    #[must_use]
    pub fn reversed(&self, payment: &Payment) -> TransactWriteItem {
        self.failed(payment, "reversed")
    }

    fn failed(&self, payment: &Payment, status: &str) -> TransactWriteItem {
        transact_update(
            self.update(payment, status)
                .condition_expression(
                    "attribute_not_exists(orderId) OR (chargeId = :charge AND #status <> :paid) \
                     OR #status IN (:declined, :reversed)",
                )
                .expression_attribute_values(":paid", s("paid"))
                .expression_attribute_values(":declined", s("declined"))
                .expression_attribute_values(":reversed", s("reversed")),
        )
    }

    fn update(
        &self,
        payment: &Payment,
        status: &str,
    ) -> aws_sdk_dynamodb::types::builders::UpdateBuilder {
        Update::builder()
            .table_name(&self.table)
            .key("orderId", s(payment.order_id.as_str()))
            .update_expression(SET)
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":charge", s(payment.charge_id.as_str()))
            .expression_attribute_values(":status", s(status))
            .expression_attribute_values(":amount", n(payment.amount_satang.satang()))
            .expression_attribute_values(":now", s(clock::now()))
    }
}
