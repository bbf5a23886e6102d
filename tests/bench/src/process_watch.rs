//! Looks at the functions' processes while many payments are made, and finds functions that grow.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use payment3_harness::peer_process::{self, short_name};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::lambda::lock;
use crate::memory::{GROWTH_KIB, Memory};
use crate::units::mb;

/// How often the processes are recorded, evenly over the payments.
const ROWS: usize = 10;
/// How long to wait before it is checked again whether a row is due.
const PAUSE: Duration = Duration::from_secs(2);

/// The processes of each function at one moment: how many, and the largest one's memory in KiB.
type Processes = BTreeMap<String, (usize, u64)>;

/// A watch in the background.
pub struct ProcessWatch {
    rows: Arc<Mutex<Vec<Processes>>>,
    done: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl ProcessWatch {
    /// Watches the functions of a branch while so many payments are made.
    pub fn start(branch: &str, payments: usize) -> Self {
        let rows = Arc::new(Mutex::new(Vec::new()));
        let done = Arc::new(AtomicUsize::new(0));
        let task = watch(branch.to_owned(), payments, done.clone(), rows.clone());
        Self {
            rows,
            done,
            task: tokio::spawn(task),
        }
    }

    /// Counts a payment.
    pub fn payment_is_done(&self) {
        self.done.fetch_add(1, Ordering::Relaxed);
    }

    /// Waits for the last row, which is due after the last payment.
    ///
    /// # Errors
    /// The watch has ended before.
    pub async fn finish(&self) -> Result<MemoryOverTime> {
        while lock(&self.rows).len() < ROWS {
            ensure!(!self.task.is_finished(), "the watch on processes has ended");
            sleep(PAUSE).await;
        }
        self.task.abort();
        Ok(MemoryOverTime(lock(&self.rows).clone()))
    }
}

async fn watch(
    branch: String,
    payments: usize,
    done: Arc<AtomicUsize>,
    rows: Arc<Mutex<Vec<Processes>>>,
) {
    let begun = Instant::now();
    loop {
        let done = done.load(Ordering::Relaxed);
        let recorded = lock(&rows).len();
        if done * ROWS / payments > recorded {
            let processes = processes(&branch);
            let (seconds, shown) = (begun.elapsed().as_secs(), shown(&processes));
            println!("{seconds:5} s  {done:5} payments  {shown}");
            lock(&rows).push(processes);
        }
        sleep(PAUSE).await;
    }
}

fn processes(branch: &str) -> Processes {
    let mut functions = Processes::new();
    for process in peer_process::running(branch) {
        // One that has ended meanwhile has no memory.
        let Ok(memory) = Memory::of(process.pid()) else {
            continue;
        };
        let name = short_name(&process.function).to_owned();
        let (processes, largest) = functions.entry(name).or_default();
        *processes += 1;
        *largest = memory.now_kib.max(*largest);
    }
    functions
}

/// `function processes × the largest in MB`, for every function that runs.
fn shown(processes: &Processes) -> String {
    let cells = processes
        .iter()
        .map(|(name, (processes, largest))| format!("{name} {processes}×{}", mb(*largest)));
    cells.collect::<Vec<_>>().join(", ")
}

/// The rows of a watch, from the first payments to the last.
pub struct MemoryOverTime(Vec<Processes>);

impl MemoryOverTime {
    /// Checks that no function's largest process is much larger in the end than after a fifth of the payments.
    ///
    /// # Errors
    /// A function grew, or did not run by then.
    pub fn ensure_not_grown(&self) -> Result<()> {
        let grown = self.grown()?;
        ensure!(grown.is_empty(), "processes grow: {}", grown.join("; "));
        println!(
            "No function's largest process had {GROWTH_KIB} KiB more in the end than after a fifth of the payments."
        );
        Ok(())
    }

    fn grown(&self) -> Result<Vec<String>> {
        let warm = self.0.get(ROWS / 5 - 1);
        let (warm, last) = warm.zip(self.0.last()).context("too few rows")?;
        ensure!(!last.is_empty(), "no function runs in the end");
        let mut grown = Vec::new();
        // Reconciliation runs by its schedule, and the first time after five minutes.
        for (name, (_, now)) in last.iter().filter(|(name, _)| *name != "reconcile") {
            let (_, then) = warm
                .get(name)
                .with_context(|| format!("{name} did not run after a fifth of the payments"))?;
            if *now > then + GROWTH_KIB {
                grown.push(format!("{name}: {then} KiB, {now} KiB in the end"));
            }
        }
        Ok(grown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn over_time(notify: impl Fn(u64) -> u64) -> MemoryOverTime {
        let row = |row| Processes::from([("notify".to_owned(), (2, notify(row)))]);
        MemoryOverTime((1..=10).map(row).collect())
    }

    #[test]
    fn a_function_that_grows_after_its_warm_up_is_found() {
        let steady = over_time(|row| 4000 + GROWTH_KIB.min(row * 1000));
        assert!(steady.grown().unwrap().is_empty());
        let grows = over_time(|row| 4000 + row * 100);
        assert_eq!(
            grows.grown().unwrap(),
            ["notify: 4200 KiB, 5000 KiB in the end"]
        );
    }

    #[test]
    fn a_watch_that_saw_nothing_is_an_error() {
        assert!(MemoryOverTime(Vec::new()).grown().is_err());
        assert!(MemoryOverTime(vec![Processes::new(); 10]).grown().is_err());
    }
}
