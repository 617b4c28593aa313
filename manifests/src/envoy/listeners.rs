//! Listeners and their filter chains.

use std::net::{IpAddr, SocketAddr};

use proxy_core::config::{
    ChainAction, ChainMatch, Cidr, CloseReason, DownstreamTransport, FilterChain, Listener,
    ListenerAddress, Preface, SectionDraft, ServerName, TraceSide, TransportProtocol,
};
use proxy_core::origin::Sourced;

use super::compile::Cx;
use super::connections::{Place, http, tcp};
use super::intercepted::Intercepted;
use super::types::{self, ProxyVersion, SourceType, Transport};
use super::{datagrams, logs, read, tls};
use crate::diagnostics::Diagnostic;
use crate::text::{Node, Span, Spanned, Value};

/// Envoy's connection buffer (`per_connection_buffer_limit_bytes`).
const BUFFER: u32 = 1 << 20;
const HTTP: &str =
    "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
const TCP: &str = "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy";
const PREFACE: &str = "envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol";
const TLS_INSPECTOR: &str = "envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector";
const LIMIT: &str = "envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit";

/// Compiles one listener, once for each of its addresses.
pub(super) fn listener(node: &Node, draft: &mut SectionDraft, cx: &mut Cx<'_>) {
    let mut node = node.clone();
    let intercepted = cx.intercepts.then(|| Intercepted::take(&mut node));
    let node = &node;
    let Some(written) = cx.read::<types::Listener>(node) else {
        return;
    };
    let left_out = "no connection reaches it: the listener is left out";
    let not_bound = written.bind_to_port.filter(|bound| !bound.value);
    cx.note(written.internal_listener, "internal_listener", left_out);
    cx.note(written.api_listener, "api_listener", left_out);
    if let Some(bound) = not_bound {
        cx.left_out(bound.span, "`bind_to_port: false`", left_out);
    }
    let addresses = addresses(&written, node, cx);
    let is_datagrams = is_datagrams(&addresses, node, cx);
    let addresses: Vec<SocketAddr> = addresses.into_iter().map(|(at, _)| at).collect();
    let name = match &written.name {
        Some(name) => name.value.clone(),
        None => addresses
            .first()
            .map_or_else(String::new, ToString::to_string),
    };
    let place = Place {
        name: &name,
        buffer: written
            .per_connection_buffer_limit_bytes
            .map_or(BUFFER, |bytes| bytes.value.0),
        side: match written.traffic_direction {
            types::Direction::Outbound => TraceSide::Egress,
            types::Direction::Unspecified | types::Direction::Inbound => TraceSide::Ingress,
        },
    };
    let mut limit = cx.connection_limits.get(&name).copied();
    let mut preface = None;
    let chains = match is_datagrams {
        true => match datagrams::chain(&written, node, cx) {
            Some(chain) => vec![chain],
            None => return,
        },
        false => {
            preface = listener_filters(&written.listener_filters, cx);
            chains(&written, node, place, &mut limit, draft, cx)
        }
    };
    let logs = logs::logs(&written.access_log, cx);
    let process_limit = cx
        .process_limit
        .filter(|_| !written.ignore_global_conn_limit);
    let is_reached = written.internal_listener.is_none()
        && written.api_listener.is_none()
        && not_bound.is_none();
    let origin = cx.written(written.name.as_ref().map_or(node.span, |name| name.span));
    for address in addresses.into_iter().filter(|_| is_reached) {
        let address = match (is_datagrams, &intercepted) {
            (true, _) => ListenerAddress::Datagrams(address),
            (false, None) => ListenerAddress::Socket(address),
            (false, Some(it)) => it.address(&name, written.traffic_direction, address),
        };
        let twin = draft
            .listeners
            .iter()
            .find(|other| other.address == address);
        let is_rest = matches!(
            address,
            ListenerAddress::OutboundRest | ListenerAddress::InboundRest
        );
        if let Some(twin) = twin.filter(|_| is_rest) {
            // one for each family of addresses
            if *twin.name != *name {
                let what = format!("`{name}` beside `{}`", twin.name);
                let meaning = "connections of both families are taken by the first";
                cx.left_out(node.span, &what, meaning);
            }
            continue;
        }
        if let Some(twin) = twin {
            let message = format!("listeners `{}` and `{name}` have one address", twin.name);
            cx.refuse(node.span, message);
            continue;
        }
        draft.listeners.push(Listener {
            name: name.as_str().into(),
            address,
            chains: chains.clone(),
            max_connections: limit.filter(|_| !is_datagrams),
            preface,
            process_limit: process_limit.filter(|_| !is_datagrams),
            logs: logs.clone(),
            origin,
        });
    }
}

