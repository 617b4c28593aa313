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
}

/// Spreads the load over `levels`.
///
/// A level's health is `overprovisioning` per cent of its healthy share, at most 100; levels take what is left from the
/// first on, in proportion when all together have less than 100. Panic is asked for only then: levels whose healthy share
/// lies below `panic_threshold` per cent use all their endpoints. With none healthy anywhere the first level with
/// endpoints takes everything, unless the threshold is 0.
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
    let in_panic = |level: &Level| {
        level.total > 0
            && f64::from(level.healthy) * 100.0 / f64::from(level.total) < panic_threshold
    };
    let panic: Vec<bool> = levels
        .iter()
        .map(|level| total < 100 && in_panic(level))
        .collect();
    let mut load = vec![0; levels.len()];
    if total == 0 {
        let first = levels.iter().position(|level| level.total > 0);
        if let Some(first) = first.filter(|_| panic_threshold > 0.0) {
            load[first] = 100;
        }
        return Spread { load, panic };
    }
    let mut left = 100;
    for (load, health) in load.iter_mut().zip(&health) {
        *load = left.min(health * 100 / total);
        left -= *load;
    }
    // what rounding left goes to the first level that has any
    if let Some(first) = load.iter_mut().find(|l| **l > 0) {
        *first += left;
    }
    Spread { load, panic }
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
    fn with_nothing_healthy_all_of_the_first_level_is_used_or_nothing() {
        assert_eq!(spread(&percent(&[0, 0]), 140, 50.0).load, [100, 0]);
        assert_eq!(spread(&percent(&[0, 0]), 140, 0.0).load, [0, 0]);
        assert_eq!(spread(&[], 140, 50.0).load, Vec::<u32>::new());
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
}
