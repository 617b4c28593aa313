//! What an expectation can ask of a result.

use crate::figures::recovery::{Recovery, recovery};
use crate::figures::{Span, Stat};
use crate::outcome::ErrorReason;
use crate::result::{LoadResult, RunResult};
use crate::verdict::Unit;

/// A stretch of the run in nanoseconds, `from` before `to`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Window {
    /// From when.
    pub from_ns: u64,
    /// Until when.
    pub to_ns: u64,
}

/// One measured figure; each but the last may be asked for over a window, which is rounded to the windows of the series.
#[derive(Clone, PartialEq, Debug)]
pub enum Figure {
    /// `latency(load).p99`: over every finished request; `okLatency(load)`: over successes.
    Latency {
        load: String,
        only_ok: bool,
        stat: Stat,
        window: Option<Window>,
    },
    /// `success(load)`, `goodput(load)` a second, `throughput(load)` a second.
    Load {
        load: String,
        what: LoadFigure,
        window: Option<Window>,
    },
    /// `errors(load, reason)`: finished requests that ended so.
    Errors {
        load: String,
        reason: ErrorReason,
        window: Option<Window>,
    },
    /// `attempts(from, to)`: sent; `amplification(from, to)`: per first attempt.
    Edge {
        from: String,
        to: String,
        per_first: bool,
        window: Option<Window>,
    },
    /// `ejections(cluster)`: started, by every proxy that made one. The name of the called workload serves too.
    Ejections {
        cluster: String,
        window: Option<Window>,
    },
    /// `utilization(workload)`: mean share of its slots at work.
    Utilization {
        workload: String,
        window: Option<Window>,
    },
    /// `queue(workload)`: mean number of requests waiting, all replicas together; `.max` the most.
    Queue {
        workload: String,
        highest: bool,
        window: Option<Window>,
    },
    /// `recovery(fault)`: from its end until all is as before.
    Recovery { fault: String },
}

/// What can be asked of a load beside its latency.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LoadFigure {
    /// Share of finished requests answered below 500 within the client's timeout.
    Success,
    /// Successes a second.
    Goodput,
    /// Finished requests a second.
    Throughput,
}

/// What a figure came to.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Measured {
    /// A number; durations in nanoseconds, infinite for a recovery that never came.
    Value(f64),
    /// No samples; why.
    Nothing(String),
}

impl Measured {
    fn or(value: Option<f64>, why: impl FnOnce() -> String) -> Self {
        value.map_or_else(|| Self::Nothing(why()), Self::Value)
    }
}

impl Figure {
    pub(super) const fn is_duration(&self) -> bool {
        matches!(self.unit(), Unit::Nanos)
    }

    pub(super) const fn unit(&self) -> Unit {
        match self {
            Self::Latency { .. } | Self::Recovery { .. } => Unit::Nanos,
            Self::Load { what, .. } => match what {
                LoadFigure::Success => Unit::Share,
                LoadFigure::Goodput | LoadFigure::Throughput => Unit::PerSecond,
            },
            Self::Errors { .. } | Self::Ejections { .. } | Self::Queue { .. } => Unit::Count,
            Self::Edge { per_first, .. } => {
                if *per_first {
                    Unit::Factor
                } else {
                    Unit::Count
                }
            }
            Self::Utilization { .. } => Unit::Share,
        }
    }

    pub(super) const fn window(&self) -> Option<Window> {
        match self {
            Self::Latency { window, .. }
            | Self::Load { window, .. }
            | Self::Errors { window, .. }
            | Self::Edge { window, .. }
            | Self::Ejections { window, .. }
            | Self::Utilization { window, .. }
            | Self::Queue { window, .. } => *window,
            Self::Recovery { .. } => None,
        }
    }

    /// The load whose finished requests it is about.
    pub(super) fn load(&self) -> Option<&str> {
        match self {
            Self::Latency { load, .. } | Self::Load { load, .. } | Self::Errors { load, .. } => {
                Some(load)
            }
            Self::Edge { .. }
            | Self::Ejections { .. }
            | Self::Utilization { .. }
            | Self::Queue { .. }
            | Self::Recovery { .. } => None,
        }
    }

