//! Envoy `MAGLEV`: a lookup table filled by turns.

use xxhash_rust::xxh64::xxh64;

use super::Hosts;
use super::weights::Normalized;

/// A table of a prime size. Hosts take turns in claiming the next free entry of their own permutation; a host of a
/// smaller weight sits turns out. The order of turns is that of the hosts' keys, so that the order of the candidates
/// does not matter.
///
/// Source: Eisenbud et al. 2016, §3.4; Envoy v3
/// `source/extensions/load_balancing_policies/maglev/maglev_lb.cc`.
#[derive(Clone, Debug)]
pub struct Maglev {
    size: u64,
    table: Vec<u32>,
}

impl Maglev {
    /// An empty table. Envoy's size: 65 537.
    #[must_use]
    pub const fn new(size: u64) -> Self {
        Self {
            size,
            table: Vec::new(),
        }
    }

    /// Fills the table for the candidates as they now are.
    pub fn refresh(&mut self, hosts: &impl Hosts, weights: &Normalized) {
        self.table.clear();
        if weights.shares.is_empty() || self.size < 2 {
            return;
        }
        struct Claim {
            host: u32,
            weight: f64,
            offset: u64,
            skip: u64,
            next: u64,
            target: f64,
            count: u64,
        }
        let mut claims: Vec<Claim> = weights
            .shares
            .iter()
            .map(|&(host, weight)| {
                let key = hosts.key(host as usize).as_bytes();
                Claim {
                    host,
                    weight,
                    offset: xxh64(key, 0) % self.size,
                    skip: xxh64(key, 1) % (self.size - 1) + 1,
                    next: 0,
                    target: 0.0,
                    count: 0,
                }
            })
            .collect();
        claims.sort_by_key(|claim| hosts.key(claim.host as usize));
        const FREE: u32 = u32::MAX;
        self.table.resize(self.size as usize, FREE);
        let mut filled = 0;
        for round in 1_u64.. {
            for claim in &mut claims {
                if round as f64 * claim.weight < claim.target {
                    continue;
                }
                claim.target += weights.max;
                let slot = loop {
                    let slot = (claim.offset + claim.skip * claim.next) % self.size;
                    claim.next += 1;
                    if self.table[slot as usize] == FREE {
                        break slot;
                    }
                };
                self.table[slot as usize] = claim.host;
                claim.count += 1;
                filled += 1;
                if filled == self.size {
                    return;
                }
            }
        }
    }

    /// The host for a hash; a rejection of this pick looks elsewhere.
    #[must_use]
    pub fn pick(&self, hash: u64, rejected: u32) -> Option<usize> {
        // a rejected pick goes on with another hash, as Envoy's: it flips all bits that are not needed to tell apart
        let hash = if rejected > 0 {
            hash ^ (!0_u64 - u64::from(rejected) + 1)
        } else {
            hash
        };
        let index = hash.checked_rem(self.table.len() as u64)?;
        Some(self.table[index as usize] as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::List;
    use super::*;
    use proptest::prelude::*;

    fn table(hosts: &List) -> Maglev {
        let mut maglev = Maglev::new(65_537);
        maglev.refresh(hosts, &Normalized::flat(hosts));
        maglev
    }

    fn counts(maglev: &Maglev, hosts: usize) -> Vec<u32> {
        let mut counts = vec![0; hosts];
        for host in &maglev.table {
            counts[*host as usize] += 1;
        }
        counts
    }

    #[test]
    fn equal_hosts_differ_by_one_entry_at_most() {
        let counts = counts(&table(&List::equal(10)), 10);
        let (min, max) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
        assert!(max - min <= 1, "{counts:?}");
    }

    #[test]
    fn weights_show_in_the_table() {
        let counts = counts(&table(&List::of(&[1, 2, 5])), 3);
        for (count, share) in counts.iter().zip([0.125, 0.25, 0.625]) {
            let off = (f64::from(*count) / 65_537.0 - share).abs();
            assert!(off < 0.001, "{counts:?}");
        }
    }

    #[test]
    fn a_host_that_leaves_disturbs_few_others() {
        let before = table(&List::equal(10));
        let mut fewer = List::equal(10);
        fewer.keys.remove(9);
        fewer.weights.remove(9);
        fewer.active.remove(9);
        let after = table(&fewer);
        let disturbed = before
            .table
            .iter()
            .zip(&after.table)
            .filter(|(b, a)| **b != 9 && b != a)
            .count();
        // the paper's figure 12: some percent beyond the least possible
        assert!(disturbed < 65_537 / 20, "{disturbed}");
    }

    #[test]
    fn the_order_of_the_candidates_does_not_matter() {
        let hosts = List::of(&[1, 2, 3]);
        let mut turned = List::of(&[3, 2, 1]);
        turned.keys.reverse();
        let (a, b) = (table(&hosts), table(&turned));
        assert!((0..65_537).all(|h| a.pick(h, 0).unwrap() == 2 - b.pick(h, 0).unwrap()));
    }

    proptest! {
        #[test]
        fn every_entry_has_a_host_and_every_host_its_share(weights in prop::collection::vec(1_u32..50, 1..12)) {
            let hosts = List::of(&weights);
            let mut maglev = Maglev::new(4_099);
            maglev.refresh(&hosts, &Normalized::flat(&hosts));
            let counts = counts(&maglev, weights.len());
            prop_assert_eq!(counts.iter().sum::<u32>(), 4_099);
            let sum: u32 = weights.iter().sum();
            for (count, weight) in counts.iter().zip(&weights) {
                let share = 4_099.0 * f64::from(*weight) / f64::from(sum);
                // turns sat out round to whole ones
                prop_assert!((f64::from(*count) - share).abs() <= 1.0 + weights.len() as f64, "{} of {}", count, share);
            }
        }
    }

    #[test]
    fn an_empty_table_picks_nothing() {
        assert_eq!(Maglev::new(65_537).pick(7, 0), None);
    }

    proptest! {
        /// Envoy: in the first round every host takes an entry.
        #[test]
        fn a_host_has_an_entry_however_light_it_is(weights in prop::collection::vec(1_u32..100_000, 1..60)) {
            let hosts = List::of(&weights);
            let mut maglev = Maglev::new(251);
            maglev.refresh(&hosts, &Normalized::flat(&hosts));
            prop_assert!(counts(&maglev, weights.len()).iter().all(|count| *count > 0));
        }
    }

    #[test]
    fn a_rejected_pick_looks_elsewhere() {
        let maglev = table(&List::equal(4));
        for hash in (0..1_000).map(|n| xxh64(&[n as u8, 1], 0)) {
            let seen: std::collections::BTreeSet<_> =
                (0..20).map(|r| maglev.pick(hash, r)).collect();
            assert!(seen.len() > 1, "{hash}");
        }
    }
}
