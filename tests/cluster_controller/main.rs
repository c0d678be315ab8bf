//! The controller on a real API server with fake Pods, a real broker, and real members of real groups.

#[path = "../support/mod.rs"]
mod support;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn harness() {
    let kafka = support::kafka::Kafka::shared().await;
    let kubernetes = support::kubernetes::Kubernetes::shared().await;
    let space = kubernetes.namespace("harness").await;
    kafka.create_topic("harness", 6).await;
    kafka.produce("harness", 100).await;
    space.deployment("app", 2).await;
    let crowd =
        support::crowd::Crowd::follow(kafka, space.deployments(), "app", "harness", "harness");
    crowd.micros_per_record(100);
    support::until::until(support::until::secs(30), "consumed", || async {
        let coordinator = kafka.coordinator("harness").await;
        let ends = kafka.ends("harness").await;
        if coordinator >= 0 && ends.values().sum::<i64>() == 100 {
            Ok(())
        } else {
            Err(format!("{coordinator} {ends:?}"))
        }
    })
    .await;
}
