//! A sidecar as Istio configures it, and the least driver that its node needs.

use core::net::SocketAddr;
use std::collections::VecDeque;
use std::sync::Arc;

use proxy_core::config::*;
use proxy_core::draw::DrawKey;
use proxy_core::heads::{Asks, HeadId, Heads};
use proxy_core::ids::{AttemptId, DownstreamId, UpstreamId};
use proxy_core::node::{
    Accept, Action, Arrival, Cx, Identity, Input, Node, Request, Target, TimerClass, TimerId,
};
use proxy_core::origin::{OriginId, Sourced};
use proxy_core::outlier;
use proxy_core::retry::backoff::{Backoff, FullJitter};
use proxy_core::retry::conditions::{RetryOn, Vocabulary};
use proxy_core::shared::PlainState;
use proxy_core::time::{Duration, Time};

/// Services that the outbound side knows, each a virtual host and a cluster.
const SERVICES: usize = 20;
/// The service that is asked.
const ASKED: usize = 7;
/// Endpoints of each service.
const ENDPOINTS: u8 = 10;
/// Between two inputs of the driver.
const STEP: Duration = Duration::from_micros(50);

/// Which side of a sidecar is measured, and under which policy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// What Istio gives a service without any policy of its own: two retries, least requests of two.
    Outbound,
    /// With a timeout of the route and of the try, and outlier detection.
    OutboundPolicy,
    /// To the application beside it.
    Inbound,
}

/// All sides with the names that measurements print.
pub const SIDES: [(Side, &str); 3] = [
    (Side::Outbound, "outbound"),
    (Side::OutboundPolicy, "outbound_policy"),
    (Side::Inbound, "inbound"),
];

/// Requests in the form of one template, answered with another.
struct Templates {
    authority: String,
}

const REQUEST: HeadId = HeadId(0);
const RESPONSE: HeadId = HeadId(1);
const REQUEST_HEADERS: [(&str, &str); 3] = [
    ("user-agent", "shop/1.4"),
    ("accept", "application/json"),
    ("x-request-id", "6f2c1d7e"),
];
const RESPONSE_HEADERS: [(&str, &str); 2] = [
    ("content-type", "application/json"),
    ("content-length", "1024"),
];

