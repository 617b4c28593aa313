//! Routes whose parent is a Service, as sidecars of callers go by them (GAMMA, GEP-1426).
//!
//! The API says what a mesh does with a route, and nothing of who is in the mesh or how its members know each other: pods are those that the
//! scenario or the command line names, what arrives at them passes as it comes, and nothing is encrypted.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use proxy_core::config::{
    Balancer, ChainAction, ChainMatch, Cluster, Discovery, DownstreamTransport, EndpointSet,
    FilterChain, Forward, HttpConnections, HttpFilter, Listener, ListenerAddress, Name,
    ReplyProfile, Route, RouteAction, RouteMatch, RouteTable, TcpRoute, TransportProtocol,
    Upgrades, UpstreamProtocol, VirtualHost,
};
use proxy_core::origin::{OriginId, Sourced};
use proxy_core::time::Duration;

use super::clusters::{Clusters, Spoken};
use super::rules::{Entry, routes};
use super::systems::THE_API;
use super::tables::age;
use crate::dialects::{Compile, Compiled, Mesh, ScopeKey};
use crate::gateway_api::{Api, Parent, Resolved, RouteId, RouteKind};
use crate::model::{Service, ServicePort, SidecarFacts, Upstream, WorkloadId};

/// Connections without a byte, or without a request, are closed after this long. Source: Envoy v3.
const IDLE: Duration = Duration::from_secs(3600);
/// Request bytes kept for a retry. Source: Envoy v3 `per_connection_buffer_limit_bytes`.
const RETAINED: u64 = 1 << 20;
/// Where what a sidecar passes on to its application comes from. Source: Istio's inbound clusters, whose redirect rules leave it alone.
const OWN_SOURCE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 6));

pub(super) struct ServiceMesh {
    pub(super) release: String,
    pub(super) api: Api,
    pub(super) resolved: Resolved,
}

impl Mesh for ServiceMesh {
    fn release(&self) -> &str {
        &self.release
    }

    fn sidecar(&self, cx: &mut Compile<'_>, workload: WorkloadId) -> Option<SidecarFacts> {
        let workload = &cx.workloads[workload.index()];
        let full = workload.full_name();
        let names = |list: &[Name]| {
            let mut list = list.iter();
            list.any(|name| **name == *full || *name == workload.namespace)
        };
        let is_in = names(&cx.sidecars.inject) && !names(&cx.sidecars.skip);
        is_in.then(|| SidecarFacts {
            why: format!("{full} is named as one of the mesh"),
            origin: OriginId::NONE,
            identity: format!(
                "spiffe://cluster.local/ns/{}/sa/{}",
                workload.namespace, workload.service_account
            )
            .into(),
        })
    }

    fn inbound(&self, cx: &mut Compile<'_>, _workload: WorkloadId) -> Compiled {
        let origin = cx.default_of(&self.release);
        let mut out = Compiled::default();
        passes(
            ListenerAddress::InboundRest,
            Some(OWN_SOURCE),
            origin,
            &mut out,
        );
        out
    }

    fn outbound_scope(&self, cx: &mut Compile<'_>, workload: WorkloadId) -> ScopeKey {
        ScopeKey(cx.workloads[workload.index()].namespace.clone())
    }

    fn outbound(&self, cx: &mut Compile<'_>, workload: WorkloadId) -> Compiled {
        let origin = cx.default_of(&self.release);
        let (services, workloads) = (cx.services, cx.workloads);
        let caller = &workloads[workload.index()].namespace;
        let mut clusters = Clusters::new(&self.api, &self.resolved, None, (&THE_API, origin), cx);
        clusters.as_client = true;
        for service in services {
            for port in service.ports.iter().filter(|port| !port.udp) {
                self.port(service, port, caller, &mut clusters, cx);
            }
        }
        passes(
            ListenerAddress::OutboundRest,
            None,
            origin,
            &mut clusters.out,
        );
        clusters.out
    }
}

/// Everything that comes goes to where it was meant for.
fn passes(
    address: ListenerAddress,
    source_address: Option<IpAddr>,
    origin: OriginId,
    out: &mut Compiled,
) {
    let cluster = Cluster {
        discovery: Discovery::OriginalDestination,
        balancer: Sourced::new(Balancer::OriginalDestination, origin),
        source_address,
        protocol: UpstreamProtocol::Downstream,
        origin,
        ..Cluster::envoy("passthrough", EndpointSet::default())
    };
    let cluster = out.add(cluster, Upstream::default());
    out.draft.listeners.push(Listener {
        name: "passthrough".into(),
        address,
        chains: vec![FilterChain {
            matches: ChainMatch::default(),
            transport: DownstreamTransport::Plaintext,
            action: ChainAction::Tcp(TcpRoute {
                clusters: vec![(cluster, 1)],
                idle_timeout: Some(Sourced::new(IDLE, origin)),
                max_duration: None,
                connect_retries: 0,
                logs: proxy_core::config::CarriedLogs::default(),
                origin,
            }),
            origin,
        }],
        max_connections: None,
        preface: None,
        process_limit: None,
        logs: proxy_core::log::Logs::default(),
        origin,
    });
}

