//! The bank's form of a time.

use jiff::Timestamp;
use jiff::tz::{TimeZone, offset};

/// `YYYYMMDDHHmmssSSS` in Bangkok, which has been at UTC+7 without daylight saving since 1920.
pub(crate) fn bangkok_stamp(at: Timestamp) -> String {
    at.to_zoned(TimeZone::fixed(offset(7)))
        .strftime("%Y%m%d%H%M%S%3f")
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_17_digits_of_bangkok_time() {
        let at: Timestamp = "2026-11-22T18:05:09.042Z".parse().unwrap();
        assert_eq!(bangkok_stamp(at), "20261123010509042");
    }
}
