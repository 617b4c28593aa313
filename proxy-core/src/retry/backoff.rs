//! How long a retry waits.

use crate::draw::{DrawKey, Purpose};
use crate::time::Duration;

/// A way to space the retries of one exchange.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Backoff {
    /// Retries start at once.
    None,
    /// Envoy's.
    FullJitter(FullJitter),
    /// Linkerd's.
    AddedJitter(AddedJitter),
    /// Traefik's.
    Around(Around),
}

impl Backoff {
    /// The wait before an exchange's backoff number `n`, from 0.
    #[must_use]
    pub fn delay(&self, n: u32, key: DrawKey) -> Duration {
        match self {
            Self::None => Duration::ZERO,
            Self::FullJitter(backoff) => backoff.delay(n, key),
            Self::AddedJitter(backoff) => backoff.delay(n, key),
            Self::Around(backoff) => backoff.delay(n, key),
        }
    }
}

/// Anything from nothing to an interval that doubles: base, 2 × base, 4 × base and so on up to the maximum.
///
/// The wait is a whole number of milliseconds, uniform and below the interval: 0–24 ms, 0–49, 0–99, 0–199, 0–249 by
/// default.
///
/// Source: Envoy v3 `RetryPolicy.retry_back_off`, `source/common/common/backoff_strategy.cc`
/// (`JitteredExponentialBackOffStrategy`). The documentation's (2^N − 1) × base is not what the code does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FullJitter {
    base_millis: u64,
    max_millis: u64,
}

impl FullJitter {
    /// Waits below `base` at first, rounded down to milliseconds and at least one; below `max` at most, by default
    /// 10 × `base`, and never less than `base`.
    #[must_use]
    pub fn new(base: Duration, max: Option<Duration>) -> Self {
        let base_millis = base.as_millis().max(1);
        let max_millis = max.map_or_else(|| base_millis.saturating_mul(10), Duration::as_millis);
        Self {
            base_millis,
            max_millis: max_millis.max(base_millis),
        }
    }

    /// 25 ms, at most 250 ms.
    #[must_use]
    pub fn envoy_v3() -> Self {
        Self::new(Duration::from_millis(25), None)
    }

    /// The interval that wait number `n` stays below.
    #[must_use]
    pub fn interval(&self, n: u32) -> Duration {
        let mut interval = self.base_millis;
        for _ in 0..n {
            if interval >= self.max_millis / 2 {
                // the next one is the maximum, and so are all after it
                return Duration::from_millis(self.max_millis);
            }
            interval *= 2;
        }
        Duration::from_millis(interval)
    }

    /// Wait number `n`, from 0.
    #[must_use]
    pub fn delay(&self, n: u32, key: DrawKey) -> Duration {
        let millis = self.interval(n).as_millis();
        Duration::from_millis(key.below(Purpose::Backoff, n, millis))
    }
}

/// An interval that doubles from `min` to `max`, plus a uniform share of up to `jitter` times itself, `max` at most.
///
/// Source: Linkerd `linkerd/exp-backoff/src/lib.rs`; used for retries by annotation, failure accrual and reconnects.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct AddedJitter {
    /// The first interval.
    pub min: Duration,
    /// No wait is longer. At least `min`.
    pub max: Duration,
    /// Share of the interval that may be added, 0 to 100 (1.0 doubles it at most).
    pub jitter: f64,
}

impl AddedJitter {
    /// Retries by annotation: 25 ms doubling to 250 ms, up to twice as long by jitter.
    #[must_use]
    pub const fn linkerd_retry() -> Self {
        Self {
            min: Duration::from_millis(25),
            max: Duration::from_millis(250),
            jitter: 1.0,
        }
    }

    /// The interval of wait number `n`, before jitter.
    #[must_use]
    pub fn interval(&self, n: u32) -> Duration {
        (self.min * 1_u64.checked_shl(n).unwrap_or(u64::MAX)).min(self.max)
    }

    /// Wait number `n`, from 0.
    #[must_use]
    pub fn delay(&self, n: u32, key: DrawKey) -> Duration {
        let interval = self.interval(n);
        let added = interval.scale(key.unit(Purpose::Backoff, n) * self.jitter);
        (interval + added).min(self.max)
    }
}

/// An interval that grows by a factor up to 60 s; the wait is anything from half of it to one and a half.
///
/// Source: traefik 3.7 `pkg/middlewares/retry/retry.go` (`newBackOff`); cenkalti/backoff 4.3 `exponential.go` (`NextBackOff`, randomisation
/// 0.5, longest interval 60 s).
/// Departs: that retries end once 15 minutes have passed is not carried over.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Around {
    /// The first interval.
    pub first: Duration,
    /// What the next one is multiplied by, at least 1.
    pub factor: f64,
}

