//! A small cluster whose manifests a test adds to, built as a run builds it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use proxy_core::config::{
    ChainAction, Cluster, Forward, HttpConnections, Listener, NodeConfig, RetryPolicy, Route,
    RouteAction, Section, TcpRoute,
};
use proxy_core::draw::DrawKey;
use proxy_core::heads::{HeadId, Heads};
use proxy_core::node::Arrival;
use proxy_core::origin::OriginId;
use proxy_core::route::{RequestView, find_route};

use crate::diagnostics::Diagnostics;
use crate::load::{Layer, load};
use crate::model::{
    Input, MeshWish, Model, NodeRef, Place, Pod, Pods, ServiceId, SidecarRules, WorkloadId,
};
use crate::origins::Origins;
use crate::text::{Sources, Span};

/// `shop` and `far`, both injected, and `plain`, which is not.
const BASE: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {kuma.io/sidecar-injection: enabled}}
---
apiVersion: v1
kind: Namespace
metadata: {name: far, labels: {kuma.io/sidecar-injection: enabled}}
---
apiVersion: v1
kind: Namespace
metadata: {name: plain}
";

/// Namespace, name, port as a Service has it, and the pods' port.
const SERVICES: [(&str, &str, &str, u16); 8] = [
    (
        "shop",
        "web",
        "name: http, port: 80, appProtocol: http",
        8080,
    ),
    ("shop", "api", "port: 80, appProtocol: http", 8081),
    ("shop", "rpc", "port: 9000, appProtocol: grpc", 9001),
    ("shop", "duo", "port: 80, appProtocol: http2", 8082),
    ("shop", "db", "port: 5432", 5433),
    ("shop", "mute", "port: 80", 8083),
    ("far", "orders", "port: 80, appProtocol: http", 8080),
    ("plain", "legacy", "port: 80, appProtocol: http", 8080),
];

/// A cluster built.
pub(super) struct Built {
    pub(super) model: Model,
    pub(super) pods: Pods,
    pub(super) problems: String,
    /// The same with the text around each.
    pub(super) rendered: String,
    origins: Origins,
    sources: Sources,
}

/// What a cluster is built from.
pub(super) struct Plan {
    yaml: String,
    release: &'static str,
    sidecars: SidecarRules,
    annotations: &'static str,
}

/// The cluster with these objects besides.
pub(super) fn with(yaml: &str) -> Built {
    plan(yaml).build()
}

/// The same, to be changed further.
pub(super) fn plan(yaml: &str) -> Plan {
    Plan {
        yaml: yaml.to_owned(),
        release: "2.14",
        sidecars: SidecarRules::default(),
        annotations: "",
    }
}

/// A policy of the control plane's namespace, whose name comes before those of stock ones: its kind and specification.
pub(super) fn policy(kind: &str, spec: &str) -> String {
    named(kind, "custom", "kuma-system", spec)
}

/// A policy with its name and namespace.
pub(super) fn named(kind: &str, name: &str, namespace: &str, spec: &str) -> String {
    format!(
        "---\napiVersion: kuma.io/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec: {{{spec}}}\n"
    )
}

/// Settings for what is sent to everybody.
pub(super) fn to_all(conf: &str) -> String {
    format!("to: [{{targetRef: {{kind: Mesh}}, default: {{{conf}}}}}]")
}

/// Settings for what is sent to `web`.
pub(super) fn to_web(conf: &str) -> String {
    format!(
        "to: [{{targetRef: {{kind: MeshService, name: web_shop_svc_80}}, default: {{{conf}}}}}]"
    )
}

/// Settings for what arrives at the pods of a workload.
pub(super) fn arriving(app: &str, conf: &str) -> String {
    format!(
        "targetRef: {{kind: Dataplane, labels: {{app: {app}}}}}, rules: [{{default: {{{conf}}}}}]"
    )
}

fn base(annotations: &str) -> String {
    let mut yaml = BASE.to_owned();
    for (namespace, name, port, target) in SERVICES {
        let annotations = if name == "web" { annotations } else { "" };
        yaml.push_str(&format!(
            "---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  replicas: 2
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}, version: v1}}, annotations: {{{annotations}}}}}
    spec: {{serviceAccountName: {name}, containers: [{{name: app, image: x, ports: [{{containerPort: {target}}}]}}]}}
