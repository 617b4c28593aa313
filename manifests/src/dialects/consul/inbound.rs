//! What arrives at meshed pods.
//!
//! The proxy takes mutual TLS alone and passes it to the application's one port. A transparent one takes whatever arrives at the pod, so that
//! plaintext is refused at every port; one that is not leaves alone what is sent to the application itself. Here connections of the mesh are
//! made to the application's port, not to the proxy's own 20000, and told from others by their TLS.
//!
//! Source: hashicorp/consul 1.21 `agent/xds/listeners.go` (`makeInboundListener`), `agent/xds/clusters.go` (`makeAppCluster`).

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use proxy_core::config::{
    CertificateForwarding, ChainAction, ChainMatch, ClusterIndex, DownstreamTransport, Endpoint,
    FilterChain, HeadRules, ListenerAddress, Name, RouteAction, TransportProtocol,
    UpstreamProtocol,
};
use proxy_core::origin::{OriginId, Sourced};

use super::clusters::agreed;
use super::compile::{bytes, chain, cluster, dialled, forward, http, listener, route, table};
use super::notes::Defaults;
use super::policy::{MeshPolicy, Protocol, ProxySettings};
use crate::dialects::Compiled;
use crate::model::{Members, Upstream};

/// The application beside a proxy. Source: hashicorp/consul 1.21 `envoyextensions/xdscommon/xdscommon.go`.
const LOCAL_APP: &str = "local_app";
/// Where the proxy takes connections of the mesh.
const PUBLIC: &str = "public_listener";

/// What an inbound section depends on.
#[derive(Clone, Debug)]
pub(super) struct Inbound<'a> {
    /// The service.
    pub(super) service: Name,
    /// What its proxies prove.
    pub(super) identity: Name,
    /// The application's port.
    pub(super) port: Option<u16>,
    /// Whether the proxy takes whatever arrives, and who says so.
    pub(super) is_transparent: Sourced<bool>,
    /// Ports that it leaves alone all the same.
    pub(super) excluded: Vec<u16>,
    /// Settings of the proxy.
    pub(super) settings: ProxySettings,
    /// The mesh's.
    pub(super) mesh: &'a MeshPolicy,
}

impl Inbound<'_> {
    /// Whether plaintext to a port reaches the application, past the proxy or through it; none: it is refused, by the rule of
    /// `is_transparent`.
    pub(super) fn opens(&self, port: u16) -> Option<OriginId> {
        if !self.is_transparent.value || self.excluded.contains(&port) {
            return Some(self.is_transparent.origin);
        }
        let permissive = self.settings.permissive.filter(|it| it.value);
        let permissive = permissive.filter(|_| self.port == Some(port));
        permissive.map(|rule| rule.origin)
    }
}

/// The inbound section of pods.
pub(super) fn section(inbound: &Inbound<'_>, defaults: Defaults) -> Compiled {
    let mut section = Section {
        inbound,
        defaults,
        out: Compiled::default(),
    };
    let app = section.app();
    let action = section.action(app);
    let passed = dialled("passed", defaults);
    let passed = section.out.add(passed, Upstream::default());
    let mut listeners = Vec::new();
    let mut ports = inbound.excluded.clone();
    ports.extend(inbound.port);
    ports.sort_unstable();
    ports.dedup();
    for port in ports {
        let mut chains = Vec::new();
        if inbound.port == Some(port) {
            chains.push(section.mutual(action.clone()));
        }
        if let Some(rule) = inbound.opens(port) {
            chains.push(chain(
                ChainMatch::default(),
                bytes(passed, rule, defaults),
                rule,
            ));
        }
        let name = match inbound.port == Some(port) {
            true => format!("{PUBLIC}:{port}"),
            false => format!("excluded:{port}"),
        };
        listeners.push(listener(
            &name,
            ListenerAddress::InboundPort(port),
            chains,
            defaults.origin,
        ));
    }
    let rest = match inbound.is_transparent.value {
        true => section.mutual(action),
        false => {
            let origin = inbound.is_transparent.origin;
            chain(
                ChainMatch::default(),
                bytes(passed, origin, defaults),
                origin,
            )
        }
    };
    listeners.push(listener(
        PUBLIC,
        ListenerAddress::InboundRest,
        vec![rest],
        defaults.origin,
    ));
    for listener in &mut listeners {
        listener.max_connections = inbound.settings.max_connections;
    }
    section.out.draft.listeners = listeners;
    section.out
}

