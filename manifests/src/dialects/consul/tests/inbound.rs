//! What arrives at meshed pods.

use proxy_core::config::{
    CertificateForwarding, ChainAction, DownstreamTransport, EscapedSlashes, FilterChain,
    ListenerAddress, TransportProtocol, Underscores, UpstreamProtocol,
};
use proxy_core::time::Duration;

use super::harness::*;

/// The chains for a port of a workload's pods; of those that none names, of 9999.
fn chains(world: &World, workload: &str, port: u16) -> Vec<FilterChain> {
    let section = world.inbound(workload);
    let mut listeners = section.listeners().iter();
    let named = listeners.find(|it| it.address == ListenerAddress::InboundPort(port));
    let rest = || {
        let mut listeners = section.listeners().iter();
        listeners.find(|it| it.address == ListenerAddress::InboundRest)
    };
    named.or_else(rest).expect("a listener").chains.clone()
}

fn is_mutual(chain: &FilterChain) -> bool {
    matches!(
        chain.transport,
        DownstreamTransport::Tls { mutual: true, .. }
    ) && chain.matches.transport == Some(TransportProtocol::Tls)
}

/// Whether plaintext to a port reaches anybody.
fn takes_plaintext(world: &World, workload: &str, port: u16) -> bool {
    chains(world, workload, port)
        .iter()
        .any(|chain| chain.transport == DownstreamTransport::Plaintext)
}

fn takes_mesh(world: &World, workload: &str, port: u16) -> bool {
    chains(world, workload, port).iter().any(is_mutual)
}

#[test]
fn a_caller_without_a_proxy_is_refused_at_every_port() {
    let world = with(&[http("api")]);
    for port in [8080, 9999] {
        assert!(!takes_plaintext(&world, "api", port), "{port}");
        assert!(takes_mesh(&world, "api", port), "{port}");
    }
}

#[test]
fn a_proxy_that_is_not_transparent_leaves_the_application_open() {
    let old = format!("{MESHED}, consul.hashicorp.com/transparent-proxy: \"false\"");
    let world = with(&[app("old", &old)]);
    assert!(takes_plaintext(&world, "old", 8080) && takes_mesh(&world, "old", 8080));
    assert!(takes_plaintext(&world, "old", 9999));
}

#[test]
fn excluded_ports_are_left_alone() {
    let some = format!(
        "{MESHED}, consul.hashicorp.com/transparent-proxy-exclude-inbound-ports: \"9090, 9091\""
    );
    let world = with(&[app("some", &some)]);
    for port in [9090, 9091] {
        assert!(takes_plaintext(&world, "some", port) && !takes_mesh(&world, "some", port));
    }
    assert!(!takes_plaintext(&world, "some", 8080));
}

#[test]
fn permissive_services_take_plaintext_at_their_own_port_alone() {
    let allowed = entry("Mesh", "mesh", "{allowEnablingPermissiveMutualTLS: true}");
    let permissive = entry("ServiceDefaults", "api", "{mutualTLSMode: permissive}");
    let world = with(&[allowed.clone(), permissive.clone()]);
    assert!(takes_plaintext(&world, "api", 8080) && takes_mesh(&world, "api", 8080));
    assert!(!takes_plaintext(&world, "api", 9999));
    assert!(!takes_plaintext(&world, "db", 8080));
    let strict = entry("ServiceDefaults", "api", "{mutualTLSMode: strict}");
    let all = entry("ProxyDefaults", "global", "{mutualTLSMode: permissive}");
    let world = with(&[allowed, all, strict]);
    assert!(!takes_plaintext(&world, "api", 8080));
    assert!(takes_plaintext(&world, "db", 8080));
    let world = with(&[permissive]);
    assert!(!takes_plaintext(&world, "api", 8080));
    assert_eq!(world.complaints(), ["consul::permissive"]);
}

#[test]
fn requests_go_to_the_applications_one_port_within_fifteen_seconds() {
    let world = with(&[http("api")]);
    let section = world.inbound("api");
    let http = http_of(&chains(&world, "api", 8080)[0].action);
    let route = route_in(&section, &http, get("/")).expect("a route");
    let forward = forward_of(&route);
    assert_eq!(forward.timeout.value, Some(Duration::from_secs(15)));
    assert!(forward.retry.is_none());
    let idle = http.stream_idle_timeout.map(|it| it.value);
    assert_eq!(idle, Some(Duration::from_secs(300)));
    let app = section.cluster_named("local_app").expect("the application");
    let app = &section.clusters()[app.0 as usize];
    let dialled: Vec<String> = app
        .endpoints
        .endpoints
        .iter()
        .map(|endpoint| endpoint.address.to_string())
        .collect();
    assert_eq!(dialled, ["127.0.0.1:8080"]);
    assert_eq!(app.connect_timeout.value, Duration::from_secs(5));
    assert_eq!(app.protocol, UpstreamProtocol::Http1);
    assert!(app.outlier.is_none());
}

