//! Every fault at every call: what the promise of the saga is tried with.
//!
//! The functions do not know that they are tested. A [proxy](payment3_harness::fault_proxy) stands between them and the AWS
//! endpoint, the bank and the shop's webhook. It knows [which payment](payment3_harness::fault_plan) a call belongs to and
//! [which process](payment3_harness::peer_process) made it, so it can put a fault into one call of one payment while others run beside
//! it. A [`scenario`] plays the shopper, the bank's notification and the schedule until everything
//! is at its end. The [`matrix`] does so for every call, every fault and every flow, and compares with the
//! [`expected`] end and with what is [`visible`]. An [`outage`] takes a
//! [service away](payment3_harness::away) from all payments at once, or all of AWS. The [`mutants`] are functions that are
//! broken on purpose: they show that the check can fail.

pub mod expected;
pub mod matrix;
pub mod mutants;
pub mod outage;
pub mod scenario;
pub mod visible;
