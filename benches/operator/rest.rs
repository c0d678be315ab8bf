//! Memory, CPU, polls, connections, requests and writes of an operator whose groups have nothing to
//! do. Linux.

use std::collections::BTreeMap;
use std::collections::HashSet;
use std::time::{Duration, Instant};

use lagrange_testing::confined::Confined;
use lagrange_testing::operator::Operator;

/// The counters.
struct Counts {
    at: Instant,
    cpu: f64,
    polls: f64,
    poll_seconds: f64,
    requests: BTreeMap<String, f64>,
    writes: f64,
    reconciles: f64,
    /// All periods of the scheduler, and those in which the CPU limit stopped the operator.
    periods: (u64, u64),
}

/// Measures for so long, and prints it. `port`: of the broker.
pub(crate) async fn measure(confined: &Confined, port: u16, lasting: Duration) {
    let before = counts(confined);
    tokio::time::sleep(lasting).await;
    let after = counts(confined);
    let minutes = (after.at - before.at).as_secs_f64() / 60.0;
    let pid = confined.operator.pid();
    println!(
        "    resident memory, and its peak   {:8.1} MiB {:.1} MiB",
        memory(pid, "VmRSS"),
        memory(pid, "VmHWM")
    );
    print!(
        "    CPU                             {:8.2} s per minute",
        (after.cpu - before.cpu) / minutes
    );
    let periods = after.periods.0 - before.periods.0;
    let stopped = 100 * (after.periods.1 - before.periods.1);
    if let Some(percent) = stopped.checked_div(periods) {
        print!(", stopped in {percent} % of the periods");
    }
    println!();
    println!(
        "    API writes, reconciles          {:8.2} per minute, {:.1}",
        (after.writes - before.writes) / minutes,
        (after.reconciles - before.reconciles) / minutes
    );
    let polls = after.polls - before.polls;
    if polls > 0.0 {
        println!(
            "    polls                           {:8.1} per minute, of {:.2} s on average",
            polls / minutes,
            (after.poll_seconds - before.poll_seconds) / polls
        );
        print_requests(&before, &after, polls, minutes);
    }
    println!(
        "    connections to the broker       {:8} (the operator reports {})",
        connections(pid, port),
        confined
            .operator
            .metric_sum("lagrange_kafka_connections{", "")
    );
}

fn print_requests(before: &Counts, after: &Counts, polls: f64, minutes: f64) {
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
        "    requests                        {all:8.1} per poll, {:.0} per minute",
        all * polls / minutes
    );
    for (api, count) in per_poll {
        println!("      {api:<28}  {count:8.2} per poll");
    }
}

fn counts(confined: &Confined) -> Counts {
    let operator = &confined.operator;
    Counts {
        at: Instant::now(),
        cpu: cpu_seconds(operator.pid()),
        polls: operator.metric_sum("lagrange_kafka_poll_seconds_count", ""),
        poll_seconds: operator.metric_sum("lagrange_kafka_poll_seconds_sum", ""),
        requests: requests(operator),
        writes: operator.metric_sum("lagrange_api_writes_total", ""),
        reconciles: operator.metric_sum("lagrange_reconcile_seconds_count", ""),
        periods: confined.group.cpu_periods(),
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
