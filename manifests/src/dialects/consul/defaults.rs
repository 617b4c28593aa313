//! ServiceDefaults, ProxyDefaults and Mesh.
//!
//! Source: hashicorp/consul 1.21 `agent/structs/config_entry.go`, `agent/configentry/resolve.go`, `agent/xds/config/config.go`;
//! hashicorp/consul-k8s 1.8 `control-plane/api/v1alpha1/servicedefaults_types.go`.

use std::collections::BTreeMap;

use proxy_core::config::{EscapedSlashes, Name, Share, Underscores};
use proxy_core::origin::Sourced;
use proxy_core::outlier;
use proxy_core::time::Duration;

use super::duration;
use super::notes::{bad_value, enterprise, field_left_out, given, left_out, needs_enterprise};
use super::policy::{
    LimitsPolicy, MeshPolicy, Protocol, ProxySettings, ServicePolicy, UpstreamPolicy,
};
use super::types::{
    Expose, Limits, Mesh, MeshGateway, Normalization, PassiveHealthCheck, ProxyDefaults,
    RateLimits, ServiceDefaults, TransparentProxy, Upstream,
};
use crate::diagnostics::{Diagnostic, Diagnostics, did_you_mean};
use crate::dialects::Compile;
use crate::load::Object;
use crate::text::{Node, Present, Span, Spanned, Value};

/// How long a first ejection lasts where a passive health check says nothing of it. Source: consul-k8s `PassiveHealthCheck.toConsul`.
const BASE_EJECTION: Duration = Duration::from_secs(30);
/// Settings of proxies by name that have no bearing on traffic as it is simulated.
const WITHOUT_BEARING: [&str; 17] = [
    "bind_address",
    "bind_port",
    "xds_fetch_timeout_ms",
    "envoy_prometheus_bind_addr",
    "envoy_stats_bind_addr",
    "envoy_ready_bind_addr",
    "envoy_statsd_url",
    "envoy_dogstatsd_url",
    "envoy_hcp_metrics_bind_socket_dir",
    "envoy_telemetry_collector_bind_socket_dir",
    "envoy_stats_tags",
    "envoy_stats_config_json",
    "envoy_stats_flush_interval",
    "envoy_stats_sinks_json",
    "envoy_extra_stats_sinks_json",
    "envoy_extra_static_clusters_json",
    "telemetry_collector_bind_socket_dir",
];
/// Those that replace or patch what Consul makes.
const PATCHES: [&str; 8] = [
    "envoy_public_listener_json",
    "envoy_listener_tracing_json",
    "envoy_local_cluster_json",
    "envoy_bootstrap_json_tpl",
    "envoy_extra_static_listeners_json",
    "envoy_tracing_json",
    "envoy_listener_json",
    "envoy_cluster_json",
];
/// Those that are read.
const READ: [&str; 8] = [
    "protocol",
    "local_connect_timeout_ms",
    "local_request_timeout_ms",
    "local_idle_timeout_ms",
    "max_inbound_connections",
    "balance_inbound_connections",
    "max_request_headers_kb",
    "mesh_gateway",
];

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
    let mut overrides = BTreeMap::new();
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
            overrides.insert(Name::from(name.as_str()), policy);
        }
    }
    ServicePolicy {
        own,
        upstreams,
        overrides,
        is_outside: written.destination.is_some() || given(written.external_sni.as_ref()).is_some(),
        origin: cx.origins.written(object.name_span),
    }
}

/// Reads ProxyDefaults.
pub(super) fn proxy(
    written: &ProxyDefaults,
    allows_permissive: bool,
    cx: &mut Compile<'_>,
) -> ProxySettings {
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
    if let Some(policy) = &written.failover_policy
        && given(policy.mode.as_ref()).is_some()
    {
        needs_enterprise(policy.span, "an order of failover", cx.diagnostics);
    }
    if let Some(policy) = &written.prioritize_by_locality
        && given(policy.mode.as_ref()).is_some()
    {
        needs_enterprise(policy.span, "preferring near instances", cx.diagnostics);
    }
    let logs = written.access_logs.as_ref();
    if let Some(enabled) = logs.and_then(|logs| logs.enabled).filter(|it| it.value) {
        let meaning = "proxies write no access logs";
        left_out(
            enabled.span,
            "access logs of proxies",
            meaning,
            cx.diagnostics,
        );
    }
    let mut settings = match &written.config {
        Some(config) => self::settings(config, cx),
        None => ProxySettings::default(),
    };
    settings.permissive = permissive(written.mutual_tls_mode.as_ref(), allows_permissive, cx);
    settings
}

