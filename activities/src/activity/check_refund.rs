//! `CheckRefund`: the execution's input becomes a refund, and its amount is reserved in the ledger. Nothing is reserved
//! for an input that cannot be carried out.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::domain::fields::FieldError;
use crate::domain::ids::{ChargeId, OrderId, RecordKey};
use crate::domain::money::Satang;
use crate::domain::order::Paid;
use crate::domain::payment::{ADD_CARD_ORDER_ID, Payment};
use crate::domain::refund::{ELSEWHERE, Entry, EntryState, Ledger, Refund, RefundId};
use crate::failure::failure;
use crate::log;
use crate::tables::TableError;
use crate::tables::refunds::RefundTables;

/// The longest reason, in characters. The bank takes no more of a description.
const MAX_REASON: usize = 255;

/// What the state machine passes on.
#[derive(Debug, Deserialize)]
pub struct Input {
    /// The execution's input, as it is.
    pub input: Value,
}

/// The refund, checked.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// The payment of which money goes back.
    pub payment: Payment,
    /// The refund.
    pub refund: Refund,
    /// Where its entry in the ledger stands: `reserved`, or further for one that was started before. `elsewhere` for
    /// money that was given back by hand.
    pub state: &'static str,
    /// What can still be given back, in satang.
    #[serde(rename = "leftSatang")]
    pub left_satang: i64,
}

/// Why there is no refund.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The input is none of a refund.
    #[error(
        "{0}; for a refund start the execution with {{\"refundId\": \"rf_…\", \"orderId\": \"…\", \"amount\": \"120.50\", \"reason\": \"…\"}}, without `amount` for all that is left; to state what went back by hand, and to give nothing back, with {{\"chargeId\": \"chrg_…\", \"amount\": \"120.50\"}}"
    )]
    InvalidRefund(#[from] FieldError),
    /// Nothing was paid for this order here.
    #[error("`orderId` {0} is not paid: check the id; only what was paid can be given back")]
    OrderNotPaid(String),
    /// The order was not paid by a charge of this system.
    #[error(
        "`orderId` {0} was paid otherwise, or by the former system: give the money back where it was paid, such as in the bank's portal"
    )]
    PaidOtherwise(String),
    /// A charge of this system has paid the order, and the index does not show its record yet.
    #[error(
        "`orderId` {0} is paid, and the record of its payment is not found yet: if this lasts, look whether somebody has removed it"
    )]
    RecordNotFound(String),
    /// More than is left.
    #[error("`amount` is more than is left: {left} THB of {paid} THB can still be given back")]
    RefundTooLarge {
        /// What is left.
        left: Satang,
        /// What was paid.
        paid: Satang,
    },
    /// The id stands for another amount.
    #[error(
        "`refundId` {id} stands for {amount} THB already: repeat it with that amount or with none, or give another refund another id"
    )]
    RefundMismatch {
        /// The refund.
        id: RefundId,
        /// Its amount.
        amount: Satang,
    },
    /// Others kept changing the ledger: the next try may succeed.
    #[error("other refunds of the payment were reserved at the same moment")]
    TransactionConflict,
    /// A table could not be used.
    #[error(transparent)]
    Table(#[from] TableError),
}

failure!(CheckError {
    InvalidRefund: Definite,
    OrderNotPaid: Definite,
    PaidOtherwise: Definite,
    RecordNotFound: Transient,
    RefundTooLarge: Definite,
    RefundMismatch: Definite,
    TransactionConflict: Transient,
} or Table(TableError));

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
enum Request {
    /// A refund by the shop.
    Refund {
        id: RefundId,
        order: OrderId,
        /// `None` is all that is left.
        amount: Option<Satang>,
        reason: Option<String>,
    },
    /// What was given back by hand at the bank.
    Elsewhere {
        charge: ChargeId,
        /// Of the record with this charge, where the callback has found it.
        key: Option<RecordKey>,
        /// As a person states it.
        amount: Option<Satang>,
    },
}

