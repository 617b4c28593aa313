//! What a route says of a request: which cluster, which timeouts, which retries.

use super::machine::{Env, Exchange};
use crate::config::{Forward, HttpConnections, HttpFilter, Route, RouteAction, Terms};
use crate::draw::Purpose;
use crate::heads::Heads;
use crate::origin::Sourced;
use crate::retry::conditions::{RetryOn, Vocabulary};
use crate::route::RequestView;
use crate::time::Duration;

/// The rules that an exchange's stream goes by.
pub(super) fn rules_of_stream<'e, S, H>(
    env: &Env<'e, S, H>,
    exchange: &Exchange,
) -> (&'e HttpConnections, Option<&'e Forward>) {
    let http = env.configs.http(exchange.place);
    (
        http.expect("an exchange came over an HTTP chain"),
        exchange.forward(env.configs),
    )
}

pub(super) fn stream_idle(
    http: &HttpConnections,
    forward: Option<&Forward>,
) -> Option<Sourced<Duration>> {
    let of_route = forward.and_then(|f| f.idle_timeout);
    of_route.or(http.stream_idle_timeout).filter(is_set)
}

pub(super) fn longest_stream(
    http: &HttpConnections,
    forward: Option<&Forward>,
) -> Option<Sourced<Duration>> {
    let of_route = forward.and_then(|f| f.max_stream_duration);
    of_route.or(http.max_stream_duration).filter(is_set)
}

pub(super) fn request_timeout(http: &HttpConnections) -> Option<Sourced<Duration>> {
    http.request_timeout.filter(is_set)
}

/// Whether requests go to the router at once, unless their route has it otherwise: no filter does anything of its own, and
/// streams have no timers.
pub(super) fn is_plain(http: &HttpConnections) -> bool {
    let is_idle = |filter: &HttpFilter| match filter {
        HttpFilter::Fault(default) => default.is_none(),
        HttpFilter::LocalRateLimit(default) => default.is_none(),
        HttpFilter::Cors => true,
    };
    http.filters.iter().all(is_idle)
        && http.stream_idle_timeout.is_none()
        && http.max_stream_duration.is_none()
        && http.request_timeout.is_none()
}

/// A length of zero turns a timer off.
const fn is_set(after: &Sourced<Duration>) -> bool {
    !after.value.is_zero()
}

pub(super) fn forward_of(route: &Route) -> Option<&Forward> {
    match &route.action {
        RouteAction::Forward(forward) => Some(forward),
        RouteAction::Redirect(_) | RouteAction::Direct(_) => None,
    }
}

/// The draw holds for the request's life.
pub(super) fn choose_weighted(forward: &Forward, key: crate::draw::DrawKey) -> usize {
    let total: u64 = forward.clusters.iter().map(|w| u64::from(w.weight)).sum();
    let mut left = key.below(Purpose::ClusterWeight, 0, total);
    for (i, cluster) in forward.clusters.iter().enumerate() {
        match left.checked_sub(u64::from(cluster.weight)) {
            Some(rest) => left = rest,
            None => return i,
        }
    }
    0
}

/// Timeouts and retries of a request, from its route and from its headers.
///
/// Source: envoy `source/common/router/router.cc` (`FilterUtility::finalTimeout`), `retry_state_impl.cc`.
pub(super) fn read_terms<H: Heads>(
    forward: &Forward,
    view: RequestView<'_, H>,
    controls: bool,
) -> Terms {
    let mut terms = Terms::of(forward);
    if let Some(max) = forward.grpc_timeout_max
        && let Some(asked) = view.header("grpc-timeout").and_then(grpc_timeout)
    {
        let capped = if max.is_zero() { asked } else { asked.min(max) };
        terms.route_timeout = Some(Sourced::new(capped, forward.timeout.origin)).filter(is_set);
    }
    let policy = forward.retry.as_deref();
    if controls {
        terms.retries = policy.map_or(1, |p| p.retries.value);
        terms.retry_on = terms.retry_on.union(asked_conditions(view));
        read_controls(&mut terms, forward, view);
    }
    let mut terms = terms.settled(policy, controls);
    if let Some(policy) = policy.filter(|p| !p.request_headers.is_empty())
        && !policy.request_headers.iter().any(|m| view.matches(m))
    {
        terms.retry_on = RetryOn::NONE;
    }
    terms
}

/// The retry conditions that a request itself asks for, beside those of its route.
fn asked_conditions<H: Heads>(view: RequestView<'_, H>) -> RetryOn {
    let on = |name, vocabulary| {
        view.header(name).map_or(RetryOn::NONE, |text| {
            // Envoy's data plane ignores words it does not know
            RetryOn::parse(text, vocabulary, |_| ())
        })
    };
    on("x-envoy-retry-on", Vocabulary::Http).union(on("x-envoy-retry-grpc-on", Vocabulary::Grpc))
}

fn read_controls<H: Heads>(terms: &mut Terms, forward: &Forward, view: RequestView<'_, H>) {
    let origin = forward.timeout.origin;
    let millis = |name| {
        view.number(name)
            .map(|ms| Sourced::new(Duration::from_millis(ms), origin))
    };
    if let Some(timeout) = millis("x-envoy-upstream-rq-timeout-ms") {
        terms.route_timeout = Some(timeout).filter(is_set);
    }
    if let Some(timeout) = millis("x-envoy-upstream-rq-per-try-timeout-ms") {
        terms.per_try = Some(timeout).filter(is_set);
    }
    match view.header("x-envoy-hedge-on-per-try-timeout") {
        Some("true") => terms.hedging = true,
        Some("false") => terms.hedging = false,
        Some(_) | None => {}
    }
    if let Some(max) = view.number("x-envoy-max-retries") {
        terms.retries = u32::try_from(max).unwrap_or(u32::MAX);
    }
}

/// `grpc-timeout`: up to eight digits and a unit.
fn grpc_timeout(text: &str) -> Option<Duration> {
    let unit = text.chars().last()?;
    let digits = text.get(..text.len() - unit.len_utf8())?;
    if digits.is_empty() || digits.len() > 8 {
        return None;
    }
    let n: u64 = digits.parse().ok()?;
    Some(match unit {
        'H' => Duration::from_secs(n.saturating_mul(3600)),
        'M' => Duration::from_secs(n.saturating_mul(60)),
        'S' => Duration::from_secs(n),
        'm' => Duration::from_millis(n),
        'u' => Duration::from_micros(n),
        'n' => Duration::from_nanos(n),
        _ => return None,
    })
}
