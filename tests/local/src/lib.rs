//! `cargo local`: runs the payment system on this machine, makes payments, and tests it.
//!
//! The [`commands`] are thin. The work is done in other crates: `payment3-stack` starts the system,
//! `payment3-harness` pays like a browser and checks the results of a payment, `payment3-faults` injects faults.

pub mod browser;
pub mod cargo_deny;
pub mod cfn_lint;
pub mod cli;
pub mod clients;
pub mod commands;
pub mod diagram;
pub mod fuzz;
mod processor;
pub mod schemathesis;
