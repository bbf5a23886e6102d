//! The time of day, in the forms that the system writes.

use jiff::Timestamp;

/// Now, as RFC 3339 in UTC with milliseconds: what tables and events hold.
#[must_use]
pub fn now() -> String {
    rfc3339(Timestamp::now())
}

/// Now, as precise as the clock is: a mark that no two requests share.
#[must_use]
pub fn mark() -> String {
    format!("{:.9}", Timestamp::now())
}

/// A moment as tables and events hold it: of one length, so that the texts sort as the moments do.
#[must_use]
pub fn rfc3339(at: Timestamp) -> String {
    format!("{at:.3}")
}

/// Now, in seconds since 1970: what the open index is sorted by.
#[must_use]
pub fn now_seconds() -> i64 {
    Timestamp::now().as_second()
}

/// A time that [`now`] has written, in seconds since 1970; `None` where the text is none.
#[must_use]
pub fn seconds_of(text: &str) -> Option<i64> {
    let at: Timestamp = text.parse().ok()?;
    Some(at.as_second())
}
