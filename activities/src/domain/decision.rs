//! How old the bank's decision may be for somebody to act on it.

use serde::Deserialize;

/// How long the bank's word is acted on, in seconds. An execution may be restarted in its middle days later, or wake up
/// late: meanwhile the money may have gone back.
const HOLDS_FOR: i64 = 60 * 60;

/// For how long after the bank has signed a yes an answer that says no may still be of the time before, in seconds: what
/// answers inquiries may hear of the yes later.
const SIGNED_HOLDS_FOR: i64 = 60;

/// When the bank gave its decision, as the input of an activity that acts on it says.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Asked {
    /// When the bank was asked, in seconds since 1970. Executions of older definitions do not say it.
    pub asked_at: Option<i64>,
    /// When the execution began, in seconds since 1970: the bank was not asked before.
    pub started_at: Option<i64>,
}

impl Asked {
    /// Whether the decision is too old at this time, in seconds since 1970. A decision of unknown age is too old.
    #[must_use]
    pub fn is_stale(self, now: i64) -> bool {
        self.at().is_none_or(|asked_at| now - asked_at > HOLDS_FOR)
    }

    /// From which time on, in seconds since 1970, a yes that the bank has signed is newer than this decision, or may be.
    #[must_use]
    pub fn overtaken_from(self) -> i64 {
        self.at().unwrap_or(0) - SIGNED_HOLDS_FOR
    }

    fn at(self) -> Option<i64> {
        self.asked_at.or(self.started_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_324_200;

    #[test]
    fn a_decision_holds_for_an_hour_after_the_bank_was_asked() {
        for (ago, stale) in [(0, false), (HOLDS_FOR, false), (HOLDS_FOR + 1, true)] {
            let asked = Asked {
                asked_at: Some(NOW - ago),
                // The execution waited in between, or was redriven.
                started_at: Some(NOW - 2 * HOLDS_FOR),
            };
            assert_eq!(asked.is_stale(NOW), stale, "{ago}");
        }
    }

    #[test]
    fn a_yes_that_is_signed_a_minute_before_or_later_overtakes_a_decision() {
        let asked = Asked {
            asked_at: Some(NOW),
            started_at: Some(NOW - HOLDS_FOR),
        };
        assert_eq!(asked.overtaken_from(), NOW - 60);
    }

    #[test]
    fn a_decision_without_its_time_is_as_old_as_its_execution() {
        for (ago, stale) in [(HOLDS_FOR, false), (HOLDS_FOR + 1, true)] {
            let asked = Asked {
                asked_at: None,
                started_at: Some(NOW - ago),
            };
            assert_eq!(asked.is_stale(NOW), stale, "{ago}");
        }
        assert!(Asked::default().is_stale(NOW));
    }

    #[test]
    fn the_times_are_read_beside_the_rest_of_an_input() {
        #[derive(Deserialize)]
        struct Input {
            #[serde(flatten)]
            asked: Asked,
        }
        let read = |text: &str| serde_json::from_str::<Input>(text).unwrap().asked;
        let asked = read(r#"{"payment": {}, "askedAt": 5, "startedAt": 3}"#);
        assert_eq!((asked.asked_at, asked.started_at), (Some(5), Some(3)));
        let asked = read(r#"{"payment": {}}"#);
        assert_eq!((asked.asked_at, asked.started_at), (None, None));
    }
}
