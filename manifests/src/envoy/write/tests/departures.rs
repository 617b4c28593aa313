//! What Envoy cannot say is told, each thing at its place.

use std::net::SocketAddr;
use std::sync::Arc;

use proxy_core::accrual;
use proxy_core::breaker::Expression;
use proxy_core::config::{
    Absent, Balancer, Breaker, Cluster, ClusterIndex, EndpointSet, FailfastQueue, Forward, Gate,
    GateKey, GateKind, HeaderMatch, ListenerAddress, LocalRateLimit, NodeConfig, NodeKind,
    ParamMatch, RateLimit, RetryPolicy, Route, RouteAction, RouteMatch, RouteTable, SectionDraft,
    Subsets, TextMatch, VirtualHost,
};
use proxy_core::heads::HeaderOp;
use proxy_core::limit::leaky_bucket::LeakyBucket;
use proxy_core::limit::token_bucket::{Refill, Settings};
use proxy_core::origin::{OriginId, Sourced};
use proxy_core::retry::backoff::{AddedJitter, Backoff};
use proxy_core::retry::conditions::{Condition, RetryOn};
use proxy_core::time::Duration;

use super::there_and_back::again;
use crate::envoy::{Written, write};

fn cluster() -> Cluster {
    Cluster::envoy("a", EndpointSet::default())
}

fn node(clusters: Vec<Cluster>, tables: Vec<RouteTable>) -> NodeConfig {
    use proxy_core::config::{
        ChainAction, ChainMatch, DownstreamTransport, FilterChain, HeadRules, HttpConnections,
        HttpFilter, Listener, ReplyProfile,
    };
    let mut draft = SectionDraft::default();
    for cluster in clusters {
        draft.add_cluster(cluster);
    }
    for (number, table) in (0..).zip(tables) {
        let http = HttpConnections {
            logs: proxy_core::log::Logs::default(),
            tracing: None,
            upgrades: proxy_core::config::Upgrades::default(),
            table: draft.add_table(table),
            filters: vec![HttpFilter::LocalRateLimit(None)],
            stream_idle_timeout: None,
            request_timeout: None,
            max_stream_duration: None,
            idle_timeout: None,
            max_connection_duration: None,
            head_timeout: None,
            max_requests_per_connection: None,
            retained_bytes: 1 << 20,
            replies: ReplyProfile::Envoy,
            edge: false,
            heads: Some(Arc::new(HeadRules::unwritten("envoy"))),
            origin: OriginId::NONE,
        };
        draft.listeners.push(Listener {
            name: format!("l{number}").into(),
            address: ListenerAddress::Socket(SocketAddr::from(([0, 0, 0, 0], 80 + number))),
            chains: vec![FilterChain {
                matches: ChainMatch::default(),
                transport: DownstreamTransport::Plaintext,
                action: ChainAction::Http(Box::new(http)),
                origin: OriginId::NONE,
            }],
            max_connections: None,
            preface: None,
            process_limit: None,
            logs: proxy_core::log::Logs::default(),
            origin: OriginId::NONE,
        });
    }
    NodeConfig {
        name: "n".into(),
        kind: NodeKind::Gateway,
        sections: vec![Arc::new(draft.build().expect("a section"))],
    }
}

fn route(name: &str, change: impl FnOnce(&mut Route, &mut Forward)) -> Route {
    let mut forward = Forward::to(ClusterIndex(0));
    let mut route = Route {
        name: name.into(),
        matches: RouteMatch::all(),
        action: RouteAction::Forward(Box::new(forward.clone())),
        request_edits: Vec::new(),
        response_edits: Vec::new(),
        fault: None,
        rate_limit: None,
        gates: Vec::new(),
        cors: None,
        tracing: None,
        origin: OriginId(7),
    };
    change(&mut route, &mut forward);
    route.action = RouteAction::Forward(Box::new(forward));
    route
}

fn table(hosts: Vec<Vec<Route>>) -> RouteTable {
    let host = |(number, routes): (usize, Vec<Route>)| VirtualHost {
        name: format!("v{number}").into(),
        domains: vec![format!("{number}.test").into()],
        routes,
        attempt_count: false,
        attempt_count_in_response: false,
        origin: OriginId::NONE,
    };
    RouteTable {
        name: "t".into(),
        virtual_hosts: hosts.into_iter().enumerate().map(host).collect(),
        ignore_port: false,
    }
}

/// What is told of a node; its bootstrap is one that can be read.
fn told(config: &NodeConfig) -> Vec<String> {
    let likeness = write(config, &Written::default());
    again(&likeness.bootstrap);
    likeness
        .departures
        .iter()
        .map(ToString::to_string)
        .collect()
}

