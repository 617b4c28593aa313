//! DestinationRule.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Selector, Written};
use crate::text::{Present, Spanned};

/// `DestinationRule.spec`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DestinationRule {
    /// Whose callers it is for.
    pub host: Option<Spanned<String>>,
    /// What holds for all of the host.
    pub traffic_policy: Option<TrafficPolicy>,
    /// Named parts of the host.
    pub subsets: Vec<Subset>,
    /// Namespaces that see it; none: all.
    pub export_to: Vec<Spanned<String>>,
    /// Which callers of its namespace it is for; none: all.
    pub workload_selector: Option<Selector>,
}

/// What holds for calls to a host, a port of it or a subset.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TrafficPolicy {
    /// Choice of an endpoint.
    pub load_balancer: Option<LoadBalancer>,
    /// Limits and timeouts of connections.
    pub connection_pool: Option<ConnectionPool>,
    /// When endpoints rest.
    pub outlier_detection: Option<Spanned<OutlierDetection>>,
    /// TLS to the host.
    pub tls: Option<Spanned<ClientTls>>,
    /// In its place for single ports.
    pub port_level_settings: Vec<PortPolicy>,
    /// CONNECT tunnels.
    pub tunnel: Option<Present>,
    /// PROXY protocol to the host.
    pub proxy_protocol: Option<Present>,
    /// Ceiling on retries.
    pub retry_budget: Option<Spanned<RetryBudget>>,
}

/// What holds for one port.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PortPolicy {
    /// Which.
    pub port: Option<PortSelector>,
    /// See [`TrafficPolicy`].
    pub load_balancer: Option<LoadBalancer>,
    /// See [`TrafficPolicy`].
    pub connection_pool: Option<ConnectionPool>,
    /// See [`TrafficPolicy`].
    pub outlier_detection: Option<Spanned<OutlierDetection>>,
    /// See [`TrafficPolicy`].
    pub tls: Option<Spanned<ClientTls>>,
}

/// A port by number.
#[derive(Clone, Debug, Deserialize)]
pub struct PortSelector {
    /// The Service's port.
    pub number: Spanned<u16>,
}

/// A named part of a host.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Subset {
    /// What routes call it.
    pub name: Spanned<String>,
    /// Labels of its pods.
    #[serde(default)]
    pub labels: Written,
    /// Over the rule's own, block by block.
    #[serde(default)]
    pub traffic_policy: Option<TrafficPolicy>,
}

/// Choice of an endpoint.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LoadBalancer {
    /// Without regard to the request.
    pub simple: Option<Spanned<SimpleBalancer>>,
    /// By something of the request.
    pub consistent_hash: Option<Spanned<ConsistentHash>>,
    /// By place.
    pub locality_lb_setting: Option<Spanned<LocalitySetting>>,
    /// By place, Envoy's way.
    pub zone_aware_lb_setting: Option<Present>,
    /// The older form of `warmup`.
    pub warmup_duration_secs: Option<Spanned<String>>,
    /// New endpoints get their share by and by.
    pub warmup: Option<Spanned<Warmup>>,
}

/// A balancer without settings.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum SimpleBalancer {
    /// Istio's choice.
    Unspecified,
    /// The old word for `LEAST_REQUEST`.
    LeastConn,
    /// Any.
    Random,
    /// The address that was dialled.
    Passthrough,
    /// In turn.
    RoundRobin,
    /// The less busy of two.
    LeastRequest,
}

/// Balancing by a hash; one key and one algorithm.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsistentHash {
    /// By a header.
    pub http_header_name: Option<Spanned<String>>,
    /// By a cookie.
    pub http_cookie: Option<HashCookie>,
    /// By the client's address.
    pub use_source_ip: Option<Spanned<bool>>,
    /// By a query parameter.
    pub http_query_parameter_name: Option<Spanned<String>>,
    /// On a ring.
    pub ring_hash: Option<RingSize>,
    /// On Maglev's table.
    pub maglev: Option<MaglevSize>,
    /// The older form of `ringHash.minimumRingSize`.
    pub minimum_ring_size: Option<Spanned<u64>>,
}

/// A cookie to hash.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HashCookie {
    /// Name.
    pub name: Spanned<String>,
    /// Path of one that is made.
    #[serde(default)]
    pub path: Option<Spanned<String>>,
    /// Lifetime of one that is made; none: not made.
    #[serde(default)]
    pub ttl: Option<Spanned<String>>,
    /// Attributes of one that is made.
    #[serde(default)]
    pub attributes: Option<Present>,
}

/// A ring's size.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RingSize {
    /// Least entries.
    pub minimum_ring_size: Option<Spanned<u64>>,
}

/// The size of Maglev's table.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MaglevSize {
    /// Entries.
    pub table_size: Option<Spanned<u64>>,
}

/// New endpoints get their share by and by.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Warmup {
    /// How long it takes.
    pub duration: Option<Spanned<String>>,
    /// Per cent at first.
    pub minimum_percent: Option<Spanned<f64>>,
    /// Above 1: faster at first.
    pub aggression: Option<Spanned<f64>>,
}

