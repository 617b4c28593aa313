//! Middleware and MiddlewareTCP.

use serde::Deserialize;

use super::services::{ServiceRef, Texts};
use super::{Reference, Scalar};
use crate::text::{Node, Present, Spanned};

/// `Middleware.spec`: one of its fields.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Middleware {
    /// Puts a prefix before the path.
    pub add_prefix: Option<Spanned<AddPrefix>>,
    /// Takes a prefix off the path.
    pub strip_prefix: Option<Spanned<StripPrefix>>,
    /// Takes what a pattern matches off the start of the path.
    pub strip_prefix_regex: Option<Spanned<StripPrefixRegex>>,
    /// Another path.
    pub replace_path: Option<Spanned<ReplacePath>>,
    /// Another path by a pattern.
    pub replace_path_regex: Option<Spanned<ReplacePathRegex>>,
    /// Others, in their order.
    pub chain: Option<Spanned<Chain>>,
    /// The older name of `ipAllowList`.
    pub ip_white_list: Option<Spanned<IpAllowList>>,
    /// Refuses other clients.
    pub ip_allow_list: Option<Spanned<IpAllowList>>,
    /// Headers, CORS and what browsers are told.
    pub headers: Option<Spanned<Headers>>,
    /// Refuses paths with some escapes.
    pub encoded_characters: Option<Present>,
    /// Other answers in the place of failures.
    pub errors: Option<Spanned<Errors>>,
    /// So many requests in a time.
    pub rate_limit: Option<Spanned<RateLimit>>,
    /// A redirect by a pattern.
    pub redirect_regex: Option<Spanned<RedirectRegex>>,
    /// A redirect to another scheme.
    pub redirect_scheme: Option<Spanned<RedirectScheme>>,
    /// Users by password.
    pub basic_auth: Option<Spanned<Node>>,
    /// Users by password, not sent.
    pub digest_auth: Option<Spanned<Node>>,
    /// Users as another service has it.
    pub forward_auth: Option<Spanned<Node>>,
    /// So many requests at once.
    pub in_flight_req: Option<Spanned<InFlightReq>>,
    /// Whole requests and answers, no longer than so.
    pub buffering: Option<Spanned<Buffering>>,
    /// Refuses everything for a while.
    pub circuit_breaker: Option<Spanned<CircuitBreaker>>,
    /// Smaller answers.
    pub compress: Option<Present>,
    /// Who the client is by its certificate.
    #[serde(rename = "passTLSClientCert")]
    pub pass_tls_client_cert: Option<Present>,
    /// Tries again.
    pub retry: Option<Spanned<Retry>>,
    /// Content types where there are none.
    pub content_type: Option<Present>,
    /// gRPC for browsers.
    pub grpc_web: Option<Present>,
    /// Somebody's own.
    pub plugin: Option<Present>,
}

/// Puts a prefix before the path.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct AddPrefix {
    /// The prefix.
    pub prefix: Option<Spanned<String>>,
}

/// Takes a prefix off the path.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StripPrefix {
    /// The first that the path has.
    pub prefixes: Vec<Spanned<String>>,
    /// Deprecated: a slash more or less.
    pub force_slash: Option<Present>,
}

/// Takes what a pattern matches off the start of the path.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct StripPrefixRegex {
    /// The first that matches.
    pub regex: Vec<Spanned<String>>,
}

/// Another path.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ReplacePath {
    /// The path.
    pub path: Option<Spanned<String>>,
}

/// Another path by a pattern.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ReplacePathRegex {
    /// The pattern.
    pub regex: Option<Spanned<String>>,
    /// What its matches become.
    pub replacement: Option<Spanned<String>>,
}

/// Others, in their order.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Chain {
    /// Which.
    pub middlewares: Vec<Reference>,
}

/// Refuses other clients.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IpAllowList {
    /// Addresses and blocks of them.
    pub source_range: Vec<Spanned<String>>,
    /// Who the client is.
    pub ip_strategy: Option<Spanned<IpStrategy>>,
    /// The status of refusals; none: 403.
    pub reject_status_code: Option<Spanned<u16>>,
}

