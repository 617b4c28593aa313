//! Heads that the rules of their connection were asked about before any route.

use core::net::SocketAddr;
use std::collections::BTreeSet;
use std::sync::Arc;

use super::rig::*;
use crate::config::*;
use crate::draw::DrawKey;
use crate::heads::asked::Asked;
use crate::ids::{AttemptId, ExchangeId};
use crate::node::{Arrived, Update};
use crate::origin::{OriginId, Sourced};
use crate::reply::{BadHead, ReplyReason};

fn rules(tune: impl FnOnce(&mut HeadRules)) -> Arc<HeadRules> {
    let mut rules = HeadRules::unwritten("windtunnel");
    tune(&mut rules);
    Arc::new(rules)
}

fn config(rules: Option<Arc<HeadRules>>, tune: impl FnOnce(&mut Forward)) -> NodeConfig {
    let cluster = Cluster::envoy("c", endpoints(3));
    let route = |index| {
        let mut forward = Forward::to(index);
        tune(&mut forward);
        route_to(forward)
    };
    config_with(cluster, route, |http| http.heads = rules)
}

impl Rig {
    /// Has a head received, and sends it on as it is then.
    fn receive(&mut self, mut asked: Asked) -> (u64, ExchangeId) {
        let arrived = Arrived {
            downstream: self.downstream,
            key: DrawKey::root(3),
            own_address: [192, 0, 2, 2].into(),
        };
        let received = self.node.receive(arrived, |_| None, &mut asked);
        let head = Head {
            method: asked.method,
            authority: asked.authority.unwrap_or_default(),
            path: asked.path,
            headers: asked.lines,
            status: 0,
            received,
        };
        self.send_head(head, true)
    }

    /// What was written to the head of the answer to a request that has just been sent, which takes so long.
    fn told(&mut self, asked: Asked) -> Vec<String> {
        self.added.clear();
        self.receive(asked);
        self.run_until(self.now + ms(100));
        std::mem::take(&mut self.added)
    }
}

#[test]
fn a_head_that_may_not_pass_is_answered_before_filters_and_routes() {
    let rules = rules(|rules| rules.path.escaped_slashes = EscapedSlashes::Redirect);
    let cluster = Cluster::envoy("c", endpoints(1));
    let mut rig = Rig::new(config_with(
        cluster,
        |c| route_to(Forward::to(c)),
        |http| {
            http.heads = Some(rules);
            http.filters.push(HttpFilter::Fault(Some(Fault {
                abort: Some(FaultAbort {
                    status: Some(418),
                    grpc: None,
                    share: Share::ALL,
                }),
                ..Fault::default()
            })));
        },
    ));
    let mut asked = Asked::with(&[]);
    asked.path = "/a%2Fb".to_owned();
    let (token, _) = rig.receive(asked);
    let Seen::Local(reply) = rig.seen(token) else {
        panic!("the node answers");
    };
    let reason = ReplyReason::BadHead(BadHead::PathRedirect);
    assert_eq!((reply.status, reply.reason), (307, reason));
    assert!(!reply.closes());
    assert_eq!(rig.added, ["server: windtunnel"]);
    let mut asked = Asked::with(&[]);
    asked.authority = None;
    let (token, _) = rig.receive(asked);
    let Seen::Local(reply) = rig.seen(token) else {
        panic!("the node answers");
    };
    assert_eq!((reply.status, reply.closes()), (400, true));
    assert_eq!(rig.sent.len(), 0);
    // the connection takes other requests
    let (token, _) = rig.receive(Asked::with(&[]));
    assert_eq!(rig.got(token).1, 418);
}

