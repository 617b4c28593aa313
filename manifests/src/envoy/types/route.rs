//! Route tables, virtual hosts and routes.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::super::read::{Message, Others};
use super::super::values::{Fraction, Length, Runtime, Whole};
use super::{
    DataSource, Extension, Metadata, NO_BEARING, RegexMatcher, RegexSubstitute, StringMatcher,
};
use crate::text::{Node, Present, Spanned};

/// Settings of filters by the filter's name.
pub(in super::super) type PerFilter = BTreeMap<Spanned<String>, Node>;

/// `config.route.v3.RouteConfiguration`.
#[derive(Debug, Deserialize)]
pub(in super::super) struct RouteConfiguration {
    pub(in super::super) name: Option<String>,
    #[serde(default)]
    pub(in super::super) virtual_hosts: Vec<Node>,
    #[serde(default)]
    pub(in super::super) request_headers_to_add: Vec<Spanned<HeaderValueOption>>,
    #[serde(default)]
    pub(in super::super) request_headers_to_remove: Vec<Spanned<String>>,
    #[serde(default)]
    pub(in super::super) response_headers_to_add: Vec<Spanned<HeaderValueOption>>,
    #[serde(default)]
    pub(in super::super) response_headers_to_remove: Vec<Spanned<String>>,
    #[serde(default)]
    pub(in super::super) internal_only_headers: Vec<String>,
    #[serde(default)]
    pub(in super::super) most_specific_header_mutations_wins: bool,
    pub(in super::super) validate_clusters: Option<bool>,
    #[serde(default)]
    pub(in super::super) request_mirror_policies: Vec<Node>,
    #[serde(default)]
    pub(in super::super) ignore_port_in_host_matching: bool,
    pub(in super::super) max_direct_response_body_size_bytes: Option<Whole<u32>>,
    #[serde(default)]
    pub(in super::super) typed_per_filter_config: PerFilter,
}

impl Message for RouteConfiguration {
    const OTHERS: Others = &[
        (
            "nothing is fetched: what stands in the file is all there is",
            &["vhds", "cluster_specifier_plugins"],
        ),
        (
            "the virtual host is found by the authority",
            &["vhost_header"],
        ),
        (
            "parameters are part of the path",
            &["ignore_path_parameters_in_path_matching"],
        ),
        (NO_BEARING, &["metadata"]),
    ];
}

/// `config.route.v3.VirtualHost`.
#[derive(Debug, Deserialize)]
pub(in super::super) struct VirtualHost {
    pub(in super::super) name: Option<String>,
    #[serde(default)]
    pub(in super::super) domains: Vec<Spanned<String>>,
    #[serde(default)]
    pub(in super::super) routes: Vec<Node>,
    pub(in super::super) require_tls: Option<Spanned<RequireTls>>,
    #[serde(default)]
    pub(in super::super) request_headers_to_add: Vec<Spanned<HeaderValueOption>>,
    #[serde(default)]
    pub(in super::super) request_headers_to_remove: Vec<Spanned<String>>,
    #[serde(default)]
    pub(in super::super) response_headers_to_add: Vec<Spanned<HeaderValueOption>>,
    #[serde(default)]
    pub(in super::super) response_headers_to_remove: Vec<Spanned<String>>,
    #[serde(default)]
    pub(in super::super) typed_per_filter_config: PerFilter,
    #[serde(default)]
    pub(in super::super) include_request_attempt_count: bool,
    #[serde(default)]
    pub(in super::super) include_attempt_count_in_response: bool,
    pub(in super::super) retry_policy: Option<Node>,
    pub(in super::super) hedge_policy: Option<Node>,
    #[serde(default)]
    pub(in super::super) request_mirror_policies: Vec<Node>,
    pub(in super::super) cors: Option<Node>,
}

