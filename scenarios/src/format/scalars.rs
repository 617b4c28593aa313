//! Values with a unit, as people write them: `250ms`, `200/s`, `5%`, `4KiB`.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use proxy_core::time::Duration;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, Visitor};

/// The longest duration a scenario may name: a year. Sums of a few of them stay far from the end of [`Duration`].
pub const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);
/// The highest rate of one load in requests per second: beyond it a run would not end, and no proxy is that fast.
pub const HIGHEST_RATE: f64 = 1e6;
/// The largest body in bytes (1 TiB).
pub const LARGEST_SIZE: u64 = 1 << 40;
/// The largest factor by which a fault may slow or a surge may multiply.
pub const LARGEST_FACTOR: f64 = 1e4;

/// A value that is written as one scalar.
pub(crate) trait Scalar: Sized {
    /// What should stand here, for an error about something else.
    const EXPECTED: &'static str;

    /// Reads text.
    fn parse(text: &str) -> Result<Self, String>;

    /// Reads a bare number.
    fn number(value: f64) -> Result<Self, String> {
        Self::parse(&value.to_string())
    }
}

pub(super) struct ScalarVisitor<T>(pub(super) PhantomData<T>);

impl<T: Scalar> Visitor<'_> for ScalarVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::EXPECTED)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        T::parse(text.trim()).map_err(E::custom)
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<T, E> {
        T::number(value as f64).map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<T, E> {
        T::number(value as f64).map_err(E::custom)
    }

    fn visit_i128<E: de::Error>(self, value: i128) -> Result<T, E> {
        T::number(value as f64).map_err(E::custom)
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<T, E> {
        T::number(value).map_err(E::custom)
    }
}

macro_rules! scalar {
    ($name:ident, $schema:expr) => {
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let visitor = $crate::format::scalars::ScalarVisitor(std::marker::PhantomData);
                deserializer.deserialize_any(visitor)
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                let expected = <Self as $crate::format::scalars::Scalar>::EXPECTED;
                let mut schema = $schema;
                schema.insert("description".to_owned(), expected.into());
                schema
            }
        }
    };
}
pub(super) use scalar;

/// A length of time, Go-style: `90s`, `1m30s`, `250us`, `1.5h`; a bare `0` is no time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(pub Duration);

scalar!(
    Period,
    json_schema!({ "type": ["string", "integer"], "pattern": "^0$|^([0-9]+(\\.[0-9]*)?(ns|us|µs|ms|s|m|h))+$", "minimum": 0, "maximum": 0 })
);

impl Scalar for Period {
    const EXPECTED: &'static str = "a duration such as `250ms`, `30s` or `1m30s`";

    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not {}", Self::EXPECTED);
        if text == "0" {
            return Ok(Self(Duration::ZERO));
        }
        if text.starts_with('-') {
            return Err(format!("a duration cannot be negative: `{text}`"));
        }
        if let Ok(number) = text.parse::<f64>() {
            return Err(format!("`{number}` has no unit: write {}", Self::EXPECTED));
        }
        let mut rest = text;
        let mut nanos = 0.0;
        while !rest.is_empty() {
            let digits = rest
                .find(|c: char| !c.is_ascii_digit() && c != '.')
                .ok_or_else(wrong)?;
            let (number, tail) = rest.split_at(digits);
            let letters = tail
                .find(|c: char| c.is_ascii_digit() || c == '.')
                .unwrap_or(tail.len());
            let (unit, next) = tail.split_at(letters);
            let unit = match unit {
                "ns" => 1.0,
                "us" | "µs" | "μs" => 1e3,
                "ms" => 1e6,
                "s" => 1e9,
                "m" => 60e9,
                "h" => 3600e9,
                _ => return Err(wrong()),
            };
            nanos += number.parse::<f64>().map_err(|_| wrong())? * unit;
            rest = next;
        }
        if text.is_empty() {
            return Err(wrong());
        }
        if nanos > LONGEST.as_nanos() as f64 {
            return Err(format!("`{text}` is too long: at most {} h", 366 * 24));
        }
        Ok(Self(Duration::from_nanos(libm::round(nanos) as u64)))
    }
}

