//! What a run fills while it goes on.
//!
//! Recording one fact is a few array accesses: no strings, no maps, no allocation for a request. Memory grows with
//! windows, loads, edges and ejections, never with the number of requests. Calls must come in order of `now`, except
//! that a request may finish long after it was meant to be sent.

use proxy_core::time::{Duration, Time};

use crate::histogram::{COARSE, FINE, Histogram};
use crate::ids::{
    ChangeId, ClusterId, EdgeId, EndpointId, FaultId, LoadId, OriginId, ProxyId, WorkloadId,
};
use crate::outcome::{
    AttemptKind, EjectionReason, ErrorReason, Handled, Limit, Outcome, Refusal, Why,
};
use crate::result::{
    EdgeTotals, Ejected, Note, Noted, Open, RefusedBy, RejectedBy, RetriedBy, RunResult,
};
use crate::setup::{ClusterSetup, EdgeSetup, PolicyValue, ProxySetup, Setup, window_for};

mod finish;
mod gauge;
#[cfg(test)]
mod tests;

use gauge::Gauge;

const REASONS: usize = ErrorReason::ALL.len();
const HANDLED: usize = Handled::ALL.len();
/// Notes, and ejections and open limits of one cluster, that are kept; further ones are only counted.
const KEPT: usize = 4_096;

/// Collects what happens in one run and turns it into a [`RunResult`].
#[derive(Clone, Debug)]
pub struct Recorder {
    setup: Setup,
    width: u64,
    windows: usize,
    /// The window of the last moment, and where that begins.
    current: (usize, u64),
    warmup: u64,
    loads: Vec<Load>,
    edges: Vec<Edge>,
    workloads: Vec<Workload>,
    refused: Vec<RefusedBy>,
    clusters: Vec<Cluster>,
    proxies: Vec<Gauge>,
    faults: Vec<(Option<Time>, Option<Time>)>,
    changes: Vec<Applied>,
    notes: Vec<Noted>,
    notes_dropped: u64,
}

#[derive(Clone, Debug)]
struct Load {
    windows: Vec<LoadWindow>,
    completed: Vec<u64>,
    ok: Histogram,
    failed: Histogram,
    /// Counts after the warm-up, exact even where it ends inside a window.
    measured_sent: u64,
    reasons: [u64; REASONS],
    client_attempts: u64,
}

#[derive(Clone, Debug)]
struct LoadWindow {
    sent: u64,
    succeeded: u64,
    reasons: [u64; REASONS],
    ok: Histogram,
    failed: Histogram,
}

#[derive(Clone, Debug)]
struct Edge {
    counts: Vec<EdgeTotals>,
    /// Latencies of the current window, of earlier windows, and the number of the current one.
    current: Histogram,
    latency: Vec<Histogram>,
    window: usize,
    retried: Vec<RetriedBy>,
    rejected: Vec<RejectedBy>,
    active: Gauge,
}

#[derive(Clone, Debug)]
struct Workload {
    handled: Vec<[u64; HANDLED]>,
    queue: Gauge,
    busy: Gauge,
    capacity: Gauge,
}

#[derive(Clone, Debug)]
struct Cluster {
    endpoints: Vec<String>,
    ejected: Vec<Ejected>,
    ejections: u64,
    out: Gauge,
    open: Vec<Open>,
    /// How many proxies have each limit open.
    open_now: [u32; Limit::ALL.len()],
}

#[derive(Clone, Copy, Debug, Default)]
struct Applied {
    first: Option<Time>,
    last: Option<Time>,
    count: u64,
}

