//! Envoy `ROUND_ROBIN`.

use crate::draw::{DrawKey, Purpose};

use super::Hosts;
use super::edf::Edf;
use super::weights;

/// Picks candidates in turn: a plain rotation when weights are equal, else an earliest-deadline schedule.
///
/// It starts anywhere, so that workers and proxies do not all begin at the first host. The rotation goes on where it
/// was when the candidates change; a schedule is made anew.
///
/// Source: Envoy v3 `source/extensions/load_balancing_policies/round_robin/round_robin_lb.h` and
/// `…/common/load_balancer_impl.cc` (`EdfLoadBalancerBase::refresh`).
#[derive(Clone, Debug)]
pub struct RoundRobin {
    seed: u64,
    next: u64,
    schedule: Option<Edf>,
}

impl RoundRobin {
    /// A rotation whose start `key` draws: one key per worker and cluster.
    #[must_use]
    pub const fn new(key: DrawKey) -> Self {
        let seed = key.bits(Purpose::RotationStart, 0);
        Self {
            seed,
            next: seed,
            schedule: None,
        }
    }

    /// Adapts to changed candidates.
    pub fn refresh(&mut self, hosts: &impl Hosts) {
        self.schedule = weights::schedule(hosts, self.seed, |i| weight(hosts, i));
    }

    /// The next candidate in turn.
    pub fn pick(&mut self, hosts: &impl Hosts) -> Option<usize> {
        if let Some(schedule) = &mut self.schedule {
            return schedule.pick(|i| weight(hosts, i));
        }
        let index = self.next.checked_rem(hosts.count() as u64)?;
        self.next = self.next.wrapping_add(1);
        Some(index as usize)
    }
}

fn weight(hosts: &impl Hosts, i: usize) -> f64 {
    f64::from(hosts.weight(i)) * hosts.slow_start(i)
}

#[cfg(test)]
mod tests {
    use super::super::testing::List;
    use super::*;
    use proptest::prelude::*;

    fn picks(balancer: &mut RoundRobin, hosts: &List, count: usize) -> Vec<usize> {
        (0..count).filter_map(|_| balancer.pick(hosts)).collect()
    }

    #[test]
    fn equal_weights_rotate_from_a_drawn_start() {
        let mut starts = std::collections::BTreeSet::new();
        for seed in 0..50 {
            let hosts = List::of(&[7, 7, 7]);
            let mut balancer = RoundRobin::new(DrawKey::root(seed));
            balancer.refresh(&hosts);
            let picked = picks(&mut balancer, &hosts, 6);
            starts.insert(picked[0]);
            for (n, host) in picked.iter().enumerate() {
                assert_eq!(*host, (picked[0] + n) % 3);
            }
        }
        assert_eq!(starts.len(), 3);
    }

    #[test]
    fn a_slow_starting_host_gets_its_share() {
        let mut hosts = List::equal(2);
        hosts.slow_start = vec![1.0, 0.1];
        let mut balancer = RoundRobin::new(DrawKey::root(1));
        balancer.refresh(&hosts);
        let second = picks(&mut balancer, &hosts, 1_100)
            .iter()
            .filter(|&&h| h == 1)
            .count();
        assert!((99..=101).contains(&second), "{second}");
    }

    proptest! {
        #[test]
        fn weights_are_kept_to_over_any_whole_round(weights in prop::collection::vec(1_u32..30, 2..8), seed: u64) {
            let hosts = List::of(&weights);
            let mut balancer = RoundRobin::new(DrawKey::root(seed));
            balancer.refresh(&hosts);
            let sum: u32 = weights.iter().sum();
            let mut counts = vec![0_i64; weights.len()];
            for host in picks(&mut balancer, &hosts, sum as usize) {
                counts[host] += 1;
            }
            // a start within a round may shift one pick of a host across its ends
            let off = counts.iter().zip(&weights).map(|(c, w)| (c - i64::from(*w)).abs()).max();
            prop_assert!(off <= Some(1), "{:?}", counts);
        }
    }
}
