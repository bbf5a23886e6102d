//! Medians and percentiles of what several runs gave.

use anyhow::{Context, Result};

/// The median.
///
/// # Errors
/// There was no run.
pub fn median<T: Copy + Ord>(values: impl IntoIterator<Item = T>) -> Result<T> {
    percentile(values, 50)
}

/// What one run of a hundred exceeds.
///
/// # Errors
/// There was no run.
pub fn percentile_99<T: Copy + Ord>(values: impl IntoIterator<Item = T>) -> Result<T> {
    percentile(values, 99)
}

fn percentile<T: Copy + Ord>(values: impl IntoIterator<Item = T>, of_hundred: usize) -> Result<T> {
    let mut values: Vec<T> = values.into_iter().collect();
    values.sort_unstable();
    let value = values.get(values.len() * of_hundred / 100);
    value.copied().context("nothing was measured")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_the_middle_and_the_last_percentile_is_near_the_end() {
        let values = (1..=500).rev();
        assert_eq!(median(values.clone()).unwrap(), 251);
        assert_eq!(percentile_99(values).unwrap(), 496);
        assert_eq!(median([3, 1, 2]).unwrap(), 2);
        assert!(median([0; 0]).is_err());
    }
}
