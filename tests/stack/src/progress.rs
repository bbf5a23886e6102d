//! Prints the progress of long work: one line per step, with its duration.

use std::future::Future;
use std::io::Write;
use std::time::Instant;

use anyhow::{Context, Result, bail};

/// Runs `work` as a step: prints `name …`, then the seconds it took.
///
/// # Errors
/// The error of `work`, with the name of the step.
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

/// Prints that a step had nothing to do.
pub fn skipped(name: &str, why: &str) {
    println!("  {name} … {why}");
    flush();
}

/// Combines the results of several independent tasks, all of which were run.
///
/// # Errors
/// One error that lists all failures.
pub fn every(results: impl IntoIterator<Item = Result<()>>) -> Result<()> {
    let mut errors: Vec<_> = results.into_iter().filter_map(Result::err).collect();
    match errors.len() {
        0 => Ok(()),
        1 => Err(errors.remove(0)),
        _ => {
            let texts: Vec<_> = errors.iter().map(|error| format!("{error:#}")).collect();
            bail!("{} failures:\n{}", texts.len(), texts.join("\n"))
        }
    }
}

// Standard output may be a pipe, which shows an unfinished line only after a flush. A failed flush does no harm.
fn flush() {
    let _ = std::io::stdout().flush();
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn the_error_lists_every_failure() {
        assert!(every([Ok(()), Ok(())]).is_ok());
        let error = |results| every(results).expect_err("a failure").to_string();
        assert_eq!(error(vec![Ok(()), Err(anyhow!("one"))]), "one");
        let both = error(vec![Err(anyhow!("one")), Ok(()), Err(anyhow!("two"))]);
        assert_eq!(both, "2 failures:\none\ntwo");
    }
}
