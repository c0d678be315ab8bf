//! Objects to send: a minimal one with changes.

use serde_json::{Value, json};

/// A minimal ConsumerGroup with `changes` merged into its spec; null removes a field.
pub(crate) fn group(changes: Value) -> Value {
    let spec = json!({
        "scaleTargetRef": { "name": "fulfillment" },
        "kafka": { "clusterRef": { "name": "main" } },
        "objective": { "lagPerReplica": 1000 },
    });
    object("ConsumerGroup", spec, changes)
}

/// A minimal KafkaCluster with `changes` merged into its spec; null removes a field.
pub(crate) fn cluster(changes: Value) -> Value {
    object(
        "KafkaCluster",
        json!({ "bootstrapServers": ["kafka-0.kafka:9092"] }),
        changes,
    )
}

fn object(kind: &str, mut spec: Value, changes: Value) -> Value {
    merge(&mut spec, changes);
    json!({
        "apiVersion": "lagrange.dev/v1alpha1",
        "kind": kind,
        "metadata": { "name": "example", "namespace": "default" },
        "spec": spec,
    })
}

fn merge(into: &mut Value, changes: Value) {
    match changes {
        Value::Object(fields) if into.is_object() => {
            for (name, value) in fields {
                if value.is_null() {
                    into.as_object_mut().unwrap().remove(&name);
                } else {
                    merge(&mut into[name], value);
                }
            }
        }
        other => *into = other,
    }
}
