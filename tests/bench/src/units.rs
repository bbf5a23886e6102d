//! Figures as people read them.

use std::time::Duration;

/// How many times the other the one is.
pub fn ratio(one: Duration, other: Duration) -> f64 {
    one.as_secs_f64() / other.as_secs_f64()
}

/// Milliseconds, to a hundredth where there are few.
pub fn millis(time: Duration) -> String {
    let millis = time.as_secs_f64() * 1000.0;
    if millis < 100.0 {
        format!("{millis:.2}")
    } else {
        format!("{millis:.0}")
    }
}

/// The kernel's KiB as megabytes.
pub fn mb(kib: u64) -> String {
    format!("{:.1}", as_f64(kib) * 1.024 / 1000.0)
}

/// Bytes as megabytes.
pub fn megabytes(bytes: u64) -> String {
    format!("{:.2}", as_f64(bytes) / 1_000_000.0)
}

/// A number that is small enough to be exact.
pub fn as_f64(number: u64) -> f64 {
    u32::try_from(number).map_or(f64::INFINITY, f64::from)
}
