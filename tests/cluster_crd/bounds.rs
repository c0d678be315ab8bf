//! Every bound of the schema, found by walking it: a value just outside is refused, and the largest
//! allowed object is accepted.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps, JSONSchemaPropsOrArray,
};
use lagrange_core::api;
use rstest::rstest;
use serde_json::{Value, json};

use crate::objects::{cluster, group};
use crate::server::Server;

/// A value outside of one bound, its path, and a part of the answer.
#[derive(Debug)]
struct Violation {
    path: Vec<String>,
    value: Value,
    answer: &'static str,
}

fn spec_of(kind: &str) -> JSONSchemaProps {
    let definition = api::definitions()
        .into_iter()
        .find(|one| one.spec.names.kind == kind)
        .unwrap();
    let schema = definition.spec.versions[0]
        .schema
        .clone()
        .unwrap()
        .open_api_v3_schema
        .unwrap();
    schema.properties.unwrap()["spec"].clone()
}

/// Collects every violation of a bound at `path` and below it.
fn violations(schema: &JSONSchemaProps, path: &[String], into: &mut Vec<Violation>) {
    let wrong = match schema.type_.as_deref() {
        Some("integer") => of_integer(schema),
        Some("string") => of_string(schema),
        Some("boolean") => vec![(json!("yes"), "must be of type boolean")],
        Some("array") => of_array(schema),
        Some("object") => of_object(schema),
        other => panic!("{path:?} is of type {other:?}"),
    };
    into.extend(wrong.into_iter().map(|(value, answer)| Violation {
        path: path.to_vec(),
        value,
        answer,
    }));
    match schema.type_.as_deref() {
        Some("array") => below_array(schema, path, into),
        Some("object") => below_object(schema, path, into),
        _ => {}
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "bounds are small whole numbers"
)]
fn of_integer(schema: &JSONSchemaProps) -> Vec<(Value, &'static str)> {
    let most = schema.maximum.expect("the schema has no maximum") as i64;
    let least = schema.minimum.expect("the schema has no minimum") as i64;
    vec![
        (json!(most + 1), "should be less than or equal to"),
        (json!(least - 1), "should be greater than or equal to"),
        (json!(1.5), "must be of type integer"),
        (json!("1"), "must be of type integer"),
    ]
}

fn of_string(schema: &JSONSchemaProps) -> Vec<(Value, &'static str)> {
    let mut wrong = Vec::new();
    let long = |length: i64| json!("a".repeat(usize::try_from(length).unwrap()));
    if schema.enum_.is_some() {
        wrong.push((json!("Whatever"), "Unsupported value"));
    } else {
        let most = schema.max_length.expect("the schema has no maxLength");
        wrong.push((long(most + 1), "Too long"));
    }
    if let Some(least) = schema.min_length {
        wrong.push((long(least - 1), "should be at least"));
    }
    if schema.pattern.is_some() {
        wrong.push((json!("a b"), "should match"));
    }
    wrong.push((json!(7), "must be of type string"));
    wrong
}

fn of_array(schema: &JSONSchemaProps) -> Vec<(Value, &'static str)> {
    let most = schema.max_items.expect("the schema has no maxItems");
    let many: Vec<String> = (0..=most).map(|n| format!("item-{n}:1")).collect();
    let mut wrong = vec![(json!(many), "Too many")];
    if schema.min_items.is_some() {
        wrong.push((json!([]), "should have at least"));
    }
    if schema.x_kubernetes_list_type.as_deref() == Some("set") {
        wrong.push((json!(["same:1", "same:1"]), "Duplicate value"));
    }
    wrong
}

fn of_object(schema: &JSONSchemaProps) -> Vec<(Value, &'static str)> {
    let mut wrong = vec![(json!("text"), "must be of type object")];
    if let Some(most) = schema.max_properties {
        let many: serde_json::Map<_, _> = (0..=most)
            .map(|n| (format!("label-{n}"), json!("x")))
            .collect();
        wrong.push((many.into(), "must have at most"));
    }
    wrong
}

fn below_array(schema: &JSONSchemaProps, path: &[String], into: &mut Vec<Violation>) {
    assert!(
        schema.x_kubernetes_list_type.is_some(),
        "{path:?} has no x-kubernetes-list-type"
    );
    let Some(JSONSchemaPropsOrArray::Schema(items)) = &schema.items else {
        panic!("{path:?} has no items")
    };
    violations(items, &[path, &["0".to_owned()]].concat(), into);
}

fn below_object(schema: &JSONSchemaProps, path: &[String], into: &mut Vec<Violation>) {
    let required = schema.required.iter().flatten();
    into.extend(required.map(|name| Violation {
        path: [path, std::slice::from_ref(name)].concat(),
        value: Value::Null,
        answer: "Required value",
    }));
    for (name, property) in schema.properties.iter().flatten() {
        assert!(
            property.description.is_some(),
            "{path:?}.{name} has no description"
        );
        violations(property, &[path, std::slice::from_ref(name)].concat(), into);
    }
}

/// Puts `value` at `path` and creates missing parents; null removes the field.
fn put(into: &mut Value, path: &[String], value: Value) {
    match path.split_first() {
        None => *into = value,
        Some((index, rest)) if index == "0" => {
            *into = json!([{}]);
            put(&mut into[0], rest, value);
        }
        Some((name, rest)) => {
            if !into.is_object() {
                *into = json!({});
            }
            if rest.is_empty() && value.is_null() {
                into.as_object_mut().unwrap().remove(name);
            } else {
                put(&mut into[name.as_str()], rest, value);
            }
        }
    }
}