---
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: {namespace}, labels: {{team: {name}}}}}
spec: {{selector: {{app: {name}}}, ports: [{{{port}, targetPort: {target}}}]}}
"
        ));
    }
    yaml
}

impl Plan {
    pub(super) fn release(mut self, release: &'static str) -> Self {
        self.release = release;
        self
    }

    pub(super) fn inject(mut self, inject: &[&str], skip: &[&str]) -> Self {
        let names = |list: &[&str]| list.iter().map(|name| (*name).into()).collect();
        self.sidecars = SidecarRules {
            inject: names(inject),
            skip: names(skip),
        };
        self
    }

    /// With annotations on the pods of `web`.
    pub(super) fn annotated(mut self, annotations: &'static str) -> Self {
        self.annotations = annotations;
        self
    }

    pub(super) fn build(self) -> Built {
        let mut sources = Sources::default();
        let mut origins = Origins::default();
        let mut diagnostics = Diagnostics::default();
        let layers = [
            Layer::text("base.yaml", base(self.annotations)),
            Layer::text("test.yaml", self.yaml),
        ];
        let objects = load(&layers, &mut sources, &mut diagnostics);
        let input = Input {
            objects,
            mesh: MeshWish::Named {
                system: "kuma".into(),
                release: Some(self.release.into()),
                span: Span::NOWHERE,
            },
            sidecars: self.sidecars,
            ..Input::default()
        };
        let model = Model::build(input, &mut origins, &mut diagnostics).expect("Kuma is known");
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
        let all = diagnostics.sorted().into_iter().cloned();
        let ours = all.filter(|each| {
            let mut areas = ["kuma::", "field::", "model::", "load::", "mesh::"].into_iter();
            areas.any(|area| each.code.starts_with(area))
        });
        let mut own = Diagnostics::default();
        own.extend(ours);
        Built {
            rendered: own.render(&sources),
            problems: own.to_lines(&sources),
            model,
            pods,
            origins,
            sources,
        }
    }
}

/// The address of a pod.
pub(super) fn pod_ip(workload: WorkloadId, nth: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 128, workload.0 as u8, nth as u8 + 1))
}

/// A request without a body.
pub(super) struct Request<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) headers: &'a [(&'a str, &'a str)],
}

/// A GET of this path.
pub(super) const fn get(path: &str) -> Request<'_> {
    Request {
        method: "GET",
        path,
        headers: &[],
    }
}

impl Heads for Request<'_> {
    fn method(&self, _: HeadId) -> &str {
        self.method
    }

    fn authority(&self, _: HeadId) -> &str {
        "anything.example"
    }

    fn path(&self, _: HeadId) -> &str {
        self.path
    }

    fn header(&self, _: HeadId, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers.find(|(key, _)| *key == name).map(|it| it.1)
    }

    fn status(&self, _: HeadId) -> u16 {
        0
    }

    fn response_header(&self, _: HeadId, _: &str) -> Option<&str> {
        None
    }
}

impl Built {
    pub(super) fn workload(&self, name: &str) -> WorkloadId {
        let mut all = self.model.workloads().iter();
        all.find(|workload| &*workload.name == name)
            .expect("a workload of that name")
            .id
    }

    pub(super) fn service(&self, name: &str) -> ServiceId {
        let mut all = self.model.services().iter();
        all.find(|it| &*it.name == name).expect("a Service").id
    }

    /// Why pods have a sidecar, if they have one, and what it proves.
    pub(super) fn sidecar(&self, name: &str) -> Option<(String, String)> {
        let workload = &self.model.workloads()[self.workload(name).index()];
        let facts = workload.sidecar.as_ref()?;
        Some((facts.why.clone(), facts.identity.to_string()))
    }

    fn config(&self, name: &str) -> Arc<NodeConfig> {
        let node = NodeRef::Sidecar(self.workload(name));
        let config = self.model.config(node, &Place::default(), &self.pods);
        config.expect("a sidecar")
    }

    pub(super) fn inbound(&self, server: &str) -> Arc<Section> {
        self.config(server).sections[0].clone()
    }

