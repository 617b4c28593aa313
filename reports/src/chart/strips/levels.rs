//! Utilisation and queues of the busiest workloads.

use super::{
    Panel, Row, Series, end_labels, last, measured, peak, plot, plot_height, short, strip,
};
use crate::chart::Ink;
use crate::chart::scale::Scale;
use crate::chart::time::Bins;
use crate::result::RunResult;
use crate::setup::WorkloadKind;
use crate::words;

/// Most workloads in one strip.
const MOST: usize = 3;
/// Nothing is drawn of shares and queues that stay below these.
const LEAST_SHARE: f64 = 0.01;
const LEAST_QUEUE: f64 = 0.1;
const INKS: [(Ink, f64); MOST] = [(Ink::Dark, 2.25), (Ink::Middle, 1.75), (Ink::Light, 1.5)];

/// A level of a workload over time, by its name.
type Level = fn(&RunResult, &str, Option<crate::figures::Span>) -> Option<f64>;

fn utilization(result: &RunResult, name: &str, span: Option<crate::figures::Span>) -> Option<f64> {
    let at = *result.workloads_named(name).first()?;
    result.utilization(at, span)
}

fn proxies(result: &RunResult, name: &str, span: Option<crate::figures::Span>) -> Option<f64> {
    let at = *result.workloads_named(name).first()?;
    result.proxy_utilization(at, span.unwrap_or_else(|| result.time.measured()))
}

fn queue(result: &RunResult, name: &str, span: Option<crate::figures::Span>) -> Option<f64> {
    let at = *result.workloads_named(name).first()?;
    let span = span.unwrap_or_else(|| result.time.measured());
    result.workloads[at].queue.mean(&result.time, span)
}

/// What a strip of levels is about.
#[derive(Clone, Copy)]
struct Kind {
    name: &'static str,
    level: Level,
    unit: &'static str,
    factor: f64,
    label: fn(f64) -> String,
    /// Only gateways, whose slots are their workers, count as busy workers.
    whose: fn(&crate::result::WorkloadResult) -> bool,
}

const SLOTS: Kind = Kind {
    name: "Utilisation: share of slots at work, the busiest workloads",
    level: utilization,
    unit: "%",
    factor: 100.0,
    label: |v| words::share(v),
    whose: |_| true,
};

const PROXIES: Kind = Kind {
    name: "Proxy CPU: share of workers at work, the busiest proxies",
    level: proxies,
    unit: "%",
    factor: 100.0,
    label: |v| words::share(v),
    whose: |w| !matches!(w.kind, WorkloadKind::Gateway) || !w.capacity.area.is_empty(),
};

/// Short enough to stand before the plot: `20 k req`.
fn requests(value: f64) -> String {
    if value < 1_000.0 {
        return format!("{} req", words::count(value));
    }
    let (value, prefix) = match value {
        ..1e6 => (value / 1e3, 'k'),
        _ => (value / 1e6, 'M'),
    };
    format!("{} {prefix} req", words::significant(value))
}

const QUEUES: Kind = Kind {
    name: "Queues: requests waiting, the longest queues",
    level: queue,
    unit: "waiting",
    factor: 1.0,
    label: requests,
    whose: |_| true,
};

pub(super) fn panels(results: &[RunResult]) -> Vec<Panel> {
    [SLOTS, PROXIES, QUEUES]
        .into_iter()
        .filter_map(|kind| panel(results, kind))
        .collect()
}

/// The workloads that reach the highest level in any result.
fn chosen(results: &[RunResult], kind: Kind) -> Vec<String> {
    let mut all: Vec<(f64, String)> = Vec::new();
    for result in results {
        let bins = Bins::at_most(result, 60);
        for workload in result.workloads.iter().filter(|w| (kind.whose)(w)) {
            let levels = bins
                .spans()
                .filter_map(|s| (kind.level)(result, &workload.name, Some(s)));
            let Some(highest) = levels.max_by(f64::total_cmp) else {
                continue;
            };
            match all.iter_mut().find(|w| w.1 == workload.name) {
                Some(known) => known.0 = known.0.max(highest),
                None => all.push((highest, workload.name.clone())),
            }
        }
    }
    all.retain(|w| w.0 > 0.0);
    all.sort_by(|a, b| b.0.total_cmp(&a.0));
    all.into_iter().take(MOST).map(|w| w.1).collect()
}

