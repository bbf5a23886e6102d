//! The calls of one payment, told from all others by the ids in them, and the one fault that is planned for one of
//! them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::watch;

use crate::away::Away;
use crate::call::CallName;

/// What can go wrong with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, clap::ValueEnum)]
pub enum Fault {
    /// The connection is closed, and nothing happens.
    Refused,
    /// Answered with an internal error, and nothing happens.
    Error,
    /// Answered with "too many requests", and nothing happens.
    Throttled,
    /// No answer comes in time, and the effect happens after the caller has tried again.
    Late,
    /// The effect happens, and the answer is lost.
    Lost,
    /// The function's process dies before the effect.
    KilledBefore,
    /// The function's process dies after the effect, without the answer.
    KilledAfter,
    /// As [`Fault::Refused`], and so is every further call of this name until [`FaultPlan::heal`]: it outlasts every
    /// repeat.
    Away,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Refused,
        Self::Error,
        Self::Throttled,
        Self::Late,
        Self::Lost,
        Self::KilledBefore,
        Self::KilledAfter,
        Self::Away,
    ];

    /// Whether the effect happens although the caller cannot know.
    pub fn loses_the_answer(self) -> bool {
        matches!(self, Self::Late | Self::Lost | Self::KilledAfter)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Refused => "refused",
            Self::Error => "error",
            Self::Throttled => "throttled",
            Self::Late => "late",
            Self::Lost => "lost",
            Self::KilledBefore => "killed-before",
            Self::KilledAfter => "killed-after",
            Self::Away => "away",
        })
    }
}

/// The `nth` (from 1) call of this name in a payment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Step {
    /// The call.
    pub call: CallName,
    /// Which of those of its name.
    pub nth: usize,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.nth {
            1 => self.call.fmt(f),
            nth => write!(f, "{} #{nth}", self.call),
        }
    }
}

/// All payments that are watched, and what is away from everybody. A call belongs to the payment whose ids stand in it.
#[derive(Debug, Clone, Default)]
pub struct FaultPlans {
    watched: Arc<Mutex<Vec<Arc<Mutex<State>>>>>,
    away: Away,
}

#[derive(Debug)]
struct State {
    ids: BTreeSet<String>,
    calls: Vec<CallName>,
    planned: Option<(Step, Fault)>,
    struck: Option<Instant>,
    /// The function from which the tables are away, for this payment alone.
    without_tables: Option<String>,
    /// How many calls of each name have been answered, for whoever waits for the next.
    answered: watch::Sender<BTreeMap<CallName, usize>>,
}

/// One watched payment, for the test; it is watched until this is dropped.
pub struct FaultPlan {
    all: FaultPlans,
    state: Arc<Mutex<State>>,
}

/// One watched payment, for the proxy.
#[derive(Debug, Clone)]
pub(super) struct Watched(Arc<Mutex<State>>);

impl FaultPlans {
    /// Nothing is watched; what is away from everybody is said elsewhere.
    pub fn with(away: Away) -> Self {
        Self {
            away,
            ..Self::default()
        }
    }

    /// Watches the payment with these ids; the ids that the bank gives it are learned on the way.
    pub fn watch(&self, ids: impl IntoIterator<Item = String>) -> FaultPlan {
        let state = Arc::new(Mutex::new(State {
            ids: ids.into_iter().collect(),
            calls: Vec::new(),
            planned: None,
            struck: None,
            without_tables: None,
            answered: watch::Sender::default(),
        }));
        lock(&self.watched).push(state.clone());
        FaultPlan {
            all: self.clone(),
            state,
        }
    }

    /// What is away from the functions, whatever payment they work on.
    pub fn away(&self) -> &Away {
        &self.away
    }

    /// The payment that a call belongs to.
    pub(super) fn of(&self, path: &str, body: &str) -> Option<Watched> {
        let fault_plans = lock(&self.watched);
        fault_plans
            .iter()
            .find(|scope| {
                lock(scope)
                    .ids
                    .iter()
                    .any(|id| path.contains(id.as_str()) || body.contains(id.as_str()))
            })
            .map(|scope| Watched(scope.clone()))
    }
}

