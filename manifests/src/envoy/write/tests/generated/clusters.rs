//! Clusters of all kinds.

use std::net::SocketAddr;

use proxy_core::balance::slow_start::SlowStart;
use proxy_core::config::{
    Balancer, Cluster, ConnectionPool, DiscoveredHealth, Discovery, Endpoint, EndpointSet,
    HashBalance, Limits, LocalityBalance, Name, PrefaceVersion, RetryBudget, SectionDraft, Share,
    SubsetFallback, Subsets, UpstreamProtocol, UpstreamTransport, ZoneAware,
};
use proxy_core::health::Check;
use proxy_core::outlier::{RateRule, Settings};
use proxy_core::retry::budget::ConcurrencyBudget;
use proxy_core::time::Duration;

use super::super::dice::Dice;
use super::{certificates, count, length, sourced, timer};
use crate::envoy::Written;

pub(super) fn all(dice: &mut Dice<'_>, draft: &mut SectionDraft, written: &mut Written) {
    let number = dice.below(4);
    let mut callers = None;
    for at in 0..number {
        let made = cluster(dice, at, &mut callers, written);
        draft.add_cluster(made);
    }
}

/// The first cluster may be the one that the callers of all others are counted by.
fn cluster(
    dice: &mut Dice<'_>,
    at: u8,
    callers: &mut Option<Vec<(Name, u32)>>,
    written: &mut Written,
) -> Cluster {
    let name = format!("c{at}");
    let mut cluster = Cluster::envoy(&name, EndpointSet::default());
    let is_local = at == 0 && dice.rarely();
    if callers.is_none() && !is_local && dice.rarely() {
        cluster.discovery = Discovery::OriginalDestination;
        cluster.balancer = sourced(Balancer::OriginalDestination);
    } else {
        cluster.endpoints = endpoints(dice, at).into();
        cluster.balancer = sourced(balancer(dice));
    }
    // what Envoy says in one form only goes with no subsets
    let is_scan = matches!(
        cluster.balancer.value,
        Balancer::LeastRequest {
            full_scan: true,
            ..
        }
    );
    let hashes = matches!(
        cluster.balancer.value,
        Balancer::RingHash { .. } | Balancer::Maglev { .. } | Balancer::OriginalDestination
    );
    let keeps = !hashes && dice.rarely();
    if is_local {
        let mut set = (*cluster.endpoints).clone();
        set.endpoints.iter_mut().for_each(|it| it.priority = 0);
        set.locality_weights.clear();
        cluster.endpoints = set.into();
        *callers = Some(by_locality(&cluster.endpoints));
    } else {
        cluster.locality = sourced(match (callers, dice.rarely()) {
            (_, true) => LocalityBalance::Weighted,
            (None, false) => LocalityBalance::Ignored,
            (Some(callers), false) => LocalityBalance::ZoneAware(ZoneAware {
                enabled: dice.one(&[Share::ALL, Share::ZERO, Share::from_percent(12.5)]),
                min_cluster_size: dice.one(&[6, 1]),
                force_local_min: keeps.then(|| dice.one(&[1, 3])),
                callers: callers.clone(),
            }),
        });
    }
    let is_weighted = cluster.locality.value == LocalityBalance::Weighted;
    cluster.fail_traffic_on_panic = !is_weighted && dice.rarely();
    cluster.panic_threshold =
        sourced(dice.one(&[500_000, 0, 1_000_000, 333_300].map(Share::from_ppm)));
    cluster.overprovisioning = match cluster.discovery {
        Discovery::Endpoints => dice.one(&[140, 100]),
        Discovery::OriginalDestination => 140,
    };
    cluster.connect_timeout =
        sourced(dice.one(&[Duration::from_secs(5), Duration::from_millis(25)]));
    cluster.protocol = dice.one(&[
        UpstreamProtocol::Http1,
        UpstreamProtocol::Http2,
        UpstreamProtocol::Downstream,
    ]);
    if dice.rarely() {
        let certificate = format!("cluster/{name}");
        let alpn = dice.some(1, |_| "h2".into());
        written.certificates.push(certificates(&certificate, alpn));
        cluster.transport = UpstreamTransport::Tls {
            sni: dice.one(&["", "shop.test"]).into(),
            certificate: Some(certificate.into()),
        };
    }
    if dice.rarely() {
        cluster.preface = Some(dice.one(&[PrefaceVersion::V1, PrefaceVersion::V2]));
    }
    let grows = matches!(
        cluster.balancer.value,
        Balancer::RoundRobin | Balancer::LeastRequest { .. }
    );
    cluster.slow_start = dice.maybe(slow_start).filter(|_| grows).map(sourced);
    let takes_subsets = cluster.discovery == Discovery::Endpoints && !is_scan && !keeps;
    cluster.subsets = (takes_subsets && dice.rarely()).then(|| subsets(dice));
    cluster.outlier = dice.maybe(outlier).map(sourced);
    cluster.health_checks = dice.some(2, |dice| sourced(check(dice)));
    cluster.pool = pool(dice, cluster.protocol);
    cluster.limits = [limits(dice), limits(dice)];
    cluster.retry_budget = dice.maybe(|dice| {
        sourced(RetryBudget::Concurrency(ConcurrencyBudget {
            percent: dice.one(&[20.0, 0.0, 12.5, 100.0]),
            min_concurrency: dice.one(&[3, 0, 10]),
            interval: dice.maybe(length),
        }))
    });
    cluster
}

