//! Prints the state of a failed scenario: the resources, the Pods, the events, the groups in Kafka,
//! and the log of the operator. It only reads and never fails, so it does not hide the failure of
//! the test.

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
        "consumers, their last log lines",
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
    // If the operator was restarted in its Pod.
    say(
        "operator, before its restart",
        &[&operator[..], &["--tail=200", "--previous"]].concat(),
    );
}

/// Uses its own runtime, because the test's runtime is shutting down.
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
            .unwrap_or_else(|_| Ok("the groups could not be read".to_owned()))
    })
    .unwrap_or_else(|error: std::io::Error| error.to_string())
}
