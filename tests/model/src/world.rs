//! What surrounds the executions of a machine, and what its tasks may answer.

use std::hash::Hash;
use std::rc::Rc;

use serde::Serialize;
use serde_json::{Value, json};

use crate::definition::Task;
use crate::properties::{Broken, Scene};
use crate::system::{NOW_TEXT, SystemState};

/// The bank's id of the charge in the model. It is also the name of the execution.
pub(crate) const CHARGE: &str = "chrg_test_model";

/// The call of a task.
pub(crate) struct Call<'a> {
    pub(crate) state: &'a str,
    /// The program of the function, or the name of the table in the definition.
    pub(crate) callee: &'a str,
    pub(crate) arguments: &'a Value,
}

/// All possible answers to a call.
pub(crate) struct Answers<S = SystemState> {
    /// The results and the definite errors.
    pub(crate) given: Vec<Given<S>>,
    /// The possible states of the system if the call fails halfway, or its answer is lost.
    pub(crate) half_done: Vec<Rc<S>>,
    /// What is wrong with the call, although it can be answered.
    pub(crate) problem: Option<Broken>,
    /// Definite errors that cannot occur in the current state.
    pub(crate) impossible: Vec<&'static str>,
}

impl<S> Default for Answers<S> {
    fn default() -> Self {
        Self {
            given: Vec::new(),
            half_done: Vec::new(),
            problem: None,
            impossible: Vec::new(),
        }
    }
}

/// One answer.
pub(crate) struct Given<S = SystemState> {
    pub(crate) result: Result<Value, &'static str>,
    pub(crate) system: Rc<S>,
    /// What happened meanwhile and the answer, for messages.
    pub(crate) label: String,
}

impl<S: PartialEq> Answers<S> {
    pub(crate) fn done(&mut self, result: &impl Serialize, system: S) {
        let payload = serde_json::to_value(result).unwrap_or_default();
        let label = match payload.to_string() {
            text if text.len() > 80 => String::new(),
            text => text,
        };
        let result = Ok(json!({"StatusCode": 200, "Payload": payload}));
        let system = Rc::new(system);
        if !self.half_done.contains(&system) {
            self.half_done.push(Rc::clone(&system));
        }
        self.given.push(Given {
            result,
            system,
            label,
        });
    }

    pub(crate) fn fail(&mut self, error: &'static str, system: S) {
        let label = error.to_owned();
        let result = Err(error);
        let system = Rc::new(system);
        self.given.push(Given {
            result,
            system,
            label,
        });
    }
}

/// What surrounds the executions of a machine: what their tasks may answer, how that changes the system, and what must
/// hold.
pub(crate) trait World {
    /// The state of everything outside an execution.
    type System: Clone + Eq + Hash;

    /// The inputs of executions, each with the system that it may find.
    fn starts(&self) -> Vec<(Value, Self::System)>;
    /// All possible answers to a call. The error says what is wrong with the call.
    fn ask(&self, call: &Call<'_>, system: &Self::System) -> Result<Answers<Self::System>, Broken>;
    /// The value to explore with, for a variable that is set. A variable that decides nothing needs only one value.
    fn simplified(&self, name: &str, value: Value) -> Value;
    /// Whether a state may tell by which error it was reached.
    fn tells_errors_apart(&self) -> bool;
    /// Whether nodes differ by the states that they have left.
    fn remembers_the_course(&self) -> bool;
    /// When an execution has entered a state, as text.
    fn entered_at(&self, _: &str, _: &Self::System) -> &'static str {
        NOW_TEXT
    }
    /// All states of the system after a wait.
    fn waited(&self, _seconds: f64, system: &Self::System) -> Vec<Self::System> {
        vec![system.clone()]
    }
    /// The system after an error that is caught.
    fn caught(&self, task: &Task, error: &str, system: &Rc<Self::System>) -> Rc<Self::System>;
    /// What must hold when an execution enters a state.
    fn entering(&self, state: &str, scene: &Scene<'_, Self::System>) -> Result<(), Broken>;
    /// What must hold when a state leads to another one, by its answer or by an error.
    fn going_to(&self, next: &str, state: &str, error: Option<&str>) -> Result<(), Broken>;
    /// What must hold when an execution fails in place.
    fn failing(
        &self,
        state: &str,
        callee: &str,
        error: &str,
        system: &Self::System,
    ) -> Result<(), Broken>;
    /// What must hold when an execution succeeds in a state, with this output.
    fn success(
        &self,
        state: &str,
        output: &Value,
        scene: &Scene<'_, Self::System>,
    ) -> Result<(), Broken>;
    /// What must hold when an execution ends in a state that fails, with this error.
    fn failed(
        &self,
        state: &str,
        error: &str,
        scene: &Scene<'_, Self::System>,
    ) -> Result<(), Broken>;
}
