//! What is written down of a run: from events of nodes, replicas and clients to the recorder's ids.

use std::net::IpAddr;

use manifests::model::NodeRef;
use proxy_core::config::{CloseReason, RetryBudget};
use proxy_core::event::{AccessRecord, AttemptFailure, AttemptRecord, AttemptResult, Next};
use proxy_core::ids::{ClusterId, EndpointSlot};
use proxy_core::node::{Arrival, Target};
use proxy_core::origin::OriginId;
use proxy_core::reply::ReplyReason;
use proxy_core::time::Time;
use reports::ids::{self, EdgeId, EndpointId};
use reports::outcome::{AttemptKind, EjectionReason, ErrorReason, Limit, Outcome};
use reports::recorder::Recorder;
use reports::setup::{ClusterSetup, EdgeSetup, ProxySetup};
use rustc_hash::{FxHashMap, FxHashSet};
use scenarios::app::TryId;
use scenarios::client::Asked;
use scenarios::plan::Via;

use super::World;
use super::parts::{Dest, Gauges, OUTSIDE, Pod, Sender, Server, Worker};
use crate::facts::{self, limit_by_origin, origin};
use crate::rules;
use crate::slab::Key;

/// The recorder, and what it takes to speak its language.
#[derive(Debug)]
pub(crate) struct Books {
    pub(crate) recorder: Recorder,
    edges: FxHashMap<(u32, u32), EdgeId>,
    /// By calling workload and name.
    clusters: FxHashMap<(u32, proxy_core::config::Name), ids::ClusterId>,
    endpoints: FxHashMap<(ids::ClusterId, IpAddr), EndpointId>,
    /// Endpoints that an active check took out, by worker.
    unwell: FxHashSet<(u32, ClusterId, EndpointSlot)>,
    /// Limits that refused last, by worker.
    open: FxHashMap<(u32, ClusterId), Limit>,
    /// By workload.
    totals: Vec<Totals>,
}

/// What the pods of a workload come to together.
#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    busy: u64,
    waiting: u64,
    slots: u64,
    /// Its queues refuse at present.
    is_full: bool,
}

impl Books {
    pub(crate) fn new(recorder: Recorder) -> Self {
        let setup = recorder.setup();
        let edges = (0..).zip(&setup.edges);
        let edges = edges.map(|(number, edge)| ((edge.from.0, edge.to.0), EdgeId(number)));
        Self {
            edges: edges.collect(),
            clusters: FxHashMap::default(),
            endpoints: FxHashMap::default(),
            unwell: FxHashSet::default(),
            open: FxHashMap::default(),
            totals: vec![Totals::default(); setup.workloads.len()],
            recorder,
        }
    }

    /// The edge from one workload to another.
    #[inline]
    pub(crate) fn edge(&mut self, from: u32, to: u32) -> EdgeId {
        if let Some(&known) = self.edges.get(&(from, to)) {
            return known;
        }
        let edge = self.recorder.add_edge(EdgeSetup {
            from: ids::WorkloadId(from),
            to: ids::WorkloadId(to),
            policies: Vec::new(),
        });
        self.edges.insert((from, to), edge);
        edge
    }

    pub(crate) fn proxy(&mut self, pod: &Pod, node: NodeRef, workers: u32) -> ids::ProxyId {
        let what = match node {
            NodeRef::Gateway(_) => "gateway",
            NodeRef::Sidecar(_) => "sidecar",
        };
        self.recorder.add_proxy(ProxySetup {
            name: format!("{} {what}", pod.name),
            workload: Some(ids::WorkloadId(pod.workload)),
            workers,
        })
    }

    /// A pod's gauges have changed.
    #[inline]
    pub(crate) fn gauges(&mut self, workload: u32, now: Time, before: Gauges, after: Gauges) {
        let id = ids::WorkloadId(workload);
        let totals = &mut self.totals[workload as usize];
        let change = |total: &mut u64, before: u32, after: u32| {
            *total = *total + u64::from(after) - u64::from(before);
            *total
        };
        if before.busy != after.busy {
            let busy = change(&mut totals.busy, before.busy, after.busy);
            self.recorder.busy(id, now, busy);
        }
        if before.waiting != after.waiting {
            let waiting = change(&mut totals.waiting, before.waiting, after.waiting);
            self.recorder.queue_length(id, now, waiting);
            totals.is_full &= after.waiting >= before.waiting;
        }
        if before.slots != after.slots {
            let slots = change(&mut totals.slots, before.slots, after.slots);
            self.recorder.capacity(id, now, slots);
        }
    }

