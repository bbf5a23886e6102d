//! Programs from the crates registry, each installed in a separate directory.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use payment3_harness::workspace;

use crate::fingerprint::{self, Fingerprint};
use crate::lock::Lock;
use crate::process::Tool;
use crate::progress;

/// A program that `cargo install` compiles.
#[derive(Debug, Clone, Copy)]
pub struct CargoProgram {
    /// The name of its crate and of its binary.
    name: &'static str,
    /// The exact version. It is built with the dependencies from its published lock file.
    version: &'static str,
}

/// Checks licences, bans and sources of all crates.
pub const CARGO_DENY: CargoProgram = CargoProgram {
    name: "cargo-deny",
    version: "0.20.2",
};

/// Builds and runs the fuzzer.
pub const CARGO_FUZZ: CargoProgram = CargoProgram {
    name: "cargo-fuzz",
    version: "0.13.2",
};

impl CargoProgram {
    /// The path of the program.
    pub fn path(&self) -> PathBuf {
        self.home().join("bin").join(self.name)
    }

    /// Compiles the program, unless it is installed already. This takes a few minutes.
    ///
    /// # Errors
    /// The compilation fails.
    pub async fn install(&self, logs: &Path) -> Result<()> {
        let Self { name, version } = self;
        let home = self.home();
        let stamp_file = home.join("installed");
        let fingerprint = Fingerprint::default().with(name, version).finish();
        // A separate lock: no other installation has to wait for this compilation.
        let _lock = Lock::wait(&home).await?;
        if fingerprint::is_current(&stamp_file, &fingerprint) {
            progress::skipped(name, "up to date");
            return Ok(());
        }
        let build = home.join("build");
        progress::step(name, async {
            Tool::cargo()
                // A build without optimisation and debug information takes a third of the time. The program is still
                // fast enough.
                .args(["install", "--locked", "--debug", "--no-default-features"])
                .args([&format!("{name}@{version}"), "--force", "--root"])
                .args([&home])
                .env("CARGO_TARGET_DIR", &build)
                .env("CARGO_PROFILE_DEV_DEBUG", "false")
                .logged(&logs.join(format!("{name}.log")))
                .await?;
            fs::remove_dir_all(&build)
                .with_context(|| format!("cannot remove {}", workspace::shown(&build)))?;
            fingerprint::write(&stamp_file, &fingerprint)
        })
        .await
    }

    fn home(&self) -> PathBuf {
        workspace::local_dir().join(self.name)
    }
}
