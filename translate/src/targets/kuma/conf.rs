//! Settings of a Service's port as fields of policies, complete, so that two ports can be told apart field by field.

use std::collections::BTreeMap;

use compare::Area;
use proxy_core::config::{
    Balancer, Cluster, Forward, HashSource, HttpConnections, Share, TextMatch,
};
use proxy_core::outlier::Settings;
use proxy_core::retry::conditions::Condition;
use proxy_core::time::Duration;

use crate::targets::common::duration::whole;
use crate::targets::common::retries;
use crate::yaml::{Map, Value};

/// Something that cannot be said, in words, with what was written in its place.
pub(super) type Unsaid = Vec<(Area, String, String)>;

/// Kinds of policies.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Kind {
    Timeout,
    Retry,
    Breaker,
    Balance,
    Health,
}

impl Kind {
    pub(super) const ALL: [Self; 5] = [
        Self::Timeout,
        Self::Retry,
        Self::Breaker,
        Self::Balance,
        Self::Health,
    ];

    /// As Kuma calls it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Timeout => "MeshTimeout",
            Self::Retry => "MeshRetry",
            Self::Breaker => "MeshCircuitBreaker",
            Self::Balance => "MeshLoadBalancingStrategy",
            Self::Health => "MeshHealthCheck",
        }
    }

    /// The name of a policy for the whole mesh: it comes before those of stock ones, which would hide it otherwise.
    pub(super) const fn of_mesh(self) -> &'static str {
        match self {
            Self::Timeout => "all-timeouts",
            Self::Retry => "all-retries",
            Self::Breaker => "all-limits",
            Self::Balance => "all-balancing",
            Self::Health => "all-checks",
        }
    }

    /// What holds without any policy of this kind but the stock ones.
    pub(super) fn stock(self) -> Fields {
        let text = |text: &str| Value::from(text);
        let rows: Vec<(&str, Value)> = match self {
            Self::Timeout => vec![
                ("connectionTimeout", text("5s")),
                ("idleTimeout", text("1h")),
                ("http.requestTimeout", text("15s")),
                ("http.streamIdleTimeout", text("30m")),
                ("http.maxStreamDuration", text("0s")),
                ("http.maxConnectionDuration", text("0s")),
                ("http.requestHeadersTimeout", text("0s")),
            ],
            Self::Retry => {
                let http = ["GatewayError", "ConnectFailure", "RefusedStream"];
                let mut fields = Fields::new();
                for (kind, on) in [("http", &http[..]), ("grpc", &[][..])] {
                    let rows = [
                        ("numRetries", 5_u32.into()),
                        ("perTryTimeout", text("16s")),
                        ("backOff.baseInterval", text("25ms")),
                        ("backOff.maxInterval", text("250ms")),
                        ("retryOn", Value::from(on.to_vec())),
                    ];
                    for (field, value) in rows {
                        fields.insert(format!("{kind}.{field}"), value);
                    }
                }
                let none = Value::List(Vec::new());
                fields.insert("http.hostSelection".to_owned(), none);
                return fields;
            }
            Self::Breaker => vec![
                ("connectionLimits.maxConnections", 1024_u32.into()),
                ("connectionLimits.maxPendingRequests", 1024_u32.into()),
                ("connectionLimits.maxRequests", 1024_u32.into()),
                ("connectionLimits.maxRetries", 3_u32.into()),
            ],
            Self::Balance => vec![("loadBalancer.type", text("RoundRobin"))],
            Self::Health => Vec::new(),
        };
        rows.into_iter()
            .map(|(path, value)| (path.to_owned(), value))
            .collect()
    }
}

/// Fields by their dotted path.
pub(super) type Fields = BTreeMap<String, Value>;

/// Fields as a tree.
pub(super) fn nested(fields: &Fields) -> Map {
    let mut map = Map::new();
    for (path, value) in fields {
        let mut at = &mut map;
        let mut steps: Vec<&str> = path.split('.').collect();
        let last = steps.pop().unwrap_or_default();
        for step in steps {
            at = at.under(step);
        }
        at.set(last, value.clone());
    }
    map
}

/// The fields that differ from those that hold anyway.
pub(super) fn beyond(own: &Fields, held: &Fields) -> Fields {
    let mut fields: Fields = own
        .iter()
        .filter(|(path, value)| held.get(*path) != Some(value))
        .map(|(path, value)| (path.clone(), value.clone()))
        .collect();
    // parts that are one: settings of a pause or an ejection stand together
    let ejects = |all: &Fields| all.keys().any(|path| path.starts_with("outlierDetection."));
    if ejects(held) && !ejects(own) && !own.is_empty() {
        fields.insert("outlierDetection.disabled".to_owned(), true.into());
    }
    fields
}

fn length(of: Option<Duration>) -> Value {
    Value::from(whole(of.unwrap_or(Duration::ZERO)))
}

