//! DynamoDB's update of one item. It supports only the expressions that are used on a payment's record and its ledger;
//! others are errors.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_dynamodb::types::{AttributeValue, TransactWriteItem};
use payment3_activities::clock::{self, Clock};
use serde_json::{Value, json};

use crate::system::{Item, NOW, NOW_TEXT, n, s};

/// What an update in the JSON protocol makes of an item: `None` where its condition does not hold. A body without an
/// update leaves the item as it is, if its condition holds.
///
/// # Errors
/// The expressions use what the model does not know, or DynamoDB would refuse them.
pub fn updated(body: &Value, item: &Item) -> Result<Option<Item>, String> {
    Update::of_body(body, |value| value)?.apply(item)
}

/// An update and its condition.
pub(crate) struct Update {
    changes: String,
    condition: String,
    names: BTreeMap<String, String>,
    values: BTreeMap<String, Value>,
}

impl Update {
    /// Reads the update from the arguments of a task.
    pub(crate) fn of_task(arguments: &Value) -> Result<Self, String> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let needed = |name: &str| text(&arguments[name]).ok_or(format!("`{name}` is no text"));
        let empty = serde_json::Map::new();
        let map = |name: &str| arguments[name].as_object().unwrap_or(&empty).clone();
        let names = map("ExpressionAttributeNames").into_iter();
        let names = names.map(|(name, value)| {
            let stands_for = text(&value).ok_or(format!("`{name}` is no text"));
            stands_for.map(|stands_for| (name, stands_for))
        });
        let update = Self {
            changes: needed("UpdateExpression")?,
            condition: needed("ConditionExpression")?,
            names: names.collect::<Result<_, _>>()?,
            values: map("ExpressionAttributeValues").into_iter().collect(),
        };
        for (name, value) in &update.values {
            if !value["S"].is_string() && !value["N"].is_string() {
                return Err(format!("{name} is neither a text nor a number: {value}"));
            }
        }
        let given: BTreeSet<_> = update.names.keys().chain(update.values.keys()).collect();
        let words = words(&update.changes)
            .into_iter()
            .chain(words(&update.condition));
        let used: BTreeSet<_> = words
            .filter(|word| word.starts_with([':', '#']))
            .map(str::to_owned)
            .collect();
        if given != used.iter().collect() {
            return Err(format!("{given:?} are given, {used:?} are used"));
        }
        Ok(update)
    }

    /// A value that is a text.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.values.get(name)?["S"].as_str()
    }

    /// Reads the update from the body of a request to DynamoDB, with the model's time for the real one.
    pub(crate) fn of_request(body: &Value) -> Result<Self, String> {
        Self::of_body(body, in_the_models_time)
    }

    fn of_body(body: &Value, read: fn(Value) -> Value) -> Result<Self, String> {
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        let map = |name: &str| body[name].as_object().cloned().unwrap_or_default();
        let names = map("ExpressionAttributeNames").into_iter();
        let values = map("ExpressionAttributeValues").into_iter();
        Ok(Self {
            changes: text("UpdateExpression"),
            condition: text("ConditionExpression"),
            names: names
                .filter_map(|(name, value)| Some((name, value.as_str()?.to_owned())))
                .collect(),
            values: values.map(|(name, value)| (name, read(value))).collect(),
        })
    }

    /// Reads the update of a record from an activity's transaction. It replaces the real time of the activity by the
    /// model's time. Otherwise two records could differ only in when the explorer reached them.
    pub(crate) fn of_transaction(item: &TransactWriteItem) -> Result<Self, String> {
        let update = item.update().ok_or("the transaction's item is no update")?;
        let values = update.expression_attribute_values().into_iter().flatten();
        let values = values.map(|(name, value)| {
            let value = match value {
                AttributeValue::S(text) if clock::seconds_of(text).is_some() => s(NOW_TEXT),
                AttributeValue::S(text) => s(text),
                AttributeValue::N(number) if is_now(number) => n(NOW),
                AttributeValue::N(number) => json!({ "N": number }),
                AttributeValue::Bool(flag) => json!({ "BOOL": flag }),
                other => return Err(format!("{name} is of a type not known here: {other:?}")),
            };
            Ok((name.clone(), value))
        });
        let names = update.expression_attribute_names().into_iter().flatten();
        Ok(Self {
            changes: update.update_expression().to_owned(),
            condition: update.condition_expression().unwrap_or_default().to_owned(),
            names: names.map(|(k, v)| (k.clone(), v.clone())).collect(),
            values: values.collect::<Result<_, String>>()?,
        })
    }

    /// Whether the condition reads an attribute.
    pub(crate) fn reads(&self, attribute: &str) -> bool {
        let mut words = words(&self.condition).into_iter();
        words.any(|word| self.names.get(word).map_or(word, String::as_str) == attribute)
    }

    /// The item after the update; `None` if the condition does not hold.
    pub(crate) fn apply(&self, item: &Item) -> Result<Option<Item>, String> {
        let mut condition = self.reader(&self.condition, item);
        let holds = self.condition.is_empty() || condition.any_of()?;
        condition.end()?;
        if !holds {
            return Ok(None);
        }
        let mut after = item.clone();
        let mut update = self.reader(&self.changes, item);
        // The changes are made in the order in which they are written, each with the values from before.
        loop {
            if update.take("SET") {
                while {
                    let path = update.path()?;
                    update.expect("=")?;
                    let value = update.value()?;
                    let value = value.ok_or(format!("{} is set to nothing", path.join(".")))?;
                    put(&mut after, &path, value)?;
                    update.take(",")
                } {}
            } else if update.take("REMOVE") {
                while {
                    let path = update.path()?;
                    if let Some((last, map)) = parent(&mut after, &path) {
                        map.remove(last);
                    }
                    update.take(",")
                } {}
            } else if update.take("ADD") {
                while {
                    let path = update.path()?;
                    let value = update.operand()?.ok_or("nothing is added")?;
                    let before = found(item, &path).map_or(Ok(0), number)?;
                    put(&mut after, &path, n(before + number(&value)?))?;
                    update.take(",")
                } {}
            } else {
                break;
            }
        }
        update.end()?;
        Ok(Some(after))
    }

    fn reader<'a>(&'a self, text: &'a str, item: &'a Item) -> Reader<'a> {
        Reader {
            update: self,
            item,
            words: words(text),
            next: 0,
        }
    }
}