impl Recorder {
    /// A recorder for everything that `setup` names.
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        let width = setup
            .window
            .unwrap_or_else(|| window_for(setup.duration, setup.warmup))
            .as_nanos()
            .max(1);
        let windows = (setup.duration.as_nanos().div_ceil(width) as usize).max(1);
        let gauge = || Gauge::new(width);
        let loads = setup.loads.iter().map(|_| Load {
            windows: vec![LoadWindow::EMPTY; windows],
            completed: vec![0; windows],
            ok: Histogram::new(FINE),
            failed: Histogram::new(FINE),
            measured_sent: 0,
            reasons: [0; REASONS],
            client_attempts: 0,
        });
        let edges = setup.edges.iter().map(|_| Edge::new(width));
        let workloads = setup.workloads.iter().map(|_| Workload {
            handled: Vec::new(),
            queue: gauge(),
            busy: gauge(),
            capacity: gauge(),
        });
        let clusters = setup.clusters.iter().map(|c| Cluster::new(c, width));
        Self {
            width,
            windows,
            current: (0, 0),
            warmup: setup.warmup.as_nanos(),
            loads: loads.collect(),
            edges: edges.collect(),
            workloads: workloads.collect(),
            refused: Vec::new(),
            clusters: clusters.collect(),
            proxies: setup.proxies.iter().map(|_| gauge()).collect(),
            faults: vec![(None, None); setup.faults.len()],
            changes: vec![Applied::default(); setup.changes.len()],
            notes: Vec::new(),
            notes_dropped: 0,
            setup,
        }
    }

    /// What it was made for.
    #[must_use]
    pub const fn setup(&self) -> &Setup {
        &self.setup
    }

    /// Width of a window.
    #[must_use]
    pub const fn window(&self) -> Duration {
        Duration::from_nanos(self.width)
    }

    /// The window of a moment; what comes after the end counts in the last one.
    #[inline]
    fn window_of(&mut self, at: Time) -> usize {
        let at = at.as_nanos();
        if at.wrapping_sub(self.current.1) < self.width {
            return self.current.0;
        }
        self.enter(at)
    }

    /// Moments of a window come in numbers: the last one is remembered.
    #[cold]
    fn enter(&mut self, at: u64) -> usize {
        let window = at / self.width;
        let kept = (window as usize).min(self.windows - 1);
        self.current = (kept, window * self.width);
        kept
    }

    /// A request was due at `intended`: it counts as sent from now on, whenever it is really sent.
    #[inline]
    pub fn request_started(&mut self, load: LoadId, intended: Time) {
        let w = self.window_of(intended);
        let measured = intended.as_nanos() >= self.warmup;
        let load = &mut self.loads[load.index()];
        load.windows[w].sent += 1;
        load.measured_sent += u64::from(measured);
    }

    /// A request that was due at `intended` has ended for its client; retries by the client are inside it.
    #[inline]
    pub fn request_finished(&mut self, load: LoadId, intended: Time, now: Time, outcome: Outcome) {
        let w = self.window_of(intended);
        let done = self.window_of(now);
        let in_time = now.as_nanos() <= self.setup.duration.as_nanos();
        let measured = intended.as_nanos() >= self.warmup;
        let latency = now.since(intended).as_nanos();
        let load = &mut self.loads[load.index()];
        let window = &mut load.windows[w];
        let reason = outcome.settled_reason().index();
        window.reasons[reason] += 1;
        if outcome.is_success() {
            window.succeeded += 1;
            window.ok.record(latency);
            if in_time {
                load.completed[done] += 1;
            }
            if measured {
                load.ok.record(latency);
            }
        } else {
            window.failed.record(latency);
            if measured {
                load.failed.record(latency);
            }
        }
        if measured {
            load.reasons[reason] += 1;
            load.client_attempts += u64::from(outcome.attempts);
        }
    }

    /// An attempt was sent. `why` must be given for all but first attempts; without it the attempt counts to no rule.
    #[inline]
    pub fn attempt_started(
        &mut self,
        edge: EdgeId,
        now: Time,
        kind: AttemptKind,
        why: Option<Why>,
    ) {
        let w = self.window_of(now);
        let measured = now.as_nanos() >= self.warmup;
        self.edges[edge.index()].starts(w, kind, why, measured);
    }

    /// As [`Recorder::attempt_started`], of one that is under way from now on: one request more is active on its edge.
    #[inline]
    pub fn attempt_leaves(&mut self, edge: EdgeId, now: Time, kind: AttemptKind, why: Option<Why>) {
        let w = self.window_of(now);
        let measured = now.as_nanos() >= self.warmup;
        let edge = &mut self.edges[edge.index()];
        edge.starts(w, kind, why, measured);
        edge.active.add(now, 1);
    }

    /// As [`Recorder::attempt_finished`], of one that was under way: one request less is active on its edge.
    #[inline]
    pub fn attempt_returns(
        &mut self,
        edge: EdgeId,
        now: Time,
        reason: ErrorReason,
        latency: Duration,
    ) {
        let w = self.window_of(now);
        let edge = &mut self.edges[edge.index()];
        edge.finishes(w, reason, latency);
        edge.active.add(now, -1);
    }

    /// An attempt has ended, `latency` after it was sent; `reason` is `None` when it was served.
    #[inline]
    pub fn attempt_finished(
        &mut self,
        edge: EdgeId,
        now: Time,
        reason: ErrorReason,
        latency: Duration,
    ) {
        let w = self.window_of(now);
        self.edges[edge.index()].finishes(w, reason, latency);
    }

    /// A call with all its attempts has ended for the caller.
    #[inline]
    pub fn call_finished(&mut self, edge: EdgeId, now: Time, reason: ErrorReason) {
        let w = self.window_of(now);
        let counts = self.edges[edge.index()].counts_at(w);
        if matches!(reason, ErrorReason::None) {
            counts.calls_ok += 1;
        } else {
            counts.calls_failed += 1;
        }
    }

    /// A call was given up by its caller before it had ended.
    #[inline]
    pub fn call_given_up(&mut self, edge: EdgeId, now: Time) {
        let w = self.window_of(now);
        self.edges[edge.index()].counts_at(w).calls_given_up += 1;
    }

    /// A limit refused a call or an attempt of this edge.
    pub fn rejected(&mut self, edge: EdgeId, now: Time, limit: Limit, origin: Option<OriginId>) {
        let w = self.window_of(now);
        let measured = now.as_nanos() >= self.warmup;
        let edge = &mut self.edges[edge.index()];
        edge.counts_at(w).rejected += 1;
        let origin = origin.map(|o| o.0);
        let known = edge
            .rejected
            .iter()
            .position(|r| r.limit == limit && r.origin == origin);
        let at = known.unwrap_or_else(|| {
            let (count, series) = (0, Vec::new());
            edge.rejected.push(RejectedBy {
                limit,
                origin,
                count,
                series,
            });
            edge.rejected.len() - 1
        });
        let entry = &mut edge.rejected[at];
        entry.count += u64::from(measured);
        *slot(&mut entry.series, w) += 1;
    }

    /// A proxy of workload `by` refused a connection that a pod of `from`, or a client outside, had dialled.
    pub fn connection_refused(
        &mut self,
        from: Option<WorkloadId>,
        by: WorkloadId,
        now: Time,
        why: Refusal,
        origin: Option<OriginId>,
    ) {
        let w = self.window_of(now);
        let measured = now.as_nanos() >= self.warmup;
        let (from, by, origin) = (from.map(|f| f.0), by.0, origin.map(|o| o.0));
        let same = |r: &RefusedBy| (r.from, r.by, r.why, r.origin) == (from, by, why, origin);
        let known = self.refused.iter().position(same);
        let at = known.unwrap_or_else(|| {
            let (count, series) = (0, Vec::new());
            self.refused.push(RefusedBy {
                from,
                by,
                why,
                origin,
                count,
                series,
            });
            self.refused.len() - 1
        });
        let entry = &mut self.refused[at];
        entry.count += u64::from(measured);
        *slot(&mut entry.series, w) += 1;
    }

    /// An application has dealt with a request.
    #[inline]
    pub fn handled(&mut self, workload: WorkloadId, now: Time, how: Handled) {
        let w = self.window_of(now);
        slot(&mut self.workloads[workload.index()].handled, w)[how.index()] += 1;
    }

    /// From now on `waiting` requests wait, over all replicas.
    #[inline]
    pub fn queue_length(&mut self, workload: WorkloadId, now: Time, waiting: u64) {
        self.workloads[workload.index()].queue.set(now, waiting);
    }

    /// From now on `busy` slots work, over all replicas.
    #[inline]
    pub fn busy(&mut self, workload: WorkloadId, now: Time, busy: u64) {
        self.workloads[workload.index()].busy.set(now, busy);
    }

    /// From now on there are `slots`, over all replicas.
    #[inline]
    pub fn capacity(&mut self, workload: WorkloadId, now: Time, slots: u64) {
        self.workloads[workload.index()].capacity.set(now, slots);
    }

    /// From now on `busy` workers of a proxy work.
    #[inline]
    pub fn proxy_busy(&mut self, proxy: ProxyId, now: Time, busy: u64) {
        self.proxies[proxy.index()].set(now, busy);
    }

    /// From now on `active` requests are under way on an edge.
    #[inline]
    pub fn active_requests(&mut self, edge: EdgeId, now: Time, active: u64) {
        self.edges[edge.index()].active.set(now, active);
    }

    /// The policy values that hold on an edge.
    pub fn set_policies(&mut self, edge: EdgeId, policies: Vec<PolicyValue>) {
        self.setup.edges[edge.index()].policies = policies;
    }

    /// Names one more edge, which nobody foresaw.
    pub fn add_edge(&mut self, edge: EdgeSetup) -> EdgeId {
        self.edges.push(Edge::new(self.width));
        self.setup.edges.push(edge);
        EdgeId(self.edges.len() as u32 - 1)
    }

    /// Names one more cluster.
    pub fn add_cluster(&mut self, cluster: ClusterSetup) -> ClusterId {
        self.clusters.push(Cluster::new(&cluster, self.width));
        self.setup.clusters.push(cluster);
        ClusterId(self.clusters.len() as u32 - 1)
    }

    /// Names one more proxy, of a pod that came later.
    pub fn add_proxy(&mut self, proxy: ProxySetup) -> ProxyId {
        self.proxies.push(Gauge::new(self.width));
        self.setup.proxies.push(proxy);
        ProxyId(self.proxies.len() as u32 - 1)
    }

    /// Names one more endpoint of a cluster, a pod that came later.
    pub fn add_endpoint(&mut self, cluster: ClusterId, name: String) -> EndpointId {
        let endpoints = &mut self.clusters[cluster.index()].endpoints;
        endpoints.push(name);
        EndpointId(endpoints.len() as u32 - 1)
    }

    /// A proxy has taken an endpoint out.
    pub fn ejection_started(
        &mut self,
        cluster: ClusterId,
        endpoint: EndpointId,
        proxy: Option<ProxyId>,
        now: Time,
        reason: EjectionReason,
        origin: Option<OriginId>,
    ) {
        let measured = now.as_nanos() >= self.warmup;
        let cluster = &mut self.clusters[cluster.index()];
        cluster.ejections += u64::from(measured);
        cluster.out.add(now, 1);
        if cluster.ejected.len() < KEPT {
            cluster.ejected.push(Ejected {
                endpoint: endpoint.0,
                proxy: proxy.map(|p| p.0),
                from_ns: now.as_nanos(),
                to_ns: None,
                reason,
                origin: origin.map(|o| o.0),
            });
        }
    }

    /// A proxy lets an endpoint back in.
    pub fn ejection_ended(
        &mut self,
        cluster: ClusterId,
        endpoint: EndpointId,
        proxy: Option<ProxyId>,
        now: Time,
    ) {
        let cluster = &mut self.clusters[cluster.index()];
        cluster.out.add(now, -1);
        let proxy = proxy.map(|p| p.0);
        let open = cluster
            .ejected
            .iter_mut()
            .rev()
            .find(|e| e.endpoint == endpoint.0 && e.proxy == proxy && e.to_ns.is_none());
        if let Some(ejected) = open {
            ejected.to_ns = Some(now.as_nanos());
        }
    }

    /// A limit or breaker of one proxy begins to refuse. Less than a window after it last did, it is taken to have gone on:
    /// a budget that refuses a thousand retries one by one has one state bar.
    pub fn limit_opened(
        &mut self,
        cluster: ClusterId,
        now: Time,
        limit: Limit,
        origin: Option<OriginId>,
    ) {
        let cluster = &mut self.clusters[cluster.index()];
        let depth = &mut cluster.open_now[limit.index()];
        *depth += 1;
        if *depth != 1 {
            return;
        }
        let origin = origin.map(|o| o.0);
        let (at, width) = (now.as_nanos(), self.width);
        let room = cluster.open.len() < KEPT;
        let mut known = cluster.open.iter_mut().rev();
        let last = known.find(|o| o.limit == limit && o.origin == origin);
        match last {
            Some(open) if open.to_ns.is_some_and(|to| at < to.saturating_add(width)) => {
                open.to_ns = None;
            }
            Some(_) | None if room => cluster.open.push(Open {
                limit,
                from_ns: at,
                to_ns: None,
                origin,
            }),
            Some(_) | None => {}
        }
    }

    /// It lets through again; the state bar ends when that holds for every proxy.
    pub fn limit_closed(&mut self, cluster: ClusterId, now: Time, limit: Limit) {
        let cluster = &mut self.clusters[cluster.index()];
        let depth = &mut cluster.open_now[limit.index()];
        *depth = depth.saturating_sub(1);
        if *depth == 0 {
            let open = cluster.open.iter_mut().rev();
            if let Some(open) = open
                .into_iter()
                .find(|o| o.limit == limit && o.to_ns.is_none())
            {
                open.to_ns = Some(now.as_nanos());
            }
        }
    }

    /// A fault has set in.
    pub fn fault_started(&mut self, fault: FaultId, now: Time) {
        self.faults[fault.index()].0.get_or_insert(now);
    }

    /// A fault is over.
    pub fn fault_ended(&mut self, fault: FaultId, now: Time) {
        self.faults[fault.index()].1 = Some(now);
    }

    /// A change has reached one more proxy or pod.
    pub fn config_applied(&mut self, change: ChangeId, now: Time) {
        let applied = &mut self.changes[change.index()];
        applied.first.get_or_insert(now);
        applied.last = Some(now);
        applied.count += 1;
    }

    /// Something notable; beyond the first 4,096 they are only counted.
    pub fn note(&mut self, now: Time, note: Note) {
        if self.notes.len() < KEPT {
            let at_ns = now.as_nanos();
            self.notes.push(Noted { at_ns, note });
        } else {
            self.notes_dropped += 1;
        }
    }

    /// The result, measured until `end`. An `end` before the planned one marks the result as cut short.
    #[must_use]
    pub fn finish(self, end: Time) -> RunResult {
        finish::finish(self, end)
    }
}

