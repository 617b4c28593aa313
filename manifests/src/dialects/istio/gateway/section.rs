//! Gateways to listeners and route tables.
//!
//! Source: istio `pilot/pkg/networking/core/gateway.go`, `pilot/pkg/model/gateway.go` (`MergeGateways`).

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::collections::{BTreeMap, BTreeSet};

use proxy_core::config::{
    ChainAction, ChainMatch, DownstreamTransport, FilterChain, HttpConnections, HttpFilter,
    Listener, ListenerAddress, Name, Redirect, ReplyProfile, Route, RouteAction, RouteMatch,
    RouteTable, SectionDraft, ServerName, TableIndex, TransportProtocol, VirtualHost,
};
use proxy_core::origin::OriginId;
use proxy_core::time::Duration;

use super::super::clusters::{Carried, Clusters};
use super::super::notes::Defaults;
use super::super::virtual_service::{
    Caller, L4Chain, RouteDefaults, Server, VirtualServices, takes_all,
};
use super::policy::{Group, ServerKind, ServerPolicy, Termination};
use super::types::TlsMode;

/// Request bytes kept for a retry: Envoy's buffer of a connection.
const RETAINED: u64 = 1 << 20;
/// An idle client connection is closed after this long. Source: Envoy v3 `HttpProtocolOptions.idle_timeout`.
const IDLE: Duration = Duration::from_secs(3600);

/// What a gateway is made of besides clusters.
pub(super) struct Serving<'a> {
    /// Its Gateways.
    pub(super) group: &'a Group,
    /// What is bound to them.
    pub(super) services: &'a VirtualServices,
    /// Whose proxy it is.
    pub(super) caller: Caller<'a>,
    /// The name that it proves to clients of the mesh.
    pub(super) identity: Name,
    /// The release, as `1.29`.
    pub(super) release: &'static str,
    /// What values fall back to.
    pub(super) defaults: Defaults,
}

/// Listeners and tables; the clusters are `to`'s.
pub(super) fn serve(serving: &Serving<'_>, to: &mut Clusters<'_>) -> SectionDraft {
    let mut by_port: BTreeMap<u16, Vec<&ServerPolicy>> = BTreeMap::new();
    for server in serving.group.servers() {
        let port = serving.group.bound(server.port);
        let servers = by_port.entry(port).or_default();
        if servers.first().is_none_or(|first| fits(first, server)) {
            servers.push(server);
        }
    }
    let mut draft = SectionDraft::default();
    for (port, servers) in by_port {
        let chains = serving.chains(port, &servers, to, &mut draft);
        // Istio makes no listener where there is nothing to carry connections to
        if chains.is_empty() {
            continue;
        }
        draft.listeners.push(Listener {
            name: format!("0.0.0.0_{port}").into(),
            address: ListenerAddress::Socket(SocketAddr::new(
                IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                port,
            )),
            chains,
            max_connections: None,
            preface: None,
            process_limit: None,
            logs: proxy_core::log::Logs::default(),
            origin: servers
                .first()
                .map(|server| server.origin)
                .unwrap_or_default(),
        });
    }
    draft
}

/// Whether two servers may share a port: requests in plaintext with their like, TLS with TLS, nothing with bytes in plaintext.
pub(super) fn fits(first: &ServerPolicy, other: &ServerPolicy) -> bool {
    match (&first.kind, &other.kind) {
        (ServerKind::Http { .. }, ServerKind::Http { .. }) => true,
        (first, other) => first.is_tls() && other.is_tls(),
    }
}

/// The hosts that servers share with what is bound to them, in order.
pub(super) fn hosts(group: &Group, services: &VirtualServices, caller: Caller<'_>) -> Vec<Name> {
    let mut all = BTreeSet::new();
    for server in group.servers() {
        all.extend(services.shared_hosts(&seen(server, caller)));
    }
    all.into_iter().map(Name::from).collect()
}

fn seen<'a>(server: &'a ServerPolicy, caller: Caller<'a>) -> Server<'a> {
    Server {
        gateway: &server.gateway,
        port: server.port,
        hosts: &server.hosts,
        caller,
    }
}

