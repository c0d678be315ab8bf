//! Cost of the operator at rest and its reaction time, with a real broker and a real API server,
//! under the chart's limits: `make measure`. Linux, root.
//!
//! For each number of groups, all on one Kafka cluster, each with a member and 12 partitions:
//! memory, CPU, connections, requests per poll and API writes of a leader and of a stand-by; time
//! from a burst of records to the scale-up; the same with 100m of CPU; the time that an operator
//! needs to take over, and what it reads with less memory. Finally the time from the change of a
//! Secret to the first read with it.
//! `MEASURE_GROUPS=1,100,1000`, `MEASURE_REST_SECONDS=180`, `MEASURE_BURSTS=12` and
//! `MEASURE_SECRETS=8` change the amounts; no groups (`MEASURE_GROUPS=`) and no Secrets
//! (`MEASURE_SECRETS=0`) leave that part out.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_in_result,
    clippy::unwrap_used,
    reason = "a measurement that cannot go on panics"
)]

mod bursts;
mod members;
mod rest;
mod scene;
mod secrets;

use std::time::{Duration, Instant};

use lagrange_testing::confined::{Account, Limits};
use lagrange_testing::kubernetes::Kubernetes;
use scene::{Scene, read, until_leads};

/// Time for the first writes, the first descriptions of members and the second poll.
const WARM_UP: Duration = Duration::from_secs(45);
/// The CPU limit that the operator has for a part of the measurement, in thousandths of a core.
const LITTLE_CPU: u32 = 100;
/// The memory limits that it has, in MiB.
const LITTLE_MEMORY: [u64; 2] = [128, 64];

fn main() {
    let groups = setting("MEASURE_GROUPS", "1,100,1000");
    let rest = number(&setting("MEASURE_REST_SECONDS", "180"));
    let bursts = number(&setting("MEASURE_BURSTS", "12"));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let counts = groups.split(',').filter(|count| !count.is_empty());
    let counts: Vec<usize> = counts.map(number).collect();
    if !counts.is_empty() {
        runtime.block_on(measure(&counts, Duration::from_secs(rest as u64), bursts));
    }
    let changes = number(&setting("MEASURE_SECRETS", "8"));
    if changes > 0 {
        runtime.block_on(secrets::measure(changes));
    }
}

async fn measure(counts: &[usize], rest: Duration, bursts: usize) {
    let kubernetes = Kubernetes::shared().await;
    let account = Account::install(kubernetes);
    for groups in counts {
        println!("{groups} groups, each with a member, 12 partitions and a poll every 15 s");
        let scene = Scene::new(kubernetes, &account, *groups).await;
        measure_pair(&scene, rest, bursts).await;
    }
}

/// Measures a leader and a stand-by, then the take-over, then operators with less memory.
async fn measure_pair(scene: &Scene<'_>, rest: Duration, bursts: usize) {
    let limits = Limits::of_chart();
    let port = scene.kafka.port();
    let began = Instant::now();
    let leader = scene.operator(limits).await;
    scene.until_read(&leader).await;
    println!("  until all are read                {}", since(began));
    let standby = scene.operator(limits).await;
    tokio::time::sleep(WARM_UP).await;
    println!("  the stand-by");
    rest::measure(&standby, port, rest / 3).await;
    println!("  the leader");
    rest::measure(&leader, port, rest).await;
    let (first, second) = scene.names.split_at(bursts.min(scene.names.len()));
    bursts::measure(scene, first).await;

    println!("  the leader with {LITTLE_CPU}m of CPU");
    leader.group.limit_cpu(Some(LITTLE_CPU));
    rest::measure(&leader, port, rest).await;
    if !second.is_empty() {
        bursts::measure(scene, &second[..bursts.min(second.len())]).await;
    }
    println!("    groups whose lag is known       {:8}", read(&leader));

    println!("  the stand-by takes over with {LITTLE_CPU}m of CPU, after kill -9 of the leader");
    standby.group.limit_cpu(Some(LITTLE_CPU));
    let began = Instant::now();
    leader.operator.kill();
    until_leads(&standby).await;
    println!("    until it leads                  {}", since(began));
    scene.until_read(&standby).await;
    println!("    until all are read              {}", since(began));
    standby.operator.terminate();

    for memory in LITTLE_MEMORY {
        println!("  an operator with {memory} MiB of memory");
        let limits = Limits {
            memory: memory << 20,
            ..limits
        };
        let operator = scene.operator(limits).await;
        scene.until_read(&operator).await;
        tokio::time::sleep(WARM_UP).await;
        if operator.group.kills() > 0 {
            println!("    killed for want of memory");
            continue;
        }
        rest::measure(&operator, port, rest / 3).await;
        println!(
            "    read, refused                   {:8}, {}",
            read(&operator),
            scene.refused().await
        );
    }
}

fn since(began: Instant) -> String {
    format!("{:8.1} s", began.elapsed().as_secs_f64())
}

fn setting(name: &str, otherwise: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| otherwise.to_owned())
}

fn number(text: &str) -> usize {
    text.trim()
        .parse()
        .unwrap_or_else(|_| panic!("not a number: {text}"))
}
