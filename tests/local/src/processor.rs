//! How much of the processors this process and everything that it started has used.

use std::fs;
use std::time::Duration;

/// How many ticks of `/proc` a second has: the same on every Linux.
const TICKS: u64 = 100;

/// A process, as `/proc/<pid>/stat` tells of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stat {
    pid: u32,
    parent: u32,
    /// What it used, with its children that ended and that it waited for, in ticks.
    ticks: u64,
}

/// The processor time of this process and of all its descendants so far: of those that run, and of those that ended.
///
/// Nothing where there is no `/proc`.
pub(crate) fn time() -> Duration {
    let all: Vec<Stat> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let pid: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
            Stat::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
        })
        .collect();
    Duration::from_millis(tree(&all, std::process::id()) * (1000 / TICKS))
}

/// The ticks of a process and of its descendants.
fn tree(all: &[Stat], root: u32) -> u64 {
    let mut family = vec![root];
    let mut ticks = 0;
    while let Some(pid) = family.pop() {
        for stat in all {
            if stat.pid == pid {
                ticks += stat.ticks;
            } else if stat.parent == pid {
                family.push(stat.pid);
            }
        }
    }
    ticks
}

impl Stat {
    fn parse(line: &str) -> Option<Self> {
        // The program's name stands in parentheses, and may have any character in it.
        let (pid, _) = line.split_once(' ')?;
        let (_, rest) = line.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let number = |place: usize| fields.get(place)?.parse::<u64>().ok();
        Some(Self {
            pid: pid.parse().ok()?,
            parent: fields.get(1)?.parse().ok()?,
            ticks: number(11)? + number(12)? + number(13)? + number(14)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_process_is_read_whatever_its_name() {
        let line = "7 (a) b) S 3 7 7 0 -1 4194560 9 9 0 0 10 20 300 4000 20 0 1 0 5 6 7";
        let stat = Stat {
            pid: 7,
            parent: 3,
            ticks: 4330,
        };
        assert_eq!(Stat::parse(line), Some(stat));
        assert_eq!(Stat::parse("gone"), None);
    }

    #[test]
    fn descendants_count_and_others_do_not() {
        let stat = |pid, parent, ticks| Stat { pid, parent, ticks };
        let all = [
            stat(1, 0, 1000),
            stat(5, 1, 1),
            stat(7, 5, 10),
            stat(9, 7, 100),
            stat(8, 1, 5000),
        ];
        assert_eq!(tree(&all, 5), 111);
    }

    #[test]
    fn a_child_that_ended_counts() {
        let before = time();
        let burn = "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done";
        let ended = Command::new("sh").args(["-c", burn]).status();
        assert!(ended.expect("a shell").success());
        assert!(time() > before);
    }
}
