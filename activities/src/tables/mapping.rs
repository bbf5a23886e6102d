//! kbank-user-mapping: which customer at the bank holds the saved cards of an owner. Hash key `ownerId`.
//!
//! The bank makes another customer at each request, so an execution takes a lease before it asks for one: `claimedBy`
//! and `claimedAt`, until the customer is saved as `kbank_id`.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::ReturnValue;

use super::item::{Item, get_item, n, s, string};
use super::write::condition_held;
use super::{Database, TableError};
use crate::clock::Clock;
use crate::domain::ids::{ChargeId, CustomerId, OwnerId};

/// How long a lease keeps others from creating the owner's customer, in seconds. Longer than its holder's function can
/// run, so that a lease ends by itself only when that function is dead. And shorter than EnsureKBankUser waits for
/// another's lease. A test of the CDK app compares it with both.
const LEASE_HOLDS_FOR: i64 = 60;

/// An owner's customer at the bank.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapped {
    /// The bank's customer.
    pub customer: CustomerId,
    /// The charge whose token the customer was created with: that card came with it.
    pub created_by: Option<ChargeId>,
}

/// What became of the wish for a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lease {
    /// Nobody held it before.
    First,
    /// An earlier try held it and did not finish: it may have created a customer.
    Again,
    /// Another execution holds it, or there is a customer by now.
    Refused,
}

/// The table.
#[derive(Clone)]
pub struct Mapping {
    client: Client,
    clock: Clock,
    table: String,
}

impl Mapping {
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

    /// The owner's customer, strongly consistent; `None` when there is none, or only a lease.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn get(&self, owner: &OwnerId) -> Result<Option<Mapped>, TableError> {
        let item = get_item(
            &self.client,
            &self.table,
            ("ownerId", owner.as_str()),
            "read the user mapping",
        )
        .await?;
        Ok(item.as_ref().and_then(Mapped::read))
    }

    /// Gives one execution the right to create the owner's customer. The same one may ask again, as after a crash. No
    /// other gets it meanwhile, not even one of the same charge.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn lease(&self, owner: &OwnerId, execution: &str) -> Result<Lease, TableError> {
        let now = self.clock.seconds();
        let result = self
            .update(owner)
            .update_expression("SET claimedBy = :execution, claimedAt = :now")
            .condition_expression(
                "attribute_not_exists(kbank_id) AND \
                 (attribute_not_exists(claimedBy) OR claimedBy = :execution OR claimedAt < :stale)",
            )
            .expression_attribute_values(":execution", s(execution))
            .expression_attribute_values(":now", n(now))
            .expression_attribute_values(":stale", n(now - LEASE_HOLDS_FOR))
            .return_values(ReturnValue::UpdatedOld)
            .send()
            .await;
        let held_before = result
            .as_ref()
            .is_ok_and(|output| output.attributes().is_some_and(|old| !old.is_empty()));
        Ok(match condition_held(result, "lease the user mapping")? {
            true if held_before => Lease::Again,
            true => Lease::First,
            false => Lease::Refused,
        })
    }

    /// Saves the customer that was created under the lease. `false` when another execution has the lease by now: then
    /// the mapping holds, or will hold, another customer.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn save(
        &self,
        owner: &OwnerId,
        execution: &str,
        charge: &ChargeId,
        customer: &CustomerId,
    ) -> Result<bool, TableError> {
        let result = self.update(owner)
            .update_expression(
                "SET kbank_id = :customer, createdByCharge = :charge, createdAt = :now REMOVE claimedBy, claimedAt",
            )
            .condition_expression("attribute_not_exists(kbank_id) AND claimedBy = :execution")
            .expression_attribute_values(":execution", s(execution))
            .expression_attribute_values(":customer", s(customer.as_str()))
            .expression_attribute_values(":charge", s(charge.as_str()))
            .expression_attribute_values(":now", s(self.clock.text()))
            .send()
            .await;
        condition_held(result, "save the user mapping")
    }

    /// Gives the lease back after the bank made no customer, so that nobody need wait for its end.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn release(&self, owner: &OwnerId, execution: &str) -> Result<(), TableError> {
        let result = self
            .update(owner)
            .update_expression("REMOVE claimedBy, claimedAt")
            .condition_expression("attribute_not_exists(kbank_id) AND claimedBy = :execution")
            .expression_attribute_values(":execution", s(execution))
            .send()
            .await;
        condition_held(result, "release the user mapping").map(drop)
    }

    fn update(&self, owner: &OwnerId) -> UpdateItemFluentBuilder {
        self.client
            .update_item()
            .table_name(&self.table)
            .key("ownerId", s(owner.as_str()))
    }
}

impl Mapped {
    /// Reads an item of the mapping; `None` when it holds a lease only.
    #[must_use]
    pub fn read(item: &Item) -> Option<Self> {
        Some(Self {
            customer: CustomerId::new(string(item, "kbank_id")?).ok()?,
            created_by: string(item, "createdByCharge").and_then(|id| ChargeId::new(id).ok()),
        })
    }
}
