//! Retries as Envoy's router does them.

use super::rig::*;
use crate::config::*;
use crate::event::{AttemptFailure, AttemptResult, Next};
use crate::heads::HeadId;
use crate::ids::AttemptId;
use crate::node::{Input, ResetCause};
use crate::origin::{OriginId, Sourced};
use crate::retry::backoff::{Backoff, FullJitter, ResetFormat};
use crate::retry::budget::ConcurrencyBudget;
use crate::retry::conditions::{RetryOn, Vocabulary};
use crate::time::Duration;

pub(super) fn retry(on: &str, retries: u32) -> Box<RetryPolicy> {
    Box::new(RetryPolicy {
        on: Sourced::unsourced(RetryOn::parse(on, Vocabulary::Both, |w| panic!("{w}?"))),
        statuses: Vec::new(),
        headers: Vec::new(),
        request_headers: Vec::new(),
        retries: Sourced::unsourced(retries),
        per_try_timeout: None,
        per_try_idle_timeout: None,
        backoff: Sourced::unsourced(Backoff::None),
        rate_limited_backoff: None,
        avoid_previous: None,
        previous_priorities: None,
        spare_sent_non_idempotent: false,
        last_try_unbounded: false,
        no_try_after: None,
        failures_have_statuses: false,
        body_limit: None,
        origin: OriginId::NONE,
    })
}

const BAD: Play = Play::Answer(503, Duration::ZERO);

#[test]
fn a_retried_request_gets_the_first_good_answer() {
    let mut rig = Rig::simple(1, |_, f| f.retry = Some(retry("5xx", 3)));
    rig.play(1, &[BAD, Play::Reset(ms(5)), Play::Answer(200, ms(5))]);
    let token = rig.get();
    rig.run_until(at(100));
    assert_eq!(rig.got(token), (10, 200));
    let next: Vec<_> = rig.attempts.iter().map(|a| a.next).collect();
    assert_eq!(next, [Next::Retried, Next::Retried, Next::Final]);
    assert_eq!(rig.access[0].attempts, 3);
    assert_eq!(rig.flags(token), "-");
}

#[test]
fn the_last_answer_is_returned_when_retries_run_out() {
    let mut rig = Rig::simple(1, |_, f| f.retry = Some(retry("5xx", 2)));
    rig.play(1, &[BAD; 5]);
    let token = rig.get();
    rig.run_until(at(100));
    assert_eq!(rig.got(token), (0, 503));
    assert_eq!(rig.sent.len(), 3);
    assert_eq!(rig.flags(token), "URX");
    assert_eq!(rig.attempts[2].next, Next::RetriesExhausted);
}

#[test]
fn what_the_conditions_do_not_name_is_not_retried() {
    for (on, play, sends) in [
        ("connect-failure", BAD, 1),
        ("gateway-error", Play::Answer(500, Duration::ZERO), 1),
        ("gateway-error", BAD, 2),
        (
            "connect-failure,refused-stream,reset-before-request",
            Play::Hangup(ms(1)),
            1,
        ),
        ("reset", Play::Hangup(ms(1)), 2),
        ("5xx", Play::Hangup(ms(1)), 2),
    ] {
        let mut rig = Rig::simple(1, |_, f| f.retry = Some(retry(on, 1)));
        rig.play(1, &[play]);
        rig.get();
        rig.run_until(at(100));
        assert_eq!(rig.sent.len(), sends, "{on} after {play:?}");
    }
}

#[test]
fn a_refused_connection_fails_all_that_wait_and_is_retried_elsewhere() {
    let mut rig = Rig::simple(2, |_, f| {
        let mut policy = retry("connect-failure", 2);
        policy.avoid_previous = Some(Sourced::unsourced(3));
        f.retry = Some(policy);
    });
    rig.refusing.insert(address(2));
    let tokens: Vec<_> = (0..3).map(|_| rig.get()).collect();
    rig.run_until(at(10));
    for token in tokens {
        assert_eq!(rig.got(token).1, 200);
    }
    assert!(rig.sent.iter().all(|(_, to)| *to == address(1)));
    let refused = AttemptResult::Failed(AttemptFailure::ConnectRefused);
    assert!(rig.attempts.iter().any(|a| a.result == refused));
}

