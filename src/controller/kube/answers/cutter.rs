//! Cuts the answer to a list into its items as it arrives, so that only one item is held at a time,
//! however many there are and whatever they contain. Follows only brackets and quotes; the items
//! are parsed elsewhere. Pure.

use super::{BEGINNING, SMALL};

/// One item of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::controller) enum Cut<'a> {
    /// The whole item.
    Whole(&'a [u8]),
    /// The beginning of an item that exceeds the limit.
    TooLarge(&'a [u8]),
}

/// Longest `metadata` of a list. A continue token is a few hundred bytes.
const LONGEST_METADATA: usize = 64 << 10;
/// Longer than any key of a list that is used.
const LONGEST_KEY: usize = 16;

/// The part that is being kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keeping {
    Nothing,
    Key,
    Metadata,
    Item,
}

/// The state between two pieces of the answer.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "where one is in a text: each of them may hold with each other"
)]
pub(in crate::controller) struct Cutter {
    largest: usize,
    /// The number of open brackets.
    depth: usize,
    has_begun: bool,
    in_string: bool,
    is_escaped: bool,
    /// At depth 1: the next string is a key.
    wants_key: bool,
    key: Vec<u8>,
    in_items: bool,
    keeping: Keeping,
    kept: Vec<u8>,
    is_too_large: bool,
    metadata: Vec<u8>,
}

impl Cutter {
    /// A cutter for items of up to `largest` bytes.
    pub(in crate::controller) fn new(largest: usize) -> Self {
        Self {
            largest,
            depth: 0,
            has_begun: false,
            in_string: false,
            is_escaped: false,
            wants_key: false,
            key: Vec::new(),
            in_items: false,
            keeping: Keeping::Nothing,
            kept: Vec::new(),
            is_too_large: false,
            metadata: Vec::new(),
        }
    }

    /// The bytes that are held of an unfinished item.
    pub(in crate::controller) fn held(&self) -> usize {
        self.kept.len()
    }