fn value(headers: &[(&str, &'static str)], name: &str) -> Option<&'static str> {
    let found = headers.iter().find(|(n, _)| *n == name);
    found.map(|(_, value)| *value)
}

impl Heads for Templates {
    fn method(&self, _: HeadId) -> &str {
        "GET"
    }
    fn authority(&self, _: HeadId) -> &str {
        &self.authority
    }
    fn path(&self, _: HeadId) -> &str {
        "/orders/17?full=1"
    }
    fn header(&self, _: HeadId, name: &str) -> Option<&str> {
        value(&REQUEST_HEADERS, name)
    }
    fn has_controls(&self, _: HeadId) -> bool {
        false
    }
    fn status(&self, _: HeadId) -> u16 {
        200
    }
    fn has_retry_marks(&self, _: HeadId) -> bool {
        false
    }
    fn response_header(&self, _: HeadId, name: &str) -> Option<&str> {
        value(&RESPONSE_HEADERS, name)
    }
}

/// A sidecar under load: a fixed number of requests is under way, and the oldest is answered when a new one comes.
pub struct Sidecar {
    node: Node,
    shared: PlainState,
    heads: Templates,
    now: Time,
    arrival: Arrival,
    destination: SocketAddr,
    /// The client's connections; a request's token is the place of its own.
    clients: Vec<DownstreamId>,
    idle: Vec<u64>,
    running: VecDeque<AttemptId>,
    connecting: Vec<UpstreamId>,
    in_flight: usize,
    requests: u64,
    tally: Tally,
}

/// What the driver was told.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    /// Responses sent on.
    pub forwarded: u64,
    /// Exchanges that are over.
    pub ended: u64,
    /// Connections opened.
    pub opened: u64,
    /// Timers set, and taken back.
    pub armed: u64,
    /// Facts told.
    pub recorded: u64,
    /// All that the driver was told.
    pub actions: u64,
}

impl Sidecar {
    /// A sidecar that keeps `in_flight` requests under way.
    #[must_use]
    pub fn new(side: Side, in_flight: usize) -> Self {
        let (arrival, destination, authority) = match side {
            Side::Outbound | Side::OutboundPolicy => {
                (Arrival::Outbound, "10.96.0.7:80", domain(ASKED))
            }
            Side::Inbound => (Arrival::Inbound, "10.0.7.1:8080", domain(ASKED)),
        };
        let identity = Identity {
            key: DrawKey::root(1),
            locality: "region/a".into(),
            epoch_nanos: 0,
            elected: true,
        };
        let config = NodeConfig {
            name: "default/shop".into(),
            kind: NodeKind::Sidecar,
            sections: vec![Arc::new(outbound(side)), Arc::new(inbound())],
        };
        Self {
            node: Node::new(identity, Arc::new(config)),
            shared: PlainState::default(),
            heads: Templates { authority },
            now: Time::ZERO,
            arrival,
            destination: destination.parse().expect("it is an address"),
            clients: Vec::new(),
            idle: Vec::new(),
            running: VecDeque::new(),
            connecting: Vec::new(),
            in_flight,
            requests: 0,
            tally: Tally::default(),
        }
    }

    /// What the driver was told so far.
    #[must_use]
    pub const fn tally(&self) -> Tally {
        self.tally
    }

    /// One exchange more: a request comes, and the oldest under way is answered once there are too many.
    pub fn exchange(&mut self) {
        self.begin();
        if self.running.len() > self.in_flight {
            self.answer();
        }
    }

    /// Everything that is under way is answered.
    pub fn settle(&mut self) {
        while !self.running.is_empty() {
            self.answer();
        }
    }

    fn begin(&mut self) {
        let token = match self.idle.pop() {
            Some(token) => token,
            None => self.dial(),
        };
        self.now += STEP;
        self.requests += 1;
        let request = Request {
            asks: Asks::Nothing,
            token,
            downstream: self.clients[token as usize],
            head: REQUEST,
            end: true,
            bytes: 0,
            http2: false,
            key: DrawKey::root(7).child(self.requests),
        };
        let mut cx = Cx {
            now: self.now,
            shared: &mut self.shared,
            heads: &self.heads,
        };
        self.node.request(&mut cx, request);
        self.drain();
        while let Some(upstream) = self.connecting.pop() {
            self.input(Input::Connected {
                upstream,
                http2: false,
                max_streams: None,
            });
        }
    }

    fn answer(&mut self) {
        if let Some(attempt) = self.running.pop_front() {
            self.now += STEP;
            self.input(Input::UpstreamHead {
                attempt,
                head: RESPONSE,
                end: true,
                bytes: 1024,
            });
        }
    }

    fn dial(&mut self) -> u64 {
        let token = self.clients.len() as u64;
        let accept = Accept {
            token,
            arrival: self.arrival,
            source: SocketAddr::from(([10, 1, 1, 1], 4000 + token as u16)),
            at: self.destination,
            destination: self.destination,
        };
        let mut cx = Cx {
            now: self.now,
            shared: &mut self.shared,
            heads: &self.heads,
        };
        let client = self.node.accept(&mut cx, accept);
        self.clients.push(client);
        self.drain();
        token
    }

    fn input(&mut self, input: Input<'_>) {
        let mut cx = Cx {
            now: self.now,
            shared: &mut self.shared,
            heads: &self.heads,
        };
        self.node.handle(&mut cx, input);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some((target, action)) = self.node.poll_action() {
            self.tally.actions += 1;
            match action {
                Action::Dispatch { attempt, .. } => self.running.push_back(attempt),
                Action::Connect { .. } => {
                    if let Target::Upstream(id) = target {
                        self.tally.opened += 1;
                        self.connecting.push(id);
                    }
                }
                Action::Forward { .. } | Action::Switch { .. } => self.tally.forwarded += 1,
                Action::Ended => {
                    if let Target::Exchange(_, token) = target {
                        self.tally.ended += 1;
                        self.idle.push(token);
                    }
                }
                Action::Arm { id, class, .. } => self.keep(id, class),
                Action::Disarm { .. } => self.tally.armed += 1,
                Action::Record(_) => self.tally.recorded += 1,
                Action::Peek
                | Action::Handshake
                | Action::ServeHttp
                | Action::Splice(_)
                | Action::CloseDownstream(_)
                | Action::DrainDownstream
                | Action::CloseUpstream
                | Action::StopRetaining
                | Action::Cancel { .. }
                | Action::Finish { .. }
                | Action::Reply(_)
                | Action::Pause(_)
                | Action::Resume(_)
                | Action::Spawned { .. }
                | Action::Log { .. }
                | Action::EndSession
                | Action::Probe { .. } => {}
            }
        }
    }

    /// No timer is ever due: what they cost the driver is not measured here.
    fn keep(&mut self, _: TimerId, _: TimerClass) {
        self.tally.armed += 1;
    }
}

fn domain(service: usize) -> String {
    format!("service-{service}.default.svc.cluster.local")
}

fn set<T>(value: T) -> Sourced<T> {
    Sourced::new(value, OriginId(1))
}

fn endpoints(service: usize) -> EndpointSet {
    let at = |i| Endpoint::at(SocketAddr::from(([10, 0, service as u8, i], 8080)));
    EndpointSet {
        endpoints: (1..=ENDPOINTS).map(at).collect(),
        locality_weights: Vec::new(),
    }
}

fn http(table: TableIndex) -> HttpConnections {
    HttpConnections {
        table,
        filters: vec![HttpFilter::Fault(None)],
        stream_idle_timeout: None,
        request_timeout: None,
        max_stream_duration: None,
        idle_timeout: Some(set(Duration::from_secs(3600))),
        max_connection_duration: None,
        head_timeout: None,
        max_requests_per_connection: None,
        retained_bytes: 1 << 20,
        replies: ReplyProfile::Envoy,
        edge: false,
        upgrades: Upgrades::default(),
        heads: None,
        logs: proxy_core::log::Logs::default(),
        tracing: None,
        origin: OriginId(1),
    }
}

fn listener(name: &str, address: ListenerAddress, http: HttpConnections) -> Listener {
    Listener {
        name: name.into(),
        address,
        chains: vec![FilterChain {
            matches: ChainMatch::default(),
            transport: DownstreamTransport::Plaintext,
            action: ChainAction::Http(Box::new(http)),
            origin: OriginId(1),
        }],
        max_connections: None,
        preface: None,
        process_limit: None,
        logs: proxy_core::log::Logs::default(),
        origin: OriginId(1),
    }
}

fn route(forward: Forward) -> Route {
    Route {
        name: "default".into(),
        matches: RouteMatch::all(),
        action: RouteAction::Forward(Box::new(forward)),
        request_edits: Vec::new(),
        response_edits: Vec::new(),
        fault: None,
        rate_limit: None,
        gates: Vec::new(),
        cors: None,
        tracing: None,
        origin: OriginId(2),
    }
}

/// Source: Istio 1.29 `pilot/pkg/networking/core/route/retry/retry.go` (`DefaultPolicy`): no status is listed since 1.24.
fn retries(side: Side) -> RetryPolicy {
    let words = "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes";
    let per_try = (side == Side::OutboundPolicy).then(|| set(Duration::from_millis(400)));
    RetryPolicy {
        on: set(RetryOn::parse(words, Vocabulary::Both, |_| ())),
        statuses: Vec::new(),
        headers: Vec::new(),
        request_headers: Vec::new(),
        retries: set(2),
        per_try_timeout: per_try,
        per_try_idle_timeout: None,
        backoff: set(Backoff::FullJitter(FullJitter::envoy_v3())),
        rate_limited_backoff: None,
        avoid_previous: Some(set(5)),
        previous_priorities: None,
        spare_sent_non_idempotent: false,
        last_try_unbounded: false,
        no_try_after: None,
        failures_have_statuses: false,
        body_limit: None,
        origin: OriginId(3),
    }
}

fn outbound(side: Side) -> Section {
    let mut draft = SectionDraft::default();
    let mut hosts = Vec::new();
    for service in 0..SERVICES {
        let name = format!("outbound|80||{}", domain(service));
        let mut cluster = Cluster::envoy(&name, endpoints(service));
        cluster.balancer = set(Balancer::LeastRequest {
            choices: 2,
            bias: 1.0,
            full_scan: false,
        });
        cluster.limits = [Limits::unlimited(OriginId(1)); 2];
        cluster.connect_timeout = set(Duration::from_secs(10));
        let mut forward = Forward::to(ClusterIndex(service as u32));
        forward.retry = Some(Box::new(retries(side)));
        if side == Side::OutboundPolicy {
            cluster.outlier = Some(set(outlier::Settings::envoy_v3()));
            forward.timeout = set(Some(Duration::from_secs(1)));
        }
        draft.add_cluster(cluster);
        let name = domain(service);
        hosts.push(VirtualHost {
            domains: [
                &*name,
                &*format!("{name}:80"),
                &*format!("service-{service}"),
            ]
            .map(Into::into)
            .into(),
            name: name.into(),
            routes: vec![route(forward)],
            attempt_count: true,
            attempt_count_in_response: false,
            origin: OriginId(1),
        });
    }
    let table = draft.add_table(RouteTable {
        name: "80".into(),
        virtual_hosts: hosts,
        ignore_port: false,
    });
    let address = ListenerAddress::OutboundPort(80);
    draft
        .listeners
        .push(listener("0.0.0.0_80", address, http(table)));
    draft.build().expect("it is a section")
}

fn inbound() -> Section {
    let mut draft = SectionDraft::default();
    let mut cluster = Cluster::envoy("inbound|8080||", EndpointSet::default());
    cluster.discovery = Discovery::OriginalDestination;
    cluster.balancer = set(Balancer::OriginalDestination);
    cluster.protocol = UpstreamProtocol::Downstream;
    cluster.limits = [Limits::unlimited(OriginId(1)); 2];
    let cluster = draft.add_cluster(cluster);
    let table = draft.add_table(RouteTable {
        name: "inbound|8080||".into(),
        virtual_hosts: vec![VirtualHost {
            name: "inbound|http|8080".into(),
            domains: vec!["*".into()],
            routes: vec![route(Forward::to(cluster))],
            attempt_count: false,
            attempt_count_in_response: false,
            origin: OriginId(1),
        }],
        ignore_port: false,
    });
    let address = ListenerAddress::InboundPort(8080);
    draft
        .listeners
        .push(listener("inbound", address, http(table)));
    draft.build().expect("it is a section")
}
