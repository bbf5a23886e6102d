//! `RecordOutcome`: writes the bank's decision down, in one transaction and in one direction.

use serde::{Deserialize, Serialize};

use crate::domain::charge::{Outcome, TransactionState};
use crate::domain::decision::Asked;
use crate::domain::payment::{Origin, Payment, Purpose};
use crate::failure::failure;
use crate::tables::check_status::CheckStatus;
use crate::tables::outcomes::Outcomes;
use crate::tables::records::Records;
use crate::tables::sources::Sources;
use crate::tables::{NotWritten, TableError, transact_shown};

/// What to record.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    /// The payment.
    pub payment: Payment,
    /// The bank's decision.
    pub outcome: Outcome,
    /// The bank's own word for the charge's state.
    pub transaction_state: String,
    /// When the bank decided so.
    #[serde(flatten)]
    pub asked: Asked,
}

/// What was recorded.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Recorded {
    /// The decision that the payment goes on with: `paid` for good once its order is paid.
    pub outcome: Outcome,
}

/// Why the decision was not recorded.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The decision is too old to go by, or the bank has signed another one since: the bank is asked again first.
    #[error(
        "the bank's decision is over an hour old, or it has signed another one since: the next attempt asks again"
    )]
    StaleDecision,
    /// The record says something that this decision cannot follow. For a person to look at.
    #[error(
        "the record cannot become `{0}`: it says otherwise already; compare it with the bank's portal before anything else"
    )]
    OutcomeConflict(Outcome),
    /// The record came from master's table, and another stack has claimed it there first.
    #[error(
        "another stack handles this payment: see `handledBy` in the record that this one was copied from"
    )]
    HandledElsewhere,
    /// Another transaction was at the same record: the next try may succeed.
    #[error("another transaction was at the same record")]
    TransactionConflict,
    /// A table could not be used.
    #[error(transparent)]
    Table(#[from] TableError),
}

failure!(RecordError {
    StaleDecision: Definite,
    OutcomeConflict: Definite,
    HandledElsewhere: Definite,
    TransactionConflict: Transient,
} or Table(TableError));

/// The tables that a decision is written to.
pub struct Tables {
    /// The payment's record, and where it came from.
    pub sources: Sources,
    /// The log of decisions.
    pub outcomes: Outcomes,
    /// What apps show.
    pub check_status: CheckStatus,
}

/// The position of the record's update in the transaction.
const RECORD: usize = 0;
/// The position of the source's update in the transaction, where there is one.
const SOURCE: usize = 2;

/// Writes the decision. Repeated, it changes nothing.
///
/// # Errors
/// [`RecordError`].
pub async fn record(tables: &Tables, input: &Input) -> Result<Recorded, RecordError> {
    let Input {
        payment,
        outcome,
        transaction_state,
        asked,
    } = input;
    if asked.is_stale(tables.sources.own().clock().seconds()) {
        return Err(RecordError::StaleDecision);
    }
    let records = tables.sources.own();
    let state = TransactionState::parse(transaction_state);
    let mut items = vec![
        records.outcome_update(payment, *outcome, &state, *asked),
        tables.outcomes.row(payment, *outcome, transaction_state),
    ];
    if payment.origin != Origin::Own {
        let key = &payment.record_key;
        items.extend(tables.sources.source_update(key, *outcome).await?);
    }
    let has_source = items.len() > SOURCE;
    // `paid` is shown only together with the order; until then the app sees `pending`. A verification has no order.
    let shown = match outcome {
        _ if payment.purpose != Purpose::Order => None,
        Outcome::Paid => None,
        Outcome::Declined => Some(tables.check_status.declined(payment)),
        Outcome::Returned => Some(tables.check_status.reversed(payment)),
    };
    match transact_shown(records.client(), "record the outcome", items, shown).await {
        Ok(()) => {
            tracing::info!(event = "outcome", %outcome, "the outcome is recorded");
            Ok(Recorded { outcome: *outcome })
        }
        Err(NotWritten::Refused(refused))
            if has_source && refused.contains(&SOURCE) && !refused.contains(&RECORD) =>
        {
            records.close_handled_elsewhere(&payment.record_key).await?;
            Err(RecordError::HandledElsewhere)
        }
        // Closed between the execution's look-up and now: opened first, and written at the next try.
        Err(NotWritten::Refused(_))
            if *outcome == Outcome::Paid && records.open_for_payment(payment).await? =>
        {
            Err(RecordError::TransactionConflict)
        }
        Err(NotWritten::Refused(_)) if stays_paid(records, payment, *outcome, &state).await? => {
            Ok(Recorded {
                outcome: Outcome::Paid,
            })
        }
        Err(NotWritten::Refused(_)) if is_overtaken(records, input).await? => {
            Err(RecordError::StaleDecision)
        }
        Err(NotWritten::Refused(_)) => Err(RecordError::OutcomeConflict(*outcome)),
        Err(NotWritten::Conflict) => Err(RecordError::TransactionConflict),
        Err(NotWritten::Unavailable(error)) => Err(error.into()),
    }
}

/// Whether the bank has signed that the charge is authorised since it was asked, and the decision is a decline: it may
/// approve just after it has declined.
async fn is_overtaken(records: &Records, input: &Input) -> Result<bool, TableError> {
    if input.outcome != Outcome::Declined {
        return Ok(false);
    }
    let record = records.get(&input.payment.record_key).await?;
    let signed_at = record.and_then(|record| record.paid_notified_at);
    Ok(signed_at.is_some_and(|signed_at| signed_at >= input.asked.overtaken_from()))
}

/// Whether the order is paid by this payment's charge: then the payment goes on as paid, whatever the bank says now. What
/// went back since is a refund's affair. Where no refund explains it, a person is told.
async fn stays_paid(
    records: &Records,
    payment: &Payment,
    outcome: Outcome,
    state: &TransactionState,
) -> Result<bool, TableError> {
    let read = records.get_with_ledger(&payment.record_key).await?;
    let paid = read.filter(|(record, _)| record.has_paid_by(&payment.charge_id));
    let Some((record, ledger)) = paid else {
        return Ok(false);
    };
    if outcome != Outcome::Returned || !ledger.explains(state, record.amount) {
        tracing::error!(
            error = "OutcomeConflict",
            %outcome,
            state = state.as_str(),
            "the order is paid by this charge, and no refund explains what the bank says now"
        );
    }
    Ok(true)
}
