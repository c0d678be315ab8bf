//! A real Kubernetes node with the operator's image, one for the whole test program.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{LazyLock, Mutex, MutexGuard, PoisonError},
    thread::sleep,
    time::{Duration, Instant},
};

use serde_json::Value;

/// The root of the repository.
pub(crate) const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The directory of the chart.
pub(crate) const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/charts/lagrange");

/// The Pods of a release, for kubectl.
pub(crate) const OPERATOR: &str = "--selector=app.kubernetes.io/name=lagrange";

/// Pods start in a second or two, but a busy machine needs longer.
const PATIENCE: Duration = Duration::from_secs(90);

static STATE: LazyLock<PathBuf> = LazyLock::new(|| {
    let state = tempfile::tempdir().unwrap().keep();
    let owner = std::process::id().to_string();
    let up = [
        "up",
        state.to_str().unwrap(),
        "--mode",
        "real",
        "--owner",
        &owner,
    ];
    run(&format!("{ROOT}/tests/env/kubernetes/kube.sh"), &up, "").unwrap();
    let tar = state.join(ARCHIVE);
    let tar = tar.to_str().unwrap();
    let arguments = [OPERATOR_IMAGE, "--profile", "dev", "--out", tar];
    load(&state, tar, "operator-image.sh", &arguments);
    let tar = state.join("idler.tar");
    let tar = tar.to_str().unwrap();
    load(&state, tar, "image.sh", &[IDLER, tar, "/bin/sleep"]);
    state
});

/// The image of the operator.
pub(crate) const OPERATOR_IMAGE: &str = concat!("localhost/lagrange:", env!("CARGO_PKG_VERSION"));

/// The file of the operator's image.
const ARCHIVE: &str = "operator.tar";

/// The image of a program that does nothing, for Pods that only have to run: `args: [infinity]`.
pub(crate) const IDLER: &str = "localhost/idler:1";

/// Loads the image that a script of `tests/env` makes.
fn load(state: &Path, tar: &str, script: &str, arguments: &[&str]) {
    run(&format!("{ROOT}/tests/env/{script}"), arguments, "").unwrap();
    kube(state, "load-image", &[tar], "").unwrap();
}

static TURN: Mutex<()> = Mutex::new(());

/// The node, for one test at a time, because the definitions are cluster-wide.
pub(crate) struct Node {
    state: &'static Path,
    _turn: MutexGuard<'static, ()>,
}

impl Node {
    /// Waits for its turn and removes the releases and definitions of the previous test.
    pub(crate) fn take() -> Self {
        let node = Self {
            state: &STATE,
            _turn: TURN.lock().unwrap_or_else(PoisonError::into_inner),
        };
        // Helm leaves the Pod of a failed `helm test`.
        let tests = "--selector=app.kubernetes.io/name=lagrange-test";
        node.kubectl(&["delete", "pods", "--all-namespaces", tests]);
        let releases: Value =
            serde_json::from_str(&node.helm(&["list", "--all-namespaces", "--output=json"]))
                .unwrap();
        for release in releases.as_array().unwrap() {
            let text = |key: &str| release[key].as_str().unwrap();
            node.uninstall(text("name"), text("namespace"));
        }
        node.kubectl(&[
            "delete",
            "crd",
            "--ignore-not-found",
            "consumergroups.lagrange.dev",
            "kafkaclusters.lagrange.dev",
        ]);
        node
    }

    /// The file of the operator's image.
    pub(crate) fn operator_archive(&self) -> PathBuf {
        self.state.join(ARCHIVE)
    }

    /// Creates a namespace that allows only hardened Pods.
    pub(crate) fn namespace(&self, name: &str) {
        self.apply(&format!(
            "{{apiVersion: v1, kind: Namespace, metadata: {{name: {name}, labels: {{pod-security.kubernetes.io/enforce: restricted}}}}}}"
        ));
    }