fn chains(
    written: &types::Listener,
    node: &Node,
    place: Place<'_>,
    limit: &mut Option<Sourced<u32>>,
    draft: &mut SectionDraft,
    cx: &mut Cx<'_>,
) -> Vec<FilterChain> {
    let mut chains: Vec<FilterChain> = Vec::new();
    let all = written.filter_chains.iter().enumerate();
    for (number, chain) in all {
        chains.extend(filter_chain(chain, number, place, limit, draft, cx));
    }
    if let Some(chain) = &written.default_filter_chain {
        let number = chains.len();
        if let Some(compiled) = filter_chain(chain, number, place, limit, draft, cx) {
            default_chain(compiled, chain.span, &mut chains, cx);
        }
    }
    let unseen = unseen_ports(&written.listener_filters);
    chains.retain_mut(|chain| is_met(&mut chain.matches, &unseen));
    check_unique(&chains, node.span, cx);
    chains
}

/// Ranges of ports on which nobody looks for TLS, the first of a range in it and the last not.
///
/// Source: Envoy v3 `ListenerFilter.filter_disabled`, as Istio writes it: a range of ports, or any of several. Departs: other predicates
/// are left out, which is told.
fn unseen_ports(filters: &[Node]) -> Vec<(u16, u16)> {
    let mut found = Vec::new();
    for filter in filters {
        let kind = filter.at("typed_config.@type").and_then(Node::as_str);
        let Some(off) = filter.get("filter_disabled") else {
            continue;
        };
        if !kind.is_some_and(|kind| kind.ends_with(TLS_INSPECTOR)) {
            continue;
        }
        let rules = off.at("or_match.rules").and_then(Node::as_seq);
        for rule in rules.unwrap_or_else(|| std::slice::from_ref(off)) {
            let port = |field: &str| {
                let Value::Int(number) = rule.at(field)?.value else {
                    return None;
                };
                u16::try_from(number).ok()
            };
            let (start, end) = ("destination_port_range.start", "destination_port_range.end");
            found.extend(port(start).zip(port(end)));
        }
    }
    found
}

/// Whether a chain may take a connection where nobody looks for TLS: none is known to be one.
fn is_met(matches: &mut ChainMatch, unseen: &[(u16, u16)]) -> bool {
    let is_unseen = |port: u16| {
        unseen
            .iter()
            .any(|(start, end)| (*start..*end).contains(&port))
    };
    if !matches.port.is_some_and(is_unseen) {
        return true;
    }
    let is_tls = matches.transport == Some(TransportProtocol::Tls);
    matches.transport = None;
    !is_tls
}

/// Whether datagrams come to a listener; Envoy refuses one for both.
fn is_datagrams(addresses: &[(SocketAddr, Transport)], node: &Node, cx: &mut Cx<'_>) -> bool {
    let mut all = addresses
        .iter()
        .map(|(_, protocol)| *protocol == Transport::Udp);
    let is_datagrams = all.next().unwrap_or(false);
    if all.any(|other| other != is_datagrams) {
        cx.refuse(node.span, "all addresses of a listener have one protocol");
    }
    is_datagrams
}

fn addresses(
    written: &types::Listener,
    node: &Node,
    cx: &mut Cx<'_>,
) -> Vec<(SocketAddr, Transport)> {
    if written.address.is_none() && written.internal_listener.is_none() {
        cx.refuse(node.span, "a listener needs an `address`");
    }
    let more = written
        .additional_addresses
        .iter()
        .map(|more| &more.address);
    let all = written.address.iter().chain(more);
    all.filter_map(|address| cx.literal_of_any(address))
        .collect()
}

/// What is read of connections before their chain is chosen; gives the header that they begin with.
fn listener_filters(filters: &[Node], cx: &mut Cx<'_>) -> Option<Preface> {
    const KNOWN: [&str; 3] = [
        TLS_INSPECTOR,
        "envoy.extensions.filters.listener.http_inspector.v3.HttpInspector",
        "envoy.extensions.filters.listener.original_dst.v3.OriginalDst",
    ];
    let mut preface = None;
    for node in filters {
        let Some(filter) = cx.read::<types::ListenerFilter>(node) else {
            continue;
        };
        let typed = match &filter.typed_config {
            Some(config) => cx.typed(config),
            None => read::by_name(filter.name.as_ref(), node.span),
        };
        let kind = typed.as_ref().map_or("", |typed| typed.kind.as_str());
        if KNOWN.contains(&kind) {
            continue;
        }
        if let Some(typed) = typed.as_ref().filter(|typed| typed.kind == PREFACE) {
            let found = self::preface(&typed.config, cx);
            preface = preface.or(found);
            continue;
        }
        let name = filter.name.map_or_else(String::new, |name| name.value);
        let what = format!("the listener filter `{name}`");
        cx.left_out(node.span, &what, "connections pass it untouched");
    }
    preface
}