/// Balancing by place.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LocalitySetting {
    /// Shares by place.
    pub distribute: Vec<Distribute>,
    /// Which region comes after which.
    pub failover: Vec<Failover>,
    /// Labels in their order.
    pub failover_priority: Vec<Spanned<String>>,
    /// Whether it is on.
    pub enabled: Option<Spanned<bool>>,
}

/// Shares of callers of one place.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Distribute {
    /// Whose.
    pub from: Option<Spanned<String>>,
    /// Where to.
    pub to: BTreeMap<Spanned<String>, Spanned<u32>>,
}

/// Which region comes next.
#[derive(Clone, Debug, Deserialize)]
pub struct Failover {
    /// Region of callers.
    pub from: Spanned<String>,
    /// Region that comes next.
    pub to: Spanned<String>,
}

/// Limits and timeouts of connections.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ConnectionPool {
    /// Of all connections.
    pub tcp: Option<TcpPool>,
    /// Of those that carry HTTP.
    pub http: Option<HttpPool>,
}

/// Limits and timeouts of all connections.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TcpPool {
    /// Connections.
    pub max_connections: Option<Spanned<i32>>,
    /// Until a connection stands.
    pub connect_timeout: Option<Spanned<String>>,
    /// Probes of the operating system.
    pub tcp_keepalive: Option<Present>,
    /// Longest life.
    pub max_connection_duration: Option<Spanned<String>>,
    /// Without a byte.
    pub idle_timeout: Option<Spanned<String>>,
}

/// Limits and timeouts of connections that carry HTTP.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpPool {
    /// Requests that wait for a connection.
    pub http1_max_pending_requests: Option<Spanned<i32>>,
    /// Requests under way.
    pub http2_max_requests: Option<Spanned<i32>>,
    /// Requests that a connection carries.
    pub max_requests_per_connection: Option<Spanned<i32>>,
    /// Retries under way.
    pub max_retries: Option<Spanned<i32>>,
    /// Without a request.
    pub idle_timeout: Option<Spanned<String>>,
    /// Whether HTTP/2 is spoken to a host that declares HTTP/1.1.
    pub h2_upgrade_policy: Option<Spanned<UpgradePolicy>>,
    /// Speaks what the client speaks.
    pub use_client_protocol: Option<Spanned<bool>>,
    /// Streams of an HTTP/2 connection.
    pub max_concurrent_streams: Option<Spanned<i32>>,
    /// Pings.
    pub http2_keep_alive: Option<Present>,
}

/// Whether HTTP/2 is spoken to a host that declares HTTP/1.1.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum UpgradePolicy {
    /// As the mesh has it: no.
    Default,
    /// No.
    DoNotUpgrade,
    /// Yes.
    Upgrade,
}

/// When endpoints rest.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OutlierDetection {
    /// Gone; nothing reads it.
    pub consecutive_errors: Option<Present>,
    /// Whether local failures are judged apart.
    pub split_external_local_origin_errors: Option<Spanned<bool>>,
    /// Local failures in a row.
    pub consecutive_local_origin_failures: Option<Spanned<u32>>,
    /// 502, 503 and 504 in a row.
    pub consecutive_gateway_errors: Option<Spanned<u32>>,
    /// 5xx in a row.
    #[serde(rename = "consecutive5xxErrors")]
    pub consecutive_5xx_errors: Option<Spanned<u32>>,
    /// How often the sweep comes.
    pub interval: Option<Spanned<String>>,
    /// Length of a first ejection.
    pub base_ejection_time: Option<Spanned<String>>,
    /// Per cent that may be out.
    pub max_ejection_percent: Option<Spanned<i32>>,
    /// Per cent below which all are used.
    pub min_health_percent: Option<Spanned<i32>>,
    /// What counts as an error.
    pub outlier_detection_http_error_codes: Option<Present>,
}

/// TLS to a host.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClientTls {
    /// How; none: `DISABLE`.
    pub mode: Option<Spanned<TlsMode>>,
    /// File of the certificate presented.
    pub client_certificate: Option<Spanned<String>>,
    /// File of its key.
    pub private_key: Option<Present>,
    /// File of the authorities trusted.
    pub ca_certificates: Option<Present>,
    /// Secret of the certificate presented.
    pub credential_name: Option<Spanned<String>>,
    /// Names that the server may prove.
    pub subject_alt_names: Option<Present>,
    /// Server name sent.
    pub sni: Option<Spanned<String>>,
    /// Whether any server is trusted.
    pub insecure_skip_verify: Option<Present>,
    /// File of revoked certificates.
    pub ca_crl: Option<Present>,
}

/// How TLS is spoken to a host.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TlsMode {
    /// Not.
    Disable,
    /// Without a certificate of one's own.
    Simple,
    /// With a certificate of one's own.
    Mutual,
    /// With the mesh's.
    IstioMutual,
}

/// Ceiling on retries.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RetryBudget {
    /// Per cent of the requests under way.
    pub percent: Option<Spanned<f64>>,
    /// Retries that may always be under way.
    pub min_retry_concurrency: Option<Spanned<u32>>,
    /// Requests started within this time count.
    pub budget_interval: Option<Spanned<String>>,
}
