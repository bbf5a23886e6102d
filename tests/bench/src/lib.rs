//! What the functions cost, measured: each by itself, in whole payments, and under load; beside a function that does nothing,
//! and beside the same work done by five Python functions that invoke each other.
//!
//! [`sandbox`] runs one process of a function as AWS Lambda does; [`lambda`] is the service around such processes; [`world`]
//! is everything outside, behind doors with TLS that see every call. [`stage`] puts them around the local environment, and
//! [`payment`] plays payments on it.

pub mod api_gateway;
pub mod baseline;
pub mod billing;
pub mod callgrind;
pub mod cases;
pub mod certificates;
pub mod checks;
pub mod cpu;
pub mod critical_path;
pub mod due;
pub mod figures;
pub mod lambda;
pub mod limits;
pub mod load;
pub mod markdown;
pub mod measure;
pub mod memory;
pub mod paid;
pub mod payment;
pub mod preconnect;
pub mod process_watch;
pub mod programs;
pub mod recording_proxy;
pub mod results;
pub mod runs;
pub mod sandbox;
pub mod soak;
pub mod stats;

pub mod tables;
pub mod testbed;
pub mod units;
pub mod writes;
