//! Reads a request into fields: JSON first, then a form, as the bank's callback and the checkout page send them.
//!
//! Reading is tolerant, because nobody knows what browsers, frameworks and the bank's script put beside the fields that
//! count: whatever cannot be read stands here as unreadable, and refuses nothing. What is done with a field is its
//! reader's policy: a return takes what it can read ([`Fields::readable`]), and a checkout is strict where money is
//! bound ([`Fields::agreed`]).

use std::borrow::Cow;
use std::fmt;

use percent_encoding::percent_decode;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The longest request that is read, in bytes: query and body together. The bank's callback takes about 200.
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

/// The fields of one request, in the order in which they came; a name may stand more than once. A value is `None` where
/// it has no text: a list, an object, or bytes that are not UTF-8. `Debug` shows known names only: values may be card
/// tokens, and so may names.
#[derive(Default)]
pub struct Fields(Vec<(String, Option<String>)>);

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = KNOWN.iter().filter(|name| self.has(name));
        f.debug_set().entries(known).finish()
    }
}

impl Fields {
    /// Reads a body.
    ///
    /// # Errors
    /// [`FieldError`] when the body is empty, over [`MAX_BODY`] bytes, or neither a JSON object nor a form.
    pub fn parse(body: &[u8]) -> Result<Self, FieldError> {
        Self::parse_message("", body)
    }

    /// Reads a message of which parts may stand in the query of its address: the query's fields, then the body's.
    ///
    /// # Errors
    /// [`FieldError`] when both are empty, over [`MAX_BODY`] bytes together, or the body is neither a JSON object nor a
    /// form.
    pub fn parse_message(query: &str, body: &[u8]) -> Result<Self, FieldError> {
        if query.len() + body.len() > MAX_BODY {
            return Err(FieldError::invalid(
                "body",
                format!("is over {MAX_BODY} bytes"),
            ));
        }
        let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
        let body = body.trim_ascii();
        let mut fields = form_pairs(query.as_bytes());
        if body.is_empty() {
            if fields.is_empty() {
                return Err(FieldError::invalid(
                    "body",
                    "is empty: send JSON or a URL-encoded form",
                ));
            }
            return Ok(Self(fields));
        }
        // Bytes that are not UTF-8 spoil the value that they stand in, and nothing else.
        match serde_json::from_str::<JsonObject>(&String::from_utf8_lossy(body)) {
            Ok(JsonObject(pairs)) => fields.extend(pairs),
            Err(_) if body.contains(&b'=') => fields.extend(form_pairs(body)),
            // Without a field there is nothing to be tolerant about.
            Err(_) if fields.is_empty() => {
                return Err(FieldError::invalid(
                    "body",
                    "is neither a JSON object nor a URL-encoded form",
                ));
            }
            Err(_) => {}
        }
        Ok(Self(fields))
    }

    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(other, _)| other == name)
    }

    /// Each value of a field that is not blank, in order; `None` for one without text.
    fn values<'a>(&'a self, name: &str) -> impl DoubleEndedIterator<Item = Option<&'a str>> {
        self.0
            .iter()
            .filter(move |(other, _)| other == name)
            .map(|(_, value)| value.as_deref().map(str::trim))
            .filter(|value| value.is_none_or(|text| !text.is_empty()))
    }

    /// The values of a field that can be read, in order, without blanks around them. The policy for hints.
    pub fn readable<'a>(&'a self, name: &str) -> impl DoubleEndedIterator<Item = &'a str> {
        self.values(name).flatten()
    }

    /// Whether a field is there and not blank, readable or not.
    #[must_use]
    pub fn is_given(&self, name: &str) -> bool {
        self.values(name).next().is_some()
    }

    /// What all values of a field say, read by `read`. The policy where money is bound: each value must be readable,
    /// and all must say the same.
    ///
    /// # Errors
    /// [`FieldError::missing`] when it is absent or blank; [`FieldError`] when a value cannot be read, or two differ.
    pub fn agreed<'a, T, E>(
        &'a self,
        name: &str,
        read: impl Fn(&'a str) -> Result<T, E>,
    ) -> Result<T, FieldError>
    where
        T: PartialEq,
        E: fmt::Display,
    {
        let mut said = None;
        for value in self.values(name) {
            let value = read_value(name, value, &read)?;
            match &said {
                Some(other) if *other != value => {
                    return Err(FieldError::invalid(
                        name,
                        "stands more than once, with different values",
                    ));
                }
                _ => said = Some(value),
            }
        }
        said.ok_or_else(|| FieldError::missing(name))
    }

    /// What the last value of a field says, read by `read`: for a field whose older values are leftovers.
    ///
    /// # Errors
    /// [`FieldError::missing`] when it is absent or blank; [`FieldError`] when the last value cannot be read.
    pub fn last<'a, T, E: fmt::Display>(
        &'a self,
        name: &str,
        read: impl Fn(&'a str) -> Result<T, E>,
    ) -> Result<T, FieldError> {
        let value = self.values(name).next_back();
        read_value(name, value.ok_or_else(|| FieldError::missing(name))?, &read)
    }
}