#[test]
fn only_three_retries_may_be_under_way() {
    let mut rig = Rig::simple(1, |_, f| f.retry = Some(retry("5xx", 1)));
    rig.play(1, &[Play::Answer(503, ms(1)); 10]);
    rig.play(1, &[Play::Answer(200, ms(50)); 10]);
    let tokens: Vec<_> = (0..10).map(|_| rig.get()).collect();
    rig.run_until(at(100));
    let statuses: Vec<_> = tokens.iter().map(|t| rig.got(*t).1).collect();
    assert_eq!(statuses, [200, 200, 200, 503, 503, 503, 503, 503, 503, 503]);
    let overflown = rig
        .attempts
        .iter()
        .filter(|a| a.next == Next::RetryOverflow);
    assert_eq!(overflown.count(), 7);
    let flags: Vec<_> = [2, 9].map(|i| rig.flags(tokens[i])).into();
    assert_eq!(flags, ["-", "UO"], "the last answer shows why it is one");
}

#[test]
fn a_budget_replaces_the_fixed_limit() {
    let budget = ConcurrencyBudget {
        percent: 50.0,
        min_concurrency: 1,
        interval: None,
    };
    let mut rig = Rig::simple(1, |c, f| {
        f.retry = Some(retry("5xx", 1));
        c.retry_budget = Some(Sourced::unsourced(RetryBudget::Concurrency(budget)));
    });
    rig.play(1, &[Play::Answer(503, ms(1)); 10]);
    rig.play(1, &[Play::Answer(200, ms(50)); 10]);
    for _ in 0..10 {
        rig.get();
    }
    rig.run_until(at(100));
    // the limit is half of what is under way when each fails: ten, and as many less as were not retried
    let retried = rig
        .attempts
        .iter()
        .filter(|a| a.next == Next::Retried)
        .count();
    assert_eq!(retried, 5);
}

#[test]
fn a_retry_is_held_through_its_backoff() {
    let mut rig = Rig::simple(1, |c, f| {
        let mut policy = retry("5xx", 1);
        let backoff = FullJitter::new(ms(1000), None);
        policy.backoff = Sourced::unsourced(Backoff::FullJitter(backoff));
        f.retry = Some(policy);
        c.limits[0].retries = Sourced::unsourced(1);
    });
    rig.play(1, &[BAD, BAD]);
    let (first, second) = (rig.get(), rig.get());
    rig.run_until(at(2000));
    assert_eq!(
        rig.got(second),
        (0, 503),
        "the first one's retry waits, and counts"
    );
    assert_eq!(rig.got(first).1, 200);
    assert!(rig.got(first).0 < 1000);
}

#[test]
fn request_headers_ask_for_retries() {
    let mut rig = Rig::simple(1, |_, _| ());
    rig.play(1, &[BAD; 3]);
    let token = rig.send(&[("x-envoy-retry-on", "5xx"), ("x-envoy-max-retries", "3")]);
    rig.run_until(at(2000));
    assert_eq!(rig.got(token).1, 200);
    assert_eq!(rig.sent.len(), 4);
}

#[test]
fn a_hedge_overtakes_a_slow_try_and_the_first_answer_wins() {
    let mut rig = Rig::simple(2, |_, f| {
        let mut policy = retry("5xx", 1);
        policy.per_try_timeout = Some(Sourced::unsourced(ms(10)));
        f.retry = Some(policy);
        f.hedge = Some(Hedge {
            on_per_try_timeout: true,
            origin: OriginId::NONE,
        });
    });
    rig.play(1, &[Play::Answer(200, ms(100))]);
    rig.play(2, &[Play::Answer(200, ms(100))]);
    rig.play(1, &[Play::Answer(201, ms(20))]);
    rig.play(2, &[Play::Answer(201, ms(20))]);
    let token = rig.get();
    rig.run_until(at(500));
    assert_eq!(rig.sent_at(), [0, 10]);
    assert_eq!(
        rig.got(token).1,
        if rig.sent[0].1 == rig.sent[1].1 {
            201
        } else {
            200
        }
    );
    assert_eq!(rig.ended, 1);
}

pub(super) fn carrying(name: &str) -> HeaderMatch {
    HeaderMatch {
        name: name.into(),
        value: TextMatch::Present,
        invert: false,
        ignore_case: false,
        absent: Absent::Unequal,
    }
}

