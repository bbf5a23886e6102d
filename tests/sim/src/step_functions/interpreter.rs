//! Follows one execution from state to state.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use payment3_model::{Catcher, Choice, Definition, Machine, State, Task, Wait, takes};
use serde_json::{Map, Value, json};
use tokio::time::{sleep, timeout};

use super::event::{Then, What};
use super::jsonata::{Scope, fill};
use super::retry::Retries;
use super::{End, Execution, MOST_BYTES, MOST_EVENTS, Shared, Status, TaskCall, TaskError, api};
use crate::random::Random;

/// How long Step Functions itself takes for a state.
const PACE: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(60));
/// The longest `Wait`, in seconds.
const LONGEST_WAIT: u64 = 99_999_999;

const TIMEOUT: &str = "States.Timeout";
const RUNTIME: &str = "States.Runtime";
const TOO_MUCH: &str = "States.DataLimitExceeded";
const NOT_EVALUATED: &str = "States.QueryEvaluationError";

/// Where an execution is.
#[derive(Debug, Clone)]
pub(super) struct Position {
    /// The state.
    pub(super) state: String,
    /// The input of the state.
    pub(super) input: Value,
    /// The variables as they were when the state was entered.
    pub(super) variables: Map<String, Value>,
    /// When it was entered. A redrive does not enter it again.
    pub(super) entered_at: Timestamp,
}

/// What a state leads to.
enum Step {
    /// Another state, with this input and these variables.
    Next(String, Value, Map<String, Value>),
    /// The end of the execution.
    Succeeded(Value),
    /// The end of the execution.
    Failed(TaskError),
}

/// Why a run stops without a step.
enum Halt {
    /// The execution was stopped, so it is nothing to this run any more.
    Stopped,
    /// No more events fit into its history.
    HistoryFull,
}

/// A run of an execution: from its start or a redrive to its end.
pub(super) struct Run {
    shared: Arc<Shared>,
    machine: Machine,
    name: String,
    /// How often the execution was redriven before this run: no two runs of an execution have this in common.
    redrives: u32,
    redriven_at: Option<Timestamp>,
    definition: Arc<Definition>,
    input: Arc<Value>,
    started_at: Timestamp,
    random: Random,
}

/// What the expressions of a state can see.
struct View<'a> {
    position: &'a Position,
    context: Value,
    now: Timestamp,
}

impl View<'_> {
    /// Fills in a template. `shown` is what `$states` has in addition: `result` or `errorOutput`.
    fn fill(&self, template: &Value, shown: Option<(&str, &Value)>) -> Result<Value, TaskError> {
        let mut states = vec![("input", &self.position.input), ("context", &self.context)];
        states.extend(shown);
        let scope = Scope {
            variables: &self.position.variables,
            states: &states,
            now: self.now,
        };
        fill(template, &scope).map_err(|cause| TaskError::new(NOT_EVALUATED, cause))
    }

    /// The variables and the input of the next state. All values are computed before any variable is set.
    fn leave(
        &self,
        assign: &Value,
        output: Option<&Value>,
        shown: Option<(&str, &Value)>,
    ) -> Result<(Value, Map<String, Value>), TaskError> {
        let mut variables = self.position.variables.clone();
        if let Value::Object(assigned) = self.fill(assign, shown)? {
            variables.extend(assigned);
        }
        let output = match (output, shown) {
            (Some(output), _) => self.fill(output, shown)?,
            (None, Some((_, shown))) => shown.clone(),
            (None, None) => self.position.input.clone(),
        };
        if bytes(&output) > MOST_BYTES {
            return Err(TaskError::new(
                TOO_MUCH,
                "the output of the state is too large",
            ));
        }
        Ok((output, variables))
    }
}

