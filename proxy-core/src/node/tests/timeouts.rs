//! Timeouts: which one ends what, and when each starts.

use super::retries::retry;
use super::rig::*;
use crate::config::*;
use crate::heads::HeadId;
use crate::ids::{AttemptId, ExchangeId};
use crate::node::{Input, ResetCause};
use crate::origin::{OriginId, Sourced};
use crate::reply::ReplyReason;

fn timeout(millis: u64) -> Sourced<Option<crate::time::Duration>> {
    Sourced::new(Some(ms(millis)), OriginId(5))
}

#[test]
fn the_route_timeout_bounds_all_tries_and_says_who_set_it() {
    let mut rig = Rig::simple(1, |_, f| {
        f.timeout = timeout(50);
        f.retry = Some(retry("5xx", 9));
    });
    rig.play(
        1,
        &[
            Play::Answer(503, ms(20)),
            Play::Answer(503, ms(20)),
            Play::Silence,
        ],
    );
    let token = rig.get();
    rig.run_until(at(200));
    let Seen::Local(reply) = rig.seen(token) else {
        panic!("the node answers");
    };
    assert_eq!(rig.got(token), (50, 504));
    assert_eq!(
        (reply.reason, reply.origin),
        (ReplyReason::RouteTimeout, OriginId(5))
    );
    assert_eq!(rig.flags(token), "UT");
    assert_eq!(rig.cancelled.len(), 1, "the silent try is given up");
}

#[test]
fn a_per_try_timeout_is_retried_by_5xx_alone() {
    for (on, expected) in [
        ("5xx", (20, 200)),
        ("connect-failure,refused-stream", (10, 504)),
    ] {
        let mut rig = Rig::simple(1, |_, f| {
            let mut policy = retry(on, 1);
            policy.per_try_timeout = Some(Sourced::unsourced(ms(10)));
            f.retry = Some(policy);
        });
        rig.play(1, &[Play::Silence, Play::Answer(200, ms(9))]);
        let token = rig.get();
        rig.run_until(at(19));
        rig.run_until(at(200));
        let (when, status) = rig.got(token);
        assert_eq!(status, expected.1, "{on}");
        assert!(when <= expected.0, "{on}");
    }
}

#[test]
fn a_per_try_timeout_not_below_the_route_timeout_is_void() {
    let mut rig = Rig::simple(1, |_, f| {
        f.timeout = timeout(30);
        let mut policy = retry("5xx", 3);
        policy.per_try_timeout = Some(Sourced::unsourced(ms(30)));
        f.retry = Some(policy);
    });
    rig.play(1, &[Play::Silence; 4]);
    let token = rig.get();
    rig.run_until(at(200));
    assert_eq!(rig.got(token), (30, 504));
    assert_eq!(rig.sent.len(), 1);
}

#[test]
fn a_try_that_waits_for_a_connection_has_no_per_try_timeout_yet() {
    let mut rig = Rig::simple(1, |c, f| {
        c.limits[0].connections = Sourced::unsourced(1);
        let mut policy = retry("5xx", 0);
        policy.per_try_timeout = Some(Sourced::unsourced(ms(30)));
        f.retry = Some(policy);
    });
    rig.play(1, &[Play::Answer(200, ms(25)), Play::Answer(200, ms(25))]);
    let (first, second) = (rig.get(), rig.get());
    rig.run_until(at(200));
    assert_eq!(rig.got(first), (25, 200));
    assert_eq!(rig.got(second), (50, 200));
}

#[test]
fn the_route_timeout_starts_with_the_end_of_the_request() {
    let mut rig = Rig::simple(1, |_, f| f.timeout = timeout(50));
    rig.play(1, &[Play::Silence]);
    let head = Head {
        method: "POST".into(),
        path: "/".into(),
        ..Head::default()
    };
    let (token, exchange) = rig.send_head(head, false);
    rig.run_until(at(40));
    rig.input(Input::RequestData {
        exchange,
        bytes: 10,
    });
    rig.input(Input::RequestEnd { exchange });
    rig.run_until(at(200));
    assert_eq!(rig.got(token), (90, 504));
}

