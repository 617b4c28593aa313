//! From what was recorded to the result.

use std::collections::BTreeMap;

use proxy_core::time::Time;

use super::{Cluster, Edge, Load, Recorder, Workload};
use crate::histogram::{COARSE, Histogram};
use crate::outcome::{ErrorReason, Handled};
use crate::result::{
    Basis, ChangeResult, ClusterResult, EdgeResult, EdgeSeries, EdgeTotals, FaultResult,
    LoadResult, LoadSeries, ProxyResult, RunResult, SCHEMA_VERSION, TimeAxis, WorkloadResult,
};
use crate::setup::{EdgeSetup, LoadSetup, WorkloadSetup};

/// Windows `from..count`; those before `from` belong to the warm-up.
#[derive(Clone, Copy)]
struct Windows {
    count: usize,
    from: usize,
    end: Time,
}

pub(super) fn finish(mut recorder: Recorder, end: Time) -> RunResult {
    for entry in &mut recorder.refused {
        entry.series.resize(recorder.windows, 0);
    }
    let Recorder { setup, width, .. } = recorder;
    let planned = setup.duration.as_nanos();
    let end = Time::from_nanos(end.as_nanos().min(planned));
    let axis = Windows {
        count: recorder.windows,
        from: (recorder.warmup.div_ceil(width) as usize).min(recorder.windows),
        end,
    };
    let time = TimeAxis {
        duration_ns: planned,
        warmup_ns: recorder.warmup,
        window_ns: width,
        windows: recorder.windows,
        start_time: setup.start_time,
        cut_at_ns: (end.as_nanos() < planned).then_some(end.as_nanos()),
        runs: 1,
    };
    let named = |(applied, change): (super::Applied, crate::setup::ChangeSetup)| ChangeResult {
        name: change.name,
        what: change.what,
        at_ns: change.at.as_nanos(),
        first_applied_ns: applied.first.map(Time::as_nanos),
        last_applied_ns: applied.last.map(Time::as_nanos),
        applied: applied.count,
        reaches: change.reaches,
    };
    RunResult {
        schema_version: SCHEMA_VERSION,
        scenario: setup.scenario,
        variant: setup.variant,
        seeds: vec![setup.seed],
        loads: zip(setup.loads, recorder.loads)
            .map(|(s, load)| load_result(s, load, &time))
            .collect(),
        workloads: zip(setup.workloads, recorder.workloads)
            .map(|(s, workload)| workload_result(s, workload, axis))
            .collect(),
        edges: zip(setup.edges, recorder.edges)
            .map(|(s, edge)| edge_result(s, edge, axis))
            .collect(),
        refused: recorder.refused,
        clusters: zip(setup.clusters, recorder.clusters)
            .map(|(s, cluster)| cluster_result(s.name, s.edge.map(|e| e.0), cluster, axis))
            .collect(),
        proxies: zip(setup.proxies, recorder.proxies)
            .map(|(s, busy)| ProxyResult {
                name: s.name,
                workload: s.workload.map(|w| w.0),
                workers: s.workers,
                busy: busy.finish(end, axis.count),
            })
            .collect(),
        faults: zip(setup.faults, recorder.faults)
            .map(|(s, (started, ended))| FaultResult {
                name: s.name,
                what: s.what,
                start_ns: s.start.as_nanos(),
                end_ns: s.end.as_nanos(),
                started_ns: started.map(Time::as_nanos),
                ended_ns: ended.map(Time::as_nanos),
            })
            .collect(),
        changes: zip(recorder.changes, setup.changes).map(named).collect(),
        origins: setup.origins,
        notes: recorder.notes,
        notes_dropped: recorder.notes_dropped,
        expectations: Vec::new(),
        replications: Vec::new(),
        waterfalls: Vec::new(),
        basis: Basis::default(),
        time,
    }
}

fn zip<A, B>(a: Vec<A>, b: Vec<B>) -> impl Iterator<Item = (A, B)> {
    a.into_iter().zip(b)
}

