//! Services and who calls whom, left to right.

use std::collections::BTreeMap;

use petgraph::algo::{greedy_feedback_arc_set, toposort};
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::EdgeRef;

use super::Ink;
use super::labels::spread;
use super::pen::{Anchor, Letters, Pen, draw, fitted, width_of};
use super::time::{SIZE, WIDTH};
use crate::result::RunResult;
use crate::words;

#[cfg(test)]
mod tests;

/// More services than this are drawn by namespace.
pub const MOST: usize = 40;
const LARGEST: f64 = 26.0;
const SMALLEST: f64 = 5.0;
/// Height of a service with its two lines of words.
const ROOM: f64 = 104.0;
/// Room from the middle of the largest service to the end of its words.
const BELOW: f64 = LARGEST + 42.0;
const WIDEST: f64 = 16.0;

/// A service, or a namespace of them.
#[derive(Clone, PartialEq, Debug)]
struct Node {
    name: String,
    /// Attempts a second that come in, requests of loads included.
    load: f64,
    utilization: Option<f64>,
}

/// Attempts a second.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
struct Flow {
    first: f64,
    again: f64,
}

/// The services of a result, or its namespaces when they are too many, and what flows between them.
fn gathered(result: &RunResult) -> DiGraph<Node, Flow> {
    let measured = result.time.measured();
    let seconds = result.time.seconds(measured).max(1e-9);
    let by_namespace = result.workloads.len() > MOST;
    let mut graph = DiGraph::new();
    let mut known: BTreeMap<String, NodeIndex> = BTreeMap::new();
    let mut of = Vec::new();
    for (at, workload) in result.workloads.iter().enumerate() {
        let key = if by_namespace {
            workload.namespace.clone()
        } else {
            format!("{}/{}", workload.namespace, workload.name)
        };
        let name = if by_namespace {
            &workload.namespace
        } else {
            &workload.name
        };
        let index = *known.entry(key).or_insert_with(|| {
            graph.add_node(Node {
                name: name.clone(),
                load: 0.0,
                utilization: None,
            })
        });
        let node: &mut Node = &mut graph[index];
        let share = result.utilization(at, None);
        node.utilization = match (node.utilization, share) {
            (Some(a), Some(b)) => Some(a.max(b)),
            (a, b) => a.or(b),
        };
        of.push(index);
    }
    for load in &result.loads {
        if let Some(index) = load.enters.and_then(|w| of.get(w as usize)) {
            graph[*index].load += load.sent as f64 / seconds;
        }
    }
    for edge in &result.edges {
        let (Some(&from), Some(&to)) = (of.get(edge.from as usize), of.get(edge.to as usize))
        else {
            continue;
        };
        let (first, again) = (edge.totals.first, edge.totals.retries + edge.totals.hedges);
        if first + again == 0 || (from == to && by_namespace) {
            continue;
        }
        graph[to].load += (first + again) as f64 / seconds;
        let at = graph
            .find_edge(from, to)
            .unwrap_or_else(|| graph.add_edge(from, to, Flow::default()));
        graph[at].first += first as f64 / seconds;
        graph[at].again += again as f64 / seconds;
    }
    graph.retain_nodes(|g, n| g[n].load > 0.0 || g.neighbors_undirected(n).next().is_some());
    graph
}

/// How many calls deep each service lies: the longest way to it, calls that close a cycle left out.
fn depths(graph: &DiGraph<Node, Flow>) -> Vec<usize> {
    let mut acyclic = graph.map(|_, _| (), |_, _| ());
    let back: Vec<(NodeIndex, NodeIndex)> = greedy_feedback_arc_set(graph)
        .map(|e| (e.source(), e.target()))
        .collect();
    acyclic.retain_edges(|g, e| {
        let ends = g.edge_endpoints(e);
        ends.is_some_and(|ends| ends.0 != ends.1 && !back.contains(&ends))
    });
    let order = toposort(&acyclic, None).unwrap_or_else(|_| graph.node_indices().collect());
    let mut depth = vec![0; graph.node_count()];
    for node in order {
        for next in acyclic.neighbors(node) {
            depth[next.index()] = depth[next.index()].max(depth[node.index()] + 1);
        }
    }
    depth
}