/// Whether a number is a time close to now, in seconds since 1970.
fn is_now(number: &str) -> bool {
    const DAY: u64 = 86_400;
    let seconds: Option<i64> = number.parse().ok();
    seconds.is_some_and(|seconds| seconds.abs_diff(Clock::system().seconds()) < DAY)
}

/// A value as an activity writes it, with the model's time for the real one. Otherwise two records could differ only in
/// when the explorer reached them.
pub(crate) fn in_the_models_time(value: Value) -> Value {
    match value {
        Value::Number(number) if is_now(&number.to_string()) => NOW.into(),
        Value::String(text) if clock::seconds_of(&text).is_some() => NOW_TEXT.into(),
        // A number of DynamoDB.
        Value::String(text) if is_now(&text) => NOW.to_string().into(),
        Value::Array(items) => items.into_iter().map(in_the_models_time).collect(),
        Value::Object(members) => {
            let members = members.into_iter();
            let members = members.map(|(name, value)| (name, in_the_models_time(value)));
            Value::Object(members.collect())
        }
        other => other,
    }
}

/// The last name of a path, and the map that holds it; `None` if there is none.
fn parent<'i, 'p>(item: &'i mut Item, path: &'p [String]) -> Option<(&'p str, &'i mut Item)> {
    let (last, before) = path.split_last()?;
    let mut map = item;
    for name in before {
        map = map.get_mut(name)?.get_mut("M")?.as_object_mut()?;
    }
    Some((last, map))
}

