//! The processor time of another process, to the nanosecond: what it used itself, whoever else is on the machine.

use std::time::Duration;

use anyhow::{Context, Result};
use nix::time::{ClockId, clock_getcpuclockid};
use nix::unistd::Pid;

/// The clock that runs while a process runs, all of its threads together, those that ended too.
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
    use super::*;

    #[test]
    fn the_clock_runs_while_the_process_works_and_stands_while_it_sleeps() {
        let clock = CpuClock::of(Pid::this().as_raw()).unwrap();
        let start = clock.now().unwrap();
        std::thread::sleep(Duration::from_millis(50));
        let slept = clock.now().unwrap();
        let mut sum = 0_u64;
        while clock.now().unwrap() - slept < Duration::from_millis(20) {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        // Other tests run in this process, too: it is told apart from no clock, not measured.
        assert!(clock.now().unwrap() > start + Duration::from_millis(20));
    }

    #[test]
    fn a_process_that_is_not_there_has_no_clock() {
        // Linux gives no higher number than 4,194,304.
        assert!(CpuClock::of(4_194_305).is_err());
    }
}
