//! Numbers and times, rounded as the decision uses them.

use jiff::{SignedDuration, Timestamp};

/// An integer as a real number. Offsets and milliseconds are far below 2^53, from which on this
/// would round.
#[expect(clippy::cast_precision_loss, reason = "below 2^53")]
pub(in crate::scaling) fn real(n: i64) -> f64 {
    n as f64
}

/// A number of records, rounded to an integer.
#[expect(clippy::cast_possible_truncation, reason = "a cast saturates")]
pub(in crate::scaling) fn whole(records: f64) -> i64 {
    records.round() as i64
}

/// A rate in thousandths, the precision at which measurements are kept (KEEP-27).
#[expect(clippy::cast_possible_truncation, reason = "rates are far below 2^53")]
pub(in crate::scaling) fn milli(rate: f64) -> i64 {
    (rate * 1000.0).round() as i64
}

/// A duration in seconds. Whole seconds, which all parameters are, need no division: this is called
/// for each partition.
pub(in crate::scaling) fn in_seconds(duration: SignedDuration) -> f64 {
    if duration.subsec_nanos() == 0 {
        return real(duration.as_secs());
    }
    duration.as_secs_f64()
}

/// A duration in milliseconds.
pub(in crate::scaling) fn millis(duration: SignedDuration) -> i64 {
    let whole = duration.as_secs().saturating_mul(1000);
    whole.saturating_add(i64::from(duration.subsec_millis()))
}

/// Times are kept to the millisecond, so that a restart changes nothing (KEEP-27).
pub(in crate::scaling) fn to_millis(at: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(at.as_millisecond()).unwrap_or(at)
}

/// The time `by` after `at`; the latest possible time if that does not exist.
pub(in crate::scaling) fn later(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}

/// Seconds as a duration. A number that is no duration gives zero.
pub(in crate::scaling) fn seconds(seconds: f64) -> SignedDuration {
    SignedDuration::try_from_secs_f64(seconds.clamp(-1e9, 1e9)).unwrap_or_default()
}
