//! How a cluster's connections are kept, bounded and watched.

use proxy_core::config::{ConnectionPool, Limits, RetryBudget, Share, UpstreamProtocol};
use proxy_core::health::Check;
use proxy_core::origin::Sourced;
use proxy_core::outlier::{RateRule, Settings};
use proxy_core::retry::budget::ConcurrencyBudget;
use proxy_core::time::Duration;

use super::compile::Cx;
use super::types::{self, ProtocolSelection, RoutingPriority};
use super::values::Whole;
use crate::text::{Node, Spanned};

const OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

/// What is spoken, and how connections are kept.
pub(super) fn protocol(
    written: &types::Cluster,
    cx: &mut Cx<'_>,
) -> (UpstreamProtocol, ConnectionPool) {
    let mut pool = ConnectionPool {
        idle_timeout: Some(cx.default(Duration::from_secs(3600))),
        max_streams: cx.default(ConnectionPool::default().max_streams.value),
        ..ConnectionPool::default()
    };
    let mut protocol = UpstreamProtocol::Http1;
    if let Some(node) = &written.http2_protocol_options {
        protocol = UpstreamProtocol::Http2;
        http2(node, &mut pool, cx);
    }
    if written.protocol_selection == ProtocolSelection::UseDownstreamProtocol {
        protocol = UpstreamProtocol::Downstream;
    }
    if let Some(node) = &written.common_http_protocol_options {
        common(node, &mut pool, cx);
    }
    let old = cx.count(written.max_requests_per_connection);
    pool.max_requests_per_connection = old
        .filter(|most| most.value > 0)
        .or(pool.max_requests_per_connection);
    for (name, node) in &written.typed_extension_protocol_options {
        let Some(typed) = cx.typed(node) else {
            continue;
        };
        if typed.kind == OPTIONS {
            if let Some(options) = cx.read::<types::UpstreamHttp>(&typed.config) {
                protocol = version(&options, node, &mut pool, cx);
            }
        } else {
            let what = format!("what this says of `{name}`");
            cx.left_out(name.span, &what, "the protocol has its usual settings");
        }
    }
    (protocol, pool)
}

fn version(
    options: &types::UpstreamHttp,
    node: &Node,
    pool: &mut ConnectionPool,
    cx: &mut Cx<'_>,
) -> UpstreamProtocol {
    if let Some(node) = &options.common_http_protocol_options {
        common(node, pool, cx);
    }
    let forms = [
        options.explicit_http_config.as_ref(),
        options.use_downstream_protocol_config.as_ref(),
        options.auto_config.as_ref().map(|auto| &auto.value),
    ];
    if forms.iter().flatten().count() != 1 {
        let message = "write one of `explicit_http_config`, `use_downstream_protocol_config` and `auto_config`";
        cx.refuse(node.span, message);
    }
    for form in forms.into_iter().flatten() {
        let meaning = "HTTP/3 is not spoken: the cluster speaks HTTP/2, or HTTP/1.1";
        cx.note(
            form.http3_protocol_options,
            "http3_protocol_options",
            meaning,
        );
        if let Some(node) = &form.http2_protocol_options {
            http2(node, pool, cx);
        }
    }
    if options.use_downstream_protocol_config.is_some() {
        return UpstreamProtocol::Downstream;
    }
    if let Some(auto) = &options.auto_config {
        let meaning = "what is spoken is not settled in the handshake: the cluster speaks HTTP/2";
        cx.left_out(auto.span, "`auto_config`", meaning);
        return UpstreamProtocol::Http2;
    }
    let explicit = options.explicit_http_config.as_ref();
    let is_multiplexed = explicit.is_some_and(|version| {
        version.http2_protocol_options.is_some() || version.http3_protocol_options.is_some()
    });
    if is_multiplexed {
        UpstreamProtocol::Http2
    } else {
        UpstreamProtocol::Http1
    }
}

