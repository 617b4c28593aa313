//! A new endpoint's weight grows over a window.

use crate::time::Duration;

/// How the weight grows.
///
/// Source: Envoy v3 `common.v3.SlowStartConfig`, `source/extensions/load_balancing_policies/common/load_balancer_impl.cc`
/// (`applySlowStartFactor`), which counts in milliseconds where `slow_start.rst` says seconds.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct SlowStart {
    /// How long it takes.
    pub window: Duration,
    /// Above 1 the weight grows faster at first. Default 1: evenly.
    pub aggression: f64,
    /// Share of the weight that an endpoint has from the start. Default 0.1.
    pub min_weight: f64,
}

impl SlowStart {
    /// Even growth from a tenth over `window`.
    #[must_use]
    pub const fn envoy_v3(window: Duration) -> Self {
        Self {
            window,
            aggression: 1.0,
            min_weight: 0.1,
        }
    }

    /// The share of its weight that an endpoint of this age has.
    #[must_use]
    pub fn factor(&self, age: Duration) -> f64 {
        if age >= self.window {
            return 1.0;
        }
        let elapsed = age.max(Duration::from_millis(1)).as_secs_f64() / self.window.as_secs_f64();
        let grown = libm::pow(elapsed.min(1.0), 1.0 / self.aggression);
        grown.max(self.min_weight)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_weight_grows_from_its_least_to_all() {
        let slow = SlowStart::envoy_v3(Duration::from_secs(60));
        for (secs, expected) in [
            (0, 0.1),
            (3, 0.1),
            (30, 0.5),
            (59, 59.0 / 60.0),
            (60, 1.0),
            (99, 1.0),
        ] {
            let factor = slow.factor(Duration::from_secs(secs));
            assert!((factor - expected).abs() < 1e-9, "{secs} s: {factor}");
        }
        let eager = SlowStart {
            aggression: 2.0,
            ..slow
        };
        assert!((eager.factor(Duration::from_secs(15)) - 0.5).abs() < 1e-9);
    }

    /// Envoy: max(min_weight_percent, (max(t, 1 ms) / window)^(1 / aggression)).
    #[test]
    fn aggression_bends_the_growth() {
        for (aggression, window, millis, expected) in [
            (1.0, 60_000, 15_000, 0.25),
            (2.0, 60_000, 15_000, 0.5),
            (0.5, 60_000, 30_000, 0.25),
            (0.5, 60_000, 15_000, 0.1),
            (4.0, 160_000, 10_000, 0.5),
            (1.0, 4_000, 500, 0.125),
            (1.0, 4, 0, 0.25),
            (2.0, 60_000, 60_000, 1.0),
        ] {
            let slow = SlowStart {
                aggression,
                ..SlowStart::envoy_v3(Duration::from_millis(window))
            };
            let factor = slow.factor(Duration::from_millis(millis));
            let name = format!("{aggression}, {millis} of {window} ms: {factor}");
            assert!((factor - expected).abs() < 1e-9, "{name}");
        }
    }

    proptest! {
        #[test]
        fn a_weight_never_falls_and_stays_between_its_least_and_all(
            aggression in 0.1_f64..8.0, window in 1_u64..300_000, age in 0_u64..300_000, more in 0_u64..10_000
        ) {
            let slow = SlowStart { aggression, ..SlowStart::envoy_v3(Duration::from_millis(window)) };
            let [young, old] = [age, age + more].map(|ms| slow.factor(Duration::from_millis(ms)));
            prop_assert!((slow.min_weight..=1.0).contains(&young));
            prop_assert!(old >= young);
        }
    }
}
