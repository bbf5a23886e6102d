//! card-payment-record: one record per card token, the single place where a payment's course is decided.
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
//! | `origin`, `sourceTable`, `sourceLayout`, `sourceKey` | for a record that was first the former system's, or master's ([`super::sources`]) |

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::query::QueryError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::builders::UpdateBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, Put, TransactWriteItem, Update};

use super::TableError;
use super::item::{Item, baht, boolean, integer, n, s, string};
use crate::clock;
use crate::domain::charge::{Outcome, TransactionState};
use crate::domain::checkout::CheckoutForm;
use crate::domain::ids::{
    CardToken, ChargeId, CustomerId, OrderId, OwnerId, RecordKey, ReferenceOrder,
};
use crate::domain::money::Satang;
use crate::domain::payment::{Origin, Payment, Purpose};

const TABLE: &str = "card-payment-record";
const CHARGE_INDEX: &str = "chargeId_index";
const ORDER_INDEX: &str = "orderId_index";
const OPEN_INDEX: &str = "open_index";
/// As what a payment is closed that the bank would not decide.
const ABANDONED: &str = "abandoned";
/// As what a checkout is closed whose charge the bank refused to create.
pub const REFUSED: &str = "refused";
/// As what a checkout is closed whose charge surely never came to the bank: the same form may be sent again.
pub const NOT_CHARGED: &str = "not-charged";
/// As what a checkout is closed of which the bank knows no charge.
const NEVER_CHARGED: &str = "never-charged";

/// How many charges a record keeps as hints of each kind. The first ones stay: nobody pushes out what came before.
const HINTS: usize = 3;

/// Who named a charge that may be a record's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hint {
    /// The bank, in a signed notification.
    Notified,
    /// A browser with the record's token, unsigned.
    Returned,
}

impl Hint {
    const ALL: [Self; 2] = [Self::Notified, Self::Returned];

    /// The ids that an item holds of this kind.
    fn stored(self, item: &Item) -> &[String] {
        let set = item.get(self.attribute());
        set.and_then(|set| set.as_ss().ok())
            .map_or(&[], Vec::as_slice)
    }

    fn attribute(self) -> &'static str {
        match self {
            Self::Notified => "notifiedCharges",
            Self::Returned => "returnedCharges",
        }
    }
}

/// When reconciliation first looks at a payment that nobody called back for, in seconds after checkout. No open payment is
/// looked at later than this after an execution of it was started.
pub const FIRST_LOOK_AFTER: i64 = 5 * 60;

/// How many executions browsers' returns start within [`RETURN_STARTS_WITHIN`], beside the first one of the charge.
const RETURN_STARTS: usize = 2;
/// The time in which those are counted, in seconds.
const RETURN_STARTS_WITHIN: i64 = 10 * 60;
/// How often returns of one charge have the bank asked beyond that, in seconds.
const RETURN_ASKS_EVERY: i64 = 10;
/// A look that is due within so many seconds is soon enough.
const SOON: i64 = 15;

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
    /// Whether the bank has signed that the charge is authorised.
    pub paid_notified: bool,
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

