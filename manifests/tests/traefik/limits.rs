//! What refuses requests, and what tries them again.

use proxy_core::config::{
    AbsentKey, ClientOf, ForwardedEntry, Gate, GateKey, GateKind, RateLimit, RetryPolicy,
};
use proxy_core::limit::delaying_bucket::DelayingBucket;
use proxy_core::retry::backoff::{Around, Backoff};
use proxy_core::retry::conditions::Condition;
use proxy_core::time::Duration;

use super::rig::*;

fn gate(spec: &str) -> Gate {
    let built = through(&[spec]);
    let route = built
        .route(&get("h", "/"))
        .unwrap_or_else(|| panic!("{spec}\n{}", built.lines()));
    let [gate] = <[Gate; 1]>::try_from(route.gates).expect("one gate");
    gate
}

fn bucket(gate: &Gate) -> (DelayingBucket, GateKey) {
    let GateKind::Rate {
        limit: RateLimit::Delaying(bucket),
        key,
    } = &gate.kind
    else {
        panic!("no bucket: {:?}", gate.kind);
    };
    (*bucket, key.clone())
}

fn by_client() -> GateKey {
    GateKey::ClientAddress {
        of: ClientOf::Connection,
        v6_prefix: None,
    }
}

/// Quirk: a request that comes a little too early waits; see the core's `DelayingBucket`.
#[test]
fn a_rate_limit_is_a_bucket_whose_next_token_may_be_waited_for() {
    for (spec, average, millis, burst) in [
        ("rateLimit: {average: 100, burst: 50}", 100, 1_000, 50),
        ("rateLimit: {average: 6, period: 1m}", 6, 60_000, 1),
        ("rateLimit: {average: 1, period: 2}", 1, 2_000, 1),
        ("rateLimit: {burst: 10}", 0, 1_000, 10),
        ("rateLimit: {average: 5, burst: 0}", 5, 1_000, 0),
    ] {
        let gate = gate(spec);
        let (bucket, key) = bucket(&gate);
        let period = Duration::from_millis(millis);
        assert_eq!(
            bucket,
            DelayingBucket {
                average,
                period,
                burst
            },
            "{spec}"
        );
        assert_eq!(key, by_client(), "{spec}");
        assert_eq!(gate.status, 429, "{spec}");
    }
}

#[test]
fn requests_are_told_apart_by_what_the_criterion_says() {
    let header = GateKey::Header {
        name: "x-user".into(),
        absent: AbsentKey::Shared,
    };
    let forwarded = |entry| GateKey::Forwarded {
        entry,
        v6_prefix: None,
    };
    let block = proxy_core::config::Cidr {
        address: [10, 0, 0, 0].into(),
        bits: 8,
    };
    for (criterion, want) in [
        ("{}", by_client()),
        ("{ipStrategy: {}}", by_client()),
        (
            "{ipStrategy: {depth: 2}}",
            forwarded(ForwardedEntry::FromRight(2)),
        ),
        (
            "{ipStrategy: {excludedIPs: [10.0.0.0/8]}}",
            forwarded(ForwardedEntry::Outside(vec![block])),
        ),
        (
            "{ipStrategy: {ipv6Subnet: 64}}",
            GateKey::ClientAddress {
                of: ClientOf::Connection,
                v6_prefix: Some(64),
            },
        ),
        ("{requestHeaderName: X-User}", header),
        ("{requestHost: true}", GateKey::Host),
        ("{requestHost: false}", by_client()),
    ] {
        let gate = gate(&format!(
            "rateLimit: {{average: 1, sourceCriterion: {criterion}}}"
        ));
        assert_eq!(bucket(&gate).1, want, "{criterion}");
    }
}

/// Quirk: requests under way are counted by host unless something else is said.
#[test]
fn requests_under_way_are_counted_by_host() {
    for (spec, most, key) in [
        ("inFlightReq: {amount: 7}", 7, GateKey::Host),
        (
            "inFlightReq: {amount: 7, sourceCriterion: {ipStrategy: {}}}",
            7,
            by_client(),
        ),
        ("inFlightReq: {}", 0, GateKey::Host),
    ] {
        let gate = gate(spec);
        assert_eq!(gate.kind, GateKind::InFlight { most, key }, "{spec}");
        assert_eq!(gate.status, 429);
    }
}