/// Envoy: `RetryPolicy.retriable_headers`.
#[test]
fn the_status_is_a_header_of_responses() {
    for (status, sends) in [(404, 2), (503, 1)] {
        let mut rig = Rig::simple(1, |_, f| {
            let mut policy = retry("retriable-headers", 1);
            policy.headers = vec![HeaderMatch {
                value: TextMatch::Prefix("4".into()),
                ..carrying(":status")
            }];
            f.retry = Some(policy);
        });
        rig.play(1, &[Play::Answer(status, Duration::ZERO)]);
        rig.get();
        rig.run_until(at(100));
        assert_eq!(rig.sent.len(), sends, "{status}");
    }
}

/// Envoy: `RetryPolicy.retriable_request_headers`.
#[test]
fn a_request_that_matches_none_of_the_request_headers_is_never_retried() {
    let ask = ("x-envoy-retry-on", "5xx");
    let retried = ("x-retry", "1");
    for (headers, sends) in [
        (vec![], 1),
        (vec![retried], 2),
        (vec![ask], 1),
        (vec![ask, retried], 2),
    ] {
        let mut rig = Rig::simple(1, |_, f| {
            let mut policy = retry("5xx", 1);
            policy.request_headers = vec![carrying("x-other"), carrying("x-retry")];
            f.retry = Some(policy);
        });
        rig.play(1, &[BAD]);
        rig.send(&headers);
        rig.run_until(at(10));
        assert_eq!(rig.sent.len(), sends, "{headers:?}");
    }
}

/// Envoy: `per_connection_buffer_limit_bytes`; Linkerd's 64 KiB.
#[test]
fn a_body_longer_than_what_is_kept_is_not_sent_again() {
    for (limit, body, sends) in [
        (None, 100, 2),
        (None, 101, 1),
        (Some(50), 50, 2),
        (Some(50), 51, 1),
        (Some(500), 101, 1),
    ] {
        let config = config_with(
            Cluster::envoy("c", endpoints(1)),
            |c| {
                let mut forward = Forward::to(c);
                let mut policy = retry("5xx", 1);
                policy.body_limit = limit;
                forward.retry = Some(policy);
                route_to(forward)
            },
            |h| h.retained_bytes = 100,
        );
        let mut rig = Rig::new(config);
        rig.play(1, &[Play::Answer(503, ms(5))]);
        let (_, exchange) = rig.send_head(head("POST"), false);
        for bytes in [body - 1, 1] {
            rig.input(Input::RequestData { exchange, bytes });
        }
        rig.input(Input::RequestEnd { exchange });
        rig.run_until(at(10));
        assert_eq!(rig.sent.len(), sends, "{body} bytes of {limit:?}");
    }
}

/// Envoy: `RetryPolicy.retry_back_off` as it is by default.
#[test]
fn the_nth_pause_lies_below_the_nth_interval() {
    let bounds = [25, 50, 100, 200, 250, 250];
    let mut rig = Rig::simple(1, |_, f| {
        let mut policy = retry("5xx", bounds.len() as u32);
        policy.backoff = Sourced::unsourced(Backoff::FullJitter(FullJitter::envoy_v3()));
        f.retry = Some(policy);
    });
    let mut longest = [0; 6];
    for _ in 0..60 {
        rig.sent.clear();
        rig.play(1, &[BAD; 7]);
        rig.get();
        rig.run_until(rig.now + ms(2_000));
        let sent = rig.sent_at();
        assert_eq!(sent.len(), 7);
        for (n, pause) in sent.windows(2).map(|two| two[1] - two[0]).enumerate() {
            assert!(pause < bounds[n], "pause {n}: {pause} ms");
            longest[n] = longest[n].max(pause);
        }
    }
    // all 60 in the lower three quarters: a chance of 3e-8
    let reached = longest.iter().zip(bounds).all(|(l, b)| l * 4 >= b * 3);
    assert!(reached, "{longest:?}");
}

