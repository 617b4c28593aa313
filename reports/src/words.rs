//! Numbers and moments as a reader wants them: three significant figures, and the unit that reads shortest.

use crate::verdict::Unit;

/// A figure with its unit: `412 ms`, `1.2 k/s`, `99.5 %`, `2.1×`.
#[must_use]
pub fn quantity(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Nanos => duration(value),
        Unit::Share => share(value),
        Unit::PerSecond => rate(value),
        Unit::Factor => format!("{}×", significant(value)),
        Unit::Count => count(value),
    }
}

/// A difference: with its sign, a share in percentage points.
#[must_use]
pub fn difference(value: f64, unit: Unit) -> String {
    let sign = if value < 0.0 {
        "−"
    } else if value > 0.0 {
        "+"
    } else {
        "±"
    };
    let size = value.abs();
    let text = match unit {
        Unit::Share => format!("{} pp", significant(size * 100.0)),
        Unit::Nanos | Unit::PerSecond | Unit::Factor | Unit::Count => quantity(size, unit),
    };
    format!("{sign}{text}")
}

/// Nanoseconds.
#[must_use]
pub fn duration(nanos: f64) -> String {
    let size = nanos.abs();
    if size < 0.5 {
        "0 s".to_owned()
    } else if size < 999.5 {
        format!("{} ns", significant(nanos))
    } else if size < 999.5e3 {
        format!("{} µs", significant(nanos / 1e3))
    } else if size < 999.5e6 {
        format!("{} ms", significant(nanos / 1e6))
    } else if size < 120e9 {
        format!("{} s", significant(nanos / 1e9))
    } else if size < 7_200e9 {
        format!("{} min", significant(nanos / 60e9))
    } else {
        format!("{} h", significant(nanos / 3_600e9))
    }
}

/// A second.
#[must_use]
pub fn rate(value: f64) -> String {
    let (number, prefix) = scaled(value);
    format!("{number} {prefix}/s")
}

/// A count; it has a fraction when it is the mean over seeds.
#[must_use]
pub fn count(value: f64) -> String {
    if value.abs() >= 99_999.5 {
        let (number, prefix) = scaled(value);
        return format!("{number} {prefix}");
    }
    if value.fract() != 0.0 && value.abs() < 999.5 {
        return significant(value);
    }
    grouped(value)
}

/// A share of one in per cent; what is missing to 100 % keeps two figures, since 99.9 % and 99.99 % are not alike.
#[must_use]
pub fn share(value: f64) -> String {
    let percent = value * 100.0;
    let missing = 100.0 - percent;
    if missing > 0.0 && percent > 99.0 {
        let decimals = (1 - libm::floor(libm::log10(missing)) as i32).clamp(1, 6);
        let text = format!("{percent:.*}", decimals as usize);
        return format!("{} %", text.trim_end_matches('0').trim_end_matches('.'));
    }
    format!("{} %", significant(percent))
}

fn scaled(value: f64) -> (String, &'static str) {
    let size = value.abs();
    if size < 999.5 {
        (significant(value), "")
    } else if size < 999.5e3 {
        (significant(value / 1e3), "k")
    } else if size < 999.5e6 {
        (significant(value / 1e6), "M")
    } else {
        (significant(value / 1e9), "G")
    }
}

/// Three significant figures, without zeros that say nothing.
#[must_use]
pub fn significant(value: f64) -> String {
    let size = value.abs();
    if size == 0.0 || !size.is_finite() {
        return if size == 0.0 {
            "0".into()
        } else {
            "∞".into()
        };
    }
    if size < 5e-4 {
        return "0".to_owned();
    }
    if size >= 999.5 {
        return grouped(value);
    }
    let decimals = if size >= 99.95 {
        0
    } else if size >= 9.995 {
        1
    } else if size >= 0.0995 {
        2
    } else {
        3
    };
    let text = format!("{size:.decimals$}");
    let text = if decimals > 0 {
        text.trim_end_matches('0').trim_end_matches('.')
    } else {
        &text
    };
    let minus = if value < 0.0 { "−" } else { "" };
    format!("{minus}{text}")
}

fn grouped(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    let minus = if value < 0.0 && digits != "0" {
        "−"
    } else {
        ""
    };
    format!("{minus}{text}")
}

/// A moment to the tenth of a second: `00:31.2`, `1:02:03.4`.
#[must_use]
pub fn moment(nanos: u64) -> String {
    let tenths = nanos.saturating_add(50_000_000) / 100_000_000;
    format!("{}.{}", clock(tenths / 10), tenths % 10)
}

