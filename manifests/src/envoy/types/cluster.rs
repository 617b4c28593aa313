//! Clusters and endpoints.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::super::read::{Message, Others};
use super::super::values::{Length, Percent, Runtime, Whole};
use super::{Address, Extension, Locality, Metadata, NO_BEARING};
use crate::text::{Node, Present, Spanned};

/// `config.cluster.v3.Cluster`.
#[derive(Debug, Deserialize)]
pub(in super::super) struct Cluster {
    pub(in super::super) name: Option<Spanned<String>>,
    #[serde(rename = "type")]
    pub(in super::super) kind: Option<Spanned<DiscoveryType>>,
    pub(in super::super) cluster_type: Option<Spanned<Extension>>,
    pub(in super::super) connect_timeout: Option<Spanned<Length>>,
    pub(in super::super) upstream_bind_config: Option<Node>,
    pub(in super::super) lb_policy: Option<Spanned<LbPolicy>>,
    pub(in super::super) load_balancing_policy: Option<LoadBalancingPolicy>,
    pub(in super::super) load_assignment: Option<Node>,
    #[serde(default)]
    pub(in super::super) health_checks: Vec<Node>,
    pub(in super::super) max_requests_per_connection: Option<Spanned<Whole<u32>>>,
    pub(in super::super) circuit_breakers: Option<CircuitBreakers>,
    pub(in super::super) common_http_protocol_options: Option<Node>,
    pub(in super::super) http2_protocol_options: Option<Node>,
    #[serde(default)]
    pub(in super::super) protocol_selection: ProtocolSelection,
    #[serde(default)]
    pub(in super::super) typed_extension_protocol_options: BTreeMap<Spanned<String>, Node>,
    pub(in super::super) dns_refresh_rate: Option<Spanned<Length>>,
    pub(in super::super) dns_jitter: Option<Spanned<Length>>,
    pub(in super::super) dns_failure_refresh_rate: Option<RefreshRate>,
    pub(in super::super) respect_dns_ttl: Option<Spanned<bool>>,
    #[serde(default)]
    pub(in super::super) dns_lookup_family: DnsFamily,
    pub(in super::super) outlier_detection: Option<Spanned<OutlierDetection>>,
    pub(in super::super) lb_subset_config: Option<SubsetConfig>,
    pub(in super::super) ring_hash_lb_config: Option<RingHash>,
    pub(in super::super) maglev_lb_config: Option<Maglev>,
    pub(in super::super) least_request_lb_config: Option<LeastRequest>,
    pub(in super::super) round_robin_lb_config: Option<RoundRobin>,
    pub(in super::super) common_lb_config: Option<Node>,
    pub(in super::super) transport_socket: Option<Node>,
}

