//! Kuma's resources as people write them.
//!
//! Source: kumahq/kuma 2.14 and its development head for 3.0, `pkg/plugins/policies/*/api/v1alpha1`, `pkg/core/resources/apis/*/api/v1alpha1`,
//! `api/common/v1alpha1`, `api/mesh/v1alpha1/mesh.proto`.

mod conf;
mod inbound;
mod objects;
mod route;

use std::collections::BTreeMap;

use serde::Deserialize;

pub use conf::{
    AffinityTag, Backoff, Breaker, ConnectionLimits, Consecutive, CrossZone, Detectors,
    FailurePercentage, GrpcCheck, GrpcRetry, HashPolicy, HashPolicyType, HealthCheck,
    HostSelection, HttpCheck, HttpRetry, HttpTimeouts, LeastRequest, LoadBalancer,
    LoadBalancerType, LocalZone, LocalityAwareness, Maglev, Named, OutlierDetection, Predicate,
    RateLimitedBackoff, ResetHeader, Retry, RingHash, Strategy, SuccessRate, TcpCheck, TcpRetry,
    Timeouts,
};
pub use inbound::{
    Abort, Action, Delay, Faults, HttpFault, HttpLimit, Local, Match, MatchValue, OnRateLimit,
    Passthrough, PassthroughMatch, PassthroughMode, Permission, PermissionFrom, PermissionLists,
    PermissionRule, Permissions, Rate, RateLimits, ResponseBandwidth, TcpLimit, Tls, TlsMode,
};
pub use objects::{
    Backend, BackendMode, Bundled, EndpointAt, ExternalMatch, ExternalService, Identity,
    IdentityProvider, IdentitySelector, LabelSelector, Mesh, MeshService, MeshServices, Mtls,
    MultiZone, MultiZoneSelector, Networking, OutboundNetworking, Passing, PortOf, SpiffeId, Taken,
};
pub use route::{
    BackendRef, Filter, FilterType, HeaderMatch, HeaderMatchType, HttpMatch, HttpRoute,
    HttpRouteTo, HttpRule, HttpRuleConf, Mirror, ParamMatch, PathCondition, PathRewrite,
    PathRewriteType, PathType, Redirect, TcpRoute, TcpRouteTo, TcpRule, TcpRuleConf, UrlRewrite,
    ValueType,
};

use crate::text::{Present, Spanned};

/// Labels or tags with their places.
pub type Written = BTreeMap<Spanned<String>, Spanned<String>>;

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
    /// The mesh, as it is written outside of Kubernetes; there it is a label.
    #[serde(default)]
    pub mesh: Option<Present>,
    /// Who it is.
    #[serde(default)]
    pub metadata: Option<Present>,
    /// What it asks for.
    #[serde(default)]
    pub spec: T,
}

/// What a reference is to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Deserialize)]
pub enum RefKind {
    /// All of the mesh.
    Mesh,
    /// Proxies.
    Dataplane,
    /// Proxies by tags (2.x).
    MeshSubset,
    /// A built-in gateway (2.x).
    MeshGateway,
    /// A service.
    MeshService,
    /// A service outside.
    MeshExternalService,
    /// A service of several zones.
    MeshMultiZoneService,
    /// Some proxies of a service (2.x).
    MeshServiceSubset,
    /// A route.
    MeshHTTPRoute,
}

impl RefKind {
    /// As people write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mesh => "Mesh",
            Self::Dataplane => "Dataplane",
            Self::MeshSubset => "MeshSubset",
            Self::MeshGateway => "MeshGateway",
            Self::MeshService => "MeshService",
            Self::MeshExternalService => "MeshExternalService",
            Self::MeshMultiZoneService => "MeshMultiZoneService",
            Self::MeshServiceSubset => "MeshServiceSubset",
            Self::MeshHTTPRoute => "MeshHTTPRoute",
        }
    }
}

/// Kinds of proxies (2.x).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
pub enum ProxyType {
    /// Beside an application.
    Sidecar,
    /// A gateway.
    Gateway,
}

/// A reference.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TargetRef {
    /// To what.
    pub kind: Spanned<RefKind>,
    /// Name (2.x).
    #[serde(default)]
    pub name: Option<Spanned<String>>,
    /// Namespace; none: the policy's own (2.x).
    #[serde(default)]
    pub namespace: Option<Spanned<String>>,
    /// Labels that are asked for.
    #[serde(default)]
    pub labels: Option<Written>,
    /// Tags that are asked for (2.x).
    #[serde(default)]
    pub tags: Option<Written>,
    /// Reserved.
    #[serde(default)]
    pub mesh: Option<Spanned<String>>,
    /// Which kinds of proxies; none: all (2.x).
    #[serde(default)]
    pub proxy_types: Option<Vec<Spanned<ProxyType>>>,
    /// A port, by name or number.
    #[serde(default)]
    pub section_name: Option<Spanned<String>>,
}

/// A policy: settings for what its proxies send (`to`) and for what arrives at them (`rules`, in 2.x also `from`).
#[derive(Clone, Debug, Deserialize)]
#[serde(
    rename_all = "camelCase",
    default,
    bound(deserialize = "C: Deserialize<'de>")
)]
pub struct Policy<C> {
    /// Whose proxies; none: all.
    pub target_ref: Option<TargetRef>,
    /// By where they send to.
    pub to: Option<Spanned<Vec<ToItem<C>>>>,
    /// By who sends (2.x).
    pub from: Option<Spanned<Vec<ToItem<C>>>>,
    /// For all that arrives, or what matches.
    pub rules: Option<Spanned<Vec<RuleItem<C>>>>,
}

impl<C> Default for Policy<C> {
    fn default() -> Self {
        Self {
            target_ref: None,
            to: None,
            from: None,
            rules: None,
        }
    }
}

/// Settings by the other end.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "C: Deserialize<'de>"))]
pub struct ToItem<C> {
    /// The other end.
    pub target_ref: TargetRef,
    /// Settings.
    #[serde(default)]
    pub default: Option<Spanned<C>>,
}

/// Settings for what arrives.
#[derive(Clone, Debug, Deserialize)]
#[serde(bound(deserialize = "C: Deserialize<'de>"))]
pub struct RuleItem<C> {
    /// Any of these; none: everything.
    #[serde(default)]
    pub matches: Option<Vec<Match>>,
    /// Settings.
    #[serde(default)]
    pub default: Option<Spanned<C>>,
}
