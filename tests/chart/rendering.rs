//! What a release creates, for a table of values. One snapshot has the default values in full, the
//! others only the differences.

use rstest::rstest;
use serde_json::json;

use crate::helm::{chart, documents, notes, objects, only, run, template, template_of};

/// Every value of the chart, most of them changed.
pub(crate) const EVERYTHING: &str = include_str!("everything.yaml");

const WATCH_NAMESPACES: &str = "watchNamespaces: [kafka, shop]";
const SCALE_TARGETS: &str = "scaleTargets: [{group: argoproj.io, resource: rollouts}]";
const ADMISSION_POLICY: &str = "{admissionPolicy: {enabled: true}, scaleTargets: [{group: argoproj.io, resource: rollouts, kind: Rollout}]}";
const MONITORING: &str = "
metrics:
  serviceMonitor: {enabled: true, labels: {release: prometheus}, interval: 15s}
  prometheusRule: {enabled: true, labels: {release: prometheus}}
";
const NETWORK_POLICY: &str = "
networkPolicy:
  enabled: true
  ingressFrom: [{namespaceSelector: {matchLabels: {name: monitoring}}}]
  extraEgress: [{to: [{ipBlock: {cidr: 10.0.0.0/8}}], ports: [{port: 9196}]}]
";

/// Cuts a definition to its head, because another test checks it.
fn shown(document: &str) -> String {
    match document.split_once("\nspec:") {
        Some((head, _)) if document.contains("\nkind: CustomResourceDefinition\n") => {
            format!("{head}\nspec: …")
        }
        _ => document.to_owned(),
    }
}

/// A line that identifies a document.
fn title(document: &str) -> String {
    let object: serde_json::Value = serde_saphyr::from_str(document).unwrap();
    let name = |key: &str| {
        object["metadata"][key]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    format!(
        "{} {} {}",
        object["kind"].as_str().unwrap(),
        name("namespace"),
        name("name")
    )
}

#[test]
fn default_values() {
    let rendered = template("").unwrap();
    let shown: Vec<_> = documents(&rendered)
        .iter()
        .map(|document| shown(document))
        .collect();
    insta::assert_snapshot!(shown.join("\n---\n"));
}

#[rstest]
#[case("watch_namespaces", WATCH_NAMESPACES)]
#[case("scale_targets", SCALE_TARGETS)]
#[case("secrets_of_one_namespace", "secrets: {namespaces: [kafka]}")]
#[case("admission_policy", ADMISSION_POLICY)]
#[case("monitoring", MONITORING)]
#[case("network_policy", NETWORK_POLICY)]
#[case("no_definitions", "crds: {install: false}")]
#[case("definitions_that_go", "crds: {keep: false}")]
#[case(
    "no_roles_and_a_given_account",
    "{rbac: {create: false}, serviceAccount: {create: false, name: given}}"
)]
#[case("roles_for_users", "rbac: {aggregate: true}")]
#[case("openshift", "podSecurityContext: {runAsUser: null, runAsGroup: null}")]
#[case(
    "digest",
    "image: {repository: registry.example/lagrange, digest: \"sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\"}"
)]
#[case("names", "{nameOverride: sizer, watchNamespaces: [shop]}")]
#[case("everything", EVERYTHING)]
fn values_change_only_their_objects(#[case] name: &str, #[case] values: &str) {
    let default = documents(&template("").unwrap());
    let changed = documents(&template(values).unwrap());
    let kept: Vec<_> = changed.iter().map(|document| title(document)).collect();
    let titles = default.iter().map(|document| title(document));
    let gone = titles
        .filter(|title| !kept.contains(title))
        .map(|title| format!("# gone: {title}\n"));
    let other = changed
        .iter()
        .filter(|document| !default.contains(document))
        .map(|document| shown(document));
    let (gone, other): (Vec<_>, Vec<_>) = (gone.collect(), other.collect());
    insta::with_settings!({ description => values, omit_expression => true }, {
        insta::assert_snapshot!(name, gone.concat() + &other.join("\n---\n"));
    });
}

#[rstest]
#[case("nothing_doubtful", "image: {repository: registry.example/lagrange}")]
#[case(
    "everything_doubtful",
    "{image: {tag: latest}, crds: {keep: false}, watchNamespaces: [shop], rbac: {create: false}, kafka: {allowLocalAddresses: true}, \
     securityContext: {readOnlyRootFilesystem: false}, resources: {limits: null}, networkPolicy: {enabled: true}, metrics: {service: {enabled: false}}}"
)]
#[case(
    "no_definitions",
    "{image: {repository: registry.example/lagrange}, crds: {install: false}}"
)]
fn notes_list_the_next_steps_and_doubtful_values(#[case] name: &str, #[case] values: &str) {
    insta::with_settings!({ description => values, omit_expression => true }, {
        insta::assert_snapshot!(format!("notes_{name}"), notes(values));
    });
}

/// Knative has ConsumerGroups and Koperator has KafkaClusters too, so a short name can mean theirs.
#[test]
fn shown_commands_have_full_resource_names_and_a_namespace() {
    let shown = format!("{}\n{}", notes(""), template(MONITORING).unwrap());
    let commands: Vec<&str> = shown
        .lines()
        .filter_map(|line| Some(line.split_once("kubectl ")?.1))
        .filter(|command| !command.starts_with("apply"))
        .filter(|command| !command.contains(" rollout status deployment/"))
        .collect();
    assert!(commands.len() >= 5, "{commands:?}");
    for command in commands {
        assert!(
            command.contains(" consumergroups.lagrange.dev "),
            "{command}"
        );
        assert!(
            command.starts_with("-n ") || command.ends_with(" -A"),
            "{command}"
        );
    }
    assert!(!shown.contains("describe consumergroup "));
}

