//! The checkout form: one meaning in both of its spellings, told from every other form by its fingerprint.

use arbitrary::{Result, Unstructured};
use payment3_activities::domain::checkout::CheckoutForm;
use payment3_activities::domain::fields::{FieldError, Fields, MAX_BODY};
use serde_json::Value;

use crate::callback::refused;
use crate::generate::{rest, word};
use crate::money;
use crate::secrets::{TOKEN, assert_none_debugged, stand_in};

type Pairs = Vec<(String, String)>;

/// Each field with values that nearly mean something.
const FIELDS: [(&str, &[&str]); 10] = [
    (
        "orderId",
        &[
            "482500007436",
            "ADDCARD",
            "",
            "12345678901234567890123",
            "1e3",
        ],
    ),
    ("userId", &["usr_123", "usr_124", " ", "1.0"]),
    ("customerId", &["cust_789", "cust_790", "-0"]),
    (
        "grandTotal",
        &[
            "1500.00",
            "1500",
            "1500.5",
            "1,500.00",
            "1e3",
            "1500.000000000000000001",
            "-1",
            "1.50",
            "0.10",
        ],
    ),
    (
        "basketId",
        &["basket_456", "basket_457", "ตะกร้า", "a b&c=d+e%20"],
    ),
    (
        "mid",
        &["401012234152001", "401012234152002", "0401012234152001"],
    ),
    ("token", &[TOKEN, "tokn_test_OTHER", "tokn test"]),
    (
        "callback",
        &[
            "yourapp://payments",
            "https://shop.example/",
            "",
            "javascript:alert(1)",
        ],
    ),
    (
        "saveCard",
        &["true", "false", "1", "0", "on", "ON", "TRUE", "yes", ""],
    ),
    ("paymentMethods", &["card", "<script>", "null"]),
];

/// Checks a pair of forms that may differ in one place, in every spelling; then the rest of the bytes as a body.
pub fn check(u: &mut Unstructured<'_>) -> Result<()> {
    let pairs = form(u)?;
    let other = changed(u, &pairs)?;
    if let (Some(one), Some(two)) = (spelt(&pairs), spelt(&other)) {
        assert_eq!(
            one.fingerprint() == two.fingerprint(),
            meaning(&one, &pairs) == meaning(&two, &other),
            "equal forms have equal fingerprints, and others have others"
        );
    }
    let body = rest(u)?;
    match Fields::parse(body).and_then(|fields| CheckoutForm::from_fields(&fields)) {
        Ok(form) => sound(&form),
        Err(error) => refused(error),
    }
    Ok(())
}

fn form(u: &mut Unstructured<'_>) -> Result<Pairs> {
    let mut pairs = Pairs::new();
    for (name, words) in FIELDS {
        // Mostly a form that can be accepted.
        let value = if u.ratio(7, 8)? {
            words[0].to_owned()
        } else {
            word(u, words)?
        };
        if !u.ratio(1, 16)? {
            pairs.push((name.to_owned(), value));
        }
    }
    if u.ratio(1, 16)? {
        let (name, words) = *u.choose(&FIELDS)?;
        pairs.push((name.to_owned(), word(u, words)?));
    }
    Ok(pairs)
}

fn changed(u: &mut Unstructured<'_>, pairs: &Pairs) -> Result<Pairs> {
    let mut pairs = pairs.clone();
    if pairs.is_empty() {
        return Ok(pairs);
    }
    let at = u.int_in_range(0..=pairs.len() - 1)?;
    match u.int_in_range(0..=4)? {
        0 => {
            pairs.remove(at);
        }
        1 => {
            let (name, _) = &pairs[at];
            let words = FIELDS
                .iter()
                .find(|(field, _)| field == name)
                .map_or(&[""][..], |(_, words)| *words);
            pairs[at].1 = word(u, words)?;
        }
        2 => pairs.rotate_left(at),
        // What one field ends with, the next one begins with.
        3 if at > 0 => {
            if let Some(c) = pairs[at - 1].1.pop() {
                pairs[at].1.insert(0, c);
            }
        }
        _ => {}
    }
    Ok(pairs)
}

