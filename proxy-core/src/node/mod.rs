//! One proxy: what goes in, what comes out, and the machine between.
//!
//! A driver calls [`Node::accept`], [`Node::request`] and [`Node::handle`], and after each call takes actions with
//! [`Node::poll_action`] until there are none. One call may wake other exchanges: a connection that became free serves
//! the next request in its queue.
//!
//! The steps of the common path (a request whose connection is warm, a response that is no failure) are inlined into one
//! another, allocate nothing, and look each thing up once; what leaves that path goes to a function of its own.

mod attempts;
mod body;
mod cluster;
mod configs;
mod contract;
mod conversations;
mod cors;
mod downstream;
mod endpoints;
mod exchange;
mod exchanges;
mod gates;
mod hash;
mod heads;
mod inspect;
mod judgement;
mod lists;
mod logging;
mod machine;
mod outlet;
mod pool;
mod rules;
mod sessions;
mod sticky;
#[cfg(test)]
mod tests;
mod timers;
mod tracing;
mod upgrades;

use core::net::SocketAddr;
use std::sync::Arc;

pub use contract::{
    Accept, Action, Arrival, ConnectPlan, Cx, Datagram, EditKey, Ends, HandshakePlan,
    HealthCheckId, Identity, Input, Peek, PeekedProtocol, Request, ResetCause, RouteRef,
    SessionPlan, Side, Target, TimerClass, TimerId, TlsHello, TlsPlan, Update,
};

pub use downstream::select_chain;
pub use heads::Arrived;
pub use inspect::{Active, ClusterView, EndpointView};
pub use logging::Record;
pub use outlet::Outlet;

use configs::Configs;
use contract::TimerKind;
use machine::{Env, Machine, Standing};

use crate::config::{
    Cluster, DownstreamTransport, FilterChain, Listener, NodeConfig, NodeKind, RouteTable,
};
use crate::draw::DrawKey;
use crate::event::{AttemptFailure, Detail};
use crate::heads::Heads;
use crate::ids::{
    AttemptId, ClusterId, DownstreamId, EndpointSlot, ExchangeId, SessionId, UpstreamId,
};
use crate::shared::SharedState;

/// One gateway or sidecar.
#[derive(Clone, Debug)]
pub struct Node {
    configs: Configs,
    machine: Machine,
}

impl Node {
    /// A node that has seen nothing yet.
    #[must_use]
    pub fn new(identity: Identity, config: Arc<NodeConfig>) -> Self {
        let salt = salt_of(&config);
        Self {
            configs: Configs::new(config),
            machine: Machine::new(identity, salt),
        }
    }

    /// How much the node tells of what it does; [`Detail::Statistics`] unless set.
    pub const fn set_detail(&mut self, detail: Detail) {
        self.machine.actions.detail = detail;
    }

    /// Begins what runs without being asked: active health checks. Only the elected node of a process has any.
    pub fn start<S: SharedState, H: Heads>(&mut self, cx: &mut Cx<'_, S, H>) {
        let (machine, mut env) = self.split(cx);
        machine.start_checks(&mut env);
    }

