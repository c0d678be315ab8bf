//! Helpers that the schemas of both kinds share: CEL rules, and what Kubernetes expects differently
//! from JSON Schema. Pure.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceColumnDefinition, CustomResourceDefinition, JSONSchemaProps,
    JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use schemars::{Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::{Value, json};

/// The valid names of objects. They become part of request paths, so nothing else may pass.
pub(super) const DNS_SUBDOMAIN: &str = "self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')";

/// A rule that the API server checks on every write, and its answer when the rule is broken: what
/// to write instead.
pub(super) fn rule(cel: &str, message: &str) -> Value {
    json!({ "rule": cel, "message": message })
}

/// Reads a part of a status leniently: a value of an older or newer operator that this one cannot
/// read is treated as absent. Otherwise one such value would make the whole object unreadable, and
/// the group unmanaged (KEEP-27).
pub(super) fn default_if_unreadable<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned + Default,
{
    let value = Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(value).unwrap_or_default())
}

/// The schema of bootstrap servers, the same in both kinds. Names, addresses and IPv6 in brackets;
/// no scheme and no comma, because librdkafka would not read either as one broker.
pub(super) fn bootstrap_servers(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "minItems": 1,
        "maxItems": 32,
        "x-kubernetes-list-type": "set",
        "items": {
            "type": "string",
            "maxLength": 255,
            "x-kubernetes-validations": [rule(
                r"self.matches('^([a-zA-Z0-9._-]+|\\[[0-9a-fA-F:.]+\\]):[1-9][0-9]{0,4}$') && int(self.split(':')[self.split(':').size() - 1]) < 65536",
                "write each bootstrap server as host:port, such as kafka-0.kafka:9092",
            )],
        },
    })
}

/// Finishes a derived definition: an absent field is left out, never `null` (so that `has()` in a
/// rule is reliable), integers have bounds instead of formats, and `kubectl get` has its columns.
pub(super) fn finish(
    mut definition: CustomResourceDefinition,
    columns: &[CustomResourceColumnDefinition],
) -> CustomResourceDefinition {
    for version in &mut definition.spec.versions {
        version.additional_printer_columns = Some(columns.to_vec());
        if let Some(schema) = version
            .schema
            .as_mut()
            .and_then(|schema| schema.open_api_v3_schema.as_mut())
        {
            tidy(schema);
            if let Some(status) = schema
                .properties
                .as_mut()
                .and_then(|parts| parts.get_mut("status"))
            {
                without_defaults(status);
            }
        }
    }
    definition
}

fn tidy(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    schema.description = schema
        .description
        .take()
        .map(|text| one_line_per_paragraph(&text));
    if schema.type_.as_deref() == Some("integer") {
        schema.format = None;
    }
    if schema.x_kubernetes_preserve_unknown_fields.is_none()
        && let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut schema.additional_properties
    {
        tidy(values);
    }
    for property in schema
        .properties
        .iter_mut()
        .flat_map(|properties| properties.values_mut())
    {
        tidy(property);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        tidy(items);
    }
}

/// A status contains only what was found: the API server must not add defaults.
fn without_defaults(schema: &mut JSONSchemaProps) {
    schema.default = None;
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        without_defaults(items);
    }
    for property in schema
        .properties
        .iter_mut()
        .flat_map(|properties| properties.values_mut())
    {
        without_defaults(property);
    }
}

/// Joins source lines, because `kubectl explain` wraps by itself.
fn one_line_per_paragraph(text: &str) -> String {
    text.split("\n\n")
        .map(|paragraph| paragraph.replace('\n', " "))
        .collect::<Vec<_>>()
        .join("\n\n")
}
