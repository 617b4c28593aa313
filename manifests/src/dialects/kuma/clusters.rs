//! Clusters of what a proxy sends to, made as they are asked for.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use proxy_core::config::{Cluster, ClusterIndex, Endpoint, UpstreamProtocol, UpstreamTransport};

use super::chains::cluster;
use super::dataplane::Dataplane;
use super::identity::Proof;
use super::policies::Policies;
use super::registry::{Behind, Item, ItemPort, Outside};
use super::release::Defaults;
use super::rules::Toward;
use super::settings::{apply_balance, apply_breaker, apply_connections, apply_health, timeouts};
use super::types::{Breaker, HealthCheck, RefKind, Strategy, Timeouts};
use crate::diagnostics::Diagnostic;
use crate::dialects::{Compile, Compiled};
use crate::model::{Labels, Members, TargetPort, Upstream, WorkloadId, selects};
use crate::text::Span;

/// What connections between proxies agree to. Source: kuma 2.14 `pkg/xds/envoy/tls/tls.go`.
pub(super) const ALPN: &str = "kuma";

/// A section of outgoing traffic under construction.
pub(super) struct Clusters<'s, 'r, 'a> {
    pub(super) out: Compiled,
    pub(super) policies: &'s Policies,
    /// Who sends.
    pub(super) proxy: &'s Dataplane<'s>,
    /// What it proves.
    pub(super) proof: Option<Proof>,
    pub(super) defaults: Defaults,
    pub(super) cx: &'r mut Compile<'a>,
    made: BTreeMap<(usize, u16, Labels), ClusterIndex>,
}

impl<'s, 'r, 'a> Clusters<'s, 'r, 'a> {
    /// Nothing yet.
    pub(super) fn new(
        policies: &'s Policies,
        proxy: &'s Dataplane<'s>,
        defaults: Defaults,
        cx: &'r mut Compile<'a>,
    ) -> Self {
        Self {
            out: Compiled::default(),
            policies,
            proxy,
            proof: policies.proof(proxy),
            defaults,
            cx,
            made: BTreeMap::new(),
        }
    }

    /// The cluster of a destination's port, or of those behind it that have some tags.
    pub(super) fn get(&mut self, item: usize, port: u16, tags: &Labels) -> Option<ClusterIndex> {
        let key = (item, port, tags.clone());
        if let Some(index) = self.made.get(&key) {
            return Some(*index);
        }
        let policies = self.policies;
        let at = policies.registry.items.get(item)?;
        let (cluster, upstream) = self.make(at, at.port_at(port)?, tags);
        let index = self.out.add(cluster, upstream);
        self.made.insert(key, index);
        Some(index)
    }

    fn make(&mut self, item: &Item, port: &ItemPort, tags: &Labels) -> (Cluster, Upstream) {
        let mut name = format!("{}_{}_svc_{}", item.name, item.namespace, port.number);
        match item.kind {
            RefKind::MeshExternalService => {
                name = format!("{}_{}_extsvc_{}", item.name, item.namespace, port.number)
            }
            RefKind::MeshMultiZoneService => {
                name = format!("{}_{}_mzsvc_{}", item.name, item.namespace, port.number)
            }
            RefKind::MeshService
            | RefKind::Mesh
            | RefKind::Dataplane
            | RefKind::MeshSubset
            | RefKind::MeshGateway
            | RefKind::MeshServiceSubset
            | RefKind::MeshHTTPRoute => {}
        }
        if !tags.is_empty() {
            let words: Vec<String> = tags.iter().map(|(k, v)| format!("{k}={v}")).collect();
            name = format!("{name}[{}]", words.join(","));
        }
        let defaults = self.defaults;
        let mut made = cluster(&name, &item.title(), defaults);
        made.origin = item.origin;
        self.apply(&mut made, item, port);
        let mut upstream = Upstream::default();
        match &item.behind {
            Behind::Outside(endpoints) => {
                made.protocol = port.protocol.of_application();
                upstream.members = self.outside(endpoints);
            }
            Behind::Service(_) | Behind::Proxies(_) | Behind::Items(_) => {
                // between proxies requests travel on HTTP/2, whatever the port speaks
                made.protocol = UpstreamProtocol::Http2;
                made.transport = self.transport(item, port);
                upstream.members = self.members(item, port, tags);
            }
        }
        (made, upstream)
    }

    fn apply(&mut self, made: &mut Cluster, item: &Item, port: &ItemPort) {
        let (policies, proxy, defaults) = (self.policies, self.proxy, self.defaults);
        let toward = Toward {
            item,
            port,
            route: None,
        };
        let conf: Timeouts = policies.timeouts.toward(proxy, toward);
        let (connections, _) = timeouts(&conf, defaults, self.cx);
        apply_connections(made, &connections, port.protocol);
        let conf: Breaker = policies.breakers.toward(proxy, toward);
        apply_breaker(made, &conf, defaults, self.cx);
        let conf: HealthCheck = policies.checks.toward(proxy, toward);
        apply_health(made, &conf, port.protocol, defaults, self.cx);
        let conf: Strategy = policies.strategies.toward(proxy, toward);
        apply_balance(made, &conf, defaults, self.cx);
    }

