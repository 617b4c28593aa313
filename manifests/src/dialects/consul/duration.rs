//! Lengths of time as Go writes them, which may be below zero.

use proxy_core::origin::Sourced;
use proxy_core::time::Duration;

use crate::diagnostics::Diagnostic;
use crate::dialects::Compile;
use crate::text::Spanned;

/// A length of time, or one below zero, which stands for no bound.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Length {
    /// Nothing: as if it were not written.
    Zero,
    /// So long.
    Some(Duration),
    /// Below zero.
    Negative,
}

/// Reads a length of time; none when it is not written or is none, which is reported.
pub(super) fn length(
    text: Option<&Spanned<String>>,
    cx: &mut Compile<'_>,
) -> Option<Sourced<Length>> {
    let text = text?;
    let Some(length) = parse(text) else {
        cx.diagnostics.push(
            Diagnostic::error("consul::duration", format!("`{text}` is no length of time"))
                .label(text.span, "this value")
                .help("write numbers with units, such as `500ms` or `1m30s`"),
        );
        return None;
    };
    Some(Sourced::new(length, cx.origins.written(text.span)))
}

/// Reads one that must not be below zero; zero is as if it were not written.
pub(super) fn positive(
    text: Option<&Spanned<String>>,
    cx: &mut Compile<'_>,
) -> Option<Sourced<Duration>> {
    let Sourced { value, origin } = length(text, cx)?;
    match value {
        Length::Zero => None,
        Length::Some(length) => Some(Sourced::new(length, origin)),
        Length::Negative => {
            if let Some(text) = text {
                super::notes::bad_value(text.span, "must not be below zero", cx.diagnostics);
            }
            None
        }
    }
}

/// Source: Go `time.ParseDuration`.
fn parse(text: &str) -> Option<Length> {
    let (negative, rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let nanos = if rest == "0" { 0 } else { nanos(rest)? };
    Some(match (nanos, negative) {
        (0, _) => Length::Zero,
        (_, true) => Length::Negative,
        (nanos, false) => Length::Some(Duration::from_nanos(nanos)),
    })
}

fn nanos(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut total = 0_u64;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
        let (number, tail) = rest.split_at(end);
        let letters = tail
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        total = total.checked_add(part(number, unit)?)?;
        rest = tail;
    }
    (!text.is_empty()).then_some(total)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_read_as_go_reads_them() {
        let some = |millis| Some(Length::Some(Duration::from_millis(millis)));
        for (text, expected) in [
            ("0", Some(Length::Zero)),
            ("0s", Some(Length::Zero)),
            ("250ms", some(250)),
            ("1.5s", some(1_500)),
            ("+2s", some(2_000)),
            ("1m30s", some(90_000)),
            ("1h", some(3_600_000)),
            (".5s", some(500)),
            ("-1s", Some(Length::Negative)),
            ("-0s", Some(Length::Zero)),
            ("", None),
            ("5", None),
            ("5 s", None),
            ("1d", None),
            ("1..5s", None),
            ("s", None),
            ("99999999999999999999s", None),
        ] {
            assert_eq!(parse(text), expected, "{text:?}");
        }
    }
}
