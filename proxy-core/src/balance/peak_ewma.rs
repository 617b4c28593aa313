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
/// A sample above the decayed estimate replaces it; another one is mixed in with weight 1 − e^(−Δt/τ).
///
/// Layout: word 0 is the estimate in seconds, word 1 the moment it was made; both zero: nothing was measured yet.
///
/// Source: linkerd2-proxy `linkerd/ewma/src/lib.rs`; Finagle `PeakEwma`.
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

    /// Takes a measured response time in.
    pub fn add(
        self,
        words: &mut impl Words,
        sample: Duration,
        default: Duration,
        decay: Duration,
        now: Time,
    ) {
        let estimate = self.estimate(words, default);
        let sample = sample.as_secs_f64();
        let elapsed = now.since(words.time(self.at + 1)).as_secs_f64();
        let kept = libm::exp(-elapsed / decay.as_secs_f64().max(1e-9));
        let decayed = estimate * kept;
        let new = if sample > decayed {
            sample
        } else {
            decayed + sample * (1.0 - kept)
        };
        words.set_float(self.at, new.max(f64::MIN_POSITIVE));
        words.set_time(self.at + 1, now);
    }

    /// The estimate in seconds.
    pub fn estimate(self, words: &impl Words, default: Duration) -> f64 {
        let estimate = words.float(self.at);
        if estimate == 0.0 {
            default.as_secs_f64()
        } else {
            estimate
        }
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
        let (default, tau) = (Duration::from_millis(30), Duration::from_secs(10));
        let mut words = vec![0_u64; PeakEwma::WORDS];
        let ewma = PeakEwma::new(0);
        let at = |s: u64| Time::ZERO + Duration::from_secs(s);
        assert!((ewma.estimate(&words, default) - 0.030).abs() < 1e-12);
        ewma.add(&mut words, Duration::from_millis(500), default, tau, at(1));
        assert!((ewma.estimate(&words, default) - 0.5).abs() < 1e-12);
        ewma.add(&mut words, Duration::from_millis(10), default, tau, at(11));
        let e = libm::exp(-1.0);
        let expected = 0.5 * e + 0.010 * (1.0 - e);
        assert!((ewma.estimate(&words, default) - expected).abs() < 1e-12);
    }
}
