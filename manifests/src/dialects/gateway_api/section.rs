//! A Gateway to listeners, chains and tables.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::collections::BTreeMap;
use std::sync::Arc;

use proxy_core::config::{
    ChainAction, ChainMatch, ClientRules, CloseReason, DownstreamTransport, FilterChain, HeadRules,
    HttpConnections, HttpFilter, Listener, ListenerAddress, Name, PathRules, TableIndex,
    TransportProtocol, Upgrades,
};
use proxy_core::origin::{OriginId, Sourced};
use proxy_core::time::Duration;

use super::clusters::Clusters;
use super::l4::{self, carried, server_name};
use super::rules::Entry;
use super::systems::System;
use super::tables::{misdirected, owner, table, virtual_hosts};
use crate::dialects::{Compile, Compiled};
use crate::gateway_api::{
    Api, GatewayState, Host, ListenerState, Protocol, Resolved, RouteId, Termination,
};
use crate::model::Credential;

/// Request bytes kept for a retry: Envoy's buffer of a connection.
const RETAINED: u64 = 1 << 20;
/// An idle client connection is closed after this long. Source: Envoy v3 `HttpProtocolOptions.idle_timeout`.
const IDLE: Duration = Duration::from_secs(3600);

pub(super) fn compile(
    api: &Api,
    resolved: &Resolved,
    state: &GatewayState,
    (system, defaults): (&'static System, OriginId),
    cx: &mut Compile<'_>,
) -> Compiled {
    let mut by_port: BTreeMap<u16, Vec<&ListenerState>> = BTreeMap::new();
    let serving = state.listeners.iter().filter(|listener| listener.serves());
    for listener in serving.filter(|it| it.protocol != Protocol::Udp) {
        by_port.entry(listener.port).or_default().push(listener);
    }
    let mut section = Section {
        clusters: Clusters::new(
            api,
            resolved,
            state.client_certificate.clone(),
            (system, defaults),
            cx,
        ),
        gateway: api.gateways[state.at].full_name(),
        heads: Arc::new(heads()),
        defaults,
    };
    for listener in state.listeners.iter().filter(|listener| listener.serves()) {
        if listener.protocol == Protocol::Udp {
            section.datagrams(listener, cx);
        }
    }
    for (port, listeners) in by_port {
        let chains = section.chains(port, &listeners, cx);
        let origin = cx.origins.written(listeners[0].span);
        section.clusters.out.draft.listeners.push(Listener {
            name: format!("{port}").into(),
            address: ListenerAddress::Socket(SocketAddr::new(
                IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                port,
            )),
            chains,
            max_connections: None,
            preface: None,
            process_limit: None,
            logs: proxy_core::log::Logs::default(),
            origin,
        });
    }
    section.clusters.out
}

/// What is done to heads: clients are outside and known by their connection, paths have one form, and this proxy says nothing of itself.
fn heads() -> HeadRules {
    HeadRules {
        client: ClientRules {
            remote_address: true,
            ..ClientRules::default()
        },
        path: PathRules {
            normalizes: true,
            ..PathRules::default()
        },
        server: proxy_core::config::ServerRules {
            name: "windtunnel".into(),
            transformation: proxy_core::config::ServerTransformation::PassThrough,
        },
        tells: false,
        ..HeadRules::unwritten("windtunnel")
    }
}

struct Section<'a, 'c> {
    clusters: Clusters<'a, 'c>,
    /// `namespace/name`.
    gateway: String,
    heads: Arc<HeadRules>,
    defaults: OriginId,
}

impl Section<'_, '_> {
    /// A listener for datagrams: the oldest route has all of them.
    fn datagrams(&mut self, listener: &ListenerState, cx: &mut Compile<'_>) {
        let Some(oldest) = listener.attached.first() else {
            return;
        };
        let name = format!("udp.{}", listener.port);
        let route = l4::datagrams(oldest.route, &name, &mut self.clusters, cx);
        let Some(route) = route else {
            return;
        };
        let origin = cx.origins.written(listener.span);
        let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        self.clusters.out.draft.listeners.push(Listener {
            name: name.into(),
            address: ListenerAddress::Datagrams(SocketAddr::new(any, listener.port)),
            chains: vec![FilterChain {
                matches: ChainMatch::default(),
                transport: DownstreamTransport::Plaintext,
                action: ChainAction::Udp(route),
                origin,
            }],
            max_connections: None,
            preface: None,
            process_limit: None,
            logs: proxy_core::log::Logs::default(),
            origin,
        });
    }

    /// The chains of the listeners of one port, which are all of one sort: requests in the clear, bytes, or TLS.
    fn chains(
        &mut self,
        port: u16,
        listeners: &[&ListenerState],
        cx: &mut Compile<'_>,
    ) -> Vec<FilterChain> {
        match listeners[0].protocol {
            Protocol::Http => vec![self.requests(port, listeners, cx)],
            Protocol::Tcp => {
                let (action, origin) = self.bytes(listeners[0], cx);
                vec![FilterChain {
                    matches: ChainMatch::default(),
                    transport: DownstreamTransport::Plaintext,
                    action,
                    origin,
                }]
            }
            Protocol::Https | Protocol::Tls => {
                let mut chains: Vec<FilterChain> = Vec::new();
                for listener in listeners {
                    let made = match listener.protocol {
                        Protocol::Https => vec![self.https(port, listener, listeners, cx)],
                        Protocol::Tls
                        | Protocol::Http
                        | Protocol::Tcp
                        | Protocol::Udp
                        | Protocol::Other => self.by_name(listener, listeners, cx),
                    };
                    for chain in made {
                        if chains.iter().all(|before| before.matches != chain.matches) {
                            chains.push(chain);
                        }
                    }
                }
                chains
            }
            Protocol::Udp | Protocol::Other => Vec::new(),
        }
    }

    fn requests(
        &mut self,
        port: u16,
        listeners: &[&ListenerState],
        cx: &mut Compile<'_>,
    ) -> FilterChain {
        let entry = Entry {
            scheme: "http",
            port,
        };
        let mut hosts = Vec::new();
        for listener in listeners {
            hosts.extend(virtual_hosts(
                listener,
                listeners,
                entry,
                &mut self.clusters,
                cx,
            ));
        }
        let table = table(format!("http.{port}"), hosts);
        let table = self.clusters.out.draft.add_table(table);
        let origin = cx.origins.written(listeners[0].span);
        FilterChain {
            matches: ChainMatch::default(),
            transport: DownstreamTransport::Plaintext,
            action: self.http(table, origin),
            origin,
        }
    }

    fn https(
        &mut self,
        port: u16,
        listener: &ListenerState,
        all: &[&ListenerState],
        cx: &mut Compile<'_>,
    ) -> FilterChain {
        let entry = Entry {
            scheme: "https",
            port,
        };
        let mut hosts = virtual_hosts(listener, all, entry, &mut self.clusters, cx);
        for other in all
            .iter()
            .filter(|other| other.protocol == Protocol::Https && !core::ptr::eq(**other, listener))
        {
            let theirs = owner(all, &other.host).is_some_and(|it| core::ptr::eq(it, *other));
            let domain = other.host.domain();
            let is_new = hosts.iter().all(|host| !host.domains.contains(&domain));
            if theirs && is_new {
                hosts.push(misdirected(other, cx));
            }
        }
        let table = table(format!("https.{port}.{}", listener.name), hosts);
        let table = self.clusters.out.draft.add_table(table);
        let origin = cx.origins.written(listener.span);
        FilterChain {
            matches: over_tls(&listener.host),
            transport: self.ends_here(listener, &["h2", "http/1.1"]),
            action: self.http(table, origin),
            origin,
        }
    }

    /// A TLS listener: a chain for each name that one of its routes takes, the oldest first, and none for its other names.
    fn by_name(
        &mut self,
        listener: &ListenerState,
        all: &[&ListenerState],
        cx: &mut Compile<'_>,
    ) -> Vec<FilterChain> {
        let transport = match listener.tls.as_ref().map(|tls| tls.ends) {
            Some(Termination::Here) => self.ends_here(listener, &[]),
            Some(Termination::Beyond) | None => DownstreamTransport::Plaintext,
        };
        let origin = cx.origins.written(listener.span);
        let mut chains: Vec<FilterChain> = Vec::new();
        for attached in &listener.attached {
            for host in &attached.hosts {
                let is_own = owner(all, host).is_some_and(|it| core::ptr::eq(it, listener));
                let matches = over_tls(host);
                if !is_own || chains.iter().any(|before| before.matches == matches) {
                    continue;
                }
                chains.push(FilterChain {
                    matches,
                    transport: transport.clone(),
                    action: carried(attached.route, &mut self.clusters, cx),
                    origin,
                });
            }
        }
        let rest = over_tls(&listener.host);
        if chains.iter().all(|before| before.matches != rest) {
            chains.push(FilterChain {
                matches: rest,
                transport: DownstreamTransport::Plaintext,
                action: ChainAction::Close(CloseReason::NoFilterChain),
                origin,
            });
        }
        chains
    }

    /// A TCP listener: the oldest route has all of its connections.
    fn bytes(&mut self, listener: &ListenerState, cx: &mut Compile<'_>) -> (ChainAction, OriginId) {
        let origin = cx.origins.written(listener.span);
        let oldest: Option<RouteId> = listener.attached.first().map(|it| it.route);
        match oldest {
            Some(route) => (carried(route, &mut self.clusters, cx), origin),
            None => (ChainAction::Close(CloseReason::NoFilterChain), origin),
        }
    }

    fn ends_here(&mut self, listener: &ListenerState, alpn: &[&str]) -> DownstreamTransport {
        let tls = listener.tls.as_ref().expect("TLS ends at this listener");
        let gateway = &self.gateway;
        let name: Name = match (&tls.certificates[..], &tls.clients) {
            ([only], None) => only.clone(),
            _ => {
                let name: Name =
                    format!("listener {gateway}/{}:{}", listener.name, listener.port).into();
                self.clusters
                    .out
                    .credentials
                    .insert(name.clone(), Credential::of_listener(tls));
                name
            }
        };
        DownstreamTransport::Tls {
            mutual: tls.clients.as_ref().is_some_and(|it| !it.fallback),
            alpn: alpn.iter().map(|name| (*name).into()).collect(),
            certificate: name,
        }
    }

    fn http(&self, table: TableIndex, origin: OriginId) -> ChainAction {
        let system = self.clusters.system;
        ChainAction::Http(Box::new(HttpConnections {
            table,
            filters: vec![HttpFilter::Cors],
            stream_idle_timeout: system
                .stream_silence
                .map(|length| Sourced::new(length, self.defaults)),
            request_timeout: None,
            head_timeout: None,
            max_connection_duration: None,
            tracing: None,
            max_stream_duration: None,
            idle_timeout: Some(Sourced::new(IDLE, self.defaults)),
            max_requests_per_connection: None,
            retained_bytes: if system.keeps_bodies {
                u64::MAX
            } else {
                RETAINED
            },
            replies: system.replies,
            edge: true,
            heads: Some(self.heads.clone()),
            upgrades: Upgrades::of(&["websocket"], origin),
            logs: proxy_core::log::Logs::default(),
            origin,
        }))
    }
}

fn over_tls(host: &Host) -> ChainMatch {
    ChainMatch {
        server_names: server_name(host).into_iter().collect(),
        transport: Some(TransportProtocol::Tls),
        ..ChainMatch::default()
    }
}
