use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use proxy_core::config::{
    ChainAction, DownstreamTransport, Listener, Route, RouteAction, Section, ServerName,
    UpstreamTransport,
};
use proxy_core::draw::DrawKey;
use proxy_core::heads::{HeadId, Heads};
use proxy_core::node::Arrival;
use proxy_core::origin::OriginId;
use proxy_core::route::{RequestView, find_route};

use super::*;
use crate::diagnostics::Diagnostics;
use crate::load::{Layer, Objects, load};
use crate::model::{
    Directory, GatewayOverride, Labels, Listen, Service, ServiceId, ServiceKind, ServicePort,
    SidecarRules, TargetPort, Workload, WorkloadId, WorkloadKind,
};
use crate::origins::Origins;
use crate::text::{Sources, Span};

/// A cluster with Services `reviews` and `ratings` (9080) of `default`, and the charts' gateway (80 to 8080, 443 to 8443, 9000).
struct World {
    sources: Sources,
    objects: Objects,
    services: Vec<Service>,
    workloads: Vec<Workload>,
    overrides: Vec<GatewayOverride>,
    origins: Origins,
    diagnostics: Diagnostics,
}

fn service(id: u32, namespace: &str, name: &str, ports: &[(u16, u16)]) -> Service {
    let port = |(number, target): &(u16, u16)| ServicePort {
        number: *number,
        name: None,
        app_protocol: None,
        target: TargetPort::Number(*target),
        udp: false,
        span: Span::NOWHERE,
    };
    Service {
        id: ServiceId(id),
        namespace: namespace.into(),
        name: name.into(),
        kind: ServiceKind::ClusterIp(IpAddr::V4(Ipv4Addr::new(10, 96, 0, id as u8 + 1))),
        ports: ports.iter().map(port).collect(),
        selector: Labels::new(),
        labels: Labels::new(),
        annotations: Labels::new(),
        listed: Vec::new(),
        workloads: vec![WorkloadId(id)],
        span: Span::NOWHERE,
        origin: OriginId::NONE,
    }
}

fn workload(id: u32, namespace: &str, name: &str, label: (&str, &str)) -> Workload {
    Workload {
        id: WorkloadId(id),
        namespace: namespace.into(),
        name: name.into(),
        kind: WorkloadKind::Deployment,
        replicas: 1,
        labels: Labels::from([(label.0.into(), label.1.into())]),
        annotations: Labels::new(),
        service_account: name.into(),
        ports: Vec::new(),
        host_network: false,
        sidecar: None,
        span: Span::NOWHERE,
        origin: OriginId::NONE,
    }
}

fn gateway(name: &str, servers: &str) -> String {
    let servers: String = servers.lines().map(|line| format!("  {line}\n")).collect();
    format!(
        "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {{name: {name}}}\nspec:\n  selector: {{istio: ingressgateway}}\n  servers:\n{servers}---\n"
    )
}

fn routes(name: &str, spec: &str) -> String {
    let spec: String = spec.lines().map(|line| format!("  {line}\n")).collect();
    format!(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: {name}}}\nspec:\n{spec}---\n"
    )
}

const PLAIN: &str = "- {port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}";

impl World {
    fn of(parts: &[String]) -> Self {
        let mut sources = Sources::default();
        let mut diagnostics = Diagnostics::default();
        let layers = [Layer::text("edge.yaml", parts.concat())];
        let objects = load(&layers, &mut sources, &mut diagnostics);
        Self {
            sources,
            objects,
            services: vec![
                service(0, "default", "reviews", &[(9080, 9080)]),
                service(1, "default", "ratings", &[(9080, 9080)]),
                service(
                    2,
                    "istio-system",
                    "istio-ingressgateway",
                    &[(80, 8080), (443, 8443), (9000, 9000)],
                ),
            ],
            workloads: vec![
                workload(0, "default", "reviews", ("app", "reviews")),
                workload(1, "default", "ratings", ("app", "ratings")),
                workload(2, "istio-system", "edge", ("istio", "ingressgateway")),
            ],
            overrides: Vec::new(),
            origins: Origins::default(),
            diagnostics,
        }
    }