/// A moment to the second: `00:31`, `1:02:03`.
#[must_use]
pub fn clock(seconds: u64) -> String {
    let (h, m, s) = (seconds / 3600, seconds % 3600 / 60, seconds % 60);
    if h > 0 {
        format!("{h}:{m:02}:{s:02}")
    } else {
        format!("{m:02}:{s:02}")
    }
}

/// A moment on an axis whose ticks are `step` apart: tenths and less only where the ticks need them.
#[must_use]
pub fn tick(nanos: u64, step: u64) -> String {
    let clock = clock(nanos / 1_000_000_000);
    let decimals = match step {
        0..10_000_000 => 3,
        10_000_000..100_000_000 => 2,
        100_000_000..1_000_000_000 => 1,
        _ => return clock,
    };
    let fraction = format!("{:09}", nanos % 1_000_000_000);
    format!("{clock}.{}", &fraction[..decimals])
}

/// `one`, or `n` of the plural.
#[must_use]
pub fn plural(n: u64, one: &str, many: &str) -> String {
    let number = count(n as f64);
    format!("{number} {}", if n == 1 { one } else { many })
}

/// Numbers as they follow each other: `1 to 5`, `7 to 14 and 17`.
#[must_use]
pub fn ranges(numbers: &[u64]) -> String {
    let follows = |a: &u64, b: &u64| a.checked_add(1) == Some(*b);
    let mut parts = Vec::new();
    for run in numbers.chunk_by(follows) {
        match run {
            [] => {}
            [only] => parts.push(only.to_string()),
            [first, second] => parts.extend([first.to_string(), second.to_string()]),
            [first, .., last] => parts.push(format!("{first} to {last}")),
        }
    }
    list(&parts)
}

/// `a`, `a and b`, `a, b and c`.
#[must_use]
pub fn list(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_three_digits_and_a_unit() {
        let rows = [
            (412e6, Unit::Nanos, "412 ms"),
            (1_204e6, Unit::Nanos, "1.2 s"),
            (999.6e6, Unit::Nanos, "1 s"),
            (83_120e6, Unit::Nanos, "83.1 s"),
            (600e9, Unit::Nanos, "10 min"),
            (1_500.0, Unit::Nanos, "1.5 µs"),
            (0.0, Unit::Nanos, "0 s"),
            (1_234.0, Unit::PerSecond, "1.23 k/s"),
            (299.97, Unit::PerSecond, "300 /s"),
            (0.0, Unit::PerSecond, "0 /s"),
            (0.5, Unit::Share, "50 %"),
            (0.99987, Unit::Share, "99.987 %"),
            (0.995, Unit::Share, "99.5 %"),
            (1.0, Unit::Share, "100 %"),
            (0.0, Unit::Share, "0 %"),
            (0.0123, Unit::Share, "1.23 %"),
            (2.134, Unit::Factor, "2.13×"),
            (1.0, Unit::Factor, "1×"),
            (12_345.0, Unit::Count, "12,345"),
            (1_234_567.0, Unit::Count, "1.23 M"),
            (2.5, Unit::Count, "2.5"),
        ];
        for (value, unit, text) in rows {
            assert_eq!(quantity(value, unit), text, "{value}");
        }
    }

    #[test]
    fn numbers_that_follow_each_other_are_a_range_and_others_are_listed() {
        for (numbers, text) in [
            (vec![1, 2, 3], "1 to 3"),
            (vec![7, 8, 9, 10, 11, 12, 13, 14, 17], "7 to 14 and 17"),
            (vec![3, 4], "3 and 4"),
            (vec![9, 3, 1, 2, 3], "9, 3 and 1 to 3"),
            (vec![u64::MAX, 0, 1], "18446744073709551615, 0 and 1"),
        ] {
            assert_eq!(ranges(&numbers), text);
        }
    }

    #[test]
    fn differences_have_a_sign() {
        assert_eq!(difference(-3e6, Unit::Nanos), "−3 ms");
        assert_eq!(difference(0.012, Unit::Share), "+1.2 pp");
        assert_eq!(difference(0.0, Unit::Count), "±0");
    }

    #[test]
    fn moments_are_minutes_and_seconds_from_the_start() {
        assert_eq!(moment(31_240_000_000), "00:31.2");
        assert_eq!(moment(59_960_000_000), "01:00.0");
        assert_eq!(moment(3_723_400_000_000), "1:02:03.4");
        assert_eq!(tick(1_250_000_000, 50_000_000), "00:01.25");
        assert_eq!(tick(90_000_000_000, 10_000_000_000), "01:30");
    }
}
