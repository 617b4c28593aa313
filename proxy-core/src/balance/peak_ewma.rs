//! Linkerd's balancer: the lower of two estimated loads.

use crate::draw::{DrawKey, Purpose};
use crate::time::{Duration, Time};
use crate::words::Words;

use super::Hosts;

/// Two different random endpoints; the lower estimate times (requests under way + 1) wins, the first a tie.
///
/// Source: linkerd2-proxy `linkerd/pool/p2c/src/lib.rs`, `linkerd/load-biaser/src/lib.rs`.
#[must_use]
pub fn pick(hosts: &impl Hosts, key: DrawKey) -> Option<usize> {
    let count = hosts.count() as u64;
    match count {
        0 => None,
        1 => Some(0),
        _ => {
            let a = key.below(Purpose::Endpoint, 0, count);
            let b = key.below(Purpose::Endpoint, 1, count - 1);
            let b = if b >= a { b + 1 } else { b };
            let load = |i: u64| hosts.latency(i as usize) * (hosts.active(i as usize) + 1) as f64;
            Some(if load(a) <= load(b) { a } else { b } as usize)
        }
    }
}

/// An estimate of an endpoint's response time that jumps up with a slow answer and forgets it by and by.
///
/// A sample above the decayed estimate replaces it; another one is mixed in with weight 1 − e^(−Δt/τ). An estimate decays
/// towards 0 while nothing is measured, so that an endpoint that was slow once is tried again.
///
/// Layout: word 0 is the estimate in seconds, word 1 the moment it was made; both zero: nothing is estimated yet.
///
/// Source: linkerd2-proxy `linkerd/ewma/src/lib.rs` (`add_peak`, `get_at`); Finagle `PeakEwma`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PeakEwma {
    at: usize,
}

impl PeakEwma {
    /// Length of its block.
    pub const WORDS: usize = 2;

    /// The estimate whose block starts at `at`.
    #[must_use]
    pub const fn new(at: usize) -> Self {
        Self { at }
    }

    /// Begins with `seconds` as the estimate, unless there is one.
    pub fn begin(self, words: &mut impl Words, seconds: f64, now: Time) {
        if words.get(self.at) == 0 {
            self.store(words, seconds, now);
        }
    }

    /// Takes a measured response time in; a peak counts at once.
    pub fn add(self, words: &mut impl Words, sample: Duration, decay: Duration, now: Time) {
        let kept = self.kept(words, decay, now);
        let decayed = words.float(self.at) * kept;
        let sample = sample.as_secs_f64();
        let new = if sample > decayed {
            sample
        } else {
            decayed + sample * (1.0 - kept)
        };
        self.store(words, new, now);
    }

    /// Takes a measured response time in as a plain average does, peaks too (Kong).
    ///
    /// Source: kong `kong/runloop/balancer/latency.lua` (`decay_ewma`).
    pub fn mix(self, words: &mut impl Words, sample: Duration, decay: Duration, now: Time) {
        let kept = self.kept(words, decay, now);
        let new = words.float(self.at) * kept + sample.as_secs_f64() * (1.0 - kept);
        self.store(words, new, now);
    }

    /// The estimate in seconds as it has decayed until now; 0 where nothing is estimated.
    pub fn estimate(self, words: &impl Words, decay: Duration, now: Time) -> f64 {
        words.float(self.at) * self.kept(words, decay, now)
    }

    /// The estimate in seconds as it was made last; 0 where nothing is estimated.
    pub fn stored(self, words: &impl Words) -> f64 {
        words.float(self.at)
    }

    fn kept(self, words: &impl Words, decay: Duration, now: Time) -> f64 {
        let elapsed = now.since(words.time(self.at + 1)).as_secs_f64();
        libm::exp(-elapsed / decay.max(Duration::from_millis(1)).as_secs_f64())
    }

