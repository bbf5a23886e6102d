//! The Lambda functions: the real activities, called as the Lambda runtime calls them. A process serves one event at a
//! time, keeps what it knows from event to event, and dies at any await.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde_json::Value;
use tokio::time::{sleep, timeout};

use crate::fault::Party;
use crate::network::{CALLER, Caller, Network, Unanswered};
use crate::trace::Trace;

/// Why a function gave no result, as its caller learns it: the error's name and the words with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failed {
    /// The error's name.
    pub(crate) error: String,
    /// The words with it.
    pub(crate) cause: String,
}

impl Failed {
    /// A failure with this name.
    pub(crate) fn new(error: &str, cause: impl Into<String>) -> Self {
        Self {
            error: error.to_owned(),
            cause: cause.into(),
        }
    }
}

/// What a process does with one event.
pub(crate) type Serve =
    Arc<dyn Fn(Value) -> BoxFuture<'static, Result<Value, Failed>> + Send + Sync>;

/// A process of a function, from its start on.
pub(crate) struct Process {
    /// Serves one event.
    pub(crate) serve: Serve,
    /// Reads an event without serving it: gives the names in it that are not read, or why it cannot be read.
    pub(crate) read: fn(Value) -> Result<Vec<String>, String>,
}

/// What starts the processes of a function, and how long one event may take.
pub(crate) struct Program {
    /// Starts a process.
    pub(crate) start: Box<dyn Fn() -> Process + Send + Sync>,
    /// The time limit of one event.
    pub(crate) limit: Duration,
}

/// All functions.
#[derive(Clone)]
pub(crate) struct Functions(Arc<Inner>);

struct Inner {
    network: Network,
    trace: Trace,
    programs: BTreeMap<&'static str, Program>,
    /// The processes that serve nothing now, by function.
    idle: Mutex<BTreeMap<&'static str, Vec<Process>>>,
}

impl Functions {
    /// These functions.
    pub(crate) fn new(
        network: &Network,
        trace: &Trace,
        programs: BTreeMap<&'static str, Program>,
    ) -> Self {
        Self(Arc::new(Inner {
            network: network.clone(),
            trace: trace.clone(),
            programs,
            idle: Mutex::default(),
        }))
    }

    /// Replaces all processes, as a deployment does: those that serve something now end with it.
    pub(crate) fn deploy(&self) {
        self.0.idle().clear();
    }

    /// Has a new process of a function read an event, and not serve it: the names in it that it does not read, or why
    /// it cannot read it.
    pub(crate) fn read(&self, function: &str, event: Value) -> Result<Vec<String>, String> {
        let program = self.0.programs.get(function);
        let program = program.ok_or_else(|| format!("there is no function {function}"))?;
        ((program.start)().read)(event)
    }

    /// Calls a function over the network and waits for its result. It goes on where the caller does not wait.
    ///
    /// # Errors
    /// [`Failed`].
    pub(crate) async fn call(
        &self,
        function: &str,
        subject: &str,
        event: Value,
    ) -> Result<Value, Failed> {
        let known = self
            .0
            .programs
            .keys()
            .copied()
            .find(|name| *name == function);
        let Some(name) = known else {
            return Err(Failed::new("Lambda.ResourceNotFoundException", function));
        };
        let caller = self.0.network.caller(&format!("{name} {subject}"));
        let inner = Arc::clone(&self.0);
        let runs = Arc::clone(&caller);
        let run = async move { inner.run(name, &runs, event).await };
        let carried = CALLER.scope(
            Caller::new(format!("{} call", caller.name())),
            self.0.network.carry(Party::Lambda, name, run),
        );
        match carried.await {
            Ok(result) => result,
            Err(Unanswered::Throttled) => Err(Failed::new(
                "Lambda.TooManyRequestsException",
                "Rate Exceeded.",
            )),
            Err(Unanswered::Error) => Err(Failed::new("Lambda.ServiceException", "it failed")),
            Err(Unanswered::NotConnected | Unanswered::Broken) => {
                Err(Failed::new("Lambda.SdkClientException", "no answer"))
            }
        }
    }
}

impl Inner {
    fn idle(&self) -> std::sync::MutexGuard<'_, BTreeMap<&'static str, Vec<Process>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves one event with an idle process, or with a new one.
    async fn run(
        &self,
        name: &'static str,
        caller: &Arc<Caller>,
        event: Value,
    ) -> Result<Value, Failed> {
        let program = &self.programs[name];
        let idle = self.idle().get_mut(name).and_then(Vec::pop);
        let process = idle.unwrap_or_else(|| (program.start)());
        let crash = self.network.crash(caller);
        let served = CALLER.scope(
            Arc::clone(caller),
            timeout(program.limit, (process.serve)(event)),
        );
        let served = tokio::select! {
            biased;
            () = caller.is_killed() => Err("killed".to_owned()),
            served = served => Ok(served),
            () = sleep(crash.unwrap_or_default()), if crash.is_some() => {
                Err(format!("crash after {:?}", crash.unwrap_or_default()))
            }
        };
        match served {
            Err(how) => {
                self.trace.tell(format_args!("  {}: {how}", caller.name()));
                Err(Failed::new("Runtime.ExitError", "the process died"))
            }
            Ok(Ok(result)) => {
                match &result {
                    Ok(output) => self.trace.tell(format_args!(
                        "  {}: answers {}",
                        caller.name(),
                        output.get("statusCode").unwrap_or(output)
                    )),
                    Err(failed) => {
                        self.trace
                            .tell(format_args!("  {}: {}", caller.name(), failed.error))
                    }
                }
                self.idle().entry(name).or_default().push(process);
                result
            }
            Ok(Err(_)) => {
                self.trace
                    .tell(format_args!("  {}: timed out", caller.name()));
                Err(Failed::new("Sandbox.Timedout", "Task timed out"))
            }
        }
    }
}
