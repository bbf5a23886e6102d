//! What happens to executions, for the trace and for the checks after every step.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use payment3_model::Machine;
use serde_json::Value;

/// Something that happened to an execution.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Event {
    /// When.
    pub(crate) at: Timestamp,
    /// The machine of the execution.
    pub(crate) machine: Machine,
    /// The name of the execution.
    pub(crate) execution: String,
    /// What.
    pub(crate) what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum What {
    /// The execution started.
    Started(Value),
    /// It entered a state.
    Entered(String),
    /// A try of a task failed.
    TaskFailed {
        /// The state.
        state: String,
        /// The error's name.
        error: String,
        /// What a person reads about it.
        cause: String,
        /// What follows.
        then: Then,
    },
    /// It waits in a `Wait` state.
    Waits(Duration),
    /// It ended with this output.
    Succeeded(Value),
    /// It ended with an error.
    Failed {
        /// The error's name.
        error: String,
        /// What a person reads about it.
        cause: String,
    },
    /// It took longer than the machine allows.
    TimedOut,
    /// Somebody stopped it.
    Aborted,
    /// It goes on where it failed, for the so manieth time.
    Redriven(u32),
}

/// What follows after a try that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Then {
    /// Another try, after this time.
    Retried(Duration),
    /// The error is caught: this state is next.
    Caught(String),
    /// The execution fails.
    Fails,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.machine, self.execution, self.what)
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started(input) => write!(f, "started with {input}"),
            Self::Entered(state) => write!(f, "enters {state}"),
            Self::TaskFailed {
                state, error, then, ..
            } => write!(f, "{state} failed with {error}; {then}"),
            Self::Waits(time) => write!(f, "waits for {time:?}"),
            Self::Succeeded(output) => write!(f, "succeeded with {output}"),
            Self::Failed { error, cause } => write!(f, "failed with {error}: {cause}"),
            Self::TimedOut => f.write_str("timed out"),
            Self::Aborted => f.write_str("was stopped"),
            Self::Redriven(count) => write!(f, "is redriven, redrive {count}"),
        }
    }
}

impl fmt::Display for Then {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Retried(delay) => write!(f, "tried again in {delay:?}"),
            Self::Caught(next) => write!(f, "goes on with {next}"),
            Self::Fails => f.write_str("the execution fails"),
        }
    }
}
