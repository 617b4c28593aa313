//! Listeners for datagrams.

use serde::Deserialize;

use super::super::read::{Message, Others};
use super::super::values::{Length, Whole};
use super::{Extension, NO_BEARING};
use crate::text::{Node, Present, Spanned};

/// `config.listener.v3.UdpListenerConfig`.
#[derive(Debug, Deserialize)]
pub(in super::super) struct UdpListenerConfig {
    pub(in super::super) downstream_socket_config: Option<Node>,
    pub(in super::super) quic_options: Option<Present>,
}

impl Message for UdpListenerConfig {
    const OTHERS: Others = &[(NO_BEARING, &["udp_packet_packet_writer_config"])];
}

/// `config.core.v3.UdpSocketConfig`.
#[derive(Debug, Default, Deserialize)]
pub(in super::super) struct UdpSocketConfig {
    pub(in super::super) max_rx_datagram_size: Option<Spanned<Whole<u64>>>,
    pub(in super::super) prefer_gro: Option<bool>,
}

impl Message for UdpSocketConfig {
    const OTHERS: Others = &[];
}

/// `extensions.filters.udp.udp_proxy.v3.UdpProxyConfig`.
#[derive(Debug, Deserialize)]
pub(in super::super) struct UdpProxy {
    pub(in super::super) stat_prefix: Option<String>,
    pub(in super::super) cluster: Option<Spanned<String>>,
    pub(in super::super) matcher: Option<Spanned<Matcher>>,
    pub(in super::super) idle_timeout: Option<Spanned<Length>>,
    #[serde(default)]
    pub(in super::super) use_per_packet_load_balancing: bool,
    #[serde(default)]
    pub(in super::super) hash_policies: Vec<Spanned<UdpHashPolicy>>,
    pub(in super::super) upstream_socket_config: Option<Node>,
    pub(in super::super) use_original_src_ip: Option<Spanned<bool>>,
}

impl Message for UdpProxy {
    const OTHERS: Others = &[
        (
            "only requests are written to access logs, not sessions",
            &["access_log", "proxy_access_log", "access_log_options"],
        ),
        ("datagrams pass it untouched", &["session_filters"]),
        (
            "datagrams go to endpoints as they are, not through a tunnel",
            &["tunneling_config"],
        ),
    ];
}

/// `xds.type.matcher.v3.Matcher`.
#[derive(Debug, Deserialize)]
pub(in super::super) struct Matcher {
    pub(in super::super) matcher_list: Option<Present>,
    pub(in super::super) matcher_tree: Option<Present>,
    pub(in super::super) on_no_match: Option<Spanned<OnMatch>>,
}

/// `xds.type.matcher.v3.Matcher.OnMatch`.
#[derive(Debug, Deserialize)]
pub(in super::super) struct OnMatch {
    pub(in super::super) action: Option<Extension>,
    pub(in super::super) matcher: Option<Present>,
    #[serde(rename = "keep_matching")]
    _keep_matching: Option<Present>,
}

/// `extensions.filters.udp.udp_proxy.v3.Route`.
#[derive(Debug, Deserialize)]
pub(in super::super) struct UdpAction {
    pub(in super::super) cluster: Spanned<String>,
}

impl Message for UdpAction {
    const OTHERS: Others = &[];
}

/// `UdpProxyConfig.HashPolicy`.
#[derive(Debug, Deserialize)]
pub(in super::super) struct UdpHashPolicy {
    pub(in super::super) source_ip: Option<bool>,
    pub(in super::super) key: Option<String>,
}
