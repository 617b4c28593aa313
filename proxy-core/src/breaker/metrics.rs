//! What a breaker knows of the latest results: counts over ten seconds, latencies over a minute.
//!
//! Source: vulcand/oxy 2.2 `memmetrics/roundtrip.go`, `counter.go`, `histogram.go`; HdrHistogram/hdrhistogram-go 1.1 `hdr.go`.

use super::expression::{Expression, Metric};
use crate::time::{Duration, Time};
use crate::words::Words;

/// Seconds that counts go back, the present one included; each second of the wall clock has its count.
const SECONDS: u64 = 10;
/// Latencies lie in so many rows, of which a new one begins with the first result ten seconds after the last did.
const ROWS: usize = 6;
const ROW_LASTS: Duration = Duration::from_secs(10);
/// Values up to 2^32 µs with two significant digits: 256 steps of 1 µs, then 128 for each doubling.
const CELLS: usize = 26 * HALF;
const HALF: usize = 128;

/// Where the measurements of an expression are.
///
/// Layout: ten words of all results, ten of network errors, and twice ten for each ratio of codes; a word has the second of the Unix epoch
/// above and its count below, 32 bits each. Then, where latencies are asked for, the present row, the moment at which it began (one more),
/// the sum of all counts, the rows, and their sums.
#[derive(Clone, Copy, Debug)]
pub(super) struct Metrics<'e> {
    at: usize,
    expression: &'e Expression,
}

/// The value of a metric.
pub(super) trait Reading {
    /// That of one that counts milliseconds or requests.
    fn whole(&self, metrics: &Metrics<'_>, metric: Metric) -> i64;
    /// That of a ratio.
    fn ratio(&self, metrics: &Metrics<'_>, metric: Metric) -> f64;
}

/// Words read at one second of the Unix epoch.
pub(super) struct Present<'w, W> {
    pub(super) words: &'w W,
    pub(super) unix: u64,
}

impl<'e> Metrics<'e> {
    pub(super) const fn new(at: usize, expression: &'e Expression) -> Self {
        Self { at, expression }
    }

    /// How many words they take.
    pub(super) fn words(expression: &Expression) -> usize {
        let counts = (2 + 2 * expression.ratios().len()) * SECONDS as usize;
        let latency = if expression.asks_latency() {
            3 + (ROWS + 1) * CELLS
        } else {
            0
        };
        counts + latency
    }

    const fn total(&self) -> usize {
        self.at
    }

    const fn errors(&self) -> usize {
        self.at + SECONDS as usize
    }

    const fn codes(&self, ratio: usize) -> usize {
        self.at + (2 + 2 * ratio) * SECONDS as usize
    }

    fn latencies(&self) -> usize {
        self.codes(self.expression.ratios().len())
    }

    /// Takes a result in.
    pub(super) fn record(
        &self,
        words: &mut impl Words,
        status: u16,
        took: Duration,
        now: Time,
        unix: u64,
    ) {
        count(words, self.total(), unix);
        if matches!(status, 502 | 504) {
            count(words, self.errors(), unix);
        }
        for (i, ratio) in self.expression.ratios().iter().enumerate() {
            let within = |range: (i64, i64)| (range.0..range.1).contains(&i64::from(status));
            if within(ratio.of) {
                count(words, self.codes(i), unix);
            }
            if within(ratio.among) {
                count(words, self.codes(i) + SECONDS as usize, unix);
            }
        }
        if self.expression.asks_latency() {
            self.record_latency(words, took, now);
        }
    }

    fn record_latency(&self, words: &mut impl Words, took: Duration, now: Time) {
        let at = self.latencies();
        let begun = words.get(at + 1);
        let lasts = now.since(Time::from_nanos(begun.saturating_sub(1)));
        if (begun == 0 || lasts >= ROW_LASTS) && words.replace_if(at + 1, begun, now.as_nanos() + 1)
        {
            self.begin_row(words);
        }
        let Some(cell) = cell(took.as_nanos() / 1_000) else {
            return;
        };
        let row = words.get(at) as usize % ROWS;
        words.add(at + 3 + row * CELLS + cell, 1);
        words.add(at + 3 + ROWS * CELLS + cell, 1);
        words.add(at + 2, 1);
    }

    fn begin_row(&self, words: &mut impl Words) {
        let at = self.latencies();
        let row = (words.get(at) as usize + 1) % ROWS;
        words.set(at, row as u64);
        for cell in 0..CELLS {
            let (old, _) = words.update(at + 3 + row * CELLS + cell, |_| 0);
            if old > 0 {
                words.update(at + 3 + ROWS * CELLS + cell, |sum| sum.saturating_sub(old));
                words.update(at + 2, |sum| sum.saturating_sub(old));
            }
        }
    }

