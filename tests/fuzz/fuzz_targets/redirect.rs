//! The fuzzer program for [`payment3_fuzz::redirect`].
#![cfg_attr(fuzzing, no_main)]

payment3_fuzz::fuzz!(redirect);
