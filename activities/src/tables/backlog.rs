//! What is open, and since when it waits for this system.

use std::time::{Duration, Instant};

use super::TableError;
use super::item::{Item, integer, n, string};
use super::records::{OPEN_INDEX, Records};
use crate::clock;
use crate::domain::ids::OPEN_SHARDS;

/// How long counting may take; with more open records than that, the rest is left out.
const FOR_AT_MOST: Duration = Duration::from_secs(15);
/// How long a reversal may wait for the bank: between authorisation and the night's settlement it allows none.
const REVERSAL_MAY_TAKE: i64 = 24 * 60 * 60;
/// What [`waiting_since`] reads.
const ATTRIBUTES: &str =
    "outcome, resolution, decidedAt, paidNotifiedAt, reversingSince, lookAgainAt, openSince";

/// All open records, counted.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Backlog {
    /// How many there are: every checkout of which nobody knows yet how it ends.
    pub open: u64,
    /// Seconds that one of them has waited for this system, the longest; 0 when none waits.
    pub oldest_seconds: i64,
    /// Whether all were counted in the time there is.
    pub complete: bool,
}

impl Records {
    /// Counts the open records, and finds the one that has waited the longest.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn backlog(&self, now: i64) -> Result<Backlog, TableError> {
        let begun = Instant::now();
        let mut backlog = Backlog {
            complete: true,
            ..Backlog::default()
        };
        for shard in 0..OPEN_SHARDS {
            let mut page = None;
            loop {
                if begun.elapsed() > FOR_AT_MOST {
                    backlog.complete = false;
                    return Ok(backlog);
                }
                let output = self
                    .client()
                    .query()
                    .table_name(self.table())
                    .index_name(OPEN_INDEX)
                    .key_condition_expression("openShard = :shard")
                    .expression_attribute_values(":shard", n(shard))
                    .projection_expression(ATTRIBUTES)
                    .set_exclusive_start_key(page)
                    .send()
                    .await
                    .map_err(TableError::unavailable("count the open payment records"))?;
                for item in output.items() {
                    backlog.open += 1;
                    let waits = waiting_since(item, now).map_or(0, |since| now - since);
                    backlog.oldest_seconds = backlog.oldest_seconds.max(waits);
                }
                match output.last_evaluated_key {
                    Some(next) => page = Some(next),
                    None => break,
                }
            }
        }
        Ok(backlog)
    }
}

/// Since when a record waits for this system, in seconds since 1970. `None` while it is somebody else's turn: a shopper who
/// walked away from 3-D Secure is looked for less and less often for a week, and nobody needs to be called for that.
fn waiting_since(item: &Item, now: i64) -> Option<i64> {
    if string(item, "resolution") == Some("reversing") {
        let allowed_until = seconds(item, "reversingSince")? + REVERSAL_MAY_TAKE;
        return (allowed_until < now).then_some(allowed_until);
    }
    // The bank has decided, or has signed that it did: from then on the rest is ours to do.
    if string(item, "outcome").is_some_and(|outcome| outcome != "pending") {
        return seconds(item, "decidedAt").or_else(|| seconds(item, "openSince"));
    }
    if let Some(notified) = integer(item, "paidNotifiedAt") {
        return Some(notified);
    }
    // Due, and nobody came.
    integer(item, "lookAgainAt").filter(|due| *due < now)
}

fn seconds(item: &Item, name: &str) -> Option<i64> {
    clock::seconds_of(string(item, name)?)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::super::item::s;
    use super::*;

    const NOW: i64 = 1_800_000_000;
    const HOUR: i64 = 3600;

    fn at(seconds: i64) -> aws_sdk_dynamodb::types::AttributeValue {
        s(Timestamp::from_second(seconds).unwrap().to_string())
    }

    fn waits(attributes: &[(&str, aws_sdk_dynamodb::types::AttributeValue)]) -> Option<i64> {
        let item: Item = attributes
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect();
        waiting_since(&item, NOW).map(|since| NOW - since)
    }

    #[test]
    fn a_shopper_who_walked_away_makes_nobody_wait() {
        let week_old = ("openSince", at(NOW - 6 * 24 * HOUR));
        let later = ("lookAgainAt", n(NOW + 20 * HOUR));
        assert_eq!(waits(&[("outcome", s("pending")), week_old, later]), None);
    }

    #[test]
    fn what_is_due_waits_since_it_was_due() {
        let open = ("openSince", at(NOW - 50 * HOUR));
        let due = ("lookAgainAt", n(NOW - HOUR));
        assert_eq!(
            waits(&[("outcome", s("pending")), open.clone(), due.clone()]),
            Some(HOUR)
        );
        // A checkout that died before the bank answered has no outcome yet.
        assert_eq!(waits(&[open, due]), Some(HOUR));
    }

    #[test]
    fn what_the_bank_decided_waits_since_then_however_often_it_was_put_off() {
        let decided = ("decidedAt", at(NOW - 2 * HOUR));
        let later = ("lookAgainAt", n(NOW + HOUR));
        for outcome in ["paid", "declined", "returned"] {
            let attributes = [("outcome", s(outcome)), decided.clone(), later.clone()];
            assert_eq!(waits(&attributes), Some(2 * HOUR), "{outcome}");
        }
        let open = ("openSince", at(NOW - 3 * HOUR));
        assert_eq!(
            waits(&[("outcome", s("paid")), open, later]),
            Some(3 * HOUR)
        );
    }

    #[test]
    fn what_the_bank_signed_as_authorised_waits_since_then() {
        let attributes = [
            ("outcome", s("pending")),
            ("paidNotifiedAt", n(NOW - HOUR)),
            ("lookAgainAt", n(NOW + 20 * HOUR)),
        ];
        assert_eq!(waits(&attributes), Some(HOUR));
    }

    #[test]
    fn a_reversal_has_a_day() {
        let reversing = |hours: i64| {
            waits(&[
                ("outcome", s("paid")),
                ("resolution", s("reversing")),
                ("decidedAt", at(NOW - hours * HOUR)),
                ("reversingSince", at(NOW - hours * HOUR)),
            ])
        };
        assert_eq!(reversing(23), None);
        assert_eq!(reversing(26), Some(2 * HOUR));
    }
}
