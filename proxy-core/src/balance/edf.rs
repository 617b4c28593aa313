//! Earliest deadline first: a weighted rotation with an O(log n) pick and weights that may change between picks.

use core::cmp::Ordering;
use std::collections::BinaryHeap;

/// A schedule over entries 0 to n − 1.
///
/// An entry's next deadline lies 1 / weight after its last, so that after a sum of whole weights each entry was picked
/// exactly as often as its weight. Equal deadlines go in order of insertion. A weight is read when its entry is put
/// back: a change shows after the entry's next pick.
///
/// Source: Envoy `source/common/upstream/edf_scheduler.h` (`pickAndAdd`, `createWithPicks`).
#[derive(Clone, Debug, Default)]
pub struct Edf {
    heap: BinaryHeap<Entry>,
    now: f64,
    inserted: u64,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    deadline: f64,
    order: u64,
    index: u32,
}

/// Picks beyond which a start is not emulated further: a tenth of `u32::MAX`.
const MAX_EMULATED_PICKS: u32 = 429_496_729;

/// Added to each weight when emulating, so that rounding does not favour an entry whose weight divides another's.
const EMULATION_EPSILON: f64 = 1e-13;

impl Edf {
    /// A schedule of `count` entries as it stands after `picks` picks. Weights are positive.
    #[must_use]
    pub fn after_picks(count: usize, weight: impl Fn(usize) -> f64, picks: u32) -> Self {
        let picks = picks % MAX_EMULATED_PICKS;
        let augmented = |i| weight(i) + EMULATION_EPSILON;
        let sum: f64 = (0..count).map(augmented).sum();
        let mut emulated = 0;
        let mut schedule = Self {
            heap: BinaryHeap::with_capacity(count),
            now: 0.0,
            inserted: count as u64,
        };
        for i in 0..count {
            let weight = augmented(i);
            let mut own = (weight * f64::from(picks) / sum) as u32;
            if own > 0 && f64::from(own) / weight >= f64::from(picks) / sum {
                own -= 1;
            }
            schedule.now = schedule.now.max(f64::from(own) / weight);
            schedule.heap.push(Entry {
                deadline: f64::from(own + 1) / weight,
                order: i as u64,
                index: i as u32,
            });
            emulated += own;
        }
        for _ in emulated..picks {
            schedule.pick(&weight);
        }
        schedule
    }

    /// The entry whose turn it is; none if there are no entries.
    pub fn pick(&mut self, weight: impl Fn(usize) -> f64) -> Option<usize> {
        let mut top = self.heap.peek_mut()?;
        let index = top.index as usize;
        self.now = top.deadline;
        top.deadline += 1.0 / weight(index);
        top.order = self.inserted;
        self.inserted += 1;
        Some(index)
    }

    /// How many entries take part.
    #[must_use]
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// Whether there is nothing to pick.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }
}

/// The greatest entry is the one with the earliest deadline: `BinaryHeap` has its maximum on top.
impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_deadline = other.deadline.total_cmp(&self.deadline);
        by_deadline.then(other.order.cmp(&self.order))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Entry {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn picks(weights: &[u32], skipped: u32, count: usize) -> Vec<usize> {
        let weight = |i: usize| f64::from(weights[i]);
        let mut schedule = Edf::after_picks(weights.len(), weight, skipped);
        (0..count).map(|_| schedule.pick(weight).unwrap()).collect()
    }

    #[test]
    fn heavier_entries_come_earlier_and_more_often() {
        assert_eq!(picks(&[1, 2], 0, 6), [1, 0, 1, 1, 0, 1]);
        assert_eq!(picks(&[1, 1, 1], 0, 6), [0, 1, 2, 0, 1, 2]);
    }

    #[test]
    fn an_empty_schedule_picks_nothing() {
        assert_eq!(Edf::after_picks(0, |_| 1.0, 7).pick(|_| 1.0), None);
        assert_eq!(Edf::default().pick(|_| 1.0), None);
    }

    #[test]
    fn a_changed_weight_shows_after_the_next_pick_of_its_entry() {
        let mut schedule = Edf::after_picks(2, |_| 1.0, 0);
        let first: Vec<usize> = (0..2).filter_map(|_| schedule.pick(|_| 1.0)).collect();
        let heavy = |i| if i == 0 { 4.0 } else { 1.0 };
        let later: Vec<usize> = (0..6).filter_map(|_| schedule.pick(heavy)).collect();
        assert_eq!(first, [0, 1]);
        assert_eq!(later, [0, 1, 0, 0, 0, 1]);
    }

    proptest! {
        #[test]
        fn after_the_sum_of_the_weights_each_entry_was_picked_weight_times(
            weights in prop::collection::vec(1_u32..129, 1..12), rounds in 1_usize..4
        ) {
            let sum: u32 = weights.iter().sum();
            let mut counts = vec![0; weights.len()];
            for index in picks(&weights, 0, sum as usize * rounds) {
                counts[index] += 1;
            }
            let expected: Vec<usize> = weights.iter().map(|&w| w as usize * rounds).collect();
            prop_assert_eq!(counts, expected);
        }

        #[test]
        fn at_no_time_is_an_entry_a_whole_round_ahead(weights in prop::collection::vec(1_u32..20, 2..8)) {
            let sum: u32 = weights.iter().sum();
            let mut counts = vec![0_u32; weights.len()];
            for (n, index) in picks(&weights, 0, 3 * sum as usize).into_iter().enumerate() {
                counts[index] += 1;
                let fair = (n + 1) as f64 * f64::from(weights[index]) / f64::from(sum);
                prop_assert!(f64::from(counts[index]) - fair <= weights.len() as f64);
            }
        }

        #[test]
        fn emulated_picks_leave_the_counts_of_real_ones(
            weights in prop::collection::vec(1_u32..50, 1..8), skipped in 0_u32..500
        ) {
            let sum: usize = weights.iter().map(|&w| w as usize).sum();
            // to the end of the round in which the start lies
            let rest = sum - skipped as usize % sum;
            let mut counts = vec![0; weights.len()];
            for index in picks(&weights, 0, skipped as usize + rest).into_iter().skip(skipped as usize) {
                counts[index] += 1_i64;
            }
            for index in picks(&weights, skipped, rest) {
                counts[index] -= 1;
            }
            // ties may fall differently: an entry is at most one pick off
            prop_assert!(counts.iter().all(|c| c.abs() <= 1), "{:?}", counts);
        }
    }
}
