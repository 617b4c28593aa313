//! Mappings and TCPMappings.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{CircuitBreaker, Texts};
use crate::text::{Node, Present, Spanned};

/// Headers that are added: a text each, or a mapping with `value` and `append`.
pub type AddedHeaders = BTreeMap<Spanned<String>, Node>;

/// `Mapping.spec`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct MappingSpec {
    /// Whose it is: a text (v1, v2) or a list.
    pub ambassador_id: Option<Node>,
    /// What the path begins with, is, or matches.
    pub prefix: Option<Spanned<String>>,
    /// The path matches the whole of it as a regular expression.
    pub prefix_regex: Option<Spanned<bool>>,
    /// The path is equal to it.
    pub prefix_exact: Option<Spanned<bool>>,
    /// `[scheme://]name[.namespace][:port]`.
    pub service: Option<Spanned<String>>,
    /// Put into requests.
    pub add_request_headers: Option<AddedHeaders>,
    /// Put into answers.
    pub add_response_headers: Option<AddedHeaders>,
    /// `l5d-dst-override` is put into requests.
    pub add_linkerd_headers: Option<Spanned<bool>>,
    /// The Host becomes the endpoint's name.
    pub auto_host_rewrite: Option<Spanned<bool>>,
    /// Whether the case of the path is of account.
    pub case_sensitive: Option<Spanned<bool>>,
    /// How names are resolved.
    pub dns_type: Option<Present>,
    /// For the developer portal.
    pub docs: Option<Present>,
    /// Which addresses a name may have.
    pub enable_ipv4: Option<Present>,
    /// Which addresses a name may have.
    pub enable_ipv6: Option<Present>,
    /// What may be under way at once.
    pub circuit_breakers: Option<Vec<CircuitBreaker>>,
    /// TCP keep-alive.
    pub keepalive: Option<Node>,
    /// Pages of other origins.
    pub cors: Option<Spanned<CorsSpec>>,
    /// Retries.
    pub retry_policy: Option<Spanned<RetrySpec>>,
    /// How long names hold.
    pub respect_dns_ttl: Option<Present>,
    /// HTTP/2 to the service.
    pub grpc: Option<Spanned<bool>>,
    /// The service is a host to which clients are redirected.
    pub host_redirect: Option<Spanned<bool>>,
    /// The Host of requests.
    pub host_rewrite: Option<Spanned<String>>,
    /// The method.
    pub method: Option<Spanned<String>>,
    /// Whether the method is a regular expression.
    pub method_regex: Option<Spanned<bool>>,
    /// Not supported.
    pub outlier_detection: Option<Present>,
    /// The path of redirects.
    pub path_redirect: Option<Spanned<String>>,
    /// What takes the prefix's place in redirects.
    pub prefix_redirect: Option<Spanned<String>>,
    /// A change of the path in redirects.
    pub regex_redirect: Option<Spanned<RegexMap>>,
    /// 301 unless set.
    pub redirect_response_code: Option<Spanned<u16>>,
    /// Which limits count: `DEFAULT` or `HIGH`.
    pub priority: Option<Spanned<String>>,
    /// Before all else in the order of Mappings.
    pub precedence: Option<Spanned<i64>>,
    /// Makes the cluster another one.
    pub cluster_tag: Option<Spanned<String>>,
    /// Taken out of requests: a text (v1, v2) or a list.
    pub remove_request_headers: Option<Node>,
    /// Taken out of answers: a text (v1, v2) or a list.
    pub remove_response_headers: Option<Node>,
    /// Who finds endpoints.
    pub resolver: Option<Spanned<String>>,
    /// What takes the prefix's place; `/` unless set, nothing at all where it is empty.
    pub rewrite: Option<Spanned<String>>,
    /// A change of the path.
    pub regex_rewrite: Option<Spanned<RegexMap>>,
    /// Copies of the requests of its group go there.
    pub shadow: Option<Spanned<bool>>,
    /// Until a connection stands.
    pub connect_timeout_ms: Option<Spanned<u64>>,
    /// Until a silent connection to the service is closed.
    pub cluster_idle_timeout_ms: Option<Spanned<u64>>,
    /// Until a connection to the service is not used any more.
    pub cluster_max_connection_lifetime_ms: Option<Spanned<u64>>,
    /// The whole request.
    pub timeout_ms: Option<Spanned<u64>>,
    /// A request's silence.
    pub idle_timeout_ms: Option<Spanned<u64>>,
    /// A TLSContext for the way to the service; in v1 and v2 `true`, too.
    pub tls: Option<Node>,
    /// Probes of endpoints.
    pub health_checks: Option<Vec<Spanned<HealthCheck>>>,
    /// The same in v2.
    pub v3health_checks: Option<Vec<Spanned<HealthCheck>>>,
    /// The older way to allow WebSockets.
    pub use_websocket: Option<Spanned<bool>>,
    /// What connections may become.
    pub allow_upgrade: Vec<Spanned<String>>,
    /// Per cent of the group's requests.
    pub weight: Option<Spanned<u32>>,
    /// Its requests pass the AuthService by.
    pub bypass_auth: Option<Spanned<bool>>,
    /// For the AuthService.
    pub auth_context_extensions: Option<Present>,
    /// Not supported.
    pub bypass_error_response_overrides: Option<Present>,
    /// Not supported.
    pub error_response_overrides: Option<Present>,
    /// Nothing reads it.
    pub modules: Option<Present>,
    /// The Host; in v2 a glob, in v3alpha1 exact.
    pub host: Option<Spanned<String>>,
    /// Whether `host` is a regular expression.
    pub host_regex: Option<Spanned<bool>>,
    /// The Host as a glob.
    pub hostname: Option<Spanned<String>>,
    /// Headers and what they must be: texts, in v1 and v2 `true`, too.
    pub headers: BTreeMap<Spanned<String>, Node>,
    /// Headers and what they must match.
    pub regex_headers: Texts,
    /// For the RateLimitService.
    pub labels: Option<Node>,
    /// Nothing reads it.
    pub envoy_override: Option<Present>,
    /// How an endpoint is chosen.
    pub load_balancer: Option<Spanned<LoadBalancer>>,
    /// Parameters and what they must be: texts, in v1 and v2 `true`, too.
    pub query_parameters: BTreeMap<Spanned<String>, Node>,
    /// Parameters and what they must match.
    pub regex_query_parameters: Texts,
    /// A name for figures.
    pub stats_name: Option<Present>,
    /// The same in v2.
    #[serde(rename = "v3StatsName")]
    pub v3_stats_name: Option<Present>,
    /// How v2 would have it written.
    #[serde(rename = "v2ExplicitTLS")]
    pub v2_explicit_tls: Option<Present>,
    /// How v2 would have it written.
    #[serde(rename = "v2BoolHeaders")]
    pub v2_bool_headers: Option<Present>,
    /// How v2 would have it written.
    #[serde(rename = "v2BoolQueryParameters")]
    pub v2_bool_query_parameters: Option<Present>,
}

