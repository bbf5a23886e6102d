//! Builds what is measured: the functions and the function that does nothing. Builds the relays, too, which the local
//! AWS runs in place of the functions.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use payment3_harness::workspace;
use payment3_stack::lock::Lock;
use payment3_stack::process::Tool;
use payment3_stack::{functions, progress};

use crate::sandbox::Program;

/// The package of the function that does nothing.
const NOOP: &str = "payment3-noop";
/// The relay, a binary of this package.
const RELAY: &str = "payment3-relay";
/// The file next to a relay with the address of the benchmark's Lambda service.
const ADDRESS_FILE: &str = "address";

/// The functions.
#[derive(Debug, Clone)]
pub struct Programs {
    /// Each function's `bootstrap`, by its short name, such as `pay-order`.
    pub bootstraps: BTreeMap<String, PathBuf>,
}

impl Programs {
    /// Builds them with the profile that deployments use. This takes minutes.
    ///
    /// # Errors
    /// The build fails.
    pub async fn released(logs: &Path) -> Result<Self> {
        functions::build_shipped(logs).await?;
        Self::staged(&workspace::shipped_dir())
    }

    /// Builds them as all other tests use them. They make the same calls as the released ones, but are larger and
    /// slower.
    ///
    /// # Errors
    /// The build fails.
    pub async fn for_tests(logs: &Path) -> Result<Self> {
        // The tests of other parts may be building and staging them, too.
        let _shared = Lock::wait(&workspace::local_dir()).await?;
        functions::build(logs).await?;
        Self::staged(&workspace::functions_dir())
    }

    fn staged(directory: &Path) -> Result<Self> {
        let mut bootstraps = BTreeMap::new();
        for entry in fs::read_dir(directory).context("the functions were just staged")? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            bootstraps.insert(name, entry.path().join("bootstrap"));
        }
        Ok(Self { bootstraps })
    }
}

/// Builds the function that does nothing, with the profile that deployments use.
///
/// # Errors
/// The build fails.
pub async fn noop(logs: &Path) -> Result<Program> {
    let executable = progress::step("The function that does nothing", async {
        let build = Tool::cargo().args(["build", "--release", "--package", NOOP]);
        let manifest = workspace::root().join("tests/bench/noop/Cargo.toml");
        let log = logs.join("build-noop.log");
        let mut built = functions::binaries(build, &manifest, &log).await?;
        built.remove(NOOP).context("the no-op is a binary")
    })
    .await?;
    Ok(Program {
        name: NOOP.to_owned(),
        executable,
        arguments: Vec::new(),
        directory: workspace::root(),
        settings: BTreeMap::new(),
    })
}

/// Builds the relay, and puts a copy in place of each function. A relay finds the benchmark's Lambda service at
/// `address`.
///
/// # Errors
/// The build fails, or a file cannot be written.
pub async fn lay_out_relays(
    programs: &Programs,
    address: &str,
    directory: &Path,
    logs: &Path,
) -> Result<()> {
    progress::step("Relays", async {
        let build = Tool::cargo()
            .args(["build", "--bin", RELAY])
            .args(workspace::TOGETHER);
        let manifest = workspace::root().join("tests/bench/Cargo.toml");
        let built = functions::binaries(build, &manifest, &logs.join("build-relay.log")).await?;
        let relay = built.get(RELAY).context("the relay is a binary")?;
        for name in programs.bootstraps.keys() {
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
