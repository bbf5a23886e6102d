//! check-status: what an app may show for an order now. One row per order; `paid` is final. It also says for which
//! payment the bank is being asked: see [`super::checkouts`].
//!
//! What went back of a paid order stands beside its status, in `refundedSatang`, and counts only for the charge in
//! `refundedCharge`. So nobody who writes a status can overwrite it: the reader makes `refunded` of both.

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::builders::UpdateBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, ConditionCheck, TransactWriteItem, Update};
use jiff::Timestamp;

use super::item::{Item, boolean, get_item, integer, n, s, string};
use super::write::{Shown, transact_check, transact_update};
use super::{Database, TableError};
use crate::clock::{self, Clock};
use crate::domain::ids::{ChargeId, OrderId, RecordKey};
use crate::domain::money::Satang;
use crate::domain::payment::Payment;

const SET: &str =
    "SET chargeId = :charge, #status = :status, amountSatang = :amount, updatedAt = :now";
/// What goes when the bank is being asked no longer.
const NOT_ASKED: &str = "REMOVE askedFor, askedAt, askedAmountSatang";
/// A new charge is shown unless the order is paid; and a repeat must not put a decided charge back to pending.
const MAY_BE_PENDING: &str = "(attribute_not_exists(chargeId) \
     OR ((attribute_not_exists(#status) OR #status <> :paid) AND chargeId <> :charge))";

/// The row speaks of no charge, of this one or of another that failed: so it may say that this one did.
const MAY_FAIL: &str = "attribute_not_exists(chargeId) \
     OR (chargeId = :charge AND (attribute_not_exists(#status) OR #status <> :paid)) \
     OR #status IN (:declined, :reversed)";

/// The table.
#[derive(Clone)]
pub struct CheckStatus {
    client: Client,
    clock: Clock,
    table: String,
}

/// A payment for which the bank is being asked: whether it was charged is not known yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Its record.
    pub key: RecordKey,
    /// Since when, in seconds since 1970.
    pub at: i64,
    /// What may have been charged.
    pub amount: Satang,
}

/// An order's row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Row {
    /// The charge that is shown.
    pub charge_id: Option<ChargeId>,
    /// The payment for which the bank is being asked, or was. The reader judges how long that keeps other cards away.
    pub asked: Option<Asked>,
    status: Option<Status>,
}

impl Row {
    fn read(item: &Item) -> Self {
        let satang = |name| integer(item, name).and_then(|n| Satang::new(n).ok());
        let text = |name| string(item, name).map(str::to_owned);
        let of_this_charge = text("refundedCharge").is_some_and(|of| Some(of) == text("chargeId"));
        Self {
            charge_id: text("chargeId").and_then(|id| ChargeId::new(id).ok()),
            asked: text("askedFor").and_then(|key| {
                Some(Asked {
                    key: RecordKey::stored(key),
                    at: integer(item, "askedAt")?,
                    amount: satang("askedAmountSatang")?,
                })
            }),
            // A row of the former system holds the charge only: nothing that an app could show.
            status: text("status").and_then(|status| {
                Some(Status {
                    status,
                    amount: satang("amountSatang")?,
                    refunded: satang("refundedSatang")
                        .filter(|_| of_this_charge)
                        .unwrap_or(Satang::ZERO),
                    refunded_elsewhere: of_this_charge
                        && boolean(item, "refundedElsewhere") == Some(true),
                    updated_at: text("updatedAt")?,
                })
            }),
        }
    }

    /// Whether this charge became the one that is shown within so many seconds before `now` (seconds since 1970).
    #[must_use]
    pub fn names_since(&self, charge: &ChargeId, seconds: i64, now: i64) -> bool {
        let at = self.status.as_ref().map(|status| &status.updated_at);
        self.charge_id.as_ref() == Some(charge)
            && at
                .and_then(|at| clock::seconds_of(at))
                .is_some_and(|at| now - at <= seconds)
    }

    /// The charge that has paid the order, if one has.
    #[must_use]
    pub fn paid_by(&self) -> Option<&ChargeId> {
        let is_paid = self
            .status
            .as_ref()
            .is_some_and(|status| status.status == "paid");
        self.charge_id.as_ref().filter(|_| is_paid)
    }