    pub(super) fn outbound(&self, caller: &str) -> Arc<Section> {
        self.config(caller).sections[1].clone()
    }

    /// A Service's own address with its port.
    pub(super) fn address(&self, service: &str) -> SocketAddr {
        let service = &self.model.services()[self.service(service).index()];
        let port = service.ports[0].number;
        SocketAddr::new(service.cluster_ip().expect("an address"), port)
    }

    /// The listener that takes what `caller` sends to an address.
    pub(super) fn listener(&self, caller: &str, to: SocketAddr) -> Listener {
        let section = self.outbound(caller);
        let at = section
            .listener(Arrival::Outbound, to)
            .or_else(|| section.rest_listener(Arrival::Outbound))
            .expect("somebody takes it");
        section.listeners()[at as usize].clone()
    }

    /// The listener that takes what arrives for a port.
    pub(super) fn arriving(&self, server: &str, port: u16) -> Listener {
        let section = self.inbound(server);
        let to = SocketAddr::new(pod_ip(self.workload(server), 0), port);
        let at = section
            .listener(Arrival::Inbound, to)
            .or_else(|| section.rest_listener(Arrival::Inbound))
            .expect("somebody takes it");
        section.listeners()[at as usize].clone()
    }

    /// What the proxy of `api` does with a request to a Service; none: it answers 404.
    pub(super) fn call(&self, service: &str, request: &Request<'_>) -> Option<Route> {
        let listener = self.listener("api", self.address(service));
        let section = self.outbound("api");
        let http = http_of(&listener.chains[0].action);
        let host = section.virtual_host(http.table, "anything.example")?;
        let host = &section.tables()[http.table.0 as usize].virtual_hosts[host as usize];
        let view = RequestView {
            heads: request,
            head: HeadId(0),
            edge: true,
        };
        let route = find_route(host, view, DrawKey::root(1))?;
        Some(host.routes[route as usize].clone())
    }

    /// The forward of a request of `api` for a path of `web`.
    pub(super) fn web(&self, path: &str) -> Forward {
        forward_of(&self.call("web", &get(path)).expect("a route"))
    }

    /// The retries of a request of `api` to a Service.
    pub(super) fn retries(&self, service: &str) -> Option<Box<RetryPolicy>> {
        let route = self.call(service, &get("/")).expect("a route");
        forward_of(&route).retry
    }

    /// Names of the clusters that a forward of `api` leads to, with their shares.
    pub(super) fn shares(&self, forward: &Forward) -> Vec<(String, u32)> {
        let section = self.outbound("api");
        let name = |at: proxy_core::config::ClusterIndex| {
            section.clusters()[at.0 as usize].name.to_string()
        };
        let clusters = forward.clusters.iter();
        clusters
            .map(|it| (it.cluster.map_or_else(String::new, name), it.weight))
            .collect()
    }

    /// The cluster of a Service as `api` calls it.
    pub(super) fn cluster(&self, name: &str) -> Arc<Cluster> {
        let section = self.outbound("api");
        let at = section.cluster_named(name).expect("a cluster");
        section.clusters()[at.0 as usize].clone()
    }

    pub(super) fn origin(&self, origin: OriginId) -> String {
        self.origins.text(origin, &self.sources)
    }

    /// The codes of the problems, in their order.
    pub(super) fn codes(&self) -> Vec<&str> {
        self.problems
            .lines()
            .filter_map(|line| line.split('[').nth(1)?.split(']').next())
            .collect()
    }
}

/// How requests are read.
pub(super) fn http_of(action: &ChainAction) -> &HttpConnections {
    let ChainAction::Http(http) = action else {
        panic!("requests are read: {action:?}")
    };
    http
}

/// How bytes are carried.
pub(super) fn tcp_of(action: &ChainAction) -> &TcpRoute {
    let ChainAction::Tcp(tcp) = action else {
        panic!("bytes are carried: {action:?}")
    };
    tcp
}

/// Where a route sends requests on.
pub(super) fn forward_of(route: &Route) -> Forward {
    let RouteAction::Forward(forward) = &route.action else {
        panic!("sent on: {:?}", route.action)
    };
    (**forward).clone()
}