impl LoadWindow {
    const EMPTY: Self = Self {
        sent: 0,
        succeeded: 0,
        reasons: [0; REASONS],
        ok: Histogram::new(COARSE),
        failed: Histogram::new(COARSE),
    };
}

impl Cluster {
    fn new(setup: &ClusterSetup, width: u64) -> Self {
        Self {
            endpoints: setup.endpoints.clone(),
            ejected: Vec::new(),
            ejections: 0,
            out: Gauge::new(width),
            open: Vec::new(),
            open_now: [0; Limit::ALL.len()],
        }
    }
}

impl EdgeTotals {
    /// Counts an attempt that was not served.
    #[cold]
    const fn fails(&mut self, reason: ErrorReason) {
        match reason {
            ErrorReason::None => self.ok += 1,
            ErrorReason::Status5xx | ErrorReason::FaultInjected => self.status_5xx += 1,
            ErrorReason::Timeout => self.timeouts += 1,
            ErrorReason::ClientGone | ErrorReason::Superseded => self.cancelled += 1,
            ErrorReason::Connect
            | ErrorReason::Reset
            | ErrorReason::RateLimited
            | ErrorReason::Overflow
            | ErrorReason::NoHealthy
            | ErrorReason::NoRoute
            | ErrorReason::Denied
            | ErrorReason::QueueFull
            | ErrorReason::Dns
            | ErrorReason::Tls
            | ErrorReason::Other => self.broken += 1,
        }
    }
}

