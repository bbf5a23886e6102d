//! The Lambda functions of the payment saga.
//!
//! Dependencies point one way: `src/bin/*` (wiring) → [`activity`] (what a state of the state machine does) →
//! [`domain`] (the words and rules of a payment). The outside world sits behind narrow types: [`bank`] (KASIKORNBANK's
//! gateway), [`tables`] (DynamoDB), [`executions`] (Step Functions), [`secret`] (Secrets Manager), [`shop`] (the shop's
//! webhook endpoint).
//!
//! A state of the state machine has the function whose placeholder stands in `statemachine/payment.asl.json`;
//! [`activity`] has a file for each, and [`activity::ACTIVITIES`] lists them. `AwaitBank` and `CloseRecord` have none:
//! the state machine updates the record itself. Around it stand [`activity::cardtoken`] (checkout),
//! [`activity::callback`] (the bank's browser return, and its notification), [`activity::check_status`] (what apps
//! poll) and [`activity::reconcile`] (every minute).

pub mod activity;
pub mod aws;
pub mod bank;
pub mod clock;
pub mod domain;
pub mod executions;
pub mod failure;
pub mod http_api;
pub mod http_client;
pub mod lambda;
pub mod log;
pub mod random;
pub mod secret;
pub mod settings;
pub mod shop;
pub mod tables;
pub mod wiring;
