//! Scalars as protobuf's JSON writes them.

use std::fmt;
use std::marker::PhantomData;

use proxy_core::config::Share;
use proxy_core::time::Duration;
use serde::de::{Error as _, Visitor};
use serde::{Deserialize, Deserializer};

/// A length of time: seconds with up to nine digits after the point and an `s` (`0.25s`), not negative.
///
/// Source: protobuf `google/protobuf/duration.proto`, "JSON Mapping".
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Length(pub(super) Duration);

impl<'de> Deserialize<'de> for Length {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse(&text).map(Self).ok_or_else(|| {
            D::Error::custom(format!(
                "`{text}` is no length of time; write seconds, such as `0.25s`"
            ))
        })
    }
}

fn parse(text: &str) -> Option<Duration> {
    let number = text.strip_suffix('s')?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || fraction.len() > 9 {
        return None;
    }
    let nanos: u64 = format!("{fraction:0<9}").parse().ok()?;
    let whole: u64 = whole.parse().ok()?;
    let nanos = whole.checked_mul(1_000_000_000)?.checked_add(nanos)?;
    Some(Duration::from_nanos(nanos))
}

/// A whole number from 0, which may also stand in quotes or have a fraction of zero.
///
/// Source: protobuf's "ProtoJSON format": 64-bit numbers are printed in quotes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Whole<T>(pub(super) T);

impl<'de, T: TryFrom<u64>> Deserialize<'de> for Whole<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WholeVisitor(PhantomData))
    }
}

struct WholeVisitor<T>(PhantomData<T>);

impl<T: TryFrom<u64>> Visitor<'_> for WholeVisitor<T> {
    type Value = Whole<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = size_of::<T>() * 8;
        write!(f, "a whole number from 0 of {bits} bits")
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Whole<T>, E> {
        let fits = T::try_from(value).map(Whole);
        fits.map_err(|_| E::invalid_value(serde::de::Unexpected::Unsigned(value), &self))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Whole<T>, E> {
        const EXACT: f64 = 9_007_199_254_740_992.0;
        if (0.0..=EXACT).contains(&value) && value.fract() == 0.0 {
            return self.visit_u64(value as u64);
        }
        Err(E::invalid_value(serde::de::Unexpected::Float(value), &self))
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Whole<T>, E> {
        match value.parse() {
            Ok(number) => self.visit_u64(number),
            Err(_) => Err(E::invalid_value(serde::de::Unexpected::Str(value), &self)),
        }
    }
}

/// `type.v3.Percent`.
#[derive(Clone, Copy, PartialEq, Debug, Deserialize)]
pub(super) struct Percent {
    #[serde(default)]
    pub(super) value: f64,
}

/// `type.v3.FractionalPercent`.
#[derive(Clone, Copy, PartialEq, Debug, Deserialize)]
pub(super) struct Fraction {
    numerator: Option<Whole<u32>>,
    #[serde(default)]
    denominator: Denominator,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Denominator {
    #[default]
    Hundred,
    TenThousand,
    Million,
}

impl Fraction {
    /// So many of so many, as they are written.
    pub(super) fn parts(self) -> (u32, u32) {
        let of = match self.denominator {
            Denominator::Hundred => 100,
            Denominator::TenThousand => 10_000,
            Denominator::Million => 1_000_000,
        };
        (self.numerator.map_or(0, |numerator| numerator.0), of)
    }

    /// More than all counts as all.
    pub(super) fn share(self) -> Share {
        let scale = match self.denominator {
            Denominator::Hundred => 10_000,
            Denominator::TenThousand => 100,
            Denominator::Million => 1,
        };
        let parts = self.numerator.map_or(0, |numerator| numerator.0);
        Share::from_ppm(parts.saturating_mul(scale))
    }
}

/// A value that a runtime key may replace (`RuntimeFractionalPercent`, `RuntimeDouble`, `RuntimePercent`, `RuntimeUInt32`).
#[derive(Clone, PartialEq, Debug, Deserialize)]
pub(super) struct Runtime<T> {
    pub(super) default_value: Option<T>,
    #[serde(rename = "runtime_key")]
    _runtime_key: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_seconds() {
        let rows = [
            ("0s", Some(0)),
            ("15s", Some(15_000_000_000)),
            ("0.25s", Some(250_000_000)),
            ("1.000000001s", Some(1_000_000_001)),
            ("1.0000000001s", None),
            ("250ms", None),
            ("1m", None),
            ("-1s", None),
            ("1.s", None),
            (".5s", None),
            ("s", None),
            ("15", None),
            ("99999999999s", None),
        ];
        for (text, nanos) in rows {
            assert_eq!(parse(text), nanos.map(Duration::from_nanos), "{text}");
        }
    }

    #[test]
    fn whole_numbers_may_stand_in_quotes() {
        for (text, number) in [
            ("7", Some(7)),
            ("\"7\"", Some(7)),
            ("7.0", Some(7)),
            ("4294967295", Some(u32::MAX)),
            ("4294967296", None),
            ("-1", None),
            ("7.5", None),
            ("\"x\"", None),
        ] {
            let read = serde_json::from_str::<Whole<u32>>(text).ok();
            assert_eq!(read.map(|whole| whole.0), number, "{text}");
        }
    }

    #[test]
    fn fractions_are_parts_of_their_denominator() {
        for (text, ppm) in [
            (r#"{"numerator": 5}"#, 50_000),
            (r#"{"numerator": 5, "denominator": "TEN_THOUSAND"}"#, 500),
            (r#"{"numerator": 5, "denominator": "MILLION"}"#, 5),
            (r#"{"numerator": 500}"#, 1_000_000),
            ("{}", 0),
        ] {
            let fraction: Fraction = serde_json::from_str(text).unwrap();
            assert_eq!(fraction.share().as_ppm(), ppm, "{text}");
        }
    }
}
