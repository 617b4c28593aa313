mod cors;
mod fields;
mod plugins;
mod upstreams;

use std::net::{IpAddr, Ipv4Addr};

use proxy_core::config::{
    Balancer, ChainAction, Cluster, HashSource, HostRewrite, ReplyProfile, Route, RouteAction,
    RouteTable, Section,
};
use proxy_core::draw::DrawKey;
use proxy_core::heads::{HeadId, HeadWriter, Heads};
use proxy_core::origin::OriginId;
use proxy_core::retry::conditions::{Condition, RetryOn};
use proxy_core::route::{Departure, RequestView, find_route, write_request};
use proxy_core::time::Duration;

use super::*;
use crate::diagnostics::Diagnostics;
use crate::load::{Layer, Objects, load};
use crate::model::{
    Directory, GatewayFacts, GatewayId, GatewayOverride, Labels, Members, Service, ServiceId,
    ServiceKind, ServicePort, SidecarRules, TargetPort, Upstream,
};
use crate::origins::Origins;
use crate::text::{Sources, Span};

/// Kong over some manifests: Services `a` (80, named `web`, to 8080), `b` (80 and 8081) and `headless`, all in `default`.
struct Kong {
    sources: Sources,
    objects: Objects,
    services: Vec<Service>,
    overrides: Vec<GatewayOverride>,
    origins: Origins,
    diagnostics: Diagnostics,
}

/// What Kong makes of a request.
struct Taken {
    route: Route,
    cluster: Cluster,
    upstream: Upstream,
    path: String,
    host: String,
}

struct Request<'a> {
    method: &'a str,
    host: &'a str,
    path: &'a str,
    headers: &'a [(&'a str, &'a str)],
}

type Headers = &'static [(&'static str, &'static str)];

struct Sent {
    path: String,
    host: String,
}

impl Heads for Request<'_> {
    fn method(&self, _: HeadId) -> &str {
        self.method
    }

    fn authority(&self, _: HeadId) -> &str {
        self.host
    }

    fn path(&self, _: HeadId) -> &str {
        self.path
    }

    fn header(&self, _: HeadId, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| *value)
    }

    fn status(&self, _: HeadId) -> u16 {
        0
    }

    fn response_header(&self, _: HeadId, _: &str) -> Option<&str> {
        None
    }
}

impl HeadWriter for Sent {
    fn set_path(&mut self, path: &str) {
        path.clone_into(&mut self.path);
    }

    fn set_authority(&mut self, authority: &str) {
        authority.clone_into(&mut self.host);
    }

    fn set(&mut self, _: &str, _: &str) {}

    fn append(&mut self, _: &str, _: &str) {}

    fn remove(&mut self, _: &str) {}

    fn has(&self, _: &str) -> bool {
        false
    }

    fn first(&self, _: &str) -> Option<&str> {
        None
    }
}

fn service(id: u32, name: &str, ports: &[(u16, Option<&str>, u16)], kind: ServiceKind) -> Service {
    let ports = ports.iter().map(|(number, name, target)| ServicePort {
        number: *number,
        name: name.map(Into::into),
        app_protocol: None,
        target: TargetPort::Number(*target),
        udp: false,
        span: Span::NOWHERE,
    });
    Service {
        id: ServiceId(id),
        namespace: "default".into(),
        name: name.into(),
        kind,
        ports: ports.collect(),
        selector: Labels::new(),
        labels: Labels::new(),
        annotations: Labels::new(),
        listed: Vec::new(),
        workloads: Vec::new(),
        span: Span::NOWHERE,
        origin: OriginId::NONE,
    }
}

impl Kong {
    fn over(yaml: &str) -> Self {
        let mut sources = Sources::default();
        let mut diagnostics = Diagnostics::default();
        let objects = load(
            &[Layer::text("kong.yaml", yaml)],
            &mut sources,
            &mut diagnostics,
        );
        let ip = |last| ServiceKind::ClusterIp(IpAddr::V4(Ipv4Addr::new(10, 96, 0, last)));
        let services = vec![
            service(0, "a", &[(80, Some("web"), 8080)], ip(1)),
            service(1, "b", &[(80, None, 8080), (8081, None, 8081)], ip(2)),
            service(2, "headless", &[(80, None, 8080)], ServiceKind::Headless),
        ];
        Self {
            sources,
            objects,
            services,
            overrides: Vec::new(),
            origins: Origins::default(),
            diagnostics,
        }
    }

