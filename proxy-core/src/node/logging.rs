//! What is kept of an exchange for access logs, and whether they have a record of it.

use smallvec::SmallVec;

use super::Node;
use super::cluster::Host;
use super::configs::{Configs, Place};
use super::contract::{Action, EditKey, RouteRef, Target};
use super::heads::edit_key;
use super::machine::{Env, Exchange, Machine};
use super::rules::choose_weighted;
use crate::config::{
    ChainAction, Cluster, ClusterIndex, FilterChain, HttpConnections, Listener, RouteTracing,
};
use crate::event::{AttemptFailure, AttemptResult};
use crate::heads::{HeadId, HeadWriter, Heads};
use crate::ids::{DownstreamId, EndpointSlot, ExchangeId, UpstreamId};
use crate::log::{AccessLog, Exchanged, LogKind, LogRecord, Moments, Wants};
use crate::reply::{Details, Flags, ReplyReason};
use crate::route::{self, Departure, RequestView};
use crate::time::Time;
use crate::trace::Trace;

/// What is kept of an exchange of which a log may have a record.
#[derive(Clone, Debug, Default)]
pub(super) struct Note {
    moments: Moments,
    sent: u64,
    grpc: Option<u32>,
    details: Details,
    endpoint: Option<EndpointSlot>,
    upstream: Option<UpstreamId>,
    attempted: SmallVec<[EndpointSlot; 2]>,
    failure: Option<AttemptFailure>,
    /// Whether the client went away.
    gone: bool,
    /// Its trace, where it is traced.
    pub(super) trace: Option<Box<Trace>>,
}

impl Note {
    /// A try goes to this endpoint, once there is a connection.
    pub(super) fn chose(&mut self, number: u16, endpoint: Option<EndpointSlot>, now: Time) {
        if let Some(trace) = &mut self.trace {
            trace.try_begun(number, endpoint, now);
        }
        self.endpoint = endpoint;
        self.upstream = None;
        self.failure = None;
        self.moments.upstream_request_start = None;
    }

    /// It is sent.
    pub(super) fn sent(
        &mut self,
        number: u16,
        endpoint: EndpointSlot,
        (upstream, http2): (UpstreamId, bool),
        now: Time,
    ) {
        if let Some(trace) = &mut self.trace {
            trace.try_sent(number, http2, now);
        }
        self.endpoint = Some(endpoint);
        self.upstream = Some(upstream);
        self.moments.upstream_request_start = Some(now);
        self.attempted.push(endpoint);
    }

    /// Its response begins.
    pub(super) fn try_answered(&mut self, number: u16, status: u16, now: Time) {
        if let Some(trace) = &mut self.trace {
            trace.try_answered(number, status, now);
        }
    }

    /// It is over.
    pub(super) fn try_ended(
        &mut self,
        number: u16,
        result: AttemptResult,
        (flags, whole): (Flags, bool),
        now: Time,
    ) {
        if let Some(trace) = &mut self.trace {
            trace.try_ended(number, result, (flags, whole), now);
        }
    }

    /// Its response goes to the client.
    pub(super) fn answered(
        &mut self,
        endpoint: Option<EndpointSlot>,
        upstream: Option<UpstreamId>,
        now: Time,
    ) {
        self.endpoint = endpoint;
        self.upstream = upstream;
        self.failure = None;
        self.details = Details::ViaUpstream;
        self.moments.upstream_response_start = Some(now);
        self.moments.response_start = Some(now);
    }

    /// Its response is not the switch that was asked for.
    pub(super) const fn not_switched(&mut self) {
        self.details = Details::NotSwitched;
    }

    /// What the head of the latest response says of gRPC.
    pub(super) const fn grpc_in_head(&mut self, grpc: Option<u32>) {
        self.grpc = grpc;
    }

    pub(super) const fn data(&mut self, bytes: u64) {
        self.sent += bytes;
    }

    pub(super) fn response_end(&mut self, grpc: Option<u32>, now: Time) {
        self.grpc = grpc.or(self.grpc);
        self.moments.upstream_response_end = Some(now);
    }

