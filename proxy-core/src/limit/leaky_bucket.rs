//! NGINX's `limit_req`: a bucket that leaks at a steady rate and holds a burst; what would overflow is refused.
//!
//! Source: nginx `src/http/modules/ngx_http_limit_req_module.c` (`ngx_http_limit_req_lookup`, `ngx_http_limit_req_account`). As there, time
//! is whole milliseconds and what is in the bucket whole thousandths of a request, both rounded down.
//! Departs: a bucket holds 268 435 requests at most.

use crate::time::{Duration, Time};
use crate::words::Words;

/// A rate, a burst, and what becomes of the burst.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LeakyBucket {
    /// Thousandths of a request that leak in a second. At 0 nothing leaks.
    pub leaks: u64,
    /// Requests that may come before their time beyond the one whose time it is. Default 0.
    pub burst: u32,
    /// From which request of a burst on one waits for its time; none: they pass at once (`nodelay`). NGINX's own default is 0, ingress-nginx
    /// has `nodelay`.
    pub delay_after: Option<u32>,
}

/// Thousandths of a request.
const WHOLE: u64 = 1_000;
/// Bits of a word that hold what is in a bucket; the others hold when it was last looked at.
const LEVEL_BITS: u32 = 28;
const MOST: u64 = (1 << LEVEL_BITS) - 1;

impl LeakyBucket {
    /// `requests` in a second (`rate=5r/s`), of which `burst` more may come at once.
    #[must_use]
    pub const fn per_second(requests: u32, burst: u32) -> Self {
        Self {
            leaks: requests as u64 * WHOLE,
            burst,
            delay_after: None,
        }
    }

    /// `requests` in a minute (`rate=300r/m`), of which `burst` more may come at once. The rate is rounded down to thousandths of a request in
    /// a second.
    #[must_use]
    pub const fn per_minute(requests: u32, burst: u32) -> Self {
        Self {
            leaks: requests as u64 * WHOLE / 60,
            burst,
            delay_after: None,
        }
    }

    /// What is in the bucket with one more request, and the word that says so.
    fn with_one_more(&self, word: u64, now: Time) -> (u64, u64) {
        let millis = now.as_nanos() / 1_000_000;
        // one more than the moment, so that zero stands for a new bucket
        let stamp = |millis: u64| (millis + 1) << LEVEL_BITS;
        if word == 0 {
            return (0, stamp(millis));
        }
        let before = (word >> LEVEL_BITS).saturating_sub(1);
        let passed = millis.saturating_sub(before);
        let level =
            ((word & MOST) + WHOLE).saturating_sub(self.leaks.saturating_mul(passed) / WHOLE);
        (level, stamp(millis.max(before)) | level.min(MOST))
    }

    fn overflows(&self, level: u64) -> bool {
        level > (u64::from(self.burst) * WHOLE).min(MOST)
    }

    /// How long a request waits that finds the bucket so full.
    fn delay(&self, level: u64) -> Duration {
        let free = match self.delay_after {
            Some(requests) => u64::from(requests) * WHOLE,
            None => u64::MAX,
        };
        match level.saturating_sub(free) {
            0 => Duration::ZERO,
            over if self.leaks == 0 => Duration::from_millis(over.saturating_mul(u64::MAX)),
            over => Duration::from_millis(over * WHOLE / self.leaks),
        }
    }
}

/// Takes a request in, if no bucket overflows: how long it waits. Each bucket has a word, the first at `at`. None: it is refused, and no bucket
/// counts it.
#[must_use]
pub fn take(
    words: &mut impl Words,
    at: usize,
    buckets: &[LeakyBucket],
    now: Time,
) -> Option<Duration> {
    let (last, others) = buckets.split_last()?;
    for (i, bucket) in others.iter().enumerate() {
        if bucket.overflows(bucket.with_one_more(words.get(at + i), now).0) {
            return None;
        }
    }
    let mut level = 0;
    words.update(at + others.len(), |word| {
        let next = last.with_one_more(word, now);
        level = next.0;
        if last.overflows(level) { word } else { next.1 }
    });
    if last.overflows(level) {
        return None;
    }
    let mut delay = last.delay(level);
    for (i, bucket) in others.iter().enumerate() {
        let mut level = 0;
        words.update(at + i, |word| {
            let next = bucket.with_one_more(word, now);
            level = next.0;
            next.1
        });
        delay = delay.max(bucket.delay(level));
    }
    Some(delay)
}

