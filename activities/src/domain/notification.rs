//! The bank's server-to-server notification, read. Signed with a checksum over some of its fields; what the checksum
//! does not cover (`reference_order`, `source`) is not read at all, but for `ref_1`, which is a hint.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::browser_return::ReportedStatus;
use super::charge::TransactionState;
use super::fields::{FieldError, MAX_BODY};
use super::ids::{ChargeId, OrderId};
use super::money::Satang;

/// A notification whose checksum is not verified yet.
#[derive(Debug)]
pub struct Notification {
    /// The charge it speaks of.
    pub charge_id: ChargeId,
    /// Success where the bank's `status` is `success`; every other word is none.
    pub status: ReportedStatus,
    /// The order (`ref_1`), where it can be read. Not signed: it may say where to look for a charge, and nothing more.
    pub order_id: Option<OrderId>,
    says_paid: bool,
    /// Where the bank says that the charge stands.
    pub state: TransactionState,
    /// The text that was signed, without the salt: `id`, amount with four decimals, currency, status, state.
    pub signed: String,
    /// `failure_code`, which one integration puts between the text and the salt; empty where blank.
    pub failure_code: String,
    /// What the bank says the checksum is.
    pub checksum: String,
}

#[derive(Deserialize)]
struct Wire<'a> {
    object: Option<String>,
    id: Option<String>,
    #[serde(borrow)]
    amount: Option<&'a RawValue>,
    currency: Option<String>,
    status: Option<String>,
    transaction_state: Option<String>,
    /// Mostly text; a number where the bank feels like it.
    failure_code: Option<Value>,
    checksum: Option<String>,
}

impl Notification {
    /// Whether the bank says that the charge is authorised or settled.
    #[must_use]
    pub fn says_paid(&self) -> bool {
        self.says_paid
    }

    /// Reads a notification: a JSON charge object with `checksum`.
    ///
    /// # Errors
    /// [`FieldError`] naming the field that is absent or wrong.
    pub fn parse(body: &[u8]) -> Result<Self, FieldError> {
        if body.len() > MAX_BODY {
            return Err(FieldError::invalid(
                "body",
                format!("is over {MAX_BODY} bytes"),
            ));
        }
        let unreadable =
            || FieldError::invalid("body", "is not a JSON charge object with each field once");
        // A list's entries would be taken for the fields, in their order.
        if !body.trim_ascii_start().starts_with(b"{") {
            return Err(unreadable());
        }
        let wire: Wire<'_> = serde_json::from_slice(body).map_err(|_| unreadable())?;
        if wire.object.is_some_and(|object| object != "charge") {
            return Err(FieldError::invalid("object", "must be `charge`"));
        }
        let need = |value: Option<String>, field: &str| {
            value
                .filter(|value| !value.is_empty())
                .ok_or_else(|| FieldError::missing(field))
        };
        let charge_id = ChargeId::new(need(wire.id, "id")?)
            .map_err(|error| FieldError::invalid("id", error.to_string()))?;
        let amount = wire
            .amount
            .ok_or_else(|| FieldError::missing("amount"))
            .and_then(|raw| {
                Satang::parse_json(raw.get())
                    .map_err(|error| FieldError::invalid("amount", error.to_string()))
            })?;
        let currency = need(wire.currency, "currency")?;
        let word = need(wire.status, "status")?;
        let status = match word.as_str() {
            "success" => ReportedStatus::Success,
            _ => ReportedStatus::Failure,
        };
        let transaction_state = need(wire.transaction_state, "transaction_state")?;
        let state = TransactionState::parse(&transaction_state);
        Ok(Self {
            says_paid: status == ReportedStatus::Success
                && matches!(
                    state,
                    TransactionState::Authorized | TransactionState::Settled
                ),
            state,
            signed: format!("{charge_id}{amount}00{currency}{word}{transaction_state}"),
            order_id: order_id(body),
            charge_id,
            status,
            failure_code: match wire.failure_code {
                Some(Value::String(text)) => text,
                Some(Value::Number(number)) => number.to_string(),
                _ => String::new(),
            },
            checksum: need(wire.checksum, "checksum")?,
        })
    }
}

/// Reads the hint by itself, so that none of its shapes stops a notification.
fn order_id(body: &[u8]) -> Option<OrderId> {
    #[derive(Deserialize)]
    struct Echoed {
        ref_1: Value,
    }
    let Echoed { ref_1 } = serde_json::from_slice(body).ok()?;
    let text = match ref_1 {
        Value::String(text) => text,
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    OrderId::new(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = r#"{"id":"chrg_test_x","object":"charge","amount":1250,"currency":"THB","status":"success",
        "transaction_state":"Authorized","failure_code":null,"checksum":"ab"}"#;

    #[test]
    fn the_signed_text_has_the_amount_with_four_decimals() {
        let notification = Notification::parse(BODY.as_bytes()).unwrap();
        assert_eq!(
            notification.signed,
            "chrg_test_x1250.0000THBsuccessAuthorized"
        );
        assert_eq!(notification.failure_code, "");
    }

    #[test]
    fn the_order_is_a_hint_that_stops_no_notification_in_any_shape() {
        for (ref_1, order) in [
            (r#""ref_1":"482500007436","#, Some("482500007436")),
            (r#""ref_1":482500007436,"#, Some("482500007436")),
            ("", None),
            (r#""ref_1":null,"#, None),
            (r#""ref_1":["482500007436"],"#, None),
            (r#""ref_1":"two words","#, None),
            (r#""ref_1":"1","ref_1":"2","#, None),
        ] {
            let body = BODY.replacen('{', &format!("{{{ref_1}"), 1);
            let notification = Notification::parse(body.as_bytes()).unwrap();
            let read = notification.order_id.as_ref().map(OrderId::as_str);
            assert_eq!(read, order, "{ref_1}");
            assert_eq!(
                notification.signed,
                "chrg_test_x1250.0000THBsuccessAuthorized"
            );
        }
    }

    #[test]
    fn a_notification_that_cannot_be_read_names_the_field() {
        for (from, to, field) in [
            (r#""id":"chrg_test_x","#, "", "id"),
            ("1250", "\"many\"", "amount"),
            ("1250", "12.345", "amount"),
            (r#""status":"success""#, r#""status":"""#, "status"),
            (r#""checksum":"ab""#, r#""x":1"#, "checksum"),
            (r#""object":"charge""#, r#""object":"error""#, "object"),
            (r#""currency":"THB""#, r#""currency":"""#, "currency"),
            (
                r#""currency":"THB""#,
                r#""currency":"THB","currency":"THB""#,
                "body",
            ),
            ("{", "[", "body"),
            (
                BODY,
                r#"["charge","chrg_test_x",1250,"THB","success","Authorized",null,"ab"]"#,
                "body",
            ),
        ] {
            let body = BODY.replacen(from, to, 1);
            assert_eq!(
                Notification::parse(body.as_bytes()).unwrap_err().field,
                field,
                "{body}"
            );
        }
    }
}
