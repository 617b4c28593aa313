//! The compiled model as lints look at it: every section once, with whose it is, and what a connection or a request meets there.

use std::cell::OnceCell;
use std::net::SocketAddr;

use proxy_core::config::{
    ChainAction, CloseReason, Cluster, Domains, DownstreamTransport, FilterChain, Forward,
    HttpConnections, Listener, ListenerAddress, Name, Route, RouteAction, RouteTable, SectionDraft,
    TransportProtocol, VirtualHost, WeightedCluster,
};
use proxy_core::draw::DrawKey;
use proxy_core::heads::OwnedHead;
use proxy_core::origin::{OriginId, Sourced};
use proxy_core::route::find_route;
use rustc_hash::FxHashMap;

use super::Usage;
use super::hops::Hop;
use crate::model::{
    GatewayId, Labels, Members, Model, Service, ServiceId, ServicePort, Upstream, Workload,
    WorkloadId,
};
use crate::origins::{Origin, Origins};
use crate::text::Span;

/// Everything that lints look at.
pub(super) struct View<'a> {
    pub(super) model: &'a Model,
    pub(super) origins: &'a Origins,
    pub(super) usage: &'a Usage,
    /// By place in [`Model::parts`].
    pub(super) sections: Vec<Section<'a>>,
    hops: OnceCell<Vec<Hop<'a>>>,
}

/// A section and whose it is.
pub(super) struct Section<'a> {
    pub(super) role: Role,
    pub(super) draft: &'a SectionDraft,
    pub(super) upstreams: &'a [Upstream],
    domains: Vec<OnceCell<Option<Domains>>>,
    listeners: OnceCell<FxHashMap<Way, usize>>,
}

/// Whose a section is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Role {
    /// A gateway's own.
    Gateway(GatewayId),
    /// What arrives at pods of a workload.
    Inbound(WorkloadId),
    /// What leaves the pods of these workloads.
    Outbound(Vec<WorkloadId>),
}

/// How connections come to a listener.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Way {
    OutboundTo(SocketAddr),
    OutboundPort(u16),
    OutboundRest,
    InboundPort(u16),
    InboundRest,
}

/// What becomes of a plaintext connection with requests.
pub(super) enum Meets<'a> {
    /// Its requests are read.
    Http(&'a HttpConnections),
    /// Its bytes are carried.
    Carried,
    /// It is closed, by a rule or since no chain takes it; with the rule that takes others.
    Closed(OriginId),
    /// No listener takes it.
    Nothing,
}

/// A route that sends on, with where it stands.
#[derive(Clone, Copy)]
pub(super) struct Sending<'a> {
    pub(super) host: &'a VirtualHost,
    pub(super) route: &'a Route,
    pub(super) forward: &'a Forward,
}

impl<'a> View<'a> {
    pub(super) fn new(model: &'a Model, origins: &'a Origins, usage: &'a Usage) -> Self {
        let mut roles: Vec<Option<Role>> = model.parts().map(|_| None).collect();
        for at in 0..model.gateways().len() {
            let id = GatewayId(dense(at));
            if let Some(part) = model.served_part(id) {
                roles[part] = Some(Role::Gateway(id));
            }
        }
        for workload in model.workloads() {
            if let Some(part) = model.inbound_part(workload.id) {
                roles[part] = Some(Role::Inbound(workload.id));
            }
            if let Some(part) = model.outbound_part(workload.id) {
                match &mut roles[part] {
                    Some(Role::Outbound(users)) => users.push(workload.id),
                    role => *role = Some(Role::Outbound(vec![workload.id])),
                }
            }
        }
        let sections = model
            .parts()
            .zip(roles)
            .map(|((draft, upstreams), role)| Section {
                role: role.unwrap_or(Role::Outbound(Vec::new())),
                draft,
                upstreams,
                domains: draft.tables.iter().map(|_| OnceCell::new()).collect(),
                listeners: OnceCell::new(),
            });
        Self {
            model,
            origins,
            usage,
            sections: sections.collect(),
            hops: OnceCell::new(),
        }
    }

