//! Consistent hashing with bounded loads.

use super::Hosts;
use super::weights::Normalized;
use crate::draw::{DrawKey, Purpose};

/// Turns a hashed choice down when its host has more than its share of what is under way.
///
/// A host may carry `factor` per cent of the average, by its weight. A full host is left for another one in an order
/// that the hash draws; when all are full, the one closest to its bound is taken.
///
/// Source: Mirrokni et al. 2016; Envoy `source/extensions/load_balancing_policies/common/thread_aware_lb_impl.cc`
/// (`BoundedLoadHashingLoadBalancer`).
#[derive(Clone, Debug)]
pub struct BoundedLoad {
    factor: u32,
    shares: Vec<(u32, f64)>,
}

impl BoundedLoad {
    /// `factor` is at least 100.
    #[must_use]
    pub fn new(factor: u32) -> Self {
        Self {
            factor: factor.max(100),
            shares: Vec::new(),
        }
    }

    /// Takes the shares of the candidates over.
    pub fn refresh(&mut self, weights: &Normalized) {
        self.shares.clone_from(&weights.shares);
    }

    fn overload(&self, hosts: &impl Hosts, total: u64, host: usize, share: f64) -> f64 {
        let bound = libm::ceil((total + 1) as f64 * share * f64::from(self.factor) / 100.0);
        (hosts.active(host) + 1) as f64 / bound.max(1.0)
    }

    /// `first`, or the host that takes its place.
    #[must_use]
    pub fn settle(&self, hosts: &impl Hosts, total: u64, hash: u64, first: usize) -> usize {
        let share_of = |host: usize| {
            let found = self.shares.iter().find(|(h, _)| *h as usize == host);
            found.map_or(0.0, |(_, share)| *share)
        };
        if self.overload(hosts, total, first, share_of(first)) <= 1.0 {
            return first;
        }
        let key = DrawKey::root(hash);
        let count = self.shares.len() as u64;
        let start = key.below(Purpose::HashFallback, 1, count);
        let mut best = (f64::INFINITY, first);
        for i in 0..count {
            let (host, share) = self.shares[((start + i) % count) as usize];
            let load = self.overload(hosts, total, host as usize, share);
            if load <= 1.0 {
                return host as usize;
            }
            if load < best.0 {
                best = (load, host as usize);
            }
        }
        best.1
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::List;
    use super::*;

    #[test]
    fn a_full_host_is_left_for_one_with_room() {
        let mut hosts = List::equal(4);
        let mut bounded = BoundedLoad::new(150);
        bounded.refresh(&Normalized::flat(&hosts));
        hosts.active = vec![4, 0, 0, 0];
        // bound: ceil((4 + 1) / 4 * 1.5) = 2
        assert_ne!(bounded.settle(&hosts, 4, 9, 0), 0);
        assert_eq!(bounded.settle(&hosts, 4, 9, 2), 2);
        hosts.active = vec![9, 3, 9, 9];
        assert_eq!(bounded.settle(&hosts, 4, 9, 0), 1, "all full: the least so");
    }
}
