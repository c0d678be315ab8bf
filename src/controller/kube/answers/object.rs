//! The parts of an object that are kept: the metadata fields that are used, the operator's own
//! annotations, and of a status as much as this operator writes. Everything else is skipped,
//! however large or deep it is. Pure.

use std::{collections::BTreeMap, fmt, marker::PhantomData};

use k8s_openapi::{
    api::autoscaling::v2::{
        CrossVersionObjectReference, HorizontalPodAutoscaler, HorizontalPodAutoscalerSpec,
    },
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time},
};
use lagrange_core::api::annotations::{
    PAUSE_PREFIX, PAUSED, PAUSED_REPLICAS, PAUSED_SCALE_IN, PAUSED_SCALE_OUT,
};
use lagrange_core::api::{ConsumerGroup, GROUP, KafkaCluster};
use lagrange_core::text;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, IgnoredAny, MapAccess, Visitor},
};
use serde_json::{Value, json, value::RawValue};

use super::bounded::{self, Bounds};
use super::cutter::Cut;
use crate::controller::kube::name::Name;

/// The longest annotation value, in characters. Longer values are not valid.
const LONGEST_ANNOTATION: usize = 256;
/// The most annotations with the operator's prefix that it does not define: misspelt ones may
/// pause.
const MOST_UNKNOWN_ANNOTATIONS: usize = 16;
/// The most labels of a namespace.
const MOST_LABELS: usize = 256;
/// Longest name of an object.
const LONGEST_NAME: usize = 253;
/// The limits for a status. This operator writes at most a fifth of that.
const STATUS: Bounds = Bounds {
    part: "memory",
    of_part: 16 << 10,
    of_others: 24 << 10,
};

/// An object of a list or of a watch.
pub(in crate::controller) struct Item<'a> {
    /// Its name, if that much can be read.
    pub(in crate::controller) name: Option<Name>,
    /// Its version.
    pub(in crate::controller) version: Option<String>,
    /// The whole object, or why it cannot be read.
    pub(in crate::controller) text: Result<&'a str, String>,
}

#[derive(Deserialize)]
struct Headed {
    metadata: Head,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    name: String,
    #[serde(default)]
    namespace: Option<String>,
    #[serde(default)]
    resource_version: Option<String>,
}

impl<'a> Item<'a> {
    /// Makes an item from a piece of an answer.
    pub(in crate::controller) fn of(cut: Cut<'a>) -> Self {
        let nameless = |why: String| Self {
            name: None,
            version: None,
            text: Err(why),
        };
        let bytes = match cut {
            Cut::Whole(bytes) => bytes,
            Cut::TooLarge(beginning) => {
                return Self {
                    name: name_in(&String::from_utf8_lossy(beginning)),
                    version: None,
                    text: Err(format!("it has more than {} bytes", super::LARGEST)),
                };
            }
        };
        let Ok(text) = std::str::from_utf8(bytes) else {
            return nameless("it is no text".to_owned());
        };
        match serde_json::from_str::<Headed>(text) {
            Ok(Headed { metadata }) => Self {
                name: Some(Name::new(
                    metadata.namespace.as_deref().unwrap_or_default(),
                    &metadata.name,
                )),
                version: metadata.resource_version,
                text: Ok(text),
            },
            Err(error) => nameless(text::clean(&error.to_string())),
        }
    }
}

