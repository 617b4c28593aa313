//! ingress-nginx' `ewma`.

use crate::draw::{DrawKey, Purpose};

use super::Hosts;

/// Two different random endpoints that the request has not been to, or of all once it has been to each; the lower estimated response time wins,
/// the first drawn a tie. Neither weights nor requests under way have a say, and an estimate decays while nothing is measured.
///
/// Source: ingress-nginx 1.15 `rootfs/etc/nginx/lua/balancer/ewma.lua` (`balance`, `pick_and_score`).
#[must_use]
pub fn ewma(hosts: &impl Hosts, tried: impl Fn(usize) -> bool, key: DrawKey) -> Option<usize> {
    let count = hosts.count();
    let fresh = (0..count).filter(|i| !tried(*i)).count();
    let (among, left): (usize, &dyn Fn(usize) -> bool) = match fresh {
        0 => (count, &|_| true),
        fresh => (fresh, &|i| !tried(i)),
    };
    let nth = |n: u64| (0..count).filter(|i| left(*i)).nth(n as usize);
    if among < 2 {
        return nth(0);
    }
    let first = key.below(Purpose::Endpoint, 0, among as u64);
    let second = key.below(Purpose::Endpoint, 1, among as u64 - 1);
    let second = if second >= first { second + 1 } else { second };
    let (first, second) = (nth(first)?, nth(second)?);
    let later = hosts.latency(second) < hosts.latency(first);
    Some(if later { second } else { first })
}

#[cfg(test)]
mod tests {
    use super::super::testing::List;
    use super::*;

    fn counts(hosts: &List, tried: &[usize]) -> Vec<usize> {
        let mut counts = vec![0; hosts.weights.len()];
        for seed in 0..6_000 {
            let picked = ewma(hosts, |i| tried.contains(&i), DrawKey::root(seed));
            counts[picked.unwrap()] += 1;
        }
        counts
    }

    #[test]
    fn the_lower_estimate_of_two_wins_whatever_is_under_way() {
        let mut hosts = List::of(&[1, 100, 1, 1]);
        hosts.latency = vec![0.001, 0.002, 0.003, 0.004];
        hosts.active = vec![1_000, 0, 0, 0];
        // of the six pairs the i-th fastest wins 3, 2, 1 and 0; 5 sigma of 6 000 trials of 1/2 is 194
        for (count, expected) in counts(&hosts, &[])
            .into_iter()
            .zip([3_000, 2_000, 1_000, 0_i32])
        {
            assert!((count as i32 - expected).abs() < 194, "{count} {expected}");
        }
    }

    #[test]
    fn those_that_the_request_has_been_to_are_left_out_while_there_are_others() {
        let mut hosts = List::equal(3);
        hosts.latency = vec![0.001, 0.002, 0.003];
        assert_eq!(counts(&hosts, &[0]), [0, 6_000, 0]);
        assert_eq!(counts(&hosts, &[0, 1]), [0, 0, 6_000]);
        let again = counts(&hosts, &[0, 1, 2]);
        assert!(
            again[0] > 3_500 && again[1] > 1_500 && again[2] == 0,
            "{again:?}"
        );
    }

    #[test]
    fn without_estimates_all_are_alike() {
        let all = counts(&List::equal(3), &[]);
        assert!(
            all.iter().all(|count| count.abs_diff(2_000) < 190),
            "{all:?}"
        );
    }
}
