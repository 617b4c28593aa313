//! How connections come to the listeners of a node that stands beside an application.
//!
//! The network hands such a node what the pod sends and what it is sent, on two sockets; which listener then takes a connection is decided by
//! the address that it was meant for. Listeners that are bound to no port are there for that alone.
//!
//! Source: Envoy v3 `Listener.use_original_dst`, `Listener.bind_to_port`; istio 1.29 `pilot/pkg/networking/core/listener.go`; kuma 2.14
//! `pkg/xds/generator`; hashicorp/consul 1.21 `agent/xds/listeners.go`.

use std::net::SocketAddr;

use proxy_core::config::ListenerAddress;

use super::types::Direction;
use crate::text::{Node, Value};

/// The filter that asks for what a connection was meant for.
const ORIGINAL: &str = "envoy.extensions.filters.listener.original_dst.v3.OriginalDst";
/// What Consul calls the listener that everything from outside the pod is sent to.
const PUBLIC: &str = "public_listener";

/// What a listener says of how its connections come.
pub(super) struct Intercepted {
    bound: bool,
    original: bool,
}

impl Intercepted {
    /// Takes the fields that say it out of a listener.
    pub(super) fn take(node: &mut Node) -> Self {
        let is_original = |filter: &Node| {
            let kind = filter.at("typed_config.@type").and_then(Node::as_str);
            kind.is_some_and(|kind| kind.ends_with(ORIGINAL))
        };
        let filters = node.get("listener_filters").and_then(Node::as_seq);
        let mut original = filters.unwrap_or_default().iter().any(is_original);
        let mut bound = true;
        if let Some(map) = node.as_map_mut() {
            for (field, wanted, found) in [
                ("use_original_dst", true, &mut original),
                ("bind_to_port", false, &mut bound),
            ] {
                let written = map.get(field).map(|it| it.value == Value::Bool(wanted));
                if written == Some(true) {
                    *found = wanted;
                }
                map.remove(field);
            }
        }
        Self { bound, original }
    }

    /// Where the listener of this name takes its connections from.
    pub(super) fn address(&self, name: &str, way: Direction, at: SocketAddr) -> ListenerAddress {
        match way {
            Direction::Inbound if self.original && self.bound => ListenerAddress::InboundRest,
            Direction::Inbound if name.starts_with(PUBLIC) => ListenerAddress::InboundRest,
            Direction::Inbound if !self.bound => ListenerAddress::InboundPort(at.port()),
            Direction::Outbound | Direction::Unspecified if !self.bound => {
                match at.ip().is_unspecified() {
                    true => ListenerAddress::OutboundPort(at.port()),
                    false => ListenerAddress::OutboundTo(at),
                }
            }
            Direction::Outbound | Direction::Unspecified if self.original => {
                ListenerAddress::OutboundRest
            }
            Direction::Inbound | Direction::Outbound | Direction::Unspecified => {
                ListenerAddress::Socket(at)
            }
        }
    }
}
