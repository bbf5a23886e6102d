//! Reads attributes tolerantly: the same fact may be stored as a string, a number or a boolean.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;

use crate::domain::money::Satang;

/// An item, or a map inside one.
pub type Item = HashMap<String, AttributeValue>;

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

/// A string attribute.
pub fn s(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

/// A number attribute.
pub fn n(number: impl ToString) -> AttributeValue {
    AttributeValue::N(number.to_string())
}
