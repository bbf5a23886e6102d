//! Runs `tests/e2e/clients` against a running environment: the merchant's published SDK, and the reference verifier of
//! webhooks.

use std::path::Path;

use anyhow::Result;
use payment3_harness::outputs::FILE_VARIABLE;
use payment3_harness::workspace;
use payment3_stack::lock::Lock;
use payment3_stack::prerequisites;
use payment3_stack::process::Tool;
use payment3_stack::python::CLIENTS;

/// Installs their packages, unless they are installed already.
///
/// # Errors
/// Python is missing, or the packages cannot be installed.
pub async fn install(logs: &Path) -> Result<()> {
    let programs = prerequisites::programs()?;
    let _shared = Lock::wait(&workspace::local_dir()).await?;
    CLIENTS.install(&programs.python, logs).await
}

/// Plays every flow in the environment of this `outputs.json`.
///
/// # Errors
/// A test fails.
pub async fn run(outputs_file: &Path) -> Result<()> {
    Tool::new(CLIENTS.program("python"))
        .args(["-m", "unittest", "--verbose"])
        .current_dir(workspace::root().join("tests/e2e/clients"))
        .env(FILE_VARIABLE, outputs_file)
        .env("NO_PROXY", "127.0.0.1,localhost")
        // Write no files into the sources.
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .shown()
        .await
}
