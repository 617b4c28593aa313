//! VirtualServices as people write them.
//!
//! Source: istio/api `networking/v1alpha3/virtual_service.proto`; `v1alpha3`, `v1beta1` and `v1` are one schema.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::text::{Present, Spanned};

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

/// `VirtualService.spec`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VirtualService {
    /// Whose requests; none: it is a delegate of others.
    pub hosts: Vec<Spanned<String>>,
    /// Who takes the routes; none: the sidecars (`mesh`).
    pub gateways: Vec<Spanned<String>>,
    /// Routes of requests; the first that matches counts.
    pub http: Vec<Spanned<HttpRoute>>,
    /// Routes of TLS connections that are not looked into.
    pub tls: Vec<Spanned<TlsRoute>>,
    /// Routes of other connections.
    pub tcp: Vec<Spanned<TcpRoute>>,
    /// Namespaces that see it; none: all.
    pub export_to: Vec<Spanned<String>>,
}

/// One of `http`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpRoute {
    /// For reports.
    pub name: Option<Spanned<String>>,
    /// Which requests, any of these; none: all.
    pub r#match: Vec<HttpMatch>,
    /// Where they go.
    pub route: Vec<HttpDestination>,
    /// Answers with another address.
    pub redirect: Option<Spanned<HttpRedirect>>,
    /// Answers at once.
    pub direct_response: Option<Spanned<HttpDirectResponse>>,
    /// Another VirtualService goes on.
    pub delegate: Option<Spanned<Delegate>>,
    /// Changes on the way.
    pub rewrite: Option<Spanned<HttpRewrite>>,
    /// All tries together; none: no bound.
    pub timeout: Option<Spanned<String>>,
    /// Further tries; none: the release's.
    pub retries: Option<Spanned<HttpRetry>>,
    /// Injected failures.
    pub fault: Option<Spanned<HttpFault>>,
    /// A copy of each request.
    pub mirror: Option<Destination>,
    /// Copies of each request.
    pub mirrors: Vec<MirrorPolicy>,
    /// Share of requests copied to `mirror`, in whole percent; deprecated.
    #[serde(alias = "mirror_percent")]
    pub mirror_percent: Option<Spanned<u32>>,
    /// Share of requests copied to `mirror`; none: all.
    pub mirror_percentage: Option<Percent>,
    /// Pages of other origins.
    pub cors_policy: Option<Spanned<CorsPolicy>>,
    /// Edits of heads.
    pub headers: Option<Headers>,
}

/// One condition of a route: all of it at once.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpMatch {
    /// For reports.
    pub name: Option<Spanned<String>>,
    /// Path.
    pub uri: Option<Spanned<StringMatch>>,
    /// Scheme.
    pub scheme: Option<Spanned<StringMatch>>,
    /// Method.
    pub method: Option<Spanned<StringMatch>>,
    /// Host.
    pub authority: Option<Spanned<StringMatch>>,
    /// Headers that must be as they say.
    pub headers: BTreeMap<Spanned<String>, Option<StringMatch>>,
    /// Headers that must not be as they say.
    pub without_headers: BTreeMap<Spanned<String>, Option<StringMatch>>,
    /// Query parameters.
    pub query_params: BTreeMap<Spanned<String>, Option<StringMatch>>,
    /// Whether exact and prefix comparisons of the path leave case aside.
    pub ignore_uri_case: Option<Spanned<bool>>,
    /// The port dialled.
    pub port: Option<Spanned<u16>>,
    /// Labels of the caller's pods; does not count where `gateways` is written.
    pub source_labels: BTreeMap<Spanned<String>, Spanned<String>>,
    /// Namespace of the caller; does not count where `gateways` is written.
    pub source_namespace: Option<Spanned<String>>,
    /// Which of the gateways take this condition; none: all.
    pub gateways: Vec<Spanned<String>>,
    /// For metrics.
    pub stat_prefix: Option<Present>,
}

/// How a text is compared: one of its fields; none: the header or parameter is there.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StringMatch {
    /// Equal.
    pub exact: Option<Spanned<String>>,
    /// Begins with.
    pub prefix: Option<Spanned<String>>,
    /// Matches as a whole (RE2).
    pub regex: Option<Spanned<String>>,
}

/// Where a share of requests goes.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpDestination {
    /// Where to.
    pub destination: Destination,
    /// Share, relative to the sum of all; does not count for a single one.
    #[serde(default)]
    pub weight: Option<Spanned<u32>>,
    /// Edits of heads.
    #[serde(default)]
    pub headers: Option<Headers>,
}

