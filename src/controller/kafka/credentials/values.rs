//! The values that are kept of a Secret or ConfigMap: only the keys that connections name, with a
//! limit per value and a limit per namespace.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use lagrange_core::intent::connection::ReferenceKind;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::{LONGEST_VALUE, MOST_BYTES};
use crate::kafka::connection::secret::Secret;

/// The bytes that are kept of one namespace. Clones share the count.
#[derive(Debug, Clone, Default)]
pub(super) struct Budget(Arc<AtomicUsize>);

impl Budget {
    fn take(&self, bytes: usize) -> bool {
        let more = |taken: usize| taken.checked_add(bytes).filter(|all| *all <= MOST_BYTES);
        let taken = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        taken.is_ok()
    }
}

/// The value of a key.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Kept {
    Value(Secret),
    /// Longer than any credentials.
    TooLong,
    /// Over the limit of the namespace.
    TooMuch,
}

/// The values of the keys that are used.
pub(super) struct Values {
    kept: BTreeMap<String, Kept>,
    taken: usize,
    budget: Budget,
}

impl PartialEq for Values {
    fn eq(&self, other: &Self) -> bool {
        self.kept == other.kept
    }
}

impl Drop for Values {
    fn drop(&mut self) {
        self.budget.0.fetch_sub(self.taken, Ordering::Relaxed);
    }
}

impl Values {
    /// Reads an object. `None`: its data is malformed. No reason is returned, since it might quote
    /// the data.
    pub(super) fn read(
        text: &str,
        kind: ReferenceKind,
        keys: &BTreeSet<String>,
        budget: &Budget,
    ) -> Option<Self> {
        let mut values = Self {
            kept: BTreeMap::new(),
            taken: 0,
            budget: budget.clone(),
        };
        let object = Object {
            kind,
            keys,
            values: &mut values,
        };
        object
            .deserialize(&mut serde_json::Deserializer::from_str(text))
            .ok()?;
        Some(values)
    }

    pub(super) fn get(&self, key: &str) -> Option<&Kept> {
        self.kept.get(key)
    }

    /// Whether a value was left out because of the namespace's limit.
    pub(super) fn lack_room(&self) -> bool {
        self.kept.values().any(|kept| *kept == Kept::TooMuch)
    }

    fn keep(&mut self, key: String, value: Vec<u8>) {
        // As a `Secret`, so that it is erased if it is not kept.
        let value = Secret::new(value);
        let bytes = value.bytes().len();
        let kept = if bytes > LONGEST_VALUE {
            Kept::TooLong
        } else if self.budget.take(bytes) {
            self.taken += bytes;
            Kept::Value(value)
        } else {
            Kept::TooMuch
        };
        self.kept.insert(key, kept);
    }
}

/// Reads the object as a whole.
struct Object<'a> {
    kind: ReferenceKind,
    keys: &'a BTreeSet<String>,
    values: &'a mut Values,
}

/// Reads one of its maps.
struct Data<'a> {
    is_base64: bool,
    keys: &'a BTreeSet<String>,
    values: &'a mut Values,
}

impl<'de> DeserializeSeed<'de> for Object<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Object<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(part) = map.next_key::<String>()? {
            let is_base64 = match (self.kind, part.as_str()) {
                (ReferenceKind::Secret, "data") | (ReferenceKind::ConfigMap, "binaryData") => true,
                (ReferenceKind::ConfigMap, "data") => false,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            map.next_value_seed(Data {
                is_base64,
                keys: self.keys,
                values: self.values,
            })?;
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Data<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Data<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the data of an object")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            if !self.keys.contains(&key) {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let value = map.next_value::<String>()?.into_bytes();
            let value = if self.is_base64 {
                let encoded = Secret::new(value);
                STANDARD
                    .decode(encoded.bytes())
                    .map_err(|_| serde::de::Error::custom("no base64"))?
            } else {
                value
            };
            self.values.keep(key, value);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn keys(keys: &[&str]) -> BTreeSet<String> {
        keys.iter().map(|key| (*key).to_owned()).collect()
    }

    fn text<'a>(values: &'a Values, key: &str) -> Option<&'a str> {
        match values.get(key)? {
            Kept::Value(value) => value.text(),
            Kept::TooLong => Some("too long"),
            Kept::TooMuch => Some("too much"),
        }
    }

    #[test]
    fn keys_that_are_used_are_kept_and_no_others() {
        let deep = "[".repeat(500) + &"]".repeat(500);
        let other = STANDARD.encode("x".repeat(1 << 20));
        let secret = format!(
            r#"{{"metadata":{{"managedFields":{deep}}},"data":{{"other":"{other}","password":"{}"}}}}"#,
            STANDARD.encode("hunter2")
        );
        let budget = Budget::default();
        let values = Values::read(
            &secret,
            ReferenceKind::Secret,
            &keys(&["password", "absent"]),
            &budget,
        )
        .unwrap();
        assert_eq!(text(&values, "password"), Some("hunter2"));
        assert_eq!(
            (text(&values, "other"), text(&values, "absent")),
            (None, None)
        );
        assert_eq!(budget.0.load(Ordering::Relaxed), 7);
        let map =
            json!({ "data": { "ca": "text" }, "binaryData": { "der": STANDARD.encode([1]) } });
        let map = Values::read(
            &map.to_string(),
            ReferenceKind::ConfigMap,
            &keys(&["ca", "der"]),
            &budget,
        );
        assert_eq!(text(&map.unwrap(), "ca"), Some("text"));
        drop(values);
        assert_eq!(budget.0.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn one_namespace_keeps_four_mebibytes_and_no_more() {
        let budget = Budget::default();
        let object = json!({ "data": { "ca": "x".repeat(LONGEST_VALUE), "long": "x".repeat(LONGEST_VALUE + 1) } });
        let read = || {
            let keys = keys(&["ca", "long"]);
            Values::read(
                &object.to_string(),
                ReferenceKind::ConfigMap,
                &keys,
                &budget,
            )
            .unwrap()
        };
        let mut kept: Vec<Values> = (0..16).map(|_| read()).collect();
        assert!(
            kept.iter()
                .all(|values| text(values, "ca").unwrap().starts_with('x'))
        );
        assert!(
            kept.iter()
                .all(|values| text(values, "long") == Some("too long"))
        );
        assert_eq!(text(&read(), "ca"), Some("too much"));
        kept.pop();
        assert!(
            text(&read(), "ca").unwrap().starts_with('x'),
            "there is room again"
        );
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[\\[\\]{}\",:0-9a-e. dat-]{0,200}") {
            let _ = Values::read(&text, ReferenceKind::Secret, &keys(&["a"]), &Budget::default());
        }
    }
}
