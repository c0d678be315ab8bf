//! The operator as a process of its own, outside the cluster: started, killed, and read.

use std::env;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::kubernetes::{Kubernetes, Space};
use crate::until::{secs, until};
use crate::{ROOT, evidence, me};

/// Where it listens: not where this machine's own outgoing connections come from, which could take
/// the port before it does.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 42);

/// What tests give it, unless they say otherwise.
const DEFAULTS: [&str; 3] = [
    "--allow-local-addresses",
    "--inline-poll-interval=5s",
    "--log-filter=info,lagrange=debug",
];

/// Whether the same flag is among those, with whatever value.
fn is_given(flag: &str, among: &[&str]) -> bool {
    let name = |flag: &str| flag.split('=').next().unwrap().to_owned();
    among.iter().any(|other| name(other) == name(flag))
}

/// The operator as cargo has built it for this test program: it says where, and puts it one
/// directory up from the program's own for whoever runs that by hand.
fn binary() -> PathBuf {
    if let Some(path) = env::var_os("CARGO_BIN_EXE_lagrange") {
        return path.into();
    }
    let program = env::current_exe().unwrap();
    let path = program.ancestors().nth(2).unwrap().join("lagrange");
    assert!(path.exists(), "{} has not been built", path.display());
    path
}

/// A running operator.
#[derive(Debug)]
pub struct Operator {
    child: Child,
    log: PathBuf,
    address: SocketAddr,
    kubeconfig: PathBuf,
    namespace: String,
}

impl Operator {
    /// Starts one that manages a namespace, and waits until it is ready.
    pub async fn start(kubernetes: &Kubernetes, space: &Space) -> Self {
        Self::start_with(kubernetes, space, &[]).await
    }

    /// The same, with more flags.
    pub async fn start_with(kubernetes: &Kubernetes, space: &Space, more: &[&str]) -> Self {
        Self::start_as(&kubernetes.kubeconfig, space, more).await
    }

    /// The same, in an environment of so many variables.
    pub async fn start_within(
        kubernetes: &Kubernetes,
        space: &Space,
        more: &[&str],
        environment: &[(&str, &str)],
    ) -> Self {
        let operator = Self::spawn(&kubernetes.kubeconfig, space, more, environment);
        operator.until_ready().await;
        operator
    }

    /// The same, as whom a kubeconfig says.
    pub async fn start_as(kubeconfig: &Path, space: &Space, more: &[&str]) -> Self {
        let operator = Self::spawn(kubeconfig, space, more, &[]);
        operator.until_ready().await;
        operator
    }

    async fn until_ready(&self) {
        until(secs(30), "the operator is ready", || async {
            let seen = self.get("/readyz");
            if seen.starts_with("HTTP/1.1 200") {
                Ok(())
            } else {
                Err(format!("{seen}\n{}", self.log()))
            }
        })
        .await;
    }

    fn spawn(
        kubeconfig: &Path,
        space: &Space,
        more: &[&str],
        environment: &[(&str, &str)],
    ) -> Self {
        let mut command = Command::new(binary());
        command.env_clear().envs(environment.iter().copied());
        let access = format!("--kubeconfig={}", kubeconfig.display());
        let scope = format!("--watch-namespace={}", space.name);
        let flags = [&[&*access, &*scope], more].concat();
        Self::launch(command, kubeconfig, &space.name, &flags)
    }

    /// Starts `command` with the operator's arguments behind its own, and waits until it is ready:
    /// a wrapper may confine it. `flags` say how it gets to the API server; `kubeconfig` and
    /// `namespace` are for what is shown when a test fails.
    pub async fn start_by(
        command: Command,
        kubeconfig: &Path,
        namespace: &str,
        flags: &[&str],
    ) -> Self {
        let operator = Self::launch(command, kubeconfig, namespace, flags);
        operator.until_ready().await;
        operator
    }

    fn launch(mut command: Command, kubeconfig: &Path, namespace: &str, flags: &[&str]) -> Self {
        let address = free_address();
        let log = tempfile::Builder::new()
            .prefix("lagrange-operator-")
            .tempfile()
            .unwrap()
            .keep()
            .unwrap()
            .1;
        let output = File::create(&log).unwrap();
        let child = command
            .arg("run")
            .arg(format!("--listen-address={address}"))
            .args(DEFAULTS.iter().filter(|flag| !is_given(flag, flags)))
            .args(flags)
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        tether(&child);
        Self {
            child,
            log,
            address,
            kubeconfig: kubeconfig.to_owned(),
            namespace: namespace.to_owned(),
        }
    }

    /// Where its pages are.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Process ID.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// `kill -9`, and waits until it has ended.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and waits until it has ended.
    pub fn terminate(mut self) -> (ExitStatus, Duration) {
        let began = Instant::now();
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &pid])
                .status()
                .unwrap()
                .success()
        );
        (self.child.wait().unwrap(), began.elapsed())
    }

    /// All that it has written so far, standard output and standard error.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The answer to a GET, head and body.
    pub fn get(&self, path: &str) -> String {
        let ask = || -> std::io::Result<String> {
            let mut stream = TcpStream::connect(self.address)?;
            stream.set_read_timeout(Some(secs(5)))?;
            write!(
                stream,
                "GET {path} HTTP/1.1\r\nHost: operator\r\nConnection: close\r\n\r\n"
            )?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        };
        ask().unwrap_or_else(|error| error.to_string())
    }

    /// The value of one metric, by its whole series name with labels in the order it is shown.
    pub fn metric(&self, series: &str) -> Option<f64> {
        let page = self.get("/metrics");
        page.lines()
            .find_map(|line| line.strip_prefix(series)?.trim().parse().ok())
    }

    /// The sum over all series of a metric whose labels contain `with`.
    pub fn metric_sum(&self, name: &str, with: &str) -> f64 {
        let page = self.get("/metrics");
        let values = page
            .lines()
            .filter(|line| line.starts_with(name) && line.contains(with));
        values
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the operator's log ---\n{}", self.log());
            evidence::print(&self.kubeconfig, &self.namespace);
        }
        let _ = std::fs::remove_file(&self.log);
    }
}

/// An address that nobody listens on.
pub fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((ADDRESS, 0)).unwrap();
    listener.local_addr().unwrap()
}

/// Ends it with this program even if that is killed and cannot.
pub fn tether(child: &Child) {
    let mut tether = Command::new(format!("{ROOT}/tests/env/tether.sh"))
        .args([child.id().to_string(), me()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0) // Ctrl-C ends the program, not what cleans up after it
        .spawn()
        .unwrap();
    // It ends with the operator; somebody has to take its exit status.
    std::thread::spawn(move || tether.wait());
}
