//! Conversions between integers and floats, in one place: counts and seconds here are far below
//! 2^53.

/// An integer as a float.
#[expect(clippy::cast_precision_loss, reason = "below 2^53")]
pub(super) fn real(n: i64) -> f64 {
    n as f64
}

/// A length as a float.
#[expect(clippy::cast_precision_loss, reason = "below 2^53")]
pub(super) fn count(n: usize) -> f64 {
    n as f64
}

/// The largest integer up to `x`; 0 for NaN; saturates.
#[expect(clippy::cast_possible_truncation, reason = "`as` saturates")]
pub(super) fn floor(x: f64) -> i64 {
    x.floor() as i64
}

/// The nearest integer.
pub(super) fn nearest(x: f64) -> i64 {
    floor(x + 0.5)
}

/// The smallest integer of at least `x`, as replicas.
pub(super) fn replicas(x: f64) -> i32 {
    i32::try_from(floor(x.ceil())).unwrap_or(i32::MAX).max(0)
}

/// A length as replicas or partitions.
pub(super) fn small(n: usize) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}

/// An index from an integer; 0 for a negative one.
pub(super) fn place(n: i64) -> usize {
    usize::try_from(n.max(0)).unwrap_or(usize::MAX)
}
