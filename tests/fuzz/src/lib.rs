//! Property tests for all code that reads outside input: money, callbacks, notifications, the checkout form, the bank's
//! answers, items of the former system, redirects, names, and the payment between two states.
//!
//! Each module is a **target**: a `check` that makes an input from bytes and panics when a property does not hold. The
//! same `check` runs in three ways:
//!
//! * `tests/corpus.rs`: with the committed inputs in `corpus/<target>/`, in every run of the tests,
//! * `tests/properties.rs`: with random bytes, for a moment,
//! * `fuzz_targets/<target>.rs`: with libFuzzer, guided by coverage, for any length of time (`cargo local fuzz`).
//!
//! Where possible, the expected results are computed here in a different way than in the product.

use arbitrary::{Result, Unstructured};

pub mod bank;
pub mod callback;
pub mod checkout;
mod generate;
pub mod money;
pub mod names;
pub mod notification;
pub mod old_items;
pub mod payment;
pub mod redirect;
mod secrets;

/// Makes an input from the bytes and checks its properties. An error means that the bytes make no input.
pub type Check = fn(&mut Unstructured<'_>) -> Result<()>;

/// All targets by name. A module and a directory in `corpus/` have the same name.
pub const TARGETS: &[(&str, Check)] = &[
    ("bank", bank::check),
    ("callback", callback::check),
    ("checkout", checkout::check),
    ("money", money::check),
    ("names", names::check),
    ("notification", notification::check),
    ("old_items", old_items::check),
    ("payment", payment::check),
    ("redirect", redirect::check),
];

/// The body of a target's program.
#[macro_export]
macro_rules! fuzz {
    ($target:ident) => {
        #[cfg(fuzzing)]
        libfuzzer_sys::fuzz_target!(|data: &[u8]| -> libfuzzer_sys::Corpus {
            match $crate::$target::check(&mut libfuzzer_sys::arbitrary::Unstructured::new(data)) {
                Ok(()) => libfuzzer_sys::Corpus::Keep,
                Err(_) => libfuzzer_sys::Corpus::Reject,
            }
        });

        #[cfg(not(fuzzing))]
        fn main() {
            eprintln!(
                "error: built without the fuzzer: run `cargo local fuzz {}`",
                stringify!($target)
            );
            std::process::exit(2);
        }
    };
}
