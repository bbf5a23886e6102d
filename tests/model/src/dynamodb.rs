//! DynamoDB's update of one item. It supports only the expressions that are used on a payment's record; others are
//! errors.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_dynamodb::types::{AttributeValue, TransactWriteItem};
use payment3_activities::clock;
use serde_json::{Value, json};

use crate::system::{Item, NOW, NOW_TEXT, n, s};

/// An update and its condition.
pub(crate) struct Update {
    set_and_remove: String,
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
            set_and_remove: needed("UpdateExpression")?,
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
        let words = words(&update.set_and_remove)
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
            set_and_remove: update.update_expression().to_owned(),
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
        let holds = condition.any_of()?;
        condition.end()?;
        if !holds {
            return Ok(None);
        }
        let mut after = item.clone();
        let mut update = self.reader(&self.set_and_remove, item);
        if update.take("SET") {
            loop {
                let name = update.path()?;
                update.expect("=")?;
                let value = update
                    .operand()?
                    .ok_or(format!("{name} is set to nothing"))?;
                after.insert(name, value);
                if !update.take(",") {
                    break;
                }
            }
        }
        if update.take("REMOVE") {
            loop {
                after.remove(&update.path()?);
                if !update.take(",") {
                    break;
                }
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
    seconds.is_some_and(|seconds| seconds.abs_diff(clock::now_seconds()) < DAY)
}

/// The tokens of an expression: words and signs.
fn words(text: &str) -> Vec<&str> {
    let part_of_word = |c: char| c.is_alphanumeric() || "_:#".contains(c);
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let end = match rest.find(|c| !part_of_word(c)) {
            _ if rest.starts_with("<>") => 2,
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

    fn path(&mut self) -> Result<String, String> {
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

    /// A value; `None` if the item has no such attribute.
    fn operand(&mut self) -> Result<Option<Value>, String> {
        if self.take("if_not_exists") {
            self.expect("(")?;
            let name = self.path()?;
            self.expect(",")?;
            let otherwise = self.operand()?;
            self.expect(")")?;
            return Ok(self.item.get(&name).cloned().or(otherwise));
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
            _ => Ok(self.item.get(&self.path()?).cloned()),
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
                let name = self.path()?;
                self.expect(")")?;
                return Ok(self.item.contains_key(&name) == wanted);
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
        let item: Item = [("a".to_owned(), n(1)), ("b".to_owned(), s("paid"))].into();
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
        let now = clock::now_seconds();
        let written = at(&clock::now(), now);
        assert_eq!(written, at("2026-01-02T03:04:05.678Z", now - 7));
        let expected = [("a", s(NOW_TEXT)), ("b", n(NOW)), ("c", n(1))];
        assert_eq!(written, expected.map(|(k, v)| (k.to_owned(), v)).into());
    }

    #[test]
    fn an_update_sets_and_removes_attributes() {
        let item: Item = [("a".to_owned(), n(7)), ("token".to_owned(), s("t"))].into();
        let set =
            "SET a = if_not_exists(a, :one), b = if_not_exists(b, :one), c = :paid REMOVE #token";
        let update = Update::of_task(&update(set, "attribute_exists(a)")).unwrap();
        let after = update.apply(&item).unwrap().unwrap();
        let expected = [("a", n(7)), ("b", n(1)), ("c", s("paid"))];
        assert_eq!(after, expected.map(|(k, v)| (k.to_owned(), v)).into());
    }

    #[test]
    fn an_update_that_dynamodb_would_refuse_is_an_error() {
        let item: Item = [("b".to_owned(), s("paid"))].into();
        for (set, condition) in [
            ("SET a = :one", "b = :paid"),
            ("SET a = :one REMOVE #token", "b = :paid AND"),
            ("SET a = :one, c = :two REMOVE #token", "b = :paid"),
            ("SET a = :one ADD c :one REMOVE #token", "b = :paid"),
            ("SET a = :one REMOVE #token", "begins_with(b, :paid)"),
        ] {
            let applied = Update::of_task(&update(set, condition));
            let applied = applied.and_then(|update| update.apply(&item));
            assert!(applied.is_err(), "{set} {condition}");
        }
    }
}
