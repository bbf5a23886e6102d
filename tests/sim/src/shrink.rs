//! Makes a failing run smaller: fewer shoppers and fewer faults that fail in the same way.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::run::{Options, Outcome, run};

/// Looks for fewer shoppers and faults with which the run fails in the same way, for so long at most. Returns the
/// options of the smallest run.
///
/// # Errors
/// As [`run`].
pub fn shrink(failed: &Outcome, within: Duration) -> Result<Options> {
    let begun = Instant::now();
    let kinds = kinds(failed);
    let mut options = Options {
        seed: failed.seed,
        shoppers: Some(failed.shoppers.clone()),
        faults: Some(
            failed
                .struck
                .iter()
                .map(|struck| struck.call.clone())
                .collect(),
        ),
        ..Options::default()
    };
    let still_fails = |options: &Options| -> Result<bool> {
        let outcome = run(options)?;
        Ok(self::kinds(&outcome).intersection(&kinds).next().is_some())
    };
    // Without this the faults of a run are not the whole of what made it fail.
    if !still_fails(&options)? {
        options.faults = None;
    }
    let shoppers = options.shoppers.clone().unwrap_or_default();
    options.shoppers = Some(fewer(shoppers, |some| {
        let smaller = Options {
            shoppers: Some(some.clone()),
            ..options.clone()
        };
        Ok(begun.elapsed() < within && still_fails(&smaller)?)
    })?);
    if let Some(faults) = options.faults.clone() {
        options.faults = Some(fewer(faults, |some| {
            let smaller = Options {
                faults: Some(some.clone()),
                ..options.clone()
            };
            Ok(begun.elapsed() < within && still_fails(&smaller)?)
        })?);
    }
    Ok(options)
}

/// A smallest part of a set that still fails: parts are left out, halves first, then single ones.
fn fewer<T: Clone + Ord>(
    mut set: BTreeSet<T>,
    mut fails: impl FnMut(&BTreeSet<T>) -> Result<bool>,
) -> Result<BTreeSet<T>> {
    let mut size = set.len().div_ceil(2);
    while size > 0 {
        let mut smaller = false;
        let items: Vec<_> = set.iter().cloned().collect();
        for part in items.chunks(size) {
            let rest: BTreeSet<_> = set
                .iter()
                .filter(|item| !part.contains(item))
                .cloned()
                .collect();
            if rest.len() < set.len() && fails(&rest)? {
                set = rest;
                smaller = true;
            }
        }
        if !smaller || size > set.len() {
            size = if size == 1 && !smaller {
                0
            } else {
                (size / 2).max(usize::from(smaller))
            };
        }
    }
    Ok(set)
}

/// What was found, without what differs from run to run: names and numbers.
fn kinds(outcome: &Outcome) -> BTreeSet<String> {
    let kind = |finding: &String| {
        let words = finding
            .split(' ')
            .filter(|word| !word.contains(|letter: char| letter.is_ascii_digit() || letter == '_'));
        let words: Vec<_> = words.take(12).collect();
        words.join(" ")
    };
    outcome.findings.iter().map(kind).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_part_that_still_fails_is_found() {
        let all: BTreeSet<u32> = (0..40).collect();
        for needed in [vec![], vec![7], vec![3, 21], vec![0, 1, 39]] {
            let mut tries = 0;
            let found = fewer(all.clone(), |some| {
                tries += 1;
                Ok(needed.iter().all(|item| some.contains(item)))
            });
            assert_eq!(found.unwrap(), needed.into_iter().collect());
            assert!(tries < 400, "{tries}");
        }
    }
}