fn panel(results: &[RunResult], kind: Kind) -> Option<Panel> {
    let names = chosen(results, kind);
    if names.is_empty() {
        return None;
    }
    let all: Vec<(Bins, Vec<Vec<Option<f64>>>)> = results
        .iter()
        .map(|result| {
            let bins = Bins::of(result);
            let of = |name: &String| {
                bins.spans()
                    .map(|s| (kind.level)(result, name, Some(s)))
                    .collect()
            };
            (bins, names.iter().map(of).collect())
        })
        .collect();
    let values = all
        .iter()
        .flat_map(|(_, l)| l.iter().flatten().flatten().copied());
    let highest = values.clone().fold(0.0, f64::max);
    let is_idle = highest
        < if kind.unit != "%" {
            LEAST_QUEUE
        } else {
            LEAST_SHARE
        };
    let scale = (!is_idle).then(|| Scale::linear(values));
    let rows = results.iter().zip(&all);
    let rows =
        rows.map(|(result, (bins, lines))| row(results, result, kind, &names, *bins, lines, scale));
    Some(Panel {
        name: kind.name.into(),
        key: vec![],
        rows: rows.collect(),
    })
}

fn row(
    results: &[RunResult],
    result: &RunResult,
    kind: Kind,
    names: &[String],
    bins: Bins,
    lines: &[Vec<Option<f64>>],
    scale: Option<Scale>,
) -> Row {
    let title = title(result, kind, names, bins, lines);
    let Some(scale) = scale else {
        return Row {
            title,
            svg: None,
            series: vec![],
            bin_ns: bins.width_ns(),
        };
    };
    let plot = plot(results, result, scale, plot_height(results, 110.0));
    let svg = strip(&plot, result, &title.replace('`', ""), |pen| {
        plot.frame(pen, result, &kind.label);
        for (values, (ink, width)) in lines.iter().zip(INKS).rev() {
            plot.line(pen, bins, values, ink, width);
        }
        let named = names.iter().zip(lines).zip(INKS);
        let named: Vec<_> = named
            .filter_map(|((name, values), (ink, _))| Some((name.clone(), last(values)?, ink)))
            .collect();
        end_labels(pen, &plot, &named);
    });
    let series = names.iter().zip(lines).map(|(name, values)| {
        let values = values.iter().map(|v| v.map(|v| short(v * kind.factor)));
        Series::new(name.clone(), kind.unit, values.collect())
    });
    Row {
        title,
        svg: Some(svg),
        series: series.collect(),
        bin_ns: bins.width_ns(),
    }
}

fn title(
    result: &RunResult,
    kind: Kind,
    names: &[String],
    bins: Bins,
    lines: &[Vec<Option<f64>>],
) -> String {
    let range = measured(result, bins);
    let peaks = names.iter().zip(lines).filter_map(|(name, values)| {
        let (at, value) = peak(&values[range.clone()])?;
        Some((name, at, value))
    });
    let Some((name, at, value)) = peaks.max_by(|a, b| a.2.total_cmp(&b.2)) else {
        return "Nothing was measured".into();
    };
    if value <= 0.0 {
        return "All were idle".into();
    }
    let peak_bin = at;
    let at = words::clock(bins.middle_ns(range.start + peak_bin) / 1_000_000_000);
    if kind.unit != "%" && value < LEAST_QUEUE {
        return "Hardly a request waited".into();
    }
    if kind.unit == "%" {
        let value = (kind.label)(value);
        return format!("`{name}` was the busiest: {value} at work at {at}");
    }
    // The line is a mean; what is said of its peak is how many there were at once.
    let waited = result.workloads_named(name).first().map_or(0, |&w| {
        let queue = &result.workloads[w].queue;
        queue.highest(bins.span(range.start + peak_bin))
    });
    let waited = words::plural(waited, "request", "requests");
    format!("`{name}` had the longest queue: up to {waited} waiting at {at}")
}
