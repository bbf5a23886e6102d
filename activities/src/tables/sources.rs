//! Finds a payment's record wherever it was made: in this branch's table, in the layout of the former system, or in
//! master's table. What is not ours in our layout is copied under our layout's key, before an execution of it is started, so
//! that it stands in the index of open records; the rest of the saga only ever sees the copy.
//!
//! What a branch writes of master's records is the claim (`handledBy`) and the outcome, nothing else, and both at once: only
//! when this branch's own key at the bank has shown that the charge is what the record says. A claim any earlier would let
//! a stranger's callback to some branch take a payment away from master.

use std::fmt;

use aws_sdk_dynamodb::types::{AttributeValue, TransactWriteItem, Update};

use super::TableError;
use super::item::{Item, baht, boolean, identifier, integer, n, s, string};
use super::orders::Orders;
use super::records::{FIRST_LOOK_AFTER, Record, Records, Resolution, unreadable};
use super::write::transact_update;
use crate::clock;
use crate::domain::charge::Outcome;
use crate::domain::checkout::VERIFICATION_AMOUNT;
use crate::domain::ids::{CardToken, ChargeId, OrderId, OwnerId, RecordKey};
use crate::domain::money::Satang;
use crate::domain::payment::{Origin, Purpose};
use crate::failure::Failure;

/// A record that nobody else has claimed.
const CLAIMABLE: &str =
    "attribute_exists(tokenId) AND (attribute_not_exists(handledBy) OR handledBy = :branch)";

/// What a copy says only of what was done with the copy itself.
const DONE_HERE: &[&str] = &[
    "handledBy",
    "decidedAt",
    "orderPaidAt",
    "cardSavedTo",
    "resolution",
    "reversingSince",
    "refundAskedAt",
    "reversedAt",
    "reversal",
    "refundId",
    "closedAt",
    "closedAs",
    "unknownSince",
    "troubleSince",
    "returnStarts",
    "returnAskedAt",
];
/// What the former system's records do not have. An attribute of such a name means something else there: read as ours, it
/// could hide the payment.
const OLD_HAVE_NONE: &[&str] = &[
    "redirectUrl",
    "referenceOrder",
    "formFingerprint",
    "cameBackAt",
    "paidNotifiedAt",
    "bankKey",
];

/// A payment's record, found.
#[derive(Debug)]
pub enum Found {
    /// In this branch's table and layout.
    Own(Box<Record>),
    /// Anywhere else: to be taken over before anything is done with it.
    Foreign(Box<Foreign>),
}

impl Found {
    /// The order that it pays.
    #[must_use]
    pub fn order_id(&self) -> &OrderId {
        match self {
            Self::Own(record) => &record.order_id,
            Self::Foreign(foreign) => &foreign.order_id,
        }
    }

    /// Whether the record says that its charge has paid the order.
    #[must_use]
    pub fn is_paid(&self) -> bool {
        match self {
            Self::Own(record) => record.resolution == Some(Resolution::OrderPaid),
            Self::Foreign(foreign) => foreign.is_paid(),
        }
    }
}

/// A record that this stack's checkout did not make.
pub struct Foreign {
    /// Whose it is.
    pub origin: Origin,
    /// The order that it pays.
    pub order_id: OrderId,
    /// To whom the order belongs, where the record says so.
    pub owner_id: Option<OwnerId>,
    /// What was charged, where the record says so.
    pub amount: Option<Satang>,
    /// The base of the final redirect: not yet checked.
    pub callback: Option<String>,
    charge_id: ChargeId,
    key: RecordKey,
    /// The original's own key: in the old layout the card token.
    source_key: String,
    handled_by: Option<String>,
    /// Absent only where the system that made the record has closed it.
    token: Option<CardToken>,
    old_layout: bool,
    done: bool,
    item: Item,
}

impl fmt::Debug for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Foreign")
            .field("origin", &self.origin)
            .field("order_id", &self.order_id)
            .finish_non_exhaustive()
    }
}

