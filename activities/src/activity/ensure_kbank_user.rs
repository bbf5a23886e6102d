//! `EnsureKBankUser`: the owner has a customer at the bank, created with this payment's card if there was none.

use serde::{Deserialize, Serialize};

use crate::bank::{Bank, BankError};
use crate::domain::ids::CustomerId;
use crate::domain::payment::Payment;
use crate::failure::failure;
use crate::tables::TableError;
use crate::tables::mapping::{Lease, Mapped, Mapping};
use crate::tables::orders::Orders;
use crate::tables::records::Records;

/// Whose customer, and with which card.
#[derive(Debug, Deserialize)]
pub struct Input {
    /// The payment whose card is to be saved.
    pub payment: Payment,
    /// The name of the execution that asks; absent only where its definition is an older one.
    pub execution: Option<String>,
}

/// The owner's customer.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Ensured {
    /// Whether the customer existed before this payment. If not, the card came with the customer.
    pub existed: bool,
    /// The bank's customer.
    pub kbank_customer_id: CustomerId,
}

/// Why there is no customer, or the card did not come with one.
#[derive(Debug, thiserror::Error)]
pub enum EnsureError {
    /// The bank will not keep this card.
    #[error("the card was not saved: {0}")]
    CardNotSaved(String),
    /// Another payment of the same owner, or another execution of this one, is creating the customer right now.
    #[error("another payment of this owner is creating the customer")]
    CustomerBeingCreated,
    /// The bank did not answer, or not usefully.
    #[error("{0}")]
    BankUnavailable(String),
    /// A table could not be used.
    #[error(transparent)]
    Table(#[from] TableError),
}

failure!(EnsureError {
    CardNotSaved: Definite,
    CustomerBeingCreated: Transient,
    BankUnavailable: Transient,
} or Table(TableError));

/// What ensuring a customer touches.
pub struct Parts {
    /// The bank.
    pub bank: Bank,
    /// Owner to customer.
    pub mapping: Mapping,
    /// For the card token.
    pub records: Records,
    /// For the e-mail address.
    pub orders: Orders,
}

/// Finds or creates the owner's customer. Repeated for the same charge it answers the same.
///
/// # Errors
/// [`EnsureError`].
pub async fn ensure(parts: &Parts, input: &Input) -> Result<Ensured, EnsureError> {
    let payment = &input.payment;
    let owner = &payment.owner_id;
    let charge = &payment.charge_id;
    if let Some(mapped) = parts.mapping.get(owner).await? {
        return Ok(answer(mapped, payment));
    }
    // Before the bank is asked: two first payments of one owner must not make two customers, nor two executions of one
    // payment.
    let execution = input.execution.as_deref().unwrap_or(charge.as_str());
    match parts.mapping.lease(owner, execution).await? {
        Lease::First => {}
        // The bank has no inquiry for customers: whatever that try created, nothing will point at it.
        Lease::Again => tracing::warn!(
            "possible orphan customer at the bank: an earlier try ended between creating and saving it"
        ),
        // Since the mapping was read, the other payment may have finished.
        Lease::Refused => {
            return match parts.mapping.get(owner).await? {
                Some(mapped) => Ok(answer(mapped, payment)),
                None => Err(EnsureError::CustomerBeingCreated),
            };
        }
    }
    let (record, order, ()) = tokio::join!(
        parts.records.get(&payment.record_key),
        parts.orders.get(&payment.order_id),
        parts.bank.prepare()
    );
    let Some(token) = record?.and_then(|record| record.token) else {
        parts.mapping.release(owner, execution).await?;
        return Err(EnsureError::CardNotSaved(
            "the record keeps its token no longer".into(),
        ));
    };
    // Only the e-mail address is needed of the order: one that is gone or cannot be read must not cost the card.
    let email = order.ok().flatten();
    let email = email.as_ref().and_then(|order| order.email());
    let created = match parts.bank.create_customer(&token, email).await {
        // A refusal took no effect. It may be the address that the bank does not like: the card matters more.
        Err(BankError::Refused { .. }) if email.is_some() => {
            parts.bank.create_customer(&token, None).await
        }
        created => created,
    };
    let customer = match created {
        Ok(customer) => customer,
        Err(error @ BankError::Refused { .. }) => {
            parts.mapping.release(owner, execution).await?;
            return Err(EnsureError::CardNotSaved(error.to_string()));
        }
        Err(error) => {
            tracing::warn!("possible orphan customer at the bank: the answer was lost");
            parts.mapping.release(owner, execution).await?;
            return Err(EnsureError::BankUnavailable(error.to_string()));
        }
    };
    if parts
        .mapping
        .save(owner, execution, charge, &customer)
        .await?
    {
        tracing::info!(customerId = %customer, "customer created at the bank");
        return Ok(Ensured {
            existed: false,
            kbank_customer_id: customer,
        });
    }
    tracing::warn!(customerId = %customer, "orphan customer at the bank: another execution has the lease");
    match parts.mapping.get(owner).await? {
        Some(mapped) => Ok(answer(mapped, payment)),
        None => Err(EnsureError::CustomerBeingCreated),
    }
}

fn answer(mapped: Mapped, payment: &Payment) -> Ensured {
    Ensured {
        existed: mapped.created_by.as_ref() != Some(&payment.charge_id),
        kbank_customer_id: mapped.customer,
    }
}
