//! The model check of the state machines. It explores every path of `statemachine/payment.asl.json` and
//! `statemachine/refund.asl.json`, with every answer that the tasks may give, and checks at every step that no money is
//! lost.
//!
//! It works on the real definition, not on a copy of its rules:
//!
//! * [`jsonata`] evaluates the expressions with the reference implementation of JSONata.
//! * [`tasks`] reads the tasks' inputs with the activities' own types. It makes all possible answers from these
//!   types, from the activities' lists of errors, and from their conditions on the payment's record.
//! * [`refunds`] has the same for refunds. There the activities themselves run, against the tables of [`store`].
//! * [`explorer`] follows every path, and [`properties`] says what must hold on it.

mod definition;
mod dynamodb;
mod explorer;
mod jsonata;
mod properties;
mod refunds;
mod store;
mod system;
mod tasks;
mod treatment;
mod world;

pub use definition::{
    Catcher, Choice, Definition, KNOWN_USER, Machine, NEW_USER, Policy, Retrier, Rule, State, Task,
    Wait, file, functions_on, path,
};
pub use dynamodb::updated;
pub use explorer::{Explorer, Paths, Report, Violation};
pub use jsonata::{Clock, Filled, Jsonata};
pub use properties::Property;
pub use treatment::{Treatment, is_own, own_errors, snapshot, takes};