    /// The figure over its own window, or over window `only` of the series.
    pub(super) fn measure(&self, result: &RunResult, only: Option<usize>) -> Measured {
        let own = self.window();
        let own = own.map(|w| result.time.span(w.from_ns, w.to_ns));
        let span = match only {
            None => own,
            Some(at) if own.is_some_and(|s| at < s.first || at >= s.end) => {
                return Measured::Nothing(String::new());
            }
            Some(at) => Some(Span {
                first: at,
                end: at + 1,
            }),
        };
        match self {
            Self::Latency {
                load,
                only_ok,
                stat,
                ..
            } => of_load(result, load, |l| stat.of(&l.latency(*only_ok, span))),
            Self::Load { load, what, .. } => of_load(result, load, |l| match what {
                LoadFigure::Success => l.success(span),
                LoadFigure::Goodput => l.goodput(&result.time, span),
                LoadFigure::Throughput => l.throughput(&result.time, span),
            }),
            Self::Errors { load, reason, .. } => of_load(result, load, |l| {
                l.errors(*reason, span).map(|n| result.time.each(n))
            }),
            Self::Edge {
                from,
                to,
                per_first,
                ..
            } => of_edge(result, from, to, *per_first, span),
            Self::Ejections { cluster, .. } => of_cluster(result, cluster, span),
            Self::Utilization { workload, .. } => {
                of_workload(result, workload, |at| result.utilization(at, span))
            }
            Self::Queue {
                workload, highest, ..
            } => of_workload(result, workload, |at| {
                let queue = &result.workloads[at].queue;
                let span = span.unwrap_or_else(|| result.time.measured());
                if *highest {
                    Some(queue.highest(span) as f64)
                } else {
                    queue.mean(&result.time, span)
                }
            }),
            Self::Recovery { fault } => {
                if only.is_some() {
                    return Measured::Nothing(String::new());
                }
                let Some(at) = result.faults.iter().position(|f| f.name == *fault) else {
                    return Measured::Nothing(format!("the run had no fault `{fault}`"));
                };
                match recovery(result, at) {
                    Recovery::After(nanos) => Measured::Value(nanos as f64),
                    Recovery::Never => Measured::Value(f64::INFINITY),
                    Recovery::Unknown(why) => Measured::Nothing(why.to_owned()),
                }
            }
        }
    }
}

fn of_load(
    result: &RunResult,
    name: &str,
    figure: impl FnOnce(&LoadResult) -> Option<f64>,
) -> Measured {
    let Some(load) = result.load(name) else {
        return Measured::Nothing(format!("the run had no load `{name}`"));
    };
    Measured::or(figure(load), || {
        format!("no request of `{name}` to judge by")
    })
}

fn of_edge(
    result: &RunResult,
    from: &str,
    to: &str,
    per_first: bool,
    span: Option<Span>,
) -> Measured {
    let Some(counts) = result.between(from, to, span) else {
        return Measured::Nothing(format!("`{from}` never called `{to}`"));
    };
    if per_first {
        Measured::or(counts.amplification(), || {
            format!("no attempt from `{from}` to `{to}`")
        })
    } else {
        Measured::Value(result.time.each(counts.attempts()))
    }
}

fn of_cluster(result: &RunResult, name: &str, span: Option<Span>) -> Measured {
    let clusters = result.clusters_named(name);
    if clusters.is_empty() {
        return Measured::Nothing(format!("no cluster `{name}` was watched"));
    }
    let count = |c: &&crate::result::ClusterResult| c.ejections_in(&result.time, span);
    Measured::Value(clusters.iter().map(count).sum::<f64>())
}

/// Over several workloads of one name, the highest.
fn of_workload(result: &RunResult, name: &str, figure: impl Fn(usize) -> Option<f64>) -> Measured {
    let found = result.workloads_named(name);
    if found.is_empty() {
        return Measured::Nothing(format!("the run had no workload `{name}`"));
    }
    let highest = found.into_iter().filter_map(figure).max_by(f64::total_cmp);
    Measured::or(highest, || format!("nothing measured of `{name}`"))
}
