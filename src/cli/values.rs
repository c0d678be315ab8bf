//! Parsers of command line values. Each error says what to write; clap's own parsers report ranges
//! and errors of Rust.

use std::{ops::RangeInclusive, str::FromStr as _, time::Duration};

use jiff::SignedDuration;

/// Whole numbers within bounds.
pub(super) fn whole<T>(bounds: RangeInclusive<u64>) -> impl Fn(&str) -> Result<T, String> + Clone
where
    T: TryFrom<u64>,
{
    move |text| {
        let number = text.parse().ok().filter(|number| bounds.contains(number));
        number
            .and_then(|number: u64| T::try_from(number).ok())
            .ok_or_else(|| {
                let (least, most) = (bounds.start(), bounds.end());
                match *most {
                    u64::MAX => format!("write a whole number, {least} or more"),
                    most => format!("write a whole number from {least} to {most}"),
                }
            })
    }
}

/// A DNS label; `None` for the empty string, which a chart writes for "all namespaces".
pub(super) fn namespace(text: &str) -> Result<Option<String>, String> {
    let text = text.trim();
    let label = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    match text {
        "" => Ok(None),
        _ if text.len() <= 63
            && text.chars().all(label)
            && !text.starts_with('-')
            && !text.ends_with('-') =>
        {
            Ok(Some(text.to_owned()))
        }
        _ => Err(
            "write the name of a namespace: lower-case letters, digits and inner '-', at most 63"
                .to_owned(),
        ),
    }
}

/// Parses durations from `least` to `most`, both inclusive.
pub(super) fn between(
    least: &'static str,
    most: &'static str,
) -> impl Fn(&str) -> Result<Duration, String> + Clone {
    move |text| {
        let read = |text: &str| {
            SignedDuration::from_str(text)
                .ok()
                .and_then(|d| Duration::try_from(d).ok())
        };
        match (read(text), read(least), read(most)) {
            (Some(wanted), Some(least), Some(most)) if (least..=most).contains(&wanted) => {
                Ok(wanted)
            }
            _ => Err(format!(
                "write a duration from {least} to {most}, such as {least}"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("1", Ok(1))]
    #[case("256", Ok(256))]
    #[case("0", Err("write a whole number from 1 to 256"))]
    #[case("-3", Err("write a whole number from 1 to 256"))]
    #[case("1.5", Err("write a whole number from 1 to 256"))]
    #[case("256Mi", Err("write a whole number from 1 to 256"))]
    #[case("99999999999999999999", Err("write a whole number from 1 to 256"))]
    fn a_number_out_of_bounds_is_reported_with_the_bounds(
        #[case] text: &str,
        #[case] expected: Result<u16, &str>,
    ) {
        let expected = expected.map_err(ToOwned::to_owned);
        assert_eq!(whole::<u16>(1..=256)(text), expected);
    }

    #[test]
    fn a_number_without_an_upper_bound_has_none_in_the_message() {
        let error = whole::<u64>(0..=u64::MAX)("-1").unwrap_err();
        assert_eq!(error, "write a whole number, 0 or more");
    }
}
