//! Whether the payment's card is with the bank's customer.

use super::super::TableError;
use super::super::item::s;
use super::Records;
use crate::domain::ids::{CustomerId, RecordKey};

impl Records {
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
            key,
            "SET cardSavedTo = :customer",
            "attribute_exists(tokenId)",
            [(":customer", Some(s(customer.as_str())))],
        )
        .await
        .map(|_| ())
    }
}
