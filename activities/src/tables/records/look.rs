//! When reconciliation looks at a record next, set by whoever starts an execution of it or sees that there is something
//! to do.

use super::super::TableError;
use super::super::item::{n, s};
use super::{Record, Records};

/// When reconciliation first looks at a payment that nobody called back for, in seconds after checkout. No open payment
/// is looked at later than this after an execution of it was started.
pub const FIRST_LOOK_AFTER: i64 = 5 * 60;
/// A look that is due within so many seconds is soon enough.
pub(super) const SOON: i64 = 15;

impl Record {
    /// Whether the next look comes after `now`, and in time for an execution that is started then.
    pub(super) fn looks_in_time(&self, now: i64) -> bool {
        (now + 1..=now + FIRST_LOOK_AFTER).contains(&self.look_again_at)
    }
}

impl Records {
    /// Before an execution of an open record is started: the next look is in five minutes at most, so that an execution
    /// that fails is found. Writes only where a later one stands, since whoever calls this may start nothing: no look
    /// is put off. Returns whether it wrote.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn look_before_a_start(&self, record: &Record, now: i64) -> Result<bool, TableError> {
        let latest = now + FIRST_LOOK_AFTER;
        if record.look_again_at <= latest {
            return Ok(false);
        }
        self.update_if(
            "have the payment record looked at earlier",
            &record.key,
            "SET lookAgainAt = :latest",
            "attribute_exists(openShard) AND lookAgainAt > :latest",
            [(":latest", Some(n(latest)))],
        )
        .await
    }

    /// Once an execution of an open record was started: the next look is in five minutes at most. One that is due
    /// already is set, too, and not left: a reconciliation that has just read the record, and asked the bank before
    /// this start, would put the record off for up to a day. Its write loses then. Whether it wrote: not where another
    /// attempt was counted, or somebody else has set another look that comes in time.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn look_after_a_start(&self, record: &Record, now: i64) -> Result<bool, TableError> {
        let latest = now + FIRST_LOOK_AFTER;
        if record.looks_in_time(now) {
            return Ok(false);
        }
        self.update_if(
            "have the payment record looked at after a start",
            &record.key,
            "SET lookAgainAt = :latest",
            "attribute_exists(openShard) AND attempt = :attempt AND (lookAgainAt = :read OR lookAgainAt > :latest)",
            [
                (":latest", Some(n(latest))),
                (":attempt", Some(n(record.attempt))),
                (":read", Some(n(record.look_again_at))),
            ],
        )
        .await
    }

    /// Has reconciliation look at an open, pending record soon. Writes only where no look is due soon anyway.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn look_soon(&self, record: &Record, now: i64) -> Result<bool, TableError> {
        if record.look_again_at <= now + SOON {
            return Ok(false);
        }
        self.update_if(
            "have the payment record looked at soon",
            &record.key,
            "SET lookAgainAt = :now",
            "attribute_exists(openShard) AND outcome = :pending AND lookAgainAt > :late",
            [
                (":now", Some(n(now))),
                (":late", Some(n(now + SOON))),
                (":pending", Some(s("pending"))),
            ],
        )
        .await
    }
}
