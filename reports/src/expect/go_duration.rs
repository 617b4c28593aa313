//! Durations as Go and CEL write them.

const UNITS: [(&str, f64); 8] = [
    ("ns", 1.0),
    ("us", 1e3),
    ("µs", 1e3),
    ("μs", 1e3),
    ("ms", 1e6),
    ("s", 1e9),
    ("m", 60e9),
    ("h", 3600e9),
];

/// Nanoseconds of `400ms`, `1m30s`, `1.5h` or `0`; none for anything else, negative ones included.
///
/// Source: Go's `time.ParseDuration`, which CEL's `duration()` follows.
#[must_use]
pub fn parse_go(text: &str) -> Option<f64> {
    if text == "0" {
        return Some(0.0);
    }
    let mut rest = text;
    let mut total = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit = rest.find(|c: char| c.is_ascii_digit() || c == '.');
        let unit = unit.unwrap_or(rest.len());
        let (_, nanos) = UNITS.iter().find(|(name, _)| *name == &rest[..unit])?;
        total += number * nanos;
        rest = &rest[unit..];
    }
    // A century: beyond it integer nanoseconds end.
    (!text.is_empty() && total <= 3.2e18).then_some(total)
}

/// The shortest way that Go would read back: `1m30s`, `400ms`.
#[must_use]
pub fn format_go(nanos: u64) -> String {
    let (seconds, rest) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
    if seconds == 0 && rest > 0 {
        return match rest {
            n if n.is_multiple_of(1_000_000) => format!("{}ms", n / 1_000_000),
            n if n.is_multiple_of(1_000) => format!("{}us", n / 1_000),
            n => format!("{n}ns"),
        };
    }
    let mut text = String::new();
    for (unit, size) in [("h", 3600), ("m", 60)] {
        let count = if size == 3600 {
            seconds / 3600
        } else {
            seconds % 3600 / 60
        };
        if count > 0 {
            text.push_str(&format!("{count}{unit}"));
        }
    }
    let last = seconds % 60;
    if rest > 0 {
        let fraction = format!("{rest:09}");
        text.push_str(&format!("{last}.{}s", fraction.trim_end_matches('0')));
    } else if last > 0 || text.is_empty() {
        text.push_str(&format!("{last}s"));
    }
    text
}
