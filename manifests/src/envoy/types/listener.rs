//! Listeners and what connections become.

use serde::Deserialize;

use super::super::read::{Message, Others};
use super::super::values::{Length, Runtime, Whole};
use super::{Address, CidrRange, NO_BEARING};
use crate::text::{Node, Present, Spanned};

/// `config.listener.v3.Listener`.
#[derive(Debug, Deserialize)]
pub(in super::super) struct Listener {
    pub(in super::super) name: Option<Spanned<String>>,
    pub(in super::super) address: Option<Spanned<Address>>,
    #[serde(default)]
    pub(in super::super) additional_addresses: Vec<AdditionalAddress>,
    #[serde(default)]
    pub(in super::super) filter_chains: Vec<Node>,
    pub(in super::super) default_filter_chain: Option<Node>,
    pub(in super::super) per_connection_buffer_limit_bytes: Option<Spanned<Whole<u32>>>,
    #[serde(default)]
    pub(in super::super) listener_filters: Vec<Node>,
    pub(in super::super) bind_to_port: Option<Spanned<bool>>,
    pub(in super::super) internal_listener: Option<Present>,
    pub(in super::super) api_listener: Option<Present>,
    pub(in super::super) udp_listener_config: Option<Node>,
    #[serde(default)]
    pub(in super::super) traffic_direction: Direction,
    #[serde(default)]
    pub(in super::super) access_log: Vec<Node>,
    #[serde(default)]
    pub(in super::super) ignore_global_conn_limit: bool,
}

/// `config.core.v3.TrafficDirection`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(in super::super) enum Direction {
    #[default]
    Unspecified,
    Inbound,
    Outbound,
}

impl Message for Listener {
    const OTHERS: Others = &[
        (
            "the filter chain is chosen by `filter_chain_match` alone",
            &["filter_chain_matcher"],
        ),
        (
            "nothing is fetched: what stands in the file is all there is",
            &["fcds_config"],
        ),
        (
            "connections stay with the listener that took them",
            &["use_original_dst"],
        ),
        (
            "a connection may take as long as it likes to show what it is",
            &[
                "listener_filters_timeout",
                "continue_on_listener_filters_timeout",
            ],
        ),
        (
            "the socket has the system's defaults",
            &[
                "transparent",
                "freebind",
                "socket_options",
                "tcp_fast_open_queue_length",
                "tcp_backlog_size",
                "enable_mptcp",
                "tcp_keepalive",
            ],
        ),
        (
            NO_BEARING,
            &[
                "stat_prefix",
                "metadata",
                "deprecated_v1",
                "drain_type",
                "connection_balance_config",
                "reuse_port",
                "enable_reuse_port",
                "max_connections_to_accept_per_socket_event",
                "bypass_overload_manager",
            ],
        ),
    ];
}

/// `config.listener.v3.AdditionalAddress`.
#[derive(Debug, Deserialize)]
pub(in super::super) struct AdditionalAddress {
    pub(in super::super) address: Spanned<Address>,
    #[serde(rename = "socket_options")]
    _socket_options: Option<Present>,
    #[serde(rename = "tcp_keepalive")]
    _tcp_keepalive: Option<Present>,
}

/// `config.listener.v3.ListenerFilter`.
#[derive(Debug, Deserialize)]
pub(in super::super) struct ListenerFilter {
    pub(in super::super) name: Option<Spanned<String>>,
    pub(in super::super) typed_config: Option<Node>,
}

impl Message for ListenerFilter {
    const OTHERS: Others = &[
        (
            "the filter is looked at by its name alone",
            &["config_discovery"],
        ),
        ("the filter is always on", &["filter_disabled"]),
    ];
}

/// `extensions.filters.listener.proxy_protocol.v3.ProxyProtocol`.
#[derive(Debug, Deserialize)]
pub(in super::super) struct ProxyProtocol {
    #[serde(default)]
    pub(in super::super) allow_requests_without_proxy_protocol: bool,
    #[serde(default)]
    pub(in super::super) disallowed_versions: Vec<ProxyVersion>,
}

impl Message for ProxyProtocol {
    const OTHERS: Others = &[
        (
            "what stands in a header beside its addresses is passed over",
            &["rules", "pass_through_tlvs", "tlv_location"],
        ),
        (NO_BEARING, &["stat_prefix"]),
    ];
}

/// `config.core.v3.ProxyProtocolConfig.Version`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
pub(in super::super) enum ProxyVersion {
    #[default]
    V1,
    V2,
}

/// `extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport`.
#[derive(Debug, Deserialize)]
pub(in super::super) struct UpstreamPreface {
    pub(in super::super) config: Option<Node>,
    pub(in super::super) transport_socket: Option<Node>,
}

impl Message for UpstreamPreface {
    const OTHERS: Others = &[(
        "each client's connection has connections of its own",
        &["connection_pool_settings"],
    )];
}

/// `config.core.v3.ProxyProtocolConfig`.
#[derive(Debug, Default, Deserialize)]
pub(in super::super) struct ProxyConfig {
    #[serde(default)]
    pub(in super::super) version: ProxyVersion,
}

impl Message for ProxyConfig {
    const OTHERS: Others = &[(
        "a header has addresses and nothing beside them",
        &["pass_through_tlvs", "added_tlvs"],
    )];
}