/// Envoy: `RetryPolicy.rate_limited_retry_back_off`.
#[test]
fn a_pause_that_an_answer_asks_for_does_not_lengthen_the_next_one() {
    let mut rig = Rig::simple(1, |_, f| {
        let mut policy = retry("5xx", 2);
        policy.backoff = Sourced::unsourced(Backoff::FullJitter(FullJitter::envoy_v3()));
        policy.rate_limited_backoff = Some(RateLimitedBackoff {
            headers: vec![("retry-after".into(), ResetFormat::Seconds)],
            max_interval: ms(300_000),
        });
        f.retry = Some(policy);
    });
    for _ in 0..40 {
        rig.sent.clear();
        rig.play(1, &[Play::Silence, Play::Silence]);
        let (_, exchange) = rig.send_head(head("GET"), true);
        let attempt = |number| AttemptId { exchange, number };
        rig.answer(attempt(1), 503, &[("retry-after", "2")]);
        rig.run_until(rig.now + ms(3_000));
        let asked = rig.now;
        rig.answer(attempt(2), 503, &[]);
        rig.run_until(rig.now + ms(100));
        let [first, second, third] = [0, 1, 2].map(|n| rig.sent[n].0);
        let pause = second.since(first);
        assert!(pause >= ms(2_000) && pause < ms(3_000), "{pause}");
        assert!(third.since(asked) < ms(25), "the first interval of its own");
    }
}

/// Envoy: `shouldRetry` gives the retry back before it looks at the response.
#[test]
fn a_retry_is_given_back_when_its_answer_begins() {
    let mut rig = Rig::simple(1, |c, f| {
        f.retry = Some(retry("5xx", 1));
        c.limits[0].retries = Sourced::unsourced(1);
    });
    rig.play(1, &[BAD, Play::Silence, BAD]);
    let (_, exchange) = rig.send_head(head("GET"), true);
    rig.run_until(at(1));
    rig.heads.0.push(Head {
        status: 200,
        ..Head::default()
    });
    rig.input(Input::UpstreamHead {
        attempt: AttemptId {
            exchange,
            number: 2,
        },
        head: HeadId(rig.heads.0.len() as u32 - 1),
        end: false,
        bytes: 0,
    });
    let second = rig.get();
    rig.run_until(at(10));
    assert_eq!(rig.node.exchanges(), 1, "the first one's answer goes on");
    assert_eq!(rig.got(second).1, 200);
}

/// Envoy: `RetryBudget.budget_percent`, `min_retry_concurrency`.
#[test]
fn a_budget_is_a_share_of_what_is_under_way_and_at_least_its_minimum() {
    for (percent, min_concurrency, requests, retried) in [
        (20.0, 3, 1, 1),
        (20.0, 3, 14, 3),
        (20.0, 3, 19, 3),
        (20.0, 3, 20, 4),
        (20.0, 0, 4, 0),
        (20.0, 0, 5, 1),
        (0.0, 2, 10, 2),
        (0.0, 0, 10, 0),
        (100.0, 0, 3, 3),
    ] {
        let budget = ConcurrencyBudget {
            percent,
            min_concurrency,
            interval: None,
        };
        let mut rig = Rig::simple(1, |c, f| {
            f.retry = Some(retry("5xx", 1));
            c.retry_budget = Some(Sourced::unsourced(RetryBudget::Concurrency(budget)));
        });
        rig.play(1, &vec![Play::Answer(503, ms(1)); requests]);
        rig.play(1, &vec![Play::Answer(200, ms(50)); requests]);
        for _ in 0..requests {
            rig.get();
        }
        rig.run_until(at(100));
        let next = |next| rig.attempts.iter().filter(|a| a.next == next).count();
        assert_eq!(
            (next(Next::Retried), next(Next::RetryOverflow)),
            (retried, requests - retried),
            "{percent} % of {requests}, at least {min_concurrency}"
        );
    }
}

