//! The heads of messages that leave.

use super::{EditKey, Node, RouteRef, machine};
use crate::config::RouteAction;
use crate::heads::{HeadId, HeadWriter, Heads};
use crate::ids::{AttemptId, ExchangeId};
use crate::route::{self, Copied, Departure, RequestView};

impl Node {
    /// How the head of a try's request leaves, in a form that can be compared.
    #[must_use]
    #[inline]
    pub fn edit_key(&self, attempt: AttemptId) -> EditKey {
        let Some(exchange) = self.machine.exchanges.get(attempt.exchange) else {
            return EditKey::NONE;
        };
        let Some(at) = exchange.route else {
            return EditKey::NONE;
        };
        let attempt_count = if exchange.changes.attempt_count {
            attempt.number
        } else {
            0
        };
        let endpoint = if exchange.changes.endpoint_host {
            let endpoint = exchange.attempt(attempt.number).and_then(|a| a.endpoint);
            endpoint.map_or(0, |slot| slot.0 + 1)
        } else {
            0
        };
        let timeout_ms = self.expected_timeout(exchange);
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
    fn expected_timeout(&self, exchange: &machine::Exchange) -> u64 {
        if exchange.replies != crate::config::ReplyProfile::Envoy {
            return 0;
        }
        let terms = &exchange.terms;
        let of_try = terms.per_try.filter(|_| !terms.hedging);
        let told = of_try.or(terms.route_timeout);
        told.map_or(0, |t| t.value.as_millis())
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
            attempt_count: (key.attempt_count > 0).then_some(key.attempt_count),
            timeout_ms: key.timeout_ms,
            endpoint_host: host.map_or("", |h| &h.hostname),
            copied: key.copied,
        };
        let route = self.configs.route(exchange.place.config, at);
        route::write_request(route, exchange.view(heads), departure, out);
    }

    /// Carries the route's edits out on a copy of a try's response head, or on that of the node's own answer.
    pub fn write_response(&self, exchange: ExchangeId, out: &mut impl HeadWriter) {
        let running = self.machine.exchanges.get(exchange);
        let edited = match running {
            Some(running) => running
                .route
                .filter(|_| running.changes.edits_response)
                .map(|at| (running.place.config, at, running.weighted)),
            None => {
                let mut answered = self.machine.answered.iter();
                answered
                    .find(|it| it.exchange == exchange && it.edits)
                    .map(|it| (it.config, it.route, it.weighted))
            }
        };
        if let Some((config, at, weighted)) = edited {
            let route = self.configs.route(config, at);
            route::write_response(route, usize::from(weighted), out);
        }
    }

    /// The configuration whose route has just answered by itself.
    fn answering(&self, at: RouteRef) -> u32 {
        let mut answered = self.machine.answered.iter();
        let found = answered.find(|it| it.route == at);
        found.map_or_else(|| self.configs.current(), |it| it.config)
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