    /// A bounded queue has turned a request away.
    pub(crate) fn queue_full(&mut self, workload: ids::WorkloadId, now: Time) {
        let totals = &mut self.totals[workload.index()];
        if !totals.is_full {
            totals.is_full = true;
            let workload = workload.0;
            self.recorder
                .note(now, reports::result::Note::QueueFull { workload });
        }
    }
}

impl World<'_> {
    pub(super) fn report_workload(&self, pod: u32) -> ids::WorkloadId {
        ids::WorkloadId(self.pods[pod as usize].workload)
    }

    /// The edge from a workload to the first workload behind a Service.
    pub(super) fn edge_to_service(&mut self, from: u32, service: u32) -> Option<EdgeId> {
        let to = self
            .plan
            .services
            .get(service as usize)?
            .workloads
            .first()?;
        Some(self.books.edge(from, to.0))
    }

    /// A try of an application or a client has left the pod for good.
    #[inline]
    pub(super) fn sent_over(&mut self, sender: Sender, edge: EdgeId) {
        let (tries, call) = match sender {
            Sender::App { pod, call } => (&mut self.pods[pod as usize].tries, call),
            Sender::Load { load, call } => (&mut self.loads[load as usize].tries, call),
            Sender::Attempt { .. } | Sender::Pipe(_) | Sender::Nobody => return,
        };
        if let Some(sent) = tries.get_mut(call.index()) {
            sent.went = Some(edge);
        }
    }

    /// A proxy has sent what it got over `outer` on as `inner`: of its own pod's requests that is the way that they go.
    pub(super) fn went_on(&mut self, outer: Key, inner: Key) {
        if let Some(edge) = self.streams.get(inner).and_then(|stream| stream.edge) {
            self.goes_over(outer, edge);
        }
    }

    fn goes_over(&mut self, outer: Key, edge: EdgeId) {
        if let Some(exchange) = self.exchange_mut(outer) {
            exchange.went = Some(edge);
        }
        let Some(stream) = self.streams.get(outer) else {
            return;
        };
        let (at, sender) = (stream.conn, stream.sender);
        if self.conns.get(at).is_some_and(|conn| conn.from == conn.to) {
            self.sent_over(sender, edge);
        }
    }

    /// A request between pods is over for who sent it.
    #[inline]
    pub(super) fn attempt_returns(&mut self, key: Key, reason: ErrorReason) {
        let Some(stream) = self.streams.get_mut(key) else {
            return;
        };
        let Some(edge) = stream.edge.take() else {
            return;
        };
        let took = self.now.since(stream.sent);
        let recorder = &mut self.books.recorder;
        recorder.attempt_returns(edge, self.now, reason, took);
    }

    /// A request for which its sender got no connection.
    pub(super) fn attempt_unsent(&mut self, key: Key, reason: ErrorReason) {
        let Some(stream) = self.streams.get(key) else {
            return;
        };
        let Sender::App { pod, .. } = stream.sender else {
            return;
        };
        let (kind, why, sender) = (stream.kind, stream.why, stream.sender);
        let from = self.pods[pod as usize].workload;
        let Some(conn) = self.conns.get(stream.conn) else {
            return;
        };
        let super::parts::Opener::Pool { dest, .. } = conn.opener else {
            return;
        };
        let to = (conn.to != OUTSIDE && conn.to != pod).then_some(conn.to);
        if let Dest::Service { service, .. } = self.dests[dest as usize]
            && let Some(edge) = match to {
                Some(to) => Some(self.books.edge(from, self.pods[to as usize].workload)),
                None => self.edge_to_service(from, service),
            }
        {
            self.sent_over(sender, edge);
            let now = self.now;
            self.books.recorder.attempt_started(edge, now, kind, why);
            let none = proxy_core::time::Duration::ZERO;
            self.books
                .recorder
                .attempt_finished(edge, now, reason, none);
        }
    }

    /// A try of a proxy that got no connection.
    pub(super) fn attempt_not_sent(
        &mut self,
        worker: u32,
        record: &AttemptRecord,
        reason: ErrorReason,
    ) {
        let AttemptResult::Failed(failure) = record.result else {
            return;
        };
        let Some(edge) = self.edge_of_try(worker, record) else {
            return;
        };
        self.goes_over(Key::of(record.token), edge);
        let now = self.now;
        match failure {
            AttemptFailure::Overflow => {
                let limit = self.limit_of(worker, record.cluster, record.origin);
                self.books
                    .recorder
                    .rejected(edge, now, limit, origin(record.origin));
                self.limit_refused(worker, record.cluster, limit, record.origin);
            }
            AttemptFailure::NoHealthyUpstream => {
                let rule = origin(record.origin);
                self.books
                    .recorder
                    .rejected(edge, now, Limit::NoHealthy, rule);
            }
            AttemptFailure::ConnectRefused
            | AttemptFailure::ConnectTimeout
            | AttemptFailure::Terminated
            | AttemptFailure::Reset
            | AttemptFailure::RefusedStream
            | AttemptFailure::PerTryTimeout
            | AttemptFailure::PerTryIdle
            | AttemptFailure::RouteTimeout
            | AttemptFailure::Protocol => {
                let kind = if record.number == 1 {
                    AttemptKind::First
                } else {
                    AttemptKind::Retry
                };
                // given up with its request, whose place nobody else has taken yet
                let outer = Key::of(record.token);
                let exchange = self.exchanges.get(outer.index as usize);
                let exchange = exchange.filter(|exchange| exchange.of == outer);
                let why = exchange.and_then(|exchange| exchange.retried);
                let why = why.filter(|_| kind == AttemptKind::Retry);
                let took = now.since(record.start);
                self.books.recorder.attempt_started(edge, now, kind, why);
                self.books
                    .recorder
                    .attempt_finished(edge, now, reason, took);
            }
        }
    }

    /// A retry was wanted and refused.
    pub(super) fn retry_refused(&mut self, worker: u32, record: &AttemptRecord) {
        if record.next != Next::RetryOverflow {
            return;
        }
        let Some(edge) = self.edge_of_try(worker, record) else {
            return;
        };
        let node = &self.workers[worker as usize].node;
        let budget = node
            .cluster(record.cluster)
            .and_then(|cluster| cluster.retry_budget);
        let limit = match budget.map(|budget| budget.value) {
            Some(RetryBudget::Concurrency(_) | RetryBudget::Rate(_)) => Limit::RetryBudget,
            None => Limit::Retries,
        };
        let rule = origin(record.origin);
        self.books.recorder.rejected(edge, self.now, limit, rule);
        self.limit_refused(worker, record.cluster, limit, record.origin);
    }

    /// The edge of a try of a proxy that speaks for its pod.
    fn edge_of_try(&mut self, worker: u32, record: &AttemptRecord) -> Option<EdgeId> {
        self.edge_of_cluster(worker, record.token, record.cluster, record.endpoint)
    }

    /// The edge of an exchange of a proxy that speaks for its pod, a gateway or a sidecar toward others: to the workload of the endpoint
    /// where one was chosen.
    fn edge_of_cluster(
        &mut self,
        worker: u32,
        token: u64,
        cluster: ClusterId,
        endpoint: Option<EndpointSlot>,
    ) -> Option<EdgeId> {
        let pod = self.workers[worker as usize].pod;
        if let Some(stream) = self.streams.get(Key::of(token))
            && let Some(conn) = self.conns.get(stream.conn)
            && conn.from != conn.to
            && self.pods[pod as usize].gateway.is_none()
        {
            // what arrives is told by who sent it
            return None;
        }
        let known = endpoint.unwrap_or(EndpointSlot(0));
        if self.is_own_application(worker, cluster, known) {
            // likewise, though who sent it has gone
            return None;
        }
        let chosen = endpoint.and_then(|slot| self.workload_at(worker, cluster, slot));
        let to = match chosen {
            Some(to) => to,
            None => self.workload_behind(worker, cluster)?,
        };
        let from = self.pods[pod as usize].workload;
        Some(self.books.edge(from, to))
    }

    /// Whether an endpoint is the application beside the proxy.
    fn is_own_application(&self, worker: u32, cluster: ClusterId, slot: EndpointSlot) -> bool {
        let Worker {
            node, proxy, pod, ..
        } = &self.workers[worker as usize];
        let pod = &self.pods[*pod as usize];
        let address = node.endpoint(cluster, slot);
        pod.sidecar == Some(*proxy)
            && address.is_some_and(|it| it.ip() == pod.ip || it.ip().is_loopback())
    }

    fn workload_at(&self, worker: u32, cluster: ClusterId, slot: EndpointSlot) -> Option<u32> {
        let address = self.workers[worker as usize].node.endpoint(cluster, slot)?;
        let pod = self.pod_at(address.ip())?;
        Some(self.pods[pod as usize].workload)
    }

    /// The workload that all endpoints of a cluster belong to, as those of a subset often do; else the first behind its Service.
    fn workload_behind(&self, worker: u32, cluster: ClusterId) -> Option<u32> {
        let node = &self.workers[worker as usize].node;
        let service = &node.cluster(cluster)?.service;
        let first = *self.service_workloads.get(&**service)?;
        let slots = (0..).map(EndpointSlot);
        let mut slots = slots.take_while(|slot| node.endpoint(cluster, *slot).is_some());
        let one = slots
            .next()
            .and_then(|slot| self.workload_at(worker, cluster, slot));
        let one = one.filter(|one| *one != first);
        let alone = one
            .filter(|one| slots.all(|slot| self.workload_at(worker, cluster, slot) == Some(*one)));
        Some(alone.unwrap_or(first))
    }

    fn limit_of(&self, worker: u32, cluster: ClusterId, rule: OriginId) -> Limit {
        let Some(cluster) = self.workers[worker as usize].node.cluster(cluster) else {
            return Limit::Requests;
        };
        limit_by_origin(cluster, rule)
    }

    fn limit_refused(&mut self, worker: u32, cluster: ClusterId, limit: Limit, rule: OriginId) {
        if self.books.open.insert((worker, cluster), limit) == Some(limit) {
            return;
        }
        if let Some(id) = self.report_cluster(worker, cluster) {
            self.books
                .recorder
                .limit_opened(id, self.now, limit, origin(rule));
        }
    }

    /// A cluster lets a request through again.
    pub(super) fn limit_passed(&mut self, worker: u32, cluster: ClusterId) {
        if self.books.open.is_empty() {
            return;
        }
        if let Some(limit) = self.books.open.remove(&(worker, cluster))
            && let Some(id) = self.report_cluster(worker, cluster)
        {
            self.books.recorder.limit_closed(id, self.now, limit);
        }
    }

    /// A cluster as its callers configure it.
    fn report_cluster(&mut self, worker: u32, cluster: ClusterId) -> Option<ids::ClusterId> {
        let pod = self.workers[worker as usize].pod;
        let from = self.pods[pod as usize].workload;
        let config = self.workers[worker as usize].node.cluster(cluster)?;
        let key = (from, config.name.clone());
        if let Some(&known) = self.books.clusters.get(&key) {
            return Some(known);
        }
        let short = config.service.rsplit('/').next().unwrap_or_default();
        let subset: Vec<String> = config
            .subset
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        let name = if subset.is_empty() {
            short.to_owned()
        } else {
            format!("{short} ({})", subset.join(", "))
        };
        let arrives = self.is_own_application(worker, cluster, EndpointSlot(0));
        let to = self.workload_behind(worker, cluster).filter(|_| !arrives);
        let edge = to.map(|to| self.books.edge(from, to));
        let id = self.books.recorder.add_cluster(ClusterSetup {
            name,
            edge,
            endpoints: Vec::new(),
        });
        self.books.clusters.insert(key, id);
        Some(id)
    }

    fn report_endpoint(
        &mut self,
        worker: u32,
        cluster: ClusterId,
        slot: EndpointSlot,
    ) -> Option<(ids::ClusterId, EndpointId)> {
        let address = self.workers[worker as usize].node.endpoint(cluster, slot)?;
        let id = self.report_cluster(worker, cluster)?;
        if let Some(&known) = self.books.endpoints.get(&(id, address.ip())) {
            return Some((id, known));
        }
        let name = match self.pod_at(address.ip()) {
            Some(pod) => self.pods[pod as usize].name.to_string(),
            None => address.to_string(),
        };
        let endpoint = self.books.recorder.add_endpoint(id, name);
        self.books.endpoints.insert((id, address.ip()), endpoint);
        Some((id, endpoint))
    }

    pub(super) fn record_ejection(
        &mut self,
        worker: u32,
        cluster: ClusterId,
        slot: EndpointSlot,
        why: proxy_core::event::EjectionReason,
        rule: OriginId,
    ) {
        let reason = facts::ejection_reason(why);
        let Some((cluster, endpoint)) = self.report_endpoint(worker, cluster, slot) else {
            return;
        };
        let proxy = self.report_proxy(worker);
        self.books.recorder.ejection_started(
            cluster,
            endpoint,
            Some(proxy),
            self.now,
            reason,
            origin(rule),
        );
    }

    pub(super) fn record_return(&mut self, worker: u32, cluster: ClusterId, slot: EndpointSlot) {
        if let Some((cluster, endpoint)) = self.report_endpoint(worker, cluster, slot) {
            let proxy = self.report_proxy(worker);
            self.books
                .recorder
                .ejection_ended(cluster, endpoint, Some(proxy), self.now);
        }
    }

    pub(super) fn record_health(
        &mut self,
        worker: u32,
        cluster: ClusterId,
        slot: EndpointSlot,
        healthy: bool,
    ) {
        let key = (worker, cluster, slot);
        // endpoints begin unchecked: only what was told of before can come back
        let was_out = self.books.unwell.contains(&key);
        if healthy != was_out {
            return;
        }
        let Some((id, endpoint)) = self.report_endpoint(worker, cluster, slot) else {
            return;
        };
        let proxy = Some(self.report_proxy(worker));
        let recorder = &mut self.books.recorder;
        if healthy {
            self.books.unwell.remove(&key);
            recorder.ejection_ended(id, endpoint, proxy, self.now);
        } else {
            self.books.unwell.insert(key);
            let reason = EjectionReason::HealthCheck;
            recorder.ejection_started(id, endpoint, proxy, self.now, reason, None);
        }
    }

    fn report_proxy(&self, worker: u32) -> ids::ProxyId {
        let proxy = self.workers[worker as usize].proxy;
        self.proxies[proxy as usize].report
    }

    /// How an exchange went: a gateway's are calls of its own; what a filter refused is told.
    pub(super) fn record_exchange(&mut self, worker: u32, record: &AccessRecord) {
        let refused = match record.reply {
            Some(ReplyReason::RateLimited) => Some(Limit::Rate),
            Some(ReplyReason::TooManyInFlight) => Some(Limit::Requests),
            Some(ReplyReason::BreakerOpen) => Some(Limit::Breaker),
            Some(ReplyReason::FaultAbort) => Some(Limit::FaultAbort),
            _ => None,
        };
        let pod = self.workers[worker as usize].pod;
        let is_gateway = self.pods[pod as usize].gateway.is_some_and(|proxy| {
            let workers = &self.proxies[proxy as usize].workers;
            workers.contains(&worker)
        });
        if !is_gateway && refused.is_none() {
            return;
        }
        let exchange = self.exchange(Key::of(record.token));
        let went = exchange.and_then(|exchange| exchange.went);
        let edge = match (went, record.cluster) {
            (Some(edge), _) if is_gateway => Some(edge),
            (_, Some(cluster)) => self.edge_of_cluster(worker, record.token, cluster, None),
            (_, None) => None,
        };
        let edge = edge.or_else(|| self.edge_of_arrival(record.token));
        let Some(edge) = edge else {
            return;
        };
        if let Some(limit) = refused {
            let rule = origin(record.origin);
            self.books.recorder.rejected(edge, self.now, limit, rule);
        }
        if is_gateway {
            let reason = if record.status == 0 {
                ErrorReason::ClientGone
            } else if record.status >= 500 {
                ErrorReason::Status5xx
            } else {
                ErrorReason::None
            };
            self.books.recorder.call_finished(edge, self.now, reason);
        }
    }

    /// A proxy has closed a connection; that is told where policy refused it.
    pub(super) fn record_closed(
        &mut self,
        worker: u32,
        target: Target,
        reason: CloseReason,
        rule: OriginId,
    ) {
        let Target::Downstream(_, token) = target else {
            return;
        };
        let Some(conn) = self.conns.get(Key::of(token)) else {
            return;
        };
        let Worker {
            node, proxy, pod, ..
        } = &self.workers[worker as usize];
        let pod = &self.pods[*pod as usize];
        let arrival = if pod.gateway == Some(*proxy) {
            Arrival::Dialled
        } else if conn.from == conn.to && !conn.from_own_proxy {
            Arrival::Outbound
        } else {
            Arrival::Inbound
        };
        let listener = node.listener_for(arrival, conn.dest);
        let Some(why) = rules::refusal(reason, conn.hello.is_some(), listener) else {
            return;
        };
        let dialled = (conn.from != OUTSIDE).then(|| &self.pods[conn.from as usize]);
        let from = dialled.map(|pod| ids::WorkloadId(pod.workload));
        let by = ids::WorkloadId(pod.workload);
        self.books
            .recorder
            .connection_refused(from, by, self.now, why, origin(rule));
        if self.observed {
            self.watch_refused(Key::of(token), worker, why, rule);
        }
    }

    /// The edge over which a proxy got a request from another pod.
    fn edge_of_arrival(&mut self, token: u64) -> Option<EdgeId> {
        let stream = self.streams.get(Key::of(token))?;
        let Server::Node { .. } = stream.server else {
            return None;
        };
        let conn = self.conns.get(stream.conn)?;
        if conn.from == OUTSIDE || conn.to == OUTSIDE || conn.from == conn.to {
            return None;
        }
        let from = self.pods[conn.from as usize].workload;
        let to = self.pods[conn.to as usize].workload;
        Some(self.books.edge(from, to))
    }

    /// A request of a load that comes from pods is a call of theirs.
    pub(super) fn load_call_ended(
        &mut self,
        load: u32,
        (asked, by): (&Asked, TryId),
        outcome: Outcome,
    ) {
        let state = &self.loads[load as usize];
        let Via::Workload(from) = state.clients.load().via else {
            return;
        };
        let dest = state.dests[asked.request.index()];
        let went = state.tries.get(by.index()).and_then(|sent| sent.went);
        let edge = match (went, &self.dests[dest as usize]) {
            (Some(edge), _) => edge,
            (None, &Dest::Service { service, .. }) => {
                let Some(edge) = self.edge_to_service(from.0, service) else {
                    return;
                };
                edge
            }
            (None, Dest::Gateway { .. } | Dest::Address(_) | Dest::Unknown) => return,
        };
        let reason = super::streams::reason_of(outcome.status, outcome.reason);
        self.books.recorder.call_finished(edge, self.now, reason);
    }
}

impl World<'_> {
    /// Tells which policy values hold on each edge, as the manifests of the start have them.
    pub(super) fn name_policies(&mut self) {
        let model = self.models[0].clone();
        let edges = self.books.recorder.setup().edges.iter();
        let ends: Vec<(u32, u32)> = edges.map(|edge| (edge.from.0, edge.to.0)).collect();
        for (number, (from, to)) in (0..).zip(ends) {
            let Some(&pod) = self.by_workload[from as usize].first() else {
                continue;
            };
            let place = &self.pods[pod as usize].place;
            let gateway = self.gateway_of[from as usize].map(NodeRef::Gateway);
            let sidecar = NodeRef::Sidecar(manifests::model::WorkloadId(from));
            let leads_there = |service: &str| self.service_workloads.get(service) == Some(&to);
            let origins = &self.books.recorder.setup().origins;
            let mut policies = Vec::new();
            for node in gateway.into_iter().chain([sidecar]) {
                if let Some(config) = model.config(node, place, &self.known) {
                    policies.extend(crate::policies::of(&config, &leads_there, origins));
                }
            }
            self.books.recorder.set_policies(EdgeId(number), policies);
        }
    }
}
