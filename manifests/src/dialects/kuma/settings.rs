//! Settings of policies put in force on clusters and requests.

use proxy_core::config::{Balancer, Cluster, HashPolicy, HashSource, Share};
use proxy_core::health::Check;
use proxy_core::origin::Sourced;
use proxy_core::outlier::Settings;
use proxy_core::time::Duration;

use super::protocol::Protocol;
use super::release::Defaults;
use super::types::{
    self, Breaker, Detectors, HashPolicyType, HealthCheck, LoadBalancerType, OutlierDetection,
    Strategy, Timeouts,
};
use super::values::{Length, Number};
use crate::dialects::Compile;
use crate::text::Spanned;

/// Entries of a ring: least unless set, and most. Source: Envoy v3 `RingHashLbConfig`.
const RING: (u64, u64) = (1024, 8 * 1024 * 1024);
/// Entries of Maglev's table unless set. Source: Envoy v3 `MaglevLbConfig`.
const MAGLEV: u64 = 65_537;

/// Timeouts of requests.
#[derive(Clone, Copy, Debug)]
pub(super) struct Requests {
    /// All tries together; zero: none.
    pub(super) timeout: Sourced<Duration>,
    /// Nothing happens on a stream; zero: none.
    pub(super) stream_idle: Sourced<Duration>,
    /// The whole stream.
    pub(super) max_stream: Option<Sourced<Duration>>,
    /// Until the head is there.
    pub(super) head: Option<Sourced<Duration>>,
}

/// What carried connections and requests have besides.
#[derive(Clone, Copy, Debug)]
pub(super) struct Connections {
    pub(super) connect: Sourced<Duration>,
    pub(super) idle: Sourced<Duration>,
    /// A connection's age.
    pub(super) max: Option<Sourced<Duration>>,
}

/// Zero is none.
pub(super) fn zero_is_none(timeout: Sourced<Duration>) -> Option<Sourced<Duration>> {
    (!timeout.value.is_zero()).then_some(timeout)
}

fn length(
    value: Option<Spanned<Length>>,
    default: Duration,
    defaults: Defaults,
    cx: &mut Compile<'_>,
) -> Sourced<Duration> {
    let value = value.map(|it| it.map(|length| length.0));
    defaults.or(value, default, cx)
}

/// Timeouts of requests and connections, with what holds where nothing is set.
///
/// Source: kuma 2.14 `pkg/plugins/policies/core/defaults/consts.go`; the same for what arrives, where no policy sets it.
pub(super) fn timeouts(
    conf: &Timeouts,
    defaults: Defaults,
    cx: &mut Compile<'_>,
) -> (Connections, Requests) {
    let http = conf.http.clone().unwrap_or_default();
    let mut bound = |value: Option<Spanned<Length>>| {
        let value = length(value, Duration::ZERO, defaults, cx);
        zero_is_none(value)
    };
    let max = bound(http.max_connection_duration);
    let max_stream = bound(http.max_stream_duration);
    let head = bound(http.request_headers_timeout);
    let mut set = |value, seconds| length(value, Duration::from_secs(seconds), defaults, cx);
    let connections = Connections {
        connect: set(conf.connection_timeout, 5),
        idle: set(conf.idle_timeout, 3600),
        max,
    };
    let requests = Requests {
        timeout: set(http.request_timeout, 15),
        stream_idle: set(http.stream_idle_timeout, 30 * 60),
        max_stream,
        head,
    };
    (connections, requests)
}

/// Puts timeouts of connections in force. Idle timeouts and ages are set for HTTP alone: gRPC keeps Envoy's.
///
/// Source: kuma 2.14 `pkg/plugins/policies/meshtimeout/plugin/xds/configurer.go`, `ClusterConfigurer.Configure`.
pub(super) fn apply_connections(
    cluster: &mut Cluster,
    connections: &Connections,
    protocol: Protocol,
) {
    cluster.connect_timeout = connections.connect;
    if matches!(protocol, Protocol::Http | Protocol::Http2) {
        cluster.pool.idle_timeout = zero_is_none(connections.idle);
        cluster.pool.max_duration = connections.max;
    }
}

