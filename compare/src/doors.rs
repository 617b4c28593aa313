//! Connections that two sides are asked about.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use proxy_core::config::{
    Cidr, DownstreamTransport, FilterChain, Listener, ListenerAddress, ServerName,
    TransportProtocol,
};
use proxy_core::node::{Arrival, Peek, PeekedProtocol, TlsHello};

use super::Side;
use super::hosts::address_for;

/// An address that nobody has (TEST-NET-3, RFC 5737).
const ANYWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1));
/// A port that no listener has.
const ANY_PORT: u16 = 61_234;

/// Where a connection goes, in words that both sides share.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Door {
    /// A port that clients dial.
    Dialled(u16),
    /// A port that clients send datagrams to.
    Datagrams(u16),
    /// Out of the pod, to a Service.
    ToService(String, u16),
    /// Out of the pod, to an address.
    ToAddress(SocketAddr),
    /// Out of the pod, to this port, of an address that nobody has.
    ToPort(u16),
    /// Out of the pod, to where nobody is known.
    ToRest,
    /// To this port of the pod.
    At(u16),
    /// To another port of the pod.
    AtRest,
}

/// A connection as a side knows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    pub(crate) arrival: Arrival,
    /// By which its listener is found.
    pub(crate) at: SocketAddr,
}

impl Door {
    /// The port that its clients name in authorities, if any.
    pub(crate) fn port(&self) -> u16 {
        match self {
            Self::Dialled(port)
            | Self::Datagrams(port)
            | Self::ToService(_, port)
            | Self::ToPort(port)
            | Self::At(port) => *port,
            Self::ToAddress(at) => at.port(),
            Self::ToRest | Self::AtRest => ANY_PORT,
        }
    }

    /// `port 8080`, `outbound to shop/cart:80`.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Dialled(port) => format!("port {port}"),
            Self::Datagrams(port) => format!("port {port} for datagrams"),
            Self::ToService(service, port) => format!("outbound to {service}:{port}"),
            Self::ToAddress(at) => format!("outbound to {at}"),
            Self::ToPort(port) => format!("outbound to port {port}"),
            Self::ToRest => "outbound to where nobody is known".to_owned(),
            Self::At(port) => format!("inbound at port {port}"),
            Self::AtRest => "inbound at another port".to_owned(),
        }
    }

    /// How a side knows it. A Service that it has no address of is dialled at that of the other side.
    pub(crate) fn way(&self, side: &Side<'_>, other: &Side<'_>) -> Way {
        let to = |at| Way {
            arrival: Arrival::Outbound,
            at,
        };
        let arriving = |port| Way {
            arrival: Arrival::Inbound,
            at: SocketAddr::new(ANYWHERE, port),
        };
        match self {
            Self::Dialled(port) => Way {
                arrival: Arrival::Dialled,
                at: bound(side, *port, Arrival::Dialled)
                    .unwrap_or_else(|| SocketAddr::new(ANYWHERE, *port)),
            },
            Self::Datagrams(port) => Way {
                arrival: Arrival::Datagrams,
                at: bound(side, *port, Arrival::Datagrams)
                    .unwrap_or_else(|| SocketAddr::new(ANYWHERE, *port)),
            },
            Self::ToService(service, port) => {
                let known = address_for(side, other, service);
                to(SocketAddr::new(known.unwrap_or(ANYWHERE), *port))
            }
            Self::ToAddress(at) => to(*at),
            Self::ToPort(port) => to(SocketAddr::new(ANYWHERE, *port)),
            Self::ToRest => to(SocketAddr::new(ANYWHERE, ANY_PORT)),
            Self::At(port) => arriving(*port),
            Self::AtRest => arriving(ANY_PORT),
        }
    }
}

/// The address of the listener that takes what clients send to a port.
fn bound(side: &Side<'_>, port: u16, arrival: Arrival) -> Option<SocketAddr> {
    let listeners = side.sections.iter().flat_map(|section| section.listeners());
    let sockets = listeners.filter_map(|listener| match (listener.address, arrival) {
        (ListenerAddress::Socket(at), Arrival::Dialled)
        | (ListenerAddress::Datagrams(at), Arrival::Datagrams) => Some(at),
        (
            ListenerAddress::Socket(_)
            | ListenerAddress::OutboundTo(_)
            | ListenerAddress::OutboundPort(_)
            | ListenerAddress::OutboundRest
            | ListenerAddress::InboundPort(_)
            | ListenerAddress::InboundRest
            | ListenerAddress::Datagrams(_),
            Arrival::Dialled | Arrival::Outbound | Arrival::Inbound | Arrival::Datagrams,
        ) => None,
    });
    let mut of_port: Vec<SocketAddr> = sockets
        .filter(|at| dialled(side, at.port()) == port)
        .collect();
    // one for every address before one for a single one
    of_port.sort_by_key(|at| (!at.ip().is_unspecified(), *at));
    of_port.first().map(|at| match at.ip().is_unspecified() {
        true => SocketAddr::new(ANYWHERE, at.port()),
        false => *at,
    })
}

fn dialled(side: &Side<'_>, bound: u16) -> u16 {
    side.ports.get(&bound).copied().unwrap_or(bound)
}

