//! What clusters of one destination say of their endpoints.

use proxy_core::balance::slow_start::SlowStart;
use proxy_core::config::{
    Balancer, Cluster, Discovery, Endpoint, EndpointSet, FailfastQueue, LocalityBalance,
    PrefaceVersion, Priority, RetryBudget, Share, SubsetFallback, Subsets, UpstreamProtocol,
    UpstreamTransport,
};
use proxy_core::origin::Sourced;
use proxy_core::retry::budget::ConcurrencyBudget;
use proxy_core::time::Duration;
use proxy_core::{accrual, health, outlier, passive};

use super::rig::*;
use crate::Area;

type Change = fn(&mut Cluster);

fn of_cart(change: Change) -> Vec<String> {
    changed(|draft| change(&mut draft.clusters[CART.0 as usize]))
}

#[test]
fn every_field_of_a_cluster_is_told_alone() {
    let rows: [(&str, Change); 23] = [
        ("balancer: round robin | random", |it| {
            it.balancer.value = Balancer::Random
        }),
        ("balancer: round robin | least request of 3, bias 1", |it| {
            it.balancer.value = Balancer::LeastRequest {
                choices: 3,
                bias: 1.0,
                full_scan: false,
            };
        }),
        ("localities: of no account | by weight", |it| {
            it.locality.value = LocalityBalance::Weighted;
        }),
        ("panic threshold: 50 % | 0 %", |it| {
            it.panic_threshold.value = Share::ZERO
        }),
        ("503 in panic: no | yes", |it| {
            it.fail_traffic_on_panic = true
        }),
        ("overprovisioning: 140 % | 100 %", |it| {
            it.overprovisioning = 100
        }),
        ("slow start: none | 30s, aggression 1, from 0.1", |it| {
            let window = SlowStart::envoy_v3(Duration::from_secs(30));
            it.slow_start = Some(Sourced::unsourced(window));
        }),
        ("subsets: none | by version, else any endpoint", |it| {
            it.subsets = Some(Subsets {
                selectors: vec![vec!["version".into()]],
                fallback: SubsetFallback::Any,
            });
        }),
        ("queue: none | 100 for 3s", |it| {
            it.queue = Some(Sourced::unsourced(FailfastQueue {
                capacity: 100,
                timeout: Duration::from_secs(3),
            }));
        }),
        ("connect timeout: 5s | 10s", |it| {
            it.connect_timeout = secs(10)
        }),
        (
            "accrual: none | failures 7, shortest penalty 1s, longest penalty 60s, jitter 0.5",
            |it| {
                it.accrual = Some(Sourced::unsourced(accrual::Settings::linkerd()));
            },
        ),
        (
            "passive: none | failures 1, window 10s, checks bring back no",
            |it| {
                it.passive = Some(Sourced::unsourced(passive::Settings::traefik()));
            },
        ),
        (
            "health checks: none | GET /healthz every 5s within 1s out after 3 back after 2",
            |it| {
                it.health_checks = vec![Sourced::unsourced(check())];
            },
        ),
        ("protocol: HTTP/1.1 | HTTP/2", |it| {
            it.protocol = UpstreamProtocol::Http2
        }),
        ("source address: none | 127.0.0.6", |it| {
            it.source_address = Some("127.0.0.6".parse().expect("an address"));
        }),
        ("PROXY header to endpoints: none | version 2", |it| {
            it.preface = Some(PrefaceVersion::V2);
        }),
        ("pool.requests of a connection: none | 100", |it| {
            it.pool.max_requests_per_connection = Some(Sourced::unsourced(100));
        }),
        ("pool.streams of a connection: 2147483647 | 100", |it| {
            it.pool.max_streams.value = 100
        }),
        ("pool.connections to an endpoint: none | 4", |it| {
            it.pool.max_connections_per_endpoint = Some(Sourced::unsourced(4));
        }),
        ("pool.idle connections: none | 512", |it| {
            it.pool.max_idle = Some(512)
        }),
        ("pool.idle timeout: 3600s | 60s", |it| {
            it.pool.idle_timeout = Some(secs(60))
        }),
        ("pool.longest connection: none | 60s", |it| {
            it.pool.max_duration = Some(secs(60))
        }),
        ("limits.requests: 1024 | 5", |it| {
            it.limits[0].requests.value = 5
        }),
    ];
    for (expected, change) in rows {
        assert_eq!(of_cart(change), [expected]);
    }
}

fn check() -> health::Check {
    health::Check {
        path: Some("/healthz".into()),
        host: "".into(),
        timeout: Duration::from_secs(1),
        interval: Duration::from_secs(5),
        interval_jitter: Duration::ZERO,
        unhealthy_interval: None,
        no_traffic_interval: None,
        unhealthy_threshold: 3,
        healthy_threshold: 2,
        expected: Vec::new(),
        retriable: Vec::new(),
    }
}

#[test]
fn a_budget_takes_the_place_of_a_number_of_retries() {
    let found = of_cart(|it| it.limits[0].retries.value = 10);
    assert_eq!(found, ["limits.retries: 3 at once | 10 at once"]);
    let budget = RetryBudget::Concurrency(ConcurrencyBudget::envoy_v3());
    let mut left = shop();
    left.clusters[0].retry_budget = Some(Sourced::unsourced(budget));
    assert_eq!(
        said(&told(shop(), left.clone())),
        ["limits.retries: 3 at once | 20 % of what is under way, at least 3"]
    );
    let mut right = left.clone();
    right.clusters[0].limits[0].retries.value = 10;
    assert!(told(left, right).differences.is_empty());
}

