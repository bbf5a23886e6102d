//! A copy of a table that lags behind it: an index, or what a read sees that does not ask for the latest.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dynoxide::actions::create_table::CreateTableRequest;
use dynoxide::{Database, DynoxideError, ImportOptions, Item};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Key, matches_key};
use crate::deployment::{IndexFacts, KeyFacts, Projection, TableFacts};

/// After so many writes that nobody has asked for, what is due is set aside, so that the queue stays short.
const QUEUE: usize = 1024;

/// An item as it was written; `None` where it was deleted.
type Image = Option<Arc<Item>>;

/// A copy of a table.
pub(super) struct Replica {
    table: TableFacts,
    index: Option<IndexFacts>,
    /// Made when somebody first reads.
    database: Option<Database>,
    /// Writes that are not seen yet, by the time from which they are.
    queue: BTreeMap<(Timestamp, u64), (Key, Image)>,
    written: u64,
    /// When the last write of an item is seen: the writes of one item never overtake each other.
    last: BTreeMap<Key, Timestamp>,
    /// Writes that are seen, but not in the database yet: of each item only the last.
    seen: BTreeMap<Key, Image>,
    /// The items in the database.
    present: BTreeSet<Key>,
}

impl Replica {
    /// The copy of a table that is read without strong consistency.
    pub(super) fn of_table(table: &TableFacts) -> Self {
        Self::new(table, None)
    }

    /// An index of a table.
    pub(super) fn of_index(table: &TableFacts, index: &IndexFacts) -> Self {
        Self::new(table, Some(index.clone()))
    }

    fn new(table: &TableFacts, index: Option<IndexFacts>) -> Self {
        Self {
            table: table.clone(),
            index,
            database: None,
            queue: BTreeMap::new(),
            written: 0,
            last: BTreeMap::new(),
            seen: BTreeMap::new(),
            present: BTreeSet::new(),
        }
    }

    /// Notes a write that is seen from `due` on, or when the write before it is.
    pub(super) fn write(&mut self, key: &Key, image: &Image, now: Timestamp, due: Timestamp) {
        let image = image.clone().filter(|item| self.holds(item));
        let due = self.last.get(key).map_or(due, |last| due.max(*last));
        self.last.insert(key.clone(), due);
        self.written += 1;
        self.queue.insert((due, self.written), (key.clone(), image));
        if self.queue.len() > QUEUE {
            self.see(now);
        }
    }

    /// The database as it is seen now.
    ///
    /// # Errors
    /// What the embedded database cannot do.
    pub(super) fn at(&mut self, now: Timestamp) -> Result<&Database, DynoxideError> {
        self.see(now);
        let database = match self.database.take() {
            Some(database) => database,
            None => {
                let database = Database::memory()?;
                let index = self.index.as_slice();
                database.create_table(create_table(&self.table, index)?)?;
                database
            }
        };
        let mut items = Vec::new();
        for (key, image) in std::mem::take(&mut self.seen) {
            if let Some(item) = image {
                items.push(Item::clone(&item));
                self.present.insert(key);
            } else if self.present.remove(&key) {
                database.delete_item(dynoxide::actions::delete_item::DeleteItemRequest {
                    table_name: self.table.name.clone(),
                    key: super::key_attributes(&self.table.key, &key),
                    ..Default::default()
                })?;
            }
        }
        if !items.is_empty() {
            database.import_items(&self.table.name, items, ImportOptions::default())?;
        }
        Ok(self.database.insert(database))
    }

    /// Whether an item is in it: an index has only what has its keys.
    fn holds(&self, item: &Item) -> bool {
        let keys = self.index.iter().flat_map(|index| &index.key);
        keys.into_iter().all(|key| item.contains_key(&key.name))
    }

    fn see(&mut self, now: Timestamp) {
        while let Some(next) = self.queue.first_entry() {
            if next.key().0 > now {
                return;
            }
            let due = next.key().0;
            let (key, image) = next.remove();
            if self.last.get(&key) == Some(&due) {
                self.last.remove(&key);
            }
            self.seen.insert(key, image);
        }
    }
}

/// The request for a table with these of its indexes.
///
/// # Errors
/// Facts that are no table's.
pub(super) fn create_table(
    table: &TableFacts,
    indexes: &[IndexFacts],
) -> Result<CreateTableRequest, DynoxideError> {
    let schema = |keys: &[KeyFacts]| -> Value {
        let kinds = ["HASH", "RANGE"].into_iter();
        let keys = keys.iter().zip(kinds);
        keys.map(|(key, kind)| json!({"AttributeName": key.name, "KeyType": kind}))
            .collect()
    };
    let attributes: BTreeMap<_, _> = indexes
        .iter()
        .flat_map(|index| &index.key)
        .chain(&table.key)
        .map(|key| (&key.name, key.kind.as_str()))
        .collect();
    let attributes = attributes
        .into_iter()
        .map(|(name, kind)| json!({"AttributeName": name, "AttributeType": kind}));
    let mut request = json!({
        "TableName": table.name,
        "BillingMode": "PAY_PER_REQUEST",
        "KeySchema": schema(&table.key),
        "AttributeDefinitions": attributes.collect::<Value>(),
    });
    if !indexes.is_empty() {
        let indexes = indexes.iter().map(|index| {
            let projection = match index.projection {
                Projection::All => "ALL",
                Projection::KeysOnly => "KEYS_ONLY",
            };
            json!({
                "IndexName": index.name,
                "KeySchema": schema(&index.key),
                "Projection": {"ProjectionType": projection},
            })
        });
        request["GlobalSecondaryIndexes"] = indexes.collect();
    }
    serde_json::from_value(request)
        .map_err(|error| DynoxideError::ValidationException(error.to_string()))
}

/// Why an item cannot be written: a key of an index has another type than the index.
pub(super) fn wrong_index_key(table: &TableFacts, item: &Item) -> Option<String> {
    let keys = table
        .indexes
        .iter()
        .flat_map(|index| index.key.iter().map(move |key| (index, key)));
    keys.into_iter().find_map(|(index, key)| {
        let value = item.get(&key.name)?;
        if !matches_key(value, key.kind) {
            return Some(format!(
                "One or more parameter values were invalid: Type mismatch for Index Key {} Expected: {} Actual: {} IndexName: {}",
                key.name,
                key.kind.as_str(),
                super::kind_of(value),
                index.name,
            ));
        }
        matches!(value, dynoxide::AttributeValue::S(text) if text.is_empty()).then(|| {
            format!(
                "One or more parameter values are not valid. A value specified for a secondary index key is not supported. The AttributeValue for a key attribute cannot contain an empty string value. IndexName: {}, IndexKey: {}",
                index.name, key.name
            )
        })
    })
}
