//! Envoy's local rate limit: a bucket that starts full and loses one token per request.
//!
//! Source: Envoy v3 `type/v3/token_bucket.proto`, `source/common/common/token_bucket_impl.cc` (`AtomicTokenBucketImpl`)
//! and `source/extensions/filters/common/local_ratelimit/local_ratelimit_impl.cc`.

use crate::time::{Duration, Time};
use crate::words::Words;

/// When tokens come back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refill {
    /// A share of `tokens_per_fill` for every share of the interval that passes: Envoy since 1.32 (envoy#35207).
    Continuous,
    /// `tokens_per_fill` at once at each end of an interval, counted from the bucket's start: Envoy before 1.32.
    Steps,
}

/// How a bucket fills.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// What the bucket holds, at most and at first. At 0 everything is refused.
    pub max_tokens: u32,
    /// What each interval adds. Default 1.
    pub tokens_per_fill: u32,
    /// Not zero; Envoy refuses less than 50 ms.
    pub fill_interval: Duration,
    /// Which release's way of filling.
    pub refill: Refill,
}

/// One bucket.
///
/// Layout, continuous: word 0 is the bucket's clock, the moment at which it would have been empty, in ticks of
/// `1 / (tokens per nanosecond)` and shifted so that zero is "full at the start". Steps: word 0 has the interval of
/// the last change above and the tokens missing then below, 32 bits each. Word 1 is the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TokenBucket {
    at: usize,
}

/// Finest subdivision of a nanosecond that a rate is carried in; rates that need more are rounded to it.
const MAX_TICKS_PER_NANO: u64 = 1_000;

/// A rate as whole numbers: a token costs `cost` ticks, a nanosecond brings `per_nano`.
struct Rate {
    cost: u64,
    per_nano: u64,
}

impl Settings {
    fn rate(&self) -> Rate {
        let (tokens, nanos) = (
            u64::from(self.tokens_per_fill),
            self.fill_interval.as_nanos(),
        );
        let common = gcd(tokens, nanos).max(1);
        let (tokens, nanos) = (tokens / common, nanos / common);
        if tokens <= MAX_TICKS_PER_NANO {
            return Rate {
                cost: nanos.max(1),
                per_nano: tokens,
            };
        }
        let scaled = u128::from(nanos) * u128::from(MAX_TICKS_PER_NANO);
        let cost = u64::try_from(scaled / u128::from(tokens)).unwrap_or(u64::MAX);
        Rate {
            cost: cost.max(1),
            per_nano: MAX_TICKS_PER_NANO,
        }
    }
}

impl TokenBucket {
    /// Length of its block.
    pub const WORDS: usize = 2;

    /// The bucket whose block starts at `at`.
    #[must_use]
    pub const fn new(at: usize) -> Self {
        Self { at }
    }

    /// Fills the bucket and counts its intervals from `now`. Without it a bucket starts full at time zero.
    pub fn start(self, words: &mut impl Words, now: Time) {
        words.set(self.at, 0);
        words.set_time(self.at + 1, now);
    }

    /// Takes `tokens` if the bucket has them all, else none.
    #[must_use]
    pub fn try_take(
        self,
        words: &mut impl Words,
        settings: &Settings,
        now: Time,
        tokens: u32,
    ) -> bool {
        let elapsed = now.since(words.time(self.at + 1));
        let mut taken = false;
        words.update(self.at, |word| {
            let next = match settings.refill {
                Refill::Continuous => continuous_take(settings, elapsed, word, tokens),
                Refill::Steps => steps_take(settings, elapsed, word, tokens),
            };
            taken = next.is_some();
            next.unwrap_or(word)
        });
        taken
    }

    /// Whole tokens that the bucket has now.
    pub fn remaining(self, words: &impl Words, settings: &Settings, now: Time) -> u32 {
        let elapsed = now.since(words.time(self.at + 1));
        let word = words.get(self.at);
        match settings.refill {
            Refill::Continuous => {
                let Rate { cost, .. } = settings.rate();
                u32::try_from(continuous_level(settings, elapsed, word).0 / cost)
                    .unwrap_or(u32::MAX)
            }
            Refill::Steps => settings.max_tokens - steps_missing(settings, elapsed, word).1,
        }
    }

