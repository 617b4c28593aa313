//! Which listener, virtual host and cluster take what leaves a pod.

use std::net::SocketAddr;

use proxy_core::config::{ChainAction, Discovery, ListenerAddress, RouteAction, UpstreamTransport};
use proxy_core::time::Duration;

use super::harness::{forward, plan, pod_ip, with};

#[test]
fn ports_declared_as_http_share_a_listener_and_the_authority_chooses() {
    let built = with("");
    let to = built.address("web", 80);
    assert_eq!(
        built.listener("api", to).address,
        ListenerAddress::OutboundPort(80)
    );
    let web = "web.default.svc.cluster.local:80";
    let orders = "orders.far.svc.cluster.local:80";
    let address = to.ip().to_string();
    let rows = [
        ("web", web),
        ("WEB", web),
        ("web:80", web),
        ("web:1234", web),
        ("web.default", web),
        ("web.default.svc", web),
        ("web.default.svc.cluster.local", web),
        ("web.default.svc.cluster.local.", web),
        (&address, web),
        ("orders.far", orders),
        ("orders.far.svc", orders),
        ("orders.far.svc.cluster.local:80", orders),
        // a short name is one of the caller's own namespace
        ("orders", "allow_any"),
        ("example.com", "allow_any"),
        // its port is another
        ("rpc", "allow_any"),
        // its port is not declared as HTTP
        ("api", "allow_any"),
    ];
    for (authority, expected) in rows {
        // the authority chooses, not the address
        for dialled in [to, SocketAddr::new(pod_ip(built.workload("orders"), 0), 80)] {
            let host = built.host("api", dialled, authority);
            assert_eq!(&*host.name, expected, "{authority} at {dialled}");
        }
    }
    let old = plan("").release("1.26").build();
    let host = old.host("api", to, "web.default.svc.cluster.local.");
    assert_eq!(&*host.name, "allow_any", "the last dot is known since 1.27");
}

#[test]
fn what_does_not_look_like_http_on_such_a_port_passes_as_it_is() {
    let built = with("");
    let listener = built.listener("api", built.address("web", 80));
    let looks: Vec<_> = listener.chains[0]
        .matches
        .protocols
        .iter()
        .map(|p| &**p)
        .collect();
    assert_eq!(looks, ["http/1.1", "h2c"]);
    assert_eq!(
        built.carried_to("api", &listener.chains[1]),
        "PassthroughCluster"
    );
}

#[test]
fn a_port_that_declares_nothing_has_its_own_listener_for_any_authority() {
    let built = with("");
    let to = built.address("api", 80);
    let listener = built.listener("web", to);
    assert_eq!(listener.address, ListenerAddress::OutboundTo(to));
    for authority in ["api", "web", "example.com:99"] {
        let host = built.host("web", to, authority);
        assert_eq!(
            &*host.name, "api.default.svc.cluster.local:80",
            "{authority}"
        );
    }
    let bytes = built.carried_to("web", &listener.chains[1]);
    assert_eq!(bytes, "outbound|80||api.default.svc.cluster.local|bytes");
    let offered = |name: &str| match &built.cluster("web", name).expect("there").transport {
        UpstreamTransport::Mesh { alpn, .. } => {
            alpn.iter().map(ToString::to_string).collect::<Vec<_>>()
        }
        other @ (UpstreamTransport::Plaintext | UpstreamTransport::Tls { .. }) => {
            panic!("{other:?}")
        }
    };
    assert_eq!(
        offered("80||api.default.svc.cluster.local|bytes"),
        ["istio-peer-exchange", "istio"]
    );
    assert_eq!(
        offered("80||api.default.svc.cluster.local")[..2],
        ["istio-http/1.1", "istio-h2"]
    );
}

#[test]
fn a_port_declared_as_tcp_is_carried() {
    let built = with("");
    let to = built.address("db", 5432);
    let listener = built.listener("web", to);
    assert_eq!(listener.address, ListenerAddress::OutboundTo(to));
    assert_eq!(listener.chains.len(), 1);
    assert_eq!(
        built.carried_to("web", &listener.chains[0]),
        "outbound|5432||db.default.svc.cluster.local"
    );
    let ChainAction::Tcp(tcp) = &listener.chains[0].action else {
        panic!("carried")
    };
    assert_eq!(
        tcp.idle_timeout.expect("an hour").value,
        Duration::from_secs(3600)
    );
}

