//! The field's layered guide, Kong at the edge and a mesh inside, built into a model and looked at from Kong's side.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use manifests::diagnostics::Diagnostics;
use manifests::load::{Layer, load};
use manifests::model::{
    Declared, GatewayId, GatewayOverride, Input, Labels, MeshWish, Model, NodeRef, Place, Pod,
    Pods, SidecarRules, WorkloadId,
};
use manifests::origins::Origins;
use manifests::text::{Sources, Span};
use proxy_core::config::{ChainAction, ListenerAddress, NodeConfig, NodeKind, Section};
use proxy_core::node::Arrival;

/// The guide's own files, and what is laid over them.
struct Guide {
    over: Vec<&'static str>,
    mesh: MeshWish,
    sidecars: SidecarRules,
    overrides: Vec<GatewayOverride>,
    declared: Vec<Declared>,
}

struct Built {
    model: Model,
    pods: Pods,
    problems: String,
    has_errors: bool,
}

/// Sends to the Service's address.
const SERVICE_UPSTREAM: &str = "apiVersion: v1
kind: Service
metadata: {name: service-a, annotations: {ingress.kubernetes.io/service-upstream: \"true\"}}
spec: {selector: {app: service-a}, ports: [{port: 80, targetPort: 8080}]}
";

fn linkerd() -> MeshWish {
    MeshWish::Named {
        system: "linkerd".into(),
        release: None,
        span: Span::NOWHERE,
    }
}

impl Guide {
    fn plain() -> Self {
        Self {
            over: Vec::new(),
            mesh: MeshWish::None,
            sidecars: SidecarRules::default(),
            overrides: Vec::new(),
            declared: Vec::new(),
        }
    }

    /// With Linkerd where the guide has Istio.
    fn linkerd(inject: &[&str]) -> Self {
        let inject = inject.iter().map(|name| (*name).into()).collect();
        Self {
            mesh: linkerd(),
            sidecars: SidecarRules {
                inject,
                skip: Vec::new(),
            },
            ..Self::plain()
        }
    }

    fn build(self) -> Built {
        let mut sources = Sources::default();
        let mut diagnostics = Diagnostics::default();
        let mut layers = vec![Layer::path(
            "layered",
            concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/layered"),
        )];
        layers.extend(self.over.iter().map(|text| Layer::text("over.yaml", *text)));
        let objects = load(&layers, &mut sources, &mut diagnostics);
        let input = Input {
            objects,
            mesh: self.mesh,
            overrides: self.overrides,
            sidecars: self.sidecars,
            declared: self.declared,
            ..Input::default()
        };
        let model = Model::build(input, &mut Origins::default(), &mut diagnostics)
            .expect("its mesh is known");
        let mut pods = Pods::new(model.workloads().len());
        for workload in model.workloads() {
            for nth in 0..workload.replicas {
                pods.of_mut(workload.id).push(Pod {
                    ip: pod_ip(workload.id, nth),
                    name: format!("{}-{nth}", workload.name).into(),
                    place: Place::default(),
                    ready: true,
                    draining: false,
                    labels: None,
                });
            }
        }
        Built {
            model,
            pods,
            problems: diagnostics.to_lines(&sources),
            has_errors: diagnostics.has_errors(),
        }
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

    fn config(&self, node: NodeRef) -> Option<std::sync::Arc<NodeConfig>> {
        self.model.config(node, &Place::default(), &self.pods)
    }

    /// What Kong dials for `service-a`.
    fn dialled(&self) -> Vec<SocketAddr> {
        let kong = self.config(NodeRef::Gateway(GatewayId(0))).expect("Kong");
        let section = &kong.sections[0];
        let cluster = section
            .cluster_named("service-a.default.80.svc")
            .expect("an upstream");
        section.clusters()[cluster.0 as usize]
            .endpoints
            .endpoints
            .iter()
            .map(|endpoint| endpoint.address)
            .collect()
    }

    /// The listener of the sidecar beside Kong that takes what Kong dials.
    fn intercepted_by(&self) -> ListenerAddress {
        let kong = self.model.gateways()[0].workload.expect("its pods");
        let sidecar = self.config(NodeRef::Sidecar(kong)).expect("a sidecar");
        let outbound: &Section = &sidecar.sections[1];
        let to = self.dialled()[0];
        let listener = outbound
            .listener(Arrival::Outbound, to)
            .or_else(|| outbound.rest_listener(Arrival::Outbound));
        outbound.listeners()[listener.expect("somebody takes it") as usize].address
    }
}

#[test]
fn the_guide_loads_unchanged_and_kong_dials_pods() {
    let built = Guide::plain().build();
    assert!(!built.has_errors, "{}", built.problems);
    let a = built.workload("service-a");
    let pods: Vec<SocketAddr> = (0..2)
        .map(|nth| SocketAddr::new(pod_ip(a, nth), 8080))
        .collect();
    assert_eq!(built.dialled(), pods);
    let kong = &built.model.gateways()[0];
    assert_eq!((&*kong.name, &*kong.namespace), ("kong/kong", "kong"));
    assert!(
        built.problems.contains("assumed[kong::assumed-pods]"),
        "{}",
        built.problems
    );
    let config = built.config(NodeRef::Gateway(GatewayId(0))).expect("Kong");
    assert_eq!((config.kind, config.sections.len()), (NodeKind::Gateway, 1));
    assert!(
        built.config(NodeRef::Sidecar(a)).is_none(),
        "no mesh, no sidecar"
    );
}

#[test]
fn a_pod_that_is_not_ready_leaves_the_upstream() {
    let mut built = Guide::plain().build();
    let a = built.workload("service-a");
    let before = built.config(NodeRef::Gateway(GatewayId(0))).expect("Kong");
    let again = built.config(NodeRef::Gateway(GatewayId(0))).expect("Kong");
    assert!(
        std::sync::Arc::ptr_eq(&before, &again),
        "shared while nothing changes"
    );
    built.pods.of_mut(a)[0].ready = false;
    assert_eq!(built.dialled(), [SocketAddr::new(pod_ip(a, 1), 8080)]);
    let node = NodeRef::Gateway(GatewayId(0));
    let deltas = built
        .model
        .endpoints(node, &Place::default(), &built.pods, a);
    let names: Vec<&str> = deltas.iter().map(|(name, _)| &**name).collect();
    assert_eq!(names, ["service-a.default.80.svc"]);
    assert_eq!(deltas[0].1.endpoints.len(), 1);
    let kong = built.model.gateways()[0].workload.expect("its pods");
    assert!(
        built
            .model
            .endpoints(node, &Place::default(), &built.pods, kong)
            .is_empty()
    );
}

#[test]
fn the_service_upstream_annotation_makes_kong_dial_the_services_address() {
    let built = Guide {
        over: vec![SERVICE_UPSTREAM],
        ..Guide::plain()
    }
    .build();
    let service = built.model.services()[0].cluster_ip().expect("an address");
    assert_eq!(built.dialled(), [SocketAddr::new(service, 80)]);
}

#[test]
fn kong_outside_a_mesh_has_no_sidecar_and_the_service_has_one() {
    let built = Guide::linkerd(&["default"]).build();
    let kong = built.model.gateways()[0].workload.expect("its pods");
    assert!(built.config(NodeRef::Sidecar(kong)).is_none());
    let a = built
        .config(NodeRef::Sidecar(built.workload("service-a")))
        .expect("a sidecar");
    assert_eq!((a.kind, a.sections.len()), (NodeKind::Sidecar, 2));
    assert_eq!(built.model.mesh(), Some("linkerd@2.19"));
}

#[test]
fn kong_inside_the_mesh_passes_by_its_routes_unless_it_dials_the_service() {
    let past = Guide::linkerd(&["default", "kong"]).build();
    assert_eq!(past.intercepted_by(), ListenerAddress::OutboundRest);
    let through = Guide {
        over: vec![SERVICE_UPSTREAM],
        ..Guide::linkerd(&["default", "kong"])
    }
    .build();
    assert_eq!(
        through.intercepted_by(),
        ListenerAddress::OutboundTo(through.dialled()[0])
    );
}

#[test]
fn sidecars_of_equal_scope_share_their_outbound_section() {
    let declared = |name: &str| Declared {
        namespace: "default".into(),
        name: name.into(),
        replicas: 1,
        labels: Labels::new(),
        ports: vec![80],
        has_service: true,
        span: Span::NOWHERE,
    };
    let built = Guide {
        declared: vec![declared("b"), declared("c")],
        ..Guide::linkerd(&["default"])
    }
    .build();
    let sections = |name: &str| {
        built
            .config(NodeRef::Sidecar(built.workload(name)))
            .expect("a sidecar")
            .sections
            .clone()
    };
    let (b, c) = (sections("b"), sections("c"));
    assert!(
        std::sync::Arc::ptr_eq(&b[1], &c[1]),
        "outbound, of one namespace and service account"
    );
    assert!(!std::sync::Arc::ptr_eq(&b[0], &c[0]), "inbound");
    let http = |section: &Section| {
        section.listeners().iter().any(|l| {
            l.chains
                .iter()
                .any(|c| matches!(c.action, ChainAction::Http(_)))
        })
    };
    assert!(http(&b[0]) && http(&b[1]));
    assert!(
        built
            .model
            .directory()
            .resolve(built.model.services(), "default", "b", 80)
            .is_some()
    );
}

#[test]
fn a_scenario_says_where_kong_is_and_how_many() {
    let over = GatewayOverride {
        target: "default/api-gateway".into(),
        kind: Some("kong".into()),
        namespace: Some("kong".into()),
        labels: Labels::from([("app".into(), "kong".into())]),
        replicas: Some(2),
    };
    let built = Guide {
        overrides: vec![over],
        ..Guide::plain()
    }
    .build();
    let kong = &built.model.gateways()[0];
    assert_eq!(&*kong.name, "default/api-gateway");
    let pods = &built.model.workloads()[kong.workload.expect("its pods").index()];
    assert_eq!((&*pods.namespace, pods.replicas), ("kong", 2));
    assert!(
        !built.problems.contains("kong::assumed-pods"),
        "{}",
        built.problems
    );
}

#[test]
fn an_unknown_mesh_or_release_is_refused() {
    for (system, release) in [("lnkerd", None), ("linkerd", Some("1.0"))] {
        let mut diagnostics = Diagnostics::default();
        let mesh = MeshWish::Named {
            system: system.into(),
            release: release.map(Into::into),
            span: Span::NOWHERE,
        };
        let input = Input {
            mesh,
            ..Input::default()
        };
        assert!(Model::build(input, &mut Origins::default(), &mut diagnostics).is_none());
        assert!(diagnostics.has_errors());
    }
}

#[test]
fn an_ingress_that_no_gateway_serves_is_told() {
    let other = "apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: other}
spec: {ingressClassName: other, rules: [{http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: service-a, port: {number: 80}}}}]}}]}
";
    let built = Guide {
        over: vec![other],
        ..Guide::plain()
    }
    .build();
    assert!(
        built.problems.contains(
            "over.yaml:4:26: warning[gateway::none]: no gateway serves the class `other`"
        ),
        "{}",
        built.problems
    );
    assert!(!Guide::plain().build().problems.contains("gateway::none"));
}

