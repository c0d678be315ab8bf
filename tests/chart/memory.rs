//! The chart's memory limit follows from the operator's own limits on what it holds.

use crate::helm::file;
use lagrange::kafka::budget::{Budget, PARTITION, THREAD};
use lagrange::kafka::rdkafka::bounds::Bounds;
use serde_json::Value;

const MIB: u64 = 1 << 20;

// MiB that no number in the code bounds: measured and rounded up.
const PROCESS: u64 = 30;
const OBJECTS: u64 = 30;

#[test]
fn the_memory_limit_is_above_the_sum_of_all_bounds_and_the_page_has_the_sum() {
    let values: Value = serde_saphyr::from_str(&file("charts/lagrange/values.yaml")).unwrap();
    let limit = values["resources"]["limits"]["memory"].as_str().unwrap();
    let limit: u64 = limit.strip_suffix("Mi").unwrap().parse().unwrap();
    let brokers = values["kafka"]["maxBrokersPerCluster"].as_u64().unwrap();

    let budget = Budget::of(limit * MIB);
    let partitions = (budget.partitions as u64 * PARTITION).div_ceil(MIB);
    let answers = (Bounds::default().answer_bytes as u64).div_ceil(MIB);
    let threads = (budget.threads as u64).max(brokers * 3 / 2);
    let clients = (threads * THREAD).div_ceil(MIB);
    let all = partitions + answers + clients + PROCESS + OBJECTS;
    assert!(all < limit, "{all} of {limit} MiB");

    let page = file("docs/operations.md");
    for (what, mebibytes) in [
        ("partitions", partitions),
        ("answers of brokers, and what is decoded from them", answers),
        ("threads of Kafka's clients", clients),
        ("the process itself", PROCESS),
        (
            "objects that are read from the API server, and the HTTP port",
            OBJECTS,
        ),
        ("left", limit - all),
    ] {
        let row = format!("| {what} | {mebibytes} |");
        assert!(page.contains(&row), "docs/operations.md lacks {row}");
    }
    assert!(page.contains(&format!("limits memory to {limit} MiB")));
}