#[test]
fn control_headers_have_a_say_where_their_client_is_internal() {
    for (said, status) in [("10.0.0.1", 200), ("8.8.8.8", 503)] {
        let rules = rules(|rules| {
            rules.client.internal = vec![Cidr {
                address: [10, 0, 0, 0].into(),
                bits: 8,
            }];
        });
        let mut rig = Rig::new(config(Some(rules), |_| ()));
        for n in 1..=3 {
            rig.play(n, &[Play::Answer(503, ms(0))]);
        }
        let lines = [
            ("x-forwarded-for", said),
            ("x-envoy-retry-on", "5xx"),
            ("x-envoy-max-retries", "3"),
        ];
        let (token, _) = rig.receive(Asked::with(&lines));
        rig.run_until(rig.now + ms(1000));
        assert_eq!(rig.got(token).1, status, "{said}");
    }
}

#[test]
fn the_client_that_is_believed_in_is_who_hashes_go_by() {
    let tune = |forward: &mut Forward| {
        forward.hash = vec![HashPolicy {
            source: HashSource::SourceAddress,
            terminal: false,
        }];
    };
    let mut cluster = Cluster::envoy("c", endpoints(3));
    cluster.balancer = Sourced::unsourced(Balancer::RingHash {
        min_size: 1024,
        max_size: 8 << 20,
        bound: None,
    });
    let mut rig = Rig::new(config_with(
        cluster,
        |index| {
            let mut forward = Forward::to(index);
            tune(&mut forward);
            route_to(forward)
        },
        |http| http.heads = Some(rules(|_| ())),
    ));
    let mut to = |client: &str| {
        rig.sent.clear();
        rig.receive(Asked::with(&[("x-forwarded-for", client)]));
        rig.sent[0].1
    };
    let clients: Vec<String> = (1..=20).map(|n| format!("8.8.8.{n}")).collect();
    let first: Vec<SocketAddr> = clients.iter().map(|it| to(it)).collect();
    let again: Vec<SocketAddr> = clients.iter().map(|it| to(it)).collect();
    assert_eq!(first, again);
    assert_eq!(first.into_iter().collect::<BTreeSet<_>>().len(), 3);
}

#[test]
fn responses_say_who_answered_and_how_long_that_took() {
    let mut route = route_to(Forward::to(ClusterIndex(0)));
    route.response_edits = vec![
        crate::heads::HeaderOp::Set("server".into(), "mine".into()),
        crate::heads::HeaderOp::Set("x-edited".into(), "1".into()),
    ];
    let mut rig = Rig::new(config_with(
        Cluster::envoy("c", endpoints(1)),
        |_| route,
        |http| http.heads = Some(rules(|_| ())),
    ));
    rig.play(1, &[Play::Answer(200, ms(7))]);
    assert_eq!(
        rig.told(Asked::with(&[])),
        [
            "x-envoy-upstream-service-time: 7",
            "x-edited: 1",
            "server: windtunnel",
        ]
    );
}

#[test]
fn the_upstreams_time_begins_when_the_request_is_complete() {
    let mut rig = Rig::new(config(Some(rules(|_| ())), |_| ()));
    let head = Head {
        received: None,
        ..head("POST")
    };
    for n in 1..=3 {
        rig.play(n, &[Play::Answer(200, ms(30))]);
    }
    let (_, exchange) = rig.send_head(head, false);
    rig.run_until(rig.now + ms(20));
    rig.input(crate::node::Input::RequestEnd { exchange });
    rig.run_until(rig.now + ms(100));
    let time = "x-envoy-upstream-service-time: 10".to_owned();
    assert!(rig.added.contains(&time), "{:?}", rig.added);
}

#[test]
fn the_nodes_own_answers_have_the_edits_of_their_route_and_no_time() {
    let mut rig = Rig::new(config(Some(rules(|_| ())), |forward| {
        forward.clusters[0].response_edits =
            vec![crate::heads::HeaderOp::Set("x-edited".into(), "1".into())];
    }));
    for n in 1..=3 {
        rig.refusing.insert(address(n));
    }
    let lines = rig.told(Asked::with(&[]));
    assert_eq!(lines, ["x-edited: 1", "server: windtunnel"]);
}

