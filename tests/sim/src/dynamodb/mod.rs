//! DynamoDB: an embedded database that does what AWS documents, and around it what only shows over time: indexes that lag
//! behind, reads of the past, transactions that conflict, and tokens that make a repeated transaction count once.

mod canonical;
mod replica;
mod second;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Result, anyhow};
use dynoxide::actions::delete_item::DeleteItemRequest;
use dynoxide::actions::get_item::GetItemRequest;
use dynoxide::actions::put_item::PutItemRequest;
use dynoxide::actions::query::QueryRequest;
use dynoxide::actions::scan::ScanRequest;
use dynoxide::actions::transact_write_items::{TransactWriteItem, TransactWriteItemsRequest};
use dynoxide::actions::update_item::UpdateItemRequest;
use dynoxide::errors::CancellationReason;
use dynoxide::{AttributeValue, Database, DynoxideError, Item};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::deployment::{KeyFacts, KeyKind, TableFacts};
use crate::random::Random;
use crate::time::Time;
use replica::Replica;
use second::Outcome;

pub(crate) use second::Compared;

/// How long a transaction takes.
const TRANSACTION: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(15));

/// How old a read may be that does not ask for the latest.
const STALE: (Duration, Duration) = (Duration::from_millis(1), Duration::from_secs(1));

/// How long a transaction's token counts.
const TOKEN: SignedDuration = SignedDuration::from_mins(10);

/// What a transaction says of an item that another one holds.
const HELD: &str = "Transaction is ongoing for the item";

/// How long indexes lag behind their table.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Lag {
    /// Most writes are in an index after at most this time.
    pub(crate) mostly: Duration,
    /// So many take longer: this share, up to this time.
    pub(crate) sometimes: (f64, Duration),
    /// So many take longer still.
    pub(crate) rarely: (f64, Duration),
}

impl Lag {
    /// Every write is in the indexes at once.
    pub(crate) const NONE: Self = Self {
        mostly: Duration::ZERO,
        sometimes: (0.0, Duration::ZERO),
        rarely: (0.0, Duration::ZERO),
    };

    /// Milliseconds, sometimes seconds.
    pub(crate) const USUAL: Self = Self {
        mostly: Duration::from_millis(20),
        sometimes: (0.02, Duration::from_secs(5)),
        rarely: (0.0, Duration::ZERO),
    };

    /// Whether an index may be minutes behind.
    pub(crate) fn is_long(&self) -> bool {
        self.rarely.0 > 0.0
    }

    fn choose(&self, random: &Random) -> Duration {
        let (rare, longest) = self.rarely;
        let (some, long) = self.sometimes;
        if rare > 0.0 && random.chance(rare) {
            random.between(long.max(self.mostly), longest)
        } else if some > 0.0 && random.chance(some) {
            random.between(self.mostly, long)
        } else if self.mostly.is_zero() {
            Duration::ZERO
        } else {
            random.between(Duration::from_millis(1), self.mostly)
        }
    }
}

/// A call of the deployed system.
#[derive(Debug, PartialEq)]
pub(crate) struct Call {
    /// The run of a function, or the state, that made it.
    pub(crate) run: String,
    /// When it was sent: it may take effect later.
    pub(crate) sent_at: Timestamp,
}

tokio::task_local! {
    /// The call that this task carries out; absent where somebody else works on the tables.
    pub(crate) static CALL: Arc<Call>;
}

/// A write of one item.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Change {
    /// By which call of the deployed system, if it was one.
    pub(crate) by: Option<Arc<Call>>,
    /// When.
    pub(crate) at: Timestamp,
    /// The table's name.
    pub(crate) table: String,
    /// The item before, as `item` gives it; `None` where there was none.
    pub(crate) before: Option<Value>,
    /// The item after; `None` where it was deleted.
    pub(crate) after: Option<Value>,
}

/// The texts of a key's attributes, in their order.
type Key = Vec<String>;

