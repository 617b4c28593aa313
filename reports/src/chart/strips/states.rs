//! Ejected endpoints and limits that refused, as bars.

use super::{Panel, Row, fits};
use crate::chart::Ink;
use crate::chart::pen::{Anchor, Letters, Pen};
use crate::chart::scale::Scale;
use crate::chart::time::{LEFT, Plot, RIGHT, SIZE, TimeAxis, WIDTH, shade};
use crate::outcome::Limit;
use crate::result::{ClusterResult, RunResult};
use crate::words;

/// Most lanes; the rest is counted.
const MOST: usize = 12;
const LANE: f64 = 34.0;

/// One thing that was in a state, and when.
struct Lane {
    name: String,
    ink: Ink,
    bars: Vec<(u64, u64)>,
}

pub(super) fn panel(results: &[RunResult]) -> Panel {
    let inks: Vec<Ink> = results
        .iter()
        .flat_map(lanes)
        .map(|lane| lane.ink)
        .collect();
    let key = [
        (Ink::Failed, "endpoint ejected".to_owned()),
        (Ink::Refused, "limit or breaker refusing".to_owned()),
    ];
    Panel {
        name: "Endpoints ejected and limits that refused".into(),
        key: key
            .into_iter()
            .filter(|(ink, _)| inks.contains(ink))
            .collect(),
        rows: results.iter().map(|result| row(results, result)).collect(),
    }
}

/// The called workload where it is known: cluster names say more than fits.
fn cluster_name<'a>(result: &'a RunResult, cluster: &'a ClusterResult) -> &'a str {
    let edge = cluster.edge.and_then(|e| result.edges.get(e as usize));
    edge.map_or(cluster.name.as_str(), |e| result.workload_name(e.to))
}

fn lanes(result: &RunResult) -> Vec<Lane> {
    let end = result.time.end_ns();
    let mut all: Vec<Lane> = Vec::new();
    let mut add =
        |name: String, ink: Ink, bar: (u64, u64)| match all.iter_mut().find(|l| l.name == name) {
            Some(lane) => lane.bars.push(bar),
            None => all.push(Lane {
                name,
                ink,
                bars: vec![bar],
            }),
        };
    for cluster in &result.clusters {
        let of = cluster_name(result, cluster);
        let edge = cluster.edge.and_then(|e| result.edges.get(e as usize));
        let by = edge.map_or(String::new(), |e| {
            format!(" for {}", result.workload_name(e.from))
        });
        for e in &cluster.ejected {
            let endpoint = cluster.endpoints.get(e.endpoint as usize);
            let endpoint = endpoint.map_or("?", String::as_str);
            let name = format!("{endpoint} of {of} ejected{by}: {}", e.reason.text());
            add(name, Ink::Failed, (e.from_ns, e.to_ns.unwrap_or(end)));
        }
        for open in &cluster.open {
            let rule = result
                .origin(open.origin)
                .map_or(String::new(), |o| format!(" ({o})"));
            let name = format!("{}{by} to {of}{rule}", open.limit.text());
            add(
                name,
                Ink::Refused,
                (open.from_ns, open.to_ns.unwrap_or(end)),
            );
        }
    }
    for (at, edge) in result.edges.iter().enumerate() {
        for rejected in edge.rejected.iter().filter(|r| r.count > 0) {
            if is_watched(result, at, rejected.limit) {
                continue;
            }
            let (from, to) = (
                result.workload_name(edge.from),
                result.workload_name(edge.to),
            );
            let rule = result
                .origin(rejected.origin)
                .map_or(String::new(), |o| format!(" ({o})"));
            let name = format!("{} for {from} to {to}{rule}", rejected.limit.text());
            for bar in windows_of(result, &rejected.series) {
                add(name.clone(), Ink::Refused, bar);
            }
        }
    }
    for refused in result.refused.iter().filter(|r| r.count > 0) {
        let from = refused
            .from
            .map_or("outside", |at| result.workload_name(at));
        let rule = result
            .origin(refused.origin)
            .map_or(String::new(), |o| format!(" ({o})"));
        let to = result.workload_name(refused.by);
        let name = format!("{} for {from} to {to}{rule}", refused.why.text());
        for bar in windows_of(result, &refused.series) {
            add(name.clone(), Ink::Refused, bar);
        }
    }
    let pixel = result.time.duration_ns / (RIGHT - LEFT) as u64;
    for lane in &mut all {
        lane.bars = joined(std::mem::take(&mut lane.bars), pixel);
    }
    all
}

/// The windows in which something was counted.
fn windows_of(result: &RunResult, series: &[u64]) -> impl Iterator<Item = (u64, u64)> {
    let (window, end) = (result.time.window_ns, result.time.end_ns());
    let counted = series.iter().zip(0_u64..).filter(|(n, _)| **n > 0);
    counted.map(move |(_, nth)| (nth * window, ((nth + 1) * window).min(end)))
}