fn common(node: &Node, pool: &mut ConnectionPool, cx: &mut Cx<'_>) {
    let Some(written) = cx.read::<types::CommonHttp>(node) else {
        return;
    };
    pool.idle_timeout = cx.timer(written.idle_timeout, Some(Duration::from_secs(3600)));
    pool.max_duration = cx.timer(written.max_connection_duration, None);
    let requests = cx.count(written.max_requests_per_connection);
    pool.max_requests_per_connection = requests.filter(|most| most.value > 0);
    if let Some(longest) = written.max_stream_duration {
        let meaning = "streams last as long as the route and the listener let them";
        cx.left_out(longest.span, "`max_stream_duration` of clusters", meaning);
    }
}

fn http2(node: &Node, pool: &mut ConnectionPool, cx: &mut Cx<'_>) {
    let written: Option<types::Http2Options> = cx.read(node);
    if let Some(streams) = written.and_then(|options| cx.count(options.max_concurrent_streams)) {
        pool.max_streams = streams;
    }
}

/// Limits by priority, the retry budget, and the bound on connections to one endpoint.
pub(super) struct Bounds {
    pub(super) limits: [Limits; 2],
    /// By routing priority.
    pub(super) retry_budgets: [Option<Sourced<RetryBudget>>; 2],
    pub(super) per_endpoint: Option<Sourced<u32>>,
}

/// Compiles circuit breakers; of several entries for a priority the first counts.
pub(super) fn bounds(written: Option<&types::CircuitBreakers>, cx: &mut Cx<'_>) -> Bounds {
    let plain = Limits {
        connections: cx.default(1024),
        pending: cx.default(1024),
        requests: cx.default(1024),
        retries: cx.default(3),
    };
    let mut bounds = Bounds {
        limits: [plain; 2],
        retry_budgets: [None; 2],
        per_endpoint: None,
    };
    let Some(written) = written else {
        return bounds;
    };
    let mut seen = [false; 2];
    for node in &written.thresholds {
        let Some(entry) = cx.read::<types::Thresholds>(node) else {
            continue;
        };
        let nth = usize::from(entry.priority == RoutingPriority::High);
        if std::mem::replace(&mut seen[nth], true) {
            let what = "a second entry for one priority";
            cx.left_out(node.span, what, "the first counts, as with Envoy");
            continue;
        }
        let set = |limit: &mut Sourced<u32>, value, cx: &mut Cx<'_>| {
            *limit = cx.count(value).unwrap_or(*limit);
        };
        let limits = &mut bounds.limits[nth];
        set(&mut limits.connections, entry.max_connections, cx);
        set(&mut limits.pending, entry.max_pending_requests, cx);
        set(&mut limits.requests, entry.max_requests, cx);
        set(&mut limits.retries, entry.max_retries, cx);
        if let Some(budget) = &entry.retry_budget {
            bounds.retry_budgets[nth] = Some(retry_budget(budget, cx));
        }
    }
    let default = |each: &&types::PerHost| each.priority == RoutingPriority::Default;
    let per_host = written.per_host_thresholds.iter().find(default);
    bounds.per_endpoint = per_host.and_then(|each| cx.count(each.max_connections));
    bounds
}

fn retry_budget(written: &Spanned<types::RetryBudget>, cx: &mut Cx<'_>) -> Sourced<RetryBudget> {
    let mut budget = ConcurrencyBudget::envoy_v3();
    if let Some(percent) = written.budget_percent {
        cx.share(Spanned::new(percent, written.span));
        budget.percent = percent.value;
    }
    if let Some(least) = written.min_retry_concurrency {
        budget.min_concurrency = least.0;
    }
    budget.interval = written.budget_interval.map(|interval| interval.0);
    let origin = cx.written(written.span);
    Sourced::new(RetryBudget::Concurrency(budget), origin)
}

