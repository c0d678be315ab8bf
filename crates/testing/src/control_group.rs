//! A control group, which limits the memory, the CPU time and the threads of an operator. Linux,
//! root.

use std::fs;
use std::path::{Path, PathBuf};

use crate::unique;

/// The kernel's usual period of CPU limits, in microseconds; the kubelet's too.
const CPU_PERIOD: i64 = 100_000;
const ROOT: &str = "/sys/fs/cgroup";

/// A control group of the test, of either version. Dropping this removes it.
#[derive(Debug)]
pub struct ControlGroup {
    name: String,
    is_v2: bool,
}

/// What is limited. Version 1 has a hierarchy for each of them.
#[derive(Debug, Clone, Copy)]
enum Controller {
    Memory,
    Cpu,
    Threads,
}

impl Controller {
    const ALL: [Self; 3] = [Self::Memory, Self::Cpu, Self::Threads];

    const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Cpu => "cpu",
            Self::Threads => "pids",
        }
    }
}

impl Default for ControlGroup {
    fn default() -> Self {
        Self::new()
    }
}

impl ControlGroup {
    /// Creates one without limits.
    pub fn new() -> Self {
        let group = Self {
            name: unique("lagrange-test"),
            is_v2: Path::new(ROOT).join("cgroup.controllers").exists(),
        };
        if group.is_v2 {
            for controller in Controller::ALL {
                // This fails if the controller is on already and processes are in the root group.
                let on = format!("+{}", controller.name());
                let _ = fs::write(Path::new(ROOT).join("cgroup.subtree_control"), on);
            }
        }
        for path in group.paths() {
            fs::create_dir(path).unwrap();
        }
        group
    }

    /// The directories that a process must enter.
    pub fn paths(&self) -> Vec<PathBuf> {
        let mut paths: Vec<PathBuf> = Controller::ALL.map(|of| self.path(of)).into();
        paths.dedup();
        paths
    }

    fn path(&self, of: Controller) -> PathBuf {
        let hierarchy = if self.is_v2 { "" } else { of.name() };
        Path::new(ROOT).join(hierarchy).join(&self.name)
    }

    /// Limits the memory.
    pub fn limit_memory(&self, bytes: u64) {
        let file = self.choose("memory.limit_in_bytes", "memory.max");
        self.set(Controller::Memory, file, &bytes.to_string());
    }

    /// Limits the number of threads.
    pub fn limit_threads(&self, count: u32) {
        self.set(Controller::Threads, "pids.max", &count.to_string());
    }

    /// Limits the CPU time to so many thousandths of a core; `None` takes the limit away.
    pub fn limit_cpu(&self, millicores: Option<u32>) {
        let quota = millicores.map(|millicores| i64::from(millicores) * CPU_PERIOD / 1_000);
        if self.is_v2 {
            let quota = quota.map_or_else(|| "max".to_owned(), |quota| quota.to_string());
            let limit = format!("{quota} {CPU_PERIOD}");
            self.set(Controller::Cpu, "cpu.max", &limit);
        } else {
            let quota = quota.unwrap_or(-1).to_string();
            self.set(Controller::Cpu, "cpu.cfs_quota_us", &quota);
        }
    }

    /// The periods in which a process was runnable under a limit of CPU time, and those of them in
    /// which the limit stopped it.
    pub fn cpu_periods(&self) -> (u64, u64) {
        let number = |key| self.number(Controller::Cpu, "cpu.stat", key);
        (number("nr_periods"), number("nr_throttled"))
    }

    /// The memory of the processes in bytes, without cached files.
    pub fn resident(&self) -> u64 {
        let key = self.choose("rss", "anon");
        self.number(Controller::Memory, "memory.stat", key)
    }

    /// The most bytes that were ever in use, with cached files.
    pub fn peak(&self) -> u64 {
        let file = self.choose("memory.max_usage_in_bytes", "memory.peak");
        self.get(Controller::Memory, file).trim().parse().unwrap()
    }

    /// How many processes were killed because memory ran out.
    pub fn kills(&self) -> u64 {
        let file = self.choose("memory.oom_control", "memory.events");
        self.number(Controller::Memory, file, "oom_kill")
    }

    const fn choose(&self, v1: &'static str, v2: &'static str) -> &'static str {
        if self.is_v2 { v2 } else { v1 }
    }

    fn number(&self, of: Controller, file: &str, key: &str) -> u64 {
        let text = self.get(of, file);
        let mut lines = text.lines().filter_map(|line| line.split_once(' '));
        let found = lines.find_map(|(name, value)| (name == key).then_some(value));
        found.unwrap().trim().parse().unwrap()
    }

    fn get(&self, of: Controller, file: &str) -> String {
        fs::read_to_string(self.path(of).join(file)).unwrap()
    }

    fn set(&self, of: Controller, file: &str, value: &str) {
        fs::write(self.path(of).join(file), value).unwrap();
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        for path in self.paths() {
            // The process has ended, but the kernel may need a moment to notice.
            for _ in 0..50 {
                if fs::remove_dir(&path).is_ok() {
                    break;
                }
                std::thread::sleep(std::time::Duration::from_millis(100));
            }
        }
    }
}
