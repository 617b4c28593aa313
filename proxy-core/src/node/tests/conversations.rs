//! Records of connections, and how many there may be and for how long.

use super::rig::*;
use crate::config::*;
use crate::log::*;
use crate::node::{Action, Arrival, Input};
use crate::origin::{OriginId, Sourced};

fn logs(number: u32) -> Logs {
    Logs::new(vec![AccessLog {
        sink: LogSink::Stdout,
        filter: None,
        format: Format {
            layout: Layout::Text(Template::default()),
            omits_empty: false,
        },
        origin: OriginId(number),
    }])
}

fn sourced<T>(value: T) -> Sourced<T> {
    Sourced::new(value, OriginId::NONE)
}

fn listener(name: &str, port: u16, action: ChainAction) -> Listener {
    Listener {
        preface: None,
        name: name.into(),
        address: ListenerAddress::InboundPort(port),
        chains: vec![chain(action)],
        max_connections: None,
        process_limit: None,
        logs: Logs::default(),
        origin: OriginId::NONE,
    }
}

fn node(cluster: Cluster, listeners: impl FnOnce(ClusterIndex) -> Vec<Listener>) -> Rig {
    let mut draft = SectionDraft::default();
    let index = draft.add_cluster(cluster);
    draft.listeners = listeners(index);
    Rig::unconnected(NodeConfig {
        name: "test".into(),
        kind: NodeKind::Sidecar,
        sections: vec![draft.build().unwrap().into()],
    })
}

fn carried(cluster: ClusterIndex) -> TcpRoute {
    TcpRoute {
        clusters: vec![(cluster, 1)],
        idle_timeout: None,
        connect_retries: 0,
        max_duration: None,
        logs: CarriedLogs {
            all: logs(1),
            ..CarriedLogs::default()
        },
        origin: OriginId::NONE,
    }
}

/// A listener that carries bytes, with logs of both kinds.
fn carrying(endpoints: EndpointSet, tune: impl FnOnce(&mut TcpRoute)) -> Rig {
    node(Cluster::envoy("c", endpoints), |cluster| {
        let mut tcp = carried(cluster);
        tune(&mut tcp);
        let mut listener = listener("in", 80, ChainAction::Tcp(tcp));
        listener.logs = logs(2);
        vec![listener]
    })
}

const AT: &str = "10.0.0.9:80";

#[test]
fn both_logs_have_a_record_of_a_carried_connection_that_is_over() {
    let mut rig = carrying(endpoints(1), |_| ());
    let downstream = rig.dial_to(Arrival::Inbound, AT);
    assert!(rig.logged.is_empty(), "it goes on");
    rig.input(Input::DownstreamClosed { downstream });
    let lines = ["1: 0 -  1 10.0.0.1 0 0", "2: 0 -  1 10.0.0.1 0 0"];
    assert_eq!(rig.logged, lines);
}

#[test]
fn a_record_says_why_there_was_nobody_to_carry_bytes_to() {
    let rows = [
        ("no endpoint", 0, 0, "0 UH  0 -"),
        ("refused", 1, 0, "0 UF,URX  1 10.0.0.1"),
        ("refused twice", 1, 1, "0 UF,URX  2 10.0.0.1"),
    ];
    for (name, count, connect_retries, want) in rows {
        let mut rig = carrying(endpoints(count), |tcp| {
            tcp.connect_retries = connect_retries
        });
        rig.refusing.insert(address(1));
        rig.dial_to(Arrival::Inbound, AT);
        assert_eq!(rig.closed_clients, [CloseReason::UpstreamFailed], "{name}");
        assert_eq!(rig.logged[0], format!("1: {want} 0 0"), "{name}");
        assert_eq!(rig.logged.len(), 2, "{name}");
    }
}

#[test]
fn a_connection_that_no_chain_takes_is_in_the_listeners_log_alone() {
    let mut rig = node(Cluster::envoy("c", endpoints(1)), |cluster| {
        let mut listener = listener("in", 80, ChainAction::Tcp(carried(cluster)));
        listener.logs = logs(2);
        listener.chains[0].matches.port = Some(81);
        vec![listener]
    });
    rig.dial_to(Arrival::Inbound, AT);
    assert_eq!(rig.closed_clients, [CloseReason::NoFilterChain]);
    assert_eq!(rig.logged, ["2: 0 NR filter_chain_not_found 0 - 0 0"]);
}

#[test]
fn a_log_may_be_told_of_connections_that_stand_and_go_on() {
    let mut rig = carrying(endpoints(1), |tcp| {
        tcp.logs.connected = true;
        tcp.logs.every = Some(ms(100));
    });
    let downstream = rig.dial_to(Arrival::Inbound, AT);
    assert_eq!(rig.logged.len(), 1, "it stands");
    rig.run_until(at(350));
    assert_eq!(rig.logged.len(), 4, "three times in between");
    rig.input(Input::DownstreamClosed { downstream });
    assert_eq!(rig.logged.len(), 6, "once in each log");
    rig.run_until(at(1000));
    assert_eq!(rig.logged.len(), 6);
}

