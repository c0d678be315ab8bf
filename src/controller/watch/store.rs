//! A store of objects that several watches write, with the user-written part of each.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use kube::{
    Resource, ResourceExt as _,
    runtime::{
        reflector::{self, ObjectRef, Store, store::Writer},
        watcher::Event,
    },
};

use crate::controller::kube::name::Name;
use crate::sync::lock;

/// A store that several watches write, each for its own namespace.
pub(in crate::controller) struct ObjectStore<K: Resource<DynamicType = ()> + Clone + 'static> {
    writer: Mutex<Writer<K>>,
    store: Store<K>,
    /// The part of each object that the last wake-up was for: no other change wakes anything.
    notified: Mutex<BTreeMap<Name, Notified>>,
}

/// Uid, generation, annotations.
type Notified = (Option<String>, Option<i64>, BTreeMap<String, String>);

impl<K: Resource<DynamicType = ()> + Clone + 'static> ObjectStore<K> {
    pub(in crate::controller) fn new() -> Self {
        let (store, writer) = reflector::store();
        Self {
            writer: Mutex::new(writer),
            store,
            notified: Mutex::default(),
        }
    }

    pub(in crate::controller) fn store(&self) -> Store<K> {
        self.store.clone()
    }

    /// The names of all objects.
    pub(in crate::controller) fn names(&self) -> Vec<Name> {
        let objects = self.store.state();
        objects.iter().map(|object| Name::of(&**object)).collect()
    }

    /// The shared object.
    pub(super) fn get(&self, name: &Name) -> Option<Arc<K>> {
        let reference = ObjectRef::new(&name.name).within(&name.namespace);
        self.store.get(&reference)
    }

    /// Stores an object. Returns whether the part that users write has changed.
    pub(super) fn put(&self, object: K) -> bool {
        let name = Name::of(&object);
        let says = (
            object.uid(),
            object.meta().generation,
            object.annotations().clone(),
        );
        lock(&self.writer).apply_watcher_event(&Event::Apply(object));
        let before = lock(&self.notified).insert(name, says.clone());
        before.as_ref() != Some(&says)
    }

    pub(super) fn take(&self, name: &Name) {
        lock(&self.notified).remove(name);
        if let Some(object) = self.get(name) {
            lock(&self.writer).apply_watcher_event(&Event::Delete((*object).clone()));
        }
    }

    /// All watches have been listed: readers that wait for the store may begin.
    pub(in crate::controller) fn open(&self) {
        let mut writer = lock(&self.writer);
        writer.apply_watcher_event(&Event::Init);
        for object in self.store.state() {
            writer.apply_watcher_event(&Event::InitApply((*object).clone()));
        }
        writer.apply_watcher_event(&Event::InitDone);
    }
}
