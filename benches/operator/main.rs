//! Cost of the operator at rest and its reaction time, with a real broker and a real API server:
//! `make measure`.
//!
//! For each number of groups, all on one Kafka cluster: time until all are read; memory, CPU,
//! connections, requests per poll and API writes over some quiet minutes; time from a burst of
//! records to the scale-up. Finally the time from the change of a Secret to the first read with it.
//! `MEASURE_GROUPS=1,100`, `MEASURE_REST_SECONDS=180`, `MEASURE_BURSTS=12` and `MEASURE_SECRETS=8`
//! change the amounts; no groups (`MEASURE_GROUPS=`) and no Secrets (`MEASURE_SECRETS=0`) leave
//! that part out.

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

use std::time::Duration;

fn main() {
    let groups = setting("MEASURE_GROUPS", "1,100");
    let rest = number(&setting("MEASURE_REST_SECONDS", "180"));
    let bursts = number(&setting("MEASURE_BURSTS", "12"));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    for count in groups.split(',').filter(|count| !count.is_empty()) {
        runtime.block_on(measure(
            number(count),
            Duration::from_secs(rest as u64),
            bursts,
        ));
    }
    let changes = number(&setting("MEASURE_SECRETS", "8"));
    if changes > 0 {
        runtime.block_on(secrets::measure(changes));
    }
}

async fn measure(groups: usize, rest: Duration, bursts: usize) {
    println!("{groups} groups, each with a member, 6 partitions and a poll every 15 s");
    let scene = scene::Scene::new(groups).await;
    println!(
        "  until all are read              {:8.1} s",
        scene.until_read.as_secs_f64()
    );
    rest::measure(&scene.operator, scene.kafka.port(), rest).await;
    bursts::measure(&scene, bursts).await;
}

fn setting(name: &str, otherwise: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| otherwise.to_owned())
}

fn number(text: &str) -> usize {
    text.trim()
        .parse()
        .unwrap_or_else(|_| panic!("not a number: {text}"))
}
