//! The model check (`cargo local test model`): the definition keeps all properties, and the check finds broken
//! definitions.

mod mutations;

use std::collections::BTreeMap;

use payment3_model::{
    Definition, Explorer, Machine, Policy, Property, Report, Treatment, file, is_own,
};
use serde_json::{Value, json};

fn text(machine: Machine) -> String {
    std::fs::read_to_string(file(machine)).expect("the definition")
}

fn definition(machine: Machine) -> Value {
    serde_json::from_str(&text(machine)).expect("JSON")
}

#[test]
#[ignore = "needs the JSONata package: cargo local test model"]
fn the_definition_keeps_all_properties_under_every_policy() {
    let mut explorer = Explorer::new(Machine::Payment).expect("a explorer");
    let mut violations = Vec::new();
    let mut treatments = BTreeMap::new();
    println!();
    for policy in Policy::ALL {
        let text = text(Machine::Payment);
        let definition = Definition::read(&text, policy).expect("a definition");
        let report = explorer.explore(&definition, None).expect("explored");
        print_size(&policy.to_string(), &report);
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

#[test]
#[ignore = "needs the JSONata package: cargo local test model"]
fn the_refund_machine_keeps_all_properties() {
    let mut explorer = Explorer::new(Machine::Refund).expect("a explorer");
    let definition = Definition::of_the_repository(Machine::Refund).expect("a definition");
    let report = explorer.explore(&definition, None).expect("explored");
    println!();
    print_size("refunds", &report);
    print_treatments(&report.treatments);
    let violations = report.violations.iter();
    let violations: String = violations.map(|found| format!("\n{found}")).collect();
    assert!(violations.is_empty(), "violations:{violations}");
}

fn print_size(of: &str, report: &Report) {
    let paths = report.paths.map_or("with loops".to_owned(), |paths| {
        let (all, first_try) = (paths.all, paths.first_try);
        format!("{all} paths, {first_try} of them without a retry")
    });
    println!(
        "{of:11} {paths}: {} nodes, {} steps, {:.1} s",
        report.nodes,
        report.steps,
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
    let mut explorer = Explorer::new(Machine::Payment).expect("a explorer");
    let definition = definition(Machine::Payment);
    let unnoticed = mutations::unnoticed(&mut explorer, &definition, &mutations::PAYMENT);
    assert!(unnoticed.is_empty(), "{}", unnoticed.join("\n"));
}

#[test]
#[ignore = "needs the JSONata package: cargo local test model"]
fn every_broken_definition_of_refunds_is_found() {
    let mut explorer = Explorer::new(Machine::Refund).expect("a explorer");
    let definition = definition(Machine::Refund);
    let unnoticed = mutations::unnoticed(&mut explorer, &definition, &mutations::REFUND);
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
    let mut broken = definition(Machine::Payment);
    let states = &mut broken["States"];
    states["Nowhere"] = states["AlreadyProcessed"].clone();
    let never = json!({"Comment": "never", "Condition": false, "Next": "CloseRecord"});
    let choices = states["Outcome"]["Choices"].as_array_mut();
    choices.expect("choices").push(never);
    states["AddCard"]["Catch"][0]["ErrorEquals"] = json!(["CardNotSaved", "CardLost"]);
    let definition = Definition::read(&broken.to_string(), Policy::EveryOrder).expect("valid");
    let mut explorer = Explorer::new(Machine::Payment).expect("a explorer");
    let report = explorer.explore(&definition, None).expect("explored");
    let missing: Vec<_> = report.violations.iter().map(ToString::to_string).collect();
    assert_eq!(
        missing,
        ["AddCard: CardLost", "Nowhere", "Outcome: never"]
            .map(|what| format!("{}: {what}", Property::EverythingIsReached))
    );
}
