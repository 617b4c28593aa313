//! What callers and servers in a mesh go by.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use manifests::model::{Service, ServicePort, WorkloadId};
use proxy_core::config::{
    ChainAction, Discovery, Domains, DownstreamTransport, FilterChain, Listener, ListenerAddress,
    RouteAction, SectionDraft, TransportProtocol, UpstreamTransport,
};
use proxy_core::origin::OriginId;

use super::{Accepts, Called, Callers, Inbound, Mesh, Part, Serves, Source};

/// What runs, if a mesh does and somebody is in it.
pub(super) fn of(source: Source<'_>) -> Option<Mesh<'_>> {
    let release = source.model.mesh()?;
    let system = release.split('@').next().unwrap_or(release);
    let workloads = workloads(source);
    if workloads.is_empty() {
        return None;
    }
    Some(Mesh {
        system,
        release,
        services: services(source),
        workloads,
    })
}

/// Every outbound section with those who share it.
fn scopes(source: Source<'_>) -> BTreeMap<usize, Vec<WorkloadId>> {
    let mut scopes: BTreeMap<usize, Vec<WorkloadId>> = BTreeMap::new();
    for workload in source.model.workloads() {
        if let Some(part) = source.model.outbound_part(workload.id) {
            scopes.entry(part).or_default().push(workload.id);
        }
    }
    scopes
}

fn services(source: Source<'_>) -> Vec<Called<'_>> {
    let scopes = scopes(source);
    let mut called = Vec::new();
    for service in source.model.services() {
        for port in service.ports.iter().filter(|port| !port.udp) {
            let mut groups: BTreeMap<String, Callers<'_>> = BTreeMap::new();
            for (nth, workloads) in &scopes {
                let Some(part) = Part::nth(source.model, *nth) else {
                    continue;
                };
                let serves = leaving(source, part, service, port);
                let digest = digest(part.draft, &serves);
                let group = groups.entry(digest).or_insert(Callers {
                    workloads: Vec::new(),
                    part,
                    serves,
                });
                group.workloads.extend(workloads);
            }
            let mut callers: Vec<Callers<'_>> = groups.into_values().collect();
            callers.sort_by_key(|it| {
                let first = it.workloads.first().copied();
                (std::cmp::Reverse(it.workloads.len()), first)
            });
            called.push(Called {
                service,
                port,
                callers,
            });
        }
    }
    called
}

/// What becomes of a plaintext connection with requests that leaves a pod for a Service's port.
fn leaving<'a>(
    source: Source<'a>,
    part: Part<'a>,
    service: &Service,
    port: &ServicePort,
) -> Serves<'a> {
    let address = service
        .cluster_ip()
        .map(|ip| SocketAddr::new(ip, port.number));
    let rank = |listener: &&Listener| match listener.address {
        ListenerAddress::OutboundTo(at) => (Some(at) == address).then_some(0),
        ListenerAddress::OutboundPort(own) => (own == port.number).then_some(1),
        ListenerAddress::OutboundRest => Some(2),
        ListenerAddress::Socket(_)
        | ListenerAddress::InboundPort(_)
        | ListenerAddress::InboundRest
        | ListenerAddress::Datagrams(_) => None,
    };
    let listeners = part.draft.listeners.iter();
    let ranked = listeners.filter_map(|listener| Some((rank(&listener)?, listener)));
    let Some((_, listener)) = ranked.min_by_key(|(rank, _)| *rank) else {
        return Serves::Untouched;
    };
    let Some(chain) = plain_chain(listener, address, port.number) else {
        return Serves::Closed;
    };
    match &chain.action {
        ChainAction::Http(http) => {
            let Some(table) = part.draft.tables.get(http.table.0 as usize) else {
                return Serves::Closed;
            };
            let domains = Domains::of(table).ok();
            let host = domains.and_then(|domains| domains.virtual_host(&service.host()));
            let host = host.and_then(|at| table.virtual_hosts.get(at as usize));
            Serves::Requests {
                http,
                hosts: host
                    .map(|host| part.host(source, host, table.ignore_port))
                    .into_iter()
                    .collect(),
            }
        }
        ChainAction::Tcp(route) => {
            let to = part.split(source, &route.clusters);
            let is_untouched = to.iter().all(|it| {
                let discovery = it.cluster.map(|cluster| cluster.discovery);
                discovery == Some(Discovery::OriginalDestination)
            });
            if is_untouched {
                Serves::Untouched
            } else {
                Serves::Bytes { route, to }
            }
        }
        ChainAction::Udp(_) | ChainAction::Close(_) => Serves::Closed,
    }
}

/// The chain that takes a plaintext connection with HTTP/1.1 in it.
fn plain_chain(
    listener: &Listener,
    address: Option<SocketAddr>,
    port: u16,
) -> Option<&FilterChain> {
    let is_http = |chain: &FilterChain| {
        let mut protocols = chain.matches.protocols.iter();
        protocols.any(|protocol| matches!(&**protocol, "http/1.1" | "http/1.0"))
    };
    let takes = |chain: &&FilterChain| {
        let matches = &chain.matches;
        let mut blocks = matches.destinations.iter();
        let leads_there = matches.destinations.is_empty()
            || address.is_some_and(|at| blocks.any(|block| block.contains(at.ip())));
        matches.transport != Some(TransportProtocol::Tls)
            && matches.server_names.is_empty()
            && matches.port.is_none_or(|it| it == port)
            && leads_there
            && chain.transport == DownstreamTransport::Plaintext
            && (matches.protocols.is_empty() || is_http(chain))
    };
    let rank = |chain: &&FilterChain| {
        (
            chain.matches.port.is_some(),
            chain.matches.destinations.len(),
            is_http(chain),
            matches!(chain.action, ChainAction::Http(_)),
        )
    };
    // of equals the first
    listener.chains.iter().rev().filter(takes).max_by_key(rank)
}