    /// One Ingress `web` of class kong with these annotations (one a line) and one path to `a`, beside other objects.
    fn ingress(annotations: &[(&str, &str)], path: &str, path_type: &str, others: &str) -> Self {
        let lines: String = annotations
            .iter()
            .map(|(key, value)| format!("    {key}: {value:?}\n"))
            .collect();
        let annotations = if lines.is_empty() {
            String::new()
        } else {
            format!("  annotations:\n{lines}")
        };
        Self::over(&format!(
            "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata:\n  name: web\n{annotations}spec:\n  ingressClassName: kong\n  rules:\n  - \
             host: a.example.com\n    http:\n      paths:\n      - path: {path}\n        pathType: {path_type}\n        backend: {{service: \
             {{name: a, port: {{number: 80}}}}}}\n---\n{others}"
        ))
    }

    /// With a Service object `a` that has these annotations.
    fn annotated_service(annotations: &[(&str, &str)], others: &str) -> Self {
        let lines: String = annotations
            .iter()
            .map(|(key, value)| format!("    {key}: {value:?}\n"))
            .collect();
        let service = format!(
            "apiVersion: v1\nkind: Service\nmetadata:\n  name: a\n  annotations:\n{lines}---\n{others}"
        );
        Self::ingress(&[], "/", "Prefix", &service)
    }

    fn compiled(&mut self) -> (Vec<GatewayFacts>, Vec<Compiled>) {
        let directory = Directory::new(&self.services);
        let sidecars = SidecarRules::default();
        let mut cx = Compile {
            objects: &self.objects,
            services: &self.services,
            workloads: &[],
            gateways: &[],
            directory: &directory,
            overrides: &self.overrides,
            sidecars: &sidecars,
            origins: &mut self.origins,
            diagnostics: &mut self.diagnostics,
        };
        let make = DIALECT.gateways.expect("Kong has gateways");
        let kong = make("3.9", &mut cx);
        let facts = kong.gateways(&mut cx);
        cx.gateways = &facts;
        let sections = (0..facts.len())
            .map(|nth| kong.section(&mut cx, GatewayId(nth as u32)))
            .collect();
        (facts, sections)
    }

    fn only(&mut self) -> Compiled {
        let (_, sections) = self.compiled();
        let [only] = <[Compiled; 1]>::try_from(sections).expect("one Kong");
        only
    }

    fn problems(&mut self) -> String {
        self.compiled();
        self.diagnostics.to_lines(&self.sources)
    }

    /// What happens to a request in plaintext.
    fn take(&mut self, request: &Request<'_>) -> Option<Taken> {
        let compiled = self.only();
        let section = compiled.draft.build().expect("a section that can be used");
        let route = route_of(&section, "http", request)?;
        let RouteAction::Forward(forward) = &route.action else {
            panic!("not sent on: {:?}", route.action)
        };
        let index = forward.clusters[0].cluster.expect("a cluster");
        let mut sent = Sent {
            path: request.path.to_owned(),
            host: request.host.to_owned(),
        };
        let view = RequestView {
            heads: request,
            head: HeadId(0),
            edge: true,
        };
        let departure = Departure {
            endpoint_host: "pod",
            ..Departure::PLAIN
        };
        write_request(&route, view, departure, &mut sent);
        Some(Taken {
            cluster: (*section.clusters()[index.0 as usize]).clone(),
            upstream: compiled.upstreams[index.0 as usize].clone(),
            route,
            path: sent.path,
            host: sent.host,
        })
    }

    fn get(&mut self, host: &str, path: &str) -> Option<Taken> {
        self.take(&Request {
            method: "GET",
            host,
            path,
            headers: &[],
        })
    }

    fn origin(&self, origin: OriginId) -> String {
        self.origins.text(origin, &self.sources)
    }
}

fn table<'a>(section: &'a Section, name: &str) -> (u32, &'a RouteTable) {
    let at = section
        .tables()
        .iter()
        .position(|table| &*table.name == name)
        .expect("a table of that name");
    (at as u32, &section.tables()[at])
}

