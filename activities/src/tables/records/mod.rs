//! card-payment-record: one record per card token, the single place where a payment's course is decided.
//!
//! What a record is, and how it is read, stands here. What is written has a file for each reason: `checkout`, `hints`
//! and `returns` (browsers and notifications), `outcome`, `resolution` and `card` (executions), `refunds` (executions of
//! the refund machine), `look` and `reopen` (whoever starts one), and `reconcile`.
//!
//! | attribute | meaning |
//! |---|---|
//! | `tokenId` | hash key: the token's SHA-256 ([`RecordKey`]), so that no key anywhere shows a token |
//! | `token` | the card token itself, until the record is closed |
//! | `chargeId`, `redirectUrl` | the bank's answer to checkout |
//! | `referenceOrder` | our reference at the bank, written before the bank is called |
//! | `outcome` | `pending`, then what the bank decided: `paid`, `declined`, `returned` |
//! | `resolution` | what we did about it: `orderPaid`, or `reversing` and then `reversed`. Each excludes the other, by condition |
//! | `refundAskedAt` | when the bank was asked for a refund, one moment for each request that may have taken effect: without one, a refund at the bank is not ours |
//! | `status` | whether `outcome` is `paid`: what readers of the former layout look at |
//! | `attempt` | how many names of executions are used up: of those that ended without settling the payment, at `AwaitBank` or for a technical reason, and one each time the record was opened again |
//! | `openShard`, `lookAgainAt` | the sparse index of open records; both gone once closed |
//! | `notifiedCharges`, `returnedCharges` | while no charge is stored: those that the bank's signed notifications, or browsers that came back, named. Hints only |
//! | `unknownSince` | since when the bank has not known the charge, in seconds since 1970; absent where its last answer was another one |
//! | `troubleSince` | since when something technical has kept the payment from going on, in seconds since 1970; absent where nothing does |
//! | `bankKey` | which of the bank's keys made the charge ([`crate::bank::GatewaySecret::fingerprint`]): what another key does not know proves nothing |
//! | `returnStarts`, `returnAskedAt` | when browsers' returns last started a further execution, and last had the bank asked: what bounds them |
//! | `openSince`, `closedAt`, `closedAs` | when and as what |
//! | `refunds`, `refundedSatang`, `sentSatang`, `refundAsking` | the ledger of refunds, after the order was paid: see `refunds` |
//! | `origin`, `sourceTable`, `sourceLayout`, `sourceKey` | for a record that was first the former system's, or master's ([`super::sources`]) |

mod card;
mod checkout;
mod hints;
mod look;
mod outcome;
mod reconcile;
mod refunds;
mod reopen;
mod resolution;
mod returns;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::query::QueryError;
use aws_sdk_dynamodb::types::builders::UpdateBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, Update};

use super::item::{Item, baht, boolean, get_item, integer, s, string};
use super::write::condition_held;
use super::{Database, TableError};
use crate::clock::{self, Clock};
use crate::domain::charge::Outcome;
use crate::domain::ids::{
    CardToken, ChargeId, CustomerId, OrderId, OwnerId, RecordKey, ReferenceOrder,
};
use crate::domain::money::Satang;
use crate::domain::payment::{Origin, Payment, Purpose};

pub use checkout::{NOT_CHARGED, REFUSED};
pub use hints::Hint;
pub use look::FIRST_LOOK_AFTER;
pub use reconcile::{Due, Noted, Unreadable};
pub use refunds::Found;
pub use resolution::Resolution;
use returns::return_starts;

const CHARGE_INDEX: &str = "chargeId_index";
const ORDER_INDEX: &str = "orderId_index";
/// `closedAs` of a payment that the bank did not decide in time.
const ABANDONED: &str = "abandoned";

