//! Items of DynamoDB as plain JSON.

use serde_json::{Number, Value, json};

/// An item in the JSON of DynamoDB's protocol as a plain object. A number becomes the nearest one that JSON has.
pub(crate) fn plain(item: &Value) -> Value {
    let fields = item.as_object().into_iter().flatten();
    let fields = fields.map(|(name, value)| (name.clone(), plain_value(value)));
    Value::Object(fields.collect())
}

fn plain_value(value: &Value) -> Value {
    let Some((kind, inner)) = value.as_object().and_then(|kinds| kinds.iter().next()) else {
        return value.clone();
    };
    match kind.as_str() {
        "M" => plain(inner),
        "L" => inner
            .as_array()
            .into_iter()
            .flatten()
            .map(plain_value)
            .collect(),
        "N" => number(inner.as_str().unwrap_or_default()),
        "NULL" => Value::Null,
        _ => inner.clone(),
    }
}

/// A plain object as an item in the JSON of DynamoDB's protocol. A number keeps its digits.
pub(crate) fn attributes(object: &Value) -> Value {
    let fields = object.as_object().into_iter().flatten();
    let fields = fields.map(|(name, value)| (name.clone(), attribute(value)));
    Value::Object(fields.collect())
}

fn attribute(value: &Value) -> Value {
    match value {
        Value::Null => json!({"NULL": true}),
        Value::Bool(flag) => json!({ "BOOL": flag }),
        Value::Number(number) => json!({"N": number.to_string()}),
        Value::String(text) => json!({ "S": text }),
        Value::Array(values) => json!({"L": values.iter().map(attribute).collect::<Vec<_>>()}),
        Value::Object(_) => json!({ "M": attributes(value) }),
    }
}

fn number(text: &str) -> Value {
    if let Ok(whole) = text.parse::<i64>() {
        return whole.into();
    }
    let fraction = text.parse().ok().and_then(Number::from_f64);
    fraction.map_or_else(|| text.into(), Value::Number)
}

/// An amount in baht, number or text, in satang; 0 where it is none. It is read in another way than the product reads it:
/// a judge must not share the mistakes of what it judges.
pub(crate) fn satang(baht: &Value) -> i64 {
    let baht = match baht {
        Value::String(text) => text.parse().unwrap_or_default(),
        other => other.as_f64().unwrap_or_default(),
    };
    (baht * 100.0).round() as i64
}

/// Sets an attribute of `data` of an order, in the JSON of DynamoDB's protocol.
pub(crate) fn set_in_data(item: &mut Value, path: &[&str], value: Value) {
    let mut at = &mut item["data"]["M"];
    for name in &path[..path.len() - 1] {
        at = &mut at[*name]["M"];
    }
    at[path[path.len() - 1]] = value;
}
