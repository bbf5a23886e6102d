//! Reads a request body into fields: JSON first, then a form, as the bank's callback and the checkout page send them.
//! Strict where leniency would let two readers disagree: repeated keys, broken UTF-8 and nested values are refused.

use std::collections::HashMap;
use std::fmt;

use percent_encoding::percent_decode;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The longest body that is read, in bytes. The bank's callback takes about 200.
pub const MAX_BODY: usize = 8 * 1024;

/// Why a body or one of its fields cannot be accepted. `field` is the wire name (`body` for the whole).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` {problem}")]
pub struct FieldError {
    /// The field's name on the wire.
    pub field: String,
    /// What is wrong and what is expected: completes the sentence "`field` …". Holds no value from the request.
    pub problem: String,
    /// Whether the field is absent (rather than wrong).
    pub missing: bool,
}

impl FieldError {
    /// A field that is there but cannot be accepted.
    pub fn invalid(field: &str, problem: impl Into<String>) -> Self {
        Self {
            field: field.to_owned(),
            problem: problem.into(),
            missing: false,
        }
    }

    /// A required field that is absent or blank.
    #[must_use]
    pub fn missing(field: &str) -> Self {
        Self {
            field: field.to_owned(),
            problem: "is required".into(),
            missing: true,
        }
    }
}

/// The fields of one request, each name once. `Debug` shows known names only: values may be card tokens, and so may names.
#[derive(Default)]
pub struct Fields(HashMap<String, String>);

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = KNOWN.iter().filter(|name| self.0.contains_key(**name));
        f.debug_set().entries(known).finish()
    }
}

impl Fields {
    /// Reads a body.
    ///
    /// # Errors
    /// [`FieldError`] when the body is empty, over [`MAX_BODY`] bytes, not UTF-8, neither JSON nor a form, or names a
    /// field twice.
    pub fn parse(body: &[u8]) -> Result<Self, FieldError> {
        if body.len() > MAX_BODY {
            return Err(FieldError::invalid(
                "body",
                format!("is over {MAX_BODY} bytes"),
            ));
        }
        let text = std::str::from_utf8(body)
            .map_err(|_| FieldError::invalid("body", "is not UTF-8"))?
            .trim();
        if text.is_empty() {
            return Err(FieldError::invalid(
                "body",
                "is empty: send JSON or a URL-encoded form",
            ));
        }
        match serde_json::from_str::<JsonObject>(text) {
            Ok(JsonObject(pairs)) => Self::collect(pairs?),
            // Valid JSON that is no object has no fields; anything else may still be a form.
            Err(_) if text.starts_with(['{', '[', '"']) => Err(FieldError::invalid(
                "body",
                "starts like JSON but is not a JSON object",
            )),
            Err(_) => Self::collect(form_pairs(text)?),
        }
    }

    fn collect(pairs: Vec<(String, String)>) -> Result<Self, FieldError> {
        let mut fields = HashMap::with_capacity(pairs.len());
        for (name, value) in pairs {
            if fields.contains_key(&name) {
                return Err(in_field(&name, "stands more than once"));
            }
            fields.insert(name, value);
        }
        Ok(Self(fields))
    }

    /// A field's value; blank counts as absent.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.trim().is_empty())
    }

    /// A required field's value.
    ///
    /// # Errors
    /// [`FieldError::missing`] when it is absent or blank.
    pub fn require(&self, name: &str) -> Result<&str, FieldError> {
        self.get(name).ok_or_else(|| FieldError::missing(name))
    }
}

/// The names that clients send, and that errors may show. Any other was chosen by a stranger, or is a value that got into
/// the wrong place: a card token, perhaps.
const KNOWN: [&str; 15] = [
    "objectId",
    "id",
    "token",
    "status",
    "message",
    "saveCard",
    "orderId",
    "userId",
    "customerId",
    "grandTotal",
    "basketId",
    "mid",
    "callback",
    "paymentMethods",
    "dcc_currency",
];

/// An error about a field: by its name where that may be shown, else about the body.
fn in_field(name: &str, problem: &str) -> FieldError {
    if KNOWN.contains(&name) {
        FieldError::invalid(name, problem)
    } else {
        FieldError::invalid("body", format!("holds a field that {problem}"))
    }
}

