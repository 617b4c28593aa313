//! Lengths of time as Traefik writes them: Go's (`1m30s`, `100ms`), and whole numbers of seconds.
//!
//! Source: traefik/paerser `types/duration.go`, Go `time.ParseDuration`.

use proxy_core::time::Duration;

const UNITS: &[(&str, u128)] = &[
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// The length that a text means; none: it is none, or is negative.
pub(super) fn parse(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.parse::<u32>() {
        return Some(Duration::from_secs(seconds.into()));
    }
    let (mut nanos, mut rest) = (0_u128, text);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(digits);
        let letters = after.find(|c: char| c.is_ascii_digit() || c == '.');
        let (unit, next) = after.split_at(letters.unwrap_or(after.len()));
        let (_, unit) = UNITS.iter().find(|(name, _)| *name == unit)?;
        nanos = nanos.checked_add(scaled(number, *unit)?)?;
        rest = next;
    }
    let nanos = u64::try_from(nanos).ok()?;
    (!text.is_empty() && i64::try_from(nanos).is_ok()).then(|| Duration::from_nanos(nanos))
}

fn scaled(number: &str, unit: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    let whole: u128 = if whole.is_empty() {
        0
    } else {
        whole.parse().ok()?
    };
    let fraction: String = fraction.chars().take(12).collect();
    let parts: u128 = if fraction.is_empty() {
        0
    } else {
        fraction.parse().ok()?
    };
    let scale = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    whole.checked_mul(unit)?.checked_add(parts * unit / scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_gos_or_seconds() {
        for (text, millis) in [
            ("10", Some(10_000)),
            ("0", Some(0)),
            ("100ms", Some(100)),
            ("1m30s", Some(90_000)),
            ("1.5s", Some(1_500)),
            (".5s", Some(500)),
            ("1h", Some(3_600_000)),
            ("", None),
            ("-1s", None),
            ("1", Some(1_000)),
            ("1.5", None),
            ("1d", None),
            ("s", None),
            ("1..5s", None),
            ("99999999999999999999s", None),
        ] {
            let found = parse(text);
            assert_eq!(found, millis.map(Duration::from_millis), "{text}");
        }
    }
}