fn read_value<'a, T, E: fmt::Display>(
    name: &str,
    value: Option<&'a str>,
    read: &impl Fn(&'a str) -> Result<T, E>,
) -> Result<T, FieldError> {
    let text = value.ok_or_else(|| FieldError::invalid(name, "must be text"))?;
    read(text).map_err(|error| FieldError::invalid(name, error.to_string()))
}

/// The names that clients send. Any other was chosen by a stranger, or is a value that got into the wrong place: a card
/// token, perhaps.
const KNOWN: [&str; 18] = [
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
    "currency",
    "dcc_currency",
    "smartpayId",
    "term",
];

/// A form's pairs. Lines end a pair, too: so a form of the type `text/plain` has them, and in a URL-encoded one there
/// are none.
fn form_pairs(text: &[u8]) -> Vec<(String, Option<String>)> {
    text.split(|byte| b"&\r\n".contains(byte))
        .filter(|pair| !pair.is_empty())
        .filter_map(|pair| {
            let mut parts = pair.splitn(2, |byte| *byte == b'=');
            // A name that cannot be read is no name that anybody reads.
            let name = decoded(parts.next()?)?;
            Some((name, decoded(parts.next().unwrap_or_default())))
        })
        .collect()
}

fn decoded(part: &[u8]) -> Option<String> {
    let spaced: Vec<u8> = part
        .iter()
        .map(|byte| if *byte == b'+' { b' ' } else { *byte })
        .collect();
    percent_decode(&spaced)
        .decode_utf8()
        .ok()
        .map(Cow::into_owned)
}

/// A JSON object as its pairs in order: a plain map would silently keep the last of two equal keys.
struct JsonObject(Vec<(String, Option<String>)>);

impl<'de> serde::Deserialize<'de> for JsonObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = JsonObject;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<JsonObject, A::Error> {
                let mut pairs = Vec::new();
                // As they are written, since a name or a text with half a surrogate pair can be read over, but not
                // decoded.
                while let Some((name, value)) = map.next_entry::<&RawValue, &RawValue>()? {
                    if let Ok(name) = serde_json::from_str(name.get()) {
                        pairs.push((name, text_of(value.get())));
                    }
                }
                Ok(JsonObject(pairs))
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}

