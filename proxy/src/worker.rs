//! One worker: a node, and the sockets, clocks and bytes that it decides about. Everything of a worker lives on one thread.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use proxy_core::breaker::Change;
use proxy_core::config::{EndpointSet, Name, NodeConfig, Preface};
use proxy_core::draw::DrawKey;
use proxy_core::event::{Event, SessionEnd, SessionFact};
use proxy_core::ids::{DownstreamId, ExchangeId, UpstreamId};
use proxy_core::node::{
    Accept, Action, Arrival, ClusterView, Cx, HealthCheckId, Identity, Input, Node, ResetCause,
    Target, TimerId, Update,
};
use proxy_core::time::Time;
use rustc_hash::FxHashMap;
use slab::Slab;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::spawn_local;

use crate::arriving::Shown;
use crate::counts::Books;
use crate::datagrams::Sessions;
use crate::downstream::Close;
use crate::exchanges::Exchange;
use crate::heads::HeadTable;
use crate::log::{Client, Clock, Logbook, Pen};
use crate::process::{Place, Secrets, Way};
use crate::shared::AtomicState;
use crate::slow::{Pulse, Watched};
use crate::spans::{Found, Spans};
use crate::stats::Stats;
use crate::timers::Timers;
use crate::tls::{Io, Keeper};
use crate::upstream::{Onward, Sender, Upstream};
use crate::voice::say;
use crate::{downstream, upstream};

/// The number of a connection, among all of the process.
pub(crate) fn next_number() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}

/// Timers that fire between two looks at which are still wanted.
const CLEAR_UP: u32 = 1 << 12;

/// A worker, shared by the tasks of its thread.
#[derive(Clone)]
pub(crate) struct Handle(Rc<Inner>);

struct Inner {
    worker: RefCell<Worker>,
    /// Exchanges whose client went away while the worker was busy.
    gone: RefCell<Vec<ExchangeId>>,
    /// An earlier timer than the one that is waited for has been set.
    sooner: Notify,
}

pub(crate) struct Worker {
    pub(crate) node: Node,
    shared: AtomicState,
    pub(crate) heads: HeadTable,
    timers: Timers,
    /// When the timers are looked at next.
    wakes_at: Time,
    fired: u32,
    started: Instant,
    /// When the call under way began.
    pub(crate) at: Time,
    root: DrawKey,
    requests: u64,
    pub(crate) downstreams: Slab<Downstream>,
    pub(crate) upstreams: FxHashMap<UpstreamId, Upstream>,
    pub(crate) exchanges: Slab<Exchange>,
    pub(crate) stats: Arc<Stats>,
    pub(crate) books: Books,
    pub(crate) sessions: Sessions,
    pub(crate) keeper: Keeper,
    pub(crate) logbook: Logbook,
    pub(crate) spans: Spans,
    place: Place,
}

/// A client's connection.
pub(crate) struct Downstream {
    pub(crate) id: DownstreamId,
    /// Until somebody reads it.
    pub(crate) stream: Option<Io>,
    /// What was shown in its handshake.
    pub(crate) shown: Option<Rc<Shown>>,
    source: SocketAddr,
    destination: SocketAddr,
    /// Its near end.
    local: SocketAddr,
    /// As records have it, once there is one.
    client: Option<Rc<Client>>,
    /// Asks whoever serves it to end.
    pub(crate) close: Rc<Close>,
    pub(crate) pulse: Arc<Pulse>,
    /// What its requests are spoken in, once there was one.
    pub(crate) version: Option<http::Version>,
    /// Its bytes are carried: whoever carries them says when it ends.
    pub(crate) carried: bool,
}

impl Downstream {
    /// The connection as records have it.
    pub(crate) fn client(&mut self) -> Rc<Client> {
        let made = self.client.get_or_insert_with(|| {
            Rc::new(Client {
                number: next_number(),
                source: self.source,
                destination: self.destination,
                local: self.local,
                shown: self.shown.clone(),
            })
        });
        made.clone()
    }
}