    fn split<'e, S, H>(&'e mut self, cx: &'e mut Cx<'_, S, H>) -> (&'e mut Machine, Env<'e, S, H>) {
        let env = Env {
            now: cx.now,
            shared: cx.shared,
            heads: cx.heads,
            configs: &self.configs,
        };
        (&mut self.machine, env)
    }

    /// Takes a connection in.
    pub fn accept<S: SharedState, H: Heads>(
        &mut self,
        cx: &mut Cx<'_, S, H>,
        accept: Accept,
    ) -> DownstreamId {
        let (machine, mut env) = self.split(cx);
        machine.accept(&mut env, accept)
    }

    /// Takes a request in. On a connection that is gone, or does not serve HTTP, it ends at once.
    pub fn request<S: SharedState, H: Heads>(
        &mut self,
        cx: &mut Cx<'_, S, H>,
        request: Request,
    ) -> ExchangeId {
        let (machine, mut env) = self.split(cx);
        machine.request(&mut env, &request)
    }

    /// Takes a client's datagram in: gives the session that carries it, begun if there was none; none: it is dropped, as was recorded.
    /// Of one that the driver does not know yet, [`Node::session`] has the particulars.
    pub fn datagram<S: SharedState, H: Heads>(
        &mut self,
        cx: &mut Cx<'_, S, H>,
        datagram: Datagram,
    ) -> Option<SessionId> {
        let (machine, mut env) = self.split(cx);
        machine.datagram(&mut env, datagram)
    }

    /// Takes in anything else. Inputs for what is gone are ignored.
    pub fn handle<S: SharedState, H: Heads>(&mut self, cx: &mut Cx<'_, S, H>, input: Input<'_>) {
        let (machine, mut env) = self.split(cx);
        let env = &mut env;
        match input {
            Input::Peeked { downstream, peek } => machine.peeked(env, downstream, &peek),
            Input::Shaken { downstream, peer } => machine.shaken(env, downstream, peer),
            Input::DownstreamClosed { downstream } => machine.drop_downstream(env, downstream),
            Input::Carried { downstream, last } => machine.bytes_carried(downstream, last),
            Input::RequestData { exchange, bytes } => machine.request_data(env, exchange, bytes),
            Input::RequestEnd { exchange } => machine.request_end(env, exchange),
            Input::RequestBroken { exchange } => machine.request_broken(env, exchange),
            Input::DownstreamReset { exchange } => machine.client_gone(env, exchange),
            Input::Connected {
                upstream,
                http2,
                max_streams,
            } => machine.connected(env, upstream, http2, max_streams),
            Input::UpstreamStreams { upstream, max } => {
                machine.streams_allowed(env, upstream, max);
            }
            Input::ConnectFailed { upstream } => {
                machine.connect_failed(env, upstream, AttemptFailure::ConnectRefused);
            }
            Input::UpstreamClosed { upstream } => machine.upstream_closed(env, upstream),
            Input::UpstreamDraining { upstream } => machine.drain_upstream(env, upstream),
            Input::UpstreamHead {
                attempt, head, end, ..
            } => machine.upstream_head(env, attempt, head, end),
            Input::UpstreamData { attempt, bytes } => machine.upstream_data(env, attempt, bytes),
            Input::UpstreamEnd {
                attempt,
                grpc_status,
            } => machine.upstream_end(env, attempt, grpc_status),
            Input::UpstreamReset { attempt, cause } => machine.upstream_reset(env, attempt, cause),
            Input::Backpressure {
                exchange,
                side,
                full,
            } => machine.backpressure(exchange, side, full),
            Input::Timer { id } => timer(machine, env, id),
            Input::HealthChecked { check, status } => machine.health_checked(env, check, status),
            Input::Answered { session } => machine.answered(env, session),
            Input::SessionFailed { session } => machine.session_failed(env, session),
            Input::Drain => machine.drain(env),
        }
        self.forget_configs();
    }

    /// Puts a new configuration or new endpoints in force. State survives by the names of clusters and listeners and the
    /// addresses of endpoints; exchanges under way keep their route.
    pub fn update<S: SharedState, H: Heads>(&mut self, cx: &mut Cx<'_, S, H>, update: Update<'_>) {
        match update {
            Update::Config(config) => self.put(cx, config),
            Update::ConfigWith { config, endpoints } => {
                let sets = endpoints.iter().cloned();
                self.machine.later.extend(sets);
                self.put(cx, config);
                // those of clusters that have not changed otherwise
                for (cluster, set) in endpoints {
                    let (machine, mut env) = self.split(cx);
                    if machine.later.remove(cluster).is_some() {
                        machine.set_endpoints(&mut env, cluster, Arc::clone(set));
                    }
                }
            }
            Update::Endpoints { cluster, set } => {
                let (machine, mut env) = self.split(cx);
                machine.set_endpoints(&mut env, cluster, set);
            }
        }
        self.forget_configs();
    }

    fn put<S: SharedState, H: Heads>(&mut self, cx: &mut Cx<'_, S, H>, config: Arc<NodeConfig>) {
        self.configs.put(config);
        self.machine.users.resize(self.configs.count(), 0);
        let (machine, mut env) = self.split(cx);
        machine.reconfigure(&mut env);
    }

    #[inline]
    fn forget_configs(&mut self) {
        if self.configs.count() > 1 {
            self.forget_unused_configs();
        }
    }

    #[cold]
    fn forget_unused_configs(&mut self) {
        for config in 0..self.configs.count() as u32 {
            if self.machine.users[config as usize] == 0 {
                self.configs.forget(config);
            }
        }
    }

    /// The next thing for the driver to do; none: nothing more for now.
    #[inline]
    pub fn poll_action(&mut self) -> Option<(Target, Action)> {
        let next = self.machine.actions.pop();
        if next.is_none() {
            self.forget_answered();
        }
        next
    }

    /// All that the driver has to do, in `into`, which must be empty; false: nothing for now. More may come of what is done, and
    /// what is done for a copy's exchange has the token of [`Node::set_token`] only if that came before: see to it.
    #[inline]
    pub fn take_actions(&mut self, into: &mut Vec<(Target, Action)>) -> bool {
        let some = self.machine.actions.take(into);
        if !some {
            self.forget_answered();
        }
        some
    }

    /// All that the driver was asked to do is done: the heads of its answers are written.
    #[inline]
    fn forget_answered(&mut self) {
        while let Some(answered) = self.machine.answered.pop() {
            self.machine.leave_config(answered.answer.place.config);
        }
        while let Some(logged) = self.machine.logged.pop() {
            self.machine.leave_config(logged.place.config);
        }
    }

    /// The particulars of a handshake that was asked for.
    #[must_use]
    pub fn handshake(&self, downstream: DownstreamId) -> Option<HandshakePlan<'_>> {
        let down = self.machine.downstreams.get(downstream)?;
        match &self.configs.chain(down.place).transport {
            DownstreamTransport::Plaintext => None,
            DownstreamTransport::Tls {
                mutual,
                alpn,
                certificate,
            } => Some(HandshakePlan {
                mutual: *mutual,
                alpn,
                certificate,
            }),
        }
    }

    /// The listener that took a connection, and the filter chain once one was chosen; none for a connection that is gone.
    #[must_use]
    pub fn taken_by(&self, downstream: DownstreamId) -> Option<(&Listener, Option<&FilterChain>)> {
        let down = self.machine.downstreams.get(downstream)?;
        let section = self.configs.section(down.place.config, down.place.section);
        let listener = section.listeners().get(down.place.listener as usize)?;
        let chosen = down.stage != machine::Stage::Peeking;
        let chain = listener.chains.get(down.place.chain as usize);
        Some((listener, chain.filter(|_| chosen)))
    }

    /// The listener of the configuration in force that takes connections of this kind; none: they are closed.
    #[must_use]
    pub fn listener_for(&self, arrival: Arrival, destination: SocketAddr) -> Option<&Listener> {
        let config = self.config();
        let (section, at) = downstream::find_listener(config, arrival, destination)?;
        config.sections[usize::from(section)]
            .listeners()
            .get(at as usize)
    }

    /// The route table that serves the requests of a connection; none where it does not serve HTTP.
    #[must_use]
    pub fn table_of(&self, downstream: DownstreamId) -> Option<&RouteTable> {
        let down = self.machine.downstreams.get(downstream)?;
        let http =
            (down.stage == machine::Stage::Http).then(|| self.configs.http(down.place))??;
        let section = self.configs.section(down.place.config, down.place.section);
        section.tables().get(http.table.0 as usize)
    }

    /// The particulars of a connection that is to be opened.
    #[must_use]
    pub fn connect(&self, upstream: UpstreamId) -> Option<ConnectPlan<'_>> {
        let up = self.machine.upstreams.get(upstream)?;
        let cluster = self.machine.cluster(up.cluster)?;
        let host = &cluster.hosts[up.endpoint.0 as usize];
        let tls = outlet::tls(&cluster.config.transport, host.identity.as_deref());
        Some(ConnectPlan {
            cluster: up.cluster,
            endpoint: up.endpoint,
            http2: up.http2 || (up.state == Standing::Connecting && up.max_streams > 1),
            tls,
            tcp: up.tcp.is_some() || host.carries_bytes(up.pool),
            source: cluster.config.source_address,
            preface: cluster.config.preface.map(|version| {
                let ends = match up.tcp {
                    Some((downstream, _)) => {
                        let down = self.machine.downstreams.get(downstream);
                        down.map(machine::Downstream::ends)
                    }
                    None => host.pools.get(usize::from(up.pool)).and_then(|it| it.ends),
                };
                (version, ends)
            }),
        })
    }

    /// The particulars of a session; none: it is over.
    #[must_use]
    pub fn session(&self, session: SessionId) -> Option<SessionPlan<'_>> {
        let session = self.machine.sessions.get(session)?;
        let cluster = self.machine.cluster(session.cluster)?;
        Some(SessionPlan {
            client: session.ends.source,
            local: session.ends.destination,
            cluster: session.cluster,
            endpoint: cluster.hosts[session.endpoint.0 as usize].address,
            source: cluster.config.source_address,
            route: self.configs.udp(session.place)?,
        })
    }

    /// How many sessions there are.
    #[must_use]
    pub const fn sessions(&self) -> usize {
        self.machine.sessions.len()
    }

    /// Whether tries are on a connection.
    #[must_use]
    pub fn is_used(&self, upstream: UpstreamId) -> bool {
        let up = self.machine.upstreams.get(upstream);
        up.is_some_and(|up| up.active > 0 && up.tcp.is_none())
    }

    /// The driver's own number for the client's connection whose bytes an upstream connection carries; none for one with requests.
    #[must_use]
    pub fn carried(&self, upstream: UpstreamId) -> Option<u64> {
        let (downstream, _) = self.machine.upstreams.get(upstream)?.tcp?;
        Some(self.machine.downstreams.get(downstream)?.token)
    }

    /// Whether a timer that was set is still wanted: what a driver keeps of its lanes when it clears them up.
    #[must_use]
    pub fn is_armed(&self, id: TimerId) -> bool {
        is_armed(&self.machine, id)
    }

    /// Names the draws of what a try causes at its endpoint. A first try leaves the key of its request as it is, so that a call finds
    /// the same chances however many proxies stand on its way; later tries have keys of their own.
    #[must_use]
    #[inline]
    pub fn draw_key(&self, attempt: AttemptId) -> Option<DrawKey> {
        let path = self.machine.exchanges.get(attempt.exchange)?.path;
        Some(match attempt.number {
            1 => path,
            number => path.child(u64::from(number)),
        })
    }

    /// Gives a child exchange the driver's own number.
    pub fn set_token(&mut self, exchange: ExchangeId, token: u64) {
        if let Some(exchange) = self.machine.exchanges.get_mut(exchange) {
            exchange.token = token;
        }
        for target in self.machine.actions.targets_mut() {
            if let Target::Exchange(id, old) = target
                && *id == exchange
            {
                *old = token;
            }
        }
    }

    /// The configuration in force.
    #[must_use]
    pub fn config(&self) -> &NodeConfig {
        self.configs.config(self.configs.current())
    }

    /// A cluster that has been used.
    #[must_use]
    pub fn cluster(&self, id: ClusterId) -> Option<&Cluster> {
        Some(&self.machine.cluster(id)?.config)
    }

    /// Where an endpoint of a used cluster is.
    #[must_use]
    pub fn endpoint(&self, cluster: ClusterId, slot: EndpointSlot) -> Option<SocketAddr> {
        let cluster = self.machine.cluster(cluster)?;
        Some(cluster.hosts.get(slot.0 as usize)?.address)
    }

    /// Whether the body of a request may yet be sent once more, or to a copy of it: what a driver may forget otherwise.
    #[must_use]
    pub fn keeps_body(&self, exchange: ExchangeId) -> bool {
        let (exchanges, copies) = (&self.machine.exchanges, &self.machine.copies);
        let found = copies.iter().find(|(_, copy)| *copy == exchange);
        let asked = found.map_or(exchange, |(asked, _)| *asked);
        // a request and its copies have one body, whichever of them the driver asks for
        let waits = |id| exchanges.get(id).is_some_and(|e| e.has_try_to_send());
        let again = exchanges.get(asked).is_some_and(|e| {
            let forward = e.forward(&self.configs);
            let copied =
                || !e.request_done && forward.is_some_and(|forward| !forward.mirrors.is_empty());
            e.retained && (e.retries_left > 0 || e.attempts.is_empty() || copied())
        });
        let mut all = copies.iter().filter(|(of, _)| *of == asked);
        again || waits(asked) || all.any(|(_, copy)| waits(*copy))
    }

    /// Requests under way.
    #[must_use]
    pub fn exchanges(&self) -> usize {
        self.machine.exchanges.len()
    }

    /// Connections to endpoints.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.machine.upstreams.len()
    }
}

