//! The way between two parties: it takes time, and it fails. Each call has a fate that follows from the seed, from who
//! calls, and from the number of the call: another run with fewer shoppers or fewer faults leaves it as it was.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use payment3_harness::fault_plan::FaultPlans;
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::fault::{Fault, Party};
use crate::random::Random;
use crate::time::HOUR;
use crate::trace::Trace;
use crate::weather::Weather;

/// What the caller learns of a call that was not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unanswered {
    /// There was no connection.
    NotConnected,
    /// The other side turned it away, as too many.
    Throttled,
    /// The other side failed.
    Error,
    /// The connection broke.
    Broken,
}

/// Who calls: a run of a function, or a person. The name does not depend on what else happens in the world.
pub(crate) struct Caller {
    name: String,
    calls: AtomicU64,
    killed: Notify,
}

tokio::task_local! {
    /// Who makes the calls of this task.
    pub(crate) static CALLER: Arc<Caller>;
}

impl Caller {
    /// A caller with this name.
    pub(crate) fn new(name: String) -> Arc<Self> {
        Arc::new(Self {
            name,
            calls: AtomicU64::new(0),
            killed: Notify::new(),
        })
    }

    /// The caller's name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The function that runs, or who else calls.
    pub(crate) fn function(&self) -> &str {
        self.name.split(' ').next().unwrap_or_default()
    }

    /// The process that makes the calls dies.
    pub(crate) fn kill(&self) {
        self.killed.notify_one();
    }

    /// Waits until the process is killed.
    pub(crate) async fn is_killed(&self) {
        self.killed.notified().await;
    }
}

/// A fault that happened: which call of whom it struck.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Struck {
    /// The call's name, by which the fault can be left out of the next run.
    pub call: String,
    /// Who was called.
    pub party: Party,
    /// What happened to the call.
    pub fault: Fault,
}

/// The ways between all parties.
#[derive(Clone)]
pub(crate) struct Network(Arc<Shared>);

struct Shared {
    random: Random,
    trace: Trace,
    weather: Weather,
    /// Faults that are left out, by the name of the call; where a list of those that are wanted is given, all others.
    only: Option<BTreeSet<String>>,
    /// Faults at calls that somebody has chosen.
    plans: Option<FaultPlans>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// How many calls there were.
    calls: usize,
    /// How many callers had a name.
    runs: BTreeMap<String, u64>,
    struck: Vec<Struck>,
}

/// What will happen to a call.
struct Fate {
    call: String,
    random: Random,
    fault: Option<Fault>,
}

impl Network {
    /// The network of a seed. With `only`, no other faults happen than at the calls with these names. `plans` names calls
    /// of functions that get a fault.
    pub(crate) fn new(
        random: &Random,
        trace: &Trace,
        weather: Weather,
        only: Option<BTreeSet<String>>,
        plans: Option<FaultPlans>,
    ) -> Self {
        Self(Arc::new(Shared {
            random: random.of("network"),
            trace: trace.clone(),
            weather,
            only,
            plans,
            state: Mutex::default(),
        }))
    }

    /// The faults at chosen calls.
    pub(crate) fn plans(&self) -> Option<&FaultPlans> {
        self.0.plans.as_ref()
    }

    /// When each of the bad times is over, from the beginning of the run on.
    pub(crate) fn clears_up(&self) -> Vec<Duration> {
        self.0.weather.clears_up()
    }