    /// Every way of a request through a gateway, and those that a scenario's applications and clients take.
    pub(super) fn hops(&self) -> &[Hop<'a>] {
        self.hops.get_or_init(|| Hop::all(self))
    }

    pub(super) fn service(&self, id: ServiceId) -> &'a Service {
        &self.model.services()[id.index()]
    }

    pub(super) fn workload(&self, id: WorkloadId) -> &'a Workload {
        &self.model.workloads()[id.index()]
    }

    /// Whether pods of a workload are a gateway's.
    pub(super) fn is_gateway(&self, id: WorkloadId) -> bool {
        let mut gateways = self.model.gateways().iter();
        gateways.any(|facts| facts.workload == Some(id))
    }

    /// Where a value is written; [`Span::NOWHERE`] when nobody wrote it.
    pub(super) fn span(&self, origin: OriginId) -> Span {
        self.origins.span(origin).unwrap_or(Span::NOWHERE)
    }

    pub(super) fn is_written(&self, origin: OriginId) -> bool {
        matches!(self.origins.get(origin), Origin::Written(_))
    }

    /// `, a default of kong@3.9` for what nobody wrote.
    pub(super) fn by_default(&self, origin: OriginId) -> String {
        match self.origins.get(origin) {
            Origin::Default { release } => format!(", the default of {release}"),
            Origin::Unruled | Origin::Written(_) | Origin::Assumed { .. } => String::new(),
        }
    }

    /// How many endpoints a cluster has at the start; none: not known here.
    pub(super) fn endpoints(&self, upstream: &Upstream) -> Option<u32> {
        self.members(&upstream.members)
    }

    fn members(&self, members: &Members) -> Option<u32> {
        match members {
            Members::None => None,
            Members::Pods {
                service,
                port,
                labels,
            } => {
                let service = self.service(*service);
                self.behind(service, service.port(*port)?, labels)
            }
            Members::Datagrams { service, port } => {
                let service = self.service(*service);
                self.behind(service, service.datagram_port(*port)?, &Vec::new())
            }
            Members::Workloads { workloads, port } => {
                let serving = workloads.iter();
                let serving = serving.filter(|id| self.workload(**id).target_port(port).is_some());
                Some(serving.map(|id| self.pods(*id, &[])).sum())
            }
            Members::Address { .. } => Some(1),
            Members::Fixed(endpoints) => u32::try_from(endpoints.len()).ok(),
            Members::Several(all) | Members::Ranked(all) => {
                all.iter().map(|each| self.members(each)).sum()
            }
        }
    }

    /// None: nothing selects the pods, and no EndpointSlice names them.
    fn behind(
        &self,
        service: &Service,
        port: &ServicePort,
        labels: &[(Name, Name)],
    ) -> Option<u32> {
        if service.workloads.is_empty() && service.selector.is_empty() {
            if service.listed.is_empty() {
                return None;
            }
            let ready = service.listed.iter().filter(|listed| listed.ready);
            return u32::try_from(ready.count()).ok();
        }
        let serving = service.workloads.iter();
        let serving = serving.filter(|id| self.workload(**id).target_port(&port.target).is_some());
        Some(serving.map(|id| self.pods(*id, labels)).sum())
    }

    /// Pods of a workload that have these labels.
    fn pods(&self, id: WorkloadId, wanted: &[(Name, Name)]) -> u32 {
        let workload = self.workload(id);
        let has_all = |labels: &Labels, more: &Labels| {
            wanted.iter().all(|(key, value)| {
                let own = more.get(key).or_else(|| labels.get(key));
                own == Some(value)
            })
        };
        match self.usage.pods.get(&id) {
            Some(versions) => {
                let having = versions.iter();
                let having = having.filter(|(more, _)| has_all(&workload.labels, more));
                having.map(|(_, count)| count).sum()
            }
            None if has_all(&workload.labels, &Labels::new()) => workload.replicas,
            None => 0,
        }
    }

    /// The Service that a cluster leads to, with its port, and whether its pods are dialled rather than its address. Of several that stand
    /// in for each other, the first.
    pub(super) fn target(upstream: &Upstream) -> Option<(ServiceId, u16, bool)> {
        target_of(&upstream.members)
    }
}

