//! TraefikService, and references to it and to Services.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Reference, Scalar};
use crate::text::{Present, Spanned};

/// A Service or a TraefikService, and how it is used (`LoadBalancerSpec`).
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceRef {
    /// Its name.
    pub name: Spanned<String>,
    /// `Service` or `TraefikService`; none: `Service`.
    #[serde(default)]
    pub kind: Option<Spanned<String>>,
    /// Its namespace; none: that of the object that refers to it.
    #[serde(default)]
    pub namespace: Option<Spanned<String>>,
    /// What is done on the way to it.
    #[serde(default)]
    pub middlewares: Vec<Reference>,
    /// Whether clients stay with one server.
    #[serde(default)]
    pub sticky: Option<Spanned<Sticky>>,
    /// A Service's port by number or name.
    #[serde(default)]
    pub port: Option<Scalar>,
    /// `http`, `https` or `h2c`.
    #[serde(default)]
    pub scheme: Option<Spanned<String>>,
    /// How a server is chosen.
    #[serde(default)]
    pub strategy: Option<Spanned<String>>,
    /// Whether the server sees the client's Host; none: it does.
    #[serde(default)]
    pub pass_host_header: Option<Spanned<bool>>,
    /// How answers are flushed.
    #[serde(default)]
    pub response_forwarding: Option<Present>,
    /// A ServersTransport.
    #[serde(default)]
    pub servers_transport: Option<Spanned<String>>,
    /// Relative to the others; none: 1.
    #[serde(default)]
    pub weight: Option<Spanned<u32>>,
    /// Whether the Service's own address is dialled.
    #[serde(default, rename = "nativeLB")]
    pub native_lb: Option<Spanned<bool>>,
    /// Whether ports of nodes are dialled.
    #[serde(default, rename = "nodePortLB")]
    pub node_port_lb: Option<Spanned<bool>>,
    /// Probes, of Services of another name alone.
    #[serde(default)]
    pub health_check: Option<Spanned<HealthCheck>>,
    /// What answers say of servers.
    #[serde(default)]
    pub passive_health_check: Option<Spanned<PassiveHealthCheck>>,
    /// The share that a mirror gets, in per cent; of mirrors alone.
    #[serde(default)]
    pub percent: Option<Spanned<u32>>,
}

/// Whether clients stay where they are.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Sticky {
    /// A cookie says where.
    pub cookie: Option<Spanned<Cookie>>,
}

/// A cookie.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Cookie {
    /// Its name.
    pub name: Option<Spanned<String>>,
    /// Sent back over TLS alone.
    pub secure: Option<Present>,
    /// Not shown to scripts.
    pub http_only: Option<Present>,
    /// When pages of other sites send it.
    pub same_site: Option<Present>,
    /// Seconds that it lives; none or 0: as long as the client's session.
    pub max_age: Option<Spanned<i64>>,
    /// Paths that it is for; none: all.
    pub path: Option<Spanned<String>>,
    /// Hosts that it is for.
    pub domain: Option<Present>,
}

/// Probes.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HealthCheck {
    /// The scheme asked with.
    pub scheme: Option<Present>,
    /// `http` or `grpc`.
    pub mode: Option<Spanned<String>>,
    /// The path asked for.
    pub path: Option<Spanned<String>>,
    /// The method asked with.
    pub method: Option<Spanned<String>>,
    /// The status expected; none or 0: any from 200 to 399.
    pub status: Option<Spanned<u16>>,
    /// The port asked.
    pub port: Option<Present>,
    /// Between probes of a healthy server; none: 30 s.
    pub interval: Option<Scalar>,
    /// Between probes of an unhealthy one; none: as of a healthy one.
    pub unhealthy_interval: Option<Scalar>,
    /// The longest wait for an answer; none: 5 s.
    pub timeout: Option<Scalar>,
    /// The Host sent.
    pub hostname: Option<Spanned<String>>,
    /// Whether redirects are followed; none: they are.
    pub follow_redirects: Option<Present>,
    /// Headers sent.
    pub headers: Option<Present>,
}

/// What answers say of servers.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PassiveHealthCheck {
    /// How long failures count, and how long a server then stays out; none: 10 s.
    pub failure_window: Option<Scalar>,
    /// Failures in a row that take a server out; none: 1.
    pub max_failed_attempts: Option<Spanned<u32>>,
}

