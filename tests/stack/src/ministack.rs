//! The local AWS: one MiniStack process with a directory of its own.

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

/// How long the local AWS may take until it answers.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// How long it may take to save its state and end.
const STOP_TIMEOUT: Duration = Duration::from_secs(60);
/// What of our environment the local AWS, and so every function, gets to see.
const INHERITED: [&str; 4] = ["PATH", "HOME", "LANG", "RUST_BACKTRACE"];

/// The launcher that ties MiniStack's life to ours.
const LAUNCHER: &str = include_str!("ministack_child.py");

/// How a local AWS is run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The port it listens on.
    pub port: u16,
    /// Where its functions find AWS: itself, or a proxy in front of it.
    pub functions_endpoint: String,
    /// Its directory: state, code of the functions, temporary files.
    pub directory: PathBuf,
    /// Where its output goes.
    pub log: PathBuf,
    /// Whether it saves its state when it ends, and starts with what was saved.
    pub keep_state: bool,
}

/// A running local AWS.
pub struct MiniStack {
    child: Child,
    // Closing it asks the child to save its state and end; so does our own death, however it comes.
    lifeline: Option<ChildStdin>,
    endpoint: String,
    log: PathBuf,
}

impl MiniStack {
    /// Starts it and waits until it answers.
    ///
    /// # Errors
    /// It cannot be started, ends at once, or does not answer in time: with the last lines of its log.
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
            // A Ctrl-C in the terminal is ours to handle: first the deployment ends, then the local AWS.
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

    /// Waits until it ends by itself, which it should not.
    pub async fn ended(&mut self) -> anyhow::Error {
        let status = match self.child.wait().await {
            Ok(status) => status,
            Err(error) => return anyhow::Error::new(error).context("cannot watch the local AWS"),
        };
        self.death(status)
    }

    /// Asks it to save its state and end, and waits for that.
    ///
    /// # Errors
    /// It does not end in time; it is killed then, and what it had not saved is lost.
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
                return Err(self.death(status));
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

    fn death(&self, status: ExitStatus) -> anyhow::Error {
        anyhow::anyhow!(
            "the local AWS (MiniStack) ended by itself with {status}; its last lines:\n{}\nAll of its output: {}",
            process::tail(&self.log),
            workspace::shown(&self.log)
        )
    }
}

/// Which file says what is away from the state machine of the local AWS in `directory`.
pub fn away_file(directory: &Path) -> PathBuf {
    directory.join("away")
}

/// Removes everything a stopped local AWS left in `directory`.
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
