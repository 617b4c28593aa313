//! Traefik's `rateLimit`: a token bucket whose next tokens may be waited for, if the wait is short.
//!
//! Source: traefik 3.7 `pkg/middlewares/ratelimiter/rate_limiter.go` and `in_memory_limiter.go`; `golang.org/x/time/rate` (`reserveN`,
//! `CancelAt`). A reservation that is given back leaves the bucket as it was.

use crate::time::{Duration, Time};
use crate::words::Words;

/// A rate and a burst.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DelayingBucket {
    /// Requests in a period. 0: no limit at all.
    pub average: u64,
    /// Zero counts as a second. Default 1 s.
    pub period: Duration,
    /// Requests that may come at once after a pause; 0 counts as 1. Default 1.
    pub burst: u64,
}

/// A word counts sixteenths of a nanosecond, so that a rate's rounding is below 1 in 10 000 up to a million requests a second.
const TICKS: u64 = 16;
const SECOND: u64 = 1_000_000_000;

impl DelayingBucket {
    fn period(&self) -> u64 {
        match self.period.as_nanos() {
            0 => SECOND,
            nanos => nanos,
        }
    }

    /// Requests in a second.
    fn rate(&self) -> f64 {
        self.average as f64 * SECOND as f64 / self.period() as f64
    }

    /// What a request costs, in ticks.
    fn cost(&self) -> u64 {
        let ticks = u128::from(self.period()) * u128::from(TICKS);
        let average = u128::from(self.average.max(1));
        u64::try_from((ticks + average / 2) / average).unwrap_or(u64::MAX)
    }

    /// The longest wait for a token: half the time that one takes to come, and half a second for rates below one a second.
    #[must_use]
    pub fn longest_wait(&self) -> Duration {
        let rate = self.rate();
        if rate < 1.0 {
            Duration::from_nanos(SECOND / 2)
        } else {
            // whole requests in a second, as the source has it
            Duration::from_nanos(SECOND / (rate as u64).saturating_mul(2).max(1))
        }
    }

    /// Takes a token, whose word is at `at`, and says how long until it is there.
    ///
    /// # Errors
    /// The wait that would be too long; no token is taken.
    pub fn take(&self, words: &mut impl Words, at: usize, now: Time) -> Result<Duration, Duration> {
        if self.average == 0 {
            return Ok(Duration::ZERO);
        }
        let (cost, burst) = (self.cost(), self.burst.max(1));
        let present = now.as_nanos().saturating_mul(TICKS);
        let ahead = cost.saturating_mul(burst);
        let longest = self.longest_wait();
        let mut wait = Duration::ZERO;
        words.update(at, |full| {
            let next = full.max(present).saturating_add(cost);
            let early = next.saturating_sub(present.saturating_add(ahead));
            wait = Duration::from_nanos(early.div_ceil(TICKS));
            if wait > longest { full } else { next }
        });
        if wait > longest { Err(wait) } else { Ok(wait) }
    }

    /// Whether nothing would be lost if the bucket were forgotten.
    pub(crate) fn is_spare(words: &impl Words, at: usize, now: Time) -> bool {
        words.get(at) <= now.as_nanos().saturating_mul(TICKS)
    }
}