    /// The path of the kubeconfig of an administrator.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.state.join("admin.kubeconfig")
    }

    /// The output of kubectl.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> String {
        self.try_kubectl(arguments)
            .unwrap_or_else(|said| panic!("kubectl {arguments:?}: {said}"))
    }

    /// The output of kubectl, or its error.
    pub(crate) fn try_kubectl(&self, arguments: &[&str]) -> Result<String, String> {
        kube(self.state, "kubectl", arguments, "")
    }

    /// Creates or changes objects.
    pub(crate) fn apply(&self, manifest: &str) {
        kube(self.state, "kubectl", &["apply", "--filename=-"], manifest)
            .unwrap_or_else(|said| panic!("{said}\n{manifest}"));
    }

    /// Lets the API server check objects without creating them. An unknown field is an error.
    pub(crate) fn dry_run(&self, manifest: &str) -> Result<String, String> {
        let apply = [
            "apply",
            "--dry-run=server",
            "--validate=strict",
            "--filename=-",
        ];
        kube(self.state, "kubectl", &apply, manifest)
    }

    /// An object as data, if it exists: `["deployment", "lagrange", "--namespace=a"]`.
    pub(crate) fn get(&self, what: &[&str]) -> Option<Value> {
        let said = self.kubectl(&[&["get", "--output=json", "--ignore-not-found"], what].concat());
        (!said.trim().is_empty()).then(|| serde_json::from_str(&said).unwrap())
    }

    /// Objects as data: `["pods", "--namespace=a"]`.
    pub(crate) fn list(&self, what: &[&str]) -> Vec<Value> {
        let list = self.get(what);
        list.map_or_else(Vec::new, |list| list["items"].as_array().unwrap().clone())
    }

    /// The output of Helm.
    pub(crate) fn helm(&self, arguments: &[&str]) -> String {
        self.try_helm(arguments)
            .unwrap_or_else(|said| panic!("helm {arguments:?}: {said}\n{}", self.remains()))
    }

    /// The output of Helm, or its error.
    pub(crate) fn try_helm(&self, arguments: &[&str]) -> Result<String, String> {
        kube(self.state, "helm", arguments, "")
    }

    /// Uninstalls a release and waits until its Pods are gone. Not with --wait, which waits for
    /// Uninstalls a release and waits until its Pods are gone. Not with --wait: Helm 4.2.1 waits
    /// for its whole timeout if an object is gone before it is checked.
    pub(crate) fn uninstall(&self, release: &str, namespace: &str) {
        self.helm(&[
            "uninstall",
            release,
            "--namespace",
            namespace,
            "--ignore-not-found",
        ]);
        let selector = format!("--selector=app.kubernetes.io/instance={release}");
        self.wait("the Pods of the release to be deleted", || {
            let left = self
                .list(&["pods", "--namespace", namespace, &selector])
                .len();
            if left == 0 {
                Ok(())
            } else {
                Err(format!("{left} Pods"))
            }
        });
    }

    /// Repeats `poll` until it succeeds. After a timeout it panics with the last error.
    pub(crate) fn wait<T>(&self, what: &str, mut poll: impl FnMut() -> Result<T, String>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match poll() {
                Ok(seen) => return seen,
                Err(last) if Instant::now() > deadline => {
                    panic!("timed out waiting for {what}: {last}\n{}", self.remains())
                }
                Err(_) => sleep(Duration::from_millis(250)),
            }
        }
    }

    /// The address of this machine for Pods.
    pub(crate) fn host_address(&self) -> String {
        kube(self.state, "host-address", &[], "")
            .unwrap()
            .trim()
            .to_owned()
    }

    /// The entries of the audit log.
    pub(crate) fn audit(&self) -> Vec<Value> {
        let log = kube(self.state, "audit", &[], "").unwrap();
        // The last line may be incomplete.
        log.lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    /// For a failed test: the objects, and the logs of the operators.
    fn remains(&self) -> String {
        let ask = |arguments: &[&str]| self.try_kubectl(arguments).unwrap_or_else(|said| said);
        let (all, operators) = ("--all-namespaces", OPERATOR);
        let mut said = vec![
            self.try_helm(&["list", all]).unwrap_or_else(|said| said),
            ask(&[
                "get",
                "deployments,pods,consumergroups,kafkaclusters",
                all,
                "--output=wide",
            ]),
            ask(&["describe", "pods", all, operators]),
            ask(&["get", "events", all, "--sort-by=.lastTimestamp"]),
        ];
        let namespaces = ask(&[
            "get",
            "pods",
            all,
            operators,
            "--output=jsonpath={.items[*].metadata.namespace}",
        ]);
        for namespace in namespaces.split_whitespace() {
            said.push(ask(&[
                "logs",
                "--namespace",
                namespace,
                operators,
                "--tail=100",
            ]));
        }
        said.join("\n")
    }
}

/// Runs a verb of the environment's script on the node.
fn kube(state: &Path, verb: &str, arguments: &[&str], input: &str) -> Result<String, String> {
    let all = [&[verb, state.to_str().unwrap()], arguments].concat();
    run(&format!("{ROOT}/tests/env/kubernetes/kube.sh"), &all, input)
}

/// Runs a program to its end. Returns its standard output, or both outputs if it fails.
pub(crate) fn run(program: &str, arguments: &[&str], input: &str) -> Result<String, String> {
    use std::io::Write as _;

    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that does not read its input reports the reason on standard error.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        Ok(text(&output.stdout))
    } else {
        Err(format!("{}{}", text(&output.stdout), text(&output.stderr)))
    }
}

/// Copies the chart into a directory where a test may change it.
pub(crate) fn copy_of_chart(into: &Path) -> PathBuf {
    let from = format!("{ROOT}/charts/lagrange");
    run("cp", &["-r", &from, into.to_str().unwrap()], "").unwrap();
    into.join("lagrange")
}
