//! Where connections arrive: what is intercepted, and sockets that a caller gives.

use std::net::SocketAddr;
use std::sync::Arc;

use proxy_core::config::{
    ChainAction, ChainMatch, Cidr, CloseReason, Cluster, ClusterIndex, DownstreamTransport,
    EndpointSet, FilterChain, Listener, ListenerAddress, NodeConfig, NodeKind, SectionDraft,
    TcpRoute,
};
use proxy_core::node::Arrival;
use proxy_core::origin::{OriginId, Sourced};
use serde_json::{Value, json};

use crate::envoy::{Door, Likeness, Sockets, Written, write};

/// A chain that carries bytes to the only cluster.
fn chain(matches: ChainMatch) -> FilterChain {
    FilterChain {
        matches,
        transport: DownstreamTransport::Plaintext,
        action: ChainAction::Tcp(TcpRoute {
            clusters: vec![(ClusterIndex(0), 1)],
            idle_timeout: None,
            connect_retries: 0,
            max_duration: None,
            logs: proxy_core::config::CarriedLogs::default(),
            origin: OriginId::NONE,
        }),
        origin: OriginId::NONE,
    }
}

fn closed() -> FilterChain {
    FilterChain {
        action: ChainAction::Close(CloseReason::BlackHole),
        ..chain(ChainMatch::default())
    }
}

fn listener(name: &str, address: ListenerAddress, chains: Vec<FilterChain>) -> Listener {
    Listener {
        name: name.into(),
        address,
        chains,
        max_connections: None,
        preface: None,
        process_limit: None,
        logs: proxy_core::log::Logs::default(),
        origin: OriginId::NONE,
    }
}