#[test]
fn nothing_is_told_where_envoys_headers_are_not_wanted() {
    let silent = rules(|rules| rules.tells = false);
    for (rules, timeout, time) in [(rules(|_| ()), Some("250"), true), (silent, None, false)] {
        let mut rig = Rig::new(config(Some(rules), |forward| {
            forward.timeout = Sourced::unsourced(Some(ms(250)));
        }));
        rig.play(1, &[Play::Silence]);
        rig.play(2, &[Play::Silence]);
        rig.play(3, &[Play::Silence]);
        let (_, exchange) = rig.receive(Asked::with(&[]));
        let mut out = Asked::with(&[]);
        let attempt = AttemptId {
            exchange,
            number: 1,
        };
        rig.node.write_head(attempt, &rig.heads, &mut out);
        assert_eq!(
            out.said("x-envoy-expected-rq-timeout-ms").as_deref(),
            timeout
        );
        let mut rig = Rig::new(config(rig_rules(&rig), |_| ()));
        let lines = rig.told(Asked::with(&[]));
        let told = lines
            .iter()
            .any(|line| line.starts_with("x-envoy-upstream-service-time"));
        assert_eq!(told, time);
    }
}

fn rig_rules(rig: &Rig) -> Option<Arc<HeadRules>> {
    let section = &rig.node.config().sections[0];
    match &section.listeners()[0].chains[0].action {
        ChainAction::Http(http) => http.heads.clone(),
        ChainAction::Tcp(_) | ChainAction::Udp(_) | ChainAction::Close(_) => None,
    }
}

#[test]
fn clients_learn_how_many_tries_there_were_where_they_are_to() {
    let mut section = SectionDraft::default();
    let cluster = section.add_cluster(Cluster::envoy("c", endpoints(1)));
    let table = section.add_table(RouteTable {
        ignore_port: false,
        name: "routes".into(),
        virtual_hosts: vec![VirtualHost {
            name: "all".into(),
            domains: vec!["*".into()],
            routes: vec![route_to(Forward::to(cluster))],
            attempt_count: false,
            attempt_count_in_response: true,
            origin: OriginId::NONE,
        }],
    });
    section.listeners.push(Listener {
        name: "outbound".into(),
        address: ListenerAddress::OutboundRest,
        chains: vec![chain(ChainAction::Http(Box::new(http(table))))],
        max_connections: None,
        preface: None,
        process_limit: None,
        logs: crate::log::Logs::default(),
        origin: OriginId::NONE,
    });
    let mut rig = Rig::new(NodeConfig {
        name: "test".into(),
        kind: NodeKind::Sidecar,
        sections: vec![Arc::new(section.build().unwrap())],
    });
    assert_eq!(rig.told(Asked::with(&[])), ["x-envoy-attempt-count: 1"]);
}

#[test]
fn a_standing_connection_goes_by_the_rules_of_the_configuration_in_force() {
    let named = |name: &'static str| Some(Arc::new(HeadRules::unwritten(name)));
    let mut rig = Rig::new(config(named("one"), |_| ()));
    for (name, rules) in [("one", named("one")), ("two", named("two"))] {
        rig.update(Update::Config(Arc::new(config(rules, |_| ()))));
        let server = format!("server: {name}");
        assert!(rig.told(Asked::with(&[])).contains(&server), "{name}");
    }
    rig.update(Update::Config(Arc::new(config(None, |_| ()))));
    assert_eq!(rig.told(Asked::with(&[])), [""; 0], "no rules");
}

#[test]
fn a_request_leaves_with_its_own_scheme_unless_it_is_to_have_its_endpoints() {
    for (of_upstream, want) in [(false, "http"), (true, "https")] {
        let rules = rules(|rules| rules.scheme_of_upstream = of_upstream);
        let mut rig = Rig::new(config(Some(rules), |_| ()));
        let (_, exchange) = rig.receive(Asked::with(&[]));
        assert_eq!(rig.node.scheme_for(exchange, true, &rig.heads), want);
    }
}
