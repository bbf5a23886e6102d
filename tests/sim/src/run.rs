//! One run: a world is built from a seed, everybody lives in it, the faults end, and everything that happened is judged.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result};
use futures_util::FutureExt;
use http::Request;
use jiff::{SignedDuration, Timestamp};
use payment3_activities::clock::Clock;
use payment3_activities::domain::callback_base::CallbackBases;
use payment3_activities::domain::ids::{CardToken, MerchantId};
use payment3_bank::Dialect;
use payment3_harness::fast_retries::shorten;
use payment3_harness::fault_plan::FaultPlans;
use payment3_harness::inspect::BankToken;
use payment3_harness::invariants::{OrderSeen, PaymentSeen};
use payment3_harness::shop_api::{self, ReceivedEvent};
use payment3_model::{Definition, Machine, Policy};
use serde_json::{Value, json};
use tokio::time::sleep;
use tracing_subscriber::layer::SubscriberExt;
use url::Url;

use crate::api::Api;
use crate::bank::{Addresses, SimBank};
use crate::bounds;
use crate::cloud::Cloud;
use crate::deployment::Deployment;
use crate::dynamodb::DynamoDb;
use crate::ends::{self, Account, Circumstances, Tally};
use crate::functions::Functions;
use crate::items;
use crate::logs::Logs;
use crate::network::{Network, Struck, ended};
use crate::people::shopper::Shopper;
use crate::people::{
    back_office, bank_clerk, forger, insistent, keeper_of_keys, on_call, shop_keeper,
};
use crate::programs::{self, Clients, Wiring};
use crate::random::Random;
use crate::release::{Definitions, Noted};
use crate::rights::{Rights, Uses};
use crate::secrecy::Secrets;
use crate::secrets::Secrets as Vault;
use crate::senders::{bank_sender, shop_sender};
use crate::services::{ExecutionService, SecretService, Slot, TableService};
use crate::shop::Shop;
use crate::step_functions::{Description, Status, StepFunctions, machine_arn};
use crate::tasks::Callees;
use crate::time::{DAY, HOUR, MINUTE, Time};
use crate::trace::Trace;
use crate::watch::{BankBooks, Watch};
use crate::weather::Weather;
use crate::world::{BANK, Character, Facts, Parts, World, gateway_secret};

/// When every run begins.
const START: &str = "2026-03-01T02:00:00Z";
/// For how long it goes on at most after the faults have ended: what waits the longest is a refund, for 14 days.
const SETTLES_WITHIN: Duration = Duration::from_secs(20 * 86_400);

/// What to run.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The seed: everything follows from it.
    pub seed: u64,
    /// The shoppers that take part; all of the seed's where it is absent.
    pub shoppers: Option<BTreeSet<usize>>,
    /// The calls at which a fault may happen, by their names; all where it is absent.
    pub faults: Option<BTreeSet<String>>,
    /// Whether the trace is kept.
    pub trace: bool,
    /// Which definitions are deployed for a flow; a seed chooses by itself.
    pub begins_with: Definitions,
}

/// What came of a run.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// What was run.
    pub seed: u64,
    /// The shoppers that took part.
    pub shoppers: BTreeSet<usize>,
    /// Payments that were tried.
    pub payments: usize,
    /// Orders that were paid.
    pub paid: usize,
    /// Authorised charges whose money went back.
    pub reversed: usize,
    /// Payments that stand for a person.
    pub standing: usize,
    /// Executions of the refund machine.
    pub refunds: usize,
    /// Calls of all parties.
    pub calls: usize,
    /// Virtual time that passed.
    pub passed: Duration,
    /// The faults that happened.
    pub struck: Vec<Struck>,
    /// What functions and machines used of their rights.
    pub rights: Uses,
    /// What does not hold; empty where everything does.
    pub findings: Vec<String>,
    /// What happened, in words, if it was wanted.
    pub trace: Vec<String>,
}

impl Outcome {
    /// How often each kind of fault happened.
    pub fn faults(&self) -> BTreeMap<&'static str, usize> {
        let mut counts = BTreeMap::new();
        for struck in &self.struck {
            *counts.entry(struck.fault.name()).or_default() += 1;
        }
        counts
    }
}

