//! Sidecar.

use serde::Deserialize;

use super::{ConnectionPool, LabelSelector};
use crate::text::{Present, Spanned};

/// `Sidecar.spec`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Sidecar {
    /// Whose proxies; none: all of its namespace, or of the mesh in the root namespace.
    pub workload_selector: Option<LabelSelector>,
    /// What arrives.
    pub ingress: Option<Present>,
    /// What leaves.
    pub egress: Vec<Egress>,
    /// Limits and timeouts toward the application.
    pub inbound_connection_pool: Option<ConnectionPool>,
    /// What becomes of destinations that are not known.
    pub outbound_traffic_policy: Option<OutboundPolicy>,
}

/// What leaves.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Egress {
    /// By one port; none: by all others.
    pub port: Option<SidecarPort>,
    /// Address it listens at.
    pub bind: Option<Present>,
    /// How traffic comes to it.
    pub capture_mode: Option<Spanned<String>>,
    /// Hosts that are known, as `namespace/host`.
    pub hosts: Vec<Spanned<String>>,
}

/// A port.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SidecarPort {
    /// Number.
    #[serde(default)]
    pub number: Option<Spanned<u16>>,
    /// What is spoken.
    #[serde(default)]
    pub protocol: Option<Spanned<String>>,
    /// Name.
    #[serde(default)]
    pub name: Option<Spanned<String>>,
    /// Not read any more.
    #[serde(default)]
    pub target_port: Option<Present>,
}

/// What becomes of destinations that are not known.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OutboundPolicy {
    /// None: `REGISTRY_ONLY`, the first word of the enumeration.
    pub mode: Option<Spanned<PolicyMode>>,
    /// A host that gets them.
    pub egress_proxy: Option<Present>,
}

/// What becomes of destinations that are not known.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum PolicyMode {
    /// They are refused.
    RegistryOnly,
    /// They are dialled.
    AllowAny,
}
