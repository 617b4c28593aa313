//! Messages of Envoy's API as they are read. What is only noted stands in [`Message::OTHERS`].
//!
//! Source: envoyproxy/data-plane-api, `envoy/config/*/v3`, `envoy/extensions/**/v3`.

mod cluster;
mod datagrams;
mod filters;
mod listener;
mod logs;
mod manager;
mod route;
mod tls;
mod tracing;

use std::collections::BTreeMap;

use serde::Deserialize;

pub(super) use cluster::*;
pub(super) use datagrams::*;
pub(super) use filters::*;
pub(super) use listener::*;
pub(super) use logs::*;
pub(super) use manager::*;
pub(super) use route::*;
pub(super) use tls::*;
pub(super) use tracing::*;

use super::read::{Message, Others};
use super::values::Whole;
use crate::text::{Node, Present, Spanned};

const DYNAMIC: &str = "nothing is fetched: what stands in the file is all there is";
const NO_BEARING: &str = "no bearing on what happens to requests";

/// `config.bootstrap.v3.Bootstrap`.
#[derive(Debug, Deserialize)]
pub(super) struct Bootstrap {
    pub(super) node: Option<Node>,
    pub(super) static_resources: Option<StaticResources>,
    pub(super) admin: Option<Node>,
    pub(super) cluster_manager: Option<Node>,
    pub(super) layered_runtime: Option<LayeredRuntime>,
    pub(super) tracing: Option<BootstrapTracing>,
    pub(super) overload_manager: Option<Node>,
}

impl Message for Bootstrap {
    const OTHERS: Others = &[
        (
            DYNAMIC,
            &[
                "dynamic_resources",
                "hds_config",
                "config_sources",
                "default_config_source",
                "xds_delegate_extension",
                "xds_config_tracker_extension",
            ],
        ),
        (
            "names are resolved as the system does it",
            &[
                "dns_resolution_config",
                "typed_dns_resolver_config",
                "use_tcp_for_dns_lookups",
            ],
        ),
        (
            "control headers are those that begin with `x-envoy-`",
            &["header_prefix"],
        ),
        (
            "regular expressions are those of RE2",
            &["default_regex_engine"],
        ),
        (
            NO_BEARING,
            &[
                "node_context_params",
                "flags_path",
                "stats_sinks",
                "deferred_stat_options",
                "stats_config",
                "stats_flush_interval",
                "stats_flush_on_admin",
                "stats_eviction_interval",
                "watchdog",
                "watchdogs",
                "enable_dispatcher_stats",
                "stats_server_version_override",
                "bootstrap_extensions",
                "fatal_actions",
                "default_socket_interface",
                "certificate_provider_instances",
                "inline_headers",
                "perf_tracing_file_path",
                "listener_manager",
                "application_log_config",
                "grpc_async_client_manager_config",
                "memory_allocator_manager",
            ],
        ),
    ];
}

/// `config.overload.v3.OverloadManager`.
#[derive(Debug, Deserialize)]
pub(super) struct OverloadManager {
    #[serde(default)]
    pub(super) resource_monitors: Vec<Spanned<Extension>>,
}

impl Message for OverloadManager {
    const OTHERS: Others = &[
        (
            "nothing is done because the process is short of memory or time",
            &["actions", "loadshed_points"],
        ),
        (NO_BEARING, &["refresh_interval", "buffer_factory_config"]),
    ];
}

/// `extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig`.
#[derive(Debug, Deserialize)]
pub(super) struct DownstreamConnections {
    pub(super) max_active_downstream_connections: Spanned<Whole<u64>>,
}

impl Message for DownstreamConnections {
    const OTHERS: Others = &[];
}

/// `Bootstrap.StaticResources`.
#[derive(Debug, Default, Deserialize)]
pub(super) struct StaticResources {
    #[serde(default)]
    pub(super) listeners: Vec<Node>,
    #[serde(default)]
    pub(super) clusters: Vec<Node>,
    #[serde(default)]
    pub(super) secrets: Vec<Node>,
}

/// `config.core.v3.Node`.
#[derive(Debug, Deserialize)]
pub(super) struct Identity {
    pub(super) id: Option<String>,
    pub(super) cluster: Option<String>,
    pub(super) locality: Option<Locality>,
}

impl Message for Identity {
    const OTHERS: Others = &[(
        NO_BEARING,
        &[
            "metadata",
            "dynamic_parameters",
            "user_agent_name",
            "user_agent_version",
            "user_agent_build_version",
            "extensions",
            "client_features",
            "listening_addresses",
        ],
    )];
}

