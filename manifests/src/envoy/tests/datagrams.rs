//! Listeners for datagrams.

use proxy_core::config::{ChainAction, DatagramHash, ListenerAddress, UdpRoute};
use proxy_core::time::Duration;

use super::harness::{accepted, refused};
use crate::envoy::Bootstrap;

/// A listener `l` for datagrams, with these fields of its filter, and of itself.
fn udp(filter: &str, more: &str) -> String {
    format!(
        "static_resources:
  listeners:
  - name: l
    address: {{socket_address: {{protocol: UDP, address: 127.0.0.1, port_value: 53}}}}
{more}
    listener_filters:
    - name: envoy.filters.udp_listener.udp_proxy
      typed_config:
        '@type': type.googleapis.com/envoy.extensions.filters.udp.udp_proxy.v3.UdpProxyConfig
        stat_prefix: dns
{filter}
  clusters:
  - {{name: a, type: STATIC}}
  - {{name: b, type: STATIC}}
"
    )
}

const TO_A: &str = "        matcher: {on_no_match: {action: {name: route, typed_config: {'@type': type.googleapis.com/envoy.extensions.filters.udp.udp_proxy.v3.Route, cluster: a}}}}\n";

fn route(b: &Bootstrap) -> &UdpRoute {
    let listener = b.listener();
    assert!(matches!(listener.address, ListenerAddress::Datagrams(_)));
    let ChainAction::Udp(route) = &listener.chains[0].action else {
        panic!("it is for datagrams")
    };
    route
}

#[test]
fn datagrams_go_to_a_cluster_with_envoys_defaults() {
    for filter in [TO_A, "        cluster: a"] {
        let b = accepted(&udp(filter, ""));
        let route = route(&b);
        assert_eq!((&*route.name, route.clusters.len()), ("dns", 1));
        let idle = route.idle_timeout.map(|it| it.value);
        assert_eq!(idle, Some(Duration::from_secs(60)));
        let largest = (route.largest_request, route.largest_answer);
        assert_eq!(largest, (1500, 65_535));
        assert_eq!((route.per_datagram, &route.hash), (false, &None));
        assert!(b.notices.is_empty(), "{:?}", b.notes());
    }
}

#[test]
fn every_field_of_a_udp_proxy_is_taken_or_told() {
    let all = format!(
        "{TO_A}        idle_timeout: 5s
        use_per_packet_load_balancing: true
        hash_policies: [{{source_ip: true}}]
        use_original_src_ip: true
        access_log: []
        upstream_socket_config: {{max_rx_datagram_size: 9000, prefer_gro: false}}"
    );
    let more =
        "    udp_listener_config: {downstream_socket_config: {max_rx_datagram_size: '65535'}}";
    let b = accepted(&udp(&all, more));
    let taken = route(&b);
    let idle = taken.idle_timeout.map(|it| it.value);
    assert_eq!(idle, Some(Duration::from_secs(5)));
    assert!(taken.per_datagram);
    assert_eq!(taken.hash, Some(DatagramHash::SourceAddress));
    assert_eq!(
        (taken.largest_request, taken.largest_answer),
        (65_535, 9000)
    );
    assert_eq!(
        b.notes(),
        [
            "`use_original_src_ip` is not modelled",
            "`access_log` is not modelled"
        ]
    );
    let key = accepted(&udp(
        &format!("{TO_A}        hash_policies: [{{key: k}}]"),
        "",
    ));
    assert_eq!(route(&key).hash, Some(DatagramHash::Key("k".into())));
}

#[test]
fn what_envoy_refuses_of_datagrams_is_refused() {
    let chains = "    filter_chains: [{filters: []}]";
    let both = "    additional_addresses: [{address: {socket_address: {address: 127.0.0.1, port_value: 2}}}]";
    for (filter, more, error) in [
        ("", "", "write one of `cluster` and `matcher`"),
        ("        cluster: c", "", "there is no cluster `c`"),
        (
            "        cluster: a\n        hash_policies: [{source_ip: false}]",
            "",
            "write one of `source_ip: true` and `key`",
        ),
        (
            "        cluster: a\n        upstream_socket_config: {max_rx_datagram_size: 65536}",
            "",
            "must be from 1 to 65535",
        ),
        (
            "        cluster: a",
            chains,
            "datagrams have no filter chains",
        ),
        (
            "        cluster: a",
            both,
            "all addresses of a listener have one protocol",
        ),
    ] {
        let errors = refused(&udp(filter, more)).errors();
        assert!(errors.iter().any(|it| it.contains(error)), "{errors:?}");
    }
}

#[test]
fn listeners_for_datagrams_that_nothing_here_takes_are_left_out() {
    let quic = "    udp_listener_config: {quic_options: {}}";
    let matcher = "        matcher: {matcher_list: {}}";
    for text in [
        udp(TO_A, quic),
        udp(matcher, ""),
        udp(TO_A, "").replace(
            "udp_proxy.v3.UdpProxyConfig",
            "dns_filter.v3.DnsFilterConfig",
        ),
    ] {
        let b = accepted(&text);
        assert!(b.section().listeners().is_empty(), "{text}");
        assert!(!b.notices.is_empty(), "{text}");
    }
}

#[test]
fn what_envoy_cannot_say_of_datagrams_is_told() {
    let first = accepted(&udp(TO_A, ""));
    let mut draft = proxy_core::config::SectionDraft::default();
    for cluster in first.section().clusters() {
        draft.add_cluster((**cluster).clone());
    }
    let mut listener = first.listener().clone();
    let ChainAction::Udp(route) = &mut listener.chains[0].action else {
        panic!("it is for datagrams")
    };
    route
        .clusters
        .push((proxy_core::config::ClusterIndex(1), 3));
    route.idle_timeout = None;
    draft.listeners.push(listener);
    let config = proxy_core::config::NodeConfig {
        sections: vec![std::sync::Arc::new(draft.build().unwrap())],
        ..(*first.config).clone()
    };
    let likeness = crate::envoy::write(&config, &crate::envoy::Written::default());
    let told: Vec<String> = likeness
        .departures
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        told,
        [
            "listener `l`: all its datagrams go to the first of its clusters: Envoy splits none",
            "listener `l`: its sessions end after 292 years of silence"
        ]
    );
}
