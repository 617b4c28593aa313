//! What a token bucket lets through. It is the core's own, under arrivals drawn as those of a load are.

use proxy_core::draw::{DrawKey, Purpose};
use proxy_core::limit::token_bucket::{Refill, Settings, TokenBucket};
use proxy_core::time::{Duration, Time};
use scenarios::distribution::Distribution;

use crate::kit::NARROW;
use crate::kit::interval::{BATCHES, Comparison};

const PER_SECOND: u32 = 100;

fn settings(tokens: u32) -> Settings {
    Settings {
        max_tokens: tokens,
        tokens_per_fill: PER_SECOND,
        fill_interval: Duration::from_secs(1),
        refill: Refill::Continuous,
    }
}

#[test]
fn a_bucket_under_too_many_even_requests_passes_its_burst_and_then_its_rate() {
    for (tokens, rate) in [(1, 200), (50, 101), (50, 1_000), (500, 777)] {
        let mut words = vec![0; TokenBucket::WORDS];
        let seconds = 200_u64;
        let passed = (0..seconds * rate)
            .map(|n| Time::from_nanos(n * 1_000_000_000 / rate))
            .filter(|&at| TokenBucket::new(0).try_take(&mut words, &settings(tokens), at, 1))
            .count() as u64;
        // tokens that came between the first request and the last one
        let span = (seconds * rate - 1) * u64::from(PER_SECOND) / rate;
        assert_eq!(passed, u64::from(tokens) + span, "{tokens} at {rate}/s");
    }
}

/// The share that M/D/1/K loses at `load`, from the number left behind by departures (Gross and Harris, 3rd ed., §5.1.7).
///
/// A bucket of K tokens is this queue: the tokens missing are its work, and a request is let in while fewer than K are missing.
fn md1k_loss(load: f64, k: usize) -> f64 {
    let arrivals: Vec<f64> = (0..k)
        .scan(libm::exp(-load), |term, n| {
            let now = *term;
            *term *= load / (n + 1) as f64;
            Some(now)
        })
        .collect();
    let mut left = vec![1.0];
    for j in 0..k - 1 {
        let above: f64 = (1..=j).map(|i| left[i] * arrivals[j + 1 - i]).sum();
        left.push((left[j] - left[0] * arrivals[j] - above) / arrivals[0]);
    }
    let total: f64 = left.iter().sum();
    1.0 - 1.0 / (left[0] / total + load)
}

#[test]
fn a_bucket_under_poisson_requests_refuses_what_an_md1k_queue_loses() {
    let mut comparison = Comparison::default();
    for (tokens, load, each) in [(1, 1.0, 10_000), (5, 0.9, 40_000), (20, 1.2, 20_000)] {
        let gaps = Distribution::exponential(1e9 / (load * f64::from(PER_SECOND)));
        let gaps = gaps.expect("a mean above zero");
        let mut words = vec![0; TokenBucket::WORDS];
        let mut now = Time::ZERO;
        let root = DrawKey::root(11);
        let mut refused = |batch: u64| {
            let requests = 0..each;
            let refused = requests.filter(|n| {
                let key = root.child(batch * each + n);
                now += gaps.sample(key.unit(Purpose::Arrival, 0));
                !TokenBucket::new(0).try_take(&mut words, &settings(tokens), now, 1)
            });
            refused.count() as f64 / each as f64
        };
        let _warm_up = refused(0);
        let found = (1..=BATCHES as u64).map(refused);
        let name = format!("{tokens} tokens at {load}");
        comparison.holds(&name, md1k_loss(load, tokens as usize), found, NARROW);
    }
    comparison.finish();
}
