//! The last release. Executions run for days, so those that began with the definitions of a release go on while newer
//! functions serve them: what each state gave to its function is kept with the definitions, and newer functions must
//! still read it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use payment3_model::Machine;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Which definitions executions begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Definitions {
    /// Those in `statemachine/`.
    #[default]
    Current,
    /// Those of the last release.
    Released,
}

impl Definitions {
    /// The text of a machine's definition.
    ///
    /// # Errors
    /// There is no such file.
    pub(crate) fn text(self, machine: Machine) -> Result<String> {
        let file = match self {
            Self::Current => payment3_model::file(machine),
            Self::Released => directory().join(format!("{machine}.asl.json")),
        };
        std::fs::read_to_string(&file).with_context(|| file.display().to_string())
    }

    /// The states of a machine that call a function.
    ///
    /// # Errors
    /// The definition cannot be read.
    pub(crate) fn states(self, machine: Machine) -> Result<Vec<String>> {
        let definition: Value = serde_json::from_str(&self.text(machine)?)?;
        let states = definition["States"].as_object().into_iter().flatten();
        let calls = |state: &Value| state["Resource"] == "arn:aws:states:::lambda:invoke";
        Ok(states
            .filter(|(_, state)| calls(state))
            .map(|(name, _)| name.clone())
            .collect())
    }
}

/// What a state gives to its function.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Given {
    /// The state's machine, `payment` or `refund`.
    pub machine: String,
    /// The state.
    pub state: String,
    /// The function.
    pub function: String,
    /// What the release's function did not read of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<String>,
    /// The function's input.
    pub input: Value,
}

impl Given {
    /// Machine and state.
    pub(crate) fn place(&self) -> (&str, &str) {
        (&self.machine, &self.state)
    }
}

/// Keeps what each state gave to its function first.
#[derive(Debug, Clone, Default)]
pub(crate) struct Noted(Arc<Mutex<BTreeMap<(String, String), Given>>>);

impl Noted {
    /// A state has called a function.
    pub(crate) fn note(&self, machine: Machine, state: &str, function: &str, input: &Value) {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (machine.to_string(), state.to_owned());
        noted
            .entry(key)
            .or_insert_with_key(|(machine, state)| Given {
                machine: machine.clone(),
                state: state.clone(),
                function: function.to_owned(),
                unread: Vec::new(),
                input: input.clone(),
            });
    }

    /// All that was noted, in the order of machines and states.
    pub(crate) fn all(&self) -> Vec<Given> {
        let noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        noted.values().cloned().collect()
    }
}

/// Where the last release is kept.
pub(crate) fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("released")
}

/// What its states gave to their functions.
pub(crate) fn inputs_file() -> PathBuf {
    directory().join("inputs.json")
}
