//! Kong's `rate-limiting` with the policy `local`: so many requests from one turn of the clock to the next.
//!
//! Windows begin where the calendar has them begin, in UTC, so that twice the limit may pass about a turn. A request is looked at by all of
//! its windows before it is counted, and what is refused is not counted.
//!
//! Source: kong `kong/plugins/rate-limiting/handler.lua`, `policies/init.lua`, `expiration.lua`; `kong/tools/timestamp.lua`.
//! Departs: requests are counted when they are let pass, not a turn of the event loop later.

use smallvec::SmallVec;

use crate::words::Words;

/// A length of windows.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
#[repr(u8)]
pub enum Period {
    /// A second.
    Second,
    /// A minute.
    Minute,
    /// An hour.
    Hour,
    /// A day.
    Day,
    /// A month of the calendar.
    Month,
    /// A year of the calendar.
    Year,
}

/// A window as it lies on the clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Window {
    /// Tells it from the others of its length; never 0.
    number: u32,
    /// The second of the Unix epoch at which it began.
    begin: u64,
}

const DAY: u64 = 86_400;

impl Period {
    /// Every length, from the shortest to the longest.
    pub const ALL: [Self; 6] = [
        Self::Second,
        Self::Minute,
        Self::Hour,
        Self::Day,
        Self::Month,
        Self::Year,
    ];

    /// How long the source takes it to be, in seconds: a month has 30 days.
    const fn seconds(self) -> u64 {
        match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 3_600,
            Self::Day => DAY,
            Self::Month => 30 * DAY,
            Self::Year => 365 * DAY,
        }
    }

    /// The headers of its limit and of what is left of it.
    const fn headers(self) -> (&'static str, &'static str) {
        match self {
            Self::Second => ("x-ratelimit-limit-second", "x-ratelimit-remaining-second"),
            Self::Minute => ("x-ratelimit-limit-minute", "x-ratelimit-remaining-minute"),
            Self::Hour => ("x-ratelimit-limit-hour", "x-ratelimit-remaining-hour"),
            Self::Day => ("x-ratelimit-limit-day", "x-ratelimit-remaining-day"),
            Self::Month => ("x-ratelimit-limit-month", "x-ratelimit-remaining-month"),
            Self::Year => ("x-ratelimit-limit-year", "x-ratelimit-remaining-year"),
        }
    }

    /// The window that holds a second of the Unix epoch.
    fn window(self, unix: u64) -> Window {
        let (year, month, first_of_month, first_of_year) = match self {
            Self::Month | Self::Year => calendar(unix / DAY),
            Self::Second | Self::Minute | Self::Hour | Self::Day => (0, 0, 0, 0),
        };
        let (number, begin) = match self {
            Self::Second | Self::Minute | Self::Hour | Self::Day => {
                let number = unix / self.seconds();
                (number, number * self.seconds())
            }
            Self::Month => (year * 12 + month, first_of_month * DAY),
            Self::Year => (year, first_of_year * DAY),
        };
        Window {
            // what does not fit lies beyond the year 2106
            number: (number as u32).wrapping_add(1),
            begin,
        }
    }
}

/// Year, month from 0, and the days since 1970 at which both began, of a day since 1970, by the Gregorian calendar.
///
/// Source: H. Hinnant, "chrono-compatible low-level date algorithms" (`civil_from_days`).
const fn calendar(day: u64) -> (u64, u64, u64, u64) {
    let shifted = day + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    // years begin with March here
    let march = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * march + 2) / 5;
    let (month, next) = if march < 10 {
        (march + 2, 0)
    } else {
        (march - 10, 1)
    };
    let year = year + era * 400 + next;
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let before = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334][month as usize];
    let leap_day = if leap && month > 1 { 1 } else { 0 };
    let first = day - of_month;
    (year, month, first, first - before - leap_day)
}

/// Limits by length of window.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Windows {
    /// So many requests in a window of this length; a length stands once.
    pub limits: Vec<(Period, u64)>,
    /// Whether clients are told of the limits (Kong: unless `hide_client_headers`).
    pub tells: bool,
}

/// What came of a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reading {
    /// Whether it may pass.
    pub admitted: bool,
    /// Limits, and what is left of them.
    rows: SmallVec<[(Period, u64, u64); 6]>,
    /// Limit, what is left of it, and seconds until it begins anew, of the window with the least left.
    tightest: Option<(u64, u64, u64)>,
}

