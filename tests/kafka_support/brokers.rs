//! Real brokers, which end with the test program.

use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A Kafka cluster of this test program's own.
pub(crate) struct Brokers {
    state: PathBuf,
    /// `bootstrap.servers`.
    pub(crate) bootstrap: String,
}

impl Brokers {
    /// Starts as many brokers; blocks until they serve.
    pub(crate) fn start(nodes: u8, options: &[&str]) -> Self {
        let state = tempfile::tempdir().unwrap().keep();
        let (nodes, owner) = (nodes.to_string(), std::process::id().to_string());
        let mut arguments = vec!["--nodes", &nodes, "--quick-failover", "--owner", &owner];
        arguments.extend(options);
        let bootstrap = script("up", &state, &arguments).trim().to_owned();
        Self { state, bootstrap }
    }

    /// The server that broker `node` listens on.
    pub(crate) fn server(&self, node: i32) -> &str {
        let index = usize::try_from(node - 1).unwrap();
        self.bootstrap.split(',').nth(index).unwrap()
    }

    /// Does `verb` (stop, kill, start, pause, cont) to a broker.
    pub(crate) fn control(&self, verb: &str, node: i32) {
        script(verb, &self.state, &[&node.to_string()]);
    }

    /// The ports that clients connect to.
    pub(crate) fn ports(&self) -> Vec<u16> {
        let ports = self
            .bootstrap
            .split(',')
            .map(|server| server.rsplit_once(':').unwrap().1);
        ports.map(|port| port.parse().unwrap()).collect()
    }

    /// The connections that this process has to them, other clients than the reader's included.
    pub(crate) fn connections(&self) -> usize {
        let ports = self.ports();
        let own: Vec<String> = std::fs::read_dir("/proc/self/fd")
            .unwrap()
            .filter_map(|fd| std::fs::read_link(fd.unwrap().path()).ok())
            .filter_map(|link| {
                let socket = link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
                Some(socket.to_owned())
            })
            .collect();
        let table = std::fs::read_to_string("/proc/self/net/tcp").unwrap();
        let established = table.lines().skip(1).filter(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let port = u16::from_str_radix(fields[2].rsplit_once(':').unwrap().1, 16).unwrap();
            fields[3] == "01" && ports.contains(&port) && own.iter().any(|inode| inode == fields[9])
        });
        established.count()
    }
}

impl Drop for Brokers {
    fn drop(&mut self) {
        script("down", &self.state, &[]);
    }
}

fn script(verb: &str, state: &PathBuf, arguments: &[&str]) -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/env/kafka/kafka.sh");
    let output = Command::new(path)
        .arg(verb)
        .arg(state)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "kafka.sh {verb} {arguments:?}: {errors}"
    );
    String::from_utf8(output.stdout).unwrap()
}
