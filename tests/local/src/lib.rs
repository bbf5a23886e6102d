//! `cargo local`: runs the whole payment system on this machine, pays with it, and tests it.
//!
//! The commands are thin ([`commands`]). What they do stands in the crates below: `payment3-stack` starts everything,
//! `payment3-harness` pays as a browser would and looks at what a payment left behind, `payment3-faults` injects faults.

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