impl Windows {
    /// Words of the counts of one key: one for each length.
    pub const WORDS: usize = Period::ALL.len();

    /// Looks at a request at a second of the Unix epoch, and counts it where it may pass. The words begin at `at`.
    #[must_use]
    pub fn take(&self, words: &mut impl Words, at: usize, unix: u64) -> Reading {
        let used = |period: Period| {
            let word = words.get(at + period as usize);
            match word >> 32 == u64::from(period.window(unix).number) {
                true => word & COUNT,
                false => 0,
            }
        };
        let left = |(period, limit): &(Period, u64)| {
            (*period, *limit, limit.saturating_sub(used(*period)))
        };
        let mut rows: SmallVec<[(Period, u64, u64); 6]> = self.limits.iter().map(left).collect();
        let admitted = rows.iter().all(|(_, _, left)| *left > 0);
        if admitted {
            for (period, _, left) in &mut rows {
                *left -= 1;
                let number = u64::from(period.window(unix).number);
                words.update(at + *period as usize, |word| {
                    let count = if word >> 32 == number {
                        word & COUNT
                    } else {
                        0
                    };
                    number << 32 | (count + 1).min(COUNT)
                });
            }
        }
        // the least left, and of several the longest
        let tightest = rows.iter().min_by(|a, b| a.2.cmp(&b.2).then(b.0.cmp(&a.0)));
        let tightest = tightest.map(|(period, limit, left)| {
            let passed = unix - period.window(unix).begin;
            (
                *limit,
                *left,
                period.seconds().saturating_sub(passed).max(1),
            )
        });
        Reading {
            admitted,
            rows,
            tightest,
        }
    }

    /// Whether nothing would be lost if the counts were forgotten.
    pub(crate) fn is_spare(words: &impl Words, at: usize, unix: u64) -> bool {
        Period::ALL.iter().all(|period| {
            let word = words.get(at + *period as usize);
            word >> 32 != u64::from(period.window(unix).number)
        })
    }
}

/// The bits of a word that count; the others have the window's number.
const COUNT: u64 = (1 << 32) - 1;

