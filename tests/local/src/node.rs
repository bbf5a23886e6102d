//! Node packages: the CDK app's, and the one that the model check evaluates expressions with.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::process::Tool;
use crate::stamp::{self, Fingerprint};
use crate::{steps, workspace};

/// A program that the CDK app's packages bring, such as `cdk` or `tsc`, to be run in the CDK app's directory.
pub fn tool(name: &str) -> Tool {
    Tool::new(bin_dir().join(name)).current_dir(workspace::cdk_dir())
}

fn bin_dir() -> PathBuf {
    workspace::cdk_dir().join("node_modules/.bin")
}

/// Installs the CDK app's packages, if they are not there.
///
/// # Errors
/// npm fails.
pub async fn install(logs: &Path) -> Result<()> {
    let log = logs.join("npm.log");
    install_in(&workspace::cdk_dir(), "Node packages (the CDK)", &log).await
}

/// Installs the model check's JSONata, if it is not there.
///
/// # Errors
/// npm fails.
pub async fn install_jsonata(logs: &Path) -> Result<()> {
    let directory = workspace::root().join("tests/model/jsonata");
    let log = logs.join("npm-jsonata.log");
    install_in(&directory, "Node packages (JSONata)", &log).await
}

/// Installs the packages that a directory's `package-lock.json` names.
async fn install_in(directory: &Path, name: &str, log: &Path) -> Result<()> {
    let stamp_file = directory.join("node_modules/.installed");
    let fingerprint = Fingerprint::default()
        .with_file(&directory.join("package.json"))?
        .with_file(&directory.join("package-lock.json"))?
        .finish();
    if stamp::is_current(&stamp_file, &fingerprint) {
        steps::skipped(name, "up to date");
        return Ok(());
    }
    steps::step(name, async {
        Tool::new("npm")
            .args(["ci", "--no-audit", "--no-fund", "--no-progress"])
            .current_dir(directory)
            .logged(log)
            .await?;
        stamp::write(&stamp_file, &fingerprint)
    })
    .await
}
