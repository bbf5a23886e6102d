//! The fuzzer's way into [`payment3_fuzz::old_items`].
#![cfg_attr(fuzzing, no_main)]

payment3_fuzz::fuzz!(old_items);
