//! Listeners for datagrams.

use std::net::SocketAddr;

use proxy_core::config::{DatagramHash, UdpRoute};
use proxy_core::time::Duration;
use serde_json::{Value, json};

use super::cx::Cx;
use super::message::{Message, extension, timer};

const UDP: &str = "envoy.extensions.filters.udp.udp_proxy.v3";
const MINUTE: Duration = Duration::from_secs(60);
/// What Envoy takes of a datagram unless told otherwise.
const USUAL: u16 = 1500;

/// Writes a listener whose datagrams are carried on.
pub(super) fn listener(
    name: &str,
    addresses: &[SocketAddr],
    route: &UdpRoute,
    cx: &mut Cx<'_>,
) -> Message {
    let mut message = Message::default();
    message.set("name", name);
    let mut all = addresses.iter().map(|at| socket(*at));
    message.maybe("address", all.next());
    let more = all.map(|at| json!({"address": at}));
    message.list("additional_addresses", more.collect());
    let mut config = Message::default();
    config.within("downstream_socket_config", sizes(route.largest_request));
    message.within("udp_listener_config", config);
    let filter = extension("envoy.filters.udp_listener.udp_proxy", proxy(route, cx));
    message.list("listener_filters", vec![filter]);
    message
}

fn socket(at: SocketAddr) -> Value {
    json!({"socket_address": {"protocol": "UDP", "address": at.ip().to_string(), "port_value": at.port()}})
}

fn sizes(largest: u16) -> Message {
    let mut message = Message::default();
    message.unless("max_rx_datagram_size", largest, USUAL);
    message
}

fn proxy(route: &UdpRoute, cx: &mut Cx<'_>) -> Message {
    let mut message = Message::any(&format!("{UDP}.UdpProxyConfig"));
    message.set("stat_prefix", &*route.name);
    let mut weighted = route.clusters.iter().filter(|(_, weight)| *weight > 0);
    if let Some((first, _)) = weighted.next() {
        let mut to = Message::any(&format!("{UDP}.Route"));
        to.set("cluster", &*cx.cluster(*first));
        let action = extension("route", to);
        message.set("matcher", json!({"on_no_match": {"action": action}}));
    }
    if weighted.next().is_some() {
        cx.departs("all its datagrams go to the first of its clusters: Envoy splits none");
    }
    let idle = route.idle_timeout.map(|it| it.value);
    match idle {
        Some(MINUTE) => {}
        Some(_) => message.set("idle_timeout", timer(idle)),
        None => {
            cx.departs("its sessions end after 292 years of silence");
            message.set("idle_timeout", timer(Some(Duration::MAX)));
        }
    }
    message.flag("use_per_packet_load_balancing", route.per_datagram);
    let hash = route.hash.as_ref().map(|hash| match hash {
        DatagramHash::SourceAddress => json!({"source_ip": true}),
        DatagramHash::Key(key) => json!({"key": &**key}),
    });
    message.list("hash_policies", hash.into_iter().collect());
    if route.largest_answer != u16::MAX {
        let mut answers = sizes(route.largest_answer);
        answers.set("prefer_gro", false);
        message.within("upstream_socket_config", answers);
    }
    message
}