impl FaultPlan {
    /// Plans the one fault.
    pub fn plan(&self, step: Step, fault: Fault) {
        lock(&self.state).planned = Some((step, fault));
    }

    /// Throttles the tables for a function (`pay-order`), as far as it works on this payment; or for none any more.
    pub fn throttle_tables_of(&self, function: Option<&str>) {
        lock(&self.state).without_tables = function.map(str::to_owned);
    }

    /// The calls so far, in order.
    pub fn steps(&self) -> Vec<Step> {
        let mut seen: BTreeMap<CallName, usize> = BTreeMap::new();
        let state = lock(&self.state);
        state
            .calls
            .iter()
            .map(|call| {
                let nth = seen.entry(call.clone()).or_default();
                *nth += 1;
                Step {
                    call: call.clone(),
                    nth: *nth,
                }
            })
            .collect()
    }

    /// Ends a fault that has struck and lasts.
    pub fn heal(&self) {
        let mut state = lock(&self.state);
        if state.struck.is_some() {
            state.planned = None;
        }
    }

    /// When the planned fault struck first.
    pub fn struck(&self) -> Option<Instant> {
        lock(&self.state).struck
    }
}

impl Drop for FaultPlan {
    fn drop(&mut self) {
        lock(&self.all.watched).retain(|other| !Arc::ptr_eq(other, &self.state));
    }
}

impl Watched {
    /// Whether the tables are away from this function.
    pub(super) fn has_no_tables(&self, function: &str) -> bool {
        lock(&self.0).without_tables.as_deref() == Some(function)
    }

    /// Counts a call, and says what is to go wrong with it.
    pub(super) fn arrives(&self, call: &CallName) -> Option<Fault> {
        let mut state = lock(&self.0);
        state.calls.push(call.clone());
        let nth = state.calls.iter().filter(|other| *other == call).count();
        let strikes = state
            .planned
            .as_ref()
            .filter(|(step, fault)| {
                let lasts = *fault == Fault::Away && nth > step.nth;
                step.call == *call && (step.nth == nth || lasts)
            })
            .map(|(_, fault)| *fault);
        if strikes.is_some() {
            state.struck.get_or_insert_with(Instant::now);
        }
        strikes
    }

    /// Counts an answer.
    pub(super) fn answered(&self, call: &CallName) {
        lock(&self.0).answered.send_modify(|counts| {
            *counts.entry(call.clone()).or_default() += 1;
        });
    }

    /// Waits until a call of this name has been answered.
    pub(super) async fn next_answer(&self, call: &CallName) {
        let mut answers = lock(&self.0).answered.subscribe();
        let before = answers.borrow().get(call).copied().unwrap_or_default();
        // An error means that the payment is not watched any more: nobody is left to wait for.
        let _ = answers
            .wait_for(|counts| counts.get(call).copied().unwrap_or_default() > before)
            .await;
    }

    /// Learns another id of the payment.
    pub(super) fn learn(&self, id: &str) {
        lock(&self.0).ids.insert(id.to_owned());
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Whole after every statement under the lock, so a panic elsewhere leaves it usable.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which of so many calls of one name a fault strikes that is planned for the second, and that ends after the
    /// fourth.
    fn struck(fault: Fault) -> Vec<usize> {
        let call = CallName {
            function: "pay-order".to_owned(),
            operation: "GetItem".to_owned(),
        };
        let fault_plans = FaultPlans::default();
        let scope = fault_plans.watch(["482500007436".to_owned()]);
        let step = Step {
            call: call.clone(),
            nth: 2,
        };
        scope.plan(step, fault);
        // Nothing to end yet.
        scope.heal();
        let watched = fault_plans.of("/", "482500007436").expect("watched");
        let mut struck = Vec::new();
        for nth in 1..=6 {
            if watched.arrives(&call).is_some() {
                struck.push(nth);
            }
            if nth == 4 {
                scope.heal();
            }
        }
        struck
    }

    #[test]
    fn a_fault_strikes_one_call_and_what_is_away_stays_away_until_it_is_back() {
        assert_eq!(struck(Fault::Lost), [2]);
        assert_eq!(struck(Fault::Away), [2, 3, 4]);
    }
}
