//! Clients that send datagrams: which endpoint theirs go to, and for how long.
//!
//! Source: envoy `source/extensions/filters/udp/udp_proxy/udp_proxy_filter.cc` (1.40).

use core::net::SocketAddr;

use rustc_hash::FxHashMap;
use xxhash_rust::xxh64::xxh64;

use super::configs::Place;
use super::contract::{Action, Arrival, Datagram, Target, TimerId, TimerKind};
use super::downstream::{find_listener, moved};
use super::machine::{Env, Machine};
use super::pool::weighted;
use crate::config::{DatagramHash, Discovery, UdpRoute};
use crate::draw::DrawKey;
use crate::event::{Event, SessionEnd, SessionFact, SessionRefusal};
use crate::heads::Heads;
use crate::ids::{Arena, ClusterId, EndpointSlot, SessionId};
use crate::limit::concurrency::{ConcurrencyLimit, Resource};
use crate::origin::OriginId;
use crate::shared::SharedState;
use crate::time::{Duration, Time};

/// The sessions of a node.
#[derive(Clone, Debug, Default)]
pub(super) struct Sessions {
    all: Arena<Session>,
    by_ends: FxHashMap<Ends, SessionId>,
    /// Choices made so far; names their draws.
    chosen: u64,
}

/// What tells sessions apart.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Ends {
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
    /// Where every datagram has its endpoint chosen: which one.
    endpoint: Option<(ClusterId, EndpointSlot)>,
}

/// A client whose datagrams go to one endpoint.
#[derive(Clone, Copy, Debug)]
pub(super) struct Session {
    pub(super) ends: Ends,
    pub(super) place: Place,
    pub(super) cluster: ClusterId,
    pub(super) endpoint: EndpointSlot,
    /// When there was a datagram last.
    last: Time,
}

impl Sessions {
    pub(super) fn get(&self, id: SessionId) -> Option<&Session> {
        self.all.get(id)
    }

    pub(super) const fn len(&self) -> usize {
        self.all.len()
    }

    fn those(&self, wanted: impl Fn(&Session) -> bool) -> Vec<SessionId> {
        let wanted = self.all.iter().filter(|(_, session)| wanted(session));
        wanted.map(|(raw, _)| raw.into()).collect()
    }
}

/// How long a session may be silent while the node drains: what its endpoint has to say still comes.
///
/// Departs: Envoy ends all sessions at once.
const DRAIN_SILENCE: Duration = Duration::from_secs(1);

