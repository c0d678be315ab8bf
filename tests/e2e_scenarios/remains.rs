//! What a failed scenario leaves to be read: the resources, the Pods, the events, the groups as
//! Kafka knows them, and the log of the operator. Only looks, and never fails itself: the failure
//! is to be seen, not this.

use crate::field::Scenario;

pub(crate) fn print(scenario: &Scenario) {
    let field = scenario.field;
    let namespace = format!("--namespace={}", scenario.space.name);
    let say = |title: &str, arguments: &[&str]| {
        eprintln!("--- {title} ---\n{}", field.kubernetes.ask(arguments));
    };
    let resources = "consumergroups,kafkaclusters";
    say(
        "resources",
        &["get", resources, &namespace, "--output=yaml"],
    );
    say(
        "workloads",
        &["get", "deployments,pods", &namespace, "--output=wide"],
    );
    say(
        "events",
        &[
            "get",
            "events",
            &namespace,
            "--sort-by=.metadata.creationTimestamp",
        ],
    );
    say(
        "consumers, their last words",
        &[
            "logs",
            &namespace,
            "--selector=app",
            "--prefix",
            "--tail=5",
            "--max-log-requests=50",
        ],
    );
    eprintln!("--- groups ---\n{}", groups(scenario));
    let operator = [
        "logs",
        "--namespace=lagrange",
        "--selector=app.kubernetes.io/name=lagrange",
    ];
    say(
        "operator",
        &[&operator[..], &["--tail=-1", "--since=5m"]].concat(),
    );
    // Of an operator that was restarted in its Pod.
    say(
        "operator, before its restart",
        &[&operator[..], &["--tail=200", "--previous"]].concat(),
    );
}

/// In a runtime of its own: the test's is on its way out.
fn groups(scenario: &Scenario) -> String {
    let names = scenario.field.kubernetes.ask(&[
        "get",
        "consumergroups",
        "--namespace",
        &scenario.space.name,
        "--output=jsonpath={.items[*].spec.groupId}",
    ]);
    let kafka = &scenario.field.kafka;
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().build()?;
            let describe = |name| runtime.block_on(kafka.describe(name));
            Ok(names.split_whitespace().map(describe).collect())
        });
        asked
            .join()
            .unwrap_or_else(|_| Ok("could not be asked for".to_owned()))
    })
    .unwrap_or_else(|error: std::io::Error| error.to_string())
}
