//! Virtual time: it stands still while anything can go on, and then jumps to what happens next.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const HOUR: Duration = Duration::from_secs(60 * 60);
pub(crate) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The time of day in the simulation.
#[derive(Debug, Clone)]
pub(crate) struct Time {
    start: Timestamp,
    began: Instant,
}

impl Time {
    /// A clock that shows `start` now. The runtime's time must be paused.
    pub(crate) fn new(start: Timestamp) -> Self {
        Self {
            start,
            began: Instant::now(),
        }
    }

    /// Now.
    pub(crate) fn now(&self) -> Timestamp {
        let passed = SignedDuration::try_from(self.began.elapsed()).unwrap_or_default();
        self.start.saturating_add(passed).unwrap_or(self.start)
    }
}