impl Message for VirtualHost {
    const OTHERS: Others = &[
        ("the virtual host has its `routes` alone", &["matcher"]),
        ("no rate limit service is asked", &["rate_limits"]),
        (
            "routes without a policy of their own do not retry by it",
            &["retry_policy_typed_config"],
        ),
        (
            "the header is not written, and nothing here goes by it",
            &["include_is_timeout_retry_header"],
        ),
        (
            "as many bytes are kept for a retry as the connection's buffer takes",
            &[
                "per_request_buffer_limit_bytes",
                "request_body_buffer_limit",
            ],
        ),
        (NO_BEARING, &["virtual_clusters", "metadata"]),
    ];
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(in super::super) enum RequireTls {
    None,
    ExternalOnly,
    All,
}

/// `config.route.v3.Route`.
#[derive(Debug, Deserialize)]
pub(in super::super) struct Route {
    pub(in super::super) name: Option<String>,
    #[serde(rename = "match")]
    pub(in super::super) matches: Option<Node>,
    pub(in super::super) route: Option<Node>,
    pub(in super::super) redirect: Option<Spanned<RedirectAction>>,
    pub(in super::super) direct_response: Option<Spanned<DirectResponse>>,
    pub(in super::super) filter_action: Option<Present>,
    pub(in super::super) non_forwarding_action: Option<Present>,
    #[serde(default)]
    pub(in super::super) typed_per_filter_config: PerFilter,
    #[serde(default)]
    pub(in super::super) request_headers_to_add: Vec<Spanned<HeaderValueOption>>,
    #[serde(default)]
    pub(in super::super) request_headers_to_remove: Vec<Spanned<String>>,
    #[serde(default)]
    pub(in super::super) response_headers_to_add: Vec<Spanned<HeaderValueOption>>,
    #[serde(default)]
    pub(in super::super) response_headers_to_remove: Vec<Spanned<String>>,
    pub(in super::super) tracing: Option<Node>,
    pub(in super::super) decorator: Option<super::Decorator>,
}

impl Message for Route {
    const OTHERS: Others = &[
        (
            "as many bytes are kept for a retry as the connection's buffer takes",
            &[
                "per_request_buffer_limit_bytes",
                "request_body_buffer_limit",
            ],
        ),
        (NO_BEARING, &["metadata", "stat_prefix"]),
    ];
}

/// `config.route.v3.RouteMatch`.
#[derive(Debug, Deserialize)]
pub(in super::super) struct RouteMatch {
    pub(in super::super) prefix: Option<String>,
    pub(in super::super) path: Option<String>,
    pub(in super::super) safe_regex: Option<RegexMatcher>,
    pub(in super::super) path_separated_prefix: Option<Spanned<String>>,
    pub(in super::super) connect_matcher: Option<Present>,
    pub(in super::super) path_match_policy: Option<Present>,
    pub(in super::super) case_sensitive: Option<bool>,
    pub(in super::super) runtime_fraction: Option<Runtime<Fraction>>,
    #[serde(default)]
    pub(in super::super) headers: Vec<Spanned<HeaderMatcher>>,
    #[serde(default)]
    pub(in super::super) query_parameters: Vec<Spanned<ParamMatcher>>,
    pub(in super::super) grpc: Option<Present>,
    pub(in super::super) cookies: Option<Present>,
    pub(in super::super) tls_context: Option<Present>,
    pub(in super::super) dynamic_metadata: Option<Present>,
    pub(in super::super) filter_state: Option<Present>,
}

/// `config.route.v3.HeaderMatcher`.
#[derive(Clone, Debug, Deserialize)]
pub(in super::super) struct HeaderMatcher {
    pub(in super::super) name: String,
    pub(in super::super) exact_match: Option<String>,
    pub(in super::super) safe_regex_match: Option<RegexMatcher>,
    pub(in super::super) range_match: Option<Int64Range>,
    pub(in super::super) present_match: Option<bool>,
    pub(in super::super) prefix_match: Option<String>,
    pub(in super::super) suffix_match: Option<String>,
    pub(in super::super) contains_match: Option<String>,
    pub(in super::super) string_match: Option<StringMatcher>,
    #[serde(default)]
    pub(in super::super) invert_match: bool,
    #[serde(default)]
    pub(in super::super) treat_missing_header_as_empty: bool,
}

/// `type.v3.Int64Range`.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(in super::super) struct Int64Range {
    #[serde(default)]
    pub(in super::super) start: i64,
    #[serde(default)]
    pub(in super::super) end: i64,
}

/// `config.route.v3.QueryParameterMatcher`.
#[derive(Clone, Debug, Deserialize)]
pub(in super::super) struct ParamMatcher {
    pub(in super::super) name: String,
    pub(in super::super) string_match: Option<StringMatcher>,
    pub(in super::super) present_match: Option<bool>,
}

