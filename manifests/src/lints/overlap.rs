//! The same control written in two layers of one hop.

use proxy_core::config::GateKind;
use proxy_core::origin::OriginId;

use super::Lint;
use super::hops::{LayerKind, Leg};
use super::view::{View, route_timeout};
use crate::diagnostics::Diagnostics;

/// Two layers do the same.
pub(super) static SAME_CONTROL: Lint = Lint::advice(
    "overlap::same-control",
    "One control in two layers of a hop",
    "The same is written for the gateway and for the mesh behind it. Both act, each with its own counts, and which of them a request meets \
     first is easily forgotten when one is changed.",
    "keep each control in one layer: what is of clients at the gateway, what is of services in the mesh",
);

pub(super) fn check(view: &View<'_>, out: &mut Diagnostics) {
    for hop in view.hops() {
        for pair in hop.layers.windows(2) {
            let (LayerKind::Proxy(outer), LayerKind::Proxy(inner)) = (pair[0].kind, pair[1].kind)
            else {
                continue;
            };
            for (what, outer, inner) in shared(&outer, &inner) {
                if !view.is_written(outer) || !view.is_written(inner) {
                    continue;
                }
                let message = format!("{what} twice on the way to `{}`", hop.service);
                out.push(
                    SAME_CONTROL
                        .found(message)
                        .label(view.span(outer), format!("by {}", pair[0].name))
                        .label(view.span(inner), format!("by {}", pair[1].name)),
                );
            }
        }
    }
}

/// Controls that both have, by what they do, with their rules. Retries that multiply and bounds of which the outer is the shorter are told
/// on their own.
fn shared(outer: &Leg<'_>, inner: &Leg<'_>) -> Vec<(&'static str, OriginId, OriginId)> {
    let both = |one: Option<OriginId>, other: Option<OriginId>| one.zip(other);
    let timeout = |leg: &Leg<'_>| route_timeout(leg.forward).map(|it| it.origin);
    let limit = |leg: &Leg<'_>| {
        let gates = leg.route.gates.iter();
        let mut rates = gates.filter(|gate| matches!(gate.kind, GateKind::Rate { .. }));
        let own = leg.route.rate_limit.as_ref().map(|it| it.origin);
        own.or_else(|| rates.next().map(|gate| gate.origin))
    };
    let watch = |leg: &Leg<'_>| {
        let outlier = leg.cluster.outlier.map(|it| it.origin);
        let accrual = leg.cluster.accrual.map(|it| it.origin);
        let passive = leg.cluster.passive.map(|it| it.origin);
        outlier.or(accrual).or(passive)
    };
    let fault = |leg: &Leg<'_>| leg.route.fault.as_ref().map(|it| it.origin);
    let probe = |leg: &Leg<'_>| leg.cluster.health_checks.first().map(|it| it.origin);
    let longer = |leg: &Leg<'_>| route_timeout(leg.forward).map(|it| it.value);
    let timeouts = match (longer(outer), longer(inner)) {
        (Some(all), Some(part)) if all < part => None,
        (_, _) => both(timeout(outer), timeout(inner)),
    };
    let all = [
        ("a timeout bounds the time", timeouts),
        ("a rate limit counts", both(limit(outer), limit(inner))),
        (
            "failures take endpoints out",
            both(watch(outer), watch(inner)),
        ),
        ("faults fall on a share", both(fault(outer), fault(inner))),
        (
            "probes watch the endpoints",
            both(probe(outer), probe(inner)),
        ),
    ];
    let found = all.into_iter();
    found
        .filter_map(|(what, rules)| rules.map(|(outer, inner)| (what, outer, inner)))
        .collect()
}
