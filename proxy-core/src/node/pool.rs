//! Connections to endpoints: reuse, open, queue, overflow, drain.
//!
//! Source: envoy `source/common/conn_pool/conn_pool_base.cc`. A request takes the connection that became free last; it
//! waits where there is none, and a connection is opened when more wait than the connections being opened can take. A
//! connection that cannot be opened fails every request that waits for its endpoint.

use std::collections::VecDeque;

use super::contract::{Action, Ends, Target, TimerId, TimerKind};
use super::conversations::Conversation;
use super::machine::{
    AttemptStage, Downstream, Env, Exchange, Machine, Passage, Placing, Stage, Standing, Upstream,
    Wish,
};
use crate::balance::KONG_DECAY;
use crate::balance::peak_ewma::PeakEwma;
use crate::config::{
    CloseReason, Cluster, ClusterIndex, ReplyProfile, RetryBudget, UpstreamProtocol,
};
use crate::draw::{DrawKey, Purpose};
use crate::event::{AttemptFailure, ConnectionChoice, Decision};
use crate::heads::Heads;
use crate::ids::{AttemptId, ClusterId, DownstreamId, EndpointSlot, UpstreamId};
use crate::limit::concurrency::{ConcurrencyLimit, Resource};
use crate::origin::OriginId;
use crate::shared::SharedState;
use crate::time::Duration;

/// The connections of one endpoint for one protocol and priority.
#[derive(Clone, Debug, Default)]
pub(super) struct Pool {
    pub(super) http2: bool,
    pub(super) high_priority: bool,
    /// Whether its connections carry bytes, each those of one CONNECT.
    pub(super) bytes: bool,
    /// Whom its connections say that they are for, where they say so.
    pub(super) ends: Option<Ends>,
    /// Open connections with room; the last is taken first.
    pub(super) ready: Vec<UpstreamId>,
    /// Tries that wait; entries of tries that went away are skipped.
    pub(super) pending: VecDeque<AttemptId>,
    /// How many of them still wait.
    pub(super) waiting: u32,
    /// Streams that the connections being opened will take.
    pub(super) connecting: u32,
    /// Connections, those being opened included.
    pub(super) connections: u32,
}