fn route_of(section: &Section, side: &str, request: &Request<'_>) -> Option<Route> {
    let (at, table) = table(section, side);
    let host = section.virtual_host(proxy_core::config::TableIndex(at), request.host)?;
    let host = &table.virtual_hosts[host as usize];
    let view = RequestView {
        heads: request,
        head: HeadId(0),
        edge: true,
    };
    let route = find_route(host, view, DrawKey::root(1))?;
    Some(host.routes[route as usize].clone())
}

impl Taken {
    fn retry(&self) -> &proxy_core::config::RetryPolicy {
        let RouteAction::Forward(forward) = &self.route.action else {
            panic!("not sent on")
        };
        forward.retry.as_ref().expect("Kong always has a policy")
    }
}

#[test]
fn the_guides_ingress_is_served_with_the_controllers_defaults() {
    let mut kong = Kong::ingress(
        &[("konghq.com/strip-path", "true")],
        "/service-a",
        "Prefix",
        "",
    );
    let taken = kong.get("api.example.com", "/service-a");
    assert!(taken.is_none(), "another host");
    let taken = kong
        .get("a.example.com", "/service-a/orders?x=1")
        .expect("a route");

    assert_eq!(taken.path, "/orders?x=1");
    assert_eq!(taken.host, "a.example.com", "the client's Host is kept");
    assert_eq!(&*taken.cluster.name, "a.default.80.svc");
    assert_eq!(
        taken.upstream.members,
        Members::Pods {
            service: ServiceId(0),
            port: 80,
            labels: Vec::new()
        }
    );
    assert_eq!(taken.cluster.balancer.value, Balancer::KongRing);
    assert_eq!(taken.cluster.connect_timeout.value, Duration::from_secs(60));
    assert_eq!(taken.cluster.pool.max_idle, Some(512));
    assert_eq!(taken.cluster.panic_threshold.value.as_ppm(), 0);
    let retry = taken.retry();
    assert_eq!(retry.retries.value, 5);
    assert_eq!(
        retry.on.value,
        RetryOn::NONE
            .with(Condition::ConnectFailure)
            .with(Condition::Reset)
    );
    assert_eq!(
        retry.per_try_idle_timeout.map(|timeout| timeout.value),
        Some(Duration::from_secs(60))
    );
    assert!(retry.spare_sent_non_idempotent);
    assert_eq!(retry.body_limit, None);
    for origin in [
        retry.retries.origin,
        taken.cluster.connect_timeout.origin,
        taken.cluster.balancer.origin,
    ] {
        assert_eq!(kong.origin(origin), "default of kong@3.9");
    }
    assert_eq!(kong.origin(taken.route.origin), "kong.yaml:13");
}

#[test]
fn a_prefix_is_by_segments_and_is_stripped_to_the_root() {
    let mut kong = Kong::ingress(
        &[("konghq.com/strip-path", "true")],
        "/service-a",
        "Prefix",
        "",
    );
    let rows = [
        ("/service-a", Some("/")),
        ("/service-a/", Some("/")),
        ("/service-a/x/y", Some("/x/y")),
        ("/service-ab", None),
        ("/other", None),
    ];
    for (path, expected) in rows {
        let sent = kong.get("a.example.com", path).map(|taken| taken.path);
        assert_eq!(sent.as_deref(), expected, "{path}");
    }
}

#[test]
fn path_types_decide_what_is_taken() {
    let rows: &[(&str, &str, &[&str], &[&str])] = &[
        ("Exact", "/a", &["/a"], &["/a/", "/a/b", "/ab"]),
        ("Prefix", "/a", &["/a", "/a/", "/a/b"], &["/ab", "/"]),
        ("Prefix", "/", &["/", "/a"], &[]),
        (
            "ImplementationSpecific",
            "/a",
            &["/a", "/ab", "/a/b"],
            &["/", "/b"],
        ),
        (
            "ImplementationSpecific",
            "/~/v[0-9]+",
            &["/v1", "/v12/x"],
            &["/va", "/x/v1"],
        ),
    ];
    for (kind, path, taken, left) in rows {
        let mut kong = Kong::ingress(&[], path, kind, "");
        for (path, expected) in taken
            .iter()
            .map(|path| (path, true))
            .chain(left.iter().map(|path| (path, false)))
        {
            let found = kong.get("a.example.com", path).is_some();
            assert_eq!(found, expected, "{kind} {path}");
        }
    }
}

