//! Progress of long work: one line per step, with its seconds.

use std::future::Future;
use std::io::Write;
use std::time::Instant;

use anyhow::{Context, Result};

/// Runs `work` as a step: prints `name …`, then the seconds it took.
///
/// # Errors
/// What `work` fails with, under the step's name.
pub async fn step<T>(name: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
    print!("  {name} … ");
    flush();
    let start = Instant::now();
    let result = work.await;
    let seconds = start.elapsed().as_secs_f64();
    match &result {
        Ok(_) => println!("{seconds:.1} s"),
        Err(_) => println!("failed after {seconds:.1} s"),
    }
    flush();
    result.with_context(|| format!("step \"{name}\" failed"))
}

/// Notes a step that had nothing to do.
pub fn skipped(name: &str, why: &str) {
    println!("  {name} … {why}");
    flush();
}

// Standard output may be a pipe, where a line without its end would show only much later. Nothing depends on it.
fn flush() {
    let _ = std::io::stdout().flush();
}
