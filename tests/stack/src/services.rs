//! The servers that run inside this process: the sandbox bank and the demo shop.

use std::future::Future;
use std::time::Duration;

use anyhow::{Result, anyhow};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How long they may take to finish their work when they are stopped.
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
    /// A future that completes when the services must stop.
    pub(crate) fn stopping(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut stop = self.stop.subscribe();
        async move {
            // An error means that the sender was dropped: then the services must stop as well.
            let _ = stop.wait_for(|stop| *stop).await;
        }
    }

    /// Starts a service.
    pub(crate) fn spawn(&mut self, service: impl Future<Output = Result<()>> + Send + 'static) {
        self.tasks.spawn(service);
    }

    /// Waits until one of the services ends.
    pub(crate) async fn ended(&mut self) -> anyhow::Error {
        match self.tasks.join_next().await {
            Some(Ok(Err(error))) => error,
            Some(Err(panic)) => {
                anyhow::Error::new(panic).context("the sandbox bank or the demo shop panicked")
            }
            Some(Ok(Ok(()))) | None => {
                anyhow!("the sandbox bank or the demo shop ended unexpectedly")
            }
        }
    }

    /// Stops all services, and waits until they have ended.
    pub(crate) async fn stop(mut self) {
        self.stop.send_replace(true);
        let all_done = async { while self.tasks.join_next().await.is_some() {} };
        // Dropping the set aborts the services that did not finish in time.
        let _ = timeout(STOP_TIMEOUT, all_done).await;
    }
}
