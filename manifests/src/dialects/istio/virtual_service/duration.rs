//! Lengths of time as Istio writes them.

use proxy_core::origin::Sourced;
use proxy_core::time::Duration;

use crate::diagnostics::Diagnostic;
use crate::dialects::Compile;
use crate::text::Spanned;

/// The least that Istio's validation takes, source: istio `pkg/config/validation/agent/validation.go` (`ValidateDuration`).
const LEAST: Duration = Duration::from_millis(1);

/// Go's `1h2m3.5s`; none when it is no length of time, or a negative one. Source: Go `time.ParseDuration`.
pub(super) fn parse(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest.is_empty() {
        return None;
    }
    let mut nanos = 0_u64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
        let (number, tail) = rest.split_at(digits);
        let letters = tail
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        nanos = nanos.checked_add(part(number, scale(unit)?)?)?;
        rest = tail;
    }
    Some(Duration::from_nanos(nanos))
}

fn scale(unit: &str) -> Option<u64> {
    Some(match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    })
}

fn part(number: &str, scale: u64) -> Option<u64> {
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

/// A length of time of at least a millisecond; anything else is an error.
pub(super) fn positive(text: &Spanned<String>, cx: &mut Compile<'_>) -> Option<Sourced<Duration>> {
    let duration = parse(text).filter(|duration| *duration >= LEAST);
    if duration.is_none() {
        refuse(text, cx);
    }
    Some(Sourced::new(duration?, cx.origins.written(text.span)))
}

/// The same, or zero, which stands for none.
pub(super) fn or_off(text: &Spanned<String>, cx: &mut Compile<'_>) -> Option<Sourced<Duration>> {
    let duration = parse(text).filter(|duration| duration.is_zero() || *duration >= LEAST);
    if duration.is_none() {
        refuse(text, cx);
    }
    Some(Sourced::new(duration?, cx.origins.written(text.span)))
}

fn refuse(text: &Spanned<String>, cx: &mut Compile<'_>) {
    let message = format!("`{text}` is no length of time of 1ms or more");
    cx.diagnostics.push(
        Diagnostic::error("istio::duration", message)
            .label(text.span, "this value")
            .help("write a number and a unit, such as `500ms` or `1m30s`"),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_written_as_in_go() {
        for (text, nanos) in [
            ("0", Some(0)),
            ("0s", Some(0)),
            ("2s", Some(2_000_000_000)),
            ("1m30s", Some(90_000_000_000)),
            ("1.5h", Some(5_400_000_000_000)),
            (".5ms", Some(500_000)),
            ("+3us", Some(3_000)),
            ("7ns", Some(7)),
            ("", None),
            ("+", None),
            ("5", None),
            ("-1s", None),
            ("1d", None),
            ("s", None),
            ("1..5s", None),
            (".s", None),
            ("1 s", None),
            ("99999999999999999999s", None),
        ] {
            assert_eq!(parse(text), nanos.map(Duration::from_nanos), "{text:?}");
        }
    }
}
