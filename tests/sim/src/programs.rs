//! The functions of the deployment: each as its `main` wires it, with the simulation's clock, randomness and senders.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Result;
use aws_sdk_dynamodb::config::retry::{RetryPartition, TokenBucket};
use payment3_activities::activity::{
    add_card, callback, cardtoken, check_refund, check_status, ensure_kbank_user, find_refund,
    inquire_charge, lookup_record, notify, parse_callback, pay_order, reconcile, record_elsewhere,
    record_outcome, record_refund, refund_charge, refund_request, report_stuck, reverse_charge,
    void_charge,
};
use payment3_activities::bank::{Bank, Credentials};
use payment3_activities::clock::Clock;
use payment3_activities::domain::callback_base::CallbackBases;
use payment3_activities::domain::ids::MerchantId;
use payment3_activities::executions::Executions;
use payment3_activities::http_client::Sender;
use payment3_activities::log::Trace;
use payment3_activities::random::Random;
use payment3_activities::secret::SecretSource;
use payment3_activities::shop::WebhookEndpoint;
use payment3_activities::tables::Database;
use payment3_activities::tables::check_status::CheckStatus;
use payment3_activities::tables::checkouts::Checkouts;
use payment3_activities::tables::mapping::Mapping;
use payment3_activities::tables::orders::Orders;
use payment3_activities::tables::outcomes::Outcomes;
use payment3_activities::tables::records::Records;
use payment3_activities::tables::refunds::RefundTables;
use payment3_activities::tables::sources::Sources;
use payment3_activities::{failure::Failure, lambda};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;

use crate::deployment::TableNames;
use crate::functions::{Failed, Process, Program, Serve};

/// The SDK's clients of one process, made when something first needs them.
#[derive(Clone, Default)]
pub(crate) struct Clients {
    dynamodb: OnceLock<aws_sdk_dynamodb::Client>,
    secrets: OnceLock<aws_sdk_secretsmanager::Client>,
    step_functions: OnceLock<aws_sdk_sfn::Client>,
}

/// The tries again that a new process has. Without it, all clients of all seeds would take them from the same bucket.
fn own_retries() -> RetryPartition {
    let full = TokenBucket::default();
    RetryPartition::custom("process").token_bucket(full).build()
}

/// What processes are made of.
#[derive(Clone)]
pub(crate) struct Wiring {
    pub(crate) sdk: aws_types::SdkConfig,
    /// None where nothing has started.
    pub(crate) clients: Clients,
    pub(crate) clock: Clock,
    pub(crate) random: Random,
    pub(crate) bank: Sender,
    pub(crate) shop: Sender,
    pub(crate) names: TableNames,
    pub(crate) payment_machine: String,
    pub(crate) refund_machine: String,
    pub(crate) gateway_secret: String,
    pub(crate) webhook_secret: String,
    pub(crate) webhook_url: Url,
    pub(crate) bank_url: Url,
    pub(crate) merchants: Vec<MerchantId>,
    pub(crate) bases: CallbackBases,
    pub(crate) shop_base: String,
    pub(crate) finds_by_reference: bool,
    pub(crate) bank_timeout: Duration,
    pub(crate) shop_timeout: Duration,
}

impl Wiring {
    fn database(&self) -> Database {
        let client = self.clients.dynamodb.get_or_init(|| {
            let config = aws_sdk_dynamodb::config::Builder::from(&self.sdk);
            let config = config
                .retry_partition(own_retries())
                .allow_no_auth()
                .build();
            aws_sdk_dynamodb::Client::from_conf(config)
        });
        Database {
            client: client.clone(),
            clock: self.clock.clone(),
        }
    }

    fn records(&self) -> Records {
        Records::new(self.database(), self.names.records.clone())
    }

    fn orders(&self) -> Orders {
        Orders::new(self.database(), self.names.orders.clone())
    }

    fn check_status(&self) -> CheckStatus {
        CheckStatus::new(self.database(), self.names.check_status.clone())
    }

    fn checkouts(&self) -> Checkouts {
        Checkouts {
            records: self.records(),
            check_status: self.check_status(),
        }
    }

    fn sources(&self) -> Sources {
        Sources::new(self.records(), None, false, "simulated".to_owned())
    }

    fn refund_tables(&self) -> RefundTables {
        RefundTables {
            records: self.records(),
            orders: self.orders(),
            check_status: self.check_status(),
        }
    }

    fn secret(&self, id: &str) -> SecretSource {
        let client = self.clients.secrets.get_or_init(|| {
            let config = aws_sdk_secretsmanager::config::Builder::from(&self.sdk);
            let config = config
                .retry_partition(own_retries())
                .allow_no_auth()
                .build();
            aws_sdk_secretsmanager::Client::from_conf(config)
        });
        SecretSource::secrets_manager(client.clone(), id.to_owned())
    }

