//! Installs Node packages from their lock files.

use std::path::{Path, PathBuf};

use anyhow::Result;
use payment3_harness::workspace;

use crate::fingerprint::{self, Fingerprint};
use crate::process::Tool;
use crate::progress;

/// The packages of one `package.json`.
#[derive(Debug, Clone, Copy)]
pub struct Packages {
    /// Their name in messages.
    name: &'static str,
    /// The directory of `package.json`, relative to the repository.
    directory: &'static str,
    /// The file name of the installation log.
    log: &'static str,
}

/// The packages of the CDK app.
pub const CDK: Packages = Packages {
    name: "Node packages (the CDK)",
    directory: "cdk",
    log: "npm.log",
};

/// The packages that the pages of the demo shop use in the browser.
pub const UI: Packages = Packages {
    name: "Node packages (the pages)",
    directory: "tests/shop/ui",
    log: "npm-ui.log",
};

/// The package with which the model check evaluates expressions.
pub const JSONATA: Packages = Packages {
    name: "Node packages (JSONata)",
    directory: "tests/model/jsonata",
    log: "npm-jsonata.log",
};

/// The packages that control a browser in the tests.
pub const BROWSER_TESTS: Packages = Packages {
    name: "Node packages (the browser tests)",
    directory: "tests/e2e/browser",
    log: "npm-browser.log",
};

impl Packages {
    /// The directory of `package.json` and `node_modules`.
    pub fn directory(self) -> PathBuf {
        workspace::root().join(self.directory)
    }

    /// Installs the packages from `package-lock.json`, unless they are installed already.
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

/// A program from the CDK app's packages, such as `cdk` or `tsc`. It runs in the directory of the CDK app.
pub fn tool(name: &str) -> Tool {
    let directory = CDK.directory();
    Tool::new(directory.join("node_modules/.bin").join(name))
        .current_dir(directory)
        // Node's version is the machine's affair here: what matters is what is deployed.
        .env("NODE_NO_WARNINGS", "1")
}
