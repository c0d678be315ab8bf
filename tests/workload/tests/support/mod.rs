//! One real broker for all tests of a file, and the program under test as a child process. Waits
//! for conditions, never for a fixed time, and reports the last state when a deadline passes.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

/// Longest wait for a condition: enough for two KIP-848 heartbeats on a slow machine.
const DEADLINE: Duration = Duration::from_mins(1);

/// Bootstrap servers of the broker. The broker ends with this process, however it ends.
static BROKER: LazyLock<String> = LazyLock::new(|| {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../env/kafka/kafka.sh");
    let state = std::env::temp_dir().join(format!("workload-broker-{}", std::process::id()));
    let output = Command::new(script)
        .arg("up")
        .arg(state)
        .args([
            "--quick-failover",
            "--owner",
            &std::process::id().to_string(),
        ])
        .stderr(Stdio::inherit())
        .output()
        .expect("tests/env/kafka/kafka.sh runs");
    assert!(output.status.success(), "no broker; see above");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
});

/// The program with these arguments, on the broker.
fn program(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_workload"));
    command
        .args(args)
        .env("WORKLOAD_BOOTSTRAP_SERVERS", &*BROKER)
        .stdin(Stdio::null());
    command
}

/// Runs the program to its end.
pub(crate) fn run(args: &[&str]) -> Output {
    program(args).output().expect("the program starts")
}

/// Runs the program, which must succeed; returns its last line.
pub(crate) fn last_line(args: &[&str]) -> String {
    let output = run(args);
    assert!(
        output.status.success(),
        "{args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .last()
        .unwrap_or_default()
        .to_owned()
}

/// Runs the program, which must fail with exit code 1; returns its message.
pub(crate) fn complaint(args: &[&str]) -> String {
    let output = run(args);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{args:?}: {said}");
    said
}

/// The last line as JSON.
pub(crate) fn json(args: &[&str]) -> Value {
    serde_json::from_str(&last_line(args)).expect("the last line is JSON")
}

/// A name that no other test has.
pub(crate) fn unique(prefix: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{prefix}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Creates a topic with `partitions` partitions.
pub(crate) fn topic(partitions: u32) -> String {
    let topic = unique("topic");
    last_line(&[
        "topic",
        "create",
        &topic,
        "--partitions",
        &partitions.to_string(),
    ]);
    topic
}

/// Writes exactly `records` records to a topic.
pub(crate) fn fill(topic: &str, records: u32) {
    let records = records.to_string();
    let done = json(&[
        "produce",
        "--topic",
        topic,
        "--rate",
        "20000",
        "--records",
        &records,
        "--output",
        "json",
    ]);
    assert_eq!(done["acked_total"].to_string(), records);
}

/// A topic's description with a group's progress.
pub(crate) fn describe(topic: &str, group: &str) -> Value {
    json(&[
        "topic", "describe", topic, "--group", group, "--output", "json",
    ])
}

/// The program while it runs. Killed when dropped.
pub(crate) struct Running {
    child: Child,
    log: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

impl Running {
    /// Starts the program.
    pub(crate) fn start(args: &[&str]) -> Self {
        let mut child = program(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let log = Arc::new(Mutex::new(String::new()));
        let (out, err) = (
            child.stdout.take().expect("piped"),
            child.stderr.take().expect("piped"),
        );
        let readers = vec![keep(out, Arc::clone(&log)), keep(err, Arc::clone(&log))];
        Self {
            child,
            log,
            readers,
        }
    }

    /// Starts a consumer that serves /readyz, /healthz and /stats.
    pub(crate) fn consumer(topic: &str, group: &str, more: &[&str]) -> Self {
        let mut args = vec![
            "consume",
            "--topic",
            topic,
            "--group",
            group,
            "--listen",
            "127.0.0.1:0",
        ];
        args.extend(more);
        Self::start(&args)
    }

    /// Everything that it has printed so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().expect("no reader panics").clone()
    }

    /// Waits until `reached` returns a value.
    pub(crate) fn wait_for<T>(&self, what: &str, mut reached: impl FnMut(&Self) -> Option<T>) -> T {
        let end = Instant::now() + DEADLINE;
        loop {
            if let Some(found) = reached(self) {
                return found;
            }
            assert!(
                Instant::now() < end,
                "not in {DEADLINE:?}: {what}; stats {:?}; log:\n{}",
                self.stats(),
                self.log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until /stats satisfies `so`.
    pub(crate) fn wait_for_stats(&self, what: &str, so: impl Fn(&Value) -> bool) -> Value {
        self.wait_for(what, |running| running.stats().filter(|stats| so(stats)))
    }

    /// /stats, once it listens.
    pub(crate) fn stats(&self) -> Option<Value> {
        let (_, body) = self.get("/stats")?;
        serde_json::from_str(&body).ok()
    }

    /// Status code and body of a page, once it listens.
    pub(crate) fn get(&self, path: &str) -> Option<(u16, String)> {
        let log = self.log();
        let address = log.split_once("listening on ")?.1.lines().next()?;
        let mut stream = TcpStream::connect(address.parse::<SocketAddr>().ok()?).ok()?;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: workload\r\nConnection: close\r\n\r\n"
        )
        .ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
    }

    /// Sends SIGTERM and waits for the end; returns exit code, time, and everything printed.
    pub(crate) fn stop(mut self) -> (Option<i32>, Duration, String) {
        let begun = Instant::now();
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &pid])
                .status()
                .is_ok_and(|status| status.success())
        );
        let status = self.child.wait().expect("it is our child");
        let took = begun.elapsed();
        self.readers
            .drain(..)
            .for_each(|reader| reader.join().expect("no reader panics"));
        (status.code(), took, self.log())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn keep(from: impl std::io::Read + Send + 'static, log: Arc<Mutex<String>>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            let mut log = log.lock().expect("no reader panics");
            log.push_str(&line);
            log.push('\n');
        }
    })
}
