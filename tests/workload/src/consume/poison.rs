//! Records that always fail. Pure.

use std::str::FromStr;

/// The records that always fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Poison {
    /// Each record with this key.
    Key(String),
    /// The record at one offset; without a topic, in each topic.
    Place {
        topic: Option<String>,
        partition: i32,
        offset: i64,
    },
}

impl Poison {
    /// Whether this record always fails.
    pub(crate) fn hits(
        &self,
        topic: &str,
        partition: i32,
        offset: i64,
        key: Option<&[u8]>,
    ) -> bool {
        match self {
            Self::Key(wanted) => key == Some(wanted.as_bytes()),
            Self::Place {
                topic: wanted,
                partition: p,
                offset: o,
            } => {
                *p == partition
                    && *o == offset
                    && wanted.as_deref().is_none_or(|wanted| wanted == topic)
            }
        }
    }
}

impl FromStr for Poison {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(key) = text.strip_prefix("key=") {
            return Ok(Self::Key(key.to_owned()));
        }
        let place = || {
            let (before, offset) = text.rsplit_once(':')?;
            let (topic, partition) = match before.rsplit_once(':') {
                Some((topic, partition)) => (Some(topic.to_owned()), partition),
                None => (None, before),
            };
            let (partition, offset) = (partition.parse().ok()?, offset.parse().ok()?);
            (partition >= 0 && offset >= 0).then_some(Self::Place {
                topic,
                partition,
                offset,
            })
        };
        place()
            .ok_or_else(|| format!("{text:?} names no record: write 0:42, orders:0:42 or key=KEY"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("0:42", Some(Poison::Place { topic: None, partition: 0, offset: 42 }))]
    #[case("orders:3:0", Some(Poison::Place { topic: Some("orders".to_owned()), partition: 3, offset: 0 }))]
    #[case("key=a:b", Some(Poison::Key("a:b".to_owned())))]
    #[case("key=", Some(Poison::Key(String::new())))]
    #[case("42", None)]
    #[case("0:-1", None)]
    #[case("-1:0", None)]
    #[case("orders:x:1", None)]
    #[case("", None)]
    fn is_a_place_or_a_key(#[case] text: &str, #[case] wanted: Option<Poison>) {
        assert_eq!(text.parse().ok(), wanted);
    }

    #[rstest]
    #[case("0:42", "a", 0, 42, None, true)]
    #[case("0:42", "a", 1, 42, None, false)]
    #[case("0:42", "a", 0, 43, None, false)]
    #[case("a:0:42", "a", 0, 42, None, true)]
    #[case("a:0:42", "b", 0, 42, None, false)]
    #[case("key=k", "a", 5, 5, Some("k"), true)]
    #[case("key=k", "a", 5, 5, Some("kk"), false)]
    #[case("key=", "a", 5, 5, None, false)]
    fn hits_what_it_names(
        #[case] poison: Poison,
        #[case] topic: &str,
        #[case] partition: i32,
        #[case] offset: i64,
        #[case] key: Option<&str>,
        #[case] hit: bool,
    ) {
        assert_eq!(
            poison.hits(topic, partition, offset, key.map(str::as_bytes)),
            hit
        );
    }
}