fn target_of(members: &Members) -> Option<(ServiceId, u16, bool)> {
    match members {
        Members::Pods { service, port, .. } => Some((*service, *port, true)),
        Members::Address { service, port } => Some((*service, *port, false)),
        Members::Ranked(all) => all.first().and_then(target_of),
        Members::None
        | Members::Datagrams { .. }
        | Members::Workloads { .. }
        | Members::Fixed(_)
        | Members::Several(_) => None,
    }
}

impl<'a> Section<'a> {
    pub(super) fn cluster(
        &self,
        weighted: &WeightedCluster,
    ) -> Option<(&'a Cluster, &'a Upstream)> {
        let at = weighted.cluster?.0 as usize;
        Some((self.draft.clusters.get(at)?, self.upstreams.get(at)?))
    }

    /// Every route that sends requests on.
    pub(super) fn sendings(&self) -> impl Iterator<Item = Sending<'a>> + use<'a> {
        let tables = self.draft.tables.iter();
        tables.flat_map(sendings_of)
    }

    /// The route that takes a request of a table, if any does.
    pub(super) fn route_of(
        &self,
        http: &HttpConnections,
        sample: &OwnedHead,
    ) -> Option<(&'a VirtualHost, &'a Route)> {
        let at = http.table.0 as usize;
        let table = self.draft.tables.get(at)?;
        let domains = self.domains[at].get_or_init(|| Domains::of(table).ok());
        let host = domains.as_ref()?.virtual_host(&sample.authority)?;
        let host = &table.virtual_hosts[host as usize];
        // whichever share of them a rule takes: the first that may is as good as any
        let route = find_route(host, sample.view(), DrawKey::root(0))?;
        Some((host, &host.routes[route as usize]))
    }

    /// The tables that clients of a gateway reach, with how their requests are treated.
    pub(super) fn dialled(&self) -> impl Iterator<Item = (&'a HttpConnections, &'a RouteTable)> {
        let sockets = self.draft.listeners.iter();
        let sockets = sockets.filter(|it| matches!(it.address, ListenerAddress::Socket(_)));
        let chains = sockets.flat_map(|listener| &listener.chains);
        chains.filter_map(|chain| match &chain.action {
            ChainAction::Http(http) => {
                let table = self.draft.tables.get(http.table.0 as usize)?;
                Some((&**http, table))
            }
            ChainAction::Tcp(_) | ChainAction::Udp(_) | ChainAction::Close(_) => None,
        })
    }

    /// What a plaintext connection meets that leaves a pod for an address of a Service.
    pub(super) fn leaving_to(&self, address: SocketAddr) -> Meets<'a> {
        let ways = [
            Way::OutboundTo(address),
            Way::OutboundPort(address.port()),
            Way::OutboundRest,
        ];
        self.meets(&ways, address.port())
    }

    /// What a plaintext connection meets that leaves a pod for an address of a pod.
    pub(super) fn leaving_to_pod(&self, port: u16) -> Meets<'a> {
        self.meets(&[Way::OutboundPort(port), Way::OutboundRest], port)
    }

    /// What a plaintext connection meets that arrives at a port of a pod.
    pub(super) fn arriving_at(&self, port: u16) -> Meets<'a> {
        self.meets(&[Way::InboundPort(port), Way::InboundRest], port)
    }

    fn meets(&self, ways: &[Way], port: u16) -> Meets<'a> {
        let listeners = self.listeners.get_or_init(|| index(&self.draft.listeners));
        let found = ways.iter().find_map(|way| listeners.get(way));
        let Some(listener) = found.map(|at| &self.draft.listeners[*at]) else {
            return Meets::Nothing;
        };
        let Some(chain) = plain_chain(listener, port) else {
            let taking = listener.chains.first();
            return Meets::Closed(taking.map_or(listener.origin, |chain| chain.origin));
        };
        match &chain.action {
            ChainAction::Http(http) => Meets::Http(http),
            ChainAction::Tcp(_) => Meets::Carried,
            ChainAction::Close(CloseReason::NoFilterChain) => {
                let mutual = listener.chains.iter().find(|chain| is_mutual(chain));
                Meets::Closed(mutual.map_or(chain.origin, |chain| chain.origin))
            }
            ChainAction::Udp(_) | ChainAction::Close(_) => Meets::Closed(chain.origin),
        }
    }
}

