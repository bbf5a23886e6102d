//! The local stack: the local AWS, the deployment, the sandbox bank and the demo shop, and the tools that they are made with.

pub mod beside;
pub mod cargo_programs;
pub mod deploy;
pub mod environment;
pub mod functions;
pub mod furnish;
pub mod interrupt;
pub mod lock;
pub mod ministack;
pub mod node;
pub mod prerequisites;
pub mod process;
pub mod python;
pub mod services;
pub mod stamp;
pub mod steps;