/// Who the client is.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IpStrategy {
    /// The entry of `X-Forwarded-For`, from the right.
    pub depth: Option<Spanned<u32>>,
    /// The rightmost entry of `X-Forwarded-For` that is none of these.
    #[serde(rename = "excludedIPs")]
    pub excluded_ips: Vec<Spanned<String>>,
    /// Bits of addresses of version 6 that count.
    #[serde(rename = "ipv6Subnet")]
    pub ipv6_subnet: Option<Spanned<u8>>,
}

/// By what requests are told apart.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SourceCriterion {
    /// The client.
    pub ip_strategy: Option<Spanned<IpStrategy>>,
    /// A header.
    pub request_header_name: Option<Spanned<String>>,
    /// The host.
    pub request_host: Option<Spanned<bool>>,
}

/// So many requests in a time.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RateLimit {
    /// So many; none or 0: any number.
    pub average: Option<Spanned<u64>>,
    /// In this time; none: 1 s.
    pub period: Option<Scalar>,
    /// At once; none: 1.
    pub burst: Option<Spanned<u64>>,
    /// By what requests are told apart; none: by client.
    pub source_criterion: Option<Spanned<SourceCriterion>>,
    /// Shared by all Traefiks.
    pub redis: Option<Spanned<Node>>,
}

/// So many requests at once.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct InFlightReq {
    /// So many.
    pub amount: Option<Spanned<u32>>,
    /// By what requests are told apart; none: by host.
    pub source_criterion: Option<Spanned<SourceCriterion>>,
}

/// Refuses everything for a while.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CircuitBreaker {
    /// When.
    pub expression: Option<Spanned<String>>,
    /// How often it is looked at; none: 100 ms.
    pub check_period: Option<Scalar>,
    /// For how long; none: 10 s.
    pub fallback_duration: Option<Scalar>,
    /// For how long it then lets some pass; none: 10 s.
    pub recovery_duration: Option<Scalar>,
    /// The status of refusals; none: 503.
    pub response_code: Option<Spanned<u16>>,
}

/// Tries again.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Retry {
    /// All tries, the first among them.
    pub attempts: Option<Spanned<u32>>,
    /// No new try after this long; none: always.
    pub timeout: Option<Scalar>,
    /// The first pause; none: none at all.
    pub initial_interval: Option<Scalar>,
    /// Longer requests are not tried again for their status; none: 2 MiB.
    pub max_request_body_bytes: Option<Spanned<i64>>,
    /// Statuses that are tried again.
    pub status: Vec<Spanned<String>>,
    /// Whether failures before anything was sent are not tried again.
    pub disable_retry_on_network_error: Option<Spanned<bool>>,
    /// Whether POST, PATCH and LOCK are tried again for their status.
    pub retry_non_idempotent_method: Option<Spanned<bool>>,
}

/// Whole requests and answers, no longer than so.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Buffering {
    /// Longer requests are refused with 413.
    pub max_request_body_bytes: Option<Spanned<i64>>,
    /// Longer ones are kept on disk.
    pub mem_request_body_bytes: Option<Present>,
    /// Longer answers become a 500.
    pub max_response_body_bytes: Option<Spanned<i64>>,
    /// Longer ones are kept on disk.
    pub mem_response_body_bytes: Option<Present>,
    /// When a request is tried again.
    pub retry_expression: Option<Spanned<String>>,
}

/// A redirect by a pattern.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct RedirectRegex {
    /// The pattern, over the whole URL.
    pub regex: Option<Spanned<String>>,
    /// What its matches become.
    pub replacement: Option<Spanned<String>>,
    /// Whether for good.
    pub permanent: Option<Spanned<bool>>,
}

/// A redirect to another scheme.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct RedirectScheme {
    /// The scheme.
    pub scheme: Option<Spanned<String>>,
    /// The port.
    pub port: Option<Scalar>,
    /// Whether for good.
    pub permanent: Option<Spanned<bool>>,
}

/// Other answers in the place of failures.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Errors {
    /// Of which answers.
    pub status: Vec<Spanned<String>>,
    /// Statuses that become others.
    pub status_rewrites: Option<Present>,
    /// Who makes the other answers.
    pub service: Option<Spanned<ServiceRef>>,
    /// What it is asked for.
    pub query: Option<Spanned<String>>,
    /// Headers that it is sent.
    pub error_request_headers: Option<Present>,
}