/// Reads the pairs as a form, as JSON of strings, and as JSON with numbers and booleans where their text allows it: all
/// three say the same.
fn spelt(pairs: &Pairs) -> Option<CheckoutForm> {
    if pairs.is_empty() {
        return None;
    }
    let form = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs)
        .finish();
    let bodies = [form, json(pairs, quoted), json(pairs, bare)];
    if bodies.iter().any(|body| body.len() > MAX_BODY) {
        return None;
    }
    let [form, strings, literals] = bodies.map(|body| {
        Fields::parse(body.as_bytes()).and_then(|fields| CheckoutForm::from_fields(&fields))
    });
    same(&form, &strings);
    same(&form, &literals);
    match form {
        Ok(form) => {
            sound(&form);
            Some(form)
        }
        Err(error) => {
            refused(error);
            None
        }
    }
}

fn json(pairs: &Pairs, value: fn(&str) -> String) -> String {
    let fields: Vec<_> = pairs
        .iter()
        .map(|(name, text)| format!("{}:{}", quoted(name), value(text)))
        .collect();
    format!("{{{}}}", fields.join(","))
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// The text itself where it is a JSON number or boolean.
fn bare(text: &str) -> String {
    match serde_json::from_str(text) {
        Ok(Value::Number(_) | Value::Bool(_)) if text.trim() == text => text.to_owned(),
        _ => quoted(text),
    }
}

fn same(
    one: &std::result::Result<CheckoutForm, FieldError>,
    two: &std::result::Result<CheckoutForm, FieldError>,
) {
    match (one, two) {
        (Ok(one), Ok(two)) => {
            assert_eq!(one.fingerprint(), two.fingerprint());
            assert_eq!(one.order_id, two.order_id);
            assert_eq!(one.user_id, two.user_id);
            assert_eq!(one.grand_total, two.grand_total);
            assert_eq!(one.basket_id, two.basket_id);
            assert_eq!(one.mid, two.mid);
            assert_eq!(one.token.expose(), two.token.expose());
            assert_eq!(one.callback, two.callback);
            assert_eq!(one.save_card, two.save_card);
        }
        (Err(one), Err(two)) => assert_eq!(one, two),
        (Ok(_), Err(error)) | (Err(error), Ok(_)) => panic!("one spelling is refused: {error}"),
    }
}

/// An accepted form holds ids where ids belong, and its token stays inside.
fn sound(form: &CheckoutForm) {
    for id in [
        form.order_id.as_str(),
        form.user_id.as_str(),
        form.mid.as_str(),
        form.token.expose(),
    ] {
        assert!((1..=100).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic()));
    }
    assert!(!form.basket_id.trim().is_empty());
    assert_eq!(form.fingerprint().len(), 64);
    let elsewhere = [
        form.order_id.as_str(),
        form.user_id.as_str(),
        form.mid.as_str(),
        &form.basket_id,
    ]
    .into_iter()
    .chain(form.callback.as_deref())
    .any(stand_in);
    if !elsewhere {
        assert_none_debugged("a checkout form", form);
    }
}

/// What two forms must have in common to be the same form, from the pairs as they were written.
fn meaning(form: &CheckoutForm, pairs: &Pairs) -> (Vec<String>, Option<u128>, bool) {
    let written = |name: &str| {
        pairs
            .iter()
            .find(|(field, _)| field == name)
            .map(|(_, value)| value.clone())
            .filter(|value| !value.trim().is_empty())
            .unwrap_or_default()
    };
    let total = money::value(&written("grandTotal"));
    assert_eq!(
        total,
        u128::try_from(form.grand_total.satang()).ok(),
        "the amount is the written one"
    );
    let save = matches!(
        written("saveCard").to_lowercase().as_str(),
        "true" | "1" | "on"
    );
    assert_eq!(form.save_card, save);
    let texts = [
        "orderId",
        "userId",
        "customerId",
        "basketId",
        "mid",
        "token",
        "callback",
    ];
    (texts.map(written).to_vec(), total, save)
}
