//! Measures what the functions cost: each by itself, in whole payments, and under load. They are compared with a
//! function that does nothing, and with five Python functions that do the same work.
//!
//! [`sandbox`] runs one process of a function as AWS Lambda does, and [`lambda`] is a service that runs many. The
//! functions call their services through [`recording_proxy`]. [`testbed`] puts these around a local environment, and
//! [`payment`] plays payments in it. [`measure`] makes [`results`], which [`tables`] prints and [`checks`] compares
//! with the [`limits`].

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
pub mod refund;
pub mod results;
pub mod runs;
pub mod sandbox;
pub mod soak;
pub mod stats;

pub mod tables;
pub mod testbed;
pub mod units;
pub mod writes;
