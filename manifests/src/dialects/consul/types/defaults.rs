//! What services and all proxies fall back to.

use serde::Deserialize;

use super::{FailoverPolicy, PrioritizeByLocality};
use crate::text::{Node, Present, Spanned};

/// `ServiceDefaults.spec`; its name is the service's.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceDefaults {
    /// What the service speaks; none: `tcp`.
    pub protocol: Option<Spanned<String>>,
    /// Refused: an annotation says it.
    pub mode: Option<Present>,
    /// Transparent proxies.
    pub transparent_proxy: Option<TransparentProxy>,
    /// Whether plaintext is taken.
    #[serde(rename = "mutualTLSMode")]
    pub mutual_tls_mode: Option<Spanned<String>>,
    /// Gateways between datacenters.
    pub mesh_gateway: Option<MeshGateway>,
    /// Paths in plaintext.
    pub expose: Option<Expose>,
    /// Server name of a service outside.
    #[serde(rename = "externalSNI")]
    pub external_sni: Option<Spanned<String>>,
    /// How its proxies call others.
    pub upstream_config: Option<Upstreams>,
    /// Addresses outside the mesh.
    pub destination: Option<Spanned<Destination>>,
    /// Connections at a time to an instance; 0: no bound.
    pub max_inbound_connections: Option<Spanned<i64>>,
    /// Until a connection to the application stands; 0: 5000.
    pub local_connect_timeout_ms: Option<Spanned<i64>>,
    /// Until the application has answered; 0: 15 s.
    pub local_request_timeout_ms: Option<Spanned<i64>>,
    /// How connections are spread over a proxy's threads.
    pub balance_inbound_connections: Option<Spanned<String>>,
    /// Enterprise.
    pub rate_limits: Option<Spanned<RateLimits>>,
    /// Patches of Envoy's configuration.
    pub envoy_extensions: Vec<Spanned<EnvoyExtension>>,
}

/// `ProxyDefaults.spec`; its name is `global`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProxyDefaults {
    /// Refused: an annotation says it.
    pub mode: Option<Present>,
    /// Transparent proxies.
    pub transparent_proxy: Option<TransparentProxy>,
    /// Whether plaintext is taken.
    #[serde(rename = "mutualTLSMode")]
    pub mutual_tls_mode: Option<Spanned<String>>,
    /// Envoy's settings by name.
    pub config: Option<Node>,
    /// Gateways between datacenters.
    pub mesh_gateway: Option<MeshGateway>,
    /// Paths in plaintext.
    pub expose: Option<Expose>,
    /// Logs.
    pub access_logs: Option<AccessLogs>,
    /// Patches of Envoy's configuration.
    pub envoy_extensions: Vec<Spanned<EnvoyExtension>>,
    /// Enterprise.
    pub failover_policy: Option<Spanned<FailoverPolicy>>,
    /// Enterprise.
    pub prioritize_by_locality: Option<Spanned<PrioritizeByLocality>>,
}

/// Transparent proxies.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TransparentProxy {
    /// Refused: an annotation says it.
    pub outbound_listener_port: Option<Spanned<i64>>,
    /// Whether instances may be dialled by their own addresses.
    pub dialed_directly: Option<Spanned<bool>>,
}

/// Gateways between datacenters.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct MeshGateway {
    /// `none`, `local` or `remote`.
    pub mode: Option<Spanned<String>>,
}

/// Paths in plaintext.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Expose {
    /// Those of checks.
    pub checks: Option<Spanned<bool>>,
    /// These.
    pub paths: Vec<Spanned<ExposePath>>,
}

/// A path in plaintext.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ExposePath {
    /// Where the proxy takes it.
    pub listener_port: Option<Spanned<i64>>,
    /// The path.
    pub path: Option<Spanned<String>>,
    /// Where the application serves it.
    pub local_path_port: Option<Spanned<i64>>,
    /// `http` or `http2`.
    pub protocol: Option<Spanned<String>>,
}

/// How proxies of a service call others.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Upstreams {
    /// All of them.
    pub defaults: Option<Spanned<Upstream>>,
    /// Single ones.
    pub overrides: Vec<Spanned<Upstream>>,
}

/// How an upstream is called.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Upstream {
    /// The service; of overrides only.
    pub name: Option<Spanned<String>>,
    /// Enterprise.
    pub namespace: Option<Spanned<String>>,
    /// Enterprise.
    pub partition: Option<Spanned<String>>,
    /// Another cluster.
    pub peer: Option<Spanned<String>>,
    /// The listener as Envoy has it.
    #[serde(rename = "envoyListenerJSON")]
    pub envoy_listener_json: Option<Present>,
    /// The cluster as Envoy has it.
    #[serde(rename = "envoyClusterJSON")]
    pub envoy_cluster_json: Option<Present>,
    /// What is spoken, whatever the service says.
    pub protocol: Option<Spanned<String>>,
    /// Until a connection stands; before what a ServiceResolver says.
    pub connect_timeout_ms: Option<Spanned<i64>>,
    /// What may be under way at once.
    pub limits: Option<Spanned<Limits>>,
    /// Instances that fail are taken out for a time.
    pub passive_health_check: Option<Spanned<PassiveHealthCheck>>,
    /// Gateways between datacenters.
    pub mesh_gateway: Option<MeshGateway>,
}

