//! `lagrange run` as a child process, and a client for its HTTP pages.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tempfile::TempDir;

/// How long a step may take. On an idle machine it takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn lagrange() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lagrange"));
    command.env_clear().stdin(Stdio::null());
    command
}

/// A home directory of a test, with or without a kubeconfig.
pub(crate) struct Home {
    directory: TempDir,
}

impl Home {
    pub(crate) fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn kubeconfig(&self, server: SocketAddr) {
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "it",
            "clusters": [{"name": "it", "cluster": {"server": format!("http://{server}")}}],
            "users": [{"name": "it", "user": {}}],
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
        });
        self.write_kubeconfig(&config);
    }

    /// Writes the kubeconfig to its default path.
    pub(crate) fn write_kubeconfig(&self, config: &Value) -> PathBuf {
        let path = self.directory.path().join(".kube").join("config");
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, config.to_string()).unwrap();
        path
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn run(&self, args: &[&str]) -> Running {
        Running::start(self.directory.path(), args)
    }
}

/// `lagrange run`, killed when dropped.
pub(crate) struct Running {
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
    reader: Option<thread::JoinHandle<()>>,
}

impl Running {
    pub(crate) fn start(home: &Path, args: &[&str]) -> Self {
        let mut command = lagrange();
        command
            .arg("run")
            .env("HOME", home)
            .env("LAGRANGE_LISTEN_ADDRESS", "127.0.0.1:0");
        let mut child = command.args(args).stderr(Stdio::piped()).spawn().unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let written = log.clone();
        let reader = thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                written.lock().unwrap().push(line);
            }
        });
        Self {
            child,
            log,
            reader: Some(reader),
        }
    }

    /// Waits for a line of the log that contains `text`, and returns it.
    pub(crate) fn logged(&self, text: &str) -> String {
        let found = |log: &Vec<String>| log.iter().any(|line| line.contains(text));
        let log = until(|| self.log.lock().unwrap().clone(), found);
        log.into_iter().find(|line| line.contains(text)).unwrap()
    }

    pub(crate) fn pages(&self) -> SocketAddr {
        let line = self.logged("pages=");
        line.rsplit("http://")
            .next()
            .unwrap()
            .trim_matches(['"', '/'])
            .parse()
            .unwrap()
    }

    /// The number of open files of the process.
    pub(crate) fn descriptors(&self) -> usize {
        let directory = format!("/proc/{}/fd", self.child.id());
        std::fs::read_dir(directory).unwrap().count()
    }

    pub(crate) fn signal(&self, signal: &str) {
        let sent = Command::new("kill")
            .args(["-s", signal, &self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(sent.success());
    }

    pub(crate) fn ended(mut self) -> (ExitStatus, Vec<String>) {
        let status = until(|| self.child.try_wait().unwrap(), Option::is_some).unwrap();
        self.reader.take().unwrap().join().unwrap();
        let log = self.log.lock().unwrap().clone();
        (status, log)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: it\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (
        head.split(' ').nth(1).unwrap().parse().unwrap(),
        body.to_owned(),
    )
}

pub(crate) fn half_a_request(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: it\r\n")
        .unwrap();
    // The server reads connections in order of arrival. It has read this one when it answers a
    // later one.
    get(address, "/healthz");
    stream
}

#[track_caller]
pub(crate) fn until<T: std::fmt::Debug>(poll: impl FnMut() -> T, good: impl Fn(&T) -> bool) -> T {
    let mut poll = poll;
    let began = Instant::now();
    loop {
        let seen = poll();
        if good(&seen) {
            return seen;
        }
        assert!(
            began.elapsed() < PATIENCE,
            "last seen after {PATIENCE:?}: {seen:?}"
        );
        thread::sleep(Duration::from_millis(20));
    }
}