fn preface(node: &Node, cx: &mut Cx<'_>) -> Option<Preface> {
    let written: types::ProxyProtocol = cx.read(node)?;
    let takes = |version| !written.disallowed_versions.contains(&version);
    Some(Preface {
        optional: written.allow_requests_without_proxy_protocol,
        v1: takes(ProxyVersion::V1),
        v2: takes(ProxyVersion::V2),
    })
}

fn filter_chain(
    node: &Node,
    number: usize,
    place: Place<'_>,
    limit: &mut Option<Sourced<u32>>,
    draft: &mut SectionDraft,
    cx: &mut Cx<'_>,
) -> Option<FilterChain> {
    let written: types::FilterChain = cx.read(node)?;
    let matches = match &written.filter_chain_match {
        Some(node) => chain_match(node, cx)?,
        None => ChainMatch::default(),
    };
    let number = number.to_string();
    let chain = written.name.as_deref().unwrap_or(&number);
    let transport = match &written.transport_socket {
        Some(socket) => {
            let certificate = format!("listener/{}/{chain}", place.name);
            tls::downstream(socket, &certificate, cx)?
        }
        None => DownstreamTransport::Plaintext,
    };
    Some(FilterChain {
        matches,
        transport,
        action: action(&written, node.span, place, limit, draft, cx)?,
        origin: cx.written(node.span),
    })
}

/// What the chain's filters make of a connection: the last one decides.
fn action(
    written: &types::FilterChain,
    span: Span,
    place: Place<'_>,
    limit: &mut Option<Sourced<u32>>,
    draft: &mut SectionDraft,
    cx: &mut Cx<'_>,
) -> Option<ChainAction> {
    let closed = ChainAction::Close(CloseReason::NoFilterChain);
    if written.filters.is_empty() {
        let message = "a chain without filters closes its connections";
        cx.out
            .push(Diagnostic::warning("envoy::no-filters", message).label(span, "this chain"));
        return Some(closed);
    }
    let last = written.filters.len() - 1;
    let mut action = None;
    for (number, node) in written.filters.iter().enumerate() {
        let Some(filter) = crate::text::read::<types::NetworkFilter>(node, cx.out) else {
            continue;
        };
        let dynamic = "nothing is fetched: what stands in the file is all there is";
        cx.note(filter.config_discovery, "config_discovery", dynamic);
        let typed = filter
            .typed_config
            .as_ref()
            .and_then(|config| cx.typed(config));
        let kind = typed.as_ref().map(|typed| typed.kind.as_str());
        let is_terminal = matches!(kind, Some(HTTP | TCP));
        if is_terminal && number != last {
            cx.refuse(node.span, "this filter ends the chain, and others follow");
        }
        match (kind, &typed) {
            (Some(HTTP), Some(typed)) => {
                action = http(&typed.config, place, draft, cx)
                    .map(|http| ChainAction::Http(Box::new(http)));
            }
            (Some(TCP), Some(typed)) => action = tcp(&typed.config, cx).map(ChainAction::Tcp),
            (Some(LIMIT), Some(typed)) => connection_limit(&typed.config, limit, cx),
            _ => {
                let name = filter.name.as_ref().map_or("", |name| name.value.as_str());
                let (meaning, end) = match number == last {
                    true => ("connections of this chain are closed", Some(closed.clone())),
                    false => (
                        "connections that it would refuse or change pass it untouched",
                        None,
                    ),
                };
                cx.left_out(node.span, &format!("the network filter `{name}`"), meaning);
                action = end;
            }
        }
        if kind == Some(LIMIT) && number == last {
            cx.refuse(node.span, "the last filter must end the chain");
        }
    }
    action
}

fn connection_limit(node: &Node, limit: &mut Option<Sourced<u32>>, cx: &mut Cx<'_>) {
    let Some(written) = cx.read::<types::ConnectionLimit>(node) else {
        return;
    };
    let is_off = |enabled: &super::values::Runtime<bool>| enabled.default_value == Some(false);
    if written.runtime_enabled.as_ref().is_some_and(is_off) {
        return;
    }
    let origin = cx.written(written.max_connections.span);
    let most = u32::try_from(written.max_connections.value.0).unwrap_or(u32::MAX);
    // All chains of a listener share one bound here: the strictest.
    if limit.is_none_or(|before| most < before.value) {
        *limit = Some(Sourced::new(most, origin));
    }
}