    pub(super) const fn failed(&mut self, failure: AttemptFailure) {
        self.failure = Some(failure);
    }

    pub(super) fn replied(
        &mut self,
        reason: ReplyReason,
        http2: bool,
        grpc: Option<u32>,
        now: Time,
    ) {
        self.details = Details::Reply { reason, http2 };
        self.grpc = grpc;
        self.moments.response_start = Some(now);
    }

    pub(super) const fn broke_off(&mut self, reason: ReplyReason) {
        self.details = Details::BrokenOff(reason);
    }

    pub(super) const fn client_gone(&mut self) {
        self.details = Details::ClientGone;
        self.gone = true;
    }
}

impl Exchange {
    /// The response of this try goes to the client.
    #[cold]
    pub(super) fn note_answer(&mut self, number: u16, end: bool, now: Time) {
        let attempt = self.attempt(number);
        let (endpoint, upstream) = attempt.map_or((None, None), |a| (a.endpoint, a.upstream));
        if let Some(log) = &mut self.log {
            log.answered(endpoint, upstream, now);
            if end {
                log.response_end(None, now);
            }
        }
    }
}

/// A record that the driver is to write.
#[derive(Clone, Debug)]
pub(super) struct Logged {
    pub(super) place: Place,
    record: LogRecord,
    /// Logs that have it, by their numbers.
    passed: SmallVec<[u16; 4]>,
    route: Option<RouteRef>,
    cluster: Option<ClusterIndex>,
    /// How the request left.
    key: EditKey,
    head: Option<HeadId>,
    edge: bool,
    tells: bool,
    trace: Option<Box<Trace>>,
    source: Source,
}

/// Whose logs have a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Source {
    Requests,
    Tcp,
    Listener,
}

impl Source {
    /// The logs.
    pub(super) fn logs(self, configs: &Configs, place: Place) -> &[AccessLog] {
        let listener = || {
            let section = configs.section(place.config, place.section);
            section.listeners().get(place.listener as usize)
        };
        match self {
            Self::Requests => configs.http(place).map_or(&[], |http| http.logs.all()),
            Self::Tcp => {
                let chain = listener().and_then(|it| it.chains.get(place.chain as usize));
                match chain.map(|chain| &chain.action) {
                    Some(ChainAction::Tcp(tcp)) => tcp.logs.all.all(),
                    Some(ChainAction::Http(_) | ChainAction::Udp(_) | ChainAction::Close(_))
                    | None => &[],
                }
            }
            Self::Listener => listener().map_or(&[], |it| it.logs.all()),
        }
    }
}

impl Logged {
    /// The record of a connection.
    pub(super) const fn of_connection(
        place: Place,
        record: LogRecord,
        passed: SmallVec<[u16; 4]>,
        source: Source,
        cluster: Option<ClusterIndex>,
    ) -> Self {
        Self {
            place,
            record,
            passed,
            route: None,
            cluster,
            key: EditKey::NONE,
            head: None,
            edge: false,
            tells: false,
            trace: None,
            source,
        }
    }
}

/// A record, and what is known of where it comes from.
#[derive(Clone, Copy, Debug)]
pub struct Record<'n> {
    /// What it says.
    pub record: &'n LogRecord,
    /// The listener that took the client's connection.
    pub listener: &'n Listener,
    /// The filter chain, if there is one.
    pub chain: Option<&'n FilterChain>,
    /// The name of the route that took the request, if it was given one.
    pub route_name: Option<&'n str>,
    /// The cluster that the route stands for.
    pub cluster: Option<&'n Cluster>,
    /// Its trace, if it is one whose spans are sent.
    pub trace: Option<&'n Trace>,
    /// What its route has to say of tracing.
    pub route_tracing: Option<&'n RouteTracing>,
    logs: &'n [AccessLog],
    passed: &'n [u16],
}

impl<'n> Record<'n> {
    /// How requests of its connection are treated; none: it is no request's.
    #[must_use]
    pub fn http(self) -> Option<&'n HttpConnections> {
        match &self.chain?.action {
            ChainAction::Http(http) => Some(http),
            ChainAction::Tcp(_) | ChainAction::Udp(_) | ChainAction::Close(_) => None,
        }
    }

    /// The logs that have it.
    pub fn logs(self) -> impl Iterator<Item = &'n AccessLog> {
        self.passed
            .iter()
            .map(move |at| &self.logs[usize::from(*at)])
    }
}

