//! Holds the activities' error names against the state machine: a name that one side has and the other does not know
//! would turn a business answer into hours of retries, or an outage into a business answer.

use std::collections::{BTreeMap, BTreeSet};

use payment3_activities::activity::add_card::AddCardError;
use payment3_activities::activity::ensure_kbank_user::EnsureError;
use payment3_activities::activity::inquire_charge::InquiryError;
use payment3_activities::activity::lookup_record::LookupError;
use payment3_activities::activity::notify::NotifyError;
use payment3_activities::activity::parse_callback::InvalidCallback;
use payment3_activities::activity::pay_order::PayError;
use payment3_activities::activity::reconcile::turn::needs_person;
use payment3_activities::activity::record_outcome::RecordError;
use payment3_activities::activity::reverse_charge::ReverseError;
use payment3_activities::failure::{Failure, Treatment};
use payment3_activities::lambda::INVALID_INPUT;
use serde_json::Value;

type Names = &'static [(&'static str, Treatment)];

/// What DynamoDB says, through the state machine's own integration, when a condition does not hold.
const CONDITION_FAILED: &str = "DynamoDB.ConditionalCheckFailedException";

/// Which activity's errors each Task can meet.
fn errors_of(state: &str) -> Names {
    match state {
        "ParseCallback" => InvalidCallback::NAMES,
        "LookupRecord" => LookupError::NAMES,
        "InquireCharge" => InquiryError::NAMES,
        "RecordOutcome" => RecordError::NAMES,
        "PayOrder" => PayError::NAMES,
        "NotifySuccess" | "NotifyFailure" | "NotifyReversal" | "NotifyCard" => NotifyError::NAMES,
        "ReverseCharge" | "ReverseVerification" => ReverseError::NAMES,
        "EnsureKBankUser" => EnsureError::NAMES,
        "AddCard" => AddCardError::NAMES,
        "AwaitBank" | "CloseRecord" => &[(CONDITION_FAILED, Treatment::Definite)],
        other => panic!("the Task `{other}` is new: say here which activity's errors it can meet"),
    }
}

/// What takes every error that can be taken.
const ALL: &str = "States.ALL";
/// The states that hold nothing up: the payment is settled, and a card is saved later or never.
const SAVES_CARDS: [&str; 2] = ["EnsureKBankUser", "AddCard"];

fn states() -> BTreeMap<String, Value> {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../statemachine/payment.asl.json"
    );
    let text = std::fs::read_to_string(path).unwrap();
    let definition: Value = serde_json::from_str(&text).unwrap();
    serde_json::from_value(definition["States"].clone()).unwrap()
}

fn tasks() -> impl Iterator<Item = (String, Value)> {
    states()
        .into_iter()
        .filter(|(_, state)| state["Type"] == "Task")
}

fn list<'a>(state: &'a Value, field: &str) -> &'a [Value] {
    state[field].as_array().map_or(&[], Vec::as_slice)
}

fn names(rule: &Value) -> BTreeSet<&str> {
    list(rule, "ErrorEquals")
        .iter()
        .map(|name| name.as_str().unwrap())
        .collect()
}

fn is_lambda(state: &Value) -> bool {
    state["Resource"] == "arn:aws:states:::lambda:invoke"
}

#[test]
fn definite_errors_are_never_retried() {
    for (name, state) in tasks() {
        let first = &list(&state, "Retry")[0];
        assert_eq!(first["MaxAttempts"], 0, "{name}: the first Retrier");
        let mut definite: BTreeSet<_> = errors_of(&name)
            .iter()
            .filter(|(_, treatment)| *treatment == Treatment::Definite)
            .map(|(error, _)| *error)
            .collect();
        if is_lambda(&state) {
            definite.insert(INVALID_INPUT);
        }
        assert_eq!(names(first), definite, "{name}: the first Retrier");
    }
}

#[test]
fn everything_else_is_retried_with_backoff_and_full_jitter() {
    for (name, state) in tasks() {
        let retry = list(&state, "Retry");
        let (last, middle) = retry[1..].split_last().unwrap();
        assert_eq!(names(last), BTreeSet::from(["States.ALL"]), "{name}");
        for retrier in &retry[1..] {
            // Nothing is down then: the bank's day has to pass, at an even pace.
            if names(retrier) == BTreeSet::from(["NotReversibleYet"]) {
                let seconds = &retrier["IntervalSeconds"];
                assert_eq!(
                    (seconds, &retrier["MaxAttempts"]),
                    (&1800.into(), &144.into())
                );
                continue;
            }
            // One owner's payments wait for each other alone, and for as long as a lease may hold.
            if names(retrier) == BTreeSet::from(["CustomerBeingCreated"]) {
                assert!(retrier["JitterStrategy"].is_null(), "{name}");
                continue;
            }
            assert_eq!(retrier["JitterStrategy"], "FULL", "{name}");
            assert!(retrier["BackoffRate"].as_f64().unwrap() >= 2.0, "{name}");
            assert!(retrier["MaxAttempts"].as_u64().unwrap() >= 3, "{name}");
        }
        let transient: BTreeSet<_> = errors_of(&name)
            .iter()
            .filter(|(_, treatment)| *treatment == Treatment::Transient)
            .map(|(error, _)| *error)
            .collect();
        for retrier in middle {
            assert!(names(retrier).is_subset(&transient), "{name}: {retrier}");
        }
    }
}

