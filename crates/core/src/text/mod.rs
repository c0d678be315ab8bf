//! Makes foreign text safe to show in a condition, an event, a log line or a terminal. Pure; it
//! does not matter where the text comes from.
//!
//! Texts of brokers, the API server and other servers are cleaned once, where they come in. Names
//! that are needed for requests stay as they are.

pub mod mistake;

use std::borrow::Cow;
use std::fmt;

use jiff::fmt::friendly::{Designator, Spacing, SpanPrinter};
use jiff::{RoundMode, Span, SpanRound, Unit};

/// Most characters of a foreign text that are kept.
pub const MOST: usize = 512;

/// Whether a character changes how the text around it is shown: control characters (C0 with ESC and
/// line breaks, DEL, C1), the separators of lines and paragraphs, and the marks that change the
/// direction of writing.
pub fn is_disruptive(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// The text with such characters escaped, as `\n` and `\u{1b}`, so that it is always one line.
pub fn one_line(text: &str) -> Cow<'_, str> {
    if !text.contains(is_disruptive) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(escaped(text).collect())
}

/// Like [`one_line`], with at most [`MOST`] characters.
pub fn clean(text: &str) -> String {
    clean_to(text, MOST)
}

/// Like [`one_line`], with at most `most` characters, the last of them an ellipsis if it was cut.
pub fn clean_to(text: &str, most: usize) -> String {
    // A text has at most as many characters as bytes.
    if text.len() <= most
        && let Cow::Borrowed(text) = one_line(text)
    {
        return text.to_owned();
    }
    let mut kept: String = escaped(text).take(most + 1).collect();
    if kept.chars().count() > most {
        kept.pop();
        kept.pop();
        kept.push('…');
    }
    kept
}

/// An identifier of at most `most` characters. A longer one keeps both ends, which is where two
/// identifiers differ.
pub fn clean_id(id: &str, most: usize) -> String {
    let length = escaped(id).take(most + 1).count();
    if length <= most {
        return one_line(id).into_owned();
    }
    let half = most.saturating_sub(1) / 2;
    let mut tail: Vec<char> = id
        .chars()
        .rev()
        .take(half)
        .flat_map(|c| escape(c).collect::<Vec<_>>().into_iter().rev())
        .take(half)
        .collect();
    tail.reverse();
    escaped(id).take(half).chain(['…']).chain(tail).collect()
}

/// The text in quotation marks, on one line, with quotation marks and backslashes inside escaped:
/// for a message that quotes a user.
pub fn quoted(text: &str) -> String {
    let each = |c| match c {
        '"' | '\\' => vec!['\\', c],
        c => escape(c).collect(),
    };
    let inside: String = text.chars().flat_map(each).collect();
    format!("\"{inside}\"")
}

/// A count with its noun: `1 partition`, `2 partitions`.
pub fn counted<N: Copy + fmt::Display + PartialEq + From<u8>>(
    n: N,
    one: &str,
    more: &str,
) -> String {
    let noun = if n == N::from(1) { one } else { more };
    format!("{n} {noun}")
}

/// Seconds in their two largest units: `694 days 10 hours`, `1 minute`.
pub fn span(seconds: i64) -> String {
    const PRINTER: SpanPrinter = SpanPrinter::new()
        .designator(Designator::Verbose)
        .spacing(Spacing::BetweenUnitsAndDesignators);
    let smallest = match seconds {
        s if s >= 86_400 => Unit::Hour,
        s if s >= 3_600 => Unit::Minute,
        _ => Unit::Second,
    };
    let round = SpanRound::new()
        .largest(Unit::Day)
        .smallest(smallest)
        .mode(RoundMode::Trunc)
        .days_are_24_hours();
    let span = Span::new()
        .try_seconds(seconds)
        .and_then(|span| span.round(round));
    // More than 19,998 years: not simulated.
    span.map_or_else(
        |_| format!("{seconds} seconds"),
        |span| PRINTER.span_to_string(&span),
    )
}

fn escaped(text: &str) -> impl Iterator<Item = char> {
    text.chars().flat_map(escape)
}

fn escape(c: char) -> impl Iterator<Item = char> {
    let written_out = is_disruptive(c).then(|| c.escape_default());
    let plain = written_out.is_none().then_some(c);
    written_out.into_iter().flatten().chain(plain)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("plain, with ümläuts and 日本語", "plain, with ümläuts and 日本語")]
    #[case(
        "one\n2026-01-01T00:00:00Z  INFO forged",
        r"one\n2026-01-01T00:00:00Z  INFO forged"
    )]
    #[case("\u{1b}[2Jgone\u{7f}\u{9b}31m", r"\u{1b}[2Jgone\u{7f}\u{9b}31m")]
    #[case("a\u{2028}b\u{202e}c\r\0", r"a\u{2028}b\u{202e}c\r\u{0}")]
    fn disruptive_characters_are_escaped(#[case] text: &str, #[case] shown: &str) {
        assert_eq!(clean(text), shown);
        assert_eq!(one_line(text), shown);
    }

    #[rstest]
    #[case(0, "0 seconds")]
    #[case(1, "1 second")]
    #[case(59, "59 seconds")]
    #[case(60, "1 minute")]
    #[case(3_661, "1 hour 1 minute")]
    #[case(86_400, "1 day")]
    #[case(59_999_940, "694 days 10 hours")]
    fn a_span_has_the_units_that_people_use(#[case] seconds: i64, #[case] text: &str) {
        assert_eq!(span(seconds), text);
    }

    #[test]
    fn one_thing_is_in_the_singular() {
        assert_eq!(counted(1_usize, "replica", "replicas"), "1 replica");
        assert_eq!(counted(2_usize, "replica", "replicas"), "2 replicas");
        assert_eq!(counted(0, "replica", "replicas"), "0 replicas");
    }

    #[test]
    fn an_identifier_keeps_both_ends() {
        let long = format!("{}-0001", "client".repeat(100));
        let other = format!("{}-0002", "client".repeat(100));
        let (long, other) = (clean_id(&long, 64), clean_id(&other, 64));
        assert!(
            long.starts_with("client") && long.ends_with("-0001"),
            "{long}"
        );
        assert_ne!(long, other);
        assert_eq!(clean_id("client-1", 64), "client-1");
    }

    #[rstest]
    #[case("kafka-0:x", r#""kafka-0:x""#)]
    #[case(r#"a"b\c"#, r#""a\"b\\c""#)]
    #[case("a\nb", r#""a\nb""#)]
    #[case("a\u{1b}b", r#""a\u{1b}b""#)]
    #[case("größe", r#""größe""#)]
    fn quoted_text_escapes_its_own_quotation_marks(#[case] text: &str, #[case] shown: &str) {
        assert_eq!(quoted(text), shown);
    }

    proptest! {
        #[test]
        fn cleaned_text_is_bounded_and_has_no_disruptive_characters(text in ".{0,200}|(?s:\\PC|[\u{0}-\u{9f}]|[\u{2020}-\u{2070}]){0,80}", most in 1_usize..100) {
            for shown in [clean_to(&text, most), clean_id(&text, most)] {
                prop_assert!(!shown.contains(is_disruptive), "{shown:?}");
                prop_assert!(shown.chars().count() <= most, "{shown:?}");
            }
            prop_assert!(!one_line(&text).contains(is_disruptive));
            let clean = clean(&text);
            prop_assert_eq!(super::clean(&clean), clean.clone(), "clean text stays the same");
            if text.chars().count() <= most && !text.contains(is_disruptive) {
                prop_assert_eq!(clean_to(&text, most), text);
            }
        }
    }
}
