//! The resources of this process, seen from outside.
#![expect(
    unsafe_code,
    reason = "no safe call has the allocator give memory back"
)]

use std::fmt;
use std::time::Duration;

use lagrange_testing::proxy::Proxy;

/// The resources of a process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Holdings {
    pub(crate) threads: usize,
    pub(crate) files: usize,
    pub(crate) resident_mb: usize,
}

impl Holdings {
    /// The resources of this process, without the connections through the proxy, and after the
    /// allocator has returned unused memory.
    pub(crate) fn now(proxy: &Proxy) -> Self {
        #[cfg(target_env = "gnu")]
        // SAFETY: may be called at any time, from any thread.
        unsafe {
            libc::malloc_trim(0);
        }
        let entries = |directory| std::fs::read_dir(directory).unwrap().count();
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = resident.unwrap().trim().trim_end_matches(" kB");
        Self {
            threads: entries("/proc/self/task"),
            files: entries("/proc/self/fd").saturating_sub(2 * proxy.open()),
            resident_mb: kilobytes.parse::<usize>().unwrap() / 1024,
        }
    }

    /// Whether Valgrind manages memory and threads, so that the measurements mean nothing.
    pub(crate) fn are_valgrinds() -> bool {
        std::env::var("LD_PRELOAD").is_ok_and(|preload| preload.contains("vgpreload"))
    }

    /// Whether it is no more than `before` plus normal variation: one connection attempt to each of
    /// three brokers, a thread that is about to end, and a fragmented heap.
    fn is_flat(self, before: Self, more_mb: usize) -> bool {
        self.threads <= before.threads + 3
            && self.files <= before.files + 3
            && self.resident_mb <= before.resident_mb + more_mb
    }
}

impl fmt::Display for Holdings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            threads,
            files,
            resident_mb,
        } = self;
        write!(f, "{threads} threads, {files} files, {resident_mb} MB")
    }
}

/// The resources of the process at each rest.
pub(crate) struct Course {
    start: Holdings,
    rests: Vec<(String, Holdings)>,
    /// The time until everything was read again, after each round.
    recoveries: Vec<Duration>,
}

/// What the first round may add after the warm-up: the first error of each kind, in librdkafka and
/// OpenSSL. Measured: 3 to 6. One leaked client is more than 1.
const FIRST_ROUND_MB: usize = 16;

/// What all later rounds may add: the fragmented heap of dozens of clients, which are opened again
/// in each round. Measured: 5 in the first four of six rounds, then nothing.
const LATER_ROUNDS_MB: usize = 12;

impl Course {
    pub(crate) fn start(start: Holdings) -> Self {
        println!("at the start: {start}");
        Self {
            start,
            rests: Vec::new(),
            recoveries: Vec::new(),
        }
    }

    pub(crate) fn rest(&mut self, when: &str, held: Holdings) {
        println!("{when}: {held}");
        self.rests.push((when.to_owned(), held));
    }

    pub(crate) fn recovered(&mut self, after: Duration) {
        println!("all is read {after:?} after the last fault");
        self.recoveries.push(after);
    }

    pub(crate) fn would_be_flat(&self, now: Holdings) -> bool {
        let rests: Vec<Holdings> = self.rests.iter().map(|(_, held)| *held).collect();
        flat(&rests, now)
    }

    /// Whether every rest is within the limits.
    pub(crate) fn is_flat(&self) -> bool {
        let rests: Vec<Holdings> = self.rests.iter().map(|(_, held)| *held).collect();
        (0..rests.len()).all(|index| flat(&rests[..index], rests[index]))
    }
}

impl fmt::Display for Course {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:16} {}", "at the start", self.start)?;
        for (when, held) in &self.rests {
            writeln!(f, "{when:16} {held}")?;
        }
        write!(f, "all was read again after {:.1?}", self.recoveries)
    }
}

fn flat(before: &[Holdings], now: Holdings) -> bool {
    match before {
        [] => true,
        [warm] => now.is_flat(*warm, FIRST_ROUND_MB),
        [_, first, ..] => now.is_flat(*first, LATER_ROUNDS_MB),
    }
}