impl Machine {
    /// Decides which logs have a record of an exchange that ends now.
    #[cold]
    pub(super) fn log_exchange<S, H: Heads>(&mut self, env: &Env<'_, S, H>, id: ExchangeId) {
        let exchange = self.exchange_mut(id);
        let Some(mut note) = exchange.log.take() else {
            return;
        };
        let exchange = self.exchange(id);
        let Some(http) = env.configs.http(exchange.place) else {
            return;
        };
        let moments = settled(&note, exchange, env.now);
        let view = exchange.view(env.heads);
        let seen = Exchanged {
            status: exchange.status,
            flags: exchange.flags,
            took: env.now.since(exchange.start),
            grpc: note.grpc,
            request: Some(view),
            key: exchange.key,
        };
        let passed = passed(http.logs.all(), &seen);
        let is_sent = note.trace.as_ref().is_some_and(|trace| trace.is_sent());
        if passed.is_empty() && !is_sent {
            return;
        }
        let downstream = exchange.downstream.expect("a copy has no note");
        let record = LogRecord {
            kind: LogKind::DownstreamEnd,
            downstream,
            status: exchange.status,
            flags: exchange.flags,
            details: note.details,
            http2: exchange.http2,
            received: exchange.request_bytes,
            sent: note.sent,
            grpc: note.grpc,
            attempts: exchange.tries,
            cluster: exchange.cluster,
            endpoint: note.endpoint,
            upstream: note.upstream,
            attempted: note.attempted,
            failure: note.failure,
            moments,
            key: exchange.key,
        };
        let key = match exchange.tries {
            0 => EditKey::NONE,
            last => edit_key(exchange, last, || note.endpoint),
        };
        let logged = Logged {
            place: exchange.place,
            record,
            passed,
            route: exchange.route,
            cluster: cluster_of(exchange, env),
            key,
            head: Some(exchange.head),
            edge: exchange.edge,
            tells: exchange.tells,
            trace: note.trace.take(),
            source: Source::Requests,
        };
        let target = Target::Exchange(id, exchange.token);
        self.keep_record(target, logged);
    }

    pub(super) fn keep_record(&mut self, target: Target, logged: Logged) {
        self.use_config(logged.place.config);
        let record = self.logged.len() as u32;
        self.logged.push(logged);
        self.push(target, Action::Log { record });
    }
}

/// Numbers of the logs that have a record.
pub(super) fn passed<H: Heads>(logs: &[AccessLog], seen: &Exchanged<'_, H>) -> SmallVec<[u16; 4]> {
    let numbered = logs.iter().enumerate();
    let passing = numbered.filter(|(_, log)| log.filter.as_ref().is_none_or(|f| f.passes(seen)));
    passing.map(|(at, _)| at as u16).collect()
}

/// The cluster of an exchange's route, whether or not it went there.
fn cluster_of<S, H>(exchange: &Exchange, env: &Env<'_, S, H>) -> Option<ClusterIndex> {
    let forward = exchange.forward(env.configs)?;
    let chosen = match &forward.clusters[..] {
        [only] => only,
        all => &all[choose_weighted(forward, exchange.key)],
    };
    chosen.cluster
}

fn settled(note: &Note, exchange: &Exchange, now: Time) -> Moments {
    let mut moments = note.moments;
    moments.start = exchange.start;
    moments.end = now;
    moments.request_end = exchange.request_done.then_some(exchange.completed);
    moments.upstream_request_end = moments
        .upstream_request_start
        .filter(|_| exchange.request_done)
        .map(|sent| sent.max(exchange.completed));
    moments.response_end = moments.response_start.filter(|_| !note.gone).map(|_| now);
    moments
}

/// Writes what the last try told of its trace. False: there was none.
fn write_logged_trace(logged: &Logged, out: &mut impl HeadWriter) -> bool {
    match (&logged.trace, logged.record.attempts) {
        (Some(trace), 1..) => {
            trace.write(logged.record.attempts, out);
            true
        }
        (Some(_) | None, _) => false,
    }
}

