//! Listeners that a caller places elsewhere: at sockets of which it says what their connections are meant for.

use std::net::SocketAddr;

use proxy_core::config::NodeConfig;
use proxy_core::node::Arrival;
use proxy_core::origin::OriginId;

use super::Door;
use super::chains;
use super::cx::Cx;
use super::listeners::{Draft, Learns, Placed, inbound, outbound};

/// The listeners behind these sockets.
pub(super) fn all<'a>(config: &'a NodeConfig, doors: &[Door], cx: &mut Cx<'_>) -> Vec<Draft<'a>> {
    let mut drafts = Vec::new();
    let mut announced: Option<SocketAddr> = None;
    for door in doors {
        let place = format!("the socket {}", door.address);
        cx.at(place, OriginId::NONE, |cx| match (door.meant, door.arrival) {
            (Some(meant), arrival) => drafts.push(fixed(config, door.address, arrival, meant)),
            (None, Arrival::Outbound) if announced.is_none() => {
                announced = Some(door.address);
                drafts.extend(outbound(config, door.address, Learns::ByHeader));
            }
            (None, Arrival::Inbound) => {
                drafts.extend(inbound(config, door.address, Learns::ByHeader));
            }
            (None, Arrival::Outbound | Arrival::Dialled | Arrival::Datagrams) => {
                cx.departs("nobody listens: connections that say what they are meant for arrive at one socket, and are outgoing or arriving ones");
            }
        });
    }
    drafts
}

/// The listener for connections to one address. Where there is none they are closed.
fn fixed(
    config: &NodeConfig,
    address: SocketAddr,
    arrival: Arrival,
    meant: SocketAddr,
) -> Draft<'_> {
    let mut draft = match find(config, arrival, meant) {
        Some(placed) => Draft::of(placed, address),
        None => Draft {
            name: format!("nobody at {meant}"),
            addresses: vec![address],
            binds: true,
            learns: None,
            hands_on: false,
            meant: None,
            direction: None,
            parts: Vec::new(),
        },
    };
    draft.meant = Some(meant);
    for (_, chains) in &mut draft.parts {
        *chains = chains::of_address(std::mem::take(chains), meant);
    }
    draft.direction = match arrival {
        Arrival::Dialled | Arrival::Datagrams => None,
        Arrival::Outbound => Some("OUTBOUND"),
        Arrival::Inbound => Some("INBOUND"),
    };
    draft
}

/// The listener that takes a connection, in the node's own order: by address or port in any section, then the rest.
fn find(config: &NodeConfig, arrival: Arrival, meant: SocketAddr) -> Option<Placed<'_>> {
    let sections = || config.sections.iter().enumerate();
    let exact = sections().find_map(|(at, it)| Some((at, it.listener(arrival, meant)?)));
    let rest = || sections().find_map(|(at, it)| Some((at, it.rest_listener(arrival)?)));
    let (section, listener) = exact.or_else(rest)?;
    let listener = &config.sections[section].listeners()[listener as usize];
    Some(Placed { section, listener })
}
