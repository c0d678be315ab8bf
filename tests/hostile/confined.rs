//! The operator as the chart runs it: the chart's permissions, memory limit and user, no
//! capability, and the usual limit of threads of a container. Not modelled: the file system of the
//! image, seccomp and the network.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use lagrange_testing::kubernetes::Kubernetes;
use lagrange_testing::operator::Operator;
use serde_json::Value;
use tempfile::TempDir;

/// The user of the chart's Pod.
const USER: u32 = 65_532;
/// A common value of the kubelet's `podPidsLimit`.
const MOST_THREADS: &str = "1024";
/// The namespace of the release.
const NAMESPACE: &str = "lagrange";
/// Enters the control groups before `--`, and executes the command after it.
const ENTER: &str = r#"while [ "$1" != -- ]; do echo $$ > "$1/cgroup.procs" || exit 1; shift; done; shift; exec "$@""#;

/// The poll interval for `bootstrapServers` of a ConsumerGroup, in seconds: the chart's default.
pub(crate) const INTERVAL: u64 = 15;

/// A running operator under the chart's limits.
pub(crate) struct Confined {
    pub(crate) operator: Operator,
    pub(crate) memory: ControlGroup,
    /// The memory limit, in bytes.
    pub(crate) limit: u64,
    _threads: ControlGroup,
    _home: TempDir,
}

impl Confined {
    /// Starts the operator for all namespaces, and waits until it is ready.
    pub(crate) async fn start(kubernetes: &Kubernetes, namespace: &str, flags: &[&str]) -> Self {
        let home = tempfile::Builder::new()
            .prefix("lagrange-hostile-")
            .tempdir()
            .unwrap();
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o711)).unwrap();
        // The operator's user may have no access to the build directory.
        let program = home.path().join("lagrange");
        fs::copy(env!("CARGO_BIN_EXE_lagrange"), &program).unwrap();
        let kubeconfig = home.path().join("kubeconfig");
        fs::write(&kubeconfig, as_installed(kubernetes)).unwrap();
        chown(&kubeconfig, Some(USER), Some(USER)).unwrap();
        fs::set_permissions(&kubeconfig, fs::Permissions::from_mode(0o400)).unwrap();

        let memory = ControlGroup::new("memory");
        let limit = limit_of_chart();
        memory.limit_memory(limit);
        let threads = ControlGroup::new("pids");
        threads.set("pids.max", MOST_THREADS);
        let mut command = Command::new("sh");
        command
            .args(["-c", ENTER, "enter"])
            .args([&memory.path, &threads.path])
            .args(["--", "setpriv", "--clear-groups", "--no-new-privs"])
            .args([format!("--reuid={USER}"), format!("--regid={USER}")])
            .args(["--bounding-set=-all", "--inh-caps=-all"])
            .arg(&program)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default());
        let access = format!("--kubeconfig={}", kubeconfig.display());
        let interval = format!("--inline-poll-interval={INTERVAL}s");
        let flags = [&[&*access, &*interval, "--log-filter=info"], flags].concat();
        let operator = Operator::start_by(command, &kubernetes.kubeconfig, namespace, &flags).await;
        Self {
            operator,
            memory,
            limit,
            _threads: threads,
            _home: home,
        }
    }
}

impl Confined {
    /// The number of polls of the cluster with these servers.
    pub(crate) fn polls(&self, servers: &str) -> u64 {
        let series = format!("lagrange_kafka_poll_seconds_count{{cluster=\"{servers}\"}}");
        let count = self.operator.metric(&series).unwrap_or(0.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a count"
        )]
        let count = count as u64;
        count
    }
}

/// A kubeconfig of the chart's ServiceAccount, with the permissions that the chart grants.
fn as_installed(kubernetes: &Kubernetes) -> String {
    let chart = concat!(env!("CARGO_MANIFEST_DIR"), "/charts/lagrange");
    let account = ["templates/serviceaccount.yaml", "templates/rbac.yaml"];
    let mut arguments = vec!["template", NAMESPACE, chart, "--namespace", NAMESPACE];
    arguments.extend(account.iter().flat_map(|file| ["--show-only", file]));
    // A custom kind that an administrator allows to be scaled.
    let more = "scaleTargets[0].group=test.lagrange.dev,scaleTargets[0].resource=blanks";
    arguments.extend(["--set", more]);
    let manifests = kubernetes.file("account.yaml", &kubernetes.helm(&arguments));
    kubernetes.kubectl(&["create", "namespace", NAMESPACE]);
    kubernetes.kubectl(&[
        "apply",
        "--namespace",
        NAMESPACE,
        "-f",
        manifests.to_str().unwrap(),
    ]);
    kubernetes.kubeconfig_of(NAMESPACE, NAMESPACE)
}

/// `resources.limits.memory` of the chart, in bytes.
fn limit_of_chart() -> u64 {
    let values = include_str!("../../charts/lagrange/values.yaml");
    let values: Value = serde_saphyr::from_str(values).unwrap();
    let limit = values["resources"]["limits"]["memory"].as_str().unwrap();
    let mebibytes: u64 = limit.strip_suffix("Mi").unwrap().parse().unwrap();
    mebibytes << 20
}

/// A control group of the test, of either version. Dropping this removes it.
pub(crate) struct ControlGroup {
    path: PathBuf,
    is_v2: bool,
}

impl ControlGroup {
    fn new(controller: &str) -> Self {
        let root = Path::new("/sys/fs/cgroup");
        let is_v2 = root.join("cgroup.controllers").exists();
        let parent = if is_v2 {
            root.to_owned()
        } else {
            root.join(controller)
        };
        if is_v2 {
            // This fails if the controller is on already and processes are in the root group.
            let _ = fs::write(
                parent.join("cgroup.subtree_control"),
                format!("+{controller}"),
            );
        }
        let name = format!("lagrange-hostile-{controller}-{}", std::process::id());
        let path = parent.join(name);
        fs::create_dir(&path).unwrap();
        Self { path, is_v2 }
    }

    fn limit_memory(&self, bytes: u64) {
        let file = if self.is_v2 {
            "memory.max"
        } else {
            "memory.limit_in_bytes"
        };
        self.set(file, &bytes.to_string());
    }

    /// The memory of the processes in bytes, without cached files.
    pub(crate) fn resident(&self) -> u64 {
        let key = if self.is_v2 { "anon" } else { "rss" };
        self.number_of("memory.stat", key)
    }

    /// The most bytes that were ever in use, with cached files.
    pub(crate) fn peak(&self) -> u64 {
        let file = if self.is_v2 {
            "memory.peak"
        } else {
            "memory.max_usage_in_bytes"
        };
        self.get(file).trim().parse().unwrap()
    }

    /// How many processes were killed because memory ran out.
    pub(crate) fn kills(&self) -> u64 {
        let file = if self.is_v2 {
            "memory.events"
        } else {
            "memory.oom_control"
        };
        self.number_of(file, "oom_kill")
    }

    fn number_of(&self, file: &str, key: &str) -> u64 {
        let text = self.get(file);
        let mut lines = text.lines().filter_map(|line| line.split_once(' '));
        let found = lines.find_map(|(name, value)| (name == key).then_some(value));
        found.unwrap().trim().parse().unwrap()
    }

    fn get(&self, file: &str) -> String {
        fs::read_to_string(self.path.join(file)).unwrap()
    }

    fn set(&self, file: &str, value: &str) {
        fs::write(self.path.join(file), value).unwrap();
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        // The process has ended, but the kernel may need a moment to notice.
        for _ in 0..50 {
            if fs::remove_dir(&self.path).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
    }
}