    /// Adds a line to the trace.
    pub(crate) fn tell(&self, event: std::fmt::Arguments<'_>) {
        self.0.trace.tell(event);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many calls there were so far, of all parties.
    pub(crate) fn calls(&self) -> usize {
        self.state().calls
    }

    /// The faults that happened so far.
    pub(crate) fn struck(&self) -> Vec<Struck> {
        self.state().struck.clone()
    }

    /// A caller with this name and the number of its run: the second run with the same name is another caller.
    pub(crate) fn caller(&self, name: &str) -> Arc<Caller> {
        let mut state = self.state();
        let run = state.runs.entry(name.to_owned()).or_default();
        *run += 1;
        Caller::new(format!("{name}#{run}"))
    }

    /// Carries a call to a party and its answer back. Once it is sent, it arrives, also where the caller is gone by then.
    ///
    /// # Errors
    /// [`Unanswered`], where the caller learns of it. Some calls are never answered: the caller has to give up by itself.
    pub(crate) async fn carry<T: Send + 'static>(
        &self,
        party: Party,
        what: &str,
        effect: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, Unanswered> {
        self.state().calls += 1;
        let fate = self.fate(party, what);
        match fate.fault {
            None => Ok(self.arrive(&fate, effect).await),
            Some(fault) => {
                self.strike(&fate, party, fault, what);
                self.fail(&fate, fault, latest(what), effect).await
            }
        }
    }

    async fn fail<T: Send + 'static>(
        &self,
        fate: &Fate,
        fault: Fault,
        latest: Duration,
        effect: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, Unanswered> {
        match fault {
            Fault::NotConnected => {
                self.takes(fate).await;
                Err(Unanswered::NotConnected)
            }
            Fault::Throttled => {
                self.takes(fate).await;
                Err(Unanswered::Throttled)
            }
            Fault::Error => {
                self.takes(fate).await;
                Err(Unanswered::Error)
            }
            Fault::ErrorAfter => {
                self.arrive(fate, effect).await;
                Err(Unanswered::Error)
            }
            Fault::Broken => {
                self.arrive(fate, effect).await;
                Err(Unanswered::Broken)
            }
            Fault::AnswerLost => {
                self.arrive(fate, effect).await;
                std::future::pending().await
            }
            Fault::Lost => std::future::pending().await,
            Fault::Crash => unreachable!("a process crashes, not a call"),
            Fault::Late => {
                let late = fate.random.between(Duration::from_secs(3), latest);
                tokio::spawn(async move {
                    sleep(late).await;
                    effect.await;
                });
                std::future::pending().await
            }
            Fault::Slow => {
                let long = fate
                    .random
                    .between(Duration::from_millis(300), Duration::from_secs(25));
                let arrived = tokio::spawn(async move {
                    sleep(long).await;
                    effect.await
                });
                Ok(ended(arrived).await)
            }
        }
    }

    /// How long the process of a function that runs now will live, where it dies.
    pub(crate) fn crash(&self, caller: &Caller) -> Option<Duration> {
        let random = self.0.random.of(caller.name());
        if !self.happens(caller.name()) {
            return None;
        }
        let fault = self.0.weather.crash(&random)?;
        self.state().struck.push(Struck {
            call: caller.name().to_owned(),
            party: Party::Lambda,
            fault: Fault::Crash,
        });
        Some(fault)
    }

    /// Whether a fault may happen at the call with this name.
    fn happens(&self, call: &str) -> bool {
        let only = &self.0.only;
        only.as_ref().is_none_or(|only| only.contains(call))
    }

    fn fate(&self, party: Party, what: &str) -> Fate {
        let call = CALLER
            .try_with(|caller| {
                let number = caller.calls.fetch_add(1, Ordering::Relaxed) + 1;
                format!("{}/{number}", caller.name())
            })
            .unwrap_or_else(|_| format!("nobody:{what}"));
        let random = self.0.random.of(&call);
        // Chosen also where it is left out: the rest of the call's fate stays as it was.
        let fault = self.0.weather.fault(party, &kind(&call, what), &random);
        let fault = fault.filter(|_| self.happens(&call));
        Fate {
            call,
            random,
            fault,
        }
    }

    fn strike(&self, fate: &Fate, party: Party, fault: Fault, what: &str) {
        self.0.trace.tell(format_args!(
            "  {} → {} {what}: {}",
            fate.call,
            party.name(),
            fault.name()
        ));
        self.state().struck.push(Struck {
            call: fate.call.clone(),
            party,
            fault,
        });
    }

    async fn arrive<T: Send + 'static>(
        &self,
        fate: &Fate,
        effect: impl Future<Output = T> + Send + 'static,
    ) -> T {
        let way = self.0.weather.way(&fate.random);
        let arrived = tokio::spawn(async move {
            sleep(way).await;
            effect.await
        });
        let answer = ended(arrived).await;
        self.takes(fate).await;
        answer
    }

    async fn takes(&self, fate: &Fate) {
        sleep(self.0.weather.way(&fate.random)).await;
    }
}

/// How late the effect of a call may be. A refund is believed not to come any more once five minutes have passed (D-73): what
/// the bank did later with it, nobody could tell from a second one.
fn latest(what: &str) -> Duration {
    match what.ends_with("/refund") {
        true => Duration::from_secs(290),
        false => HOUR,
    }
}

/// What kind of call it is: the function or the state that makes it, and what is called, without what differs from call
/// to call.
fn kind(call: &str, what: &str) -> String {
    let caller = call.split(' ').find(|word| !word.contains('_'));
    let parts = what.split('/').filter(|part| !part.contains('_'));
    parts.fold(caller.unwrap_or_default().to_owned(), |kind, part| {
        kind + "/" + part
    })
}

/// The result of a task that nobody cancels. Passes its panic on.
pub(crate) async fn ended<T>(task: tokio::task::JoinHandle<T>) -> T {
    match task.await {
        Ok(result) => result,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => std::future::pending().await,
    }
}
