//! Weighted mixtures, inverted numerically so that one uniform still gives one value, monotonically.

use super::{Distribution, DistributionError, Result, Shape, above_zero};

/// Parts with their shares, which add up to one.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Mixture(Box<[(f64, Distribution)]>);

impl Mixture {
    pub(super) fn new(given: impl IntoIterator<Item = (f64, Distribution)>) -> Result<Self> {
        let mut parts = Vec::new();
        for (weight, part) in given {
            let weight = above_zero("each weight", weight)?;
            match part.0 {
                Shape::Mixture(inner) => {
                    parts.extend(
                        inner
                            .0
                            .into_iter()
                            .map(|(share, part)| (share * weight, part)),
                    );
                }
                Shape::Constant(_)
                | Shape::Uniform { .. }
                | Shape::Exponential { .. }
                | Shape::LogNormal { .. }
                | Shape::Pareto(_)
                | Shape::Weibull { .. }
                | Shape::Gamma { .. }
                | Shape::Percentiles(_)
                | Shape::Observed(_) => parts.push((weight, part)),
            }
        }
        let total: f64 = parts.iter().map(|part| part.0).sum();
        if parts.is_empty() {
            return Err(DistributionError::Empty);
        }
        above_zero("the sum of the weights", total)?;
        for part in &mut parts {
            part.0 /= total;
        }
        Ok(Self(parts.into()))
    }

    pub(super) fn cdf(&self, x: f64) -> f64 {
        self.0.iter().map(|(share, part)| share * part.cdf(x)).sum()
    }

    pub(super) fn moments(&self) -> (f64, f64) {
        self.0.iter().fold((0.0, 0.0), |(m1, m2), (share, part)| {
            let (mean, square) = part.moments();
            (m1 + share * mean, m2 + share * square)
        })
    }

    /// The quantile lies between the parts' lowest and highest one; the bracket is closed to a millionth of a nanosecond
    /// or a relative 1e-12 by Illinois steps, and by bisection where the parts jump.
    pub(super) fn quantile(&self, u: f64) -> f64 {
        let (mut low, mut high) = (f64::INFINITY, 0.0_f64);
        for (_, part) in &self.0 {
            let x = part.quantile(u);
            low = low.min(x);
            high = high.max(x);
        }
        let (mut below, mut above) = (self.cdf(low) - u, self.cdf(high) - u);
        if below >= 0.0 {
            return low;
        }
        if above < 0.0 {
            return high; // rounding at the upper end
        }
        for step in 0..200 {
            let width = high - low;
            if width <= 1e-6_f64.max(high * 1e-12) {
                break;
            }
            // every third step halves, so a jump of the CDF costs at most three times a bisection
            let straight = high - above * width / (above - below);
            let x = if step % 3 == 2 || !(straight > low && straight < high) {
                low + width / 2.0
            } else {
                straight
            };
            let off = self.cdf(x) - u;
            if off < 0.0 {
                (low, below) = (x, off);
                above /= 2.0;
            } else {
                (high, above) = (x, off);
                below /= 2.0;
            }
        }
        high
    }
}
