//! Which chain takes a connection, and what becomes of connections when the configuration changes.

use core::net::SocketAddr;
use std::sync::Arc;

use super::rig::*;
use crate::config::*;
use crate::event::Event;
use crate::node::*;
use crate::origin::OriginId;

fn tls_chain(mutual: bool, action: ChainAction) -> FilterChain {
    FilterChain {
        matches: ChainMatch {
            transport: Some(TransportProtocol::Tls),
            ..ChainMatch::default()
        },
        transport: DownstreamTransport::Tls {
            mutual,
            alpn: vec!["h2".into(), "http/1.1".into()],
            certificate: "spiffe://a".into(),
        },
        action,
        origin: OriginId(1),
    }
}

fn inbound(chains: impl FnOnce(TableIndex) -> Vec<FilterChain>) -> NodeConfig {
    let mut draft = SectionDraft::default();
    let cluster = draft.add_cluster(Cluster::envoy("app", endpoints(1)));
    let table = draft.add_table(RouteTable {
        ignore_port: false,
        name: "in".into(),
        virtual_hosts: vec![VirtualHost {
            name: "in".into(),
            domains: vec!["*".into()],
            routes: vec![route_to(Forward::to(cluster))],
            attempt_count: false,
            attempt_count_in_response: false,
            origin: OriginId::NONE,
        }],
    });
    draft.listeners.push(Listener {
        name: "inbound".into(),
        address: ListenerAddress::InboundRest,
        chains: chains(table),
        max_connections: None,
        preface: None,
        process_limit: None,
        logs: crate::log::Logs::default(),
        origin: OriginId(2),
    });
    NodeConfig {
        name: "test".into(),
        kind: NodeKind::Sidecar,
        sections: vec![Arc::new(draft.build().unwrap())],
    }
}

fn strict() -> NodeConfig {
    inbound(|table| vec![tls_chain(true, ChainAction::Http(Box::new(http(table))))])
}

fn plaintext(protocol: PeekedProtocol) -> Peek<'static> {
    Peek {
        tls: None,
        protocol,
    }
}

fn tls() -> Peek<'static> {
    Peek {
        tls: Some(TlsHello {
            sni: Some("a"),
            alpn: &["h2"],
        }),
        protocol: PeekedProtocol::Unknown,
    }
}

#[test]
fn strict_closes_plaintext_and_takes_mutual_tls() {
    let mut rig = Rig::unconnected(strict());
    let downstream = rig.dial_to(Arrival::Inbound, "10.0.0.9:80");
    assert!(rig.asked.contains(&Action::Peek));
    rig.input(Input::Peeked {
        downstream,
        peek: plaintext(PeekedProtocol::Http1),
    });
    assert_eq!(rig.closed_clients, [CloseReason::NoFilterChain]);
    let closed = Event::Closed {
        reason: CloseReason::NoFilterChain,
        origin: OriginId(1),
        carried: false,
    };
    assert!(rig.events.contains(&closed), "by the rule that wants TLS");

    let downstream = rig.dial_to(Arrival::Inbound, "10.0.0.9:80");
    rig.input(Input::Peeked {
        downstream,
        peek: tls(),
    });
    assert!(rig.node.handshake(downstream).unwrap().mutual);
    rig.input(Input::Shaken {
        downstream,
        peer: Some("spiffe://b"),
    });
    assert!(rig.asked.contains(&Action::ServeHttp));
}

#[test]
fn a_client_without_identity_fails_the_mutual_handshake() {
    let mut rig = Rig::unconnected(strict());
    let downstream = rig.dial_to(Arrival::Inbound, "10.0.0.9:80");
    rig.input(Input::Peeked {
        downstream,
        peek: tls(),
    });
    rig.input(Input::Shaken {
        downstream,
        peer: None,
    });
    assert_eq!(rig.closed_clients, [CloseReason::Handshake]);
}

#[test]
fn nobody_listens_is_a_closed_connection() {
    let mut rig = Rig::unconnected(strict());
    rig.dial_to(Arrival::Outbound, "10.0.0.9:80");
    assert_eq!(rig.closed_clients, [CloseReason::NoListener]);
}