/// A change of texts that match.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct RegexMap {
    /// What is replaced.
    pub pattern: Option<Spanned<String>>,
    /// What by; `\1` stands for a group.
    pub substitution: Option<Spanned<String>>,
}

/// Pages of other origins.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct CorsSpec {
    /// Which: a list, in v1 and v2 a text with commas, too.
    pub origins: Option<Node>,
    /// Methods: likewise.
    pub methods: Option<Node>,
    /// Request headers: likewise.
    pub headers: Option<Node>,
    /// Whether what tells the user may be sent.
    pub credentials: Option<Spanned<bool>>,
    /// Response headers that pages may read.
    pub exposed_headers: Option<Node>,
    /// For how long preflights hold, in seconds.
    pub max_age: Option<Spanned<String>>,
    /// How v2 would have it written.
    #[serde(rename = "v2CommaSeparatedOrigins")]
    pub v2_comma_separated_origins: Option<Present>,
}

/// Retries.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct RetrySpec {
    /// One condition.
    pub retry_on: Option<Spanned<String>>,
    /// Tries after the first.
    pub num_retries: Option<Spanned<u32>>,
    /// Bound of each try.
    pub per_try_timeout: Option<Spanned<String>>,
}

/// How an endpoint is chosen.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct LoadBalancer {
    /// `round_robin`, `least_request`, `ring_hash` or `maglev`.
    pub policy: Option<Spanned<String>>,
    /// A hash of a cookie.
    pub cookie: Option<Spanned<Cookie>>,
    /// A hash of a header.
    pub header: Option<Spanned<String>>,
    /// A hash of the client's address.
    pub source_ip: Option<Spanned<bool>>,
}