impl Edge {
    fn new(width: u64) -> Self {
        Self {
            counts: Vec::new(),
            current: Histogram::new(COARSE),
            latency: Vec::new(),
            window: 0,
            retried: Vec::new(),
            rejected: Vec::new(),
            active: Gauge::new(width),
        }
    }

    #[inline(always)]
    fn starts(&mut self, window: usize, kind: AttemptKind, why: Option<Why>, measured: bool) {
        let counts = self.counts_at(window);
        match kind {
            AttemptKind::First => counts.first += 1,
            AttemptKind::Retry => counts.retries += 1,
            AttemptKind::Hedge => counts.hedges += 1,
        }
        if let Some(why) = why {
            self.retried_by(why, window, measured);
        }
    }

    #[inline(always)]
    fn finishes(&mut self, window: usize, reason: ErrorReason, latency: Duration) {
        let counts = self.counts_at(window);
        if matches!(reason, ErrorReason::None) {
            counts.ok += 1;
        } else {
            counts.fails(reason);
        }
        self.latency_at(window).record(latency.as_nanos());
    }

    #[inline]
    fn counts_at(&mut self, window: usize) -> &mut EdgeTotals {
        slot(&mut self.counts, window)
    }

    #[inline]
    fn latency_at(&mut self, window: usize) -> &mut Histogram {
        if window != self.window {
            self.close_window();
            self.window = window;
        }
        &mut self.current
    }

    #[cold]
    fn close_window(&mut self) {
        let mut done = self.current.take();
        done.shrink();
        if self.latency.len() <= self.window {
            self.latency.resize(self.window + 1, Histogram::new(COARSE));
        }
        let known = &mut self.latency[self.window];
        if known.is_empty() {
            *known = done;
        } else {
            known.merge(&done);
        }
    }

    #[cold]
    fn retried_by(&mut self, why: Why, window: usize, measured: bool) {
        let origin = why.origin.map(|o| o.0);
        let condition = why.condition;
        let known = self
            .retried
            .iter()
            .position(|r| r.condition == condition && r.origin == origin);
        let at = known.unwrap_or_else(|| {
            let (count, series) = (0, Vec::new());
            self.retried.push(RetriedBy {
                origin,
                condition,
                count,
                series,
            });
            self.retried.len() - 1
        });
        let entry = &mut self.retried[at];
        entry.count += u64::from(measured);
        *slot(&mut entry.series, window) += 1;
    }
}

/// The entry of a window, made when it is the first of its window.
#[inline]
fn slot<T: Clone + Default>(series: &mut Vec<T>, window: usize) -> &mut T {
    if series.len() <= window {
        series.resize(window + 1, T::default());
    }
    &mut series[window]
}
