//! One request followed on its way: what each party sees, decides and answers, in the order in which it happens.

use std::net::SocketAddr;

use proxy_core::config::{ChainAction, CloseReason, DownstreamTransport};
use proxy_core::event::{AttemptRecord, AttemptResult, ConnectionChoice, Decision, Next};
use proxy_core::node::{Arrival, Node, RouteRef, Target};
use proxy_core::origin::OriginId;
use proxy_core::time::Time;
use reports::outcome::{ErrorReason, Outcome};
use reports::trace::{Party, Server as Reached, Side, Step, Subject, Trace, TraceOutcome};
use reports::waterfall::LaneKind;
use rustc_hash::FxHashMap;

use super::World;
use super::connections::Dial;
use super::parts::{Hello, OUTSIDE, Opener, PoolOf, Sender, Server, Taker};
use crate::slab::Key;
use crate::{decisions, policies, rules};

/// What is known of the one request so far.
#[derive(Debug)]
pub(crate) struct Tracer {
    client: Who,
    parties: Vec<Party>,
    numbers: FxHashMap<Who, u32>,
    steps: Vec<Step>,
    /// From where on a step that says what was said already is left out, by party.
    since: Vec<usize>,
    sent: Time,
    ended: Option<(Time, Outcome)>,
    /// The party that worked on it last, and its workload.
    server: Option<(u32, u32)>,
    /// Who works on each request of it.
    working: Vec<(Key, Who)>,
    /// The side of each proxy that acts at the moment.
    acting: FxHashMap<u32, Option<Side>>,
}

/// Somebody who may have a part in it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Who {
    Outside,
    App(u32),
    Proxy(u32, Option<Side>),
}

impl Tracer {
    /// Follows a request that comes from outside, or from this pod.
    pub(super) fn new(pod: Option<u32>) -> Self {
        Self {
            client: pod.map_or(Who::Outside, Who::App),
            parties: Vec::new(),
            numbers: FxHashMap::default(),
            steps: Vec::new(),
            since: Vec::new(),
            sent: Time::ZERO,
            ended: None,
            server: None,
            working: Vec::new(),
            acting: FxHashMap::default(),
        }
    }

    fn worker(&self, request: Key) -> Option<Who> {
        let mut working = self.working.iter();
        working
            .find(|(key, _)| *key == request)
            .map(|(_, who)| *who)
    }

    pub(super) const fn is_done(&self) -> bool {
        self.ended.is_some()
    }

    /// The whole trace, and the workload of the server that it reached; a client that still waits does so until `latest`.
    pub(super) fn finish(
        self,
        request: String,
        latest: Time,
        named: impl Fn(u32) -> String,
    ) -> (Trace, Option<u32>) {
        let (end, outcome) = self.ended.unwrap_or((
            latest,
            Outcome {
                status: 0,
                reason: ErrorReason::None,
                attempts: 1,
            },
        ));
        let trace = Trace {
            request,
            outcome: TraceOutcome {
                status: outcome.status,
                reason: outcome.reason,
                after_ns: end.since(self.sent).as_nanos(),
                open: self.ended.is_none(),
                server: self.server.map(|(party, workload)| Reached {
                    party,
                    workload: named(workload),
                }),
            },
            parties: self.parties,
            steps: self.steps,
        };
        (trace, self.server.map(|(_, workload)| workload))
    }
}

/// A step to come.
struct Said {
    subject: Subject,
    text: String,
    origin: OriginId,
    failed: bool,
}

impl Said {
    const fn new(subject: Subject, text: String, origin: OriginId) -> Self {
        Self {
            subject,
            text,
            origin,
            failed: false,
        }
    }

    const fn failed(subject: Subject, text: String, origin: OriginId) -> Self {
        Self {
            subject,
            text,
            origin,
            failed: true,
        }
    }
}

