//! What the routes share: the state under its one lock, the address, and the signal to stop.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use http_body::Frame;
use jiff::Timestamp;
use tokio::sync::watch;

use crate::BankConfig;
use crate::error::GatewayError;
use crate::faults::Faults;
use crate::ids::{self, Ids};
use crate::keys::Keys;
use crate::ledger::Ledger;
use crate::merchant_client::{self, MerchantClient};
use crate::requests::RequestLog;
use crate::store::StateFile;

/// Everything that changes. The ledger survives a restart, the rest does not.
pub(crate) struct State {
    pub(crate) ledger: Ledger,
    pub(crate) faults: Faults,
    pub(crate) requests: RequestLog,
}

impl State {
    /// The keys of the merchant account.
    pub(crate) fn keys<'a>(&'a self, config: &'a BankConfig) -> Keys<'a> {
        Keys::of(self.ledger.rotated.as_ref(), &config.secret_key)
    }
}

/// The bank behind all its routes.
pub(crate) struct Core {
    pub(crate) config: BankConfig,
    state: Mutex<State>,
    file: Option<StateFile>,
    /// What calls the merchant's server.
    pub(crate) merchant: MerchantClient,
    /// What makes ids.
    pub(crate) ids: Ids,
}

impl Core {
    /// Opens the bank with these books.
    pub(crate) fn new(config: BankConfig, ledger: Ledger, file: Option<StateFile>) -> Self {
        let call = config.merchant.clone();
        let random = config.random.clone();
        Self {
            merchant: MerchantClient::new(
                call.unwrap_or_else(merchant_client::over_http),
                config.notification_timeout,
            ),
            ids: Ids::of(random.unwrap_or_else(ids::system)),
            config,
            state: Mutex::new(State {
                ledger,
                faults: Faults::default(),
                requests: RequestLog::default(),
            }),
            file,
        }
    }
}

/// A served bank; what every route gets.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) core: Arc<Core>,
    /// The bank's address for browsers, without a slash at the end.
    pub(crate) base: Arc<str>,
    /// Turns true when the bank has to stop. None for a bank that nobody stops.
    stopping: Option<watch::Receiver<bool>>,
}

impl App {
    /// A bank that is served at `base` until `stopping` turns true.
    pub(crate) fn new(
        core: Arc<Core>,
        base: &str,
        stopping: Option<watch::Receiver<bool>>,
    ) -> Self {
        Self {
            core,
            base: base.trim_end_matches('/').into(),
            stopping,
        }
    }

    /// What makes ids.
    pub(crate) fn ids(&self) -> Ids {
        self.core.ids.clone()
    }

    /// The state, locked. Nobody may hold it over an await.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.core
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state and saves the ledger. On an error the ledger stays as it was.
    pub(crate) fn change<T>(
        &self,
        work: impl FnOnce(&mut State, Timestamp) -> Result<T, GatewayError>,
    ) -> Result<T, GatewayError> {
        self.change_locked(&mut self.lock(), work)
    }

    /// As [`App::change`], for a caller that holds the lock.
    pub(crate) fn change_locked<T>(
        &self,
        state: &mut State,
        work: impl FnOnce(&mut State, Timestamp) -> Result<T, GatewayError>,
    ) -> Result<T, GatewayError> {
        let now = self.now()?;
        let Some(file) = &self.core.file else {
            return work(state, now);
        };
        let before = state.ledger.clone();
        let result = work(state, now).and_then(|done| {
            if state.ledger != before {
                file.save(&state.ledger).map_err(not_saved)?;
            }
            Ok(done)
        });
        if result.is_err() {
            state.ledger = before;
        }
        result
    }

    fn now(&self) -> Result<Timestamp, GatewayError> {
        Timestamp::try_from((self.core.config.clock)()).map_err(|e| {
            let message = format!("the bank's clock is beyond the calendar: {e}");
            GatewayError::with(
                StatusCode::INTERNAL_SERVER_ERROR,
                "clock_out_of_range",
                message,
            )
        })
    }

    /// Resolves when the bank has been asked to stop.
    pub(crate) async fn stopped(&self) {
        match &self.stopping {
            Some(stopping) => stopped(stopping.clone()).await,
            None => std::future::pending().await,
        }
    }

    /// Never answers. Waits, and then makes the server close the connection without a byte.
    pub(crate) async fn hang(&self, delay: Duration) -> Response {
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            () = self.stopped() => {}
        }
        // The server drops a response whose body fails before its head was sent.
        Body::new(BrokenBody).into_response()
    }
}

/// A body that cannot be read.
struct BrokenBody;

impl http_body::Body for BrokenBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Poll::Ready(Some(Err(io::ErrorKind::ConnectionAborted.into())))
    }
}

/// Resolves when `stopping` turns true, or when its sender is gone.
pub(crate) async fn stopped(mut stopping: watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stop| *stop).await;
}

fn not_saved(e: io::Error) -> GatewayError {
    let message = format!("the bank's state file cannot be written: {e}; nothing was changed");
    GatewayError::with(
        StatusCode::INTERNAL_SERVER_ERROR,
        "state_not_saved",
        message,
    )
}
