//! The cells of the fault matrix: every call of a flow with every fault. The matrix plays them on the local AWS, and the
//! simulator plays the same.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::time::Duration;

use crate::expected::Injected;
use crate::fault_plan::{Fault, Step};
use crate::flow::Flow;

/// The call that a process makes only once, after its start.
pub const FETCHES_SECRET: &str = "GetSecretValue";
/// The call that requests the charge from the bank.
const CHARGES: &str = "POST charge";
/// The calls that each flow makes without a fault.
const CALLS: &str = include_str!("../calls.txt");
/// How long a service stays away while a refund runs, which waits for it in place: longer than a function itself tries.
pub const OUTAGE: Duration = Duration::from_secs(8);

/// One fault at one call of one flow.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cell {
    /// The flow.
    pub flow: Flow,
    /// Whether the functions' processes are new.
    pub cold: bool,
    /// The position of the call in the flow.
    pub place: usize,
    /// The call.
    pub step: Step,
    /// Whether the charge was requested from the bank before this call.
    pub after_charge: bool,
    /// The fault.
    pub fault: Fault,
}

impl Cell {
    /// The fault and its call.
    pub fn injected(&self) -> Injected<'_> {
        Injected {
            step: &self.step,
            after_charge: self.after_charge,
            fault: self.fault,
        }
    }
}

impl std::fmt::Display for Cell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "[{} | {} | {}]", self.flow, self.step, self.fault)
    }
}

/// Whether nothing but the flow decides which calls it makes. Where two payments or refunds run at once, it also matters
/// who is first.
pub fn has_its_calls(flow: Flow) -> bool {
    !flow.is_race() && flow != Flow::TwoCards
}

/// The calls of a flow as `tests/harness/calls.txt` has them: under its name a line for each function, with the operations
/// in the order in which it calls them. Those that a process makes once after its start are left out.
pub fn text_of_calls(flow: Flow, steps: &[Step]) -> String {
    let mut functions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for Step { call, .. } in steps {
        if call.operation != FETCHES_SECRET {
            let operations = functions.entry(&call.function).or_default();
            operations.push(&call.operation);
        }
    }
    let mut text = format!("{flow}\n");
    for (function, operations) in functions {
        // Writing to a text cannot fail.
        let _ = writeln!(text, "  {function}: {}", operations.join(", "));
    }
    text
}

/// Compares the calls that a flow made with those that it makes in the other world: on the local AWS it makes the same
/// as in the simulator.
///
/// # Errors
/// They are others; it says which.
pub fn check_calls(flow: Flow, steps: &[Step]) -> Result<(), String> {
    let made = text_of_calls(flow, steps);
    if !has_its_calls(flow)
        || CALLS
            .split("\n\n")
            .any(|known| known.trim_end() == made.trim_end())
    {
        return Ok(());
    }
    Err(format!(
        "tests/harness/calls.txt has other calls than these:\n{made}"
    ))
}

/// The cells of a flow that makes these calls. A process may happen to be new and fetch a secret: [`cold`] has these calls.
pub fn warm(flow: Flow, steps: Vec<Step>, faults: &[Fault]) -> Vec<Cell> {
    let own = steps.into_iter().enumerate();
    let own = own.filter(|(_, step)| step.call.operation != FETCHES_SECRET);
    cells(flow, false, own, faults)
}

/// The cells for fetching secrets of a flow that makes these calls with new processes: one for every function that is not
/// in `seen`. They are added to it.
pub fn cold(
    flow: Flow,
    steps: Vec<Step>,
    faults: &[Fault],
    seen: &mut BTreeSet<Step>,
) -> Vec<Cell> {
    let new: Vec<_> = steps
        .into_iter()
        .enumerate()
        // A second one comes from another new process. Whether there is one depends on timing.
        .filter(|(_, step)| step.call.operation == FETCHES_SECRET && step.nth == 1)
        .filter(|(_, step)| seen.insert(step.clone()))
        .collect();
    cells(flow, true, new.into_iter(), faults)
}

fn cells(
    flow: Flow,
    cold: bool,
    steps: impl Iterator<Item = (usize, Step)>,
    faults: &[Fault],
) -> Vec<Cell> {
    let mut charged = false;
    steps
        .map(|(place, step)| {
            let after_charge = charged;
            charged |= step.call.operation == CHARGES;
            (place, step, after_charge)
        })
        .flat_map(|(place, step, after_charge)| {
            faults.iter().map(move |&fault| Cell {
                flow,
                cold,
                place,
                step: step.clone(),
                after_charge,
                fault,
            })
        })
        .collect()
}
