//! The field's layered guide, Kong at the edge and Istio inside with STRICT mutual TLS, built from the tutorial's files and looked at from
//! the mesh's side; and the other scenarios whose manifests are Istio's.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use manifests::diagnostics::Diagnostics;
use manifests::load::{Layer, load};
use manifests::model::{
    GatewayOverride, Input, Labels, MeshWish, Model, NodeRef, Place, Pod, Pods, WorkloadId,
};
use manifests::origins::Origins;
use manifests::text::{Sources, Span};
use proxy_core::config::{
    ChainAction, CloseReason, Cluster, ListenerAddress, NodeConfig, RetryPolicy, Route,
    RouteAction, Section, UpstreamTransport,
};
use proxy_core::draw::DrawKey;
use proxy_core::heads::{HeadId, Heads};
use proxy_core::node::{
    Accept, Action, Arrival, Cx, Identity, Input as Event, Node, Peek, PeekedProtocol, TlsHello,
};
use proxy_core::retry::conditions::{Condition, RetryOn, Vocabulary};
use proxy_core::shared::PlainState;
use proxy_core::time::{Duration, Time};

/// Some folders of one scenario, laid over each other.
struct Flight {
    scenario: &'static str,
    layers: &'static [&'static str],
    release: Option<&'static str>,
}

struct Built {
    model: Model,
    pods: Pods,
    origins: Origins,
    sources: Sources,
    problems: String,
    has_errors: bool,
}

fn tutorial(layers: &'static [&'static str]) -> Built {
    Flight {
        scenario: "tutorial",
        layers,
        release: None,
    }
    .build()
}

fn scenarios() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios")
}

impl Flight {
    fn build(self) -> Built {
        let mut sources = Sources::default();
        let mut origins = Origins::default();
        let mut diagnostics = Diagnostics::default();
        let folder = scenarios().join(self.scenario);
        let layers: Vec<Layer> = self
            .layers
            .iter()
            .map(|layer| Layer::path(*layer, folder.join(layer)))
            .collect();
        let objects = load(&layers, &mut sources, &mut diagnostics);
        let kong = GatewayOverride {
            target: "default/api-gateway".into(),
            kind: Some("kong".into()),
            namespace: Some("kong".into()),
            labels: Labels::from([("app".into(), "kong".into())]),
            replicas: Some(1),
        };
        let input = Input {
            objects,
            mesh: MeshWish::Named {
                system: "istio".into(),
                release: self.release.map(str::to_owned),
                span: Span::NOWHERE,
            },
            overrides: if self.scenario == "tutorial" {
                vec![kong]
            } else {
                Vec::new()
            },
            ..Input::default()
        };
        let model = Model::build(input, &mut origins, &mut diagnostics).expect("its mesh is known");
        let mut pods = Pods::new(model.workloads().len());
        for workload in model.workloads() {
            for nth in 0..workload.replicas {
                pods.of_mut(workload.id).push(Pod {
                    ip: pod_ip(workload.id, nth),
                    name: format!("{}-{nth}", workload.name).into(),
                    place: place(["a", "b", "c"][nth as usize % 3]),
                    ready: true,
                    draining: false,
                    labels: None,
                });
            }
        }
        Built {
            problems: diagnostics.to_lines(&sources),
            has_errors: diagnostics.has_errors(),
            model,
            pods,
            origins,
            sources,
        }
    }
}

fn place(zone: &str) -> Place {
    Place {
        locality: format!("local/{zone}").into(),
        node: "".into(),
    }
}

fn pod_ip(workload: WorkloadId, nth: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 128, workload.0 as u8, nth as u8 + 1))
}

impl Built {
    fn workload(&self, name: &str) -> WorkloadId {
        self.model
            .workloads()
            .iter()
            .find(|workload| &*workload.name == name)
            .expect("a workload of that name")
            .id
    }

    fn kong(&self) -> WorkloadId {
        self.model.gateways()[0].workload.expect("its pods")
    }

    fn config(&self, workload: WorkloadId) -> Option<Arc<NodeConfig>> {
        let node = NodeRef::Sidecar(workload);
        self.model.config(node, &place("a"), &self.pods)
    }

