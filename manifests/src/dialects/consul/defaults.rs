//! ServiceDefaults, and what ProxyDefaults have alike.
//!
//! Source: hashicorp/consul 1.21 `agent/structs/config_entry.go`, `agent/configentry/resolve.go`; hashicorp/consul-k8s 1.8
//! `control-plane/api/v1alpha1/servicedefaults_types.go`.

use std::collections::BTreeMap;

use proxy_core::config::Name;
use proxy_core::origin::Sourced;
use proxy_core::time::Duration;

use super::notes::{bad_value, given, left_out};
use super::policy::{Protocol, ProxySettings, ServicePolicy, UpstreamPolicy};
use super::types::{Expose, MeshGateway, RateLimits, ServiceDefaults, TransparentProxy};
use super::upstream::upstream;
use crate::diagnostics::{Diagnostic, Diagnostics, did_you_mean};
use crate::dialects::Compile;
use crate::load::Object;
use crate::text::{Present, Span, Spanned};

/// Reads ServiceDefaults.
pub(super) fn service(
    object: &Object,
    written: &ServiceDefaults,
    allows_permissive: bool,
    cx: &mut Compile<'_>,
) -> ServicePolicy {
    reported(
        written.mode,
        written.transparent_proxy.as_ref(),
        written.mesh_gateway.as_ref(),
        written.expose.as_ref(),
        cx.diagnostics,
    );
    for extension in &written.envoy_extensions {
        patch(extension.span, extension.name.as_ref(), cx.diagnostics);
    }
    if let Some(limits) = &written.rate_limits {
        rate_limits(limits, cx.diagnostics);
    }
    if let Some(sni) = given(written.external_sni.as_ref()) {
        let meaning = "the service is called as one of the mesh";
        left_out(
            sni.span,
            "a service outside, by `externalSNI`",
            meaning,
            cx.diagnostics,
        );
    }
    if let Some(destination) = &written.destination {
        if written.upstream_config.is_some() {
            let message = "`upstreamConfig` and `destination` exclude each other";
            bad_value(destination.span, message, cx.diagnostics);
        }
        if destination.addresses.is_empty() {
            bad_value(destination.span, "needs `addresses`", cx.diagnostics);
        }
        if !destination
            .port
            .is_some_and(|port| (1..=65535).contains(&port.value))
        {
            bad_value(
                destination.span,
                "needs a `port` from 1 to 65535",
                cx.diagnostics,
            );
        }
        let meaning =
            "its addresses are called as any address outside the mesh, past terminating gateways";
        left_out(
            destination.span,
            "a destination outside",
            meaning,
            cx.diagnostics,
        );
    }
    balanced(written.balance_inbound_connections.as_ref(), cx.diagnostics);
    let connect = count(written.local_connect_timeout_ms, cx);
    let request = count(written.local_request_timeout_ms, cx);
    let own = ProxySettings {
        protocol: protocol(written.protocol.as_ref(), cx),
        max_connections: count(written.max_inbound_connections, cx),
        connect_timeout: connect.map(millis),
        request_timeout: request.map(|it| Sourced::new(Some(millis(it).value), it.origin)),
        idle_timeout: None,
        head_bytes: None,
        permissive: permissive(written.mutual_tls_mode.as_ref(), allows_permissive, cx),
    };
    let mut upstreams = UpstreamPolicy::default();
    let (mut overrides, mut named) = (BTreeMap::new(), Vec::new());
    if let Some(config) = &written.upstream_config {
        if let Some(defaults) = &config.defaults {
            if let Some(name) = given(defaults.name.as_ref()) {
                bad_value(
                    name.span,
                    "the defaults of all upstreams have no name",
                    cx.diagnostics,
                );
            }
            upstreams = upstream(defaults, cx);
        }
        for one in &config.overrides {
            let Some(name) = given(one.name.as_ref()) else {
                bad_value(
                    one.span,
                    "an override needs the `name` of a service",
                    cx.diagnostics,
                );
                continue;
            };
            if name.as_str() == "*" {
                bad_value(name.span, "an override is of one service", cx.diagnostics);
                continue;
            }
            let policy = upstream(one, cx);
            if let Some(peer) = given(one.peer.as_ref()) {
                let meaning = "there is one cluster: what is said of that one has no bearing";
                left_out(
                    peer.span,
                    "an upstream of another cluster",
                    meaning,
                    cx.diagnostics,
                );
                continue;
            }
            named.push((Name::from(name.as_str()), name.span));
            overrides.insert(Name::from(name.as_str()), policy);
        }
    }
    ServicePolicy {
        own,
        upstreams,
        overrides,
        named,
        is_outside: written.destination.is_some() || given(written.external_sni.as_ref()).is_some(),
        span: object.name_span,
        origin: cx.origins.written(object.name_span),
    }
}

