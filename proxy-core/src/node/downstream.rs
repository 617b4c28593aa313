//! Connections from clients: which listener and filter chain takes them, and what becomes of them.

use core::net::{IpAddr, SocketAddr};

use super::configs::Place;
use super::contract::{Accept, Action, Arrival, Peek, PeekedProtocol, Target, TimerId, TimerKind};
use super::machine::{Downstream, Env, LastHost, Machine, Stage};
use super::rules::is_plain;
use crate::config::{
    ChainAction, ChainMatch, CloseReason, DownstreamTransport, Listener, NodeConfig, ServerName,
    TransportProtocol,
};
use crate::event::Event;
use crate::heads::Heads;
use crate::ids::DownstreamId;
use crate::origin::{OriginId, Sourced};
use crate::shared::{BlockKey, SharedState};
use crate::time::Duration;

impl Machine {
    pub(super) fn accept<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        accept: Accept,
    ) -> DownstreamId {
        let config = env.configs.current();
        let in_force = env.configs.config(config);
        let found = find_listener(in_force, accept.arrival, accept.at);
        let (section, listener) = found.unwrap_or((0, 0));
        let place = Place {
            config,
            section,
            listener,
            chain: 0,
        };
        self.accepted += 1;
        let key = self.identity.key.child(self.accepted);
        let id: DownstreamId = self
            .downstreams
            .insert(Downstream {
                token: accept.token,
                accept,
                stage: Stage::Peeking,
                place,
                http2: false,
                tls: false,
                streams: 0,
                served: 0,
                draining: false,
                idle_since: env.now,
                idle_armed: false,
                counted: [None; 2],
                since: env.now,
                leaves: CloseReason::Drain,
                conversation: None,
                key,
                last_host: LastHost::default(),
                client: None,
                plain: false,
            })
            .into();
        self.use_config(config);
        if self.draining {
            self.close_downstream(env, id, CloseReason::Drain, OriginId::NONE);
            return id;
        }
        if found.is_none() {
            self.close_downstream(env, id, CloseReason::NoListener, OriginId::NONE);
            return id;
        }
        let listener = &env.configs.section(config, section).listeners()[listener as usize];
        let of_listener = listener.max_connections;
        let limits = [
            (
                listener.process_limit,
                BlockKey::Connections,
                CloseReason::ProcessLimit,
            ),
            (
                of_listener.map(|max| Sourced::new(u64::from(max.value), max.origin)),
                BlockKey::Listener(listener.name.clone()),
                CloseReason::ConnectionLimit,
            ),
        ];
        for (nth, (max, key, reason)) in limits.into_iter().enumerate() {
            let Some(max) = max else {
                continue;
            };
            let word = env.shared.block(&key, 1);
            let (before, _) = env
                .shared
                .update(word, |n| n.min(u64::MAX - 1) + u64::from(n < max.value));
            if before >= max.value {
                self.close_downstream(env, id, reason, max.origin);
                return id;
            }
            self.downstream_mut(id).counted[nth] = Some(word);
        }
        if !listener.logs.is_empty() {
            self.downstream_mut(id).conversation = Some(Box::default());
        }
        if needs_peek(listener) {
            let target = Target::Downstream(id, accept.token);
            self.push(target, Action::Peek);
        } else {
            self.choose_chain(env, id, None);
        }
        id
    }

    fn downstream_mut(&mut self, id: DownstreamId) -> &mut Downstream {
        self.downstreams
            .get_mut(id)
            .expect("the caller has just found it")
    }

    pub(super) fn peeked<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        id: DownstreamId,
        peek: &Peek<'_>,
    ) {
        if self
            .downstreams
            .get(id)
            .is_some_and(|d| d.stage == Stage::Peeking)
        {
            self.choose_chain(env, id, Some(peek));
        }
    }

    fn choose_chain<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        id: DownstreamId,
        peek: Option<&Peek<'_>>,
    ) {
        let down = self.downstream_mut(id);
        down.tls = peek.is_some_and(|p| p.tls.is_some());
        let (accept, place) = (down.accept, down.place);
        let section = env.configs.section(place.config, place.section);
        let listener = &section.listeners()[place.listener as usize];
        let Some(chain) = select_chain(listener, accept.destination, peek) else {
            let origin = nearest_origin(listener, &accept, peek);
            self.close_downstream(env, id, CloseReason::NoFilterChain, origin);
            return;
        };
        down.place.chain = chain;
        let chain = &listener.chains[chain as usize];
        down.http2 = match &chain.transport {
            DownstreamTransport::Plaintext => {
                peek.is_some_and(|p| p.protocol == PeekedProtocol::Http2)
            }
            DownstreamTransport::Tls { alpn, .. } => {
                let offered = peek.and_then(|p| p.tls).map_or(&[][..], |tls| tls.alpn);
                let agreed = alpn.iter().find(|ours| offered.contains(&&***ours));
                agreed.is_some_and(|protocol| protocol.ends_with("h2"))
            }
        };
        match chain.transport {
            DownstreamTransport::Plaintext => self.serve(env, id),
            DownstreamTransport::Tls { .. } => {
                down.stage = Stage::Shaking;
                let target = Target::Downstream(id, down.token);
                self.push(target, Action::Handshake);
            }
        }
    }

    pub(super) fn shaken<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        id: DownstreamId,
        peer: Option<&str>,
    ) {
        let Some(down) = self.downstreams.get(id) else {
            return;
        };
        if down.stage != Stage::Shaking {
            return;
        }
        let chain = env.configs.chain(down.place);
        let refused = match &chain.transport {
            DownstreamTransport::Tls { mutual, .. } => *mutual && peer.is_none(),
            DownstreamTransport::Plaintext => false,
        };
        if refused {
            self.close_downstream(env, id, CloseReason::Handshake, chain.origin);
        } else {
            self.serve(env, id);
        }
    }

    fn serve<S: SharedState, H: Heads>(&mut self, env: &mut Env<'_, S, H>, id: DownstreamId) {
        let down = self.downstream_mut(id);
        let chain = env.configs.chain(down.place);
        match &chain.action {
            ChainAction::Http(http) => {
                down.stage = Stage::Http;
                down.plain = is_plain(http);
                let target = Target::Downstream(id, down.token);
                self.push(target, Action::ServeHttp);
                self.watch_idle_downstream(env, id);
                self.watch_age(env, id);
            }
            ChainAction::Tcp(tcp) => {
                down.stage = Stage::Tcp(None);
                if !tcp.logs.all.is_empty() && down.conversation.is_none() {
                    down.conversation = Some(Box::default());
                }
                self.watch_age(env, id);
                self.carry(env, id, 0);
            }
            ChainAction::Close(reason) => {
                self.close_downstream(env, id, *reason, chain.origin);
            }
            // no connection comes to a listener for datagrams
            ChainAction::Udp(_) => {
                self.close_downstream(env, id, CloseReason::NoListener, chain.origin);
            }
        }
    }

    /// Arms the idle timer of a connection without requests, if it has one and it is not armed.
    pub(super) fn watch_idle_downstream<S, H>(&mut self, env: &Env<'_, S, H>, id: DownstreamId) {
        let Some(down) = self.downstreams.get_mut(id) else {
            return;
        };
        down.idle_since = env.now;
        if down.idle_armed || down.streams > 0 {
            return;
        }
        let idle = env.configs.http(down.place).and_then(|h| h.idle_timeout);
        if let Some(idle) = idle.filter(|t| !t.value.is_zero()) {
            down.idle_armed = true;
            let target = Target::Downstream(id, down.token);
            let timer = TimerId::of_downstream(TimerKind::DownstreamIdle, id);
            self.arm(target, timer, env.now, idle.value);
        }
    }

    pub(super) fn downstream_idle<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        id: DownstreamId,
    ) {
        let Some(down) = self.downstreams.get_mut(id) else {
            return;
        };
        down.idle_armed = false;
        if down.streams > 0 {
            return;
        }
        let Some(idle) = env.configs.http(down.place).and_then(|h| h.idle_timeout) else {
            return;
        };
        let due = down.idle_since + idle.value;
        if due > env.now {
            down.idle_armed = true;
            let target = Target::Downstream(id, down.token);
            let timer = TimerId::of_downstream(TimerKind::DownstreamIdle, id);
            self.arm_single(target, timer, due);
        } else {
            self.close_downstream(env, id, CloseReason::Idle, idle.origin);
        }
    }

    /// Closes a connection and ends all that hangs on it.
    pub(super) fn close_downstream<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        id: DownstreamId,
        reason: CloseReason,
        origin: OriginId,
    ) {
        let Some(down) = self.downstreams.get(id) else {
            return;
        };
        let target = Target::Downstream(id, down.token);
        if down.conversation.is_some() {
            self.log_end_of_connection(env, id, reason);
        }
        if reason != CloseReason::ClientGone {
            self.push(target, Action::CloseDownstream(reason));
            let down = self.downstreams.get(id);
            let carried = down.is_some_and(|down| matches!(down.stage, Stage::Tcp(_)));
            let event = Event::Closed {
                reason,
                origin,
                carried,
            };
            self.record(target, event);
        }
        self.drop_downstream(env, id);
    }

    /// Forgets a connection that is gone, with all its exchanges.
    pub(super) fn drop_downstream<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        id: DownstreamId,
    ) {
        let told = self.downstreams.get(id);
        if told.is_some_and(|down| down.conversation.is_some()) {
            self.log_end_of_connection(env, id, CloseReason::ClientGone);
        }
        let Some(down) = self.downstreams.remove(id) else {
            return;
        };
        self.leave_config(down.place.config);
        for word in down.counted.into_iter().flatten() {
            env.shared.take_one(word);
        }
        if let Stage::Tcp(Some(upstream)) = down.stage {
            self.close_upstream(env, upstream, true);
        }
        if down.streams > 0 {
            let orphans: Vec<_> = self
                .exchanges
                .iter()
                .filter(|(_, e)| e.downstream == Some(id))
                .map(|(exchange, _)| exchange)
                .collect();
            for exchange in orphans {
                self.client_gone(env, exchange);
            }
        }
    }

    /// A request of the connection is over.
    #[inline(always)]
    pub(super) fn stream_ended<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        id: DownstreamId,
    ) {
        let Some(down) = self.downstreams.get_mut(id) else {
            return;
        };
        down.streams -= 1;
        if down.streams > 0 {
            return;
        }
        if down.draining || self.draining {
            let reason = down.leaves;
            self.close_downstream(env, id, reason, OriginId::NONE);
        } else if down.idle_armed {
            down.idle_since = env.now;
        } else {
            self.watch_idle_downstream(env, id);
        }
    }

    /// Moves standing connections over to the configuration now in force: those whose listener and chain are still
    /// there go on under the new routes, the others close after their requests.
    pub(super) fn replace_connections<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
    ) {
        let current = env.configs.current();
        let ids: Vec<DownstreamId> = self.downstreams.iter().map(|(raw, _)| raw.into()).collect();
        for id in ids {
            let down = self.downstream_mut(id);
            let old = down.place;
            if let Some(place) = moved(env, old) {
                down.place = place;
                down.last_host = LastHost::default();
                down.plain = env.configs.http(place).is_some_and(is_plain);
                self.use_config(current);
                self.leave_config(old.config);
            } else {
                down.draining = true;
                if !matches!(down.stage, Stage::Tcp(_)) {
                    self.drain_downstream(env, id);
                }
            }
        }
    }

    /// Ends a connection without failing a request: its client is told as soon as it can be, and one that says nothing is waited for a
    /// while, since a request may be under way.
    pub(super) fn drain_downstream<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        id: DownstreamId,
    ) {
        let down = self.downstream_mut(id);
        let target = Target::Downstream(id, down.token);
        let (is_busy, http2, serves) = (down.streams > 0, down.http2, down.stage == Stage::Http);
        if !serves {
            // no client speaks yet
            self.close_downstream(env, id, CloseReason::Drain, OriginId::NONE);
            return;
        }
        if is_busy || http2 {
            self.push(target, Action::DrainDownstream);
        }
        if !is_busy {
            let timer = TimerId::of_downstream(TimerKind::DownstreamDrain, id);
            self.arm(target, timer, env.now, DRAIN_GRACE);
        }
    }

    /// A connection that was idle when its draining began has had its time.
    pub(super) fn drain_over<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        id: DownstreamId,
    ) {
        let down = self.downstreams.get(id).filter(|it| it.streams == 0);
        if let Some(reason) = down.map(|it| it.leaves) {
            self.close_downstream(env, id, reason, OriginId::NONE);
        }
    }
}