/// Timeouts of requests of a route, and of connections to its destination.
pub(super) fn timeouts(
    forward: Option<&Forward>,
    http: Option<&HttpConnections>,
    cluster: Option<&Cluster>,
) -> Fields {
    let mut fields = Fields::new();
    let mut set = |path: &str, value: Value| {
        fields.insert(path.to_owned(), value);
    };
    if let Some(cluster) = cluster {
        set(
            "connectionTimeout",
            whole(cluster.connect_timeout.value).into(),
        );
        set(
            "idleTimeout",
            length(cluster.pool.idle_timeout.map(|it| it.value)),
        );
        set(
            "http.maxConnectionDuration",
            length(cluster.pool.max_duration.map(|it| it.value)),
        );
    }
    if let Some(forward) = forward {
        set("http.requestTimeout", length(retries::timeout(forward)));
        let idle = forward.idle_timeout.map(|it| it.value);
        let idle = idle.or_else(|| {
            http.and_then(|it| it.stream_idle_timeout)
                .map(|it| it.value)
        });
        set("http.streamIdleTimeout", length(idle));
        let stream = forward.max_stream_duration.map(|it| it.value);
        let stream = stream.or_else(|| {
            http.and_then(|it| it.max_stream_duration)
                .map(|it| it.value)
        });
        set("http.maxStreamDuration", length(stream));
        let head = http.and_then(|it| it.head_timeout).map(|it| it.value);
        set("http.requestHeadersTimeout", length(head));
    }
    fields
}

/// What a port speaks, as far as its retries differ.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Speaks {
    Http,
    Http2,
    Grpc,
}

impl Speaks {
    /// By what the port declares.
    pub(super) fn of(app_protocol: Option<&str>) -> Self {
        match app_protocol {
            Some("grpc") => Self::Grpc,
            Some("http2" | "kubernetes.io/h2c") => Self::Http2,
            Some(_) | None => Self::Http,
        }
    }
}

/// Retries of a route.
pub(super) fn retry(forward: &Forward, speaks: Speaks, unsaid: &mut Unsaid) -> Fields {
    let mut fields = Fields::new();
    let kind = match speaks {
        Speaks::Http => "http",
        Speaks::Grpc => "grpc",
        Speaks::Http2 => {
            if retries::effective(forward).is_some() {
                unsaid.push((
                    Area::Retry,
                    "requests to a port that declares HTTP/2 are tried again".to_owned(),
                    "they are not".to_owned(),
                ));
            }
            return fields;
        }
    };
    let mut set = |field: &str, value: Value| {
        fields.insert(format!("{kind}.{field}"), value);
    };
    let Some(policy) = retries::effective(forward) else {
        set("numRetries", 0_u32.into());
        return fields;
    };
    set("numRetries", policy.retries.value.into());
    set("perTryTimeout", length(retries::per_try(forward)));
    match retries::pauses(policy.backoff.value) {
        Ok(Some((base, most))) => {
            set("backOff.baseInterval", whole(base).into());
            set("backOff.maxInterval", whole(most).into());
        }
        Ok(None) => {
            set("backOff.baseInterval", "25ms".into());
            set("backOff.maxInterval", "250ms".into());
        }
        Err(what) => {
            unsaid.push((
                Area::Retry,
                what.to_owned(),
                "pauses of 25 to 250 ms at random".to_owned(),
            ));
            set("backOff.baseInterval", "25ms".into());
            set("backOff.maxInterval", "250ms".into());
        }
    }
    let (words, unknown) = words(policy, speaks);
    if !unknown.is_empty() {
        unsaid.push((
            Area::Retry,
            format!("tries follow `{}`", unknown.join("`, `")),
            "they do not".to_owned(),
        ));
    }
    let own = words
        .iter()
        .any(|it| it.parse::<u16>().is_err() && !it.starts_with("HttpMethod"));
    if !own {
        unsaid.push((
            Area::Retry,
            "no word of Kuma's is among the conditions of retries".to_owned(),
            "Kuma's own conditions hold besides".to_owned(),
        ));
    }
    set("retryOn", Value::from(words));
    if speaks == Speaks::Http {
        let mut selection = Vec::new();
        if let Some(picks) = policy.avoid_previous {
            selection.push(Map::new().with("predicate", "OmitPreviousHosts"));
            if picks.value != 1 {
                set("hostSelectionMaxAttempts", picks.value.into());
            }
        }
        if let Some(often) = policy.previous_priorities {
            let predicate = Map::new().with("predicate", "OmitPreviousPriorities");
            selection.push(predicate.with("updateFrequency", often));
        }
        set("hostSelection", Value::from(selection));
    } else if policy.avoid_previous.is_some() {
        unsaid.push((
            Area::Retry,
            "endpoints that were tried are avoided".to_owned(),
            "calls may go to the same endpoint again".to_owned(),
        ));
    }
    for extra in retries::extras(policy) {
        unsaid.push((Area::Retry, extra, String::new()));
    }
    fields
}

