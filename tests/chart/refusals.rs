//! Values that are refused, and the messages that users get. To ignore a value silently would be a
//! defect.

use std::fmt::Write as _;

use crate::helm::template;

const REFUSED: &[&str] = &[
    // Misspelt, or not a value of the chart.
    "watchNamespace: [shop]",
    "image: {version: 1.0.0}",
    "replicas: -1",
    // More than one kind to scale, or not a name from kubectl api-resources.
    "scaleTargets: [{group: \"*\", resource: \"*\"}]",
    "scaleTargets: [{group: argoproj.io, resource: rollouts/scale}]",
    "scaleTargets: [{group: argoproj.io, resource: Rollout}]",
    "scaleTargets: [{resource: rollouts}]",
    // Namespaces as a pattern, or not as a list.
    "watchNamespaces: [\"team-*\"]",
    "watchNamespaces: [\"\"]",
    "watchNamespaces: [shop, shop]",
    "watchNamespaces: shop",
    "secrets: {namespaces: [\"*\"]}",
    "ambientIdentity: {namespaces: [\"*\"]}",
    "extraVolumes: [{secret: {secretName: keytab}}]",
    // Secrets that no resource could use, and kinds that the policy could not recognize.
    "{watchNamespaces: [shop], secrets: {namespaces: [kafka]}}",
    "{admissionPolicy: {enabled: true}, scaleTargets: [{group: argoproj.io, resource: rollouts}]}",
    // Values that the operator would not accept.
    "kafka: {timeout: 2}",
    "leaderElection: {leaseDuration: 15}",
    "leaderElection: {enabled: false}",
    "kafka: {inlinePollInterval: fast}",
    "kafka: {inlineConnections: \"false\"}",
    "shutdownGraceSeconds: 0",
    "metrics: {port: 80}",
    "metrics: {address: \"::\"}",
    "log: {format: xml}",
    "image: {digest: \"sha256:abc\"}",
    "image: {repository: \"lagrange latest\"}",
    "imagePullSecrets: [registry]",
    "image: {pullPolicy: Sometimes}",
    "extraArgs: [walk]",
    "extraArgs: [--leader-elect=false]",
    "extraEnv: [{name: LAGRANGE_LEADER_ELECT, value: \"false\"}]",
    "networkPolicy: {kafkaPorts: []}",
    "metrics: {service: {enabled: false}, serviceMonitor: {enabled: true}}",
];

#[test]
fn refusals_say_which_value_and_why() {
    let mut all = String::new();
    for values in REFUSED {
        let said = template(values).expect_err(values);
        let noise = [
            "",
            "lagrange:",
            "Use --debug flag to render out invalid YAML",
        ];
        let lines = said.lines().map(str::trim_end);
        let mut lines: Vec<_> = lines
            .filter(|line| !noise.contains(line) && !line.starts_with("Error: values don't meet"))
            .collect();
        // Helm prints the errors in no fixed order.
        lines.sort_unstable();
        writeln!(all, "{values}\n    {}", lines.join("\n    ")).unwrap();
    }
    insta::assert_snapshot!(all);
}

/// A parent chart passes `global` to all of its charts.
#[test]
fn values_of_a_parent_chart_are_accepted() {
    assert_eq!(
        template("global: {registry: registry.example}"),
        template("")
    );
}