/// What ServiceDefaults and ProxyDefaults have alike and is not modelled.
pub(super) fn reported(
    mode: Option<Present>,
    transparent: Option<&TransparentProxy>,
    gateway: Option<&MeshGateway>,
    expose: Option<&Expose>,
    out: &mut Diagnostics,
) {
    if let Some(mode) = mode {
        bad_value(
            mode.span,
            "is refused here: annotate the pods with `consul.hashicorp.com/transparent-proxy`",
            out,
        );
    }
    if let Some(transparent) = transparent {
        if let Some(port) = transparent
            .outbound_listener_port
            .filter(|it| it.value != 0)
        {
            bad_value(
                port.span,
                "is refused here: an annotation of pods says it",
                out,
            );
        }
        if let Some(directly) = transparent.dialed_directly.filter(|it| it.value) {
            let meaning = "what is sent to a pod's own address passes by the mesh, in plaintext, and is refused there";
            left_out(
                directly.span,
                "dialling instances by their own addresses",
                meaning,
                out,
            );
        }
    }
    if let Some(mode) = gateway.and_then(|it| given(it.mode.as_ref())) {
        if ["none", "local", "remote"].contains(&mode.as_str()) {
            let meaning = "there is one datacenter: nothing passes through such gateways";
            left_out(mode.span, "a gateway between datacenters", meaning, out);
        } else {
            bad_value(mode.span, "must be `none`, `local` or `remote`", out);
        }
    }
    let Some(expose) = expose else {
        return;
    };
    let meaning = "requests to that port are refused; probes pass by proxies here";
    if let Some(checks) = expose.checks.filter(|it| it.value) {
        left_out(checks.span, "exposing the paths of checks", meaning, out);
    }
    for path in &expose.paths {
        if let Some(text) = given(path.path.as_ref()).filter(|text| !text.starts_with('/')) {
            bad_value(text.span, "must begin with `/`", out);
        }
        left_out(path.span, "exposing a path in plaintext", meaning, out);
    }
}

/// Reports a patch of Envoy's configuration.
pub(super) fn patch(span: Span, name: Option<&Spanned<String>>, out: &mut Diagnostics) {
    let what = match name {
        Some(name) => format!("the extension `{name}`"),
        None => "an extension".to_owned(),
    };
    let meaning = match name.map(|name| name.as_str()) {
        Some("builtin/ext-authz") => "nobody is asked: requests that it would refuse are served",
        Some("builtin/ratelimit") => "no request is refused with 429",
        Some(_) | None => "proxies are as Consul makes them without it",
    };
    left_out(span, &what, meaning, out);
}