impl Node {
    /// What a driver has to keep of the requests of a connection until their records are written; none: no log has any.
    #[must_use]
    pub fn log_wants(&self, downstream: DownstreamId) -> Option<Wants> {
        let down = self.machine.downstreams.get(downstream)?;
        let http = self.configs.http(down.place)?;
        let logs = &http.logs;
        let traces = http.tracing.is_some();
        let wants = logs.wants();
        // of gRPC a span says what its response had to say
        (traces || !logs.is_empty()).then_some(Wants {
            response: wants.response || traces,
            trailers: wants.trailers || traces,
        })
    }

    /// A record that [`Action::Log`] asks for, until all actions of its call are done.
    #[must_use]
    pub fn logged(&self, record: u32) -> Option<Record<'_>> {
        let logged = self.machine.logged.get(record as usize)?;
        let place = logged.place;
        let section = self.configs.section(place.config, place.section);
        let listener = section.listeners().get(place.listener as usize)?;
        let cluster = logged.cluster;
        Some(Record {
            record: &logged.record,
            listener,
            chain: listener.chains.get(place.chain as usize),
            route_name: logged.route.and_then(|at| self.route_name(place, at)),
            cluster: cluster.map(|at| &**self.configs.cluster(place.config, place.section, at)),
            trace: logged.trace.as_deref().filter(|trace| trace.is_sent()),
            route_tracing: logged
                .route
                .and_then(|at| self.configs.route(place.config, at).tracing.as_deref()),
            logs: logged.source.logs(&self.configs, place),
            passed: &logged.passed,
        })
    }

    /// The name that a route was given; one without has its place for a name.
    fn route_name(&self, place: Place, at: RouteRef) -> Option<&str> {
        let name = &*self.configs.route(place.config, at).name;
        let section = self.configs.section(place.config, at.section);
        let table = &*section.tables()[at.table as usize].name;
        let host = &*self.configs.virtual_host(place.config, at).name;
        let made = || {
            let rest = name.strip_prefix(table)?.strip_prefix('/')?;
            let number = rest.strip_prefix(host)?.strip_prefix('/')?;
            Some(number == at.route.to_string())
        };
        (!name.is_empty() && made() != Some(true)).then_some(name)
    }

    /// Turns a copy of the head of a record's request into the head that left with its last try. False: nothing changes.
    pub fn write_logged_head<H: Heads>(
        &self,
        record: u32,
        heads: &H,
        out: &mut impl HeadWriter,
    ) -> bool {
        let Some(logged) = self.machine.logged.get(record as usize) else {
            return false;
        };
        let key = logged.key;
        let (at, head) = match (logged.route, logged.head) {
            (Some(at), Some(head)) if key.changes => (at, head),
            _ => return write_logged_trace(logged, out),
        };
        let endpoint = logged.record.endpoint;
        let departure = Departure {
            weighted: usize::from(key.weighted),
            controls: heads.received(head).is_none_or(|it| it.controls),
            attempt_count: (key.attempt_count > 0).then_some(key.attempt_count),
            timeout_ms: key.timeout_ms,
            endpoint_host: self.hostname(logged.record.cluster, endpoint),
            copied: key.copied,
            tells: logged.tells,
        };
        let view = RequestView {
            heads,
            head,
            edge: logged.edge,
        };
        let route = self.configs.route(logged.place.config, at);
        route::write_request(route, view, departure, out);
        write_logged_trace(logged, out);
        true
    }

    /// What an endpoint is called; empty where it has no name.
    #[must_use]
    pub fn hostname(
        &self,
        cluster: Option<crate::ids::ClusterId>,
        endpoint: Option<EndpointSlot>,
    ) -> &str {
        let cluster = cluster.and_then(|id| self.machine.cluster(id));
        let host = cluster
            .zip(endpoint)
            .and_then(|(cluster, slot)| cluster.hosts.get(slot.0 as usize));
        host.map_or("", |host: &Host| &host.hostname)
    }
}
