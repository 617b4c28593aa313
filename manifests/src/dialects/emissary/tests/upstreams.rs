//! Clusters: whom a service is, and how it is spoken to.

use proxy_core::config::{Balancer, HashSource, UpstreamProtocol, UpstreamTransport};

use super::rig::*;
use crate::model::NodeRef;

/// Where the endpoints of the cluster are dialled.
fn dialled(built: &Built) -> Vec<String> {
    let mut pods = crate::model::Pods::new(built.model.workloads().len());
    for workload in built.model.workloads() {
        let ip = [10, 128, u8::try_from(workload.id.0).expect("few"), 1];
        pods.of_mut(workload.id).push(crate::model::Pod {
            ip: ip.into(),
            name: workload.name.clone(),
            place: crate::model::Place::default(),
            ready: true,
            draining: false,
            labels: None,
        });
    }
    let node = NodeRef::Gateway(crate::model::GatewayId(0));
    let place = crate::model::Place::default();
    let config = built
        .model
        .config(node, &place, &pods)
        .expect("it is served");
    let name = built.cluster().name;
    let index = config.sections[0]
        .cluster_named(&name)
        .expect("it is there");
    let endpoints = &config.sections[0].clusters()[index.0 as usize].endpoints;
    endpoints
        .endpoints
        .iter()
        .map(|it| it.address.to_string())
        .collect()
}

fn to(service: &str, spec: &str) -> Built {
    served(&[mapping(
        "m",
        &format!("{{prefix: /x/, service: '{service}', {spec}}}"),
    )])
}

#[test]
fn the_services_own_address_is_dialled_unless_a_resolver_finds_pods() {
    let address = dialled(&to("a", ""));
    assert_eq!(address.len(), 1);
    assert!(
        address[0].starts_with("10.96.") && address[0].ends_with(":80"),
        "{address:?}"
    );
    let pod = ["10.128.0.1:8080".to_owned()];
    for resolver in ["endpoint", "kubernetes-endpoint"] {
        assert_eq!(dialled(&to("a", &format!("resolver: {resolver}"))), pod);
    }
    assert_eq!(dialled(&to("a", "resolver: kubernetes-service")), address);
    // a headless Service has no address of its own
    assert_eq!(dialled(&to("pods", "")), ["10.128.0.1:80"]);
    let own = served(&[
        object("KubernetesEndpointResolver", "mine", "{}"),
        mapping("m", "{prefix: /x/, service: a, resolver: mine}"),
    ]);
    assert_eq!(dialled(&own), pod);
    let unknown = to("a", "resolver: endpiont");
    assert!(unknown.has("emissary::unknown-resolver"));
    assert!(
        unknown.text.contains("did you mean `endpoint`"),
        "{}",
        unknown.text
    );
    let consul = served(&[
        object(
            "ConsulResolver",
            "mine",
            "{address: consul:8500, datacenter: dc1}",
        ),
        mapping("m", "{prefix: /x/, service: a, resolver: mine}"),
    ]);
    assert!(
        consul.text.contains("Consul is not here"),
        "{}",
        consul.text
    );
    assert!(dialled(&consul).is_empty());
}

#[test]
fn a_service_is_named_with_scheme_namespace_and_port() {
    for (service, name, port) in [
        ("a", "cluster_a_default", ":80"),
        ("a:80", "cluster_a_80_default", ":80"),
        ("a.default", "cluster_a_default_default", ":80"),
        (
            "a.default.svc.cluster.local:80",
            "cluster_a_default_svc_cluster_local_80_default",
            ":80",
        ),
        ("http://a", "cluster_http___a_default", ":80"),
        ("https://a", "cluster_https___a_otls_default", ":443"),
        ("far.other:8080", "cluster_far_other_8080_default", ":8080"),
        ("127.0.0.1:9000", "cluster_127_0_0_1_9000_default", ":9000"),
        (
            "localhost:9000",
            "cluster_localhost_9000_default",
            "127.0.0.1:9000",
        ),
    ] {
        let built = to(service, "");
        built.is_clean();
        // Emissary is in `emissary`: a name without a dot gets the Mapping's namespace
        let name = match service {
            "a" => "cluster_a_default_default".to_owned(),
            "a:80" => "cluster_a_default_80_default".to_owned(),
            "http://a" => "cluster_http___a_default_default".to_owned(),
            "https://a" => "cluster_https___a_default_otls_default".to_owned(),
            _ => name.to_owned(),
        };
        assert_eq!(*built.cluster().name, *name, "{service}");
        let all = dialled(&built);
        assert!(
            all.len() == 1 && all[0].ends_with(port),
            "{service}: {all:?}"
        );
    }
}