/// DynamoDB with its tables.
#[derive(Clone)]
pub(crate) struct DynamoDb {
    time: Time,
    random: Random,
    state: Arc<Mutex<State>>,
}

impl fmt::Debug for DynamoDb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynamoDb").finish_non_exhaustive()
    }
}

struct State {
    /// The tables without their indexes.
    database: Database,
    tables: BTreeMap<String, Table>,
    lag: Lag,
    /// Items of transactions that are not done, by table and key.
    held: BTreeMap<(String, Key), u64>,
    transactions: u64,
    tokens: BTreeMap<String, Token>,
    /// When tokens stop to count, oldest first.
    expiries: VecDeque<(Timestamp, String)>,
    changes: Option<Vec<Noted>>,
    compared: Option<Compared>,
}

struct Table {
    facts: TableFacts,
    items: BTreeMap<Key, Arc<Item>>,
    stale: Replica,
    indexes: BTreeMap<String, Replica>,
}

/// A change as it is kept until somebody asks.
struct Noted {
    by: Option<Arc<Call>>,
    at: Timestamp,
    table: String,
    before: Option<Arc<Item>>,
    after: Option<Arc<Item>>,
}

/// A transaction's token.
struct Token {
    body: Vec<u8>,
    /// The answer, once there is one.
    answer: Option<Vec<u8>>,
}

/// Why a request is refused.
enum Refusal {
    /// By the embedded database.
    Engine(DynoxideError),
    /// By what stands around it.
    Other(&'static str, String),
}

impl From<DynoxideError> for Refusal {
    fn from(error: DynoxideError) -> Self {
        Self::Engine(error)
    }
}

type Answer = Result<Vec<u8>, Refusal>;

/// Whether a write was made.
fn done(answer: Answer) -> Result<()> {
    answer.map(drop).map_err(|refusal| match refusal {
        Refusal::Engine(error) => error.into(),
        Refusal::Other(kind, message) => anyhow!("{kind}: {message}"),
    })
}

impl DynamoDb {
    /// Empty tables. The indexes have [`Lag::USUAL`].
    ///
    /// # Errors
    /// The embedded database refuses a table.
    pub(crate) fn new(time: Time, random: Random, tables: &[TableFacts]) -> Result<Self> {
        let database = Database::memory()?;
        let mut by_name = BTreeMap::new();
        for facts in tables {
            database.create_table(replica::create_table(facts, &[])?)?;
            let indexes = facts.indexes.iter();
            let table = Table {
                items: BTreeMap::new(),
                stale: Replica::of_table(facts),
                indexes: indexes
                    .map(|index| (index.name.clone(), Replica::of_index(facts, index)))
                    .collect(),
                facts: facts.clone(),
            };
            by_name.insert(facts.name.clone(), table);
        }
        let state = State {
            database,
            tables: by_name,
            lag: Lag::USUAL,
            held: BTreeMap::new(),
            transactions: 0,
            tokens: BTreeMap::new(),
            expiries: VecDeque::new(),
            changes: None,
            compared: None,
        };
        Ok(Self {
            time,
            random,
            state: Arc::new(Mutex::new(state)),
        })
    }

    /// Sets how long indexes lag behind from now on.
    pub(crate) fn set_lag(&self, lag: Lag) {
        self.state().lag = lag;
    }

    /// Answers a request of the JSON protocol: status and body. A transaction takes time, and goes on where the caller
    /// does not wait for it.
    pub(crate) async fn call(&self, operation: &str, body: &[u8]) -> (u16, Vec<u8>) {
        let answer = match operation {
            "GetItem" => self.get(body),
            "PutItem" => self.put(body),
            "UpdateItem" => self.update(body),
            "DeleteItem" => self.delete(body),
            "Query" => self.query(body),
            "Scan" => self.scan(body),
            "TransactWriteItems" => self.transact(body).await,
            _ => Err(
                DynoxideError::ValidationException(format!("{operation} is not simulated")).into(),
            ),
        };
        match answer {
            Ok(body) => (200, body),
            Err(Refusal::Engine(error)) => {
                let body: Value = serde_json::from_str(&error.to_json()).unwrap_or_default();
                (error.status_code(), canonical::bytes(&body))
            }
            Err(Refusal::Other(kind, message)) => {
                let kind = format!("com.amazonaws.dynamodb.v20120810#{kind}");
                let body = json!({ "__type": kind, "message": message });
                (400, canonical::bytes(&body))
            }
        }
    }

