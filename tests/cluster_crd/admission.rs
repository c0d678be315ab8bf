//! The chart's admission policies. Nobody can use the operator's permissions through them: the
//! writer of a ConsumerGroup or KafkaCluster must be allowed to do what it asks for.

use std::time::Duration;

use http::Method;
use rstest::rstest;
use serde_json::{Value, json};

use crate::objects::{cluster, group};
use crate::server::{Answer, Server, kubectl, render};

/// The only namespace with the policies, because other tests use the same server.
const NAMESPACE: &str = "admission";
// Users who may write both kinds of resources. The name says what else they may do.
const NOTHING: &str = "writer";
const SCALING: &str = "scaler";
const READING: &str = "reader";
const BOTH: &str = "owner";
const RIGHTS: &str = include_str!("admission.yaml");

/// A server with the policies and the permissions of the users.
async fn guarded() -> Server {
    let server = Server::with_definitions().await;
    let rendered = render(&[
        "--show-only=templates/admissionpolicy.yaml",
        "--set=admissionPolicy.enabled=true",
        "--set=watchNamespaces={admission}",
        r#"--set-json=scaleTargets=[{"group":"argoproj.io","resource":"rollouts","kind":"Rollout"}]"#,
    ]);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("objects.yaml");
    let written = [rendered, RIGHTS.to_owned()].join("\n---\n");
    std::fs::write(&file, written).unwrap();
    let file = file.to_str().unwrap();
    kubectl(&[
        "apply",
        "--server-side",
        "--warnings-as-errors",
        "--filename",
        file,
    ]);
    // Policies and permissions reach the API server through different watches.
    let refused = group(json!({ "scaleTargetRef": { "kind": "Other" } }));
    let secret = inline(&["tls-ca"]);
    until(&server, NOTHING, &refused, 403).await;
    until(&server, BOTH, &secret, 201).await;
    until(&server, SCALING, &secret, 403).await;
    server
}

async fn create_as(server: &Server, user: &str, object: &Value, query: &str) -> Answer {
    let plural = format!("{}s", object["kind"].as_str().unwrap().to_lowercase());
    let mut object = object.clone();
    object["metadata"]["namespace"] = NAMESPACE.into();
    let path = format!("/apis/lagrange.dev/v1alpha1/namespaces/{NAMESPACE}/{plural}?{query}");
    server.send_as(user, Method::POST, &path, &object).await
}

async fn until(server: &Server, user: &str, object: &Value, status: u16) {
    for _ in 0..150 {
        let answer = create_as(server, user, object, "dryRun=All").await;
        let about_the_policy = status != 403 || said(&answer).contains("ValidatingAdmissionPolicy");
        if answer.status == status && about_the_policy {
            return;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    panic!("{user} got no {status} in time");
}

fn said(answer: &Answer) -> &str {
    answer.body["message"].as_str().unwrap_or_default()
}

fn inline(authorities: &[&str]) -> Value {
    let sources = authorities.iter();
    let sources: Vec<_> = sources.map(|name| json!({ "secretName": name })).collect();
    group(json!({ "kafka": {
        "clusterRef": null,
        "bootstrapServers": ["kafka:9093"],
        "tls": { "trustedCertificates": sources },
    } }))
}

fn on(kind: &str, api: &str) -> Value {
    group(json!({ "scaleTargetRef": { "kind": kind, "apiVersion": api } }))
}

fn login(sasl: &Value) -> Value {
    cluster(json!({ "tls": { "clientCertificate": { "secretName": "tls-client" } }, "sasl": sasl }))
}

fn passwords() -> Value {
    login(&json!({
        "mechanism": "PLAIN", "usernameSecret": { "secretName": "user" }, "passwordSecret": { "secretName": "password" },
    }))
}

fn oauth(own: &str, authority: &str) -> Value {
    login(&json!({ "mechanism": "OAUTHBEARER", "oauth": {
        "tokenEndpoint": "https://login.example.com", "clientId": "x", "clientSecret": { "secretName": own },
        "trustedCertificates": [{ "configMapName": "public" }, { "secretName": authority }],
    } }))
}

fn aws(secret: &str) -> Value {
    let credentials =
        json!({ "region": "eu-central-1", "credentialsSecret": { "secretName": secret } });
    login(&json!({ "mechanism": "AWS_MSK_IAM", "aws": credentials }))
}

#[rstest]
#[case::scale_of_a_deployment(NOTHING, group(json!({})),
    "writer may not have Deployment fulfillment scaled: the right to update deployments/scale in namespace admission is missing")]
#[case::reading_secrets_is_not_scaling(READING, group(json!({})),
    "reader may not have Deployment fulfillment scaled")]
#[case::scale_of_a_stateful_set(
    NOTHING,
    on("StatefulSet", "apps/v1"),
    "the right to update statefulsets/scale in namespace admission is missing"
)]
#[case::scale_of_another_kind(
    NOTHING,
    on("Rollout", "argoproj.io/v1alpha1"),
    "the right to update rollouts/scale in namespace admission is missing"
)]
#[case::the_right_is_for_one_name(BOTH, group(json!({ "scaleTargetRef": { "name": "payments" } })),
    "owner may not have Deployment payments scaled")]
#[case::unknown_kinds(
    BOTH,
    on("Deployment", "example.com/v1"),
    "may not scale Deployment of example.com/v1: name a Deployment, a StatefulSet of apps/v1, or a kind of the chart's scaleTargets"
)]
#[case::secret_of_a_group(SCALING, inline(&["tls-ca"]),
    "scaler may not name Secret tls-ca: the right to get it in namespace admission is missing")]
