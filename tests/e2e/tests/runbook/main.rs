//! docs/runbook.md, as written: for every alarm its condition is provoked, and the runbook's own commands see it and repair it.
//! `cargo local test runbook` starts the environment and runs these one after the other, for they stop rules, starve functions
//! and break what they are about.

mod alarms;
mod api;
mod branches;
mod conditions;
mod document;
mod helpers;
mod lines;
mod links;
mod shell;
mod standing;
#[allow(dead_code, reason = "the end-to-end tests use the rest")]
#[path = "../e2e/support.rs"]
mod support;
mod tools;