/// How long idle connections are left open after their draining has begun.
///
/// Source: Envoy v3 `HttpConnectionManager.drain_timeout`, 5 s, between the notice and the end; Istio 1.29 `terminationDrainDuration`, 5 s.
const DRAIN_GRACE: Duration = Duration::from_secs(5);

/// Where a place of an older configuration is in the one in force.
pub(super) fn moved<S, H>(env: &Env<'_, S, H>, old: Place) -> Option<Place> {
    let current = env.configs.current();
    let before = env.configs.section(old.config, old.section);
    let listener = &before.listeners()[old.listener as usize];
    let sections = &env.configs.config(current).sections;
    let (section, at) = sections.iter().enumerate().find_map(|(s, section)| {
        let found = |l: &Listener| l.name == listener.name && l.address == listener.address;
        Some((s as u16, section.listeners().iter().position(found)?))
    })?;
    let new = &env.configs.section(current, section).listeners()[at];
    let chain = new.chains.get(old.chain as usize)?;
    let was = &listener.chains[old.chain as usize];
    let same = chain.matches == was.matches
        && chain.transport == was.transport
        && core::mem::discriminant(&chain.action) == core::mem::discriminant(&was.action);
    same.then_some(Place {
        config: current,
        section,
        listener: at as u32,
        chain: old.chain,
    })
}

