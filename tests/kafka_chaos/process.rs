//! This process seen from outside: what it holds.
#![expect(
    unsafe_code,
    reason = "no safe call has the allocator give memory back"
)]

use std::fmt;
use std::time::Duration;

use lagrange_testing::proxy::Proxy;

/// What a process holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Holdings {
    pub(crate) threads: usize,
    pub(crate) files: usize,
    pub(crate) resident_mb: usize,
}

impl Holdings {
    /// This process's without the connections through the proxy, and with what the allocator keeps
    /// for later given back first.
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

    /// Whether memory and threads are Valgrind's to manage, and say nothing of ours.
    pub(crate) fn are_valgrinds() -> bool {
        std::env::var("LD_PRELOAD").is_ok_and(|preload| preload.contains("vgpreload"))
    }

    /// Whether it is no more than `before` with what comes and goes: a connection being made to
    /// each of three brokers, a thread that is about to end, and heap that is in pieces.
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

/// What the process held at each rest.
pub(crate) struct Course {
    start: Holdings,
    rests: Vec<(String, Holdings)>,
    /// How long it took until all was read again, after each round.
    recoveries: Vec<Duration>,
}

/// What the first round may add to what is held when warm: the first of every kind of error, of
/// librdkafka's and OpenSSL's. Measured: 3 to 6. One client that is lost is more than 1.
const FIRST_ROUND_MB: usize = 16;

/// What all rounds after the first may add to it: the heap of dozens of clients, made anew each
/// round, in pieces. Measured: 5 in the first four of six rounds, then nothing.
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

    /// Whether no rest holds more than it may.
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