/// What tells the draws of proxies on one request's way apart: the name, so that all replicas of a proxy draw alike. FNV-1a, 64 bits.
fn salt_of(config: &NodeConfig) -> u64 {
    let kind = match config.kind {
        NodeKind::Gateway => 0,
        NodeKind::Sidecar => 1,
    };
    let bytes = config.name.bytes().chain([kind]);
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn timer<S: SharedState, H: Heads>(machine: &mut Machine, env: &mut Env<'_, S, H>, id: TimerId) {
    match id.kind {
        TimerKind::Route => machine.route_timeout(env, id.exchange()),
        TimerKind::PerTry => machine.per_try_timeout(env, id.attempt()),
        TimerKind::PerTryIdle => machine.per_try_idle(env, id.attempt()),
        TimerKind::Backoff => machine.backoff_over(env, id.attempt()),
        TimerKind::StreamIdle => machine.stream_idle(env, id.exchange()),
        TimerKind::MaxStream => machine.stream_too_long(env, id.exchange()),
        TimerKind::RequestArrival => machine.request_late(env, id.exchange()),
        TimerKind::FaultDelay => machine.fault_delay_over(env, id.exchange()),
        TimerKind::QueueWait => machine.queue_wait_over(env, id.cluster()),
        TimerKind::Connect => machine.connect_timeout(env, id.upstream()),
        TimerKind::UpstreamIdle => machine.upstream_idle(env, id.upstream()),
        TimerKind::UpstreamAge => machine.drain_upstream(env, id.upstream()),
        TimerKind::DownstreamIdle => machine.downstream_idle(env, id.downstream()),
        TimerKind::DownstreamDrain => machine.drain_over(env, id.downstream()),
        TimerKind::DownstreamAge => machine.downstream_aged(env, id.downstream()),
        TimerKind::CarriedIdle => machine.carried_idle(env, id.downstream()),
        TimerKind::CarriedLog => machine.carried_goes_on(env, id.downstream()),
        TimerKind::OutlierSweep => machine.sweep(env, id.cluster(), id),
        TimerKind::AccrualEnd => machine.penalty_over(env, id.cluster(), id.endpoint()),
        TimerKind::PassiveEnd => machine.passive_over(env, id.cluster(), id.endpoint()),
        TimerKind::GateDelay => machine.gate_delay_over(env, id.exchange()),
        TimerKind::HealthCheck => machine.check_due(env, id.cluster(), id.endpoint(), id),
        TimerKind::SessionIdle => machine.session_idle(env, id.session()),
        TimerKind::HealthCheckTimeout => machine.check_late(env, id.cluster(), id.endpoint(), id),
    }
}

fn is_armed(machine: &Machine, id: TimerId) -> bool {
    let exchange = || machine.exchanges.get(id.exchange());
    let attempt = || exchange().and_then(|e| e.attempt(id.attempt().number));
    match id.kind {
        TimerKind::Route => exchange().is_some_and(|e| e.route_armed),
        TimerKind::PerTry => attempt().is_some_and(|a| a.per_try_armed),
        TimerKind::PerTryIdle => attempt().is_some(),
        TimerKind::Backoff => exchange().is_some_and(|e| e.backing_off),
        TimerKind::StreamIdle
        | TimerKind::MaxStream
        | TimerKind::FaultDelay
        | TimerKind::GateDelay => exchange().is_some(),
        TimerKind::RequestArrival => exchange().is_some_and(|e| !e.request_done),
        TimerKind::Connect => machine
            .upstreams
            .get(id.upstream())
            .is_some_and(|u| u.state == Standing::Connecting),
        TimerKind::UpstreamIdle | TimerKind::UpstreamAge => {
            machine.upstreams.get(id.upstream()).is_some()
        }
        TimerKind::SessionIdle => machine.sessions.get(id.session()).is_some(),
        TimerKind::DownstreamIdle
        | TimerKind::DownstreamDrain
        | TimerKind::DownstreamAge
        | TimerKind::CarriedIdle
        | TimerKind::CarriedLog => machine.downstreams.get(id.downstream()).is_some(),
        TimerKind::QueueWait
        | TimerKind::OutlierSweep
        | TimerKind::AccrualEnd
        | TimerKind::PassiveEnd
        | TimerKind::HealthCheck
        | TimerKind::HealthCheckTimeout => true,
    }
}
