//! Installs Python packages, each set in a separate virtual environment.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use payment3_harness::workspace;

use crate::fingerprint::{self, Fingerprint};
use crate::process::Tool;
use crate::progress;

/// Packages that are installed together. The list is complete, and all versions are pinned.
#[derive(Debug, Clone, Copy)]
pub struct Packages {
    /// Their name in messages.
    name: &'static str,
    /// The directory of the virtual environment in [`workspace::local_dir`].
    directory: &'static str,
    /// The requirements file, relative to the repository.
    file: &'static str,
    /// The content of the requirements file.
    requirements: &'static str,
}

/// The local AWS and the AWS command line.
pub const LOCAL_AWS: Packages = Packages {
    name: "Python packages (the local AWS and the AWS command line)",
    directory: workspace::VENV,
    file: "tests/stack/requirements.txt",
    requirements: include_str!("../requirements.txt"),
};

/// The baseline of the benchmark: five of the functions written in Python.
pub const BASELINE: Packages = Packages {
    name: "Python packages (the baseline)",
    directory: "venv-baseline",
    file: "tests/bench/baseline/requirements.txt",
    requirements: include_str!("../../bench/baseline/requirements.txt"),
};

/// schemathesis, which checks the API against its OpenAPI document.
pub const SCHEMATHESIS: Packages = Packages {
    name: "Python packages (schemathesis)",
    directory: "venv-api",
    file: "tests/e2e/api/requirements.txt",
    requirements: include_str!("../../e2e/api/requirements.txt"),
};

/// The merchant's published SDK, and the reference verifier for signatures of events.
pub const CLIENTS: Packages = Packages {
    name: "Python packages (the merchant's clients)",
    directory: "venv-clients",
    file: "tests/e2e/clients/requirements.txt",
    requirements: include_str!("../../e2e/clients/requirements.txt"),
};

/// cfn-lint, which checks the CloudFormation template against the specification.
pub const CFN_LINT: Packages = Packages {
    name: "Python packages (cfn-lint)",
    directory: "venv-cfn",
    file: "tests/stack/cfn/requirements.txt",
    requirements: include_str!("../cfn/requirements.txt"),
};

/// The Python that runs the local AWS.
pub fn python() -> PathBuf {
    LOCAL_AWS.program("python")
}

/// The AWS command line.
pub fn aws() -> PathBuf {
    LOCAL_AWS.program("aws")
}

impl Packages {
    /// The path of a program from these packages.
    pub fn program(&self, name: &str) -> PathBuf {
        self.venv().join("bin").join(name)
    }

    fn venv(&self) -> PathBuf {
        workspace::local_dir().join(self.directory)
    }

    /// Creates the virtual environment with the Python `base`, unless it is up to date.
    ///
    /// # Errors
    /// The environment cannot be created, or the packages cannot be installed.
    pub async fn install(&self, base: &str, logs: &Path) -> Result<()> {
        let venv = self.venv();
        let stamp_file = venv.join("installed");
        let version = Tool::new(base)
            .args(["-c", "import sys; print(sys.version, sys.base_prefix)"])
            .captured(&logs.join("python.log"))
            .await?;
        let fingerprint = Fingerprint::default()
            .with("requirements", self.requirements)
            .with("python", version)
            .with("venv", venv.to_string_lossy().as_bytes())
            .finish();
        if fingerprint::is_current(&stamp_file, &fingerprint) && self.program("python").exists() {
            progress::skipped(self.name, "up to date");
            return Ok(());
        }
        progress::step(self.name, async {
            self.fill(base, logs).await?;
            fingerprint::write(&stamp_file, &fingerprint)
        })
        .await
    }

    async fn fill(&self, base: &str, logs: &Path) -> Result<()> {
        let venv = self.venv();
        if venv.exists() {
            fs::remove_dir_all(&venv)
                .with_context(|| format!("cannot remove {}", workspace::shown(&venv)))?;
        }
        Tool::new(base)
            .args(["-m", "venv"])
            .args([&venv])
            .logged(&logs.join(format!("{}.log", self.directory)))
            .await?;
        Tool::new(self.program("python"))
            .args([
                "-m",
                "pip",
                "install",
                "--no-deps",
                "--no-input",
                "--progress-bar",
                "off",
            ])
            .args(["--disable-pip-version-check", "--requirement", self.file])
            .logged(&logs.join(format!("{}-pip.log", self.directory)))
            .await
    }
}
