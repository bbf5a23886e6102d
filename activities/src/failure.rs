//! The contract of error names between the functions and the state machine.
//!
//! A state machine decides by name: a **definite** error is a business answer and is never retried; everything else is
//! retried with backoff. In the payment machine it is then left to fail in place, so that reconciliation starts the next
//! attempt; in the refund machine it is told to a person. A test holds every name against the definitions.

/// How the state machine treats an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Treatment {
    /// A business answer: retrying cannot change it. Named in a Retrier with `MaxAttempts: 0`.
    Definite,
    /// Something was down, busy or not there yet: retried.
    Transient,
}

/// The name of an error, with its treatment.
pub type Name = (&'static str, Treatment);

/// An error of an activity, under the name by which the state machine knows it.
pub trait Failure: std::error::Error {
    /// Every name that [`Failure::name`] can give, with its treatment.
    const NAMES: &'static [Name];

    /// The name of this error. `Display` is its message: what is wrong and what to do, without secrets or personal
    /// data, since it ends up in the execution's history.
    fn name(&self) -> &'static str;
}

/// Two lists as one; `N` is how many they have together.
pub(crate) const fn joined<const N: usize>(
    own: &'static [Name],
    passed: &'static [Name],
) -> [Name; N] {
    let mut all = [("", Treatment::Definite); N];
    let mut at = 0;
    while at < N {
        all[at] = if at < own.len() {
            own[at]
        } else {
            passed[at - own.len()]
        };
        at += 1;
    }
    all
}

/// Makes a [`Failure`] of an enum: each variant is the name of an error, with its treatment. A variant that passes
/// another failure on, given behind `or`, has the names of that one.
macro_rules! failure {
    ($error:ty { $($name:ident: $treatment:ident),+ $(,)? } $(or $passed:ident($inner:ty))?) => {
        impl $crate::failure::Failure for $error {
            const NAMES: &'static [$crate::failure::Name] = {
                const OWN: &[$crate::failure::Name] =
                    &[$((stringify!($name), $crate::failure::Treatment::$treatment)),+];
                const PASSED: &[&[$crate::failure::Name]] =
                    &[$(<$inner as $crate::failure::Failure>::NAMES,)? &[]];
                &$crate::failure::joined::<{ OWN.len() + PASSED[0].len() }>(OWN, PASSED[0])
            };

            fn name(&self) -> &'static str {
                match self {
                    $(Self::$name { .. } => stringify!($name),)+
                    $(Self::$passed(error) => $crate::failure::Failure::name(error),)?
                }
            }
        }
    };
}
pub(crate) use failure;
