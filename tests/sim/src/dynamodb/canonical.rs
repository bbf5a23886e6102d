//! JSON whose names are always in order. The embedded database keeps attributes in hash maps, whose order changes from
//! run to run, and a dependency makes `serde_json` keep whatever order it gets.

use dynoxide::{AttributeValue, Item};
use serde::Serialize;
use serde_json::{Value, json};

/// A value as JSON text, names in order.
pub(super) fn bytes(value: &impl Serialize) -> Vec<u8> {
    let mut text = Vec::with_capacity(512);
    // What is written here has text as names and no numbers but JSON's own.
    if let Ok(value) = serde_json::to_value(value) {
        write(&value, &mut text);
    }
    text
}

/// `{"<name>": <item>}`, names in order.
pub(super) fn named_item(name: &str, item: &Item) -> Vec<u8> {
    let mut text = Vec::with_capacity(1024);
    text.push(b'{');
    leaf(name, &mut text);
    text.push(b':');
    attributes(item, &mut text);
    text.push(b'}');
    text
}

fn attributes(item: &Item, text: &mut Vec<u8>) {
    let mut members: Vec<_> = item.iter().collect();
    members.sort_unstable_by_key(|(name, _)| *name);
    separated(b"{}", members, text, |(name, value), text| {
        leaf(name, text);
        text.push(b':');
        attribute(value, text);
    });
}

fn attribute(value: &AttributeValue, text: &mut Vec<u8>) {
    match value {
        AttributeValue::M(item) => {
            text.extend(br#"{"M":"#);
            attributes(item, text);
            text.push(b'}');
        }
        AttributeValue::L(values) => {
            text.extend(br#"{"L":"#);
            separated(b"[]", values, text, attribute);
            text.push(b'}');
        }
        // One name, and nothing in it that has names.
        other => leaf(other, text),
    }
}

fn separated<T>(
    [opens, closes]: &[u8; 2],
    values: impl IntoIterator<Item = T>,
    text: &mut Vec<u8>,
    write: impl Fn(T, &mut Vec<u8>),
) {
    text.push(*opens);
    for (number, value) in values.into_iter().enumerate() {
        if number > 0 {
            text.push(b',');
        }
        write(value, text);
    }
    text.push(*closes);
}

/// An item as JSON, names in order.
pub(super) fn item(item: &Item) -> Value {
    let mut members: Vec<_> = item.iter().collect();
    members.sort_unstable_by_key(|(name, _)| *name);
    let members = members
        .into_iter()
        .map(|(name, value)| (name.clone(), typed(value)));
    Value::Object(members.collect())
}

/// An attribute's value below the name of its type.
fn typed(value: &AttributeValue) -> Value {
    match value {
        AttributeValue::M(members) => json!({ "M": item(members) }),
        AttributeValue::L(values) => json!({"L": values.iter().map(typed).collect::<Vec<_>>()}),
        // One name, and nothing in it that has names.
        other => serde_json::to_value(other).unwrap_or_default(),
    }
}

/// A value as JSON, names in order.
pub(super) fn value(value: &impl Serialize) -> Value {
    serde_json::to_value(value).map_or(Value::Null, sorted)
}

fn sorted(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members.into_iter().collect();
            members.sort_unstable_by(|one, other| one.0.cmp(&other.0));
            let members = members
                .into_iter()
                .map(|(name, value)| (name, sorted(value)));
            Value::Object(members.collect())
        }
        Value::Array(values) => Value::Array(values.into_iter().map(sorted).collect()),
        other => other,
    }
}

fn write(value: &Value, text: &mut Vec<u8>) {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_unstable_by_key(|(name, _)| *name);
            separated(b"{}", members, text, |(name, value), text| {
                leaf(name, text);
                text.push(b':');
                write(value, text);
            });
        }
        Value::Array(values) => separated(b"[]", values, text, write),
        other => leaf(other, text),
    }
}

fn leaf(value: &(impl Serialize + ?Sized), text: &mut Vec<u8>) {
    // A vector takes every byte, and leaves have a JSON form.
    let _ = serde_json::to_writer(text, value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_is_written_as_its_json() {
        let json = r#"{"Item":{"a":{"M":{"b":{"L":[{"N":"1"},{"M":{}}]},"c":{"SS":["x","y"]}}},"d":{"NULL":true},"e\n":{"B":"YWI="},"f":{"S":"\"ก"}}}"#;
        let parsed: Value = serde_json::from_str(json).unwrap();
        let item: Item = serde_json::from_value(parsed["Item"].clone()).unwrap();
        assert_eq!(super::item(&item).to_string(), parsed["Item"].to_string());
        assert_eq!(String::from_utf8(named_item("Item", &item)).unwrap(), json);
    }

    #[test]
    fn names_are_in_order_at_any_depth() {
        let json: Value = serde_json::from_str(r#"{"b":[{"z":1,"a":"ก\n"}],"a":null}"#).unwrap();
        let text = r#"{"a":null,"b":[{"a":"ก\n","z":1}]}"#;
        assert_eq!(String::from_utf8(bytes(&json)).unwrap(), text);
        assert_eq!(value(&json).to_string(), text);
    }
}
