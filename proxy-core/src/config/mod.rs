//! What a node is told: listeners, filter chains, routes, clusters and endpoints, validated and shared.
//!
//! A configuration is made of [`Section`]s. All sidecars of a namespace share one outbound section and all sidecars
//! of a workload share one inbound section by `Arc`, so that ten thousand proxies cost little more than their state.
//! Every value that may decide something carries its [`OriginId`](crate::origin::OriginId).

mod cluster;
mod cors;
mod gates;
mod heads;
mod listener;
mod plan;
mod route;
mod section;
mod session;
mod tracing;

use std::sync::Arc;

pub use cluster::{
    Balancer, Cluster, ConnectionPool, DiscoveredHealth, Discovery, Endpoint, EndpointSet,
    FailfastQueue, HashBalance, Limits, LocalityBalance, RetryBudget, Subset, SubsetFallback,
    Subsets, UpstreamProtocol, UpstreamTransport, ZoneAware,
};
pub use cors::{Cors, CorsList, CorsManner, KongCors};
pub use gates::{AbsentKey, Breaker, ClientOf, ForwardedEntry, Gate, GateKey, GateKind, RateLimit};
pub use heads::{
    Caller, CertificateForwarding, CertificateRules, ClientRules, EscapedSlashes, HeadLimits,
    HeadRules, HostRules, PathRules, RequestIdRules, Scheme, ServerRules, ServerTransformation,
    StripPort, Underscores,
};
pub use listener::{
    CarriedLogs, ChainAction, ChainMatch, Cidr, CloseReason, DatagramHash, DownstreamTransport,
    FilterChain, HttpConnections, HttpFilter, Listener, ListenerAddress, LocalRateLimit, Preface,
    PrefaceVersion, ReplyProfile, ServerName, TcpRoute, TransportProtocol, UdpRoute, Unlisted,
    Upgrade, Upgrades,
};
pub use route::{
    Absent, DirectResponse, Fault, FaultAbort, FaultDelay, Forward, HashPolicy, HashSource,
    HeaderEdits, HeaderMatch, Hedge, HostRewrite, Mirror, ParamMatch, PathMatch, PathRedirect,
    PathRewrite, Priority, RateLimitedBackoff, Redirect, RetryPolicy, Route, RouteAction,
    RouteMatch, RouteTable, TextMatch, VirtualHost, WeightedCluster,
};

pub(crate) use plan::{Changes, Plan, Terms};
pub use section::{Domains, Section, SectionDraft, SectionError};
pub use session::{Session, SessionCarrier};
pub use tracing::{
    Decorator, ExportProtocol, Propagation, RouteTracing, Sampler, TagValue, TraceExport,
    TraceProvider, TraceShare, TraceShares, TraceSide, TraceTag, Tracing,
};

/// An interned, cheaply cloned name.
pub type Name = Arc<str>;

/// A share out of 100 %, in parts per million, so that `0.01 %` is exact.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Hash)]
pub struct Share(u32);

impl Share {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// Everything.
    pub const ALL: Self = Self(1_000_000);

    /// `ppm` parts of a million; more than a million counts as all.
    #[must_use]
    pub const fn from_ppm(ppm: u32) -> Self {
        Self(if ppm > 1_000_000 { 1_000_000 } else { ppm })
    }

    /// `percent` out of 100, rounded to a part per million.
    #[must_use]
    pub fn from_percent(percent: f64) -> Self {
        Self::from_ppm(libm::round(percent * 1e4) as u32)
    }

    /// Parts per million.
    #[must_use]
    pub const fn as_ppm(self) -> u32 {
        self.0
    }

    /// Between 0 and 1.
    #[must_use]
    pub fn as_fraction(self) -> f64 {
        f64::from(self.0) / 1e6
    }
}

/// Index of a cluster in its own section.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub struct ClusterIndex(pub u32);

/// Index of a route table in its own section.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub struct TableIndex(pub u32);

/// Which role a proxy plays.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub enum NodeKind {
    /// Stands alone, clients dial it.
    Gateway,
    /// Stands beside one application replica and takes its traffic by interception.
    Sidecar,
}

/// Everything one proxy is told.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// `namespace/name` of the workload or gateway.
    pub name: Name,
    /// Its role.
    pub kind: NodeKind,
    /// Parts shared with other proxies. A route may name only clusters and tables of its own section.
    pub sections: Vec<Arc<Section>>,
}
