//! What clusters say of their endpoints.

use proxy_core::config::{
    Balancer, Cluster, ConnectionPool, Discovery, HashBalance, Limits, LocalityBalance,
    PrefaceVersion, RetryBudget, SubsetFallback, Subsets, UpstreamProtocol, UpstreamTransport,
};
use proxy_core::health;
use proxy_core::origin::Sourced;

use super::ejection::ejection;
use super::words::{bound, length, list, range, share, yes};
use crate::Area;
use crate::connections::Carries;
use crate::tell::{NONE, Sheet, maybe, sourced};

/// Two clusters of one destination, as far as it counts for what they carry.
pub(crate) fn clusters(both: [&Cluster; 2], carries: Carries) -> [Sheet; 2] {
    let by_endpoint = tls_by_endpoint(both);
    let no_choice = both.iter().any(|it| is_dialled(it)) && both.iter().all(|it| is_single(it));
    both.map(|cluster| {
        let mut sheet = Sheet::default();
        if !no_choice {
            balance(&mut sheet, cluster);
        }
        let timeout = cluster.connect_timeout;
        sheet.row(
            Area::Timeout,
            "connect timeout",
            length(timeout.value),
            timeout.origin,
        );
        ejection(&mut sheet, cluster);
        checks(&mut sheet, cluster);
        connections(&mut sheet, cluster);
        if carries != Carries::Bytes {
            pool(&mut sheet, cluster);
        }
        limits(&mut sheet, cluster, carries);
        if !by_endpoint {
            tls(&mut sheet, cluster);
        }
        sheet
    })
}

/// Whether the one endpoint is what a connection was meant for.
fn is_dialled(cluster: &Cluster) -> bool {
    cluster.discovery == Discovery::OriginalDestination
}

/// Whether there is nothing to choose.
fn is_single(cluster: &Cluster) -> bool {
    is_dialled(cluster) || cluster.endpoints.endpoints.len() == 1
}

/// Whether one of two clusters has TLS for endpoints with an identity, and the other says nothing of it for all of them.
pub(crate) fn tls_by_endpoint(both: [&Cluster; 2]) -> bool {
    let by_endpoint = |cluster: &Cluster| match &cluster.transport {
        UpstreamTransport::Mesh {
            only_where_meshed, ..
        } => *only_where_meshed,
        UpstreamTransport::Plaintext | UpstreamTransport::Tls { .. } => false,
    };
    let is_plain = |cluster: &Cluster| cluster.transport == UpstreamTransport::Plaintext;
    let [left, right] = both;
    by_endpoint(left) && is_plain(right) || is_plain(left) && by_endpoint(right)
}

fn balance(sheet: &mut Sheet, cluster: &Cluster) {
    let balancer = &cluster.balancer;
    sheet.row(
        Area::Balance,
        "balancer",
        of_balancer(&balancer.value),
        balancer.origin,
    );
    let locality = &cluster.locality;
    let places = match &locality.value {
        LocalityBalance::Ignored => "of no account".to_owned(),
        LocalityBalance::Weighted => "by weight".to_owned(),
        LocalityBalance::ZoneAware(zone) => format!(
            "own zone first for {}, from {} endpoints on, {} local ones enough",
            share(zone.enabled),
            zone.min_cluster_size,
            maybe(zone.force_local_min, |it| it.to_string())
        ),
    };
    sheet.row(Area::Balance, "localities", places, locality.origin);
    let panic = cluster.panic_threshold;
    sheet.row(
        Area::Balance,
        "panic threshold",
        share(panic.value),
        panic.origin,
    );
    let fails = yes(cluster.fail_traffic_on_panic);
    sheet.row(Area::Balance, "503 in panic", fails, panic.origin);
    let factor = format!("{} %", cluster.overprovisioning);
    sheet.row(Area::Balance, "overprovisioning", factor, cluster.origin);
    let (text, origin) = sourced(cluster.slow_start, cluster.origin, |it| {
        format!(
            "{}, aggression {}, from {}",
            it.window, it.aggression, it.min_weight
        )
    });
    sheet.row(Area::Balance, "slow start", text, origin);
    let subset = cluster.subsets.as_ref();
    sheet.row(
        Area::Balance,
        "subsets",
        maybe(subset, subsets),
        cluster.origin,
    );
    let (text, origin) = sourced(cluster.queue, cluster.origin, |it| {
        format!("{} for {}", it.capacity, it.timeout)
    });
    sheet.row(Area::Limit, "queue", text, origin);
}