/// Services of each depth, ordered so that lines cross little: by the mean height of their callers, a few times over.
fn layers(graph: &DiGraph<Node, Flow>) -> Vec<Vec<NodeIndex>> {
    let depth = depths(graph);
    let count = depth.iter().max().map_or(0, |d| d + 1);
    let mut layers = vec![Vec::new(); count];
    for node in graph.node_indices() {
        layers[depth[node.index()]].push(node);
    }
    let mut height = vec![0.0; graph.node_count()];
    for _ in 0..4 {
        for layer in &mut layers {
            let key = |n: &NodeIndex| {
                let around: Vec<f64> = graph
                    .neighbors_undirected(*n)
                    .filter(|m| m != n)
                    .map(|m| height[m.index()])
                    .collect();
                crate::stats::mean(&around).unwrap_or(0.5)
            };
            let mut keyed: Vec<(f64, NodeIndex)> = layer.iter().map(|n| (key(n), *n)).collect();
            keyed.sort_by(|a, b| a.0.total_cmp(&b.0));
            *layer = keyed.into_iter().map(|(_, n)| n).collect();
            let n = layer.len() as f64;
            for (at, node) in layer.iter().enumerate() {
                height[node.index()] = (at as f64 + 0.5) / n;
            }
        }
    }
    layers
}

/// The graph; none when nothing was sent anywhere.
#[must_use]
pub fn draw_graph(result: &RunResult) -> Option<String> {
    let graph = gathered(result);
    if graph.node_count() == 0 {
        return None;
    }
    let layers = layers(&graph);
    let tallest = layers.iter().map(Vec::len).max().unwrap_or(1);
    let height = (tallest as f64 * ROOM).clamp(ROOM + 6.0, 2_000.0);
    let column = WIDTH / layers.len() as f64;
    let mut place = vec![(0.0, 0.0); graph.node_count()];
    for (depth, layer) in layers.iter().enumerate() {
        let wanted: Vec<f64> = (0..layer.len())
            .map(|at| (at as f64 + 0.5) / layer.len() as f64 * height)
            .collect();
        let heights = spread(
            &wanted,
            60.0_f64.min(height / layer.len() as f64),
            LARGEST + 6.0,
            height - BELOW,
        );
        for (node, y) in layer.iter().zip(heights) {
            place[node.index()] = ((depth as f64 + 0.5) * column, y);
        }
    }
    let most_load = graph.node_weights().map(|n| n.load).fold(1e-9, f64::max);
    let radius = |n: &Node| (LARGEST * libm::sqrt(n.load / most_load)).max(SMALLEST);
    let most_flow = graph
        .edge_weights()
        .map(|f| f.first + f.again)
        .fold(1e-9, f64::max);
    let alt = alt(&graph);
    Some(draw(WIDTH, height, &alt, |pen| {
        for edge in graph.edge_references() {
            let (from, to) = (place[edge.source().index()], place[edge.target().index()]);
            let (r0, r1) = (radius(&graph[edge.source()]), radius(&graph[edge.target()]));
            flow(pen, (from, r0), (to, r1), edge.weight(), most_flow);
        }
        for node in graph.node_indices() {
            service(
                pen,
                place[node.index()],
                &graph[node],
                radius(&graph[node]),
                column,
            );
        }
    }))
}

fn alt(graph: &DiGraph<Node, Flow>) -> String {
    let edges = graph.edge_references().map(|e| {
        let (from, to) = (&graph[e.source()].name, &graph[e.target()].name);
        let flow = e.weight();
        let all = words::rate(flow.first + flow.again);
        let again = words::share(flow.again / (flow.first + flow.again));
        format!("{from} to {to} {all}, {again} of it retries")
    });
    let edges: Vec<String> = edges.take(12).collect();
    format!("Service graph. {}", edges.join("; "))
}

