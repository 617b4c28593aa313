//! Weights as the balancers need them.

use super::Hosts;
use super::edf::Edf;

/// A schedule for candidates whose weights differ or may; none when a rotation or a plain draw will do.
///
/// It starts after `seed` emulated picks.
pub(super) fn schedule(
    hosts: &impl Hosts,
    seed: u64,
    weight: impl Fn(usize) -> f64,
) -> Option<Edf> {
    let count = hosts.count();
    let equal = (1..count).all(|i| hosts.weight(i) == hosts.weight(0));
    if count <= 1 || (equal && !hosts.any_in_slow_start()) {
        return None;
    }
    Some(Edf::after_picks(count, weight, seed as u32))
}

/// Shares of the candidates in the whole, for tables that are built once.
///
/// Source: Envoy `source/extensions/load_balancing_policies/common/thread_aware_lb_impl.cc` (`normalizeWeights`).
#[derive(Clone, Debug, PartialEq)]
pub struct Normalized {
    /// Candidates that take part and their shares, in order. The shares sum up to 1.
    pub shares: Vec<(u32, f64)>,
    /// The smallest share; 1 if there is none.
    pub min: f64,
    /// The largest share; 0 if there is none.
    pub max: f64,
}

impl Normalized {
    /// Shares by host weight alone.
    #[must_use]
    pub fn flat(hosts: &impl Hosts) -> Self {
        let mut normalized = Self::empty();
        normalized.add(hosts, 0..hosts.count(), 1.0);
        normalized
    }

    /// Shares by locality weight, and within a locality by host weight, in the order of `localities`: a weight and the
    /// candidates of each. Localities of weight 0 take no part. Availability does not count here, unlike where
    /// localities are scheduled.
    #[must_use]
    pub fn by_locality(hosts: &impl Hosts, localities: &[(u32, Vec<usize>)]) -> Self {
        let mut normalized = Self::empty();
        let sum: u64 = localities
            .iter()
            .map(|(weight, _)| u64::from(*weight))
            .sum();
        for (weight, members) in localities {
            if *weight > 0 {
                let whole = f64::from(*weight) / sum as f64;
                normalized.add(hosts, members.iter().copied(), whole);
            }
        }
        normalized
    }

    const fn empty() -> Self {
        Self {
            shares: Vec::new(),
            min: 1.0,
            max: 0.0,
        }
    }

    fn add(
        &mut self,
        hosts: &impl Hosts,
        members: impl Iterator<Item = usize> + Clone,
        whole: f64,
    ) {
        let sum: u64 = members.clone().map(|i| u64::from(hosts.weight(i))).sum();
        for i in members {
            let share = f64::from(hosts.weight(i)) * whole / sum as f64;
            self.shares.push((i as u32, share));
            self.min = self.min.min(share);
            self.max = self.max.max(share);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::List;
    use super::*;

    #[test]
    fn shares_sum_up_to_one() {
        let flat = Normalized::flat(&List::of(&[1, 3, 4]));
        assert_eq!(flat.shares, [(0, 0.125), (1, 0.375), (2, 0.5)]);
        assert_eq!((flat.min, flat.max), (0.125, 0.5));
    }

    #[test]
    fn localities_of_weight_0_take_no_part() {
        let hosts = List::of(&[1, 3, 4, 7, 5]);
        let localities = [(3, vec![0, 1]), (1, vec![2]), (0, vec![3, 4])];
        let weighted = Normalized::by_locality(&hosts, &localities);
        assert_eq!(weighted.shares, [(0, 0.1875), (1, 0.5625), (2, 0.25)]);
        let none = Normalized::by_locality(&hosts, &[(0, vec![0])]);
        assert!(none.shares.is_empty());
    }

    #[test]
    fn equal_weights_need_no_schedule_unless_one_starts_slowly() {
        let mut hosts = List::of(&[4, 4]);
        assert!(schedule(&hosts, 0, |_| 1.0).is_none());
        hosts.slow_start = vec![0.5, 1.0];
        assert!(schedule(&hosts, 0, |_| 1.0).is_some());
        assert!(schedule(&List::of(&[4, 5]), 0, |_| 1.0).is_some());
        assert!(schedule(&List::of(&[4]), 0, |_| 1.0).is_none());
    }
}
