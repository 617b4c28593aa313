//! A small cluster whose manifests a test adds to, built as a run builds it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use proxy_core::config::{
    ChainAction, Cluster, FilterChain, Forward, Listener, NodeConfig, RouteAction, Section,
    VirtualHost,
};
use proxy_core::node::Arrival;
use proxy_core::origin::OriginId;

use crate::diagnostics::Diagnostics;
use crate::load::{Layer, load};
use crate::model::{Input, MeshWish, Model, NodeRef, Place, Pod, Pods, SidecarRules, WorkloadId};
use crate::origins::Origins;
use crate::text::{Sources, Span};

/// `web` (http), `api` (not declared), `rpc` (grpc), `db` (tcp) and headless `peers` (tcp) of `default`, `orders` (http) of `far`, both
/// namespaces injected; `legacy` (http) of `plain`, which is not.
const BASE: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: default, labels: {istio-injection: enabled}}
---
apiVersion: v1
kind: Namespace
metadata: {name: far, labels: {istio-injection: enabled}}
---
apiVersion: v1
kind: Namespace
metadata: {name: plain}
";

/// Namespace, name, port as a Service has it, the pods' port, and the rest of the Service.
const SERVICES: [(&str, &str, &str, u16, &str); 7] = [
    ("default", "web", "name: http, port: 80", 8080, ""),
    ("default", "api", "port: 80", 8081, ""),
    ("default", "rpc", "name: grpc-x, port: 9000", 9001, ""),
    ("default", "db", "name: tcp, port: 5432", 5433, ""),
    (
        "default",
        "peers",
        "name: tcp-peers, port: 7000",
        7000,
        ", clusterIP: None",
    ),
    ("far", "orders", "name: http, port: 80", 8080, ""),
    ("plain", "legacy", "name: http, port: 80", 8080, ""),
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
}

/// The cluster with these objects besides.
pub(super) fn with(yaml: &str) -> Built {
    plan(yaml).build()
}

/// The same, to be changed further.
pub(super) fn plan(yaml: &str) -> Plan {
    Plan {
        yaml: yaml.to_owned(),
        release: "1.29",
        sidecars: SidecarRules::default(),
    }
}

/// A DestinationRule of `default` for a host, with the rest of its specification as flow mapping entries.
pub(super) fn rule(host: &str, rest: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: rule}}\nspec: {{host: {host}, {rest}}}\n"
    )
}

/// A DestinationRule for `web` with this traffic policy.
pub(super) fn policy(policy: &str) -> String {
    rule("web", &format!("trafficPolicy: {{{policy}}}"))
}

fn base() -> String {
    let mut yaml = BASE.to_owned();
    for (namespace, name, port, target, rest) in SERVICES {
        yaml.push_str(&format!(
            "---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  replicas: 2
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}, version: v1}}}}
    spec: {{containers: [{{name: app, image: x, ports: [{{containerPort: {target}}}]}}]}}