/// Plays a seed's world to its end and judges it.
///
/// # Errors
/// The world cannot be built: the definitions or the deployment's facts cannot be read.
///
/// # Panics
/// An activity panics: the message holds where.
pub fn run(options: &Options) -> Result<Outcome> {
    alone(options.seed, async |secrets, logs| {
        let built = Built::new(options, None, &secrets, &logs).await?;
        built.live().await
    })
}

/// Has something done in a calm world.
///
/// # Errors
/// The world cannot be built, or what is done fails.
pub(crate) fn in_a_calm_world<T>(work: impl AsyncFnOnce(&World) -> Result<T>) -> Result<T> {
    let options = Options::default();
    alone(options.seed, async |secrets, logs| {
        let built = Built::new(&options, Some(&FaultPlans::default()), &secrets, &logs).await?;
        work(&built.world).await
    })
}

/// Runs something with time and randomness of its own. What it logs is kept.
pub(crate) fn alone<T>(seed: u64, work: impl AsyncFnOnce(Secrets, Logs) -> Result<T>) -> Result<T> {
    // The SDK's pauses between tries are random, too.
    fastrand::seed(seed);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()?;
    let secrets = Secrets::default();
    let logs = Logs::new(&secrets);
    let subscriber = tracing_subscriber::registry().with(logs.clone());
    tracing::subscriber::with_default(subscriber, || runtime.block_on(work(secrets, logs)))
}

/// A world, and what is needed to judge it.
pub(crate) struct Built {
    seed: u64,
    pub(crate) world: World,
    /// The ARNs of the deployment's secrets.
    pub(crate) secret_arns: Vec<String>,
    secrets: Secrets,
    shoppers: BTreeSet<usize>,
    pub(crate) began: Timestamp,
    /// When the faults end.
    fine_from: tokio::time::Instant,
    pub(crate) rights: Rights,
    api: Slot<Api>,
    executions: Slot<StepFunctions>,
}

impl BankBooks for SimBank {
    fn charge(&self, id: &str) -> Option<Value> {
        SimBank::charge(self, id)
    }
}

