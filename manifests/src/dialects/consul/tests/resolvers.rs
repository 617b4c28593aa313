//! Resolvers: which instances, and how one of them is chosen.

use proxy_core::config::{Balancer, HashSource};
use proxy_core::time::Duration;

use super::harness::*;

fn resolver(spec: &str) -> World {
    with(&[
        http("api"),
        http("db"),
        entry("ServiceResolver", "api", spec),
    ])
}

#[test]
fn a_subset_is_chosen_where_none_is_asked_for() {
    let world = resolver(&format!("{{{VERSIONS}, defaultSubset: v2}}"));
    assert_eq!(
        World::behind(&world.cluster()),
        pods(&["api-v2-0", "api-v2-1"])
    );
    let world = resolver(&format!("{{{VERSIONS}}}"));
    assert_eq!(World::behind(&world.cluster()).len(), 4);
}

#[test]
fn a_redirect_is_another_service_in_the_place_of_one() {
    let world = resolver("{redirect: {service: db}, connectTimeout: 1s}");
    let cluster = world.cluster();
    assert_eq!(World::behind(&cluster), pods(&["db-0", "db-1"]));
    assert_eq!(
        cluster.connect_timeout.value,
        Duration::from_secs(5),
        "all else of it is of no account"
    );
}

#[test]
fn failover_comes_after_all_instances_in_its_order() {
    let world = resolver(&format!(
        "{{{VERSIONS}, defaultSubset: v1, failover: {{v1: {{serviceSubset: v2}}, '*': {{service: db}}}}}}"
    ));
    let expected = [(0, "api-0"), (0, "api-1"), (1, "api-v2-0"), (1, "api-v2-1")];
    let expected: Vec<(u8, String)> = expected
        .into_iter()
        .map(|(rank, name)| (rank, name.to_owned()))
        .collect();
    assert_eq!(World::behind(&world.cluster()), expected);

    let world = with(&[
        http("api"),
        http("db"),
        http("web"),
        entry(
            "ServiceResolver",
            "api",
            "{failover: {'*': {targets: [{service: db}, {service: web}]}}}",
        ),
    ]);
    let ranks: Vec<u8> = World::behind(&world.cluster())
        .iter()
        .map(|it| it.0)
        .collect();
    assert_eq!(ranks, [0, 0, 0, 0, 1, 1, 2, 2]);
}

#[test]
fn who_is_in_two_ranks_is_in_the_first() {
    let world = resolver(
        "{subsets: {v1: {filter: 'Service.Meta.version == v1'}, all: {}}, defaultSubset: v1, failover: {v1: {serviceSubset: all}}}",
    );
    let ranks: Vec<u8> = World::behind(&world.cluster())
        .iter()
        .map(|it| it.0)
        .collect();
    assert_eq!(ranks, [0, 0, 1, 1]);
}

#[test]
fn other_datacenters_and_clusters_have_nobody() {
    for field in [
        "datacenters: [dc2]",
        "targets: [{peer: east}]",
        "targets: [{datacenter: dc2}]",
    ] {
        let world = resolver(&format!("{{failover: {{'*': {{{field}}}}}}}"));
        assert_eq!(World::behind(&world.cluster()).len(), 4, "{field}");
        assert!(world.lines().contains("is not modelled"), "{field}");
    }
    let world = resolver("{redirect: {service: api, datacenter: dc2}}");
    assert_eq!(World::behind(&world.cluster()), Vec::new());
}

#[test]
fn timeouts_of_a_resolver_count_where_nothing_stands_before_it() {
    let spec = "{requestTimeout: 7s, connectTimeout: 1s}";
    let world = resolver(spec);
    let seven = Some(Duration::from_secs(7));
    assert_eq!(world.forward("web", "api", "/").timeout.value, seven);
    assert_eq!(
        world.cluster().connect_timeout.value,
        Duration::from_secs(1)
    );
    let world = with(&[
        http("api"),
        entry("ServiceResolver", "api", spec),
        entry("ServiceRouter", "api", "{routes: []}"),
    ]);
    let fifteen = Some(Duration::from_secs(15));
    assert_eq!(world.forward("web", "api", "/").timeout.value, fifteen);
    assert_eq!(
        world.cluster().connect_timeout.value,
        Duration::from_secs(1)
    );
}

