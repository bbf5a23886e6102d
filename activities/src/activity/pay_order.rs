//! `PayOrder`: the order is paid by this charge, or it says for good why it cannot be.

use serde::{Deserialize, Serialize};

use crate::domain::decision::Asked;
use crate::domain::order::Unpayable;
use crate::domain::payment::{Origin, Payment};
use crate::failure::failure;
use crate::tables::check_status::CheckStatus;
use crate::tables::orders::Orders;
use crate::tables::records::{Records, Resolution};
use crate::tables::{NotWritten, TableError, transact};

/// Which payment pays.
#[derive(Debug, Deserialize)]
pub struct Input {
    /// The payment; the bank has authorised it.
    pub payment: Payment,
    /// When the bank said so.
    #[serde(flatten)]
    pub asked: Asked,
}

/// The order is paid.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PaidOrder {
    /// Which order.
    pub order_id: String,
    /// By which charge: always this payment's own.
    pub paid_by: String,
}

/// Why the order is not paid.
#[derive(Debug, thiserror::Error)]
pub enum PayError {
    /// The bank's yes is too old to pay on: it is asked again first.
    #[error("the bank's decision is over an hour old: the next attempt asks again")]
    StaleDecision,
    /// The order is gone.
    #[error("the order does not exist any more")]
    OrderNotFound,
    /// The order is a draft again, or the shop has cancelled it.
    #[error("the order cannot be paid: it is a draft, or cancelled")]
    OrderNotPayable,
    /// Another charge or another means of payment was first.
    #[error("the order is paid already, not by this charge")]
    OrderAlreadyPaid,
    /// The order does not cost what was charged.
    #[error("the order's total is not the charged amount any more")]
    AmountMismatch,
    /// The money is on its way back, or went back already: the reversal is to be finished.
    #[error("the charge is being reversed: it cannot pay any more")]
    ChargeReversing,
    /// The order refuses for good, and the record is not this stack's own or is the former system's: what this system
    /// does not know of such a payment is for a person to find out before money moves.
    #[error(
        "{0}; the record was not made by this stack's checkout, so that nothing is reversed: decide by hand"
    )]
    RefusalNeedsPerson(String),
    /// The record forbids paying: the bank's decision there is not `paid`.
    #[error("the payment record does not allow paying: look at its `outcome` and `resolution`")]
    OutcomeConflict,
    /// The order changed again and again while it was being paid: the next try may succeed.
    #[error("the order or the record was being changed by another transaction")]
    TransactionConflict,
    /// A table could not be used.
    #[error(transparent)]
    Table(#[from] TableError),
}

failure!(PayError {
    StaleDecision: Definite,
    OrderNotFound: Definite,
    OrderNotPayable: Definite,
    OrderAlreadyPaid: Definite,
    AmountMismatch: Definite,
    ChargeReversing: Definite,
    RefusalNeedsPerson: Definite,
    OutcomeConflict: Definite,
    TransactionConflict: Transient,
} or Table(TableError));

impl From<Unpayable> for PayError {
    fn from(reason: Unpayable) -> Self {
        match reason {
            Unpayable::Draft | Unpayable::Cancelled => Self::OrderNotPayable,
            Unpayable::AlreadyPaid => Self::OrderAlreadyPaid,
            Unpayable::OtherAmount => Self::AmountMismatch,
        }
    }
}

/// The tables that paying writes to.
pub struct Tables {
    /// The shop's orders.
    pub orders: Orders,
    /// The payment's record.
    pub records: Records,
    /// What apps show.
    pub check_status: CheckStatus,
}

/// How often the order is read again when it changed between reading and writing.
const READS: usize = 4;
/// The position of the record's update in the transaction.
const RECORD: usize = 1;

/// Pays the order: order, record and check status in one transaction. Repeated, it changes nothing.
///
/// # Errors
/// [`PayError`].
pub async fn pay(tables: &Tables, input: &Input) -> Result<PaidOrder, PayError> {
    if input.asked.is_stale(tables.records.clock().seconds()) {
        return Err(PayError::StaleDecision);
    }
    let payment = &input.payment;
    match attempt(tables, payment).await {
        Err(
            refusal @ (PayError::OrderNotFound
            | PayError::OrderNotPayable
            | PayError::OrderAlreadyPaid
            | PayError::AmountMismatch),
        ) => refused(tables, payment, refusal).await,
        paid => paid,
    }
}

/// The order refuses. If this charge has paid it before, that stays, whatever the shop did with the order since.
async fn refused(
    tables: &Tables,
    payment: &Payment,
    refusal: PayError,
) -> Result<PaidOrder, PayError> {
    let record = tables.records.get(&payment.record_key).await?;
    if record.is_some_and(|record| record.has_paid_by(&payment.charge_id)) {
        return Ok(paid(payment));
    }
    if payment.origin != Origin::Own {
        return Err(PayError::RefusalNeedsPerson(refusal.to_string()));
    }
    Err(refusal)
}

fn paid(payment: &Payment) -> PaidOrder {
    PaidOrder {
        order_id: payment.order_id.to_string(),
        paid_by: payment.charge_id.to_string(),
    }
}

async fn attempt(tables: &Tables, payment: &Payment) -> Result<PaidOrder, PayError> {
    for _ in 0..READS {
        let stored = tables
            .orders
            .get(&payment.order_id)
            .await?
            .ok_or(PayError::OrderNotFound)?;
        stored
            .order
            .check_payable_by(&payment.charge_id, payment.amount_satang)?;
        let items = vec![
            tables.orders.paid_by(
                &stored,
                &payment.charge_id,
                payment.amount_satang,
                tables.records.clock().now(),
            ),
            tables.records.order_paid_update(payment),
            tables.check_status.paid(payment),
        ];
        match transact(tables.records.client(), "pay the order", items).await {
            Ok(()) => {
                tracing::info!(event = "orderPaid", "the order is paid");
                return Ok(paid(payment));
            }
            Err(NotWritten::Refused(refused)) if refused.contains(&RECORD) => {
                return forbidden(tables, payment).await;
            }
            // The order is not the one that was read: look at what it is now.
            Err(NotWritten::Refused(_)) => {}
            Err(NotWritten::Conflict) => return Err(PayError::TransactionConflict),
            Err(NotWritten::Unavailable(error)) => return Err(error.into()),
        }
    }
    Err(PayError::TransactionConflict)
}

/// Why the record forbids paying. What has paid its order stays so: money that went back since pays nothing again, even
/// if the shop opens the order again.
async fn forbidden(tables: &Tables, payment: &Payment) -> Result<PaidOrder, PayError> {
    let read = tables.records.get(&payment.record_key).await?;
    let own = read.filter(|record| record.charge_id.as_ref() == Some(&payment.charge_id));
    match own.and_then(|record| record.resolution) {
        Some(Resolution::OrderPaid) => Ok(paid(payment)),
        Some(Resolution::Reversing | Resolution::Reversed) => Err(PayError::ChargeReversing),
        None => Err(PayError::OutcomeConflict),
    }
}