    fn address(&self, service: &str) -> SocketAddr {
        let service = self
            .model
            .services()
            .iter()
            .find(|it| &*it.name == service)
            .expect("a Service of that name");
        SocketAddr::new(service.cluster_ip().expect("an address"), 80)
    }

    /// What the sidecar of `caller` does with a request to a Service, by its address and an authority.
    fn call(&self, caller: WorkloadId, service: &str, authority: &str) -> (Route, Arc<Cluster>) {
        let config = self.config(caller).expect("a sidecar");
        let outbound: &Section = &config.sections[1];
        let listener = outbound
            .listener(Arrival::Outbound, self.address(service))
            .expect("a listener");
        let ChainAction::Http(http) = &outbound.listeners()[listener as usize].chains[0].action
        else {
            panic!("HTTP first")
        };
        let host = outbound
            .virtual_host(http.table, authority)
            .expect("a virtual host");
        let host = &outbound.tables()[http.table.0 as usize].virtual_hosts[host as usize];
        let route = host.routes[0].clone();
        let RouteAction::Forward(forward) = &route.action else {
            panic!("sent on")
        };
        let cluster = forward.clusters[0].cluster.expect("a destination");
        let cluster = outbound.clusters()[cluster.0 as usize].clone();
        (route, cluster)
    }

    fn origin(&self, origin: proxy_core::origin::OriginId) -> String {
        self.origins.text(origin, &self.sources)
    }
}

fn retry(route: &Route) -> &RetryPolicy {
    let RouteAction::Forward(forward) = &route.action else {
        panic!("sent on")
    };
    forward.retry.as_deref().expect("a retry policy")
}

#[test]
fn the_guide_injects_default_and_leaves_kong_alone() {
    let built = tutorial(&["layered"]);
    assert!(!built.has_errors, "{}", built.problems);
    let a = &built.model.workloads()[built.workload("service-a").index()];
    let sidecar = a.sidecar.as_ref().expect("a sidecar");
    assert_eq!(
        sidecar.why,
        "namespace default has istio-injection: enabled"
    );
    assert_eq!(
        &*sidecar.identity,
        "spiffe://cluster.local/ns/default/sa/default"
    );
    assert!(
        built
            .origin(sidecar.origin)
            .starts_with("layered/namespaces.yaml:")
    );
    assert!(built.config(built.kong()).is_none());
    assert_eq!(built.model.mesh(), Some("istio@1.29"));
}

#[test]
fn a_listener_at_the_services_address_takes_any_authority() {
    let built = tutorial(&["layered", "meshed"]);
    assert!(!built.has_errors, "{}", built.problems);
    let config = built.config(built.kong()).expect("Kong is meshed now");
    let outbound = &config.sections[1];
    let to = built.address("service-a");
    let listener = outbound.listener(Arrival::Outbound, to).expect("one");
    let listener = &outbound.listeners()[listener as usize];
    assert_eq!(listener.address, ListenerAddress::OutboundTo(to));
    for authority in ["api.example.com", "service-a", "service-a:80", "10.1.2.3"] {
        let (_, cluster) = built.call(built.kong(), "service-a", authority);
        assert_eq!(
            &*cluster.name, "outbound|80||service-a.default.svc.cluster.local",
            "{authority}"
        );
    }
}

#[test]
fn the_guides_virtual_service_reaches_any_authority_with_the_releases_conditions() {
    for (release, statuses) in [(None, &[][..]), (Some("1.23"), &[503])] {
        let built = Flight {
            scenario: "tutorial",
            layers: &["layered", "meshed"],
            release,
        }
        .build();
        for authority in ["api.example.com", "service-a", "anything:8080"] {
            let (route, _) = built.call(built.kong(), "service-a", authority);
            let retry = retry(&route);
            assert_eq!(retry.retries.value, 3, "{authority}");
            let per_try = retry.per_try_timeout.expect("perTryTimeout");
            assert_eq!(per_try.value, Duration::from_secs(2));
            assert!(
                built
                    .origin(per_try.origin)
                    .starts_with("layered/istio-policies.yaml:")
            );
            let on = RetryOn::parse(
                "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes",
                Vocabulary::Both,
                |_| (),
            );
            assert_eq!(retry.on.value, on);
            assert!(
                built
                    .origin(retry.on.origin)
                    .starts_with("default of istio@")
            );
            assert_eq!(retry.statuses, statuses, "{release:?}");
        }
    }
}

