//! The processor time of this process and everything that it started.

use std::fs;
use std::time::Duration;

/// How many ticks of `/proc` a second has. It is the same on every Linux.
const TICKS: u64 = 100;

/// A process, as `/proc/<pid>/stat` shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stat {
    pid: u32,
    parent: u32,
    /// The processor time in ticks, including children that have ended and that it waited for.
    ticks: u64,
}

/// The processor time of this process and all its descendants so far, running and ended.
///
/// It is zero if there is no `/proc`.
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
        // The name of the program is in parentheses, and may contain any character.
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
    fn a_process_with_any_name_is_read() {
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
