//! Upgrades and CONNECT: what may pass, where to, and what no longer bounds it.

use super::retries::retry;
use super::rig::*;
use crate::config::*;
use crate::event::{Event, UpgradeFact};
use crate::heads::{Asks, HeadId};
use crate::ids::{AttemptId, ExchangeId};
use crate::log::{AccessLog, Format, Layout, LogSink, Logs, Template};
use crate::node::{Action, Input, ResetCause};
use crate::origin::{OriginId, Sourced};
use crate::reply::ReplyReason;
use crate::time::Duration;

fn upgrade(kind: &str, allowed: bool) -> Upgrade {
    Upgrade {
        kind: kind.into(),
        allowed,
        origin: OriginId::NONE,
    }
}

fn wish(kind: &str) -> Head {
    Head {
        headers: vec![("upgrade".into(), kind.into())],
        ..head("GET")
    }
}

fn connect() -> Head {
    Head {
        path: String::new(),
        ..head("CONNECT")
    }
}

/// Everything is logged; the route and the listener are as `tune` has them.
fn rig(asks: Asks, tune: impl FnOnce(&mut Cluster, &mut Forward, &mut HttpConnections)) -> Rig {
    let mut cluster = Cluster::envoy("c", endpoints(1));
    let mut forward = Forward::to(ClusterIndex(0));
    let mut http = super::rig::http(TableIndex(0));
    http.logs = Logs::new(vec![AccessLog {
        sink: LogSink::Stdout,
        filter: None,
        format: Format {
            layout: Layout::Text(Template::default()),
            omits_empty: false,
        },
        origin: OriginId(1),
    }]);
    tune(&mut cluster, &mut forward, &mut http);
    let mut route = route_to(forward);
    if asks == Asks::Connect {
        route.matches = RouteMatch::path(PathMatch::Connect);
    }
    Rig::new(config_with(cluster, |_| route, |it| *it = http))
}

/// A WebSocket that is allowed, and not answered yet.
fn asked(tune: impl FnOnce(&mut Cluster, &mut Forward, &mut HttpConnections)) -> (Rig, ExchangeId) {
    let mut rig = rig(Asks::Upgrade, |cluster, forward, http| {
        http.upgrades = Upgrades::of(&["websocket"], OriginId::NONE);
        tune(cluster, forward, http);
    });
    rig.play(1, &[Play::Silence; 4]);
    let (_, id) = rig.send_wish(wish("websocket"), true, Asks::Upgrade);
    (rig, id)
}

/// The endpoint answers the first try.
fn answer(rig: &mut Rig, exchange: ExchangeId, status: u16, headers: &[(&str, &str)]) {
    let headers = headers.iter();
    rig.heads.0.push(Head {
        status,
        headers: headers
            .map(|(name, value)| ((*name).into(), (*value).into()))
            .collect(),
        ..Head::default()
    });
    let head = HeadId(rig.heads.0.len() as u32 - 1);
    let attempt = AttemptId {
        exchange,
        number: 1,
    };
    rig.input(Input::UpstreamHead {
        attempt,
        head,
        end: status == 101,
        bytes: 0,
    });
}

const SWITCH: &[(&str, &str)] = &[("upgrade", "websocket")];

fn switches(rig: &Rig) -> usize {
    let switch = |action: &&Action| matches!(action, Action::Switch { .. });
    rig.asked.iter().filter(switch).count()
}

fn facts(rig: &Rig) -> Vec<UpgradeFact> {
    let mut facts = Vec::new();
    for event in &rig.events {
        if let Event::Upgrade(fact) = event {
            facts.push(*fact);
        }
    }
    facts
}