impl Machine {
    /// A try whose pool has no connection with room waits for one, if as many may wait, and one is opened if need be.
    fn wait_for_connection<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        attempt: AttemptId,
        number: u16,
    ) {
        let exchange = self.exchange_mut(attempt.exchange);
        let (cluster_id, priority) = (
            exchange.cluster.expect("a try has a cluster"),
            exchange.priority(),
        );
        let entry = exchange.attempt_mut(attempt.number).expect("just begun");
        entry.pool = number;
        let endpoint = entry.endpoint.expect("just placed");
        let cluster = self
            .cluster_mut(cluster_id)
            .expect("made before the first try");
        let limits = ConcurrencyLimit::new(cluster.limits_at(priority));
        let max_pending = cluster.config.limits[priority].pending;
        if !limits.try_take(
            env.shared,
            Resource::PendingRequests,
            u64::from(max_pending.value),
        ) {
            self.attempt_failed(env, attempt, AttemptFailure::Overflow);
            return;
        }
        let pool = &mut cluster.hosts[endpoint.0 as usize].pools[number as usize];
        pool.pending.push_back(attempt);
        pool.waiting += 1;
        self.exchange_mut(attempt.exchange)
            .attempt_mut(attempt.number)
            .expect("just begun")
            .stage = AttemptStage::Pending;
        let opened = self.open_for_waiting(env, cluster_id, endpoint, number);
        let choice = if opened {
            ConnectionChoice::Opened
        } else {
            ConnectionChoice::Queued
        };
        self.decided(
            attempt.exchange,
            Decision::Connection(choice),
            OriginId::NONE,
        );
    }

    /// Opens a connection if more requests wait than the ones being opened will take, and the limit allows it or the
    /// pool has none at all.
    fn open_for_waiting<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        cluster_id: ClusterId,
        endpoint: EndpointSlot,
        pool_number: u16,
    ) -> bool {
        let cluster = self.cluster_mut(cluster_id).expect("the pool is in it");
        let host = &mut cluster.hosts[endpoint.0 as usize];
        let host_connections = host.connections;
        let pool = &mut host.pools[pool_number as usize];
        if pool.waiting <= pool.connecting {
            return false;
        }
        let (http2, priority) = (pool.http2, usize::from(pool.high_priority));
        let none_at_all = pool.connections == 0;
        let limits = ConcurrencyLimit::new(cluster.limits_at(priority));
        let config = &cluster.config;
        let max = u64::from(config.limits[priority].connections.value);
        let per_endpoint = config.pool.max_connections_per_endpoint;
        // Envoy: all connections count, and those of high priority have no such limit
        let host_full = priority == 0 && per_endpoint.is_some_and(|m| host_connections >= m.value);
        if host_full && !none_at_all {
            return false;
        }
        if !limits.try_take(env.shared, Resource::Connections, max) {
            if !none_at_all {
                return false;
            }
            limits.take(env.shared, Resource::Connections);
        }
        let streams = if http2 {
            config.pool.max_streams.value
        } else {
            1
        };
        let remaining = config
            .pool
            .max_requests_per_connection
            .map_or(u32::MAX, |m| m.value.max(1));
        let timeout = config.connect_timeout;
        let host = &mut cluster.hosts[endpoint.0 as usize];
        host.connections += 1;
        let address = host.address;
        let pool = &mut host.pools[pool_number as usize];
        pool.connections += 1;
        // all may be ready at once: room is made now, so that giving one back never asks for memory
        let room = (pool.connections as usize).saturating_sub(pool.ready.len());
        pool.ready.reserve(room);
        pool.connecting = pool.connecting.saturating_add(streams.min(remaining));
        let id: UpstreamId = self
            .upstreams
            .insert(Upstream {
                cluster: cluster_id,
                endpoint,
                pool: pool_number,
                state: Standing::Connecting,
                http2,
                max_streams: streams,
                active: 0,
                remaining,
                current: None,
                tcp: None,
                listed: false,
                idle_since: env.now,
                idle_armed: false,
            })
            .into();
        self.push(Target::Upstream(id), Action::Connect { address });
        let timer = TimerId::of_upstream(TimerKind::Connect, id);
        self.arm(Target::Upstream(id), timer, env.now, timeout.value);
        true
    }

    pub(super) fn connected<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        id: UpstreamId,
        http2: bool,
        max_streams: Option<u32>,
    ) {
        let Some(up) = self.upstreams.get_mut(id) else {
            return;
        };
        if up.state != Standing::Connecting {
            return;
        }
        up.state = Standing::Open;
        self.push(
            Target::Upstream(id),
            Action::Disarm {
                id: TimerId::of_upstream(TimerKind::Connect, id),
            },
        );
        let up = self.upstreams.get_mut(id).expect("found above");
        let (cluster_id, endpoint) = (up.cluster, up.endpoint);
        let expected = up.max_streams.min(up.remaining);
        if let Some((downstream, _)) = up.tcp {
            let target = self.downstreams.get(downstream).map(|d| d.token);
            if let Some(token) = target {
                let action = Action::Splice(id);
                self.push(Target::Downstream(downstream, token), action);
                self.carried(env, downstream, id);
            }
            return;
        }
        up.http2 = http2;
        up.max_streams = if http2 {
            up.max_streams.min(max_streams.unwrap_or(u32::MAX)).max(1)
        } else {
            1
        };
        up.listed = true;
        up.idle_since = env.now;
        let pool_number = up.pool;
        let cluster = self.cluster_mut(cluster_id).expect("the pool is in it");
        let max_duration = cluster.config.pool.max_duration;
        let pool = &mut cluster.hosts[endpoint.0 as usize].pools[pool_number as usize];
        pool.connecting = pool.connecting.saturating_sub(expected);
        pool.ready.push(id);
        if let Some(max) = max_duration.filter(|m| !m.value.is_zero()) {
            let timer = TimerId::of_upstream(TimerKind::UpstreamAge, id);
            self.arm(Target::Upstream(id), timer, env.now, max.value);
        }
        self.serve_waiting(env, cluster_id, endpoint, pool_number);
        self.watch_idle_upstream(env, id);
    }

    /// The peer allows so many streams at a time: more than the cluster does are not used. A connection that is full by this takes
    /// no request until streams end or the peer allows more; those that it has stay.
    ///
    /// Source: Envoy 1.40 `MultiplexedActiveClientBase::onSettings`.
    pub(super) fn streams_allowed<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        id: UpstreamId,
        max: u32,
    ) {
        let Self {
            clusters,
            upstreams,
            ..
        } = self;
        let Some(up) = upstreams.get_mut(id).filter(|up| up.http2) else {
            return;
        };
        let (cluster_id, endpoint, pool_number) = (up.cluster, up.endpoint, up.pool);
        let cluster = clusters[cluster_id.0 as usize]
            .as_deref_mut()
            .expect("the pool is in it");
        up.max_streams = max.min(cluster.config.pool.max_streams.value);
        let has_room = up.active < up.max_streams && up.remaining > 0;
        if up.state != Standing::Open || up.listed == has_room {
            return;
        }
        up.listed = has_room;
        let pool = &mut cluster.hosts[endpoint.0 as usize].pools[pool_number as usize];
        if has_room {
            pool.ready.push(id);
            self.serve_waiting(env, cluster_id, endpoint, pool_number);
        } else {
            unlist(pool, id);
        }
    }

    /// Hands connections with room to the requests that wait, in their order.
    fn serve_waiting<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        cluster_id: ClusterId,
        endpoint: EndpointSlot,
        pool_number: u16,
    ) {
        loop {
            let Some(cluster) = self.cluster_mut(cluster_id) else {
                return;
            };
            let pool = &mut cluster.hosts[endpoint.0 as usize].pools[pool_number as usize];
            if pool.waiting == 0 {
                pool.pending.clear();
                return;
            }
            let (Some(&upstream), Some(attempt)) = (pool.ready.last(), pool.pending.front()) else {
                return;
            };
            let attempt = *attempt;
            pool.pending.pop_front();
            if !self.still_waits(attempt) {
                continue;
            }
            self.leave_waiting(env, attempt);
            self.use_connection(env, attempt, upstream);
        }
    }

    fn still_waits(&self, attempt: AttemptId) -> bool {
        self.exchanges
            .get(attempt.exchange)
            .and_then(|e| e.attempt(attempt.number))
            .is_some_and(|a| a.stage == AttemptStage::Pending)
    }

    /// A waiting try is counted as waiting no more.
    fn leave_waiting<S: SharedState, H>(&mut self, env: &mut Env<'_, S, H>, attempt: AttemptId) {
        let exchange = self.exchange_mut(attempt.exchange);
        let priority = exchange.priority();
        let cluster_id = exchange.cluster.expect("a try has a cluster");
        let entry = exchange.attempt_mut(attempt.number).expect("it waits");
        entry.stage = AttemptStage::Unplaced;
        let (endpoint, pool) = (entry.endpoint.expect("it is placed"), entry.pool);
        let cluster = self.cluster_mut(cluster_id).expect("the pool is in it");
        let limits = ConcurrencyLimit::new(cluster.limits_at(priority));
        limits.release(env.shared, Resource::PendingRequests);
        cluster.hosts[endpoint.0 as usize].pools[pool as usize].waiting -= 1;
    }

    /// A try that waited in this pool of `endpoint` was given up.
    #[cold]
    pub(super) fn leave_pool_queue<S: SharedState, H>(
        &mut self,
        env: &mut Env<'_, S, H>,
        attempt: AttemptId,
        endpoint: EndpointSlot,
        pool_number: u16,
    ) {
        let exchange = self.exchange(attempt.exchange);
        let priority = exchange.priority();
        let cluster_id = exchange.cluster.expect("a try has a cluster");
        let Some(cluster) = self.cluster_mut(cluster_id) else {
            return;
        };
        let limits = ConcurrencyLimit::new(cluster.limits_at(priority));
        limits.release(env.shared, Resource::PendingRequests);
        let pool = &mut cluster.hosts[endpoint.0 as usize].pools[pool_number as usize];
        pool.waiting -= 1;
        // keep the queue from filling up with what went away
        if pool.waiting == 0 {
            pool.pending.clear();
        } else if pool.pending.front() == Some(&attempt) {
            pool.pending.pop_front();
        }
    }

    /// Gives a try that waited a connection that has room.
    fn use_connection<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        attempt: AttemptId,
        upstream: UpstreamId,
    ) {
        let mut placing = self.placing(attempt.exchange);
        let up = placing.upstreams.get(upstream);
        let up = up.expect("a listed connection stands");
        let (endpoint, pool) = (up.endpoint, up.pool);
        let found = occupy(&mut placing, env, attempt, endpoint, pool, upstream);
        self.connection_found(env, attempt, found);
    }

    /// What comes of a try's search for a connection.
    #[inline(always)]
    pub(super) fn connection_found<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        attempt: AttemptId,
        found: Found,
    ) {
        let sent = match found {
            Found::Sent(sent) => sent,
            Found::TooMany => {
                self.attempt_failed(env, attempt, AttemptFailure::Overflow);
                return;
            }
            Found::Nothing { pool } => {
                self.wait_for_connection(env, attempt, pool);
                return;
            }
        };
        if let Some((cluster, endpoint)) = sent.watched {
            self.request_started(env, cluster, endpoint);
        }
        let upstream = sent.upstream;
        self.push(sent.target, Action::Dispatch { attempt, upstream });
        if sent.timed {
            self.arm_try_timers(env, attempt);
        }
    }

    /// A try is done with its connection. On HTTP/1 a connection whose response was not read whole is of no further use.
    #[inline(always)]
    pub(super) fn release_connection<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        attempt: AttemptId,
        (priority, rtt): (usize, Option<Duration>),
        upstream: UpstreamId,
        reusable: bool,
    ) {
        let Self {
            clusters,
            upstreams,
            ..
        } = self;
        let Some(up) = upstreams.get_mut(upstream) else {
            return;
        };
        let (cluster_id, endpoint, pool_number) = (up.cluster, up.endpoint, up.pool);
        up.active -= 1;
        if up.current == Some(attempt) {
            up.current = None;
        }
        up.idle_since = env.now;
        let (idle, draining) = (up.active == 0, up.state == Standing::Draining);
        let cluster = clusters[cluster_id.0 as usize]
            .as_deref_mut()
            .expect("the pool is in it");
        let limits = ConcurrencyLimit::new(cluster.limits_at(priority));
        limits.release(env.shared, Resource::Requests);
        let host = &mut cluster.hosts[endpoint.0 as usize];
        env.shared.sub(host.active_at(), 1);
        if cluster.times_ends
            && let Some(rtt) = rtt
        {
            let ewma = PeakEwma::new(host.latency_at());
            ewma.mix(env.shared, rtt, KONG_DECAY, env.now);
        }
        if (!reusable && !up.http2) || (draining && idle) {
            self.close_upstream(env, upstream, true);
            return;
        }
        let watch = idle && !up.idle_armed;
        // of HTTP/2, the peer may allow fewer streams than there are
        let has_room = up.active < up.max_streams;
        if !draining && !up.listed && has_room {
            up.listed = true;
            let pool = &mut host.pools[pool_number as usize];
            pool.ready.push(upstream);
            if pool.waiting > 0 {
                self.serve_waiting(env, cluster_id, endpoint, pool_number);
            }
        }
        if watch {
            self.watch_idle_upstream(env, upstream);
        }
    }

    /// Arms the idle timer of a connection without requests, if it is not armed.
    fn watch_idle_upstream<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        id: UpstreamId,
    ) {
        let Some(up) = self.upstreams.get(id) else {
            return;
        };
        if up.active > 0 {
            return;
        }
        let is_armed = up.idle_armed;
        let cluster = self.cluster(up.cluster).expect("the pool is in it");
        let config = &cluster.config.pool;
        let idle = config.idle_timeout.filter(|t| !t.value.is_zero());
        if let Some(max) = config.max_idle {
            let counted = self.idle_connections(up.cluster);
            if counted > max {
                let oldest = self.oldest_idle(up.cluster);
                if let Some(oldest) = oldest {
                    self.close_upstream(env, oldest, true);
                }
                if oldest == Some(id) {
                    return;
                }
            }
        }
        if let Some(idle) = idle.filter(|_| !is_armed) {
            let up = self.upstreams.get_mut(id).expect("found above");
            up.idle_armed = true;
            let timer = TimerId::of_upstream(TimerKind::UpstreamIdle, id);
            self.arm(Target::Upstream(id), timer, env.now, idle.value);
        }
    }

    fn idle_connections(&self, cluster: ClusterId) -> u32 {
        let idle = |up: &Upstream| up.cluster == cluster && up.active == 0 && up.listed;
        self.upstreams.iter().filter(|(_, up)| idle(up)).count() as u32
    }

    fn oldest_idle(&self, cluster: ClusterId) -> Option<UpstreamId> {
        let idle = |up: &Upstream| up.cluster == cluster && up.active == 0 && up.listed;
        let oldest = self
            .upstreams
            .iter()
            .filter(|(_, up)| idle(up))
            .min_by_key(|(raw, up)| (up.idle_since, raw.index));
        oldest.map(|(raw, _)| raw.into())
    }

    pub(super) fn upstream_idle<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        id: UpstreamId,
    ) {
        let Some(up) = self.upstreams.get_mut(id) else {
            return;
        };
        up.idle_armed = false;
        if up.active > 0 {
            return;
        }
        let (cluster, since) = (up.cluster, up.idle_since);
        let cluster = self.cluster(cluster).expect("the pool is in it");
        let Some(idle) = cluster.config.pool.idle_timeout else {
            return;
        };
        let due = since + idle.value;
        if due > env.now {
            let up = self.upstreams.get_mut(id).expect("found above");
            up.idle_armed = true;
            let timer = TimerId::of_upstream(TimerKind::UpstreamIdle, id);
            self.arm_single(Target::Upstream(id), timer, due);
        } else {
            self.close_upstream(env, id, true);
        }
    }

    /// The peer, or the connection's age, wants no more requests on it.
    pub(super) fn drain_upstream<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        id: UpstreamId,
    ) {
        let Some(up) = self.upstreams.get_mut(id) else {
            return;
        };
        if up.state != Standing::Open || up.tcp.is_some() {
            return;
        }
        up.state = Standing::Draining;
        let (cluster_id, endpoint, pool, active) = (up.cluster, up.endpoint, up.pool, up.active);
        if core::mem::take(&mut up.listed) {
            let cluster = self.cluster_mut(cluster_id).expect("the pool is in it");
            unlist(
                &mut cluster.hosts[endpoint.0 as usize].pools[pool as usize],
                id,
            );
        }
        if active == 0 {
            self.close_upstream(env, id, true);
        }
    }

    pub(super) fn connect_timeout<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        id: UpstreamId,
    ) {
        let connecting = |up: &Upstream| up.state == Standing::Connecting;
        if self.upstreams.get(id).is_some_and(connecting) {
            self.push(Target::Upstream(id), Action::CloseUpstream);
            self.connect_failed(env, id, AttemptFailure::ConnectTimeout);
        }
    }

    /// A connection could not be opened.
    pub(super) fn connect_failed<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        id: UpstreamId,
        failure: AttemptFailure,
    ) {
        let Some(up) = self.upstreams.get(id) else {
            return;
        };
        if up.state != Standing::Connecting {
            return;
        }
        let (cluster_id, endpoint, pool, tcp) = (up.cluster, up.endpoint, up.pool, up.tcp);
        self.forget_upstream(env, id);
        if let Some((downstream, tries)) = tcp {
            if let Some(conversation) = self.conversation(downstream) {
                conversation.failed(failure);
            }
            self.carry_failed(env, downstream, cluster_id, endpoint, tries);
            return;
        }
        let cluster = self.cluster_mut(cluster_id).expect("the pool is in it");
        let pool = &mut cluster.hosts[endpoint.0 as usize].pools[pool as usize];
        let waiting = core::mem::take(&mut pool.pending);
        for attempt in waiting {
            if self.still_waits(attempt) {
                self.leave_waiting(env, attempt);
                self.attempt_failed(env, attempt, failure);
            }
        }
    }

    /// Takes a connection out of all books.
    fn forget_upstream<S: SharedState, H>(
        &mut self,
        env: &mut Env<'_, S, H>,
        id: UpstreamId,
    ) -> Option<Upstream> {
        let up = self.upstreams.remove(id)?;
        let cluster = self.cluster_mut(up.cluster).expect("the pool is in it");
        let host = &mut cluster.hosts[up.endpoint.0 as usize];
        host.connections -= 1;
        let mut priority = 0;
        if up.tcp.is_none() {
            let pool = &mut host.pools[up.pool as usize];
            pool.connections -= 1;
            priority = usize::from(pool.high_priority);
            if up.state == Standing::Connecting {
                let expected = up.max_streams.min(up.remaining);
                pool.connecting = pool.connecting.saturating_sub(expected);
            }
            if up.listed {
                unlist(pool, id);
            }
        }
        let limits = ConcurrencyLimit::new(cluster.limits_at(priority));
        limits.release(env.shared, Resource::Connections);
        Some(up)
    }

    /// Closes a connection, or forgets one that was closed by the peer, and opens another where requests wait.
    pub(super) fn close_upstream<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        id: UpstreamId,
        by_us: bool,
    ) {
        let Some(up) = self.forget_upstream(env, id) else {
            return;
        };
        if by_us {
            self.push(Target::Upstream(id), Action::CloseUpstream);
        }
        if up.tcp.is_none() {
            self.open_for_waiting(env, up.cluster, up.endpoint, up.pool);
        }
    }

    /// The peer closed a connection: its tries fail with it.
    /// How a try fails whose connection is closed: on HTTP/1 a response that ends too soon is none.
    ///
    /// Source: 1.40.0, whose codec takes the end of a connection within a message for an error of the protocol.
    fn closed_under(&self, attempt: AttemptId, http2: bool) -> AttemptFailure {
        let exchange = self.exchanges.get(attempt.exchange);
        let entry = exchange.and_then(|exchange| exchange.attempt(attempt.number));
        let carries = exchange.is_some_and(|it| it.passage == Passage::Open);
        match entry.map(|entry| entry.stage) {
            Some(AttemptStage::Responding) if !http2 && !carries => AttemptFailure::Protocol,
            _ => AttemptFailure::Terminated,
        }
    }

    pub(super) fn upstream_closed<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        id: UpstreamId,
    ) {
        let Some(up) = self.upstreams.get(id) else {
            return;
        };
        if up.state == Standing::Connecting {
            self.connect_failed(env, id, AttemptFailure::ConnectRefused);
            return;
        }
        if let Some((downstream, _)) = up.tcp {
            self.forget_upstream(env, id);
            self.uncarry(env, downstream);
            return;
        }
        let mut dying: smallvec::SmallVec<[AttemptId; 4]> = smallvec::SmallVec::new();
        if up.http2 && up.active > 0 {
            for (of, exchange) in self.exchanges.iter() {
                let on_it = exchange.attempts.iter().filter(|a| a.upstream == Some(id));
                dying.extend(on_it.map(|a| AttemptId {
                    exchange: of,
                    number: a.number,
                }));
            }
        } else {
            dying.extend(up.current);
        }
        // no more requests come onto it while its own ones fail
        let up = self.upstreams.get_mut(id).expect("found above");
        let http2 = up.http2;
        up.state = Standing::Draining;
        let (cluster_id, endpoint, pool) = (up.cluster, up.endpoint, up.pool);
        up.active += 1;
        if core::mem::take(&mut up.listed) {
            let cluster = self.cluster_mut(cluster_id).expect("the pool is in it");
            unlist(
                &mut cluster.hosts[endpoint.0 as usize].pools[pool as usize],
                id,
            );
        }
        for attempt in dying {
            let failure = self.closed_under(attempt, http2);
            self.attempt_failed(env, attempt, failure);
        }
        self.close_upstream(env, id, false);
    }

    /// Carries a connection's bytes: chooses an endpoint and dials it. `tries` were made before.
    pub(super) fn carry<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        downstream: DownstreamId,
        tries: u32,
    ) {
        let down = self.downstreams.get(downstream).expect("the caller has it");
        let (place, key, destination) = (down.place, down.key, down.accept.destination);
        let tcp = env
            .configs
            .tcp(place)
            .expect("a carried connection has such a chain");
        let origin = tcp.origin;
        let index = weighted(&tcp.clusters, key);
        let id = env.configs.cluster_id(place.config, place.section, index);
        self.make_cluster(env, id, (place.config, place.section, index));
        let picked = self.pick_for_connection(env, id, key.child(u64::from(tries)), destination);
        if let Some(conversation) = self.conversation(downstream) {
            conversation.chose((id, index), picked);
        }
        let Some(endpoint) = picked else {
            self.close_downstream(env, downstream, CloseReason::UpstreamFailed, origin);
            return;
        };
        let cluster = self.cluster_mut(id).expect("just made");
        cluster.had_traffic(env.shared);
        let limits = ConcurrencyLimit::new(cluster.limits_at(0));
        let max = cluster.config.limits[0].connections;
        if !limits.try_take(env.shared, Resource::Connections, u64::from(max.value)) {
            if let Some(conversation) = self.conversation(downstream) {
                conversation.overflows();
            }
            self.close_downstream(env, downstream, CloseReason::UpstreamFailed, max.origin);
            return;
        }
        let timeout = cluster.config.connect_timeout;
        let host = &mut cluster.hosts[endpoint.0 as usize];
        host.connections += 1;
        let address = host.address;
        let up: UpstreamId = self
            .upstreams
            .insert(Upstream {
                cluster: id,
                endpoint,
                pool: 0,
                state: Standing::Connecting,
                http2: false,
                max_streams: 1,
                active: 0,
                remaining: 1,
                current: None,
                tcp: Some((downstream, tries)),
                listed: false,
                idle_since: env.now,
                idle_armed: false,
            })
            .into();
        if let Some(down) = self.downstreams.get_mut(downstream) {
            down.stage = Stage::Tcp(Some(up));
        }
        self.push(Target::Upstream(up), Action::Connect { address });
        let timer = TimerId::of_upstream(TimerKind::Connect, up);
        self.arm(Target::Upstream(up), timer, env.now, timeout.value);
    }

    fn carry_failed<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        downstream: DownstreamId,
        cluster: ClusterId,
        endpoint: EndpointSlot,
        tries: u32,
    ) {
        let report = super::judgement::Report::Failed {
            failure: AttemptFailure::ConnectRefused,
        };
        self.report(env, cluster, endpoint, report);
        let Some(down) = self.downstreams.get_mut(downstream) else {
            return;
        };
        down.stage = Stage::Tcp(None);
        let tcp = env
            .configs
            .tcp(down.place)
            .expect("a carried connection has such a chain");
        if tries < tcp.connect_retries {
            self.carry(env, downstream, tries + 1);
        } else {
            let origin = tcp.origin;
            if let Some(conversation) = self.conversation(downstream) {
                conversation.exhausted();
            }
            self.close_downstream(env, downstream, CloseReason::UpstreamFailed, origin);
        }
    }

    fn conversation(&mut self, downstream: DownstreamId) -> Option<&mut Conversation> {
        self.downstreams.get_mut(downstream)?.conversation()
    }

    /// The upstream half of a carried connection is gone.
    fn uncarry<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        downstream: DownstreamId,
    ) {
        if let Some(down) = self.downstreams.get_mut(downstream) {
            down.stage = Stage::Tcp(None);
            self.close_downstream(env, downstream, CloseReason::UpstreamFailed, OriginId::NONE);
        }
    }
}