/// TELL-33.
#[rstest]
#[case("ConsumerGroup", group(json!({})))]
#[case("KafkaCluster", cluster(json!({})))]
#[tokio::test]
async fn a_value_outside_of_a_bound_is_refused(#[case] kind: &str, #[case] plain: Value) {
    let server = Server::with_definitions().await;
    let mut all = Vec::new();
    violations(&spec_of(kind), &["spec".to_owned()], &mut all);
    assert!(all.len() > 20, "the walk found only {all:?}");
    for violation in all {
        let mut object = plain.clone();
        put(&mut object, &violation.path, violation.value.clone());
        let refused = server.dry_run(&object).await;
        assert_eq!(
            refused.status, 422,
            "{violation:?} was not refused: {}",
            refused.body
        );
        let said = refused.body["message"].as_str().unwrap_or_default();
        assert!(said.contains(violation.answer), "{violation:?}: {said}");
    }
}

#[rstest]
#[case::consumer_group(group(json!({})))]
#[case::kafka_cluster(cluster(json!({})))]
#[tokio::test]
async fn an_unknown_field_is_refused_by_name(#[case] mut object: Value) {
    let server = Server::with_definitions().await;
    object["spec"]["maxDelai"] = json!("60s");
    let refused = server.dry_run(&object).await;
    assert_eq!(refused.status, 400, "{}", refused.body);
    assert!(
        refused.body["message"]
            .as_str()
            .unwrap()
            .contains("unknown field \"spec.maxDelai\""),
        "{}",
        refused.body
    );
}

/// This also checks the cost of the rules: an API server refuses an object whose rules cost too
/// much.
#[rstest]
#[case::with_topics(json!({ "topics": (0..64).map(|n| format!("{n:0>249}")).collect::<Vec<_>>() }))]
#[case::with_a_pattern(json!({ "topicPattern": "p".repeat(256) }))]
#[tokio::test]
async fn the_largest_consumer_group_is_accepted(#[case] topics: Value) {
    let server = Server::with_definitions().await;
    let mut object = group(json!({
        "groupId": "g".repeat(255),
        "scaleTargetRef": { "apiVersion": format!("{}/v1", "a".repeat(125)), "kind": "K".repeat(63), "name": "n".repeat(253) },
        "kafka": { "clusterRef": null, "bootstrapServers": servers(), "tls": tls(), "sasl": oauth() },
        "minReplicas": 10_000,
        "maxReplicas": 10_000,
        "objective": { "lagPerReplica": 1_000_000_000_000_i64 },
        "pacing": { "minInterval": "00024h", "minScaleDownInterval": "086399s0999ms", "settleTimeout": "86400000ms", "scaleToZeroDelay": "23h59m59s" },
        "threadsPerReplica": 1_000,
        "delayedTopicPattern": "d".repeat(256),
        "fallback": { "replicas": 10_000, "after": "24h" },
    }));
    object["spec"]
        .as_object_mut()
        .unwrap()
        .extend(topics.as_object().unwrap().clone());
    let accepted = server.dry_run(&object).await;
    assert_eq!(accepted.status, 201, "{}", accepted.body);
    let read: api::ConsumerGroup =
        serde_json::from_value(accepted.body).expect("an accepted object cannot be read");
    lagrange_core::intent::Intent::of(&read).expect("an accepted object cannot be managed");
}

#[rstest]
#[case::names(json!({ "from": "Names", "names": (0..256).map(|n| format!("{n:0>63}")).collect::<Vec<_>>() }))]
#[case::selector(json!({ "from": "Selector", "selector": {
    "matchLabels": (0..64).map(|n| (format!("label-{n}"), json!("x".repeat(63)))).collect::<serde_json::Map<_, _>>(),
    "matchExpressions": vec![json!({ "key": "k".repeat(317), "operator": "NotIn", "values": vec!["v".repeat(63); 64] }); 32],
} }))]
#[tokio::test]
async fn the_largest_kafka_cluster_is_accepted(#[case] mut allowed: Value) {
    let server = Server::with_definitions().await;
    allowed["groupIdPrefixes"] = json!((0..64).map(|n| format!("{n:0>255}")).collect::<Vec<_>>());
    let accepted = server
        .dry_run(&cluster(
            json!({ "bootstrapServers": servers(), "tls": tls(), "sasl": oauth(), "allowedNamespaces": allowed }),
        ))
        .await;
    assert_eq!(accepted.status, 201, "{}", accepted.body);
    let _: api::KafkaCluster =
        serde_json::from_value(accepted.body).expect("an accepted object cannot be read");
}

/// Certificates with the longest allowed names.
fn certificates() -> Vec<Value> {
    vec![json!({ "secretName": "s".repeat(253), "key": "k".repeat(253) }); 16]
}

fn tls() -> Value {
    json!({
        "trustedCertificates": certificates(),
        "clientCertificate": { "secretName": "s".repeat(253), "certificateKey": "c".repeat(253), "privateKeyKey": "k".repeat(253) },
    })
}

fn oauth() -> Value {
    let letters = "abcdefghijklmnop".chars();
    let extensions: serde_json::Map<_, _> = letters
        .map(|letter| (letter.to_string().repeat(255), json!("v".repeat(255))))
        .collect();
    json!({ "mechanism": "OAUTHBEARER", "oauth": {
        "tokenEndpoint": format!("https://{:/<504}", "login.example.com"),
        "clientId": "c".repeat(255),
        "clientSecret": { "secretName": "s".repeat(253), "key": "k".repeat(253) },
        "scope": "s".repeat(1024),
        "extensions": extensions,
        "trustedCertificates": certificates(),
    } })
}

fn servers() -> Vec<String> {
    (0..32).map(|n| format!("{n:0>249}:65535")).collect()
}