/// The name in the beginning of an incomplete object. Kubernetes' own kinds begin with it.
fn name_in(beginning: &str) -> Option<Name> {
    let (_, metadata) = beginning.split_once(r#""metadata":{"#)?;
    let field = |key: &str| {
        let (_, value) = metadata.split_once(&format!(r#""{key}":""#))?;
        let (value, _) = value.split_once('"')?;
        (value.len() <= LONGEST_NAME && !value.contains('\\')).then_some(value)
    };
    Some(Name::new(
        field("namespace").unwrap_or_default(),
        field("name")?,
    ))
}

/// The version in a bookmark.
pub(in crate::controller) fn version(text: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Marked {
        metadata: Version,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Version {
        resource_version: String,
    }
    let read: Marked = serde_json::from_str(text).ok()?;
    Some(read.metadata.resource_version)
}

/// A line of a watch.
#[derive(Deserialize)]
pub(in crate::controller) struct Line<'a> {
    #[serde(rename = "type")]
    pub(in crate::controller) event: String,
    #[serde(borrow)]
    pub(in crate::controller) object: &'a RawValue,
}

/// The metadata that is used of a ConsumerGroup or KafkaCluster.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    name: String,
    #[serde(default)]
    namespace: Option<String>,
    #[serde(default)]
    uid: Option<String>,
    #[serde(default)]
    resource_version: Option<String>,
    #[serde(default)]
    generation: Option<i64>,
    #[serde(default)]
    creation_timestamp: Option<Time>,
    #[serde(default)]
    annotations: Option<OfOurs>,
}

impl From<Meta> for ObjectMeta {
    fn from(meta: Meta) -> Self {
        Self {
            name: Some(meta.name),
            namespace: meta.namespace,
            uid: meta.uid,
            resource_version: meta.resource_version,
            generation: meta.generation,
            creation_timestamp: meta.creation_timestamp,
            annotations: meta
                .annotations
                .map(|annotations| annotations.0)
                .filter(|annotations| !annotations.is_empty()),
            ..Self::default()
        }
    }
}

/// The operator's annotations.
#[derive(Default)]
struct OfOurs(BTreeMap<String, String>);

impl OfOurs {
    fn add(&mut self, key: String, value: &str) {
        let known = [PAUSED, PAUSED_REPLICAS, PAUSED_SCALE_IN, PAUSED_SCALE_OUT];
        let is_known = |key: &str| known.contains(&key);
        if !is_known(&key) {
            // Annotations that pause have a limit of their own, so that others do not displace
            // them.
            let pauses = key.starts_with(PAUSE_PREFIX);
            let like =
                |other: &&String| !is_known(other) && other.starts_with(PAUSE_PREFIX) == pauses;
            if self.0.keys().filter(like).count() >= MOST_UNKNOWN_ANNOTATIONS {
                return;
            }
        }
        let value = value.chars().take(LONGEST_ANNOTATION).collect();
        self.0.insert(key, value);
    }
}

impl<'de> Deserialize<'de> for OfOurs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Ours;
        impl<'de> Visitor<'de> for Ours {
            type Value = OfOurs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("annotations")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<OfOurs, A::Error> {
                let mut ours = OfOurs::default();
                while let Some(key) = map.next_key::<String>()? {
                    let group = key.split_once('/').map(|(group, _)| group);
                    if group == Some(GROUP) {
                        ours.add(key, &map.next_value::<String>()?);
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(ours)
            }
        }
        deserializer.deserialize_map(Ours)
    }
}

/// A ConsumerGroup or KafkaCluster. If its specification cannot be read, it has an empty one
/// instead: the object exists, and its status reports the error.
#[derive(Debug, Clone)]
pub(in crate::controller) struct Ours<K> {
    pub(in crate::controller) object: K,
    /// Why its specification cannot be read.
    pub(in crate::controller) unreadable: Option<String>,
}

#[derive(Deserialize)]
struct Parts<'a> {
    metadata: Meta,
    #[serde(borrow, default)]
    spec: Option<&'a RawValue>,
    #[serde(borrow, default)]
    status: Option<&'a RawValue>,
}

/// Reads a ConsumerGroup.
pub(in crate::controller) fn consumer_group(text: &str) -> Result<Ours<ConsumerGroup>, String> {
    let empty = || json!({ "scaleTargetRef": { "name": "" }, "kafka": {}, "objective": {} });
    let (metadata, spec, status, unreadable) = ours(text, empty)?;
    let mut object = ConsumerGroup::new("", spec);
    object.metadata = metadata;
    object.status = status;
    Ok(Ours { object, unreadable })
}

/// Reads a KafkaCluster.
pub(in crate::controller) fn kafka_cluster(text: &str) -> Result<Ours<KafkaCluster>, String> {
    let empty = || json!({ "bootstrapServers": [] });
    let (metadata, spec, status, unreadable) = ours(text, empty)?;
    let mut object = KafkaCluster::new("", spec);
    object.metadata = metadata;
    object.status = status;
    Ok(Ours { object, unreadable })
}

type Read<S, T> = (ObjectMeta, S, Option<T>, Option<String>);

fn ours<S, T>(text: &str, empty: impl FnOnce() -> Value) -> Result<Read<S, T>, String>
where
    S: DeserializeOwned,
    T: DeserializeOwned + Default,
{
    let said = |error: serde_json::Error| text::clean(&error.to_string());
    let parts: Parts<'_> = serde_json::from_str(text).map_err(said)?;
    let spec = match parts.spec {
        Some(spec) => serde_json::from_str::<S>(spec.get()).map_err(said),
        None => Err("there is none".to_owned()),
    };
    let (spec, unreadable) = match spec {
        Ok(spec) => (spec, None),
        Err(why) => (serde_json::from_value(empty()).map_err(said)?, Some(why)),
    };
    let status = parts
        .status
        .map(|status| bounded::object(status.get(), STATUS).unwrap_or_default())
        .map(|status| serde_json::from_value(Value::Object(status)).unwrap_or_default());
    Ok((parts.metadata.into(), spec, status, unreadable))
}

#[derive(Deserialize)]
struct Autoscaler {
    metadata: Owned,
    spec: Scaling,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Owned {
    name: String,
    namespace: Option<String>,
    #[serde(default)]
    owner_references: Option<FirstOwner>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Scaling {
    scale_target_ref: CrossVersionObjectReference,
}

/// The name of the ScaledObject among the owners.
struct FirstOwner(Option<String>);

impl<'de> Deserialize<'de> for FirstOwner {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Owner {
            kind: String,
            name: String,
        }
        let mut first = None;
        deserializer.deserialize_seq(Each(
            |owner: Owner| {
                if owner.kind == "ScaledObject" && owner.name.len() <= LONGEST_NAME {
                    first.get_or_insert(owner.name);
                }
            },
            PhantomData,
        ))?;
        Ok(Self(first))
    }
}

/// Passes the elements of a list on one by one.
pub(in crate::controller) struct Each<T, F>(
    pub(in crate::controller) F,
    pub(in crate::controller) PhantomData<T>,
);

impl<'de, T: Deserialize<'de>, F: FnMut(T)> Visitor<'de> for Each<T, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
        while let Some(one) = seq.next_element()? {
            (self.0)(one);
        }
        Ok(())
    }
}

