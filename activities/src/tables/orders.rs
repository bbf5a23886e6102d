//! order: the shop's orders. Hash key `orderId`, the order in the map attribute `data`. The table belongs to the shop:
//! only `data.payment` is ever written, and only together with the payment's record.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{AttributeValue, TransactWriteItem, Update};

use super::TableError;
use super::item::{Item, baht, boolean, is_blank, map, s, string};
use super::records::transact_update;
use crate::domain::ids::{ChargeId, OrderId, OwnerId};
use crate::domain::money::Satang;
use crate::domain::order::{Order, Paid};

const TABLE: &str = "order";

/// An order as it was read, kept whole so that it can be written back only if it is still the same.
#[derive(Debug, Clone)]
pub struct StoredOrder {
    /// What paying needs to know of it.
    pub order: Order,
    data: Item,
}

impl StoredOrder {
    /// Reads the item of an order.
    ///
    /// # Errors
    /// [`TableError::Unreadable`] naming an attribute that paying cannot do without.
    pub fn read(id: &OrderId, item: &Item) -> Result<Self, TableError> {
        let missing = |attribute| TableError::Unreadable {
            table: TABLE,
            attribute,
        };
        let data = map(item, "data").ok_or_else(|| missing("data"))?;
        let empty = Item::new();
        let payment = match map(data, "payment") {
            Some(payment) => payment,
            None if is_blank(data, "payment") => &empty,
            None => return Err(missing("data.payment")),
        };
        let owner = string(data, "ownerId").ok_or_else(|| missing("data.ownerId"))?;
        Ok(Self {
            order: Order {
                id: id.clone(),
                owner_id: OwnerId::new(owner).map_err(|_| missing("data.ownerId"))?,
                is_drafting: boolean(data, "isDrafting").unwrap_or(false),
                grand_total: baht(payment, "grandTotal")
                    .or_else(|| baht(data, "grandTotal"))
                    .ok_or_else(|| missing("data.payment.grandTotal"))?,
                // Nothing is paid twice: what cannot be read is not taken for unpaid.
                paid: match boolean(payment, "isPaid") {
                    Some(true) => Paid::By(string(payment, "paymentId").map(str::to_owned)),
                    Some(false) => Paid::No,
                    None if is_blank(payment, "isPaid") => Paid::No,
                    None => return Err(missing("data.payment.isPaid")),
                },
            },
            data: data.clone(),
        })
    }

    /// The order's e-mail address, where it has one.
    #[must_use]
    pub fn email(&self) -> Option<&str> {
        string(&self.data, "email")
    }

    /// `data.payment` as it reads once `charge` has paid: what stood there is kept, and nothing changes if this charge
    /// has paid already.
    #[must_use]
    pub fn payment_by(&self, charge: &ChargeId, amount: Satang, at: &str) -> Item {
        let mut payment = map(&self.data, "payment").cloned().unwrap_or_default();
        if self.order.is_paid_by(charge) {
            return payment;
        }
        let mut log = match payment.remove("paymentLog") {
            Some(AttributeValue::L(entries)) => entries,
            None | Some(AttributeValue::Null(_)) => Vec::new(),
            Some(other) => vec![other],
        };
        let amount = AttributeValue::N(amount.to_string());
        log.push(AttributeValue::M(Item::from([
            ("event".into(), s("paid")),
            ("chargeId".into(), s(charge.as_str())),
            ("amount".into(), amount.clone()),
            ("at".into(), s(at)),
        ])));
        payment.extend([
            ("isPaid".into(), AttributeValue::Bool(true)),
            ("status".into(), s("paid")),
            ("paymentId".into(), s(charge.as_str())),
            ("paymentMethod".into(), s("card")),
            ("paymentDate".into(), s(at)),
            ("timestamp".into(), s(at)),
            ("totalPaid".into(), amount),
            ("paymentLog".into(), AttributeValue::L(log)),
        ]);
        payment
    }
}

/// The table.
#[derive(Clone)]
pub struct Orders {
    client: Client,
    table: String,
}

impl Orders {
    /// The table by its name.
    #[must_use]
    pub fn new(client: Client, table: String) -> Self {
        Self { client, table }
    }

