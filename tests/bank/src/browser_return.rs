//! The browser's return from the bank to the shop: a form that nothing signs.

use serde::Serialize;

use crate::charge::Charge;
use crate::ledger::Ledger;

/// The fields that the browser posts to the shop, in the order of the form.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ReturnFields {
    pub(crate) object_id: String,
    pub(crate) token: String,
    /// "true" for an approved charge, else "false".
    pub(crate) status: &'static str,
    pub(crate) message: String,
    /// Always "false": the form does not carry the shopper's choice.
    pub(crate) save_card: &'static str,
}

impl ReturnFields {
    /// The return of a charge as it stands.
    pub(crate) fn of(charge: &Charge) -> Self {
        Self {
            object_id: charge.id.clone(),
            token: charge.token.clone(),
            status: if charge.state().was_approved() {
                "true"
            } else {
                "false"
            },
            message: charge.outcome_message().to_owned(),
            save_card: "false",
        }
    }

    /// Names and values, for a form.
    pub(crate) fn pairs(&self) -> [(&'static str, &str); 5] {
        [
            ("objectId", &self.object_id),
            ("token", &self.token),
            ("status", self.status),
            ("message", &self.message),
            ("saveCard", self.save_card),
        ]
    }
}

/// The form that leads back to the shop.
#[derive(Serialize)]
pub(crate) struct Return {
    /// The callback URL of the merchant account, if one is set.
    pub(crate) action: Option<String>,
    pub(crate) fields: ReturnFields,
}

impl Return {
    /// The return of a charge as it stands, to the address that the merchant has given.
    pub(crate) fn of(ledger: &Ledger, charge: &Charge) -> Self {
        Self {
            action: ledger.merchant.callback_url.clone(),
            fields: ReturnFields::of(charge),
        }
    }
}
