//! The limits. Counts and sizes are the same on every machine: one over its limit fails the run. Times differ, and are
//! only reported.

use std::fmt;

use crate::markdown::Table;

/// A function's peak memory, in the kernel's KiB: ten megabytes.
pub const PEAK_KIB: u64 = 10_000_000 / 1024;
/// A function's archive, in bytes.
pub const ZIP_BYTES: u64 = 2_500_000;
/// The processor time of a start without connecting, as a multiple of the no-op's.
pub const START_TO_NOOP: f64 = 3.0;
/// The processor time of a start without connecting, as a part of the quickest Python function's.
pub const START_TO_BASELINE: f64 = 1.0 / 50.0;
/// The processor time of a first event and its one connection, in milliseconds. The connection may be opened before the
/// event.
pub const FIRST_EVENT_MS: f64 = 5.0;
/// The billed time of a payment whose functions all start, as a part of the baseline's.
pub const BILLED_TO_BASELINE: f64 = 1.0 / 10.0;

/// One figure against its limit.
#[derive(Debug, Clone)]
pub struct Check {
    /// What was measured.
    pub figure: String,
    /// The most it may be.
    pub at_most: String,
    /// What it is. Of several functions it is the worst one's, with its name.
    pub measured: String,
    /// The no-op's figure, if there is one.
    pub noop: Option<String>,
    /// The baseline's figure, if there is one.
    pub baseline: Option<String>,
    /// Whether it is within its limit.
    pub holds: bool,
    /// Whether the run fails if it is over. A time's does not.
    pub enforced: bool,
}

impl Check {
    /// A figure that must be within its limit.
    pub fn enforced(
        figure: impl Into<String>,
        at_most: impl ToString,
        measured: impl ToString,
        holds: bool,
    ) -> Self {
        Self {
            figure: figure.into(),
            at_most: at_most.to_string(),
            measured: measured.to_string(),
            noop: None,
            baseline: None,
            holds,
            enforced: true,
        }
    }

    /// A time: it is reported whatever it is.
    pub fn reported(
        figure: impl Into<String>,
        at_most: impl ToString,
        measured: impl ToString,
        holds: bool,
    ) -> Self {
        Self {
            enforced: false,
            ..Self::enforced(figure, at_most, measured, holds)
        }
    }

    /// The same with the figures of the no-op and of the baseline, as far as there are some.
    #[must_use]
    pub fn compared(self, noop: Option<String>, baseline: Option<String>) -> Self {
        Self {
            noop,
            baseline,
            ..self
        }
    }
}

/// All figures against their limits.
#[derive(Debug, Clone, Default)]
pub struct Verdict(Vec<Check>);

impl Verdict {
    /// Adds some.
    pub fn add(&mut self, checks: impl IntoIterator<Item = Check>) {
        self.0.extend(checks);
    }

    /// The figures over their limits that fail the run.
    pub fn over(&self) -> Vec<&str> {
        self.0
            .iter()
            .filter(|line| line.enforced && !line.holds)
            .map(|line| line.figure.as_str())
            .collect()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new(["figure", "at most", "measured", "no-op", "baseline", ""]);
        for check in &self.0 {
            let word = match (check.holds, check.enforced) {
                (true, true) => "ok",
                (false, true) => "OVER",
                (true, false) => "within (a time: only reported)",
                (false, false) => "over (a time: only reported)",
            };
            let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "–".to_owned());
            table.row([
                check.figure.clone(),
                check.at_most.clone(),
                check.measured.clone(),
                or_none(&check.noop),
                or_none(&check.baseline),
                word.to_owned(),
            ]);
        }
        table.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_over_its_limit_fails_the_run_and_a_time_does_not() {
        let mut verdict = Verdict::default();
        verdict.add([
            Check::enforced("a count within", 1, 1, true),
            Check::enforced("a count over", 1, 2, false),
            Check::reported("a time within", 1, 1, true),
            Check::reported("a time over", 1, 2, false),
        ]);
        assert_eq!(verdict.over(), ["a count over"]);
    }
}
