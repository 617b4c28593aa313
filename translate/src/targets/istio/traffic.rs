//! DestinationRules: how a Service is called.

use std::collections::BTreeMap;

use compare::Area;
use manifests::model::ServiceId;
use proxy_core::config::{
    Balancer, Cluster, HashSource, Limits, RetryBudget, Share, UpstreamTransport,
};
use proxy_core::outlier::Settings;
use proxy_core::time::Duration;

use super::calls::{Call, Calls, Target as Called};
use super::{NETWORKING, TARGET, host};
use crate::intent::Intent;
use crate::loss::{Loss, Reach};
use crate::object::{Object, Written};
use crate::targets::common::duration::whole;
use crate::yaml::Map;

/// Istio's own bounds.
const CONNECT: Duration = Duration::from_secs(10);
const IDLE: Duration = Duration::from_secs(3600);

/// Something that cannot be said, in words, with what was written in its place.
pub(super) type Unsaid = Vec<(Area, String, String)>;

/// Writes a rule for each Service that is not called as Istio calls Services by itself.
pub(super) fn write(intent: &Intent<'_>, calls: &Calls<'_>, out: &mut Written) {
    for (service, target) in &calls.services {
        rule(intent, *service, target, out);
    }
}

fn rule(intent: &Intent<'_>, id: ServiceId, target: &Called<'_>, out: &mut Written) {
    let service = intent.source.service(id);
    let wanted = &*service.name;
    let mut object = Object::new(NETWORKING, "DestinationRule", &service.namespace, wanted);
    let mut unsaid = Unsaid::new();
    let policy = ports(&target.whole, &mut unsaid);
    let mut subsets = Vec::new();
    for subset in &target.subsets {
        let mut labels = Map::new();
        for (key, value) in &subset.labels {
            labels.set(key, value.as_str());
        }
        let own = ports(&subset.calls, &mut unsaid);
        let mut one = Map::new()
            .with("name", subset.name.as_str())
            .with("labels", labels);
        // what a subset does not say is the Service's
        if own != policy && !own.is_empty() {
            one.set("trafficPolicy", own);
        }
        for call in subset.calls.values() {
            object.comes_from(call.cluster.origin);
        }
        subsets.push(one);
    }
    for call in target.whole.values() {
        object.comes_from(call.cluster.origin);
    }
    for (area, what, nearest) in unsaid {
        let origin = target.whole.values().next().map(|it| it.cluster.origin);
        let why = TARGET.why(area).unwrap_or_default();
        let rule = origin.unwrap_or(service.origin);
        out.lose(Loss::new(Reach::Service(id), area, rule, what, why).nearest(nearest));
    }
    if policy.is_empty() && subsets.is_empty() {
        return;
    }
    object.name = out.free_name("DestinationRule", &service.namespace, wanted);
    let spec = Map::new()
        .with("host", host(&service.namespace, &service.name))
        .map("trafficPolicy", policy)
        .list("subsets", subsets);
    out.add(object.spec(spec));
}

/// A policy for all ports, or for each where they differ.
fn ports(calls: &BTreeMap<u16, Call<'_>>, unsaid: &mut Unsaid) -> Map {
    let mut policies: Vec<(u16, Map)> = Vec::new();
    for (port, call) in calls {
        policies.push((*port, policy(call, unsaid)));
    }
    let Some((_, first)) = policies.first() else {
        return Map::new();
    };
    if policies.iter().all(|(_, it)| it == first) {
        return first.clone();
    }
    let budget = first.get("retryBudget").cloned();
    let levels: Vec<Map> = policies
        .into_iter()
        .map(|(port, mut policy)| {
            policy.remove("retryBudget");
            let mut level = Map::new().with("port", Map::new().with("number", port));
            for (key, value) in policy.iter() {
                level.set(key, value.clone());
            }
            level
        })
        .collect();
    Map::new()
        .maybe("retryBudget", budget)
        .with("portLevelSettings", levels)
}

/// What a cluster has that Istio would not have by itself.
pub(super) fn policy(call: &Call<'_>, unsaid: &mut Unsaid) -> Map {
    let cluster = call.cluster;
    Map::new()
        .map("loadBalancer", balancer(call, unsaid))
        .map("connectionPool", pool(cluster, unsaid))
        .maybe("outlierDetection", outlier(cluster, unsaid))
        .map("tls", tls(cluster))
        .maybe("retryBudget", budget(cluster, unsaid))
}

