//! The ledger: every token, charge and customer, and the rules between them.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::cards::Card;
use crate::charge::{Charge, Order};
use crate::customer::{Customer, SavedCard};
use crate::dialect::Dialect;
use crate::error::GatewayError;
use crate::ids;

/// How long a token can be charged.
const TOKEN_LIFE: SignedDuration = SignedDuration::from_mins(10);

/// A card that was typed into the checkout. It can be charged once, and the card can be saved afterwards.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Token {
    card: Card,
    card_id: String,
    #[serde(default)]
    dialect: Dialect,
    issued: Timestamp,
    charge: Option<String>,
}

/// The URLs of the merchant account, which a real merchant agrees on with the bank.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Merchant {
    /// Where the browser goes after 3-D Secure.
    pub(crate) callback_url: Option<String>,
    /// Where notifications go. Without it none are sent.
    pub(crate) notify_url: Option<String>,
    /// The merchant's web site, which the bank's pages link to.
    #[serde(default)]
    pub(crate) shop_url: Option<String>,
    /// Whether notifications are sent only on demand, so that a test decides what arrives and in which order.
    #[serde(default)]
    pub(crate) notify_on_demand: bool,
}

/// All that the bank remembers.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Ledger {
    pub(crate) merchant: Merchant,
    tokens: BTreeMap<String, Token>,
    charges: BTreeMap<String, Charge>,
    customers: BTreeMap<String, Customer>,
}

impl Ledger {
    /// Exchanges a card for a token. The dialect is that of the token's charge.
    pub(crate) fn issue_token(&mut self, card: Card, dialect: Dialect, now: Timestamp) -> String {
        let id = ids::new("tokn_test_");
        let token = Token {
            card,
            card_id: ids::new("card_test_"),
            dialect,
            issued: now,
            charge: None,
        };
        self.tokens.insert(id.clone(), token);
        id
    }

    /// Charges the card behind a token. Every charge uses the token up, even a declined one.
    pub(crate) fn create_charge(
        &mut self,
        token_id: &str,
        order: Order,
        now: Timestamp,
    ) -> Result<&mut Charge, GatewayError> {
        let number = self.charges.len() as u64 + 1;
        let token = self.tokens.get_mut(token_id).ok_or_else(unknown_token)?;
        if token.charge.is_some() {
            return Err(GatewayError::refused(
                "token_used",
                "the token has been charged before; every charge needs a token of its own",
            ));
        }
        if now.duration_since(token.issued) >= TOKEN_LIFE {
            return Err(GatewayError::refused(
                "token_expired",
                "the token is older than 10 minutes; the card has to be entered again",
            ));
        }
        let card = (token.card, token.card_id.as_str());
        let charge = Charge::create(order, number, token_id, card, token.dialect, now);
        token.charge = Some(charge.id.clone());
        Ok(self.charges.entry(charge.id.clone()).or_insert(charge))
    }

    /// The charge with this id.
    pub(crate) fn charge(&self, id: &str) -> Result<&Charge, GatewayError> {
        self.charges.get(id).ok_or_else(GatewayError::no_charge)
    }

    /// The charge with this id, to change it.
    pub(crate) fn charge_mut(&mut self, id: &str) -> Result<&mut Charge, GatewayError> {
        self.charges.get_mut(id).ok_or_else(GatewayError::no_charge)
    }

    /// The charge with this id or, if there is none, the latest one with this `reference_order`. Some dialects do not
    /// answer inquiries by reference.
    pub(crate) fn inquire(&mut self, id_or_reference: &str) -> Result<&mut Charge, GatewayError> {
        let found = self
            .named(id_or_reference)
            .filter(|charge| {
                charge.id == id_or_reference || charge.dialect() != Dialect::NoInquiryByReference
            })
            .map(|charge| charge.id.clone());
        self.charge_mut(&found.ok_or_else(GatewayError::no_charge)?)
    }

    /// The charge with this id or, if there is none, the latest one with this `reference_order`.
    pub(crate) fn named(&self, id_or_reference: &str) -> Option<&Charge> {
        self.charges.get(id_or_reference).or_else(|| {
            self.charges
                .values()
                .filter(|charge| charge.order.reference_order == id_or_reference)
                .max_by_key(|charge| charge.number)
        })
    }

    /// All charges, the oldest first.
    pub(crate) fn charges(&self) -> Vec<&Charge> {
        let mut charges: Vec<_> = self.charges.values().collect();
        charges.sort_by_key(|charge| charge.number);
        charges
    }

    /// Creates a customer with the card behind a token. The same token again creates another customer: the gateway is
    /// not idempotent here.
    pub(crate) fn create_customer(
        &mut self,
        token_id: &str,
        email: Option<String>,
        now: Timestamp,
    ) -> Result<&Customer, GatewayError> {
        let number = self.customers.len() as u64 + 1;
        let customer = Customer::create(number, email, self.saveable(token_id)?, now);
        Ok(self
            .customers
            .entry(customer.id.clone())
            .or_insert(customer))
    }

    /// Saves the card behind a token with a customer.
    pub(crate) fn add_card(
        &mut self,
        customer_id: &str,
        token_id: &str,
    ) -> Result<&Customer, GatewayError> {
        // An unknown customer is reported before an unknown token.
        self.customer(customer_id)?;
        let card = self.saveable(token_id)?;
        let customer = self
            .customers
            .get_mut(customer_id)
            .ok_or_else(unknown_customer)?;
        customer.add(card);
        Ok(customer)
    }

    /// The customer with this id.
    pub(crate) fn customer(&self, id: &str) -> Result<&Customer, GatewayError> {
        self.customers.get(id).ok_or_else(unknown_customer)
    }

    /// All customers, the oldest first.
    pub(crate) fn customers(&self) -> Vec<&Customer> {
        let mut customers: Vec<_> = self.customers.values().collect();
        customers.sort_by_key(|customer| customer.number);
        customers
    }

    /// The charges that were made with a token.
    pub(crate) fn charges_of_token(&self, token_id: &str) -> impl Iterator<Item = &Charge> {
        self.charges
            .values()
            .filter(move |charge| charge.token == token_id)
    }

    /// The customers that hold the card behind a token.
    pub(crate) fn customers_with_card_of(&self, token_id: &str) -> impl Iterator<Item = &Customer> {
        let card = self.tokens.get(token_id).map(|token| &token.card_id);
        self.customers
            .values()
            .filter(move |customer| card.is_some_and(|card| customer.holds(card)))
    }

    /// The card behind a token whose charge was approved at some time. The token's ten minutes count only for charging
    /// it.
    fn saveable(&self, token_id: &str) -> Result<SavedCard, GatewayError> {
        let token = self.tokens.get(token_id).ok_or_else(unknown_token)?;
        let approved = match &token.charge {
            Some(id) => self.charge(id)?.state().was_approved(),
            None => false,
        };
        if !approved {
            return Err(GatewayError::refused(
                "charge_not_approved",
                "the token has no approved charge, so its card cannot be saved",
            ));
        }
        Ok(SavedCard {
            id: token.card_id.clone(),
            card: token.card,
        })
    }
}

fn unknown_token() -> GatewayError {
    GatewayError::refused("invalid_token", "there is no such token")
}

fn unknown_customer() -> GatewayError {
    GatewayError::not_found("customer_not_found", "there is no such customer")
}