impl Serving<'_> {
    fn chains(
        &self,
        port: u16,
        servers: &[&ServerPolicy],
        to: &mut Clusters<'_>,
        draft: &mut SectionDraft,
    ) -> Vec<FilterChain> {
        let mut chains: Vec<FilterChain> = Vec::new();
        let plain: Vec<&ServerPolicy> = servers
            .iter()
            .copied()
            .filter(|server| matches!(server.kind, ServerKind::Http { .. }))
            .collect();
        if let Some(first) = plain.first() {
            let table = self.table(format!("http.{port}"), &plain, to);
            let table = draft.add_table(table);
            chains.push(FilterChain {
                matches: ChainMatch::default(),
                transport: DownstreamTransport::Plaintext,
                action: self.http(table, first.origin),
                origin: first.origin,
            });
        }
        for server in servers {
            let made = match &server.kind {
                ServerKind::Http { .. } => continue,
                ServerKind::Https(end) => vec![self.https(server, end, to, draft)],
                ServerKind::Tcp => self.carried(server, DownstreamTransport::Plaintext, to),
                ServerKind::TcpOverTls(end) => self.carried(server, self.terminated(end), to),
                ServerKind::Passthrough => self.passed(server, to),
            };
            // of chains that match alike the first counts
            for chain in made {
                if !chains.iter().any(|before| before.matches == chain.matches) {
                    chains.push(chain);
                }
            }
        }
        chains
    }

    fn https(
        &self,
        server: &ServerPolicy,
        end: &Termination,
        to: &mut Clusters<'_>,
        draft: &mut SectionDraft,
    ) -> FilterChain {
        let name = format!("https.{}.{}.{}", server.port, server.label, server.gateway);
        let table = self.table(name, &[server], to);
        let table = draft.add_table(table);
        FilterChain {
            matches: over_tls(server_names(server)),
            transport: self.terminated(end),
            action: self.http(table, server.origin),
            origin: server.origin,
        }
    }

    fn terminated(&self, end: &Termination) -> DownstreamTransport {
        let of_mesh = end.mode == TlsMode::IstioMutual;
        DownstreamTransport::Tls {
            mutual: of_mesh,
            alpn: vec!["h2".into(), "http/1.1".into()],
            certificate: if of_mesh {
                self.identity.clone()
            } else if end.certificate.contains('/') {
                // files of the pods, named after the Gateway
                end.certificate.clone()
            } else {
                format!("{}/{}", self.caller.namespace, end.certificate).into()
            },
        }
    }

    fn carried(
        &self,
        server: &ServerPolicy,
        transport: DownstreamTransport,
        to: &mut Clusters<'_>,
    ) -> Vec<FilterChain> {
        let defaults = self.of_routes(server);
        to.carried = Carried::Bytes;
        let chains = self
            .services
            .carried(&seen(server, self.caller), false, to, &defaults);
        let matches = if server.kind.is_tls() {
            over_tls(server_names(server))
        } else {
            ChainMatch::default()
        };
        let chains = chains.into_iter().map(|chain| FilterChain {
            matches: ChainMatch {
                destinations: chain.destinations,
                ..matches.clone()
            },
            transport: transport.clone(),
            action: chain.action,
            origin: chain.origin,
        });
        // only the first rule that matches counts on a gateway
        chains.take(1).collect()
    }

    fn passed(&self, server: &ServerPolicy, to: &mut Clusters<'_>) -> Vec<FilterChain> {
        let defaults = self.of_routes(server);
        to.carried = Carried::Bytes;
        let chains = self
            .services
            .carried(&seen(server, self.caller), true, to, &defaults);
        let chain = |chain: L4Chain| FilterChain {
            matches: ChainMatch {
                destinations: chain.destinations,
                ..over_tls(chain.server_names)
            },
            transport: DownstreamTransport::Plaintext,
            action: chain.action,
            origin: chain.origin,
        };
        chains.into_iter().map(chain).collect()
    }

    fn http(&self, table: TableIndex, origin: OriginId) -> ChainAction {
        ChainAction::Http(Box::new(HttpConnections {
            table,
            filters: vec![HttpFilter::Fault(None), HttpFilter::Cors],
            stream_idle_timeout: None,
            request_timeout: None,
            max_stream_duration: None,
            idle_timeout: Some(self.defaults.of(IDLE)),
            max_connection_duration: None,
            head_timeout: None,
            max_requests_per_connection: None,
            retained_bytes: RETAINED,
            replies: ReplyProfile::Envoy,
            edge: true,
            heads: None,
            upgrades: super::super::chains::upgrades(origin),
            logs: proxy_core::log::Logs::default(),
            tracing: None,
            origin,
        }))
    }

    /// Virtual hosts of servers that share a table. Routes of several VirtualServices for one host stand one after another, those that take
    /// everything last. Without any the table answers 404.
    fn table(&self, name: String, servers: &[&ServerPolicy], to: &mut Clusters<'_>) -> RouteTable {
        let mut hosts: BTreeMap<String, (Vec<Route>, Option<OriginId>, OriginId)> = BTreeMap::new();
        for server in servers {
            let redirects = server.kind == ServerKind::Http { redirects: true };
            let redirects = redirects.then_some(server.origin);
            let defaults = self.of_routes(server);
            let served = self
                .services
                .served(&seen(server, self.caller), to, &defaults);
            for (shared, routes) in served {
                if routes.is_empty() {
                    continue;
                }
                for host in shared {
                    let host = hosts.entry(host);
                    let host = host.or_insert_with(|| (Vec::new(), None, server.origin));
                    host.0.extend(routes.iter().cloned());
                    host.1 = host.1.or(redirects);
                }
            }
            for (_, host) in server.hosts.iter().filter(|_| redirects.is_some()) {
                let host = hosts.entry(host.clone());
                let host = host.or_insert_with(|| (Vec::new(), None, server.origin));
                host.1 = host.1.or(redirects);
            }
        }
        if hosts.is_empty() {
            let origin = servers.first().map(|server| server.origin);
            hosts.insert("*".into(), (Vec::new(), None, origin.unwrap_or_default()));
        }
        let virtual_hosts = hosts
            .into_iter()
            .map(|(domain, (routes, redirects, origin))| {
                let routes = match redirects {
                    Some(origin) => vec![to_https(origin)],
                    None => sorted(routes),
                };
                VirtualHost {
                    name: domain.as_str().into(),
                    domains: vec![domain.as_str().into()],
                    routes,
                    attempt_count: true,
                    attempt_count_in_response: false,
                    origin,
                }
            });
        RouteTable {
            virtual_hosts: virtual_hosts.collect(),
            name: name.into(),
            ignore_port: true,
        }
    }

    fn of_routes(&self, server: &ServerPolicy) -> RouteDefaults {
        RouteDefaults {
            release: self.release,
            origin: self.defaults.origin,
            scheme: if server.kind.is_tls() {
                "https"
            } else {
                "http"
            },
        }
    }
}

