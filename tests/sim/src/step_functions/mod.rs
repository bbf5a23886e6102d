//! Step Functions: both state machines, run from the definitions as they are deployed, with AWS's semantics.
//!
//! * [`interpreter`] follows one execution through its states, with retries, catchers, waits and time-outs.
//! * [`jsonata`] evaluates the expressions.
//! * [`api`] answers the calls that the AWS SDK makes.
//!
//! Tasks are called by [`Tasks`]. What is between Step Functions and a function or a table (latency, faults, lost
//! answers) is no matter of this module.

mod api;
mod event;
mod interpreter;
pub(crate) mod jsonata;
mod retry;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use payment3_model::{Definition, Machine};
use serde_json::{Map, Value};
use tokio::task::AbortHandle;

pub(crate) use api::machine_arn;
pub(crate) use event::{Event, What};

use crate::random::Random;
use crate::time::Time;
use interpreter::{Position, Run};

/// A name may be used again so long after its execution has ended. Until then AWS shows the execution.
const RETENTION: SignedDuration = SignedDuration::from_hours(90 * 24);
/// An execution can be redriven so long after it has ended.
const REDRIVABLE: SignedDuration = SignedDuration::from_hours(14 * 24);
/// An execution can be redriven so often.
const MOST_REDRIVES: u32 = 1000;
/// The history of an execution has no more events.
const MOST_EVENTS: u32 = 25_000;
/// An input, a result or an output has no more bytes.
const MOST_BYTES: usize = 256 * 1024;

/// What an execution's tasks call.
pub(crate) trait Tasks: Send + Sync {
    /// Calls a function or a table. The future is dropped when the task's time is over, or the execution is stopped:
    /// what was called may go on all the same.
    fn call(&self, call: TaskCall) -> BoxFuture<'static, Result<Value, TaskError>>;
}

/// A call of a task.
#[derive(Debug, Clone)]
pub(crate) struct TaskCall {
    /// Its machine.
    pub(crate) machine: Machine,
    /// The name of the execution.
    pub(crate) execution: String,
    /// The name of the state.
    pub(crate) state: String,
    /// The ARN of what is called: `arn:aws:states:::lambda:invoke`.
    pub(crate) resource: String,
    /// The arguments, filled in.
    pub(crate) arguments: Value,
    /// 0 for the first try since the state was entered or redriven, 1 for the first retry.
    pub(crate) try_number: u32,
    /// How often the execution was redriven before.
    pub(crate) redrives: u32,
}

/// Why a try of a task failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TaskError {
    /// The error's name, as `Retry` and `Catch` see it.
    pub(crate) error: String,
    /// What a person reads about it.
    pub(crate) cause: String,
}

impl TaskError {
    /// An error with this name.
    pub(crate) fn new(error: impl Into<String>, cause: impl Into<String>) -> Self {
        Self {
            error: error.into(),
            cause: cause.into(),
        }
    }
}

/// Where an execution stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Status {
    /// It goes on.
    Running,
    /// It came to a good end.
    Succeeded,
    /// It ended with an error.
    Failed,
    /// It took longer than the machine allows.
    TimedOut,
    /// Somebody stopped it.
    Aborted,
}

impl Status {
    const ALL: [Self; 5] = [
        Self::Running,
        Self::Succeeded,
        Self::Failed,
        Self::TimedOut,
        Self::Aborted,
    ];

    /// AWS's word for it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Running => "RUNNING",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::TimedOut => "TIMED_OUT",
            Self::Aborted => "ABORTED",
        }
    }
}