    fn bank(&self) -> Bank {
        let credentials = Credentials::new(self.secret(&self.gateway_secret), self.clock.clone());
        Bank::new(credentials, self.bank.clone(), self.bank_timeout)
    }

    fn executions(&self, machine: &str) -> Executions {
        let client = self.clients.step_functions.get_or_init(|| {
            let config = aws_sdk_sfn::config::Builder::from(&self.sdk);
            let config = config
                .retry_partition(own_retries())
                .allow_no_auth()
                .build();
            aws_sdk_sfn::Client::from_conf(config)
        });
        Executions::new(client.clone(), machine.to_owned())
    }
}

/// A process of an activity that is called by a state machine.
fn activity<P, I, O, E, F>(
    parts: P,
    clock: &Clock,
    run: impl Fn(Arc<P>, I) -> F + Send + Sync + Clone + 'static,
) -> Process
where
    P: Send + Sync + 'static,
    I: DeserializeOwned + Send + 'static,
    O: Serialize + 'static,
    E: Failure,
    F: Future<Output = Result<O, E>> + Send + 'static,
{
    let parts = Arc::new(parts);
    let clock = clock.clone();
    let serve: Serve = Arc::new(move |event: Value| {
        let (parts, run, clock) = (Arc::clone(&parts), run.clone(), clock.clone());
        Box::pin(async move {
            let handler = |input: I| run(Arc::clone(&parts), input);
            lambda::answer(&handler, event, "simulated", &clock)
                .await
                .map_err(|diagnostic| Failed {
                    error: diagnostic.error_type,
                    cause: diagnostic.error_message,
                })
        })
    });
    Process {
        serve,
        read: read::<I>,
    }
}

/// Reads an event as an activity does. Gives the names of what it leaves unread.
fn read<I: DeserializeOwned>(mut event: Value) -> Result<Vec<String>, String> {
    Trace::take_from(&mut event);
    let mut unread = Vec::new();
    let note = |path: serde_ignored::Path<'_>| unread.push(path.to_string());
    match serde_ignored::deserialize::<_, _, I>(event, note) {
        Ok(_) => Ok(unread),
        Err(error) => Err(error.to_string()),
    }
}

/// A process that shows the platform no errors.
fn infallible<P, I, O, F>(
    parts: P,
    run: impl Fn(Arc<P>, I) -> F + Send + Sync + Clone + 'static,
) -> Process
where
    P: Send + Sync + 'static,
    I: DeserializeOwned + Send + 'static,
    O: Serialize + 'static,
    F: Future<Output = O> + Send + 'static,
{
    let parts = Arc::new(parts);
    let serve: Serve = Arc::new(move |event: Value| {
        let (parts, run) = (Arc::clone(&parts), run.clone());
        Box::pin(async move {
            let input = serde_json::from_value(event)
                .map_err(|error| Failed::new("InvalidInput", error.to_string()))?;
            let output = run(parts, input).await;
            serde_json::to_value(output)
                .map_err(|error| Failed::new("InvalidOutput", error.to_string()))
        })
    });
    Process {
        serve,
        read: read::<I>,
    }
}

