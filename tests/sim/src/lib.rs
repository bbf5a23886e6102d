//! The simulator: weeks of payments in one process and one thread, with virtual time and everything random from one
//! seed. The activities, the definitions and the sandbox bank are the real ones.

mod api;
mod bank;
mod bounds;
mod cells;
mod cloud;
mod deployment;
mod dynamodb;
mod ends;
mod fault;
mod functions;
mod items;
mod logs;
pub mod mutants;
mod network;
mod people;
mod planned;
mod programs;
mod random;
mod release;
mod rights;
mod run;
mod scenario;
mod secrecy;
mod secrets;
mod senders;
mod services;
mod shop;
mod shrink;
mod step_functions;
mod tasks;
mod time;
mod trace;
mod upgrade;
mod watch;
mod weather;
mod world;

pub use cells::{calls, cells_of, problem, steps};
pub use fault::{Fault, Party};
pub use network::Struck;
pub use release::{Definitions, Given};
pub use rights::{Uses, unused};
pub use run::{Options, Outcome, run};
pub use scenario::{How, Played, play};
pub use shrink::shrink;
pub use upgrade::{is_current, not_entered, not_read, release, released_inputs};
