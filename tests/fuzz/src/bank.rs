//! The bank's answers: what is read from them, what counts as a refusal, and when a charge counts as paid.

use arbitrary::{Result, Unstructured};
use payment3_activities::bank::BankError;
use payment3_activities::bank::wire::{self, Said};
use payment3_activities::domain::charge::{Charge, Expected, Outcome, TransactionState, Verdict};
use payment3_activities::domain::ids::{ChargeId, ReferenceOrder};
use payment3_activities::domain::money::Satang;
use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::generate::{rest, word};
use crate::money;
use crate::secrets::{TOKEN, assert_none_debugged, assert_none_in};

const STATES: [&str; 14] = [
    "Authorized",
    "Settled",
    "Pre-Authorized",
    "Initialize",
    "Initialized",
    "Declined",
    "Reversed",
    "Voided",
    "Refund Sent",
    "Auhtorized",
    "authorized",
    "SETTLED ",
    " refund Sent",
    TOKEN,
];

/// Checks a generated charge object against what checkout stored. Then checks the rest of the bytes as an answer.
pub fn check(u: &mut Unstructured<'_>) -> Result<()> {
    let stored = Stored::any(u)?;
    let answer = answer(u, &stored)?;
    read(&stored, answer.as_bytes());
    let status = u.int_in_range(100..=599)?;
    let raw = rest(u)?;
    read(&stored, raw);
    refusal(status, raw);
    refusal(status, answer.as_bytes());
    Ok(())
}

/// What checkout stored.
struct Stored {
    id: ChargeId,
    amount: Satang,
    reference: Option<ReferenceOrder>,
    livemode: bool,
}

impl Stored {
    fn any(u: &mut Unstructured<'_>) -> Result<Self> {
        let satang = if u.ratio(1, 2)? {
            150_000
        } else {
            u.int_in_range(0..=999_999_999_999)?
        };
        Ok(Self {
            id: ChargeId::new("chrg_test_1").expect("an id"),
            amount: Satang::new(satang).expect("within the bounds"),
            reference: (!u.ratio(1, 4)?).then(|| ReferenceOrder::stored("ref1".into())),
            livemode: u.arbitrary()?,
        })
    }

    fn expected(&self) -> Expected<'_> {
        Expected {
            id: &self.id,
            amount: self.amount,
            currency: "THB",
            reference_order: self.reference.as_ref(),
            livemode: self.livemode,
        }
    }
}

/// A charge object. Most fields match the stored charge; any of them may be strange.
fn answer(u: &mut Unstructured<'_>, stored: &Stored) -> Result<String> {
    let amount = match u.int_in_range(0..=7)? {
        0 => word(
            u,
            &[
                "1500.00", "1500", "1500.001", "1499.99", "1500.01", "1e3", "-1", "1500.0",
            ],
        )?,
        1 => format!("\"{}\"", stored.amount),
        _ => stored.amount.to_string(),
    };
    let mut fields = Vec::new();
    let mut push = |name: &str, value: Value| fields.push(format!("{}:{value}", json!(name)));
    push("object", strange(u, "charge", &["error", "refund"])?);
    push(
        "id",
        strange(u, "chrg_test_1", &["chrg_test_2", "chrg test"])?,
    );
    push("currency", strange(u, "THB", &["USD", "thb"])?);
    let state = *u.choose(&STATES)?;
    push("transaction_state", strange(u, state, &STATES)?);
    push(
        "status",
        strange(u, "success", &["fail", "Success", "true"])?,
    );
    push("reference_order", strange(u, "ref1", &["ref2", "REF1"])?);
    push(
        "redirect_url",
        strange(u, "https://bank.example/3ds", &["", "javascript:alert(1)"])?,
    );
    push(
        "failure_code",
        strange(u, "05", &["", TOKEN, &"9".repeat(300)])?,
    );
    push(
        "code",
        strange(u, "token_used", &[TOKEN, "card_already_exists"])?,
    );
    push("refund_id", strange(u, "rfnd_1", &[""])?);
    let livemode = stored.livemode;
    push(
        "livemode",
        match u.int_in_range(0..=7)? {
            0 => Value::Null,
            1 => json!(!livemode),
            2 => json!(livemode.to_string()),
            3 => json!(word(u, &["TRUE", "0", ""])?),
            _ => json!(livemode),
        },
    );
    if !u.ratio(1, 32)? {
        fields.push(format!("\"amount\":{amount}"));
    }
    if u.ratio(1, 32)? {
        let again = u.choose(&fields)?.clone();
        fields.push(again);
    }
    Ok(format!("{{{}}}", fields.join(",")))
}

