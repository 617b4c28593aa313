//! What results and health checks say of endpoints: latency, outlier detection, failure accrual, active checks.

use super::contract::{Action, HealthCheckId, Target, TimerId, TimerKind};
use super::machine::{Env, Machine, Upstream};
use crate::accrual;
use crate::balance::KONG_DECAY;
use crate::balance::peak_ewma::PeakEwma;
use crate::balance::traefik::LatestTimes;
use crate::config::{Balancer, ClusterIndex};
use crate::event::{AttemptFailure, EjectionReason, Event};
use crate::heads::Heads;
use crate::ids::{ClusterId, EndpointSlot, UpstreamId};
use crate::origin::{OriginId, Sourced};
use crate::outlier::{self, Census, Outcome, Swept, Verdict};
use crate::passive;
use crate::shared::SharedState;
use crate::time::{Duration, Time};

/// What became of a try, as its endpoint is judged by it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Report {
    /// It answered.
    Response {
        status: u16,
        grpc: Option<u32>,
        /// Since it was sent.
        took: Duration,
        /// Since its endpoint was chosen.
        waited: Duration,
    },
    /// It did not.
    Failed { failure: AttemptFailure },
}

impl Machine {
    /// A request goes onto a connection of the endpoint.
    pub(super) fn request_started<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        id: ClusterId,
        endpoint: EndpointSlot,
    ) {
        let cluster = self.cluster_mut(id).expect("the caller has it");
        cluster.had_traffic(env.shared);
        if core::mem::take(&mut cluster.strays) {
            self.leave_ejected(env, id);
        }
        let cluster = self.cluster_mut(id).expect("the caller has it");
        if cluster.config.accrual.is_some() {
            let standing = cluster.hosts[endpoint.0 as usize].standing();
            if standing.on_request(env.shared) {
                cluster.spread(env.shared, env.now);
            }
        }
        let split = |o: &Sourced<outlier::Settings>| o.value.split_local_origin;
        if cluster.config.outlier.as_ref().is_some_and(split) {
            self.judge(env, id, endpoint, Outcome::Connected);
        }
    }

    /// Takes in what a try's result says of its endpoint.
    pub(super) fn report<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        id: ClusterId,
        endpoint: EndpointSlot,
        report: Report,
    ) {
        let cluster = self.cluster(id).expect("a try has a cluster");
        let config = &cluster.config;
        let host = &cluster.hosts[endpoint.0 as usize];
        if let Report::Response { took, waited, .. } = report {
            let ewma = PeakEwma::new(host.latency_at());
            match config.balancer.value {
                Balancer::PeakEwma { decay, .. } => ewma.add(env.shared, took, decay, env.now),
                Balancer::KongLatency => ewma.mix(env.shared, took, KONG_DECAY, env.now),
                Balancer::TraefikLeastTime => {
                    LatestTimes::new(host.latency_at()).add(env.shared, waited);
                }
                Balancer::RoundRobin
                | Balancer::LeastRequest { .. }
                | Balancer::Random
                | Balancer::RingHash { .. }
                | Balancer::Maglev { .. }
                | Balancer::KongRing
                | Balancer::KongLeastConnections
                | Balancer::TraefikTurns
                | Balancer::NginxEwma
                | Balancer::TraefikTwoChoices
                | Balancer::TraefikRendezvous
                | Balancer::OriginalDestination => {}
            }
        }
        let (has_outlier, accrual) = (config.outlier.is_some(), config.accrual);
        if has_outlier && let Some(outcome) = outcome_of(report) {
            self.judge(env, id, endpoint, outcome);
        }
        if let Some(accrual) = accrual {
            self.accrue(env, id, endpoint, accrual, report);
        }
        self.watch_passively(env, id, endpoint, report);
    }

    /// Traefik's passive view of a result.
    fn watch_passively<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        id: ClusterId,
        endpoint: EndpointSlot,
        report: Report,
    ) {
        let cluster = self.cluster_mut(id).expect("the caller has it");
        let Some(settings) = cluster.config.passive else {
            return;
        };
        let Some(standing) = cluster.hosts[endpoint.0 as usize].passive() else {
            return;
        };
        let good = match report {
            Report::Response { status, .. } => status < 500,
            Report::Failed {
                failure: AttemptFailure::Overflow | AttemptFailure::NoHealthyUpstream,
            } => return,
            Report::Failed { .. } => false,
        };
        if !standing.on_result(env.shared, &settings.value, good, env.now) {
            return;
        }
        cluster.spread(env.shared, env.now);
        let lasts = settings.value.window;
        if !settings.value.returned_by_checks {
            let timer = TimerId::of_endpoint(TimerKind::PassiveEnd, id, endpoint, 0);
            self.arm(Target::Node, timer, env.now, lasts);
        }
        let event = Event::Ejected {
            cluster: id,
            endpoint,
            lasts,
            why: EjectionReason::PassiveCheck,
            origin: settings.origin,
        };
        self.record(Target::Node, event);
    }

    /// An endpoint that was left out for what had failed of late is back.
    pub(super) fn passive_over<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        id: ClusterId,
        endpoint: EndpointSlot,
    ) {
        let Some(cluster) = self.cluster_mut(id) else {
            return;
        };
        let standing = cluster.hosts[endpoint.0 as usize].passive();
        if standing.is_some_and(|it| it.on_return(env.shared)) {
            cluster.spread(env.shared, env.now);
            let event = Event::Returned {
                cluster: id,
                endpoint,
            };
            self.record(Target::Node, event);
            self.serve_queue(env, id);
        }
    }

    /// As [`Machine::leave_unwell`], of all that were taken out, and of those that fail their active checks.
    fn leave_ejected<S: SharedState, H: Heads>(&mut self, env: &mut Env<'_, S, H>, id: ClusterId) {
        let cluster = self.cluster(id).expect("the caller has it");
        let mut out: Vec<EndpointSlot> = Vec::new();
        for (slot, host) in (0..).zip(&cluster.hosts) {
            if host.outlier().is_ejected(env.shared) || !cluster.passes_checks(env.shared, host) {
                out.push(EndpointSlot(slot));
            }
        }
        for endpoint in out {
            self.leave_unwell(env, id, endpoint);
        }
    }

    /// Connections to an endpoint that was taken out, or that fails its active checks, take no more requests: those without any are
    /// closed, the others when theirs are over.
    ///
    /// Source: envoy `source/common/upstream/cluster_manager_impl.cc` (`onHostHealthFailure`).
    fn leave_unwell<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        id: ClusterId,
        endpoint: EndpointSlot,
    ) {
        let to_it = |up: &Upstream| up.cluster == id && up.endpoint == endpoint;
        let upstreams = self.upstreams.iter();
        let left: Vec<UpstreamId> = upstreams
            .filter(|(_, up)| to_it(up))
            .map(|(raw, _)| raw.into())
            .collect();
        for upstream in left {
            self.drain_upstream(env, upstream);
        }
    }

    /// Outlier detection's view of a result.
    fn judge<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        id: ClusterId,
        endpoint: EndpointSlot,
        outcome: Outcome,
    ) {
        self.arm_sweep(env, id);
        self.judged += 1;
        let key = self.identity.key.child(1 << 40 | self.judged);
        let cluster = self.cluster_mut(id).expect("the caller has it");
        let Some(outlier) = &cluster.config.outlier else {
            return;
        };
        let (origin, host) = (outlier.origin, cluster.hosts[endpoint.0 as usize].outlier());
        // the census is only needed when a row is full, which is rare
        let census = if outlier.value.is_due(env.shared, host, outcome) {
            cluster.census(env.shared)
        } else {
            Census {
                ejected: 0,
                hosts: 0,
            }
        };
        let judged = outlier
            .value
            .on_result(env.shared, host, outcome, census, key, env.now);
        if let Some((why, verdict)) = judged {
            if matches!(verdict, Verdict::Ejected(_)) {
                cluster.spread(env.shared, env.now);
            }
            self.tell_verdict(id, endpoint, why, verdict, origin);
            if matches!(verdict, Verdict::Ejected(_)) {
                self.leave_unwell(env, id, endpoint);
            }
        }
    }

    fn tell_verdict(
        &mut self,
        cluster: ClusterId,
        endpoint: EndpointSlot,
        why: EjectionReason,
        verdict: Verdict,
        origin: OriginId,
    ) {
        let event = match verdict {
            Verdict::Ejected(lasts) => Event::Ejected {
                cluster,
                endpoint,
                lasts,
                why,
                origin,
            },
            Verdict::RefusedByCap | Verdict::RefusedByDraw => Event::EjectionRefused {
                cluster,
                endpoint,
                by_cap: verdict == Verdict::RefusedByCap,
                origin,
            },
        };
        self.record(Target::Node, event);
    }

    /// Arms the sweep of a cluster with outlier detection, once. Every worker that has seen a result has one, and in each interval the first
    /// of them sweeps for all.
    fn arm_sweep<S, H>(&mut self, env: &Env<'_, S, H>, id: ClusterId) {
        let cluster = self.cluster_mut(id).expect("the caller has it");
        if cluster.sweeps > 0 {
            return;
        }
        let Some(outlier) = &cluster.config.outlier else {
            return;
        };
        let interval = outlier.value.interval.as_nanos().max(1);
        cluster.sweeps = 1;
        let timer = TimerId::of_cluster(TimerKind::OutlierSweep, id, 1);
        // sweeps come at whole intervals, whenever the first result did
        let next = (env.now.as_nanos() / interval + 1).saturating_mul(interval);
        self.arm_single(Target::Node, timer, Time::from_nanos(next));
    }

    pub(super) fn sweep<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        id: ClusterId,
        timer: TimerId,
    ) {
        let sweep_key = self.identity.key.child(2 << 40 | u64::from(id.0));
        let Some(cluster) = self.cluster_mut(id) else {
            return;
        };
        let Some(outlier) = cluster.config.outlier else {
            cluster.sweeps = 0;
            return;
        };
        if timer.number != cluster.sweeps {
            return;
        }
        cluster.sweeps += 1;
        let number = cluster.sweeps;
        let next = TimerId::of_cluster(TimerKind::OutlierSweep, id, number);
        let interval = outlier.value.interval;
        if !cluster.takes_sweep(env.shared, interval, env.now) {
            self.arm(Target::Node, next, env.now, interval);
            return;
        }
        let slots: Vec<u32> = (0..cluster.hosts.len() as u32)
            .filter(|i| cluster.hosts[*i as usize].present)
            .collect();
        let hosts: Vec<outlier::Host> = slots
            .iter()
            .map(|i| cluster.hosts[*i as usize].outlier())
            .collect();
        let key = sweep_key.child(u64::from(number));
        let swept = outlier.value.sweep(env.shared, &hosts, key, env.now);
        let changes = |s: &Swept| matches!(s, Swept::Returned | Swept::Due(_, Verdict::Ejected(_)));
        let changed = swept.iter().any(|(_, s)| changes(s));
        if changed {
            cluster.spread(env.shared, env.now);
        }
        for (i, what) in swept {
            let endpoint = EndpointSlot(slots[i]);
            match what {
                Swept::Returned => {
                    let event = Event::Returned {
                        cluster: id,
                        endpoint,
                    };
                    self.record(Target::Node, event);
                }
                Swept::Due(why, verdict) => {
                    self.tell_verdict(id, endpoint, why, verdict, outlier.origin);
                }
            }
        }
        self.arm(Target::Node, next, env.now, interval);
        if changed {
            self.leave_ejected(env, id);
            self.serve_queue(env, id);
        }
    }

    /// Failure accrual's view of a result.
    fn accrue<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        id: ClusterId,
        endpoint: EndpointSlot,
        accrual: Sourced<accrual::Settings>,
        report: Report,
    ) {
        let good = match report {
            Report::Response { status, grpc, .. } => accrual::is_success(status, grpc),
            Report::Failed {
                failure: AttemptFailure::Overflow | AttemptFailure::NoHealthyUpstream,
            } => return,
            Report::Failed { .. } => false,
        };
        self.judged += 1;
        let key = self.identity.key.child(3 << 40 | self.judged);
        let cluster = self.cluster_mut(id).expect("the caller has it");
        let standing = cluster.hosts[endpoint.0 as usize].standing();
        let Some(change) = standing.on_result(env.shared, &accrual.value, good, key) else {
            return;
        };
        cluster.spread(env.shared, env.now);
        match change {
            accrual::Change::LeftOut(lasts) => {
                let timer = TimerId::of_endpoint(TimerKind::AccrualEnd, id, endpoint, 0);
                self.arm_single(Target::Node, timer, env.now + lasts);
                let event = Event::Ejected {
                    cluster: id,
                    endpoint,
                    lasts,
                    why: EjectionReason::FailureAccrual,
                    origin: accrual.origin,
                };
                self.record(Target::Node, event);
            }
            accrual::Change::Returned => {
                let event = Event::Returned {
                    cluster: id,
                    endpoint,
                };
                self.record(Target::Node, event);
                self.serve_queue(env, id);
            }
        }
    }

    /// A try that may have been an endpoint's one request on probation ended without a result.
    pub(super) fn unjudged<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        id: ClusterId,
        endpoint: EndpointSlot,
    ) {
        let Some(cluster) = self.cluster_mut(id) else {
            return;
        };
        if cluster.config.accrual.is_none() {
            return;
        }
        let standing = cluster.hosts[endpoint.0 as usize].standing();
        if standing.on_cancelled(env.shared) {
            cluster.spread(env.shared, env.now);
            self.serve_queue(env, id);
        }
    }

    pub(super) fn penalty_over<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        id: ClusterId,
        endpoint: EndpointSlot,
    ) {
        let Some(cluster) = self.cluster_mut(id) else {
            return;
        };
        let standing = cluster.hosts[endpoint.0 as usize].standing();
        if standing.on_penalty_over(env.shared) {
            cluster.spread(env.shared, env.now);
            self.serve_queue(env, id);
        }
    }

    /// Begins the active checks of every cluster that has some.
    pub(super) fn start_checks<S: SharedState, H: Heads>(&mut self, env: &mut Env<'_, S, H>) {
        if !self.identity.elected {
            return;
        }
        let configs = env.configs;
        let current = configs.current();
        for (s, section) in configs.config(current).sections.iter().enumerate() {
            for (i, config) in section.clusters().iter().enumerate() {
                if config.health_checks.is_empty() {
                    continue;
                }
                let index = ClusterIndex(i as u32);
                let id = configs.cluster_id(current, s as u16, index);
                self.make_cluster(env, id, (current, s as u16, index));
                self.check_all(env, id);
            }
        }
    }

    /// Begins the checks of each endpoint of a cluster that do not run yet.
    pub(super) fn check_all<S: SharedState, H>(&mut self, env: &Env<'_, S, H>, id: ClusterId) {
        let cluster = self.cluster_mut(id).expect("the caller has it");
        let checks = cluster.config.health_checks.len() as u8;
        let mut fresh = Vec::new();
        for (slot, host) in cluster.hosts.iter_mut().enumerate() {
            if host.present && host.checked < checks {
                fresh.push((EndpointSlot(slot as u32), host.checked));
                host.checked = checks;
            }
        }
        for (endpoint, running) in fresh {
            for check in running..checks {
                let check = HealthCheckId {
                    cluster: id,
                    endpoint,
                    check,
                };
                self.probe(env, check);
            }
        }
    }

    fn probe<S, H>(&mut self, env: &Env<'_, S, H>, check: HealthCheckId) {
        let cluster = self.cluster_mut(check.cluster).expect("the caller has it");
        let settings = cluster.config.health_checks.get(check.check as usize);
        let Some(timeout) = settings.map(|s| s.value.timeout) else {
            return;
        };
        let host = &mut cluster.hosts[check.endpoint.0 as usize];
        if !host.present {
            host.checked = 0;
            return;
        }
        host.probes = host.probes.wrapping_add(1) & 0xFF_FFFF;
        let (address, number) = (host.address, host.probes);
        self.push(Target::Node, Action::Probe { check, address });
        let timer = TimerId::of_endpoint(
            TimerKind::HealthCheckTimeout,
            check.cluster,
            check.endpoint,
            number << 8 | u32::from(check.check),
        );
        self.arm(Target::Node, timer, env.now, timeout);
    }

    pub(super) fn check_due<S, H>(
        &mut self,
        env: &Env<'_, S, H>,
        cluster: ClusterId,
        endpoint: EndpointSlot,
        timer: TimerId,
    ) {
        if self.cluster(cluster).is_some() {
            let check = HealthCheckId {
                cluster,
                endpoint,
                check: (timer.number & 0xFF) as u8,
            };
            self.probe(env, check);
        }
    }

    pub(super) fn check_late<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        cluster: ClusterId,
        endpoint: EndpointSlot,
        timer: TimerId,
    ) {
        let Some(state) = self.cluster(cluster) else {
            return;
        };
        if state.hosts[endpoint.0 as usize].probes == timer.number >> 8 {
            let check = HealthCheckId {
                cluster,
                endpoint,
                check: (timer.number & 0xFF) as u8,
            };
            self.health_checked(env, check, None);
        }
    }

    pub(super) fn health_checked<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        check: HealthCheckId,
        status: Option<u16>,
    ) {
        let (id, endpoint) = (check.cluster, check.endpoint);
        let key = self.identity.key.child(4 << 40 | u64::from(id.0));
        let Some(cluster) = self.cluster_mut(id) else {
            return;
        };
        let traffic = env.shared.get(cluster.traffic_at()) != 0;
        let returns = cluster
            .config
            .outlier
            .is_some_and(|o| o.value.health_check_returns);
        let Some(settings) = cluster.config.health_checks.get(check.check as usize) else {
            return;
        };
        let by_checks = |p: Sourced<passive::Settings>| p.value.returned_by_checks;
        let passively = cluster.config.passive.is_some_and(by_checks);
        let host = &mut cluster.hosts[endpoint.0 as usize];
        // the timeout of the probe that was just answered is of no account
        host.probes = host.probes.wrapping_add(1) & 0xFF_FFFF;
        let outlier = host.outlier();
        let state = &mut host.checks[check.check as usize];
        let changed = settings.value.on_answer(state, status);
        let healthy = state.healthy;
        let pause = settings
            .value
            .pause(state, traffic, key.child(u64::from(endpoint.0)));
        // a healthy endpoint may miss a check or two: only one that passes says that it is well
        let passed = status.is_some_and(|s| settings.value.expects(s));
        let mut returned = passed && healthy && returns && outlier.is_ejected(env.shared);
        if returned {
            outlier.return_now(env.shared);
        }
        if passively && passed && healthy {
            returned |= host.passive().is_some_and(|it| it.on_return(env.shared));
        }
        // another worker may have taken the endpoint for a new one
        let passes = u64::from(host.checks.iter().all(|check| check.healthy));
        let (before, _) = env.shared.update(host.passes_at(), |_| passes);
        if before != passes || returned {
            cluster.spread(env.shared, env.now);
        }
        let number = u32::from(check.check);
        let timer = TimerId::of_endpoint(TimerKind::HealthCheck, id, endpoint, number);
        self.arm_single(Target::Node, timer, env.now + pause);
        if changed {
            let event = Event::Health {
                cluster: id,
                endpoint,
                healthy,
            };
            self.record(Target::Node, event);
            if !healthy {
                self.leave_unwell(env, id, endpoint);
            }
        }
        if returned {
            let event = Event::Returned {
                cluster: id,
                endpoint,
            };
            self.record(Target::Node, event);
        }
        if changed || returned {
            self.serve_queue(env, id);
        }
    }
}