/// Whether a cluster of this edge says itself when this limit refused.
fn is_watched(result: &RunResult, edge: usize, limit: Limit) -> bool {
    let mut clusters = result.clusters.iter();
    clusters.any(|c| {
        c.edge.is_some_and(|e| e as usize == edge) && c.open.iter().any(|o| o.limit == limit)
    })
}

/// Bars that overlap or lie less than `gap` apart, as one: several proxies may have done the same.
fn joined(mut bars: Vec<(u64, u64)>, gap: u64) -> Vec<(u64, u64)> {
    bars.sort_unstable();
    let mut all: Vec<(u64, u64)> = Vec::new();
    for (from, to) in bars {
        match all.last_mut() {
            Some(last) if from <= last.1.saturating_add(gap) => last.1 = last.1.max(to),
            _ => all.push((from, to)),
        }
    }
    all
}

fn row(results: &[RunResult], result: &RunResult) -> Row {
    let lanes = lanes(result);
    let title = title(result, lanes.len());
    let row = |svg| Row {
        title: title.clone(),
        svg,
        series: vec![],
        bin_ns: result.time.window_ns,
    };
    if lanes.is_empty() {
        return row(None);
    }
    let shown = &lanes[..lanes.len().min(MOST)];
    let plot = Plot {
        clock: results
            .last()
            .is_some_and(|last| std::ptr::eq(last, result)),
        time: TimeAxis::of(results),
        scale: Scale::Linear { max: 1.0 },
        top: 6.0,
        bottom: 6.0 + shown.len() as f64 * LANE,
    };
    let svg = crate::chart::pen::draw(WIDTH, plot.end(), &title.replace('`', ""), |pen| {
        shade(pen, plot.time, result, plot.top, plot.bottom);
        plot.time_ticks(pen);
        for (at, lane) in shown.iter().enumerate() {
            bars(pen, &plot, at, lane);
        }
    });
    row(Some(svg))
}

fn bars(pen: &mut Pen<'_>, plot: &Plot, at: usize, lane: &Lane) {
    let top = plot.top + at as f64 * LANE;
    let name = if fits(&lane.name, SIZE, RIGHT - LEFT) {
        lane.name.clone()
    } else {
        crate::chart::pen::fitted(&lane.name, SIZE, RIGHT - LEFT)
    };
    pen.text(
        &name,
        (LEFT + 3.0, top + 10.0),
        Letters::new(SIZE, Ink::Text, Anchor::Start),
    );
    let (from, to) = (top + 20.0, top + 29.0);
    pen.line(
        (LEFT, (from + to) / 2.0),
        (RIGHT, (from + to) / 2.0),
        Ink::Grid,
        1.0,
    );
    for &(start, end) in &lane.bars {
        let (x0, x1) = (plot.time.x(start), plot.time.x(end));
        pen.rect((x0, from), (x1.max(x0 + 1.5), to), lane.ink, 1.0);
    }
}

fn title(result: &RunResult, lanes: usize) -> String {
    let ejections: f64 = result
        .clusters
        .iter()
        .map(|c| result.time.each(c.ejections))
        .sum();
    let open = result.clusters.iter().flat_map(|c| &c.open);
    let open = open.map(|o| o.limit);
    let rejected = result.edges.iter().flat_map(|e| &e.rejected);
    let rejected = rejected.filter(|r| r.count > 0).map(|r| r.limit);
    let limits = open.chain(rejected).map(|limit| {
        if limit == Limit::NoHealthy {
            "want of a healthy endpoint".to_owned()
        } else if limit == Limit::NoRoute {
            "want of a route".to_owned()
        } else {
            limit.text().to_owned()
        }
    });
    let refused = result.refused.iter().filter(|r| r.count > 0);
    let refused = refused.map(|r| r.why.text().to_owned());
    let mut limits: Vec<String> = limits.chain(refused).collect();
    limits.sort();
    limits.dedup();
    let mut parts = Vec::new();
    if ejections > 0.0 {
        parts.push(format!(
            "{} {}",
            words::count(ejections),
            if ejections == 1.0 {
                "ejection"
            } else {
                "ejections"
            }
        ));
    }
    if !limits.is_empty() {
        parts.push(format!("refusals by {}", words::list(&limits)));
    }
    if parts.is_empty() {
        return "No endpoint was ejected and no limit refused".into();
    }
    let hidden = if lanes > MOST {
        format!("; {} more not drawn", lanes - MOST)
    } else {
        String::new()
    };
    let seeds = if result.time.runs > 1 {
        ", drawn for the first seed"
    } else {
        ""
    };
    let text = words::list(&parts);
    let mut letters = text.chars();
    let first = letters.next().map(|c| c.to_uppercase().collect::<String>());
    format!(
        "{}{}{hidden}{seeds}",
        first.unwrap_or_default(),
        letters.as_str()
    )
}
