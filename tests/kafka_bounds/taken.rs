//! The resources that this process uses.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Threads, descriptors, and KiB of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) threads: usize,
    pub(crate) descriptors: usize,
    pub(crate) memory: usize,
}

impl Taken {
    pub(crate) fn now() -> Self {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let value = |name: &str| -> usize {
            let mut lines = status.lines();
            let line = lines.find_map(|line| line.strip_prefix(name)).unwrap();
            line.split_whitespace().next().unwrap().parse().unwrap()
        };
        Self {
            threads: value("Threads:"),
            descriptors: std::fs::read_dir("/proc/self/fd").unwrap().count(),
            memory: value("VmRSS:"),
        }
    }
}

/// Measures the maximum of the used resources.
pub(crate) struct Most {
    values: Arc<[AtomicUsize; 3]>,
    stop: Arc<AtomicBool>,
    watching: Option<JoinHandle<()>>,
}

impl Most {
    pub(crate) fn watch() -> Self {
        let most: Arc<[AtomicUsize; 3]> = Arc::default();
        let stop: Arc<AtomicBool> = Arc::default();
        let watching = std::thread::spawn({
            let (most, stop) = (Arc::clone(&most), Arc::clone(&stop));
            move || {
                while !stop.load(Ordering::Relaxed) {
                    let now = Taken::now();
                    for (most, now) in most.iter().zip([now.threads, now.descriptors, now.memory]) {
                        most.fetch_max(now, Ordering::Relaxed);
                    }
                    std::thread::sleep(Duration::from_millis(2));
                }
            }
        });
        Self {
            values: most,
            stop,
            watching: Some(watching),
        }
    }

    /// The maximum so far.
    pub(crate) fn so_far(&self) -> Taken {
        let [threads, descriptors, memory] = &*self.values;
        Taken {
            threads: threads.load(Ordering::Relaxed),
            descriptors: descriptors.load(Ordering::Relaxed),
            memory: memory.load(Ordering::Relaxed),
        }
    }
}

impl Drop for Most {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(watching) = self.watching.take() {
            drop(watching.join());
        }
    }
}

/// Waits until the condition holds, at most a minute.
pub(crate) async fn until(what: &str, so: impl Fn() -> bool) {
    let began = Instant::now();
    while !so() {
        assert!(began.elapsed() < Duration::from_mins(1), "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
