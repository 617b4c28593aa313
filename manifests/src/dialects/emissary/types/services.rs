//! Services that Emissary asks, and resolvers.

use serde::Deserialize;

use super::CircuitBreaker;
use crate::text::{Node, Present, Spanned};

/// `AuthService.spec`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct AuthSpec {
    /// Whose it is.
    pub ambassador_id: Option<Node>,
    /// Who is asked.
    pub auth_service: Option<Spanned<String>>,
    /// What stands before the path.
    pub path_prefix: Option<Present>,
    /// A TLSContext.
    pub tls: Option<Present>,
    /// `http` or `grpc`.
    pub proto: Option<Present>,
    /// Longest wait.
    pub timeout_ms: Option<Present>,
    /// Headers that it is shown.
    pub allowed_request_headers: Option<Present>,
    /// Headers that its answer may set.
    pub allowed_authorization_headers: Option<Present>,
    /// Headers that are put in.
    pub add_auth_headers: Option<Present>,
    /// Whether it is shown the body.
    pub allow_request_body: Option<Present>,
    /// Whether `l5d-dst-override` is put in.
    pub add_linkerd_headers: Option<Present>,
    /// Whether requests pass when it does not answer.
    pub failure_mode_allow: Option<Spanned<bool>>,
    /// How much of the body it is shown.
    pub include_body: Option<Present>,
    /// What is answered when it does not.
    pub status_on_error: Option<Present>,
    /// `v3`.
    pub protocol_version: Option<Present>,
    /// A name for figures.
    pub stats_name: Option<Present>,
    /// The same in v2.
    #[serde(rename = "v3StatsName")]
    pub v3_stats_name: Option<Present>,
    /// What may be under way at once.
    pub circuit_breakers: Option<Vec<CircuitBreaker>>,
    /// The same in v2.
    #[serde(rename = "v3CircuitBreakers")]
    pub v3_circuit_breakers: Option<Vec<CircuitBreaker>>,
    /// How v2 would have it written.
    #[serde(rename = "v2ExplicitTLS")]
    pub v2_explicit_tls: Option<Present>,
}

/// `RateLimitService.spec`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct RateLimitSpec {
    /// Whose it is.
    pub ambassador_id: Option<Node>,
    /// Who is asked.
    pub service: Option<Spanned<String>>,
    /// Longest wait.
    pub timeout_ms: Option<Present>,
    /// Whose labels it is shown.
    pub domain: Option<Spanned<String>>,
    /// A TLSContext.
    pub tls: Option<Present>,
    /// `v3`.
    pub protocol_version: Option<Present>,
    /// A name for figures.
    pub stats_name: Option<Present>,
    /// The same in v2.
    #[serde(rename = "v3StatsName")]
    pub v3_stats_name: Option<Present>,
    /// Whether requests are refused when it does not answer.
    pub failure_mode_deny: Option<Present>,
    /// How gRPC clients are told.
    pub grpc: Option<Present>,
    /// The same in v2.
    #[serde(rename = "v3GRPC")]
    pub v3_grpc: Option<Present>,
    /// How v2 would have it written.
    #[serde(rename = "v2ExplicitTLS")]
    pub v2_explicit_tls: Option<Present>,
}

/// `LogService.spec`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct LogSpec {
    /// Whose it is.
    pub ambassador_id: Option<Node>,
    /// Who is told.
    pub service: Option<Present>,
    /// `v3`.
    pub protocol_version: Option<Present>,
    /// `tcp` or `http`.
    pub driver: Option<Present>,
    /// Headers that are told.
    pub driver_config: Option<Present>,
    /// How often.
    pub flush_interval_time: Option<Present>,
    /// How much at once.
    pub flush_interval_byte_size: Option<Present>,
    /// Whether it speaks gRPC.
    pub grpc: Option<Present>,
    /// A name for figures.
    pub stats_name: Option<Present>,
    /// The same in v2.
    #[serde(rename = "v3StatsName")]
    pub v3_stats_name: Option<Present>,
}

/// `TracingService.spec`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct TracingSpec {
    /// Whose it is.
    pub ambassador_id: Option<Node>,
    /// Which system.
    pub driver: Option<Present>,
    /// Who is told.
    pub service: Option<Present>,
    /// How many requests.
    pub sampling: Option<Present>,
    /// Headers that are told.
    pub tag_headers: Option<Present>,
    /// What is told.
    pub custom_tags: Option<Present>,
    /// The same in v2.
    #[serde(rename = "v3CustomTags")]
    pub v3_custom_tags: Option<Present>,
    /// How it is told.
    pub config: Option<Present>,
    /// A name for figures.
    pub stats_name: Option<Present>,
    /// The same in v2.
    #[serde(rename = "v3StatsName")]
    pub v3_stats_name: Option<Present>,
}

/// `DevPortal.spec`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct DevPortalSpec {
    /// Whose it is.
    pub ambassador_id: Option<Node>,
    /// Whether it is the one.
    pub default: Option<Present>,
    /// What it looks like.
    pub content: Option<Present>,
    /// What it shows.
    pub docs: Option<Present>,
    /// What it shows.
    pub selector: Option<Present>,
    /// What things are called.
    pub naming_scheme: Option<Present>,
    /// Its search.
    pub search: Option<Present>,
    /// Which servers it names.
    pub preserve_servers: Option<Present>,
}

/// `spec` of a resolver.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ResolverSpec {
    /// Whose it is.
    pub ambassador_id: Option<Node>,
    /// Where Consul is.
    pub address: Option<Present>,
    /// Of Consul.
    pub datacenter: Option<Present>,
}
