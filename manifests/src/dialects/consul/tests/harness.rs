//! Manifests under Consul, and what its proxies do.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use proxy_core::config::{
    ChainAction, Cluster, FilterChain, Forward, HttpConnections, Listener, NodeConfig, Route,
    RouteAction, Section, TcpRoute,
};
use proxy_core::draw::DrawKey;
use proxy_core::heads::{HeadId, Heads};
use proxy_core::node::Arrival;
use proxy_core::origin::OriginId;
use proxy_core::route::{RequestView, find_route};

use crate::diagnostics::Diagnostics;
use crate::load::{Layer, load};
use crate::model::{Input, MeshWish, Model, NodeRef, Place, Pod, Pods, SidecarRules, WorkloadId};
use crate::origins::Origins;
use crate::text::{Sources, Span};

/// A Deployment and its Service, port 80 to 8080, with annotations of its pods.
pub(super) fn app(name: &str, annotations: &str) -> String {
    format!("{}{}", deployment(name, name, annotations), service(name))
}

pub(super) fn deployment(name: &str, label: &str, annotations: &str) -> String {
    format!(
        "apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  replicas: 2
  selector: {{matchLabels: {{app: {label}}}}}
  template:
    metadata: {{labels: {{app: {label}}}, annotations: {{{annotations}}}}}
    spec: {{containers: [{{name: app, image: app, ports: [{{name: http, containerPort: 8080}}]}}]}}
---
"
    )
}

pub(super) fn service(name: &str) -> String {
    format!(
        "apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec: {{selector: {{app: {name}}}, ports: [{{port: 80, targetPort: 8080}}]}}
---
"
    )
}

/// An entry of Consul's.
pub(super) fn entry(kind: &str, name: &str, spec: &str) -> String {
    format!(
        "apiVersion: consul.hashicorp.com/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec: {spec}\n---\n"
    )
}

/// ServiceDefaults that a service speaks HTTP.
pub(super) fn http(name: &str) -> String {
    entry("ServiceDefaults", name, "{protocol: http}")
}

pub(super) const MESHED: &str = "consul.hashicorp.com/connect-inject: \"true\"";

/// Meshed `web`, `api` with `api-v2` behind the same Service, and `db`; `plain` is not meshed.
pub(super) fn base() -> String {
    let version =
        |version: u32| format!("{MESHED}, consul.hashicorp.com/service-meta-version: v{version}");
    [
        app("web", MESHED),
        deployment("api", "api", &version(1)),
        deployment("api-v2", "api", &version(2)),
        service("api"),
        app("db", MESHED),
        app("plain", ""),
    ]
    .concat()
}

pub(super) struct World {
    pub(super) model: Model,
    pub(super) pods: Pods,
    pub(super) origins: Origins,
    pub(super) sources: Sources,
    pub(super) diagnostics: Diagnostics,
}

/// What is asked.
#[derive(Clone, Copy)]
pub(super) struct Ask<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) headers: &'a [(&'a str, &'a str)],
}

pub(super) const fn get(path: &str) -> Ask<'_> {
    Ask {
        method: "GET",
        path,
        headers: &[],
    }
}

impl Heads for Ask<'_> {
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
        headers
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

/// The base, with these beside it.
pub(super) fn with(parts: &[String]) -> World {
    only(&[&[base()], parts].concat())
}

/// These alone.
pub(super) fn only(parts: &[String]) -> World {
    build(parts, SidecarRules::default())
}

pub(super) fn build(parts: &[String], sidecars: SidecarRules) -> World {
    let mut sources = Sources::default();
    let mut diagnostics = Diagnostics::default();
    let layers = [Layer::text("consul.yaml", parts.concat())];
    let objects = load(&layers, &mut sources, &mut diagnostics);
    let input = Input {
        objects,
        sidecars,
        mesh: MeshWish::Named {
            system: "consul".to_owned(),
            release: None,
            span: Span::NOWHERE,
        },
        ..Input::default()
    };
    let mut origins = Origins::default();
    let model = Model::build(input, &mut origins, &mut diagnostics).expect("Consul is known");
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
    World {
        model,
        pods,
        origins,
        sources,
        diagnostics,
    }
}

pub(super) fn pod_ip(workload: WorkloadId, nth: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 128, workload.0 as u8, nth as u8 + 1))
}

impl World {
    pub(super) fn id(&self, workload: &str) -> WorkloadId {
        let mut all = self.model.workloads().iter();
        all.find(|it| &*it.name == workload)
            .expect("a workload of that name")
            .id
    }

    pub(super) fn is_meshed(&self, workload: &str) -> bool {
        self.model.workloads()[self.id(workload).index()]
            .sidecar
            .is_some()
    }

    fn config(&self, workload: &str) -> Arc<NodeConfig> {
        let node = NodeRef::Sidecar(self.id(workload));
        self.model
            .config(node, &Place::default(), &self.pods)
            .expect("it has a proxy")
    }

    pub(super) fn inbound(&self, workload: &str) -> Arc<Section> {
        self.config(workload).sections[0].clone()
    }

    pub(super) fn outbound(&self, workload: &str) -> Arc<Section> {
        self.config(workload).sections[1].clone()
    }

