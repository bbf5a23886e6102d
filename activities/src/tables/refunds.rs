//! What a refund changes besides the ledger: the order's payment, and what apps show. All of it is written together with
//! the ledger, or not at all. The ledger does not depend on them: an order that is gone, was edited or cannot be read,
//! and a check status that shows another charge, are left as they are.

use serde_json::Value;

use super::check_status::CheckStatus;
use super::orders::Orders;
use super::records::Records;
use super::{NotWritten, TableError, transact};
use crate::domain::money::Satang;
use crate::domain::payment::Payment;

use aws_sdk_dynamodb::types::TransactWriteItem;

/// The tables.
pub struct RefundTables {
    /// The payments' records, with their ledgers.
    pub records: Records,
    /// The shop's orders.
    pub orders: Orders,
    /// What apps show.
    pub check_status: CheckStatus,
}

/// What is told of the refunds of a payment.
#[derive(Debug)]
pub struct Told<'a> {
    /// The entry for the order's log.
    pub entry: &'a Value,
    /// How much went back in all, as far as it is known.
    pub sent: Satang,
    /// Whether a part of unknown amount did, too.
    pub elsewhere: bool,
}

/// Why a change of the ledger was not written.
#[derive(Debug)]
pub enum NotTold {
    /// The ledger is not as it was read: to be read again.
    LedgerChanged,
    /// Another transaction was at the same items, again and again: the next try may succeed.
    Conflict,
    /// A table could not be used.
    Table(TableError),
}

/// How often the order is read again that changed between reading and writing.
const READS: usize = 4;
/// The positions in the transaction.
const LEDGER: usize = 0;
const STATUS: usize = 1;

impl RefundTables {
    /// Writes a change of the ledger, and tells the order and the check status of it.
    ///
    /// # Errors
    /// [`NotTold`].
    pub async fn tell(
        &self,
        operation: &'static str,
        ledger: TransactWriteItem,
        payment: &Payment,
        told: &Told<'_>,
    ) -> Result<(), NotTold> {
        let mut shows_charge = true;
        for _ in 0..READS {
            let mut items = vec![ledger.clone()];
            if shows_charge {
                let (sent, elsewhere) = (told.sent, told.elsewhere);
                items.push(self.check_status.refunded(payment, sent, elsewhere));
            }
            items.extend(self.order(payment, told).await.map_err(NotTold::Table)?);
            match transact(self.records.client(), operation, items).await {
                Ok(()) => return Ok(()),
                Err(NotWritten::Refused(refused)) if refused.contains(&LEDGER) => {
                    return Err(NotTold::LedgerChanged);
                }
                // Otherwise the order changed: it is read again.
                Err(NotWritten::Refused(refused)) => {
                    shows_charge = shows_charge && !refused.contains(&STATUS);
                }
                Err(NotWritten::Conflict) => return Err(NotTold::Conflict),
                Err(NotWritten::Unavailable(error)) => return Err(NotTold::Table(error)),
            }
        }
        Err(NotTold::Conflict)
    }

    /// The order's part, if this payment's charge has paid it and it can be read.
    async fn order(
        &self,
        payment: &Payment,
        told: &Told<'_>,
    ) -> Result<Option<TransactWriteItem>, TableError> {
        let stored = match self.orders.get(&payment.order_id).await {
            Ok(stored) => stored,
            Err(error @ TableError::Unreadable { .. }) => {
                tracing::warn!(reason = %error, "the order cannot be told of the refund");
                None
            }
            Err(error) => return Err(error),
        };
        let Some(stored) = stored.filter(|stored| stored.order.is_paid_by(&payment.charge_id))
        else {
            return Ok(None);
        };
        let status = if told.sent >= payment.amount_satang {
            Some("refunded")
        } else if told.sent > Satang::ZERO {
            Some("partially refunded")
        } else {
            None
        };
        let refunded = stored.payment_with_refund(told.entry, status);
        Ok(Some(self.orders.refunded(&stored, refunded)))
    }
}
