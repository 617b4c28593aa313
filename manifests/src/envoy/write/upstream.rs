//! How a cluster's connections are kept, bounded and watched.

use proxy_core::config::{Cluster, ConnectionPool, Limits, RetryBudget, Share, UpstreamProtocol};
use proxy_core::health::Check;
use proxy_core::outlier::{RateRule, Settings};
use proxy_core::retry::budget::ConcurrencyBudget;
use proxy_core::time::Duration;
use serde_json::{Value, json};

use super::cx::Cx;
use super::message::{Message, length, timer};

const OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
const HOUR: Duration = Duration::from_secs(3600);
/// Pause between checks of a cluster without traffic (`no_traffic_interval`).
const NO_TRAFFIC: Duration = Duration::from_secs(60);

/// Writes what is spoken, and how connections are kept.
pub(super) fn protocol(cluster: &Cluster, message: &mut Message, cx: &mut Cx<'_>) {
    let pool = &cluster.pool;
    if let Some(most) = pool.max_idle {
        cx.departs(format!("all idle connections are kept, not {most} of them"));
    }
    let mut common = Message::default();
    let idle = pool.idle_timeout.map(|it| it.value);
    if idle != Some(HOUR) {
        common.set("idle_timeout", timer(idle));
    }
    let longest = pool.max_duration.map(|it| length(it.value));
    common.maybe("max_connection_duration", longest);
    let requests = pool.max_requests_per_connection.map(|it| it.value);
    common.maybe("max_requests_per_connection", requests);
    let mut http2 = Message::default();
    let most = ConnectionPool::default().max_streams.value;
    let streams = pool.max_streams.value.clamp(1, most);
    http2.unless("max_concurrent_streams", streams, most);
    let (form, versions) = match cluster.protocol {
        UpstreamProtocol::Http1 if common.is_empty() => return,
        UpstreamProtocol::Http1 => ("explicit_http_config", json!({"http_protocol_options": {}})),
        UpstreamProtocol::Http2 => (
            "explicit_http_config",
            json!({"http2_protocol_options": Value::from(http2)}),
        ),
        UpstreamProtocol::Downstream => (
            "use_downstream_protocol_config",
            json!({"http_protocol_options": {}, "http2_protocol_options": Value::from(http2)}),
        ),
    };
    let mut options = Message::any(OPTIONS);
    options.within("common_http_protocol_options", common);
    options.set(form, versions);
    let mut all = Message::default();
    all.set(OPTIONS, options);
    message.set("typed_extension_protocol_options", all);
}

/// Writes circuit breakers; `high`: routes of high priority come here.
pub(super) fn bounds(cluster: &Cluster, high: bool, message: &mut Message, cx: &mut Cx<'_>) {
    let mut thresholds = Vec::new();
    let budgets = [cluster.retry_budget, cluster.high_retry_budget];
    let budgets = budgets.map(|budget| match budget.map(|budget| budget.value) {
        None => None,
        Some(RetryBudget::Concurrency(budget)) => Some(retry_budget(&budget)),
        Some(RetryBudget::Rate(_)) => {
            cx.departs("retries are not bound by what succeeded lately: Envoy has no such budget");
            None
        }
    });
    let all = ["DEFAULT", "HIGH"].into_iter().zip(&cluster.limits);
    for ((priority, limits), budget) in all.zip(budgets) {
        let mut entry = Message::default();
        let usual = Limits::envoy();
        for (field, limit, usual) in [
            ("max_connections", limits.connections, usual.connections),
            ("max_pending_requests", limits.pending, usual.pending),
            ("max_requests", limits.requests, usual.requests),
            ("max_retries", limits.retries, usual.retries),
        ] {
            entry.unless(field, limit.value, usual.value);
        }
        let is_bound = priority == "DEFAULT" || high;
        if let Some(budget) = budget.filter(|_| is_bound) {
            entry.set("retry_budget", budget);
        }
        if entry.is_empty() {
            continue;
        }
        entry.unless("priority", priority, "DEFAULT");
        thresholds.push(entry.into());
    }
    let mut breakers = Message::default();
    breakers.list("thresholds", thresholds);
    if let Some(most) = cluster.pool.max_connections_per_endpoint {
        let entry = json!({"max_connections": most.value});
        breakers.list("per_host_thresholds", vec![entry]);
    }
    message.within("circuit_breakers", breakers);
}

fn retry_budget(budget: &ConcurrencyBudget) -> Message {
    let usual = ConcurrencyBudget::envoy_v3();
    let mut message = Message::default();
    if budget.percent != usual.percent {
        message.set("budget_percent", json!({"value": budget.percent}));
    }
    let least = budget.min_concurrency;
    message.unless("min_retry_concurrency", least, usual.min_concurrency);
    message.maybe("budget_interval", budget.interval.map(length));
    message
}

