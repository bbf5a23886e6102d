//! Node packages, as the lock files name them.

use std::path::{Path, PathBuf};

use anyhow::Result;
use payment3_harness::workspace;

use crate::fingerprint::{self, Fingerprint};
use crate::process::Tool;
use crate::progress;

/// The packages of one `package.json`.
#[derive(Debug, Clone, Copy)]
pub struct Packages {
    /// What they are for, in messages.
    name: &'static str,
    /// Where the file is, from the repository's top.
    directory: &'static str,
    /// The log of their installation.
    log: &'static str,
}

/// The CDK app's.
pub const CDK: Packages = Packages {
    name: "Node packages (the CDK)",
    directory: "cdk",
    log: "npm.log",
};

/// Those that the pages of the local environment use in the browser.
pub const UI: Packages = Packages {
    name: "Node packages (the pages)",
    directory: "tests/shop/ui",
    log: "npm-ui.log",
};

/// The one that the model check evaluates expressions with.
pub const JSONATA: Packages = Packages {
    name: "Node packages (JSONata)",
    directory: "tests/model/jsonata",
    log: "npm-jsonata.log",
};

/// Those that drive a browser in the tests.
pub const BROWSER_TESTS: Packages = Packages {
    name: "Node packages (the browser tests)",
    directory: "tests/e2e/browser",
    log: "npm-browser.log",
};

impl Packages {
    /// Where `package.json` is, and `node_modules` beside it.
    pub fn directory(self) -> PathBuf {
        workspace::root().join(self.directory)
    }

    /// Installs what `package-lock.json` names, if it is not there.
    ///
    /// # Errors
    /// npm fails.
    pub async fn install(self, logs: &Path) -> Result<()> {
        let directory = self.directory();
        let stamp_file = directory.join("node_modules/.installed");
        let fingerprint = Fingerprint::default()
            .with_file(&directory.join("package.json"))?
            .with_file(&directory.join("package-lock.json"))?
            .finish();
        if fingerprint::is_current(&stamp_file, &fingerprint) {
            progress::skipped(self.name, "up to date");
            return Ok(());
        }
        progress::step(self.name, async {
            Tool::new("npm")
                .args(["ci", "--no-audit", "--no-fund", "--no-progress"])
                .current_dir(&directory)
                .logged(&logs.join(self.log))
                .await?;
            fingerprint::write(&stamp_file, &fingerprint)
        })
        .await
    }
}

/// A program that the CDK app's packages bring, such as `cdk` or `tsc`, to be run in the CDK app's directory.
pub fn tool(name: &str) -> Tool {
    let directory = CDK.directory();
    Tool::new(directory.join("node_modules/.bin").join(name)).current_dir(directory)
}
