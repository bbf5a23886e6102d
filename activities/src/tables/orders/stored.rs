//! An order as it stands in the table: the shop's layout, read, and what paying makes of it.

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;
use serde_json::json;

use super::super::TableError;
use super::super::item::{Item, baht, boolean, identifier, is_blank, json_text, map, n, s, string};
use crate::clock;
use crate::domain::ids::{ChargeId, OrderId, OwnerId};
use crate::domain::money::Satang;
use crate::domain::order::{Order, Paid};

const TABLE: &str = "order";

/// What paying reads of an order's `data`. An order is paid only while all of it is as it was read; what else changes
/// meanwhile (`tracking` grows while the shopper is at the bank) is the shop's own affair.
pub(super) const READ: [&str; 6] = [
    "payment",
    "status",
    "isDrafting",
    "isCancelled",
    "ownerId",
    "grandTotal",
];

/// An order as it was read: paying writes it only if what was read of it is still the same.
#[derive(Debug, Clone)]
pub struct StoredOrder {
    /// What paying needs to know of it.
    pub order: Order,
    email: Option<String>,
    /// The attributes of `data` that [`READ`] names, as far as there are any.
    pub(super) read: Item,
}

impl StoredOrder {
    /// Reads the item of an order.
    ///
    /// # Errors
    /// [`TableError::Unreadable`] naming an attribute that paying cannot do without.
    pub fn read(id: &OrderId, item: &Item) -> Result<Self, TableError> {
        let data = data(item)?;
        let owner_id = owner(data)?;
        let empty = Item::new();
        let payment = match map(data, "payment") {
            Some(payment) => payment,
            None if is_blank(data, "payment") => &empty,
            None => return Err(unreadable("data.payment")),
        };
        let cancelled = |item| string(item, "status").is_some_and(says_cancelled);
        Ok(Self {
            order: Order {
                id: id.clone(),
                owner_id,
                is_drafting: boolean(data, "isDrafting") == Some(true),
                is_cancelled: boolean(data, "isCancelled") == Some(true)
                    || cancelled(data)
                    || cancelled(payment),
                // A total that cannot be read may be another one than that beside it.
                grand_total: if is_blank(payment, "grandTotal") {
                    baht(data, "grandTotal").ok_or_else(|| unreadable("data.grandTotal"))?
                } else {
                    baht(payment, "grandTotal")
                        .ok_or_else(|| unreadable("data.payment.grandTotal"))?
                },
                // Nothing is paid twice: what cannot be read is not taken for unpaid.
                paid: match boolean(payment, "isPaid") {
                    Some(true) => Paid::By(string(payment, "paymentId").map(str::to_owned)),
                    Some(false) => Paid::No,
                    None if is_blank(payment, "isPaid") => Paid::No,
                    None => return Err(unreadable("data.payment.isPaid")),
                },
            },
            email: email(data).map(str::to_owned),
            read: READ
                .iter()
                .filter_map(|name| Some(((*name).to_owned(), data.get(*name)?.clone())))
                .collect(),
        })
    }

    /// The shopper's e-mail address, where the order has one.
    #[must_use]
    pub fn email(&self) -> Option<&str> {
        self.email.as_deref()
    }

    /// `data.payment` as it reads once `charge` has paid: valid by the shop's schema if it was valid before. What stood
    /// there is kept, and nothing changes if this charge has paid already.
    #[must_use]
    pub fn payment_by(&self, charge: &ChargeId, amount: Satang, at: Timestamp) -> Item {
        let mut payment = map(&self.read, "payment").cloned().unwrap_or_default();
        if self.order.is_paid_by(charge) {
            return payment;
        }
        let paid = json!({
            "event": "paid",
            "chargeId": charge.as_str(),
            "amount": amount.to_string(),
            "at": clock::rfc3339(at),
        });
        let log = payment_log(payment.remove("paymentLog"), &paid);
        let seconds = n(at.as_second());
        payment.extend([
            ("isPaid".into(), AttributeValue::Bool(true)),
            ("status".into(), s("paid")),
            ("paymentId".into(), s(charge.as_str())),
            ("paymentMethod".into(), s("Credit/Debit Card")),
            ("paymentDate".into(), seconds.clone()),
            ("timestamp".into(), seconds),
            ("totalPaid".into(), n(amount)),
            ("paymentLog".into(), AttributeValue::L(log)),
        ]);
        payment
    }

    /// `data.payment` as it reads with one more entry in its log about money that went back, and with this status, where
    /// one is given. That the order is paid, and how much was paid, stays.
    #[must_use]
    pub fn payment_with_refund(&self, entry: &serde_json::Value, status: Option<&str>) -> Item {
        let mut payment = map(&self.read, "payment").cloned().unwrap_or_default();
        let log = payment_log(payment.remove("paymentLog"), entry);
        payment.insert("paymentLog".into(), AttributeValue::L(log));
        if let Some(status) = status {
            payment.insert("status".into(), s(status));
        }
        payment
    }
}

fn unreadable(attribute: &'static str) -> TableError {
    TableError::Unreadable {
        table: TABLE,
        attribute,
    }
}

