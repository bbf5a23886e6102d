//! Virtual time: it stands still while anything can go on, and then jumps to what happens next.

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

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
