//! Runs the runbook's commands as a person does: in bash, with the AWS command line, against the local AWS.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use payment3_harness::aws::{ACCESS_KEY, REGION};
use payment3_harness::outputs::Outputs;
use payment3_harness::workspace;

use crate::document::block;

/// A terminal with the runbook's preparation done.
pub(crate) struct Shell {
    outputs: Outputs,
    directory: PathBuf,
    variables: Vec<(&'static str, String)>,
}

impl Shell {
    /// A new one, in a directory of its own.
    pub(crate) fn open(outputs: &Outputs) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let directory = workspace::local_dir().join(format!("test-e2e/runbook/{number}"));
        std::fs::create_dir_all(&directory).expect("a directory");
        Self {
            outputs: outputs.clone(),
            directory,
            variables: Vec::new(),
        }
    }

    /// Sets one of the variables that the runbook speaks of.
    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.variables.push((name, value.to_owned()));
        self
    }

    /// Runs the block of a section for a purpose, as written. Returns what it printed.
    pub(crate) fn run(&self, section: &str, purpose: &str) -> String {
        self.script(&block(section, purpose), &format!("{section}, {purpose}"))
    }

    /// Runs commands of the test's own.
    pub(crate) fn script(&self, commands: &str, what: &str) -> String {
        let script = format!(
            "set -euo pipefail\n{}\n{commands}",
            block("Commands used below", "setup")
        );
        let output = Command::new("bash")
            .args(["-c", &script])
            .current_dir(&self.directory)
            .env("PATH", self.path())
            .env("AWS_ENDPOINT_URL", &self.outputs.aws_endpoint)
            .env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
            .env("AWS_SECRET_ACCESS_KEY", ACCESS_KEY)
            .env("AWS_REGION", REGION)
            .env("AWS_PAGER", "")
            .env("AWS_CONFIG_FILE", "/dev/null")
            .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("NO_PROXY", "127.0.0.1,localhost")
            .env("BRANCH", &self.outputs.branch)
            .env("API_URL", &self.outputs.api_url)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .output()
            .expect("bash");
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "{what}: {}\n{printed}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        printed
    }

    fn path(&self) -> std::ffi::OsString {
        let own = self.outputs.aws_cli.parent().unwrap_or(Path::new("/"));
        let inherited = std::env::var_os("PATH").unwrap_or_default();
        let paths = std::iter::once(own.to_owned()).chain(std::env::split_paths(&inherited));
        std::env::join_paths(paths).expect("paths")
    }
}
