//! What a client gets when there is no answer of an endpoint, and where requests go.

use std::sync::Arc;

use super::retries::retry;
use super::rig::*;
use crate::config::*;
use crate::heads::HeaderOp;
use crate::ids::AttemptId;
use crate::node::{Action, Input, ResetCause};
use crate::origin::{OriginId, Sourced};
use crate::route::Copied;
use crate::time::Duration;

/// Envoy: `%RESPONSE_FLAGS%`.
#[test]
fn each_way_to_fail_has_its_status_and_flag() {
    for (cause, status, flags) in [
        (ResetCause::Remote, 503, "UR"),
        (ResetCause::Refused, 503, "UR"),
        (ResetCause::ConnectionClosed, 503, "UC"),
        (ResetCause::Protocol, 502, "UPE"),
    ] {
        let mut rig = Rig::simple(1, |_, _| ());
        rig.play(1, &[Play::Silence]);
        let (token, exchange) = rig.send_head(head("GET"), true);
        let attempt = AttemptId {
            exchange,
            number: 1,
        };
        rig.input(Input::UpstreamReset { attempt, cause });
        let got = (rig.got(token).1, &*rig.flags(token));
        assert_eq!(got, (status, flags), "{cause:?}");
    }
    let mut rig = Rig::simple(1, |_, f| f.retry = Some(retry("connect-failure", 1)));
    rig.refusing.insert(address(1));
    let token = rig.get();
    assert_eq!((rig.got(token).1, &*rig.flags(token)), (503, "UF,URX"));
    let mut rig = Rig::simple(1, |c, _| c.limits[0].pending = Sourced::unsourced(0));
    let token = rig.get();
    assert_eq!((rig.got(token).1, &*rig.flags(token)), (503, "UO"));
}

/// Envoy: `ActiveStream::onCodecError`. That a client sends nonsense is no endpoint's fault.
#[test]
fn a_request_whose_body_is_none_is_refused_and_no_endpoint_is_blamed() {
    let mut rig = Rig::simple(1, |_, f| f.retry = Some(retry("5xx,reset", 3)));
    rig.play(1, &[Play::Silence, Play::Silence]);
    let (token, exchange) = rig.send_head(head("POST"), false);
    rig.input(Input::RequestBroken { exchange });
    assert_eq!((rig.got(token).1, &*rig.flags(token)), (400, "DPE"));
    assert_eq!(rig.sent_at().len(), 1, "nothing is tried again");
    // told once more, there is nobody to tell
    rig.input(Input::RequestBroken { exchange });
}