    fn run<T>(&mut self, then: impl FnOnce(&dyn Gateway, &mut Compile<'_>) -> T) -> T {
        let directory = Directory::new(&self.services);
        let mut cx = Compile {
            objects: &self.objects,
            services: &self.services,
            workloads: &self.workloads,
            gateways: &[],
            directory: &directory,
            overrides: &self.overrides,
            sidecars: &SidecarRules::default(),
            origins: &mut self.origins,
            diagnostics: &mut self.diagnostics,
        };
        let gateways = read("1.29", &mut cx);
        then(&*gateways, &mut cx)
    }

    fn facts(&mut self) -> Vec<GatewayFacts> {
        self.run(|gateways, cx| gateways.gateways(cx))
    }

    fn section(&mut self) -> Section {
        let found = self.facts();
        self.run(|gateways, cx| {
            let mut cx = Compile {
                gateways: &found,
                objects: cx.objects,
                services: cx.services,
                workloads: cx.workloads,
                directory: cx.directory,
                overrides: cx.overrides,
                sidecars: cx.sidecars,
                origins: cx.origins,
                diagnostics: cx.diagnostics,
            };
            gateways.section(&mut cx, GatewayId(0))
        })
        .draft
        .build()
        .expect("a section that can be used")
    }

    fn problems(&mut self) -> String {
        self.run(|_, _| ());
        self.diagnostics.to_lines(&self.sources)
    }

    /// Where a request of a client to a port of the pods goes; nothing: no route takes it.
    fn decide(&mut self, port: u16, authority: &str, path: &str) -> String {
        let section = self.section();
        let listener = listener(&section, port).expect("a listener");
        decided(&section, listener, 0, authority, path)
    }
}

fn listener(section: &Section, port: u16) -> Option<&Listener> {
    let at = SocketAddr::from(([10, 0, 0, 9], port));
    let at = section.listener(Arrival::Dialled, at)?;
    Some(&section.listeners()[at as usize])
}

struct Request<'a>(&'a str, &'a str);

impl Heads for Request<'_> {
    fn method(&self, _: HeadId) -> &str {
        "GET"
    }

    fn authority(&self, _: HeadId) -> &str {
        self.0
    }

    fn path(&self, _: HeadId) -> &str {
        self.1
    }

    fn header(&self, _: HeadId, _: &str) -> Option<&str> {
        None
    }

    fn status(&self, _: HeadId) -> u16 {
        0
    }

    fn response_header(&self, _: HeadId, _: &str) -> Option<&str> {
        None
    }
}

fn decided(
    section: &Section,
    listener: &Listener,
    chain: usize,
    authority: &str,
    path: &str,
) -> String {
    let ChainAction::Http(http) = &listener.chains[chain].action else {
        panic!("HTTP")
    };
    assert!(
        http.upgrades
            .of_kind("websocket")
            .is_some_and(|it| it.allowed)
    );
    let Some(host) = section.virtual_host(http.table, authority) else {
        return String::new();
    };
    let host = &section.tables()[http.table.0 as usize].virtual_hosts[host as usize];
    let request = Request(authority, path);
    let view = RequestView {
        heads: &request,
        head: HeadId(0),
        edge: true,
    };
    let route = find_route(host, view, DrawKey::root(1));
    route.map_or_else(String::new, |at| {
        leads_to(section, &host.routes[at as usize])
    })
}

/// `outbound|9080||reviews.default.svc.cluster.local` as `reviews.default:9080`.
fn short(cluster: &str) -> String {
    let parts: Vec<&str> = cluster.split('|').collect();
    let host = parts[3].trim_end_matches(".svc.cluster.local");
    format!("{host}:{}", parts[1])
}

fn leads_to(section: &Section, route: &Route) -> String {
    match &route.action {
        RouteAction::Forward(forward) => {
            let names = forward.clusters.iter().map(|weighted| {
                let cluster = weighted.cluster.map(|at| at.0 as usize);
                cluster.map_or_else(|| "-".into(), |at| short(&section.clusters()[at].name))
            });
            names.collect::<Vec<_>>().join(", ")
        }
        RouteAction::Redirect(redirect) => {
            format!("{} {:?}", redirect.status, redirect.scheme.as_deref())
        }
        RouteAction::Direct(response) => response.status.to_string(),
    }
}

fn to(host: &str, service: &str) -> String {
    format!(
        "hosts: [{host}]\ngateways: [edge]\nhttp: [{{route: [{{destination: {{host: {service}}}}}]}}]"
    )
}

