//! Whose turn it is when an execution has ended and its payment is still open: the system's, or a person's.
//!
//! The activities' own lists of errors ([`ACTIVITIES`]) decide: a definite answer that is not caught is for a person,
//! and so is what Step Functions itself says is wrong with the definition. Whatever else may go wrong is an outage,
//! however it is called, and is tried again.

use crate::activity::ACTIVITIES;
use crate::executions::Standing;
use crate::failure::Treatment;
use crate::lambda::INVALID_INPUT;

/// CloseRecord's condition does not hold.
const NOT_CLOSED: &str = "DynamoDB.ConditionalCheckFailedException";
/// Definite errors that no activity names: CloseRecord's condition does not hold, or the definition is wrong.
const OF_THE_DEFINITION: [&str; 5] = [
    INVALID_INPUT,
    NOT_CLOSED,
    "States.DataLimitExceeded",
    "States.QueryEvaluationError",
    "States.Runtime",
];

/// Whether an execution that failed with this error waits for a person: trying again would come to the same. A decision
/// that was too old is none of them, for the next attempt asks the bank again: only definitions that do not know it
/// fail with it.
#[must_use]
pub fn needs_person(error: &str) -> bool {
    let definite = (error, Treatment::Definite);
    let own = || {
        let mut all = ACTIVITIES.iter();
        all.any(|activity| activity.errors.contains(&definite))
    };
    error != "StaleDecision" && (OF_THE_DEFINITION.contains(&error) || own())
}

/// Who goes on with an open payment, by how the execution of its attempt stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    /// The execution itself.
    Running,
    /// Reconciliation: the next attempt. The name of the error, or of the end, that made it needed.
    NextAttempt(String),
    /// A person, for this reason.
    Person(String),
}

/// Whose turn it is. `may_be_closed`: the record allows by now what the execution was refused.
#[must_use]
pub fn after(standing: Standing, may_be_closed: bool) -> Turn {
    match standing {
        Standing::Running => Turn::Running,
        // It had seen a decline, and another one has seen and settled an authorisation meanwhile.
        Standing::Failed(error) if error == NOT_CLOSED && may_be_closed => Turn::NextAttempt(error),
        Standing::Failed(error) if needs_person(&error) => Turn::Person(error),
        Standing::Failed(error) => Turn::NextAttempt(error),
        // It ended where an execution may end, and yet the payment is open: another one is due.
        Standing::Succeeded => Turn::NextAttempt("Succeeded".to_owned()),
        Standing::TimedOut => Turn::NextAttempt("States.Timeout".to_owned()),
        Standing::Aborted => Turn::Person("Aborted".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_asks_for_a_judgement_is_a_persons_and_every_outage_is_the_systems() {
        for error in [
            "ChargeMismatch",
            "DynamoDB.ConditionalCheckFailedException",
            "InvalidCallback",
            "InvalidInput",
            "ItemUnreadable",
            "OutcomeConflict",
            "RefusalNeedsPerson",
            "States.DataLimitExceeded",
            "States.QueryEvaluationError",
            "States.Runtime",
            "TokenReused",
        ] {
            assert_eq!(
                after(Standing::Failed(error.into()), false),
                Turn::Person(error.into())
            );
        }
        for error in [
            "BankUnavailable",
            "DynamoDB.ThrottlingException",
            "Lambda.TooManyRequestsException",
            "Lambda.Unknown",
            "NotReversibleYet",
            "NotificationFailed",
            "Runtime.ExitError",
            "Sandbox.Timedout",
            "SigningKeyUnavailable",
            "StaleDecision",
            "States.Permissions",
            "States.TaskFailed",
            "States.Timeout",
            "TableUnavailable",
            "TransactionConflict",
            "an error that AWS invents tomorrow",
        ] {
            let next = Turn::NextAttempt(error.into());
            assert_eq!(after(Standing::Failed(error.into()), false), next);
        }
        let ended = |standing| after(standing, false);
        assert!(matches!(ended(Standing::TimedOut), Turn::NextAttempt(_)));
        assert!(matches!(ended(Standing::Aborted), Turn::Person(_)));
    }

    #[test]
    fn what_could_not_be_closed_and_can_be_now_is_the_systems() {
        let failed = |error: &str| after(Standing::Failed(error.into()), true);
        assert!(matches!(failed(NOT_CLOSED), Turn::NextAttempt(_)));
        assert!(matches!(failed("OutcomeConflict"), Turn::Person(_)));
    }
}