/// The listener of a configuration that takes a connection: by address or port in any section, else the rest.
pub(super) fn find_listener(
    config: &NodeConfig,
    arrival: Arrival,
    destination: SocketAddr,
) -> Option<(u16, u32)> {
    let numbered = || config.sections.iter().enumerate();
    numbered()
        .find_map(|(s, section)| Some((s as u16, section.listener(arrival, destination)?)))
        .or_else(|| {
            numbered().find_map(|(s, section)| Some((s as u16, section.rest_listener(arrival)?)))
        })
}

/// Whether the choice of a chain, or what it does, depends on a connection's first bytes.
fn needs_peek(listener: &Listener) -> bool {
    listener.chains.iter().any(|chain| {
        let m = &chain.matches;
        !m.server_names.is_empty() || m.transport.is_some() || !m.protocols.is_empty()
    }) || listener
        .chains
        .iter()
        .any(|chain| !matches!(chain.transport, DownstreamTransport::Plaintext))
}

/// How specifically a chain matches in one step; none: not at all.
type Rank<'a> = dyn Fn(&ChainMatch) -> Option<usize> + 'a;

/// The chain that takes a connection to `destination`, in Envoy's order: each step keeps the chains that match it most specifically. Without a
/// `peek` nothing is known of its first bytes.
///
/// Source: Envoy v3 `FilterChainMatch`.
#[must_use]
pub fn select_chain(
    listener: &Listener,
    destination: SocketAddr,
    peek: Option<&Peek<'_>>,
) -> Option<u32> {
    let ip = destination.ip();
    let port = destination.port();
    let tls = peek.and_then(|p| p.tls);
    let transport = if tls.is_some() {
        TransportProtocol::Tls
    } else {
        TransportProtocol::Raw
    };
    let rank_port = |m: &ChainMatch| match m.port {
        Some(p) if p == port => Some(1),
        Some(_) => None,
        None => Some(0),
    };
    let rank_address = |m: &ChainMatch| rank_destination(m, ip);
    let rank_name = |m: &ChainMatch| rank_server_name(m, tls.and_then(|t| t.sni));
    let rank_transport = |m: &ChainMatch| match m.transport {
        Some(t) if t == transport => Some(1),
        Some(_) => None,
        None => Some(0),
    };
    let rank_protocol = |m: &ChainMatch| rank_protocols(m, peek);
    let steps: [&Rank<'_>; 5] = [
        &rank_port,
        &rank_address,
        &rank_name,
        &rank_transport,
        &rank_protocol,
    ];
    let mut left: smallvec::SmallVec<[u32; 8]> = (0..listener.chains.len() as u32).collect();
    for rank in steps {
        let of = |i: &u32| rank(&listener.chains[*i as usize].matches);
        let best = left.iter().filter_map(of).max()?;
        left.retain(|i| of(i) == Some(best));
    }
    left.first().copied()
}

