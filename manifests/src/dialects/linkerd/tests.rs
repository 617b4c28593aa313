mod fields;
mod profiles;
mod routes;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use proxy_core::accrual::Settings;
use proxy_core::config::{
    Balancer, ChainAction, CloseReason, Cluster, Forward, Listener, ListenerAddress, RetryPolicy,
    Route, RouteAction, Section, TransportProtocol, Unlisted, UpstreamProtocol, UpstreamTransport,
};
use proxy_core::draw::DrawKey;
use proxy_core::heads::{HeadId, Heads};
use proxy_core::node::Arrival;
use proxy_core::origin::OriginId;
use proxy_core::retry::backoff::{AddedJitter, Backoff};
use proxy_core::retry::conditions::{Condition, RetryOn};
use proxy_core::route::{RequestView, find_route};
use proxy_core::time::Duration;

use super::*;
use crate::diagnostics::Diagnostics;
use crate::load::{Layer, Objects, load};
use crate::model::{
    ContainerPort, Directory, Labels, Service, ServiceId, ServiceKind, ServicePort, SidecarRules,
    TargetPort, WorkloadKind,
};
use crate::origins::Origins;
use crate::text::{Sources, Span};

/// A cluster with Services `a` and `b` (80 to 8080) and `c` (6379) of `default`, each with a workload of its name. `default` asks for
/// proxies; `c` is not meshed.
struct Cluster_ {
    sources: Sources,
    objects: Objects,
    services: Vec<Service>,
    workloads: Vec<Workload>,
    rules: SidecarRules,
    release: &'static str,
    origins: Origins,
    diagnostics: Diagnostics,
}

struct Request<'a> {
    method: &'a str,
    path: &'a str,
    headers: &'a [(&'a str, &'a str)],
}

impl Heads for Request<'_> {
    fn method(&self, _: HeadId) -> &str {
        self.method
    }

    fn authority(&self, _: HeadId) -> &str {
        "anything.example:80"
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

fn service(id: u32, name: &str, port: u16, target: u16) -> Service {
    Service {
        id: ServiceId(id),
        namespace: "default".into(),
        name: name.into(),
        kind: ServiceKind::ClusterIp(ip(id)),
        ports: vec![ServicePort {
            number: port,
            name: None,
            app_protocol: None,
            target: TargetPort::Number(target),
            udp: false,
            span: Span::NOWHERE,
        }],
        selector: Labels::new(),
        labels: Labels::new(),
        annotations: Labels::new(),
        listed: Vec::new(),
        workloads: vec![WorkloadId(id)],
        span: Span::NOWHERE,
        origin: OriginId::NONE,
    }
}

fn ip(id: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 96, 0, id as u8 + 1))
}

fn workload(id: u32, name: &str, port: u16) -> Workload {
    Workload {
        id: WorkloadId(id),
        namespace: "default".into(),
        name: name.into(),
        kind: WorkloadKind::Deployment,
        replicas: 1,
        labels: Labels::new(),
        annotations: Labels::new(),
        service_account: name.into(),
        ports: vec![ContainerPort {
            name: None,
            number: port,
        }],
        host_network: false,
        sidecar: None,
        span: Span::NOWHERE,
        origin: OriginId::NONE,
    }
}

const MESHED: &str = "apiVersion: v1\nkind: Namespace\nmetadata: {name: default, annotations: {linkerd.io/inject: enabled}}\n---\n";

impl Cluster_ {
    fn with(yaml: &str) -> Self {
        let mut sources = Sources::default();
        let mut diagnostics = Diagnostics::default();
        let layers = [Layer::text("linkerd.yaml", format!("{MESHED}{yaml}"))];
        let objects = load(&layers, &mut sources, &mut diagnostics);
        let mut workloads = vec![
            workload(0, "a", 8080),
            workload(1, "b", 8080),
            workload(2, "c", 6379),
        ];
        workloads[2]
            .annotations
            .insert("linkerd.io/inject".into(), "disabled".into());
        Self {
            sources,
            objects,
            services: vec![
                service(0, "a", 80, 8080),
                service(1, "b", 80, 8080),
                service(2, "c", 6379, 6379),
            ],
            workloads,
            rules: SidecarRules::default(),
            release: "2.18",
            origins: Origins::default(),
            diagnostics,
        }
    }