#[test]
fn chains_are_chosen_by_specificity_not_by_order() {
    let port = |p: u16| ChainMatch {
        port: Some(p),
        ..ChainMatch::default()
    };
    let close = |reason| ChainAction::Close(reason);
    let config = inbound(|_| {
        let mut any = chain(close(CloseReason::Idle));
        any.matches = ChainMatch::default();
        let mut by_port = chain(close(CloseReason::BlackHole));
        by_port.matches = port(81);
        let mut by_name = chain(close(CloseReason::Handshake));
        by_name.matches.server_names = vec![ServerName::Suffix(".x".into())];
        let mut by_exact = chain(close(CloseReason::ConnectionLimit));
        by_exact.matches.server_names = vec![ServerName::Exact("a.x".into())];
        vec![any, by_port, by_name, by_exact]
    });
    for (destination, sni, expected) in [
        ("10.0.0.9:80", None, CloseReason::Idle),
        ("10.0.0.9:81", None, CloseReason::BlackHole),
        ("10.0.0.9:81", Some("a.x"), CloseReason::BlackHole),
        ("10.0.0.9:80", Some("A.x"), CloseReason::ConnectionLimit),
        ("10.0.0.9:80", Some("b.x"), CloseReason::Handshake),
    ] {
        let mut rig = Rig::unconnected(config.clone());
        let downstream = rig.dial_to(Arrival::Inbound, destination);
        let peek = Peek {
            tls: sni.map(|name| TlsHello {
                sni: Some(name),
                alpn: &[],
            }),
            protocol: PeekedProtocol::Unknown,
        };
        rig.input(Input::Peeked { downstream, peek });
        assert_eq!(rig.closed_clients, [expected], "{destination} {sni:?}");
    }
}

#[test]
fn bytes_are_carried_to_the_original_destination() {
    let config = inbound_tcp();
    let mut rig = Rig::unconnected(config);
    let downstream = rig.dial_to(Arrival::Inbound, "10.0.0.7:5432");
    assert_eq!(rig.opened, 1);
    let (&upstream, address) = rig.connections.first_key_value().unwrap();
    assert_eq!(address.to_string(), "10.0.0.7:5432");
    assert!(rig.asked.contains(&Action::Splice(upstream)));
    rig.input(Input::DownstreamClosed { downstream });
    assert!(rig.connections.is_empty());
    rig.refusing.insert("10.0.0.8:1".parse().unwrap());
    rig.dial_to(Arrival::Inbound, "10.0.0.8:1");
    assert_eq!(rig.closed_clients, [CloseReason::UpstreamFailed]);
    assert_eq!(rig.node.connections(), 0);
}

fn inbound_tcp() -> NodeConfig {
    let mut draft = SectionDraft::default();
    let mut cluster = Cluster::envoy("passthrough", EndpointSet::default());
    cluster.discovery = Discovery::OriginalDestination;
    let cluster = draft.add_cluster(cluster);
    let tcp = TcpRoute {
        clusters: vec![(cluster, 1)],
        idle_timeout: None,
        connect_retries: 0,
        max_duration: None,
        logs: crate::config::CarriedLogs::default(),
        origin: OriginId::NONE,
    };
    draft.listeners.push(Listener {
        name: "inbound".into(),
        address: ListenerAddress::InboundRest,
        chains: vec![chain(ChainAction::Tcp(tcp))],
        max_connections: None,
        preface: None,
        process_limit: None,
        logs: crate::log::Logs::default(),
        origin: OriginId::NONE,
    });
    NodeConfig {
        name: "test".into(),
        kind: NodeKind::Sidecar,
        sections: vec![Arc::new(draft.build().unwrap())],
    }
}

#[test]
fn a_new_configuration_serves_old_connections_and_keeps_pools() {
    let old = config_with(
        Cluster::envoy("c", endpoints(1)),
        |c| route_to(Forward::to(c)),
        |_| (),
    );
    let direct = |_| Route {
        action: RouteAction::Direct(DirectResponse {
            status: 418,
            body: "".into(),
        }),
        ..route_to(Forward::to(ClusterIndex(0)))
    };
    let new = config_with(Cluster::envoy("c", endpoints(1)), direct, |_| ());
    let mut rig = Rig::new(old.clone());
    rig.play(1, &[Play::Answer(200, ms(20))]);
    let running = rig.get();
    rig.run_until(at(5));
    rig.update(Update::Config(Arc::new(new)));
    let token = rig.get();
    assert_eq!(rig.got(token).1, 418);
    rig.run_until(at(50));
    assert_eq!(rig.got(running), (20, 200), "it keeps its route");
    rig.update(Update::Config(Arc::new(old)));
    let token = rig.get();
    rig.run_until(at(60));
    assert_eq!(
        (rig.got(token).1, rig.opened),
        (200, 1),
        "the connection is reused"
    );
}

#[test]
fn endpoints_that_leave_get_no_more_requests() {
    let mut rig = Rig::simple(2, |_, _| ());
    for _ in 0..4 {
        rig.get();
        rig.run_until(rig.now + ms(1));
    }
    assert_eq!(rig.connections.len(), 2);
    rig.update(Update::Endpoints {
        cluster: "c",
        set: Arc::new(endpoints(1)),
    });
    assert_eq!(rig.connections.len(), 1, "its idle connection is closed");
    rig.sent.clear();
    for _ in 0..4 {
        rig.get();
        rig.run_until(rig.now + ms(1));
    }
    assert!(rig.sent.iter().all(|(_, to)| *to == address(1)));
}

