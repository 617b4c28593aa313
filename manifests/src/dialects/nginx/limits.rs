//! Limits of clients: how often they may come, and how many of their requests may be under way.

use proxy_core::config::{ClientOf, Gate, GateKey, GateKind, RateLimit};
use proxy_core::limit::leaky_bucket::LeakyBucket;

use super::policy::{Controller, IngressPolicy};
use super::values;
use crate::origins::Origins;

/// Times the limit that an idle client may send at once beside the first. Source: `internal/ingress/annotations/ratelimit/main.go`.
const BURST: i64 = 5;

/// What the requests of an Ingress pass: rates, then how many are under way. All paths of the Ingress count together, and each controller's
/// process counts for itself.
///
/// Source: `internal/ingress/controller/template/template.go` (`buildRateLimit`, `buildRateLimitZones`). NGINX asks for rates first, since phases
/// ask their modules last to first.
pub(super) fn gates(
    ingress: &IngressPolicy,
    controller: &Controller,
    origins: &mut Origins,
) -> Vec<Gate> {
    let (notes, settings) = (&ingress.notes, &controller.settings);
    let limit = |name: &str| {
        let written = notes.number(name).filter(|it| it.value > 0)?;
        Some((count(written.value), written.span))
    };
    let multiplier = notes.number("limit-burst-multiplier");
    let multiplier = multiplier.map_or(BURST, |it| it.value.max(0));
    let burst = |limit: u32| count(i64::from(limit).saturating_mul(multiplier));
    let key = || GateKey::ClientAddress {
        of: ClientOf::Believed,
        v6_prefix: None,
    };
    let exempt = notes.text("limit-allowlist");
    let exempt = exempt
        .and_then(|text| values::blocks(text))
        .unwrap_or_default();
    let mut gates = Vec::new();
    let (second, minute) = (limit("limit-rps"), limit("limit-rpm"));
    let of_second = second.map(|(limit, _)| LeakyBucket::per_second(limit, burst(limit)));
    let of_minute = minute.map(|(limit, _)| LeakyBucket::per_minute(limit, burst(limit)));
    if let Some((_, span)) = second.or(minute) {
        gates.push(Gate {
            name: format!("{} rate", ingress.full_name()).into(),
            kind: GateKind::Rate {
                limit: RateLimit::Leaky(of_second.into_iter().chain(of_minute).collect()),
                key: key(),
            },
            status: settings.number("limit-req-status-code", 503),
            exempt: exempt.clone(),
            origin: origins.written(span),
        });
    }
    if let Some((most, span)) = limit("limit-connections") {
        gates.push(Gate {
            name: format!("{} connections", ingress.full_name()).into(),
            kind: GateKind::InFlight { most, key: key() },
            status: settings.number("limit-conn-status-code", 503),
            exempt,
            origin: origins.written(span),
        });
    }
    gates
}

/// As far as it can be counted.
fn count(number: i64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