    /// An item as it is, as the JSON protocol writes it; its key is given by the texts of its attributes.
    pub(crate) fn item(&self, table: &str, key: &[&str]) -> Option<Value> {
        let key: Key = key.iter().map(|text| (*text).to_owned()).collect();
        let state = self.state();
        let item = state.tables.get(table)?.items.get(&key)?;
        Some(canonical::item(item.as_ref()))
    }

    /// Every item of a table as it is, in the order of the keys.
    #[cfg(test)]
    pub(crate) fn items(&self, table: &str) -> Vec<Value> {
        let state = self.state();
        let items = state
            .tables
            .get(table)
            .into_iter()
            .flat_map(|table| table.items.values());
        items.map(|item| canonical::item(item.as_ref())).collect()
    }

    /// The items of a table in which an attribute is this text, in the order of the keys.
    pub(crate) fn items_with(&self, table: &str, attribute: &str, text: &str) -> Vec<Value> {
        let state = self.state();
        let items = state.tables.get(table);
        let items = items.into_iter().flat_map(|table| table.items.values());
        let items = items.filter(
            |item| matches!(item.get(attribute), Some(AttributeValue::S(value)) if value == text),
        );
        items.map(|item| canonical::item(item.as_ref())).collect()
    }

    /// Notes every change from now on, for [`DynamoDb::take_changes`].
    pub(crate) fn watch_changes(&self) {
        self.state().changes.get_or_insert_default();
    }

    /// The changes since the last call, in their order.
    pub(crate) fn take_changes(&self) -> Vec<Change> {
        let noted = self.state().changes.as_mut().map(std::mem::take);
        let json = |item: Option<Arc<Item>>| item.map(|item| canonical::item(item.as_ref()));
        let noted = noted.unwrap_or_default().into_iter();
        noted
            .map(
                |Noted {
                     by,
                     at,
                     table,
                     before,
                     after,
                 }| Change {
                    by,
                    at,
                    table,
                    before: json(before),
                    after: json(after),
                },
            )
            .collect()
    }

    /// Asks the model for a second opinion on every conditional write from now on.
    #[cfg(test)]
    pub(crate) fn compare(&self) {
        self.state().compared.get_or_insert_default();
    }

    /// What the model said so far.
    #[cfg(test)]
    pub(crate) fn compared(&self) -> Compared {
        self.state().compared.clone().unwrap_or_default()
    }

    /// Writes an item whatever is there: for what a system outside of the simulation writes, such as an order.
    ///
    /// # Errors
    /// No item of this table.
    pub(crate) fn store(&self, table: &str, item: &Value) -> Result<()> {
        let request = json!({"TableName": table, "Item": item}).to_string();
        done(self.put(request.as_bytes()))
    }

    /// Deletes the item with this key, as [`DynamoDb::store`] writes one. `attribute` is the name of the table's key.
    ///
    /// # Errors
    /// No key of this table.
    pub(crate) fn remove(&self, table: &str, attribute: &str, key: &str) -> Result<()> {
        let request = json!({"TableName": table, "Key": {attribute: {"S": key}}}).to_string();
        done(self.delete(request.as_bytes()))
    }

