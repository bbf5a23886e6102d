//! The servers that run inside this process: the sandbox bank and the demo shop.

use std::future::Future;
use std::time::Duration;

use anyhow::{Result, anyhow};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How long they may take to finish what they are doing.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// The servers inside this process.
pub(crate) struct Services {
    stop: watch::Sender<bool>,
    tasks: JoinSet<Result<()>>,
}

impl Default for Services {
    fn default() -> Self {
        Self {
            stop: watch::Sender::new(false),
            tasks: JoinSet::new(),
        }
    }
}

impl Services {
    /// A future that completes when the services are to stop.
    pub(crate) fn stopping(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut stop = self.stop.subscribe();
        async move {
            // An error means that the sender is gone, which is a reason to stop as well.
            let _ = stop.wait_for(|stop| *stop).await;
        }
    }

    /// Starts one.
    pub(crate) fn spawn(&mut self, service: impl Future<Output = Result<()>> + Send + 'static) {
        self.tasks.spawn(service);
    }

    /// Waits until one of them ends.
    pub(crate) async fn ended(&mut self) -> anyhow::Error {
        match self.tasks.join_next().await {
            Some(Ok(Err(error))) => error,
            Some(Err(panic)) => {
                anyhow::Error::new(panic).context("the sandbox bank or the demo shop broke")
            }
            Some(Ok(Ok(()))) | None => anyhow!("the sandbox bank or the demo shop ended by itself"),
        }
    }

    /// Asks all to stop, and waits for that.
    pub(crate) async fn stop(mut self) {
        self.stop.send_replace(true);
        let all_done = async { while self.tasks.join_next().await.is_some() {} };
        // Whoever does not finish in time is cut off when the set is dropped.
        let _ = timeout(STOP_TIMEOUT, all_done).await;
    }
}
