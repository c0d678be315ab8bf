//! The group protocols and assignors of consumers.

use lagrange_testing::until::{secs, until};
use rstest::rstest;
use serde_json::json;

use crate::field::{Consumers, Scenario};

#[rstest]
#[case::range("range", "Classic", &[("WORKLOAD_ASSIGNOR", "range")])]
#[case::cooperative("cooperative-sticky", "Classic", &[("WORKLOAD_ASSIGNOR", "cooperative-sticky")])]
#[case::kip_848("uniform", "Consumer", &[("WORKLOAD_GROUP_PROTOCOL", "consumer")])]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_of_every_protocol_scale_settle_and_report_protocol_and_assignor(
    #[case] assignor: &str,
    #[case] protocol: &str,
    #[case] extra: &[(&str, &str)],
) {
    let here = Scenario::new("protocol", 4).await;
    here.consumers(Consumers {
        extra,
        ..Consumers::new("fulfillment", 1, "10")
    })
    .await;
    here.sized("fulfillment", json!({ "minReplicas": 1 })).await;
    here.field.kafka.produce(&here.topic, 4000).await;
    here.space.until_replicas("fulfillment", 4, 60).await;
    until(secs(60), "the action settles", || async {
        let status = here.space.status("fulfillment").await;
        let settled = status
            .last_scale
            .as_ref()
            .and_then(|last| last.settled_after.clone());
        let group = status.group.clone().unwrap_or_default();
        let speaks = (group.assignor.as_deref(), group.protocol.as_deref());
        if settled.is_some()
            && speaks == (Some(assignor), Some(protocol))
            && group.members == Some(4)
        {
            Ok(())
        } else {
            Err(format!("{settled:?} {group:?}"))
        }
    })
    .await;
}