impl Handle {
    #[expect(
        clippy::too_many_arguments,
        reason = "called once, with all that a worker takes to its thread"
    )]
    pub(crate) fn new(
        identity: Identity,
        config: Arc<NodeConfig>,
        shared: AtomicState,
        started: Instant,
        stats: Arc<Stats>,
        keeper: Keeper,
        place: Place,
        pen: Pen,
    ) -> Self {
        let root = identity.key;
        let clock = Clock {
            epoch: identity.epoch_nanos,
        };
        let worker = Worker {
            node: Node::new(identity, config),
            shared,
            heads: HeadTable::default(),
            timers: Timers::default(),
            wakes_at: Time::MAX,
            fired: 0,
            started,
            at: Time::ZERO,
            root,
            requests: 0,
            downstreams: Slab::new(),
            upstreams: FxHashMap::default(),
            exchanges: Slab::new(),
            stats,
            books: Books::default(),
            sessions: Sessions::default(),
            keeper,
            logbook: Logbook::new(pen, clock),
            spans: Spans::default(),
            place,
        };
        Self(Rc::new(Inner {
            worker: RefCell::new(worker),
            gone: RefCell::default(),
            sooner: Notify::new(),
        }))
    }

    /// Done when an earlier timer than the one that is waited for has been set.
    pub(crate) async fn sooner(&self) {
        self.0.sooner.notified().await;
    }

    /// Calls the worker, then does what its node wants done.
    pub(crate) fn with_worker<R>(&self, call: impl FnOnce(&mut Worker) -> R) -> R {
        let mut worker = self.0.worker.borrow_mut();
        worker.at = worker.now();
        let result = call(&mut worker);
        self.settle(&mut worker);
        result
    }

    fn settle(&self, worker: &mut Worker) {
        loop {
            while let Some((target, action)) = worker.node.poll_action() {
                worker.act(self, target, action);
            }
            // what was thrown away may have had to do with others
            let Some(exchange) = self.0.gone.borrow_mut().pop() else {
                return;
            };
            worker.call(|node, cx| node.handle(cx, Input::DownstreamReset { exchange }));
        }
    }

    /// Calls the node, then does what it wants done.
    pub(crate) fn with<R>(
        &self,
        call: impl FnOnce(&mut Node, &mut Cx<'_, AtomicState, HeadTable>) -> R,
    ) -> R {
        self.with_worker(|worker| worker.call(call))
    }

    /// Reads or changes the worker without its node.
    pub(crate) fn look<R>(&self, call: impl FnOnce(&mut Worker) -> R) -> R {
        call(&mut self.0.worker.borrow_mut())
    }

    pub(crate) fn input(&self, input: Input<'_>) {
        self.with(|node, cx| node.handle(cx, input));
    }

    pub(crate) fn start(&self) {
        self.with(|node, cx| node.start(cx));
    }

    /// Handshakes from now on are done with these.
    pub(crate) fn renew(&self, secrets: Secrets) {
        self.look(|worker| worker.keeper = Keeper::new(secrets));
    }

    pub(crate) fn update(&self, config: Arc<NodeConfig>, endpoints: &[(Name, Arc<EndpointSet>)]) {
        let update = Update::ConfigWith { config, endpoints };
        self.with(|node, cx| node.update(cx, update));
    }

    pub(crate) fn set_endpoints(&self, sets: Vec<(Name, Arc<EndpointSet>)>) {
        for (cluster, set) in sets {
            let cluster = &*cluster;
            self.with(|node, cx| node.update(cx, Update::Endpoints { cluster, set }));
        }
    }

    pub(crate) fn keeps_body(&self, exchange: ExchangeId) -> bool {
        self.0.worker.borrow().node.keeps_body(exchange)
    }

    /// The client of an exchange has gone. May be called while the worker is busy.
    pub(crate) fn client_gone(&self, exchange: ExchangeId) {
        self.0.gone.borrow_mut().push(exchange);
        if let Ok(mut worker) = self.0.worker.try_borrow_mut() {
            worker.at = worker.now();
            self.settle(&mut worker);
        }
    }

    /// The header that connections to an address begin with; none: they do not.
    pub(crate) fn preface(&self, arrival: Arrival, at: SocketAddr) -> Option<Preface> {
        self.look(|worker| worker.node.listener_for(arrival, at)?.preface)
    }

    /// A connection was accepted.
    pub(crate) fn accept(
        &self,
        stream: TcpStream,
        arrival: Arrival,
        source: SocketAddr,
        at: SocketAddr,
        destination: SocketAddr,
    ) {
        let local = match arrival {
            Arrival::Dialled | Arrival::Datagrams => at,
            Arrival::Outbound | Arrival::Inbound => stream.local_addr().unwrap_or(destination),
        };
        self.with_worker(|worker| {
            let token = worker.downstreams.insert(Downstream {
                id: DownstreamId {
                    index: 0,
                    generation: 0,
                },
                stream: Some(Io::Plain(stream)),
                shown: None,
                source,
                destination,
                local,
                client: None,
                close: Rc::default(),
                pulse: Arc::default(),
                version: None,
                carried: false,
            });
            let accept = Accept {
                token: token as u64,
                arrival,
                source,
                at,
                destination,
            };
            let id = worker.call(|node, cx| node.accept(cx, accept));
            worker.downstreams[token].id = id;
        });
    }

    /// A client's connection is gone.
    pub(crate) fn closed(&self, token: usize) {
        let gone = self.look(|worker| Some(worker.downstreams.get(token)?.id));
        if let Some(downstream) = gone {
            // its records are written before it is forgotten
            self.input(Input::DownstreamClosed { downstream });
            let gone = self.look(|worker| worker.downstreams.try_remove(token));
            drop(gone);
        }
    }

    /// Tells when a connection carried bytes last, where a timer goes by it.
    fn tell_when_carried(&self, id: TimerId) {
        let told = self.look(|worker| {
            let (downstream, token) = worker.node.asks_when_carried(id)?;
            let down = worker.downstreams.get(token as usize)?;
            let last = down.pulse.last();
            Some(Input::Carried { downstream, last })
        });
        if let Some(told) = told {
            self.input(told);
        }
    }

    /// Fires what is due; gives the moment of the next timer.
    pub(crate) fn fire(&self) -> Time {
        loop {
            let due: Option<TimerId> = self.look(|worker| {
                let now = worker.now();
                worker.timers.due(now)
            });
            let Some(id) = due else { break };
            if self.0.worker.borrow().node.is_armed(id) {
                self.tell_when_carried(id);
                self.input(Input::Timer { id });
            }
        }
        self.look(|worker| {
            worker.fired += 1;
            if worker.fired % CLEAR_UP == 0 {
                let node = &worker.node;
                worker.timers.clear_up(|id| node.is_armed(id));
            }
            worker.wakes_at = worker.timers.next().unwrap_or(Time::MAX);
            worker.wakes_at
        })
    }
}