#[test]
fn kongs_own_manifests_say_where_it_is_and_which_ports_it_has() {
    let kong = "apiVersion: apps/v1
kind: Deployment
metadata: {name: kong-gateway, namespace: edge}
spec:
  replicas: 3
  selector: {matchLabels: {app.kubernetes.io/name: gateway}}
  template:
    metadata: {labels: {app.kubernetes.io/name: gateway}}
    spec:
      serviceAccountName: edge
      containers: [{name: proxy, image: kong, ports: [{name: proxy, containerPort: 8000}, {name: proxy-tls, containerPort: 8443}]}]
---
apiVersion: v1
kind: Service
metadata: {name: kong-proxy, namespace: edge}
spec:
  type: LoadBalancer
  selector: {app.kubernetes.io/name: gateway}
  ports: [{name: web, port: 8088, targetPort: proxy}]
";
    let built = Guide {
        over: vec![kong],
        ..Guide::plain()
    }
    .build();
    let gateway = &built.model.gateways()[0];
    assert_eq!(
        (
            &*gateway.name,
            &*gateway.namespace,
            &*gateway.service_account
        ),
        ("edge/kong-gateway", "edge", "edge")
    );
    let listens: Vec<_> = gateway
        .listens
        .iter()
        .map(|listen| (listen.port, listen.bound, listen.tls))
        .collect();
    assert_eq!(listens, [(8088, 8000, false)]);
    let pods = |built: &Built| {
        built.model.workloads()[built.model.gateways()[0]
            .workload
            .expect("its pods")
            .index()]
        .replicas
    };
    assert_eq!(pods(&built), 3);
    let over = GatewayOverride {
        target: "edge/kong-gateway".into(),
        kind: Some("kong".into()),
        replicas: Some(5),
        ..GatewayOverride::default()
    };
    let built = Guide {
        over: vec![kong],
        overrides: vec![over],
        ..Guide::plain()
    }
    .build();
    assert_eq!(
        (pods(&built), &*built.model.gateways()[0].name),
        (5, "edge/kong-gateway")
    );
}