/// Whether nothing would be lost if the buckets were forgotten.
pub(crate) fn is_spare(words: &impl Words, at: usize, buckets: &[LeakyBucket], now: Time) -> bool {
    let is_empty =
        |(i, bucket): (usize, &LeakyBucket)| bucket.with_one_more(words.get(at + i), now).0 == 0;
    buckets.iter().enumerate().all(is_empty)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(millis: u64) -> Time {
        Time::ZERO + Duration::from_millis(millis)
    }

    fn passed(bucket: LeakyBucket, millis: &[u64]) -> Vec<bool> {
        let mut words = vec![0_u64];
        let take = |ms: &u64| take(&mut words, 0, &[bucket], at(*ms)).is_some();
        millis.iter().map(take).collect()
    }

    #[test]
    fn without_a_burst_requests_keep_their_distance() {
        let two = LeakyBucket::per_second(2, 0);
        let times = [0, 0, 499, 500, 999, 1_000, 1_001];
        assert_eq!(
            passed(two, &times),
            [true, false, false, true, false, true, false]
        );
    }

    /// ingress-nginx: `limit-rps: 2` has a burst of five times as much.
    #[test]
    fn an_idle_client_may_send_the_burst_and_one_at_once() {
        let two = LeakyBucket::per_second(2, 10);
        let all = passed(two, &[7; 20]);
        assert_eq!(all.iter().filter(|passed| **passed).count(), 11);
        assert!(all[..11].iter().all(|passed| *passed));
    }

    #[test]
    fn a_minute_has_sixty_seconds_rounded_down() {
        assert_eq!(LeakyBucket::per_minute(1, 0).leaks, 16);
        // 16 thousandths a second: a request leaks in 62 500 ms
        let one = LeakyBucket::per_minute(1, 0);
        assert_eq!(passed(one, &[0, 62_499, 62_500]), [true, false, true]);
    }

    #[test]
    fn what_is_refused_is_not_counted() {
        let one = LeakyBucket::per_second(1, 0);
        let times = [0, 100, 200, 300, 400, 500, 600, 700, 800, 900, 1_000];
        let all = passed(one, &times);
        assert_eq!(all.iter().filter(|passed| **passed).count(), 2);
        assert!(all[0] && all[10]);
    }

    #[test]
    fn a_burst_without_nodelay_waits_its_turn() {
        let slow = LeakyBucket {
            delay_after: Some(1),
            ..LeakyBucket::per_second(10, 3)
        };
        let mut words = vec![0_u64];
        let delays: Vec<_> = (0..5)
            .map(|_| take(&mut words, 0, &[slow], at(5)).map(Duration::as_millis))
            .collect();
        assert_eq!(delays, [Some(0), Some(0), Some(100), Some(200), None]);
    }

    #[test]
    fn what_one_bucket_refuses_the_other_does_not_count() {
        let buckets = [
            LeakyBucket::per_minute(60, 1),
            LeakyBucket::per_second(100, 0),
        ];
        let mut words = vec![0_u64; 2];
        let mut pass = |ms| take(&mut words, 0, &buckets, at(ms)).is_some();
        assert!(pass(0));
        assert!(!pass(5), "10 ms apart is the other's rule");
        assert!(pass(10), "and the first has counted one so far");
        assert!(!pass(20), "now it has counted two");
    }

    #[test]
    fn a_drained_bucket_may_be_forgotten() {
        let one = [LeakyBucket::per_second(1, 5)];
        let mut words = vec![0_u64];
        for _ in 0..3 {
            let _ = take(&mut words, 0, &one, at(0));
        }
        assert!(!is_spare(&words, 0, &one, at(2_999)));
        assert!(is_spare(&words, 0, &one, at(3_000)));
    }

    #[test]
    fn time_that_stands_still_or_is_far_away_does_no_harm() {
        let one = [LeakyBucket::per_second(u32::MAX, u32::MAX)];
        let mut words = vec![0_u64];
        for nanos in [u64::MAX, 0, 1, u64::MAX >> 1] {
            assert!(take(&mut words, 0, &one, Time::from_nanos(nanos)).is_some());
        }
        let still = [LeakyBucket {
            leaks: 0,
            burst: 1,
            delay_after: Some(0),
        }];
        let mut words = vec![0_u64];
        let waits = [(); 3].map(|()| take(&mut words, 0, &still, at(1)));
        assert_eq!(waits, [Some(Duration::ZERO), Some(Duration::MAX), None]);
    }

    /// The source's own words: excess, last, and no packing.
    #[derive(Default)]
    struct Model {
        node: Option<(i64, i64)>,
    }

    impl Model {
        fn take(&mut self, rate: i64, burst: i64, now: i64) -> bool {
            let Some((excess, last)) = self.node else {
                self.node = Some((0, now));
                return true;
            };
            let ms = now - last;
            let excess = (excess - rate * ms / 1000 + 1000).max(0);
            if excess > burst * 1000 {
                return false;
            }
            self.node = Some((excess, if ms > 0 { now } else { last }));
            true
        }
    }

    proptest! {
        #[test]
        fn it_decides_as_the_source_does(
            rate in 1_u32..200, minute: bool, burst in 0_u32..12, gaps in prop::collection::vec(0_u64..900, 1..120)
        ) {
            let bucket = if minute { LeakyBucket::per_minute(rate, burst) } else { LeakyBucket::per_second(rate, burst) };
            let (mut words, mut model, mut now) = (vec![0_u64], Model::default(), 0);
            for gap in gaps {
                now += gap;
                let expected = model.take(bucket.leaks as i64, i64::from(burst), now as i64);
                prop_assert_eq!(take(&mut words, 0, &[bucket], at(now)).is_some(), expected);
            }
        }

        #[test]
        fn over_any_window_no_more_passes_than_the_burst_and_the_rate(
            rate in 1_u32..50, burst in 0_u32..20, gaps in prop::collection::vec(0_u64..400, 1..150)
        ) {
            let bucket = LeakyBucket::per_second(rate, burst);
            let (mut words, mut now, mut passed) = (vec![0_u64], 0, vec![]);
            for gap in gaps {
                now += gap;
                if take(&mut words, 0, &[bucket], at(now)).is_some() {
                    passed.push(now);
                }
            }
            for (i, from) in passed.iter().enumerate() {
                for (j, to) in passed.iter().enumerate().skip(i) {
                    let leaked = (to - from) * u64::from(rate) / 1_000;
                    prop_assert!((j - i) as u64 <= u64::from(burst) + leaked + 1);
                }
            }
        }
    }
}
