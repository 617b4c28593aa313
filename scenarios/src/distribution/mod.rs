//! Distributions of times and sizes, sampled by inverse CDF on one uniform.
//!
//! One uniform a draw keeps the same random numbers with the same events when a policy changes, and because every quantile
//! function is monotone, a longer mean then means a longer time for each single request (common random numbers, coupled
//! monotonically). All mathematics goes through `libm`, or the additions and multiplications of `log`: the same bytes on every host.

pub(crate) use log::log;
use proxy_core::time::Duration;

mod gamma;
mod log;
mod mixture;
mod normal;
mod percentiles;
#[cfg(test)]
mod tests;

/// A distribution over non-negative numbers; for times the unit is the nanosecond, for sizes the byte.
///
/// Holds only parameters that were checked: every quantile is a number, never negative, never NaN.
#[derive(Clone, Debug, PartialEq)]
pub struct Distribution(Shape);

#[derive(Clone, Debug, PartialEq)]
enum Shape {
    Constant(f64),
    Uniform {
        from: f64,
        width: f64,
    },
    Exponential {
        mean: f64,
    },
    LogNormal {
        mu: f64,
        sigma: f64,
    },
    Pareto(Pareto),
    Weibull {
        scale: f64,
        shape: f64,
    },
    Gamma {
        shape: f64,
        scale: f64,
    },
    Mixture(mixture::Mixture),
    Percentiles(percentiles::Table),
    /// Observed values in rising order.
    Observed(Box<[f64]>),
}

/// Pareto from `min` on, cut off (not piled up) at `max` when that is finite.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Pareto {
    min: f64,
    shape: f64,
    max: f64,
    /// The share of the whole Pareto's mass below `max`.
    below_max: f64,
}

/// Why parameters make no distribution.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum DistributionError {
    #[error("{name} must be a number of at least zero, not {value}")]
    Negative { name: &'static str, value: f64 },
    #[error("{name} must be above zero, not {value}")]
    NotPositive { name: &'static str, value: f64 },
    #[error("{name} must lie between {low} and {high}, not be {value}")]
    OutOfRange {
        name: &'static str,
        value: f64,
        low: f64,
        high: f64,
    },
    #[error("{below} must not be above {above}")]
    Order {
        below: &'static str,
        above: &'static str,
    },
    #[error(
        "no lognormal has this percentile with this mean: the percentile is more than {limit:.1} times the mean"
    )]
    PercentileTooFar { limit: f64 },
    #[error("there are no values")]
    Empty,
    #[error("percentile p{0} is given twice")]
    Duplicate(f64),
    #[error("p{percent} is lower than a lower percentile's value")]
    Falling { percent: f64 },
}

type Result<T> = core::result::Result<T, DistributionError>;

/// Where the middle of a lognormal lies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Centre {
    Median(f64),
    Mean(f64),
}

/// How wide a lognormal is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Spread {
    /// The value at a quantile above one half: `Quantile { at: 0.99, value }`.
    Quantile { at: f64, value: f64 },
    /// The standard deviation of the logarithm.
    Sigma(f64),
    /// Standard deviation over mean.
    Cv(f64),
}

/// The quantile of the exponential distribution with mean one.
#[inline]
fn unit_exponential(u: f64) -> f64 {
    // below, 1 - u has lost digits of u
    const SMALL: f64 = 1.0 / 1024.0;
    if u < SMALL {
        -libm::log1p(-u)
    } else {
        -log(1.0 - u)
    }
}

impl Distribution {
    /// Always `value`.
    pub fn constant(value: f64) -> Result<Self> {
        Ok(Self(Shape::Constant(at_least_zero("the value", value)?)))
    }

    /// Equally likely anywhere from `from` to `to`.
    pub fn uniform(from: f64, to: f64) -> Result<Self> {
        let (from, to) = (at_least_zero("from", from)?, at_least_zero("to", to)?);
        if from > to {
            return Err(order("from", "to"));
        }
        let width = to - from;
        Ok(Self(Shape::Uniform { from, width }))
    }

