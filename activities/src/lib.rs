//! The Lambda functions of the payment saga.
//!
//! Dependencies point one way: `src/bin/*` (wiring) → [`activity`] (what a state of the state machine does) →
//! [`domain`] (the words and rules of a payment). The outside world sits behind narrow types: [`bank`] (KASIKORNBANK's
//! gateway), [`tables`] (DynamoDB), [`executions`] (Step Functions), [`secret`] (Secrets Manager), [`shop`] (the shop's webhook
//! endpoint).
//!
//! | state | file |
//! |---|---|
//! | (checkout, before the saga) | [`activity::cardtoken`] |
//! | (the bank's browser return, and its notification) | [`activity::callback`] |
//! | (what apps poll) | [`activity::check_status`] |
//! | (every minute) | [`activity::reconcile`] |
//! | `ParseCallback` | [`activity::parse_callback`] |
//! | `LookupRecord` | [`activity::lookup_record`] |
//! | `InquireCharge` | [`activity::inquire_charge`] |
//! | `RecordOutcome` | [`activity::record_outcome`] |
//! | `PayOrder` | [`activity::pay_order`] |
//! | `ReverseCharge`, `ReverseVerification` | [`activity::reverse_charge`] |
//! | `NotifySuccess`, `NotifyFailure`, `NotifyReversal`, `NotifyCard` | [`activity::notify`] |
//! | `EnsureKBankUser` | [`activity::ensure_kbank_user`] |
//! | `AddCard` | [`activity::add_card`] |
//! | `AwaitBank`, `CloseRecord` | no function: the state machine updates the record itself |

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
pub mod secret;
pub mod settings;
pub mod shop;
pub mod tables;
pub mod wiring;
