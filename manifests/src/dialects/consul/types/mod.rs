//! Consul's resources as people write them.
//!
//! Source: hashicorp/consul-k8s 1.8 `control-plane/api/v1alpha1`.

mod chain;
mod defaults;
mod others;

use std::collections::BTreeMap;

use serde::Deserialize;

pub use chain::{
    CookieConfig, Failover, FailoverPolicy, FailoverTarget, HashPolicy, HeaderCondition, HttpMatch,
    LeastRequestConfig, LoadBalancer, PrioritizeByLocality, QueryCondition, Redirect, Resolver,
    RingHashConfig, Route, RouteDestination, RouteMatch, Router, Split, Splitter, Subset,
};
pub use defaults::{
    AccessLogs, Destination, EnvoyExtension, Expose, ExposePath, InstanceLevel, Limits, Mesh,
    MeshGateway, MeshHttp, MeshIncoming, MeshTls, MeshTlsSide, MeshTransparentProxy, Normalization,
    PassiveHealthCheck, Peering, ProxyDefaults, RateLimits, RouteRateLimit, ServiceDefaults,
    TransparentProxy, Upstream, Upstreams,
};
pub use others::{
    ExportedService, ExportedServices, IngressGateway, IngressListener, IngressService,
    IntentionDestination, IntentionHeader, IntentionHttp, Intentions, Jwt, JwtProvider, JwtUse,
    LinkedService, Permission, Registration, RequestLimit, SamenessGroup, Source, Spec,
    TerminatingGateway,
};

use crate::text::{Present, Spanned};

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

/// `HTTPHeaderModifiers`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct HeaderModifiers {
    /// Put beside what is there.
    pub add: BTreeMap<Spanned<String>, Spanned<String>>,
    /// Put in its place.
    pub set: BTreeMap<Spanned<String>, Spanned<String>>,
    /// Taken out.
    pub remove: Vec<Spanned<String>>,
}
