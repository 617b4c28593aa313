//! The driver that tests drive a node with: connections open at once, timers fire in their order, and what endpoints
//! answer is scripted.

use core::net::SocketAddr;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::config::*;
use crate::draw::DrawKey;
use crate::event::{AccessRecord, AttemptRecord, Event};
use crate::heads::asked::Asked;
use crate::heads::{Asks, HeadId, Heads, Received, is_retry_mark};
use crate::ids::{AttemptId, DownstreamId, ExchangeId, SessionId, UpstreamId};
use crate::node::*;
use crate::origin::OriginId;
use crate::reply::LocalReply;
use crate::shared::PlainState;
use crate::time::{Duration, Time};

#[derive(Clone, Debug, Default)]
pub(super) struct Head {
    pub(super) method: String,
    pub(super) authority: String,
    pub(super) path: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) status: u16,
    pub(super) received: Option<Received>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct HeadTable(pub(super) Vec<Head>);

impl HeadTable {
    fn header_of(&self, id: HeadId, name: &str) -> Option<&str> {
        let headers = &self.0[id.0 as usize].headers;
        headers.iter().find(|(n, _)| n == name).map(|(_, v)| &**v)
    }
}

impl Heads for HeadTable {
    fn method(&self, request: HeadId) -> &str {
        &self.0[request.0 as usize].method
    }
    fn authority(&self, request: HeadId) -> &str {
        &self.0[request.0 as usize].authority
    }
    fn path(&self, request: HeadId) -> &str {
        &self.0[request.0 as usize].path
    }
    fn header(&self, request: HeadId, name: &str) -> Option<&str> {
        self.header_of(request, name)
    }
    fn received(&self, request: HeadId) -> Option<&Received> {
        self.0[request.0 as usize].received.as_ref()
    }
    fn status(&self, response: HeadId) -> u16 {
        self.0[response.0 as usize].status
    }
    fn has_retry_marks(&self, response: HeadId) -> bool {
        let headers = &self.0[response.0 as usize].headers;
        headers.iter().any(|(name, _)| is_retry_mark(name))
    }
    fn response_header(&self, response: HeadId, name: &str) -> Option<&str> {
        self.header_of(response, name)
    }
}

/// What an endpoint does with a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Play {
    /// Answers this status after so long.
    Answer(u16, Duration),
    /// Resets the stream after so long.
    Reset(Duration),
    /// Closes the connection after so long.
    Hangup(Duration),
    /// Says nothing, ever.
    Silence,
}

/// Answers 200 at once.
pub(super) const OK: Play = Play::Answer(200, Duration::ZERO);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Timer(TimerId),
    Head(AttemptId, u16),
    Reset(AttemptId),
    Close(UpstreamId),
}

/// What the client saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Response(u16),
    Local(LocalReply),
    Broken,
    Nothing,
}

pub(super) struct Rig {
    pub(super) node: Node,
    pub(super) shared: PlainState,
    pub(super) heads: HeadTable,
    pub(super) now: Time,
    due: BTreeSet<(Time, u64, Due)>,
    number: u64,
    requests: u64,
    pub(super) downstream: DownstreamId,
    /// Scripts by endpoint, played one a try; then [`OK`].
    pub(super) script: BTreeMap<SocketAddr, VecDeque<Play>>,
    /// Endpoints that refuse connections.
    pub(super) refusing: BTreeSet<SocketAddr>,
    /// Endpoints whose connections never stand.
    pub(super) unreachable: BTreeSet<SocketAddr>,
    pub(super) connections: BTreeMap<UpstreamId, SocketAddr>,
    pub(super) opened: usize,
    pub(super) closed_clients: Vec<CloseReason>,
    pub(super) drained_clients: usize,
    pub(super) asked: Vec<Action>,
    /// When each try was sent, and where.
    pub(super) sent: Vec<(Time, SocketAddr)>,
    pub(super) seen: BTreeMap<u64, (Time, Seen)>,
    pub(super) access: Vec<AccessRecord>,
    pub(super) attempts: Vec<AttemptRecord>,
    pub(super) events: Vec<Event>,
    pub(super) cancelled: Vec<AttemptId>,
    pub(super) ended: usize,
    /// What was written to the heads of answers, line by line.
    pub(super) added: Vec<String>,
    /// Records for access logs: numbers of the logs, status, flags, details, tries, endpoint, bytes.
    pub(super) logged: Vec<String>,
}

