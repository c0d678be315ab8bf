//! Numbers and times as text. Pure.

use std::time::Duration;

use jiff::Timestamp;

/// `12,437`.
pub(crate) fn thousands(n: impl Into<i128>) -> String {
    let n = n.into();
    let digits = n.unsigned_abs().to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if n < 0 { format!("-{text}") } else { text }
}

/// `1 member`, `2 members`.
pub(crate) fn count(n: i32, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// `1m40s`.
pub(crate) fn minutes(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds < 60 {
        format!("{seconds}s")
    } else {
        format!("{}m{:02}s", seconds / 60, seconds % 60)
    }
}

/// Time of day, UTC.
pub(crate) fn clock(at: Timestamp) -> String {
    at.strftime("%H:%M:%S").to_string()
}

/// At most `width` characters; a cut text ends in `…`, or in `..` without block characters.
pub(crate) fn cut(text: &str, width: usize, blocks: bool) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let end = if blocks { "…" } else { ".." };
    let keep = width.saturating_sub(end.chars().count());
    let mut short: String = text.chars().take(keep).collect();
    short.extend(end.chars().take(width));
    short
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(0, "0")]
    #[case(999, "999")]
    #[case(1_000, "1,000")]
    #[case(-12_437, "-12,437")]
    fn thousands_are_separated(#[case] n: i64, #[case] text: &str) {
        assert_eq!(thousands(n), text);
    }

    #[rstest]
    #[case("short", 5, "short")]
    #[case("longer", 5, "long…")]
    #[case("ünïcödé", 3, "ün…")]
    #[case("none", 0, "")]
    fn text_is_cut_between_characters(
        #[case] text: &str,
        #[case] width: usize,
        #[case] cut_: &str,
    ) {
        assert_eq!(cut(text, width, true), cut_);
    }
}
