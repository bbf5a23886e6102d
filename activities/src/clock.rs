//! The time of day, and the forms in which the system writes it.

use std::sync::Arc;

use jiff::Timestamp;

/// What tells the time. It is handed in, so that a test or a simulation has a time of its own.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// The system's clock.
    #[must_use]
    pub fn system() -> Self {
        Self::new(Timestamp::now)
    }

    /// A clock that shows what `now` returns. [`Clock::mark`] is unique only as far as no two calls return the same.
    pub fn new(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        (self.0)()
    }

    /// Now, as RFC 3339 in UTC with milliseconds: what tables and events hold.
    #[must_use]
    pub fn text(&self) -> String {
        rfc3339(self.now())
    }

    /// Now, in seconds since 1970: what the open index is sorted by.
    #[must_use]
    pub fn seconds(&self) -> i64 {
        self.now().as_second()
    }

    /// Now, as precise as the clock is: a mark that no two requests share.
    #[must_use]
    pub fn mark(&self) -> String {
        format!("{:.9}", self.now())
    }
}

/// A moment as tables and events hold it: of one length, so that the texts sort as the moments do.
#[must_use]
pub fn rfc3339(at: Timestamp) -> String {
    format!("{at:.3}")
}

/// A time that [`Clock::text`] has written, in seconds since 1970; `None` where the text is none.
#[must_use]
pub fn seconds_of(text: &str) -> Option<i64> {
    let at: Timestamp = text.parse().ok()?;
    Some(at.as_second())
}