/// Requests per second, as `200/s`, `30/m` or `10/h`; at most [`HIGHEST_RATE`].
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Rate(pub f64);

scalar!(
    Rate,
    json_schema!({ "type": "string", "pattern": "^[0-9]+(\\.[0-9]*)?([eE][0-9]+)?k?/(s|m|h)$" })
);

impl Scalar for Rate {
    const EXPECTED: &'static str = "a rate such as `200/s`, `30/m` or `10/h`";

    fn parse(text: &str) -> Result<Self, String> {
        let (number, unit) = text
            .split_once('/')
            .ok_or_else(|| format!("`{text}` has no unit: write {}", Self::EXPECTED))?;
        let per_second = match unit.trim() {
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return Err(format!("`{text}` is not {}", Self::EXPECTED)),
        };
        let (number, thousands) = match number.trim().strip_suffix('k') {
            Some(number) => (number, 1e3),
            None => (number.trim(), 1.0),
        };
        let rate = number
            .parse::<f64>()
            .map_err(|_| format!("`{text}` is not {}", Self::EXPECTED))?
            * thousands
            / per_second;
        if rate.is_nan() || rate < 0.0 {
            return Err(format!("a rate cannot be below zero: `{text}`"));
        }
        if rate > HIGHEST_RATE {
            return Err(format!("`{text}` is too high: at most 1,000,000/s a load"));
        }
        Ok(Self(rate))
    }
}

/// A part of a whole, 0 to 1: `5%`, or `0.05`.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Share(pub f64);

scalar!(
    Share,
    json_schema!({ "type": ["string", "number"], "pattern": "^[0-9]+(\\.[0-9]*)?%$", "minimum": 0, "maximum": 1 })
);

impl Scalar for Share {
    const EXPECTED: &'static str = "a share such as `5%` or `0.05`";

    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not {}", Self::EXPECTED);
        let (number, scale) = match text.strip_suffix('%') {
            Some(number) => (number.trim(), 100.0),
            None => (text, 1.0),
        };
        let share = number.parse::<f64>().map_err(|_| wrong())? / scale;
        if (0.0..=1.0).contains(&share) {
            return Ok(Self(share));
        }
        let help = if scale == 1.0 && share > 1.0 && share <= 100.0 {
            format!("; did you mean `{number}%`?")
        } else {
            String::new()
        };
        Err(format!(
            "a share lies between 0 and 100%, `{text}` does not{help}"
        ))
    }
}

/// Bytes: `512`, `4KiB`, `1MB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub u64);

scalar!(
    Bytes,
    json_schema!({ "type": ["string", "integer"], "pattern": "^[0-9]+(\\.[0-9]*)?(B|[kKMGT]B|[KMGT]iB)?$", "minimum": 0 })
);

impl Scalar for Bytes {
    const EXPECTED: &'static str = "a size such as `512`, `4KiB` or `1MB`";

    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not {}", Self::EXPECTED);
        let letters = text
            .find(|c: char| c.is_ascii_alphabetic())
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(letters);
        let unit = match unit {
            "" | "B" => 1.0,
            "kB" | "KB" => 1e3,
            "MB" => 1e6,
            "GB" => 1e9,
            "TB" => 1e12,
            "KiB" => 1024.0,
            "MiB" => 1_048_576.0,
            "GiB" => 1_073_741_824.0,
            "TiB" => 1_099_511_627_776.0,
            _ => return Err(wrong()),
        };
        let bytes = number.trim().parse::<f64>().map_err(|_| wrong())? * unit;
        if bytes.is_nan() || bytes < 0.0 {
            return Err(format!("a size cannot be below zero: `{text}`"));
        }
        if bytes > LARGEST_SIZE as f64 {
            return Err(format!("`{text}` is too large: at most 1TiB"));
        }
        Ok(Self(libm::round(bytes) as u64))
    }
}

/// A number of at least zero and at most [`LARGEST_FACTOR`].
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Factor(pub f64);