impl Reading {
    /// What the client is told of it.
    pub fn headers(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let rows = self.rows.iter().flat_map(|(period, limit, left)| {
            let (of_limit, of_rest) = period.headers();
            [(of_limit, *limit), (of_rest, *left)]
        });
        let tightest = self.tightest.into_iter().flat_map(|(limit, left, reset)| {
            [
                ("ratelimit-limit", limit),
                ("ratelimit-remaining", left),
                ("ratelimit-reset", reset),
            ]
        });
        let retry = self.tightest.filter(|_| !self.admitted);
        let retry = retry.map(|(_, _, reset)| ("retry-after", reset));
        rows.chain(tightest).chain(retry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// 2026-01-05T09:00:00Z, a Monday.
    const MORNING: u64 = 1_767_603_600;

    fn windows(limits: &[(Period, u64)]) -> Windows {
        Windows {
            limits: limits.to_vec(),
            tells: true,
        }
    }

    fn passed(windows: &Windows, seconds: &[u64]) -> Vec<bool> {
        let mut words = vec![0_u64; Windows::WORDS];
        let take = |s: &u64| windows.take(&mut words, 0, *s).admitted;
        seconds.iter().map(take).collect()
    }

    #[test]
    fn twice_the_limit_may_pass_about_a_turn_of_the_clock() {
        let two = windows(&[(Period::Minute, 2)]);
        let seconds = [59, 59, 59, 60, 60, 60, 119, 120].map(|s| MORNING + s);
        assert_eq!(
            passed(&two, &seconds),
            [true, true, false, true, true, false, false, true]
        );
    }

    #[test]
    fn every_window_has_to_let_it_pass_and_what_one_refuses_none_counts() {
        let both = windows(&[(Period::Second, 1), (Period::Minute, 3)]);
        let seconds = [0, 0, 0, 1, 2, 3].map(|s| MORNING + s);
        assert_eq!(
            passed(&both, &seconds),
            [true, false, false, true, true, false],
            "three in the minute, and the two refused do not count"
        );
    }

    #[test]
    fn months_and_years_are_those_of_the_calendar() {
        // days since 1970 of the first of the month and of the year
        let rows = [
            ("1970-01-01", 0, (1970, 0, 0, 0)),
            ("1970-12-31", 364, (1970, 11, 334, 0)),
            ("2000-02-29", 11_016, (2000, 1, 10_988, 10_957)),
            ("2000-03-01", 11_017, (2000, 2, 11_017, 10_957)),
            ("2026-01-05", 20_458, (2026, 0, 20_454, 20_454)),
            ("2100-03-01", 47_541, (2100, 2, 47_541, 47_482)),
        ];
        for (name, day, want) in rows {
            assert_eq!(calendar(day), want, "{name}");
        }
    }

    #[test]
    fn a_month_that_ends_gives_the_whole_limit_back() {
        let one = windows(&[(Period::Month, 1)]);
        let (january, february) = (MORNING + 26 * DAY, MORNING + 27 * DAY);
        assert_eq!(
            passed(&one, &[january, january, february]),
            [true, false, true]
        );
    }

    #[test]
    fn clients_are_told_of_every_limit_and_of_the_tightest() {
        let both = windows(&[(Period::Minute, 10), (Period::Hour, 10)]);
        let mut words = vec![0_u64; Windows::WORDS];
        let reading = both.take(&mut words, 0, MORNING + 61);
        let told: Vec<_> = reading.headers().collect();
        assert_eq!(
            told,
            [
                ("x-ratelimit-limit-minute", 10),
                ("x-ratelimit-remaining-minute", 9),
                ("x-ratelimit-limit-hour", 10),
                ("x-ratelimit-remaining-hour", 9),
                ("ratelimit-limit", 10),
                ("ratelimit-remaining", 9),
                ("ratelimit-reset", 3_539),
            ],
            "of two with as much left the longer"
        );
    }

    #[test]
    fn a_refusal_says_when_to_come_again() {
        let one = windows(&[(Period::Minute, 1)]);
        let mut words = vec![0_u64; Windows::WORDS];
        let _ = one.take(&mut words, 0, MORNING + 10);
        let told: Vec<_> = one.take(&mut words, 0, MORNING + 20).headers().collect();
        let expected = [
            ("x-ratelimit-limit-minute", 1),
            ("x-ratelimit-remaining-minute", 0),
            ("ratelimit-limit", 1),
            ("ratelimit-remaining", 0),
            ("ratelimit-reset", 40),
            ("retry-after", 40),
        ];
        assert_eq!(told, expected);
        // a month counts as 30 days, so that on the 31st it is over
        let month = windows(&[(Period::Month, 0)]);
        let last: Vec<_> = month
            .take(&mut words, 0, MORNING + 26 * DAY)
            .headers()
            .collect();
        assert_eq!(last.last(), Some(&("retry-after", 1)));
    }

    #[test]
    fn counts_of_windows_that_are_over_may_be_forgotten() {
        let both = windows(&[(Period::Second, 5), (Period::Hour, 5)]);
        let mut words = vec![0_u64; Windows::WORDS];
        let _ = both.take(&mut words, 0, MORNING);
        assert!(!Windows::is_spare(&words, 0, MORNING + 3_599));
        assert!(Windows::is_spare(&words, 0, MORNING + 3_600));
    }

    proptest! {
        #[test]
        fn no_window_lets_more_pass_than_its_limit(
            second in 1_u64..4, minute in 4_u64..30, gaps in prop::collection::vec(0_u64..3, 1..200)
        ) {
            let both = windows(&[(Period::Second, second), (Period::Minute, minute)]);
            let mut words = vec![0_u64; Windows::WORDS];
            let mut now = MORNING;
            let mut counts = std::collections::BTreeMap::new();
            for gap in gaps {
                now += gap;
                let keys = [(1, now), (60, now / 60)];
                let used = keys.map(|key| counts.get(&key).copied().unwrap_or(0_u64));
                let admitted = both.take(&mut words, 0, now).admitted;
                prop_assert_eq!(admitted, used[0] < second && used[1] < minute);
                if admitted {
                    for key in keys {
                        *counts.entry(key).or_default() += 1;
                    }
                }
            }
        }
    }
}
