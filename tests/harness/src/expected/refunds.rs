//! How the refunds must end in which one call got a fault. Normally the money goes back, no matter which call gets the fault. A part whose
//! answer is lost may end with a person. Each of these is a rule here, with its reason.

use crate::executions::ExecutionReport;
use crate::fault_plan::Fault;
use crate::flow::Flow;
use crate::invariants::Findings;
use crate::ledger::{ELSEWHERE, EntryState};
use crate::player::{PlayedRefund, RefundsEnded};

use super::Injected;

/// How a refund ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The bank has accepted it.
    Sent,
    /// It was given up, and the shop was told.
    Failed,
    /// Nobody knows, and a person was told.
    Uncertain,
    /// More than was left.
    TooLarge,
}

/// The function that asks the bank for a refund, and its calls.
const ASKS: &str = "refund-charge";
const POST: &str = "POST charge/*/refund";
const WRITE: &str = "UpdateItem";
/// Its write before the request: that the bank is being asked.
const NOTES_REQUEST: usize = 1;
/// Its write after the request: what the bank answered.
const NOTES_ANSWER: usize = 2;

/// A fault after which nobody can tell whether a part went back.
struct Rule {
    holds: fn(Flow, Injected<'_>) -> bool,
    ends: &'static [End],
}

const RULES: [Rule; 5] = [
    // The bank did it, and its answer is lost.
    Rule {
        holds: |flow, injected| {
            is_part(flow) && injected.is(ASKS, POST) && injected.fault.loses_the_answer()
        },
        ends: &[End::Uncertain],
    },
    // The bank did it, and the process died before it wrote so.
    Rule {
        holds: |flow, injected| {
            is_part(flow)
                && injected.is(ASKS, WRITE)
                && injected.step.nth == NOTES_ANSWER
                && injected.fault == Fault::KilledBefore
        },
        ends: &[End::Uncertain],
    },
    // The bank did nothing, but it did an earlier part: its word cannot tell the two from each other.
    Rule {
        holds: |flow, injected| {
            flow == Flow::RefundSecondPart
                && injected.is(ASKS, POST)
                && injected.fault != Fault::Throttled
        },
        ends: &[End::Uncertain],
    },
    // The same. Here nothing was requested.
    Rule {
        holds: |flow, injected| {
            flow == Flow::RefundSecondPart
                && injected.is(ASKS, WRITE)
                && injected.step.nth == NOTES_REQUEST
                && injected.fault.loses_the_answer()
        },
        ends: &[End::Sent, End::Uncertain],
    },
    // Two executions ask at the same time, so the fault may be in either.
    Rule {
        holds: |flow, injected| {
            matches!(
                flow,
                Flow::RefundStartedTwice | Flow::RefundTwice | Flow::RefundRefused
            ) && injected.step.call.function == ASKS
        },
        ends: &[End::Sent, End::Uncertain],
    },
];

/// Whether the charge's state alone does not show what is given back.
fn is_part(flow: Flow) -> bool {
    matches!(
        flow,
        Flow::RefundPart | Flow::RefundSecondPart | Flow::RefundWaits
    )
}

/// The ends that a refund may have.
fn ends(flow: Flow, injected: Option<Injected<'_>>) -> &'static [End] {
    let rule = injected.and_then(|injected| RULES.iter().find(|rule| (rule.holds)(flow, injected)));
    match (rule, flow) {
        (Some(rule), _) => rule.ends,
        (None, Flow::RefundVoidedByHand) => &[End::Failed],
        (None, Flow::RefundPartAnswerLost) => &[End::Uncertain],
        (None, _) => &[End::Sent],
    }
}

/// Checks how the refunds of a flow ended, and adds a finding for each that did not end as it must. Returns the ids of
/// those that a person must look at.
pub fn judge(
    flow: Flow,
    refunds: &[PlayedRefund],
    ended: &RefundsEnded,
    injected: Option<Injected<'_>>,
    findings: &mut Findings,
) -> Vec<String> {
    let mut uncertain = Vec::new();
    let mut too_large = 0;
    for refund in refunds {
        let Some(end) = end_of(refund, ended) else {
            let entry = ended.ledger.entries.get(&refund.id);
            findings.note(format!("the refund {} is {entry:?}", refund.label));
            continue;
        };
        match end {
            End::Uncertain => uncertain.push(refund.id.clone()),
            End::TooLarge => too_large += 1,
            End::Sent | End::Failed => {}
        }
        let expected = ends(flow, injected);
        let right = expected.contains(&end) || flow == Flow::RefundTwice;
        findings.check(right, || {
            format!(
                "the refund {} ended as {end:?}, expected: {expected:?}",
                refund.label
            )
        });
        for (label, execution) in &ended.executions {
            if *label == refund.label && !fits(execution, end) {
                findings.note(format!(
                    "the refund {label} ended as {end:?}, its execution {}",
                    shown(execution)
                ));
            }
        }
    }
    match flow {
        Flow::RefundTwice => findings.check(too_large == 1, || {
            format!("{too_large} of two refunds were more than was left")
        }),
        Flow::GivenBackByHand => {
            let entry = ended.ledger.entries.get(ELSEWHERE);
            let found = entry.is_some_and(|entry| entry.unknown);
            findings.check(found, || {
                format!("what was given back by hand is {entry:?}")
            });
            for (_, execution) in &ended.executions {
                findings.check(has_result(execution, "elsewhere"), || {
                    format!("its execution {}", shown(execution))
                });
            }
        }
        _ => {}
    }
    uncertain
}

/// How a refund ended, by the ledger. None if it did not end.
fn end_of(refund: &PlayedRefund, ended: &RefundsEnded) -> Option<End> {
    match ended
        .ledger
        .entries
        .get(&refund.id)
        .map(|entry| entry.state)
    {
        None => Some(End::TooLarge),
        Some(EntryState::Sent) => Some(End::Sent),
        Some(EntryState::Failed) => Some(End::Failed),
        Some(EntryState::Uncertain) => Some(End::Uncertain),
        Some(EntryState::Reserved | EntryState::Asked) => None,
    }
}

/// Whether an execution tells the same as the ledger.
fn fits(execution: &ExecutionReport, end: End) -> bool {
    let failed_as = |error: &str| {
        let failure = execution.failure.as_ref();
        failure.is_some_and(|failure| failure.error == error)
    };
    match end {
        End::Sent => has_result(execution, "refunded"),
        // That the charge was voided by hand is found out by the same execution, which tells the shop of it, too.
        End::Failed => has_result(execution, "failed"),
        End::Uncertain => failed_as("RefundUncertain"),
        End::TooLarge => failed_as("RefundTooLarge"),
    }
}

fn has_result(execution: &ExecutionReport, result: &str) -> bool {
    let output = execution.output.as_ref();
    execution.has_succeeded()
        && output.is_some_and(|output| output["result"] == result && output["notified"] == true)
}

fn shown(execution: &ExecutionReport) -> String {
    let error = execution.failure.as_ref();
    format!(
        "{} is {} with {:?}, {:?}, after {}",
        execution.name,
        execution.status,
        execution.output,
        error.map(|failure| failure.error.as_str()),
        execution.states().join(" ")
    )
}

#[cfg(test)]
mod tests {
    use crate::call::CallName;
    use crate::fault_plan::Step;

    use super::*;

    fn at(
        flow: Flow,
        (function, operation): (&str, &str),
        nth: usize,
        fault: Fault,
    ) -> &'static [End] {
        let step = Step {
            call: CallName {
                function: function.to_owned(),
                operation: operation.to_owned(),
            },
            nth,
        };
        let injected = Injected {
            step: &step,
            after_charge: true,
            fault,
        };
        ends(flow, Some(injected))
    }

    #[test]
    fn only_a_part_whose_answer_is_lost_needs_a_person() {
        let post = (ASKS, POST);
        assert_eq!(at(Flow::RefundPart, post, 1, Fault::Lost), [End::Uncertain]);
        for fault in [
            Fault::Refused,
            Fault::KilledBefore,
            Fault::Away,
            Fault::Throttled,
        ] {
            assert_eq!(at(Flow::RefundPart, post, 1, fault), [End::Sent], "{fault}");
        }
        for fault in Fault::ALL {
            assert_eq!(at(Flow::RefundAll, post, 1, fault), [End::Sent], "{fault}");
            let record = ("record-refund", "TransactWriteItems");
            assert_eq!(
                at(Flow::RefundPart, record, 1, fault),
                [End::Sent],
                "{fault}"
            );
        }
        let second = at(Flow::RefundSecondPart, post, 1, Fault::Refused);
        assert_eq!(second, [End::Uncertain]);
    }
}