    /// Exponential with this mean.
    pub fn exponential(mean: f64) -> Result<Self> {
        let mean = above_zero("mean", mean)?;
        Ok(Self(Shape::Exponential { mean }))
    }

    /// Lognormal by its middle and its width.
    pub fn lognormal(centre: Centre, spread: Spread) -> Result<Self> {
        let (name, middle) = match centre {
            Centre::Median(v) => ("median", v),
            Centre::Mean(v) => ("mean", v),
        };
        let log_middle = libm::log(above_zero(name, middle)?);
        let sigma = match spread {
            Spread::Sigma(sigma) => within("sigma", sigma, 0.0, 20.0)?,
            Spread::Cv(cv) => libm::sqrt(libm::log1p(squared(within("cv", cv, 0.0, 1e6)?))),
            Spread::Quantile { at, value } => {
                let z = normal::quantile(within("the percentile", at, 0.5 + 1e-9, 1.0 - 1e-12)?);
                let log_value = libm::log(above_zero("the percentile's value", value)?);
                let above = log_value - log_middle;
                match centre {
                    Centre::Median(_) if above < 0.0 => {
                        return Err(order("the median", "the percentile"));
                    }
                    Centre::Median(_) => above / z,
                    Centre::Mean(_) => sigma_from_mean(above, z)?,
                }
            }
        };
        let mu = match centre {
            Centre::Median(_) => log_middle,
            Centre::Mean(_) => log_middle - sigma * sigma / 2.0,
        };
        Ok(Self(Shape::LogNormal { mu, sigma }))
    }

    /// Pareto: at least `min`, P(X > x) = (min / x)^shape, cut off at `max` (infinite: not at all).
    pub fn pareto(min: f64, shape: f64, max: f64) -> Result<Self> {
        let (min, shape) = (above_zero("min", min)?, within("shape", shape, 0.05, 1e4)?);
        if max.is_nan() || max <= min {
            return Err(order("min", "max"));
        }
        let below_max = 1.0 - libm::pow(min / max, shape);
        Ok(Self(Shape::Pareto(Pareto {
            min,
            shape,
            max,
            below_max,
        })))
    }

    /// Pareto with this mean, which needs a shape above one.
    pub fn pareto_with_mean(mean: f64, shape: f64) -> Result<Self> {
        let shape = within("shape", shape, 1.0 + 1e-6, 1e4)?;
        let min = above_zero("mean", mean)? * (shape - 1.0) / shape;
        Self::pareto(min, shape, f64::INFINITY)
    }

    /// Weibull: P(X > x) = exp(-(x / scale)^shape).
    pub fn weibull(scale: f64, shape: f64) -> Result<Self> {
        let (scale, shape) = (
            above_zero("scale", scale)?,
            within("shape", shape, 0.05, 1e4)?,
        );
        Ok(Self(Shape::Weibull { scale, shape }))
    }

    /// Weibull with this mean.
    pub fn weibull_with_mean(mean: f64, shape: f64) -> Result<Self> {
        let shape = within("shape", shape, 0.05, 1e4)?;
        Self::weibull(
            above_zero("mean", mean)? / libm::tgamma(1.0 + 1.0 / shape),
            shape,
        )
    }

    /// Gamma with this mean; a shape of one is the exponential, larger ones are narrower (cv = 1 / sqrt(shape)).
    pub fn gamma(mean: f64, shape: f64) -> Result<Self> {
        let shape = within("shape", shape, 0.01, 1e4)?;
        let scale = above_zero("mean", mean)? / shape;
        Ok(Self(Shape::Gamma { shape, scale }))
    }

    /// Each part with its weight; weights need not add up to one. A mixture within a mixture is opened up.
    pub fn mixture(parts: impl IntoIterator<Item = (f64, Self)>) -> Result<Self> {
        Ok(Self(Shape::Mixture(mixture::Mixture::new(parts)?)))
    }

