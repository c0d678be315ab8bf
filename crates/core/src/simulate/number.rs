//! Between whole and real numbers, in one place: counts and seconds here are far below 2^53.

/// A whole number as a real one.
#[expect(clippy::cast_precision_loss, reason = "below 2^53")]
pub(super) fn real(n: i64) -> f64 {
    n as f64
}

/// A length as a real number.
#[expect(clippy::cast_precision_loss, reason = "below 2^53")]
pub(super) fn count(n: usize) -> f64 {
    n as f64
}

/// The whole part; 0 of what is no number, the largest of what is larger.
#[expect(clippy::cast_possible_truncation, reason = "`as` saturates")]
pub(super) fn floor(x: f64) -> i64 {
    x.floor() as i64
}

/// The nearest whole number.
pub(super) fn nearest(x: f64) -> i64 {
    floor(x + 0.5)
}

/// The whole number that is at least `x`, as replicas.
pub(super) fn replicas(x: f64) -> i32 {
    i32::try_from(floor(x.ceil())).unwrap_or(i32::MAX).max(0)
}

/// A length as replicas or partitions.
pub(super) fn small(n: usize) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}

/// A place in a list from a whole number; 0 of a negative one.
pub(super) fn place(n: i64) -> usize {
    usize::try_from(n.max(0)).unwrap_or(usize::MAX)
}