/// Two ribbons side by side, first tries and the rest, each as wide as its rate; at least a hair.
fn flow(pen: &mut Pen<'_>, from: ((f64, f64), f64), to: ((f64, f64), f64), flow: &Flow, most: f64) {
    let width = |rate: f64| rate / most * WIDEST;
    let (first, again) = (width(flow.first).max(1.0), width(flow.again));
    let ((x0, y0), r0) = from;
    let ((x1, y1), r1) = to;
    if (x0, y0) == (x1, y1) {
        return;
    }
    let forward = x1 > x0;
    let (start, end) = if forward {
        (x0 + r0 + 3.0, x1 - r1 - 9.0)
    } else {
        (x0 - r0 - 3.0, x1 + r1 + 9.0)
    };
    let line = curve((start, y0), (end, y1));
    let total = first + again;
    let shifted = |by: f64| line.iter().map(move |(x, y)| (*x, y + by));
    let mut ribbon: Vec<(f64, f64)> = shifted(-total / 2.0).collect();
    let middle: Vec<(f64, f64)> = shifted(first - total / 2.0).collect();
    ribbon.extend(middle.iter().rev());
    pen.area(&ribbon, Ink::Neutral, 0.75);
    if again > 0.0 {
        let mut ribbon = middle;
        let low: Vec<(f64, f64)> = shifted(total / 2.0).collect();
        ribbon.extend(low.into_iter().rev());
        pen.area(&ribbon, Ink::Retries, 0.95);
    }
    let tip = if forward { 7.0 } else { -7.0 };
    let half = total / 2.0 + 3.0;
    pen.area(
        &[(end, y1 - half), (end + tip, y1), (end, y1 + half)],
        Ink::Faint,
        0.9,
    );
}

/// A gentle S between two points.
fn curve((x0, y0): (f64, f64), (x1, y1): (f64, f64)) -> Vec<(f64, f64)> {
    const STEPS: u32 = 24;
    (0..=STEPS)
        .map(|n| {
            let t = f64::from(n) / f64::from(STEPS);
            (x0 + (x1 - x0) * t, y0 + (y1 - y0) * t * t * (3.0 - 2.0 * t))
        })
        .collect()
}

fn service(pen: &mut Pen<'_>, (x, y): (f64, f64), node: &Node, radius: f64, column: f64) {
    pen.disc((x, y), radius + 3.0, Ink::Ground, 1.0);
    pen.disc((x, y), radius, Ink::Heat(3), 1.0);
    if let Some(share) = node.utilization {
        ring(pen, (x, y), radius + 2.5, share.clamp(0.0, 1.0));
    }
    let name = fitted(&node.name, SIZE, column - 6.0);
    let below = y + radius + 16.0;
    let mut words = words::rate(node.load);
    if let Some(share) = node.utilization {
        let long = format!(
            "{words}, {} busy",
            words::share(libm::round(share * 100.0) / 100.0)
        );
        if width_of(&long, SIZE - 1.0) < column - 4.0 {
            words = long;
        }
    }
    pen.text(
        &name,
        (x, below),
        Letters::new(SIZE, Ink::Text, Anchor::Middle).bold(),
    );
    let letters = Letters::new(SIZE - 1.0, Ink::Faint, Anchor::Middle);
    pen.text(&words, (x, below + 15.0), letters);
}

/// How much of the way round is how much of it is at work; from four fifths on in the colour of failure.
fn ring(pen: &mut Pen<'_>, (x, y): (f64, f64), radius: f64, share: f64) {
    let arc = |share: f64| -> Vec<(f64, f64)> {
        let steps = (share * 48.0).max(1.0) as u32;
        (0..=steps)
            .map(|n| {
                let angle = share * f64::from(n) / f64::from(steps) * std::f64::consts::TAU;
                (x + radius * libm::sin(angle), y - radius * libm::cos(angle))
            })
            .collect()
    };
    pen.path(&arc(1.0), Ink::Grid, 4.0);
    let ink = if share >= 0.8 {
        Ink::Failed
    } else {
        Ink::Middle
    };
    pen.path(&arc(share), ink, 4.0);
}
