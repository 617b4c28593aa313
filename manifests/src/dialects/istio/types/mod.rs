//! Istio's resources as people write them.
//!
//! Source: istio/api `networking/v1alpha3/*.proto`, `security/v1beta1/*.proto`. The versions of a group (`v1alpha3`, `v1beta1`, `v1`)
//! have equal fields.

mod destination_rule;
mod service_entry;
mod sidecar;

pub use destination_rule::{
    ClientTls, ConnectionPool, ConsistentHash, DestinationRule, Distribute, Failover, HashCookie,
    HttpPool, LoadBalancer, LocalitySetting, MaglevSize, OutlierDetection, PortPolicy,
    PortSelector, RetryBudget, RingSize, SimpleBalancer, Subset, TcpPool, TlsMode, TrafficPolicy,
    UpgradePolicy, Warmup,
};
pub use service_entry::{EntryPort, Location, Resolution, ServiceEntry, WorkloadEntry};
pub use sidecar::{Egress, OutboundPolicy, PolicyMode, Sidecar, SidecarPort};

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::text::{Present, Spanned};

/// Labels as written.
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
    /// Who it is.
    #[serde(default)]
    pub metadata: Option<Present>,
    /// What it asks for.
    #[serde(default)]
    pub spec: T,
}

/// A selector by `matchLabels` (security, DestinationRule).
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Selector {
    /// Labels that pods must have; empty: none is selected, as if there were no selector.
    pub match_labels: Written,
}

/// A selector by `labels` (Sidecar, ServiceEntry).
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct LabelSelector {
    /// Labels that pods must have.
    pub labels: Written,
}

/// `PeerAuthentication.spec`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PeerAuthentication {
    /// Whose ports; none: all pods of its namespace, or of the mesh in the root namespace.
    pub selector: Option<Selector>,
    /// What is taken.
    pub mtls: Option<MutualTls>,
    /// What is taken at single ports of the pods.
    pub port_level_mtls: BTreeMap<Spanned<String>, MutualTls>,
}

/// What a port takes.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct MutualTls {
    /// None: inherited.
    pub mode: Option<Spanned<MutualTlsMode>>,
}

/// What a port takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum MutualTlsMode {
    /// What is inherited.
    Unset,
    /// Plaintext.
    Disable,
    /// Plaintext and mutual TLS.
    Permissive,
    /// Mutual TLS.
    Strict,
}
