//! Tries after the first.

use proxy_core::config::{Hedge, RateLimitedBackoff, RetryPolicy};
use proxy_core::origin::{OriginId, Sourced};
use proxy_core::retry::backoff::{AddedJitter, Backoff, FullJitter, ResetFormat};
use proxy_core::retry::conditions::{Condition, RetryOn};
use proxy_core::time::Duration;

use super::rig::*;
use crate::Area;

#[test]
fn retries_that_one_side_has_are_told_whole() {
    let found = changed(|draft| cart_forward(draft).retry = None);
    let [only] = &found[..] else {
        panic!("{found:?}");
    };
    assert!(
        only.starts_with("retry: on 5xx,retriable-status-codes, retries 2, statuses 429,"),
        "{only}"
    );
    assert!(only.ends_with("| none"), "{only}");
}

#[test]
fn retries_without_a_number_or_a_condition_are_none() {
    let mut without = shop();
    cart_forward(&mut without).retry = None;
    for change in [(|it| it.retries.value = 0) as fn(&mut RetryPolicy), |it| {
        it.on.value = RetryOn::NONE
    }] {
        let mut other = shop();
        change(cart_retry(&mut other));
        assert!(told(without.clone(), other).differences.is_empty());
    }
}

#[test]
fn every_field_of_retries_is_told_alone() {
    type Change = fn(&mut RetryPolicy);
    let rows: [(&str, Change); 14] = [
        (
            "retry.on: 5xx,retriable-status-codes | gateway-error",
            |it| {
                it.on.value = [Condition::GatewayError].into_iter().collect();
            },
        ),
        ("retry.retries: 2 | 3", |it| it.retries.value = 3),
        ("retry.statuses: 429 | 425, 429", |it| {
            it.statuses = vec![429, 425]
        }),
        ("retry.response headers: none | x-again = 1", |it| {
            it.headers = vec![header("x-again", "1")];
        }),
        ("retry.request headers: none | x-may = 1", |it| {
            it.request_headers = vec![header("x-may", "1")];
        }),
        (
            "retry.back-off: any part of 25ms, doubling up to 250ms | any part of 100ms, doubling up to 1s",
            |it| {
                let pause = FullJitter::new(Duration::from_millis(100), None);
                it.backoff.value = Backoff::FullJitter(pause);
            },
        ),
        (
            "retry.back-off: any part of 25ms, doubling up to 250ms | 25ms doubling up to 250ms, and up to 1 of it more",
            |it| it.backoff.value = Backoff::AddedJitter(AddedJitter::linkerd_retry()),
        ),
        (
            "retry.back-off that is asked for: none | retry-after in seconds, at most 300s",
            |it| {
                it.rate_limited_backoff = Some(RateLimitedBackoff {
                    headers: vec![("retry-after".into(), ResetFormat::Seconds)],
                    max_interval: Duration::from_secs(300),
                });
            },
        ),
        ("retry.other endpoints first: none | 5 picks", |it| {
            it.avoid_previous = Some(Sourced::unsourced(5));
        }),
        ("retry.other priorities first: none | after every 2", |it| {
            it.previous_priorities = Some(2);
        }),
        (
            "retry.sent non-idempotent requests are left alone: no | yes",
            |it| {
                it.spare_sent_non_idempotent = true;
            },
        ),
        ("retry.last try without its timeout: no | yes", |it| {
            it.last_try_unbounded = true
        }),
        ("retry.no try after: none | 3s", |it| {
            it.no_try_after = Some(secs(3))
        }),
        ("retry.longest body: none | 64 bytes", |it| {
            it.body_limit = Some(64)
        }),
    ];
    for (expected, change) in rows {
        assert_eq!(changed(|draft| change(cart_retry(draft))), [expected]);
    }
    assert_eq!(
        changed(|draft| cart_retry(draft).failures_have_statuses = true),
        ["retry.statuses of failures: no | yes"]
    );
}

#[test]
fn a_per_try_timeout_that_is_void_is_none() {
    let found = changed(|draft| cart_retry(draft).per_try_timeout = Some(secs(2)));
    assert_eq!(found, ["per-try timeout: none | 2s"]);
    let mut left = shop();
    cart_forward(&mut left).timeout = Sourced::unsourced(Some(Duration::from_secs(2)));
    let mut right = left.clone();
    cart_retry(&mut right).per_try_timeout = Some(secs(2));
    assert!(told(left, right).differences.is_empty());
    let found = changed(|draft| cart_retry(draft).per_try_idle_timeout = Some(secs(2)));
    assert_eq!(found, ["per-try idle timeout: none | 2s"]);
}

#[test]
fn hedging_is_told() {
    let hedge = Hedge {
        on_per_try_timeout: true,
        origin: OriginId::NONE,
    };
    let mut other = shop();
    cart_forward(&mut other).hedge = Some(hedge);
    let comparison = told(shop(), other);
    assert_eq!(said(&comparison), ["hedge on per-try timeout: no | yes"]);
    assert_eq!(comparison.differences[0].area, Area::Retry);
}

#[test]
fn a_value_is_told_with_the_rule_that_set_it() {
    let mut other = shop();
    cart_retry(&mut other).retries = Sourced::new(5, OriginId(40));
    let comparison = told(shop(), other);
    let [only] = &comparison.differences[..] else {
        panic!("{:?}", comparison.differences);
    };
    assert_eq!(
        (&*only.left.origin, &*only.right.origin),
        ("rule 8", "rule 40")
    );
    assert_eq!(only.right.id, OriginId(40));
}
