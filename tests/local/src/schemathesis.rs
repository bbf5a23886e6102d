//! schemathesis: sends requests to the API that docs/openapi.yaml allows or forbids, and checks every answer against
//! it. Its configuration is `tests/e2e/api/schemathesis.toml`.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use payment3_harness::outputs::Outputs;
use payment3_harness::shop_api::NewOrder;
use payment3_harness::shopper::{self, CARD_APPROVED};
use payment3_harness::{random, workspace};
use payment3_stack::lock::Lock;
use payment3_stack::prerequisites;
use payment3_stack::process::Tool;
use payment3_stack::python::SCHEMATHESIS;

/// Installs schemathesis, unless it is installed already.
///
/// # Errors
/// Python is missing, or the packages cannot be installed.
pub async fn install(logs: &Path) -> Result<()> {
    let programs = prerequisites::programs()?;
    let _shared = Lock::wait(&workspace::local_dir()).await?;
    SCHEMATHESIS.install(&programs.python, logs).await
}

/// Runs it against the API of these outputs. `directory` is for its input and output files.
///
/// # Errors
/// An answer is not as documented, or the run cannot be prepared.
pub async fn run(outputs: &Outputs, directory: &Path) -> Result<()> {
    fs::create_dir_all(directory)
        .with_context(|| format!("cannot create {}", workspace::shown(directory)))?;
    let (order, charge) = start_payment(outputs).await?;
    write_dictionary(&directory.join("orders.dict"), &order)?;
    write_dictionary(&directory.join("charges.dict"), &charge)?;
    Tool::new(SCHEMATHESIS.program("schemathesis"))
        .args(["--config-file"])
        .args([workspace::root().join("tests/e2e/api/schemathesis.toml")])
        .args(["run"])
        .args([workspace::api_document()])
        .args(["--url", &outputs.api_url])
        .env("NO_PROXY", "127.0.0.1,localhost")
        .current_dir(directory)
        .shown()
        .await
}

/// Starts a payment. Returns its order and its charge.
async fn start_payment(outputs: &Outputs) -> Result<(String, String)> {
    let new = NewOrder::of(random::id("usr_"));
    let order = shopper::order(outputs, &new).await?;
    let token = shopper::card_token(outputs, CARD_APPROVED).await?;
    let form = shopper::pass_three_ds(outputs, &order, &token).await?;
    Ok((order.order_id, form.charge_id()?.to_owned()))
}

/// Writes a dictionary of one word, in the format of fuzzers.
fn write_dictionary(file: &Path, word: &str) -> Result<()> {
    fs::write(file, format!("\"{word}\"\n"))
        .with_context(|| format!("cannot write {}", workspace::shown(file)))
}