impl World<'_> {
    #[inline]
    pub(super) const fn is_traced(&self) -> bool {
        self.tracer.is_some()
    }

    fn origin_text(&self, origin: OriginId) -> Option<String> {
        let origins = &self.books.recorder.setup().origins;
        let text = origins.get(origin.0 as usize)?.text.clone();
        Some(text).filter(|text| !text.is_empty())
    }

    /// The number of a party; a new one stands one deeper than `outer`.
    fn party(&mut self, who: Who, outer: Option<Who>) -> u32 {
        let known = |world: &Self, who| world.tracer.as_ref()?.numbers.get(&who).copied();
        if let Some(number) = known(self, who) {
            return number;
        }
        let outer = outer.and_then(|outer| known(self, outer));
        let described = self.describe(who);
        let Some(tracer) = &mut self.tracer else {
            return 0;
        };
        let depth = outer.map_or(0, |outer| tracer.parties[outer as usize].depth + 1);
        let number = tracer.parties.len() as u32;
        tracer.parties.push(Party { depth, ..described });
        tracer.since.push(0);
        tracer.numbers.insert(who, number);
        number
    }

    fn describe(&self, who: Who) -> Party {
        let plain = |name: String, kind| Party {
            name,
            kind,
            side: None,
            depth: 0,
            about: String::new(),
            origin: None,
        };
        match who {
            Who::Outside => plain("client".to_owned(), LaneKind::Client),
            Who::App(pod) => plain(
                self.pods[pod as usize].name.to_string(),
                LaneKind::Application,
            ),
            Who::Proxy(proxy, side) => Party {
                side,
                ..self.describe_proxy(proxy)
            },
        }
    }

    fn describe_proxy(&self, proxy: u32) -> Party {
        let pod = &self.pods[self.proxies[proxy as usize].pod as usize];
        let name = pod.name.to_string();
        if pod.gateway == Some(proxy) {
            let facts = self.gateway_of[pod.workload as usize];
            let facts = facts.map(|id| &self.model.gateways()[id.index()]);
            return Party {
                name,
                kind: LaneKind::Gateway,
                side: None,
                depth: 0,
                about: facts.map_or_else(String::new, |f| format!("{}, {}", f.dialect, f.name)),
                origin: facts.and_then(|facts| self.origin_text(facts.origin)),
            };
        }
        let facts = self.model.workloads().get(pod.workload as usize);
        let facts = facts.and_then(|workload| workload.sidecar.as_ref());
        let mesh = self.model.mesh().unwrap_or_default();
        Party {
            name,
            kind: LaneKind::Sidecar,
            side: None,
            depth: 0,
            about: facts.map_or_else(|| mesh.to_owned(), |facts| format!("{mesh}, {}", facts.why)),
            origin: facts.and_then(|facts| self.origin_text(facts.origin)),
        }
    }

    fn say(&mut self, party: u32, said: Said) {
        let origin = self.origin_text(said.origin);
        let now = self.now;
        let Some(tracer) = &mut self.tracer else {
            return;
        };
        let step = Step {
            party,
            at_ns: now.since(tracer.sent).as_nanos(),
            subject: said.subject,
            text: said.text,
            origin,
            failed: said.failed,
        };
        let same = |other: &Step| {
            (other.party, other.subject, &other.text) == (party, step.subject, &step.text)
                && other.origin == step.origin
        };
        // a response goes on its way before the books are closed on its try
        let books = step.subject == Subject::Try
            && tracer.steps.last().is_some_and(|last| {
                last.subject == Subject::Answer && (last.party, last.at_ns) == (party, step.at_ns)
            });
        if books {
            let at = tracer.steps.len() - 1;
            tracer.steps.insert(at, step);
            return;
        }
        let repeats = matches!(
            step.subject,
            Subject::Timeout | Subject::Policy | Subject::Cluster
        );
        let since = tracer.since[party as usize];
        if repeats && tracer.steps[since..].iter().any(same) {
            return;
        }
        tracer.steps.push(step);
    }

    fn who_opened(&self, opener: Opener) -> Who {
        match opener {
            Opener::Pool {
                of: PoolOf::Load(_),
                ..
            } => Who::Outside,
            Opener::Pool {
                of: PoolOf::Pod(pod),
                ..
            } => Who::App(pod),
            Opener::Node { worker, .. } => self.proxy_of(worker),
        }
    }

    /// The side of a worker's proxy that acts at the moment.
    fn proxy_of(&self, worker: u32) -> Who {
        let proxy = self.workers[worker as usize].proxy;
        let acting = self.tracer.as_ref().map(|tracer| &tracer.acting);
        let side = acting.and_then(|acting| acting.get(&proxy).copied());
        Who::Proxy(proxy, side.flatten())
    }

    /// From now on this side of a worker's proxy acts: the one that a connection comes to.
    pub(super) fn trace_acts(&mut self, worker: u32, key: Key) {
        let Some(conn) = self.conns.get(key).filter(|_| self.tracer.is_some()) else {
            return;
        };
        let proxy = self.workers[worker as usize].proxy;
        let is_gateway = self.pods[conn.to as usize].gateway == Some(proxy);
        let side = match (is_gateway, conn.to == conn.from && !conn.from_own_proxy) {
            (true, _) => None,
            (false, true) => Some(Side::Outbound),
            (false, false) => Some(Side::Inbound),
        };
        if let Some(tracer) = &mut self.tracer {
            tracer.acting.insert(proxy, side);
        }
    }

    /// Who works on a request that a worker's proxy has; that side of it acts from now on.
    fn working(&mut self, worker: u32, key: Key) -> Who {
        let known = self.tracer.as_ref().and_then(|it| it.worker(key));
        match known {
            Some(Who::Proxy(proxy, side)) => {
                if let Some(tracer) = &mut self.tracer {
                    tracer.acting.insert(proxy, side);
                }
                Who::Proxy(proxy, side)
            }
            Some(Who::Outside | Who::App(_)) | None => self.proxy_of(worker),
        }
    }

    fn who_sent(&self, key: Key) -> Who {
        let mut key = key;
        while let Some(stream) = self.streams.get(key) {
            match stream.sender {
                Sender::Load { .. } | Sender::Nobody => break,
                Sender::App { pod, .. } => return Who::App(pod),
                Sender::Attempt { worker, .. } => {
                    let outer = self.exchange_of(key);
                    let tracer = self.tracer.as_ref();
                    let known = tracer.and_then(|it| it.worker(outer?));
                    return known.unwrap_or_else(|| self.proxy_of(worker));
                }
                Sender::Pipe(outer) => {
                    if let Some(outer) = self.streams.get(outer)
                        && let Server::Pipe(_) = outer.server
                        && let Some(conn) = self.conns.get(outer.conn)
                        && let Taker::Pipe { worker, .. } = conn.taker
                    {
                        return self.proxy_of(worker);
                    }
                    key = outer;
                }
            }
        }
        self.tracer
            .as_ref()
            .map_or(Who::Outside, |tracer| tracer.client)
    }

    /// The request on whose behalf a try was sent.
    fn exchange_of(&self, attempt: Key) -> Option<Key> {
        let tracer = self.tracer.as_ref()?;
        let mut working = tracer.working.iter().map(|(key, _)| *key);
        working.find(|key| {
            let exchange = self.exchange(*key);
            exchange.is_some_and(|it| it.attempts.iter().any(|(_, at)| *at == attempt))
        })
    }

    fn is_followed(&self, key: Key) -> bool {
        self.is_traced() && self.streams.get(key).is_some_and(|s| s.watched > 0)
    }

    /// The client sends the request.
    pub(super) fn trace_sent(&mut self, request: &str) {
        let now = self.now;
        let Some(tracer) = &mut self.tracer else {
            return;
        };
        tracer.sent = now;
        let who = tracer.client;
        let party = self.party(who, None);
        let said = Said::new(Subject::Request, request.to_owned(), OriginId::NONE);
        self.say(party, said);
    }

    /// Whoever the client asks does not exist.
    pub(super) fn trace_nowhere(&mut self, text: String) {
        let Some(tracer) = &self.tracer else {
            return;
        };
        let party = self.party(tracer.client, None);
        self.say(
            party,
            Said::failed(Subject::Connection, text, OriginId::NONE),
        );
    }

    /// Somebody opens a connection to a pod, or to nobody.
    pub(super) fn trace_dial(&mut self, dial: &Dial, found: Option<(u32, SocketAddr)>) {
        if !self.is_traced() {
            return;
        }
        let who = self.who_opened(dial.opener);
        let party = self.party(who, None);
        let how = match &dial.hello {
            None => "in plaintext".to_owned(),
            Some(hello) => format!("with {}", self.hello_words(hello)),
        };
        let to = match self.service_name(dial.address) {
            Some(service) => format!("{} ({service})", dial.address),
            None => dial.address.to_string(),
        };
        let said = match found {
            Some((pod, _)) if pod == dial.from && !dial.by_proxy => {
                let text = format!("to {to} {how}, which its own sidecar takes");
                Said::new(Subject::Connection, text, OriginId::NONE)
            }
            Some((pod, address)) => {
                let name = self.pods[pod as usize].name.clone();
                let via = match address == dial.address {
                    true => String::new(),
                    false => format!(", which kube-proxy leads to {address}"),
                };
                let text = format!("to {to}{via} ({name}) {how}");
                Said::new(Subject::Connection, text, OriginId::NONE)
            }
            None => {
                let text = format!("to {to} refused: nothing answers there");
                Said::failed(Subject::Connection, text, OriginId::NONE)
            }
        };
        self.say(party, said);
    }

    fn service_name(&self, address: SocketAddr) -> Option<String> {
        let id = self.model.directory().service_at(address.ip())?;
        let service = self.model.services().get(id.index())?;
        Some(format!("Service {}", service.full_name()))
    }

    fn hello_words(&self, hello: &Hello) -> String {
        let name = match hello.sni.is_empty() {
            true => String::new(),
            false => format!(" for {}", hello.sni),
        };
        match &hello.identity {
            Some(identity) if hello.pod != OUTSIDE => format!("mutual TLS as {identity}{name}"),
            Some(_) | None => format!("TLS{name}"),
        }
    }

    /// An application does not take a connection.
    pub(super) fn trace_deaf(&mut self, key: Key, pod: u32, port: u16) {
        if !self.is_traced() {
            return;
        }
        let outer = self.conns.get(key).map(|conn| self.who_opened(conn.opener));
        let party = self.party(Who::App(pod), outer);
        let app = self.pods[pod as usize].app.as_ref();
        let text = match app.is_some_and(|app| app.is_listening()) {
            true => format!("refuses the connection: no container names port {port}"),
            false => "refuses the connection: its process is down".to_owned(),
        };
        self.say(
            party,
            Said::failed(Subject::Connection, text, OriginId::NONE),
        );
    }

    /// A proxy has decided what a connection becomes.
    pub(super) fn trace_taken(&mut self, key: Key, worker: u32) {
        if !self.is_traced() {
            return;
        }
        let Some(conn) = self.conns.get(key) else {
            return;
        };
        let outer = self.who_opened(conn.opener);
        let downstream = match conn.taker {
            Taker::Node { downstream, .. } | Taker::Pipe { downstream, .. } => downstream,
            Taker::App(_) | Taker::Nobody => return,
        };
        let is_plain = conn.hello.is_none();
        let peer = conn.hello.as_ref().and_then(|hello| hello.identity.clone());
        let node = &self.workers[worker as usize].node;
        let Some((listener, Some(chain))) = node.taken_by(downstream) else {
            return;
        };
        let transport = match (&chain.transport, peer) {
            (DownstreamTransport::Plaintext, _) if is_plain => "plaintext".to_owned(),
            (DownstreamTransport::Plaintext, _) => "TLS that does not end here".to_owned(),
            (DownstreamTransport::Tls { mutual: true, .. }, Some(peer)) => {
                format!("mutual TLS from {peer} ends here")
            }
            (DownstreamTransport::Tls { .. }, _) => "TLS ends here".to_owned(),
        };
        let what = match &chain.action {
            ChainAction::Http(_) => "requests are read",
            ChainAction::Tcp(_) | ChainAction::Udp(_) => "bytes are carried on unread",
            ChainAction::Close(_) => "it is closed",
        };
        let text = format!("{}: {transport}, {what}", rules::listener_words(listener));
        let said = Said::new(Subject::Connection, text, chain.origin);
        let who = self.proxy_of(worker);
        let party = self.party(who, Some(outer));
        self.say(party, said);
    }

    /// A proxy has closed a connection by a rule.
    pub(super) fn trace_closed(
        &mut self,
        worker: u32,
        target: Target,
        reason: CloseReason,
        origin: OriginId,
    ) {
        let (true, Target::Downstream(_, token)) = (self.is_traced(), target) else {
            return;
        };
        let Some(conn) = self.conns.get(Key::of(token)) else {
            return;
        };
        let outer = self.who_opened(conn.opener);
        let seen = match &conn.hello {
            None => "plaintext".to_owned(),
            Some(hello) => self.hello_words(hello),
        };
        let destination = conn.dest;
        self.trace_acts(worker, Key::of(token));
        let who = self.proxy_of(worker);
        let arrival = match who {
            Who::Proxy(_, Some(Side::Outbound)) => Arrival::Outbound,
            Who::Proxy(_, Some(Side::Inbound)) => Arrival::Inbound,
            Who::Proxy(_, None) | Who::Outside | Who::App(_) => Arrival::Dialled,
        };
        let node = &self.workers[worker as usize].node;
        let listener = node.listener_for(arrival, destination);
        let text = rules::close_words(reason, &seen, listener);
        let party = self.party(who, Some(outer));
        self.say(party, Said::failed(Subject::Connection, text, origin));
    }

    /// The request has reached a proxy, or an application.
    pub(super) fn trace_arrival(&mut self, key: Key, worker: Option<u32>, pod: u32) {
        if !self.is_followed(key) {
            return;
        }
        let outer = self.who_sent(key);
        let conn = self.streams.get(key).map(|stream| stream.conn);
        if let (Some(worker), Some(conn)) = (worker, conn) {
            self.trace_acts(worker, conn);
        }
        let who = worker.map_or(Who::App(pod), |worker| self.proxy_of(worker));
        let party = self.party(who, Some(outer));
        let workload = self.pods[pod as usize].workload;
        let head = self.streams.get(key).map(|stream| stream.head);
        let Some(tracer) = &mut self.tracer else {
            return;
        };
        tracer.since[party as usize] = tracer.steps.len();
        tracer.working.push((key, who));
        if worker.is_none() {
            tracer.server = Some((party, workload));
        }
        if let Some(head) = head {
            let content = self.heads.content(head);
            let text = format!("{} {}{}", content.method, content.authority, content.path);
            self.say(party, Said::new(Subject::Request, text, OriginId::NONE));
        }
    }

    /// Whoever works on the request has answered.
    pub(super) fn trace_answer(&mut self, key: Key, status: u16) {
        if !self.is_followed(key) {
            return;
        }
        let who = match self.streams.get(key).map(|stream| stream.server) {
            Some(Server::App { pod, .. }) => Who::App(pod),
            Some(Server::Node { worker, .. }) => self.working(worker, key),
            Some(Server::Nobody | Server::Pipe(_)) | None => return,
        };
        let party = self.party(who, None);
        self.say(
            party,
            Said {
                subject: Subject::Answer,
                text: status.to_string(),
                origin: OriginId::NONE,
                failed: status >= 500,
            },
        );
    }

    /// A proxy has decided something about the request.
    pub(super) fn trace_decision(
        &mut self,
        worker: u32,
        key: Key,
        decision: &Decision,
        origin: OriginId,
    ) {
        if !self.is_followed(key) {
            return;
        }
        let who = self.working(worker, key);
        let node = &self.workers[worker as usize].node;
        let text = decisions::words(node, decision, &|address| {
            let pod = self.by_ip.get(&address.ip())?;
            Some(format!("{} at {address}", self.pods[*pod as usize].name))
        });
        let subject = subject_of(decision);
        let text = match text.strip_prefix(subject.text()) {
            Some(rest) if rest.starts_with(' ') => rest.trim_start().to_owned(),
            Some(_) | None => text,
        };
        let mut all = Vec::new();
        match *decision {
            // what comes of a try says it too
            Decision::NoRetry(_) | Decision::Connection(ConnectionChoice::Opened) => return,
            Decision::NoRoute => {
                let hosts = self.hosts_asked(worker, key);
                all.push(Said::failed(
                    Subject::Route,
                    format!("{text}: {hosts}"),
                    origin,
                ));
            }
            Decision::Route { .. } => {
                all.push(Said::new(Subject::Route, text, origin));
                all.extend(of_route(node, decision));
            }
            Decision::Cluster(id) => {
                all.push(Said::new(Subject::Cluster, text, origin));
                let origins = &self.books.recorder.setup().origins;
                let values = node
                    .cluster(id)
                    .map(|cluster| policies::of_cluster(cluster, origins));
                self.say_values(who, all, values.unwrap_or_default());
                return;
            }
            Decision::LocalReply(_) => all.push(Said::failed(Subject::Answer, text, origin)),
            Decision::Endpoint { .. }
            | Decision::Connection(ConnectionChoice::Reused | ConnectionChoice::Queued)
            | Decision::Timeout { .. }
            | Decision::TimeoutVoid(_)
            | Decision::Retry { .. }
            | Decision::Hedge
            | Decision::FaultDelay(_)
            | Decision::FaultAbort(_)
            | Decision::RateLimit { .. }
            | Decision::GateDelay(_)
            | Decision::InFlight { .. }
            | Decision::Breaker { .. }
            | Decision::Mirror(_) => all.push(Said::new(subject, text, origin)),
        }
        let party = self.party(who, None);
        for said in all {
            self.say(party, said);
        }
    }

    /// Says what holds for a cluster; the texts of its origins are made already.
    fn say_values(&mut self, who: Who, first: Vec<Said>, values: Vec<reports::setup::PolicyValue>) {
        let party = self.party(who, None);
        for said in first {
            self.say(party, said);
        }
        for value in values {
            let text = format!("{}: {}", value.name, value.value);
            self.say(party, Said::new(Subject::Policy, text, OriginId::NONE));
            let last = self
                .tracer
                .as_mut()
                .and_then(|tracer| tracer.steps.last_mut());
            if let Some(step) = last.filter(|step| step.subject == Subject::Policy) {
                step.origin = Some(value.origin).filter(|text| !text.is_empty());
            }
        }
    }

    /// The hosts that the table knows which a request was looked up in.
    fn hosts_asked(&self, worker: u32, key: Key) -> String {
        let conn = self.streams.get(key).map(|stream| stream.conn);
        let taker = conn.and_then(|conn| self.conns.get(conn)).map(|c| c.taker);
        let Some(Taker::Node { downstream, .. }) = taker else {
            return String::new();
        };
        let table = self.workers[worker as usize].node.table_of(downstream);
        table.map_or_else(String::new, rules::hosts_words)
    }

    /// A proxy's try is over.
    pub(super) fn trace_attempt(&mut self, worker: u32, record: &AttemptRecord) {
        if !self.is_followed(Key::of(record.token)) {
            return;
        }
        let (mut outcome, failed) = decisions::result_words(record.result);
        let next = match (record.result, record.next) {
            (AttemptResult::Cancelled, _) => {
                "given up: its caller did not wait".clone_into(&mut outcome);
                ""
            }
            (_, next) => decisions::next_words(next),
        };
        let text = match next.is_empty() {
            true => format!("{}: {outcome}", record.number),
            false => format!("{}: {outcome}, {next}", record.number),
        };
        let who = self.working(worker, Key::of(record.token));
        let party = self.party(who, None);
        // that a success is passed on needs no rule
        let origin = match (failed, record.next) {
            (false, Next::Final | Next::Superseded) => OriginId::NONE,
            _ => record.origin,
        };
        self.say(
            party,
            Said {
                subject: Subject::Try,
                text,
                origin,
                failed,
            },
        );
    }

    /// The client knows how it ended.
    pub(super) fn trace_end(&mut self, outcome: Outcome) {
        let now = self.now;
        if let Some(tracer) = &mut self.tracer {
            tracer.ended.get_or_insert((now, outcome));
        }
    }
}

