//! Filter chains: which connections they take, and what they make of them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use proxy_core::config::{
    ChainAction, ChainMatch, Cidr, DownstreamTransport, FilterChain, ServerName, TransportProtocol,
};
use serde_json::Value;

use super::cx::Cx;
use super::message::{Message, cidr, extension};
use super::{manager, tls};

const LIMIT: &str = "envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit";

/// The chains that may take connections of a listener, each with what it is to match.
pub(super) type Chains<'a> = Vec<(&'a FilterChain, ChainMatch)>;

/// All chains of a listener as they are.
pub(super) fn whole(chains: &[FilterChain]) -> Chains<'_> {
    let all = chains.iter();
    all.map(|chain| (chain, chain.matches.clone())).collect()
}

/// The chains for connections to one port, which match by everything else: those that name the port shut out those that name none.
pub(super) fn of_port(chains: Chains<'_>, port: u16) -> Chains<'_> {
    let named = chains.iter().any(|(_, it)| it.port == Some(port));
    let wanted = named.then_some(port);
    let own = chains.into_iter().filter(|(_, it)| it.port == wanted);
    own.map(|(chain, it)| (chain, ChainMatch { port: None, ..it }))
        .collect()
}

/// The chains for connections to one address: those of the longest block that it lies in.
pub(super) fn of_address(chains: Chains<'_>, at: SocketAddr) -> Chains<'_> {
    let longest = |it: &ChainMatch| {
        if it.destinations.is_empty() {
            return Some(0);
        }
        let containing = it
            .destinations
            .iter()
            .filter(|block| block.contains(at.ip()));
        containing.map(|block| 1 + u32::from(block.bits)).max()
    };
    let chains = of_port(chains, at.port());
    let best = chains.iter().filter_map(|(_, it)| longest(it)).max();
    let own = chains.into_iter().filter(|(_, it)| longest(it) == best);
    own.map(|(chain, it)| {
        let destinations = Vec::new();
        (chain, ChainMatch { destinations, ..it })
    })
    .collect()
}

/// Whether a listener has to look at the first bytes of its connections: for TLS, and for HTTP.
pub(super) fn looks(chains: &Chains<'_>) -> (bool, bool) {
    let mut matches = chains.iter().map(|(_, it)| it);
    let tls = matches
        .clone()
        .any(|it| it.transport.is_some() || !it.server_names.is_empty());
    let http = matches.any(|it| !it.protocols.is_empty());
    (tls || http, http)
}

/// Writes the chains of a listener called `listener`. Envoy refuses two that take the same connections: of these the first stands.
pub(super) fn all(
    chains: &Chains<'_>,
    listener: &str,
    limit: Option<u32>,
    cx: &mut Cx<'_>,
) -> Vec<Value> {
    let limited = chains.iter().filter(|(chain, _)| match &chain.action {
        ChainAction::Http(http) => manager::is_limited(http, cx),
        ChainAction::Tcp(_) | ChainAction::Udp(_) | ChainAction::Close(_) => false,
    });
    if limited.count() > 1 {
        cx.departs("its rate limits count for each filter chain apart");
    }
    if limit.is_some() && chains.len() > 1 {
        cx.departs("its bound on connections counts for each filter chain apart");
    }
    let mut taken: Vec<ChainMatch> = Vec::new();
    let mut written = Vec::new();
    for (number, (chain, matches)) in chains.iter().enumerate() {
        let matches = &distinct(matches);
        let every = single(matches);
        let free: Vec<ChainMatch> = every
            .iter()
            .filter(|it| !taken.contains(it))
            .cloned()
            .collect();
        let parts = match free.len() == every.len() {
            true => vec![matches.clone()],
            false => free.clone(),
        };
        taken.extend(free);
        let place = format!("chain {number}");
        written.extend(cx.at(place, chain.origin, |cx| {
            let one = |part: &ChainMatch| filter_chain(chain, part, listener, limit, cx).into();
            parts.iter().map(one).collect::<Vec<Value>>()
        }));
    }
    written
}

/// Without what is listed twice, which Envoy takes for two chains; blocks have the first address of theirs.
fn distinct(matches: &ChainMatch) -> ChainMatch {
    let mut blocks: Vec<Cidr> = Vec::new();
    for block in matches.destinations.iter().map(network) {
        if !blocks.contains(&block) {
            blocks.push(block);
        }
    }
    let mut distinct = ChainMatch {
        destinations: blocks,
        server_names: Vec::new(),
        protocols: Vec::new(),
        ..matches.clone()
    };
    for name in &matches.server_names {
        if !distinct.server_names.contains(name) {
            distinct.server_names.push(name.clone());
        }
    }
    for protocol in &matches.protocols {
        if !distinct.protocols.contains(protocol) {
            distinct.protocols.push(protocol.clone());
        }
    }
    distinct
}

fn network(block: &Cidr) -> Cidr {
    let address = match block.address {
        IpAddr::V4(ip) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(block.bits.min(32)));
            IpAddr::from(Ipv4Addr::from_bits(ip.to_bits() & mask.unwrap_or(0)))
        }
        IpAddr::V6(ip) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(block.bits.min(128)));
            IpAddr::from(Ipv6Addr::from_bits(ip.to_bits() & mask.unwrap_or(0)))
        }
    };
    Cidr { address, ..*block }
}