/// Envoy: `drain_timeout`. Clients that say nothing may be about to.
#[test]
fn a_draining_node_serves_what_crosses_the_news_and_closes_what_stays_idle() {
    let mut rig = Rig::simple(1, |_, _| ());
    let token = rig.get();
    rig.run_until(at(10));
    assert_eq!(rig.got(token).1, 200);
    rig.input(Input::Drain);
    assert_eq!((rig.closed_clients.len(), rig.drained_clients), (0, 1));
    rig.run_until(at(4_000));
    let late = rig.get();
    rig.run_until(at(4_010));
    assert_eq!(rig.got(late).1, 200, "it was under way");
    assert_eq!(rig.closed_clients, [CloseReason::Drain], "it was its last");

    let mut rig = Rig::simple(1, |_, _| ());
    rig.input(Input::Drain);
    rig.run_until(at(4_999));
    assert_eq!(rig.closed_clients, []);
    rig.run_until(at(5_001));
    assert_eq!(rig.closed_clients, [CloseReason::Drain]);
}

/// Envoy: `restoreLocalAddress`. What a header of the PROXY protocol says counts for chains, not for listeners.
#[test]
fn a_connection_stays_with_the_socket_that_took_it_whatever_its_header_says() {
    let mut draft = SectionDraft::default();
    let mut by_port = chain(ChainAction::Close(CloseReason::BlackHole));
    by_port.matches.port = Some(8443);
    draft.listeners.push(Listener {
        logs: crate::log::Logs::default(),
        process_limit: None,
        name: "front".into(),
        address: ListenerAddress::Socket("127.0.0.1:80".parse().unwrap()),
        chains: vec![by_port, chain(ChainAction::Close(CloseReason::Idle))],
        max_connections: None,
        preface: None,
        origin: OriginId::NONE,
    });
    let config = NodeConfig {
        name: "test".into(),
        kind: NodeKind::Gateway,
        sections: vec![Arc::new(draft.build().unwrap())],
    };
    for (destination, reason) in [
        ("127.0.0.1:80", CloseReason::Idle),
        ("192.0.2.7:8443", CloseReason::BlackHole),
    ] {
        let mut rig = Rig::unconnected(config.clone());
        rig.accept(Accept {
            token: 1,
            arrival: Arrival::Dialled,
            source: "192.0.2.1:4000".parse().unwrap(),
            at: "127.0.0.1:80".parse().unwrap(),
            destination: destination.parse().unwrap(),
        });
        assert_eq!(rig.closed_clients, [reason], "{destination}");
    }
}

/// Envoy: `UpstreamProxyProtocolSocketFactory::hashKey`.
#[test]
fn clients_share_no_connection_that_says_whom_it_is_for() {
    let ends = |port: u16| Ends {
        source: SocketAddr::from(([10, 1, 1, 1], port)),
        destination: "10.9.9.9:80".parse().unwrap(),
    };
    let mut rig = Rig::simple(1, |cluster, _| cluster.preface = Some(PrefaceVersion::V2));
    let dial = |rig: &mut Rig, port| {
        rig.downstream = rig.accept(Accept {
            token: 1,
            arrival: Arrival::Outbound,
            source: ends(port).source,
            at: ends(port).destination,
            destination: ends(port).destination,
        });
    };
    let ask = |rig: &mut Rig| {
        let token = rig.get();
        rig.run_until(rig.now + ms(1));
        assert_eq!(rig.got(token).1, 200);
    };
    let says = |rig: &Rig| -> Vec<_> {
        let open = rig.connections.keys();
        open.map(|id| rig.node.connect(*id).unwrap().preface)
            .collect()
    };
    let of = |port| Some((PrefaceVersion::V2, Some(ends(port))));
    dial(&mut rig, 1);
    ask(&mut rig);
    ask(&mut rig);
    assert_eq!((rig.opened, says(&rig)), (1, vec![of(1)]));
    dial(&mut rig, 2);
    ask(&mut rig);
    assert_eq!((rig.opened, says(&rig)), (2, vec![of(1), of(2)]));
    // another connection of the same client
    dial(&mut rig, 1);
    ask(&mut rig);
    assert_eq!(rig.opened, 2);
    // a place that is free serves the next
    let first = *rig.connections.first_key_value().unwrap().0;
    rig.connections.remove(&first);
    rig.input(Input::UpstreamClosed { upstream: first });
    dial(&mut rig, 3);
    ask(&mut rig);
    let mut said = says(&rig);
    said.sort_by_key(|it| it.unwrap().1.unwrap().source);
    assert_eq!((rig.opened, said), (3, vec![of(2), of(3)]));
}
