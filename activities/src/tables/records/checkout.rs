//! What a checkout writes: the record before the bank is called, then the bank's answer, or that no charge came of it.

use aws_sdk_dynamodb::types::builders::UpdateBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, Put, TransactWriteItem};

use super::super::item::{Item, n, s};
use super::super::write::transact_update;
use super::{FIRST_LOOK_AFTER, Record, Records};
use crate::domain::checkout::CheckoutForm;
use crate::domain::ids::{ChargeId, OwnerId, RecordKey, ReferenceOrder};
use crate::domain::money::Satang;

/// `closedAs` of a checkout whose charge the bank refused to create.
pub const REFUSED: &str = "refused";
/// `closedAs` of a checkout whose charge surely never came to the bank: the same form may be sent again.
pub const NOT_CHARGED: &str = "not-charged";
/// `closedAs` of a checkout for which the bank knows no charge.
const NEVER_CHARGED: &str = "never-charged";

impl Record {
    /// Whether the checkout's charge surely never came to the bank, so that this form may make it another try.
    #[must_use]
    pub fn may_be_tried_again(&self, form: &CheckoutForm) -> bool {
        self.closed_as.as_deref() == Some(NOT_CHARGED)
            && self.fingerprint.as_deref() == Some(form.fingerprint())
    }
}

impl Records {
    /// For a transaction: the record of a new payment. Holds unless there is one for this token. One whose charge
    /// surely never came to the bank makes room for the same form.
    #[must_use]
    pub fn created(
        &self,
        form: &CheckoutForm,
        owner: &OwnerId,
        amount: Satang,
        reference: &ReferenceOrder,
        bank_key: &str,
    ) -> TransactWriteItem {
        let key = form.token.record_key();
        let now = self.clock.text();
        let mut item = Item::from(
            [
                ("tokenId", s(key.as_str())),
                ("token", s(form.token.expose())),
                ("orderId", s(form.order_id.as_str())),
                ("ownerId", s(owner.as_str())),
                ("userId", s(form.user_id.as_str())),
                ("mid", s(form.mid.as_str())),
                ("amountSatang", n(amount.satang())),
                ("currency", s("THB")),
                ("referenceOrder", s(reference.as_str())),
                ("saveCard", AttributeValue::Bool(form.save_card)),
                ("formFingerprint", s(form.fingerprint())),
                ("bankKey", s(bank_key)),
                ("outcome", s("pending")),
                ("status", AttributeValue::Bool(false)),
                ("attempt", n(0)),
                ("openShard", n(key.open_shard())),
                ("lookAgainAt", n(self.clock.seconds() + FIRST_LOOK_AFTER)),
                ("openSince", s(&now)),
                ("createdAt", s(&now)),
            ]
            .map(|(name, value)| (name.to_owned(), value)),
        );
        for (name, value) in [
            ("callback", form.callback.as_deref()),
            ("basketId", form.basket_id.as_deref()),
        ] {
            if let Some(value) = value {
                item.insert(name.to_owned(), s(value));
            }
        }
        let put = Put::builder()
            .table_name(&self.table)
            .set_item(Some(item))
            .condition_expression(
                "attribute_not_exists(tokenId) \
                 OR (closedAs = :notCharged AND formFingerprint = :fingerprint AND attribute_not_exists(chargeId))",
            )
            .expression_attribute_values(":notCharged", s(NOT_CHARGED))
            .expression_attribute_values(":fingerprint", s(form.fingerprint()))
            .build();
        match put {
            Ok(put) => TransactWriteItem::builder().put(put).build(),
            Err(error) => unreachable!("a put without table or item: {error}"),
        }
    }

    /// For a transaction: the bank's answer to checkout. The first answer stands: holds unless another charge is
    /// stored, or the charge is decided: a late repeat must not show apps a charge that nobody will decide again.
    #[must_use]
    pub fn charge_stored(
        &self,
        key: &RecordKey,
        charge: &ChargeId,
        redirect_url: Option<&str>,
    ) -> TransactWriteItem {
        let mut set = "SET chargeId = :charge, lookAgainAt = :soon".to_owned();
        if redirect_url.is_some() {
            set.push_str(", redirectUrl = :url");
        }
        let mut update = self.update(key)
            .update_expression(set)
            .condition_expression(
                "attribute_exists(openShard) AND outcome = :pending AND (attribute_not_exists(chargeId) OR chargeId = :charge)",
            )
            .expression_attribute_values(":pending", s("pending"))
            .expression_attribute_values(":charge", s(charge.as_str()))
            .expression_attribute_values(":soon", n(self.clock.seconds() + FIRST_LOOK_AFTER));
        if let Some(url) = redirect_url {
            update = update.expression_attribute_values(":url", s(url));
        }
        transact_update(update)
    }

    /// For a transaction: the record is closed, and no charge came of its checkout. Holds unless it has one, or is
    /// another try's: a write that comes late must not close that.
    #[must_use]
    pub fn closed_without_charge(
        &self,
        key: &RecordKey,
        reference: &ReferenceOrder,
        closed_as: &str,
    ) -> TransactWriteItem {
        transact_update(self.closing(key, reference, closed_as, ""))
    }

    /// For a transaction: the record is closed because the bank knows no charge of its checkout. Holds as
    /// [`Records::closed_without_charge`], and only while the record is open and nobody has named a charge for it since
    /// it was read: that one was not asked for.
    #[must_use]
    pub fn closed_as_never_charged(
        &self,
        record: &Record,
        reference: &ReferenceOrder,
    ) -> TransactWriteItem {
        let mut as_read = " AND attribute_exists(openShard) AND lookAgainAt = :read".to_owned();
        // Nothing takes one away, so that the number tells; and whoever finds no more room sets `lookAgainAt` all the
        // same.
        let mut values = vec![(":read".to_owned(), n(record.look_again_at))];
        for (hint, stored) in record.hints_stored {
            let named = hint.attribute();
            if stored == 0 {
                as_read.push_str(&format!(" AND attribute_not_exists({named})"));
            } else {
                as_read.push_str(&format!(" AND size({named}) = :{named}"));
                values.push((format!(":{named}"), n(stored)));
            }
        }
        let mut update = self.closing(&record.key, reference, NEVER_CHARGED, &as_read);
        for (name, value) in values {
            update = update.expression_attribute_values(name, value);
        }
        transact_update(update)
    }

    fn closing(
        &self,
        key: &RecordKey,
        reference: &ReferenceOrder,
        closed_as: &str,
        and: &str,
    ) -> UpdateBuilder {
        self.closed_as(key, closed_as)
            .condition_expression(format!(
                "referenceOrder = :reference AND attribute_not_exists(chargeId){and}"
            ))
            .expression_attribute_values(":reference", s(reference.as_str()))
    }
}
