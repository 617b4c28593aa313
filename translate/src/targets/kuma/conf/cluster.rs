//! Limits, ejection, balancing and checks of a cluster.

use compare::Area;
use proxy_core::config::{Balancer, Cluster, Forward, HashSource, Share};
use proxy_core::outlier::Settings;
use proxy_core::time::Duration;

use super::{Fields, Unsaid};
use crate::targets::common::duration::whole;
use crate::yaml::{Map, Value};

/// Limits and ejection of a cluster.
pub(in super::super) fn breaker(cluster: &Cluster, unsaid: &mut Unsaid) -> Fields {
    let limits = cluster.limits[0];
    let mut fields = Fields::new();
    let mut set = |path: &str, value: Value| {
        fields.insert(path.to_owned(), value);
    };
    set(
        "connectionLimits.maxConnections",
        limits.connections.value.into(),
    );
    set(
        "connectionLimits.maxPendingRequests",
        limits.pending.value.into(),
    );
    set("connectionLimits.maxRequests", limits.requests.value.into());
    set("connectionLimits.maxRetries", limits.retries.value.into());
    let mut outlier = |field: &str, value: Value| {
        fields.insert(format!("outlierDetection.{field}"), value);
    };
    if let Some(own) = cluster.outlier {
        ejection(own.value, &mut outlier);
        let panic = cluster.panic_threshold.value;
        if panic != Share::from_ppm(500_000) {
            outlier(
                "healthyPanicThreshold",
                (panic.as_fraction() * 100.0).into(),
            );
        }
    } else if let Some(accrual) = cluster.accrual {
        let own = accrual.value;
        unsaid.push((
            Area::Ejection,
            format!(
                "an endpoint with {} failures in a row is out until a request to it succeeds",
                own.max_failures
            ),
            format!(
                "it is out for {} at first, found by a sweep",
                whole(own.min_penalty)
            ),
        ));
        let settings = Settings {
            consecutive_5xx: own.max_failures,
            interval: Duration::from_secs(1),
            base_ejection_time: own.min_penalty,
            max_ejection_share: Share::ALL,
            ..Settings::envoy_v3()
        };
        ejection(settings, &mut outlier);
    } else if let Some(passive) = cluster.passive {
        let own = passive.value;
        unsaid.push((
            Area::Ejection,
            format!(
                "an endpoint with {} failures within {} is left out",
                own.failures,
                whole(own.window)
            ),
            "failures in a row count, whenever they were".to_owned(),
        ));
        let settings = Settings {
            consecutive_5xx: own.failures.max(1),
            base_ejection_time: own.window,
            max_ejection_share: Share::ALL,
            ..Settings::envoy_v3()
        };
        ejection(settings, &mut outlier);
    }
    if cluster.retry_budget.is_some() {
        unsaid.push((
            Area::Retry,
            "retries are bound by a share of requests".to_owned(),
            "by a number".to_owned(),
        ));
    }
    fields
}

fn ejection(settings: Settings, set: &mut impl FnMut(&str, Value)) {
    set("interval", whole(settings.interval).into());
    set(
        "baseEjectionTime",
        whole(settings.base_ejection_time).into(),
    );
    let share = settings.max_ejection_share.as_ppm() / 10_000;
    set("maxEjectionPercent", share.into());
    if settings.split_local_origin {
        set("splitExternalAndLocalErrors", true.into());
    }
    let on = |share: Share| share > Share::ZERO;
    let mut count = |name: &str, is: bool, count: u32| {
        if is && count > 0 {
            set(&format!("detectors.{name}.consecutive"), count.into());
        }
    };
    count(
        "totalFailures",
        on(settings.enforcing_consecutive_5xx),
        settings.consecutive_5xx,
    );
    count(
        "gatewayFailures",
        on(settings.enforcing_consecutive_gateway_failure),
        settings.consecutive_gateway_failure,
    );
    count(
        "localOriginFailures",
        settings.split_local_origin && on(settings.enforcing_consecutive_local_origin),
        settings.consecutive_local_origin_failure,
    );
    if on(settings.success_rate.enforcing) {
        let rate = settings.success_rate;
        set(
            "detectors.successRate.minimumHosts",
            rate.minimum_hosts.into(),
        );
        set(
            "detectors.successRate.requestVolume",
            rate.request_volume.into(),
        );
        let factor = f64::from(settings.success_rate_stdev_factor) / 1000.0;
        set(
            "detectors.successRate.standardDeviationFactor",
            Value::from(factor.to_string()),
        );
    }
    if on(settings.failure_percentage.enforcing) {
        let rate = settings.failure_percentage;
        set(
            "detectors.failurePercentage.minimumHosts",
            rate.minimum_hosts.into(),
        );
        set(
            "detectors.failurePercentage.requestVolume",
            rate.request_volume.into(),
        );
        set(
            "detectors.failurePercentage.threshold",
            settings.failure_percentage_threshold.into(),
        );
    }
}