    /// How long until the bucket has a token; zero when it has one now, [`Duration::MAX`] when it never will.
    pub fn until_next(self, words: &impl Words, settings: &Settings, now: Time) -> Duration {
        if settings.max_tokens == 0 {
            return Duration::MAX;
        }
        let elapsed = now.since(words.time(self.at + 1));
        let word = words.get(self.at);
        match settings.refill {
            Refill::Continuous => {
                let Rate { cost, per_nano } = settings.rate();
                let short = cost.saturating_sub(continuous_level(settings, elapsed, word).0);
                match per_nano {
                    0 if short > 0 => Duration::MAX,
                    0 => Duration::ZERO,
                    _ => Duration::from_nanos(short.div_ceil(per_nano)),
                }
            }
            Refill::Steps => {
                let (interval, missing) = steps_missing(settings, elapsed, word);
                if missing < settings.max_tokens {
                    return Duration::ZERO;
                }
                if settings.tokens_per_fill == 0 {
                    return Duration::MAX;
                }
                settings.fill_interval * (u64::from(interval) + 1) - elapsed
            }
        }
    }
}

/// The bucket's content in ticks, and the present on its clock.
fn continuous_level(settings: &Settings, elapsed: Duration, clock: u64) -> (u64, u64) {
    let Rate { cost, per_nano } = settings.rate();
    let capacity = cost.saturating_mul(u64::from(settings.max_tokens));
    let now = elapsed
        .as_nanos()
        .saturating_mul(per_nano)
        .saturating_add(capacity);
    (now.saturating_sub(clock).min(capacity), now)
}

fn continuous_take(settings: &Settings, elapsed: Duration, clock: u64, tokens: u32) -> Option<u64> {
    let (level, now) = continuous_level(settings, elapsed, clock);
    let left = level.checked_sub(settings.rate().cost.saturating_mul(u64::from(tokens)))?;
    Some(now - left)
}

/// The interval that `elapsed` lies in, and the tokens missing in it.
fn steps_missing(settings: &Settings, elapsed: Duration, word: u64) -> (u32, u32) {
    let interval = elapsed.as_nanos() / settings.fill_interval.as_nanos().max(1);
    let interval = u32::try_from(interval).unwrap_or(u32::MAX);
    let (seen, missing) = ((word >> 32) as u32, word as u32);
    let fills = u64::from(interval.saturating_sub(seen));
    let added = fills.saturating_mul(u64::from(settings.tokens_per_fill));
    let missing = u64::from(missing).saturating_sub(added) as u32;
    (interval.max(seen), missing.min(settings.max_tokens))
}

fn steps_take(settings: &Settings, elapsed: Duration, word: u64, tokens: u32) -> Option<u64> {
    let (interval, missing) = steps_missing(settings, elapsed, word);
    let missing = missing
        .checked_add(tokens)
        .filter(|&m| m <= settings.max_tokens)?;
    Some(u64::from(interval) << 32 | u64::from(missing))
}

const fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: u64 = 1_000_000_000;

    fn settings(max_tokens: u32, tokens_per_fill: u32, seconds: u64, refill: Refill) -> Settings {
        Settings {
            max_tokens,
            tokens_per_fill,
            fill_interval: Duration::from_secs(seconds),
            refill,
        }
    }

    fn passed(settings: &Settings, millis: &[u64]) -> Vec<bool> {
        let mut words = vec![0; TokenBucket::WORDS];
        let bucket = TokenBucket::new(0);
        millis
            .iter()
            .map(|&ms| {
                bucket.try_take(
                    &mut words,
                    settings,
                    Time::ZERO + Duration::from_millis(ms),
                    1,
                )
            })
            .collect()
    }

    #[test]
    fn a_continuous_bucket_gives_a_token_back_as_soon_as_its_share_has_passed() {
        let two_per_second = settings(2, 2, 1, Refill::Continuous);
        let times = [0, 0, 0, 499, 500, 999, 1_000, 5_000, 5_000, 5_000];
        let expected = [
            true, true, false, false, true, false, true, true, true, false,
        ];
        assert_eq!(passed(&two_per_second, &times), expected);
    }

    #[test]
    fn a_stepped_bucket_gives_tokens_back_only_at_interval_ends() {
        let two_per_second = settings(2, 2, 1, Refill::Steps);
        let times = [0, 0, 0, 500, 999, 1_000, 1_000, 1_000, 5_000, 5_000, 5_000];
        let expected = [
            true, true, false, false, false, true, true, false, true, true, false,
        ];
        assert_eq!(passed(&two_per_second, &times), expected);
    }

    #[test]
    fn evenly_spaced_requests_at_the_rate_all_pass() {
        for (tokens, seconds) in [(3, 1), (7, 1), (30_000, 1), (999_983, 1), (1, 60)] {
            let settings = settings(2, tokens, seconds, Refill::Continuous);
            let mut words = vec![0; TokenBucket::WORDS];
            for i in 0..2_000_u64 {
                // rounded up: a request comes no earlier than its token
                let at = Time::from_nanos((i * seconds * SECOND).div_ceil(u64::from(tokens)));
                assert!(
                    TokenBucket::new(0).try_take(&mut words, &settings, at, 1),
                    "{tokens} per {seconds} s, request {i}"
                );
            }
        }
    }

    #[test]
    fn the_wait_for_a_token_is_exact() {
        for (refill, wait) in [(Refill::Continuous, 500), (Refill::Steps, 900)] {
            let settings = settings(2, 2, 1, refill);
            let mut words = vec![0; TokenBucket::WORDS];
            let bucket = TokenBucket::new(0);
            bucket.start(&mut words, Time::from_nanos(7));
            let now = Time::from_nanos(7) + Duration::from_millis(100);
            assert!(bucket.until_next(&words, &settings, now).is_zero());
            assert!(bucket.try_take(&mut words, &settings, now, 2), "{refill:?}");
            let until = bucket.until_next(&words, &settings, now);
            assert_eq!(until, Duration::from_millis(wait), "{refill:?}");
            let before = now + until - Duration::from_nanos(1);
            assert!(
                !bucket.try_take(&mut words, &settings, before, 1),
                "{refill:?}"
            );
            assert!(
                bucket.try_take(&mut words, &settings, now + until, 1),
                "{refill:?}"
            );
        }
    }

    #[test]
    fn an_empty_kind_of_bucket_refuses_everything() {
        for refill in [Refill::Continuous, Refill::Steps] {
            let settings = settings(0, 5, 1, refill);
            assert_eq!(passed(&settings, &[0, 1_000, 100_000]), [false; 3]);
            let words = vec![0; TokenBucket::WORDS];
            assert_eq!(
                TokenBucket::new(0).until_next(&words, &settings, Time::ZERO),
                Duration::MAX
            );
        }
    }

    /// The slow obvious bucket: a count and the moments at which it grew.
    struct SteppedModel {
        tokens: u64,
        filled: u64,
    }

    proptest! {
        #[test]
        fn a_stepped_bucket_is_a_count_that_grows_at_interval_ends(
            max in 1_u32..9, per_fill in 1_u32..9, gaps in prop::collection::vec((0_u64..4_000, 1_u32..3), 1..80)
        ) {
            let settings = settings(max, per_fill, 1, Refill::Steps);
            let mut words = vec![0; TokenBucket::WORDS];
            let mut model = SteppedModel { tokens: u64::from(max), filled: 0 };
            let mut ms = 0;
            for (gap, want) in gaps {
                ms += gap;
                while model.filled < ms / 1_000 {
                    model.filled += 1;
                    model.tokens = (model.tokens + u64::from(per_fill)).min(u64::from(max));
                }
                let now = Time::ZERO + Duration::from_millis(ms);
                prop_assert_eq!(u64::from(TokenBucket::new(0).remaining(&words, &settings, now)), model.tokens);
                let taken = TokenBucket::new(0).try_take(&mut words, &settings, now, want);
                prop_assert_eq!(taken, u64::from(want) <= model.tokens);
                if taken {
                    model.tokens -= u64::from(want);
                }
            }
        }

        #[test]
        fn over_any_window_no_more_passes_than_the_burst_and_the_rate(
            max in 1_u32..20, per_fill in 1_u32..50, steps in any::<bool>(),
            gaps in prop::collection::vec(0_u64..700_000_000, 1..120)
        ) {
            let refill = if steps { Refill::Steps } else { Refill::Continuous };
            let settings = settings(max, per_fill, 1, refill);
            let mut words = vec![0; TokenBucket::WORDS];
            let mut now = 0;
            let mut passed = vec![];
            for gap in gaps {
                now += gap;
                if TokenBucket::new(0).try_take(&mut words, &settings, Time::from_nanos(now), 1) {
                    passed.push(now);
                }
            }
            for (i, from) in passed.iter().enumerate() {
                for (j, to) in passed.iter().enumerate().skip(i) {
                    let fills = if steps {
                        (to / SECOND - from / SECOND) * u64::from(per_fill)
                    } else {
                        (to - from) * u64::from(per_fill) / SECOND
                    };
                    prop_assert!((j - i + 1) as u64 <= u64::from(max) + fills);
                }
            }
        }
    }
}