fn balancer(call: &Call<'_>, unsaid: &mut Unsaid) -> Map {
    let cluster = call.cluster;
    let simple = |word: &str| Map::new().with("simple", word);
    let mut nearest = |what: &str, word: &str| {
        let written = match word {
            "" => "LEAST_REQUEST",
            word => word,
        };
        unsaid.push((
            Area::Balance,
            what.to_owned(),
            format!("`{written}`, the nearest"),
        ));
        if word.is_empty() {
            Map::new()
        } else {
            simple(word)
        }
    };
    let mut map = match &cluster.balancer.value {
        Balancer::RoundRobin => simple("ROUND_ROBIN"),
        Balancer::Random => simple("RANDOM"),
        Balancer::LeastRequest {
            choices: 2,
            full_scan: false,
            ..
        } => Map::new(),
        Balancer::LeastRequest { .. } => nearest("the least busy of more than two is chosen", ""),
        Balancer::RingHash { min_size, .. } => {
            let ring = (*min_size != 1024).then(|| Map::new().with("minimumRingSize", *min_size));
            return hashed(call, "ringHash", ring, unsaid);
        }
        Balancer::Maglev { size, .. } => {
            let table = Map::new();
            let table = match *size {
                65_537 => table,
                size => table.with("tableSize", size),
            };
            return hashed(call, "maglev", Some(table), unsaid);
        }
        Balancer::OriginalDestination => Map::new(),
        Balancer::PeakEwma { .. } => nearest("balancing goes by peak EWMA of round trips", ""),
        Balancer::NginxEwma => nearest("balancing goes by EWMA of response times", ""),
        Balancer::KongLatency => nearest("balancing goes by response times", ""),
        Balancer::TraefikLeastTime => nearest("balancing goes by response times", ""),
        Balancer::KongLeastConnections => {
            nearest("the endpoint with the fewest connections is chosen", "")
        }
        Balancer::TraefikTwoChoices => {
            nearest("the less busy of two is chosen, whatever their weights", "")
        }
        Balancer::KongRing => nearest("endpoints take turns on a shuffled ring", "ROUND_ROBIN"),
        Balancer::TraefikTurns => nearest("endpoints take turns as Traefik has it", "ROUND_ROBIN"),
        Balancer::TraefikRendezvous => {
            return hashed(call, "maglev", Some(Map::new()), unsaid);
        }
    };
    if let Some(start) = cluster.slow_start {
        let start = start.value;
        let mut warmup = Map::new().with("duration", whole(start.window));
        if (start.min_weight - 0.1).abs() > 1e-9 {
            warmup.set("minimumPercent", start.min_weight * 100.0);
        }
        if (start.aggression - 1.0).abs() > 1e-9 {
            warmup.set("aggression", start.aggression);
        }
        map.set("warmup", warmup);
    }
    map
}

fn hashed(call: &Call<'_>, kind: &str, size: Option<Map>, unsaid: &mut Unsaid) -> Map {
    let mut hash = Map::new();
    let known = call.hash.iter().find_map(|policy| match &policy.source {
        HashSource::Header(name) => Some(Map::new().with("httpHeaderName", &**name)),
        HashSource::Cookie { name, ttl } => {
            let cookie = Map::new()
                .with("name", &**name)
                .with("ttl", ttl.map_or_else(|| "0s".to_owned(), whole));
            Some(Map::new().with("httpCookie", cookie))
        }
        HashSource::SourceAddress => Some(Map::new().with("useSourceIp", true)),
        HashSource::Param(name) => Some(Map::new().with("httpQueryParameterName", &**name)),
        HashSource::Path => None,
    });
    match known {
        Some(known) => hash = known,
        None => unsaid.push((
            Area::Session,
            "requests are hashed by what Istio cannot hash".to_owned(),
            "`useSourceIp`".to_owned(),
        )),
    }
    if hash.is_empty() {
        hash.set("useSourceIp", true);
    }
    if call.hash.len() > 1 {
        unsaid.push((
            Area::Session,
            "requests are hashed by several things".to_owned(),
            "the first of them that Istio can hash".to_owned(),
        ));
    }
    if let Some(size) = size {
        hash.set(kind, size);
    }
    Map::new().with("consistentHash", hash)
}

