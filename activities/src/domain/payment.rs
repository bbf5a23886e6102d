//! A payment as the saga carries it from state to state.

use serde::{Deserialize, Serialize};

use super::charge::Expected;
use super::ids::{ChargeId, OrderId, OwnerId, RecordKey, ReferenceOrder};
use super::money::Satang;

/// The payment that `LookupRecord` found: everything that later states need to know, and nothing secret. The card
/// token stays in the record; states that need it read it there by `recordKey`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Payment {
    /// The record's key: the hash of the card token.
    pub record_key: RecordKey,
    /// The bank's charge.
    pub charge_id: ChargeId,
    /// The shop's order.
    pub order_id: OrderId,
    /// To whom the order and a saved card belong.
    pub owner_id: OwnerId,
    /// The charged amount in satang.
    pub amount_satang: Satang,
    /// `THB`.
    pub currency: String,
    /// The reference that the charge was created with; records of the former system have none.
    pub reference_order: Option<ReferenceOrder>,
    /// What the money is for.
    pub purpose: Purpose,
    /// Whose record it was first.
    pub origin: Origin,
    /// What the shopper chose at checkout (never what a callback says).
    pub save_card: bool,
    /// How many executions have ended at `AwaitBank` so far.
    pub attempt: u32,
    /// When reconciliation will look at the record next, in seconds since 1970. Executions of older definitions read
    /// it.
    pub look_again_at: i64,
    /// Since when the record is open, in seconds since 1970.
    #[serde(default)]
    pub open_since: i64,
    /// Since when the bank has answered that it does not know the charge, at every attempt, in seconds since 1970.
    /// `None` where its last answer was another one, or there was none yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown_since: Option<i64>,
}

/// What a payment's money is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Purpose {
    /// It pays an order.
    Order,
    /// It verifies a card and goes back (`ADDCARD`).
    Verification,
}

impl Purpose {
    /// The word used in executions and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::Verification => "verification",
        }
    }

    /// What an order id stands for.
    #[must_use]
    pub fn of(order_id: &OrderId) -> Self {
        if order_id.as_str() == ADD_CARD_ORDER_ID {
            Self::Verification
        } else {
            Self::Order
        }
    }
}

/// The `orderId` of a card verification, which has no order.
pub const ADD_CARD_ORDER_ID: &str = "ADDCARD";

/// Where a payment's record was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Origin {
    /// At this stack's own checkout.
    Own,
    /// By the former system: the record lacks what later checkouts store.
    Old,
    /// In master's table, and claimed there with its outcome.
    Borrowed,
}

impl Payment {
    /// What the bank must answer for this payment.
    #[must_use]
    pub fn expected(&self, livemode: bool) -> Expected<'_> {
        Expected {
            id: &self.charge_id,
            amount: self.amount_satang,
            currency: &self.currency,
            reference_order: self.reference_order.as_ref(),
            livemode,
        }
    }
}