---
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: {namespace}}}
spec: {{selector: {{app: {name}}}, ports: [{{{port}, targetPort: {target}}}]{rest}}}
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

    pub(super) fn build(self) -> Built {
        let mut sources = Sources::default();
        let mut origins = Origins::default();
        let mut diagnostics = Diagnostics::default();
        let layers = [
            Layer::text("base.yaml", base()),
            Layer::text("test.yaml", self.yaml),
        ];
        let objects = load(&layers, &mut sources, &mut diagnostics);
        let input = Input {
            objects,
            mesh: MeshWish::Named {
                system: "istio".into(),
                release: Some(self.release.into()),
                span: Span::NOWHERE,
            },
            sidecars: self.sidecars,
            ..Input::default()
        };
        let model = Model::build(input, &mut origins, &mut diagnostics).expect("Istio is known");
        let mut pods = Pods::new(model.workloads().len());
        for workload in model.workloads() {
            for nth in 0..workload.replicas {
                pods.of_mut(workload.id).push(Pod {
                    ip: pod_ip(workload.id, nth),
                    name: format!("{}-{nth}", workload.name).into(),
                    place: Place {
                        locality: format!("r/{}", ["a", "b"][nth as usize % 2]).into(),
                        node: "".into(),
                    },
                    ready: true,
                    draining: false,
                    labels: None,
                });
            }
        }
        let problems = diagnostics
            .sorted()
            .into_iter()
            .filter(|each| {
                each.code.starts_with("istio::")
                    || each.code.starts_with("field::")
                    || each.code.starts_with("model::")
            })
            .cloned();
        let mut own = Diagnostics::default();
        own.extend(problems);
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

impl Built {
    pub(super) fn workload(&self, name: &str) -> WorkloadId {
        let mut all = self.model.workloads().iter();
        all.find(|workload| &*workload.name == name)
            .expect("a workload of that name")
            .id
    }

    /// Why pods have a sidecar, if they have one.
    pub(super) fn sidecar(&self, name: &str) -> Option<String> {
        let workload = &self.model.workloads()[self.workload(name).index()];
        let facts = workload.sidecar.as_ref()?;
        Some(facts.why.clone())
    }

    pub(super) fn config(&self, caller: &str) -> Arc<NodeConfig> {
        let node = NodeRef::Sidecar(self.workload(caller));
        let place = Place {
            locality: "r/a".into(),
            node: "".into(),
        };
        self.model
            .config(node, &place, &self.pods)
            .expect("a sidecar")
    }

    pub(super) fn inbound(&self, server: &str) -> Arc<Section> {
        self.config(server).sections[0].clone()
    }

    pub(super) fn outbound(&self, caller: &str) -> Arc<Section> {
        self.config(caller).sections[1].clone()
    }

    /// A Service's own address with a port.
    pub(super) fn address(&self, service: &str, port: u16) -> SocketAddr {
        let mut all = self.model.services().iter();
        let service = all.find(|it| &*it.name == service).expect("a Service");
        SocketAddr::new(service.cluster_ip().expect("an address"), port)
    }

    /// A cluster of the sidecar of `caller`, by its name without `outbound|`.
    pub(super) fn cluster(&self, caller: &str, name: &str) -> Option<Arc<Cluster>> {
        let section = self.outbound(caller);
        let at = section.cluster_named(&format!("outbound|{name}"))?;
        Some(section.clusters()[at.0 as usize].clone())
    }

    /// The cluster of `web`, as `api` calls it.
    pub(super) fn web(&self) -> Arc<Cluster> {
        self.cluster("api", "80||web.default.svc.cluster.local")
            .expect("the cluster of web")
    }

    pub(super) fn listener(&self, caller: &str, to: SocketAddr) -> Listener {
        let section = self.outbound(caller);
        let at = section
            .listener(Arrival::Outbound, to)
            .or_else(|| section.rest_listener(Arrival::Outbound))
            .expect("somebody takes it");
        section.listeners()[at as usize].clone()
    }

    /// The virtual host that takes a request of `caller` to an address.
    pub(super) fn host(&self, caller: &str, to: SocketAddr, authority: &str) -> VirtualHost {
        let section = self.outbound(caller);
        let listener = self.listener(caller, to);
        let table = listener
            .chains
            .iter()
            .find_map(|chain| match &chain.action {
                ChainAction::Http(http) => Some(http.table),
                ChainAction::Tcp(_) | ChainAction::Udp(_) | ChainAction::Close(_) => None,
            })
            .expect("requests are read");
        let host = section.virtual_host(table, authority).expect("a host");
        section.tables()[table.0 as usize].virtual_hosts[host as usize].clone()
    }

    /// What a chain's bytes go to.
    pub(super) fn carried_to(&self, caller: &str, chain: &FilterChain) -> String {
        let ChainAction::Tcp(tcp) = &chain.action else {
            panic!("carried: {:?}", chain.action)
        };
        let section = self.outbound(caller);
        section.clusters()[tcp.clusters[0].0.0 as usize]
            .name
            .to_string()
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

/// The forward of a host's first route.
pub(super) fn forward(host: &VirtualHost) -> Forward {
    let RouteAction::Forward(forward) = &host.routes[0].action else {
        panic!("sent on")
    };
    (**forward).clone()
}