fn pool(cluster: &Cluster, unsaid: &mut Unsaid) -> Map {
    let Limits {
        connections,
        pending,
        requests,
        retries,
    } = cluster.limits[0];
    let bound = |value: u32| {
        let value = value.min(i32::MAX as u32);
        (value != i32::MAX as u32).then_some(value)
    };
    let mut count = |value: u32, what: &str| {
        if value == 0 {
            unsaid.push((
                Area::Limit,
                format!("no {what} at all"),
                "0 is no bound in Istio, 1 is the least".to_owned(),
            ));
            return Some(1);
        }
        bound(value)
    };
    let mut tcp = Map::new().maybe("maxConnections", count(connections.value, "connection"));
    if cluster.connect_timeout.value != CONNECT {
        tcp.set("connectTimeout", whole(cluster.connect_timeout.value));
    }
    if let Some(age) = cluster.pool.max_duration {
        tcp.set("maxConnectionDuration", whole(age.value));
    }
    let idle = cluster.pool.idle_timeout.map(|it| it.value);
    let http = Map::new()
        .maybe(
            "http1MaxPendingRequests",
            count(pending.value, "waiting request"),
        )
        .maybe("http2MaxRequests", count(requests.value, "request"))
        .maybe(
            "maxRequestsPerConnection",
            cluster.pool.max_requests_per_connection.map(|it| it.value),
        )
        .maybe("maxRetries", count(retries.value, "retry"))
        .maybe(
            "idleTimeout",
            (idle != Some(IDLE)).then(|| idle.map_or_else(|| "0s".to_owned(), whole)),
        )
        .maybe(
            "maxConcurrentStreams",
            bound(cluster.pool.max_streams.value),
        );
    if cluster.pool.max_idle.is_some() {
        unsaid.push((
            Area::Pool,
            "so many idle connections are kept at most".to_owned(),
            String::new(),
        ));
    }
    if cluster.pool.max_connections_per_endpoint.is_some() {
        unsaid.push((
            Area::Pool,
            "connections to one endpoint are bound".to_owned(),
            String::new(),
        ));
    }
    Map::new().map("tcp", tcp).map("http", http)
}

/// Envoy's own settings as they are, those of others as near as may be.
fn outlier(cluster: &Cluster, unsaid: &mut Unsaid) -> Option<Map> {
    let panic = cluster.panic_threshold.value;
    let half = Share::from_ppm(500_000);
    let stock = Settings::envoy_v3();
    if let Some(outlier) = cluster.outlier {
        let settings = outlier.value;
        let mut map = Map::new();
        match settings.enforcing_consecutive_5xx {
            Share::ZERO => map.set("consecutive5xxErrors", 0_u32),
            _ if settings.consecutive_5xx != stock.consecutive_5xx => {
                map.set("consecutive5xxErrors", settings.consecutive_5xx);
            }
            _ => {}
        }
        if settings.enforcing_consecutive_gateway_failure > Share::ZERO {
            map.set(
                "consecutiveGatewayErrors",
                settings.consecutive_gateway_failure,
            );
        }
        if settings.split_local_origin {
            map.set("splitExternalLocalOriginErrors", true);
            let count = settings.consecutive_local_origin_failure;
            if count != stock.consecutive_local_origin_failure {
                map.set("consecutiveLocalOriginFailures", count);
            }
        }
        if settings.interval != stock.interval {
            map.set("interval", whole(settings.interval));
        }
        if settings.base_ejection_time != stock.base_ejection_time {
            map.set("baseEjectionTime", whole(settings.base_ejection_time));
        }
        if settings.max_ejection_share != stock.max_ejection_share {
            map.set(
                "maxEjectionPercent",
                settings.max_ejection_share.as_ppm() / 10_000,
            );
        }
        if panic > Share::ZERO {
            map.set("minHealthPercent", panic.as_ppm() / 10_000);
        }
        let rates = [settings.success_rate, settings.failure_percentage];
        if rates.iter().any(|rate| rate.enforcing > Share::ZERO) {
            unsaid.push((
                Area::Ejection,
                "endpoints are taken out by rates of success or failure".to_owned(),
                String::new(),
            ));
        }
        return Some(map);
    }
    if let Some(accrual) = cluster.accrual {
        let settings = accrual.value;
        unsaid.push((
            Area::Ejection,
            format!(
                "an endpoint with {} failures in a row is out until a request to it succeeds",
                settings.max_failures
            ),
            format!(
                "it is out for {} at first, found by a sweep",
                whole(settings.min_penalty)
            ),
        ));
        return Some(
            Map::new()
                .with("consecutive5xxErrors", settings.max_failures)
                .with("interval", "1s")
                .with("baseEjectionTime", whole(settings.min_penalty))
                .with("maxEjectionPercent", 100_u32),
        );
    }
    if let Some(passive) = cluster.passive {
        let settings = passive.value;
        unsaid.push((
            Area::Ejection,
            format!(
                "an endpoint with {} failures within {} is left out",
                settings.failures,
                whole(settings.window)
            ),
            "failures in a row count, whenever they were".to_owned(),
        ));
        return Some(
            Map::new()
                .with("consecutive5xxErrors", settings.failures.max(1))
                .with("baseEjectionTime", whole(settings.window))
                .with("maxEjectionPercent", 100_u32),
        );
    }
    if panic != half {
        unsaid.push((
            Area::Ejection,
            format!(
                "below {} % of healthy endpoints all are used",
                panic.as_ppm() / 10_000
            ),
            "below 50 %: another share needs `outlierDetection`".to_owned(),
        ));
    }
    None
}

