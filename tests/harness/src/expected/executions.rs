//! How the executions of a payment must have ended. Each of its attempts is there under its name, and over. The last one
//! has the result with which the record was closed.

use aws_sdk_sfn::types::ExecutionStatus;
use payment3_activities::domain::ids::ChargeId;
use payment3_activities::executions::execution_name;

use crate::invariants::{End, Ended};

/// The results of an attempt that leaves the payment to the next attempt.
const CONTINUES: [&str; 3] = ["awaitingBank", "handedOver", "alreadyProcessed"];

/// An execution and its status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its name.
    pub name: String,
    /// Its status.
    pub status: ExecutionStatus,
    /// The `result` in its output.
    pub result: Option<String>,
    /// The error with which it failed.
    pub error: Option<String>,
}

/// The attempts that a payment's record has counted, with the names of their executions, and one more: it may have begun
/// since, and is not there in the end.
pub fn attempts(charge: &ChargeId, counted: u32) -> impl Iterator<Item = (u32, String)> {
    (0..=counted + 1).map(|attempt| (attempt, execution_name(charge, attempt)))
}

/// What is wrong with the execution of an attempt. None if it is as it must be.
pub fn wrong(ended: &Ended, attempt: u32, execution: Option<&Seen>) -> Option<String> {
    let given_up = ended.end == Some(End::Abandoned);
    let Some(execution) = execution else {
        // Reconciliation can abandon a payment without an execution.
        let needed = attempt <= ended.attempt && !given_up;
        return needed.then(|| "it does not exist".to_owned());
    };
    if attempt > ended.attempt {
        return Some("it is not counted in the record".to_owned());
    }
    let is_last = attempt == ended.attempt && !given_up;
    match (&execution.status, execution.result.as_deref()) {
        (ExecutionStatus::Succeeded, result) if is_last => (result != ended.closed_as.as_deref())
            .then(|| {
                format!(
                    "its result is {result:?}, the record has {:?}",
                    ended.closed_as
                )
            }),
        (ExecutionStatus::Succeeded, Some(result)) if CONTINUES.contains(&result) => None,
        (ExecutionStatus::Failed | ExecutionStatus::TimedOut, _) if !is_last => None,
        (status, result) => Some(format!(
            "its status is {status}, its error {:?}",
            result.or(execution.error.as_deref())
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(end: End, closed_as: &str, attempt: u32) -> Ended {
        Ended {
            token: "obviously-fake".to_owned(),
            end: Some(end),
            card_saved: false,
            card_failed: false,
            charge: Some("chrg_test_1".to_owned()),
            closed_as: Some(closed_as.to_owned()),
            attempt,
        }
    }

    fn execution(status: ExecutionStatus, result: Option<&str>) -> Seen {
        Seen {
            name: "chrg_test_1".to_owned(),
            status,
            result: result.map(str::to_owned),
            error: None,
        }
    }

    #[test]
    fn the_last_attempt_must_have_the_result_of_the_record() {
        let paid = ended(End::Paid, "paid", 1);
        let says = |result| execution(ExecutionStatus::Succeeded, Some(result));
        assert_eq!(wrong(&paid, 1, Some(&says("paid"))), None);
        assert!(wrong(&paid, 1, Some(&says("reversed"))).is_some());
        assert!(wrong(&paid, 1, Some(&says("awaitingBank"))).is_some());
        assert!(wrong(&paid, 1, None).is_some());
        for status in [ExecutionStatus::Failed, ExecutionStatus::Running] {
            assert!(wrong(&paid, 1, Some(&execution(status, None))).is_some());
        }
    }

    #[test]
    fn earlier_attempts_leave_the_payment_to_the_next_and_none_follows_the_last() {
        let paid = ended(End::Paid, "paid", 1);
        let waited = execution(ExecutionStatus::Succeeded, Some("awaitingBank"));
        let failed = execution(ExecutionStatus::Failed, None);
        let running = execution(ExecutionStatus::Running, None);
        assert_eq!(wrong(&paid, 0, Some(&waited)), None);
        assert_eq!(wrong(&paid, 0, Some(&failed)), None);
        assert!(wrong(&paid, 0, Some(&running)).is_some());
        assert!(wrong(&paid, 0, None).is_some());
        assert!(wrong(&paid, 2, Some(&waited)).is_some());
        assert_eq!(wrong(&paid, 2, None), None);
    }

    #[test]
    fn an_abandoned_payment_needs_no_execution() {
        let abandoned = ended(End::Abandoned, "abandoned", 0);
        assert_eq!(wrong(&abandoned, 0, None), None);
        let paid = execution(ExecutionStatus::Succeeded, Some("paid"));
        assert!(wrong(&abandoned, 0, Some(&paid)).is_some());
    }
}