/// The balancer of a cluster, and what requests are hashed by.
pub(in super::super) fn balance(
    cluster: &Cluster,
    forward: Option<&Forward>,
    unsaid: &mut Unsaid,
) -> Fields {
    let mut fields = Fields::new();
    let mut set = |path: &str, value: Value| {
        fields.insert(path.to_owned(), value);
    };
    let mut nearest = |what: &str| {
        unsaid.push((
            Area::Balance,
            what.to_owned(),
            "the less busy of two, the nearest".to_owned(),
        ));
        "LeastRequest"
    };
    let word = match &cluster.balancer.value {
        Balancer::RoundRobin => "RoundRobin",
        Balancer::Random => "Random",
        Balancer::LeastRequest { choices, bias, .. } => {
            if *choices != 2 {
                set("loadBalancer.leastRequest.choiceCount", (*choices).into());
            }
            if (*bias - 1.0).abs() > 1e-9 {
                set(
                    "loadBalancer.leastRequest.activeRequestBias",
                    (*bias).into(),
                );
            }
            "LeastRequest"
        }
        Balancer::RingHash {
            min_size, max_size, ..
        } => {
            if *min_size != 1024 {
                set("loadBalancer.ringHash.minRingSize", (*min_size).into());
            }
            if *max_size != 8 * 1024 * 1024 {
                set("loadBalancer.ringHash.maxRingSize", (*max_size).into());
            }
            "RingHash"
        }
        Balancer::Maglev { size, .. } => {
            if *size != 65_537 {
                set("loadBalancer.maglev.tableSize", (*size).into());
            }
            "Maglev"
        }
        Balancer::TraefikRendezvous => "Maglev",
        Balancer::KongRing | Balancer::TraefikTurns => {
            unsaid.push((
                Area::Balance,
                "endpoints take turns in another way".to_owned(),
                "round robin".to_owned(),
            ));
            "RoundRobin"
        }
        Balancer::PeakEwma { .. } => nearest("balancing goes by peak EWMA of round trips"),
        Balancer::NginxEwma | Balancer::KongLatency | Balancer::TraefikLeastTime => {
            nearest("balancing goes by response times")
        }
        Balancer::KongLeastConnections | Balancer::TraefikTwoChoices => {
            nearest("the endpoint with fewer connections is chosen")
        }
        Balancer::OriginalDestination => "RoundRobin",
    };
    set("loadBalancer.type", word.into());
    if cluster.slow_start.is_some() {
        unsaid.push((
            Area::Balance,
            "new endpoints get their share by and by".to_owned(),
            "at once".to_owned(),
        ));
    }
    let hashes = forward.map(|it| &it.hash[..]).unwrap_or_default();
    let mut policies = Vec::new();
    for hash in hashes {
        let named = |kind: &str, field: &str, name: &str| {
            Map::new()
                .with("type", kind)
                .with(field, Map::new().with("name", name))
        };
        let mut policy = match &hash.source {
            HashSource::Header(name) => named("Header", "header", name),
            HashSource::Param(name) => named("QueryParameter", "queryParameter", name),
            HashSource::Cookie { name, ttl } => {
                let mut policy = named("Cookie", "cookie", name);
                if let Some(ttl) = ttl {
                    policy.under("cookie").set("ttl", whole(*ttl));
                }
                policy
            }
            HashSource::SourceAddress => Map::new()
                .with("type", "Connection")
                .with("connection", Map::new().with("sourceIP", true)),
            HashSource::Path => {
                unsaid.push((
                    Area::Session,
                    "requests are hashed by their path".to_owned(),
                    String::new(),
                ));
                continue;
            }
        };
        if hash.terminal {
            policy.set("terminal", true);
        }
        policies.push(policy);
    }
    if !policies.is_empty() {
        set("hashPolicies", Value::from(policies));
    }
    fields
}

/// The first active check of a cluster.
pub(in super::super) fn health(cluster: &Cluster, unsaid: &mut Unsaid) -> Fields {
    let mut fields = Fields::new();
    let Some(check) = cluster.health_checks.first() else {
        return fields;
    };
    let check = &check.value;
    let mut set = |path: &str, value: Value| {
        fields.insert(path.to_owned(), value);
    };
    set("interval", whole(check.interval).into());
    set("timeout", whole(check.timeout).into());
    set("unhealthyThreshold", check.unhealthy_threshold.into());
    set("healthyThreshold", check.healthy_threshold.into());
    if !check.interval_jitter.is_zero() {
        set("intervalJitter", whole(check.interval_jitter).into());
    }
    if let Some(quiet) = check.no_traffic_interval {
        set("noTrafficInterval", whole(quiet).into());
    }
    if cluster.fail_traffic_on_panic {
        set("failTrafficOnPanic", true.into());
    }
    match &check.path {
        Some(path) => {
            set("http.path", (&**path).into());
            let statuses = check.expected.iter().flat_map(|(from, to)| *from..=*to);
            let statuses: Vec<u16> = statuses.collect();
            if !statuses.is_empty() {
                set("http.expectedStatuses", statuses.into());
            }
        }
        None => set("tcp", Map::new().into()),
    }
    if cluster.health_checks.len() > 1 {
        unsaid.push((
            Area::Health,
            "several checks of one endpoint".to_owned(),
            "the first of them".to_owned(),
        ));
    }
    fields
}
