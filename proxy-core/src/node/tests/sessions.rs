//! Clients that send datagrams.

use core::net::SocketAddr;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::rig::*;
use crate::config::*;
use crate::event::{Event, SessionEnd, SessionFact, SessionRefusal};
use crate::node::*;
use crate::origin::{OriginId, Sourced};
use crate::time::Duration;

const FRONT: &str = "127.0.0.1:53";

fn route(clusters: Vec<(ClusterIndex, u32)>) -> UdpRoute {
    UdpRoute {
        name: "front".into(),
        clusters,
        idle_timeout: Some(Sourced::unsourced(Duration::from_secs(60))),
        per_datagram: false,
        hash: None,
        largest_request: 1500,
        largest_answer: 1500,
        origin: OriginId(3),
    }
}

fn listener(route: UdpRoute) -> Listener {
    Listener {
        logs: crate::log::Logs::default(),
        process_limit: None,
        name: "front".into(),
        address: ListenerAddress::Datagrams(FRONT.parse().unwrap()),
        chains: vec![chain(ChainAction::Udp(route))],
        max_connections: None,
        preface: None,
        origin: OriginId::NONE,
    }
}

fn config(clusters: Vec<(Cluster, u32)>, tune: impl FnOnce(&mut UdpRoute)) -> NodeConfig {
    let mut draft = SectionDraft::default();
    let clusters = clusters.into_iter();
    let clusters = clusters.map(|(cluster, weight)| (draft.add_cluster(cluster), weight));
    let mut route = route(clusters.collect());
    tune(&mut route);
    draft.listeners.push(listener(route));
    NodeConfig {
        name: "test".into(),
        kind: NodeKind::Gateway,
        sections: vec![Arc::new(draft.build().unwrap())],
    }
}

fn rig(cluster: Cluster) -> Rig {
    Rig::unconnected(config(vec![(cluster, 1)], |_| ()))
}

impl Rig {
    /// Where the datagram of a client at this port goes.
    fn goes(&mut self, port: u16) -> Option<SocketAddr> {
        let session = self.datagram(&format!("10.1.1.1:{port}"), FRONT)?;
        self.node.session(session).map(|plan| plan.endpoint)
    }

    fn facts(&self) -> Vec<SessionFact> {
        let fact = |event: &Event| {
            let Event::Session { fact, .. } = event else {
                return None;
            };
            Some(*fact)
        };
        self.events.iter().filter_map(fact).collect()
    }
}

#[test]
fn a_client_keeps_its_endpoint_and_another_has_its_own() {
    let mut rig = rig(Cluster::envoy("c", endpoints(2)));
    let one = rig.goes(1).unwrap();
    let other = rig.goes(2).unwrap();
    assert_ne!(one, other, "endpoints take turns");
    assert_eq!([rig.goes(1), rig.goes(2)], [Some(one), Some(other)]);
    assert_eq!(rig.node.sessions(), 2);
    assert_eq!(rig.facts(), [SessionFact::Begun; 2]);
    assert_eq!(rig.datagram("10.1.1.1:1", "127.0.0.1:54"), None);
    let refused = SessionFact::Refused(SessionRefusal::NoListener);
    assert_eq!(rig.facts().last(), Some(&refused));
}

#[test]
fn a_session_ends_when_it_was_silent_for_so_long_and_not_before() {
    let mut rig = rig(Cluster::envoy("c", endpoints(1)));
    let session = rig.datagram("10.1.1.1:1", FRONT).unwrap();
    rig.run_until(at(50_000));
    rig.goes(1);
    rig.run_until(at(100_000));
    rig.input(Input::Answered { session });
    rig.run_until(at(159_999));
    assert_eq!(rig.node.sessions(), 1, "its endpoint spoke");
    rig.run_until(at(160_001));
    assert_eq!(rig.node.sessions(), 0);
    assert_eq!(
        rig.facts().last(),
        Some(&SessionFact::Ended(SessionEnd::Idle))
    );
    let limit = rig.node.inspect(&rig.shared)[0].active[0].connections;
    assert_eq!(limit, 0, "its room is given back");
}

#[test]
fn no_more_sessions_than_connections_may_be() {
    let mut cluster = Cluster::envoy("c", endpoints(1));
    cluster.limits[0].connections = Sourced::new(2, OriginId(9));
    let mut rig = rig(cluster);
    assert!(rig.goes(1).is_some() && rig.goes(2).is_some());
    assert_eq!(rig.goes(3), None);
    let refused = Event::Session {
        cluster: Some(crate::ids::ClusterId(0)),
        endpoint: None,
        fact: SessionFact::Refused(SessionRefusal::Overflow),
        origin: OriginId(9),
    };
    assert_eq!(rig.events.last(), Some(&refused));
    rig.run_until(at(60_001));
    assert!(rig.goes(3).is_some());
}

