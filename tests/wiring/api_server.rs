//! An API server in memory: lists, watches, status and scale subresources with optimistic locking, and what a real one does
//! only when it is unlucky: conflicts, refusals, silence before or after the deed, and clients that die.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use axum::body::Body;
use futures::{FutureExt as _, stream};
use http::{Method, Request, Response, StatusCode};
use kube::Client;
use serde_json::{Value, json};
use tokio::{sync::Notify, time::Instant};

/// What every request that matters is remembered by.
#[derive(Debug, Clone)]
pub struct Seen {
    pub at: Instant,
    pub client: u32,
    pub method: Method,
    pub path: String,
    pub body: Value,
    /// The answer; 0: the request was lost.
    pub status: u16,
}

/// How one request goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Refused with this status, nothing done.
    Status(u16),
    /// Not done, and never answered.
    Lost,
    /// Done, and never answered.
    Unanswered,
    /// The client dies before the request arrives.
    DiesBefore,
    /// The client dies when it has been done.
    DiesAfter,
}

#[derive(Debug)]
struct Planned {
    method: Method,
    ending: String,
    fault: Fault,
    times: u32,
}

#[derive(Debug, Default)]
struct World {
    version: u64,
    objects: BTreeMap<Key, Value>,
    log: Vec<(u64, &'static str, Key, Value)>,
    seen: Vec<Seen>,
    /// How often each kind was listed.
    lists: BTreeMap<String, u32>,
    planned: Vec<Planned>,
    dead: BTreeSet<u32>,
    clients: u32,
    forbidden: BTreeSet<String>,
    /// Kinds whose watches are answered with 410 from their start.
    gone: BTreeSet<String>,
    /// Kinds whose watches are open and tell nothing.
    silent: BTreeSet<String>,
    /// Workloads whose pods do not follow their replicas.
    stuck: BTreeSet<String>,
}

/// Plural, namespace, name.
type Key = (String, String, String);

/// The server. Clones are the same one.
#[derive(Debug, Clone, Default)]
pub struct ApiServer {
    world: Arc<Mutex<World>>,
    changed: Arc<Notify>,
}

impl ApiServer {
    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    /// A client of its own, which can be made to die.
    pub fn client(&self) -> (u32, Client) {
        let id = {
            let mut world = self.world();
            world.clients += 1;
            world.clients
        };
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<kube::client::Body>| {
            let server = server.clone();
            async move { Ok::<_, Infallible>(server.answer(id, request).await) }.boxed()
        });
        (id, Client::new(service, "default"))
    }

    /// From now on nothing that this client sends arrives.
    pub fn kill(&self, client: u32) {
        self.world().dead.insert(client);
    }

    /// The next `times` requests like this go wrong.
    pub fn plan(&self, method: Method, ending: &str, fault: Fault, times: u32) {
        let ending = ending.to_owned();
        self.world().planned.push(Planned {
            method,
            ending,
            fault,
            times,
        });
    }

    /// Nothing goes wrong any more.
    pub fn forgive(&self) {
        self.world().planned.clear();
    }

    /// How often a kind was listed.
    pub fn lists(&self, plural: &str) -> u32 {
        self.world().lists.get(plural).copied().unwrap_or(0)
    }

    /// Nobody may list or watch this kind.
    pub fn forbid(&self, plural: &str) {
        self.world().forbidden.insert(plural.to_owned());
    }

    /// Watches of this kind are answered with 410 at their start, or no longer.
    pub fn refuse_watches(&self, plural: &str, refuse: bool) {
        let mut world = self.world();
        if refuse {
            world.gone.insert(plural.to_owned());
        } else {
            world.gone.remove(plural);
        }
        drop(world);
        self.changed.notify_waiters();
    }

    /// Watches of this kind tell nothing any more, as over a connection that is half open; or tell it all.
    pub fn silence_watches(&self, plural: &str, silent: bool) {
        let mut world = self.world();
        if silent {
            world.silent.insert(plural.to_owned());
        } else {
            world.silent.remove(plural);
        }
        drop(world);
        self.changed.notify_waiters();
    }

