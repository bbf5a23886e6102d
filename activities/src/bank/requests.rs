//! The bodies of requests to the gateway.

use serde::Serialize;

use crate::domain::money::Satang;

/// The body of `POST /card/v2/charge`.
#[derive(Serialize)]
pub(super) struct NewCharge<'a> {
    /// Decimal baht with two decimals, as a JSON string: integrations send strings and numbers alike, and a string
    /// is never a binary float on the way.
    amount: String,
    currency: &'static str,
    description: String,
    source_type: &'static str,
    mode: &'static str,
    token: &'a str,
    reference_order: &'a str,
    ref_1: &'a str,
    additional_data: AdditionalData<'a>,
}

#[derive(Serialize)]
struct AdditionalData<'a> {
    mid: &'a str,
}

impl<'a> NewCharge<'a> {
    pub(super) fn of(charge: &super::NewCharge<'a>) -> Self {
        Self {
            amount: charge.amount.to_string(),
            currency: "THB",
            description: format!("Order {}", charge.order_id),
            source_type: "card",
            mode: "token",
            token: charge.token.expose(),
            reference_order: charge.reference_order.as_str(),
            ref_1: charge.order_id.as_str(),
            additional_data: AdditionalData {
                mid: charge.mid.as_str(),
            },
        }
    }
}

/// The body of `POST /card/v2/charge/{id}/void` and `/refund`.
#[derive(Serialize)]
pub(super) struct Reversal<'a> {
    /// Decimal baht as a JSON string, as in a charge; a void is always over everything and names none.
    #[serde(skip_serializing_if = "Option::is_none")]
    amount: Option<String>,
    /// What the bank's portal shows beside it.
    reason: &'a str,
}

impl<'a> Reversal<'a> {
    pub(super) fn void(reason: &'a str) -> Self {
        Self {
            amount: None,
            reason,
        }
    }

    pub(super) fn refund(amount: Satang, reason: &'a str) -> Self {
        Self {
            amount: Some(amount.to_string()),
            reason,
        }
    }
}

/// The body of `POST /card/v2/customer`.
#[derive(Serialize)]
pub(super) struct NewCustomer<'a> {
    pub(super) mode: &'static str,
    pub(super) token: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) email: Option<&'a str>,
}

/// The body of `POST /card/v2/customer/{id}/card`.
#[derive(Serialize)]
pub(super) struct NewCard<'a> {
    pub(super) mode: &'static str,
    pub(super) token: &'a str,
}
