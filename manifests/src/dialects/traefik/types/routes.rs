//! IngressRoute, IngressRouteTCP, IngressRouteUDP.

use serde::Deserialize;

use super::services::ServiceRef;
use super::{Reference, Scalar};
use crate::text::{Present, Spanned};

/// `IngressRoute.spec`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IngressRoute {
    /// The class of the Traefik that serves it.
    #[serde(default)]
    pub ingress_class_name: Option<Spanned<String>>,
    /// Entry points by name; none: the default ones.
    #[serde(default)]
    pub entry_points: Vec<Spanned<String>>,
    /// One router each.
    pub routes: Vec<Route>,
    /// Its routers serve TLS alone.
    #[serde(default)]
    pub tls: Option<Spanned<Tls>>,
    /// The IngressRoutes whose routers lead here.
    #[serde(default)]
    pub parent_refs: Vec<Reference>,
}

/// A router.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Route {
    /// Which requests it takes.
    pub r#match: Spanned<String>,
    /// `Rule`.
    #[serde(default)]
    pub kind: Option<Spanned<String>>,
    /// Higher is asked first; none or 0: the length of the rule.
    #[serde(default)]
    pub priority: Option<Spanned<i64>>,
    /// The version of the rule's language.
    #[serde(default)]
    pub syntax: Option<Spanned<String>>,
    /// Where it leads; none: to the routers of other IngressRoutes.
    #[serde(default)]
    pub services: Vec<Spanned<ServiceRef>>,
    /// What is done on the way, in this order.
    #[serde(default)]
    pub middlewares: Vec<Reference>,
    /// Logs and traces.
    #[serde(default)]
    pub observability: Option<Present>,
}

/// TLS of HTTP routers.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Tls {
    /// A Secret with a certificate.
    pub secret_name: Option<Spanned<String>>,
    /// A TLSOption.
    pub options: Option<Reference>,
    /// A TLSStore; only the default one serves.
    pub store: Option<Reference>,
    /// Who issues certificates.
    pub cert_resolver: Option<Present>,
    /// For which names.
    pub domains: Option<Present>,
}

/// `IngressRouteTCP.spec`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IngressRouteTcp {
    /// The class of the Traefik that serves it.
    #[serde(default)]
    pub ingress_class_name: Option<Spanned<String>>,
    /// Entry points by name; none: the default ones.
    #[serde(default)]
    pub entry_points: Vec<Spanned<String>>,
    /// One router each.
    pub routes: Vec<RouteTcp>,
    /// Its routers serve TLS alone.
    #[serde(default)]
    pub tls: Option<Spanned<TlsTcp>>,
}

/// A TCP router.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteTcp {
    /// Which connections it takes.
    pub r#match: Spanned<String>,
    /// Higher is asked first; none or 0: the length of the rule.
    #[serde(default)]
    pub priority: Option<Spanned<i64>>,
    /// The version of the rule's language.
    #[serde(default)]
    pub syntax: Option<Spanned<String>>,
    /// Where it leads.
    #[serde(default)]
    pub services: Vec<Spanned<ServiceTcp>>,
    /// What is asked of connections, in this order.
    #[serde(default)]
    pub middlewares: Vec<Reference>,
}

/// TLS of TCP routers.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TlsTcp {
    /// A Secret with a certificate.
    pub secret_name: Option<Spanned<String>>,
    /// Whether TLS ends at the server.
    pub passthrough: Option<Spanned<bool>>,
    /// A TLSOption.
    pub options: Option<Reference>,
    /// A TLSStore; only the default one serves.
    pub store: Option<Reference>,
    /// Who issues certificates.
    pub cert_resolver: Option<Present>,
    /// For which names.
    pub domains: Option<Present>,
}

/// A Service that connections are carried to.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceTcp {
    /// Its name.
    pub name: Spanned<String>,
    /// Its namespace; none: that of the IngressRouteTCP.
    #[serde(default)]
    pub namespace: Option<Spanned<String>>,
    /// Its port by number or name.
    pub port: Scalar,
    /// Relative to the others; none: 1.
    #[serde(default)]
    pub weight: Option<Spanned<u32>>,
    /// How long one side may go on when the other has ended.
    #[serde(default)]
    pub termination_delay: Option<Present>,
    /// Whether connections begin with who the client is.
    #[serde(default)]
    pub proxy_protocol: Option<Spanned<ProxyProtocol>>,
    /// A ServersTransportTCP.
    #[serde(default)]
    pub servers_transport: Option<Spanned<String>>,
    /// Whether the server is spoken to in TLS.
    #[serde(default)]
    pub tls: Option<Spanned<bool>>,
    /// Whether the Service's own address is dialled.
    #[serde(default, rename = "nativeLB")]
    pub native_lb: Option<Spanned<bool>>,
    /// Whether ports of nodes are dialled.
    #[serde(default, rename = "nodePortLB")]
    pub node_port_lb: Option<Spanned<bool>>,
}

/// Who the client is, ahead of a connection.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ProxyProtocol {
    /// 1 or 2; none: 2.
    pub version: Option<Spanned<u32>>,
}

/// `IngressRouteUDP.spec`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IngressRouteUdp {
    /// The class of the Traefik that serves it.
    #[serde(default)]
    pub ingress_class_name: Option<Spanned<String>>,
    /// Entry points by name; none: every one for datagrams.
    #[serde(default)]
    pub entry_points: Vec<Spanned<String>>,
    /// One router each; nothing tells them apart.
    pub routes: Vec<RouteUdp>,
}

/// A UDP router.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct RouteUdp {
    /// Where it leads.
    pub services: Vec<Spanned<ServiceUdp>>,
}

/// A Service that datagrams are carried to.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceUdp {
    /// Its name.
    pub name: Spanned<String>,
    /// Its namespace; none: that of the IngressRouteUDP.
    #[serde(default)]
    pub namespace: Option<Spanned<String>>,
    /// Its port by number or name.
    pub port: Scalar,
    /// Relative to the others; none: 1.
    #[serde(default)]
    pub weight: Option<Spanned<u32>>,
    /// Whether the Service's own address is dialled.
    #[serde(default, rename = "nativeLB")]
    pub native_lb: Option<Spanned<bool>>,
    /// Whether ports of nodes are dialled.
    #[serde(default, rename = "nodePortLB")]
    pub node_port_lb: Option<Spanned<bool>>,
}
