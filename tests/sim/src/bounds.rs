//! What anybody's returns may cost: however often somebody posts them, they start few executions.

use std::collections::BTreeMap;

use crate::step_functions::Description;

/// How many executions of one payment returns start in ten minutes at most: the first attempt, two that are counted,
/// and those of returns for which the bank was asked and had decided, as many again.
const RETURNS_START: usize = 6;
/// Within so many seconds.
const WITHIN: i64 = 10 * 60;

/// What returns have started beyond that.
pub(crate) fn broken(executions: &[Description]) -> Vec<String> {
    let mut starts = BTreeMap::<&str, Vec<i64>>::new();
    for execution in executions {
        if let (Some("callback"), Some(charge)) = (
            execution.input["source"].as_str(),
            execution.input["chargeId"].as_str(),
        ) {
            let at = execution.started_at.as_second();
            starts.entry(charge).or_default().push(at);
        }
    }
    let mut broken = Vec::new();
    for (charge, mut at) in starts {
        at.sort_unstable();
        let most = at.iter().map(|from| {
            let within = |at: &&i64| (*from..from + WITHIN).contains(*at);
            at.iter().filter(within).count()
        });
        let most = most.max().unwrap_or_default();
        if most > RETURNS_START {
            broken.push(format!(
                "returns of charge {charge} have started {most} executions in ten minutes"
            ));
        }
    }
    broken
}
