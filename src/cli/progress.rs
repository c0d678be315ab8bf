//! The progress of a long run, shown only on a terminal; short runs show nothing.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A shorter run shows nothing.
const AFTER: Duration = Duration::from_secs(2);
/// Interval of drawing.
const EACH: Duration = Duration::from_millis(200);

/// Cleared from the screen when it is dropped.
pub(super) struct Progress {
    bar: ProgressBar,
    began: Instant,
    /// Time of the next drawing, in milliseconds since the beginning.
    due: AtomicU64,
}

impl Progress {
    /// For this amount of work.
    pub(super) fn over(work: i64) -> Self {
        let bar =
            ProgressBar::with_draw_target(Some(work.unsigned_abs()), ProgressDrawTarget::hidden());
        // The template has only known fields, so this cannot fail.
        if let Ok(style) = ProgressStyle::with_template("simulating: {percent} %, {eta} left") {
            bar.set_style(style);
        }
        Self {
            bar,
            began: Instant::now(),
            due: AtomicU64::new(millis(AFTER)),
        }
    }

    /// Adds finished work.
    pub(super) fn passed(&self, work: i64) {
        self.bar.inc(work.unsigned_abs());
        let now = millis(self.began.elapsed());
        let due = self.due.load(Ordering::Relaxed);
        if now < due {
            return;
        }
        let next = now + millis(EACH);
        let order = Ordering::Relaxed;
        if self.due.compare_exchange(due, next, order, order).is_err() {
            return;
        }
        if self.bar.is_hidden() {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        self.bar.tick();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