fn at(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn on_port(port: u16) -> ChainMatch {
    ChainMatch {
        port: Some(port),
        ..ChainMatch::default()
    }
}

fn node(listeners: Vec<Listener>) -> NodeConfig {
    let mut draft = SectionDraft {
        listeners,
        ..SectionDraft::default()
    };
    draft.add_cluster(Cluster::envoy("a", EndpointSet::default()));
    NodeConfig {
        name: "default/a-0".into(),
        kind: NodeKind::Sidecar,
        sections: vec![Arc::new(draft.build().expect("a section"))],
    }
}

fn sidecar() -> NodeConfig {
    let to = at("10.96.0.1:80");
    node(vec![
        listener("out-to", ListenerAddress::OutboundTo(to), vec![closed()]),
        listener("out-80", ListenerAddress::OutboundPort(80), vec![closed()]),
        listener("out", ListenerAddress::OutboundRest, vec![closed()]),
        listener(
            "in-8080",
            ListenerAddress::InboundPort(8080),
            vec![chain(ChainMatch::default()), chain(on_port(9))],
        ),
        listener(
            "in",
            ListenerAddress::InboundRest,
            vec![
                chain(ChainMatch::default()),
                chain(on_port(8080)),
                chain(on_port(9)),
            ],
        ),
    ])
}

fn listeners(likeness: &Likeness) -> &[Value] {
    let all = likeness.bootstrap["static_resources"]["listeners"].as_array();
    all.expect("listeners")
}

fn filters(listener: &Value) -> Vec<&str> {
    let all = listener["listener_filters"].as_array();
    let all = all.map_or(&[][..], |all| all);
    all.iter().filter_map(|it| it["name"].as_str()).collect()
}

#[test]
fn what_is_intercepted_arrives_at_two_sockets_and_is_handed_on() {
    let likeness = write(&sidecar(), &Written::default());
    let [out, to, port, inbound] = listeners(&likeness) else {
        panic!("{:#}", likeness.bootstrap)
    };
    let place = |it: &Value| {
        let socket = &it["address"]["socket_address"];
        format!(
            "{}:{}",
            socket["address"].as_str().unwrap(),
            socket["port_value"]
        )
    };
    assert_eq!(place(out), "0.0.0.0:15001");
    assert_eq!(out["use_original_dst"], true);
    assert_eq!(filters(out), ["envoy.filters.listener.original_dst"]);
    assert_eq!(place(to), "10.96.0.1:80");
    assert_eq!(place(port), "0.0.0.0:80");
    assert_eq!(to["bind_to_port"], false);
    assert_eq!(port["bind_to_port"], false);
    assert_eq!(place(inbound), "0.0.0.0:15006");
    assert!(inbound.get("use_original_dst").is_none());
    assert_eq!(likeness.departures, []);
}

#[test]
fn the_chains_of_a_port_shut_out_those_of_no_port() {
    let likeness = write(&sidecar(), &Written::default());
    let chains = listeners(&likeness)[3]["filter_chains"].as_array();
    let matches = chains.expect("chains").iter();
    let matches: Vec<Value> = matches.map(|it| it["filter_chain_match"].clone()).collect();
    // the port's own listener has it, the rest has the other port
    assert_eq!(
        matches,
        [
            json!({"destination_port": 8080}),
            Value::Null,
            json!({"destination_port": 9})
        ]
    );
}

#[test]
fn a_door_has_the_chains_for_what_it_is_meant_for() {
    let block = |bits| Cidr {
        address: [10, 1, 0, 0].into(),
        bits,
    };
    let within = |bits| ChainMatch {
        destinations: vec![block(bits)],
        ..ChainMatch::default()
    };
    let config = node(vec![
        listener(
            "in-80",
            ListenerAddress::InboundPort(80),
            vec![
                chain(within(8)),
                chain(within(16)),
                chain(ChainMatch::default()),
            ],
        ),
        listener("in", ListenerAddress::InboundRest, vec![closed()]),
        listener("out", ListenerAddress::OutboundRest, vec![closed()]),
    ]);
    let door = |address: &str, arrival, meant: Option<&str>| Door {
        address: at(address),
        arrival,
        meant: meant.map(at),
    };
    let written = Written {
        sockets: Sockets::Doors(vec![
            door("127.1.0.1:80", Arrival::Inbound, Some("10.1.0.1:80")),
            door("127.1.0.1:90", Arrival::Inbound, Some("10.1.0.1:90")),
            door("127.1.0.1:70", Arrival::Dialled, Some("10.1.0.1:70")),
            door("127.1.0.1:15001", Arrival::Outbound, None),
        ]),
        ..Written::default()
    };
    let likeness = write(&config, &written);
    let [port, rest, nobody, out] = listeners(&likeness) else {
        panic!("{:#}", likeness.bootstrap)
    };
    let names = [port, rest, nobody, out].map(|it| it["name"].as_str().unwrap());
    assert_eq!(names, ["in-80", "in", "nobody at 10.1.0.1:70", "out"]);
    assert_eq!(port["filter_chains"].as_array().map(Vec::len), Some(1));
    assert!(port["filter_chains"][0].get("filter_chain_match").is_none());
    assert!(nobody.get("filter_chains").is_none());
    assert_eq!(nobody["default_filter_chain"], json!({}));
    assert_eq!(filters(out), ["envoy.filters.listener.proxy_protocol"]);
    assert_eq!(out["use_original_dst"], true);
}

#[test]
fn what_goes_where_it_was_meant_to_go_has_a_cluster_for_every_door() {
    use proxy_core::config::{Balancer, Discovery};
    let mut cluster = Cluster::envoy("a", EndpointSet::default());
    cluster.discovery = Discovery::OriginalDestination;
    cluster.balancer = Sourced::unsourced(Balancer::OriginalDestination);
    let mut draft = SectionDraft::default();
    draft.add_cluster(cluster);
    for (name, address) in [
        ("in", ListenerAddress::InboundRest),
        ("out", ListenerAddress::OutboundRest),
    ] {
        let chains = vec![chain(ChainMatch::default())];
        draft.listeners.push(listener(name, address, chains));
    }
    let config = NodeConfig {
        name: "n".into(),
        kind: NodeKind::Sidecar,
        sections: vec![Arc::new(draft.build().expect("a section"))],
    };
    let meant = at("10.1.0.1:80");
    let door = |address: &str, arrival, meant| Door {
        address: at(address),
        arrival,
        meant,
    };
    let written = Written {
        sockets: Sockets::Doors(vec![
            door("127.1.0.1:80", Arrival::Inbound, Some(meant)),
            door("127.1.0.1:15001", Arrival::Outbound, None),
        ]),
        endpoints: [(meant, at("127.129.0.1:80"))].into(),
        ..Written::default()
    };
    let likeness = write(&config, &written);
    let clusters = likeness.bootstrap["static_resources"]["clusters"].as_array();
    let [plain, fixed] = &clusters.expect("clusters")[..] else {
        panic!("{:#}", likeness.bootstrap)
    };
    assert_eq!(
        (&plain["type"], &plain["name"]),
        (&json!("ORIGINAL_DST"), &json!("a"))
    );
    assert_eq!(
        (&fixed["type"], &fixed["name"]),
        (&json!("STATIC"), &json!("a at 10.1.0.1:80"))
    );
    let endpoint = &fixed["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"];
    let socket = &endpoint["address"]["socket_address"];
    assert_eq!(socket["address"], "127.129.0.1");
    let uses = |number: usize| {
        let filters = &listeners(&likeness)[number]["filter_chains"][0]["filters"];
        filters[0]["typed_config"]["cluster"].clone()
    };
    assert_eq!((uses(0), uses(1)), (json!("a at 10.1.0.1:80"), json!("a")));
    // of what is sent Envoy knows where to, and no other place for it
    let told: Vec<String> = likeness
        .departures
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("listener `out`"), "{told:?}");
}

