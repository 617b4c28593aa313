//! The heads of messages that come and leave.

use core::net::IpAddr;

use super::machine::{Answer, Exchange, Passage};
use super::tracing::write_operation;
use super::{EditKey, Node, RouteRef};
use crate::config::{Forward, HeadLimits, HeadRules, HttpFilter, RouteAction, Scheme};
use crate::draw::DrawKey;
use crate::heads::{ArrivingHead, Asks, Field, HeadId, HeadWriter, Heads, Received};
use crate::ids::{AttemptId, DownstreamId, EndpointSlot, ExchangeId};
use crate::route::{self, Copied, Departure, RequestView};
use crate::sanitize::{self, Certificates, Client, IdKeys};
use crate::time::Time;

/// A request that has just come.
#[derive(Clone, Copy, Debug)]
pub struct Arrived {
    /// On which connection.
    pub downstream: DownstreamId,
    /// Names its draws.
    pub key: DrawKey,
    /// This machine's address, under which upstreams are told of a client on the same machine.
    pub own_address: IpAddr,
}

impl Node {
    /// Does to the head of a request what the rules of its connection say, whatever its route; to be called before [`Node::request`],
    /// which goes by what came of it ([`Heads::received`]). None: there are no such rules, and the head is as it came.
    ///
    /// `certificates` gives what the two ends of the connection with this number of the driver's have shown; it is asked once.
    pub fn receive(
        &mut self,
        arrived: Arrived,
        certificates: impl FnOnce(u64) -> Option<Certificates>,
        head: &mut impl ArrivingHead,
    ) -> Option<Received> {
        let down = self.machine.downstreams.get_mut(arrived.downstream)?;
        let http = self.configs.http(down.place)?;
        let rules = http.heads.as_deref()?;
        let client = match &mut down.client {
            Some(known) if known.0 == down.place => known,
            unknown => {
                let certificates = certificates(down.token);
                let ends = (down.accept.source, down.accept.destination);
                let own = arrived.own_address;
                let client = Client::new(rules, ends, down.tls, own, certificates.as_ref());
                unknown.insert(Box::new((down.place, client)))
            }
        };
        let keys = IdKeys {
            request: arrived.key,
            node: self.machine.identity.key,
        };
        Some(sanitize::receive(
            rules,
            &client.1,
            keys,
            &http.upgrades,
            head,
        ))
    }

    /// What a request asks for besides an answer, where there are no rules for its head.
    #[must_use]
    pub fn asks(&self, downstream: DownstreamId, head: &impl ArrivingHead) -> Asks {
        let down = self.machine.downstreams.get(downstream);
        let http = down.and_then(|down| self.configs.http(down.place));
        http.map_or(Asks::Nothing, |http| sanitize::asks(&http.upgrades, head))
    }

    /// Whether clients may ask for upgrades over HTTP/2, too (RFC 8441).
    #[must_use]
    pub fn upgrades_http2(&self, downstream: DownstreamId) -> bool {
        let down = self.machine.downstreams.get(downstream);
        let http = down.and_then(|down| self.configs.http(down.place));
        http.is_some_and(|http| http.upgrades.http2)
    }

    /// What the heads of requests may have on a connection; none: nobody says.
    #[must_use]
    pub fn head_limits(&self, downstream: DownstreamId) -> Option<HeadLimits> {
        let down = self.machine.downstreams.get(downstream)?;
        Some(self.configs.http(down.place)?.heads.as_deref()?.limits)
    }