fn put(item: &mut Item, path: &[String], value: Value) -> Result<(), String> {
    // DynamoDB makes no maps on the way.
    let (last, map) =
        parent(item, path).ok_or(format!("there is no map for {}", path.join(".")))?;
    map.insert(last.to_owned(), value);
    Ok(())
}

fn found<'i>(item: &'i Item, path: &[String]) -> Option<&'i Value> {
    let (first, rest) = path.split_first()?;
    let inner = |value: &'i Value, name: &String| value.get("M")?.get(name);
    rest.iter().try_fold(item.get(first)?, inner)
}

fn number(value: &Value) -> Result<i64, String> {
    let number = value["N"].as_str().and_then(|number| number.parse().ok());
    number.ok_or(format!("{value} is no whole number"))
}

/// The tokens of an expression: words and signs.
fn words(text: &str) -> Vec<&str> {
    let part_of_word = |c: char| c.is_alphanumeric() || "_:#".contains(c);
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let end = match rest.find(|c| !part_of_word(c)) {
            _ if ["<>", "<=", ">="].iter().any(|sign| rest.starts_with(sign)) => 2,
            Some(0) => first.len_utf8(),
            Some(end) => end,
            None => rest.len(),
        };
        words.push(&rest[..end]);
        rest = rest[end..].trim_start();
    }
    words
}

struct Reader<'a> {
    update: &'a Update,
    item: &'a Item,
    words: Vec<&'a str>,
    next: usize,
}