#[test]
fn a_gateway_is_the_pods_that_its_selector_takes_and_part_of_the_mesh() {
    let mut world = World::of(&[
        gateway("edge", PLAIN),
        routes("shop", &to("shop.example.com", "reviews")),
    ]);
    let found = world.facts();
    assert_eq!(found.len(), 1);
    let facts = &found[0];
    assert_eq!(&*facts.name, "istio-system/edge");
    assert_eq!(facts.workload, Some(WorkloadId(2)));
    assert_eq!(
        facts.identity.as_deref(),
        Some("spiffe://cluster.local/ns/istio-system/sa/edge")
    );
    let plain = Listen {
        port: 80,
        bound: 8080,
        tls: false,
    };
    assert_eq!(facts.listens, [plain]);
    assert_eq!(facts.hosts, ["shop.example.com".into()]);
    assert_eq!(world.problems(), "");
}

#[test]
fn it_speaks_mutual_tls_with_its_own_identity_and_retries_as_the_release_does() {
    let mut world = World::of(&[
        gateway("edge", PLAIN),
        routes("shop", &to("shop.example.com", "reviews")),
    ]);
    let section = world.section();
    let UpstreamTransport::Mesh {
        identity,
        only_where_meshed,
        ..
    } = &section.clusters()[0].transport
    else {
        panic!("of the mesh")
    };
    assert_eq!(
        (&**identity, *only_where_meshed),
        ("spiffe://cluster.local/ns/istio-system/sa/edge", true)
    );
    let RouteAction::Forward(forward) = &section.tables()[0].virtual_hosts[0].routes[0].action
    else {
        panic!("sent on")
    };
    let retries = forward.retry.as_ref().expect("retries").retries;
    assert_eq!(retries.value, 2);
    assert_eq!(
        world.origins.text(retries.origin, &world.sources),
        "default of istio@1.29"
    );
}

#[test]
fn without_any_gateway_nothing_is_read() {
    let mut world = World::of(&[routes("shop", "hosts: [gone]\nhttp: [{}]")]);
    assert!(world.facts().is_empty());
    assert_eq!(world.problems(), "");
}

#[test]
fn pods_that_are_not_in_the_manifests_are_assumed_as_the_charts_make_them() {
    let mut world = World::of(&[gateway("edge", PLAIN)]);
    world.workloads.pop();
    let facts = world.facts().remove(0);
    assert_eq!(&*facts.name, "istio-system/istio-ingressgateway");
    assert_eq!(&*facts.namespace, "istio-system");
    assert_eq!(
        facts.labels.get("istio").map(|it| &**it),
        Some("ingressgateway")
    );
    assert_eq!((facts.listens[0].port, facts.listens[0].bound), (80, 80));
    let lines = world.diagnostics.to_lines(&world.sources);
    assert!(lines.contains("istio::assumed-pods"), "{lines}");
}

#[test]
fn the_scenario_says_where_pods_are_and_how_many() {
    for target in ["default/edge", "istio-system/istio-ingressgateway"] {
        let mut world = World::of(&[gateway("edge", PLAIN)]);
        world.workloads.pop();
        world.overrides = vec![GatewayOverride {
            target: target.into(),
            kind: Some("istio".into()),
            namespace: Some("edge".into()),
            labels: Labels::new(),
            replicas: Some(3),
        }];
        let facts = world.facts().remove(0);
        assert_eq!((&*facts.name, &*facts.namespace), (target, "edge"));
        assert_eq!(facts.replicas, Some(3));
        assert_eq!(world.problems(), "");
    }
}

#[test]
fn a_host_without_routes_is_answered_404() {
    let mut world = World::of(&[gateway("edge", PLAIN)]);
    // no route takes it
    assert_eq!(world.decide(8080, "shop.example.com", "/"), "");
    let mut world = World::of(&[
        gateway("edge", PLAIN),
        routes("shop", &to("shop.example.com", "reviews")),
    ]);
    let rows = [
        ("shop.example.com", "default/reviews"),
        ("SHOP.example.com:80", "default/reviews"),
        ("other.example.com", ""),
    ];
    for (authority, cluster) in rows {
        let cluster = cluster.replace("default/reviews", "reviews.default:9080");
        assert_eq!(world.decide(8080, authority, "/"), cluster, "{authority}");
    }
}

