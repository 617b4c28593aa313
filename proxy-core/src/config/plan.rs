//! What a route says of all its requests alike, worked out once when its section is made.

use super::{Forward, HostRewrite, PathMatch, RetryPolicy, Route, RouteAction, RouteMatch};
use crate::origin::Sourced;
use crate::retry::conditions::{Condition, RetryOn};
use crate::time::Duration;

/// A route at a glance.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Plan {
    /// Whether it takes every request whose path begins with a slash.
    pub(crate) takes_all: bool,
    /// Whether it has filter settings or stream timers of its own.
    pub(crate) does_more: bool,
    /// Whether requests leave changed, whatever cluster was drawn.
    pub(crate) edits_request: bool,
    /// Whether responses leave changed, whatever cluster was drawn.
    pub(crate) edits_response: bool,
    /// Whether the authority becomes the endpoint's host name.
    pub(crate) endpoint_host: bool,
    /// The terms of a request without headers that have a say.
    pub(crate) terms: Terms,
    /// Whether other headers than control headers have a say in the terms.
    pub(crate) asks_headers: bool,
}

/// The timeouts and retries of one request. Lengths of zero are no timeouts.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Terms {
    pub(crate) route_timeout: Option<Sourced<Duration>>,
    pub(crate) per_try: Option<Sourced<Duration>>,
    pub(crate) per_try_idle: Option<Sourced<Duration>>,
    pub(crate) retry_on: RetryOn,
    pub(crate) retries: u32,
    /// Longer bodies are not kept for another try.
    pub(crate) body_limit: u64,
    /// No response with a status below this one and without a retry mark is retried.
    pub(crate) retried_from: u16,
    pub(crate) hedging: bool,
}

impl Plan {
    pub(crate) fn of(route: &Route) -> Self {
        let forward = match &route.action {
            RouteAction::Forward(forward) => Some(&**forward),
            RouteAction::Redirect(_) | RouteAction::Direct(_) => None,
        };
        let terms = |f: &Forward| Terms::of(f).settled(f.retry.as_deref(), false);
        let edits = |f: &Forward| f.rewrite.is_some() || f.host.is_some();
        Self {
            takes_all: takes_all(&route.matches),
            does_more: route.fault.is_some()
                || route.rate_limit.is_some()
                || forward.is_some_and(times_streams),
            edits_request: !route.request_edits.is_empty() || forward.is_some_and(edits),
            edits_response: !route.response_edits.is_empty(),
            endpoint_host: forward.is_some_and(|f| matches!(f.host, Some(HostRewrite::Endpoint))),
            terms: forward.map_or(Terms::NONE, terms),
            asks_headers: forward.is_some_and(asks_headers),
        }
    }
}

impl Terms {
    /// No timeouts, no retries.
    pub(crate) const NONE: Self = Self {
        route_timeout: None,
        per_try: None,
        per_try_idle: None,
        retry_on: RetryOn::NONE,
        retries: 0,
        body_limit: u64::MAX,
        retried_from: u16::MAX,
        hedging: false,
    };

    /// What the route says, before the request has its say.
    pub(crate) fn of(forward: &Forward) -> Self {
        let set = |t: Sourced<Duration>| (!t.value.is_zero()).then_some(t);
        let timeout = forward.timeout;
        let of_route = Self {
            route_timeout: timeout
                .value
                .and_then(|value| set(Sourced::new(value, timeout.origin))),
            hedging: forward.hedge.is_some_and(|h| h.on_per_try_timeout),
            ..Self::NONE
        };
        let Some(policy) = forward.retry.as_deref() else {
            return of_route;
        };
        Self {
            retry_on: policy.on.value,
            retries: policy.retries.value,
            per_try: policy.per_try_timeout.and_then(set),
            per_try_idle: policy.per_try_idle_timeout.and_then(set),
            body_limit: policy.body_limit.unwrap_or(u64::MAX),
            ..of_route
        }
    }

    /// What holds when all have had their say: a try's timeout not shorter than the route's is void.
    pub(crate) fn settled(mut self, policy: Option<&RetryPolicy>, controls: bool) -> Self {
        let route_timeout = self.route_timeout;
        let void = |t: &Sourced<Duration>| route_timeout.is_some_and(|r| t.value >= r.value);
        self.per_try = self.per_try.filter(|t| !void(t));
        if self.retry_on.is_empty() {
            self.retries = 0;
        }
        self.retried_from = if controls {
            0 // they may name any status, and any header
        } else {
            retried_from(self.retry_on, policy.map_or(&[], |p| &p.statuses))
        };
        self
    }
}

/// The lowest status that any condition of `on` takes, where no header of the response has a say.
fn retried_from(on: RetryOn, statuses: &[u16]) -> u16 {
    let by_condition = [
        (Condition::RetriableHeaders, 0),
        (Condition::Retriable4xx, 409),
        (Condition::ServerError, 500),
        (Condition::GatewayError, 502),
    ];
    let listed = statuses.iter().copied();
    let listed = listed.filter(|_| on.has(Condition::RetriableStatusCodes));
    let taken = by_condition.into_iter().filter(|(c, _)| on.has(*c));
    let lowest = taken.map(|(_, status)| status).chain(listed).min();
    lowest.unwrap_or(u16::MAX)
}

/// Whether other headers than control headers have a say in a request's terms.
fn asks_headers(forward: &Forward) -> bool {
    let policy = forward.retry.as_deref();
    forward.grpc_timeout_max.is_some() || policy.is_some_and(|p| !p.request_headers.is_empty())
}

const fn times_streams(forward: &Forward) -> bool {
    forward.idle_timeout.is_some() || forward.max_stream_duration.is_some()
}

fn takes_all(matches: &RouteMatch) -> bool {
    let any_path = match &matches.path {
        PathMatch::Prefix(want) => &**want == "/",
        PathMatch::Segments(want) => want.is_empty(),
        PathMatch::Exact(_) | PathMatch::Regex(_) | PathMatch::RegexStart(_) => false,
    };
    any_path
        && matches.methods.is_empty()
        && matches.headers.is_empty()
        && matches.params.is_empty()
        && !matches.grpc
        && matches.fraction.is_none()
}