fn endpoints(dice: &mut Dice<'_>, cluster: u8) -> EndpointSet {
    let mut set = EndpointSet::default();
    for at in 0..dice.below(5) {
        let labels: Vec<(Name, Name)> = dice
            .some(2, |dice| {
                dice.one(&[("version", "v1"), ("canary", "true"), ("zone", "")])
            })
            .into_iter()
            .map(|(key, value)| (key.into(), value.into()))
            .collect();
        let mut once: Vec<(Name, Name)> = Vec::new();
        for label in labels {
            if !once.contains(&label) {
                once.push(label);
            }
        }
        let canary = once.iter().any(|(key, _)| &**key == "canary");
        set.endpoints.push(Endpoint {
            hostname: dice.one(&["", "host.test"]).into(),
            locality: dice.one(&["", "r", "r/z", "r/z/s", "/z"]).into(),
            priority: dice.one(&[0, 1]),
            weight: dice.one(&[1, 2, 100]),
            health: dice.one(&[
                DiscoveredHealth::Healthy,
                DiscoveredHealth::Unhealthy,
                DiscoveredHealth::Draining,
            ]),
            labels: once.into(),
            canary,
            ..Endpoint::at(SocketAddr::from(([10, 0, cluster, at], 80)))
        });
    }
    let mut seen: Vec<(Name, u8)> = Vec::new();
    for endpoint in &set.endpoints {
        let place = (endpoint.locality.clone(), endpoint.priority);
        if !seen.contains(&place) {
            if dice.yes() {
                let weight = dice.one(&[1, 30]);
                set.locality_weights
                    .push((place.0.clone(), place.1, weight));
            }
            seen.push(place);
        }
    }
    set
}

fn by_locality(set: &EndpointSet) -> Vec<(Name, u32)> {
    let mut counts: Vec<(Name, u32)> = Vec::new();
    for endpoint in &set.endpoints {
        let found = counts
            .iter_mut()
            .find(|(name, _)| *name == endpoint.locality);
        match found {
            Some((_, count)) => *count += 1,
            None => counts.push((endpoint.locality.clone(), 1)),
        }
    }
    counts
}

fn balancer(dice: &mut Dice<'_>) -> Balancer {
    let bound = |dice: &mut Dice<'_>| {
        dice.maybe(|dice| HashBalance {
            factor: dice.one(&[100, 150]),
        })
    };
    match dice.below(5) {
        0 => Balancer::RoundRobin,
        1 => Balancer::LeastRequest {
            choices: dice.one(&[2, 5]),
            bias: dice.one(&[1.0, 0.0, 0.5]),
            full_scan: dice.yes(),
        },
        2 => Balancer::Random,
        3 => Balancer::RingHash {
            min_size: dice.one(&[1024, 1]),
            max_size: dice.one(&[8 << 20, 4096]),
            bound: bound(dice),
        },
        _ => Balancer::Maglev {
            size: dice.one(&[65_537, 251]),
            bound: bound(dice),
        },
    }
}

fn slow_start(dice: &mut Dice<'_>) -> SlowStart {
    SlowStart {
        window: length(dice),
        aggression: dice.one(&[1.0, 2.5]),
        min_weight: dice.one(&[0.1, 0.0, 0.25]),
    }
}

