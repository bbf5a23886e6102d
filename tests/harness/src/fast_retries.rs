//! The deployed definition with its waits shortened, and nothing else changed.
//!
//! One wait is kept: for the lease of a process that died while it created a customer. Nothing shortens a lease.
//!
//! A retry that waits for minutes proves no more than one that waits for a second, but the matrix would take days. The
//! number of attempts stays, and so do all time-outs: a task has the time it has in production.

use serde_json::{Value, json};

/// The error whose Retrier waits for something that takes its time whatever the waits are.
const KEPT: &str = "CustomerBeingCreated";

/// The definition with a wait of one second in every Retrier but one, the shortest there is.
///
/// # Panics
/// It is no definition.
#[must_use]
pub fn shorten(definition: &Value) -> Value {
    let mut short = definition.clone();
    let states = short["States"].as_object_mut().expect("States");
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace;

    /// What may change in a Retrier: how long it waits between attempts.
    const WAITS: [&str; 3] = ["IntervalSeconds", "BackoffRate", "MaxDelaySeconds"];

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

    fn definition() -> Value {
        let text = std::fs::read_to_string(workspace::state_machine_file()).expect("the file");
        serde_json::from_str(&text).expect("JSON")
    }

    #[test]
    fn only_the_waits_of_retriers_are_touched() {
        let definition = definition();
        let short = shorten(&definition);
        assert_ne!(definition, short, "nothing was shortened");
        assert_eq!(without_waits(&definition), without_waits(&short));
        // The names of the waits stand nowhere but in Retriers.
        for state in definition["States"].as_object().expect("states").values() {
            let mut rest = state.clone();
            rest.as_object_mut().expect("a state").remove("Retry");
            assert_eq!(rest, without_waits(&rest));
        }
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
    fn every_other_wait_is_a_second() {
        let short = shorten(&definition());
        let retriers = short["States"]
            .as_object()
            .expect("states")
            .values()
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