/// A host with subset and port.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Destination {
    /// Service or ServiceEntry; without a dot a Service of the namespace.
    pub host: Spanned<String>,
    /// A subset of its DestinationRule.
    #[serde(default)]
    pub subset: Option<Spanned<String>>,
    /// Its port; none: its only one, else the one dialled.
    #[serde(default)]
    pub port: Option<PortSelector>,
}

/// A port.
#[derive(Clone, Debug, Deserialize)]
pub struct PortSelector {
    /// Its number.
    pub number: Spanned<u16>,
}

/// An answer with another address.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpRedirect {
    /// Path; none: as asked.
    pub uri: Option<Spanned<String>>,
    /// Replaces what the path's condition matched, in the place of `uri`.
    pub prefix_rewrite: Option<Spanned<String>>,
    /// Host; none: as asked.
    pub authority: Option<Spanned<String>>,
    /// Port.
    pub port: Option<Spanned<u16>>,
    /// Where the port comes from, when `port` does not say.
    pub derive_port: Option<Spanned<DerivePort>>,
    /// Scheme; none: as asked.
    pub scheme: Option<Spanned<String>>,
    /// Status; none: 301.
    pub redirect_code: Option<Spanned<u16>>,
}

/// Where the port of a redirect comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
pub enum DerivePort {
    /// 80 or 443.
    #[serde(rename = "FROM_PROTOCOL_DEFAULT")]
    FromProtocolDefault,
    /// The one that was dialled.
    #[serde(rename = "FROM_REQUEST_PORT")]
    FromRequestPort,
}

/// An answer without an upstream.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct HttpDirectResponse {
    /// Status.
    pub status: Option<Spanned<u16>>,
    /// Body.
    pub body: Option<HttpBody>,
}

/// A body.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct HttpBody {
    /// As text.
    pub string: Option<Spanned<String>>,
    /// In base 64.
    pub bytes: Option<Spanned<String>>,
}

/// A VirtualService without hosts.
#[derive(Clone, Debug, Deserialize)]
pub struct Delegate {
    /// Its name.
    pub name: Spanned<String>,
    /// Its namespace; none: the same.
    #[serde(default)]
    pub namespace: Option<Spanned<String>>,
}

/// Changes on the way.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpRewrite {
    /// Replaces what the path's condition matched.
    pub uri: Option<Spanned<String>>,
    /// Replaces the host.
    pub authority: Option<Spanned<String>>,
    /// Replaces parts of the path.
    pub uri_regex_rewrite: Option<RegexRewrite>,
}

/// Replaces parts of a path.
#[derive(Clone, Debug, Deserialize)]
pub struct RegexRewrite {
    /// What is replaced (RE2).
    pub r#match: Spanned<String>,
    /// By what; `\1` stands for a group.
    pub rewrite: Spanned<String>,
}

/// Further tries.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpRetry {
    /// Tries after the first; 0, which is what it is unless written, turns retries off.
    pub attempts: Option<Spanned<i32>>,
    /// Bound of each try; none: none of its own.
    pub per_try_timeout: Option<Spanned<String>>,
    /// Conditions and statuses; none: the release's.
    pub retry_on: Option<Spanned<String>>,
    /// Whether other localities are tried.
    pub retry_remote_localities: Option<Spanned<bool>>,
    /// Whether endpoints already tried are avoided; none: yes, unless the destination is hashed.
    pub retry_ignore_previous_hosts: Option<Spanned<bool>>,
    /// First pause; none: 25 ms.
    pub backoff: Option<Spanned<String>>,
}

/// Which pages of other origins may read answers.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CorsPolicy {
    /// Origins that are allowed, any of these; none: nobody.
    pub allow_origins: Vec<Spanned<StringMatch>>,
    /// The same as whole texts, where `allow_origins` has none; deprecated.
    pub allow_origin: Vec<Spanned<String>>,
    /// What preflights are told of methods.
    pub allow_methods: Vec<Spanned<String>>,
    /// What preflights are told of request headers.
    pub allow_headers: Vec<Spanned<String>>,
    /// Response headers that pages may read.
    pub expose_headers: Vec<Spanned<String>>,
    /// For how long preflights hold, in whole seconds.
    pub max_age: Option<Spanned<String>>,
    /// Whether pages may send what tells their user.
    pub allow_credentials: Option<Spanned<bool>>,
    /// What becomes of preflights of other origins; none: they go upstream.
    pub unmatched_preflights: Option<Spanned<UnmatchedPreflights>>,
}