/// A cookie.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Cookie {
    /// Its name.
    pub name: Option<Spanned<String>>,
    /// Which paths it is for.
    pub path: Option<Present>,
    /// How long one that is made holds.
    pub ttl: Option<Spanned<String>>,
}

/// A probe of endpoints.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct HealthCheck {
    /// Longest wait.
    pub timeout: Option<Spanned<String>>,
    /// Pause.
    pub interval: Option<Spanned<String>>,
    /// Failures in a row.
    pub unhealthy_threshold: Option<Spanned<u32>>,
    /// Successes in a row.
    pub healthy_threshold: Option<Spanned<u32>>,
    /// What is asked.
    pub health_check: CheckLocation,
}

/// What a probe asks.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct CheckLocation {
    /// For a path.
    pub http: Option<HttpCheck>,
    /// For a gRPC service.
    pub grpc: Option<Present>,
}

/// A probe for a path.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct HttpCheck {
    /// The path.
    pub path: Option<Spanned<String>>,
    /// The Host.
    pub hostname: Option<Spanned<String>>,
    /// Headers sent.
    pub add_request_headers: Option<Present>,
    /// Headers not sent.
    pub remove_request_headers: Option<Present>,
    /// What counts as a success.
    pub expected_statuses: Vec<Spanned<StatusRange>>,
}

/// Statuses, both ends included.
#[derive(Clone, Debug, Deserialize)]
pub struct StatusRange {
    /// The first.
    pub min: Spanned<u16>,
    /// The last.
    pub max: Spanned<u16>,
}

/// `TCPMapping.spec`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct TcpMappingSpec {
    /// Whose it is.
    pub ambassador_id: Option<Node>,
    /// The port of the pods.
    pub port: Option<Spanned<u16>>,
    /// The server name that clients ask for.
    pub host: Option<Spanned<String>>,
    /// The address of the pods that is listened on.
    pub address: Option<Spanned<String>>,
    /// `name[.namespace][:port]`.
    pub service: Option<Spanned<String>>,
    /// Which addresses a name may have.
    pub enable_ipv4: Option<Present>,
    /// Which addresses a name may have.
    pub enable_ipv6: Option<Present>,
    /// What may be under way at once.
    pub circuit_breakers: Option<Vec<CircuitBreaker>>,
    /// Nothing reads it.
    pub idle_timeout_ms: Option<Present>,
    /// Who finds endpoints.
    pub resolver: Option<Spanned<String>>,
    /// A TLSContext for the way to the service.
    pub tls: Option<Node>,
    /// Per cent of the connections.
    pub weight: Option<Spanned<u32>>,
    /// Makes the cluster another one.
    pub cluster_tag: Option<Spanned<String>>,
    /// A name for figures.
    pub stats_name: Option<Present>,
    /// The same in v2.
    #[serde(rename = "v3StatsName")]
    pub v3_stats_name: Option<Present>,
    /// How v2 would have it written.
    #[serde(rename = "v2ExplicitTLS")]
    pub v2_explicit_tls: Option<Present>,
}