    /// What an app may show at this time (seconds since 1970): while the bank is being asked that is `pending`, unless
    /// the order is paid.
    fn shown(self, now: i64) -> Option<Status> {
        let asked = self.asked.filter(|asked| now < asked.ends());
        match (self.status, asked) {
            (Some(status), _) if status.status == "paid" => Some(status.or_refunded()),
            (_, Some(asked)) => Some(Status {
                status: "pending".to_owned(),
                amount: asked.amount,
                refunded: Satang::ZERO,
                refunded_elsewhere: false,
                updated_at: clock::rfc3339(Timestamp::from_second(asked.at).unwrap_or_default()),
            }),
            (status, None) => status,
        }
    }
}

/// What an app may show for an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// `pending`, `paid`, `refunded` (all of it), `declined` or `reversed`.
    pub status: String,
    /// The charged amount.
    pub amount: Satang,
    /// How much of it went back, as far as it is known.
    pub refunded: Satang,
    /// Whether a part of unknown amount was given back by hand at the bank.
    pub refunded_elsewhere: bool,
    /// Since when, in RFC 3339.
    pub updated_at: String,
}

impl Status {
    /// A paid order of which everything went back is refunded.
    fn or_refunded(mut self) -> Self {
        if self.refunded >= self.amount {
            self.status = "refunded".to_owned();
        }
        self
    }
}

impl CheckStatus {
    /// The table by its name.
    #[must_use]
    pub fn new(database: Database, table: String) -> Self {
        let Database { client, clock } = database;
        Self {
            client,
            clock,
            table,
        }
    }

