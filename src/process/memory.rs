//! How much memory the process may use: the limit of its control group, or the memory of the
//! machine. Reads a few files once, at start.
//!
//! No crate is used for this: the existing ones read only the root of the hierarchy, or are large
//! libraries of system information.

use std::path::{Component, Path};

/// Bytes of memory that the process may use; `None` if the system reports no limit.
pub fn limit() -> Option<u64> {
    limit_under(Path::new("/"))
}

/// The same, with `root` as the root of the file system. Every control group above the process
/// counts, because a limit applies to all groups below it.
fn limit_under(root: &Path) -> Option<u64> {
    let read = |path: &str| std::fs::read_to_string(root.join(path)).ok();
    let machine = read("proc/meminfo").and_then(|text| total(&text));
    let groups = read("proc/self/cgroup").unwrap_or_default();
    let limits = groups.lines().filter_map(group).flat_map(|group| {
        let base = root.join(group.mount);
        let names = Path::new(group.path).components();
        let names = names.filter_map(|part| match part {
            Component::Normal(name) => Some(name),
            // `..`: above the part of the hierarchy that this process sees.
            _ => None,
        });
        let below = names.scan(base.clone(), |directory, name| {
            directory.push(name);
            Some(directory.clone())
        });
        let directories: Vec<_> = std::iter::once(base).chain(below).collect();
        let limits = directories.into_iter().filter_map(move |directory| {
            let text = std::fs::read_to_string(directory.join(group.file)).ok()?;
            // `max` means no limit and does not parse.
            text.trim().parse::<u64>().ok()
        });
        limits.collect::<Vec<_>>()
    });
    // Version 1 reports "no limit" as a number larger than any machine's memory.
    machine
        .into_iter()
        .chain(limits)
        .filter(|bytes| *bytes > 0)
        .min()
}

/// A control group of this process.
struct Group<'a> {
    mount: &'static str,
    path: &'a str,
    file: &'static str,
}

/// Parses a line of `/proc/self/cgroup`: number, controllers, path. In version 2 the controllers
/// are empty.
fn group(line: &str) -> Option<Group<'_>> {
    let mut parts = line.splitn(3, ':');
    let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
    if controllers.is_empty() {
        return Some(Group {
            mount: "sys/fs/cgroup",
            path,
            file: "memory.max",
        });
    }
    controllers
        .split(',')
        .any(|name| name == "memory")
        .then_some(Group {
            mount: "sys/fs/cgroup/memory",
            path,
            file: "memory.limit_in_bytes",
        })
}

/// `MemTotal` of `/proc/meminfo`.
fn total(text: &str) -> Option<u64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const MEMINFO: (&str, &str) = (
        "proc/meminfo",
        "MemTotal:        8000000 kB\nMemFree: 1 kB\n",
    );
    const MACHINE: u64 = 8_000_000 * 1024;

    #[rstest]
    #[case::container(&[("proc/self/cgroup", "0::/\n"), ("sys/fs/cgroup/memory.max", "268435456\n")], 268_435_456)]
    #[case::no_limit(&[("proc/self/cgroup", "0::/\n"), ("sys/fs/cgroup/memory.max", "max\n")], MACHINE)]
    #[case::a_group_above(&[
        ("proc/self/cgroup", "0::/kubepods/pod1/c1\n"),
        ("sys/fs/cgroup/kubepods/memory.max", "1000000000"),
        ("sys/fs/cgroup/kubepods/pod1/memory.max", "300000000"),
        ("sys/fs/cgroup/kubepods/pod1/c1/memory.max", "max"),
    ], 300_000_000)]
    #[case::paths_of_the_host(&[("proc/self/cgroup", "0::/../../pod1\n"), ("sys/fs/cgroup/memory.max", "100000000")], 100_000_000)]
    #[case::version_1(&[
        ("proc/self/cgroup", "12:cpu,cpuacct:/docker/a\n4:memory:/docker/a\n0::/docker/a\n"),
        ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
        ("sys/fs/cgroup/memory/docker/a/memory.limit_in_bytes", "200000000\n"),
    ], 200_000_000)]
    #[case::version_1_in_a_container(&[
        ("proc/self/cgroup", "4:memory:/docker/a\n"),
        ("sys/fs/cgroup/memory/memory.limit_in_bytes", "150000000\n"),
    ], 150_000_000)]
    #[case::version_1_without_limit(&[
        ("proc/self/cgroup", "4:memory:/\n"),
        ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
    ], MACHINE)]
    #[case::more_than_the_machine_has(&[("proc/self/cgroup", "0::/\n"), ("sys/fs/cgroup/memory.max", "99999999999999")], MACHINE)]
    #[case::nonsense(&[("proc/self/cgroup", "::\n0\n\n"), ("sys/fs/cgroup/memory.max", "-5")], MACHINE)]
    #[case::nothing_mounted(&[], MACHINE)]
    fn the_smallest_limit_holds(#[case] files: &[(&str, &str)], #[case] bytes: u64) {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files.iter().chain([&MEMINFO]) {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        assert_eq!(limit_under(root.path()), Some(bytes));
    }

    #[test]
    fn a_system_without_these_files_has_no_limit() {
        assert_eq!(limit_under(tempfile::tempdir().unwrap().path()), None);
    }

    #[test]
    fn this_machine_has_a_limit() {
        assert!(limit().is_some_and(|bytes| bytes > 1 << 20));
    }
}
