//! Memory, CPU, connections, requests and writes of an operator whose groups have nothing to do.
//! Linux.

use std::collections::BTreeMap;
use std::collections::HashSet;
use std::time::{Duration, Instant};

use lagrange_testing::operator::Operator;

/// Time for the first writes, the first descriptions of members and the second poll.
const WARM_UP: Duration = Duration::from_secs(45);

/// The counters.
struct Counts {
    at: Instant,
    cpu: f64,
    polls: f64,
    requests: BTreeMap<String, f64>,
    writes: f64,
    reconciles: f64,
}

pub(crate) async fn measure(operator: &Operator, port: u16, lasting: Duration) {
    tokio::time::sleep(WARM_UP).await;
    let before = counts(operator);
    tokio::time::sleep(lasting).await;
    let after = counts(operator);
    let minutes = (after.at - before.at).as_secs_f64() / 60.0;
    let polls = after.polls - before.polls;
    let pid = operator.pid();
    println!(
        "  resident memory, and its peak   {:8.1} MiB {:.1} MiB",
        memory(pid, "VmRSS"),
        memory(pid, "VmHWM")
    );
    println!(
        "  CPU                             {:8.2} s per minute",
        (after.cpu - before.cpu) / minutes
    );
    println!(
        "  connections to the broker       {:8} (the operator reports {})",
        connections(pid, port),
        operator.metric_sum("lagrange_kafka_connections{", "")
    );
    let per_poll: BTreeMap<&String, f64> = after
        .requests
        .iter()
        .map(|(api, total)| {
            (
                api,
                (total - before.requests.get(api).unwrap_or(&0.0)) / polls,
            )
        })
        .filter(|(_, count)| *count > 0.0)
        .collect();
    let all: f64 = per_poll.values().sum();
    println!(
        "  requests                        {all:8.1} per poll, {:.0} per minute",
        all * polls / minutes
    );
    for (api, count) in per_poll {
        println!("    {api:<28}  {count:8.2} per poll");
    }
    println!(
        "  API writes                      {:8.2} per minute",
        (after.writes - before.writes) / minutes
    );
    println!(
        "  reconciles                      {:8.1} per minute, {:.1} polls",
        (after.reconciles - before.reconciles) / minutes,
        polls / minutes
    );
}

fn counts(operator: &Operator) -> Counts {
    Counts {
        at: Instant::now(),
        cpu: cpu_seconds(operator.pid()),
        polls: operator.metric_sum("lagrange_kafka_poll_seconds_count", ""),
        requests: requests(operator),
        writes: operator.metric_sum("lagrange_api_writes_total", ""),
        reconciles: operator.metric_sum("lagrange_reconcile_seconds_count", ""),
    }
}

fn requests(operator: &Operator) -> BTreeMap<String, f64> {
    let page = operator.get("/metrics");
    let lines = page
        .lines()
        .filter(|line| line.starts_with("lagrange_kafka_requests_total{"));
    let mut requests = BTreeMap::new();
    for line in lines {
        let api = line
            .split("api=\"")
            .nth(1)
            .and_then(|rest| rest.split('"').next());
        let count: f64 = line.rsplit(' ').next().unwrap().parse().unwrap();
        *requests.entry(api.unwrap().to_owned()).or_default() += count;
    }
    requests
}

/// User and system time.
fn cpu_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // The name may contain blanks; count the fields after it.
    let fields: Vec<&str> = stat
        .rsplit(") ")
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
    // USER_HZ is 100 on every architecture of Linux.
    ticks / 100.0
}

/// A value of `/proc/PID/status`, in MiB.
fn memory(pid: u32, line: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let value = status.lines().find_map(|l| l.strip_prefix(line)).unwrap();
    let kibibytes: f64 = value
        .trim_start_matches(':')
        .trim_end_matches("kB")
        .trim()
        .parse()
        .unwrap();
    kibibytes / 1024.0
}

/// Established TCP connections of a process to a port.
fn connections(pid: u32, port: u16) -> usize {
    let mine: HashSet<String> = std::fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .filter_map(|fd| std::fs::read_link(fd.ok()?.path()).ok())
        .filter_map(|to| {
            let inode = to.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
            Some(inode.to_owned())
        })
        .collect();
    let table = std::fs::read_to_string(format!("/proc/{pid}/net/tcp")).unwrap();
    table
        .lines()
        .filter(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            fields.get(3) == Some(&"01")
                && fields
                    .get(2)
                    .is_some_and(|to| to.ends_with(&format!(":{port:04X}")))
                && fields.get(9).is_some_and(|inode| mine.contains(*inode))
        })
        .count()
}