/// Every door that either side has a listener or a chain for.
pub(crate) fn doors(sides: [&Side<'_>; 2]) -> BTreeSet<Door> {
    let mut all = BTreeSet::new();
    for side in sides {
        let sections = side.sections.iter();
        for listener in sections.flat_map(|section| section.listeners()) {
            of_listener(listener, side, &mut all);
        }
    }
    all
}

fn of_listener(listener: &Listener, side: &Side<'_>, all: &mut BTreeSet<Door>) {
    let to = |at: SocketAddr| match side.addresses.get(&at.ip()) {
        Some(service) => Door::ToService(service.clone(), at.port()),
        None => Door::ToAddress(at),
    };
    let (own, outbound) = match listener.address {
        ListenerAddress::Socket(at) => (Door::Dialled(dialled(side, at.port())), None),
        ListenerAddress::Datagrams(at) => (Door::Datagrams(dialled(side, at.port())), None),
        ListenerAddress::OutboundTo(at) => (to(at), Some(at.port())),
        ListenerAddress::OutboundPort(port) => (Door::ToPort(port), Some(port)),
        ListenerAddress::OutboundRest => (Door::ToRest, Some(80)),
        ListenerAddress::InboundPort(port) => (Door::At(port), None),
        ListenerAddress::InboundRest => (Door::AtRest, None),
    };
    let arrives = matches!(own, Door::AtRest | Door::At(_));
    all.insert(own);
    for chain in &listener.chains {
        match (chain.matches.port, outbound) {
            (Some(port), None) if arrives => {
                all.insert(Door::At(port));
            }
            (Some(port), Some(_)) => {
                all.insert(Door::ToPort(port));
            }
            (Some(_) | None, Some(_) | None) => {}
        }
        let Some(port) = chain
            .matches
            .port
            .or(outbound)
            .filter(|_| outbound.is_some())
        else {
            continue;
        };
        for block in &chain.matches.destinations {
            all.extend(inside(block).map(|ip| to(SocketAddr::new(ip, port))));
        }
    }
}

/// An address of a block; of all addresses none.
fn inside(block: &Cidr) -> Option<IpAddr> {
    (block.bits > 0).then_some(block.address)
}

/// What the first bytes of a connection show.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Hello {
    /// A request of HTTP/1.1.
    Http1,
    /// HTTP/2 at once.
    Http2,
    /// Other bytes.
    Bytes,
    /// TLS, for a server of this name and with these protocols.
    Tls {
        name: Option<String>,
        protocols: Vec<String>,
    },
}

impl Hello {
    /// `, TLS for api.example.com with h2`; empty for the plainest one.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Http1 => String::new(),
            Self::Http2 => ", HTTP/2".to_owned(),
            Self::Bytes => ", other bytes".to_owned(),
            Self::Tls { name, protocols } => {
                let name = name.as_deref();
                let name = name.map_or_else(String::new, |name| format!(" for {name}"));
                let with = match protocols.is_empty() {
                    true => String::new(),
                    false => format!(" with {}", protocols.join(" or ")),
                };
                format!(", TLS{name}{with}")
            }
        }
    }

    pub(crate) const fn is_tls(&self) -> bool {
        matches!(self, Self::Tls { .. })
    }

    /// Shows it as a node would see it.
    pub(crate) fn peek<T>(&self, then: impl FnOnce(&Peek<'_>) -> T) -> T {
        let plain = |protocol| Peek {
            tls: None,
            protocol,
        };
        match self {
            Self::Http1 => then(&plain(PeekedProtocol::Http1)),
            Self::Http2 => then(&plain(PeekedProtocol::Http2)),
            Self::Bytes => then(&plain(PeekedProtocol::Unknown)),
            Self::Tls { name, protocols } => {
                let alpn: Vec<&str> = protocols.iter().map(String::as_str).collect();
                then(&Peek {
                    tls: Some(TlsHello {
                        sni: name.as_deref(),
                        alpn: &alpn,
                    }),
                    protocol: PeekedProtocol::Unknown,
                })
            }
        }
    }
}

/// What two listeners are asked with: each protocol and each server name that a chain of either asks for, and what none asks for.
pub(crate) fn hellos(listeners: [Option<&Listener>; 2]) -> BTreeSet<Hello> {
    let mut all = BTreeSet::from([Hello::Http1, Hello::Http2, Hello::Bytes]);
    let chains = listeners.into_iter().flatten();
    let chains: Vec<&FilterChain> = chains.flat_map(|listener| &listener.chains).collect();
    let is_tls = |chain: &&FilterChain| {
        chain.matches.transport == Some(TransportProtocol::Tls)
            || !chain.matches.server_names.is_empty()
            || !matches!(chain.transport, DownstreamTransport::Plaintext)
    };
    if !chains.iter().any(is_tls) {
        return all;
    }
    let mut names: BTreeSet<Option<String>> =
        BTreeSet::from([None, Some(super::hosts::UNKNOWN.to_owned())]);
    let mut protocols: BTreeSet<Vec<String>> =
        BTreeSet::from([Vec::new(), vec!["h2".to_owned(), "http/1.1".to_owned()]]);
    for chain in &chains {
        names.extend(
            chain
                .matches
                .server_names
                .iter()
                .flat_map(names_of)
                .map(Some),
        );
        if chain.matches.transport != Some(TransportProtocol::Raw) {
            for protocol in &chain.matches.protocols {
                protocols.insert(vec![protocol.to_string()]);
            }
        }
    }
    for name in &names {
        for protocols in &protocols {
            all.insert(Hello::Tls {
                name: name.clone(),
                protocols: protocols.clone(),
            });
        }
    }
    all
}

fn names_of(name: &ServerName) -> Vec<String> {
    match name {
        ServerName::Exact(name) => vec![name.to_string(), format!("sub.{name}")],
        ServerName::Suffix(suffix) => vec![
            format!("any{suffix}"),
            suffix.trim_start_matches('.').to_owned(),
        ],
    }
}