/// Conditions in Kuma's words, and those that it has none for.
fn words(
    policy: &proxy_core::config::RetryPolicy,
    speaks: Speaks,
) -> (Vec<String>, Vec<&'static str>) {
    let (mut words, mut unknown) = (Vec::new(), Vec::new());
    for condition in policy.on.value.iter() {
        let word = match (condition, speaks) {
            (Condition::ServerError, Speaks::Http) => "5xx",
            (Condition::GatewayError, Speaks::Http) => "GatewayError",
            (Condition::Reset, Speaks::Http) => "Reset",
            (Condition::ConnectFailure, Speaks::Http) => "ConnectFailure",
            (Condition::EnvoyRateLimited, Speaks::Http) => "EnvoyRatelimited",
            (Condition::Retriable4xx, Speaks::Http) => "Retriable4xx",
            (Condition::RefusedStream, Speaks::Http) => "RefusedStream",
            (Condition::Http3PostConnectFailure, Speaks::Http) => "Http3PostConnectFailure",
            (Condition::DeadlineExceeded, Speaks::Grpc) => "DeadlineExceeded",
            (Condition::Internal, Speaks::Grpc) => "Internal",
            (Condition::ResourceExhausted, Speaks::Grpc) => "ResourceExhausted",
            (Condition::Unavailable, Speaks::Grpc) => "Unavailable",
            // listed one by one below
            (Condition::RetriableStatusCodes, Speaks::Http) => continue,
            (condition, _) => {
                unknown.push(condition.name());
                continue;
            }
        };
        words.push(word.to_owned());
    }
    if speaks == Speaks::Http {
        if policy.on.value.has(Condition::RetriableStatusCodes) {
            words.extend(policy.statuses.iter().map(ToString::to_string));
        }
        for header in &policy.request_headers {
            match &header.value {
                TextMatch::Exact(method) if *header.name == *":method" => {
                    let mut method = method.to_ascii_lowercase();
                    if let Some(first) = method.get_mut(..1) {
                        first.make_ascii_uppercase();
                    }
                    words.push(format!("HttpMethod{method}"));
                }
                TextMatch::Exact(_)
                | TextMatch::Prefix(_)
                | TextMatch::Suffix(_)
                | TextMatch::Contains(_)
                | TextMatch::Regex(_)
                | TextMatch::Range(..)
                | TextMatch::Address(_)
                | TextMatch::Present => unknown.push("requests with some headers"),
            }
        }
    }
    (words, unknown)
}

/// Limits and ejection of a cluster.
pub(super) fn breaker(cluster: &Cluster, unsaid: &mut Unsaid) -> Fields {
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
pub(super) fn balance(cluster: &Cluster, forward: Option<&Forward>, unsaid: &mut Unsaid) -> Fields {
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
pub(super) fn health(cluster: &Cluster, unsaid: &mut Unsaid) -> Fields {
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

#[cfg(test)]
mod tests {
    use super::*;
    use proxy_core::config::{ClusterIndex, EndpointSet};
    use proxy_core::origin::Sourced;

    #[test]
    fn fields_stand_in_a_tree() {
        let fields = Fields::from([
            ("http.requestTimeout".to_owned(), Value::from("1s")),
            ("connectionTimeout".to_owned(), Value::from("2s")),
        ]);
        let text = Value::from(nested(&fields)).to_yaml();
        assert_eq!(text, "connectionTimeout: 2s\nhttp:\n  requestTimeout: 1s\n");
    }

    #[test]
    fn what_the_stock_policies_say_is_not_beyond_them() {
        let cluster = Cluster::envoy("c", EndpointSet::default());
        let mut forward = Forward::to(ClusterIndex(0));
        forward.timeout = Sourced::unsourced(Some(Duration::from_secs(15)));
        forward.idle_timeout = Some(Sourced::unsourced(Duration::from_secs(1800)));
        let own = timeouts(Some(&forward), None, Some(&cluster));
        assert_eq!(beyond(&own, &Kind::Timeout.stock()), Fields::new());
        let own = breaker(&cluster, &mut Unsaid::new());
        assert_eq!(beyond(&own, &Kind::Breaker.stock()), Fields::new());
        let own = balance(&cluster, None, &mut Unsaid::new());
        assert_eq!(beyond(&own, &Kind::Balance.stock()), Fields::new());
    }

    #[test]
    fn no_timeout_is_zero_since_kuma_has_fifteen_seconds() {
        let forward = Forward::to(ClusterIndex(0));
        let own = timeouts(Some(&forward), None, None);
        let beyond = beyond(&own, &Kind::Timeout.stock());
        assert_eq!(beyond.get("http.requestTimeout"), Some(&Value::from("0s")));
    }

    #[test]
    fn no_retries_are_zero_since_kuma_has_five() {
        let forward = Forward::to(ClusterIndex(0));
        let own = retry(&forward, Speaks::Http, &mut Unsaid::new());
        let beyond = beyond(&own, &Kind::Retry.stock());
        assert_eq!(
            beyond,
            Fields::from([("http.numRetries".to_owned(), Value::from(0_u32))])
        );
    }

    #[test]
    fn ejection_that_others_have_is_turned_off() {
        let own = breaker(
            &Cluster::envoy("c", EndpointSet::default()),
            &mut Unsaid::new(),
        );
        let mut held = own.clone();
        held.insert("outlierDetection.interval".to_owned(), Value::from("10s"));
        let beyond = beyond(&own, &held);
        assert_eq!(
            beyond.get("outlierDetection.disabled"),
            Some(&Value::Bool(true))
        );
    }
}
