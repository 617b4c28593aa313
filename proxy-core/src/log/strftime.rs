//! Points in time in words, as `strftime` and Envoy's additions to it ask for them. UTC.

/// How a point in time is written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TimeFormat(Vec<TimePiece>);

/// A part of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TimePiece {
    /// As it is.
    Text(Box<str>),
    /// A number, filled up to a width.
    Number(TimeNumber, Fill),
    /// `Mon`, or `Monday`.
    Weekday {
        /// In full.
        long: bool,
    },
    /// `Jan`, or `January`.
    Month {
        /// In full.
        long: bool,
    },
    /// `AM` or `PM`.
    HalfDay,
    /// Digits behind the second's point; the second before it if asked for.
    Fraction(u8),
    /// Seconds since 1970.
    Epoch,
}

/// What a number counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum TimeNumber {
    /// Years.
    Year,
    /// Years of the century.
    ShortYear,
    /// Centuries.
    Century,
    /// Months, from 1.
    Month,
    /// Days of the month.
    Day,
    /// Days of the year, from 1.
    YearDay,
    /// Days of the week, Monday 1.
    WeekdayFromMonday,
    /// Days of the week, Sunday 0.
    WeekdayFromSunday,
    /// Hours.
    Hour,
    /// Hours of the half day, 12 for 0.
    HalfDayHour,
    /// Minutes.
    Minute,
    /// Seconds.
    Second,
}

/// How a number is filled up.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Fill {
    /// Not at all.
    None,
    /// With zeros to this width.
    Zeros(u8),
    /// With blanks to this width.
    Blanks(u8),
}

/// What is asked for and not known.
pub(super) type Unknown = Box<str>;

impl TimeFormat {
    /// `2018-04-03T23:06:09.123Z`: what there is where nothing is asked for.
    #[must_use]
    pub fn standard() -> Self {
        Self::parse("%Y-%m-%dT%H:%M:%E3SZ").0
    }

    /// Reads a format; what it asks for and is not known stays as it is written.
    #[must_use]
    pub fn parse(text: &str) -> (Self, Vec<Unknown>) {
        let mut reader = Reader {
            pieces: Vec::new(),
            unknown: Vec::new(),
        };
        reader.read(text, 0);
        (Self(reader.pieces), reader.unknown)
    }

    /// Its parts.
    #[must_use]
    pub fn pieces(&self) -> &[TimePiece] {
        &self.0
    }
}

struct Reader {
    pieces: Vec<TimePiece>,
    unknown: Vec<Unknown>,
}

impl Reader {
    fn text(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        if let Some(TimePiece::Text(before)) = self.pieces.last_mut() {
            *before = format!("{before}{text}").into();
        } else {
            self.pieces.push(TimePiece::Text(text.into()));
        }
    }

    fn read(&mut self, text: &str, depth: u8) {
        let mut rest = text;
        while let Some(at) = rest.find('%') {
            self.text(&rest[..at]);
            rest = &rest[at..];
            let taken = self.specifier(rest, depth);
            rest = &rest[taken..];
        }
        self.text(rest);
    }

    /// Takes what begins with a percent sign; gives its length.
    fn specifier(&mut self, text: &str, depth: u8) -> usize {
        let bytes = text.as_bytes();
        let digit = |at: usize| bytes.get(at).copied().filter(u8::is_ascii_digit);
        match (bytes.get(1), bytes.get(2), bytes.get(3)) {
            (Some(b'E'), Some(b'z'), _) => {
                self.text("+00:00");
                3
            }
            (Some(b'E'), Some(b'4'), Some(b'Y')) => {
                self.number(TimeNumber::Year, Fill::Zeros(4));
                4
            }
            (Some(b'E'), Some(b'*' | b'0'..=b'9'), Some(b'S')) => {
                self.number(TimeNumber::Second, Fill::Zeros(2));
                let digits = digit(2).map_or(9, |d| d - b'0');
                if digits > 0 {
                    self.text(".");
                    self.pieces.push(TimePiece::Fraction(digits));
                }
                4
            }
            (Some(b'E'), Some(b'*' | b'1'..=b'9'), Some(b'f')) => {
                let digits = digit(2).map_or(9, |d| d - b'0');
                self.pieces.push(TimePiece::Fraction(digits));
                4
            }
            (Some(d @ b'1'..=b'9'), Some(b'f'), _) => {
                self.pieces.push(TimePiece::Fraction(*d - b'0'));
                3
            }
            (Some(_), _, _) => {
                let letter = text[1..].chars().next().unwrap_or('%');
                let length = 1 + letter.len_utf8();
                if !self.letter(letter, depth) {
                    self.unknown.push(text[..length].into());
                    self.text(&text[..length]);
                }
                length
            }
            (None, _, _) => {
                self.text("%");
                1
            }
        }
    }

