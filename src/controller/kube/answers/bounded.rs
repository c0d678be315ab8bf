//! Reads free-form JSON that others may have written, with limits on depth and size. A value below
//! the depth limit becomes `null`, and what exceeds the size limit is left out. Keys are kept while
//! there is room, so that a merge patch against them removes them. Pure.

use std::{cell::Cell, fmt};

use serde::{
    Deserialize as _,
    de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Number, Value};

/// Deeper than anything that any version of this operator has written.
const DEEPEST: u8 = 12;
/// The cost of a value in addition to its text, in bytes.
const EACH: usize = 32;

/// Bytes that may be kept of one part, and of all other parts together.
#[derive(Debug, Clone, Copy)]
pub(in crate::controller) struct Bounds {
    /// The part that has a limit of its own.
    pub(in crate::controller) part: &'static str,
    pub(in crate::controller) of_part: usize,
    pub(in crate::controller) of_others: usize,
}

/// Reads an object; `None`: the text is not an object.
pub(in crate::controller) fn object(text: &str, bounds: Bounds) -> Option<Map<String, Value>> {
    let part = Cell::new(bounds.of_part);
    let others = Cell::new(bounds.of_others);
    let top = Top {
        bounds,
        part: &part,
        others: &others,
    };
    top.deserialize(&mut serde_json::Deserializer::from_str(text))
        .ok()
}

struct Top<'a> {
    bounds: Bounds,
    part: &'a Cell<usize>,
    others: &'a Cell<usize>,
}

impl<'de> DeserializeSeed<'de> for Top<'_> {
    type Value = Map<String, Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Top<'_> {
    type Value = Map<String, Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        read_map(map, 1, |key| {
            if key == self.bounds.part {
                self.part
            } else {
                self.others
            }
        })
    }
}

fn read_map<'de, 'a, A: MapAccess<'de>>(
    mut map: A,
    depth: u8,
    room: impl Fn(&str) -> &'a Cell<usize>,
) -> Result<Map<String, Value>, A::Error> {
    let mut read = Map::new();
    while let Some(key) = map.next_key::<String>()? {
        let room = room(&key);
        if !takes(room, key.len()) {
            map.next_value::<IgnoredAny>()?;
            continue;
        }
        let value = map.next_value_seed(Part { room, depth })?;
        read.insert(key, value);
    }
    Ok(read)
}

/// Takes `bytes` and the cost of a value from the room that is left, if there is enough.
fn takes(room: &Cell<usize>, bytes: usize) -> bool {
    let left = room.get().checked_sub(bytes.saturating_add(EACH));
    room.set(left.unwrap_or(0));
    left.is_some()
}

/// A value within an object.
#[derive(Clone, Copy)]
struct Part<'a> {
    room: &'a Cell<usize>,
    depth: u8,
}

impl<'de> DeserializeSeed<'de> for Part<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        if self.depth >= DEEPEST {
            // Skipped without recursion: it may have any depth.
            IgnoredAny::deserialize(deserializer)?;
            return Ok(Value::Null);
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Part<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(if takes(self.room, value.len()) {
            Value::String(value.to_owned())
        } else {
            Value::Null
        })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut read = Vec::new();
        let next = Part {
            depth: self.depth + 1,
            ..self
        };
        while self.room.get() > EACH {
            let Some(value) = seq.next_element_seed(next)? else {
                return Ok(Value::Array(read));
            };
            takes(self.room, 0);
            read.push(value);
        }
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Value::Array(read))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Value, A::Error> {
        read_map(map, self.depth + 1, |_| self.room).map(Value::Object)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const BOUNDS: Bounds = Bounds {
        part: "memory",
        of_part: 1000,
        of_others: 1000,
    };

    fn read(text: &str) -> Value {
        object(text, BOUNDS).map_or(Value::Null, Value::Object)
    }

    #[test]
    fn what_is_within_bounds_is_as_it_was() {
        let value = json!({ "memory": { "a": [1, -2, 0.5, "x", null, true] }, "lag": { "total": u64::MAX } });
        assert_eq!(read(&value.to_string()), value);
    }

    #[test]
    fn what_lies_too_deep_is_null_and_what_is_beside_it_stays() {
        let deep = format!("{}1{}", "[".repeat(50_000), "]".repeat(50_000));
        let maps = format!("{}1{}", r#"{"a":"#.repeat(50_000), "}".repeat(50_000));
        let text =
            format!(r#"{{"memory":{{"version":1,"x":{deep},"y":{maps}}},"lag":{{"total":7}}}}"#);
        let read = read(&text);
        assert_eq!(read["memory"]["version"], 1);
        assert_eq!(read["lag"]["total"], 7);
        assert!(read.to_string().len() < 300, "{read}");
        assert!(read["memory"].get("x").is_some() && read["memory"].get("y").is_some());
    }

    #[test]
    fn one_part_takes_no_room_from_the_others() {
        let long = "x".repeat(5000);
        let text =
            json!({ "lag": { "a": long, "total": 3 }, "memory": { "version": 1 } }).to_string();
        assert_eq!(read(&text)["memory"]["version"], 1);
        let text = json!({ "memory": { "a": long }, "lag": { "total": 3 } }).to_string();
        assert_eq!(read(&text)["lag"]["total"], 3);
        assert_eq!(
            read(&text)["memory"],
            json!({ "a": null }),
            "the key is still known"
        );
    }

    fn size(value: &Value) -> usize {
        match value {
            Value::String(text) => text.len(),
            Value::Array(all) => all.iter().map(size).sum::<usize>() + all.len(),
            Value::Object(all) => all.iter().map(|(k, v)| k.len() + size(v)).sum(),
            _ => 1,
        }
    }

    proptest! {
        #[test]
        fn nothing_holds_more_than_it_may(
            many in prop::collection::vec("\\PC{0,40}", 0..200), wrap in 0_usize..40) {
            let mut value = json!(many);
            for _ in 0..wrap {
                value = json!({ "a": value, "b": [value.clone().to_string().len()] });
            }
            let read = read(&json!({ "memory": value, "other": many }).to_string());
            prop_assert!(size(&read) <= 2000 + 200, "{}", size(&read));
        }

        #[test]
        fn no_text_makes_it_panic(text in "[\\[\\]{}\",:0-9a-e. -]{0,200}") {
            let _ = read(&text);
        }
    }
}
