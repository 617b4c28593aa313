//! Retries of several layers on one hop: their numbers multiply.

use proxy_core::config::{ReplyProfile, RetryPolicy};
use proxy_core::origin::OriginId;
use proxy_core::retry::conditions::{
    Condition, Reset, ResetContext, ResponseHead, decide_on_reset, decide_on_response,
};
use proxy_core::time::Duration;

use super::Lint;
use super::hops::{Hop, Layer, LayerKind, Leg};
use super::timeouts::{each, tries_within};
use super::view::{View, route_timeout};
use crate::diagnostics::{Diagnostic, Diagnostics};

/// Layers that each try again.
pub(super) static MULTIPLIED: Lint = Lint::warning(
    "retry::multiplied",
    "Retries of several layers that multiply",
    "Each layer takes the failure of all tries of the layer behind it for one failure, and tries again: the numbers of tries multiply. A \
     server that fails under load then meets several times that load, which is how an overload stays (a retry storm).",
    "retry in one layer, the one next to the server, and bound it by a budget",
);

/// How a server fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Failure {
    /// No connection can be made.
    Refused,
    /// The connection ends before an answer.
    Reset,
    /// It answers 503.
    Unavailable,
    /// It never answers.
    Silent,
}

impl Failure {
    const ALL: [Self; 4] = [Self::Unavailable, Self::Refused, Self::Reset, Self::Silent];

    const fn words(self) -> &'static str {
        match self {
            Self::Refused => "refuses connections",
            Self::Reset => "resets connections",
            Self::Unavailable => "answers 503",
            Self::Silent => "does not answer",
        }
    }
}

/// What a layer sees of the layer behind it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Seen {
    NoConnection,
    Disconnect,
    Status(u16),
    /// No answer, for ever.
    Nothing,
}

pub(super) fn check(view: &View<'_>, out: &mut Diagnostics) {
    for hop in view.hops() {
        if hop.layers.len() < 2 {
            continue;
        }
        let all = Failure::ALL.map(|failure| (failure, counts(&hop.layers, failure)));
        let several = all
            .into_iter()
            .filter(|(_, counts)| counts.iter().filter(|count| **count > 1).count() > 1);
        // of equals the first
        let worst = several.rev().max_by_key(|(_, counts)| product(counts));
        if let Some((failure, counts)) = worst {
            out.push(told(view, hop, failure, &counts));
        }
    }
}

fn product(counts: &[u64]) -> u64 {
    counts
        .iter()
        .fold(1, |all, count| all.saturating_mul(*count))
}

fn told(view: &View<'_>, hop: &Hop<'_>, failure: Failure, counts: &[u64]) -> Diagnostic {
    let layers = hop
        .layers
        .iter()
        .zip(counts)
        .filter(|(_, count)| **count > 1);
    let parts: Vec<String> = layers
        .clone()
        .map(|(layer, count)| {
            let by_default =
                retries_origin(layer).map_or_else(String::new, |it| view.by_default(it));
            format!("{count} by {}{by_default}", layer.name)
        })
        .collect();
    let message = format!(
        "while `{}` {}, it meets up to {} tries of each request: {}",
        hop.service,
        failure.words(),
        product(counts),
        parts.join(" × ")
    );
    let mut found = MULTIPLIED.found(message);
    let mut is_placed = false;
    for (layer, count) in layers {
        let origin = retries_origin(layer).unwrap_or(OriginId::NONE);
        let span = layer.place(view, origin);
        is_placed |= !span.is_nowhere();
        found = found.label(span, format!("{count} tries"));
    }
    if !is_placed {
        // defaults all of them: one place for all routes of the outermost
        let owner = hop.layers.first().map(|layer| match layer.kind {
            LayerKind::Proxy(leg) => view.span(leg.owner),
            LayerKind::App(ask) => ask.span,
        });
        found = found.label(
            owner.unwrap_or(crate::text::Span::NOWHERE),
            "retries by default",
        );
    }
    found
}

fn retries_origin(layer: &Layer<'_>) -> Option<OriginId> {
    match layer.kind {
        LayerKind::Proxy(leg) => leg
            .forward
            .retry
            .as_ref()
            .map(|policy| policy.retries.origin),
        LayerKind::App(_) => None,
    }
}