/// Totals by whole windows would blur a warm-up that ends inside one, so what a load's totals need is counted exactly
/// where it can be: the latencies give successes and failures, the windows give the rest of a window-aligned warm-up.
fn load_result(setup: LoadSetup, load: Load, time: &TimeAxis) -> LoadResult {
    let mut series = LoadSeries {
        completed: load.completed,
        ..LoadSeries::default()
    };
    let mut result = LoadResult {
        name: setup.name,
        enters: setup.enters.map(|w| w.0),
        users: setup.users,
        sent: load.measured_sent,
        succeeded: load.ok.count(),
        failed: load.failed.count(),
        unfinished: load
            .measured_sent
            .saturating_sub(load.ok.count() + load.failed.count()),
        warmup_sent: 0,
        client_attempts: load.client_attempts,
        reasons: BTreeMap::new(),
        ok_latency: load.ok,
        failed_latency: load.failed,
        series: LoadSeries::default(),
    };
    result.ok_latency.shrink();
    result.failed_latency.shrink();
    for &reason in ErrorReason::ALL {
        let count = load.reasons[reason.index()];
        if count > 0 {
            result.reasons.insert(reason, count);
        }
        let over_time = load.windows.iter().map(|w| w.reasons[reason.index()]);
        if over_time.clone().any(|n| n > 0) {
            series.reasons.insert(reason, over_time.collect());
        }
    }
    for window in load.windows {
        series.sent.push(window.sent);
        series.succeeded.push(window.succeeded);
        for (histogram, list) in [
            (window.ok, &mut series.ok_latency),
            (window.failed, &mut series.failed_latency),
        ] {
            let mut histogram = histogram;
            histogram.shrink();
            list.push(histogram);
        }
    }
    result.warmup_sent = series.sent.iter().sum::<u64>() - result.sent;
    debug_assert_eq!(series.sent.len(), time.windows);
    result.series = series;
    result
}

fn workload_result(setup: WorkloadSetup, mut workload: Workload, axis: Windows) -> WorkloadResult {
    workload.handled.resize(axis.count, Default::default());
    let mut handled = BTreeMap::new();
    let mut handled_series = BTreeMap::new();
    for &how in Handled::ALL {
        let series: Vec<u64> = workload.handled.iter().map(|w| w[how.index()]).collect();
        if series.iter().any(|&n| n > 0) {
            handled.insert(how, series[axis.from..].iter().sum());
            handled_series.insert(how, series);
        }
    }
    WorkloadResult {
        name: setup.name,
        namespace: setup.namespace,
        kind: setup.kind,
        replicas: setup.replicas,
        handled,
        handled_series,
        queue: workload.queue.finish(axis.end, axis.count),
        busy: workload.busy.finish(axis.end, axis.count),
        capacity: workload.capacity.finish(axis.end, axis.count),
    }
}

fn edge_result(setup: EdgeSetup, mut edge: Edge, axis: Windows) -> EdgeResult {
    edge.close_window();
    edge.counts.resize(axis.count, EdgeTotals::default());
    edge.latency.resize(axis.count, Histogram::new(COARSE));
    let mut latency = Histogram::new(COARSE);
    for window in &edge.latency[axis.from..] {
        latency.merge(window);
    }
    let mut totals = EdgeTotals::default();
    for window in &edge.counts[axis.from..] {
        totals.add(window);
    }
    let idle = totals == EdgeTotals::default() && edge.counts.iter().all(|c| *c == totals);
    for entry in &mut edge.retried {
        entry.series.resize(axis.count, 0);
    }
    for entry in &mut edge.rejected {
        entry.series.resize(axis.count, 0);
    }
    EdgeResult {
        from: setup.from.0,
        to: setup.to.0,
        policies: setup.policies,
        totals,
        latency,
        series: if idle {
            EdgeSeries::default()
        } else {
            EdgeSeries {
                counts: edge.counts,
                latency: edge.latency,
            }
        },
        retried: edge.retried,
        rejected: edge.rejected,
        active: edge.active.finish(axis.end, axis.count),
    }
}

fn cluster_result(
    name: String,
    edge: Option<u32>,
    cluster: Cluster,
    axis: Windows,
) -> ClusterResult {
    ClusterResult {
        name,
        edge,
        endpoints: cluster.endpoints,
        ejections: cluster.ejections,
        ejected: cluster.ejected,
        out: cluster.out.finish(axis.end, axis.count),
        open: cluster.open,
    }
}
