//! Lengths of time as texts.

use proxy_core::time::Duration;

use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::text::Spanned;

/// A length as Envoy's API writes it: seconds, perhaps with a fraction, and `s`. Anything else is an error, as it is to Envoy.
pub(super) fn seconds(written: &Spanned<String>, out: &mut Diagnostics) -> Option<Duration> {
    let length = written.strip_suffix('s').and_then(parse_number);
    if length.is_none() {
        out.push(
            Diagnostic::error(
                "emissary::duration",
                format!("`{written}` is no number of seconds"),
            )
            .label(written.span, "this length")
            .help("write `2s` or `0.25s`: Envoy takes no other unit here"),
        );
    }
    length
}

/// A length as Go writes it: `1m30s`, `500ms`.
pub(super) fn go(written: &Spanned<String>, out: &mut Diagnostics) -> Option<Duration> {
    let length = parse_go(written);
    if length.is_none() {
        out.push(
            Diagnostic::error(
                "emissary::duration",
                format!("`{written}` is no length of time"),
            )
            .label(written.span, "this length")
            .help("write `5s` or `500ms`"),
        );
    }
    length
}

fn parse_go(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut all = 0_u64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
        let (number, tail) = rest.split_at(digits);
        let letters = tail.find(|c: char| c.is_ascii_digit() || c == '.');
        let (unit, tail) = tail.split_at(letters.unwrap_or(tail.len()));
        let scale = match unit {
            "ns" => 1e-9,
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        let part = parse_number(number)?.as_nanos();
        all = all.checked_add(Duration::from_nanos(part).scale(scale).as_nanos())?;
        rest = tail;
    }
    (!text.is_empty()).then(|| Duration::from_nanos(all))
}

/// A number of seconds to the nanosecond.
fn parse_number(text: &str) -> Option<Duration> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) || fraction.len() > 9 {
        return None;
    }
    let nanos: u64 = format!("{fraction:0<9}").parse().ok()?;
    let whole: u64 = whole.parse().ok()?;
    Some(Duration::from_nanos(
        whole.checked_mul(1_000_000_000)?.checked_add(nanos)?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Span;

    fn length(
        read: fn(&Spanned<String>, &mut Diagnostics) -> Option<Duration>,
        text: &str,
    ) -> Option<u64> {
        let mut out = Diagnostics::default();
        let length = read(&Spanned::new(text.to_owned(), Span::NOWHERE), &mut out);
        assert_eq!(length.is_none(), out.has_errors(), "{text}");
        length.map(Duration::as_millis)
    }

    #[test]
    fn envoy_takes_seconds_alone() {
        for (text, millis) in [
            ("2s", Some(2_000)),
            ("0.25s", Some(250)),
            ("0s", Some(0)),
            ("250ms", None),
            ("1m", None),
            ("1", None),
            ("s", None),
            (".5s", None),
            ("-1s", None),
            ("", None),
            ("99999999999999999999s", None),
        ] {
            assert_eq!(length(seconds, text), millis, "{text}");
        }
    }

    #[test]
    fn probes_have_lengths_as_go_writes_them() {
        for (text, millis) in [
            ("5s", Some(5_000)),
            ("1m30s", Some(90_000)),
            ("1.5s", Some(1_500)),
            ("250ms", Some(250)),
            ("1h", Some(3_600_000)),
            ("0", Some(0)),
            ("5", None),
            ("5d", None),
            ("", None),
        ] {
            assert_eq!(length(go, text), millis, "{text}");
        }
    }
}