/// `config.listener.v3.FilterChain`.
#[derive(Debug, Deserialize)]
pub(in super::super) struct FilterChain {
    pub(in super::super) name: Option<String>,
    pub(in super::super) filter_chain_match: Option<Node>,
    #[serde(default)]
    pub(in super::super) filters: Vec<Node>,
    pub(in super::super) transport_socket: Option<Node>,
}

impl Message for FilterChain {
    const OTHERS: Others = &[
        (
            "connections begin with the client's own bytes",
            &["use_proxy_proto"],
        ),
        (
            "a handshake may take as long as it likes",
            &["transport_socket_connect_timeout"],
        ),
        (NO_BEARING, &["metadata"]),
    ];
}

/// `config.listener.v3.FilterChainMatch`.
#[derive(Debug, Default, Deserialize)]
pub(in super::super) struct FilterChainMatch {
    pub(in super::super) destination_port: Option<Whole<u16>>,
    #[serde(default)]
    pub(in super::super) prefix_ranges: Vec<CidrRange>,
    #[serde(default)]
    pub(in super::super) server_names: Vec<Spanned<String>>,
    pub(in super::super) transport_protocol: Option<Spanned<String>>,
    #[serde(default)]
    pub(in super::super) application_protocols: Vec<String>,
    pub(in super::super) source_type: Option<Spanned<SourceType>>,
    pub(in super::super) direct_source_prefix_ranges: Option<Present>,
    pub(in super::super) source_prefix_ranges: Option<Present>,
    pub(in super::super) source_ports: Option<Present>,
}

impl Message for FilterChainMatch {
    const OTHERS: Others = &[(
        "Envoy does not look at it either",
        &["address_suffix", "suffix_len"],
    )];
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(in super::super) enum SourceType {
    Any,
    SameIpOrLoopback,
    External,
}

/// `config.listener.v3.Filter`.
#[derive(Debug, Deserialize)]
pub(in super::super) struct NetworkFilter {
    pub(in super::super) name: Option<Spanned<String>>,
    pub(in super::super) typed_config: Option<Node>,
    pub(in super::super) config_discovery: Option<Present>,
}

/// `extensions.filters.network.connection_limit.v3.ConnectionLimit`.
#[derive(Debug, Deserialize)]
pub(in super::super) struct ConnectionLimit {
    #[serde(rename = "stat_prefix")]
    _stat_prefix: Option<String>,
    pub(in super::super) max_connections: Spanned<Whole<u64>>,
    pub(in super::super) runtime_enabled: Option<Runtime<bool>>,
}

impl Message for ConnectionLimit {
    const OTHERS: Others = &[("a refused connection is closed at once", &["delay"])];
}

/// `extensions.filters.network.tcp_proxy.v3.TcpProxy`.
#[derive(Debug, Deserialize)]
pub(in super::super) struct TcpProxy {
    #[serde(rename = "stat_prefix")]
    _stat_prefix: Option<String>,
    pub(in super::super) cluster: Option<Spanned<String>>,
    pub(in super::super) weighted_clusters: Option<TcpClusters>,
    pub(in super::super) idle_timeout: Option<Spanned<Length>>,
    pub(in super::super) max_connect_attempts: Option<Spanned<Whole<u32>>>,
    pub(in super::super) max_downstream_connection_duration: Option<Spanned<Length>>,
    #[serde(default)]
    pub(in super::super) access_log: Vec<Node>,
    pub(in super::super) access_log_flush_interval: Option<Spanned<Length>>,
    #[serde(default)]
    pub(in super::super) flush_access_log_on_connected: bool,
    pub(in super::super) access_log_options: Option<TcpAccessLogOptions>,
}

/// `TcpProxy.TcpAccessLogOptions`.
#[derive(Debug, Deserialize)]
pub(in super::super) struct TcpAccessLogOptions {
    pub(in super::super) access_log_flush_interval: Option<Spanned<Length>>,
    #[serde(default)]
    pub(in super::super) flush_access_log_on_connected: bool,
    pub(in super::super) flush_access_log_on_start: Option<Spanned<bool>>,
}

impl Message for TcpProxy {
    const OTHERS: Others = &[
        (
            "nothing is fetched: what stands in the file is all there is",
            &["on_demand"],
        ),
        (
            "any endpoint may be taken",
            &["metadata_match", "hash_policy"],
        ),
        (
            "only `idle_timeout` closes a silent connection",
            &["downstream_idle_timeout", "upstream_idle_timeout"],
        ),
        ("the next endpoint is tried at once", &["backoff_options"]),
        (
            "bytes are carried as they are, not through a tunnel",
            &["tunneling_config", "proxy_protocol_tlvs"],
        ),
        (
            "all connections live as long as `max_downstream_connection_duration` says",
            &["max_downstream_connection_duration_jitter_percentage"],
        ),
        (
            "the upstream is connected at once",
            &["upstream_connect_mode", "max_early_data_bytes"],
        ),
    ];
}

/// `TcpProxy.WeightedCluster`.
#[derive(Debug, Deserialize)]
pub(in super::super) struct TcpClusters {
    pub(in super::super) clusters: Vec<TcpCluster>,
}

#[derive(Debug, Deserialize)]
pub(in super::super) struct TcpCluster {
    pub(in super::super) name: Spanned<String>,
    pub(in super::super) weight: Whole<u32>,
    pub(in super::super) metadata_match: Option<Present>,
}