    /// Takes the next piece of the answer; `each` gets every item that ends in it.
    pub(in crate::controller) fn push(&mut self, piece: &[u8], mut each: impl FnMut(Cut<'_>)) {
        // The kept part of this piece begins here.
        let mut from = 0;
        for (at, byte) in piece.iter().copied().enumerate() {
            if self.in_string {
                self.push_in_string(byte, piece.get(from..at));
                continue;
            }
            match byte {
                b'"' => {
                    self.in_string = true;
                    if self.depth == 1 && self.wants_key {
                        self.begin(Keeping::Key);
                        from = at + 1;
                    } else if self.is_between_items() {
                        self.begin(Keeping::Item);
                        from = at;
                    }
                }
                b'{' | b'[' => {
                    if self.is_between_items() {
                        self.begin(Keeping::Item);
                        from = at;
                    } else if self.depth == 1 && self.key == b"metadata" {
                        self.begin(Keeping::Metadata);
                        from = at;
                    } else if self.depth == 1 && self.key == b"items" {
                        self.in_items = byte == b'[';
                    } else if self.depth == 0 {
                        self.has_begun = true;
                        self.wants_key = true;
                    }
                    self.depth = self.depth.saturating_add(1);
                }
                b'}' | b']' => {
                    // An item that is a number ends with the list.
                    if self.depth == 2 && self.keeping == Keeping::Item {
                        self.end_item(piece.get(from..at), &mut each);
                    }
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == 2 && self.keeping == Keeping::Item {
                        self.end_item(piece.get(from..=at), &mut each);
                    } else if self.depth == 1 && self.keeping == Keeping::Metadata {
                        self.keep(piece.get(from..=at));
                        self.metadata = std::mem::take(&mut self.kept);
                        self.keeping = Keeping::Nothing;
                    } else if self.depth == 1 {
                        self.in_items = false;
                    }
                }
                b',' if self.depth == 1 => {
                    self.wants_key = true;
                    self.key.clear();
                }
                b',' if self.depth == 2 && self.keeping == Keeping::Item => {
                    self.end_item(piece.get(from..at), &mut each);
                }
                b':' if self.depth == 1 => self.wants_key = false,
                b' ' | b'\t' | b'\r' | b'\n' | b',' | b':' => {}
                _ if self.is_between_items() => {
                    self.begin(Keeping::Item);
                    from = at;
                }
                _ => {}
            }
        }
        if self.keeping != Keeping::Nothing {
            self.keep(piece.get(from..));
        }
    }

    /// A byte inside a string. `so_far`: the kept part of this piece before it.
    fn push_in_string(&mut self, byte: u8, so_far: Option<&[u8]>) {
        if self.is_escaped {
            self.is_escaped = false;
        } else if byte == b'\\' {
            self.is_escaped = true;
        } else if byte == b'"' {
            self.in_string = false;
            if self.keeping == Keeping::Key {
                self.keep(so_far);
                self.key = std::mem::take(&mut self.kept);
                self.keeping = Keeping::Nothing;
            }
        }
    }

    /// The list's own `metadata`, if the answer was complete.
    pub(in crate::controller) fn end(&self) -> Option<&[u8]> {
        (self.has_begun && self.depth == 0 && !self.in_string).then_some(&self.metadata)
    }

    fn is_between_items(&self) -> bool {
        self.in_items && self.depth == 2 && self.keeping == Keeping::Nothing
    }

    fn begin(&mut self, keeping: Keeping) {
        self.keeping = keeping;
        self.is_too_large = false;
        self.kept.clear();
    }

    fn keep(&mut self, piece: Option<&[u8]>) {
        let (longest, beginning) = match self.keeping {
            Keeping::Nothing => return,
            Keeping::Key => (LONGEST_KEY, LONGEST_KEY),
            Keeping::Metadata => (LONGEST_METADATA, 0),
            Keeping::Item => (self.largest, BEGINNING),
        };
        let piece = piece.unwrap_or_default();
        if !self.is_too_large && self.kept.len() + piece.len() <= longest {
            self.kept.extend_from_slice(piece);
            return;
        }
        self.is_too_large = true;
        let room = beginning.saturating_sub(self.kept.len());
        self.kept.extend(piece.iter().take(room));
        self.kept.truncate(beginning);
        self.kept.shrink_to(longest.min(BEGINNING));
    }

    fn end_item(&mut self, piece: Option<&[u8]>, each: &mut impl FnMut(Cut<'_>)) {
        self.keep(piece);
        self.keeping = Keeping::Nothing;
        if self.is_too_large {
            each(Cut::TooLarge(&self.kept));
        } else {
            each(Cut::Whole(&self.kept));
        }
        self.kept.clear();
        self.kept.shrink_to(SMALL);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    /// The result for an answer that arrives in pieces of `piece` bytes.
    fn cut(answer: &str, piece: usize, largest: usize) -> (Vec<Option<String>>, Option<String>) {
        let mut cutter = Cutter::new(largest);
        let mut items = Vec::new();
        for piece in answer.as_bytes().chunks(piece) {
            cutter.push(piece, |cut| {
                items.push(match cut {
                    Cut::Whole(text) => Some(String::from_utf8(text.to_vec()).unwrap()),
                    Cut::TooLarge(_) => None,
                });
            });
        }
        let metadata = cutter.end();
        (
            items,
            metadata.map(|text| String::from_utf8(text.to_vec()).unwrap()),
        )
    }

    #[test]
    fn items_come_whole_whatever_order_the_parts_are_in_and_wherever_the_answer_breaks() {
        let item = r#"{"metadata":{"name":"a","odd":"]}\"{["},"items":[{"metadata":{}}]}"#;
        let builtin = format!(
            r#"{{"kind":"L","apiVersion":"v1","metadata":{{"resourceVersion":"7","continue":"x"}},"items":[{item},{item}]}}"#
        );
        let custom = format!(
            r#"{{ "apiVersion": "v1", "items": [ {item} , {item} ], "kind": "L", "metadata": {{"continue":"x","resourceVersion":"7"}} }}"#
        );
        for answer in [builtin, custom] {
            for piece in 1..40 {
                let (items, metadata) = cut(&answer, piece, 1000);
                assert_eq!(items, [Some(item.to_owned()), Some(item.to_owned())]);
                let metadata: Value = serde_json::from_str(&metadata.unwrap()).unwrap();
                assert_eq!(metadata, json!({ "resourceVersion": "7", "continue": "x" }));
            }
        }
    }

    #[test]
    fn an_answer_that_breaks_off_has_no_end() {
        assert_eq!(cut(r#"{"items":[{"a":1}"#, 3, 100).1, None);
        assert_eq!(cut("", 3, 100).1, None);
        assert_eq!(
            cut(r#"{"items":null}"#, 3, 100),
            (vec![], Some(String::new()))
        );
    }

    #[test]
    fn an_item_that_is_too_large_holds_little_and_hides_no_other() {
        let large = format!(r#"{{"a":"{}"}}"#, "x".repeat(100_000));
        let answer = format!(r#"{{"items":[{{"b":1}},{large},{{"c":2}}],"metadata":{{}}}}"#);
        let mut cutter = Cutter::new(10_000);
        let mut items = 0;
        for piece in answer.as_bytes().chunks(1000) {
            cutter.push(piece, |_| items += 1);
            assert!(cutter.held() <= 10_000);
        }
        assert_eq!(items, 3);
        let expected = vec![
            Some(r#"{"b":1}"#.to_owned()),
            None,
            Some(r#"{"c":2}"#.to_owned()),
        ];
        assert_eq!(cut(&answer, 777, 10_000).0, expected);
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "\\PC{0,12}".prop_map(Value::from),
            "[\\[\\]{}\",:\\\\]{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(6, 40, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map("(items|metadata|\\PC{0,6})", inner, 0..5)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_items_come_out_as_they_went_in(
            items in prop::collection::vec(any_json(), 0..6),
            piece in 1_usize..50,
            pretty: bool,
        ) {
            let list = json!({ "kind": "L", "items": items, "metadata": { "resourceVersion": "9" } });
            let text = if pretty { serde_json::to_string_pretty(&list).unwrap() } else { list.to_string() };
            let (cut, metadata) = cut(&text, piece, 1 << 20);
            let read: Vec<Value> = cut.iter().map(|text| serde_json::from_str(text.as_ref().unwrap()).unwrap()).collect();
            prop_assert_eq!(read, items);
            prop_assert!(metadata.unwrap().contains('9'));
        }

        #[test]
        fn no_bytes_at_all_make_it_hold_more_than_it_may(bytes in prop::collection::vec(prop_oneof![
            3 => prop::sample::select(b"{}[]\",:\\items metadata".to_vec()), 1 => any::<u8>()], 0..4000)) {
            let mut cutter = Cutter::new(100);
            for piece in bytes.chunks(64) {
                cutter.push(piece, |_| {});
                prop_assert!(cutter.held() <= LONGEST_METADATA.max(100).max(BEGINNING));
            }
        }
    }
}
