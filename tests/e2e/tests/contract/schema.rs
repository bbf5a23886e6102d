//! The part of OpenAPI's schemas that the document's answers use. A keyword that is not known here counts as a
//! difference: the document must say nothing that goes unchecked.

use jiff::Timestamp;
use regex_lite::Regex;
use serde_json::Value;

/// What a reference refers to in `document`; anything else is itself.
///
/// # Panics
/// The document has no such place.
pub(crate) fn resolve<'a>(document: &'a Value, node: &'a Value) -> &'a Value {
    let Some(reference) = node["$ref"].as_str() else {
        return node;
    };
    reference
        .strip_prefix('#')
        .and_then(|pointer| document.pointer(pointer))
        .unwrap_or_else(|| panic!("the document refers to {reference}, which is not in it"))
}

/// How `value` differs from `schema`, whose references point into `document`; `at` says where the value stands.
pub(crate) fn difference(
    document: &Value,
    schema: &Value,
    value: &Value,
    at: &str,
) -> Option<String> {
    let Some(rules) = schema.as_object() else {
        return Some(format!("{at} has no schema"));
    };
    rules
        .iter()
        .find_map(|(keyword, rule)| match keyword.as_str() {
            "$ref" => difference(document, resolve(document, schema), value, at),
            "allOf" => elements(rule).find_map(|part| difference(document, part, value, at)),
            "properties" => rule.as_object()?.iter().find_map(|(name, schema)| {
                difference(document, schema, value.get(name)?, &format!("{at}.{name}"))
            }),
            "description" => None,
            _ => (!holds(keyword, rule, schema, value))
                .then(|| format!("{at} is {value}, against {keyword}: {rule}")),
        })
}

/// Whether `value` keeps one rule of `schema` that needs no other schema.
fn holds(keyword: &str, rule: &Value, schema: &Value, value: &Value) -> bool {
    let length = || value.as_str().map(|text| text.chars().count() as u64);
    match keyword {
        "type" => match rule.as_str() {
            Some("object") => value.is_object(),
            Some("string") => value.is_string(),
            Some("integer") => value.is_i64(),
            Some("boolean") => value.is_boolean(),
            _ => false,
        },
        "enum" => elements(rule).any(|known| known == value),
        "pattern" => matches(rule, value),
        "minimum" => value
            .as_i64()
            .is_none_or(|n| rule.as_i64().is_some_and(|least| n >= least)),
        "maximum" => value
            .as_i64()
            .is_none_or(|n| rule.as_i64().is_some_and(|most| n <= most)),
        "minLength" => length().is_none_or(|length| rule.as_u64().is_some_and(|min| length >= min)),
        "maxLength" => length().is_none_or(|length| rule.as_u64().is_some_and(|max| length <= max)),
        "format" => {
            let timestamp = value
                .as_str()
                .and_then(|text| text.parse::<Timestamp>().ok());
            rule == "date-time" && timestamp.is_some()
        }
        "required" => {
            elements(rule).all(|name| name.as_str().is_some_and(|name| value.get(name).is_some()))
        }
        "additionalProperties" => {
            let known = |name: &String| schema["properties"].get(name).is_some();
            rule == false
                && value
                    .as_object()
                    .is_none_or(|object| object.keys().all(known))
        }
        _ => false,
    }
}

fn matches(pattern: &Value, value: &Value) -> bool {
    let Some(text) = value.as_str() else {
        return true;
    };
    pattern
        .as_str()
        .and_then(|pattern| Regex::new(pattern).ok())
        .is_some_and(|pattern| pattern.is_match(text))
}

fn elements(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

#[test]
fn a_value_that_does_not_fit_its_schema_is_reported_with_its_place() {
    use serde_json::json;

    let document = json!({"schemas": {
        "Named": {
            "type": "object",
            "required": ["name"],
            "properties": {"name": {"type": "string", "pattern": "^[a-z]+$", "maxLength": 3}},
            "additionalProperties": false,
        },
    }});
    let reference = json!({"$ref": "#/schemas/Named"});
    for (schema, value, at) in [
        (&reference, json!({"name": "ann"}), None),
        (&reference, json!({"name": "anna"}), Some("body.name is")),
        (&reference, json!({"name": "Ann"}), Some("body.name is")),
        (&reference, json!({"name": null}), Some("body.name is")),
        (&reference, json!({}), Some("body is")),
        (
            &reference,
            json!({"name": "ann", "age": 3}),
            Some("body is"),
        ),
        (&json!({"allOf": [{"enum": ["a"]}]}), json!("a"), None),
        (
            &json!({"allOf": [{"enum": ["a"]}]}),
            json!("b"),
            Some("body is"),
        ),
        (
            &json!({"type": "integer", "minimum": 1, "maximum": 3}),
            json!(3),
            None,
        ),
        (&json!({"type": "integer"}), json!("3"), Some("body is")),
        (
            &json!({"type": "boolean", "enum": [true]}),
            json!(true),
            None,
        ),
        (
            &json!({"type": "boolean", "enum": [true]}),
            json!(false),
            Some("body is"),
        ),
        (&json!({"type": "boolean"}), json!("true"), Some("body is")),
        (&json!({"minimum": 1}), json!(0), Some("body is")),
        (&json!({"maximum": 3}), json!(4), Some("body is")),
        (
            &json!({"format": "date-time"}),
            json!("2026-11-22T13:39:12.875Z"),
            None,
        ),
        (
            &json!({"format": "date-time"}),
            json!("today"),
            Some("body is"),
        ),
        (&json!({"oneOf": []}), json!("a"), Some("body is")),
        (&json!(null), json!("a"), Some("body has no schema")),
    ] {
        let found = difference(&document, schema, &value, "body");
        let as_expected = match (&found, at) {
            (None, None) => true,
            (Some(found), Some(at)) => found.starts_with(at),
            _ => false,
        };
        assert!(as_expected, "{schema} {value}: {found:?}");
    }
}