/// Envoy 1.40: `createUpgradeFilterChain`.
#[test]
fn a_wish_passes_as_the_route_says_else_as_the_listener_does() {
    let listed = |kind: &str, allowed| Upgrades {
        listed: vec![upgrade(kind, allowed)],
        ..Upgrades::default()
    };
    let any = Upgrades {
        others: Unlisted::Allowed,
        ..Upgrades::default()
    };
    for (asked, of_listener, of_route, passes) in [
        ("websocket", Upgrades::default(), None, false),
        ("websocket", listed("websocket", true), None, true),
        ("WebSocket", listed("websocket", true), None, true),
        ("websocket", listed("WEBSOCKET", true), None, true),
        ("websocket", listed("websocket", false), None, false),
        (
            "websocket",
            listed("websocket", false),
            Some(("WebSocket", true)),
            true,
        ),
        (
            "websocket",
            listed("websocket", true),
            Some(("websocket", false)),
            false,
        ),
        (
            "websocket",
            Upgrades::default(),
            Some(("websocket", true)),
            true,
        ),
        (
            "websocket",
            listed("websocket", true),
            Some(("other", false)),
            true,
        ),
        ("other", listed("websocket", true), None, false),
        ("websocket, other", listed("websocket", true), None, false),
        ("other", any.clone(), None, true),
        ("other", any, Some(("other", false)), false),
        ("CONNECT", listed("CONNECT", true), None, true),
        (
            "CONNECT",
            Upgrades::default(),
            Some(("connect", true)),
            true,
        ),
        ("CONNECT", listed("websocket", true), None, false),
    ] {
        let row = format!("{asked} {of_listener:?} {of_route:?}");
        let (asks, head) = match asked {
            "CONNECT" => (Asks::Connect, connect()),
            kind => (Asks::Upgrade, wish(kind)),
        };
        let mut rig = rig(asks, |_, forward, http| {
            http.upgrades = of_listener;
            forward.upgrades = of_route
                .map(|(kind, on)| upgrade(kind, on))
                .into_iter()
                .collect();
        });
        let (token, _) = rig.send_wish(head, true, asks);
        let refused = matches!(
            rig.seen[&token].1,
            Seen::Local(reply) if reply.reason == ReplyReason::UpgradeRefused && reply.status == 403
        );
        assert_eq!(refused, !passes, "{row}");
        assert_eq!(rig.sent.len(), usize::from(passes), "{row}");
        if refused {
            assert_eq!(rig.logged, ["1: 403 - upgrade_failed 0 - 0 0"], "{row}");
            assert_eq!(facts(&rig), [UpgradeFact::Refused], "{row}");
        }
    }
}

#[test]
fn what_no_route_takes_is_not_found_whatever_it_asks_for() {
    let mut rig = rig(Asks::Upgrade, |_, _, _| ());
    for (head, asks) in [
        (wish("websocket"), Asks::Upgrade),
        (connect(), Asks::Connect),
    ] {
        let is_connect = asks == Asks::Connect;
        let (token, _) = rig.send_wish(head, true, asks);
        let reason = match rig.seen[&token].1 {
            Seen::Local(reply) => Some(reply.reason),
            Seen::Response(_) | Seen::Broken | Seen::Nothing => None,
        };
        let want = if is_connect {
            // the route takes paths, of which a CONNECT has none
            ReplyReason::NoRoute
        } else {
            ReplyReason::UpgradeRefused
        };
        assert_eq!(reason, Some(want));
    }
}

#[test]
fn once_switched_bytes_are_carried_and_counted_until_one_side_leaves() {
    for (leaves, line) in [
        (
            true,
            "1: 101 DC downstream_remote_disconnect 1 10.0.0.1 5 7",
        ),
        (
            false,
            "1: 101 UC upstream_reset_after_response_started{connection_termination} 1 10.0.0.1 5 7",
        ),
    ] {
        let (mut rig, exchange) = asked(|_, _, _| ());
        assert_eq!(switches(&rig), 0);
        answer(&mut rig, exchange, 101, SWITCH);
        assert_eq!(switches(&rig), 1);
        let attempt = AttemptId {
            exchange,
            number: 1,
        };
        rig.input(Input::RequestData { exchange, bytes: 5 });
        rig.input(Input::UpstreamData { attempt, bytes: 7 });
        assert_eq!((rig.node.exchanges(), rig.node.connections()), (1, 1));
        if leaves {
            rig.input(Input::DownstreamReset { exchange });
        } else {
            let cause = ResetCause::ConnectionClosed;
            rig.input(Input::UpstreamReset { attempt, cause });
        }
        assert_eq!(rig.logged, [line]);
        assert_eq!(rig.node.exchanges(), 0);
        assert_eq!(
            rig.node.connections(),
            0,
            "it is of no use to other requests"
        );
        assert_eq!(facts(&rig), [UpgradeFact::Allowed, UpgradeFact::Over]);
    }
}