impl ServiceMesh {
    /// A Service's port: what looks like HTTP goes by its routes, everything else passes as bytes.
    fn port(
        &self,
        service: &Service,
        port: &ServicePort,
        caller: &str,
        clusters: &mut Clusters<'_, '_>,
        cx: &mut Compile<'_>,
    ) {
        let Some(bytes) = clusters.of_port(service.id, port.number, Spoken::Bytes) else {
            return;
        };
        let origin = cx.origins.written(port.span);
        let plain = |matches, action| FilterChain {
            matches,
            transport: DownstreamTransport::Plaintext,
            action,
            origin,
        };
        let carried = ChainAction::Tcp(TcpRoute {
            clusters: vec![(bytes, 1)],
            idle_timeout: Some(Sourced::new(IDLE, clusters.defaults)),
            max_duration: None,
            connect_retries: 0,
            logs: proxy_core::config::CarriedLogs::default(),
            origin,
        });
        let mut chains = vec![plain(ChainMatch::default(), carried)];
        if let Some(table) = self.table(service, port, caller, clusters, cx) {
            let table = clusters.out.draft.add_table(table);
            let matches = ChainMatch {
                transport: Some(TransportProtocol::Raw),
                protocols: vec!["http/1.1".into(), "h2c".into()],
                ..ChainMatch::default()
            };
            chains.push(plain(
                matches,
                ChainAction::Http(Box::new(HttpConnections {
                    table,
                    filters: vec![HttpFilter::Cors],
                    stream_idle_timeout: None,
                    request_timeout: None,
                    head_timeout: None,
                    max_connection_duration: None,
                    tracing: None,
                    max_stream_duration: None,
                    idle_timeout: Some(Sourced::new(IDLE, clusters.defaults)),
                    max_requests_per_connection: None,
                    retained_bytes: RETAINED,
                    replies: ReplyProfile::Envoy,
                    edge: true,
                    heads: None,
                    upgrades: Upgrades::of(&["websocket"], origin),
                    logs: proxy_core::log::Logs::default(),
                    origin,
                })),
            ));
        }
        let address = match service.cluster_ip() {
            Some(ip) => ListenerAddress::OutboundTo(SocketAddr::new(ip, port.number)),
            // its pods are dialled themselves, by addresses that no route is for
            None => return,
        };
        clusters.out.draft.listeners.push(Listener {
            name: format!("{}:{}", service.full_name(), port.number).into(),
            address,
            chains,
            max_connections: None,
            preface: None,
            process_limit: None,
            logs: proxy_core::log::Logs::default(),
            origin,
        });
    }

    /// The routes of requests to a Service's port; without any they go to its pods. None: it is not known to carry requests.
    ///
    /// Source: GEP-1426: routes of the caller's own namespace take the place of those of the Service's; a request that none of the routes takes
    /// is answered with 404. Hosts of routes are of no account.
    fn table(
        &self,
        service: &Service,
        port: &ServicePort,
        caller: &str,
        clusters: &mut Clusters<'_, '_>,
        cx: &mut Compile<'_>,
    ) -> Option<RouteTable> {
        let mut ids = self.routes_of(service, port.number, caller);
        let declared = port.app_protocol.as_deref().unwrap_or_default();
        let is_declared = matches!(
            declared,
            "http" | "http2" | "grpc" | "kubernetes.io/h2c" | "kubernetes.io/ws"
        );
        if ids.is_empty() && !is_declared {
            return None;
        }
        let origin = cx.origins.written(port.span);
        ids.sort_by_key(|id| age(clusters, *id));
        let entry = Entry {
            scheme: "http",
            port: port.number,
        };
        clusters.parent = Some(service.id);
        let mut made = Vec::new();
        for (age, id) in ids.iter().enumerate() {
            made.extend(routes(*id, age, entry, clusters, cx));
        }
        clusters.parent = None;
        made.sort_by(|a, b| a.rank.cmp(&b.rank).then_with(|| a.after.cmp(&b.after)));
        let mut all: Vec<Route> = made.into_iter().map(|ranked| ranked.route).collect();
        if ids.is_empty() {
            let cluster = clusters.of_port(service.id, port.number, Spoken::Requests)?;
            all.push(Route {
                name: service.full_name().into(),
                matches: RouteMatch::all(),
                action: RouteAction::Forward(Box::new(Forward::to(cluster))),
                request_edits: Vec::new(),
                response_edits: Vec::new(),
                fault: None,
                rate_limit: None,
                gates: Vec::new(),
                cors: None,
                tracing: None,
                origin,
            });
        }
        let name = format!("{}:{}", service.full_name(), port.number);
        Some(RouteTable {
            virtual_hosts: vec![VirtualHost {
                name: name.as_str().into(),
                domains: vec!["*".into()],
                routes: all,
                attempt_count: false,
                attempt_count_in_response: false,
                origin,
            }],
            name: name.into(),
            ignore_port: true,
        })
    }

    /// The routes that callers of a namespace go by for a Service's port.
    fn routes_of(&self, service: &Service, port: u16, caller: &str) -> Vec<RouteId> {
        let mut found: Vec<(bool, RouteId)> = Vec::new();
        for state in &self.resolved.routes {
            if !matches!(state.id.kind, RouteKind::Http | RouteKind::Grpc) {
                continue;
            }
            let route = self.api.route(state.id);
            let is_its = state.parents.iter().any(|parent| {
                let reference = &route.parents[parent.at];
                let fits = reference.port.as_ref().is_none_or(|it| it.value == port);
                parent.parent == Parent::Service(service.id) && parent.refusal.is_none() && fits
            });
            if is_its {
                found.push((route.key.namespace == caller, state.id));
            }
        }
        let of_service = |id: &RouteId| *self.api.route(*id).key.namespace == *service.namespace;
        let has_own = found.iter().any(|(own, id)| *own && !of_service(id));
        let kept = found.into_iter().filter(|(own, id)| match has_own {
            true => *own && !of_service(id),
            // a route of a third namespace is for callers there
            false => of_service(id),
        });
        kept.map(|(_, id)| id).collect()
    }
}
