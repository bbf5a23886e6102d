//! The ledger: every token, charge and customer, and the rules between them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::charge::{Charge, Order};
use crate::customer::{Customer, SavedCard};
use crate::dialect::Dialect;
use crate::error::GatewayError;
use crate::ids::Ids;
use crate::keys::Rotated;
use crate::token::Token;
use crate::transaction_state::TransactionState;

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
    /// The keys since the last rotation; none before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rotated: Option<Rotated>,
    tokens: BTreeMap<String, Token>,
    charges: BTreeMap<String, Charge>,
    customers: BTreeMap<String, Customer>,
    /// The latest charge of each `reference_order`.
    #[serde(skip)]
    latest: BTreeMap<String, String>,
    /// The customers that hold each card, by their number.
    #[serde(skip)]
    holders: BTreeMap<String, BTreeMap<u64, String>>,
}

impl Ledger {
    /// The ledger as it was read from a file, with its indexes.
    pub(crate) fn indexed(mut self) -> Self {
        let entry = |charge: &&Charge| (charge.order.reference_order.clone(), charge.id.clone());
        self.latest = self.charges().iter().map(entry).collect();
        let mut holders = BTreeMap::<_, BTreeMap<_, _>>::new();
        for customer in self.customers.values() {
            for card in customer.card_ids() {
                let of_card = holders.entry(card.to_owned()).or_default();
                of_card.insert(customer.number, customer.id.clone());
            }
        }
        self.holders = holders;
        self
    }

    /// Keeps a token under an id that no other has.
    pub(crate) fn add_token(&mut self, id: &str, token: Token) -> Result<(), GatewayError> {
        if self.tokens.contains_key(id) {
            return Err(GatewayError::refused(
                "token_taken",
                "there is a token with this id already",
            ));
        }
        self.tokens.insert(id.to_owned(), token);
        Ok(())
    }

    /// Charges the card behind a token. Every charge uses the token up, even a declined one.
    pub(crate) fn create_charge(
        &mut self,
        token_id: &str,
        order: Order,
        ids: &Ids,
        now: Timestamp,
    ) -> Result<&mut Charge, GatewayError> {
        let number = self.charges.len() as u64 + 1;
        let token = self.tokens.get_mut(token_id).ok_or_else(unknown_token)?;
        token.check_charging(now)?;
        let charge = Charge::create(order, number, (token_id, token), ids, now);
        token.charge = Some(charge.id.clone());
        self.latest
            .insert(charge.order.reference_order.clone(), charge.id.clone());
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
            let id = self.latest.get(id_or_reference)?;
            self.charges.get(id)
        })
    }

    /// All charges, the oldest first.
    pub(crate) fn charges(&self) -> Vec<&Charge> {
        let mut charges: Vec<_> = self.charges.values().collect();
        charges.sort_by_key(|charge| charge.number);
        charges
    }

    /// The charges in this state, the oldest first.
    pub(crate) fn in_state(&self, state: TransactionState) -> Vec<String> {
        let mut charges: Vec<_> = self
            .charges
            .values()
            .filter(|charge| charge.state() == state)
            .collect();
        charges.sort_by_key(|charge| charge.number);
        charges.iter().map(|charge| charge.id.clone()).collect()
    }

    /// Creates a customer with the card behind a token. The same token again creates another customer: the gateway is
    /// not idempotent here.
    pub(crate) fn create_customer(
        &mut self,
        token_id: &str,
        email: Option<String>,
        ids: &Ids,
        now: Timestamp,
    ) -> Result<&Customer, GatewayError> {
        let number = self.customers.len() as u64 + 1;
        let card = self.saveable(token_id)?;
        let id = ids.new_id("cust_test_", token_id);
        self.holders
            .entry(card.id.clone())
            .or_default()
            .insert(number, id.clone());
        let customer = Customer::create(id, number, email, card, now);
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
        if !customer.holds(&card.id) {
            let holders = self.holders.entry(card.id.clone()).or_default();
            holders.insert(customer.number, customer.id.clone());
            customer.add(card);
        }
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

    /// The charge that was made with a token.
    pub(crate) fn charge_of_token(&self, token_id: &str) -> Option<&Charge> {
        let id = self.tokens.get(token_id)?.charge.as_ref()?;
        self.charges.get(id)
    }

    /// The customers that hold the card behind a token, the oldest first.
    pub(crate) fn customers_with_card_of(&self, token_id: &str) -> impl Iterator<Item = &Customer> {
        let token = self.tokens.get(token_id);
        let holders = token.and_then(|token| self.holders.get(&token.card_id));
        holders
            .into_iter()
            .flat_map(BTreeMap::values)
            .filter_map(|id| self.customers.get(id))
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
