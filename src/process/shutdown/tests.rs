//! Shutdown of every kind, in virtual time; the case of blocked workers runs in real time.

use futures::{channel::mpsc::unbounded, future::ready};
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
        .run(stream::iter([Signal::Terminate]), GRACE, ready(()))
        .await;
    assert!(matches!(ended, Ended::Orderly), "{ended:?}");
    assert_eq!(began.elapsed(), Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn the_last_step_waits_for_every_task_and_has_the_rest_of_the_grace_period() {
    for (takes, expected) in [(1, 3), (60, 4)] {
        let (tasks, supervisor) = supervised(Handle::current());
        let (stop, ended) = (tasks.stop().clone(), Arc::new(AtomicU64::new(0)));
        let slow = Arc::clone(&ended);
        tasks.spawn_vital("slow", async move {
            stop.cancelled().await;
            sleep(Duration::from_secs(2)).await;
            slow.fetch_add(1, Ordering::Relaxed);
            Ok::<_, String>(())
        });
        let last = async {
            assert_eq!(ended.load(Ordering::Relaxed), 1);
            sleep(Duration::from_secs(takes)).await;
        };
        let began = Instant::now();
        let signals = stream::iter([Signal::Terminate]);
        supervisor.run(signals, GRACE, last).await;
        assert_eq!(began.elapsed().as_secs(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn tasks_that_outlast_the_grace_period_are_left_and_named() {
    let (tasks, supervisor) = supervised(Handle::current());
    tasks.spawn_vital("poller of kafka/main", never());
    tasks.spawn("done", async {});
    let began = Instant::now();
    let ended = supervisor
        .run(stream::iter([Signal::Terminate]), GRACE, ready(()))
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
    let ended = supervisor.run(signals, GRACE, ready(())).await;
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
    let ended = supervisor.run(stream::pending(), GRACE, ready(())).await;
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
    let ended = supervisor.run(stream::pending(), GRACE, ready(())).await;
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
    let ended = supervisor.run(stream::pending(), GRACE, ready(())).await;
    assert!(matches!(ended, Ended::Failed(_)), "{ended:?}");
}

/// Hung calls into librdkafka block the workers, and with them the timers and signals of the
/// runtime.
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
    let ended = main.block_on(supervisor.run(stream::iter([Signal::Terminate]), grace, ready(())));
    let Ended::Overdue(names) = ended else {
        panic!("{ended:?}")
    };
    assert_eq!(names, ["native call 0", "native call 1"]);
    drop(release);
}