    /// Mutual TLS where the proxy proves who it is and so do all that it may be sent to.
    ///
    /// Source: kuma 2.14 `pkg/plugins/policies/core/xds/meshroute/clusters.go`: a MeshService is dialled in plaintext while one of its
    /// proxies has no certificate (`status.tls`).
    fn transport(&mut self, item: &Item, port: &ItemPort) -> UpstreamTransport {
        let Some(proof) = self.proof.clone() else {
            return UpstreamTransport::Plaintext;
        };
        let behind = self.behind(item);
        let workloads = self.cx.workloads;
        let all = behind.iter().all(|id| {
            let proxy = Dataplane::without_ports(&workloads[id.index()], self.cx);
            self.policies.proof(&proxy).is_some()
        });
        if !all {
            let span = self.cx.origins.span(proof.origin).unwrap_or(Span::NOWHERE);
            let message = format!("not every proxy of {} has an identity", item.title());
            let meaning = "it is dialled in plaintext, even by proxies that have one";
            self.cx.diagnostics.push(
                Diagnostic::assumed("kuma::plaintext", message, meaning)
                    .label(item.span, "")
                    .label(span, "others have this one"),
            );
            return UpstreamTransport::Plaintext;
        }
        let sni = format!(
            "{}_{}_svc_{}{{mesh={}}}",
            item.name, item.namespace, port.number, item.mesh
        );
        UpstreamTransport::Mesh {
            sni: sni.into(),
            identity: proof.identity,
            alpn: vec![ALPN.into()],
            only_where_meshed: false,
        }
    }

    /// The workloads behind a destination that have a proxy of its mesh: others are nobody's endpoints.
    pub(super) fn behind(&self, item: &Item) -> Vec<WorkloadId> {
        let workloads = self.cx.workloads;
        let is_meshed = |id: &WorkloadId| {
            let workload = &workloads[id.index()];
            workload.sidecar.is_some() && {
                let proxy = Dataplane::without_ports(workload, self.cx);
                proxy.mesh == item.mesh && !proxy.is_gateway
            }
        };
        match &item.behind {
            Behind::Service(service) => {
                let all = self.cx.services[service.index()].workloads.iter();
                all.copied().filter(is_meshed).collect()
            }
            Behind::Proxies(labels) => {
                let all = workloads.iter().filter(|it| selects(labels, &it.labels));
                all.map(|it| it.id).filter(is_meshed).collect()
            }
            Behind::Items(items) => {
                let registry = &self.policies.registry;
                let all = items.iter().filter_map(|at| registry.items.get(*at));
                all.flat_map(|item| self.behind(item)).collect()
            }
            Behind::Outside(_) => Vec::new(),
        }
    }

    fn members(&self, item: &Item, port: &ItemPort, tags: &Labels) -> Members {
        let workloads = self.cx.workloads;
        let meshed = self.behind(item);
        let of_workloads = |port: TargetPort| {
            let wanted = |id: &&WorkloadId| {
                let labels = &workloads[id.index()].labels;
                let mut tags = tags.iter().filter(|(key, _)| !key.contains("kuma.io/"));
                tags.all(|(key, value)| labels.get(key) == Some(value))
            };
            Members::Workloads {
                workloads: meshed.iter().filter(wanted).copied().collect(),
                port,
            }
        };
        match &item.behind {
            Behind::Service(service) => {
                let all = &self.cx.services[service.index()].workloads;
                if tags.is_empty() && meshed.len() == all.len() {
                    return Members::Pods {
                        service: *service,
                        port: port.number,
                        labels: Vec::new(),
                    };
                }
                of_workloads(port.target.clone())
            }
            Behind::Proxies(_) => of_workloads(port.target.clone()),
            Behind::Items(items) => {
                let registry = &self.policies.registry;
                let all = items.iter().filter_map(|at| {
                    let item = registry.items.get(*at)?;
                    Some(self.members(item, item.port_at(port.number)?, tags))
                });
                Members::Several(all.collect())
            }
            Behind::Outside(_) => Members::None,
        }
    }

    fn outside(&self, endpoints: &[Outside]) -> Members {
        let all = endpoints.iter().filter_map(|it| {
            if let Ok(ip) = it.address.parse::<IpAddr>() {
                let mut endpoint = Endpoint::at(SocketAddr::new(ip, it.port));
                endpoint.hostname = (&*it.address).into();
                endpoint.priority = it.priority;
                return Some(Members::Fixed(vec![endpoint]));
            }
            let service = self.cx.directory.service_named(&it.address)?;
            Some(Members::Address {
                service,
                port: it.port,
            })
        });
        Members::Several(all.collect())
    }
}
