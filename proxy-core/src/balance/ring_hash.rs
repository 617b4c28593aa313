//! Envoy `RING_HASH`: a ketama ring.

use xxhash_rust::xxh64::xxh64;

use super::Hosts;
use super::weights::Normalized;

/// Points on a circle; a request goes to the next point clockwise of its hash.
///
/// Each host has points in proportion to its weight, at the hashes of `key_0`, `key_1`, …; the lightest host has at
/// least one point, and the ring no fewer than `min_size` and no more than `max_size` points.
///
/// Source: Envoy v3 `source/extensions/load_balancing_policies/ring_hash/ring_hash_lb.cc`.
#[derive(Clone, Debug)]
pub struct RingHash {
    min_size: u64,
    max_size: u64,
    /// Hash and host, by hash.
    points: Vec<(u64, u32)>,
}

impl RingHash {
    /// An empty ring. Envoy's sizes: 1024 and 8 388 608.
    #[must_use]
    pub fn new(min_size: u64, max_size: u64) -> Self {
        Self {
            min_size: min_size.min(max_size),
            max_size,
            points: Vec::new(),
        }
    }

    /// Places the points of the candidates as they now are.
    pub fn refresh(&mut self, hosts: &impl Hosts, weights: &Normalized) {
        self.points.clear();
        if weights.shares.is_empty() {
            return;
        }
        let scale = (libm::ceil(weights.min * self.min_size as f64) / weights.min)
            .min(self.max_size as f64);
        let (mut current, mut target) = (0.0, 0.0);
        let mut name = String::new();
        for &(host, share) in &weights.shares {
            let key = hosts.key(host as usize);
            target += scale * share;
            let mut i = 0_u64;
            while current < target {
                name.clear();
                name.push_str(key);
                name.push('_');
                name.push_str(&i.to_string());
                self.points.push((xxh64(name.as_bytes(), 0), host));
                i += 1;
                current += 1.0;
            }
        }
        self.points.sort_unstable();
    }

    /// The host for a hash; each rejection of this pick moves one point on.
    #[must_use]
    pub fn pick(&self, hash: u64, rejected: u32) -> Option<usize> {
        let next = self.points.partition_point(|(point, _)| *point < hash);
        let index = (next + rejected as usize).checked_rem(self.points.len())?;
        Some(self.points[index].1 as usize)
    }

    /// How many points there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.points.len()
    }

    /// Whether there is nothing to pick.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.points.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::List;
    use super::*;
    use proptest::prelude::*;

    fn ring(hosts: &List, min_size: u64) -> RingHash {
        let mut ring = RingHash::new(min_size, 8 << 20);
        ring.refresh(hosts, &Normalized::flat(hosts));
        ring
    }

    #[test]
    fn the_ring_is_at_least_its_least_size_and_proportional() {
        let hosts = List::of(&[1, 3]);
        let ring = ring(&hosts, 1024);
        assert_eq!(ring.len(), 1024);
        let first = ring.points.iter().filter(|(_, host)| *host == 0).count();
        assert_eq!(first, 256);
    }

    #[test]
    fn a_host_that_leaves_moves_only_its_own_keys() {
        let hosts = List::equal(10);
        let before = ring(&hosts, 10_240);
        let mut fewer = List::equal(10);
        fewer.keys.remove(9);
        fewer.weights.remove(9);
        fewer.active.remove(9);
        let after = ring(&fewer, 10_240);
        let (mut moved, mut owned) = (0, 0);
        for n in 0..20_000_u64 {
            let hash = xxh64(&n.to_le_bytes(), 0);
            let old = before.pick(hash, 0).unwrap();
            if old == 9 {
                owned += 1;
            } else if after.pick(hash, 0) != Some(old) {
                moved += 1;
            }
        }
        // the ring has another number of points for each host, so a few others move at the ends
        assert!(
            owned > 1_500 && moved < 2_500,
            "{owned} owned, {moved} moved besides"
        );
    }

    proptest! {
        #[test]
        fn every_host_has_points_in_proportion_and_the_ring_keeps_its_bounds(
            weights in prop::collection::vec(1_u32..20, 1..10), min in 1_u64..3_000, room in 0_u64..3_000
        ) {
            let hosts = List::of(&weights);
            let max = min + room;
            let mut ring = RingHash::new(min, max);
            ring.refresh(&hosts, &Normalized::flat(&hosts));
            // rounding the last host's points up may add one
            prop_assert!(ring.len() as u64 >= min && ring.len() as u64 <= max + 1, "{}", ring.len());
            let sum: u32 = weights.iter().sum();
            for (i, weight) in weights.iter().enumerate() {
                let own = ring.points.iter().filter(|(_, host)| *host as usize == i).count();
                let share = ring.len() as f64 * f64::from(*weight) / f64::from(sum);
                prop_assert!((own as f64 - share).abs() <= 2.0, "{} of {}", own, share);
            }
        }
    }

    #[test]
    fn keys_spread_over_the_hosts_the_better_the_larger_the_ring() {
        let hosts = List::equal(10);
        for (size, off) in [(1_024, 0.30), (65_536, 0.05)] {
            let ring = ring(&hosts, size);
            let mut counts = [0_u32; 10];
            for n in 0..40_000_u64 {
                counts[ring.pick(xxh64(&n.to_le_bytes(), 0), 0).unwrap()] += 1;
            }
            let worst = counts.iter().map(|c| (f64::from(*c) / 4_000.0 - 1.0).abs());
            let worst = worst.fold(0.0, f64::max);
            assert!(worst < off, "{size}: {counts:?}");
        }
    }

    #[test]
    fn rejections_walk_on() {
        let ring = ring(&List::equal(3), 1024);
        let seen: std::collections::BTreeSet<_> =
            (0..200).filter_map(|r| ring.pick(42, r)).collect();
        assert_eq!(seen.len(), 3);
        assert_eq!(RingHash::new(1024, 2048).pick(1, 0), None);
    }

    /// Envoy: `minimum_ring_size`, `maximum_ring_size`; the lightest host has a whole number of points.
    #[test]
    fn the_ring_is_as_large_as_whole_points_of_the_lightest_host_make_it() {
        for (hosts, min, max, len) in [
            (1, 1_024, 8 << 20, 1_024),
            (4, 1_024, 8 << 20, 1_024),
            (3, 1_024, 8 << 20, 1_026),
            (10, 1_024, 8 << 20, 1_030),
            (2_000, 1_024, 8 << 20, 2_000),
            (2_000, 1_024, 1_024, 1_024),
            (10, 1_024, 1_024, 1_024),
            (4, 2_048, 1_024, 1_024),
        ] {
            let list = List::equal(hosts);
            let mut ring = RingHash::new(min, max);
            ring.refresh(&list, &Normalized::flat(&list));
            // sums of shares may round up to a point more
            let off = ring.len() - len;
            assert!(off <= 1, "{hosts} hosts, {min} to {max}: {}", ring.len());
        }
    }

    proptest! {
        #[test]
        fn a_hash_finds_the_next_point_clockwise(hosts in 1_usize..8, hash: u64, rejected in 0_u32..2_000) {
            let ring = ring(&List::equal(hosts), 128);
            let next = ring.points.iter().position(|(point, _)| *point >= hash).unwrap_or(0);
            let (_, host) = ring.points[(next + rejected as usize) % ring.len()];
            prop_assert_eq!(ring.pick(hash, rejected), Some(host as usize));
        }
    }
}
