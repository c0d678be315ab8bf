//! `kill -9` at any moment, and a new start at once. A process ends only because it was killed.
//!
//! `LAGRANGE_KILL_SECONDS` sets how long this goes on (`tests/soak.sh kills`); the default is 24
//! kills. The log of a process is kept until the test has checked that the kill ended it.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use lagrange_testing::operator::{free_address, tether};
use lagrange_testing::until::{secs, until};
use serde_json::json;

use crate::stage::Stage;

/// The number of kills without `LAGRANGE_KILL_SECONDS`.
const KILLS: usize = 24;
/// Operators that run at the same time, on the same groups.
const OPERATORS: usize = 2;
const GROUPS: usize = 4;

/// The settings of every process.
struct Setting {
    kubeconfig: PathBuf,
    namespace: String,
    logs: PathBuf,
}

/// One process and its log.
struct Process {
    child: Child,
    address: SocketAddr,
    log: PathBuf,
    began: Instant,
}

impl Process {
    /// Starts process `number` at `address`, which the process that it replaces may still hold.
    fn start(setting: &Setting, address: SocketAddr, number: usize) -> Self {
        let log = setting.logs.join(format!("{number:05}.log"));
        let output = File::create(&log).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_lagrange"))
            .args([
                "run",
                "--allow-local-addresses",
                "--inline-poll-interval=5s",
                "--log-filter=info,lagrange=debug",
            ])
            .arg(format!("--kubeconfig={}", setting.kubeconfig.display()))
            .arg(format!("--watch-namespace={}", setting.namespace))
            .arg(format!("--listen-address={address}"))
            .env_clear()
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        tether(&child);
        Self {
            child,
            address,
            log,
            began: Instant::now(),
        }
    }

    /// Panics if the process has ended.
    fn assert_runs(&mut self) {
        if let Some(status) = self.child.try_wait().unwrap() {
            panic!("{}", self.epitaph(status));
        }
    }

    /// Kills the process, starts the next one without waiting, and checks that the kill is what
    /// ended it.
    fn replace(mut self, setting: &Setting, number: usize) -> Self {
        self.child.kill().unwrap();
        let next = Self::start(setting, self.address, number);
        let status = self.child.wait().unwrap();
        assert_eq!(status.signal(), Some(9), "{}", self.epitaph(status));
        std::fs::remove_file(&self.log).unwrap();
        next
    }

    fn epitaph(&self, status: ExitStatus) -> String {
        format!(
            "{} ended by itself after {:?}: {status}, core dumped: {}\n{}",
            self.child.id(),
            self.began.elapsed(),
            status.core_dumped(),
            std::fs::read_to_string(&self.log).unwrap(),
        )
    }

    fn is_ready(&self) -> bool {
        let ask = || -> std::io::Result<String> {
            let mut stream = TcpStream::connect(self.address)?;
            stream.set_read_timeout(Some(secs(5)))?;
            stream.write_all(b"GET /readyz HTTP/1.0\r\n\r\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        };
        ask().is_ok_and(|answer| answer.contains(" 200 "))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_are_killed_and_restarted_at_once_end_for_no_other_reason() {
    let stage = Stage::new("killed").await;
    let _consumers = stage.set(6, 1).await;
    stage.group(json!({})).await;
    for group in 1..GROUPS {
        let name = format!("more-{group}");
        stage.space.deployment(&name, 1).await;
        let change = json!({ "scaleTargetRef": { "name": name }, "groupId": name });
        stage.space.group(&name, stage.spec(change)).await;
    }
    // Nothing listens at this address.
    stage.space.deployment("dead", 1).await;
    let nowhere = json!({ "scaleTargetRef": { "name": "dead" }, "groupId": "dead", "kafka": { "bootstrapServers": ["127.0.0.43:9"] } });
    stage.space.group("dead", stage.spec(nowhere)).await;

    let logs = tempfile::tempdir().unwrap();
    let setting = Setting {
        kubeconfig: stage.kubernetes.kubeconfig.clone(),
        namespace: stage.space.name.clone(),
        logs: logs.path().to_owned(),
    };
    let seconds = std::env::var("LAGRANGE_KILL_SECONDS").ok();
    let until_then = seconds.map(|text| Instant::now() + secs(text.parse().unwrap()));
    let mut started = OPERATORS;
    let start = |number| Process::start(&setting, free_address(), number);
    let mut processes: Vec<Process> = (0..OPERATORS).map(start).collect();
    let mut kills = 0;
    while until_then.map_or(kills < KILLS, |then| Instant::now() < then) {
        // At any moment: before the process listens, before it is ready, and during its work.
        let life = if kills % 3 == 0 { 4_000 } else { 600 };
        tokio::time::sleep(Duration::from_millis(fastrand::u64(..life))).await;
        processes.iter_mut().for_each(Process::assert_runs);
        let process = processes.swap_remove(fastrand::usize(..OPERATORS));
        processes.push(process.replace(&setting, started));
        started += 1;
        kills += 1;
    }
    println!("{kills} processes were killed, none ended for another reason");

    let last = &processes;
    until(secs(60), "the last processes are ready", || async {
        let are_ready: Vec<bool> = last.iter().map(Process::is_ready).collect();
        are_ready
            .iter()
            .all(|is_ready| *is_ready)
            .then_some(())
            .ok_or(format!("{are_ready:?}"))
    })
    .await;
    stage.until_members(1).await;
    processes.iter_mut().for_each(Process::assert_runs);
    for mut process in processes {
        process.child.kill().unwrap();
        process.child.wait().unwrap();
    }
}
