//! `ParseCallback`: the execution's input becomes a charge to look at. Nothing it says about money is believed.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::domain::browser_return::ReportedStatus;
use crate::domain::fields::FieldError;
use crate::domain::ids::{ChargeId, MAX_ID_LENGTH, RecordKey};
use crate::executions::Source;
use crate::failure::{Failure, Name, Treatment};

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
    /// What the caller says of it; shown in the console, never decided by.
    #[serde(rename = "claimedStatus")]
    pub reported_status: Option<ReportedStatus>,
    /// Who started the execution.
    pub source: Source,
    /// Where the caller found the record, if it did.
    pub record_key: Option<RecordKey>,
}

/// The input names no charge, or two.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}; start the execution with {{\"chargeId\": \"chrg_…\"}}")]
pub struct InvalidCallback(#[from] FieldError);

impl Failure for InvalidCallback {
    const NAMES: &'static [Name] = &[("InvalidCallback", Treatment::Definite)];

    fn name(&self) -> &'static str {
        "InvalidCallback"
    }
}

/// Reads the execution's input: what the callback and checkout functions write, or what a person types, who may use the
/// bank's field names (`objectId`, `id`) and leave everything else out. The charge's id decides; what cannot be read of
/// the rest is dropped.
///
/// # Errors
/// [`InvalidCallback`].
pub fn parse(input: &Map<String, Value>) -> Result<Parsed, InvalidCallback> {
    let mut ids = ["chargeId", "objectId", "id"]
        .iter()
        .filter_map(|name| text(input, name));
    let id = ids.next().ok_or_else(|| FieldError::missing("chargeId"))?;
    if ids.any(|other| other != id) {
        return Err(FieldError::invalid("chargeId", "names two different charges").into());
    }
    let charge_id =
        ChargeId::new(id).map_err(|error| FieldError::invalid("chargeId", error.to_string()))?;
    let source = input
        .get("source")
        .and_then(|source| Source::deserialize(source).ok());
    Ok(Parsed {
        charge_id,
        reported_status: text(input, "status").map(|word| ReportedStatus::parse(&word)),
        source: source.unwrap_or(Source::Operator),
        record_key: text(input, "recordKey")
            .filter(|key| key.len() <= MAX_ID_LENGTH)
            .map(RecordKey::stored),
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
            status: Some(ReportedStatus::Failure),
            record_key: Some(&key),
            request_id: Some("r-1"),
        })
        .unwrap();
        assert_eq!(
            parsed(input),
            Ok(Parsed {
                charge_id,
                reported_status: Some(ReportedStatus::Failure),
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
            assert_eq!(parsed.reported_status, None);
        }
    }

    #[test]
    fn no_hint_stops_an_execution() {
        for hint in [
            json!({"status": "maybe"}),
            json!({"status": {}, "recordKey": 7}),
            json!({"source": "callback"}),
            json!({"source": "stranger"}),
            json!({"source": [1]}),
        ] {
            let mut input = hint.as_object().unwrap().clone();
            input.insert("chargeId".into(), json!("chrg_1"));
            assert_eq!(
                parse(&input).unwrap().charge_id.as_str(),
                "chrg_1",
                "{hint}"
            );
        }
    }

    #[test]
    fn input_without_one_charge_is_an_invalid_callback_that_names_the_field() {
        for input in [
            json!({}),
            json!({"chargeId": ""}),
            json!({"chargeId": "a b"}),
            json!({"chargeId": ["chrg_1"]}),
            json!({"chargeId": "chrg_1", "objectId": "chrg_2"}),
        ] {
            let error = parsed(input).unwrap_err();
            assert_eq!(error.0.field, "chargeId");
            assert_eq!(error.name(), "InvalidCallback");
        }
    }
}