/// Quirk: an open breaker answers its status for the whole of its fallback.
#[test]
fn a_breaker_has_its_expression_and_its_times() {
    for (more, check, fallback, recovery, status) in [
        ("", 100, 10_000, 10_000, 503),
        (
            ", checkPeriod: 1s, fallbackDuration: 30s, recoveryDuration: 1m, responseCode: 429",
            1_000,
            30_000,
            60_000,
            429,
        ),
        (", fallbackDuration: 0s", 100, 10_000, 10_000, 503),
    ] {
        let gate = gate(&format!(
            "circuitBreaker: {{expression: 'NetworkErrorRatio() > 0.30'{more}}}"
        ));
        let GateKind::Breaker(breaker) = &gate.kind else {
            panic!("no breaker");
        };
        let millis = [check, fallback, recovery].map(Duration::from_millis);
        assert_eq!(
            [breaker.check_period, breaker.fallback, breaker.recovery],
            millis,
            "{more}"
        );
        assert_eq!(gate.status, status, "{more}");
    }
}

#[test]
fn the_state_of_a_middleware_is_each_routers_own_and_one_for_all_alternatives_of_it() {
    let limited = |rule: &str| {
        format!(
            "{{match: '{rule}', middlewares: [{{name: m}}], services: [{{name: a, port: 80}}]}}"
        )
    };
    let built = build(&[
        routes(&[&limited("Path(`/a`) || Path(`/b`)"), &limited("Path(`/c`)")]),
        object("Middleware", "m", "rateLimit: {average: 1}"),
    ]);
    let name = |ask: &Ask<'_>| built.route(ask).expect("a route").gates[0].name.clone();
    let [a, b, c] = ["/a", "/b", "/c"].map(|path| name(&get("x", path)));
    assert_eq!(a, b, "one router");
    assert_ne!(a, c, "two routers");
    // the entry point with TLS for all has routers of its own
    assert_ne!(a, name(&over_tls("x", "/a")));
}

fn retry(spec: &str) -> RetryPolicy {
    let built = through(&[spec]);
    let forward = built.forward(&get("h", "/"));
    *forward
        .retry
        .unwrap_or_else(|| panic!("{spec}\n{}", built.lines()))
}

/// Quirk: `attempts` are all tries, whatever its description says.
#[test]
fn attempts_are_all_tries() {
    for (attempts, retries) in [(1, 0), (2, 1), (4, 3)] {
        let policy = retry(&format!("retry: {{attempts: {attempts}}}"));
        assert_eq!(policy.retries.value, retries);
        assert_eq!(policy.backoff.value, Backoff::None);
        let all: Vec<Condition> = policy.on.value.iter().collect();
        assert_eq!(
            all,
            [Condition::ResetBeforeRequest, Condition::ConnectFailure]
        );
        assert!(policy.statuses.is_empty() && policy.body_limit.is_none());
    }
}

#[test]
fn statuses_are_tried_again_for_methods_that_may_be_repeated() {
    let policy = retry(
        "retry: {attempts: 3, status: ['500', 502-503], timeout: 2s, initialInterval: 100ms}",
    );
    assert_eq!(policy.statuses, [500, 502, 503]);
    assert!(policy.on.value.has(Condition::RetriableStatusCodes));
    assert!(policy.on.value.has(Condition::ConnectFailure));
    assert!(policy.spare_sent_non_idempotent && policy.failures_have_statuses);
    assert_eq!(policy.body_limit, Some(2 << 20));
    assert_eq!(
        policy.no_try_after.map(|it| it.value),
        Some(Duration::from_secs(2))
    );
    let around = Around::traefik(Duration::from_millis(100), 3);
    assert_eq!(policy.backoff.value, Backoff::Around(around));

    let policy = retry(
        "retry: {attempts: 3, status: ['503'], disableRetryOnNetworkError: true, retryNonIdempotentMethod: true, maxRequestBodyBytes: -1}",
    );
    assert!(!policy.on.value.has(Condition::ConnectFailure));
    assert!(!policy.spare_sent_non_idempotent);
    assert_eq!(policy.body_limit, None, "any length");
}

#[test]
fn what_stands_behind_a_retry_is_told_to_be_passed_once() {
    let built = through(&[
        "retry: {attempts: 3}",
        "circuitBreaker: {expression: 'NetworkErrorRatio() > 0.5'}",
    ]);
    assert!(
        built.lines().contains("not modelled[traefik::order]"),
        "{}",
        built.lines()
    );
    let built = through(&[
        "circuitBreaker: {expression: 'NetworkErrorRatio() > 0.5'}",
        "retry: {attempts: 3}",
    ]);
    assert!(
        !built.lines().contains("traefik::order"),
        "{}",
        built.lines()
    );
}

#[test]
fn values_have_their_origin() {
    let built = through(&["retry: {attempts: 4}"]);
    let policy = built.forward(&get("h", "/")).retry.expect("a policy");
    let text = built.origin(policy.retries.origin);
    assert!(text.starts_with("traefik.yaml:"), "{text}");
    assert_eq!(
        built.origin(policy.backoff.origin),
        "default of traefik@3.7"
    );
}
