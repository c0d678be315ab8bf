//! When a poller polls its cluster, and how long it waits after a poll that read nothing. Does no
//! I/O.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use tokio::time::Instant;

use super::interests::Shared;
use super::settings::Settings;
use crate::kafka::model::error::ReadError;

/// First pause after a poll that read nothing. It doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(2);

/// Longest pause between polls of a cluster that cannot be reached.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Least pause after a refused login, however many groups wait for the cluster: brokers lock out
/// users with too many attempts. New credentials are tried at once. Also the pause after a cluster
/// with too many brokers, because each attempt starts as many threads as it may.
pub(super) const LOGIN_PAUSE: Duration = Duration::from_secs(60);

/// When the last poll began, and how the polls went.
#[derive(Default)]
pub(super) struct Schedule {
    last: Option<Instant>,
    /// Polls in a row that read nothing.
    failures: u32,
    /// A retry soon would not help: the last poll could not log in, or found too many brokers.
    is_patient: bool,
    /// When the last user left.
    unused_since: Option<Instant>,
}

impl Schedule {
    /// When the next step is due: a poll, or the end if there is no watch.
    pub(super) fn due(&mut self, settings: &Settings, shared: &Shared) -> Instant {
        let now = Instant::now();
        let Some(interval) = shared.interval() else {
            return *self.unused_since.get_or_insert(now) + settings.linger;
        };
        self.unused_since = None;
        let Some(last) = self.last else { return now };
        let interval = interval.clamp(settings.min_interval, settings.max_interval);
        match self.failures {
            0 if shared.is_urgent() || shared.is_renewed() => last + settings.min_gap.min(interval),
            0 => last + interval,
            _ if shared.is_renewed() => last + settings.min_gap,
            _ if self.is_patient => last + scattered(LOGIN_PAUSE),
            failures => last + pause(failures).max(settings.min_gap),
        }
    }

    /// Whether there was no watch when [`Self::due`] was last called.
    pub(super) fn is_unused(&self) -> bool {
        self.unused_since.is_some()
    }

    /// Records the start of a poll.
    pub(super) fn begin(&mut self) {
        self.last = Some(Instant::now());
    }

    /// Records the end of a poll; `error`: nothing could be read.
    pub(super) fn end(&mut self, error: Option<&ReadError>) {
        self.is_patient = matches!(
            error,
            Some(ReadError::Authentication { .. } | ReadError::TooManyBrokers { .. })
        );
        self.failures = match error {
            None => 0,
            Some(_) => self.failures.saturating_add(1),
        };
    }
}

/// The time plus up to a quarter, so that the operators and clusters of a fleet do not connect at
/// the same moment.
pub(super) fn scattered(pause: Duration) -> Duration {
    let random = RandomState::new().hash_one(0) % 250;
    pause.mul_f64(1.0 + random_share(random))
}

/// The pause after this many polls in a row that read nothing. It doubles, give or take a fifth, so
/// that the operators and clusters of a fleet do not connect at the same moment.
fn pause(failures: u32) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(1_u32 << failures.saturating_sub(1).min(16));
    let random = RandomState::new().hash_one(failures) % 400;
    doubled
        .min(LONGEST_PAUSE)
        .mul_f64(0.8 + random_share(random))
}

/// `thousandths` of one.
fn random_share(thousandths: u64) -> f64 {
    f64::from(u16::try_from(thousandths).unwrap_or(0)) / 1000.0
}