impl Record {
    /// Whether nothing is left to do for the payment.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed_as.is_some()
    }

    /// Whether somebody may have named a charge for which there was no room any more.
    #[must_use]
    pub fn hints_may_be_missing(&self) -> bool {
        self.hints_stored.iter().any(|(_, stored)| *stored >= HINTS)
    }

    /// Whether the checkout's charge surely never came to the bank, so that this form may make it another try.
    #[must_use]
    pub fn may_be_tried_again(&self, form: &CheckoutForm) -> bool {
        self.closed_as.as_deref() == Some(NOT_CHARGED)
            && self.fingerprint.as_deref() == Some(form.fingerprint())
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

    /// Whether the payment was given up because the bank would not decide: should it decide after all, there is something
    /// left to do.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        self.closed_as.as_deref() == Some(ABANDONED)
    }

    /// Whether a browser's return may start another execution at `now`: returns start few of them in any ten minutes.
    #[must_use]
    pub fn return_may_start(&self, now: i64) -> bool {
        self.recent_return_starts(now).count() < RETURN_STARTS
    }

    /// Whether a browser's return may have the bank asked at `now`.
    #[must_use]
    pub fn return_may_ask(&self, now: i64) -> bool {
        self.return_asked_at
            .is_none_or(|asked| asked <= now - RETURN_ASKS_EVERY)
    }

    /// Whether the next look comes after `now`, and in time for an execution that is started then.
    fn looks_in_time(&self, now: i64) -> bool {
        (now + 1..=now + FIRST_LOOK_AFTER).contains(&self.look_again_at)
    }

    fn recent_return_starts(&self, now: i64) -> impl Iterator<Item = i64> {
        let started = self.return_starts.iter().copied();
        started.filter(move |at| *at > now - RETURN_STARTS_WITHIN)
    }

    /// The payment as the saga carries it; `None` while the bank has not named a charge.
    #[must_use]
    pub fn payment(&self) -> Option<Payment> {
        Some(Payment {
            record_key: self.key.clone(),
            charge_id: self.charge_id.clone()?,
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
        })
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
        let missing = |attribute| TableError::Unreadable {
            table: TABLE,
            attribute,
        };
        let text = |name: &'static str| string(item, name).map(str::to_owned);
        let need = |name: &'static str| text(name).ok_or_else(|| missing(name));
        Ok(Self {
            key: RecordKey::stored(need("tokenId")?),
            token: text("token").and_then(|token| CardToken::new(token).ok()),
            charge_id: text("chargeId").and_then(|id| ChargeId::new(id).ok()),
            redirect_url: text("redirectUrl"),
            order_id: OrderId::new(need("orderId")?).map_err(|_| missing("orderId"))?,
            owner_id: OwnerId::new(need("ownerId")?).map_err(|_| missing("ownerId"))?,
            amount: integer(item, "amountSatang")
                .and_then(|satang| Satang::new(satang).ok())
                .or_else(|| baht(item, "amount"))
                .ok_or_else(|| missing("amountSatang"))?,
            currency: text("currency").unwrap_or_else(|| "THB".into()),
            reference_order: text("referenceOrder").map(ReferenceOrder::stored),
            origin: match string(item, "origin") {
                None => Origin::Own,
                Some("old") => Origin::Old,
                Some("borrowed") => Origin::Borrowed,
                Some(_) => return Err(missing("origin")),
            },
            callback: text("callback"),
            save_card: boolean(item, "saveCard").unwrap_or(false),
            fingerprint: text("formFingerprint"),
            outcome: match string(item, "outcome") {
                Some("pending") => None,
                Some("paid") => Some(Outcome::Paid),
                Some("declined") => Some(Outcome::Declined),
                Some("returned") => Some(Outcome::Returned),
                _ => return Err(missing("outcome")),
            },
            resolution: match string(item, "resolution") {
                None => None,
                Some("orderPaid") => Some(Resolution::OrderPaid),
                Some("reversing") => Some(Resolution::Reversing),
                Some("reversed") => Some(Resolution::Reversed),
                Some(_) => return Err(missing("resolution")),
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
            paid_notified: item.contains_key("paidNotifiedAt"),
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

/// What a look at an open record has shown of what keeps the payment from going on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Noted {
    /// Nothing new.
    Nothing,
    /// The bank has answered: whatever was in the way is over.
    Answered,
    /// Something technical is in the way.
    Trouble,
    /// The bank does not know the charge.
    Unknown,
}

/// An open record that cannot be read.
#[derive(Debug)]
pub struct Unreadable {
    /// Its key.
    pub key: RecordKey,
    /// When it was due, in seconds since 1970.
    pub look_again_at: i64,
    /// Its order, as far as it says.
    pub order_id: Option<OrderId>,
    /// What is wrong with it.
    pub error: TableError,
}

fn return_starts(item: &Item) -> Vec<i64> {
    let stored = item.get("returnStarts").and_then(|list| list.as_l().ok());
    let times = stored.into_iter().flatten();
    times
        .filter_map(|time| time.as_n().ok()?.parse().ok())
        .collect()
}

/// A page of the index of open records.
#[derive(Debug)]
pub struct Due {
    /// The records; an item that cannot be read does not hide the others.
    pub records: Vec<Result<Record, Unreadable>>,
    /// Where the next page begins, if there is one.
    pub next: Option<Item>,
}

/// The table.
#[derive(Clone)]
pub struct Records {
    client: Client,
    table: String,
}

impl Records {
    /// The table by its name.
    #[must_use]
    pub fn new(client: Client, table: String) -> Self {
        Self { client, table }
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
        let output = self
            .client
            .get_item()
            .table_name(&self.table)
            .key("tokenId", s(key))
            .consistent_read(true)
            .send()
            .await
            .map_err(TableError::unavailable("read the payment record"))?;
        Ok(output.item)
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

    /// For a transaction: the record of a new payment. Holds unless one of this token stands; one whose charge surely never
    /// came to the bank makes room for the same form.
    #[must_use]
    pub fn created(
        &self,
        form: &CheckoutForm,
        owner: &OwnerId,
        amount: Satang,
        reference: &ReferenceOrder,
        bank_key: Option<&str>,
    ) -> TransactWriteItem {
        let key = form.token.record_key();
        let now = clock::now();
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
                ("outcome", s("pending")),
                ("status", AttributeValue::Bool(false)),
                ("attempt", n(0)),
                ("openShard", n(key.open_shard())),
                ("lookAgainAt", n(clock::now_seconds() + FIRST_LOOK_AFTER)),
                ("openSince", s(&now)),
                ("createdAt", s(&now)),
            ]
            .map(|(name, value)| (name.to_owned(), value)),
        );
        for (name, value) in [
            ("callback", form.callback.as_deref()),
            ("basketId", form.basket_id.as_deref()),
            ("bankKey", bank_key),
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

    /// For a transaction: the bank's answer to checkout. The first answer stands: holds unless another charge is stored, or
    /// the record is closed.
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
        let mut update = Update::builder()
            .table_name(&self.table)
            .key("tokenId", s(key.as_str()))
            .update_expression(set)
            .condition_expression(
                "attribute_exists(openShard) AND (attribute_not_exists(chargeId) OR chargeId = :charge)",
            )
            .expression_attribute_values(":charge", s(charge.as_str()))
            .expression_attribute_values(":soon", n(clock::now_seconds() + FIRST_LOOK_AFTER));
        if let Some(url) = redirect_url {
            update = update.expression_attribute_values(":url", s(url));
        }
        transact_update(update)
    }

    /// For a transaction: the record is closed, and no charge came of its checkout. Holds unless it has one, or is another
    /// try's: a write that comes late must not close that.
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
    /// [`Records::closed_without_charge`], and only while the record is open and nobody has named a charge for it since it
    /// was read: that one was not asked for.
    #[must_use]
    pub fn closed_as_never_charged(
        &self,
        record: &Record,
        reference: &ReferenceOrder,
    ) -> TransactWriteItem {
        let mut as_read = " AND attribute_exists(openShard) AND lookAgainAt = :read".to_owned();
        // Nothing takes one away, so that the number tells; and whoever finds no more room sets `lookAgainAt` all the same.
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
        Update::builder()
            .table_name(&self.table)
            .key("tokenId", s(key.as_str()))
            .update_expression(
                "SET outcome = :declined, closedAt = :now, closedAs = :closedAs REMOVE openShard, lookAgainAt, #token",
            )
            .condition_expression(format!(
                "referenceOrder = :reference AND attribute_not_exists(chargeId){and}"
            ))
            .expression_attribute_names("#token", "token")
            .expression_attribute_values(":declined", s("declined"))
            .expression_attribute_values(":now", s(clock::now()))
            .expression_attribute_values(":closedAs", s(closed_as))
            .expression_attribute_values(":reference", s(reference.as_str()))
    }

    /// Closes the copy of a record that another stack has claimed first.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn close_handled_elsewhere(&self, key: &RecordKey) -> Result<(), TableError> {
        self.update_if(
            "close the copy of the payment record",
            key.as_str(),
            "SET closedAt = :now, closedAs = :elsewhere REMOVE openShard, lookAgainAt, #token",
            "attribute_exists(openShard) AND outcome = :pending",
            [
                (":now", Some(s(clock::now()))),
                (":elsewhere", Some(s("handledElsewhere"))),
                (":pending", Some(s("pending"))),
            ],
        )
        .await
        .map(|_| ())
    }

    /// Opens a declined record again, closed or not, because the bank has authorised its charge after all: it is pending, as
    /// for any other callback, and an attempt is counted, so that there is a name for another execution. What is decided next
    /// is dated anew. `None` when the record is not what was read: somebody else was first, or the bank's yes is recorded by
    /// now.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn reopen_declined(&self, record: &Record) -> Result<Option<u32>, TableError> {
        let next = record.attempt + 1;
        let now = clock::now_seconds();
        let opened = self
            .update_if(
                "open the declined payment record again",
                record.key.as_str(),
                "SET outcome = :pending, attempt = :next, openShard = :shard, lookAgainAt = :now, paidNotifiedAt = :now REMOVE closedAt, closedAs, decidedAt",
                "outcome = :declined AND attempt = :read AND attribute_exists(chargeId)",
                [
                    (":next", Some(n(next))),
                    (":read", Some(n(record.attempt))),
                    (":shard", Some(n(record.key.open_shard()))),
                    (":now", Some(n(now))),
                    (":declined", Some(s("declined"))),
                    (":pending", Some(s("pending"))),
                ],
            )
            .await?;
        Ok(opened.then_some(next))
    }

    /// A page of a shard's open records whose `lookAgainAt` is past, longest due first.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn due(&self, shard: u8, now: i64, page: Option<Item>) -> Result<Due, TableError> {
        let output = self
            .client
            .query()
            .table_name(&self.table)
            .index_name(OPEN_INDEX)
            .key_condition_expression("openShard = :shard AND lookAgainAt <= :now")
            .expression_attribute_values(":shard", n(shard))
            .expression_attribute_values(":now", n(now))
            .set_exclusive_start_key(page)
            .send()
            .await
            .map_err(TableError::unavailable("read the open payment records"))?;
        let read = |item: &Item| {
            Record::read(item).map_err(|error| Unreadable {
                // The index holds both keys of every item.
                key: RecordKey::stored(string(item, "tokenId").unwrap_or_default().to_owned()),
                look_again_at: integer(item, "lookAgainAt").unwrap_or(0),
                order_id: string(item, "orderId").and_then(|id| OrderId::new(id).ok()),
                error,
            })
        };
        Ok(Due {
            records: output.items().iter().map(read).collect(),
            next: output.last_evaluated_key,
        })
    }

    /// Puts an open record off that cannot be read, unless somebody woke it up meanwhile.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn put_off_unreadable(&self, record: &Unreadable, at: i64) -> Result<(), TableError> {
        let read = record.look_again_at;
        self.put_off_as_read(&record.key, read, "SET lookAgainAt = :at", at, None)
            .await
    }

    /// Puts an open record off, and notes what was seen, unless somebody woke it up since it was read.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn put_off(
        &self,
        record: &Record,
        at: i64,
        now: i64,
        noted: Noted,
    ) -> Result<(), TableError> {
        let (update, since) = match noted {
            Noted::Nothing => ("SET lookAgainAt = :at", None),
            Noted::Answered => (
                "SET lookAgainAt = :at REMOVE troubleSince, unknownSince",
                None,
            ),
            Noted::Trouble => (
                "SET lookAgainAt = :at, troubleSince = :since",
                Some(record.trouble_since),
            ),
            Noted::Unknown => (
                "SET lookAgainAt = :at, unknownSince = :since REMOVE troubleSince",
                Some(record.unknown_since),
            ),
        };
        let since = since.map(|since| since.unwrap_or(now));
        self.put_off_as_read(&record.key, record.look_again_at, update, at, since)
            .await
    }

    async fn put_off_as_read(
        &self,
        key: &RecordKey,
        read: i64,
        update: &str,
        at: i64,
        since: Option<i64>,
    ) -> Result<(), TableError> {
        self.update_if(
            "put the payment record off",
            key.as_str(),
            update,
            "attribute_exists(openShard) AND lookAgainAt = :read",
            [
                (":at", Some(n(at))),
                (":read", Some(n(read))),
                (":since", since.map(n)),
            ],
        )
        .await
        .map(|_| ())
    }

    /// Counts an attempt that ended without settling the payment, so that there is a name for another execution. It is looked
    /// at again `at` that moment, in seconds since 1970; `trouble_since` is kept as the begin of the trouble. `None` when the
    /// record is not what was read: another attempt is counted, or nothing is left to do.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn count_attempt(
        &self,
        record: &Record,
        trouble_since: i64,
        at: i64,
    ) -> Result<Option<u32>, TableError> {
        let next = record.attempt + 1;
        let counted = self
            .update_if(
                "count the attempt in the payment record",
                record.key.as_str(),
                "SET attempt = :next, lookAgainAt = :at, troubleSince = :since",
                "attempt = :this AND attribute_exists(openShard)",
                [
                    (":next", Some(n(next))),
                    (":this", Some(n(record.attempt))),
                    (":at", Some(n(at))),
                    (":since", Some(n(trouble_since))),
                ],
            )
            .await?;
        Ok(counted.then_some(next))
    }

    /// For a transaction: the shopper never finished. Holds only while the record is as it was read and pending, and the bank
    /// has signed nothing else.
    #[must_use]
    pub fn abandoned_update(&self, payment: &Payment) -> TransactWriteItem {
        transact_update(
            Update::builder()
                .table_name(&self.table)
                .key("tokenId", s(payment.record_key.as_str()))
                .update_expression(
                    "SET outcome = :declined, closedAt = :now, closedAs = :abandoned \
                     REMOVE openShard, lookAgainAt, #token",
                )
                .condition_expression("outcome = :pending AND #attempt = :attempt AND attribute_not_exists(paidNotifiedAt)")
                .expression_attribute_names("#token", "token")
                .expression_attribute_names("#attempt", "attempt")
                .expression_attribute_values(":declined", s("declined"))
                .expression_attribute_values(":pending", s("pending"))
                .expression_attribute_values(":abandoned", s(ABANDONED))
                .expression_attribute_values(":attempt", n(payment.attempt))
                .expression_attribute_values(":now", s(clock::now())),
        )
    }

    /// Notes a charge that may be the one of a checkout that has none stored, and has reconciliation look for it. Of each
    /// kind the first few are kept. `false` when the record is closed or has a charge.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn note_hint(
        &self,
        key: &RecordKey,
        charge: &ChargeId,
        hint: Hint,
    ) -> Result<bool, TableError> {
        const OPERATION: &str = "note a charge that may be the payment record's";
        const WAITS: &str = "attribute_exists(openShard) AND attribute_not_exists(chargeId)";
        let named = hint.attribute();
        let set = match hint {
            Hint::Notified => "SET lookAgainAt = :now",
            Hint::Returned => "SET lookAgainAt = :now, cameBackAt = :now",
        };
        let now = || (":now", Some(n(clock::now_seconds())));
        let room = format!(
            "{WAITS} AND (attribute_not_exists({named}) OR size({named}) < :most OR contains({named}, :id))"
        );
        let kept = self
            .update_if(
                OPERATION,
                key.as_str(),
                &format!("{set} ADD {named} :ids"),
                &room,
                [
                    now(),
                    (":most", Some(n(HINTS))),
                    (":id", Some(s(charge.as_str()))),
                    (":ids", Some(AttributeValue::Ss(vec![charge.to_string()]))),
                ],
            )
            .await?;
        if kept {
            return Ok(true);
        }
        self.update_if(OPERATION, key.as_str(), set, WAITS, [now()])
            .await
    }

    /// The keys of an order's open records that have no charge stored. The index may lag behind a checkout of the last
    /// moments.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn without_charge(&self, order: &OrderId) -> Result<Vec<RecordKey>, TableError> {
        let output = self
            .client
            .query()
            .table_name(&self.table)
            .index_name(ORDER_INDEX)
            .key_condition_expression("orderId = :order")
            .filter_expression("attribute_exists(openShard) AND attribute_not_exists(chargeId)")
            .projection_expression("tokenId")
            .expression_attribute_values(":order", s(order.as_str()))
            .send()
            .await
            .map_err(TableError::unavailable("find the order's payment records"))?;
        let keys = output.items().iter();
        Ok(keys
            .filter_map(|item| string(item, "tokenId"))
            .map(|key| RecordKey::stored(key.to_owned()))
            .collect())
    }

    /// Notes that the bank has signed that the charge of an open, pending record is authorised, and has reconciliation look at
    /// it at its next run: from then on no decline closes the record. `false` when the record is not open or not pending.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn note_authorised(&self, key: &RecordKey) -> Result<bool, TableError> {
        self.update_if(
            "note the signed authorisation in the payment record",
            key.as_str(),
            "SET lookAgainAt = :now, paidNotifiedAt = :now",
            "attribute_exists(openShard) AND outcome = :pending",
            [
                (":now", Some(n(clock::now_seconds()))),
                (":pending", Some(s("pending"))),
            ],
        )
        .await
    }

    /// Before an execution of an open record is started: the next look is in five minutes at most, so that an execution that
    /// fails is found. Writes only where a later one stands, since whoever calls this may start nothing: no look is put off.
    /// Whether it wrote.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn look_before_a_start(&self, record: &Record, now: i64) -> Result<bool, TableError> {
        let latest = now + FIRST_LOOK_AFTER;
        if record.look_again_at <= latest {
            return Ok(false);
        }
        self.update_if(
            "have the payment record looked at earlier",
            record.key.as_str(),
            "SET lookAgainAt = :latest",
            "attribute_exists(openShard) AND lookAgainAt > :latest",
            [(":latest", Some(n(latest)))],
        )
        .await
    }

    /// Once an execution of an open record was started: the next look is in five minutes at most. One that is due already is
    /// set, too, and not left: a reconciliation that has just read the record, and asked the bank before this start, would put
    /// the record off for up to a day. Its write loses then. Whether it wrote: not where another attempt was counted, or
    /// somebody else has set another look that comes in time.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn look_after_a_start(&self, record: &Record, now: i64) -> Result<bool, TableError> {
        let latest = now + FIRST_LOOK_AFTER;
        if record.looks_in_time(now) {
            return Ok(false);
        }
        self.update_if(
            "have the payment record looked at after a start",
            record.key.as_str(),
            "SET lookAgainAt = :latest",
            "attribute_exists(openShard) AND attempt = :attempt AND (lookAgainAt = :read OR lookAgainAt > :latest)",
            [
                (":latest", Some(n(latest))),
                (":attempt", Some(n(record.attempt))),
                (":read", Some(n(record.look_again_at))),
            ],
        )
        .await
    }

    /// Has reconciliation look at an open, pending record soon. Writes only where no look is due soon anyway.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn look_soon(&self, record: &Record, now: i64) -> Result<bool, TableError> {
        if record.look_again_at <= now + SOON {
            return Ok(false);
        }
        self.update_if(
            "have the payment record looked at soon",
            record.key.as_str(),
            "SET lookAgainAt = :now",
            "attribute_exists(openShard) AND outcome = :pending AND lookAgainAt > :late",
            [
                (":now", Some(n(now))),
                (":late", Some(n(now + SOON))),
                (":pending", Some(s("pending"))),
            ],
        )
        .await
    }

    /// Counts a browser's return that starts the execution of the attempt that was read, and sees to the next look as
    /// [`Records::look_after_a_start`]. `false` when the record is not what was read: another return may have been counted.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn count_return_start(&self, record: &Record, now: i64) -> Result<bool, TableError> {
        let counted = record.recent_return_starts(now).chain([now]);
        let counted = AttributeValue::L(counted.map(n).collect());
        let read: Vec<_> = record.return_starts.iter().map(n).collect();
        let (as_read, read) = if read.is_empty() {
            ("attribute_not_exists(returnStarts)", None)
        } else {
            ("returnStarts = :read", Some(AttributeValue::L(read)))
        };
        let (and_set, latest) = if record.looks_in_time(now) {
            ("", None)
        } else {
            let latest = now + FIRST_LOOK_AFTER;
            (", lookAgainAt = :latest", Some(n(latest)))
        };
        self.update_if(
            "count the return in the payment record",
            record.key.as_str(),
            &format!("SET returnStarts = :counted{and_set}"),
            &format!(
                "attribute_exists(openShard) AND outcome = :pending AND attempt = :attempt AND {as_read} \
                 AND lookAgainAt = :look"
            ),
            [
                (":counted", Some(counted)),
                (":read", read),
                (":latest", latest),
                (":look", Some(n(record.look_again_at))),
                (":attempt", Some(n(record.attempt))),
                (":pending", Some(s("pending"))),
            ],
        )
        .await
    }

    /// Takes the turn of a browser's return to have the bank asked: `false` when another one has had it within the last
    /// seconds. An open record is looked at soon, in the same write, whatever becomes of whoever asks.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn take_return_ask(&self, record: &Record, now: i64) -> Result<bool, TableError> {
        let (and_set, and_late, late) = if !record.is_closed() && record.look_again_at > now + SOON
        {
            (
                ", lookAgainAt = :now",
                " AND attribute_exists(openShard) AND lookAgainAt > :late",
                Some(n(now + SOON)),
            )
        } else {
            ("", "", None)
        };
        self.update_if(
            "note in the payment record that a return has the bank asked",
            record.key.as_str(),
            &format!("SET returnAskedAt = :now{and_set}"),
            &format!(
                "attribute_exists(chargeId) AND (attribute_not_exists(returnAskedAt) OR returnAskedAt <= :before){and_late}"
            ),
            [
                (":now", Some(n(now))),
                (":before", Some(n(now - RETURN_ASKS_EVERY))),
                (":late", late),
            ],
        )
        .await
    }

    /// Opens a record again that was given up, since the bank may have decided after all: it is pending, due, and in the
    /// index of open ones, and an attempt is counted, so that there is a name for another execution. `None` when the record
    /// is not what was read.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn reopen_abandoned(&self, record: &Record) -> Result<Option<u32>, TableError> {
        let next = record.attempt + 1;
        let opened = self
            .update_if(
                "open the abandoned payment record again",
                record.key.as_str(),
                "SET outcome = :pending, attempt = :next, openShard = :shard, lookAgainAt = :now REMOVE closedAt, closedAs, decidedAt",
                "closedAs = :abandoned AND attempt = :read",
                [
                    (":pending", Some(s("pending"))),
                    (":abandoned", Some(s(ABANDONED))),
                    (":next", Some(n(next))),
                    (":read", Some(n(record.attempt))),
                    (":shard", Some(n(record.key.open_shard()))),
                    (":now", Some(n(clock::now_seconds()))),
                ],
            )
            .await?;
        Ok(opened.then_some(next))
    }

    /// Notes that the card is with the bank's customer, so that a repeat does not save it again.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn note_card_saved(
        &self,
        key: &RecordKey,
        customer: &CustomerId,
    ) -> Result<(), TableError> {
        self.update_if(
            "note the saved card in the payment record",
            key.as_str(),
            "SET cardSavedTo = :customer",
            "attribute_exists(tokenId)",
            [(":customer", Some(s(customer.as_str())))],
        )
        .await
        .map(|_| ())
    }

    /// For a transaction: the bank's decision. Holds only as the one direction allows: pending becomes anything, a
    /// decline may turn into a late authorisation, money that was ours may go back, and paid never becomes declined. A
    /// refund may be a partial one, made by hand at the bank: it counts as the money's return only where we asked for it.
    #[must_use]
    pub fn outcome_update(
        &self,
        payment: &Payment,
        outcome: Outcome,
        state: &TransactionState,
    ) -> TransactWriteItem {
        let refunded = *state == TransactionState::RefundSent;
        let before = match outcome {
            // Money that is ours is never recorded where nobody looks any more: see `open_for_payment`.
            Outcome::Paid => {
                "(outcome IN (:pending, :outcome) OR (outcome = :declined AND attribute_exists(openShard)))"
            }
            Outcome::Declined => "outcome IN (:pending, :outcome)",
            Outcome::Returned if refunded => {
                "outcome IN (:pending, :paid, :outcome) \
                 AND (resolution = :reversed OR (resolution = :reversing AND attribute_exists(refundAskedAt)))"
            }
            Outcome::Returned => {
                "outcome IN (:pending, :paid, :outcome) AND (attribute_not_exists(resolution) OR resolution <> :orderPaid)"
            }
        };
        let mut update = Update::builder()
            .table_name(&self.table)
            .key("tokenId", s(payment.record_key.as_str()))
            .update_expression(
                "SET outcome = :outcome, #status = :isPaid, decidedAt = if_not_exists(decidedAt, :now) \
                 REMOVE unknownSince",
            )
            .condition_expression(format!("chargeId = :charge AND {before}"))
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":charge", s(payment.charge_id.as_str()))
            .expression_attribute_values(":outcome", s(outcome.as_str()))
            .expression_attribute_values(":pending", s("pending"))
            .expression_attribute_values(
                ":isPaid",
                AttributeValue::Bool(outcome == Outcome::Paid),
            )
            .expression_attribute_values(":now", s(clock::now()));
        update = match outcome {
            Outcome::Paid => update.expression_attribute_values(":declined", s("declined")),
            Outcome::Declined => update,
            Outcome::Returned if refunded => update
                .expression_attribute_values(":paid", s("paid"))
                .expression_attribute_values(":reversing", s("reversing"))
                .expression_attribute_values(":reversed", s("reversed")),
            Outcome::Returned => update
                .expression_attribute_values(":paid", s("paid"))
                .expression_attribute_values(":orderPaid", s("orderPaid")),
        };
        transact_update(update)
    }

    /// Opens a record again that was closed as declined, or given up, while an execution was about to record that the bank has
    /// authorised its charge. The attempt stays: that execution goes on. `false` when it is not closed so.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn open_for_payment(&self, payment: &Payment) -> Result<bool, TableError> {
        self.update_if(
            "open the payment record again for the bank's decision",
            payment.record_key.as_str(),
            "SET outcome = :pending, openShard = :shard, lookAgainAt = :now REMOVE closedAt, closedAs, decidedAt",
            "chargeId = :charge AND outcome = :declined AND attribute_not_exists(openShard)",
            [
                (":pending", Some(s("pending"))),
                (":declined", Some(s("declined"))),
                (":charge", Some(s(payment.charge_id.as_str()))),
                (":shard", Some(n(payment.record_key.open_shard()))),
                (":now", Some(n(clock::now_seconds()))),
            ],
        )
        .await
    }

    /// For a transaction: the order is paid by this charge. Holds only while the bank's decision is `paid` and nobody
    /// has decided to give the money back.
    #[must_use]
    pub fn order_paid_update(&self, payment: &Payment) -> TransactWriteItem {
        transact_update(
            Update::builder()
                .table_name(&self.table)
                .key("tokenId", s(payment.record_key.as_str()))
                .update_expression(
                    "SET resolution = :orderPaid, orderPaidAt = if_not_exists(orderPaidAt, :now)",
                )
                .condition_expression(
                    "chargeId = :charge AND outcome = :paid \
                     AND (attribute_not_exists(resolution) OR resolution = :orderPaid)",
                )
                .expression_attribute_values(":charge", s(payment.charge_id.as_str()))
                .expression_attribute_values(":paid", s("paid"))
                .expression_attribute_values(":orderPaid", s("orderPaid"))
                .expression_attribute_values(":now", s(clock::now())),
        )
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
        let mut update = Update::builder()
            .table_name(&self.table)
            .key("tokenId", s(payment.record_key.as_str()))
            .update_expression(set)
            .condition_expression(begun)
            .expression_attribute_values(":charge", s(payment.charge_id.as_str()))
            .expression_attribute_values(":reversing", s("reversing"))
            .expression_attribute_values(":reversed", s("reversed"))
            .expression_attribute_values(":how", s(how))
            .expression_attribute_values(":now", s(clock::now()));
        if let Some(id) = refund_id {
            update = update.expression_attribute_values(":refund", s(id));
        }
        transact_update(update)
    }

    /// Decides that the money goes back. `false` when the order is paid, or the bank never said yes.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn begin_reversal(&self, payment: &Payment) -> Result<bool, TableError> {
        self.update_if(
            "begin the reversal in the payment record",
            payment.record_key.as_str(),
            "SET resolution = if_not_exists(resolution, :reversing), reversingSince = if_not_exists(reversingSince, :now)",
            "chargeId = :charge AND outcome IN (:paid, :returned) \
             AND (attribute_not_exists(resolution) OR resolution IN (:reversing, :reversed))",
            [
                (":charge", Some(s(payment.charge_id.as_str()))),
                (":reversing", Some(s("reversing"))),
                (":reversed", Some(s("reversed"))),
                (":paid", Some(s("paid"))),
                (":returned", Some(s("returned"))),
                (":now", Some(s(clock::now()))),
            ],
        )
        .await
    }

    /// Notes that the bank is about to be asked for a refund, as `mark`: one of its own for each request. `false` when the
    /// reversal is not in progress.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn note_refund(&self, payment: &Payment, mark: &str) -> Result<bool, TableError> {
        self.update_if(
            "note the request for a refund in the payment record",
            payment.record_key.as_str(),
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
            payment.record_key.as_str(),
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

    /// Takes over a record that was first the former system's or master's. A record that stands stays, unless it is that
    /// of a checkout that the bank refused.
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
        match result {
            Ok(_) => Ok(()),
            Err(error) => match error.as_service_error() {
                Some(PutItemError::ConditionalCheckFailedException(_)) => Ok(()),
                _ => Err(TableError::unavailable("take over the payment record")(
                    error,
                )),
            },
        }
    }

    /// DynamoDB, for transactions.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The table's name.
    pub(super) fn table(&self) -> &str {
        &self.table
    }

    pub(super) async fn update_if(
        &self,
        operation: &'static str,
        key: &str,
        update: &str,
        condition: &str,
        values: impl IntoIterator<Item = (&'static str, Option<AttributeValue>)>,
    ) -> Result<bool, TableError> {
        let mut request = self
            .client
            .update_item()
            .table_name(&self.table)
            .key("tokenId", s(key))
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
        match request.send().await {
            Ok(_) => Ok(true),
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(_)) => Ok(false),
                _ => Err(TableError::unavailable(operation)(error)),
            },
        }
    }
}

/// Wraps an update for a transaction. The builder only fails without key, table or expression, which stand in the
/// callers' code.
pub(super) fn transact_update(update: UpdateBuilder) -> TransactWriteItem {
    match update.build() {
        Ok(update) => TransactWriteItem::builder().update(update).build(),
        Err(error) => unreachable!("an update without key, table or expression: {error}"),
    }
}