impl Foreign {
    /// Reads an item of whatever layout.
    ///
    /// # Errors
    /// [`TableError::Unreadable`] naming an attribute that a payment cannot do without.
    pub fn read(item: Item, origin: Origin) -> Result<Self, TableError> {
        let old_layout = !Record::is_current(&item);
        let id = string(&item, "tokenId").ok_or_else(|| unreadable("tokenId"))?;
        let token = if old_layout {
            Some(CardToken::new(id).map_err(|_| unreadable("tokenId"))?)
        } else {
            string(&item, "token").and_then(|token| CardToken::new(token).ok())
        };
        let key = match &token {
            Some(token) => token.record_key(),
            None => RecordKey::stored(id.to_owned()),
        };
        let source_key = id.to_owned();
        let owner = identifier(&item, "ownerId").or_else(|| identifier(&item, "userId"));
        Ok(Self {
            origin,
            source_key,
            order_id: identifier(&item, "orderId")
                .and_then(|id| OrderId::new(id).ok())
                .ok_or_else(|| unreadable("orderId"))?,
            owner_id: owner.and_then(|id| OwnerId::new(id).ok()),
            amount: integer(&item, "amountSatang")
                .and_then(|satang| Satang::new(satang).ok())
                .or_else(|| baht(&item, "amount"))
                .or_else(|| baht(&item, "grandTotal")),
            callback: string(&item, "callback").map(str::to_owned),
            done: if old_layout {
                boolean(&item, "status") == Some(true)
            } else {
                item.contains_key("closedAt") || item.contains_key("resolution")
            },
            charge_id: string(&item, "chargeId")
                .and_then(|id| ChargeId::new(id).ok())
                .ok_or_else(|| unreadable("chargeId"))?,
            handled_by: string(&item, "handledBy").map(str::to_owned),
            key,
            token,
            old_layout,
            item,
        })
    }

    /// Whether the system that made it has done with it.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// Whether the system that made it has written down that the bank authorised the charge: it goes on with that, or has.
    #[must_use]
    pub fn knows_authorisation(&self) -> bool {
        if self.old_layout {
            self.done
        } else {
            matches!(string(&self.item, "outcome"), Some("paid" | "returned"))
                || self.item.contains_key("resolution")
        }
    }

    /// Whether the system that made it says that the order is paid by its charge.
    fn is_paid(&self) -> bool {
        if self.old_layout {
            self.done
        } else {
            string(&self.item, "resolution") == Some("orderPaid")
        }
    }

    /// The record in our layout: whatever else it holds is kept. `source_table` is where the original stays.
    #[must_use]
    pub fn copy(&self, owner: &OwnerId, amount: Satang, source_table: &str) -> Item {
        let key = &self.key;
        let now = clock::now();
        let mut item = self.item.clone();
        let of_our_layout = if self.old_layout { OLD_HAVE_NONE } else { &[] };
        for gone in DONE_HERE.iter().chain(of_our_layout) {
            item.remove(*gone);
        }
        item.extend([
            ("tokenId".into(), s(key.as_str())),
            ("orderId".into(), s(self.order_id.as_str())),
            ("ownerId".into(), s(owner.as_str())),
            ("amountSatang".into(), n(amount.satang())),
            ("currency".into(), s("THB")),
            ("outcome".into(), s("pending")),
            ("status".into(), AttributeValue::Bool(false)),
            ("attempt".into(), n(0)),
            ("openShard".into(), n(key.open_shard())),
            (
                "lookAgainAt".into(),
                n(clock::now_seconds() + FIRST_LOOK_AFTER),
            ),
            ("openSince".into(), s(&now)),
            (
                "origin".into(),
                s(match self.origin {
                    Origin::Borrowed => "borrowed",
                    Origin::Own | Origin::Old => "old",
                }),
            ),
            ("sourceTable".into(), s(source_table)),
            (
                "sourceLayout".into(),
                s(if self.old_layout { "old" } else { "current" }),
            ),
            // Closing removes `token`, and a copy that is opened again has to find its original. An old one has the token for
            // its key, in clear, in a table that the same functions read: no new secret stays here.
            ("sourceKey".into(), s(&self.source_key)),
        ]);
        if let Some(token) = &self.token {
            item.insert("token".into(), s(token.expose()));
        }
        item.entry("createdAt".into()).or_insert_with(|| s(&now));
        item
    }
}

