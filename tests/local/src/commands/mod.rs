//! The commands: their steps and their output.

pub mod bench;
pub mod check;
pub mod executions;
pub mod fuzz;
mod path;
pub mod pay;
pub mod refund;
pub mod renew;
pub mod test;
pub mod up;
mod watch;
