//! Listeners whose datagrams are carried on.

use proxy_core::config::{
    ChainAction, ChainMatch, ClusterIndex, DatagramHash, DownstreamTransport, FilterChain, UdpRoute,
};
use proxy_core::time::Duration;

use super::compile::Cx;
use super::types::{self, UdpHashPolicy};
use crate::text::{Node, Spanned};

const UDP: &str = "envoy.extensions.filters.udp.udp_proxy.v3.UdpProxyConfig";
const ROUTE: &str = "envoy.extensions.filters.udp.udp_proxy.v3.Route";
/// Without a datagram for this long a session is over (`idle_timeout`).
const MINUTE: Duration = Duration::from_secs(60);
/// Longest datagram that is taken (`max_rx_datagram_size`), by a socket that reads one by one.
const LARGEST: u16 = 1500;

/// The one chain of a listener for datagrams; none: nothing takes them.
pub(super) fn chain(
    written: &types::Listener,
    node: &Node,
    cx: &mut Cx<'_>,
) -> Option<FilterChain> {
    let config: Option<types::UdpListenerConfig> =
        cx.read_maybe(written.udp_listener_config.as_ref());
    let quic = config.as_ref().and_then(|config| config.quic_options);
    let largest = config.and_then(|config| config.downstream_socket_config);
    if let Some(quic) = quic {
        let left_out = "HTTP/3 is not spoken: the listener is left out";
        cx.left_out(quic.span, "`quic_options`", left_out);
        return None;
    }
    if let Some(chain) = written.filter_chains.first() {
        cx.refuse(chain.span, "datagrams have no filter chains");
    }
    let mut route = None;
    for filter in &written.listener_filters {
        let Some(found) = listener_filter(filter, largest.as_ref(), cx) else {
            continue;
        };
        if route.replace(found).is_some() {
            cx.refuse(filter.span, "another filter before takes the datagrams");
        }
    }
    if route.is_none() && !cx.out.has_errors() {
        let nothing = "no filter takes them: the listener is left out";
        cx.left_out(
            node.span,
            "a listener for datagrams of another kind",
            nothing,
        );
    }
    Some(FilterChain {
        matches: ChainMatch::default(),
        transport: DownstreamTransport::Plaintext,
        action: ChainAction::Udp(route?),
        origin: cx.written(node.span),
    })
}

fn listener_filter(node: &Node, largest: Option<&Node>, cx: &mut Cx<'_>) -> Option<UdpRoute> {
    let filter: types::ListenerFilter = cx.read(node)?;
    let typed = filter.typed_config.as_ref();
    let typed = typed.and_then(|config| cx.typed(config));
    match typed {
        Some(typed) if typed.kind == UDP => route(&typed.config, largest, cx),
        Some(_) | None => {
            let name = filter.name.map_or_else(String::new, |name| name.value);
            let what = format!("the listener filter `{name}`");
            cx.left_out(node.span, &what, "datagrams pass it untouched");
            None
        }
    }
}

fn route(node: &Node, largest: Option<&Node>, cx: &mut Cx<'_>) -> Option<UdpRoute> {
    let written: types::UdpProxy = cx.read(node)?;
    let Some(name) = written
        .stat_prefix
        .as_deref()
        .filter(|name| !name.is_empty())
    else {
        cx.refuse(node.span, "`stat_prefix` is missing");
        return None;
    };
    if let Some(original) = written
        .use_original_src_ip
        .filter(|original| original.value)
    {
        let meaning = "endpoints see the proxy's own address";
        cx.left_out(original.span, "`use_original_src_ip`", meaning);
    }
    let cluster = cluster(&written, node, cx)?;
    if let Some(second) = written.hash_policies.get(1) {
        cx.refuse(second.span, "there is one hash policy at most");
    }
    let hash = match written.hash_policies.first() {
        Some(policy) => Some(hash(policy, cx)?),
        None => None,
    };
    let idle = cx.length(written.idle_timeout);
    Some(UdpRoute {
        name: name.into(),
        clusters: vec![(cluster, 1)],
        idle_timeout: Some(idle.unwrap_or_else(|| cx.default(MINUTE))),
        per_datagram: written.use_per_packet_load_balancing,
        hash,
        largest_request: self::largest(largest, false, cx),
        largest_answer: self::largest(written.upstream_socket_config.as_ref(), true, cx),
        origin: cx.written(node.span),
    })
}

fn cluster(written: &types::UdpProxy, node: &Node, cx: &mut Cx<'_>) -> Option<ClusterIndex> {
    match (&written.cluster, &written.matcher) {
        (Some(name), None) => cx.cluster(name),
        (None, Some(matcher)) => {
            let meaning = "all datagrams go where `on_no_match` says";
            cx.note(matcher.matcher_list, "matcher_list", meaning);
            cx.note(matcher.matcher_tree, "matcher_tree", meaning);
            otherwise(matcher, cx)
        }
        (Some(_), Some(_)) | (None, None) => {
            cx.refuse(node.span, "write one of `cluster` and `matcher`");
            None
        }
    }
}

/// Where datagrams go that nothing matches.
fn otherwise(matcher: &Spanned<types::Matcher>, cx: &mut Cx<'_>) -> Option<ClusterIndex> {
    let left_out = "datagrams have nowhere to go: the listener is left out";
    let Some(otherwise) = &matcher.on_no_match else {
        cx.left_out(matcher.span, "a matcher without `on_no_match`", left_out);
        return None;
    };
    if let Some(inner) = otherwise.matcher {
        cx.left_out(inner.span, "a matcher within a matcher", left_out);
        return None;
    }
    let config = otherwise.action.as_ref();
    let config = config.and_then(|action| action.typed_config.as_ref());
    let typed = config.and_then(|config| cx.typed(config));
    match typed {
        Some(typed) if typed.kind == ROUTE => {
            let action: types::UdpAction = cx.read(&typed.config)?;
            cx.cluster(&action.cluster)
        }
        Some(_) | None => {
            let message = format!("the action for datagrams is a `{ROUTE}`");
            cx.refuse(otherwise.span, message);
            None
        }
    }
}

fn hash(policy: &Spanned<UdpHashPolicy>, cx: &mut Cx<'_>) -> Option<DatagramHash> {
    match (policy.source_ip, policy.key.as_deref()) {
        (Some(true), None) => Some(DatagramHash::SourceAddress),
        (None, Some(key)) if !key.is_empty() => Some(DatagramHash::Key(key.into())),
        _ => {
            cx.refuse(policy.span, "write one of `source_ip: true` and `key`");
            None
        }
    }
}

/// The longest datagram that a socket takes: one that reads several at once takes any.
///
/// Source: 1.40.0, which was asked; `source/common/network/utility.cc` (`readFromSocketRecvGro`).
fn largest(node: Option<&Node>, usually_several: bool, cx: &mut Cx<'_>) -> u16 {
    let written: Option<types::UdpSocketConfig> = cx.read_maybe(node);
    let written = written.unwrap_or_default();
    let size =
        written
            .max_rx_datagram_size
            .map_or(LARGEST, |size| match u16::try_from(size.value.0) {
                Ok(bytes) if bytes > 0 => bytes,
                Ok(_) | Err(_) => {
                    cx.refuse(size.span, "must be from 1 to 65535");
                    LARGEST
                }
            });
    match written.prefer_gro.unwrap_or(usually_several) {
        true => u16::MAX,
        false => size,
    }
}
