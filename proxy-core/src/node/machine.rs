//! What a node holds besides its configurations, and the small moves that all rooms of it share.

use std::sync::Arc;

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use super::cluster::ClusterState;
use super::configs::{Configs, Place};
use super::contract::{Accept, Action, Ends, Identity, RouteRef, Target, TimerClass, TimerId};
use super::conversations::Conversation;
use super::exchanges::Exchanges;
use super::gates::{GateState, Gated};
use super::lists::{Actions, Attempts};
use super::logging::{Logged, Note};
use super::sessions::Sessions;
use super::sticky::Held;
use crate::config::{Changes, CloseReason, EndpointSet, Forward, Name, ReplyProfile, Terms};
use crate::draw::{DrawKey, Step};
use crate::event::{Decision, Detail, Event};
use crate::heads::HeadId;
use crate::ids::{Arena, AttemptId, ClusterId, DownstreamId, EndpointSlot, ExchangeId, UpstreamId};
use crate::origin::OriginId;
use crate::reply::{Flags, ReplyReason};
use crate::route::Copied;
use crate::sanitize::Client;
use crate::time::{Duration, Time};
use crate::trace::{Mark, Trace};

/// What one call works with besides the machine itself.
pub(super) struct Env<'e, S, H> {
    pub(super) now: Time,
    pub(super) shared: &'e mut S,
    pub(super) heads: &'e H,
    pub(super) configs: &'e Configs,
}

#[derive(Clone, Debug)]
pub(super) struct Machine {
    pub(super) identity: Identity,
    /// Keeps this node's draws for a request apart from those of other proxies on its way.
    pub(super) salt: Step,
    /// By cluster id; made on first use.
    pub(super) clusters: Vec<Option<Box<ClusterState>>>,
    pub(super) downstreams: Arena<Downstream>,
    pub(super) upstreams: Arena<Upstream>,
    pub(super) exchanges: Exchanges,
    pub(super) sessions: Sessions,
    /// Which is a copy of which: the first is the one that was asked.
    pub(super) copies: Vec<(ExchangeId, ExchangeId)>,
    /// Those that have ended while the heads of their answers are yet to be written.
    pub(super) answered: Vec<Answered>,
    /// What the head of the latest request is yet to be changed to.
    pub(super) mark: Option<Mark>,
    /// Records that the driver has yet to write.
    pub(super) logged: Vec<Logged>,
    pub(super) actions: Actions,
    /// Endpoints that came for clusters before their first use.
    pub(super) later: FxHashMap<Name, Arc<EndpointSet>>,
    /// Where the token buckets are, by name.
    pub(super) buckets: FxHashMap<Name, usize>,
    /// Where the state of gates is, by their name.
    pub(super) gates: FxHashMap<Name, Vec<GateState>>,
    /// Connections and exchanges that refer to each configuration.
    pub(super) users: Vec<u32>,
    /// Results judged so far; names the draws of ejections.
    pub(super) judged: u64,
    /// Exchanges under an injected fault, by where they came in.
    pub(super) faulted: FxHashMap<(u16, u32, u32), u32>,
    /// Connections accepted so far; names the draws of carried ones.
    pub(super) accepted: u64,
    pub(super) draining: bool,
}

/// An exchange that has ended, until the driver has done all that it was asked to do.
#[derive(Clone, Debug)]
pub(super) struct Answered {
    pub(super) exchange: ExchangeId,
    pub(super) answer: Answer,
}

/// What is needed of an exchange to write the head of its answer.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) place: Place,
    pub(super) head: HeadId,
    pub(super) route: Option<RouteRef>,
    pub(super) weighted: u16,
    /// Whether the route has its say in the answer's head.
    pub(super) edits: bool,
    /// The endpoint that the client is to stay with, where it is to be told.
    pub(super) holds_to: Option<core::net::SocketAddr>,
    /// Whether it answers a preflight.
    pub(super) preflight: bool,
    /// Whether it is the answer of a filter or of a timer of the stream.
    pub(super) before_the_router: bool,
    /// When the request was complete, where the client is to be told how long the upstream then took.
    pub(super) complete: Option<Time>,
    /// Where the client is to be told how many there were.
    pub(super) tries: Option<u16>,
    /// Whether the client is to be told that there was no room for its request.
    pub(super) overloaded: bool,
    /// Whether the client is to be told what its route calls the request.
    pub(super) decorated: bool,
    /// What gates have the client told.
    pub(super) gated: Option<Box<Gated>>,
}