impl Worker {
    pub(crate) fn now(&self) -> Time {
        let nanos = u64::try_from(self.started.elapsed().as_nanos());
        Time::from_nanos(nanos.unwrap_or(u64::MAX))
    }

    /// The next request's draws.
    pub(crate) fn next_key(&mut self) -> DrawKey {
        self.requests += 1;
        self.root.child(self.requests - 1)
    }

    pub(crate) fn call<R>(
        &mut self,
        call: impl FnOnce(&mut Node, &mut Cx<'_, AtomicState, HeadTable>) -> R,
    ) -> R {
        let mut cx = Cx {
            now: self.at,
            shared: &mut self.shared,
            heads: &self.heads,
        };
        call(&mut self.node, &mut cx)
    }

    fn act(&mut self, handle: &Handle, target: Target, action: Action) {
        match (target, action) {
            (_, Action::Arm { id, at, class }) => {
                let node = &self.node;
                self.timers.arm(id, at, class, |id| node.is_armed(id));
                if at < self.wakes_at {
                    self.wakes_at = at;
                    handle.0.sooner.notify_one();
                }
            }
            (target, Action::Record(event)) => self.record(target, event),
            (Target::Downstream(id, token), action) => {
                self.act_downstream(handle, id, token as usize, action);
            }
            (Target::Upstream(id), action) => self.act_upstream(handle, id, action),
            (Target::Exchange(id, token), action) => {
                self.act_exchange(handle, id, token as usize, action);
            }
            (Target::Session(id), Action::EndSession) => {
                if let Some(name) = self.sessions.end(id) {
                    self.books.udp(&name).active -= 1;
                }
            }
            (Target::Session(_), _) => {}
            (Target::Node, Action::Probe { check, address }) => {
                self.probe(handle, check, address);
            }
            (Target::Node, _) => {}
        }
    }

    #[cold]
    fn probe(&self, handle: &Handle, check: HealthCheckId, address: SocketAddr) {
        let cluster = self.node.cluster(check.cluster);
        let plan = cluster.and_then(|cluster| {
            let checks = &cluster.health_checks;
            let plan = checks.get(usize::from(check.check))?.value.clone();
            let onward = Onward {
                source: None,
                preface: cluster.preface.map(|version| (version, None)),
            };
            Some((plan, onward))
        });
        if let Some((plan, onward)) = plan {
            let way = self.place.found(address).map(|way| (way, onward));
            spawn_local(upstream::probe(handle.clone(), check, way, plan));
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "other actions are not for connections of clients"
    )]
    #[inline(never)]
    fn act_downstream(&mut self, handle: &Handle, id: DownstreamId, token: usize, action: Action) {
        let Some(down) = self.downstreams.get_mut(token) else {
            return;
        };
        match action {
            Action::Peek => {
                if let Some(Io::Plain(stream)) = down.stream.take() {
                    spawn_local(downstream::peek(handle.clone(), token, id, stream));
                }
            }
            Action::ServeHttp => {
                if let Some(io) = down.stream.take() {
                    let close = down.close.clone();
                    let pulse = down.pulse.clone();
                    if let Some(limit) = self.node.head_timeout(id) {
                        pulse.bound_heads(Duration::from_nanos(limit.as_nanos()));
                    }
                    let stream = Watched::new(io, pulse, None);
                    let task = downstream::serve(handle.clone(), token, id, stream, close);
                    spawn_local(task);
                }
            }
            Action::Splice(upstream) => {
                let up = self.upstreams.get_mut(&upstream);
                let onward = up.and_then(|up| up.sender.take());
                if let (Some(stream), Some(Sender::Bytes(onward))) = (down.stream.take(), onward) {
                    let close = down.close.clone();
                    // no head of a request is waited for
                    down.pulse.begin();
                    let near = Watched::new(stream, down.pulse.clone(), Some(self.started));
                    let ends = (near, onward);
                    let task = downstream::splice(handle.clone(), token, upstream, ends, close);
                    spawn_local(task);
                }
            }
            Action::Log { record } => self.log_connection(handle, token, record),
            Action::DrainDownstream => down.close.ask(),
            Action::CloseDownstream(_) => {
                down.close.ask();
                if down.stream.take().is_some() {
                    self.downstreams.remove(token);
                }
            }
            Action::Handshake => {
                let plan = self.node.handshake(id);
                let acceptor = plan.and_then(|plan| {
                    let acceptor = self.keeper.acceptor(&plan)?;
                    Some((acceptor, Box::from(plan.certificate)))
                });
                match (down.stream.take(), acceptor) {
                    (Some(Io::Plain(stream)), Some(acceptor)) => {
                        let handle = handle.clone();
                        spawn_local(downstream::shake(handle, token, id, stream, acceptor));
                    }
                    // a certificate that is not there; whoever read the configuration has said so
                    (stream, _) => {
                        let handle = handle.clone();
                        spawn_local(async move {
                            drop(stream);
                            handle.closed(token);
                        });
                    }
                }
            }
            _ => {}
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "other actions are not for connections to endpoints"
    )]
    #[inline(never)]
    fn act_upstream(&mut self, handle: &Handle, id: UpstreamId, action: Action) {
        match action {
            Action::Connect { address } => {
                let Some(plan) = self.node.connect(id) else {
                    return;
                };
                let way = self.place.found(address);
                let kind = upstream::Kind::of(&plan);
                let onward = Onward {
                    source: plan.source,
                    preface: plan.preface,
                };
                let is_tls = plan.tls.is_some();
                let tls = plan
                    .tls
                    .map(|tls| self.keeper.connector(&tls, address.ip()));
                let handle = handle.clone();
                let task = match (way, tls) {
                    (None, _) | (_, Some(None)) => spawn_local(upstream::fail(handle, id)),
                    (Some(way), tls) => {
                        let tls = tls.flatten();
                        spawn_local(upstream::connect(handle, id, (way, onward), kind, tls))
                    }
                };
                let up = Upstream::connecting(task.abort_handle(), is_tls);
                self.upstreams.insert(id, up);
            }
            Action::CloseUpstream => {
                self.upstreams.remove(&id);
            }
            _ => {}
        }
    }

    /// Whether no client is left.
    pub(crate) fn is_idle(&self) -> bool {
        self.downstreams.is_empty() && self.node.sessions() == 0
    }

    /// Where an address of the configuration is to be found.
    pub(crate) fn found(&self, address: SocketAddr) -> Option<Way> {
        self.place.found(address)
    }

    /// Where a message goes that is no request of a client's.
    pub(crate) fn outlet(&self, cluster: &str, turn: u64) -> Option<Found> {
        let outlet = self.node.outlet(&self.shared, cluster, turn)?;
        let tls = match outlet.tls {
            Some(tls) => Some(self.keeper.connector(&tls, outlet.address.ip())?),
            None => None,
        };
        Some(Found {
            way: self.place.found(outlet.address)?,
            http2: outlet.http2,
            tls,
        })
    }

    /// Its clusters at this moment.
    pub(crate) fn inspect(&self) -> Vec<ClusterView<'_>> {
        self.node.inspect(&self.shared)
    }

