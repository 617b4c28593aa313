//! Timeouts: which one ends what, and when each starts.

use super::retries::retry;
use super::rig::*;
use crate::config::*;
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

#[test]
fn silence_on_a_stream_ends_it_with_408() {
    let mut cluster = Cluster::envoy("c", endpoints(1));
    cluster.limits[0].connections = Sourced::unsourced(1);
    let config = config_with(
        cluster,
        |c| route_to(Forward::to(c)),
        |h| h.stream_idle_timeout = Some(Sourced::unsourced(ms(50))),
    );
    let mut rig = Rig::new(config);
    rig.play(1, &[Play::Silence]);
    let token = rig.get();
    rig.run_until(at(200));
    assert_eq!((rig.got(token), rig.flags(token)), ((50, 408), "SI".into()));
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
