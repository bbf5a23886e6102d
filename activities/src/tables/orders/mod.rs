//! order: the shop's orders. Hash key `orderId`, the order in the map attribute `data`. The table belongs to the shop:
//! only `data.payment` is ever written, and only together with the payment's record.

mod stored;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{AttributeValue, TransactWriteItem, Update};
use jiff::Timestamp;

use super::item::{Item, get_item, s};
use super::write::transact_update;
use super::{Database, TableError};
use crate::domain::ids::{ChargeId, OrderId, OwnerId};
use crate::domain::money::Satang;
use stored::{READ, data, owner};

pub use stored::StoredOrder;

/// The table.
#[derive(Clone)]
pub struct Orders {
    client: Client,
    table: String,
}

impl Orders {
    /// The table by its name.
    #[must_use]
    pub fn new(database: Database, table: String) -> Self {
        Self {
            client: database.client,
            table,
        }
    }

    /// Reads an order, strongly consistent.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn get(&self, id: &OrderId) -> Result<Option<StoredOrder>, TableError> {
        let item = self.item(id).await?;
        item.map(|item| StoredOrder::read(id, &item)).transpose()
    }

    /// Reads an order, strongly consistent, if it is this owner's. Somebody else's order is as good as none, even where
    /// the rest of it cannot be read.
    ///
    /// # Errors
    /// [`TableError`]; also where it cannot be read whose order it is.
    pub async fn get_of(
        &self,
        id: &OrderId,
        owner_id: &OwnerId,
    ) -> Result<Option<StoredOrder>, TableError> {
        match self.item(id).await? {
            Some(item) if owner(data(&item)?)? == *owner_id => {
                StoredOrder::read(id, &item).map(Some)
            }
            _ => Ok(None),
        }
    }

    async fn item(&self, id: &OrderId) -> Result<Option<Item>, TableError> {
        let key = ("orderId", id.as_str());
        get_item(&self.client, &self.table, key, "read the order").await
    }

    /// For a transaction: the order is paid by `charge`. Holds only if all that paying reads of the order is still
    /// exactly as it was read, so that no other payment, no change of the total and no cancellation in between is
    /// overwritten.
    #[must_use]
    pub fn paid_by(
        &self,
        stored: &StoredOrder,
        charge: &ChargeId,
        amount: Satang,
        at: Timestamp,
    ) -> TransactWriteItem {
        let paid = AttributeValue::M(stored.payment_by(charge, amount, at));
        let mut update = Update::builder()
            .table_name(&self.table)
            .key("orderId", s(stored.order.id.as_str()))
            .update_expression("SET #data.#payment = :paid")
            .expression_attribute_names("#data", "data")
            .expression_attribute_values(":paid", paid);
        let mut conditions = Vec::new();
        for name in READ {
            update = update.expression_attribute_names(format!("#{name}"), name);
            conditions.push(match stored.read.get(name) {
                Some(value) => {
                    update = update.expression_attribute_values(format!(":{name}"), value.clone());
                    format!("#data.#{name} = :{name}")
                }
                None => format!("attribute_not_exists(#data.#{name})"),
            });
        }
        transact_update(update.condition_expression(conditions.join(" AND ")))
    }

    /// For a transaction with the ledger: the order's payment as it reads after a refund. Holds only while the payment is
    /// still as it was read.
    #[must_use]
    pub fn refunded(&self, stored: &StoredOrder, payment: Item) -> TransactWriteItem {
        let before = stored.read.get("payment").cloned();
        transact_update(
            Update::builder()
                .table_name(&self.table)
                .key("orderId", s(stored.order.id.as_str()))
                .update_expression("SET #data.#payment = :refunded")
                .condition_expression("#data.#payment = :before")
                .expression_attribute_names("#data", "data")
                .expression_attribute_names("#payment", "payment")
                .expression_attribute_values(":refunded", AttributeValue::M(payment))
                .expression_attribute_values(
                    ":before",
                    before.unwrap_or(AttributeValue::Null(true)),
                ),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::stored::tests::{new_year, order_with, total};
    use super::*;
    use crate::clock::Clock;

    #[test]
    fn the_condition_is_on_what_paying_reads_and_on_nothing_else() {
        let config = aws_sdk_dynamodb::Config::builder()
            .behavior_version(aws_sdk_dynamodb::config::BehaviorVersion::latest())
            .build();
        let database = Database {
            client: Client::from_conf(config),
            clock: Clock::system(),
        };
        let orders = Orders::new(database, "orders".into());
        let stored = order_with(&[
            ("isDrafting", AttributeValue::Bool(false)),
            ("tracking", AttributeValue::L(vec![s("click")])),
        ])
        .unwrap();
        let charge = ChargeId::new("chrg_1").unwrap();
        let write = orders.paid_by(&stored, &charge, total(), new_year());
        let update = write.update().unwrap();
        assert_eq!(
            update.condition_expression(),
            Some(
                "attribute_not_exists(#data.#payment) AND attribute_not_exists(#data.#status) \
                 AND #data.#isDrafting = :isDrafting AND attribute_not_exists(#data.#isCancelled) \
                 AND #data.#ownerId = :ownerId AND #data.#grandTotal = :grandTotal"
            )
        );
        let values = update.expression_attribute_values().unwrap();
        assert_eq!(values.len(), 4);
        assert_eq!(values[":ownerId"], s("usr_1"));
    }
}
