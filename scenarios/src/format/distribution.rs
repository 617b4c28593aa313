//! Times that vary: a bare duration, or one named shape.

use indexmap::IndexMap;
use schemars::JsonSchema;

use super::Located;
use super::either::{ScalarOrMap, scalar_or_map};
use super::scalars::{Factor, Period, Scalar};

/// A distribution of times: a duration stands for itself, a mapping names one shape.
#[derive(Clone, Debug, PartialEq)]
pub enum Times {
    /// Always this long.
    Constant(Period),
    /// As its one key says.
    Shape(Box<Shape>),
}

/// The shapes; exactly one key is given.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(extend("minProperties" = 1, "maxProperties" = 1))]
pub struct Shape {
    /// Always this long.
    pub constant: Option<Located<Period>>,
    /// Equally likely anywhere from `from` to `to`.
    pub uniform: Option<Uniform>,
    /// Memoryless, with this mean.
    pub exponential: Option<Exponential>,
    /// By its middle (`median` or `mean`) and its width (a percentile, `sigma` or `cv`).
    pub lognormal: Option<LogNormal>,
    /// A heavy tail: at least `min`; P(X > x) = (min / x)^shape.
    pub pareto: Option<Pareto>,
    /// P(X > x) = exp(-(x / scale)^shape).
    pub weibull: Option<Weibull>,
    /// With this mean; cv = 1 / sqrt(shape).
    pub gamma: Option<Gamma>,
    /// Parts with weights.
    pub mixture: Option<Vec<Part>>,
    /// Straight lines between percentiles: `p50: 5ms`, `p99: 50ms`, `p100: 80ms`.
    pub percentiles: Option<IndexMap<Located<String>, Located<Period>>>,
    /// A file with one observed duration a line, each as likely as the others.
    pub file: Option<Located<String>>,
}

/// Equally likely anywhere from `from` to `to`.
#[derive(Clone, Debug, PartialEq, serde::Deserialize, JsonSchema)]
pub struct Uniform {
    pub from: Located<Period>,
    pub to: Located<Period>,
}

/// Memoryless, with this mean.
#[derive(Clone, Debug, PartialEq, serde::Deserialize, JsonSchema)]
pub struct Exponential {
    pub mean: Located<Period>,
}

/// By its middle (`median` or `mean`) and its width: one percentile, `sigma` or `cv`.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize, JsonSchema)]
#[serde(default)]
pub struct LogNormal {
    pub median: Option<Located<Period>>,
    pub mean: Option<Located<Period>>,
    pub p75: Option<Located<Period>>,
    pub p90: Option<Located<Period>>,
    pub p95: Option<Located<Period>>,
    pub p99: Option<Located<Period>>,
    pub p999: Option<Located<Period>>,
    /// Standard deviation of the logarithm.
    pub sigma: Option<Located<Factor>>,
    /// Standard deviation over mean.
    pub cv: Option<Located<Factor>>,
}

/// A heavy tail, given by `min` or `mean`; cut off at `max` when that is given.
#[derive(Clone, Debug, PartialEq, serde::Deserialize, JsonSchema)]
pub struct Pareto {
    pub min: Option<Located<Period>>,
    pub mean: Option<Located<Period>>,
    pub shape: Located<Factor>,
    pub max: Option<Located<Period>>,
}

/// Given by `scale` or `mean`, and `shape`.
#[derive(Clone, Debug, PartialEq, serde::Deserialize, JsonSchema)]
pub struct Weibull {
    pub scale: Option<Located<Period>>,
    pub mean: Option<Located<Period>>,
    pub shape: Located<Factor>,
}

/// Given by `mean` and `shape`.
#[derive(Clone, Debug, PartialEq, serde::Deserialize, JsonSchema)]
pub struct Gamma {
    pub mean: Located<Period>,
    pub shape: Located<Factor>,
}

/// One part of a mixture.
#[derive(Clone, Debug, PartialEq, serde::Deserialize, JsonSchema)]
pub struct Part {
    pub weight: Located<Factor>,
    pub time: Located<Times>,
}

impl ScalarOrMap for Times {
    type Map = Shape;

    fn scalar(text: &str) -> Result<Self, String> {
        Period::parse(text).map(Self::Constant)
    }

    fn map(shape: Shape) -> Self {
        Self::Shape(Box::new(shape))
    }
}

scalar_or_map!(Times, Period);
