//! What may not be exceeded. Counts and sizes are the same on every machine, and are judged; times are not, and are told.

use std::fmt;

use crate::markdown::Table;

/// A function's peak memory, in the kernel's KiB: ten megabytes.
pub const PEAK_KIB: u64 = 10_000_000 / 1024;
/// A function's archive, in bytes.
pub const ZIP_BYTES: u64 = 2_500_000;
/// The processor's time of a start without connecting, in times of that of a function that does nothing.
pub const START_TO_NOOP: f64 = 3.0;
/// The processor's time of a start without connecting, as a part of that of a function in Python.
pub const START_TO_BASELINE: f64 = 1.0 / 50.0;
/// The processor's time of a first event and its one connection, wherever that is opened, in milliseconds.
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
    /// What it is; of functions the worst, which is named.
    pub measured: String,
    /// The same of the function that does nothing, where it has it.
    pub noop: String,
    /// The same of the baseline, where it has it.
    pub baseline: String,
    /// Whether it is within its limit.
    pub holds: bool,
    /// Whether it is judged: a time is not.
    pub enforced: bool,
}

/// All figures against their limits.
#[derive(Debug, Clone, Default)]
pub struct Verdict(Vec<Check>);

impl Verdict {
    /// Adds one.
    pub fn add(&mut self, line: Check) {
        self.0.push(line);
    }

    /// The figures that are judged and over their limits.
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
        for line in &self.0 {
            let word = match (line.holds, line.enforced) {
                (true, true) => "ok",
                (false, true) => "OVER",
                (true, false) => "within (a time: not enforced)",
                (false, false) => "over (a time: not enforced)",
            };
            table.row([
                line.figure.clone(),
                line.at_most.clone(),
                line.measured.clone(),
                line.noop.clone(),
                line.baseline.clone(),
                word.to_owned(),
            ]);
        }
        table.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(holds: bool, enforced: bool) -> Check {
        Check {
            figure: format!("{holds} {enforced}"),
            at_most: String::new(),
            measured: String::new(),
            noop: String::new(),
            baseline: String::new(),
            holds,
            enforced,
        }
    }

    #[test]
    fn counts_over_their_limits_are_found_and_times_are_not() {
        let mut verdict = Verdict::default();
        for (holds, enforced) in [(true, true), (false, true), (true, false), (false, false)] {
            verdict.add(line(holds, enforced));
        }
        assert_eq!(verdict.over(), ["false true"]);
    }
}
