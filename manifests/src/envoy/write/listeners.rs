//! Listeners: those that clients dial, those that only get what is redirected to them, and those that a caller places elsewhere.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use proxy_core::config::{ChainAction, Listener, ListenerAddress, NodeConfig, Preface};
use serde_json::{Value, json};

use super::chains::{self, Chains, whole};
use super::cx::{Cx, unique};
use super::message::{Message, extension, socket};
use super::{Sockets, datagrams, doors};

/// Envoy's connection buffer (`per_connection_buffer_limit_bytes`).
const BUFFER: u64 = 1 << 20;
const FILTERS: &str = "envoy.extensions.filters.listener";

/// Where a listener of a configuration stands.
#[derive(Clone, Copy)]
pub(super) struct Placed<'a> {
    pub(super) section: usize,
    pub(super) listener: &'a Listener,
}

/// How Envoy learns what a connection was meant for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Learns {
    /// It asks the system, which redirected it.
    BySystem,
    /// The connection begins with a PROXY header.
    ByHeader,
}

impl Learns {
    fn filter(self) -> Value {
        match self {
            Self::BySystem => listener_filter("original_dst", "original_dst.v3.OriginalDst"),
            Self::ByHeader => listener_filter("proxy_protocol", "proxy_protocol.v3.ProxyProtocol"),
        }
    }
}

fn preface(of: Preface) -> Value {
    let mut config = Message::any(&format!("{FILTERS}.proxy_protocol.v3.ProxyProtocol"));
    config.flag("allow_requests_without_proxy_protocol", of.optional);
    let versions = [(of.v1, "V1"), (of.v2, "V2")];
    let others = versions.iter().filter(|(taken, _)| !taken);
    config.list(
        "disallowed_versions",
        others.map(|(_, version)| Value::from(*version)).collect(),
    );
    extension("envoy.filters.listener.proxy_protocol", config)
}

fn listener_filter(name: &str, kind: &str) -> Value {
    let config = Message::any(&format!("{FILTERS}.{kind}"));
    extension(&format!("envoy.filters.listener.{name}"), config)
}

/// One of Envoy's listeners under construction.
pub(super) struct Draft<'a> {
    pub(super) name: String,
    pub(super) addresses: Vec<SocketAddr>,
    /// Whether it has a socket; else it only gets connections of others.
    pub(super) binds: bool,
    pub(super) learns: Option<Learns>,
    /// Whether it hands connections to the listener that has their original destination.
    pub(super) hands_on: bool,
    /// What all its connections are meant for, where Envoy cannot learn it.
    pub(super) meant: Option<SocketAddr>,
    pub(super) direction: Option<&'static str>,
    /// Chains by the listener that they are of.
    pub(super) parts: Vec<(Placed<'a>, Chains<'a>)>,
}

impl<'a> Draft<'a> {
    pub(super) fn of(placed: Placed<'a>, address: SocketAddr) -> Self {
        Self {
            name: placed.listener.name.to_string(),
            addresses: vec![address],
            binds: true,
            learns: None,
            hands_on: false,
            meant: None,
            direction: None,
            parts: vec![(placed, whole(&placed.listener.chains))],
        }
    }

    /// The header that its connections begin with, where its listener has one and nothing else is learned from one.
    fn preface(&self) -> Option<Preface> {
        let own = self.parts.iter().find_map(|(it, _)| it.listener.preface);
        own.filter(|_| self.binds && self.learns.is_none())
    }
}

/// Writes all listeners.
pub(super) fn all<'a>(config: &'a NodeConfig, cx: &mut Cx<'a>) -> Vec<Value> {
    let written = cx.written;
    let drafts = match &written.sockets {
        Sockets::Own => own(config),
        Sockets::Doors(doors) => doors::all(config, doors, cx),
    };
    let mut names: Vec<String> = Vec::new();
    let mut all = Vec::new();
    for draft in drafts {
        let plain = if draft.name.is_empty() {
            "unnamed"
        } else {
            &draft.name
        };
        let name = unique(plain, |name| names.iter().any(|other| other == name));
        all.push(listener(&draft, &name, config, cx).into());
        names.push(name);
    }
    all
}

pub(super) fn placed(config: &NodeConfig) -> impl Iterator<Item = Placed<'_>> {
    let sections = config.sections.iter().enumerate();
    sections.flat_map(|(section, it)| {
        let listeners = it.listeners().iter();
        listeners.map(move |listener| Placed { section, listener })
    })
}

