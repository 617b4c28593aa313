//! A new endpoint's weight grows over a window.

use crate::time::Duration;

/// How the weight grows.
///
/// Source: Envoy v3 `common.v3.SlowStartConfig`, `docs/…/load_balancing/slow_start.rst`.
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
        let elapsed = age.max(Duration::from_secs(1)).as_secs_f64() / self.window.as_secs_f64();
        let grown = libm::pow(elapsed.min(1.0), 1.0 / self.aggression);
        grown.max(self.min_weight)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