    /// Says what has happened to whoever wants to hear it.
    fn tell(&self, event: &Event) {
        match event {
            Event::Exchange(it) => {
                let took = self.at.since(it.start).as_millis();
                say!(
                    Http,
                    Debug,
                    "[{}] {} {} in {took} ms, {} tries",
                    it.token,
                    it.status,
                    it.flags,
                    it.attempts
                );
            }
            Event::Attempt(it) => {
                let (result, next) = (it.result, it.next);
                say!(
                    Router,
                    Debug,
                    "[{}] try {}: {result:?}, {next:?}",
                    it.token,
                    it.number
                );
            }
            Event::Ejected {
                cluster,
                endpoint,
                why,
                ..
            } => {
                let at = self.node.endpoint(*cluster, *endpoint);
                say!(Upstream, Info, "{} is taken out: {why:?}", shown(at));
            }
            Event::Returned { cluster, endpoint } => {
                let at = self.node.endpoint(*cluster, *endpoint);
                say!(Upstream, Info, "{} is back", shown(at));
            }
            Event::Health {
                cluster,
                endpoint,
                healthy,
            } => {
                let at = self.node.endpoint(*cluster, *endpoint);
                let word = if *healthy { "well" } else { "not well" };
                say!(Health, Info, "{} is {word}", shown(at));
            }
            Event::Breaker { change, .. } => {
                let word = match change {
                    Change::Opened => "opens",
                    Change::Recovering => "lets some pass",
                    Change::Closed => "is closed",
                };
                say!(Upstream, Info, "a breaker {word}");
            }
            Event::Closed { reason, .. } => {
                say!(Connection, Debug, "a connection is closed: {reason:?}");
            }
            Event::Updated => say!(Config, Debug, "a worker has taken over what was read"),
            Event::Decision { .. }
            | Event::EjectionRefused { .. }
            | Event::Upgrade(_)
            | Event::Session { .. }
            | Event::Traced(_) => {}
        }
    }

