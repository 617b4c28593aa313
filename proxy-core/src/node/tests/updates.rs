//! What a connection remembers of its configuration does not outlive it.

use std::sync::Arc;

use super::rig::*;
use crate::config::*;
use crate::node::Update;
use crate::origin::{OriginId, Sourced};
use crate::reply::ReplyReason;

fn plain() -> NodeConfig {
    let cluster = Cluster::envoy("c", endpoints(1));
    config_with(cluster, |c| route_to(Forward::to(c)), |_| ())
}

fn status(rig: &mut Rig) -> u16 {
    let token = rig.get();
    rig.run_until(rig.now + ms(10));
    rig.got(token).1
}

/// The virtual hosts of [`plain`] after another one, which answers 418.
fn with_a_host_before() -> NodeConfig {
    let mut draft = SectionDraft::default();
    let cluster = draft.add_cluster(Cluster::envoy("c", endpoints(1)));
    let teapot = Route {
        action: RouteAction::Direct(DirectResponse {
            status: 418,
            body: "".into(),
        }),
        ..route_to(Forward::to(cluster))
    };
    let host = |name: &str, domain: &str, route| VirtualHost {
        name: name.into(),
        domains: vec![domain.into()],
        routes: vec![route],
        attempt_count: false,
        attempt_count_in_response: false,
        origin: OriginId::NONE,
    };
    let table = draft.add_table(RouteTable {
        ignore_port: false,
        name: "routes".into(),
        virtual_hosts: vec![
            host("first", "elsewhere", teapot),
            host("all", "*", route_to(Forward::to(cluster))),
        ],
    });
    draft.listeners.push(Listener {
        name: "outbound".into(),
        address: ListenerAddress::OutboundRest,
        chains: vec![chain(ChainAction::Http(Box::new(http(table))))],
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
fn the_virtual_host_of_the_last_request_is_looked_up_anew() {
    let mut rig = Rig::new(plain());
    assert_eq!(status(&mut rig), 200);
    rig.update(Update::Config(Arc::new(with_a_host_before())));
    assert_eq!(
        status(&mut rig),
        200,
        "the same authority, now of the second host"
    );
}

#[test]
fn filters_that_come_with_an_update_apply_to_standing_connections_and_go_with_the_next() {
    let abort = |http: &mut HttpConnections| {
        http.filters.push(HttpFilter::Fault(Some(Fault {
            delay: None,
            abort: Some(FaultAbort {
                status: Some(503),
                grpc: None,
                share: Share::ALL,
            }),
            headers: Vec::new(),
            max_active: None,
            origin: OriginId::NONE,
        })));
    };
    let faulty = config_with(
        Cluster::envoy("c", endpoints(1)),
        |c| route_to(Forward::to(c)),
        abort,
    );
    let mut rig = Rig::new(plain());
    assert_eq!(status(&mut rig), 200);
    rig.update(Update::Config(Arc::new(faulty)));
    assert_eq!(status(&mut rig), 503);
    let last = rig.access.last().expect("it has ended");
    assert_eq!(last.reply, Some(ReplyReason::FaultAbort));
    rig.update(Update::Config(Arc::new(plain())));
    assert_eq!(status(&mut rig), 200);
}

#[test]
fn stream_timers_that_come_with_an_update_apply_to_standing_connections() {
    let impatient = |http: &mut HttpConnections| {
        http.max_stream_duration = Some(Sourced::unsourced(ms(5)));
    };
    let timed = config_with(
        Cluster::envoy("c", endpoints(1)),
        |c| route_to(Forward::to(c)),
        impatient,
    );
    let mut rig = Rig::new(plain());
    assert_eq!(status(&mut rig), 200);
    rig.update(Update::Config(Arc::new(timed)));
    rig.play(1, &[Play::Silence]);
    assert_eq!(status(&mut rig), 504);
}

/// Envoy: clusters whose endpoints are resolved, or come from elsewhere, keep them when a listener or a route changes.
#[test]
fn a_new_configuration_may_come_with_its_endpoints() {
    let named = |panic| {
        let mut cluster = Cluster::envoy("c", EndpointSet::default());
        cluster.panic_threshold.value = Share::from_percent(panic);
        config_with(cluster, |c| route_to(Forward::to(c)), |_| ())
    };
    let found = [(Name::from("c"), Arc::new(endpoints(1)))];
    let mut rig = Rig::new(named(50.0));
    rig.update(Update::Endpoints {
        cluster: "c",
        set: found[0].1.clone(),
    });
    let ask = |rig: &mut Rig| {
        let token = rig.get();
        rig.run_until(rig.now + ms(1));
        rig.got(token).1
    };
    assert_eq!((ask(&mut rig), rig.opened), (200, 1));
    rig.update(Update::ConfigWith {
        config: Arc::new(named(40.0)),
        endpoints: &found,
    });
    assert_eq!(
        (ask(&mut rig), rig.opened),
        (200, 1),
        "its connection stays"
    );
    // a cluster that is as it was, with other endpoints
    let config = Arc::new(named(30.0));
    for (n, opened) in [(1, 1), (0, 1)] {
        rig.update(Update::ConfigWith {
            config: config.clone(),
            endpoints: &[(Name::from("c"), Arc::new(endpoints(n)))],
        });
        let want = if n == 1 { 200 } else { 503 };
        assert_eq!((ask(&mut rig), rig.opened), (want, opened), "{n}");
    }
}