/// Envoy: `stream_idle_timeout`, `max_stream_duration`, `request_timeout`; `maybeRequestTimeoutCode`.
#[test]
fn a_streams_own_timers_blame_the_client_until_its_request_is_complete() {
    type Tune = fn(&mut HttpConnections);
    type Row = (&'static str, Tune, bool, (u64, u16), &'static str);
    let rows: [Row; 7] = [
        (
            "idle, complete",
            |h| h.stream_idle_timeout = in_50(),
            true,
            (50, 504),
            "SI",
        ),
        (
            "idle, incomplete",
            |h| h.stream_idle_timeout = in_50(),
            false,
            (50, 408),
            "SI",
        ),
        (
            "longest, complete",
            |h| h.max_stream_duration = in_50(),
            true,
            (50, 504),
            "-",
        ),
        (
            "longest, incomplete",
            |h| h.max_stream_duration = in_50(),
            false,
            (50, 408),
            "-",
        ),
        (
            "arrival, complete",
            |h| h.request_timeout = in_50(),
            true,
            (0, 0),
            "",
        ),
        (
            "arrival, incomplete",
            |h| h.request_timeout = in_50(),
            false,
            (50, 408),
            "-",
        ),
        (
            "off",
            |h| h.stream_idle_timeout = Some(Sourced::unsourced(ms(0))),
            true,
            (0, 0),
            "",
        ),
    ];
    for (name, tune, complete, got, flags) in rows {
        let config = config_with(
            Cluster::envoy("c", endpoints(1)),
            |c| route_to(Forward::to(c)),
            tune,
        );
        let mut rig = Rig::new(config);
        rig.play(1, &[Play::Silence]);
        let (token, _) = rig.send_head(head("GET"), complete);
        rig.run_until(at(200));
        assert_eq!((rig.got(token), &*rig.flags(token)), (got, flags), "{name}");
    }
}

#[test]
fn an_unanswered_connect_fails_after_the_connect_timeout() {
    let mut rig = Rig::simple(1, |c, _| c.connect_timeout = Sourced::unsourced(ms(70)));
    rig.unreachable.insert(address(1));
    let token = rig.get();
    rig.run_until(at(200));
    assert_eq!((rig.got(token), rig.flags(token)), ((70, 503), "UF".into()));
    assert_eq!(rig.node.connections(), 0);
}

#[test]
fn a_clients_departure_cancels_upstream() {
    let mut rig = Rig::simple(1, |_, _| ());
    rig.play(1, &[Play::Silence]);
    let head = Head {
        method: "GET".into(),
        path: "/".into(),
        ..Head::default()
    };
    let (token, exchange) = rig.send_head(head, true);
    rig.run_until(at(5));
    rig.input(Input::DownstreamReset { exchange });
    assert_eq!(rig.cancelled.len(), 1);
    assert_eq!(rig.flags(token), "DC");
    assert_eq!(rig.access[0].status, 0);
    let late = crate::ids::AttemptId {
        exchange,
        number: 1,
    };
    rig.input(Input::UpstreamReset {
        attempt: late,
        cause: ResetCause::Remote,
    });
    assert_eq!(rig.ended, 1, "what comes late is ignored");
}

fn in_50() -> Option<Sourced<crate::time::Duration>> {
    Some(Sourced::unsourced(ms(50)))
}

