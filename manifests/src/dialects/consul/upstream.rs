//! How a service's proxies call others: `upstreamConfig` of ServiceDefaults.
//!
//! Source: hashicorp/consul 1.21 `agent/structs/config_entry.go` (`UpstreamConfig`), `agent/xds/config/config.go` (`ToOutlierDetection`).

use proxy_core::config::Share;
use proxy_core::origin::Sourced;
use proxy_core::outlier;
use proxy_core::time::Duration;

use super::defaults::{count, millis, protocol, reported};
use super::duration;
use super::notes::{bad_value, enterprise, field_left_out};
use super::policy::{LimitsPolicy, UpstreamPolicy};
use super::types::{Limits, PassiveHealthCheck, Upstream};
use crate::dialects::Compile;
use crate::text::Spanned;

/// How long a first ejection lasts where a passive health check says nothing of it. Source: consul-k8s `PassiveHealthCheck.toConsul`.
const BASE_EJECTION: Duration = Duration::from_secs(30);

/// Reads how an upstream, or any, is called.
pub(super) fn upstream(written: &Spanned<Upstream>, cx: &mut Compile<'_>) -> UpstreamPolicy {
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