/// Reads a HorizontalPodAutoscaler: its target, and the ScaledObject that made it.
pub(in crate::controller) fn autoscaler(text: &str) -> Result<HorizontalPodAutoscaler, String> {
    let read: Autoscaler =
        serde_json::from_str(text).map_err(|error| text::clean(&error.to_string()))?;
    let target = read.spec.scale_target_ref;
    let parts = [&target.kind, &target.name];
    let version = target.api_version.as_ref();
    if parts
        .into_iter()
        .chain(version)
        .any(|part| part.len() > LONGEST_NAME)
    {
        return Err(format!(
            "its scaleTargetRef has a part of more than {LONGEST_NAME} characters"
        ));
    }
    let owner = read.metadata.owner_references.and_then(|owners| owners.0);
    let owner = owner.map(|name| OwnerReference {
        kind: "ScaledObject".to_owned(),
        name,
        ..OwnerReference::default()
    });
    Ok(HorizontalPodAutoscaler {
        metadata: ObjectMeta {
            name: Some(read.metadata.name),
            namespace: read.metadata.namespace,
            owner_references: owner.map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        spec: Some(HorizontalPodAutoscalerSpec {
            scale_target_ref: target,
            ..HorizontalPodAutoscalerSpec::default()
        }),
        status: None,
    })
}

/// The labels of a namespace.
pub(in crate::controller) fn labels(text: &str) -> Result<BTreeMap<String, String>, String> {
    #[derive(Deserialize)]
    struct Labelled {
        metadata: Labels,
    }
    #[derive(Deserialize)]
    struct Labels {
        #[serde(default)]
        labels: Option<BTreeMap<String, String>>,
    }
    let read: Labelled =
        serde_json::from_str(text).map_err(|error| text::clean(&error.to_string()))?;
    let labels = read.metadata.labels.unwrap_or_default();
    if labels.len() > MOST_LABELS {
        return Err(format!("it has more than {MOST_LABELS} labels"));
    }
    Ok(labels)
}

#[cfg(test)]
mod tests;