#[test]
fn of_two_chains_that_take_the_same_the_first_stands() {
    let names = |names: &[&str]| ChainMatch {
        protocols: names.iter().map(|name| (*name).into()).collect(),
        ..ChainMatch::default()
    };
    let config = node(vec![listener(
        "l",
        ListenerAddress::Socket(at("0.0.0.0:80")),
        vec![
            chain(names(&["a", "b"])),
            chain(names(&["b", "c"])),
            chain(names(&["a"])),
        ],
    )]);
    let likeness = write(&config, &Written::default());
    let chains = listeners(&likeness)[0]["filter_chains"].as_array();
    let matches = chains.expect("chains").iter();
    let matches: Vec<Value> = matches.map(|it| it["filter_chain_match"].clone()).collect();
    assert_eq!(
        matches,
        [
            json!({"application_protocols": ["a", "b"]}),
            json!({"application_protocols": ["c"]})
        ]
    );
    assert_eq!(
        filters(&listeners(&likeness)[0]),
        [
            "envoy.filters.listener.tls_inspector",
            "envoy.filters.listener.http_inspector"
        ]
    );
}

#[test]
fn connections_of_a_port_that_shares_a_socket_are_bound_by_a_filter() {
    let mut own = listener(
        "in-8080",
        ListenerAddress::InboundPort(8080),
        vec![chain(ChainMatch::default())],
    );
    own.max_connections = Some(Sourced::unsourced(5));
    let rest = listener("in", ListenerAddress::InboundRest, vec![closed()]);
    let likeness = write(&node(vec![own, rest]), &Written::default());
    let chains = &listeners(&likeness)[0]["filter_chains"];
    let limit = &chains[0]["filters"][0];
    assert_eq!(limit["typed_config"]["max_connections"], 5);
    assert!(chains[1].get("filters").is_none());
    assert!(likeness.bootstrap.get("layered_runtime").is_none());
}

#[test]
fn endpoints_may_be_dialled_elsewhere() {
    use proxy_core::config::{Balancer, Endpoint};
    let mut cluster = Cluster::envoy(
        "a",
        EndpointSet {
            endpoints: vec![
                Endpoint::at(at("10.1.0.1:80")),
                Endpoint::at(at("10.1.0.2:80")),
            ],
            ..EndpointSet::default()
        },
    );
    cluster.balancer = Sourced::unsourced(Balancer::Maglev {
        size: 65_537,
        bound: None,
    });
    let mut draft = SectionDraft::default();
    draft.add_cluster(cluster);
    let config = NodeConfig {
        name: "n".into(),
        kind: NodeKind::Gateway,
        sections: vec![Arc::new(draft.build().expect("a section"))],
    };
    let written = Written {
        endpoints: [(at("10.1.0.1:80"), at("127.1.0.1:80"))].into(),
        ..Written::default()
    };
    let likeness = write(&config, &written);
    let endpoints = &likeness.bootstrap["static_resources"]["clusters"][0]["load_assignment"]["endpoints"]
        [0]["lb_endpoints"];
    let address = |at: usize| &endpoints[at]["endpoint"]["address"]["socket_address"]["address"];
    assert_eq!(
        (address(0), address(1)),
        (&json!("127.1.0.1"), &json!("10.1.0.2"))
    );
    // the table goes by the endpoint's own address
    let key = &endpoints[0]["metadata"]["filter_metadata"]["envoy.lb"]["hash_key"];
    assert_eq!(key, "10.1.0.1:80");
    assert!(endpoints[1].get("metadata").is_none());
}
