//! Envoy `RANDOM`.

use crate::draw::{DrawKey, Purpose};

use super::Hosts;

/// Any candidate, each with equal probability. Endpoint weights do not count, as in Envoy.
///
/// Source: Envoy v3 `source/extensions/load_balancing_policies/random/random_lb.cc`.
#[must_use]
pub fn pick(hosts: &impl Hosts, key: DrawKey) -> Option<usize> {
    let count = hosts.count() as u64;
    (count > 0).then(|| key.below(Purpose::Endpoint, 0, count) as usize)
}

/// An index with probability proportional to its weight; none if all weights are 0.
#[must_use]
pub fn weighted(
    weights: impl Iterator<Item = u64> + Clone,
    key: DrawKey,
    purpose: Purpose,
) -> Option<usize> {
    let sum: u64 = weights.clone().sum();
    let mut left = key.below(purpose, 0, sum);
    weights
        .into_iter()
        .position(|weight| match left.checked_sub(weight) {
            Some(rest) => {
                left = rest;
                false
            }
            None => true,
        })
}

#[cfg(test)]
mod tests {
    use super::super::testing::List;
    use super::*;

    #[test]
    fn hosts_are_drawn_evenly_whatever_their_weights() {
        let hosts = List::of(&[1, 100, 1]);
        let mut counts = [0_i32; 3];
        for seed in 0..9_000 {
            counts[pick(&hosts, DrawKey::root(seed)).unwrap()] += 1;
        }
        // 5 sigma of a binomial with 9000 trials of 1/3
        assert!(counts.iter().all(|c| (c - 3_000).abs() < 224), "{counts:?}");
    }

    #[test]
    fn weighted_draws_follow_the_weights_and_skip_zeros() {
        let weights = [0_u64, 1, 3, 0];
        let mut counts = [0_i32; 4];
        for seed in 0..8_000 {
            let drawn = weighted(
                weights.into_iter(),
                DrawKey::root(seed),
                Purpose::ClusterWeight,
            );
            counts[drawn.unwrap()] += 1;
        }
        assert_eq!((counts[0], counts[3]), (0, 0));
        assert!((counts[1] - 2_000).abs() < 194, "{counts:?}");
        let none = weighted([0, 0].into_iter(), DrawKey::root(1), Purpose::ClusterWeight);
        assert_eq!(none, None);
    }
}
