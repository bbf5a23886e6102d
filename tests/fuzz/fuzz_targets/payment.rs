//! The fuzzer program for [`payment3_fuzz::payment`].
#![cfg_attr(fuzzing, no_main)]

payment3_fuzz::fuzz!(payment);
