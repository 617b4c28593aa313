//! From values to heights, with ticks that read well.

/// An axis of values.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Scale {
    /// From zero.
    Linear { max: f64 },
    /// By the logarithm.
    Log { min: f64, max: f64 },
}

impl Scale {
    /// From zero to a round number that holds every value.
    pub(crate) fn linear(values: impl IntoIterator<Item = f64>) -> Self {
        let top = values
            .into_iter()
            .filter(|v| v.is_finite())
            .fold(0.0, f64::max);
        let max = if top > 0.0 { top * 1.04 } else { 1.0 };
        Self::Linear { max }
    }

    /// Whole 1-2-5 steps around the values, a factor of five at least.
    pub(crate) fn log(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let positive = values.into_iter().filter(|v| v.is_finite() && *v > 0.0);
        let (low, high) = positive.fold((f64::INFINITY, 0.0_f64), |(l, h), v| (l.min(v), h.max(v)));
        if high <= 0.0 {
            return None;
        }
        let (min, mut max) = (round_125(low, false), round_125(high, true));
        while max < min * 5.0 {
            max = round_125(max * 1.01, true);
        }
        Some(Self::Log { min, max })
    }

    /// 0 at the bottom, 1 at the top.
    pub(crate) fn share(self, value: f64) -> f64 {
        let share = match self {
            Self::Linear { max } => value / max,
            Self::Log { min, max } => {
                if value <= min {
                    0.0
                } else {
                    libm::log(value / min) / libm::log(max / min)
                }
            }
        };
        share.clamp(0.0, 1.0)
    }

    /// At most about `most` values worth a line and a label.
    pub(crate) fn ticks(self, most: usize) -> Vec<f64> {
        match self {
            Self::Linear { max } => {
                let step = round_125(max / most as f64, true);
                let count = libm::floor(max / step) as usize;
                (0..=count).map(|n| n as f64 * step).collect()
            }
            Self::Log { min, max } => {
                let mut all = Vec::new();
                let mut at = min;
                while at <= max * 1.001 {
                    all.push(at);
                    at = round_125(at * 1.01, true);
                }
                if all.len() <= most {
                    return all;
                }
                let decades: Vec<f64> = all.iter().copied().filter(|v| is_decade(*v)).collect();
                if decades.len() < 2 {
                    let every = all.len().div_ceil(most);
                    return all.into_iter().step_by(every).collect();
                }
                let every = decades.len().div_ceil(most);
                decades.into_iter().step_by(every).collect()
            }
        }
    }
}

fn is_decade(value: f64) -> bool {
    let log = libm::log10(value);
    (log - libm::round(log)).abs() < 1e-6
}

/// The next of … 0.5, 1, 2, 5, 10 … at or above a value, or at or below it.
fn round_125(value: f64, up: bool) -> f64 {
    let decade = libm::pow(10.0, libm::floor(libm::log10(value)));
    let steps = [1.0, 2.0, 5.0, 10.0];
    let near = value / decade;
    let found = if up {
        steps.into_iter().find(|s| *s >= near - 1e-9)
    } else {
        steps.into_iter().rfind(|s| *s <= near + 1e-9)
    };
    found.unwrap_or(if up { 10.0 } else { 1.0 }) * decade
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linear_axes_start_at_zero_with_round_ticks() {
        let scale = Scale::linear([3.0, 287.0]);
        assert_eq!(scale.ticks(4), [0.0, 100.0, 200.0]);
        assert_eq!(scale.share(0.0), 0.0);
        assert!(scale.share(287.0) > 0.9);
        assert_eq!(Scale::linear([]).ticks(4), [0.0, 0.5, 1.0]);
    }

    #[test]
    fn log_axes_have_1_2_5_ticks_and_only_decades_when_many() {
        let short = Scale::log([12.0, 70.0]).unwrap();
        assert_eq!(short.ticks(6), [10.0, 20.0, 50.0, 100.0]);
        let long = Scale::log([3.0, 5e6]).unwrap();
        assert_eq!(long.ticks(8), [10.0, 100.0, 1e3, 1e4, 1e5, 1e6]);
        assert_eq!(Scale::log([0.0]), None);
        assert!((short.share(libm::sqrt(1000.0)) - 0.5).abs() < 1e-9);
    }
}
