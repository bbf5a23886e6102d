//! The fuzzer program for [`payment3_fuzz::bank`].
#![cfg_attr(fuzzing, no_main)]

payment3_fuzz::fuzz!(bank);