/// The size of a value as JSON.
pub(super) fn bytes(value: &Value) -> usize {
    struct Counter(usize);
    impl std::io::Write for Counter {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut counter = Counter(0);
    match serde_json::to_writer(&mut counter, value) {
        Ok(()) => counter.0,
        Err(_) => usize::MAX,
    }
}

impl Run {
    /// The next run of an execution.
    pub(super) fn new(
        shared: Arc<Shared>,
        machine: Machine,
        name: &str,
        execution: &Execution,
    ) -> Self {
        Self {
            shared,
            machine,
            name: name.to_owned(),
            redrives: execution.redrives,
            redriven_at: execution.redriven_at,
            definition: Arc::clone(&execution.definition),
            input: Arc::clone(&execution.input),
            started_at: execution.started_at,
            random: execution.random.clone(),
        }
    }

    /// Follows the execution to its end.
    pub(super) async fn go(self, position: Arc<Position>) {
        let limit = Duration::from_secs(self.definition.timeout_seconds);
        let step = match timeout(limit, self.follow(position)).await {
            Ok(Ok(step)) => step,
            Ok(Err(Halt::Stopped)) => return,
            Ok(Err(Halt::HistoryFull)) => {
                let cause = "The execution reached the maximum number of history events (25000).";
                Step::Failed(TaskError::new(RUNTIME, cause))
            }
            Err(_) => {
                self.end(Status::TimedOut, None, Some(TIMEOUT.to_owned()), None);
                return;
            }
        };
        match step {
            Step::Succeeded(output) => self.end(Status::Succeeded, Some(output), None, None),
            Step::Failed(TaskError { error, cause }) => {
                self.end(Status::Failed, None, Some(error), Some(cause));
            }
            Step::Next(..) => {}
        }
    }

    /// Follows the execution from a state that it has just entered, or at which it is redriven.
    async fn follow(&self, mut position: Arc<Position>) -> Result<Step, Halt> {
        if self.redrives == 0 {
            self.enter(&position)?;
        }
        loop {
            sleep(self.random.between(PACE.0, PACE.1)).await;
            let step = match self.definition.states.get(&position.state) {
                Some(State::Task(task)) => self.task(&position, task).await?,
                Some(State::Choice(choice)) => self.choice(&position, choice)?,
                Some(State::Wait(wait)) => self.wait(&position, wait).await?,
                Some(State::Succeed(_)) => Step::Succeeded(position.input.clone()),
                Some(State::Fail(fail)) => {
                    return Ok(Step::Failed(TaskError::new(&fail.error, &fail.cause)));
                }
                None => {
                    let cause = format!("there is no state {}", position.state);
                    Step::Failed(TaskError::new(RUNTIME, cause))
                }
            };
            match step {
                Step::Next(state, input, variables) => {
                    // The event of leaving.
                    self.count(1)?;
                    position = Arc::new(Position {
                        state,
                        input,
                        variables,
                        entered_at: self.shared.time.now(),
                    });
                    self.enter(&position)?;
                }
                end => return Ok(end),
            }
        }
    }

    /// Works on the execution, if this run is still its run.
    fn with<T>(&self, work: impl FnOnce(&mut Execution) -> T) -> Result<T, Halt> {
        let mut machines = self.shared.machines();
        let key = (self.machine, self.name.clone());
        let execution = machines
            .executions
            .get_mut(&key)
            .filter(|execution| execution.end.is_none() && execution.redrives == self.redrives);
        execution.map(work).ok_or(Halt::Stopped)
    }

    /// Counts events of the history. The last one is that of the execution's end.
    fn count(&self, events: u32) -> Result<(), Halt> {
        let fits = self.with(|execution| {
            let fits = execution.events + events < MOST_EVENTS;
            if fits {
                execution.events += events;
            }
            fits
        })?;
        if fits { Ok(()) } else { Err(Halt::HistoryFull) }
    }

    fn enter(&self, position: &Arc<Position>) -> Result<(), Halt> {
        self.count(1)?;
        self.with(|execution| execution.position = Arc::clone(position))?;
        self.tell(What::Entered(position.state.clone()));
        Ok(())
    }

    fn tell(&self, what: What) {
        self.shared.tell(self.machine, &self.name, what);
    }

    fn end(
        &self,
        status: Status,
        output: Option<Value>,
        error: Option<String>,
        cause: Option<String>,
    ) {
        let what = match (status, &output, &error) {
            (Status::Succeeded, Some(output), _) => What::Succeeded(output.clone()),
            (Status::Failed, _, Some(error)) => What::Failed {
                error: error.clone(),
                cause: cause.clone().unwrap_or_default(),
            },
            _ => What::TimedOut,
        };
        let at = self.shared.time.now();
        let ended = self.with(|execution| {
            execution.events += 1;
            execution.run = None;
            execution.end = Some(End {
                at,
                status,
                error,
                cause,
                output,
            });
        });
        if ended.is_ok() {
            self.shared.machines().running -= 1;
            self.tell(what);
        }
    }

    /// The view of a state's expressions, at a certain try.
    fn view<'a>(&self, position: &'a Position, retries: u32) -> View<'a> {
        let text = |at: Timestamp| format!("{at:.3}");
        let mut context = json!({
            "Execution": {
                "Id": api::execution_arn(self.machine, &self.name),
                "Input": *self.input,
                "Name": self.name,
                "RedriveCount": self.redrives,
                "RoleArn": format!("arn:aws:iam::{}:role/{}", api::ACCOUNT, self.machine),
                "StartTime": text(self.started_at),
            },
            "State": {
                "EnteredTime": text(position.entered_at),
                "Name": position.state,
                "RetryCount": retries,
            },
            "StateMachine": {
                "Id": api::machine_arn(self.machine),
                "Name": self.machine.to_string(),
            },
        });
        if let Some(at) = self.redriven_at {
            context["Execution"]["RedriveTime"] = text(at).into();
        }
        View {
            position,
            context,
            now: self.shared.time.now(),
        }
    }

    async fn task(&self, position: &Position, task: &Task) -> Result<Step, Halt> {
        let mut retries = Retries::new(&task.retry);
        loop {
            let failure = match self.attempt(position, task, retries.count).await? {
                Ok(step) => return Ok(step),
                Err(failure) => failure,
            };
            let count = retries.count;
            if let Some(delay) = retries.after(&failure.error, &self.random) {
                self.tell_failure(position, &failure, Then::Retried(delay));
                sleep(delay).await;
                continue;
            }
            let mut catchers = task.catch.iter();
            let catcher = catchers.find(|rule| takes(&rule.error_equals, &failure.error));
            let Some(catcher) = catcher else {
                self.tell_failure(position, &failure, Then::Fails);
                return Ok(Step::Failed(failure));
            };
            self.tell_failure(position, &failure, Then::Caught(catcher.next.clone()));
            return Ok(self.caught(position, catcher, &failure, count));
        }
    }

    fn tell_failure(&self, position: &Position, failure: &TaskError, then: Then) {
        self.tell(What::TaskFailed {
            state: position.state.clone(),
            error: failure.error.clone(),
            cause: failure.cause.clone(),
            then,
        });
    }

    /// One try of a task. An expression that cannot be evaluated fails it as an error of the call does.
    async fn attempt(
        &self,
        position: &Position,
        task: &Task,
        try_number: u32,
    ) -> Result<Result<Step, TaskError>, Halt> {
        let view = self.view(position, try_number);
        let arguments = match view.fill(&task.arguments, None) {
            Ok(arguments) => arguments,
            Err(failure) => {
                self.count(1)?;
                return Ok(Err(failure));
            }
        };
        // Scheduled, started, and the answer.
        self.count(3)?;
        let call = self.shared.tasks.call(TaskCall {
            machine: self.machine,
            execution: self.name.clone(),
            state: position.state.clone(),
            resource: task.resource.clone(),
            arguments,
            try_number,
            redrives: self.redrives,
        });
        let limit = Duration::from_secs(task.timeout_seconds);
        let result = match timeout(limit, call).await {
            Ok(Ok(result)) => result,
            Ok(Err(failure)) => return Ok(Err(failure)),
            Err(_) => return Ok(Err(TaskError::new(TIMEOUT, ""))),
        };
        if bytes(&result) > MOST_BYTES {
            let cause = format!(
                "The state/task '{}' returned a result with a size exceeding the maximum number of bytes service limit.",
                position.state
            );
            return Ok(Err(TaskError::new(TOO_MUCH, cause)));
        }
        // Its own time may have passed.
        let view = View {
            now: self.shared.time.now(),
            ..view
        };
        let left = view.leave(
            &task.assign,
            task.output.as_ref(),
            Some(("result", &result)),
        );
        Ok(match (left, &task.next) {
            (Ok((output, variables)), Some(next)) => {
                Ok(Step::Next(next.clone(), output, variables))
            }
            (Ok((output, _)), None) => Ok(Step::Succeeded(output)),
            (Err(failure), _) => {
                self.count(1)?;
                Err(failure)
            }
        })
    }

    /// The step to the state that a catcher names.
    fn caught(
        &self,
        position: &Position,
        catcher: &Catcher,
        failure: &TaskError,
        retries: u32,
    ) -> Step {
        let error = json!({ "Error": failure.error, "Cause": failure.cause });
        let view = self.view(position, retries);
        let shown = Some(("errorOutput", &error));
        match view.leave(&catcher.assign, catcher.output.as_ref(), shown) {
            Ok((output, variables)) => Step::Next(catcher.next.clone(), output, variables),
            Err(failure) => Step::Failed(failure),
        }
    }

    fn choice(&self, position: &Position, choice: &Choice) -> Result<Step, Halt> {
        let view = self.view(position, 0);
        for rule in &choice.choices {
            let step = match view.fill(&rule.condition, None) {
                Ok(Value::Bool(false)) => continue,
                Ok(Value::Bool(true)) => Self::passed(&view, rule.output.as_ref(), &rule.next),
                Ok(other) => {
                    let cause = format!("the condition of `{}` gives {other}", rule.comment);
                    Err(TaskError::new(NOT_EVALUATED, cause))
                }
                Err(failure) => Err(failure),
            };
            return self.evaluated(step);
        }
        self.evaluated(Self::passed(&view, None, &choice.default))
    }

    async fn wait(&self, position: &Position, wait: &Wait) -> Result<Step, Halt> {
        let view = self.view(position, 0);
        let seconds = view.fill(&wait.seconds, None).and_then(|seconds| {
            let whole = seconds.as_u64().filter(|seconds| *seconds <= LONGEST_WAIT);
            whole.ok_or_else(|| {
                let cause = format!("{} would wait for {seconds} seconds", position.state);
                TaskError::new(NOT_EVALUATED, cause)
            })
        });
        let seconds = match seconds {
            Ok(seconds) => seconds,
            Err(failure) => return self.evaluated(Err(failure)),
        };
        let time = Duration::from_secs(seconds);
        self.tell(What::Waits(time));
        sleep(time).await;
        let view = View {
            now: self.shared.time.now(),
            ..view
        };
        self.evaluated(Self::passed(&view, wait.output.as_ref(), &wait.next))
    }

    /// The step from a state that calls nothing.
    fn passed(view: &View<'_>, output: Option<&Value>, next: &str) -> Result<Step, TaskError> {
        let (output, variables) = view.leave(&Value::Null, output, None)?;
        Ok(Step::Next(next.to_owned(), output, variables))
    }

    /// Fails the execution if an expression of such a state cannot be evaluated: there is nothing that could catch it.
    fn evaluated(&self, step: Result<Step, TaskError>) -> Result<Step, Halt> {
        match step {
            Ok(step) => Ok(step),
            Err(failure) => {
                self.count(1)?;
                Ok(Step::Failed(failure))
            }
        }
    }
}
