//! The CDK app's Node packages.

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

/// Installs the packages that `package-lock.json` names, if they are not there.
///
/// # Errors
/// npm fails.
pub async fn install(logs: &Path) -> Result<()> {
    let name = "Node packages (the CDK)";
    let cdk = workspace::cdk_dir();
    let stamp_file = cdk.join("node_modules/.installed");
    let fingerprint = Fingerprint::default()
        .with_file(&cdk.join("package.json"))?
        .with_file(&cdk.join("package-lock.json"))?
        .finish();
    if stamp::is_current(&stamp_file, &fingerprint) {
        steps::skipped(name, "up to date");
        return Ok(());
    }
    steps::step(name, async {
        Tool::new("npm")
            .args(["ci", "--no-audit", "--no-fund", "--no-progress"])
            .current_dir(&cdk)
            .logged(&logs.join("npm.log"))
            .await?;
        stamp::write(&stamp_file, &fingerprint)
    })
    .await
}