/// Compiles outlier detection.
pub(super) fn outlier(
    written: &Spanned<types::OutlierDetection>,
    cx: &mut Cx<'_>,
) -> Sourced<Settings> {
    let defaults = Settings::envoy_v3();
    let count = |number: Option<Whole<u32>>, default| number.map_or(default, |number| number.0);
    let base = positive(written.base_ejection_time, defaults.base_ejection_time, cx);
    let longest = positive(written.max_ejection_time, defaults.max_ejection_time, cx);
    cx.note(
        written.monitors,
        "monitors",
        "endpoints are judged by the other rules alone",
    );
    let threshold = percent(written.failure_percentage_threshold, 85, cx);
    let mut share = |number, default: Share| match number {
        Some(number) => Share::from_ppm(percent(Some(number), 0, cx) * 10_000),
        None => default,
    };
    let settings = Settings {
        consecutive_5xx: count(written.consecutive_5xx, defaults.consecutive_5xx),
        enforcing_consecutive_5xx: share(
            written.enforcing_consecutive_5xx,
            defaults.enforcing_consecutive_5xx,
        ),
        consecutive_gateway_failure: count(
            written.consecutive_gateway_failure,
            defaults.consecutive_gateway_failure,
        ),
        enforcing_consecutive_gateway_failure: share(
            written.enforcing_consecutive_gateway_failure,
            defaults.enforcing_consecutive_gateway_failure,
        ),
        split_local_origin: written.split_external_local_origin_errors,
        consecutive_local_origin_failure: count(
            written.consecutive_local_origin_failure,
            defaults.consecutive_local_origin_failure,
        ),
        enforcing_consecutive_local_origin: share(
            written.enforcing_consecutive_local_origin_failure,
            defaults.enforcing_consecutive_local_origin,
        ),
        base_ejection_time: base,
        // Without a written bound a longer base is the bound.
        max_ejection_time: longest.max(base),
        max_ejection_jitter: written
            .max_ejection_time_jitter
            .map_or(Duration::ZERO, |jitter| jitter.0),
        max_ejection_share: share(written.max_ejection_percent, defaults.max_ejection_share),
        always_eject_one: written
            .always_eject_one_host
            .unwrap_or(defaults.always_eject_one),
        success_rate: RateRule {
            enforcing: share(
                written.enforcing_success_rate,
                defaults.success_rate.enforcing,
            ),
            minimum_hosts: count(
                written.success_rate_minimum_hosts,
                defaults.success_rate.minimum_hosts,
            ),
            request_volume: count(
                written.success_rate_request_volume,
                defaults.success_rate.request_volume,
            ),
        },
        success_rate_stdev_factor: count(
            written.success_rate_stdev_factor,
            defaults.success_rate_stdev_factor,
        ),
        enforcing_local_origin_success_rate: share(
            written.enforcing_local_origin_success_rate,
            defaults.enforcing_local_origin_success_rate,
        ),
        failure_percentage: RateRule {
            enforcing: share(
                written.enforcing_failure_percentage,
                defaults.failure_percentage.enforcing,
            ),
            minimum_hosts: count(
                written.failure_percentage_minimum_hosts,
                defaults.failure_percentage.minimum_hosts,
            ),
            request_volume: count(
                written.failure_percentage_request_volume,
                defaults.failure_percentage.request_volume,
            ),
        },
        failure_percentage_threshold: threshold,
        enforcing_failure_percentage_local_origin: share(
            written.enforcing_failure_percentage_local_origin,
            defaults.enforcing_failure_percentage_local_origin,
        ),
        health_check_returns: written
            .successful_active_health_check_uneject_host
            .unwrap_or(defaults.health_check_returns),
        interval: positive(written.interval, defaults.interval, cx),
    };
    Sourced::new(settings, cx.written(written.span))
}

