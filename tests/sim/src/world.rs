//! The world of one run: the deployed system, everybody around it, and what they did.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;
use http::{Method, Request};
use jiff::Timestamp;
use payment3_bank::Dialect;
use payment3_harness::http::{FORM, form};
use payment3_model::Machine;
use serde_json::{Value, json};

use crate::api::Api;
use crate::bank::SimBank;
use crate::deployment::TableNames;
use crate::dynamodb::{DynamoDb, Lag};
use crate::functions::Functions;
use crate::items;
use crate::logs::Logs;
use crate::network::Network;
use crate::random::Random;
use crate::release::{Definitions, Noted};
use crate::shop::{Order, Shop};
use crate::step_functions::{Status, StepFunctions};
use crate::time::{DAY, HOUR, MINUTE, Time};
use crate::trace::Trace;
use crate::watch::Watch;

/// What the shop does to an order by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// It is cancelled, unless it is paid.
    Cancel,
    /// It is deleted.
    Delete,
    /// Its total changes, unless it is paid.
    Reprice,
    /// Its tracking grows: nobody's business here.
    Track,
}

/// What a person did to a payment, or knows of it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    /// The shoppers' payments: number, order, owner, token.
    pub(crate) payments: Vec<(usize, String, String, String)>,
    /// The orders with their owner, and what the shop did to each, with when.
    pub(crate) orders: BTreeMap<String, (String, Vec<(Timestamp, Change)>)>,
    /// The charges that the former system made.
    pub(crate) former: BTreeSet<String>,
    /// Charges that somebody touched in the bank's portal.
    pub(crate) by_hand: BTreeSet<String>,
    /// When the shop's endpoint was closed, and when it was opened again.
    pub(crate) endpoint_closed: Vec<(Timestamp, Timestamp)>,
    /// When the secret got the bank's latest key, if the bank's key was rotated.
    pub(crate) key_rotated: Option<Timestamp>,
}

impl Facts {
    /// Whether the shop's endpoint was closed at that time.
    pub(crate) fn was_closed(&self, at: Option<Timestamp>) -> bool {
        let mut closed = self.endpoint_closed.iter();
        closed.any(|(from, until)| at.is_some_and(|at| (*from..=*until).contains(&at)))
    }
}

/// How a seed's world is.
#[derive(Debug, Clone)]
pub(crate) struct Character {
    /// For how long things begin.
    pub(crate) active: Duration,
    /// How many shoppers there are.
    pub(crate) crowd: usize,
    /// How long an outage lasts at most, of anything.
    pub(crate) outage: Duration,
    /// How likely a paid order is given back by the back office.
    pub(crate) refunds: f64,
    /// How likely somebody works in the portal on a paid charge.
    pub(crate) portal: f64,
    /// The bank's dialects of this run.
    pub(crate) dialects: Vec<Dialect>,
    /// Whether the bank answers inquiries by reference, and the deployment knows it.
    pub(crate) finds_by_reference: bool,
    /// How far indexes lag behind.
    pub(crate) lag: Lag,
    /// Which definitions the first executions begin with.
    pub(crate) begins_with: Definitions,
    /// How far the clocks of processes are apart.
    pub(crate) skew: Duration,
    /// How likely a card was charged by the former system's checkout.
    pub(crate) former: f64,
}

impl Character {
    /// Nobody does anything by himself, and the bank is as usual.
    pub(crate) fn calm() -> Self {
        Self {
            active: Duration::ZERO,
            crowd: 0,
            outage: Duration::ZERO,
            refunds: 0.0,
            portal: 0.0,
            dialects: vec![Dialect::Usual],
            finds_by_reference: true,
            lag: Lag::NONE,
            begins_with: Definitions::Current,
            skew: Duration::ZERO,
            former: 0.0,
        }
    }

