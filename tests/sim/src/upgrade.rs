//! Upgrades: the present functions must serve what began with the definitions of the last release.

use anyhow::{Context, Result, ensure};
use payment3_harness::flow::Flow;
use payment3_harness::player::Start;
use payment3_model::Machine;
use serde_json::json;
use tokio::time::sleep;

use crate::functions::Functions;
use crate::items;
use crate::release::{Definitions, Given, directory, inputs_file};
use crate::run::in_a_calm_world;
use crate::scenario::{How, play};
use crate::time::HOUR;
use crate::world::World;

/// Whether the definitions are still those of the last release: then nothing can differ.
///
/// # Errors
/// A definition cannot be read.
pub fn is_current() -> Result<bool> {
    for machine in Machine::ALL {
        if Definitions::Current.text(machine)? != Definitions::Released.text(machine)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Makes the present definitions and functions the last release: plays every flow, and writes what each state gives to
/// its function. To be called when production has been deployed.
///
/// # Errors
/// A flow does not end as it must, or a file cannot be written.
pub fn release() -> Result<()> {
    let mut all = Vec::new();
    for flow in Flow::ALL {
        all.extend(play(flow, Start::Warm, None, How::default())?.given);
    }
    all.extend(in_a_calm_world(stuck)?);
    let missing = not_entered(&all, Definitions::Current)?;
    ensure!(missing.is_empty(), "nothing enters {}", missing.join(", "));
    // What a state gave first.
    all.sort_by(|one, other| one.place().cmp(&other.place()));
    all.dedup_by(|later, first| later.place() == first.place());
    in_a_calm_world(async |world| {
        for given in &mut all {
            let read = world.0.functions.read(&given.function, given.input.clone());
            given.unread = read.map_err(anyhow::Error::msg)?;
        }
        Ok(())
    })?;
    for machine in Machine::ALL {
        let file = directory().join(format!("{machine}.asl.json"));
        std::fs::write(&file, Definitions::Current.text(machine)?)
            .with_context(|| file.display().to_string())?;
    }
    let text = serde_json::to_string_pretty(&all)? + "\n";
    std::fs::write(inputs_file(), text).with_context(|| inputs_file().display().to_string())
}

/// What a refund that cannot go on gives to the functions: it is paid by a charge that has no record. No flow has one.
async fn stuck(world: &World) -> Result<Vec<Given>> {
    let paid = json!({
        "orderId": "482500000999", "chargeId": "chrg_test_of_nobody", "status": "paid", "amountSatang": 150_000,
        "updatedAt": "2026-03-01T02:00:00.000Z",
    });
    let table = &world.0.names.check_status;
    world.0.tables.store(table, &items::attributes(&paid))?;
    let input = json!({"refundId": "rf_scenario_999", "orderId": "482500000999"});
    world.start_refund("rf_scenario_999", &input);
    while world.0.step_functions.running() > 0 {
        sleep(HOUR).await;
    }
    Ok(world.0.given.all())
}

/// The states that call a function and of which none of these inputs is.
///
/// # Errors
/// A definition cannot be read.
pub fn not_entered(inputs: &[Given], definitions: Definitions) -> Result<Vec<String>> {
    let mut missing = Vec::new();
    for machine in Machine::ALL {
        let states = definitions.states(machine)?.into_iter();
        let is_of = |given: &Given, state: &String| {
            given.place() == (machine.to_string().as_str(), state.as_str())
        };
        missing.extend(states.filter(|state| !inputs.iter().any(|given| is_of(given, state))));
    }
    Ok(missing)
}

/// What the last release's states gave to their functions.
///
/// # Errors
/// The file is not as this version reads it.
pub fn released_inputs() -> Result<Vec<Given>> {
    let file = inputs_file();
    let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    serde_json::from_str(&text).with_context(|| file.display().to_string())
}

/// What the present functions do not read of what the last release's states give them.
///
/// # Errors
/// The simulation cannot be built.
pub fn not_read(inputs: &[Given]) -> Result<Vec<String>> {
    in_a_calm_world(async |world| {
        let problems = inputs.iter().map(|given| wrong(&world.0.functions, given));
        Ok(problems.flatten().collect())
    })
}

fn wrong(functions: &Functions, given: &Given) -> Option<String> {
    let Given {
        machine,
        state,
        function,
        unread,
        input,
    } = given;
    let problem = match functions.read(function, input.clone()) {
        Err(problem) => problem,
        Ok(now) => {
            let lost: Vec<_> = now
                .into_iter()
                .filter(|name| !unread.contains(name))
                .collect();
            if lost.is_empty() {
                return None;
            }
            format!("it does not read {} any more", lost.join(", "))
        }
    };
    Some(format!(
        "{function} cannot serve {state} of the last release's {machine} machine: {problem}. Executions that began with \
         it run for days. Let {function} read the old name, too (#[serde(alias)]), until the next release has been in \
         production for two weeks; or give what is new another function"
    ))
}
