//! Durations as users write them: `90s`, `1m30s`, `2h`. Bounded by construction, canonical when
//! printed, never panicking. No behaviour beyond reading, printing and the schema.

use std::{borrow::Cow, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::text;

/// Hours, minutes, seconds, milliseconds, each at most once and in this order. The digits are
/// limited so that the API server's own `duration()` cannot overflow on a text that matches.
const PATTERN: &str = "^([0-9]{1,6}h)?([0-9]{1,6}m)?([0-9]{1,6}s)?([0-9]{1,8}ms)?$";
/// Longest text that the schema accepts (TELL-33).
const MAX_LENGTH: usize = 16;
/// From the largest unit to the smallest: its name, its milliseconds, and the most digits before
/// it.
const UNITS: [(&str, u64, usize); 4] = [
    ("h", 3_600_000, 6),
    ("m", 60_000, 6),
    ("s", 1_000, 6),
    ("ms", 1, 8),
];

/// A span of time between one second and one day, written the way Kubernetes users write them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration {
    millis: u64,
}

/// Why a text is not a [`Duration`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Not numbers with the units h, m, s and ms in this order.
    #[error("write a duration such as 90s, 1m30s or 2h")]
    Malformed,
    /// Shorter than [`Duration::MIN`] or longer than [`Duration::MAX`].
    #[error("write a duration between 1s and 24h")]
    OutOfBounds,
}

impl Duration {
    /// The shortest: one second.
    pub const MIN: Self = Self { millis: 1_000 };
    /// The longest: one day.
    pub const MAX: Self = Self {
        millis: 24 * 3_600_000,
    };

    /// From seconds, clamped to the bounds; for constants.
    pub const fn from_secs(seconds: u64) -> Self {
        let millis = seconds.saturating_mul(1_000);
        if millis < Self::MIN.millis {
            Self::MIN
        } else if millis > Self::MAX.millis {
            Self::MAX
        } else {
            Self { millis }
        }
    }

    /// In milliseconds: 1,000 to 86,400,000.
    pub const fn as_millis(self) -> u64 {
        self.millis
    }

    /// As the standard library's type.
    pub const fn as_std(self) -> std::time::Duration {
        std::time::Duration::from_millis(self.millis)
    }
}

impl From<Duration> for std::time::Duration {
    fn from(duration: Duration) -> Self {
        duration.as_std()
    }
}

impl FromStr for Duration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, DurationError> {
        if text.is_empty() || text.len() > MAX_LENGTH {
            return Err(DurationError::Malformed);
        }
        let mut rest = text;
        let mut millis = 0_u64;
        for (unit, factor, max_digits) in UNITS {
            let Some((number, after)) = leading_number(rest) else {
                break;
            };
            let suffix = after
                .find(|c: char| c.is_ascii_digit())
                .map_or(after, |end| after.split_at(end).0);
            if suffix == unit {
                if number.len() > max_digits {
                    return Err(DurationError::Malformed);
                }
                let number: u64 = number.parse().map_err(|_| DurationError::Malformed)?;
                millis = millis.saturating_add(number.saturating_mul(factor));
                rest = after.strip_prefix(unit).unwrap_or_default();
            }
        }
        if !rest.is_empty() {
            return Err(DurationError::Malformed);
        }
        if (Self::MIN.millis..=Self::MAX.millis).contains(&millis) {
            Ok(Self { millis })
        } else {
            Err(DurationError::OutOfBounds)
        }
    }
}

fn leading_number(text: &str) -> Option<(&str, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit())?;
    (end > 0).then(|| text.split_at(end))
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.millis;
        for (unit, factor, _) in UNITS {
            if rest >= factor {
                write!(f, "{}{unit}", rest / factor)?;
                rest %= factor;
            }
        }
        Ok(())
    }
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse()
            .map_err(|error| de::Error::custom(format_args!("{}: {error}", text::quoted(&text))))
    }
}

impl JsonSchema for Duration {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        bounded(Self::MIN, Self::MAX, "90s, 1m30s or 2h")
    }
}

/// The schema of a duration within bounds. One rule checks both format and bounds, so that a
/// mistake gets one message; the pattern beside it is for tools without CEL.
pub(super) fn bounded(min: Duration, max: Duration, examples: &str) -> Schema {
    json_schema!({
        "type": "string",
        "minLength": 2,
        "maxLength": MAX_LENGTH,
        "pattern": PATTERN,
        "x-kubernetes-validations": [super::schema::rule(
            &format!("self.matches('{PATTERN}') && self.size() > 0 && duration(self) >= duration('{min}') && duration(self) <= duration('{max}')"),
            &format!("write a duration between {min} and {max}, such as {examples}"),
        )],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    #[rstest]
    #[case("1s", 1_000, "1s")]
    #[case("90s", 90_000, "1m30s")]
    #[case("1m30s", 90_000, "1m30s")]
    #[case("60m", 3_600_000, "1h")]
    #[case("24h", 86_400_000, "24h")]
    #[case("1500ms", 1_500, "1s500ms")]
    #[case("1m500ms", 60_500, "1m500ms")]
    #[case("1h1ms", 3_600_001, "1h1ms")]
    #[case("0h0m5s", 5_000, "5s")]
    fn reads_units_in_order_and_prints_canonically(
        #[case] text: &str,
        #[case] millis: u64,
        #[case] printed: &str,
    ) {
        let duration: Duration = text.parse().unwrap();
        assert_eq!(duration.as_millis(), millis);
        assert_eq!(duration.to_string(), printed);
    }

    #[rstest]
    #[case("")]
    #[case("5")]
    #[case("s")]
    #[case("-5s")]
    #[case("1.5h")]
    #[case("5 s")]
    #[case("5S")]
    #[case("1s1m")]
    #[case("1s1s")]
    #[case("1d")]
    #[case("1h0")]
    #[case("1234567s")]
    #[case("99999999999999999999999h")]
    #[case("٣s")]
    fn refuses_what_is_no_duration(#[case] text: &str) {
        assert_eq!(text.parse::<Duration>(), Err(DurationError::Malformed));
    }

    #[rstest]
    #[case("0s")]
    #[case("999ms")]
    #[case("24h1ms")]
    #[case("999999h")]
    fn refuses_what_is_out_of_bounds(#[case] text: &str) {
        assert_eq!(text.parse::<Duration>(), Err(DurationError::OutOfBounds));
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back_the_same(millis in 1_000_u64..=86_400_000) {
            let duration = Duration { millis };
            prop_assert_eq!(duration.to_string().parse::<Duration>(), Ok(duration));
        }

        #[test]
        fn no_text_panics_and_what_passes_is_what_the_schema_lets_through(text in "[0-9hms. -]{0,20}|.*") {
            let matches = regex::Regex::new(PATTERN).unwrap().is_match(&text) && !text.is_empty() && text.len() <= MAX_LENGTH;
            prop_assert_eq!(text.parse::<Duration>() != Err(DurationError::Malformed), matches);
        }
    }
}