#[test]
fn headless_ports_are_taken_by_number_and_dialled_as_they_are() {
    let built = with("");
    let to = SocketAddr::new(pod_ip(built.workload("peers"), 1), 7000);
    let listener = built.listener("web", to);
    assert_eq!(listener.address, ListenerAddress::OutboundPort(7000));
    let name = "7000||peers.default.svc.cluster.local";
    assert_eq!(
        built.carried_to("web", &listener.chains[0]),
        format!("outbound|{name}")
    );
    let cluster = built.cluster("web", name).expect("there");
    assert_eq!(cluster.discovery, Discovery::OriginalDestination);
    let UpstreamTransport::Mesh {
        only_where_meshed, ..
    } = cluster.transport
    else {
        panic!("all of them are meshed")
    };
    assert!(!only_where_meshed);
    assert_eq!(built.codes(), ["istio::headless"]);
}

#[test]
fn an_http_port_of_a_headless_service_is_chosen_by_name_of_it_or_of_a_pod() {
    let built = with(
        "apiVersion: v1
kind: Service
metadata: {name: nodes}
spec: {selector: {app: web}, clusterIP: None, ports: [{name: http, port: 8080}]}
",
    );
    let to = SocketAddr::new(pod_ip(built.workload("web"), 0), 8080);
    for authority in [
        "nodes",
        "web-0.nodes",
        "web-0.nodes.default.svc.cluster.local:8080",
    ] {
        let host = built.host("api", to, authority);
        assert_eq!(
            &*host.name, "nodes.default.svc.cluster.local:8080",
            "{authority}"
        );
    }
}

#[test]
fn pods_without_a_sidecar_are_spoken_to_in_plaintext() {
    let built = with("");
    let identities = |name: &str| {
        let cluster = built.cluster("web", name).expect("there");
        let endpoints = cluster.endpoints.endpoints.iter();
        endpoints
            .map(|it| it.identity.is_some())
            .collect::<Vec<_>>()
    };
    assert_eq!(identities("80||orders.far.svc.cluster.local"), [true, true]);
    assert_eq!(
        identities("80||legacy.plain.svc.cluster.local"),
        [false, false]
    );
}

#[test]
fn routes_of_a_virtual_service_stand_in_the_hosts_place() {
    let yaml = "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web}
spec:
  hosts: [web]
  http:
  - {match: [{uri: {prefix: /slow}}], route: [{destination: {host: web}}], timeout: 3s}
  - {route: [{destination: {host: orders.far.svc.cluster.local}}], retries: {attempts: 0}}
";
    let built = with(yaml);
    let host = built.host("api", built.address("web", 80), "web");
    assert_eq!(host.routes.len(), 2);
    assert_eq!(forward(&host).timeout.value, Some(Duration::from_secs(3)));
    let RouteAction::Forward(second) = &host.routes[1].action else {
        panic!("sent on")
    };
    assert!(second.retry.is_none());
    let section = built.outbound("api");
    let to = second.clusters[0].cluster.expect("there");
    assert_eq!(
        &*section.clusters()[to.0 as usize].name,
        "outbound|80||orders.far.svc.cluster.local"
    );
}

#[test]
fn hosts_that_only_a_virtual_service_has_are_known_on_port_80() {
    let yaml = "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop}
spec: {hosts: [shop.example.com], http: [{route: [{destination: {host: web}}]}]}
";
    let built = with(yaml);
    let host = built.host("api", built.address("web", 80), "shop.example.com");
    assert_eq!(&*host.name, "shop.example.com:80");
    let other = built.host("api", built.address("rpc", 9000), "shop.example.com");
    assert_eq!(&*other.name, "allow_any");
}

/// Source: istio 1.31 `pilot/pkg/networking/core/route/route.go` (`buildSidecarVirtualHostsForVirtualService`).
#[test]
fn hosts_of_a_virtual_service_are_known_where_others_of_its_hosts_listen() {
    // the hosts of a rule, and the virtual hosts of `shop.example.com` and `rpc` on ports 80 and 9000
    let rows = [
        (
            "[shop.example.com]",
            ["shop.example.com:80", "allow_any", "allow_any"],
        ),
        (
            "[rpc, shop.example.com]",
            [
                "shop.example.com:80",
                "shop.example.com:9000",
                "rpc.default.svc.cluster.local:80",
            ],
        ),
        (
            "['*.default.svc.cluster.local', shop.example.com]",
            ["shop.example.com:80", "shop.example.com:9000", "allow_any"],
        ),
    ];
    for (hosts, expected) in rows {
        let built = with(&format!(
            "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: shop}}
spec: {{hosts: {hosts}, http: [{{route: [{{destination: {{host: web}}}}]}}]}}
"
        ));
        let (web, rpc) = (built.address("web", 80), built.address("rpc", 9000));
        let whole = "rpc.default.svc.cluster.local";
        let found = [
            (web, "shop.example.com"),
            (rpc, "shop.example.com"),
            (web, whole),
        ]
        .map(|(to, authority)| built.host("api", to, authority).name.to_string());
        assert_eq!(found, expected, "{hosts}");
    }
}