impl Around {
    /// The longest interval.
    const MOST: Duration = Duration::from_secs(60);

    /// Intervals that grow to less than twice the first over so many tries, the first one included.
    #[must_use]
    pub fn traefik(first: Duration, tries: u32) -> Self {
        let steps = f64::from(tries.saturating_sub(1).max(1));
        Self {
            first,
            factor: libm::pow(2.0, 1.0 / steps),
        }
    }

    /// The interval of wait number `n`, from 0, before chance has its say.
    #[must_use]
    pub fn interval(&self, n: u32) -> Duration {
        let mut interval = self.first;
        for _ in 0..n.min(1_000) {
            if interval.as_nanos() as f64 >= Self::MOST.as_nanos() as f64 / self.factor.max(1.0) {
                return Self::MOST;
            }
            interval =
                Duration::from_nanos((interval.as_nanos() as f64 * self.factor.max(1.0)) as u64);
        }
        interval
    }

    /// Wait number `n`, from 0.
    #[must_use]
    pub fn delay(&self, n: u32, key: DrawKey) -> Duration {
        self.interval(n).scale(0.5 + key.unit(Purpose::Backoff, n))
    }
}

/// What a rate limiter's reset header counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ResetFormat {
    /// Seconds from now (`Retry-After`).
    Seconds,
    /// The second of the Unix epoch at which the limit resets.
    UnixTimestamp,
}

impl ResetFormat {
    /// The wait that a header's `value` asks for when the wall clock shows `unix_seconds`; `None` if it is not a whole
    /// number or lies in the past.
    ///
    /// Source: Envoy v3 `RateLimitedRetryBackOff.ResetHeader`, `source/common/router/reset_header_parser.cc`.
    #[must_use]
    pub fn interval(self, value: &str, unix_seconds: u64) -> Option<Duration> {
        let number: u64 = value.trim().parse().ok()?;
        let seconds = match self {
            Self::Seconds => number,
            Self::UnixTimestamp => number.checked_sub(unix_seconds)?,
        };
        Some(Duration::from_secs(seconds))
    }
}

