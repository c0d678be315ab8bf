//! Clean stop: SIGTERM or SIGINT sets a flag that every thread can wait for.
//!
//! Independent of Kafka. The work runs on its own thread, because librdkafka blocks; signals and
//! the readiness endpoint are served on another. The work's thread ends before this returns: if it
//! freed its thread-local memory while `exit` runs OpenSSL's handlers, the memory would be freed
//! twice (observed once in 300 runs). If the thread hangs, the process ends without handlers.

use std::future::Future;
use std::io;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use crate::failure::Failure;

/// Whether a stop was requested, and when.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stop(Arc<Bell>);

#[derive(Debug, Default)]
struct Bell {
    rung: Mutex<Option<Instant>>,
    changed: Condvar,
}

impl Stop {
    /// Requests the stop. The first call counts.
    pub(crate) fn request(&self) {
        self.0
            .rung
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert_with(Instant::now);
        self.0.changed.notify_all();
    }

    /// Time of the request.
    pub(crate) fn requested(&self) -> Option<Instant> {
        *self.0.rung.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `until`, or until `grace` after the request, whichever comes first. True when
    /// `until` was reached.
    pub(crate) fn wait_until(&self, until: Instant, grace: Duration) -> bool {
        let mut rung = self.0.rung.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let now = Instant::now();
            if now >= until {
                return true;
            }
            let end = rung.map_or(until, |at| until.min(at + grace));
            let Some(left) = end
                .checked_duration_since(now)
                .filter(|left| !left.is_zero())
            else {
                return false;
            };
            (rung, _) = self
                .0
                .changed
                .wait_timeout(rung, left)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Runs `work` on a thread until it ends by itself or by a signal, together with `beside`. After
/// the signal it has `deadline` to end: librdkafka may hang while brokers are away.
///
/// `beside` ends only with a failure, which ends the work too.
pub(crate) fn drive<W, B>(deadline: Duration, work: W, beside: B) -> Result<(), Failure>
where
    W: FnOnce(Stop) -> Result<(), Failure> + Send + 'static,
    B: Future<Output = Failure>,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::System)?;
    runtime.block_on(async {
        let stop = Stop::default();
        let mut signals = Signals::listen().map_err(Failure::System)?;
        let (done, mut ended) = oneshot::channel();
        let heard = stop.clone();
        let work = thread::Builder::new()
            .name("work".to_owned())
            .spawn(move || {
                // The receiver is gone if the deadline has passed.
                let _ = done.send(work(heard));
            });
        let work = work.map_err(Failure::System)?;
        let failed = tokio::select! {
            ended = &mut ended => return finished(work, ended),
            () = signals.next() => None,
            failure = beside => Some(failure),
        };
        stop.request();
        let finished = tokio::select! {
            ended = ended => finished(work, ended),
            () = signals.next() => Err(Failure::StoppedTwice),
            () = tokio::time::sleep(deadline) => Err(Failure::NotStopped(deadline)),
        };
        failed.map_or(finished, Err)
    })
}

/// Joins the thread, which is about to end, and returns the outcome of its work.
fn finished<E>(work: JoinHandle<()>, ended: Result<Result<(), Failure>, E>) -> Result<(), Failure> {
    let panicked = work.join().is_err();
    if panicked {
        Err(Failure::WorkDied)
    } else {
        ended.unwrap_or(Err(Failure::WorkDied))
    }
}

struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_mins(1);

    #[test]
    fn waiting_ends_at_its_time() {
        let stop = Stop::default();
        assert!(stop.wait_until(Instant::now() + Duration::from_millis(2), Duration::ZERO));
    }

    #[test]
    fn a_stop_wakes_a_waiting_thread() {
        let stop = Stop::default();
        let sleeper = std::thread::spawn({
            let stop = stop.clone();
            move || stop.wait_until(Instant::now() + LONG, Duration::ZERO)
        });
        stop.request();
        assert!(!sleeper.join().unwrap(), "woken before its time");
    }

    #[test]
    fn work_that_ends_within_the_grace_is_waited_for() {
        let stop = Stop::default();
        stop.request();
        assert!(stop.wait_until(Instant::now() + Duration::from_millis(5), LONG));
        assert!(!stop.wait_until(Instant::now() + LONG, Duration::from_millis(5)));
    }

    #[test]
    fn hanging_work_does_not_block_the_end() {
        let begun = Instant::now();
        let hang = |_| {
            std::thread::park_timeout(LONG);
            Ok(())
        };
        let outcome = drive(Duration::from_millis(1), hang, async {
            Failure::StoppedTwice
        });
        assert!(outcome.is_err());
        assert!(begun.elapsed() < LONG / 2);
    }

    #[test]
    fn failure_beside_ends_the_work() {
        let outcome = drive(
            LONG,
            |stop| {
                stop.wait_until(Instant::now() + LONG, Duration::ZERO);
                Ok(())
            },
            async { Failure::StoppedTwice },
        );
        assert!(matches!(outcome, Err(Failure::StoppedTwice)), "{outcome:?}");
    }
}