#[test]
fn services_that_are_not_there_are_errors_and_names_outside_are_told() {
    for (service, code) in [
        ("c", "emissary::unknown-service"),
        ("far", "emissary::unknown-service"),
        ("c.default", "emissary::unknown-service"),
        ("c.nowhere.svc.cluster.local", "emissary::unknown-service"),
        ("a:81", "emissary::unknown-port"),
        ("a:http", "emissary::service"),
        ("a:0", "emissary::service"),
        ("ftp://a", "emissary::service"),
        ("https://", "emissary::service"),
    ] {
        let built = to(service, "");
        assert!(
            built.has(code) && built.problems.has_errors(),
            "{service}\n{}",
            built.text
        );
    }
    assert!(to("far", "").text.contains("write `far.other`"));
    let outside = to("https://api.example.com", "");
    assert!(outside.has("emissary::outside") && !outside.problems.has_errors());
    assert!(dialled(&outside).is_empty());
    let more = to("http://a/path", "");
    assert!(more.has("emissary::service") && !more.problems.has_errors());
}

#[test]
fn balancers_need_a_resolver_that_finds_pods() {
    for (spec, want) in [
        ("{policy: round_robin}", Balancer::RoundRobin),
        (
            "{policy: least_request}",
            Balancer::LeastRequest {
                choices: 2,
                bias: 1.0,
                full_scan: false,
            },
        ),
        (
            "{policy: ring_hash, header: X-User}",
            Balancer::RingHash {
                min_size: 1024,
                max_size: 8_388_608,
                bound: None,
            },
        ),
        (
            "{policy: maglev, source_ip: true}",
            Balancer::Maglev {
                size: 65_537,
                bound: None,
            },
        ),
    ] {
        let built = to("a", &format!("resolver: endpoint, load_balancer: {spec}"));
        built.is_clean();
        assert_eq!(built.cluster().balancer.value, want, "{spec}");
    }
    let hash = |spec: &str| {
        let built = to("a", &format!("resolver: endpoint, load_balancer: {spec}"));
        built
            .forward()
            .hash
            .into_iter()
            .map(|it| it.source)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        hash("{policy: ring_hash, header: X-User}"),
        [HashSource::Header("x-user".into())]
    );
    assert_eq!(
        hash("{policy: maglev, source_ip: true}"),
        [HashSource::SourceAddress]
    );
    let cookie = |ttl| HashSource::Cookie {
        name: "c".into(),
        ttl,
    };
    assert_eq!(hash("{policy: maglev, cookie: {name: c}}"), [cookie(None)]);
    let minute = Some(proxy_core::time::Duration::from_secs(60));
    assert_eq!(
        hash("{policy: maglev, cookie: {name: c, ttl: 60s}}"),
        [cookie(minute)]
    );
    for spec in [
        "{policy: random}",
        "{}",
        "{policy: maglev}",
        "{policy: round_robin, header: x}",
        "{policy: maglev, header: x, source_ip: true}",
        "{policy: maglev, cookie: {path: /}}",
    ] {
        let built = to("a", &format!("resolver: endpoint, load_balancer: {spec}"));
        assert!(built.problems.has_errors(), "{spec}\n{}", built.text);
    }
    let refused = to("a", "load_balancer: {policy: round_robin}");
    assert!(refused.has("emissary::load-balancer"), "{}", refused.text);
}

#[test]
fn circuit_breakers_are_envoys_limits_by_priority() {
    let limits = |spec: &str| {
        let limits = to("a", spec).cluster().limits;
        limits.map(|it| [it.connections, it.pending, it.requests, it.retries].map(|it| it.value))
    };
    let usual = [1024, 1024, 1024, 3];
    assert_eq!(limits(""), [usual, usual]);
    assert_eq!(
        limits("circuit_breakers: [{max_connections: 5, max_retries: 9}]"),
        [[5, 1024, 1024, 9], usual]
    );
    assert_eq!(
        limits("circuit_breakers: [{priority: high, max_requests: 7, max_pending_requests: 6}]"),
        [usual, [1024, 6, 7, 3]]
    );
    // of several for one priority Envoy takes the first
    assert_eq!(
        limits("circuit_breakers: [{max_requests: 1}, {priority: default, max_requests: 2}]"),
        [[1024, 1024, 1, 3], usual]
    );
    assert!(to("a", "circuit_breakers: [{priority: middle}]").has("emissary::priority"));
    let name = to(
        "a",
        "circuit_breakers: [{priority: high, max_connections: 1, max_retries: 2}]",
    )
    .cluster()
    .name;
    assert_eq!(&*name, "cluster_a_default_default_cbhc1t2");
}

