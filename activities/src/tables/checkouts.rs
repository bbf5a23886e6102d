//! What a checkout writes: the payment's record, and in the order's row of check-status for which payment the bank is
//! being asked. Both are written together or not at all: a process that dies leaves neither alone.
//!
//! `askedFor` (the record's key), `askedAt` (seconds since 1970) and `askedAmountSatang` stand in the row from before
//! the bank is called until its answer is stored, or is known to be none. While they stand, no other card is charged
//! for the order. A card verification has no order, and asks for none.

use std::time::Duration;

use aws_sdk_dynamodb::types::TransactWriteItem;
use tokio::time::{Instant, sleep};

use super::check_status::{Asked, CheckStatus};
use super::records::{Record, Records};
use super::{NotWritten, TableError, transact};
use crate::domain::checkout::CheckoutForm;
use crate::domain::ids::{ChargeId, OrderId, OwnerId, RecordKey, ReferenceOrder};
use crate::domain::money::Satang;
use crate::domain::payment::Purpose;

/// How long a payment with an unknown result keeps other cards from the order, in seconds.
pub const ASKED_FOR_AT_MOST: i64 = 30 * 60;
/// The longest time that the bank's first answer takes, in seconds. A card that comes meanwhile may be tried again
/// after it.
pub const ANSWER_TAKES: i64 = 30;
/// The pause between two looks for that answer while a request waits for it.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How often a write is tried that meets another transaction, and the pause between two tries.
const TRIES: u32 = 5;
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(40);

/// The positions in the transactions.
const RECORD: usize = 0;
const ASKED: usize = 1;

/// Why a checkout was not begun.
#[derive(Debug, thiserror::Error)]
pub enum NotBegun {
    /// Another request with this token was first.
    #[error("a record for this token exists")]
    Exists,
    /// Another card of this order may have been charged: the bank's answer is not known.
    #[error("another payment of the order is being checked")]
    BeingChecked {
        /// In how many seconds it is worth another try.
        again_in: i64,
    },
    /// A table could not be used.
    #[error(transparent)]
    Table(#[from] TableError),
}

/// The two tables.
#[derive(Clone)]
pub struct Checkouts {
    /// The payments' records.
    pub records: Records,
    /// What apps show.
    pub check_status: CheckStatus,
}

impl Checkouts {
    /// Stores the record of a new payment before the bank is called, and that it is being asked for, with the key
    /// `bank_key`.
    ///
    /// # Errors
    /// [`NotBegun`].
    pub async fn begin(
        &self,
        form: &CheckoutForm,
        owner: &OwnerId,
        amount: Satang,
        reference: &ReferenceOrder,
        bank_key: &str,
    ) -> Result<(), NotBegun> {
        const OPERATION: &str = "store the payment record";
        let key = form.token.record_key();
        let order = asked_for(&form.order_id);
        let mut void = None;
        for _ in 0..TRIES {
            let now = self.records.clock().seconds();
            let mut items = vec![
                self.records
                    .created(form, owner, amount, reference, bank_key),
            ];
            if let Some(order) = order {
                let expired = now - ASKED_FOR_AT_MOST;
                let status = &self.check_status;
                items.push(status.asked(order, &key, amount, now, expired, void.as_ref()));
            }
            match patiently(self, OPERATION, items).await {
                Ok(()) => return Ok(()),
                Err(NotWritten::Refused(refused)) if refused.contains(&RECORD) => {
                    return Err(NotBegun::Exists);
                }
                Err(NotWritten::Refused(_)) => {
                    let row = self.check_status.row(&form.order_id).await?;
                    // Gone or over by now: once more.
                    let Some(asked) = row.asked.filter(|asked| now < asked.ends()) else {
                        continue;
                    };
                    if self.is_open_question(&asked).await? {
                        return Err(NotBegun::BeingChecked {
                            again_in: asked.again_in(now),
                        });
                    }
                    // Its owner did not come to remove it.
                    void = Some(asked);
                }
                Err(error) => return Err(unavailable(OPERATION, error).into()),
            }
        }
        Err(TableError::busy(OPERATION).into())
    }

    /// Waits until `until` for the bank's answer to another card of this order. Returns whether the order is free
    /// again. Another card may be first even then.
    pub async fn is_answered_by(&self, order: &OrderId, until: Instant) -> bool {
        while Instant::now() < until {
            sleep(LOOK_EVERY).await;
            let Ok(row) = self.check_status.row(order).await else {
                return false;
            };
            let now = self.records.clock().seconds();
            let Some(asked) = row.asked.filter(|asked| now < asked.ends()) else {
                return true;
            };
            if self.is_open_question(&asked).await == Ok(false) {
                return true;
            }
        }
        false
    }

    /// Whether the result of the payment that was asked for is still unknown.
    async fn is_open_question(&self, asked: &Asked) -> Result<bool, TableError> {
        let record = self.records.get(&asked.key).await?;
        Ok(record.is_some_and(|record| record.charge_id.is_none() && !record.is_closed()))
    }

