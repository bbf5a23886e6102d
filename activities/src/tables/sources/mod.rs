//! Finds a payment's record wherever it was made: in this branch's table, in the layout of the former system, or in
//! master's table. A record of another system is copied under our layout's key before an execution of it starts, so
//! that it is in the index of open records. The rest of the saga only ever sees the copy.
//!
//! In master's records a branch writes the claim (`handledBy`) and the outcome, nothing else, and both at once. It does
//! so only when its own key at the bank has shown that the charge is what the record says. An earlier claim would let a
//! stranger's callback to some branch take a payment away from master.

mod foreign;

use aws_sdk_dynamodb::types::{AttributeValue, TransactWriteItem, Update};

use super::TableError;
use super::item::{Item, s};
use super::orders::Orders;
use super::records::{Record, Records, unreadable};
use super::write::transact_update;
use crate::domain::charge::Outcome;
use crate::domain::checkout::VERIFICATION_AMOUNT;
use crate::domain::ids::{ChargeId, OrderId, OwnerId, RecordKey};
use crate::domain::money::Satang;
use crate::domain::payment::{Origin, Purpose};
use crate::failure::Failure;
use foreign::original;

pub use foreign::Foreign;

/// A record that nobody else has claimed.
const CLAIMABLE: &str =
    "attribute_exists(tokenId) AND (attribute_not_exists(handledBy) OR handledBy = :branch)";

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
            Self::Own(record) => record.has_paid(),
            Self::Foreign(foreign) => foreign.is_paid(),
        }
    }
}

/// What stands under the key of a foreign record's copy.
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
    /// The name of an error that only a person can end; `None` where another stack or another try ends it.
    #[must_use]
    pub fn needs_person(&self) -> Option<&'static str> {
        match self {
            Self::TokenReused => Some("TokenReused"),
            Self::Table(error @ TableError::Unreadable { .. }) => Some(error.name()),
            Self::Table(TableError::Unavailable { .. }) | Self::HandledElsewhere => None,
        }
    }

    /// Tells a person about a payment that stands because its record cannot be copied: reconciliation has no record of
    /// it, and cannot tell. `execution` is the one that shows the error in the console, where it is not this one.
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
    /// The tables of a branch. `master_table` where it borrows from master. `lends` is said of master itself: it claims
    /// its own records before it works on them, so that no branch takes one of those.
    #[must_use]
    pub fn new(own: Records, master_table: Option<String>, lends: bool, branch: String) -> Self {
        let master = master_table.map(|table| own.in_table(table));
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

    /// Copies a foreign record into our layout, unclaimed; what an old one lacks is taken from its order. Repeated, it
    /// changes nothing, and finds the copy.
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
        let copy = foreign.copy(&owner, amount, source.table(), self.own.clock().now());
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

    /// On master: claims one of its own records before working on it. From other branches nobody borrows, and nothing
    /// is written.
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
    /// [`TableError`]; [`TableError::Unreadable`] for a copy that does not say where its original is: without the claim
    /// two stacks would work on one payment.
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
        // What the bank has signed to the other stack since is not known here, and is that stack's to go on with.
        let condition = match outcome {
            Outcome::Declined if !old_layout => {
                format!("{CLAIMABLE} AND attribute_not_exists(paidNotifiedAt)")
            }
            _ => CLAIMABLE.to_owned(),
        };
        let mut update = Update::builder()
            .table_name(table)
            .key("tokenId", s(source_key))
            .update_expression(set)
            .condition_expression(condition)
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":branch", s(&self.branch))
            .expression_attribute_values(":isPaid", AttributeValue::Bool(outcome == Outcome::Paid));
        if !old_layout {
            update = update.expression_attribute_values(":outcome", s(outcome.as_str()));
        }
        Ok(Some(transact_update(update)))
    }
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