/// Whose charge stands where the copy of a foreign record would.
enum Standing {
    Free,
    SameCharge(Box<Record>),
    OtherCharge,
}

/// Why a record could not be taken over.
#[derive(Debug, thiserror::Error)]
pub enum TakeOverError {
    /// Another stack has claimed it.
    #[error("another stack handles this payment")]
    HandledElsewhere,
    /// Our table has a record for the same card token that made another charge.
    #[error("the card token made another charge here")]
    TokenReused,
    /// A table could not be used.
    #[error(transparent)]
    Table(#[from] TableError),
}

impl TakeOverError {
    /// The name of what will be the same tomorrow, for a person to look at; `None` of what another stack or another try
    /// sees to.
    #[must_use]
    pub fn needs_person(&self) -> Option<&'static str> {
        match self {
            Self::TokenReused => Some("TokenReused"),
            Self::Table(error @ TableError::Unreadable { .. }) => Some(error.name()),
            Self::Table(TableError::Unavailable { .. }) | Self::HandledElsewhere => None,
        }
    }

    /// Tells a person of a payment that stands because its record cannot be copied: reconciliation has none to tell of.
    /// `execution` is the one that shows it in the console, where it is not this very one.
    pub(crate) fn log_if_it_stands(&self, execution: Option<&str>) {
        let Some(because) = self.needs_person() else {
            return;
        };
        tracing::error!(
            error = "PaymentStands",
            kind = "definite",
            name = execution,
            because,
            standsFor = 0,
            reason = %self,
            "the record of another system cannot be copied: compare it with the bank's portal"
        );
    }
}

/// This branch's table, and master's behind it.
#[derive(Clone)]
pub struct Sources {
    own: Records,
    master: Option<Records>,
    lends: bool,
    branch: String,
}

impl Sources {
    /// The tables of a branch. `master_table` where it borrows from master. `lends` is said of master itself: it claims its
    /// own records before it works on them, so that no branch takes one of those.
    #[must_use]
    pub fn new(own: Records, master_table: Option<String>, lends: bool, branch: String) -> Self {
        let master = master_table.map(|table| Records::new(own.client().clone(), table));
        Self {
            own,
            master,
            lends,
            branch,
        }
    }

    /// This branch's own records.
    #[must_use]
    pub fn own(&self) -> &Records {
        &self.own
    }

