//! Listeners of nodes beside applications.

use proxy_core::config::{ListenerAddress, NodeKind};

use crate::envoy::{Bootstrap, read, read_sidecar};

/// A listener of this name, address and port, with these fields besides.
fn listener(name: &str, address: &str, port: u16, fields: &str) -> String {
    let close = "{name: t, typed_config: {'@type': type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: c}}";
    format!(
        "    - name: '{name}'
      address: {{socket_address: {{address: '{address}', port_value: {port}}}}}
      filter_chains: [{{filters: [{close}]}}]
{}",
        fields
            .split("; ")
            .filter(|field| !field.is_empty())
            .map(|field| format!("      {field}\n"))
            .collect::<String>()
    )
}

fn text(listeners: &[String]) -> String {
    format!(
        "static_resources:\n  clusters: [{{name: c}}]\n  listeners:\n{}",
        listeners.concat()
    )
}

fn beside(text: &str) -> Bootstrap {
    read_sidecar("b.yaml", text).unwrap_or_else(|refused| panic!("{refused}\n{text}"))
}

const ORIGINAL: &str = "listener_filters: [{name: o, typed_config: {'@type': type.googleapis.com/envoy.extensions.filters.listener.original_dst.v3.OriginalDst}}]";

#[test]
fn listeners_are_found_by_what_connections_were_meant_for() {
    let at = |ip: [u8; 4], port: u16| (ip, port).into();
    for (name, address, port, fields, expected) in [
        (
            "virtualOutbound",
            "0.0.0.0",
            15001,
            "traffic_direction: OUTBOUND; use_original_dst: true",
            ListenerAddress::OutboundRest,
        ),
        (
            "virtualInbound",
            "0.0.0.0",
            15006,
            &format!("traffic_direction: INBOUND; {ORIGINAL}")[..],
            ListenerAddress::InboundRest,
        ),
        (
            "0.0.0.0_80",
            "0.0.0.0",
            80,
            "traffic_direction: OUTBOUND; bind_to_port: false",
            ListenerAddress::OutboundPort(80),
        ),
        (
            "10.96.0.1_80",
            "10.96.0.1",
            80,
            "traffic_direction: OUTBOUND; bind_to_port: false",
            ListenerAddress::OutboundTo(at([10, 96, 0, 1], 80)),
        ),
        (
            "inbound:10.1.0.7:8080",
            "10.1.0.7",
            8080,
            "traffic_direction: INBOUND; bind_to_port: false",
            ListenerAddress::InboundPort(8080),
        ),
        (
            "public_listener:10.1.0.7:20000",
            "10.1.0.7",
            20000,
            "traffic_direction: INBOUND",
            ListenerAddress::InboundRest,
        ),
        (
            "outbound_listener:127.0.0.1:15001",
            "127.0.0.1",
            15001,
            &format!("traffic_direction: OUTBOUND; {ORIGINAL}")[..],
            ListenerAddress::OutboundRest,
        ),
        (
            "prometheus",
            "0.0.0.0",
            15090,
            "",
            ListenerAddress::Socket(at([0, 0, 0, 0], 15090)),
        ),
        (
            "kuma:envoy:admin",
            "10.1.0.7",
            9901,
            "traffic_direction: INBOUND",
            ListenerAddress::Socket(at([10, 1, 0, 7], 9901)),
        ),
        (
            "explicit",
            "127.0.0.1",
            1234,
            "traffic_direction: OUTBOUND",
            ListenerAddress::Socket(at([127, 0, 0, 1], 1234)),
        ),
    ] {
        let read = beside(&text(&[listener(name, address, port, fields)]));
        assert_eq!(read.listener().address, expected, "{name}");
        assert_eq!(read.config.kind, NodeKind::Sidecar);
        assert!(read.notices.is_empty(), "{name}: {:?}", read.notices);
    }
}

#[test]
fn one_of_two_families_takes_the_rest_for_both() {
    let rest = |name: &str, address: &str| {
        let fields = "traffic_direction: OUTBOUND; use_original_dst: true";
        listener(name, address, 15001, fields)
    };
    let read = beside(&text(&[rest("ipv4", "0.0.0.0"), rest("ipv6", "::")]));
    assert_eq!(read.section().listeners().len(), 1);
    let told: Vec<&str> = read.notices.iter().map(|it| it.message.as_str()).collect();
    assert_eq!(told, ["`ipv6` beside `ipv4` is not modelled"]);
}

#[test]
fn other_nodes_leave_out_what_is_bound_to_no_port() {
    let fields = "bind_to_port: false; use_original_dst: true";
    let text = text(&[listener("a", "0.0.0.0", 80, fields)]);
    let read = read("b.yaml", &text).unwrap_or_else(|refused| panic!("{refused}"));
    assert!(read.section().listeners().is_empty());
    assert_eq!(read.config.kind, NodeKind::Gateway);
    assert_eq!(read.notices.len(), 2);
}