/// What becomes of preflights of origins that are not allowed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
pub enum UnmatchedPreflights {
    /// They go upstream.
    #[serde(rename = "UNSPECIFIED")]
    Unspecified,
    /// They go upstream.
    #[serde(rename = "FORWARD")]
    Forward,
    /// They are answered without anything that would allow them.
    #[serde(rename = "IGNORE")]
    Ignore,
}

/// Injected failures.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct HttpFault {
    /// A pause.
    pub delay: Option<Spanned<FaultDelay>>,
    /// An answer.
    pub abort: Option<Spanned<FaultAbort>>,
}

/// An injected pause.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FaultDelay {
    /// How long.
    pub fixed_delay: Option<Spanned<String>>,
    /// Reserved by Istio, without effect there.
    pub exponential_delay: Option<Present>,
    /// Share of requests; none: none of them.
    pub percentage: Option<Percent>,
    /// The same in whole percent; deprecated.
    pub percent: Option<Spanned<u32>>,
}

/// An injected answer.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FaultAbort {
    /// Status.
    pub http_status: Option<Spanned<u16>>,
    /// gRPC status by name.
    pub grpc_status: Option<Spanned<String>>,
    /// Reserved by Istio, without effect there.
    pub http2_error: Option<Present>,
    /// Share of requests; none: none of them.
    pub percentage: Option<Percent>,
}

/// A share.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Percent {
    /// Out of 100.
    pub value: Option<Spanned<f64>>,
}

/// A copy of requests.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct MirrorPolicy {
    /// Where to.
    pub destination: Option<Destination>,
    /// Share; none: all.
    pub percentage: Option<Percent>,
}

/// Edits of both heads.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Headers {
    /// Toward the upstream.
    pub request: Option<HeaderOperations>,
    /// Toward the client.
    pub response: Option<HeaderOperations>,
}

/// Edits of one head.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct HeaderOperations {
    /// Replaced or made.
    pub set: BTreeMap<Spanned<String>, Spanned<String>>,
    /// Put beside what is there.
    pub add: BTreeMap<Spanned<String>, Spanned<String>>,
    /// Taken out, before anything is put in.
    pub remove: Vec<Spanned<String>>,
}

/// One of `tls`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TlsRoute {
    /// Which connections, any of these; never empty.
    pub r#match: Vec<TlsMatch>,
    /// Where they go.
    pub route: Vec<L4Destination>,
}

/// A condition on a TLS connection.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TlsMatch {
    /// Server names asked for, any of these.
    pub sni_hosts: Vec<Spanned<String>>,
    /// Address blocks dialled, any of these.
    pub destination_subnets: Vec<Spanned<String>>,
    /// The port dialled.
    pub port: Option<Spanned<u16>>,
    /// Labels of the caller's pods.
    pub source_labels: BTreeMap<Spanned<String>, Spanned<String>>,
    /// Namespace of the caller.
    pub source_namespace: Option<Spanned<String>>,
    /// Which of the gateways take this condition; none: all.
    pub gateways: Vec<Spanned<String>>,
}

/// One of `tcp`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TcpRoute {
    /// Which connections, any of these; none: all.
    pub r#match: Vec<L4Match>,
    /// Where they go.
    pub route: Vec<L4Destination>,
}

/// A condition on a connection.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct L4Match {
    /// Address blocks dialled, any of these.
    pub destination_subnets: Vec<Spanned<String>>,
    /// The port dialled.
    pub port: Option<Spanned<u16>>,
    /// Address block of the caller; Istio does not read it.
    pub source_subnet: Option<Present>,
    /// Labels of the caller's pods.
    pub source_labels: BTreeMap<Spanned<String>, Spanned<String>>,
    /// Namespace of the caller.
    pub source_namespace: Option<Spanned<String>>,
    /// Which of the gateways take this condition; none: all.
    pub gateways: Vec<Spanned<String>>,
}

/// Where a share of connections goes.
#[derive(Clone, Debug, Deserialize)]
pub struct L4Destination {
    /// Where to.
    pub destination: Destination,
    /// Share, relative to the sum of all; does not count for a single one.
    #[serde(default)]
    pub weight: Option<Spanned<u32>>,
}