/// Envoy: `RetryPolicy.per_try_timeout`, `RouteAction.timeout`, `x-envoy-upstream-rq-timeout-ms`, `…-per-try-timeout-ms`.
#[test]
fn a_per_try_timeout_counts_only_below_the_route_timeout_wherever_both_come_from() {
    type Headers = &'static [(&'static str, &'static str)];
    type Row = (&'static str, u64, u64, Headers, (u64, u16), &'static [u64]);
    const ROUTE: &str = "x-envoy-upstream-rq-timeout-ms";
    const TRY: &str = "x-envoy-upstream-rq-per-try-timeout-ms";
    let rows: [Row; 9] = [
        ("below", 30, 29, &[], (30, 504), &[0, 29]),
        ("equal", 30, 30, &[], (30, 504), &[0]),
        ("above", 30, 31, &[], (30, 504), &[0]),
        ("no route timeout", 0, 30, &[], (90, 504), &[0, 30, 60]),
        (
            "the request's route timeout",
            100,
            30,
            &[(ROUTE, "20")],
            (20, 504),
            &[0],
        ),
        (
            "the request's, longer",
            25,
            30,
            &[(ROUTE, "65")],
            (65, 504),
            &[0, 30, 60],
        ),
        (
            "the request's, none",
            25,
            30,
            &[(ROUTE, "0")],
            (90, 504),
            &[0, 30, 60],
        ),
        (
            "the request's per try",
            35,
            0,
            &[(TRY, "15")],
            (35, 504),
            &[0, 15, 30],
        ),
        (
            "no number",
            30,
            0,
            &[(ROUTE, "soon"), (TRY, "now")],
            (30, 504),
            &[0],
        ),
    ];
    for (name, route, per_try, headers, got, sent) in rows {
        let mut rig = Rig::simple(1, |_, f| {
            f.timeout = timeout(route);
            let mut policy = retry("5xx", 2);
            policy.per_try_timeout = Some(Sourced::unsourced(ms(per_try)));
            f.retry = Some(policy);
        });
        // over a warm connection a try's timers begin before the route's
        rig.get();
        rig.run_until(at(0));
        rig.sent.clear();
        rig.play(1, &[Play::Silence; 3]);
        let token = rig.send(headers);
        rig.run_until(at(500));
        assert_eq!((rig.got(token), &*rig.sent_at()), (got, sent), "{name}");
    }
}

/// The head of a response of which more is to come.
fn begin_answer(rig: &mut Rig, attempt: AttemptId) {
    rig.heads.0.push(Head {
        status: 200,
        ..Head::default()
    });
    let head = HeadId(rig.heads.0.len() as u32 - 1);
    rig.input(Input::UpstreamHead {
        attempt,
        head,
        end: false,
        bytes: 0,
    });
}

fn first_try(exchange: ExchangeId) -> AttemptId {
    AttemptId {
        exchange,
        number: 1,
    }
}

#[test]
fn a_per_try_timeout_ends_with_the_head_and_the_route_timeout_does_not() {
    let mut rig = Rig::simple(1, |_, f| {
        f.timeout = timeout(60);
        let mut policy = retry("5xx", 3);
        policy.per_try_timeout = Some(Sourced::unsourced(ms(20)));
        f.retry = Some(policy);
    });
    rig.play(1, &[Play::Silence]);
    let (token, exchange) = rig.send_head(head("GET"), true);
    rig.run_until(at(10));
    begin_answer(&mut rig, first_try(exchange));
    rig.run_until(at(59));
    assert_eq!((rig.sent.len(), rig.seen(token)), (1, Seen::Nothing));
    rig.run_until(at(100));
    assert_eq!((rig.seen(token), rig.got(token).0), (Seen::Broken, 60));
    assert_eq!(rig.flags(token), "UT");
}

/// Envoy: `RetryPolicy.per_try_idle_timeout`.
#[test]
fn a_try_may_be_silent_for_its_idle_timeout_before_and_after_its_head() {
    let idle_20 = |on: &str| {
        let mut policy = retry(on, 1);
        policy.per_try_idle_timeout = Some(Sourced::unsourced(ms(20)));
        policy
    };
    let mut rig = Rig::simple(1, |_, f| f.retry = Some(idle_20("5xx")));
    rig.play(1, &[Play::Silence, Play::Answer(200, ms(19))]);
    let token = rig.get();
    rig.run_until(at(100));
    assert_eq!((rig.got(token), rig.sent_at()), ((39, 200), vec![0, 20]));

    let mut rig = Rig::simple(1, |_, f| f.retry = Some(idle_20("connect-failure")));
    rig.play(1, &[Play::Silence]);
    let token = rig.get();
    rig.run_until(at(100));
    assert_eq!((rig.got(token), rig.flags(token)), ((20, 504), "UT".into()));

    let mut rig = Rig::simple(1, |_, f| f.retry = Some(idle_20("5xx")));
    rig.play(1, &[Play::Silence]);
    let (token, exchange) = rig.send_head(head("POST"), false);
    rig.run_until(at(50));
    assert_eq!(
        rig.seen(token),
        Seen::Nothing,
        "the request is not complete"
    );
    rig.input(Input::RequestEnd { exchange });
    rig.run_until(at(65));
    let attempt = first_try(exchange);
    begin_answer(&mut rig, attempt);
    rig.run_until(at(80));
    rig.input(Input::UpstreamData { attempt, bytes: 1 });
    rig.run_until(at(200));
    assert_eq!((rig.seen(token), rig.got(token).0), (Seen::Broken, 100));
}