impl Message for Cluster {
    const OTHERS: Others = &[
        (
            "every endpoint is reached through `transport_socket`",
            &["transport_socket_matches", "transport_socket_matcher"],
        ),
        (
            "nothing is fetched: the cluster has no endpoints",
            &["eds_cluster_config"],
        ),
        (
            "names are resolved as the system does it",
            &[
                "dns_resolvers",
                "use_tcp_for_dns_lookups",
                "dns_resolution_config",
                "typed_dns_resolver_config",
            ],
        ),
        (
            "the connection's own protocol has its usual settings",
            &["http_protocol_options", "upstream_http_protocol_options"],
        ),
        (
            "the endpoint is the connection's original destination",
            &["original_dst_lb_config"],
        ),
        (
            "connections are made when they are needed, and shared by all clients",
            &[
                "preconnect_policy",
                "connection_pool_per_downstream_connection",
            ],
        ),
        (
            "connections to an unhealthy endpoint stay open",
            &["close_connections_on_host_health_failure"],
        ),
        (
            "an endpoint that is no longer listed is gone",
            &["ignore_health_on_host_removal"],
        ),
        (
            "bytes go to the endpoint as they are",
            &["filters", "upstream_config"],
        ),
        (
            "the socket has the system's defaults",
            &["upstream_connection_options"],
        ),
        (
            NO_BEARING,
            &[
                "alt_stat_name",
                "per_connection_buffer_limit_bytes",
                "wait_for_warm_on_init",
                "cleanup_interval",
                "metadata",
                "lrs_server",
                "lrs_report_endpoint_metrics",
                "track_timeout_budgets",
                "track_cluster_stats",
            ],
        ),
    ];
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(in super::super) enum DiscoveryType {
    #[default]
    Static,
    StrictDns,
    LogicalDns,
    Eds,
    OriginalDst,
}

/// `Cluster.RefreshRate`.
#[derive(Debug, Deserialize)]
pub(in super::super) struct RefreshRate {
    pub(in super::super) base_interval: Spanned<Length>,
    pub(in super::super) max_interval: Option<Spanned<Length>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(in super::super) enum DnsFamily {
    #[default]
    Auto,
    V4Only,
    V6Only,
    V4Preferred,
    All,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(in super::super) enum LbPolicy {
    #[default]
    RoundRobin,
    LeastRequest,
    RingHash,
    Random,
    Maglev,
    ClusterProvided,
    LoadBalancingPolicyConfig,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(in super::super) enum ProtocolSelection {
    #[default]
    UseConfiguredProtocol,
    UseDownstreamProtocol,
}

/// `config.core.v3.BindConfig`.
#[derive(Debug, Deserialize)]
pub(in super::super) struct BindConfig {
    pub(in super::super) source_address: Option<Node>,
}

impl Message for BindConfig {
    const OTHERS: Others = &[
        (
            "the socket has the system's defaults",
            &["freebind", "socket_options", "additional_source_addresses"],
        ),
        (
            "connections come from `source_address`, of whatever family",
            &["extra_source_addresses", "local_address_selector"],
        ),
    ];
}

/// `config.core.v3.SocketAddress`, whose port is the system's choice where it is 0, as it mostly is.
#[derive(Debug, Deserialize)]
pub(in super::super) struct BindAddress {
    pub(in super::super) address: Spanned<String>,
    pub(in super::super) port_value: Option<Spanned<Whole<u16>>>,
}

impl Message for BindAddress {
    const OTHERS: Others = &[(
        "the port that connections come from is the system's choice",
        &[
            "protocol",
            "named_port",
            "resolver_name",
            "ipv4_compat",
            "network_namespace_filepath",
        ],
    )];
}

/// `config.cluster.v3.LoadBalancingPolicy`.
#[derive(Debug, Deserialize)]
pub(in super::super) struct LoadBalancingPolicy {
    pub(in super::super) policies: Vec<Policy>,
}

#[derive(Debug, Deserialize)]
pub(in super::super) struct Policy {
    pub(in super::super) typed_extension_config: Spanned<Extension>,
}

/// Both `Cluster.RoundRobinLbConfig` and the policy of that name.
#[derive(Clone, Debug, Default, Deserialize)]
pub(in super::super) struct RoundRobin {
    pub(in super::super) slow_start_config: Option<Spanned<SlowStart>>,
    pub(in super::super) locality_lb_config: Option<LocalityConfig>,
}

/// Both `Cluster.LeastRequestLbConfig` and the policy of that name.
#[derive(Clone, Debug, Default, Deserialize)]
pub(in super::super) struct LeastRequest {
    pub(in super::super) choice_count: Option<Spanned<Whole<u32>>>,
    pub(in super::super) active_request_bias: Option<Runtime<f64>>,
    pub(in super::super) slow_start_config: Option<Spanned<SlowStart>>,
    pub(in super::super) locality_lb_config: Option<LocalityConfig>,
    #[serde(default)]
    pub(in super::super) enable_full_scan: bool,
    #[serde(default)]
    pub(in super::super) selection_method: SelectionMethod,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(in super::super) enum SelectionMethod {
    #[default]
    NChoices,
    FullScan,
}

/// The policy `Random`.
#[derive(Clone, Debug, Default, Deserialize)]
pub(in super::super) struct Random {
    pub(in super::super) locality_lb_config: Option<LocalityConfig>,
}

/// Both `Cluster.RingHashLbConfig` and the policy of that name.
#[derive(Clone, Debug, Default, Deserialize)]
pub(in super::super) struct RingHash {
    pub(in super::super) minimum_ring_size: Option<Spanned<Whole<u64>>>,
    pub(in super::super) maximum_ring_size: Option<Spanned<Whole<u64>>>,
    pub(in super::super) hash_function: Option<Spanned<HashFunction>>,
    pub(in super::super) consistent_hashing_lb_config: Option<ConsistentHashing>,
    pub(in super::super) hash_balance_factor: Option<Spanned<Whole<u32>>>,
    pub(in super::super) use_hostname_for_hashing: Option<Present>,
    pub(in super::super) locality_weighted_lb_config: Option<Spanned<Empty>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(in super::super) enum HashFunction {
    DefaultHash,
    XxHash,
    #[serde(rename = "MURMUR_HASH_2")]
    MurmurHash2,
}

/// Both `Cluster.MaglevLbConfig` and the policy of that name.
#[derive(Clone, Debug, Default, Deserialize)]
pub(in super::super) struct Maglev {
    pub(in super::super) table_size: Option<Spanned<Whole<u64>>>,
    pub(in super::super) consistent_hashing_lb_config: Option<ConsistentHashing>,
    pub(in super::super) locality_weighted_lb_config: Option<Spanned<Empty>>,
}

/// A message of which only presence counts.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(in super::super) struct Empty {}

#[derive(Clone, Debug, Deserialize)]
pub(in super::super) struct SlowStart {
    pub(in super::super) slow_start_window: Option<Length>,
    pub(in super::super) aggression: Option<Runtime<f64>>,
    pub(in super::super) min_weight_percent: Option<Percent>,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(in super::super) struct ConsistentHashing {
    pub(in super::super) use_hostname_for_hashing: Option<Present>,
    pub(in super::super) hash_balance_factor: Option<Spanned<Whole<u32>>>,
    pub(in super::super) hash_policy: Option<Present>,
}

/// `LocalityLbConfig`, and the part of `Cluster.CommonLbConfig` that says the same.
#[derive(Clone, Debug, Default, Deserialize)]
pub(in super::super) struct LocalityConfig {
    pub(in super::super) zone_aware_lb_config: Option<Spanned<ZoneAwareConfig>>,
    pub(in super::super) locality_weighted_lb_config: Option<Spanned<Empty>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(in super::super) struct ZoneAwareConfig {
    pub(in super::super) routing_enabled: Option<Percent>,
    pub(in super::super) min_cluster_size: Option<Whole<u64>>,
    #[serde(default)]
    pub(in super::super) fail_traffic_on_panic: bool,
    #[serde(default)]
    pub(in super::super) force_locality_direct_routing: bool,
    pub(in super::super) force_local_zone: Option<ForceLocalZone>,
    pub(in super::super) locality_basis: Option<Present>,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(in super::super) struct ForceLocalZone {
    pub(in super::super) min_size: Option<Whole<u32>>,
}

/// `Cluster.CommonLbConfig`.
#[derive(Debug, Default, Deserialize)]
pub(in super::super) struct CommonLb {
    pub(in super::super) healthy_panic_threshold: Option<Spanned<Percent>>,
    pub(in super::super) zone_aware_lb_config: Option<Spanned<ZoneAwareConfig>>,
    pub(in super::super) locality_weighted_lb_config: Option<Spanned<Empty>>,
    pub(in super::super) consistent_hashing_lb_config: Option<ConsistentHashing>,
}

impl Message for CommonLb {
    const OTHERS: Others = &[
        (
            "endpoints count from the moment they are known",
            &[
                "update_merge_window",
                "ignore_new_hosts_until_first_hc",
                "close_connections_on_host_set_change",
            ],
        ),
        (
            "endpoints that drain take no requests",
            &["override_host_status"],
        ),
    ];
}

/// `config.endpoint.v3.ClusterLoadAssignment`.
#[derive(Debug, Deserialize)]
pub(in super::super) struct LoadAssignment {
    #[serde(rename = "cluster_name")]
    _cluster_name: Option<String>,
    #[serde(default)]
    pub(in super::super) endpoints: Vec<Node>,
    pub(in super::super) policy: Option<Node>,
}

impl Message for LoadAssignment {
    const OTHERS: Others = &[("only `endpoints` are read", &["named_endpoints"])];
}

/// `ClusterLoadAssignment.Policy`.
#[derive(Debug, Deserialize)]
pub(in super::super) struct AssignmentPolicy {
    pub(in super::super) overprovisioning_factor: Option<Spanned<Whole<u32>>>,
}

impl Message for AssignmentPolicy {
    const OTHERS: Others = &[
        ("nothing is dropped", &["drop_overloads"]),
        ("endpoints never grow stale", &["endpoint_stale_after"]),
        (
            "a priority's health is the count of its healthy endpoints",
            &["weighted_priority_health"],
        ),
    ];
}

/// `config.endpoint.v3.LocalityLbEndpoints`.
#[derive(Debug, Deserialize)]
pub(in super::super) struct LocalityEndpoints {
    pub(in super::super) locality: Option<Locality>,
    #[serde(default)]
    pub(in super::super) lb_endpoints: Vec<Node>,
    pub(in super::super) load_balancing_weight: Option<Whole<u32>>,
    pub(in super::super) priority: Option<Spanned<Whole<u32>>>,
}

impl Message for LocalityEndpoints {
    const OTHERS: Others = &[
        (
            "only `lb_endpoints` are read",
            &["load_balancer_endpoints", "leds_cluster_locality_config"],
        ),
        (NO_BEARING, &["metadata", "proximity"]),
    ];
}

/// `config.endpoint.v3.LbEndpoint`.
#[derive(Debug, Deserialize)]
pub(in super::super) struct LbEndpoint {
    pub(in super::super) endpoint: Option<Node>,
    #[serde(default)]
    pub(in super::super) health_status: HealthStatus,
    pub(in super::super) metadata: Option<Metadata>,
    pub(in super::super) load_balancing_weight: Option<Spanned<Whole<u32>>>,
}

impl Message for LbEndpoint {
    const OTHERS: Others = &[("only `endpoint` is read", &["endpoint_name"])];
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(in super::super) enum HealthStatus {
    #[default]
    Unknown,
    Healthy,
    Unhealthy,
    Draining,
    Timeout,
    Degraded,
}

/// `config.endpoint.v3.Endpoint`.
#[derive(Debug, Deserialize)]
pub(in super::super) struct Endpoint {
    pub(in super::super) address: Option<Spanned<Address>>,
    #[serde(default)]
    pub(in super::super) hostname: String,
}

impl Message for Endpoint {
    const OTHERS: Others = &[
        (
            "the endpoint is checked at its own address",
            &["health_check_config"],
        ),
        ("only `address` is dialled", &["additional_addresses"]),
    ];
}

/// `config.cluster.v3.CircuitBreakers`.
#[derive(Debug, Deserialize)]
pub(in super::super) struct CircuitBreakers {
    #[serde(default)]
    pub(in super::super) thresholds: Vec<Node>,
    #[serde(default)]
    pub(in super::super) per_host_thresholds: Vec<PerHost>,
}

/// `CircuitBreakers.Thresholds`.
#[derive(Debug, Deserialize)]
pub(in super::super) struct Thresholds {
    #[serde(default)]
    pub(in super::super) priority: super::RoutingPriority,
    pub(in super::super) max_connections: Option<Spanned<Whole<u32>>>,
    pub(in super::super) max_pending_requests: Option<Spanned<Whole<u32>>>,
    pub(in super::super) max_requests: Option<Spanned<Whole<u32>>>,
    pub(in super::super) max_retries: Option<Spanned<Whole<u32>>>,
    pub(in super::super) retry_budget: Option<Spanned<RetryBudget>>,
}

impl Message for Thresholds {
    const OTHERS: Others = &[
        (
            "there are as many pools as it takes",
            &["max_connection_pools"],
        ),
        (NO_BEARING, &["track_remaining"]),
    ];
}

#[derive(Clone, Debug, Deserialize)]
pub(in super::super) struct RetryBudget {
    pub(in super::super) budget_percent: Option<Percent>,
    pub(in super::super) min_retry_concurrency: Option<Whole<u32>>,
    pub(in super::super) budget_interval: Option<Length>,
}

/// Of the thresholds of one endpoint Envoy reads `max_connections` alone.
#[derive(Debug, Deserialize)]
pub(in super::super) struct PerHost {
    #[serde(default)]
    pub(in super::super) priority: super::RoutingPriority,
    pub(in super::super) max_connections: Option<Spanned<Whole<u32>>>,
}

/// `config.cluster.v3.OutlierDetection`.
#[derive(Clone, Debug, Deserialize)]
pub(in super::super) struct OutlierDetection {
    pub(in super::super) consecutive_5xx: Option<Whole<u32>>,
    pub(in super::super) interval: Option<Spanned<Length>>,
    pub(in super::super) base_ejection_time: Option<Spanned<Length>>,
    pub(in super::super) max_ejection_percent: Option<Spanned<Whole<u32>>>,
    pub(in super::super) enforcing_consecutive_5xx: Option<Spanned<Whole<u32>>>,
    pub(in super::super) enforcing_success_rate: Option<Spanned<Whole<u32>>>,
    pub(in super::super) success_rate_minimum_hosts: Option<Whole<u32>>,
    pub(in super::super) success_rate_request_volume: Option<Whole<u32>>,
    pub(in super::super) success_rate_stdev_factor: Option<Whole<u32>>,
    pub(in super::super) consecutive_gateway_failure: Option<Whole<u32>>,
    pub(in super::super) enforcing_consecutive_gateway_failure: Option<Spanned<Whole<u32>>>,
    #[serde(default)]
    pub(in super::super) split_external_local_origin_errors: bool,
    pub(in super::super) consecutive_local_origin_failure: Option<Whole<u32>>,
    pub(in super::super) enforcing_consecutive_local_origin_failure: Option<Spanned<Whole<u32>>>,
    pub(in super::super) enforcing_local_origin_success_rate: Option<Spanned<Whole<u32>>>,
    pub(in super::super) failure_percentage_threshold: Option<Spanned<Whole<u32>>>,
    pub(in super::super) enforcing_failure_percentage: Option<Spanned<Whole<u32>>>,
    pub(in super::super) enforcing_failure_percentage_local_origin: Option<Spanned<Whole<u32>>>,
    pub(in super::super) failure_percentage_minimum_hosts: Option<Whole<u32>>,
    pub(in super::super) failure_percentage_request_volume: Option<Whole<u32>>,
    pub(in super::super) max_ejection_time: Option<Spanned<Length>>,
    pub(in super::super) max_ejection_time_jitter: Option<Length>,
    pub(in super::super) successful_active_health_check_uneject_host: Option<bool>,
    pub(in super::super) always_eject_one_host: Option<bool>,
    pub(in super::super) monitors: Option<Present>,
}

/// `config.core.v3.HealthCheck`.
#[derive(Debug, Deserialize)]
pub(in super::super) struct HealthCheck {
    pub(in super::super) timeout: Spanned<Length>,
    pub(in super::super) interval: Spanned<Length>,
    pub(in super::super) interval_jitter: Option<Length>,
    pub(in super::super) interval_jitter_percent: Option<Whole<u32>>,
    pub(in super::super) unhealthy_threshold: Whole<u32>,
    pub(in super::super) healthy_threshold: Whole<u32>,
    pub(in super::super) http_health_check: Option<Node>,
    pub(in super::super) tcp_health_check: Option<Node>,
    pub(in super::super) grpc_health_check: Option<Present>,
    pub(in super::super) custom_health_check: Option<Present>,
    pub(in super::super) no_traffic_interval: Option<Length>,
    pub(in super::super) unhealthy_interval: Option<Length>,
}

impl Message for HealthCheck {
    const OTHERS: Others = &[
        ("the first check comes at once", &["initial_jitter"]),
        (
            "the pause is that of `interval`, `unhealthy_interval` and `no_traffic_interval` alone",
            &[
                "no_traffic_healthy_interval",
                "unhealthy_edge_interval",
                "healthy_edge_interval",
            ],
        ),
        (
            "endpoints are checked at their own port, over the connections of requests",
            &[
                "alt_port",
                "reuse_connection",
                "tls_options",
                "transport_socket_match_criteria",
            ],
        ),
        (
            NO_BEARING,
            &[
                "name",
                "event_log_path",
                "event_logger",
                "event_service",
                "always_log_health_check_failures",
                "always_log_health_check_success",
            ],
        ),
    ];
}

/// `extensions.clusters.aggregate.v3.ClusterConfig`.
#[derive(Debug, Deserialize)]
pub(in super::super) struct Aggregate {
    #[serde(default)]
    pub(in super::super) clusters: Vec<Spanned<String>>,
}

impl Message for Aggregate {
    const OTHERS: Others = &[];
}

/// `HealthCheck.HttpHealthCheck`.
#[derive(Debug, Deserialize)]
pub(in super::super) struct HttpHealthCheck {
    #[serde(default)]
    pub(in super::super) host: String,
    pub(in super::super) path: String,
    #[serde(default)]
    pub(in super::super) expected_statuses: Vec<Spanned<StatusRange>>,
    #[serde(default)]
    pub(in super::super) retriable_statuses: Vec<Spanned<StatusRange>>,
}

impl Message for HttpHealthCheck {
    const OTHERS: Others = &[(
        "the check is a plain GET whose status decides",
        &[
            "send",
            "receive",
            "response_buffer_size",
            "request_headers_to_add",
            "request_headers_to_remove",
            "codec_client_type",
            "service_name_matcher",
            "method",
        ],
    )];
}

/// `HealthCheck.TcpHealthCheck`.
#[derive(Debug, Deserialize)]
pub(in super::super) struct TcpHealthCheck {}

impl Message for TcpHealthCheck {
    const OTHERS: Others = &[(
        "a connection is enough",
        &["send", "receive", "proxy_protocol_config"],
    )];
}

/// `type.v3.Int64Range`: the end is left out.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(in super::super) struct StatusRange {
    pub(in super::super) start: Whole<u16>,
    pub(in super::super) end: Whole<u16>,
}

/// `Cluster.LbSubsetConfig`.
#[derive(Debug, Deserialize)]
pub(in super::super) struct SubsetConfig {
    pub(in super::super) fallback_policy: Option<SubsetFallback>,
    #[serde(default)]
    pub(in super::super) subset_selectors: Vec<SubsetSelector>,
    pub(in super::super) default_subset: Option<Node>,
    pub(in super::super) locality_weight_aware: Option<Present>,
    pub(in super::super) scale_locality_weight: Option<Present>,
    pub(in super::super) panic_mode_any: Option<Present>,
    pub(in super::super) list_as_any: Option<Present>,
    pub(in super::super) metadata_fallback_policy: Option<Present>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(in super::super) enum SubsetFallback {
    NoFallback,
    AnyEndpoint,
    DefaultSubset,
}

#[derive(Debug, Deserialize)]
pub(in super::super) struct SubsetSelector {
    #[serde(default)]
    pub(in super::super) keys: Vec<String>,
    pub(in super::super) single_host_per_subset: Option<Present>,
    pub(in super::super) fallback_policy: Option<Present>,
    pub(in super::super) fallback_keys_subset: Option<Present>,
}

/// `extensions.upstreams.http.v3.HttpProtocolOptions`.
#[derive(Debug, Deserialize)]
pub(in super::super) struct UpstreamHttp {
    pub(in super::super) common_http_protocol_options: Option<Node>,
    pub(in super::super) explicit_http_config: Option<VersionOptions>,
    pub(in super::super) use_downstream_protocol_config: Option<VersionOptions>,
    pub(in super::super) auto_config: Option<Spanned<VersionOptions>>,
}

impl Message for UpstreamHttp {
    const OTHERS: Others = &[
        (
            "the server name sent is `sni`",
            &["upstream_http_protocol_options"],
        ),
        (
            "requests pass it untouched",
            &["http_filters", "header_validation_config"],
        ),
        (
            "outlier detection goes by statuses as they are",
            &["outlier_detection"],
        ),
        (
            "routes have policies of their own alone",
            &["request_mirror_policies", "hash_policy", "retry_policy"],
        ),
    ];
}

#[derive(Debug, Deserialize)]
pub(in super::super) struct VersionOptions {
    #[serde(rename = "http_protocol_options")]
    _http_protocol_options: Option<Present>,
    pub(in super::super) http2_protocol_options: Option<Node>,
    pub(in super::super) http3_protocol_options: Option<Present>,
    #[serde(rename = "alternate_protocols_cache_options")]
    _alternate_protocols_cache_options: Option<Present>,
}

/// `config.core.v3.Http2ProtocolOptions`.
#[derive(Debug, Deserialize)]
pub(in super::super) struct Http2Options {
    pub(in super::super) max_concurrent_streams: Option<Spanned<Whole<u32>>>,
    #[serde(default)]
    pub(in super::super) allow_connect: bool,
}

impl Message for Http2Options {
    const OTHERS: Others = &[(
        "the connection's own protocol has its usual settings",
        &[
            "hpack_table_size",
            "initial_stream_window_size",
            "initial_connection_window_size",
            "allow_metadata",
            "max_outbound_frames",
            "max_outbound_control_frames",
            "max_consecutive_inbound_frames_with_empty_payload",
            "max_inbound_priority_frames_per_stream",
            "max_inbound_window_update_frames_per_data_frame_sent",
            "stream_error_on_invalid_http_messaging",
            "override_stream_error_on_invalid_http_message",
            "custom_settings_parameters",
            "connection_keepalive",
            "use_oghttp2_codec",
            "max_metadata_size",
            "enable_huffman_encoding",
        ],
    )];
}
