//! The strips: what happened over time, one kind under the other, one row a result.

use super::Ink;
use super::labels::spread;
use super::pen::{Anchor, Letters, Pen, draw, fitted, width_of};
use super::scale::Scale;
use super::time::{Bins, Plot, RIGHT, SIZE, TimeAxis, WIDTH};
use crate::result::RunResult;

mod attempts;
mod latency;
mod levels;
mod states;
#[cfg(test)]
mod tests;
mod traffic;

/// Strips of one kind, a row a result, on the same scales.
#[derive(Clone, PartialEq, Debug)]
pub struct Panel {
    /// What is plotted, with its unit: `Latency, log scale`.
    pub name: String,
    /// What each colour stands for, in the order they lie.
    pub key: Vec<(Ink, String)>,
    /// One a result.
    pub rows: Vec<Row>,
}

/// The strip of one result.
#[derive(Clone, PartialEq, Debug)]
pub struct Row {
    /// What is to be seen, names in backticks.
    pub title: String,
    /// The picture; none when the title says it all.
    pub svg: Option<String>,
    /// What a pointer reads out.
    pub series: Vec<Series>,
    /// How long a value of the series lasts.
    pub bin_ns: u64,
}

/// Values to be read out.
#[derive(Clone, PartialEq, Debug)]
pub struct Series {
    /// Of what.
    pub name: String,
    /// After each number.
    pub unit: &'static str,
    /// One a bin.
    pub values: Vec<Option<f64>>,
}

impl Series {
    fn new(name: impl Into<String>, unit: &'static str, values: Vec<Option<f64>>) -> Self {
        Self {
            name: name.into(),
            unit,
            values,
        }
    }
}

/// Every panel of these results, from the outside in.
#[must_use]
pub fn panels(results: &[RunResult]) -> Vec<Panel> {
    let mut all = vec![traffic::panel(results), latency::panel(results)];
    all.extend(attempts::panels(results));
    all.push(states::panel(results));
    all.extend(levels::panels(results));
    all
}

/// The ruler that stands above them all.
#[must_use]
pub fn ruler(results: &[RunResult]) -> String {
    super::time::ruler(results)
}

/// Height of a plot: less when there are several to be compared.
fn plot_height(results: &[RunResult], alone: f64) -> f64 {
    if results.len() > 1 {
        alone * 0.62
    } else {
        alone
    }
}

/// The plot of one of these results; the last has the times under it.
fn plot(results: &[RunResult], result: &RunResult, scale: Scale, height: f64) -> Plot {
    Plot {
        clock: results
            .last()
            .is_some_and(|last| std::ptr::eq(last, result)),
        time: TimeAxis::of(results),
        scale,
        top: 6.0,
        bottom: 6.0 + height,
    }
}

/// A whole strip.
fn strip(plot: &Plot, result: &RunResult, alt: &str, paint: impl FnOnce(&mut Pen<'_>)) -> String {
    draw(WIDTH, plot.end(), alt, |pen| {
        paint(pen);
        plot.fault_edges(pen, result);
    })
}

/// Names of lines at their ends, kept apart.
fn end_labels(pen: &mut Pen<'_>, plot: &Plot, labels: &[(String, f64, Ink)]) {
    let at: Vec<f64> = labels.iter().map(|(_, value, _)| plot.y(*value)).collect();
    let placed = spread(&at, SIZE + 1.5, plot.top + 4.0, plot.bottom - 2.0);
    for (((name, _, ink), y), from) in labels.iter().zip(placed).zip(at) {
        pen.line((RIGHT + 1.0, from), (RIGHT + 7.0, y), *ink, 2.5);
        let name = fitted(name, SIZE, WIDTH - RIGHT - 12.0);
        let letters = Letters::new(SIZE, Ink::Text, Anchor::Start).bold();
        pen.text(&name, (RIGHT + 10.0, y), letters);
    }
}

/// The last value there is.
fn last(values: &[Option<f64>]) -> Option<f64> {
    values.iter().rev().find_map(|v| *v)
}

/// The highest value and the first bin that has it.
fn peak(values: &[Option<f64>]) -> Option<(usize, f64)> {
    let there = values
        .iter()
        .enumerate()
        .filter_map(|(at, v)| Some((at, (*v)?)));
    there.reduce(|best, next| if next.1 > best.1 { next } else { best })
}

/// The bins that lie wholly after the warm-up.
fn measured(result: &RunResult, bins: Bins) -> std::ops::Range<usize> {
    let first = result.time.first_measured().div_ceil(bins.each);
    let end = (result.time.end_ns().div_ceil(bins.width_ns().max(1)) as usize).min(bins.count);
    first.min(end)..end
}

/// Three figures: what is read out need not be longer.
fn short(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return 0.0;
    }
    let magnitude = libm::floor(libm::log10(value.abs()));
    let factor = libm::pow(10.0, 2.0 - magnitude);
    libm::round(value * factor) / factor
}

/// Whether a name fits in a stretch of a bar.
fn fits(text: &str, size: f64, width: f64) -> bool {
    width_of(text, size) <= width
}
