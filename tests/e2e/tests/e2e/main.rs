//! End-to-end tests. The real functions and the real state machine run on the local AWS, with the sandbox bank and the
//! demo shop. `cargo local test e2e` starts all of them and runs these tests.

mod authorisations;
mod bad_input;
mod callbacks;
mod cards;
mod checkout;
mod closing;
mod commands;
mod dialects;
mod flows;
mod hostile;
mod lossy;
mod lost_answers;
mod notifications;
mod old_records;
mod orders;
mod payments;
mod policies;
mod races;
mod reconciliation;
mod refunds;
mod refusals;
mod returns;
mod reversals;
mod stale_decisions;
mod support;