#[test]
fn a_session_ends_with_its_endpoint_and_the_next_datagram_finds_another() {
    let mut rig = rig(Cluster::envoy("c", endpoints(2)));
    let ends: BTreeMap<u16, SocketAddr> = [1, 2]
        .into_iter()
        .map(|port| (port, rig.goes(port).unwrap()))
        .collect();
    let of_two = *ends.iter().find(|(_, at)| **at == address(2)).unwrap().0;
    rig.update(Update::Endpoints {
        cluster: "c",
        set: Arc::new(endpoints(1)),
    });
    assert_eq!(rig.node.sessions(), 1);
    let gone = SessionFact::Ended(SessionEnd::EndpointGone);
    assert_eq!(rig.facts().last(), Some(&gone));
    assert_eq!(rig.goes(of_two), Some(address(1)));
    rig.update(Update::Endpoints {
        cluster: "c",
        set: Arc::new(EndpointSet::default()),
    });
    assert_eq!(rig.goes(1), None);
    let none = SessionFact::Refused(SessionRefusal::NoEndpoint);
    assert_eq!(rig.facts().last(), Some(&none));
}

/// Envoy: `StickySessionClusterInfo::onData`.
#[test]
fn an_unwell_endpoint_is_left_where_there_is_a_better_one() {
    let unwell = |n: u8, count: u8| {
        let mut set = endpoints(count);
        set.endpoints[usize::from(n) - 1].health = DiscoveredHealth::Unhealthy;
        Arc::new(set)
    };
    let mut rig = rig(Cluster::envoy("c", endpoints(2)));
    let first = rig.goes(1).unwrap();
    let number = if first == address(1) { 1 } else { 2 };
    rig.update(Update::Endpoints {
        cluster: "c",
        set: unwell(number, 2),
    });
    assert_eq!(rig.goes(1), Some(address(3 - number)));
    let left = SessionFact::Ended(SessionEnd::EndpointUnwell);
    assert_eq!(rig.facts()[1..], [left, SessionFact::Begun]);

    let mut rig = Rig::unconnected(config(vec![(Cluster::envoy("c", endpoints(1)), 1)], |_| ()));
    rig.goes(1);
    rig.update(Update::Endpoints {
        cluster: "c",
        set: unwell(1, 1),
    });
    assert_eq!(rig.goes(1), Some(address(1)), "there is no better one");
    assert_eq!(rig.node.sessions(), 1);
}

#[test]
fn clusters_have_their_share_of_clients() {
    let one = Cluster::envoy("one", endpoints(1));
    let mut other = Cluster::envoy("other", EndpointSet::default());
    other.endpoints = Arc::new(EndpointSet {
        endpoints: vec![Endpoint::at(address(9))],
        locality_weights: Vec::new(),
    });
    let none = Cluster::envoy("none", EndpointSet::default());
    let clusters = vec![(one, 3), (other, 1), (none, 0)];
    let mut rig = Rig::unconnected(config(clusters, |_| ()));
    let clients = 1000_u16;
    let to_one = (1..=clients).filter(|port| rig.goes(*port) == Some(address(1)));
    let share = to_one.count() as f64 / f64::from(clients);
    // four standard deviations of a share of 3/4 over a thousand draws
    assert!((share - 0.75).abs() < 0.055, "{share}");
}

#[test]
fn every_datagram_may_have_its_endpoint_chosen() {
    let clusters = vec![(Cluster::envoy("c", endpoints(2)), 1)];
    let mut rig = Rig::unconnected(config(clusters, |route| route.per_datagram = true));
    let ends: Vec<SocketAddr> = (0..4).map(|_| rig.goes(1).unwrap()).collect();
    assert_eq!(ends[..2], ends[2..], "they take turns");
    assert_ne!(ends[0], ends[1]);
    assert_eq!(rig.node.sessions(), 2, "one for each endpoint");
    rig.run_until(at(60_001));
    assert_eq!(rig.node.sessions(), 0);
}

