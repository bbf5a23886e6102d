//! `ParseCallback`: the execution's input becomes a charge to look at. Nothing it says about money is believed.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::domain::claim::ClaimedStatus;
use crate::domain::fields::FieldError;
use crate::domain::ids::{ChargeId, RecordKey};
use crate::executions::Source;
use crate::failure::{Failure, Treatment};

/// What the state machine passes on.
#[derive(Debug, Deserialize)]
pub struct Input {
    /// The execution's input, as it is.
    pub input: Map<String, Value>,
}

/// The parsed input.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Parsed {
    /// The charge to process.
    pub charge_id: ChargeId,
    /// What the caller claims of it; shown in the console, never decided by.
    pub claimed_status: Option<ClaimedStatus>,
    /// Who started the execution.
    pub source: Source,
    /// Where the caller found the record, if it did.
    pub record_key: Option<RecordKey>,
}

/// The input names no charge, or cannot be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}; start the execution with {{\"chargeId\": \"chrg_…\"}}")]
pub struct InvalidCallback(#[from] FieldError);

impl Failure for InvalidCallback {
    const NAMES: &'static [(&'static str, Treatment)] = &[("InvalidCallback", Treatment::Definite)];

    fn name(&self) -> &'static str {
        "InvalidCallback"
    }
}

/// Reads the execution's input: what the callback and checkout functions write, or what a person types, who may use
/// the bank's field names (`objectId`, `id`) and leave everything else out.
///
/// # Errors
/// [`InvalidCallback`].
pub fn parse(input: &Map<String, Value>) -> Result<Parsed, InvalidCallback> {
    let id = ["chargeId", "objectId", "id"]
        .iter()
        .find_map(|name| text(input, name))
        .ok_or_else(|| FieldError::missing("chargeId"))?;
    let charge_id =
        ChargeId::new(id).map_err(|error| FieldError::invalid("chargeId", error.to_string()))?;
    let claimed_status = text(input, "status")
        .map(|word| ClaimedStatus::parse(&word))
        .transpose()?;
    let source = match input.get("source") {
        None | Some(Value::Null) => Source::Operator,
        Some(source) => Source::deserialize(source).map_err(|_| {
            FieldError::invalid(
                "source",
                "must be one of callback, notify, reconcile, checkout, operator",
            )
        })?,
    };
    if source == Source::Callback && claimed_status.is_none() {
        return Err(FieldError::missing("status").into());
    }
    let record_key = text(input, "recordKey").map(RecordKey::stored);
    Ok(Parsed {
        charge_id,
        claimed_status,
        source,
        record_key,
    })
}

fn text(input: &Map<String, Value>, name: &str) -> Option<String> {
    match input.get(name)? {
        Value::String(text) if !text.trim().is_empty() => Some(text.clone()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parsed(input: Value) -> Result<Parsed, InvalidCallback> {
        parse(input.as_object().unwrap())
    }

    #[test]
    fn what_the_callback_function_writes_is_read() {
        let key = RecordKey::stored("ab12".into());
        let charge_id = ChargeId::new("chrg_1").unwrap();
        let input = serde_json::to_value(crate::executions::ExecutionInput {
            source: Source::Callback,
            charge_id: &charge_id,
            status: Some(ClaimedStatus::Failure),
            record_key: Some(&key),
            request_id: Some("r-1"),
        })
        .unwrap();
        assert_eq!(
            parsed(input),
            Ok(Parsed {
                charge_id,
                claimed_status: Some(ClaimedStatus::Failure),
                source: Source::Callback,
                record_key: Some(key),
            })
        );
    }

    #[test]
    fn a_person_needs_the_charge_only() {
        for input in [
            json!({"chargeId": "chrg_1"}),
            json!({"objectId": "chrg_1"}),
            json!({"id": "chrg_1"}),
        ] {
            let parsed = parsed(input).unwrap();
            assert_eq!(parsed.source, Source::Operator);
            assert_eq!(parsed.claimed_status, None);
        }
    }

    #[test]
    fn input_that_cannot_be_used_is_an_invalid_callback_that_names_the_field() {
        for (input, field) in [
            (json!({}), "chargeId"),
            (json!({"chargeId": ""}), "chargeId"),
            (json!({"chargeId": "a b"}), "chargeId"),
            (json!({"chargeId": "c", "status": "maybe"}), "status"),
            (json!({"chargeId": "c", "source": "callback"}), "status"),
            (json!({"chargeId": "c", "source": "stranger"}), "source"),
        ] {
            let error = parsed(input).unwrap_err();
            assert_eq!(error.0.field, field);
            assert_eq!(error.name(), "InvalidCallback");
        }
    }
}