    /// Straight lines between (percent, value) points: below the lowest percentile from zero, above the highest its value.
    pub fn percentiles(points: impl IntoIterator<Item = (f64, f64)>) -> Result<Self> {
        Ok(Self(Shape::Percentiles(percentiles::Table::new(points)?)))
    }

    /// Exactly the values that were observed, each as likely as the others.
    pub fn observed(values: impl IntoIterator<Item = f64>) -> Result<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        for &value in &values {
            at_least_zero("each value", value)?;
        }
        if values.is_empty() {
            return Err(DistributionError::Empty);
        }
        values.sort_unstable_by(f64::total_cmp);
        Ok(Self(Shape::Observed(values.into())))
    }

    /// The time at `u`, rounded to the nearest nanosecond; longer than [`Duration::MAX`] becomes that.
    #[must_use]
    pub fn sample(&self, u: f64) -> Duration {
        Duration::from_nanos_f64(self.quantile(u))
    }

    /// The value at `u`, which must lie in the open interval (0, 1): the inverse of the distribution function.
    #[must_use]
    pub fn quantile(&self, u: f64) -> f64 {
        match &self.0 {
            Shape::Constant(value) => *value,
            Shape::Uniform { from, width } => from + width * u,
            Shape::Exponential { mean } => mean * unit_exponential(u),
            Shape::LogNormal { mu, sigma } => libm::exp(mu + sigma * normal::quantile(u)),
            Shape::Pareto(pareto) => pareto.quantile(u),
            Shape::Weibull { scale, shape } => scale * libm::pow(-libm::log1p(-u), 1.0 / shape),
            Shape::Gamma { shape, scale } => scale * gamma::quantile(*shape, u),
            Shape::Mixture(mixture) => mixture.quantile(u),
            Shape::Percentiles(table) => table.quantile(u),
            Shape::Observed(values) => {
                let index = (u * values.len() as f64) as usize;
                values[index.min(values.len() - 1)]
            }
        }
    }

    /// The probability of at most `x`.
    #[must_use]
    pub fn cdf(&self, x: f64) -> f64 {
        let below = match &self.0 {
            Shape::Constant(value) => f64::from(u8::from(x >= *value)),
            Shape::Uniform { from, width } if *width > 0.0 => (x - from) / width,
            Shape::Uniform { from, .. } => f64::from(u8::from(x >= *from)),
            Shape::Exponential { mean } => -libm::expm1(-x / mean),
            Shape::LogNormal { mu, sigma } if x > 0.0 && *sigma > 0.0 => {
                normal::cdf((libm::log(x) - mu) / sigma)
            }
            Shape::LogNormal { mu, .. } => f64::from(u8::from(x > 0.0 && x >= libm::exp(*mu))),
            Shape::Pareto(pareto) => pareto.cdf(x),
            Shape::Weibull { scale, shape } if x > 0.0 => {
                -libm::expm1(-libm::pow(x / scale, *shape))
            }
            Shape::Weibull { .. } => 0.0,
            Shape::Gamma { shape, scale } => gamma::incomplete(*shape, x / scale).0,
            Shape::Mixture(mixture) => mixture.cdf(x),
            Shape::Percentiles(table) => table.cdf(x),
            Shape::Observed(values) => {
                values.partition_point(|v| *v <= x) as f64 / values.len() as f64
            }
        };
        below.clamp(0.0, 1.0)
    }

    /// The mean; infinite for a Pareto with a shape of at most one and no end.
    #[must_use]
    pub fn mean(&self) -> f64 {
        self.moments().0
    }

    /// Standard deviation over mean; infinite when the variance is, zero for a constant zero.
    #[must_use]
    pub fn cv(&self) -> f64 {
        let (mean, square) = self.moments();
        if mean == 0.0 {
            0.0
        } else if !square.is_finite() {
            f64::INFINITY
        } else {
            libm::sqrt((square / (mean * mean) - 1.0).max(0.0))
        }
    }

    /// The first two moments about zero.
    fn moments(&self) -> (f64, f64) {
        let from_cv = |mean: f64, cv2: f64| (mean, mean * mean * (1.0 + cv2));
        match &self.0 {
            Shape::Constant(value) => from_cv(*value, 0.0),
            Shape::Uniform { from, width } => uniform_moments(*from, from + width),
            Shape::Exponential { mean } => from_cv(*mean, 1.0),
            Shape::LogNormal { mu, sigma } => from_cv(
                libm::exp(mu + sigma * sigma / 2.0),
                libm::expm1(sigma * sigma),
            ),
            Shape::Pareto(pareto) => (pareto.moment(1.0), pareto.moment(2.0)),
            Shape::Weibull { scale, shape } => (
                scale * libm::tgamma(1.0 + 1.0 / shape),
                scale * scale * libm::tgamma(1.0 + 2.0 / shape),
            ),
            Shape::Gamma { shape, scale } => from_cv(shape * scale, 1.0 / shape),
            Shape::Mixture(mixture) => mixture.moments(),
            Shape::Percentiles(table) => table.moments(),
            Shape::Observed(values) => {
                let n = values.len() as f64;
                let sum = |power: fn(f64) -> f64| values.iter().map(|v| power(*v)).sum::<f64>();
                (sum(|v| v) / n, sum(|v| v * v) / n)
            }
        }
    }
}