#[case::secret_of_a_cluster(NOTHING, passwords(), "writer may not name Secret tls-client")]
#[case::last_of_many(BOTH, inline(&["s0", "s1", "s2", "s3", "s4", "s5", "s6", "mine-not"]), "owner may not name Secret mine-not")]
#[case::more_than_can_be_checked(BOTH, inline(&["s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8"]), "names more than 8 Secrets")]
#[case::a_clients_secret(BOTH, oauth("other", "tls-ca"), "owner may not name Secret other")]
#[case::an_authority_of_the_oauth_server(
    BOTH,
    oauth("client", "other"),
    "owner may not name Secret other"
)]
#[case::an_access_key(BOTH, aws("other"), "owner may not name Secret other")]
#[tokio::test]
async fn a_writer_without_permission_is_refused_with_the_missing_one(
    #[case] user: &str,
    #[case] object: Value,
    #[case] message: &str,
) {
    let server = guarded().await;
    let refused = create_as(&server, user, &object, "dryRun=All").await;
    assert_eq!(refused.status, 403, "{}", refused.body);
    assert!(said(&refused).contains(message), "{}", said(&refused));
}

#[rstest]
#[case::scale_of_a_deployment(SCALING, group(json!({})))]
#[case::scale_of_a_stateful_set(SCALING, on("StatefulSet", "apps/v1"))]
#[case::scale_of_another_kind(SCALING, on("Rollout", "argoproj.io/v1alpha1"))]
#[case::a_cluster_without_secrets(NOTHING, cluster(json!({ "tls": {} })))]
#[case::a_cluster_by_passwords(READING, passwords())]
#[case::a_cluster_by_oauth(READING, oauth("client", "tls-ca"))]
#[case::a_cluster_of_aws(READING, aws("access-key"))]
#[case::a_group_with_secrets(BOTH, inline(&["tls-ca"]))]
#[case::as_many_as_can_be_checked(BOTH, inline(&["s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7"]))]
#[tokio::test]
async fn a_writer_with_permission_is_accepted(#[case] user: &str, #[case] object: Value) {
    let server = guarded().await;
    let accepted = create_as(&server, user, &object, "dryRun=All").await;
    assert_eq!(accepted.status, 201, "{}", accepted.body);
    assert_eq!(accepted.warnings, [] as [&str; 0]);
}

/// The operator may neither update scales nor get Secrets. The garbage collector, which removes
/// finalizers, has no permission at all.
#[tokio::test]
async fn only_changes_that_use_permissions_are_checked() {
    let server = guarded().await;
    let created = create_as(&server, BOTH, &inline(&["tls-ca"]), "").await;
    assert_eq!(created.status, 201, "{}", created.body);
    let path = format!("/apis/lagrange.dev/v1alpha1/namespaces/{NAMESPACE}/consumergroups/example");
    let apply = |more: Value| {
        let mut object = json!({ "apiVersion": "lagrange.dev/v1alpha1", "kind": "ConsumerGroup", "metadata": { "name": "example" } });
        let fields = more.as_object().unwrap().clone();
        object.as_object_mut().unwrap().extend(fields);
        object
    };

    let status = apply(json!({ "status": { "partitions": 6 } }));
    let status_path = format!("{path}/status?fieldManager=operator");
    let written = server
        .send_as("operator", Method::PATCH, &status_path, &status)
        .await;
    assert_eq!(written.status, 200, "{}", written.body);

    let patch_path = format!("{path}?fieldManager=someone&force=true");
    let labelled = apply(
        json!({ "metadata": { "name": "example", "labels": { "team": "shop" }, "finalizers": ["example.com/x"] } }),
    );
    let taken = server
        .send_as(NOTHING, Method::PATCH, &patch_path, &labelled)
        .await;
    assert_eq!(taken.status, 200, "{}", taken.body);

    // An annotation can set replicas.
    for (asking, user, expected) in [
        (json!({ "spec": { "maxReplicas": 7 } }), NOTHING, 403),
        (
            json!({ "metadata": { "name": "example", "annotations": { "lagrange.dev/paused-replicas": "9" } } }),
            NOTHING,
            403,
        ),
        (
            json!({ "metadata": { "name": "example", "annotations": { "lagrange.dev/paused-replicas": "9" } } }),
            BOTH,
            200,
        ),
        (json!({ "spec": { "maxReplicas": 7 } }), BOTH, 200),
    ] {
        let answer = server
            .send_as(user, Method::PATCH, &patch_path, &apply(asking.clone()))
            .await;
        assert_eq!(answer.status, expected, "{user} {asking}: {}", answer.body);
    }
}

/// The API server checks the expressions against the schemas of the resources and reports
/// mismatches.
#[tokio::test]
async fn expressions_fit_the_schemas() {
    let server = guarded().await;
    for resource in ["consumergroups", "kafkaclusters"] {
        let path = format!(
            "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/lagrange-system-lagrange-{resource}"
        );
        for attempt in 0.. {
            let policy = server.send(Method::GET, &path, &json!({})).await.body;
            let looked_at = &policy["status"]["observedGeneration"];
            if *looked_at == policy["metadata"]["generation"] && !looked_at.is_null() {
                let warnings = &policy["status"]["typeChecking"]["expressionWarnings"];
                assert!(warnings.is_null(), "{warnings:#}");
                break;
            }
            assert!(attempt < 150, "{policy}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}