#[test]
fn the_storm_layer_retries_every_failure() {
    let built = tutorial(&["layered", "meshed", "storm"]);
    let (route, _) = built.call(built.kong(), "service-a", "any");
    let on = RetryOn::NONE.with(Condition::ServerError);
    assert_eq!(retry(&route).on.value, on);
    assert_eq!(
        built.origin(retry(&route).on.origin),
        "storm/retries.yaml:16"
    );
}

#[test]
fn a_pods_address_passes_by_all_policies() {
    let built = tutorial(&["layered", "meshed"]);
    let config = built.config(built.kong()).expect("Kong is meshed now");
    let outbound = &config.sections[1];
    let pod = SocketAddr::new(pod_ip(built.workload("service-a"), 0), 8080);
    assert_eq!(outbound.listener(Arrival::Outbound, pod), None);
    let rest = outbound.rest_listener(Arrival::Outbound).expect("the rest");
    let chain = &outbound.listeners()[rest as usize].chains[0];
    let ChainAction::Tcp(tcp) = &chain.action else {
        panic!("bytes")
    };
    let cluster = &outbound.clusters()[tcp.clusters[0].0.0 as usize];
    assert_eq!(&*cluster.name, "PassthroughCluster");
    assert_eq!(cluster.transport, UpstreamTransport::Plaintext);
}

#[test]
fn the_budget_layer_bounds_retries() {
    let without = tutorial(&["layered", "meshed"]);
    let (_, cluster) = without.call(without.kong(), "service-a", "any");
    assert!(cluster.retry_budget.is_none());
    assert_eq!(cluster.limits[0].connections.value, u32::MAX);
    assert_eq!(
        without.origin(cluster.limits[0].retries.origin),
        "default of istio@1.29"
    );
    let built = tutorial(&["layered", "meshed", "budget"]);
    assert!(!built.has_errors, "{}", built.problems);
    let (_, cluster) = built.call(built.kong(), "service-a", "any");
    let budget = cluster.retry_budget.expect("a budget");
    let proxy_core::config::RetryBudget::Concurrency(value) = budget.value else {
        panic!("Envoy's")
    };
    assert_eq!(
        (value.percent, value.min_concurrency, value.interval),
        (20.0, 3, None)
    );
    assert_eq!(built.origin(budget.origin), "budget/budget.yaml:10");
}

#[test]
fn the_limits_layer_bounds_connections_and_takes_endpoints_out() {
    let built = tutorial(&["layered", "meshed", "limits"]);
    assert!(!built.has_errors, "{}", built.problems);
    let (_, cluster) = built.call(built.kong(), "service-a", "any");
    let limits = cluster.limits[0];
    assert_eq!(
        (
            limits.connections.value,
            limits.pending.value,
            limits.requests.value
        ),
        (64, 32, u32::MAX)
    );
    assert!(
        built
            .origin(limits.pending.origin)
            .starts_with("limits/limits.yaml:")
    );
    let outlier = cluster.outlier.expect("outlier detection").value;
    assert_eq!(outlier.consecutive_5xx, 10);
    assert_eq!(outlier.max_ejection_share.as_ppm(), 500_000);
    // the block turns panic off, which is at 50 % without it
    assert_eq!(cluster.panic_threshold.value.as_ppm(), 0);
}

#[test]
fn up_to_1_23_a_503_is_retried() {
    for (release, statuses) in [("1.29", &[][..]), ("1.24", &[]), ("1.23", &[503])] {
        let built = Flight {
            scenario: "retry-storm",
            layers: &["app"],
            release: Some(release),
        }
        .build();
        let (route, _) = built.call(built.workload("shop"), "orders", "orders");
        assert_eq!(retry(&route).statuses, statuses, "{release}");
        assert_eq!(retry(&route).retries.value, 2, "{release}");
    }
}