    /// Its pods no longer follow its replicas.
    pub fn hold_pods(&self, name: &str) {
        self.world().stuck.insert(name.to_owned());
    }

    /// Creates an object as `kubectl create` would.
    pub fn create(&self, plural: &str, mut object: Value) {
        let mut world = self.world();
        let number = world.version + 1;
        let meta = &mut object["metadata"];
        meta["namespace"] = json!(meta["namespace"].as_str().unwrap_or("default"));
        meta["uid"] = json!(format!("uid-{number}"));
        meta["generation"] = json!(1);
        let created = jiff::Timestamp::from_second(1_790_000_000 + number.cast_signed()).unwrap();
        meta["creationTimestamp"] = json!(created.to_string());
        let key = key_of(plural, &object);
        world.store(key, object, "ADDED");
        drop(world);
        self.changed.notify_waiters();
    }

    /// Changes an object as its user or controller would; a changed spec is a new generation.
    pub fn edit(&self, plural: &str, name: &str, change: impl FnOnce(&mut Value)) {
        let mut world = self.world();
        let key = world.key(plural, name);
        let mut object = world.objects[&key].clone();
        let before = object["spec"].clone();
        change(&mut object);
        if object["spec"] != before {
            let generation = object["metadata"]["generation"].as_i64().unwrap();
            object["metadata"]["generation"] = json!(generation + 1);
        }
        world.store(key, object, "MODIFIED");
        drop(world);
        self.changed.notify_waiters();
    }

    pub fn delete(&self, plural: &str, name: &str) {
        let mut world = self.world();
        let key = world.key(plural, name);
        let object = world.objects.remove(&key).unwrap();
        world.version += 1;
        let version = world.version;
        world.log.push((version, "DELETED", key, object));
        drop(world);
        self.changed.notify_waiters();
    }

    /// An object as it is now.
    pub fn get(&self, plural: &str, name: &str) -> Value {
        let world = self.world();
        let key = world.key(plural, name);
        world.objects[&key].clone()
    }

