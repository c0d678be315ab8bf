//! The operator as the chart runs it: the chart's permissions and user, limits, no capability, and
//! the usual limit of threads of a container. Not modelled: the file system of the image, seccomp,
//! and the network.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::ROOT;
use crate::control_group::ControlGroup;
use crate::kubernetes::Kubernetes;
use crate::operator::{Operator, binary};

/// The user of the chart's Pod.
const USER: u32 = 65_532;
/// A common value of the kubelet's `podPidsLimit`.
const MOST_THREADS: u32 = 1_024;
/// The namespace of the release.
pub const NAMESPACE: &str = "lagrange";
/// Enters the control groups before `--`, and executes the command after it.
const ENTER: &str = r#"while [ "$1" != -- ]; do echo $$ > "$1/cgroup.procs" || exit 1; shift; done; shift; exec "$@""#;

/// The poll interval for `bootstrapServers` of a ConsumerGroup, in seconds: the chart's default.
pub const INTERVAL: u64 = 15;

/// The chart's ServiceAccount, with the permissions that the chart grants.
#[derive(Debug)]
pub struct Account {
    kubeconfig: String,
}

/// The limits of memory and CPU time of a container.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// In bytes.
    pub memory: u64,
    /// In thousandths of a core.
    pub cpu: Option<u32>,
}

impl Limits {
    /// Those of the chart's values.
    pub fn of_chart() -> Self {
        let values = include_str!("../../../charts/lagrange/values.yaml");
        let values: Value = serde_saphyr::from_str(values).unwrap();
        let limits = &values["resources"]["limits"];
        let memory = limits["memory"].as_str().unwrap();
        let mebibytes: u64 = memory.strip_suffix("Mi").unwrap().parse().unwrap();
        assert!(limits.get("cpu").is_none(), "the chart limits CPU time");
        Self {
            memory: mebibytes << 20,
            cpu: None,
        }
    }
}

/// A running operator under limits.
#[derive(Debug)]
pub struct Confined {
    /// The process.
    pub operator: Operator,
    /// The control group that it is in.
    pub group: ControlGroup,
    _home: TempDir,
}

impl Confined {
    /// Starts the operator for all namespaces, and waits until it is ready. `namespace`: for the
    /// diagnostics of a failing test.
    pub async fn start(
        kubernetes: &Kubernetes,
        account: &Account,
        limits: Limits,
        namespace: &str,
        flags: &[&str],
    ) -> Self {
        let home = tempfile::Builder::new()
            .prefix("lagrange-confined-")
            .tempdir()
            .unwrap();
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o711)).unwrap();
        // The operator's user may have no access to the build directory.
        let program = home.path().join("lagrange");
        fs::copy(binary(), &program).unwrap();
        let kubeconfig = home.path().join("kubeconfig");
        fs::write(&kubeconfig, &account.kubeconfig).unwrap();
        chown(&kubeconfig, Some(USER), Some(USER)).unwrap();
        fs::set_permissions(&kubeconfig, fs::Permissions::from_mode(0o400)).unwrap();

        let group = ControlGroup::new();
        group.limit_memory(limits.memory);
        group.limit_cpu(limits.cpu);
        group.limit_threads(MOST_THREADS);
        let mut command = Command::new("sh");
        command
            .args(["-c", ENTER, "enter"])
            .args(group.paths())
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
            group,
            _home: home,
        }
    }
}

impl Confined {
    /// The number of polls of the cluster with these servers.
    pub fn polls(&self, servers: &str) -> u64 {
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

impl Account {
    /// Creates it, in a namespace of its own.
    pub fn install(kubernetes: &Kubernetes) -> Self {
        let chart = format!("{ROOT}/charts/lagrange");
        let account = ["templates/serviceaccount.yaml", "templates/rbac.yaml"];
        let mut arguments = vec!["template", NAMESPACE, &chart, "--namespace", NAMESPACE];
        arguments.extend(account.iter().flat_map(|file| ["--show-only", file]));
        // A custom kind that an administrator allows to be scaled.
        let more = "scaleTargets[0].group=test.lagrange.dev,scaleTargets[0].resource=blanks";
        arguments.extend(["--set", more]);
        let manifests = kubernetes.file("account.yaml", &kubernetes.helm(&arguments));
        kubernetes.kubectl(&["create", "namespace", NAMESPACE]);
        let manifests = manifests.to_str().unwrap();
        kubernetes.kubectl(&["apply", "--namespace", NAMESPACE, "-f", manifests]);
        Self {
            kubeconfig: kubernetes.kubeconfig_of(NAMESPACE, NAMESPACE),
        }
    }
}