    /// With annotations on the Service `a`.
    fn annotated(annotations: &[(&str, &str)], others: &str) -> Self {
        let lines: String = annotations
            .iter()
            .map(|(key, value)| format!("    {key}: {value:?}\n"))
            .collect();
        Self::with(&format!(
            "apiVersion: v1\nkind: Service\nmetadata:\n  name: a\n  annotations:\n{lines}---\n{others}"
        ))
    }

    fn run<T>(&mut self, then: impl FnOnce(&dyn Mesh, &mut Compile<'_>) -> T) -> T {
        let directory = Directory::new(&self.services);
        let workloads = self.workloads.clone();
        let mut cx = Compile {
            objects: &self.objects,
            services: &self.services,
            workloads: &workloads,
            gateways: &[],
            directory: &directory,
            overrides: &[],
            sidecars: &self.rules,
            origins: &mut self.origins,
            diagnostics: &mut self.diagnostics,
        };
        let make = DIALECT.mesh.expect("Linkerd is a mesh");
        let mesh = make(self.release, &mut cx);
        for at in 0..workloads.len() {
            self.workloads[at].sidecar = mesh.sidecar(&mut cx, WorkloadId(at as u32));
        }
        let workloads = self.workloads.clone();
        cx.workloads = &workloads;
        then(&*mesh, &mut cx)
    }

    fn outbound(&mut self) -> Section {
        self.run(|mesh, cx| mesh.outbound(cx, WorkloadId(1)))
            .draft
            .build()
            .expect("a section that can be used")
    }

    fn inbound(&mut self) -> Section {
        self.run(|mesh, cx| mesh.inbound(cx, WorkloadId(0)))
            .draft
            .build()
            .expect("a section that can be used")
    }

    fn problems(&mut self) -> String {
        self.run(|_, _| ());
        self.diagnostics.to_lines(&self.sources)
    }

    /// What the proxy of `b` does with a request to `a`.
    fn call(&mut self, request: &Request<'_>) -> Option<(Route, Vec<Cluster>)> {
        let section = self.outbound();
        let listener = section
            .listener(Arrival::Outbound, SocketAddr::new(ip(0), 80))
            .expect("a listener");
        let route = route_in(
            &section,
            &section.listeners()[listener as usize],
            0,
            request,
        )?;
        let clusters = match &route.action {
            RouteAction::Forward(forward) => forward
                .clusters
                .iter()
                .filter_map(|weighted| weighted.cluster)
                .collect(),
            RouteAction::Redirect(_) | RouteAction::Direct(_) => Vec::new(),
        };
        let clusters = clusters
            .iter()
            .map(|cluster| (*section.clusters()[cluster.0 as usize]).clone())
            .collect();
        Some((route, clusters))
    }

    fn get(&mut self, path: &str) -> Option<(Route, Vec<Cluster>)> {
        self.call(&Request {
            method: "GET",
            path,
            headers: &[],
        })
    }

    fn forward(&mut self, path: &str) -> Forward {
        let (route, _) = self.get(path).expect("a route");
        let RouteAction::Forward(forward) = route.action else {
            panic!("sent on")
        };
        *forward
    }

    fn retry(&mut self, path: &str) -> RetryPolicy {
        *self.forward(path).retry.expect("a retry policy")
    }
}

fn route_in(
    section: &Section,
    listener: &Listener,
    chain: usize,
    request: &Request<'_>,
) -> Option<Route> {
    let ChainAction::Http(http) = &listener.chains[chain].action else {
        panic!("HTTP")
    };
    assert_eq!(http.upgrades.others, Unlisted::Allowed, "all upgrades pass");
    let host = section.virtual_host(http.table, "anything.example:80")?;
    let host = &section.tables()[http.table.0 as usize].virtual_hosts[host as usize];
    let view = RequestView {
        heads: request,
        head: HeadId(0),
        edge: true,
    };
    let route = find_route(host, view, DrawKey::root(1))?;
    Some(host.routes[route as usize].clone())
}

#[test]
fn without_policy_nothing_is_tried_again_or_timed_out() {
    let mut cluster = Cluster_::with("");
    let (_, clusters) = cluster.get("/").expect("a route");
    let to = &clusters[0];
    assert_eq!(
        to.balancer.value,
        Balancer::PeakEwma {
            default_rtt: Duration::from_millis(30),
            decay: Duration::from_secs(10)
        }
    );
    assert_eq!(
        cluster.origins.text(to.balancer.origin, &cluster.sources),
        "default of linkerd@2.18"
    );
    let queue = to.queue.expect("a queue").value;
    assert_eq!(
        (queue.capacity, queue.timeout),
        (100, Duration::from_secs(3))
    );
    assert_eq!(to.connect_timeout.value, Duration::from_secs(1));
    assert_eq!(to.panic_threshold.value.as_ppm(), 0);
    assert!(to.retry_budget.is_none());
    let forward = cluster.forward("/");
    assert!(forward.retry.is_none());
    assert_eq!((forward.timeout.value, forward.idle_timeout), (None, None));
    assert_eq!(cluster.problems(), "");
}

#[test]
fn meshed_pods_are_spoken_to_in_http2_with_identities() {
    let mut cluster = Cluster_::with("");
    let section = cluster.outbound();
    let meshed =
        &section.clusters()[section.cluster_named("a.default:80").expect("there").0 as usize];
    assert_eq!(meshed.protocol, UpstreamProtocol::Http2);
    let expected = UpstreamTransport::Mesh {
        sni: "a.default.serviceaccount.identity.linkerd.cluster.local".into(),
        identity: "b.default.serviceaccount.identity.linkerd.cluster.local".into(),
        alpn: Vec::new(),
        only_where_meshed: true,
    };
    assert_eq!(meshed.transport, expected);
    let plain =
        &section.clusters()[section.cluster_named("c.default:6379").expect("there").0 as usize];
    assert_eq!(
        (plain.protocol, &plain.transport),
        (UpstreamProtocol::Downstream, &UpstreamTransport::Plaintext)
    );
}

#[test]
fn retries_by_annotation_have_the_controllers_limits() {
    let mut cluster = Cluster_::annotated(
        &[
            ("retry.linkerd.io/http", "gateway-error,429"),
            ("retry.linkerd.io/timeout", "400ms"),
        ],
        "",
    );
    let retry = cluster.retry("/");
    assert_eq!(retry.statuses, [429, 502, 503, 504]);
    assert_eq!(retry.retries.value, 1, "unless set");
    assert_eq!(
        retry.per_try_timeout.map(|timeout| timeout.value),
        Some(Duration::from_millis(400))
    );
    assert_eq!(
        retry.backoff.value,
        Backoff::AddedJitter(AddedJitter::linkerd_retry())
    );
    assert_eq!(retry.body_limit, Some(65_536));
    assert!(retry.last_try_unbounded);
    let on = [
        Condition::RetriableStatusCodes,
        Condition::RefusedStream,
        Condition::PerTryTimeout,
    ];
    assert_eq!(retry.on.value, on.into_iter().collect::<RetryOn>());
    assert_eq!(
        cluster.origins.text(retry.on.origin, &cluster.sources),
        "linkerd.yaml:10"
    );
}

#[test]
fn timeouts_by_annotation_bound_the_whole_and_the_answer() {
    let ms = |millis| Some(Duration::from_millis(millis));
    let of = |annotations: &[(&str, &str)]| {
        let forward = Cluster_::annotated(annotations, "").forward("/");
        let other = |timeout: Option<Sourced<Duration>>| timeout.map(|timeout| timeout.value);
        (
            forward.timeout.value,
            other(forward.max_stream_duration),
            other(forward.idle_timeout),
        )
    };
    let (request, response, idle) = (
        ("timeout.linkerd.io/request", "2s"),
        ("timeout.linkerd.io/response", "1s"),
        ("timeout.linkerd.io/idle", "300ms"),
    );
    assert_eq!(of(&[request]), (ms(2_000), None, None));
    assert_eq!(of(&[response]), (ms(1_000), None, None));
    assert_eq!(
        of(&[request, response, idle]),
        (ms(1_000), ms(2_000), ms(300))
    );
    assert_eq!(
        of(&[("timeout.linkerd.io/request", "0")]),
        (None, None, None)
    );
}

const ROUTES: &str = "apiVersion: policy.linkerd.io/v1beta3
kind: HTTPRoute
metadata:
  name: orders
  annotations: {retry.linkerd.io/http: 5xx, retry.linkerd.io/limit: \"2\"}
spec:
  parentRefs: [{kind: Service, group: core, name: a, port: 80}]
  rules:
  - matches: [{path: {value: /orders}}, {path: {type: Exact, value: /}, method: POST}]
    timeouts: {request: 750ms}
    backendRefs: [{name: a, port: 80, weight: 9}, {name: b, port: 80}]
  - matches: [{path: {value: /orders/old}, headers: [{name: X-Old, value: \"1\"}]}]
    filters: [{type: RequestRedirect, requestRedirect: {statusCode: 301, path: {type: ReplaceFullPath, replaceFullPath: /new}}}]
";

#[test]
fn routes_of_a_service_replace_its_default_route() {
    let mut cluster = Cluster_::with(ROUTES);
    let (route, clusters) = cluster.get("/orders/7").expect("a route");
    assert_eq!(&*route.name, "default/orders");
    assert_eq!(
        clusters
            .iter()
            .map(|cluster| &*cluster.name)
            .collect::<Vec<_>>(),
        ["a.default:80", "b.default:80"]
    );
    let forward = cluster.forward("/orders");
    assert_eq!(
        forward
            .clusters
            .iter()
            .map(|weighted| weighted.weight)
            .collect::<Vec<_>>(),
        [9, 1]
    );
    assert_eq!(forward.timeout.value, Some(Duration::from_millis(750)));
    assert_eq!(cluster.retry("/orders").retries.value, 2);
    assert!(cluster.get("/ordersx").is_none(), "by segments");
    assert!(cluster.get("/").is_none(), "no route takes it: 404");
    assert!(
        cluster
            .call(&Request {
                method: "POST",
                path: "/",
                headers: &[]
            })
            .is_some()
    );
    let old = Request {
        method: "GET",
        path: "/orders/old/3",
        headers: &[("x-old", "1")],
    };
    let (route, _) = cluster.call(&old).expect("a route");
    assert!(
        matches!(&route.action, RouteAction::Redirect(redirect) if redirect.status == 301),
        "the longer path comes first"
    );
}

#[test]
fn a_routes_annotations_replace_all_of_the_services() {
    let service = [
        ("retry.linkerd.io/http", "5xx"),
        ("retry.linkerd.io/limit", "7"),
    ];
    let mut own = Cluster_::annotated(&service, ROUTES);
    assert_eq!(own.retry("/orders").retries.value, 2);
    let mut inherited =
        Cluster_::annotated(&service, &ROUTES.replace("  annotations: {", "  labels: {"));
    assert_eq!(inherited.retry("/orders").retries.value, 7);
}

#[test]
fn a_route_of_another_namespace_is_for_that_namespaces_callers() {
    let consumer = ROUTES
        .replace("name: orders", "name: orders\n  namespace: shop")
        .replace(
            "name: a, port: 80}]\n",
            "name: a, namespace: default, port: 80}]\n",
        )
        .replace(
            "{name: a, port: 80, weight: 9}, {name: b, port: 80}",
            "{name: a, namespace: default, port: 80}",
        );
    let mut cluster = Cluster_::with(&consumer);
    assert_eq!(
        &*cluster.get("/other").expect("the default route").0.name,
        "default"
    );
    cluster.workloads[1].namespace = "shop".into();
    assert!(
        cluster.get("/other").is_none(),
        "the route takes only /orders"
    );
    assert!(cluster.get("/orders").is_some());
}

#[test]
fn a_service_profile_wins_and_brings_a_budget() {
    let profile = "apiVersion: linkerd.io/v1alpha2
kind: ServiceProfile
metadata: {name: a.default.svc.cluster.local}
spec:
  retryBudget: {retryRatio: 0.5, minRetriesPerSecond: 3, ttl: 20s}
  routes:
  - name: read
    condition: {method: GET, pathRegex: '/items/[^/]*'}
    isRetryable: true
    timeout: 300ms
    responseClasses: [{condition: {status: {min: 429, max: 429}}, isFailure: true}]
  - name: write
    condition: {any: [{method: POST}, {method: PUT}]}
";
    let mut cluster = Cluster_::annotated(&[("retry.linkerd.io/http", "5xx")], profile);
    let retry = cluster.retry("/items/7");
    assert_eq!(
        (retry.retries.value, retry.backoff.value),
        (u32::MAX, Backoff::None)
    );
    assert!(
        retry.statuses.contains(&429)
            && retry.statuses.contains(&500)
            && !retry.statuses.contains(&404)
    );
    assert_eq!(
        retry.on.value,
        RetryOn::NONE
            .with(Condition::RetriableStatusCodes)
            .with(Condition::RetriableHeaders)
    );
    assert_eq!(
        cluster.forward("/items/7").timeout.value,
        Some(Duration::from_millis(300))
    );
    let (route, clusters) = cluster.get("/items/7/more").expect("a route");
    assert_eq!(&*route.name, "default");
    assert!(
        matches!(&route.action, RouteAction::Forward(forward) if forward.retry.is_none()),
        "annotations do not count"
    );
    assert!(clusters[0].retry_budget.is_some());
    let put = Request {
        method: "PUT",
        path: "/x",
        headers: &[],
    };
    assert_eq!(&*cluster.call(&put).expect("a route").0.name, "write");
    assert_eq!(cluster.problems(), "");
}

#[test]
fn ports_where_the_server_speaks_first_are_not_looked_into() {
    let mut cluster = Cluster_::annotated(&[("config.linkerd.io/opaque-ports", "80")], "");
    let section = cluster.outbound();
    let kinds = |id: u32, port: u16| {
        let listener = section
            .listener(Arrival::Outbound, SocketAddr::new(ip(id), port))
            .expect("a listener");
        let chains = &section.listeners()[listener as usize].chains;
        chains
            .iter()
            .map(|chain| matches!(chain.action, ChainAction::Http(_)))
            .collect::<Vec<_>>()
    };
    assert_eq!(kinds(0, 80), [false], "annotated");
    assert_eq!(kinds(1, 80), [true, false, false], "detected");
    assert_eq!(kinds(2, 6379), [false], "Redis is on the chart's list");
}

#[test]
fn skipped_ports_are_carried_as_they_are() {
    let mut cluster = Cluster_::with("");
    cluster.workloads[1].annotations.insert(
        "config.linkerd.io/skip-outbound-ports".into(),
        "80,4000-4001".into(),
    );
    let section = cluster.outbound();
    let listener = section
        .listener(Arrival::Outbound, SocketAddr::new(ip(0), 80))
        .expect("a listener");
    assert_eq!(
        section.listeners()[listener as usize].address,
        ListenerAddress::OutboundPort(80)
    );
    assert!(
        section
            .listener(Arrival::Outbound, SocketAddr::new(ip(0), 4001))
            .is_some()
    );
    let scope = |cluster: &mut Cluster_, at| {
        cluster.run(|mesh, cx| mesh.outbound_scope(cx, WorkloadId(at)))
    };
    assert_ne!(scope(&mut cluster, 0), scope(&mut cluster, 1));
}

#[test]
fn who_may_call_is_the_default_inbound_policy() {
    // meshed request, plaintext request, other bytes in plaintext
    let rows = [
        (None, [Some(()), Some(()), Some(())]),
        (Some("all-unauthenticated"), [Some(()), Some(()), Some(())]),
        (Some("audit"), [Some(()), Some(()), Some(())]),
        (Some("all-authenticated"), [Some(()), None, None]),
        (Some("deny"), [None, None, None]),
    ];
    for (policy, expected) in rows {
        let mut cluster = Cluster_::with("");
        if let Some(policy) = policy {
            cluster.workloads[0].annotations.insert(
                "config.linkerd.io/default-inbound-policy".into(),
                policy.into(),
            );
        }
        let section = cluster.inbound();
        let listener = section
            .listener(Arrival::Inbound, SocketAddr::new(ip(0), 8080))
            .expect("a listener");
        let listener = &section.listeners()[listener as usize];
        assert_eq!(
            listener.chains[0].matches.transport,
            Some(TransportProtocol::Tls)
        );
        let request = Request {
            method: "GET",
            path: "/",
            headers: &[],
        };
        let answers = |chain| match route_in(&section, listener, chain, &request)
            .expect("a route")
            .action
        {
            RouteAction::Forward(_) => Some(()),
            RouteAction::Direct(direct) => {
                assert_eq!(direct.status, 403);
                None
            }
            RouteAction::Redirect(_) => panic!("no redirect"),
        };
        let bytes = match &listener.chains[2].action {
            ChainAction::Tcp(_) => Some(()),
            ChainAction::Close(reason) => {
                assert_eq!(*reason, CloseReason::NoFilterChain);
                None
            }
            ChainAction::Http(_) | ChainAction::Udp(_) => panic!("bytes"),
        };
        assert_eq!([answers(0), answers(1), bytes], expected, "{policy:?}");
    }
}

#[test]
fn annotations_decide_who_has_a_proxy_then_the_scenario() {
    let injected = |change: fn(&mut Cluster_)| {
        let mut cluster = Cluster_::with("");
        change(&mut cluster);
        cluster.run(|_, cx| {
            cx.workloads[0]
                .sidecar
                .as_ref()
                .map(|sidecar| sidecar.why.clone())
        })
    };
    assert_eq!(
        injected(|_| ()).as_deref(),
        Some("namespace default has linkerd.io/inject: enabled")
    );
    let pods = |value: &'static str| {
        move |cluster: &mut Cluster_| {
            cluster.workloads[0]
                .annotations
                .insert("linkerd.io/inject".into(), value.into());
        }
    };
    let mut disabled = Cluster_::with("");
    pods("disabled")(&mut disabled);
    assert!(disabled.run(|_, cx| cx.workloads[0].sidecar.is_none()));
    assert!(injected(|cluster| cluster.workloads[0].host_network = true).is_none());
    let elsewhere = |cluster: &mut Cluster_| cluster.workloads[0].namespace = "other".into();
    let mut silent = Cluster_::with("");
    elsewhere(&mut silent);
    assert!(silent.run(|_, cx| cx.workloads[0].sidecar.is_none()));
    silent.rules.inject.push("other".into());
    assert!(silent.run(|_, cx| cx.workloads[0].sidecar.is_some()));
}

#[test]
fn what_is_wrong_is_located() {
    let rows = [
        (
            vec![("retry.linkerd.io/htpp", "5xx")],
            "",
            "error[linkerd::unknown-annotation]: Linkerd knows no annotation `retry.linkerd.io/htpp`: did you mean `retry.linkerd.io/http`?",
        ),
        (
            vec![("retry.linkerd.io/http", "5xy")],
            "",
            "error[linkerd::bad-annotation]: `retry.linkerd.io/http` cannot be `5xy`",
        ),
        (
            vec![("timeout.linkerd.io/request", "1m30s")],
            "",
            "error[linkerd::bad-annotation]",
        ),
        (
            vec![("balancer.linkerd.io/failure-accrual", "unified")],
            "",
            "error[linkerd::bad-annotation]: `balancer.linkerd.io/failure-accrual` cannot be `unified`",
        ),
        (
            vec![],
            "spec: {parentRefs: [{kind: Service, name: aa}], rules: []}",
            "error[linkerd::unknown-service]: no Service `aa` in namespace `default`: did you mean `a`?",
        ),
        (
            vec![],
            "spec: {parentRefs: [{kind: Service, name: a, port: 81}], rules: []}",
            "error[linkerd::unknown-port]: Service `a` has no port 81",
        ),
        (
            vec![],
            "spec: {parentRefs: [{kind: Service, name: a}], rules: [{filters: [{type: URLRewrite, urlRewrite: {}}]}]}",
            "error[linkerd::filter]",
        ),
        (
            vec![],
            "spec: {parentRefs: [{kind: Service, name: a}], rulez: []}",
            "error[field::unknown]: unknown field `rulez`: did you mean `rules`?",
        ),
        (
            vec![],
            "spec: {parentRefs: [{kind: Service, name: a}], rules: [{timeouts: {request: soon}}]}",
            "error[linkerd::duration]",
        ),
        (
            vec![],
            "spec: {parentRefs: [{kind: Service, name: a}], rules: [{timeouts: {backendRequest: 1s}}]}",
            "warning[linkerd::ignored]",
        ),
        (
            vec![],
            "spec: {parentRefs: [{kind: Server, group: policy.linkerd.io, name: s}]}",
            "not modelled[linkerd::not-modelled]: HTTPRoute/default/r is not modelled",
        ),
    ];
    for (annotations, spec, expected) in rows {
        let route = format!(
            "apiVersion: policy.linkerd.io/v1beta3\nkind: HTTPRoute\nmetadata: {{name: r}}\n{spec}\n"
        );
        let others = if spec.is_empty() { "" } else { &route };
        let mut cluster = Cluster_::annotated(&annotations, others);
        let problems = cluster.problems();
        assert!(problems.contains(expected), "{expected}\n{problems}");
        assert!(problems.starts_with("linkerd.yaml:"), "{problems}");
    }
}

#[test]
fn failure_accrual_is_on_where_it_is_asked_for_and_no_profile_counts() {
    let on = ("balancer.linkerd.io/failure-accrual", "consecutive");
    let of = |annotations: &[(&str, &str)], others: &str| {
        let mut cluster = Cluster_::annotated(annotations, others);
        let (_, clusters) = cluster.get("/").expect("a route");
        clusters[0].accrual.map(|accrual| accrual.value)
    };
    assert_eq!(of(&[], ""), None);
    assert_eq!(of(&[on], ""), Some(Settings::linkerd()));
    let set = [
        on,
        (
            "balancer.linkerd.io/failure-accrual-consecutive-max-failures",
            "3",
        ),
        (
            "balancer.linkerd.io/failure-accrual-consecutive-min-penalty",
            "2s",
        ),
        (
            "balancer.linkerd.io/failure-accrual-consecutive-jitter-ratio",
            "0",
        ),
    ];
    let expected = Settings {
        max_failures: 3,
        min_penalty: Duration::from_secs(2),
        jitter: 0.0,
        ..Settings::linkerd()
    };
    assert_eq!(of(&set, ""), Some(expected));
    let profile = "apiVersion: linkerd.io/v1alpha2\nkind: ServiceProfile\nmetadata: {name: a.default.svc.cluster.local}\nspec: {routes: []}\n";
    assert_eq!(of(&set, profile), None);
}