/// Envoy: `retry_host_predicate` `previous_hosts`, `host_selection_retry_max_attempts`.
#[test]
fn an_endpoint_already_tried_is_turned_down_so_often_and_then_used() {
    let requests = 4_000;
    for picks in [0, 1, 3] {
        let mut rig = Rig::simple(4, |c, f| {
            c.balancer = Sourced::unsourced(Balancer::Random);
            let mut policy = retry("reset", 1);
            policy.avoid_previous = Some(Sourced::unsourced(picks));
            f.retry = Some(policy);
        });
        let mut same = 0;
        for _ in 0..requests {
            rig.sent.clear();
            for n in 1..=4 {
                rig.script.insert(address(n), [Play::Reset(ms(0))].into());
            }
            rig.get();
            rig.run_until(rig.now + ms(1));
            same += u32::from(rig.sent[0].1 == rig.sent[1].1);
        }
        let expected = 0.25_f64.powi(picks as i32 + 1);
        let sigma = (expected * (1.0 - expected) / f64::from(requests)).sqrt();
        let off = f64::from(same) / f64::from(requests) - expected;
        assert!(off.abs() < 5.0 * sigma, "{picks} picks: {same}");
    }
    let mut rig = Rig::simple(1, |_, f| {
        let mut policy = retry("5xx", 1);
        policy.avoid_previous = Some(Sourced::unsourced(5));
        f.retry = Some(policy);
    });
    rig.play(1, &[BAD]);
    let token = rig.get();
    rig.run_until(at(1));
    assert_eq!(
        (rig.got(token).1, rig.sent.len()),
        (200, 2),
        "there is no other"
    );
}

/// Envoy: `retry_priority` `previous_priorities`, `update_frequency`.
#[test]
fn priorities_are_tried_in_turn_and_anew_once_all_were() {
    for (every, expected) in [
        (1, [1, 2, 1, 2, 1, 2, 1]),
        (2, [1, 1, 2, 2, 1, 1, 2]),
        (3, [1, 1, 1, 2, 2, 2, 1]),
    ] {
        let mut set = endpoints(2);
        set.endpoints[1].priority = 1;
        let mut policy = retry("5xx", 6);
        policy.previous_priorities = Some(every);
        let mut forward = Forward::to(ClusterIndex(0));
        forward.retry = Some(policy);
        let config = config_with(Cluster::envoy("c", set), |_| route_to(forward), |_| ());
        let mut rig = Rig::new(config);
        rig.play(1, &[BAD; 7]);
        rig.play(2, &[BAD; 7]);
        rig.get();
        rig.run_until(at(10));
        let sent: Vec<_> = rig.sent.iter().map(|(_, to)| *to).collect();
        assert_eq!(sent, expected.map(address), "every {every}");
    }
}

/// Envoy: `wouldRetryFromHeaders`; an overloaded upstream is asked again since 1.12.
#[test]
fn marks_of_another_proxy_on_a_503_forbid_a_retry_or_do_not() {
    for (on, mark, sends) in [
        ("5xx", "x-envoy-overloaded", 2),
        ("5xx", "x-envoy-ratelimited", 1),
        ("5xx,envoy-ratelimited", "x-envoy-ratelimited", 2),
        ("envoy-ratelimited", "x-other", 1),
    ] {
        let mut rig = Rig::simple(1, |_, f| f.retry = Some(retry(on, 1)));
        rig.play(1, &[Play::Silence]);
        let (_, exchange) = rig.send_head(head("GET"), true);
        let attempt = AttemptId {
            exchange,
            number: 1,
        };
        rig.answer(attempt, 503, &[(mark, "true")]);
        assert_eq!(rig.sent.len(), sends, "{on}, {mark}");
    }
}

/// Envoy: `connect-failure` is a refused, a failed and a late connection; nothing is retried once an answer has begun.
#[test]
fn a_late_connection_is_a_connect_failure() {
    for (on, got) in [
        ("connect-failure", (70, 200)),
        ("refused-stream", (70, 503)),
    ] {
        let mut rig = Rig::simple(2, |c, f| {
            c.connect_timeout = Sourced::unsourced(ms(70));
            let mut policy = retry(on, 1);
            policy.avoid_previous = Some(Sourced::unsourced(5));
            f.retry = Some(policy);
        });
        // one of two requests goes to the endpoint that does not answer
        rig.unreachable.insert(address(1));
        let tokens = [rig.get(), rig.get()];
        rig.run_until(at(200));
        let mut seen = tokens.map(|t| rig.got(t));
        seen.sort_unstable();
        assert_eq!(seen, [(0, 200), got], "{on}");
    }
}

#[test]
fn nothing_is_retried_once_an_answer_has_begun() {
    let mut rig = Rig::simple(1, |_, f| f.retry = Some(retry("5xx,reset", 3)));
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
    rig.input(Input::UpstreamHead {
        attempt,
        head: HeadId(rig.heads.0.len() as u32 - 1),
        end: false,
        bytes: 0,
    });
    rig.input(Input::UpstreamReset {
        attempt,
        cause: ResetCause::Remote,
    });
    assert_eq!((rig.seen(token), rig.sent.len()), (Seen::Broken, 1));
    assert_eq!(rig.flags(token), "UR");
}