/// `config.core.v3.HeaderValueOption`.
#[derive(Clone, Debug, Deserialize)]
pub(in super::super) struct HeaderValueOption {
    pub(in super::super) header: HeaderValue,
    pub(in super::super) append: Option<bool>,
    pub(in super::super) append_action: Option<AppendAction>,
    #[serde(default)]
    pub(in super::super) keep_empty_value: bool,
}

#[derive(Clone, Debug, Deserialize)]
pub(in super::super) struct HeaderValue {
    pub(in super::super) key: Spanned<String>,
    pub(in super::super) value: Option<Spanned<String>>,
    pub(in super::super) raw_value: Option<Present>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(in super::super) enum AppendAction {
    AppendIfExistsOrAdd,
    AddIfAbsent,
    OverwriteIfExistsOrAdd,
    OverwriteIfExists,
}

/// `config.route.v3.RouteAction`.
#[derive(Debug, Deserialize)]
pub(in super::super) struct RouteAction {
    pub(in super::super) cluster: Option<Spanned<String>>,
    pub(in super::super) cluster_header: Option<Spanned<String>>,
    pub(in super::super) weighted_clusters: Option<WeightedClusters>,
    pub(in super::super) cluster_specifier_plugin: Option<Present>,
    pub(in super::super) inline_cluster_specifier_plugin: Option<Present>,
    pub(in super::super) cluster_not_found_response_code: Option<ClusterNotFound>,
    pub(in super::super) metadata_match: Option<Metadata>,
    pub(in super::super) prefix_rewrite: Option<Spanned<String>>,
    pub(in super::super) regex_rewrite: Option<RegexSubstitute>,
    pub(in super::super) host_rewrite_literal: Option<String>,
    pub(in super::super) auto_host_rewrite: Option<bool>,
    pub(in super::super) host_rewrite_header: Option<String>,
    #[serde(default)]
    pub(in super::super) append_x_forwarded_host: bool,
    pub(in super::super) timeout: Option<Spanned<Length>>,
    pub(in super::super) idle_timeout: Option<Spanned<Length>>,
    pub(in super::super) retry_policy: Option<Node>,
    #[serde(default)]
    pub(in super::super) request_mirror_policies: Vec<Node>,
    #[serde(default)]
    pub(in super::super) priority: RoutingPriority,
    #[serde(default)]
    pub(in super::super) hash_policy: Vec<Spanned<HashPolicy>>,
    pub(in super::super) max_grpc_timeout: Option<Spanned<Length>>,
    pub(in super::super) hedge_policy: Option<Node>,
    pub(in super::super) max_stream_duration: Option<MaxStreamDuration>,
    #[serde(default)]
    pub(in super::super) upgrade_configs: Vec<Spanned<RouteUpgrade>>,
    /// Read with the filters of its route.
    #[serde(rename = "cors")]
    _cors: Option<Present>,
}

/// `config.route.v3.RouteAction.UpgradeConfig`.
#[derive(Clone, Debug, Deserialize)]
pub(in super::super) struct RouteUpgrade {
    #[serde(default)]
    pub(in super::super) upgrade_type: String,
    pub(in super::super) enabled: Option<bool>,
    pub(in super::super) connect_config: Option<Spanned<ConnectConfig>>,
}

/// `config.route.v3.RouteAction.UpgradeConfig.ConnectConfig`.
#[derive(Clone, Debug, Deserialize)]
pub(in super::super) struct ConnectConfig {
    pub(in super::super) proxy_protocol_config: Option<Present>,
    pub(in super::super) allow_post: Option<Spanned<bool>>,
}

impl Message for RouteAction {
    const OTHERS: Others = &[
        (
            "the path stays as it is",
            &["path_rewrite_policy", "path_rewrite"],
        ),
        (
            "the authority stays as it is",
            &["host_rewrite_path_regex", "host_rewrite"],
        ),
        (
            "a response that nobody reads is not timed",
            &["flush_timeout"],
        ),
        ("no request is early data", &["early_data_policy"]),
        (
            "the route does not retry by it",
            &["retry_policy_typed_config"],
        ),
        (
            "no rate limit service is asked",
            &["rate_limits", "include_vh_rate_limits"],
        ),
        ("`grpc-timeout` counts in full", &["grpc_timeout_offset"]),
        (
            "redirects go to the client",
            &[
                "internal_redirect_policy",
                "internal_redirect_action",
                "max_internal_redirects",
            ],
        ),
    ];
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(in super::super) enum ClusterNotFound {
    ServiceUnavailable,
    NotFound,
    InternalServerError,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(in super::super) enum RoutingPriority {
    #[default]
    Default,
    High,
}

/// `config.route.v3.WeightedCluster`.
#[derive(Debug, Deserialize)]
pub(in super::super) struct WeightedClusters {
    pub(in super::super) clusters: Vec<Node>,
    #[serde(rename = "total_weight")]
    _total_weight: Option<Present>,
    #[serde(rename = "runtime_key_prefix")]
    _runtime_key_prefix: Option<Present>,
    pub(in super::super) header_name: Option<Present>,
    pub(in super::super) use_hash_policy: Option<Present>,
}

/// `WeightedCluster.ClusterWeight`.
#[derive(Debug, Deserialize)]
pub(in super::super) struct ClusterWeight {
    pub(in super::super) name: Option<Spanned<String>>,
    pub(in super::super) cluster_header: Option<Spanned<String>>,
    pub(in super::super) weight: Option<Whole<u32>>,
    #[serde(default)]
    pub(in super::super) request_headers_to_add: Vec<Spanned<HeaderValueOption>>,
    #[serde(default)]
    pub(in super::super) request_headers_to_remove: Vec<Spanned<String>>,
    #[serde(default)]
    pub(in super::super) response_headers_to_add: Vec<Spanned<HeaderValueOption>>,
    #[serde(default)]
    pub(in super::super) response_headers_to_remove: Vec<Spanned<String>>,
}

impl Message for ClusterWeight {
    const OTHERS: Others = &[
        ("any endpoint may be taken", &["metadata_match"]),
        (
            "the filters go by what the route says",
            &["typed_per_filter_config"],
        ),
        ("the authority stays as it is", &["host_rewrite_literal"]),
    ];
}

/// `RouteAction.HashPolicy`.
#[derive(Clone, Debug, Deserialize)]
pub(in super::super) struct HashPolicy {
    pub(in super::super) header: Option<HashHeader>,
    pub(in super::super) cookie: Option<HashCookie>,
    pub(in super::super) connection_properties: Option<ConnectionProperties>,
    pub(in super::super) query_parameter: Option<Named>,
    pub(in super::super) filter_state: Option<Present>,
    #[serde(default)]
    pub(in super::super) terminal: bool,
}

#[derive(Clone, Debug, Deserialize)]
pub(in super::super) struct HashHeader {
    pub(in super::super) header_name: String,
    pub(in super::super) regex_rewrite: Option<Present>,
}

#[derive(Clone, Debug, Deserialize)]
pub(in super::super) struct HashCookie {
    pub(in super::super) name: String,
    pub(in super::super) ttl: Option<Length>,
    #[serde(rename = "path")]
    _path: Option<Present>,
    #[serde(rename = "attributes")]
    _attributes: Option<Present>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
pub(in super::super) struct ConnectionProperties {
    #[serde(default)]
    pub(in super::super) source_ip: bool,
}

#[derive(Clone, Debug, Deserialize)]
pub(in super::super) struct Named {
    pub(in super::super) name: String,
}

/// `RouteAction.MaxStreamDuration`.
#[derive(Clone, Debug, Deserialize)]
pub(in super::super) struct MaxStreamDuration {
    pub(in super::super) max_stream_duration: Option<Spanned<Length>>,
    pub(in super::super) grpc_timeout_header_max: Option<Spanned<Length>>,
    pub(in super::super) grpc_timeout_header_offset: Option<Present>,
}

/// `RouteAction.RequestMirrorPolicy`.
#[derive(Debug, Deserialize)]
pub(in super::super) struct MirrorPolicy {
    pub(in super::super) cluster: Option<Spanned<String>>,
    pub(in super::super) runtime_fraction: Option<Spanned<Runtime<Fraction>>>,
    #[serde(default)]
    pub(in super::super) disable_shadow_host_suffix_append: bool,
    pub(in super::super) cluster_header: Option<Present>,
}

impl Message for MirrorPolicy {
    const OTHERS: Others = &[
        (
            "copies leave as the request does",
            &["request_headers_mutations", "host_rewrite_literal"],
        ),
        (NO_BEARING, &["trace_sampled"]),
    ];
}

/// `config.route.v3.HedgePolicy`.
#[derive(Debug, Deserialize)]
pub(in super::super) struct HedgePolicy {
    #[serde(default)]
    pub(in super::super) hedge_on_per_try_timeout: bool,
}

impl Message for HedgePolicy {
    const OTHERS: Others = &[(
        "Envoy does not look at it either",
        &["initial_requests", "additional_request_chance"],
    )];
}

/// `config.route.v3.RetryPolicy`.
#[derive(Debug, Deserialize)]
pub(in super::super) struct RetryPolicy {
    pub(in super::super) retry_on: Option<Spanned<String>>,
    pub(in super::super) num_retries: Option<Spanned<Whole<u32>>>,
    pub(in super::super) per_try_timeout: Option<Spanned<Length>>,
    pub(in super::super) per_try_idle_timeout: Option<Spanned<Length>>,
    pub(in super::super) retry_priority: Option<Extension>,
    #[serde(default)]
    pub(in super::super) retry_host_predicate: Vec<Spanned<Extension>>,
    pub(in super::super) host_selection_retry_max_attempts: Option<Whole<u32>>,
    #[serde(default)]
    pub(in super::super) retriable_status_codes: Vec<Whole<u16>>,
    pub(in super::super) retry_back_off: Option<Spanned<RetryBackOff>>,
    pub(in super::super) rate_limited_retry_back_off: Option<Spanned<RateLimitedBackOff>>,
    #[serde(default)]
    pub(in super::super) retriable_headers: Vec<Spanned<HeaderMatcher>>,
    #[serde(default)]
    pub(in super::super) retriable_request_headers: Vec<Spanned<HeaderMatcher>>,
}

impl Message for RetryPolicy {
    const OTHERS: Others = &[(
        "a retry leaves with the options of the first try",
        &["retry_options_predicates"],
    )];
}

#[derive(Clone, Debug, Deserialize)]
pub(in super::super) struct RetryBackOff {
    pub(in super::super) base_interval: Length,
    pub(in super::super) max_interval: Option<Length>,
}

#[derive(Clone, Debug, Deserialize)]
pub(in super::super) struct RateLimitedBackOff {
    pub(in super::super) reset_headers: Vec<ResetHeader>,
    pub(in super::super) max_interval: Option<Length>,
}

#[derive(Clone, Debug, Deserialize)]
pub(in super::super) struct ResetHeader {
    pub(in super::super) name: String,
    #[serde(default)]
    pub(in super::super) format: ResetHeaderFormat,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(in super::super) enum ResetHeaderFormat {
    #[default]
    Seconds,
    UnixTimestamp,
}

/// `extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig`.
#[derive(Clone, Debug, Deserialize)]
pub(in super::super) struct PreviousPriorities {
    pub(in super::super) update_frequency: Whole<u32>,
}

impl Message for PreviousPriorities {
    const OTHERS: Others = &[];
}

/// `config.route.v3.RedirectAction`.
#[derive(Clone, Debug, Deserialize)]
pub(in super::super) struct RedirectAction {
    #[serde(default)]
    pub(in super::super) https_redirect: bool,
    pub(in super::super) scheme_redirect: Option<String>,
    pub(in super::super) host_redirect: Option<String>,
    pub(in super::super) port_redirect: Option<Whole<u16>>,
    pub(in super::super) path_redirect: Option<String>,
    pub(in super::super) prefix_rewrite: Option<String>,
    pub(in super::super) regex_rewrite: Option<RegexSubstitute>,
    #[serde(default)]
    pub(in super::super) response_code: RedirectCode,
    #[serde(default)]
    pub(in super::super) strip_query: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(in super::super) enum RedirectCode {
    #[default]
    MovedPermanently,
    Found,
    SeeOther,
    TemporaryRedirect,
    PermanentRedirect,
}

/// `config.route.v3.DirectResponseAction`.
#[derive(Clone, Debug, Deserialize)]
pub(in super::super) struct DirectResponse {
    pub(in super::super) status: Spanned<Whole<u16>>,
    pub(in super::super) body: Option<DataSource>,
    pub(in super::super) body_format: Option<Present>,
}

/// `config.route.v3.FilterConfig`.
#[derive(Debug, Deserialize)]
pub(in super::super) struct FilterConfig {
    pub(in super::super) config: Option<Node>,
    #[serde(rename = "is_optional")]
    _is_optional: Option<bool>,
    #[serde(default)]
    pub(in super::super) disabled: bool,
}

impl Message for FilterConfig {
    const OTHERS: Others = &[];
}
