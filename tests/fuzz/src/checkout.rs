//! The checkout form: all encodings mean the same, and the fingerprint distinguishes it from every other form.

use arbitrary::{Result, Unstructured};
use payment3_activities::domain::callback_base::CallbackBases;
use payment3_activities::domain::checkout::CheckoutForm;
use payment3_activities::domain::fields::{FieldError, Fields, MAX_BODY};
use serde_json::Value;

use crate::callback::{refused, with_unread};
use crate::generate::{rest, word};
use crate::money;
use crate::secrets::{TOKEN, assert_none_debugged, contains_secret};

type Pairs = Vec<(String, String)>;

/// The fields that a checkout reads.
const READ: [&str; 12] = [
    "orderId",
    "userId",
    "grandTotal",
    "basketId",
    "mid",
    "token",
    "callback",
    "saveCard",
    "smartpayId",
    "term",
    "currency",
    "dcc_currency",
];

/// Each field, with values that are valid or almost valid.
const FIELDS: [(&str, &[&str]); 12] = [
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
    ("term", &["", " ", "10"]),
    ("dcc_currency", &["THB", "", "thb", "USD"]),
];

/// Checks two forms that may differ in one place, in every encoding. Then checks the rest of the bytes as a body.
pub fn check(u: &mut Unstructured<'_>) -> Result<()> {
    let pairs = form(u)?;
    let other = changed(u, &pairs)?;
    if let (Some(one), Some(two)) = (encoded(&pairs), encoded(&other)) {
        assert_eq!(
            one.fingerprint() == two.fingerprint(),
            meaning(&one, &pairs) == meaning(&two, &other),
            "fingerprints must be equal exactly for equal forms"
        );
    }
    let body = rest(u)?;
    match read(body) {
        Ok(form) => sound(&form),
        Err(error) => refused(error),
    }
    no_unread_field_changes_a_checkout(body);
    Ok(())
}

fn read(body: &[u8]) -> std::result::Result<CheckoutForm, FieldError> {
    CheckoutForm::from_fields(&Fields::parse(body)?, &bases())
}

fn bases() -> CallbackBases {
    CallbackBases::new(&["yourapp://payments".to_owned()], "https://shop.example")
        .expect("usable bases")
}

/// Fields that a checkout does not read must not change it.
fn no_unread_field_changes_a_checkout(junk: &[u8]) {
    let known: Vec<_> = FIELDS
        .iter()
        .filter(|(name, _)| READ.contains(name))
        .map(|(name, words)| (*name, words[0]))
        .collect();
    let plain = with_unread(&known, &READ, b"x").remove(0);
    let plain = read(&plain).expect("a form that can be accepted");
    for body in with_unread(&known, &READ, junk) {
        let shown = String::from_utf8_lossy(&body);
        let form = read(&body).unwrap_or_else(|error| panic!("{error}: {shown}"));
        assert_eq!(form.fingerprint(), plain.fingerprint(), "{shown}");
    }
}

fn form(u: &mut Unstructured<'_>) -> Result<Pairs> {
    let mut pairs = Pairs::new();
    for (name, words) in FIELDS {
        // Usually a valid form.
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
        // Move the end of one field to the beginning of the next one.
        3 if at > 0 => {
            if let Some(c) = pairs[at - 1].1.pop() {
                pairs[at].1.insert(0, c);
            }
        }
        _ => {}
    }
    Ok(pairs)
}

/// Reads the pairs as a form, as JSON strings, and as JSON with numbers and booleans where possible. All three must
/// mean the same.
fn encoded(pairs: &Pairs) -> Option<CheckoutForm> {
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
    let [form, strings, literals] = bodies.map(|body| read(body.as_bytes()));
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

/// The text without quotes if it is a JSON number or boolean.
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
        (Ok(_), Err(error)) | (Err(error), Ok(_)) => {
            panic!("only one encoding is refused: {error}")
        }
    }
}

/// An accepted form has valid ids, and `Debug` does not show its token.
fn sound(form: &CheckoutForm) {
    for id in [
        form.order_id.as_str(),
        form.user_id.as_str(),
        form.mid.as_str(),
        form.token.expose(),
    ] {
        assert!((1..=100).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic()));
    }
    assert_eq!(form.fingerprint().len(), 64);
    let elsewhere = [
        form.order_id.as_str(),
        form.user_id.as_str(),
        form.mid.as_str(),
    ]
    .into_iter()
    .chain(form.callback.as_deref())
    .chain(form.basket_id.as_deref())
    .any(contains_secret);
    if !elsewhere {
        assert_none_debugged("a checkout form", form);
    }
}

/// The meaning of a form, computed from the pairs. Two forms are equal exactly if their meanings are equal.
fn meaning(form: &CheckoutForm, pairs: &Pairs) -> (Vec<String>, Option<u128>, bool) {
    let written = |name: &str| -> Vec<&str> {
        pairs
            .iter()
            .filter(|(field, _)| field == name)
            .map(|(_, value)| value.trim())
            .filter(|value| !value.is_empty())
            .collect()
    };
    let last = |name: &str| written(name).last().copied().unwrap_or_default().to_owned();
    let totals: Vec<_> = written("grandTotal")
        .into_iter()
        .map(money::shop_value)
        .collect();
    let total = u128::try_from(form.grand_total.satang()).ok();
    assert!(
        !totals.is_empty() && totals.iter().all(|written| *written == total),
        "the amount differs from the written one"
    );
    let ticks = written("saveCard");
    let save = !ticks.is_empty()
        && ticks
            .iter()
            .all(|tick| matches!(tick.to_lowercase().as_str(), "true" | "1" | "on"));
    assert_eq!(form.save_card, save);
    assert_eq!(form.token.expose(), last("token"));
    for name in ["orderId", "userId", "mid"] {
        let said = written(name);
        assert!(
            said.iter().all(|one| *one == said[0]),
            "{name} has two different values"
        );
    }
    let callback = written("callback")
        .into_iter()
        .rfind(|base| bases().allows(base))
        .unwrap_or_default()
        .to_owned();
    assert_eq!(form.callback.as_deref().unwrap_or_default(), callback);
    let mut texts = ["orderId", "userId", "mid", "token"].map(last).to_vec();
    texts.push(callback);
    (texts, total, save)
}