scalar!(
    Factor,
    json_schema!({ "type": "number", "minimum": 0, "maximum": LARGEST_FACTOR })
);

impl Scalar for Factor {
    const EXPECTED: &'static str = "a number of at least zero";

    fn parse(text: &str) -> Result<Self, String> {
        let factor = text
            .strip_suffix('x')
            .unwrap_or(text)
            .parse::<f64>()
            .map_err(|_| format!("`{text}` is not {}", Self::EXPECTED))?;
        if (0.0..=LARGEST_FACTOR).contains(&factor) {
            Ok(Self(factor))
        } else {
            Err(format!("must lie between 0 and 10,000, not be `{text}`"))
        }
    }
}

/// A whole number from `MIN` to `MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Count<const MIN: u32, const MAX: u32>(pub u32);

impl<const MIN: u32, const MAX: u32> Scalar for Count<MIN, MAX> {
    const EXPECTED: &'static str = "a whole number";

    fn parse(text: &str) -> Result<Self, String> {
        let number = text
            .parse::<f64>()
            .map_err(|_| format!("`{text}` is not {}", Self::EXPECTED))?;
        if libm::trunc(number) != number && number.is_finite() {
            return Err(format!("must be {}, not `{text}`", Self::EXPECTED));
        }
        if (f64::from(MIN)..=f64::from(MAX)).contains(&number) {
            Ok(Self(number as u32))
        } else {
            Err(format!("must lie between {MIN} and {MAX}, not be `{text}`"))
        }
    }
}

impl<'de, const MIN: u32, const MAX: u32> Deserialize<'de> for Count<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor(PhantomData))
    }
}

impl<const MIN: u32, const MAX: u32> JsonSchema for Count<MIN, MAX> {
    fn schema_name() -> Cow<'static, str> {
        format!("CountFrom{MIN}To{MAX}").into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": MIN, "maximum": MAX })
    }
}

/// So many, or a share of all: `1`, `50%`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum CountOrShare {
    /// So many.
    Count(u32),
    /// This share of all, 0 to 1.
    Share(f64),
}

scalar!(
    CountOrShare,
    json_schema!({ "type": ["string", "integer"], "pattern": "^[0-9]+(\\.[0-9]*)?%$", "minimum": 0, "maximum": 10000 })
);

impl Scalar for CountOrShare {
    const EXPECTED: &'static str = "a number such as `1`, or a share such as `50%`";

    fn parse(text: &str) -> Result<Self, String> {
        if text.ends_with('%') {
            Share::parse(text).map(|share| Self::Share(share.0))
        } else {
            Count::<0, 10_000>::parse(text).map(|count| Self::Count(count.0))
        }
    }
}

/// A status code of a final response, 200 to 599.
pub type Status = Count<200, 599>;

/// A point in time by RFC 3339 (`2026-01-05T09:00:00Z`), as seconds since 1970 in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(pub u64);

scalar!(
    Timestamp,
    json_schema!({ "type": "string", "format": "date-time" })
);

impl Scalar for Timestamp {
    const EXPECTED: &'static str = "a point in time such as `2026-01-05T09:00:00Z`";

    fn parse(text: &str) -> Result<Self, String> {
        timestamp(text)
            .map(Self)
            .ok_or_else(|| format!("`{text}` is not {}, from 1970 on", Self::EXPECTED))
    }
}

