//! A line of a recording that the tests of several crates share.

use serde_json::{Value, json};

/// An observation with four partitions, 600 records per second, and two consumers of 200 each.
pub fn behind(t: f64) -> Value {
    let partition =
        |p: u32, end: i64| json!({ "p": p, "log_start": 0, "log_end": end, "committed": 6100 });
    json!({
        "type": "observe", "t": t,
        "workload": { "spec_replicas": 2, "ready_replicas": 2, "pods": [] },
        "kafka_ok": true,
        "topics": { "orders": { "partitions": [
            partition(0, 9244), partition(1, 8972), partition(2, 9012), partition(3, 9001) ] } },
        "group": { "state": "Stable", "protocol": "range", "generation": 0, "members": [
            { "id": "a", "pod": "pod-1", "assignment": [["orders", 0], ["orders", 1]] },
            { "id": "b", "pod": "pod-2", "assignment": [["orders", 2], ["orders", 3]] } ] },
    })
}
