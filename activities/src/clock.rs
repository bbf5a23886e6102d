//! The time of day, in the three forms that the system writes.

use jiff::Timestamp;

/// Now, as RFC 3339 in UTC with milliseconds: what tables and events hold.
#[must_use]
pub fn now() -> String {
    format!("{:.3}", Timestamp::now())
}

/// Now, in seconds since 1970: what the open index is sorted by.
#[must_use]
pub fn now_seconds() -> i64 {
    Timestamp::now().as_second()
}