    /// Forgets everything.
    pub(super) fn reset(&self, words: &mut impl Words, now: Time) {
        words.clear(self.at, Self::words(self.expression));
        if self.expression.asks_latency() {
            words.set(self.latencies() + 1, now.as_nanos() + 1);
        }
    }

    /// The latency in microseconds that this per cent of the results stayed within.
    fn latency(&self, words: &impl Words, percent: f64) -> u64 {
        let at = self.latencies();
        let all = words.get(at + 2);
        let wanted = (percent.min(100.0) / 100.0 * all as f64 + 0.5) as u64;
        if wanted == 0 {
            return 0;
        }
        let mut passed = 0;
        let mut last = 0;
        for cell in 0..CELLS {
            let count = words.get(at + 3 + ROWS * CELLS + cell);
            if count > 0 {
                (passed, last) = (passed + count, cell);
            }
            if passed >= wanted {
                break;
            }
        }
        greatest(last)
    }
}

impl<W: Words> Reading for Present<'_, W> {
    fn whole(&self, metrics: &Metrics<'_>, metric: Metric) -> i64 {
        let number = match metric {
            Metric::LatencyAtQuantile(percent) => metrics.latency(self.words, percent) / 1_000,
            Metric::RequestThreshold => sum(self.words, metrics.total(), self.unix),
            Metric::NetworkErrorRatio | Metric::ResponseCodeRatio(_) => 0,
        };
        i64::try_from(number).unwrap_or(i64::MAX)
    }

    fn ratio(&self, metrics: &Metrics<'_>, metric: Metric) -> f64 {
        let counted = |at| sum(self.words, at, self.unix);
        let (of, among) = match metric {
            Metric::NetworkErrorRatio => (counted(metrics.errors()), counted(metrics.total())),
            Metric::ResponseCodeRatio(i) => {
                let at = metrics.codes(i);
                (counted(at), counted(at + SECONDS as usize))
            }
            Metric::LatencyAtQuantile(_) | Metric::RequestThreshold => (0, 0),
        };
        if among == 0 {
            0.0
        } else {
            of as f64 / among as f64
        }
    }
}

/// Counts one more in a second.
fn count(words: &mut impl Words, at: usize, unix: u64) {
    words.update(at + (unix % SECONDS) as usize, |word| {
        if word >> 32 == unix & LOW {
            word + 1
        } else {
            unix << 32 | 1
        }
    });
}

/// The count of the latest seconds.
fn sum(words: &impl Words, at: usize, unix: u64) -> u64 {
    let now = unix & LOW;
    let word = |i| words.get(at + i);
    let fresh = |word: &u64| {
        let second = word >> 32;
        second <= now && now - second < SECONDS
    };
    (0..SECONDS as usize)
        .map(word)
        .filter(fresh)
        .map(|word| word & LOW)
        .sum()
}

const LOW: u64 = (1 << 32) - 1;

/// The cell of a value; none: it is too great.
const fn cell(value: u64) -> Option<usize> {
    let doublings = 64 - (value | 255).leading_zeros() - 8;
    let cell = (doublings as usize) * HALF + (value >> doublings) as usize;
    if cell < CELLS { Some(cell) } else { None }
}