impl Machine {
    #[inline]
    pub(super) fn datagram<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        datagram: Datagram,
    ) -> Option<SessionId> {
        let ends = Ends {
            source: datagram.source,
            destination: datagram.destination,
            endpoint: None,
        };
        let Some(&id) = self.sessions.by_ends.get(&ends) else {
            return self.other_datagram(env, datagram);
        };
        let session = self.sessions.all.get_mut(id).expect("it has an entry");
        session.last = env.now;
        let (cluster, endpoint) = (session.cluster, session.endpoint);
        let state = self.cluster(cluster).expect("its endpoint is in it");
        let host = &state.hosts[endpoint.0 as usize];
        match state.is_available(env.shared, host) {
            true => Some(id),
            false => Some(self.leave_if_better(env, id)),
        }
    }

    /// A datagram of a client without a session, or one whose endpoint is chosen for itself.
    fn other_datagram<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        datagram: Datagram,
    ) -> Option<SessionId> {
        let config = env.configs.current();
        let in_force = env.configs.config(config);
        let found = find_listener(in_force, Arrival::Datagrams, datagram.destination);
        let Some((section, listener)) = found else {
            self.refuse_session(None, SessionRefusal::NoListener, OriginId::NONE);
            return None;
        };
        let place = Place {
            config,
            section,
            listener,
            chain: 0,
        };
        let configs = env.configs;
        let route = configs.udp(place).expect("it is for datagrams");
        if self.draining && !route.per_datagram {
            self.refuse_session(None, SessionRefusal::Drain, route.origin);
            return None;
        }
        let key = self.next_choice();
        let index = weighted(&route.clusters, key);
        let cluster = env.configs.cluster_id(config, section, index);
        self.make_cluster(env, cluster, (config, section, index));
        let picked = self.pick_for_datagrams(env, cluster, key, route, datagram.source);
        let Some(endpoint) = picked else {
            self.refuse_session(Some(cluster), SessionRefusal::NoEndpoint, route.origin);
            return None;
        };
        let ends = Ends {
            source: datagram.source,
            destination: datagram.destination,
            endpoint: route.per_datagram.then_some((cluster, endpoint)),
        };
        if let Some(&known) = self.sessions.by_ends.get(&ends) {
            let session = self.sessions.all.get_mut(known).expect("it has an entry");
            session.last = env.now;
            return Some(known);
        }
        if self.draining {
            self.refuse_session(None, SessionRefusal::Drain, route.origin);
            return None;
        }
        self.begin_session(env, ends, place, (cluster, endpoint))
    }

    fn next_choice(&mut self) -> DrawKey {
        self.sessions.chosen += 1;
        self.identity.key.child(5 << 40 | self.sessions.chosen)
    }

    fn pick_for_datagrams<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        id: ClusterId,
        key: DrawKey,
        route: &UdpRoute,
        source: SocketAddr,
    ) -> Option<EndpointSlot> {
        let cluster = self.cluster(id).expect("just made");
        if cluster.config.discovery == Discovery::OriginalDestination {
            // datagrams are not intercepted: they were meant for this very socket
            return None;
        }
        let hash = route.hash.as_ref().map(|hash| match hash {
            DatagramHash::SourceAddress => xxh64(source.ip().to_string().as_bytes(), 0),
            DatagramHash::Key(key) => xxh64(key.as_bytes(), 0),
        });
        self.pick_by(env, id, key, hash)
    }

    fn begin_session<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        ends: Ends,
        place: Place,
        (id, endpoint): (ClusterId, EndpointSlot),
    ) -> Option<SessionId> {
        let route = env.configs.udp(place).expect("it is for datagrams");
        let cluster = self.cluster_mut(id).expect("its endpoint is in it");
        let limits = ConcurrencyLimit::new(cluster.limits_at(0));
        let most = cluster.config.limits[0].connections;
        if !limits.try_take(env.shared, Resource::Connections, u64::from(most.value)) {
            self.refuse_session(Some(id), SessionRefusal::Overflow, most.origin);
            return None;
        }
        let session = Session {
            ends,
            place,
            cluster: id,
            endpoint,
            last: env.now,
        };
        let session: SessionId = self.sessions.all.insert(session).into();
        self.sessions.by_ends.insert(ends, session);
        self.use_config(place.config);
        if let Some(idle) = route.idle_timeout {
            let timer = TimerId::of_session(TimerKind::SessionIdle, session);
            self.arm(Target::Session(session), timer, env.now, idle.value);
        }
        let event = Event::Session {
            cluster: Some(id),
            endpoint: Some(endpoint),
            fact: SessionFact::Begun,
            origin: route.origin,
        };
        self.record(Target::Session(session), event);
        Some(session)
    }

    fn refuse_session(
        &mut self,
        cluster: Option<ClusterId>,
        refusal: SessionRefusal,
        origin: OriginId,
    ) {
        let event = Event::Session {
            cluster,
            endpoint: None,
            fact: SessionFact::Refused(refusal),
            origin,
        };
        self.record(Target::Node, event);
    }

    /// A client's endpoint is unwell: another takes its place, if there is one that is well.
    fn leave_if_better<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        id: SessionId,
    ) -> SessionId {
        let Session {
            ends,
            place,
            cluster,
            endpoint,
            ..
        } = *self.sessions.get(id).expect("the caller has it");
        let key = self.next_choice();
        let configs = env.configs;
        let route = configs.udp(place).expect("it is for datagrams");
        let other = self.pick_for_datagrams(env, cluster, key, route, ends.source);
        let state = self.cluster(cluster).expect("its endpoint is in it");
        let is_better = |slot: &EndpointSlot| {
            *slot != endpoint && state.is_available(env.shared, &state.hosts[slot.0 as usize])
        };
        let Some(other) = other.filter(is_better) else {
            return id;
        };
        self.end_session(env, id, SessionEnd::EndpointUnwell, route.origin);
        let begun = self.begin_session(env, ends, place, (cluster, other));
        begun.expect("the room of the one that ended")
    }

    pub(super) fn answered<S, H>(&mut self, env: &Env<'_, S, H>, id: SessionId) {
        if let Some(session) = self.sessions.all.get_mut(id) {
            session.last = env.now;
        }
    }

    pub(super) fn session_failed<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        id: SessionId,
    ) {
        self.end_session(env, id, SessionEnd::Failed, OriginId::NONE);
    }

    pub(super) fn session_idle<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        id: SessionId,
    ) {
        let Some(session) = self.sessions.get(id) else {
            return;
        };
        let route = env.configs.udp(session.place);
        let idle = route.and_then(|route| route.idle_timeout);
        let (last, origin) = (session.last, idle.map_or(OriginId::NONE, |it| it.origin));
        let idle = idle.map(|it| it.value);
        let bound = match self.draining {
            true => Some(idle.unwrap_or(DRAIN_SILENCE).min(DRAIN_SILENCE)),
            false => idle,
        };
        let Some(bound) = bound else {
            return;
        };
        if last + bound > env.now {
            let timer = TimerId::of_session(TimerKind::SessionIdle, id);
            self.arm_single(Target::Session(id), timer, last + bound);
            return;
        }
        let end = match self.draining {
            true => SessionEnd::Drain,
            false => SessionEnd::Idle,
        };
        self.end_session(env, id, end, origin);
    }

    fn end_session<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        id: SessionId,
        end: SessionEnd,
        origin: OriginId,
    ) {
        let Some(session) = self.sessions.all.remove(id) else {
            return;
        };
        self.sessions.by_ends.remove(&session.ends);
        let cluster = self
            .cluster(session.cluster)
            .expect("its endpoint is in it");
        let limits = ConcurrencyLimit::new(cluster.limits_at(0));
        limits.release(env.shared, Resource::Connections);
        self.leave_config(session.place.config);
        let event = Event::Session {
            cluster: Some(session.cluster),
            endpoint: Some(session.endpoint),
            fact: SessionFact::Ended(end),
            origin,
        };
        self.record(Target::Session(id), event);
        self.push(Target::Session(id), Action::EndSession);
    }

    /// Sessions with endpoints that are gone are over: the next datagram of their clients finds another.
    pub(super) fn end_absent_sessions<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        id: ClusterId,
    ) {
        if self.sessions.len() == 0 {
            return;
        }
        let cluster = self.cluster(id).expect("the caller has it");
        let is_gone = |session: &Session| {
            session.cluster == id && !cluster.hosts[session.endpoint.0 as usize].present
        };
        for session in self.sessions.those(is_gone) {
            self.end_session(env, session, SessionEnd::EndpointGone, OriginId::NONE);
        }
    }

    /// Moves sessions over to the configuration now in force: those whose listener still sends datagrams to their cluster go on.
    pub(super) fn replace_sessions<S: SharedState, H: Heads>(&mut self, env: &mut Env<'_, S, H>) {
        let current = env.configs.current();
        for id in self.sessions.those(|_| true) {
            let session = self.sessions.get(id).expect("listed just now");
            let (old, cluster) = (session.place, session.cluster);
            let sends_there = |place: &Place| {
                let route = env.configs.udp(*place).expect("it is for datagrams");
                let id = |index| env.configs.cluster_id(current, place.section, index);
                let mut weighted = route.clusters.iter().filter(|(_, weight)| *weight > 0);
                route.per_datagram == session.ends.endpoint.is_some()
                    && weighted.any(|(index, _)| id(*index) == cluster)
            };
            match moved(env, old).filter(sends_there) {
                Some(place) => {
                    let session = self.sessions.all.get_mut(id).expect("listed just now");
                    session.place = place;
                    self.use_config(current);
                    self.leave_config(old.config);
                    let idle = |place| {
                        let idle = env.configs.udp(place)?.idle_timeout?;
                        Some(idle.value)
                    };
                    if idle(old) != idle(place) {
                        self.session_idle(env, id);
                    }
                }
                None => self.end_session(env, id, SessionEnd::RouteGone, OriginId::NONE),
            }
        }
    }

    /// Sessions are over once they are silent.
    pub(super) fn drain_sessions<S: SharedState, H: Heads>(&mut self, env: &mut Env<'_, S, H>) {
        for session in self.sessions.those(|_| true) {
            self.session_idle(env, session);
        }
    }
}