/// The cluster that a draw of this key gives, by weight.
pub(super) fn weighted(clusters: &[(ClusterIndex, u32)], key: DrawKey) -> ClusterIndex {
    let total: u64 = clusters.iter().map(|(_, w)| u64::from(*w)).sum();
    let mut left = key.below(Purpose::ClusterWeight, 0, total);
    let chosen = clusters.iter().find(|(_, weight)| {
        let taken = left < u64::from(*weight);
        left = left.saturating_sub(u64::from(*weight));
        taken
    });
    let (index, _) = *chosen.expect("weights are above zero");
    index
}

/// What came of a try's search for a connection.
pub(super) enum Found {
    /// The try is on one.
    Sent(Sent),
    /// There is one, but as many requests as may be are under way.
    TooMany,
    /// None with room in this pool of the endpoint.
    Nothing { pool: u16 },
}

/// A try on its connection, and what is to be done about it.
pub(super) struct Sent {
    target: Target,
    upstream: UpstreamId,
    /// The endpoint, where its requests are watched.
    watched: Option<(ClusterId, EndpointSlot)>,
    /// Whether the try's own timers begin now.
    timed: bool,
}

/// Puts a try that has its endpoint on a connection, if one has room.
#[inline(always)]
pub(super) fn find_connection<S: SharedState, H>(
    placing: &mut Placing<'_>,
    env: &mut Env<'_, S, H>,
    attempt: AttemptId,
    endpoint: EndpointSlot,
) -> Found {
    let (exchange, cluster) = (&*placing.exchange, &mut *placing.cluster);
    let config = &cluster.config;
    let http2 = match config.protocol {
        UpstreamProtocol::Http1 => false,
        UpstreamProtocol::Http2 => true,
        UpstreamProtocol::Downstream => exchange.http2,
    };
    if let Some(interval) = budget_interval(config, exchange.priority()) {
        cluster.window().record(env.shared, interval, env.now);
    }
    let host = &mut cluster.hosts[endpoint.0 as usize];
    let (http2, bytes) = match exchange.passage {
        Passage::No | Passage::Open => (http2, false),
        Passage::Asked(wish) => (http2 && speaks_http2(exchange, wish), wish == Wish::Tunnel),
    };
    let kind = (http2, exchange.high_priority, bytes);
    let (pool, room) = match config.preface {
        None => host.pool(kind),
        Some(_) => {
            let down = exchange
                .downstream
                .and_then(|id| placing.downstreams.get(id));
            let Some(found) = host.pool_for(kind, down.map(Downstream::ends)) else {
                return Found::TooMany;
            };
            found
        }
    };
    let Some(&upstream) = room.ready.last() else {
        return Found::Nothing { pool };
    };
    let found = occupy(placing, env, attempt, endpoint, pool, upstream);
    let id = (attempt.exchange, placing.exchange.token);
    let decision = Decision::Connection(ConnectionChoice::Reused);
    placing.actions.decided(id, decision, OriginId::NONE);
    found
}