/// An execution, as far as it has got.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Description {
    /// Its machine.
    pub(crate) machine: Machine,
    /// Its name.
    pub(crate) name: String,
    /// Where it stands.
    pub(crate) status: Status,
    /// The name of the error that ended it.
    pub(crate) error: Option<String>,
    /// What a person reads about that error.
    pub(crate) cause: Option<String>,
    /// What it was started with.
    pub(crate) input: Value,
    /// What it ended with, if it succeeded.
    pub(crate) output: Option<Value>,
    /// When it was started.
    pub(crate) started_at: Timestamp,
    /// When it ended.
    pub(crate) stopped_at: Option<Timestamp>,
    /// The state that it is in, or ended in.
    pub(crate) state: String,
    /// How often it was redriven.
    pub(crate) redrives: u32,
    /// When it was redriven last.
    pub(crate) redriven_at: Option<Timestamp>,
    /// How many events its history has, as AWS counts them.
    pub(crate) events: u32,
}

/// An execution was not started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StartError {
    /// Another execution has the name, or had it in the last 90 days.
    AlreadyExists,
    /// No execution can have this name.
    InvalidName,
    /// The input is too large.
    InvalidInput,
    /// The machine was never deployed.
    NoSuchMachine,
}

/// An execution was not redriven, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RedriveError {
    /// There is no such execution.
    NoSuchExecution,
    /// It runs or has succeeded, or it is too late for it.
    NotRedrivable(&'static str),
}

/// There is no such execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoSuchExecution;

/// The service. Clones are the same service.
#[derive(Clone)]
pub(crate) struct StepFunctions {
    shared: Arc<Shared>,
}

/// What the service and its executions share.
struct Shared {
    time: Time,
    random: Random,
    tasks: Arc<dyn Tasks>,
    observer: Arc<dyn Fn(&Event) + Send + Sync>,
    machines: Mutex<Machines>,
}

#[derive(Default)]
struct Machines {
    deployed: BTreeMap<Machine, Arc<Definition>>,
    executions: BTreeMap<(Machine, String), Execution>,
    running: usize,
}

struct Execution {
    definition: Arc<Definition>,
    input: Arc<Value>,
    started_at: Timestamp,
    random: Random,
    position: Arc<Position>,
    events: u32,
    redrives: u32,
    redriven_at: Option<Timestamp>,
    /// The client token of the last redrive: with it the call may be repeated.
    redrive_token: Option<String>,
    run: Option<AbortHandle>,
    end: Option<End>,
}

#[derive(Debug, Clone)]
struct End {
    at: Timestamp,
    status: Status,
    error: Option<String>,
    cause: Option<String>,
    output: Option<Value>,
}

impl Machines {
    /// An execution that AWS still shows.
    fn find(&self, machine: Machine, name: &str, now: Timestamp) -> Option<&Execution> {
        let execution = self.executions.get(&(machine, name.to_owned()))?;
        execution.is_kept(now).then_some(execution)
    }
}

impl Execution {
    fn is_kept(&self, now: Timestamp) -> bool {
        let end = self.end.as_ref();
        end.is_none_or(|end| now.duration_since(end.at) < RETENTION)
    }

    fn status(&self) -> Status {
        self.end.as_ref().map_or(Status::Running, |end| end.status)
    }

    /// Why it cannot be redriven, in AWS's words.
    fn not_redrivable(&self, now: Timestamp) -> Option<&'static str> {
        let Some(end) = &self.end else {
            return Some("Execution is RUNNING and cannot be redriven");
        };
        if end.status == Status::Succeeded {
            Some("Execution is SUCCEEDED and cannot be redriven")
        } else if now.duration_since(end.at) >= REDRIVABLE {
            Some("Execution has exceeded the redrivable period")
        } else if self.redrives >= MOST_REDRIVES {
            Some("Execution has exceeded the max redrive limit")
        } else if self.events >= MOST_EVENTS - 1 {
            Some("Execution history event limit exceeded")
        } else {
            None
        }
    }

    fn describe(&self, machine: Machine, name: &str) -> Description {
        let end = self.end.clone();
        let (error, cause) = match &end {
            Some(end) => (end.error.clone(), end.cause.clone()),
            None => (None, None),
        };
        Description {
            machine,
            name: name.to_owned(),
            status: self.status(),
            error,
            cause,
            input: Value::clone(&self.input),
            stopped_at: end.as_ref().map(|end| end.at),
            output: end.and_then(|end| end.output),
            started_at: self.started_at,
            state: self.position.state.clone(),
            redrives: self.redrives,
            redriven_at: self.redriven_at,
            events: self.events,
        }
    }
}

