//! What annotations say together, and what of it is told.

use super::annotations::Notes;
use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::load::Object;
use crate::text::Span;

/// Checks the annotations of an Ingress against each other.
pub(super) fn check(notes: &mut Notes, object: &Object, prefix: &str, out: &mut Diagnostics) {
    credentials(notes, out);
    limits(notes, out);
    endpoints(notes, out);
    canary(notes, object, prefix, out);
}

fn credentials(notes: &mut Notes, out: &mut Diagnostics) {
    if let Some(kind) = notes.text("auth-type")
        && notes.text("auth-secret").is_none()
    {
        let span = kind.span;
        deny(notes, span, "`auth-type` needs `auth-secret`", out);
    }
    if let Some(url) = notes.text("auth-url")
        && !url.contains("://")
    {
        let span = url.span;
        deny(notes, span, "`auth-url` needs a scheme and a host", out);
    }
}

/// 503 on every path of the Ingress.
pub(super) fn deny(notes: &mut Notes, span: Span, why: &str, out: &mut Diagnostics) {
    notes.denied = notes.denied.or(Some(span));
    out.push(
        Diagnostic::warning("nginx::denied", why)
            .label(span, "asked for here")
            .help("ingress-nginx answers 503 on every path of this Ingress, and so it is here"),
    );
}

fn limits(notes: &Notes, out: &mut Diagnostics) {
    let by_client = ["limit-rps", "limit-rpm", "limit-connections"];
    let mut by_client = by_client.iter().filter_map(|name| notes.number(name));
    if let Some(limit) = by_client.find(|limit| limit.value > 0) {
        let meaning = "clients of a scenario that are outside the cluster have one address, and count as one client";
        out.push(
            Diagnostic::assumed(
                "nginx::clients",
                "limits count by the client's address",
                meaning,
            )
            .label(limit.span, ""),
        );
    }
    let limited = ["limit-rps", "limit-rpm"];
    let mut limited = limited.iter().filter_map(|name| notes.number(name));
    let burst = notes.number("limit-burst-multiplier");
    if let Some(burst) = burst.filter(|it| it.value < 1)
        && limited.any(|limit| limit.value > 0)
    {
        out.push(
            Diagnostic::error("nginx::burst", "NGINX takes no burst of nothing")
                .label(burst.span, "below 1")
                .help("the controller would go on with the configuration that it has; write at least 1"),
        );
    }
}

fn endpoints(notes: &Notes, out: &mut Diagnostics) {
    if let Some(affinity) = notes.text("affinity") {
        let mode = notes.text("affinity-mode");
        let moved = match mode.is_none_or(|mode| **mode != "persistent") {
            true => {
                "clients stay with their endpoint where the release would move some as pods are added; "
            }
            false => "",
        };
        let meaning = format!(
            "{moved}clients of a scenario keep none, so that each of their requests goes to any endpoint"
        );
        out.push(
            Diagnostic::not_modelled(
                "nginx::affinity",
                "affinity is modelled for clients that keep cookies",
                meaning,
            )
            .label(affinity.span, ""),
        );
    }
    let alone = notes.text("upstream-hash-by").is_none() && notes.text("affinity").is_none();
    let balance = notes.text("load-balance").filter(|_| alone);
    let stands = |it: &str| it == "ewma" || it == "round_robin";
    if let Some(balance) = balance.filter(|it| !stands(it)) {
        let message = format!("`{}` needs `upstream-hash-by` or `affinity`", balance.value);
        out.push(
            Diagnostic::warning("nginx::load-balance", message)
                .label(balance.span, "here endpoints are used in turn")
                .help("alone it finds no endpoint in ingress-nginx"),
        );
    }
    let spoken = notes.text("backend-protocol");
    if let Some(fcgi) = spoken.filter(|it| it.eq_ignore_ascii_case("fcgi")) {
        let meaning = "endpoints are spoken to in HTTP/1.1";
        out.push(
            Diagnostic::not_modelled("nginx::not-modelled", "FastCGI is not modelled", meaning)
                .label(fcgi.span, ""),
        );
    }
}

/// Annotations that count for a canary. Source: `docs/user-guide/nginx-configuration/annotations.md` ("Canary").
const OF_CANARIES: &[&str] = &[
    "canary",
    "load-balance",
    "upstream-hash-by",
    "affinity",
    "session-cookie",
    "service-upstream",
];

fn canary(notes: &Notes, object: &Object, prefix: &str, out: &mut Diagnostics) {
    let rules = ["canary-weight", "canary-by-header", "canary-by-cookie"];
    let has_rules = rules.iter().any(|name| notes.text(name).is_some());
    if !notes.is_set("canary") {
        if has_rules {
            out.push(
                Diagnostic::warning("nginx::no-canary", "a canary needs `canary: \"true\"`")
                    .label(object.name_span, "served as any other Ingress")
                    .help(
                        "its paths lose to those of an older Ingress with the same host and path",
                    ),
            );
        }
        return;
    }
    let map = object.node.at("metadata.annotations");
    let entries = map.and_then(|node| node.as_map());
    for entry in entries.map_or(&[][..], |map| map.entries()) {
        let name = entry.key.text.strip_prefix(prefix);
        let name = name.and_then(|rest| rest.strip_prefix('/'));
        let Some(name) = name.filter(|name| notes.text(name).is_some()) else {
            continue;
        };
        if !OF_CANARIES.iter().any(|it| name.starts_with(it)) {
            let message = format!("`{}` does nothing on a canary", entry.key.text);
            out.push(
                Diagnostic::warning("nginx::canary", message)
                    .label(entry.key.span, "the main Ingress has its say"),
            );
        }
    }
}
