//! The fuzzer program for [`payment3_fuzz::notification`].
#![cfg_attr(fuzzing, no_main)]

payment3_fuzz::fuzz!(notification);