/// What outlier detection makes of a report; none: it says nothing of the endpoint. A hedged try is judged twice, by its
/// slowness and by what becomes of it.
///
/// Source: envoy `source/common/router/router.cc` (`onUpstreamReset`, `onResponseTimeout`, `onUpstreamHeaders`).
fn outcome_of(report: Report) -> Option<Outcome> {
    match report {
        Report::Response { status, grpc, .. } => {
            Some(Outcome::Answered(grpc.map_or(status, http_of_grpc)))
        }
        Report::Failed { failure } => match failure {
            AttemptFailure::Overflow | AttemptFailure::NoHealthyUpstream => None,
            AttemptFailure::PerTryTimeout
            | AttemptFailure::PerTryIdle
            | AttemptFailure::RouteTimeout => Some(Outcome::Timeout),
            AttemptFailure::ConnectRefused
            | AttemptFailure::ConnectTimeout
            | AttemptFailure::Terminated
            | AttemptFailure::Reset
            | AttemptFailure::RefusedStream
            | AttemptFailure::Protocol => Some(Outcome::LocalFailure),
        },
    }
}

/// The HTTP status that a gRPC status counts as.
///
/// Source: envoy `source/common/grpc/status.cc` (`grpcToHttpStatus`).
const fn http_of_grpc(status: u32) -> u16 {
    match status {
        0 => 200,
        1 => 499,
        3 | 9 | 11 => 400,
        4 => 504,
        5 => 404,
        6 | 10 => 409,
        7 => 403,
        8 => 429,
        12 => 501,
        14 => 503,
        16 => 401,
        _ => 500,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Envoy: `putResult`, `putHttpResponseCode`; a resource overflow says nothing of a host (envoy#25487).
    #[test]
    fn endpoints_are_judged_by_what_they_did() {
        let answered = |status, grpc| Report::Response {
            status,
            grpc,
            took: Duration::ZERO,
            waited: Duration::ZERO,
        };
        let failed = |failure| Report::Failed { failure };
        let local = Some(Outcome::LocalFailure);
        for (report, outcome) in [
            (answered(200, None), Some(Outcome::Answered(200))),
            (answered(503, None), Some(Outcome::Answered(503))),
            (answered(200, Some(0)), Some(Outcome::Answered(200))),
            (answered(200, Some(14)), Some(Outcome::Answered(503))),
            (failed(AttemptFailure::Overflow), None),
            (failed(AttemptFailure::NoHealthyUpstream), None),
            (failed(AttemptFailure::ConnectRefused), local),
            (failed(AttemptFailure::ConnectTimeout), local),
            (failed(AttemptFailure::Terminated), local),
            (failed(AttemptFailure::Reset), local),
            (failed(AttemptFailure::RefusedStream), local),
            (failed(AttemptFailure::Protocol), local),
            (
                failed(AttemptFailure::PerTryTimeout),
                Some(Outcome::Timeout),
            ),
            (failed(AttemptFailure::PerTryIdle), Some(Outcome::Timeout)),
            (failed(AttemptFailure::RouteTimeout), Some(Outcome::Timeout)),
        ] {
            assert_eq!(outcome_of(report), outcome, "{report:?}");
        }
    }

    /// Envoy: `grpcToHttpStatus`.
    #[test]
    fn grpc_statuses_count_as_http_ones() {
        let expected = [
            200, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401,
        ];
        let all: Vec<u16> = (0..=16).map(http_of_grpc).collect();
        assert_eq!(all, expected);
        assert_eq!(http_of_grpc(17), 500);
    }
}
