//! Routes.

use serde::Deserialize;

use super::super::values::Number;
use super::{TargetRef, Written};
use crate::gateway_api::types::HeaderModifier;
use crate::text::{Present, Spanned};

/// `MeshHTTPRoute.spec`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpRoute {
    /// Whose requests; none: all.
    pub target_ref: Option<TargetRef>,
    /// By where they are meant for.
    pub to: Option<Vec<HttpRouteTo>>,
}

/// Routes of a destination.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpRouteTo {
    /// The destination.
    pub target_ref: TargetRef,
    /// Hosts, of built-in gateways.
    #[serde(default)]
    pub hostnames: Option<Present>,
    /// Rules.
    #[serde(default)]
    pub rules: Vec<HttpRule>,
}

/// What is done with some requests.
#[derive(Clone, Debug, Deserialize)]
pub struct HttpRule {
    /// Any of these.
    pub matches: Spanned<Vec<HttpMatch>>,
    /// What is done.
    #[serde(default)]
    pub default: HttpRuleConf,
}

/// Which requests: all conditions at once.
#[derive(Clone, PartialEq, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpMatch {
    /// Path; none: any.
    pub path: Option<PathCondition>,
    /// Method; none: any.
    pub method: Option<Spanned<String>>,
    /// Query parameters.
    pub query_params: Option<Vec<ParamMatch>>,
    /// Headers.
    pub headers: Option<Vec<HeaderMatch>>,
}

/// A path condition.
#[derive(Clone, PartialEq, Debug, Deserialize)]
pub struct PathCondition {
    /// With what.
    pub value: Spanned<String>,
    /// How.
    pub r#type: Spanned<PathType>,
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

/// A query condition.
#[derive(Clone, PartialEq, Debug, Deserialize)]
pub struct ParamMatch {
    /// How.
    pub r#type: Spanned<ValueType>,
    /// Name.
    pub name: Spanned<String>,
    /// With what.
    pub value: Spanned<String>,
}

/// How a parameter is compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
pub enum ValueType {
    /// Equal.
    Exact,
    /// The whole value matches.
    RegularExpression,
}

/// A header condition.
#[derive(Clone, PartialEq, Debug, Deserialize)]
pub struct HeaderMatch {
    /// How; none: equal.
    #[serde(default)]
    pub r#type: Option<Spanned<HeaderMatchType>>,
    /// Name.
    pub name: Spanned<String>,
    /// With what.
    #[serde(default)]
    pub value: Option<Spanned<String>>,
}

/// How a header is compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
pub enum HeaderMatchType {
    /// Equal.
    Exact,
    /// It is there.
    Present,
    /// The whole value matches.
    RegularExpression,
    /// It is not there.
    Absent,
    /// Begins with.
    Prefix,
}

/// What is done.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpRuleConf {
    /// To requests and their answers.
    pub filters: Option<Vec<Filter>>,
    /// Where requests go; none: to the destination itself.
    pub backend_refs: Option<Vec<BackendRef>>,
}

/// Something done to a request or its answer.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Filter {
    /// What.
    pub r#type: Spanned<FilterType>,
    /// For `RequestHeaderModifier`.
    #[serde(default)]
    pub request_header_modifier: Option<HeaderModifier>,
    /// For `ResponseHeaderModifier`.
    #[serde(default)]
    pub response_header_modifier: Option<HeaderModifier>,
    /// For `RequestRedirect`.
    #[serde(default)]
    pub request_redirect: Option<Redirect>,
    /// For `URLRewrite`.
    #[serde(default)]
    pub url_rewrite: Option<UrlRewrite>,
    /// For `RequestMirror`.
    #[serde(default)]
    pub request_mirror: Option<Mirror>,
}

/// What a filter does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
pub enum FilterType {
    /// Edits of requests.
    RequestHeaderModifier,
    /// Edits of answers.
    ResponseHeaderModifier,
    /// Answers with another address.
    RequestRedirect,
    /// Another path or host.
    #[serde(rename = "URLRewrite")]
    UrlRewrite,
    /// Copies.
    RequestMirror,
}

/// An answer with another address.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Redirect {
    /// Scheme; none: as asked.
    pub scheme: Option<Spanned<String>>,
    /// Host; none: as asked.
    pub hostname: Option<Spanned<String>>,
    /// Path; none: as asked.
    pub path: Option<PathRewrite>,
    /// Port; none: as asked.
    pub port: Option<Spanned<u16>>,
    /// Status; none: 302.
    pub status_code: Option<Spanned<u16>>,
}

/// Another path.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PathRewrite {
    /// How.
    pub r#type: Spanned<PathRewriteType>,
    /// The whole path.
    #[serde(default)]
    pub replace_full_path: Option<Spanned<String>>,
    /// In the place of what the rule's path matched.
    #[serde(default)]
    pub replace_prefix_match: Option<Spanned<String>>,
}

/// How a path is replaced.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
pub enum PathRewriteType {
    /// All of it.
    ReplaceFullPath,
    /// What the rule's path matched.
    ReplacePrefixMatch,
}

/// Another path or host.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UrlRewrite {
    /// Host; none: as asked.
    pub hostname: Option<Spanned<String>>,
    /// Path; none: as asked.
    pub path: Option<PathRewrite>,
    /// For built-in gateways.
    pub host_to_backend_hostname: Option<Present>,
}

/// Copies.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mirror {
    /// Share; none: all.
    #[serde(default)]
    pub percentage: Option<Spanned<Number>>,
    /// Where they go.
    pub backend_ref: BackendRef,
}

/// Where a share goes.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackendRef {
    /// To what.
    pub kind: Spanned<super::RefKind>,
    /// Name.
    #[serde(default)]
    pub name: Option<Spanned<String>>,
    /// Namespace; none: the route's own.
    #[serde(default)]
    pub namespace: Option<Spanned<String>>,
    /// Labels that are asked for.
    #[serde(default)]
    pub labels: Option<Written>,
    /// Tags that are asked for (2.x).
    #[serde(default)]
    pub tags: Option<Written>,
    /// Reserved.
    #[serde(default)]
    pub mesh: Option<Spanned<String>>,
    /// A port, by name.
    #[serde(default)]
    pub section_name: Option<Spanned<String>>,
    /// A port, by number.
    #[serde(default)]
    pub port: Option<Spanned<u16>>,
    /// Share; none: 1.
    #[serde(default)]
    pub weight: Option<Spanned<u32>>,
}

/// `MeshTCPRoute.spec`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TcpRoute {
    /// Whose connections; none: all.
    pub target_ref: Option<TargetRef>,
    /// By where they are meant for.
    pub to: Option<Vec<TcpRouteTo>>,
}

/// Where connections to a destination go.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TcpRouteTo {
    /// The destination.
    pub target_ref: TargetRef,
    /// One rule.
    #[serde(default)]
    pub rules: Vec<TcpRule>,
}

/// Where connections go.
#[derive(Clone, Debug, Deserialize)]
pub struct TcpRule {
    /// Where.
    pub default: TcpRuleConf,
}

/// Where connections go.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TcpRuleConf {
    /// Shares.
    pub backend_refs: Option<Vec<BackendRef>>,
}
