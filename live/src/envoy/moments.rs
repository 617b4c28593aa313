//! Moments of the wall clock in logs, and the run's own time.

use proxy_core::time::Time;
use serde::{Deserialize, Deserializer, de};

/// Nanoseconds since 1970.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Moment(pub(crate) u64);

/// The moment at which the time of a run began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Epoch(pub(crate) Moment);

impl Epoch {
    /// What was before is of the first moment.
    pub(super) const fn time(self, at: Moment) -> Time {
        Time::from_nanos(at.0.saturating_sub(self.0.0))
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let found = seconds(&text).or_else(|| rfc3339(&text));
        found.ok_or_else(|| de::Error::custom(format!("`{text}` is no moment")))
    }
}

/// `1796038459.237285000`.
fn seconds(text: &str) -> Option<Moment> {
    let (whole, rest) = text.split_once('.')?;
    nanos(whole.parse().ok()?, rest)
}

/// `2026-11-30T11:34:19.472Z`. Source: Howard Hinnant, "chrono-compatible low-level date algorithms" (2013).
fn rfc3339(text: &str) -> Option<Moment> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let mut date = date.splitn(3, '-').map(|part| part.parse::<u64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let (time, rest) = time.split_once('.').unwrap_or((time, "0"));
    let mut time = time.splitn(3, ':').map(|part| part.parse::<u64>().ok());
    let (hour, minute, second) = (time.next()??, time.next()??, time.next()??);
    // years begin in March
    let year = if month <= 2 {
        year.checked_sub(1)?
    } else {
        year
    };
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day.checked_sub(1)?;
    let (era, of_era) = (year / 400, year % 400);
    let day = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    let days = day.checked_sub(719_468)?;
    nanos(((days * 24 + hour) * 60 + minute) * 60 + second, rest)
}

fn nanos(seconds: u64, rest: &str) -> Option<Moment> {
    let digits = u32::try_from(rest.len()).ok().filter(|count| *count <= 9)?;
    let rest: u64 = rest.parse().ok()?;
    let whole = seconds.checked_mul(1_000_000_000)?;
    Some(Moment(whole.checked_add(rest * 10_u64.pow(9 - digits))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read() {
        for (text, nanos) in [
            ("\"1796038459.237285000\"", Some(1_796_038_459_237_285_000)),
            ("\"1970-01-01T00:00:00Z\"", Some(0)),
            ("\"2000-02-29T00:00:00.5Z\"", Some(951_782_400_500_000_000)),
            (
                "\"2026-11-30T11:34:19.472Z\"",
                Some(1_796_038_459_472_000_000),
            ),
            ("\"yesterday\"", None),
            ("\"1.1234567890\"", None),
        ] {
            let read = serde_json::from_str::<Moment>(text).ok();
            assert_eq!(read, nanos.map(Moment), "{text}");
        }
    }
}