#[test]
fn ejection_is_compared_rule_by_rule() {
    let with = |change: fn(&mut outlier::Settings)| {
        let mut draft = shop();
        let mut settings = outlier::Settings::envoy_v3();
        change(&mut settings);
        draft.clusters[0].outlier = Some(secs_of(settings));
        draft
    };
    let rows: [(&str, Edit<outlier::Settings>); 9] = [
        ("outlier.consecutive 5xx: 5 | 7", |it| {
            it.consecutive_5xx = 7
        }),
        ("outlier.consecutive 5xx: 5 | none", |it| {
            it.enforcing_consecutive_5xx = Share::ZERO
        }),
        ("outlier.consecutive gateway failures: none | 5", |it| {
            it.enforcing_consecutive_gateway_failure = Share::ALL;
        }),
        ("outlier.interval: 10s | 1s", |it| {
            it.interval = Duration::from_secs(1)
        }),
        ("outlier.base ejection: 30s | 60s", |it| {
            it.base_ejection_time = Duration::from_secs(60);
        }),
        ("outlier.max ejection: 10 % | 100 %", |it| {
            it.max_ejection_share = Share::ALL
        }),
        ("outlier.one may always be out: no | yes", |it| {
            it.always_eject_one = true
        }),
        (
            "outlier.success rate: 1.9 deviations, 5 endpoints with 100 requests | none",
            |it| {
                it.success_rate.enforcing = Share::ZERO;
            },
        ),
        ("outlier.checks bring back: yes | no", |it| {
            it.health_check_returns = false
        }),
    ];
    for (expected, change) in rows {
        assert_eq!(said(&told(with(|_| {}), with(change))), [expected]);
    }
    // what counts to nothing has no say
    let nothing: fn(&mut outlier::Settings) = |it| it.consecutive_local_origin_failure = 9;
    assert!(told(with(|_| {}), with(nothing)).differences.is_empty());
    let found = said(&told(shop(), with(|_| {})));
    assert!(
        found[0].starts_with("outlier: none | consecutive 5xx 5,"),
        "{found:?}"
    );
}

const fn secs_of(settings: outlier::Settings) -> Sourced<outlier::Settings> {
    Sourced::unsourced(settings)
}

#[test]
fn tls_is_told_unless_one_side_has_it_by_endpoint() {
    let tls = |name: &str| UpstreamTransport::Tls {
        sni: name.into(),
        certificate: None,
    };
    let with = |transport: UpstreamTransport| {
        let mut draft = shop();
        draft.clusters[0].transport = transport;
        draft
    };
    assert_eq!(
        said(&told(shop(), with(tls("cart")))),
        ["tls: plaintext | TLS"]
    );
    assert_eq!(
        said(&told(with(tls("cart")), with(tls("other")))),
        ["tls.server name: cart | other"]
    );
    let by_endpoint = UpstreamTransport::Mesh {
        sni: "cart".into(),
        identity: "spiffe://a".into(),
        alpn: Vec::new(),
        only_where_meshed: true,
    };
    let comparison = told(shop(), with(by_endpoint));
    assert!(comparison.differences.is_empty());
    assert_eq!(comparison.passed.len(), 1, "{:?}", comparison.passed);
}

#[test]
fn clusters_are_told_by_their_destination_and_once() {
    let mut other = shop();
    other.clusters[0].connect_timeout = secs(1);
    let comparison = told(shop(), other);
    let [only] = &comparison.differences[..] else {
        panic!("{:?}", comparison.differences);
    };
    assert_eq!((&*only.place, only.area), ("cluster cart", Area::Timeout));
    assert_eq!((only.count, only.places, &*only.example), (1, 1, ""));
}

#[test]
fn a_cluster_that_nothing_leads_to_is_not_compared() {
    let mut other = shop();
    other.clusters[SPARE.0 as usize].connect_timeout = secs(1);
    assert!(told(shop(), other).differences.is_empty());
}

#[test]
fn one_endpoint_is_chosen_however_it_is_said() {
    let dialled = |it: &mut Cluster| {
        it.discovery = Discovery::OriginalDestination;
        it.balancer.value = Balancer::OriginalDestination;
    };
    let application = || {
        let mut draft = shop();
        draft.clusters[0].name = "inbound|8080||".into();
        draft
    };
    let mut left = application();
    dialled(&mut left.clusters[0]);
    let mut right = application();
    let endpoints = vec![Endpoint::at(([127, 0, 0, 1], 8080).into())];
    right.clusters[0].endpoints = std::sync::Arc::new(EndpointSet {
        endpoints,
        ..EndpointSet::default()
    });
    assert!(told(left.clone(), right).differences.is_empty());
    assert_eq!(
        said(&told(left, application())),
        ["balancer: the address that was dialled | round robin"]
    );
}

#[test]
fn limits_of_high_priority_count_where_requests_have_it() {
    let raised: Change = |it| it.limits[1].connections.value = u32::MAX;
    assert!(of_cart(raised).is_empty());
    let mut left = shop();
    cart_forward(&mut left).priority = Priority::High;
    let mut right = left.clone();
    raised(&mut right.clusters[0]);
    assert_eq!(
        said(&told(left, right)),
        ["limits.connections of high priority: 1024 | none"]
    );
}
