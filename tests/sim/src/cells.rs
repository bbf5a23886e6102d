//! The cells of the fault matrix in the simulator: every call of a flow with every fault, each in a world of its own.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use payment3_harness::cells::{self, Cell};
use payment3_harness::fault_plan::{Fault, Step};
use payment3_harness::flow::Flow;
use payment3_harness::player::Start;

use crate::release::Definitions;
use crate::scenario::{How, play};

/// The calls that a flow makes without a fault, in order.
///
/// # Errors
/// It does not end as it must.
pub fn steps(flow: Flow, start: Start) -> Result<Vec<Step>> {
    let played = play(flow, start, None, How::default())?;
    let findings = &played.findings;
    ensure!(findings.is_empty(), "[{flow} | no fault]: {findings}");
    Ok(played.steps)
}

/// The text of `tests/harness/calls.txt`: the calls that each flow makes here.
///
/// # Errors
/// A flow does not end as it must.
pub fn calls() -> Result<String> {
    let flows = Flow::ALL
        .into_iter()
        .filter(|flow| cells::has_its_calls(*flow));
    let texts = flows.map(|flow| Ok(cells::text_of_calls(flow, &steps(flow, Start::Warm)?)));
    Ok(texts.collect::<Result<Vec<_>>>()?.join("\n"))
}

/// All cells of these flows with these faults. Those of new processes come last: one call of each function is enough.
///
/// # Errors
/// A flow does not end as it must even without a fault.
pub fn cells_of(flows: &[Flow], faults: &[Fault]) -> Result<Vec<Cell>> {
    let mut all = Vec::new();
    for &flow in flows {
        all.extend(cells::warm(flow, steps(flow, Start::Warm)?, faults));
    }
    let mut seen = BTreeSet::new();
    for &flow in flows {
        let steps = steps(flow, Start::Cold)?;
        all.extend(cells::cold(flow, steps, faults, &mut seen));
    }
    Ok(all)
}

/// Plays a cell with these definitions, and says what is wrong with it in the end.
///
/// # Errors
/// It does not end.
pub fn problem(cell: &Cell, definitions: Definitions) -> Result<Option<String>> {
    let start = if cell.cold { Start::Cold } else { Start::Warm };
    let how = How {
        definitions,
        ..How::default()
    };
    let played = play(cell.flow, start, Some(cell.injected()), how);
    let played = played.with_context(|| cell.to_string())?;
    if !played.findings.is_empty() {
        return Ok(Some(format!("{cell}: {}", played.findings)));
    }
    // Whether a race makes the call may depend on who is first.
    let struck = played.struck || cell.flow.is_race();
    Ok((!struck).then(|| {
        let made: Vec<_> = played.steps.iter().map(Step::to_string).collect();
        format!("{cell}: the call was not made, only: {}", made.join(", "))
    }))
}