#[test]
fn without_strip_path_the_path_stays() {
    let mut kong = Kong::ingress(&[], "/service-a", "Prefix", "");
    assert_eq!(
        kong.get("a.example.com", "/service-a/x")
            .expect("a route")
            .path,
        "/service-a/x"
    );
}

#[test]
fn the_services_path_comes_first() {
    let service =
        "apiVersion: v1\nkind: Service\nmetadata: {name: a, annotations: {konghq.com/path: /v2}}\n";
    let mut kept = Kong::ingress(&[], "/a", "Prefix", service);
    assert_eq!(
        kept.get("a.example.com", "/a/x").expect("a route").path,
        "/v2/a/x"
    );
    let mut stripped = Kong::ingress(
        &[("konghq.com/strip-path", "true")],
        "/a",
        "Prefix",
        service,
    );
    assert_eq!(
        stripped.get("a.example.com", "/a/x").expect("a route").path,
        "/v2/x"
    );
    assert_eq!(
        stripped.get("a.example.com", "/a").expect("a route").path,
        "/v2"
    );
}

#[test]
fn rewrite_replaces_the_path_and_knows_groups() {
    let mut kong = Kong::ingress(
        &[("konghq.com/rewrite", "/x/$2/$1")],
        "/~/a/([0-9]+)/(\\w+)",
        "ImplementationSpecific",
        "",
    );
    assert_eq!(
        kong.get("a.example.com", "/a/7/z/more")
            .expect("a route")
            .path,
        "/x/z/7"
    );
    assert!(
        kong.problems().contains("assumed[kong::rewrite]"),
        "{}",
        kong.problems()
    );
}

#[test]
fn a_wildcard_host_takes_any_depth_and_any_port() {
    let yaml = |host: &str, service: &str, name: &str| {
        format!(
            "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: {name}}}\nspec:\n  ingressClassName: kong\n  rules:\n  - host: \
             \"{host}\"\n    http: {{paths: [{{path: /, pathType: Prefix, backend: {{service: {{name: {service}, port: {{number: 80}}}}}}}}]}}\n---\n"
        )
    };
    let mut kong =
        Kong::over(&(yaml("*.example.com", "a", "wild") + &yaml("x.example.com", "b", "plain")));
    let rows = [
        ("y.example.com", Some("a.default.80.svc")),
        ("y.z.example.com", Some("a.default.80.svc")),
        ("y.example.com:8000", Some("a.default.80.svc")),
        ("x.example.com", Some("b.default.80.svc")),
        ("X.Example.com:8000", Some("b.default.80.svc")),
        ("example.com", None),
        ("example.org", None),
    ];
    for (host, expected) in rows {
        let cluster = kong.get(host, "/").map(|taken| taken.cluster.name);
        assert_eq!(cluster.as_deref(), expected, "{host}");
    }
}

#[test]
fn a_route_that_asks_for_more_wins_even_without_a_host() {
    let more = "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata:\n  name: more\n  annotations: {konghq.com/methods: \"GET,POST\", \
                konghq.com/headers.x-tier: \"gold,Silver\"}\nspec:\n  ingressClassName: kong\n  rules: [{http: {paths: [{path: /, pathType: Prefix, \
                backend: {service: {name: b, port: {number: 80}}}}]}}]\n";
    let mut kong = Kong::ingress(&[], "/", "Prefix", more);
    type Row = (&'static str, Headers, &'static str);
    let rows: [Row; 5] = [
        ("GET", &[], "a.default.80.svc"),
        ("GET", &[("x-tier", "GOLD")], "b.default.80.svc"),
        ("POST", &[("x-tier", "silver")], "b.default.80.svc"),
        ("PUT", &[("x-tier", "gold")], "a.default.80.svc"),
        ("GET", &[("x-tier", "golden")], "a.default.80.svc"),
    ];
    for (method, headers, expected) in rows {
        let taken = kong
            .take(&Request {
                method,
                host: "a.example.com",
                path: "/",
                headers,
            })
            .expect("a route");
        assert_eq!(&*taken.cluster.name, expected, "{method} {headers:?}");
    }
}

#[test]
fn a_default_backend_takes_what_nothing_else_takes() {
    let default = "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: rest}\nspec: {ingressClassName: kong, defaultBackend: {service: \
                   {name: b, port: {number: 8081}}}}\n";
    let mut kong = Kong::ingress(&[], "/a", "Prefix", default);
    for (host, path, expected) in [
        ("a.example.com", "/a", "a.default.80.svc"),
        ("a.example.com", "/b", "b.default.8081.svc"),
        ("other.org", "/a", "b.default.8081.svc"),
    ] {
        assert_eq!(
            &*kong.get(host, path).expect("a route").cluster.name,
            expected,
            "{host}{path}"
        );
    }
}

