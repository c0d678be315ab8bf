//! Diagnostics of a failing test for the log of continuous integration: resources, events and
//! groups. Only reads, and never fails.

use std::path::Path;
use std::sync::Mutex;

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};

use crate::try_script;
use crate::until::secs;

/// Every cluster of brokers that this test program has started.
static BOOTSTRAPS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Adds the groups of these brokers to the diagnostics.
pub fn of_brokers(bootstrap: &str) {
    if let Ok(mut bootstraps) = BOOTSTRAPS.lock() {
        bootstraps.push(bootstrap.to_owned());
    }
}

/// Prints the resources of a namespace and the groups that they name.
pub fn print(kubeconfig: &Path, namespace: &str) {
    let Some(state) = kubeconfig.parent().and_then(Path::to_str) else {
        return;
    };
    let kubectl = |arguments: &[&str]| {
        let mut all = vec!["kubectl", state, "--namespace", namespace];
        all.extend(arguments);
        match try_script("kubernetes/kube.sh", &all) {
            Ok(said) | Err(said) => said,
        }
    };
    let resources = kubectl(&["get", "consumergroups,kafkaclusters", "--output=yaml"]);
    eprintln!("--- resources in {namespace} ---\n{resources}");
    let targets = kubectl(&["get", "deployments,statefulsets,pods", "--output=wide"]);
    eprintln!("--- targets in {namespace} ---\n{targets}");
    let events = kubectl(&["get", "events", "--sort-by=.metadata.creationTimestamp"]);
    eprintln!("--- events in {namespace} ---\n{events}");
    let Ok(bootstraps) = BOOTSTRAPS.lock() else {
        return;
    };
    for bootstrap in bootstraps.iter() {
        eprintln!("--- groups at {bootstrap} ---");
        for group in groups(bootstrap).unwrap_or_else(|error| vec![error]) {
            // A shared broker has the groups of other tests too. Print only those that the
            // resources name.
            if resources.contains(group.split(' ').next().unwrap_or_default()) {
                eprintln!("{group}");
            }
        }
    }
}

/// Name, state and members of each group, one line per group.
fn groups(bootstrap: &str) -> Result<Vec<String>, String> {
    let client: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("enable.metrics.push", "false")
        .set("log_level", "0")
        .create()
        .map_err(|error| error.to_string())?;
    let list = client
        .fetch_group_list(None, secs(5))
        .map_err(|error| error.to_string())?;
    let line = |group: &rdkafka::groups::GroupInfo| {
        let members: Vec<_> = group
            .members()
            .iter()
            .map(|member| format!("{} at {}", member.id(), member.client_host()))
            .collect();
        format!(
            "{} is {}, {} with {} members: {}",
            group.name(),
            group.state(),
            group.protocol(),
            members.len(),
            members.join(", ")
        )
    };
    Ok(list.groups().iter().map(line).collect())
}