    fn store(self, words: &mut impl Words, seconds: f64, now: Time) {
        words.set_float(self.at, seconds);
        words.set_time(self.at + 1, now);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::List;
    use super::*;

    #[test]
    fn the_lower_load_wins_and_two_hosts_are_always_compared() {
        let mut hosts = List::equal(2);
        hosts.latency = vec![0.010, 0.010];
        hosts.active = vec![3, 0];
        assert!((0..100).all(|n| pick(&hosts, DrawKey::root(n)) == Some(1)));
        hosts.latency = vec![0.001, 0.010];
        assert!(
            (0..100).all(|n| pick(&hosts, DrawKey::root(n)) == Some(0)),
            "4 × 1 ms < 10 ms"
        );
    }

    #[test]
    fn a_peak_is_taken_at_once_and_decays() {
        let tau = Duration::from_secs(10);
        let mut words = vec![0_u64; PeakEwma::WORDS];
        let ewma = PeakEwma::new(0);
        let at = |s: u64| Time::ZERO + Duration::from_secs(s);
        let is = |words: &Vec<u64>, now, expected: f64| {
            (ewma.estimate(words, tau, now) - expected).abs() < 1e-12
        };
        let e = libm::exp(-1.0);
        assert!(is(&words, at(5), 0.0));
        ewma.begin(&mut words, 0.030, at(1));
        assert!(is(&words, at(1), 0.030) && is(&words, at(11), 0.030 * e));
        ewma.begin(&mut words, 7.0, at(1));
        assert!(is(&words, at(1), 0.030), "it had begun");
        ewma.add(&mut words, Duration::from_millis(500), tau, at(1));
        assert!(is(&words, at(1), 0.5));
        ewma.add(&mut words, Duration::from_millis(10), tau, at(11));
        assert!(is(&words, at(11), 0.5 * e + 0.010 * (1.0 - e)));
        // 0.19 s have decayed to 0.0095 s
        ewma.add(&mut words, Duration::from_millis(10), tau, at(41));
        assert!(is(&words, at(41), 0.010), "a small peak over what is left");
    }

    #[test]
    fn a_plain_average_knows_no_peaks() {
        let tau = Duration::from_secs(10);
        let mut words = vec![0_u64; PeakEwma::WORDS];
        let ewma = PeakEwma::new(0);
        let at = |s: u64| Time::ZERO + Duration::from_secs(s);
        ewma.begin(&mut words, 0.1, at(0));
        ewma.mix(&mut words, Duration::from_secs(1), tau, at(10));
        let e = libm::exp(-1.0);
        let estimate = ewma.estimate(&words, tau, at(10));
        assert!((estimate - (0.1 * e + 1.0 - e)).abs() < 1e-12, "{estimate}");
    }

    #[test]
    fn a_host_that_was_slow_once_is_tried_again() {
        let tau = Duration::from_secs(10);
        let mut words = vec![0_u64; 2 * PeakEwma::WORDS];
        let (slow, fast) = (PeakEwma::new(0), PeakEwma::new(PeakEwma::WORDS));
        let mut hosts = List::equal(2);
        slow.add(&mut words, Duration::from_secs(5), tau, Time::ZERO);
        let first = (0..1_000).find(|second| {
            let now = Time::ZERO + Duration::from_secs(*second);
            fast.add(&mut words, Duration::from_millis(50), tau, now);
            let estimate = |ewma: PeakEwma| ewma.estimate(&words, tau, now);
            hosts.latency = vec![estimate(slow), estimate(fast)];
            pick(&hosts, DrawKey::root(*second)) == Some(0)
        });
        // 5 s · e^(−t / 10 s) falls below 50 ms after 46 s
        assert_eq!(first, Some(47));
    }

    #[test]
    fn any_two_of_many_are_compared() {
        let mut hosts = List::equal(4);
        hosts.latency = vec![0.001, 0.002, 0.003, 0.004];
        let mut counts = [0_i32; 4];
        for seed in 0..6_000 {
            counts[pick(&hosts, DrawKey::root(seed)).unwrap()] += 1;
        }
        // of the six pairs the i-th fastest wins 3, 2, 1 and 0; 5 sigma of 6 000 trials of 1/2 is 194
        for (count, expected) in counts.into_iter().zip([3_000, 2_000, 1_000, 0]) {
            assert!((count - expected).abs() < 194, "{counts:?}");
        }
    }
}