#[test]
fn service_upstream_dials_the_services_address_under_its_own_name() {
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: a, annotations: {ingress.kubernetes.io/service-upstream: \"true\"}}\n";
    let mut kong = Kong::ingress(
        &[("konghq.com/preserve-host", "false")],
        "/",
        "Prefix",
        service,
    );
    let taken = kong.get("a.example.com", "/").expect("a route");
    assert_eq!(
        taken.upstream.members,
        Members::Address {
            service: ServiceId(0),
            port: 80
        }
    );
    assert_eq!(taken.host, "a.default.svc");
}

#[test]
fn a_host_that_is_not_kept_becomes_the_targets_or_the_configured_one() {
    let mut kong = Kong::ingress(&[("konghq.com/preserve-host", "false")], "/", "Prefix", "");
    let taken = kong.get("a.example.com", "/").expect("a route");
    let RouteAction::Forward(forward) = &taken.route.action else {
        panic!("sent on")
    };
    assert!(matches!(forward.host, Some(HostRewrite::Endpoint)));
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: a, annotations: {konghq.com/host-header: internal.example}}\n";
    let mut kong = Kong::ingress(
        &[("konghq.com/preserve-host", "false")],
        "/",
        "Prefix",
        service,
    );
    assert_eq!(
        kong.get("a.example.com", "/").expect("a route").host,
        "internal.example"
    );
    let mut kept = Kong::ingress(&[], "/", "Prefix", service);
    assert_eq!(
        kept.get("a.example.com", "/").expect("a route").host,
        "a.example.com"
    );
}

#[test]
fn timeouts_and_retries_are_the_services() {
    let annotations = [
        ("konghq.com/retries", "1"),
        ("konghq.com/connect-timeout", "250"),
        ("konghq.com/read-timeout", "2000"),
    ];
    let mut kong = Kong::annotated_service(&annotations, "");
    let taken = kong.get("a.example.com", "/").expect("a route");
    assert_eq!(taken.retry().retries.value, 1);
    assert_eq!(
        taken.retry().per_try_idle_timeout.map(|it| it.value),
        Some(Duration::from_secs(2))
    );
    assert_eq!(
        taken.cluster.connect_timeout.value,
        Duration::from_millis(250)
    );
    assert!(
        kong.origin(taken.retry().retries.origin)
            .starts_with("kong.yaml:"),
        "{:?}",
        taken.retry().retries
    );
}

#[test]
fn plaintext_is_turned_away_where_only_tls_is_allowed() {
    let rows: &[(Headers, Option<u16>)] = &[
        (&[], None),
        (&[("konghq.com/protocols", "https")], Some(426)),
        (
            &[
                ("konghq.com/protocols", "https"),
                ("konghq.com/https-redirect-status-code", "308"),
            ],
            Some(308),
        ),
        (
            &[("ingress.kubernetes.io/force-ssl-redirect", "true")],
            Some(302),
        ),
        (
            &[
                ("ingress.kubernetes.io/force-ssl-redirect", "true"),
                ("konghq.com/protocols", "http,https"),
            ],
            None,
        ),
    ];
    for (annotations, expected) in rows {
        let mut kong = Kong::ingress(annotations, "/", "Prefix", "");
        let section = kong.only().draft.build().expect("a section");
        let request = Request {
            method: "GET",
            host: "a.example.com",
            path: "/",
            headers: &[],
        };
        let plain = route_of(&section, "http", &request).expect("a route");
        let status = match &plain.action {
            RouteAction::Forward(_) => None,
            RouteAction::Redirect(redirect) => Some(redirect.status),
            RouteAction::Direct(direct) => Some(direct.status),
        };
        assert_eq!(status, *expected, "{annotations:?}");
        let tls = route_of(&section, "https", &request).expect("a route");
        assert!(
            matches!(tls.action, RouteAction::Forward(_)),
            "{annotations:?}"
        );
    }
}

