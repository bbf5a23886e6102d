//! What the functions cost, measured: each by itself, in whole payments, and under load; beside a function that does nothing,
//! and beside the same work done by five Python functions that invoke each other.
//!
//! [`sandbox`] runs one process of a function as AWS Lambda does; [`lambda`] is the service around such processes; [`world`]
//! is everything outside, behind doors with TLS that see every call. [`stage`] puts them around the local environment, and
//! [`payment`] plays payments on it.

pub mod baseline;
pub mod bill;
pub mod callgrind;
pub mod cases;
pub mod certificates;
pub mod chain;
pub mod cpu;
pub mod due;
pub mod figures;
pub mod front;
pub mod lambda;
pub mod limits;
pub mod load;
pub mod measure;
pub mod memory;
pub mod openings;
pub mod payment;
pub mod programs;
pub mod report;
pub mod sandbox;
pub mod service;
pub mod stage;
pub mod table;
pub mod world;