/// Puts limits and ejection in force. Limits are of the default priority.
///
/// Source: kuma 2.14 `pkg/plugins/policies/meshcircuitbreaker/plugin/xds/configurer.go`.
pub(super) fn apply_breaker(
    cluster: &mut Cluster,
    conf: &Breaker,
    defaults: Defaults,
    cx: &mut Compile<'_>,
) {
    if let Some(written) = &conf.connection_limits {
        let [limits, _] = &mut cluster.limits;
        let rows = [
            (&mut limits.connections, written.max_connections),
            (&mut limits.pending, written.max_pending_requests),
            (&mut limits.requests, written.max_requests),
            (&mut limits.retries, written.max_retries),
        ];
        for (limit, value) in rows {
            if let Some(value) = value {
                *limit = defaults.sourced(value, cx);
            }
        }
    }
    let Some(outlier) = &conf.outlier_detection else {
        return;
    };
    if outlier.disabled.is_some_and(|it| it.value) {
        return;
    }
    let origin = defaults.at(outlier.span, cx);
    cluster.outlier = Some(Sourced::new(ejection(outlier), origin));
    if let Some(threshold) = outlier.healthy_panic_threshold {
        cluster.panic_threshold = share(threshold, defaults, cx);
    }
}

/// When endpoints are taken out: what is not set is Envoy's, and a detector that is not listed is off.
fn ejection(outlier: &OutlierDetection) -> Settings {
    let mut settings = Settings {
        enforcing_consecutive_5xx: Share::ZERO,
        enforcing_consecutive_gateway_failure: Share::ZERO,
        enforcing_consecutive_local_origin: Share::ZERO,
        enforcing_local_origin_success_rate: Share::ZERO,
        enforcing_failure_percentage_local_origin: Share::ZERO,
        ..Settings::envoy_v3()
    };
    settings.success_rate.enforcing = Share::ZERO;
    settings.failure_percentage.enforcing = Share::ZERO;
    if let Some(interval) = outlier.interval {
        settings.interval = interval.value.0;
    }
    if let Some(base) = outlier.base_ejection_time {
        settings.base_ejection_time = base.value.0;
        settings.max_ejection_time = settings.max_ejection_time.max(base.value.0);
    }
    if let Some(percent) = outlier.max_ejection_percent {
        settings.max_ejection_share = Share::from_percent(f64::from(percent.value));
    }
    let split = outlier.split_external_and_local_errors;
    settings.split_local_origin = split.is_some_and(|it| it.value);
    if let Some(detectors) = &outlier.detectors {
        detect(&mut settings, detectors);
    }
    settings
}

fn detect(settings: &mut Settings, detectors: &Detectors) {
    let count = |it: &Option<types::Consecutive>| it.as_ref()?.consecutive.map(|it| it.value);
    if let Some(count) = count(&detectors.total_failures) {
        settings.consecutive_5xx = count;
        settings.enforcing_consecutive_5xx = Share::ALL;
    }
    if let Some(count) = count(&detectors.gateway_failures) {
        settings.consecutive_gateway_failure = count;
        settings.enforcing_consecutive_gateway_failure = Share::ALL;
    }
    if let Some(count) = count(&detectors.local_origin_failures) {
        settings.consecutive_local_origin_failure = count;
        settings.enforcing_consecutive_local_origin = Share::ALL;
    }
    if let Some(rate) = &detectors.success_rate {
        let rule = &mut settings.success_rate;
        rule.enforcing = Share::ALL;
        rule.minimum_hosts = rate.minimum_hosts.map_or(rule.minimum_hosts, |it| it.value);
        rule.request_volume = rate
            .request_volume
            .map_or(rule.request_volume, |it| it.value);
        settings.enforcing_local_origin_success_rate = Share::ALL;
        if let Some(factor) = rate.standard_deviation_factor {
            // thousandths, cut off
            settings.success_rate_stdev_factor = (factor.value.0 * 1000.0 + 1e-9) as u32;
        }
    }
    if let Some(rate) = &detectors.failure_percentage {
        let rule = &mut settings.failure_percentage;
        rule.enforcing = Share::ALL;
        rule.minimum_hosts = rate.minimum_hosts.map_or(rule.minimum_hosts, |it| it.value);
        rule.request_volume = rate
            .request_volume
            .map_or(rule.request_volume, |it| it.value);
        settings.enforcing_failure_percentage_local_origin = Share::ALL;
        if let Some(threshold) = rate.threshold {
            settings.failure_percentage_threshold = threshold.value;
        }
    }
}

