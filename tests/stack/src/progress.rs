//! Progress of long work: one line per step, with its seconds.

use std::future::Future;
use std::io::Write;
use std::time::Instant;

use anyhow::{Context, Result, bail};

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

/// One result of several things of which none needs another, so that all were done.
///
/// # Errors
/// Everything that failed.
pub fn every(results: impl IntoIterator<Item = Result<()>>) -> Result<()> {
    let mut errors: Vec<_> = results.into_iter().filter_map(Result::err).collect();
    match errors.len() {
        0 => Ok(()),
        1 => Err(errors.remove(0)),
        _ => {
            let texts: Vec<_> = errors.iter().map(|error| format!("{error:#}")).collect();
            bail!("{} things failed:\n{}", texts.len(), texts.join("\n"))
        }
    }
}

// Standard output may be a pipe, where a line without its end would show only much later. Nothing depends on it.
fn flush() {
    let _ = std::io::stdout().flush();
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn every_failure_is_told() {
        assert!(every([Ok(()), Ok(())]).is_ok());
        let told = |results| every(results).expect_err("a failure").to_string();
        assert_eq!(told(vec![Ok(()), Err(anyhow!("one"))]), "one");
        let both = told(vec![Err(anyhow!("one")), Ok(()), Err(anyhow!("two"))]);
        assert_eq!(both, "2 things failed:\none\ntwo");
    }
}