#[test]
fn a_server_serves_the_hosts_that_it_shares_with_a_virtual_service() {
    let rows = [
        ("'*'", "shop.example.com", "shop.example.com", true),
        (
            "'*.example.com'",
            "shop.example.com",
            "shop.example.com",
            true,
        ),
        (
            "shop.example.com",
            "'*.example.com'",
            "shop.example.com",
            true,
        ),
        (
            "shop.example.com",
            "'*.example.com'",
            "a.example.com",
            false,
        ),
        (
            "'*.example.com'",
            "shop.example.org",
            "shop.example.org",
            false,
        ),
        (
            "default/shop.example.com",
            "shop.example.com",
            "shop.example.com",
            true,
        ),
        (
            "./shop.example.com",
            "shop.example.com",
            "shop.example.com",
            true,
        ),
        (
            "'*/shop.example.com'",
            "shop.example.com",
            "shop.example.com",
            true,
        ),
        (
            "far/shop.example.com",
            "shop.example.com",
            "shop.example.com",
            false,
        ),
    ];
    for (served, host, authority, takes) in rows {
        let server =
            format!("- {{port: {{number: 80, name: http, protocol: HTTP}}, hosts: [{served}]}}");
        let mut world = World::of(&[
            gateway("edge", &server),
            routes("shop", &to(host, "reviews")),
        ]);
        let expected = if takes { "reviews.default:9080" } else { "" };
        assert_eq!(
            world.decide(8080, authority, "/"),
            expected,
            "{served} {host} {authority}"
        );
    }
}

#[test]
fn routes_of_several_virtual_services_are_one_list_with_what_takes_everything_last() {
    let special = "hosts: [shop.example.com]\ngateways: [edge]
http: [{match: [{uri: {prefix: /ratings}}], route: [{destination: {host: ratings}}]}]";
    let mut world = World::of(&[
        gateway("edge", PLAIN),
        routes("all", &to("shop.example.com", "reviews")),
        routes("special", special),
    ]);
    for (path, cluster) in [
        ("/", "reviews.default:9080"),
        ("/ratings/1", "ratings.default:9080"),
    ] {
        assert_eq!(world.decide(8080, "shop.example.com", path), cluster);
    }
    assert_eq!(world.problems(), "");
}

#[test]
fn plaintext_is_sent_to_https_where_a_server_says_so() {
    let servers = "- {port: {number: 80, name: http, protocol: HTTP}, hosts: [shop.example.com], tls: {httpsRedirect: true}}
- {port: {number: 443, name: https, protocol: HTTPS}, hosts: [shop.example.com], tls: {mode: SIMPLE, credentialName: shop}}";
    let mut world = World::of(&[
        gateway("edge", servers),
        routes("shop", &to("shop.example.com", "reviews")),
    ]);
    assert_eq!(
        world.decide(8080, "shop.example.com", "/x"),
        "301 Some(\"https\")"
    );
    assert_eq!(
        world.decide(8443, "shop.example.com", "/x"),
        "reviews.default:9080"
    );
    let section = world.section();
    let chain = &listener(&section, 8443).expect("a listener").chains[0];
    assert_eq!(
        chain.matches.server_names,
        [ServerName::Exact("shop.example.com".into())]
    );
    let DownstreamTransport::Tls {
        mutual,
        certificate,
        ..
    } = &chain.transport
    else {
        panic!("TLS ends here")
    };
    assert_eq!((*mutual, &**certificate), (false, "istio-system/shop"));
    assert_eq!(world.problems(), "");
}

#[test]
fn each_https_server_has_hosts_of_its_own() {
    let servers = "- {port: {number: 443, name: a, protocol: HTTPS}, hosts: [a.example.com], tls: {mode: SIMPLE, credentialName: a}}
- {port: {number: 443, name: b, protocol: HTTPS}, hosts: ['*.example.org'], tls: {mode: ISTIO_MUTUAL}}";
    let both = "hosts: [a.example.com, b.example.org]\ngateways: [edge]
http: [{route: [{destination: {host: reviews}}]}]";
    let mut world = World::of(&[gateway("edge", servers), routes("both", both)]);
    let section = world.section();
    let listener = listener(&section, 8443).expect("a listener");
    let rows = [
        (0, "a.example.com", "reviews.default:9080"),
        (0, "b.example.org", ""),
        (1, "a.example.com", ""),
        (1, "b.example.org", "reviews.default:9080"),
    ];
    for (chain, authority, cluster) in rows {
        let found = decided(&section, listener, chain, authority, "/");
        assert_eq!(found, cluster, "{chain} {authority}");
    }
    let second = &listener.chains[1];
    assert_eq!(
        second.matches.server_names,
        [ServerName::Suffix(".example.org".into())]
    );
    assert!(matches!(
        &second.transport,
        DownstreamTransport::Tls { mutual: true, certificate, .. }
            if **certificate == *"spiffe://cluster.local/ns/istio-system/sa/edge"
    ));
}