/// Envoy: `hash_policies`.
#[test]
fn a_hash_sends_a_clients_address_or_all_clients_to_one_endpoint() {
    let ring = || {
        let mut cluster = Cluster::envoy("c", endpoints(8));
        cluster.balancer = Sourced::unsourced(Balancer::Maglev {
            size: 65_537,
            bound: None,
        });
        vec![(cluster, 1)]
    };
    for (hash, of_one_address, of_all) in [
        (None, false, false),
        (Some(DatagramHash::SourceAddress), true, false),
        (Some(DatagramHash::Key("k".into())), true, true),
    ] {
        let mut rig = Rig::unconnected(config(ring(), |route| route.hash = hash.clone()));
        let mut ends = |address: u8| -> Vec<SocketAddr> {
            let of = |port| {
                let session = rig.datagram(&format!("10.1.1.{address}:{port}"), FRONT);
                rig.node.session(session?).map(|plan| plan.endpoint)
            };
            (1..=16).filter_map(of).collect()
        };
        let is_one = |ends: &[SocketAddr]| ends.iter().all(|it| *it == ends[0]);
        let (one, all) = (ends(1), (1..=16).flat_map(ends).collect::<Vec<_>>());
        assert_eq!(is_one(&one), of_one_address, "{hash:?}");
        assert_eq!(is_one(&all), of_all, "{hash:?}");
    }
}

#[test]
fn a_new_configuration_keeps_sessions_that_it_has_a_way_for() {
    let with = |name: &str, idle| {
        let cluster = Cluster::envoy(name, endpoints(1));
        let idle = Some(Sourced::unsourced(Duration::from_secs(idle)));
        config(vec![(cluster, 1)], |route| route.idle_timeout = idle)
    };
    let mut rig = Rig::unconnected(with("c", 60));
    let session = rig.datagram("10.1.1.1:1", FRONT);
    rig.update(Update::Config(Arc::new(with("c", 5))));
    assert_eq!(rig.datagram("10.1.1.1:1", FRONT), session);
    rig.run_until(at(5_001));
    assert_eq!(rig.node.sessions(), 0, "the new timeout counts");
    rig.goes(1);
    rig.update(Update::Config(Arc::new(with("other", 5))));
    let gone = SessionFact::Ended(SessionEnd::RouteGone);
    assert_eq!(rig.facts().last(), Some(&gone));
    assert_eq!(rig.node.sessions(), 0);
    assert!(rig.goes(1).is_some());
}

#[test]
fn draining_takes_no_new_clients_and_waits_a_moment_for_answers() {
    let mut rig = rig(Cluster::envoy("c", endpoints(1)));
    rig.goes(1);
    rig.run_until(at(100));
    let session = rig.datagram("10.1.1.1:2", FRONT).unwrap();
    rig.input(Input::Drain);
    assert_eq!(rig.goes(3), None);
    rig.run_until(at(900));
    rig.input(Input::Answered { session });
    rig.run_until(at(1_500));
    assert_eq!(rig.node.sessions(), 1, "one has an answer");
    rig.run_until(at(1_901));
    assert_eq!(rig.node.sessions(), 0);
}

#[test]
fn a_session_without_a_socket_is_over() {
    let mut rig = rig(Cluster::envoy("c", endpoints(1)));
    let session = rig.datagram("10.1.1.1:1", FRONT).unwrap();
    rig.input(Input::SessionFailed { session });
    assert_eq!(rig.node.sessions(), 0);
    assert!(rig.asked.contains(&Action::EndSession));
    rig.input(Input::SessionFailed { session });
    rig.input(Input::Answered { session });
    assert_eq!(rig.facts().len(), 2, "late news of it are ignored");
}

#[test]
fn datagrams_have_a_listener_of_their_own() {
    let build = |address: ListenerAddress, action| {
        let mut draft = SectionDraft::default();
        draft.add_cluster(Cluster::envoy("c", endpoints(1)));
        draft.listeners.push(Listener {
            address,
            chains: vec![chain(action)],
            ..listener(route(vec![(ClusterIndex(0), 1)]))
        });
        draft.build().map(drop)
    };
    let udp = |weight| ChainAction::Udp(route(vec![(ClusterIndex(0), weight)]));
    let datagrams = ListenerAddress::Datagrams(FRONT.parse().unwrap());
    let stream = ListenerAddress::Socket(FRONT.parse().unwrap());
    assert_eq!(build(datagrams, udp(1)), Ok(()));
    let name = || "front".into();
    for (address, action, error) in [
        (stream, udp(1), SectionError::Datagrams(name())),
        (
            datagrams,
            ChainAction::Close(CloseReason::Idle),
            SectionError::Datagrams(name()),
        ),
        (datagrams, udp(0), SectionError::NoWeight(name())),
    ] {
        assert_eq!(build(address, action), Err(error));
    }
}