/// A length of time as Go writes it: `1m0.5s`, `333.333333ms`, `2µs`.
#[must_use]
pub fn go_words(length: Duration) -> String {
    let nanos = length.as_nanos();
    if nanos < SECOND {
        return length.to_string().replace("us", "µs");
    }
    let (minutes, rest) = (nanos / (60 * SECOND), nanos % (60 * SECOND));
    let rest = match rest {
        // the unit shows even of nothing
        below if below < SECOND && below > 0 => {
            let digits = format!("0.{below:09}");
            format!("{}s", digits.trim_end_matches('0'))
        }
        whole => Duration::from_nanos(whole).to_string(),
    };
    match (minutes / 60, minutes % 60) {
        (0, 0) => rest,
        (0, minutes) => format!("{minutes}m{rest}"),
        (hours, minutes) => format!("{hours}h{minutes}m{rest}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(millis: u64) -> Time {
        Time::ZERO + Duration::from_millis(millis)
    }

    fn bucket(average: u64, burst: u64) -> DelayingBucket {
        DelayingBucket {
            average,
            period: Duration::from_secs(1),
            burst,
        }
    }

    fn millis(verdict: Result<Duration, Duration>) -> Result<u64, u64> {
        verdict
            .map(Duration::as_millis)
            .map_err(Duration::as_millis)
    }

    #[test]
    fn a_request_waits_for_half_a_token_and_not_for_more() {
        let (ten, mut words) = (bucket(10, 1), vec![0_u64]);
        let mut take = |ms| millis(ten.take(&mut words, 0, at(ms)));
        assert_eq!(take(1_000), Ok(0));
        assert_eq!(take(1_049), Err(51), "half of 100 ms at most");
        assert_eq!(take(1_050), Ok(50));
        assert_eq!(take(1_100), Err(100), "its token was taken");
        assert_eq!(take(1_160), Ok(40));
    }

    #[test]
    fn a_burst_passes_at_once_and_comes_back_by_and_by() {
        let (two, mut words) = (bucket(2, 3), vec![0_u64]);
        let mut take = |ms| millis(two.take(&mut words, 0, at(ms)));
        assert_eq!([0; 4].map(&mut take), [Ok(0), Ok(0), Ok(0), Err(500)]);
        assert_eq!(take(250), Ok(250));
        assert_eq!(take(1_500), Ok(0));
    }

    #[test]
    fn the_longest_wait_is_the_sources() {
        let per_minute = |average| DelayingBucket {
            period: Duration::from_secs(60),
            ..bucket(average, 1)
        };
        let rows = [
            ("ten a second", bucket(10, 1), 50_000_000),
            ("one a second", bucket(1, 1), 500_000_000),
            (
                "a fraction is dropped: 1.5 a second",
                per_minute(90),
                500_000_000,
            ),
            ("below one a second", per_minute(6), 500_000_000),
            ("a thousand", bucket(1_000, 1), 500_000),
        ];
        for (name, bucket, want) in rows {
            assert_eq!(bucket.longest_wait().as_nanos(), want, "{name}");
        }
    }

    #[test]
    fn no_average_is_no_limit_and_no_period_a_second() {
        let mut words = vec![0_u64];
        let open = bucket(0, 1);
        assert!((0..1_000).all(|_| open.take(&mut words, 0, at(0)) == Ok(Duration::ZERO)));
        let unset = DelayingBucket {
            period: Duration::ZERO,
            ..bucket(10, 0)
        };
        assert_eq!(unset.longest_wait(), Duration::from_millis(50));
        assert_eq!(millis(unset.take(&mut words, 0, at(0))), Ok(0));
        assert_eq!(millis(unset.take(&mut words, 0, at(0))), Err(100));
    }

    #[test]
    fn lengths_are_written_as_go_writes_them() {
        let rows = [
            (0, "0s"),
            (1_500, "1.5µs"),
            (333_333_333, "333.333333ms"),
            (1_000_000_000, "1s"),
            (90_500_000_000, "1m30.5s"),
            (60_500_000_000, "1m0.5s"),
            (60_000_000_000, "1m0s"),
            (3_600_000_000_001, "1h0m0.000000001s"),
        ];
        for (nanos, want) in rows {
            assert_eq!(go_words(Duration::from_nanos(nanos)), want);
        }
    }

    /// The source's own: tokens that come back, and reservations that are given back.
    struct Model {
        tokens: f64,
        last: f64,
    }

    impl Model {
        /// How long a reservation waits; one beyond `longest` is given back.
        fn take(&mut self, rate: f64, burst: f64, now: f64, longest: f64) -> f64 {
            let tokens = (self.tokens + (now - self.last) * rate).min(burst);
            let wait = ((1.0 - tokens) / rate).max(0.0);
            self.last = now;
            self.tokens = if wait > longest { tokens } else { tokens - 1.0 };
            wait
        }
    }

    proptest! {
        #[test]
        fn it_waits_as_the_source_does(
            average in 1_u64..40, burst in 1_u64..8, gaps in prop::collection::vec(0_u64..300, 1..100)
        ) {
            let bucket = bucket(average, burst);
            let mut words = vec![0_u64];
            let mut model = Model { tokens: burst as f64, last: 0.0 };
            let mut now = 0;
            for gap in gaps {
                // no wait comes near the longest one but by design
                now += gap * 1_009;
                let moment = Time::from_nanos(now * 1_000);
                let longest = bucket.longest_wait().as_secs_f64();
                let before = (model.tokens, model.last);
                let wait = model.take(average as f64, burst as f64, moment.as_secs_f64(), longest);
                if (wait - longest).abs() < 1e-7 {
                    (model.tokens, model.last) = before;
                    continue;
                }
                let verdict = bucket.take(&mut words, 0, moment);
                prop_assert_eq!(verdict.is_ok(), wait <= longest);
                let got = verdict.unwrap_or_else(|wait| wait).as_secs_f64();
                prop_assert!((got - wait).abs() < 1e-6, "{} and {}", got, wait);
            }
        }
    }
}
