//! The deployed definitions with their waits shortened, and nothing else changed: those of Retriers and Wait states, and
//! how long the answer to a request may be on its way.
//!
//! One wait is kept: for the lease of a process that died while it created a customer. Nothing shortens a lease.
//!
//! A retry that waits for minutes proves no more than one that waits for a second, but the matrix would take days. The
//! number of attempts stays, and so do all time-outs: a task has the time it has in production. So do the times that
//! conditions compare, such as how long a refund may be refused.

use serde_json::{Value, json};

/// The error whose Retrier waits for something that takes its time whatever the waits are.
const KEPT: &str = "CustomerBeingCreated";
/// The variable that says how long after a request its answer may be on its way. Until then it is not judged whether
/// the request took effect, so it is a wait.
const ANSWERS_WITHIN: &str = "answersWithin";

/// The definition with a wait of one second, the shortest there is, in every Retrier but one and in every Wait state, and
/// for answers that are on their way.
///
/// # Panics
/// It is no definition.
#[must_use]
pub fn shorten(definition: &Value) -> Value {
    let mut short = definition.clone();
    let states = short["States"].as_object_mut().expect("States");
    for wait in states
        .values_mut()
        .filter(|state| state["Type"] == "Wait")
        .filter_map(|state| state.get_mut("Seconds"))
    {
        // A number, or an expression.
        *wait = json!(1);
    }
    for within in states
        .values_mut()
        .filter_map(|state| state.get_mut("Assign")?.get_mut(ANSWERS_WITHIN))
    {
        *within = json!(1);
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
                .filter(|(name, value)| {
                    !WAITS.contains(&name.as_str())
                        && !(*name == ANSWERS_WITHIN && value.is_number())
                })
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
            let short = shorten(&definition);
            assert_ne!(definition, short, "nothing was shortened");
            assert_eq!(without_waits(&definition), without_waits(&short));
            // The names of the waits stand nowhere but in Retriers and Wait states, and where the variable is set.
            for state in states(&definition) {
                let mut rest = state.clone();
                let fields = rest.as_object_mut().expect("a state");
                fields.remove("Retry");
                if state["Type"] == "Wait" {
                    fields.remove("Seconds");
                }
                if let Some(assigned) = fields.get_mut("Assign") {
                    let assigned = assigned.as_object_mut().expect("variables");
                    assigned.remove(ANSWERS_WITHIN);
                }
                assert_eq!(rest, without_waits(&rest));
            }
        }
    }

    #[test]
    fn every_wait_state_waits_for_a_second_whatever_it_waited_for() {
        let [_, refund] = definitions();
        let waits = |definition: &Value| -> Vec<Value> {
            let waiting = states(definition).filter(|state| state["Type"] == "Wait");
            waiting.map(|state| state["Seconds"].clone()).collect()
        };
        let before = waits(&refund);
        assert!(before.iter().any(Value::is_number), "{before:?}");
        assert!(before.iter().any(Value::is_string), "{before:?}");
        assert_eq!(waits(&shorten(&refund)), vec![json!(1); before.len()]);
    }

    #[test]
    fn an_answer_is_on_its_way_for_a_second() {
        let [_, refund] = definitions();
        let within = |definition: &Value| -> Vec<Value> {
            let set = |state: &Value| state["Assign"].get(ANSWERS_WITHIN).cloned();
            states(definition).filter_map(set).collect()
        };
        assert_eq!(within(&refund), [json!(300)]);
        assert_eq!(within(&shorten(&refund)), [json!(1)]);
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
