//! Lengths of time.

use proxy_core::time::Duration;

/// A length of time: one to four whole numbers of at most five digits, each with `h`, `m`, `s` or `ms`; none when it is not one.
///
/// Source: GEP-2257.
#[must_use]
pub fn parse(text: &str) -> Option<Duration> {
    let (mut rest, mut parts, mut total) = (text, 0, 0_u64);
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, tail) = rest.split_at(digits);
        if number.is_empty() || number.len() > 5 {
            return None;
        }
        let letters = tail.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, tail) = tail.split_at(letters);
        let scale: u64 = match unit {
            "h" => 3_600_000,
            "m" => 60_000,
            "s" => 1_000,
            "ms" => 1,
            _ => return None,
        };
        total += number.parse::<u64>().ok()? * scale;
        parts += 1;
        rest = tail;
    }
    (1..=4)
        .contains(&parts)
        .then(|| Duration::from_millis(total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_numbers_with_units() {
        let rows = [
            ("0s", Some(0)),
            ("1h", Some(3_600_000)),
            ("10m", Some(600_000)),
            ("1h2m3s4ms", Some(3_723_004)),
            ("4ms3s", Some(3_004)),
            ("99999h", Some(359_996_400_000)),
            ("100000s", None),
            ("1h1h1h1h1h", None),
            ("1.5s", None),
            ("-1s", None),
            ("1", None),
            ("s", None),
            ("1d", None),
            ("", None),
            ("1é", None),
        ];
        for (text, want) in rows {
            let want = want.map(Duration::from_millis);
            assert_eq!(parse(text), want, "{text}");
        }
    }
}