fn subsets(dice: &mut Dice<'_>) -> Subsets {
    Subsets {
        selectors: dice.some(2, |dice| {
            let keys = dice.one(&[&["version"][..], &["stage", "version"]]);
            keys.iter().map(|key| (*key).into()).collect()
        }),
        fallback: dice.one(&[
            SubsetFallback::Nowhere,
            SubsetFallback::Any,
            SubsetFallback::Labelled(vec![("version".into(), "v1".into())]),
        ]),
    }
}

fn outlier(dice: &mut Dice<'_>) -> Settings {
    let share = |dice: &mut Dice<'_>| Share::from_percent(dice.one(&[100.0, 0.0, 7.0]));
    let rule = |dice: &mut Dice<'_>| RateRule {
        enforcing: share(dice),
        minimum_hosts: dice.one(&[5, 0]),
        request_volume: dice.one(&[100, 50, 1]),
    };
    let base = length(dice);
    Settings {
        consecutive_5xx: dice.one(&[5, 0, 2]),
        enforcing_consecutive_5xx: share(dice),
        consecutive_gateway_failure: dice.one(&[5, 0, 2]),
        enforcing_consecutive_gateway_failure: share(dice),
        split_local_origin: dice.yes(),
        consecutive_local_origin_failure: dice.one(&[5, 0, 2]),
        enforcing_consecutive_local_origin: share(dice),
        interval: length(dice),
        base_ejection_time: base,
        max_ejection_time: dice.one(&[Duration::from_secs(300).max(base), base]),
        max_ejection_jitter: dice.maybe(length).unwrap_or(Duration::ZERO),
        max_ejection_share: share(dice),
        always_eject_one: dice.yes(),
        success_rate: rule(dice),
        success_rate_stdev_factor: dice.one(&[1900, 0]),
        enforcing_local_origin_success_rate: share(dice),
        failure_percentage: rule(dice),
        failure_percentage_threshold: dice.one(&[85, 0, 100]),
        enforcing_failure_percentage_local_origin: share(dice),
        health_check_returns: !dice.yes(),
    }
}

fn check(dice: &mut Dice<'_>) -> Check {
    let statuses = |dice: &mut Dice<'_>| dice.some(2, |dice| dice.one(&[(200, 299), (404, 404)]));
    let asks = dice.yes();
    Check {
        path: asks.then(|| "/ready".into()),
        host: if asks {
            dice.one(&["", "host.test"])
        } else {
            ""
        }
        .into(),
        timeout: length(dice),
        interval: length(dice),
        interval_jitter: dice.maybe(length).unwrap_or(Duration::ZERO),
        unhealthy_interval: dice.maybe(length),
        no_traffic_interval: Some(dice.one(&[Duration::from_secs(60), Duration::from_secs(1)])),
        unhealthy_threshold: dice.one(&[1, 3]),
        healthy_threshold: dice.one(&[1, 2]),
        expected: if asks { statuses(dice) } else { Vec::new() },
        retriable: if asks { statuses(dice) } else { Vec::new() },
    }
}

fn pool(dice: &mut Dice<'_>, protocol: UpstreamProtocol) -> ConnectionPool {
    let usual = ConnectionPool::default();
    ConnectionPool {
        max_requests_per_connection: dice.maybe(|dice| sourced(count(dice))),
        idle_timeout: dice.one(&[
            usual.idle_timeout,
            None,
            Some(sourced(Duration::from_secs(1))),
        ]),
        max_duration: timer(dice),
        max_streams: match protocol {
            UpstreamProtocol::Http1 => usual.max_streams,
            UpstreamProtocol::Http2 | UpstreamProtocol::Downstream => {
                sourced(dice.one(&[usual.max_streams.value, 1, 100]))
            }
        },
        max_connections_per_endpoint: dice.maybe(|dice| sourced(count(dice))),
        max_idle: None,
    }
}

fn limits(dice: &mut Dice<'_>) -> Limits {
    let usual = Limits::envoy();
    if !dice.yes() {
        return usual;
    }
    Limits {
        connections: sourced(count(dice)),
        pending: sourced(dice.one(&[0, 5])),
        requests: sourced(count(dice)),
        retries: sourced(dice.one(&[3, 0, 10])),
    }
}
