//! Runs every target with random bytes for a moment. This finds simple failures without the fuzzer.
//!
//! A failure prints its seed. `ARBTEST_SEED=<seed>` runs it again; `ARBTEST_BUDGET_MS` searches for longer.

use arbtest::arbtest;
use payment3_fuzz::TARGETS;

macro_rules! properties {
    ($($target:ident)*) => {
        $(
            #[test]
            fn $target() {
                arbtest(payment3_fuzz::$target::check).size_max(4096);
            }
        )*

        #[test]
        fn no_target_is_left_out() {
            assert_eq!([$(stringify!($target)),*].to_vec(), TARGETS.iter().map(|(name, _)| *name).collect::<Vec<_>>());
        }
    };
}

properties!(bank callback checkout money names notification old_items payment redirect);
