//! The fuzzer program for [`payment3_fuzz::money`].
#![cfg_attr(fuzzing, no_main)]

payment3_fuzz::fuzz!(money);