impl Request {
    fn parse(input: &Value) -> Result<Self, FieldError> {
        let Value::Object(fields) = input else {
            return Err(FieldError::invalid("the input", "must be a JSON object"));
        };
        let amount = amount(fields)?;
        if !fields.contains_key("refundId")
            && let Some(charge) = text(fields, "chargeId")?
        {
            let charge = ChargeId::new(charge)
                .map_err(|error| FieldError::invalid("chargeId", error.to_string()))?;
            let key = text(fields, "recordKey")?.map(RecordKey::stored);
            return Ok(Self::Elsewhere {
                charge,
                key,
                amount,
            });
        }
        let need = |name| text(fields, name)?.ok_or_else(|| FieldError::missing(name));
        let id = RefundId::new(need("refundId")?)
            .map_err(|error| FieldError::invalid("refundId", error.to_string()))?;
        let order = OrderId::new(need("orderId")?)
            .map_err(|error| FieldError::invalid("orderId", error.to_string()))?;
        if order.as_str() == ADD_CARD_ORDER_ID {
            return Err(FieldError::invalid(
                "orderId",
                "is a card verification: its 1 THB goes back by itself",
            ));
        }
        let reason = text(fields, "reason")?.map(|reason| reason.trim().to_owned());
        if reason.as_ref().is_some_and(|reason| {
            reason.chars().count() > MAX_REASON || reason.chars().any(char::is_control)
        }) {
            return Err(FieldError::invalid(
                "reason",
                format!("must be one line of at most {MAX_REASON} characters"),
            ));
        }
        Ok(Self::Refund {
            id,
            order,
            amount,
            reason,
        })
    }
}

/// A field's text; blank, null and absent are alike.
fn text(fields: &Map<String, Value>, name: &str) -> Result<Option<String>, FieldError> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.trim().is_empty() => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(FieldError::invalid(name, "must be text")),
    }
}

/// The amount in decimal baht, written as text or as a number. No more than two decimals: who writes more means
/// something else.
fn amount(fields: &Map<String, Value>) -> Result<Option<Satang>, FieldError> {
    let wrong = |problem: &str| FieldError::invalid("amount", problem);
    let written = match fields.get("amount") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        Some(_) => return Err(wrong("must be decimal baht, such as \"120.50\"")),
    };
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let well_written = match written.split_once('.') {
        None => digits(&written),
        Some((baht, satang)) => digits(baht) && digits(satang) && satang.len() <= 2,
    };
    if !well_written {
        return Err(wrong(
            "must be decimal baht with at most two decimals, such as \"120.50\"",
        ));
    }
    let amount = Satang::parse_shop(&written).map_err(|error| wrong(&error.to_string()))?;
    if amount == Satang::ZERO {
        return Err(wrong("must be more than 0"));
    }
    Ok(Some(amount))
}

/// How often the ledger is read again that others keep changing.
const TRIES: usize = 6;

/// Checks the input, and reserves the amount. Repeated, it finds what it reserved.
///
/// # Errors
/// [`CheckError`].
pub async fn check(tables: &RefundTables, input: &Input) -> Result<Checked, CheckError> {
    match Request::parse(&input.input)? {
        Request::Refund {
            id,
            order,
            amount,
            reason,
        } => {
            log::order(&order);
            let charge = match tables.records.charge_with_refund(&order, &id).await? {
                // Started again: another charge may have paid the order since.
                Some(charge) => charge,
                None => paying_charge(tables, &order).await?,
            };
            let unpaid = || CheckError::PaidOtherwise(order.to_string());
            // Whatever named the charge was written together with its record: an index that lags behind proves nothing.
            let behind = || CheckError::RecordNotFound(order.to_string());
            let key = key_of(tables, &charge, behind).await?;
            let asked = (&id, amount, reason.as_ref());
            reserve(tables, (&key, &charge), unpaid, asked).await
        }
        Request::Elsewhere {
            charge,
            key,
            amount,
        } => {
            let unpaid =
                || FieldError::invalid("chargeId", "has paid no order here: check the id").into();
            let key = match key {
                Some(key) => key,
                None => key_of(tables, &charge, unpaid).await?,
            };
            let (payment, ledger) = paid_by(tables, (&key, &charge), unpaid).await?;
            if let Some(amount) = amount {
                check_stated(&ledger, amount, payment.amount_satang)?;
            }
            Ok(Checked {
                left_satang: ledger.left_of(payment.amount_satang).satang(),
                payment,
                refund: Refund {
                    refund_id: RefundId::elsewhere(),
                    amount_satang: amount.unwrap_or(Satang::ZERO),
                    whole: false,
                    elsewhere: true,
                    reason: None,
                    reserved_at: tables.records.clock().seconds(),
                },
                state: ELSEWHERE,
            })
        }
    }
}

