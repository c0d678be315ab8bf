//! This process seen from outside: what it holds, and its connections cut.
#![expect(
    unsafe_code,
    reason = "no safe call shuts down a socket that another owns, or gives memory back"
)]

use std::fmt;
use std::os::fd::RawFd;

/// What a process holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Holdings {
    pub(crate) threads: usize,
    pub(crate) files: usize,
    pub(crate) resident_mb: usize,
}

impl Holdings {
    /// This process's, with what the allocator keeps for later given back first.
    pub(crate) fn now() -> Self {
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
            files: entries("/proc/self/fd"),
            resident_mb: kilobytes.parse::<usize>().unwrap() / 1024,
        }
    }

    /// Whether memory and threads are Valgrind's to manage, and say nothing of ours.
    pub(crate) fn are_valgrinds() -> bool {
        std::env::var("LD_PRELOAD").is_ok_and(|preload| preload.contains("vgpreload"))
    }

    /// Whether it is no more than `before` with what comes and goes: a connection being made to each of three brokers, a thread
    /// that is about to end, and heap that is in pieces.
    pub(crate) fn is_flat(self, before: Self) -> bool {
        self.threads <= before.threads + 3
            && self.files <= before.files + 3
            && self.resident_mb <= before.resident_mb + 24
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

/// Cuts each connection of this process to one of these ports with a chance of one in two. Both sides see it end.
pub(crate) fn cut_connections(ports: &[u16]) -> usize {
    let cut = sockets_to(ports).into_iter().filter(|_| fastrand::bool());
    // SAFETY: takes no memory. If the descriptor has been closed and used anew since, another of this test's connections ends.
    cut.filter(|fd| unsafe { libc::shutdown(*fd, libc::SHUT_RDWR) } == 0)
        .count()
}

fn sockets_to(ports: &[u16]) -> Vec<RawFd> {
    let table = std::fs::read_to_string("/proc/self/net/tcp").unwrap();
    let inodes: Vec<&str> = table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let port = u16::from_str_radix(fields[2].rsplit(':').next()?, 16).ok()?;
            ports.contains(&port).then_some(fields[9])
        })
        .collect();
    let files = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    files
        .filter_map(|file| {
            let link = std::fs::read_link(file.path()).ok()?;
            let inode = link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
            let number = file.file_name().to_str()?.parse().ok()?;
            inodes.contains(&inode).then_some(number)
        })
        .collect()
}