impl Built {
    /// A world. With `plans` everything is calm in it, and faults happen only at the calls that they name; it is as the
    /// local AWS is that plays them, too.
    pub(crate) async fn new(
        options: &Options,
        plans: Option<&FaultPlans>,
        secrets: &Secrets,
        logs: &Logs,
    ) -> Result<Self> {
        let deployment = Deployment::read()?;
        let began: Timestamp = START.parse()?;
        let time = Time::new(began);
        let random = Random::new(options.seed);
        let trace = Trace::new(&time, options.trace);
        let character = match plans {
            Some(_) => Character {
                begins_with: options.begins_with,
                ..Character::calm()
            },
            None => Character::of(&random),
        };
        let until = character.active + random.of("calm").between(MINUTE, 6 * DAY);
        let fine_from = tokio::time::Instant::now() + until;
        let weather = match plans {
            Some(_) => Weather::fine(),
            None => Weather::new(&random, character.outage, until),
        };
        trace.tell(format_args!("seed {}: {character:?}", options.seed));
        for spell in weather.spells() {
            trace.tell(format_args!("weather: {spell}"));
        }
        let only = options.faults.clone();
        let network = Network::new(&random, &trace, weather, only, plans.cloned());
        let facts = deployment.table_facts();
        let tables = DynamoDb::new(time.clone(), random.of("tables"), &facts)?;
        tables.watch_changes();
        tables.set_lag(character.lag);
        let names = deployment.table_names();
        let api_slot = Slot::<Api>::empty();
        let bank = bank(&time, &random, &api_slot).await;
        if plans.is_some() {
            // Beside a return, the calls would depend on which one is first.
            bank.agree(&addresses(), true).await;
        }
        let shop = Shop::new(time.clone(), WEBHOOK_KEY)?;
        let watch = Watch::new(&time, &trace, &names, &tables, Arc::new(bank.clone()));
        let watched = watch.over(Arc::new(TableService(tables.clone())));
        let executions = Slot::empty();
        let vault = Vault::new(time.clone());
        let (gateway, webhook) = (
            &deployment.secrets["gateway"],
            &deployment.secrets["shop-webhook"],
        );
        vault.put(gateway, &gateway_secret(payment3_bank::SECRET_KEY));
        vault.put(webhook, &json!({"signingKey": WEBHOOK_KEY}).to_string());
        secrets.add(WEBHOOK_KEY);
        secrets.add(payment3_bank::SECRET_KEY);
        let rights = Rights::of(deployment);
        let cloud = Cloud::new(
            network.clone(),
            rights.clone(),
            Arc::clone(&watched),
            Arc::new(SecretService(vault.clone())),
            Arc::new(ExecutionService(executions.clone())),
        );
        let setting = |function: &str, variable: &str| -> Result<String> {
            let environment = &deployment.functions[function].environment;
            let value = environment.get(variable).cloned();
            value.with_context(|| format!("{function} has no {variable}"))
        };
        let millis = |function: &str, variable: &str| {
            let facts = deployment.functions.get(function);
            let value = facts.and_then(|facts| facts.millis(variable));
            value.with_context(|| format!("{function} has no {variable}"))
        };
        let shop_base = setting("cardtoken", "DEFAULT_CALLBACK_BASE")?;
        let bases: Vec<_> = setting("cardtoken", "CALLBACK_BASES")?
            .split(',')
            .map(str::to_owned)
            .collect();
        let merchant = setting("cardtoken", "MERCHANT_IDS")?;
        let wiring = Wiring {
            sdk: cloud.sdk(millis("pay-order", "AWS_TIMEOUT_MS")?)?,
            clients: Clients::default(),
            clock: clock(&time, &random.of("clocks"), character.skew),
            random: payment3_activities::random::Random::new({
                let random = random.of("references");
                move |bytes: &mut [u8]| {
                    random.fill(bytes);
                    Ok(())
                }
            }),
            bank: bank_sender(&network, &bank, &watch),
            shop: shop_sender(&network, &shop),
            names: names.clone(),
            payment_machine: machine_arn(Machine::Payment),
            refund_machine: machine_arn(Machine::Refund),
            gateway_secret: gateway.clone(),
            webhook_secret: webhook.clone(),
            webhook_url: Url::parse(&setting("notify", "SHOP_WEBHOOK_URL")?)?,
            bank_url: Url::parse(BANK)?,
            merchants: vec![MerchantId::new(merchant.clone())?],
            bases: CallbackBases::new(&bases, &shop_base)?,
            shop_base,
            finds_by_reference: character.finds_by_reference,
            bank_timeout: millis("cardtoken", "BANK_TIMEOUT_MS")?,
            shop_timeout: millis("notify", "SHOP_TIMEOUT_MS")?,
        };
        let programs = programs::programs(&wiring, |name| {
            let facts = deployment.functions.get(name);
            facts
                .map(|facts| facts.timeout)
                .with_context(|| format!("no function {name}"))
        })?;
        let functions = Functions::new(&network, &trace, programs);
        let given = Noted::default();
        let callees = Callees {
            functions: functions.clone(),
            tables: watched,
            network: network.clone(),
            rights: rights.clone(),
            names: deployment
                .functions
                .iter()
                .map(|(name, facts)| (facts.arn.clone(), name.clone()))
                .collect(),
            given: given.clone(),
        };
        let step_functions = StepFunctions::new(
            time.clone(),
            random.of("step functions"),
            Arc::new(callees),
            observer(&trace, secrets),
        );
        let policy = match plans {
            Some(_) => Policy::EveryOrder,
            None => *random.of("policy").pick(&Policy::ALL),
        };
        let shortened = plans.is_some();
        let of = |which| definitions(which, policy, deployment, shortened);
        let definitions = of(Definitions::Current)?;
        let first = match character.begins_with {
            Definitions::Current => definitions.clone(),
            Definitions::Released => of(Definitions::Released)?,
        };
        for (machine, definition) in first {
            step_functions.deploy(machine, definition);
        }
        executions.put(step_functions.clone());
        let routes = deployment.routes.iter();
        let routes = routes
            .map(|route| (route.key.clone(), route.function.clone()))
            .collect();
        let api = Api::new(&network, &functions, routes);
        api_slot.put(api.clone());

        let everybody: BTreeSet<usize> = (0..character.crowd).collect();
        let shoppers = match &options.shoppers {
            Some(some) => everybody.intersection(some).copied().collect(),
            None => everybody,
        };
        let world = World(Arc::new(Parts {
            time,
            random,
            trace,
            character,
            network,
            tables,
            names,
            functions,
            step_functions,
            definitions,
            given,
            api,
            bank,
            shop,
            watch,
            secrets: secrets.clone(),
            logs: logs.clone(),
            merchant,
            vault,
            gateway_secret: gateway.clone(),
            webhook_secret: webhook.clone(),
            facts: Mutex::new(Facts::default()),
        }));
        Ok(Self {
            seed: options.seed,
            world,
            secret_arns: vec![gateway.clone(), webhook.clone()],
            secrets: secrets.clone(),
            shoppers,
            began,
            fine_from,
            rights,
            api: api_slot,
            executions,
        })
    }

