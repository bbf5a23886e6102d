//! Fault injection: tests that every payment ends correctly, with every fault in every call.
//!
//! The functions are not changed for these tests. A [proxy](payment3_harness::fault_proxy) sits between them and AWS,
//! the bank and the shop's webhook. The proxy knows [which payment](payment3_harness::fault_plan) a call belongs to,
//! and [which process](payment3_harness::peer_process) made it. So it can inject a fault into one call of one payment
//! while other payments run.
//!
//! * A [`scenario`] plays the shopper, the bank's notification and the schedule until the payment has ended.
//! * The [`matrix`] plays a scenario for every call, every fault and every flow. It checks that the payment ended as
//!   [expected](payment3_harness::expected), and that its executions are [`visible`].
//! * An [`outage`] makes a [service unavailable](payment3_harness::away) for all payments at once, takes a right away,
//!   or stops all of AWS.
//! * The [`mutants`] are deliberately broken functions. They show that the matrix can fail.

pub mod matrix;
mod missing_right;
pub mod mutants;
pub mod outage;
pub mod scenario;
pub mod visible;
