//! Ctrl-C and SIGTERM.

use std::future::Future;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::timeout;

/// How much later a shutdown request may be seen than what it did to another program.
const MOMENT: Duration = Duration::from_millis(200);

/// A shutdown request, by Ctrl-C or SIGTERM.
pub struct Interrupt {
    interrupt: Signal,
    terminate: Signal,
}

/// The error of what was dropped because the shutdown request came.
#[derive(Debug, thiserror::Error)]
#[error("interrupted")]
pub struct Interrupted;

impl Interrupt {
    /// Listens from now on, in place of ending at once.
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

    /// Does `work`, but drops it where it is when the request comes.
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
        // Ctrl-C reaches the programs that `work` waits for, too, and one of them may end by it before this process is told.
        match failure {
            Some(error) if timeout(MOMENT, self.wait()).await.is_err() => Err(error),
            _ => {
                // The line of the step that was going on ends here.
                println!();
                Err(Interrupted.into())
            }
        }
    }

    /// Waits for the next one.
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

    // One test: signals reach the whole process.
    #[tokio::test]
    async fn work_is_dropped_and_its_failure_is_an_interruption_when_the_request_comes() {
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