#[test]
fn every_scenario_of_istio_loads_without_errors() {
    let rows: [(&str, &[&str]); 9] = [
        ("retry-storm", &["app", "policy"]),
        ("retry-storm", &["app", "policy", "budget"]),
        ("canary", &["app", "canary"]),
        ("canary", &["app", "canary", "per-version"]),
        ("canary", &["app", "whole-service"]),
        ("zone-outage", &["app", "locality"]),
        ("bad-push", &["app", "bad"]),
        ("noisy-neighbour", &["app"]),
        ("noisy-neighbour", &["app", "limits"]),
    ];
    for (scenario, layers) in rows {
        let built = Flight {
            scenario,
            layers,
            release: None,
        }
        .build();
        assert!(
            !built.has_errors,
            "{scenario} {layers:?}\n{}",
            built.problems
        );
        assert!(
            !built.problems.contains("warning"),
            "{scenario} {layers:?}\n{}",
            built.problems
        );
    }
}

/// No request ever comes.
struct NoHeads;

impl Heads for NoHeads {
    fn method(&self, _: HeadId) -> &str {
        ""
    }

    fn authority(&self, _: HeadId) -> &str {
        ""
    }

    fn path(&self, _: HeadId) -> &str {
        ""
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

/// What the sidecar of `service-a` does with a connection to its pod: the last thing asked of the driver.
fn arrives(built: &Built, peek: Peek<'_>) -> Action {
    let config = built
        .config(built.workload("service-a"))
        .expect("a sidecar");
    let identity = Identity {
        key: DrawKey::root(7),
        locality: "".into(),
        epoch_nanos: 0,
        elected: true,
    };
    let mut node = Node::new(identity, config);
    let mut cx = Cx {
        now: Time::ZERO,
        shared: &mut PlainState::default(),
        heads: &NoHeads,
    };
    let accept = Accept {
        token: 1,
        arrival: Arrival::Inbound,
        source: SocketAddr::from(([10, 9, 9, 9], 40_000)),
        at: SocketAddr::new(pod_ip(built.workload("service-a"), 0), 8080),
        destination: SocketAddr::new(pod_ip(built.workload("service-a"), 0), 8080),
    };
    let downstream = node.accept(&mut cx, accept);
    let mut last = None;
    while let Some((_, action)) = node.poll_action() {
        if action == Action::Peek {
            node.handle(&mut cx, Event::Peeked { downstream, peek });
        } else if action == Action::Handshake {
            let peer = Some("spiffe://cluster.local/ns/kong/sa/kong");
            node.handle(&mut cx, Event::Shaken { downstream, peer });
        } else if !matches!(action, Action::Record(_) | Action::Arm { .. }) {
            last = Some(action);
        }
    }
    last.expect("something becomes of it")
}

#[test]
fn strict_closes_plaintext_and_serves_sidecars() {
    let plaintext = Peek {
        tls: None,
        protocol: PeekedProtocol::Http1,
    };
    let of_a_sidecar = Peek {
        tls: Some(TlsHello {
            sni: Some("outbound_.80_._.service-a.default.svc.cluster.local"),
            alpn: &["istio-http/1.1", "istio", "http/1.1"],
        }),
        protocol: PeekedProtocol::Unknown,
    };
    let built = tutorial(&["layered"]);
    assert_eq!(
        arrives(&built, plaintext),
        Action::CloseDownstream(CloseReason::NoFilterChain)
    );
    assert_eq!(arrives(&built, of_a_sidecar), Action::ServeHttp);
}

#[test]
fn outlier_detection_keeps_the_zone_outages_calls_in_their_zone() {
    let priorities = |layers| {
        let built = Flight {
            scenario: "zone-outage",
            layers,
            release: None,
        }
        .build();
        let (_, cluster) = built.call(built.workload("web"), "catalog", "catalog");
        let endpoints = cluster.endpoints.endpoints.iter();
        endpoints.map(|it| it.priority).collect::<Vec<_>>()
    };
    assert_eq!(priorities(&["app"]), [0; 6]);
    // the caller is in zone a, as every third pod
    assert_eq!(priorities(&["app", "locality"]), [0, 1, 1, 0, 1, 1]);
}
