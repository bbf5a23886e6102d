//! The Python environment with the local AWS and the AWS command line.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::process::Tool;
use crate::stamp::{self, Fingerprint};
use crate::{steps, workspace};

/// What is installed, complete and pinned.
const REQUIREMENTS: &str = include_str!("../requirements.txt");

/// The environment's Python.
pub fn python() -> PathBuf {
    workspace::venv_dir().join("bin/python")
}

/// The environment's AWS command line.
pub fn aws() -> PathBuf {
    workspace::venv_dir().join("bin/aws")
}

/// Makes the environment, if it is not there as the requirements say.
///
/// # Errors
/// The environment cannot be made or filled.
pub async fn install(base: &str, logs: &Path) -> Result<()> {
    let name = "Python packages (the local AWS and the AWS command line)";
    let venv = workspace::venv_dir();
    let stamp_file = venv.join("installed");
    let version = Tool::new(base)
        .args(["-c", "import sys; print(sys.version, sys.base_prefix)"])
        .captured(&logs.join("python.log"))
        .await?;
    let fingerprint = Fingerprint::default()
        .with("requirements", REQUIREMENTS)
        .with("python", version)
        .with("venv", venv.to_string_lossy().as_bytes())
        .finish();
    if stamp::is_current(&stamp_file, &fingerprint) && python().exists() {
        steps::skipped(name, "up to date");
        return Ok(());
    }
    steps::step(name, async {
        if venv.exists() {
            fs::remove_dir_all(&venv)
                .with_context(|| format!("cannot remove {}", workspace::shown(&venv)))?;
        }
        Tool::new(base)
            .args(["-m", "venv"])
            .args([&venv])
            .logged(&logs.join("venv.log"))
            .await?;
        Tool::new(python())
            .args([
                "-m",
                "pip",
                "install",
                "--no-deps",
                "--no-input",
                "--progress-bar",
                "off",
            ])
            .args([
                "--disable-pip-version-check",
                "--requirement",
                "tests/local/requirements.txt",
            ])
            .logged(&logs.join("pip.log"))
            .await?;
        stamp::write(&stamp_file, &fingerprint)
    })
    .await
}
