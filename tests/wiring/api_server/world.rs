//! The objects of the server in memory, and how requests change them: reads, lists, merge patches
//! of status and scale, and what a workload's controller does after them.

use std::collections::BTreeMap;

use http::Method;
use serde_json::{Value, json};

use super::{Fault, Key, World};

impl World {
    pub(super) fn store(&mut self, key: Key, mut object: Value, kind: &'static str) -> Value {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.log
            .push((self.version, kind, key.clone(), object.clone()));
        self.objects.insert(key, object.clone());
        object
    }

    pub(super) fn key(&self, plural: &str, name: &str) -> Key {
        let (namespace, name) = name.split_once('/').unwrap_or(("default", name));
        (plural.to_owned(), namespace.to_owned(), name.to_owned())
    }

    pub(super) fn fault(&mut self, method: &Method, path: &str) -> Option<Fault> {
        let planned = self.planned.iter_mut().find(|plan| {
            plan.times > 0 && plan.method == *method && path.ends_with(&plan.ending)
        })?;
        planned.times -= 1;
        Some(planned.fault)
    }

    pub(super) fn handle(
        &mut self,
        method: &Method,
        path: &str,
        query: &BTreeMap<String, String>,
        body: &Value,
    ) -> (u16, Value) {
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        match (method.as_str(), parts.as_slice()) {
            ("GET", ["apis", "example.dev", "v1"]) => (200, widgets()),
            ("POST", [.., "events"]) => (201, body.clone()),
            ("POST", [.., "namespaces", namespace, "leases"]) => {
                let name = body["metadata"]["name"].as_str().unwrap();
                let key = key("leases", namespace, name);
                if self.objects.contains_key(&key) {
                    return (409, refusal(409, "already exists"));
                }
                let mut object = body.clone();
                object["metadata"]["generation"] = json!(1);
                (201, self.store(key, object, "ADDED"))
            }
            ("PUT", [.., "namespaces", namespace, plural, name]) => {
                let key = key(plural, namespace, name);
                let Some(object) = self.objects.get(&key) else {
                    return (404, refusal(404, "not found"));
                };
                if body["metadata"]["resourceVersion"] != object["metadata"]["resourceVersion"] {
                    return (409, refusal(409, "the object has been modified"));
                }
                (200, self.store(key, body.clone(), "MODIFIED"))
            }
            ("GET", [.., "namespaces", namespace, plural, name, "scale"]) => {
                match self.objects.get(&key(plural, namespace, name)) {
                    Some(object) => (200, scale_of(object)),
                    None => (404, refusal(404, "not found")),
                }
            }
            ("PATCH", [.., "namespaces", namespace, plural, name, "scale"]) => {
                self.patch(&key(plural, namespace, name), body, Part::Scale)
            }
            ("PATCH", [.., "namespaces", namespace, plural, name, "status"]) => {
                self.patch(&key(plural, namespace, name), body, Part::Status)
            }
            ("GET", [_, .., "namespaces", namespace, plural, name]) => {
                match self.objects.get(&key(plural, namespace, name)) {
                    Some(object) => (200, object.clone()),
                    None => (404, refusal(404, "not found")),
                }
            }
            ("GET", _) => self.list(path, query),
            _ => (405, refusal(405, "this server does not know how")),
        }
    }

    fn list(&self, path: &str, query: &BTreeMap<String, String>) -> (u16, Value) {
        let (plural, namespace) = collection(path);
        if self.forbidden.contains(&plural) {
            return (403, refusal(403, &format!("{plural} is forbidden")));
        }
        // The chart grants no right to list the Secrets of a namespace.
        if plural == "secrets" && named(query).is_none() {
            return (403, refusal(403, "secrets is forbidden without a name"));
        }
        let labels: Option<(String, String)> = query.get("labelSelector").and_then(|selector| {
            let (key, value) = selector.split_once("%3D")?;
            Some((key.to_owned(), value.to_owned()))
        });
        let named = named(query);
        let items: Vec<&Value> = self
            .objects
            .iter()
            .filter(|(key, object)| {
                key.0 == plural
                    && namespace
                        .as_ref()
                        .is_none_or(|namespace| key.1 == *namespace)
                    && named.as_ref().is_none_or(|name| key.2 == *name)
                    && labels.as_ref().is_none_or(|(key, value)| {
                        object["metadata"]["labels"][key] == json!(value)
                    })
            })
            .map(|(_, object)| object)
            .collect();
        let list = json!({
            "apiVersion": "v1", "kind": "List",
            "metadata": { "resourceVersion": self.version.to_string() },
            "items": items,
        });
        (200, list)
    }