    fn number(&mut self, number: TimeNumber, fill: Fill) {
        self.pieces.push(TimePiece::Number(number, fill));
    }

    /// Whether the letter is known.
    fn letter(&mut self, letter: char, depth: u8) -> bool {
        use TimeNumber::*;
        let number = match letter {
            'Y' => (Year, Fill::None),
            'y' => (ShortYear, Fill::Zeros(2)),
            'C' => (Century, Fill::Zeros(2)),
            'm' => (Month, Fill::Zeros(2)),
            'd' => (Day, Fill::Zeros(2)),
            'e' => (Day, Fill::Blanks(2)),
            'j' => (YearDay, Fill::Zeros(3)),
            'u' => (WeekdayFromMonday, Fill::None),
            'w' => (WeekdayFromSunday, Fill::None),
            'H' => (Hour, Fill::Zeros(2)),
            'k' => (Hour, Fill::Blanks(2)),
            'I' => (HalfDayHour, Fill::Zeros(2)),
            'l' => (HalfDayHour, Fill::Blanks(2)),
            'M' => (Minute, Fill::Zeros(2)),
            'S' => (Second, Fill::Zeros(2)),
            _ => return self.other_letter(letter, depth),
        };
        self.number(number.0, number.1);
        true
    }

    fn other_letter(&mut self, letter: char, depth: u8) -> bool {
        let long = match letter {
            'a' => TimePiece::Weekday { long: false },
            'A' => TimePiece::Weekday { long: true },
            'b' | 'h' => TimePiece::Month { long: false },
            'B' => TimePiece::Month { long: true },
            'p' => TimePiece::HalfDay,
            'f' => TimePiece::Fraction(9),
            's' => TimePiece::Epoch,
            _ => {
                let text = match letter {
                    '%' => "%",
                    't' => "\t",
                    'Z' => "UTC",
                    'z' => "+0000",
                    _ => return depth == 0 && self.compound(letter),
                };
                self.text(text);
                return true;
            }
        };
        self.pieces.push(long);
        true
    }

    fn compound(&mut self, letter: char) -> bool {
        let stands_for = match letter {
            'T' | 'X' => "%H:%M:%S",
            'R' => "%H:%M",
            'r' => "%I:%M:%S %p",
            'F' => "%Y-%m-%d",
            'D' | 'x' => "%m/%d/%y",
            'c' => "%a %b %e %H:%M:%S %Y",
            _ => return false,
        };
        self.read(stands_for, 1);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_stays_as_it_is_written() {
        let (format, unknown) = TimeFormat::parse("a%Qb%%%");
        assert_eq!(unknown, ["%Q".into()] as [Box<str>; 1]);
        assert_eq!(format.pieces(), [TimePiece::Text("a%Qb%%".into())]);
    }

    #[test]
    fn fractions_have_as_many_digits_as_are_asked_for() {
        for (text, digits) in [("%f", 9), ("%3f", 3), ("%6f", 6), ("%E2f", 2), ("%E*f", 9)] {
            let (format, unknown) = TimeFormat::parse(text);
            assert!(unknown.is_empty(), "{text}");
            assert_eq!(format.pieces(), [TimePiece::Fraction(digits)], "{text}");
        }
    }
}