impl Answer {
    pub(super) fn of(exchange: &Exchange) -> Self {
        let of_the_router = exchange.reply.is_none_or(ReplyReason::is_of_the_router);
        let is_timed = exchange.committed.is_some() && exchange.request_done && exchange.tells;
        let counts = exchange.changes.attempt_count_in_response && exchange.tries > 0;
        Self {
            place: exchange.place,
            head: exchange.head,
            route: exchange.route,
            weighted: exchange.weighted,
            edits: exchange.changes.edits_response,
            holds_to: exchange
                .session
                .as_ref()
                .filter(|_| exchange.reply.is_none())
                .and_then(|held| held.news()),
            preflight: exchange.reply == Some(ReplyReason::Preflight),
            before_the_router: exchange
                .reply
                .is_some_and(ReplyReason::is_before_the_router),
            complete: is_timed.then_some(exchange.completed),
            tries: (counts && of_the_router).then_some(exchange.tries),
            overloaded: exchange.tells && exchange.reply == Some(ReplyReason::Overflow),
            decorated: exchange.trace().is_some_and(Trace::tells),
            gated: exchange.gated.clone(),
        }
    }
}

/// A client's connection.
#[derive(Clone, Debug)]
pub(super) struct Downstream {
    pub(super) token: u64,
    pub(super) accept: Accept,
    pub(super) stage: Stage,
    pub(super) place: Place,
    pub(super) http2: bool,
    pub(super) tls: bool,
    /// Requests under way.
    pub(super) streams: u32,
    /// Requests so far.
    pub(super) served: u32,
    /// Closes when its last request ends.
    pub(super) draining: bool,
    pub(super) idle_since: Time,
    pub(super) idle_armed: bool,
    /// Counts against the listener's limit and against that of the process, in these words.
    pub(super) counted: [Option<usize>; 2],
    /// When it was accepted.
    pub(super) since: Time,
    /// Why it is closed when its last request ends.
    pub(super) leaves: CloseReason,
    /// What is kept of it, where an access log may have a record of it.
    pub(super) conversation: Option<Box<Conversation>>,
    /// Names the draws of a carried connection.
    pub(super) key: DrawKey,
    pub(super) last_host: LastHost,
    /// Who it is to the rules for heads of this place; made for the first request.
    pub(super) client: Option<Box<(Place, Client)>>,
    /// Whether its requests go to the router at once, as [`is_plain`](super::rules::is_plain) has it.
    pub(super) plain: bool,
}

impl Downstream {
    pub(super) const fn ends(&self) -> Ends {
        Ends {
            source: self.accept.source,
            destination: self.accept.destination,
        }
    }
}

/// The virtual host of a connection's last request: the next one mostly asks for the same authority. It holds for one
/// place, so that a connection that moves on forgets it.
#[derive(Clone, Debug, Default)]
pub(super) struct LastHost {
    /// Whether there was a request.
    known: bool,
    authority: String,
    host: Option<u32>,
}

impl LastHost {
    /// The virtual host for `authority`, by `find` unless that was the question before.
    #[inline]
    pub(super) fn find(
        &mut self,
        authority: &str,
        find: impl FnOnce() -> Option<u32>,
    ) -> Option<u32> {
        if !self.known || self.authority != authority {
            self.known = true;
            self.authority.clear();
            self.authority.push_str(authority);
            self.host = find();
        }
        self.host
    }
}

/// How far a connection is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    Peeking,
    Shaking,
    Http,
    /// Carried, by this upstream connection once there is one.
    Tcp(Option<UpstreamId>),
}

/// A connection to an endpoint.
#[derive(Clone, Debug)]
pub(super) struct Upstream {
    pub(super) cluster: ClusterId,
    pub(super) endpoint: EndpointSlot,
    /// Which of the endpoint's pools.
    pub(super) pool: u16,
    pub(super) state: Standing,
    pub(super) http2: bool,
    /// Streams at a time.
    pub(super) max_streams: u32,
    pub(super) active: u32,
    /// Requests that it may still carry.
    pub(super) remaining: u32,
    /// The one try of an HTTP/1 connection.
    pub(super) current: Option<AttemptId>,
    /// The connection whose bytes it carries.
    pub(super) tcp: Option<(DownstreamId, u32)>,
    /// Whether it stands in the pool's list of connections with room.
    pub(super) listed: bool,
    pub(super) idle_since: Time,
    pub(super) idle_armed: bool,
}

/// Where an upstream connection is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Standing {
    Connecting,
    Open,
    /// Takes no new requests.
    Draining,
}

