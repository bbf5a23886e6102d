//! Checks the activities' error names against the state machines. If the two sides use different names, a business
//! answer is retried for hours, or an outage is treated as a business answer.

use std::collections::BTreeSet;

use payment3_activities::activity::reconcile::turn::needs_person;
use payment3_activities::failure::{Name, Treatment};
use payment3_activities::lambda::INVALID_INPUT;
use payment3_model::{Definition, Machine, Retrier, Task, own_errors, snapshot};

/// The wildcard that matches every error that can be matched.
const ALL: &str = "States.ALL";
/// The states that save a card. The payment is settled before them, so their errors do not stop it.
const SAVES_CARDS: [&str; 2] = ["EnsureKBankUser", "AddCard"];
/// The states that ask the bank for money to go back. No request of theirs is repeated.
const ASKS_FOR_MONEY: [&str; 2] = ["VoidCharge", "RefundCharge"];
/// The state that tells a person of a refund.
const REPORTS: &str = "ReportStuck";

/// The definition of the payment machine.
fn definition() -> Definition {
    definition_of(Machine::Payment)
}

fn definition_of(machine: Machine) -> Definition {
    Definition::of_the_repository(machine).expect("the definition")
}

/// The tasks of both machines, each with its machine.
fn all_tasks(all: &[(Machine, Definition)]) -> impl Iterator<Item = (Machine, &str, &Task)> {
    let tasks = all.iter().flat_map(|(machine, definition)| {
        let tasks = definition.tasks();
        tasks.map(move |(name, task)| (*machine, name, task))
    });
    // It has no answer to give: whatever happens to it, a person must be told.
    tasks.filter(|(_, name, _)| *name != REPORTS)
}

fn both() -> [(Machine, Definition); 2] {
    Machine::ALL.map(|machine| (machine, definition_of(machine)))
}

/// The own errors of a task.
fn errors_of(task: &Task) -> &'static [Name] {
    own_errors(&task.callee()).unwrap_or_else(|| {
        let callee = task.callee();
        panic!("list `{callee}` in ACTIVITIES of activities/src/activity/mod.rs")
    })
}

fn errors_treated(task: &Task, as_: Treatment) -> BTreeSet<&str> {
    let errors = errors_of(task).iter();
    let alike = errors.filter(|(_, treatment)| *treatment == as_);
    alike.map(|(error, _)| *error).collect()
}

fn names(error_equals: &[String]) -> BTreeSet<&str> {
    error_equals.iter().map(String::as_str).collect()
}

#[test]
fn definite_errors_are_never_retried() {
    for (machine, name, task) in all_tasks(&both()) {
        let mut definite = errors_treated(task, Treatment::Definite);
        if task.function().is_some() {
            definite.insert(INVALID_INPUT);
        }
        let first = &task.retry[0];
        assert_eq!(first.max_attempts, 0, "{name}: the first Retrier");
        assert_eq!(
            names(&first.error_equals),
            definite,
            "statemachine/{machine}.asl.json: the first Retrier of {name} names every definite error of its function"
        );
    }
}

#[test]
fn everything_else_is_retried_with_backoff_and_full_jitter() {
    for (_, name, task) in all_tasks(&both()) {
        let (last, middle) = task.retry[1..].split_last().expect("Retriers");
        assert_eq!(names(&last.error_equals), BTreeSet::from([ALL]), "{name}");
        let asks = ASKS_FOR_MONEY.contains(&name);
        if asks {
            let waits = middle.iter().map(|retrier| names(&retrier.error_equals));
            assert_eq!(waits.collect::<Vec<_>>(), [["RefundBusy"].into()], "{name}");
            assert_eq!(last.max_attempts, 0, "{name}");
        }
        for retrier in task.retry[1..]
            .iter()
            .filter(|r| !asks || r.max_attempts > 0)
        {
            let of = names(&retrier.error_equals);
            // No outage: the bank refuses until its day has ended. Retries come at a constant interval.
            if of == BTreeSet::from(["NotReversibleYet"]) {
                let pace = (retrier.interval_seconds, retrier.max_attempts);
                assert_eq!(pace, (Some(1800.0), 144));
                continue;
            }
            // Only payments of the same owner wait for each other, for as long as a lease may last. No jitter is
            // needed.
            if of == BTreeSet::from(["CustomerBeingCreated"]) {
                assert_eq!(retrier.jitter_strategy, None, "{name}");
                continue;
            }
            assert_eq!(retrier.jitter_strategy.as_deref(), Some("FULL"), "{name}");
            assert!(retrier.backoff_rate >= Some(2.0), "{name}");
            assert!(retrier.max_attempts >= 3, "{name}");
        }
        let transient = errors_treated(task, Treatment::Transient);
        for retrier in middle {
            assert!(
                names(&retrier.error_equals).is_subset(&transient),
                "{name}: {retrier:?}"
            );
        }
    }
}

#[test]
fn only_errors_that_an_activity_can_raise_are_caught_but_for_cards() {
    for (name, task) in definition().tasks() {
        let known: BTreeSet<_> = errors_of(task).iter().map(|(error, _)| *error).collect();
        for catcher in &task.catch {
            let caught = names(&catcher.error_equals);
            let any = SAVES_CARDS.contains(&name) && caught == BTreeSet::from([ALL]);
            assert!(any || caught.is_subset(&known), "{name}: {catcher:?}");
        }
    }
}