/// A payment's record, read.
#[derive(Debug, Clone)]
pub struct Record {
    /// Its key.
    pub key: RecordKey,
    /// The card token; gone once the record is closed.
    pub token: Option<CardToken>,
    /// The charge, once the bank has answered checkout.
    pub charge_id: Option<ChargeId>,
    /// Where 3-D Secure happens, if it does.
    pub redirect_url: Option<String>,
    /// The order that is paid.
    pub order_id: OrderId,
    /// To whom the order belongs.
    pub owner_id: OwnerId,
    /// The amount charged.
    pub amount: Satang,
    /// The currency charged.
    pub currency: String,
    /// Our reference at the bank; records that came from the former system have none.
    pub reference_order: Option<ReferenceOrder>,
    /// Whose record it was first.
    pub origin: Origin,
    /// The base of the final redirect, as the form gave it: not yet checked.
    pub callback: Option<String>,
    /// Whether the shopper ticked "save card".
    pub save_card: bool,
    /// Which form made the record.
    pub fingerprint: Option<String>,
    /// What the bank has decided; `None` while pending.
    pub outcome: Option<Outcome>,
    /// What we did about it.
    pub resolution: Option<Resolution>,
    /// How many names of executions are used up: of those that did not settle the payment, and at each reopening.
    pub attempt: u32,
    /// When reconciliation looks next, in seconds since 1970.
    pub look_again_at: i64,
    /// Since when it is open, in seconds since 1970: never moves.
    pub open_since: Option<i64>,
    /// Since when the bank has not known the charge, in seconds since 1970.
    pub unknown_since: Option<i64>,
    /// Since when something technical has kept the payment from going on, in seconds since 1970.
    pub trouble_since: Option<i64>,
    /// When the bank's decision was written down, in seconds since 1970.
    pub decided_at: Option<i64>,
    /// When the money began its way back, in seconds since 1970.
    pub reversing_since: Option<i64>,
    /// When the bank's signed word came that the charge is authorised, in seconds since 1970.
    pub paid_notified_at: Option<i64>,
    /// Whether somebody came back from 3-D Secure with this record's token before a charge was stored.
    pub came_back: bool,
    /// Charges that may be this record's, while it has none stored: those of signed notifications first.
    pub hints: Vec<ChargeId>,
    /// How many of them are stored of each kind.
    pub hints_stored: [(Hint, usize); 2],
    /// Which of the bank's keys made the charge; unknown of records that another system made.
    pub bank_key: Option<String>,
    /// When browsers' returns last started executions beyond the first attempt, in seconds since 1970.
    pub return_starts: Vec<i64>,
    /// When a browser's return last had the bank asked, in seconds since 1970.
    pub return_asked_at: Option<i64>,
    /// As what the record was closed; `None` while it is open.
    pub closed_as: Option<String>,
    /// The bank's customer who got this payment's card, once one did.
    pub card_saved_to: Option<CustomerId>,
}