/// Two clusters, `one` with endpoint 1 and `two` with endpoint 2, behind one virtual host for `domain`.
fn two_clusters(domain: &str, route: impl FnOnce(ClusterIndex, ClusterIndex) -> Forward) -> Rig {
    let mut draft = SectionDraft::default();
    let only = |n: u8| EndpointSet {
        endpoints: vec![Endpoint::at(address(n))],
        locality_weights: Vec::new(),
    };
    let one = draft.add_cluster(Cluster::envoy("one", only(1)));
    let two = draft.add_cluster(Cluster::envoy("two", only(2)));
    let table = draft.add_table(RouteTable {
        name: "routes".into(),
        virtual_hosts: vec![VirtualHost {
            name: "host".into(),
            domains: vec![domain.into()],
            routes: vec![route_to(route(one, two))],
            attempt_count: true,
            attempt_count_in_response: false,
            origin: OriginId::NONE,
        }],
        ignore_port: false,
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
    Rig::new(NodeConfig {
        name: "test".into(),
        kind: NodeKind::Sidecar,
        sections: vec![Arc::new(draft.build().unwrap())],
    })
}

fn weighted(cluster: Option<ClusterIndex>, weight: u32) -> WeightedCluster {
    WeightedCluster {
        cluster,
        weight,
        request_edits: Vec::new(),
        response_edits: Vec::new(),
        origin: OriginId::NONE,
    }
}

#[test]
fn no_virtual_host_is_404_and_no_cluster_what_the_route_says() {
    let mut rig = two_clusters("b", |one, _| Forward::to(one));
    let token = rig.get();
    assert_eq!((rig.got(token).1, &*rig.flags(token)), (404, "NR"));
    for (missing_status, status) in [(None, 503), (Some(404), 404)] {
        let mut rig = two_clusters("a", |one, _| {
            let mut forward = Forward::to(one);
            forward.clusters = vec![weighted(None, 1)];
            forward.missing_status = missing_status.unwrap_or(forward.missing_status);
            forward.retry = Some(retry("5xx", 3));
            forward
        });
        let token = rig.get();
        assert_eq!((rig.got(token).1, &*rig.flags(token)), (status, "NC"));
    }
}

/// Envoy: a gRPC client gets 200 with the status that the HTTP one stands for.
#[test]
fn a_grpc_client_is_told_in_its_own_words() {
    for (kind, status, grpc) in [
        ("application/grpc", 200, Some(12)),
        ("application/grpc+proto", 200, Some(12)),
        ("application/json", 404, None),
    ] {
        let mut rig = two_clusters("b", |one, _| Forward::to(one));
        let token = rig.send(&[("content-type", kind)]);
        let Seen::Local(reply) = rig.seen(token) else {
            panic!("the node answers");
        };
        assert_eq!((reply.status, reply.grpc), (status, grpc), "{kind}");
    }
}

/// Envoy: `finalizeResponseHeaders` is for answers of endpoints and of the router, whether they have a body or not, not for those of
/// filters before it.
#[test]
fn the_routes_edits_are_carried_out_on_answers_of_the_node_too() {
    let edited = |answer: fn(&mut Route), play: Play| {
        let cluster = Cluster::envoy("c", endpoints(1));
        let config = config_with(
            cluster,
            |index| {
                let mut route = route_to(Forward::to(index));
                route.response_edits = vec![HeaderOp::Append("x-new".into(), "1".into())];
                answer(&mut route);
                route
            },
            |http| http.filters = vec![HttpFilter::Fault(None)],
        );
        let mut rig = Rig::new(config);
        rig.play(1, &[play]);
        rig.get();
        rig.run_until(at(100));
        rig.added
    };
    fn direct(route: &mut Route) {
        route.action = RouteAction::Direct(DirectResponse {
            status: 404,
            body: "no".into(),
        });
    }
    fn abort(route: &mut Route) {
        route.fault = Some(Box::new(Fault {
            abort: Some(FaultAbort {
                status: Some(418),
                grpc: None,
                share: Share::ALL,
            }),
            ..Fault::default()
        }));
    }
    assert_eq!(edited(|_| (), OK), ["x-new: 1"], "an answer without a body");
    assert_eq!(
        edited(|_| (), Play::Reset(ms(1))),
        ["x-new: 1"],
        "a failure"
    );
    assert_eq!(edited(direct, OK), ["x-new: 1"], "the route's own");
    assert_eq!(edited(abort, OK), ["x-new: 1"], "a filter's");
    let aborted_direct = |route: &mut Route| {
        direct(route);
        abort(route);
    };
    assert!(
        edited(aborted_direct, OK).is_empty(),
        "a filter's, where the route sends nothing on"
    );
}

/// A request and its copy have one body.
#[test]
fn a_body_is_kept_while_a_copy_of_it_waits_for_a_connection() {
    let mut rig = Rig::simple(2, |c, f| {
        c.protocol = UpstreamProtocol::Http1;
        f.mirrors.push(Mirror {
            cluster: ClusterIndex(0),
            share: Sourced::unsourced(Share::ALL),
            shadow_host: false,
        });
    });
    // the first is dispatched at once, its copy goes to an endpoint whose connection does not stand yet
    rig.unreachable.insert(address(2));
    rig.play(1, &[Play::Silence]);
    let (_, exchange) = rig.send_head(head("POST"), true);
    assert_eq!(rig.sent.len(), 1);
    let copy = rig.asked.iter().find_map(|action| {
        let Action::Spawned { child } = action else {
            return None;
        };
        Some(*child)
    });
    let copy = copy.expect("there is a copy");
    assert!(rig.node.keeps_body(exchange) && rig.node.keeps_body(copy));
    rig.run_until(at(10_000));
    assert!(!rig.node.keeps_body(exchange), "the copy has given up");
}

#[test]
fn headers_are_kept_while_anything_may_yet_ask_for_them() {
    // who meets clients heeds no control headers of theirs
    let kept = |edge: bool, header: (&str, &str), tune: fn(&mut Forward)| {
        let mut forward = Forward::to(ClusterIndex(0));
        tune(&mut forward);
        let cluster = Cluster::envoy("c", endpoints(1));
        let config = config_with(cluster, |_| route_to(forward), |http| http.edge = edge);
        let mut rig = Rig::new(config);
        rig.play(1, &[Play::Silence]);
        let request = Head {
            headers: vec![(header.0.into(), header.1.into())],
            ..head("POST")
        };
        let (_, exchange) = rig.send_head(request, true);
        let attempt = AttemptId {
            exchange,
            number: 1,
        };
        rig.node.keeps_headers(attempt, &rig.heads)
    };
    let mirrored = |f: &mut Forward| {
        f.mirrors.push(Mirror {
            cluster: ClusterIndex(0),
            share: Sourced::unsourced(Share::ALL),
            shadow_host: false,
        });
    };
    let retried = |f: &mut Forward| f.retry = Some(retry("5xx", 1));
    let bounded = |f: &mut Forward| f.largest_body = Some(Sourced::unsourced(1_000));
    let (any, grpc) = (("accept", "*/*"), ("content-type", "application/grpc"));
    assert!(!kept(true, any, |_| ()), "nobody asks");
    assert!(kept(true, any, retried), "another try");
    assert!(kept(true, any, mirrored), "its copy");
    assert!(kept(true, any, bounded), "a bound of its body");
    assert!(kept(true, grpc, |_| ()), "an answer in gRPC's words");
    assert!(
        kept(false, any, |_| ()),
        "a control header, if there is one"
    );
}

/// Envoy: `WeightedCluster`.
#[test]
fn a_request_draws_its_cluster_once_for_all_its_tries() {
    let mut rig = two_clusters("a", |one, two| {
        let mut forward = Forward::to(one);
        forward.clusters = vec![weighted(Some(one), 1), weighted(Some(two), 3)];
        forward.retry = Some(retry("5xx", 2));
        forward
    });
    let requests = 2_000_usize;
    for n in [1, 2] {
        rig.play(n, &vec![Play::Answer(503, Duration::ZERO); 3 * requests]);
    }
    let mut first = 0;
    for _ in 0..requests {
        rig.sent.clear();
        rig.get();
        rig.run_until(rig.now + ms(1));
        let to: Vec<_> = rig.sent.iter().map(|(_, to)| *to).collect();
        assert!(to.len() == 3 && to.iter().all(|other| *other == to[0]));
        first += usize::from(to[0] == address(1));
    }
    // 5 sigma of a binomial with 2 000 trials of a quarter
    assert!(first.abs_diff(500) < 97, "{first}");
}

/// Envoy: `include_request_attempt_count`.
#[test]
fn upstreams_are_told_which_try_it_is() {
    let mut rig = two_clusters("a", |one, _| {
        let mut forward = Forward::to(one);
        forward.retry = Some(retry("5xx", 1));
        forward
    });
    rig.play(1, &[Play::Answer(503, ms(1)), Play::Silence]);
    let (_, exchange) = rig.send_head(head("GET"), true);
    let mut count = |number: u16, until| {
        let attempt = AttemptId { exchange, number };
        let count = rig.node.edit_key(attempt).attempt_count;
        rig.run_until(at(until));
        count
    };
    assert_eq!([count(1, 5), count(2, 5)], [1, 2]);
}

/// Envoy: `RequestMirrorPolicy`.
#[test]
fn a_copy_is_held_to_limits_is_not_retried_and_says_so_in_its_host() {
    let mirroring = |share, cluster: fn(&mut Cluster)| {
        Rig::simple(1, |c, f| {
            cluster(c);
            f.retry = Some(retry("5xx", 3));
            f.mirrors.push(Mirror {
                cluster: ClusterIndex(0),
                share: Sourced::unsourced(share),
                shadow_host: true,
            });
        })
    };
    let mut rig = mirroring(Share::ALL, |_| ());
    rig.play(1, &[Play::Answer(200, ms(5)), Play::Answer(503, ms(1))]);
    let (token, exchange) = rig.send_head(head("GET"), true);
    let of = |exchange| AttemptId {
        exchange,
        number: 1,
    };
    let copy = rig.asked.iter().find_map(|action| {
        let Action::Spawned { child } = action else {
            return None;
        };
        Some(*child)
    });
    let keys = [exchange, copy.unwrap()].map(|e| rig.node.edit_key(of(e)).copied);
    assert_eq!(keys, [Copied::Not, Copied::Marked]);
    rig.run_until(at(100));
    assert_eq!((rig.got(token), rig.sent.len()), ((5, 200), 2));

    let mut rig = mirroring(Share::ALL, |c| {
        c.limits[0].connections = Sourced::unsourced(1);
        c.limits[0].pending = Sourced::unsourced(1);
        c.protocol = UpstreamProtocol::Http2;
        c.limits[0].requests = Sourced::unsourced(1);
    });
    rig.play(1, &[Play::Answer(200, ms(5))]);
    let token = rig.get();
    rig.run_until(at(100));
    assert_eq!((rig.got(token), rig.sent.len()), ((5, 200), 1));

    let mut rig = mirroring(Share::from_percent(30.0), |_| ());
    for _ in 0..2_000 {
        rig.get();
        rig.run_until(rig.now + ms(1));
    }
    // 5 sigma of a binomial with 2 000 trials of 0.3
    let copies = rig.sent.len() - 2_000;
    assert!(copies.abs_diff(600) < 103, "{copies}");
}
