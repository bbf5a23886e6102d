//! The local AWS: a MiniStack process with its own directory.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use payment3_harness::aws::{ACCESS_KEY, REGION};
use payment3_harness::workspace;
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::{Instant, sleep, timeout};

use crate::{process, python};

/// How long the local AWS may take to start.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// How long it may take to save its state and stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(60);
/// The environment variables that the local AWS inherits from this process. The functions inherit them too.
const INHERITED: [&str; 4] = ["PATH", "HOME", "LANG", "RUST_BACKTRACE"];

/// The launcher that ends MiniStack when this process ends.
const LAUNCHER: &str = include_str!("ministack_child.py");

/// The settings of a local AWS.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The port it listens on.
    pub port: u16,
    /// The AWS endpoint for its functions: itself, or a proxy in front of it.
    pub functions_endpoint: String,
    /// The directory for its state, the code of the functions, and temporary files.
    pub directory: PathBuf,
    /// The file for its output.
    pub log: PathBuf,
    /// Whether it saves its state when it stops, and loads it when it starts.
    pub keep_state: bool,
}

/// A running local AWS.
pub struct MiniStack {
    child: Child,
    // Closing it makes the child save its state and end. The same happens when this process dies for any reason.
    lifeline: Option<ChildStdin>,
    endpoint: String,
    log: PathBuf,
}

impl MiniStack {
    /// Starts it and waits until it answers.
    ///
    /// # Errors
    /// It cannot be started, ends at once, or does not answer in time. The error shows the last lines of its log.
    pub async fn start(settings: Settings) -> Result<Self> {
        let Settings {
            port,
            functions_endpoint,
            directory,
            log,
            keep_state,
        } = settings;
        let output = process::create_log(&log)?;
        let errors = output.try_clone().context("duplicating the log's handle")?;
        let temporary = directory.join("tmp");
        tokio::fs::create_dir_all(&temporary)
            .await
            .with_context(|| format!("cannot create {}", workspace::shown(&temporary)))?;
        let endpoint = format!("http://{}", SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let keep = if keep_state { "1" } else { "0" };
        let mut command = Command::new(python::python());
        command
            .args(["-c", LAUNCHER])
            .current_dir(&directory)
            .env_clear()
            .envs(
                INHERITED
                    .iter()
                    .filter_map(|name| Some((name, std::env::var_os(name)?))),
            )
            .env("BIND_HOST", Ipv4Addr::LOCALHOST.to_string())
            .env("GATEWAY_PORT", port.to_string())
            .env("MINISTACK_REGION", REGION)
            .env("AWS_ENDPOINT_URL", &functions_endpoint)
            .env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
            .env("AWS_SECRET_ACCESS_KEY", ACCESS_KEY)
            // Each function has credentials of its role, and is denied what its role does not allow.
            .env("AUTH", "true")
            .env("PERSIST_STATE", keep)
            .env("S3_PERSIST", keep)
            .env("STATE_DIR", directory.join("state"))
            .env("S3_DATA_DIR", directory.join("s3"))
            .env("AWAY_FILE", away_file(&directory))
            .env("TMPDIR", &temporary)
            .env("PYTHONUNBUFFERED", "1")
            .stdin(Stdio::piped())
            .stdout(output)
            .stderr(errors)
            // Keep Ctrl-C from this child: the deployment has to stop first, then the local AWS.
            .process_group(0);
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot run {}", workspace::shown(&python::python())))?;
        let lifeline = child.stdin.take();
        let mut ministack = Self {
            child,
            lifeline,
            endpoint,
            log,
        };
        ministack.wait_until_healthy().await?;
        Ok(ministack)
    }

    /// Its base URL.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Waits until it ends unexpectedly.
    pub async fn ended(&mut self) -> anyhow::Error {
        let status = match self.child.wait().await {
            Ok(status) => status,
            Err(error) => return anyhow::Error::new(error).context("cannot watch the local AWS"),
        };
        self.unexpected_end(status)
    }

    /// Makes it save its state and end, and waits for that.
    ///
    /// # Errors
    /// It does not end in time. Then it is killed, and its unsaved state is lost.
    pub async fn stop(mut self) -> Result<()> {
        drop(self.lifeline.take());
        match timeout(STOP_TIMEOUT, self.child.wait()).await {
            Ok(status) => {
                status.context("cannot wait for the local AWS")?;
                Ok(())
            }
            Err(_) => {
                self.child
                    .kill()
                    .await
                    .context("cannot kill the local AWS")?;
                bail!(
                    "the local AWS did not end within {} s and was killed: its state since the start is lost. Its log: {}",
                    STOP_TIMEOUT.as_secs(),
                    workspace::shown(&self.log)
                )
            }
        }
    }

    async fn wait_until_healthy(&mut self) -> Result<()> {
        let deadline = Instant::now() + START_TIMEOUT;
        while Instant::now() < deadline {
            if let Some(status) = self
                .child
                .try_wait()
                .context("cannot watch the local AWS")?
            {
                return Err(self.unexpected_end(status));
            }
            if payment3_harness::aws::is_healthy(&self.endpoint).await {
                return Ok(());
            }
            sleep(Duration::from_millis(100)).await;
        }
        bail!(
            "the local AWS does not answer at {} after {} s; its last lines:\n{}\nAll of its output: {}",
            self.endpoint,
            START_TIMEOUT.as_secs(),
            process::tail(&self.log),
            workspace::shown(&self.log)
        )
    }

    fn unexpected_end(&self, status: ExitStatus) -> anyhow::Error {
        anyhow::anyhow!(
            "the local AWS (MiniStack) ended unexpectedly with {status}; its last lines:\n{}\nAll of its output: {}",
            process::tail(&self.log),
            workspace::shown(&self.log)
        )
    }
}

/// The file that lists the services that are unavailable to the state machine of the local AWS in `directory`.
pub fn away_file(directory: &Path) -> PathBuf {
    directory.join("away")
}

/// Removes everything that a stopped local AWS left in `directory`.
///
/// # Errors
/// It cannot be removed.
pub fn forget(directory: &Path) -> Result<()> {
    if !directory.exists() {
        return Ok(());
    }
    std::fs::remove_dir_all(directory)
        .with_context(|| format!("cannot remove {}", workspace::shown(directory)))
}
