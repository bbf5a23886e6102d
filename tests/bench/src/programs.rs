//! What is measured, built: the functions as they are shipped, the function that does nothing, and the relays that stand in
//! for the functions where the local AWS runs them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use payment3_harness::workspace;
use payment3_stack::process::Tool;
use payment3_stack::{functions, progress};

use crate::sandbox::Program;

/// The package of the function that does nothing.
const NOOP: &str = "payment3-noop";
/// The relay, a binary of this package.
const RELAY: &str = "payment3-relay";
/// The file beside a relay that tells it where the harness is.
const ADDRESS_FILE: &str = "harness";

/// The functions, by their short names: `pay-order`.
#[derive(Debug, Clone)]
pub struct Shipped {
    /// Each function's `bootstrap`.
    pub bootstraps: BTreeMap<String, PathBuf>,
    /// The function that does nothing.
    pub noop: PathBuf,
}

impl Shipped {
    /// Builds them, with the profile that deployments use.
    ///
    /// # Errors
    /// The build fails.
    pub async fn build(logs: &Path) -> Result<Self> {
        functions::build_shipped(logs).await?;
        let mut bootstraps = BTreeMap::new();
        let directory = workspace::shipped_dir();
        for entry in fs::read_dir(&directory).context("the functions were just staged")? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            bootstraps.insert(name, entry.path().join("bootstrap"));
        }
        let noop = progress::step("The function that does nothing", async {
            let build = Tool::cargo().args(["build", "--release", "--package", NOOP]);
            let manifest = workspace::root().join("tests/bench/noop/Cargo.toml");
            let log = logs.join("build-noop.log");
            let mut built = functions::binaries(build, &manifest, &log).await?;
            built.remove(NOOP).context("the no-op is a binary")
        })
        .await?;
        Ok(Self { bootstraps, noop })
    }

    /// The function that does nothing, as a program.
    pub fn noop(&self) -> Program {
        Program {
            name: NOOP.to_owned(),
            executable: self.noop.clone(),
            arguments: Vec::new(),
            directory: workspace::root(),
            settings: BTreeMap::new(),
        }
    }
}

/// Builds the relay, and lays it out in place of each of the functions; they find the harness at `address`.
///
/// # Errors
/// The build fails, or a file cannot be written.
pub async fn lay_out_relays(
    shipped: &Shipped,
    address: &str,
    directory: &Path,
    logs: &Path,
) -> Result<()> {
    progress::step("Relays", async {
        let build = Tool::cargo().args(["build", "--package", env!("CARGO_PKG_NAME")]);
        let build = build.args(["--bin", RELAY]);
        let manifest = workspace::root().join("tests/bench/Cargo.toml");
        let built = functions::binaries(build, &manifest, &logs.join("build-relay.log")).await?;
        let relay = built.get(RELAY).context("the relay is a binary")?;
        for name in shipped.bootstraps.keys() {
            let home = directory.join(name);
            fs::create_dir_all(&home)
                .and_then(|()| fs::copy(relay, home.join("bootstrap")))
                .and_then(|_| fs::write(home.join(ADDRESS_FILE), address))
                .with_context(|| format!("cannot write {}", workspace::shown(&home)))?;
        }
        Ok(())
    })
    .await
}
