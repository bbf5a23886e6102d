//! The fuzzer program for [`payment3_fuzz::old_items`].
#![cfg_attr(fuzzing, no_main)]

payment3_fuzz::fuzz!(old_items);
