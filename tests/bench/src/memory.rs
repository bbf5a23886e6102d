//! The memory of a process, as the kernel counts it.

use std::fs;

use anyhow::{Context, Result};

/// How much a process may grow after its warm-up, in KiB. The kernel counts pages in batches.
pub const GROWTH_KIB: u64 = 512;

/// Kibibytes in memory: the process's own, and the pages that it used of its program and libraries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// The most it ever was.
    pub peak_kib: u64,
    /// What it is now.
    pub now_kib: u64,
}

impl Memory {
    /// Of a running process.
    ///
    /// # Errors
    /// The process is gone.
    pub fn of(pid: i32) -> Result<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))
            .with_context(|| format!("the process {pid} is gone"))?;
        Self::read(&status).with_context(|| format!("the process {pid} has ended"))
    }

    fn read(status: &str) -> Option<Self> {
        let field = |name| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().strip_suffix(" kB")?.parse().ok()
        };
        Some(Self {
            peak_kib: field("VmHWM:")?,
            now_kib: field("VmRSS:")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_that_the_kernel_prints_is_read() {
        let status =
            "Name:\tbootstrap\nVmPeak:\t  9000 kB\nVmHWM:\t    5120 kB\nVmRSS:\t    4096 kB\n";
        assert_eq!(
            Memory::read(status),
            Some(Memory {
                peak_kib: 5120,
                now_kib: 4096
            })
        );
        // What is left of a process that ended.
        assert_eq!(Memory::read("Name:\tbootstrap\nState:\tZ (zombie)\n"), None);
    }
}