/// Writes outlier detection.
pub(super) fn outlier(settings: &Settings, cx: &mut Cx<'_>) -> Message {
    let usual = Settings::envoy_v3();
    let mut message = Message::default();
    let mut rounded = false;
    let mut share = |message: &mut Message, field: &str, share: Share, usual: Share| {
        let per_cent = |share: Share| share.as_ppm() / 10_000;
        rounded |= !share.as_ppm().is_multiple_of(10_000);
        message.unless(field, per_cent(share), per_cent(usual));
    };
    message.unless("consecutive_5xx", settings.consecutive_5xx, 5);
    share(
        &mut message,
        "enforcing_consecutive_5xx",
        settings.enforcing_consecutive_5xx,
        usual.enforcing_consecutive_5xx,
    );
    let row = settings.consecutive_gateway_failure;
    message.unless("consecutive_gateway_failure", row, 5);
    share(
        &mut message,
        "enforcing_consecutive_gateway_failure",
        settings.enforcing_consecutive_gateway_failure,
        usual.enforcing_consecutive_gateway_failure,
    );
    message.flag(
        "split_external_local_origin_errors",
        settings.split_local_origin,
    );
    let row = settings.consecutive_local_origin_failure;
    message.unless("consecutive_local_origin_failure", row, 5);
    share(
        &mut message,
        "enforcing_consecutive_local_origin_failure",
        settings.enforcing_consecutive_local_origin,
        usual.enforcing_consecutive_local_origin,
    );
    share(
        &mut message,
        "max_ejection_percent",
        settings.max_ejection_share,
        usual.max_ejection_share,
    );
    share(
        &mut message,
        "enforcing_success_rate",
        settings.success_rate.enforcing,
        usual.success_rate.enforcing,
    );
    share(
        &mut message,
        "enforcing_local_origin_success_rate",
        settings.enforcing_local_origin_success_rate,
        usual.enforcing_local_origin_success_rate,
    );
    share(
        &mut message,
        "enforcing_failure_percentage",
        settings.failure_percentage.enforcing,
        usual.failure_percentage.enforcing,
    );
    share(
        &mut message,
        "enforcing_failure_percentage_local_origin",
        settings.enforcing_failure_percentage_local_origin,
        usual.enforcing_failure_percentage_local_origin,
    );
    if rounded {
        cx.departs("shares of outlier detection are rounded down to whole per cent");
    }
    rates(settings, &usual, &mut message);
    times(settings, &usual, &mut message);
    message.flag("always_eject_one_host", settings.always_eject_one);
    if !settings.health_check_returns {
        message.set("successful_active_health_check_uneject_host", false);
    }
    message
}

fn rates(settings: &Settings, usual: &Settings, message: &mut Message) {
    let mut rule = |name: &str, rule: RateRule, usual: RateRule| {
        let field = format!("{name}_minimum_hosts");
        message.unless(&field, rule.minimum_hosts, usual.minimum_hosts);
        let field = format!("{name}_request_volume");
        message.unless(&field, rule.request_volume, usual.request_volume);
    };
    rule("success_rate", settings.success_rate, usual.success_rate);
    rule(
        "failure_percentage",
        settings.failure_percentage,
        usual.failure_percentage,
    );
    let factor = settings.success_rate_stdev_factor;
    message.unless(
        "success_rate_stdev_factor",
        factor,
        usual.success_rate_stdev_factor,
    );
    let threshold = settings.failure_percentage_threshold;
    message.unless(
        "failure_percentage_threshold",
        threshold,
        usual.failure_percentage_threshold,
    );
}

fn times(settings: &Settings, usual: &Settings, message: &mut Message) {
    let base = settings.base_ejection_time;
    for (field, time, usual) in [
        ("interval", settings.interval, usual.interval),
        ("base_ejection_time", base, usual.base_ejection_time),
        (
            "max_ejection_time",
            settings.max_ejection_time,
            usual.max_ejection_time.max(base),
        ),
        (
            "max_ejection_time_jitter",
            settings.max_ejection_jitter,
            usual.max_ejection_jitter,
        ),
    ] {
        message.unless(field, length(time), length(usual));
    }
}

/// Writes active health checks. Envoy wants names for them where there are several.
pub(super) fn health_checks(cluster: &Cluster, message: &mut Message, cx: &mut Cx<'_>) {
    let is_one = cluster.health_checks.len() == 1;
    let mut checks = Vec::new();
    for (number, check) in cluster.health_checks.iter().enumerate() {
        let mut written = health_check(&check.value, cx);
        if !is_one {
            written.set("name", number.to_string());
        }
        checks.push(written.into());
    }
    message.list("health_checks", checks);
}

fn health_check(check: &Check, cx: &mut Cx<'_>) -> Message {
    let mut message = Message::default();
    message.set("timeout", length(check.timeout));
    message.set("interval", length(check.interval));
    if !check.interval_jitter.is_zero() {
        message.set("interval_jitter", length(check.interval_jitter));
    }
    message.maybe("unhealthy_interval", check.unhealthy_interval.map(length));
    // without one of its own the pause is the usual one
    let idle = check.no_traffic_interval.unwrap_or(check.interval);
    message.unless("no_traffic_interval", length(idle), length(NO_TRAFFIC));
    message.set("unhealthy_threshold", check.unhealthy_threshold);
    message.set("healthy_threshold", check.healthy_threshold);
    let Some(path) = &check.path else {
        message.set("tcp_health_check", json!({}));
        return message;
    };
    let mut http = Message::default();
    http.set("path", &**path);
    http.text("host", &check.host);
    http.list("expected_statuses", ranges(&check.expected, cx));
    http.list("retriable_statuses", ranges(&check.retriable, cx));
    message.set("http_health_check", http);
    message
}

/// The end of a range is out in Envoy, and in here.
fn ranges(ranges: &[(u16, u16)], cx: &mut Cx<'_>) -> Vec<Value> {
    let mut written = Vec::new();
    for &(first, last) in ranges {
        let (start, end) = (first.max(100), last.saturating_add(1).min(600));
        if (start, end) != (first, last.saturating_add(1)) {
            cx.departs("statuses of health checks are from 100 to 599");
        }
        if start < end {
            written.push(json!({"start": start, "end": end}));
        }
    }
    written
}