#[test]
fn kong_answers_with_nginxs_statuses() {
    let compiled = Kong::ingress(&[], "/", "Prefix", "").only();
    for listener in &compiled.draft.listeners {
        let ChainAction::Http(http) = &listener.chains[0].action else {
            panic!("HTTP")
        };
        assert_eq!(http.replies, ReplyProfile::Nginx);
    }
    assert_eq!(compiled.draft.listeners.len(), 2);
}

#[test]
fn of_upgrades_kong_hears_websockets_alone() {
    let compiled = Kong::ingress(&[], "/", "Prefix", "").only();
    for listener in &compiled.draft.listeners {
        let ChainAction::Http(http) = &listener.chains[0].action else {
            panic!("HTTP")
        };
        let websocket = http.upgrades.of_kind("WebSocket").map(|it| it.allowed);
        assert_eq!(websocket, Some(true));
        assert_eq!(http.upgrades.others, proxy_core::config::Unlisted::Unheard);
    }
}

#[test]
fn an_upstream_policy_chooses_the_balancer() {
    let policy = |spec: &str| {
        format!(
            "apiVersion: configuration.konghq.com/v1beta1\nkind: KongUpstreamPolicy\nmetadata: {{name: p}}\nspec: {spec}\n"
        )
    };
    let rows = [
        ("{algorithm: round-robin}", Balancer::KongRing),
        (
            "{algorithm: least-connections}",
            Balancer::KongLeastConnections,
        ),
        ("{algorithm: latency}", Balancer::KongLatency),
        (
            "{algorithm: consistent-hashing, slots: 100, hashOn: {header: X-User}}",
            Balancer::RingHash {
                min_size: 100,
                max_size: 100,
                bound: None,
            },
        ),
    ];
    for (spec, expected) in rows {
        let mut kong =
            Kong::annotated_service(&[("konghq.com/upstream-policy", "p")], &policy(spec));
        let taken = kong.get("a.example.com", "/").expect("a route");
        assert_eq!(taken.cluster.balancer.value, expected, "{spec}");
        assert!(!kong.diagnostics.has_errors(), "{}", kong.problems());
        let RouteAction::Forward(forward) = &taken.route.action else {
            panic!("sent on")
        };
        let hashed: Vec<&HashSource> = forward.hash.iter().map(|policy| &policy.source).collect();
        let by_header = HashSource::Header("x-user".into());
        assert_eq!(
            hashed,
            if spec.contains("hashOn") {
                vec![&by_header]
            } else {
                Vec::new()
            },
            "{spec}"
        );
    }
}

#[test]
fn a_kongingress_still_chooses_the_balancer_of_a_service_and_nothing_else() {
    let legacy = "apiVersion: configuration.konghq.com/v1\nkind: KongIngress\nmetadata: {name: k}\nupstream: {algorithm: consistent-hashing, hash_on: \
                  cookie, hash_on_cookie: session, hash_on_cookie_path: /}\nproxy: {retries: 1}\n";
    let mut kong = Kong::annotated_service(&[("konghq.com/override", "k")], legacy);
    let taken = kong.get("a.example.com", "/").expect("a route");
    let RouteAction::Forward(forward) = &taken.route.action else {
        panic!("sent on")
    };
    assert!(
        matches!(&forward.hash[0].source, HashSource::Cookie { name, ttl: Some(_) } if &**name == "session")
    );
    assert_eq!(taken.retry().retries.value, 5);
    assert!(
        kong.problems().contains("warning[kong::kongingress]"),
        "{}",
        kong.problems()
    );
}

#[test]
fn broken_references_are_located() {
    let rows = [
        (
            Kong::over(
                "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: web}\nspec:\n  ingressClassName: kong\n  rules:\n  - http:\n      paths:\n      - \
                 pathType: Prefix\n        path: /\n        backend:\n          service: {name: headles, port: {number: 80}}\n",
            ),
            "kong.yaml:12:27: error[kong::unknown-service]: no Service `headles` in namespace `default`: did you mean `headless`?",
        ),
        (
            Kong::over(
                "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: web}\nspec:\n  ingressClassName: kong\n  rules:\n  - http:\n      paths:\n      - \
                 pathType: Prefix\n        path: /\n        backend:\n          service: {name: b, port: {number: 81}}\n",
            ),
            "error[kong::unknown-port]: Service `b` has no such port: it has `80`, `8081`",
        ),
        (
            Kong::annotated_service(&[("konghq.com/upstream-policy", "q")], ""),
            "error[kong::unknown-policy]: no KongUpstreamPolicy `q` in namespace `default`",
        ),
        (
            Kong::ingress(&[("konghq.com/plugins", "limit")], "/", "Prefix", ""),
            "error[kong::unknown-plugin]: no KongPlugin `limit` in namespace `default`",
        ),
    ];
    for (mut kong, expected) in rows {
        let problems = kong.problems();
        assert!(problems.contains(expected), "{expected}\n{problems}");
    }
}

