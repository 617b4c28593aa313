//! Istio: Gateways, VirtualServices, DestinationRules and PeerAuthentications.

mod calls;
mod does;
mod gateways;
mod matches;
mod peers;
mod retries;
mod rules;
mod traffic;

use compare::Area;

use super::{Gateways, Injection, Mark, Target};
use crate::intent::Intent;
use crate::object::Written;

/// What is read by proxies of requests and connections.
const NETWORKING: &str = "networking.istio.io/v1";
/// Who takes plaintext.
const SECURITY: &str = "security.istio.io/v1";

/// Istio with its sidecars and its own gateway.
pub(super) static TARGET: Target = Target {
    name: "istio",
    title: "Istio 1.29",
    dialect: "istio",
    release: "1.29",
    injection: Some(Injection::Marked {
        namespace: Mark::Label("istio-injection", "enabled"),
        out: Mark::Label("sidecar.istio.io/inject", "false"),
    }),
    gateways: Gateways::Own,
    unsaid: &[
        (
            Area::Balance,
            "Istio balances with Envoy's round robin, least request, random and hashes, over pods by place",
        ),
        (
            Area::Ejection,
            "Istio takes endpoints out by failures in a row",
        ),
        (
            Area::Health,
            "Istio has no active health checks: readiness probes of pods decide",
        ),
        (
            Area::Limit,
            "Istio bounds what is under way by Service, and has no rate limits but by EnvoyFilter",
        ),
        (
            Area::Pool,
            "connections of Istio's Envoys have bounds and idle timeouts, and no others",
        ),
        (Area::Session, "Istio holds clients to pods by hashes alone"),
        (
            Area::Retry,
            "retries of Istio are Envoy's, with the pauses of Envoy",
        ),
        (
            Area::Answer,
            "what Istio answers by itself are Envoy's answers",
        ),
        (
            Area::Tls,
            "sidecars of Istio speak mutual TLS to each other wherever both can",
        ),
        (Area::Reading, "what is done to heads is Envoy's own"),
        (
            Area::Upgrade,
            "Istio lets WebSockets pass, and nothing else that a connection may become",
        ),
        (
            Area::Timeout,
            "Istio bounds requests and single tries, and no silence of streams",
        ),
        (
            Area::Connection,
            "what connections become besides is detected by Istio",
        ),
        (
            Area::Headers,
            "Istio sets, adds and removes headers, asks for nothing first, and tells upstreams the number of a try",
        ),
        (
            Area::Rewrite,
            "Istio puts new paths in the place of what matched, byte by byte",
        ),
        (Area::Redirect, "redirects of Istio have whole paths"),
    ],
    write,
};

fn write(intent: &Intent<'_>, out: &mut Written) {
    let mut calls = calls::Calls::default();
    for (nth, gateway) in intent.to_write().enumerate() {
        gateways::write(intent, gateway, nth, &mut calls, out);
    }
    if let Some(mesh) = &intent.mesh {
        calls.mesh(intent, mesh, out);
        peers::write(intent, mesh, out);
    }
    traffic::write(intent, &calls, out);
}

/// `cart.shop.svc.cluster.local`, `TARGET`'s word for a Service.
fn host(namespace: &str, name: &str) -> String {
    format!("{name}.{namespace}.svc.cluster.local")
}