    /// Reads an order, strongly consistent.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn get(&self, id: &OrderId) -> Result<Option<StoredOrder>, TableError> {
        let output = self
            .client
            .get_item()
            .table_name(&self.table)
            .key("orderId", s(id.as_str()))
            .consistent_read(true)
            .send()
            .await
            .map_err(TableError::unavailable("read the order"))?;
        output
            .item
            .as_ref()
            .map(|item| StoredOrder::read(id, item))
            .transpose()
    }

    /// For a transaction: the order is paid by `charge`. Holds only if the order is still exactly as it was read, so
    /// that no other payment and no change of the basket in between is overwritten.
    #[must_use]
    pub fn paid_by(
        &self,
        stored: &StoredOrder,
        charge: &ChargeId,
        amount: Satang,
        at: &str,
    ) -> TransactWriteItem {
        transact_update(
            Update::builder()
                .table_name(&self.table)
                .key("orderId", s(stored.order.id.as_str()))
                .update_expression("SET #data.#payment = :payment")
                .condition_expression("#data = :asRead")
                .expression_attribute_names("#data", "data")
                .expression_attribute_names("#payment", "payment")
                .expression_attribute_values(
                    ":payment",
                    AttributeValue::M(stored.payment_by(charge, amount, at)),
                )
                .expression_attribute_values(":asRead", AttributeValue::M(stored.data.clone())),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::item::n;

    fn stored(payment: Option<Item>) -> StoredOrder {
        let mut data = Item::from([
            ("ownerId".into(), s("usr_1")),
            ("grandTotal".into(), s("1500.00")),
        ]);
        if let Some(payment) = payment {
            data.insert("payment".into(), AttributeValue::M(payment));
        }
        let item = Item::from([("data".into(), AttributeValue::M(data))]);
        StoredOrder::read(&OrderId::new("482500007436").unwrap(), &item).unwrap()
    }

    fn total() -> Satang {
        Satang::new(150_000).unwrap()
    }

    #[test]
    fn an_order_without_a_payment_map_can_be_paid() {
        let charge = ChargeId::new("chrg_1").unwrap();
        let payment = stored(None).payment_by(&charge, total(), "2026-01-01T00:00:00.000Z");
        assert_eq!(payment["isPaid"], AttributeValue::Bool(true));
        assert_eq!(payment["paymentId"], s("chrg_1"));
        assert_eq!(payment["totalPaid"], AttributeValue::N("1500.00".into()));
    }

    #[test]
    fn paying_keeps_what_stood_there_and_adds_one_log_entry() {
        let before = Item::from([
            ("grandTotal".into(), n("1500")),
            ("remark".into(), s("leave at the door")),
            ("paymentLog".into(), AttributeValue::L(vec![s("earlier")])),
            ("isPaid".into(), AttributeValue::Bool(false)),
        ]);
        let charge = ChargeId::new("chrg_1").unwrap();
        let paid = stored(Some(before)).payment_by(&charge, total(), "2026-01-01T00:00:00.000Z");
        assert_eq!(paid["remark"], s("leave at the door"));
        assert_eq!(paid["paymentLog"].as_l().unwrap().len(), 2);
        // And again, by the same charge: nothing changes.
        let again =
            stored(Some(paid.clone())).payment_by(&charge, total(), "2026-02-02T00:00:00.000Z");
        assert_eq!(again, paid);
    }

    #[test]
    fn a_log_of_another_type_is_kept_as_its_first_entry() {
        let before = Item::from([
            ("grandTotal".into(), n("1500")),
            ("paymentLog".into(), s("earlier")),
        ]);
        let charge = ChargeId::new("chrg_1").unwrap();
        let paid = stored(Some(before)).payment_by(&charge, total(), "2026-01-01T00:00:00.000Z");
        let log = paid["paymentLog"].as_l().unwrap();
        assert_eq!((log.len(), &log[0]), (2, &s("earlier")));
    }

    #[test]
    fn an_order_that_does_not_say_whether_it_is_paid_is_not_taken_for_unpaid() {
        let read = |payment| {
            let data = Item::from([
                ("ownerId".into(), s("usr_1")),
                ("grandTotal".into(), s("1500.00")),
                ("payment".into(), payment),
            ]);
            let item = Item::from([("data".into(), AttributeValue::M(data))]);
            StoredOrder::read(&OrderId::new("1").unwrap(), &item).map(|stored| stored.order.paid)
        };
        let is_paid = |value| read(AttributeValue::M(Item::from([("isPaid".into(), value)])));
        for unpaid in [AttributeValue::Null(true), s(""), s("False"), n(0)] {
            assert_eq!(is_paid(unpaid.clone()), Ok(Paid::No), "{unpaid:?}");
        }
        assert_eq!(read(AttributeValue::Null(true)), Ok(Paid::No));
        for (payment, attribute) in [
            (is_paid(s("PAID")), "`data.payment.isPaid`"),
            (
                is_paid(AttributeValue::L(Vec::new())),
                "`data.payment.isPaid`",
            ),
            (read(s("{\"isPaid\": true}")), "`data.payment`"),
        ] {
            let error = payment.unwrap_err().to_string();
            assert!(error.contains(attribute), "{error}");
        }
    }

    #[test]
    fn an_order_of_unreadable_shape_names_the_attribute() {
        let id = OrderId::new("1").unwrap();
        let item = Item::from([("data".into(), s("text"))]);
        let error = StoredOrder::read(&id, &item).unwrap_err();
        assert!(error.to_string().contains("`data`"), "{error}");
    }
}