fn chain_match(node: &Node, cx: &mut Cx<'_>) -> Option<ChainMatch> {
    let written: types::FilterChainMatch = cx.read(node)?;
    let meaning = "the chain takes connections whatever their source";
    cx.note(
        written.source_prefix_ranges,
        "source_prefix_ranges",
        meaning,
    );
    cx.note(
        written.direct_source_prefix_ranges,
        "direct_source_prefix_ranges",
        meaning,
    );
    cx.note(written.source_ports, "source_ports", meaning);
    if let Some(kind) = written
        .source_type
        .filter(|kind| kind.value != SourceType::Any)
    {
        cx.left_out(kind.span, "`source_type`", meaning);
    }
    let mut destinations = Vec::new();
    for range in &written.prefix_ranges {
        destinations.extend(cidr(range, cx));
    }
    let mut server_names = Vec::new();
    for name in &written.server_names {
        server_names.extend(server_name(name, cx));
    }
    let transport = match &written.transport_protocol {
        Some(name) => transport(name, cx),
        None => None,
    };
    Some(ChainMatch {
        port: written.destination_port.map(|port| port.0),
        destinations,
        server_names,
        transport,
        protocols: written
            .application_protocols
            .iter()
            .map(|protocol| protocol.as_str().into())
            .collect(),
    })
}

pub(super) fn cidr(range: &types::CidrRange, cx: &mut Cx<'_>) -> Option<Cidr> {
    let Ok(address) = range.address_prefix.parse::<IpAddr>() else {
        let message = format!("`{}` is no IP address", range.address_prefix);
        cx.refuse(range.address_prefix.span, message);
        return None;
    };
    let bits = range.prefix_len.map_or(0, |bits| bits.0);
    let most = if address.is_ipv4() { 32 } else { 128 };
    Some(Cidr {
        address,
        bits: bits.min(most),
    })
}

fn server_name(name: &Spanned<String>, cx: &mut Cx<'_>) -> Option<ServerName> {
    let lower = name.to_ascii_lowercase();
    match lower.strip_prefix('*') {
        Some(suffix) if suffix.starts_with('.') && !suffix.contains('*') => {
            Some(ServerName::Suffix(suffix.into()))
        }
        None if !lower.contains('*') => Some(ServerName::Exact(lower.into())),
        Some(_) | None => {
            cx.refuse(
                name.span,
                "a wildcard is the whole first label, as in `*.example.com`",
            );
            None
        }
    }
}

fn transport(name: &Spanned<String>, cx: &mut Cx<'_>) -> Option<TransportProtocol> {
    match name.as_str() {
        "" => None,
        "tls" => Some(TransportProtocol::Tls),
        "raw_buffer" => Some(TransportProtocol::Raw),
        other => {
            let meaning = "the chain takes connections of every transport";
            cx.left_out(
                name.span,
                &format!("the transport protocol `{other}`"),
                meaning,
            );
            None
        }
    }
}

/// Puts the default chain last: it takes what no other takes, as an empty match does.
fn default_chain(
    mut chain: FilterChain,
    span: Span,
    chains: &mut Vec<FilterChain>,
    cx: &mut Cx<'_>,
) {
    if chains
        .iter()
        .any(|other| other.matches == ChainMatch::default())
    {
        let what = "`default_filter_chain` beside a chain without a match";
        cx.left_out(
            span,
            what,
            "the chain without a match takes its connections",
        );
        return;
    }
    chain.matches = ChainMatch::default();
    chains.push(chain);
}

/// Envoy refuses chains that take the same connections.
fn check_unique(chains: &[FilterChain], span: Span, cx: &mut Cx<'_>) {
    for (number, chain) in chains.iter().enumerate() {
        if let Some(twin) = chains[..number]
            .iter()
            .find(|twin| twin.matches == chain.matches)
        {
            let place = |origin, cx: &Cx<'_>| cx.origins.span(origin).unwrap_or(span);
            let (second, first) = (place(chain.origin, cx), place(twin.origin, cx));
            cx.out.push(
                Diagnostic::error(
                    "envoy::duplicate-chain",
                    "two filter chains have the same match",
                )
                .label(second, "the second")
                .label(first, "the first"),
            );
        }
    }
}
