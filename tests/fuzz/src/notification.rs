//! The bank's signed notifications: they are accepted exactly if the bank signed them, and the key never shows.

use arbitrary::{Result, Unstructured};
use payment3_activities::bank::GatewaySecret;
use payment3_activities::domain::browser_return::ReportedStatus;
use payment3_activities::domain::money::Satang;
use payment3_activities::domain::notification::Notification;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::callback::refused;
use crate::generate::{rest, visible, word};
use crate::secrets::{KEY, assert_none_debugged, assert_none_in};

const IDS: [&str; 4] = ["chrg_test_x", "chrg_test_x1", "chrg_test_x12", "c"];
const CURRENCIES: [&str; 3] = ["THB", "USD", "THBsuccess"];
const STATES: [&str; 8] = [
    "Authorized",
    "Settled",
    "Pre-Authorized",
    "Declined",
    "Voided",
    "Refund Sent",
    "Declined05",
    "Auhtorized",
];
const CODES: [&str; 5] = ["", "05", "51", "N7", "600"];

/// Checks one of three things, chosen by the first byte: a generated notification, a forgery made from a genuine
/// notification, or the rest of the bytes as a notification's body and as the gateway's secret.
pub fn check(u: &mut Unstructured<'_>) -> Result<()> {
    match u.arbitrary::<u8>()? % 4 {
        0 => signed(u),
        1 => split_differently(u),
        2 => {
            body(rest(u)?);
            Ok(())
        }
        _ => {
            secret(rest(u)?);
            Ok(())
        }
    }
}

fn gateway() -> GatewaySecret {
    let json = json!({"url": "https://gateway.example", "b2c": format!("pkey_test_x:{KEY}")});
    GatewaySecret::parse(&json.to_string()).expect("a gateway secret")
}

fn digest(parts: &[&str]) -> String {
    hex::encode(Sha256::digest(parts.concat()))
}

/// What the bank says about a charge, and signs.
struct Said {
    id: String,
    amount: Satang,
    currency: String,
    status: &'static str,
    state: String,
    code: String,
}

impl Said {
    fn any(u: &mut Unstructured<'_>) -> Result<Self> {
        Ok(Self {
            id: word(u, &IDS)?,
            amount: Satang::new(u.int_in_range(0..=999_999_999_999)?).expect("within the bounds"),
            currency: word(u, &CURRENCIES)?,
            status: *u.choose(&["success", "fail"])?,
            state: word(u, &STATES)?,
            code: word(u, &CODES)?,
        })
    }

    fn text(&self) -> String {
        format!(
            "{}{}00{}{}{}",
            self.id, self.amount, self.currency, self.status, self.state
        )
    }

    fn body(&self, amount: &str, checksum: &str) -> String {
        json!({
            "object": "charge", "id": self.id, "amount": amount, "currency": self.currency, "status": self.status,
            "transaction_state": self.state, "failure_code": self.code, "checksum": checksum,
        })
        .to_string()
    }

    fn paid(&self) -> bool {
        self.status == "success" && is_authorised(&self.state)
    }
}

/// Whether a state is one of the bank's two words for an authorised charge. Case and surrounding blanks do not matter.
fn is_authorised(state: &str) -> bool {
    let state = state.trim();
    ["Authorized", "Settled"]
        .iter()
        .any(|word| state.eq_ignore_ascii_case(word))
}

/// A checksum is accepted exactly if it equals one of the two that the bank may have written.
fn signed(u: &mut Unstructured<'_>) -> Result<()> {
    let said = Said::any(u)?;
    let text = said.text();
    let right = [digest(&[&text, KEY]), digest(&[&text, &said.code, KEY])];
    let mut checksum = u.choose(&right)?.clone();
    match u.int_in_range(0..=7)? {
        0 => checksum = checksum.to_uppercase(),
        1 => {
            checksum.pop();
        }
        2 => checksum.push('0'),
        3 => {
            let at = u.int_in_range(0..=checksum.len() - 1)?;
            checksum.replace_range(at..=at, u.choose(&["0", "f", "A", " "])?);
        }
        4 => checksum = digest(&[&text]),
        5 => checksum = visible(u, 0, 64)?,
        _ => {}
    }
    let amount = said.amount.to_string();
    let written = u.choose(&[amount.clone(), format!("{amount}00")])?.clone();
    match Notification::parse(said.body(&written, &checksum).as_bytes()) {
        Ok(notification) => {
            assert_eq!(notification.charge_id.as_str(), said.id);
            assert_eq!(notification.signed, text);
            assert_eq!(notification.failure_code, said.code);
            assert_eq!(notification.says_paid(), said.paid());
            assert_eq!(gateway().signed(&notification), right.contains(&checksum));
            assert_none_debugged("a notification", &notification);
        }
        Err(error) => refused(error),
    }
    Ok(())
}