    /// The scheme that a request leaves with, where the protocol of its endpoint has one; `tls`: whether the connection has it.
    #[must_use]
    pub fn scheme_for<'h, H: Heads>(
        &self,
        exchange: ExchangeId,
        tls: bool,
        heads: &'h H,
    ) -> &'h str {
        let of_connection = Scheme::over(tls).as_str();
        let Some(exchange) = self.machine.exchanges.get(exchange) else {
            return of_connection;
        };
        let rules = self.configs.http(exchange.place);
        match rules.and_then(|http| http.heads.as_deref()) {
            Some(rules) if !rules.scheme_of_upstream => heads.scheme(exchange.head),
            Some(_) | None => of_connection,
        }
    }

    /// How the head of a try's request leaves, in a form that can be compared.
    #[must_use]
    #[inline]
    pub fn edit_key(&self, attempt: AttemptId) -> EditKey {
        let Some(exchange) = self.machine.exchanges.get(attempt.exchange) else {
            return EditKey::NONE;
        };
        let endpoint = || exchange.attempt(attempt.number).and_then(|a| a.endpoint);
        edit_key(exchange, attempt.number, endpoint)
    }

    /// Whether the headers of a request may be read again once this try has its head; if not, a driver may send those that came and
    /// needs no copy of them. Its method, authority and path, and what came of its head ([`Heads::received`]), may always be read.
    #[must_use]
    pub fn keeps_headers<H: Heads>(&self, attempt: AttemptId, heads: &H) -> bool {
        let Some(exchange) = self.machine.exchanges.get(attempt.exchange) else {
            return true;
        };
        let tried_again = exchange.retries_left > 0 || exchange.attempts.iter().count() > 1;
        let is_plain = exchange.passage == Passage::No && exchange.downstream.is_some();
        let asked = exchange.controls || exchange.log.is_some() || exchange.session.is_some();
        if tried_again || !is_plain || asked {
            return true;
        }
        let Some(http) = self.configs.http(exchange.place) else {
            return true;
        };
        let told = || heads.received(exchange.head).is_some_and(|it| it.traced);
        let names_request = |rules: &HeadRules| rules.request_id.in_response || told();
        if http.tracing.is_some() || http.heads.as_deref().is_some_and(names_request) {
            return true;
        }
        let cors = || {
            let route = exchange
                .route
                .map(|at| self.configs.route(exchange.place.config, at));
            route.is_some_and(|route| route.cors.is_some())
        };
        let needed =
            |forward: &Forward| !forward.mirrors.is_empty() || forward.largest_body.is_some();
        let forward = exchange.forward(&self.configs);
        forward.is_none_or(needed) || cors() || exchange.view(heads).is_grpc()
    }

    /// Turns a copy of the request's head, which `out` holds, into the head that leaves with a try.
    pub fn write_head<H: Heads>(&self, attempt: AttemptId, heads: &H, out: &mut impl HeadWriter) {
        let key = self.edit_key(attempt);
        let exchange = self.machine.exchanges.get(attempt.exchange);
        let Some(exchange) = exchange.filter(|_| key.changes) else {
            return;
        };
        let Some(at) = exchange.route else {
            return;
        };
        let slot = exchange.attempt(attempt.number).and_then(|a| a.endpoint);
        let cluster = exchange.cluster.and_then(|id| self.machine.cluster(id));
        let host = cluster.zip(slot).map(|(c, slot)| &c.hosts[slot.0 as usize]);
        let departure = Departure {
            weighted: usize::from(exchange.weighted),
            controls: heads.received(exchange.head).is_none_or(|it| it.controls),
            attempt_count: (key.attempt_count > 0).then_some(key.attempt_count),
            timeout_ms: key.timeout_ms,
            endpoint_host: host.map_or("", |h| &h.hostname),
            copied: key.copied,
            tells: exchange.tells,
        };
        let route = self.configs.route(exchange.place.config, at);
        route::write_request(route, exchange.view(heads), departure, out);
    }

    /// Turns a copy of a response's head, the node's own answers included, into the head that the client gets.
    pub fn write_response<H: Heads>(
        &self,
        now: Time,
        exchange: ExchangeId,
        heads: &H,
        out: &mut impl HeadWriter,
    ) {
        let answer = match self.machine.exchanges.get(exchange) {
            Some(running) => Answer::of(running),
            None => {
                let mut answered = self.machine.answered.iter();
                match answered.find(|it| it.exchange == exchange) {
                    Some(ended) => ended.answer.clone(),
                    None => return,
                }
            }
        };
        let http = self.configs.http(answer.place);
        let rules = http.and_then(|http| http.heads.as_deref());
        if let Some(complete) = answer.complete.filter(|_| rules.is_some()) {
            out.set_number(Field::ServiceTime, now.since(complete).as_millis());
        }
        if let Some(at) = answer.route.filter(|_| answer.edits) {
            let route = self.configs.route(answer.place.config, at);
            let forwards = matches!(route.action, RouteAction::Forward(_));
            if !answer.preflight && (forwards || !answer.before_the_router) {
                route::write_response(route, usize::from(answer.weighted), out);
            }
            if let (RouteAction::Forward(forward), Some(endpoint)) =
                (&route.action, answer.holds_to)
                && let Some(session) = &forward.session
            {
                super::sticky::write(session, endpoint, out);
            }
            if let Some(cors) = &route.cors
                && http.is_some_and(|http| http.filters.iter().any(is_cors))
            {
                super::cors::write(cors, answer.head, heads, answer.preflight, out);
            }
        }
        for (name, value) in answer.gated.iter().flat_map(|gated| &gated.told) {
            out.set(name, value);
        }
        if let Some(tries) = answer.tries {
            out.set_number(Field::AttemptCount, u64::from(tries));
        }
        if answer.overloaded && rules.is_some() {
            out.set("x-envoy-overloaded", "true");
        }
        if let Some(http) = http.filter(|http| http.tracing.is_some()) {
            let told = answer.route.filter(|_| answer.decorated);
            let told = told.and_then(|at| {
                let route = self.configs.route(answer.place.config, at);
                Some(&*route.tracing.as_deref()?.decorator.as_ref()?.operation)
            });
            write_operation(http, told, out);
        }
        if let Some(rules) = rules {
            let traced = heads.received(answer.head).is_some_and(|it| it.traced);
            let id = || heads.header(answer.head, Field::RequestId.name());
            sanitize::write_response(rules, traced, id, out);
        }
    }

    /// The configuration whose route has just answered by itself.
    fn answering(&self, at: RouteRef) -> u32 {
        let mut answered = self.machine.answered.iter();
        let found = answered.find(|it| it.answer.route == Some(at));
        found.map_or_else(|| self.configs.current(), |it| it.answer.place.config)
    }

    /// The `Location` of a redirect that a local reply with this route asks for.
    #[must_use]
    pub fn redirect<H: Heads>(
        &self,
        at: RouteRef,
        scheme: &str,
        head: HeadId,
        heads: &H,
    ) -> Option<String> {
        let route = self.configs.route(self.answering(at), at);
        let view = RequestView {
            heads,
            head,
            edge: false,
        };
        match &route.action {
            RouteAction::Redirect(redirect) => {
                Some(route::redirect_location(route, redirect, scheme, view))
            }
            RouteAction::Forward(_) | RouteAction::Direct(_) => None,
        }
    }

    /// The body of a direct response that a local reply with this route asks for.
    #[must_use]
    pub fn direct_body(&self, at: RouteRef) -> Option<&str> {
        match &self.configs.route(self.answering(at), at).action {
            RouteAction::Direct(direct) => Some(&direct.body),
            RouteAction::Forward(_) | RouteAction::Redirect(_) => None,
        }
    }
}