#[test]
fn only_errors_that_an_activity_can_raise_are_caught_but_for_cards_and_none_into_a_fail_state() {
    let all = states();
    for (name, state) in tasks() {
        let known: BTreeSet<_> = errors_of(&name).iter().map(|(error, _)| *error).collect();
        for catcher in list(&state, "Catch") {
            let any = SAVES_CARDS.contains(&&*name) && names(catcher) == BTreeSet::from([ALL]);
            assert!(any || names(catcher).is_subset(&known), "{name}: {catcher}");
            let next = catcher["Next"].as_str().unwrap();
            assert_ne!(
                all[next]["Type"], "Fail",
                "{name}: a caught error cannot be redriven"
            );
        }
    }
}

#[test]
fn once_the_order_is_paid_only_definite_answers_are_passed_over_and_what_cannot_be_done_for_a_card()
{
    let caught: Vec<_> = ["NotifySuccess", "EnsureKBankUser", "AddCard", "CloseRecord"]
        .iter()
        .map(|name| {
            let state = &states()[*name];
            let caught: BTreeSet<String> = list(state, "Catch")
                .iter()
                .flat_map(names)
                .map(str::to_owned)
                .collect();
            (*name, caught)
        })
        .collect();
    let only = |name: &str| BTreeSet::from([name.to_owned()]);
    let any = BTreeSet::from(["CardNotSaved".to_owned(), ALL.to_owned()]);
    assert_eq!(
        caught,
        [
            ("NotifySuccess", only("NotificationRefused")),
            ("EnsureKBankUser", any.clone()),
            ("AddCard", any),
            ("CloseRecord", BTreeSet::new()),
        ]
    );
}

/// The longest that a retrier waits in all, in seconds.
fn longest_wait(retrier: &Value) -> f64 {
    let number = |field: &str| retrier[field].as_f64();
    let tries = retrier["MaxAttempts"].as_u64().unwrap();
    let most = number("MaxDelaySeconds").unwrap_or(f64::INFINITY);
    let mut next = number("IntervalSeconds").unwrap();
    let mut all = 0.0;
    for _ in 0..tries {
        all += next.min(most);
        next *= number("BackoffRate").unwrap();
    }
    all
}

#[test]
fn a_card_is_tried_for_longer_than_its_token_lives_and_for_an_hour_at_most() {
    let states = states();
    let retriers = SAVES_CARDS
        .iter()
        .flat_map(|name| &list(&states[*name], "Retry")[1..]);
    let mut in_all = 0.0;
    for retrier in retriers {
        let wait = longest_wait(retrier);
        in_all += wait;
        // The jitter takes half of it on average.
        assert!(names(retrier) != BTreeSet::from([ALL]) || wait / 2.0 > 600.0);
    }
    assert!(in_all <= 3600.0, "{in_all} s");
}

#[test]
fn what_fails_in_place_is_a_persons_where_it_is_definite_and_is_started_again_otherwise() {
    for (name, _) in tasks() {
        for (error, treatment) in errors_of(&name) {
            // Always caught. A definition that does not know it is followed by an attempt that asks the bank again.
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

#[test]
fn every_state_says_what_it_is_for_and_every_task_has_a_time_out() {
    for (name, state) in states() {
        assert!(
            state["Comment"]
                .as_str()
                .is_some_and(|text| text.len() > 20),
            "{name}: Comment"
        );
        if state["Type"] == "Task" {
            assert!(
                state["TimeoutSeconds"].as_u64().is_some(),
                "{name}: TimeoutSeconds"
            );
        }
    }
}

/// The whole contract as a table: a change of how any error is treated shows up here and is made on purpose.
#[test]
fn how_each_error_is_treated() {
    let mut table = Vec::new();
    for (name, state) in tasks() {
        let caught: BTreeMap<_, _> = list(&state, "Catch")
            .iter()
            .flat_map(|catcher| {
                names(catcher)
                    .into_iter()
                    .map(|error| (error, catcher["Next"].as_str().unwrap()))
            })
            .collect();
        for (error, treatment) in errors_of(&name) {
            let tries = match treatment {
                Treatment::Definite => "at once",
                Treatment::Transient => "retried",
            };
            let end = match caught.get(error).or(caught.get(ALL)) {
                Some(next) => format!("to {next}"),
                None => "fails in place".into(),
            };
            table.push(format!("{name} | {error} | {tries} | {end}"));
        }
    }
    let expected = include_str!("errors.txt");
    assert_eq!(
        table.join("\n"),
        expected.trim_end(),
        "the treatment of errors changed; if on purpose, write it into activities/tests/errors.txt"
    );
}