impl Shared {
    fn machines(&self) -> MutexGuard<'_, Machines> {
        self.machines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the observer. It may call the service, so the lock must not be held.
    fn tell(&self, machine: Machine, execution: &str, what: What) {
        (self.observer)(&Event {
            at: self.time.now(),
            machine,
            execution: execution.to_owned(),
            what,
        });
    }
}

impl StepFunctions {
    /// A service without machines.
    pub(crate) fn new(
        time: Time,
        random: Random,
        tasks: Arc<dyn Tasks>,
        observer: Arc<dyn Fn(&Event) + Send + Sync>,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                time,
                random,
                tasks,
                observer,
                machines: Mutex::default(),
            }),
        }
    }

    /// Deploys a definition: new executions follow it. Those that were started before follow theirs to the end, also
    /// when they are redriven.
    pub(crate) fn deploy(&self, machine: Machine, definition: Arc<Definition>) {
        self.shared.machines().deployed.insert(machine, definition);
    }

    /// Starts an execution. It is also a success if it runs already with the same input.
    pub(crate) fn start(
        &self,
        machine: Machine,
        name: &str,
        input: Value,
    ) -> Result<(), StartError> {
        self.start_at(machine, name, input).map(|_| ())
    }

    /// As [`Self::start`]; says when the execution was started.
    fn start_at(
        &self,
        machine: Machine,
        name: &str,
        input: Value,
    ) -> Result<Timestamp, StartError> {
        if !is_name(name) {
            return Err(StartError::InvalidName);
        }
        if interpreter::bytes(&input) > MOST_BYTES {
            return Err(StartError::InvalidInput);
        }
        let now = self.shared.time.now();
        let mut machines = self.shared.machines();
        let definition = machines.deployed.get(&machine);
        let definition = Arc::clone(definition.ok_or(StartError::NoSuchMachine)?);
        if let Some(known) = machines.find(machine, name, now) {
            let same = known.end.is_none() && *known.input == input;
            return same
                .then_some(known.started_at)
                .ok_or(StartError::AlreadyExists);
        }
        let random = self.shared.random.of(&format!("{machine} {name}"));
        let mut execution = Execution {
            position: Arc::new(Position {
                state: definition.start_at.clone(),
                input: input.clone(),
                variables: Map::new(),
                entered_at: now,
            }),
            definition,
            input: Arc::new(input.clone()),
            started_at: now,
            random,
            events: 1,
            redrives: 0,
            redriven_at: None,
            redrive_token: None,
            run: None,
            end: None,
        };
        self.run(machine, name, &mut execution);
        let key = (machine, name.to_owned());
        machines.executions.insert(key, execution);
        machines.running += 1;
        drop(machines);
        self.shared.tell(machine, name, What::Started(input));
        Ok(now)
    }

    /// Lets an execution go on from its position.
    fn run(&self, machine: Machine, name: &str, execution: &mut Execution) {
        let run = Run::new(Arc::clone(&self.shared), machine, name, execution);
        let position = Arc::clone(&execution.position);
        execution.run = Some(tokio::spawn(run.go(position)).abort_handle());
    }

    /// What AWS shows of an execution: for 90 days after its end.
    pub(crate) fn describe(&self, machine: Machine, name: &str) -> Option<Description> {
        let now = self.shared.time.now();
        let machines = self.shared.machines();
        let execution = machines.find(machine, name, now)?;
        Some(execution.describe(machine, name))
    }

    /// All executions that AWS shows, the newest first; with a status, those that stand so.
    pub(crate) fn list(&self, machine: Machine, status: Option<Status>) -> Vec<Description> {
        let now = self.shared.time.now();
        let machines = self.shared.machines();
        let all = machines.executions.iter();
        let mut found: Vec<_> = all
            .filter(|((of, _), execution)| {
                *of == machine
                    && status.is_none_or(|status| execution.status() == status)
                    && execution.is_kept(now)
            })
            .map(|((machine, name), execution)| execution.describe(*machine, name))
            .collect();
        found.sort_by_key(|execution| Reverse(execution.started_at));
        found
    }

    /// How many executions run, of both machines.
    pub(crate) fn running(&self) -> usize {
        self.shared.machines().running
    }

    /// Stops an execution. One that has ended is left alone.
    #[cfg(test)]
    pub(crate) fn stop(&self, machine: Machine, name: &str) -> Result<(), NoSuchExecution> {
        self.stop_because(machine, name, None, None).map(|_| ())
    }

    /// As [`Self::stop`], with an error that the execution shall show; says when the execution ended.
    fn stop_because(
        &self,
        machine: Machine,
        name: &str,
        error: Option<String>,
        cause: Option<String>,
    ) -> Result<Timestamp, NoSuchExecution> {
        let now = self.shared.time.now();
        let mut machines = self.shared.machines();
        let known = machines.find(machine, name, now).is_some();
        let key = (machine, name.to_owned());
        let execution = machines.executions.get_mut(&key).filter(|_| known);
        let execution = execution.ok_or(NoSuchExecution)?;
        if let Some(end) = &execution.end {
            return Ok(end.at);
        }
        execution.events += 1;
        execution.end = Some(End {
            at: now,
            status: Status::Aborted,
            error,
            cause,
            output: None,
        });
        let run = execution.run.take();
        machines.running -= 1;
        drop(machines);
        if let Some(run) = run {
            run.abort();
        }
        self.shared.tell(machine, name, What::Aborted);
        Ok(now)
    }

    /// Lets an execution that failed, timed out or was stopped go on at the state where it ended, with its variables.
    /// The state's retries and the machine's time-out are counted anew.
    pub(crate) fn redrive(&self, machine: Machine, name: &str) -> Result<(), RedriveError> {
        self.redrive_at(machine, name, None).map(|_| ())
    }

    /// As [`Self::redrive`], with the token that lets a client repeat its call; says when the execution was redriven.
    fn redrive_at(
        &self,
        machine: Machine,
        name: &str,
        token: Option<&str>,
    ) -> Result<Timestamp, RedriveError> {
        let now = self.shared.time.now();
        let mut machines = self.shared.machines();
        let known = machines.find(machine, name, now).is_some();
        let key = (machine, name.to_owned());
        let execution = machines.executions.get_mut(&key).filter(|_| known);
        let execution = execution.ok_or(RedriveError::NoSuchExecution)?;
        let repeated = token.is_some() && token == execution.redrive_token.as_deref();
        // AWS remembers a token for 15 minutes.
        if let (true, Some(at)) = (repeated, execution.redriven_at)
            && now.duration_since(at) < SignedDuration::from_mins(15)
        {
            return Ok(at);
        }
        if let Some(reason) = execution.not_redrivable(now) {
            return Err(RedriveError::NotRedrivable(reason));
        }
        execution.end = None;
        execution.events += 1;
        execution.redrives += 1;
        execution.redriven_at = Some(now);
        execution.redrive_token = token.map(str::to_owned);
        let redrives = execution.redrives;
        self.run(machine, name, execution);
        machines.running += 1;
        drop(machines);
        self.shared.tell(machine, name, What::Redriven(redrives));
        Ok(now)
    }
}

/// Whether an execution may have this name.
fn is_name(name: &str) -> bool {
    let forbidden = "<>{}[]?*\"#%\\^|~`$&,;:/";
    let fits = |letter: char| {
        !letter.is_whitespace() && !letter.is_control() && !forbidden.contains(letter)
    };
    (1..=80).contains(&name.chars().count()) && name.chars().all(fits)
}