/// Listeners at their own addresses.
fn own(config: &NodeConfig) -> Vec<Draft<'_>> {
    let mut drafts: Vec<Draft<'_>> = Vec::new();
    for placed in placed(config) {
        let (ListenerAddress::Socket(address) | ListenerAddress::Datagrams(address)) =
            placed.listener.address
        else {
            continue;
        };
        match drafts.last_mut().filter(|last| is_twin(last, placed)) {
            Some(twin) => twin.addresses.push(address),
            None => drafts.push(Draft::of(placed, address)),
        }
    }
    let any = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port);
    drafts.extend(outbound(config, any(15001), Learns::BySystem));
    drafts.extend(inbound(config, any(15006), Learns::BySystem));
    drafts
}

/// Whether a listener is the one before it, at another address.
fn is_twin(last: &Draft<'_>, placed: Placed<'_>) -> bool {
    let [(first, _)] = &last.parts[..] else {
        return false;
    };
    let (first, second) = (first.listener, placed.listener);
    core::mem::discriminant(&first.address) == core::mem::discriminant(&second.address)
        && first.name == second.name
        && first.max_connections == second.max_connections
        && first.preface == second.preface
        && format!("{:?}", first.chains) == format!("{:?}", second.chains)
}

/// What a sidecar's own application sends: one socket, which hands connections to listeners by their original destinations.
pub(super) fn outbound(config: &NodeConfig, at: SocketAddr, learns: Learns) -> Vec<Draft<'_>> {
    let (mut rest, mut others): (Option<Placed<'_>>, Vec<Draft<'_>>) = (None, Vec::new());
    let mut ports: Vec<u16> = Vec::new();
    for placed in placed(config) {
        let address = match placed.listener.address {
            // a listener of an earlier section, by port or address, takes all that this one would
            ListenerAddress::OutboundTo(to) => {
                let taken = others.iter().any(|other| other.addresses == [to]);
                let of = |it: &Draft<'_>| it.parts[0].0.section;
                let before = others.iter().any(|other| {
                    of(other) < placed.section
                        && other.addresses[0].ip().is_unspecified()
                        && other.addresses[0].port() == to.port()
                });
                if taken || before {
                    continue;
                }
                to
            }
            ListenerAddress::OutboundPort(port) => {
                if ports.contains(&port) {
                    continue;
                }
                ports.push(port);
                SocketAddr::new(super::message::unspecified(at.ip()), port)
            }
            ListenerAddress::OutboundRest => {
                rest = rest.or(Some(placed));
                continue;
            }
            ListenerAddress::Socket(_)
            | ListenerAddress::Datagrams(_)
            | ListenerAddress::InboundPort(_)
            | ListenerAddress::InboundRest => continue,
        };
        let mut draft = Draft::of(placed, address);
        draft.binds = false;
        draft.direction = Some("OUTBOUND");
        others.push(draft);
    }
    if rest.is_none() && others.is_empty() {
        return others;
    }
    let name = rest.map_or("virtualOutbound", |rest| &rest.listener.name);
    let main = Draft {
        name: name.to_owned(),
        addresses: vec![at],
        binds: true,
        learns: Some(learns),
        hands_on: true,
        meant: None,
        direction: Some("OUTBOUND"),
        parts: rest
            .map(|rest| (rest, whole(&rest.listener.chains)))
            .into_iter()
            .collect(),
    };
    others.insert(0, main);
    others
}

/// What arrives for a sidecar's own application: one socket, whose chains go by the port.
pub(super) fn inbound(config: &NodeConfig, at: SocketAddr, learns: Learns) -> Option<Draft<'_>> {
    let mut ports: Vec<u16> = Vec::new();
    let mut parts = Vec::new();
    let mut rest = None;
    for placed in placed(config) {
        match placed.listener.address {
            ListenerAddress::InboundPort(port) if !ports.contains(&port) => {
                ports.push(port);
                let mut own = chains::of_port(whole(&placed.listener.chains), port);
                own.iter_mut().for_each(|(_, it)| it.port = Some(port));
                parts.push((placed, own));
            }
            ListenerAddress::InboundRest => rest = rest.or(Some(placed)),
            ListenerAddress::InboundPort(_)
            | ListenerAddress::Socket(_)
            | ListenerAddress::Datagrams(_)
            | ListenerAddress::OutboundTo(_)
            | ListenerAddress::OutboundPort(_)
            | ListenerAddress::OutboundRest => {}
        }
    }
    if let Some(rest) = rest {
        let mut chains = whole(&rest.listener.chains);
        chains.retain(|(_, it)| it.port.is_none_or(|port| !ports.contains(&port)));
        parts.push((rest, chains));
    }
    if parts.is_empty() {
        return None;
    }
    let name = rest.map_or("virtualInbound", |rest| &rest.listener.name);
    Some(Draft {
        name: name.to_owned(),
        addresses: vec![at],
        binds: true,
        learns: Some(learns),
        hands_on: false,
        meant: None,
        direction: Some("INBOUND"),
        parts,
    })
}