/// One request and all that is done for it.
#[derive(Clone, Debug)]
pub(super) struct Exchange {
    pub(super) token: u64,
    /// None: a copy.
    pub(super) downstream: Option<DownstreamId>,
    pub(super) place: Place,
    pub(super) head: HeadId,
    /// Names the draws of what the request causes elsewhere.
    pub(super) path: DrawKey,
    /// Names this node's own draws for it.
    pub(super) key: DrawKey,
    pub(super) start: Time,
    /// When the request was complete, if it is.
    pub(super) completed: Time,
    /// Since when the router has it.
    pub(super) begun: Time,
    pub(super) last_activity: Time,
    pub(super) phase: Phase,
    pub(super) route: Option<RouteRef>,
    pub(super) weighted: u16,
    pub(super) cluster: Option<ClusterId>,
    /// Original destination, for clusters that go there.
    pub(super) destination: core::net::SocketAddr,
    pub(super) hash: Option<u64>,
    pub(super) edge: bool,
    pub(super) http2: bool,
    pub(super) passage: Passage,
    pub(super) high_priority: bool,
    /// Whether the head has control headers that have a say here.
    pub(super) controls: bool,
    /// What changes on its messages.
    pub(super) changes: Changes,
    pub(super) replies: ReplyProfile,
    /// Whether messages say what is done here in headers of Envoy's.
    pub(super) tells: bool,
    /// Whether there are rules for the heads of its messages.
    pub(super) ruled: bool,
    pub(super) request_done: bool,
    pub(super) request_bytes: u64,
    /// Whether the body is still kept whole, so that it can be sent again.
    pub(super) retained: bool,
    pub(super) retain_limit: u64,
    /// As its route and its headers have them.
    pub(super) terms: Terms,
    pub(super) route_armed: bool,
    pub(super) attempts: Attempts,
    pub(super) tries: u16,
    pub(super) retries_left: u32,
    /// Pauses of the policy's own so far; those that a response asked for do not count.
    pub(super) backoffs: u32,
    /// Whether a retry of the cluster's limit is held.
    pub(super) retry_held: bool,
    pub(super) backing_off: bool,
    /// Endpoints tried so far.
    pub(super) tried: SmallVec<[u32; 4]>,
    /// The try whose response goes to the client.
    pub(super) committed: Option<u16>,
    pub(super) status: u16,
    pub(super) flags: Flags,
    pub(super) reply: Option<ReplyReason>,
    pub(super) origin: OriginId,
    pub(super) faulted: bool,
    pub(super) copied: Copied,
    /// What is kept of it, where an access log may have a record of it.
    pub(super) log: Option<Box<Note>>,
    /// Where its client's session is, where its route has sessions.
    pub(super) session: Option<Box<Held>>,
    /// What it has of gates that it has passed.
    pub(super) gated: Option<Box<Gated>>,
}

/// What an exchange becomes besides a request and its response.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Passage {
    /// Nothing.
    No,
    /// What its client asked for, once an endpoint switches to it.
    Asked(Wish),
    /// Its bytes are carried both ways.
    Open,
}

/// What a client may wish its connection to become.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Wish {
    WebSocket,
    Other,
    /// A CONNECT that is sent on.
    Connect,
    /// A CONNECT that ends here.
    Tunnel,
}

/// How far an exchange is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    /// The filter of this number pauses it.
    Delayed(u32),
    /// The gate of this number lets it wait.
    Held(u32),
    /// The router has it.
    Routed,
}

/// One try.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempt {
    pub(super) number: u16,
    pub(super) start: Time,
    pub(super) sent: Time,
    pub(super) stage: AttemptStage,
    pub(super) endpoint: Option<EndpointSlot>,
    pub(super) pool: u16,
    pub(super) upstream: Option<UpstreamId>,
    pub(super) hedged: bool,
    /// A hedge was started because it was slow: it was retried already.
    pub(super) overtaken: bool,
    /// Its timeout was already held against its endpoint.
    pub(super) charged: bool,
    pub(super) per_try_armed: bool,
    pub(super) last_activity: Time,
    pub(super) idle_armed: bool,
    pub(super) status: u16,
}

/// How far a try is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum AttemptStage {
    /// Waits for an endpoint to become ready.
    Unplaced,
    /// Waits for a connection.
    Pending,
    /// On a connection.
    Sent,
    /// Its response has begun.
    Responding,
}

impl Exchange {
    #[inline]
    pub(super) fn attempt(&self, number: u16) -> Option<&Attempt> {
        self.attempts.get(number)
    }

    #[inline]
    pub(super) fn attempt_mut(&mut self, number: u16) -> Option<&mut Attempt> {
        self.attempts.get_mut(number)
    }

    #[inline]
    pub(super) fn take_attempt(&mut self, number: u16) -> Option<Attempt> {
        self.attempts.take(number)
    }

