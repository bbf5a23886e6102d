//! Customers and their saved cards.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::cards::{Card, CardObject};
use crate::time::bangkok_stamp;

/// A card that a customer has saved. One token stands for one card, so the id identifies it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct SavedCard {
    pub(crate) id: String,
    pub(crate) card: Card,
}

/// A customer of the merchant.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Customer {
    pub(crate) id: String,
    /// The customer's place in the order of creation.
    pub(crate) number: u64,
    email: Option<String>,
    created: Timestamp,
    cards: Vec<SavedCard>,
}

impl Customer {
    /// A new customer with a first card.
    pub(crate) fn create(
        id: String,
        number: u64,
        email: Option<String>,
        card: SavedCard,
        now: Timestamp,
    ) -> Self {
        Self {
            id,
            number,
            email,
            created: now,
            cards: vec![card],
        }
    }

    /// Saves a card.
    pub(crate) fn add(&mut self, card: SavedCard) {
        self.cards.push(card);
    }

    /// The ids of the saved cards.
    pub(crate) fn card_ids(&self) -> impl Iterator<Item = &str> {
        self.cards.iter().map(|saved| saved.id.as_str())
    }

    /// Whether this card is among the saved ones.
    pub(crate) fn holds(&self, card_id: &str) -> bool {
        self.cards.iter().any(|saved| saved.id == card_id)
    }

    /// The customer as the gateway answers it.
    pub(crate) fn object(&self) -> CustomerObject {
        CustomerObject {
            id: self.id.clone(),
            object: "customer",
            email: self.email.clone(),
            livemode: false,
            created: bangkok_stamp(self.created),
            cards: self
                .cards
                .iter()
                .map(|saved| CardObject::new(&saved.id, saved.card))
                .collect(),
        }
    }
}

/// The gateway's customer object.
#[derive(Serialize)]
pub(crate) struct CustomerObject {
    id: String,
    object: &'static str,
    email: Option<String>,
    livemode: bool,
    created: String,
    cards: Vec<CardObject>,
}
