//! What must hold of everything that reads the outside world: money, callbacks, notifications, the checkout form, the
//! bank's answers, items of the former system, redirects, names, and the payment itself between two states.
//!
//! Each module is one **target**: a `check` that makes an input from bytes and panics when a property does not hold. The
//! same `check` runs three ways:
//!
//! * `tests/corpus.rs`: over the committed inputs in `corpus/<target>/`, every time,
//! * `tests/properties.rs`: over random bytes, for a moment,
//! * `fuzz_targets/<target>.rs`: by libFuzzer, guided by coverage, for as long as one likes (`cargo local fuzz`).
//!
//! The expectations are written here a second time, in other words than the product's, wherever that is possible.

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

/// Makes an input from the bytes and checks what must hold of it. An error means that the bytes make no input.
pub type Check = fn(&mut Unstructured<'_>) -> Result<()>;

/// Every target under its name: that of its module and of its directory in `corpus/`. Its program has `fuzz_` before it, as the
/// functions have a program named `callback`, too.
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

/// The body of a target's binary.
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
