//! The operator as a process outside the cluster: start, kill, and read its pages and log.

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

/// Address of its pages. Outgoing connections of this machine do not come from it, so they cannot
/// take the port first.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 42);

/// Flags that every test passes unless it sets them itself.
const DEFAULTS: [&str; 3] = [
    "--allow-local-addresses",
    "--inline-poll-interval=5s",
    "--log-filter=info,lagrange=debug",
];

/// Whether the flag is among the others, with any value.
fn is_given(flag: &str, among: &[&str]) -> bool {
    let name = |flag: &str| flag.split('=').next().unwrap().to_owned();
    among.iter().any(|other| name(other) == name(flag))
}

/// The binary that cargo built for this test program. Cargo passes its path; when the test program
/// is run by hand, the binary is one directory above the program.
pub fn binary() -> PathBuf {
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
    /// Starts an operator that manages a namespace, and waits until it is ready.
    pub async fn start(kubernetes: &Kubernetes, space: &Space) -> Self {
        Self::start_with(kubernetes, space, &[]).await
    }

    /// The same, with more flags.
    pub async fn start_with(kubernetes: &Kubernetes, space: &Space, more: &[&str]) -> Self {
        Self::start_as(&kubernetes.kubeconfig, space, more).await
    }

    /// The same, with more environment variables.
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

    /// The same, with another kubeconfig.
    pub async fn start_as(kubeconfig: &Path, space: &Space, more: &[&str]) -> Self {
        let operator = Self::spawn(kubeconfig, space, more, &[]);
        operator.until_ready().await;
        operator
    }

    /// Waits until it is ready.
    pub async fn until_ready(&self) {
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

    /// Starts `command`, which may be a wrapper that confines the operator, with the operator's
    /// arguments appended, and waits until it is ready. `flags` say how it reaches the API server;
    /// `kubeconfig` and `namespace` are for the diagnostics of a failing test.
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

    /// The same, and does not wait.
    pub fn launch(
        mut command: Command,
        kubeconfig: &Path,
        namespace: &str,
        flags: &[&str],
    ) -> Self {
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

    /// Address of its pages.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Process ID.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Exit status, if it has ended.
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
        self.signal("TERM");
        (self.child.wait().unwrap(), began.elapsed())
    }

    /// Sends a signal, such as `STOP`.
    pub fn signal(&self, name: &str) {
        let mut kill = Command::new("kill");
        kill.arg(format!("-{name}"))
            .arg(self.child.id().to_string());
        assert!(kill.status().unwrap().success());
    }

    /// Everything that it has written so far to standard output and standard error.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The response to a GET, head and body.
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

    /// The value of one series, by its full name with labels in the order of the page.
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

/// An address on which no process listens.
pub fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((ADDRESS, 0)).unwrap();
    listener.local_addr().unwrap()
}

/// Ends the child with this program, even if the program is killed.
pub fn tether(child: &Child) {
    let mut tether = Command::new(format!("{ROOT}/tests/env/tether.sh"))
        .args([child.id().to_string(), me()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0) // Ctrl-C must end the program, but not its clean-up
        .spawn()
        .unwrap();
    // The tether ends with the operator; this thread reaps it.
    std::thread::spawn(move || tether.wait());
}
