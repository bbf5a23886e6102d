//! `RecordRefund`: the ledger, the order and the check status say that the bank has accepted the refund.

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::domain::charge::TransactionState;
use crate::domain::money::Satang;
use crate::domain::payment::Payment;
use crate::domain::refund::{EntryState, Refund, Way};
use crate::failure::failure;
use crate::tables::TableError;
use crate::tables::refunds::{NotTold, RefundTables, Told};

/// Which refund was accepted.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    /// The payment of which money goes back.
    pub payment: Payment,
    /// The refund.
    pub refund: Refund,
    /// The bank's id of the refund, where its answer held one.
    #[serde(default)]
    pub bank_refund_id: Option<String>,
    /// The bank's word before it was asked, or the one that shows the refund.
    #[serde(default)]
    pub transaction_state: String,
}

/// What was recorded.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Recorded {
    /// When, in RFC 3339: the same at every repeat.
    pub recorded_at: String,
    /// What can still be given back, in satang.
    pub left_satang: i64,
}

/// Why nothing was recorded.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The entry was given up, or is gone. For a person to look at.
    #[error(
        "the bank has accepted this refund, and the ledger has given it up: compare it with the bank's portal"
    )]
    RefundConflict,
    /// Others kept changing the same items: the next try may succeed.
    #[error("the ledger or the order was being changed by another transaction")]
    TransactionConflict,
    /// A table could not be used.
    #[error(transparent)]
    Table(#[from] TableError),
}

failure!(RecordError {
    RefundConflict: Definite,
    TransactionConflict: Transient,
} or Table(TableError));

/// How often the ledger is read again that others keep changing.
const TRIES: usize = 4;

/// Records the refund. Repeated, it changes nothing. Whoever comes here has the bank's yes, or its word that all of the
/// charge was voided: that counts more than what another execution wrote into the entry meanwhile.
///
/// # Errors
/// [`RecordError`].
pub async fn record(tables: &RefundTables, input: &Input) -> Result<Recorded, RecordError> {
    let payment = &input.payment;
    let (records, id) = (&tables.records, &input.refund.refund_id);
    for _ in 0..TRIES {
        let read = records.get_with_ledger(&payment.record_key).await?;
        let (_, ledger) = read.ok_or(RecordError::RefundConflict)?;
        let entry = ledger.entries.get(id).ok_or(RecordError::RefundConflict)?;
        let left_satang = ledger.left_of(payment.amount_satang).satang();
        if let Some(recorded_at) = entry.recorded_at.clone() {
            return Ok(Recorded {
                recorded_at,
                left_satang,
            });
        }
        // Its amount is free again, and may have been given back under another id.
        if entry.state == EntryState::Failed {
            return Err(RecordError::RefundConflict);
        }
        let way =
            entry
                .way
                .unwrap_or_else(|| match TransactionState::parse(&input.transaction_state) {
                    TransactionState::Authorized | TransactionState::Voided => Way::Voided,
                    _ => Way::Refunded,
                });
        let sent = Satang::new(ledger.sent + entry.amount.satang())
            .map_err(|_| RecordError::RefundConflict)?;
        let recorded_at = records.clock().text();
        let bank_refund_id = input.bank_refund_id.as_deref();
        let update = records.refund_recorded(
            payment,
            id,
            (entry, &ledger),
            way,
            bank_refund_id,
            &recorded_at,
        );
        let told = Told {
            entry: &json!({
                "event": "refunded",
                "refundId": id,
                "chargeId": payment.charge_id,
                "amount": entry.amount.to_string(),
                "at": recorded_at,
            }),
            sent,
            elsewhere: ledger.elsewhere().is_some_and(|entry| entry.amount_unknown),
        };
        match tables
            .tell("record the refund", update, payment, &told)
            .await
        {
            Ok(()) => {
                tracing::info!(
                    event = "refund",
                    refundId = id.as_str(),
                    way = way.as_str(),
                    "the refund is recorded"
                );
                return Ok(Recorded {
                    recorded_at,
                    left_satang,
                });
            }
            Err(NotTold::LedgerChanged) => {}
            Err(NotTold::Conflict) => return Err(RecordError::TransactionConflict),
            Err(NotTold::Table(error)) => return Err(error.into()),
        }
    }
    Err(RecordError::TransactionConflict)
}
