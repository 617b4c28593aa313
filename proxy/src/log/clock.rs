//! Points in time as calendars have them. UTC.

use std::io::Write as _;

use proxy_core::log::{Fill, TimeNumber};
use proxy_core::log::{TimeFormat, TimePiece};
use proxy_core::time::Time;

/// When a node's time began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    /// Nanoseconds since 1970.
    pub(crate) epoch: u64,
}

/// A point in time.
struct Moment {
    seconds: u64,
    nanos: u32,
    year: u64,
    month: u64,
    day: u64,
    year_day: u64,
    /// From Sunday.
    weekday: u64,
}

const DAY: u64 = 86_400;
const WEEKDAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

impl Clock {
    /// The moment when its time begins, as the process's own words are dated: `2026-01-05 09:00:00.000`.
    pub(crate) fn stamp(self) -> String {
        let moment = Moment::of(self.epoch);
        let of_day = moment.seconds % DAY;
        format!(
            "{:04}-{:02}-{:02} {:02}:{:02}:{:02}.{:03}",
            moment.year,
            moment.month,
            moment.day,
            of_day / 3600,
            of_day / 60 % 60,
            of_day % 60,
            moment.nanos / 1_000_000,
        )
    }

    /// The same as a timestamp of protobuf's JSON: `2026-01-05T09:00:00Z`.
    pub(crate) fn timestamp(self) -> String {
        let moment = Moment::of(self.epoch);
        let of_day = moment.seconds % DAY;
        format!(
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
            moment.year,
            moment.month,
            moment.day,
            of_day / 3600,
            of_day / 60 % 60,
            of_day % 60,
        )
    }

    /// Writes a moment as it is asked for.
    pub(super) fn write(self, at: Time, format: &TimeFormat, out: &mut Vec<u8>) {
        let moment = Moment::of(self.epoch.saturating_add(at.as_nanos()));
        for piece in format.pieces() {
            moment.write(piece, out);
        }
    }
}

/// A point in time since 1970 as Kubernetes writes it: `2026-01-05T09:00:00Z`.
pub(crate) fn rfc3339(since_epoch: core::time::Duration) -> String {
    let nanos = u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX);
    let moment = Moment::of(nanos);
    let of_day = moment.seconds % DAY;
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
        moment.year,
        moment.month,
        moment.day,
        of_day / 3600,
        of_day / 60 % 60,
        of_day % 60
    )
}

impl Moment {
    fn of(nanos: u64) -> Self {
        let seconds = nanos / 1_000_000_000;
        let days = seconds / DAY;
        let mut year = 1970;
        let mut left = days;
        // four hundred years have as many days each
        let rounds = left / 146_097;
        year += rounds * 400;
        left -= rounds * 146_097;
        while left >= days_of(year) {
            left -= days_of(year);
            year += 1;
        }
        let year_day = left;
        let mut month = 1;
        while left >= days_of_month(year, month) {
            left -= days_of_month(year, month);
            month += 1;
        }
        Self {
            seconds,
            nanos: (nanos % 1_000_000_000) as u32,
            year,
            month,
            day: left + 1,
            year_day: year_day + 1,
            // 1 January 1970 was a Thursday
            weekday: (days + 4) % 7,
        }
    }

    fn number(&self, number: TimeNumber) -> u64 {
        let of_day = self.seconds % DAY;
        match number {
            TimeNumber::Year => self.year,
            TimeNumber::ShortYear => self.year % 100,
            TimeNumber::Century => self.year / 100,
            TimeNumber::Month => self.month,
            TimeNumber::Day => self.day,
            TimeNumber::YearDay => self.year_day,
            TimeNumber::WeekdayFromMonday => (self.weekday + 6) % 7 + 1,
            TimeNumber::WeekdayFromSunday => self.weekday,
            TimeNumber::Hour => of_day / 3600,
            TimeNumber::HalfDayHour => (of_day / 3600 + 11) % 12 + 1,
            TimeNumber::Minute => of_day / 60 % 60,
            TimeNumber::Second => of_day % 60,
        }
    }

    fn write(&self, piece: &TimePiece, out: &mut Vec<u8>) {
        let named = |name: &'static str, long: bool| if long { name } else { &name[..3] };
        // a vector takes all that is written
        let _ = match piece {
            TimePiece::Text(text) => out.write_all(text.as_bytes()),
            TimePiece::Number(number, fill) => {
                let number = self.number(*number);
                match *fill {
                    Fill::None => write!(out, "{number}"),
                    Fill::Zeros(width) => write!(out, "{number:0width$}", width = width as usize),
                    Fill::Blanks(width) => write!(out, "{number:width$}", width = width as usize),
                }
            }
            TimePiece::Weekday { long } => {
                let name = named(WEEKDAYS[self.weekday as usize], *long);
                out.write_all(name.as_bytes())
            }
            TimePiece::Month { long } => {
                let name = named(MONTHS[self.month as usize - 1], *long);
                out.write_all(name.as_bytes())
            }
            TimePiece::HalfDay => {
                let afternoon = self.seconds % DAY >= DAY / 2;
                out.write_all(if afternoon { b"PM" } else { b"AM" })
            }
            TimePiece::Fraction(digits) => {
                let digits = usize::from(*digits);
                let all = format!("{:09}", self.nanos);
                out.write_all(&all.as_bytes()[..digits.min(9)])
            }
            TimePiece::Epoch => write!(out, "{}", self.seconds),
        };
    }
}

const fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

const fn days_of(year: u64) -> u64 {
    if is_leap(year) { 366 } else { 365 }
}

const fn days_of_month(year: u64, month: u64) -> u64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(nanos: u64, format: &str) -> String {
        let mut out = Vec::new();
        let clock = Clock { epoch: nanos };
        clock.write(Time::ZERO, &TimeFormat::parse(format).0, &mut out);
        String::from_utf8(out).expect("letters")
    }

    /// What `date -u` says.
    #[test]
    fn moments_are_those_of_the_calendar() {
        for (seconds, want) in [
            (0, "1970-01-01 00:00:00 Thu 001"),
            (951_782_399, "2000-02-28 23:59:59 Mon 059"),
            (951_782_400, "2000-02-29 00:00:00 Tue 060"),
            (1_709_164_800, "2024-02-29 00:00:00 Thu 060"),
            (1_735_689_599, "2024-12-31 23:59:59 Tue 366"),
            (4_107_542_400, "2100-03-01 00:00:00 Mon 060"),
            (13_574_563_200, "2400-02-29 00:00:00 Tue 060"),
        ] {
            let nanos: u64 = seconds * 1_000_000_000;
            assert_eq!(written(nanos, "%F %T %a %j"), want);
        }
    }

    #[test]
    fn formats_are_written_as_they_ask() {
        let nanos = 1_796_024_690_803_525_001;
        for (format, want) in [
            (
                "%s.%3f %f %E6S %E*f",
                "1796024690.803 803525001 50.803525 803525001",
            ),
            (
                "%A %B %e %I %l %p %y %C %u %w",
                "Monday November 30 07  7 AM 26 20 1 1",
            ),
            (
                "%D %R %r %c",
                "11/30/26 07:44 07:44:50 AM Mon Nov 30 07:44:50 2026",
            ),
            ("%z %Z %Ez %%", "+0000 UTC +00:00 %"),
        ] {
            assert_eq!(written(nanos, format), want, "{format}");
        }
        let standard = TimeFormat::standard();
        let mut out = Vec::new();
        Clock { epoch: nanos }.write(Time::ZERO, &standard, &mut out);
        assert_eq!(out, b"2026-11-30T07:44:50.803Z");
    }
}
