//! What a record knows of browsers that came back, so that returns start few executions and seldom have the bank asked.

use aws_sdk_dynamodb::types::AttributeValue;

use super::super::TableError;
use super::super::item::{Item, n, s};
use super::look::SOON;
use super::{FIRST_LOOK_AFTER, Record, Records};

/// How many executions browsers' returns start within [`RETURN_STARTS_WITHIN`], beside the first one of the charge.
const RETURN_STARTS: usize = 2;
/// The time in which those are counted, in seconds.
const RETURN_STARTS_WITHIN: i64 = 10 * 60;
/// How often returns of one charge have the bank asked beyond that, in seconds.
const RETURN_ASKS_EVERY: i64 = 10;

impl Record {
    /// Whether a browser's return may start another execution at `now`: returns start few of them in any ten minutes.
    #[must_use]
    pub fn return_may_start(&self, now: i64) -> bool {
        self.recent_return_starts(now).count() < RETURN_STARTS
    }

    /// Whether a browser's return may have the bank asked at `now`.
    #[must_use]
    pub fn return_may_ask(&self, now: i64) -> bool {
        self.return_asked_at
            .is_none_or(|asked| asked <= now - RETURN_ASKS_EVERY)
    }

    fn recent_return_starts(&self, now: i64) -> impl Iterator<Item = i64> {
        let started = self.return_starts.iter().copied();
        started.filter(move |at| *at > now - RETURN_STARTS_WITHIN)
    }
}

pub(super) fn return_starts(item: &Item) -> Vec<i64> {
    let stored = item.get("returnStarts").and_then(|list| list.as_l().ok());
    let times = stored.into_iter().flatten();
    times
        .filter_map(|time| time.as_n().ok()?.parse().ok())
        .collect()
}

impl Records {
    /// Counts a browser's return that starts the execution of the attempt that was read, and sees to the next look as
    /// [`Records::look_after_a_start`]. `false` when the record is not what was read: another return may have been
    /// counted.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn count_return_start(&self, record: &Record, now: i64) -> Result<bool, TableError> {
        let counted = record.recent_return_starts(now).chain([now]);
        let counted = AttributeValue::L(counted.map(n).collect());
        let read: Vec<_> = record.return_starts.iter().map(n).collect();
        let (as_read, read) = if read.is_empty() {
            ("attribute_not_exists(returnStarts)", None)
        } else {
            ("returnStarts = :read", Some(AttributeValue::L(read)))
        };
        let (and_set, latest) = if record.looks_in_time(now) {
            ("", None)
        } else {
            let latest = now + FIRST_LOOK_AFTER;
            (", lookAgainAt = :latest", Some(n(latest)))
        };
        self.update_if(
            "count the return in the payment record",
            &record.key,
            &format!("SET returnStarts = :counted{and_set}"),
            &format!(
                "attribute_exists(openShard) AND outcome = :pending AND attempt = :attempt AND {as_read} \
                 AND lookAgainAt = :look"
            ),
            [
                (":counted", Some(counted)),
                (":read", read),
                (":latest", latest),
                (":look", Some(n(record.look_again_at))),
                (":attempt", Some(n(record.attempt))),
                (":pending", Some(s("pending"))),
            ],
        )
        .await
    }

    /// Takes the turn of a browser's return to have the bank asked: `false` when another one has had it within the last
    /// seconds. An open record is looked at soon, in the same write, whatever becomes of whoever asks.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn take_return_ask(&self, record: &Record, now: i64) -> Result<bool, TableError> {
        let (and_set, and_late, late) = if !record.is_closed() && record.look_again_at > now + SOON
        {
            (
                ", lookAgainAt = :now",
                " AND attribute_exists(openShard) AND lookAgainAt > :late",
                Some(n(now + SOON)),
            )
        } else {
            ("", "", None)
        };
        self.update_if(
            "note in the payment record that a return has the bank asked",
            &record.key,
            &format!("SET returnAskedAt = :now{and_set}"),
            &format!(
                "attribute_exists(chargeId) AND (attribute_not_exists(returnAskedAt) OR returnAskedAt <= :before){and_late}"
            ),
            [
                (":now", Some(n(now))),
                (":before", Some(n(now - RETURN_ASKS_EVERY))),
                (":late", late),
            ],
        )
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000;

    #[test]
    fn returns_have_the_bank_asked_once_in_ten_seconds() {
        let may_ask =
            |ago: i64| Record::sample(&[("returnAskedAt", n(NOW - ago))]).return_may_ask(NOW);
        assert!(Record::sample(&[]).return_may_ask(NOW));
        assert_eq!([-1, 0, 9, 10].map(may_ask), [false, false, false, true]);
    }
}