/// A forger takes a genuine notification of a charge that is not paid, and splits the signed text differently into
/// fields. The signature may still be valid, because the bank signs the fields without separators. But it must not
/// say paid.
fn split_differently(u: &mut Unstructured<'_>) -> Result<()> {
    let genuine = Said {
        id: (*u.choose(&IDS)?).to_owned(),
        amount: Satang::new(u.int_in_range(0..=200_000)?).expect("within the bounds"),
        currency: "THB".to_owned(),
        status: u.choose(&["success", "fail"])?,
        state: (*u.choose(&STATES[..6])?).to_owned(),
        code: (*u.choose(&CODES)?).to_owned(),
    };
    if genuine.paid() {
        return Err(arbitrary::Error::IncorrectFormat);
    }
    let text = genuine.text() + &genuine.code;
    let checksum = digest(&[&text, KEY]);
    let mut cuts = [0; 5];
    for cut in &mut cuts {
        *cut = u.int_in_range(0..=text.len())?;
    }
    cuts.sort_unstable();
    let [a, b, c, d, e] = cuts;
    let forged = json!({
        "id": text[..a], "amount": text[a..b], "currency": text[b..c], "status": text[c..d],
        "transaction_state": text[d..e], "failure_code": text[e..], "checksum": checksum,
    });
    if let Ok(notification) = Notification::parse(forged.to_string().as_bytes()) {
        assert!(
            !(gateway().signed(&notification) && notification.says_paid()),
            "a forged notification says paid"
        );
    }
    Ok(())
}

/// What is read from a body is the same as what other JSON readers see.
fn body(body: &[u8]) {
    let notification = match Notification::parse(body) {
        Ok(notification) => notification,
        Err(error) => return refused(error),
    };
    // Fields that are not read may contain what another reader refuses, such as half of a surrogate pair.
    let Ok(json) = serde_json::from_slice::<Value>(body) else {
        return;
    };
    assert!(json.is_object());
    let id = notification.charge_id.as_str();
    assert!((1..=100).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic()));
    assert_eq!(json["id"], id);
    assert_eq!(json["checksum"], notification.checksum.as_str());
    assert!(
        json.get("object")
            .is_none_or(|object| object.is_null() || object == "charge")
    );
    let word = json["status"].as_str().expect("a word");
    assert_eq!(
        notification.status == ReportedStatus::Success,
        word == "success"
    );
    let state = json["transaction_state"].as_str().expect("a word");
    assert_eq!(
        notification.says_paid(),
        word == "success" && is_authorised(state)
    );
    let currency = json["currency"].as_str().expect("a currency");
    let rest = notification
        .signed
        .strip_prefix(id)
        .expect("the id comes first");
    let amount = rest
        .strip_suffix(&format!("{currency}{word}{state}"))
        .expect("the amount is between them");
    let (baht, decimals) = amount.split_once('.').expect("four decimals");
    assert!(
        !baht.is_empty() && decimals.len() == 4 && decimals.ends_with("00"),
        "{amount}"
    );
    // Only the bank has the key.
    assert!(!gateway().signed(&notification));
}

/// No value of the secret shows, and every key except a sandbox key counts as live.
fn secret(value: &[u8]) {
    let Ok(text) = std::str::from_utf8(value) else {
        return;
    };
    match GatewaySecret::parse(text) {
        Ok(secret) => {
            assert_none_debugged("a gateway secret", &secret);
            // Fields that are not read may contain what another reader refuses, such as a number that is too large.
            let Ok(json) = serde_json::from_str::<Value>(text) else {
                return;
            };
            let (_, key) = json["b2c"]
                .as_str()
                .and_then(|keys| keys.split_once(':'))
                .expect("two keys");
            assert!(!key.trim().is_empty());
            assert_eq!(secret.livemode(), !key.trim().starts_with("skey_test_"));
            let url = url::Url::parse(json["url"].as_str().expect("an address")).expect("a URL");
            assert!(matches!(url.scheme(), "https" | "http"));
        }
        Err(error) => {
            assert_none_in("a refused gateway secret", &error.to_string());
            assert_none_debugged("a refused gateway secret", &error);
        }
    }
}