fn told_of_cluster(change: impl FnOnce(&mut Cluster)) -> Vec<String> {
    let mut cluster = cluster();
    change(&mut cluster);
    told(&node(vec![cluster], Vec::new()))
}

fn told_of_route(change: impl FnOnce(&mut Route, &mut Forward)) -> Vec<String> {
    let route = route("r", change);
    told(&node(vec![cluster()], vec![table(vec![vec![route]])]))
}

#[test]
fn balancers_of_others_are_told() {
    for (balancer, part) in [
        (
            Balancer::PeakEwma {
                default_rtt: Duration::from_millis(30),
                decay: Duration::from_secs(10),
            },
            "cluster `a`: the endpoint with fewest requests of two is taken, not the one with the lower peak EWMA",
        ),
        (Balancer::KongRing, "Kong's ring"),
        (Balancer::KongLeastConnections, "fewest connections"),
        (Balancer::KongLatency, "answers sooner"),
        (Balancer::NginxEwma, "has answered sooner"),
        (Balancer::TraefikTurns, "not in Traefik's"),
        (Balancer::TraefikTwoChoices, "weights have a say"),
        (Balancer::TraefikLeastTime, "came soonest"),
        (Balancer::TraefikRendezvous, "Maglev's table"),
    ] {
        let told =
            told_of_cluster(|cluster| cluster.balancer = Sourced::unsourced(balancer.clone()));
        assert_eq!(told.len(), 1, "{balancer:?}");
        assert!(told[0].contains(part), "{balancer:?}: {}", told[0]);
    }
}

#[test]
fn a_cluster_with_subsets_looks_at_a_few_endpoints() {
    let least = |full_scan| Balancer::LeastRequest {
        choices: 2,
        bias: 1.0,
        full_scan,
    };
    for (full_scan, has_subsets, count) in [(true, true, 1), (true, false, 0), (false, true, 0)] {
        let told = told_of_cluster(|cluster| {
            cluster.balancer = Sourced::unsourced(least(full_scan));
            cluster.subsets = has_subsets.then(Subsets::default);
        });
        assert_eq!(told.len(), count, "{full_scan} {has_subsets}: {told:#?}");
    }
}

#[test]
fn what_only_linkerd_and_kong_do_with_clusters_is_told() {
    let told = told_of_cluster(|cluster| {
        let settings = accrual::Settings::linkerd();
        cluster.accrual = Some(Sourced::unsourced(settings));
        cluster.queue = Some(Sourced::unsourced(FailfastQueue {
            capacity: 100,
            timeout: Duration::from_secs(3),
        }));
        cluster.pool.max_idle = Some(512);
        let passive = proxy_core::passive::Settings::traefik();
        cluster.passive = Some(Sourced::unsourced(passive));
    });
    assert_eq!(told.len(), 4, "{told:#?}");
}

#[test]
fn gates_are_told() {
    let gate = |kind| Gate {
        name: "g".into(),
        kind,
        status: 429,
        exempt: Vec::new(),
        origin: OriginId::NONE,
    };
    let expression = Expression::parse("NetworkErrorRatio() > 0.5").expect("one that is well");
    let kinds = [
        GateKind::Rate {
            limit: RateLimit::Leaky(vec![LeakyBucket::per_second(1, 0)]),
            key: GateKey::All,
        },
        GateKind::InFlight {
            most: 1,
            key: GateKey::Host,
        },
        GateKind::Breaker(Breaker {
            expression,
            check_period: Duration::from_millis(100),
            fallback: Duration::from_secs(10),
            recovery: Duration::from_secs(10),
        }),
    ];
    let told = told_of_route(|route, _| route.gates = kinds.map(gate).into());
    for (told, part) in told.iter().zip(["come as often", "at once", "no breaker"]) {
        assert!(told.contains(part), "{told}");
    }
    assert_eq!(told.len(), 3, "{told:#?}");
}

#[test]
fn what_only_others_do_with_retries_is_told() {
    let policy = RetryPolicy {
        on: Sourced::unsourced(RetryOn::NONE.with(Condition::PerTryTimeout)),
        statuses: Vec::new(),
        headers: Vec::new(),
        request_headers: Vec::new(),
        retries: Sourced::unsourced(1),
        per_try_timeout: None,
        per_try_idle_timeout: None,
        backoff: Sourced::unsourced(Backoff::AddedJitter(AddedJitter::linkerd_retry())),
        rate_limited_backoff: None,
        avoid_previous: None,
        previous_priorities: None,
        spare_sent_non_idempotent: true,
        last_try_unbounded: true,
        no_try_after: Some(Sourced::unsourced(Duration::from_secs(1))),
        failures_have_statuses: true,
        body_limit: Some(65_536),
        origin: OriginId::NONE,
    };
    let told = told_of_route(|_, forward| forward.retry = Some(Box::new(policy)));
    assert_eq!(told.len(), 7, "{told:#?}");
    let place = "listener `l0`, chain 0, table `t`, virtual host `v0`, route `r`, its retries: ";
    assert!(told.iter().all(|it| it.starts_with(place)), "{told:#?}");
}