/// Reads settings of a proxy by name: `ProxyDefaults.config`, and the annotation of pods.
pub(super) fn settings(config: &Node, cx: &mut Compile<'_>) -> ProxySettings {
    let mut settings = ProxySettings::default();
    let Some(map) = config.as_map() else {
        bad_value(
            config.span,
            "must be a mapping of names to values",
            cx.diagnostics,
        );
        return settings;
    };
    for entry in map.entries() {
        let (key, value) = (entry.key.text.to_ascii_lowercase(), &entry.value);
        match key.as_str() {
            "protocol" => {
                let text = value
                    .as_str()
                    .map(|text| Spanned::new(text.to_owned(), value.span));
                if text.is_none() {
                    bad_value(value.span, "must be a text", cx.diagnostics);
                }
                settings.protocol = protocol(text.as_ref(), cx);
            }
            "local_connect_timeout_ms" => {
                settings.connect_timeout = number(value, cx).filter(|it| it.value > 0).map(millis);
            }
            "local_request_timeout_ms" => {
                // 0 turns Envoy's off
                settings.request_timeout = number(value, cx).map(|it| {
                    let millis = millis(it).value;
                    Sourced::new((!millis.is_zero()).then_some(millis), it.origin)
                });
            }
            "local_idle_timeout_ms" => settings.idle_timeout = number(value, cx).map(millis),
            "max_inbound_connections" => {
                settings.max_connections = number(value, cx).filter(|it| it.value > 0);
            }
            "max_request_headers_kb" => {
                let found = number(value, cx).filter(|it| it.value > 0);
                settings.head_bytes =
                    found.map(|it| Sourced::new(u64::from(it.value) << 10, it.origin));
            }
            "balance_inbound_connections" => {
                let text = value
                    .as_str()
                    .map(|text| Spanned::new(text.to_owned(), value.span));
                balanced(text.as_ref(), cx.diagnostics);
            }
            "mesh_gateway" => {
                let meaning = "there is one datacenter: nothing passes through such gateways";
                left_out(entry.key.span, "`mesh_gateway`", meaning, cx.diagnostics);
            }
            known if WITHOUT_BEARING.contains(&known) => {}
            patched if PATCHES.contains(&patched) => {
                let meaning = "proxies are as Consul makes them without it";
                left_out(
                    entry.key.span,
                    &format!("`{patched}`"),
                    meaning,
                    cx.diagnostics,
                );
            }
            _ => {
                let known = READ.iter().chain(&PATCHES).chain(&WITHOUT_BEARING).copied();
                cx.diagnostics.push(
                    Diagnostic::warning(
                        "consul::unknown-setting",
                        format!("no proxy reads a setting `{}`", entry.key.text),
                    )
                    .label(entry.key.span, "has no effect")
                    .maybe_help(did_you_mean(&key, known)),
                );
            }
        }
    }
    settings
}

/// Reads Mesh.
pub(super) fn mesh(written: &Mesh, cx: &mut Compile<'_>) -> MeshPolicy {
    let mut policy = MeshPolicy::default();
    let only = written.transparent_proxy.as_ref();
    let only = only.and_then(|it| it.mesh_destinations_only);
    policy.destinations_only = only
        .filter(|it| it.value)
        .map(|it| cx.origins.written(it.span));
    policy.allows_permissive = written.allow_permissive.is_some_and(|it| it.value);
    if let Some(tls) = &written.tls {
        for side in [&tls.incoming, &tls.outgoing].into_iter().flatten() {
            let meaning = "versions and ciphers of TLS are the drivers' own";
            left_out(side.span, "what TLS is made of", meaning, cx.diagnostics);
        }
    }
    let peering = written.peering.as_ref();
    field_left_out(
        peering.and_then(|it| it.peer_through_mesh_gateways),
        "peering",
        "there is one cluster",
        cx.diagnostics,
    );
    if let Some(validate) = written.validate_clusters.filter(|it| it.value) {
        let meaning = "tables are loaded whatever clusters they name";
        left_out(validate.span, "`validateClusters`", meaning, cx.diagnostics);
    }
    if let Some(http) = &written.http {
        policy.sanitizes_certificates = http
            .sanitize_x_forwarded_client_cert
            .is_some_and(|it| it.value);
        let incoming = http.incoming.as_ref();
        if let Some(rules) = incoming.and_then(|it| it.request_normalization.as_ref()) {
            normalization(rules, &mut policy, cx.diagnostics);
        }
    }
    policy
}

fn normalization(rules: &Normalization, policy: &mut MeshPolicy, out: &mut Diagnostics) {
    policy.keeps_paths = rules
        .insecure_disable_path_normalization
        .is_some_and(|it| it.value);
    policy.merges_slashes = rules.merge_slashes.is_some_and(|it| it.value);
    if let Some(action) = given(rules.path_with_escaped_slashes_action.as_ref()) {
        match action.as_str() {
            "IMPLEMENTATION_SPECIFIC_DEFAULT" | "KEEP_UNCHANGED" => {}
            "REJECT_REQUEST" => policy.escaped_slashes = EscapedSlashes::Reject,
            "UNESCAPE_AND_FORWARD" => policy.escaped_slashes = EscapedSlashes::Forward,
            "UNESCAPE_AND_REDIRECT" => policy.escaped_slashes = EscapedSlashes::Redirect,
            _ => bad_value(
                action.span,
                "must be `KEEP_UNCHANGED`, `REJECT_REQUEST`, `UNESCAPE_AND_FORWARD` or `UNESCAPE_AND_REDIRECT`",
                out,
            ),
        }
    }
    if let Some(action) = given(rules.headers_with_underscores_action.as_ref()) {
        match action.as_str() {
            "ALLOW" => {}
            "REJECT_REQUEST" => policy.underscores = Underscores::Reject,
            "DROP_HEADER" => policy.underscores = Underscores::Drop,
            _ => bad_value(
                action.span,
                "must be `ALLOW`, `REJECT_REQUEST` or `DROP_HEADER`",
                out,
            ),
        }
    }
}