#[test]
fn rules_for_connections_choose_where_bytes_go() {
    let yaml = "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: db}
spec: {hosts: [db], tcp: [{route: [{destination: {host: peers, port: {number: 7000}}}]}]}
";
    let built = with(yaml);
    let listener = built.listener("web", built.address("db", 5432));
    assert_eq!(listener.chains.len(), 1);
    assert_eq!(
        built.carried_to("web", &listener.chains[0]),
        "outbound|7000||peers.default.svc.cluster.local"
    );
}

#[test]
fn an_external_name_is_another_name_of_what_it_leads_to() {
    let built = with(
        "apiVersion: v1
kind: Service
metadata: {name: alias}
spec: {type: ExternalName, externalName: orders.far.svc.cluster.local}
",
    );
    let host = built.host("api", built.address("web", 80), "alias");
    assert_eq!(&*host.name, "orders.far.svc.cluster.local:80");
}

fn entry(spec: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: out}}\nspec: {{{spec}}}\n"
    )
}

#[test]
fn a_service_entry_is_a_host_like_any_other() {
    let built = with(&entry(
        "hosts: [api.example.com], ports: [{number: 80, name: http, protocol: HTTP, targetPort: 8000}], resolution: STATIC, endpoints: [{address: 192.0.2.1, locality: r/a, weight: 3}, {address: 192.0.2.2, ports: {http: 8001}}]",
    ));
    assert_eq!(built.codes(), ["istio::headless"], "{}", built.problems);
    let host = built.host("api", built.address("web", 80), "api.example.com");
    assert_eq!(&*host.name, "api.example.com:80");
    let cluster = built.cluster("api", "80||api.example.com").expect("there");
    let endpoints: Vec<_> = cluster
        .endpoints
        .endpoints
        .iter()
        .map(|it| (it.address.to_string(), it.weight, &*it.locality))
        .collect();
    assert_eq!(
        endpoints,
        [
            ("192.0.2.1:8000".to_owned(), 3, "r/a"),
            ("192.0.2.2:8001".to_owned(), 1, "")
        ]
    );
    assert_eq!(
        cluster.transport,
        UpstreamTransport::Plaintext,
        "outside of the mesh"
    );
}

#[test]
fn an_entry_takes_connections_by_its_addresses() {
    let bytes = "ports: [{number: 9100, name: tcp, protocol: TCP}]";
    let rows = [
        (
            "one address",
            "addresses: [192.0.2.9]",
            "192.0.2.9:9100",
            true,
        ),
        (
            "a block",
            "addresses: [198.51.100.0/24]",
            "198.51.100.7:9100",
            true,
        ),
        (
            "outside of the block",
            "addresses: [198.51.100.0/24]",
            "198.51.101.7:9100",
            false,
        ),
    ];
    for (name, addresses, to, taken) in rows {
        let built = with(&entry(&format!(
            "hosts: [out.example.com], {addresses}, {bytes}, resolution: NONE"
        )));
        let to: SocketAddr = to.parse().expect("an address");
        let listener = built.listener("web", to);
        let takes = listener.chains.iter().any(|chain| {
            let destinations = &chain.matches.destinations;
            (destinations.is_empty() || destinations.iter().any(|it| it.contains(to.ip())))
                && built.carried_to("web", chain) == "outbound|9100||out.example.com"
        });
        assert_eq!(takes, taken, "{name}: {listener:?}");
    }
}

#[test]
fn entries_select_pods_and_find_services_by_name() {
    let built = with(&entry(
        "hosts: [pods.example.com], location: MESH_INTERNAL, ports: [{number: 80, name: http, protocol: HTTP, targetPort: 8080}], resolution: STATIC, workloadSelector: {labels: {app: web}}",
    ));
    let cluster = built.cluster("api", "80||pods.example.com").expect("there");
    let addresses: Vec<_> = cluster
        .endpoints
        .endpoints
        .iter()
        .map(|it| it.address)
        .collect();
    let web = built.workload("web");
    assert_eq!(
        addresses,
        [0, 1].map(|nth| SocketAddr::new(pod_ip(web, nth), 8080))
    );
    let built = with(&entry(
        "hosts: [old.example.com], ports: [{number: 80, name: http, protocol: HTTP}], resolution: DNS, endpoints: [{address: legacy.plain.svc.cluster.local}]",
    ));
    let cluster = built.cluster("api", "80||old.example.com").expect("there");
    let addresses: Vec<_> = cluster
        .endpoints
        .endpoints
        .iter()
        .map(|it| it.address)
        .collect();
    assert_eq!(addresses, [built.address("legacy", 80)]);
}

