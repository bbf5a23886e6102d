//! `AddCard`: the payment's card joins the cards of a customer who existed before.

use serde::{Deserialize, Serialize};

use crate::bank::{Bank, BankError, CardSaved};
use crate::domain::ids::CustomerId;
use crate::domain::payment::Payment;
use crate::failure::failure;
use crate::tables::TableError;
use crate::tables::records::Records;

/// Which card, and to whom.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    /// The payment whose card is to be saved.
    pub payment: Payment,
    /// The owner's customer at the bank.
    pub kbank_customer_id: CustomerId,
}

/// The customer has the card.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Added {
    /// Whether the bank, or our record, says that the card was there already.
    pub was_there: bool,
}

/// Why the customer does not have the card.
#[derive(Debug, thiserror::Error)]
pub enum AddCardError {
    /// The bank will not keep this card.
    #[error("the card was not saved: {0}")]
    CardNotSaved(String),
    /// The bank did not answer, or not usefully.
    #[error("{0}")]
    BankUnavailable(String),
    /// A table could not be used.
    #[error(transparent)]
    Table(#[from] TableError),
}

failure!(AddCardError {
    CardNotSaved: Definite,
    BankUnavailable: Transient,
} or Table(TableError));

/// Adds the card. Repeated, the customer still has it once.
///
/// # Errors
/// [`AddCardError`].
pub async fn add(bank: &Bank, records: &Records, input: &Input) -> Result<Added, AddCardError> {
    let payment = &input.payment;
    let (record, ()) = tokio::join!(records.get(&payment.record_key), bank.prepare());
    let gone = || AddCardError::CardNotSaved("the record keeps its token no longer".into());
    let record = record?.ok_or_else(gone)?;
    if record.card_saved_to.as_ref() == Some(&input.kbank_customer_id) {
        return Ok(Added { was_there: true });
    }
    let token = record.token.ok_or_else(gone)?;
    let saved = bank
        .add_card(&input.kbank_customer_id, &token)
        .await
        .map_err(|error| match error {
            BankError::Refused { .. } => AddCardError::CardNotSaved(error.to_string()),
            BankError::NotTaken(_) | BankError::Unavailable(_) => {
                AddCardError::BankUnavailable(error.to_string())
            }
        })?;
    records
        .note_card_saved(&payment.record_key, &input.kbank_customer_id)
        .await?;
    tracing::info!(customerId = %input.kbank_customer_id, "card saved at the bank");
    Ok(Added {
        was_there: saved == CardSaved::AlreadyThere,
    })
}
