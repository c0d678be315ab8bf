//! Accounts of operators, with the chart's rules, which a test may take away and give back.

use serde_json::{Value, json};

use crate::stage::Stage;

/// The name of the Lease.
pub(crate) const LEASE: &str = "lagrange";
const RBAC: &str = "rbac.authorization.k8s.io";

/// The rules of the chart that the scenarios need.
pub(crate) fn rules() -> Value {
    json!([
        { "apiGroups": ["lagrange.dev"], "resources": ["consumergroups", "kafkaclusters"],
          "verbs": ["get", "list", "watch"] },
        { "apiGroups": ["lagrange.dev"], "verbs": ["patch"],
          "resources": ["consumergroups/status", "kafkaclusters/status"] },
        { "apiGroups": ["apps"], "resources": ["deployments", "statefulsets"],
          "verbs": ["get", "list", "watch"] },
        { "apiGroups": ["apps"], "resources": ["deployments/scale", "statefulsets/scale"],
          "verbs": ["get", "patch"] },
        { "apiGroups": ["autoscaling"], "resources": ["horizontalpodautoscalers"],
          "verbs": ["list", "watch"] },
        { "apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["create"] },
        { "apiGroups": [""], "resources": ["secrets", "configmaps"], "verbs": ["list", "watch"] },
        { "apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create"] },
        { "apiGroups": ["coordination.k8s.io"], "resources": ["leases"],
          "resourceNames": [LEASE], "verbs": ["get", "update"] },
    ])
}

/// The rules without those for a resource.
pub(crate) fn rules_without(resource: &str) -> Value {
    let mut rules = rules();
    let has_it = |rule: &Value| {
        let mut resources = rule["resources"].as_array().unwrap().iter();
        resources.any(|one| *one == resource)
    };
    rules.as_array_mut().unwrap().retain(|rule| !has_it(rule));
    rules
}

/// Gives the Role of the accounts these rules, in place of those that it had.
pub(crate) async fn rule(stage: &Stage<'_>, rules: Value) {
    let role = json!({ "apiVersion": format!("{RBAC}/v1"), "kind": "Role",
        "metadata": { "name": "operator" }, "rules": rules });
    stage.space.apply(role).await;
}

/// Creates accounts with the chart's rules.
pub(crate) async fn grant(stage: &Stage<'_>, accounts: &[&str]) {
    for name in accounts {
        let account =
            json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": name } });
        stage.space.apply(account).await;
    }
    rule(stage, rules()).await;
    let subject = |name: &&str| json!({ "kind": "ServiceAccount", "name": name });
    let subjects: Vec<Value> = accounts.iter().map(subject).collect();
    let binding = json!({ "apiVersion": format!("{RBAC}/v1"), "kind": "RoleBinding",
        "metadata": { "name": "operator" }, "subjects": subjects,
        "roleRef": { "apiGroup": RBAC, "kind": "Role", "name": "operator" } });
    stage.space.apply(binding).await;
}
