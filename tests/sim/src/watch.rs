//! What must hold after every step: the promise's "never"s. Each write of a table and each answer of the bank to a void
//! or a refund is looked at when it happens.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use payment3_harness::ledger::{ELSEWHERE, Entry, EntryState, Ledger};
use serde_json::Value;

use crate::cloud::Service;
use crate::deployment::TableNames;
use crate::dynamodb::{CALL, Call, DynamoDb};
use crate::items;
use crate::network::CALLER;
use crate::time::Time;
use crate::trace::Trace;

/// For how long a word of the bank's may be acted upon, in seconds: a decision over an hour old is asked for again. A
/// call may take a minute besides.
const WORD_COUNTS_FOR: i64 = 3600 + 120;

/// What the bank has.
pub(crate) trait BankBooks: Send + Sync {
    /// A charge with its history.
    fn charge(&self, id: &str) -> Option<Value>;
}

/// Watches.
#[derive(Clone)]
pub(crate) struct Watch(Arc<Inner>);

struct Inner {
    time: Time,
    trace: Trace,
    names: TableNames,
    tables: DynamoDb,
    bank: Arc<dyn BankBooks>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    records: BTreeMap<String, Value>,
    /// When each open record is due, with its shard.
    due: BTreeMap<String, (u64, i64)>,
    /// How many parts of each charge the bank has refunded for us, and how many of them for each refund.
    parts: BTreeMap<String, usize>,
    refunded: BTreeMap<String, usize>,
    /// How many orders were paid.
    paid: usize,
    /// When each execution asked the bank last, in seconds since 1970.
    asked: BTreeMap<String, i64>,
    /// The refunds that the bank was asked for.
    once_asked: BTreeSet<String>,
    broken: Vec<String>,
    /// Orders that were paid and that nobody outside has heard of: order, charge, satang.
    newly_paid: Vec<(String, String, u64)>,
}

