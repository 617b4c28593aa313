//! Second tries beside the first, as Envoy's `hedge_policy.hedge_on_per_try_timeout` has them.

use super::retries::retry;
use super::rig::*;
use crate::config::*;
use crate::event::{Event, Next};
use crate::ids::AttemptId;
use crate::origin::{OriginId, Sourced};
use crate::outlier;

/// One endpoint; a try may take 10 ms before another one starts beside it.
fn hedging(on: &str, retries: u32, tune: impl FnOnce(&mut Cluster)) -> Rig {
    Rig::simple(1, |c, f| {
        let mut policy = retry(on, retries);
        policy.per_try_timeout = Some(Sourced::unsourced(ms(10)));
        f.retry = Some(policy);
        f.hedge = Some(Hedge {
            on_per_try_timeout: true,
            origin: OriginId::NONE,
        });
        tune(c);
    })
}

#[test]
fn a_slow_try_is_hedged_whatever_is_retried_while_anything_is() {
    for (on, retries, sent, flags) in [
        ("5xx", 1, vec![0, 10], "-"),
        ("connect-failure", 1, vec![0, 10], "-"),
        ("connect-failure", 2, vec![0, 10, 20], "-"),
        ("connect-failure", 0, vec![0], "URX"),
        ("", 1, vec![0], "-"),
    ] {
        let mut rig = hedging(on, retries, |_| ());
        rig.play(
            1,
            &[Play::Answer(200, ms(25)), Play::Silence, Play::Silence],
        );
        let token = rig.get();
        rig.run_until(at(100));
        let name = format!("{on}, {retries} retries");
        assert_eq!((rig.got(token), rig.sent_at()), ((25, 200), sent), "{name}");
        // the second try of the two, and the third of the three, reach their own limit, too
        let flags = if retries == 1 && !on.is_empty() {
            "URX"
        } else {
            flags
        };
        assert_eq!(rig.flags(token), flags, "{name}");
    }
}

/// Envoy: `onPerTryIdleTimeout` ends like a try's own timeout; once an answer has begun it does nothing.
#[test]
fn a_try_that_is_silent_is_hedged_like_a_slow_one() {
    let mut rig = Rig::simple(1, |_, f| {
        let mut policy = retry("connect-failure", 1);
        policy.per_try_idle_timeout = Some(Sourced::unsourced(ms(10)));
        f.retry = Some(policy);
        f.hedge = Some(Hedge {
            on_per_try_timeout: true,
            origin: OriginId::NONE,
        });
    });
    rig.play(1, &[Play::Answer(200, ms(25)), Play::Silence]);
    let token = rig.get();
    rig.run_until(at(100));
    assert_eq!((rig.got(token), rig.sent_at()), ((25, 200), vec![0, 10]));
}

/// Envoy: `RetryStateImpl` is there as long as anything is to be retried; `retriable_request_headers` void its conditions alone.
#[test]
fn a_request_whose_headers_void_its_conditions_is_hedged_all_the_same() {
    let mut rig = Rig::simple(1, |_, f| {
        let mut policy = retry("5xx", 1);
        policy.per_try_timeout = Some(Sourced::unsourced(ms(10)));
        policy.request_headers = vec![super::retries::carrying("x-retry")];
        f.retry = Some(policy);
        f.hedge = Some(Hedge {
            on_per_try_timeout: true,
            origin: OriginId::NONE,
        });
    });
    rig.play(1, &[Play::Answer(200, ms(25)), Play::Answer(503, ms(5))]);
    let token = rig.get();
    rig.run_until(at(100));
    let got = (rig.got(token), rig.sent_at());
    assert_eq!(
        got,
        ((15, 503), vec![0, 10]),
        "503 is an answer like others"
    );
}

#[test]
fn a_hedge_counts_against_the_clusters_retries() {
    let mut rig = hedging("5xx", 1, |c| c.limits[0].retries = Sourced::unsourced(0));
    rig.play(1, &[Play::Answer(200, ms(25))]);
    let token = rig.get();
    rig.run_until(at(100));
    assert_eq!((rig.got(token), rig.sent.len()), ((25, 200), 1));
    assert_eq!(rig.flags(token), "UO");
}

#[test]
fn a_try_that_was_hedged_is_not_retried_again_when_it_fails() {
    for play in [Play::Answer(503, ms(15)), Play::Reset(ms(15))] {
        let mut rig = hedging("5xx", 3, |_| ());
        rig.play(1, &[play, Play::Answer(200, ms(8))]);
        let token = rig.get();
        rig.run_until(at(100));
        assert_eq!(rig.sent_at(), [0, 10], "{play:?}");
        assert_eq!(rig.got(token), (18, 200), "{play:?}");
        assert_eq!(rig.attempts[0].next, Next::Superseded, "{play:?}");
    }
}

#[test]
fn an_answer_that_would_be_retried_waits_for_the_other_try() {
    let mut rig = hedging("5xx", 1, |_| ());
    rig.play(1, &[Play::Answer(200, ms(30)), Play::Answer(503, ms(5))]);
    let token = rig.get();
    rig.run_until(at(100));
    assert_eq!(rig.got(token), (30, 200));

    let mut rig = hedging("5xx", 1, |_| ());
    rig.play(1, &[Play::Answer(503, ms(30)), Play::Answer(503, ms(5))]);
    let token = rig.get();
    rig.run_until(at(100));
    assert_eq!(rig.got(token), (30, 503), "the last one is returned");
}

/// Envoy: the soft timeout is charged at once, and the response later on its own.
#[test]
fn a_hedged_try_is_judged_by_its_answer_too() {
    let ejecting = outlier::Settings {
        consecutive_5xx: 3,
        max_ejection_share: Share::ALL,
        ..outlier::Settings::envoy_v3()
    };
    for (status, ejected) in [(200, 0), (500, 1)] {
        let mut rig = hedging("connect-failure", 1, |c| {
            c.outlier = Some(Sourced::unsourced(ejecting));
        });
        for _ in 0..3 {
            rig.play(1, &[Play::Answer(status, ms(15)), Play::Silence]);
            rig.get();
            rig.run_until(rig.now + ms(50));
        }
        let events = rig.events.iter();
        let out = events.filter(|e| matches!(e, Event::Ejected { .. }));
        assert_eq!(out.count(), ejected, "{status}");
    }
}

/// Envoy: `x-envoy-expected-rq-timeout-ms`.
#[test]
fn an_upstream_is_told_the_trys_time_or_the_routes_where_it_may_go_on() {
    for (name, per_try, route, hedges, told) in [
        ("none", 0, 0, false, 0),
        ("the route's", 0, 50, false, 50),
        ("the try's", 10, 50, false, 10),
        ("the try's is void", 50, 50, false, 50),
        ("hedging", 10, 50, true, 50),
        ("hedging without end", 10, 0, true, 0),
    ] {
        let mut rig = Rig::simple(1, |_, f| {
            f.timeout = Sourced::unsourced(Some(ms(route)));
            let mut policy = retry("5xx", 1);
            policy.per_try_timeout = Some(Sourced::unsourced(ms(per_try)));
            f.retry = Some(policy);
            f.hedge = hedges.then_some(Hedge {
                on_per_try_timeout: true,
                origin: OriginId::NONE,
            });
        });
        rig.play(1, &[Play::Silence]);
        let (_, exchange) = rig.send_head(head("GET"), true);
        let first = AttemptId {
            exchange,
            number: 1,
        };
        assert_eq!(rig.node.edit_key(first).timeout_ms, told, "{name}");
    }
}