fn share(number: Spanned<Number>, defaults: Defaults, cx: &mut Compile<'_>) -> Sourced<Share> {
    defaults.sourced(number.map(|it| Share::from_percent(it.0)), cx)
}

/// Puts active checks in force: the one for what the port speaks, or by connecting where that one is disabled.
///
/// Source: kuma 2.14 `pkg/plugins/policies/meshhealthcheck/plugin/xds/configurer.go`, `selectHealthCheckType`.
pub(super) fn apply_health(
    cluster: &mut Cluster,
    conf: &HealthCheck,
    protocol: Protocol,
    defaults: Defaults,
    cx: &mut Compile<'_>,
) {
    if let Some(fails) = conf.fail_traffic_on_panic {
        cluster.fail_traffic_on_panic = fails.value;
    }
    if let Some(threshold) = conf.healthy_panic_threshold {
        cluster.panic_threshold = share(threshold, defaults, cx);
    }
    let off = |disabled: Option<Spanned<bool>>| disabled.is_some_and(|it| it.value);
    let tcp = conf.tcp.as_ref().filter(|it| !off(it.disabled));
    let check = match protocol {
        Protocol::Http | Protocol::Http2 => match &conf.http {
            Some(http) if !off(http.disabled) => {
                let path = http.path.as_ref().map_or("/", |path| path.as_str());
                let statuses = http.expected_statuses.iter().flatten();
                let expected = statuses.filter_map(|it| u16::try_from(it.value).ok());
                let expected = expected.map(|status| (status, status)).collect();
                Some((http.span, Some(path.into()), expected))
            }
            Some(_) => tcp.map(|it| (it.span, None, Vec::new())),
            None => None,
        },
        // checks by calls were reported
        Protocol::Grpc => match &conf.grpc {
            Some(grpc) if off(grpc.disabled) => tcp.map(|it| (it.span, None, Vec::new())),
            Some(_) | None => None,
        },
        Protocol::Tcp => tcp.map(|it| (it.span, None, Vec::new())),
        Protocol::Kafka | Protocol::Other => None,
    };
    let Some((span, path, expected)) = check else {
        return;
    };
    let origin = defaults.at(span, cx);
    let check = check_of(conf, path, expected);
    cluster.health_checks.push(Sourced::new(check, origin));
}

fn check_of(conf: &HealthCheck, path: Option<Box<str>>, expected: Vec<(u16, u16)>) -> Check {
    let set = |value: Option<Spanned<Length>>, seconds: u64| {
        value.map_or_else(|| Duration::from_secs(seconds), |it| it.value.0)
    };
    let count = |value: Option<Spanned<i32>>, default: u32| {
        let value = value.and_then(|it| u32::try_from(it.value).ok());
        value.unwrap_or(default)
    };
    let interval = set(conf.interval, 60);
    let jitter = conf
        .interval_jitter_percent
        .map_or(0.0, |it| f64::from(it.value) / 100.0);
    Check {
        path,
        host: "".into(),
        timeout: set(conf.timeout, 15),
        interval,
        interval_jitter: set(conf.interval_jitter, 0) + interval.scale(jitter),
        unhealthy_interval: None,
        no_traffic_interval: Some(set(conf.no_traffic_interval, 60)),
        unhealthy_threshold: count(conf.unhealthy_threshold, 5),
        healthy_threshold: count(conf.healthy_threshold, 1),
        expected,
        retriable: Vec::new(),
    }
}

