//! What the system answers, word for word: to forms and returns, to apps, to the back office, and what each function gives
//! back along each flow. The text is `tests/sim/answers.txt`; who changes an answer sees it there.

mod checkout;
mod desk;
mod functions;
mod old_records;
mod reconciliation;
mod refunds;
mod returns;

use std::collections::BTreeSet;
use std::fmt::Write;

use anyhow::Result;
use payment3_harness::flow::Flow;
use payment3_harness::player::Start;

use crate::logs::Line;
use crate::run::in_a_calm_world;
use crate::scenario::{How, play};
use crate::world::World;

/// The text of `tests/sim/answers.txt`.
///
/// # Errors
/// A flow does not end, or the world cannot be built.
pub fn answers() -> Result<String> {
    let mut text = String::new();
    for (title, lines) in [
        ("Checkout: orders", calmly(checkout::orders)?),
        ("Checkout: forms", calmly(checkout::forms)?),
        ("Checkout: cards", calmly(checkout::cards)?),
        ("Checkout: at once", calmly(checkout::at_once)?),
        ("Checkout: a bank in trouble", calmly(checkout::trouble)?),
        ("Checkout: a row that is held", calmly(checkout::held)?),
        ("Checkout: overtaken", calmly(checkout::overtaken)?),
        ("Checkout: dialects", calmly(checkout::dialects)?),
        ("Returns", calmly(returns::answers)?),
        ("Returns: at once", calmly(returns::at_once)?),
        ("Returns: an index behind", calmly(returns::behind)?),
        ("Returns: a record that is held", calmly(returns::held)?),
        ("Returns: too many", calmly(returns::too_many)?),
        ("Returns: not shown yet", calmly(returns::not_shown_yet)?),
        ("Old records", calmly(old_records::answers)?),
        ("Old records: deleted", calmly(old_records::deleted)?),
        ("Refunds", calmly(refunds::answers)?),
        ("Functions: paid", calmly(functions::paid)?),
        ("Functions: declined", calmly(functions::declined)?),
        ("Functions: signed since", calmly(functions::signed_since)?),
        ("Functions: customers", calmly(functions::customers)?),
        (
            "Reconciliation: nothing is decided",
            calmly(reconciliation::undecided)?,
        ),
        (
            "Reconciliation: nobody knows whether it was charged",
            calmly(reconciliation::perhaps_charged)?,
        ),
        (
            "Reconciliation: perhaps charged, and back",
            calmly(reconciliation::perhaps_charged_and_back)?,
        ),
        (
            "Reconciliation: signed and undecided",
            calmly(reconciliation::signed_and_undecided)?,
        ),
        (
            "Reconciliation: charged by a former key, perhaps",
            calmly(reconciliation::charged_by_a_former_key)?,
        ),
        (
            "Reconciliation: charged after all",
            calmly(reconciliation::charged_after_all)?,
        ),
        (
            "Reconciliation: counted meanwhile",
            calmly(reconciliation::counted_meanwhile)?,
        ),
        (
            "Reconciliation: an unknown state",
            calmly(reconciliation::unknown_state)?,
        ),
        (
            "Reconciliation: an unknown charge",
            calmly(reconciliation::unknown_charge)?,
        ),
        (
            "Reconciliation: an order with a mistake",
            calmly(reconciliation::unreadable)?,
        ),
        (
            "Reconciliation: another key",
            calmly(reconciliation::another_key)?,
        ),
    ] {
        writeln!(text, "# {title}\n\n{}\n", lines.join("\n"))?;
    }
    // What is answered alike in an earlier flow is not said again.
    let mut said = BTreeSet::new();
    for flow in Flow::ALL {
        let how = How {
            trace: true,
            afterwards: true,
            ..How::default()
        };
        let played = play(flow, Start::Warm, None, how)?;
        let answers = played.trace.iter().filter_map(|line| {
            let (run, answer) = line.split_once(": answers ")?;
            let (_, run) = run.split_once("  ")?;
            let function = run.trim_start().split(' ').next()?;
            Some(format!("{function}: {answer}"))
        });
        let lines: Vec<_> = answers
            .chain(played.afterwards)
            .filter(|line| said.insert(line.clone()))
            .collect();
        writeln!(text, "# {flow}\n\n{}\n", lines.join("\n"))?;
    }
    Ok(text)
}

/// Writes down what is answered in a calm world, and what people are told by alarms.
fn calmly(work: impl AsyncFnOnce(&World) -> Result<Vec<String>>) -> Result<Vec<String>> {
    in_a_calm_world(async |world| {
        let mut lines = work(world).await?;
        let told = world.0.logs.all();
        let mut said: Vec<&Line> = Vec::new();
        for line in &told {
            if said.contains(&line) {
                continue;
            }
            said.push(line);
            lines.push(match told.iter().filter(|other| *other == line).count() {
                1 => format!("told: {line:?}"),
                times => format!("told {times} times: {line:?}"),
            });
        }
        Ok(lines)
    })
}
