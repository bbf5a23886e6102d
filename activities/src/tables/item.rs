//! Reads items, and their attributes tolerantly: the same fact may be stored as a string, a number or a boolean.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::TableError;
use crate::domain::money::Satang;

/// An item, or a map inside one.
pub type Item = HashMap<String, AttributeValue>;

/// Reads an item by its key, strongly consistent; `None` where there is none.
///
/// # Errors
/// [`TableError`].
pub(super) async fn get_item(
    client: &Client,
    table: &str,
    (name, key): (&str, &str),
    operation: &'static str,
) -> Result<Option<Item>, TableError> {
    let output = client
        .get_item()
        .table_name(table)
        .key(name, s(key))
        .consistent_read(true)
        .send()
        .await
        .map_err(TableError::unavailable(operation))?;
    Ok(output.item)
}

/// A non-empty string.
#[must_use]
pub fn string<'a>(item: &'a Item, name: &str) -> Option<&'a str> {
    match item.get(name)? {
        AttributeValue::S(text) if !text.is_empty() => Some(text),
        _ => None,
    }
}

/// An identifier's text, stored as text or as a number.
#[must_use]
pub fn identifier<'a>(item: &'a Item, name: &str) -> Option<&'a str> {
    match item.get(name)? {
        AttributeValue::S(text) | AttributeValue::N(text) if !text.is_empty() => Some(text),
        _ => None,
    }
}

/// Whether nothing is stored: no attribute, null, or empty text.
#[must_use]
pub fn is_blank(item: &Item, name: &str) -> bool {
    match item.get(name) {
        None | Some(AttributeValue::Null(_)) => true,
        Some(AttributeValue::S(text)) => text.is_empty(),
        Some(_) => false,
    }
}

/// A whole number, stored as a number or as text.
#[must_use]
pub fn integer(item: &Item, name: &str) -> Option<i64> {
    match item.get(name)? {
        AttributeValue::N(text) | AttributeValue::S(text) => text.parse().ok(),
        _ => None,
    }
}

/// A boolean, stored as such, as `"true"`/`"false"` in any case, or as 1/0.
#[must_use]
pub fn boolean(item: &Item, name: &str) -> Option<bool> {
    match item.get(name)? {
        AttributeValue::Bool(flag) => Some(*flag),
        AttributeValue::S(text) | AttributeValue::N(text) => {
            match text.to_ascii_lowercase().as_str() {
                "true" | "1" => Some(true),
                "false" | "0" => Some(false),
                _ => None,
            }
        }
        _ => None,
    }
}

/// An amount in decimal baht, stored as a number or as text, which may group its thousands.
#[must_use]
pub fn baht(item: &Item, name: &str) -> Option<Satang> {
    match item.get(name)? {
        AttributeValue::N(text) | AttributeValue::S(text) => Satang::parse_shop(text).ok(),
        _ => None,
    }
}

/// A map inside the item.
#[must_use]
pub fn map<'a>(item: &'a Item, name: &str) -> Option<&'a Item> {
    item.get(name)?.as_m().ok()
}

/// An attribute as JSON text, for people who read where only text may stand. Numbers keep every digit; names are in
/// order.
#[must_use]
pub fn json_text(value: &AttributeValue) -> String {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let list = |parts: Vec<String>| format!("[{}]", parts.join(","));
    match value {
        AttributeValue::S(text) => quoted(text),
        AttributeValue::N(number) => number.clone(),
        AttributeValue::Bool(flag) => flag.to_string(),
        AttributeValue::L(values) => list(values.iter().map(json_text).collect()),
        AttributeValue::M(fields) => {
            let fields: BTreeMap<_, _> = fields.iter().collect();
            let written = fields
                .into_iter()
                .map(|(name, value)| format!("{}:{}", quoted(name), json_text(value)));
            format!("{{{}}}", written.collect::<Vec<_>>().join(","))
        }
        AttributeValue::Ss(texts) => list(texts.iter().map(|text| quoted(text)).collect()),
        AttributeValue::Ns(numbers) => list(numbers.clone()),
        AttributeValue::B(bytes) => quoted(&STANDARD.encode(bytes)),
        AttributeValue::Bs(all) => list(
            all.iter()
                .map(|bytes| quoted(&STANDARD.encode(bytes)))
                .collect(),
        ),
        // Null, and types that DynamoDB may have one day.
        _ => "null".to_owned(),
    }
}

/// A string attribute.
pub fn s(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

/// A number attribute.
pub fn n(number: impl ToString) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_of_attribute_has_its_json_text() {
        let blob = || aws_sdk_dynamodb::primitives::Blob::new(b"ab".as_slice());
        let item = AttributeValue::M(Item::from([
            ("b\"".into(), AttributeValue::L(vec![s("ก\n"), n(1)])),
            (
                "a".into(),
                AttributeValue::N("0.1000000000000000055511151231257827".into()),
            ),
            ("c".into(), AttributeValue::Bool(true)),
            ("d".into(), AttributeValue::Null(true)),
            ("e".into(), AttributeValue::Ss(vec!["x".into()])),
            ("f".into(), AttributeValue::Ns(vec!["1".into(), "2".into()])),
            ("g".into(), AttributeValue::B(blob())),
            ("h".into(), AttributeValue::Bs(vec![blob()])),
        ]));
        assert_eq!(
            json_text(&item),
            r#"{"a":0.1000000000000000055511151231257827,"b\"":["ก\n",1],"c":true,"d":null,"e":["x"],"f":[1,2],"g":"YWI=","h":["YWI="]}"#
        );
    }
}