    /// Finds the record of a charge: in this branch's table, then in master's. A table that does not exist is a miss.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn find(&self, charge: &ChargeId) -> Result<Option<Found>, TableError> {
        let mine = self.own.items_by_charge(charge).await?.unwrap_or_default();
        // A copy in our layout goes before the old record that it was made from.
        if let Some(item) = mine.iter().find(|item| Record::is_current(item)) {
            return Ok(Some(Found::Own(Box::new(Record::read(item)?))));
        }
        if let Some(item) = mine.into_iter().next() {
            return foreign(item, Origin::Old).map(Some);
        }
        let Some(master) = &self.master else {
            return Ok(None);
        };
        let theirs = master.items_by_charge(charge).await?.unwrap_or_default();
        theirs
            .into_iter()
            .next()
            .map(|item| foreign(item, Origin::Borrowed))
            .transpose()
    }

    /// Copies a foreign record into our layout, unclaimed; what an old one lacks is taken from its order. Repeated, it changes
    /// nothing, and finds the copy.
    ///
    /// # Errors
    /// [`TakeOverError`].
    pub async fn take_over(
        &self,
        foreign: &Foreign,
        orders: &Orders,
    ) -> Result<Record, TakeOverError> {
        if foreign
            .handled_by
            .as_ref()
            .is_some_and(|by| *by != self.branch)
        {
            return Err(TakeOverError::HandledElsewhere);
        }
        match self.standing(foreign).await? {
            Standing::OtherCharge => return Err(TakeOverError::TokenReused),
            Standing::SameCharge(copy) => return Ok(*copy),
            Standing::Free => {}
        }
        let (owner, amount) = completed(foreign, orders).await?;
        let source = match (&self.master, foreign.origin) {
            (Some(master), Origin::Borrowed) => master,
            _ => &self.own,
        };
        let copy = foreign.copy(&owner, amount, source.table());
        self.own.adopt(copy).await?;
        match self.standing(foreign).await? {
            Standing::SameCharge(copy) => Ok(*copy),
            Standing::Free | Standing::OtherCharge => Err(TakeOverError::TokenReused),
        }
    }

    async fn standing(&self, foreign: &Foreign) -> Result<Standing, TableError> {
        let record = self.own.get(&foreign.key).await?;
        Ok(match record {
            None => Standing::Free,
            Some(record) if record.charge_id.as_ref() == Some(&foreign.charge_id) => {
                Standing::SameCharge(Box::new(record))
            }
            // A checkout with the used token, which the bank refused: no charge came of it.
            Some(record) if record.charge_id.is_none() && record.is_closed() => Standing::Free,
            Some(_) => Standing::OtherCharge,
        })
    }

    /// On master: claims one of its own records before working on it. From other branches nobody borrows, and nothing is
    /// written.
    ///
    /// # Errors
    /// [`TakeOverError::HandledElsewhere`] when a branch was first.
    pub async fn claim_own(&self, record: &Record) -> Result<(), TakeOverError> {
        if !self.lends {
            return Ok(());
        }
        let claimed = self
            .own
            .update_if(
                "claim the payment record",
                &record.key,
                "SET handledBy = :branch",
                CLAIMABLE,
                [(":branch", Some(s(&self.branch)))],
            )
            .await?;
        if claimed {
            Ok(())
        } else {
            Err(TakeOverError::HandledElsewhere)
        }
    }

    /// For the transaction that records an outcome: the claim and the same outcome where the record came from. Holds
    /// unless another stack was first. `None` for a record of our own, and where the original is gone.
    ///
    /// # Errors
    /// [`TableError`]; [`TableError::Unreadable`] for a copy that does not say where its original is: without the claim two
    /// stacks would work on one payment.
    pub async fn source_update(
        &self,
        key: &RecordKey,
        outcome: Outcome,
    ) -> Result<Option<TransactWriteItem>, TableError> {
        let Some(copy) = self.own.item(key.as_str()).await? else {
            return Ok(None);
        };
        let Some((table, source_key, old_layout)) = original(&copy, key)? else {
            return Ok(None);
        };
        // A record in our layout leaves the index of open ones: what is left to do is done here.
        // Old records of our own table may be deleted once they are taken over: then nobody is left to tell.
        if table == self.own.table() && self.own.item(source_key).await?.is_none() {
            return Ok(None);
        }
        let set = if old_layout {
            "SET handledBy = :branch, #status = :isPaid"
        } else {
            "SET handledBy = :branch, #status = :isPaid, outcome = :outcome REMOVE openShard, lookAgainAt"
        };
        let mut update = Update::builder()
            .table_name(table)
            .key("tokenId", s(source_key))
            .update_expression(set)
            .condition_expression(CLAIMABLE)
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":branch", s(&self.branch))
            .expression_attribute_values(":isPaid", AttributeValue::Bool(outcome == Outcome::Paid));
        if !old_layout {
            update = update.expression_attribute_values(":outcome", s(outcome.as_str()));
        }
        Ok(Some(transact_update(update)))
    }
}

/// Where the original of a copy is: its table, its key there, and whether it has the old layout. `None` for a record that is no
/// copy.
fn original<'a>(
    copy: &'a Item,
    key: &'a RecordKey,
) -> Result<Option<(&'a str, &'a str, bool)>, TableError> {
    let Some(table) = string(copy, "sourceTable") else {
        return Ok(None);
    };
    let old_layout = string(copy, "sourceLayout") == Some("old");
    // Copies made before there was a `sourceKey` have their token until they are closed.
    let source_key = match string(copy, "sourceKey") {
        Some(source_key) => Some(source_key),
        None if old_layout => string(copy, "token"),
        None => Some(key.as_str()),
    };
    let source_key = source_key.ok_or_else(|| unreadable("sourceKey"))?;
    Ok(Some((table, source_key, old_layout)))
}

