//! The ledger of refunds. Its conditions keep two promises: no more is given back than was paid, whatever runs side by
//! side, and a refund of which the bank may have been told is never taken for one of which it was not.
//!
//! `refunds` holds an entry for each refund id: `state`, `satang`, `reason`, `reservedAt`, `askedAt`, `mark` and `askedBy`
//! (which request asked), `way` and `bankRefundId` (the bank's answer), `sentAt`, `recordedAt`, `failedAt`, `amountUnknown`.
//! `refundedSatang` is the sum of the entries that are not `failed`, `sentSatang` that of the recorded ones, and
//! `refundAsking` the one that is `asked`. The state machine itself sets an entry back to `reserved`, or to `failed`.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::{AttributeValue, TransactWriteItem};

use super::super::TableError;
use super::super::item::{Item, boolean, integer, map, n, s, string};
use super::super::write::{condition_held, transact_update};
use super::{ORDER_INDEX, Record, Records, unreadable};
use crate::domain::ids::{ChargeId, OrderId, RecordKey};
use crate::domain::money::Satang;
use crate::domain::payment::Payment;
use crate::domain::refund::{Entry, EntryState, Ledger, Refund, RefundId, Way};

/// Reads the ledger of a record's item.
///
/// # Errors
/// [`TableError::Unreadable`]: what cannot be read is not taken for nothing.
fn read(item: &Item) -> Result<Ledger, TableError> {
    let wrong = || unreadable("refunds");
    let sum = |name: &'static str| match item.get(name) {
        None => Ok(0),
        Some(_) => integer(item, name).ok_or_else(|| unreadable(name)),
    };
    let entries = match item.get("refunds") {
        None => None,
        Some(_) => Some(map(item, "refunds").ok_or_else(wrong)?),
    };
    let read_entry = |(id, value): (&String, &AttributeValue)| {
        let entry = value.as_m().map_err(|_| wrong())?;
        let text = |name| string(entry, name).map(str::to_owned);
        let entry = Entry {
            state: string(entry, "state")
                .and_then(EntryState::parse)
                .ok_or_else(wrong)?,
            amount: integer(entry, "satang")
                .and_then(|satang| Satang::new(satang).ok())
                .ok_or_else(wrong)?,
            reason: text("reason"),
            reserved_at: integer(entry, "reservedAt").unwrap_or(0),
            mark: text("mark"),
            asked_by: text("askedBy"),
            asked_at: integer(entry, "askedAt").unwrap_or(0),
            way: text("way").and_then(|way| Way::parse(&way)),
            bank_refund_id: text("bankRefundId"),
            recorded_at: text("recordedAt"),
            amount_unknown: boolean(entry, "amountUnknown") == Some(true),
        };
        let id = RefundId::try_from(id.clone()).map_err(|_| wrong())?;
        Ok((id, entry))
    };
    Ok(Ledger {
        is_open: entries.is_some(),
        entries: entries
            .into_iter()
            .flatten()
            .map(read_entry)
            .collect::<Result<_, TableError>>()?,
        reserved: sum("refundedSatang")?,
        sent: sum("sentSatang")?,
        asking: string(item, "refundAsking")
            .map(|id| RefundId::try_from(id.to_owned()).map_err(|_| unreadable("refundAsking")))
            .transpose()?,
    })
}

/// The condition that a sum is still as it was read. It is absent until something is in it.
fn as_read(name: &str, value: &str, read: i64) -> String {
    if read == 0 {
        format!("(attribute_not_exists({name}) OR {name} = {value})")
    } else {
        format!("{name} = {value}")
    }
}

/// What becomes of an entry whose request has no known answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// The bank did it.
    TookEffect(Way),
    /// The bank did nothing: it may be asked again.
    TookNone,
    /// Nobody can tell.
    Unclear,
}

