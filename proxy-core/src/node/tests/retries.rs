//! Retries as Envoy's router does them.

use super::rig::*;
use crate::config::*;
use crate::event::{AttemptFailure, AttemptResult, Next};
use crate::origin::{OriginId, Sourced};
use crate::retry::backoff::Backoff;
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
    assert_eq!(rig.flags(tokens[9]), "-");
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
    use crate::retry::backoff::FullJitter;
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