#[test]
fn wrong_annotations_are_located() {
    let rows = [
        (
            "konghq.com/strip-pth",
            "true",
            "error[kong::unknown-annotation]: Kong knows no annotation `konghq.com/strip-pth`: did you mean `konghq.com/strip-path`?",
        ),
        (
            "konghq.com/strip-path",
            "yes",
            "error[kong::bad-annotation]: `konghq.com/strip-path` cannot be `yes`",
        ),
        (
            "konghq.com/retries",
            "3",
            "warning[kong::misplaced-annotation]: `konghq.com/retries` does nothing on an Ingress",
        ),
        (
            "konghq.com/methods",
            "get",
            "error[kong::bad-annotation]: `konghq.com/methods` cannot be `get`",
        ),
        (
            "konghq.com/response-buffering",
            "false",
            "not modelled[kong::not-modelled]: `konghq.com/response-buffering` is not modelled",
        ),
        ("konghq.com/headers.x-a", "~*[", "error[kong::bad-regex]"),
    ];
    for (key, value, expected) in rows {
        let mut kong = Kong::ingress(&[(key, value)], "/", "Prefix", "");
        let problems = kong.problems();
        assert!(problems.contains(expected), "{expected}\n{problems}");
        assert!(problems.contains("kong.yaml:6:"), "{problems}");
    }
}

#[test]
fn plugins_are_said_with_what_they_mean() {
    let plugin = "apiVersion: configuration.konghq.com/v1\nkind: KongPlugin\nmetadata: {name: limit}\nplugin: rate-limiting-advanced\nconfig: {limit: [5]}\n---\n\
                  apiVersion: configuration.konghq.com/v1\nkind: KongPlugin\nmetadata: {name: idle}\nplugin: key-auth\nconfgi: {}\n";
    let mut kong = Kong::ingress(&[("konghq.com/plugins", "limit")], "/", "Prefix", plugin);
    let problems = kong.problems();
    assert!(
        problems.contains(
            "not modelled[kong::plugin]: the plugin `rate-limiting-advanced` is not modelled"
        ),
        "{problems}"
    );
    assert!(
        problems.contains("no request is refused with 429"),
        "{problems}"
    );
    assert!(problems.contains("note[kong::unused-plugin]"), "{problems}");
    assert!(
        problems.contains("error[field::unknown]: unknown field `confgi`: did you mean `config`?"),
        "{problems}"
    );
}

#[test]
fn only_ingresses_of_kongs_classes_are_served() {
    let ingress = |name: &str, class: &str| {
        format!(
            "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: {name}}}\nspec: {{{class}rules: [{{host: {name}.example.com, http: {{paths: \
             [{{path: /, pathType: Prefix, backend: {{service: {{name: a, port: {{number: 80}}}}}}}}]}}}}]}}\n---\n"
        )
    };
    let class = |name: &str, controller: &str, default: bool| {
        format!(
            "apiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {{name: {name}, annotations: {{ingressclass.kubernetes.io/is-default-class: \
             \"{default}\"}}}}\nspec: {{controller: {controller}}}\n---\n"
        )
    };
    let kongs = "ingress-controllers.konghq.com/kong";
    let objects = ingress("by-name", "ingressClassName: kong, ")
        + &ingress("nginx", "ingressClassName: nginx, ")
        + &ingress("none", "");
    let hosts = |yaml: String| {
        let (facts, _) = Kong::over(&yaml).compiled();
        facts
            .iter()
            .map(|facts| facts.hosts.join(" "))
            .collect::<Vec<_>>()
    };
    assert_eq!(hosts(objects.clone()), ["by-name.example.com"]);
    assert_eq!(
        hosts(objects.clone() + &class("kong", kongs, true)),
        ["by-name.example.com none.example.com"]
    );
    assert_eq!(
        hosts(objects.clone() + &class("kong", "example.com/other", true)),
        Vec::<String>::new()
    );
    assert_eq!(
        hosts(objects + &class("nginx", kongs, false)),
        ["by-name.example.com", "nginx.example.com"]
    );
}

