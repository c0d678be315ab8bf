//! The parts of an object that are kept, and contents that do not keep it from being read.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// Nested brackets, as text: serde follows 128 levels.
fn deep(levels: usize) -> String {
    format!("{}{{}}{}", r#"{"f:a":"#.repeat(levels), "}".repeat(levels))
}

fn group(annotations: &Value, memory: &str) -> String {
    let group = json!({
        "apiVersion": "lagrange.dev/v1alpha1", "kind": "ConsumerGroup",
        "metadata": {
            "name": "orders", "namespace": "shop", "uid": "u", "resourceVersion": "7", "generation": 3,
            "creationTimestamp": "2026-11-24T12:00:00Z", "annotations": annotations,
            "labels": { "a": "b" }, "finalizers": ["x/y"], "ownerReferences": [{ "kind": "A", "name": "b" }],
            "managedFields": [{ "manager": "x", "fieldsV1": "DEEP" }],
        },
        "spec": {
            "scaleTargetRef": { "name": "orders" }, "kafka": { "bootstrapServers": ["kafka:9092"] },
            "objective": { "lagPerReplica": 7 },
        },
        "status": { "partitions": 12, "memory": "MEMORY", "lag": { "unknownPartitions": 1 } },
    });
    let text = group.to_string();
    text.replace(r#""DEEP""#, &deep(5000))
        .replace(r#""MEMORY""#, memory)
}

#[test]
fn of_metadata_what_is_used_is_kept_and_nothing_else() {
    let annotations = json!({
        "example.dev/large": "x".repeat(255 << 10), "lagrange.dev/paused": "true", "plain": "y",
        "lagrange.dev/long": "z".repeat(255 << 10),
    });
    let read = consumer_group(&group(&annotations, r#"{"version":1}"#)).unwrap();
    assert_eq!(read.unreadable, None);
    let metadata = read.object.metadata.clone();
    let kept = metadata.annotations.clone().unwrap();
    assert_eq!(kept["lagrange.dev/paused"], "true");
    assert_eq!(kept["lagrange.dev/long"].len(), 256);
    assert_eq!(kept.len(), 2);
    let expected = ObjectMeta {
        name: Some("orders".to_owned()),
        namespace: Some("shop".to_owned()),
        uid: Some("u".to_owned()),
        resource_version: Some("7".to_owned()),
        generation: Some(3),
        creation_timestamp: Some(Time("2026-11-24T12:00:00Z".parse().unwrap())),
        annotations: Some(kept),
        ..ObjectMeta::default()
    };
    assert_eq!(metadata, expected);
    assert_eq!(read.object.spec.objective.lag_per_replica, Some(7));
    let all = serde_json::to_string(&read.object).unwrap();
    assert!(all.len() < 2000, "{} bytes are kept", all.len());
}

#[test]
fn a_pause_is_kept_however_many_annotations_lie_before_it() {
    let mut annotations: serde_json::Map<String, Value> = (0..100)
        .map(|n| (format!("lagrange.dev/a{n}"), json!("x")))
        .collect();
    annotations.extend((0..100).map(|n| (format!("lagrange.dev/paus{n}"), json!("x"))));
    annotations.insert("lagrange.dev/pausd".to_owned(), json!("x"));
    annotations.insert("lagrange.dev/paused-replicas".to_owned(), json!("3"));
    annotations.insert("lagrange.dev/pauseeed".to_owned(), json!("true"));
    let read = consumer_group(&group(&annotations.into(), "{}")).unwrap();
    let kept = read.object.metadata.annotations.unwrap();
    assert_eq!(kept["lagrange.dev/paused-replicas"], "3");
    assert_eq!(
        kept["lagrange.dev/pauseeed"], "true",
        "a misspelt one pauses"
    );
    assert!(kept.len() <= 40, "{kept:?}");
}

#[test]
fn a_status_of_any_depth_and_size_hides_nothing_of_the_specification() {
    let large = json!({ "version": 1, "x": "y".repeat(1 << 20) }).to_string();
    let wide = json!({ "version": 1, "x": vec![0; 1 << 17] }).to_string();
    let nested = format!(r#"{{"version":1,"x":{}}}"#, deep(5000));
    for memory in [large, wide, nested, "7".to_owned(), "null".to_owned()] {
        let read = consumer_group(&group(&json!({}), &memory)).unwrap();
        assert_eq!(read.object.spec.objective.lag_per_replica, Some(7));
        let status = read.object.status.unwrap();
        assert_eq!(status.partitions, Some(12), "the other parts stay");
        assert_eq!(status.lag.unwrap().unknown_partitions, 1);
        let kept = status.memory.map(|memory| memory.to_string());
        assert!(kept.clone().is_none_or(|kept| kept.len() < 32 << 10));
        if memory.contains("version") {
            assert!(kept.unwrap().contains(r#""version":1"#));
        }
    }
}

#[test]
fn a_specification_that_cannot_be_read_leaves_the_object_to_say_so_on() {
    let text = group(&json!({}), "{}").replace("lagPerReplica\":7", "lagPerReplica\":\"seven\"");
    let read = consumer_group(&text).unwrap();
    let why = read.unreadable.unwrap();
    assert!(why.contains("seven"), "{why}");
    assert_eq!(read.object.metadata.resource_version.as_deref(), Some("7"));
    assert_eq!(read.object.status.unwrap().partitions, Some(12));
    let cluster = json!({ "metadata": { "name": "main" }, "spec": { "bootstrapServers": 7 } });
    let cluster = kafka_cluster(&cluster.to_string()).unwrap();
    assert!(cluster.unreadable.is_some());
}

#[test]
fn an_autoscaler_is_what_it_scales_and_who_made_it() {
    let text = json!({
        "metadata": { "name": "h", "namespace": "shop", "managedFields": "DEEP", "ownerReferences": [
            { "kind": "Other", "name": "x", "uid": "1" }, { "kind": "ScaledObject", "name": "orders", "uid": "2" }] },
        "spec": { "maxReplicas": 3, "metrics": "DEEP",
                  "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "orders" } },
    });
    let text = text.to_string().replace(r#""DEEP""#, &deep(1000));
    let read = autoscaler(&text).unwrap();
    assert_eq!(read.metadata.owner_references.unwrap()[0].name, "orders");
    assert_eq!(read.spec.unwrap().scale_target_ref.name, "orders");
    let long = text.replace(
        r#""name":"orders"}}"#,
        &format!(r#""name":"{}"}}}}"#, "x".repeat(1 << 20)),
    );
    assert_ne!(long, text);
    assert!(autoscaler(&long).unwrap_err().contains("253"));
}

#[test]
fn a_namespace_of_many_labels_is_let_in_by_nobody() {
    let with = |count: usize| {
        let labels: BTreeMap<String, String> =
            (0..count).map(|n| (n.to_string(), String::new())).collect();
        super::labels(&json!({ "metadata": { "name": "a", "labels": labels } }).to_string())
    };
    assert_eq!(with(256).unwrap().len(), 256);
    assert!(with(257).is_err());
    assert_eq!(
        super::labels(r#"{"metadata":{"name":"a"}}"#).unwrap().len(),
        0
    );
}

#[test]
fn what_is_too_large_is_named_where_its_name_comes_first() {
    let beginning = br#"{"kind":"Deployment","apiVersion":"apps/v1","metadata":{"name":"big","namespace":"shop","annotations":{"a":"xxxx"#;
    let item = Item::of(Cut::TooLarge(beginning));
    assert_eq!(item.name, Some(Name::new("shop", "big")));
    assert!(item.text.unwrap_err().contains("10485760"));
    assert_eq!(Item::of(Cut::TooLarge(b"{\"a\":")).name, None);
}

proptest! {
    #[test]
    fn no_text_makes_reading_panic(text in "[\\[\\]{}\",:0-9a-e. \\\\-]{0,200}") {
        let _ = consumer_group(&text);
        let _ = kafka_cluster(&text);
        let _ = autoscaler(&text);
        let _ = labels(&text);
        let _ = crate::controller::target::workload::read(&text);
        let _ = Item::of(Cut::Whole(text.as_bytes()));
        let _ = version(&text);
    }
}
