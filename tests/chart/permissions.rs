//! The operator's permissions: no more than its calls need, each rule with a reason.
//! tests/e2e_chart shows on a real node that they are enough.

use rstest::rstest;
use serde_json::Value;

use crate::helm::{documents, objects, template};

const KINDS: [&str; 2] = ["Role", "ClusterRole"];

fn of_operator(object: &Value) -> bool {
    let aggregated = |label: &String| label.starts_with("rbac.authorization.k8s.io/");
    let labels = object["metadata"]["labels"].as_object();
    KINDS.contains(&object["kind"].as_str().unwrap())
        && !labels.is_some_and(|labels| labels.keys().any(aggregated))
}

fn rules(values: &str) -> Vec<Value> {
    objects(&template(values).unwrap())
        .iter()
        .filter(|object| of_operator(object))
        .flat_map(|role| role["rules"].as_array().unwrap().clone())
        .collect()
}

/// The same without those of leader election, which are in the release's namespace alone.
fn rules_of_groups(values: &str) -> Vec<Value> {
    let all = rules(values).into_iter();
    all.filter(|rule| words(rule, "resources") != ["leases"])
        .collect()
}

fn words<'a>(rule: &'a Value, key: &str) -> Vec<&'a str> {
    rule[key]
        .as_array()
        .into_iter()
        .flatten()
        .map(|word| word.as_str().unwrap())
        .collect()
}

const TARGETS: &str = "scaleTargets: [{group: argoproj.io, resource: rollouts}, {group: example.com, resource: workers}]";

#[rstest]
#[case("")]
#[case("watchNamespaces: [kafka, shop]")]
#[case(TARGETS)]
#[case("rbac: {aggregate: true}")]
#[case("secrets: {namespaces: [kafka]}")]
fn every_rule_has_a_reason(#[case] values: &str) {
    let mut seen = 0;
    for role in documents(&template(values).unwrap()) {
        if !KINDS
            .iter()
            .any(|kind| role.contains(&format!("\nkind: {kind}\n")))
        {
            continue;
        }
        let lines: Vec<_> = role.lines().collect();
        for (index, _) in lines
            .iter()
            .enumerate()
            .filter(|(_, line)| line.starts_with("  - apiGroups:"))
        {
            let above = lines[index - 1];
            assert!(
                above.starts_with("  # ") && above.ends_with('.'),
                "no reason above rule {index} of\n{role}"
            );
            seen += 1;
        }
    }
    assert!(seen > 1);
}

#[rstest]
#[case("")]
#[case("watchNamespaces: [shop]")]
#[case(TARGETS)]
fn no_rule_has_a_wildcard_or_allows_escalation(#[case] values: &str) {
    for rule in rules(values) {
        let all = [
            words(&rule, "apiGroups"),
            words(&rule, "resources"),
            words(&rule, "verbs"),
        ]
        .concat();
        assert!(!all.iter().any(|word| word.contains('*')), "{rule}");
        for resource in words(&rule, "resources") {
            assert!(
                !["serviceaccounts", "roles", "clusterroles"].contains(&resource),
                "{rule}"
            );
            let verbs = words(&rule, "verbs");
            let writes = verbs
                .iter()
                .any(|verb| !["get", "list", "watch"].contains(verb));
            // Only what the operator reports (status, events), what it sets (replicas), and the
            // Lease of its leader.
            assert!(
                !writes
                    || resource.ends_with("/status")
                    || resource.ends_with("/scale")
                    || resource == "events"
                    || resource == "leases",
                "{rule}"
            );
        }
    }
}

/// SAFE-35.
#[test]
fn a_scale_target_adds_rules_only_for_itself_its_scale_and_pods() {
    let default = rules("");
    let added: Vec<_> = rules(TARGETS)
        .into_iter()
        .filter(|rule| !default.contains(rule))
        .collect();
    let resources: Vec<_> = added
        .iter()
        .flat_map(|rule| words(rule, "resources"))
        .collect();
    assert_eq!(
        resources,
        [
            "rollouts",
            "rollouts/scale",
            "workers",
            "workers/scale",
            "pods"
        ]
    );
    assert!(added.iter().all(|rule| {
        words(rule, "verbs")
            .iter()
            .all(|verb| ["get", "list", "patch"].contains(verb))
    }));
}

/// Namespaces are cluster-wide objects, so no Role can allow to read them.
#[test]
fn watched_namespaces_get_the_same_rules_without_cluster_wide_ones() {
    let everywhere = rules_of_groups("");
    let values = "watchNamespaces: [kafka, shop]";
    let each = rules_of_groups(values);
    let (first, second) = each.split_at(each.len() / 2);
    assert_eq!(first, second);
    let only_everywhere: Vec<_> = everywhere
        .iter()
        .filter(|rule| !first.contains(rule))
        .collect();
    assert_eq!(only_everywhere.len(), 1);
    assert_eq!(words(only_everywhere[0], "resources"), ["namespaces"]);
    for object in objects(&template(values).unwrap()) {
        assert!(
            !object["kind"].as_str().unwrap().starts_with("Cluster"),
            "{object}"
        );
    }
}

/// Only the listed namespaces: no ClusterRole adds others.
#[test]
fn secrets_may_be_read_only_in_the_listed_namespaces() {
    let namespaces = |values: &str| -> Vec<(String, String)> {
        let roles = objects(&template(values).unwrap()).into_iter();
        roles
            .filter(of_operator)
            .flat_map(|role| {
                let rules = role["rules"].as_array().unwrap().clone().into_iter();
                let reading = rules.filter(|rule| words(rule, "resources").contains(&"secrets"));
                let namespace = role["metadata"]["namespace"].as_str().unwrap_or("*");
                let namespace = namespace.to_owned();
                reading
                    .map(move |rule| (namespace.clone(), words(&rule, "verbs").join(" ")))
                    .collect::<Vec<_>>()
            })
            .collect()
    };
    let watching = |namespace: &str| (namespace.to_owned(), "list watch".to_owned());
    assert_eq!(namespaces(""), [watching("*")]);
    assert_eq!(
        namespaces("watchNamespaces: [kafka, shop]"),
        [watching("kafka"), watching("shop")]
    );
    assert_eq!(
        namespaces("secrets: {namespaces: [kafka]}"),
        [watching("kafka")]
    );
    assert_eq!(
        namespaces("{watchNamespaces: [kafka, shop], secrets: {namespaces: [kafka]}}"),
        [watching("kafka")]
    );
}

#[test]
fn every_role_is_bound_to_the_account_of_the_pod() {
    for values in [
        "",
        "watchNamespaces: [kafka, shop]",
        "serviceAccount: {create: false, name: given}",
        "secrets: {namespaces: [kafka]}",
    ] {
        let objects = objects(&template(values).unwrap());
        let pod = objects
            .iter()
            .find(|object| object["kind"] == "Deployment")
            .unwrap();
        let account = &pod["spec"]["template"]["spec"]["serviceAccountName"];
        for role in objects.iter().filter(|object| of_operator(object)) {
            let bound = objects.iter().any(|object| {
                object["roleRef"]["kind"] == role["kind"]
                    && object["roleRef"]["name"] == role["metadata"]["name"]
                    && object["metadata"]["namespace"] == role["metadata"]["namespace"]
                    && object["subjects"][0]["name"] == *account
                    && object["subjects"][0]["namespace"] == "lagrange-system"
            });
            assert!(bound, "{role}");
        }
    }
}
