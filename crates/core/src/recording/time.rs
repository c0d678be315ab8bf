//! Times in lines: seconds, exact to the millisecond, like everything that a decision uses.

use jiff::Timestamp;

/// Seconds as a time.
pub fn time(t: f64) -> Option<Timestamp> {
    let millis = (t * 1000.0).round();
    // A value that is not a number, or too large for a time, gives none.
    #[expect(clippy::cast_possible_truncation, reason = "saturates, and is refused")]
    let millis = millis.is_finite().then_some(millis as i64)?;
    Timestamp::from_millisecond(millis).ok()
}

/// A time as seconds.
pub(super) fn seconds(at: Timestamp) -> f64 {
    real(at.as_millisecond()) / 1000.0
}

#[expect(clippy::cast_precision_loss, reason = "below 2^53")]
pub(super) fn real(n: i64) -> f64 {
    n as f64
}
