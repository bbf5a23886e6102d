//! The commands: what each prints, and in what order it does things.

pub mod diagram;
pub mod executions;
mod path;
pub mod pay;
pub mod test;
pub mod up;