#[test]
fn pods_are_probed_where_a_resolver_finds_them() {
    let probe = "health_checks: [{health_check: {http: {path: /healthz}}}]";
    let built = to("a", &format!("resolver: endpoint, {probe}"));
    built.is_clean();
    let check = built.cluster().health_checks.remove(0).value;
    assert_eq!(check.path.as_deref(), Some("/healthz"));
    assert_eq!(
        (check.timeout.as_millis(), check.interval.as_millis()),
        (3000, 5000)
    );
    assert_eq!((check.healthy_threshold, check.unhealthy_threshold), (1, 2));
    assert!(check.expects(200) && !check.expects(204));
    let full = to(
        "a",
        "resolver: endpoint, health_checks: [{timeout: 500ms, interval: 1m, unhealthy_threshold: 4, healthy_threshold: 3, health_check: {http: {path: /, hostname: h, expected_statuses: [{min: 200, max: 204}]}}}]",
    );
    let check = full.cluster().health_checks.remove(0).value;
    assert_eq!(
        (check.timeout.as_millis(), check.interval.as_millis()),
        (500, 60_000)
    );
    assert_eq!((check.healthy_threshold, check.unhealthy_threshold), (3, 4));
    assert!(check.expects(204) && !check.expects(205));
    assert_eq!(&*check.host, "h");
    let useless = to("a", probe);
    assert!(useless.has("emissary::health-checks"));
    assert!(useless.cluster().health_checks.is_empty());
    for spec in [
        "{health_check: {}}",
        "{health_check: {http: {}}}",
        "{timeout: soon, health_check: {http: {path: /}}}",
    ] {
        let built = to("a", &format!("resolver: endpoint, health_checks: [{spec}]"));
        assert!(built.problems.has_errors(), "{spec}\n{}", built.text);
    }
    let grpc = to(
        "a",
        "resolver: endpoint, health_checks: [{health_check: {grpc: {upstream_name: x}}}]",
    );
    assert!(grpc.has("emissary::not-modelled"));
    assert!(grpc.cluster().health_checks.is_empty());
}

#[test]
fn tls_to_a_service_looks_at_no_certificate() {
    let built = served(&[
        object(
            "TLSContext",
            "client",
            "{secret: own.certs, sni: inner.example.com}",
        ),
        mapping("m", "{prefix: /x/, service: a, tls: client}"),
    ]);
    let cluster = built.cluster();
    assert_eq!(&*cluster.name, "cluster_a_default_otls_client_default");
    let UpstreamTransport::Tls { sni, certificate } = &cluster.transport else {
        panic!("TLS")
    };
    assert_eq!(&**sni, "inner.example.com");
    let name = certificate.clone().expect("a credential");
    let node = NodeRef::Gateway(crate::model::GatewayId(0));
    let credential = built.model.credential(node, &name).expect("it is there");
    assert_eq!(credential.pairs, ["certs/own".into()]);
    assert!(credential.roots.is_none());
    assert!(to("a", "tls: nobody").has("emissary::unknown-context"));
    assert!(matches!(
        to("a", "").cluster().transport,
        UpstreamTransport::Plaintext
    ));
    assert_eq!(
        to("a", "grpc: true").cluster().protocol,
        UpstreamProtocol::Http2
    );
    assert_eq!(to("a", "").cluster().protocol, UpstreamProtocol::Http1);
}

#[test]
fn a_context_without_a_certificate_counts_for_none_unless_a_host_gives_it_one() {
    let bare = || object("TLSContext", "up", "{sni: inner.example.com}");
    let to = |service: &str| {
        mapping(
            "m",
            &format!("{{prefix: /x/, service: '{service}', tls: up}}"),
        )
    };
    let plain = served(&[bare(), to("a")]);
    assert!(plain.has("emissary::bare-context"), "{}", plain.text);
    let cluster = plain.cluster();
    assert_eq!(&*cluster.name, "cluster_a_default_default");
    assert_eq!(cluster.transport, UpstreamTransport::Plaintext);
    let named = |built: &Built| match built.cluster().transport {
        UpstreamTransport::Tls { sni, .. } => sni.to_string(),
        UpstreamTransport::Plaintext | UpstreamTransport::Mesh { .. } => panic!("TLS"),
    };
    let over_tls = served(&[bare(), to("https://a")]);
    assert_eq!(named(&over_tls), "");
    assert_eq!(
        &*over_tls.cluster().name,
        "cluster_https___a_default_otls_default"
    );
    let host = "{hostname: a.com, tlsSecret: {name: cert}, tlsContext: {name: up}}";
    let given = served(&[bare(), to("a"), object("Host", "given", host)]);
    assert!(!given.has("emissary::bare-context"), "{}", given.text);
    assert_eq!(named(&given), "inner.example.com");
}

#[test]
fn two_mappings_of_one_service_share_a_cluster_and_the_first_decides_of_what_is_not_in_its_name() {
    let two = |spec: &str| {
        served(&[
            mapping("m", "{prefix: /x/, service: a, connect_timeout_ms: 100}"),
            mapping("n", &format!("{{prefix: /y/, service: a, {spec}}}")),
        ])
    };
    let shared = two("connect_timeout_ms: 900");
    assert!(shared.has("emissary::shared-cluster"), "{}", shared.text);
    assert_eq!(shared.config().sections[0].clusters().len(), 1);
    assert_eq!(shared.cluster().connect_timeout.value.as_millis(), 100);
    assert!(two("connect_timeout_ms: 100, grpc: true").has("emissary::shared-cluster"));
    for other in [
        "connect_timeout_ms: 900, cluster_tag: mine",
        "circuit_breakers: [{max_requests: 1}], connect_timeout_ms: 9",
    ] {
        let apart = two(other);
        apart.is_clean();
        assert_eq!(apart.config().sections[0].clusters().len(), 2, "{other}");
    }
    two("connect_timeout_ms: 100").is_clean();
}