fn of_balancer(balancer: &Balancer) -> String {
    let bounded = |bound: &Option<HashBalance>| match bound {
        Some(bound) => format!(", {} % of the average at most", bound.factor),
        None => String::new(),
    };
    match balancer {
        Balancer::RoundRobin => "round robin".to_owned(),
        Balancer::LeastRequest {
            choices,
            bias,
            full_scan,
        } => {
            let of = match full_scan {
                true => "all".to_owned(),
                false => choices.to_string(),
            };
            format!("least request of {of}, bias {bias}")
        }
        Balancer::Random => "random".to_owned(),
        Balancer::RingHash {
            min_size,
            max_size,
            bound,
        } => format!(
            "ring hash, {min_size} to {max_size} entries{}",
            bounded(bound)
        ),
        Balancer::Maglev { size, bound } => format!("maglev, {size} entries{}", bounded(bound)),
        Balancer::PeakEwma { default_rtt, decay } => {
            format!("peak EWMA, {default_rtt} at first, decay {decay}")
        }
        Balancer::KongRing => "Kong's round robin".to_owned(),
        Balancer::KongLeastConnections => "Kong's least connections".to_owned(),
        Balancer::KongLatency => "Kong's latency".to_owned(),
        Balancer::NginxEwma => "NGINX's EWMA".to_owned(),
        Balancer::TraefikTurns => "Traefik's wrr".to_owned(),
        Balancer::TraefikTwoChoices => "Traefik's p2c".to_owned(),
        Balancer::TraefikLeastTime => "Traefik's least time".to_owned(),
        Balancer::TraefikRendezvous => "Traefik's hrw".to_owned(),
        Balancer::OriginalDestination => "the address that was dialled".to_owned(),
    }
}

fn subsets(subsets: &Subsets) -> String {
    let mut selectors: Vec<String> = subsets
        .selectors
        .iter()
        .map(|keys| keys.join("+"))
        .collect();
    selectors.sort();
    let fallback = match &subsets.fallback {
        SubsetFallback::Nowhere => NONE.to_owned(),
        SubsetFallback::Any => "any endpoint".to_owned(),
        SubsetFallback::Labelled(labels) => {
            let labels = labels.iter().map(|(key, value)| format!("{key}={value}"));
            list(labels)
        }
    };
    format!("by {}, else {fallback}", list(selectors))
}

fn checks(sheet: &mut Sheet, cluster: &Cluster) {
    let mut words: Vec<String> = cluster
        .health_checks
        .iter()
        .map(|it| check(&it.value))
        .collect();
    words.sort();
    let origin = cluster.health_checks.first();
    let origin = origin.map_or(cluster.origin, |it| it.origin);
    sheet.row(Area::Health, "health checks", list(words), origin);
}

fn check(check: &health::Check) -> String {
    let what = match &check.path {
        Some(path) => {
            let host = match check.host.is_empty() {
                true => String::new(),
                false => format!(" of {}", check.host),
            };
            format!("GET {path}{host}")
        }
        None => "a connection".to_owned(),
    };
    let mut words = vec![
        format!("{what} every {}", check.interval),
        format!("within {}", check.timeout),
        format!("out after {}", check.unhealthy_threshold),
        format!("back after {}", check.healthy_threshold),
    ];
    if !check.interval_jitter.is_zero() {
        words.push(format!("jitter {}", check.interval_jitter));
    }
    words.extend(
        check
            .unhealthy_interval
            .map(|it| format!("every {it} while out")),
    );
    words.extend(
        check
            .no_traffic_interval
            .map(|it| format!("every {it} without traffic")),
    );
    if !check.expected.is_empty() {
        words.push(format!(
            "expects {}",
            list(check.expected.iter().map(range))
        ));
    }
    if !check.retriable.is_empty() {
        words.push(format!(
            "forgives {}",
            list(check.retriable.iter().map(range))
        ));
    }
    words.join(" ")
}

/// What holds of connections whatever they carry.
fn connections(sheet: &mut Sheet, cluster: &Cluster) {
    let around = cluster.origin;
    let source = maybe(cluster.source_address, |it| it.to_string());
    sheet.row(Area::Pool, "source address", source, around);
    let preface = maybe(cluster.preface, |it| match it {
        PrefaceVersion::V1 => "version 1".to_owned(),
        PrefaceVersion::V2 => "version 2".to_owned(),
    });
    sheet.row(Area::Pool, "PROXY header to endpoints", preface, around);
    let most = cluster.pool.max_connections_per_endpoint;
    let (text, origin) = sourced(most, around, |it| it.to_string());
    sheet.row(Area::Pool, "pool.connections to an endpoint", text, origin);
}

