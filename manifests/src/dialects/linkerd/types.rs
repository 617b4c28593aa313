//! Linkerd's resources, and the Gateway API's routes where their parent is a Service, as people write them.
//!
//! Source: linkerd/linkerd2 `charts/linkerd-crds/templates`, kubernetes-sigs/gateway-api `apis/v1/httproute_types.go`.

use serde::Deserialize;

pub use crate::gateway_api::types::{Header, HeaderModifier, ParentRef, RequestRedirect, Timeouts};
use crate::text::{Present, ScalarOr, Spanned};

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

/// `HTTPRoute.spec`, of `gateway.networking.k8s.io` and of `policy.linkerd.io`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpRoute {
    /// Whose traffic it is for.
    pub parent_refs: Vec<ParentRef>,
    /// Hosts; none: any.
    pub hostnames: Vec<Spanned<String>>,
    /// What is done.
    pub rules: Vec<Rule>,
    /// Gateways that are not named.
    pub use_default_gateways: Option<Present>,
}

/// What is done with some requests.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Rule {
    /// For reports.
    pub name: Option<Spanned<String>>,
    /// Which requests, any of these; none: all.
    pub matches: Vec<Match>,
    /// What is done to them.
    pub filters: Vec<Filter>,
    /// Where they go; none: to the parent.
    pub backend_refs: Vec<BackendRef>,
    /// How long they may take.
    pub timeouts: Option<Timeouts>,
    /// Gateway API retries.
    pub retry: Option<Present>,
    /// Gateway API session persistence.
    pub session_persistence: Option<Present>,
}

/// Which requests: all conditions at once.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Match {
    /// Path.
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
    /// How it is compared; none: by segments.
    pub r#type: Option<Spanned<PathType>>,
    /// With what; none: `/`.
    pub value: Option<Spanned<String>>,
}

/// How a path is compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
pub enum PathType {
    /// Equal.
    Exact,
    /// By segments.
    PathPrefix,
    /// The whole path matches.
    RegularExpression,
}

/// A header or query condition.
#[derive(Clone, Debug, Deserialize)]
pub struct NamedCondition {
    /// How it is compared; none: equal.
    #[serde(default)]
    pub r#type: Option<Spanned<ValueType>>,
    /// Name.
    pub name: Spanned<String>,
    /// With what.
    pub value: Spanned<String>,
}

/// How a value is compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
pub enum ValueType {
    /// Equal.
    Exact,
    /// The whole value matches.
    RegularExpression,
}

/// Something done to a request or its answer.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Filter {
    /// What.
    pub r#type: Spanned<String>,
    /// For `RequestHeaderModifier`.
    #[serde(default)]
    pub request_header_modifier: Option<HeaderModifier>,
    /// For `ResponseHeaderModifier`.
    #[serde(default)]
    pub response_header_modifier: Option<HeaderModifier>,
    /// For `RequestRedirect`.
    #[serde(default)]
    pub request_redirect: Option<RequestRedirect>,
    /// For `URLRewrite`, which Linkerd refuses.
    #[serde(default)]
    pub url_rewrite: Option<Present>,
    /// For `RequestMirror`, which Linkerd refuses.
    #[serde(default)]
    pub request_mirror: Option<Present>,
    /// For `ExtensionRef`, which Linkerd refuses.
    #[serde(default)]
    pub extension_ref: Option<Present>,
    /// For `CORS`, which Linkerd refuses.
    #[serde(default)]
    pub cors: Option<Present>,
}

/// Where requests go.
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
    /// What is done to its requests.
    #[serde(default)]
    pub filters: Vec<Filter>,
}

/// `ServiceProfile.spec`; its name is the Service's host name.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceProfile {
    /// In their order; the first that matches counts.
    pub routes: Vec<ProfileRoute>,
    /// What bounds retries.
    pub retry_budget: Option<Spanned<Budget>>,
    /// Where traffic goes instead.
    pub dst_overrides: Vec<WeightedDst>,
    /// Ports that are not looked into.
    pub opaque_ports: Vec<Spanned<String>>,
}

/// A route of a profile.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProfileRoute {
    /// For reports.
    pub name: Spanned<String>,
    /// Which requests.
    pub condition: ProfileMatch,
    /// Which answers are failures; none: 5xx.
    #[serde(default)]
    pub response_classes: Vec<ResponseClass>,
    /// Whether failures are tried again.
    #[serde(default)]
    pub is_retryable: Option<Spanned<bool>>,
    /// All tries together; none: no bound.
    #[serde(default)]
    pub timeout: Option<Spanned<String>>,
}

/// Which requests: what is written has to hold at once.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProfileMatch {
    /// The whole path matches.
    pub path_regex: Option<Spanned<String>>,
    /// Method.
    pub method: Option<Spanned<String>>,
    /// All of them.
    pub all: Vec<Self>,
    /// Any of them.
    pub any: Vec<Self>,
    /// Not this.
    pub not: Option<Box<Self>>,
}

/// What an answer is.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResponseClass {
    /// Which answers.
    pub condition: ResponseMatch,
    /// Whether they are failures.
    #[serde(default)]
    pub is_failure: Option<Spanned<bool>>,
}

/// Which answers: what is written has to hold at once.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ResponseMatch {
    /// By status.
    pub status: Option<StatusRange>,
    /// All of them.
    pub all: Vec<Self>,
    /// Any of them.
    pub any: Vec<Self>,
    /// Not this.
    pub not: Option<Box<Self>>,
}

/// Statuses from `min` to `max`, both included.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct StatusRange {
    /// Least; proxies drop a range without it.
    pub min: Option<Spanned<u16>>,
    /// Greatest; likewise.
    pub max: Option<Spanned<u16>>,
}

/// What bounds retries.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Budget {
    /// Retries for each request that is not one.
    pub retry_ratio: Spanned<f32>,
    /// Retries that are always allowed.
    pub min_retries_per_second: Spanned<u32>,
    /// How long a request counts.
    pub ttl: Spanned<String>,
}

/// Another destination.
#[derive(Clone, Debug, Deserialize)]
pub struct WeightedDst {
    /// `host:port`.
    pub authority: Spanned<String>,
    /// Share: a whole number, or with a `m` for thousandths.
    pub weight: ScalarOr<Present>,
}
