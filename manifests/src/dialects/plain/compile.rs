//! Ingresses to a section, as `networking.k8s.io/v1` specifies them.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use proxy_core::config::{
    ChainAction, ChainMatch, ClientRules, Cluster, ClusterIndex, DownstreamTransport, EndpointSet,
    FilterChain, Forward, HeadRules, HttpConnections, Limits, Listener, ListenerAddress, Name,
    PathMatch, PathRules, ReplyProfile, Route, RouteAction, RouteMatch, ServerName, ServerRules,
    ServerTransformation, TableIndex, TransportProtocol, Upgrades,
};
use proxy_core::origin::{OriginId, Sourced};

use super::gateways::{PLAIN_PORT, TLS_PORT};
use super::read::{PlainGateway, PlainPath};
use crate::dialects::{Compile, Compiled};
use crate::ingress::{ANY_HOST, HostRoutes, ServicePortId, route_table};
use crate::model::{Members, Upstream};

pub(super) fn section(gateway: &PlainGateway, cx: &mut Compile<'_>) -> Compiled {
    let default = cx
        .origins
        .assumed("a gateway that is not known adds nothing to what the Ingress says");
    let mut section = Section {
        out: Compiled::default(),
        clusters: BTreeMap::new(),
        default,
    };
    let hosts = section.hosts(gateway, cx);
    let table = section.out.draft.add_table(route_table("ingress", hosts));
    let http = connections(table, gateway.origin);
    let plain = FilterChain {
        matches: ChainMatch {
            transport: Some(TransportProtocol::Raw),
            ..ChainMatch::default()
        },
        transport: DownstreamTransport::Plaintext,
        action: ChainAction::Http(Box::new(http.clone())),
        origin: gateway.origin,
    };
    let sides = [
        ("http", PLAIN_PORT, vec![plain]),
        ("https", TLS_PORT, tls_chains(gateway, &http)),
    ];
    for (name, port, chains) in sides {
        section.out.draft.listeners.push(Listener {
            name: name.into(),
            address: ListenerAddress::Socket(SocketAddr::new(
                IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                port,
            )),
            chains,
            max_connections: None,
            preface: None,
            process_limit: None,
            logs: proxy_core::log::Logs::default(),
            origin: gateway.origin,
        });
    }
    section.out
}

struct Section {
    out: Compiled,
    clusters: BTreeMap<ServicePortId, ClusterIndex>,
    default: OriginId,
}

impl Section {
    /// The paths of each host: of those that take a request the longest wins, and of two of one length the exact one.
    fn hosts(&mut self, gateway: &PlainGateway, cx: &Compile<'_>) -> Vec<HostRoutes> {
        let mut by_host: BTreeMap<&str, Vec<&PlainPath>> = BTreeMap::new();
        by_host.insert(ANY_HOST, Vec::new());
        for path in gateway.ingresses.iter().flat_map(|it| &it.paths) {
            by_host.entry(&path.host).or_default().push(path);
        }
        let mut defaults = gateway.ingresses.iter();
        let rest = defaults.find_map(|it| Some((it.default_backend?, it.origin)));
        let mut hosts = Vec::new();
        for (host, mut paths) in by_host {
            paths.sort_by_key(|it| (Reverse(it.path.trim_end_matches('/').len()), !it.exact));
            let mut routes = Vec::new();
            for path in &paths {
                let matches = if path.exact {
                    PathMatch::Exact(path.path.as_str().into())
                } else {
                    PathMatch::segments(&path.path)
                };
                routes.push(self.route(path.path.clone(), matches, path.backend, path.origin, cx));
            }
            if let Some((backend, origin)) = rest {
                let all = PathMatch::Prefix("/".into());
                routes.push(self.route("default backend".into(), all, backend, origin, cx));
            }
            hosts.push(HostRoutes {
                host: host.to_owned(),
                aliases: Vec::new(),
                routes,
                origin: paths.first().map_or(gateway.origin, |path| path.origin),
            });
        }
        hosts
    }