    /// Reads an order's status, strongly consistent; `None` when no payment was started for it.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn get(&self, order: &OrderId) -> Result<Option<Status>, TableError> {
        Ok(self.row(order).await?.shown(self.clock.seconds()))
    }

    /// Reads an order's row, strongly consistent; an empty one where there is none.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn row(&self, order: &OrderId) -> Result<Row, TableError> {
        let item = get_item(
            &self.client,
            &self.table,
            ("orderId", order.as_str()),
            "read the check status",
        )
        .await?;
        Ok(item.as_ref().map(Row::read).unwrap_or_default())
    }

    /// For a transaction with a new record: the bank is being asked for it. Holds unless it is being asked for another
    /// one since `expired` (seconds since 1970), or that question is `void`: a new one for the same record is another.
    #[must_use]
    pub fn asked(
        &self,
        order: &OrderId,
        key: &RecordKey,
        amount: Satang,
        now: i64,
        expired: i64,
        void: Option<&Asked>,
    ) -> TransactWriteItem {
        let free = "attribute_not_exists(askedFor) OR askedAt <= :expired";
        let mut update = self
            .row_update(order)
            .update_expression("SET askedFor = :key, askedAt = :now, askedAmountSatang = :amount")
            .expression_attribute_values(":key", s(key.as_str()))
            .expression_attribute_values(":now", n(now))
            .expression_attribute_values(":expired", n(expired))
            .expression_attribute_values(":amount", n(amount.satang()));
        update = match void {
            None => update.condition_expression(free),
            Some(void) => update
                .condition_expression(format!(
                    "{free} OR (askedFor = :void AND askedAt = :voidAt)"
                ))
                .expression_attribute_values(":void", s(void.key.as_str()))
                .expression_attribute_values(":voidAt", n(void.at)),
        };
        transact_update(update)
    }

    /// For a transaction with the record: the bank's answer is there, and the new charge is pending. Holds unless
    /// another payment is being asked for, or the order is paid, or this charge is decided.
    #[must_use]
    pub fn answered(
        &self,
        order: &OrderId,
        key: &RecordKey,
        charge: &ChargeId,
        amount: Satang,
    ) -> TransactWriteItem {
        let not_anothers = "(attribute_not_exists(askedFor) OR askedFor = :key)";
        transact_update(
            self.status_update(order, charge, amount, "pending", Some(NOT_ASKED))
                .condition_expression(format!("{MAY_BE_PENDING} AND {not_anothers}"))
                .expression_attribute_values(":paid", s("paid"))
                .expression_attribute_values(":key", s(key.as_str())),
        )
    }

    /// As [`CheckStatus::answered`], where another payment is being asked for: that stays.
    #[must_use]
    pub fn pending(&self, order: &OrderId, charge: &ChargeId, amount: Satang) -> TransactWriteItem {
        transact_update(
            self.status_update(order, charge, amount, "pending", None)
                .condition_expression(MAY_BE_PENDING)
                .expression_attribute_values(":paid", s("paid")),
        )
    }

    /// For a transaction with the record: the bank is being asked for this payment no longer. Holds while it is.
    #[must_use]
    pub fn not_asked(&self, order: &OrderId, key: &RecordKey) -> TransactWriteItem {
        transact_update(
            self.row_update(order)
                .update_expression(NOT_ASKED)
                .condition_expression("askedFor = :key")
                .expression_attribute_values(":key", s(key.as_str())),
        )
    }

    /// For a transaction with the order: it is paid by this charge. Only one charge can pay an order, so the order's
    /// own condition guards this row too.
    #[must_use]
    pub fn paid(&self, payment: &Payment) -> TransactWriteItem {
        transact_update(self.update(payment, "paid"))
    }

    /// For a transaction with the outcome: the bank declined. It is shown only while the row speaks of no charge, of this
    /// one or of another that failed, so that a second tab's pending or paid charge is not hidden.
    #[must_use]
    pub fn declined(&self, payment: &Payment) -> Shown {
        self.failed(payment, "declined")
    }

    /// For a transaction with the record: the money went back. Shown as [`CheckStatus::declined`] is.
    #[must_use]
    pub fn reversed(&self, payment: &Payment) -> Shown {
        self.failed(payment, "reversed")
    }

    /// For a transaction with the ledger: so much of the payment went back, as far as it is known. `elsewhere`: a part of
    /// unknown amount did, too. Holds while the row shows this charge.
    #[must_use]
    pub fn refunded(&self, payment: &Payment, sent: Satang, elsewhere: bool) -> TransactWriteItem {
        const SET: &str = "SET refundedSatang = :sent, refundedCharge = :charge, updatedAt = :now";
        let mut update = self.row_update(&payment.order_id);
        update = if elsewhere {
            update
                .update_expression(format!("{SET}, refundedElsewhere = :elsewhere"))
                .expression_attribute_values(":elsewhere", AttributeValue::Bool(true))
        } else {
            update.update_expression(format!("{SET} REMOVE refundedElsewhere"))
        };
        transact_update(
            update
                .condition_expression("chargeId = :charge")
                .expression_attribute_values(":charge", s(payment.charge_id.as_str()))
                .expression_attribute_values(":sent", n(sent.satang()))
                .expression_attribute_values(":now", s(self.clock.text())),
        )
    }

    fn failed(&self, payment: &Payment, status: &str) -> Shown {
        let values = || {
            let words = ["paid", "declined", "reversed"].map(|word| (format!(":{word}"), s(word)));
            HashMap::from(words)
        };
        let mut set = self.update(payment, status).condition_expression(MAY_FAIL);
        for (name, value) in values() {
            set = set.expression_attribute_values(name, value);
        }
        let anothers = ConditionCheck::builder()
            .table_name(&self.table)
            .key("orderId", s(payment.order_id.as_str()))
            .condition_expression(format!("NOT ({MAY_FAIL})"))
            .expression_attribute_names("#status", "status")
            .set_expression_attribute_values(Some(values()))
            .expression_attribute_values(":charge", s(payment.charge_id.as_str()));
        Shown {
            set: transact_update(set),
            anothers: transact_check(anothers),
        }
    }

    fn update(&self, payment: &Payment, status: &str) -> UpdateBuilder {
        let (charge, amount) = (&payment.charge_id, payment.amount_satang);
        self.status_update(&payment.order_id, charge, amount, status, None)
    }

    fn status_update(
        &self,
        order: &OrderId,
        charge: &ChargeId,
        amount: Satang,
        status: &str,
        and: Option<&str>,
    ) -> UpdateBuilder {
        self.row_update(order)
            .update_expression(format!("{SET} {}", and.unwrap_or_default()))
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":charge", s(charge.as_str()))
            .expression_attribute_values(":status", s(status))
            .expression_attribute_values(":amount", n(amount.satang()))
            .expression_attribute_values(":now", s(self.clock.text()))
    }

    fn row_update(&self, order: &OrderId) -> UpdateBuilder {
        Update::builder()
            .table_name(&self.table)
            .key("orderId", s(order.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::checkouts::ASKED_FOR_AT_MOST;
    use super::*;

    const ASKED_AT: i64 = 1_800_000_000;

    fn row(status: Option<&str>) -> Row {
        let mut item = Item::from([
            ("askedFor".to_owned(), s("k")),
            ("askedAt".to_owned(), n(ASKED_AT)),
            ("askedAmountSatang".to_owned(), n(150_000)),
        ]);
        if let Some(status) = status {
            item.extend([
                ("status".to_owned(), s(status)),
                ("amountSatang".to_owned(), n(99_900)),
                ("updatedAt".to_owned(), s("2026-01-01T00:00:00.000Z")),
            ]);
        }
        Row::read(&item)
    }

    fn shown(status: Option<&str>, after: i64) -> Option<(String, i64)> {
        let shown = row(status).shown(ASKED_AT + after)?;
        Some((shown.status, shown.amount.satang()))
    }

    #[test]
    fn an_order_whose_payment_is_being_asked_for_is_pending_unless_it_is_paid() {
        let pending = Some(("pending".to_owned(), 150_000));
        for before in [None, Some("pending"), Some("declined"), Some("reversed")] {
            assert_eq!(shown(before, 60), pending, "{before:?}");
        }
        assert_eq!(shown(Some("paid"), 60), Some(("paid".to_owned(), 99_900)));
        assert_eq!(
            row(None).shown(ASKED_AT).unwrap().updated_at,
            "2027-01-15T08:00:00.000Z"
        );
    }

    #[test]
    fn what_went_back_shows_beside_a_paid_order_and_all_of_it_makes_it_refunded() {
        let shown = |charge, refunded, status: &str| {
            let item = Item::from([
                ("chargeId".to_owned(), s("chrg_1")),
                ("status".to_owned(), s(status)),
                ("amountSatang".to_owned(), n(99_900)),
                ("updatedAt".to_owned(), s("2026-01-01T00:00:00.000Z")),
                ("refundedCharge".to_owned(), s(charge)),
                ("refundedSatang".to_owned(), n(refunded)),
            ]);
            let shown = Row::read(&item).shown(ASKED_AT).unwrap();
            (shown.status, shown.refunded.satang())
        };
        let is = |status: &str, refunded| (status.to_owned(), refunded);
        assert_eq!(shown("chrg_1", 12_050, "paid"), is("paid", 12_050));
        assert_eq!(shown("chrg_1", 99_900, "paid"), is("refunded", 99_900));
        // Of another charge, which another payment of this order replaced.
        assert_eq!(shown("chrg_2", 99_900, "paid"), is("paid", 0));
        assert_eq!(shown("chrg_1", 99_900, "declined"), is("declined", 99_900));
    }

    #[test]
    fn a_charge_is_named_lately_by_a_row_that_was_written_lately_and_by_no_former_systems() {
        let mut item = Item::from([("chargeId".to_owned(), s("chrg_test_1"))]);
        let charge = ChargeId::new("chrg_test_1").unwrap();
        let names = |item: &Item, id, after| {
            Row::read(item).names_since(&ChargeId::new(id).unwrap(), 300, ASKED_AT + after)
        };
        assert!(!names(&item, charge.as_str(), 0));
        item.extend([
            ("status".to_owned(), s("pending")),
            ("amountSatang".to_owned(), n(99_900)),
            ("updatedAt".to_owned(), s("2027-01-15T08:00:00.000Z")),
        ]);
        assert!(names(&item, charge.as_str(), 300));
        assert!(!names(&item, charge.as_str(), 301));
        assert!(!names(&item, "chrg_test_2", 0));
    }

    #[test]
    fn after_half_an_hour_an_order_shows_what_it_showed_before() {
        let declined = Some(("declined".to_owned(), 99_900));
        assert_eq!(shown(Some("declined"), ASKED_FOR_AT_MOST), declined);
        assert_eq!(shown(None, ASKED_FOR_AT_MOST), None);
    }
}