/// A request for `/` of `a`.
pub(super) fn head(method: &str) -> Head {
    Head {
        method: method.into(),
        authority: "a".into(),
        path: "/".into(),
        ..Head::default()
    }
}

pub(super) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(super) fn at(millis: u64) -> Time {
    Time::ZERO + ms(millis)
}

pub(super) fn address(n: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, n], 80))
}

/// Endpoints 10.0.0.1 to 10.0.0.`n`.
pub(super) fn endpoints(n: u8) -> EndpointSet {
    EndpointSet {
        endpoints: (1..=n).map(|i| Endpoint::at(address(i))).collect(),
        locality_weights: Vec::new(),
    }
}

pub(super) fn http(table: TableIndex) -> HttpConnections {
    HttpConnections {
        table,
        filters: Vec::new(),
        stream_idle_timeout: None,
        request_timeout: None,
        max_stream_duration: None,
        idle_timeout: None,
        max_connection_duration: None,
        head_timeout: None,
        max_requests_per_connection: None,
        retained_bytes: 1 << 20,
        replies: ReplyProfile::Envoy,
        edge: false,
        upgrades: Upgrades::default(),
        heads: None,
        logs: crate::log::Logs::default(),
        tracing: None,
        origin: OriginId::NONE,
    }
}

pub(super) fn route_to(forward: Forward) -> Route {
    Route {
        name: "route".into(),
        matches: RouteMatch::all(),
        action: RouteAction::Forward(Box::new(forward)),
        request_edits: Vec::new(),
        response_edits: Vec::new(),
        fault: None,
        rate_limit: None,
        gates: Vec::new(),
        cors: None,
        tracing: None,
        origin: OriginId::NONE,
    }
}

pub(super) fn chain(action: ChainAction) -> FilterChain {
    FilterChain {
        matches: ChainMatch::default(),
        transport: DownstreamTransport::Plaintext,
        action,
        origin: OriginId::NONE,
    }
}

/// One listener for everything outbound, one virtual host, one route, one cluster.
pub(super) fn config_with(
    cluster: Cluster,
    route: impl FnOnce(ClusterIndex) -> Route,
    tune: impl FnOnce(&mut HttpConnections),
) -> NodeConfig {
    let mut draft = SectionDraft::default();
    let index = draft.add_cluster(cluster);
    let table = draft.add_table(RouteTable {
        ignore_port: false,
        name: "routes".into(),
        virtual_hosts: vec![VirtualHost {
            name: "all".into(),
            domains: vec!["*".into()],
            routes: vec![route(index)],
            attempt_count: false,
            attempt_count_in_response: false,
            origin: OriginId::NONE,
        }],
    });
    let mut http = http(table);
    tune(&mut http);
    draft.listeners.push(Listener {
        name: "outbound".into(),
        address: ListenerAddress::OutboundRest,
        chains: vec![chain(ChainAction::Http(Box::new(http)))],
        max_connections: None,
        preface: None,
        process_limit: None,
        logs: crate::log::Logs::default(),
        origin: OriginId::NONE,
    });
    NodeConfig {
        name: "test".into(),
        kind: NodeKind::Sidecar,
        sections: vec![Arc::new(draft.build().unwrap())],
    }
}

impl Rig {
    pub(super) fn new(config: NodeConfig) -> Self {
        let mut rig = Self::unconnected(config);
        rig.downstream = rig.dial();
        rig
    }

