//! The fuzzer program for [`payment3_fuzz::checkout`].
#![cfg_attr(fuzzing, no_main)]

payment3_fuzz::fuzz!(checkout);
