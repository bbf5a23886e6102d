//! What the system answers, word for word: to forms and returns, to apps, to the back office, and what each function gives
//! back along each flow. The text is `tests/sim/answers.txt`; who changes an answer sees it there.

mod checkout;
mod desk;
mod functions;
mod reconciliation;
mod refunds;
mod returns;

use std::collections::BTreeSet;
use std::fmt::Write;

use anyhow::Result;
use payment3_harness::flow::Flow;
use payment3_harness::player::Start;

use crate::run::in_a_calm_world;
use crate::scenario::{How, play};

/// The text of `tests/sim/answers.txt`.
///
/// # Errors
/// A flow does not end, or the world cannot be built.
pub fn answers() -> Result<String> {
    let mut text = String::new();
    for (title, lines) in [
        ("Checkout: orders", in_a_calm_world(checkout::orders)?),
        ("Checkout: forms", in_a_calm_world(checkout::forms)?),
        ("Checkout: cards", in_a_calm_world(checkout::cards)?),
        (
            "Checkout: a bank in trouble",
            in_a_calm_world(checkout::trouble)?,
        ),
        ("Checkout: dialects", in_a_calm_world(checkout::dialects)?),
        ("Returns", in_a_calm_world(returns::answers)?),
        (
            "Returns: an index behind",
            in_a_calm_world(returns::behind)?,
        ),
        ("Refunds", in_a_calm_world(refunds::answers)?),
        ("Functions: paid", in_a_calm_world(functions::paid)?),
        ("Functions: declined", in_a_calm_world(functions::declined)?),
        (
            "Functions: customers",
            in_a_calm_world(functions::customers)?,
        ),
        (
            "Reconciliation: nothing is decided",
            in_a_calm_world(reconciliation::undecided)?,
        ),
        (
            "Reconciliation: nobody knows whether it was charged",
            in_a_calm_world(reconciliation::perhaps_charged)?,
        ),
        (
            "Reconciliation: charged by a former key, perhaps",
            in_a_calm_world(reconciliation::charged_by_a_former_key)?,
        ),
        (
            "Reconciliation: an order with a mistake",
            in_a_calm_world(reconciliation::unreadable)?,
        ),
        (
            "Reconciliation: another key",
            in_a_calm_world(reconciliation::another_key)?,
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