fn strange(u: &mut Unstructured<'_>, usual: &str, others: &[&str]) -> Result<Value> {
    Ok(match u.int_in_range(0..=31)? {
        0 => Value::Null,
        1 => json!(u.arbitrary::<bool>()?),
        2 => json!(u.arbitrary::<i32>()?),
        3 => json!([usual]),
        4 | 5 => json!(word(u, others)?),
        _ => json!(usual),
    })
}

/// The same fields, read in the simplest way.
#[derive(Deserialize)]
struct Plain<'a> {
    object: Value,
    id: Value,
    #[serde(borrow)]
    amount: &'a RawValue,
    currency: Value,
    transaction_state: Value,
    status: Option<Value>,
    reference_order: Option<Value>,
    livemode: Option<Value>,
}

fn read(stored: &Stored, answer: &[u8]) {
    let charge = match wire::charge(answer) {
        Ok(charge) => charge,
        Err(error) => {
            assert!(
                matches!(error, BankError::Unavailable(_)),
                "an unreadable answer proves nothing"
            );
            return assert_none_in("an unreadable answer", &error.to_string());
        }
    };
    assert!(
        answer.trim_ascii_start().starts_with(b"{"),
        "only an object is a charge"
    );
    let plain: Plain<'_> = serde_json::from_slice(answer).expect("a charge object");
    assert_eq!(plain.object, "charge");
    assert_eq!(plain.id, charge.id.as_str());
    assert!(
        ![".", ".."].contains(&charge.id.as_str()),
        "such an id would change the path of a URL"
    );
    assert_eq!(plain.currency, charge.currency.as_str());
    let amount = plain.amount.get();
    assert_eq!(
        money::bank_value(amount),
        u128::try_from(charge.amount.satang()).ok(),
        "{amount}"
    );
    judged(stored, &charge, &plain);
    shown(&charge);
    reversed(&charge, answer, &plain);
    if let Ok(customer) = wire::customer_id(answer) {
        assert!((1..=100).contains(&customer.as_str().len()));
    }
    if let Some(refund) = wire::refund_id(answer) {
        assert!((1..=100).contains(&refund.len()));
    }
}

/// A reversal is proven only by this charge in the wanted state, or with the id of a refund, beside status `success` or
/// none. `fail` is a refusal.
fn reversed(charge: &Charge, answer: &[u8], plain: &Plain<'_>) {
    let other = ChargeId::new("chrg_test_other").expect("an id");
    let status = plain.status.as_ref().and_then(Value::as_str).map(str::trim);
    let says = |word: &str| status.is_some_and(|status| status.eq_ignore_ascii_case(word));
    let fail = says("fail");
    let success = says("success") || status.is_none_or(str::is_empty);
    for wanted in [TransactionState::Voided, TransactionState::RefundSent] {
        if charge.id != other {
            let of_another = wire::reversal(answer, &other, &wanted).expect("an object");
            assert_eq!(of_another, Said::Nothing);
        }
        match wire::reversal(answer, &charge.id, &wanted) {
            Ok(proven) => {
                assert!(!fail, "a refusal proves nothing");
                let has_id =
                    wanted == TransactionState::RefundSent && wire::refund_id(answer).is_some();
                let done = success && (charge.state == wanted || has_id);
                assert_eq!(proven == Said::Done, done);
                assert_eq!(proven == Said::Unclear, !done);
            }
            Err(error) => {
                assert!(fail && matches!(error, BankError::Refused { .. }));
                assert_none_in("a refused reversal", &error.to_string());
            }
        }
    }
}