/// What ServiceDefaults and ProxyDefaults have alike and is not modelled.
fn reported(
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

fn patch(span: Span, name: Option<&Spanned<String>>, out: &mut Diagnostics) {
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

fn balanced(written: Option<&Spanned<String>>, out: &mut Diagnostics) {
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

fn permissive(
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

fn upstream(written: &Spanned<Upstream>, cx: &mut Compile<'_>) -> UpstreamPolicy {
    enterprise(
        written.namespace.as_ref(),
        "a namespace of Consul",
        cx.diagnostics,
    );
    enterprise(written.partition.as_ref(), "a partition", cx.diagnostics);
    let meaning = "what Consul makes of the upstream without it is in force";
    let (listener, cluster) = (written.envoy_listener_json, written.envoy_cluster_json);
    field_left_out(
        listener,
        "a listener as Envoy has it",
        meaning,
        cx.diagnostics,
    );
    field_left_out(
        cluster,
        "a cluster as Envoy has it",
        meaning,
        cx.diagnostics,
    );
    reported(
        None,
        None,
        written.mesh_gateway.as_ref(),
        None,
        cx.diagnostics,
    );
    let connect = written.connect_timeout_ms.filter(|it| it.value > 0);
    UpstreamPolicy {
        protocol: protocol(written.protocol.as_ref(), cx),
        connect_timeout: count(connect, cx).map(millis),
        limits: written.limits.as_ref().map(|it| limits(it, cx)),
        health: written
            .passive_health_check
            .as_ref()
            .map(|it| health(it, cx)),
    }
}

fn limits(written: &Limits, cx: &mut Compile<'_>) -> LimitsPolicy {
    let mut limit = |written: Option<Spanned<i64>>| -> Option<Sourced<u32>> {
        let written = written?;
        let Ok(value) = u32::try_from(written.value) else {
            bad_value(written.span, "must not be below zero", cx.diagnostics);
            return None;
        };
        Some(Sourced::new(value, cx.origins.written(written.span)))
    };
    LimitsPolicy {
        connections: limit(written.max_connections),
        pending: limit(written.max_pending_requests),
        requests: limit(written.max_concurrent_requests),
    }
}

/// What it does not say is Envoy's; zero of `interval` and `maxFailures` says nothing.
///
/// Source: hashicorp/consul 1.21 `agent/xds/config/config.go`, `ToOutlierDetection`.
fn health(
    written: &Spanned<PassiveHealthCheck>,
    cx: &mut Compile<'_>,
) -> Sourced<outlier::Settings> {
    let mut settings = outlier::Settings::envoy_v3();
    if let Some(interval) = duration::positive(written.interval.as_ref(), cx) {
        settings.interval = interval.value;
    }
    if let Some(failures) = count(written.max_failures, cx) {
        settings.consecutive_5xx = failures.value;
    }
    let mut percent = |written: Option<Spanned<i64>>| -> Option<Share> {
        let written = written?;
        if !(0..=100).contains(&written.value) {
            bad_value(written.span, "must be from 0 to 100", cx.diagnostics);
            return None;
        }
        Some(Share::from_percent(written.value as f64))
    };
    if let Some(enforcing) = percent(written.enforcing_consecutive_5xx) {
        settings.enforcing_consecutive_5xx = enforcing;
    }
    if let Some(most) = percent(written.max_ejection_percent) {
        settings.max_ejection_share = most;
    }
    let base = duration::positive(written.base_ejection_time.as_ref(), cx);
    settings.base_ejection_time = base.map_or(BASE_EJECTION, |base| base.value);
    // Envoy: never less than the first one
    settings.max_ejection_time = settings.max_ejection_time.max(settings.base_ejection_time);
    Sourced::new(settings, cx.origins.written(written.span))
}

/// A number of which zero says nothing; one below is an error.
fn count(written: Option<Spanned<i64>>, cx: &mut Compile<'_>) -> Option<Sourced<u32>> {
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

/// A whole number of a setting by name, which may be written as text.
fn number(value: &Node, cx: &mut Compile<'_>) -> Option<Sourced<u32>> {
    let found = match &value.value {
        Value::Int(number) => u32::try_from(*number).ok(),
        Value::String(text) => text.trim().parse().ok(),
        Value::Float(_) | Value::Bool(_) | Value::Null | Value::Seq(_) | Value::Map(_) => None,
    };
    let Some(number) = found else {
        bad_value(value.span, "must be a whole number from 0", cx.diagnostics);
        return None;
    };
    Some(Sourced::new(number, cx.origins.written(value.span)))
}

fn millis(number: Sourced<u32>) -> Sourced<Duration> {
    Sourced::new(
        Duration::from_millis(u64::from(number.value)),
        number.origin,
    )
}
