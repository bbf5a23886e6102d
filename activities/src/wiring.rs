//! Builds the parts of a function from its environment variables, so that each `main` reads as the list of what its
//! function touches.

use std::cell::OnceCell;
use std::time::Duration;

use url::Url;

use crate::aws::{Sdk, Service};
use crate::bank::{Bank, Credentials};
use crate::clock::Clock;
use crate::domain::callback_base::{CallbackBases, is_https_or_loopback};
use crate::domain::ids::MerchantId;
use crate::executions::Executions;
use crate::http_client::Sender;
use crate::secret::SecretSource;
use crate::settings::{SettingError, invalid, list, millis, text};
use crate::shop::WebhookEndpoint;
use crate::tables::Database;
use crate::tables::check_status::CheckStatus;
use crate::tables::checkouts::Checkouts;
use crate::tables::mapping::Mapping;
use crate::tables::orders::Orders;
use crate::tables::outcomes::Outcomes;
use crate::tables::records::Records;
use crate::tables::refunds::RefundTables;
use crate::tables::sources::Sources;

type Setting<T> = Result<T, SettingError>;

/// The parts that need AWS.
pub struct Aws {
    sdk: Sdk,
    clock: Clock,
    dynamodb: OnceCell<aws_sdk_dynamodb::Client>,
}

#[allow(
    clippy::missing_errors_doc,
    reason = "each fails the same way: a SettingError that names the variable"
)]
impl Aws {
    /// Reads region, credentials and time-outs.
    pub fn load() -> Setting<Self> {
        Ok(Self {
            sdk: Sdk::load()?,
            clock: Clock::system(),
            dynamodb: OnceCell::new(),
        })
    }

    /// Opens connections to the services that almost every event calls, before the first event: see [`Sdk::connect`]. A
    /// service that only some events call is left to them.
    pub async fn connect(&self, services: &[Service]) {
        self.sdk.connect(services).await;
    }

    /// One client for all tables.
    fn database(&self) -> Database {
        let client = self
            .dynamodb
            .get_or_init(|| aws_sdk_dynamodb::Client::new(&self.sdk.config));
        Database {
            client: client.clone(),
            clock: self.clock.clone(),
        }
    }

    /// The payments' records.
    pub fn records(&self) -> Setting<Records> {
        Ok(Records::new(
            self.database(),
            text("CARD_PAYMENT_RECORD_TABLE")?,
        ))
    }

    /// The payments' records wherever they were made: in this branch's table, then in master's where the deployment
    /// borrows from it (`MASTER_CARD_PAYMENT_RECORD_TABLE`). Master lends (`LENDS_RECORDS`).
    pub fn sources(&self) -> Setting<Sources> {
        let master = text("MASTER_CARD_PAYMENT_RECORD_TABLE").ok();
        let lends = text("LENDS_RECORDS").is_ok();
        Ok(Sources::new(
            self.records()?,
            master,
            lends,
            text("BRANCH")?,
        ))
    }

    /// The bank's address and key, as they count now.
    pub fn credentials(&self) -> Setting<Credentials> {
        Ok(Credentials::new(
            self.secret("GATEWAY_SECRET_ARN")?,
            self.clock.clone(),
        ))
    }

    /// The shop's orders.
    pub fn orders(&self) -> Setting<Orders> {
        Ok(Orders::new(self.database(), text("ORDER_TABLE")?))
    }

    /// The payments' records, and what apps show.
    pub fn checkouts(&self) -> Setting<Checkouts> {
        Ok(Checkouts {
            records: self.records()?,
            check_status: self.check_status()?,
        })
    }

    /// What apps show.
    pub fn check_status(&self) -> Setting<CheckStatus> {
        Ok(CheckStatus::new(
            self.database(),
            text("CHECK_STATUS_TABLE")?,
        ))
    }

    /// The log of the bank's decisions.
    pub fn outcomes(&self) -> Setting<Outcomes> {
        Ok(Outcomes::new(
            self.database(),
            text("CREDIT_CARD_NOTIFY_TABLE")?,
        ))
    }

    /// Owner to customer at the bank.
    pub fn mapping(&self) -> Setting<Mapping> {
        Ok(Mapping::new(
            self.database(),
            text("KBANK_USER_MAPPING_TABLE")?,
        ))
    }