/// The text of a JSON value; `None` where it has none.
fn text_of(json: &str) -> Option<String> {
    match json.as_bytes().first() {
        Some(b'"') => serde_json::from_str(json).ok(),
        Some(b'n') => Some(String::new()),
        Some(b'[' | b'{') => None,
        // A number's text as it is: through a binary float, other digits would come out.
        _ => Some(json.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: impl AsRef<[u8]>) -> Fields {
        Fields::parse(body.as_ref()).unwrap()
    }

    fn text(word: &str) -> Result<String, FieldError> {
        Ok(word.to_owned())
    }

    fn values<'a>(fields: &'a Fields, name: &str) -> Vec<&'a str> {
        fields.readable(name).collect()
    }

    #[test]
    fn a_form_and_the_same_json_give_the_same_fields() {
        let form = read("objectId=chrg_1&status=true&message=a+b%26c");
        let json = read(r#"{"objectId":"chrg_1","status":true,"message":"a b&c"}"#);
        let plain = read("objectId=chrg_1\r\nstatus=true\r\nmessage=a+b%26c\r\n");
        for fields in [form, json, plain] {
            assert_eq!(values(&fields, "objectId"), ["chrg_1"]);
            assert_eq!(values(&fields, "status"), ["true"]);
            assert_eq!(values(&fields, "message"), ["a b&c"]);
            assert!(!fields.is_given("token"));
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
            let fields = read(format!(r#"{{"grandTotal": {number} }}"#));
            assert_eq!(values(&fields, "grandTotal"), [number]);
        }
    }

    #[test]
    fn a_body_without_any_field_is_refused_as_a_whole() {
        for body in [
            &b""[..],
            b"  \n ",
            b"hello",
            b"{\"objectId\":",
            b"[1,2]",
            b"\"text\"",
            b"null",
            b"\xff\xfe",
            &[b'a'; MAX_BODY + 1],
        ] {
            let error = Fields::parse(body).unwrap_err();
            assert_eq!(error.field, "body", "{:?}", &body[..body.len().min(20)]);
        }
        let query = "a=".to_owned() + &"b".repeat(MAX_BODY - 4);
        assert!(Fields::parse_message(&query, b"").is_ok());
        assert!(Fields::parse_message(&query, b"c=d").is_err());
    }

    #[test]
    fn what_cannot_be_read_hides_nothing_beside_it() {
        for body in [
            &b"message=\xba\xd1\xb5\xc3&objectId=chrg_1"[..],
            b"message=%BA%D1%B5%C3&objectId=chrg_1",
            b"%ff=1&objectId=chrg_1&%fe",
            b"\xef\xbb\xbfobjectId=chrg_1",
            b"{x=1&objectId=chrg_1",
            b"&&=&objectId=chrg_1&=",
            br#"{"source":{"brand":"VISA","id":"card_1"},"metadata":{},"a":[1],"objectId":"chrg_1"}"#,
            br#"{"\ud800":1,"message":"\ud800","objectId":"chrg_1"}"#,
            b"{\"message\":\"\xba\xd1\",\"objectId\":\"chrg_1\"}",
            b"\xef\xbb\xbf {\"objectId\":\"chrg_1\"}",
        ] {
            let fields = read(body);
            let shown = String::from_utf8_lossy(body);
            assert_eq!(values(&fields, "objectId"), ["chrg_1"], "{shown}");
            assert_eq!(values(&fields, "id"), [""; 0], "{shown}");
        }
    }

    #[test]
    fn the_query_and_the_body_are_one_message() {
        let fields = Fields::parse_message("objectId=a&x=1", b"objectId=b").unwrap();
        assert_eq!(values(&fields, "objectId"), ["a", "b"]);
        let fields = Fields::parse_message("objectId=a", b"hello").unwrap();
        assert_eq!(values(&fields, "objectId"), ["a"]);
    }

    #[test]
    fn values_agree_by_what_they_say_and_not_by_how_they_are_spelt() {
        let number = |text: &str| text.parse::<u32>();
        let agreed = |body: &str| read(body).agreed("mid", number);
        assert_eq!(agreed("mid=7&mid=07&mid=&mid=+7+"), Ok(7));
        for (body, missing) in [
            ("mid=7&mid=8", false),
            ("mid=7&mid=x", false),
            ("mid=7&m%69d=%ff", false),
            (r#"{"mid":7,"mid":[7]}"#, false),
            ("mid=+&x=1", true),
            ("x=1", true),
        ] {
            let error = agreed(body).unwrap_err();
            assert_eq!((error.field.as_str(), error.missing), ("mid", missing));
        }
    }

    #[test]
    fn of_leftovers_the_last_value_counts() {
        let last = |body: &str| read(body).last("token", text);
        assert_eq!(last("token=old&token=new&token=").unwrap(), "new");
        assert!(!last("token=old&token=%ff").unwrap_err().missing);
        assert!(last("token=").unwrap_err().missing);
    }

    #[test]
    fn debug_output_holds_no_values() {
        let fields = read("token=tokn_secret&tokn_other=1&status=true");
        assert_eq!(format!("{fields:?}"), "{\"token\", \"status\"}");
    }
}
