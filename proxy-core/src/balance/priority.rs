//! How load spreads over priorities, and which of them are in panic.

/// What a priority level has.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Level {
    /// Endpoints that may be used.
    pub healthy: u32,
    /// All endpoints.
    pub total: u32,
}

/// Shares of the load, in per cent, and which levels use all their endpoints.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Spread {
    /// By priority; they sum up to 100, or to 0 when nothing may be used.
    pub load: Vec<u32>,
    /// By priority.
    pub panic: Vec<bool>,
    /// By priority: what `load` is in proportion to. Healthy shares times overprovisioning; in panic everywhere, shares
    /// of all endpoints.
    pub health: Vec<u32>,
}

impl Spread {
    /// The priority that `draw` (0 to 99) falls to when `left_out` ones take no load; if none is left, all take theirs.
    ///
    /// Source: Envoy v3 `retry_priorities.previous_priorities`,
    /// `source/extensions/retry/priority/previous_priorities/previous_priorities.cc` (`adjustForAttemptedPriorities`).
    #[must_use]
    pub fn choose(&self, draw: u32, left_out: impl Fn(usize) -> bool) -> Option<usize> {
        let health = |i: usize| if left_out(i) { 0 } else { self.health[i] };
        let total = (0..self.health.len()).map(health).sum::<u32>().min(100);
        let excluding = total > 0 && (0..self.health.len()).any(&left_out);
        let mut before = 0;
        let found = (0..self.load.len()).find(|&i| {
            before += if excluding {
                health(i) * 100 / total
            } else {
                self.load[i]
            };
            draw < before
        });
        // what rounding left goes to the first that has any
        found.or_else(|| (0..self.load.len()).find(|&i| excluding && health(i) > 0))
    }
}

/// Spreads the load over `levels`.
///
/// A level's health is `overprovisioning` per cent of its healthy share, at most 100; levels take what is left from the
/// first on, in proportion when all together have less than 100. Panic is asked for only then: levels whose healthy share
/// lies below `panic_threshold` per cent (rounded to a whole number) use all their endpoints. When that is every level, they
/// share the load by their numbers of endpoints. With a threshold of 0 and none healthy nothing takes load.
///
/// Source: Envoy `source/extensions/load_balancing_policies/common/load_balancer_impl.cc`
/// (`recalculatePerPriorityState`), `docs/…/load_balancing/{priority,panic_threshold}.rst`.
#[must_use]
pub fn spread(levels: &[Level], overprovisioning: u32, panic_threshold: f64) -> Spread {
    let health: Vec<u32> = levels
        .iter()
        .map(|level| {
            let scaled = u64::from(level.healthy) * u64::from(overprovisioning);
            scaled
                .checked_div(u64::from(level.total))
                .map_or(0, |h| h.min(100) as u32)
        })
        .collect();
    let total = health.iter().sum::<u32>().min(100);
    let panic_threshold = libm::round(panic_threshold);
    let in_panic = |level: &Level| {
        let healthy = f64::from(level.healthy) * 100.0 / f64::from(level.total.max(1));
        healthy < panic_threshold
    };
    let panic: Vec<bool> = levels
        .iter()
        .map(|level| total < 100 && in_panic(level))
        .collect();
    let endpoints: u64 = levels.iter().map(|level| u64::from(level.total)).sum();
    if endpoints > 0 && panic.iter().all(|panic| *panic) {
        let share = |level: &Level| (u64::from(level.total) * 100 / endpoints) as u32;
        let health: Vec<u32> = levels.iter().map(share).collect();
        let mut load = health.clone();
        let first = levels.iter().position(|level| level.total > 0);
        give_rest(&mut load, first);
        return Spread {
            load,
            panic,
            health,
        };
    }
    let mut load = vec![0; levels.len()];
    if total == 0 {
        return Spread {
            load,
            panic,
            health,
        };
    }
    let mut left = 100;
    for (load, health) in load.iter_mut().zip(&health) {
        *load = left.min(health * 100 / total);
        left -= *load;
    }
    let first = health.iter().position(|health| *health > 0);
    give_rest(&mut load, first);
    Spread {
        load,
        panic,
        health,
    }
}