fn listener<'a>(draft: &Draft<'a>, name: &str, config: &'a NodeConfig, cx: &mut Cx<'a>) -> Message {
    if let [(placed, chains)] = &draft.parts[..]
        && let [(chain, _)] = &chains[..]
        && let ChainAction::Udp(route) = &chain.action
    {
        let place = format!("listener `{name}`");
        cx.turn_to(config, placed.section);
        return cx.at(place, placed.listener.origin, |cx| {
            if placed.listener.max_connections.is_some() {
                cx.departs("its bound on connections has no bearing on datagrams");
            }
            datagrams::listener(name, &draft.addresses, route, cx)
        });
    }
    let mut message = Message::default();
    message.set("name", name);
    let mut addresses = draft.addresses.iter().copied();
    message.maybe("address", addresses.next().map(socket));
    let more = addresses.map(|at| json!({"address": socket(at)}));
    message.list("additional_addresses", more.collect());
    if !draft.binds {
        message.set("bind_to_port", false);
    }
    message.flag("use_original_dst", draft.hands_on);
    message.maybe("traffic_direction", draft.direction);
    let mut parts = draft.parts.iter();
    let heeds = parts.any(|(placed, _)| placed.listener.process_limit.is_some());
    message.flag(
        "ignore_global_conn_limit",
        cx.process_limit.is_some() && !heeds,
    );
    for (placed, _) in &draft.parts {
        if !placed.listener.logs.is_empty() {
            let place = format!("listener `{}`", placed.listener.name);
            cx.at(place, placed.listener.origin, |cx| {
                cx.departs("its access logs are not written");
            });
        }
    }
    let looks = draft.parts.iter().map(|(_, chains)| chains::looks(chains));
    let (tls, http) = looks.fold((false, false), |all, it| (all.0 || it.0, all.1 || it.1));
    let mut filters = Vec::new();
    filters.extend(draft.learns.map(Learns::filter));
    filters.extend(draft.preface().map(preface));
    if tls {
        filters.push(listener_filter(
            "tls_inspector",
            "tls_inspector.v3.TlsInspector",
        ));
    }
    if http {
        filters.push(listener_filter(
            "http_inspector",
            "http_inspector.v3.HttpInspector",
        ));
    }
    if !filters.is_empty() {
        // a connection may take as long as it likes to show what it is
        message.set("listener_filters_timeout", "0s");
    }
    message.list("listener_filters", filters);
    buffer(draft, &mut message, cx);
    cx.meant = draft.meant;
    let mut chains = Vec::new();
    let is_one = draft.parts.len() == 1;
    for (placed, own) in &draft.parts {
        cx.turn_to(config, placed.section);
        let listener = placed.listener;
        let limit = listener.max_connections.map(|limit| limit.value);
        if let Some(limit) = limit.filter(|_| is_one) {
            cx.connection_limits.push((name.to_owned(), limit));
        }
        let limit = limit.filter(|_| !is_one);
        let place = format!("listener `{}`", listener.name);
        let written = cx.at(place, listener.origin, |cx| {
            chains::all(own, &listener.name, limit, cx)
        });
        chains.extend(written);
    }
    cx.meant = None;
    if chains.is_empty() {
        // nobody takes them: they are closed
        message.set("default_filter_chain", json!({}));
    }
    message.list("filter_chains", chains);
    message
}

/// How much of a request is kept for a retry, which Envoy says once for a listener.
fn buffer(draft: &Draft<'_>, message: &mut Message, cx: &mut Cx<'_>) {
    let chains = draft.parts.iter().flat_map(|(_, chains)| chains);
    let mut sizes = chains.filter_map(|(chain, _)| match &chain.action {
        ChainAction::Http(http) => Some(http.retained_bytes),
        ChainAction::Tcp(_) | ChainAction::Udp(_) | ChainAction::Close(_) => None,
    });
    let Some(first) = sizes.next() else {
        return;
    };
    let most = sizes.clone().fold(first, u64::max);
    let is_uniform = sizes.all(|size| size == first);
    let bytes = u32::try_from(most).unwrap_or(u32::MAX);
    cx.at(
        format!("listener `{}`", draft.name),
        draft.parts[0].0.listener.origin,
        |cx| {
            if !is_uniform {
                cx.departs(format!("all its chains keep {bytes} bytes for a retry"));
            }
            if u64::from(bytes) != most {
                cx.departs("it keeps 4 GiB for a retry and no more");
            }
        },
    );
    if most != BUFFER {
        message.set("per_connection_buffer_limit_bytes", bytes);
    }
}