    pub(super) fn unconnected(config: NodeConfig) -> Self {
        let identity = Identity {
            key: DrawKey::root(1),
            locality: "".into(),
            epoch_nanos: 0,
            elected: true,
        };
        Self {
            node: Node::new(identity, Arc::new(config)),
            shared: PlainState::default(),
            heads: HeadTable::default(),
            now: Time::ZERO,
            due: BTreeSet::new(),
            number: 0,
            requests: 0,
            downstream: DownstreamId {
                index: u32::MAX,
                generation: 0,
            },
            script: BTreeMap::new(),
            refusing: BTreeSet::new(),
            unreachable: BTreeSet::new(),
            connections: BTreeMap::new(),
            opened: 0,
            closed_clients: Vec::new(),
            drained_clients: 0,
            asked: Vec::new(),
            sent: Vec::new(),
            seen: BTreeMap::new(),
            access: Vec::new(),
            attempts: Vec::new(),
            events: Vec::new(),
            cancelled: Vec::new(),
            ended: 0,
            added: Vec::new(),
            logged: Vec::new(),
        }
    }

    /// A cluster of `n` endpoints, one route as `tune` has it.
    pub(super) fn simple(n: u8, tune: impl FnOnce(&mut Cluster, &mut Forward)) -> Self {
        let mut cluster = Cluster::envoy("c", endpoints(n));
        let mut forward = Forward::to(ClusterIndex(0));
        tune(&mut cluster, &mut forward);
        Self::new(config_with(cluster, |_| route_to(forward), |_| ()))
    }

    pub(super) fn dial(&mut self) -> DownstreamId {
        self.dial_to(Arrival::Outbound, "10.9.9.9:80")
    }

    pub(super) fn dial_to(&mut self, arrival: Arrival, destination: &str) -> DownstreamId {
        self.accept(Accept {
            token: 1,
            arrival,
            source: SocketAddr::from(([10, 1, 1, 1], 4000)),
            at: destination.parse().unwrap(),
            destination: destination.parse().unwrap(),
        })
    }

    pub(super) fn accept(&mut self, accept: Accept) -> DownstreamId {
        let mut cx = Cx {
            now: self.now,
            shared: &mut self.shared,
            heads: &self.heads,
        };
        let id = self.node.accept(&mut cx, accept);
        self.drain();
        id
    }

    /// The session that takes a datagram.
    pub(super) fn datagram(&mut self, source: &str, destination: &str) -> Option<SessionId> {
        let datagram = Datagram {
            source: source.parse().unwrap(),
            destination: destination.parse().unwrap(),
        };
        let mut cx = Cx {
            now: self.now,
            shared: &mut self.shared,
            heads: &self.heads,
        };
        let id = self.node.datagram(&mut cx, datagram);
        self.drain();
        id
    }

    pub(super) fn play(&mut self, n: u8, plays: &[Play]) {
        self.script.entry(address(n)).or_default().extend(plays);
    }

    pub(super) fn get(&mut self) -> u64 {
        self.send(&[])
    }

    pub(super) fn send(&mut self, headers: &[(&str, &str)]) -> u64 {
        let head = Head {
            headers: headers
                .iter()
                .map(|(n, v)| ((*n).into(), (*v).into()))
                .collect(),
            ..head("GET")
        };
        self.send_head(head, true).0
    }

    pub(super) fn send_head(&mut self, head: Head, end: bool) -> (u64, ExchangeId) {
        self.send_wish(head, end, Asks::Nothing)
    }

    /// Sends a request that asks for more than an answer.
    pub(super) fn send_wish(&mut self, head: Head, end: bool, asks: Asks) -> (u64, ExchangeId) {
        self.heads.0.push(head);
        self.requests += 1;
        let token = self.requests;
        self.seen.insert(token, (self.now, Seen::Nothing));
        let request = Request {
            token,
            downstream: self.downstream,
            head: HeadId(self.heads.0.len() as u32 - 1),
            end,
            bytes: 0,
            http2: true,
            asks,
            key: DrawKey::root(7).child(token),
        };
        let mut cx = Cx {
            now: self.now,
            shared: &mut self.shared,
            heads: &self.heads,
        };
        let id = self.node.request(&mut cx, request);
        self.drain();
        (token, id)
    }