    pub(super) fn address(&self, service: &str, port: u16) -> SocketAddr {
        let mut all = self.model.services().iter();
        let service = all.find(|it| &*it.name == service).expect("a Service");
        SocketAddr::new(service.cluster_ip().expect("its address"), port)
    }

    /// What the proxy of `from` does with a connection to an address.
    pub(super) fn connection(&self, from: &str, to: SocketAddr) -> ChainAction {
        let section = self.outbound(from);
        let listener = section.listener(Arrival::Outbound, to);
        let listener = listener
            .or_else(|| section.rest_listener(Arrival::Outbound))
            .expect("a listener");
        let listener = &section.listeners()[listener as usize];
        chain_of(listener, to.ip()).action.clone()
    }

    /// What it does with connections to port 80 of a Service.
    pub(super) fn service_connection(&self, from: &str, service: &str) -> ChainAction {
        self.connection(from, self.address(service, 80))
    }

    /// The route that a request to a Service takes, and where it leads.
    pub(super) fn call(&self, from: &str, service: &str, ask: Ask<'_>) -> (Route, Vec<Cluster>) {
        let section = self.outbound(from);
        let http = http_of(&self.service_connection(from, service));
        let route = route_in(&section, &http, ask).expect("a route");
        let clusters = match &route.action {
            RouteAction::Forward(forward) => forward
                .clusters
                .iter()
                .filter_map(|leg| leg.cluster)
                .map(|at| (*section.clusters()[at.0 as usize]).clone())
                .collect(),
            RouteAction::Redirect(_) | RouteAction::Direct(_) => Vec::new(),
        };
        (route, clusters)
    }

    pub(super) fn forward(&self, from: &str, service: &str, path: &str) -> Forward {
        let (route, _) = self.call(from, service, get(path));
        forward_of(&route)
    }

    /// The one cluster that requests of `web` to `api` go to.
    pub(super) fn cluster(&self) -> Cluster {
        let (_, mut clusters) = self.call("web", "api", get("/"));
        assert_eq!(clusters.len(), 1, "one cluster");
        clusters.remove(0)
    }

    /// The names of the pods behind a cluster, by priority.
    pub(super) fn behind(cluster: &Cluster) -> Vec<(u8, String)> {
        let endpoints = cluster.endpoints.endpoints.iter();
        endpoints
            .map(|endpoint| (endpoint.priority, endpoint.hostname.to_string()))
            .collect()
    }

    pub(super) fn origin(&self, origin: OriginId) -> String {
        self.origins.text(origin, &self.sources)
    }

    /// The codes of errors and warnings.
    pub(super) fn complaints(&self) -> Vec<&'static str> {
        let sorted = self.diagnostics.sorted();
        let complaints = sorted
            .iter()
            .filter(|it| it.severity() != crate::diagnostics::Severity::Note);
        complaints.map(|it| it.code).collect()
    }

    pub(super) fn lines(&self) -> String {
        self.diagnostics.to_lines(&self.sources)
    }
}

/// The chain for a destination: the longest block that has it.
pub(super) fn chain_of(listener: &Listener, ip: IpAddr) -> &FilterChain {
    let bits = |chain: &FilterChain| -> Option<i32> {
        let destinations = &chain.matches.destinations;
        if destinations.is_empty() {
            return Some(-1);
        }
        let fitting = destinations.iter().filter(|block| block.contains(ip));
        fitting.map(|block| i32::from(block.bits)).max()
    };
    let fitting = listener.chains.iter().filter(|it| bits(it).is_some());
    fitting.max_by_key(|chain| bits(chain)).expect("a chain")
}

pub(super) fn http_of(action: &ChainAction) -> HttpConnections {
    let ChainAction::Http(http) = action else {
        panic!("requests are read, not {action:?}")
    };
    (**http).clone()
}

pub(super) fn bytes_of(action: &ChainAction) -> TcpRoute {
    let ChainAction::Tcp(route) = action else {
        panic!("bytes are carried, not {action:?}")
    };
    route.clone()
}

pub(super) fn route_in(section: &Section, http: &HttpConnections, ask: Ask<'_>) -> Option<Route> {
    let host = section.virtual_host(http.table, "anything.example")?;
    let host = &section.tables()[http.table.0 as usize].virtual_hosts[host as usize];
    let view = RequestView {
        heads: &ask,
        head: HeadId(0),
        edge: false,
    };
    let route = find_route(host, view, DrawKey::root(1))?;
    Some(host.routes[route as usize].clone())
}

pub(super) fn forward_of(route: &Route) -> Forward {
    let RouteAction::Forward(forward) = &route.action else {
        panic!("sent on, not {:?}", route.action)
    };
    (**forward).clone()
}

/// Subsets by version.
pub(super) const VERSIONS: &str = "subsets: {v1: {filter: 'Service.Meta.version == v1'}, v2: {filter: 'Service.Meta.version == v2'}}";

/// Pods of the first priority.
pub(super) fn pods(names: &[&str]) -> Vec<(u8, String)> {
    names.iter().map(|name| (0, (*name).to_owned())).collect()
}
