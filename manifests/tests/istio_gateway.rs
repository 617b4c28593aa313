//! An Istio ingress gateway before a mesh with STRICT mutual TLS, from manifests to what its proxy is told.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use manifests::diagnostics::Diagnostics;
use manifests::load::{Layer, load};
use manifests::model::{
    GatewayId, Input, Listen, MeshWish, Model, NodeRef, Place, Pod, Pods, WorkloadId,
};
use manifests::origins::Origins;
use manifests::text::{Sources, Span};
use proxy_core::config::{
    ChainAction, Forward, NodeConfig, NodeKind, RouteAction, Section, UpstreamTransport,
};
use proxy_core::node::Arrival;
use proxy_core::time::Duration;

const MESH: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: default, labels: {istio-injection: enabled}}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: strict, namespace: istio-system}
spec: {mtls: {mode: STRICT}}
---
apiVersion: v1
kind: Service
metadata: {name: reviews}
spec: {selector: {app: reviews}, ports: [{name: http, port: 9080}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: reviews}
spec:
  replicas: 2
  selector: {matchLabels: {app: reviews}}
  template:
    metadata: {labels: {app: reviews}}
    spec: {containers: [{name: app, image: app, ports: [{containerPort: 9080}]}]}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: public, namespace: edge}
spec:
  selector: {istio: ingress}
  servers:
  - port: {number: 80, name: http, protocol: HTTP}
    hosts: [default/shop.example.com]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop}
spec:
  hosts: [shop.example.com]
  gateways: [edge/public]
  http:
  - match: [{uri: {prefix: /reviews}}]
    rewrite: {uri: /}
    timeout: 3s
    route: [{destination: {host: reviews}}]
";

const PODS: &str = "
apiVersion: v1
kind: Service
metadata: {name: ingress, namespace: edge}
spec: {type: LoadBalancer, selector: {istio: ingress}, ports: [{name: http2, port: 80, targetPort: 8080}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: ingress, namespace: edge}
spec:
  replicas: 3
  selector: {matchLabels: {istio: ingress}}
  template:
    metadata:
      labels: {istio: ingress, sidecar.istio.io/inject: 'true'}
      annotations: {inject.istio.io/templates: gateway}
    spec: {serviceAccountName: ingress, containers: [{name: istio-proxy, image: auto}]}
";

struct Built {
    model: Model,
    pods: Pods,
    origins: Origins,
    sources: Sources,
    problems: String,
}

fn build(texts: &[&str]) -> Built {
    build_of(None, texts)
}

fn build_of(release: Option<&str>, texts: &[&str]) -> Built {
    let mut sources = Sources::default();
    let mut origins = Origins::default();
    let mut diagnostics = Diagnostics::default();
    let layers = [Layer::text("mesh.yaml", texts.join("\n---\n"))];
    let objects = load(&layers, &mut sources, &mut diagnostics);
    let input = Input {
        objects,
        mesh: MeshWish::Named {
            system: "istio".into(),
            release: release.map(str::to_owned),
            span: Span::NOWHERE,
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
                place: Place::default(),
                ready: true,
                draining: false,
                labels: None,
            });
        }
    }
    Built {
        problems: diagnostics.to_lines(&sources),
        model,
        pods,
        origins,
        sources,
    }
}

fn pod_ip(workload: WorkloadId, nth: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 128, workload.0 as u8, nth as u8 + 1))
}

impl Built {
    fn gateway(&self) -> Arc<NodeConfig> {
        let node = NodeRef::Gateway(GatewayId(0));
        let config = self.model.config(node, &Place::default(), &self.pods);
        config.expect("a gateway")
    }
}