    pub(super) fn input(&mut self, input: Input<'_>) {
        let mut cx = Cx {
            now: self.now,
            shared: &mut self.shared,
            heads: &self.heads,
        };
        self.node.handle(&mut cx, input);
        self.drain();
    }

    pub(super) fn update(&mut self, update: Update<'_>) {
        let mut cx = Cx {
            now: self.now,
            shared: &mut self.shared,
            heads: &self.heads,
        };
        self.node.update(&mut cx, update);
        self.drain();
    }

    fn later(&mut self, at: Time, due: Due) {
        self.number += 1;
        self.due.insert((at, self.number, due));
    }

    pub(super) fn drain(&mut self) {
        while let Some((target, action)) = self.node.poll_action() {
            self.act(target, action);
        }
    }

    fn see(&mut self, target: Target, seen: Seen) {
        if let Target::Exchange(_, token) = target {
            self.seen.insert(token, (self.now, seen));
        }
    }

    fn act(&mut self, target: Target, action: Action) {
        self.asked.push(action);
        match action {
            Action::Arm { id, at, .. } => {
                assert!(at >= self.now, "a timer in the past");
                self.later(at, Due::Timer(id));
            }
            Action::Connect { address } => self.connect(target, address),
            Action::CloseUpstream => {
                if let Target::Upstream(id) = target {
                    self.connections.remove(&id);
                }
            }
            Action::Dispatch { attempt, upstream } => self.dispatch(attempt, upstream),
            Action::Cancel { attempt } => self.cancelled.push(attempt),
            Action::Forward { end, attempt } => {
                self.write_answer(attempt.exchange);
                let status = self.status_of(attempt);
                if end {
                    self.see(target, Seen::Response(status));
                }
            }
            Action::Switch { attempt } => {
                self.write_answer(attempt.exchange);
                self.see(target, Seen::Response(self.status_of(attempt)));
            }
            Action::Finish { broken } => {
                if broken {
                    self.see(target, Seen::Broken);
                }
            }
            Action::Reply(reply) => {
                if let Target::Exchange(exchange, _) = target {
                    self.write_answer(exchange);
                }
                self.see(target, Seen::Local(reply));
            }
            Action::CloseDownstream(reason) => self.closed_clients.push(reason),
            Action::DrainDownstream => self.drained_clients += 1,
            Action::Log { record } => self.log(record),
            Action::Ended => self.ended += 1,
            Action::Record(event) => {
                if let Event::Exchange(record) = event {
                    self.access.push(record);
                } else if let Event::Attempt(record) = event {
                    self.attempts.push(record);
                } else {
                    self.events.push(event);
                }
            }
            Action::Peek
            | Action::Handshake
            | Action::ServeHttp
            | Action::Splice(_)
            | Action::StopRetaining
            | Action::Pause(_)
            | Action::Resume(_)
            | Action::Spawned { .. }
            | Action::Disarm { .. }
            | Action::EndSession
            | Action::Probe { .. } => {}
        }
    }

    fn log(&mut self, record: u32) {
        let found = self
            .node
            .logged(record)
            .expect("it is there until all is done");
        let it = found.record;
        let at = it.cluster.zip(it.endpoint);
        let at = at.and_then(|(cluster, slot)| self.node.endpoint(cluster, slot));
        let at = at.map_or_else(|| "-".to_owned(), |at| at.ip().to_string());
        let logs: Vec<String> = found.logs().map(|log| log.origin.0.to_string()).collect();
        self.logged.push(format!(
            "{}: {} {} {} {} {at} {} {}",
            logs.join("+"),
            it.status,
            it.flags,
            it.details,
            it.attempts,
            it.received,
            it.sent,
        ));
    }

    fn write_answer(&mut self, exchange: ExchangeId) {
        let mut head = Asked::with(&[]);
        let node = &self.node;
        node.write_response(self.now, exchange, &self.heads, &mut head);
        let lines = head.lines.into_iter();
        self.added
            .extend(lines.map(|(name, value)| format!("{name}: {value}")));
    }

    fn status_of(&self, attempt: AttemptId) -> u16 {
        let of = self
            .asked_heads()
            .rev()
            .find(|(a, _)| *a == attempt)
            .map(|(_, status)| status);
        of.unwrap_or(0)
    }

