//! Attempts of the edges that retry most, first tries and the rest.

use super::{Panel, Row, Series, measured, plot, plot_height, short, strip};
use crate::chart::Ink;
use crate::chart::scale::Scale;
use crate::chart::time::Bins;
use crate::result::{EdgeTotals, RunResult};
use crate::words;

/// Most edges that get a panel of their own.
const MOST: usize = 3;

/// First tries, retries and hedges a second.
type Rates = Vec<[f64; 2]>;

/// Names at both ends; none is all edges together.
type Edge<'a> = Option<(&'a str, &'a str)>;

fn counts(result: &RunResult, edge: Edge<'_>, span: Option<crate::figures::Span>) -> EdgeTotals {
    match edge {
        Some((from, to)) => result.between(from, to, span).unwrap_or_default(),
        None => {
            let mut total = EdgeTotals::default();
            for edge in &result.edges {
                total.add(&edge.counts(span));
            }
            total
        }
    }
}

/// The edges with the most retries in any result; all together when none was retried.
fn chosen(results: &[RunResult]) -> Vec<Edge<'_>> {
    let mut all: Vec<(f64, &str, &str)> = Vec::new();
    for result in results {
        for edge in &result.edges {
            let (from, to) = (
                result.workload_name(edge.from),
                result.workload_name(edge.to),
            );
            let retries = result.time.each(edge.totals.retries + edge.totals.hedges);
            match all.iter_mut().find(|e| (e.1, e.2) == (from, to)) {
                Some(known) => known.0 = known.0.max(retries),
                None => all.push((retries, from, to)),
            }
        }
    }
    all.retain(|e| e.0 > 0.0);
    all.sort_by(|a, b| b.0.total_cmp(&a.0));
    let most = all.first().map_or(0.0, |e| e.0);
    let weighty = all.into_iter().filter(|e| e.0 * 20.0 >= most).take(MOST);
    let edges: Vec<Edge<'_>> = weighty.map(|(_, from, to)| Some((from, to))).collect();
    if edges.is_empty() { vec![None] } else { edges }
}

pub(super) fn panels(results: &[RunResult]) -> Vec<Panel> {
    chosen(results)
        .into_iter()
        .map(|edge| panel(results, edge))
        .collect()
}

fn panel(results: &[RunResult], edge: Edge<'_>) -> Panel {
    let all: Vec<(Bins, Rates)> = results
        .iter()
        .map(|result| {
            let bins = Bins::of(result);
            let rates = bins.spans().map(|span| {
                let c = counts(result, edge, Some(span));
                let seconds = result.time.seconds(span);
                let rate = |n: u64| {
                    if seconds > 0.0 {
                        n as f64 / seconds
                    } else {
                        0.0
                    }
                };
                [rate(c.first), rate(c.retries + c.hedges)]
            });
            (bins, rates.collect())
        })
        .collect();
    let tops = all.iter().flat_map(|(_, r)| r.iter().map(|p| p[0] + p[1]));
    let scale = Scale::linear(tops);
    let name = match edge {
        Some((from, to)) => format!("Attempts a second from {from} to {to}"),
        None => "Attempts a second between all services".to_owned(),
    };
    let retried = all.iter().any(|(_, r)| r.iter().any(|p| p[1] > 0.0));
    let mut key = vec![(Ink::Neutral, "first tries".to_owned())];
    if retried {
        key.push((Ink::Retries, "retries and hedges".to_owned()));
    }
    let rows = results.iter().zip(&all);
    let rows = rows.map(|(result, (bins, rates))| row(results, result, edge, *bins, rates, scale));
    Panel {
        name,
        key,
        rows: rows.collect(),
    }
}

fn row(
    results: &[RunResult],
    result: &RunResult,
    edge: Edge<'_>,
    bins: Bins,
    rates: &Rates,
    scale: Scale,
) -> Row {
    let title = title(result, edge, bins, rates);
    // Without a retry anywhere the attempts are the requests, which are drawn above.
    if edge.is_none() {
        return Row {
            title,
            svg: None,
            series: vec![],
            bin_ns: bins.width_ns(),
        };
    }
    let plot = plot(results, result, scale, plot_height(results, 110.0));
    let svg = strip(&plot, result, &title.replace('`', ""), |pen| {
        plot.frame(pen, result, &|v| words::rate(v));
        let zero = vec![0.0; rates.len()];
        let first: Vec<f64> = rates.iter().map(|r| r[0]).collect();
        let all: Vec<f64> = rates.iter().map(|r| r[0] + r[1]).collect();
        plot.band(pen, bins, &zero, &first, Ink::Neutral);
        plot.band(pen, bins, &first, &all, Ink::Retries);
    });
    let values = |at: usize| rates.iter().map(|r| Some(short(r[at]))).collect();
    let mut series = vec![Series::new("first tries", "/s", values(0))];
    if rates.iter().any(|r| r[1] > 0.0) {
        series.push(Series::new("retries", "/s", values(1)));
    }
    Row {
        title,
        svg: Some(svg),
        series,
        bin_ns: bins.width_ns(),
    }
}

fn title(result: &RunResult, edge: Edge<'_>, bins: Bins, rates: &Rates) -> String {
    let whole = counts(result, edge, None);
    let Some(factor) = whole.amplification() else {
        return match edge {
            Some((from, to)) => format!("`{from}` sent nothing to `{to}`"),
            None => "No service called another".into(),
        };
    };
    if whole.retries + whole.hedges == 0 {
        return "No call was tried twice".into();
    }
    let range = measured(result, bins);
    let busiest = rates.iter().map(|r| r[0]).fold(0.0, f64::max);
    let inside = rates[range.clone()].iter().enumerate();
    let inside = inside.filter(|(_, r)| r[0] > busiest / 10.0);
    let multiple = inside.map(|(at, r)| (at, (r[0] + r[1]) / r[0]));
    let to = edge.map_or_else(|| "all services".to_owned(), |e| format!("`{}`", e.1));
    let peak = multiple
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .filter(|p| p.1 > factor * 1.05);
    let said: fn(f64) -> String = if factor < 1.5 {
        |factor| words::share(factor - 1.0)
    } else {
        |factor| format!("{}×", words::significant(factor))
    };
    let what = match (whole.retries, whole.hedges) {
        (_, 0) => "Retries",
        (0, _) => "Hedges",
        (_, _) => "Retries and hedges",
    };
    let factor = said(factor);
    if factor.ends_with('×') {
        // Retries belong to calls that began earlier: a multiple of a moment is no count of the tries of one call.
        let highest = peak.map_or(String::new(), |(at, peak)| {
            let at = words::clock(bins.middle_ns(range.start + at) / 1_000_000_000);
            let peak = words::significant(peak);
            format!("; {peak} tries were sent for each new call at {at}")
        });
        format!("{what} multiplied the attempts on {to} {factor}{highest}")
    } else {
        let highest = peak.map_or(String::new(), |(at, peak)| {
            let at = words::clock(bins.middle_ns(range.start + at) / 1_000_000_000);
            format!(", {} at {at}", said(peak))
        });
        format!("{what} added {factor} to the attempts on {to}{highest}")
    }
}