    /// How its route sends it on; none: it has no such route.
    pub(super) fn forward<'c>(&self, configs: &'c Configs) -> Option<&'c Forward> {
        configs.forward(self.place.config, self.route?)
    }

    pub(super) const fn priority(&self) -> usize {
        self.high_priority as usize
    }

    /// Whether a try of it waits for a connection, or for an endpoint.
    pub(super) fn has_try_to_send(&self) -> bool {
        let waits = |a: &Attempt| matches!(a.stage, AttemptStage::Unplaced | AttemptStage::Pending);
        self.attempts.iter().any(waits)
    }

    /// Whether timers that begin with the end of the request have begun. That of one with a wish never ends; a WebSocket's is timed from its
    /// head on.
    ///
    /// Source: envoy `source/common/router/router.cc` (`setupRouteTimeoutForWebsocketUpgrade`).
    #[inline]
    pub(super) fn is_timed(&self) -> bool {
        self.request_done || self.passage == Passage::Asked(Wish::WebSocket)
    }

    /// Whether its tries have timers of their own.
    pub(super) const fn has_try_timers(&self) -> bool {
        self.terms.per_try.is_some() || self.terms.per_try_idle.is_some()
    }
}

/// What a try is placed with.
pub(super) struct Placing<'m> {
    pub(super) exchange: &'m mut Exchange,
    /// That of the exchange.
    pub(super) cluster: &'m mut ClusterState,
    pub(super) upstreams: &'m mut Arena<Upstream>,
    pub(super) downstreams: &'m Arena<Downstream>,
    pub(super) actions: &'m mut Actions,
}

impl Machine {
    /// All that a try of this exchange is placed with.
    #[inline]
    pub(super) fn placing(&mut self, id: ExchangeId) -> Placing<'_> {
        let exchange = self.exchanges.get_mut(id).expect("a try has an exchange");
        let cluster = exchange.cluster.expect("a try has a cluster");
        let cluster = self.clusters[cluster.0 as usize].as_deref_mut();
        Placing {
            exchange,
            cluster: cluster.expect("made before the first try"),
            upstreams: &mut self.upstreams,
            downstreams: &self.downstreams,
            actions: &mut self.actions,
        }
    }

    pub(super) fn new(identity: Identity, salt: u64) -> Self {
        Self {
            identity,
            salt: Step::to(salt),
            clusters: Vec::new(),
            downstreams: Arena::default(),
            upstreams: Arena::default(),
            exchanges: Exchanges::default(),
            sessions: Sessions::default(),
            copies: Vec::new(),
            answered: Vec::new(),
            mark: None,
            logged: Vec::new(),
            actions: Actions::default(),
            later: FxHashMap::default(),
            buckets: FxHashMap::default(),
            gates: FxHashMap::default(),
            users: vec![0],
            judged: 0,
            faulted: FxHashMap::default(),
            accepted: 0,
            draining: false,
        }
    }

    #[inline(always)]
    pub(super) fn push(&mut self, target: Target, action: Action) {
        self.actions.push(target, action);
    }

    /// Acts on behalf of an exchange that is still there.
    #[inline]
    pub(super) fn act(&mut self, exchange: ExchangeId, action: Action) {
        let token = self.exchanges.get(exchange).map_or(0, |e| e.token);
        self.push(Target::Exchange(exchange, token), action);
    }

    #[inline(always)]
    pub(super) fn record(&mut self, target: Target, event: Event) {
        self.actions.record(target, event);
    }

    /// Tells of a decision inside an exchange, where somebody wants to know.
    #[inline(always)]
    pub(super) fn decided(&mut self, exchange: ExchangeId, decision: Decision, origin: OriginId) {
        if self.actions.detail >= Detail::Decisions {
            let token = self.exchanges.get(exchange).map_or(0, |e| e.token);
            self.actions.decided((exchange, token), decision, origin);
        }
    }

    /// Sets a timer `after` from now, in the lane of its length.
    #[inline]
    pub(super) fn arm(&mut self, target: Target, id: TimerId, now: Time, after: Duration) {
        let action = Action::Arm {
            id,
            at: now + after,
            class: TimerClass::Lane(after),
        };
        self.push(target, action);
    }

    /// Sets a timer whose length is its own.
    pub(super) fn arm_single(&mut self, target: Target, id: TimerId, at: Time) {
        let action = Action::Arm {
            id,
            at,
            class: TimerClass::Single,
        };
        self.push(target, action);
    }

    #[inline]
    pub(super) fn cluster(&self, id: ClusterId) -> Option<&ClusterState> {
        self.clusters.get(id.0 as usize)?.as_deref()
    }

    #[inline]
    pub(super) fn cluster_mut(&mut self, id: ClusterId) -> Option<&mut ClusterState> {
        self.clusters.get_mut(id.0 as usize)?.as_deref_mut()
    }

    #[inline]
    pub(super) fn use_config(&mut self, config: u32) {
        self.users[config as usize] += 1;
    }

    #[inline]
    pub(super) fn leave_config(&mut self, config: u32) {
        self.users[config as usize] -= 1;
    }
}
