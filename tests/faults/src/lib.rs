//! Every fault at every call: what the promise of the saga is tried with.
//!
//! The functions do not know that they are tested. Between them and everything outside stands a [`proxy`](payment3_harness::proxy): in front of the
//! AWS endpoint, the bank and the shop's webhook. It knows to which payment a call belongs ([`scope`](payment3_harness::scope)) and which process
//! made it ([`caller`](payment3_harness::caller)), so that it can spoil one call of one payment while others run beside it. A [`scenario`](payment3_harness::scenario) plays the
//! shopper, the bank's notification and the schedule until everything is at its end, and [`matrix`] does so for every call,
//! every fault and every flow. How it must end is [`expected`](payment3_harness::expected), and that it can be seen in Step Functions [`visible`](payment3_harness::visible). An
//! [`outage`] takes a service [`away`](payment3_harness::away) from all payments at once, or all of AWS. [`broken`] copies of the functions show that
//! the check can fail.

pub mod broken;
pub mod matrix;
pub mod outage;