/// A refund has nobody who starts it again: what ends its tries is told to a person, or found out by asking the bank.
#[test]
fn whatever_happens_to_a_refund_is_told_to_a_person_or_found_out() {
    let definition = definition_of(Machine::Refund);
    for (name, task) in definition.tasks() {
        let last = task.catch.last().expect(name);
        let leads_to = last.next.as_str();
        match name {
            REPORTS => assert_eq!(leads_to, "RefundStuck"),
            // A definite error says that there is no refund.
            "CheckRefund" => {
                let there_is_none = errors_treated(task, Treatment::Definite);
                let caught = names(&last.error_equals);
                let both: Vec<_> = there_is_none.intersection(&caught).collect();
                assert_eq!(both, [&"ItemUnreadable"]);
                // Whatever else ends its tries has left nobody who would try again.
                let transient = errors_treated(task, Treatment::Transient);
                assert!(transient.is_subset(&caught), "{transient:?} {caught:?}");
                assert_eq!(leads_to, REPORTS);
                continue;
            }
            name if ASKS_FOR_MONEY.contains(&name) => assert_eq!(leads_to, "AwaitAnswer"),
            name => assert_eq!(leads_to, REPORTS, "{name}"),
        }
        assert_eq!(last.error_equals, [ALL], "{name}");
    }
}

#[test]
fn a_refund_is_tried_for_two_weeks_at_least() {
    const TWO_WEEKS: f64 = 13.9 * 86_400.0;
    let definition = definition_of(Machine::Refund);
    for (name, task) in definition.tasks() {
        for retrier in task.retry.iter().filter(|retrier| retrier.max_attempts > 0) {
            // On average, jitter halves each wait.
            let wait = longest_wait(retrier) / 2.0;
            assert!(wait > TWO_WEEKS, "{name}: {} days", wait / 86_400.0);
        }
    }
}

#[test]
fn once_the_order_is_paid_only_definite_answers_are_passed_over_and_what_cannot_be_done_for_a_card()
{
    let definition = definition();
    let caught = |name: &str| {
        let (_, task) = definition
            .tasks()
            .find(|(task, _)| *task == name)
            .expect(name);
        let catchers = task.catch.iter();
        let errors: BTreeSet<String> = catchers.flat_map(|c| c.error_equals.clone()).collect();
        errors
    };
    let all = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    for (name, expected) in [
        ("NotifySuccess", all(&["NotificationRefused"])),
        ("EnsureKBankUser", all(&["CardNotSaved", ALL])),
        ("AddCard", all(&["CardNotSaved", ALL])),
        ("CloseRecord", BTreeSet::new()),
    ] {
        assert_eq!(caught(name), expected, "{name}");
    }
}

/// The longest total wait of a retrier, in seconds.
fn longest_wait(retrier: &Retrier) -> f64 {
    let most = retrier.max_delay_seconds.unwrap_or(f64::INFINITY);
    let mut next = retrier.interval_seconds.expect("IntervalSeconds");
    let mut all = 0.0;
    for _ in 0..retrier.max_attempts {
        all += next.min(most);
        next *= retrier.backoff_rate.expect("BackoffRate");
    }
    all
}

#[test]
fn a_card_is_tried_for_longer_than_its_token_lives_and_for_an_hour_at_most() {
    let definition = definition();
    let tasks = definition.tasks();
    let cards = tasks.filter(|(name, _)| SAVES_CARDS.contains(name));
    let retriers: Vec<_> = cards.flat_map(|(_, task)| &task.retry[1..]).collect();
    assert!(retriers.len() >= SAVES_CARDS.len());
    let mut in_all = 0.0;
    for retrier in retriers {
        let wait = longest_wait(retrier);
        in_all += wait;
        // On average, jitter halves each wait.
        assert!(retrier.error_equals != [ALL] || wait / 2.0 > 600.0);
    }
    assert!(in_all <= 3600.0, "{in_all} s");
}

#[test]
fn what_fails_in_place_is_a_persons_where_it_is_definite_and_is_started_again_otherwise() {
    for (name, task) in definition().tasks() {
        for (error, treatment) in errors_of(task) {
            // Always caught. With an older definition that does not catch it, the next attempt asks the bank again.
            if *error == "StaleDecision" {
                assert!(!needs_person(error));
                continue;
            }
            let definite = *treatment == Treatment::Definite;
            assert_eq!(needs_person(error), definite, "{name}: {error}");
        }
    }
    for (error, person) in [
        (INVALID_INPUT, true),
        ("States.Runtime", true),
        ("States.DataLimitExceeded", true),
        ("States.QueryEvaluationError", true),
        ("States.Timeout", false),
        ("Lambda.TooManyRequestsException", false),
        ("Runtime.ExitError", false),
        ("DynamoDB.ThrottlingException", false),
    ] {
        assert_eq!(needs_person(error), person, "{error}");
    }
}

/// What each function logs of where it was called.
#[test]
fn every_function_gets_the_same_trace() {
    let trace = "{% {'execution': $states.context.Execution.Name, 'state': $states.context.State.Name, 'startedAt': $states.context.Execution.StartTime} %}";
    for machine in Machine::ALL {
        for (name, task) in definition_of(machine).tasks() {
            if task.function().is_some() {
                assert_eq!(task.arguments["Payload"]["trace"], trace, "{name}");
            }
        }
    }
}

#[test]
fn every_state_says_what_it_is_for() {
    for machine in Machine::ALL {
        for (name, state) in &definition_of(machine).states {
            assert!(state.comment().len() > 20, "{name}: Comment");
        }
    }
}

/// The complete table of how errors are treated. It makes every change visible, so that no change is made by accident.
#[test]
fn what_becomes_of_each_error_and_which_states_each_flow_enters() {
    assert_eq!(
        snapshot().unwrap().join("\n"),
        include_str!("../snapshot.txt").trim_end(),
        "tests/model/snapshot.txt is stale: run `cargo local renew` and check the difference, because it changes how payments end"
    );
}
