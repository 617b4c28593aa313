//! One station beside its closed form.

use super::NARROW;
use super::flights::{Traffic, exponential};
use super::interval::Comparison;
use super::queues::Mmc;

/// Mean, median and 99th percentile of M/M/c.
pub(crate) fn mmc(comparison: &mut Comparison, traffic: Traffic, widest: f64) {
    let result = traffic.station(&traffic.exponential(), "", traffic.seed());
    let theory = Mmc {
        servers: traffic.servers,
        arrivals: traffic.rate(),
        service: 1.0 / traffic.service(),
    };
    let name = &*format!("M/M/{} at {}", traffic.servers, traffic.rho);
    comparison.mean(name, theory.mean(), &result, widest);
    for q in [0.5, 0.99] {
        comparison.percentile((name, q), theory.percentile(q), &result, widest);
    }
}

/// Service times by their distribution's text at a mean in seconds, and the square of their coefficient of variation.
pub(crate) type Shape = (&'static str, fn(f64) -> String, f64);

pub(crate) const CONSTANT: Shape = ("constant", constant, 0.0);
pub(crate) const LOGNORMAL: Shape = ("lognormal", lognormal, 0.64);
pub(crate) const EXPONENTIAL: Shape = ("exponential", exponential, 1.0);
/// Three in four take half the mean, the fourth 2.5 times: E[S²] = 2 (0.75 · 0.25 + 0.25 · 6.25) = 3.5.
pub(crate) const HYPEREXPONENTIAL: Shape = ("hyperexponential", hyperexponential, 2.5);

fn constant(mean: f64) -> String {
    format!("{}ns", (mean * 1e9).round())
}

fn lognormal(mean: f64) -> String {
    format!("{{lognormal: {{mean: {}, cv: 0.8}}}}", constant(mean))
}

fn hyperexponential(mean: f64) -> String {
    let (short, long) = (exponential(0.5 * mean), exponential(2.5 * mean));
    format!("{{mixture: [{{weight: 3, time: {short}}}, {{weight: 1, time: {long}}}]}}")
}

/// The Pollaczek-Khinchine mean of M/G/1.
pub(crate) fn mg1(
    comparison: &mut Comparison,
    (shape, time, variation): Shape,
    rho: f64,
    requests: f64,
) {
    let traffic = Traffic {
        servers: 1,
        rho,
        requests,
    };
    let result = traffic.station(&time(traffic.service()), "", 2);
    let wait = rho / (1.0 - rho) * (1.0 + variation) / 2.0;
    let expected = traffic.service() * (1.0 + wait);
    let name = format!("M/G/1 {shape} at {rho}");
    comparison.mean(&name, expected, &result, NARROW);
}

/// The mean of M/G/1 under processor sharing, which knows no more of service times than their mean.
pub(crate) fn sharing(
    comparison: &mut Comparison,
    (shape, time, _): Shape,
    rho: f64,
    requests: f64,
) {
    let traffic = Traffic {
        servers: 1,
        rho,
        requests,
    };
    let shared = "queue: {discipline: ps},";
    let result = traffic.station(&time(traffic.service()), shared, 3);
    let expected = traffic.service() / (1.0 - rho);
    let name = format!("M/G/1-PS {shape} at {rho}");
    comparison.mean(&name, expected, &result, NARROW);
}
