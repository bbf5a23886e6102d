//! The fuzzer program for [`payment3_fuzz::names`].
#![cfg_attr(fuzzing, no_main)]

payment3_fuzz::fuzz!(names);
