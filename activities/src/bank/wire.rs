//! The gateway's answers, read. Tolerant: `""`, null and absent are alike, and booleans may come as strings.

use http::StatusCode;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::BankError;
use crate::domain::charge::{Charge, TransactionState};
use crate::domain::ids::{ChargeId, CustomerId, MAX_ID_LENGTH};
use crate::domain::money::Satang;

#[derive(Deserialize)]
struct WireCharge<'a> {
    #[serde(default, deserialize_with = "blank")]
    object: Option<String>,
    #[serde(default, deserialize_with = "blank")]
    id: Option<String>,
    #[serde(borrow)]
    amount: Option<&'a RawValue>,
    #[serde(default, deserialize_with = "blank")]
    currency: Option<String>,
    #[serde(default, deserialize_with = "blank")]
    transaction_state: Option<String>,
    #[serde(default, deserialize_with = "blank")]
    status: Option<String>,
    #[serde(default, deserialize_with = "blank")]
    redirect_url: Option<String>,
    #[serde(default, deserialize_with = "blank")]
    reference_order: Option<String>,
    #[serde(default, deserialize_with = "flag")]
    livemode: Option<String>,
    #[serde(default, deserialize_with = "blank")]
    failure_code: Option<String>,
}

/// Reads a charge object.
///
/// # Errors
/// [`BankError::Unavailable`] naming the field that is absent or wrong: such an answer says nothing.
pub fn charge(answer: &[u8]) -> Result<Charge, BankError> {
    let wire: WireCharge<'_> = object(answer).ok_or_else(|| unreadable("charge object"))?;
    if wire.object.as_deref() != Some("charge") {
        return Err(unreadable("`object`"));
    }
    Ok(Charge {
        id: wire
            .id
            .and_then(|id| ChargeId::new(id).ok())
            .ok_or_else(|| unreadable("`id`"))?,
        amount: wire
            .amount
            .and_then(|raw| Satang::parse_json(raw.get()).ok())
            .ok_or_else(|| unreadable("`amount`"))?,
        currency: wire.currency.ok_or_else(|| unreadable("`currency`"))?,
        state: wire
            .transaction_state
            .map(|word| match TransactionState::parse(&word) {
                TransactionState::Unknown(word) => TransactionState::Unknown(shown(&word)),
                known => known,
            })
            .ok_or_else(|| unreadable("`transaction_state`"))?,
        success: wire.status.as_deref() == Some("success"),
        redirect_url: wire.redirect_url,
        reference_order: wire.reference_order,
        livemode: match wire.livemode.as_deref() {
            None => None,
            Some("true") => Some(true),
            Some("false") => Some(false),
            Some(_) => return Err(unreadable("`livemode`")),
        },
        failure_code: wire.failure_code.as_deref().map(shown),
    })
}

/// Reads the customer's id: `id` or `customer_id`, since no public integration shows the answer.
///
/// # Errors
/// [`BankError::Unavailable`] when there is none.
pub fn customer_id(answer: &[u8]) -> Result<CustomerId, BankError> {
    #[derive(Deserialize)]
    struct Customer {
        #[serde(default, deserialize_with = "blank")]
        id: Option<String>,
        #[serde(default, deserialize_with = "blank")]
        customer_id: Option<String>,
    }
    let customer: Customer = object(answer).ok_or_else(|| unreadable("customer object"))?;
    customer
        .id
        .or(customer.customer_id)
        .and_then(|id| CustomerId::new(id).ok())
        .ok_or_else(|| unreadable("customer's `id`"))
}

/// What the answer to a void or a refund says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// It was done.
    Done,
    /// Something of this charge that neither shows nor refuses it: it may have been done.
    Unclear,
    /// Nothing of this charge.
    Nothing,
}

