//! The baseline: five Python functions that invoke each other and do the same work (`tests/bench/baseline`).

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Result;
use payment3_harness::workspace;
use payment3_stack::{prerequisites, python};

use crate::api_gateway;
use crate::payment::{Shopfront, System};
use crate::programs::Programs;
use crate::sandbox::Program;
use crate::testbed::{Testbed, full_name, logs};

/// It takes the place of the branch in the functions' names.
const BRANCH: &str = "baseline";
/// The functions, and their Python modules.
const FUNCTIONS: [(&str, &str); 5] = [
    ("cardtoken", "cardtoken"),
    ("callback", "callback"),
    ("process-paid-order", "process_paid_order"),
    ("kbank-create-user", "kbank_create_user"),
    ("kbank-add-card", "kbank_add_card"),
];

/// Adds the five functions, with the same tables, secrets, bank and shop as ours. They are started as AWS starts
/// Python.
///
/// # Errors
/// Their packages cannot be installed.
pub async fn add_functions(testbed: &Testbed, programs: &Programs) -> Result<Shopfront> {
    let machine = prerequisites::programs()?;
    python::BASELINE.install(&machine.python, &logs()).await?;
    // They read the same settings as ours.
    let mut settings = BTreeMap::new();
    for name in programs.bootstraps.keys() {
        settings.extend(testbed.lambda.program(&full_name(name))?.settings);
    }
    settings.insert("BRANCH".to_owned(), BRANCH.to_owned());
    for (name, module) in FUNCTIONS {
        testbed.lambda.add(Program {
            name: function(name),
            executable: python::BASELINE.program("python"),
            arguments: ["-m", "awslambdaric", &format!("{module}.handler")]
                .map(str::to_owned)
                .into(),
            directory: directory(),
            settings: settings.clone(),
        });
    }
    let api_url = api_gateway::serve(&testbed.lambda, |path| match path {
        "/cardpayment" => Some(function("cardtoken")),
        "/callback" => Some(function("callback")),
        _ => None,
    })
    .await?;
    Ok(Shopfront::new(System::Baseline, &testbed.outputs, &api_url))
}

fn function(name: &str) -> String {
    format!("payment3-{name}-{BRANCH}")
}

fn directory() -> PathBuf {
    workspace::root().join("tests/bench/baseline")
}