/// Puts the balancer in force. Sizes and numbers that are not set are Envoy's.
///
/// Source: kuma 2.14 `pkg/plugins/policies/meshloadbalancingstrategy/plugin/v1alpha1/plugin.go`, `loadBalancerConfigurer`.
pub(super) fn apply_balance(
    cluster: &mut Cluster,
    conf: &Strategy,
    defaults: Defaults,
    cx: &mut Compile<'_>,
) {
    let Some(written) = &conf.load_balancer else {
        return;
    };
    let size = |value: Option<Spanned<u32>>, default| value.map_or(default, |it| it.value.into());
    let balancer = match written.r#type.value {
        LoadBalancerType::RoundRobin => Balancer::RoundRobin,
        LoadBalancerType::Random => Balancer::Random,
        LoadBalancerType::LeastRequest => {
            let least = written.least_request.clone().unwrap_or_default();
            Balancer::LeastRequest {
                choices: least.choice_count.map_or(2, |it| it.value),
                bias: least.active_request_bias.map_or(1.0, |it| it.value.0),
                full_scan: false,
            }
        }
        LoadBalancerType::RingHash => {
            let ring = written.ring_hash.clone().unwrap_or_default();
            let max_size = size(ring.max_ring_size, RING.1);
            Balancer::RingHash {
                min_size: size(ring.min_ring_size, RING.0).min(max_size),
                max_size,
                bound: None,
            }
        }
        LoadBalancerType::Maglev => {
            let maglev = written.maglev.clone().unwrap_or_default();
            Balancer::Maglev {
                size: size(maglev.table_size, MAGLEV),
                bound: None,
            }
        }
    };
    let origin = defaults.at(written.r#type.span, cx);
    cluster.balancer = Sourced::new(balancer, origin);
}

/// What a hashing balancer goes by.
pub(super) fn hash_of(conf: &Strategy) -> Vec<HashPolicy> {
    let balancer = conf.load_balancer.as_ref();
    let own = balancer.and_then(|it| match it.r#type.value {
        LoadBalancerType::RingHash => it.ring_hash.as_ref()?.hash_policies.as_ref(),
        LoadBalancerType::Maglev => it.maglev.as_ref()?.hash_policies.as_ref(),
        LoadBalancerType::RoundRobin
        | LoadBalancerType::LeastRequest
        | LoadBalancerType::Random => None,
    });
    let policies = conf.hash_policies.as_ref().or(own).into_iter().flatten();
    policies.filter_map(hash_policy).collect()
}

fn hash_policy(policy: &types::HashPolicy) -> Option<HashPolicy> {
    let source = match policy.r#type.value {
        HashPolicyType::Header => {
            let name = &policy.header.as_ref()?.name;
            HashSource::Header(name.to_ascii_lowercase().into())
        }
        HashPolicyType::Cookie => {
            let cookie = policy.cookie.as_ref()?;
            HashSource::Cookie {
                name: cookie.name.as_str().into(),
                ttl: cookie.ttl.map(|it| it.value.0),
            }
        }
        HashPolicyType::Connection | HashPolicyType::SourceIP => {
            let connection = policy.connection.as_ref()?;
            let says = connection.get("sourceIP").is_some_and(|it| it.value);
            if !says {
                return None;
            }
            HashSource::SourceAddress
        }
        HashPolicyType::QueryParameter => {
            let name = &policy.query_parameter.as_ref()?.name;
            HashSource::Param(name.as_str().into())
        }
        HashPolicyType::FilterState => return None,
    };
    Some(HashPolicy {
        source,
        terminal: policy.terminal.is_some_and(|it| it.value),
    })
}
