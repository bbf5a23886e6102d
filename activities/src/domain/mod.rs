//! The words and rules of a payment: no I/O, no AWS, no HTTP.

pub mod browser_return;
pub mod callback_base;
pub mod charge;
pub mod checkout;
pub mod decision;
pub mod fields;
pub mod ids;
pub mod money;
pub mod notification;
pub mod order;
pub mod payment;
pub mod refund;