struct Section<'a> {
    inbound: &'a Inbound<'a>,
    defaults: Defaults,
    out: Compiled,
}

impl Section<'_> {
    fn protocol(&self) -> Sourced<Protocol> {
        let own = self.inbound.settings.protocol;
        own.unwrap_or_else(|| self.defaults.of(Protocol::Tcp))
    }

    /// Whatever port was dialled, it is the application's one port that is called.
    fn app(&mut self) -> ClusterIndex {
        let settings = &self.inbound.settings;
        let mut app = cluster(LOCAL_APP, &self.inbound.service, self.defaults);
        if let Some(timeout) = settings.connect_timeout {
            app.connect_timeout = timeout;
        }
        if let Some(most) = settings.max_connections {
            app.limits[0].connections = most;
        }
        // calls come with the protocol of their caller, and go on with it
        app.protocol = if self.protocol().value.is_http2() {
            UpstreamProtocol::Downstream
        } else {
            UpstreamProtocol::Http1
        };
        let port = self.inbound.port.unwrap_or_default();
        let address = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port);
        let upstream = Upstream {
            members: Members::Fixed(vec![Endpoint::at(address)]),
            ..Upstream::default()
        };
        self.out.add(app, upstream)
    }

    fn action(&mut self, app: ClusterIndex) -> ChainAction {
        let protocol = self.protocol();
        let settings = &self.inbound.settings;
        if !protocol.value.is_http() {
            return bytes(app, protocol.origin, self.defaults);
        }
        let mut forward = forward(app, protocol.origin, self.defaults);
        if let Some(timeout) = settings.request_timeout {
            forward.timeout = timeout;
        }
        forward.idle_timeout = settings.idle_timeout;
        let action = RouteAction::Forward(Box::new(forward));
        let route = route("default", action, protocol.origin);
        let table = table(PUBLIC, vec![route], protocol.origin);
        let table = self.out.draft.add_table(table);
        let heads = Arc::new(self.heads(protocol.value));
        http(table, heads, self.defaults)
    }

    /// Paths are normalized unless the mesh says otherwise; the caller's certificate is told, but to what speaks gRPC.
    fn heads(&self, protocol: Protocol) -> HeadRules {
        let mesh = self.inbound.mesh;
        let mut heads = HeadRules::unwritten("envoy");
        heads.path.normalizes = !mesh.keeps_paths;
        heads.path.merges_slashes = mesh.merges_slashes;
        heads.path.escaped_slashes = mesh.escaped_slashes;
        heads.underscores = mesh.underscores;
        if let Some(bytes) = self.inbound.settings.head_bytes {
            heads.limits.bytes = bytes.value;
        }
        if !mesh.sanitizes_certificates && protocol != Protocol::Grpc {
            heads.certificate.forwarding = CertificateForwarding::AppendForward;
            heads.certificate.subject = true;
            heads.certificate.certificate = true;
            heads.certificate.chain = true;
            heads.certificate.names = true;
            heads.certificate.uris = true;
        }
        heads
    }

    fn mutual(&self, action: ChainAction) -> FilterChain {
        FilterChain {
            matches: ChainMatch {
                transport: Some(TransportProtocol::Tls),
                ..ChainMatch::default()
            },
            transport: DownstreamTransport::Tls {
                mutual: true,
                alpn: agreed(self.protocol().value),
                certificate: self.inbound.identity.clone(),
            },
            action,
            origin: self.defaults.origin,
        }
    }
}