    async fn live(self) -> Result<Outcome> {
        let world = &self.world;
        let schedule = tokio::spawn(schedule(world.clone()));
        let settlement = tokio::spawn(bank_clerk::settles(world.clone()));
        let mut people = Vec::new();
        for number in &self.shoppers {
            people.push(tokio::spawn(Shopper::new(world, *number).live()));
        }
        people.push(tokio::spawn(forger::tries(world.clone())));
        people.push(tokio::spawn(insistent::insists(world.clone())));
        people.push(tokio::spawn(bank_clerk::approves_after_all(world.clone())));
        people.push(tokio::spawn(on_call::works(world.clone())));
        people.push(tokio::spawn(on_call::redrives_after_outages(world.clone())));
        people.push(tokio::spawn(keeper_of_keys::rotates(world.clone())));
        people.push(tokio::spawn(shop_keeper::closes_the_endpoint(
            world.clone(),
        )));
        for person in people {
            ended(person).await;
        }
        world.trace().tell(format_args!("everybody is done"));
        tokio::time::sleep_until(self.fine_from).await;
        world.trace().tell(format_args!("no more faults"));
        let until = tokio::time::Instant::now() + SETTLES_WITHIN;
        let mut quiet_for = Duration::ZERO;
        // The back office and the clerk may still come, after the shoppers are gone.
        while tokio::time::Instant::now() < until && quiet_for < DAY {
            sleep(HOUR).await;
            quiet_for = if self.is_quiet() {
                quiet_for + HOUR
            } else {
                Duration::ZERO
            };
        }
        schedule.abort();
        settlement.abort();
        self.judge().await
    }

    /// Nothing runs, and nothing is due.
    fn is_quiet(&self) -> bool {
        let parts = &self.world.0;
        parts.step_functions.running() == 0 && parts.watch.open().is_empty()
    }

    async fn judge(self) -> Result<Outcome> {
        let world = &self.world;
        let parts = &world.0;
        let mut findings = parts.watch.broken();
        findings.extend(self.secrets.seen());
        let rights = self.rights.uses();
        findings.extend(rights.findings());
        let executions = parts.step_functions.list(Machine::Payment, None);
        findings.extend(bounds::broken(&executions));
        let struck = parts.network.struck();
        let facts = world.facts().clone();
        let mut alarms = Vec::new();
        for error in ["PaymentStands", "OrphanCheckout"] {
            alarms.extend(parts.logs.with_error(error));
        }
        let circumstances = Circumstances {
            played: (self.began.as_second(), parts.time.now().as_second()),
            alarms,
            by_hand: facts.by_hand.clone(),
            former: facts.former.clone(),
            finds_by_reference: (parts.character.finds_by_reference)
                .then(|| facts.key_rotated.map_or(self.began, |at| at + KEY_IS_KEPT)),
            cards_not_saved: parts.definitions[&Machine::Payment].policy != Policy::EveryOrder,
            orphans_allowed: struck
                .iter()
                .filter(|struck| struck.call.starts_with("ensure-kbank-user"))
                .count(),
        };
        let mut tally = Tally::default();
        for account in self.accounts(&facts).await {
            tally = tally.and(ends::judge(&account, &circumstances, &mut findings));
        }
        self.check_executions(&facts, &mut findings);
        // Else nothing of what is checked after every step would have been.
        if parts.watch.paid_orders() < tally.paid {
            findings.push(format!(
                "{} orders are paid, and {} were seen while they were",
                tally.paid,
                parts.watch.paid_orders()
            ));
        }
        for finding in &findings {
            world.trace().tell(format_args!("FOUND: {finding}"));
        }
        let passed = parts.time.now().duration_since(self.began);
        Ok(Outcome {
            seed: self.seed,
            shoppers: self.shoppers.clone(),
            payments: tally.payments,
            paid: tally.paid,
            reversed: tally.reversed,
            standing: tally.standing,
            refunds: parts.step_functions.list(Machine::Refund, None).len(),
            calls: parts.network.calls(),
            passed: passed.unsigned_abs(),
            struck,
            rights,
            findings,
            trace: parts.trace.take(),
        })
    }

