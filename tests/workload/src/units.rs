//! Parsers of values on the command line. Pure.

use std::num::NonZeroU64;
use std::time::Duration;

use jiff::SignedDuration;

/// A duration such as `60s`, `1m30s` or `500ms`; a bare `0` is zero.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    if text.trim() == "0" {
        return Ok(Duration::ZERO);
    }
    let parsed: SignedDuration = text
        .trim()
        .parse()
        .map_err(|_| format!("{text:?} is not a duration: write 60s, 1m30s or 500ms"))?;
    Duration::try_from(parsed)
        .map_err(|_| format!("{text:?} is negative: write 60s, 1m30s or 500ms"))
}

/// A duration above zero.
pub(crate) fn interval(text: &str) -> Result<Duration, String> {
    let parsed = duration(text)?;
    if parsed.is_zero() {
        Err("must be longer than 0".to_owned())
    } else {
        Ok(parsed)
    }
}

/// Records per second, with or without the unit: `100`, `0.5`, `100/s`.
pub(crate) fn rate(text: &str) -> Result<f64, String> {
    let number = text
        .trim()
        .strip_suffix("/s")
        .unwrap_or(text.trim())
        .trim_end();
    number
        .parse()
        .ok()
        .filter(|rate: &f64| rate.is_finite() && *rate >= 0.0)
        .ok_or_else(|| {
            format!("{text:?} is not a rate: write records per second, such as 100, 0.5 or 100/s")
        })
}

/// The time that one record takes, given in milliseconds, fractions allowed.
pub(crate) fn milliseconds(text: &str) -> Result<Duration, String> {
    text.trim()
        .parse()
        .ok()
        .and_then(|millis: f64| Duration::try_from_secs_f64(millis / 1e3).ok())
        .ok_or_else(|| format!("{text:?} is not a time: write milliseconds, such as 0, 0.5 or 250"))
}

/// Shares of the records by partition: `5,1,1` sends 5 of 7 to partition 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Weights {
    shares: Vec<u64>,
    total: NonZeroU64,
}

impl Weights {
    /// Number of partitions with a weight.
    pub(crate) fn len(&self) -> usize {
        self.shares.len()
    }

    /// The sum of all shares.
    pub(crate) fn total(&self) -> NonZeroU64 {
        self.total
    }

    /// The partition whose share contains `point` of `0..total`.
    pub(crate) fn partition_of(&self, mut point: u64) -> i32 {
        for (partition, share) in (0_i32..).zip(&self.shares) {
            match point.checked_sub(*share) {
                None => return partition,
                Some(rest) => point = rest,
            }
        }
        0
    }
}

/// Parses `5,1,1`.
pub(crate) fn weights(text: &str) -> Result<Weights, String> {
    let wrong = || {
        format!(
            "{text:?} is not a list of weights: write one whole number per partition, such as 5,1,1"
        )
    };
    let shares: Vec<u64> = text
        .split(',')
        .map(|share| share.trim().parse::<u32>().map(u64::from))
        .collect::<Result<_, _>>()
        .map_err(|_| wrong())?;
    let total = NonZeroU64::new(shares.iter().sum())
        .ok_or_else(|| "at least one weight must be above 0".to_owned())?;
    Ok(Weights { shares, total })
}

/// A librdkafka property, `name=value`.
pub(crate) fn property(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => {
            Ok((name.trim().to_owned(), value.to_owned()))
        }
        _ => Err(format!("{text:?} is not a property: write name=value")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("60s", Some(60_000))]
    #[case("1m30s", Some(90_000))]
    #[case(" 500ms ", Some(500))]
    #[case("0", Some(0))]
    #[case("0s", Some(0))]
    #[case("60", None)]
    #[case("-5s", None)]
    #[case("", None)]
    #[case("soon", None)]
    fn durations_need_a_unit_and_are_not_negative(#[case] text: &str, #[case] millis: Option<u64>) {
        assert_eq!(duration(text).ok(), millis.map(Duration::from_millis));
    }

    #[test]
    fn an_interval_is_not_zero() {
        assert_eq!(interval("1s"), Ok(Duration::from_secs(1)));
        assert!(interval("0").is_err());
    }

    #[rstest]
    #[case("100", Some(100.0))]
    #[case("0", Some(0.0))]
    #[case("0.5", Some(0.5))]
    #[case("100/s", Some(100.0))]
    #[case("100 /s", Some(100.0))]
    #[case("-1", None)]
    #[case("inf", None)]
    #[case("NaN", None)]
    #[case("100/m", None)]
    fn rates_are_records_per_second(#[case] text: &str, #[case] wanted: Option<f64>) {
        assert_eq!(rate(text).ok(), wanted);
    }

    #[rstest]
    #[case("0", Some(0))]
    #[case("0.5", Some(500))]
    #[case("250", Some(250_000))]
    #[case("-1", None)]
    #[case("1s", None)]
    #[case("NaN", None)]
    fn time_per_record_is_in_milliseconds(#[case] text: &str, #[case] micros: Option<u64>) {
        assert_eq!(milliseconds(text).ok(), micros.map(Duration::from_micros));
    }

    #[rstest]
    #[case("5,1,1", true)]
    #[case("1", true)]
    #[case("0, 3", true)]
    #[case("0,0", false)]
    #[case("", false)]
    #[case("1,,1", false)]
    #[case("1,-1", false)]
    #[case("0.5,0.5", false)]
    fn weights_are_whole_numbers_and_not_all_zero(#[case] text: &str, #[case] accepted: bool) {
        assert_eq!(weights(text).is_ok(), accepted);
    }

    #[test]
    fn each_partition_has_as_many_points_as_its_weight() {
        let weights = weights("2,0,3").unwrap();
        let partitions: Vec<i32> = (0..weights.total().get())
            .map(|point| weights.partition_of(point))
            .collect();
        assert_eq!(partitions, [0, 0, 2, 2, 2]);
    }

    #[test]
    fn a_property_may_hold_equals_signs_in_its_value() {
        assert_eq!(
            property("a.b=c=d"),
            Ok(("a.b".to_owned(), "c=d".to_owned()))
        );
        assert!(property("a.b").is_err());
        assert!(property("=c").is_err());
    }
}
