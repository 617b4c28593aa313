//! Lengths of time as systems take them.

use proxy_core::time::Duration;

const MILLI: u64 = 1_000_000;
const UNITS: [(&str, u64); 4] = [
    ("h", 3_600_000 * MILLI),
    ("m", 60_000 * MILLI),
    ("s", 1_000 * MILLI),
    ("ms", MILLI),
];

/// Whole units from the longest down: `1m30s`, `500ms`; `0s` for none. The Gateway API's form (GEP-2257), which Go reads, too. What is
/// below a millisecond is rounded up to one, what is longer than it can say to the longest.
pub(crate) fn whole(duration: Duration) -> String {
    // five digits of hours are the longest
    let longest = 99_999 * UNITS[0].1;
    let mut rest = duration.as_nanos().min(longest);
    if !rest.is_multiple_of(MILLI) {
        rest = (rest / MILLI + 1) * MILLI;
    }
    if rest == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (unit, length) in UNITS {
        if rest >= length {
            text.push_str(&format!("{}{unit}", rest / length));
            rest %= length;
        }
    }
    text
}

/// One whole number with the longest unit that it has one of: `90s`, `1500ms`. Linkerd's form.
pub(crate) fn single(duration: Duration) -> String {
    let millis = duration.as_nanos().div_ceil(MILLI);
    if millis == 0 {
        return "0s".to_owned();
    }
    let whole = UNITS
        .iter()
        .find(|(_, length)| millis.is_multiple_of(length / MILLI));
    let (unit, length) = whole.unwrap_or(&UNITS[3]);
    format!("{}{unit}", millis / (length / MILLI))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_written_in_whole_units() {
        let rows = [
            (0, "0s", "0s"),
            (1, "1ms", "1ms"),
            (500 * MILLI, "500ms", "500ms"),
            (1_500 * MILLI, "1s500ms", "1500ms"),
            (90_000 * MILLI, "1m30s", "90s"),
            (3_600_000 * MILLI, "1h", "1h"),
            (7_200_000 * MILLI + 1, "2h1ms", "7200001ms"),
        ];
        for (nanos, parts, one) in rows {
            let duration = Duration::from_nanos(nanos);
            assert_eq!(whole(duration), parts, "{nanos}");
            assert_eq!(single(duration), one, "{nanos}");
        }
        assert_eq!(whole(Duration::MAX), "99999h");
    }

    #[test]
    fn the_gateway_api_reads_what_is_written() {
        for millis in [1, 250, 1_000, 61_001, 3_723_004] {
            let duration = Duration::from_millis(millis);
            let read = manifests::gateway_api::parse_duration(&whole(duration));
            assert_eq!(read, Some(duration), "{millis}");
        }
    }
}