/// The rule that shuts a connection out which no chain takes: that of a chain for its destination which demands another beginning (a
/// STRICT one that wants TLS), else the listener's.
fn nearest_origin(listener: &Listener, accept: &Accept, peek: Option<&Peek<'_>>) -> OriginId {
    let is_tls = peek.is_some_and(|p| p.tls.is_some());
    let (ip, port) = (accept.destination.ip(), accept.destination.port());
    let near = |m: &ChainMatch| {
        let other = match m.transport {
            Some(TransportProtocol::Tls) => !is_tls,
            Some(TransportProtocol::Raw) => is_tls,
            None => false,
        };
        other && m.port.is_none_or(|p| p == port) && rank_destination(m, ip).is_some()
    };
    let mut chains = listener.chains.iter();
    let chain = chains.find(|chain| near(&chain.matches));
    chain.map_or(listener.origin, |chain| chain.origin)
}

fn rank_destination(matches: &ChainMatch, ip: IpAddr) -> Option<usize> {
    if matches.destinations.is_empty() {
        return Some(0);
    }
    let containing = matches.destinations.iter().filter(|cidr| cidr.contains(ip));
    containing.map(|cidr| 1 + usize::from(cidr.bits)).max()
}

fn rank_server_name(matches: &ChainMatch, sni: Option<&str>) -> Option<usize> {
    if matches.server_names.is_empty() {
        return Some(0);
    }
    let sni = sni?.to_ascii_lowercase();
    let rank = |name: &ServerName| match name {
        ServerName::Exact(exact) => (**exact == *sni).then_some(usize::MAX),
        ServerName::Suffix(suffix) => sni.ends_with(&**suffix).then_some(1 + suffix.len()),
    };
    matches.server_names.iter().filter_map(rank).max()
}

fn rank_protocols(matches: &ChainMatch, peek: Option<&Peek<'_>>) -> Option<usize> {
    if matches.protocols.is_empty() {
        return Some(0);
    }
    let seen = |protocol: &str| match peek {
        None => false,
        Some(Peek { tls: Some(tls), .. }) => tls.alpn.contains(&protocol),
        Some(Peek { protocol: p, .. }) => match p {
            PeekedProtocol::Http1 => protocol == "http/1.1" || protocol == "http/1.0",
            PeekedProtocol::Http2 => protocol == "h2" || protocol == "h2c",
            PeekedProtocol::Unknown => false,
        },
    };
    matches.protocols.iter().any(|p| seen(p)).then_some(1)
}
