//! Distributions of times, as written, to those that are sampled.

use manifests::diagnostics::Diagnostic;
use manifests::text::Span;

use super::Compiler;
use crate::distribution::{Centre, Distribution, DistributionError, Spread};
use crate::format::scalars::{Factor, Period};
use crate::format::{Located, LogNormal, Part, Shape, Times};
use crate::plan::ids::DistId;

const SHAPES: &[&str] = &[
    "constant",
    "uniform",
    "exponential",
    "lognormal",
    "pareto",
    "weibull",
    "gamma",
    "mixture",
    "percentiles",
    "file",
];

impl Compiler<'_> {
    pub(super) fn times(&mut self, times: &Located<Times>) -> Option<DistId> {
        self.times_at(times, times.span())
    }

    pub(super) fn times_at(&mut self, times: &Times, span: Span) -> Option<DistId> {
        let distribution = self.distribution(times, span)?;
        Some(self.dist(distribution))
    }

    pub(super) fn distribution(&mut self, times: &Times, span: Span) -> Option<Distribution> {
        let shape = match times {
            Times::Constant(period) => {
                return self.valid(Distribution::constant(nanos(*period)), span);
            }
            Times::Shape(shape) => &**shape,
        };
        let given = given(shape);
        if given.len() != 1 {
            self.one_of(span, SHAPES, &given);
            return None;
        }
        let made = self.shape(shape, span)?;
        self.valid(made, span)
    }

    fn shape(
        &mut self,
        shape: &Shape,
        span: Span,
    ) -> Option<Result<Distribution, DistributionError>> {
        if let Some(constant) = &shape.constant {
            return Some(Distribution::constant(nanos(**constant)));
        }
        if let Some(uniform) = &shape.uniform {
            return Some(Distribution::uniform(
                nanos(*uniform.from),
                nanos(*uniform.to),
            ));
        }
        if let Some(exponential) = &shape.exponential {
            return Some(Distribution::exponential(nanos(*exponential.mean)));
        }
        if let Some(lognormal) = &shape.lognormal {
            return self.lognormal(lognormal, span);
        }
        if let Some(pareto) = &shape.pareto {
            let max = pareto
                .max
                .as_ref()
                .map_or(f64::INFINITY, |max| nanos(**max));
            return match (&pareto.min, &pareto.mean) {
                (Some(min), None) => Some(Distribution::pareto(nanos(**min), pareto.shape.0, max)),
                (None, Some(mean)) if pareto.max.is_none() => Some(Distribution::pareto_with_mean(
                    nanos(**mean),
                    pareto.shape.0,
                )),
                (min, mean) => {
                    let given = [
                        ("min", min.is_some()),
                        ("mean", mean.is_some()),
                        ("max", pareto.max.is_some()),
                    ];
                    let given: Vec<&str> = given
                        .iter()
                        .filter(|each| each.1)
                        .map(|each| each.0)
                        .collect();
                    self.one_of(span, &["min", "mean"], &given);
                    None
                }
            };
        }
        if let Some(weibull) = &shape.weibull {
            return match (&weibull.scale, &weibull.mean) {
                (Some(scale), None) => Some(Distribution::weibull(nanos(**scale), weibull.shape.0)),
                (None, Some(mean)) => Some(Distribution::weibull_with_mean(
                    nanos(**mean),
                    weibull.shape.0,
                )),
                (scale, _) => {
                    let given: &[&str] = if scale.is_some() {
                        &["scale", "mean"]
                    } else {
                        &[]
                    };
                    self.one_of(span, &["scale", "mean"], given);
                    None
                }
            };
        }
        if let Some(gamma) = &shape.gamma {
            return Some(Distribution::gamma(nanos(*gamma.mean), gamma.shape.0));
        }
        if let Some(parts) = &shape.mixture {
            return self.mixture(parts);
        }
        if let Some(points) = &shape.percentiles {
            let mut list = Vec::new();
            for (name, value) in points {
                let Some(percent) = percentile(name) else {
                    let message = format!(
                        "`{}` is not a percentile such as `p50` or `p99.9`",
                        name.escape_debug()
                    );
                    self.error(
                        "distribution::percentile",
                        message,
                        name.span(),
                        "this name",
                    );
                    return None;
                };
                list.push((percent, nanos(**value)));
            }
            return Some(Distribution::percentiles(list));
        }
        let path = shape.file.as_ref()?;
        let values = self.observed(path)?;
        Some(Distribution::observed(values))
    }

    fn lognormal(
        &mut self,
        given: &LogNormal,
        span: Span,
    ) -> Option<Result<Distribution, DistributionError>> {
        let centre = match (&given.median, &given.mean) {
            (Some(median), None) => Centre::Median(nanos(**median)),
            (None, Some(mean)) => Centre::Mean(nanos(**mean)),
            (median, _) => {
                let both: &[&str] = if median.is_some() {
                    &["median", "mean"]
                } else {
                    &[]
                };
                self.one_of(span, &["median", "mean"], both);
                return None;
            }
        };
        let at = |at: f64, value: &Option<Located<Period>>| {
            value.as_ref().map(|value| Spread::Quantile {
                at,
                value: nanos(**value),
            })
        };
        let number = |value: &Option<Located<Factor>>| value.as_ref().map(|value| value.0);
        let widths = [
            ("p75", at(0.75, &given.p75)),
            ("p90", at(0.9, &given.p90)),
            ("p95", at(0.95, &given.p95)),
            ("p99", at(0.99, &given.p99)),
            ("p999", at(0.999, &given.p999)),
            ("sigma", number(&given.sigma).map(Spread::Sigma)),
            ("cv", number(&given.cv).map(Spread::Cv)),
        ];
        let names: Vec<&str> = widths.iter().map(|each| each.0).collect();
        let given: Vec<(&str, Spread)> = widths
            .iter()
            .filter_map(|(name, width)| width.map(|width| (*name, width)))
            .collect();
        let [(_, spread)] = given[..] else {
            let given: Vec<&str> = given.iter().map(|each| each.0).collect();
            self.one_of(span, &names, &given);
            return None;
        };
        Some(Distribution::lognormal(centre, spread))
    }

    fn mixture(&mut self, parts: &[Part]) -> Option<Result<Distribution, DistributionError>> {
        let mut list = Vec::new();
        for part in parts {
            list.push((
                part.weight.0,
                self.distribution(&part.time, part.time.span())?,
            ));
        }
        Some(Distribution::mixture(list))
    }

    fn valid(
        &mut self,
        made: Result<Distribution, DistributionError>,
        span: Span,
    ) -> Option<Distribution> {
        match made {
            Ok(distribution) => Some(distribution),
            Err(problem) => {
                let problem = Diagnostic::error("distribution::invalid", problem.to_string())
                    .label(span, "this distribution");
                self.problems.push(problem);
                None
            }
        }
    }
}

