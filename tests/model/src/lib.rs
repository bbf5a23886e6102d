//! The model check of the state machine: walks `statemachine/payment.asl.json` over everything that its tasks may answer, and
//! holds at every step that money is never lost.
//!
//! The definition itself is walked: its expressions are evaluated by the reference implementation of JSONata ([`jsonata`]), what
//! its tasks are given is read by the activities' own types, and what they may answer is made of those types, of the
//! activities' own list of errors and of their own conditions on the payment's record ([`tasks`]). [`walk`] goes every way,
//! [`properties`] says what must hold on it.

mod definition;
mod dynamodb;
mod jsonata;
mod properties;
mod tasks;
mod treatment;
mod walk;
mod world;

pub use definition::{
    Catcher, Definition, KNOWN_USER, NEW_USER, Policy, Retrier, State, Task, file, functions_on,
    path,
};
pub use properties::Property;
pub use treatment::{Treatment, is_own, own_errors, snapshot};
pub use walk::{Paths, Report, Violation, Walker};
