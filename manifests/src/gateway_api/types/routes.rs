//! Routes.

use serde::Deserialize;

use super::{Filter, ParentRef};
use crate::text::{Present, Spanned};

/// `HTTPRoute.spec`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpRoute {
    /// Whose traffic it is for.
    pub parent_refs: Vec<ParentRef>,
    /// Hosts; none: any.
    pub hostnames: Vec<Spanned<String>>,
    /// What is done; none: nothing can be reached.
    pub rules: Vec<HttpRule>,
    /// Gateways that are not named.
    pub use_default_gateways: Option<Present>,
}

/// What is done with some requests.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpRule {
    /// For reports.
    pub name: Option<Spanned<String>>,
    /// Which requests, any of these; none: all.
    pub matches: Vec<HttpMatch>,
    /// What is done to them.
    pub filters: Vec<Filter>,
    /// Where they go.
    pub backend_refs: Vec<BackendRef>,
    /// How long they may take.
    pub timeouts: Option<Timeouts>,
    /// When they are tried again.
    pub retry: Option<Retry>,
    /// Whether a client stays with one backend.
    pub session_persistence: Option<SessionPersistence>,
}

/// Which requests: all conditions at once.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpMatch {
    /// Path; none: any.
    pub path: Option<PathCondition>,
    /// Headers.
    pub headers: Vec<NamedCondition>,
    /// Query parameters.
    pub query_params: Vec<NamedCondition>,
    /// Method.
    pub method: Option<Spanned<String>>,
}

/// A path condition.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct PathCondition {
    /// `Exact`, `PathPrefix` or `RegularExpression`; none: the second.
    pub r#type: Option<Spanned<String>>,
    /// With what; none: `/`.
    pub value: Option<Spanned<String>>,
}

/// A header or query condition.
#[derive(Clone, Debug, Deserialize)]
pub struct NamedCondition {
    /// `Exact` or `RegularExpression`; none: the former.
    #[serde(default)]
    pub r#type: Option<Spanned<String>>,
    /// Name.
    pub name: Spanned<String>,
    /// With what.
    pub value: Spanned<String>,
}

/// How long a request may take; `0s` is no bound.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Timeouts {
    /// All tries together.
    pub request: Option<Spanned<String>>,
    /// One try.
    pub backend_request: Option<Spanned<String>>,
}

/// When a request is tried again (GEP-1731).
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Retry {
    /// Statuses of backends that are tried again.
    pub codes: Vec<Spanned<u16>>,
    /// Tries after the first.
    pub attempts: Option<Spanned<u32>>,
    /// The shortest pause before a try.
    pub backoff: Option<Spanned<String>>,
}

/// Whether a client stays with one backend (GEP-1619).
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SessionPersistence {
    /// Name of the cookie or header.
    pub session_name: Option<Spanned<String>>,
    /// How long a session lasts.
    pub absolute_timeout: Option<Spanned<String>>,
    /// How long it lasts unused.
    pub idle_timeout: Option<Spanned<String>>,
    /// `Cookie` or `Header`; none: the former.
    pub r#type: Option<Spanned<String>>,
    /// For cookies.
    pub cookie_config: Option<CookieConfig>,
}

/// A session's cookie.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CookieConfig {
    /// `Session` or `Permanent`; none: the former.
    pub lifetime_type: Option<Spanned<String>>,
}

/// Where requests or connections go.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackendRef {
    /// API group; none: the core.
    #[serde(default)]
    pub group: Option<Spanned<String>>,
    /// Kind; none: Service.
    #[serde(default)]
    pub kind: Option<Spanned<String>>,
    /// Name.
    pub name: Spanned<String>,
    /// Namespace; none: the route's own.
    #[serde(default)]
    pub namespace: Option<Spanned<String>>,
    /// Port.
    #[serde(default)]
    pub port: Option<Spanned<u16>>,
    /// Share; none: 1.
    #[serde(default)]
    pub weight: Option<Spanned<u32>>,
    /// What is done to its requests; not for connections.
    #[serde(default)]
    pub filters: Vec<Filter>,
}

/// `GRPCRoute.spec`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GrpcRoute {
    /// Whose traffic it is for.
    pub parent_refs: Vec<ParentRef>,
    /// Hosts; none: any.
    pub hostnames: Vec<Spanned<String>>,
    /// What is done.
    pub rules: Vec<GrpcRule>,
    /// Gateways that are not named.
    pub use_default_gateways: Option<Present>,
}

/// What is done with some calls.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GrpcRule {
    /// For reports.
    pub name: Option<Spanned<String>>,
    /// Which calls, any of these; none: all.
    pub matches: Vec<GrpcMatch>,
    /// What is done to them.
    pub filters: Vec<Filter>,
    /// Where they go.
    pub backend_refs: Vec<BackendRef>,
    /// Whether a client stays with one backend.
    pub session_persistence: Option<SessionPersistence>,
}

/// Which calls: all conditions at once.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct GrpcMatch {
    /// Service and method.
    pub method: Option<GrpcMethod>,
    /// Headers.
    pub headers: Vec<NamedCondition>,
}

/// Service and method.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct GrpcMethod {
    /// `Exact` or `RegularExpression`; none: the former.
    pub r#type: Option<Spanned<String>>,
    /// Service; none: any.
    pub service: Option<Spanned<String>>,
    /// Method; none: any.
    pub method: Option<Spanned<String>>,
}

/// `TLSRoute.spec`, `TCPRoute.spec` and `UDPRoute.spec`; only the first has hosts.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct L4Route {
    /// Whose traffic it is for.
    pub parent_refs: Vec<ParentRef>,
    /// Server names; none: any.
    pub hostnames: Vec<Spanned<String>>,
    /// Where it goes.
    pub rules: Vec<L4Rule>,
    /// Gateways that are not named.
    pub use_default_gateways: Option<Present>,
}

/// Where connections go.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct L4Rule {
    /// For reports.
    pub name: Option<Spanned<String>>,
    /// Where.
    pub backend_refs: Vec<BackendRef>,
}
