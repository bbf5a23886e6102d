//! The model check (`cargo local test model`): that the definition holds, and that the check would notice if it did not.

mod mutations;

use std::collections::BTreeMap;

use payment3_model::{Definition, Policy, Property, Report, Treatment, Walker, file, is_own};
use serde_json::{Value, json};

fn text() -> String {
    std::fs::read_to_string(file()).expect("the definition")
}

fn definition() -> Value {
    serde_json::from_str(&text()).expect("JSON")
}

#[test]
#[ignore = "needs the JSONata package: cargo local test model"]
fn the_definition_holds_under_every_policy() {
    let mut walker = Walker::new().expect("a walker");
    let mut violations = Vec::new();
    let mut treatments = BTreeMap::new();
    println!();
    for policy in Policy::ALL {
        let definition = Definition::read(&text(), policy).expect("a definition");
        let report = walker.walk(&definition, None).expect("walked");
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
        report.paths.calm,
        report.nodes,
        report.took.as_secs_f64(),
    );
}

/// Each task's own errors, a line each; those that every task may meet together, where they are treated alike.
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
fn every_broken_definition_is_found_out() {
    let mut walker = Walker::new().expect("a walker");
    let unnoticed = mutations::unnoticed(&mut walker, &definition());
    assert!(unnoticed.is_empty(), "{}", unnoticed.join("\n"));
}

#[test]
fn every_property_has_something_that_breaks_it() {
    for property in Property::ALL {
        let broken = mutations::properties().any(|broken| broken == property);
        // What is never reached is a test of its own.
        let expected = property != Property::EverythingIsReached;
        assert_eq!(broken, expected, "{property:?}");
    }
}

#[test]
#[ignore = "needs the JSONata package: cargo local test model"]
fn what_is_never_reached_is_named() {
    let mut broken = definition();
    let states = &mut broken["States"];
    states["Nowhere"] = states["AlreadyProcessed"].clone();
    let never = json!({"Comment": "never", "Condition": false, "Next": "CloseRecord"});
    let choices = states["Outcome"]["Choices"].as_array_mut();
    choices.expect("choices").push(never);
    states["AddCard"]["Catch"][0]["ErrorEquals"] = json!(["CardNotSaved", "CardLost"]);
    let definition = Definition::read(&broken.to_string(), Policy::EveryOrder).expect("valid");
    let mut walker = Walker::new().expect("a walker");
    let report = walker.walk(&definition, None).expect("walked");
    let missing: Vec<_> = report.violations.iter().map(ToString::to_string).collect();
    assert_eq!(
        missing,
        ["AddCard: CardLost", "Nowhere", "Outcome: never"]
            .map(|what| format!("{}: {what}", Property::EverythingIsReached))
    );
}