    /// The character of a seed.
    pub(crate) fn of(random: &Random) -> Self {
        let random = random.of("character");
        let harmless: Vec<_> = Dialect::ALL
            .iter()
            .copied()
            .filter(|dialect| harmless(*dialect))
            .collect();
        let dialects = match random.below(3) {
            0 => vec![Dialect::Usual],
            _ => (0..1 + random.below(4))
                .map(|_| *random.pick(&harmless))
                .collect(),
        };
        // Each payment tries again dozens of times in an outage of hours, and one as the other.
        let (outage, most) = *random.pick(&[
            (10 * MINUTE, 30),
            (HOUR, 30),
            (HOUR, 30),
            (6 * HOUR, 10),
            (5 * DAY, 4),
        ]);
        Self {
            crowd: 1 + random.below(most) as usize,
            outage,
            active: random.between(Duration::from_secs(600), Duration::from_secs(3 * 86_400)),
            refunds: *random.pick(&[0.0, 0.3, 0.8]),
            portal: *random.pick(&[0.0, 0.0, 0.2]),
            finds_by_reference: random.chance(0.5)
                && !dialects.contains(&Dialect::NoInquiryByReference),
            dialects,
            lag: *random.pick(&[
                Lag::NONE,
                Lag::USUAL,
                Lag::USUAL,
                Lag {
                    rarely: (0.02, Duration::from_secs(600)),
                    ..Lag::USUAL
                },
            ]),
            begins_with: *random.pick(&[
                Definitions::Current,
                Definitions::Current,
                Definitions::Current,
                Definitions::Released,
            ]),
            skew: *random.pick(&[Duration::ZERO, Duration::ZERO, Duration::from_secs(2)]),
            former: *random.pick(&[0.0, 0.0, 0.0, 0.3]),
        }
    }
}

/// The world, as everybody in it sees it.
#[derive(Clone)]
pub(crate) struct World(pub(crate) Arc<Parts>);

/// Its parts.
pub(crate) struct Parts {
    pub(crate) time: Time,
    pub(crate) random: Random,
    pub(crate) trace: Trace,
    pub(crate) character: Character,
    pub(crate) network: Network,
    pub(crate) tables: DynamoDb,
    pub(crate) names: TableNames,
    pub(crate) functions: Functions,
    pub(crate) step_functions: StepFunctions,
    /// What a deployment deploys.
    pub(crate) definitions: BTreeMap<Machine, Arc<payment3_model::Definition>>,
    /// What the states gave to their functions.
    pub(crate) given: Noted,
    pub(crate) api: Api,
    pub(crate) bank: SimBank,
    pub(crate) shop: Shop,
    pub(crate) watch: Watch,
    pub(crate) secrets: crate::secrecy::Secrets,
    pub(crate) logs: Logs,
    pub(crate) merchant: String,
    pub(crate) vault: crate::secrets::Secrets,
    pub(crate) gateway_secret: String,
    pub(crate) webhook_secret: String,
    pub(crate) facts: Mutex<Facts>,
}

impl World {
    pub(crate) fn time(&self) -> &Time {
        &self.0.time
    }

    pub(crate) fn random(&self) -> &Random {
        &self.0.random
    }

    pub(crate) fn trace(&self) -> &Trace {
        &self.0.trace
    }

    pub(crate) fn api(&self) -> &Api {
        &self.0.api
    }

    pub(crate) fn bank(&self) -> &SimBank {
        &self.0.bank
    }

    /// How long an outage lasts at most.
    pub(crate) fn outage(&self) -> Duration {
        self.0.character.outage
    }

    /// The merchant account that forms name.
    pub(crate) fn merchant(&self) -> &str {
        &self.0.merchant
    }

    /// For how long things begin.
    pub(crate) fn active(&self) -> Duration {
        self.0.character.active
    }

    /// How likely a paid order is given back.
    pub(crate) fn refunds(&self) -> f64 {
        self.0.character.refunds
    }

    /// How likely somebody works in the portal.
    pub(crate) fn portal(&self) -> f64 {
        self.0.character.portal
    }

    /// A dialect of the bank's for a payment.
    pub(crate) fn dialect(&self, random: &Random) -> Dialect {
        *random.pick(&self.0.character.dialects)
    }

    /// Whether the bank speaks this dialect in some payments.
    pub(crate) fn speaks(&self, dialect: Dialect) -> bool {
        self.0.character.dialects.contains(&dialect)
    }

