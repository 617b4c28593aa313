//! What holds for calls without any entry but the protocol, and the quirks that people meet.

use proxy_core::config::{
    Balancer, ChainAction, CloseReason, Discovery, Unlisted, UpstreamProtocol, UpstreamTransport,
};
use proxy_core::outlier;
use proxy_core::time::Duration;

use super::harness::*;

#[test]
fn without_a_protocol_there_is_no_http_at_all() {
    let world = with(&[]);
    let carried = bytes_of(&world.service_connection("web", "api"));
    assert_eq!(carried.clusters.len(), 1);
    assert!(world.lines().contains(
        "what is sent to `api` is carried as bytes: neither ServiceDefaults nor ProxyDefaults say that it speaks HTTP"
    ), "{}", world.lines());
    let section = world.outbound("web");
    let cluster = &section.clusters()[carried.clusters[0].0.0 as usize];
    assert!(cluster.outlier.is_some() && cluster.panic_threshold.value.as_ppm() == 0);
}

#[test]
fn without_any_policy_requests_have_envoys_defaults() {
    let world = with(&[http("api")]);
    let (route, clusters) = world.call("web", "api", get("/any"));
    let forward = forward_of(&route);
    let default = "default of consul@1.21";
    assert_eq!(forward.timeout.value, Some(Duration::from_secs(15)));
    assert_eq!(world.origin(forward.timeout.origin), default);
    assert!(forward.retry.is_none() && forward.idle_timeout.is_none());
    assert_eq!(forward.missing_status, 503);
    let cluster = &clusters[0];
    assert_eq!(cluster.balancer.value, Balancer::RoundRobin);
    assert_eq!(cluster.connect_timeout.value, Duration::from_secs(5));
    assert_eq!(world.origin(cluster.connect_timeout.origin), default);
    assert_eq!(cluster.protocol, UpstreamProtocol::Http1);
    let pool = (
        cluster.pool.idle_timeout.expect("an hour").value,
        cluster.accrual,
    );
    assert_eq!(pool, (Duration::from_secs(3600), None));
    assert_eq!(world.complaints(), Vec::<&str>::new());
}

#[test]
fn a_proxy_is_not_told_of_its_own_service() {
    let world = with(&[http("api"), http("web")]);
    let carried = bytes_of(&world.service_connection("api", "api"));
    let section = world.outbound("api");
    let cluster = &section.clusters()[carried.clusters[0].0.0 as usize];
    assert_eq!(cluster.discovery, Discovery::OriginalDestination);
    http_of(&world.service_connection("api", "web"));
}

#[test]
fn ejection_is_on_without_configuration() {
    let world = with(&[http("api")]);
    let found = world.cluster().outlier.expect("always there");
    assert_eq!(found.value, outlier::Settings::envoy_v3());
    assert_eq!(world.origin(found.origin), "default of consul@1.21");
}

#[test]
fn when_all_are_ejected_nobody_is_called() {
    let cluster = with(&[http("api")]).cluster();
    assert_eq!(cluster.panic_threshold.value.as_ppm(), 0, "503, flag UH");
    assert!(!cluster.fail_traffic_on_panic);
}

#[test]
fn three_retries_at_a_time_are_the_most_whatever_is_written() {
    let limits = "{protocol: http, upstreamConfig: {defaults: {limits: {maxConnections: 1, maxPendingRequests: 2, maxConcurrentRequests: 4}}}}";
    let world = with(&[http("api"), entry("ServiceDefaults", "web", limits)]);
    let limits = world.cluster().limits[0];
    let all = [
        limits.connections,
        limits.pending,
        limits.requests,
        limits.retries,
    ];
    assert_eq!(all.map(|it| it.value), [1, 2, 4, 3]);
    assert_eq!(
        world.origin(limits.retries.origin),
        "default of consul@1.21"
    );
}

#[test]
fn whatever_port_of_a_service_is_dialled_its_one_port_answers() {
    let world = with(&[http("api")]);
    for port in [80, 81, 9999] {
        let action = world.connection("web", world.address("api", port));
        let http = http_of(&action);
        assert_eq!(http.upgrades.others, Unlisted::Refused);
    }
    let ports: Vec<u16> = world
        .cluster()
        .endpoints
        .endpoints
        .iter()
        .map(|endpoint| endpoint.address.port())
        .collect();
    assert_eq!(ports, [8080; 4]);
}

#[test]
fn proxies_speak_mutual_tls_to_each_other_and_nothing_else() {
    let world = with(&[
        http("api"),
        entry("ServiceDefaults", "db", "{protocol: grpc}"),
    ]);
    let api = world.cluster();
    let expected = UpstreamTransport::Mesh {
        sni: "api.default.dc1.internal.cluster.consul".into(),
        identity: "spiffe://cluster.consul/ns/default/dc/dc1/svc/web".into(),
        alpn: vec!["http/1.1".into()],
        only_where_meshed: false,
    };
    assert_eq!(api.transport, expected);
    let identities: Vec<_> = api
        .endpoints
        .endpoints
        .iter()
        .map(|endpoint| endpoint.identity.as_deref())
        .collect();
    let identity = Some("spiffe://cluster.consul/ns/default/dc/dc1/svc/api");
    assert_eq!(identities, [identity; 4]);
    let (_, db) = world.call("web", "db", get("/"));
    assert_eq!(db[0].protocol, UpstreamProtocol::Http2);
}