    /// All events that were created, as reason and note, in order.
    pub fn events(&self) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        self.requests(&Method::POST, "/events")
            .iter()
            .map(|seen| (text(&seen.body["reason"]), text(&seen.body["note"])))
            .collect()
    }

    /// The requests like this that arrived, in order.
    pub fn requests(&self, method: &Method, ending: &str) -> Vec<Seen> {
        let world = self.world();
        let like = |seen: &&Seen| seen.method == *method && seen.path.ends_with(ending);
        world.seen.iter().filter(like).cloned().collect()
    }

    async fn answer(&self, client: u32, request: Request<kube::client::Body>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let body = body.collect_bytes().await.unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
        let query: BTreeMap<String, String> = parts
            .uri
            .query()
            .unwrap_or_default()
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        let path = parts.uri.path().to_owned();
        let fault = self.world().fault(&parts.method, &path);
        if matches!(fault, Some(Fault::DiesBefore)) {
            self.kill(client);
        }
        if self.world().dead.contains(&client) {
            return std::future::pending().await;
        }
        if query
            .get("watch")
            .is_some_and(|watch| watch == "true" || watch == "1")
        {
            return self.watch(&path, &query);
        }
        if parts.method == Method::GET {
            let plural = path.rsplit('/').next().unwrap_or_default().to_owned();
            *self.world().lists.entry(plural).or_default() += 1;
        }
        let (status, answer) = match fault {
            Some(Fault::Status(code)) => (code, refusal(code, "planned")),
            Some(Fault::Lost) => (0, Value::Null),
            _ => self.world().handle(&parts.method, &path, &query, &body),
        };
        if parts.method != Method::GET {
            self.world().seen.push(Seen {
                at: Instant::now(),
                client,
                method: parts.method,
                path,
                body,
                status,
            });
            self.changed.notify_waiters();
        }
        match fault {
            Some(Fault::Lost | Fault::Unanswered) => return std::future::pending().await,
            Some(Fault::DiesAfter) => {
                self.kill(client);
                return std::future::pending().await;
            }
            _ => {}
        }
        Response::builder()
            .status(StatusCode::from_u16(status).unwrap())
            .header("content-type", "application/json")
            .body(Body::from(answer.to_string()))
            .unwrap()
    }

    /// Sends what has changed since a version, until the time that the client asked for is over.
    fn watch(&self, path: &str, query: &BTreeMap<String, String>) -> Response<Body> {
        let (plural, namespace) = collection(path);
        let named = named(query);
        let from: u64 = query["resourceVersion"].parse().unwrap();
        let seconds: u64 = query["timeoutSeconds"].parse().unwrap();
        let refused = {
            let world = self.world();
            world
                .gone
                .contains(&plural)
                .then_some(410)
                .or(world.forbidden.contains(&plural).then_some(403))
        };
        if let Some(code) = refused {
            return Response::builder()
                .status(code)
                .header("content-type", "application/json")
                .body(Body::from(refusal(code, "planned").to_string()))
                .unwrap();
        }
        let ends = Instant::now() + Duration::from_secs(seconds);
        let server = self.clone();
        let events = stream::unfold(from, move |seen| {
            let server = server.clone();
            let (plural, namespace, named) = (plural.clone(), namespace.clone(), named.clone());
            async move {
                let mut seen = seen;
                loop {
                    let changed = server.changed.notified();
                    tokio::pin!(changed);
                    changed.as_mut().enable();
                    {
                        let world = server.world();
                        if world.gone.contains(&plural) {
                            return None;
                        }
                        let silent = world.silent.contains(&plural);
                        let next = world.log.iter().find(|(version, _, key, _)| {
                            !silent
                                && *version > seen
                                && key.0 == plural
                                && namespace
                                    .as_ref()
                                    .is_none_or(|namespace| key.1 == *namespace)
                                && named.as_ref().is_none_or(|name| key.2 == *name)
                        });
                        if let Some((version, kind, _, object)) = next {
                            let line = json!({ "type": kind, "object": object }).to_string() + "\n";
                            return Some((Ok::<_, Infallible>(line), *version));
                        }
                        if !silent {
                            seen = world.version.max(seen);
                        }
                    }
                    tokio::select! {
                        () = changed => {}
                        () = tokio::time::sleep_until(ends) => return None,
                    }
                }
            }
        });
        Response::new(Body::from_stream(events))
    }
}

impl World {
    fn store(&mut self, key: Key, mut object: Value, kind: &'static str) -> Value {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.log
            .push((self.version, kind, key.clone(), object.clone()));
        self.objects.insert(key, object.clone());
        object
    }

    fn key(&self, plural: &str, name: &str) -> Key {
        let (namespace, name) = name.split_once('/').unwrap_or(("default", name));
        (plural.to_owned(), namespace.to_owned(), name.to_owned())
    }

    fn fault(&mut self, method: &Method, path: &str) -> Option<Fault> {
        let planned = self.planned.iter_mut().find(|plan| {
            plan.times > 0 && plan.method == *method && path.ends_with(&plan.ending)
        })?;
        planned.times -= 1;
        Some(planned.fault)
    }

    fn handle(
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

/// What a workload's controller and its pods do when the replicas change.
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

fn key_of(plural: &str, object: &Value) -> Key {
    let text = |field: &str| object["metadata"][field].as_str().unwrap();
    key(plural, text("namespace"), text("name"))
}

/// The name that a field selector asks for.
fn named(query: &BTreeMap<String, String>) -> Option<String> {
    let selector = query.get("fieldSelector")?;
    selector
        .strip_prefix("metadata.name%3D")
        .map(ToOwned::to_owned)
}

/// Plural and namespace of a path to a collection.
fn collection(path: &str) -> (String, Option<String>) {
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

/// A kind that is not of Kubernetes' own.
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

fn refusal(code: u16, message: &str) -> Value {
    json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "reason": "", "code": code })
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
