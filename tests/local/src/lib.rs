//! `cargo local`: runs the whole payment system on this machine, pays with it, and tests it.
//!
//! The commands are thin ([`commands`]); what they do is here, and the end-to-end tests use the same pieces:
//! [`environment`] starts everything, [`shopper`] pays as a browser would, [`executions`] reads the path an execution
//! took, [`inspect`] looks at what a payment left behind.

pub mod audit;
pub mod aws;
pub mod beside;
pub mod browser;
pub mod cargo_deny;
pub mod cargo_programs;
pub mod cfn_lint;
pub mod cli;
pub mod clients;
pub mod commands;
pub mod deploy;
pub mod diagram;
pub mod elsewhere;
pub mod environment;
pub mod executions;
pub mod faults;
pub mod forward;
pub mod functions;
mod furnish;
pub mod fuzz;
pub mod graph;
pub mod history;
pub mod http;
pub mod inspect;
pub mod interrupt;
pub mod items;
pub mod json_api;
pub mod lock;
pub mod logs;
pub mod ministack;
pub mod node;
pub mod operator;
pub mod outputs;
pub mod outside;
pub mod overview;
pub mod prerequisites;
pub mod process;
pub mod python;
pub mod random;
pub mod redact;
pub mod schemathesis;
mod services;
pub mod shop;
pub mod shopper;
pub mod site;
pub mod stamp;
pub mod steps;
pub mod whole;
pub mod workspace;