/// What may be under way at once.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Limits {
    /// Connections.
    pub max_connections: Option<Spanned<i64>>,
    /// Requests that wait for a connection.
    pub max_pending_requests: Option<Spanned<i64>>,
    /// Requests.
    pub max_concurrent_requests: Option<Spanned<i64>>,
}

/// Instances that fail are taken out for a time.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PassiveHealthCheck {
    /// Between sweeps; 0: Envoy's 10 s.
    pub interval: Option<Spanned<String>>,
    /// 5xx in a row; 0: Envoy's 5.
    pub max_failures: Option<Spanned<i64>>,
    /// Per cent of due ejections that happen.
    #[serde(rename = "enforcingConsecutive5xx")]
    pub enforcing_consecutive_5xx: Option<Spanned<i64>>,
    /// Per cent of instances that may be out.
    pub max_ejection_percent: Option<Spanned<i64>>,
    /// How long a first time.
    pub base_ejection_time: Option<Spanned<String>>,
}

/// Addresses outside the mesh.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Destination {
    /// Addresses or host names.
    pub addresses: Vec<Spanned<String>>,
    /// Port.
    pub port: Option<Spanned<i64>>,
}

/// Rate limits of inbound requests.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RateLimits {
    /// By instance.
    pub instance_level: Option<Spanned<InstanceLevel>>,
}

/// Rate limits by instance.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct InstanceLevel {
    /// On average.
    pub requests_per_second: Option<Spanned<i64>>,
    /// At once.
    pub requests_max_burst: Option<Spanned<i64>>,
    /// Of some requests.
    pub routes: Vec<Spanned<RouteRateLimit>>,
}

/// A rate limit of some requests.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RouteRateLimit {
    /// This path.
    pub path_exact: Option<Spanned<String>>,
    /// Paths that begin so.
    pub path_prefix: Option<Spanned<String>>,
    /// Paths that match.
    pub path_regex: Option<Spanned<String>>,
    /// On average.
    pub requests_per_second: Option<Spanned<i64>>,
    /// At once.
    pub requests_max_burst: Option<Spanned<i64>>,
}

/// A patch of Envoy's configuration.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct EnvoyExtension {
    /// Which.
    pub name: Option<Spanned<String>>,
    /// Whether nothing is served where it fails.
    pub required: Option<Present>,
    /// Its settings.
    pub arguments: Option<Present>,
}

/// Logs.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AccessLogs {
    /// Whether there are any.
    pub enabled: Option<Spanned<bool>>,
    /// Whether connections that no listener takes are left out.
    pub disable_listener_logs: Option<Present>,
    /// Where to.
    pub r#type: Option<Spanned<String>>,
    /// Which file.
    pub path: Option<Present>,
    /// As an object.
    pub json_format: Option<Present>,
    /// As a line.
    pub text_format: Option<Present>,
}

/// `Mesh.spec`; its name is `mesh`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Mesh {
    /// Transparent proxies.
    pub transparent_proxy: Option<MeshTransparentProxy>,
    /// Whether plaintext may be allowed.
    #[serde(rename = "allowEnablingPermissiveMutualTLS")]
    pub allow_permissive: Option<Spanned<bool>>,
    /// Versions and ciphers of TLS.
    pub tls: Option<MeshTls>,
    /// Heads of requests.
    pub http: Option<MeshHttp>,
    /// Other clusters.
    pub peering: Option<Peering>,
    /// Whether a table with a cluster that is not there is refused.
    pub validate_clusters: Option<Spanned<bool>>,
}

/// Transparent proxies of the mesh.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MeshTransparentProxy {
    /// Whether what is in no catalog cannot be reached.
    pub mesh_destinations_only: Option<Spanned<bool>>,
}

/// Versions and ciphers of TLS.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct MeshTls {
    /// Of servers.
    pub incoming: Option<Spanned<MeshTlsSide>>,
    /// Of clients.
    pub outgoing: Option<Spanned<MeshTlsSide>>,
}

/// Versions and ciphers of one side.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MeshTlsSide {
    /// Least version.
    pub tls_min_version: Option<Spanned<String>>,
    /// Greatest version.
    pub tls_max_version: Option<Spanned<String>>,
    /// Ciphers.
    pub cipher_suites: Option<Present>,
}

/// Heads of requests.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MeshHttp {
    /// Whether `x-forwarded-client-cert` goes.
    pub sanitize_x_forwarded_client_cert: Option<Spanned<bool>>,
    /// Of servers.
    pub incoming: Option<MeshIncoming>,
}

/// Heads of requests that servers take.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MeshIncoming {
    /// Paths and names.
    pub request_normalization: Option<Normalization>,
}

/// Paths and names.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Normalization {
    /// Whether paths stay as they are.
    pub insecure_disable_path_normalization: Option<Spanned<bool>>,
    /// Whether slashes in a row are one.
    pub merge_slashes: Option<Spanned<bool>>,
    /// What becomes of escaped slashes.
    pub path_with_escaped_slashes_action: Option<Spanned<String>>,
    /// What becomes of names with underscores.
    pub headers_with_underscores_action: Option<Spanned<String>>,
}

/// Other clusters.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Peering {
    /// Whether control planes speak through gateways.
    pub peer_through_mesh_gateways: Option<Present>,
}
