//! Finds the field manager that owns `spec.replicas` of an object. Pure.

use std::marker::PhantomData;

use lagrange_core::text;
use serde::{Deserialize, Deserializer, de::IgnoredAny};
use serde_json::value::RawValue;

use crate::controller::kube::answers::object::Each;

/// The manager that owns `spec.replicas`, if there is one.
pub(super) fn of_replicas(text: &str) -> Result<Option<String>, String> {
    let object: Managed =
        serde_json::from_str(text).map_err(|error| text::clean(&error.to_string()))?;
    Ok(object.metadata.managed_fields.and_then(|manager| manager.0))
}

#[derive(Deserialize)]
struct Managed {
    metadata: ManagedMetadata,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ManagedMetadata {
    #[serde(default)]
    managed_fields: Option<ManagerOfReplicas>,
}

/// The manager that owns `spec.replicas`: of several, the one that wrote last.
struct ManagerOfReplicas(Option<String>);

impl<'de> Deserialize<'de> for ManagerOfReplicas {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// The fields of a manager are a tree of any depth. Two levels of it are read, the rest is
        /// skipped.
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Entry<'a> {
            #[serde(default)]
            manager: Option<String>,
            #[serde(default)]
            time: Option<String>,
            #[serde(borrow, default)]
            fields_v1: Option<&'a RawValue>,
        }
        #[derive(Deserialize)]
        struct Fields {
            #[serde(rename = "f:spec")]
            _spec: OfSpec,
        }
        #[derive(Deserialize)]
        struct OfSpec {
            #[serde(rename = "f:replicas")]
            _replicas: IgnoredAny,
        }
        let mut latest: Option<(Option<String>, Option<String>)> = None;
        let each = |entry: Entry<'de>| {
            let fields = entry.fields_v1.map(RawValue::get);
            let owns = fields.is_some_and(|fields| serde_json::from_str::<Fields>(fields).is_ok());
            // All times have one format, which sorts as text.
            if owns && latest.as_ref().is_none_or(|(time, _)| *time <= entry.time) {
                latest = Some((entry.time, entry.manager));
            }
        };
        deserializer.deserialize_seq(Each(each, PhantomData))?;
        let manager = latest.and_then(|(_, manager)| manager);
        Ok(Self(manager.map(|manager| text::clean(&manager))))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn of_several_the_one_that_wrote_last_owns_the_replicas_whatever_lies_beside_it() {
        let deep = format!("{}{{}}{}", r#"{"f:a":"#.repeat(5000), "}".repeat(5000));
        let entry = |manager: &str, time: &str, fields: &str| {
            format!(r#"{{"manager":"{manager}","time":"{time}","fieldsV1":{fields}}}"#)
        };
        let replicas =
            format!(r#"{{"f:metadata":{deep},"f:spec":{{"f:x":{deep},"f:replicas":{{}}}}}}"#);
        let entries = [
            entry("helm", "2026-11-24T10:00:00Z", &replicas),
            entry("a\\nhand", "2026-11-24T12:00:00Z", &replicas),
            entry("kubectl", "2026-11-24T11:00:00Z", &replicas),
            entry("other", "2026-11-24T13:00:00Z", &deep),
        ];
        let object = format!(
            r#"{{"metadata":{{"managedFields":[{}]}}}}"#,
            entries.join(",")
        );
        assert_eq!(of_replicas(&object).unwrap().as_deref(), Some(r"a\nhand"));
        let none = json!({ "metadata": { "name": "a" } }).to_string();
        assert_eq!(of_replicas(&none).unwrap(), None);
    }
}
