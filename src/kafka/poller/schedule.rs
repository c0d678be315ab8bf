//! When a poller looks at its cluster, and how long it waits after a look that read nothing. Looks
//! at nothing itself.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use tokio::time::Instant;

use super::interests::Shared;
use super::settings::Settings;
use crate::kafka::model::error::ReadError;

/// First pause after a look that read nothing; doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(2);

/// Longest pause between looks at a cluster that cannot be reached.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Least pause after a login that was refused, however many groups wait for it: brokers lock out
/// whoever knocks too often. New credentials are tried at once. Also after a cluster of too many
/// brokers, of which each try starts threads for as many as it may.
pub(super) const LOGIN_PAUSE: Duration = Duration::from_secs(60);

/// When the last look began, and how the looks have gone.
#[derive(Default)]
pub(super) struct Schedule {
    last: Option<Instant>,
    /// Looks in a row that read nothing.
    failures: u32,
    /// Nothing is better for being tried again soon: the last look could not log in, or found more
    /// brokers than there may be.
    is_patient: bool,
    /// When the last user left.
    unused_since: Option<Instant>,
}

impl Schedule {
    /// When something is to be done next: a look, or retiring when nobody watches.
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

    /// Whether nobody watched when [`Self::due`] was last asked.
    pub(super) fn is_unused(&self) -> bool {
        self.unused_since.is_some()
    }

    /// A look begins.
    pub(super) fn begin(&mut self) {
        self.last = Some(Instant::now());
    }

    /// A look has ended; `error`: nothing could be read.
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

/// The time, or up to a quarter more, so that the operators and clusters of a fleet do not knock in
/// step.
pub(super) fn scattered(pause: Duration) -> Duration {
    let random = RandomState::new().hash_one(0) % 250;
    pause.mul_f64(1.0 + random_share(random))
}

/// The pause after so many looks in a row that read nothing: doubling, give or take a fifth, so
/// that the operators and clusters of a fleet do not knock in step.
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
