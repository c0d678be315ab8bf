//! Which topics of a group count, and how they are read. Plain data.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use regex::{Regex, RegexBuilder};

/// A group, and which of its topics count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupInterest {
    /// `group.id`.
    pub id: Arc<str>,
    /// Its topics.
    pub topics: TopicSelection,
    /// How far its consumers read.
    pub isolation: Isolation,
    /// The delay that it is sized for. Its first polls then also ask how late the group was before
    /// them.
    pub max_delay: Option<Duration>,
}

/// How far consumers read a partition (`isolation.level`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Isolation {
    /// Up to its end.
    ReadUncommitted,
    /// Up to its last stable offset: the first record of the oldest open transaction.
    ReadCommitted,
}

/// Which topics of a group count.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum TopicSelection {
    /// These topics.
    Named(Vec<Arc<str>>),
    /// All topics whose whole name matches, except internal ones.
    Pattern(TopicPattern),
    /// The topics that are assigned to its members; without members, those in which it has
    /// committed (KNOW-19).
    OfGroup,
}

/// A regular expression that has to match the whole name of a topic.
#[derive(Clone)]
pub struct TopicPattern {
    source: Arc<str>,
    regex: Regex,
}

/// Largest compiled size of a pattern: a few thousand states, far more than a pattern for topic
/// names needs.
const PATTERN_SIZE_LIMIT: usize = 256 * 1024;

impl TopicPattern {
    /// Compiles `source`, anchored at both ends.
    ///
    /// ```
    /// let pattern = lagrange_core::intent::topics::TopicPattern::new(r"orders\..*")?;
    /// assert!(pattern.matches("orders.eu"));
    /// assert!(!pattern.matches("preorders.eu"));
    /// # Ok::<(), regex::Error>(())
    /// ```
    pub fn new(source: &str) -> Result<Self, regex::Error> {
        // Compiled alone first: `a)(b` is balanced only inside the added parentheses.
        RegexBuilder::new(source)
            .size_limit(PATTERN_SIZE_LIMIT)
            .build()?;
        let regex = RegexBuilder::new(&format!("^(?:{source})$"))
            .size_limit(PATTERN_SIZE_LIMIT)
            .build()?;
        Ok(Self {
            source: source.into(),
            regex,
        })
    }

    /// Whether the whole of `topic` matches.
    pub fn matches(&self, topic: &str) -> bool {
        self.regex.is_match(topic)
    }

    /// The pattern as the user wrote it.
    pub fn as_str(&self) -> &str {
        &self.source
    }
}

impl fmt::Debug for TopicPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.fmt(f)
    }
}

impl PartialEq for TopicPattern {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Eq for TopicPattern {}

impl PartialOrd for TopicPattern {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for TopicPattern {
    fn cmp(&self, other: &Self) -> Ordering {
        self.source.cmp(&other.source)
    }
}

/// Whether Kafka allows this name for a topic (`Topic.validate`).
pub fn is_topic_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=249).contains(&name.len()) && name.bytes().all(allowed) && name != "." && name != ".."
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    /// KNOW-19.
    #[rstest]
    #[case("orders", "orders", true)]
    #[case("orders", "orders2", false)]
    #[case("orders", "my-orders", false)]
    #[case("a|b", "b", true)]
    #[case("a|b", "ab", false)]
    #[case(r"orders\..*", "orders.eu", true)]
    #[case(r"(?i)ORDERS", "orders", true)]
    fn a_pattern_matches_the_whole_name(
        #[case] pattern: &str,
        #[case] topic: &str,
        #[case] matches: bool,
    ) {
        assert_eq!(TopicPattern::new(pattern).unwrap().matches(topic), matches);
    }

    #[rstest]
    #[case("(")]
    #[case("a)(b")]
    #[case(r"\w{1000}{1000}")]
    fn a_pattern_that_is_broken_or_huge_is_refused(#[case] pattern: &str) {
        TopicPattern::new(pattern).unwrap_err();
    }
}