    /// Every execution has ended, and each that failed failed for a reason that there was.
    fn check_executions(&self, facts: &Facts, findings: &mut Vec<String>) {
        let parts = &self.world.0;
        let struck = parts.network.struck();
        for machine in Machine::ALL {
            let all = parts.step_functions.list(machine, None);
            for execution in &all {
                let name = &execution.name;
                match execution.status {
                    Status::Succeeded => {}
                    Status::Failed if self.may_fail(machine, execution, &all, &struck, facts) => {}
                    Status::Failed => findings.push(format!(
                        "{machine} {name} failed with {}, and nobody gave it a reason",
                        execution.error.as_deref().unwrap_or_default()
                    )),
                    status => findings.push(format!("{machine} {name} is {}", status.word())),
                }
            }
        }
    }

    /// Whether its payment began within the minute before this execution: then an index that is seconds behind may not
    /// show its charge during all of the execution's tries.
    fn has_just_begun(&self, execution: &Description) -> bool {
        let charge = &execution.input["chargeId"];
        let records = self.world.0.watch.records();
        let record = records
            .values()
            .find(|record| record["chargeId"] == *charge);
        let began = record.and_then(|record| record["createdAt"].as_str()?.parse().ok());
        began.is_some_and(|began: Timestamp| {
            execution.started_at.duration_since(began) < SignedDuration::from_mins(1)
        })
    }

    /// Whether there was a reason for which this execution could fail.
    fn may_fail(
        &self,
        machine: Machine,
        execution: &Description,
        all: &[Description],
        struck: &[Struck],
        facts: &Facts,
    ) -> bool {
        let character = &self.world.0.character;
        let name = &execution.name;
        // A call of this execution's own, or of a function that it called: not of others about the same charge.
        let is_own = |call: &str| {
            let words: Vec<_> = call.split(' ').collect();
            let tries = |place: usize| matches!(words.get(place + 2), Some(&("try" | "redrive")));
            (0..2).any(|place| words.get(place) == Some(&name.as_str()) && tries(place))
        };
        let is_former = |execution: &Description| {
            let charge = execution.input["chargeId"].as_str();
            charge.is_some_and(|charge| facts.former.contains(charge))
        };
        match (machine, execution.error.as_deref().unwrap_or_default()) {
            (Machine::Payment, "NotificationFailed") if facts.was_closed(execution.stopped_at) => {
                true
            }
            // The other one goes on.
            (_, "DynamoDB.ConditionalCheckFailedException")
                if all.iter().any(|other| goes_on(other, execution)) =>
            {
                true
            }
            // Started by hand before the index shows the payment. What starts by itself comes again.
            (Machine::Payment, "RecordNotFound")
                if name.contains(on_call::BY_HAND)
                    && (character.lag.is_long() || self.has_just_begun(execution)) =>
            {
                true
            }
            // What becomes of another system's money is for a person to say.
            (
                Machine::Payment,
                "RefusalNeedsPerson" | "TokenReused" | "ItemUnreadable" | "ChargeMismatch",
            ) if is_former(execution) => true,
            // The next attempt went on; a redrive goes on with what has changed since.
            (Machine::Payment, _) => {
                let by_hand = |charge: &String| name.contains(charge.as_str());
                execution.redrives > 0
                    || facts.by_hand.iter().any(by_hand)
                    || struck.iter().any(|struck| is_own(&struck.call))
            }
            // What went back by hand may leave less than a refund that waits. That is a person's.
            (Machine::Refund, "RefundStuck") => {
                let order = &execution.input["orderId"];
                let records = self.world.0.watch.records();
                let mut of_order = records.values().filter(|one| one["orderId"] == *order);
                of_order.any(|record| {
                    let charge = record["chargeId"].as_str().unwrap_or_default();
                    facts.by_hand.contains(charge)
                })
            }
            // What the back office asks for that cannot be.
            (Machine::Refund, "RefundTooLarge" | "OrderNotPaid") => true,
            (Machine::Refund, "RefundUncertain") => {
                let refund = execution.input["refundId"].as_str().unwrap_or(name);
                let asked = format!("refund-charge {refund}");
                let not_answered = struck.iter().any(|struck| struck.call.starts_with(&asked));
                // Or the bank does what it is asked for, and its answer says nothing of it.
                let says_nothing = |dialect: &Dialect| {
                    matches!(
                        dialect,
                        Dialect::ReversalsAnswerEmpty | Dialect::PageInOutage
                    )
                };
                not_answered || character.dialects.iter().any(says_nothing)
            }
            (Machine::Refund, _) => false,
        }
    }