/// Puts a try on a connection of this pool that has room.
#[inline(always)]
fn occupy<S: SharedState, H>(
    placing: &mut Placing<'_>,
    env: &mut Env<'_, S, H>,
    attempt: AttemptId,
    endpoint: EndpointSlot,
    pool: u16,
    upstream: UpstreamId,
) -> Found {
    let Placing {
        exchange,
        cluster,
        upstreams,
        ..
    } = placing;
    let priority = exchange.priority();
    let limits = ConcurrencyLimit::new(cluster.limits_at(priority));
    let max = u64::from(cluster.config.limits[priority].requests.value);
    if !limits.try_take(env.shared, Resource::Requests, max) {
        return Found::TooMany;
    }
    let up = upstreams
        .get_mut(upstream)
        .expect("a listed connection stands");
    up.active += 1;
    up.remaining -= u32::from(up.remaining != u32::MAX);
    up.current = Some(attempt);
    if up.remaining == 0 {
        up.state = Standing::Draining;
    }
    let host = &mut cluster.hosts[endpoint.0 as usize];
    env.shared.add(host.active_at(), 1);
    if up.active >= up.max_streams || up.remaining == 0 {
        up.listed = false;
        unlist(&mut host.pools[pool as usize], upstream);
    }
    let timed = exchange.is_timed() && exchange.has_try_timers();
    let entry = exchange
        .attempt_mut(attempt.number)
        .expect("it is given a connection");
    entry.pool = pool;
    entry.upstream = Some(upstream);
    entry.stage = AttemptStage::Sent;
    entry.sent = env.now;
    entry.last_activity = env.now;
    if let Some(log) = &mut exchange.log {
        let connection = (upstream, up.http2);
        log.sent(attempt.number, endpoint, connection, env.now);
    }
    Found::Sent(Sent {
        target: Target::Exchange(attempt.exchange, exchange.token),
        upstream,
        watched: cluster.watched.then_some((up.cluster, endpoint)),
        timed,
    })
}

