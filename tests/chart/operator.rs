//! Chart and operator agree on flags, their defaults, and metrics.

use std::{collections::BTreeSet, process::Command};

use crate::{
    helm::{file, only, template},
    rendering::EVERYTHING,
};
use rstest::rstest;

const MONITORING: &str = "metrics: {prometheusRule: {enabled: true}}";

/// The operator's flags, from its help.
fn flags() -> BTreeSet<String> {
    let help = Command::new(env!("CARGO_BIN_EXE_lagrange"))
        .args(["run", "--help"])
        .output()
        .unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let flags = help.lines().filter_map(|line| {
        line.trim()
            .split("--")
            .nth(1)
            .filter(|_| line.trim().starts_with('-'))
    });
    let name = |flag: &str| {
        flag.chars()
            .take_while(|c| c.is_ascii_lowercase() || *c == '-')
            .collect()
    };
    flags.map(name).collect()
}

fn arguments(values: &str) -> Vec<String> {
    let deployment = only(&template(values).unwrap(), "Deployment");
    let arguments = deployment["spec"]["template"]["spec"]["containers"][0]["args"]
        .as_array()
        .unwrap()
        .clone();
    arguments
        .iter()
        .map(|argument| argument.as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn every_flag_of_the_operator_has_a_value() {
    // Without a value: a Pod has a ServiceAccount instead of a kubeconfig, resources.limits sets
    // its memory, help is for people, a recording is temporary, with extraArgs and a volume, and
    // in a Pod there is an election, on a Lease in its namespace.
    let mut expected = flags();
    assert!(expected.len() > 5);
    for without in [
        "help",
        "kubeconfig",
        "context",
        "memory-limit",
        "record",
        "record-limit",
        "leader-elect",
        "leader-elect-resource-namespace",
    ] {
        assert!(expected.remove(without), "{without}");
    }
    let given =
        arguments("{watchNamespaces: [shop], ambientIdentity: {namespaces: [kafka]}}").into_iter();
    let given: BTreeSet<_> = given
        .filter_map(|argument| Some(argument.strip_prefix("--")?.split('=').next()?.to_owned()))
        .collect();
    assert_eq!(given, expected);
}

/// Exit code 2 would be a mistake in the arguments; 1 is the missing kubeconfig.
#[rstest]
#[case("")]
#[case("watchNamespaces: [kafka, shop]")]
#[case(EVERYTHING)]
fn the_operator_accepts_the_arguments(#[case] values: &str) {
    let mut operator = Command::new(env!("CARGO_BIN_EXE_lagrange"));
    operator
        .args(arguments(values))
        .arg("--kubeconfig=/does/not/exist");
    let ended = operator.env_clear().output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(said.contains("kubeconfig"), "{said}");
}

#[test]
fn the_charts_defaults_are_those_of_the_operator() {
    let help = Command::new(env!("CARGO_BIN_EXE_lagrange"))
        .args(["run", "--help"])
        .output()
        .unwrap();
    let help = String::from_utf8(help.stdout)
        .unwrap()
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    // The chart's log is for machines, the default is for people. The Lease has the name of the
    // release.
    for argument in arguments("").iter().skip(1).filter(|argument| {
        let (flag, _) = argument.split_once('=').unwrap();
        !["--log-format", "--leader-elect-resource-name"].contains(&flag)
    }) {
        let (flag, value) = argument.split_once('=').unwrap();
        let (_, about) = help
            .split_once(&format!("{flag} "))
            .or_else(|| help.split_once(&format!("{flag}[")))
            .unwrap();
        let (_, default) = about.split_once("[default: ").unwrap();
        assert_eq!(default.split_once(']').unwrap().0, value, "{flag}");
    }
}

/// An alert on a metric that was renamed would never fire (TELL-32).
#[test]
fn alerts_use_existing_metrics() {
    let metrics = exposition();
    let rule = only(&template(MONITORING).unwrap(), "PrometheusRule");
    let alerts = rule["spec"]["groups"][0]["rules"]
        .as_array()
        .unwrap()
        .clone();
    assert!(alerts.len() > 5);
    let mut used = 0;
    for alert in alerts {
        let expression = alert["expr"].as_str().unwrap();
        for name in expression
            .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .filter(|word| word.starts_with("lagrange_"))
        {
            assert!(
                metrics.contains(&format!("{name}{{")) || metrics.contains(&format!("{name} ")),
                "{name}, in {}",
                alert["alert"]
            );
            used += 1;
        }
    }
    assert!(used > 5);
}

/// The operations page names no metric and no alert that does not exist.
#[test]
fn the_operations_page_names_every_alert_and_only_existing_metrics() {
    let page = file("docs/operations.md");
    let words = |start: &str| -> BTreeSet<String> {
        let names = page.split('`').filter(|word| word.starts_with(start));
        names.map(ToOwned::to_owned).collect()
    };
    let rule = only(&template(MONITORING).unwrap(), "PrometheusRule");
    let alerts = rule["spec"]["groups"][0]["rules"].as_array().unwrap();
    let alerts = alerts
        .iter()
        .map(|alert| alert["alert"].as_str().unwrap().to_owned());
    assert_eq!(words("Lagrange"), alerts.collect());
    let metrics = exposition();
    let named = words("lagrange_");
    assert!(named.len() > 10);
    for name in named {
        let is_there = ["{", " ", "_bucket{", "_count "]
            .iter()
            .any(|end| metrics.contains(&format!("{name}{end}")));
        assert!(is_there, "{name}");
    }
}

#[test]
fn every_alert_has_a_reason_a_severity_and_a_description() {
    let rendered = template(MONITORING).unwrap();
    let lines: Vec<_> = rendered.lines().collect();
    for (index, line) in lines
        .iter()
        .enumerate()
        .filter(|(_, line)| line.contains("- alert: "))
    {
        assert!(lines[index - 1].trim().starts_with("# "), "{line}");
    }
    for alert in only(&rendered, "PrometheusRule")["spec"]["groups"][0]["rules"]
        .as_array()
        .unwrap()
    {
        assert!(
            !alert["for"].is_null() && !alert["labels"]["severity"].is_null(),
            "{alert}"
        );
        assert!(
            !alert["annotations"]["summary"].is_null()
                && !alert["annotations"]["description"].is_null(),
            "{alert}"
        );
    }
}

/// The text of `/metrics` with a value in every series.
fn exposition() -> String {
    use std::time::Duration;

    use lagrange::metrics::{Direction, GroupInfo, GroupNumbers, Metrics, WriteOutcome};
    use lagrange_core::api::condition::{Status, Type};

    let metrics = Metrics::new();
    let group = metrics.group("shop", "fulfillment");
    group.set(GroupNumbers {
        lag: Some(1),
        lag_max: Some(1),
        partitions: Some(1),
        unknown_partitions: Some(1),
        members: Some(1),
        idle_members: Some(1),
        replicas: Some(1),
        desired: Some(1),
        limit: Some(1),
        produced: Some(1.0),
        consumed: Some(1.0),
        capacity: Some(1.0),
        delay: Some(42.0),
    });
    group.describe(GroupInfo::default());
    group.conditions([(Type::Ready, Status::True)]);
    let cluster = metrics.cluster("kafka/main");
    cluster.polled(Duration::from_secs(1));
    cluster.requested("ListOffsets", 1);
    cluster.connections(1);
    metrics.unreadable_objects("Deployment", 1);
    metrics.scaled(Direction::Up);
    metrics.held("CoolingDown");
    metrics.settled(Duration::from_secs(1));
    metrics.kafka_error("KafkaUnreachable");
    drop(metrics.time_reconcile());
    metrics.reconcile_error("TargetForbidden");
    metrics.api_write("scale", WriteOutcome::Failed);
    metrics.encode()
}