/// Per cent from 0 to 100; one outside is an error.
fn percent(number: Option<Spanned<Whole<u32>>>, default: u32, cx: &mut Cx<'_>) -> u32 {
    let Some(number) = number else {
        return default;
    };
    if number.value.0 > 100 {
        cx.refuse(number.span, "must be from 0 to 100 per cent");
    }
    number.value.0.min(100)
}

fn positive(
    length: Option<Spanned<super::values::Length>>,
    default: Duration,
    cx: &mut Cx<'_>,
) -> Duration {
    let Some(length) = length else {
        return default;
    };
    if length.value.0.is_zero() {
        cx.refuse(length.span, "must be above 0");
    }
    length.value.0
}

/// Compiles active health checks.
pub(super) fn health_checks(nodes: &[Node], cx: &mut Cx<'_>) -> Vec<Sourced<Check>> {
    let mut checks = Vec::new();
    for node in nodes {
        if let Some(written) = cx.read::<types::HealthCheck>(node) {
            checks.extend(health_check(&written, node, cx));
        }
    }
    checks
}

fn health_check(
    written: &types::HealthCheck,
    node: &Node,
    cx: &mut Cx<'_>,
) -> Option<Sourced<Check>> {
    let meaning = "the endpoints are not checked";
    cx.note(written.grpc_health_check, "grpc_health_check", meaning);
    cx.note(written.custom_health_check, "custom_health_check", meaning);
    let http: Option<types::HttpHealthCheck> = cx.read_maybe(written.http_health_check.as_ref());
    let tcp: Option<types::TcpHealthCheck> = cx.read_maybe(written.tcp_health_check.as_ref());
    if http.is_none() && tcp.is_none() {
        let is_known = written.grpc_health_check.is_some()
            || written.custom_health_check.is_some()
            || written.http_health_check.is_some();
        if !is_known {
            cx.refuse(
                node.span,
                "write one of `http_health_check` and `tcp_health_check`",
            );
        }
        return None;
    }
    for length in [written.timeout, written.interval] {
        if length.value.0.is_zero() {
            cx.refuse(length.span, "must be above 0");
        }
    }
    let interval = written.interval.value.0;
    // Envoy adds up to this share of the interval, beside the jitter in time.
    let part = written
        .interval_jitter_percent
        .map_or(0, |percent| percent.0);
    let jitter = written
        .interval_jitter
        .map_or(Duration::ZERO, |jitter| jitter.0);
    let shared = interval.scale(f64::from(part) / 100.0);
    let check = Check {
        path: http.as_ref().map(|http| http.path.as_str().into()),
        host: http.as_ref().map_or("", |http| http.host.as_str()).into(),
        timeout: written.timeout.value.0,
        interval,
        interval_jitter: Duration::from_nanos(jitter.as_nanos() + shared.as_nanos()),
        unhealthy_interval: written.unhealthy_interval.map(|length| length.0),
        no_traffic_interval: Some(
            written
                .no_traffic_interval
                .map_or(Duration::from_secs(60), |length| length.0),
        ),
        unhealthy_threshold: written.unhealthy_threshold.0,
        healthy_threshold: written.healthy_threshold.0,
        expected: http
            .as_ref()
            .map_or_else(Vec::new, |http| ranges(&http.expected_statuses, cx)),
        retriable: http
            .as_ref()
            .map_or_else(Vec::new, |http| ranges(&http.retriable_statuses, cx)),
    };
    Some(Sourced::new(check, cx.written(node.span)))
}

/// Envoy leaves the end of a range out; here it is in.
fn ranges(written: &[Spanned<types::StatusRange>], cx: &mut Cx<'_>) -> Vec<(u16, u16)> {
    let mut ranges = Vec::new();
    for range in written {
        let (start, end) = (range.start.0, range.end.0);
        if start < 100 || start >= end || end > 600 {
            cx.refuse(
                range.span,
                "a range is `start` from 100 and a greater `end` up to 600, which is left out",
            );
            continue;
        }
        ranges.push((start, end - 1));
    }
    ranges
}