#[rstest]
#[case("")]
#[case(WATCH_NAMESPACES)]
#[case(SCALE_TARGETS)]
#[case(MONITORING)]
#[case(NETWORK_POLICY)]
#[case(ADMISSION_POLICY)]
#[case(EVERYTHING)]
fn lint_reports_nothing(#[case] values: &str) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("values.yaml");
    std::fs::write(&path, values).unwrap();
    let output = run(&[
        "lint",
        "--strict",
        "--quiet",
        chart().to_str().unwrap(),
        "--values",
        path.to_str().unwrap(),
    ]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && !said.contains("[WARNING]") && !said.contains("[ERROR]"),
        "{said}"
    );
}

#[rstest]
#[case("")]
#[case(EVERYTHING)]
fn a_packaged_chart_is_complete(#[case] values: &str) {
    let directory = tempfile::tempdir().unwrap();
    let output = run(&[
        "package",
        chart().to_str().unwrap(),
        "--destination",
        directory.path().to_str().unwrap(),
    ]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let package = directory
        .path()
        .join(format!("lagrange-{}.tgz", env!("CARGO_PKG_VERSION")));
    assert_eq!(template_of(&package, values), template(values));
}

#[rstest]
#[case("")]
#[case(EVERYTHING)]
fn every_object_has_the_label_and_a_namespace_unless_cluster_wide(#[case] values: &str) {
    for object in objects(&template(values).unwrap()) {
        let kind = object["kind"].as_str().unwrap();
        let metadata = &object["metadata"];
        if kind == "CustomResourceDefinition" {
            continue;
        }
        assert_eq!(
            metadata["labels"]["app.kubernetes.io/managed-by"], "Helm",
            "{object}"
        );
        let cluster_wide = kind.starts_with("Cluster") || kind.starts_with("ValidatingAdmission");
        assert_eq!(metadata["namespace"].is_null(), cluster_wide, "{object}");
    }
}

/// The level `restricted` of the Pod Security Standards, and a read-only root file system.
#[test]
fn the_pod_is_hardened() {
    let pod = only(&template("").unwrap(), "Deployment")["spec"]["template"]["spec"].clone();
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(
        pod["securityContext"]["seccompProfile"]["type"],
        "RuntimeDefault"
    );
    let container = &pod["containers"][0]["securityContext"];
    assert_eq!(
        *container,
        json!({"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]}})
    );
}

#[rstest]
#[case("shutdownGraceSeconds: 1")]
#[case("")]
#[case("shutdownGraceSeconds: 60")]
fn the_pod_is_not_killed_before_the_operator_has_ended(#[case] values: &str) {
    let pod = only(&template(values).unwrap(), "Deployment")["spec"]["template"]["spec"].clone();
    let grace = pod["containers"][0]["args"]
        .as_array()
        .unwrap()
        .iter()
        .find_map(|argument| {
            argument
                .as_str()
                .unwrap()
                .strip_prefix("--shutdown-grace=")?
                .strip_suffix('s')?
                .parse::<u64>()
                .ok()
        });
    assert!(pod["terminationGracePeriodSeconds"].as_u64().unwrap() > grace.unwrap());
}

#[rstest]
#[case("", 2, true)]
#[case("replicas: 3", 3, true)]
#[case("podDisruptionBudget: {enabled: false}", 2, false)]
#[case::a_budget_would_forbid_the_drain("replicas: 1", 1, false)]
#[case("replicas: 0", 0, false)]
fn one_pod_is_always_left_to_take_over(
    #[case] values: &str,
    #[case] replicas: u8,
    #[case] has_budget: bool,
) {
    let rendered = template(values).unwrap();
    let spec = only(&rendered, "Deployment")["spec"].clone();
    assert_eq!(spec["replicas"], json!(replicas));
    let update = json!({ "maxSurge": 1, "maxUnavailable": 0 });
    assert_eq!(spec["strategy"]["rollingUpdate"], update);
    let all = objects(&rendered);
    let budget = all
        .iter()
        .find(|object| object["kind"] == "PodDisruptionBudget");
    assert_eq!(budget.is_some(), has_budget);
    if let Some(budget) = budget {
        assert_eq!(budget["spec"]["selector"], spec["selector"]);
    }
}

/// Two releases in one namespace must not share a Lease.
#[test]
fn the_lease_has_the_name_of_the_release_and_may_be_used_by_it_alone() {
    for values in ["", "fullnameOverride: sizer"] {
        let rendered = template(values).unwrap();
        let deployment = only(&rendered, "Deployment");
        let name = deployment["metadata"]["name"].as_str().unwrap();
        let arguments = &deployment["spec"]["template"]["spec"]["containers"][0]["args"];
        let flag = json!(format!("--leader-elect-resource-name={name}"));
        assert!(arguments.as_array().unwrap().contains(&flag), "{arguments}");
        let role = objects(&rendered)
            .into_iter()
            .find(|object| object["kind"] == "Role")
            .unwrap();
        assert_eq!(
            role["metadata"]["namespace"],
            deployment["metadata"]["namespace"]
        );
        assert_eq!(role["rules"][1]["resourceNames"], json!([name]));
    }
}
