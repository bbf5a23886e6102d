//! docs/runbook.md, as written. The tests provoke the condition of every alarm, and see and repair it with the
//! runbook's own commands. `cargo local test runbook` starts the environment and runs them one after the other, because
//! they stop rules, throttle functions and break settings.

mod alarms;
mod api;
mod branches;
mod conditions;
mod document;
mod helpers;
mod lines;
mod links;
mod refunds;
mod shell;
mod standing;
#[allow(dead_code, reason = "the end-to-end tests use the rest")]
#[path = "../e2e/support.rs"]
mod support;
mod tools;