/// How often each layer tries, outermost first, while the server fails so.
fn counts(layers: &[Layer<'_>], failure: Failure) -> Vec<u64> {
    let mut seen = match failure {
        Failure::Refused => Seen::NoConnection,
        Failure::Reset => Seen::Disconnect,
        Failure::Unavailable => Seen::Status(503),
        Failure::Silent => Seen::Nothing,
    };
    // how long the layer behind takes until it shows that
    let mut lasts = (failure != Failure::Silent).then_some(Duration::ZERO);
    let mut counts = Vec::new();
    for layer in layers.iter().rev() {
        let Some(patience) = tried_bound(layer).filter(|bound| lasts.is_none_or(|it| it > *bound))
        else {
            // it waits for what the layer behind makes of it
            let count = match (lasts, seen) {
                (Some(_), seen) => tries(layer, seen),
                (None, _) => 1,
            };
            lasts = lasts.map(|it| it * count);
            seen = answered(layer, seen);
            counts.push(count);
            continue;
        };
        // the layer behind has only so much time
        let behind = layers.get(layers.len() - counts.len());
        if let (Some(last), Some(behind)) = (counts.last_mut(), behind)
            && let Some(one) = tried_bound(behind)
        {
            *last = (*last).min(tries_within(patience, one));
        }
        let count = silent_tries(layer, patience);
        counts.push(count);
        lasts = Some(patience * count);
        seen = match layer.replies() {
            Some(_) => Seen::Status(504),
            None => Seen::Nothing,
        };
    }
    counts.reverse();
    counts
}

/// The bound of each of a layer's tries.
fn tried_bound(layer: &Layer<'_>) -> Option<Duration> {
    match layer.kind {
        LayerKind::Proxy(leg) => {
            let one = leg.forward.retry.as_deref().and_then(each);
            let all = route_timeout(leg.forward);
            [one, all].into_iter().flatten().map(|it| it.value).min()
        }
        LayerKind::App(ask) => ask.timeout,
    }
}

/// Tries that run into their bound.
fn silent_tries(layer: &Layer<'_>, bound: Duration) -> u64 {
    match layer.kind {
        LayerKind::App(ask) => u64::from(ask.tries),
        LayerKind::Proxy(leg) => {
            let Some(policy) = policy(&leg) else {
                return 1;
            };
            let timed_out = ResetContext {
                reset: Reset::PerTryTimeout,
                request_started: true,
                http3_with_fallback: false,
            };
            let is_retried = decide_on_reset(policy.on.value, timed_out)
                .condition()
                .is_some();
            let most = match is_retried {
                true => u64::from(policy.retries.value) + 1,
                false => 1,
            };
            match route_timeout(leg.forward) {
                Some(all) => most.min(tries_within(all.value, bound)),
                None => most,
            }
        }
    }
}

/// All tries of a layer that sees this of each.
fn tries(layer: &Layer<'_>, seen: Seen) -> u64 {
    match layer.kind {
        LayerKind::App(ask) => match seen {
            Seen::NoConnection | Seen::Disconnect => u64::from(ask.tries),
            Seen::Status(status) if status >= 500 => u64::from(ask.tries),
            Seen::Status(_) | Seen::Nothing => 1,
        },
        LayerKind::Proxy(leg) => match policy(&leg) {
            Some(policy) if retries(policy, seen) => u64::from(policy.retries.value) + 1,
            Some(_) | None => 1,
        },
    }
}

/// The policy by which a route tries again; one that a budget bounds multiplies nothing that matters.
fn policy<'a>(leg: &Leg<'a>) -> Option<&'a RetryPolicy> {
    let policy = leg.forward.retry.as_deref()?;
    let cluster = leg.cluster;
    (policy.retries.value > 0 && cluster.retry_budget.is_none()).then_some(policy)
}

fn retries(policy: &RetryPolicy, seen: Seen) -> bool {
    let reset = |reset, request_started| ResetContext {
        reset,
        request_started,
        http3_with_fallback: false,
    };
    let on = policy.on.value;
    let is_listed = |status| {
        policy.failures_have_statuses
            && on.has(Condition::RetriableStatusCodes)
            && policy.statuses.contains(&status)
    };
    let decision = match seen {
        Seen::NoConnection | Seen::Disconnect if is_listed(502) => return true,
        Seen::NoConnection => decide_on_reset(on, reset(Reset::ConnectFailure, false)),
        Seen::Disconnect => decide_on_reset(on, reset(Reset::Disconnect, true)),
        Seen::Status(status) => {
            let head = ResponseHead {
                status,
                grpc_status: None,
                rate_limited: false,
                early_data: false,
            };
            decide_on_response(on, head, &policy.statuses, || false)
        }
        Seen::Nothing => return false,
    };
    decision.condition().is_some()
}

/// What a layer shows that has only seen this.
const fn answered(layer: &Layer<'_>, seen: Seen) -> Seen {
    match (seen, layer.replies()) {
        (Seen::NoConnection | Seen::Disconnect, Some(ReplyProfile::Envoy)) => Seen::Status(503),
        (Seen::NoConnection | Seen::Disconnect, Some(_)) => Seen::Status(502),
        (Seen::Status(_) | Seen::Nothing, _) | (Seen::NoConnection | Seen::Disconnect, None) => {
            seen
        }
    }
}
