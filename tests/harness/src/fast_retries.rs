//! The deployed definitions with their waits shortened, and nothing else changed: those of Retriers and Wait states.
//!
//! One wait is kept: for the lease of a process that died while it created a customer. Nothing shortens a lease.
//!
//! A retry that waits for minutes proves no more than one that waits for a second, but the matrix would take days. The
//! number of attempts stays, and so do all time-outs: a task has the time it has in production. So do the times that
//! conditions compare, such as how long a refund may be refused, but for the time after which no request is on its way.

use serde_json::{Value, json};

/// The error whose Retrier waits for something that takes its time whatever the waits are.
const KEPT: &str = "CustomerBeingCreated";

/// The variable that says after how many seconds no request to the bank is on its way any more, and its value here: longer
/// than a request takes that the fault proxy delivers late, after its caller's time limit of 15 s.
const ANSWERS_WITHIN: (&str, u64) = ("answersWithin", 25);
/// The Wait state for that, and how many seconds it waits here.
const AWAITS_ANSWER: (&str, u64) = ("AwaitAnswer", 13);

/// The definition with a wait of one second, the shortest there is, in every Retrier but one and in every Wait state but
/// one.
///
/// # Panics
/// It is no definition.
#[must_use]
pub fn shorten(definition: &Value) -> Value {
    let mut short = definition.clone();
    let states = short["States"].as_object_mut().expect("States");
    for (name, state) in states.iter_mut() {
        if state["Type"] == "Wait"
            && let Some(wait) = state.get_mut("Seconds")
        {
            // A number, or an expression.
            *wait = json!(seconds_of(name));
        }
        let (variable, seconds) = ANSWERS_WITHIN;
        if let Some(within) = state.pointer_mut(&format!("/Assign/{variable}")) {
            *within = json!(seconds);
        }
    }
    for retrier in states
        .values_mut()
        .filter_map(|state| state.get_mut("Retry")?.as_array_mut())
        .flatten()
        .filter_map(Value::as_object_mut)
    {
        // One that never retries has nothing to wait for.
        if retrier.contains_key("IntervalSeconds") && retrier["ErrorEquals"] != json!([KEPT]) {
            retrier.insert("IntervalSeconds".into(), json!(1));
            retrier.insert("BackoffRate".into(), json!(1));
            retrier.remove("MaxDelaySeconds");
        }
    }
    short
}

/// How long a Wait state waits.
fn seconds_of(name: &str) -> u64 {
    match AWAITS_ANSWER {
        (awaits, seconds) if awaits == name => seconds,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace;

    /// What may change: how long a Retrier waits between attempts, and how long a Wait state does.
    const WAITS: [&str; 4] = [
        "IntervalSeconds",
        "BackoffRate",
        "MaxDelaySeconds",
        "Seconds",
    ];

    /// The definition without its waits: two definitions that are equal so differ in nothing else.
    fn without_waits(definition: &Value) -> Value {
        match definition {
            Value::Object(object) => object
                .iter()
                .filter(|(name, _)| !WAITS.contains(&name.as_str()))
                .map(|(name, value)| (name.clone(), without_waits(value)))
                .collect(),
            Value::Array(items) => items.iter().map(without_waits).collect(),
            other => other.clone(),
        }
    }

    fn definitions() -> [Value; 2] {
        workspace::definition_files().map(|file| {
            let text = std::fs::read_to_string(file).expect("the file");
            serde_json::from_str(&text).expect("JSON")
        })
    }

    fn states(definition: &Value) -> impl Iterator<Item = &Value> {
        definition["States"].as_object().expect("states").values()
    }

    #[test]
    fn only_the_waits_of_retriers_and_wait_states_are_touched() {
        for definition in definitions() {
            let mut short = shorten(&definition);
            assert_ne!(definition, short, "nothing was shortened");
            let within = format!("/States/CheckRefund/Assign/{}", ANSWERS_WITHIN.0);
            if let Some(within_here) = short.pointer_mut(&within) {
                assert_eq!(*within_here, json!(ANSWERS_WITHIN.1));
                *within_here = definition.pointer(&within).expect("there").clone();
            }
            assert_eq!(without_waits(&definition), without_waits(&short));
            // The names of the waits stand nowhere but in Retriers and Wait states.
            for state in states(&definition) {
                let mut rest = state.clone();
                let fields = rest.as_object_mut().expect("a state");
                fields.remove("Retry");
                if state["Type"] == "Wait" {
                    fields.remove("Seconds");
                }
                assert_eq!(rest, without_waits(&rest));
            }
        }
    }

    #[test]
    fn every_wait_state_waits_for_seconds_whatever_it_waited_for() {
        let [_, refund] = definitions();
        let waits = |definition: &Value| -> Vec<(String, Value)> {
            let states = definition["States"].as_object().expect("states");
            let waiting = states.iter().filter(|(_, state)| state["Type"] == "Wait");
            waiting
                .map(|(name, state)| (name.clone(), state["Seconds"].clone()))
                .collect()
        };
        let before = waits(&refund);
        assert!(
            before.iter().any(|(_, wait)| wait.is_number()),
            "{before:?}"
        );
        assert!(
            before.iter().any(|(_, wait)| wait.is_string()),
            "{before:?}"
        );
        let (awaits, seconds) = AWAITS_ANSWER;
        let expected = before
            .into_iter()
            .map(|(name, _)| {
                let wait = if name == awaits { seconds } else { 1 };
                (name, json!(wait))
            })
            .collect::<Vec<_>>();
        assert!(expected.contains(&(awaits.to_owned(), json!(seconds))));
        assert_eq!(waits(&shorten(&refund)), expected);
    }

    #[test]
    fn the_wait_for_a_lease_is_kept() {
        let leased = json!({"ErrorEquals": [KEPT], "IntervalSeconds": 20, "MaxAttempts": 9});
        let any = json!({"ErrorEquals": ["States.ALL"], "IntervalSeconds": 2, "MaxAttempts": 8});
        let definition = json!({"States": {"EnsureKBankUser": {"Retry": [leased, any]}}});
        let short = shorten(&definition);
        let retry = &short["States"]["EnsureKBankUser"]["Retry"];
        assert_eq!(retry[0], leased);
        assert_eq!(retry[1]["IntervalSeconds"], 1);
    }

    #[test]
    fn every_other_wait_of_a_retrier_is_a_second() {
        let short = definitions().map(|definition| shorten(&definition));
        let retriers = short
            .iter()
            .flat_map(states)
            .filter_map(|state| state["Retry"].as_array())
            .flatten();
        let waits: Vec<_> = retriers
            .filter(|retrier| {
                retrier["MaxAttempts"] != 0 && retrier["ErrorEquals"] != json!([KEPT])
            })
            .map(|retrier| {
                (
                    retrier["IntervalSeconds"].clone(),
                    retrier["BackoffRate"].clone(),
                )
            })
            .collect();
        assert!(!waits.is_empty());
        assert!(
            waits.iter().all(|wait| *wait == (json!(1), json!(1))),
            "{waits:?}"
        );
    }
}
