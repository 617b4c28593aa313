//! Offered load, stacked by how it ended.

use super::{Panel, Row, Series, measured, plot, plot_height, short, strip};
use crate::chart::Ink;
use crate::chart::scale::Scale;
use crate::chart::time::Bins;
use crate::figures::{Span, sum};
use crate::outcome::ErrorReason;
use crate::result::RunResult;
use crate::words;

/// From the ground up.
const PARTS: [(Ink, &str); 4] = [
    (Ink::Good, "succeeded"),
    (Ink::Refused, "refused by policy"),
    (Ink::Failed, "failed"),
    (Ink::Neutral, "unfinished"),
];

/// Rates of one bin, in the order of [`PARTS`].
fn rates(result: &RunResult, span: Span) -> [f64; 4] {
    let seconds = result.time.seconds(span);
    if seconds <= 0.0 {
        return [0.0; 4];
    }
    let mut counts = [0_u64; 4];
    for load in &result.loads {
        let (finished, succeeded) = load.finished(Some(span));
        let refusal = |r: &&ErrorReason| r.is_refusal() && **r != ErrorReason::RateLimited;
        let refused = ErrorReason::ALL.iter().filter(refusal);
        let refused: u64 = refused.filter_map(|r| load.errors(*r, Some(span))).sum();
        let limited = load
            .errors(ErrorReason::RateLimited, Some(span))
            .unwrap_or(0);
        // A 429 succeeds and is refused at once: it is drawn as refused.
        let (succeeded, failed) = (succeeded.saturating_sub(limited), finished - succeeded);
        let refused = (refused.min(failed)) + limited;
        counts[0] += succeeded;
        counts[1] += refused;
        counts[2] += finished.saturating_sub(succeeded + refused);
        counts[3] += sum(&load.series.sent, span).saturating_sub(finished);
    }
    counts.map(|n| n as f64 / seconds)
}

pub(super) fn panel(results: &[RunResult]) -> Panel {
    let all: Vec<(Bins, Vec<[f64; 4]>)> = results
        .iter()
        .map(|result| {
            let bins = Bins::of(result);
            (bins, bins.spans().map(|span| rates(result, span)).collect())
        })
        .collect();
    let tops = all
        .iter()
        .flat_map(|(_, r)| r.iter().map(|p| p.iter().sum()));
    let scale = Scale::linear(tops);
    let rows = results.iter().zip(&all);
    let used = |at: usize| all.iter().any(|(_, r)| r.iter().any(|p| p[at] > 0.0));
    let key = PARTS.iter().enumerate().filter(|(at, _)| used(*at));
    Panel {
        name: "Requests a second, by how they ended, when they were due".into(),
        key: key
            .map(|(_, (ink, name))| (*ink, (*name).to_owned()))
            .collect(),
        rows: rows
            .map(|(result, (bins, rates))| row(results, result, *bins, rates, scale))
            .collect(),
    }
}

fn row(
    results: &[RunResult],
    result: &RunResult,
    bins: Bins,
    rates: &[[f64; 4]],
    scale: Scale,
) -> Row {
    let plot = plot(results, result, scale, plot_height(results, 150.0));
    let title = title(result, bins, rates);
    let svg = strip(&plot, result, &title.replace('`', ""), |pen| {
        plot.frame(pen, result, &|v| words::rate(v));
        let mut low = vec![0.0; rates.len()];
        for (at, (ink, _)) in PARTS.iter().enumerate() {
            let high: Vec<f64> = low.iter().zip(rates).map(|(l, r)| l + r[at]).collect();
            plot.band(pen, bins, &low, &high, *ink);
            low = high;
        }
        let offered: Vec<Option<f64>> = low.iter().map(|v| Some(*v)).collect();
        plot.line(pen, bins, &offered, Ink::Text, 1.0);
    });
    let values = |at: usize| rates.iter().map(|r| Some(short(r[at]))).collect();
    let mut series = vec![Series::new(
        "offered",
        "/s",
        rates.iter().map(|r| Some(short(r.iter().sum()))).collect(),
    )];
    for (at, (_, name)) in PARTS.iter().enumerate() {
        if rates.iter().any(|r| r[at] > 0.0) {
            series.push(Series::new(*name, "/s", values(at)));
        }
    }
    Row {
        title,
        svg: Some(svg),
        series,
        bin_ns: bins.width_ns(),
    }
}

fn title(result: &RunResult, bins: Bins, rates: &[[f64; 4]]) -> String {
    let range = measured(result, bins);
    let inside = &rates[range.clone()];
    let total: f64 = inside.iter().flatten().sum();
    if total <= 0.0 {
        return "Nothing was sent".into();
    }
    let offered = total / inside.len() as f64;
    let finished = |r: &[f64; 4]| r[..3].iter().sum::<f64>();
    let good = inside.iter().map(|r| r[0]).sum::<f64>()
        / inside.iter().map(finished).sum::<f64>().max(1e-12);
    let share = |r: &[f64; 4]| r[0] / finished(r);
    let busy = inside
        .iter()
        .enumerate()
        .filter(|(_, r)| finished(r) > offered / 10.0);
    let worst = busy.min_by(|a, b| share(a.1).total_cmp(&share(b.1)));
    let offered = words::rate(offered);
    match worst {
        Some((at, r)) if share(r) < good - 0.02 => {
            let at = words::clock(bins.middle_ns(range.start + at) / 1_000_000_000);
            format!(
                "{} of {offered} offered succeeded, at the worst {} at {at}",
                words::share(good),
                words::share(share(r))
            )
        }
        _ => format!("{} of {offered} offered succeeded", words::share(good)),
    }
}