fn rate_limits(limits: &Spanned<RateLimits>, out: &mut Diagnostics) {
    if let Some(level) = &limits.instance_level {
        let rate = level.requests_per_second.map_or(0, |it| it.value);
        let burst = level.requests_max_burst.map_or(0, |it| it.value);
        if rate < 0 || burst < 0 {
            bad_value(level.span, "rates must not be below zero", out);
        }
        if rate == 0 && burst > 0 {
            bad_value(level.span, "a burst needs a rate", out);
        }
        for route in &level.routes {
            let paths = [&route.path_exact, &route.path_prefix, &route.path_regex];
            let written = paths
                .into_iter()
                .filter(|path| given(path.as_ref()).is_some())
                .count();
            if written != 1 {
                bad_value(
                    route.span,
                    "has one of `pathExact`, `pathPrefix` and `pathRegex`",
                    out,
                );
            }
            if route.requests_per_second.is_none_or(|it| it.value <= 0)
                || route.requests_max_burst.is_some_and(|it| it.value < 0)
            {
                bad_value(route.span, "needs a rate above zero", out);
            }
        }
        if rate == 0 && level.routes.is_empty() {
            bad_value(level.span, "has no rate at all", out);
        }
    }
    left_out(
        limits.span,
        "limiting rates",
        "no request is refused with 429; the community edition refuses none either",
        out,
    );
}

/// Checks how connections are spread over threads.
pub(super) fn balanced(written: Option<&Spanned<String>>, out: &mut Diagnostics) {
    let Some(written) = given(written) else {
        return;
    };
    if written.as_str() == "exact_balance" {
        let meaning = "connections go to a proxy's threads as they do without it";
        left_out(
            written.span,
            "balancing connections over threads",
            meaning,
            out,
        );
    } else {
        bad_value(written.span, "must be `exact_balance`", out);
    }
}

/// A protocol; one that is not known is an error.
pub(super) fn protocol(
    written: Option<&Spanned<String>>,
    cx: &mut Compile<'_>,
) -> Option<Sourced<Protocol>> {
    let written = given(written)?;
    let Some(protocol) = Protocol::named(written) else {
        let names = Protocol::NAMES.map(|(name, _)| name);
        let help = did_you_mean(written, names)
            .unwrap_or_else(|| format!("write one of {}", names.join(", ")));
        cx.diagnostics.push(
            Diagnostic::error(
                "consul::unknown-protocol",
                format!("no service speaks `{written}`"),
            )
            .label(written.span, "not a protocol")
            .help(help),
        );
        return None;
    };
    Some(Sourced::new(protocol, cx.origins.written(written.span)))
}

/// Whether plaintext is taken; permission that the mesh does not give is an error.
pub(super) fn permissive(
    written: Option<&Spanned<String>>,
    allowed: bool,
    cx: &mut Compile<'_>,
) -> Option<Sourced<bool>> {
    let written = given(written)?;
    let permissive = match written.as_str() {
        "strict" => false,
        "permissive" => true,
        _ => {
            bad_value(
                written.span,
                "must be `strict` or `permissive`",
                cx.diagnostics,
            );
            return None;
        }
    };
    if permissive && !allowed {
        cx.diagnostics.push(
            Diagnostic::error(
                "consul::permissive",
                "Consul refuses permissive mutual TLS unless the Mesh entry allows it",
            )
            .label(written.span, "refused")
            .help("write `allowEnablingPermissiveMutualTLS: true` in a Mesh object"),
        );
        return None;
    }
    Some(Sourced::new(permissive, cx.origins.written(written.span)))
}

/// A number of which zero says nothing; one below is an error.
pub(super) fn count(written: Option<Spanned<i64>>, cx: &mut Compile<'_>) -> Option<Sourced<u32>> {
    let written = written?;
    match u32::try_from(written.value) {
        Ok(0) => None,
        Ok(value) => Some(Sourced::new(value, cx.origins.written(written.span))),
        Err(_) => {
            bad_value(written.span, "must be a number from 0", cx.diagnostics);
            None
        }
    }
}

/// A number of milliseconds.
pub(super) fn millis(number: Sourced<u32>) -> Sourced<Duration> {
    Sourced::new(
        Duration::from_millis(u64::from(number.value)),
        number.origin,
    )
}
