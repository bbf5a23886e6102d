//! DynamoDB items as JSON, for showing and comparing.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use payment3_activities::domain::money::Satang;
use serde_json::{Map, Value};

/// An item as a JSON object.
pub fn to_json(item: &HashMap<String, AttributeValue>) -> Value {
    let fields: Map<String, Value> = item
        .iter()
        .map(|(name, value)| (name.clone(), value_to_json(value)))
        .collect();
    Value::Object(fields)
}

fn value_to_json(value: &AttributeValue) -> Value {
    match value {
        AttributeValue::S(text) => Value::from(text.as_str()),
        AttributeValue::N(number) => number_to_json(number),
        AttributeValue::Bool(flag) => Value::from(*flag),
        AttributeValue::M(fields) => to_json(fields),
        AttributeValue::L(values) => values.iter().map(value_to_json).collect(),
        AttributeValue::Ss(texts) => texts.iter().map(String::as_str).collect(),
        AttributeValue::Null(_) => Value::Null,
        // Nothing in this system writes the other types; they are shown, not interpreted.
        other => Value::from(format!("{other:?}")),
    }
}

/// The nearest number: what a JSON reader makes of a long fraction may be the one beside it.
fn number_to_json(number: &str) -> Value {
    match (number.parse::<i64>(), number.parse::<f64>()) {
        (Ok(whole), _) => Value::from(whole),
        (_, Ok(fraction)) => Value::from(fraction),
        _ => Value::from(number),
    }
}

/// A JSON value as an attribute.
pub fn from_json(value: &Value) -> AttributeValue {
    match value {
        Value::Null => AttributeValue::Null(true),
        Value::Bool(flag) => AttributeValue::Bool(*flag),
        Value::Number(number) => AttributeValue::N(number.to_string()),
        Value::String(text) => AttributeValue::S(text.clone()),
        Value::Array(values) => AttributeValue::L(values.iter().map(from_json).collect()),
        Value::Object(fields) => AttributeValue::M(item_from_json(fields)),
    }
}

/// A JSON object as an item.
pub fn item_from_json(fields: &Map<String, Value>) -> HashMap<String, AttributeValue> {
    fields
        .iter()
        .map(|(name, value)| (name.clone(), from_json(value)))
        .collect()
}

/// An amount in baht as the tables hold it, number or text, with two decimals. None when it is no amount.
pub fn baht(amount: &Value) -> Option<String> {
    let text = match amount {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    Satang::parse_shop(&text)
        .ok()
        .map(|amount| amount.to_string())
}

/// An amount in satang as decimal baht.
pub fn satang_as_baht(satang: u64) -> String {
    format!("{}.{:02}", satang / 100, satang % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_two_decimals() {
        assert_eq!(baht(&1500.into()).as_deref(), Some("1500.00"));
        assert_eq!(baht(&"249.5".into()).as_deref(), Some("249.50"));
        assert_eq!(baht(&Value::Null), None);
        assert_eq!(satang_as_baht(150_005), "1500.05");
    }

    #[test]
    fn a_long_fraction_is_not_rounded_on_its_way() {
        let sum = serde_json::json!(59.699_999_999_999_996);
        let stored = from_json(&sum);
        assert_eq!(stored, AttributeValue::N("59.699999999999996".to_owned()));
        assert_eq!(value_to_json(&stored), sum);
    }

    #[test]
    fn an_item_reads_as_json() {
        let item = HashMap::from([
            ("id".to_owned(), AttributeValue::S("a".to_owned())),
            ("n".to_owned(), AttributeValue::N("150000".to_owned())),
            (
                "m".to_owned(),
                AttributeValue::M(HashMap::from([(
                    "paid".to_owned(),
                    AttributeValue::Bool(true),
                )])),
            ),
            (
                "l".to_owned(),
                AttributeValue::L(vec![AttributeValue::Null(true)]),
            ),
        ]);
        assert_eq!(
            to_json(&item),
            serde_json::json!({"id": "a", "n": 150_000, "m": {"paid": true}, "l": [null]})
        );
    }
}
