//! The Module `ambassador`.

use serde::Deserialize;

use super::{AddedHeaders, CircuitBreaker, CorsSpec, LoadBalancer, RetrySpec};
use crate::text::{Node, Present, Spanned};

/// `Module.spec`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ModuleSpec {
    /// Whose it is.
    pub ambassador_id: Option<Node>,
    /// Settings; which, depends on the Module's name.
    pub config: Option<Node>,
}

/// `config` of the Module `ambassador`.
///
/// Source: emissary `python/ambassador/src/ambassador/ir/irambassador.py`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ModuleConfig {
    /// For Mappings that do not say it.
    pub add_linkerd_headers: Option<Spanned<bool>>,
    /// Where Envoy's own interface listens.
    pub admin_port: Option<Present>,
    /// Nothing reads it.
    pub auth_enabled: Option<Present>,
    /// Requests with a length and chunks.
    pub allow_chunked_length: Option<Present>,
    /// Bytes kept of a connection.
    pub buffer_limit_bytes: Option<Spanned<u64>>,
    /// Requests are held until they are whole.
    pub buffer: Option<Buffer>,
    /// For Mappings that do not say it.
    pub circuit_breakers: Option<Vec<CircuitBreaker>>,
    /// For Mappings that do not say it.
    pub cluster_idle_timeout_ms: Option<Spanned<u64>>,
    /// For Mappings that do not say it.
    pub cluster_max_connection_lifetime_ms: Option<Spanned<u64>>,
    /// For Mappings that do not say it.
    pub cluster_request_timeout_ms: Option<Spanned<u64>>,
    /// For Mappings that do not say it.
    pub cors: Option<Spanned<CorsSpec>>,
    /// Nothing reads it.
    pub debug_mode: Option<Present>,
    /// For the RateLimitService.
    pub default_label_domain: Option<Present>,
    /// For the RateLimitService.
    pub default_labels: Option<Present>,
    /// For Mappings that do not say it.
    pub defaults: Option<Defaults>,
    /// The diagnostics' paths.
    pub diagnostics: Option<Probe>,
    /// gRPC for clients of HTTP/1.1.
    pub enable_grpc_http11_bridge: Option<Present>,
    /// gRPC for browsers.
    pub enable_grpc_web: Option<Present>,
    /// Whether HTTP/1.0 is taken.
    pub enable_http10: Option<Spanned<bool>>,
    /// Which addresses a name may have.
    pub enable_ipv4: Option<Present>,
    /// Which addresses a name may have.
    pub enable_ipv6: Option<Present>,
    /// What a log's line looks like.
    pub envoy_log_format: Option<Present>,
    /// Where the log goes.
    pub envoy_log_path: Option<Present>,
    /// What the log is.
    pub envoy_log_type: Option<Present>,
    /// How long the configuration is checked.
    pub envoy_validation_timeout: Option<Present>,
    /// Not supported.
    pub error_response_overrides: Option<Present>,
    /// What becomes of `x-forwarded-client-cert`.
    pub forward_client_cert_details: Option<Spanned<String>>,
    /// Figures of gRPC.
    pub grpc_stats: Option<Present>,
    /// Compression.
    pub gzip: Option<Present>,
    /// How the names of headers are written on HTTP/1.1.
    pub header_case_overrides: Option<Present>,
    /// What becomes of headers with an underscore.
    pub headers_with_underscores_action: Option<Spanned<String>>,
    /// Who may come.
    pub ip_allow: Option<Present>,
    /// Who may not come.
    pub ip_deny: Option<Present>,
    /// TCP keep-alive.
    pub keepalive: Option<Present>,
    /// Until a client's silent connection is closed.
    pub listener_idle_timeout_ms: Option<Spanned<u64>>,
    /// The liveness probe's path.
    pub liveness_probe: Option<Probe>,
    /// For Mappings that do not say it.
    pub load_balancer: Option<Spanned<LoadBalancer>>,
    /// Code that runs for every request.
    pub lua_scripts: Option<Present>,
    /// Longest head, in KiB.
    pub max_request_headers_kb: Option<Spanned<u64>>,
    /// Slashes in a row are one.
    pub merge_slashes: Option<Spanned<bool>>,
    /// Request ids of clients are kept.
    pub preserve_external_request_id: Option<Spanned<bool>>,
    /// How the names of headers are written on HTTP/1.1.
    pub proper_case: Option<Present>,
    /// Nothing reads it.
    pub prune_unreachable_routes: Option<Present>,
    /// The readiness probe's path.
    pub readiness_probe: Option<Probe>,
    /// Largest program of a regular expression.
    pub regex_max_size: Option<Present>,
    /// Nothing reads it.
    pub regex_type: Option<Present>,
    /// Whether `%2F` in a path is 400.
    pub reject_requests_with_escaped_slashes: Option<Spanned<bool>>,
    /// For Mappings that do not say it.
    pub resolver: Option<Spanned<String>>,
    /// For Mappings that do not say it.
    pub retry_policy: Option<Spanned<RetrySpec>>,
    /// Keys of Envoy's runtime.
    pub runtime_flags: Option<Present>,
    /// The `server` of answers.
    pub server_name: Option<Spanned<String>>,
    /// Nothing reads it.
    pub service_port: Option<Present>,
    /// What is told of clients' certificates.
    pub set_current_client_cert_details: Option<CertificateDetails>,
    /// Where figures go.
    pub statsd: Option<Present>,
    /// The listener's port goes from authorities.
    pub strip_matching_host_port: Option<Spanned<bool>>,
    /// Nothing is said in `x-envoy-…` headers.
    pub suppress_envoy_headers: Option<Spanned<bool>>,
    /// Not supported.
    pub tls: Option<Present>,
    /// Services without a namespace are of Emissary's own.
    pub use_ambassador_namespace_for_service_resolution: Option<Spanned<bool>>,
    /// Nothing reads it.
    pub use_proxy_proto: Option<Present>,
    /// Whether the client is who made the connection.
    pub use_remote_address: Option<Spanned<bool>>,
    /// Nothing reads it.
    pub x_forwarded_proto_redirect: Option<Present>,
    /// Nothing reads it.
    pub xff_num_trusted_hops: Option<Present>,
}

