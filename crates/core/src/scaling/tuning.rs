//! Numbers that more than one part of the decision goes by.

use jiff::SignedDuration;

/// Looks are made about so often; windows that are counted in looks are multiples of it.
pub(in crate::scaling) const LOOK: f64 = 15.0;
/// Window of the steady rate of arrivals, and of one sample of capacity.
pub(in crate::scaling) const MINUTE: f64 = 60.0;

/// After an action has settled nothing more is done for so long, or for the user's interval if that
/// is shorter: what it did must become visible first.
pub(in crate::scaling) const LANDING: SignedDuration = SignedDuration::from_secs(30);

/// So many scale-downs in a row that did not pay make the next ones dearer.
pub(in crate::scaling) const REGRETS: i32 = 3;
/// Seconds between two probes at most.
pub(in crate::scaling) const PROBE_MOST: i64 = 3600;
/// How long it is believed at most that more replicas bring nothing, in seconds.
pub(in crate::scaling) const BACKOFF_MOST: i64 = 14_400;