/// The greatest value of a cell.
const fn greatest(cell: usize) -> u64 {
    if cell < 2 * HALF {
        return cell as u64;
    }
    let doublings = cell / HALF - 1;
    let step = (cell - doublings * HALF) as u64;
    ((step + 1) << doublings) - 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn second(s: u64) -> Time {
        Time::ZERO + Duration::from_secs(s)
    }

    struct Bench {
        expression: Expression,
        words: Vec<u64>,
    }

    impl Bench {
        fn of(text: &str) -> Self {
            let expression = Expression::parse(text).unwrap();
            Self {
                words: vec![0; Metrics::words(&expression)],
                expression,
            }
        }

        fn record(&mut self, status: u16, took: Duration, s: u64) {
            let metrics = Metrics::new(0, &self.expression);
            metrics.record(&mut self.words, status, took, second(s), 1_000 + s);
        }

        fn ratio(&self, metric: Metric, s: u64) -> f64 {
            let present = Present {
                words: &self.words,
                unix: 1_000 + s,
            };
            present.ratio(&Metrics::new(0, &self.expression), metric)
        }

        fn whole(&self, metric: Metric, s: u64) -> i64 {
            let present = Present {
                words: &self.words,
                unix: 1_000 + s,
            };
            present.whole(&Metrics::new(0, &self.expression), metric)
        }
    }

    #[test]
    fn counts_go_back_ten_seconds_of_the_wall_clock() {
        let mut bench = Bench::of("NetworkErrorRatio() > 0.5");
        bench.record(502, Duration::ZERO, 5);
        bench.record(200, Duration::ZERO, 9);
        bench.record(504, Duration::ZERO, 9);
        bench.record(503, Duration::ZERO, 9);
        let all = |s| bench.whole(Metric::RequestThreshold, s);
        assert_eq!([9, 14, 15, 18, 19].map(all), [4, 4, 3, 3, 0]);
        assert_eq!(bench.ratio(Metric::NetworkErrorRatio, 9), 0.5);
        assert_eq!(bench.ratio(Metric::NetworkErrorRatio, 15), 1.0 / 3.0);
        assert_eq!(bench.ratio(Metric::NetworkErrorRatio, 19), 0.0);
    }

    #[test]
    fn a_second_comes_again_after_ten_without_what_it_had() {
        let mut bench = Bench::of("NetworkErrorRatio() > 0.5");
        for s in [0, 10, 20, 21] {
            bench.record(200, Duration::ZERO, s);
        }
        assert_eq!(bench.whole(Metric::RequestThreshold, 21), 2);
    }

    #[test]
    fn ranges_of_codes_do_not_include_their_ends() {
        let mut bench = Bench::of("ResponseCodeRatio(500, 600, 200, 600) > 0.5");
        for status in [200, 404, 500, 599, 600, 101] {
            bench.record(status, Duration::ZERO, 1);
        }
        assert_eq!(bench.ratio(Metric::ResponseCodeRatio(0), 1), 0.5);
    }

    #[test]
    fn latencies_stay_for_six_rows_of_ten_seconds() {
        let mut bench = Bench::of("LatencyAtQuantileMS(50.0) > 50");
        let median = Metric::LatencyAtQuantile(50.0);
        bench.record(200, Duration::from_millis(900), 0);
        assert_eq!(bench.whole(median, 0), 901, "two digits of 900 000 µs");
        assert_eq!(
            bench.whole(median, 1_000),
            901,
            "nothing new, nothing forgotten"
        );
        for row in 1..=5 {
            bench.record(200, Duration::from_millis(10), 10 * row);
            bench.record(200, Duration::from_millis(10), 10 * row + 9);
        }
        assert_eq!(bench.whole(Metric::LatencyAtQuantile(100.0), 59), 901);
        bench.record(200, Duration::from_millis(10), 60);
        assert_eq!(bench.whole(Metric::LatencyAtQuantile(100.0), 60), 10);
    }

    #[test]
    fn quantiles_are_read_as_the_source_reads_them() {
        let mut bench = Bench::of("LatencyAtQuantileMS(50.0) > 50");
        let at = |bench: &Bench, percent| bench.whole(Metric::LatencyAtQuantile(percent), 0);
        assert_eq!(at(&bench, 50.0), 0, "nothing was measured");
        for millis in [1, 2, 3, 100] {
            bench.record(200, Duration::from_millis(millis), 0);
        }
        let read = [0.0, 12.4, 12.5, 50.0, 62.5, 99.0, 100.0, 250.0].map(|p| at(&bench, p));
        assert_eq!(read, [0, 0, 1, 2, 3, 100, 100, 100]);
        bench.record(200, Duration::from_secs(100_000), 0);
        assert_eq!(at(&bench, 100.0), 100, "what is too long is not counted");
    }

    #[test]
    fn a_reset_forgets_everything() {
        let mut bench = Bench::of("LatencyAtQuantileMS(50.0) > 50 && NetworkErrorRatio() > 0.1");
        bench.record(502, Duration::from_millis(5), 3);
        Metrics::new(0, &bench.expression).reset(&mut bench.words, second(4));
        assert_eq!(bench.whole(Metric::RequestThreshold, 4), 0);
        assert_eq!(bench.whole(Metric::LatencyAtQuantile(50.0), 4), 0);
    }

    proptest! {
        #[test]
        fn a_cell_keeps_two_digits(value in 0_u64..4_000_000_000) {
            let read = greatest(cell(value).expect("within range"));
            prop_assert!(read >= value && read - value <= value / 128, "{} {}", read, value);
        }

        #[test]
        fn cells_come_in_order(value in 0_u64..4_000_000_000) {
            let next = cell(value + 1).expect("within range");
            let here = cell(value).expect("within range");
            prop_assert!(next == here || next == here + 1);
            prop_assert_eq!(cell(greatest(here)), Some(here));
        }
    }
}