/// Requests are held until they are whole.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Buffer {
    /// Longer ones are 413.
    pub max_request_bytes: Option<Present>,
    /// Nothing reads it.
    pub max_request_time: Option<Present>,
}

/// A path of Emissary's own.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Probe {
    /// Whether it is there.
    pub enabled: Option<Present>,
    /// The path.
    pub prefix: Option<Present>,
    /// Where it leads.
    pub rewrite: Option<Present>,
    /// Who answers.
    pub service: Option<Present>,
    /// Who may ask.
    pub allow_non_local: Option<Present>,
}

/// What is told of clients' certificates.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct CertificateDetails {
    /// The subject.
    pub subject: bool,
    /// All of it.
    pub cert: bool,
    /// Those that it stands on, too.
    pub chain: bool,
    /// Its DNS names.
    pub dns: bool,
    /// Its URIs.
    pub uri: bool,
}

/// For Mappings that do not say it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Defaults {
    /// Before the others.
    pub httpmapping: Option<MappingDefaults>,
    /// Whether a dot in a Secret's name stands before its namespace.
    pub tls_secret_namespacing: Option<Spanned<bool>>,
    /// Put into requests.
    pub add_request_headers: Option<AddedHeaders>,
    /// Put into answers.
    pub add_response_headers: Option<AddedHeaders>,
    /// Taken out of requests.
    pub remove_request_headers: Option<Node>,
    /// Taken out of answers.
    pub remove_response_headers: Option<Node>,
    /// A name for figures.
    pub stats_name: Option<Present>,
}

/// What Mappings have that do not say it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct MappingDefaults {
    /// Put into requests.
    pub add_request_headers: Option<AddedHeaders>,
    /// Put into answers.
    pub add_response_headers: Option<AddedHeaders>,
    /// Taken out of requests.
    pub remove_request_headers: Option<Node>,
    /// Taken out of answers.
    pub remove_response_headers: Option<Node>,
    /// A name for figures.
    pub stats_name: Option<Present>,
}