/// The programs of all functions, with their time limits.
///
/// # Errors
/// A function is not known to the deployment.
pub(crate) fn programs(
    wiring: &Wiring,
    limit: impl Fn(&str) -> Result<Duration>,
) -> Result<BTreeMap<&'static str, Program>> {
    let mut programs = BTreeMap::new();
    let mut add = |name: &'static str, start: fn(&Wiring) -> Process| -> Result<()> {
        let wiring = wiring.clone();
        let program = Program {
            // The copy has no clients yet: each process makes its own.
            start: Box::new(move || start(&wiring.clone())),
            limit: limit(name)?,
        };
        programs.insert(name, program);
        Ok(())
    };
    add("cardtoken", |w| {
        let parts = cardtoken::Parts {
            orders: w.orders(),
            checkouts: w.checkouts(),
            bank: w.bank(),
            executions: w.executions(&w.payment_machine),
            merchants: w.merchants.clone(),
            bases: w.bases.clone(),
            bank_origins: vec![w.bank_url.origin()],
            random: w.random.clone(),
        };
        infallible(parts, |p, request| async move {
            cardtoken::answer(&p, &request).await
        })
    })?;
    add("callback", |w| {
        let parts = callback::Parts {
            sources: w.sources(),
            checkouts: w.checkouts(),
            orders: w.orders(),
            bank: w.bank(),
            executions: w.executions(&w.payment_machine),
            refunds: w.executions(&w.refund_machine),
            bases: w.bases.clone(),
        };
        infallible(parts, |p, request| async move {
            callback::answer(&p, &request).await
        })
    })?;
    add("check-status", |w| {
        let parts = (w.check_status(), w.shop_base.clone());
        infallible(parts, |p, request| async move {
            check_status::answer(&p.0, &p.1, &request).await
        })
    })?;
    add("reconcile", |w| {
        let parts = reconcile::Parts {
            checkouts: w.checkouts(),
            bank: w.bank(),
            finds_by_reference: w.finds_by_reference,
            executions: w.executions(&w.payment_machine),
        };
        infallible(parts, |p, input| async move {
            reconcile::reconcile(&p, &input).await
        })
    })?;
    add("parse-callback", |w| {
        activity((), &w.clock, |_, input: parse_callback::Input| async move {
            parse_callback::parse(&input.input)
        })
    })?;
    add("lookup-record", |w| {
        let parts = lookup_record::Parts {
            sources: w.sources(),
            orders: w.orders(),
        };
        activity(parts, &w.clock, |p, input| async move {
            lookup_record::lookup(&p, &input).await
        })
    })?;
    add("inquire-charge", |w| {
        activity(w.bank(), &w.clock, |p, input| async move {
            inquire_charge::inquire(&p, &input).await
        })
    })?;
    add("record-outcome", |w| {
        let parts = record_outcome::Tables {
            sources: w.sources(),
            outcomes: Outcomes::new(w.database(), w.names.outcomes.clone()),
            check_status: w.check_status(),
        };
        activity(parts, &w.clock, |p, input| async move {
            record_outcome::record(&p, &input).await
        })
    })?;
    add("pay-order", |w| {
        let parts = pay_order::Tables {
            orders: w.orders(),
            records: w.records(),
            check_status: w.check_status(),
        };
        activity(parts, &w.clock, |p, input| async move {
            pay_order::pay(&p, &input).await
        })
    })?;
    add("notify", |w| {
        let endpoint = WebhookEndpoint::new(
            w.webhook_url.clone(),
            w.shop.clone(),
            w.shop_timeout,
            w.clock.clone(),
        );
        let shop = notify::Shop {
            endpoint,
            signing_key: w.secret(&w.webhook_secret),
        };
        activity(shop, &w.clock, |p, input| async move {
            notify::notify(&p, &input).await
        })
    })?;
    add("ensure-kbank-user", |w| {
        let parts = ensure_kbank_user::Parts {
            bank: w.bank(),
            mapping: Mapping::new(w.database(), w.names.mapping.clone()),
            records: w.records(),
            orders: w.orders(),
        };
        activity(parts, &w.clock, |p, input| async move {
            ensure_kbank_user::ensure(&p, &input).await
        })
    })?;
    add("add-card", |w| {
        activity((w.bank(), w.records()), &w.clock, |p, input| async move {
            add_card::add(&p.0, &p.1, &input).await
        })
    })?;
    add("reverse-charge", |w| {
        let parts = reverse_charge::Parts {
            bank: w.bank(),
            records: w.records(),
            check_status: w.check_status(),
        };
        activity(parts, &w.clock, |p, input| async move {
            reverse_charge::reverse(&p, &input).await
        })
    })?;
    add("check-refund", |w| {
        activity(w.refund_tables(), &w.clock, |p, input| async move {
            check_refund::check(&p, &input).await
        })
    })?;
    add("void-charge", |w| {
        let parts = refund_request::Parts {
            bank: w.bank(),
            records: w.records(),
        };
        activity(parts, &w.clock, |p, input| async move {
            void_charge::void(&p, &input).await
        })
    })?;
    add("refund-charge", |w| {
        let parts = refund_request::Parts {
            bank: w.bank(),
            records: w.records(),
        };
        activity(parts, &w.clock, |p, input| async move {
            refund_charge::refund(&p, &input).await
        })
    })?;
    add("find-refund", |w| {
        activity(w.records(), &w.clock, |p, input| async move {
            find_refund::find(&p, &input).await
        })
    })?;
    add("record-refund", |w| {
        activity(w.refund_tables(), &w.clock, |p, input| async move {
            record_refund::record(&p, &input).await
        })
    })?;
    add("record-elsewhere", |w| {
        activity(w.refund_tables(), &w.clock, |p, input| async move {
            record_elsewhere::record(&p, &input).await
        })
    })?;
    add("report-stuck", |w| {
        activity((), &w.clock, |_, input| async move {
            report_stuck::report(&input)
        })
    })?;
    Ok(programs)
}