impl Record {
    /// Whether nothing is left to do for the payment.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed_as.is_some()
    }

    /// Whether CloseRecord may close it: it is settled, and no decline over an authorisation that the bank has signed.
    #[must_use]
    pub fn may_be_closed(&self) -> bool {
        self.is_settled()
            && !(self.outcome == Some(Outcome::Declined) && self.paid_notified_at.is_some())
    }

    /// Whether nothing is left to do about the money: it paid, went back, or was never there.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        match self.outcome {
            None => false,
            Some(Outcome::Paid) => matches!(
                self.resolution,
                Some(Resolution::OrderPaid | Resolution::Reversed)
            ),
            Some(Outcome::Declined | Outcome::Returned) => true,
        }
    }

    /// Whether its charge has paid the order.
    #[must_use]
    pub fn has_paid(&self) -> bool {
        self.resolution == Some(Resolution::OrderPaid)
    }

    /// Whether this charge has paid the order.
    #[must_use]
    pub fn has_paid_by(&self, charge: &ChargeId) -> bool {
        self.has_paid() && self.charge_id.as_ref() == Some(charge)
    }

    /// Whether the payment was given up because the bank would not decide: should it decide after all, there is
    /// something left to do.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        self.closed_as.as_deref() == Some(ABANDONED)
    }

    /// The payment as the saga carries it; `None` while the bank has not named a charge.
    #[must_use]
    pub fn payment(&self) -> Option<Payment> {
        self.charge_id
            .as_ref()
            .map(|charge| self.payment_by(charge))
    }

    /// The payment as the saga would carry it if this were its charge.
    #[must_use]
    pub fn payment_by(&self, charge: &ChargeId) -> Payment {
        Payment {
            record_key: self.key.clone(),
            charge_id: charge.clone(),
            order_id: self.order_id.clone(),
            owner_id: self.owner_id.clone(),
            amount_satang: self.amount,
            currency: self.currency.clone(),
            reference_order: self.reference_order.clone(),
            purpose: Purpose::of(&self.order_id),
            origin: self.origin,
            save_card: self.save_card,
            attempt: self.attempt,
            look_again_at: self.look_again_at,
            open_since: self.open_since.unwrap_or(0),
            unknown_since: self.unknown_since,
        }
    }

    /// Whether an item has this layout. Items of the former system have no `outcome`.
    #[must_use]
    pub fn is_current(item: &Item) -> bool {
        item.contains_key("outcome")
    }

    /// Reads an item of this layout.
    ///
    /// # Errors
    /// [`TableError::Unreadable`] naming an attribute that a payment cannot do without.
    pub fn read(item: &Item) -> Result<Self, TableError> {
        let text = |name: &'static str| string(item, name).map(str::to_owned);
        let need = |name: &'static str| text(name).ok_or_else(|| unreadable(name));
        Ok(Self {
            key: RecordKey::stored(need("tokenId")?),
            token: text("token").and_then(|token| CardToken::new(token).ok()),
            charge_id: text("chargeId").and_then(|id| ChargeId::new(id).ok()),
            redirect_url: text("redirectUrl"),
            order_id: OrderId::new(need("orderId")?).map_err(|_| unreadable("orderId"))?,
            owner_id: OwnerId::new(need("ownerId")?).map_err(|_| unreadable("ownerId"))?,
            amount: integer(item, "amountSatang")
                .and_then(|satang| Satang::new(satang).ok())
                .or_else(|| baht(item, "amount"))
                .ok_or_else(|| unreadable("amountSatang"))?,
            currency: text("currency").unwrap_or_else(|| "THB".into()),
            reference_order: text("referenceOrder").map(ReferenceOrder::stored),
            origin: match string(item, "origin") {
                None => Origin::Own,
                Some("old") => Origin::Old,
                Some("borrowed") => Origin::Borrowed,
                Some(_) => return Err(unreadable("origin")),
            },
            callback: text("callback"),
            save_card: boolean(item, "saveCard").unwrap_or(false),
            fingerprint: text("formFingerprint"),
            outcome: match string(item, "outcome") {
                Some("pending") => None,
                Some("paid") => Some(Outcome::Paid),
                Some("declined") => Some(Outcome::Declined),
                Some("returned") => Some(Outcome::Returned),
                _ => return Err(unreadable("outcome")),
            },
            resolution: match string(item, "resolution") {
                None => None,
                Some("orderPaid") => Some(Resolution::OrderPaid),
                Some("reversing") => Some(Resolution::Reversing),
                Some("reversed") => Some(Resolution::Reversed),
                Some(_) => return Err(unreadable("resolution")),
            },
            attempt: integer(item, "attempt")
                .and_then(|attempt| attempt.try_into().ok())
                .unwrap_or(0),
            look_again_at: integer(item, "lookAgainAt").unwrap_or(0),
            open_since: text("openSince").and_then(|since| clock::seconds_of(&since)),
            unknown_since: integer(item, "unknownSince").filter(|since| *since > 0),
            trouble_since: integer(item, "troubleSince"),
            decided_at: text("decidedAt").and_then(|at| clock::seconds_of(&at)),
            reversing_since: text("reversingSince").and_then(|at| clock::seconds_of(&at)),
            paid_notified_at: item
                .contains_key("paidNotifiedAt")
                .then(|| integer(item, "paidNotifiedAt").unwrap_or(0)),
            came_back: item.contains_key("cameBackAt"),
            hints: Hint::ALL
                .iter()
                .flat_map(|hint| hint.stored(item))
                .filter_map(|id| ChargeId::new(id).ok())
                .collect(),
            hints_stored: Hint::ALL.map(|hint| (hint, hint.stored(item).len())),
            bank_key: text("bankKey"),
            return_starts: return_starts(item),
            return_asked_at: integer(item, "returnAskedAt"),
            closed_as: text("closedAs"),
            card_saved_to: text("cardSavedTo").and_then(|id| CustomerId::new(id).ok()),
        })
    }
}

/// The table.
#[derive(Clone)]
pub struct Records {
    client: Client,
    clock: Clock,
    table: String,
}

impl Records {
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

    /// Another table of the same kind in the same database.
    pub(super) fn in_table(&self, table: String) -> Self {
        Self {
            table,
            ..self.clone()
        }
    }

