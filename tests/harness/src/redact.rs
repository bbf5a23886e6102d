//! Takes card tokens out of what people are shown. A token charges a card: whoever reads a page, a list or a screenshot
//! must not get one.

use serde_json::Value;

/// What stands in a token's place.
pub const HIDDEN: &str = "(hidden)";
/// What every card token of the bank begins with.
const PREFIX: &str = "tokn_";

/// A JSON value without card tokens: neither under the name `token`, nor anywhere in a text.
#[must_use]
pub fn value(value: Value) -> Value {
    match value {
        Value::String(string) => Value::String(text(&string)),
        Value::Array(values) => values.into_iter().map(self::value).collect(),
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, field)| {
                let hidden = name.eq_ignore_ascii_case("token") && !field.is_null();
                let field = if hidden {
                    Value::from(HIDDEN)
                } else {
                    self::value(field)
                };
                (text(&name), field)
            })
            .collect(),
        other => other,
    }
}

/// A text without card tokens.
#[must_use]
pub fn text(text: &str) -> String {
    let mut parts = text.split(PREFIX);
    let mut clean = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        clean.push_str(HIDDEN);
        clean.push_str(
            part.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || "_-".contains(c)),
        );
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn no_token_is_left_wherever_it_stands() {
        let shown = value(json!({
            "token": "anything at all",
            "Token": {"deep": 1},
            "tokenId": "91384e85",
            "list": [{"cause": "the token tokn_test_Ab9-_x was used, and tokn_b."}],
            "tokn_key": null,
            "none": {"token": null},
        }));
        assert_eq!(
            shown,
            json!({
                "token": HIDDEN,
                "Token": HIDDEN,
                "tokenId": "91384e85",
                "list": [{"cause": "the token (hidden) was used, and (hidden)."}],
                "(hidden)": null,
                "none": {"token": null},
            })
        );
    }

    #[test]
    fn a_text_without_a_token_stays_as_it_is() {
        for plain in ["", "token", "tok n_", "ใบสั่ง 482500007436"] {
            assert_eq!(text(plain), plain);
        }
    }
}
