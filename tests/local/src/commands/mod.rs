//! The commands: what each prints, and in what order it does things.

pub mod bench;
pub mod executions;
pub mod fuzz;
mod path;
pub mod pay;
pub mod renew;
pub mod test;
pub mod up;
mod watch;
