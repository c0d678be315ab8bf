//! Parsers of command line values. Each error says what to write; clap's own parsers report ranges
//! and errors of Rust.

use std::ops::RangeInclusive;

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