    /// Reads a record by its key, strongly consistent.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn get(&self, key: &RecordKey) -> Result<Option<Record>, TableError> {
        let item = self.item(key.as_str()).await?;
        item.as_ref().map(Record::read).transpose()
    }

    /// Reads an item of whatever layout by its key, strongly consistent.
    pub(super) async fn item(&self, key: &str) -> Result<Option<Item>, TableError> {
        get_item(
            &self.client,
            &self.table,
            ("tokenId", key),
            "read the payment record",
        )
        .await
    }

    /// Every item with this charge, of whatever layout; `None` when there is no such table. The index may lag behind a
    /// checkout of the last moments.
    pub(super) async fn items_by_charge(
        &self,
        charge: &ChargeId,
    ) -> Result<Option<Vec<Item>>, TableError> {
        let result = self
            .client
            .query()
            .table_name(&self.table)
            .index_name(CHARGE_INDEX)
            .key_condition_expression("chargeId = :charge")
            .expression_attribute_values(":charge", s(charge.as_str()))
            .send()
            .await;
        match result {
            Ok(output) => Ok(Some(output.items.unwrap_or_default())),
            Err(error) => match error.as_service_error() {
                Some(QueryError::ResourceNotFoundException(_)) => Ok(None),
                _ => Err(TableError::unavailable(
                    "find the payment record by its charge",
                )(error)),
            },
        }
    }

    /// Takes over a record that was first the former system's or master's. A record that stands stays, unless it is
    /// that of a checkout that the bank refused.
    ///
    /// # Errors
    /// [`TableError`].
    pub(super) async fn adopt(&self, item: Item) -> Result<(), TableError> {
        let result = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item))
            .condition_expression(
                "attribute_not_exists(tokenId) OR (attribute_not_exists(chargeId) AND attribute_exists(closedAt))",
            )
            .send()
            .await;
        condition_held(result, "take over the payment record").map(drop)
    }

    /// DynamoDB, for transactions.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The clock by which records are dated.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The table's name.
    pub(super) fn table(&self) -> &str {
        &self.table
    }

    /// Updates a record if `condition` holds; whether it did. A value that is `None` is named by neither expression.
    pub(super) async fn update_if(
        &self,
        operation: &'static str,
        key: &RecordKey,
        update: &str,
        condition: &str,
        values: impl IntoIterator<Item = (&'static str, Option<AttributeValue>)>,
    ) -> Result<bool, TableError> {
        let mut request = self
            .client
            .update_item()
            .table_name(&self.table)
            .key("tokenId", s(key.as_str()))
            .update_expression(update)
            .condition_expression(condition);
        if update.contains("#token") {
            // `token` is one of DynamoDB's reserved words.
            request = request.expression_attribute_names("#token", "token");
        }
        for (name, value) in values {
            if let Some(value) = value {
                request = request.expression_attribute_values(name, value);
            }
        }
        condition_held(request.send().await, operation)
    }

    /// For a transaction: an update of a record, still without its expressions.
    fn update(&self, key: &RecordKey) -> UpdateBuilder {
        Update::builder()
            .table_name(&self.table)
            .key("tokenId", s(key.as_str()))
    }

    /// For a transaction: a record that no money came of is closed, and its token forgotten. Still without its
    /// condition.
    fn closed_as(&self, key: &RecordKey, closed_as: &str) -> UpdateBuilder {
        self.update(key)
            .update_expression(
                "SET outcome = :declined, closedAt = :now, closedAs = :closedAs REMOVE openShard, lookAgainAt, #token",
            )
            .expression_attribute_names("#token", "token")
            .expression_attribute_values(":declined", s("declined"))
            .expression_attribute_values(":now", s(self.clock.text()))
            .expression_attribute_values(":closedAs", s(closed_as))
    }
}

/// An attribute that a payment cannot do without is absent, or cannot be read.
pub(crate) fn unreadable(attribute: &'static str) -> TableError {
    TableError::Unreadable {
        table: "card-payment-record",
        attribute,
    }
}

#[cfg(test)]
impl Record {
    /// A pending record with a charge, but for what is set otherwise. An attribute that is set to null is absent.
    pub(crate) fn sample(set: &[(&str, AttributeValue)]) -> Self {
        let pending = [
            ("tokenId", s("k")),
            ("chargeId", s("chrg_1")),
            ("orderId", s("482500007436")),
            ("ownerId", s("usr_1")),
            ("amountSatang", super::item::n(150_000)),
            ("outcome", s("pending")),
        ];
        let mut item: Item = pending
            .iter()
            .chain(set)
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect();
        item.retain(|_, value| *value != AttributeValue::Null(true));
        Self::read(&item).expect("a record")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::item::n;

    #[test]
    fn what_is_settled_may_be_closed_but_no_decline_over_a_signed_approval() {
        let signed = ("paidNotifiedAt", n(1));
        let outcome = |outcome: &str| ("outcome", s(outcome));
        let resolution = |resolution: &str| ("resolution", s(resolution));
        for (set, may_be_closed) in [
            (vec![], false),
            (vec![outcome("declined")], true),
            (vec![outcome("declined"), signed.clone()], false),
            (vec![outcome("returned"), signed.clone()], true),
            (vec![outcome("paid"), signed.clone()], false),
            (vec![outcome("paid"), resolution("reversing")], false),
            (vec![outcome("paid"), resolution("reversed"), signed], true),
            (vec![outcome("paid"), resolution("orderPaid")], true),
        ] {
            let record = Record::sample(&set);
            assert_eq!(record.may_be_closed(), may_be_closed, "{set:?}");
        }
    }
}