    fn record(&mut self, target: Target, event: Event) {
        self.stats.record(&event);
        self.books.record(self.at, &event);
        if let (Target::Session(id), Event::Session { fact, .. }) = (target, &event)
            && *fact == SessionFact::Ended(SessionEnd::Idle)
            && let Some(name) = self.sessions.name(id)
        {
            self.books.udp(name).idle_timeout += 1;
        }
        self.tell(&event);
        if let Some(tap) = &self.place.tap {
            tap(&self.node, self.at, target, &event);
        }
    }
}

fn shown(address: Option<SocketAddr>) -> String {
    address.map_or_else(|| "an endpoint".to_owned(), |address| address.to_string())
}

/// What broke a response off, in the core's words. One that ends too soon on HTTP/1 is no message, however its connection ended.
///
/// Source: 1.40.0, whose codec takes such an end for an error of the protocol.
pub(crate) fn cause_of_break(error: &hyper::Error) -> ResetCause {
    use std::error::Error;
    let source = error
        .source()
        .and_then(|source| source.downcast_ref::<std::io::Error>());
    match source.map(std::io::Error::kind) {
        Some(std::io::ErrorKind::UnexpectedEof) => ResetCause::Protocol,
        _ if error.is_incomplete_message() => ResetCause::Protocol,
        _ => cause_of(error),
    }
}

/// What broke a try, in the core's words.
pub(crate) fn cause_of(error: &hyper::Error) -> ResetCause {
    use std::error::Error;
    let refused = error
        .source()
        .and_then(|source| source.downcast_ref::<h2::Error>())
        .and_then(h2::Error::reason);
    match refused {
        Some(h2::Reason::REFUSED_STREAM) => ResetCause::Refused,
        Some(h2::Reason::PROTOCOL_ERROR) => ResetCause::Protocol,
        Some(_) => ResetCause::Remote,
        None if error.is_parse() => ResetCause::Protocol,
        None => ResetCause::ConnectionClosed,
    }
}
