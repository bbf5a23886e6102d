//! How long Step Functions waits before it tries again.

use std::time::Duration;

use payment3_model::{Retrier, takes};

use crate::random::Random;

/// No wait is longer: a year and a day, AWS's limit for `MaxDelaySeconds`.
const LONGEST: f64 = 31_622_400.0;

/// The retries of one visit to a state. Each retrier counts its own.
pub(super) struct Retries<'a> {
    retriers: &'a [Retrier],
    made: Vec<u32>,
    /// The retries of all retriers together.
    pub(super) count: u32,
}

impl<'a> Retries<'a> {
    /// None were made yet.
    pub(super) fn new(retriers: &'a [Retrier]) -> Self {
        Self {
            retriers,
            made: vec![0; retriers.len()],
            count: 0,
        }
    }

    /// The wait before the next try after this error; `None` if there is no next try. The first retrier that takes the
    /// error decides alone, even if it has no retries left.
    pub(super) fn after(&mut self, error: &str, random: &Random) -> Option<Duration> {
        let mut retriers = self.retriers.iter();
        let first = retriers.position(|retrier| takes(&retrier.error_equals, error))?;
        let retrier = &self.retriers[first];
        if self.made[first] >= retrier.max_attempts {
            return None;
        }
        let longest = longest(retrier, self.made[first]);
        self.made[first] += 1;
        self.count += 1;
        let jitter = retrier.jitter_strategy.as_deref() == Some("FULL");
        Some(if jitter {
            Duration::from_millis(random.below(longest.as_millis() as u64 + 1))
        } else {
            longest
        })
    }
}

/// The wait without jitter after so many retries.
fn longest(retrier: &Retrier, made: u32) -> Duration {
    let interval = retrier.interval_seconds.unwrap_or(1.0);
    let growth = retrier.backoff_rate.unwrap_or(2.0).powf(f64::from(made));
    let most = retrier.max_delay_seconds.unwrap_or(LONGEST).min(LONGEST);
    Duration::from_secs_f64((interval * growth).min(most))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retriers(json: &str) -> Vec<Retrier> {
        serde_json::from_str(json).unwrap()
    }

    fn waits(retriers: &[Retrier], errors: &[&str]) -> Vec<Option<u64>> {
        let random = Random::new(1);
        let mut retries = Retries::new(retriers);
        let waits = errors.iter().map(|error| retries.after(error, &random));
        waits.map(|wait| Some(wait?.as_millis() as u64)).collect()
    }

    #[test]
    fn without_numbers_there_are_three_retries_after_one_two_and_four_seconds() {
        let retriers = retriers(r#"[{ "ErrorEquals": ["States.ALL"] }]"#);
        let expected = [Some(1000), Some(2000), Some(4000), None];
        assert_eq!(waits(&retriers, &["X"; 4]), expected);
    }

    #[test]
    fn each_retrier_counts_its_own_and_the_first_that_matches_decides() {
        let retriers = retriers(
            r#"[
                { "ErrorEquals": ["Never"], "MaxAttempts": 0 },
                { "ErrorEquals": ["Seldom"], "MaxAttempts": 1, "IntervalSeconds": 1800, "BackoffRate": 1 },
                { "ErrorEquals": ["States.ALL"], "MaxAttempts": 2, "IntervalSeconds": 2, "BackoffRate": 3, "MaxDelaySeconds": 5 }
            ]"#,
        );
        let errors = ["X", "Seldom", "Y", "Never", "Seldom", "X"];
        let expected = [Some(2000), Some(1_800_000), Some(5000), None, None, None];
        assert_eq!(waits(&retriers, &errors), expected);
    }

    #[test]
    fn wildcards_leave_out_what_aws_leaves_out() {
        let all = retriers(r#"[{ "ErrorEquals": ["States.ALL"] }]"#);
        let failed = retriers(r#"[{ "ErrorEquals": ["States.TaskFailed"] }]"#);
        let timeout = retriers(r#"[{ "ErrorEquals": ["States.Timeout"] }]"#);
        for (error, by_all, by_failed, by_timeout) in [
            ("X", true, true, false),
            ("States.Timeout", true, false, true),
            ("States.QueryEvaluationError", true, true, false),
            ("States.Runtime", false, false, false),
            ("States.DataLimitExceeded", false, false, false),
        ] {
            for (retriers, retried) in
                [(&all, by_all), (&failed, by_failed), (&timeout, by_timeout)]
            {
                assert_eq!(waits(retriers, &[error])[0].is_some(), retried, "{error}");
            }
        }
    }

    #[test]
    fn full_jitter_waits_for_any_time_up_to_the_whole_wait() {
        let retriers = retriers(
            r#"[{ "ErrorEquals": ["X"], "IntervalSeconds": 10, "BackoffRate": 1, "MaxAttempts": 1000, "JitterStrategy": "FULL" }]"#,
        );
        let waits: Vec<_> = waits(&retriers, &["X"; 1000])
            .into_iter()
            .flatten()
            .collect();
        assert_eq!(waits.len(), 1000);
        assert!(waits.iter().all(|wait| *wait <= 10_000));
        assert!(waits.iter().any(|wait| *wait < 500) && waits.iter().any(|wait| *wait > 9500));
    }

    #[test]
    fn a_wait_that_grows_without_a_limit_ends_at_a_year() {
        let retriers = retriers(r#"[{ "ErrorEquals": ["X"], "MaxAttempts": 2000 }]"#);
        let waits = waits(&retriers, &["X"; 2000]);
        assert_eq!(waits.last(), Some(&Some(31_622_400_000)));
    }
}
