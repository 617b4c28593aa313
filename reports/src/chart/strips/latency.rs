//! Latency percentiles over their heatmap.

use super::{
    Panel, Row, Series, end_labels, last, measured, peak, plot, plot_height, short, strip,
};
use crate::chart::Ink;
use crate::chart::ink::HEATS;
use crate::chart::pen::Pen;
use crate::chart::scale::Scale;
use crate::chart::time::{Bins, Plot};
use crate::figures::{Span, Stat};
use crate::histogram::{COARSE, Histogram};
use crate::result::RunResult;
use crate::words;

const LINES: [(Stat, Ink, f64); 3] = [
    (Stat::P50, Ink::Light, 1.75),
    (Stat::P90, Ink::Middle, 1.75),
    (Stat::P99, Ink::Dark, 2.0),
];

/// Columns and rows of a heatmap, at most.
const COLUMNS: usize = 120;
const ROWS: usize = 26;

fn latency(result: &RunResult, span: Span) -> Histogram {
    let mut all = Histogram::new(COARSE);
    for load in &result.loads {
        for series in [&load.series.ok_latency, &load.series.failed_latency] {
            let end = span.end.min(series.len());
            for window in &series[span.first.min(end)..end] {
                all.merge(window);
            }
        }
    }
    all
}

type Lines = [Vec<Option<f64>>; 3];

fn lines(result: &RunResult, bins: Bins) -> Lines {
    let histograms: Vec<Histogram> = bins.spans().map(|s| latency(result, s)).collect();
    LINES.map(|(stat, _, _)| histograms.iter().map(|h| stat.of(h)).collect())
}

pub(super) fn panel(results: &[RunResult]) -> Panel {
    let all: Vec<(Bins, Lines)> = results
        .iter()
        .map(|result| {
            let bins = Bins::of(result);
            (bins, lines(result, bins))
        })
        .collect();
    let values = all
        .iter()
        .flat_map(|(_, l)| l.iter().flatten().flatten().copied());
    let scale = Scale::log(values);
    let rows = results.iter().zip(&all);
    Panel {
        name: "Latency of finished requests from the moment they were due, log scale".into(),
        key: vec![(Ink::Heat(3), "darker where more requests lie".into())],
        rows: rows
            .map(|(result, (bins, lines))| match scale {
                Some(scale) => row(results, result, *bins, lines, scale),
                None => Row {
                    title: "No request finished".into(),
                    svg: None,
                    series: vec![],
                    bin_ns: bins.width_ns(),
                },
            })
            .collect(),
    }
}

fn row(results: &[RunResult], result: &RunResult, bins: Bins, lines: &Lines, scale: Scale) -> Row {
    let plot = plot(results, result, scale, plot_height(results, 190.0));
    let title = title(result, bins, lines);
    let svg = strip(&plot, result, &title.replace('`', ""), |pen| {
        plot.frame(pen, result, &words::duration);
        heatmap(pen, &plot, result);
        for (values, (_, ink, width)) in lines.iter().zip(LINES) {
            plot.rimmed(pen, bins, values, ink, width);
        }
        let named = lines.iter().zip(LINES).rev();
        let named: Vec<_> = named
            .filter_map(|(values, (stat, ink, _))| {
                Some((stat.name().to_owned(), last(values)?, ink))
            })
            .collect();
        end_labels(pen, &plot, &named);
    });
    let series = lines.iter().zip(LINES).map(|(values, (stat, _, _))| {
        let in_ms = values.iter().map(|v| v.map(|ns| short(ns / 1e6)));
        Series::new(stat.name(), "ms", in_ms.collect())
    });
    Row {
        title,
        svg: Some(svg),
        series: series.collect(),
        bin_ns: bins.width_ns(),
    }
}

/// Cells by how many requests of their moment they hold, seven steps each of double share; cells side by side of one
/// step are one rectangle.
fn heatmap(pen: &mut Pen<'_>, plot: &Plot, result: &RunResult) {
    let Scale::Log { min, max } = plot.scale else {
        return;
    };
    let bins = Bins::at_most(result, COLUMNS);
    let mut grid = vec![vec![0_u64; bins.count]; ROWS];
    for (column, span) in bins.spans().enumerate() {
        for (low, width, count) in latency(result, span).buckets() {
            let middle = low as f64 + width as f64 / 2.0;
            if middle < min || middle > max {
                continue;
            }
            let row = (plot.scale.share(middle) * ROWS as f64) as usize;
            grid[row.min(ROWS - 1)][column] += count;
        }
    }
    let most = grid.iter().flatten().copied().max().unwrap_or(0);
    let step = |count: u64| -> Option<u8> {
        if count == 0 {
            return None;
        }
        let halvings = libm::floor(libm::log2(most as f64 / count as f64)) as u8;
        Some((HEATS - 1).saturating_sub(halvings))
    };
    let height = (plot.bottom - plot.top) / ROWS as f64;
    for (row, counts) in grid.iter().enumerate() {
        let mut at = 0;
        while at < counts.len() {
            let shade = step(counts[at]);
            let mut end = at + 1;
            while end < counts.len() && step(counts[end]) == shade {
                end += 1;
            }
            if let Some(shade) = shade {
                let bottom = plot.bottom - row as f64 * height;
                let x = |column: usize| plot.time.x(column as u64 * bins.width_ns());
                pen.rect(
                    (x(at), bottom - height),
                    (x(end), bottom),
                    Ink::Heat(shade),
                    1.0,
                );
            }
            at = end;
        }
    }
}

fn title(result: &RunResult, bins: Bins, lines: &Lines) -> String {
    let range = measured(result, bins);
    let p99 = &lines[2][range.clone()];
    let mut sorted: Vec<f64> = p99.iter().flatten().copied().collect();
    if sorted.is_empty() {
        return "No request finished".into();
    }
    sorted.sort_by(f64::total_cmp);
    let lowest = sorted[0];
    let (at, highest) = peak(p99).unwrap_or((0, lowest));
    let whole = Stat::P99
        .of(&latency(result, result.time.measured()))
        .unwrap_or(highest);
    let failures = failures(result);
    if highest < lowest * 2.0 {
        return format!("p99 stayed around {}{failures}", words::duration(whole));
    }
    let at = words::clock(bins.middle_ns(range.start + at) / 1_000_000_000);
    format!(
        "p99 was between {} and {}, its highest at {at}{failures}",
        words::duration(lowest),
        words::duration(highest)
    )
}

/// That these are times of failures, where most requests failed: a connection that is reset in 100 µs is not fast.
fn failures(result: &RunResult) -> String {
    let of = |load: &crate::result::LoadResult| load.finished(None);
    let (finished, served) = result
        .loads
        .iter()
        .map(of)
        .fold((0, 0), |sum, each| (sum.0 + each.0, sum.1 + each.1));
    if finished == 0 || served * 2 >= finished {
        return String::new();
    }
    let failed = words::share((finished - served) as f64 / finished as f64);
    format!("; {failed} of these requests failed, so that it is mostly the time to a failure")
}