fn of_route(node: &Node, decision: &Decision) -> Vec<Said> {
    let Decision::Route {
        section,
        table,
        host,
        route,
    } = *decision
    else {
        return Vec::new();
    };
    let at = RouteRef {
        section,
        table,
        host,
        route,
    };
    let lines = decisions::route_at(node, at).map(|(_, route)| rules::of_route(route));
    let lines = lines.into_iter().flatten();
    lines
        .map(|line| Said::new(line.subject, line.text, line.origin))
        .collect()
}

const fn subject_of(decision: &Decision) -> Subject {
    match decision {
        Decision::Route { .. } | Decision::NoRoute => Subject::Route,
        Decision::Cluster(_) => Subject::Cluster,
        Decision::Endpoint { .. } => Subject::Endpoint,
        Decision::Connection(_) => Subject::Connection,
        Decision::Timeout { .. } | Decision::TimeoutVoid(_) => Subject::Timeout,
        Decision::Retry { .. } | Decision::NoRetry(_) | Decision::Hedge => Subject::Retries,
        Decision::FaultDelay(_)
        | Decision::FaultAbort(_)
        | Decision::RateLimit { .. }
        | Decision::GateDelay(_)
        | Decision::InFlight { .. }
        | Decision::Breaker { .. }
        | Decision::Mirror(_) => Subject::Filter,
        Decision::LocalReply(_) => Subject::Answer,
    }
}