#[test]
fn what_is_wrong_with_an_entry_is_told() {
    let ports = "ports: [{number: 80, name: http}]";
    let rows = [
        (
            format!("hosts: [], {ports}"),
            "a ServiceEntry needs `hosts`",
        ),
        (
            "hosts: [a.b], ports: [{number: 80, name: http, protocol: HTPP}]".to_owned(),
            "`HTPP` is no protocol",
        ),
        (
            format!("hosts: [a.b], {ports}, addresses: [10.0.0.0/99]"),
            "`10.0.0.0/99` is neither an address nor a block of addresses",
        ),
        (
            format!("hosts: [a.b], {ports}, resolution: DNS"),
            "the DNS name `a.b` is not modelled",
        ),
        (
            format!("hosts: [a.b], {ports}, resolution: DYNAMIC_DNS"),
            "`resolution: DYNAMIC_DNS` is not modelled",
        ),
        (
            format!(
                "hosts: [a.b], {ports}, workloadSelector: {{labels: {{a: b}}}}, endpoints: [{{address: 10.0.0.1}}]"
            ),
            "`endpoints` and `workloadSelector` exclude each other",
        ),
        (
            format!("hosts: [a.b], {ports}, resolutions: DNS"),
            "did you mean `resolution`?",
        ),
    ];
    for (spec, expected) in rows {
        let built = with(&entry(&spec));
        assert!(
            built.problems.contains(expected),
            "{spec}\n{}",
            built.problems
        );
    }
}

#[test]
fn the_nearest_pods_come_first_where_a_service_asks_for_it_from_1_25_on() {
    let yaml = "apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, trafficDistribution: PreferClose, ports: [{name: http, port: 80, targetPort: 8080}]}
";
    for (release, expected) in [("1.29", [0, 1]), ("1.24", [0, 0])] {
        let web = plan(yaml).release(release).build().web();
        let endpoints = web.endpoints.endpoints.iter();
        let priorities: Vec<u8> = endpoints.map(|it| it.priority).collect();
        assert_eq!(priorities, expected, "{release}");
    }
}

#[test]
fn kinds_that_are_not_modelled_are_told_and_who_may_call_loudly() {
    let rows = [
        (
            "security.istio.io/v1",
            "AuthorizationPolicy",
            "warning[istio::not-modelled]",
        ),
        (
            "security.istio.io/v1",
            "RequestAuthentication",
            "warning[istio::not-modelled]",
        ),
        (
            "telemetry.istio.io/v1",
            "Telemetry",
            "not modelled[istio::not-modelled]",
        ),
        (
            "networking.istio.io/v1alpha3",
            "EnvoyFilter",
            "not modelled[istio::not-modelled]",
        ),
        (
            "extensions.istio.io/v1alpha1",
            "WasmPlugin",
            "not modelled[istio::not-modelled]",
        ),
        (
            "networking.istio.io/v1beta1",
            "ProxyConfig",
            "not modelled[istio::not-modelled]",
        ),
        (
            "networking.istio.io/v1",
            "WorkloadEntry",
            "not modelled[istio::not-modelled]",
        ),
        (
            "networking.istio.io/v1",
            "WorkloadGroup",
            "not modelled[istio::not-modelled]",
        ),
        (
            "install.istio.io/v1alpha1",
            "IstioOperator",
            "not modelled[istio::not-modelled]",
        ),
    ];
    for (version, kind, expected) in rows {
        let yaml =
            format!("apiVersion: {version}\nkind: {kind}\nmetadata: {{name: a}}\nspec: {{}}\n");
        let built = with(&yaml);
        let line = format!("{expected}: {kind}/default/a is not modelled");
        assert!(built.problems.contains(&line), "{}", built.problems);
    }
}

#[test]
fn callers_of_one_namespace_and_identity_share_a_section() {
    let built = with("");
    assert!(std::sync::Arc::ptr_eq(
        &built.outbound("web"),
        &built.outbound("api")
    ));
    assert!(!std::sync::Arc::ptr_eq(
        &built.outbound("web"),
        &built.outbound("orders")
    ));
}

/// `web` with annotations of its pods.
fn annotated(annotations: &str) -> String {
    format!(
        "apiVersion: apps/v1
kind: Deployment
metadata: {{name: web}}
spec:
  replicas: 2
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}, annotations: {{{annotations}}}}}
    spec: {{containers: [{{name: app, image: x, ports: [{{containerPort: 8080}}]}}]}}