#[test]
fn a_route_has_its_timeout_where_no_stream_has_a_longest() {
    let second = Duration::from_secs(1);
    for (stream, count) in [(None, 0), (Some(Sourced::unsourced(second)), 1)] {
        let told = told_of_route(|_, forward| {
            forward.timeout = Sourced::unsourced(Some(second));
            forward.grpc_timeout_max = Some(second);
            forward.max_stream_duration = stream;
        });
        assert_eq!(told.len(), count, "{told:#?}");
    }
}

#[test]
fn a_route_whose_condition_envoy_has_not_is_left_out() {
    let param = ParamMatch {
        name: "q".into(),
        value: TextMatch::Exact("v".into()),
        invert: true,
    };
    let header = HeaderMatch {
        name: "x".into(),
        value: TextMatch::Prefix("".into()),
        invert: true,
        ignore_case: false,
        absent: Absent::Unequal,
    };
    for (what, told) in [
        (
            "param",
            told_of_route(|route, _| route.matches.params.push(param)),
        ),
        (
            "header",
            told_of_route(|route, _| route.matches.headers.push(header)),
        ),
    ] {
        assert_eq!(
            told,
            [
                "listener `l0`, chain 0, table `t`, virtual host `v0`, route `r`: the route is left out: Envoy has no such condition"
            ],
            "{what}"
        );
    }
}

#[test]
fn headers_that_envoy_does_not_change_stay() {
    let edits = vec![
        HeaderOp::Set("host".into(), "x".into()),
        HeaderOp::Set(":path".into(), "/".into()),
        HeaderOp::Set("x-a".into(), "1".into()),
    ];
    let told = told_of_route(|route, _| route.request_edits = edits);
    assert_eq!(told.len(), 2, "{told:#?}");
}

fn limit(name: &str) -> Box<LocalRateLimit> {
    Box::new(LocalRateLimit {
        bucket: Settings {
            max_tokens: 5,
            tokens_per_fill: 5,
            fill_interval: Duration::from_secs(1),
            refill: Refill::Continuous,
        },
        status: 429,
        name: name.into(),
        origin: OriginId::NONE,
    })
}

#[test]
fn a_bucket_that_routes_share_stands_around_them_or_is_told() {
    let limited =
        |name: &str, bucket: &str| route(name, |route, _| route.rate_limit = Some(limit(bucket)));
    let free = |name: &str| route(name, |_, _| {});
    let rows: [(&str, Vec<Vec<Route>>, usize); 5] = [
        ("one", vec![vec![limited("a", "x"), free("b")]], 0),
        (
            "a host",
            vec![vec![limited("a", "x"), limited("b", "x")], vec![free("c")]],
            0,
        ),
        (
            "the table",
            vec![vec![limited("a", "x")], vec![limited("b", "x")]],
            0,
        ),
        (
            "some of a host",
            vec![vec![limited("a", "x"), limited("b", "x"), free("c")]],
            2,
        ),
        (
            "some of a table",
            vec![vec![limited("a", "x")], vec![limited("b", "x"), free("c")]],
            2,
        ),
    ];
    for (name, hosts, count) in rows {
        let told = told(&node(vec![cluster()], vec![table(hosts)]));
        assert_eq!(told.len(), count, "{name}: {told:#?}");
    }
}

#[test]
fn a_departure_names_the_rule_that_is_not_kept_to() {
    let config = node(
        vec![cluster()],
        vec![table(vec![vec![route("r", |_, forward| {
            forward.missing_status = 502
        })]])],
    );
    let likeness = write(&config, &Written::default());
    assert_eq!(likeness.departures[0].origin, OriginId(7));
}

#[test]
fn clusters_of_several_sections_have_names_of_their_own() {
    let one = node(
        vec![cluster()],
        vec![table(vec![vec![route("r", |_, _| {})]])],
    );
    let two = NodeConfig {
        sections: vec![one.sections[0].clone(), {
            let mut draft = SectionDraft::default();
            draft.add_cluster(cluster());
            Arc::new(draft.build().expect("a section"))
        }],
        ..one
    };
    let likeness = write(&two, &Written::default());
    let names: Vec<&str> = likeness
        .clusters
        .iter()
        .flatten()
        .map(|name| &**name)
        .collect();
    assert_eq!(names, ["a", "a (2)"]);
    again(&likeness.bootstrap);
}