/// What the answer to a void or a refund says. It proves it as an object of this charge in the state that was asked for,
/// or with a `refund_id`, beside the status `success` or none. A 2xx alone proves nothing, and neither does an empty
/// object or any other status. Capitals and blanks around the status do not matter.
///
/// # Errors
/// [`BankError::Refused`] where the object says `fail`: a declined operation is an ordinary object with HTTP 200.
pub fn reversal(
    answer: &[u8],
    id: &ChargeId,
    wanted: &TransactionState,
) -> Result<Said, BankError> {
    #[derive(Deserialize)]
    struct Answer {
        #[serde(default, deserialize_with = "blank")]
        object: Option<String>,
        #[serde(default, deserialize_with = "blank")]
        id: Option<String>,
        #[serde(default, deserialize_with = "blank")]
        transaction_state: Option<String>,
        #[serde(default, deserialize_with = "blank")]
        status: Option<String>,
        #[serde(default, deserialize_with = "blank")]
        failure_code: Option<String>,
    }
    let has_refund_id = refund_id(answer).is_some();
    let answer: Answer = object(answer).ok_or_else(|| unreadable("JSON object"))?;
    let is_this_charge =
        answer.object.as_deref() == Some("charge") && answer.id.as_deref() == Some(id.as_str());
    if !is_this_charge {
        return Ok(Said::Nothing);
    }
    let status = answer.status.as_deref().map(str::trim);
    let says = |word: &str| status.is_some_and(|status| status.eq_ignore_ascii_case(word));
    if says("fail") {
        return Err(BankError::Refused {
            status: StatusCode::OK.as_u16(),
            code: answer.failure_code.as_deref().map_or("fail".into(), shown),
        });
    }
    let state = answer
        .transaction_state
        .as_deref()
        .map(TransactionState::parse);
    let may_have_succeeded = status.is_none() || says("success");
    let is_done = state.as_ref() == Some(wanted)
        || (*wanted == TransactionState::RefundSent && has_refund_id);
    Ok(if may_have_succeeded && is_done {
        Said::Done
    } else {
        Said::Unclear
    })
}

/// Reads a refund's id. The refund is accepted whether or not its answer holds one.
#[must_use]
pub fn refund_id(answer: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Refund {
        #[serde(default, deserialize_with = "blank")]
        refund_id: Option<String>,
    }
    let refund: Refund = object(answer)?;
    refund
        .refund_id
        .filter(|id| id.len() <= MAX_ID_LENGTH && id.bytes().all(|byte| byte.is_ascii_graphic()))
}

/// What the answer refuses, if anything: an error object is a refusal even with a 2xx, and a 2xx without an object is
/// no answer of the bank.
#[must_use]
pub fn refusal(status: StatusCode, answer: &[u8]) -> Option<BankError> {
    #[derive(Deserialize)]
    struct ErrorObject {
        #[serde(default, deserialize_with = "blank")]
        object: Option<String>,
        #[serde(default, deserialize_with = "blank")]
        code: Option<String>,
    }
    let error: Option<ErrorObject> = object(answer);
    let is_error_object = error
        .as_ref()
        .is_some_and(|error| error.object.as_deref() == Some("error"));
    if status.is_success() && !is_error_object {
        return error.is_none().then(|| unreadable("JSON object"));
    }
    let answered = || format!("it answered {}", status.as_u16());
    // Turned away before anybody looked at the request.
    if matches!(status.as_u16(), 401 | 403 | 429) {
        return Some(BankError::NotTaken(answered()));
    }
    // These speak of the moment, not of the request.
    let passing = matches!(status.as_u16(), 408 | 425);
    // A bare 404 is some server on the way that does not know the path: only the bank's own says that there is no
    // charge.
    let bare_404 = status == StatusCode::NOT_FOUND && !is_error_object;
    let definite = (status.is_client_error() && !passing && !bare_404)
        || (status.is_success() && is_error_object);
    if !definite {
        return Some(BankError::Unavailable(answered()));
    }
    let code = error
        .and_then(|error| error.code)
        .map_or_else(|| "none".into(), |code| shown(&code));
    Some(BankError::Refused {
        status: status.as_u16(),
        code,
    })
}

/// Whether a refusal says that the card is with the customer already. The bank's codes are not public: 409, or a code
/// that says so of the card in words. A token that is used already, or a customer that does not exist, is a refusal.
#[must_use]
pub fn means_duplicate(status: u16, code: &str) -> bool {
    let code = code.to_ascii_lowercase();
    let says = |word| code.contains(word);
    let of_the_card = says("card") && (says("exist") || says("already"));
    status == 409 || ((says("duplicate") || of_the_card) && !says("not") && !says("token"))
}

/// Reads a JSON object. A list is none: its entries would be taken for the fields, in their order.
fn object<'a, T: Deserialize<'a>>(answer: &'a [u8]) -> Option<T> {
    let is_object = answer.trim_ascii_start().starts_with(b"{");
    is_object.then(|| serde_json::from_slice(answer).ok())?
}

fn unreadable(what: &str) -> BankError {
    BankError::Unavailable(format!("its answer holds no readable {what}"))
}

/// How much of the bank's own words is kept, in characters: they enter an execution's history.
const SHOWN: usize = 40;

