//! How the process ends. Every task is tracked and joined. A vital task that ends by itself ends
//! the process. After a signal the process ends in time even when a task hangs. Nothing here
//! blocks.

use std::{
    collections::BTreeMap,
    fmt,
    future::Future,
    panic::AssertUnwindSafe,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::{FutureExt as _, Stream, StreamExt as _, stream};
use tokio::{
    runtime::Handle,
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    time::sleep,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, info, warn};

/// The part of the grace period that is kept for leaving the process; the tasks get the rest.
const RESERVE: Duration = Duration::from_millis(250);

/// Spawns the tasks of the process. Cheap to clone; all clones are one set.
#[derive(Clone, Debug)]
pub struct Tasks {
    stop: CancellationToken,
    tracker: TaskTracker,
    workers: Handle,
    running: Arc<Running>,
    failures: mpsc::UnboundedSender<Failure>,
}

/// Waits for the end of the process. There is one.
#[derive(Debug)]
pub struct Supervisor {
    tasks: Tasks,
    failures: mpsc::UnboundedReceiver<Failure>,
}

/// An empty set of tasks that run on `workers`, and its supervisor.
pub fn supervised(workers: Handle) -> (Tasks, Supervisor) {
    let (sender, failures) = mpsc::unbounded_channel();
    let tasks = Tasks {
        stop: CancellationToken::new(),
        tracker: TaskTracker::new(),
        workers,
        running: Arc::default(),
        failures: sender,
    };
    let supervisor = Supervisor {
        tasks: tasks.clone(),
        failures,
    };
    (tasks, supervisor)
}

impl Tasks {
    /// Cancelled when the process has to end. Every task waits for it, or for a child of it.
    pub fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// Runs a task that the process needs: if it ends before [`Self::stop`], with success or
    /// failure, the process ends too.
    pub fn spawn_vital<F, E>(&self, name: impl Into<String>, task: F)
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: fmt::Display,
    {
        let stop = self.stop.clone();
        self.track(name.into(), async move {
            let ended = task.await;
            if stop.is_cancelled() {
                return None;
            }
            Some(match ended {
                Ok(()) => Reason::Returned,
                Err(error) => Reason::Failed(error.to_string()),
            })
        });
    }

    /// Runs a task that may end at any time, such as the poller of a cluster that is no longer
    /// used. Only a panic in it ends the process.
    pub fn spawn<F>(&self, name: impl Into<String>, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.track(name.into(), task.map(|()| None));
    }

    fn track<F>(&self, name: String, task: F)
    where
        F: Future<Output = Option<Reason>> + Send + 'static,
    {
        let running = self.running.enter(name.clone());
        let failures = self.failures.clone();
        let tracked = async move {
            let reason = match AssertUnwindSafe(task).catch_unwind().await {
                Ok(reason) => reason,
                Err(payload) => Some(Reason::Panicked(panic_text(payload.as_ref()))),
            };
            drop(running);
            if let Some(reason) = reason {
                // The receiver is gone when the process is already ending.
                let _ = failures.send(Failure { task: name, reason });
            }
        };
        self.tracker.spawn_on(tracked, &self.workers);
    }
}

/// Why the process ends.
#[derive(Debug)]
pub enum Ended {
    /// After a signal, every task was joined.
    Orderly,
    /// After a signal, these tasks were still running when the grace period was over.
    Overdue(Vec<String>),
    /// A second signal came before the tasks had ended.
    AtOnce(Signal),
    /// A vital task ended by itself, or a task panicked.
    Failed(Failure),
}

impl Supervisor {
    /// Returns when the process may exit, at most `grace` after the first signal or failure. `last`
    /// runs when every task has ended.
    ///
    /// A call into a C library cannot be cancelled. When one hangs on each worker, the timers and
    /// signals of that runtime stop. Therefore this runs on a runtime of its own, and the caller
    /// then exits without waiting for threads.
    pub async fn run<S>(
        mut self,
        mut signals: S,
        grace: Duration,
        last: impl Future<Output = ()>,
    ) -> Ended
    where
        S: Stream<Item = Signal> + Unpin,
    {
        let failure = {
            tokio::select! {
                Some(signal) = signals.next() => {
                    info!(%signal, "stopping");
                    None
                }
                Some(failure) = self.failures.recv() => Some(failure),
            }
        };
        let Tasks {
            stop,
            tracker,
            running,
            ..
        } = self.tasks;
        stop.cancel();
        tracker.close();
        let all_ended = async {
            tracker.wait().await;
            debug!("every task has ended");
            last.await;
        };
        let ended = tokio::select! {
            // In this order: a second signal counts even when the last task ends at the same time.
            biased;
            Some(signal) = signals.next() => {
                warn!(%signal, "second signal, exiting at once");
                Ended::AtOnce(signal)
            }
            () = all_ended => Ended::Orderly,
            () = sleep(grace.saturating_sub(RESERVE)) => {
                let names = running.names();
                warn!(tasks = names.join(", "), "exiting while tasks are still running");
                Ended::Overdue(names)
            }
        };
        match failure {
            Some(failure) => Ended::Failed(failure),
            None => ended,
        }
    }
}

/// The task that ended the process, and the cause.
#[derive(Debug, thiserror::Error)]
#[error("{task} {reason}")]
pub struct Failure {
    task: String,
    reason: Reason,
}

#[derive(Debug, thiserror::Error)]
enum Reason {
    #[error("ended unexpectedly")]
    Returned,
    #[error("failed: {0}")]
    Failed(String),
    #[error("panicked: {0}")]
    Panicked(String),
}

fn panic_text(payload: &(dyn std::any::Any + Send)) -> String {
    let text = payload
        .downcast_ref::<&str>()
        .map(ToString::to_string)
        .or_else(|| payload.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "no message".to_owned())
}

/// A signal that stops the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM, from Kubernetes.
    Terminate,
    /// SIGINT, from Ctrl-C.
    Interrupt,
}

impl Signal {
    /// Number of the signal; a shell reports it plus 128.
    pub fn number(self) -> i32 {
        self.kind().as_raw_value()
    }

    fn kind(self) -> SignalKind {
        match self {
            Self::Terminate => SignalKind::terminate(),
            Self::Interrupt => SignalKind::interrupt(),
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Terminate => "SIGTERM",
            Self::Interrupt => "SIGINT",
        })
    }
}

/// Every SIGTERM and SIGINT from now on. They no longer end the process by themselves.
pub fn signals() -> std::io::Result<impl Stream<Item = Signal> + Unpin> {
    let each = |which: Signal| {
        let listener = signal(which.kind())?;
        let received = stream::unfold(listener, move |mut listener| async move {
            listener.recv().await.map(|()| (which, listener))
        });
        Ok::<_, std::io::Error>(Box::pin(received))
    };
    Ok(stream::select(
        each(Signal::Terminate)?,
        each(Signal::Interrupt)?,
    ))
}

/// The names of the running tasks.
#[derive(Debug, Default)]
struct Running {
    next: AtomicU64,
    names: Mutex<BTreeMap<u64, String>>,
}

impl Running {
    fn enter(self: &Arc<Self>, name: String) -> Entry {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.names
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id, name);
        Entry {
            id,
            running: self.clone(),
        }
    }

    fn names(&self) -> Vec<String> {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.values().cloned().collect()
    }
}

/// Removes the name when the task ends, however it ends.
struct Entry {
    id: u64,
    running: Arc<Running>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.running
            .names
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.id);
    }
}

#[cfg(test)]
mod tests;