/// The wait that a rate limiter asked for, spread upwards by up to half of itself: uniform in [interval, 1.5 × interval).
///
/// `intervals` are those of the reset headers present, in the policy's order; the first that is not above
/// `max_interval` (default 300 s) counts. `None`: no such interval, or not above 1 ms; the exponential backoff applies.
/// Asked only when a response, not a reset, is retried, and used for that retry alone.
///
/// Source: Envoy v3 `RetryPolicy.rate_limited_retry_back_off`, `JitteredLowerBoundBackOffStrategy`.
pub fn rate_limited(
    intervals: impl IntoIterator<Item = Duration>,
    max_interval: Duration,
    n: u32,
    key: DrawKey,
) -> Option<Duration> {
    let interval = intervals.into_iter().find(|i| *i <= max_interval)?;
    let millis = Some(interval.as_millis()).filter(|&millis| millis > 1)?;
    let spread = key.below(Purpose::Backoff, n, millis / 2);
    Some(Duration::from_millis(millis + spread))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn millis(values: &[u64]) -> Vec<Duration> {
        values.iter().copied().map(Duration::from_millis).collect()
    }

    /// Traefik: three tries from 100 ms; cenkalti's own numbers for the rest.
    #[test]
    fn traefiks_intervals_grow_to_twice_the_first_and_waits_lie_around_them() {
        let three = Around::traefik(Duration::from_millis(100), 3);
        let intervals = [0, 1, 2].map(|n| three.interval(n).as_millis());
        assert_eq!(intervals, [100, 141, 199]);
        let waits: Vec<u64> = (0..10_000)
            .map(|n| three.delay(0, DrawKey::root(n)).as_millis())
            .collect();
        assert!(waits.iter().all(|wait| (50..150).contains(wait)));
        let mean = waits.iter().sum::<u64>() as f64 / waits.len() as f64;
        // 5 sigma of the mean of 10 000 uniforms over 100 ms
        assert!((mean - 99.5).abs() < 5.0 * 0.289, "{mean}");
    }

    #[test]
    fn traefiks_intervals_end_at_a_minute() {
        let long = Around::traefik(Duration::from_secs(50), 2);
        assert_eq!(long.factor, 2.0);
        assert_eq!(
            [0, 1, 2].map(|n| long.interval(n)),
            [50, 60, 60].map(Duration::from_secs)
        );
        let one = Around::traefik(Duration::from_secs(1), 0);
        assert_eq!(one.interval(u32::MAX), Duration::from_secs(60));
    }

    #[test]
    fn envoys_intervals_double_to_the_maximum() {
        let ms = Duration::from_millis;
        let rows = [
            (
                "default",
                FullJitter::envoy_v3(),
                [25, 50, 100, 200, 250, 250],
            ),
            (
                "explicit maximum",
                FullJitter::new(ms(100), Some(ms(150))),
                [100, 150, 150, 150, 150, 150],
            ),
            (
                "below 1 ms",
                FullJitter::new(Duration::from_micros(10), None),
                [1, 2, 4, 8, 10, 10],
            ),
            (
                "maximum below base",
                FullJitter::new(ms(10), Some(ms(5))),
                [10; 6],
            ),
            (
                "exact double",
                FullJitter::new(ms(25), Some(ms(50))),
                [25, 50, 50, 50, 50, 50],
            ),
        ];
        for (name, backoff, expected) in rows {
            let intervals: Vec<Duration> = (0..6).map(|n| backoff.interval(n)).collect();
            assert_eq!(intervals, millis(&expected), "{name}");
        }
        assert_eq!(FullJitter::envoy_v3().interval(u32::MAX), ms(250));
    }

    #[test]
    fn envoys_waits_cover_the_whole_interval_in_whole_milliseconds() {
        let backoff = FullJitter::envoy_v3();
        let waits: std::collections::BTreeSet<u64> = (0..2_000)
            .map(|seed| backoff.delay(0, DrawKey::root(seed)).as_nanos())
            .collect();
        let all: Vec<u64> = (0..25).map(|ms| ms * 1_000_000).collect();
        assert_eq!(Vec::from_iter(waits), all);
    }

    #[test]
    fn linkerds_waits_never_exceed_the_maximum() {
        let backoff = AddedJitter::linkerd_retry();
        for n in [0, 1, 2, 3, 4, 70, u32::MAX] {
            let interval = backoff.interval(n);
            for seed in 0..200 {
                let wait = backoff.delay(n, DrawKey::root(seed));
                assert!(
                    wait >= interval && wait <= (interval * 2).min(backoff.max),
                    "n {n}: {wait}"
                );
            }
        }
        assert_eq!(backoff.interval(3), Duration::from_millis(200));
        assert_eq!(backoff.interval(4), Duration::from_millis(250));
    }

    #[test]
    fn no_backoff_does_not_wait() {
        assert_eq!(Backoff::None.delay(3, DrawKey::root(1)), Duration::ZERO);
    }

    #[test]
    fn reset_headers_count_seconds_or_the_epoch() {
        let rows = [
            (ResetFormat::Seconds, "7", Some(7)),
            (ResetFormat::Seconds, " 7 ", Some(7)),
            (ResetFormat::Seconds, "Wed, 21 Oct 2015 07:28:00 GMT", None),
            (ResetFormat::Seconds, "-1", None),
            (ResetFormat::UnixTimestamp, "1007", Some(7)),
            (ResetFormat::UnixTimestamp, "999", None),
            (ResetFormat::UnixTimestamp, "1000", Some(0)),
        ];
        for (format, value, seconds) in rows {
            let expected = seconds.map(Duration::from_secs);
            assert_eq!(
                format.interval(value, 1_000),
                expected,
                "{format:?} {value}"
            );
        }
    }

    #[test]
    fn a_rate_limiters_wait_is_the_first_one_not_too_long() {
        let s = Duration::from_secs;
        let wait = |intervals: &[Duration]| {
            rate_limited(intervals.iter().copied(), s(300), 0, DrawKey::root(1))
        };
        assert_eq!(wait(&[]), None);
        assert_eq!(wait(&[s(301)]), None, "too long");
        assert_eq!(
            wait(&[s(0), s(5)]),
            None,
            "not above 1 ms, and no second choice"
        );
        let five = wait(&[s(301), s(5), s(9)]).expect("5 s is short enough");
        assert!(
            five >= s(5) && five < Duration::from_millis(7_500),
            "{five}"
        );
    }

    proptest! {
        #[test]
        fn envoys_waits_stay_below_their_interval(base in 1_u64..500, max in 1_u64..5_000, n in 0_u32..40, seed: u64) {
            let backoff = FullJitter::new(Duration::from_millis(base), Some(Duration::from_millis(max)));
            prop_assert!(backoff.delay(n, DrawKey::root(seed)) < backoff.interval(n));
            prop_assert!(backoff.interval(n) <= Duration::from_millis(max.max(base)));
            prop_assert!(backoff.interval(n) <= backoff.interval(n + 1));
        }
    }
}