/// A word of the bank as it may be shown: short, in printable ASCII, and without a token or key that it may have
/// echoed.
fn shown(word: &str) -> String {
    // Replaced, not left out: nothing may turn into a word that we know.
    let printable: String = word
        .chars()
        .map(|c| match c {
            ' '..='~' => c,
            _ => '?',
        })
        .collect();
    if ["tokn_", "skey_"]
        .iter()
        .any(|secret| printable.contains(secret))
    {
        return "(hidden)".into();
    }
    if printable.len() <= SHOWN {
        return printable;
    }
    // The end says that it was cut, so that what is left is no word that we know either.
    format!("{}?", &printable[..SHOWN - 1])
}

/// A string, with `""`, blanks, null and absent alike. A value of any other kind (`{}`, `[]`, a number) counts as
/// absent: the fields that matter are then missed by name.
fn blank<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(match serde_json::Value::deserialize(deserializer)? {
        serde_json::Value::String(text) if !text.trim().is_empty() => Some(text),
        _ => None,
    })
}

/// A boolean, which may come as a string; otherwise as [`blank`].
fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(match serde_json::Value::deserialize(deserializer)? {
        serde_json::Value::String(text) if !text.trim().is_empty() => Some(text),
        serde_json::Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = r#"{"id":"chrg_test_1","object":"charge","amount":1250.50,"currency":"THB",
        "transaction_state":"Pre-Authorized","status":"success","redirect_url":"https://bank.example/3ds",
        "reference_order":"ref-1","livemode":"false","failure_code":"","mpi":{"eci":"05"},"refund_info":null}"#;

    #[test]
    fn a_charge_object_is_read() {
        let charge = charge(SAMPLE.as_bytes()).unwrap();
        assert_eq!(charge.amount.satang(), 125_050);
        assert_eq!(charge.state, TransactionState::PreAuthorized);
        assert_eq!(charge.livemode, Some(false));
        assert_eq!(charge.failure_code, None);
    }

    /// The sample with another value in one field, in any JSON; `None` leaves the field out.
    fn with(field: &str, value: Option<&str>) -> String {
        let mut object: std::collections::BTreeMap<String, Box<RawValue>> =
            serde_json::from_str(SAMPLE).unwrap();
        match value {
            Some(json) => object.insert(
                field.to_owned(),
                RawValue::from_string(json.to_owned()).unwrap(),
            ),
            None => object.remove(field),
        };
        serde_json::to_string(&object).unwrap()
    }

    const BLANKS: [Option<&str>; 6] = [
        Some("null"),
        Some(r#""""#),
        Some(r#"" ""#),
        Some("{}"),
        Some("[]"),
        None,
    ];

    #[test]
    fn blank_null_empty_and_absent_are_alike() {
        for blank in BLANKS {
            let read = |field| charge(with(field, blank).as_bytes()).unwrap();
            assert_eq!(read("redirect_url").redirect_url, None, "{blank:?}");
            assert_eq!(read("failure_code").failure_code, None, "{blank:?}");
            assert_eq!(read("reference_order").reference_order, None, "{blank:?}");
            assert_eq!(read("livemode").livemode, None, "{blank:?}");
            assert!(!read("status").success, "{blank:?}");
            for unread in ["mpi", "source", "refund_info", "settlement_info"] {
                assert_eq!(read(unread), charge(SAMPLE.as_bytes()).unwrap());
            }
            for needed in ["id", "object", "amount", "currency", "transaction_state"] {
                assert!(
                    charge(with(needed, blank).as_bytes()).is_err(),
                    "{needed} {blank:?}"
                );
            }
        }
    }

    #[test]
    fn the_mode_is_read_as_a_boolean_and_as_text() {
        for (written, mode) in [
            ("true", true),
            (r#""true""#, true),
            ("false", false),
            (r#""false""#, false),
        ] {
            let read = charge(with("livemode", Some(written)).as_bytes()).unwrap();
            assert_eq!(read.livemode, Some(mode), "{written}");
        }
        for written in [r#""live""#, r#""0""#] {
            let read = charge(with("livemode", Some(written)).as_bytes());
            assert!(read.is_err(), "{written}");
        }
    }

    #[test]
    fn a_blank_line_before_the_object_changes_nothing_and_a_page_is_no_answer() {
        let plain = charge(SAMPLE.as_bytes()).unwrap();
        let body = format!("\r\n\r\n{SAMPLE}");
        assert_eq!(charge(body.as_bytes()).unwrap(), plain);
        assert!(refusal(StatusCode::OK, body.as_bytes()).is_none());
        let page = b"<!doctype html><title>Maintenance</title>";
        assert!(matches!(
            refusal(StatusCode::OK, page),
            Some(BankError::Unavailable(_))
        ));
        assert!(charge(page).is_err());
    }

    #[test]
    fn a_state_is_read_whatever_its_capitals_and_blanks_and_a_misspelt_one_is_unknown() {
        for word in ["Authorized", "AUTHORIZED", "authorized", " Authorized "] {
            let json = format!("\"{word}\"");
            let read = charge(with("transaction_state", Some(&json)).as_bytes()).unwrap();
            assert_eq!(read.state, TransactionState::Authorized, "{word}");
        }
        let read = charge(with("transaction_state", Some(r#""Auhtorized""#)).as_bytes()).unwrap();
        assert_eq!(read.state, TransactionState::Unknown("Auhtorized".into()));
    }

    #[test]
    fn a_void_or_a_refund_is_proven_by_an_object_of_this_charge_alone() {
        let id = ChargeId::new("chrg_test_1").unwrap();
        let of = |fields: &str| {
            let answer = format!(r#"{{"id":"chrg_test_1","object":"charge",{fields}}}"#);
            reversal(answer.as_bytes(), &id, &TransactionState::RefundSent)
        };
        for proof in [
            r#""transaction_state":"Refund Sent","status":"success""#,
            r#""transaction_state":"REFUND SENT ","status":"success""#,
            r#""transaction_state":"Refund Sent""#,
            r#""transaction_state":"Refund Sent","status":" SUCCESS ""#,
            r#""transaction_state":"Refund Sent","status":"""#,
        ] {
            assert_eq!(of(proof).unwrap(), Said::Done, "{proof}");
        }
        for success in [
            r#""status":"success""#,
            r#""transaction_state":"Settled","status":"success""#,
            r#""transaction_state":"Voided","status":"success""#,
            r#""transaction_state":"Refund Snet","status":"success""#,
        ] {
            assert_eq!(of(success).unwrap(), Said::Unclear, "{success}");
            let with_id = format!(r#"{success},"refund_id":"rfnd_1""#);
            assert_eq!(of(&with_id).unwrap(), Said::Done, "{with_id}");
        }
        for unclear in [
            r#""transaction_state":"Refund Sent","status":"pending""#,
            r#""transaction_state":"Refund Sent","status":"failed""#,
            r#""transaction_state":"Settled""#,
        ] {
            assert_eq!(of(unclear).unwrap(), Said::Unclear, "{unclear}");
        }
        for answer in [
            "{}",
            r#"{"id":"chrg_test_2","object":"charge","transaction_state":"Refund Sent","status":"success"}"#,
            r#"{"object":"charge","transaction_state":"Refund Sent","status":"success"}"#,
            r#"{"id":"chrg_test_1","transaction_state":"Refund Sent","status":"success"}"#,
        ] {
            let read = reversal(answer.as_bytes(), &id, &TransactionState::RefundSent);
            assert_eq!(read.unwrap(), Said::Nothing, "{answer}");
        }
    }

    #[test]
    fn a_reversal_that_says_fail_is_a_refusal_whatever_the_state() {
        let id = ChargeId::new("chrg_test_1").unwrap();
        for (state, status) in [
            ("Settled", "fail"),
            ("Authorized", "fail"),
            ("Refund Sent", "fail"),
            ("Voided", "fail"),
            ("Refund Sent", "FAIL"),
            ("Refund Sent", " Fail "),
        ] {
            let answer = format!(
                r#"{{"id":"chrg_test_1","object":"charge","transaction_state":"{state}","status":"{status}","failure_code":"96"}}"#
            );
            match reversal(answer.as_bytes(), &id, &TransactionState::parse(state)) {
                Err(BankError::Refused { status: 200, code }) => assert_eq!(code, "96"),
                other => panic!("{state} {status}: {other:?}"),
            }
        }
    }

    #[test]
    fn amounts_are_never_floats() {
        for (written, satang) in [
            ("15", 1_500),
            ("200.5", 20_050),
            ("\"200.50\"", 20_050),
            ("200.5000", 20_050),
            ("\"200.5000\"", 20_050),
            ("2.005e2", 20_050),
            ("1e3", 100_000),
            ("15E+2", 150_000),
            ("0.29", 29),
        ] {
            let body = SAMPLE.replace("1250.50", written);
            assert_eq!(charge(body.as_bytes()).unwrap().amount.satang(), satang);
        }
        // Not even a binary sum's noise is forgiven: the bank does not calculate.
        for written in [
            "-1",
            "null",
            "\"\"",
            "15.001",
            "59.699999999999996",
            "1e-3",
            "[1]",
            "{}",
        ] {
            let body = SAMPLE.replace("1250.50", written);
            assert!(charge(body.as_bytes()).is_err(), "{written}");
        }
    }

    #[test]
    fn the_banks_words_are_short_and_hold_no_token() {
        let read = |state: &str, code: &str| {
            let body = SAMPLE.replace("Pre-Authorized", state).replace(
                r#""failure_code":"""#,
                &format!(r#""failure_code":"{code}""#),
            );
            charge(body.as_bytes()).unwrap()
        };
        let long = read(&"x".repeat(300), &"9".repeat(300));
        assert_eq!(long.state.as_str().len(), 40);
        assert_eq!(long.failure_code.unwrap().len(), 40);
        let echoed = read("tokn_test_obviously_fake", "skey_test_obviously_fake");
        assert_eq!(echoed.state.as_str(), "(hidden)");
        assert_eq!(echoed.failure_code.as_deref(), Some("(hidden)"));
        // And no word becomes one that means something.
        let nearly = read("Authorized\\u0000", "05");
        assert_eq!(nearly.state.as_str(), "Authorized?");
        let cut = read(&format!("Authorized{}x", " ".repeat(60)), "05").state;
        assert_eq!(TransactionState::parse(cut.as_str()), cut);
    }

    #[test]
    fn only_livemode_may_be_a_boolean_and_no_id_a_way_up() {
        for (from, to) in [
            (r#""currency":"THB""#, r#""currency":true"#),
            (r#""id":"chrg_test_1""#, r#""id":true"#),
            (r#""id":"chrg_test_1""#, r#""id":"..""#),
        ] {
            assert!(charge(SAMPLE.replace(from, to).as_bytes()).is_err(), "{to}");
        }
        let live = SAMPLE.replace(r#""livemode":"false""#, r#""livemode":true"#);
        assert_eq!(charge(live.as_bytes()).unwrap().livemode, Some(true));
    }

    #[test]
    fn an_error_object_is_a_refusal_even_with_a_200() {
        let body = br#"{"object":"error","code":"token_used","message":"text"}"#;
        for status in [200, 400, 404, 422] {
            let status = StatusCode::from_u16(status).unwrap();
            match refusal(status, body) {
                Some(BankError::Refused { code, .. }) => assert_eq!(code, "token_used"),
                other => panic!("{status}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_404_counts_only_with_the_banks_own_error_object() {
        for body in ["", "<html>not found</html>", "{}"] {
            let refusal = refusal(StatusCode::NOT_FOUND, body.as_bytes());
            assert!(matches!(refusal, Some(BankError::Unavailable(_))), "{body}");
        }
    }

    #[test]
    fn a_success_without_an_object_is_no_answer() {
        let ok = |body: &str| refusal(StatusCode::OK, body.as_bytes());
        assert!(ok("{}").is_none());
        for body in [
            "",
            "<html>please log in</html>",
            r#"["error","code"]"#,
            r#"{"object":"error","#,
            r#"{"object":"error","code":"a","code":"b"}"#,
        ] {
            assert!(
                matches!(ok(body), Some(BankError::Unavailable(_))),
                "{body}"
            );
        }
        let list = r#"["charge","chrg_test_1",1,"THB","Authorized","success",null,null,null,null]"#;
        assert!(charge(list.as_bytes()).is_err());
    }

    #[test]
    fn only_a_card_that_is_there_counts_as_saved() {
        for code in ["card_already_exists", "duplicate_card", "CARD_EXISTS"] {
            assert!(means_duplicate(400, code), "{code}");
        }
        for code in [
            "customer_not_exists",
            "card_not_exists",
            "token_already_used",
            "duplicate_token",
            "charge_not_approved",
            "none",
        ] {
            assert!(!means_duplicate(400, code), "{code}");
        }
        assert!(means_duplicate(409, "none"));
    }

    #[test]
    fn an_outage_leaves_open_whether_the_request_took_effect() {
        for status in [408, 425, 500, 502, 503, 504] {
            let refusal = refusal(StatusCode::from_u16(status).unwrap(), b"{}");
            assert!(
                matches!(refusal, Some(BankError::Unavailable(_))),
                "{status}: {refusal:?}"
            );
        }
    }

    #[test]
    fn a_request_that_is_turned_away_took_no_effect() {
        for (status, body) in [
            (401, "{}"),
            (403, "<html>forbidden</html>"),
            (429, ""),
            (429, r#"{"object":"error","code":"slow_down"}"#),
        ] {
            let refusal = refusal(StatusCode::from_u16(status).unwrap(), body.as_bytes());
            assert!(
                matches!(refusal, Some(BankError::NotTaken(_))),
                "{status}: {refusal:?}"
            );
        }
    }
}