fn tls(cluster: &Cluster) -> Map {
    match &cluster.transport {
        UpstreamTransport::Tls { sni, certificate } => {
            let mode = match certificate {
                Some(_) => "MUTUAL",
                None => "SIMPLE",
            };
            Map::new()
                .with("mode", mode)
                .maybe("credentialName", certificate.as_deref())
                .with("sni", &**sni)
        }
        // sidecars find out by themselves whom they can speak TLS to
        UpstreamTransport::Plaintext | UpstreamTransport::Mesh { .. } => Map::new(),
    }
}

fn budget(cluster: &Cluster, unsaid: &mut Unsaid) -> Option<Map> {
    let budget = cluster.retry_budget?.value;
    match budget {
        RetryBudget::Concurrency(budget) => {
            let mut map = Map::new()
                .with("percent", budget.percent)
                .with("minRetryConcurrency", budget.min_concurrency);
            if let Some(interval) = budget.interval {
                map.set("budgetInterval", whole(interval));
            }
            Some(map)
        }
        RetryBudget::Rate(_) => {
            unsaid.push((
                Area::Retry,
                "retries are bound by a share of what succeeded lately".to_owned(),
                "by 20 % of what is under way".to_owned(),
            ));
            let map = Map::new().with("percent", 20_u32);
            Some(map.with("minRetryConcurrency", 3_u32))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::Value;
    use proxy_core::config::EndpointSet;
    use proxy_core::origin::{OriginId, Sourced};

    fn istios() -> Cluster {
        Cluster {
            balancer: Sourced::unsourced(Balancer::LeastRequest {
                choices: 2,
                bias: 1.0,
                full_scan: false,
            }),
            connect_timeout: Sourced::unsourced(CONNECT),
            limits: [Limits::unlimited(OriginId::NONE); 2],
            ..Cluster::envoy("c", EndpointSet::default())
        }
    }

    fn written(cluster: &Cluster) -> (String, Unsaid) {
        let mut unsaid = Unsaid::new();
        let call = Call {
            cluster,
            hash: Vec::new(),
        };
        let map = policy(&call, &mut unsaid);
        (Value::from(map).to_yaml(), unsaid)
    }

    #[test]
    fn what_istio_does_anyway_is_not_written() {
        let (text, unsaid) = written(&istios());
        assert_eq!(text, "{}\n");
        assert!(unsaid.is_empty(), "{unsaid:?}");
    }

    #[test]
    fn what_istio_would_do_otherwise_is_written() {
        let envoy = Cluster::envoy("c", EndpointSet::default());
        let (text, unsaid) = written(&envoy);
        for line in [
            "simple: ROUND_ROBIN",
            "connectTimeout: 5s",
            "maxConnections: 1024",
            "maxRetries: 3",
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
        assert!(unsaid.is_empty(), "{unsaid:?}");
    }

    #[test]
    fn ejection_is_written_field_by_field() {
        let mut settings = Settings::envoy_v3();
        settings.consecutive_5xx = 10;
        settings.max_ejection_share = Share::from_percent(50.0);
        let cluster = Cluster {
            outlier: Some(Sourced::unsourced(settings)),
            panic_threshold: Sourced::unsourced(Share::ZERO),
            ..istios()
        };
        let (text, _) = written(&cluster);
        assert_eq!(
            text,
            "outlierDetection:\n  consecutive5xxErrors: 10\n  maxEjectionPercent: 50\n"
        );
    }

    #[test]
    fn a_balancer_that_istio_has_not_is_the_nearest_and_said() {
        let cluster = Cluster {
            balancer: Sourced::unsourced(Balancer::PeakEwma {
                default_rtt: Duration::from_millis(30),
                decay: Duration::from_secs(10),
            }),
            ..istios()
        };
        let (text, unsaid) = written(&cluster);
        assert_eq!(text, "{}\n");
        assert_eq!(unsaid.len(), 1);
        assert_eq!(unsaid[0].0, Area::Balance);
    }

    #[test]
    fn failure_accrual_is_ejection_as_near_as_may_be() {
        let cluster = Cluster {
            accrual: Some(Sourced::unsourced(proxy_core::accrual::Settings::linkerd())),
            ..istios()
        };
        let (text, unsaid) = written(&cluster);
        assert!(text.contains("consecutive5xxErrors: 7"), "{text}");
        assert!(unsaid.iter().any(|(area, ..)| *area == Area::Ejection));
    }
}