/// Envoy: `stream_idle_timeout`.
#[test]
fn anything_on_a_stream_puts_its_idle_timeout_off() {
    let config = config_with(
        Cluster::envoy("c", endpoints(1)),
        |c| route_to(Forward::to(c)),
        |h| h.stream_idle_timeout = in_50(),
    );
    let mut rig = Rig::new(config);
    rig.play(1, &[Play::Silence]);
    let (token, exchange) = rig.send_head(head("POST"), false);
    rig.run_until(at(40));
    rig.input(Input::RequestData { exchange, bytes: 1 });
    rig.run_until(at(80));
    rig.input(Input::RequestEnd { exchange });
    rig.run_until(at(120));
    let attempt = first_try(exchange);
    begin_answer(&mut rig, attempt);
    rig.run_until(at(160));
    rig.input(Input::UpstreamData { attempt, bytes: 1 });
    rig.run_until(at(500));
    assert_eq!((rig.seen(token), rig.got(token).0), (Seen::Broken, 210));
    assert_eq!(rig.flags(token), "SI");
}

/// Envoy: `MaxStreamDuration.grpc_timeout_header_max`.
#[test]
fn grpc_timeouts_are_obeyed_only_where_they_are_and_up_to_a_length() {
    for (max, header, ends) in [
        (None, Some("20m"), 50),
        (Some(0), Some("20m"), 20),
        (Some(0), Some("1S"), 1_000),
        (Some(0), Some("20000u"), 20),
        (Some(30), Some("20m"), 20),
        (Some(10), Some("20m"), 10),
        (Some(10), Some("1H"), 10),
        (Some(10), None, 50),
        (Some(10), Some("20"), 50),
        (Some(10), Some("m"), 50),
        (Some(0), Some("123456789n"), 50),
    ] {
        let mut rig = Rig::simple(1, |_, f| {
            f.timeout = timeout(50);
            f.grpc_timeout_max = max.map(ms);
        });
        rig.play(1, &[Play::Silence]);
        let headers = header.map(|h| ("grpc-timeout", h));
        let token = rig.send(headers.as_slice());
        rig.run_until(at(2_000));
        assert_eq!(rig.got(token), (ends, 504), "{max:?} {header:?}");
    }
}

/// Envoy: `x-envoy-upstream-rq-timeout-alt-response`.
#[test]
fn a_request_may_ask_for_204_instead_of_504() {
    let alternative = [("x-envoy-upstream-rq-timeout-alt-response", "1")];
    for (name, per_try, play, status, flags) in [
        ("route timeout", 0, Play::Silence, 204, "UT"),
        ("per-try timeout", 20, Play::Silence, 204, "UT"),
        ("no timeout", 0, Play::Reset(ms(1)), 503, "UR"),
    ] {
        let mut rig = Rig::simple(1, |_, f| {
            f.timeout = timeout(30);
            let mut policy = retry("connect-failure", 1);
            policy.per_try_timeout = Some(Sourced::unsourced(ms(per_try)));
            f.retry = Some(policy);
        });
        rig.play(1, &[play]);
        let token = rig.send(&alternative);
        rig.run_until(at(100));
        assert_eq!(rig.got(token).1, status, "{name}");
        assert_eq!(rig.flags(token), flags, "{name}");
    }
}