/// How the gateway sends requests for a host on.
fn forward(section: &Section, port: u16, authority: &str) -> Option<Forward> {
    let at = SocketAddr::from(([10, 0, 0, 9], port));
    let listener = section.listener(Arrival::Dialled, at).expect("a listener");
    let ChainAction::Http(http) = &section.listeners()[listener as usize].chains[0].action else {
        panic!("HTTP")
    };
    let host = section.virtual_host(http.table, authority)?;
    let host = &section.tables()[http.table.0 as usize].virtual_hosts[host as usize];
    match &host.routes.first()?.action {
        RouteAction::Forward(forward) => Some((**forward).clone()),
        RouteAction::Redirect(_) | RouteAction::Direct(_) => panic!("sent on"),
    }
}

#[test]
fn the_pods_that_a_gateway_selects_are_the_gateway_and_have_no_sidecar() {
    let built = build(&[MESH, PODS]);
    assert_eq!(built.problems, "");
    let [facts] = built.model.gateways() else {
        panic!("one gateway")
    };
    assert_eq!(&*facts.name, "edge/ingress");
    assert_eq!(facts.hosts, ["shop.example.com".into()]);
    let listen = Listen {
        port: 80,
        bound: 8080,
        tls: false,
    };
    assert_eq!(facts.listens, [listen]);
    let workload = &built.model.workloads()[facts.workload.expect("its pods").index()];
    assert_eq!(workload.replicas, 3);
    assert!(workload.sidecar.is_none());
    let node = NodeRef::Sidecar(workload.id);
    let beside = built.model.config(node, &Place::default(), &built.pods);
    assert!(beside.is_none());
    assert_eq!(built.gateway().kind, NodeKind::Gateway);
}

#[test]
fn it_reaches_strict_pods_because_it_speaks_mutual_tls_itself() {
    let built = build(&[MESH, PODS]);
    let config = built.gateway();
    let section = &config.sections[0];
    let forward = forward(section, 8080, "shop.example.com").expect("a route");
    assert_eq!(forward.timeout.value, Some(Duration::from_secs(3)));
    assert_eq!(
        built.origins.text(forward.timeout.origin, &built.sources),
        "mesh.yaml:44"
    );
    let cluster = forward.clusters[0].cluster.expect("a destination");
    let cluster = &section.clusters()[cluster.0 as usize];
    assert_eq!(
        &*cluster.name,
        "outbound|9080||reviews.default.svc.cluster.local"
    );
    let UpstreamTransport::Mesh { identity, .. } = &cluster.transport else {
        panic!("of the mesh")
    };
    assert_eq!(&**identity, "spiffe://cluster.local/ns/edge/sa/ingress");
    let endpoints = &cluster.endpoints.endpoints;
    assert_eq!(endpoints.len(), 2);
    assert!(endpoints.iter().all(|it| it.identity.is_some()));
}

#[test]
fn it_is_of_the_meshs_release() {
    for (release, statuses) in [("1.29", vec![]), ("1.23", vec![503])] {
        let built = build_of(Some(release), &[MESH, PODS]);
        let config = built.gateway();
        let forward = forward(&config.sections[0], 8080, "shop.example.com").expect("a route");
        let retry = forward.retry.expect("retries");
        assert_eq!(retry.statuses, statuses, "{release}");
        assert_eq!(
            built.origins.text(retry.retries.origin, &built.sources),
            format!("default of istio@{release}")
        );
    }
}

#[test]
fn hosts_that_nothing_is_bound_to_have_no_route() {
    let built = build(&[MESH, PODS]);
    let config = built.gateway();
    assert!(forward(&config.sections[0], 8080, "other.example.com").is_none());
}

#[test]
fn without_its_pods_in_the_manifests_it_is_assumed_and_serves_all_the_same() {
    let built = build(&[MESH]);
    assert!(
        built.problems.contains("istio::assumed-pods"),
        "{}",
        built.problems
    );
    let facts = &built.model.gateways()[0];
    assert_eq!((&*facts.name, &*facts.namespace), ("edge/public", "edge"));
    let config = built.gateway();
    assert!(forward(&config.sections[0], 80, "shop.example.com").is_some());
}