    fn asked_heads(&self) -> impl DoubleEndedIterator<Item = (AttemptId, u16)> + '_ {
        self.heads.0.iter().filter_map(|head| {
            let (index, generation, number) = head.path.split_once(':').and_then(|(i, rest)| {
                let (g, n) = rest.split_once(':')?;
                Some((i.parse().ok()?, g.parse().ok()?, n.parse().ok()?))
            })?;
            let exchange = ExchangeId { index, generation };
            Some((AttemptId { exchange, number }, head.status))
        })
    }

    fn connect(&mut self, target: Target, address: SocketAddr) {
        let Target::Upstream(upstream) = target else {
            panic!("connects are for upstreams");
        };
        if self.refusing.contains(&address) {
            self.input(Input::ConnectFailed { upstream });
            return;
        }
        if self.unreachable.contains(&address) {
            return;
        }
        self.opened += 1;
        self.connections.insert(upstream, address);
        let http2 = self.node.connect(upstream).is_some_and(|plan| plan.http2);
        self.input(Input::Connected {
            upstream,
            http2,
            max_streams: None,
        });
    }

    fn dispatch(&mut self, attempt: AttemptId, upstream: UpstreamId) {
        let address = self.connections[&upstream];
        self.sent.push((self.now, address));
        let play = self.script.get_mut(&address).and_then(VecDeque::pop_front);
        match play.unwrap_or(OK) {
            Play::Answer(status, after) => self.later(self.now + after, Due::Head(attempt, status)),
            Play::Reset(after) => self.later(self.now + after, Due::Reset(attempt)),
            Play::Hangup(after) => self.later(self.now + after, Due::Close(upstream)),
            Play::Silence => {}
        }
    }

    /// Lets time pass until `until`.
    pub(super) fn run_until(&mut self, until: Time) {
        while let Some(&(time, number, due)) = self.due.first() {
            if time > until {
                break;
            }
            self.due.remove(&(time, number, due));
            self.now = time;
            match due {
                Due::Timer(id) => self.input(Input::Timer { id }),
                Due::Head(attempt, status) => self.answer(attempt, status, &[]),
                Due::Reset(attempt) => self.input(Input::UpstreamReset {
                    attempt,
                    cause: ResetCause::Remote,
                }),
                Due::Close(upstream) => {
                    self.connections.remove(&upstream);
                    self.input(Input::UpstreamClosed { upstream });
                }
            }
        }
        self.now = until;
    }

    /// A complete response.
    pub(super) fn answer(&mut self, attempt: AttemptId, status: u16, headers: &[(&str, &str)]) {
        let AttemptId { exchange, number } = attempt;
        self.heads.0.push(Head {
            path: format!("{}:{}:{number}", exchange.index, exchange.generation),
            headers: headers
                .iter()
                .map(|(n, v)| ((*n).into(), (*v).into()))
                .collect(),
            status,
            ..Head::default()
        });
        let head = HeadId(self.heads.0.len() as u32 - 1);
        self.input(Input::UpstreamHead {
            attempt,
            head,
            end: true,
            bytes: 0,
        });
    }

    pub(super) fn seen(&self, token: u64) -> Seen {
        self.seen[&token].1
    }

    /// When and what the client got.
    pub(super) fn got(&self, token: u64) -> (u64, u16) {
        let (when, seen) = self.seen[&token];
        let status = match seen {
            Seen::Response(status) => status,
            Seen::Local(reply) => reply.status,
            Seen::Broken | Seen::Nothing => 0,
        };
        (when.since(Time::ZERO).as_millis(), status)
    }

    pub(super) fn flags(&self, token: u64) -> String {
        let record = self.access.iter().find(|r| r.token == token);
        record.map_or_else(String::new, |r| r.flags.to_string())
    }

    pub(super) fn sent_at(&self) -> Vec<u64> {
        self.sent
            .iter()
            .map(|(when, _)| when.since(Time::ZERO).as_millis())
            .collect()
    }
}