fn form_pairs(text: &str) -> Result<Vec<(String, String)>, FieldError> {
    if !text.contains('=') {
        return Err(FieldError::invalid(
            "body",
            "is neither JSON nor a URL-encoded form",
        ));
    }
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decoded(name).ok_or_else(|| {
                FieldError::invalid("body", "holds a field name that is not UTF-8")
            })?;
            let value = decoded(value).ok_or_else(|| in_field(&name, "is not UTF-8"))?;
            Ok((name, value))
        })
        .collect()
}

fn decoded(part: &str) -> Option<String> {
    let spaced = part.replace('+', " ");
    percent_decode(spaced.as_bytes())
        .decode_utf8()
        .ok()
        .map(std::borrow::Cow::into_owned)
}

/// A JSON object as its pairs in order: a plain map would silently keep the last of two equal keys.
struct JsonObject(Result<Vec<(String, String)>, FieldError>);

impl<'de> serde::Deserialize<'de> for JsonObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = JsonObject;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<JsonObject, A::Error> {
                let mut pairs = Ok(Vec::new());
                while let Some((name, value)) = map.next_entry::<String, &RawValue>()? {
                    let text = value.get();
                    let value = match text.as_bytes().first() {
                        Some(b'"') => serde_json::from_str(text).map_err(A::Error::custom)?,
                        Some(b'n') => String::new(),
                        Some(b'[' | b'{') => {
                            pairs =
                                Err(in_field(&name, "must be a string, not a list or an object"));
                            continue;
                        }
                        // A number's text as it is: through a binary float, other digits would come out.
                        _ => text.to_owned(),
                    };
                    if let Ok(pairs) = &mut pairs {
                        pairs.push((name, value));
                    }
                }
                Ok(JsonObject(pairs))
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(body: &[u8]) -> (String, String) {
        let error = Fields::parse(body).unwrap_err();
        (error.field, error.problem)
    }

    #[test]
    fn a_form_and_the_same_json_give_the_same_fields() {
        let form = Fields::parse(b"objectId=chrg_1&status=true&message=a+b%26c").unwrap();
        let json =
            Fields::parse(br#"{"objectId":"chrg_1","status":true,"message":"a b&c"}"#).unwrap();
        for fields in [form, json] {
            assert_eq!(fields.get("objectId"), Some("chrg_1"));
            assert_eq!(fields.get("status"), Some("true"));
            assert_eq!(fields.get("message"), Some("a b&c"));
            assert_eq!(fields.get("token"), None);
        }
    }

    #[test]
    fn numbers_in_json_keep_every_digit() {
        for number in [
            "1500.00",
            "1e3",
            "0.30000000000000004",
            "12345678901234567890123",
            "1500.000000000000000001",
        ] {
            let body = format!(r#"{{"grandTotal": {number} }}"#);
            let fields = Fields::parse(body.as_bytes()).unwrap();
            assert_eq!(fields.get("grandTotal"), Some(number));
        }
    }

    #[test]
    fn bodies_that_cannot_be_read_name_what_is_wrong() {
        for (body, field) in [
            (&b""[..], "body"),
            (b"  \n ", "body"),
            (b"hello", "body"),
            (b"{\"objectId\":", "body"),
            (b"[1,2]", "body"),
            (b"\"text\"", "body"),
            (b"\xff\xfe=1", "body"),
            (b"objectId=%ff", "objectId"),
            (b"objectId=a&objectId=a", "objectId"),
            (br#"{"status":"true","status":"false"}"#, "status"),
            (br#"{"objectId":["a"]}"#, "objectId"),
            (&[b'a'; MAX_BODY + 1], "body"),
        ] {
            assert_eq!(
                problem(body).0,
                field,
                "{:?}",
                String::from_utf8_lossy(&body[..body.len().min(60)])
            );
        }
    }

    #[test]
    fn a_repeated_key_is_refused_however_it_is_spelt() {
        assert_eq!(problem(b"objectId=a&object%49d=b").0, "objectId");
    }

    #[test]
    fn errors_show_known_names_only() {
        for body in [
            &b"tokn_secret=1&tokn_secret=2"[..],
            b"tokn_secret=%ff",
            br#"{"tokn_secret":[]}"#,
        ] {
            let error = Fields::parse(body).unwrap_err();
            assert_eq!(error.field, "body");
            assert!(!error.to_string().contains("tokn_"), "{error}");
        }
    }

    #[test]
    fn debug_output_holds_no_values() {
        let fields = Fields::parse(b"token=tokn_secret&tokn_other=1&status=true").unwrap();
        assert_eq!(format!("{fields:?}"), "{\"token\", \"status\"}");
    }
}
