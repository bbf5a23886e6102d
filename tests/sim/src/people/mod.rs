//! Everybody outside: shoppers, the shop, its back office, the bank's clerks, forgers, and the person on call.

pub(crate) mod back_office;
pub(crate) mod bank_clerk;
pub(crate) mod forger;
pub(crate) mod former_system;
pub(crate) mod insistent;
pub(crate) mod keeper_of_keys;
pub(crate) mod on_call;
pub(crate) mod shop_keeper;
pub(crate) mod shopper;
