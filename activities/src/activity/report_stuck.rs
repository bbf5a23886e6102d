//! `ReportStuck`: a refund that cannot go on by itself is told to a person.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::domain::refund::RefundId;
use crate::failure::{Failure, Name};

/// Which refund stands, and why.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    /// The refund; where it could not be checked, the execution's input.
    #[serde(default)]
    pub refund: Value,
    /// The name of the last error. Empty where nothing failed, and the bank's word fits no refund.
    #[serde(default)]
    pub problem: String,
    /// The bank's word; empty where it was not asked.
    #[serde(default)]
    pub transaction_state: String,
}

/// A person is told.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Reported {}

/// Nothing can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {}

impl Failure for ReportError {
    const NAMES: &'static [Name] = &[];

    fn name(&self) -> &'static str {
        match *self {}
    }
}

/// Writes the line that the alarm counts.
///
/// # Errors
/// None.
pub fn report(input: &Input) -> Result<Reported, ReportError> {
    // Of an input that was not checked, only what is an id goes to the log.
    let written = input.refund.get("refundId").and_then(Value::as_str);
    let id = written.and_then(|id| RefundId::try_from(id.to_owned()).ok());
    tracing::error!(
        error = "RefundStuck",
        refundId = id.as_ref().map(RefundId::as_str),
        because = input.problem,
        state = input.transaction_state,
        "a refund cannot go on by itself"
    );
    Ok(Reported {})
}
