//! How the process ends: every task is tracked and joined, a task that ends by itself ends the process, and an end that
//! was asked for comes in time even when something hangs. Calls nothing that can block.

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

    /// Runs a task that the process cannot do without: if it ends before [`Self::stop`], well or badly, so does the process.
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

    /// Runs a task that may end at any time, such as the poller of a cluster that nobody uses any more. Only a panic in it
    /// ends the process.
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
    /// A call into a C library cannot be cancelled, and as many of them as there are workers stop the timers and signals
    /// of their runtime. So this runs on a runtime of its own, and the caller then leaves without waiting for threads.
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
            () = tracker.wait() => {
                debug!("every task has ended");
                Ended::Orderly
            }
            Some(signal) = signals.next() => {
                warn!(%signal, "asked again to stop, ending at once");
                Ended::AtOnce(signal)
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
mod tests {
    use futures::channel::mpsc::unbounded;
    use tokio::{runtime::Builder, time::Instant};

    use super::*;

    const GRACE: Duration = Duration::from_secs(5);

    async fn never() -> Result<(), String> {
        std::future::pending().await
    }

    #[tokio::test(start_paused = true)]
    async fn a_signal_stops_every_task_and_waits_for_them() {
        let (tasks, supervisor) = supervised(Handle::current());
        let stop = tasks.stop().clone();
        tasks.spawn_vital("slow", async move {
            stop.cancelled().await;
            sleep(Duration::from_secs(2)).await;
            Ok::<_, String>(())
        });
        let began = Instant::now();
        let ended = supervisor
            .run(stream::iter([Signal::Terminate]), GRACE)
            .await;
        assert!(matches!(ended, Ended::Orderly), "{ended:?}");
        assert_eq!(began.elapsed(), Duration::from_secs(2));
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_end_in_time_is_left_behind_and_named() {
        let (tasks, supervisor) = supervised(Handle::current());
        tasks.spawn_vital("poller of kafka/main", never());
        tasks.spawn("done", async {});
        let began = Instant::now();
        let ended = supervisor
            .run(stream::iter([Signal::Terminate]), GRACE)
            .await;
        let Ended::Overdue(names) = ended else {
            panic!("{ended:?}")
        };
        assert_eq!(names, ["poller of kafka/main"]);
        assert!(began.elapsed() < GRACE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_signal_ends_at_once() {
        let (tasks, supervisor) = supervised(Handle::current());
        tasks.spawn_vital("stuck", never());
        let (send, signals) = unbounded();
        send.unbounded_send(Signal::Terminate).unwrap();
        send.unbounded_send(Signal::Interrupt).unwrap();
        let began = Instant::now();
        let ended = supervisor.run(signals, GRACE).await;
        assert!(
            matches!(ended, Ended::AtOnce(Signal::Interrupt)),
            "{ended:?}"
        );
        assert_eq!(began.elapsed(), Duration::ZERO);
    }

    #[rstest::rstest]
    #[case::returns(Box::pin(async { Ok(()) }), "watch ended unexpectedly")]
    #[case::fails(Box::pin(async { Err("connection lost") }), "watch failed: connection lost")]
    #[case::panics(Box::pin(async { panic!("index {} is gone", 7) }), "watch panicked: index 7 is gone")]
    #[tokio::test(start_paused = true)]
    async fn a_vital_task_that_ends_by_itself_ends_the_process_with_its_reason(
        #[case] task: std::pin::Pin<Box<dyn Future<Output = Result<(), &'static str>> + Send>>,
        #[case] reason: &str,
    ) {
        let (tasks, supervisor) = supervised(Handle::current());
        tasks.spawn_vital("watch", task);
        let other = tasks.stop().clone();
        tasks.spawn("other", async move { other.cancelled().await });
        let ended = supervisor.run(stream::pending(), GRACE).await;
        let Ended::Failed(failure) = ended else {
            panic!("{ended:?}")
        };
        assert_eq!(failure.to_string(), reason);
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_may_end_does_not_end_the_process_unless_it_panics() {
        let (tasks, supervisor) = supervised(Handle::current());
        tasks.spawn("poller of kafka/main", async {});
        tasks.spawn("poller of kafka/other", async {
            sleep(Duration::from_hours(1)).await;
            panic!("out of luck");
        });
        let began = Instant::now();
        let ended = supervisor.run(stream::pending(), GRACE).await;
        let Ended::Failed(failure) = ended else {
            panic!("{ended:?}")
        };
        assert_eq!(
            failure.to_string(),
            "poller of kafka/other panicked: out of luck"
        );
        assert_eq!(began.elapsed(), Duration::from_hours(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_reported_even_when_another_task_hangs() {
        let (tasks, supervisor) = supervised(Handle::current());
        tasks.spawn_vital("stuck", never());
        tasks.spawn_vital("watch", async { Err("gone") });
        let ended = supervisor.run(stream::pending(), GRACE).await;
        assert!(matches!(ended, Ended::Failed(_)), "{ended:?}");
    }

    /// Hung calls into librdkafka block the workers, and with them the timers and signals of their runtime.
    #[test]
    fn blocked_workers_do_not_delay_the_end() {
        let workers = Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let (tasks, supervisor) = supervised(workers.handle().clone());
        let (blocked, arrived) = std::sync::mpsc::channel();
        let (release, held) = std::sync::mpsc::channel::<()>();
        let held = Arc::new(Mutex::new(held));
        for call in 0..2 {
            let (blocked, held) = (blocked.clone(), held.clone());
            tasks.spawn(format!("native call {call}"), async move {
                blocked.send(()).unwrap();
                let _ = held.lock().map(|held| held.recv());
            });
        }
        (0..2).for_each(|_| arrived.recv().unwrap());

        let main = Builder::new_current_thread().enable_all().build().unwrap();
        let grace = RESERVE + Duration::from_millis(100);
        let ended = main.block_on(supervisor.run(stream::iter([Signal::Terminate]), grace));
        let Ended::Overdue(names) = ended else {
            panic!("{ended:?}")
        };
        assert_eq!(names, ["native call 0", "native call 1"]);
        drop(release);
    }
}