pub(super) fn sendings_of<'a>(table: &'a RouteTable) -> impl Iterator<Item = Sending<'a>> {
    table.virtual_hosts.iter().flat_map(|host| {
        host.routes
            .iter()
            .filter_map(move |route| match &route.action {
                RouteAction::Forward(forward) => Some(Sending {
                    host,
                    route,
                    forward,
                }),
                RouteAction::Redirect(_) | RouteAction::Direct(_) => None,
            })
    })
}

/// The chain that takes a plaintext connection with HTTP/1.1 in it: of several, the one that names the protocol, then one that reads
/// requests.
fn plain_chain(listener: &Listener, port: u16) -> Option<&FilterChain> {
    let takes = |chain: &&FilterChain| {
        chain.matches.transport != Some(TransportProtocol::Tls)
            && chain.matches.server_names.is_empty()
            && chain.matches.port.is_none_or(|it| it == port)
            && chain.transport == DownstreamTransport::Plaintext
            && (chain.matches.protocols.is_empty() || names_http(chain))
    };
    let rank = |chain: &&FilterChain| {
        (
            chain.matches.port.is_some(),
            names_http(chain),
            matches!(chain.action, ChainAction::Http(_)),
        )
    };
    // of equals the first
    listener.chains.iter().rev().filter(takes).max_by_key(rank)
}

fn names_http(chain: &FilterChain) -> bool {
    let mut protocols = chain.matches.protocols.iter();
    protocols.any(|protocol| matches!(&**protocol, "http/1.1" | "http/1.0"))
}

const fn is_mutual(chain: &FilterChain) -> bool {
    matches!(
        chain.transport,
        DownstreamTransport::Tls { mutual: true, .. }
    )
}

fn index(listeners: &[Listener]) -> FxHashMap<Way, usize> {
    let way = |address: ListenerAddress| match address {
        ListenerAddress::OutboundTo(at) => Some(Way::OutboundTo(at)),
        ListenerAddress::OutboundPort(port) => Some(Way::OutboundPort(port)),
        ListenerAddress::OutboundRest => Some(Way::OutboundRest),
        ListenerAddress::InboundPort(port) => Some(Way::InboundPort(port)),
        ListenerAddress::InboundRest => Some(Way::InboundRest),
        ListenerAddress::Socket(_) | ListenerAddress::Datagrams(_) => None,
    };
    let ways = listeners.iter().enumerate();
    ways.filter_map(|(at, listener)| Some((way(listener.address)?, at)))
        .collect()
}

/// The bound of all tries, where there is one.
pub(super) fn route_timeout(forward: &Forward) -> Option<Sourced<proxy_core::time::Duration>> {
    let timeout = forward.timeout;
    let value = timeout.value.filter(|value| !value.is_zero())?;
    Some(Sourced::new(value, timeout.origin))
}

fn dense(at: usize) -> u32 {
    u32::try_from(at).expect("fewer than 2^32 gateways")
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::diagnostics::Diagnostics;
    use crate::model::Input;
    use crate::text::{SourceId, Sources};

    /// Shows a view of nothing, and the origin of a value that somebody wrote.
    pub(in crate::lints) fn with_view<T>(then: impl FnOnce(&View<'_>, OriginId) -> T) -> T {
        let mut sources = Sources::default();
        sources.add("a.yaml", "a: 1\n");
        let mut origins = Origins::default();
        let written = origins.written(Span {
            source: SourceId(0),
            start: 0,
            end: 1,
        });
        let model = Model::build(Input::default(), &mut origins, &mut Diagnostics::default());
        let model = model.expect("no mesh is asked for");
        let usage = Usage::default();
        then(&View::new(&model, &origins, &usage), written)
    }
}