/// A charge is paid exactly when the bank says so for this charge. It is declined or returned only when the bank says
/// so.
fn judged(stored: &Stored, charge: &Charge, plain: &Plain<'_>) {
    let is = |value: &Option<Value>, text: &str| value.as_ref().is_some_and(|value| value == text);
    let blank = |value: &Option<Value>| match value {
        Some(Value::String(text)) => text.trim().is_empty(),
        Some(Value::Bool(_)) => false,
        _ => true,
    };
    let livemode_fits = blank(&plain.livemode)
        || plain.livemode.as_ref().is_some_and(|said| {
            *said == json!(stored.livemode) || *said == json!(stored.livemode.to_string())
        });
    let ours = plain.id == "chrg_test_1"
        && money::bank_value(plain.amount.get()) == u128::try_from(stored.amount.satang()).ok()
        && plain.currency == "THB"
        && (stored.reference.is_none() || is(&plain.reference_order, "ref1"))
        && livemode_fits;
    let state = plain.transaction_state.as_str().unwrap_or_default();
    let state = state.trim().to_ascii_lowercase();
    let verdict = match (state.as_str(), is(&plain.status, "success")) {
        ("authorized" | "settled", true) => Verdict::Decided(Outcome::Paid),
        ("declined" | "reversed", _) => Verdict::Decided(Outcome::Declined),
        ("voided" | "refund sent", _) => Verdict::Decided(Outcome::Returned),
        ("initialize" | "initialized" | "pre-authorized", _) => Verdict::Pending,
        _ => Verdict::Unknown,
    };
    match charge.judge(&stored.expected()) {
        Ok(judged) => assert_eq!((ours, judged), (true, verdict)),
        Err(mismatch) => {
            assert!(!ours, "{mismatch}");
            assert_none_in("a mismatch", &mismatch.to_string());
        }
    }
}

/// The bank's words appear in the history of an execution. They must be short, and without a token that the bank
/// echoed.
fn shown(charge: &Charge) {
    for text in [Some(charge.state.as_str()), charge.failure_code.as_deref()]
        .into_iter()
        .flatten()
    {
        assert!(text.len() <= 40, "a word of {} bytes", text.len());
        assert_none_in("the bank's word", text);
    }
    if !matches!(charge.state, TransactionState::Initialized) {
        assert_eq!(TransactionState::parse(charge.state.as_str()), charge.state);
    }
}

/// A refusal is definite only if the bank itself says so. An outage proves nothing. Only a code of the answer is shown.
fn refusal(status: u16, answer: &[u8]) {
    let status = StatusCode::from_u16(status).expect("within the bounds");
    let object = read_object(answer);
    let error_object = object.as_ref().is_some_and(|object| object == "error");
    let refusal = wire::refusal(status, answer);
    if let Some(error) = &refusal {
        assert_none_in("a refusal of the bank", &error.to_string());
        assert_none_debugged("a refusal of the bank", error);
    }
    match (&refusal, status.as_u16()) {
        // The bank says that it was done. A page of a proxy must never count as that.
        (None, code) => assert!((200..300).contains(&code) && object.is_some() && !error_object),
        (
            Some(BankError::Refused {
                status: found,
                code,
            }),
            by,
        ) => {
            assert_eq!(*found, by);
            assert!(
                code.len() <= 40 && code.bytes().all(|byte| (b' '..=b'~').contains(&byte)),
                "{code}"
            );
            assert!(
                ((400..500).contains(&by) && ![401, 403, 408, 425, 429].contains(&by))
                    || (200..300).contains(&by)
            );
            // These would prove that there is no such charge, or that nothing was charged: only the bank may say so.
            if by == 404 || (200..300).contains(&by) {
                assert!(error_object);
            }
        }
        // The bank rejected the request before it processed it.
        (Some(BankError::NotTaken(_)), by) => assert!([401, 403, 429].contains(&by)),
        (Some(BankError::Unavailable(_)), by) => {
            assert!(!(200..300).contains(&by) || object.is_none());
            assert!(![401, 403, 429].contains(&by));
        }
    }
}

/// The answer's `object`. `None` if the answer is no object, or if readers may disagree about it.
fn read_object(answer: &[u8]) -> Option<Value> {
    #[derive(Deserialize)]
    struct Plain {
        #[serde(default)]
        object: Value,
        #[serde(default, rename = "code")]
        _code: Value,
    }
    if !answer.trim_ascii_start().starts_with(b"{") {
        return None;
    }
    serde_json::from_slice::<Plain>(answer)
        .ok()
        .map(|plain| plain.object)
}
