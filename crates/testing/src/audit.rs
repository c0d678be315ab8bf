//! Writes in the audit log of the API server: what was really written, by whom and when,
//! independent of any status.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use crate::kubernetes::{Kubernetes, Space};

/// One write that the API server received.
#[derive(Debug, Clone)]
pub struct Write {
    /// Time at which the API server received the request.
    pub at: Timestamp,
    /// Name of the user, such as `system:serviceaccount:NAMESPACE:ACCOUNT`.
    pub user: String,
    /// `create`, `update`, `patch`, `delete` ...
    pub verb: String,
    /// Status of the response.
    pub code: u64,
    /// Plural, and the subresource if there is one: `deployments/scale`.
    pub resource: String,
    /// Name of the object.
    pub name: String,
    /// Field manager; empty if the writer named none.
    pub manager: String,
    /// `spec.replicas` of a scale.
    pub replicas: Option<i32>,
    /// `spec.holderIdentity` of a Lease; empty if the write names none.
    pub holder: String,
}

impl Write {
    /// Whether the API server accepted it.
    pub fn is_accepted(&self) -> bool {
        matches!(self.code, 200..=299)
    }
}

/// An action of the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Action {
    /// Time at which the API server received the request.
    pub at: Timestamp,
    /// Replicas that were written.
    pub to: i32,
}

const MOMENT: Duration = Duration::from_millis(300);

const OPERATOR: &str = "lagrange.dev%2Foperator";

/// Every accepted write in a namespace, oldest first.
pub fn writes(kubernetes: &Kubernetes, space: &Space) -> Vec<Write> {
    let mut writes = attempts(kubernetes, space);
    writes.retain(Write::is_accepted);
    writes
}

/// Every write in a namespace that the API server received, also those that it refused, oldest
/// first.
///
/// The log lags a moment behind the writes. This reads until no entry is added.
pub fn attempts(kubernetes: &Kubernetes, space: &Space) -> Vec<Write> {
    let mut writes = logged(kubernetes, space);
    loop {
        std::thread::sleep(MOMENT);
        let later = logged(kubernetes, space);
        if later.len() == writes.len() {
            return later;
        }
        writes = later;
    }
}

fn logged(kubernetes: &Kubernetes, space: &Space) -> Vec<Write> {
    let log = kubernetes.audit();
    let mut writes: Vec<Write> = log
        .lines()
        .filter(|line| line.contains(&space.name))
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|event| event["objectRef"]["namespace"] == space.name.as_str())
        .filter(|event| event["stage"] == "ResponseComplete")
        .map(|event| write(&event))
        .collect();
    writes.sort_by_key(|write| write.at);
    writes
}

fn write(event: &Value) -> Write {
    let object = &event["objectRef"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let uri = text(&event["requestURI"]);
    let manager = uri
        .split(['?', '&'])
        .find_map(|part| part.strip_prefix("fieldManager="));
    let resource = match object["subresource"].as_str() {
        Some(subresource) => format!("{}/{subresource}", text(&object["resource"])),
        None => text(&object["resource"]),
    };
    Write {
        at: text(&event["requestReceivedTimestamp"]).parse().unwrap(),
        user: text(&event["user"]["username"]),
        verb: text(&event["verb"]),
        code: event["responseStatus"]["code"].as_u64().unwrap_or_default(),
        resource,
        name: text(&object["name"]),
        manager: manager.unwrap_or_default().to_owned(),
        replicas: event["requestObject"]["spec"]["replicas"]
            .as_i64()
            .and_then(|replicas| i32::try_from(replicas).ok()),
        holder: text(&event["requestObject"]["spec"]["holderIdentity"]),
    }
}

/// Every scale of a target that the operator wrote, oldest first.
pub fn actions(kubernetes: &Kubernetes, space: &Space, target: &str) -> Vec<Action> {
    writes(kubernetes, space)
        .into_iter()
        .filter(|write| write.manager == OPERATOR && write.resource.ends_with("/scale"))
        .filter(|write| write.name == target)
        .map(|write| Action {
            at: write.at,
            to: write.replicas.unwrap(),
        })
        .collect()
}
