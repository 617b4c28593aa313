//! What a plain scalar means.

use super::Value;

/// Resolves a plain (unquoted) scalar by the YAML 1.2 core schema.
///
/// Source: YAML 1.2.2 §10.3.2. Departs: a whole number with a leading zero is octal when its digits allow (`0644` is 420), which is
/// what `kubectl` makes of it (sigs.k8s.io/yaml). `yes`, `no`, `on` and `off` are strings.
pub(super) fn resolve(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ => number(text).unwrap_or_else(|| Value::String(text.to_owned())),
    }
}

/// Resolves a scalar under an explicit core-schema tag such as `!!int`; `None` when the text does not fit the tag.
pub(super) fn resolve_as(tag: &str, text: &str) -> Option<Value> {
    let plain = resolve(text);
    match (tag, plain) {
        ("str" | "binary" | "timestamp", _) => Some(Value::String(text.to_owned())),
        ("float", Value::Int(value)) => Some(Value::Float(value as f64)),
        ("null", value @ Value::Null)
        | ("bool", value @ Value::Bool(_))
        | ("int", value @ Value::Int(_))
        | ("float", value @ Value::Float(_)) => Some(value),
        _ => None,
    }
}

fn number(text: &str) -> Option<Value> {
    let (sign, digits) = match text.as_bytes().first()? {
        b'-' => (-1, &text[1..]),
        b'+' => (1, &text[1..]),
        b'0'..=b'9' | b'.' => (1, text),
        _ => return None,
    };
    match digits {
        ".inf" | ".Inf" | ".INF" => return Some(Value::Float(f64::from(sign) * f64::INFINITY)),
        ".nan" | ".NaN" | ".NAN" if digits.len() == text.len() => {
            return Some(Value::Float(f64::NAN));
        }
        _ => {}
    }
    for (prefix, radix) in [("0x", 16), ("0o", 8)] {
        if let Some(rest) = digits.strip_prefix(prefix) {
            return whole(sign, rest, radix);
        }
    }
    if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        let octal =
            digits.len() > 1 && digits.starts_with('0') && digits.bytes().all(|byte| byte < b'8');
        return whole(sign, digits, if octal { 8 } else { 10 });
    }
    is_float(digits).then(|| text.parse().ok().map(Value::Float))?
}

/// Numbers too large for 128 bits become floats; only decimal ones do.
fn whole(sign: i32, digits: &str, radix: u32) -> Option<Value> {
    if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(radix)) {
        return None;
    }
    match i128::from_str_radix(digits, radix) {
        Ok(value) => Some(Value::Int(i128::from(sign) * value)),
        Err(_) if radix == 10 => digits
            .parse()
            .ok()
            .map(|value: f64| Value::Float(f64::from(sign) * value)),
        Err(_) => None,
    }
}

/// `[0-9]+ ("." [0-9]*)? exponent?` or `"." [0-9]+ exponent?`; the sign is already off.
fn is_float(text: &str) -> bool {
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let exponent_fits = exponent.is_none_or(|part| {
        let part = part.strip_prefix(['-', '+']).unwrap_or(part);
        !part.is_empty() && digits(part)
    });
    !(whole.is_empty() && fraction.is_empty()) && digits(whole) && digits(fraction) && exponent_fits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_follow_the_core_schema() {
        let string = |text: &str| Value::String(text.to_owned());
        for (text, expected) in [
            ("", Value::Null),
            ("~", Value::Null),
            ("Null", Value::Null),
            ("true", Value::Bool(true)),
            ("FALSE", Value::Bool(false)),
            ("yes", string("yes")),
            ("on", string("on")),
            ("80", Value::Int(80)),
            ("-1", Value::Int(-1)),
            ("+7", Value::Int(7)),
            ("0644", Value::Int(420)),
            ("089", Value::Int(89)),
            ("0x1F", Value::Int(31)),
            ("0o17", Value::Int(15)),
            ("0x", string("0x")),
            ("1.5", Value::Float(1.5)),
            ("1.", Value::Float(1.0)),
            (".5", Value::Float(0.5)),
            ("-1e3", Value::Float(-1000.0)),
            ("1e", string("1e")),
            (".", string(".")),
            ("-", string("-")),
            ("-.inf", Value::Float(f64::NEG_INFINITY)),
            ("1.2.3", string("1.2.3")),
            ("10.0.0.1", string("10.0.0.1")),
            ("1_000", string("1_000")),
            ("2m", string("2m")),
            ("12:30", string("12:30")),
            ("inf", string("inf")),
            ("nan", string("nan")),
        ] {
            assert_eq!(resolve(text), expected, "{text:?}");
        }
        assert!(matches!(resolve(".nan"), Value::Float(value) if value.is_nan()));
        let huge = "9".repeat(60);
        assert!(matches!(resolve(&huge), Value::Float(value) if value > 1e59));
    }

    #[test]
    fn an_explicit_tag_decides_and_must_fit() {
        assert_eq!(resolve_as("str", "1"), Some(Value::String("1".to_owned())));
        assert_eq!(resolve_as("int", "1"), Some(Value::Int(1)));
        assert_eq!(resolve_as("float", "1"), Some(Value::Float(1.0)));
        assert_eq!(resolve_as("int", "x"), None);
    }
}
