//! Ctrl-C and SIGTERM.

use std::future::Future;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::timeout;

/// How long to wait for a shutdown request after a failure. The request may have stopped another program first.
const GRACE: Duration = Duration::from_millis(200);

/// A shutdown request, by Ctrl-C or SIGTERM.
pub struct Interrupt {
    interrupt: Signal,
    terminate: Signal,
}

/// The error of work that was dropped because of a shutdown request.
#[derive(Debug, thiserror::Error)]
#[error("interrupted")]
pub struct Interrupted;

impl Interrupt {
    /// Listens for the signals from now on. They no longer end the process.
    ///
    /// # Errors
    /// The operating system refuses.
    pub fn new() -> Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    /// Does `work`, and drops it if a shutdown request comes.
    ///
    /// # Errors
    /// What `work` fails with, or [`Interrupted`].
    pub async fn or<T>(&mut self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let failure = tokio::select! {
            biased;
            () = self.wait() => None,
            result = work => match result {
                Ok(done) => return Ok(done),
                Err(error) => Some(error),
            },
        };
        // Ctrl-C also reaches the programs that `work` waits for. One of them may end before this process gets the
        // signal.
        match failure {
            Some(error) if timeout(GRACE, self.wait()).await.is_err() => Err(error),
            _ => {
                // End the line of the step that was running.
                println!();
                Err(Interrupted.into())
            }
        }
    }

    /// Waits for the next shutdown request.
    pub async fn wait(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;
    use nix::sys::signal::{Signal, raise};

    use super::*;

    // A single test, because a signal reaches all tests of the process.
    #[tokio::test]
    async fn a_shutdown_request_drops_work_and_explains_its_failure() {
        let mut interrupt = Interrupt::new().expect("signals");
        let failed = interrupt.or(async { Err::<(), _>(anyhow!("by itself")) });
        assert_eq!(failed.await.expect_err("failed").to_string(), "by itself");

        let endless = async {
            raise(Signal::SIGTERM)?;
            std::future::pending::<Result<()>>().await
        };
        let error = interrupt.or(endless).await.expect_err("interrupted");
        assert!(error.is::<Interrupted>(), "{error}");

        let ended_by_it = async {
            raise(Signal::SIGTERM)?;
            Err::<(), _>(anyhow!("ended with signal: 15"))
        };
        let error = interrupt.or(ended_by_it).await.expect_err("interrupted");
        assert!(error.is::<Interrupted>(), "{error}");
    }
}
