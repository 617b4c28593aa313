//! ProxyDefaults, and settings of proxies by name.
//!
//! Source: hashicorp/consul 1.21 `agent/xds/config/config.go` (`ProxyConfig`).

use proxy_core::origin::Sourced;

use super::defaults::{balanced, millis, patch, permissive, protocol, reported};
use super::notes::{bad_value, given, left_out, needs_enterprise};
use super::policy::ProxySettings;
use super::types::ProxyDefaults;
use crate::diagnostics::{Diagnostic, did_you_mean};
use crate::dialects::Compile;
use crate::text::{Node, Spanned, Value};

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