impl Pareto {
    fn quantile(&self, u: f64) -> f64 {
        let above = libm::log1p(-u * self.below_max);
        (self.min * libm::exp(-above / self.shape)).min(self.max)
    }

    fn cdf(&self, x: f64) -> f64 {
        if x < self.min {
            return 0.0;
        }
        (1.0 - libm::pow(self.min / x, self.shape)) / self.below_max
    }

    /// The moment of order `k`: the integral of x^k over the density shape × min^shape × x^(-shape-1) / below_max.
    fn moment(&self, k: f64) -> f64 {
        let left = self.shape - k;
        if self.max.is_infinite() {
            return if left > 0.0 {
                self.shape * libm::pow(self.min, k) / left
            } else {
                f64::INFINITY
            };
        }
        let reach = libm::log(self.max / self.min);
        let integral = if left == 0.0 {
            reach
        } else {
            -libm::expm1(-left * reach) / left
        };
        self.shape * libm::pow(self.min, k) * integral / self.below_max
    }
}

/// The sigma of a lognormal whose quantile at normal score `z` is e^`above` times its mean: the smaller root of
/// sigma²/2 - z sigma + above = 0, so that a percentile near the mean means a narrow distribution.
fn sigma_from_mean(above: f64, z: f64) -> Result<f64> {
    let inner = z * z - 2.0 * above;
    if inner < 0.0 {
        let limit = libm::exp(z * z / 2.0);
        return Err(DistributionError::PercentileTooFar { limit });
    }
    if above < 0.0 {
        return Err(order("the mean", "the percentile"));
    }
    Ok(z - libm::sqrt(inner))
}

fn uniform_moments(from: f64, to: f64) -> (f64, f64) {
    ((from + to) / 2.0, (from * from + from * to + to * to) / 3.0)
}

fn squared(x: f64) -> f64 {
    x * x
}

fn order(below: &'static str, above: &'static str) -> DistributionError {
    DistributionError::Order { below, above }
}

fn at_least_zero(name: &'static str, value: f64) -> Result<f64> {
    if value.is_finite() && value >= 0.0 {
        Ok(value)
    } else {
        Err(DistributionError::Negative { name, value })
    }
}

fn above_zero(name: &'static str, value: f64) -> Result<f64> {
    if value.is_finite() && value > 0.0 {
        Ok(value)
    } else {
        Err(DistributionError::NotPositive { name, value })
    }
}

fn within(name: &'static str, value: f64, low: f64, high: f64) -> Result<f64> {
    if (low..=high).contains(&value) {
        Ok(value)
    } else {
        Err(DistributionError::OutOfRange {
            name,
            value,
            low,
            high,
        })
    }
}