/// What tells apart what callers of two sections go by: everything but the numbers of their clusters and who the callers are themselves.
fn digest(draft: &SectionDraft, serves: &Serves<'_>) -> String {
    let cluster = |to: &super::Destination<'_>| {
        let Some(cluster) = to.cluster else {
            return format!("{:?}", to.leads);
        };
        let mut cluster = cluster.clone();
        if let UpstreamTransport::Mesh { identity, .. } = &mut cluster.transport {
            *identity = "".into();
        }
        format!("{:?} {cluster:?} {:?}", to.leads, to.upstream)
    };
    match serves {
        Serves::Requests { http, hosts } => {
            let mut text = format!(
                "{:?} {:?} {:?}",
                http.filters, http.stream_idle_timeout, http.replies
            );
            for rule in hosts.iter().flat_map(|host| &host.rules) {
                let mut route = rule.route.clone();
                if let RouteAction::Forward(forward) = &mut route.action {
                    for weighted in &mut forward.clusters {
                        weighted.cluster = None;
                    }
                    for mirror in &mut forward.mirrors {
                        mirror.cluster = proxy_core::config::ClusterIndex(0);
                    }
                }
                text.push_str(&format!("{route:?}"));
                let all = rule.to.iter().chain(&rule.mirrors);
                all.for_each(|to| text.push_str(&cluster(to)));
            }
            text
        }
        Serves::Bytes { route, to } => {
            let all: String = to.iter().map(cluster).collect();
            format!("{:?} {:?} {all}", route.idle_timeout, route.max_duration)
        }
        Serves::Datagrams { to, .. } => to.iter().map(cluster).collect(),
        Serves::Untouched => "untouched".to_owned(),
        Serves::Closed => format!("closed {}", draft.listeners.len()),
    }
}

fn workloads(source: Source<'_>) -> Vec<Inbound<'_>> {
    let all = source.model.workloads().iter();
    all.filter_map(|workload| {
        let part = Part::nth(source.model, source.model.inbound_part(workload.id)?)?;
        let mut rest = (Accepts::Nothing, OriginId::NONE);
        let mut ports: Vec<(u16, Accepts, OriginId)> = Vec::new();
        for listener in &part.draft.listeners {
            let (accepts, origin) = accepts(part.draft, listener);
            match listener.address {
                ListenerAddress::InboundRest => rest = (accepts, origin),
                ListenerAddress::InboundPort(port) => ports.push((port, accepts, origin)),
                ListenerAddress::Socket(_)
                | ListenerAddress::OutboundTo(_)
                | ListenerAddress::OutboundPort(_)
                | ListenerAddress::OutboundRest
                | ListenerAddress::Datagrams(_) => {}
            }
        }
        // systems differ in what they do with ports that nobody knows: what most of the known ones take is what is meant
        let count = |of: Accepts| ports.iter().filter(|it| it.1 == of).count();
        let most = ports.iter().rev().max_by_key(|it| count(it.1));
        let accepts = most.map_or(rest, |(_, accepts, origin)| (*accepts, *origin));
        ports.retain(|(_, own, _)| *own != accepts.0);
        Some(Inbound {
            workload: workload.id,
            part,
            accepts,
            ports,
        })
    })
    .collect()
}

fn accepts(draft: &SectionDraft, listener: &Listener) -> (Accepts, OriginId) {
    let open = |chain: &&FilterChain| match &chain.action {
        ChainAction::Http(http) => {
            let table = draft.tables.get(http.table.0 as usize);
            let hosts = table.into_iter().flat_map(|table| &table.virtual_hosts);
            let mut routes = hosts.flat_map(|host| &host.routes);
            // requests that are all refused are taken from nobody
            routes.any(|route| !matches!(route.action, RouteAction::Direct(_)))
        }
        ChainAction::Tcp(_) | ChainAction::Udp(_) => true,
        ChainAction::Close(_) => false,
    };
    let is_mutual = |chain: &FilterChain| {
        matches!(
            chain.transport,
            DownstreamTransport::Tls { mutual: true, .. }
        )
    };
    let meshed = listener.chains.iter().filter(open).find(|it| is_mutual(it));
    let plain = listener
        .chains
        .iter()
        .filter(open)
        .find(|it| it.transport == DownstreamTransport::Plaintext);
    let origin = meshed.or(plain).map_or(listener.origin, |it| it.origin);
    let accepts = match (meshed, plain) {
        (Some(_), Some(_)) => Accepts::Both,
        (Some(_), None) => Accepts::Meshed,
        (None, Some(_)) => Accepts::Plaintext,
        (None, None) => Accepts::Nothing,
    };
    (accepts, origin)
}
