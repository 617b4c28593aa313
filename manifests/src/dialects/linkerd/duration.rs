//! Lengths of time as Linkerd and the Gateway API write them.

use proxy_core::time::Duration;

/// Whether several parts may stand together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Whole {
    /// One whole number and a unit (Linkerd's annotations; source: `parse_duration` of its policy controller), `d` among the units.
    Only,
    /// Go's `1h2m3s4ms` with whole numbers (GEP-2257), and fractions as `1.5s` (Go's `time.ParseDuration`, ServiceProfiles).
    Parts,
}

/// A length of time; none when it is not one.
#[must_use]
pub fn parse(text: &str, form: Whole) -> Option<Duration> {
    let text = text.trim();
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut nanos = 0_u64;
    let mut parts = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
        let (number, tail) = rest.split_at(digits);
        let letters = tail
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        nanos = nanos.checked_add(part(number, unit, form)?)?;
        rest = tail;
        parts += 1;
    }
    let fits = match form {
        Whole::Only => parts == 1,
        Whole::Parts => parts > 0,
    };
    fits.then(|| Duration::from_nanos(nanos))
}

fn part(number: &str, unit: &str, form: Whole) -> Option<u64> {
    let scale: u64 = match (unit, form) {
        ("ns", Whole::Parts) => 1,
        ("us" | "µs", Whole::Parts) => 1_000,
        ("ms", _) => 1_000_000,
        ("s", _) => 1_000_000_000,
        ("m", _) => 60_000_000_000,
        ("h", _) => 3_600_000_000_000,
        ("d", Whole::Only) => 86_400_000_000_000,
        _ => return None,
    };
    let (whole, fraction) = match number.split_once('.') {
        Some(_) if form == Whole::Only => return None,
        Some((whole, fraction)) => (whole, fraction),
        None => (number, ""),
    };
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
    fn annotations_take_one_whole_number_and_a_unit() {
        for (text, millis) in [
            ("0", 0),
            ("25ms", 25),
            ("3s", 3_000),
            ("2m", 120_000),
            ("1h", 3_600_000),
            ("1d", 86_400_000),
            (" 5s ", 5_000),
        ] {
            assert_eq!(
                parse(text, Whole::Only),
                Some(Duration::from_millis(millis)),
                "{text}"
            );
        }
        for wrong in [
            "",
            "s",
            "5",
            "1.5s",
            "1m30s",
            "-1s",
            "5us",
            "5 s",
            "99999999999999999999s",
        ] {
            assert_eq!(parse(wrong, Whole::Only), None, "{wrong}");
        }
    }

    #[test]
    fn specs_take_several_parts_and_fractions() {
        for (text, millis) in [
            ("1m30s", 90_000),
            ("1.5s", 1_500),
            ("250ms", 250),
            ("1h2m3s4ms", 3_723_004),
            (".5s", 500),
        ] {
            assert_eq!(
                parse(text, Whole::Parts),
                Some(Duration::from_millis(millis)),
                "{text}"
            );
        }
        for wrong in ["", "5", "1d", ".s", "1..5s", "x"] {
            assert_eq!(parse(wrong, Whole::Parts), None, "{wrong}");
        }
    }
}