/// Envoy: `common_http_protocol_options.idle_timeout` of a listener.
#[test]
fn a_clients_connection_without_streams_is_closed_after_its_idle_timeout() {
    let config = config_with(
        Cluster::envoy("c", endpoints(1)),
        |c| route_to(Forward::to(c)),
        |h| h.idle_timeout = in_50(),
    );
    for (answered_after, closed_at) in [(10, 90), (20, 100), (80, 160)] {
        let mut rig = Rig::new(config.clone());
        rig.play(1, &[Play::Answer(200, ms(answered_after))]);
        rig.run_until(at(30));
        rig.get();
        rig.run_until(at(closed_at - 1));
        assert_eq!(rig.closed_clients, [], "{answered_after} ms");
        rig.run_until(at(closed_at));
        assert_eq!(
            rig.closed_clients,
            [CloseReason::Idle],
            "{answered_after} ms"
        );
    }
}

/// Envoy: `common_http_protocol_options.max_connection_duration` of a cluster.
#[test]
fn an_old_connection_takes_no_more_requests_and_ends_with_those_it_has() {
    let mut rig = Rig::simple(1, |c, _| c.pool.max_duration = in_50());
    rig.play(1, &[Play::Answer(200, ms(60)), Play::Answer(200, ms(10))]);
    let first = rig.get();
    rig.run_until(at(55));
    let second = rig.get();
    assert_eq!((rig.opened, rig.connections.len()), (2, 2));
    rig.run_until(at(70));
    assert_eq!((rig.got(first).1, rig.got(second).1), (200, 200));
    assert_eq!(rig.connections.len(), 1, "the old one is closed");
    rig.run_until(at(200));
    assert_eq!(rig.connections.len(), 0);
}

/// Envoy: `RouteAction.idle_timeout`, `RouteAction.max_stream_duration`; 0 turns them off.
#[test]
fn a_route_replaces_the_timers_of_its_streams() {
    let after = |millis: Option<u64>| millis.map(|m| Sourced::unsourced(ms(m)));
    for (of_listener, of_route, ends) in [
        (Some(50), None, 50),
        (Some(50), Some(20), 20),
        (Some(50), Some(90), 90),
        (Some(50), Some(0), 0),
        (None, Some(20), 20),
        (Some(0), None, 0),
        (None, None, 0),
    ] {
        for longest in [false, true] {
            let config = config_with(
                Cluster::envoy("c", endpoints(1)),
                |c| {
                    let mut forward = Forward::to(c);
                    let timer = if longest {
                        &mut forward.max_stream_duration
                    } else {
                        &mut forward.idle_timeout
                    };
                    *timer = after(of_route);
                    route_to(forward)
                },
                |h| {
                    let timer = if longest {
                        &mut h.max_stream_duration
                    } else {
                        &mut h.stream_idle_timeout
                    };
                    *timer = after(of_listener);
                },
            );
            let mut rig = Rig::new(config);
            rig.play(1, &[Play::Silence]);
            let token = rig.get();
            rig.run_until(at(200));
            let name = format!("{of_listener:?}, {of_route:?}, longest: {longest}");
            assert_eq!(rig.got(token).0, ends, "{name}");
        }
    }
}

/// Envoy: `UpstreamRequest::onPerTryTimeout` turns the other timer off, whatever has begun.
#[test]
fn a_per_try_timeout_after_the_head_lets_the_response_be_silent() {
    let silent_after_head = |per_try: Option<u64>| {
        let mut rig = Rig::simple(1, |_, f| {
            let mut policy = retry("5xx", 0);
            policy.per_try_timeout = per_try.map(|after| Sourced::unsourced(ms(after)));
            policy.per_try_idle_timeout = Some(Sourced::unsourced(ms(30)));
            f.retry = Some(policy);
        });
        rig.play(1, &[Play::Silence]);
        let (token, exchange) = rig.send_head(head("GET"), true);
        let attempt = AttemptId {
            exchange,
            number: 1,
        };
        rig.heads.0.push(Head {
            status: 200,
            ..Head::default()
        });
        rig.run_until(at(5));
        let head = HeadId(rig.heads.0.len() as u32 - 1);
        rig.input(Input::UpstreamHead {
            attempt,
            head,
            end: false,
            bytes: 0,
        });
        rig.run_until(at(200));
        rig.seen(token)
    };
    assert_eq!(silent_after_head(None), Seen::Broken, "idle alone");
    assert_eq!(silent_after_head(Some(20)), Seen::Nothing, "both");
}