/// RFC 3339 §5.6 without fractions of a second.
fn timestamp(text: &str) -> Option<u64> {
    let bytes = text.as_bytes();
    let number = |from: usize, to: usize| -> Option<i64> {
        let part = text.get(from..to)?;
        part.bytes().all(|b| b.is_ascii_digit()).then_some(())?;
        part.parse().ok()
    };
    let is = |at: usize, expected: &[u8]| bytes.get(at).is_some_and(|b| expected.contains(b));
    let separated = is(4, b"-") && is(7, b"-") && is(10, b"Tt ") && is(13, b":") && is(16, b":");
    separated.then_some(())?;
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = [
        31,
        28 + i64::from(leap),
        31,
        30,
        31,
        30,
        31,
        31,
        30,
        31,
        30,
        31,
    ];
    let last = *days.get(usize::try_from(month - 1).ok()?)?;
    (day >= 1 && day <= last && hour < 24 && minute < 60 && second < 60).then_some(())?;
    let offset = match text.get(19..)? {
        "Z" | "z" => 0,
        zone if zone.len() == 6 && is(22, b":") => {
            let east = number(20, 22)? * 3600 + number(23, 25)? * 60;
            match zone.as_bytes()[0] {
                b'+' => east,
                b'-' => -east,
                _ => return None,
            }
        }
        _ => return None,
    };
    u64::try_from(
        days_since_1970(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset,
    )
    .ok()
}

/// Days from 1970-01-01 in the Gregorian calendar: years counted from March, so that the leap day comes last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month <= 2 {
        (year - 1, month + 9)
    } else {
        (year, month - 3)
    };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    365 * year + leap_days + (153 * month + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_in_go() {
        for (text, nanos) in [
            ("0", 0),
            ("0s", 0),
            ("3ns", 3),
            ("250us", 250_000),
            ("250µs", 250_000),
            ("1.5ms", 1_500_000),
            ("1m30s", 90_000_000_000),
            ("2h", 7_200_000_000_000),
        ] {
            assert_eq!(
                Period::parse(text),
                Ok(Period(Duration::from_nanos(nanos))),
                "{text}"
            );
        }
        for (text, part) in [
            ("", "is not a duration"),
            ("5", "has no unit"),
            ("-5s", "negative"),
            ("5 s", "is not a duration"),
            ("1..5s", "is not a duration"),
            ("s", "is not a duration"),
            ("5d", "is not a duration"),
            ("9000h", "too long"),
            ("NaN", "has no unit"),
        ] {
            let problem = Period::parse(text).expect_err(text);
            assert!(problem.contains(part), "{text}: {problem}");
        }
    }

    #[test]
    fn rates_shares_and_sizes_have_units_and_bounds() {
        assert_eq!(Rate::parse("200/s"), Ok(Rate(200.0)));
        assert_eq!(Rate::parse("1.2k/s"), Ok(Rate(1200.0)));
        assert_eq!(Rate::parse("30/m"), Ok(Rate(0.5)));
        assert_eq!(Share::parse("5%"), Ok(Share(0.05)));
        assert_eq!(Share::number(0.25), Ok(Share(0.25)));
        assert_eq!(Bytes::parse("2KiB"), Ok(Bytes(2048)));
        assert_eq!(Bytes::parse("1.5MB"), Ok(Bytes(1_500_000)));
        assert_eq!(CountOrShare::parse("50%"), Ok(CountOrShare::Share(0.5)));
        assert_eq!(CountOrShare::number(1.0), Ok(CountOrShare::Count(1)));
        for (text, problem) in [
            ("-1/s", Rate::parse("-1/s").err()),
            ("1e9/s", Rate::parse("1e9/s").err()),
            ("NaN/s", Rate::parse("NaN/s").err()),
            ("200", Rate::number(200.0).err()),
            ("30", Share::number(30.0).err()),
            ("NaN", Share::number(f64::NAN).err()),
            ("-1KiB", Bytes::parse("-1KiB").err()),
            ("2XiB", Bytes::parse("2XiB").err()),
            ("inf", Factor::number(f64::INFINITY).err()),
            ("0", Count::<1, 5>::number(0.0).err()),
            ("1.5", Count::<1, 5>::number(1.5).err()),
            ("1e300", Count::<1, 5>::number(1e300).err()),
        ] {
            assert!(problem.is_some(), "{text} was taken");
        }
    }

    #[test]
    fn timestamps_are_utc_seconds() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2026-01-05T09:00:00Z", Some(1_767_603_600)),
            ("2024-02-29T12:00:00+01:00", Some(1_709_204_400)),
            ("2023-02-29T12:00:00Z", None),
            ("2026-13-01T00:00:00Z", None),
            ("2026-01-05", None),
            ("1969-12-31T23:59:59Z", None),
        ] {
            assert_eq!(timestamp(text), expected, "{text}");
        }
    }
}