/// What an old record lacks is taken from its order.
async fn completed(foreign: &Foreign, orders: &Orders) -> Result<(OwnerId, Satang), TableError> {
    let (mut owner, mut amount) = (foreign.owner_id.clone(), foreign.amount);
    match Purpose::of(&foreign.order_id) {
        Purpose::Verification => amount = amount.or(Some(VERIFICATION_AMOUNT)),
        Purpose::Order if owner.is_none() || amount.is_none() => {
            if let Some(stored) = orders.get(&foreign.order_id).await? {
                owner.get_or_insert(stored.order.owner_id);
                amount.get_or_insert(stored.order.grand_total);
            }
        }
        Purpose::Order => {}
    }
    Ok((
        owner.ok_or_else(|| unreadable("ownerId"))?,
        amount.ok_or_else(|| unreadable("amount"))?,
    ))
}

fn foreign(item: Item, origin: Origin) -> Result<Found, TableError> {
    Foreign::read(item, origin).map(|foreign| Found::Foreign(Box::new(foreign)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn old(extra: &[(&str, AttributeValue)]) -> Item {
        let mut item = Item::from([
            ("tokenId".into(), s("tokn_test_obviously_fake")),
            ("chargeId".into(), s("chrg_1")),
            ("orderId".into(), s("482500007436")),
        ]);
        item.extend(
            extra
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.clone())),
        );
        item
    }

    fn read(extra: &[(&str, AttributeValue)]) -> Foreign {
        Foreign::read(old(extra), Origin::Old).unwrap()
    }

    #[test]
    fn the_status_of_old_records_is_read_in_every_type_that_it_was_written_in() {
        for (status, done) in [
            (AttributeValue::Bool(true), true),
            (AttributeValue::Bool(false), false),
            (s("true"), true),
            (s("True"), true),
            (s("false"), false),
            (n(1), true),
            (n(0), false),
            (s("1"), true),
            // One strange attribute must not hide a payment: the bank is asked.
            (s("who knows"), false),
            (AttributeValue::Null(true), false),
        ] {
            assert_eq!(
                read(&[("status", status.clone())]).is_done(),
                done,
                "{status:?}"
            );
        }
    }

    #[test]
    fn the_amount_of_old_records_is_read_in_every_type_that_it_was_written_in() {
        for amount in [
            n("1500"),
            n("1500.00"),
            s("1500"),
            s("1500.00"),
            s("1,500.00"),
        ] {
            let record = read(&[("amount", amount.clone())]);
            assert_eq!(
                record.amount.map(Satang::satang),
                Some(150_000),
                "{amount:?}"
            );
        }
        assert_eq!(read(&[("amount", s("a lot"))]).amount, None);
    }

    #[test]
    fn ids_of_old_records_may_be_numbers() {
        let record = read(&[("orderId", n(482_500_007_436_i64)), ("userId", n(7))]);
        assert_eq!(record.order_id.as_str(), "482500007436");
        assert_eq!(record.owner_id, OwnerId::new("7").ok());
    }

    #[test]
    fn no_word_of_ours_in_an_old_record_hides_the_payment() {
        for (name, value) in [
            ("resolution", s("who knows")),
            ("closedAs", s("done")),
            ("referenceOrder", s("R-1")),
            ("origin", s("web")),
            ("currency", s("USD")),
            ("orderId", n(482_500_007_436_i64)),
        ] {
            let record = read(&[(name, value)]);
            let owner = OwnerId::new("usr_1").unwrap();
            let copy = record.copy(&owner, Satang::new(150_000).unwrap(), "the-table");
            let read = Record::read(&copy).unwrap();
            assert!(!read.is_closed() && read.resolution.is_none(), "{name}");
            assert_eq!(
                (read.reference_order, read.currency.as_str()),
                (None, "THB"),
                "{name}"
            );
        }
    }

    #[test]
    fn a_copy_starts_anew_and_keeps_which_key_made_the_charge() {
        let bounds = [
            ("unknownSince", n(1)),
            ("troubleSince", n(1)),
            ("returnStarts", AttributeValue::L(vec![n(1)])),
            ("returnAskedAt", n(1)),
        ];
        let key = [("bankKey", s("0123456789abcdef"))];
        let current = [("outcome", s("pending")), ("token", s("tokn_test_x"))];
        for (of_this_layout, bank_key) in [(true, Some("0123456789abcdef")), (false, None)] {
            let mut item = old(&[&bounds[..], &key].concat());
            if of_this_layout {
                item.extend(
                    current
                        .clone()
                        .map(|(name, value)| (name.to_owned(), value)),
                );
            }
            let borrowed = Foreign::read(item, Origin::Borrowed).unwrap();
            let owner = OwnerId::new("usr_1").unwrap();
            let copy = borrowed.copy(&owner, Satang::new(150_000).unwrap(), "the-table");
            for (name, _) in &bounds {
                assert!(!copy.contains_key(*name), "{name}");
            }
            let read = Record::read(&copy).unwrap();
            assert_eq!(read.bank_key.as_deref(), bank_key, "{of_this_layout}");
        }
    }

    #[test]
    fn a_copy_finds_its_original_without_its_token_too() {
        let owner = OwnerId::new("usr_1").unwrap();
        let total = Satang::new(150_000).unwrap();
        let mut of_master = old(&[("outcome", s("pending")), ("sourceKey", s("masters-own"))]);
        of_master.insert("tokenId".into(), s("masters-key"));
        for (item, source_key, is_old) in [
            (old(&[]), "tokn_test_obviously_fake", true),
            (of_master, "masters-key", false),
        ] {
            let foreign = Foreign::read(item, Origin::Borrowed).unwrap();
            let mut copy = foreign.copy(&owner, total, "the-table");
            copy.remove("token");
            let found = original(&copy, &foreign.key).unwrap();
            assert_eq!(found, Some(("the-table", source_key, is_old)));

            // Made before there was a key of the original.
            copy.remove("sourceKey");
            let found = original(&copy, &foreign.key);
            if is_old {
                let error = found.unwrap_err();
                assert!(error.to_string().contains("`sourceKey`"), "{error}");
                copy.insert("token".into(), s(source_key));
            }
            let found = original(&copy, &foreign.key).unwrap();
            assert_eq!(found, Some(("the-table", source_key, is_old)));
        }
        let own = old(&[("outcome", s("pending"))]);
        assert_eq!(original(&own, &RecordKey::stored("k".into())), Ok(None));
    }

    #[test]
    fn an_authorisation_is_known_where_the_other_system_has_written_it_down() {
        for (set, knows) in [
            (vec![("status", AttributeValue::Bool(true))], true),
            (vec![("status", AttributeValue::Bool(false))], false),
            (vec![("handledBy", s("x"))], false),
            (
                vec![("outcome", s("pending")), ("handledBy", s("x"))],
                false,
            ),
            (
                vec![("outcome", s("declined")), ("closedAt", s("x"))],
                false,
            ),
            (vec![("outcome", s("paid"))], true),
            (
                vec![("outcome", s("paid")), ("resolution", s("orderPaid"))],
                true,
            ),
            (
                vec![("outcome", s("returned")), ("resolution", s("reversed"))],
                true,
            ),
        ] {
            assert_eq!(read(&set).knows_authorisation(), knows, "{set:?}");
        }
    }

    #[test]
    fn a_copy_keeps_what_it_does_not_know_and_hides_the_token_from_its_key() {
        let record = read(&[("promotion", s("songkran")), ("handledBy", s("x"))]);
        let copy = record.copy(
            &OwnerId::new("usr_1").unwrap(),
            Satang::new(150_000).unwrap(),
            "the-table",
        );
        assert_eq!(copy["promotion"], s("songkran"));
        assert_eq!(copy["tokenId"], s(record.key.as_str()));
        assert!(!copy.contains_key("handledBy"));
        let read_back = Record::read(&copy).unwrap();
        assert_eq!(read_back.origin, Origin::Old);
        assert_eq!(read_back.outcome, None);
        assert!(!format!("{record:?}").contains("tokn_"));
    }
}
