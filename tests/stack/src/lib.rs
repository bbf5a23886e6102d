//! The local stack: local AWS, CDK deployment, sandbox bank, demo shop, and the tools that build them.

pub mod cargo_programs;
pub mod deploy;
pub mod environment;
pub mod fingerprint;
pub mod functions;
pub mod interrupt;
pub mod lock;
pub mod ministack;
pub mod node;
pub mod prerequisites;
pub mod process;
pub mod progress;
pub mod provision;
pub mod python;
pub mod second_branch;
pub mod services;