#[test]
fn what_is_agreed_upon_follows_the_protocol() {
    for (protocol, agreed, speaks) in [
        ("tcp", &[][..], UpstreamProtocol::Http1),
        ("http", &["http/1.1"], UpstreamProtocol::Http1),
        ("http2", &["h2", "http/1.1"], UpstreamProtocol::Downstream),
        ("grpc", &["h2", "http/1.1"], UpstreamProtocol::Downstream),
    ] {
        let spec = format!("{{protocol: {protocol}}}");
        let world = with(&[entry("ServiceDefaults", "api", &spec)]);
        let chain = &chains(&world, "api", 8080)[0];
        let DownstreamTransport::Tls {
            alpn, certificate, ..
        } = &chain.transport
        else {
            panic!("mutual TLS")
        };
        assert_eq!(
            alpn.iter().map(|it| &**it).collect::<Vec<_>>(),
            agreed,
            "{protocol}"
        );
        assert_eq!(
            &**certificate,
            "spiffe://cluster.consul/ns/default/dc/dc1/svc/api"
        );
        let is_bytes = matches!(chain.action, ChainAction::Tcp(_));
        assert_eq!(is_bytes, protocol == "tcp", "{protocol}");
        let section = world.inbound("api");
        let app = section.cluster_named("local_app").expect("the application");
        assert_eq!(
            section.clusters()[app.0 as usize].protocol,
            speaks,
            "{protocol}"
        );
    }
}

#[test]
fn connections_are_bounded() {
    let world = with(&[entry(
        "ServiceDefaults",
        "api",
        "{maxInboundConnections: 7}",
    )]);
    let section = world.inbound("api");
    for listener in section.listeners() {
        assert_eq!(
            listener.max_connections.map(|it| it.value),
            Some(7),
            "{}",
            listener.name
        );
    }
    let app = section.cluster_named("local_app").expect("the application");
    assert_eq!(
        section.clusters()[app.0 as usize].limits[0]
            .connections
            .value,
        7
    );
    let unbounded = with(&[http("api")]).inbound("api");
    assert!(
        unbounded
            .listeners()
            .iter()
            .all(|it| it.max_connections.is_none())
    );
}

#[test]
fn heads_are_as_the_mesh_has_them() {
    let heads = |mesh: &str| {
        let mesh = entry("Mesh", "mesh", mesh);
        let head = "{config: {protocol: http, max_request_headers_kb: 96}}";
        let world = with(&[mesh, entry("ProxyDefaults", "global", head)]);
        let http = http_of(&chains(&world, "api", 8080)[0].action);
        http.heads.expect("rules").as_ref().clone()
    };
    let plain = heads("{}");
    assert!(plain.path.normalizes && !plain.path.merges_slashes);
    assert_eq!(plain.path.escaped_slashes, EscapedSlashes::Keep);
    assert_eq!(plain.underscores, Underscores::Allow);
    assert_eq!(plain.limits.bytes, 96 << 10);
    assert_eq!(
        plain.certificate.forwarding,
        CertificateForwarding::AppendForward
    );
    let strict = heads(
        "{http: {sanitizeXForwardedClientCert: true, incoming: {requestNormalization: {insecureDisablePathNormalization: true, mergeSlashes: true, pathWithEscapedSlashesAction: REJECT_REQUEST, headersWithUnderscoresAction: DROP_HEADER}}}}",
    );
    assert!(!strict.path.normalizes && strict.path.merges_slashes);
    assert_eq!(strict.path.escaped_slashes, EscapedSlashes::Reject);
    assert_eq!(strict.underscores, Underscores::Drop);
    assert_eq!(
        strict.certificate.forwarding,
        CertificateForwarding::Sanitize
    );
}

#[test]
fn pods_that_declare_no_port_answer_nobody() {
    let silent = app("silent", MESHED).replace(", ports: [{name: http, containerPort: 8080}]", "");
    let world = with(&[http("silent"), silent]);
    assert_eq!(world.complaints(), ["consul::no-port"]);
    assert!(takes_mesh(&world, "silent", 20_000));
    let section = world.inbound("silent");
    let app = section.cluster_named("local_app").expect("the application");
    let endpoint = &section.clusters()[app.0 as usize].endpoints.endpoints[0];
    assert_eq!(endpoint.address.port(), 0);
}

#[test]
fn the_port_may_be_named_or_numbered() {
    for (annotation, port) in [("http", 8080), ("9000", 9000), ("8080,9000", 8080)] {
        let named =
            format!("{MESHED}, consul.hashicorp.com/connect-service-port: \"{annotation}\"");
        let world = with(&[http("api"), app("named", &named)]);
        let section = world.inbound("named");
        let named = section
            .listeners()
            .iter()
            .any(|it| it.address == ListenerAddress::InboundPort(port));
        assert!(named, "{annotation}");
    }
}
