//! The fuzzer program for [`payment3_fuzz::callback`].
#![cfg_attr(fuzzing, no_main)]

payment3_fuzz::fuzz!(callback);