    /// Stores the bank's answer to a checkout, and notes that the bank is no longer being asked. The first answer
    /// stands: `false` when another charge is stored already, or the record is closed.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn store_charge(
        &self,
        record: &Record,
        charge: &ChargeId,
        redirect_url: Option<&str>,
    ) -> Result<bool, TableError> {
        const OPERATION: &str = "store the charge in the payment record";
        let stored = self
            .records
            .charge_stored(&record.key, charge, redirect_url);
        let status = &self.check_status;
        // What apps see changes only where it may: another card's question stays, and a paid order stays paid.
        let shown = asked_for(&record.order_id).map_or_else(Vec::new, |order| {
            vec![
                status.answered(order, &record.key, charge, record.amount),
                status.pending(order, charge, record.amount),
                status.not_asked(order, &record.key),
            ]
        });
        self.write_with_one_of(OPERATION, stored, shown).await
    }

    /// Closes the record of a checkout without a charge, and notes that the bank is no longer being asked. `false` when
    /// it has a charge after all, or is another try's of the same form, with another reference.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn close(
        &self,
        key: &RecordKey,
        reference: &ReferenceOrder,
        order: &OrderId,
        closed_as: &str,
    ) -> Result<bool, TableError> {
        let closed = self
            .records
            .closed_without_charge(key, reference, closed_as);
        self.write_closed(closed, key, order).await
    }

    /// Closes the record of a checkout for which the bank knows no charge, as [`Checkouts::close`]. `false` also when
    /// somebody has named a charge for it since `record` was read.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn close_never_charged(
        &self,
        record: &Record,
        reference: &ReferenceOrder,
    ) -> Result<bool, TableError> {
        let closed = self.records.closed_as_never_charged(record, reference);
        self.write_closed(closed, &record.key, &record.order_id)
            .await
    }

    async fn write_closed(
        &self,
        closed: TransactWriteItem,
        key: &RecordKey,
        order: &OrderId,
    ) -> Result<bool, TableError> {
        const OPERATION: &str = "close the payment record";
        let shown = asked_for(order).map(|order| self.check_status.not_asked(order, key));
        self.write_with_one_of(OPERATION, closed, shown.into_iter().collect())
            .await
    }

    /// Writes the record's item together with the first of the others whose condition holds, or alone. The record does
    /// not depend on the row: a row that cannot be written now is judged by its record.
    async fn write_with_one_of(
        &self,
        operation: &'static str,
        needed: TransactWriteItem,
        shown: Vec<TransactWriteItem>,
    ) -> Result<bool, TableError> {
        for item in shown {
            match patiently(self, operation, vec![needed.clone(), item]).await {
                Ok(()) => return Ok(true),
                Err(NotWritten::Refused(refused)) if refused.contains(&RECORD) => {
                    return Ok(false);
                }
                Err(NotWritten::Refused(refused)) => debug_assert_eq!(refused, [ASKED]),
                Err(error) => {
                    let error = unavailable(operation, error);
                    tracing::warn!(reason = %error, "the check status was not written");
                    break;
                }
            }
        }
        match patiently(self, operation, vec![needed]).await {
            Ok(()) => Ok(true),
            Err(NotWritten::Refused(_)) => Ok(false),
            Err(error) => Err(unavailable(operation, error)),
        }
    }
}

/// The order whose row says that it is being asked for.
fn asked_for(order: &OrderId) -> Option<&OrderId> {
    (Purpose::of(order) == Purpose::Order).then_some(order)
}

impl Asked {
    /// When other cards are kept from the order no longer, in seconds since 1970.
    #[must_use]
    pub fn ends(&self) -> i64 {
        self.at + ASKED_FOR_AT_MOST
    }

    /// In how many seconds another card is worth another try: soon, while the first answer may still come.
    fn again_in(&self, now: i64) -> i64 {
        let answered = self.at + ANSWER_TAKES;
        let at = if now < answered {
            answered
        } else {
            self.ends()
        };
        (at - now).max(1)
    }
}

async fn patiently(
    checkouts: &Checkouts,
    operation: &'static str,
    items: Vec<TransactWriteItem>,
) -> Result<(), NotWritten> {
    let mut tries = 1;
    loop {
        match transact(checkouts.records.client(), operation, items.clone()).await {
            Err(NotWritten::Conflict) if tries < TRIES => {
                sleep(TRY_AGAIN_AFTER * tries).await;
                tries += 1;
            }
            written => return written,
        }
    }
}

fn unavailable(operation: &'static str, error: NotWritten) -> TableError {
    match error {
        NotWritten::Unavailable(error) => error,
        NotWritten::Conflict | NotWritten::Refused(_) => TableError::busy(operation),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_card_is_told_to_come_again_when_the_answer_must_be_there_or_the_wait_is_over() {
        let asked = Asked {
            key: RecordKey::stored("k".into()),
            at: 1_000_000,
            amount: Satang::new(150_000).unwrap(),
        };
        for (age, again_in) in [(0, 30), (29, 1), (30, 1770), (1799, 1), (2000, 1)] {
            assert_eq!(asked.again_in(asked.at + age), again_in, "{age}");
        }
    }
}
