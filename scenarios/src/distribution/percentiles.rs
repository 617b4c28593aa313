//! A distribution drawn through a few known percentiles.

use super::{DistributionError, Result, at_least_zero, uniform_moments, within};

/// Points (share, value), rising in both, from share 0 to share 1.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Table(Box<[(f64, f64)]>);

impl Table {
    pub(super) fn new(given: impl IntoIterator<Item = (f64, f64)>) -> Result<Self> {
        let mut points = Vec::new();
        for (percent, value) in given {
            within("a percentile", percent, 0.0, 100.0)?;
            points.push((percent, at_least_zero("each value", value)?));
        }
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        for pair in points.windows(2) {
            if pair[0].0 == pair[1].0 {
                return Err(DistributionError::Duplicate(pair[0].0));
            }
            if pair[0].1 > pair[1].1 {
                let percent = pair[1].0;
                return Err(DistributionError::Falling { percent });
            }
        }
        let (Some(&first), Some(&last)) = (points.first(), points.last()) else {
            return Err(DistributionError::Empty);
        };
        if first.0 > 0.0 {
            points.insert(0, (0.0, 0.0));
        }
        if last.0 < 100.0 {
            points.push((100.0, last.1));
        }
        Ok(Self(points.iter().map(|p| (p.0 / 100.0, p.1)).collect()))
    }

    pub(super) fn quantile(&self, u: f64) -> f64 {
        let above = self
            .0
            .partition_point(|p| p.0 < u)
            .clamp(1, self.0.len() - 1);
        let ((x0, y0), (x1, y1)) = (self.0[above - 1], self.0[above]);
        y0 + (y1 - y0) * ((u - x0) / (x1 - x0))
    }

    pub(super) fn cdf(&self, value: f64) -> f64 {
        let above = self.0.partition_point(|p| p.1 <= value);
        if above == 0 {
            return 0.0;
        }
        let (x0, y0) = self.0[above - 1];
        let Some(&(x1, y1)) = self.0.get(above) else {
            return 1.0;
        };
        x0 + (x1 - x0) * ((value - y0) / (y1 - y0))
    }

    pub(super) fn moments(&self) -> (f64, f64) {
        self.0.windows(2).fold((0.0, 0.0), |(m1, m2), pair| {
            let share = pair[1].0 - pair[0].0;
            let (mean, square) = uniform_moments(pair[0].1, pair[1].1);
            (m1 + share * mean, m2 + share * square)
        })
    }
}