/// Envoy 1.40: a WebSocket is timed from its head on, and no longer once it stands; `idle_timeout` and `max_stream_duration` go on.
#[test]
fn what_bounds_an_answer_no_longer_bounds_what_was_switched() {
    let tune = |forward: &mut Forward| {
        forward.timeout = Sourced::unsourced(Some(ms(100)));
        let mut policy = retry("reset", 0);
        policy.per_try_timeout = Some(Sourced::unsourced(ms(50)));
        forward.retry = Some(policy);
    };
    let (mut silent, exchange) = asked(|_, forward, _| {
        forward.timeout = Sourced::unsourced(Some(ms(100)));
    });
    silent.run_until(at(150));
    assert_eq!(silent.logged, ["1: 504 UT response_timeout 1 10.0.0.1 0 0"]);
    assert_eq!(silent.node.exchanges(), 0, "{exchange:?}");
    let (mut switched, exchange) = asked(|_, forward, http| {
        tune(forward);
        http.request_timeout = Some(Sourced::unsourced(ms(30)));
    });
    answer(&mut switched, exchange, 101, SWITCH);
    switched.run_until(at(5_000));
    assert_eq!(switched.logged, [""; 0], "nothing ends it");
    assert_eq!(switched.node.exchanges(), 1);
}

#[test]
fn silence_and_age_end_what_was_switched() {
    type Tune = fn(&mut Forward);
    let rows: [(Tune, &str); 2] = [
        (
            |forward| forward.idle_timeout = Some(Sourced::unsourced(ms(100))),
            "1: 101 SI stream_idle_timeout 1 10.0.0.1 3 0",
        ),
        (
            |forward| forward.max_stream_duration = Some(Sourced::unsourced(ms(170))),
            "1: 101 - max_duration_timeout 1 10.0.0.1 3 0",
        ),
    ];
    for (tune, line) in rows {
        let (mut rig, exchange) = asked(|_, forward, _| tune(forward));
        answer(&mut rig, exchange, 101, SWITCH);
        for n in 1..=3 {
            rig.run_until(at(n * 50));
            rig.input(Input::RequestData { exchange, bytes: 1 });
        }
        assert_eq!(rig.logged, [""; 0], "bytes keep it alive");
        rig.run_until(at(300));
        assert_eq!(rig.logged, [line]);
    }
}

#[test]
fn an_endpoint_that_does_not_switch_is_heard() {
    for (status, headers, switched, line) in [
        (
            200,
            &[][..],
            false,
            "1: 200 - websocket_handshake_unsuccessful 1 10.0.0.1 0 0",
        ),
        (
            302,
            &[],
            false,
            "1: 302 - websocket_handshake_unsuccessful 1 10.0.0.1 0 0",
        ),
        (404, &[], false, "1: 404 - via_upstream 1 10.0.0.1 0 2"),
        (503, &[], false, "1: 503 - via_upstream 1 10.0.0.1 0 2"),
        // a switch to nothing
        (101, &[], false, "1: 101 - via_upstream 1 10.0.0.1 0 0"),
        (101, SWITCH, true, ""),
    ] {
        let (mut rig, exchange) = asked(|_, _, _| ());
        answer(&mut rig, exchange, status, headers);
        assert_eq!(switches(&rig), usize::from(switched), "{status}");
        if switched {
            continue;
        }
        let attempt = AttemptId {
            exchange,
            number: 1,
        };
        rig.input(Input::UpstreamData { attempt, bytes: 2 });
        rig.input(Input::UpstreamEnd {
            attempt,
            grpc_status: None,
        });
        assert_eq!(rig.logged, [line]);
        assert_eq!(rig.node.connections(), 0, "{status}: it is not asked again");
    }
}

