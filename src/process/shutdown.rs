//! How the process ends: every task is tracked and joined, a task that ends by itself ends the
//! process, and an end that was asked for comes in time even when something hangs. Calls nothing
//! that can block.

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

/// What the grace keeps for leaving the process, after the tasks have had the rest.
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

/// Waits for the end. There is one.
#[derive(Debug)]
pub struct Supervisor {
    tasks: Tasks,
    failures: mpsc::UnboundedReceiver<Failure>,
}

/// An empty set of tasks that will run on `workers`, and its supervisor.
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
    /// Cancelled when the process has to end; every task listens to it, or to a child of it.
    pub fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// Runs a task that the process cannot do without: if it ends before [`Self::stop`], well or
    /// badly, so does the process.
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

    /// Runs a task that may end at any time, such as the poller of a cluster that nobody uses any
    /// more. Only a panic in it ends the process.
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
                // Nobody listens any more when the process is already ending.
                let _ = failures.send(Failure { task: name, reason });
            }
        };
        self.tracker.spawn_on(tracked, &self.workers);
    }
}

/// How the process came to its end.
#[derive(Debug)]
pub enum Ended {
    /// A signal asked for it and every task has been joined.
    Orderly,
    /// A signal asked for it, and these tasks were still running when the grace was over.
    Overdue(Vec<String>),
    /// A second signal came before the tasks had ended.
    AtOnce(Signal),
    /// A task ended that should not have.
    Failed(Failure),
}

impl Supervisor {
    /// Returns when the process may exit, at most `grace` after the first signal or failure.
    ///
    /// A call into a C library cannot be cancelled, and as many of them as there are workers stop
    /// the timers and signals of their runtime. So this runs on a runtime of its own, and the
    /// caller then leaves without waiting for threads.
    pub async fn run<S>(mut self, mut signals: S, grace: Duration) -> Ended
    where
        S: Stream<Item = Signal> + Unpin,
    {
        let failure = {
            tokio::select! {
                Some(signal) = signals.next() => {
                    info!(%signal, "asked to stop");
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
        let ended = tokio::select! {
            // In this order: a second signal that has come counts, also when the last task has
            // ended with it.
            biased;
            Some(signal) = signals.next() => {
                warn!(%signal, "asked again to stop, ending at once");
                Ended::AtOnce(signal)
            }
            () = tracker.wait() => {
                debug!("every task has ended");
                Ended::Orderly
            }
            () = sleep(grace.saturating_sub(RESERVE)) => {
                let names = running.names();
                warn!(tasks = names.join(", "), "ending without tasks that did not end in time");
                Ended::Overdue(names)
            }
        };
        match failure {
            Some(failure) => Ended::Failed(failure),
            None => ended,
        }
    }
}

/// The task that ended the process, and why.
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

/// A request to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM: Kubernetes.
    Terminate,
    /// SIGINT: Ctrl-C.
    Interrupt,
}

impl Signal {
    /// As shells number it.
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

/// Every SIGTERM and SIGINT from now on; they no longer end the process by themselves.
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

/// The names of the tasks that run now.
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

/// Takes the name away however its task ends.
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