#[test]
fn a_carried_connection_is_closed_after_its_idle_timeout_since_the_last_byte() {
    let mut rig = carrying(endpoints(1), |tcp| {
        tcp.idle_timeout = Some(sourced(ms(100)))
    });
    let downstream = rig.dial_to(Arrival::Inbound, AT);
    let last = at(70);
    rig.run_until(last);
    rig.input(Input::Carried { downstream, last });
    rig.run_until(at(169));
    assert_eq!(rig.closed_clients, []);
    rig.run_until(at(170));
    assert_eq!(rig.closed_clients, [CloseReason::Idle]);
    assert!(rig.connections.is_empty(), "neither is the other half open");
}

#[test]
fn a_carried_connection_ends_when_it_is_too_old_whatever_it_carries() {
    let mut rig = carrying(endpoints(1), |tcp| {
        tcp.max_duration = Some(sourced(ms(100)))
    });
    rig.dial_to(Arrival::Inbound, AT);
    rig.run_until(at(99));
    assert_eq!(rig.closed_clients, []);
    rig.run_until(at(100));
    assert_eq!(rig.closed_clients, [CloseReason::Age]);
    assert_eq!(rig.logged[0], "1: 0 DT  1 10.0.0.1 0 0");
}

#[test]
fn an_old_connection_of_a_client_ends_with_the_requests_it_has() {
    let config = config_with(
        Cluster::envoy("c", endpoints(1)),
        |c| route_to(Forward::to(c)),
        |http| http.max_connection_duration = Some(sourced(ms(100))),
    );
    let mut rig = Rig::new(config);
    rig.play(1, &[Play::Answer(200, ms(150))]);
    let token = rig.get();
    rig.run_until(at(100));
    assert_eq!((rig.drained_clients, rig.closed_clients.len()), (1, 0));
    rig.run_until(at(200));
    assert_eq!(rig.got(token), (150, 200));
    assert_eq!(rig.closed_clients, [CloseReason::Age]);
}

#[test]
fn an_old_connection_without_requests_is_waited_for_a_while() {
    let config = config_with(
        Cluster::envoy("c", endpoints(1)),
        |c| route_to(Forward::to(c)),
        |http| http.max_connection_duration = Some(sourced(ms(100))),
    );
    let mut rig = Rig::new(config);
    rig.run_until(at(5_099));
    assert_eq!(rig.closed_clients, []);
    rig.run_until(at(5_100));
    assert_eq!(rig.closed_clients, [CloseReason::Age]);
}

#[test]
fn listeners_share_the_bound_on_connections_of_their_process_unless_they_do_not_heed_it() {
    let mut rig = node(Cluster::envoy("c", endpoints(1)), |cluster| {
        let heeds = |name, port| Listener {
            process_limit: Some(sourced(2)),
            ..listener(name, port, ChainAction::Tcp(carried(cluster)))
        };
        let free = listener("free", 82, ChainAction::Tcp(carried(cluster)));
        vec![heeds("a", 80), heeds("b", 81), free]
    });
    let first = rig.dial_to(Arrival::Inbound, "10.0.0.9:80");
    rig.dial_to(Arrival::Inbound, "10.0.0.9:81");
    assert_eq!(rig.closed_clients, []);
    rig.dial_to(Arrival::Inbound, "10.0.0.9:81");
    assert_eq!(rig.closed_clients, [CloseReason::ProcessLimit]);
    rig.dial_to(Arrival::Inbound, "10.0.0.9:82");
    assert_eq!(rig.closed_clients.len(), 1, "it does not heed the bound");
    rig.input(Input::DownstreamClosed { downstream: first });
    rig.dial_to(Arrival::Inbound, "10.0.0.9:81");
    assert_eq!(rig.closed_clients.len(), 1, "there is room again");
}

#[test]
fn nothing_is_kept_of_connections_that_no_log_wants() {
    let mut rig = carrying(endpoints(1), |tcp| tcp.logs = CarriedLogs::default());
    rig.node = node(Cluster::envoy("c", endpoints(1)), |cluster| {
        let tcp = TcpRoute {
            logs: CarriedLogs::default(),
            ..carried(cluster)
        };
        vec![listener("in", 80, ChainAction::Tcp(tcp))]
    })
    .node;
    let downstream = rig.dial_to(Arrival::Inbound, AT);
    assert!(!rig.node.is_logged(downstream));
    rig.input(Input::DownstreamClosed { downstream });
    assert!(rig.logged.is_empty());
    let logs = |action: &Action| matches!(action, Action::Log { .. });
    assert!(!rig.asked.iter().any(logs));
}