/// What a person states went back by hand, with what other refunds are for, cannot be more than was paid.
fn check_stated(ledger: &Ledger, amount: Satang, paid: Satang) -> Result<(), CheckError> {
    match ledger.most_elsewhere(paid) {
        left if amount > left => Err(CheckError::RefundTooLarge { left, paid }),
        _ => Ok(()),
    }
}

/// The charge that paid the order, as the check status shows it: written together with the order.
async fn paying_charge(tables: &RefundTables, order: &OrderId) -> Result<ChargeId, CheckError> {
    let row = tables.check_status.row(order).await?;
    if let Some(charge) = row.paid_by() {
        return Ok(charge.clone());
    }
    // What the order itself says is for the message: a payment that this system does not know.
    let paid = match tables.orders.get(order).await {
        Ok(stored) => stored.map(|stored| stored.order.paid),
        Err(TableError::Unreadable { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    Err(match paid {
        Some(Paid::By(_)) => CheckError::PaidOtherwise(order.to_string()),
        Some(Paid::No) | None => CheckError::OrderNotPaid(order.to_string()),
    })
}

/// The key of the record of this charge; an error of this kind where the index shows none.
async fn key_of(
    tables: &RefundTables,
    charge: &ChargeId,
    none: impl Fn() -> CheckError,
) -> Result<RecordKey, CheckError> {
    let key = tables.records.key_of_charge(charge).await?;
    key.ok_or_else(none)
}

/// The payment by this charge, with its ledger, if it has paid its order.
async fn paid_by(
    tables: &RefundTables,
    (key, charge): (&RecordKey, &ChargeId),
    unpaid: impl Fn() -> CheckError,
) -> Result<(Payment, Ledger), CheckError> {
    let read = tables.records.get_with_ledger(key).await?;
    let (record, ledger) = read.ok_or_else(&unpaid)?;
    match record.payment() {
        Some(payment) if record.has_paid_by(charge) => {
            log::charge(charge);
            log::order(&record.order_id);
            Ok((payment, ledger))
        }
        _ => Err(unpaid()),
    }
}

async fn reserve(
    tables: &RefundTables,
    (key, charge): (&RecordKey, &ChargeId),
    unpaid: impl Fn() -> CheckError,
    (id, amount, reason): (&RefundId, Option<Satang>, Option<&String>),
) -> Result<Checked, CheckError> {
    for _ in 0..TRIES {
        let (payment, ledger) = paid_by(tables, (key, charge), &unpaid).await?;
        if let Some(entry) = ledger.entries.get(id) {
            return found(payment, &ledger, id, entry, amount);
        }
        let left = ledger.left_of(payment.amount_satang);
        let amount_satang = amount.unwrap_or(left);
        if amount_satang > left || amount_satang == Satang::ZERO {
            return Err(CheckError::RefundTooLarge {
                left,
                paid: payment.amount_satang,
            });
        }
        let refund = Refund {
            refund_id: id.clone(),
            amount_satang,
            whole: amount_satang == payment.amount_satang,
            elsewhere: false,
            reason: reason.cloned(),
            reserved_at: tables.records.clock().seconds(),
        };
        if !ledger.is_open {
            tables
                .records
                .open_ledger(&payment.record_key, charge)
                .await?;
        }
        // All that is left is what this very ledger leaves.
        let all_of = amount.is_none().then_some(&ledger);
        if tables
            .records
            .reserve_refund(&payment, &refund, all_of)
            .await?
        {
            return Ok(Checked {
                left_satang: left.satang() - amount_satang.satang(),
                payment,
                refund,
                state: EntryState::Reserved.as_str(),
            });
        }
    }
    Err(CheckError::TransactionConflict)
}

/// The refund whose entry stands in the ledger: started again, or reserved by a try whose answer was lost.
fn found(
    payment: Payment,
    ledger: &Ledger,
    id: &RefundId,
    entry: &Entry,
    amount: Option<Satang>,
) -> Result<Checked, CheckError> {
    if amount.is_some_and(|amount| amount != entry.amount) {
        return Err(CheckError::RefundMismatch {
            id: id.clone(),
            amount: entry.amount,
        });
    }
    Ok(Checked {
        left_satang: ledger.left_of(payment.amount_satang).satang(),
        refund: Refund {
            refund_id: id.clone(),
            amount_satang: entry.amount,
            whole: entry.amount == payment.amount_satang,
            elsewhere: false,
            reason: entry.reason.clone(),
            reserved_at: entry.reserved_at,
        },
        payment,
        state: entry.state.as_str(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn request(input: &Value) -> Result<Request, FieldError> {
        Request::parse(input)
    }

    fn with(name: &str, value: Value) -> Value {
        let mut input = json!({"refundId": "rf_1", "orderId": "482500007436"});
        input[name] = value;
        input
    }

    #[test]
    fn a_refund_is_read_with_its_amount_in_decimal_baht() {
        for (amount, satang) in [
            (json!("120.50"), 12_050),
            (json!("120.5"), 12_050),
            (json!("120"), 12_000),
            (json!(120.5), 12_050),
            (json!(1), 100),
        ] {
            let Ok(Request::Refund {
                amount: Some(read), ..
            }) = request(&with("amount", amount.clone()))
            else {
                panic!("{amount}");
            };
            assert_eq!(read.satang(), satang, "{amount}");
        }
        let all = with("reason", json!(" 2 items missing "));
        let read = request(&all).unwrap();
        let reason = Some("2 items missing".to_owned());
        assert!(
            matches!(&read, Request::Refund { amount: None, reason: given, .. } if *given == reason),
            "{read:?}"
        );
    }

    #[test]
    fn bad_input_names_the_field_and_what_it_must_be() {
        for (input, field) in [
            (json!("text"), "the input"),
            (json!([1]), "the input"),
            (json!({}), "refundId"),
            (json!({"refundId": "rf_1"}), "orderId"),
            (json!({"refundId": "rf_1", "chargeId": "chrg_1"}), "orderId"),
            (with("refundId", json!("a b")), "refundId"),
            (with("refundId", json!(7)), "refundId"),
            (with("refundId", json!("elsewhere-1")), "refundId"),
            (with("orderId", json!("")), "orderId"),
            (with("orderId", json!("ADDCARD")), "orderId"),
            (with("amount", json!("0")), "amount"),
            (with("amount", json!("0.00")), "amount"),
            (with("amount", json!("-1")), "amount"),
            (with("amount", json!(-1)), "amount"),
            (with("amount", json!("120.505")), "amount"),
            (with("amount", json!("120.500")), "amount"),
            (with("amount", json!(120.505)), "amount"),
            (with("amount", json!("1e2")), "amount"),
            (with("amount", json!("1,000.00")), "amount"),
            (with("amount", json!(" 1")), "amount"),
            (with("amount", json!("")), "amount"),
            (with("amount", json!(".5")), "amount"),
            (with("amount", json!("๑")), "amount"),
            (with("amount", json!("99999999999999999999")), "amount"),
            (with("amount", json!({})), "amount"),
            (with("reason", json!("x".repeat(256))), "reason"),
            (with("reason", json!("two\nlines")), "reason"),
            (json!({"chargeId": "a b"}), "chargeId"),
        ] {
            let error = request(&input).unwrap_err();
            assert_eq!(error.field, field, "{input}");
        }
    }

    #[test]
    fn a_charge_alone_is_about_what_was_given_back_by_hand() {
        let charge = ChargeId::new("chrg_1").unwrap();
        for (input, amount, key) in [
            (json!({"chargeId": "chrg_1"}), None, None),
            (
                json!({"chargeId": "chrg_1", "recordKey": "k"}),
                None,
                Some("k"),
            ),
            (
                json!({"chargeId": "chrg_1", "amount": "100.00"}),
                Some(10_000),
                None,
            ),
        ] {
            let amount = amount.map(|satang| Satang::new(satang).unwrap());
            let expected = Request::Elsewhere {
                charge: charge.clone(),
                key: key.map(|key| RecordKey::stored(key.to_owned())),
                amount,
            };
            assert_eq!(request(&input), Ok(expected));
        }
    }
}
