//! cargo-deny: the licences and sources of all crates, and those that must not be among them. What is allowed is decided in
//! `deny.toml`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::lock::Lock;
use crate::process::Tool;
use crate::stamp::{self, Fingerprint};
use crate::{steps, workspace};

/// The program's version.
const VERSION: &str = "0.20.2";

/// Compiles it, if it is not there: some minutes, once.
///
/// # Errors
/// The compilation fails.
pub async fn install(logs: &Path) -> Result<()> {
    let name = "cargo-deny";
    let home = home();
    let stamp_file = home.join("installed");
    let fingerprint = Fingerprint::default().with(name, VERSION).finish();
    let _shared = Lock::wait(&workspace::local_dir()).await?;
    if stamp::is_current(&stamp_file, &fingerprint) {
        steps::skipped(name, "up to date");
        return Ok(());
    }
    let build = home.join("build");
    steps::step(name, async {
        Tool::cargo()
            // Unoptimised, it is there in a third of the time, and still checks in seconds.
            .args(["install", "--locked", "--debug", "--no-default-features"])
            .args([&format!("{name}@{VERSION}"), "--force", "--root"])
            .args([&home])
            .env("CARGO_TARGET_DIR", &build)
            .logged(&logs.join("cargo-deny.log"))
            .await?;
        fs::remove_dir_all(&build)
            .with_context(|| format!("cannot remove {}", workspace::shown(&build)))?;
        stamp::write(&stamp_file, &fingerprint)
    })
    .await
}

/// Checks everything but the advisories, whose database is not in a package registry.
///
/// # Errors
/// A dependency is not as `deny.toml` wants it.
pub async fn run() -> Result<()> {
    Tool::new(home().join("bin/cargo-deny"))
        .args(["check", "licenses", "bans", "sources"])
        .shown()
        .await
}

fn home() -> PathBuf {
    workspace::local_dir().join("cargo-deny")
}