fn carried(section: &Section, listener: &Listener) -> Vec<(Vec<ServerName>, String)> {
    let chains = listener.chains.iter();
    chains
        .map(|chain| {
            let ChainAction::Tcp(tcp) = &chain.action else {
                panic!("bytes")
            };
            let name = &section.clusters()[tcp.clusters[0].0.0 as usize].name;
            (chain.matches.server_names.clone(), short(name))
        })
        .collect()
}

#[test]
fn tls_that_is_passed_through_goes_by_the_name_asked_for() {
    let servers = "- {port: {number: 443, name: tls, protocol: TLS}, hosts: ['*.example.com'], tls: {mode: PASSTHROUGH}}";
    let spec = "hosts: ['*.example.com']\ngateways: [edge]
tls:
- {match: [{port: 443, sniHosts: [a.example.com]}], route: [{destination: {host: reviews}}]}
- {match: [{port: 8443, sniHosts: [c.example.com]}], route: [{destination: {host: reviews}}]}
- {match: [{sniHosts: ['*.b.example.com']}], route: [{destination: {host: ratings}}]}";
    let mut world = World::of(&[gateway("edge", servers), routes("names", spec)]);
    let section = world.section();
    let found = carried(&section, listener(&section, 8443).expect("a listener"));
    assert_eq!(
        found,
        [
            (
                vec![ServerName::Exact("a.example.com".into())],
                "reviews.default:9080".into()
            ),
            (
                vec![ServerName::Suffix(".b.example.com".into())],
                "ratings.default:9080".into()
            ),
        ]
    );
    assert_eq!(world.problems(), "");
}

#[test]
fn bytes_go_by_the_first_tcp_rule_of_the_port() {
    let servers = "- {port: {number: 9000, name: tcp, protocol: TCP}, hosts: ['*']}";
    let spec = "hosts: ['*']\ngateways: [edge]
tcp:
- {match: [{port: 9001}], route: [{destination: {host: reviews}}]}
- {match: [{port: 9000}], route: [{destination: {host: ratings}}]}";
    let mut world = World::of(&[gateway("edge", servers), routes("bytes", spec)]);
    let section = world.section();
    let found = carried(&section, listener(&section, 9000).expect("a listener"));
    assert_eq!(found, [(Vec::new(), "ratings.default:9080".into())]);
    // where nothing is bound, nothing listens
    let mut world = World::of(&[gateway("edge", servers)]);
    assert!(listener(&world.section(), 9000).is_none());
}

#[test]
fn problems_of_gateways_are_shown_in_the_text() {
    let servers = "- {port: {number: 80, name: http, protocol: HTPP}, hosts: ['*']}
- {port: {number: 443, name: https, protocol: HTTPS}, hosts: ['*']}
- {port: {number: 9000, name: tcp, protocol: TCP}, hosts: [a.example.com]}
- {port: {number: 9000, name: more, protocol: HTTP}, hosts: [a.example.com], bind: 10.0.0.1}
- {port: {number: 444, name: m, protocol: HTTPS}, hosts: [b.example.com], tls: {mode: MUTUAL, credentialName: b}}
- {port: {number: 445, name: p, protocol: TLS}, hosts: [b.example.com], tls: {mode: AUTO_PASSTHROUGH}}";
    let mut world = World::of(&[
        gateway("edge", servers),
        routes("shop", &to("shop.example.com", "reviews")),
        routes(
            "lost",
            &to("shop.example.com", "reviews").replace("edge", "egde"),
        ),
    ]);
    world.problems();
    insta::assert_snapshot!(world.diagnostics.render(&world.sources));
}