/// Whether a wish may be told over HTTP/2.
///
/// Source: linkerd2-proxy `linkerd/proxy/http/src/orig_proto.rs`: requests that upgrade do not travel on HTTP/2 between proxies.
#[cold]
fn speaks_http2(exchange: &Exchange, wish: Wish) -> bool {
    match wish {
        Wish::Tunnel => false,
        Wish::Connect => true,
        Wish::WebSocket | Wish::Other => exchange.replies != ReplyProfile::Linkerd,
    }
}

/// The time over which the cluster's budget counts requests, if it has such a one.
fn budget_interval(config: &Cluster, priority: usize) -> Option<Duration> {
    match config.budget_of(priority)?.value {
        RetryBudget::Concurrency(budget) => budget.interval,
        RetryBudget::Rate(_) => None,
    }
}

/// Takes a connection out of the list of those with room; it is mostly the last.
#[inline(always)]
fn unlist(pool: &mut Pool, id: UpstreamId) {
    if pool.ready.last() == Some(&id) {
        pool.ready.pop();
    } else {
        unlist_inner(pool, id);
    }
}

#[cold]
fn unlist_inner(pool: &mut Pool, id: UpstreamId) {
    if let Some(at) = pool.ready.iter().rposition(|ready| *ready == id) {
        pool.ready.remove(at);
    }
}