    /// Has somebody's transaction hold an item with this key for so long.
    pub(crate) fn hold(&self, table: &str, key: &str, long: Duration) {
        let mut state = self.state();
        state.transactions += 1;
        let number = state.transactions;
        let item = (table.to_owned(), Key::from_iter([key.to_owned()]));
        state.held.insert(item, number);
        let this = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(long).await;
            this.state().held.retain(|_, holder| *holder != number);
        });
    }

    fn get(&self, body: &[u8]) -> Answer {
        let request: GetItemRequest = read(body)?;
        let consistent = request.consistent_read.unwrap_or(false);
        let mut state = self.state();
        if let Some(item) = state.plain_read(&request, consistent) {
            return Ok(match item {
                Some(item) => canonical::named_item("Item", item),
                None => b"{}".to_vec(),
            });
        }
        let database = self.seen(&mut state, &request.table_name, None, consistent)?;
        let response = database.get_item(request)?;
        match (&response.item, &response.consumed_capacity) {
            (Some(item), None) => Ok(canonical::named_item("Item", item)),
            _ => answer(&response),
        }
    }

    fn query(&self, body: &[u8]) -> Answer {
        let request: QueryRequest = read(body)?;
        let consistent = request.consistent_read.unwrap_or(false);
        let mut state = self.state();
        let index = request.index_name.as_deref();
        let database = self.seen(&mut state, &request.table_name, index, consistent)?;
        answer(&database.query(request)?)
    }

    fn scan(&self, body: &[u8]) -> Answer {
        let request: ScanRequest = read(body)?;
        let consistent = request.consistent_read.unwrap_or(false);
        let mut state = self.state();
        let index = request.index_name.as_deref();
        let database = self.seen(&mut state, &request.table_name, index, consistent)?;
        answer(&database.scan(request)?)
    }

    /// The database that a read sees. What asks for no strong consistency may reach the part of DynamoDB that knows of
    /// the last writes, or one that does not.
    fn seen<'s>(
        &self,
        state: &'s mut State,
        table: &str,
        index: Option<&str>,
        consistent: bool,
    ) -> Result<&'s Database, Refusal> {
        let now = self.time.now();
        let State {
            database, tables, ..
        } = state;
        let replica = tables.get_mut(table).and_then(|table| match index {
            Some(index) => table.indexes.get_mut(index),
            None if !consistent && self.random.chance(0.5) => Some(&mut table.stale),
            None => None,
        });
        match replica {
            Some(replica) => Ok(replica.at(now)?),
            // What is not there is refused in the words of the embedded database.
            None => Ok(database),
        }
    }

    fn put(&self, body: &[u8]) -> Answer {
        let request: PutItemRequest = read(body)?;
        let name = request.table_name.clone();
        let mut state = self.state();
        let key = state.free(&name, &request.item)?;
        let written = state.database.put_item(request);
        state.compare_one(body, &name, key.as_ref(), written.as_ref().map(|_| None));
        let written = written?;
        self.wrote(&mut state, &name, key)?;
        answer(&written)
    }

    fn delete(&self, body: &[u8]) -> Answer {
        let request: DeleteItemRequest = read(body)?;
        let name = request.table_name.clone();
        let mut state = self.state();
        let key = state.free(&name, &request.key)?;
        let written = state.database.delete_item(request)?;
        self.wrote(&mut state, &name, key)?;
        answer(&written)
    }

    fn update(&self, body: &[u8]) -> Answer {
        let mut request: UpdateItemRequest = read(body)?;
        let name = request.table_name.clone();
        let mut state = self.state();
        let key = state.free(&name, &request.key)?;
        // The item after the update comes at no cost in the answer.
        let for_us = request
            .return_values
            .as_deref()
            .is_none_or(|asked| asked == "NONE");
        if for_us {
            request.return_values = Some("ALL_NEW".to_owned());
        }
        let all = request.return_values.as_deref() == Some("ALL_NEW");
        let written = state.database.update_item(request);
        let after = written
            .as_ref()
            .map(|written| written.attributes.as_ref().filter(|_| all));
        state.compare_one(body, &name, key.as_ref(), after);
        let mut written = written?;
        let image = if for_us {
            written.attributes.take()
        } else {
            written.attributes.clone()
        };
        let image = image.filter(|_| all);
        match (key, image) {
            (Some(key), Some(image)) => {
                self.note(&mut state, &name, &[(key, Some(Arc::new(image)))])?
            }
            (key, _) => self.wrote(&mut state, &name, key)?,
        }
        answer(&written)
    }

    async fn transact(&self, body: &[u8]) -> Answer {
        let mut request: TransactWriteItemsRequest = read(body)?;
        // The embedded database's tokens expire by the time of the real world.
        let token = request.client_request_token.take();
        let hold = {
            let mut state = self.state();
            state.forget_tokens(self.time.now());
            if let Some(token) = &token
                && let Some(answer) = state.begin(token, body)?
            {
                return Ok(answer);
            }
            match state.hold(&request.transact_items) {
                Ok(hold) => hold,
                Err(error) => {
                    state.forget(token.as_deref());
                    return Err(error.into());
                }
            }
        };
        let (least, most) = TRANSACTION;
        let takes = self.random.between(least, most);
        let this = self.clone();
        let commits = async move {
            tokio::time::sleep(takes).await;
            let mut state = this.state();
            state.held.retain(|_, holder| *holder != hold);
            let answer = this.commit(&mut state, request);
            match (&token, &answer) {
                (Some(token), Ok(answer)) => state.end(token, answer, this.time.now()),
                (token, _) => state.forget(token.as_deref()),
            }
            answer
        };
        // A task of its own: what DynamoDB has begun, it ends, whoever waits for it.
        let task = match CALL.try_with(Arc::clone) {
            Ok(call) => tokio::spawn(CALL.scope(call, commits)),
            Err(_) => tokio::spawn(commits),
        };
        task.await.unwrap_or_else(|error| {
            Err(DynoxideError::InternalServerError(error.to_string()).into())
        })
    }

    fn commit(&self, state: &mut State, request: TransactWriteItemsRequest) -> Answer {
        let actions = request.transact_items.len();
        let writes: Vec<_> = request
            .transact_items
            .iter()
            .enumerate()
            .filter(|(_, action)| action.condition_check.is_none())
            .filter_map(|(number, action)| {
                let (table, attributes) = target(action)?;
                let facts = &state.tables.get(table)?.facts;
                Some((number, table.to_owned(), key_of(&facts.key, attributes)?))
            })
            .collect();
        let asked = state
            .compared
            .is_some()
            .then(|| request.transact_items.clone());
        let written = state.database.transact_write_items(request);
        let mut images = Vec::new();
        if written.is_ok() {
            for (number, table, key) in &writes {
                let image = state.image(table, key)?;
                images.push((*number, table.clone(), key.clone(), image));
            }
        }
        if let Some(asked) = asked {
            state.compare_all(&asked, &written, &images);
        }
        let written = written?;
        let wrong = images.iter().find_map(|(number, table, _, image)| {
            let facts = &state.tables.get(table)?.facts;
            let problem = replica::wrong_index_key(facts, image.as_ref()?)?;
            Some((*number, problem))
        });
        if let Some((number, problem)) = wrong {
            for (_, table, key, _) in &images {
                state.restore(table, key)?;
            }
            return Err(canceled(actions, |action| {
                (action == number).then(|| ("ValidationError", problem.clone()))
            })
            .into());
        }
        for (_, table, key, image) in images {
            self.note(state, &table, &[(key, image)])?;
        }
        answer(&written)
    }

    /// Notes what was written to an item.
    fn wrote(&self, state: &mut State, table: &str, key: Option<Key>) -> Result<(), Refusal> {
        let Some(key) = key else { return Ok(()) };
        let image = state.image(table, &key)?;
        self.note(state, table, &[(key, image)])
    }

    /// Notes what items are now, for the copies that lag behind. A write that an index cannot take is undone.
    fn note(
        &self,
        state: &mut State,
        name: &str,
        written: &[(Key, Option<Arc<Item>>)],
    ) -> Result<(), Refusal> {
        let now = self.time.now();
        let after = |delay: Duration| {
            let delay = SignedDuration::try_from(delay).unwrap_or_default();
            now.saturating_add(delay).unwrap_or(now)
        };
        for (key, image) in written {
            let Some(table) = state.tables.get_mut(name) else {
                continue;
            };
            let wrong = |item: &Arc<Item>| replica::wrong_index_key(&table.facts, item);
            if let Some(problem) = image.as_ref().and_then(wrong) {
                state.restore(name, key)?;
                return Err(DynoxideError::ValidationException(problem).into());
            }
            let (least, most) = STALE;
            table
                .stale
                .write(key, image, now, after(self.random.between(least, most)));
            for index in table.indexes.values_mut() {
                index.write(key, image, now, after(state.lag.choose(&self.random)));
            }
            let before = match image {
                Some(item) => table.items.insert(key.clone(), item.clone()),
                None => table.items.remove(key),
            };
            if let Some(changes) = &mut state.changes {
                changes.push(Noted {
                    by: CALL.try_with(Arc::clone).ok(),
                    at: now,
                    table: name.to_owned(),
                    before,
                    after: image.clone(),
                });
            }
        }
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// What a strongly consistent read of one whole item by its key finds, from the copy of what the embedded database
    /// has: half of the product's calls are such reads. `None` where the request is anything else, or is wrong.
    fn plain_read(&self, request: &GetItemRequest, consistent: bool) -> Option<Option<&Item>> {
        let whole = request.projection_expression.is_none()
            && request.attributes_to_get.is_none()
            && request.expression_attribute_names.is_none()
            && request.return_consumed_capacity.is_none();
        let table = self.tables.get(&request.table_name)?;
        let keys = &table.facts.key;
        let right = request.key.len() == keys.len()
            && keys.iter().all(|key| {
                let value = request.key.get(&key.name);
                value.is_some_and(|value| matches_key(value, key.kind))
            });
        // Of a number, one value has many texts; and an empty text is no key.
        let key = key_of(keys, &request.key)?;
        let texts = keys.iter().all(|key| key.kind == KeyKind::S);
        let usual = texts && key.iter().all(|text| (1..=1024).contains(&text.len()));
        (consistent && whole && right && usual).then(|| table.items.get(&key).map(Arc::as_ref))
    }

    /// The key of an item that no transaction holds; `None` where the embedded database will refuse the request.
    fn free(&self, table: &str, attributes: &Item) -> Result<Option<Key>, Refusal> {
        let facts = self.tables.get(table).map(|table| &table.facts);
        let Some(key) = facts.and_then(|facts| key_of(&facts.key, attributes)) else {
            return Ok(None);
        };
        if !self.held.is_empty() && self.held.contains_key(&(table.to_owned(), key.clone())) {
            return Err(Refusal::Other(
                "TransactionConflictException",
                HELD.to_owned(),
            ));
        }
        Ok(Some(key))
    }

    /// Holds the items of a transaction.
    fn hold(&mut self, actions: &[TransactWriteItem]) -> Result<u64, DynoxideError> {
        let items: Vec<_> = actions
            .iter()
            .map(|action| {
                let (table, attributes) = target(action)?;
                let facts = &self.tables.get(table)?.facts;
                Some((table.to_owned(), key_of(&facts.key, attributes)?))
            })
            .collect();
        let held = |item: &Option<_>| {
            item.as_ref()
                .is_some_and(|item| self.held.contains_key(item))
        };
        if items.iter().any(held) {
            return Err(canceled(items.len(), |action| {
                held(&items[action]).then(|| ("TransactionConflict", HELD.to_owned()))
            }));
        }
        self.transactions += 1;
        let number = self.transactions;
        self.held
            .extend(items.into_iter().flatten().map(|item| (item, number)));
        Ok(number)
    }

    /// Begins a transaction with a token: its answer where the same one was made already.
    fn begin(&mut self, token: &str, body: &[u8]) -> Result<Option<Vec<u8>>, Refusal> {
        let other = |kind, message: &str| Err(Refusal::Other(kind, message.to_owned()));
        match self.tokens.get(token) {
            None => {
                let begun = Token {
                    body: body.to_owned(),
                    answer: None,
                };
                self.tokens.insert(token.to_owned(), begun);
                Ok(None)
            }
            Some(before) if !same_transaction(&before.body, body) => other(
                "IdempotentParameterMismatchException",
                "The request uses the same client token as a previous, but non-identical request",
            ),
            Some(Token { answer: None, .. }) => other(
                "TransactionInProgressException",
                "The transaction with the given request token is already in progress",
            ),
            Some(Token { answer, .. }) => Ok(answer.clone()),
        }
    }

    fn end(&mut self, token: &str, answer: &[u8], now: Timestamp) {
        if let Some(token) = self.tokens.get_mut(token) {
            token.answer = Some(answer.to_vec());
        }
        let until = now.saturating_add(TOKEN).unwrap_or(now);
        self.expiries.push_back((until, token.to_owned()));
    }

    /// A transaction that wrote nothing may be tried again with its token.
    fn forget(&mut self, token: Option<&str>) {
        if let Some(token) = token {
            self.tokens.remove(token);
        }
    }

    fn forget_tokens(&mut self, now: Timestamp) {
        while let Some((until, token)) = self.expiries.front() {
            if *until > now {
                return;
            }
            self.tokens.remove(token);
            self.expiries.pop_front();
        }
    }

    /// Asks the model about a plain write, if it is to be asked.
    fn compare_one(
        &mut self,
        body: &[u8],
        table: &str,
        key: Option<&Key>,
        after: Result<Option<&Item>, &DynoxideError>,
    ) {
        let Some(compared) = &mut self.compared else {
            return;
        };
        let Some((table, key)) = self.tables.get(table).zip(key) else {
            return;
        };
        let outcome = match after {
            Ok(after) => Outcome::Written(after),
            Err(DynoxideError::ConditionalCheckFailedException(..)) => Outcome::Refused,
            Err(_) => return,
        };
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let before = table.items.get(key).map(Arc::as_ref);
        compared.compare(&body, before, &outcome);
    }

    /// Asks the model about every action of a transaction.
    fn compare_all(
        &mut self,
        actions: &[TransactWriteItem],
        written: &Result<impl Sized, DynoxideError>,
        images: &[(usize, String, Key, Option<Arc<Item>>)],
    ) {
        let Some(compared) = &mut self.compared else {
            return;
        };
        for (position, action) in actions.iter().enumerate() {
            let known = target(action).and_then(|(table, attributes)| {
                let table = self.tables.get(table)?;
                Some((table, key_of(&table.facts.key, attributes)?))
            });
            let Some((table, key)) = known else { continue };
            let image = images.iter().find(|(number, ..)| *number == position);
            // Of a put or a check, the model knows only the condition.
            let after = image.and_then(|(.., image)| image.as_deref());
            let after = after.filter(|_| action.update.is_some());
            if let Some(outcome) = second::of_action(written, position, after) {
                let members = canonical::value(action);
                let body = members.as_object().into_iter().flatten();
                let body = body.map(|(_, body)| body).find(|body| body.is_object());
                let before = table.items.get(&key).map(Arc::as_ref);
                compared.compare(body.unwrap_or(&Value::Null), before, &outcome);
            }
        }
    }

    /// An item as the embedded database has it.
    fn image(&self, table: &str, key: &Key) -> Result<Option<Arc<Item>>, DynoxideError> {
        let Some(known) = self.tables.get(table) else {
            return Ok(None);
        };
        let request = GetItemRequest {
            table_name: table.to_owned(),
            key: key_attributes(&known.facts.key, key),
            consistent_read: Some(true),
            ..Default::default()
        };
        Ok(self.database.get_item(request)?.item.map(Arc::new))
    }

    /// Undoes a write.
    fn restore(&self, table: &str, key: &Key) -> Result<(), DynoxideError> {
        let Some(known) = self.tables.get(table) else {
            return Ok(());
        };
        match known.items.get(key) {
            Some(before) => self
                .database
                .put_item(PutItemRequest {
                    table_name: table.to_owned(),
                    item: Item::clone(before),
                    ..Default::default()
                })
                .map(drop),
            None => self
                .database
                .delete_item(DeleteItemRequest {
                    table_name: table.to_owned(),
                    key: key_attributes(&known.facts.key, key),
                    ..Default::default()
                })
                .map(drop),
        }
    }
}

