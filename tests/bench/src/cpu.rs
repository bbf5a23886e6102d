//! The processor time of another process, to the nanosecond. Other processes on the machine do not change it.

use std::time::Duration;

use anyhow::{Context, Result};
use nix::time::{ClockId, clock_getcpuclockid};
use nix::unistd::Pid;

/// A clock that runs while the process runs. It counts all threads, including those that have ended.
#[derive(Debug, Clone, Copy)]
pub struct CpuClock(ClockId);

impl CpuClock {
    /// The clock of a process.
    ///
    /// # Errors
    /// There is no such process.
    pub fn of(pid: i32) -> Result<Self> {
        clock_getcpuclockid(Pid::from_raw(pid))
            .map(Self)
            .with_context(|| format!("the process {pid} has no clock"))
    }

    /// What the process has used since it was started.
    ///
    /// # Errors
    /// The process is gone.
    pub fn now(self) -> Result<Duration> {
        self.0
            .now()
            .map(Duration::from)
            .context("the process is gone")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn the_clock_runs_while_the_process_works() {
        let clock = CpuClock::of(Pid::this().as_raw()).unwrap();
        let start = clock.now().unwrap();
        let begun = Instant::now();
        let mut sum = 0_u64;
        while begun.elapsed() < Duration::from_millis(50) {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        assert!(sum > 0 && clock.now().unwrap() > start);
    }

    #[test]
    fn a_process_that_is_not_there_has_no_clock() {
        // Linux gives no higher number than 4,194,304.
        assert!(CpuClock::of(4_194_305).is_err());
    }
}