/// What rounding left goes to the `first` level that could have any.
fn give_rest(load: &mut [u32], first: Option<usize>) {
    let given: u32 = load.iter().sum();
    if let Some(first) = first {
        load[first] += 100 - given;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn percent(healthy: &[u32]) -> Vec<Level> {
        healthy
            .iter()
            .map(|&healthy| Level {
                healthy,
                total: 100,
            })
            .collect()
    }

    /// The table of Envoy's `priority.rst`.
    #[test]
    fn load_spills_as_in_envoys_table() {
        for (healthy, load) in [
            ([100, 100], [100, 0]),
            ([72, 100], [100, 0]),
            ([71, 100], [99, 1]),
            ([50, 100], [70, 30]),
            ([25, 100], [35, 65]),
            ([0, 100], [0, 100]),
            ([25, 25], [50, 50]),
        ] {
            assert_eq!(
                spread(&percent(&healthy), 140, 50.0).load,
                load,
                "{healthy:?}"
            );
        }
    }

    #[test]
    fn panic_needs_a_shortage_over_all_levels() {
        assert_eq!(
            spread(&percent(&[25, 100]), 140, 50.0).panic,
            [false, false]
        );
        assert_eq!(spread(&percent(&[25, 25]), 140, 50.0).panic, [true, true]);
        assert_eq!(spread(&percent(&[40, 10]), 140, 20.0).panic, [false, true]);
        assert_eq!(spread(&percent(&[10, 10]), 140, 0.0).panic, [false, false]);
    }

    #[test]
    fn in_panic_everywhere_levels_share_by_their_sizes() {
        let sizes = |sizes: &[(u32, u32)]| -> Vec<Level> {
            let level = |&(healthy, total): &(u32, u32)| Level { healthy, total };
            sizes.iter().map(level).collect()
        };
        for (name, levels, threshold, load) in [
            ("equal", sizes(&[(0, 4), (0, 4)]), 50.0, vec![50, 50]),
            ("by size", sizes(&[(0, 1), (1, 2)]), 60.0, vec![34, 66]),
            (
                "an empty level",
                sizes(&[(0, 0), (0, 3)]),
                50.0,
                vec![0, 100],
            ),
            ("one level", sizes(&[(0, 3)]), 50.0, vec![100]),
            ("not all", sizes(&[(1, 10), (4, 10)]), 30.0, vec![20, 80]),
        ] {
            assert_eq!(spread(&levels, 140, threshold).load, load, "{name}");
        }
        assert_eq!(spread(&percent(&[0, 0]), 140, 0.0).load, [0, 0]);
        assert_eq!(spread(&[], 140, 50.0).load, Vec::<u32>::new());
    }

    #[test]
    fn a_threshold_in_fractions_of_a_per_cent_is_rounded() {
        assert_eq!(spread(&percent(&[7]), 140, 7.4).panic, [false]);
        assert_eq!(spread(&percent(&[7]), 140, 7.5).panic, [true]);
    }

    #[test]
    fn a_priority_left_out_hands_its_load_to_the_others_by_their_health() {
        let shares = |healthy: &[u32], out: &[usize]| {
            let spread = spread(&percent(healthy), 140, 50.0);
            let mut counts = vec![0; healthy.len()];
            for draw in 0..100 {
                counts[spread.choose(draw, |i| out.contains(&i)).unwrap()] += 1;
            }
            counts
        };
        for (healthy, out, expected) in [
            (&[100, 100][..], &[][..], vec![100, 0]),
            (&[100, 100], &[0], vec![0, 100]),
            (&[100, 100], &[0, 1], vec![100, 0]),
            (&[100, 25, 100], &[0], vec![0, 35, 65]),
            (&[100, 10, 10], &[0], vec![0, 50, 50]),
            (&[100, 0], &[0], vec![100, 0]),
        ] {
            assert_eq!(
                shares(healthy, out),
                expected,
                "{healthy:?} without {out:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn all_load_goes_somewhere(
            levels in prop::collection::vec((0_u32..50, 0_u32..50), 1..5), factor in 100_u32..200, threshold in 1.0..100.0
        ) {
            let levels: Vec<Level> = levels
                .into_iter()
                .map(|(a, b)| Level { healthy: a.min(b), total: b })
                .collect();
            let spread = spread(&levels, factor, threshold);
            let any = levels.iter().any(|l| l.total > 0);
            prop_assert_eq!(spread.load.iter().sum::<u32>(), if any { 100 } else { 0 });
        }
    }

    /// Envoy: `overprovisioning_factor`; load(Pi) = health(Pi) · 100 / total, what is left to the first.
    #[test]
    fn three_levels_share_what_their_health_allows() {
        for (healthy, load) in [
            ([100, 100, 100], [100, 0, 0]),
            ([0, 100, 100], [0, 100, 0]),
            ([50, 100, 100], [70, 30, 0]),
            ([25, 25, 100], [35, 35, 30]),
            ([25, 25, 25], [35, 35, 30]),
            ([20, 20, 10], [40, 40, 20]),
            ([10, 10, 10], [34, 33, 33]),
            ([0, 0, 1], [0, 0, 100]),
        ] {
            let spread = spread(&percent(&healthy), 140, 0.0);
            assert_eq!(spread.load, load, "{healthy:?}");
        }
        // no overprovisioning: a level spills as soon as one endpoint is missing
        assert_eq!(spread(&percent(&[99, 100]), 100, 0.0).load, [99, 1]);
        assert_eq!(spread(&percent(&[50, 100]), 200, 0.0).load, [100, 0]);
    }

    /// Envoy: `healthy_panic_threshold`.
    #[test]
    fn a_level_panics_strictly_below_its_threshold_and_only_in_a_shortage() {
        for (healthy, threshold, panic) in [
            (50, 50.0, false),
            (49, 50.0, true),
            (0, 50.0, true),
            (0, 0.0, false),
            (0, 1.0, true),
            (1, 1.0, false),
            // 1.4 × 72 % is enough, whatever the threshold
            (72, 80.0, false),
            (71, 80.0, true),
            (71, 71.0, false),
            (72, 100.0, false),
        ] {
            let spread = spread(&percent(&[healthy]), 140, threshold);
            assert_eq!(spread.panic, [panic], "{healthy} % below {threshold} %");
            let all = u32::from(healthy > 0 || panic) * 100;
            assert_eq!(spread.load, [all], "{healthy} %, {threshold} %");
        }
    }

    /// Envoy: `recalculateLoadInTotalPanic`.
    #[test]
    fn in_panic_everywhere_rounding_goes_to_the_first_level_with_endpoints() {
        let level = |total| Level { healthy: 0, total };
        for (totals, load) in [
            ([1, 199], [1, 99]),
            ([1, 200], [1, 99]),
            ([0, 200], [0, 100]),
            ([199, 1], [100, 0]),
        ] {
            let spread = spread(&totals.map(level), 140, 50.0);
            assert_eq!(spread.load, load, "{totals:?}");
        }
    }
}