    /// What is known of each shopper.
    async fn accounts(&self, facts: &Facts) -> Vec<Account> {
        let parts = &self.world.0;
        let mut accounts = Vec::new();
        for number in &self.shoppers {
            let own = facts.payments.iter().filter(|payment| payment.0 == *number);
            let own: Vec<_> = own.collect();
            let Some((_, _, owner, _)) = own.first() else {
                continue;
            };
            let orders: BTreeMap<_, _> = facts
                .orders
                .iter()
                .filter(|(_, (of, _))| of == owner)
                .map(|(order, (_, changes))| (order.clone(), changes.clone()))
                .collect();
            let mut seen = BTreeMap::new();
            for order in orders.keys() {
                let of_order = OrderSeen {
                    item: parts.item(&parts.names.orders, order),
                    check_status: parts.item(&parts.names.check_status, order),
                    shown: self.world.shown_status("the judge", order).await,
                };
                seen.insert(order.clone(), of_order);
            }
            let payments = own.iter().map(|(_, _, _, token)| self.payment(token));
            accounts.push(Account {
                name: format!("shopper-{number}"),
                owner: owner.clone(),
                payments: payments.collect(),
                orders,
                seen,
                mapping: parts.item(&parts.names.mapping, owner),
            });
        }
        accounts
    }

    pub(crate) fn payment(&self, token: &str) -> PaymentSeen {
        let parts = &self.world.0;
        let charge = parts.bank.charge_of_token(token);
        let id = charge.as_ref().and_then(|charge| charge["id"].as_str());
        let outcomes = id.map(|id| {
            let table = &parts.names.outcomes;
            parts.tables.items_with(table, "chargeId", id)
        });
        let outcomes = outcomes.iter().flatten().map(items::plain);
        let key = CardToken::new(token).map(|token| token.record_key().as_str().to_owned());
        PaymentSeen {
            token: token.to_owned(),
            record: parts.item(&parts.names.records, &key.unwrap_or_default()),
            events: id.map(|id| events_of(&parts.shop, id)).unwrap_or_default(),
            outcomes: outcomes.collect(),
            at_bank: BankToken {
                charges: charge.clone().into_iter().collect(),
                customers: parts.bank.customers_of_token(token),
            },
        }
    }
}

impl Parts {
    /// An item as plain JSON.
    pub(crate) fn item(&self, table: &str, key: &str) -> Option<Value> {
        let item = self.tables.item(table, &[key])?;
        Some(items::plain(&item))
    }
}

/// The deliveries of events about a charge, as the invariants know them.
fn events_of(shop: &Shop, charge: &str) -> Vec<ReceivedEvent> {
    let events = shop.events_about(charge).into_iter();
    // What the shop refused it has not heard: it comes again.
    let of_it = events.filter(|(_, delivery)| delivery.is_accepted());
    of_it
        .map(|(number, delivery)| ReceivedEvent {
            number: number + 1,
            // As the demo shop answers what it takes.
            answered: 204,
            id: delivery.id,
            received_at: delivery.at,
            verified: delivery.refusal.is_none(),
            refusal: delivery.refusal.map(str::to_owned),
            repeated: delivery.repeated,
            body: delivery.body,
            delivery: shop_api::Delivery::default(),
        })
        .collect()
}

/// Whether an execution of the same payment, or of the same refund, was there to go on: it had not ended before the other
/// one began.
fn goes_on(one: &Description, other: &Description) -> bool {
    let is_same = |field: &str| one.input[field] == other.input[field];
    let until = one.stopped_at.unwrap_or(Timestamp::MAX);
    one.name != other.name
        && is_same("chargeId")
        && is_same("refundId")
        && until >= other.started_at
}