fn nanos(period: Period) -> f64 {
    period.0.as_nanos() as f64
}

fn given(shape: &Shape) -> Vec<&'static str> {
    let all = [
        shape.constant.is_some(),
        shape.uniform.is_some(),
        shape.exponential.is_some(),
        shape.lognormal.is_some(),
        shape.pareto.is_some(),
        shape.weibull.is_some(),
        shape.gamma.is_some(),
        shape.mixture.is_some(),
        shape.percentiles.is_some(),
        shape.file.is_some(),
    ];
    SHAPES
        .iter()
        .zip(all)
        .filter_map(|(name, is)| is.then_some(*name))
        .collect()
}

/// `p50` is 50, `p99.9` and `p999` are 99.9.
fn percentile(name: &str) -> Option<f64> {
    let digits = name.strip_prefix('p')?;
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let number: f64 = plain.then(|| digits.parse().ok())??;
    Some(match digits.len() {
        3.. if digits != "100" && !digits.contains('.') => {
            number / libm::pow(10.0, (digits.len() - 2) as f64)
        }
        _ => number,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_have_names() {
        for (name, expected) in [
            ("p5", Some(5.0)),
            ("p50", Some(50.0)),
            ("p99.9", Some(99.9)),
            ("p999", Some(99.9)),
            ("p100", Some(100.0)),
            ("p0", Some(0.0)),
            ("50", None),
            ("p", None),
            ("px", None),
            ("p1.2.3", None),
        ] {
            assert_eq!(percentile(name), expected, "{name}");
        }
    }
}