    fn patch(&mut self, key: &Key, body: &Value, part: Part) -> (u16, Value) {
        let Some(object) = self.objects.get(key) else {
            return (404, refusal(404, "not found"));
        };
        let wanted = &body["metadata"]["resourceVersion"];
        if !wanted.is_null() && *wanted != object["metadata"]["resourceVersion"] {
            return (409, refusal(409, "the object has been modified"));
        }
        let mut object = object.clone();
        match part {
            Part::Status => {
                merge(&mut object["status"], &body["status"]);
                (200, self.store(key.clone(), object, "MODIFIED"))
            }
            Part::Scale => {
                if object["spec"]["replicas"] != body["spec"]["replicas"] {
                    object["spec"]["replicas"] = body["spec"]["replicas"].clone();
                    let generation = object["metadata"]["generation"].as_i64().unwrap();
                    object["metadata"]["generation"] = json!(generation + 1);
                    if !self.stuck.contains(&key.2) {
                        follow(&mut object);
                    }
                }
                let stored = self.store(key.clone(), object, "MODIFIED");
                (200, scale_of(&stored))
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Part {
    Status,
    Scale,
}

/// What a workload's controller and Pods do when the replicas change.
pub fn follow(object: &mut Value) {
    let replicas = object["spec"]["replicas"].clone();
    object["status"] = json!({
        "observedGeneration": object["metadata"]["generation"],
        "replicas": replicas, "readyReplicas": replicas, "updatedReplicas": replicas,
        "selector": object["status"]["selector"],
    });
}

fn key(plural: &str, namespace: &str, name: &str) -> Key {
    (plural.to_owned(), namespace.to_owned(), name.to_owned())
}

pub(super) fn key_of(plural: &str, object: &Value) -> Key {
    let text = |field: &str| object["metadata"][field].as_str().unwrap();
    key(plural, text("namespace"), text("name"))
}

/// The name that a field selector asks for.
pub(super) fn named(query: &BTreeMap<String, String>) -> Option<String> {
    let selector = query.get("fieldSelector")?;
    selector
        .strip_prefix("metadata.name%3D")
        .map(ToOwned::to_owned)
}

/// Plural and namespace of a path to a collection.
pub(super) fn collection(path: &str) -> (String, Option<String>) {
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    match parts.as_slice() {
        [.., "namespaces", namespace, plural] => {
            ((*plural).to_owned(), Some((*namespace).to_owned()))
        }
        [.., plural] => ((*plural).to_owned(), None),
        [] => unreachable!(),
    }
}

fn scale_of(object: &Value) -> Value {
    let meta = &object["metadata"];
    json!({
        "apiVersion": "autoscaling/v1", "kind": "Scale",
        "metadata": { "name": meta["name"], "namespace": meta["namespace"], "resourceVersion": meta["resourceVersion"] },
        "spec": { "replicas": object["spec"]["replicas"] },
        "status": {
            "replicas": object["status"]["replicas"].as_i64().unwrap_or(0),
            "selector": object["status"]["selector"].as_str().unwrap_or_default(),
        },
    })
}

/// A kind that is not part of Kubernetes.
fn widgets() -> Value {
    let resource = |name: &str, kind: &str| {
        json!({ "name": name, "singularName": "widget", "namespaced": true, "kind": kind,
                "verbs": ["get", "list", "patch", "update", "watch"] })
    };
    json!({
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "example.dev/v1",
        "resources": [resource("widgets", "Widget"), {
            "name": "widgets/scale", "singularName": "", "namespaced": true, "kind": "Scale",
            "group": "autoscaling", "version": "v1", "verbs": ["get", "patch", "update"],
        }],
    })
}

pub(super) fn refusal(code: u16, message: &str) -> Value {
    let reason = if code == 404 { "NotFound" } else { "" };
    json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "reason": reason, "code": code })
}

/// JSON merge patch.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let target = target.as_object_mut().unwrap();
    for (key, value) in patch {
        if value.is_null() {
            target.remove(key);
        } else {
            merge(target.entry(key).or_insert(Value::Null), value);
        }
    }
}
