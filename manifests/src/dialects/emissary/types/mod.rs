//! Emissary's resources as people write them.
//!
//! Source: emissary-ingress/emissary `pkg/api/getambassador.io/{v1,v2,v3alpha1}`. The versions of a kind are read by one type, which knows the
//! fields of all of them; `version` says which of these a version has. What a version lets be written in several ways is a
//! [`Node`] here.

mod host;
mod listener;
mod mapping;
mod module;
mod services;

use std::collections::BTreeMap;

use serde::Deserialize;

pub use host::{Action, ContextSpec, HostSpec, Insecure, ObjectName, RequestPolicy, Selector, Tls};
pub use listener::{Binding, Layer, ListenerSpec, NamespaceBinding, Protocol, Security};
pub use mapping::{
    AddedHeaders, Cookie, CorsSpec, HealthCheck, HttpCheck, LoadBalancer, MappingSpec, RegexMap,
    RetrySpec, StatusRange, TcpMappingSpec,
};
pub use module::{
    Buffer, CertificateDetails, Defaults, MappingDefaults, ModuleConfig, ModuleSpec, Probe,
};
pub use services::{AuthSpec, DevPortalSpec, LogSpec, RateLimitSpec, ResolverSpec, TracingSpec};

use crate::text::{Node, Present, Spanned};

/// An object with a `spec`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Document<T> {
    /// API group and version.
    #[serde(default)]
    pub api_version: Option<Present>,
    /// Kind.
    #[serde(default)]
    pub kind: Option<Present>,
    /// Who it is.
    #[serde(default)]
    pub metadata: Option<Present>,
    /// What it asks for.
    #[serde(default)]
    pub spec: T,
}

/// Texts by name.
pub type Texts = BTreeMap<Spanned<String>, Spanned<String>>;

/// What may be under way at once to a cluster, for requests of one priority.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct CircuitBreaker {
    /// `default` or `high`.
    pub priority: Option<Spanned<String>>,
    /// Connections.
    pub max_connections: Option<Spanned<u32>>,
    /// Requests that wait for one.
    pub max_pending_requests: Option<Spanned<u32>>,
    /// Requests.
    pub max_requests: Option<Spanned<u32>>,
    /// Retries.
    pub max_retries: Option<Spanned<u32>>,
}

/// What a field that a version leaves free holds: one text, or several.
///
/// A list of anything but texts is none.
#[must_use]
pub fn texts(node: &Node) -> Option<Vec<Spanned<String>>> {
    let text = |node: &Node| {
        let text = node.as_str()?;
        Some(Spanned::new(text.to_owned(), node.span))
    };
    match node.as_seq() {
        Some(items) => items.iter().map(text).collect(),
        None => Some(vec![text(node)?]),
    }
}