#[test]
fn ways_to_choose_an_instance() {
    let least = |choices| Balancer::LeastRequest {
        choices,
        bias: 1.0,
        full_scan: false,
    };
    let ring = |min_size, max_size| Balancer::RingHash {
        min_size,
        max_size,
        bound: None,
    };
    let maglev = Balancer::Maglev {
        size: 65_537,
        bound: None,
    };
    for (field, expected) in [
        ("", Balancer::RoundRobin),
        ("policy: random", Balancer::Random),
        ("policy: round_robin", Balancer::RoundRobin),
        ("policy: least_request", least(2)),
        (
            "policy: least_request, leastRequestConfig: {choiceCount: 5}",
            least(5),
        ),
        ("policy: ring_hash", ring(1024, 8_388_608)),
        (
            "policy: ring_hash, ringHashConfig: {minimumRingSize: 10, maximumRingSize: 20}",
            ring(10, 20),
        ),
        ("policy: maglev", maglev),
    ] {
        let world = resolver(&format!("{{loadBalancer: {{{field}}}}}"));
        assert_eq!(world.complaints(), Vec::<&str>::new(), "{field}");
        assert_eq!(world.cluster().balancer.value, expected, "{field}");
    }
}

#[test]
fn what_a_hash_is_made_of() {
    let world = resolver(
        "{loadBalancer: {policy: maglev, hashPolicies: [{field: header, fieldValue: X-User, terminal: true}, {field: query_parameter, fieldValue: u}, {sourceIP: true}, {field: cookie, fieldValue: c}, {field: cookie, fieldValue: s, cookieConfig: {session: true}}, {field: cookie, fieldValue: t, cookieConfig: {ttl: 1m}}]}}",
    );
    let forward = world.forward("web", "api", "/");
    let cookie = |name: &str, ttl| HashSource::Cookie {
        name: name.into(),
        ttl,
    };
    let found: Vec<(HashSource, bool)> = forward
        .hash
        .iter()
        .map(|policy| (policy.source.clone(), policy.terminal))
        .collect();
    let expected = [
        (HashSource::Header("x-user".into()), true),
        (HashSource::Param("u".into()), false),
        (HashSource::SourceAddress, false),
        (cookie("c", None), false),
        (cookie("s", Some(Duration::ZERO)), false),
        (cookie("t", Some(Duration::from_secs(60))), false),
    ];
    assert_eq!(found, expected);
    assert_eq!(world.complaints(), Vec::<&str>::new());
}

#[test]
fn a_split_goes_by_the_hash_of_its_first_share_that_has_one() {
    let hashed = |name: &str| {
        format!(
            "{{loadBalancer: {{policy: maglev, hashPolicies: [{{field: header, fieldValue: {name}}}]}}}}"
        )
    };
    let world = with(&[
        http("api"),
        http("db"),
        http("web"),
        entry("ServiceResolver", "db", &hashed("x-db")),
        entry("ServiceResolver", "web", &hashed("x-web")),
        entry(
            "ServiceSplitter",
            "api",
            "{splits: [{weight: 20}, {weight: 40, service: db}, {weight: 40, service: web}]}",
        ),
    ]);
    let forward = world.forward("web", "api", "/");
    let found: Vec<&HashSource> = forward.hash.iter().map(|policy| &policy.source).collect();
    assert_eq!(found, [&HashSource::Header("x-db".into())]);
}

#[test]
fn a_filter_by_what_is_not_known_takes_everybody_and_is_told() {
    let world = resolver("{subsets: {near: {filter: 'Node.Meta.zone == a'}}, defaultSubset: near}");
    assert_eq!(World::behind(&world.cluster()).len(), 4);
    assert!(
        world
            .lines()
            .contains("a filter by `Node.Meta.zone` is not modelled")
    );
    let world =
        resolver("{subsets: {none: {filter: 'Service.Meta.version == v9'}}, defaultSubset: none}");
    assert_eq!(World::behind(&world.cluster()), Vec::new());
}
