//! What happened, in words: one line for each event, with the virtual time. The same seed gives the same lines.

use std::fmt::Arguments;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use jiff::tz::{TimeZone, offset};

use crate::time::Time;

/// The trace of one run.
#[derive(Clone)]
pub(crate) struct Trace {
    time: Time,
    start: Timestamp,
    lines: Arc<Mutex<Option<Vec<String>>>>,
}

impl Trace {
    /// A trace. It only keeps its lines where they are wanted.
    pub(crate) fn new(time: &Time, wanted: bool) -> Self {
        Self {
            time: time.clone(),
            start: time.now(),
            lines: Arc::new(Mutex::new(wanted.then(Vec::new))),
        }
    }

    /// Adds a line: `trace.tell(format_args!(…))`. The text is only made where it is wanted.
    pub(crate) fn tell(&self, event: Arguments<'_>) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lines) = lines.as_mut() {
            lines.push(format!("{}  {event}", self.moment()));
        }
    }

    /// All lines.
    pub(crate) fn take(&self) -> Vec<String> {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// `day 3 10:31:07.042`, by the clocks in Bangkok.
    fn moment(&self) -> String {
        let bangkok = |at: Timestamp| at.to_zoned(TimeZone::fixed(offset(7)));
        let now = bangkok(self.time.now());
        let days = bangkok(self.start).date().until(now.date());
        let days = days.map_or(0, |span| span.get_days());
        format!("day {days} {}", now.strftime("%H:%M:%S%.3f"))
    }
}
