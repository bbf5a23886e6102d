//! The model check (`cargo local test model`): the definition keeps all properties, and the check finds broken
//! definitions.

mod mutations;

use std::collections::BTreeMap;

use payment3_model::{
    Definition, Explorer, Machine, Policy, Property, Report, Treatment, file, is_own,
};
use serde_json::{Value, json};

fn text() -> String {
    std::fs::read_to_string(file(Machine::Payment)).expect("the definition")
}

fn definition() -> Value {
    serde_json::from_str(&text()).expect("JSON")
}

#[test]
#[ignore = "needs the JSONata package: cargo local test model"]
fn the_definition_keeps_all_properties_under_every_policy() {
    let mut explorer = Explorer::new().expect("a explorer");
    let mut violations = Vec::new();
    let mut treatments = BTreeMap::new();
    println!();
    for policy in Policy::ALL {
        let definition = Definition::read(&text(), policy).expect("a definition");
        let report = explorer.explore(&definition, None).expect("explored");
        print_size(policy, &report);
        treatments.extend(report.treatments);
        violations.extend(
            report
                .violations
                .iter()
                .map(|found| format!("\n{policy}: {found}")),
        );
    }
    print_treatments(&treatments);
    assert!(violations.is_empty(), "violations:{}", violations.concat());
}

fn print_size(policy: Policy, report: &Report) {
    println!(
        "{policy:11} {} paths, {} of them without a retry: {} nodes, {:.1} s",
        report.paths.all,
        report.paths.first_try,
        report.nodes,
        report.took.as_secs_f64(),
    );
}

/// Prints the own errors of each task, one per line. The errors that every task may get are grouped by treatment.
fn print_treatments(treatments: &BTreeMap<(String, String), Treatment>) {
    println!("\nstate | error | tries | end");
    let mut others: BTreeMap<&Treatment, BTreeMap<&str, Vec<&str>>> = BTreeMap::new();
    for ((state, error), treatment) in treatments {
        if is_own(error) {
            println!("{state} | {error} | {treatment}");
        } else {
            let states = others.entry(treatment).or_default();
            states.entry(error).or_default().push(state);
        }
    }
    for (treatment, errors) in others {
        println!("\n{treatment}:");
        for (error, states) in errors {
            println!("  {error} in {} states", states.len());
        }
    }
    println!();
}

#[test]
#[ignore = "needs the JSONata package: cargo local test model"]
fn every_broken_definition_is_found() {
    let mut explorer = Explorer::new().expect("a explorer");
    let unnoticed = mutations::unnoticed(&mut explorer, &definition());
    assert!(unnoticed.is_empty(), "{}", unnoticed.join("\n"));
}

#[test]
fn every_property_is_broken_by_a_mutation() {
    for property in Property::ALL {
        let broken = mutations::properties().any(|broken| broken == property);
        // Unreached parts have a separate test.
        let expected = property != Property::EverythingIsReached;
        assert_eq!(broken, expected, "{property:?}");
    }
}

#[test]
#[ignore = "needs the JSONata package: cargo local test model"]
fn unreached_parts_are_named() {
    let mut broken = definition();
    let states = &mut broken["States"];
    states["Nowhere"] = states["AlreadyProcessed"].clone();
    let never = json!({"Comment": "never", "Condition": false, "Next": "CloseRecord"});
    let choices = states["Outcome"]["Choices"].as_array_mut();
    choices.expect("choices").push(never);
    states["AddCard"]["Catch"][0]["ErrorEquals"] = json!(["CardNotSaved", "CardLost"]);
    let definition = Definition::read(&broken.to_string(), Policy::EveryOrder).expect("valid");
    let mut explorer = Explorer::new().expect("a explorer");
    let report = explorer.explore(&definition, None).expect("explored");
    let missing: Vec<_> = report.violations.iter().map(ToString::to_string).collect();
    assert_eq!(
        missing,
        ["AddCard: CardLost", "Nowhere", "Outcome: never"]
            .map(|what| format!("{}: {what}", Property::EverythingIsReached))
    );
}
