//! Scalars as Kuma's resources have them.

use std::fmt;

use proxy_core::time::Duration;
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};

/// A length of time in Go's words: `16s`, `1h30m`, `1.5s`, `0`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Length(pub Duration);

/// A number, written as a whole one or, with a fraction, as text. Source: kumahq/kuma `api/common/v1alpha1` (`IntOrString`).
#[derive(Clone, Copy, PartialEq, PartialOrd, Debug)]
pub struct Number(pub f64);

impl<'de> Deserialize<'de> for Length {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(LengthText)
    }
}

struct LengthText;

impl Visitor<'_> for LengthText {
    type Value = Length;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a length of time such as `500ms` or `1m30s`")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Length, E> {
        length(text)
            .map(Length)
            .ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(text), &self))
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NumberOrText)
    }
}

struct NumberOrText;

impl Visitor<'_> for NumberOrText {
    type Value = Number;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number, or a number in quotes")
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Number, E> {
        Ok(Number(value as f64))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Number, E> {
        Ok(Number(value as f64))
    }

    fn visit_i128<E: Error>(self, value: i128) -> Result<Number, E> {
        Ok(Number(value as f64))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Number, E> {
        let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
        number
            .map(Number)
            .ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(text), &self))
    }
}

/// A length of time; none when it is not one.
///
/// Source: Go `time.ParseDuration`, but for negative ones, which Kuma refuses everywhere.
fn length(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut nanos = 0_u64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
        let (number, tail) = rest.split_at(digits);
        let letters = tail
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        nanos = nanos.checked_add(part(number, unit)?)?;
        rest = tail;
    }
    (!text.is_empty()).then(|| Duration::from_nanos(nanos))
}

fn part(number: &str, unit: &str) -> Option<u64> {
    let scale: u64 = match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return None;
    }
    let whole: u64 = if whole.is_empty() {
        0
    } else {
        whole.parse().ok()?
    };
    let mut total = whole.checked_mul(scale)?;
    let mut place = scale;
    for digit in fraction.bytes().take(18) {
        place /= 10;
        total = total.checked_add(u64::from(digit - b'0') * place)?;
    }
    Some(total)
}

/// How much a second, as `10kbps`, `5 Mbps` or `1Gbps`, in bits; none when it is no such thing.
///
/// Source: kumahq/kuma `pkg/core/validators/common_validators.go` (`BandwidthRegex`).
pub(super) fn bandwidth(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let scale = match unit.trim_start() {
        "kbps" => 1_000,
        "Mbps" => 1_000_000,
        "Gbps" => 1_000_000_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_gos() {
        for (text, millis) in [
            ("0", 0),
            ("0s", 0),
            ("25ms", 25),
            ("16s", 16_000),
            ("1m30s", 90_000),
            ("1.5s", 1_500),
            (".5s", 500),
            ("1h2m3s4ms", 3_723_004),
        ] {
            assert_eq!(length(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for wrong in [
            "",
            "5",
            "s",
            "1d",
            "-1s",
            "1..5s",
            ".s",
            "x",
            "99999999999999999999s",
        ] {
            assert_eq!(length(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn bandwidths_have_a_unit() {
        for (text, bits) in [
            ("10kbps", Some(10_000)),
            ("5 Mbps", Some(5_000_000)),
            ("1Gbps", Some(1_000_000_000)),
            ("1bps", None),
            ("1mbps", None),
            ("kbps", None),
            ("-1kbps", None),
            ("", None),
        ] {
            assert_eq!(bandwidth(text), bits, "{text}");
        }
    }
}
