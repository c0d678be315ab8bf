//! An API server in memory: lists, watches, status and scale subresources with optimistic locking,
//! and the accidents of a real one: conflicts, refusals, silence before or after the write, and
//! clients that die.

mod world;

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

pub use world::follow;
use world::{collection, key_of, named, refusal};

/// A recorded request.
#[derive(Debug, Clone)]
pub struct Seen {
    pub at: Instant,
    pub client: u32,
    pub method: Method,
    pub path: String,
    pub body: Value,
    /// The status of the answer; 0: the request was lost.
    pub status: u16,
}

/// How a request fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Refused with this status and not executed.
    Status(u16),
    /// Not executed and never answered.
    Lost,
    /// Executed but never answered.
    Unanswered,
    /// The client dies before the request arrives.
    DiesBefore,
    /// The client dies after the request was executed.
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
    /// Kinds whose watches stay open and report nothing.
    silent: BTreeSet<String>,
    /// Workloads whose Pods do not follow their replicas.
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

    /// Sets whether requests of this client are lost.
    pub fn cut(&self, client: u32, cut: bool) {
        let mut world = self.world();
        if cut {
            world.dead.insert(client);
        } else {
            world.dead.remove(&client);
        }
    }

    /// From now on no request of this client arrives.
    pub fn kill(&self, client: u32) {
        self.world().dead.insert(client);
    }

    /// The next `times` requests of this kind fail.
    pub fn plan(&self, method: Method, ending: &str, fault: Fault, times: u32) {
        let ending = ending.to_owned();
        self.world().planned.push(Planned {
            method,
            ending,
            fault,
            times,
        });
    }

    /// Cancels all planned failures.
    pub fn forgive(&self) {
        self.world().planned.clear();
    }

    /// How often a kind was listed.
    pub fn lists(&self, plural: &str) -> u32 {
        self.world().lists.get(plural).copied().unwrap_or(0)
    }

    /// Forbids to list or watch this kind.
    pub fn forbid(&self, plural: &str) {
        self.world().forbidden.insert(plural.to_owned());
    }

    /// Sets whether watches of this kind are answered with 410 at their start.
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

    /// Sets whether watches of this kind report nothing, as over a half-open connection. When they
    /// are no longer silent, they report everything.
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

    /// From now on its Pods do not follow its replicas.
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

    /// Changes an object as its user or controller would. A changed spec gets a new generation.
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

    pub fn exists(&self, plural: &str, name: &str) -> bool {
        let world = self.world();
        world.objects.contains_key(&world.key(plural, name))
    }

    /// An object as it is now.
    pub fn get(&self, plural: &str, name: &str) -> Value {
        let world = self.world();
        let key = world.key(plural, name);
        world.objects[&key].clone()
    }

    /// All created events, as reason and note, in order.
    pub fn events(&self) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        self.requests(&Method::POST, "/events")
            .iter()
            .map(|seen| (text(&seen.body["reason"]), text(&seen.body["note"])))
            .collect()
    }

    /// The requests that were not reads, in order.
    pub fn writes(&self) -> Vec<Seen> {
        self.world().seen.clone()
    }

    /// The requests of this kind that arrived, in order.
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

    /// Sends the changes since a version, until the timeout that the client asked for.
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
