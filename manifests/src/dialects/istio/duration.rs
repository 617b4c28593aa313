//! Lengths of time as Istio's resources write them.

use proxy_core::time::Duration;

/// A length of time in Go's form (`1h30m`, `500ms`, `1.5s`); none when it is not one, or negative.
///
/// Source: istio/istio `pkg/util/protomarshal` reads durations of resources with Go's `time.ParseDuration`.
pub(super) fn parse(text: &str) -> Option<Duration> {
    let text = text.strip_prefix('+').unwrap_or(text);
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
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_gos() {
        let rows = [
            ("0", Some(0)),
            ("0s", Some(0)),
            ("25ms", Some(25_000_000)),
            ("1.5s", Some(1_500_000_000)),
            (".5s", Some(500_000_000)),
            ("1h1m1s", Some(3_661_000_000_000)),
            ("10us", Some(10_000)),
            ("", None),
            ("10", None),
            ("s", None),
            ("-1s", None),
            ("1 s", None),
            ("1d", None),
            ("1.2.3s", None),
            ("99999999999h", None),
        ];
        for (text, nanos) in rows {
            assert_eq!(parse(text), nanos.map(Duration::from_nanos), "{text}");
        }
    }
}
