//! The generic cell rate algorithm: a request passes when it is not too far ahead of its theoretical arrival time.
//!
//! Same verdicts as a continuously filled bucket of `burst` tokens, with one word of state and an exact wait.
//!
//! Source: ITU-T I.371 (virtual scheduling form); Linkerd's `HTTPLocalRateLimitPolicy` through the `governor` crate
//! (`linkerd/proxy/server-policy/src/local_rate_limit.rs`): `requestsPerSecond`, and a burst of the same number.

use crate::time::{Duration, Time};
use crate::words::Words;

/// A rate and how far ahead of it a burst may run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// The time one request is worth. Not zero.
    pub emission_interval: Duration,
    /// Requests that may come at once after a pause. At 0 everything is refused.
    pub burst: u32,
}

impl Settings {
    /// `requests` per second with a burst of the same number, as Linkerd has it; 0 refuses everything.
    ///
    /// The interval is whole nanoseconds, rounded down, as in `governor`.
    #[must_use]
    pub const fn per_second(requests: u32) -> Self {
        let nanos = match requests {
            0 => u64::MAX,
            _ => 1_000_000_000 / requests as u64,
        };
        Self {
            emission_interval: Duration::from_nanos(if nanos == 0 { 1 } else { nanos }),
            burst: requests,
        }
    }
}

/// One limiter.
///
/// Layout: word 0 is the theoretical arrival time, the moment at which the burst is whole again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Gcra {
    at: usize,
}

impl Gcra {
    /// Length of its block.
    pub const WORDS: usize = 1;

    /// The limiter whose block starts at `at`.
    #[must_use]
    pub const fn new(at: usize) -> Self {
        Self { at }
    }

    /// Lets one request pass, or says how long until one would. [`Duration::MAX`]: never.
    ///
    /// # Errors
    /// The wait, when the request must not pass.
    pub fn check(
        self,
        words: &mut impl Words,
        settings: &Settings,
        now: Time,
    ) -> Result<(), Duration> {
        if settings.burst == 0 {
            return Err(Duration::MAX);
        }
        let tolerance = settings.emission_interval * u64::from(settings.burst);
        let mut verdict = Ok(());
        words.update(self.at, |theoretical| {
            let next = Time::from_nanos(theoretical).max(now) + settings.emission_interval;
            let early = next.since(now + tolerance);
            verdict = if early.is_zero() { Ok(()) } else { Err(early) };
            if early.is_zero() {
                next.as_nanos()
            } else {
                theoretical
            }
        });
        verdict
    }
}

#[cfg(test)]
mod tests {
    use super::super::token_bucket::{self, Refill, TokenBucket};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_burst_passes_then_one_request_per_interval() {
        let settings = Settings::per_second(2);
        let mut words = vec![0];
        let mut at = |ms| {
            Gcra::new(0).check(
                &mut words,
                &settings,
                Time::ZERO + Duration::from_millis(ms),
            )
        };
        assert_eq!(at(0), Ok(()));
        assert_eq!(at(0), Ok(()));
        assert_eq!(at(0), Err(Duration::from_millis(500)));
        assert_eq!(at(400), Err(Duration::from_millis(100)));
        assert_eq!(at(500), Ok(()));
        assert_eq!(at(999), Err(Duration::from_millis(1)));
    }

    #[test]
    fn a_rate_of_zero_refuses_everything() {
        let refused =
            Gcra::new(0).check(&mut vec![0], &Settings::per_second(0), Time::from_nanos(5));
        assert_eq!(refused, Err(Duration::MAX));
    }

    proptest! {
        #[test]
        fn agrees_with_a_continuously_filled_bucket(
            burst in 1_u32..20, interval in 1_u64..1_000, gaps in prop::collection::vec(0_u64..5_000, 1..200)
        ) {
            let settings = Settings { emission_interval: Duration::from_nanos(interval), burst };
            let bucket = token_bucket::Settings {
                max_tokens: burst,
                tokens_per_fill: 1,
                fill_interval: settings.emission_interval,
                refill: Refill::Continuous,
            };
            let (mut cell, mut words) = (vec![0], vec![0; TokenBucket::WORDS]);
            let mut now = Time::ZERO;
            for gap in gaps {
                now += Duration::from_nanos(gap);
                let verdict = Gcra::new(0).check(&mut cell, &settings, now);
                if let Err(wait) = verdict {
                    prop_assert_eq!(TokenBucket::new(0).until_next(&words, &bucket, now), wait);
                }
                prop_assert_eq!(verdict.is_ok(), TokenBucket::new(0).try_take(&mut words, &bucket, now, 1));
            }
        }
    }
}
