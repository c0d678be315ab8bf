//! Objects that a user of one namespace may write on a real API server. They must not affect other
//! namespaces.

use http::Request;
use kube::Client;
use lagrange_testing::operator::Operator;
use lagrange_testing::until::{secs, until};
use serde_json::{Value, json};

use crate::stage::{APP, Stage};

/// An empty object nested this deep, as text, so that the test itself does not have to parse it.
fn nested(levels: usize) -> String {
    format!("{}{{}}{}", r#"{"f:a":"#.repeat(levels), "}".repeat(levels))
}

async fn send(client: &Client, method: &str, path: &str, kind: &str, body: String) -> String {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", kind)
        .body(body.into_bytes())
        .unwrap();
    client.request_text(request).await.unwrap()
}

/// Creates another user's Deployment, with `managedFields` nested this deep.
async fn strange_deployment(client: &Client, namespace: &str, levels: usize) {
    let labels = json!({ "app": "strange" });
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "name": "strange", "annotations": { "large": "x".repeat(200 << 10) } },
        "spec": {
            "replicas": 0, "selector": { "matchLabels": labels },
            "template": {
                "metadata": { "labels": labels },
                "spec": { "containers": [{ "name": "consumer", "image": "localhost/pause:1" }] },
            },
        },
    });
    let path = format!("/apis/apps/v1/namespaces/{namespace}/deployments");
    send(
        client,
        "POST",
        &path,
        "application/json",
        deployment.to_string(),
    )
    .await;
    let fields = format!(
        r#"{{"metadata":{{"managedFields":[{{"manager":"strange","operation":"Update","apiVersion":"apps/v1","fieldsType":"FieldsV1","fieldsV1":{}}}]}}}}"#,
        nested(levels)
    );
    let path = format!("{path}/strange");
    let stored = send(
        client,
        "PATCH",
        &path,
        "application/merge-patch+json",
        fields,
    )
    .await;
    assert!(
        stored.contains(&nested(levels)),
        "the API server did not store the fields: {stored}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deeply_nested_objects_of_another_namespace_do_not_stop_the_operator() {
    let stage = Stage::new("deep").await;
    let strangers = stage.kubernetes.namespace("strangers").await;
    strange_deployment(&stage.space.client, &strangers.name, 125).await;
    let strange = json!({ "groupId": strangers.name, "scaleTargetRef": { "name": "strange" } });
    strangers.group("strange", stage.spec(strange)).await;
    let status = format!(
        r#"{{"status":{{"memory":{{"version":1,"deep":{}}}}}}}"#,
        nested(120)
    );
    let path = format!(
        "/apis/lagrange.dev/v1alpha1/namespaces/{}/consumergroups/strange/status",
        strangers.name
    );
    send(
        &stage.space.client,
        "PATCH",
        &path,
        "application/merge-patch+json",
        status,
    )
    .await;
    let _consumers = stage.set(6, 1).await;
    stage.kafka.produce(&stage.topic, 180).await;
    stage.group(json!({})).await;

    let also = format!("--watch-namespace={}", strangers.name);
    let operator = Operator::start_with(stage.kubernetes, &stage.space, &[&also]).await;
    stage.space.until_replicas(APP, 2, 60).await;
    // It is managed too, and the first write replaces its nested memory.
    until(secs(30), "the strange one has conditions", || async {
        let client = strangers.client.clone();
        let path = path.trim_end_matches("/status");
        let request = Request::get(path).body(Vec::new()).unwrap();
        let text = client
            .request_text(request)
            .await
            .map_err(|error| error.to_string())?;
        let read: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        match read["status"]["conditions"][0]["reason"].as_str() {
            Some(_) if !text.contains(&nested(20)) => Ok(()),
            _ => Err(text),
        }
    })
    .await;
    // Changes at run time come through the watch.
    strange_deployment_again(&stage.space.client, &strangers.name).await;
    stage
        .space
        .annotate(APP, "lagrange.dev/paused", Some("true"))
        .await;
    stage.until_reason("Paused").await;
    assert!(operator.get("/readyz").starts_with("HTTP/1.1 200"));
    let unreadable = operator.metric_sum("lagrange_unreadable_objects", "kind");
    assert!(unreadable < 0.5, "{unreadable}");
}

async fn strange_deployment_again(client: &Client, namespace: &str) {
    let path = format!("/apis/apps/v1/namespaces/{namespace}/deployments/strange");
    let patch = json!({ "metadata": { "labels": { "changed": "yes" } } }).to_string();
    let stored = send(
        client,
        "PATCH",
        &path,
        "application/merge-patch+json",
        patch,
    )
    .await;
    assert!(
        stored.contains(&nested(125)),
        "the object is not as deep as before"
    );
}