"
    )
}

#[test]
fn excluded_ports_are_left_alone() {
    let built = with(&annotated(
        "traffic.sidecar.istio.io/excludeOutboundPorts: \"5432, 80\"",
    ));
    for to in [built.address("db", 5432), built.address("api", 80)] {
        let listener = built.listener("web", to);
        assert_eq!(listener.address, ListenerAddress::OutboundPort(to.port()));
        assert_eq!(
            built.carried_to("web", &listener.chains[0]),
            "PassthroughCluster"
        );
    }
    // others of its namespace are not concerned
    let listener = built.listener("api", built.address("db", 5432));
    assert_eq!(
        built.carried_to("api", &listener.chains[0]),
        "outbound|5432||db.default.svc.cluster.local"
    );
}

#[test]
fn annotations_about_redirection_are_checked() {
    let rows = [
        (
            "excludeInboundPorts: \"http\"",
            "error[istio::bad-value]: `http` in",
        ),
        (
            "includeInboundPorts: \"80\"",
            "every port of the pod is taken by its proxy",
        ),
        (
            "excludeInboundPort: \"80\"",
            "did you mean `excludeInboundPorts`?",
        ),
    ];
    for (annotation, expected) in rows {
        let built = with(&annotated(&format!(
            "traffic.sidecar.istio.io/{annotation}"
        )));
        assert!(built.problems.contains(expected), "{}", built.problems);
    }
}

/// Istio 1.29 `buildHTTPConnectionManager`.
#[test]
fn websockets_pass_in_both_directions_and_nothing_else_does() {
    let built = with("");
    let inbound = built.inbound("web");
    let mut all = inbound.listeners().to_vec();
    all.push(built.listener("rpc", built.address("web", 80)));
    let chains = all.iter().flat_map(|listener| &listener.chains);
    let managers = chains.filter_map(|chain| match &chain.action {
        ChainAction::Http(http) => Some(http),
        ChainAction::Tcp(_) | ChainAction::Udp(_) | ChainAction::Close(_) => None,
    });
    let mut count = 0;
    for http in managers {
        count += 1;
        let listed = http
            .upgrades
            .listed
            .iter()
            .map(|it| (&*it.kind, it.allowed));
        assert_eq!(listed.collect::<Vec<_>>(), [("websocket", true)]);
        assert_eq!(http.upgrades.others, proxy_core::config::Unlisted::Refused);
    }
    assert!(count >= 2, "{count}");
}

#[test]
fn faults_of_routes_act_on_the_callers_side() {
    let built = with("");
    let fault = |chains: &[proxy_core::config::FilterChain]| {
        chains.iter().any(|chain| match &chain.action {
            ChainAction::Http(http) => {
                let mut filters = http.filters.iter();
                filters.any(|it| matches!(it, proxy_core::config::HttpFilter::Fault(None)))
            }
            ChainAction::Tcp(_) | ChainAction::Udp(_) | ChainAction::Close(_) => false,
        })
    };
    for to in [built.address("web", 80), built.address("api", 80)] {
        assert!(fault(&built.listener("rpc", to).chains), "{to}");
    }
    let inbound = built.inbound("web");
    let mut listeners = inbound.listeners().iter();
    assert!(!listeners.any(|listener| fault(&listener.chains)));
}

#[test]
fn of_hosts_with_one_name_the_callers_own_counts() {
    let entry = |namespace: &str, address: &str| {
        format!(
            "apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: out, namespace: {namespace}}}
spec: {{hosts: [out.example.com], ports: [{{number: 80, name: http, protocol: HTTP}}], resolution: STATIC, endpoints: [{{address: {address}}}]}}
---
"
        )
    };
    let sidecar = "apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: own, namespace: far}
spec: {egress: [{hosts: ['default/*']}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web}
spec: {hosts: [web], http: [{route: [{destination: {host: out.example.com}}]}]}
";
    let yaml = [
        entry("default", "192.0.2.1"),
        entry("far", "192.0.2.2"),
        sidecar.to_owned(),
    ];
    let built = with(&yaml.concat());
    assert!(
        !built.problems.contains("model::section"),
        "{}",
        built.problems
    );
    let found = ["api", "orders"].map(|caller| {
        let cluster = built.cluster(caller, "80||out.example.com");
        let address = cluster.expect("there").endpoints.endpoints[0].address;
        address.to_string()
    });
    // `orders` knows those of `default` alone
    assert_eq!(found, ["192.0.2.1:80", "192.0.2.1:80"]);
}