/// A match for every combination of what it lists.
fn single(matches: &ChainMatch) -> Vec<ChainMatch> {
    let mut all = vec![ChainMatch {
        port: matches.port,
        transport: matches.transport,
        ..ChainMatch::default()
    }];
    all = cross(all, &matches.destinations, |it, block| {
        it.destinations.push(*block);
    });
    all = cross(all, &matches.server_names, |it, name| {
        it.server_names.push(name.clone());
    });
    cross(all, &matches.protocols, |it, protocol| {
        it.protocols.push(protocol.clone());
    })
}

fn cross<T>(
    all: Vec<ChainMatch>,
    values: &[T],
    add: impl Fn(&mut ChainMatch, &T),
) -> Vec<ChainMatch> {
    if values.is_empty() {
        return all;
    }
    let each = |value: &T| -> Vec<ChainMatch> {
        let mut with = all.clone();
        with.iter_mut().for_each(|it| add(it, value));
        with
    };
    values.iter().flat_map(each).collect()
}

fn filter_chain(
    chain: &FilterChain,
    matches: &ChainMatch,
    listener: &str,
    limit: Option<u32>,
    cx: &mut Cx<'_>,
) -> Message {
    let mut message = Message::default();
    message.within("filter_chain_match", chain_match(matches));
    if let DownstreamTransport::Tls { certificate, .. } = &chain.transport {
        // certificates are called by listener and chain
        let name = certificate.strip_prefix("listener/");
        let name = name.and_then(|name| name.strip_prefix(listener)?.strip_prefix('/'));
        message.maybe("name", name);
    }
    message.maybe("transport_socket", tls::downstream(&chain.transport, cx));
    let mut filters = Vec::new();
    if let Some(most) = limit {
        let mut config = Message::any(LIMIT);
        config.set("stat_prefix", listener);
        config.set("max_connections", most);
        filters.push(extension("envoy.filters.network.connection_limit", config));
    }
    match &chain.action {
        ChainAction::Http(http) => {
            let config = manager::http(http, listener, cx);
            filters.push(extension(
                "envoy.filters.network.http_connection_manager",
                config,
            ));
        }
        ChainAction::Tcp(tcp) => {
            let config = manager::tcp(tcp, listener, cx);
            filters.push(extension("envoy.filters.network.tcp_proxy", config));
        }
        // a chain without filters closes its connections; that of a listener for datagrams is written with it
        ChainAction::Close(_) | ChainAction::Udp(_) => filters.clear(),
    }
    message.list("filters", filters);
    message
}

fn chain_match(matches: &ChainMatch) -> Message {
    let mut message = Message::default();
    message.maybe("destination_port", matches.port);
    let ranges = matches.destinations.iter().map(|block: &Cidr| cidr(block));
    message.list("prefix_ranges", ranges.collect());
    let names = matches.server_names.iter().map(|name| match name {
        ServerName::Exact(name) => Value::from(&**name),
        ServerName::Suffix(suffix) => format!("*{suffix}").into(),
    });
    message.list("server_names", names.collect());
    let transport = matches.transport.map(|transport| match transport {
        TransportProtocol::Raw => "raw_buffer",
        TransportProtocol::Tls => "tls",
    });
    message.maybe("transport_protocol", transport);
    let protocols = matches.protocols.iter().map(|it| Value::from(&**it));
    message.list("application_protocols", protocols.collect());
    message
}