/// Envoy: `RetryBudget.budget_interval`.
#[test]
fn a_budget_over_an_interval_counts_what_is_over_too() {
    for (interval, sends) in [(None, 5), (Some(ms(10_000)), 6), (Some(ms(10)), 5)] {
        let budget = ConcurrencyBudget {
            percent: 50.0,
            min_concurrency: 0,
            interval,
        };
        let mut rig = Rig::simple(1, |c, f| {
            f.retry = Some(retry("5xx", 1));
            c.retry_budget = Some(Sourced::unsourced(RetryBudget::Concurrency(budget)));
        });
        for _ in 0..4 {
            rig.get();
            rig.run_until(rig.now + ms(100));
        }
        rig.play(1, &[BAD]);
        rig.get();
        rig.run_until(rig.now + ms(100));
        assert_eq!(rig.sent.len(), sends, "{interval:?}");
    }
}

#[test]
fn no_try_begins_once_the_time_for_all_of_them_has_passed() {
    let mut policy = retry("5xx", 9);
    policy.no_try_after = Some(Sourced::new(ms(250), OriginId(5)));
    let mut rig = Rig::simple(1, |_, f| f.retry = Some(policy));
    rig.play(1, &[Play::Answer(503, ms(100)); 9]);
    let token = rig.get();
    rig.run_until(at(2_000));
    assert_eq!(rig.got(token), (300, 503));
    assert_eq!(
        rig.sent_at(),
        [0, 100, 200],
        "one under way is not given up"
    );
    let last = rig.attempts.last().unwrap();
    assert_eq!((last.next, last.origin), (Next::OutOfTime, OriginId(5)));
}

#[test]
fn no_time_for_all_tries_is_no_bound() {
    let mut policy = retry("5xx", 3);
    policy.no_try_after = Some(Sourced::unsourced(Duration::ZERO));
    let mut rig = Rig::simple(1, |_, f| f.retry = Some(policy));
    rig.play(1, &[Play::Answer(503, ms(100)); 3]);
    let token = rig.get();
    rig.run_until(at(2_000));
    assert_eq!(rig.got(token), (300, 200));
}

/// Traefik: `status` with 502.
#[test]
fn a_failure_may_count_as_the_status_that_it_would_be_answered_with() {
    let rows = [
        ("as listed", "GET", true, vec![502], 2),
        ("another status", "GET", true, vec![504], 1),
        ("not counted so", "GET", false, vec![502], 1),
        ("a method that is spared", "POST", true, vec![502], 1),
    ];
    for (name, method, counts, statuses, want) in rows {
        let mut policy = retry("retriable-status-codes", 1);
        policy.failures_have_statuses = counts;
        policy.spare_sent_non_idempotent = true;
        policy.statuses = statuses;
        let mut forward = Forward::to(ClusterIndex(0));
        forward.retry = Some(policy);
        let cluster = Cluster::envoy("c", endpoints(1));
        let traefik = |h: &mut HttpConnections| h.replies = ReplyProfile::Traefik;
        let mut rig = Rig::new(config_with(cluster, |_| route_to(forward), traefik));
        rig.play(1, &[Play::Reset(ms(1))]);
        rig.send_head(head(method), true);
        rig.run_until(at(100));
        assert_eq!(rig.sent.len(), want, "{name}");
    }
}

/// Traefik: network retries, of any method, when nothing was sent.
#[test]
fn what_never_left_is_tried_again_whatever_the_method() {
    let mut policy = retry("connect-failure", 1);
    policy.spare_sent_non_idempotent = true;
    let mut rig = Rig::simple(2, |_, f| f.retry = Some(policy));
    rig.refusing.insert(address(1));
    let tokens = [(); 2].map(|()| rig.send_head(head("POST"), true).0);
    rig.run_until(at(100));
    assert_eq!(tokens.map(|token| rig.got(token).1), [200, 200]);
    rig.play(2, &[Play::Hangup(ms(1)); 2]);
    let token = rig.send_head(head("GET"), true).0;
    rig.run_until(at(200));
    assert_eq!(rig.got(token).1, 503, "it had left");
}