const fn is_cors(filter: &HttpFilter) -> bool {
    matches!(filter, HttpFilter::Cors)
}

/// How the head of the try of this number leaves, in a form that can be compared.
#[inline]
pub(super) fn edit_key(
    exchange: &Exchange,
    number: u16,
    endpoint: impl FnOnce() -> Option<EndpointSlot>,
) -> EditKey {
    let Some(at) = exchange.route else {
        return EditKey::NONE;
    };
    let attempt_count = if exchange.changes.attempt_count {
        number
    } else {
        0
    };
    let endpoint = if exchange.changes.endpoint_host {
        endpoint().map_or(0, |slot| slot.0 + 1)
    } else {
        0
    };
    let timeout_ms = expected_timeout(exchange);
    let changed = exchange.changes.edits_request
        || exchange.copied != Copied::Not
        || attempt_count > 0
        || endpoint > 0
        || timeout_ms > 0;
    if !changed {
        return EditKey::NONE;
    }
    EditKey {
        changes: true,
        copied: exchange.copied,
        attempt_count,
        weighted: exchange.weighted,
        section: at.section,
        table: at.table,
        host: at.host,
        route: at.route,
        endpoint,
        timeout_ms,
    }
}

/// The time that the upstream is told it has: the try's, else the route's. Where the route hedges a slow try goes on, so that it
/// has the route's.
///
/// Source: envoy `source/common/router/router.cc` (`FilterUtility::setTimeoutHeaders`).
/// Departs: a retry is told the same, not what is left of the route's.
fn expected_timeout(exchange: &Exchange) -> u64 {
    if !exchange.tells {
        return 0;
    }
    let terms = &exchange.terms;
    let of_try = terms.per_try.filter(|_| !terms.hedging);
    let told = of_try.or(terms.route_timeout);
    told.map_or(0, |t| t.value.as_millis())
}
