//! Consistent hashing with bounded loads.

use super::Hosts;
use super::weights::Normalized;
use crate::draw::{DrawKey, Purpose};

/// Turns a hashed choice down when its host has more than its share of what is under way.
///
/// A host is full once it has more under way than `factor` per cent of the average, by its weight. It is left for another
/// one in an order that the hash draws, a different one for each hash so that its neighbour does not get all of it; when
/// all are full, the one least above its bound is taken.
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
        let slots = ((total + 1) * u64::from(self.factor)).div_ceil(100);
        hosts.active(host) as f64 / libm::ceil(slots as f64 * share).max(1.0)
    }

    /// `first`, or the host that takes its place.
    #[must_use]
    pub fn settle(&self, hosts: &impl Hosts, total: u64, hash: u64, first: usize) -> usize {
        let share_of = |host: usize| {
            let found = self.shares.iter().find(|(h, _)| *h as usize == host);
            found.map_or(0.0, |(_, share)| *share)
        };
        let own = self.overload(hosts, total, first, share_of(first));
        if own <= 1.0 {
            return first;
        }
        let key = DrawKey::root(hash);
        let mut with_room: Option<(u64, usize)> = None;
        let mut least = (own, u64::MAX, first);
        for &(host, share) in &self.shares {
            let place = key.bits(Purpose::HashFallback, host);
            let load = self.overload(hosts, total, host as usize, share);
            if load <= 1.0 {
                if with_room.is_none_or(|(earliest, _)| place < earliest) {
                    with_room = Some((place, host as usize));
                }
            } else if load < least.0 || (load == least.0 && place < least.1 && load < own) {
                least = (load, place, host as usize);
            }
        }
        with_room.map_or(least.2, |(_, host)| host)
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
        // slots: ceil(ceil(1.5 * (4 + 1)) / 4) = 2
        for (active, full) in [(1, false), (2, false), (3, true), (4, true)] {
            hosts.active = vec![active, 0, 0, 0];
            assert_eq!(bounded.settle(&hosts, 4, 9, 0) != 0, full, "{active}");
        }
        assert_eq!(bounded.settle(&hosts, 4, 9, 2), 2);
        hosts.active = vec![9, 3, 9, 9];
        assert_eq!(bounded.settle(&hosts, 4, 9, 0), 1, "all full: the least so");
    }

    #[test]
    fn what_a_full_host_turns_down_spreads_over_all_others() {
        let mut hosts = List::equal(6);
        let mut bounded = BoundedLoad::new(120);
        bounded.refresh(&Normalized::flat(&hosts));
        hosts.active = vec![50, 0, 0, 0, 0, 0];
        let mut counts = [0_u32; 6];
        for hash in 0..5_000_u64 {
            counts[bounded.settle(&hosts, 50, hash, 0)] += 1;
        }
        assert_eq!(counts[0], 0);
        // 5 sigma of 5 000 trials of a fifth is 141
        assert!(
            counts[1..].iter().all(|c| (859..1_141).contains(c)),
            "{counts:?}"
        );
    }

    #[test]
    fn a_request_always_goes_to_the_same_place_while_nothing_changes() {
        let mut hosts = List::of(&[1, 2, 3]);
        let mut bounded = BoundedLoad::new(100);
        bounded.refresh(&Normalized::flat(&hosts));
        hosts.active = vec![3, 3, 3];
        for hash in 0..100 {
            let settled = bounded.settle(&hosts, 9, hash, 0);
            assert_eq!(settled, bounded.settle(&hosts, 9, hash, 0));
            assert_ne!(settled, 0, "3 requests where 2 may be");
        }
    }
}