/// `TraefikService.spec`: one of its fields.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TraefikService {
    /// In turn, by weight.
    pub weighted: Option<Spanned<Weighted>>,
    /// Copies to others.
    pub mirroring: Option<Spanned<Mirroring>>,
    /// By a hash of the client's address.
    pub highest_random_weight: Option<Spanned<HighestRandomWeight>>,
    /// To another while one fails.
    pub failover: Option<Spanned<Failover>>,
}

/// In turn, by weight.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Weighted {
    /// Which.
    pub services: Vec<Spanned<ServiceRef>>,
    /// Whether clients stay with one of them.
    pub sticky: Option<Spanned<Sticky>>,
}

/// By a hash of the client's address.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct HighestRandomWeight {
    /// Which.
    pub services: Vec<Spanned<ServiceRef>>,
}

/// To another while one fails.
#[derive(Clone, Debug, Deserialize)]
pub struct Failover {
    /// The one.
    pub service: Spanned<ServiceRef>,
    /// The other.
    pub fallback: Spanned<ServiceRef>,
    /// Which answers are failures.
    #[serde(default)]
    pub errors: FailoverErrors,
}

/// Which answers are failures.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FailoverErrors {
    /// Statuses and ranges of them.
    pub status: Vec<Spanned<String>>,
    /// Longer requests are refused; none: any length.
    pub max_request_body_bytes: Option<Present>,
}

/// Copies to others: the fields of a [`ServiceRef`], and these.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mirroring {
    /// See [`ServiceRef`].
    pub name: Spanned<String>,
    /// See [`ServiceRef`].
    #[serde(default)]
    pub kind: Option<Spanned<String>>,
    /// See [`ServiceRef`].
    #[serde(default)]
    pub namespace: Option<Spanned<String>>,
    /// See [`ServiceRef`].
    #[serde(default)]
    pub middlewares: Vec<Reference>,
    /// See [`ServiceRef`].
    #[serde(default)]
    pub sticky: Option<Spanned<Sticky>>,
    /// See [`ServiceRef`].
    #[serde(default)]
    pub port: Option<Scalar>,
    /// See [`ServiceRef`].
    #[serde(default)]
    pub scheme: Option<Spanned<String>>,
    /// See [`ServiceRef`].
    #[serde(default)]
    pub strategy: Option<Spanned<String>>,
    /// See [`ServiceRef`].
    #[serde(default)]
    pub pass_host_header: Option<Spanned<bool>>,
    /// See [`ServiceRef`].
    #[serde(default)]
    pub response_forwarding: Option<Present>,
    /// See [`ServiceRef`].
    #[serde(default)]
    pub servers_transport: Option<Spanned<String>>,
    /// See [`ServiceRef`].
    #[serde(default)]
    pub weight: Option<Spanned<u32>>,
    /// See [`ServiceRef`].
    #[serde(default, rename = "nativeLB")]
    pub native_lb: Option<Spanned<bool>>,
    /// See [`ServiceRef`].
    #[serde(default, rename = "nodePortLB")]
    pub node_port_lb: Option<Spanned<bool>>,
    /// See [`ServiceRef`].
    #[serde(default)]
    pub health_check: Option<Spanned<HealthCheck>>,
    /// See [`ServiceRef`].
    #[serde(default)]
    pub passive_health_check: Option<Spanned<PassiveHealthCheck>>,
    /// Whether bodies are copied; none: they are.
    #[serde(default)]
    pub mirror_body: Option<Spanned<bool>>,
    /// Requests with longer bodies are not copied; none: all are.
    #[serde(default)]
    pub max_body_size: Option<Spanned<i64>>,
    /// Where the copies go.
    #[serde(default)]
    pub mirrors: Vec<Spanned<ServiceRef>>,
}

impl Mirroring {
    /// The service that answers.
    #[must_use]
    pub fn main(&self) -> ServiceRef {
        ServiceRef {
            name: self.name.clone(),
            kind: self.kind.clone(),
            namespace: self.namespace.clone(),
            middlewares: self.middlewares.clone(),
            sticky: self.sticky.clone(),
            port: self.port.clone(),
            scheme: self.scheme.clone(),
            strategy: self.strategy.clone(),
            pass_host_header: self.pass_host_header,
            response_forwarding: self.response_forwarding,
            servers_transport: self.servers_transport.clone(),
            weight: self.weight,
            native_lb: self.native_lb,
            node_port_lb: self.node_port_lb,
            health_check: self.health_check.clone(),
            passive_health_check: self.passive_health_check.clone(),
            percent: None,
        }
    }
}

/// Named texts, in the order of their names.
pub type Texts = BTreeMap<Spanned<String>, Spanned<String>>;