    fn route(
        &mut self,
        name: String,
        path: PathMatch,
        backend: ServicePortId,
        origin: OriginId,
        cx: &Compile<'_>,
    ) -> Route {
        let mut forward = Forward::to(self.cluster(backend, cx));
        forward.clusters[0].origin = origin;
        forward.timeout = Sourced::new(None, self.default);
        Route {
            name: name.into(),
            matches: RouteMatch::path(path),
            action: RouteAction::Forward(Box::new(forward)),
            request_edits: Vec::new(),
            response_edits: Vec::new(),
            gates: Vec::new(),
            fault: None,
            rate_limit: None,
            cors: None,
            tracing: None,
            origin,
        }
    }

    fn cluster(&mut self, backend: ServicePortId, cx: &Compile<'_>) -> ClusterIndex {
        if let Some(known) = self.clusters.get(&backend) {
            return *known;
        }
        let ServicePortId { service, port } = backend;
        let of = &cx.services[service.index()];
        let cluster = Cluster {
            service: of.full_name().into(),
            limits: [Limits::unlimited(self.default); 2],
            origin: of.origin,
            ..Cluster::envoy(
                &format!("{}:{port}", of.full_name()),
                EndpointSet::default(),
            )
        };
        let members = Members::Pods {
            service,
            port,
            labels: Vec::new(),
        };
        let upstream = Upstream {
            members,
            ..Upstream::default()
        };
        let made = self.out.add(cluster, upstream);
        self.clusters.insert(backend, made);
        made
    }
}

/// A chain for each entry of TLS, and one for all other names, which shows a certificate of the gateway's own.
fn tls_chains(gateway: &PlainGateway, http: &HttpConnections) -> Vec<FilterChain> {
    let chain = |server_names: Vec<ServerName>, certificate: Name, origin| FilterChain {
        matches: ChainMatch {
            server_names,
            transport: Some(TransportProtocol::Tls),
            ..ChainMatch::default()
        },
        transport: DownstreamTransport::Tls {
            mutual: false,
            alpn: vec!["h2".into(), "http/1.1".into()],
            certificate,
        },
        action: ChainAction::Http(Box::new(http.clone())),
        origin,
    };
    let mut chains = vec![chain(
        Vec::new(),
        "ingress-default-certificate".into(),
        gateway.origin,
    )];
    for ingress in &gateway.ingresses {
        for tls in &ingress.ingress.tls {
            let Some(secret) = &tls.secret else { continue };
            let names = tls.hosts.iter().map(|host| {
                let host = host.to_ascii_lowercase();
                match host.strip_prefix('*') {
                    Some(suffix) => ServerName::Suffix(suffix.into()),
                    None => ServerName::Exact(host.as_str().into()),
                }
            });
            let names: Vec<ServerName> = names.collect();
            let certificate = format!("{}/{}", ingress.ingress.key.namespace, secret.value);
            let made = chain(names, certificate.into(), ingress.origin);
            if !made.matches.server_names.is_empty() {
                chains.push(made);
            }
        }
    }
    chains
}

/// Nothing has a time, and what a client wants a connection to become it may.
fn connections(table: TableIndex, origin: OriginId) -> HttpConnections {
    HttpConnections {
        table,
        filters: Vec::new(),
        stream_idle_timeout: None,
        request_timeout: None,
        max_stream_duration: None,
        idle_timeout: None,
        max_connection_duration: None,
        head_timeout: None,
        max_requests_per_connection: None,
        retained_bytes: 0,
        replies: ReplyProfile::Envoy,
        edge: true,
        heads: Some(Arc::new(HeadRules {
            client: ClientRules {
                remote_address: true,
                ..ClientRules::default()
            },
            path: PathRules {
                normalizes: true,
                ..PathRules::default()
            },
            server: ServerRules {
                name: "windtunnel".into(),
                transformation: ServerTransformation::PassThrough,
            },
            tells: false,
            ..HeadRules::unwritten("windtunnel")
        })),
        upgrades: Upgrades::of(&["websocket"], origin),
        logs: proxy_core::log::Logs::default(),
        tracing: None,
        origin,
    }
}