/// Source: istio `pilot/pkg/networking/core/route/route.go` (`SortVHostRoutes`).
fn sorted(routes: Vec<Route>) -> Vec<Route> {
    let (last, mut first): (Vec<Route>, Vec<Route>) = routes
        .into_iter()
        .partition(|route| takes_all(&route.matches));
    first.extend(last);
    first
}

/// Everything in plaintext is sent to HTTPS. Source: Envoy v3 `VirtualHost.require_tls`.
fn to_https(origin: OriginId) -> Route {
    Route {
        name: "https-redirect".into(),
        matches: RouteMatch::all(),
        action: RouteAction::Redirect(Box::new(Redirect {
            status: 301,
            scheme: Some("https".into()),
            host: None,
            port: None,
            path: None,
            strip_query: false,
            omits_own_port: false,
        })),
        request_edits: Vec::new(),
        response_edits: Vec::new(),
        fault: None,
        rate_limit: None,
        gates: Vec::new(),
        cors: None,
        tracing: None,
        origin,
    }
}

fn over_tls(server_names: Vec<ServerName>) -> ChainMatch {
    ChainMatch {
        server_names,
        transport: Some(TransportProtocol::Tls),
        ..ChainMatch::default()
    }
}

/// The names that clients must ask for; any, where one of the hosts is `*`.
fn server_names(server: &ServerPolicy) -> Vec<ServerName> {
    let hosts = || server.hosts.iter().map(|(_, host)| host.as_str());
    if hosts().any(|host| host == "*") {
        return Vec::new();
    }
    let mut names = Vec::new();
    for host in hosts() {
        let name = match host.strip_prefix('*') {
            Some(suffix) => ServerName::Suffix(suffix.into()),
            None => ServerName::Exact(host.into()),
        };
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}
