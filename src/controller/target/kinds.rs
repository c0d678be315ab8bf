//! Which kinds exist and whether they can be scaled. Each is looked up once.

use std::{collections::HashMap, sync::Mutex};

use kube::{
    api::{ApiResource, GroupVersionKind},
    discovery::{self, Scope},
};
use lagrange_core::api::condition::Reason;

use crate::controller::kube::api::Api;
use crate::controller::kube::error::{Error, Problem, Stop};
use crate::sync::lock;

/// The kinds of targets that have been looked up.
#[derive(Debug, Default)]
pub(in crate::controller) struct Kinds(Mutex<HashMap<GroupVersionKind, ApiResource>>);

impl Kinds {
    pub(super) async fn find(
        &self,
        api: &Api,
        gvk: &GroupVersionKind,
    ) -> Result<ApiResource, Stop> {
        if let Some(resource) = lock(&self.0).get(gvk) {
            return Ok(resource.clone());
        }
        let unknown = || {
            Problem::new(
                Reason::TargetNotFound,
                format!(
                    "{} {} is not a kind that this cluster serves: correct spec.scaleTargetRef",
                    gvk.api_version(),
                    gvk.kind
                ),
            )
        };
        let found = api.read(
            "discover the target's kind",
            discovery::pinned_kind(&api.server.client, gvk),
        );
        let (resource, capabilities) = match found.await {
            Ok(found) => found,
            Err(Error::Refused { code: 404, .. }) => return Err(unknown().into()),
            Err(error) => return Err(Stop::Error(error)),
        };
        let scales = capabilities
            .subresources
            .iter()
            .any(|(subresource, _)| subresource.plural == "scale");
        if capabilities.scope == Scope::Cluster || !scales {
            return Err(Problem::new(
                Reason::TargetNotFound,
                format!("{} has no scale subresource in a namespace, so it cannot be scaled: name the workload that can", gvk.kind),
            )
            .into());
        }
        lock(&self.0).insert(gvk.clone(), resource.clone());
        Ok(resource)
    }

    pub(super) fn forget(&self, gvk: &GroupVersionKind) {
        lock(&self.0).remove(gvk);
    }
}