    /// What people did.
    pub(crate) fn facts(&self) -> MutexGuard<'_, Facts> {
        self.0.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A shopper pays an order with a card token.
    pub(crate) fn paying(&self, number: usize, order: &str, owner: &str, token: &str) {
        self.0.secrets.add(token);
        self.facts()
            .payments
            .push((number, order.to_owned(), owner.to_owned(), token.to_owned()));
    }

    /// Somebody gave money of a charge back in the bank's portal.
    pub(crate) fn given_back_by_hand(&self, charge: &str) {
        self.trace().tell(format_args!(
            "{charge} is given back by hand, or a part of it"
        ));
        self.facts().by_hand.insert(charge.to_owned());
    }

    /// A charge of somebody, if there is one.
    pub(crate) fn some_charge(&self, random: &Random) -> Option<String> {
        let records = self.0.watch.records();
        let charges: Vec<_> = records
            .values()
            .filter_map(|record| record["chargeId"].as_str())
            .collect();
        (!charges.is_empty()).then(|| (*random.pick(&charges)).to_owned())
    }

    /// A request of the API.
    pub(crate) fn request(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: Vec<u8>,
    ) -> Request<Vec<u8>> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", content_type)
            .body(body);
        request.unwrap_or_else(|error| unreachable!("{path}: {error}"))
    }

    /// A form, as a browser posts it.
    pub(crate) fn form<K: AsRef<str>, V: AsRef<str>>(
        &self,
        path: &str,
        fields: impl IntoIterator<Item: Borrow<(K, V)>>,
    ) -> Request<Vec<u8>> {
        self.request(Method::POST, path, FORM, form(fields).into_bytes())
    }

    /// What `/checkstatus` answers about an order.
    pub(crate) async fn shown_status(&self, who: &str, order: &str) -> Option<Value> {
        let path = format!("/checkstatus/{order}");
        let request = self.request(Method::GET, &path, "application/json", Vec::new());
        let answer = self.0.api.request(who, request).await.ok()?;
        let shown = serde_json::from_slice(answer.body()).ok()?;
        (answer.status() == http::StatusCode::OK).then_some(shown)
    }

    /// The shop takes an order.
    pub(crate) fn shop_takes_order(&self, order: &Order) -> Result<()> {
        let Order {
            id,
            owner_id,
            satang,
            email,
            ..
        } = order;
        self.trace()
            .tell(format_args!("{owner_id} orders {id} over {satang} satang"));
        if let Some((_, email)) = email {
            self.0.secrets.add(email);
        }
        let item = items::attributes(&order.item(self.0.time.now())?);
        self.0.tables.store(&self.0.names.orders, &item)?;
        self.0.watch.look();
        self.facts()
            .orders
            .insert(id.clone(), (owner_id.clone(), Vec::new()));
        Ok(())
    }

    /// The shop changes an order by itself.
    pub(crate) fn shop_changes(&self, order: &str, change: Change) {
        let table = &self.0.names.orders;
        let Some(mut item) = self.0.tables.item(table, &[order]) else {
            return;
        };
        let is_paid = items::plain(&item)["data"]["payment"]["isPaid"] == true;
        match change {
            // A shop's timer cancels what it finds unpaid.
            Change::Cancel | Change::Reprice if is_paid => return,
            Change::Track => {
                let step = json!({"M": {"status": {"S": "packed"}}});
                items::set_in_data(&mut item, &["tracking"], json!({ "L": [step] }));
            }
            Change::Cancel => {
                items::set_in_data(&mut item, &["isCancelled"], json!({"BOOL": true}));
            }
            Change::Reprice => {
                let total = json!({"N": "77.25"});
                items::set_in_data(&mut item, &["payment", "grandTotal"], total);
            }
            Change::Delete => {}
        }
        self.trace()
            .tell(format_args!("the shop: {change:?} {order}"));
        if change == Change::Delete {
            let _ = self.0.tables.remove(table, "orderId", order);
        } else {
            // The item was an item before.
            let _ = self.0.tables.store(table, &item);
        }
        self.0.watch.look();
        if let Some((_, changes)) = self.facts().orders.get_mut(order) {
            changes.push((self.time().now(), change));
        }
    }

    /// The shop's endpoint answers everything with this status, or works again.
    pub(crate) fn shop_answers(&self, status: Option<u16>) {
        self.trace()
            .tell(format_args!("the shop's endpoint answers {status:?}"));
        let now = self.time().now();
        let closed = &mut self.facts().endpoint_closed;
        match (status, closed.last_mut()) {
            (Some(_), _) => closed.push((now, Timestamp::MAX)),
            (None, Some((_, opened))) => *opened = now,
            (None, None) => {}
        }
        // Every status here is one.
        let _ = self.0.shop.answer_with(status);
    }

    /// The secret with the bank's key is put.
    pub(crate) fn put_bank_key(&self, key: &str) {
        self.trace().tell(format_args!("the bank's key is put"));
        self.0.secrets.add(key);
        self.facts().key_rotated = Some(self.time().now());
        let secret = gateway_secret(key);
        self.0.vault.put(&self.0.gateway_secret, &secret);
    }

    /// Shop and system get a new key for events, the shop first.
    pub(crate) fn rotate_webhook_key(&self, number: u64) {
        let key = format!("b2J2aW91c2x5LWZha2Utc2ltdWxhdGVkLWtleS0wMD{number}=");
        self.trace()
            .tell(format_args!("the key for events is rotated"));
        self.0.secrets.add(&key);
        if self.0.shop.rotate_key(&key).is_ok() {
            let secret = json!({ "signingKey": key }).to_string();
            self.0.vault.put(&self.0.webhook_secret, &secret);
        }
    }

    /// Starts an execution of the refund machine, as somebody with the right for it.
    pub(crate) fn start_refund(&self, name: &str, input: &Value) {
        self.start(Machine::Refund, name, input);
    }

    /// Starts an execution of the payment machine by hand.
    pub(crate) fn start_payment(&self, name: &str, input: &Value) {
        self.start(Machine::Payment, name, input);
    }

    fn start(&self, machine: Machine, name: &str, input: &Value) {
        let started = self.0.step_functions.start(machine, name, input.clone());
        self.trace().tell(format_args!(
            "started by hand: {machine} {name} {input}: {}",
            if started.is_ok() {
                "yes"
            } else {
                "exists already"
            }
        ));
    }

    /// Redrives every execution that failed.
    pub(crate) fn redrive_all(&self) {
        for machine in Machine::ALL {
            for status in [Status::Failed, Status::TimedOut, Status::Aborted] {
                for execution in self.0.step_functions.list(machine, Some(status)) {
                    let name = &execution.name;
                    let done = self.0.step_functions.redrive(machine, name);
                    self.trace()
                        .tell(format_args!("redriven by hand: {name}: {done:?}"));
                }
            }
        }
    }

    /// Reconciles now, all shards. Nobody waits for an answer for ever.
    pub(crate) async fn reconcile_now(&self) {
        let call = self.0.functions.call("reconcile", "by hand", json!({}));
        let _ = tokio::time::timeout(Duration::from_secs(60), call).await;
    }

    /// Deploys the same system again: all processes are new.
    pub(crate) fn deploy(&self) {
        self.trace().tell(format_args!("deployed"));
        self.0.functions.deploy();
        for (machine, definition) in &self.0.definitions {
            self.0
                .step_functions
                .deploy(*machine, Arc::clone(definition));
        }
    }
}

/// A dialect that changes nothing in how a payment ends.
fn harmless(dialect: Dialect) -> bool {
    !matches!(
        dialect,
        Dialect::MisspeltAuthorized | Dialect::UnknownState | Dialect::FailWithAuthorized
    )
}

/// The address of the bank.
pub(crate) const BANK: &str = "https://bank.example";

/// The text of the secret with the bank's address and key.
pub(crate) fn gateway_secret(key: &str) -> String {
    json!({"url": BANK, "b2c": format!("{}:{key}", payment3_bank::PUBLIC_KEY)}).to_string()
}