#[test]
fn a_refusal_is_retried_as_the_route_has_it() {
    let (mut rig, exchange) = asked(|_, forward, _| forward.retry = Some(retry("5xx", 1)));
    answer(&mut rig, exchange, 503, &[]);
    rig.run_until(at(200));
    assert_eq!(rig.sent.len(), 2);
}

#[test]
fn linkerds_proxies_tell_each_other_of_upgrades_over_http1() {
    for (replies, http2) in [(ReplyProfile::Linkerd, false), (ReplyProfile::Envoy, true)] {
        let (rig, _) = asked(|cluster, _, http| {
            cluster.protocol = UpstreamProtocol::Http2;
            http.replies = replies;
        });
        let (&upstream, _) = rig.connections.iter().next().expect("one is opened");
        let plan = rig.node.connect(upstream).expect("it stands");
        assert_eq!(plan.http2, http2, "{replies:?}");
    }
}

#[test]
fn a_connect_is_sent_on_or_ends_here() {
    for ends in [false, true] {
        let mut rig = rig(Asks::Connect, |cluster, forward, _| {
            forward.upgrades = vec![upgrade("CONNECT", true)];
            forward.ends_connect = ends;
            cluster.protocol = UpstreamProtocol::Http2;
        });
        rig.play(1, &[Play::Silence; 2]);
        let (_, exchange) = rig.send_wish(connect(), true, Asks::Connect);
        let (&upstream, _) = rig.connections.iter().next().expect("one is opened");
        let plan = rig.node.connect(upstream).expect("it stands");
        assert_eq!((plan.tcp, plan.http2), (ends, !ends), "{ends}");
        answer(&mut rig, exchange, 200, &[]);
        assert_eq!(switches(&rig), 1, "{ends}");
        let attempt = AttemptId {
            exchange,
            number: 1,
        };
        rig.input(Input::UpstreamData { attempt, bytes: 3 });
        rig.input(Input::RequestEnd { exchange });
        rig.input(Input::UpstreamEnd {
            attempt,
            grpc_status: None,
        });
        assert_eq!(
            rig.logged,
            ["1: 200 - via_upstream 1 10.0.0.1 0 3"],
            "{ends}"
        );
        rig.play(1, &[Play::Silence; 2]);
        rig.send_wish(connect(), true, Asks::Connect);
        assert_eq!(
            rig.opened,
            if ends { 2 } else { 1 },
            "a tunnel is used once"
        );
    }
}

/// Envoy 1.40: the route's timeout begins with the end of a request, and that of a CONNECT does not come.
#[test]
fn a_connect_is_not_timed() {
    let mut rig = rig(Asks::Connect, |_, forward, _| {
        forward.upgrades = vec![upgrade("CONNECT", true)];
        forward.timeout = Sourced::unsourced(Some(ms(100)));
    });
    rig.play(1, &[Play::Silence]);
    rig.send_wish(connect(), true, Asks::Connect);
    rig.run_until(at(5_000));
    assert_eq!(rig.node.exchanges(), 1);
    let timed = |action: &Action| {
        matches!(action, Action::Arm { class, .. }
        if *class == crate::node::TimerClass::Lane(Duration::from_millis(100)))
    };
    assert!(!rig.asked.iter().any(timed));
}

#[test]
fn draining_waits_for_what_was_switched() {
    let (mut rig, exchange) = asked(|_, _, _| ());
    answer(&mut rig, exchange, 101, SWITCH);
    rig.input(Input::Drain);
    rig.run_until(at(60_000));
    assert_eq!(rig.closed_clients, []);
    rig.input(Input::DownstreamReset { exchange });
    assert_eq!(rig.closed_clients, [CloseReason::Drain]);
}
