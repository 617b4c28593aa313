//! Settings of policies for what arrives at proxies, and of MeshPassthrough.

use serde::Deserialize;

use super::super::values::{Length, Number};
use super::TargetRef;
use crate::text::{Present, Spanned};

/// Who sends.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Match {
    /// By identity.
    #[serde(rename = "spiffeID")]
    pub spiffe_id: Option<Spanned<MatchValue>>,
    /// By server name.
    pub sni: Option<Spanned<MatchValue>>,
}

/// With what it is compared.
#[derive(Clone, Debug, Deserialize)]
pub struct MatchValue {
    /// `Exact` or `Prefix`.
    pub r#type: Spanned<String>,
    /// With what.
    pub value: Spanned<String>,
}

/// `MeshFaultInjection`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Faults {
    /// Each on its own.
    pub http: Option<Vec<Spanned<HttpFault>>>,
}

/// A fault.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpFault {
    /// Answers instead of the application.
    pub abort: Option<Spanned<Abort>>,
    /// Waits first.
    pub delay: Option<Spanned<Delay>>,
    /// Answers slowly.
    pub response_bandwidth: Option<Spanned<ResponseBandwidth>>,
}

/// An answer instead of the application's.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Abort {
    /// Status.
    pub http_status: Spanned<i32>,
    /// Share.
    pub percentage: Spanned<Number>,
}

/// A pause.
#[derive(Clone, Debug, Deserialize)]
pub struct Delay {
    /// How long.
    pub value: Spanned<Length>,
    /// Share.
    pub percentage: Spanned<Number>,
}

/// A slow answer.
#[derive(Clone, Debug, Deserialize)]
pub struct ResponseBandwidth {
    /// `10kbps`, `5Mbps`.
    pub limit: Spanned<String>,
    /// Share.
    pub percentage: Spanned<Number>,
}

/// `MeshRateLimit`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct RateLimits {
    /// By each proxy on its own.
    pub local: Option<Local>,
}

/// Limits of each proxy on its own.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Local {
    /// Of requests.
    pub http: Option<Spanned<HttpLimit>>,
    /// Of connections.
    pub tcp: Option<Spanned<TcpLimit>>,
}

/// A limit of requests.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpLimit {
    /// Not at all.
    pub disabled: Option<Spanned<bool>>,
    /// How many.
    pub request_rate: Option<Spanned<Rate>>,
    /// What the others are answered.
    pub on_rate_limit: Option<OnRateLimit>,
}

/// A limit of connections.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TcpLimit {
    /// Not at all.
    pub disabled: Option<Spanned<bool>>,
    /// How many.
    pub connection_rate: Option<Spanned<Rate>>,
}

/// So many in an interval.
#[derive(Clone, Debug, Deserialize)]
pub struct Rate {
    /// So many.
    pub num: Spanned<u32>,
    /// In this.
    pub interval: Spanned<Length>,
}

/// What is answered beyond the limit.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct OnRateLimit {
    /// Status; none: 429.
    pub status: Option<Spanned<u16>>,
    /// Headers.
    pub headers: Option<Present>,
}

/// `MeshTLS`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Tls {
    /// Versions.
    pub tls_version: Option<Present>,
    /// Ciphers.
    pub tls_ciphers: Option<Present>,
    /// Whether plaintext is taken.
    pub mode: Option<Spanned<TlsMode>>,
}

/// Whether plaintext is taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
pub enum TlsMode {
    /// It is not.
    Strict,
    /// It is.
    Permissive,
}

/// `MeshTrafficPermission.spec`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Permissions {
    /// Whose callers; none: all.
    pub target_ref: Option<TargetRef>,
    /// Who may call (2.x).
    pub from: Option<Spanned<Vec<PermissionFrom>>>,
    /// Who may call.
    pub rules: Option<Spanned<Vec<PermissionRule>>>,
}

/// Some callers (2.x).
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PermissionFrom {
    /// Which.
    pub target_ref: TargetRef,
    /// Whether they may.
    #[serde(default)]
    pub default: Permission,
}

/// Whether somebody may call.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Permission {
    /// Whether.
    pub action: Option<Spanned<Action>>,
}

/// Whether somebody may call.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
pub enum Action {
    /// They may.
    Allow,
    /// They may not.
    Deny,
    /// They may, and it is told.
    AllowWithShadowDeny,
}

/// Who may call.
#[derive(Clone, Debug, Deserialize)]
pub struct PermissionRule {
    /// Lists.
    #[serde(default)]
    pub default: PermissionLists,
}

/// Who may call; who is refused comes first.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PermissionLists {
    /// Refused.
    pub deny: Option<Vec<Match>>,
    /// Served, and told.
    pub allow_with_shadow_deny: Option<Vec<Match>>,
    /// Served.
    pub allow: Option<Vec<Match>>,
}

/// `MeshPassthrough.spec.default`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Passthrough {
    /// What passes; none: `Matched`.
    pub passthrough_mode: Option<Spanned<PassthroughMode>>,
    /// What matches.
    pub append_match: Option<Vec<PassthroughMatch>>,
}

/// What passes to where nobody is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
pub enum PassthroughMode {
    /// Everything.
    All,
    /// What matches.
    Matched,
    /// Nothing.
    None,
}

/// A destination outside.
#[derive(Clone, Debug, Deserialize)]
pub struct PassthroughMatch {
    /// `Domain`, `IP` or `CIDR`.
    pub r#type: Spanned<String>,
    /// Which.
    pub value: Spanned<String>,
    /// Port; none: any.
    #[serde(default)]
    pub port: Option<Spanned<u16>>,
    /// What is spoken; none: `tcp`.
    #[serde(default)]
    pub protocol: Option<Spanned<String>>,
}
