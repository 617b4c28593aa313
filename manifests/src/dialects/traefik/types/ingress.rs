//! Ingresses and their classes as people write them.
//!
//! Source: Kubernetes `networking.k8s.io/v1`.

use serde::Deserialize;

use crate::text::{Present, Spanned};

/// `Ingress.spec`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Ingress {
    /// The class whose controller serves it.
    pub ingress_class_name: Option<Spanned<String>>,
    /// Where requests go that no rule takes.
    pub default_backend: Option<Backend>,
    /// Certificates.
    pub tls: Vec<Tls>,
    /// Rules by host.
    pub rules: Vec<Rule>,
}

/// Certificates of some hosts.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Tls {
    /// Which hosts.
    pub hosts: Vec<Spanned<String>>,
    /// A Secret.
    pub secret_name: Option<Spanned<String>>,
}

/// Rules of one host.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Rule {
    /// The host; none: any.
    pub host: Option<Spanned<String>>,
    /// Paths.
    pub http: Option<Http>,
}

/// Paths.
#[derive(Clone, Debug, Deserialize)]
pub struct Http {
    /// Each with its backend.
    pub paths: Vec<Spanned<Path>>,
}

/// One path.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Path {
    /// The path; none: any.
    #[serde(default)]
    pub path: Option<Spanned<String>>,
    /// How it is compared.
    #[serde(default)]
    pub path_type: Option<Spanned<PathType>>,
    /// Where it leads.
    pub backend: Backend,
}

/// How a path is compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
pub enum PathType {
    /// Equal.
    Exact,
    /// Traefik: byte by byte, unless it is started to do otherwise.
    Prefix,
    /// Traefik: as its annotation says.
    ImplementationSpecific,
}

/// Where a path leads.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Backend {
    /// A port of a Service.
    pub service: Option<ServiceBackend>,
    /// An object of another kind.
    pub resource: Option<Present>,
}

/// A port of a Service of the Ingress's namespace.
#[derive(Clone, Debug, Deserialize)]
pub struct ServiceBackend {
    /// The Service.
    pub name: Spanned<String>,
    /// By name or number.
    #[serde(default)]
    pub port: Option<Port>,
}

/// A port by name or number.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Port {
    /// Its name.
    pub name: Option<Spanned<String>>,
    /// Its number.
    pub number: Option<Spanned<u16>>,
}