/// `config.bootstrap.v3.Admin`.
#[derive(Debug, Deserialize)]
pub(super) struct Admin {
    pub(super) address: Option<Spanned<Address>>,
}

impl Message for Admin {
    const OTHERS: Others = &[
        (
            NO_BEARING,
            &[
                "access_log",
                "access_log_path",
                "profile_path",
                "socket_options",
                "ignore_global_conn_limit",
            ],
        ),
        ("every path is served", &["allow_paths"]),
    ];
}

/// `config.bootstrap.v3.ClusterManager`.
#[derive(Debug, Deserialize)]
pub(super) struct ClusterManager {
    pub(super) local_cluster_name: Option<Spanned<String>>,
}

impl Message for ClusterManager {
    const OTHERS: Others = &[(
        NO_BEARING,
        &[
            "outlier_detection",
            "upstream_bind_config",
            "load_stats_config",
            "enable_deferred_cluster_creation",
        ],
    )];
}

/// `config.bootstrap.v3.LayeredRuntime`.
#[derive(Debug, Deserialize)]
pub(super) struct LayeredRuntime {
    #[serde(default)]
    pub(super) layers: Vec<RuntimeLayer>,
}

/// `config.bootstrap.v3.RuntimeLayer`.
#[derive(Debug, Deserialize)]
pub(super) struct RuntimeLayer {
    pub(super) name: Option<String>,
    pub(super) static_layer: Option<Node>,
    pub(super) disk_layer: Option<Present>,
    #[serde(rename = "admin_layer")]
    _admin_layer: Option<Present>,
    pub(super) rtds_layer: Option<Present>,
}

/// `config.core.v3.Address`.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Address {
    pub(super) socket_address: Option<Spanned<SocketAddress>>,
    pub(super) pipe: Option<Present>,
    pub(super) envoy_internal_address: Option<Present>,
}

/// `config.core.v3.SocketAddress`.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct SocketAddress {
    #[serde(default)]
    pub(super) protocol: Transport,
    pub(super) address: Spanned<String>,
    pub(super) port_value: Option<Spanned<Whole<u16>>>,
    pub(super) named_port: Option<Present>,
    pub(super) resolver_name: Option<Present>,
    #[serde(rename = "ipv4_compat")]
    _ipv4_compat: Option<Present>,
    pub(super) network_namespace_filepath: Option<Present>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum Transport {
    #[default]
    Tcp,
    Udp,
}

/// `config.core.v3.CidrRange`.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct CidrRange {
    pub(super) address_prefix: Spanned<String>,
    pub(super) prefix_len: Option<Whole<u8>>,
}

/// `config.core.v3.Locality`.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Locality {
    #[serde(default)]
    pub(super) region: String,
    #[serde(default)]
    pub(super) zone: String,
    #[serde(default)]
    pub(super) sub_zone: String,
}

/// `config.core.v3.Metadata`; only names of filters with plain data.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Metadata {
    #[serde(default)]
    pub(super) filter_metadata: BTreeMap<String, Node>,
    #[serde(rename = "typed_filter_metadata")]
    _typed_filter_metadata: Option<Present>,
}

/// `config.core.v3.DataSource`.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct DataSource {
    pub(super) filename: Option<Spanned<String>>,
    pub(super) inline_bytes: Option<Spanned<String>>,
    pub(super) inline_string: Option<Spanned<String>>,
    pub(super) environment_variable: Option<Spanned<String>>,
    #[serde(rename = "watched_directory")]
    _watched_directory: Option<Present>,
}

/// A named extension with its typed config.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Extension {
    pub(super) name: Option<Spanned<String>>,
    pub(super) typed_config: Option<Node>,
}

/// `type.matcher.v3.RegexMatcher`; the engine is always RE2.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct RegexMatcher {
    pub(super) regex: Spanned<String>,
    #[serde(rename = "google_re2")]
    _google_re2: Option<Present>,
}

/// `type.matcher.v3.RegexMatchAndSubstitute`.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct RegexSubstitute {
    pub(super) pattern: RegexMatcher,
    #[serde(default)]
    pub(super) substitution: String,
}

/// `type.matcher.v3.StringMatcher`.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct StringMatcher {
    pub(super) exact: Option<String>,
    pub(super) prefix: Option<String>,
    pub(super) suffix: Option<String>,
    pub(super) contains: Option<String>,
    pub(super) safe_regex: Option<RegexMatcher>,
    pub(super) custom: Option<Present>,
    #[serde(default)]
    pub(super) ignore_case: bool,
}
