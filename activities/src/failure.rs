//! The contract of error names between the functions and the state machine.
//!
//! The state machine decides by name: a **definite** error is a business answer and is never retried; everything else
//! is retried with backoff and then left to fail in place, so that reconciliation starts the next attempt. A test
//! holds every name listed here against `statemachine/payment.asl.json`.

/// How the state machine treats an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Treatment {
    /// A business answer: retrying cannot change it. Named in a Retrier with `MaxAttempts: 0`.
    Definite,
    /// Something was down, busy or not there yet: retried.
    Transient,
}

/// An error of an activity, under the name by which the state machine knows it.
pub trait Failure: std::error::Error {
    /// Every name that [`Failure::name`] can give, with its treatment.
    const NAMES: &'static [(&'static str, Treatment)];

    /// The name of this error. `Display` is its message: what is wrong and what to do, without secrets or personal
    /// data, since it ends up in the execution's history.
    fn name(&self) -> &'static str;
}