/// For how long a process may go on with a key that it has read.
const KEY_IS_KEPT: SignedDuration = SignedDuration::from_mins(5);
/// The key that events are signed with, in base64.
const WEBHOOK_KEY: &str = "b2J2aW91c2x5LWZha2Utc2ltdWxhdGVkLWtleQ==";
/// The address of the API.
const API: &str = "https://api.example";

/// The functions' clock. Marks must differ, so each reading is a nanosecond later than the one before. Processes differ
/// by up to `skew`: so each reading may be of another one.
fn clock(time: &Time, random: &Random, skew: Duration) -> Clock {
    let (time, random) = (time.clone(), random.clone());
    let readings = std::sync::atomic::AtomicI64::new(0);
    Clock::new(move || {
        let reading = readings.fetch_add(1, std::sync::atomic::Ordering::Relaxed) % 1_000_000;
        let mut later = SignedDuration::from_nanos(reading);
        if !skew.is_zero() {
            let most = skew.as_millis() as u64;
            let millis = random.below(most) as i64 - most as i64 / 2;
            later += SignedDuration::from_millis(millis);
        }
        let now = time.now();
        now.saturating_add(later).unwrap_or(now)
    })
}

/// The definitions as they are deployed, or with their waits shortened.
fn definitions(
    which: Definitions,
    policy: Policy,
    deployment: &Deployment,
    shortened: bool,
) -> Result<BTreeMap<Machine, Arc<Definition>>> {
    let mut definitions = BTreeMap::new();
    for machine in Machine::ALL {
        let facts = &deployment.machines[&machine.to_string()];
        let mut text = which.text(machine)?;
        for (placeholder, value) in &facts.substitutions {
            if placeholder != "SaveCardPolicy" {
                text = text.replace(&format!("${{{placeholder}}}"), value);
            }
        }
        if shortened {
            text = shorten(&serde_json::from_str(&text)?).to_string();
        }
        definitions.insert(machine, Arc::new(Definition::read(&text, policy)?));
    }
    Ok(definitions)
}

fn addresses() -> Addresses {
    Addresses {
        bank: BANK.to_owned(),
        callback: format!("{API}/callback"),
        notify: format!("{API}/notify"),
    }
}

async fn bank(time: &Time, random: &Random, api: &Slot<Api>) -> SimBank {
    let addresses = addresses();
    let api = api.clone();
    let merchant = Arc::new(move |request: Request<Vec<u8>>| {
        let api = api.get();
        async move {
            let api = api.ok_or("there is no API yet")?;
            let body: Value = serde_json::from_slice(request.body()).unwrap_or_default();
            let charge = body["id"].as_str().unwrap_or_default();
            api.request(&format!("bank about {charge}"), request).await
        }
        .boxed()
    });
    SimBank::new(time.clone(), random.of("bank"), &addresses, merchant).await
}

fn observer(
    trace: &Trace,
    secrets: &Secrets,
) -> Arc<dyn Fn(&crate::step_functions::Event) + Send + Sync> {
    let (trace, secrets) = (trace.clone(), secrets.clone());
    Arc::new(move |event| {
        secrets.look_at("a history", &event.to_string());
        trace.tell(format_args!("{event}"));
    })
}

/// Runs reconciliation every minute for each shard. Where nothing of a shard is due, the run is left out: it would find
/// nothing and change nothing.
async fn schedule(world: World) {
    let mut minute = 0_u64;
    loop {
        sleep(MINUTE).await;
        minute += 1;
        for (order, charge, satang) in world.0.watch.newly_paid() {
            tokio::spawn(back_office::gives_back(world.clone(), order, satang));
            tokio::spawn(bank_clerk::works_in_the_portal(
                world.clone(),
                charge,
                satang,
            ));
        }
        for shard in world.0.watch.due_shards() {
            let functions = world.0.functions.clone();
            tokio::spawn(async move {
                let subject = format!("shard {shard} minute {minute}");
                let _ = functions
                    .call("reconcile", &subject, json!({ "shard": shard }))
                    .await;
            });
        }
    }
}

impl Drop for Built {
    fn drop(&mut self) {
        self.api.take();
        self.executions.take();
    }
}