pub(super) fn data(item: &Item) -> Result<&Item, TableError> {
    map(item, "data").ok_or_else(|| unreadable("data"))
}

pub(super) fn owner(data: &Item) -> Result<OwnerId, TableError> {
    identifier(data, "ownerId")
        .and_then(|owner| OwnerId::new(owner).ok())
        .ok_or_else(|| unreadable("data.ownerId"))
}

/// The two spellings of English, as the shop's timer or a person wrote them.
fn says_cancelled(status: &str) -> bool {
    let status = status.trim();
    ["cancelled", "canceled"]
        .iter()
        .any(|word| status.eq_ignore_ascii_case(word))
}

fn email(data: &Item) -> Option<&str> {
    let of = |part, field| string(map(data, part)?, field);
    of("billingInfo", "customerEmail").or_else(|| of("shipping", "shippingEmail"))
}

/// The payment's log with one more entry. The shop's schema takes texts only: what stands there in another shape (an
/// earlier version of this system wrote objects) becomes its JSON text, so that the order is valid and nothing is lost.
fn payment_log(before: Option<AttributeValue>, entry: &serde_json::Value) -> Vec<AttributeValue> {
    let entries = match before {
        Some(AttributeValue::L(entries)) => entries,
        None | Some(AttributeValue::Null(_)) => Vec::new(),
        Some(other) => vec![other],
    };
    entries
        .into_iter()
        .map(|entry| match entry {
            AttributeValue::S(_) => entry,
            other => s(json_text(&other)),
        })
        .chain([s(entry.to_string())])
        .collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

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

    pub(crate) fn total() -> Satang {
        Satang::new(150_000).unwrap()
    }

    /// 2026-01-01T00:00:00Z.
    pub(crate) fn new_year() -> Timestamp {
        Timestamp::from_second(1_767_225_600).unwrap()
    }

    fn paid(payment: Option<Item>) -> Item {
        let charge = ChargeId::new("chrg_1").unwrap();
        stored(payment).payment_by(&charge, total(), new_year())
    }

    const ENTRY: &str = r#"{"amount":"1500.00","at":"2026-01-01T00:00:00.000Z","chargeId":"chrg_1","event":"paid"}"#;

    #[test]
    fn an_order_without_a_payment_map_is_paid_with_the_fields_that_the_shop_knows() {
        assert_eq!(
            paid(None),
            Item::from([
                ("isPaid".into(), AttributeValue::Bool(true)),
                ("status".into(), s("paid")),
                ("paymentId".into(), s("chrg_1")),
                ("paymentMethod".into(), s("Credit/Debit Card")),
                ("paymentDate".into(), n(1_767_225_600)),
                ("timestamp".into(), n(1_767_225_600)),
                ("totalPaid".into(), n("1500.00")),
                ("paymentLog".into(), AttributeValue::L(vec![s(ENTRY)])),
            ])
        );
    }

    #[test]
    fn paying_keeps_what_stood_there_and_adds_one_log_entry() {
        let before = Item::from([
            ("grandTotal".into(), n("1500")),
            ("remark".into(), s("leave at the door")),
            ("somebodyElses".into(), n(7)),
            ("paymentLog".into(), AttributeValue::L(vec![s("earlier")])),
            ("isPaid".into(), AttributeValue::Bool(false)),
        ]);
        let once = paid(Some(before));
        assert_eq!(once["remark"], s("leave at the door"));
        assert_eq!(once["somebodyElses"], n(7));
        assert_eq!(
            once["paymentLog"],
            AttributeValue::L(vec![s("earlier"), s(ENTRY)])
        );
        // And again, by the same charge: nothing changes.
        let charge = ChargeId::new("chrg_1").unwrap();
        let later = Timestamp::from_second(1_800_000_000).unwrap();
        let again = stored(Some(once.clone())).payment_by(&charge, total(), later);
        assert_eq!(again, once);
    }

    #[test]
    fn a_refund_adds_one_log_entry_and_changes_nothing_but_the_status() {
        let before = paid(Some(Item::from([(
            "remark".into(),
            s("leave at the door"),
        )])));
        let entry = json!({"event": "refunded", "refundId": "rf_1", "amount": "120.50"});
        let order = stored(Some(before.clone()));
        let mut after = order.payment_with_refund(&entry, Some("partially refunded"));
        assert_eq!(
            after["paymentLog"],
            AttributeValue::L(vec![
                s(ENTRY),
                s(r#"{"amount":"120.50","event":"refunded","refundId":"rf_1"}"#)
            ])
        );
        assert_eq!(after["status"], s("partially refunded"));
        for name in ["paymentLog", "status"] {
            after.insert(name.into(), before[name].clone());
        }
        assert_eq!(after, before);
        assert_eq!(order.payment_with_refund(&entry, None)["status"], s("paid"));
    }

    #[test]
    fn a_log_of_another_shape_becomes_texts_and_nothing_of_it_is_lost() {
        let object = AttributeValue::M(Item::from([
            ("event".into(), s("paid")),
            ("amount".into(), n("1500.00")),
        ]));
        let text = r#"{"amount":1500.00,"event":"paid"}"#;
        for (before, after) in [
            (s("earlier"), vec![s("earlier")]),
            (object.clone(), vec![s(text)]),
            (
                AttributeValue::L(vec![s("earlier"), object, n(7), AttributeValue::Null(true)]),
                vec![s("earlier"), s(text), s("7"), s("null")],
            ),
            (AttributeValue::Null(true), vec![]),
        ] {
            let payment = Item::from([("paymentLog".into(), before.clone())]);
            let log = paid(Some(payment))["paymentLog"].as_l().unwrap().clone();
            assert_eq!(log, [after, vec![s(ENTRY)]].concat(), "{before:?}");
        }
    }

    /// Of an order with these fields in `data`.
    pub(crate) fn order_with(fields: &[(&str, AttributeValue)]) -> Result<StoredOrder, TableError> {
        let mut data = Item::from([
            ("ownerId".into(), s("usr_1")),
            ("grandTotal".into(), n(1500)),
        ]);
        data.extend(
            fields
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.clone())),
        );
        let item = Item::from([("data".into(), AttributeValue::M(data))]);
        StoredOrder::read(&OrderId::new("482500007436").unwrap(), &item)
    }

    fn of(fields: &[(&str, AttributeValue)]) -> AttributeValue {
        let fields = fields.iter();
        AttributeValue::M(
            fields
                .map(|(name, value)| ((*name).to_owned(), value.clone()))
                .collect(),
        )
    }

    #[test]
    fn an_order_is_cancelled_by_its_flag_or_by_either_status_in_any_case() {
        for field in [
            ("isCancelled", AttributeValue::Bool(true)),
            ("isCancelled", s("True")),
            ("status", s("cancelled")),
            ("status", s("CANCELED")),
            ("status", s(" Cancelled ")),
            ("payment", of(&[("status", s("Canceled"))])),
        ] {
            let stored = order_with(std::slice::from_ref(&field)).unwrap();
            assert!(stored.order.is_cancelled, "{field:?}");
        }
        for field in [
            ("isCancelled", AttributeValue::Bool(false)),
            ("isCancelled", AttributeValue::Null(true)),
            ("status", s("cancelling")),
            ("status", s("")),
            ("status", AttributeValue::L(Vec::new())),
            ("payment", of(&[("status", s("pending"))])),
        ] {
            let stored = order_with(std::slice::from_ref(&field)).unwrap();
            assert!(!stored.order.is_cancelled, "{field:?}");
        }
    }

    #[test]
    fn an_owner_may_be_a_number_and_a_total_any_spelling_of_one() {
        let stored = order_with(&[("ownerId", n(7))]).unwrap();
        assert_eq!(stored.order.owner_id.as_str(), "7");
        for (total, satang) in [
            (AttributeValue::N("59.699999999999996".into()), 5_970),
            (s("59.70"), 5_970),
            (AttributeValue::N("1.5E+3".into()), 150_000),
            (s("1,500.00"), 150_000),
        ] {
            let stored = order_with(&[("payment", of(&[("grandTotal", total.clone())]))]).unwrap();
            assert_eq!(stored.order.grand_total.satang(), satang, "{total:?}");
        }
    }

    #[test]
    fn the_payments_total_counts_and_the_orders_only_where_there_is_none() {
        let read = |total| order_with(&[("payment", of(&[("grandTotal", total)]))]);
        assert_eq!(read(n(99)).unwrap().order.grand_total.satang(), 9_900);
        for blank in [AttributeValue::Null(true), s("")] {
            let stored = read(blank.clone()).unwrap();
            assert_eq!(stored.order.grand_total, total(), "{blank:?}");
        }
        for other in [
            s("99 baht"),
            AttributeValue::Bool(true),
            AttributeValue::L(vec![n(99)]),
        ] {
            let error = read(other.clone()).unwrap_err().to_string();
            assert!(error.contains("`data.payment.grandTotal`"), "{error}");
        }
        let neither = order_with(&[("grandTotal", s("much"))]).unwrap_err();
        assert!(
            neither.to_string().contains("`data.grandTotal`"),
            "{neither}"
        );
    }

    #[test]
    fn the_email_is_the_billing_address_or_that_of_the_shipping() {
        let billing = ("billingInfo", of(&[("customerEmail", s("a@example.com"))]));
        let shipping = ("shipping", of(&[("shippingEmail", s("b@example.com"))]));
        let null = (
            "shipping",
            of(&[("shippingEmail", AttributeValue::Null(true))]),
        );
        let blank = ("billingInfo", of(&[("customerEmail", s(""))]));
        for (fields, email) in [
            (vec![billing, shipping.clone()], Some("a@example.com")),
            (vec![shipping.clone()], Some("b@example.com")),
            (vec![blank, shipping], Some("b@example.com")),
            (vec![null], None),
            (vec![("billingInfo", s("text"))], None),
            (vec![], None),
        ] {
            assert_eq!(order_with(&fields).unwrap().email(), email, "{fields:?}");
        }
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