/// Whether two requests write the same.
fn same_transaction(one: &[u8], other: &[u8]) -> bool {
    let items = |body: &[u8]| {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        canonical::value(&body["TransactItems"])
    };
    one == other || items(one) == items(other)
}

/// Table and key, or an item with its key, of a transaction's action.
fn target(action: &TransactWriteItem) -> Option<(&str, &Item)> {
    if let Some(put) = &action.put {
        Some((&put.table_name, &put.item))
    } else if let Some(update) = &action.update {
        Some((&update.table_name, &update.key))
    } else if let Some(delete) = &action.delete {
        Some((&delete.table_name, &delete.key))
    } else {
        let check = action.condition_check.as_ref()?;
        Some((&check.table_name, &check.key))
    }
}

/// The error for a transaction that was given up, with the reason for each of its actions that has one.
fn canceled(
    actions: usize,
    reason: impl Fn(usize) -> Option<(&'static str, String)>,
) -> DynoxideError {
    let reasons: Vec<_> = (0..actions)
        .map(|action| match reason(action) {
            Some((code, message)) => CancellationReason {
                code: code.to_owned(),
                message: Some(message),
                item: None,
            },
            None => CancellationReason {
                code: "None".to_owned(),
                ..Default::default()
            },
        })
        .collect();
    let codes: Vec<_> = reasons.iter().map(|reason| reason.code.as_str()).collect();
    let message = format!(
        "Transaction cancelled, please refer cancellation reasons for specific reasons [{}]",
        codes.join(", ")
    );
    DynoxideError::TransactionCanceledException(message, reasons)
}

/// The key of an item, if it has the attributes.
fn key_of(keys: &[KeyFacts], item: &Item) -> Option<Key> {
    keys.iter()
        .map(|key| match item.get(&key.name)? {
            AttributeValue::S(text) | AttributeValue::N(text) => Some(text.clone()),
            _ => None,
        })
        .collect()
}

/// A key as attributes. Keys of bytes are not simulated.
fn key_attributes(keys: &[KeyFacts], key: &Key) -> Item {
    let attributes = keys.iter().zip(key).map(|(facts, text)| {
        let value = match facts.kind {
            KeyKind::N => AttributeValue::N(text.clone()),
            KeyKind::S | KeyKind::B => AttributeValue::S(text.clone()),
        };
        (facts.name.clone(), value)
    });
    attributes.collect()
}

fn matches_key(value: &AttributeValue, kind: KeyKind) -> bool {
    kind_of(value) == kind.as_str()
}

fn kind_of(value: &AttributeValue) -> &'static str {
    match value {
        AttributeValue::S(_) => "S",
        AttributeValue::N(_) => "N",
        AttributeValue::B(_) => "B",
        AttributeValue::BOOL(_) => "BOOL",
        AttributeValue::NULL(_) => "NULL",
        AttributeValue::SS(_) => "SS",
        AttributeValue::NS(_) => "NS",
        AttributeValue::BS(_) => "BS",
        AttributeValue::L(_) => "L",
        AttributeValue::M(_) => "M",
    }
}

/// Reads a request.
fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| {
        let text = error.to_string();
        // The embedded database marks what it checks while it reads.
        let text = text
            .rsplit_once(" at line ")
            .map_or(text.as_str(), |(text, _)| text);
        let error = match text.strip_prefix("VALIDATION:") {
            Some(text) => DynoxideError::ValidationException(text.to_owned()),
            None => DynoxideError::SerializationException(text.to_owned()),
        };
        error.into()
    })
}

fn answer(response: &impl Serialize) -> Answer {
    Ok(canonical::bytes(response))
}

#[cfg(test)]
mod product;
#[cfg(test)]
mod tests;