    /// The state machine of payments.
    pub fn executions(&self) -> Setting<Executions> {
        self.executions_of("STATE_MACHINE_ARN")
    }

    /// The state machine of refunds.
    pub fn refund_executions(&self) -> Setting<Executions> {
        self.executions_of("REFUND_STATE_MACHINE_ARN")
    }

    fn executions_of(&self, variable: &'static str) -> Setting<Executions> {
        let client = aws_sdk_sfn::Client::new(&self.sdk.config);
        Ok(Executions::new(client, text(variable)?))
    }

    /// What a refund tells, in one transaction each.
    pub fn refund_tables(&self) -> Setting<RefundTables> {
        Ok(RefundTables {
            records: self.records()?,
            orders: self.orders()?,
            check_status: self.check_status()?,
        })
    }

    /// A secret whose ARN stands in this variable.
    pub fn secret(&self, variable: &'static str) -> Setting<SecretSource> {
        let client = aws_sdk_secretsmanager::Client::new(&self.sdk.config);
        Ok(SecretSource::secrets_manager(client, text(variable)?))
    }

    /// The bank.
    pub fn bank(&self) -> Setting<Bank> {
        self.bank_by(Sender::keeping_connections)
    }

    /// The bank, with a new connection for each call: for whoever creates charges or gives money back.
    pub fn bank_on_new_connections(&self) -> Setting<Bank> {
        self.bank_by(Sender::on_new_connections)
    }

    fn bank_by(&self, sender: fn(Duration) -> Setting<Sender>) -> Setting<Bank> {
        let timeout = millis("BANK_TIMEOUT_MS")?;
        Ok(Bank::new(self.credentials()?, sender(timeout)?, timeout))
    }

    /// The shop's endpoint for events.
    pub fn webhook_endpoint(&self) -> Setting<WebhookEndpoint> {
        const NAME: &str = "SHOP_WEBHOOK_URL";
        let url = Url::parse(&text(NAME)?)
            .ok()
            .filter(is_https_or_loopback)
            .ok_or_else(|| invalid(NAME, "must be an https URL (http only on loopback)"))?;
        let timeout = millis("SHOP_TIMEOUT_MS")?;
        let sender = Sender::keeping_connections(timeout)?;
        Ok(WebhookEndpoint::new(
            url,
            sender,
            timeout,
            self.clock.clone(),
        ))
    }
}

/// Whether the bank answers inquiries by reference (`BANK_FINDS_BY_REFERENCE`, which is set where somebody has seen
/// it).
#[must_use]
pub fn bank_finds_by_reference() -> bool {
    text("BANK_FINDS_BY_REFERENCE").is_ok()
}

/// The merchant accounts that may be charged through.
///
/// # Errors
/// [`SettingError`] names the variable.
pub fn merchants() -> Setting<Vec<MerchantId>> {
    const NAME: &str = "MERCHANT_IDS";
    list(NAME)?
        .into_iter()
        .map(|id| MerchantId::new(id).map_err(|error| invalid(NAME, error)))
        .collect()
}

/// The shop's own base: where browsers go when nobody asked for another.
///
/// # Errors
/// [`SettingError`] names the variable.
pub fn default_callback_base() -> Setting<String> {
    text("DEFAULT_CALLBACK_BASE")
}

/// Where browsers may be sent in the end.
///
/// # Errors
/// [`SettingError`] names the variable.
pub fn callback_bases() -> Setting<CallbackBases> {
    CallbackBases::new(&list("CALLBACK_BASES")?, &default_callback_base()?)
        .map_err(|error| invalid("CALLBACK_BASES", error))
}

/// Where browsers may be sent for 3-D Secure.
///
/// # Errors
/// [`SettingError`] names the variable.
pub fn bank_origins() -> Setting<Vec<url::Origin>> {
    const NAME: &str = "BANK_REDIRECT_ORIGINS";
    list(NAME)?
        .iter()
        .map(|origin| {
            Url::parse(origin)
                .ok()
                .filter(is_https_or_loopback)
                .map(|url| url.origin())
                .ok_or_else(|| invalid(NAME, "must list https origins (http only on loopback)"))
        })
        .collect()
}