#[test]
fn a_scenario_says_where_kong_is() {
    let mut kong = Kong::ingress(&[], "/", "Prefix", "");
    let (facts, _) = kong.compiled();
    assert_eq!(
        (&*facts[0].name, &*facts[0].namespace),
        ("kong/kong", "kong")
    );
    assert!(
        kong.problems().contains("assumed[kong::assumed-pods]"),
        "{}",
        kong.problems()
    );

    let mut kong = Kong::ingress(&[], "/", "Prefix", "");
    kong.overrides.push(GatewayOverride {
        target: "default/web".into(),
        kind: Some("kong".into()),
        namespace: Some("edge".into()),
        labels: Labels::from([("app".into(), "edge".into())]),
        replicas: Some(2),
    });
    let (facts, _) = kong.compiled();
    assert_eq!(
        (&*facts[0].name, &*facts[0].namespace, facts[0].replicas),
        ("default/web", "edge", Some(2))
    );
    assert_eq!(
        facts[0]
            .listens
            .iter()
            .map(|listen| (listen.port, listen.tls))
            .collect::<Vec<_>>(),
        [(80, false), (443, true)]
    );
    assert_eq!(kong.problems(), "");

    kong.overrides[0].kind = Some("nginx".into());
    assert!(kong.compiled().0.is_empty(), "served by another");
}

#[test]
fn health_checks_are_kongs() {
    let policy = |checks: &str| {
        format!(
            "apiVersion: configuration.konghq.com/v1beta1\nkind: KongUpstreamPolicy\nmetadata: {{name: p}}\nspec: {{healthchecks: {checks}}}\n"
        )
    };
    let of = |checks: &str| {
        let mut kong =
            Kong::annotated_service(&[("konghq.com/upstream-policy", "p")], &policy(checks));
        let cluster = kong.get("a.example.com", "/").expect("a route").cluster;
        (cluster, kong.problems())
    };
    let (cluster, problems) = of(
        "{active: {healthy: {interval: 5, successes: 2}, unhealthy: {interval: 1, httpFailures: 3, tcpFailures: 3, timeouts: 3}}}",
    );
    let check = &cluster.health_checks[0].value;
    assert_eq!(
        (check.interval, check.unhealthy_interval),
        (Duration::from_secs(5), Some(Duration::from_secs(1)))
    );
    assert_eq!(
        (
            check.unhealthy_threshold,
            check.healthy_threshold,
            check.timeout
        ),
        (3, 2, Duration::from_secs(1))
    );
    assert_eq!(
        (
            check.path.as_deref(),
            check.expects(302),
            check.expects(204)
        ),
        (Some("/"), true, false)
    );
    assert!(!problems.contains("not modelled"), "{problems}");

    let (cluster, problems) =
        of("{passive: {unhealthy: {httpFailures: 4, tcpFailures: 2, timeouts: 2}}, threshold: 60}");
    let outlier = cluster.outlier.expect("passive checks").value;
    assert_eq!(
        (
            outlier.consecutive_5xx,
            outlier.consecutive_local_origin_failure
        ),
        (4, 2)
    );
    assert_eq!(
        (
            outlier.base_ejection_time,
            outlier.max_ejection_share.as_ppm()
        ),
        (Duration::MAX, 1_000_000)
    );
    assert_eq!(cluster.panic_threshold.value.as_ppm(), 600_000);
    assert!(cluster.fail_traffic_on_panic);
    assert!(
        problems.contains("the list of failing statuses: not modelled"),
        "{problems}"
    );

    let (cluster, problems) =
        of("{active: {unhealthy: {interval: 3}}, passive: {unhealthy: {httpFailures: 0}}}");
    assert!(
        cluster.health_checks.is_empty() && cluster.outlier.is_none(),
        "off"
    );
    assert!(
        problems.contains("probes of unhealthy targets alone: not modelled"),
        "{problems}"
    );
    let (_, problems) = of("{active: {healthy: {interval: 5}, unhealthy: {httpFailures: 1}}}");
    assert!(
        problems.contains("a counter for each kind of failure: not modelled"),
        "{problems}"
    );
}
