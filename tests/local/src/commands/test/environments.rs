//! The environments that parts of the tests run in.

use std::future::Future;
use std::path::PathBuf;

use anyhow::{Context, Result};
use payment3_harness::outputs::Outputs;
use payment3_harness::{outputs, workspace};
use payment3_stack::environment::{Environment, Options};
use payment3_stack::interrupt::Interrupt;
use payment3_stack::process::Tool;
use payment3_stack::progress;

/// The environment of the end-to-end tests.
pub(super) const E2E: &str = "e2e";
/// Another one, for those that can run beside them.
pub(super) const HOSTILE: &str = "hostile";
/// Tells them where this program is: they try its commands.
pub(super) const PROGRAM_VARIABLE: &str = "PAYMENT3_LOCAL";

/// What a part is told about the environment.
pub(super) struct Running {
    pub(super) outputs: Outputs,
    pub(super) outputs_file: PathBuf,
}

impl Running {
    /// The tests in `tests/<target>` that need an environment.
    pub(super) fn tests(&self, target: &str, arguments: &[&str]) -> Tool {
        Tool::cargo()
            .args(["test"])
            .args(workspace::TOGETHER)
            .args(["--test", target, "--", "--ignored"])
            .args(arguments)
            .env(outputs::FILE_VARIABLE, &self.outputs_file)
            .env(
                PROGRAM_VARIABLE,
                std::env::current_exe().unwrap_or_default(),
            )
            // The assertions say what was wrong; a backtrace through the runtime would bury that.
            .env("RUST_BACKTRACE", "0")
    }
}

/// The environments that several parts have in common.
pub(super) struct Environments {
    pub(super) e2e: Shared,
    pub(super) hostile: Shared,
}

impl Default for Environments {
    fn default() -> Self {
        Self {
            e2e: Shared::new(E2E),
            hostile: Shared::new(HOSTILE),
        }
    }
}

/// The environment of the parts that need one: the first of them starts it, and it is stopped in the end, or when a
/// part fails in it.
pub(super) struct Shared {
    name: &'static str,
    pub(super) running: Option<Environment>,
}

impl Shared {
    pub(super) fn new(name: &'static str) -> Self {
        Self {
            name,
            running: None,
        }
    }

    /// Runs a part in the environment, as long as that stands.
    pub(super) async fn run<T, W: Future<Output = Result<T>>>(
        &mut self,
        interrupt: &mut Interrupt,
        part: impl FnOnce(Running) -> W,
    ) -> Result<T> {
        let environment = match &mut self.running {
            Some(environment) => environment,
            none => none.insert(Environment::start(options(self.name), interrupt).await?),
        };
        let work = part(Running {
            outputs: environment.outputs().clone(),
            outputs_file: environment.outputs_file().clone(),
        });
        let outputs_file = environment.outputs_file();
        let logs = workspace::shown(outputs_file.parent().unwrap_or(outputs_file));
        let result = tokio::select! {
            result = interrupt.or(work) => result,
            error = environment.broken() => Err(error),
        };
        if result.is_err()
            && let Some(environment) = self.running.take()
        {
            // What failed may have left something behind or have broken it. The next part starts another one. The first
            // error is the one to tell.
            let _ = progress::step("Stopping", environment.stop()).await;
        }
        result.with_context(|| format!("a test failed (logs are in {logs})"))
    }

    pub(super) async fn stop(self) -> Result<()> {
        match self.running {
            Some(environment) => progress::step("Stopping", environment.stop()).await,
            None => Ok(()),
        }
    }
}

/// An environment for tests by its name, which is its branch, too.
pub(super) fn options(name: &str) -> Options {
    Options::for_tests("cargo local test", directory(name), name)
}

pub(super) fn directory(name: &str) -> PathBuf {
    workspace::local_dir().join(format!("test-{name}"))
}

pub(super) fn logs() -> PathBuf {
    workspace::local_dir().join("logs")
}