impl Records {
    /// Reads a record with its ledger, strongly consistent.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn get_with_ledger(
        &self,
        key: &RecordKey,
    ) -> Result<Option<(Record, Ledger)>, TableError> {
        let Some(item) = self.item(key.as_str()).await? else {
            return Ok(None);
        };
        Ok(Some((Record::read(&item)?, read(&item)?)))
    }

    /// Reads the ledger of a refund's payment, strongly consistent.
    ///
    /// # Errors
    /// [`TableError`]: [`TableError::Unreadable`] where the record is gone.
    pub async fn ledger(&self, key: &RecordKey) -> Result<Ledger, TableError> {
        let read = self.get_with_ledger(key).await?;
        let (_, ledger) = read.ok_or_else(|| unreadable("refunds"))?;
        Ok(ledger)
    }

    /// The key of the record of this layout that has this charge. The index may lag behind, also for minutes: that it
    /// shows none proves nothing.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn key_of_charge(&self, charge: &ChargeId) -> Result<Option<RecordKey>, TableError> {
        let items = self.items_by_charge(charge).await?.unwrap_or_default();
        let key = items
            .iter()
            .find(|item| Record::is_current(item))
            .and_then(|item| string(item, "tokenId"));
        Ok(key.map(|key| RecordKey::stored(key.to_owned())))
    }

    /// The charge of the order's record whose ledger has this refund, if one has. The index may lag behind a refund of the
    /// last moments.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn charge_with_refund(
        &self,
        order: &OrderId,
        refund: &RefundId,
    ) -> Result<Option<ChargeId>, TableError> {
        let output = self
            .client
            .query()
            .table_name(&self.table)
            .index_name(ORDER_INDEX)
            .key_condition_expression("orderId = :order")
            .filter_expression("attribute_exists(refunds.#id)")
            .projection_expression("chargeId")
            .expression_attribute_names("#id", refund.as_str())
            .expression_attribute_values(":order", s(order.as_str()))
            .send()
            .await
            .map_err(TableError::unavailable(
                "find the refund among the order's payments",
            ))?;
        let charge = output
            .items()
            .iter()
            .find_map(|item| string(item, "chargeId"));
        Ok(charge.and_then(|id| ChargeId::new(id).ok()))
    }

    /// Gives a record its empty ledger, if it has none. `false` where its charge has not paid an order.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn open_ledger(
        &self,
        key: &RecordKey,
        charge: &ChargeId,
    ) -> Result<bool, TableError> {
        self.update_if(
            "open the ledger of refunds",
            key,
            "SET refunds = if_not_exists(refunds, :empty)",
            "chargeId = :charge AND resolution = :orderPaid",
            [
                (":empty", Some(AttributeValue::M(Item::new()))),
                (":charge", Some(s(charge.as_str()))),
                (":orderPaid", Some(s("orderPaid"))),
            ],
        )
        .await
    }

    /// Reserves a refund's amount. `false` where it has an entry already, more would go back than was paid, the ledger
    /// is not the one that was read (`read`, where the amount is what that one leaves), or the charge has not paid the
    /// order.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn reserve_refund(
        &self,
        payment: &Payment,
        refund: &Refund,
        read: Option<&Ledger>,
    ) -> Result<bool, TableError> {
        let mut entry = Item::from([
            ("state".to_owned(), s(EntryState::Reserved.as_str())),
            ("satang".to_owned(), n(refund.amount_satang.satang())),
            ("reservedAt".to_owned(), n(refund.reserved_at)),
        ]);
        if let Some(reason) = &refund.reason {
            entry.insert("reason".to_owned(), s(reason));
        }
        let fits = match read {
            Some(read) => as_read("refundedSatang", ":most", read.reserved),
            None => "(attribute_not_exists(refundedSatang) OR refundedSatang <= :most)".to_owned(),
        };
        let most = read.map_or_else(
            || payment.amount_satang.satang() - refund.amount_satang.satang(),
            |read| read.reserved,
        );
        let condition = format!(
            "chargeId = :charge AND resolution = :orderPaid AND attribute_exists(refunds) \
             AND attribute_not_exists(refunds.#id) AND {fits}"
        );
        self.update_entry(
            "reserve the refund's amount",
            &payment.record_key,
            &refund.refund_id,
            "SET refunds.#id = :entry ADD refundedSatang :amount",
            &condition,
            [
                (":entry", AttributeValue::M(entry)),
                (":amount", n(refund.amount_satang.satang())),
                (":most", n(most)),
                (":charge", s(payment.charge_id.as_str())),
                (":orderPaid", s("orderPaid")),
            ],
        )
        .await
    }

    /// Notes that the bank is about to be asked, by the request with this mark, which `run` sends. `false` where the entry
    /// is not `reserved`, or another refund of the charge is being asked for.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn ask_refund(
        &self,
        payment: &Payment,
        refund: &RefundId,
        mark: &str,
        run: &str,
    ) -> Result<bool, TableError> {
        self.update_entry(
            "note the request for a refund",
            &payment.record_key,
            refund,
            "SET refunds.#id.#state = :asked, refunds.#id.mark = :mark, refunds.#id.askedBy = :run, \
             refunds.#id.askedAt = :now, refundAsking = :id",
            "chargeId = :charge AND resolution = :orderPaid \
             AND refunds.#id.#state = :reserved AND attribute_not_exists(refundAsking)",
            [
                (":asked", s(EntryState::Asked.as_str())),
                (":reserved", s(EntryState::Reserved.as_str())),
                (":mark", s(mark)),
                (":run", s(run)),
                (":now", n(self.clock.seconds())),
                (":id", s(refund.as_str())),
                (":charge", s(payment.charge_id.as_str())),
                (":orderPaid", s("orderPaid")),
            ],
        )
        .await
    }

    /// Writes down what became of the request with this mark. `false` where the entry is not `asked` by it any more.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn answer_refund(
        &self,
        payment: &Payment,
        refund: &RefundId,
        mark: &str,
        found: Found,
        bank_refund_id: Option<&str>,
    ) -> Result<bool, TableError> {
        let (state, sent) = match found {
            Found::TookEffect(way) => (EntryState::Sent, Some(way)),
            Found::TookNone => (EntryState::Reserved, None),
            Found::Unclear => (EntryState::Uncertain, None),
        };
        let mut set = "SET refunds.#id.#state = :state".to_owned();
        let mut values = vec![
            (":state", s(state.as_str())),
            (":asked", s(EntryState::Asked.as_str())),
            (":mark", s(mark)),
        ];
        if let Some(way) = sent {
            set.push_str(", refunds.#id.way = :way, refunds.#id.sentAt = :now");
            values.extend([(":way", s(way.as_str())), (":now", s(self.clock.text()))]);
            if let Some(id) = bank_refund_id {
                set.push_str(", refunds.#id.bankRefundId = :bankRefund");
                values.push((":bankRefund", s(id)));
            }
        }
        set.push_str(" REMOVE refunds.#id.mark, refundAsking");
        self.update_entry(
            "write down what became of the request for a refund",
            &payment.record_key,
            refund,
            &set,
            "refunds.#id.#state = :asked AND refunds.#id.mark = :mark",
            values,
        )
        .await
    }

    /// For a transaction: the refund is accepted, and the order and the check status are told of it now. Holds while the
    /// entry and the sum of what was told are as they were read.
    #[must_use]
    pub fn refund_recorded(
        &self,
        payment: &Payment,
        refund: &RefundId,
        (entry, ledger): (&Entry, &Ledger),
        way: Way,
        bank_refund_id: Option<&str>,
        now: &str,
    ) -> TransactWriteItem {
        let mut set = "SET refunds.#id.#state = :sent, refunds.#id.way = :way, refunds.#id.recordedAt = :now, \
             refunds.#id.sentAt = if_not_exists(refunds.#id.sentAt, :now), sentSatang = :after"
            .to_owned();
        let mut update = self.update(&payment.record_key);
        if let Some(id) = bank_refund_id {
            set.push_str(", refunds.#id.bankRefundId = :bankRefund");
            update = update.expression_attribute_values(":bankRefund", s(id));
        }
        set.push_str(" REMOVE refunds.#id.mark");
        if entry.state == EntryState::Asked {
            set.push_str(", refundAsking");
        }
        let told = as_read("sentSatang", ":before", ledger.sent);
        // The check status is told of what was given back by hand, too.
        let by_hand = match ledger.elsewhere() {
            None => "attribute_not_exists(refunds.#elsewhere)",
            Some(entry) => {
                update = update.expression_attribute_values(":elsewhere", n(entry.amount.satang()));
                "refunds.#elsewhere.satang = :elsewhere"
            }
        };
        transact_update(
            update
                .update_expression(set)
                .condition_expression(format!(
                    "chargeId = :charge AND refunds.#id.#state = :was \
                     AND attribute_not_exists(refunds.#id.recordedAt) AND {told} AND {by_hand}"
                ))
                .expression_attribute_names("#id", refund.as_str())
                .expression_attribute_names("#elsewhere", RefundId::elsewhere().as_str())
                .expression_attribute_names("#state", "state")
                .expression_attribute_values(":charge", s(payment.charge_id.as_str()))
                .expression_attribute_values(":sent", s(EntryState::Sent.as_str()))
                .expression_attribute_values(":was", s(entry.state.as_str()))
                .expression_attribute_values(":way", s(way.as_str()))
                .expression_attribute_values(":before", n(ledger.sent))
                .expression_attribute_values(":after", n(ledger.sent + entry.amount.satang()))
                .expression_attribute_values(":now", s(now)),
        )
    }

    /// For a transaction: money was given back by hand, of an unknown amount where it is `None`. Holds while the ledger's
    /// sums and its entry of it are as they were read.
    #[must_use]
    pub fn elsewhere_recorded(
        &self,
        payment: &Payment,
        ledger: &Ledger,
        amount: Option<Satang>,
        way: Way,
        now: &str,
    ) -> TransactWriteItem {
        let paid = payment.amount_satang;
        let (reserved, sent) = ledger.sums_with_elsewhere(amount, paid);
        let mut entry = Item::from([
            ("state".to_owned(), s(EntryState::Sent.as_str())),
            ("satang".to_owned(), n(amount.unwrap_or(paid).satang())),
            ("way".to_owned(), s(way.as_str())),
            ("recordedAt".to_owned(), s(now)),
        ]);
        if amount.is_none() {
            entry.insert("amountUnknown".to_owned(), AttributeValue::Bool(true));
        }
        let mut update = self
            .update(&payment.record_key)
            .update_expression(
                "SET refunds.#id = :entry, refundedSatang = :reserved, sentSatang = :sent",
            )
            .expression_attribute_names("#id", RefundId::elsewhere().as_str())
            .expression_attribute_values(":entry", AttributeValue::M(entry))
            .expression_attribute_values(":reserved", n(reserved))
            .expression_attribute_values(":sent", n(sent))
            .expression_attribute_values(":reservedBefore", n(ledger.reserved))
            .expression_attribute_values(":sentBefore", n(ledger.sent))
            .expression_attribute_values(":charge", s(payment.charge_id.as_str()))
            .expression_attribute_values(":orderPaid", s("orderPaid"));
        let unchanged = match ledger.elsewhere() {
            None => "attribute_not_exists(refunds.#id)",
            Some(before) => {
                update = update.expression_attribute_values(":before", n(before.amount.satang()));
                "refunds.#id.satang = :before"
            }
        };
        transact_update(update.condition_expression(format!(
            "chargeId = :charge AND resolution = :orderPaid AND attribute_exists(refunds) \
             AND {unchanged} AND {} AND {}",
            as_read("refundedSatang", ":reservedBefore", ledger.reserved),
            as_read("sentSatang", ":sentBefore", ledger.sent),
        )))
    }

    async fn update_entry(
        &self,
        operation: &'static str,
        key: &RecordKey,
        refund: &RefundId,
        update: &str,
        condition: &str,
        values: impl IntoIterator<Item = (&'static str, AttributeValue)>,
    ) -> Result<bool, TableError> {
        let values: HashMap<_, _> = values
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        let mut request = self
            .client
            .update_item()
            .table_name(&self.table)
            .key("tokenId", s(key.as_str()))
            .update_expression(update)
            .condition_expression(condition)
            .expression_attribute_names("#id", refund.as_str())
            .set_expression_attribute_values(Some(values));
        if update.contains("#state") || condition.contains("#state") {
            // `state` is one of DynamoDB's reserved words.
            request = request.expression_attribute_names("#state", "state");
        }
        condition_held(request.send().await, operation)
    }
}