fn pool(sheet: &mut Sheet, cluster: &Cluster) {
    let protocol = match cluster.protocol {
        UpstreamProtocol::Http1 => "HTTP/1.1",
        UpstreamProtocol::Http2 => "HTTP/2",
        UpstreamProtocol::Downstream => "as the client does",
    };
    let around = cluster.origin;
    sheet.row(Area::Pool, "protocol", protocol, around);
    let ConnectionPool {
        max_requests_per_connection,
        idle_timeout,
        max_duration,
        max_streams,
        max_idle,
        max_connections_per_endpoint: _,
    } = &cluster.pool;
    let mut count = |what: &'static str, value: Option<Sourced<u32>>| {
        let (text, origin) = sourced(value, around, |it| it.to_string());
        sheet.row(Area::Pool, what, text, origin);
    };
    count(
        "pool.requests of a connection",
        *max_requests_per_connection,
    );
    count("pool.streams of a connection", Some(*max_streams));
    let kept = maybe(*max_idle, |it| it.to_string());
    sheet.row(Area::Pool, "pool.idle connections", kept, around);
    for (what, timer) in [
        ("pool.idle timeout", *idle_timeout),
        ("pool.longest connection", *max_duration),
    ] {
        let (text, origin) = sourced(timer, around, length);
        sheet.row(Area::Timeout, what, text, origin);
    }
}

fn limits(sheet: &mut Sheet, cluster: &Cluster, carries: Carries) {
    const NAMES: [[&str; 3]; 2] = [
        ["limits.connections", "limits.pending", "limits.requests"],
        [
            "limits.connections of high priority",
            "limits.pending of high priority",
            "limits.requests of high priority",
        ],
    ];
    let budgets = [
        ("limits.retries", cluster.retry_budget),
        ("limits.retries of high priority", cluster.high_retry_budget),
    ];
    let kinds = match carries {
        Carries::Bytes | Carries::Requests => 1,
        Carries::Urgent => 2,
    };
    let all = cluster.limits.iter().zip(NAMES).zip(budgets);
    for ((limits, names), (name, of_retries)) in all.take(kinds) {
        let Limits {
            connections,
            pending,
            requests,
            retries,
        } = limits;
        for (limit, what) in [connections, pending, requests].into_iter().zip(names) {
            sheet.row(Area::Limit, what, bound(limit.value), limit.origin);
        }
        // a budget takes the place of the number
        let retries = match of_retries {
            Some(budget) => (budget_words(&budget.value), budget.origin),
            None if retries.value == u32::MAX => (NONE.to_owned(), retries.origin),
            None => (format!("{} at once", retries.value), retries.origin),
        };
        sheet.row(Area::Retry, name, retries.0, retries.1);
    }
}

fn budget_words(budget: &RetryBudget) -> String {
    match budget {
        RetryBudget::Concurrency(it) => {
            let of = it.interval.map(|it| format!("what began within {it}"));
            let of = of.unwrap_or_else(|| "what is under way".to_owned());
            format!("{} % of {of}, at least {}", it.percent, it.min_concurrency)
        }
        RetryBudget::Rate(it) => {
            let words = format!("{it:?}");
            let inner = words
                .trim_start_matches("RateBudget { ")
                .trim_end_matches(" }");
            format!("of what succeeded lately, {inner}")
        }
    }
}

fn tls(sheet: &mut Sheet, cluster: &Cluster) {
    let (what, name) = match &cluster.transport {
        UpstreamTransport::Plaintext => ("plaintext", None),
        UpstreamTransport::Tls { sni, .. } => ("TLS", Some(sni)),
        UpstreamTransport::Mesh {
            sni,
            only_where_meshed: false,
            ..
        } => ("TLS", Some(sni)),
        UpstreamTransport::Mesh {
            sni,
            only_where_meshed: true,
            ..
        } => ("TLS to endpoints with an identity", Some(sni)),
    };
    sheet.row(Area::Tls, "tls", what, cluster.origin);
    if let Some(name) = name {
        sheet.row(
            Area::Tls,
            "tls.server name",
            name.to_string(),
            cluster.origin,
        );
    }
}