impl Watch {
    /// Watches these tables and this bank.
    pub(crate) fn new(
        time: &Time,
        trace: &Trace,
        names: &TableNames,
        tables: &DynamoDb,
        bank: Arc<dyn BankBooks>,
    ) -> Self {
        Self(Arc::new(Inner {
            time: time.clone(),
            trace: trace.clone(),
            names: names.clone(),
            tables: tables.clone(),
            bank,
            state: Mutex::default(),
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What does not hold.
    pub(crate) fn broken(&self) -> Vec<String> {
        self.state().broken.clone()
    }

    fn broken_is(&self, what: String) {
        self.0.trace.tell(format_args!("  BROKEN: {what}"));
        let mut state = self.state();
        if !state.broken.contains(&what) {
            state.broken.push(what);
        }
    }

    /// The shards with a record that is due now.
    pub(crate) fn due_shards(&self) -> Vec<u64> {
        let now = self.0.time.now().as_second();
        let state = self.state();
        let mut shards: Vec<_> = state
            .due
            .values()
            .filter(|(_, at)| *at <= now)
            .map(|(shard, _)| *shard)
            .collect();
        shards.sort_unstable();
        shards.dedup();
        shards
    }

    /// How many orders were paid while this looked on.
    pub(crate) fn paid_orders(&self) -> usize {
        self.state().paid
    }

    /// The orders that were paid since the last question: order, charge, satang.
    pub(crate) fn newly_paid(&self) -> Vec<(String, String, u64)> {
        std::mem::take(&mut self.state().newly_paid)
    }

    /// The keys of the records that are open.
    pub(crate) fn open(&self) -> Vec<String> {
        self.state().due.keys().cloned().collect()
    }

    /// All records, by their keys.
    pub(crate) fn records(&self) -> BTreeMap<String, Value> {
        self.state().records.clone()
    }

    /// Looks at what has been written since the last look. What the shop writes breaks no promise of ours.
    pub(crate) fn look(&self) {
        let mut orders = BTreeSet::new();
        for change in self.0.tables.take_changes() {
            let after = change.after.as_ref().map(items::plain);
            let before = change.before.as_ref().map(items::plain);
            let key = |name: &str| {
                let item = after.as_ref().or(before.as_ref())?;
                item[name].as_str().map(str::to_owned)
            };
            if change.table == self.0.names.orders {
                let ours = change.by.as_deref();
                if let (Some(ours), Some(id), Some(after)) = (ours, key("orderId"), after.as_ref())
                {
                    self.order(&id, before.as_ref(), after, ours);
                }
            } else if change.table == self.0.names.records {
                orders.extend(key("orderId"));
                if let (Some(key), Some(after)) = (key("tokenId"), after) {
                    self.record(&key, before.as_ref(), after);
                }
            } else if change.table == self.0.names.check_status {
                orders.extend(key("orderId"));
            }
        }
        // A transaction writes a record and the row of its order, in either order.
        for order in orders {
            self.shown(&order);
        }
    }

    /// Nobody writes any more how a payment ended that has ended: shown as pending, it would stay so for ever.
    fn shown(&self, order: &str) {
        let row = self.0.tables.item(&self.0.names.check_status, &[order]);
        let row = row.map(|row| items::plain(&row));
        let Some(row) = row.filter(|row| row["status"] == "pending") else {
            return;
        };
        let has_ended = {
            let state = self.state();
            let mut records = state.records.values();
            let record = records.find(|record| record["chargeId"] == row["chargeId"]);
            record.is_some_and(|record| {
                let outcome = record["outcome"].as_str().unwrap_or_default();
                !matches!(outcome, "pending" | "paid")
                    || matches!(
                        record["resolution"].as_str(),
                        Some("orderPaid" | "reversed")
                    )
                    || record.get("closedAt").is_some()
            })
        };
        if has_ended {
            self.broken_is(format!(
                "apps are shown {} of order {order} as pending, and it has ended",
                row["chargeId"]
            ));
        }
    }

    /// An order as it is now.
    fn stored_order(&self, id: &str) -> Option<Value> {
        let item = self.0.tables.item(&self.0.names.orders, &[id])?;
        Some(items::plain(&item))
    }

    fn order(&self, id: &str, before: Option<&Value>, item: &Value, by: &Call) {
        let payment = |item: &Value| item["data"]["payment"].clone();
        let paid_by = |payment: &Value| {
            let by = payment["paymentId"].as_str().unwrap_or_default();
            (payment["isPaid"] == true).then(|| by.to_owned())
        };
        let now = paid_by(&payment(item));
        let was = before.and_then(|item| paid_by(&payment(item)));
        match (was, now) {
            (Some(was), None) => {
                self.broken_is(format!("order {id} was paid by {was} and is unpaid"))
            }
            (Some(was), Some(now)) if was != now => {
                self.broken_is(format!("order {id} was paid by {was} and again by {now}"));
            }
            (None, Some(charge)) => {
                self.paid(id, &charge, before, item);
                self.paid_in_time(id, by);
            }
            _ => {}
        }
    }

    /// The execution that has just paid an order must have asked the bank within the hour before.
    fn paid_in_time(&self, order: &str, by: &Call) {
        let asked_at = self.state().asked.get(execution(&by.run)).copied();
        let age = asked_at.map(|asked_at| by.sent_at.as_second() - asked_at);
        if age.is_none_or(|age| age > WORD_COUNTS_FOR) {
            self.broken_is(format!(
                "order {order} is paid by {}, which has asked the bank {age:?} s before",
                by.run
            ));
        }
    }

    /// The bank has answered what this run asked about a charge.
    pub(crate) fn asked(&self, run: &str) {
        let now = self.0.time.now().as_second();
        self.state().asked.insert(execution(run).to_owned(), now);
    }

    /// An order has just been paid: the bank must have said so within the hour.
    fn paid(&self, order: &str, by: &str, before: Option<&Value>, item: &Value) {
        self.0
            .trace
            .tell(format_args!("order {order} is paid by {by}"));
        let Some(charge) = self.0.bank.charge(by) else {
            return self.broken_is(format!(
                "order {order} is paid by {by}, which the bank does not know"
            ));
        };
        if charge["ref_1"] != order {
            self.broken_is(format!(
                "order {order} is paid by {by} of {}",
                charge["ref_1"]
            ));
        }
        let satang = items::satang(&charge["amount"]).unsigned_abs();
        let total = items::satang(&item["data"]["payment"]["grandTotal"]).unsigned_abs();
        if total != satang {
            self.broken_is(format!(
                "order {order} over {total} satang is paid by {by} over {satang}"
            ));
        }
        let refuses = |flag: &str| before.is_some_and(|item| item["data"][flag] == true);
        if refuses("isCancelled") || refuses("isDrafting") {
            self.broken_is(format!(
                "order {order} is paid by {by}, and was cancelled or a draft"
            ));
        }
        {
            let mut state = self.state();
            state.paid += 1;
            state
                .newly_paid
                .push((order.to_owned(), by.to_owned(), satang));
        }
        let now = self.0.time.now().as_second();
        let mut authorised = false;
        let mut lately = false;
        for event in charge["history"].as_array().into_iter().flatten() {
            let at = event["at"]
                .as_str()
                .and_then(|at| at.parse::<Timestamp>().ok());
            let at = at.map_or(now, Timestamp::as_second);
            let state = event["transactionState"]
                .as_str()
                .or_else(|| event["transaction_state"].as_str())
                .unwrap_or_default();
            if lately_ended(authorised, at, now) {
                lately = true;
            }
            authorised = matches!(state, "Authorized" | "Settled");
        }
        if !authorised && !lately {
            self.broken_is(format!(
                "order {order} is paid by {by}, which is {}",
                charge["transaction_state"]
            ));
        }
    }

    fn record(&self, key: &str, before: Option<&Value>, item: Value) {
        let open = item["openShard"].as_u64();
        let due = item["lookAgainAt"].as_i64();
        {
            let mut state = self.state();
            match (open, due) {
                (Some(shard), Some(due)) => {
                    state.due.insert(key.to_owned(), (shard, due));
                }
                _ => {
                    state.due.remove(key);
                }
            }
            state.records.insert(key.to_owned(), item.clone());
        }
        let short = key.get(..8).unwrap_or(key);
        let text = |item: &Value, field: &str| item[field].as_str().map(str::to_owned);
        if let Some(before) = before {
            for (field, may_follow) in [
                ("resolution", &[("reversing", "reversed")][..]),
                ("chargeId", &[]),
            ] {
                let (was, is) = (text(before, field), text(&item, field));
                let Some(was) = was else { continue };
                let is = is.unwrap_or_default();
                if was != is && !may_follow.contains(&(was.as_str(), is.as_str())) {
                    self.broken_is(format!("record {short}: {field} was {was} and is {is:?}"));
                }
            }
            if item["attempt"].as_u64() < before["attempt"].as_u64() {
                self.broken_is(format!("record {short}: its attempt went back"));
            }
        }
        if before.is_none() && item.get("chargeId").is_none() && item.get("bankKey").is_none() {
            self.broken_is(format!(
                "record {short} does not say with which key its charge will be asked for"
            ));
        }
        if item["resolution"] == "orderPaid" && item["outcome"] != "paid" {
            self.broken_is(format!(
                "record {short} has paid its order and says {}",
                item["outcome"]
            ));
        }
        if item.get("closedAt").is_some() {
            if item.get("token").is_some() {
                self.broken_is(format!("record {short} is closed and still has its token"));
            }
            let is_decided = matches!(item["outcome"].as_str(), Some("declined" | "returned"));
            let is_settled = matches!(item["resolution"].as_str(), Some("orderPaid" | "reversed"));
            if !is_decided && !is_settled {
                self.broken_is(format!(
                    "record {short} is closed, and nobody knows what became of its money: {}, {}",
                    item["outcome"], item["resolution"]
                ));
            }
        }
        match Ledger::of(&item) {
            Err(error) => self.broken_is(format!("record {short}: {error:#}")),
            Ok(ledger) => {
                let asked = ledger.in_state(&[EntryState::Asked]);
                let asked: Vec<_> = asked.map(|(id, _)| id.to_owned()).collect();
                self.state().once_asked.extend(asked);
                let paid = item["amountSatang"].as_i64().unwrap_or_default();
                // What went back by hand counts beside what was promised before.
                let by_hand = ledger
                    .entries
                    .get(ELSEWHERE)
                    .map_or(0, |entry| entry.satang);
                let promised = ledger.refunded_satang - by_hand;
                if promised > paid {
                    self.broken_is(format!(
                        "record {short}: {promised} of {paid} satang are promised to be given back"
                    ));
                }
            }
        }
    }

    /// The bank has given money back because a function asked it to: `run` is the run that asked.
    pub(crate) fn given_back(&self, charge: &str, run: &str) {
        let at_bank = self.0.bank.charge(charge);
        let refunds = at_bank
            .iter()
            .filter_map(|charge| charge["refunds"].as_array());
        let own = refunds.flatten().filter(|refund| refund["by"] != "portal");
        self.asked_once(charge, own.count(), run);
        let order = at_bank.as_ref().and_then(|charge| charge["ref_1"].as_str());
        let Some(order) = order else { return };
        let Some(item) = self.stored_order(order) else {
            return;
        };
        let payment = &item["data"]["payment"];
        if payment["isPaid"] != true || payment["paymentId"] != charge {
            return;
        }
        let record = {
            let state = self.state();
            let mut records = state.records.values();
            records.find(|record| record["chargeId"] == charge).cloned()
        };
        let paid = record
            .as_ref()
            .and_then(|record| record["amountSatang"].as_i64());
        let ledger = record
            .and_then(|record| Ledger::of(&record).ok())
            .unwrap_or_default();
        let explains = |(id, entry): (&String, &Entry)| match entry.state {
            EntryState::Asked | EntryState::Uncertain | EntryState::Sent => true,
            // A void that comes so late that it was taken for lost is asked for again: it takes back all, and once.
            EntryState::Reserved => {
                Some(entry.satang) == paid && self.state().once_asked.contains(id)
            }
            EntryState::Failed => false,
        };
        if !ledger.entries.iter().any(explains) {
            self.broken_is(format!(
                "charge {charge} has paid order {order}, and money of it went back without a refund"
            ));
        }
    }

    /// The bank has now refunded so many parts of this charge for us: no two of them for one refund.
    fn asked_once(&self, charge: &str, parts: usize, run: &str) {
        // Executions of the refund machine are named after their refund, with more behind it if it was started again.
        let Some(refund) = execution(run).split('-').next() else {
            return;
        };
        let times = {
            let mut state = self.state();
            let before = state.parts.insert(charge.to_owned(), parts);
            let times = state.refunded.entry(refund.to_owned()).or_default();
            *times += parts.saturating_sub(before.unwrap_or_default());
            *times
        };
        if times > 1 {
            self.broken_is(format!("refund {refund} went back {times} times"));
        }
    }

    /// The tables as the functions call them, watched.
    pub(crate) fn over(&self, tables: Arc<dyn Service>) -> Arc<dyn Service> {
        Arc::new(Watched {
            watch: self.clone(),
            tables,
        })
    }
}

/// The execution for which a function runs.
fn execution(run: &str) -> &str {
    run.split(' ').nth(1).unwrap_or_default()
}

/// Whether an authorisation ended so lately that the bank's word of it still counted.
fn lately_ended(was_authorised: bool, ended_at: i64, now: i64) -> bool {
    was_authorised && now - ended_at <= WORD_COUNTS_FOR
}

struct Watched {
    watch: Watch,
    tables: Arc<dyn Service>,
}

impl Service for Watched {
    fn call(&self, operation: String, body: Vec<u8>) -> BoxFuture<'static, (u16, Vec<u8>)> {
        let watch = self.watch.clone();
        let run = CALLER.try_with(|caller| caller.name().to_owned());
        let call = Arc::new(Call {
            run: run.unwrap_or_default(),
            sent_at: watch.0.time.now(),
        });
        let answer = CALL.scope(call, self.tables.call(operation, body));
        answer.inspect(move |_| watch.look()).boxed()
    }
}