/// Headers, CORS and what browsers are told.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Headers {
    /// Of requests; an empty value takes a header away.
    pub custom_request_headers: Texts,
    /// Of answers; an empty value takes a header away.
    pub custom_response_headers: Texts,
    /// Pages may send what tells their user.
    pub access_control_allow_credentials: Option<Spanned<bool>>,
    /// Request headers of pages.
    pub access_control_allow_headers: Vec<Spanned<String>>,
    /// Methods of pages.
    pub access_control_allow_methods: Vec<Spanned<String>>,
    /// Origins of pages.
    pub access_control_allow_origin_list: Vec<Spanned<String>>,
    /// Patterns of origins of pages.
    pub access_control_allow_origin_list_regex: Vec<Spanned<String>>,
    /// Headers of answers that pages see.
    pub access_control_expose_headers: Vec<Spanned<String>>,
    /// Seconds that preflights hold.
    pub access_control_max_age: Option<Spanned<i64>>,
    /// `Vary: Origin`.
    pub add_vary_header: Option<Spanned<bool>>,
    /// Other hosts are answered 500.
    pub allowed_hosts: Vec<Spanned<String>>,
    /// Headers that may name the host.
    pub hosts_proxy_headers: Option<Present>,
    /// Headers that say that TLS has ended before.
    pub ssl_proxy_headers: Option<Present>,
    /// `Strict-Transport-Security`.
    pub sts_seconds: Option<Spanned<u64>>,
    /// `includeSubDomains`.
    pub sts_include_subdomains: Option<Spanned<bool>>,
    /// `preload`.
    pub sts_preload: Option<Spanned<bool>>,
    /// Over plaintext, too.
    #[serde(rename = "forceSTSHeader")]
    pub force_sts_header: Option<Spanned<bool>>,
    /// `X-Frame-Options: DENY`.
    pub frame_deny: Option<Spanned<bool>>,
    /// `X-Frame-Options`.
    pub custom_frame_options_value: Option<Spanned<String>>,
    /// `X-Content-Type-Options: nosniff`.
    pub content_type_nosniff: Option<Spanned<bool>>,
    /// `X-XSS-Protection: 1; mode=block`.
    pub browser_xss_filter: Option<Spanned<bool>>,
    /// `X-XSS-Protection`.
    #[serde(rename = "customBrowserXSSValue")]
    pub custom_browser_xss_value: Option<Spanned<String>>,
    /// `Content-Security-Policy`.
    pub content_security_policy: Option<Spanned<String>>,
    /// `Content-Security-Policy-Report-Only`.
    pub content_security_policy_report_only: Option<Spanned<String>>,
    /// `Public-Key-Pins`.
    pub public_key: Option<Spanned<String>>,
    /// `Referrer-Policy`.
    pub referrer_policy: Option<Spanned<String>>,
    /// `Permissions-Policy`.
    pub permissions_policy: Option<Spanned<String>>,
    /// Turns what concerns hosts and TLS off.
    pub is_development: Option<Spanned<bool>>,
    /// Gone with release 3.
    pub feature_policy: Option<Present>,
    /// Gone with release 3.
    pub ssl_redirect: Option<Present>,
    /// Gone with release 3.
    pub ssl_temporary_redirect: Option<Present>,
    /// Gone with release 3.
    pub ssl_host: Option<Present>,
    /// Gone with release 3.
    pub ssl_force_host: Option<Present>,
}

/// `MiddlewareTCP.spec`: one of its fields.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MiddlewareTcp {
    /// So many connections of a client at once.
    pub in_flight_conn: Option<Spanned<InFlightConn>>,
    /// The older name of `ipAllowList`.
    pub ip_white_list: Option<Spanned<IpAllowListTcp>>,
    /// Refuses other clients.
    pub ip_allow_list: Option<Spanned<IpAllowListTcp>>,
}

/// So many connections of a client at once.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub struct InFlightConn {
    /// So many.
    pub amount: Option<Spanned<u64>>,
}

/// Refuses other clients.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IpAllowListTcp {
    /// Addresses and blocks of them.
    pub source_range: Vec<Spanned<String>>,
}