#[test]
fn what_is_in_no_catalog_is_dialled_as_it_is_in_plaintext() {
    let world = with(&[http("api")]);
    for to in [
        world.address("plain", 80),
        "192.0.2.1:443".parse().expect("an address"),
    ] {
        let carried = bytes_of(&world.connection("web", to));
        let section = world.outbound("web");
        let cluster = &section.clusters()[carried.clusters[0].0.0 as usize];
        assert_eq!(cluster.discovery, Discovery::OriginalDestination);
        assert_eq!(cluster.transport, UpstreamTransport::Plaintext);
        assert!(cluster.outlier.is_none());
    }
    // an instance's own address is none of the service's
    let pod = std::net::SocketAddr::new(pod_ip(world.id("api"), 0), 8080);
    bytes_of(&world.connection("web", pod));
}

#[test]
fn with_mesh_destinations_only_it_is_not_reached() {
    let only = "{transparentProxy: {meshDestinationsOnly: true}}";
    let world = with(&[http("api"), entry("Mesh", "mesh", only)]);
    let to = "192.0.2.1:443".parse().expect("an address");
    let ChainAction::Close(reason) = world.connection("web", to) else {
        panic!("closed")
    };
    assert_eq!(reason, CloseReason::BlackHole);
    http_of(&world.service_connection("web", "api"));
}

#[test]
fn ports_and_addresses_are_called_without_the_proxy() {
    let excluded = format!(
        "{MESHED}, consul.hashicorp.com/transparent-proxy-exclude-outbound-ports: \"81, 443\", consul.hashicorp.com/transparent-proxy-exclude-outbound-cidrs: 192.0.2.0/24"
    );
    let only = "{transparentProxy: {meshDestinationsOnly: true}}";
    let world = with(&[
        http("api"),
        app("quiet", &excluded),
        entry("Mesh", "mesh", only),
    ]);
    bytes_of(&world.connection("quiet", world.address("api", 81)));
    http_of(&world.connection("quiet", world.address("api", 80)));
    bytes_of(&world.connection("quiet", "192.0.2.7:80".parse().expect("an address")));
    let other = world.connection("quiet", "198.51.100.7:80".parse().expect("an address"));
    assert!(matches!(other, ChainAction::Close(_)));
}

#[test]
fn a_service_in_an_excluded_block_is_called_without_the_proxy() {
    let excluded = format!(
        "{MESHED}, consul.hashicorp.com/transparent-proxy-exclude-outbound-cidrs: 0.0.0.0/0"
    );
    let world = with(&[http("api"), app("quiet", &excluded)]);
    bytes_of(&world.service_connection("quiet", "api"));
}

#[test]
fn a_proxy_that_is_not_transparent_takes_what_is_named_and_passes_all_else() {
    let named = format!(
        "{MESHED}, consul.hashicorp.com/transparent-proxy: \"false\", consul.hashicorp.com/connect-service-upstreams: \"api:1234\""
    );
    let world = with(&[http("api"), http("db"), app("old", &named)]);
    http_of(&world.service_connection("old", "api"));
    bytes_of(&world.service_connection("old", "db"));
    assert_eq!(world.complaints(), Vec::<&str>::new());
    assert!(
        world
            .lines()
            .contains("default/old calls `api` at 127.0.0.1:1234")
    );
}

#[test]
fn an_upstream_that_is_named_twice_is_one() {
    let named = format!(
        "{MESHED}, consul.hashicorp.com/connect-service-upstreams: \"api:1234, api.svc:1235\""
    );
    let world = with(&[http("api"), app("old", &named)]);
    http_of(&world.service_connection("old", "api"));
    assert_eq!(world.complaints(), Vec::<&str>::new());
}

#[test]
fn an_upstream_with_a_port_of_its_own_speaks_as_proxy_defaults_say() {
    let named = format!("{MESHED}, consul.hashicorp.com/connect-service-upstreams: \"api:1234\"");
    let all = entry("ProxyDefaults", "global", "{config: {protocol: http}}");
    let silent = entry("ServiceDefaults", "api", "{maxInboundConnections: 10}");
    let world = with(&[all, silent, app("old", &named)]);
    // its own entry is silent: whoever does not name it carries bytes
    bytes_of(&world.service_connection("web", "api"));
    http_of(&world.service_connection("old", "api"));
    assert!(world.complaints().contains(&"consul::shadowed-protocol"));
}

#[test]
fn services_of_one_name_are_one_service() {
    let other = app("api", MESHED).replace(
        "metadata: {name: api}",
        "metadata: {name: api, namespace: other}",
    );
    let world = with(&[http("api"), other]);
    assert_eq!(World::behind(&world.cluster()).len(), 6);
    assert_eq!(world.complaints(), ["consul::one-namespace"]);
    let mut services = world.model.services().iter();
    let second = services
        .find(|it| &*it.name == "api" && &*it.namespace == "other")
        .expect("a Service");
    let address = std::net::SocketAddr::new(second.cluster_ip().expect("an address"), 80);
    http_of(&world.connection("web", address));
}

#[test]
fn callers_share_sections_by_what_they_may_do() {
    let world = with(&[http("api")]);
    let sections = ["api", "api-v2"].map(|name| world.outbound(name));
    assert!(std::sync::Arc::ptr_eq(&sections[0], &sections[1]));
    assert!(!std::sync::Arc::ptr_eq(
        &sections[0],
        &world.outbound("web")
    ));
}
