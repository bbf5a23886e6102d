//! A sandbox of KASIKORNBANK's card gateway (K-Payment Gateway, card REST API v2), for development and tests.
//!
//! It is the counterpart of the payment system, and shares no code with it: amounts, checksum and the states of a
//! charge are written independently. It serves four interfaces on one port:
//!
//! * the gateway API (`/card/v2/...`), which needs the secret key in `x-api-key`;
//! * the 3-D Secure page (`/3ds/{chargeId}`), where the shopper's browser is sent;
//! * the sandbox's own controls (`/sandbox/...`), which need no key: tokens, the merchant account's URLs, what has
//!   happened, settlement, and faults on demand;
//! * the bank's pages (`/`), which show the ledger and have a button for each control.
//!
//! Only the ids are random. Time comes from [`BankConfig::clock`], random bytes from [`BankConfig::random`], and the
//! merchant's server is called by [`BankConfig::merchant`].

mod app;
mod back_office;
mod browser;
mod browser_return;
mod callback;
mod cards;
mod charge;
mod customer;
mod dialect;
mod error;
mod faults;
mod gateway;
mod gateway_call;
mod ids;
mod in_process;
mod keys;
mod ledger;
mod merchant_client;
mod money;
mod notify;
mod requests;
mod router;
mod sandbox;
mod store;
mod three_ds;
mod three_ds_pages;
mod time;
mod token;
mod transaction_state;

use std::fmt;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::http::{Request, Response};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::app::{App, Core};
use crate::ledger::Ledger;
use crate::store::StateFile;

pub use crate::cards::{CARDS, Manner, SandboxCard};
pub use crate::dialect::{Dialect, UnknownDialect};
pub use crate::in_process::InProcess;
pub use crate::store::OpenError;

/// The public key of the sandbox's only merchant account, which a checkout page carries.
pub const PUBLIC_KEY: &str = "pkey_test_sandbox_only";

/// The secret key of the sandbox's only merchant account: what `x-api-key` must be, and the salt of the
/// notifications' checksum.
pub const SECRET_KEY: &str = "skey_test_sandbox_only";

/// The secret key of the merchant account before its rotation. It only signs old notifications.
pub const FORMER_SECRET_KEY: &str = "skey_test_sandbox_former";

/// The one-time password that the 3-D Secure page accepts.
pub const OTP: &str = "123456";

/// How long open requests may take after the bank was asked to stop.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(2);

/// Where the bank gets the time from.
pub type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// Where the bank gets random bytes for an id from. The text is the id's prefix and the id of what it is made from, such
/// as `chrg_test_tokn_test_1` for the charge of a token.
pub type Random = Arc<dyn Fn(&str, &mut [u8]) + Send + Sync>;

/// What calls the merchant's server. The bank needs no more than the head of the answer. An error says in one sentence
/// why there is none.
pub type CallMerchant = Arc<dyn Fn(Request<Vec<u8>>) -> MerchantAnswer + Send + Sync>;

/// The answer of the merchant's server, as it will be.
pub type MerchantAnswer = Pin<Box<dyn Future<Output = Result<Response<()>, String>> + Send>>;

/// The settings of a bank.
#[derive(Clone)]
pub struct BankConfig {
    /// The secret key that server calls must carry; [`SECRET_KEY`] unless set otherwise.
    pub secret_key: String,
    /// The address at which browsers reach the bank, for `redirect_url`, such as `http://127.0.0.1:4600`. `None` takes
    /// the address of the listener.
    pub base_url: Option<String>,
    /// The time source, for the age of tokens and the times of charges.
    pub clock: Clock,
    /// The source of random bytes. `None` takes the operating system's.
    pub random: Option<Random>,
    /// What calls the merchant's server. `None` calls over HTTP.
    pub merchant: Option<CallMerchant>,
    /// How long the bank waits for the merchant's answer to a notification.
    pub notification_timeout: Duration,
}

impl Default for BankConfig {
    fn default() -> Self {
        Self {
            secret_key: SECRET_KEY.to_owned(),
            base_url: None,
            clock: Arc::new(SystemTime::now),
            random: None,
            merchant: None,
            notification_timeout: Duration::from_secs(10),
        }
    }
}

impl fmt::Debug for BankConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BankConfig")
            .field("base_url", &self.base_url)
            .field("notification_timeout", &self.notification_timeout)
            .finish_non_exhaustive()
    }
}

/// A sandbox bank, ready to be served.
pub struct Bank {
    core: Arc<Core>,
}

impl Bank {
    /// A bank without charges. It keeps its state in memory only.
    pub fn new(config: BankConfig) -> Self {
        Self {
            core: Arc::new(Core::new(config, Ledger::default(), None)),
        }
    }

    /// A bank that keeps its tokens, charges, customers and merchant URLs in `state_file`. It continues with what the
    /// file holds, and writes it after each change. A missing file and its folder are created.
    ///
    /// # Errors
    /// The file cannot be read or written, or is not a state of this bank.
    pub fn open(config: BankConfig, state_file: impl Into<PathBuf>) -> Result<Self, OpenError> {
        let file = StateFile::new(state_file.into());
        let ledger = file.open()?;
        Ok(Self {
            core: Arc::new(Core::new(config, ledger, Some(file))),
        })
    }

    /// The bank for calls within this process, in whose runtime it must be made. Browsers reach it at `base_url`.
    pub fn in_process(self, base_url: &str) -> InProcess {
        let app = App::new(self.core, base_url, None);
        three_ds::resume(&app);
        InProcess::new(app)
    }

    /// Serves the bank on `listener` until `shutdown` resolves. Then requests that hang because of a fault are cut off;
    /// others may take two more seconds.
    ///
    /// # Errors
    /// The listener has no local address.
    pub async fn serve(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<()> {
        let base = match &self.core.config.base_url {
            Some(url) => url.clone(),
            None => browsable(listener.local_addr()?),
        };
        let (stop, stopping) = watch::channel(false);
        let app = App::new(self.core, &base, Some(stopping.clone()));
        three_ds::resume(&app);
        let server = axum::serve(listener, router::router(app))
            .with_graceful_shutdown(async move {
                shutdown.await;
                stop.send_replace(true);
            })
            .into_future();
        tokio::select! {
            served = server => served,
            () = async {
                app::stopped(stopping).await;
                tokio::time::sleep(SHUTDOWN_GRACE).await;
            } => Ok(()),
        }
    }
}

/// The URL of a listener's address. A browser cannot open the unspecified address, so it becomes the loopback address.
fn browsable(mut address: std::net::SocketAddr) -> String {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        });
    }
    format!("http://{address}")
}
