//! The calls of one payment, which are recognised by the ids in them, and the fault that is planned for one of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::sync::watch;
use tokio::time::Instant;

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
    /// No answer comes in time. The effect happens only after the caller has retried.
    Late,
    /// The effect happens, and the answer is lost.
    Lost,
    /// The function's process dies before the effect.
    KilledBefore,
    /// The function's process dies after the effect, without the answer.
    KilledAfter,
    /// As [`Fault::Refused`], for this call and all later calls of its name until [`FaultPlan::heal`]. It outlasts all
    /// retries.
    Away,
}

impl Fault {
    /// Every fault.
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

    /// Whether the effect happens but the caller gets no answer.
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
    /// Its number among the calls of its name, from 1.
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

/// All watched payments, and the outages that affect every payment. A call belongs to the payment whose ids it holds.
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
    /// The function that cannot use the tables, for this payment only.
    without_tables: Option<String>,
    /// How many calls of each name were answered. A late call waits for the next answer.
    answered: watch::Sender<BTreeMap<CallName, usize>>,
}

/// One watched payment, for the test. Dropping this ends the watch.
pub struct FaultPlan {
    all: FaultPlans,
    state: Arc<Mutex<State>>,
}

/// One watched payment, for what carries the calls.
#[derive(Debug, Clone)]
pub struct Watched(Arc<Mutex<State>>);

impl FaultPlans {
    /// Watches no payment yet. `away` holds the outages.
    pub fn with(away: Away) -> Self {
        Self {
            away,
            ..Self::default()
        }
    }

    /// Watches the payment with these ids. Ids that the bank gives it are added later.
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

    /// The outages that affect every payment.
    pub fn away(&self) -> &Away {
        &self.away
    }

    /// The payment that a call belongs to.
    pub fn of(&self, path: &str, body: &str) -> Option<Watched> {
        let watched = lock(&self.watched);
        watched
            .iter()
            .find(|payment| {
                lock(payment)
                    .ids
                    .iter()
                    .any(|id| path.contains(id.as_str()) || body.contains(id.as_str()))
            })
            .map(|payment| Watched(payment.clone()))
    }
}

impl FaultPlan {
    /// Plans the fault. There is one for each payment.
    pub fn plan(&self, step: Step, fault: Fault) {
        lock(&self.state).planned = Some((step, fault));
    }

    /// Throttles the tables for a function (`pay-order`) when it works on this payment. `None` ends that.
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

    /// Ends the fault if it has already happened. Before that, this does nothing.
    pub fn heal(&self) {
        let mut state = lock(&self.state);
        if state.struck.is_some() {
            state.planned = None;
        }
    }

    /// When the planned fault happened first.
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
    /// Whether this function cannot use the tables.
    pub fn has_no_tables(&self, function: &str) -> bool {
        lock(&self.0).without_tables.as_deref() == Some(function)
    }

    /// Counts a call, and returns the fault that is planned for it.
    pub fn arrives(&self, call: &CallName) -> Option<Fault> {
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
    pub fn answered(&self, call: &CallName) {
        lock(&self.0).answered.send_modify(|counts| {
            *counts.entry(call.clone()).or_default() += 1;
        });
    }

    /// Waits until a call of this name has been answered.
    pub async fn next_answer(&self, call: &CallName) {
        let mut answers = lock(&self.0).answered.subscribe();
        let before = answers.borrow().get(call).copied().unwrap_or_default();
        // An error means that the payment is no longer watched, so no answer will come.
        let _ = answers
            .wait_for(|counts| counts.get(call).copied().unwrap_or_default() > before)
            .await;
    }

    /// Adds another id of the payment: the value of this field of a body in JSON.
    pub fn learn(&self, body: &[u8], field: &str) {
        let json: Option<Value> = serde_json::from_slice(body).ok();
        let id = json.as_ref().and_then(|json| json[field].as_str());
        // Short values are not ids: they would match calls of other payments.
        if let Some(id) = id.filter(|id| id.len() >= 12) {
            lock(&self.0).ids.insert(id.to_owned());
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each statement under the lock leaves the data consistent, so it is usable after a panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which of six calls a fault hits that is planned for the second call and ends after the fourth.
    fn struck(fault: Fault) -> Vec<usize> {
        let call = CallName {
            function: "pay-order".to_owned(),
            operation: "GetItem".to_owned(),
        };
        let fault_plans = FaultPlans::default();
        let plan = fault_plans.watch(["482500007436".to_owned()]);
        let step = Step {
            call: call.clone(),
            nth: 2,
        };
        plan.plan(step, fault);
        // This must not end the fault, which has not happened yet.
        plan.heal();
        let watched = fault_plans.of("/", "482500007436").expect("watched");
        let mut struck = Vec::new();
        for nth in 1..=6 {
            if watched.arrives(&call).is_some() {
                struck.push(nth);
            }
            if nth == 4 {
                plan.heal();
            }
        }
        struck
    }

    #[test]
    fn a_fault_hits_one_call_and_an_outage_hits_all_until_it_ends() {
        assert_eq!(struck(Fault::Lost), [2]);
        assert_eq!(struck(Fault::Away), [2, 3, 4]);
    }
}