impl Reader<'_> {
    fn take(&mut self, word: &str) -> bool {
        let there = self.words.get(self.next) == Some(&word);
        self.next += usize::from(there);
        there
    }

    fn expect(&mut self, word: &str) -> Result<(), String> {
        if self.take(word) {
            return Ok(());
        }
        let rest = self.words[self.next..].join(" ");
        Err(format!("`{word}` is missing before `{rest}`"))
    }

    fn end(&self) -> Result<(), String> {
        match self.words.get(self.next) {
            None => Ok(()),
            Some(word) => Err(format!("`{word}` is not known here")),
        }
    }

    fn path(&mut self) -> Result<Vec<String>, String> {
        let mut path = vec![self.name()?];
        while self.take(".") {
            path.push(self.name()?);
        }
        Ok(path)
    }

    fn name(&mut self) -> Result<String, String> {
        let word = *self
            .words
            .get(self.next)
            .ok_or("an expression ends early")?;
        self.next += 1;
        if word.starts_with('#') {
            let name = self.update.names.get(word);
            return name.cloned().ok_or(format!("{word} is not given"));
        }
        let plain = word.chars().all(|c| c.is_alphanumeric() || c == '_');
        if plain {
            Ok(word.to_owned())
        } else {
            Err(format!("`{word}` is no attribute"))
        }
    }

    /// What an attribute is set to: an operand, or the sum or difference of two.
    fn value(&mut self) -> Result<Option<Value>, String> {
        let left = self.operand()?;
        let sign = match (self.take("+"), self.take("-")) {
            (false, false) => return Ok(left),
            (true, _) => 1,
            _ => -1,
        };
        let right = self.operand()?;
        let (left, right) = left.zip(right).ok_or("a sum has no value")?;
        Ok(Some(n(number(&left)? + sign * number(&right)?)))
    }

    /// A value; `None` if the item has no such attribute.
    fn operand(&mut self) -> Result<Option<Value>, String> {
        if self.take("if_not_exists") {
            self.expect("(")?;
            let path = self.path()?;
            self.expect(",")?;
            let otherwise = self.operand()?;
            self.expect(")")?;
            return Ok(found(self.item, &path).cloned().or(otherwise));
        }
        match self.words.get(self.next) {
            Some(word) if word.starts_with(':') => {
                self.next += 1;
                let value = self.update.values.get(*word);
                value
                    .cloned()
                    .map(Some)
                    .ok_or(format!("{word} is not given"))
            }
            _ => {
                let path = self.path()?;
                Ok(found(self.item, &path).cloned())
            }
        }
    }

    fn any_of(&mut self) -> Result<bool, String> {
        let mut holds = self.all_of()?;
        while self.take("OR") {
            holds |= self.all_of()?;
        }
        Ok(holds)
    }

    fn all_of(&mut self) -> Result<bool, String> {
        let mut holds = self.single()?;
        while self.take("AND") {
            holds &= self.single()?;
        }
        Ok(holds)
    }

    fn single(&mut self) -> Result<bool, String> {
        for (function, wanted) in [("attribute_exists", true), ("attribute_not_exists", false)] {
            if self.take(function) {
                self.expect("(")?;
                let path = self.path()?;
                self.expect(")")?;
                return Ok(found(self.item, &path).is_some() == wanted);
            }
        }
        if self.take("(") {
            let holds = self.any_of()?;
            self.expect(")")?;
            return Ok(holds);
        }
        let left = self.operand()?;
        if self.take("<>") {
            let right = self.operand()?;
            return Ok(left != right);
        }
        if self.take("=") {
            let right = self.operand()?;
            return Ok(left.is_some() && left == right);
        }
        for (sign, orders) in [
            ("<=", &[Ordering::Less, Ordering::Equal][..]),
            (">=", &[Ordering::Greater, Ordering::Equal]),
            ("<", &[Ordering::Less]),
            (">", &[Ordering::Greater]),
        ] {
            if self.take(sign) {
                let right = self.operand()?;
                // What is not there is neither less nor more.
                return left.zip(right).map_or(Ok(false), |(left, right)| {
                    Ok(orders.contains(&number(&left)?.cmp(&number(&right)?)))
                });
            }
        }
        self.expect("IN")?;
        self.expect("(")?;
        let mut among = false;
        loop {
            let right = self.operand()?;
            among |= left.is_some() && left == right;
            if !self.take(",") {
                break;
            }
        }
        self.expect(")")?;
        Ok(among)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item<const N: usize>(attributes: [(&str, Value); N]) -> Item {
        let attributes = attributes.into_iter();
        attributes
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }

    fn update(set: &str, condition: &str) -> Value {
        json!({
            "UpdateExpression": set,
            "ConditionExpression": condition,
            "ExpressionAttributeNames": {"#token": "token"},
            "ExpressionAttributeValues": {":one": n(1), ":paid": s("paid")},
        })
    }

    #[test]
    fn conditions_hold_as_in_dynamodb() {
        let item = item([("a", n(1)), ("b", s("paid"))]);
        for (condition, holds) in [
            ("a = :one AND b = :paid", true),
            ("b = :one OR a = :one", true),
            ("b = :one OR a = :one AND b = :one", false),
            ("(b = :one OR a = :one) AND b = :one", false),
            ("b IN (:one, :paid)", true),
            ("c IN (:one, :paid)", false),
            ("c = :one", false),
            ("b <> :one", true),
            ("attribute_exists(a) AND attribute_not_exists(c)", true),
            ("attribute_exists(c) OR attribute_not_exists(a)", false),
        ] {
            let set = "SET x = :one, y = :paid REMOVE #token";
            let applied = Update::of_task(&update(set, condition))
                .unwrap()
                .apply(&item);
            assert_eq!(applied.unwrap().is_some(), holds, "{condition}");
        }
    }

    #[test]
    fn an_activity_writes_the_time_of_the_model() {
        let at = |text: &str, seconds: i64| {
            let update = aws_sdk_dynamodb::types::Update::builder()
                .table_name("records")
                .key("tokenId", AttributeValue::S("k".into()))
                .update_expression("SET a = :text, b = :seconds, c = :one")
                .condition_expression("attribute_not_exists(a)")
                .expression_attribute_values(":text", AttributeValue::S(text.into()))
                .expression_attribute_values(":seconds", AttributeValue::N(seconds.to_string()))
                .expression_attribute_values(":one", AttributeValue::N("1".into()))
                .build()
                .unwrap();
            let item = TransactWriteItem::builder().update(update).build();
            let update = Update::of_transaction(&item).unwrap();
            update.apply(&Item::new()).unwrap().unwrap()
        };
        let now = Clock::system().seconds();
        let written = at(&Clock::system().text(), now);
        assert_eq!(written, at("2026-01-02T03:04:05.678Z", now - 7));
        let expected = item([("a", s(NOW_TEXT)), ("b", n(NOW)), ("c", n(1))]);
        assert_eq!(written, expected);
    }

    #[test]
    fn an_update_sets_and_removes_attributes() {
        let before = item([("a", n(7)), ("token", s("t"))]);
        let set =
            "SET a = if_not_exists(a, :one), b = if_not_exists(b, :one), c = :paid REMOVE #token";
        let update = Update::of_task(&update(set, "attribute_exists(a)")).unwrap();
        let after = update.apply(&before).unwrap().unwrap();
        let expected = item([("a", n(7)), ("b", n(1)), ("c", s("paid"))]);
        assert_eq!(after, expected);
    }

    #[test]
    fn an_update_changes_what_a_map_holds_and_adds_to_numbers() {
        let entry = json!({"M": {"state": s("reserved"), "mark": s("m")}});
        let refunds = json!({"M": {"rf-1": entry}});
        let before = item([("refunds", refunds), ("sum", n(7))]);
        let update = |set: &str, condition: &str| {
            let update = Update::of_request(&json!({
                "UpdateExpression": set,
                "ConditionExpression": condition,
                "ExpressionAttributeNames": {"#id": "rf-1", "#other": "rf-2", "#state": "state"},
                "ExpressionAttributeValues": {
                    ":asked": s("asked"), ":less": n(-3), ":seven": n(7), ":entry": {"M": {}},
                },
            }));
            update.unwrap().apply(&before)
        };
        let after = update(
            "SET refunds.#id.#state = :asked, refunds.#other = :entry REMOVE refunds.#id.mark ADD sum :less, new :seven",
            "refunds.#id.mark <> :asked AND sum <= :seven AND attribute_not_exists(refunds.#other)",
        );
        let refunds = json!({"M": {"rf-1": {"M": {"state": s("asked")}}, "rf-2": {"M": {}}}});
        let expected = item([("new", n(7)), ("refunds", refunds), ("sum", n(4))]);
        assert_eq!(after, Ok(Some(expected)));
        let after = update("SET sum = sum - :seven", "sum > :less").unwrap();
        assert_eq!(after.unwrap()["sum"], n(0));
        for condition in [
            "sum < :seven",
            "none >= :seven",
            "refunds.#other.mark = :asked",
        ] {
            assert_eq!(update("SET a = :asked", condition), Ok(None), "{condition}");
        }
        assert!(update("SET refunds.#other.#state = :asked", "").is_err());
    }

    #[test]
    fn an_update_that_dynamodb_would_refuse_is_an_error() {
        let item = item([("b", s("paid"))]);
        for (set, condition) in [
            ("SET a = :one", "b = :paid"),
            ("SET a = :one REMOVE #token", "b = :paid AND"),
            ("SET a = :one, c = :two REMOVE #token", "b = :paid"),
            ("SET a = :one DELETE c :one REMOVE #token", "b = :paid"),
            ("SET a = :one, c.d = :one REMOVE #token", "b = :paid"),
            ("SET a = b + :one REMOVE #token", "b = :paid"),
            ("SET a = :one REMOVE #token", "begins_with(b, :paid)"),
        ] {
            let applied = Update::of_task(&update(set, condition));
            let applied = applied.and_then(|update| update.apply(&item));
            assert!(applied.is_err(), "{set} {condition}");
        }
    }
}
